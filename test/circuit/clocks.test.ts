import { assert, describe, it } from "@effect/vitest"
import { Clock, DateTime, Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { fail, hold, make, remaining, state, succeed, touchy, TwoClocks, watch } from "../support/circuits.ts"

describe("clocks", () => {
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
