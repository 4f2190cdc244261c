import { useMemo } from "preact/hooks"
import { escapeUnsafe } from "../src/internal/plainText.ts"
import {
  ALARMING_FAILURE_RATE,
  count,
  failureText,
  percent,
  STATE_LABELS,
  STATES_BY_URGENCY
} from "../src/internal/words.ts"
import { type Circuit, PAGE_SIZE, type State } from "./api.ts"
import {
  type CircuitTrend,
  latency,
  type Outage,
  outagesOf,
  perSecond,
  type Rule,
  ruleOf,
  span,
  STATE_SIGNS
} from "./model.ts"
import { Since, Spark, StateBadge } from "./parts.tsx"
import type { Store } from "./store.ts"

export const Circuits = ({ store }: { readonly store: Store }) => {
  const { page, query } = store
  return (
    <section id="circuits" aria-labelledby="circuits-title" tabIndex={-1}>
      <div class="section__head">
        <h2 id="circuits-title">Circuits</h2>
        <label class="search">
          <span class="search__label">Find by name</span>
          <input
            type="search"
            value={query.search}
            placeholder="Find by name"
            onInput={(event) => store.choose({ search: event.currentTarget.value })}
          />
        </label>
        {store.admin?.admin.changes === true
          ? <button type="button" class="button" onClick={() => void store.open(undefined)}>Reset all…</button>
          : null}
      </div>
      <Filters store={store} />
      {page === undefined ? <p class="empty">Loading…</p> : page.circuits.length === 0
        ? (
          <p class="empty">
            {query.search !== "" || query.state !== undefined
              ? "No circuit matches."
              : "No circuit yet: each appears with its first call."}
          </p>
        )
        : <Table store={store} circuits={page.circuits} />}
      {page !== undefined && page.total > PAGE_SIZE ? <Pages store={store} total={page.total} /> : null}
    </section>
  )
}

const Filters = ({ store }: { readonly store: Store }) => {
  const counts = store.health?.circuits_by_state
  if (counts === undefined) return null
  const chosen = store.query.state
  const filter = (state: State | undefined, text: string, circuits: number) => (
    <button
      type="button"
      key={text}
      class={`filter${state === undefined ? "" : ` filter--${state}`}`}
      aria-pressed={chosen === state}
      onClick={() => store.choose({ state })}
    >
      {state === undefined ? null : <span aria-hidden="true">{STATE_SIGNS[state]}{" "}</span>}
      {text} <b>{circuits}</b>
    </button>
  )
  return (
    <div class="filters" role="group" aria-label="Show circuits by state">
      {filter(undefined, "all", store.health!.total_circuits)}
      {STATES_BY_URGENCY.filter((state) =>
        counts[state] > 0 || state === chosen || state === "open" || state === "closed"
      )
        .map((state) => filter(state, STATE_LABELS[state], counts[state]))}
    </div>
  )
}

// A narrow screen shows rows as cards, which would take the roles of a table away.
const Table = ({ circuits, store }: { readonly store: Store; readonly circuits: ReadonlyArray<Circuit> }) => {
  const { transitions } = store
  const outages = useMemo(() => outagesOf(transitions), [transitions])
  // A column that would say of every circuit that there is nothing to say takes the place of those that do.
  const isTimed = circuits.some((circuit) => circuit.average_response_time_ms !== null)
  const columns = ["Circuit", "State", "Failures", "Calls", ...(isTimed ? ["Latency"] : [])]
  return (
    <table class="circuits" role="table" aria-labelledby="circuits-title">
      <thead role="rowgroup">
        <tr role="row">{columns.map((title) => <th key={title} role="columnheader" scope="col">{title}</th>)}</tr>
      </thead>
      <tbody role="rowgroup">
        {circuits.map((circuit) => (
          <Row
            key={circuit.name}
            store={store}
            circuit={circuit}
            isTimed={isTimed}
            outage={outages.get(circuit.name)}
            trend={store.circuitTrends.get(circuit.name)}
          />
        ))}
      </tbody>
    </table>
  )
}

