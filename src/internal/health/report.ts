/** A report from the health of its checks: plain functions. */
import type { CheckHealth, HealthReport, Reason, Status } from "../../HealthReport.ts"

const SEVERITY = { healthy: 0, degraded: 1, unhealthy: 2 } as const

export const severity = (status: Status): number => SEVERITY[status]

/** The worst of some statuses, `healthy` if there are none. */
export const worst = (statuses: Iterable<Status>): Status => {
  let worst: Status = "healthy"
  for (const status of statuses) {
    if (status === "unhealthy") return status
    if (SEVERITY[status] > SEVERITY[worst]) worst = status
  }
  return worst
}

export const worstFirst = (checks: ReadonlyArray<CheckHealth>): ReadonlyArray<CheckHealth> =>
  (["unhealthy", "degraded", "healthy"] as const).flatMap((wanted) => checks.filter(({ status }) => status === wanted))

export const healthOf = (check: Omit<CheckHealth, "status">): CheckHealth => ({
  ...check,
  status: worst(check.reasons.map((reason) => reason.status))
})

/** The status of all checks together. */
export const statusOf = (checks: ReadonlyArray<CheckHealth>): Status =>
  worst(checks.map(({ critical, status }) => status === "unhealthy" && !critical ? "degraded" : status))

export const reportOf = (checks: ReadonlyArray<CheckHealth>, timestamp: HealthReport["timestamp"]): HealthReport => ({
  status: statusOf(checks),
  allHealthy: checks.every((check) => check.status === "healthy"),
  timestamp,
  checks
})

interface Messages {
  readonly errors: ReadonlyArray<string>
  readonly warnings: ReadonlyArray<string>
}

/** The messages of reasons, by whether they make something unusable. */
export const split = (reasons: ReadonlyArray<Reason>): Messages => ({
  errors: reasons.filter(({ status }) => status === "unhealthy").map(({ message }) => message),
  warnings: reasons.filter(({ status }) => status !== "unhealthy").map(({ message }) => message)
})

/** The messages of all checks, each after the name of its check. Those of a check that is not critical only warn. */
export const messagesOf = (checks: ReadonlyArray<CheckHealth>): Messages => {
  const errors: Array<string> = []
  const warnings: Array<string> = []
  for (const { critical, name, reasons } of checks) {
    for (const { message, status } of reasons) {
      const messages = status === "unhealthy" && critical ? errors : warnings
      messages.push(`${name}: ${message}`)
    }
  }
  return { errors, warnings }
}

/** The messages of all checks, worst first. */
export const reasonsOf = (checks: ReadonlyArray<CheckHealth>): ReadonlyArray<string> => {
  const { errors, warnings } = messagesOf(checks)
  return [...errors, ...warnings]
}
