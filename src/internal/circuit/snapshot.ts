/** What a circuit has counted, and its metrics at one moment. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import type { CircuitMetrics } from "../../CircuitMetrics.ts"
import type { LastFailure } from "../../ResilienceError.ts"
import type { Quantiles } from "./latencies.ts"
import * as Circuit from "./machine.ts"
import * as Window from "./window.ts"

/** Calls by how they ended, and changes of state. */
export interface Tally {
  success: number
  failure: number
  ignored: number
  rejected: number
  late: number
  /** Of the calls that were timed: how many, and how long together. */
  timed: number
  totalDuration: number
  stateChanges: number
}

export const emptyTally = (): Tally => ({
  success: 0,
  failure: 0,
  ignored: 0,
  rejected: 0,
  late: 0,
  timed: 0,
  totalDuration: 0,
  stateChanges: 0
})

/** Calls that asked, and those of them that were rejected. */
export interface Calls {
  all: number
  rejected: number
}

/** The calls that have ended. */
export const endedCalls = ({ failure, ignored, late, rejected, success }: Tally): number =>
  success + failure + ignored + late + rejected

/** What was counted after `before`. */
export const tallySince = (tally: Tally, before: Tally | undefined): Tally =>
  before === undefined ? tally : {
    success: tally.success - before.success,
    failure: tally.failure - before.failure,
    ignored: tally.ignored - before.ignored,
    rejected: tally.rejected - before.rejected,
    late: tally.late - before.late,
    timed: tally.timed - before.timed,
    totalDuration: tally.totalDuration - before.totalDuration,
    stateChanges: tally.stateChanges - before.stateChanges
  }

/** What failed last, if that is known, and when. */
export interface Failed {
  readonly at: number
  readonly what: LastFailure | undefined
}

/** What a circuit knows beside its state and its tally. */
export interface Facts {
  readonly name: string
  readonly inFlight: number
  readonly failed: Failed | undefined
  readonly latency?: Quantiles | undefined
  /** The wall clock at `now`. */
  readonly timestamp: number
}

/** The metrics of a circuit that is settled at `now`. */
export const snapshot = (
  circuit: Circuit.Circuit,
  tally: Tally,
  rules: Circuit.Rules,
  now: number,
  { failed, inFlight, latency, name, timestamp }: Facts
): CircuitMetrics => {
  const { consecutiveFailures, window } = circuit.counts
  Window.expire(window, now)
  const failureRate = rate(window.failures, window.calls)
  const idleTime = Circuit.idleTimeOfProbes(circuit, now)
  return {
    name,
    state: circuit._tag,
    isAvailable: Circuit.isAvailable(circuit, rules),
    totalCalls: endedCalls(tally) + inFlight,
    successfulCalls: tally.success,
    failedCalls: tally.failure,
    ignoredCalls: tally.ignored,
    lateCalls: tally.late,
    rejectedCalls: tally.rejected,
    callsInFlight: inFlight,
    consecutiveFailures,
    callsInWindow: window.calls,
    failureRate,
    successRate: 1 - failureRate,
    slowCallRate: rate(window.slowCalls, window.calls),
    averageResponseTime: tally.timed === 0 ? undefined : Duration.millis(tally.totalDuration / tally.timed),
    latency: latency === undefined ? undefined : {
      p50: Duration.millis(latency.p50),
      p95: Duration.millis(latency.p95),
      p99: Duration.millis(latency.p99)
    },
    lastFailureTime: failed === undefined ? undefined : DateTime.makeUnsafe(timestamp - (now - failed.at)),
    lastFailure: failed?.what,
    timeUntilRetry: Circuit.isOpen(circuit._tag) ? Duration.millis(Circuit.timeUntilRetry(circuit, now)) : undefined,
    currentBackoff: circuit.openings === 0 && circuit.lastOpenTime === 0
      ? undefined
      : Duration.millis(circuit.lastOpenTime),
    consecutiveOpenings: Circuit.openingsInARow(circuit, now),
    stateChanges: tally.stateChanges,
    probesInFlight: circuit._tag === "HalfOpen" ? circuit.inFlight : 0,
    probeSuccesses: circuit._tag === "HalfOpen" ? circuit.successes : 0,
    probeIdleTime: idleTime === undefined ? undefined : Duration.millis(idleTime)
  }
}

export const rate = (part: number, whole: number): number => whole === 0 ? 0 : part / whole
