/**
 * The counts and the state of a circuit at one moment.
 *
 * **Example** (Reading the metrics of a circuit)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker, CircuitMetrics } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({ name: "payment-api" })
 *   yield* breaker.execute(Effect.void)
 *   yield* breaker.execute(Effect.fail("unavailable")).pipe(Effect.ignore)
 *   return yield* breaker.metrics
 * })
 *
 * const metrics = await Effect.runPromise(program)
 * metrics.successfulCalls // => 1
 * metrics.failureRate // => 0.5
 * CircuitMetrics.toJson(metrics).error_rate // => 0.5
 * ```
 *
 * @stability unstable
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { CircuitState } from "./CircuitEvent.ts"
import { DurationOrInfinity } from "./internal/time/durationCodec.ts"
import { STATE_NAMES } from "./internal/words.ts"
import { LastFailure } from "./ResilienceError.ts"

/**
 * The counts and the state of a circuit at one moment.
 *
 * **Details**
 *
 * Calls since the circuit was made or reset:
 *
 * - `totalCalls`: all that asked, the sum of the next six.
 * - `successfulCalls`, `failedCalls`, `ignoredCalls`: by outcome.
 * - `lateCalls`: ended after the circuit had left the state they were admitted
 *   in, so they no longer counted.
 * - `rejectedCalls`: did not run.
 * - `callsInFlight`: have not ended.
 *
 * Calls the circuit judges by:
 *
 * - `consecutiveFailures`: failures since the last success.
 * - `callsInWindow`, `failureRate`, `successRate`, `slowCallRate`: over the
 *   window. While the circuit is open they are those it opened with, as far
 *   as a window of a duration still holds them.
 *
 * And also:
 *
 * - `averageResponseTime`: over all timed calls; `undefined` if the policy does
 *   not measure durations.
 * - `latency`: quantiles of the latest timed calls, 1,024 to 2,047 of them; exact
 *   below 16 calls, otherwise to a sixteenth. `undefined` without one.
 * - `lastFailureTime`: when a call last failed.
 * - `lastFailure`: what failed then, if that is known.
 * - `timeUntilRetry`: time until an open circuit lets a call through;
 *   `undefined` if it is not open, infinite if it stays forced open.
 * - `currentBackoff`: how long the circuit was open the last time, or is now.
 * - `consecutiveOpenings`: openings in a row, which the backoff follows.
 * - `stateChanges`: transitions made.
 * - `probesInFlight`, `probeSuccesses`: of the present half-open period.
 * - `probeIdleTime`: for how long a half-open circuit has waited for a call;
 *   `undefined` while a probe runs, in a recovery ramp and in other states.
 *
 * @see {@link toJson} for the form people and dashboards read
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const CircuitMetrics = Schema.Struct({
  name: Schema.String,
  state: CircuitState,
  isAvailable: Schema.Boolean,
  totalCalls: Schema.Int,
  successfulCalls: Schema.Int,
  failedCalls: Schema.Int,
  ignoredCalls: Schema.Int,
  lateCalls: Schema.Int,
  rejectedCalls: Schema.Int,
  callsInFlight: Schema.Int,
  consecutiveFailures: Schema.Int,
  callsInWindow: Schema.Int,
  failureRate: Schema.Number,
  successRate: Schema.Number,
  slowCallRate: Schema.Number,
  averageResponseTime: Schema.optional(Schema.DurationFromMillis),
  latency: Schema.optional(Schema.Struct({
    p50: Schema.DurationFromMillis,
    p95: Schema.DurationFromMillis,
    p99: Schema.DurationFromMillis
  })),
  lastFailureTime: Schema.optional(Schema.DateTimeUtcFromString),
  lastFailure: Schema.optional(LastFailure),
  timeUntilRetry: Schema.optional(DurationOrInfinity),
  currentBackoff: Schema.optional(DurationOrInfinity),
  consecutiveOpenings: Schema.Int,
  stateChanges: Schema.Int,
  probesInFlight: Schema.Int,
  probeSuccesses: Schema.Int,
  probeIdleTime: Schema.optional(Schema.DurationFromMillis)
})

/**
 * A value of the schema `CircuitMetrics`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type CircuitMetrics = typeof CircuitMetrics.Type

/**
 * The metrics as JSON for people and tools.
 *
 * **Details**
 *
 * `error_rate` and `failure_rate` are the same. Rates are 0 to 1, times are seconds unless the name ends in `_ms`, moments
 * are ISO timestamps, and what does not apply is `null`. A circuit that stays
 * forced open has no `time_until_retry`.
 *
 * @stability unstable
 * @category encoding
 * @since 0.1.0
 */
export const toJson = (self: CircuitMetrics) => ({
  name: self.name,
  state: STATE_NAMES[self.state],
  is_available: self.isAvailable,
  failure_count: self.consecutiveFailures,
  success_count: self.probeSuccesses,
  total_calls: self.totalCalls,
  successful_calls: self.successfulCalls,
  failed_calls: self.failedCalls,
  ignored_calls: self.ignoredCalls,
  late_calls: self.lateCalls,
  rejected_calls: self.rejectedCalls,
  calls_in_flight: self.callsInFlight,
  requests_in_window: self.callsInWindow,
  error_rate: self.failureRate,
  failure_rate: self.failureRate,
  success_rate: self.successRate,
  slow_call_rate: self.slowCallRate,
  average_response_time_ms: millis(self.averageResponseTime),
  latency_p50_ms: millis(self.latency?.p50),
  latency_p95_ms: millis(self.latency?.p95),
  latency_p99_ms: millis(self.latency?.p99),
  last_failure_time: self.lastFailureTime === undefined ? null : DateTime.formatIso(self.lastFailureTime),
  last_failure: self.lastFailure === undefined
    ? null
    : { error: self.lastFailure.error, message: self.lastFailure.message },
  time_until_retry: seconds(self.timeUntilRetry),
  current_backoff: seconds(self.currentBackoff),
  consecutive_openings: self.consecutiveOpenings,
  state_changes: self.stateChanges
})

const millis = (duration: Duration.Duration | undefined): number | null =>
  duration === undefined ? null : Duration.toMillis(duration)

const seconds = (duration: Duration.Duration | undefined): number | null =>
  duration === undefined || !Duration.isFinite(duration) ? null : Duration.toSeconds(duration)
