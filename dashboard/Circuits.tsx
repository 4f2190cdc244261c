import { ALARMING_FAILURE_RATE, percent, STATE_LABELS, STATES_BY_URGENCY } from "../src/internal/words.ts"
import { type Circuit, PAGE_SIZE, type State } from "./api.ts"
import { type CircuitTrend, latency, perSecond, span, STATE_SIGNS } from "./model.ts"
import { Spark, StateBadge } from "./parts.tsx"
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
  const filter = (state: State | undefined, text: string, count: number) => (
    <button
      type="button"
      key={text}
      class={`filter${state === undefined ? "" : ` filter--${state}`}`}
      aria-pressed={chosen === state}
      onClick={() => store.choose({ state })}
    >
      {state === undefined ? null : <span aria-hidden="true">{STATE_SIGNS[state]}{" "}</span>}
      {text} <b>{count}</b>
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

const COLUMNS = ["Circuit", "State", "Failures", "Slow calls", "Calls", "Latency", "In flight", "Rejected"] as const

// A narrow screen shows rows as cards, which would take the roles of a table away.
const Table = ({ circuits, store }: { readonly store: Store; readonly circuits: ReadonlyArray<Circuit> }) => (
  <table class="circuits" role="table" aria-labelledby="circuits-title">
    <thead role="rowgroup">
      <tr role="row">{COLUMNS.map((title) => <th key={title} role="columnheader" scope="col">{title}</th>)}</tr>
    </thead>
    <tbody role="rowgroup">
      {circuits.map((circuit) => (
        <Row key={circuit.name} store={store} circuit={circuit} trend={store.circuitTrends.get(circuit.name)} />
      ))}
    </tbody>
  </table>
)

const Row = ({ circuit, store, trend }: {
  readonly store: Store
  readonly circuit: Circuit
  readonly trend: CircuitTrend | undefined
}) => {
  const rates = trend?.rates
  const { thresholds } = circuit
  const wait = circuit.time_until_retry
  return (
    <tr role="row" class={`row row--${circuit.state}`}>
      <th role="rowheader" scope="row" class="row__name">
        <button type="button" class="link" aria-haspopup="dialog" onClick={() => void store.open(circuit.name)}>
          {circuit.name}
        </button>
      </th>
      <td role="cell" data-title="State">
        <StateBadge state={circuit.state} />
        {wait !== null && wait > 0 ? <span class="row__note">retry in {span(wait * 1000)}</span> : null}
        {circuit.state === "forced_open" && wait === null ? <span class="row__note">until closed by hand</span> : null}
        {circuit.state === "half_open"
          ? <span class="row__note">{circuit.success_count} good probes</span>
          : null}
      </td>
      <td role="cell" data-title="Failures">
        <Rate rate={circuit.error_rate} threshold={thresholds.error_rate} calls={circuit.requests_in_window} />
        {thresholds.failure_count === null ?
          null :
          <span class="row__note">{Math.min(circuit.failure_count, 999)} of {thresholds.failure_count} in a row</span>}
      </td>
      <td role="cell" data-title="Slow calls">
        {thresholds.slow_call_rate === null ? <span class="quiet">–</span> : (
          <>
            <Rate
              rate={circuit.slow_call_rate}
              threshold={thresholds.slow_call_rate}
              calls={circuit.requests_in_window}
            />
            <span class="row__note">over {latency(thresholds.slow_call_duration_ms ?? 0)}</span>
          </>
        )}
      </td>
      <td role="cell" data-title="Calls">
        <span class="figure">{rates === undefined ? "…" : perSecond(rates.calls)}</span>
        {trend === undefined ? null : <Spark all={trend.calls} bad={trend.failures} />}
        {circuit.ignored_calls > 0 ? <span class="row__note">{circuit.ignored_calls} ignored</span> : null}
      </td>
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
      <td role="cell" data-title="In flight">{circuit.calls_in_flight}</td>
      <td role="cell" data-title="Rejected">
        {circuit.rejected_calls}
        {rates !== undefined && rates.rejections > 0
          ? <span class="row__note">{perSecond(rates.rejections)} now</span>
          : null}
      </td>
    </tr>
  )
}

/** A rate as text, and as a bar with a mark where the circuit opens. */
const Rate = ({ calls, rate, threshold }: {
  readonly rate: number
  readonly threshold: number | null
  readonly calls: number
}) => (
  <>
    <span class="figure">
      {percent(rate)}
      {threshold === null ? null : <span class="quiet">of {percent(threshold)}</span>}
    </span>
    <span
      class={`rate${
        threshold !== null && rate >= threshold ? " rate--over" : rate > ALARMING_FAILURE_RATE ? " rate--high" : ""
      }`}
      title={`${percent(rate)} of ${calls} calls`}
      aria-hidden="true"
    >
      <span class="rate__fill" style={{ width: `${rate * 100}%` }} />
      {threshold === null ? null : <span class="rate__mark" style={{ left: `${threshold * 100}%` }} />}
    </span>
  </>
)

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
