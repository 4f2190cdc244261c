/**
 * Faults on purpose: calls that fail, die, hang, slow down or lose their
 * answer, by a plan and a seed.
 *
 * A place where something may go wrong is a *point* with a name. `withChaos`
 * marks it in the program and does nothing at all until a `Chaos` is provided;
 * `layer` provides one and says what goes wrong at which point. So the same
 * program runs untouched in production and broken in a test or in staging.
 *
 * **Details**
 *
 * - Off by default: without the Layer, `withChaos` passes the call through.
 * - What happens to the n-th call of a point depends on the seed, the point and
 *   `n`, and on nothing else: not on the randomness of the program, and not on
 *   the calls of other points. The same seed gives the same faults.
 * - A fault is the user's own error, of the user's own type. Without one it is
 *   a `ChaosError`, as a defect.
 * - Time counts from when the chaos was made or last started, on the monotonic
 *   clock of the fiber that made it: in a test on the `TestClock`.
 *
 * **Gotchas**
 *
 * - Put the point where the dependency is, inside of everything that protects
 *   against it: timeout, circuit breaker, retry.
 * - Calls that run at the same time are numbered in the order in which they
 *   start. If that order varies, so does who gets which fault.
 *
 * **Example** (Breaking a program in a test)
 *
 * ```ts import.meta.vitest
 * import { Data, Effect } from "effect"
 * import { Retry } from "effect-resilience"
 * import { Chaos } from "effect-resilience/testing"
 *
 * class PaymentError extends Data.TaggedError("PaymentError") {}
 *
 * const charge = Effect.succeed("charged").pipe(
 *   Chaos.withChaos("payment-api", { error: () => new PaymentError() }),
 *   Retry.withRetry({ maxAttempts: 3, baseDelay: "1 millis" })
 * )
 *
 * await Effect.runPromise(charge) // => "charged"
 *
 * const broken = Chaos.layer({ points: { "payment-api": [Chaos.fault()] } })
 * const error = await Effect.runPromise(charge.pipe(Effect.flip, Effect.provide(broken)))
 * error._tag // => "RetryExhaustedError"
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual, identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Types from "effect/Types"
import { draw, keyOf } from "./internal/draw.ts"
import { checkDuration, checkOptions, checkRate } from "../internal/check.ts"
import { monotonicMillis } from "../internal/time/monotonic.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-resilience/testing/Chaos"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-resilience/testing/Chaos"

/**
 * The kinds of things that go wrong.
 *
 * @category models
 * @since 0.1.0
 */
export const Kind = Schema.Literals([
  "fault",
  "outage",
  "flapping",
  "defect",
  "interruption",
  "hang",
  "block",
  "latency",
  "degradation",
  "outcome",
  "behaviour"
])

/**
 * @category models
 * @since 0.1.0
 */
export type Kind = typeof Kind.Type

/**
 * A call that has reached a point.
 *
 * **Details**
 *
 * - `point`: the name of the point.
 * - `number`: which call of this point it is, from 1.
 * - `elapsed`: time since the chaos was made or last started.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly point: string
  readonly number: number
  readonly elapsed: Duration.Duration
}

/**
 * Something that was done to a call.
 *
 * **Details**
 *
 * `delay` is the time that a `latency`, `degradation` or `block` added.
 *
 * @category models
 * @since 0.1.0
 */
export interface Injection extends Call {
  readonly kind: Kind
  readonly delay: Duration.Duration | undefined
}

/**
 * What has been done to the calls of a point.
 *
 * **Details**
 *
 * - `calls`: that have reached it, the untouched ones included.
 * - `untouched`: to which nothing was done.
 * - `injected`: how often each kind was injected. A call that was slowed down
 *   and then failed counts twice.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counts {
  readonly calls: number
  readonly untouched: number
  readonly injected: Readonly<Record<Kind, number>>
}

/**
 * A fault for which nobody has named an error of their own. It is a defect,
 * unless it is put into an error channel on purpose.
 *
 * @category errors
 * @since 0.1.0
 */
export class ChaosError extends Schema.TaggedError<ChaosError>()("ChaosError", {
  point: Schema.String,
  kind: Kind,
  call: Schema.Int
}) {
  override get message(): string {
    return `Chaos: ${this.kind} injected into call ${this.call} of "${this.point}"`
  }
}

// -----------------------------------------------------------------------------
// policies
// -----------------------------------------------------------------------------

/** What a policy does to a call. */
type Step<A, E, R> =
  | {
    readonly _tag: "Before"
    readonly run: Effect.Effect<unknown, E, R>
    readonly delay?: Duration.Duration | undefined
  }
  | { readonly _tag: "Instead"; readonly run: Effect.Effect<A, E, R> }
  | { readonly _tag: "Fail"; readonly error: ((call: Call) => E) | undefined; readonly at: "request" | "response" }

