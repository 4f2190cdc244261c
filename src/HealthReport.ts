/**
 * The health of a program and its dependencies as plain data: statuses, their
 * reasons, and the report that `HealthMonitor` makes.
 *
 * All models are schemas, so tools can decode a report that was sent to them.
 *
 * **Example** (Reading a report)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreakerRegistry, HealthMonitor, HealthReport } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const monitor = yield* HealthMonitor.make({ checks: { database: Effect.fail("connection refused") } })
 *   const report = yield* monitor.checkAll
 *   return [HealthReport.reasons(report), HealthReport.toJson(report).status]
 * }).pipe(Effect.scoped, Effect.provide(CircuitBreakerRegistry.layer()))
 *
 * await Effect.runPromise(program) // => [["database: connection refused"], "unhealthy"]
 * ```
 *
 * @stability unstable
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as CircuitMetrics from "./CircuitMetrics.ts"
import { ofCircuit } from "./internal/health/reasons.ts"
import * as internal from "./internal/health/report.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * The health of a dependency or of the whole program, from best to worst.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const Status = Schema.Literals(["healthy", "degraded", "unhealthy"])

/**
 * A value of the schema `Status`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Status = typeof Status.Type

/**
 * A reason why something is not healthy, or something else to know of it.
 *
 * **Details**
 *
 * - `code`: the kind of reason, for programs.
 * - `status`: its severity; a check has the status of its worst reason.
 * - `message`: the reason in words.
 *
 * | `code` | `status` | when |
 * |---|---|---|
 * | `CheckFailed` | `unhealthy` | the check failed, died, was interrupted or returned `false` |
 * | `CheckTimedOut` | `unhealthy` | the check exceeded its time limit |
 * | `CheckHanging` | `unhealthy` | a run that timed out is still running, so no other starts |
 * | `Reported` | as reported | the check returned `degraded` or `unhealthy` |
 * | `NotChecked` | `degraded` | the first run of the check has not ended |
 * | `CircuitOpen` | `unhealthy` | the circuit rejects calls |
 * | `CircuitForcedOpen` | `unhealthy` | an operator forced the circuit open |
 * | `CircuitHalfOpen` | `degraded` | the circuit admits probes only |
 * | `CircuitIdle` | `healthy` | the circuit is half-open, and no call has come for as long as it was last open, and a minute at least |
 * | `FailureRate` | `degraded` | more than 10% of the calls in the window of a `Closed` or `MetricsOnly` circuit failed |
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const Reason = Schema.Struct({
  code: Schema.Literals([
    "CheckFailed",
    "CheckTimedOut",
    "CheckHanging",
    "Reported",
    "NotChecked",
    "CircuitOpen",
    "CircuitForcedOpen",
    "CircuitHalfOpen",
    "CircuitIdle",
    "FailureRate"
  ]),
  status: Status,
  message: Schema.String
})

/**
 * A value of the schema `Reason`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * The health of one dependency, from its check, its circuit, or both.
 *
 * **Details**
 *
 * - `status`: that of the worst reason, `healthy` without reasons.
 * - `critical`: whether the report is `unhealthy` if this is.
 * - `checkedAt`, `duration`: when the last run of the check ended, and how long
 *   it took. Absent without a check and before its first run ends.
 * - `circuit`: the metrics of the circuit. Absent without one.
 * - `lastProbe`: the last probe that the monitor sent through the circuit: when
 *   it ended, how long it took, and its error if it failed.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const CheckHealth = Schema.Struct({
  name: Schema.String,
  status: Status,
  reasons: Schema.Array(Reason),
  critical: Schema.Boolean,
  checkedAt: Schema.optional(Schema.DateTimeUtcFromString),
  duration: Schema.optional(Schema.DurationFromMillis),
  circuit: Schema.optional(CircuitMetrics.CircuitMetrics),
  lastProbe: Schema.optional(Schema.Struct({
    endedAt: Schema.DateTimeUtcFromString,
    duration: Schema.DurationFromMillis,
    error: Schema.optional(Schema.String)
  }))
})

/**
 * A value of the schema `CheckHealth`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type CheckHealth = typeof CheckHealth.Type

/**
 * The health of the program and its dependencies at one moment.
 *
 * **Details**
 *
 * - `status`: the worst of all checks. A check that is not critical makes it
 *   `degraded` at most.
 * - `allHealthy`: whether every check is `healthy`.
 * - `timestamp`: when the circuits were read. `checkedAt` of a check has the age
 *   of its result.
 * - `checks`: one per name, checks in the order of their registration, then
 *   circuits from the oldest.
 *
 * A report of all circuits and no checks has the status of the registry's
 * `systemStatus`.
 *
 * @see {@link toJson} for people and tools
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const HealthReport = Schema.Struct({
  status: Status,
  allHealthy: Schema.Boolean,
  timestamp: Schema.DateTimeUtcFromString,
  checks: Schema.Array(CheckHealth)
})

/**
 * A value of the schema `HealthReport`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type HealthReport = typeof HealthReport.Type

/**
 * A report or a check as errors and warnings.
 *
 * **Details**
 *
 * - `valid`: whether there are no `errors`.
 * - `errors`: messages of the reasons that are `unhealthy`.
 * - `warnings`: messages of all other reasons, and in a report all those of
 *   checks that are not critical.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface ValidationResult {
  readonly valid: boolean
  readonly errors: ReadonlyArray<string>
  readonly warnings: ReadonlyArray<string>
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * Judges a circuit by its metrics, by the rules of a monitor.
 *
 * **Example** (Validating a circuit)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker, HealthReport } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({ name: "payment-api" })
 *   yield* breaker.forceOpen()
 *   return HealthReport.toValidationResult(HealthReport.fromCircuit(yield* breaker.metrics))
 * })
 *
 * const validation = await Effect.runPromise(program)
 * validation.valid // => false
 * validation.errors // => ["circuit was forced open and stays so until it is released"]
 * ```
 *
 * @stability unstable
 * @category constructors
 * @since 0.1.0
 */
