import { assert, describe, it } from "@effect/vitest"
import { Data, Effect, Option, Ref } from "effect"
import { TestClock } from "effect/testing"
import { changes, fail, make, rejection, state, succeed, touchy, watch } from "../support/circuits.ts"
import { rule } from "../support/everyWay.ts"

describe("a circuit", () => {
  // migration: ExternalDependencyCircuitBreaker(service_name, config)
  rule(
    "a new circuit is closed and hands a success and an error on unchanged",
    {},
    (breaker) =>
      Effect.gen(function*() {
        const error = { some: "error" }
        assert.strictEqual(yield* breaker.execute(Effect.succeed(42)), 42)
        assert.strictEqual(yield* Effect.flip(breaker.execute(Effect.fail(error))), error)
        assert.isTrue(yield* breaker.isAvailable)
        yield* state(breaker, "Closed")
      })
  )

  // migration: CLOSED | fail so many times
  rule("goes from Closed to Open, to HalfOpen, and back to Closed", touchy, (breaker) =>
    Effect.gen(function*() {
      const events = yield* watch(breaker.events)
      yield* fail(breaker)
      yield* state(breaker, "Open")
      yield* TestClock.adjust("10 seconds")
      yield* state(breaker, "HalfOpen")
      yield* succeed(breaker)
      yield* state(breaker, "Closed")

      assert.deepStrictEqual(changes(yield* events), [
        "Closed -> Open: ConsecutiveFailures",
        "Open -> HalfOpen: OpenTimeEnded",
        "HalfOpen -> Closed: ProbesSucceeded"
      ])
    }))
})

describe("what a caller sees", () => {
  class Down extends Data.TaggedError("Down") {}

  // migration: CircuitBreakerError
  it.effect("catchTag handles a rejection and leaves the call's own errors", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const guarded = breaker.execute(Effect.fail(new Down())).pipe(
        Effect.catchTag("CircuitOpenError", (error) => Effect.succeed(error.circuit))
      )
      assert.deepStrictEqual(yield* Effect.flip(guarded), new Down())
      assert.strictEqual(yield* guarded, "dependency")
    }))

  it.effect("an error whose stack tools may set, again and again, and take away", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* breaker.forceOpen()
      const error = yield* rejection(breaker)
      error.stack = "one"
      error.stack = "two"
      assert.strictEqual(error.stack, "two")
      Reflect.deleteProperty(error, "stack")
      assert.strictEqual(error.stack, `CircuitOpenError: ${error.message}`)
    }))

  it.effect("the value in a Ref of the caller is as the call left it", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const ref = yield* Ref.make(0)
      yield* breaker.execute(Ref.update(ref, (n) => n + 1))
      assert.strictEqual(yield* Ref.get(ref), 1)
      assert.deepStrictEqual(yield* breaker.execute(Effect.succeedNone), Option.none())
    }))
})
