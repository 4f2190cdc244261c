import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Clock,
  ConfigProvider,
  Context,
  Data,
  Duration,
  Effect,
  Exit,
  Fiber,
  Ref,
  Schedule,
  Tracer
} from "effect"
import {
  Bulkhead,
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  Hedge,
  Outcome,
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

describe("an option that is none", () => {
  it("is refused where the pipeline is written, since the types let it pass", () => {
    const misspelt = { name: "api", attemptTimout: "1 second" } as const
    assert.throws(
      () => Resilience.make(misspelt as unknown as { readonly name: "api" }),
      RangeError,
      `Resilience.make: "attemptTimout" is no option; did you mean "attemptTimeout"? There are name, isAnswer, classify, ` +
        "fallback, timeout, retry, hedge, rateLimit, circuitBreaker, bulkhead, attemptTimeout, order, spans"
    )
    assert.throws(
      () => Resilience.standard("api", { attemptTimout: "1 second" } as {}),
      RangeError,
      `"attemptTimout" is no option`
    )
  })
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
    assert.deepStrictEqual(pipeline.description.split("\n"), [
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

  it.effect("describe tells a target by its name or key, and by its description if it has one", () =>
    Effect.gen(function*() {
      class Payments extends CircuitBreaker.Service<Payments>()("payments") {}
      class Plain extends Context.Service<Plain, Bulkhead.Bulkhead>()("app/plain") {}
      class Short extends Context.Service<Short, Bulkhead.Bulkhead>()("short") {}
      const line = (options: Omit<Resilience.Options, "name">) =>
        Resilience.make({ circuitBreaker: false, ...options, name: "api" }).description.split("\n")[1]
      const rateLimit = yield* RateLimit.makeMemory({ name: "search", limit: 10, window: "1 second" })

      assert.strictEqual(
        line({ bulkhead: yield* Bulkhead.make({ name: "db", limit: 2 }) }),
        "  bulkhead  \"db\": at most 2 calls at once, no queue"
      )
      assert.strictEqual(line({ bulkhead: Plain }), "  bulkhead  \"plain\"")
      assert.strictEqual(line({ bulkhead: Short }), "  bulkhead  \"short\"")
      assert.strictEqual(line({ rateLimit }), `  rate limit  "search": ${rateLimit.description}`)
      assert.strictEqual(line({ hedge: { delay: "5 seconds" } }), "  hedge  1 hedge, after 5s")
      assert.strictEqual(line({ circuitBreaker: undefined }), "  circuit breaker  \"api\" of the registry")
      assert.strictEqual(line({ circuitBreaker: "users" }), "  circuit breaker  \"users\" of the registry")
      assert.strictEqual(
        line({ circuitBreaker: yield* CircuitBreaker.make({ name: "orders" }) }),
        "  circuit breaker  \"orders\""
      )
      assert.strictEqual(line({ circuitBreaker: Payments }), "  circuit breaker  \"payments\"")
    }))

  it.effect("a description shows the size that a bulkhead has when it is asked for", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ name: "db", limit: 2 })
      const pipeline = Resilience.make({ name: "api", circuitBreaker: false, bulkhead })
      yield* bulkhead.resize(5)
      assert.strictEqual(pipeline.description.split("\n")[1], "  bulkhead  \"db\": at most 5 calls at once, no queue")
    }))

  it.effect("making a pipeline prints nothing", () =>
    Effect.gen(function*() {
      let printed = 0
      const bulkhead: Bulkhead.Bulkhead = Object.create(yield* Bulkhead.make({ name: "db", limit: 2 }), {
        description: { get: () => `printed ${++printed} times` }
      })
      const retry: Retry.RetryPolicy = Object.create(Retry.make(), {
        description: { get: () => `printed ${++printed} times` }
      })
      const pipeline = Resilience.make({ name: "api", bulkhead, retry })
      assert.strictEqual(printed, 0)
      assert.include(pipeline.description, "printed 2 times")
    }))

  it("describe of a pipeline without steps is the call alone", () => {
    assert.strictEqual(Resilience.make({ name: "api", circuitBreaker: false }).description, "api\n  call")
  })

  it.effect("a circuit can be given by name, by value, or by class", () =>
    Effect.gen(function*() {
      class Payments extends CircuitBreaker.Service<Payments>()("payments") {}
      const own = yield* CircuitBreaker.make({ name: "own" })
      yield* Resilience.make({ name: "api", circuitBreaker: "users" }).execute(Effect.void)
      yield* Resilience.make({ name: "api", circuitBreaker: own }).execute(Effect.void)
      const { execute } = Resilience.make({ name: "api", circuitBreaker: Payments })
      const payments = yield* Effect.andThen(execute(Effect.void), Payments.use((breaker) => breaker.metrics)).pipe(
        Effect.provide(Payments.layer)
      )

      assert.strictEqual((yield* metricsOf("users")).successfulCalls, 1)
      assert.strictEqual((yield* own.metrics).successfulCalls, 1)
      assert.strictEqual(payments.successfulCalls, 1)
      assert.strictEqual((yield* metricsOf("api")).successfulCalls, 0)
    }).pipe(Effect.provide(registry)))

  it.effect("a hedge and a rate limit are applied like the other steps", () =>
    Effect.gen(function*() {
      let calls = 0
      const count = Effect.suspend(() => {
        calls++
        return Effect.fail(new Unavailable())
      })
      const hedged = Resilience.make({ name: "hedged", circuitBreaker: false, hedge: { delay: 0, maxHedges: 2 } })
      yield* Effect.flip(hedged.execute(count))
      assert.strictEqual(calls, 3)

      const rateLimit = yield* RateLimit.makeMemory({ name: "search", limit: 1, window: "1 second" })
      const limited = Resilience.make({ name: "limited", circuitBreaker: false, rateLimit })
      yield* limited.execute(Effect.void)
      assert.strictEqual((yield* Effect.flip(limited.execute(Effect.void)))._tag, "RateLimitExceededError")
    }))

  it.effect("a retry and a hedge may be policies that others share", () =>
    Effect.gen(function*() {
      const retry = Retry.make({ maxAttempts: 2, baseDelay: 0 })
      const hedge = Hedge.make({ delay: 0, maxHedges: 2 })
      const pipeline = Resilience.make({ name: "api", circuitBreaker: false, retry, hedge })
      assert.include(pipeline.description, retry.description)
      assert.include(pipeline.description, hedge.description)

      let calls = 0
      yield* Effect.flip(pipeline.execute(Effect.suspend(() => Effect.fail(++calls))))
      assert.strictEqual(calls, 6)
    }))

  it.effect("a timeout names the pipeline", () =>
    Effect.gen(function*() {
      for (const option of ["timeout", "attemptTimeout"] as const) {
        const { execute } = Resilience.make({ name: "api", circuitBreaker: false, [option]: "1 second" })
        const fiber = yield* Effect.forkChild(Effect.flip(execute(Effect.never)), { startImmediately: true })
        yield* TestClock.adjust("1 second")
        const error = yield* Fiber.join(fiber)
        assert.instanceOf(error, ResilienceError.CallTimeoutError)
        assert.strictEqual((error as ResilienceError.CallTimeoutError).operation, "api")
      }
    }))

  it.effect("attempts of a hedge have spans of their own, inside of a retry as well", () =>
    Effect.gen(function*() {
      const names = Effect.fnUntraced(function*(options: { readonly retry?: Retry.PlainOptions }) {
        const spans: Array<Tracer.NativeSpan> = []
        const tracer = Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            spans.push(span)
            return span
          }
        })
        const hedge = { delay: "1 second" } as const
        const { execute } = Resilience.make({ ...options, name: "api", hedge, circuitBreaker: false, spans: true })
        yield* Effect.exit(Effect.withTracer(execute(Effect.fail(new Unavailable())), tracer))
        return spans.map(({ attributes, name }) => `${name} ${attributes.get("resilience.attempt") ?? ""}`.trim())
      })

      assert.deepStrictEqual(yield* names({}), ["api", "api attempt 1", "api attempt 2"])
      assert.deepStrictEqual(yield* names({ retry: { maxAttempts: 2, baseDelay: 0 } }), [
        "api",
        "api attempt 1",
        "api attempt 2",
        "api attempt 3",
        "api attempt 4"
      ])
    }))

  it.effect("retry is outside of the circuit: the circuit sees each attempt", () =>
    Effect.gen(function*() {
      const { execute } = Resilience.make({ name: "api", retry: { maxAttempts: 2, baseDelay: 0, jitter: "none" } })
      yield* Effect.flip(execute(Effect.fail(new Unavailable())))
      assert.strictEqual((yield* metricsOf("api")).failedCalls, 2)
    }).pipe(Effect.provide(registry)))

  it.effect("a retry stops once the circuit is open", () =>
    Effect.gen(function*() {
      const calls = yield* Ref.make(0)
      const { execute } = Resilience.make({ name: "api", retry: { maxAttempts: 10, baseDelay: 0, jitter: "none" } })
      const error: unknown = yield* Effect.flip(
        execute(Effect.andThen(Ref.update(calls, (n) => n + 1), new Unavailable()))
      )
      assert.isTrue(ResilienceError.isRetryExhaustedError(error) && error.reason === "rejected")
      assert.strictEqual(yield* Ref.get(calls), 3)
    }).pipe(Effect.provide(registry)))

  it.effect("with the circuit outside of the retry it sees one outcome per call", () =>
    Effect.gen(function*() {
      const { execute } = Resilience.make({
        name: "api",
        retry: { maxAttempts: 5, baseDelay: 0, jitter: "none" },
        order: ["circuitBreaker", "retry"]
      })
      yield* Effect.flip(execute(Effect.fail(new Unavailable())))
      assert.strictEqual((yield* metricsOf("api")).failedCalls, 1)
    }).pipe(Effect.provide(registry)))

  it.effect("a call that the total timeout ends in a queue is not held against the dependency", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ limit: 1, queue: 10 })
      const breaker = yield* CircuitBreaker.make({ name: "db", policy: CircuitPolicy.make({ consecutiveFailures: 1 }) })
      const pipeline = Resilience.make({ name: "db", timeout: "10 seconds", circuitBreaker: breaker, bulkhead })
      yield* Effect.forkScoped(bulkhead.execute(Effect.sleep("15 seconds")), { startImmediately: true })
      const call = (wait: Duration.Input) =>
        Effect.forkChild(Effect.exit(Effect.delay(pipeline.execute(Effect.never), wait)), { startImmediately: true })
      // The one never begins, the other has its slot for half of its time.
      const queued = [yield* call(0), yield* call("10 seconds")]
      yield* TestClock.adjust("20 seconds")
      for (const fiber of queued) assert.isTrue(Exit.isFailure(yield* Fiber.join(fiber)))
      assert.strictEqual(yield* breaker.state, "Closed")
      assert.strictEqual((yield* breaker.metrics).ignoredCalls, 2)
      // With a slot from the first moment on, it is.
      const hanging = yield* call(0)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(hanging)
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  // migration: request_timeout_seconds
  it.effect("an attempt timeout is a failure for the circuit, and so is a total timeout that a single attempt used up", () =>
    Effect.gen(function*() {
      const attempt = Resilience.make({ name: "attempt", attemptTimeout: "1 second" })
      const total = Resilience.make({ name: "total", timeout: "1 second" })
      const fiber = yield* Effect.forkChild(
        Effect.all([Effect.flip(attempt.execute(Effect.never)), Effect.flip(total.execute(Effect.never))], {
          concurrency: 2
        })
      )
      yield* TestClock.adjust("1 second")
      const errors = yield* Fiber.join(fiber)
      assert.deepStrictEqual(errors.map((error) => error._tag), ["CallTimeoutError", "CallTimeoutError"])
      assert.strictEqual((yield* metricsOf("attempt")).failedCalls, 1)
      const outer = yield* metricsOf("total")
      assert.deepStrictEqual([outer.failedCalls, outer.ignoredCalls], [1, 0])
    }).pipe(Effect.provide(registry)))

  it.effect("a full bulkhead is not held against the dependency", () =>
    Effect.gen(function*() {
      const { execute } = Resilience.make({ name: "api", bulkhead: Slots })
      yield* Effect.forkChild(execute(Effect.never), { startImmediately: true })
      for (let i = 0; i < 10; i++) {
        assert.strictEqual((yield* Effect.flip(execute(Effect.void)))._tag, "BulkheadFullError")
      }
      const metrics = yield* metricsOf("api")
      assert.deepStrictEqual([metrics.state, metrics.failedCalls, metrics.ignoredCalls], ["Closed", 0, 10])
    }).pipe(Effect.provide([Slots.layer, registry])))

  it.effect("a fallback sees the failure of everything below it", () =>
    Effect.gen(function*() {
      const { execute } = Resilience.make({
        name: "api",
        fallback: (error) => Effect.succeed(error),
        retry: { maxAttempts: 2, baseDelay: 0 }
      })
      const error = yield* execute(Effect.fail(new Unavailable()))
      assert.instanceOf(error, ResilienceError.RetryExhaustedError)
    }).pipe(Effect.provide(registry)))

  it.effect("a fallback may be an effect, even one that is a function as the class of a service is", () =>
    Effect.gen(function*() {
      class Cached extends Context.Service<Cached, string>()("test/Cached") {}
      const down = Effect.fail(new Unavailable())
      const plain = Resilience.make({ name: "api", fallback: Effect.succeed("cached") }).execute(down)
      const service = Resilience.make({ name: "api", fallback: Cached }).execute(down)

      assert.strictEqual(yield* plain, "cached")
      assert.strictEqual(yield* Effect.provideService(service, Cached, "from the cache"), "from the cache")
    }).pipe(Effect.provide(registry)))

  it.effect("all steps at once let a good call through untouched", () =>
    Effect.gen(function*() {
      class Limit extends RateLimit.Service<Limit>()("api-limit", { limit: 100, window: "1 second" }) {}
      const { execute } = Resilience.make({
        name: "api",
        fallback: Effect.succeed("fallback" as const),
        timeout: "10 seconds",
        retry: { maxAttempts: 3 },
        hedge: { delay: "5 seconds" },
        rateLimit: Limit,
        bulkhead: Slots,
        attemptTimeout: "2 seconds"
      })
      const exit = yield* Effect.exit(execute(Effect.succeed("value")).pipe(Effect.provide(Limit.layer)))
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
    assert.throws(() => Resilience.make({ name: "api", timeout: "-1 seconds" }), RangeError, "Resilience.make: timeout")
    assert.throws(
      () => Resilience.make({ name: "api", attemptTimeout: "-1 seconds" }),
      RangeError,
      "Resilience.make: attemptTimeout"
    )
    assert.throws(() => Resilience.make({ name: "api", retry: { maxAttempts: 0 } }), RangeError, "maxAttempts")
    assert.throws(
      () => Resilience.make({ name: "api", hedge: { delay: "1 second", maxHedges: 0 } }),
      RangeError,
      "maxHedges"
    )
  })
})

