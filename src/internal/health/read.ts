/** Reads the health of checks and circuits, without running or calling any. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { CircuitBreaker } from "../../CircuitBreaker.ts"
import type { CircuitMetrics } from "../../CircuitMetrics.ts"
import type { CheckHealth, HealthReport, Reason, Status } from "../../HealthReport.ts"
import { isSame } from "../circuit/handle.ts"
import { isOpen } from "../circuit/machine.ts"
import { collectInPieces } from "../pieces.ts"
import type { Glance } from "../registry/status.ts"
import type { Circuits } from "./circuits.ts"
import type { Entry } from "./entry.ts"
import { firstOf, type Worst } from "./inside.ts"
import * as Reasons from "./reasons.ts"
import { healthOf, reportOf, statusOf, worst } from "./report.ts"

export interface Sources {
  readonly entries: ReadonlyMap<string, Entry>
  readonly circuits: Pick<Circuits, "find" | "names" | "troubled">
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

/** The circuits of these names that no check shows. */
export const otherCircuits = (
  sources: Sources,
  names: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<CircuitBreaker>> =>
  Effect.suspend(() => {
    const isOther = otherThanShown(sources)
    // One may be forgotten since it was named.
    return collectInPieces(() => names, (name) => isOther(name) ? sources.circuits.find(name) : undefined)
  })

const otherThanShown = ({ circuits, entries, includes }: Sources): (circuit: string) => boolean => {
  const shown = new Set(entries.keys())
  for (const entry of entries.values()) {
    const breaker = circuitOf(circuits, entry)
    if (breaker !== undefined && isSame(circuits.find(breaker.name), breaker)) shown.add(breaker.name)
  }
  return (name) => !shown.has(name) && includes(name)
}

export const readAll = (sources: Sources): Effect.Effect<HealthReport> =>
  Effect.flatMap(sources.circuits.names, (names) => readNamed(sources, names))

/** The report of all checks and the circuits of these names. */
export const readNamed = /* @__PURE__ */ Effect.fnUntraced(
  function*(sources: Sources, names: ReadonlyArray<string>): Effect.fn.Return<HealthReport> {
    const ofChecks = yield* readEntries(sources)
    const ofCircuits = yield* Effect.forEach(yield* otherCircuits(sources, names), readCircuit)
    return reportOf([...ofChecks, ...ofCircuits], yield* DateTime.now)
  }
)

/** The report of all, with the worst checks only: reads no more circuits than it shows. */
export const readWorst = /* @__PURE__ */ Effect.fnUntraced(
  function*(sources: Sources, limit: number): Effect.fn.Return<Worst> {
    const { circuits, entries } = sources
    const isOther = otherThanShown(sources)
    const all = yield* circuits.names
    const others = yield* collectInPieces(() => all, (name) => isOther(name) ? name : undefined)
    const inTrouble = yield* circuits.troubled
    const troubled = yield* collectInPieces(
      () => inTrouble,
      (circuit) => isOther(circuit.name) ? circuit : undefined
    )
    const names = new Set<string>()
    for (const unhealthy of [true, false]) {
      for (const { name, state } of troubled) {
        if (names.size >= limit) break
        if (isOpen(state) === unhealthy) names.add(name)
      }
    }
    for (const name of others) {
      if (names.size >= limit) break
      names.add(name)
    }
    return firstOf(yield* readNamed(sources, Array.from(names)), limit, entries.size + others.length)
  }
)

/** The status of the report of all, without making it. */
export const readStatus = /* @__PURE__ */ Effect.fnUntraced(
  function*(sources: Sources): Effect.fn.Return<Status> {
    const ofChecks = statusOf(yield* readEntries(sources))
    const troubled = yield* sources.circuits.troubled
    return worst([ofChecks, worst(statusesOf(troubled, otherThanShown(sources)))])
  }
)

const statusesOf = function*(
  troubled: ReadonlyArray<Glance>,
  isOther: (circuit: string) => boolean
): Generator<Status> {
  for (const glance of troubled) {
    if (isOther(glance.name)) yield isOpen(glance.state) ? "unhealthy" : Reasons.isIdle(glance) ? "healthy" : "degraded"
  }
}

const readEntries = (sources: Sources) =>
  Effect.forEach(Array.from(sources.entries.values()), (entry) => readEntry(sources, entry))

const metricsOf = (breaker: CircuitBreaker | undefined): Effect.Effect<CircuitMetrics | undefined> =>
  breaker === undefined ? Effect.undefined : breaker.metrics

const reasonsOfCircuit = (circuit: CircuitMetrics | undefined, name: string): ReadonlyArray<Reason> =>
  circuit === undefined ? [] : Reasons.ofCircuit(circuit, circuit.name === name ? undefined : circuit.name)
