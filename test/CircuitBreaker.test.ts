import { assert, describe, it } from "@effect/vitest"
import {
  CircuitBreaker,
  CircuitBreakerRegistry,
  type CircuitEvent,
  CircuitMetrics,
  CircuitPolicy,
  Outcome,
  ResilienceError
} from "effect-resilience"
import {
  Cause,
  Clock,
  ConfigProvider,
  Context,
  Data,
  DateTime,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Random,
  Ref,
  Schedule,
  Scope,
  Stream
} from "effect"
import { TestClock, TestConsole } from "effect/testing"
import {
  type Breaker,
  call,
  changes,
  fail,
  halfOpen,
  hold,
  make,
  repeat,
  settle,
  succeed,
  touchy,
  TwoClocks,
  watch
} from "./support/circuits.ts"

// -----------------------------------------------------------------------------
// the three ways to a circuit
// -----------------------------------------------------------------------------

interface Way {
  readonly name: string
  readonly breaker: (policy: CircuitPolicy.Options) => Effect.Effect<Breaker, never, Scope.Scope>
}

/** A handle whose calls go through `withCircuitBreaker` with another kind of target. */
const through = (
  breaker: Breaker,
  execute: <A, E>(
    self: Effect.Effect<A, E>,
    options?: { readonly classify?: CircuitBreaker.CallClassifier<A, E> | undefined }
  ) => Effect.Effect<A, E | ResilienceError.CircuitOpenError>
): Breaker =>
  new Proxy(breaker, { get: (target, key) => key === "execute" ? execute : Reflect.get(target, key, target) })

const ways: ReadonlyArray<Way> = [
  { name: "by handle", breaker: make },
  {
    name: "by name",
    breaker: Effect.fnUntraced(function*(options) {
      const registry = yield* CircuitBreakerRegistry.make({ defaults: CircuitPolicy.make(options) })
      const breaker = yield* registry.getOrCreate("dependency")
      return through(breaker, (self, options) =>
        Effect.provideService(
          CircuitBreaker.withCircuitBreaker(self, "dependency", options),
          CircuitBreakerRegistry.CircuitBreakerRegistry,
          registry
        ))
    })
  },
  {
    name: "by class",
    breaker: Effect.fnUntraced(function*(options) {
      class Dependency extends CircuitBreaker.Service<Dependency>()("dependency", {
        policy: CircuitPolicy.make(options)
      }) {}
      const context = yield* Layer.build(Dependency.layer)
      return through(
        Context.get(context, Dependency),
        (self, options) => Effect.provide(CircuitBreaker.withCircuitBreaker(self, Dependency, options), context)
      )
    })
  }
]

/** Registers a test once for each way to a circuit. */
const rule = (
  name: string,
  policy: CircuitPolicy.Options,
  test: (breaker: Breaker) => Effect.Effect<unknown, unknown, Scope.Scope>
): void => {
  for (const way of ways) {
    it.effect(`${name}, ${way.name}`, () => Effect.flatMap(way.breaker(policy), test))
  }
}

// -----------------------------------------------------------------------------
// helpers
// -----------------------------------------------------------------------------

const state = (breaker: Breaker, expected: CircuitEvent.CircuitState) =>
  Effect.map(breaker.state, (state) => assert.strictEqual(state, expected))

/** Fails with the error of a rejection, or dies if the call ran. */
const rejection = (breaker: Breaker) => breaker.execute(Effect.die("ran")).pipe(Effect.flip, Effect.orDie)

const remaining = (breaker: Breaker) => Effect.map(rejection(breaker), (error) => Duration.toMillis(error.retryAfter))

/** How long an open circuit stays open; lets that time pass. */
const sitOut = (breaker: Breaker) => Effect.tap(remaining(breaker), (millis) => TestClock.adjust(millis))

const slowly = (millis: number, effect: Effect.Effect<unknown, string>) => (breaker: Breaker) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(call(breaker, Effect.andThen(Effect.sleep(millis), effect)), {
      startImmediately: true
    })
    yield* TestClock.adjust(millis)
    yield* Fiber.join(fiber)
  })

/** Brings a circuit made with `touchy` into a state. */
const bring: Record<CircuitEvent.CircuitState, (breaker: Breaker) => Effect.Effect<void>> = {
  Closed: () => Effect.void,
  Open: (breaker) => fail(breaker),
  HalfOpen: halfOpen,
  ForcedOpen: (breaker) => breaker.forceOpen(),
  Disabled: (breaker) => breaker.disable,
  MetricsOnly: (breaker) => breaker.metricsOnly
}

const STATES = Object.keys(bring) as ReadonlyArray<CircuitEvent.CircuitState>

const commands: Record<
  string,
  { readonly to: CircuitEvent.CircuitState; readonly run: (b: Breaker) => Effect.Effect<void> }
> = {
  forceOpen: { to: "ForcedOpen", run: (breaker) => breaker.forceOpen() },
  forceClose: { to: "Closed", run: (breaker) => breaker.forceClose },
  disable: { to: "Disabled", run: (breaker) => breaker.disable },
  metricsOnly: { to: "MetricsOnly", run: (breaker) => breaker.metricsOnly },
  reset: { to: "Closed", run: (breaker) => breaker.reset }
}

// -----------------------------------------------------------------------------
// 1
// -----------------------------------------------------------------------------

describe("1. states", () => {
  rule(
    "a new circuit is closed and hands a success and an error on unchanged",
    {},
    (breaker) =>
      Effect.gen(function*() {
        const error = { some: "error" }
        assert.strictEqual(yield* breaker.execute(Effect.succeed(42)), 42)
        assert.strictEqual(yield* Effect.flip(breaker.execute(Effect.fail(error))), error)
        assert.isTrue(yield* breaker.isAvailable)
        yield* state(breaker, "Closed")
      })
  )

  rule("goes from Closed to Open, to HalfOpen, and back to Closed", touchy, (breaker) =>
    Effect.gen(function*() {
      const events = yield* watch(breaker.events)
      yield* fail(breaker)
      yield* state(breaker, "Open")
      yield* TestClock.adjust("10 seconds")
      yield* state(breaker, "HalfOpen")
      yield* succeed(breaker)
      yield* state(breaker, "Closed")

      assert.deepStrictEqual(changes(yield* events), [
        "Closed -> Open: ConsecutiveFailures",
        "Open -> HalfOpen: OpenTimeEnded",
        "HalfOpen -> Closed: ProbesSucceeded"
      ])
    }))

  for (const [name, command] of Object.entries(commands)) {
    for (const from of STATES) {
      const legal = command.to !== from
      it.effect(`${name} leads from ${from} to ${command.to}${legal ? "" : ", which is no event"}`, () =>
        Effect.gen(function*() {
          const breaker = yield* make(touchy)
          yield* bring[from](breaker)
          yield* state(breaker, from)
          const events = yield* watch(breaker.events)

          yield* command.run(breaker)

          yield* state(breaker, command.to)
          const made = changes(yield* events).filter((change) => !change.endsWith("OpenTimeEnded"))
          assert.deepStrictEqual(made, legal ? [`${from} -> ${command.to}: Manual`] : [])
        }))
    }
  }

  rule("ForcedOpen rejects until it is released, however long that takes", touchy, (breaker) =>
    Effect.gen(function*() {
      yield* breaker.forceOpen()
      yield* TestClock.adjust("1000 days")
      const error = yield* rejection(breaker)

      assert.deepStrictEqual([error.state, error.retryAfter], ["ForcedOpen", Duration.infinity])
      assert.isFalse(yield* breaker.isAvailable)

      yield* breaker.forceClose
      assert.strictEqual(yield* breaker.execute(Effect.succeed(1)), 1)
    }))

  rule("ForcedOpen with a duration ends at exactly its end, with a probe", touchy, (breaker) =>
    Effect.gen(function*() {
      const events = yield* watch(breaker.events)
      yield* breaker.forceOpen({ duration: "1 minute" })
      yield* TestClock.adjust("59999 millis")
      assert.strictEqual(yield* remaining(breaker), 1)

      yield* TestClock.adjust("1 millis")
      yield* state(breaker, "HalfOpen")
      yield* succeed(breaker)

      assert.deepStrictEqual(changes(yield* events), [
        "Closed -> ForcedOpen: Manual",
        "ForcedOpen -> HalfOpen: OpenTimeEnded",
        "HalfOpen -> Closed: ProbesSucceeded"
      ])
    }))

  it.effect("a failed probe after ForcedOpen opens the circuit for its first open time", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ consecutiveFailures: 5 })
      yield* breaker.forceOpen({ duration: "1 minute" })
      yield* TestClock.adjust("1 minute")
      yield* fail(breaker)

      assert.strictEqual(yield* remaining(breaker), 60_000)
    }))

  it.effect("forceOpen of a circuit that is forced open moves its end, which is an event and no transition", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* breaker.forceOpen({ duration: "1 minute" })
      const events = yield* watch(breaker.events)

      yield* TestClock.adjust("10 seconds")
      yield* breaker.forceOpen({ duration: "1 hour", note: "takes longer" })
      assert.strictEqual(yield* remaining(breaker), 3_600_000)
      yield* breaker.forceOpen()
      assert.strictEqual(yield* remaining(breaker), Infinity)
      // The same end once more is nothing new.
      yield* breaker.forceOpen({ note: "again" })
      yield* breaker.forceOpen({ duration: "1 second" })
      yield* breaker.forceOpen({ duration: "1 second" })
      assert.strictEqual(yield* remaining(breaker), 1_000)
      assert.strictEqual((yield* breaker.metrics).stateChanges, 1)

      yield* TestClock.adjust("1 second")
      yield* breaker.execute(Effect.void)
      const told = (yield* events).flatMap((event) =>
        event._tag === "StateChanged"
          ? [[
            `${event.from} -> ${event.to}: ${event.reason}`,
            Duration.toMillis(event.retryAfter),
            event.note,
            Duration.toMillis(event.elapsed)
          ]]
          : []
      )
      assert.deepStrictEqual(told, [
        ["ForcedOpen -> ForcedOpen: Manual", 3_600_000, "takes longer", 10_000],
        ["ForcedOpen -> ForcedOpen: Manual", Infinity, undefined, 10_000],
        ["ForcedOpen -> ForcedOpen: Manual", 1_000, undefined, 10_000],
        ["ForcedOpen -> HalfOpen: OpenTimeEnded", 0, undefined, 11_000],
        ["HalfOpen -> Closed: ProbesSucceeded", 0, undefined, 0]
      ])
    }))

  it.effect("the note of forceOpen is in its event", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const events = yield* watch(breaker.events)
      yield* breaker.forceOpen({ note: "maintenance until noon", duration: "1 hour" })

      const [event] = yield* events
      assert.isTrue(event?._tag === "StateChanged")
      if (event?._tag !== "StateChanged") return
      assert.strictEqual(event.note, "maintenance until noon")
      assert.strictEqual(Duration.toMillis(event.retryAfter), 3_600_000)
    }))

  rule(
    "forceClose empties the counts of a circuit that was not closed",
    { consecutiveFailures: 2 },
    (breaker) =>
      Effect.gen(function*() {
        yield* fail(breaker, 2)
        yield* breaker.forceClose
        yield* fail(breaker)
        yield* state(breaker, "Closed")
        yield* fail(breaker)
        yield* state(breaker, "Open")
      })
  )

  rule("Disabled passes every call and records nothing", touchy, (breaker) =>
    Effect.gen(function*() {
      yield* breaker.disable
      const before = yield* breaker.metrics
      const events = yield* watch(breaker.events)
      yield* fail(breaker, 10)
      yield* succeed(breaker, 3)
      const running = yield* hold(breaker)

      yield* state(breaker, "Disabled")
      assert.deepStrictEqual(yield* breaker.metrics, before)
      assert.deepStrictEqual(yield* events, [])
      yield* running.fail
    }))

  rule("MetricsOnly passes every call, records it, and never trips", touchy, (breaker) =>
    Effect.gen(function*() {
      yield* breaker.metricsOnly
      yield* fail(breaker, 10)
      yield* state(breaker, "MetricsOnly")
      const metrics = yield* breaker.metrics
      assert.deepInclude(metrics, { failedCalls: 10, consecutiveFailures: 10, failureRate: 1, rejectedCalls: 0 })
    }))

  it.effect("MetricsOnly starts its counts anew, and so does the circuit after it", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ failureRate: 0.5, minimumCalls: 4, window: { calls: 4 } })
      yield* fail(breaker, 3)
      yield* breaker.metricsOnly
      assert.strictEqual((yield* breaker.metrics).callsInWindow, 0)
      yield* fail(breaker, 4)
      assert.strictEqual((yield* breaker.metrics).failureRate, 1)

      yield* breaker.forceClose
      assert.strictEqual((yield* breaker.metrics).callsInWindow, 0)
      yield* fail(breaker, 3)
      yield* state(breaker, "Closed")
    }))

  it.effect("a call that was running when an operator moved the circuit ends as it would, and is late", () =>
    Effect.gen(function*() {
      for (const { run } of Object.values(commands)) {
        const breaker = yield* make(touchy)
        yield* bring["HalfOpen"](breaker)
        const probe = yield* hold(breaker)
        yield* run(breaker)
        const after = yield* breaker.state
        assert.deepStrictEqual(yield* probe.fail, Exit.fail("down"))

        yield* state(breaker, after)
        assert.deepInclude(yield* breaker.metrics, { lateCalls: 1, callsInFlight: 0, probesInFlight: 0 })
      }
    }))

  it.effect("a call that began while the circuit was disabled never counts", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* breaker.disable
      const running = yield* hold(breaker)
      yield* breaker.forceClose
      yield* running.fail

      yield* state(breaker, "Closed")
      assert.deepInclude(yield* breaker.metrics, { totalCalls: 0, lateCalls: 0, callsInFlight: 0 })
    }))

  it.effect("reset makes the circuit as new, but for its listeners", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, openDuration: CircuitPolicy.exponential({ initial: "10 seconds" }) })
      const asNew = yield* breaker.metrics
      const events = yield* watch(breaker.events)
      yield* halfOpen(breaker)
      yield* fail(breaker)
      yield* breaker.reset

      assert.deepStrictEqual(yield* breaker.metrics, asNew)
      yield* fail(breaker)
      assert.strictEqual(yield* remaining(breaker), 10_000)
      assert.deepStrictEqual(changes(yield* events).slice(-2), [
        "Open -> Closed: Manual",
        "Closed -> Open: ConsecutiveFailures"
      ])
    }))

  it.effect("reset forgets the rejected calls and how long calls took", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* slowly(5_000, Effect.fail("down"))(breaker)
      yield* rejection(breaker)
      yield* breaker.reset
      yield* slowly(1_000, Effect.fail("down"))(breaker)
      yield* rejection(breaker)

      const metrics = yield* breaker.metrics
      assert.deepInclude(metrics, { totalCalls: 2, failedCalls: 1, rejectedCalls: 1 })
      assert.deepStrictEqual(metrics.averageResponseTime, Duration.seconds(1))
    }))
})

