/**
 * What the command line writes: plain functions from values to text that fits
 * the columns of a terminal.
 */
import * as Arr from "effect/Array"
import * as CliOutput from "effect/cli/CliOutput"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Order from "effect/Order"
import type { CircuitEvent } from "../../CircuitEvent.ts"
import type { Circuit } from "../../admin/AdminApi.ts"
import { formatDuration, parseDuration as durationOf } from "../../internal/time/durationText.ts"
import { escapeUnsafe } from "../../internal/plainText.ts"
import { failureText, percent, reasonText, STATE_LABELS, STATE_NAMES, urgency } from "../../internal/words.ts"

// -----------------------------------------------------------------------------
// text
// -----------------------------------------------------------------------------

/** Text of others, which cannot move the cursor, change colors or break lines. */
export const clean = escapeUnsafe

export const quote = (text: string): string => clean(JSON.stringify(text))

const graphemes = new Intl.Segmenter()

/** The beginning of a text in so many columns, with `…` where it was cut. */
export const fit = (text: string, columns: number): string => {
  if (text.length <= columns && /^[\u0020-\u007e]*$/.test(text)) return text
  if (CliOutput.displayWidth(text) <= columns) return text
  let cut = ""
  let width = 1
  for (const { segment } of graphemes.segment(text)) {
    width += CliOutput.displayWidth(segment)
    if (width > columns) break
    cut += segment
  }
  return columns < 1 ? "" : `${cut}…`
}

export type Color = "red" | "green" | "yellow" | "cyan" | "dim" | "bold"

export type Paint = (color: Color | undefined, text: string) => string

const CODES = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2, bold: 1 }

export const plain: Paint = (_, text) => text

export const colored: Paint = (color, text) =>
  color === undefined || text === "" ? text : `\u001b[${CODES[color]}m${text}\u001b[0m`

// -----------------------------------------------------------------------------
// durations
// -----------------------------------------------------------------------------

export const ACCEPTED_DURATION = "a duration above zero such as 90 (seconds), 500ms, 5m, 1h30m or \"5 minutes\""

/** A duration as people type it, if it is above zero and has an end. */
export const parseDuration = (text: string): Duration.Duration | undefined => {
  const duration = durationOf(text)
  return duration !== undefined && Duration.isPositive(duration) && Duration.isFinite(duration) ? duration : undefined
}

const seconds = (amount: number): string =>
  formatDuration(Duration.seconds(amount < 10 ? Math.ceil(amount * 10) / 10 : Math.ceil(amount)))

// -----------------------------------------------------------------------------
// tables
// -----------------------------------------------------------------------------

export interface Cell {
  readonly text: string
  readonly color?: Color | undefined
}

export interface Column<A> {
  readonly title: string
  readonly align?: "right" | undefined
  /** Columns of a higher number give way first. Those without one stay, and are cut. */
  readonly givesWay?: number | undefined
  /** Takes the columns that the others leave, and is not there if all its cells are empty. */
  readonly isNote?: boolean | undefined
  readonly cell: (row: A) => Cell
}

const GAP = "  "
const MIN_WIDTH = 8
const MIN_NOTE_WIDTH = 24

