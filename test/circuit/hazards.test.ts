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
  Fallback,
  Hedge,
  RateLimit,
  Resilience,
  ResilienceError,
  Retry,
  RetryBudget,
  Tiers,
  Timeout
} from "effect-resilience"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { type Breaker, fail, halfOpen, hold, make, settle, succeed, touchy, TwoClocks } from "../support/circuits.ts"
import { Machine } from "../support/machine.ts"
import { findCircuit, namedCircuit } from "../support/registry.ts"

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

describe("opening", () => {
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

describe("the open time", () => {
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

describe("half-open", () => {
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

describe("outcomes", () => {
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

describe("clocks", () => {
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
  const names = ["__proto__", "constructor", " ", "toString", "日本", "a\u0000b", "x".repeat(1_000_000)]
  const circuits: Record<string, CircuitPolicy.CircuitPolicy> = Object.fromEntries(
    ["__proto__", "constructor", " "].map((name) => [name, CircuitPolicy.make({ consecutiveFailures: 1 })])
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
        assert.deepStrictEqual(yield* registry.openCircuits, ["__proto__", "constructor", " "])
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
      assert.strictEqual(findCircuit(registry, "tenant"), first)
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
      assert.isUndefined(findCircuit(registry, "payment"))
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
        assert.strictEqual(yield* pipeline.execute(Effect.succeed("served")), "served")
        const failing = yield* start(pipeline.execute(Effect.fail("down")))
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual(yield* Fiber.join(failing), "fallback", order.join())
      }
      assertEmpty(yield* breaker.metrics)
      assert.strictEqual(yield* bulkhead.inFlight, 0)
    }))
})

// -----------------------------------------------------------------------------
// by name
// -----------------------------------------------------------------------------

const ALL_STATES = ["Closed", "Open", "HalfOpen", "ForcedOpen", "Disabled", "MetricsOnly"] as const

/** Brings a circuit that opens at the first failure into a state, as a new period of it. */
const enter: Readonly<Record<typeof ALL_STATES[number], (breaker: Breaker) => Effect.Effect<unknown>>> = {
  Closed: (breaker) => breaker.reset,
  Open: (breaker) => Effect.andThen(breaker.reset, fail(breaker)),
  HalfOpen: (breaker) => Effect.andThen(breaker.disable, breaker.forceOpen({ duration: 0 })),
  ForcedOpen: (breaker) => Effect.andThen(breaker.disable, breaker.forceOpen()),
  Disabled: (breaker) => Effect.andThen(breaker.reset, breaker.disable),
  MetricsOnly: (breaker) => Effect.andThen(breaker.disable, breaker.metricsOnly)
}

describe("a hung probe", () => {
  it.effect("that cannot even be interrupted blocks the circuit for halfOpenTimeout only, and is late", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, halfOpenMaxCalls: 2, halfOpenTimeout: "30 seconds" })
      yield* halfOpen(breaker)
      const gate = yield* Deferred.make<void>()
      const hung = yield* Effect.replicateEffect(
        start(breaker.execute(Effect.uninterruptible(Deferred.await(gate)))),
        2
      )
      yield* TestClock.adjust("29999 millis")
      assert.isFalse(yield* breaker.isAvailable)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* breaker.state, "Open")
      yield* TestClock.adjust("10 seconds")
      yield* succeed(breaker)
      assert.strictEqual(yield* breaker.state, "Closed")

      for (const fiber of hung) fiber.interruptUnsafe()
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.strictEqual(yield* breaker.state, "Closed")
      assertEmpty(yield* breaker.metrics)
    }))
})

describe("a probe cancelled before it starts", () => {
  const waysToCancel: Readonly<Record<string, (breaker: Breaker) => Effect.Effect<unknown, unknown>>> = {
    "before its fiber takes a step": (breaker) =>
      Effect.flatMap(Effect.forkDetach(breaker.execute(Effect.never)), Fiber.interrupt),
    "in the queue of a bulkhead": (breaker) =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1, queue: 1 })
        const other = yield* start(bulkhead.execute(Effect.never))
        const probe = yield* start(breaker.execute(bulkhead.execute(Effect.void)))
        assert.strictEqual((yield* breaker.metrics).probesInFlight, 1)
        yield* Fiber.interrupt(probe)
        yield* Fiber.interrupt(other)
      }),
    "by a bulkhead that is full": (breaker) =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1 })
        const other = yield* start(bulkhead.execute(Effect.never))
        yield* Effect.exit(breaker.execute(bulkhead.execute(Effect.void)))
        yield* Fiber.interrupt(other)
      }),
    "by a timeout of no time": (breaker) =>
      Effect.gen(function*() {
        const fiber = yield* start(Timeout.withTimeout(breaker.execute(Effect.never), 0))
        yield* TestClock.adjust(0)
        yield* Fiber.await(fiber)
      }),
    "while a rate limit makes it wait": (breaker) =>
      Effect.gen(function*() {
        const limit = yield* RateLimit.makeMemory({ name: "l", limit: 1, window: "1 hour", onExceeded: "delay" })
        yield* limit.execute(Effect.void)
        const probe = yield* start(breaker.execute(limit.execute(Effect.void)))
        yield* Fiber.interrupt(probe)
      }),
    "as a permit whose scope closes": (breaker) => Effect.scoped(breaker.permit)
  }
  for (const [how, cancel] of Object.entries(waysToCancel)) {
    it.effect(`${how} leaves its slot to the next`, () =>
      Effect.gen(function*() {
        const breaker = yield* make(touchy)
        yield* halfOpen(breaker)
        for (let i = 0; i < 3; i++) {
          yield* cancel(breaker)
          yield* settle
          assert.strictEqual(yield* breaker.state, "HalfOpen")
          assert.isTrue(yield* breaker.isAvailable)
          assertEmpty(yield* breaker.metrics)
        }
        yield* succeed(breaker)
        assert.strictEqual(yield* breaker.state, "Closed")
      }))
  }
})

