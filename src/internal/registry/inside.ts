/**
 * What the rest of the package knows of a registry that this package made,
 * this copy of it or another one. Of one made by hand it knows what is public.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { CircuitBreaker } from "../../CircuitBreaker.ts"
import type { CircuitBreakerRegistry } from "../../CircuitBreakerRegistry.ts"
import type { CircuitChange } from "../../CircuitEvent.ts"
import type { CircuitPolicy } from "../../CircuitPolicy.ts"
import type { Breaker } from "../circuit/breaker.ts"
import { collectInPieces } from "../pieces.ts"
import type { Watcher } from "./state.ts"
import { type Exceptions, type Glance, glanceAt, isTroubled } from "./status.ts"

export interface Inside {
  /** Of this interface, of `Watcher` and of `Breaker`: with another one the registry is as one made by hand. */
  readonly version: 1
  readonly find: (name: string) => Breaker | undefined
  /** What programs hold of it: a handle of the copy that made the registry. */
  readonly get: (name: string) => CircuitBreaker | undefined
  /** Throws `CircuitConflictError`. */
  readonly getOrCreate: (name: string, policy: CircuitPolicy | undefined) => Breaker
  /** How long a circuit is kept without a call, in milliseconds. */
  readonly idleTime?: number
  readonly newChanges: Stream.Stream<CircuitChange>
  /** What a function makes of each circuit, without what it makes nothing of. */
  readonly collect: <A>(f: (breaker: Breaker) => A | undefined) => Effect.Effect<ReadonlyArray<A>>
  /** The circuits that are not healthy. Costs what there are of them. */
  readonly troubled: Effect.Effect<ReadonlyArray<Glance>>
  readonly exceptions: (limit: number) => Effect.Effect<Exceptions>
  readonly watch: (watcher: Watcher) => () => void
}

/** On the registry itself, where another copy of this package finds it as well. */
const INSIDE = "~effect-resilience/registry"

export const open = (registry: CircuitBreakerRegistry, inside: Inside): void => {
  // Not enumerable: a registry that is made by spreading this one is another one.
  Object.defineProperty(registry, INSIDE, { value: inside })
}

export const insideOf = (registry: CircuitBreakerRegistry): Inside | undefined => {
  const inside = (registry as { readonly [INSIDE]?: Inside })[INSIDE]
  return inside?.version === 1 ? inside : undefined
}

/** The circuit of that name, if it lives. */
export const findCircuit = (registry: CircuitBreakerRegistry, name: string): CircuitBreaker | undefined => {
  const inside = insideOf(registry)
  return inside === undefined ? Option.getOrUndefined(Effect.runSync(registry.get(name))) : inside.get(name)
}

/** The changes from now on. */
export const newChanges = (registry: CircuitBreakerRegistry): Stream.Stream<CircuitChange> =>
  insideOf(registry)?.newChanges ?? registry.changes

/** Tells of the circuits that a registry keeps, now and later, and of those it forgets. Returns how to stop. */
export const watchCircuits = (registry: CircuitBreakerRegistry, watcher: Watcher): () => void =>
  insideOf(registry)?.watch(watcher) ?? (() => {})

/** The circuits that are not healthy. */
export const troubledCircuits = (registry: CircuitBreakerRegistry): Effect.Effect<ReadonlyArray<Glance>> =>
  insideOf(registry)?.troubled ?? Effect.map(registry.statuses, (circuits) => circuits.filter(isTroubled))

/** Circuits that are not healthy or not closed, at most so many. */
export const exceptionalCircuits = (registry: CircuitBreakerRegistry, limit: number): Effect.Effect<Exceptions> =>
  insideOf(registry)?.exceptions(limit) ?? Effect.map(registry.statuses, (circuits) => {
    const exceptional = circuits.filter((circuit) => circuit.state !== "Closed" || isTroubled(circuit))
    return { circuits: exceptional.slice(0, limit), total: exceptional.length }
  })

/** What a function makes of each circuit, without what it makes nothing of. */
export const collectCircuits = <A>(
  registry: CircuitBreakerRegistry,
  f: (circuit: Glance) => A | undefined
): Effect.Effect<ReadonlyArray<A>> =>
  insideOf(registry)?.collect((breaker) => f(glanceAt(breaker))) ??
    Effect.flatMap(registry.statuses, (circuits) => collectInPieces(() => circuits, f))

/** How long the registry keeps what is not used, in milliseconds; as long as by default if that is unknown. */
export const idleTimeOf = (registry: CircuitBreakerRegistry): number => insideOf(registry)?.idleTime ?? 3_600_000

const warned = new WeakSet<CircuitBreakerRegistry>()

/** Says once of a registry that `watchCircuits` sees nothing of it, and what that leads to. */
export const warnIfUnseen = (registry: CircuitBreakerRegistry, consequence: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (insideOf(registry) !== undefined || warned.has(registry)) return Effect.void
    warned.add(registry)
    return Effect.logWarning(
      `The CircuitBreakerRegistry was made by hand or by another version of effect-resilience: ${consequence}`
    )
  })