it("options of the wrong kind are RangeErrors that say what they must be", () => {
  const refuses = (options: { readonly [K in keyof Resilience.Options]?: unknown }, message: string) =>
    assert.throws(
      () => Resilience.make({ name: "api", ...options } as unknown as Resilience.Options),
      RangeError,
      `Resilience.make: ${message}`
    )

  assert.throws(
    () => Resilience.make(undefined as unknown as Resilience.Options),
    RangeError,
    "Resilience.make: options must be an object"
  )
  refuses({ fallback: "cached" }, "fallback must be an effect or a function that returns one, got \"cached\"")
  refuses({ retry: 3 }, "retry must be a retry policy or its options, got 3")
  refuses(
    { circuitBreaker: true },
    "circuitBreaker must be a circuit, the name or the class of one, or a policy, got true"
  )
  refuses({ order: "retry" }, "order must be a list of steps, got \"retry\"")
  refuses(
    { order: ["cache"] },
    "order must name each step once, of fallback, timeout, retry, hedge, rateLimit, circuitBreaker, bulkhead, " +
      "attemptTimeout, got \"cache\""
  )
})

it.effect("the options of a policy make the circuit of the registry", () =>
  Effect.gen(function*() {
    const { execute } = Resilience.make({ name: "api", circuitBreaker: { consecutiveFailures: 1 } })
    yield* Effect.flip(execute(Effect.fail(new Unavailable())))

    assert.strictEqual((yield* metricsOf("api")).state, "Open")
  }).pipe(Effect.provide(registry)))

