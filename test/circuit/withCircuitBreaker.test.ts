import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy, Outcome, ResilienceError } from "effect-resilience"
import { Cause, Effect, Exit, Fiber } from "effect"
import { make, raise, state, touchy } from "../support/circuits.ts"

describe("withCircuitBreaker", () => {
  it.effect("is the same data-first and data-last", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const classify = () => Outcome.success
      yield* Effect.exit(CircuitBreaker.withCircuitBreaker(Effect.fail(1), breaker, { classify }))
      yield* Effect.exit(Effect.fail(1).pipe(CircuitBreaker.withCircuitBreaker(breaker, { classify })))
      yield* Effect.exit(CircuitBreaker.withCircuitBreaker(Effect.fail(1), breaker))
      yield* Effect.exit(Effect.fail(1).pipe(CircuitBreaker.withCircuitBreaker(breaker)))
      assert.deepInclude(yield* breaker.metrics, { successfulCalls: 2, failedCalls: 2 })
    }))

  it.effect("by name makes the circuit at its first call, with the policy it is given", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const policy = CircuitPolicy.make({ consecutiveFailures: 1 })
      const effect = Effect.fail("down").pipe(CircuitBreaker.withCircuitBreaker("a", { policy }))
      assert.deepStrictEqual(yield* registry.names, [])
      yield* Effect.exit(effect)
      assert.deepStrictEqual(yield* registry.openCircuits, ["a"])
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))

  it.effect("by a name that lives under another policy dies with CircuitConflictError, and runs nothing", () =>
    Effect.gen(function*() {
      let ran = false
      yield* Effect.void.pipe(CircuitBreaker.withCircuitBreaker("a", { policy: CircuitPolicy.database }))
      const exit = yield* Effect.sync(() => {
        ran = true
      }).pipe(CircuitBreaker.withCircuitBreaker("a", { policy: CircuitPolicy.kafka }), Effect.exit)

      assert.isFalse(ran)
      assert.isTrue(Exit.hasDies(exit))
      const defect = Cause.squash((exit as Exit.Failure<void, never>).cause)
      assert.isTrue(defect instanceof ResilienceError.CircuitConflictError)
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))

  it.effect("can be run again and again, and at the same time", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const effect = Effect.void.pipe(CircuitBreaker.withCircuitBreaker(breaker))
      yield* Effect.all(Array.from({ length: 50 }, () => effect), { concurrency: "unbounded" })
      assert.strictEqual((yield* breaker.metrics).successfulCalls, 50)
    }))

  it.effect("leaves the rest of the program interruptible, and hands an interruption on", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      let cleaned = 0
      const fiber = yield* Effect.forkChild(
        breaker.execute(Effect.onInterrupt(Effect.never, () => Effect.sync(() => cleaned++))),
        { startImmediately: true }
      )
      assert.strictEqual((yield* breaker.metrics).callsInFlight, 1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(cleaned, 1)
      assert.deepInclude(yield* breaker.metrics, { callsInFlight: 0, ignoredCalls: 1 })
    }))

  it.effect("nests: the same circuit inside itself counts twice, and another one apart", () =>
    Effect.gen(function*() {
      const [outer, inner] = [yield* make(), yield* make()]
      yield* outer.execute(outer.execute(inner.execute(Effect.void)))
      assert.strictEqual((yield* outer.metrics).successfulCalls, 2)
      assert.strictEqual((yield* inner.metrics).successfulCalls, 1)
    }))
})

describe("wrap", () => {
  // migration: decorator | call(func, *args, **kwargs)
  it.effect("protects each call of a function, with its arguments", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const divide = CircuitBreaker.wrap(breaker)((a: number, b: number) =>
        b === 0 ? Effect.fail("zero") : Effect.succeed(a / b)
      )
      assert.strictEqual(yield* divide(6, 3), 2)
      assert.strictEqual(yield* Effect.flip(divide(1, 0)), "zero")
      const error = yield* Effect.flip(divide(6, 3))
      assert.isTrue(error instanceof ResilienceError.CircuitOpenError)
    }))

  it.effect("does not call the function while the circuit is open, and calls it anew for each run", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      let called = 0
      const f = CircuitBreaker.wrap(breaker)(() => Effect.succeed(++called))
      const effect = f()
      assert.strictEqual(called, 0)
      assert.deepStrictEqual([yield* effect, yield* effect], [1, 2])
      yield* breaker.forceOpen()
      yield* Effect.exit(effect)
      assert.strictEqual(called, 2)
    }))

  it.effect("counts a function that throws as a failure", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const f = CircuitBreaker.wrap(breaker)((): Effect.Effect<number> => raise())
      assert.isTrue(Exit.hasDies(yield* Effect.exit(f())))
      yield* state(breaker, "Open")
    }))

  it.effect("takes a classifier", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const f = CircuitBreaker.wrap(breaker, { classify: () => Outcome.success })(() => Effect.fail("fine"))
      yield* Effect.exit(f())
      yield* state(breaker, "Closed")
    }))
})
