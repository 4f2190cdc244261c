/** Reads the health of checks and circuits, without running or calling any. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { CircuitBreaker } from "../../CircuitBreaker.ts"
import type { CircuitMetrics } from "../../CircuitMetrics.ts"
import type { CheckHealth, HealthReport, Reason } from "../../HealthReport.ts"
import { isSame } from "../circuit/handle.ts"
import type { Circuits } from "./circuits.ts"
import type { Entry } from "./entry.ts"
import * as Reasons from "./reasons.ts"
import { healthOf, reportOf } from "./report.ts"

export interface Sources {
  readonly entries: ReadonlyMap<string, Entry>
  readonly circuits: Pick<Circuits, "find" | "names">
  /** Whether a circuit is in the report without a check. */
  readonly includes: (circuit: string) => boolean
}

/** The circuit of a check. */
export const circuitOf = (circuits: Pick<Circuits, "find">, entry: Entry): CircuitBreaker | undefined => {
  const { circuit } = entry.settings
  return typeof circuit === "string" ? circuits.find(circuit) : circuit
}

export const readEntry = /* @__PURE__ */ Effect.fnUntraced(function*({ circuits, includes }: Sources, entry: Entry) {
  const breaker = circuitOf(circuits, entry)
  // A report has one place for a name: the circuit of the same name is shown here or nowhere.
  const namesake = includes(entry.name) ? circuits.find(entry.name) : undefined
  const bound = yield* metricsOf(breaker)
  const named = isSame(namesake, breaker) ? undefined : yield* metricsOf(namesake)
  return healthOf({
    name: entry.name,
    critical: entry.settings.critical,
    ...entry.last,
    reasons: [...entry.last.reasons, ...reasonsOfCircuit(bound, entry.name), ...reasonsOfCircuit(named, entry.name)],
    circuit: bound ?? named,
    lastProbe: entry.lastProbe
  })
})

export const readCircuit = (breaker: CircuitBreaker): Effect.Effect<CheckHealth> =>
  Effect.map(
    breaker.metrics,
    (circuit) => healthOf({ name: circuit.name, critical: true, reasons: Reasons.ofCircuit(circuit), circuit })
  )

/** The circuits that no check shows. */
export const otherCircuits = (sources: Sources): Effect.Effect<ReadonlyArray<CircuitBreaker>> =>
  Effect.map(sources.circuits.names, (names) => {
    const { circuits, entries, includes } = sources
    const shown = new Set(entries.keys())
    for (const entry of entries.values()) {
      const breaker = circuitOf(circuits, entry)
      if (breaker !== undefined && isSame(circuits.find(breaker.name), breaker)) shown.add(breaker.name)
    }
    return names
      .filter((name) => !shown.has(name) && includes(name))
      .map((name) => circuits.find(name))
      // Forgotten since it was named.
      .filter((breaker) => breaker !== undefined)
  })

export const readAll = /* @__PURE__ */ Effect.fnUntraced(function*(sources: Sources): Effect.fn.Return<HealthReport> {
  const ofChecks = yield* Effect.forEach(Array.from(sources.entries.values()), (entry) => readEntry(sources, entry))
  const ofCircuits = yield* Effect.forEach(yield* otherCircuits(sources), readCircuit)
  return reportOf([...ofChecks, ...ofCircuits], yield* DateTime.now)
})

const metricsOf = (breaker: CircuitBreaker | undefined): Effect.Effect<CircuitMetrics | undefined> =>
  breaker === undefined ? Effect.undefined : breaker.metrics

const reasonsOfCircuit = (circuit: CircuitMetrics | undefined, name: string): ReadonlyArray<Reason> =>
  circuit === undefined ? [] : Reasons.ofCircuit(circuit, circuit.name === name ? undefined : circuit.name)
