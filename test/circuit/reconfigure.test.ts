import { assert, describe, it } from "@effect/vitest"
import { CircuitPolicy } from "effect-resilience"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { fail, hold, make, remaining, state, touchy, watch } from "../support/circuits.ts"

describe("reconfigure", () => {
  it.effect("keeps the state, the backoff, the counts of a window of the same shape and the listeners", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ consecutiveFailures: 10 })
      const events = yield* watch(breaker.events)
      yield* fail(breaker, 4)
      yield* breaker.reconfigure(CircuitPolicy.make({ consecutiveFailures: 5 }))
      yield* state(breaker, "Closed")
      assert.deepInclude(yield* breaker.metrics, { consecutiveFailures: 4, callsInWindow: 4 })
      yield* fail(breaker)
      yield* state(breaker, "Open")

      const seen = yield* events
      const told = seen.find((event) => event._tag === "Reconfigured")
      assert.deepStrictEqual(told?._tag === "Reconfigured" && told.changed, ["consecutiveFailures"])
    }))

  it.effect("to the same policy is no event", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const events = yield* watch(breaker.events)
      yield* breaker.reconfigure(CircuitPolicy.make())
      assert.deepStrictEqual(yield* events, [])
    }))

  it.effect("leaves an open circuit open as long as it was to be", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* fail(breaker)
      yield* breaker.reconfigure(CircuitPolicy.make({ ...touchy, openDuration: "1 hour" }))
      assert.strictEqual(yield* remaining(breaker), 10_000)
    }))

  it.effect("does not take a call that was running, and so was not timed, for a slow one", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const breaker = yield* make({ consecutiveFailures: 5, window: { calls: 10 }, measureDuration: false })
      const running = yield* hold(breaker)
      yield* breaker.reconfigure(CircuitPolicy.make({
        slowCallRate: 0.5,
        slowCallDuration: "1 second",
        minimumCalls: 1,
        window: { calls: 10 }
      }))
      const events = yield* watch(breaker.events)
      yield* running.succeed

      yield* state(breaker, "Closed")
      assert.deepInclude(yield* breaker.metrics, {
        slowCallRate: 0,
        averageResponseTime: undefined,
        successfulCalls: 1
      })
      assert.deepInclude((yield* events)[0], { duration: undefined, slow: false })
    }))
})
