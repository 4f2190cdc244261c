import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { Breaker } from "./breaker.ts"
import type { Call } from "./call.ts"

/**
 * The probe that a fiber runs, and those it runs inside of. A call that goes
 * through the same circuit again is a part of that probe: it would wait for the
 * very slot that it holds.
 */
interface Probe {
  readonly breaker: Breaker
  readonly call: Call
  readonly outer: Probe | undefined
}

export const RunningProbe = /* @__PURE__ */ Context.Reference<Probe | undefined>("effect-resilience/RunningProbe", {
  defaultValue: () => undefined
})

export const asProbe = <A, E, R>(
  fiber: Fiber.Fiber<unknown, unknown>,
  breaker: Breaker,
  call: Call,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.provideService(self, RunningProbe, { breaker, call, outer: fiber.getRef(RunningProbe) })

/** Whether the fiber runs a probe that the circuit admitted in that generation. */
export const runsProbeOf = (
  fiber: Fiber.Fiber<unknown, unknown> | undefined,
  breaker: Breaker,
  generation: number
): boolean => {
  let probe = fiber?.getRef(RunningProbe)
  while (probe !== undefined) {
    if (probe.breaker === breaker && probe.call.generation === generation) return true
    probe = probe.outer
  }
  return false
}
