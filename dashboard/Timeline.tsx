import { useState } from "preact/hooks"
import { escapeUnsafe } from "../src/internal/plainText.ts"
import { count, STATE_LABELS, STATE_NAMES, STATES_BY_URGENCY } from "../src/internal/words.ts"
import { lanesOf, linesOf, span, ticksOf, type Window } from "./model.ts"
import { Moment, StateBadge, Why } from "./parts.tsx"
import type { Store } from "./store.ts"

const SPANS = [
  { millis: 60_000, text: "1 min" },
  { millis: 5 * 60_000, text: "5 min" },
  { millis: 15 * 60_000, text: "15 min" },
  { millis: 60 * 60_000, text: "1 h" },
  { millis: 6 * 60 * 60_000, text: "6 h" },
  { millis: 24 * 60 * 60_000, text: "24 h" }
]

const MAX_LANES = 20
const MAX_LINES = 15

const narrow = matchMedia("(max-width: 560px)")
const tickTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })
const tickTimeWithSeconds = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23"
})

export const Timeline = ({ store }: { readonly store: Store }) => {
  const { shown, transitions } = store
  const { now } = store
  const oldest = transitions.reduce((least, { timestamp }) => Math.min(least, timestamp), now)
  // The slider goes by seconds.
  const furthest = Math.ceil(Math.max(0, now - oldest) / 1000) * 1000
  const back = Math.min(shown.back, furthest)
  const window: Window = { from: now - back - shown.span, to: now - back }
  return (
    <section aria-labelledby="timeline-title">
      <div class="section__head">
        <h2 id="timeline-title">Timeline</h2>
        <div class="filters" role="group" aria-label="How much of the past">
          {SPANS.map(({ millis, text }) => (
            <button
              type="button"
              key={text}
              class="filter"
              aria-pressed={shown.span === millis}
              onClick={() => store.lookBack({ span: millis })}
            >
              {text}
            </button>
          ))}
        </div>
      </div>
      {store.restartedAt === undefined
        ? null
        : (
          <p class="note">
            The program has restarted, noticed at <Moment at={store.restartedAt} />. What was before is gone.
          </p>
        )}
      {transitions.length === 0
        ? <p class="empty">No circuit has changed its state.</p>
        : (
          <div class="card timeline">
            <Lanes store={store} window={window} now={now} />
            <div class="timeline__back">
              <button
                type="button"
                class="button"
                aria-label="Earlier"
                disabled={back >= furthest}
                onClick={() => store.lookBack({ back: Math.min(furthest, back + shown.span / 2) })}
              >
                ←
              </button>
              <input
                type="range"
                min={-furthest}
                max={0}
                step={1000}
                value={-back}
                aria-label="Where the timeline ends"
                aria-valuetext={back === 0 ? "now" : `${span(back)} ago`}
                onInput={(event) => store.lookBack({ back: -event.currentTarget.valueAsNumber })}
              />
              <button
                type="button"
                class="button"
                aria-label="Later"
                disabled={back === 0}
                onClick={() => store.lookBack({ back: Math.max(0, back - shown.span / 2) })}
              >
                →
              </button>
              <button type="button" class="button" disabled={back === 0} onClick={() => store.lookBack({ back: 0 })}>
                Now
              </button>
            </div>
            <Events store={store} window={window} />
          </div>
        )}
    </section>
  )
}

const Lanes = ({ now, store, window }: { readonly store: Store; readonly window: Window; readonly now: number }) => {
  const lanes = lanesOf(store.transitions, window, now)
  const shown = lanes.slice(0, MAX_LANES)
  const length = window.to - window.from
  const left = (at: number) => `${(100 * (at - window.from) / length).toFixed(3)}%`
  const present = STATES_BY_URGENCY.filter((state) =>
    shown.some(({ segments }) => segments.some((each) => each.state === state))
  )
  const ticks = ticksOf(window, new Date(now).getTimezoneOffset(), narrow.matches ? 3 : 6)
  const format = length <= 5 * 60_000 ? tickTimeWithSeconds : tickTime
  if (shown.length === 0) return <p class="empty">No circuit changed then.</p>
  return (
    // The list below tells the same.
    <div class="lanes" aria-hidden="true">
      {shown.map(({ circuit, segments }) => (
        <div class="lane" key={circuit}>
          <span class="lane__name" title={escapeUnsafe(circuit)}>{escapeUnsafe(circuit)}</span>
          <div class="lane__bar">
            {segments.map(({ from, state, to }) => (
              <span
                key={from}
                class={`segment segment--${state}`}
                style={{ left: left(from), width: `${(100 * (to - from) / length).toFixed(3)}%` }}
                title={`${escapeUnsafe(circuit)}: ${STATE_LABELS[state]} for ${span(to - from)}`}
              />
            ))}
          </div>
        </div>
      ))}
      <div class="lane lane--axis">
        <span class="lane__name" />
        <div class="lane__bar">
          {ticks.map((at) => <span key={at} class="tick" style={{ left: left(at) }}>{format.format(at)}</span>)}
        </div>
      </div>
      <p class="legend">
        {present.map((state) => (
          <span key={state}>
            <span class={`legend__mark segment--${state}`} /> {STATE_LABELS[state]}
          </span>
        ))}
        {lanes.length > MAX_LANES ? <span>and {lanes.length - MAX_LANES} more circuits</span> : null}
      </p>
    </div>
  )
}

const Events = ({ store, window }: { readonly store: Store; readonly window: Window }) => {
  const [all, setAll] = useState(false)
  const events = store.transitions.filter(({ timestamp }) => timestamp >= window.from && timestamp <= window.to)
  const lines = linesOf(events)
  const shown = all ? lines : lines.slice(0, MAX_LINES)
  return (
    <>
      <h3 class="events__title">
        {count(events.length, "transition")}
      </h3>
      <ol class="events">
        {shown.map((line) => (
          <li key={`${line.event.circuit} ${line.event.sequence} ${line.event.timestamp}`}>
            <Moment at={line.event.timestamp} />
            <button
              type="button"
              class="link"
              aria-haspopup="dialog"
              onClick={() => void store.open(line.event.circuit)}
            >
              {escapeUnsafe(line.event.circuit)}
            </button>
            <StateBadge state={STATE_NAMES[line.event.to]} />
            <span class="events__why">
              <Why line={line} />
            </span>
          </li>
        ))}
      </ol>
      {lines.length > shown.length
        ? <button type="button" class="button" onClick={() => setAll(true)}>Show all {lines.length}</button>
        : null}
    </>
  )
}