// -----------------------------------------------------------------------------
// 2
// -----------------------------------------------------------------------------

describe("2. trips", () => {
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

  it.effect("a row of failures has no age", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ consecutiveFailures: 3 })
      yield* fail(breaker, 2)
      yield* TestClock.adjust("30 days")
      yield* fail(breaker)
      yield* state(breaker, "Open")
    }))

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

  it.effect("ignored calls are not in the window", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ failureRate: 0.5, minimumCalls: 4 })
      yield* fail(breaker, 3)
      yield* repeat(call(breaker, Effect.fail("down"), { classify: () => Outcome.ignored }), 10)
      assert.strictEqual((yield* breaker.metrics).callsInWindow, 3)
      yield* state(breaker, "Closed")
    }))

  it.effect("a window without a failure never trips on failure rate, not even at rate zero", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ failureRate: 0, minimumCalls: 1 })
      yield* succeed(breaker, 50)
      yield* state(breaker, "Closed")
      yield* fail(breaker)
      yield* state(breaker, "Open")
    }))

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

  rule("twenty failures at the same time open the circuit once", touchy, (breaker) =>
    Effect.gen(function*() {
      const events = yield* watch(breaker.events)
      const running = yield* Effect.forEach(Array.from({ length: 20 }), () => hold(breaker))
      yield* Effect.forEach(running, (one) => one.fail, { concurrency: "unbounded" })

      assert.deepStrictEqual(changes(yield* events), ["Closed -> Open: ConsecutiveFailures"])
      assert.deepInclude(yield* breaker.metrics, { failedCalls: 1, lateCalls: 19, consecutiveOpenings: 1 })
    }))
})

// -----------------------------------------------------------------------------
// 3
// -----------------------------------------------------------------------------

