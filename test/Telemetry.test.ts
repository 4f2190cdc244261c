import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Logger, Metric, Scope } from "effect"
import {
  Bulkhead,
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  Hedge,
  RateLimit,
  Resilience,
  Retry,
  RetryBudget,
  Telemetry,
  Tiers,
  Timeout
} from "effect-resilience"
import { PrometheusMetrics } from "effect/observability"
import { RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"

const { CircuitBreakerRegistry: Registry } = CircuitBreakerRegistry
const fragile = CircuitPolicy.make({
  consecutiveFailures: 2,
  openDuration: "10 seconds",
  successThreshold: 1,
  measureDuration: false
})
const fail = Effect.fail("down")

/** Runs a test with telemetry and a metric registry of its own. */
const measured = <A, E, R>(
  test: Effect.Effect<A, E, R>,
  options?: Telemetry.Options
): Effect.Effect<A, E, Exclude<R, CircuitBreakerRegistry.CircuitBreakerRegistry>> =>
  test.pipe(
    Effect.provide(
      Telemetry.layer(options).pipe(
        Layer.provideMerge(CircuitBreakerRegistry.layer({ defaults: fragile, idleTimeToLive: "1 hour" }))
      )
    ),
    Effect.provideService(Metric.MetricRegistry, new Map())
  )

/** All series with a value other than zero, as `id{a,b}`. */
const series = Effect.map(
  Metric.snapshot,
  (snapshots) =>
    Object.fromEntries(snapshots.flatMap(({ attributes, id, state }) => {
      const value = "count" in state ? state.count : "value" in state ? state.value : NaN
      return value === 0 ? [] : [[`${id}{${Object.values(attributes ?? {}).join()}}`, value]]
    }))
)

const through = (call: Effect.Effect<unknown, string>, name = "api") =>
  Effect.exit(CircuitBreaker.withCircuitBreaker(call, name))

describe("circuits", () => {
  it.effect("count their calls by outcome, and say what state they are in", () =>
    measured(Effect.gen(function*() {
      yield* through(Effect.void)
      yield* through(Effect.interrupt)
      yield* through(fail)
      yield* through(fail)
      yield* through(Effect.void)

      assert.deepStrictEqual(yield* series, {
        "circuit_breaker_calls_total{api,success}": 1,
        "circuit_breaker_calls_total{api,failure}": 2,
        "circuit_breaker_calls_total{api,ignored}": 1,
        "circuit_breaker_calls_total{api,rejected}": 1,
        "circuit_breaker_state{api,open}": 1,
        "circuit_breaker_failure_rate{api}": 2 / 3,
        "circuit_breaker_transitions_total{api,closed,open}": 1,
        "circuit_breaker_call_duration_seconds{api}": 3
      })
    })))

  it.effect("count calls that end late", () =>
    measured(Effect.gen(function*() {
      const late = yield* Effect.forkChild(through(Effect.delay(Effect.void, "1 second")), { startImmediately: true })
      yield* through(fail)
      yield* through(fail)
      yield* TestClock.adjust("1 second")
      assert.isDefined(late.pollUnsafe())

      assert.strictEqual((yield* series)["circuit_breaker_calls_total{api,late}"], 1)
    })))

  it.effect("count their changes of state by edge, and are half-open once their time is over", () =>
    measured(Effect.gen(function*() {
      for (let round = 0; round < 2; round++) {
        yield* through(fail)
        yield* through(fail)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* series)["circuit_breaker_state{api,half_open}"], 1)
        yield* through(Effect.void)
      }

      const { "circuit_breaker_state{api,closed}": closed, ...rest } = yield* series
      assert.strictEqual(closed, 1)
      assert.deepInclude(rest, {
        "circuit_breaker_transitions_total{api,closed,open}": 2,
        "circuit_breaker_transitions_total{api,open,half_open}": 2,
        "circuit_breaker_transitions_total{api,half_open,closed}": 2
      })
    })))

  it.effect("measure how long calls take, in seconds", () =>
    measured(
      Effect.gen(function*() {
        for (const millis of [100, 1_000, 1_001, 60_000]) {
          const call = yield* Effect.forkChild(through(Effect.sleep(millis)), { startImmediately: true })
          yield* TestClock.adjust(millis)
          assert.isDefined(call.pollUnsafe())
        }
        const [histogram] = (yield* Metric.snapshot).filter(({ type }) => type === "Histogram")

        assert.deepStrictEqual(histogram?.state, {
          buckets: [[0.1, 1], [1, 2], [10, 3]],
          count: 4,
          sum: 62.101,
          min: 0.1,
          max: 60
        })
      }),
      { durationBoundaries: [0.1, 1, 10] }
    ))

  it.effect("measure no durations that nobody asks for", () =>
    measured(
      Effect.gen(function*() {
        const registry = yield* Registry
        yield* registry.register("slow", CircuitPolicy.make({ slowCallDuration: "1 second", slowCallRate: 0.5 }))
        yield* through(Effect.void)
        yield* through(Effect.void, "slow")

        const all = yield* series
        assert.notProperty(all, "circuit_breaker_call_duration_seconds{api}")
        assert.strictEqual(all["circuit_breaker_call_duration_seconds{slow}"], 1)
        const metrics = yield* (yield* registry.getOrCreate("api")).metrics
        assert.isUndefined(metrics.averageResponseTime)
      }),
      { durations: false }
    ))

  it.effect("count on when they are reset, though their own counts begin anew", () =>
    measured(Effect.gen(function*() {
      yield* through(Effect.void)
      yield* through(fail)
      const circuit = yield* (yield* Registry).getOrCreate("api")
      yield* circuit.reset
      yield* through(fail)

      const { failedCalls, lastFailureTime, successfulCalls, totalCalls } = yield* circuit.metrics
      assert.deepStrictEqual({ successfulCalls, failedCalls, totalCalls }, {
        successfulCalls: 0,
        failedCalls: 1,
        totalCalls: 1
      })
      assert.isDefined(lastFailureTime)
      assert.deepInclude(yield* series, {
        "circuit_breaker_calls_total{api,success}": 1,
        "circuit_breaker_calls_total{api,failure}": 2
      })
    })))

  it.effect("are measured from their start and from when the Layer is built, and no longer than it lives", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.make({ defaults: fragile })
      const early = yield* registry.getOrCreate("early")
      yield* early.execute(Effect.void)
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(
        Telemetry.layer().pipe(
          Layer.provide(Layer.succeed(Registry, registry))
        ),
        scope
      )
      yield* registry.getOrCreate("later")

      const names = Effect.map(
        Metric.snapshot,
        (snapshots) => Array.from(new Set(snapshots.map(({ attributes }) => attributes?.["circuit"])))
      )
      assert.deepStrictEqual(yield* names, ["early", "later"])
      assert.strictEqual((yield* series)["circuit_breaker_calls_total{early,success}"], 1)

      yield* Scope.close(scope, Exit.void)
      yield* registry.getOrCreate("latest")
      assert.deepStrictEqual(yield* names, [])

      const { averageResponseTime } = yield* early.metrics
      const call = yield* Effect.forkChild(early.execute(Effect.sleep("1 second")), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.isDefined(call.pollUnsafe())
      assert.deepStrictEqual((yield* early.metrics).averageResponseTime, averageResponseTime)
    }).pipe(Effect.scoped, Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("take their series along when they are forgotten, and bring their counts back when they are restored", () =>
    measured(Effect.gen(function*() {
      const registry = yield* Registry
      const circuit = yield* registry.getOrCreate("api")
      yield* circuit.execute(Effect.void)
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(yield* registry.names, [])
      assert.deepStrictEqual(yield* series, {})

      yield* circuit.execute(Effect.void)
      assert.strictEqual((yield* series)["circuit_breaker_calls_total{api,success}"], 2)

      yield* registry.remove("api")
      assert.deepStrictEqual(yield* series, {})
    })))

  // migration: export to Prometheus
  it.effect("are read by Prometheus as they are", () =>
    measured(Effect.gen(function*() {
      yield* through(Effect.void)
      yield* through(fail)
      const text = yield* PrometheusMetrics.format()

      assert.include(text, "# TYPE circuit_breaker_calls_total counter\n")
      assert.include(text, "circuit_breaker_calls_total{circuit=\"api\",outcome=\"failure\"} 1\n")
      assert.include(text, "circuit_breaker_state{circuit=\"api\",state=\"closed\"} 1\n")
      assert.include(text, "circuit_breaker_call_duration_seconds_bucket{circuit=\"api\",le=\"0.005\"} 2\n")
      assert.include(text, "circuit_breaker_call_duration_seconds_bucket{circuit=\"api\",le=\"+Inf\"} 2\n")
    })))

  it.effect("in no registry are measured when they are watched, until the scope closes", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "own", policy: fragile })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* Telemetry.watch(breaker)
        yield* breaker.execute(Effect.void)
        assert.strictEqual((yield* series)["circuit_breaker_calls_total{own,success}"], 1)
      }))
      assert.deepStrictEqual(yield* series, {})
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("of another make are not measured, and watching them does no harm", () =>
    Effect.gen(function*() {
      const own = yield* CircuitBreaker.make({ name: "own", policy: fragile })
      const foreign = { [CircuitBreaker.TypeId]: CircuitBreaker.TypeId, name: "own" } as CircuitBreaker.CircuitBreaker
      assert.isTrue(CircuitBreaker.isCircuitBreaker(foreign))
      yield* Effect.scoped(Effect.gen(function*() {
        yield* Telemetry.watch(foreign)
        yield* own.execute(Effect.void)
        assert.deepStrictEqual(yield* series, {})
      }))
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it("refuse boundaries that do not ascend", () => {
    for (const durationBoundaries of [[], [1, 1], [2, 1], [1, Infinity], [NaN]]) {
      assert.throws(
        () => Telemetry.layer({ durationBoundaries }),
        RangeError,
        `durationBoundaries must be finite, ascending seconds, got [${durationBoundaries.join(", ")}]`
      )
      const breaker = Effect.runSync(Bulkhead.make({ limit: 1 }))
      assert.throws(() => Telemetry.watch(breaker, { durationBoundaries }), RangeError)
    }
  })
})

describe("calls", () => {
  it.effect("count retries and the retries that a budget does not allow, by operation", () =>
    measured(Effect.gen(function*() {
      const retry = { maxAttempts: 3, baseDelay: 0 }
      yield* Effect.exit(Retry.withRetry(fail, retry))
      yield* Effect.exit(Retry.withRetry(fail, { ...retry, operation: "charge" }))
      const budget = yield* RetryBudget.make({ ratio: 0, minPerSecond: 1, window: "1 second" })
      yield* Effect.exit(Retry.withRetry(fail, { ...retry, operation: "refund", budget }))
      yield* Retry.withRetry(Effect.void, retry)

      assert.deepStrictEqual(yield* series, {
        "retry_calls_total{call,failed_with_retry}": 1,
        "retry_calls_total{charge,failed_with_retry}": 1,
        "retry_calls_total{refund,failed_with_retry}": 1,
        "retry_calls_total{call,successful_without_retry}": 1,
        "retry_attempts_total{call}": 2,
        "retry_attempts_total{charge}": 2,
        "retry_attempts_total{refund}": 1,
        "retry_budget_exhausted_total{refund}": 1
      })
    })))

  it.effect("count timeouts and hedges", () =>
    measured(Effect.gen(function*() {
      const limited = Timeout.withTimeout(Effect.never, { duration: "1 second", operation: "charge" })
      const hedged = Hedge.withHedge(Effect.exit(limited), { delay: "100 millis", maxHedges: 2, operation: "charge" })
      yield* Effect.forkChild(hedged, { startImmediately: true })
      yield* TestClock.adjust("1 minute")

      assert.deepStrictEqual(yield* series, {
        "hedge_attempts_total{charge}": 2,
        "call_timeouts_total{charge,call}": 1
      })
    })))

  it.effect("in a pipeline go by its name, but for what has a name of its own", () =>
    measured(Effect.gen(function*() {
      const policy = Retry.make({ maxAttempts: 2, baseDelay: 0 })
      const own = Retry.make({ maxAttempts: 2, baseDelay: 0, operation: "own" })
      for (const [name, retry] of [["a", policy], ["b", policy], ["c", own]] as const) {
        const pipeline = Resilience.make({ name, retry, attemptTimeout: "1 second", hedge: { delay: "500 millis" } })
        yield* Effect.forkChild(Effect.exit(pipeline.execute(Effect.never)), { startImmediately: true })
      }
      yield* TestClock.adjust("1 minute")

      const counted = yield* series
      assert.deepInclude(counted, {
        "retry_attempts_total{a}": 1,
        "retry_attempts_total{b}": 1,
        "retry_attempts_total{own}": 1
      })
      assert.containsAllKeys(counted, [
        "call_timeouts_total{a,attempt}",
        "hedge_attempts_total{b}",
        "hedge_attempts_total{c}"
      ])
      assert.strictEqual(policy.operation, undefined)
      assert.include(policy.description, "up to 2 attempts")
    })))

  it.effect("that found no slot are counted, in the queue as well", () =>
    measured(
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ name: "db", limit: 1, queue: 1, maxWait: "1 second" })
        yield* Telemetry.watch(bulkhead)
        const calls = yield* Effect.forEach(
          [1, 2, 3],
          () => Effect.forkChild(Effect.exit(bulkhead.execute(Effect.never)), { startImmediately: true })
        )
        assert.deepStrictEqual(yield* series, {
          "bulkhead_in_flight{db}": 1,
          "bulkhead_limit{db}": 1,
          "bulkhead_queued{db}": 1,
          "bulkhead_rejected_total{db}": 1
        })

        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(calls.map((call) => call.pollUnsafe() !== undefined), [false, true, true])
        assert.strictEqual((yield* series)["bulkhead_rejected_total{db}"], 2)
      }).pipe(Effect.scoped)
    ))

  it.effect("in flight are shown of a bulkhead that is a service", () => {
    class Slots extends Bulkhead.Service<Slots>()("slots", { limit: 3 }) {}
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        Slots.layer.pipe(Layer.provide(Telemetry.layer()), Layer.provide(CircuitBreakerRegistry.layer())),
        scope
      )
      yield* Effect.forkChild(Bulkhead.withBulkhead(Effect.never, Context.get(context, Slots)), {
        startImmediately: true
      })
      assert.deepStrictEqual(yield* series, { "bulkhead_in_flight{slots}": 1, "bulkhead_limit{slots}": 3 })

      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* Metric.snapshot, [])
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  })

  it.effect("are counted by tier: served, failed and skipped", () =>
    measured(Effect.gen(function*() {
      const get = Tiers.make("get_account", [
        Tiers.tier("mcp", fail),
        Tiers.tier("sdk", Effect.succeed(1), { retry: { maxAttempts: 2, baseDelay: 0 } }),
        Tiers.tier("rest", Effect.succeed(2))
      ])
      for (let i = 0; i < 3; i++) yield* get

      const counted = Object.entries(yield* series).filter(([name]) => name.startsWith("tier_calls_total"))
      assert.deepStrictEqual(Object.fromEntries(counted), {
        "tier_calls_total{get_account,mcp,failure}": 2,
        "tier_calls_total{get_account,mcp,skipped}": 1,
        "tier_calls_total{get_account,sdk,success}": 3
      })
    })))

  it.effect("that are interrupted say nothing of the tiers", () =>
    measured(Effect.gen(function*() {
      yield* Effect.exit(Tiers.make("get", [Tiers.tier("mcp", Effect.interrupt)]))

      assert.notInclude(Object.keys(yield* series).join(), "tier_calls_total")
    })))

  it.effect("are not counted without the Layer", () =>
    Effect.gen(function*() {
      yield* Effect.exit(Retry.withRetry(fail, { maxAttempts: 2, baseDelay: 0 }))
      yield* Effect.exit(CircuitBreaker.withCircuitBreaker(fail, "api"))

      assert.deepStrictEqual(yield* Metric.snapshot, [])
    }).pipe(
      Effect.provide(CircuitBreakerRegistry.layer()),
      Effect.provideService(Metric.MetricRegistry, new Map())
    ))
})