it("the options of a policy are as good as the policy, and are checked where they are written", () => {
  const options = { consecutiveFailures: 2, openDuration: "30 seconds" } as const
  assert.strictEqual(
    Resilience.make({ name: "api", circuitBreaker: options }).description,
    Resilience.make({ name: "api", circuitBreaker: CircuitPolicy.make(options) }).description
  )
  assert.throws(
    () => Resilience.make({ name: "api", circuitBreaker: { consecutiveFailures: 0 } }),
    RangeError,
    "consecutiveFailures"
  )
})

it("a bulkhead or a rate limit that is none is a RangeError that says what it must be", () => {
  const numbered = { key: 5 } as unknown as Bulkhead.Bulkhead
  assert.throws(() => Resilience.make({ name: "api", bulkhead: numbered }), RangeError, "Bulkhead.make")
  const options = { limit: 1 } as unknown as Bulkhead.Bulkhead & RateLimit.RateLimit<never>
  assert.throws(
    () => Resilience.make({ name: "api", bulkhead: options }),
    RangeError,
    "Resilience.make: bulkhead must be a value made with Bulkhead.make or the class of a service, got {\"limit\":1}"
  )
  assert.throws(
    () => Resilience.make({ name: "api", rateLimit: options }),
    RangeError,
    "Resilience.make: rateLimit must be a value made with RateLimit.make or RateLimit.makeMemory, " +
      "or the class of a service, got {\"limit\":1}"
  )
})

