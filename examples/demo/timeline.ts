/**
 * Draws a run as text, from the entries of its journal: a row per second, a
 * heading per scene, a line per change of a circuit, and what it came to. It
 * only makes the lines, whoever passes the entries in prints them.
 */
import { type Check, select, stalled } from "./checks.ts"
import { type Answer, type Entry, type Tier, TIERS } from "./journal.ts"

export interface Options {
  readonly color: boolean
  /** Calls per second of the load, for the scale of the bars. */
  readonly rate: number
  readonly rowMillis: number
}

/** What has been drawn so far, and what waits for the end of its row. */
export interface Timeline {
  readonly options: Options
  readonly paint: Paint
  begun: boolean
  rowEnd: number
  calls: Array<{ readonly answer: Answer; readonly millis: number }>
  retries: number
  readonly circuits: Map<Tier, string>
  /** When each circuit left `Closed`. */
  readonly openSince: Map<Tier, number>
}

export const make = (options: Options): Timeline => ({
  options,
  paint: makePaint(options.color),
  begun: false,
  rowEnd: options.rowMillis,
  calls: [],
  retries: 0,
  circuits: new Map(TIERS.map((tier) => [tier, "Closed"])),
  openSince: new Map()
})

/** What runs, and by which rules. */
export const drawIntro = (
  { options, paint }: Timeline,
  intro: {
    readonly servers: ReadonlyArray<{
      readonly tier: Tier
      readonly what: string
      readonly pid: number | undefined
      readonly url: string
    }>
    /** Whom a rule is for, and what it says. */
    readonly rules: ReadonlyArray<readonly [string, string]>
  }
): ReadonlyArray<string> => [
  paint("bold", `${options.rate} calls a second for CRM accounts, through three tiers`),
  "",
  ...intro.servers.map(({ pid, tier, url, what }) =>
    `  ${LOOKS[tier].glyph} ${paint(LOOKS[tier].color, tier.padEnd(10))}  ${what.padEnd(39)}` +
    paint("dim", `  process ${pid}, ${url}`)
  ),
  "",
  ...drawRules(paint, intro.rules),
  ""
]

/** A rule that all tiers have is written once. */
const drawRules = (paint: Paint, rules: ReadonlyArray<readonly [string, string]>): ReadonlyArray<string> => {
  const parts = rules.flatMap(([who, rule]) => rule.split("; ").map((part) => ({ who, part })))
  const lines = Array.from(
    Map.groupBy(parts, ({ part }) => part),
    ([part, same]) => same.length === TIERS.length ? [{ who: "each tier", part }] : same
  ).flat()
  return lines.map(({ part, who }, i) => {
    const subject = who === lines[i - 1]?.who ? "" : who
    return `  ${paint("dim", subject.padEnd(11))} ${part}`
  })
}

/** The lines that an entry completes. */
export const draw = (timeline: Timeline, entry: Entry): ReadonlyArray<string> => {
  timeline.begun ||= entry._tag === "Began"
  if (!timeline.begun) return []
  const rows: Array<string> = []
  while (entry.at >= timeline.rowEnd) {
    rows.push(row(timeline))
    timeline.rowEnd += timeline.options.rowMillis
  }
  return [...rows, ...drawEntry(timeline, entry)]
}

const drawEntry = (timeline: Timeline, entry: Entry): ReadonlyArray<string> => {
  switch (entry._tag) {
    case "Began":
      return [columns(timeline)]
    case "Scene":
      return [heading(timeline, entry.at, entry.title)]
    case "Changed":
      return change(timeline, entry)
    case "Built":
      return [event(timeline, entry, "connected anew")]
    case "Became":
      return entry.note === "" ? [] : [event(timeline, entry, entry.note)]
    case "Called":
      timeline.calls.push({ answer: entry.answer, millis: entry.at - entry.from })
      return []
    case "Retried":
      timeline.retries++
      return []
    case "Ended":
      return timeline.calls.length === 0 ? [] : [row(timeline)]
    default:
      return []
  }
}

// -----------------------------------------------------------------------------
// rows
// -----------------------------------------------------------------------------

const BAR = 40
const LOOKS: Record<Tier | "failed", { readonly name: string; readonly glyph: string; readonly color: Color }> = {
  tier1_mcp: { name: "1 MCP", glyph: "█", color: "green" },
  tier2_sdk: { name: "2 SDK", glyph: "▓", color: "cyan" },
  tier3_rest: { name: "3 REST", glyph: "░", color: "magenta" },
  failed: { name: "failed", glyph: "×", color: "red" }
}
const SERVERS = [...TIERS, "failed"] as const