describe("late results", () => {
  // What a call of each state can be admitted in: no other lets any call through.
  const admitting = ["Closed", "HalfOpen", "Disabled", "MetricsOnly"] as const
  for (const earlier of admitting) {
    it.effect(`of a call of ${earlier}, a success, a failure or none, change no later state and free no slot`, () =>
      Effect.gen(function*() {
        const breaker = yield* make({ ...touchy, openDuration: "1 day", successThreshold: 2 })
        for (const later of ALL_STATES) {
          for (const ending of ["succeed", "fail", "interrupt"] as const) {
            const name = `${ending} in ${later}`
            yield* breaker.reset
            yield* enter[earlier](breaker)
            const old = yield* hold(breaker)
            yield* breaker.reset
            yield* enter[later](breaker)
            const probe = later === "HalfOpen" ? yield* hold(breaker) : undefined
            const before = yield* breaker.metrics
            const events = yield* Effect.sync(() => before.stateChanges)

            yield* old[ending]

            const after = yield* breaker.metrics
            assert.strictEqual(after.state, later, name)
            assert.strictEqual(after.stateChanges, events, name)
            for (
              const count of ["consecutiveFailures", "callsInWindow", "probesInFlight", "probeSuccesses"] as const
            ) {
              assert.strictEqual(after[count], before[count], `${name}: ${count}`)
            }
            assert.strictEqual(after.isAvailable, before.isAvailable, name)
            assert.strictEqual(
              after.successfulCalls + after.failedCalls,
              before.successfulCalls + before.failedCalls,
              name
            )
            // A call that nobody counted when it began is not counted when it ends.
            if (earlier !== "Disabled") {
              const late = ending === "interrupt"
                ? after.ignoredCalls - before.ignoredCalls
                : after.lateCalls - before.lateCalls
              assert.strictEqual(late, 1, name)
            }
            if (probe !== undefined) yield* probe.interrupt
          }
        }
        yield* breaker.reset
        assertEmpty(yield* breaker.metrics)
      }))
  }

  it.effect("ignored ones of the closed period that arrive half-open mint no slot, however many", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const old = yield* Effect.replicateEffect(hold(breaker), 20)
      yield* halfOpen(breaker)
      const probe = yield* hold(breaker)
      for (const call of old) {
        yield* call.interrupt
        assert.isFalse(yield* breaker.isAvailable)
        assert.strictEqual((yield* breaker.metrics).probesInFlight, 1)
      }
      yield* probe.succeed
      assert.strictEqual(yield* breaker.state, "Closed")
      assert.strictEqual((yield* breaker.metrics).ignoredCalls, 20)
      assertEmpty(yield* breaker.metrics)
    }))
})

describe("idle for an hour, then few failures", () => {
  for (const calls of [10, 1_000]) {
    it.effect(`a window of time that held ${calls} failures has forgotten them, whatever rule counts them`, () =>
      Effect.gen(function*() {
        const breaker = yield* make({
          failureRate: 0.5,
          slowCallRate: 0.5,
          slowCallDuration: "1 second",
          minimumCalls: calls + 1,
          window: { duration: "1 minute" }
        })
        yield* fail(breaker, calls)
        assert.strictEqual(yield* breaker.state, "Closed")
        yield* TestClock.adjust("1 hour")
        yield* fail(breaker, 3)
        assert.strictEqual(yield* breaker.state, "Closed")
        assert.strictEqual((yield* breaker.metrics).callsInWindow, 3)
      }))
  }
})