describe("Resilience.withResilience", () => {
  const pipeline = Resilience.make({ name: "api", retry: { maxAttempts: 2, baseDelay: 0, jitter: "none" } })
  const options = { name: "api", retry: { maxAttempts: 2, baseDelay: 0, jitter: "none" } } as const
  const down: Effect.Effect<string, Unavailable> = Effect.fail(new Unavailable())

  it.effect("runs a call through a pipeline or its options, first or last", () =>
    Effect.gen(function*() {
      const calls = {
        "pipeline, data-last": down.pipe(Resilience.withResilience(pipeline)),
        "pipeline, data-first": Resilience.withResilience(down, pipeline),
        "options, data-last": down.pipe(Resilience.withResilience(options)),
        "options, data-first": Resilience.withResilience(down, options)
      }
      for (const [name, call] of Object.entries(calls)) {
        const error = yield* Effect.flip(call).pipe(Effect.provide(registry))
        assert(ResilienceError.isRetryExhaustedError(error), name)
        assert.strictEqual(error.attempts, 2, name)
      }
      const { "options, data-first": _, ...sameType } = calls
      for (const call of Object.values(sameType)) {
        expectTypeOf(call).toEqualTypeOf<typeof calls["options, data-first"]>()
      }
      expectTypeOf(calls["options, data-last"]).toEqualTypeOf(pipeline.execute(down))
    }))

  it("makes a pipeline of options once, where they are written", () => {
    assert.throws(() => Resilience.withResilience({ name: "api", timeout: -1 }), RangeError, "Resilience.make: timeout")
    // @ts-expect-error -- no such option
    assert.throws(() => Resilience.withResilience({ name: "api", retri: {} }), RangeError, "did you mean \"retry\"?")
    // @ts-expect-error -- no such option
    assert.throws(() => Resilience.withResilience(Effect.void, { name: "api", retri: {} }), RangeError)
    assert.throws(() => Resilience.withResilience(undefined as never), RangeError, "options must be an object")
  })

  it("tells a pipeline from its options", () => {
    assert.isTrue(Resilience.isResilience(pipeline))
    assert.isFalse(Resilience.isResilience(options))
    assert.isFalse(Resilience.isResilience(undefined))
  })
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
    assert.deepStrictEqual(Resilience.standard("api").description.split("\n"), [
      "api",
      `  retry            ${Retry.make().description}`,
      "  circuit breaker  \"api\" of the registry",
      "  attempt timeout  10s for one attempt",
      "  call"
    ])
  })
})

