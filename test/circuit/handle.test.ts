import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
import { Effect } from "effect"
import { make } from "../support/circuits.ts"

describe("handles", () => {
  it.effect("have members that can be taken off", () =>
    Effect.gen(function*() {
      const { execute, forceOpen, metrics, state } = yield* make()
      yield* execute(Effect.void)
      yield* forceOpen()
      assert.strictEqual(yield* state, "ForcedOpen")
      assert.strictEqual((yield* metrics).successfulCalls, 1)
    }))

  it.effect("are told from other values by isCircuitBreaker", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      assert.isTrue(CircuitBreaker.isCircuitBreaker(breaker))
      for (const other of [undefined, null, "name", {}, CircuitBreakerRegistry.CircuitBreakerRegistry]) {
        assert.isFalse(CircuitBreaker.isCircuitBreaker(other))
      }
    }))

  // migration: CircuitBreaker(name)
  it.effect("know their policy, by default that of CircuitPolicy.make()", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "a" })
      assert.deepStrictEqual(CircuitPolicy.difference(yield* breaker.policy, CircuitPolicy.make()), [])
    }))
})

describe("isCircuitBreaker", () => {
  it.effect("knows a circuit by its type id", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      assert.strictEqual(breaker[CircuitBreaker.TypeId], "~effect-resilience/CircuitBreaker")
      assert.isTrue(CircuitBreaker.isCircuitBreaker(breaker))
      assert.isFalse(CircuitBreaker.isCircuitBreaker({ name: "dependency" }))
    }))
})

describe("a circuit that is printed as JSON", () => {
  it.effect("shows its name and its state, and nothing of its inside", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      assert.deepStrictEqual(JSON.parse(JSON.stringify({ breaker })), {
        breaker: { _id: "CircuitBreaker", name: "dependency", state: "Closed" }
      })
    }))
})

describe("something that is no policy", () => {
  it("is refused, by who is given it", () => {
    const policy = "fastFail" as never
    assert.throws(() => CircuitBreaker.make({ name: "a", policy }), "CircuitBreaker.make: policy must be")
    assert.throws(() => CircuitBreaker.Service()("a", { policy }), "CircuitBreaker.Service: policy must be")
  })
})
