import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Context, Duration, Effect, Exit, Fiber, Layer, Logger, Random, Schedule, Schema } from "effect"
import { TestClock } from "effect/testing"
import { CircuitBreaker, CircuitPolicy, Hedge, RateLimit, ResilienceError, Retry, RetryBudget } from "effect-resilience"
import { expectTypeOf } from "vitest"
import { circuitOpenError, rateLimitExceededError } from "../src/internal/error/rejection.ts"
import * as RetryDelay from "../src/internal/retry/delay.ts"
import { BulkheadFullError, CircuitOpenError, RetryExhaustedError } from "../src/ResilienceError.ts"
import { interruptEverywhere } from "./support/interruptEverywhere.ts"

class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", { call: Schema.Int }) {}
class Busy extends Schema.TaggedError<Busy>()("Busy", { retryAfter: Schema.DurationFromMillis }) {}
class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}
class Dependency extends Context.Service<Dependency, string>()("test/Dependency") {}
class Log extends Context.Service<Log, Array<string>>()("test/Log") {}

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** A dependency whose n-th call does what `answer` says, with the times it was called at. */
const dependency = <A, E, R = never>(answer: (call: number) => Effect.Effect<A, E, R>) => {
  const times: Array<number> = []
  const call = Effect.flatMap(Clock.currentTimeMillis, (now) => answer(times.push(now)))
  return { call, times }
}

const down = () => dependency((call) => Effect.fail(new Unavailable({ call })))

/** Runs an effect to its end, however long it sleeps. */
const finish = Effect.fnUntraced(function*<A, E, R>(effect: Effect.Effect<A, E, R>) {
  const fiber = yield* fork(effect)
  for (let i = 0; i < 10_000 && fiber.pollUnsafe() === undefined; i++) yield* TestClock.adjust("1 day")
  return yield* Fiber.await(fiber)
})

const exhausted = <A, E>(exit: Exit.Exit<A, E>): RetryExhaustedError => {
  const error = Exit.isFailure(exit) ? Cause.findErrorOption(exit.cause) : undefined
  if (error?._tag === "Some" && error.value instanceof RetryExhaustedError) return error.value
  return assert.fail(String(exit))
}

const withRandom = (value: number) =>
  Effect.provideService(Random.Random, { nextDoubleUnsafe: () => value, nextIntUnsafe: () => 0 })

const steady = { baseDelay: "1 second", factor: 1, jitter: "none" } satisfies Retry.PlainOptions

describe("delays", () => {
  const time = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))
  const Backoff = Schema.Struct({
    baseDelay: time,
    maxDelay: time,
    factor: Schema.Finite.check(Schema.isBetween({ minimum: 1, maximum: 1e6 })),
    jitter: Schema.Literals(["none", "proportional", "full", "equal", "decorrelated"])
  })
  const random = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 - Number.EPSILON }))
  const retry = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))

  it.prop(
    "are never negative, never not a number, and never longer than maxDelay",
    [Backoff, retry, time, random],
    ([backoff, retry, previous, random]) => {
      const delay = RetryDelay.retryDelay(backoff, retry, Math.min(previous, backoff.maxDelay), random)
      assert.isAtLeast(delay, 0)
      assert.isAtMost(delay, backoff.maxDelay)
    },
    { arbitrary: { runs: 2000 } }
  )

  it.prop(
    "stay within the bounds of their jitter",
    [Backoff, Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2000 })), random],
    ([backoff, retry, random]) => {
      const of = (jitter: Retry.Jitter, previous = 0) =>
        RetryDelay.retryDelay({ ...backoff, jitter }, retry, previous, random)
      const exponential = of("none")
      assert.isAtLeast(of("proportional"), exponential * 0.5)
      assert.isAtMost(of("proportional"), exponential * 1.5)
      assert.isAtMost(of("full"), exponential)
      assert.isAtLeast(of("equal"), exponential / 2)
      assert.isAtMost(of("equal"), exponential)
      const previous = Math.min(backoff.baseDelay * (1 + random), backoff.maxDelay)
      assert.isAtLeast(of("decorrelated", previous), Math.min(backoff.baseDelay, backoff.maxDelay))
    }
  )

  it.prop("never shrink without jitter", [Backoff, retry], ([backoff, retry]) => {
    const of = (n: number) => RetryDelay.retryDelay({ ...backoff, jitter: "none" }, n, 0, 0)
    assert.isAtLeast(of(retry + 1), of(retry))
  })

  // migration: jitter
  it("follow the formula of each jitter", () => {
    const backoff = { baseDelay: 1000, maxDelay: 60_000, factor: 2 }
    const delays = (jitter: Retry.Jitter, random: number) => {
      let previous = 0
      return [0, 1, 2, 3, 9].map((retry) =>
        previous = RetryDelay.retryDelay({ ...backoff, jitter }, retry, previous, random)
      )
    }

    assert.deepStrictEqual(delays("none", 0.9), [1000, 2000, 4000, 8000, 60_000])
    assert.deepStrictEqual(delays("proportional", 0), [500, 1000, 2000, 4000, 30_000])
    assert.deepStrictEqual(delays("proportional", 0.75), [1250, 2500, 5000, 10_000, 60_000])
    assert.deepStrictEqual(delays("full", 0), [0, 0, 0, 0, 0])
    assert.deepStrictEqual(delays("full", 0.25), [250, 500, 1000, 2000, 15_000])
    assert.deepStrictEqual(delays("equal", 0), [500, 1000, 2000, 4000, 30_000])
    assert.deepStrictEqual(delays("equal", 0.5), [750, 1500, 3000, 6000, 45_000])
    assert.deepStrictEqual(delays("decorrelated", 0), [1000, 1000, 1000, 1000, 1000])
    assert.deepStrictEqual(delays("decorrelated", 0.5), [2000, 3500, 5750, 9125, 14_187.5])
  })

  it("are zero for ever with a base of zero", () => {
    for (const jitter of ["none", "proportional", "full", "equal", "decorrelated"] as const) {
      assert.strictEqual(
        RetryDelay.retryDelay({ baseDelay: 0, maxDelay: 1000, factor: 2, jitter }, 1e9, 0, 0.5),
        0
      )
    }
  })
})

