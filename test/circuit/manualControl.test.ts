import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitBreakerRegistry, type CircuitEvent, CircuitPolicy } from "effect-resilience"
import { Duration, Effect, Exit } from "effect"
import { TestClock } from "effect/testing"
import {
  type Breaker,
  bring,
  changes,
  fail,
  halfOpen,
  hold,
  make,
  rejection,
  remaining,
  slowly,
  state,
  STATES,
  succeed,
  touchy,
  watch
} from "../support/circuits.ts"
import { rule } from "../support/everyWay.ts"

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

describe("manual control", () => {
  for (const [name, command] of Object.entries(commands)) {
    for (const from of STATES) {
      const legal = command.to !== from
      // migration: force_open()
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

  // migration: force_open()
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

  // migration: force_open()
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
      yield* CircuitBreaker.withNote(breaker.forceOpen({ duration: "1 hour" }), "takes longer")
      assert.strictEqual(yield* remaining(breaker), 3_600_000)
      yield* breaker.forceOpen()
      assert.strictEqual(yield* remaining(breaker), Infinity)
      // The same end once more is nothing new.
      yield* CircuitBreaker.withNote(breaker.forceOpen(), "again")
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

  // migration: manual resets without knowing why
  it.effect("the note of forceOpen is in its event", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const events = yield* watch(breaker.events)
      yield* CircuitBreaker.withNote(breaker.forceOpen({ duration: "1 hour" }), "maintenance until noon")

      const [event] = yield* events
      assert.isTrue(event?._tag === "StateChanged")
      if (event?._tag !== "StateChanged") return
      assert.strictEqual(event.note, "maintenance until noon")
      assert.strictEqual(Duration.toMillis(event.retryAfter), 3_600_000)
    }))

  // migration: force_close()
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

  // migration: reset()
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

  it.effect("withNote gives every command inside its note, the inner one before the outer, also through a registry", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.make()
      const breaker = yield* registry.getOrCreate("a")
      const events = yield* watch(breaker.events)
      yield* Effect.all([
        breaker.forceOpen(),
        breaker.disable,
        CircuitBreaker.withNote(breaker.metricsOnly, "inner"),
        breaker.forceClose,
        breaker.disable,
        registry.reset("a"),
        breaker.disable,
        registry.resetAll
      ]).pipe(CircuitBreaker.withNote("outer"))
      yield* breaker.disable
      const notes = (yield* events).map((event) => event._tag === "StateChanged" ? event.note : event._tag)
      assert.deepStrictEqual(notes, [
        "outer",
        "outer",
        "inner",
        "outer",
        "outer",
        "outer",
        "outer",
        "outer",
        undefined
      ])
    }))
})
