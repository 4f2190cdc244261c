import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Data, Effect, Exit, Fiber, Ref } from "effect"
import {
  Bulkhead,
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  RateLimit,
  Resilience,
  ResilienceError,
  Retry,
  RetryBudget
} from "effect-resilience"
import { RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"
import { expectTypeOf } from "vitest"

class Unavailable extends Data.TaggedError("Unavailable") {}

class Slots extends Bulkhead.Service<Slots>()("slots", { limit: 1 }) {}

const registry = CircuitBreakerRegistry.layer({
  defaults: CircuitPolicy.make({ consecutiveFailures: 3, openDuration: "1 minute" })
})

const metricsOf = (name: string) =>
  Effect.gen(function*() {
    const { getOrCreate } = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
    return yield* (yield* getOrCreate(name)).metrics
  })

const all = Resilience.make({
  name: "api",
  fallback: () => Effect.succeed("fallback"),
  timeout: "10 seconds",
  retry: { maxAttempts: 3, jitter: "none" },
  hedge: { delay: "5 seconds" },
  rateLimit: RateLimit.Service<never>()("api-limit", { limit: 100, window: "1 second" }),
  bulkhead: Slots,
  attemptTimeout: "2 seconds"
})

describe("Resilience.make", () => {
  it("the standard order is fallback › timeout › retry › hedge › rate limit › circuit › bulkhead › attempt timeout", () => {
    assert.deepStrictEqual([...all.steps], [...Resilience.STANDARD_ORDER])
  })

  it("a step whose option is left out is not there, except for the circuit", () => {
    assert.deepStrictEqual([...Resilience.make({ name: "api" }).steps], ["circuitBreaker"])
    assert.deepStrictEqual([...Resilience.make({ name: "api", circuitBreaker: false }).steps], [])
  })

  it("describe has a line for each step, in the order in which they apply", () => {
    const pipeline = Resilience.make({
      name: "payment-api",
      fallback: Effect.succeed(0),
      timeout: "10 seconds",
      retry: { maxAttempts: 3, baseDelay: "1 second", maxDelay: "1 minute", jitter: "none" },
      circuitBreaker: CircuitPolicy.production,
      bulkhead: Slots,
      attemptTimeout: "2 seconds"
    })
    assert.deepStrictEqual(pipeline.describe.split("\n"), [
      "payment-api",
      "  fallback         on any failure",
      "  timeout          10s for the whole call",
      `  retry            ${
        Retry.make({ maxAttempts: 3, baseDelay: "1 second", maxDelay: "1 minute", jitter: "none" }).description
      }`,
      "  circuit breaker  \"payment-api\" of the registry: opens after 5 failures in a row, for 1m; " +
      "up to 3 probes at once, 2 successes close it",
      "  bulkhead         \"slots\": at most 1 call at once, no queue",
      "  attempt timeout  2s for one attempt",
      "  call"
    ])
  })

  it.effect("retry is outside of the circuit: the circuit sees each attempt", () =>
    Effect.gen(function*() {
      const { apply } = Resilience.make({ name: "api", retry: { maxAttempts: 2, baseDelay: 0, jitter: "none" } })
      yield* Effect.flip(apply(Effect.fail(new Unavailable())))
      assert.strictEqual((yield* metricsOf("api")).failedCalls, 2)
    }).pipe(Effect.provide(registry)))

  it.effect("a retry stops once the circuit is open", () =>
    Effect.gen(function*() {
      const calls = yield* Ref.make(0)
      const { apply } = Resilience.make({ name: "api", retry: { maxAttempts: 10, baseDelay: 0, jitter: "none" } })
      const error = yield* Effect.flip(apply(Effect.andThen(Ref.update(calls, (n) => n + 1), new Unavailable())))
      assert.strictEqual(error._tag, "CircuitOpenError")
      assert.strictEqual(yield* Ref.get(calls), 3)
    }).pipe(Effect.provide(registry)))

  it.effect("with the circuit outside of the retry it sees one outcome per call", () =>
    Effect.gen(function*() {
      const { apply } = Resilience.make({
        name: "api",
        retry: { maxAttempts: 5, baseDelay: 0, jitter: "none" },
        order: ["circuitBreaker", "retry"]
      })
      yield* Effect.flip(apply(Effect.fail(new Unavailable())))
      assert.strictEqual((yield* metricsOf("api")).failedCalls, 1)
    }).pipe(Effect.provide(registry)))

  it.effect("an attempt timeout is a failure for the circuit, the total timeout is not", () =>
    Effect.gen(function*() {
      const attempt = Resilience.make({ name: "attempt", attemptTimeout: "1 second" })
      const total = Resilience.make({ name: "total", timeout: "1 second" })
      const fiber = yield* Effect.forkChild(
        Effect.all([Effect.flip(attempt.apply(Effect.never)), Effect.flip(total.apply(Effect.never))], {
          concurrency: 2
        })
      )
      yield* TestClock.adjust("1 second")
      const errors = yield* Fiber.join(fiber)
      assert.deepStrictEqual(errors.map((error) => error._tag), ["CallTimeoutError", "CallTimeoutError"])
      assert.strictEqual((yield* metricsOf("attempt")).failedCalls, 1)
      const outer = yield* metricsOf("total")
      assert.deepStrictEqual([outer.failedCalls, outer.ignoredCalls], [0, 1])
    }).pipe(Effect.provide(registry)))

  it.effect("a full bulkhead is not held against the dependency", () =>
    Effect.gen(function*() {
      const { apply } = Resilience.make({ name: "api", bulkhead: Slots })
      yield* Effect.forkChild(apply(Effect.never), { startImmediately: true })
      for (let i = 0; i < 10; i++) {
        assert.strictEqual((yield* Effect.flip(apply(Effect.void)))._tag, "BulkheadFullError")
      }
      const metrics = yield* metricsOf("api")
      assert.deepStrictEqual([metrics.state, metrics.failedCalls, metrics.ignoredCalls], ["Closed", 0, 10])
    }).pipe(Effect.provide([Slots.layer, registry])))

  it.effect("a fallback sees the failure of everything below it", () =>
    Effect.gen(function*() {
      const { apply } = Resilience.make({
        name: "api",
        fallback: (error) => Effect.succeed(error),
        retry: { maxAttempts: 2, baseDelay: 0 }
      })
      const error = yield* apply(Effect.fail(new Unavailable()))
      assert.instanceOf(error, ResilienceError.RetryExhaustedError)
    }).pipe(Effect.provide(registry)))

  it.effect("all steps at once let a good call through untouched", () =>
    Effect.gen(function*() {
      class Limit extends RateLimit.Service<Limit>()("api-limit", { limit: 100, window: "1 second" }) {}
      const { apply } = Resilience.make({
        name: "api",
        fallback: Effect.succeed("fallback" as const),
        timeout: "10 seconds",
        retry: { maxAttempts: 3 },
        hedge: { delay: "5 seconds" },
        rateLimit: Limit,
        bulkhead: Slots,
        attemptTimeout: "2 seconds"
      })
      const exit = yield* Effect.exit(apply(Effect.succeed("value")).pipe(Effect.provide(Limit.layer)))
      assert.deepStrictEqual(exit, Exit.succeed("value"))
    }).pipe(Effect.provide([Slots.layer, registry, RateLimiter.layer]), Effect.provide(RateLimiter.layerStoreMemory)))

  it.effect("wrap protects a function", () =>
    Effect.gen(function*() {
      const { wrap } = Resilience.make({ name: "api" })
      const double = wrap((n: number) => Effect.succeed(n * 2))
      assert.strictEqual(yield* double(21), 42)
      assert.strictEqual((yield* metricsOf("api")).successfulCalls, 1)
    }).pipe(Effect.provide(registry)))

  it("an order that lacks a step, names one twice or one that does not exist is a RangeError that says so", () => {
    const make = (order: ReadonlyArray<Resilience.Step>) => () => Resilience.make({ name: "api", retry: {}, order })
    assert.throws(make(["retry"]), RangeError, "got an order without \"circuitBreaker\"")
    assert.throws(make(["retry", "circuitBreaker", "retry"]), RangeError, "got \"retry\" twice")
    assert.throws(make(["retry", "circuitBreaker", "cache" as Resilience.Step]), RangeError, "got \"cache\"")
    assert.deepStrictEqual([...make(["timeout", "circuitBreaker", "retry"])().steps], ["circuitBreaker", "retry"])
  })

  it("options out of range are RangeErrors that name the option", () => {
    assert.throws(() => Resilience.make({ name: "api", timeout: "-1 seconds" }), RangeError, "timeout")
    assert.throws(() => Resilience.make({ name: "api", attemptTimeout: "-1 seconds" }), RangeError, "attemptTimeout")
    assert.throws(() => Resilience.make({ name: "api", retry: { maxAttempts: 0 } }), RangeError, "maxAttempts")
    assert.throws(
      () => Resilience.make({ name: "api", hedge: { delay: "1 second", maxHedges: 0 } }),
      RangeError,
      "maxHedges"
    )
  })
})

it("the options of a policy are as good as the policy, and are checked where they are written", () => {
  const options = { consecutiveFailures: 2, openDuration: "30 seconds" } as const
  assert.strictEqual(
    Resilience.make({ name: "api", circuitBreaker: options }).describe,
    Resilience.make({ name: "api", circuitBreaker: CircuitPolicy.make(options) }).describe
  )
  assert.throws(
    () => Resilience.make({ name: "api", circuitBreaker: { consecutiveFailures: 0 } }),
    RangeError,
    "consecutiveFailures"
  )
})

it("a bulkhead or a rate limit that is none is a RangeError that says what it must be", () => {
  const options = { limit: 1 } as unknown as Bulkhead.Bulkhead & RateLimit.RateLimit<never>
  assert.throws(() => Resilience.make({ name: "api", bulkhead: options }), RangeError, "Bulkhead.make")
  assert.throws(() => Resilience.make({ name: "api", rateLimit: options }), RangeError, "RateLimit.make")
})

describe("Resilience.standard", () => {
  it("has retry, circuit and attempt timeout, and takes others", () => {
    assert.deepStrictEqual([...Resilience.standard("api").steps], ["retry", "circuitBreaker", "attemptTimeout"])
    assert.deepStrictEqual([...Resilience.standard("api", { timeout: "1 minute" }).steps], [
      "timeout",
      "retry",
      "circuitBreaker",
      "attemptTimeout"
    ])
  })
})

describe("Resilience.config", () => {
  it.effect("reads retry and attempt timeout from the environment", () =>
    Effect.gen(function*() {
      const pipeline = yield* Resilience.config("payment-api")
      assert.include(pipeline.describe, "up to 4 attempts")
      assert.include(pipeline.describe, "3s for one attempt")
    }).pipe(Effect.provideService(
      ConfigProvider.ConfigProvider,
      ConfigProvider.fromEnv({ env: { MAX_RETRY_ATTEMPTS: "4", CIRCUIT_BREAKER_REQUEST_TIMEOUT_SECONDS: "3" } })
    )))

  it.effect("reports every problem in one ConfigError", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Resilience.config("payment-api"))
      assert.include(error.message, "MAX_RETRY_ATTEMPTS")
      assert.include(error.message, "CB_PAYMENT_API_REQUEST_TIMEOUT_SECONDS")
    }).pipe(Effect.provideService(
      ConfigProvider.ConfigProvider,
      ConfigProvider.fromEnv({ env: { MAX_RETRY_ATTEMPTS: "none", CB_PAYMENT_API_REQUEST_TIMEOUT_SECONDS: "-1" } })
    )))
})