describe("withRetry", () => {
  it.effect("calls once what succeeds", () =>
    Effect.gen(function*() {
      const { call, times } = dependency(() => Effect.succeed("served"))

      assert.strictEqual(yield* Retry.withRetry(call), "served")
      assert.deepStrictEqual(times, [0])
    }))

  it.effect("takes no random number without jitter", () =>
    Effect.gen(function*() {
      let taken = 0
      const random = {
        nextDoubleUnsafe: () => (taken++, 0),
        nextIntUnsafe: () => 0
      }
      yield* finish(Effect.provideService(Retry.withRetry(down().call, steady), Random.Random, random))
      assert.strictEqual(taken, 0)

      yield* finish(Effect.provideService(Retry.withRetry(down().call, { jitter: "full" }), Random.Random, random))
      assert.strictEqual(taken, 2)
    }))

  // migration: retry.execute(func) | delay = min(base_delay * exponential_base ^ attempt, max_delay)
  it.effect("calls again what fails, after the delays of its policy", () =>
    Effect.gen(function*() {
      const { call, times } = dependency((call) =>
        call < 5 ? Effect.fail(new Unavailable({ call })) : Effect.succeed("served")
      )
      const fiber = yield* fork(call.pipe(Retry.withRetry({ maxAttempts: 5, jitter: "none" })))

      yield* TestClock.adjust("15 seconds")

      assert.strictEqual(yield* Fiber.join(fiber), "served")
      assert.deepStrictEqual(times, [0, 1000, 3000, 7000, 15_000])
    }))

  it.effect("waits the whole delay, and not longer", () =>
    Effect.gen(function*() {
      const { call, times } = down()
      const fiber = yield* fork(Effect.exit(Retry.withRetry(call, steady)))

      yield* TestClock.adjust("999 millis")
      assert.lengthOf(times, 1)
      yield* TestClock.adjust("1 millis")
      assert.lengthOf(times, 2)

      yield* Fiber.interrupt(fiber)
    }))

  // migration: jitter
  it.effect("makes three attempts by default, with jittered delays of 1 and 2 seconds", () =>
    Effect.gen(function*() {
      const { call, times } = down()
      const error = exhausted(yield* finish(call.pipe(Retry.withRetry(), withRandom(0.25))))

      assert.deepStrictEqual(times, [0, 750, 2250])
      assert.strictEqual(error.attempts, 3)
    }))

  // migration: RetryExhaustedError
  it.effect("gives up with the attempts, the last error, the time and the reason", () =>
    Effect.gen(function*() {
      const { call } = down()
      const error = exhausted(yield* finish(Retry.withRetry(call, { ...steady, maxAttempts: 4 })))

      assert.strictEqual(error.attempts, 4)
      assert.deepStrictEqual(error.lastError, new Unavailable({ call: 4 }))
      assert.isTrue(Duration.equals(error.elapsed, Duration.seconds(3)))
      assert.strictEqual(error.reason, "maxAttempts")
    }))

  it.effect("counts the time of the attempts in elapsed", () =>
    Effect.gen(function*() {
      const { call } = dependency((call) => Effect.andThen(Effect.sleep("10 seconds"), Effect.fail(call)))
      const fiber = yield* fork(Effect.exit(Retry.withRetry(call, { ...steady, maxAttempts: 2 })))
      yield* TestClock.adjust("21 seconds")

      assert.isTrue(Duration.equals(exhausted(yield* Fiber.join(fiber)).elapsed, Duration.seconds(21)))
    }))

  it.effect("gives up after the first call with one attempt", () =>
    Effect.gen(function*() {
      const { call, times } = down()
      const error = exhausted(yield* Effect.exit(Retry.withRetry(call, { maxAttempts: 1 })))

      assert.lengthOf(times, 1)
      assert.strictEqual(error.attempts, 1)
      assert.isTrue(Duration.isZero(error.elapsed))
    }))

  // migration: delay = min(base_delay * exponential_base ^ attempt, max_delay)
  it.effect("never waits longer than maxDelay", () =>
    Effect.gen(function*() {
      const { call, times } = down()
      yield* finish(call.pipe(
        Retry.withRetry({ maxAttempts: 8, baseDelay: "1 second", maxDelay: "5 seconds", factor: 3 }),
        withRandom(0.999)
      ))

      const waits = times.slice(1).map((time, i) => time - times[i]!)
      assert.deepStrictEqual(waits, [1499, 4497, 5000, 5000, 5000, 5000, 5000])
    }))

  it.effect("spreads by the random number generator of the caller", () =>
    Effect.gen(function*() {
      const run = Effect.fnUntraced(function*(seed: string) {
        const { call, times } = down()
        yield* finish(Random.withSeed(Retry.withRetry(call, { jitter: "decorrelated", maxAttempts: 5 }), seed))
        return times.map((time) => Math.round(time - times[0]!))
      })

      assert.deepStrictEqual(yield* run("a"), yield* run("a"))
      assert.notDeepEqual(yield* run("a"), yield* run("b"))
    }))

  describe("passes through as itself", () => {
    it.effect("an error that while refuses, at any attempt", () =>
      Effect.gen(function*() {
        const { call, times } = dependency((call) => Effect.fail(call < 2 ? new Unavailable({ call }) : new NotFound()))
        const exit = yield* finish(Retry.withRetry(call, { while: (error) => error._tag === "Unavailable" }))

        assert.deepStrictEqual(exit, Exit.fail(new NotFound()))
        assert.lengthOf(times, 2)
      }))

    it.effect("an error that while refuses, with one attempt", () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(
          Retry.withRetry(Effect.fail(new NotFound()), { maxAttempts: 1, while: () => false })
        )
        assert.deepStrictEqual(exit, Exit.fail(new NotFound()))
      }))

    it.effect("a defect, at any attempt", () =>
      Effect.gen(function*() {
        const first = dependency(() => Effect.die("bug"))
        assert.deepStrictEqual(yield* Effect.exit(Retry.withRetry(first.call)), Exit.die("bug"))
        assert.lengthOf(first.times, 1)

        const second = dependency((call) => call === 1 ? Effect.fail("down") : Effect.die("bug"))
        assert.deepStrictEqual(yield* finish(Retry.withRetry(second.call)), Exit.die("bug"))
        assert.lengthOf(second.times, 2)
      }))

    it.effect("a failure together with a defect", () =>
      Effect.gen(function*() {
        const cause = Cause.combine(Cause.fail("down"), Cause.die("bug"))
        const { call, times } = dependency(() => Effect.failCause(cause))
        const exit = yield* Effect.exit(Retry.withRetry(call))

        assert.lengthOf(times, 1)
        assert.isTrue(Exit.hasDies(exit))
      }))

    it.effect("an interruption that comes from inside the call", () =>
      Effect.gen(function*() {
        const { call, times } = dependency((call) => call === 1 ? Effect.fail("down") : Effect.interrupt)
        const exit = yield* finish(Retry.withRetry(call))

        assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
        assert.lengthOf(times, 2)
      }))

    it.effect("a rejection by an open circuit, if no attempt was made", () =>
      Effect.gen(function*() {
        const open = circuitOpenError("users", "Open", 1000)
        const { call, times } = dependency(() => Effect.fail(open))
        const error = yield* Effect.flip(Effect.flatten(finish(Retry.withRetry(call, { maxAttempts: 5 }))))

        assert.strictEqual(error, open)
        assert.lengthOf(times, 1)
      }))
  })

  describe("does not say that no attempt was made after one was", () => {
    for (
      const [name, rejection] of [
        ["an open circuit", circuitOpenError("users", "Open", 1000)],
        ["a circuit that is forced open", circuitOpenError("users", "ForcedOpen", Infinity)],
        ["a rate limit that asks for too long a wait", rateLimitExceededError("api", 1, Duration.hours(1))],
        ["a circuit of Effect", { _tag: "CircuitBreakerError" as const }]
      ] as const
    ) {
      it.effect(`but names the rejection by ${name} as what ended the retries`, () =>
        Effect.gen(function*() {
          const { call, times } = dependency((call) => Effect.fail(call < 3 ? new Unavailable({ call }) : rejection))
          const error = exhausted(yield* finish(Retry.withRetry(call, { ...steady, maxAttempts: 5 })))

          assert.lengthOf(times, 3)
          assert.isFalse(ResilienceError.isNotMade(error))
          assert.strictEqual(error.reason, "rejected")
          assert.strictEqual(error.attempts, 2)
          assert.deepStrictEqual(error.lastError, new Unavailable({ call: 2 }))
          assert.strictEqual(error.rejection, rejection)
          assert.strictEqual(error.cause, error.lastError)
        }))
    }

    it.effect("when the last attempt that was allowed was rejected", () =>
      Effect.gen(function*() {
        const full = new BulkheadFullError({ bulkhead: "api", limit: 1 })
        const { call } = dependency((call) => Effect.fail(call === 1 ? new Unavailable({ call }) : full))
        const error = exhausted(yield* finish(Retry.withRetry(call, { ...steady, maxAttempts: 3 })))

        assert.strictEqual(error.reason, "maxAttempts")
        assert.strictEqual(error.attempts, 1)
        assert.deepStrictEqual(error.lastError, new Unavailable({ call: 1 }))
        assert.strictEqual(error.rejection, full)
      }))

    it.effect("and counts the attempts that were made, not those that were rejected", () =>
      Effect.gen(function*() {
        const full = new BulkheadFullError({ bulkhead: "api", limit: 1 })
        const { call } = dependency((call) => Effect.fail(call === 2 ? full : new Unavailable({ call })))
        const error = exhausted(yield* finish(Retry.withRetry(call, { ...steady, maxAttempts: 3 })))

        assert.strictEqual(error.attempts, 2)
        assert.deepStrictEqual(error.lastError, new Unavailable({ call: 3 }))
        assert.isFalse("rejection" in error)
      }))

    it.effect("also to a retry around, which does not wait for the circuit either", () =>
      Effect.gen(function*() {
        const open = circuitOpenError("users", "Open", 1000)
        const { call, times } = dependency((call) => Effect.fail(call === 1 ? new Unavailable({ call }) : open))
        const inner = Retry.withRetry(call, { ...steady, maxAttempts: 5 })
        const error = exhausted(yield* finish(Retry.withRetry(inner, { ...steady, maxAttempts: 5 })))

        assert.lengthOf(times, 2)
        assert.strictEqual(error.reason, "rejected")
      }))
  })

  describe("retryAfter", () => {
    const busy = (retryAfter: Duration.Input) =>
      dependency(() => Effect.fail(new Busy({ retryAfter: Duration.fromInputUnsafe(retryAfter) })))

    it.effect("is the shortest wait", () =>
      Effect.gen(function*() {
        const { call, times } = busy("10 seconds")
        yield* finish(Retry.withRetry(call, { ...steady }))

        assert.deepStrictEqual(times, [0, 10_000, 20_000])
      }))

    it.effect("does not shorten a delay", () =>
      Effect.gen(function*() {
        const { call, times } = busy("10 millis")
        yield* finish(Retry.withRetry(call, { ...steady }))

        assert.deepStrictEqual(times, [0, 1000, 2000])
      }))

    it.effect("is rounded up to what timers can wait", () =>
      Effect.gen(function*() {
        const { call, times } = busy(Duration.millis(1500.25))
        yield* finish(Retry.withRetry(call, { ...steady, maxAttempts: 2 }))

        assert.deepStrictEqual(times, [0, 1501])
      }))

    it.effect("is waited out in full by a timer that fires early", () =>
      Effect.gen(function*() {
        const test = yield* Effect.clockWith(Effect.succeed)
        const hasty: Clock.Clock = Object.assign(Object.create(test), {
          sleep: (duration: Duration.Duration) => test.sleep(Duration.subtract(duration, Duration.micros(900n)))
        })
        const { call, times } = busy("10 seconds")
        yield* finish(
          Effect.provideService(Retry.withRetry(call, { ...steady, maxAttempts: 2 }), Clock.Clock, hasty)
        )

        assert.isAtLeast(times[1]!, 10_000)
        assert.isBelow(times[1]!, 10_002)

        // A delay of the policy's own may end early.
        const plain = down()
        yield* finish(
          Effect.provideService(Retry.withRetry(plain.call, { ...steady, maxAttempts: 2 }), Clock.Clock, hasty)
        )
        assert.isBelow(plain.times[1]! - plain.times[0]!, 1000)
      }))

    it.effect("of exactly maxRetryAfter is waited, of more makes the error pass through", () =>
      Effect.gen(function*() {
        const patient = busy("5 seconds")
        assert.strictEqual(
          exhausted(yield* finish(Retry.withRetry(patient.call, { ...steady, maxRetryAfter: "5 seconds" }))).attempts,
          3
        )

        const impatient = busy("5001 millis")
        const exit = yield* finish(Retry.withRetry(impatient.call, { ...steady, maxRetryAfter: "5 seconds" }))
        assert.deepStrictEqual(exit, Exit.fail(new Busy({ retryAfter: Duration.millis(5001) })))
        assert.lengthOf(impatient.times, 1)
      }))

    it.effect("is limited by maxDelay unless maxRetryAfter says otherwise", () =>
      Effect.gen(function*() {
        const options = { ...steady, maxDelay: "2 seconds" } satisfies Retry.PlainOptions

        const short = busy("3 seconds")
        yield* finish(Retry.withRetry(short.call, options))
        assert.lengthOf(short.times, 1)

        const long = busy("3 seconds")
        yield* finish(Retry.withRetry(long.call, { ...options, maxRetryAfter: "3 seconds" }))
        assert.deepStrictEqual(long.times, [0, 3000, 6000])
      }))

    it.effect("without an end is never waited for", () =>
      Effect.gen(function*() {
        const { call, times } = busy("Infinity")
        yield* finish(Effect.exit(Retry.withRetry(call, { maxRetryAfter: "Infinity" })))

        assert.lengthOf(times, 1)
      }))

    it.effect("of a rate limit is honoured, and a full bulkhead is tried again", () =>
      Effect.gen(function*() {
        const limited = dependency(() => Effect.fail(rateLimitExceededError("api", 1, Duration.seconds(4))))
        yield* finish(Retry.withRetry(limited.call, { ...steady, maxAttempts: 2 }))
        assert.deepStrictEqual(limited.times, [0, 4000])

        const full = dependency(() => Effect.fail(new BulkheadFullError({ bulkhead: "api", limit: 1 })))
        const error = yield* Effect.flip(
          Effect.flatten(finish(Retry.withRetry(full.call, { ...steady, maxAttempts: 2 })))
        )
        assert.lengthOf(full.times, 2)
        assert.instanceOf(error, BulkheadFullError)
      }))
  })

  describe("waitForCircuit", () => {
    const rejecting = (state: CircuitOpenError["state"], retryAfter: number) =>
      dependency((call) =>
        call === 1 ? Effect.fail(circuitOpenError("users", state, retryAfter)) : Effect.succeed(call)
      )

    it.effect("waits until the circuit lets a call through, longer than maxRetryAfter", () =>
      Effect.gen(function*() {
        const { call, times } = rejecting("Open", 300_000)
        yield* finish(Retry.withRetry(call, { waitForCircuit: true, maxDelay: "5 seconds" }))

        assert.strictEqual(times[1]! - times[0]!, 300_000)
      }))

    it.effect("waits the usual delay for probes", () =>
      Effect.gen(function*() {
        const { call, times } = rejecting("HalfOpen", 0)
        yield* finish(Retry.withRetry(call, { ...steady, waitForCircuit: true }))

        assert.deepStrictEqual(times, [0, 1000])
      }))

    it.effect("passes on a rejection by a circuit that is forced open without an end", () =>
      Effect.gen(function*() {
        const { call, times } = rejecting("ForcedOpen", Infinity)
        const error = yield* Effect.flip(Retry.withRetry(call, { waitForCircuit: true }))

        assert.strictEqual(error._tag, "CircuitOpenError")
        assert.lengthOf(times, 1)
      }))

    it.effect("does not ask while", () =>
      Effect.gen(function*() {
        const { call, times } = rejecting("Open", 1000)
        yield* finish(Retry.withRetry(call, { waitForCircuit: true, while: () => false }))
        assert.lengthOf(times, 2)

        const eager = rejecting("Open", 1000)
        yield* finish(Retry.withRetry(eager.call, { while: () => true }))
        assert.lengthOf(eager.times, 1)
      }))

    it.effect("gives up with the rejection, since no attempt was made", () =>
      Effect.gen(function*() {
        const open = circuitOpenError("users", "Open", 1000)
        const { call, times } = dependency(() => Effect.fail(open))
        const exit = yield* finish(Retry.withRetry(call, { ...steady, maxAttempts: 2, waitForCircuit: true }))

        assert.lengthOf(times, 2)
        assert.deepStrictEqual(exit, Exit.fail(open))
      }))

    it.effect("gives up when maxElapsed ends before the circuit lets a call through", () =>
      Effect.gen(function*() {
        const open = circuitOpenError("users", "Open", 10_000)
        const exit = yield* Effect.exit(
          Retry.withRetry(Effect.fail(open), { maxElapsed: "9 seconds", waitForCircuit: true })
        )

        assert.deepStrictEqual(exit, Exit.fail(open))
      }))
  })

  describe("maxElapsed", () => {
    it.effect("and elapsed count from the call, not from the start of the clock", () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("1 minute")
        const { call, times } = down()
        const error = exhausted(
          yield* finish(Retry.withRetry(call, { ...steady, maxAttempts: 10, maxElapsed: "3 seconds" }))
        )

        assert.deepStrictEqual(times, [60_000, 61_000, 62_000, 63_000])
        assert.isTrue(Duration.equals(error.elapsed, Duration.seconds(3)))
      }))

    it.effect("allows a retry that starts exactly then, and none that starts later", () =>
      Effect.gen(function*() {
        const { call, times } = down()
        const error = exhausted(
          yield* finish(Retry.withRetry(call, { ...steady, maxAttempts: 10, maxElapsed: "3 seconds" }))
        )

        assert.deepStrictEqual(times, [0, 1000, 2000, 3000])
        assert.strictEqual(error.attempts, 4)
        assert.strictEqual(error.reason, "maxElapsed")
      }))

    it.effect("gives up at once instead of waiting for a retry that would start later", () =>
      Effect.gen(function*() {
        const error = exhausted(
          yield* Effect.exit(Retry.withRetry(down().call, { ...steady, maxElapsed: "999 millis" }))
        )

        assert.isTrue(Duration.isZero(error.elapsed))
      }))

    it.effect("counts from the start of the first attempt", () =>
      Effect.gen(function*() {
        const { call, times } = dependency(() => Effect.andThen(Effect.sleep("2500 millis"), Effect.fail("down")))
        const fiber = yield* fork(
          Effect.exit(Retry.withRetry(call, { ...steady, maxAttempts: 10, maxElapsed: "4 seconds" }))
        )
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(fiber)

        assert.deepStrictEqual(times, [0, 3500])
      }))
  })

  describe("budget", () => {
    it.effect("is credited with each call, and charged with each retry", () =>
      Effect.gen(function*() {
        const budget = yield* RetryBudget.make()
        yield* Effect.exit(Retry.withRetry(down().call, { budget, baseDelay: 0 }))
        yield* Retry.withRetry(Effect.void, { budget })

        assert.deepStrictEqual(
          Object.fromEntries(Object.entries(yield* budget.metrics).filter(([key]) => key !== "balance")),
          { calls: 2, retries: 2, exhausted: 0 }
        )
      }))

    it.effect("gives up at once when it is used up", () =>
      Effect.gen(function*() {
        const budget = yield* RetryBudget.make({ ratio: 0, minPerSecond: 0 })
        const { call, times } = down()
        const error = exhausted(yield* Effect.exit(Retry.withRetry(call, { budget })))

        assert.strictEqual(error.reason, "budget")
        assert.strictEqual(error.attempts, 1)
        assert.lengthOf(times, 1)
        assert.strictEqual((yield* budget.metrics).exhausted, 1)
      }))

    it.effect("is not charged for retries that are not made", () =>
      Effect.gen(function*() {
        const budget = yield* RetryBudget.make()
        const retry = Retry.withRetry({ budget, maxAttempts: 1 })
        yield* Effect.exit(retry(down().call))
        yield* Effect.exit(Retry.withRetry(down().call, { budget, maxElapsed: 0 }))
        yield* Effect.exit(Retry.withRetry(down().call, { budget, while: () => false }))
        yield* Effect.exit(Retry.withRetry(Effect.die("bug"), { budget }))

        assert.strictEqual((yield* budget.metrics).retries, 0)
      }))

    it.effect("bounds the retries of all that share it under overload", () =>
      Effect.gen(function*() {
        const { call, times } = down()
        const policy = Retry.make({
          maxAttempts: 5,
          baseDelay: 0,
          budget: yield* RetryBudget.make({ ratio: 0.2, minPerSecond: 1 })
        })
        yield* Effect.forEach(Array.from({ length: 1000 }), () => Effect.exit(Retry.withRetry(call, policy)), {
          concurrency: "unbounded",
          discard: true
        })

        assert.strictEqual(times.length, 1000 + 200 + 10)
      }))

    it.effect("earns nothing from calls that were not made", () =>
      Effect.gen(function*() {
        const budget = yield* RetryBudget.make({ ratio: 0.5, minPerSecond: 0 })
        const open = circuitOpenError("users", "Open", 1000)
        const rejected = Retry.withRetry(Effect.fail(open), { budget })
        for (let i = 0; i < 100; i++) yield* Effect.exit(rejected)
        assert.strictEqual(yield* budget.balance, 0)

        yield* Effect.exit(Retry.withRetry(down().call, { budget, maxAttempts: 1 }))
        yield* Retry.withRetry(Effect.void, { budget })
        assert.strictEqual(yield* budget.balance, 1)

        // A hedge is paid for by calls as well.
        yield* Effect.exit(Hedge.withHedge(Effect.fail(open), { delay: "1 second", budget }))
        assert.strictEqual(yield* budget.balance, 1)
      }))

    it.effect("takes back what a call that was not made earned a while ago", () =>
      Effect.gen(function*() {
        const budget = yield* RetryBudget.make({ ratio: 1, minPerSecond: 0, window: "10 seconds" })
        const late = Effect.delay(Effect.fail(circuitOpenError("users", "Open", 1000)), "5 seconds")
        const fiber = yield* fork(Effect.exit(Retry.withRetry(late, { budget })))
        assert.strictEqual(yield* budget.balance, 1)
        yield* TestClock.adjust("3 seconds")
        yield* budget.deposit
        assert.strictEqual(yield* budget.balance, 2)
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(fiber)
        assert.strictEqual(yield* budget.balance, 1)

        // What no longer counts is not taken back.
        const later = Effect.delay(Effect.fail(circuitOpenError("users", "Open", 1000)), "1 minute")
        const other = yield* fork(Effect.exit(Retry.withRetry(later, { budget })))
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(other)
        assert.strictEqual(yield* budget.balance, 0)
      }))

    it.effect("comes from the services of the caller by its class", () =>
      Effect.gen(function*() {
        class Budget extends RetryBudget.Service<Budget>()("users", { ratio: 0, minPerSecond: 0 }) {}
        const policy = Retry.make({ budget: Budget })
        const call = Retry.withRetry(down().call, policy)
        expectTypeOf(call).toEqualTypeOf<
          Effect.Effect<never, Unavailable | Retry.RetryExhausted<Unavailable>, Budget>
        >()

        assert.strictEqual(exhausted(yield* Effect.exit(call).pipe(Effect.provide(Budget.layer))).reason, "budget")
      }))

    it.effect("comes from the services of the caller by the shared tag", () =>
      Effect.gen(function*() {
        const error = exhausted(
          yield* Effect.exit(Retry.withRetry(down().call, { budget: RetryBudget.RetryBudget }))
        )
        assert.strictEqual(error.reason, "budget")
      }).pipe(Effect.provide(RetryBudget.layer({ ratio: 0, minPerSecond: 0 }))))
  })

  describe("onRetry", () => {
    it.effect("hears of each retry before its wait", () =>
      Effect.gen(function*() {
        const heard: Array<unknown> = []
        const { call } = down()
        const exit = yield* finish(Retry.withRetry(call, {
          jitter: "none",
          onRetry: ({ attempt, delay, error }) =>
            Effect.map(Clock.currentTimeMillis, (now) => {
              heard.push([now, attempt, Duration.toMillis(delay), error.call])
            })
        }))

        assert.strictEqual(exhausted(exit).attempts, 3)
        assert.deepStrictEqual(heard, [[0, 1, 1000, 1], [1000, 2, 2000, 2]])
      }))

    it.effect("has heard of a retry when the wait begins", () =>
      Effect.gen(function*() {
        let heard = 0
        yield* fork(Retry.withRetry(down().call, { onRetry: () => Effect.sync(() => heard++) }))

        assert.strictEqual(heard, 1)
      }))

    it.effect("cannot fail the call, and is logged if it fails", () =>
      Effect.gen(function*() {
        const logged: Array<unknown> = []
        const logger = Logger.make(({ message }) => {
          logged.push(Array.isArray(message) ? message[0] : message)
        })
        yield* finish(Retry.withRetry(down().call, steady)).pipe(Effect.provide(Logger.layer([logger])))
        assert.deepStrictEqual(logged, [])
        for (
          const onRetry of [
            () => Effect.fail("failed"),
            () => Effect.die("died"),
            () => {
              throw new Error("threw")
            }
          ]
        ) {
          const { call } = down()
          const exit = yield* finish(Retry.withRetry(call, { ...steady, maxAttempts: 2, onRetry })).pipe(
            Effect.provide(Logger.layer([logger]))
          )
          assert.strictEqual(exhausted(exit).attempts, 2)
        }
        assert.deepStrictEqual(logged, Array.from({ length: 3 }, () => "The onRetry callback of a retry failed"))
      }))

    it.effect("cannot delay the call", () =>
      Effect.gen(function*() {
        const { call, times } = down()
        yield* finish(Retry.withRetry(call, { ...steady, onRetry: () => Effect.never }))

        assert.deepStrictEqual(times, [0, 1000, 2000])
      }))

    it.effect("is not called when no retry is made", () =>
      Effect.gen(function*() {
        let calls = 0
        const onRetry = () => Effect.sync(() => calls++)
        yield* Effect.exit(Retry.withRetry(down().call, { maxAttempts: 1, onRetry }))
        yield* Effect.exit(Retry.withRetry(down().call, { while: () => false, onRetry }))
        yield* Effect.exit(Retry.withRetry(down().call, { maxElapsed: 0, onRetry }))

        assert.strictEqual(calls, 0)
      }))

    it.effect("has the services of the caller", () =>
      Effect.gen(function*() {
        const { call } = down()
        const log: Array<string> = []
        const retried = call.pipe(
          Retry.withRetry({
            ...steady,
            onRetry: ({ error }) => Effect.map(Log, (log) => log.push(`retry ${error.call}`))
          })
        )
        expectTypeOf(retried).toEqualTypeOf<
          Effect.Effect<never, Unavailable | Retry.RetryExhausted<Unavailable>, Log>
        >()
        yield* finish(Effect.provideService(retried, Log, log))

        assert.deepStrictEqual(log, ["retry 1", "retry 2"])
      }))
  })

  describe("schedule", () => {
    it.effect("gives the waits, and the attempts by its end", () =>
      Effect.gen(function*() {
        const { call, times } = down()
        const error = exhausted(
          yield* finish(Retry.withRetry(call, {
            schedule: Schedule.exponential("100 millis").pipe(Schedule.upTo({ times: 4 }))
          }))
        )

        assert.deepStrictEqual(times, [0, 100, 300, 700, 1500])
        assert.strictEqual(error.attempts, 5)
        assert.strictEqual(error.reason, "maxAttempts")
      }))

    it.effect("is bounded by maxAttempts and maxElapsed", () =>
      Effect.gen(function*() {
        const schedule = Schedule.spaced("1 second")
        assert.strictEqual(
          exhausted(yield* finish(Retry.withRetry(down().call, { schedule, maxAttempts: 7 }))).attempts,
          7
        )
        assert.strictEqual(
          exhausted(yield* finish(Retry.withRetry(down().call, { schedule, maxElapsed: "2 seconds" }))).reason,
          "maxElapsed"
        )
      }))

    it.effect("starts anew for each call", () =>
      Effect.gen(function*() {
        const retry = Retry.withRetry(
          Retry.make({ schedule: Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 1 })) })
        )
        assert.strictEqual(exhausted(yield* finish(retry(down().call))).attempts, 2)
        assert.strictEqual(exhausted(yield* finish(retry(down().call))).attempts, 2)
      }))

    it.effect("gets the error, and waits at least retryAfter", () =>
      Effect.gen(function*() {
        const { call, times } = dependency(() => Effect.fail(new Busy({ retryAfter: Duration.seconds(3) })))
        const seen: Array<string> = []
        yield* finish(Retry.withRetry(call, {
          maxAttempts: 2,
          schedule: Schedule.spaced("1 second").pipe(
            Schedule.setInputType<Busy>(),
            Schedule.tap(({ input }) => Effect.sync(() => seen.push(input._tag)))
          )
        }))

        assert.deepStrictEqual(times, [0, 3000])
        assert.deepStrictEqual(seen, ["Busy"])
      }))
  })

  describe("whileSuccess", () => {
    const notReady = { ...steady, maxAttempts: 3, whileSuccess: (status: number) => status === 202 }
    const answers = (...statuses: ReadonlyArray<number>) =>
      dependency((call) => Effect.succeed(statuses[Math.min(call, statuses.length) - 1]!))

    it.effect("retries a value until it is another one", () =>
      Effect.gen(function*() {
        const { call, times } = answers(202, 202, 200)
        assert.deepStrictEqual(yield* finish(call.pipe(Retry.withRetry(notReady))), Exit.succeed(200))
        assert.deepStrictEqual(times, [0, 1000, 2000])

        const ready = answers(200)
        assert.deepStrictEqual(yield* finish(Retry.withRetry(ready.call, notReady)), Exit.succeed(200))
        assert.lengthOf(ready.times, 1)
      }))

    it.effect("gives the last value when the retries end", () =>
      Effect.gen(function*() {
        const { call, times } = answers(202)
        const policy = Retry.make(notReady)
        assert.deepStrictEqual(yield* finish(call.pipe(Retry.withRetry(policy))), Exit.succeed(202))
        assert.lengthOf(times, 3)

        const budget = yield* RetryBudget.make({ ratio: 0, minPerSecond: 0 })
        const poor = answers(202)
        assert.deepStrictEqual(
          yield* finish(Retry.withRetry(poor.call, { ...notReady, budget })),
          Exit.succeed(202)
        )
        assert.lengthOf(poor.times, 1)
      }))

    it.effect("gives the last value though an attempt before it failed", () =>
      Effect.gen(function*() {
        const { call } = dependency((call) => call === 1 ? Effect.fail(new Unavailable({ call })) : Effect.succeed(202))
        assert.deepStrictEqual(yield* finish(Retry.withRetry(call, notReady)), Exit.succeed(202))
      }))

    it("is a function", () => {
      assert.throws(
        () => Retry.make({ whileSuccess: 5 as never }),
        RangeError,
        "Retry.make: whileSuccess must be a function"
      )
    })

    it.effect("is one attempt among failed ones", () =>
      Effect.gen(function*() {
        const seen: Array<unknown> = []
        const { call } = dependency((call) => call === 2 ? Effect.succeed(202) : Effect.fail(new Unavailable({ call })))
        const error = exhausted(
          yield* finish(Retry.withRetry(call, {
            ...notReady,
            onRetry: (retry) => Effect.sync(() => void seen.push(retry.error))
          }))
        )
        assert.strictEqual(error.attempts, 3)
        assert.deepStrictEqual(error.lastError, new Unavailable({ call: 3 }))
        assert.deepStrictEqual(seen, [new Unavailable({ call: 1 }), undefined])
      }))

    it.effect("gives the last value when the next attempt is rejected, since a call was made", () =>
      Effect.gen(function*() {
        for (const window of ["1 second", "1 hour"] as const) {
          const limit = yield* RateLimit.makeMemory({ name: "one", limit: 1, window, onExceeded: "fail" })
          const { call, times } = answers(202)
          const exit = yield* finish(call.pipe(
            RateLimit.withRateLimit(limit),
            Retry.withRetry({ ...notReady, baseDelay: "100 millis", maxAttempts: 2, maxRetryAfter: "1 minute" })
          ))
          assert.deepStrictEqual(exit, Exit.succeed(202))
          assert.lengthOf(times, 1)
        }
      }))

    it("cannot be combined with a schedule", () => {
      assert.throws(
        () => Retry.make({ whileSuccess: () => true, schedule: Schedule.recurs(1) } as never),
        RangeError,
        "Retry.make: whileSuccess must be absent"
      )
    })

    it("knows the type of the value", () => {
      const call = Effect.fail(new NotFound()).pipe(Effect.orElseSucceed(() => ({ status: 200 })))
      expectTypeOf(call.pipe(Retry.withRetry({ whileSuccess: (answer) => answer.status === 202 }))).toEqualTypeOf<
        Effect.Effect<{ status: number }>
      >()
    })
  })

  describe("around a circuit breaker", () => {
    const policy = CircuitPolicy.make({ consecutiveFailures: 2, openDuration: "30 seconds", successThreshold: 1 })

    it.effect("stops when the circuit opens", () =>
      Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make({ name: "users", policy })
        const { call, times } = down()
        const retried = breaker.execute(call).pipe(Retry.withRetry({ ...steady, maxAttempts: 10 }))
        const error = exhausted(yield* finish(retried))

        assert.strictEqual(error.reason, "rejected")
        assert.strictEqual(error.attempts, 2)
        assert.instanceOf(error.rejection, CircuitOpenError)
        assert.lengthOf(times, 2)
      }))

    it.effect("comes back as the probe, at the moment the circuit allows one", () =>
      Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make({ name: "users", policy })
        const { call, times } = dependency((call) => call < 3 ? Effect.fail("down") : Effect.succeed("served"))
        const fiber = yield* fork(
          breaker.execute(call).pipe(Retry.withRetry({ ...steady, maxAttempts: 4, waitForCircuit: true }))
        )
        yield* TestClock.adjust("1 minute")

        assert.strictEqual(yield* Fiber.join(fiber), "served")
        // Opened at 1 s, rejected at 2 s, probed at 31 s.
        assert.deepStrictEqual(times, [0, 1000, 31_000])
        assert.strictEqual(yield* breaker.state, "Closed")
      }))
  })

  it.effect("is stack safe for 100,000 attempts", () =>
    Effect.gen(function*() {
      let calls = 0
      const call = Effect.suspend(() => ++calls < 100_000 ? Effect.fail("down") : Effect.succeed("up"))

      assert.strictEqual(yield* Retry.withRetry(call, { maxAttempts: Infinity, baseDelay: 0 }), "up")
      assert.strictEqual(calls, 100_000)
    }))

  it.effect("runs calls at the same time with delays of their own", () =>
    Effect.gen(function*() {
      const policy = Retry.make({ jitter: "none", maxAttempts: 4 })
      const fiber = yield* fork(Effect.forEach([1, 2, 3], (succeedsAt) => {
        const { call, times } = dependency((call) => call >= succeedsAt ? Effect.succeed(call) : Effect.fail("down"))
        return Effect.map(Retry.withRetry(call, policy), () => times)
      }, { concurrency: "unbounded" }))
      yield* TestClock.adjust("10 seconds")

      assert.deepStrictEqual(yield* Fiber.join(fiber), [[0], [0, 1000], [0, 1000, 3000]])
    }))

  it.effect("makes no further call once it is interrupted while it waits", () =>
    Effect.gen(function*() {
      const { call, times } = down()
      const fiber = yield* fork(Retry.withRetry(call, steady))
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 minute")

      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.lengthOf(times, 1)
    }))

  it.effect("makes no further call and raises nothing wherever it is interrupted", () =>
    Effect.gen(function*() {
      let calls = 0
      let exit: Exit.Exit<unknown, unknown> | undefined
      const call = Effect.suspend(() => Effect.fail(++calls))
      const operations = yield* interruptEverywhere(
        call.pipe(
          Retry.withRetry({ maxAttempts: 4, baseDelay: 0, onRetry: () => Effect.void }),
          Effect.onExit((end) => Effect.sync(() => exit = end))
        ),
        (operation) =>
          Effect.gen(function*() {
            const before = calls
            for (let i = 0; i < 20; i++) yield* Effect.yieldNow
            assert.strictEqual(calls, before, `calls after an interruption at operation ${operation}`)
            if (exit !== undefined && Exit.hasFails(exit)) exhausted(exit)
            calls = 0
            exit = undefined
          })
      )
      assert.isAbove(operations, 30)
    }))

  it.effect("takes time from the monotonic clock, so that setting the wall clock changes nothing", () =>
    Effect.gen(function*() {
      const test = yield* Effect.clockWith(Effect.succeed)
      const behind: Clock.Clock = Object.assign(Object.create(test), {
        currentTimeMillisUnsafe: () => test.currentTimeMillisUnsafe() - 3_600_000 * times.length,
        currentTimeMillis: Effect.sync(() => test.currentTimeMillisUnsafe() - 3_600_000 * times.length)
      })
      const { call, times } = down()
      const exit = yield* finish(Effect.provideService(Retry.withRetry(call, steady), Clock.Clock, behind))

      assert.isTrue(Duration.equals(exhausted(exit).elapsed, Duration.seconds(2)))
    }))

  it.effect("crosses a process boundary with its last error", () =>
    Effect.gen(function*() {
      const { call } = down()
      const error = exhausted(yield* finish(Retry.withRetry(call, { ...steady, maxAttempts: 2 })))

      const json = JSON.parse(JSON.stringify(yield* Schema.encodeEffect(RetryExhaustedError)(error)))
      const decoded = yield* Schema.decodeEffect(RetryExhaustedError)(json)

      assert.strictEqual(decoded.attempts, 2)
      assert.isTrue(Duration.equals(decoded.elapsed, Duration.seconds(1)))
    }))
})