const Row = ({ circuit, isTimed, outage, store, trend }: {
  readonly store: Store
  readonly circuit: Circuit
  readonly isTimed: boolean
  readonly outage: Outage | undefined
  readonly trend: CircuitTrend | undefined
}) => {
  const rates = trend?.rates
  const wait = circuit.time_until_retry
  const rule = ruleOf(circuit, outage)
  const isQuiet = circuit.state === "closed" && circuit.failure_count === 0 && circuit.error_rate === 0
  const failure = circuit.last_failure === null ? undefined : escapeUnsafe(failureText(circuit.last_failure))
  return (
    <tr role="row" class={`row row--${circuit.state}`}>
      <th role="rowheader" scope="row" class="row__name">
        <button type="button" class="link" aria-haspopup="dialog" onClick={() => void store.open(circuit.name)}>
          {escapeUnsafe(circuit.name)}
        </button>
        {isQuiet || failure === undefined
          ? null
          : <span class="row__failure" title={failure}>{failure}</span>}
      </th>
      <td role="cell" data-title="State">
        <StateBadge state={circuit.state} />
        {outage === undefined ? null : (
          <span class="row__note">
            <Since outage={outage} />
          </span>
        )}
        {wait !== null && wait > 0 ? <span class="row__note">retry in {span(wait * 1000)}</span> : null}
        {circuit.state === "forced_open" && wait === null ? <span class="row__note">until closed by hand</span> : null}
        {circuit.state === "half_open"
          ? <span class="row__note">{circuit.success_count} good probes</span>
          : null}
      </td>
      <td role="cell" data-title="Failures">
        {rule === undefined ? null : <RuleBar rule={rule} />}
        {rule?.kind === "FailureRate" || (rule !== undefined && circuit.error_rate === 0)
          ? null
          : (
            <span class="row__note">
              {percent(circuit.error_rate)} of {count(circuit.requests_in_window, "call")} failed
            </span>
          )}
      </td>
      <td role="cell" data-title="Calls">
        <span class="figure">{rates === undefined ? "…" : perSecond(rates.calls)}</span>
        {trend?.calls.some((calls) => calls > 0) === true ? <Spark all={trend.calls} bad={trend.failures} /> : null}
        <Notes circuit={circuit} rejections={rates?.rejections ?? 0} />
      </td>
      {isTimed
        ? (
          <td role="cell" data-title="Latency">
            {rates?.latency !== undefined
              ? <span class="figure">{latency(rates.latency)}</span>
              : circuit.average_response_time_ms === null
              ? <span class="quiet">–</span>
              : <span class="quiet">{latency(circuit.average_response_time_ms)} on average</span>}
            {circuit.latency_p95_ms === null
              ? null
              : <span class="row__note">95% within {latency(circuit.latency_p95_ms)}</span>}
          </td>
        )
        : null}
    </tr>
  )
}

/** What there is to say of the calls of a circuit beside their number. */
const Notes = ({ circuit, rejections }: { readonly circuit: Circuit; readonly rejections: number }) => {
  const { calls_in_flight, ignored_calls, rejected_calls } = circuit
  const notes = [
    ...(calls_in_flight > 0 ? [`${calls_in_flight} in flight`] : []),
    ...(rejected_calls > 0
      ? [`${rejected_calls} rejected${rejections > 0 ? `, ${perSecond(rejections)} now` : ""}`]
      : []),
    ...(ignored_calls > 0 ? [`${ignored_calls} ignored`] : [])
  ]
  return <>{notes.map((note) => <span key={note} class="row__note">{note}</span>)}</>
}

const UNITS = { FailureRate: "failed", ConsecutiveFailures: "in a row", SlowCallRate: "slow" } as const

/** A rule as text, and as a bar with a mark where the circuit opens. */
const RuleBar = ({ rule: { kind, limit, value } }: { readonly rule: Rule }) => {
  const isCount = kind === "ConsecutiveFailures"
  const of = (figure: number) => isCount ? String(Math.min(figure, 999)) : percent(figure)
  // Rates fill the bar at 100%. A count is at its end when it is at its limit.
  const width = (figure: number) => `${100 * Math.min(1, isCount ? figure / limit : figure)}%`
  const level = value >= limit
    ? " rate--over"
    : value > (isCount ? limit / 2 : ALARMING_FAILURE_RATE)
    ? " rate--high"
    : ""
  return (
    <>
      <span class="figure">
        {of(value)} <span class="quiet">of {of(limit)} {UNITS[kind]}</span>
      </span>
      <span class={`rate${level}`} aria-hidden="true">
        <span class="rate__fill" style={{ width: width(value) }} />
        {isCount ? null : <span class="rate__mark" style={{ left: width(limit) }} />}
      </span>
    </>
  )
}

const Pages = ({ store, total }: { readonly store: Store; readonly total: number }) => {
  const { offset } = store.query
  const last = Math.min(total, offset + PAGE_SIZE)
  return (
    <nav class="pages" aria-label="Pages of circuits">
      <button
        type="button"
        class="button"
        disabled={offset === 0}
        onClick={() => store.choose({ offset: Math.max(0, offset - PAGE_SIZE) })}
      >
        Previous
      </button>
      <span>{offset + 1} to {last} of {total}</span>
      <button
        type="button"
        class="button"
        disabled={last >= total}
        onClick={() => store.choose({ offset: offset + PAGE_SIZE })}
      >
        Next
      </button>
    </nav>
  )
}