export const fromCircuit = (circuit: CircuitMetrics.CircuitMetrics): CheckHealth =>
  internal.healthOf({ name: circuit.name, critical: true, reasons: ofCircuit(circuit), circuit })

// -----------------------------------------------------------------------------
// getters
// -----------------------------------------------------------------------------

/**
 * Returns the reasons of a report, worst first, each after the name of its
 * check.
 *
 * @stability unstable
 * @category getters
 * @since 0.1.0
 */
export const reasons = (self: HealthReport): ReadonlyArray<string> => internal.reasonsOf(self.checks)

/**
 * Returns the checks of a report, worst first. Checks of the same status keep
 * their order.
 *
 * @stability unstable
 * @category getters
 * @since 0.1.0
 */
export const worstFirst = (self: HealthReport): ReadonlyArray<CheckHealth> => internal.worstFirst(self.checks)

// -----------------------------------------------------------------------------
// encoding
// -----------------------------------------------------------------------------

/**
 * Splits the reasons of a report or a check into errors and warnings.
 *
 * @stability unstable
 * @category encoding
 * @since 0.1.0
 */
export const toValidationResult = (self: HealthReport | CheckHealth): ValidationResult => {
  const { errors, warnings } = "checks" in self
    ? internal.messagesOf(self.checks)
    : internal.split(self.reasons)
  return { valid: errors.length === 0, errors, warnings }
}

/**
 * Converts a report to JSON for people and tools.
 *
 * **Details**
 *
 * `checks` has one entry per name, as `checkToJson` makes it. `reasons` has the
 * reasons of all checks, worst first.
 *
 * @stability unstable
 * @category encoding
 * @since 0.1.0
 */
export const toJson = (self: HealthReport) => ({
  status: self.status,
  all_healthy: self.allHealthy,
  timestamp: DateTime.formatIso(self.timestamp),
  reasons: reasons(self),
  checks: Object.fromEntries(self.checks.map((check) => [check.name, checkToJson(check)]))
})

/**
 * Converts the health of one dependency to JSON for people and tools.
 *
 * **Details**
 *
 * Times are in seconds unless the name ends in `_ms`, moments are ISO
 * timestamps. A field that does not apply is `null`: `last_check` and
 * `duration_ms` without a check, `last_probe` before the first probe, and those
 * of the circuit without one.
 *
 * @stability unstable
 * @category encoding
 * @since 0.1.0
 */
export const checkToJson = (self: CheckHealth) => {
  const circuit = self.circuit === undefined ? undefined : CircuitMetrics.toJson(self.circuit)
  return {
    status: self.status,
    healthy: self.status === "healthy",
    critical: self.critical,
    reasons: self.reasons.map((reason) => reason.message),
    last_check: self.checkedAt === undefined ? null : DateTime.formatIso(self.checkedAt),
    duration_ms: self.duration === undefined ? null : Duration.toMillis(self.duration),
    circuit_breaker: circuit?.state ?? null,
    failure_count: circuit?.failure_count ?? null,
    error_rate: circuit?.error_rate ?? null,
    failure_rate: circuit?.failure_rate ?? null,
    last_failure: circuit?.last_failure ?? null,
    time_until_retry: circuit?.time_until_retry ?? null,
    last_probe: self.lastProbe === undefined ? null : {
      success: self.lastProbe.error === undefined,
      error: self.lastProbe.error ?? null,
      timestamp: DateTime.formatIso(self.lastProbe.endedAt),
      duration_ms: Duration.toMillis(self.lastProbe.duration)
    }
  }
}