describe("the wall clock, an hour forward, backward, and frozen", () => {
  /** A test clock that tells another time of day. */
  const withWall = (clock: Clock.Clock, wall: (now: number) => number): Clock.Clock => {
    const millis = () => wall(clock.currentTimeMillisUnsafe())
    const nanos = () => BigInt(Math.round(millis())) * 1_000_000n
    return Object.assign(Object.create(clock), {
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos)
    })
  }

  /** Everything that has to do with time, and what became of it. */
  const transcript = Effect.gen(function*() {
    const registry = yield* CircuitBreakerRegistry.make({
      defaults: CircuitPolicy.make({ ...touchy, consecutiveFailures: 4, window: { duration: "30 seconds" } }),
      idleTimeToLive: "5 minutes"
    })
    const breaker = yield* registry.getOrCreate("dependency")
    const limit = yield* RateLimit.makeMemory({ name: "l", limit: 3, window: "10 seconds", onExceeded: "delay" })
    const budget = yield* RetryBudget.make({ minPerSecond: 1, window: "10 seconds" })
    const bulkhead = yield* Bulkhead.make({ limit: 2, queue: 2, maxWait: "3 seconds" })
    const kinds: ReadonlyArray<Effect.Effect<string, string>> = [
      Effect.succeed("ok"),
      Effect.fail("down"),
      Effect.fail("down"),
      Effect.as(Effect.sleep("2 seconds"), "slow"),
      Effect.never
    ]
    const random = seeded(11)
    const pipeline = Resilience.make({
      name: "dependency",
      timeout: "20 seconds",
      retry: { maxAttempts: 3, baseDelay: "1 second", jitter: "none", budget, maxElapsed: "15 seconds" },
      hedge: { delay: "1500 millis", budget },
      rateLimit: limit,
      circuitBreaker: breaker,
      bulkhead,
      attemptTimeout: "4 seconds"
    })
    const lines: Array<string> = []
    const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
    for (let i = 0; i < 120; i++) {
      const call = Tiers.make("read", [
        Tiers.tier("first", pipeline.execute(Effect.suspend(() => kinds[random(kinds.length)]!)), { circuit: "tier" }),
        Tiers.tier("second", Effect.succeed("second"), { circuit: "other" })
      ], { deadline: "25 seconds" }).pipe(
        Effect.provideService(CircuitBreakerRegistry.CircuitBreakerRegistry, registry),
        Effect.exit,
        Effect.tap((exit) => Effect.sync(() => lines.push(`${i} ${exit._tag}`)))
      )
      fibers.push(yield* start(call))
      yield* TestClock.adjust(random(10) === 0 ? "6 minutes" : random(3_000))
      const { state, callsInWindow, failureRate, timeUntilRetry } = yield* breaker.metrics
      lines.push(
        [state, callsInWindow, failureRate, timeUntilRetry === undefined ? "" : Duration.format(timeUntilRetry)].join(
          " "
        ),
        `${yield* budget.balance} ${yield* bulkhead.inFlight} ${yield* bulkhead.queued} ${yield* registry.names}`
      )
    }
    yield* TestClock.adjust("1 hour")
    for (const fiber of fibers) assert.isDefined(fiber.pollUnsafe())
    lines.push((yield* registry.names).join())
    return lines
  })

  const HOUR = 3_600_000
  const jumps: Readonly<Record<string, () => (now: number) => number>> = {
    "an hour ahead, and back, at each look": () => {
      let looks = 0
      return (now) => now + (looks++ % 2 === 0 ? HOUR : -HOUR)
    },
    "an hour forward once": () => (now) => now < 60_000 ? now : now + HOUR,
    "an hour backward once": () => (now) => now < 60_000 ? now : now - HOUR,
    "frozen": () => () => 1_700_000_000_000,
    "before 1970": () => (now) => now - 100 * 365 * 24 * HOUR
  }
  for (const [name, wall] of Object.entries(jumps)) {
    it.effect(`${name}: circuits, limits, budgets, retries, hedges, timeouts and tiers do the same`, () =>
      Effect.gen(function*() {
        // Each on a clock of its own, from time zero.
        const under = (wall: (now: number) => number) =>
          Effect.clockWith((clock) =>
            Effect.scoped(Effect.provideService(transcript, Clock.Clock, withWall(clock, wall)))
          ).pipe(Effect.provide(TestClock.layer(), { local: true }))
        const right = yield* under((now) => now)
        assert.isAbove(new Set(right).size, 50)
        const times = yield* under(wall())
        assert.deepStrictEqual(times, right)
      }))
  }
})

