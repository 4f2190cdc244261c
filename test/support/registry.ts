import type { CircuitBreakerRegistry } from "effect-resilience"
import * as Effect from "effect/Effect"

/** Whatever has a registry, as a server with the admin API. */
interface HasRegistry {
  readonly registry: CircuitBreakerRegistry.CircuitBreakerRegistry
}

/** Fails the calls of a circuit that opens after two failures. */
export const trip = ({ registry }: HasRegistry, name: string) =>
  Effect.gen(function*() {
    const breaker = yield* registry.getOrCreate(name)
    yield* breaker.execute(Effect.fail("down")).pipe(Effect.ignore, Effect.repeat({ times: 1 }))
    return breaker
  })

/** Calls a circuit once, with success. */
export const callOnce = ({ registry }: HasRegistry, name: string) =>
  Effect.flatMap(registry.getOrCreate(name), (breaker) => breaker.execute(Effect.void))