describe("calls with retries", () => {
  it.effect("are counted by how they ended and whether that took retries, and not if they are interrupted", () =>
    measured(Effect.gen(function*() {
      const retry = { maxAttempts: 3, baseDelay: 0, operation: "charge" }
      let attempts = 0
      const flaky = Effect.suspend(() => ++attempts % 2 === 1 ? fail : Effect.void)
      yield* Retry.withRetry(Effect.void, retry)
      yield* Retry.withRetry(flaky, retry)
      yield* Retry.withRetry(flaky, { ...retry, whileSuccess: () => false })
      yield* Effect.exit(Retry.withRetry(fail, retry))
      yield* Effect.exit(Retry.withRetry(fail, { ...retry, while: () => false }))
      yield* Effect.exit(Retry.withRetry(Effect.die("bug"), retry))
      yield* Effect.exit(Retry.withRetry(Effect.interrupt, retry))

      const counted = Object.entries(yield* series).filter(([name]) => name.startsWith("retry_calls_total"))
      assert.deepStrictEqual(Object.fromEntries(counted), {
        "retry_calls_total{charge,successful_without_retry}": 1,
        "retry_calls_total{charge,successful_with_retry}": 2,
        "retry_calls_total{charge,failed_with_retry}": 1,
        "retry_calls_total{charge,failed_without_retry}": 2
      })
    })))
})

