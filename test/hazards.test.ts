/**
 * What goes wrong at the edges of several rules at once: odd values, odd names, odd clocks, and everything in motion.
 */
import { assert, describe, it } from "@effect/vitest"
import {
  Bulkhead,
  CircuitBreaker,
  CircuitBreakerRegistry,
  type CircuitMetrics,
  CircuitPolicy,
  Hedge,
  RateLimit,
  Resilience,
  ResilienceError,
  Retry,
  Tiers,
  Timeout
} from "effect-resilience"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { type Breaker, fail, halfOpen, hold, make, settle, succeed, touchy, TwoClocks } from "./support/circuits.ts"

const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkDetach(effect, { startImmediately: true })

/** A generator of the same numbers each time. */
const seeded = (seed: number) => (below: number) => (seed = (seed * 16807) % 2147483647) % below

const assertAddsUp = (metrics: CircuitMetrics.CircuitMetrics): void => {
  const { callsInFlight, failedCalls, ignoredCalls, lateCalls, rejectedCalls, successfulCalls, totalCalls } = metrics
  assert.strictEqual(
    totalCalls,
    successfulCalls + failedCalls + ignoredCalls + lateCalls + rejectedCalls + callsInFlight
  )
}

const assertEmpty = (metrics: CircuitMetrics.CircuitMetrics): void => {
  assertAddsUp(metrics)
  assert.deepStrictEqual([metrics.callsInFlight, metrics.probesInFlight], [0, 0])
}

