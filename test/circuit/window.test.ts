import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitPolicy, Outcome } from "effect-resilience"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { call, fail, make, repeat, state, succeed } from "../support/circuits.ts"
import { rule } from "../support/everyWay.ts"

describe("the window", () => {
  it.effect("ignored calls are not in the window", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ failureRate: 0.5, minimumCalls: 4 })
      yield* fail(breaker, 3)
      yield* repeat(call(breaker, Effect.fail("down"), { classify: () => Outcome.ignored }), 10)
      assert.strictEqual((yield* breaker.metrics).callsInWindow, 3)
      yield* state(breaker, "Closed")
    }))

  // migration: does not open
  it.effect("minimumCalls is ten, or all of a smaller window", () =>
    Effect.gen(function*() {
      const ten = yield* make({ failureRate: 1 })
      yield* fail(ten, 9)
      yield* state(ten, "Closed")
      yield* fail(ten)
      yield* state(ten, "Open")

      const four = yield* make({ failureRate: 1, window: { calls: 4 } })
      yield* fail(four, 3)
      yield* state(four, "Closed")
      yield* fail(four)
      yield* state(four, "Open")
    }))

  it.effect("minimumCalls is no more than the window holds, also in a policy that was spread into another", () =>
    Effect.gen(function*() {
      const wide = CircuitPolicy.make({ failureRate: 0.5, window: { calls: 10 } })
      const breaker = yield* CircuitBreaker.make({ name: "a", policy: { ...wide, window: { calls: 2 } } })
      const named = CircuitPolicy.make({ failureRate: 0.5, minimumCalls: 10, window: { calls: 10 } })
      assert.throws(
        () => CircuitBreaker.make({ name: "a", policy: { ...named, window: { calls: 2 } } }),
        "CircuitBreaker.make: policy.minimumCalls must be an integer from 1 to 2, got 10"
      )
      yield* fail(breaker)
      yield* state(breaker, "Closed")
      yield* fail(breaker)
      yield* state(breaker, "Open")
    }))

  it.effect("a window of a duration holds a success from when it ended, whether durations are measured or not", () =>
    Effect.gen(function*() {
      const breaker = yield* make({
        failureRate: 0.6,
        minimumCalls: 2,
        window: { duration: "10 seconds" },
        measureDuration: false
      })
      yield* TestClock.adjust("1 minute")
      yield* succeed(breaker)
      yield* TestClock.adjust("5 seconds")
      yield* succeed(breaker)
      assert.strictEqual((yield* breaker.metrics).callsInWindow, 2)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* breaker.metrics).callsInWindow, 1)
    }))

  it.effect("a window of calls slides: what is older than its last n calls does not count", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ failureRate: 0.5, minimumCalls: 4, window: { calls: 4 } })
      yield* fail(breaker)
      yield* succeed(breaker, 4)
      yield* fail(breaker)
      yield* state(breaker, "Closed")
      yield* fail(breaker)
      yield* state(breaker, "Open")
    }))

  rule(
    "a window of a duration does not trip on stale counts: idle for an hour, then few failures",
    { failureRate: 0.5, minimumCalls: 10, window: { duration: "60 seconds", buckets: 10 } },
    (breaker) =>
      Effect.gen(function*() {
        yield* fail(breaker, 9)
        yield* TestClock.adjust("1 hour")
        yield* fail(breaker, 9)
        yield* state(breaker, "Closed")
        assert.strictEqual((yield* breaker.metrics).callsInWindow, 9)
        yield* fail(breaker)
        yield* state(breaker, "Open")
      })
  )

  it.effect("a window of a duration holds a call until exactly its duration after the start of the call's bucket", () =>
    Effect.gen(function*() {
      const breaker = yield* make({
        failureRate: 1,
        minimumCalls: 100,
        window: { duration: "60 seconds", buckets: 10 }
      })
      yield* TestClock.adjust("3 seconds")
      yield* fail(breaker)

      yield* TestClock.adjust("56999 millis")
      assert.strictEqual((yield* breaker.metrics).callsInWindow, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* breaker.metrics).callsInWindow, 0)
    }))
})
