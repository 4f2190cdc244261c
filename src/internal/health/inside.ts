/** What the admin API knows of a monitor that this package made. Of one made by hand it knows what is public. */
import * as Effect from "effect/Effect"
import type { HealthMonitor } from "../../HealthMonitor.ts"
import type { HealthReport } from "../../HealthReport.ts"
import { worstFirst } from "./report.ts"

/** The worst checks of a report, and how many it would have. */
export interface Worst {
  readonly report: HealthReport
  readonly total: number
}

const INSIDE = "~effect-resilience/monitor"

interface Inside {
  /** Of this interface. */
  readonly version: 1
  readonly worst: (limit: number) => Effect.Effect<Worst>
}

export const open = (monitor: HealthMonitor, inside: Inside): void => {
  // Not enumerable: a monitor that is made by spreading this one is another one.
  Object.defineProperty(monitor, INSIDE, { value: inside })
}

/** The latest report, worst checks first, with so many of them at most. */
export const worstOf = (monitor: HealthMonitor, limit: number): Effect.Effect<Worst> => {
  const inside = (monitor as { readonly [INSIDE]?: Inside })[INSIDE]
  return inside?.version === 1
    ? inside.worst(limit)
    : Effect.map(monitor.latest, (report) => firstOf(report, limit, report.checks.length))
}

export const firstOf = (report: HealthReport, limit: number, total: number): Worst => ({
  report: { ...report, checks: worstFirst(report.checks).slice(0, limit) },
  total
})