describe("3. open", () => {
  rule("rejects without running the call, with the remaining time", touchy, (breaker) =>
    Effect.gen(function*() {
      yield* fail(breaker)
      yield* TestClock.adjust("3 seconds")
      let ran = false
      const error = yield* Effect.flip(breaker.execute(Effect.sync(() => {
        ran = true
      })))

      assert.isFalse(ran)
      assert.deepStrictEqual(
        [error._tag, error.circuit, error.state, Duration.toMillis(error.retryAfter)],
        ["CircuitOpenError", "dependency", "Open", 7_000]
      )
    }))

  rule("at exactly the end of the open time the next call is a probe", touchy, (breaker) =>
    Effect.gen(function*() {
      yield* fail(breaker)
      yield* TestClock.adjust(9_999.999_999)
      // Told in whole milliseconds, which is what a timer can wait.
      assert.strictEqual(yield* remaining(breaker), 1)
      assert.isFalse(yield* breaker.isAvailable)

      yield* TestClock.adjust(0.000_001)
      assert.isTrue(yield* breaker.isAvailable)
      assert.strictEqual(yield* breaker.execute(Effect.succeed("ran")), "ran")
    }))

  it.effect("a caller that waits exactly as long as it was told is let through, whatever the jitter", () =>
    Effect.gen(function*() {
      for (let seed = 0; seed < 200; seed++) {
        yield* Effect.gen(function*() {
          const breaker = yield* make({
            ...touchy,
            openDuration: CircuitPolicy.exponential({ initial: "1234 millis", multiplier: 1.37, jitter: 0.3 })
          })
          for (let opening = 0; opening < 3; opening++) {
            yield* fail(breaker)
            yield* TestClock.adjust(yield* Effect.map(rejection(breaker), (error) => error.retryAfter))
            assert.isTrue(yield* breaker.isAvailable, `seed ${seed}, opening ${opening}`)
          }
        }).pipe(Random.withSeed(`seed ${seed}`))
      }
    }))

  const late: Record<string, readonly [CircuitPolicy.Options, (breaker: Breaker) => Effect.Effect<void>]> = {
    "a failure": [{ consecutiveFailures: 1, window: { calls: 10 } }, fail],
    "a success that completes minimumCalls": [
      { failureRate: 0.5, minimumCalls: 2, window: { calls: 10 } },
      (breaker) => Effect.andThen(fail(breaker), succeed(breaker))
    ]
  }
  for (const [name, [policy, run]] of Object.entries(late)) {
    it.effect(`the open time begins with the end of the call that opens the circuit: ${name}`, () =>
      Effect.gen(function*() {
        const breaker = yield* make({ ...policy, openDuration: "10 seconds" })
        yield* TestClock.adjust("1 hour")
        yield* run(breaker)
        assert.strictEqual(yield* remaining(breaker), 10_000)
      }))
  }

  it.effect("reads HalfOpen from the end of its open time on, before any call, and reading changes nothing", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const events = yield* watch(breaker.events)
      yield* fail(breaker)
      yield* TestClock.adjust("1 hour")

      yield* repeat(state(breaker, "HalfOpen"), 3)
      assert.strictEqual((yield* breaker.metrics).state, "HalfOpen")
      assert.deepStrictEqual(changes(yield* events), ["Closed -> Open: ConsecutiveFailures"])
    }))

  it.effect("stays open for 60, 120, 240, 300 and 300 seconds by default, while its probes fail", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* fail(breaker, 5)
      const times: Array<number> = []
      for (let i = 0; i < 5; i++) {
        times.push((yield* sitOut(breaker)) / 1_000)
        yield* fail(breaker)
      }
      assert.deepStrictEqual(times, [60, 120, 240, 300, 300])
    }))

  it.effect("stays open for the same time with a fixed duration", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, openDuration: "5 seconds" })
      for (let i = 0; i < 4; i++) {
        yield* fail(breaker)
        assert.strictEqual(yield* sitOut(breaker), 5_000)
      }
    }))

  it.effect("an open time of zero lets the next call probe at once", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, openDuration: 0 })
      yield* fail(breaker)
      yield* state(breaker, "HalfOpen")
      yield* fail(breaker)
      yield* succeed(breaker)
      yield* state(breaker, "Closed")
    }))

  it.effect("an infinite open time waits for an operator", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, openDuration: "Infinity" })
      yield* fail(breaker)
      yield* TestClock.adjust("1000 days")
      assert.strictEqual(yield* remaining(breaker), Infinity)
      yield* breaker.forceClose
      yield* succeed(breaker)
    }))

  it.effect("with jitter the open time is spread to either side and never above the maximum", () =>
    Effect.gen(function*() {
      const breaker = yield* make({
        ...touchy,
        openDuration: CircuitPolicy.exponential({ initial: "10 seconds", maximum: "25 seconds", jitter: 0.2 })
      })
      const times: Array<number> = []
      for (let i = 0; i < 20; i++) {
        yield* fail(breaker)
        times.push(yield* sitOut(breaker))
      }
      assert.isTrue(times[0]! >= 8_000 && times[0]! <= 12_000)
      assert.isTrue(times[1]! >= 16_000 && times[1]! <= 24_000)
      assert.isTrue(times.slice(2).every((time) => time >= 20_000 && time <= 25_000))
      assert.isAbove(new Set(times).size, 5)
    }).pipe(Random.withSeed("jitter")))

  const openTimes = (openDuration: Schedule.Schedule<unknown, number>, openings: number) =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, openDuration })
      const times: Array<number> = []
      for (let i = 0; i < openings; i++) {
        yield* fail(breaker)
        times.push((yield* sitOut(breaker)) / 1_000)
      }
      return times
    })

  it.effect("with a Schedule the n-th opening takes the n-th delay, and the last delay repeats: 1, 2, 4, 4, 4", () =>
    Effect.gen(function*() {
      const schedule = Schedule.exponential("1 second").pipe(Schedule.upTo({ times: 3 }))
      assert.deepStrictEqual(yield* openTimes(schedule, 5), [1, 2, 4, 4, 4])
    }))

  it.effect("a Schedule that is limited in time measures the time spent open", () =>
    Effect.gen(function*() {
      const schedule = Schedule.exponential("1 second").pipe(Schedule.upTo({ duration: "5 seconds" }))
      const times = yield* openTimes(schedule, 6)
      assert.deepStrictEqual(times.slice(0, 3), [1, 2, 4])
      assert.deepStrictEqual(times.slice(3), [4, 4, 4])
    }))

  it.effect("a Schedule without end never repeats", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* openTimes(Schedule.fibonacci("1 second"), 6), [1, 1, 2, 3, 5, 8])
    }))

  it.effect("a Schedule without a single delay opens for no time", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* Effect.gen(function*() {
          const breaker = yield* make({ ...touchy, openDuration: Schedule.recurs(0) })
          yield* fail(breaker)
          return yield* breaker.state
        }),
        "HalfOpen"
      )
    }))

  it.effect("a Schedule that draws random delays keeps each opening's delay while it lasts", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, openDuration: Schedule.jittered(Schedule.spaced("10 seconds")) })
      yield* fail(breaker)
      const first = yield* remaining(breaker)
      yield* TestClock.adjust(1_000)
      assert.closeTo(yield* remaining(breaker), first - 1_000, 1e-6)
    }))

  it.effect("a Schedule that waits or dies is a RangeError where the circuit is made", () =>
    Effect.gen(function*() {
      const waits = Schedule.forever.pipe(Schedule.modifyDelay(() => Effect.as(Effect.sleep("1 second"), "1 second")))
      const dies = Schedule.forever.pipe(Schedule.modifyDelay(() => Effect.die("no")))
      for (
        const [openDuration, why] of [
          [waits, "AsyncFiberError: An asynchronous Effect was executed with Effect.runSync"],
          [dies, "Error: no"]
        ] as const
      ) {
        const exit = yield* Effect.exit(
          CircuitBreaker.make({ name: "a", policy: CircuitPolicy.make({ openDuration }) })
        )
        assert(Exit.isFailure(exit))
        const defect = Cause.squash(exit.cause)
        assert.instanceOf(defect, RangeError)
        assert.strictEqual(
          String(defect),
          "RangeError: CircuitPolicy.make: openDuration must be a schedule that gives its delays without waiting or " +
            `dying, got one that does not (${why})`
        )
      }
    }))

  it.effect("every circuit starts a shared Schedule from its beginning", () =>
    Effect.gen(function*() {
      const policy = CircuitPolicy.make({ ...touchy, openDuration: Schedule.exponential("1 second") })
      for (const name of ["a", "b"]) {
        const breaker = yield* CircuitBreaker.make({ name, policy })
        yield* fail(breaker)
        assert.strictEqual(yield* sitOut(breaker), 1_000)
        yield* fail(breaker)
        assert.strictEqual(yield* sitOut(breaker), 2_000)
      }
    }))

  it.effect("circuits of one policy draw the delays of a random Schedule apart", () =>
    Effect.gen(function*() {
      const policy = CircuitPolicy.make({ ...touchy, openDuration: Schedule.jittered(Schedule.spaced("1 hour")) })
      const times = yield* Effect.forEach(["a", "b"], (name) =>
        Effect.gen(function*() {
          const breaker = yield* CircuitBreaker.make({ name, policy })
          yield* fail(breaker)
          return yield* remaining(breaker)
        }).pipe(Random.withSeed(name)))
      assert.notStrictEqual(times[0], times[1])
    }))

  it.effect("a Schedule is told how many times in a row the circuit has opened", () =>
    Effect.gen(function*() {
      const schedule = Schedule.identity<number>().pipe(
        Schedule.modifyDelay(({ input }) => Effect.succeed(Duration.seconds(input)))
      )
      assert.deepStrictEqual(yield* openTimes(schedule, 4), [1, 2, 3, 4])
    }))

  it.effect("a Schedule gives its first delay where the circuit is made, and the others when they are due", () =>
    Effect.gen(function*() {
      let given = 0
      const breaker = yield* make({
        ...touchy,
        openDuration: Schedule.spaced("10 seconds").pipe(
          Schedule.tap(() =>
            Effect.sync(() => {
              given++
            })
          )
        )
      })
      const seen = [given]
      for (let i = 0; i < 3; i++) {
        yield* halfOpen(breaker)
        seen.push(given)
      }
      assert.deepStrictEqual(seen, [1, 1, 2, 3])
    }))

  const growing: CircuitPolicy.Options = {
    ...touchy,
    openDuration: CircuitPolicy.exponential({ initial: "10 seconds" })
  }

  rule("the count of openings survives a close", growing, (breaker) =>
    Effect.gen(function*() {
      yield* halfOpen(breaker)
      yield* succeed(breaker)
      yield* TestClock.adjust("9999 millis")
      yield* fail(breaker)
      assert.strictEqual(yield* remaining(breaker), 20_000)
      assert.strictEqual((yield* breaker.metrics).consecutiveOpenings, 2)
    }))

  rule(
    "and starts again once the circuit has stayed closed as long as its last opening",
    growing,
    (breaker) =>
      Effect.gen(function*() {
        yield* halfOpen(breaker)
        yield* fail(breaker)
        yield* sitOut(breaker)
        yield* succeed(breaker)
        yield* TestClock.adjust("20 seconds")
        assert.strictEqual((yield* breaker.metrics).consecutiveOpenings, 0)
        yield* fail(breaker)
        assert.strictEqual(yield* remaining(breaker), 10_000)
      })
  )

  it.effect("an opening that was lengthened has to be matched by as long a close", () =>
    Effect.gen(function*() {
      const breaker = yield* make({
        ...growing,
        classify: () => Outcome.failure({ retryAfter: "1 hour" })
      })
      yield* fail(breaker)
      yield* TestClock.adjust("1 hour")
      yield* call(breaker, Effect.void, { classify: () => Outcome.success })
      yield* TestClock.adjust("59 minutes")
      assert.strictEqual((yield* breaker.metrics).consecutiveOpenings, 1)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* breaker.metrics).consecutiveOpenings, 0)
    }))

  const openFor = (retryAfter: Duration.Input, options: CircuitPolicy.Options = {}) =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, ...options })
      yield* call(breaker, Effect.fail({ retryAfter: Duration.fromInputUnsafe(retryAfter) }))
      return (yield* remaining(breaker)) / 1_000
    })

  it.effect("a failure's retryAfter lengthens the opening it causes", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* openFor("30 seconds"), 30)
    }))

  it.effect("and never shortens it", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* openFor("3 seconds"), 10)
      assert.strictEqual(yield* openFor(0), 10)
    }))

  it.effect("up to maxOpenDuration, one hour by default", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* openFor("2 hours"), 3_600)
      assert.strictEqual(yield* openFor("Infinity"), 3_600)
      assert.strictEqual(yield* openFor("2 hours", { maxOpenDuration: "20 seconds" }), 20)
      assert.strictEqual(yield* openFor("2 hours", { maxOpenDuration: "1 second" }), 10)
      assert.strictEqual(yield* openFor("2 hours", { maxOpenDuration: 0 }), 10)
    }))

  it.effect("a retryAfter of a failure that does not open the circuit is forgotten", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, consecutiveFailures: 2 })
      yield* call(breaker, Effect.fail({ retryAfter: Duration.hours(1) }))
      yield* fail(breaker)
      assert.strictEqual(yield* remaining(breaker), 10_000)
    }))

  it.effect("a failed probe's retryAfter lengthens the opening too", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* halfOpen(breaker)
      yield* call(breaker, Effect.fail({ retryAfter: Duration.minutes(1) }))
      assert.strictEqual(yield* remaining(breaker), 60_000)
    }))
})

// -----------------------------------------------------------------------------
// 4
// -----------------------------------------------------------------------------

describe("4. half-open", () => {
  const three: CircuitPolicy.Options = { ...touchy, halfOpenMaxCalls: 3, successThreshold: 2 }

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

  rule("successThreshold successes close it", three, (breaker) =>
    Effect.gen(function*() {
      yield* halfOpen(breaker)
      yield* succeed(breaker)
      yield* state(breaker, "HalfOpen")
      assert.strictEqual((yield* breaker.metrics).probeSuccesses, 1)
      yield* succeed(breaker)
      yield* state(breaker, "Closed")
    }))

  it.effect("more successes than probes at once are possible, one after another", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, halfOpenMaxCalls: 1, successThreshold: 5 })
      yield* halfOpen(breaker)
      yield* succeed(breaker, 4)
      yield* state(breaker, "HalfOpen")
      yield* succeed(breaker)
      yield* state(breaker, "Closed")
    }))

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

// -----------------------------------------------------------------------------
// 5
// -----------------------------------------------------------------------------

describe("5. fencing", () => {
  const policy: CircuitPolicy.Options = {
    ...touchy,
    halfOpenMaxCalls: 2,
    successThreshold: 2,
    halfOpenTimeout: "1 hour"
  }

  for (const ending of ["succeed", "fail", "interrupt"] as const) {
    rule(
      `a call from before the trip that ends as ${ending} changes no later state`,
      policy,
      (breaker) =>
        Effect.gen(function*() {
          for (const later of STATES.filter((state) => state !== "Closed")) {
            yield* breaker.reset
            const old = yield* hold(breaker)
            yield* fail(breaker)
            if (later !== "Open") yield* bring[later](breaker)
            if (later === "HalfOpen") yield* succeed(breaker)
            const before = yield* breaker.metrics

            yield* old[ending]

            const after = yield* breaker.metrics
            assert.deepStrictEqual(
              {
                ...after,
                lateCalls: before.lateCalls,
                ignoredCalls: before.ignoredCalls,
                callsInFlight: before.callsInFlight,
                averageResponseTime: before.averageResponseTime
              },
              before,
              later
            )
            const late = ending === "interrupt" ? { ignoredCalls: 1, lateCalls: 0 } : { ignoredCalls: 0, lateCalls: 1 }
            assert.deepInclude(after, { ...late, callsInFlight: 0 }, later)
          }
        })
    )
  }

  rule(
    "probes of an earlier half-open period neither close nor reopen the circuit, nor free a slot",
    policy,
    (breaker) =>
      Effect.gen(function*() {
        yield* halfOpen(breaker)
        const old = yield* hold(breaker)
        yield* fail(breaker)
        yield* TestClock.adjust("10 seconds")
        const probes = yield* Effect.forEach([1, 2], () => hold(breaker))
        assert.isFalse(yield* breaker.isAvailable)

        yield* old.succeed
        assert.isFalse(yield* breaker.isAvailable)
        assert.deepInclude(yield* breaker.metrics, { probesInFlight: 2, probeSuccesses: 0, lateCalls: 1 })

        yield* Effect.forEach(probes, (probe) => probe.succeed)
        yield* state(breaker, "Closed")
      })
  )

  it.effect("a call of an earlier closed period does not count in a later one", () =>
    Effect.gen(function*() {
      const breaker = yield* make(policy)
      const old = yield* hold(breaker)
      yield* halfOpen(breaker)
      yield* succeed(breaker, 2)
      yield* state(breaker, "Closed")

      yield* old.fail
      yield* state(breaker, "Closed")
      assert.deepInclude(yield* breaker.metrics, { consecutiveFailures: 0, callsInWindow: 0, lateCalls: 1 })
    }))

  it.effect("a late call gets its own result", () =>
    Effect.gen(function*() {
      const breaker = yield* make(policy)
      const [one, two] = [yield* hold(breaker), yield* hold(breaker)]
      yield* fail(breaker)
      assert.deepStrictEqual(yield* one.succeed, Exit.succeed("ok"))
      assert.deepStrictEqual(yield* two.fail, Exit.fail("down"))
    }))

  it.effect("a late call leaves it to the next call to make the transition that is due", () =>
    Effect.gen(function*() {
      const breaker = yield* make(policy)
      const old = yield* hold(breaker)
      yield* fail(breaker)
      yield* TestClock.adjust("1 hour")
      const events = yield* watch(breaker.events)
      yield* old.fail
      assert.deepStrictEqual(changes(yield* events), [])
    }))
})