const columns = ({ paint }: Timeline): string => {
  const legend = SERVERS.map((server) => `${LOOKS[server].glyph} ${LOOKS[server].name}`).join("  ")
  return paint("dim", `   time  1  2  3   ${legend.padEnd(BAR)}     1    2    3 fail retry    p50    p99`)
}

const row = (timeline: Timeline): string => {
  const { circuits, options, paint, rowEnd } = timeline
  const calls = timeline.calls
  const retries = timeline.retries
  timeline.calls = []
  timeline.retries = 0

  const served = SERVERS.map((server) => ({
    server,
    count: calls.filter(({ answer }) => (answer._tag === "Failed" ? "failed" : answer.tier) === server).length
  }))
  const cells = barCells(served.map(({ count }) => count), options.rate * options.rowMillis / 1000)
  const bar = served.map(({ server }, i) => paint(LOOKS[server].color, LOOKS[server].glyph.repeat(cells[i]!))).join("")
  const blank = " ".repeat(BAR - cells.reduce((sum, n) => sum + n, 0))

  const states = TIERS.map((tier) => circuitGlyph(timeline, circuits.get(tier)!)).join("  ")
  const counts = served.map(({ count, server }) =>
    count === 0 ? paint("dim", "    ·") : paint(LOOKS[server].color, String(count).padStart(5))
  ).join("")
  const sorted = calls.map(({ millis }) => millis).toSorted((a, b) => a - b)
  return `${seconds(rowEnd).padStart(7)}  ${states}   ${bar}${blank} ${counts}` +
    (retries === 0 ? paint("dim", "     ·") : String(retries).padStart(6)) +
    `${millis(percentile(sorted, 0.5)).padStart(7)}${millis(percentile(sorted, 0.99)).padStart(7)}`
}

/** Divides the cells of a bar among counts so that their sum is right and none that counts is left out. */
export const barCells = (counts: ReadonlyArray<number>, full: number): ReadonlyArray<number> => {
  const sum = counts.reduce((a, b) => a + b, 0)
  if (sum === 0) return counts.map(() => 0)
  const width = Math.max(counts.filter((n) => n > 0).length, Math.min(BAR, Math.round(sum * BAR / full)))
  const cells = counts.map((n) => n === 0 ? 0 : Math.max(1, Math.floor(n * width / sum)))
  const widest = cells.indexOf(Math.max(...cells))
  cells[widest]! += width - cells.reduce((a, b) => a + b, 0)
  return cells
}

/** The value below which a share of the sorted values lies. */
export const percentile = (sorted: ReadonlyArray<number>, share: number): number | undefined =>
  sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)]

// -----------------------------------------------------------------------------
// headings and changes
// -----------------------------------------------------------------------------

const heading = ({ paint }: Timeline, at: number, title: string): string => {
  const text = `── ${seconds(at)} ── ${title} `
  return paint("bold", text + "─".repeat(Math.max(0, 99 - text.length)))
}

/** A circuit that probes tells what came of it, so that each attempt to recover is one line. */
const change = (timeline: Timeline, entry: Extract<Entry, { readonly _tag: "Changed" }>): ReadonlyArray<string> => {
  const { circuits, openSince, paint } = timeline
  circuits.set(entry.tier, entry.to)
  if (entry.from === "Closed") openSince.set(entry.tier, entry.at)
  if (entry.to === "HalfOpen") return []
  const probed = entry.from === "HalfOpen"
  const text = entry.to === "Open"
    ? `${paint("red", probed ? "half-opened, opened again" : "opened")} for ${seconds(entry.openFor)}: ${entry.why}`
    : `${paint("green", probed ? "half-opened, closed" : "closed")} after ${
      seconds(entry.at - (openSince.get(entry.tier) ?? entry.at))
    }: ${entry.why}`
  return [event(timeline, entry, `${circuitGlyph(timeline, entry.to)} ${text}`)]
}

const event = ({ paint }: Timeline, { at, tier }: { readonly at: number; readonly tier: Tier }, text: string): string =>
  `${paint("dim", seconds(at).padStart(7))}   ${paint(LOOKS[tier].color, tier.padEnd(10))} ${text}`

const circuitGlyph = ({ paint }: Timeline, state: string): string =>
  state === "Closed" ? paint("green", "●") : state === "HalfOpen" ? paint("yellow", "◐") : paint("red", "○")

// -----------------------------------------------------------------------------
// the end
// -----------------------------------------------------------------------------