/** The lines of a table, none of them wider than `columns`. */
export const table = <A>(
  all: ReadonlyArray<Column<A>>,
  rows: ReadonlyArray<A>,
  { columns, paint }: { readonly columns: number; readonly paint: Paint }
): ReadonlyArray<string> => {
  let shown = all.map((column) => {
    const cells = rows.map(column.cell)
    const natural = cells.reduce(
      (width, { text }) => Math.max(width, CliOutput.displayWidth(text)),
      column.title.length
    )
    return { ...column, cells, natural, width: column.isNote ? Math.min(natural, MIN_NOTE_WIDTH) : natural }
  }).filter(({ cells, isNote }) => !isNote || cells.some(({ text }) => text !== ""))
  const needed = () => shown.reduce((sum, { width }) => sum + width + GAP.length, -GAP.length)
  const tooMuch = () => Math.max(0, needed() - columns)
  // A long name gives some columns of its own before a number goes.
  shown = shown.map((column, index) =>
    index === 0 ? { ...column, width: Math.max(Math.min(column.width, 16), column.width - tooMuch()) } : column
  )
  for (;;) {
    const next = shown.reduce((next, { givesWay = 0 }) => Math.max(next, givesWay), 0)
    if (tooMuch() === 0 || next === 0) break
    shown = shown.filter(({ givesWay }) => givesWay !== next)
  }
  shown = shown.map((column) => ({
    ...column,
    width: Math.max(Math.min(column.width, MIN_WIDTH), column.width - tooMuch())
  }))
  const spare = Math.max(0, columns - needed())
  shown = shown.map((column) =>
    column.isNote ? { ...column, width: Math.min(column.natural, column.width + spare) } : column
  )

  const line = (cellOf: (column: typeof shown[number]) => Cell): string => {
    let line = ""
    let left = columns
    shown.forEach((column, index) => {
      const gap = index === 0 ? "" : GAP
      const { color, text } = cellOf(column)
      const cut = fit(text, Math.min(column.width, left - gap.length))
      const padding = " ".repeat(Math.max(0, Math.min(column.width, left - gap.length) - CliOutput.displayWidth(cut)))
      line += column.align === "right" ? gap + padding + paint(color, cut) : gap + paint(color, cut) + padding
      left -= gap.length + column.width
    })
    return line.trimEnd()
  }
  return [
    line(({ title }) => ({ text: title, color: "bold" })),
    ...rows.map((_, row) => line(({ cells }) => cells[row]!))
  ]
}

// -----------------------------------------------------------------------------
// circuits
// -----------------------------------------------------------------------------

const STATE_COLORS: Readonly<Record<Circuit["state"], Color>> = {
  open: "red",
  forced_open: "red",
  half_open: "yellow",
  metrics_only: "cyan",
  disabled: "cyan",
  closed: "green"
}

export const stateCell = (state: Circuit["state"]): Cell => ({ text: STATE_LABELS[state], color: STATE_COLORS[state] })

/** Whether a circuit rejects its calls. */
export const isOpen = ({ state }: Pick<Circuit, "state">): boolean => state === "open" || state === "forced_open"

/** The most urgent circuits first, as a small screen shows no others. */
export const sorted: <A extends Circuit>(circuits: ReadonlyArray<A>) => ReadonlyArray<A> = Arr.sortBy(
  Order.mapInput(Order.Number, urgency),
  Order.mapInput(Order.String, ({ name }: Circuit) => name)
)

const rateCell = (rate: number, threshold: number | null): Cell => ({
  text: threshold === null ? percent(rate) : `${percent(rate)} of ${percent(threshold)}`,
  color: threshold === null || rate === 0 ? undefined : rate >= threshold ? "red" : "yellow"
})

export const retryText = (circuit: Pick<Circuit, "state" | "time_until_retry">): string =>
  circuit.time_until_retry !== null
    ? seconds(circuit.time_until_retry)
    : circuit.state === "forced_open"
    ? "when released"
    : ""

/** How long a circuit stays open, as the end of a sentence. */
export const untilWhen = (circuit: Pick<Circuit, "state" | "time_until_retry">): string => {
  if (!isOpen(circuit)) return ""
  return circuit.time_until_retry === null ? " until it is released" : ` for ${retryText(circuit)}`
}

const lastFailure = ({ last_failure }: Circuit): string => last_failure === null ? "" : clean(failureText(last_failure))

/** The state of a circuit in one line: what failed last belongs to one that is in trouble. */
export const stateLine = (circuit: Circuit, paint: Paint): string => {
  const { color, text } = stateCell(circuit.state)
  const failure = isOpen(circuit) || circuit.state === "half_open" ? lastFailure(circuit) : ""
  return `${clean(circuit.name)}: ${paint(color, text)}${untilWhen(circuit)}${failure === "" ? "" : ` (${failure})`}`
}