describe("a threshold reached by simultaneous calls", () => {
  for (const policy of [{ consecutiveFailures: 1_000 }, { failureRate: 1, minimumCalls: 1_000 }] as const) {
    it.effect(`of ${JSON.stringify(policy)} opens once, at the last of them, and not one before`, () =>
      Effect.gen(function*() {
        const breaker = yield* make({ ...policy, openDuration: "1 minute", measureDuration: true })
        const gate = yield* Deferred.make<void>()
        const call = Effect.exit(breaker.execute(Effect.andThen(Deferred.await(gate), Effect.fail("down"))))
        for (let i = 0; i < 999; i++) yield* start(call)
        yield* Deferred.succeed(gate, undefined)
        yield* settle
        assert.strictEqual(yield* breaker.state, "Closed")
        yield* Effect.all(Array.from({ length: 500 }, () => call), { concurrency: "unbounded" })
        assert.strictEqual(yield* breaker.state, "Open")
        const { failedCalls, rejectedCalls, lateCalls, stateChanges } = yield* breaker.metrics
        assert.strictEqual(stateChanges, 1)
        assert.strictEqual(failedCalls, 1_000)
        assert.strictEqual(rejectedCalls + lateCalls, 499)
        assertEmpty(yield* breaker.metrics)
      }))
  }
})

describe("a timeout against a cancellation", () => {
  for (const disconnect of [false, true]) {
    for (const outside of [false, true]) {
      const where = outside ? "outside" : "inside"
      it(`at the same instant, ${where} of a circuit, disconnect ${disconnect}: one of them, counted once`, () => {
        const seen = new Set<string>()
        for (let place = 0; place < 60; place++) {
          const machine = new Machine()
          let finalized = 0
          const made = machine.run(make(touchy)).pollUnsafe()
          assert(made !== undefined && Exit.isSuccess(made))
          const breaker = made.value
          const timeout = Timeout.withTimeout({ duration: 1_000, disconnect })
          const hung = Effect.ensuring(Effect.never, Effect.sync(() => finalized++))
          const fiber = machine.run(outside ? timeout(breaker.execute(hung)) : breaker.execute(timeout(hung)))
          let asked = 0
          machine.until(999.99)
          machine.pausesAt = () => asked++ % 3 === 0
          // The cancellation comes right before the timeout, or after so many steps of what that set off.
          if (place > 0) assert.isTrue(machine.tick(), "the timeout rings")
          for (let i = 1; i < place && fiber.pollUnsafe() === undefined; i++) machine.step()
          fiber.interruptUnsafe()
          machine.finish()
          machine.pausesAt = () => false

          const exit = fiber.pollUnsafe()
          assert(exit !== undefined && Exit.isFailure(exit))
          const read = machine.run(breaker.metrics).pollUnsafe()
          assert(read !== undefined && Exit.isSuccess(read))
          const { failedCalls, ignoredCalls, totalCalls } = read.value
          const error = Cause.findErrorOption(exit.cause)
          seen.add(error._tag === "Some" ? "timeout" : "cancelled")
          assert.strictEqual(finalized, 1)
          assert.strictEqual(totalCalls, 1)
          assert.strictEqual(failedCalls + ignoredCalls, 1)
          // Outside, the circuit sees an interruption either way.
          if (outside) assert.strictEqual(ignoredCalls, 1)
          if (!outside && error._tag === "Some") assert.strictEqual(failedCalls, 1)
          assertEmpty(read.value)
          assert.isEmpty(machine.sleeps)
        }
        assert.deepStrictEqual([...seen].toSorted(), ["cancelled", "timeout"], "both happened")
      })
    }
  }
})

describe("a listener", () => {
  it.effect("that calls the circuit at each call ends neither the program nor anybody's call", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ consecutiveFailures: 1_000_000 })
      let heard = 0
      yield* breaker.on("CallEnded", () => {
        heard++
        return Effect.exit(breaker.execute(Effect.fail("again")))
      })
      for (let i = 0; i < 100; i++) {
        yield* succeed(breaker)
        yield* Effect.yieldNow
      }
      assert.isAbove(heard, 50)
      assert.strictEqual((yield* breaker.metrics).successfulCalls, 100)
    }))

  it.effect("that resets, forces, reconfigures and removes the circuit it hears of does so, and all is consistent", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const breaker = yield* registry.register("observed", CircuitPolicy.make(touchy))
      const steps: ReadonlyArray<Effect.Effect<unknown>> = [
        breaker.reset,
        breaker.forceOpen(),
        breaker.forceClose,
        breaker.reconfigure(CircuitPolicy.make({ ...touchy, consecutiveFailures: 2 })),
        breaker.disable,
        breaker.metricsOnly,
        registry.resetAll,
        registry.remove("observed")
      ]
      let changed = 0
      yield* breaker.on("StateChanged", () => steps[changed++] ?? Effect.void)
      yield* CircuitBreaker.onTrip(breaker, () => Effect.die("a listener that dies"))
      yield* CircuitBreaker.onTrip(breaker, () => Effect.never)
      for (let i = 0; i < 40; i++) {
        yield* fail(breaker)
        yield* settle
        yield* TestClock.adjust("10 seconds")
        assertEmpty(yield* breaker.metrics)
      }
      assert.isAtLeast(changed, steps.length)
      assert.isUndefined(findCircuit(registry, "observed"))
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))
})

