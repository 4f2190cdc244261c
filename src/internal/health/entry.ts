import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { CheckHealth } from "../../HealthReport.ts"
import { notChecked } from "./reasons.ts"
import { Fibers, Run } from "./run.ts"
import type { CheckSettings } from "./settings.ts"
import type { Reported } from "./thresholds.ts"

/** A registered check. */
export interface Entry {
  readonly name: string
  readonly settings: CheckSettings
  readonly fibers: Fibers
  readonly check: Run<unknown, unknown> | undefined
  readonly probe: Run<unknown, unknown> | undefined
  /** The run in progress, which concurrent callers share. */
  running: Fiber.Fiber<void> | undefined
  /** When the check last began, in monotonic milliseconds. */
  startedAt: number
  last: Pick<CheckHealth, "reasons" | "checkedAt" | "duration">
  /** The latest results, which the thresholds compare. */
  recent: Reported["recent"]
  lastProbe: CheckHealth["lastProbe"]
}

export const makeEntry = (name: string, settings: CheckSettings, context: Context.Context<never>): Entry => {
  const fibers = new Fibers(context)
  const run = (operation: string, effect: Effect.Effect<unknown, unknown> | undefined) =>
    effect === undefined ? undefined : new Run(fibers, effect, operation, settings.timeout)
  return {
    name,
    settings,
    fibers,
    check: run("check", settings.check),
    probe: run("probe", settings.probe),
    running: undefined,
    startedAt: 0,
    last: { reasons: settings.check === undefined ? [] : [notChecked] },
    recent: [],
    lastProbe: undefined
  }
}
