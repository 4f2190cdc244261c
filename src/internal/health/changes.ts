import * as DateTime from "effect/DateTime"
import type { StatusChanged } from "../../HealthMonitor.ts"
import type { HealthReport, Status } from "../../HealthReport.ts"
import { healthOf, reasonsOf, statusOf } from "./report.ts"

/** The statuses that subscribers have been told. */
export interface Known {
  /** Of the checks that are not healthy. */
  readonly checks: ReadonlyMap<string, Status>
  readonly system: Status
}

export const allHealthy: Known = { checks: new Map(), system: "healthy" }

/** The changes since what was known, and what is known after them. A check that has not run yet is no change. */
export const changesSince = (
  known: Known,
  report: HealthReport
): { readonly changes: ReadonlyArray<StatusChanged>; readonly known: Known } => {
  const timestamp = DateTime.toEpochMillis(report.timestamp)
  const checked = report.checks.map((check) =>
    healthOf({ ...check, reasons: check.reasons.filter(({ code }) => code !== "NotChecked") })
  )
  const changes: Array<StatusChanged> = []
  const checks = new Map<string, Status>()
  for (const { name, reasons, status: to } of checked) {
    const from = known.checks.get(name) ?? "healthy"
    if (to !== "healthy") checks.set(name, to)
    if (from === to) continue
    changes.push({ subject: "check", name, from, to, reasons: reasons.map(({ message }) => message), timestamp })
  }
  const system = statusOf(checked)
  if (system !== known.system) {
    changes.push({
      subject: "system",
      name: "system",
      from: known.system,
      to: system,
      reasons: reasonsOf(checked),
      timestamp
    })
  }
  return { changes, known: { checks, system } }
}