describe("2. trips", () => {
  for (const window of [{ calls: 10 }, { duration: "1 minute" }] as const) {
    it.effect(`a success that completes minimumCalls opens from now on, with ${JSON.stringify(window)}`, () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("1 hour")
        const breaker = yield* make({ failureRate: 0.5, minimumCalls: 2, window, openDuration: "10 seconds" })
        yield* fail(breaker)
        yield* succeed(breaker)
        assert.strictEqual(yield* breaker.state, "Open")
        const { timeUntilRetry } = yield* breaker.metrics
        assert.deepStrictEqual(timeUntilRetry, Duration.seconds(10))
      }))
  }

  it.effect("a policy spread with a smaller window asks for no more calls than that holds", () =>
    Effect.gen(function*() {
      const policy = { ...CircuitPolicy.make({ failureRate: 0.5 }), window: { calls: 5 } }
      const breaker = yield* CircuitBreaker.make({ name: "dependency", policy })
      yield* fail(breaker, 4)
      assert.strictEqual(yield* breaker.state, "Closed")
      yield* fail(breaker)
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  for (
    const window of [{ duration: 1, buckets: 1000 }, { duration: Duration.nanos(1n), buckets: 1000 }, { calls: 1 }]
  ) {
    for (const failureRate of [0, 1]) {
      it.effect(`a window of ${JSON.stringify(window)} at a rate of ${failureRate} opens at a failure only`, () =>
        Effect.gen(function*() {
          const breaker = yield* make({ failureRate, minimumCalls: 1, window, openDuration: "1 second" })
          yield* succeed(breaker, 3)
          assert.strictEqual(yield* breaker.state, "Closed")
          yield* TestClock.adjust("1 hour")
          yield* fail(breaker)
          assert.strictEqual(yield* breaker.state, "Open")
        }))
    }
  }
})

describe("3. open", () => {
  const asked: ReadonlyArray<readonly [hint: unknown, millis: number]> = [
    [Duration.infinity, 3_600_000],
    [Duration.millis(2 ** 53), 3_600_000],
    [Duration.millis(-5), 10_000],
    [Duration.zero, 10_000],
    [Duration.millis(NaN), 10_000],
    [Duration.nanos(10_001_000_001n), 10_002],
    ["1 hour", 10_000],
    [NaN, 10_000]
  ]
  it.effect("a retryAfter of any value lengthens the opening within its bounds or not at all", () =>
    Effect.forEach(asked, ([retryAfter, millis]) =>
      Effect.gen(function*() {
        const breaker = yield* make(touchy)
        yield* Effect.exit(breaker.execute(Effect.fail({ reason: { retryAfter } })))
        assert.strictEqual(Duration.toMillis((yield* breaker.metrics).timeUntilRetry!), millis, String(retryAfter))
      })))

  it.effect("no multiplier and no jitter makes an open time that is none", () =>
    Effect.forEach([
      CircuitPolicy.exponential({ initial: 1, multiplier: Number.MAX_VALUE }),
      CircuitPolicy.exponential({ initial: "1 second", multiplier: 1e300, jitter: 1 }),
      CircuitPolicy.exponential({ initial: Duration.nanos(1n), multiplier: 1, jitter: 1, maximum: 1 })
    ], (openDuration) =>
      Effect.gen(function*() {
        const breaker = yield* make({ ...touchy, openDuration })
        for (let opening = 0; opening < 300; opening++) {
          yield* fail(breaker)
          const { timeUntilRetry = Duration.zero } = yield* breaker.metrics
          assert.isTrue(Duration.between(timeUntilRetry, { minimum: Duration.zero, maximum: Duration.minutes(5) }))
          yield* TestClock.adjust(timeUntilRetry)
          assert.strictEqual(yield* breaker.state, "HalfOpen")
        }
      })))
})

describe("4. half-open", () => {
  it.effect("a policy with fewer slots lets the running probes end first", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, halfOpenMaxCalls: 3, successThreshold: 3 })
      yield* halfOpen(breaker)
      const probes = yield* Effect.replicateEffect(hold(breaker), 3)
      yield* breaker.reconfigure(CircuitPolicy.make(touchy))
      yield* probes[0]!.interrupt
      yield* probes[1]!.interrupt
      assert.isFalse(yield* breaker.isAvailable)
      yield* probes[2]!.succeed
      assert.strictEqual(yield* breaker.state, "Closed")
    }))

  it.effect("a policy with a smaller sample judges by as many of the running probes", () =>
    Effect.gen(function*() {
      const many = { ...touchy, halfOpenMaxCalls: 9 }
      const breaker = yield* make({ ...many, halfOpenSample: { calls: 5, failureRate: 0.5 } })
      yield* halfOpen(breaker)
      const probes = yield* Effect.replicateEffect(hold(breaker), 5)
      yield* breaker.reconfigure(CircuitPolicy.make({ ...many, halfOpenSample: { calls: 2, failureRate: 1 } }))
      yield* probes[0]!.fail
      assert.strictEqual(yield* breaker.state, "HalfOpen")
      yield* probes[1]!.succeed
      assert.strictEqual(yield* breaker.state, "Closed")
      yield* probes[2]!.fail
      assert.strictEqual((yield* breaker.metrics).lateCalls, 1)
    }))

  it.effect("a probe from before ForcedOpen neither counts nor frees a slot after it", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* halfOpen(breaker)
      const before = yield* hold(breaker)
      yield* breaker.forceOpen({ duration: "5 seconds" })
      yield* TestClock.adjust("5 seconds")
      const after = yield* hold(breaker)
      yield* before.succeed
      assert.strictEqual(yield* breaker.state, "HalfOpen")
      assert.isFalse(yield* breaker.isAvailable)
      yield* after.fail
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  it.effect("ten thousand fibers at once never exceed the probes", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, halfOpenMaxCalls: 3, successThreshold: 1000 })
      yield* halfOpen(breaker)
      let running = 0
      let most = 0
      const probe = Effect.acquireUseRelease(
        Effect.sync(() => most = Math.max(most, ++running)),
        () => Effect.yieldNow,
        () => Effect.sync(() => running--)
      )
      yield* Effect.forEach(Array.from({ length: 10_000 }), () => Effect.exit(breaker.execute(probe)), {
        concurrency: "unbounded",
        discard: true
      })
      assert.strictEqual(most, 3)
      assertEmpty(yield* breaker.metrics)
    }))
})