/**
 * What goes wrong, and how often.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy<out A = never, out E = never, out R = never> {
  readonly [TypeId]: {
    readonly _A: Types.Covariant<A>
    readonly _E: Types.Covariant<E>
    readonly _R: Types.Covariant<R>
  }
  readonly kind: Kind

  /**
   * What it does to a call, given two numbers from 0 to 1.
   *
   * @internal
   */
  readonly decide: (call: Call, chance: number, size: number) => Step<A, E, R> | undefined
}

/**
 * Which calls a policy is for. All that is named must hold.
 *
 * **Details**
 *
 * - `rate`: the share of calls, 0 to 1; all by default.
 * - `from`: when it begins; at once by default.
 * - `for`: how long it lasts from then on; for ever by default.
 * - `when`: a predicate on the call; all calls by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly rate?: number | undefined
  readonly from?: Duration.Input | undefined
  readonly for?: Duration.Input | undefined
  readonly when?: ((call: Call) => boolean) | undefined
}

const variance = { _A: identity, _E: identity, _R: identity }

/** Of each kind, besides the common ones. */
const OWN_OPTIONS: Readonly<Record<Kind, ReadonlyArray<string>>> = {
  fault: ["error", "at"],
  outage: ["error"],
  flapping: ["up", "down", "error"],
  defect: ["defect"],
  interruption: [],
  hang: [],
  block: ["duration"],
  latency: ["delay", "maxDelay"],
  degradation: ["over", "to"],
  outcome: ["run"],
  behaviour: ["run"]
}

const makePolicy = <A, E, R>(
  kind: Kind,
  options: Options,
  step: (call: Call, elapsed: number, size: number) => Step<A, E, R> | undefined
): Policy<A, E, R> => {
  const { from, rate, until, when } = checkCommon(kind, options)
  return {
    [TypeId]: variance,
    kind,
    decide: (call, chance, size) => {
      const elapsed = Duration.toMillis(call.elapsed)
      return chance < rate && elapsed >= from && elapsed < until && (when === undefined || when(call))
        ? step(call, elapsed - from, size)
        : undefined
    }
  }
}

const checkKind = (kind: Kind, options: object): void => {
  checkOptions(`Chaos.${kind}`, options, ["rate", "from", "for", "when", ...OWN_OPTIONS[kind]])
}

const checkCommon = (kind: Kind, options: Options) => {
  checkKind(kind, options)
  const from = Duration.toMillis(checkDuration(`Chaos.${kind}: from`, options.from ?? 0, { finite: true }))
  const length = Duration.toMillis(checkDuration(`Chaos.${kind}: for`, options.for ?? Duration.infinity))
  return { rate: checkRate(`Chaos.${kind}: rate`, options.rate ?? 1), from, until: from + length, when: options.when }
}

/**
 * Calls fail.
 *
 * **Details**
 *
 * - `error`: what they fail with, made anew for each. By default the error that
 *   the point was given; if it was given none, a `ChaosError` as a defect.
 * - `at`: `"request"`, by default, fails instead of calling. `"response"` makes
 *   the call, and fails although it succeeded: the answer is lost, as of a
 *   connection that breaks. What the call has done is done.
 *
 * **Example** (Losing the answers)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Chaos } from "effect-resilience/testing"
 *
 * let charged = 0
 * const program = Effect.gen(function*() {
 *   const point = yield* Chaos.makePoint("payment-api", {
 *     policies: [Chaos.fault({ at: "response", error: () => "connection reset" })]
 *   })
 *   return yield* Effect.sync(() => ++charged).pipe(point.inject, Effect.flip)
 * })
 *
 * await Effect.runPromise(program) // => "connection reset"
 * charged // => 1
 * ```
 *
 * @category policies
 * @since 0.1.0
 */
export const fault = <E = never>(
  options: Options & {
    readonly error?: ((call: Call) => E) | undefined
    readonly at?: "request" | "response" | undefined
  } = {}
): Policy<never, E> => {
  checkKind("fault", options)
  const { at = "request", error } = options
  return makePolicy("fault", options, () => ({ _tag: "Fail", error, at }))
}