describe("make", () => {
  // migration: RetryPolicy(max_attempts, base_delay, max_delay, exponential_base, jitter)
  it("has the defaults of the environment variables", () => {
    const policy = Retry.make()

    assert.strictEqual(policy.maxAttempts, 3)
    assert.isTrue(Duration.equals(policy.baseDelay, Duration.seconds(1)))
    assert.isTrue(Duration.equals(policy.maxDelay, Duration.seconds(60)))
    assert.strictEqual(policy.factor, 2)
    assert.strictEqual(policy.jitter, "proportional")
    assert.isTrue(Duration.equals(policy.maxRetryAfter, Duration.seconds(60)))
    assert.isFalse(Duration.isFinite(policy.maxElapsed))
    assert.isFalse(policy.waitForCircuit)
  })

  it("describes itself", () => {
    const description = (options?: Retry.Options) => Retry.make(options).description

    assert.strictEqual(description(), "up to 3 attempts, 1s × 2ⁿ up to 1m, jitter proportional")
    assert.strictEqual(description({ maxAttempts: 1 }), "1 attempt")
    assert.strictEqual(
      description({ maxAttempts: Infinity, factor: 1, jitter: "none" }),
      "any number of attempts, 1s"
    )
    assert.strictEqual(
      description({ baseDelay: 0, maxElapsed: "30 seconds", waitForCircuit: true }),
      "up to 3 attempts, without a wait, within 30s, waits for an open circuit"
    )
    assert.strictEqual(
      description({ jitter: "decorrelated", factor: 1, maxDelay: "20 seconds" }),
      "up to 3 attempts, 1s up to 20s, jitter decorrelated"
    )
    assert.strictEqual(description({ schedule: Schedule.forever }), "any number of attempts, by a schedule")
    assert.strictEqual(
      Retry.make({ budget: RetryBudget.RetryBudget }).description,
      "up to 3 attempts, 1s × 2ⁿ up to 1m, jitter proportional, within a budget"
    )
  })

  it("refuses options out of their range, where they are written", () => {
    const refuses = (options: Retry.PlainOptions, message: string) => {
      assert.throws(() => Retry.make(options), RangeError, message)
      assert.throws(() => Retry.withRetry(options), RangeError, message)
      assert.throws(() => Retry.withRetry(Effect.void, options), RangeError, message)
    }
    assert.throws(() => Retry.make(5 as never), RangeError, "Retry.make: options must be an object, got 5")
    for (const maxAttempts of [0, -1, 1.5, NaN, -Infinity]) {
      refuses({ maxAttempts }, "Retry.make: maxAttempts must be")
    }
    for (const duration of [-1, NaN, "Infinity"] as const) {
      refuses({ baseDelay: duration }, "Retry.make: baseDelay must be")
      refuses({ maxDelay: duration }, "Retry.make: maxDelay must be")
    }
    for (const duration of [-1, NaN, "-1 seconds"] as const) {
      refuses({ maxRetryAfter: duration }, "Retry.make: maxRetryAfter must be")
      refuses({ maxElapsed: duration }, "Retry.make: maxElapsed must be")
    }
    for (const factor of [0.9, -1, NaN, Infinity]) {
      refuses({ factor }, "Retry.make: factor must be")
    }
    refuses(
      { jitter: "random" as "full" },
      "Retry.make: jitter must be one of none, proportional, full, equal, decorrelated, got \"random\""
    )
    const none = 5 as unknown as undefined
    refuses({ budget: none }, "Retry.make: budget must be a value made with RetryBudget.make")
    refuses({ while: none }, "Retry.make: while must be a function, got 5")
    refuses({ onRetry: none }, "Retry.make: onRetry must be a function, got 5")
  })

  it("takes every jitter that there is", () => {
    for (const jitter of ["none", "proportional", "full", "equal", "decorrelated"] as const) {
      assert.strictEqual(Retry.make({ jitter }).jitter, jitter)
    }
  })

  it("refuses a schedule together with the options it replaces", () => {
    for (const options of [{ baseDelay: 1 }, { maxDelay: 1 }, { factor: 2 }, { jitter: "full" }] as const) {
      const [[field, value]] = Object.entries(options) as [[string, unknown]]
      assert.throws(
        () => Retry.make({ schedule: Schedule.forever, ...options }),
        RangeError,
        `Retry.make: ${field} must be absent, as the schedule gives the waits, got ${value}`
      )
    }
  })

  it("refuses what is no schedule, and what are no options", () => {
    const schedule = "1 second" as unknown as Schedule.Schedule<unknown>
    assert.throws(
      () => Retry.make({ schedule }),
      RangeError,
      "Retry.make: schedule must be a Schedule, got \"1 second\""
    )

    const options = 3 as unknown as Retry.PlainOptions
    const message = "Retry.withRetry: options must be an object, got 3"
    assert.throws(() => Retry.withRetry(options), RangeError, message)
    assert.throws(() => Retry.withRetry(Effect.void, options), RangeError, message)
  })

  it("tells a policy from its options", () => {
    assert.isTrue(Retry.isRetryPolicy(Retry.make()))
    assert.isFalse(Retry.isRetryPolicy({ maxAttempts: 3 }))
    assert.strictEqual(Retry.TypeId, "~effect-resilience/RetryPolicy")
  })
})