describe("Resilience.standardConfig", () => {
  it.effect("takes the options that are given instead", () =>
    Effect.gen(function*() {
      const pipeline = yield* Resilience.standardConfig("payment-api", {
        retry: { maxAttempts: 7 },
        timeout: "1 minute"
      })
      assert.include(pipeline.description, "up to 7 attempts")
      assert.include(pipeline.description, "1m for the whole call")
    }).pipe(Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env: {} }))))

  // migration: MAX_RETRY_ATTEMPTS
  it.effect("reads retry and attempt timeout from the environment", () =>
    Effect.gen(function*() {
      const pipeline = yield* Resilience.standardConfig("payment-api")
      assert.include(pipeline.description, "up to 4 attempts")
      assert.include(pipeline.description, "3s for one attempt")
    }).pipe(Effect.provideService(
      ConfigProvider.ConfigProvider,
      ConfigProvider.fromEnv({ env: { MAX_RETRY_ATTEMPTS: "4", CIRCUIT_BREAKER_REQUEST_TIMEOUT_SECONDS: "3" } })
    )))

  it.effect("reports a variable of its circuit that there is not", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Resilience.standardConfig("payment-api"))
      assert.include(error.message, "CB_PAYMENT_API_COLOUR is unknown")
    }).pipe(Effect.provideService(
      ConfigProvider.ConfigProvider,
      ConfigProvider.fromEnv({ env: { CB_PAYMENT_API_COLOUR: "red" } })
    )))

  it.effect("reports every problem in one ConfigError", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Resilience.standardConfig("payment-api"))
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

  expectTypeOf(Resilience.make({ name: "api" }).execute(call)).toEqualTypeOf<
    Effect.Effect<number, Unavailable | ResilienceError.CircuitOpenError, Registry>
  >()
  expectTypeOf(Resilience.make({ name: "api", circuitBreaker: false }).execute(call)).toEqualTypeOf<
    Effect.Effect<number, Unavailable>
  >()
  expectTypeOf(Resilience.make({ name: "api", circuitBreaker: false, timeout: "1 second" }).execute(call))
    .toEqualTypeOf<
      Effect.Effect<number, Unavailable | ResilienceError.CallTimeoutError>
    >()
  expectTypeOf(Resilience.make({ name: "api", circuitBreaker: false, timeout: undefined }).execute(call)).toEqualTypeOf<
    Effect.Effect<number, Unavailable>
  >()
  expectTypeOf(Resilience.make({ name: "api", circuitBreaker: false, bulkhead: Slots }).execute(call)).toEqualTypeOf<
    Effect.Effect<number, Unavailable | ResilienceError.BulkheadFullError, Slots>
  >()
  expectTypeOf(
    Resilience.make({ name: "api", circuitBreaker: CircuitPolicy.production, retry: {} }).execute(call)
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
    Resilience.make({ name: "api", fallback: (): Effect.Effect<string, "no"> => Effect.fail("no"), retry: {} }).execute(
      call
    )
  ).toEqualTypeOf<Effect.Effect<number | string, "no", Registry>>()
  expectTypeOf(
    Resilience.make({ name: "api", circuitBreaker: false, retry: { budget: RetryBudget.RetryBudget } }).execute(call)
  ).toEqualTypeOf<Effect.Effect<number, Unavailable | Retry.RetryExhausted<Unavailable>, RetryBudget.RetryBudget>>()
  class Limit extends RateLimit.Service<Limit>()("limit", { limit: 1, window: "1 second", onStoreError: "fail" }) {}
  expectTypeOf(Resilience.make({ name: "api", circuitBreaker: false, rateLimit: Limit }).execute(call)).toEqualTypeOf<
    Effect.Effect<
      number,
      Unavailable | ResilienceError.RateLimitExceededError | RateLimit.TargetStoreError<typeof Limit>,
      Limit
    >
  >()
  class Api extends CircuitBreaker.Service<Api>()("api") {}
  expectTypeOf(Resilience.make({ name: "api", circuitBreaker: Api }).execute(call)).toEqualTypeOf<
    Effect.Effect<number, Unavailable | ResilienceError.CircuitOpenError, Api>
  >()
})

// -----------------------------------------------------------------------------
// around an HTTP call
// -----------------------------------------------------------------------------

class HttpError extends Data.TaggedError("HttpError")<{ readonly status: number }> {}

const isNotFound = (error: unknown): error is HttpError => error instanceof HttpError && error.status === 404

/** A server that answers with one status after another, the last one for ever, and counts. */
const server = (...statuses: ReadonlyArray<number>) => {
  const state = { calls: 0 }
  const get = Effect.suspend(() => {
    const status = statuses[Math.min(state.calls++, statuses.length - 1)]!
    return status < 400 ? Effect.succeed(status) : Effect.fail(new HttpError({ status }))
  })
  return { state, get }
}

const settle = Effect.fnUntraced(
  function*<A, E, R>(effect: Effect.Effect<A, E, R>, time: Duration.Input = "10 minutes") {
    const fiber = yield* Effect.forkChild(Effect.exit(effect), { startImmediately: true })
    yield* TestClock.adjust(time)
    return yield* Fiber.join(fiber)
  }
)

