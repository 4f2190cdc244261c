import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy, Outcome } from "effect-resilience"
import { ConfigProvider, Effect, Layer } from "effect"
import { type Breaker, fail, make, state } from "../support/circuits.ts"

describe("Service", () => {
  class Payments extends CircuitBreaker.Service<Payments>()("payments", {
    policy: CircuitPolicy.make({ consecutiveFailures: 1 })
  }) {}

  it.effect("is a tag of a circuit of that name and policy", () =>
    Effect.gen(function*() {
      const breaker = yield* Payments
      assert.strictEqual(breaker.name, "payments")
      assert.strictEqual(Payments.key, "effect-resilience/CircuitBreaker/payments")
      yield* fail(breaker)
      yield* state(breaker, "Open")
    }).pipe(Effect.provide(Payments.layer)))

  it.effect("layer makes a new circuit each time it is built", () =>
    Effect.gen(function*() {
      const read = Effect.flatMap(Payments, (breaker) => Effect.andThen(fail(breaker), breaker.metrics))
      const once = yield* Effect.provide(read, Payments.layer)
      const again = yield* Effect.provide(read, Payments.layer)
      assert.deepStrictEqual([once.failedCalls, again.failedCalls], [1, 1])
    }))

  it.effect("layerRegistered gives the registry's circuit of that name, with the class's policy", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      yield* Effect.exit(Effect.fail("down").pipe(CircuitBreaker.withCircuitBreaker(Payments)))
      assert.deepStrictEqual(yield* registry.openCircuits, ["payments"])
      const error = yield* Effect.flip(Effect.void.pipe(CircuitBreaker.withCircuitBreaker("payments")))
      assert.strictEqual(error.circuit, "payments")
    }).pipe(Effect.provide(Layer.provideMerge(Payments.layerRegistered, CircuitBreakerRegistry.layer()))))

  it.effect("layerRegistered fails if that name lives under another policy", () =>
    Effect.gen(function*() {
      yield* Effect.void.pipe(CircuitBreaker.withCircuitBreaker("payments", { policy: CircuitPolicy.kafka }))
      const error = yield* Effect.flip(Effect.scoped(Layer.build(Payments.layerRegistered)))
      assert.strictEqual(error._tag, "CircuitConflictError")
      assert.include(error.fields, "consecutiveFailures")
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))

  it.effect("layerDisabled lets every call through and counts nothing", () =>
    Effect.gen(function*() {
      const breaker = yield* Payments
      yield* fail(breaker, 10)
      yield* state(breaker, "Disabled")
      assert.strictEqual((yield* breaker.metrics).totalCalls, 0)
    }).pipe(Effect.provide(Payments.layerDisabled)))

  it.effect("layerConfig makes a circuit of its own, whose policy the environment changes", () =>
    Effect.gen(function*() {
      const read = Effect.flatMap(Payments, (breaker) => Effect.andThen(fail(breaker), breaker.metrics))
      const { failedCalls, name, state } = yield* Effect.provide(read, Payments.layerConfig)
      assert.deepStrictEqual({ failedCalls, name, state }, { failedCalls: 1, name: "payments", state: "Closed" })
      assert.strictEqual((yield* Effect.provide(read, Payments.layerConfig)).failedCalls, 1)
    }).pipe(Effect.provideService(
      ConfigProvider.ConfigProvider,
      ConfigProvider.fromEnv({ env: { CB_PAYMENTS_FAILURE_THRESHOLD: "2" } })
    )))

  it.effect("may be a circuit that somebody else has written", () =>
    Effect.gen(function*() {
      const asked: Array<unknown> = []
      const other = {
        execute: (self, options) => {
          asked.push(options)
          return self
        }
      } as Pick<Breaker, "execute"> as Breaker
      const options = { classify: () => Outcome.ignored }
      assert.strictEqual(
        yield* Effect.succeed(1).pipe(
          CircuitBreaker.withCircuitBreaker(Payments, options),
          Effect.provideService(Payments, other)
        ),
        1
      )
      assert.deepStrictEqual(asked, [options])
    }))

  it.effect("layerForcedOpen rejects every call", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.succeed(1).pipe(CircuitBreaker.withCircuitBreaker(Payments)))
      assert.strictEqual(error.state, "ForcedOpen")
    }).pipe(Effect.provide(Payments.layerForcedOpen)))
})

describe("a circuit that stands before another, with an execute of its own", () => {
  class Watched extends CircuitBreaker.Service<Watched>()("watched") {}

  it.effect("is the one that calls run through, by value and by class", () =>
    Effect.gen(function*() {
      const own = yield* make()
      let asked = 0
      const execute: Breaker["execute"] = (self, options) => {
        asked++
        return own.execute(self, options)
      }
      const watched: Breaker = Object.create(own, { execute: { value: execute } })
      yield* Effect.void.pipe(CircuitBreaker.withCircuitBreaker(watched))
      yield* Effect.void.pipe(
        CircuitBreaker.withCircuitBreaker(Watched),
        Effect.provideService(Watched, watched as Watched["Service"])
      )
      yield* CircuitBreaker.wrap(watched)(() => Effect.void)()
      assert.strictEqual(asked, 3)
      assert.strictEqual((yield* own.metrics).successfulCalls, 3)
    }))
})