describe("6. outcomes", () => {
  for (const field of ["retryAfter", "reason"]) {
    it.effect(`an error whose ${field} cannot be read is a failure, and stays what it is`, () =>
      Effect.gen(function*() {
        const error = Object.defineProperty({}, field, {
          get() {
            throw new Error("unreadable")
          }
        })
        const breaker = yield* make(touchy)
        const hedged = Effect.fail(error).pipe(Hedge.withHedge({ delay: "1 hour" }))
        assert.strictEqual(yield* Effect.flip(breaker.execute(hedged)), error)
        assert.strictEqual(yield* breaker.state, "Open")
        const exhausted = yield* Effect.flip(Retry.withRetry(Effect.fail(error), { maxAttempts: 1 }))
        assert.instanceOf(exhausted, ResilienceError.RetryExhaustedError)
      }))
  }

  it.effect("a policy's classifier that gives nothing leaves it to the default, and frees its probe", () =>
    Effect.gen(function*() {
      // What types refuse and JavaScript allows.
      const breaker = yield* make({ ...touchy, classify: (() => undefined) as never })
      yield* halfOpen(breaker)
      assert.strictEqual(yield* breaker.state, "HalfOpen")
      yield* succeed(breaker)
      assert.strictEqual(yield* breaker.state, "Closed")
      assertEmpty(yield* breaker.metrics)
    }))

  const cyclic: Record<string, unknown> = { n: 1n }
  cyclic["reason"] = cyclic
  const errors = [null, undefined, Symbol("s"), 10n, NaN, () => 1, Object.freeze(new Error("f")), cyclic]
  it.effect("an error of any kind is a failure, and its exhausted retry crosses JSON", () =>
    Effect.forEach(errors, (error) =>
      Effect.gen(function*() {
        const codec = Schema.toCodecJson(ResilienceError.RetryExhaustedError)
        const breaker = yield* make(touchy)
        const retried = Retry.withRetry(breaker.execute(Effect.fail(error)), { maxAttempts: 1 })
        const exhausted = yield* Effect.flip(retried)
        assert.strictEqual(yield* breaker.state, "Open")
        assert.instanceOf(exhausted, ResilienceError.RetryExhaustedError)
        assert.isString(exhausted.message)
        const json = JSON.stringify(yield* Schema.encodeEffect(codec)(exhausted))
        const { attempts } = yield* Schema.decodeUnknownEffect(codec)(JSON.parse(json))
        assert.strictEqual(attempts, 1)
      })))
})

describe("7. time", () => {
  it.effect("a monotonic clock may begin before zero", () =>
    Effect.gen(function*() {
      const clock = new TwoClocks()
      clock.monotonic = -1e9
      const breaker = yield* make({ failureRate: 1, minimumCalls: 2, window: { duration: "1 second" } }).pipe(
        Effect.provideService(Clock.Clock, clock)
      )
      yield* fail(breaker)
      clock.pass("1 hour")
      assert.strictEqual((yield* breaker.metrics).callsInWindow, 0)
      yield* fail(breaker)
      assert.strictEqual(yield* breaker.state, "Closed")
      clock.pass("500 millis")
      yield* fail(breaker)
      assert.strictEqual(yield* breaker.state, "Open")
      clock.pass("1 minute")
      assert.strictEqual(yield* breaker.state, "HalfOpen")
    }))
})