/**
 * All calls fail for a while, from `from` on, as long as `for`.
 *
 * **Example** (An outage of half a minute)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { TestClock } from "effect/testing"
 * import { Chaos } from "effect-resilience/testing"
 *
 * const program = Effect.gen(function*() {
 *   const point = yield* Chaos.makePoint("payment-api", {
 *     policies: [Chaos.outage({ from: "10 seconds", for: "30 seconds", error: () => "down" })]
 *   })
 *   const call = Effect.succeed("up").pipe(point.inject, Effect.catch(Effect.succeed))
 *   const before = yield* call
 *   yield* TestClock.adjust("10 seconds")
 *   const during = yield* call
 *   yield* TestClock.adjust("30 seconds")
 *   return [before, during, yield* call]
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(TestClock.layer()))) // => ["up", "down", "up"]
 * ```
 *
 * @see {@link Point} for starting and ending one by hand
 *
 * @category policies
 * @since 0.1.0
 */
export const outage = <E = never>(
  options: Omit<Options, "rate"> & { readonly error?: ((call: Call) => E) | undefined } = {}
): Policy<never, E> => makePolicy("outage", options, () => ({ _tag: "Fail", error: options.error, at: "request" }))

/**
 * The dependency comes and goes: it is up for a while, then all calls fail for
 * a while, and again.
 *
 * **Example** (Flapping)
 *
 * ```ts import.meta.vitest
 * import { Chaos } from "effect-resilience/testing"
 *
 * const flapping = Chaos.flapping({ up: "20 seconds", down: "5 seconds" })
 *
 * flapping.kind // => "flapping"
 * ```
 *
 * @category policies
 * @since 0.1.0
 */
export const flapping = <E = never>(
  options: Omit<Options, "rate"> & {
    readonly up: Duration.Input
    readonly down: Duration.Input
    readonly error?: ((call: Call) => E) | undefined
  }
): Policy<never, E> => {
  const positive = { positive: true, finite: true }
  checkKind("flapping", options)
  const up = Duration.toMillis(checkDuration("Chaos.flapping: up", options.up, positive))
  const down = Duration.toMillis(checkDuration("Chaos.flapping: down", options.down, positive))
  return makePolicy(
    "flapping",
    options,
    (_, elapsed) => elapsed % (up + down) < up ? undefined : { _tag: "Fail", error: options.error, at: "request" }
  )
}

/**
 * Calls die with a defect, as of a bug; a `ChaosError` by default.
 *
 * @category policies
 * @since 0.1.0
 */
export const defect = (
  options: Options & { readonly defect?: ((call: Call) => unknown) | undefined } = {}
): Policy => {
  checkKind("defect", options)
  const make = options.defect ?? ((call: Call) => chaosError("defect", call))
  return makePolicy(
    "defect",
    options,
    (call) => ({ _tag: "Instead", run: Effect.suspend(() => Effect.die(make(call))) })
  )
}

/**
 * Calls end by interruption, as of somebody who has stopped them from within.
 *
 * @category policies
 * @since 0.1.0
 */
export const interruption = (options: Options = {}): Policy =>
  makePolicy("interruption", options, () => ({ _tag: "Instead", run: Effect.interrupt }))

/**
 * Calls never return. They can be interrupted, by a timeout as well.
 *
 * @see {@link block} for calls that cannot be interrupted
 *
 * @category policies
 * @since 0.1.0
 */
export const hang = (options: Options = {}): Policy =>
  makePolicy("hang", options, () => ({ _tag: "Instead", run: Effect.never }))

/**
 * Calls ignore interruption for a while before they go on, as those of a
 * driver that cannot be cancelled.
 *
 * **When to use**
 *
 * Use to see whether a timeout returns in time: it does with `disconnect`.
 *
 * @category policies
 * @since 0.1.0
 */
export const block = (options: Options & { readonly duration: Duration.Input }): Policy => {
  checkKind("block", options)
  const delay = checkDuration("Chaos.block: duration", options.duration, { positive: true, finite: true })
  const run = Effect.uninterruptible(Effect.sleep(delay))
  return makePolicy("block", options, () => ({ _tag: "Before", run, delay }))
}

/**
 * Calls take longer: by `delay`, or by anything from `delay` to `maxDelay`, in
 * whole milliseconds.
 *
 * **Example** (One call in ten is slow)
 *
 * ```ts import.meta.vitest
 * import { Chaos } from "effect-resilience/testing"
 *
 * const slow = Chaos.latency({ rate: 0.1, delay: "200 millis", maxDelay: "2 seconds" })
 *
 * slow.kind // => "latency"
 * ```
 *
 * @category policies
 * @since 0.1.0
 */
