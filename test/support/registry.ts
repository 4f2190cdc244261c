import type { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

type Registry = CircuitBreakerRegistry.CircuitBreakerRegistry

/** The circuit of that name, if it lives. */
export const findCircuit = (registry: Registry, name: string): CircuitBreaker.CircuitBreaker | undefined =>
  Option.getOrUndefined(Effect.runSync(registry.get(name)))

/** The circuit of that name, made now if need be. Throws what `getOrCreate` fails with or dies of. */
export const namedCircuit = (
  registry: Registry,
  name: string,
  policy?: CircuitPolicy.CircuitPolicy | CircuitPolicy.Options
): CircuitBreaker.CircuitBreaker =>
  Effect.runSync(policy === undefined ? registry.getOrCreate(name) : registry.getOrCreate(name, policy))
