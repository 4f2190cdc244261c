import { it } from "@effect/vitest"
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy, type ResilienceError } from "effect-resilience"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { type Breaker, make } from "./circuits.ts"

interface Way {
  readonly name: string
  readonly breaker: (policy: CircuitPolicy.Options) => Effect.Effect<Breaker, never, Scope.Scope>
}

/** A handle whose calls go through `withCircuitBreaker` with another kind of target. */
const through = (
  breaker: Breaker,
  execute: <A, E>(
    self: Effect.Effect<A, E>,
    options?: { readonly classify?: CircuitBreaker.CallClassifier<A, E> | undefined }
  ) => Effect.Effect<A, E | ResilienceError.CircuitOpenError>
): Breaker =>
  new Proxy(breaker, { get: (target, key) => key === "execute" ? execute : Reflect.get(target, key, target) })

const ways: ReadonlyArray<Way> = [
  { name: "by handle", breaker: make },
  {
    name: "by name",
    breaker: Effect.fnUntraced(function*(options) {
      const registry = yield* CircuitBreakerRegistry.make({ defaults: CircuitPolicy.make(options) })
      const breaker = yield* registry.getOrCreate("dependency")
      return through(breaker, (self, options) =>
        Effect.provideService(
          CircuitBreaker.withCircuitBreaker(self, "dependency", options),
          CircuitBreakerRegistry.CircuitBreakerRegistry,
          registry
        ))
    })
  },
  {
    name: "by class",
    breaker: Effect.fnUntraced(function*(options) {
      class Dependency extends CircuitBreaker.Service<Dependency>()("dependency", {
        policy: CircuitPolicy.make(options)
      }) {}
      const context = yield* Layer.build(Dependency.layer)
      return through(
        Context.get(context, Dependency),
        (self, options) => Effect.provide(CircuitBreaker.withCircuitBreaker(self, Dependency, options), context)
      )
    })
  }
]

/** Registers a test once for each way to a circuit. */
export const rule = (
  name: string,
  policy: CircuitPolicy.Options,
  test: (breaker: Breaker) => Effect.Effect<unknown, unknown, Scope.Scope>
): void => {
  for (const way of ways) {
    it.effect(`${name}, ${way.name}`, () => Effect.flatMap(way.breaker(policy), test))
  }
}