// -----------------------------------------------------------------------------
// 6
// -----------------------------------------------------------------------------

describe("6. outcomes", () => {
  /** How a circuit counts a call. */
  const outcome = (
    effect: Effect.Effect<unknown, unknown>,
    options?: Parameters<Breaker["execute"]>[1] & { readonly policy?: CircuitPolicy.Options }
  ) =>
    Effect.gen(function*() {
      const breaker = yield* make(options?.policy ?? {})
      const exit = yield* Effect.exit(breaker.execute(effect, { classify: options?.classify }))
      const { failedCalls, ignoredCalls, successfulCalls } = yield* breaker.metrics
      assert.strictEqual(failedCalls + ignoredCalls + successfulCalls, 1)
      return { outcome: failedCalls === 1 ? "failure" : ignoredCalls === 1 ? "ignored" : "success", exit }
    })

  const counts = (effect: Effect.Effect<unknown, unknown>, expected: string, options?: Parameters<typeof outcome>[1]) =>
    Effect.map(outcome(effect, options), (actual) => assert.strictEqual(actual.outcome, expected))

  it.effect("a success is a success", () => counts(Effect.succeed(1), "success"))
  it.effect("a typed failure is a failure", () => counts(Effect.fail("down"), "failure"))
  it.effect("a defect is a failure", () => counts(Effect.die("bug"), "failure"))
  it.effect("a defect thrown by the call is a failure", () =>
    counts(
      Effect.sync(() => {
        throw new Error("bug")
      }),
      "failure"
    ))
  it.effect("an interruption is ignored", () => counts(Effect.interrupt, "ignored"))
  it.effect("a failure beside an interruption is a failure", () =>
    counts(Effect.ensuring(Effect.interrupt, Effect.die("finalizer")), "failure"))

  it.effect("a timeout inside the breaker is a failure", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const fiber = yield* Effect.forkChild(
        breaker.execute(Effect.timeout(Effect.never, "1 second")).pipe(Effect.exit),
        { startImmediately: true }
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepInclude(yield* breaker.metrics, { failedCalls: 1, ignoredCalls: 0 })
    }))

  it.effect("a timeout outside it is an interruption, and ignored", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const fiber = yield* Effect.forkChild(
        breaker.execute(Effect.never).pipe(Effect.timeout("1 second"), Effect.exit),
        { startImmediately: true }
      )
      yield* TestClock.adjust("1 second")
      const exit = yield* Fiber.join(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.isTimeoutError(Cause.squash(exit.cause)))
      assert.deepInclude(yield* breaker.metrics, { failedCalls: 0, ignoredCalls: 1 })
    }))

  it.effect("a rejection by a circuit inside the call is ignored", () =>
    Effect.gen(function*() {
      const inner = yield* make()
      yield* inner.forceOpen()
      yield* counts(inner.execute(Effect.void), "ignored")
    }))

  it.effect("the policy's classifier may turn a success into a failure and a failure into a success", () =>
    Effect.gen(function*() {
      const policy: CircuitPolicy.Options = {
        classify: (exit) => Exit.isSuccess(exit) ? Outcome.failure() : Outcome.success
      }
      yield* counts(Effect.succeed(1), "failure", { policy })
      yield* counts(Effect.fail("down"), "success", { policy })
      yield* counts(Effect.die("bug"), "success", { policy })
    }))

  it.effect("the call's classifier comes before the policy's", () =>
    Effect.gen(function*() {
      const policy: CircuitPolicy.Options = { classify: () => Outcome.failure() }
      yield* counts(Effect.succeed(1), "ignored", { policy, classify: () => Outcome.ignored })
      yield* counts(Effect.succeed(1), "success", { policy, classify: () => Outcome.success })
    }))

  it.effect("and leaves the outcome to it by returning nothing", () =>
    Effect.gen(function*() {
      const classify = (exit: Exit.Exit<unknown, unknown>) => Exit.isSuccess(exit) ? undefined : Outcome.ignored
      yield* counts(Effect.succeed(1), "success", { classify })
      yield* counts(Effect.succeed(1), "failure", { classify, policy: { classify: () => Outcome.failure() } })
      yield* counts(Effect.fail(1), "ignored", { classify, policy: { classify: () => Outcome.failure() } })
    }))

  it.effect("no classifier is asked about an interruption, which is always ignored", () =>
    Effect.gen(function*() {
      let asked = 0
      const classify = () => {
        asked++
        return Outcome.failure()
      }
      yield* counts(Effect.interrupt, "ignored", { classify, policy: { classify } })
      assert.strictEqual(asked, 0)
    }))

  it.effect("no classifier is asked about a call of a disabled circuit", () =>
    Effect.gen(function*() {
      let asked = 0
      const classify = () => {
        asked++
        return Outcome.success
      }
      for (const [policy, options] of [[{ classify }, {}], [{}, { classify }]]) {
        const breaker = yield* make(policy)
        yield* breaker.disable
        yield* call(breaker, Effect.fail("down"), options)
        assert.strictEqual(asked, 0)
        yield* breaker.forceClose
        yield* call(breaker, Effect.fail("down"), options)
        assert.strictEqual(asked, 1)
        asked = 0
      }
    }))

  it.effect("no classifier is asked about a rejection", () =>
    Effect.gen(function*() {
      let asked = 0
      const classify = () => {
        asked++
        return Outcome.failure()
      }
      const breaker = yield* make({ classify })
      yield* breaker.forceOpen()
      yield* call(breaker, Effect.void, { classify })
      assert.strictEqual(asked, 0)
      assert.deepInclude(yield* breaker.metrics, { rejectedCalls: 1, failedCalls: 0 })
    }))

  it.effect("a classifier sees the exit as it is", () =>
    Effect.gen(function*() {
      const seen: Array<Exit.Exit<unknown, unknown>> = []
      const breaker = yield* make({
        classify: (exit) => {
          seen.push(exit)
          return Outcome.success
        }
      })
      yield* breaker.execute(Effect.succeed(1))
      yield* Effect.exit(breaker.execute(Effect.fail("down")))
      yield* Effect.exit(breaker.execute(Effect.die("bug")))
      assert.deepStrictEqual(seen, [Exit.succeed(1), Exit.fail("down"), Exit.die("bug")])
    }))

  for (
    const [where, options] of Object.entries({
      policy: { policy: { classify: () => raise() } },
      call: { classify: () => raise() }
    })
  ) {
    it.effect(`a classifier of the ${where} that throws: the outcome is ignored and the call dies`, () =>
      Effect.gen(function*() {
        for (const effect of [Effect.succeed(1), Effect.fail("down"), Effect.die("bug")]) {
          const { exit, outcome: ignored } = yield* outcome(effect, options)
          assert.strictEqual(ignored, "ignored")
          assert.isTrue(Exit.hasDies(exit))
          assert.include(Cause.pretty((exit as Exit.Failure<unknown, unknown>).cause), "classifier")
        }
      }))
  }

  it.effect("a classifier that returns no outcome is like one that throws", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const exit = yield* Effect.exit(breaker.execute(Effect.succeed(1), { classify: () => true as never }))
      assert(Exit.isFailure(exit))
      assert.strictEqual(String(Cause.squash(exit.cause)), "TypeError: A classifier must return an Outcome, got true")
      const metrics = yield* breaker.metrics
      assert.deepStrictEqual([metrics.ignoredCalls, metrics.totalCalls], [1, 1])
    }))

  it.effect("a classifier that throws frees its probe's slot", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* halfOpen(breaker)
      yield* Effect.exit(breaker.execute(Effect.succeed(1), { classify: () => raise() }))
      yield* state(breaker, "HalfOpen")
      assert.deepInclude(yield* breaker.metrics, { probesInFlight: 0, callsInFlight: 0 })
      yield* succeed(breaker)
      yield* state(breaker, "Closed")
    }))

  it.effect("a classifier may use the circuit it classifies for", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* breaker.execute(Effect.succeed(1), {
        classify: () => {
          Effect.runSync(breaker.forceOpen())
          return Outcome.failure()
        }
      })
      yield* state(breaker, "ForcedOpen")
      assert.deepInclude(yield* breaker.metrics, { lateCalls: 1, callsInFlight: 0 })
    }))
})

const raise = (): never => {
  throw new Error("the classifier is wrong")
}

// -----------------------------------------------------------------------------
// 7
// -----------------------------------------------------------------------------

describe("7. time", () => {
  const withClocks = <A, E, R>(test: (clocks: TwoClocks) => Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      const clocks = new TwoClocks()
      return Effect.provideService(test(clocks), Clock.Clock, clocks)
    })

  const HOUR = 3_600_000

  for (const [name, jump] of Object.entries({ forward: HOUR, backward: -HOUR })) {
    it.effect(`a jump of the wall clock an hour ${name} changes nothing`, () =>
      withClocks((clocks) =>
        Effect.gen(function*() {
          const breaker = yield* make({
            ...touchy,
            consecutiveFailures: 3,
            slowCallRate: 1,
            slowCallDuration: "1 second",
            window: { duration: "60 seconds" },
            halfOpenTimeout: "30 seconds"
          })
          yield* fail(breaker)
          clocks.wall += jump
          assert.strictEqual((yield* breaker.metrics).callsInWindow, 1)
          yield* fail(breaker, 2)

          clocks.wall += jump
          assert.strictEqual(yield* remaining(breaker), 10_000)
          clocks.monotonic += 9_999
          clocks.wall += jump
          yield* state(breaker, "Open")
          clocks.monotonic += 1
          yield* state(breaker, "HalfOpen")

          const probe = yield* hold(breaker)
          clocks.wall += jump
          yield* state(breaker, "HalfOpen")
          // Not slow either.
          yield* probe.succeed
          yield* state(breaker, "Closed")
          assert.strictEqual(Duration.toMillis((yield* breaker.metrics).averageResponseTime!), 0)
        })
      ))
  }

  it.effect("a wall clock that stands still changes nothing", () =>
    withClocks((clocks) =>
      Effect.gen(function*() {
        const breaker = yield* make(touchy)
        yield* fail(breaker)
        clocks.monotonic += 10_000
        yield* state(breaker, "HalfOpen")
        yield* succeed(breaker)
        yield* state(breaker, "Closed")
      })
    ))

  it.effect("the moment of the last failure is right by today's wall clock", () =>
    withClocks((clocks) =>
      Effect.gen(function*() {
        const breaker = yield* make()
        yield* fail(breaker)
        clocks.pass("1 minute")
        const { lastFailureTime } = yield* breaker.metrics
        assert.strictEqual(DateTime.toEpochMillis(lastFailureTime!), 1_700_000_000_000)
      })
    ))

  it.effect("events are stamped with the wall clock", () =>
    withClocks((clocks) =>
      Effect.gen(function*() {
        const breaker = yield* make(touchy)
        const events = yield* watch(breaker.events)
        clocks.pass("1 minute")
        yield* fail(breaker)
        const stamps = new Set((yield* events).map((event) => event.timestamp))
        assert.deepStrictEqual([...stamps], [1_700_000_060_000])
      })
    ))

  it.effect("a circuit keeps the clock it was made with", () =>
    Effect.gen(function*() {
      const clocks = new TwoClocks()
      const breaker = yield* Effect.provideService(make(touchy), Clock.Clock, clocks)
      yield* fail(breaker)
      yield* TestClock.adjust("1 day")
      yield* state(breaker, "Open")
      clocks.monotonic += 10_000
      yield* state(breaker, "HalfOpen")
    }))

  it.effect("a call is timed whenever it begins", () =>
    Effect.gen(function*() {
      const clock = new TwoClocks()
      const breaker = yield* make({ measureDuration: true }).pipe(Effect.provideService(Clock.Clock, clock))
      for (clock.monotonic = 0; clock.monotonic <= 4; clock.monotonic++) yield* succeed(breaker)
      yield* breaker.execute(Effect.sync(() => clock.pass("6 seconds")))
      assert.deepStrictEqual((yield* breaker.metrics).averageResponseTime, Duration.seconds(1))
    }))

  it.effect("works on a clock that has run for a year, to the microsecond", () =>
    withClocks((clocks) =>
      Effect.gen(function*() {
        clocks.monotonic = 365 * 24 * HOUR
        const breaker = yield* make(touchy)
        yield* fail(breaker)
        clocks.monotonic += 9_999.99
        yield* state(breaker, "Open")
        clocks.monotonic += 0.02
        yield* state(breaker, "HalfOpen")
      })
    ))
})