describe("rate limits and retry budgets", () => {
  for (const algorithm of ["fixed-window", "token-bucket", "sliding-window"] as const) {
    it.effect(`show what is left and who waits, with a ${algorithm}`, () =>
      measured(
        Effect.gen(function*() {
          const rateLimit = yield* RateLimit.makeMemory({
            name: "api",
            limit: 2,
            window: "10 seconds",
            algorithm,
            onExceeded: "delay"
          })
          yield* Telemetry.watch(rateLimit)
          const start = (key?: string) =>
            Effect.forkChild(rateLimit.execute(Effect.void, key === undefined ? undefined : { key }), {
              startImmediately: true
            })
          assert.deepStrictEqual(yield* series, { "rate_limit_limit{api}": 2, "rate_limit_available{api}": 2 })
          yield* start()
          assert.deepStrictEqual(yield* series, { "rate_limit_limit{api}": 2, "rate_limit_available{api}": 1 })
          yield* start()
          yield* start()
          for (let i = 0; i < 4; i++) yield* start("tenant")
          assert.deepStrictEqual(yield* series, { "rate_limit_limit{api}": 2, "rate_limit_waiting{api}": 3 })
          yield* TestClock.adjust("1 minute")
          assert.deepStrictEqual(yield* series, { "rate_limit_limit{api}": 2, "rate_limit_available{api}": 2 })
        }).pipe(Effect.scoped)
      ))
  }

  it.effect("whose tokens a store keeps show their limit only", () =>
    measured(
      Effect.gen(function*() {
        yield* Telemetry.watch(yield* RateLimit.make({ name: "api", limit: 2, window: "1 minute" }))
        assert.deepStrictEqual((yield* Metric.snapshot).map(({ id }) => id), ["rate_limit_limit"])
      }).pipe(
        Effect.scoped,
        Effect.provide(RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreMemory)))
      )
    ))

  it.effect("show the calls and retries of their window, and the retries that may be made", () =>
    measured(
      Effect.gen(function*() {
        const budget = yield* RetryBudget.make({ ratio: 0.5, minPerSecond: 1, window: "4 seconds" })
        yield* Telemetry.watch(budget, { name: "upstream" })
        yield* Effect.exit(Retry.withRetry(fail, { maxAttempts: 2, baseDelay: 0, budget }))
        assert.deepInclude(yield* series, {
          "retry_budget_balance{upstream}": 3.5,
          "retry_budget_calls{upstream}": 1,
          "retry_budget_retries{upstream}": 1
        })
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* series)["retry_budget_balance{upstream}"], 4)
      }).pipe(Effect.scoped)
    ))

  it.effect("that are services are measured for as long as they live", () => {
    class Api extends RateLimit.Service<Api>()("api", { limit: 3, window: "1 minute" }) {}
    class Upstream extends RetryBudget.Service<Upstream>()("upstream") {}
    const services = Layer.mergeAll(Api.layerMemory, Upstream.layer, RetryBudget.layer())
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(
        services.pipe(Layer.provide(Telemetry.layer()), Layer.provide(CircuitBreakerRegistry.layer())),
        scope
      )
      assert.containsAllKeys(yield* series, [
        "rate_limit_available{api}",
        "retry_budget_balance{upstream}",
        "retry_budget_balance{default}"
      ])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* Metric.snapshot, [])
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  })
})