describe("an answer", () => {
  const options = { name: "api", retry: { maxAttempts: 3, jitter: "none" }, isAnswer: isNotFound } as const

  it.effect("is not retried, is a success for the circuit, and passes as itself", () =>
    Effect.gen(function*() {
      const { get, state } = server(404)
      const pipeline = Resilience.make(options)
      for (let i = 0; i < 10; i++) {
        assert.deepStrictEqual(yield* Effect.exit(pipeline.execute(get)), Exit.fail(new HttpError({ status: 404 })))
      }
      assert.strictEqual(state.calls, 10)
      const { failedCalls, state: circuit, successfulCalls } = yield* metricsOf("api")
      assert.deepStrictEqual([circuit, failedCalls, successfulCalls], ["Closed", 0, 10])
    }).pipe(Effect.provide(registry)))

  it.effect("runs no fallback and starts no hedge", () =>
    Effect.gen(function*() {
      const { get, state } = server(404)
      const pipeline = Resilience.make({
        ...options,
        hedge: { delay: "Infinity" },
        fallback: Effect.succeed("cached"),
        isAnswer: (error) => isNotFound(error)
      })
      assert.deepStrictEqual(yield* Effect.exit(pipeline.execute(get)), Exit.fail(new HttpError({ status: 404 })))
      assert.strictEqual(state.calls, 1)
      assert.strictEqual(
        (yield* settle(pipeline.execute(server(503).get))).toString(),
        Exit.succeed("cached").toString()
      )
      expectTypeOf(pipeline.execute(get)).toEqualTypeOf<
        Effect.Effect<number | string, HttpError, CircuitBreakerRegistry.CircuitBreakerRegistry>
      >()
    }).pipe(Effect.provide(registry)))

  it.effect("may come after failures, and what is no answer counts", () =>
    Effect.gen(function*() {
      const { get, state } = server(503, 404)
      const pipeline = Resilience.make(options)
      assert.deepStrictEqual(yield* settle(pipeline.execute(get)), Exit.fail(new HttpError({ status: 404 })))
      assert.strictEqual(state.calls, 2)
      const { failedCalls, successfulCalls } = yield* metricsOf("api")
      assert.deepStrictEqual([failedCalls, successfulCalls], [1, 1])
    }).pipe(Effect.provide(registry)))

  it.effect("is one to the standard pipeline and to one that the environment sets", () =>
    Effect.gen(function*() {
      for (
        const pipeline of [
          Resilience.standard("api", { isAnswer: isNotFound }),
          yield* Resilience.standardConfig("api", { isAnswer: isNotFound })
        ]
      ) {
        const { get, state } = server(404)
        for (let i = 0; i < 5; i++) yield* Effect.exit(pipeline.execute(get))
        assert.strictEqual(state.calls, 5)
      }
      assert.strictEqual((yield* metricsOf("api")).state, "Closed")
    }).pipe(Effect.provide(registry)))

  it.effect("keeps its place beside classify, which is not asked about it", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const pipeline = Resilience.make({
        name: "api",
        isAnswer: isNotFound,
        classify: (exit) => {
          asked.push(exit._tag)
          return Exit.isSuccess(exit) ? Outcome.failure() : Outcome.ignored
        }
      })
      yield* Effect.exit(pipeline.execute(server(404).get))
      yield* Effect.exit(pipeline.execute(server(503).get))
      yield* Effect.exit(pipeline.execute(server(200).get))
      const { failedCalls, ignoredCalls, successfulCalls } = yield* metricsOf("api")
      assert.deepStrictEqual([failedCalls, ignoredCalls, successfulCalls], [1, 1, 1])
      assert.deepStrictEqual(asked, ["Failure", "Success"])
    }).pipe(Effect.provide(registry)))
})

describe("a rate limit of a pipeline", () => {
  it.effect("is waited for no longer than the whole call may take", () =>
    Effect.gen(function*() {
      const rateLimit = yield* RateLimit.makeMemory({ name: "x", limit: 1, window: "10 seconds", onExceeded: "delay" })
      const pipeline = Resilience.make({ name: "x", timeout: "3 seconds", rateLimit, circuitBreaker: false })
      assert.deepStrictEqual(yield* settle(pipeline.execute(Effect.succeed(1)), 0), Exit.succeed(1))
      // At once, and as a rejection: no attempt was made.
      const error = yield* Effect.flip(pipeline.execute(Effect.succeed(2)))
      assert.strictEqual(error._tag, "RateLimitExceededError")
      const around = Resilience.make({
        name: "x",
        timeout: "3 seconds",
        rateLimit,
        circuitBreaker: false,
        order: ["rateLimit", "timeout"]
      })
      assert.deepStrictEqual(yield* settle(around.execute(Effect.succeed(3))), Exit.succeed(3))
    }))

  it.effect("goes on letting through what it allows when callers give up", () =>
    Effect.gen(function*() {
      const rateLimit = yield* RateLimit.makeMemory({ name: "x", limit: 1, window: "1 second", onExceeded: "delay" })
      const pipeline = Resilience.make({ name: "x", timeout: "3 seconds", rateLimit, circuitBreaker: false })
      let served = 0
      const call = Effect.forkChild(Effect.exit(pipeline.execute(Effect.sync(() => void served++))), {
        startImmediately: true
      })
      for (let i = 0; i < 300; i++) {
        yield* call
        yield* TestClock.adjust("200 millis")
      }
      assert.isAtLeast(served, 59)
    }))
})