// -----------------------------------------------------------------------------
// 9
// -----------------------------------------------------------------------------

describe("9. observers", () => {
  it.effect("hear of each call and each change, in order and numbered", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const events = yield* watch(breaker.events)
      yield* succeed(breaker)
      yield* fail(breaker)
      yield* rejection(breaker)
      yield* TestClock.adjust("10 seconds")
      yield* call(breaker, Effect.fail("?"), { classify: () => Outcome.ignored })
      yield* succeed(breaker)

      const seen = yield* events
      assert.deepStrictEqual(
        seen.map((event) => event._tag === "CallEnded" ? event.outcome : event._tag === "StateChanged" ? event.to : ""),
        ["Success", "Failure", "Open", "Rejected", "HalfOpen", "Ignored", "Success", "Closed"]
      )
      assert.deepStrictEqual(seen.map((event) => event.sequence), [1, 2, 3, 4, 5, 6, 7, 8])
      assert.isTrue(seen.every((event) => event.circuit === "dependency"))
    }))

  it.effect("hear of late calls", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const old = yield* hold(breaker)
      const left = yield* hold(breaker)
      yield* fail(breaker)
      const events = yield* watch(breaker.events)
      yield* old.succeed
      yield* left.interrupt
      const [late, ignored] = yield* events
      assert.deepInclude(late, { _tag: "CallEnded", outcome: "Late", state: "Open" })
      assert.deepInclude(ignored, { _tag: "CallEnded", outcome: "Ignored", state: "Open" })
    }))

  it.effect("are told what the circuit had counted and how long it had been as it was", () =>
    Effect.gen(function*() {
      const breaker = yield* make({
        ...touchy,
        failureRate: 0.5,
        minimumCalls: 4,
        window: { calls: 10 },
        consecutiveFailures: 9
      })
      const events = yield* watch(breaker.events)
      yield* succeed(breaker)
      yield* TestClock.adjust("5 seconds")
      yield* fail(breaker, 3)

      const event = (yield* events).find((event) => event._tag === "StateChanged")
      assert.deepInclude(event, {
        from: "Closed",
        to: "Open",
        reason: "FailureRate",
        consecutiveFailures: 3,
        failureRate: 0.75,
        slowCallRate: 0,
        calls: 4,
        openings: 1,
        note: undefined
      })
      if (event?._tag !== "StateChanged") return
      assert.strictEqual(Duration.toSeconds(event.elapsed), 5)
      assert.strictEqual(Duration.toSeconds(event.retryAfter), 10)
    }))

  it.effect("are not told stale counts when an operator moves a circuit that was idle", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ failureRate: 0.5, window: { duration: "60 seconds" } })
      yield* fail(breaker, 3)
      yield* TestClock.adjust("1 hour")
      const events = yield* watch(breaker.events)
      yield* breaker.forceOpen()
      const [event] = yield* events
      assert.deepInclude(event, { failureRate: 0, calls: 0 })
    }))

  it.effect("learn how long a call took if the policy measures that", () =>
    Effect.gen(function*() {
      const durations = yield* Effect.forEach([true, false], (measureDuration) =>
        Effect.gen(function*() {
          const breaker = yield* make({ consecutiveFailures: 5, window: { calls: 10 }, measureDuration })
          const events = yield* watch(breaker.events)
          yield* slowly(250, Effect.succeed(1))(breaker)
          const [event] = yield* events
          return event?._tag === "CallEnded" ? event.duration : undefined
        }))
      assert.deepStrictEqual(durations.map((duration) => duration && Duration.toMillis(duration)), [250, undefined])
    }))

  it.effect("learn how long a call took if it counts, and that only a call can be slow", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, slowCallRate: 1, slowCallDuration: "1 second", window: { calls: 10 } })
      const events = yield* watch(breaker.events)
      yield* TestClock.adjust("1 minute")
      yield* slowly(500, Effect.succeed(1))(breaker)
      const left = yield* hold(breaker)
      const slow = yield* hold(breaker)
      yield* TestClock.adjust("3 seconds")
      yield* left.interrupt
      yield* slow.fail
      yield* rejection(breaker)

      assert.deepStrictEqual(
        (yield* events).flatMap((event) =>
          event._tag === "CallEnded" ? [[event.outcome, event.slow, event.duration]] : []
        ),
        [
          ["Success", false, Duration.millis(500)],
          ["Ignored", false, undefined],
          ["Failure", true, Duration.seconds(3)],
          ["Rejected", false, undefined]
        ]
      )
    }))

  it.effect("hear what they asked for and nothing else", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const heard: Array<string> = []
      for (const tag of ["CallEnded", "StateChanged", "Reconfigured"] as const) {
        yield* breaker.on(tag, (event) => Effect.sync(() => heard.push(`${tag}: ${event._tag}`)))
      }
      yield* settle
      yield* fail(breaker)
      yield* breaker.reconfigure({ ...(yield* breaker.policy), consecutiveFailures: 3 })
      yield* settle

      assert.deepStrictEqual(heard.toSorted(), [
        "CallEnded: CallEnded",
        "Reconfigured: Reconfigured",
        "StateChanged: StateChanged"
      ])
    }))

  it.effect("that come late have missed what was before, and miss nothing after", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* fail(breaker)
      const events = yield* watch(breaker.events)
      assert.deepStrictEqual(yield* events, [])
      yield* breaker.forceClose
      assert.deepStrictEqual(changes(yield* events), ["Open -> Closed: Manual"])
    }))

  it.effect("that come again hear again", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      for (let i = 0; i < 3; i++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const events = yield* watch(breaker.events)
          yield* succeed(breaker)
          assert.strictEqual((yield* events).length, 1)
        }))
      }
    }))

  it.effect("each hear everything", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const both = [yield* watch(breaker.events), yield* watch(breaker.events)]
      yield* fail(breaker)
      for (const events of both) assert.strictEqual((yield* events).length, 2)
    }))

  it.effect("that fall 1,024 events behind lose the oldest, and see so by the numbers", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const seen: Array<number> = []
      const gate = yield* Deferred.make<void>()
      yield* breaker.on("CallEnded", (event) =>
        Effect.andThen(
          Deferred.await(gate),
          Effect.sync(() => {
            seen.push(event.sequence)
          })
        ))
      yield* settle
      yield* succeed(breaker, 3_000)
      yield* Deferred.succeed(gate, undefined)
      yield* Effect.yieldNow
      yield* repeat(settle, 200)

      assert.strictEqual(seen.at(-1), 3_000)
      assert.isAtLeast(seen.length, 1_024)
      assert.isBelow(seen.length, 1_100)
    }))

  it.effect("that fail or throw are logged, and hear the next event", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      let heard = 0
      yield* breaker.on("CallEnded", () => {
        heard++
        if (heard === 1) return Effect.fail("listener failed")
        if (heard === 2) return Effect.die("listener died")
        if (heard === 3) throw new Error("listener threw")
        if (heard === 4) return Effect.interrupt
        return Effect.void
      })
      yield* settle
      for (let i = 0; i < 5; i++) {
        assert.strictEqual(yield* breaker.execute(Effect.succeed(i)), i)
        yield* settle
      }

      assert.strictEqual(heard, 5)
      const logs = (yield* TestConsole.logLines).join("\n")
      assert.include(logs, "listener failed")
      assert.include(logs, "listener died")
      assert.include(logs, "listener threw")
      assert.strictEqual(logs.split(`A listener of circuit "dependency" failed`).length, 5)
    }))

  it.effect("that block for ever delay no call and no other listener", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const events = yield* watch(breaker.events)
      yield* breaker.on("CallEnded", () => Effect.never)
      yield* breaker.onTrip(() => Effect.never)
      yield* settle
      yield* succeed(breaker, 100)
      yield* fail(breaker)
      yield* repeat(settle, 10)
      assert.strictEqual((yield* events).length, 102)
    }))

  it.effect("that are slow do not delay a call", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      let done = false
      yield* breaker.on("CallEnded", () =>
        Effect.andThen(
          Effect.sleep("1 hour"),
          Effect.sync(() => {
            done = true
          })
        ))
      yield* settle
      // Virtual time stands still, so these would never end if they waited.
      yield* succeed(breaker, 3)
      assert.isFalse(done)
    }))

  it.effect("run outside the call: not a line of a listener before the caller has its result", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const log: Array<string> = []
      yield* breaker.on("StateChanged", () => Effect.sync(() => log.push("listener")))
      yield* settle
      yield* fail(breaker)
      log.push("caller")
      yield* settle
      assert.deepStrictEqual(log, ["caller", "listener"])
    }))

  it.effect("may call the circuit, change it and listen to it", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, openDuration: "1 hour" })
      const events = yield* watch(breaker.events)
      const log: Array<unknown> = []
      yield* breaker.onTrip(() =>
        Effect.gen(function*() {
          log.push(yield* call(breaker, Effect.succeed("ok")))
          yield* breaker.forceClose
          log.push(yield* call(breaker, Effect.succeed("ok")))
        })
      )
      yield* settle
      yield* fail(breaker)
      yield* settle

      assert.deepStrictEqual(log, ["rejected: Open", "ok"])
      yield* state(breaker, "Closed")
      assert.deepStrictEqual(changes(yield* events), [
        "Closed -> Open: ConsecutiveFailures",
        "Open -> Closed: Manual"
      ])
    }))

  it.effect("handle one event after another", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const log: Array<string> = []
      yield* breaker.on("CallEnded", (event) =>
        Effect.gen(function*() {
          log.push(`begin ${event.sequence}`)
          yield* Effect.sleep("1 second")
          log.push(`end ${event.sequence}`)
        }))
      yield* settle
      yield* succeed(breaker, 2)
      yield* TestClock.adjust("2 seconds")
      yield* settle
      assert.deepStrictEqual(log, ["begin 1", "end 1", "begin 2", "end 2"])
    }))

  it.effect("onTrip and onRecovery hear the circuit open and close, and nothing else", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const log: Array<string> = []
      yield* breaker.onTrip((event) => Effect.sync(() => log.push(`trip: ${event.reason}`)))
      yield* breaker.onRecovery((event) => Effect.sync(() => log.push(`recovery: ${event.reason}`)))
      yield* settle
      yield* halfOpen(breaker)
      yield* fail(breaker)
      yield* TestClock.adjust("10 seconds")
      yield* succeed(breaker)
      yield* breaker.forceOpen()
      yield* breaker.forceClose
      yield* settle

      assert.deepStrictEqual(log.toSorted(), [
        "recovery: Manual",
        "recovery: ProbesSucceeded",
        "trip: ConsecutiveFailures",
        "trip: ProbeFailed"
      ])
    }))

  it.effect("onFailure hears the calls that count as failed, and what failed, and nothing else", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ consecutiveFailures: 2, classify: Outcome.ignoreIf((error) => error === "mine") })
      const heard: Array<unknown> = []
      yield* breaker.onFailure((event) => Effect.sync(() => heard.push([event.outcome, event.lastFailure?.message])))
      yield* succeed(breaker)
      yield* call(breaker, Effect.fail("mine"))
      yield* call(breaker, Effect.fail("down"))
      yield* call(breaker, Effect.die(new Error("bug")))
      yield* call(breaker, Effect.void)
      yield* settle
      assert.deepStrictEqual(heard, [["Failure", "down"], ["Failure", "bug"]])
    }))

  it.effect("stop with their scope, in the middle of their work, without a word in the log", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      let interrupted = false
      const scope = yield* Scope.make()
      yield* breaker.on("CallEnded", () =>
        Effect.onInterrupt(Effect.never, () =>
          Effect.sync(() => {
            interrupted = true
          }))).pipe(Scope.provide(scope))
      yield* succeed(breaker)
      yield* settle
      yield* Scope.close(scope, Exit.void)

      assert.isTrue(interrupted)
      assert.deepStrictEqual(yield* TestConsole.logLines, [])
      yield* succeed(breaker)
    }))

  it.effect("get the services of their own place", () =>
    Effect.gen(function*() {
      class Alarm extends Context.Service<Alarm, { readonly ring: Effect.Effect<void> }>()("test/Alarm") {}
      let rang = 0
      const breaker = yield* make(touchy)
      yield* breaker.onTrip(() => Effect.flatMap(Alarm, (alarm) => alarm.ring)).pipe(
        Effect.provideService(Alarm, { ring: Effect.sync(() => void rang++) })
      )
      yield* fail(breaker)
      yield* settle
      assert.strictEqual(rang, 1)
    }))

  it.effect("of calls are made only if somebody listens to calls", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* Effect.asVoid(watch(breaker.changes))
      yield* Effect.scoped(Effect.andThen(breaker.on("StateChanged", () => Effect.void), succeed(breaker)))
      yield* fail(breaker, 2)
      const events = yield* watch(breaker.events)
      yield* breaker.forceClose
      // Events are numbered when they are made: this is the second change.
      assert.strictEqual((yield* events)[0]?.sequence, 2)
    }))
})