export const latency = (
  options: Options & { readonly delay: Duration.Input; readonly maxDelay?: Duration.Input | undefined }
): Policy => {
  checkKind("latency", options)
  const delay = checkDuration("Chaos.latency: delay", options.delay, { finite: true })
  const least = Duration.toMillis(delay)
  const most = Duration.toMillis(
    checkDuration("Chaos.latency: maxDelay", options.maxDelay ?? delay, { finite: true })
  )
  if (most < least) {
    throw new RangeError(`Chaos.latency: maxDelay must be at least delay, ${least} ms, got ${most} ms`)
  }
  return makePolicy("latency", options, (_, __, size) => slowBy(least + size * (most - least)))
}

/**
 * Calls get slower and slower: by nothing at first, by `to` after `over`, and
 * by that from then on.
 *
 * **Example** (A dependency that degrades)
 *
 * ```ts import.meta.vitest
 * import { Chaos } from "effect-resilience/testing"
 *
 * const degradation = Chaos.degradation({ over: "5 minutes", to: "3 seconds" })
 *
 * degradation.kind // => "degradation"
 * ```
 *
 * @category policies
 * @since 0.1.0
 */
export const degradation = (
  options: Options & { readonly over: Duration.Input; readonly to: Duration.Input }
): Policy => {
  const positive = { positive: true, finite: true }
  checkKind("degradation", options)
  const over = Duration.toMillis(checkDuration("Chaos.degradation: over", options.over, positive))
  const to = Duration.toMillis(checkDuration("Chaos.degradation: to", options.to, positive))
  return makePolicy("degradation", options, (_, elapsed) => slowBy(to * Math.min(1, elapsed / over)))
}

const slowBy = (millis: number): Step<never, never, never> | undefined => {
  const delay = Duration.millis(Math.round(millis))
  return Duration.isZero(delay) ? undefined : { _tag: "Before", run: Effect.sleep(delay), delay }
}

/**
 * Another effect runs instead of the call: a wrong answer, an empty one, an old
 * one.
 *
 * **Example** (An empty answer)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Chaos } from "effect-resilience/testing"
 *
 * const program = Effect.gen(function*() {
 *   const search = yield* Chaos.makePoint("search", {
 *     policies: [Chaos.outcome({ run: () => Effect.succeed("") })]
 *   })
 *   return yield* Effect.succeed("found").pipe(search.inject)
 * })
 *
 * await Effect.runPromise(program) // => ""
 * ```
 *
 * @category policies
 * @since 0.1.0
 */
export const outcome = <A, E = never, R = never>(
  options: Options & { readonly run: (call: Call) => Effect.Effect<A, E, R> }
): Policy<A, E, R> =>
  makePolicy("outcome", options, (call) => ({ _tag: "Instead", run: Effect.suspend(() => options.run(call)) }))

/**
 * Something else happens before the call: a cache is emptied, a connection is
 * closed, a server is killed.
 *
 * @category policies
 * @since 0.1.0
 */
export const behaviour = <E = never, R = never>(
  options: Options & { readonly run: (call: Call) => Effect.Effect<unknown, E, R> }
): Policy<never, E, R> =>
  makePolicy<never, E, R>(
    "behaviour",
    options,
    (call) => ({ _tag: "Before", run: Effect.suspend(() => options.run(call)) })
  )

// -----------------------------------------------------------------------------
// points
// -----------------------------------------------------------------------------

/**
 * A place where calls are broken, and how to steer it while the program runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Point<A = never, E = never, R = never> {
  readonly name: string

  /** Breaks a call as the policies say, or passes it through untouched. */
  readonly inject: <A1, E1, R1>(self: Effect.Effect<A1, E1, R1>) => Effect.Effect<A | A1, E | E1, R | R1>

  /** Follows other policies from now on. Calls are numbered on. */
  readonly setPolicies: (policies: ReadonlyArray<Policy<A, E, R>>) => Effect.Effect<void>

  /**
   * All calls fail from now on, whatever the policies say, until `endOutage` or
   * for as long as `for`. They fail with `error`, by default as `outage` does.
   */
  readonly startOutage: (options?: {
    readonly for?: Duration.Input | undefined
    readonly error?: ((call: Call) => E) | undefined
  }) => Effect.Effect<void>

  /** Ends an outage that was started by hand. */
  readonly endOutage: Effect.Effect<void>

  /** Breaks calls again, if it was stopped. Time counts from now on. */
  readonly start: Effect.Effect<void>

  /** Passes all calls through untouched, until it is started. Those under way stay as they are. */
  readonly stop: Effect.Effect<void>

  /** What has been done to its calls. */
  readonly counts: Effect.Effect<Counts>

  /** What has been done to its calls, one by one: the last 1,000, oldest first. */
  readonly injections: Effect.Effect<ReadonlyArray<Injection>>
}

const HISTORY = 1000

const noInjections = (): Record<Kind, number> =>
  Object.fromEntries(Kind.literals.map((kind) => [kind, 0])) as Record<Kind, number>

