/**
 * The endpoints of health.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import * as CircuitMetrics from "../../CircuitMetrics.ts"
import { HealthMonitor } from "../../HealthMonitor.ts"
import * as HealthReport from "../../HealthReport.ts"
import { worstOf } from "../../internal/health/inside.ts"
import { exceptionalCircuits } from "../../internal/registry/inside.ts"
import { writeLog } from "../../internal/telemetry/writeLog.ts"
import { STATE_NAMES } from "../../internal/words.ts"
import type { HealthSummary } from "../Admin.ts"
import { Api } from "../AdminApi.ts"
import type { Resources } from "./resources.ts"

/** Circuits and checks that are listed at most. */
const SHOWN = 100
const SOURCE_TIMEOUT = "5 seconds"

/** Where health comes from, if not from the circuits alone. */
export interface HealthSource {
  /** What costs little: enough for the status. */
  readonly status: Effect.Effect<Pick<HealthSummary, "status">>
  readonly summary: Effect.Effect<HealthSummary>
}

/** The `HealthMonitor`, if there is one: it knows critical circuits and other checks. */
export const fromMonitor = Effect.map(
  Effect.serviceOption(HealthMonitor),
  Option.match({
    onNone: () => undefined,
    onSome: (monitor): HealthSource => ({
      status: Effect.map(monitor.status, (status) => ({ status })),
      summary: Effect.map(worstOf(monitor, SHOWN), ({ report, total }) => ({
        status: report.status,
        details: { ...HealthReport.toJson(report), checks_not_shown: total - report.checks.length }
      }))
    })
  })
)

/** A source that fails or hangs counts as unhealthy. */
const ask = <A>(source: Effect.Effect<A>): Effect.Effect<A | HealthSummary> =>
  source.pipe(
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

export const healthHandlers = (resources: Resources) =>
  HttpApiBuilder.group(
    Api,
    "health",
    (handlers) =>
      handlers.handleAll({
        check: () =>
          Effect.map(
            resources.health === undefined ? resources.registry.systemStatus : ask(resources.health.status),
            ({ status }) => ({ status })
          ),
        live: () => Effect.succeed({ status: "alive" as const }),
        detailed: () => healthDetails(resources)
      })
  )

/** The body of `/health/detailed` and `/status`. */
export const healthDetails = Effect.fnUntraced(function*({ health, registry }: Resources) {
  const system = yield* registry.systemStatus
  const report = health === undefined ? system : yield* ask(health.summary)
  const exceptions = yield* exceptionalCircuits(registry, SHOWN)
  const shown = exceptions.circuits.map(CircuitMetrics.toJson)
  return {
    status: report.status,
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
    circuits_not_shown: exceptions.total - shown.length,
    checks: "details" in report ? report.details ?? null : null
  }
})