describe("metrics", () => {
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

describe("changes", () => {
  const describeChanges = (changes: ReadonlyArray<CircuitEvent.CircuitChange>) =>
    changes.map((change) => change._tag === "StateChanged" ? change.to : change.changed.join())

  it.effect("are told from the beginning, whenever one asks, and go on", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* fail(breaker, 2)
      const early = yield* watch(breaker.changes)
      yield* TestClock.adjust("10 seconds")
      yield* succeed(breaker)
      yield* breaker.reconfigure({ ...(yield* breaker.policy), consecutiveFailures: 7 })
      const late = yield* watch(breaker.changes)
      yield* breaker.disable

      const all = ["Open", "HalfOpen", "Closed", "consecutiveFailures", "Disabled"]
      assert.deepStrictEqual(describeChanges(yield* early), all)
      assert.deepStrictEqual(describeChanges(yield* late), all)
      assert.deepStrictEqual((yield* late).map(({ sequence }) => sequence), [1, 2, 3, 4, 5])
    }))

  it.effect("of long ago are forgotten", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      for (let i = 0; i < 100; i++) yield* i % 2 === 0 ? breaker.disable : breaker.metricsOnly
      const sequences = (yield* yield* watch(breaker.changes)).map(({ sequence }) => sequence)

      assert.deepStrictEqual(sequences, Array.from({ length: 64 }, (_, i) => 37 + i))
    }))

  it.effect("leave nothing out and come once, wherever a subscriber starts", () =>
    Effect.gen(function*() {
      for (let steps = 0; steps < 30; steps++) {
        const breaker = yield* make(touchy)
        const told: Array<number> = []
        yield* breaker.changes.pipe(
          Stream.runForEach(({ sequence }) => Effect.sync(() => told.push(sequence))),
          Effect.forkScoped({ startImmediately: steps % 2 === 0 })
        )
        for (let i = 0; i < 15; i++) {
          yield* i % 2 === 0 ? breaker.disable : breaker.metricsOnly
          if (i >= steps / 2) yield* Effect.yieldNow
        }
        yield* settle

        assert.deepStrictEqual(told, Array.from({ length: 15 }, (_, i) => i + 1), `${steps} steps`)
      }
    }))

  it.effect("are not told again to listeners", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* fail(breaker, 2)
      const heard: Array<string> = []
      yield* breaker.onTrip(() => Effect.sync(() => heard.push("trip")))
      yield* breaker.onRecovery(() => Effect.sync(() => heard.push("recovery")))
      yield* breaker.on("StateChanged", ({ to }) => Effect.sync(() => heard.push(to)))
      yield* breaker.forceClose
      yield* settle

      assert.deepStrictEqual(heard.toSorted(), ["Closed", "recovery"])
    }))
})

// -----------------------------------------------------------------------------
// permits
// -----------------------------------------------------------------------------

describe("permit", () => {
  const metrics = (breaker: Breaker) =>
    Effect.map(breaker.metrics, (metrics) => ({
      success: metrics.successfulCalls,
      failure: metrics.failedCalls,
      ignored: metrics.ignoredCalls,
      inFlight: metrics.callsInFlight
    }))

  const none = { success: 0, failure: 0, ignored: 0, inFlight: 0 }

  it.effect("is rejected by an open circuit, like a call", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* fail(breaker)
      const error = yield* Effect.flip(Effect.scoped(breaker.permit))
      assert.strictEqual(error._tag, "CircuitOpenError")
      assert.strictEqual((yield* breaker.metrics).rejectedCalls, 1)
    }))

  it.effect("takes a probe's slot until it is reported or its scope closes", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, successThreshold: 2 })
      yield* halfOpen(breaker)
      yield* Effect.scoped(Effect.gen(function*() {
        const permit = yield* breaker.permit
        assert.isFalse(yield* breaker.isAvailable)
        yield* permit.success
        assert.isTrue(yield* breaker.isAvailable)
      }))
      yield* Effect.scoped(Effect.gen(function*() {
        yield* breaker.permit
        assert.isFalse(yield* breaker.isAvailable)
      }))
      assert.isTrue(yield* breaker.isAvailable)
      assert.deepInclude(yield* breaker.metrics, { probeSuccesses: 1, probesInFlight: 0, callsInFlight: 0 })
    }))

  const reports: Record<
    string,
    readonly [(permit: CircuitBreaker.Permit) => Effect.Effect<void>, Partial<typeof none>]
  > = {
    success: [(permit) => permit.success, { success: 1 }],
    failure: [(permit) => permit.failure(), { failure: 1 }],
    ignore: [(permit) => permit.ignore, { ignored: 1 }],
    "record success": [(permit) => permit.record(Outcome.success), { success: 1 }],
    "record failure": [(permit) => permit.record(Outcome.failure()), { failure: 1 }]
  }
  for (const [name, [report, expected]] of Object.entries(reports)) {
    it.effect(`${name} counts at once and once, however its scope closes`, () =>
      Effect.gen(function*() {
        for (const end of [Effect.void, Effect.fail("later"), Effect.die("later"), Effect.interrupt]) {
          const breaker = yield* make()
          yield* Effect.scoped(Effect.gen(function*() {
            yield* report(yield* breaker.permit)
            assert.deepStrictEqual(yield* metrics(breaker), { ...none, ...expected })
            yield* end
          })).pipe(Effect.exit)
          assert.deepStrictEqual(yield* metrics(breaker), { ...none, ...expected })
        }
      }))
  }

  it.effect("only the first report counts", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* Effect.scoped(Effect.gen(function*() {
        const permit = yield* breaker.permit
        yield* permit.success
        yield* permit.failure()
        yield* permit.ignore
        yield* permit.success
      }))
      assert.deepStrictEqual(yield* metrics(breaker), { ...none, success: 1 })
    }))

  it.effect("a failure's retryAfter lengthens the opening", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* Effect.scoped(Effect.flatMap(breaker.permit, (permit) => permit.failure({ retryAfter: "1 minute" })))
      assert.strictEqual(yield* remaining(breaker), 60_000)
    }))

  const silences: Record<string, readonly [Effect.Effect<void, string>, Partial<typeof none>]> = {
    "ends well is ignored": [Effect.void, { ignored: 1 }],
    "fails is judged like a failed call": [Effect.fail("down"), { failure: 1 }],
    "dies is judged like a failed call": [Effect.die("bug"), { failure: 1 }],
    "is interrupted is ignored": [Effect.interrupt, { ignored: 1 }]
  }
  for (const [name, [end, expected]] of Object.entries(silences)) {
    it.effect(`a scope without a report that ${name}`, () =>
      Effect.gen(function*() {
        const breaker = yield* make()
        yield* Effect.exit(Effect.scoped(Effect.andThen(breaker.permit, end)))
        assert.deepStrictEqual(yield* metrics(breaker), { ...none, ...expected })
      }))
  }

  it.effect("a failed scope is judged by the policy's classifier", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ classify: Outcome.failureUnless((error) => error === "not found") })
      yield* Effect.exit(Effect.scoped(Effect.andThen(breaker.permit, Effect.fail("not found"))))
      assert.deepStrictEqual(yield* metrics(breaker), { ...none, success: 1 })
    }))

  it.effect("a classifier that throws frees its slot", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, classify: () => raise() })
      yield* breaker.forceOpen({ duration: 0 })
      const exit = yield* Effect.exit(Effect.scoped(Effect.andThen(breaker.permit, Effect.fail("down"))))

      assert.isTrue(Exit.hasDies(exit))
      assert.deepStrictEqual(yield* metrics(breaker), { ...none, ignored: 1 })
      assert.isTrue(yield* breaker.isAvailable)
    }))

  it.effect("several in one scope are apart", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* Effect.scoped(Effect.gen(function*() {
        const [one, two] = [yield* breaker.permit, yield* breaker.permit]
        yield* one.success
        yield* two.failure()
      }))
      assert.deepStrictEqual(yield* metrics(breaker), { ...none, success: 1, failure: 1 })
    }))

  it.effect("a report after the state has changed is late", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* Effect.scoped(Effect.gen(function*() {
        const permit = yield* breaker.permit
        yield* breaker.forceOpen()
        yield* permit.failure()
      }))
      assert.deepInclude(yield* breaker.metrics, { lateCalls: 1, failedCalls: 0 })
    }))
})

// -----------------------------------------------------------------------------
// wrap, combinators
// -----------------------------------------------------------------------------

describe("wrap", () => {
  it.effect("protects each call of a function, with its arguments", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const divide = CircuitBreaker.wrap(breaker)((a: number, b: number) =>
        b === 0 ? Effect.fail("zero") : Effect.succeed(a / b)
      )
      assert.strictEqual(yield* divide(6, 3), 2)
      assert.strictEqual(yield* Effect.flip(divide(1, 0)), "zero")
      const error = yield* Effect.flip(divide(6, 3))
      assert.isTrue(error instanceof ResilienceError.CircuitOpenError)
    }))

  it.effect("does not call the function while the circuit is open, and calls it anew for each run", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      let called = 0
      const f = CircuitBreaker.wrap(breaker)(() => Effect.succeed(++called))
      const effect = f()
      assert.strictEqual(called, 0)
      assert.deepStrictEqual([yield* effect, yield* effect], [1, 2])
      yield* breaker.forceOpen()
      yield* Effect.exit(effect)
      assert.strictEqual(called, 2)
    }))

  it.effect("counts a function that throws as a failure", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const f = CircuitBreaker.wrap(breaker)((): Effect.Effect<number> => raise())
      assert.isTrue(Exit.hasDies(yield* Effect.exit(f())))
      yield* state(breaker, "Open")
    }))

  it.effect("takes a classifier", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const f = CircuitBreaker.wrap(breaker, { classify: () => Outcome.success })(() => Effect.fail("fine"))
      yield* Effect.exit(f())
      yield* state(breaker, "Closed")
    }))
})

