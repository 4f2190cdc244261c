import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitPolicy, Outcome } from "effect-resilience"
import { Cause, Duration, Effect, Exit, Random, Schedule } from "effect"
import { TestClock } from "effect/testing"
import {
  type Breaker,
  call,
  changes,
  fail,
  halfOpen,
  make,
  rejection,
  remaining,
  repeat,
  sitOut,
  state,
  succeed,
  touchy,
  watch
} from "../support/circuits.ts"
import { rule } from "../support/everyWay.ts"

describe("an open circuit", () => {
  // migration: OPEN | call(func) | CircuitBreakerError
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

  // migration: OPEN | timeout | timeout_duration
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

  // migration: CircuitBreakerError
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

  // migration: current_state
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
})

describe("the open time", () => {
  // migration: backoff progression 60 → 120 → 240 → 300 s
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

  // migration: recovery_timeout_seconds
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
})

describe("an open time by a Schedule", () => {
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
})

describe("a retryAfter", () => {
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
