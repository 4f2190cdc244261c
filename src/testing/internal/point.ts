import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import { checkDuration, checkFunction, checkList, checkOptions, optionNames } from "../../internal/check.ts"
import { monotonicMillis } from "../../internal/time/monotonic.ts"
import type { Call, Kind, Point, Policy } from "../Chaos.ts"
import { keyOf } from "./draw.ts"
import { inject } from "./inject.ts"
import { Journal } from "./journal.ts"
import { plan, type Planned } from "./plan.ts"

const OUTAGE_OPTIONS = /* @__PURE__ */ optionNames<NonNullable<Parameters<Point["startOutage"]>[0]>>({
  for: true,
  error: true
})

/** Where a chaos begins. */
export interface Origin {
  readonly seed: string
  readonly clock: Clock.Clock
  readonly startedAt: number
}

export const makeOrigin = /* @__PURE__ */ Effect.fnUntraced(
  function*(seed: string | number | undefined): Effect.fn.Return<Origin> {
    const clock = yield* Clock.Clock
    return {
      seed: String(seed ?? (yield* Random.nextIntBetween(0, 0x7fffffff))),
      clock,
      startedAt: monotonicMillis(clock)
    }
  }
)

export const checkPolicies = <P extends ReadonlyArray<unknown>>(field: string, policies: P): P =>
  checkList(
    field,
    { list: "a list of policies", item: "a policy" },
    policies,
    (policy) => Predicate.hasProperty(policy, "decide")
  )

export interface PointOptions<A, E, R> extends Origin {
  readonly name: string
  readonly policies: ReadonlyArray<Policy<A, E, R>>
  readonly active: boolean
  /** Makes the defect of a fault that has no error. */
  readonly unnamed: (kind: Kind, call: Call) => unknown
}

export class PointState<A, E, R> implements Point<A, E, R> {
  readonly name: string
  private policies: ReadonlyArray<Policy<A, E, R>>
  private readonly key: number
  private readonly clock: Clock.Clock
  private readonly unnamed: (kind: Kind, call: Call) => unknown
  private startedAt: number
  private active: boolean
  private manualOutage: { readonly until: number; readonly error: ((call: Call) => E) | undefined } | undefined
  readonly journal = new Journal()

  constructor(options: PointOptions<A, E, R>) {
    this.name = options.name
    this.policies = options.policies
    this.key = keyOf(`${options.seed}/${options.name}`)
    this.clock = options.clock
    this.unnamed = options.unnamed
    this.startedAt = options.startedAt
    this.active = options.active
  }

  readonly execute: Point<A, E, R>["execute"] = (self) => Effect.suspend(() => this.begin(self, undefined))

  /** Decides about a call that starts now. `error` is what a fault without an error of its own fails with. */
  begin<A1, E1, R1, E2>(
    self: Effect.Effect<A1, E1, R1>,
    error: ((call: Call) => E2) | undefined
  ): Effect.Effect<A | A1, E | E1 | E2, R | R1> {
    const now = this.now()
    const call: Call = {
      point: this.name,
      number: ++this.journal.calls,
      elapsed: Duration.millis(now - this.startedAt)
    }
    const steps = this.active ? this.plan(call, now) : []
    this.journal.add(call, steps)
    return inject(self, call, steps, error, this.unnamed)
  }

  private plan(call: Call, now: number): ReadonlyArray<Planned<A, E, R>> {
    return this.manualOutage !== undefined && now < this.manualOutage.until
      ? [{ kind: "outage", step: { _tag: "Fail", error: this.manualOutage.error, at: "request" } }]
      : plan(this.policies, this.key, call)
  }

  private now(): number {
    return monotonicMillis(this.clock)
  }

  readonly setPolicies: Point<A, E, R>["setPolicies"] = (policies) => {
    checkPolicies("Chaos.setPolicies: policies", policies)
    return Effect.sync(() => {
      this.policies = policies
    })
  }

  readonly startOutage: Point<A, E, R>["startOutage"] = (options) => {
    if (options !== undefined) checkOptions("Chaos.startOutage", options, OUTAGE_OPTIONS)
    const length = checkDuration("Chaos.startOutage: for", options?.for ?? Duration.infinity)
    const error = checkFunction("Chaos.startOutage: error", options?.error)
    return Effect.sync(() => {
      this.manualOutage = { until: this.now() + Duration.toMillis(length), error }
    })
  }

  readonly endOutage = Effect.sync(() => {
    this.manualOutage = undefined
  })

  readonly start = Effect.sync(() => {
    this.active = true
    this.startedAt = this.now()
  })

  readonly stop = Effect.sync(() => {
    this.active = false
  })

  readonly counts = Effect.sync(() => this.journal.counts)

  readonly injections = Effect.sync(() => this.journal.injections)
}
