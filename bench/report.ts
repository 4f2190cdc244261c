/** From samples to costs, ratios and verdicts, and from those to tables. */
import type { Case } from "./model.ts"
import { summarise, type Summary } from "./measure.ts"
import type { Row, Source } from "./rows.ts"
import type { Result } from "./worker.ts"

export interface Report {
  readonly date: string
  readonly mode: "full" | "short"
  readonly machine: {
    readonly cpu: string
    readonly cores: number
    readonly gigabytes: number
    readonly platform: string
  }
  /** Processes that wanted to run, on average, when the run began and when it ended. */
  readonly load: readonly [before: number, after: number]
  readonly seconds: number
  readonly versions: Readonly<Record<string, string>>
  readonly margin: number
  readonly rows: ReadonlyArray<RowResult>
  readonly cases: ReadonlyArray<CaseResult>
}

export interface RowResult {
  readonly what: string
  readonly baseline: string
  readonly ours: number
  readonly theirs: number
  readonly unit: string
  readonly ratio: Summary
  readonly atMost: number
  readonly target: string
  readonly verdict: Verdict
}

/** A ratio above its target is put down to noise up to the margin. */
export type Verdict = "met" | "within noise" | "missed"

export interface CaseResult {
  readonly name: string
  readonly unit: string
  readonly contestants: ReadonlyArray<{
    readonly name: string
    readonly total: Summary
    /** Above the bare call. */
    readonly added: Summary | undefined
    readonly bare: string | undefined
  }>
}

export type Results = ReadonlyMap<string, Measured>

// -----------------------------------------------------------------------------
// numbers
// -----------------------------------------------------------------------------

type Measured = { readonly case: Case; readonly results: ReadonlyArray<Result> }

/** The blocks of all processes, one after the other. */
const blocksOf = ({ results }: Measured, contestant: string): ReadonlyArray<number> =>
  results.flatMap((result): ReadonlyArray<number> =>
    result.kind === "figures" ? [result.figures[contestant] ?? NaN] : result.samples[contestant] ?? [NaN]
  )

const bareOf = ({ results: [first] }: Measured, contestant: string): string | undefined =>
  first?.kind === "timed" ? first.contestants.find(({ name }) => name === contestant)?.bare : undefined

const costsOf = (found: Measured, contestant: string, cost: Source["cost"]): ReadonlyArray<number> => {
  const blocks = blocksOf(found, contestant)
  if (cost === "total" || cost === "figure") return blocks
  const bare = bareOf(found, contestant)
  if (bare === undefined) throw new Error(`${contestant} has no bare call`)
  const bareBlocks = blocksOf(found, bare)
  return blocks.map((block, index) => cost === "added" ? block - bareBlocks[index]! : block / bareBlocks[index]!)
}

const samplesOf = (results: Results, source: Source): ReadonlyArray<number> | undefined => {
  const found = results.get(source.case)
  if (found === undefined) return undefined
  const costs = source.contestants.map((contestant) => costsOf(found, contestant, source.cost))
  const fastest = Math.min(...costs.map((blocks) => summarise(blocks).median))
  return costs.find((blocks) => summarise(blocks).median === fastest) ?? costs[0]!
}

const TIMES: ReadonlySet<string> = new Set(["µs", "ms"])

/** The row, if both its sides were measured. Ratios are taken block by block, of what was measured at the same moment. */
export const judge = (row: Row, results: Results, noise: number): RowResult | undefined => {
  const ours = samplesOf(results, row.ours)
  if (ours === undefined) return undefined
  const { theirs: baseline } = row
  const theirs = typeof baseline === "number" ? ours.map(() => baseline) : samplesOf(results, baseline)
  if (theirs === undefined) return undefined
  const ratio = summarise(ours.map((sample, block) => sample / theirs[block]!))
  const found = results.get(row.ours.case)!.case
  // Bytes are the same in every run, times are not.
  const margin = found.kind === "figures" && !TIMES.has(found.unit) ? 0.02 : noise
  return {
    what: row.what,
    baseline: row.baseline,
    ours: summarise(ours).median,
    theirs: summarise(theirs).median,
    unit: found.kind === "figures" ? found.unit : row.ours.cost === "times" ? "times" : "ns",
    ratio,
    atMost: row.atMost,
    target: row.target ?? String(row.atMost),
    verdict: ratio.median <= row.atMost
      ? "met"
      : ratio.median <= row.atMost * (1 + margin)
      ? "within noise"
      : "missed"
  }
}