const chaosError = (kind: Kind, call: Call) => new ChaosError({ point: call.point, kind, call: call.number })

class PointState<A, E, R> implements Point<A, E, R> {
  readonly name: string
  private policies: ReadonlyArray<Policy<A, E, R>>
  private readonly key: number
  private readonly clock: Clock.Clock
  private startedAt: number
  private active: boolean
  private byHand: { readonly until: number; readonly error: ((call: Call) => E) | undefined } | undefined
  calls = 0
  untouched = 0
  readonly injected = noInjections()
  private readonly history: Array<Injection> = []

  constructor(options: {
    readonly name: string
    readonly seed: string
    readonly policies: ReadonlyArray<Policy<A, E, R>>
    readonly clock: Clock.Clock
    readonly startedAt: number
    readonly active: boolean
  }) {
    this.name = options.name
    this.policies = options.policies
    this.key = keyOf(`${options.seed}/${options.name}`)
    this.clock = options.clock
    this.startedAt = options.startedAt
    this.active = options.active
  }

  readonly inject: Point<A, E, R>["inject"] = (self) => Effect.suspend(() => this.begin(self, undefined))

  /** Decides about a call that starts now. `error` is what a fault without an error of its own fails with. */
  begin<A1, E1, R1, E2>(
    self: Effect.Effect<A1, E1, R1>,
    error: ((call: Call) => E2) | undefined
  ): Effect.Effect<A | A1, E | E1 | E2, R | R1> {
    const now = monotonicMillis(this.clock)
    const call: Call = { point: this.name, number: ++this.calls, elapsed: Duration.millis(now - this.startedAt) }
    const steps = this.active ? this.decide(call, now) : []
    if (steps.length === 0) {
      this.untouched++
      return self
    }
    let broken: Effect.Effect<A | A1, E | E1 | E2, R | R1> = self
    for (let i = steps.length - 1; i >= 0; i--) {
      const { kind, step } = steps[i]!
      switch (step._tag) {
        case "Before":
          broken = Effect.andThen(step.run, broken)
          break
        case "Instead":
          broken = step.run
          break
        case "Fail": {
          const make: ((call: Call) => E | E2) | undefined = step.error ?? error
          const failure = make === undefined
            ? Effect.die(chaosError(kind, call))
            : Effect.suspend(() => Effect.fail(make(call)))
          broken = step.at === "request" ? failure : Effect.andThen(self, failure)
        }
      }
    }
    return broken
  }

  private decide(call: Call, now: number) {
    const steps: Array<{ readonly kind: Kind; readonly step: Step<A, E, R> }> = []
    const add = (kind: Kind, step: Step<A, E, R>) => {
      steps.push({ kind, step })
      this.injected[kind]++
      if (this.history.length === HISTORY) this.history.shift()
      this.history.push({ ...call, kind, delay: step._tag === "Before" ? step.delay : undefined })
    }
    if (this.byHand !== undefined && now < this.byHand.until) {
      add("outage", { _tag: "Fail", error: this.byHand.error, at: "request" })
      return steps
    }
    for (const [index, policy] of this.policies.entries()) {
      const step = policy.decide(
        call,
        draw(this.key, call.number, 2 * index),
        draw(this.key, call.number, 2 * index + 1)
      )
      if (step === undefined) continue
      add(policy.kind, step)
      // What comes instead of the call, or of its answer, is the end of it.
      if (step._tag !== "Before") break
    }
    return steps
  }

  readonly setPolicies: Point<A, E, R>["setPolicies"] = (policies) =>
    Effect.sync(() => {
      this.policies = policies
    })

  readonly startOutage: Point<A, E, R>["startOutage"] = (options) => {
    const length = checkDuration("Chaos.startOutage: for", options?.for ?? Duration.infinity)
    return Effect.sync(() => {
      this.byHand = { until: monotonicMillis(this.clock) + Duration.toMillis(length), error: options?.error }
    })
  }

  readonly endOutage = Effect.sync(() => {
    this.byHand = undefined
  })

  readonly start = Effect.sync(() => {
    this.active = true
    this.startedAt = monotonicMillis(this.clock)
  })

  readonly stop = Effect.sync(() => {
    this.active = false
  })

  readonly counts = Effect.sync((): Counts => ({
    calls: this.calls,
    untouched: this.untouched,
    injected: { ...this.injected }
  }))

  readonly injections = Effect.sync((): ReadonlyArray<Injection> => this.history.slice())
}

type PolicySuccess<P> = P extends Policy<infer A, infer _E, infer _R> ? A : never
type PolicyError<P> = P extends Policy<infer _A, infer E, infer _R> ? E : never
type PolicyServices<P> = P extends Policy<infer _A, infer _E, infer R> ? R : never