export const circuitColumns: ReadonlyArray<Column<Circuit>> = [
  { title: "CIRCUIT", cell: ({ name }) => ({ text: clean(name) }) },
  { title: "STATE", cell: ({ state }) => stateCell(state) },
  {
    title: "FAILURES",
    align: "right",
    givesWay: 1,
    cell: ({ error_rate, thresholds }) => rateCell(error_rate, thresholds.error_rate)
  },
  {
    title: "SLOW",
    align: "right",
    givesWay: 5,
    cell: ({ slow_call_rate, thresholds }) => rateCell(slow_call_rate, thresholds.slow_call_rate)
  },
  { title: "CALLS", align: "right", givesWay: 4, cell: ({ total_calls }) => ({ text: String(total_calls) }) },
  {
    title: "IN FLIGHT",
    align: "right",
    givesWay: 7,
    cell: ({ calls_in_flight }) => ({ text: String(calls_in_flight) })
  },
  { title: "IGNORED", align: "right", givesWay: 8, cell: ({ ignored_calls }) => ({ text: String(ignored_calls) }) },
  { title: "REJECTED", align: "right", givesWay: 6, cell: ({ rejected_calls }) => ({ text: String(rejected_calls) }) },
  { title: "RETRY IN", align: "right", givesWay: 2, cell: (circuit) => ({ text: retryText(circuit) }) },
  {
    title: "LAST FAILURE",
    givesWay: 3,
    isNote: true,
    cell: (circuit) => ({ text: lastFailure(circuit), color: circuit.state === "closed" ? "dim" : undefined })
  }
]

const latencyText = (circuit: Circuit): string => {
  const text = (millis: number) => formatDuration(Duration.millis(millis))
  const { latency_p50_ms: p50, latency_p95_ms: p95, latency_p99_ms: p99 } = circuit
  return p50 === null || p95 === null || p99 === null
    ? ""
    : `half within ${text(p50)}, 95% within ${text(p95)}, 99% within ${text(p99)}`
}

/** All of one circuit, as labels and values. */
export const details = (circuit: Circuit): ReadonlyArray<readonly [label: string, cell: Cell]> => {
  const lines: Array<readonly [string, Cell]> = [
    ["state", stateCell(circuit.state)],
    ["policy", { text: clean(circuit.policy) }],
    ["failures in a row", { text: String(circuit.failure_count) }],
    ["failure rate", rateCell(circuit.error_rate, circuit.thresholds.error_rate)],
    ["slow call rate", rateCell(circuit.slow_call_rate, circuit.thresholds.slow_call_rate)],
    ["calls in window", { text: String(circuit.requests_in_window) }],
    ["calls", {
      text: `${circuit.total_calls}: ${circuit.successful_calls} successful, ${circuit.failed_calls} failed, ` +
        `${circuit.ignored_calls} ignored, ${circuit.late_calls} late, ${circuit.rejected_calls} rejected, ` +
        `${circuit.calls_in_flight} in flight`
    }]
  ]
  const add = (label: string, text: string) => {
    if (text !== "") lines.push([label, { text }])
  }
  add(
    "average response",
    circuit.average_response_time_ms === null ? "" : formatDuration(Duration.millis(circuit.average_response_time_ms))
  )
  add("latency", latencyText(circuit))
  add("last failure", clean(circuit.last_failure_time ?? ""))
  add("what failed last", lastFailure(circuit))
  add("retry in", retryText(circuit))
  add("latest open time", circuit.current_backoff === null ? "" : seconds(circuit.current_backoff))
  add("openings in a row", String(circuit.consecutive_openings))
  add("state changes", String(circuit.state_changes))
  return lines
}

// -----------------------------------------------------------------------------
// events
// -----------------------------------------------------------------------------

export const timeOf = ({ timestamp }: { readonly timestamp: number }): string =>
  DateTime.formatIso(DateTime.makeUnsafe(timestamp))

/** The time of day, in UTC. */
export const clock = (timestamp: number): string => `${timeOf({ timestamp }).slice(11, 19)}Z`

/** A change in one line, without its time. */
export const change = (event: Exclude<CircuitEvent, { readonly _tag: "CallEnded" }>, paint: Paint): string => {
  const circuit = clean(event.circuit)
  if (event._tag === "Reconfigured") return `${circuit}: reconfigured, ${clean(event.changed.join(", "))}`
  const from = stateCell(STATE_NAMES[event.from])
  const to = stateCell(STATE_NAMES[event.to])
  const failure = event.to === "Open" && event.lastFailure !== undefined ? ` (${failureText(event.lastFailure)})` : ""
  return `${circuit}: ${from.text} → ${paint(to.color, to.text)}, ${clean(reasonText(event) + failure)}`
}
