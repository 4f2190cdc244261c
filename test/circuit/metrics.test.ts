import { assert, describe, it } from "@effect/vitest"
import { CircuitMetrics, Outcome } from "effect-resilience"
import { DateTime, Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { call, fail, hold, make, rejection, slowly, succeed, touchy } from "../support/circuits.ts"

describe("metrics", () => {
  // migration: get_metrics()
  it.effect("of a new circuit", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      assert.deepStrictEqual(yield* breaker.metrics, {
        name: "dependency",
        state: "Closed",
        isAvailable: true,
        totalCalls: 0,
        successfulCalls: 0,
        failedCalls: 0,
        ignoredCalls: 0,
        lateCalls: 0,
        rejectedCalls: 0,
        callsInFlight: 0,
        consecutiveFailures: 0,
        callsInWindow: 0,
        failureRate: 0,
        successRate: 1,
        slowCallRate: 0,
        averageResponseTime: undefined,
        latency: undefined,
        lastFailureTime: undefined,
        lastFailure: undefined,
        timeUntilRetry: undefined,
        currentBackoff: undefined,
        consecutiveOpenings: 0,
        stateChanges: 0,
        probesInFlight: 0,
        probeSuccesses: 0,
        probeIdleTime: undefined
      })
    }))

  const busy = Effect.gen(function*() {
    const breaker = yield* make({
      failureRate: 0.5,
      slowCallRate: 0.9,
      slowCallDuration: "1 second",
      minimumCalls: 4,
      window: { calls: 10 },
      openDuration: "10 seconds",
      successThreshold: 3
    })
    const old = yield* hold(breaker)
    yield* slowly(3_000, Effect.succeed(1))(breaker)
    yield* succeed(breaker)
    yield* call(breaker, Effect.fail("mine"), { classify: () => Outcome.ignored })
    yield* fail(breaker, 2)
    yield* rejection(breaker)
    yield* old.succeed
    yield* TestClock.adjust("4 seconds")
    return breaker
  })

  // migration: total_requests | track how often circuits open
  it.effect("of an open one", () =>
    Effect.gen(function*() {
      const breaker = yield* busy
      const metrics = yield* breaker.metrics
      assert.deepInclude(metrics, {
        state: "Open",
        isAvailable: false,
        totalCalls: 7,
        successfulCalls: 2,
        failedCalls: 2,
        ignoredCalls: 1,
        lateCalls: 1,
        rejectedCalls: 1,
        callsInFlight: 0,
        consecutiveFailures: 2,
        callsInWindow: 4,
        failureRate: 0.5,
        successRate: 0.5,
        slowCallRate: 0.25,
        consecutiveOpenings: 1,
        stateChanges: 1
      })
      // The late call took three seconds as well.
      assert.strictEqual(Duration.toMillis(metrics.averageResponseTime!), 6_000 / 5)
      assert.strictEqual(DateTime.toEpochMillis(metrics.lastFailureTime!), 3_000)
      assert.strictEqual(Duration.toMillis(metrics.timeUntilRetry!), 6_000)
      assert.strictEqual(Duration.toMillis(metrics.currentBackoff!), 10_000)
    }))

  it.effect("of a half-open one", () =>
    Effect.gen(function*() {
      const breaker = yield* busy
      yield* TestClock.adjust("6 seconds")
      yield* succeed(breaker)
      const probe = yield* hold(breaker)
      assert.deepInclude(yield* breaker.metrics, {
        state: "HalfOpen",
        isAvailable: true,
        totalCalls: 9,
        successfulCalls: 3,
        callsInFlight: 1,
        timeUntilRetry: undefined,
        stateChanges: 2,
        probesInFlight: 1,
        probeSuccesses: 1
      })
      yield* probe.interrupt
    }))

  it.effect("of one that stays forced open have an infinite timeUntilRetry", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* breaker.forceOpen()
      assert.isFalse(Duration.isFinite((yield* breaker.metrics).timeUntilRetry!))
    }))

  // migration: get_metrics()
  it.effect("total is all that asked: the sum of the other counts, at any time", () =>
    Effect.gen(function*() {
      const breaker = yield* busy
      const sum = Effect.map(breaker.metrics, (metrics) => {
        assert.strictEqual(
          metrics.totalCalls,
          metrics.successfulCalls + metrics.failedCalls + metrics.ignoredCalls + metrics.lateCalls +
            metrics.rejectedCalls + metrics.callsInFlight
        )
      })
      yield* sum
      yield* TestClock.adjust("6 seconds")
      const probes = yield* Effect.forEach([1, 2, 3], () => hold(breaker))
      yield* sum
      yield* rejection(breaker)
      yield* probes[0]!.interrupt
      yield* probes[1]!.fail
      yield* probes[2]!.fail
      yield* sum
    }))

  // migration: get_success_rate() | total_calls
  it.effect("show the window without what has left it", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ failureRate: 0.9, window: { duration: "10 seconds" } })
      yield* fail(breaker, 3)
      assert.deepInclude(yield* breaker.metrics, { callsInWindow: 3, failureRate: 1 })
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* breaker.metrics, { callsInWindow: 0, failureRate: 0, successRate: 1, failedCalls: 3 })
    }))

  // migration: average_response_time_ms
  it.effect("measure durations only if the policy does", () =>
    Effect.gen(function*() {
      const averages = yield* Effect.forEach(
        [
          { window: { calls: 10 } },
          { window: { calls: 10 }, measureDuration: true },
          { window: { duration: "1 minute" } },
          { window: { duration: "1 minute" }, measureDuration: false }
        ] as const,
        (options) =>
          Effect.gen(function*() {
            const breaker = yield* make({ consecutiveFailures: 5, ...options })
            yield* slowly(500, Effect.succeed(1))(breaker)
            return (yield* breaker.metrics).averageResponseTime
          })
      )
      assert.deepStrictEqual(averages.map((average) => average && Duration.toMillis(average)), [
        undefined,
        500,
        500,
        undefined
      ])
    }))

  it.effect("have the quantiles of timed calls since the last reset", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, window: { duration: "1 minute" } })
      for (const millis of [10, 20, 30, 40, 500]) yield* slowly(millis, Effect.succeed(1))(breaker)
      const { latency } = yield* breaker.metrics
      assert.deepStrictEqual([latency!.p50, latency!.p95, latency!.p99].map(Duration.toMillis), [30, 500, 500])
      yield* breaker.reset
      assert.isUndefined((yield* breaker.metrics).latency)
      yield* slowly(7, Effect.succeed(1))(breaker)
      assert.strictEqual(Duration.toMillis((yield* breaker.metrics).latency!.p50), 7)
    }))

  it.effect("have no quantiles of calls that are not timed", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, window: { calls: 10 } })
      yield* slowly(10, Effect.succeed(1))(breaker)
      assert.isUndefined((yield* breaker.metrics).latency)
    }))

  it.effect("tell for how long a half-open circuit has waited for a call", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, successThreshold: 2, openDuration: "10 seconds" })
      const idle = Effect.map(
        breaker.metrics,
        ({ probeIdleTime }) => probeIdleTime && Duration.toSeconds(probeIdleTime)
      )
      assert.isUndefined(yield* idle)
      yield* fail(breaker)
      assert.isUndefined(yield* idle)
      yield* TestClock.adjust("13 seconds")
      assert.strictEqual(yield* idle, 3)
      assert.isUndefined(yield* breaker.execute(idle))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* idle, 5)
    }))

  // migration: get_state() | state | total_calls
  it.effect("toJson uses names for people and tools, seconds, rates and null", () =>
    Effect.gen(function*() {
      const breaker = yield* busy
      const json = CircuitMetrics.toJson(yield* breaker.metrics)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(json)), {
        name: "dependency",
        state: "open",
        is_available: false,
        failure_count: 2,
        success_count: 0,
        total_calls: 7,
        successful_calls: 2,
        failed_calls: 2,
        ignored_calls: 1,
        late_calls: 1,
        rejected_calls: 1,
        calls_in_flight: 0,
        requests_in_window: 4,
        error_rate: 0.5,
        failure_rate: 0.5,
        success_rate: 0.5,
        slow_call_rate: 0.25,
        average_response_time_ms: 1_200,
        latency_p50_ms: 0,
        latency_p95_ms: 3_000,
        latency_p99_ms: 3_000,
        last_failure_time: "1970-01-01T00:00:03.000Z",
        last_failure: { error: "string", message: "down" },
        time_until_retry: 6,
        current_backoff: 10,
        consecutive_openings: 1,
        state_changes: 1
      })
    }))

  // migration: status.to_dict()
  it.effect("toJson of a new circuit, and of one that stays forced open, is valid JSON", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const asNew = CircuitMetrics.toJson(yield* breaker.metrics)
      assert.deepInclude(asNew, {
        state: "closed",
        average_response_time_ms: null,
        latency_p50_ms: null,
        latency_p95_ms: null,
        latency_p99_ms: null,
        last_failure_time: null,
        time_until_retry: null,
        current_backoff: null
      })
      yield* breaker.forceOpen()
      const forced = CircuitMetrics.toJson(yield* breaker.metrics)
      assert.deepInclude(JSON.parse(JSON.stringify(forced)), { state: "forced_open", time_until_retry: null })
    }))

  it.effect("keep how long the circuit was open the last time, whatever an operator does meanwhile", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      assert.isUndefined((yield* breaker.metrics).currentBackoff)
      yield* fail(breaker, 2)
      yield* breaker.forceClose
      yield* TestClock.adjust("10 seconds")
      const before = (yield* breaker.metrics).currentBackoff
      yield* breaker.forceOpen()

      assert.deepStrictEqual(before, Duration.seconds(10))
      assert.deepStrictEqual((yield* breaker.metrics).currentBackoff, before)
    }))
})

describe("metrics of a circuit with an open time of zero", () => {
  it.effect("say that it was open for no time", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, openDuration: 0 })
      yield* fail(breaker)
      assert.deepStrictEqual((yield* breaker.metrics).currentBackoff, Duration.zero)
    }))
})