describe("a retry of a pipeline", () => {
  it.effect("asks while about errors and whileSuccess about values", () =>
    Effect.gen(function*() {
      const pipeline = Resilience.make({
        name: "api",
        retry: {
          maxAttempts: 5,
          jitter: "none",
          while: (error) => error instanceof HttpError && error.status === 503,
          whileSuccess: (value) => value === 202
        }
      })
      const ready = server(202, 503, 202, 200)
      assert.deepStrictEqual(yield* settle(pipeline.execute(ready.get)), Exit.succeed(200))
      assert.strictEqual(ready.state.calls, 4)
      const bad = server(400)
      assert.deepStrictEqual(yield* settle(pipeline.execute(bad.get)), Exit.fail(new HttpError({ status: 400 })))
      assert.strictEqual(bad.state.calls, 1)
    }).pipe(Effect.provide(registry)))

  it.effect("never asks whileSuccess about an answer, which ends the call", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const pipeline = Resilience.make({
        name: "api",
        isAnswer: (error) => error instanceof HttpError && error.status === 404,
        retry: { maxAttempts: 5, jitter: "none", whileSuccess: (value) => seen.push(value) > 0 && value !== 200 }
      })
      const { get, state } = server(202, 404)
      assert.deepStrictEqual(yield* settle(pipeline.execute(get)), Exit.fail(new HttpError({ status: 404 })))
      assert.strictEqual(state.calls, 2)
      assert.deepStrictEqual(seen, [202])
    }).pipe(Effect.provide(registry)))

  it.effect("takes an answer beside a defect for no answer, as classifiers do", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        name: "api",
        policy: CircuitPolicy.make({ consecutiveFailures: 1 })
      })
      const pipeline = Resilience.make({ name: "api", isAnswer: () => true, circuitBreaker: breaker })
      const broken = Exit.failCause(Cause.combine(Cause.fail(new HttpError({ status: 404 })), Cause.die("finalizer")))
      assert.deepStrictEqual(yield* Effect.exit(pipeline.execute(broken)), broken)
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  it.effect("takes from the environment what the code does not say", () =>
    Effect.gen(function*() {
      const env = { MAX_RETRY_ATTEMPTS: "5", RETRY_BASE_DELAY: "7", RETRY_JITTER_ENABLED: "false" }
      const configured = (retry: Resilience.RetryOptions) =>
        Resilience.standardConfig("api", { retry }).pipe(
          Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
        )
      const merged = yield* configured({ while: (error) => isNotFound(error) })
      assert.include(merged.description, "up to 5 attempts, 7s × 2ⁿ up to 1m")
      const unsaid = yield* configured({ maxAttempts: undefined, baseDelay: undefined })
      assert.include(unsaid.description, "up to 5 attempts, 7s × 2ⁿ up to 1m")
      const own = yield* configured({ baseDelay: "1 second" })
      assert.include(own.description, "up to 5 attempts, 1s × 2ⁿ up to 1m")
      const scheduled = yield* configured({ schedule: Schedule.spaced("1 second") })
      assert.include(scheduled.description, "up to 5 attempts, by a schedule")
      const policy = yield* Resilience.standardConfig("api", { retry: Retry.make({ maxAttempts: 2 }) }).pipe(
        Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
      )
      assert.include(policy.description, "up to 2 attempts, 1s")
      const without = yield* Resilience.standardConfig("api", { retry: undefined })
      assert.notInclude(without.steps, "retry")
    }))

  it.effect("gives up at once if it is told to come back after the time of the whole call, and says why", () =>
    Effect.gen(function*() {
      class Busy extends Data.TaggedError("Busy")<{ readonly retryAfter: Duration.Duration }> {}
      const pipeline = Resilience.make({
        name: "api",
        timeout: "30 seconds",
        retry: { maxAttempts: 3 },
        attemptTimeout: "10 seconds",
        circuitBreaker: false
      })
      const error = yield* Effect.flip(pipeline.execute(Effect.fail(new Busy({ retryAfter: Duration.seconds(60) }))))
      assert.isTrue(ResilienceError.isRetryExhaustedError(error) && error.reason === "maxElapsed")
      assert.strictEqual(
        error.message,
        "Gave up after 1 attempt in 0, no time left to retry (it asked to wait 1m): Busy"
      )
      // A retry around the timeout has its own time.
      const around = Resilience.make({
        name: "api",
        timeout: "30 seconds",
        retry: { maxAttempts: 2 },
        circuitBreaker: false,
        order: ["retry", "timeout"]
      })
      const { get, state } = server(503, 200)
      const slow = Effect.tapError(get, () => Effect.sleep("29 seconds"))
      assert.deepStrictEqual(yield* settle(around.execute(slow)), Exit.succeed(200))
      assert.strictEqual(state.calls, 2)
    }))
})

