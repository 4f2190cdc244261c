/**
 * The endpoints of health.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import type { SystemStatus } from "../../CircuitBreakerRegistry.ts"
import * as CircuitMetrics from "../../CircuitMetrics.ts"
import { HealthMonitor } from "../../HealthMonitor.ts"
import * as HealthReport from "../../HealthReport.ts"
import { writeLog } from "../../internal/telemetry/writeLog.ts"
import { ALARMING_FAILURE_RATE, STATE_NAMES } from "../../internal/words.ts"
import type { HealthSummary } from "../Admin.ts"
import { Api } from "../AdminApi.ts"
import type { Resources } from "./resources.ts"

/** Circuits and checks that are listed at most. */
const SHOWN = 100
const SOURCE_TIMEOUT = "5 seconds"

/** The latest report of the `HealthMonitor`, if there is one: it knows critical circuits and other checks. */
export const fromMonitor = Effect.map(
  Effect.serviceOption(HealthMonitor),
  Option.match({
    onNone: () => undefined,
    onSome: ({ latest }) =>
      Effect.map(latest, (report): HealthSummary => {
        const checks = HealthReport.worstFirst(report)
        const shown = HealthReport.toJson({ ...report, checks: checks.slice(0, SHOWN) })
        const details = { ...shown, checks_not_shown: Math.max(0, checks.length - SHOWN) }
        return { status: report.status, details }
      })
  })
)

/** Asks the health source, or else the circuits. A source that fails or hangs counts as unhealthy. */
const askHealth = Effect.fnUntraced(function*({ health, registry }: Resources) {
  const system = yield* registry.systemStatus
  if (health === undefined) return { status: system.status, system, checks: null }
  const report = yield* health.pipe(
    Effect.timeoutOrElse({
      duration: SOURCE_TIMEOUT,
      orElse: () => Effect.succeed<HealthSummary>({ status: "unhealthy", details: `no answer in ${SOURCE_TIMEOUT}` })
    }),
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.failCause(cause) : Effect.as(
        writeLog(Effect.logError("admin_health_source_failed", cause)),
        { status: "unhealthy", details: "the health source failed" } satisfies HealthSummary
      )
    )
  )
  return { status: report.status, system, checks: report.details ?? null }
})

export const healthHandlers = (resources: Resources) =>
  HttpApiBuilder.group(
    Api,
    "health",
    (handlers) =>
      handlers.handleAll({
        check: () => Effect.map(askHealth(resources), ({ status }) => ({ status })),
        live: () => Effect.succeed({ status: "alive" as const }),
        detailed: () => healthDetails(resources)
      })
  )

/** The body of `/health/detailed` and `/status`. */
export const healthDetails = (resources: Resources) =>
  Effect.flatMap(
    askHealth(resources),
    ({ checks, status, system }) =>
      Effect.map(detailsOf(resources, system), (details) => ({ status, ...details, checks }))
  )

const detailsOf = Effect.fnUntraced(function*({ registry }: Resources, system: SystemStatus) {
  const notable = (yield* registry.statuses).filter(({ failureRate, state }) =>
    state !== "Closed" || failureRate > ALARMING_FAILURE_RATE
  )
  const shown = notable.slice(0, SHOWN).map(CircuitMetrics.toJson)
  return {
    total_circuits: system.totalCircuits,
    circuits_by_state: Record.mapKeys(system.circuitsByState, (state) => STATE_NAMES[state]),
    open_circuits: system.openCircuits.slice(0, SHOWN),
    total_calls: system.totalCalls,
    rejected_calls: system.rejectedCalls,
    circuits: Object.fromEntries(
      shown.map(({ error_rate, failure_count, name, state, time_until_retry }) => [
        name,
        { circuit_breaker: state, failure_count, error_rate, time_until_retry }
      ])
    ),
    circuits_not_shown: notable.length - shown.length
  }
})