describe("callbacks that call the breaker", () => {
  it.effect("from a classifier, a retry, a hedge, a predicate and an answer, all count and none deadlocks", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ consecutiveFailures: 1_000 })
      let calls = 0
      const callAgain = () => {
        calls++
        return Effect.runSyncExit(breaker.execute(Effect.fail("from a callback")))
      }
      const onRetry = () => Effect.sync(callAgain)
      const yes = () => {
        callAgain()
        return true
      }
      const down: Effect.Effect<string, string> = Effect.fail("down")
      const call = Tiers.make("read", [
        Tiers.tier(
          "first",
          down.pipe(
            (self) =>
              breaker.execute(self, {
                classify: () => {
                  callAgain()
                  return undefined
                }
              }),
            Retry.withRetry({ maxAttempts: 3, baseDelay: 0, while: yes, onRetry }),
            Hedge.withHedge({ delay: "1 second", maxHedges: 2, while: yes, onHedge: onRetry })
          ),
          { circuit: breaker }
        )
      ], {
        isAnswer: () => {
          callAgain()
          return false
        }
      })
      const fiber = yield* start(Effect.exit(call))
      yield* TestClock.adjust("10 seconds")
      const exit = yield* Fiber.join(fiber)
      assert.isTrue(Exit.isFailure(exit) && !Cause.hasDies(exit.cause))
      assert.isAbove(calls, 20)
      const metrics = yield* breaker.metrics
      // Three times three attempts, the tier around them, and what the callbacks called.
      assert.strictEqual(metrics.failedCalls, calls + 10)
      assertEmpty(metrics)
    }))
})

describe("nested breakers of the same name", () => {
  it.effect("with one slot between them: the inner is a part of the probe, and nothing hangs", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const breaker = yield* registry.register("same", CircuitPolicy.make(touchy))
      yield* halfOpen(breaker)
      const nested = Effect.succeed("ran").pipe(
        CircuitBreaker.withCircuitBreaker("same"),
        CircuitBreaker.withCircuitBreaker("same")
      )
      assert.strictEqual(yield* nested, "ran")
      assert.strictEqual(yield* breaker.state, "Closed")
      assert.strictEqual((yield* breaker.metrics).successfulCalls, 1)
      assertEmpty(yield* breaker.metrics)
      assert.strictEqual(yield* nested, "ran")
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))
})

describe("a classifier that dies", () => {
  const deaths: Readonly<Record<string, () => never>> = {
    "with an error": () => {
      throw new Error("wrong")
    },
    "with nothing": () => {
      throw undefined
    },
    "of its depth": function deep(): never {
      return deep()
    }
  }
  for (const [how, classify] of Object.entries(deaths)) {
    it.effect(`${how} is a defect of the call, in every state, and holds nothing`, () =>
      Effect.gen(function*() {
        for (const state of ALL_STATES) {
          for (const effect of [Effect.succeed(1), Effect.fail("down"), Effect.die("bug")]) {
            const breaker = yield* make({ ...touchy, classify })
            yield* breaker.reset
            if (state === "Open") yield* breaker.reconfigure(CircuitPolicy.make(touchy))
            yield* enter[state](breaker)
            const exit = yield* Effect.exit(breaker.execute<unknown, unknown, never>(effect))
            assert.strictEqual(yield* breaker.state, state)
            assert.isTrue(Exit.isFailure(exit) || state === "Disabled")
            assertEmpty(yield* breaker.metrics)
          }
        }
      }))
  }
})

describe("ten million names", () => {
  // As many as a suite has time for; `HAZARD_NAMES=10000000` for all of them, in some minutes.
  const names = Number(process.env["HAZARD_NAMES"] ?? 100_000)
  it.effect(`(${names}) leave behind no more circuits than are in use`, () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.make({ idleTimeToLive: "1 minute" })
      const kept = yield* registry.register("kept")
      const aMinute = 10_000
      let most = 0
      for (let i = 0; i < names; i++) {
        const breaker = namedCircuit(registry, `tenant-${i}`)
        if (i % 1_000 !== 0) continue
        yield* fail(breaker)
        yield* TestClock.adjust(60_000 / (aMinute / 1_000))
        if (i % 50_000 !== 0) continue
        most = Math.max(most, (yield* registry.names).length)
      }
      assert.isAtMost(most, 2 * aMinute)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* registry.names, ["kept"])
      assert.strictEqual(findCircuit(registry, "kept"), kept)
    }), 600_000)
})

