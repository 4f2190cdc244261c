/**
 * The endpoints of circuits.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Order from "effect/Order"
import type { CircuitBreakerRegistry } from "../../CircuitBreakerRegistry.ts"
import * as CircuitMetrics from "../../CircuitMetrics.ts"
import { collectInPieces } from "../../internal/pieces.ts"
import { collectCircuits, findCircuit } from "../../internal/registry/inside.ts"
import type { Glance } from "../../internal/registry/status.ts"
import { STATE_NAMES, urgency } from "../../internal/words.ts"
import * as AdminApi from "../AdminApi.ts"
import { toJson } from "./circuitJson.ts"
import { changeCircuit, forceOpen, resetAll } from "./commands.ts"
import { healthDetails } from "./health.ts"
import { DEFAULT_LIMIT, find, findAll } from "./lookup.ts"
import type { Resources } from "./resources.ts"

const listCircuits = Effect.fnUntraced(function*(resources: Resources, query: {
  readonly offset?: number | undefined
  readonly limit?: number | undefined
  readonly state?: AdminApi.State | undefined
  readonly search?: string | undefined
  readonly sort?: "created" | "attention" | undefined
}) {
  const { registry } = resources
  const { limit = DEFAULT_LIMIT, offset = 0, search, sort, state } = query
  const part = search?.toLowerCase()
  const matches = (name: string) => part === undefined || name.toLowerCase().includes(part)
  const found = state === undefined && sort !== "attention"
    ? yield* Effect.flatMap(
      registry.names,
      (names) => collectInPieces(() => names, (name) => matches(name) ? name : undefined)
    )
    : yield* byUrgency(registry, ({ failureRate, name, state: current }) => {
      const shown = STATE_NAMES[current]
      if ((state !== undefined && shown !== state) || !matches(name)) return undefined
      return sort === "attention" ? urgency({ state: shown, error_rate: failureRate }) : 0
    })
  const breakers = yield* findAll(resources, found.slice(offset, offset + limit))
  return { circuits: yield* Effect.forEach(breakers, toJson), total: found.length, offset, limit }
})

/** The names of circuits by the urgency that is given them. Urgencies are few, so that long lists need no sorting. */
const byUrgency = (
  registry: CircuitBreakerRegistry,
  urgencyOf: (circuit: Glance) => number | undefined
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.suspend(() => {
    const names = new Map<number, Array<string>>()
    const look = collectCircuits(registry, (circuit) => {
      const order = urgencyOf(circuit)
      if (order === undefined) return
      const known = names.get(order)
      if (known === undefined) names.set(order, [circuit.name])
      else known.push(circuit.name)
    })
    return Effect.map(look, () => Arr.sort(names.keys(), Order.Number).flatMap((order) => names.get(order)!))
  })

const historyOf = Effect.fnUntraced(function*(resources: Resources, name: string, limit = DEFAULT_LIMIT) {
  // The history of a forgotten circuit may still be known.
  const transitions = resources.history.of(name)
  if (transitions === undefined) yield* find(resources, name)
  return { circuit: name, transitions: transitions?.slice(-limit) ?? [] }
})

const tierFlows = Effect.fnUntraced(function*({ flows, registry }: Resources) {
  const operations = flows.all.map(({ calls, failed, operation, tiers }) =>
    Effect.map(
      Effect.forEach(tiers, ({ circuit, failed, name, served, skipped }) => {
        const breaker = findCircuit(registry, circuit)
        const now = breaker === undefined
          ? Effect.succeed(undefined)
          : Effect.map(breaker.metrics, CircuitMetrics.toJson)
        return Effect.map(now, (json) => ({
          name,
          circuit,
          state: json?.state ?? null,
          time_until_retry: json?.time_until_retry ?? null,
          served,
          failed,
          skipped
        }))
      }),
      (tiers) => ({ operation, calls, failed_calls: failed, tiers })
    )
  )
  return { operations: yield* Effect.all(operations) }
})

export const circuitHandlers = (resources: Resources) =>
  HttpApiBuilder.group(
    AdminApi.Api,
    "circuits",
    (handlers) =>
      handlers.handleAll({
        list: ({ query }) => listCircuits(resources, query),
        get: ({ params }) => Effect.flatMap(find(resources, params.name), toJson),
        history: ({ params, query }) => historyOf(resources, params.name, query.limit),
        forceOpen: (to) => forceOpen(resources, to),
        forceClose: (to) => changeCircuit(resources, to, "circuit_forced_closed", (breaker) => breaker.forceClose),
        disable: (to) => changeCircuit(resources, to, "circuit_disabled", (breaker) => breaker.disable),
        metricsOnly: (to) => changeCircuit(resources, to, "circuit_metrics_only", (breaker) => breaker.metricsOnly),
        reset: (to) => changeCircuit(resources, to, "circuit_reset", (breaker) => breaker.reset),
        resetAll: (to) => resetAll(resources, to),
        transitions: ({ query }) =>
          Effect.sync(() => ({ transitions: resources.history.latest(query.limit ?? DEFAULT_LIMIT) })),
        status: () => healthDetails(resources),
        tiers: () => tierFlows(resources)
      })
  )
