import { assert, describe, it } from "@effect/vitest"
import { type CircuitPolicy, Outcome } from "effect-resilience"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import {
  type Breaker,
  call,
  changes,
  fail,
  hold,
  make,
  repeat,
  slowly,
  state,
  succeed,
  touchy,
  watch
} from "../support/circuits.ts"
import { rule } from "../support/everyWay.ts"

describe("opening", () => {
  // migration: failure_threshold | CircuitBreaker(failure_threshold, recovery_timeout, name)
  rule(
    "consecutiveFailures opens at exactly so many failures in a row",
    { consecutiveFailures: 3 },
    (breaker) =>
      Effect.gen(function*() {
        yield* fail(breaker, 2)
        yield* state(breaker, "Closed")
        yield* fail(breaker)
        yield* state(breaker, "Open")
      })
  )

  // migration: CLOSED
  it.effect("only a success breaks a row of failures, an ignored call does not", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ consecutiveFailures: 3 })
      yield* fail(breaker, 2)
      yield* succeed(breaker)
      yield* fail(breaker, 2)
      yield* call(breaker, Effect.fail("down"), { classify: () => Outcome.ignored })
      yield* call(breaker, Effect.interrupt).pipe(Effect.exit)
      yield* state(breaker, "Closed")

      yield* fail(breaker)
      yield* state(breaker, "Open")
    }))

  // migration: failure_window_seconds
  it.effect("a row of failures has no age", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ consecutiveFailures: 3 })
      yield* fail(breaker, 2)
      yield* TestClock.adjust("30 days")
      yield* fail(breaker)
      yield* state(breaker, "Open")
    }))

  // migration: failure_rate_threshold | thresholds by traffic | open when the success rate drops
  rule(
    "failureRate opens at the rate, and not below it",
    { failureRate: 0.3, minimumCalls: 10, window: { calls: 10 } },
    (breaker) =>
      Effect.gen(function*() {
        yield* fail(breaker, 2)
        yield* succeed(breaker, 8)
        yield* state(breaker, "Closed")
        // The oldest failure leaves as another one comes: still two of ten.
        yield* fail(breaker)
        yield* state(breaker, "Closed")
        yield* fail(breaker, 2)
        yield* state(breaker, "Open")
      })
  )

  // migration: minimum_request_threshold | opens too quickly
  it.effect("failureRate means nothing before minimumCalls", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ failureRate: 0.1, minimumCalls: 20 })
      yield* fail(breaker, 19)
      yield* state(breaker, "Closed")
      yield* fail(breaker)
      yield* state(breaker, "Open")
    }))

  it.effect("every counted call is an occasion to trip, so that a success can complete minimumCalls and open", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ failureRate: 0.5, minimumCalls: 4 })
      const events = yield* watch(breaker.events)
      yield* fail(breaker, 3)
      yield* succeed(breaker)
      assert.deepStrictEqual(changes(yield* events), ["Closed -> Open: FailureRate"])
    }))

  it.effect("a window without a failure never trips on failure rate, not even at rate zero", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ failureRate: 0, minimumCalls: 1 })
      yield* succeed(breaker, 50)
      yield* state(breaker, "Closed")
      yield* fail(breaker)
      yield* state(breaker, "Open")
    }))

  it.effect("slowCallRate opens though measureDuration is off", () =>
    Effect.gen(function*() {
      const breaker = yield* make({
        slowCallRate: 1,
        slowCallDuration: "1 second",
        minimumCalls: 1,
        window: { calls: 1 },
        measureDuration: false
      })
      yield* slowly(2_000, Effect.succeed(1))(breaker)
      yield* state(breaker, "Open")
    }))

  // migration: slow_call_threshold_ms
  it.effect("slowCallRate opens by slow successes and slow failures alike", () =>
    Effect.gen(function*() {
      const breaker = yield* make({
        slowCallRate: 0.5,
        slowCallDuration: "1 second",
        minimumCalls: 4,
        window: { calls: 4 }
      })
      const events = yield* watch(breaker.events)
      yield* slowly(2_000, Effect.succeed("late"))(breaker)
      yield* succeed(breaker, 2)
      yield* state(breaker, "Closed")
      yield* slowly(2_000, Effect.fail("late"))(breaker)
      assert.deepStrictEqual(changes(yield* events), ["Closed -> Open: SlowCallRate"])
      assert.strictEqual((yield* breaker.metrics).slowCallRate, 0.5)
    }))

  // migration: slow_call_threshold_ms
  it.effect("a call is slow if it took longer than slowCallDuration, and not if it took exactly that", () =>
    Effect.gen(function*() {
      const breaker = yield* make({
        slowCallRate: 1,
        slowCallDuration: "1 second",
        minimumCalls: 1,
        window: { calls: 5 }
      })
      yield* slowly(1_000, Effect.succeed("ok"))(breaker)
      yield* state(breaker, "Closed")
      yield* repeat(succeed(breaker), 4)
      yield* repeat(slowly(1_001, Effect.succeed("ok"))(breaker), 5)
      yield* state(breaker, "Open")
    }))

  it.effect("fast failures do not trip a circuit that only minds slow calls", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ slowCallRate: 0.1, slowCallDuration: "1 second", minimumCalls: 1 })
      yield* fail(breaker, 100)
      yield* state(breaker, "Closed")
    }))

  it.effect("an ignored call is never slow", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ slowCallRate: 0.1, slowCallDuration: "1 second", minimumCalls: 1 })
      const running = yield* hold(breaker)
      yield* TestClock.adjust("1 minute")
      yield* running.interrupt
      yield* state(breaker, "Closed")
    }))

  // migration: both thresholds at once
  it.effect("any of several rules opens the circuit, and the event says which", () =>
    Effect.gen(function*() {
      const policy: CircuitPolicy.Options = {
        consecutiveFailures: 3,
        failureRate: 0.5,
        slowCallRate: 0.5,
        slowCallDuration: "1 second",
        minimumCalls: 6,
        window: { calls: 6 }
      }
      const reasons: Array<string> = []
      const scenarios = [
        (breaker: Breaker) => fail(breaker, 3),
        (breaker: Breaker) => repeat(Effect.andThen(succeed(breaker), fail(breaker)), 3),
        (breaker: Breaker) => repeat(Effect.andThen(succeed(breaker), slowly(1_500, Effect.succeed(1))(breaker)), 3)
      ]
      for (const scenario of scenarios) {
        const breaker = yield* make(policy)
        const events = yield* watch(breaker.events)
        yield* scenario(breaker)
        reasons.push(...changes(yield* events))
      }
      assert.deepStrictEqual(reasons, [
        "Closed -> Open: ConsecutiveFailures",
        "Closed -> Open: FailureRate",
        "Closed -> Open: SlowCallRate"
      ])
    }))

  it.effect("a rule that is not named does not apply", () =>
    Effect.gen(function*() {
      const byRate = yield* make({ failureRate: 1, minimumCalls: 50 })
      yield* fail(byRate, 49)
      yield* state(byRate, "Closed")

      const inARow = yield* make({ consecutiveFailures: 50 })
      yield* fail(inARow, 49)
      yield* state(inARow, "Closed")
    }))

  // migration: failure_threshold
  it.effect("if none is named, five failures in a row or half of the calls of the last minute open it", () =>
    Effect.gen(function*() {
      const inARow = yield* make()
      yield* fail(inARow, 4)
      yield* state(inARow, "Closed")
      yield* fail(inARow)
      yield* state(inARow, "Open")

      const half = yield* make()
      yield* repeat(Effect.andThen(succeed(half), fail(half)), 4)
      yield* fail(half)
      yield* state(half, "Closed")
      yield* succeed(half)
      yield* state(half, "Open")
    }))

  // migration: safe for concurrent calls
  rule("twenty failures at the same time open the circuit once", touchy, (breaker) =>
    Effect.gen(function*() {
      const events = yield* watch(breaker.events)
      const running = yield* Effect.forEach(Array.from({ length: 20 }), () => hold(breaker))
      yield* Effect.forEach(running, (one) => one.fail, { concurrency: "unbounded" })

      assert.deepStrictEqual(changes(yield* events), ["Closed -> Open: ConsecutiveFailures"])
      assert.deepInclude(yield* breaker.metrics, { failedCalls: 1, lateCalls: 19, consecutiveOpenings: 1 })
    }))
})