describe("a schedule that ends", () => {
  for (const recurrences of [0, 1, 3]) {
    it.effect(`after ${recurrences}: a circuit repeats its last delay, a retry gives up`, () =>
      Effect.gen(function*() {
        const schedule = Schedule.spaced("2 seconds").pipe(Schedule.upTo({ times: recurrences }))
        const breaker = yield* make({ ...touchy, openDuration: schedule })
        for (let opening = 0; opening < 10; opening++) {
          yield* fail(breaker)
          const { timeUntilRetry } = yield* breaker.metrics
          const open = timeUntilRetry === undefined ? 0 : Duration.toMillis(timeUntilRetry)
          assert.strictEqual(open, recurrences === 0 ? 0 : 2_000, `opening ${opening}`)
          yield* TestClock.adjust("2 seconds")
          assert.strictEqual(yield* breaker.state, "HalfOpen")
        }
        let attempts = 0
        const retried = Effect.suspend(() => Effect.fail(++attempts)).pipe(Retry.withRetry({ schedule }), Effect.exit)
        const fiber = yield* start(retried)
        yield* TestClock.adjust("1 minute")
        assert.isTrue(Exit.isFailure(yield* Fiber.join(fiber)))
        assert.strictEqual(attempts, recurrences + 1)
      }))
  }
})

describe("zero, huge and fractional durations", () => {
  const HUGE = [
    ...[2 ** 31 - 1, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER].map(Duration.millis),
    Duration.weeks(1e6),
    Duration.infinity
  ]
  const TINY = [0, Duration.nanos(1n), 0.0001, 0.4, 0.5, 0.999, 1.5] as const

  it("huge ones end nothing early, on the machine's own clock", { timeout: 30_000 }, async () => {
    const ended: Array<string> = []
    for (const huge of HUGE) {
      const name = Duration.format(huge)
      const note = (what: string) => (self: Effect.Effect<unknown, unknown>) =>
        Effect.runFork(Effect.onExit(self, (exit) =>
          Effect.sync(() => {
            if (!Exit.hasInterrupts(exit)) ended.push(`${what} of ${name}`)
          })))
      const bulkhead = Effect.runSync(Bulkhead.make({ limit: 1, queue: 2, maxWait: huge }))
      const fibers: Array<Fiber.Fiber<unknown, unknown>> = [
        note("timeout")(Timeout.withTimeout(Effect.never, huge)),
        note("disconnected timeout")(Timeout.withTimeout(Effect.never, { duration: huge, disconnect: true })),
        note("hedge")(Hedge.withHedge(Effect.never, {
          delay: huge,
          onHedge: () => Effect.sync(() => ended.push(`hedge after ${name}`))
        })),
        note("bulkhead")(bulkhead.execute(Effect.never)),
        note("queue")(bulkhead.execute(Effect.void))
      ]
      if (huge !== Duration.infinity) {
        const policy = { maxAttempts: 2, baseDelay: huge, maxDelay: huge, jitter: "none" } as const
        fibers.push(note("retry")(Retry.withRetry(Effect.fail("down"), policy)))
        const limit = Effect.runSync(RateLimit.makeMemory({ name, limit: 1, window: huge, onExceeded: "delay" }))
        // Near 2^53 a rounding error may ask for a wait of a millisecond.
        await Effect.runPromise(limit.execute(Effect.void))
        fibers.push(note("rate limit")(limit.execute(Effect.void)))
      }
      const breaker = Effect.runSync(make({ ...touchy, openDuration: huge, halfOpenTimeout: huge }))
      Effect.runSync(fail(breaker))
      await new Promise((resolve) => setTimeout(resolve, 20))
      assert.strictEqual(Effect.runSync(breaker.state), "Open", name)
      assert.isAbove(Duration.toMillis(Effect.runSync(breaker.metrics).timeUntilRetry!), 2 ** 30, name)
      for (const fiber of fibers) assert.isUndefined(fiber.pollUnsafe(), name)
      await Effect.runPromise(Fiber.interruptAll(fibers))
    }
    assert.deepStrictEqual(ended, [])
  })

  it("zero and fractions of a millisecond end in time, and are no busy loop, on the machine's own clock", {
    timeout: 30_000
  }, async () => {
    for (const tiny of TINY) {
      const name = String(tiny)
      const bulkhead = Effect.runSync(Bulkhead.make({ limit: 1, queue: 2, maxWait: tiny }))
      let hedges = 0
      let attempts = 0
      const breaker = Effect.runSync(make({ ...touchy, openDuration: tiny, window: { duration: Duration.nanos(1n) } }))
      const retried = Retry.withRetry(Effect.suspend(() => Effect.fail(++attempts)), {
        maxAttempts: 5,
        baseDelay: tiny,
        maxDelay: tiny,
        maxElapsed: "1 minute"
      })
      const all: ReadonlyArray<Effect.Effect<unknown>> = [
        Effect.exit(Timeout.withTimeout(Effect.never, tiny)),
        Effect.exit(Timeout.withTimeout(Effect.never, { duration: tiny, disconnect: true })),
        Hedge.withHedge(Effect.suspend((): Effect.Effect<void> => ++hedges < 4 ? Effect.never : Effect.void), {
          delay: tiny,
          maxHedges: 3
        }),
        Effect.exit(retried),
        Effect.exit(Effect.raceFirst(bulkhead.execute(Effect.never), bulkhead.execute(Effect.void))),
        Effect.gen(function*() {
          yield* fail(breaker)
          yield* Effect.sleep(5)
          assert.strictEqual(yield* breaker.state, "HalfOpen", name)
          yield* succeed(breaker)
          assert.strictEqual(yield* breaker.state, "Closed", name)
        })
      ]
      const startedAt = performance.now()
      await Effect.runPromise(Effect.all(all, { concurrency: "unbounded", discard: true }))
      assert.isBelow(performance.now() - startedAt, 4_000, name)
      assert.deepStrictEqual([hedges, attempts], [4, 5], name)
    }
  })

  it.effect("of an idle time: a circuit is forgotten when it is over, and never before", () =>
    Effect.forEach(
      [Duration.nanos(1n), 0.5, 1.5, 2 ** 40] as const,
      (idleTimeToLive) =>
        Effect.scoped(Effect.gen(function*() {
          const registry = yield* CircuitBreakerRegistry.make({ idleTimeToLive })
          yield* registry.getOrCreate("a")
          assert.deepStrictEqual(yield* registry.names, ["a"])
          yield* TestClock.adjust(Math.ceil(Duration.toMillis(idleTimeToLive)))
          assert.deepStrictEqual(yield* registry.names, [])
        }))
    ))
})

