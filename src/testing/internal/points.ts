import * as Effect from "effect/Effect"
import { monotonicMillis } from "../../internal/time/monotonic.ts"
import type { Call, Chaos, Kind, Options, TypeId } from "../Chaos.ts"
import { sum } from "./journal.ts"
import { type Origin, PointState } from "./point.ts"

/** All points of a program, each made when it is first reached. */
export class Points implements Chaos {
  readonly ["~effect-resilience/testing/Chaos"]: TypeId = "~effect-resilience/testing/Chaos"
  readonly seed: string
  private readonly options: Options
  private readonly unnamed: (kind: Kind, call: Call) => unknown
  private origin: Origin
  private active: boolean
  private readonly points = new Map<string, PointState<never, never, never>>()

  constructor(options: Options, origin: Origin, unnamed: (kind: Kind, call: Call) => unknown) {
    this.options = options
    this.unnamed = unnamed
    this.origin = origin
    this.seed = origin.seed
    this.active = options.active !== false
  }

  get(name: string): PointState<never, never, never> {
    let point = this.points.get(name)
    if (point === undefined) {
      const { others = [], points = {} } = this.options
      const policies = Object.hasOwn(points, name) ? points[name]! : others
      point = new PointState({ ...this.origin, name, policies, active: this.active, unnamed: this.unnamed })
      this.points.set(name, point)
    }
    return point
  }

  readonly point = (name: string) => Effect.sync(() => this.get(name))

  readonly unreached = Effect.sync(() =>
    Object.keys(this.options.points ?? {}).filter((name) => this.get(name).journal.calls === 0)
  )

  readonly start = Effect.suspend(() => {
    this.active = true
    this.origin = { ...this.origin, startedAt: monotonicMillis(this.origin.clock) }
    return Effect.forEach(this.points.values(), (point) => point.start, { discard: true })
  })

  readonly stop = Effect.suspend(() => {
    this.active = false
    return Effect.forEach(this.points.values(), (point) => point.stop, { discard: true })
  })

  readonly counts = Effect.sync(() => sum(Array.from(this.points.values(), ({ journal }) => journal.counts)))
}