/**
 * Makes a point on its own, without a Layer.
 *
 * **When to use**
 *
 * Use in a test that makes its own calls. What the policies can raise is in the
 * type of what `inject` returns.
 *
 * **Details**
 *
 * - `policies`: what goes wrong, looked at in this order. Latencies add up; the
 *   first policy that fails a call, or replaces it, ends the list.
 * - `seed`: decides which calls are hit. Drawn from the program's `Random` by
 *   default.
 *
 * **Example** (Failing a third of the calls)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Chaos } from "effect-resilience/testing"
 *
 * const program = Effect.gen(function*() {
 *   const point = yield* Chaos.makePoint("payment-api", {
 *     seed: 7,
 *     policies: [Chaos.fault({ rate: 1 / 3, error: () => "down" })]
 *   })
 *   const calls = yield* Effect.replicateEffect(Effect.succeed("up").pipe(point.inject, Effect.catch(Effect.succeed)), 300)
 *   return calls.filter((result) => result === "down").length === (yield* point.counts).injected.fault
 * })
 *
 * await Effect.runPromise(program) // => true
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const makePoint = <const P extends ReadonlyArray<Policy<unknown, unknown, unknown>>>(
  name: string,
  options: { readonly policies: P; readonly seed?: string | number | undefined }
): Effect.Effect<Point<PolicySuccess<P[number]>, PolicyError<P[number]>, PolicyServices<P[number]>>> =>
  Effect.map(situation(options.seed), (situation) =>
    new PointState({
      ...situation,
      name,
      policies: options.policies as ReadonlyArray<
        Policy<PolicySuccess<P[number]>, PolicyError<P[number]>, PolicyServices<P[number]>>
      >,
      active: true
    }))

/** The seed and the time to begin with. */
const situation = (seed: string | number | undefined) =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    return {
      seed: String(seed ?? (yield* Random.nextIntBetween(0, 0x7fffffff))),
      clock,
      startedAt: monotonicMillis(clock)
    }
  })

// -----------------------------------------------------------------------------
// services
// -----------------------------------------------------------------------------

/**
 * All points of a program.
 *
 * @category services
 * @since 0.1.0
 */
export interface Chaos {
  readonly [TypeId]: TypeId

  /** The seed, to get the same faults again. */
  readonly seed: string

  /** The point of that name, made now if need be. */
  readonly point: (name: string) => Effect.Effect<Point>

  /** The names of the points that were named in the options and that no call has reached: misspelt, perhaps. */
  readonly unreached: Effect.Effect<ReadonlyArray<string>>

  /** Starts all points, see `Point`. */
  readonly start: Effect.Effect<void>

  /** Stops all points, see `Point`. */
  readonly stop: Effect.Effect<void>

  /** What has been done to the calls of all points together. */
  readonly counts: Effect.Effect<Counts>
}

/**
 * All points of a program. Programs do not need it to mark a point: `withChaos`
 * looks whether it is there. Tests take it to steer the points.
 *
 * @category services
 * @since 0.1.0
 */
export const Chaos: Context.Service<Chaos, Chaos> = Context.Service<Chaos>("effect-resilience/testing/Chaos")