export const summariseCase = (name: string, found: Measured): CaseResult => {
  const [first] = found.results
  const names = first === undefined
    ? []
    : first.kind === "timed"
    ? first.contestants.map((contestant) => contestant.name)
    : Object.keys(first.figures)
  return {
    name,
    unit: found.case.kind === "figures" ? found.case.unit : `ns per ${found.case.unit ?? "call"}`,
    contestants: names.map((contestant) => {
      const bare = bareOf(found, contestant)
      return {
        name: contestant,
        total: summarise(blocksOf(found, contestant)),
        added: bare === undefined ? undefined : summarise(costsOf(found, contestant, "added")),
        bare
      }
    })
  }
}

// -----------------------------------------------------------------------------
// text
// -----------------------------------------------------------------------------

export const number = (value: number): string => {
  const size = Math.abs(value)
  if (size >= 1000) return Math.round(value).toString().replaceAll(/\B(?=(\d{3})+(?!\d))/g, ",")
  return size >= 100 || Number.isInteger(value) ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2)
}

/** A small ratio is easier to read as a fraction. */
export const fraction = (ratio: number): string =>
  ratio > 0 && ratio < 0.7 ? `1/${number(1 / ratio)}` : ratio.toFixed(2)

/** Half the distance of the quartiles, in parts of the median. */
const spread = ({ high, low, median }: Summary): string => {
  const part = (high - low) / 2 / Math.abs(median)
  return Number.isFinite(part) ? `±${(part * 100).toFixed(0)}%` : ""
}

const table = (rows: ReadonlyArray<ReadonlyArray<string>>, left: number): string => {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) =>
    row.map((cell, column) => column < left ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)).join("  ")
      .trimEnd()
  ).join("\n")
}

export const caseTable = (result: CaseResult): string => {
  const adds = result.contestants.some(({ added }) => added !== undefined)
  return `${result.name} (${result.unit})\n${
    table([
      ["", result.unit.split(" ")[0]!, "", ...adds ? ["added", ""] : []],
      ...result.contestants.map(({ added, name, total }) => [
        `  ${name}`,
        number(total.median),
        spread(total),
        ...adds ? added === undefined ? ["", ""] : [number(added.median), spread(added)] : []
      ])
    ], 1)
  }`
}

const amount = (value: number, unit: string): string =>
  unit === "ratio"
    ? fraction(value)
    : unit === "times"
    ? `× ${number(value)}`
    : `${number(value)} ${unit === "bytes" ? "B" : unit}`

export const rowTable = (rows: ReadonlyArray<RowResult>): string =>
  table([
    ["what", "baseline", "ours", "baseline", "ratio", "", "target", ""],
    ...rows.map((row) => [
      row.what,
      row.baseline,
      amount(row.ours, row.unit),
      amount(row.theirs, row.unit),
      fraction(row.ratio.median),
      spread(row.ratio),
      `≤ ${row.target}`,
      row.verdict
    ])
  ], 2)

// -----------------------------------------------------------------------------
// Markdown
// -----------------------------------------------------------------------------

export const markdown = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string =>
  [head, head.map((_, column) => column === 0 ? "---" : "---:"), ...rows].map((row) => `| ${row.join(" | ")} |`).join(
    "\n"
  )

export const rowMarkdown = (rows: ReadonlyArray<RowResult>): string =>
  markdown(
    ["what", "compared with", "ours", "theirs", "ratio", "to reach"],
    rows.map((row) => [
      row.what,
      row.baseline,
      amount(row.ours, row.unit),
      amount(row.theirs, row.unit),
      `${row.verdict === "missed" ? "**" : ""}${fraction(row.ratio.median)}${
        row.verdict === "missed" ? "** (missed)" : ""
      }`,
      `≤ ${row.target}`
    ])
  )

export const caseMarkdown = (result: CaseResult): string => {
  const adds = result.contestants.some(({ added }) => added !== undefined)
  return markdown(
    [result.name.slice(result.name.indexOf("/") + 1), result.unit, ...adds ? ["added"] : []],
    result.contestants.map(({ added, name, total }) => [
      name,
      number(total.median),
      ...adds ? [added === undefined ? "" : number(added.median)] : []
    ])
  )
}

export const machineLine = (report: Report): string => {
  const { cores, cpu, gigabytes, platform } = report.machine
  const versions = Object.entries(report.versions).map(([name, version]) => `${name} ${version}`).join(", ")
  return `${report.date.slice(0, 10)}, ${cpu}, ${cores} cores, ${gigabytes} GB, ${platform}; ${versions}`
}