describe("recursion depth", () => {
  const nest = (
    depth: number,
    wrap: (self: Effect.Effect<unknown, unknown>) => Effect.Effect<unknown, unknown>,
    innermost: Effect.Effect<unknown, unknown>
  ): Effect.Effect<unknown, unknown> =>
    depth === 0 ? innermost : wrap(Effect.suspend(() => nest(depth - 1, wrap, innermost)))

  const make = Effect.gen(function*() {
    const breaker = yield* CircuitBreaker.make({ name: "b", policy: CircuitPolicy.make({ consecutiveFailures: 1e6 }) })
    const bulkhead = yield* Bulkhead.make({ limit: 1e6 })
    const limit = yield* RateLimit.makeMemory({ name: "l", limit: 1e6, window: "1 hour" })
    return { breaker, bulkhead, limit }
  })

  it.effect(
    "ten thousand of one inside the other, where that runs on the fiber of its caller",
    () =>
      Effect.gen(function*() {
        const { breaker, bulkhead, limit } = yield* make
        const wraps: Readonly<
          Record<string, (self: Effect.Effect<unknown, unknown>) => Effect.Effect<unknown, unknown>>
        > = {
          execute: (self) => breaker.execute(self),
          permit: (self) => Effect.scoped(Effect.andThen(breaker.permit, self)),
          withCircuitBreaker: CircuitBreaker.withCircuitBreaker(breaker),
          bulkhead: (self) => bulkhead.execute(self),
          rateLimit: (self) => limit.execute(self),
          retry: Retry.withRetry({ maxAttempts: 1 }),
          fallback: Fallback.withFallback((error) => Effect.fail(error)),
          tiers: (self) => Tiers.make("read", [Tiers.tier("t", self, { circuit: breaker })])
        }
        for (const [name, wrap] of Object.entries(wraps)) {
          const ends = [Effect.succeed("ok"), Effect.as(Effect.yieldNow, "ok"), Effect.fail("down"), Effect.die("bug")]
          for (const [index, end] of ends.entries()) {
            // The errors of tiers and retries hold those inside, which are too deep to look at.
            if (index > 1 && (name === "retry" || name === "tiers")) continue
            // Tiers within tiers take a time that grows with the square of their depth.
            const exit = yield* Effect.exit(nest(name === "tiers" ? 1_000 : 10_000, wrap, end))
            assert.strictEqual(exit._tag, index > 1 ? "Failure" : "Success", name)
            if (Exit.isFailure(exit)) assert.notInstanceOf(Cause.squash(exit.cause), RangeError, name)
          }
          assertEmpty(yield* breaker.metrics)
          assert.strictEqual(yield* bulkhead.inFlight, 0)
        }
      }),
    60_000
  )

  it("three hundred of those that start a fiber; beyond the stack it is a defect, and nothing is left", {
    timeout: 30_000
  }, async () => {
    const wraps = {
      timeout: [Timeout.withTimeout("1 hour"), "Success"],
      disconnected: [Timeout.withTimeout({ duration: "1 hour", disconnect: true }), "Success"],
      // The only one whose fibers start within each other: the stack holds less than 2,500 of them.
      hedge: [Hedge.withHedge({ delay: "1 hour" }), "Failure"]
    } as const
    for (const [name, [wrap, tag]] of Object.entries(wraps)) {
      let running = 0
      const innermost = Effect.acquireUseRelease(
        Effect.sync(() => running++),
        () => Effect.as(Effect.yieldNow, "ok"),
        () => Effect.sync(() => running--)
      )
      assert.strictEqual(await Effect.runPromise(nest(300, wrap as never, innermost)), "ok", name)
      const machine = new Machine()
      const fiber = machine.run(nest(5_000, wrap as never, innermost))
      // An hour of virtual time would let the timers that were left ring.
      machine.settle()
      const exit = fiber.pollUnsafe()
      assert.strictEqual(exit?._tag, tag, name)
      if (exit !== undefined && Exit.isFailure(exit)) assert.instanceOf(Cause.squash(exit.cause), RangeError, name)
      assert.strictEqual(running, 0, name)
      fiber.interruptUnsafe()
      machine.settle()
      assert.isDefined(fiber.pollUnsafe(), name)
      assert.isEmpty(machine.sleeps, name)
    }
  })
})