describe("metrics", () => {
  const policies = ([
    touchy,
    { failureRate: 0.5, minimumCalls: 2, window: { calls: 4 }, openDuration: "1 second" },
    { slowCallRate: 0.5, slowCallDuration: "1 second", window: { duration: "3 seconds", buckets: 3 }, minimumCalls: 2 },
    { consecutiveFailures: 2, halfOpenSample: { calls: 3, failureRate: 0.5 }, halfOpenMaxCalls: 5, openDuration: 0 },
    { ...touchy, halfOpenSample: { calls: 1, failureRate: 1 }, halfOpenTimeout: "2 seconds" }
  ] satisfies ReadonlyArray<CircuitPolicy.Options>).map(CircuitPolicy.make)

  it.effect("add up at any time, whatever calls, time, operators and policies do", () =>
    Effect.forEach(Array.from({ length: 20 }, (_, seed) => seed + 1), (seed) =>
      Effect.gen(function*() {
        const random = seeded(seed)
        const breaker: Breaker = yield* CircuitBreaker.make({ name: "dependency", policy: policies[0]! })
        const held: Array<Effect.Success<ReturnType<typeof hold>>> = []
        const steps: ReadonlyArray<() => Effect.Effect<unknown>> = [
          () => breaker.forceOpen(random(2) === 0 ? undefined : { duration: "1 second" }),
          () => breaker.forceClose,
          () => breaker.disable,
          () => breaker.metricsOnly,
          () => breaker.reset,
          () => breaker.reconfigure(policies[random(policies.length)]!),
          () => TestClock.adjust(random(3000)),
          () => fail(breaker),
          () => succeed(breaker),
          () => Effect.map(hold(breaker), (call) => held.push(call)),
          () => Effect.map(hold(breaker), (call) => held.push(call)),
          () => held.splice(random(held.length + 1), 1)[0]?.succeed ?? Effect.void,
          () => held.splice(random(held.length + 1), 1)[0]?.fail ?? Effect.void,
          () => held.splice(random(held.length + 1), 1)[0]?.interrupt ?? Effect.void
        ]
        for (let i = 0; i < 200; i++) {
          yield* steps[random(steps.length)]!()
          const metrics = yield* breaker.metrics
          assertAddsUp(metrics)
          assert.isAtLeast(Math.min(metrics.callsInFlight, metrics.probesInFlight, metrics.callsInWindow), 0)
          assert.isTrue(metrics.failureRate >= 0 && metrics.failureRate <= 1)
        }
        for (const call of held) yield* call.interrupt
        assertEmpty(yield* breaker.metrics)
      })))
})

describe("registry", () => {
  const names = ["__proto__", "constructor", "", "toString", "日本", "a\u0000b", "x".repeat(1_000_000)]
  const circuits: Record<string, CircuitPolicy.CircuitPolicy> = Object.fromEntries(
    ["__proto__", "constructor", ""].map((name) => [name, CircuitPolicy.make({ consecutiveFailures: 1 })])
  )
  const env = { CB_PROTO_SUCCESS_THRESHOLD: "1" }
  const layers = {
    layer: CircuitBreakerRegistry.layer({ circuits }),
    layerConfig: CircuitBreakerRegistry.layerConfig({ circuits }).pipe(
      Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
    )
  }
  for (const [name, layer] of Object.entries(layers)) {
    it.effect(`${name} takes any string for a name, those that objects have included`, () =>
      Effect.gen(function*() {
        const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
        for (const name of names) {
          yield* Effect.exit(CircuitBreaker.withCircuitBreaker(Effect.fail("down"), name))
        }
        assert.deepStrictEqual(yield* registry.names, names)
        assert.deepStrictEqual(yield* registry.openCircuits, ["__proto__", "constructor", ""])
        for (const name of names) assert.isTrue(yield* registry.remove(name))
        assert.deepStrictEqual(yield* registry.names, [])
      }).pipe(Effect.provide(layer)))
  }

  it.effect("calls through two handles of a name count in the circuit they began in, through eviction and removal", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const first = yield* registry.getOrCreate("tenant")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* registry.names, [])
      const second = yield* registry.getOrCreate("tenant")
      const toSecond = yield* hold(first)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* registry.names, ["tenant"])
      yield* registry.remove("tenant")
      const toFirst = yield* hold(first)
      assert.strictEqual(registry.getUnsafe("tenant"), first)
      yield* toSecond.fail
      yield* toFirst.fail
      for (const breaker of [first, second]) {
        const metrics = yield* breaker.metrics
        assert.strictEqual(metrics.failedCalls, 1)
        assertEmpty(metrics)
      }
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer({ idleTimeToLive: "1 minute" }))))

  it.effect("a class keeps its registered circuit when that is removed", () => {
    class Payment extends CircuitBreaker.Service<Payment>()("payment", { policy: CircuitPolicy.make(touchy) }) {}
    return Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const call = Effect.fail("down").pipe(CircuitBreaker.withCircuitBreaker(Payment))
      yield* registry.remove("payment")
      assert.strictEqual(yield* Effect.flip(call), "down")
      assert.instanceOf(yield* Effect.flip(call), ResilienceError.CircuitOpenError)
      assert.isUndefined(registry.getUnsafe("payment"))
    }).pipe(Effect.provide(Layer.provideMerge(Payment.layerRegistered, CircuitBreakerRegistry.layer())))
  })
})