/**
 * Options of `layer`.
 *
 * **Details**
 *
 * - `seed`: decides which calls are hit. Drawn from the program's `Random` by
 *   default, and told by `Chaos.seed`.
 * - `points`: what goes wrong where. Policies are looked at in order. Latencies
 *   add up; the first policy that fails a call, or replaces it, ends the list.
 * - `others`: what goes wrong at points that are not named; nothing by default.
 * - `active`: `false` waits for `start`; `true` by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChaosOptions {
  readonly seed?: string | number | undefined
  readonly points?: Readonly<Record<string, ReadonlyArray<Policy>>> | undefined
  readonly others?: ReadonlyArray<Policy> | undefined
  readonly active?: boolean | undefined
}

class ChaosState implements Chaos {
  readonly ["~effect-resilience/testing/Chaos"]: TypeId = TypeId
  readonly seed: string
  private readonly options: ChaosOptions
  private readonly clock: Clock.Clock
  private startedAt: number
  private active: boolean
  private readonly points = new Map<string, PointState<never, never, never>>()

  constructor(options: ChaosOptions, situation: { seed: string; clock: Clock.Clock; startedAt: number }) {
    this.options = options
    this.seed = situation.seed
    this.clock = situation.clock
    this.startedAt = situation.startedAt
    this.active = options.active !== false
  }

  get(name: string): PointState<never, never, never> {
    let point = this.points.get(name)
    if (point === undefined) {
      const { others = [], points = {} } = this.options
      const { active, clock, seed, startedAt } = this
      const policies = Object.hasOwn(points, name) ? points[name]! : others
      point = new PointState({ name, seed, policies, clock, startedAt, active })
      this.points.set(name, point)
    }
    return point
  }

  readonly point = (name: string) => Effect.sync(() => this.get(name))

  readonly unreached = Effect.sync(() =>
    Object.keys(this.options.points ?? {}).filter((name) => this.get(name).calls === 0)
  )

  readonly start = Effect.suspend(() => {
    this.active = true
    this.startedAt = monotonicMillis(this.clock)
    return Effect.forEach(this.points.values(), (point) => point.start, { discard: true })
  })

  readonly stop = Effect.suspend(() => {
    this.active = false
    return Effect.forEach(this.points.values(), (point) => point.stop, { discard: true })
  })

  readonly counts = Effect.sync((): Counts => {
    const injected = noInjections()
    let calls = 0
    let untouched = 0
    for (const point of this.points.values()) {
      calls += point.calls
      untouched += point.untouched
      for (const kind of Kind.literals) injected[kind] += point.injected[kind]
    }
    return { calls, untouched, injected }
  })
}

/**
 * Makes a chaos.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: ChaosOptions = {}): Effect.Effect<Chaos> => {
  checkOptions("Chaos.make", options, ["seed", "points", "others", "active"])
  return Effect.map(situation(options.seed), (situation) => new ChaosState(options, situation))
}

/**
 * Provides a chaos: what goes wrong at the points of a program.
 *
 * **Gotchas**
 *
 * A point that nobody named by its right name breaks nothing, and a test passes
 * for the wrong reason: look at `counts` or `unreached`.
 *
 * **Example** (Steering an outage by hand)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Chaos } from "effect-resilience/testing"
 *
 * const call = Effect.succeed("up").pipe(
 *   Chaos.withChaos("payment-api", { error: () => "down" }),
 *   Effect.catch(Effect.succeed)
 * )
 *
 * const test = Effect.gen(function*() {
 *   const chaos = yield* Chaos.Chaos
 *   const payments = yield* chaos.point("payment-api")
 *   yield* payments.startOutage()
 *   const during = yield* call
 *   yield* payments.endOutage
 *   return [during, yield* call]
 * })
 *
 * await Effect.runPromise(test.pipe(Effect.provide(Chaos.layer()))) // => ["down", "up"]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: ChaosOptions = {}): Layer.Layer<Chaos> => Layer.effect(Chaos, make(options))

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * Marks a point: a call that the provided `Chaos` may break.
 *
 * **Details**
 *
 * Without a `Chaos` the call is passed through as it is. `error` is what the
 * faults of this point fail with, made anew for each; its type is added to the
 * error channel. Without it they are a `ChaosError`, as a defect, and the type
 * of the call stays as it is.
 *
 * **Gotchas**
 *
 * Every point that was ever reached is kept, as long as the `Chaos` lives. Use
 * names of which there is a bounded number.
 *
 * **Example** (Marking a point)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Chaos } from "effect-resilience/testing"
 *
 * const call = Effect.succeed("up").pipe(
 *   Chaos.withChaos("payment-api", { error: (call) => `call ${call.number} failed` })
 * )
 *
 * await Effect.runPromise(call) // => "up"
 *
 * const everySecond = Chaos.layer({
 *   points: { "payment-api": [Chaos.fault({ when: (call) => call.number % 2 === 0 })] }
 * })
 * const twice = Effect.all([call, call].map((call) => Effect.catch(call, Effect.succeed)))
 * await Effect.runPromise(twice.pipe(Effect.provide(everySecond))) // => ["up", "call 2 failed"]
 * ```
 *
 * @see {@link wrapLayer} for breaking a service without touching its code
 *
 * @category combinators
 * @since 0.1.0
 */