describe("shutdown with calls in flight", () => {
  it.effect("of a registry: the calls end as they would and are counted, listeners and streams end", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const registry = yield* Scope.provide(
        CircuitBreakerRegistry.make({ defaults: CircuitPolicy.make(touchy) }),
        scope
      )
      const breakers = yield* Effect.forEach(["a", "b", "c"], (name) => registry.getOrCreate(name))
      const events = yield* start(Stream.runCollect(registry.events))
      const streams = yield* Effect.forEach(breakers, (breaker) => start(Stream.runCollect(breaker.events)))
      const held = yield* Effect.forEach(breakers, (breaker) => Effect.replicateEffect(hold(breaker), 3))

      yield* Scope.close(scope, Exit.void)
      yield* settle
      for (const fiber of [events, ...streams]) assert.isDefined(fiber.pollUnsafe())
      for (const [one, two, three] of held) {
        assert.deepStrictEqual(yield* one!.succeed, Exit.succeed("ok"))
        assert.deepStrictEqual(yield* two!.fail, Exit.fail("down"))
        yield* three!.interrupt
      }
      for (const breaker of breakers) {
        assert.strictEqual(yield* breaker.state, "Open")
        const metrics = yield* breaker.metrics
        assert.deepInclude(metrics, { successfulCalls: 1, failedCalls: 1, ignoredCalls: 1 })
        assertEmpty(metrics)
      }
    }))

  it("of a program: every call is interrupted, its finalizers run once and before the end, and nothing is left", async () => {
    const log: Array<string> = []
    class Quotes extends Context.Service<Quotes, { readonly quote: Effect.Effect<string, string> }>()("Quotes") {}
    const quotes = Layer.effect(
      Quotes,
      Effect.acquireRelease(
        Effect.succeed({ quote: Effect.onExit(Effect.never, () => Effect.sync(() => log.push("call"))) }),
        () => Effect.sync(() => log.push("release"))
      )
    )
    class Calls extends Bulkhead.Service<Calls>()("calls", { limit: 5, queue: 5 }) {}
    const runtime = ManagedRuntime.make(
      Layer.provideMerge(
        Tiers.layer(Quotes, [["first", quotes]], { onAllFailed: "die" }),
        Layer.mergeAll(CircuitBreakerRegistry.layer(), Calls.layer)
      )
    )
    const pipeline = Resilience.make({
      name: "all",
      retry: {},
      bulkhead: Calls,
      timeout: "1 hour",
      hedge: { delay: 1 }
    })
    const call = pipeline.execute(Effect.flatMap(Quotes, ({ quote }) => quote))
    const fibers = Array.from({ length: 5 }, () => runtime.runFork(call))
    await runtime.runPromise(Effect.sleep(20))
    const [breaker, bulkhead] = await runtime.runPromise(Effect.all([
      Effect.flatMap(CircuitBreakerRegistry.CircuitBreakerRegistry, (registry) => registry.getOrCreate("all")),
      Calls
    ]))
    assert.isAbove(Effect.runSync(breaker.metrics).callsInFlight, 0)

    await Effect.runPromise(Fiber.interruptAll(fibers))
    await runtime.dispose()

    for (const fiber of fibers) assert.isTrue(Exit.hasInterrupts(fiber.pollUnsafe()!))
    assert.strictEqual(log.at(-1), "release")
    assert.strictEqual(log.filter((line) => line === "release").length, 1)
    assertEmpty(Effect.runSync(breaker.metrics))
    assert.deepStrictEqual([Effect.runSync(bulkhead.inFlight), Effect.runSync(bulkhead.queued)], [0, 0])
  })
})