describe("permits", () => {
  it.effect("many fibers report one and close its scope, and it counts once", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const scope = yield* Scope.make()
      const permit = yield* Scope.provide(breaker.permit, scope)
      yield* Effect.forEach(
        Array.from({ length: 20 }),
        (_, i) => i % 3 === 0 ? Scope.close(scope, Exit.void) : permit.success,
        { concurrency: "unbounded" }
      )
      const metrics = yield* breaker.metrics
      assert.strictEqual(metrics.totalCalls, 1)
      assertEmpty(metrics)
    }))
})

describe("streams", () => {
  it.effect("merged, repeated, retried and cut short, each run is one call", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ consecutiveFailures: 10 })
      const three = Stream.make(1, 2, 3).pipe(CircuitBreaker.withCircuitBreakerStream(breaker))
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(three, 1)), [1])
      assert.strictEqual((yield* Stream.runCollect(Stream.merge(three, three))).length, 6)
      assert.strictEqual((yield* Stream.runCollect(Stream.take(Stream.forever(three), 7))).length, 7)
      yield* Effect.exit(Stream.runForEach(three, () => Effect.fail("consumer")))
      assert.strictEqual((yield* breaker.metrics).successfulCalls, 7)
      let runs = 0
      const flaky = Stream.suspend(() => ++runs < 3 ? Stream.concat(Stream.make(0), Stream.fail("x")) : Stream.make(9))
      const retried = flaky.pipe(
        CircuitBreaker.withCircuitBreakerStream(breaker),
        Stream.retry(Schedule.recurs(5))
      )
      assert.deepStrictEqual(yield* Stream.runCollect(retried), [0, 0, 9])
      const metrics = yield* breaker.metrics
      assert.deepStrictEqual([metrics.failedCalls, metrics.successfulCalls], [2, 8])
      assertEmpty(metrics)
    }))
})