describe("the timeouts of a pipeline", () => {
  it.effect("say in error and metric which of the two it was", () =>
    Effect.gen(function*() {
      for (const [option, kind] of [["timeout", "total"], ["attemptTimeout", "attempt"]] as const) {
        const { execute } = Resilience.make({ name: "api", circuitBreaker: false, [option]: "5 seconds" })
        const exit = yield* settle(execute(Effect.never))
        assert.deepStrictEqual(
          exit,
          Exit.fail(new ResilienceError.CallTimeoutError({ operation: "api", timeout: Duration.seconds(5), kind }))
        )
      }
    }))

  it.effect("do not wait for a driver that does not let go, unless they are told to", () =>
    Effect.gen(function*() {
      const stubborn = Effect.uninterruptible(Effect.sleep("7 seconds"))
      for (const option of ["timeout", "attemptTimeout"] as const) {
        for (
          const [limit, at] of [
            ["2 seconds", 2000],
            [{ duration: "2 seconds" }, 2000],
            [{ duration: "2 seconds", disconnect: false }, 7000]
          ] as const
        ) {
          const { execute } = Resilience.make({ name: "db", circuitBreaker: false, [option]: limit })
          const started = yield* Clock.currentTimeMillis
          const fiber = yield* Effect.forkChild(
            Effect.andThen(Effect.exit(execute(stubborn)), Clock.currentTimeMillis),
            { startImmediately: true }
          )
          for (let i = 0; i < 7; i++) yield* TestClock.adjust("1 second")
          assert.strictEqual((yield* Fiber.join(fiber)) - started, at)
        }
      }
    }))

  it("refuse an attempt that is not shorter than the whole call, in whatever form", () => {
    for (const attemptTimeout of ["10 seconds", "11 seconds", { duration: "10 seconds" }] as const) {
      assert.throws(
        () => Resilience.make({ name: "api", timeout: "10 seconds", attemptTimeout }),
        RangeError,
        "Resilience.make: attemptTimeout must be below timeout (10s), got 1"
      )
      assert.throws(() => Resilience.standard("api", { timeout: "10 seconds", attemptTimeout }), RangeError)
    }
    Resilience.make({ name: "api", timeout: "10 seconds", attemptTimeout: "9 seconds" })
    Resilience.make({ name: "api", timeout: "10 seconds", attemptTimeout: "Infinity" })
    Resilience.make({ name: "api", timeout: "Infinity", attemptTimeout: "9 seconds" })
    // Inside of each attempt, the one that is called total is the shorter one by right.
    Resilience.make({
      name: "api",
      timeout: "1 second",
      attemptTimeout: "9 seconds",
      order: ["attemptTimeout", "timeout", "circuitBreaker"]
    })
  })

  it.effect("leave a standard pipeline an attempt that is shorter than the whole call", () =>
    Effect.gen(function*() {
      for (const timeout of ["5 seconds", "10 seconds"] as const) {
        const [standard, config] = [
          Resilience.standard("api", { timeout }),
          yield* Resilience.standardConfig("api", { timeout })
        ]
        assert.include(
          standard.description,
          timeout === "5 seconds" ? "4s 500ms for one attempt" : "9s for one attempt"
        )
        assert.strictEqual(standard.description, config.description)
      }
      assert.include(Resilience.standard("api", { timeout: "11 seconds" }).description, "10s for one attempt")
      assert.notInclude(
        Resilience.standard("api", { timeout: "5 seconds", attemptTimeout: undefined }).steps,
        "attemptTimeout"
      )
    }))

  for (
    const options of [
      {},
      { timeout: "10 seconds" },
      { timeout: "5 seconds" },
      { timeout: "11 seconds" },
      { timeout: "5 seconds", attemptTimeout: undefined },
      { timeout: "5 seconds", attemptTimeout: undefined, retry: undefined }
    ] as const
  ) {
    it.effect(`let calls that hang open the circuit: ${JSON.stringify(options)}`, () =>
      Effect.gen(function*() {
        const pipeline = yield* Resilience.standardConfig("api", options)
        for (let i = 0; i < 5; i++) yield* settle(pipeline.execute(Effect.never), "1 minute")
        const { failedCalls, state } = yield* metricsOf("api")
        assert.strictEqual(failedCalls, 3)
        assert.notStrictEqual(state, "Closed")
      }).pipe(Effect.provide(CircuitBreakerRegistry.layer({
        defaults: CircuitPolicy.make({ consecutiveFailures: 3, openDuration: "1 hour" })
      }))))
  }

  it.effect("that are around the circuit in another order count too, the shorter one", () =>
    Effect.gen(function*() {
      const pipeline = Resilience.make({
        name: "api",
        timeout: "10 seconds",
        attemptTimeout: "2 seconds",
        order: ["timeout", "attemptTimeout", "circuitBreaker"]
      })
      yield* settle(pipeline.execute(Effect.never))
      const off = Resilience.make({ name: "off", timeout: "5 seconds", attemptTimeout: "Infinity" })
      yield* settle(off.execute(Effect.never))
      for (const name of ["api", "off"]) {
        const { failedCalls, ignoredCalls } = yield* metricsOf(name)
        assert.deepStrictEqual([failedCalls, ignoredCalls], [1, 0])
      }
    }).pipe(Effect.provide(registry)))

  it.effect("follow the variable of the circuit before the code, and the code before that of all circuits", () =>
    Effect.gen(function*() {
      const describe = (env: Record<string, string>, options: { readonly timeout?: Duration.Input } = {}) =>
        Resilience.standardConfig("api", { attemptTimeout: "1 second", ...options }).pipe(
          Effect.map((pipeline) => pipeline.description),
          Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
        )
      assert.include(yield* describe({ CB_API_REQUEST_TIMEOUT_SECONDS: "3" }), "3s for one attempt")
      assert.include(yield* describe({ CIRCUIT_BREAKER_REQUEST_TIMEOUT_SECONDS: "3" }), "1s for one attempt")
      // An operator's time is lowered rather than the program not started.
      assert.include(
        yield* describe({ CB_API_REQUEST_TIMEOUT_SECONDS: "30" }, { timeout: "10 seconds" }),
        "9s for one attempt"
      )
    }))

  it.effect("do not count a later attempt that they cut short", () =>
    Effect.gen(function*() {
      const pipeline = Resilience.make({
        name: "api",
        timeout: "5 seconds",
        retry: { baseDelay: "1 second", jitter: "none" }
      })
      const { get } = server(503)
      let calls = 0
      yield* settle(pipeline.execute(Effect.suspend(() => ++calls === 1 ? get : Effect.never)))
      const { failedCalls, ignoredCalls } = yield* metricsOf("api")
      assert.deepStrictEqual([failedCalls, ignoredCalls], [1, 1])
    }).pipe(Effect.provide(registry)))
})

describe("unknown options", () => {
  it("are refused by the compiler, also where the type of the options is inferred", () => {
    // @ts-expect-error
    assert.throws(() => Resilience.make({ name: "api", attemptTimout: "1 second" }), RangeError)
    // @ts-expect-error
    assert.throws(() => Resilience.standard("api", { retri: {} }), RangeError)
    // @ts-expect-error
    const config = () => Resilience.standardConfig("api", { retri: {} })
    assert.isFunction(config)
    const misspelt = { duration: "1 second", disconect: true } as const
    assert.throws(() => Resilience.make({ name: "api", timeout: misspelt }), RangeError, "did you mean \"disconnect\"?")
    assert.throws(() => Resilience.make({ name: "api", retry: { attempts: 3 } as {} }), RangeError)
    assert.throws(() => Resilience.standard("api", null as never), RangeError, "Resilience.standard: options must be")
  })
})