describe("withCircuitBreaker", () => {
  it.effect("is the same data-first and data-last", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const classify = () => Outcome.success
      yield* Effect.exit(CircuitBreaker.withCircuitBreaker(Effect.fail(1), breaker, { classify }))
      yield* Effect.exit(Effect.fail(1).pipe(CircuitBreaker.withCircuitBreaker(breaker, { classify })))
      yield* Effect.exit(CircuitBreaker.withCircuitBreaker(Effect.fail(1), breaker))
      yield* Effect.exit(Effect.fail(1).pipe(CircuitBreaker.withCircuitBreaker(breaker)))
      assert.deepInclude(yield* breaker.metrics, { successfulCalls: 2, failedCalls: 2 })
    }))

  it.effect("by name makes the circuit at its first call, with the policy it is given", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const policy = CircuitPolicy.make({ consecutiveFailures: 1 })
      const effect = Effect.fail("down").pipe(CircuitBreaker.withCircuitBreaker("a", { policy }))
      assert.deepStrictEqual(yield* registry.names, [])
      yield* Effect.exit(effect)
      assert.deepStrictEqual(yield* registry.openCircuits, ["a"])
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))

  it.effect("by a name that lives under another policy dies with CircuitConflictError, and runs nothing", () =>
    Effect.gen(function*() {
      let ran = false
      yield* Effect.void.pipe(CircuitBreaker.withCircuitBreaker("a", { policy: CircuitPolicy.database }))
      const exit = yield* Effect.sync(() => {
        ran = true
      }).pipe(CircuitBreaker.withCircuitBreaker("a", { policy: CircuitPolicy.kafka }), Effect.exit)

      assert.isFalse(ran)
      assert.isTrue(Exit.hasDies(exit))
      const defect = Cause.squash((exit as Exit.Failure<void, never>).cause)
      assert.isTrue(defect instanceof ResilienceError.CircuitConflictError)
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))

  it.effect("can be run again and again, and at the same time", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const effect = Effect.void.pipe(CircuitBreaker.withCircuitBreaker(breaker))
      yield* Effect.all(Array.from({ length: 50 }, () => effect), { concurrency: "unbounded" })
      assert.strictEqual((yield* breaker.metrics).successfulCalls, 50)
    }))

  it.effect("leaves the rest of the program interruptible, and hands an interruption on", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      let cleaned = 0
      const fiber = yield* Effect.forkChild(
        breaker.execute(Effect.onInterrupt(Effect.never, () => Effect.sync(() => cleaned++))),
        { startImmediately: true }
      )
      assert.strictEqual((yield* breaker.metrics).callsInFlight, 1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(cleaned, 1)
      assert.deepInclude(yield* breaker.metrics, { callsInFlight: 0, ignoredCalls: 1 })
    }))

  it.effect("nests: the same circuit inside itself counts twice, and another one apart", () =>
    Effect.gen(function*() {
      const [outer, inner] = [yield* make(), yield* make()]
      yield* outer.execute(outer.execute(inner.execute(Effect.void)))
      assert.strictEqual((yield* outer.metrics).successfulCalls, 2)
      assert.strictEqual((yield* inner.metrics).successfulCalls, 1)
    }))
})

describe("handles", () => {
  it.effect("have members that can be taken off", () =>
    Effect.gen(function*() {
      const { execute, forceOpen, metrics, state } = yield* make()
      yield* execute(Effect.void)
      yield* forceOpen()
      assert.strictEqual(yield* state, "ForcedOpen")
      assert.strictEqual((yield* metrics).successfulCalls, 1)
    }))

  it.effect("are told from other values by isCircuitBreaker", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      assert.isTrue(CircuitBreaker.isCircuitBreaker(breaker))
      for (const other of [undefined, null, "name", {}, CircuitBreakerRegistry.CircuitBreakerRegistry]) {
        assert.isFalse(CircuitBreaker.isCircuitBreaker(other))
      }
    }))

  it.effect("know their policy, by default that of CircuitPolicy.make()", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "a" })
      assert.deepStrictEqual(CircuitPolicy.difference(yield* breaker.policy, CircuitPolicy.make()), [])
    }))
})

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

// -----------------------------------------------------------------------------
// streams
// -----------------------------------------------------------------------------

describe("withCircuitBreakerStream", () => {
  const guard = (breaker: Breaker) => CircuitBreaker.withCircuitBreakerStream(breaker)

  const outcomes = (breaker: Breaker) =>
    Effect.map(breaker.metrics, (metrics) => {
      assert.strictEqual(metrics.callsInFlight, 0)
      assert.isAtMost(metrics.successfulCalls + metrics.failedCalls + metrics.ignoredCalls, 1)
      return metrics.successfulCalls === 1
        ? "success"
        : metrics.failedCalls === 1
        ? "failure"
        : metrics.ignoredCalls === 1
        ? "ignored"
        : "nothing"
    })

  const elements = Stream.make(1, 2, 3)
  const unready: Stream.Stream<number> = Stream.fromPull(Effect.never)

  const cases: Record<string, readonly [(breaker: Breaker) => Effect.Effect<unknown, unknown>, string]> = {
    "a stream that ends is a success": [(breaker) => Stream.runCollect(guard(breaker)(elements)), "success"],
    "an empty stream is a success": [(breaker) => Stream.runCollect(guard(breaker)(Stream.empty)), "success"],
    "a stream that fails at once is a failure": [
      (breaker) => Stream.runCollect(guard(breaker)(Stream.fail("down"))),
      "failure"
    ],
    "a stream that fails before it can be pulled is a failure": [
      (breaker) => Stream.runCollect(guard(breaker)(Stream.fromPull(Effect.fail("down")))),
      "failure"
    ],
    "a stream that fails after elements is a failure": [
      (breaker) => Stream.runCollect(guard(breaker)(Stream.concat(elements, Stream.fail("down")))),
      "failure"
    ],
    "a stream that dies after elements is a failure": [
      (breaker) => Stream.runCollect(guard(breaker)(Stream.concat(elements, Stream.die("bug")))),
      "failure"
    ],
    "a stream whose consumer has enough is a success": [
      (breaker) => Stream.runCollect(guard(breaker)(Stream.concat(elements, Stream.never)).pipe(Stream.take(2))),
      "success"
    ],
    "a stream whose consumer fails after an element is a success": [
      (breaker) => Stream.runForEach(guard(breaker)(elements), () => Effect.fail("consumer")),
      "success"
    ],
    "a stream nobody pulls is not even admitted": [
      (breaker) => Stream.runCollect(guard(breaker)(elements).pipe(Stream.take(0))),
      "nothing"
    ],
    "a stream left for another's failure, without an element, is ignored": [
      (breaker) => Stream.runDrain(Stream.merge(guard(breaker)(Stream.never), Stream.fail("other"))),
      "ignored"
    ],
    "a stream whose consumer does not wait until it can be pulled, and goes on, is ignored": [
      (breaker) =>
        Effect.scoped(Effect.gen(function*() {
          const pull = yield* Stream.toPull(guard(breaker)(unready))
          const fiber = yield* Effect.forkChild(pull, { startImmediately: true })
          yield* Fiber.interrupt(fiber)
        })),
      "ignored"
    ],
    "a stream that interrupts itself is ignored": [
      (breaker) => Stream.runDrain(guard(breaker)(Stream.concat(elements, Stream.fromEffect(Effect.interrupt)))),
      "ignored"
    ]
  }
  for (const [name, [run, expected]] of Object.entries(cases)) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const breaker = yield* make()
        yield* Effect.exit(run(breaker))
        assert.strictEqual(yield* outcomes(breaker), expected)
      }))
  }

  for (
    const [name, stream] of Object.entries({
      "before its first element": Stream.never,
      "after elements": Stream.concat(elements, Stream.never)
    })
  ) {
    it.effect(`a stream that is interrupted ${name} is ignored`, () =>
      Effect.gen(function*() {
        const breaker = yield* make()
        const fiber = yield* Effect.forkChild(Stream.runDrain(guard(breaker)(stream)), { startImmediately: true })
        yield* settle
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(yield* outcomes(breaker), "ignored")
      }))
  }

  it.effect("a stream that is interrupted while its consumer works is ignored", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const fiber = yield* Effect.forkChild(Stream.runForEach(guard(breaker)(elements), () => Effect.never), {
        startImmediately: true
      })
      yield* settle
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* outcomes(breaker), "ignored")
    }))

  it.effect("emits what the stream emits, in the same chunks, and hands its error on", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const stream = Stream.range(1, 10).pipe(Stream.rechunk(4))
      const sizes = yield* guard(breaker)(stream).pipe(
        Stream.chunks,
        Stream.map((chunk) => chunk.length),
        Stream.runCollect
      )
      assert.deepStrictEqual(sizes, [4, 4, 2])
      assert.strictEqual(yield* Effect.flip(Stream.runDrain(guard(breaker)(Stream.fail("down")))), "down")
    }))

  it.effect("is rejected by an open circuit before it starts", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* breaker.forceOpen()
      let started = false
      const stream = Stream.suspend(() => {
        started = true
        return elements
      })
      const error = yield* Effect.flip(Stream.runDrain(guard(breaker)(stream)))
      assert.strictEqual(error._tag, "CircuitOpenError")
      assert.isFalse(started)
    }))

  it.effect("is judged when it ends, not when the program around it does", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const seen: Array<string> = []
      const look = Stream.fromEffect(Effect.map(breaker.state, (state) => seen.push(state)))
      yield* guard(breaker)(Stream.concat(elements, Stream.fail("down"))).pipe(
        Stream.catch(() => look),
        Stream.runDrain
      )
      yield* breaker.reset
      yield* Stream.runDrain(Stream.concat(
        guard(breaker)(elements),
        Stream.fromEffect(
          Effect.map(breaker.metrics, (metrics) => seen.push(`${metrics.successfulCalls} of ${metrics.totalCalls}`))
        )
      ))

      assert.deepStrictEqual(seen, ["Open", "1 of 1"])
    }))

  it.effect("is judged by its own end, not by that of the scope it is pulled in", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const pull = yield* Stream.toPull(guard(breaker)(Stream.concat(elements, Stream.fail("down"))))
      yield* pull
      assert.strictEqual((yield* breaker.metrics).callsInFlight, 1)
      assert.strictEqual(yield* Effect.flip(pull), "down")
      yield* state(breaker, "Open")
      assert.deepInclude(yield* breaker.metrics, { failedCalls: 1, callsInFlight: 0 })
    }))

  it.effect("a probe holds its slot until its stream delivers", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* halfOpen(breaker)
      const gate = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        Stream.runDrain(guard(breaker)(Stream.concat(Stream.fromEffectDrain(Deferred.await(gate)), elements))),
        { startImmediately: true }
      )
      yield* settle
      assert.strictEqual((yield* breaker.metrics).probesInFlight, 1)
      yield* state(breaker, "HalfOpen")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(fiber)
      yield* state(breaker, "Closed")
    }))

  it.effect("each run of a stream is a call", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const stream = guard(breaker)(elements)
      yield* Stream.runDrain(stream)
      yield* Stream.runDrain(stream)
      assert.strictEqual((yield* breaker.metrics).successfulCalls, 2)
    }))

  it.effect("retries start a new call each", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ consecutiveFailures: 10 })
      let runs = 0
      const stream = Stream.suspend(() => ++runs < 3 ? Stream.fail("down") : elements)
      yield* guard(breaker)(stream).pipe(Stream.retry(Schedule.recurs(5)), Stream.runDrain)
      assert.deepInclude(yield* breaker.metrics, { failedCalls: 2, successfulCalls: 1, callsInFlight: 0 })
    }))

  it.effect("is judged by the policy's classifier if it fails", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ classify: Outcome.ignoreIf((error) => error === "mine") })
      yield* Effect.exit(Stream.runDrain(guard(breaker)(Stream.fail("mine"))))
      assert.strictEqual(yield* outcomes(breaker), "ignored")
    }))

  it.effect("works by name and by class, data-first and data-last", () =>
    Effect.gen(function*() {
      class Feed extends CircuitBreaker.Service<Feed>()("feed") {}
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      yield* Stream.runDrain(CircuitBreaker.withCircuitBreakerStream(elements, "feed"))
      yield* Stream.runDrain(elements.pipe(CircuitBreaker.withCircuitBreakerStream("feed")))
      yield* Effect.gen(function*() {
        yield* Stream.runDrain(elements.pipe(CircuitBreaker.withCircuitBreakerStream(Feed)))
        yield* Stream.runDrain(CircuitBreaker.withCircuitBreakerStream(elements, Feed))
        assert.strictEqual((yield* (yield* Feed).metrics).successfulCalls, 4)
      }).pipe(Effect.provide(Feed.layerRegistered.pipe(Layer.provide(
        Layer.succeed(CircuitBreakerRegistry.CircuitBreakerRegistry, registry)
      ))))
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))
})