it("the error channel and the requirements are those of the steps that are there", () => {
  const call: Effect.Effect<number, Unavailable> = Effect.succeed(1)
  type Registry = CircuitBreakerRegistry.CircuitBreakerRegistry

  expectTypeOf(Resilience.make({ name: "api" }).apply(call)).toEqualTypeOf<
    Effect.Effect<number, Unavailable | ResilienceError.CircuitOpenError, Registry>
  >()
  expectTypeOf(Resilience.make({ name: "api", circuitBreaker: false }).apply(call)).toEqualTypeOf<
    Effect.Effect<number, Unavailable>
  >()
  expectTypeOf(Resilience.make({ name: "api", circuitBreaker: false, timeout: "1 second" }).apply(call)).toEqualTypeOf<
    Effect.Effect<number, Unavailable | ResilienceError.CallTimeoutError>
  >()
  expectTypeOf(Resilience.make({ name: "api", circuitBreaker: false, timeout: undefined }).apply(call)).toEqualTypeOf<
    Effect.Effect<number, Unavailable>
  >()
  expectTypeOf(Resilience.make({ name: "api", circuitBreaker: false, bulkhead: Slots }).apply(call)).toEqualTypeOf<
    Effect.Effect<number, Unavailable | ResilienceError.BulkheadFullError, Slots>
  >()
  expectTypeOf(
    Resilience.make({ name: "api", circuitBreaker: CircuitPolicy.production, retry: {} }).apply(call)
  ).toEqualTypeOf<
    Effect.Effect<
      number,
      | Unavailable
      | ResilienceError.CircuitOpenError
      | Retry.RetryExhausted<Unavailable | ResilienceError.CircuitOpenError>,
      Registry
    >
  >()
  expectTypeOf(
    Resilience.make({ name: "api", fallback: (): Effect.Effect<string, "no"> => Effect.fail("no"), retry: {} }).apply(
      call
    )
  ).toEqualTypeOf<Effect.Effect<number | string, "no", Registry>>()
  expectTypeOf(
    Resilience.make({ name: "api", circuitBreaker: false, retry: { budget: RetryBudget.RetryBudget } }).apply(call)
  ).toEqualTypeOf<Effect.Effect<number, Unavailable | Retry.RetryExhausted<Unavailable>, RetryBudget.RetryBudget>>()
  class Limit extends RateLimit.Service<Limit>()("limit", { limit: 1, window: "1 second", onStoreError: "fail" }) {}
  expectTypeOf(Resilience.make({ name: "api", circuitBreaker: false, rateLimit: Limit }).apply(call)).toEqualTypeOf<
    Effect.Effect<
      number,
      Unavailable | ResilienceError.RateLimitExceededError | RateLimit.TargetStoreError<typeof Limit>,
      Limit
    >
  >()
  class Api extends CircuitBreaker.Service<Api>()("api") {}
  expectTypeOf(Resilience.make({ name: "api", circuitBreaker: Api }).apply(call)).toEqualTypeOf<
    Effect.Effect<number, Unavailable | ResilienceError.CircuitOpenError, Api>
  >()
})
