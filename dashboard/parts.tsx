/** Small things that are shown in several places. */
import { escapeUnsafe } from "../src/internal/plainText.ts"
import { count, reasonText, STATE_LABELS } from "../src/internal/words.ts"
import type { State } from "./api.ts"
import { type Line, type Outage, POINTS, STATE_SIGNS } from "./model.ts"

export const StateBadge = ({ state }: { readonly state: State }) => (
  <span class={`state state--${state}`}>
    <span aria-hidden="true">{STATE_SIGNS[state]}</span> {STATE_LABELS[state]}
  </span>
)

const WIDTH = 120
const HEIGHT = 28

/** Calls per second of the last minute, those that failed or were rejected before them. */
export const Spark = ({ all, bad }: { readonly all: ReadonlyArray<number>; readonly bad: ReadonlyArray<number> }) => {
  const top = Math.max(1, ...all)
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <path class="spark__all" d={area(all, top)} />
      <path class="spark__bad" d={area(bad, top)} />
    </svg>
  )
}

const area = (points: ReadonlyArray<number>, top: number): string => {
  if (points.length < 2) return ""
  const step = WIDTH / (POINTS - 1)
  const start = WIDTH - (points.length - 1) * step
  const line = points.map((value, i) =>
    `${(start + i * step).toFixed(1)} ${(HEIGHT - HEIGHT * value / top).toFixed(1)}`
  )
  return `M${start.toFixed(1)} ${HEIGHT}L${line.join("L")}L${WIDTH} ${HEIGHT}Z`
}

const dateAndTime = new Intl.DateTimeFormat(undefined, {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23"
})
const timeOnly = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23"
})

export const Moment = ({ at }: { readonly at: number }) => {
  const isToday = new Date(at).toDateString() === new Date().toDateString()
  return <time dateTime={new Date(at).toISOString()}>{(isToday ? timeOnly : dateAndTime).format(at)}</time>
}

/** Why a circuit changed. */
export const Why = ({ line: { event, failures, since } }: { readonly line: Line }) =>
  failures > 1
    ? (
      <>
        {failures} probes failed since <Moment at={since} />
      </>
    )
    : <>{escapeUnsafe(reasonText(event))}</>

/** Since when a circuit has not been closed, and how often it has opened. */
export const Since = ({ outage: { first, isWhole, openings } }: { readonly outage: Outage }) => (
  <>
    {isWhole ? "since" : "since before"} <Moment at={first.timestamp} />
    {openings > 1 ? `, ${count(openings, "opening")}` : ""}
  </>
)