describe("combinations", () => {
  it.effect("a bulkhead that is resized from outside any fiber resumes its queue", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ name: "b", limit: 1, queue: 1 })
      const first = yield* start(bulkhead.execute(Effect.never))
      const queued = yield* start(bulkhead.execute(Effect.succeed("ran")))
      Effect.runSync(bulkhead.resize(2))
      yield* settle
      assert.deepStrictEqual(queued.pollUnsafe(), Exit.succeed("ran"))
      yield* Fiber.interrupt(first)
      assert.strictEqual(yield* bulkhead.inFlight, 0)
    }))

  it.effect("a hedge of a circuit with one probe leaves that probe to end the call", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* halfOpen(breaker)
      const answer = yield* Deferred.make<string>()
      const hedge = Hedge.withHedge({ delay: "1 second", maxHedges: 3 })
      const fiber = yield* start(hedge(breaker.execute(Deferred.await(answer))))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* breaker.metrics).rejectedCalls, 1)
      yield* Deferred.succeed(answer, "ok")
      assert.strictEqual(yield* Fiber.join(fiber), "ok")
      assert.strictEqual(yield* breaker.state, "Closed")
    }))

  it.effect("a call that waits for a rate limit inside a tier hands over at the timeout of the tier", () =>
    Effect.gen(function*() {
      const limit = yield* RateLimit.makeMemory({ name: "l", limit: 1, window: "1 hour", onExceeded: "delay" })
      const call = Tiers.make("read", [
        Tiers.tier("limited", limit.execute(Effect.succeed("limited")), { timeout: "1 second" }),
        Tiers.tier("other", Effect.succeed("other"))
      ], { deadline: "10 seconds" })
      assert.strictEqual(yield* call, "limited")
      const fiber = yield* start(call)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), "other")
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))

  it.effect("two tiers of one name share its circuit, which an operator may hold in any state", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const breaker = yield* registry.register("same", CircuitPolicy.make(touchy))
      const down: Effect.Effect<string, string> = Effect.fail("down")
      const outcomes = Tiers.make("read", [Tiers.tier("same", down), Tiers.tier("same", down)]).pipe(
        Effect.flip,
        Effect.map(({ attempts }) => attempts.map(({ outcome }) => outcome))
      )
      assert.deepStrictEqual(yield* outcomes, ["failed", "skipped"])
      yield* breaker.disable
      assert.deepStrictEqual(yield* outcomes, ["failed", "failed"])
      yield* breaker.metricsOnly
      assert.deepStrictEqual(yield* outcomes, ["failed", "failed"])
      yield* breaker.forceOpen()
      assert.deepStrictEqual(yield* outcomes, ["skipped", "skipped"])
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))

  it.effect("an uninterruptible caller still gets its timeout, and its circuit an ignored call", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const call = breaker.execute(Effect.never).pipe(Timeout.withTimeout("1 second"))
      const fiber = yield* start(Effect.uninterruptible(Effect.exit(call)))
      yield* TestClock.adjust("1 second")
      const exit = yield* Fiber.join(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasFails(exit.cause))
      assert.strictEqual((yield* breaker.metrics).ignoredCalls, 1)
    }))

  it.effect("bulkhead in circuit in retry in disconnected timeout in tiers, interrupted at random, leave nothing", () =>
    Effect.gen(function*() {
      const random = seeded(3)
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const bulkhead = yield* Bulkhead.make({ name: "b", limit: 2, queue: 1 })
      const breaker = yield* registry.register("inner", CircuitPolicy.make({ ...touchy, consecutiveFailures: 3 }))
      yield* registry.register("outer", CircuitPolicy.make({ ...touchy, consecutiveFailures: 20 }))
      const kinds: ReadonlyArray<Effect.Effect<void, string>> = [
        Effect.fail("down"),
        Effect.never,
        Effect.uninterruptible(Effect.sleep("3 seconds")),
        Effect.sleep(100),
        Effect.void
      ]
      const inner = Effect.suspend(() => kinds[random(kinds.length)]!).pipe(
        Bulkhead.withBulkhead(bulkhead),
        CircuitBreaker.withCircuitBreaker(breaker),
        Retry.withRetry({ maxAttempts: 3, baseDelay: "100 millis" }),
        Timeout.withTimeout({ duration: "2 seconds", disconnect: true })
      )
      const call = Tiers.make("op", [
        Tiers.tier("outer", inner, { timeout: "1 second" }),
        Tiers.tier("last", Effect.void)
      ])
      const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
      for (let i = 0; i < 500; i++) {
        fibers.push(yield* start(Effect.exit(call)))
        yield* TestClock.adjust(random(300))
        if (random(5) === 0) fibers[random(fibers.length)]!.interruptUnsafe()
      }
      yield* TestClock.adjust("1 hour")
      for (const fiber of fibers) assert.isDefined(fiber.pollUnsafe())
      for (const metrics of yield* registry.statuses) assertEmpty(metrics)
      assert.deepStrictEqual([yield* bulkhead.inFlight, yield* bulkhead.queued], [0, 0])
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer({ idleTimeToLive: "Infinity" }))))

  it.effect("a pipeline in any order serves, falls back and leaves nothing", () =>
    Effect.gen(function*() {
      const random = seeded(7)
      const breaker = yield* make({ consecutiveFailures: 1_000_000 })
      const bulkhead = yield* Bulkhead.make({ name: "b", limit: 2 })
      const rateLimit = yield* RateLimit.makeMemory({ name: "l", limit: 1_000_000, window: "1 hour" })
      for (let i = 0; i < 200; i++) {
        const order: Array<Resilience.Step> = []
        for (const step of Resilience.STANDARD_ORDER) order.splice(random(order.length + 1), 0, step)
        const pipeline = Resilience.make({
          name: "any",
          order,
          fallback: Effect.succeed("fallback"),
          timeout: "1 minute",
          retry: { maxAttempts: 2, baseDelay: 0 },
          hedge: { delay: "1 second" },
          rateLimit,
          circuitBreaker: breaker,
          bulkhead,
          attemptTimeout: "30 seconds"
        })
        assert.strictEqual(yield* pipeline.apply(Effect.succeed("served")), "served")
        const failing = yield* start(pipeline.apply(Effect.fail("down")))
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual(yield* Fiber.join(failing), "fallback", order.join())
      }
      assertEmpty(yield* breaker.metrics)
      assert.strictEqual(yield* bulkhead.inFlight, 0)
    }))
})
