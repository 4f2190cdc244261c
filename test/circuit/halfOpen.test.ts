import { assert, describe, it } from "@effect/vitest"
import { type CircuitPolicy, Outcome } from "effect-resilience"
import { Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import {
  call,
  changes,
  fail,
  halfOpen,
  hold,
  make,
  rejection,
  remaining,
  settle,
  slowly,
  state,
  succeed,
  touchy,
  watch
} from "../support/circuits.ts"
import { rule } from "../support/everyWay.ts"

describe("half-open", () => {
  const three: CircuitPolicy.Options = { ...touchy, halfOpenMaxCalls: 3, successThreshold: 2 }

  // migration: HALF_OPEN
  // migration: CircuitBreaker(name, failure_threshold, recovery_timeout, half_open_max_calls, success_threshold)
  // migration: half_open_max_calls
  rule(
    "admits halfOpenMaxCalls probes at once and rejects the rest, which do not queue",
    three,
    (breaker) =>
      Effect.gen(function*() {
        yield* halfOpen(breaker)
        const probes = yield* Effect.forEach([1, 2, 3], () => hold(breaker))
        assert.isFalse(yield* breaker.isAvailable)
        const error = yield* rejection(breaker)

        assert.deepStrictEqual([error.state, Duration.toMillis(error.retryAfter)], ["HalfOpen", 0])
        assert.deepInclude(yield* breaker.metrics, { probesInFlight: 3, callsInFlight: 3, rejectedCalls: 1 })
        yield* Effect.forEach(probes, (probe) => probe.interrupt)
      })
  )

  // migration: CircuitBreaker(name, failure_threshold, recovery_timeout, half_open_max_calls, success_threshold)
  rule(
    "of a hundred callers at the half-open instant as many run as there are probes",
    three,
    (breaker) =>
      Effect.gen(function*() {
        yield* halfOpen(breaker)
        const events = yield* watch(breaker.events)
        let ran = 0
        const callers = yield* Effect.forEach(Array.from({ length: 100 }), () =>
          Effect.forkChild(call(
            breaker,
            Effect.suspend(() => {
              ran++
              return Effect.never
            })
          )))
        yield* settle

        assert.strictEqual(ran, 3)
        assert.strictEqual((yield* breaker.metrics).rejectedCalls, 97)
        assert.deepStrictEqual(changes(yield* events), ["Open -> HalfOpen: OpenTimeEnded"])
        yield* Fiber.interruptAll(callers)
      })
  )

  // migration: HALF_OPEN | success_threshold | failure_threshold
  rule("successThreshold successes close it", three, (breaker) =>
    Effect.gen(function*() {
      yield* halfOpen(breaker)
      yield* succeed(breaker)
      yield* state(breaker, "HalfOpen")
      assert.strictEqual((yield* breaker.metrics).probeSuccesses, 1)
      yield* succeed(breaker)
      yield* state(breaker, "Closed")
    }))

  // migration: flapping
  it.effect("more successes than probes at once are possible, one after another", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, halfOpenMaxCalls: 1, successThreshold: 5 })
      yield* halfOpen(breaker)
      yield* succeed(breaker, 4)
      yield* state(breaker, "HalfOpen")
      yield* succeed(breaker)
      yield* state(breaker, "Closed")
    }))

  // migration: HALF_OPEN
  rule("any failure reopens it, whatever succeeded before", three, (breaker) =>
    Effect.gen(function*() {
      yield* halfOpen(breaker)
      const events = yield* watch(breaker.events)
      yield* succeed(breaker)
      yield* fail(breaker)
      yield* state(breaker, "Open")
      assert.deepStrictEqual(changes(yield* events), [
        "Open -> HalfOpen: OpenTimeEnded",
        "HalfOpen -> Open: ProbeFailed"
      ])
      assert.strictEqual((yield* breaker.metrics).consecutiveOpenings, 2)
    }))

  it.effect("a circuit closes when its last probe ends, also if it had no failure", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, window: { calls: 10 } })
      const events = yield* watch(breaker.changes)
      yield* TestClock.adjust("1 hour")
      yield* breaker.forceOpen({ duration: "10 seconds" })
      yield* TestClock.adjust("10 seconds")
      yield* slowly(3_000, Effect.succeed(1))(breaker)

      const last = (yield* events).at(-1)
      assert.deepInclude(last, { to: "Closed", elapsed: Duration.seconds(3) })
    }))

  it.effect("a closed circuit starts with empty counts", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, consecutiveFailures: 3 })
      yield* fail(breaker, 3)
      yield* TestClock.adjust("10 seconds")
      yield* succeed(breaker)
      assert.deepInclude(yield* breaker.metrics, { consecutiveFailures: 0, callsInWindow: 0 })
      yield* fail(breaker, 2)
      yield* state(breaker, "Closed")
    }))

  it.effect("a slow probe of a circuit that minds slow calls is a failed one", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, slowCallRate: 1, slowCallDuration: "1 second" })
      yield* halfOpen(breaker)
      yield* slowly(1_001, Effect.succeed("ok"))(breaker)
      yield* state(breaker, "Open")
    }))

  describe("with halfOpenSample", () => {
    const sampled: CircuitPolicy.Options = {
      ...touchy,
      halfOpenMaxCalls: 10,
      successThreshold: 1,
      halfOpenSample: { calls: 5, failureRate: 0.4 }
    }

    rule("the rate over so many probes decides: fewer failures close it", sampled, (breaker) =>
      Effect.gen(function*() {
        yield* halfOpen(breaker)
        yield* fail(breaker)
        yield* succeed(breaker, 3)
        yield* state(breaker, "HalfOpen")
        yield* succeed(breaker)
        yield* state(breaker, "Closed")
      }))

    rule("as many as the rate reopen it, as soon as that is certain", sampled, (breaker) =>
      Effect.gen(function*() {
        yield* halfOpen(breaker)
        yield* fail(breaker)
        yield* state(breaker, "HalfOpen")
        yield* fail(breaker)
        yield* state(breaker, "Open")
      }))

    rule("admits no more probes than the sample holds", sampled, (breaker) =>
      Effect.gen(function*() {
        yield* halfOpen(breaker)
        yield* succeed(breaker, 2)
        const probes = yield* Effect.forEach([1, 2, 3], () => hold(breaker))
        assert.strictEqual((yield* rejection(breaker)).state, "HalfOpen")

        // One that says nothing makes room for another.
        yield* probes[0]!.interrupt
        yield* succeed(breaker)
        yield* probes[1]!.succeed
        yield* probes[2]!.succeed
        yield* state(breaker, "Closed")
      }))

    it.effect("a rate of zero reopens at the first failure, a rate of one at the last", () =>
      Effect.gen(function*() {
        const zero = yield* make({ ...sampled, halfOpenSample: { calls: 3, failureRate: 0 } })
        yield* halfOpen(zero)
        yield* succeed(zero, 2)
        yield* fail(zero)
        yield* state(zero, "Open")

        const one = yield* make({ ...sampled, halfOpenSample: { calls: 3, failureRate: 1 } })
        yield* halfOpen(one)
        yield* fail(one, 2)
        yield* succeed(one)
        yield* state(one, "Closed")

        const all = yield* make({ ...sampled, halfOpenSample: { calls: 3, failureRate: 1 } })
        yield* halfOpen(all)
        yield* fail(all, 3)
        yield* state(all, "Open")
      }))
  })

  rule(
    "a probe that is interrupted or ignored gives its slot back, and the circuit stays half-open",
    touchy,
    (breaker) =>
      Effect.gen(function*() {
        yield* halfOpen(breaker)
        const probe = yield* hold(breaker)
        assert.isFalse(yield* breaker.isAvailable)
        yield* probe.interrupt
        yield* state(breaker, "HalfOpen")
        assert.isTrue(yield* breaker.isAvailable)

        const ignored = yield* hold(breaker, { classify: () => Outcome.ignored })
        assert.isFalse(yield* breaker.isAvailable)
        yield* ignored.fail
        yield* state(breaker, "HalfOpen")
        assert.isTrue(yield* breaker.isAvailable)

        yield* succeed(breaker)
        yield* state(breaker, "Closed")
      })
  )

  // migration: half_open_timeout
  rule("a hung probe reopens it at exactly halfOpenTimeout, and its late result is late", {
    ...touchy,
    halfOpenTimeout: "30 seconds"
  }, (breaker) =>
    Effect.gen(function*() {
      yield* halfOpen(breaker)
      const events = yield* watch(breaker.events)
      const hung = yield* hold(breaker)
      yield* TestClock.adjust("29999 millis")
      yield* state(breaker, "HalfOpen")
      yield* TestClock.adjust("1 millis")
      yield* state(breaker, "Open")
      assert.strictEqual(yield* remaining(breaker), 10_000)

      yield* hung.succeed
      yield* state(breaker, "Open")
      assert.deepInclude(yield* breaker.metrics, { lateCalls: 1, probesInFlight: 0, callsInFlight: 0 })
      assert.deepStrictEqual(changes(yield* events), [
        "Open -> HalfOpen: OpenTimeEnded",
        "HalfOpen -> Open: ProbeTimedOut"
      ])
    }))

  it.effect("a probe that ends at the very instant of the timeout is late", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, halfOpenTimeout: "30 seconds" })
      yield* halfOpen(breaker)
      const probe = yield* hold(breaker)
      yield* TestClock.adjust("30 seconds")
      yield* probe.succeed
      yield* state(breaker, "Open")
      assert.strictEqual((yield* breaker.metrics).lateCalls, 1)
    }))

  it.effect("the open time after a hung probe runs from the timeout, whenever somebody looks", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, halfOpenTimeout: "30 seconds" })
      yield* halfOpen(breaker)
      const hung = yield* hold(breaker)
      yield* TestClock.adjust("37 seconds")
      assert.strictEqual(yield* remaining(breaker), 3_000)
      yield* TestClock.adjust("3 seconds")
      yield* state(breaker, "HalfOpen")
      yield* hung.interrupt
    }))

  it.effect("a timeout and an end of open time that nobody saw happen one after the other at the next call", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, halfOpenTimeout: "30 seconds" })
      yield* halfOpen(breaker)
      const hung = yield* hold(breaker)
      const events = yield* watch(breaker.events)
      yield* TestClock.adjust("1 hour")
      yield* succeed(breaker)

      const seen = yield* events
      assert.deepStrictEqual(changes(seen), [
        "HalfOpen -> Open: ProbeTimedOut",
        "Open -> HalfOpen: OpenTimeEnded",
        "HalfOpen -> Closed: ProbesSucceeded"
      ])
      // Half an hour of probing would be wrong: it was half-open for 30 seconds, and open since.
      const elapsed = seen.flatMap((event) => event._tag === "StateChanged" ? [Duration.toSeconds(event.elapsed)] : [])
      assert.deepStrictEqual(elapsed, [30, 3_570, 0])
      yield* hung.interrupt
      yield* state(breaker, "Closed")
    }))

  it.effect("halfOpenTimeout is on by default, and can wait for ever", () =>
    Effect.gen(function*() {
      const byDefault = yield* make(touchy)
      yield* halfOpen(byDefault)
      const hung = yield* hold(byDefault)
      yield* TestClock.adjust("60 seconds")
      yield* state(byDefault, "Open")
      yield* hung.interrupt

      const patient = yield* make({ ...touchy, halfOpenTimeout: "Infinity" })
      yield* halfOpen(patient)
      const waiting = yield* hold(patient)
      yield* TestClock.adjust("1000 days")
      yield* state(patient, "HalfOpen")
      yield* waiting.succeed
      yield* state(patient, "Closed")
    }))
})