/** What the run came to, and whether all is as it must be. */
export const drawSummary = (
  { paint }: Timeline,
  entries: ReadonlyArray<Entry>,
  checks: ReadonlyArray<Check>
): ReadonlyArray<string> => {
  const calls = select(entries, "Called")
  const answered = (tag: Answer["_tag"]) => calls.filter(({ answer }) => answer._tag === tag)
  const servedBy = (tier: Tier) => calls.filter(({ answer }) => answer._tag !== "Failed" && answer.tier === tier).length
  const failed = answered("Failed")
  const times = sortedTimes(calls)
  const line = (title: string, text: string) => `${paint("bold", title.padStart(10))}  ${text}`
  const limit = select(entries, "Began")[0]?.limits.deadline
  const broken = checks.filter(({ violations }) => violations.length > 0).length

  return [
    "",
    line(
      "calls",
      `${calls.length}: ${answered("Found").length} found, ${answered("NotFound").length} not found (an answer too), ` +
        paint(failed.length === 0 ? "green" : "red", `${failed.length} failed`)
    ),
    ...(failed.length === 0 ? [] : [line(
      "",
      `they failed between ${seconds(failed[0]!.from)} and ${seconds(failed.at(-1)!.at)}, ` +
        `typically in ${millis(percentile(sortedTimes(failed), 0.5))}`
    )]),
    line("served by", TIERS.map((tier) => paint(LOOKS[tier].color, `${tier} ${servedBy(tier)}`)).join("   ")),
    line(
      "time",
      `p50 ${millis(percentile(times, 0.5))}, p99 ${millis(percentile(times, 0.99))}, ` +
        `longest ${millis(times.at(-1))} of the ${limit}ms allowed`
    ),
    ...TIERS.map((tier, i) => line(i === 0 ? "circuits" : "", circuitSummary(paint, entries, tier))),
    line("machine", `kept the demo or a server waiting for ${Math.round(stalled(entries) * 100)}% of the time`),
    ...checks.flatMap(({ name, seen, spared = 0, violations }, i) => [
      line(
        i === 0 ? "checks" : "",
        violations.length === 0
          ? seen === 0 && spared > 0
            ? `${paint("yellow", "?")} ${name} ${paint("dim", `(${spared} not judged: the machine was too busy)`)}`
            : `${paint("green", "✓")} ${name} ${
              paint("dim", `(${seen}${spared === 0 ? "" : `, ${spared} not judged`})`)
            }`
          : `${paint("red", "✗")} ${name}: ${violations.length} of ${seen}`
      ),
      ...violations.slice(0, VIOLATIONS_SHOWN).map((violation) => line("", paint("red", `  ${shortened(violation)}`)))
    ]),
    "",
    broken === 0
      ? paint("green", `All ${checks.length} checks hold.`)
      : paint("red", `${broken} of ${checks.length} checks do not hold.`)
  ]
}

const VIOLATIONS_SHOWN = 5

const shortened = (text: string): string => text.length <= 86 ? text : `${text.slice(0, 85)}…`

const circuitSummary = (paint: Paint, entries: ReadonlyArray<Entry>, tier: Tier): string => {
  const changes = select(entries, "Changed").filter((change) => change.tier === tier)
  const opened = changes.filter(({ to }) => to === "Open").length
  const closed = changes.filter(({ to }) => to === "Closed").length
  const counts = select(entries, "Counted").find((counts) => counts.tier === tier)
  return `${paint(LOOKS[tier].color, tier.padEnd(10))} ${counts?.state}; opened ${opened}×, closed ${closed}×, ` +
    `${counts?.failures} failures counted, ${counts?.rejected} calls spared`
}

const sortedTimes = (calls: ReadonlyArray<{ readonly from: number; readonly at: number }>): ReadonlyArray<number> =>
  calls.map(({ at, from }) => at - from).toSorted((a, b) => a - b)

// -----------------------------------------------------------------------------
// text
// -----------------------------------------------------------------------------

const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`

const millis = (value: number | undefined): string =>
  value === undefined ? "·" : value < 1 ? "<1ms" : `${Math.round(value)}ms`

type Color = "bold" | "dim" | "red" | "green" | "yellow" | "magenta" | "cyan"
type Paint = (color: Color, text: string) => string

const CODES: Record<Color, number> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, magenta: 35, cyan: 36 }

const makePaint = (color: boolean): Paint => (name, text) =>
  color && text !== "" ? `\u001b[${CODES[name]}m${text}\u001b[0m` : text