describe("series of names that only calls bring along", () => {
  const timeOut = (operation: string) =>
    Effect.gen(function*() {
      const call = yield* Effect.forkChild(Effect.exit(Timeout.withTimeout(Effect.never, { duration: 1, operation })), {
        startImmediately: true
      })
      yield* TestClock.adjust(1)
      yield* Fiber.await(call)
    })
  const ids = Effect.map(series, (all) => Object.keys(all).filter((id) => id.startsWith("call_timeouts_total")))

  it.effect("end once nothing was counted there for as long as the registry keeps an idle circuit", () =>
    measured(Effect.gen(function*() {
      yield* timeOut("once")
      yield* timeOut("always")
      for (let i = 0; i < 4; i++) {
        yield* TestClock.adjust("50 minutes")
        yield* timeOut("always")
        yield* ids
      }
      assert.deepStrictEqual(yield* ids, ["call_timeouts_total{always,call}"])
      // Counted anew, as that of a circuit that was forgotten.
      yield* timeOut("once")
      assert.strictEqual((yield* series)["call_timeouts_total{once,call}"], 1)
    })))

  it.effect("are counted together as other beyond the limit, which is logged once", () => {
    const lines: Array<unknown> = []
    return measured(
      Effect.gen(function*() {
        for (let i = 0; i < 5; i++) yield* timeOut(`GET /users/${i}`)
        yield* timeOut("GET /users/0")
        yield* Tiers.make("a", [Tiers.tier("b", Effect.void), Tiers.tier("c", Effect.void)])
        assert.deepInclude(yield* series, {
          "call_timeouts_total{GET /users/0,call}": 2,
          "call_timeouts_total{GET /users/1,call}": 1,
          "call_timeouts_total{other,call}": 3,
          "tier_calls_total{a,b,success}": 1
        })
        assert.lengthOf(yield* ids, 3)
        assert.lengthOf(lines, 1)
        assert.include(String(lines[0]), "operation \"other\"")
      }),
      { maxNames: 2 }
    ).pipe(Effect.provide(Logger.layer([Logger.make(({ message }) => lines.push(message))])))
  })

  it.effect("make room for new ones when they end", () =>
    measured(
      Effect.gen(function*() {
        yield* timeOut("a")
        yield* TestClock.adjust("2 hours")
        yield* ids
        yield* TestClock.adjust("2 hours")
        yield* timeOut("b")
        assert.deepStrictEqual(yield* ids, ["call_timeouts_total{b,call}"])
      }),
      { maxNames: 1 }
    ))

  it.effect("of a bulkhead end with its watch, rejections included", () =>
    measured(Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ name: "db", limit: 1 })
        yield* Telemetry.watch(bulkhead)
        yield* bulkhead.execute(Effect.exit(bulkhead.execute(Effect.void)))
        yield* Effect.forkScoped(bulkhead.execute(Effect.never), { startImmediately: true })
        yield* Effect.exit(bulkhead.execute(Effect.void))
        assert.isDefined((yield* series)["bulkhead_rejected_total{db}"])
      }))
      assert.deepStrictEqual(yield* Metric.snapshot, [])
    })))

  it("refuse a limit that is none", () => {
    assert.throws(() => Telemetry.layer({ maxNames: 0 }), "Telemetry.layer: maxNames must be an integer >= 1, got 0")
  })
})