export const withChaos: {
  <E2 = never>(
    point: string,
    options?: { readonly error?: ((call: Call) => E2) | undefined }
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | E2, R>
  <A, E, R, E2 = never>(
    self: Effect.Effect<A, E, R>,
    point: string,
    options?: { readonly error?: ((call: Call) => E2) | undefined }
  ): Effect.Effect<A, E | E2, R>
} = dual(
  (args) => typeof args[0] !== "string",
  <A, E, R, E2 = never>(
    self: Effect.Effect<A, E, R>,
    point: string,
    options?: { readonly error?: ((call: Call) => E2) | undefined }
  ): Effect.Effect<A, E | E2, R> =>
    Effect.withFiber((fiber): Effect.Effect<A, E | E2, R> => {
      const chaos = Context.getOrUndefined(fiber.context, Chaos)
      return chaos === undefined ? self : (chaos as ChaosState).get(point).begin(self, options?.error)
    })
)

/**
 * Marks every method of a service as a point, without touching its code: the
 * Layer that results provides the same service, broken as the provided `Chaos`
 * says.
 *
 * **Details**
 *
 * Members that are effects, and what functions return if it is an effect, go
 * through the point; all else, streams included, stays as it is. All methods share the
 * one point. `error` makes what its faults fail with, which every method must
 * be able to fail with.
 *
 * **Gotchas**
 *
 * - Provide the `Chaos` to the program that calls the service: it is looked up
 *   when a method runs, not when the Layer is built.
 * - Of a service that `Tiers.layer` makes, wrap the Layers of the tiers.
 *
 * **Example** (Breaking a service)
 *
 * ```ts import.meta.vitest
 * import { Context, Data, Effect, Layer } from "effect"
 * import { Chaos } from "effect-resilience/testing"
 *
 * class Unavailable extends Data.TaggedError("Unavailable") {}
 *
 * class Accounts extends Context.Service<Accounts, {
 *   readonly getName: (id: string) => Effect.Effect<string, Unavailable>
 * }>()("app/Accounts") {}
 *
 * const AccountsRest = Layer.succeed(Accounts, { getName: (id) => Effect.succeed(`Ada (${id})`) })
 *
 * const broken = AccountsRest.pipe(
 *   Chaos.wrapLayer(Accounts, { point: "accounts", error: () => new Unavailable() }),
 *   Layer.merge(Chaos.layer({ points: { accounts: [Chaos.fault()] } }))
 * )
 *
 * const program = Effect.flatMap(Accounts, (accounts) => accounts.getName("acc-1"))
 *
 * await Effect.runPromise(program.pipe(Effect.provide(AccountsRest))) // => "Ada (acc-1)"
 *
 * const error = await Effect.runPromise(program.pipe(Effect.flip, Effect.provide(broken)))
 * error._tag // => "Unavailable"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const wrapLayer: {
  <I, S extends object>(
    service: Context.Key<I, S>,
    options: WrapOptions<NoInfer<S>>
  ): <E, R>(self: Layer.Layer<I, E, R>) => Layer.Layer<I, E, R>
  <I, S extends object, E, R>(
    self: Layer.Layer<I, E, R>,
    service: Context.Key<I, S>,
    options: WrapOptions<NoInfer<S>>
  ): Layer.Layer<I, E, R>
} = dual(3, <I, S extends object, E, R>(
  self: Layer.Layer<I, E, R>,
  service: Context.Key<I, S>,
  options: WrapOptions<NoInfer<S>>
): Layer.Layer<I, E, R> =>
  Layer.effect(service, Effect.map(service, (instance) => wrapService(instance, options))).pipe(Layer.provide(self)))

/**
 * Options of `wrapLayer`.
 *
 * @category models
 * @since 0.1.0
 */
export interface WrapOptions<S> {
  readonly point: string
  readonly error?: ((call: Call) => CommonFailure<S>) | undefined
}

/**
 * The errors that all members of a service may fail with, of those that are
 * effects or functions that return effects.
 *
 * @category utility types
 * @since 0.1.0
 */
export type CommonFailure<S> = { readonly [K in keyof S]: TakesFailure<S[K]> }[keyof S] extends
  (error: infer E) => void ? E : never

type TakesFailure<M> = M extends Effect.Effect<infer _A, infer E, infer _R> ? (error: E) => void
  : M extends (...args: ReadonlyArray<never>) => Effect.Effect<infer _A, infer E, infer _R> ? (error: E) => void
  : never

const wrapService = <S extends object>(service: S, { error, point }: WrapOptions<S>): S => {
  const through = (value: unknown): unknown => Effect.isEffect(value) ? withChaos(value, point, { error }) : value
  const read = (key: PropertyKey): unknown => {
    const member: unknown = Reflect.get(service, key)
    return typeof member === "function"
      ? (...args: ReadonlyArray<unknown>) => through(Reflect.apply(member, service, args))
      : through(member)
  }
  return new Proxy<S>(Object.create(service), {
    get: (_, key) => read(key),
    // A copy such as `{ ...accounts }` is broken alike.
    ownKeys: () => Reflect.ownKeys(service),
    getOwnPropertyDescriptor: (_, key) => {
      const descriptor = Reflect.getOwnPropertyDescriptor(service, key)
      return descriptor && { value: read(key), enumerable: descriptor.enumerable === true, configurable: true }
    }
  })
}