describe("types", () => {
  const call = Effect.andThen(Dependency, Effect.fail(new Unavailable({ call: 1 }))) as Effect.Effect<
    number,
    Unavailable | NotFound,
    Dependency
  >
  type Retried = Effect.Effect<
    number,
    Unavailable | NotFound | Retry.RetryExhausted<Unavailable | NotFound>,
    Dependency
  >

  it("keep the errors of the call, and add their exhaustion, in both styles", () => {
    expectTypeOf(call.pipe(Retry.withRetry())).toEqualTypeOf<Retried>()
    expectTypeOf(call.pipe(Retry.withRetry({ maxAttempts: 2 }))).toEqualTypeOf<Retried>()
    expectTypeOf(call.pipe(Retry.withRetry(Retry.make()))).toEqualTypeOf<Retried>()
    expectTypeOf(call.pipe(Retry.withRetry({ while: (error) => error._tag === "NotFound" }))).toEqualTypeOf<Retried>()
    expectTypeOf(Retry.withRetry(call)).toEqualTypeOf<Retried>()
    expectTypeOf(Retry.withRetry(call, { maxAttempts: 2 })).toEqualTypeOf<Retried>()
    expectTypeOf(Retry.withRetry(call, Retry.make())).toEqualTypeOf<Retried>()
    expectTypeOf(Retry.withRetry(call, { while: (error) => error._tag === "NotFound" })).toEqualTypeOf<Retried>()

    // Without a pipe to infer the errors from.
    const retry = Retry.withRetry({ maxAttempts: 2 })
    expectTypeOf(retry(call)).toEqualTypeOf<Retried>()
    const policy = Retry.make({ while: (error: Unavailable | NotFound) => error._tag === "Unavailable" })
    expectTypeOf(call.pipe(Retry.withRetry(policy))).toEqualTypeOf<Retried>()
    expectTypeOf(Retry.withRetry(call, policy)).toEqualTypeOf<Retried>()
  })

  it("know the last error", () => {
    const caught = call.pipe(
      Retry.withRetry(),
      Effect.catchTag("RetryExhaustedError", (error) => {
        expectTypeOf(error.lastError).toEqualTypeOf<Unavailable | NotFound>()
        return Effect.succeed("gave up")
      })
    )
    expectTypeOf(caught).toEqualTypeOf<Effect.Effect<number | string, Unavailable | NotFound, Dependency>>()
  })

  it("add nothing to a call that cannot fail", () => {
    expectTypeOf(Effect.succeed(1).pipe(Retry.withRetry())).toEqualTypeOf<Effect.Effect<number>>()
  })

  it("accept a policy for the errors it knows only", () => {
    const policy = Retry.make({ while: (error: NotFound) => error._tag === "NotFound" })
    expectTypeOf(policy).not.toExtend<Retry.RetryPolicy<Unavailable>>()
    expectTypeOf(Retry.make()).toExtend<Retry.RetryPolicy<Unavailable>>()

    const other = Effect.fail(new NotFound()) as Effect.Effect<number, NotFound>
    expectTypeOf(other.pipe(Retry.withRetry(policy))).toEqualTypeOf<
      Effect.Effect<number, NotFound | Retry.RetryExhausted<NotFound>>
    >()
  })

  it("need the budget's service", () => {
    expectTypeOf(call.pipe(Retry.withRetry({ budget: RetryBudget.RetryBudget }))).toEqualTypeOf<
      Effect.Effect<
        number,
        Unavailable | NotFound | Retry.RetryExhausted<Unavailable | NotFound>,
        Dependency | RetryBudget.RetryBudget
      >
    >()
    expectTypeOf(RetryBudget.layer()).toEqualTypeOf<Layer.Layer<RetryBudget.RetryBudget>>()
  })
})
