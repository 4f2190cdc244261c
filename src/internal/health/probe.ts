/** Sends a probe through a circuit once its open time has ended. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { CircuitBreaker } from "../../CircuitBreaker.ts"
import type { CircuitMetrics } from "../../CircuitMetrics.ts"
import { isKnown } from "../circuit/handle.ts"
import { nowMillis } from "../time/monotonic.ts"
import type { Entry } from "./entry.ts"
import * as Reasons from "./reasons.ts"
import type { Run } from "./run.ts"

/** Probes a circuit once if it needs that. Returns for how many milliseconds it needs no other probe. */
export const makeProber = (
  find: () => CircuitBreaker | undefined,
  entry: Entry,
  probe: Run<unknown, unknown>
): Effect.Effect<number> => {
  const interval = Duration.toMillis(entry.settings.interval)
  // A classifier that ignored one probe would ignore the next one at once, until the circuit has changed.
  let ignoredUntil = 0
  let ignoredAfter = 0

  return Effect.gen(function*() {
    const breaker = find()
    if (breaker === undefined) return interval
    const before = yield* breaker.metrics
    const wait = waitBeforeProbe(before, interval)
    if (wait > 0) return wait
    if (probe.isRunning || isRamping(breaker)) return interval
    const startedAt = yield* nowMillis
    if (before.stateChanges === ignoredAfter && startedAt < ignoredUntil) return ignoredUntil - startedAt

    let admitted = false
    const exit = yield* Effect.exit(breaker.execute(Effect.suspend(() => {
      admitted = true
      return probe.attempt
    })))
    if (!admitted) return interval
    const endedAt = yield* nowMillis
    const [reason] = Exit.isFailure(exit) ? Reasons.ofExit(exit) : []
    entry.lastProbe = {
      endedAt: yield* DateTime.now,
      duration: Duration.millis(endedAt - startedAt),
      ...(reason === undefined ? {} : { error: reason.message })
    }
    const after = yield* breaker.metrics
    if (verdicts(after) === verdicts(before)) {
      ignoredUntil = endedAt + interval
      ignoredAfter = after.stateChanges
    }
    return 0
  })
}

/** For how many milliseconds a circuit needs no probe, 0 if it needs one now. At most as long as the interval. */
export const waitBeforeProbe = (
  { isAvailable, state, timeUntilRetry }: Pick<CircuitMetrics, "isAvailable" | "state" | "timeUntilRetry">,
  interval: number
): number =>
  timeUntilRetry !== undefined
    ? Math.min(interval, Math.max(1, Math.ceil(Duration.toMillis(timeUntilRetry))))
    : state === "HalfOpen" && isAvailable
    ? 0
    : interval

/** Time alone ends a ramp: a probe would not help. */
const isRamping = (breaker: CircuitBreaker): boolean => {
  const circuit = isKnown(breaker) ? breaker.live.settled() : undefined
  return circuit?._tag === "HalfOpen" && circuit.rampingSince !== undefined
}

const verdicts = (circuit: CircuitMetrics): number => circuit.successfulCalls + circuit.failedCalls
