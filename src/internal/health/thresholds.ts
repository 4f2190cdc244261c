/** How many results in a row it takes until a check changes its status: a plain function. */
import type { Reason } from "../../HealthReport.ts"
import { severity, worst } from "./report.ts"

type Reasons = ReadonlyArray<Reason>

export interface Thresholds {
  readonly successThreshold: number
  readonly failureThreshold: number
}

/** What a check reports, and the latest results that decide on it. */
export interface Reported {
  readonly reasons: Reasons
  /** Newest last, at most as many as the higher threshold. Empty before the first run. */
  readonly recent: ReadonlyArray<Reasons>
}

/**
 * What a check reports after another result. Its status gets as bad as the
 * last `failureThreshold` results all were at least, and as good as the last
 * `successThreshold` results all were at least. The first result has nothing to
 * change.
 */
export const after = (
  { reasons, recent: before }: Reported,
  latest: Reasons,
  { failureThreshold, successThreshold }: Thresholds
): Reported => {
  const recent = [...before, latest].slice(-Math.max(failureThreshold, successThreshold))
  if (before.length === 0 || severityOf(latest) === severityOf(reasons)) return { reasons: latest, recent }
  const gotWorse = mildest(inARow(recent, failureThreshold))
  if (gotWorse !== undefined && severityOf(gotWorse) > severityOf(reasons)) return { reasons: gotWorse, recent }
  const gotBetter = gravest(inARow(recent, successThreshold))
  if (gotBetter !== undefined && severityOf(gotBetter) < severityOf(reasons)) return { reasons: gotBetter, recent }
  return { reasons, recent }
}

const severityOf = (reasons: Reasons): number => severity(worst(reasons.map(({ status }) => status)))

const inARow = (recent: ReadonlyArray<Reasons>, threshold: number): ReadonlyArray<Reasons> =>
  recent.length < threshold ? [] : recent.slice(-threshold)

/** Of several that are equally mild, the latest. */
const mildest = (results: ReadonlyArray<Reasons>): Reasons | undefined =>
  results.reduce<Reasons | undefined>(
    (found, result) => found === undefined || severityOf(result) <= severityOf(found) ? result : found,
    undefined
  )

/** Of several that are equally grave, the latest. */
const gravest = (results: ReadonlyArray<Reasons>): Reasons | undefined =>
  results.reduce<Reasons | undefined>(
    (found, result) => found === undefined || severityOf(result) >= severityOf(found) ? result : found,
    undefined
  )