// -----------------------------------------------------------------------------
// metrics
// -----------------------------------------------------------------------------

describe("metrics", () => {
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
        lastFailureTime: undefined,
        lastFailure: undefined,
        timeUntilRetry: undefined,
        currentBackoff: undefined,
        consecutiveOpenings: 0,
        stateChanges: 0,
        probesInFlight: 0,
        probeSuccesses: 0
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

  it.effect("show the window without what has left it", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ failureRate: 0.9, window: { duration: "10 seconds" } })
      yield* fail(breaker, 3)
      assert.deepInclude(yield* breaker.metrics, { callsInWindow: 3, failureRate: 1 })
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* breaker.metrics, { callsInWindow: 0, failureRate: 0, successRate: 1, failedCalls: 3 })
    }))

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
        last_failure_time: "1970-01-01T00:00:03.000Z",
        last_failure: { error: "string", message: "down" },
        time_until_retry: 6,
        current_backoff: 10,
        consecutive_openings: 1,
        state_changes: 1
      })
    }))

  it.effect("toJson of a new circuit, and of one that stays forced open, is valid JSON", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const asNew = CircuitMetrics.toJson(yield* breaker.metrics)
      assert.deepInclude(asNew, {
        state: "closed",
        average_response_time_ms: null,
        last_failure_time: null,
        time_until_retry: null,
        current_backoff: null
      })
      yield* breaker.forceOpen()
      const forced = CircuitMetrics.toJson(yield* breaker.metrics)
      assert.deepInclude(JSON.parse(JSON.stringify(forced)), { state: "forced_open", time_until_retry: null })
    }))
})

// -----------------------------------------------------------------------------
// services
// -----------------------------------------------------------------------------

describe("Service", () => {
  class Payments extends CircuitBreaker.Service<Payments>()("payments", {
    policy: CircuitPolicy.make({ consecutiveFailures: 1 })
  }) {}

  it.effect("is a tag of a circuit of that name and policy", () =>
    Effect.gen(function*() {
      const breaker = yield* Payments
      assert.strictEqual(breaker.name, "payments")
      assert.strictEqual(Payments.key, "effect-resilience/CircuitBreaker/payments")
      yield* fail(breaker)
      yield* state(breaker, "Open")
    }).pipe(Effect.provide(Payments.layer)))

  it.effect("layer makes a new circuit each time it is built", () =>
    Effect.gen(function*() {
      const read = Effect.flatMap(Payments, (breaker) => Effect.andThen(fail(breaker), breaker.metrics))
      const once = yield* Effect.provide(read, Payments.layer)
      const again = yield* Effect.provide(read, Payments.layer)
      assert.deepStrictEqual([once.failedCalls, again.failedCalls], [1, 1])
    }))

  it.effect("layerRegistered gives the registry's circuit of that name, with the class's policy", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      yield* Effect.exit(Effect.fail("down").pipe(CircuitBreaker.withCircuitBreaker(Payments)))
      assert.deepStrictEqual(yield* registry.openCircuits, ["payments"])
      const error = yield* Effect.flip(Effect.void.pipe(CircuitBreaker.withCircuitBreaker("payments")))
      assert.strictEqual(error.circuit, "payments")
    }).pipe(Effect.provide(Layer.provideMerge(Payments.layerRegistered, CircuitBreakerRegistry.layer()))))

  it.effect("layerRegistered fails if that name lives under another policy", () =>
    Effect.gen(function*() {
      yield* Effect.void.pipe(CircuitBreaker.withCircuitBreaker("payments", { policy: CircuitPolicy.kafka }))
      const error = yield* Effect.flip(Effect.scoped(Layer.build(Payments.layerRegistered)))
      assert.strictEqual(error._tag, "CircuitConflictError")
      assert.include(error.fields, "consecutiveFailures")
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))

  it.effect("layerDisabled lets every call through and counts nothing", () =>
    Effect.gen(function*() {
      const breaker = yield* Payments
      yield* fail(breaker, 10)
      yield* state(breaker, "Disabled")
      assert.strictEqual((yield* breaker.metrics).totalCalls, 0)
    }).pipe(Effect.provide(Payments.layerDisabled)))

  it.effect("layerConfig makes a circuit of its own, whose policy the environment changes", () =>
    Effect.gen(function*() {
      const read = Effect.flatMap(Payments, (breaker) => Effect.andThen(fail(breaker), breaker.metrics))
      const { failedCalls, name, state } = yield* Effect.provide(read, Payments.layerConfig)
      assert.deepStrictEqual({ failedCalls, name, state }, { failedCalls: 1, name: "payments", state: "Closed" })
      assert.strictEqual((yield* Effect.provide(read, Payments.layerConfig)).failedCalls, 1)
    }).pipe(Effect.provideService(
      ConfigProvider.ConfigProvider,
      ConfigProvider.fromEnv({ env: { CB_PAYMENTS_FAILURE_THRESHOLD: "2" } })
    )))

  it.effect("may be a circuit that somebody else has written", () =>
    Effect.gen(function*() {
      const asked: Array<unknown> = []
      const other = {
        execute: (self, options) => {
          asked.push(options)
          return self
        }
      } as Pick<Breaker, "execute"> as Breaker
      const options = { classify: () => Outcome.ignored }
      assert.strictEqual(
        yield* Effect.succeed(1).pipe(
          CircuitBreaker.withCircuitBreaker(Payments, options),
          Effect.provideService(Payments, other)
        ),
        1
      )
      assert.deepStrictEqual(asked, [options])
    }))

  it.effect("layerForcedOpen rejects every call", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.succeed(1).pipe(CircuitBreaker.withCircuitBreaker(Payments)))
      assert.strictEqual(error.state, "ForcedOpen")
    }).pipe(Effect.provide(Payments.layerForcedOpen)))
})

// -----------------------------------------------------------------------------
// bad input
// -----------------------------------------------------------------------------

describe("forceOpen with a duration out of range", () => {
  const bad: ReadonlyArray<unknown> = [NaN, -1, "-1 second", "soon", -5n, { seconds: -1 }, "-Infinity", [1, NaN], {
    seconds: NaN
  }]
  for (const duration of bad) {
    it.effect(`${typeof duration === "bigint" ? `${duration}n` : JSON.stringify(duration)} throws a RangeError and does nothing`, () =>
      Effect.gen(function*() {
        const breaker = yield* make()
        assert.throws(
          () => breaker.forceOpen({ duration: duration as Duration.Input }),
          RangeError,
          "CircuitBreaker.forceOpen: duration"
        )
        yield* state(breaker, "Closed")
      }))
  }
})

describe("something that is no policy", () => {
  it("is refused, by who is given it", () => {
    const policy = "fastFail" as never
    assert.throws(() => CircuitBreaker.make({ name: "a", policy }), "CircuitBreaker.make: policy must be")
    assert.throws(() => CircuitBreaker.Service()("a", { policy }), "CircuitBreaker.Service: policy must be")
  })
})

describe("isCircuitBreaker", () => {
  it.effect("knows a circuit by its type id", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      assert.strictEqual(breaker[CircuitBreaker.TypeId], "~effect-resilience/CircuitBreaker")
      assert.isTrue(CircuitBreaker.isCircuitBreaker(breaker))
      assert.isFalse(CircuitBreaker.isCircuitBreaker({ name: "dependency" }))
    }))
})

describe("a circuit that is printed as JSON", () => {
  it.effect("shows its name and its state, and nothing of its inside", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      assert.deepStrictEqual(JSON.parse(JSON.stringify({ breaker })), {
        breaker: { _id: "CircuitBreaker", name: "dependency", state: "Closed" }
      })
    }))
})

describe("what a caller sees", () => {
  class Down extends Data.TaggedError("Down") {}

  it.effect("catchTag handles a rejection and leaves the call's own errors", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const guarded = breaker.execute(Effect.fail(new Down())).pipe(
        Effect.catchTag("CircuitOpenError", (error) => Effect.succeed(error.circuit))
      )
      assert.deepStrictEqual(yield* Effect.flip(guarded), new Down())
      assert.strictEqual(yield* guarded, "dependency")
    }))

  it.effect("an error whose stack tools may set, again and again, and take away", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* breaker.forceOpen()
      const error = yield* rejection(breaker)
      error.stack = "one"
      error.stack = "two"
      assert.strictEqual(error.stack, "two")
      Reflect.deleteProperty(error, "stack")
      assert.strictEqual(error.stack, `CircuitOpenError: ${error.message}`)
    }))

  it.effect("the value in a Ref of the caller is as the call left it", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const ref = yield* Ref.make(0)
      yield* breaker.execute(Ref.update(ref, (n) => n + 1))
      assert.strictEqual(yield* Ref.get(ref), 1)
      assert.deepStrictEqual(yield* breaker.execute(Effect.succeedNone), Option.none())
    }))
})

describe("a circuit that stands before another, with an execute of its own", () => {
  class Watched extends CircuitBreaker.Service<Watched>()("watched") {}

  it.effect("is the one that calls run through, by value and by class", () =>
    Effect.gen(function*() {
      const own = yield* make()
      let asked = 0
      const execute: Breaker["execute"] = (self, options) => {
        asked++
        return own.execute(self, options)
      }
      const watched: Breaker = Object.create(own, { execute: { value: execute } })
      yield* Effect.void.pipe(CircuitBreaker.withCircuitBreaker(watched))
      yield* Effect.void.pipe(
        CircuitBreaker.withCircuitBreaker(Watched),
        Effect.provideService(Watched, watched as Watched["Service"])
      )
      yield* CircuitBreaker.wrap(watched)(() => Effect.void)()
      assert.strictEqual(asked, 3)
      assert.strictEqual((yield* own.metrics).successfulCalls, 3)
    }))
})
