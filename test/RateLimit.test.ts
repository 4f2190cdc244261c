import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as References from "effect/References"
import { TestClock } from "effect/testing"
import { Outcome, RateLimit, ResilienceError } from "effect-resilience"
import { spawn, spawnSync } from "node:child_process"
import { expectTypeOf } from "vitest"
import { freePort } from "../scripts/freePort.ts"
import { atEveryOperation, Machine, seeded } from "./support/machine.ts"

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** What became of each of several calls made at once: when it ran, or after how long it may try again. */
const callAll = <E>(
  rateLimit: RateLimit.RateLimit<E>,
  count: number,
  options?: RateLimit.CallOptions
): Effect.Effect<ReadonlyArray<string>, E> =>
  Effect.all(
    Array.from({ length: count }, () =>
      rateLimit.execute(
        Effect.map(Clock.currentTimeMillis, (now) => `ran at ${now}`),
        options
      ).pipe(
        Effect.catchIf(
          (error): error is ResilienceError.RateLimitExceededError =>
            error instanceof ResilienceError.RateLimitExceededError,
          (error) => Effect.succeed(`try in ${Duration.toMillis(error.retryAfter)}`)
        )
      )),
    { concurrency: "unbounded" }
  ) as Effect.Effect<ReadonlyArray<string>, E>

const storeDown = new RateLimiter.RateLimitStoreError({ message: "store is down" })
const storeError = new RateLimiter.RateLimiterError({ reason: storeDown })

const brokenStore = Layer.provide(
  RateLimiter.layer,
  Layer.succeed(RateLimiter.RateLimiterStore, {
    fixedWindow: () => Effect.fail(storeError),
    tokenBucket: () => Effect.fail(storeError),
    adaptiveConsume: () => Effect.fail(storeError),
    adaptiveFeedback: () => Effect.fail(storeError)
  })
)

/** A RateLimiter that only its interface is known of, as one that keeps its tokens in Redis. */
const store = Layer.effect(
  RateLimiter.RateLimiter,
  Effect.map(RateLimiter.RateLimiter, (limiter) => RateLimiter.RateLimiter.of({ ...limiter }))
).pipe(Layer.provide(RateLimit.layerMemory))

const makers = {
  "in memory": (options: RateLimit.Options) => RateLimit.makeMemory({ name: "x", ...options, onStoreError: "allow" }),
  "in a store": (options: RateLimit.Options) =>
    Effect.provide(RateLimit.make({ name: "x", ...options, onStoreError: "allow" }), store, { local: true })
}

const where = ["in memory", "in a store"] as const

const ALGORITHMS = ["fixed-window", "token-bucket", "sliding-window"] as const

describe("RateLimit", () => {
  describe("make", () => {
    it("refuses bad options where they are written", () => {
      const good = { limit: 10, window: "1 second" } as const
      const bad: ReadonlyArray<readonly [object, string]> = [
        [{ limit: 0 }, "limit must be an integer >= 1, got 0"],
        [{ limit: 1.5 }, "limit must be an integer >= 1, got 1.5"],
        [{ limit: NaN }, "limit must be an integer >= 1, got NaN"],
        [{ window: 0 }, "window must be a finite duration above zero such as \"5 seconds\", got 0"],
        [{ window: -1 }, "window must be a finite duration above zero such as \"5 seconds\", got -1"],
        [{ window: NaN }, "window must be a finite duration above zero such as \"5 seconds\", got NaN"],
        [{ window: Infinity }, "window must be a finite duration above zero such as \"5 seconds\", got Infinity"],
        [{ tokens: 0 }, "tokens must be an integer from 1 to 10, got 0"],
        [{ tokens: 11 }, "tokens must be an integer from 1 to 10, got 11"],
        [
          { onExceeded: "delay", maxWait: -1 },
          "maxWait must be a duration of at least zero such as \"5 seconds\", got -1"
        ],
        [{ maxWait: 1 }, "maxWait must come with onExceeded \"delay\", got \"fail\""],
        [
          { algorithm: "leaky" },
          "algorithm must be \"fixed-window\" or \"token-bucket\" or \"sliding-window\", got \"leaky\""
        ],
        [{ onExceeded: "wait" }, "onExceeded must be \"fail\" or \"delay\", got \"wait\""],
        [{ onStoreError: "log" }, "onStoreError must be \"allow\" or \"fail\", got \"log\""]
      ]
      for (const [change, message] of bad) {
        const options = { ...good, ...change }
        const named = { name: "x", ...options }
        assert.throws(() => RateLimit.make(named), RangeError, `RateLimit.make: ${message}`)
        assert.throws(() => RateLimit.makeMemory(named), RangeError, `RateLimit.makeMemory: ${message}`)
        assert.throws(() => RateLimit.Service<never>()("x", options), RangeError, `RateLimit.Service: ${message}`)
      }
    })

    it.effect("makes what can be told from other values", () =>
      Effect.gen(function*() {
        assert.isTrue(RateLimit.isRateLimit(yield* RateLimit.makeMemory({ name: "x", limit: 1, window: 1 })))
        assert.isFalse(RateLimit.isRateLimit({ name: "x" }))
        assert.strictEqual(RateLimit.TypeId, "~effect-resilience/RateLimit")
      }))

    it.effect("describes itself, wherever its tokens are", () =>
      Effect.gen(function*() {
        const options = { name: "x", limit: 100, window: "1 minute" } as const
        assert.strictEqual(
          (yield* Effect.provide(RateLimit.make(options), store)).description,
          (yield* RateLimit.makeMemory(options)).description
        )
      }))

    it.effect("describes itself", () =>
      Effect.gen(function*() {
        const description = (options: Partial<RateLimit.Options>) =>
          Effect.map(
            RateLimit.makeMemory({ name: "x", limit: 100, window: "1 minute", ...options }),
            (rateLimit) => rateLimit.description
          )
        assert.strictEqual(
          yield* description({}),
          "at most 100 calls per window of 1m (fixed-window), at most 199 in any 1m, the rest rejected"
        )
        assert.strictEqual(
          yield* description({ onExceeded: "delay", algorithm: "token-bucket" }),
          "up to 100 calls at once, refilled at 100 per 1m (token-bucket), at most 199 in any 1m, the rest delayed"
        )
        assert.strictEqual(
          yield* description({ algorithm: "sliding-window" }),
          "at most 100 calls in any 1m (sliding-window), the rest rejected"
        )
        assert.strictEqual(
          yield* description({ limit: 1, algorithm: "token-bucket" }),
          "at most 1 call in any 1m (token-bucket), the rest rejected"
        )
        assert.strictEqual(
          yield* description({ onExceeded: "delay", maxWait: "5 seconds", tokens: 5 }),
          "at most 100 tokens per window of 1m (fixed-window), at most 199 in any 1m, 5 per call, " +
            "the rest delayed up to 5s"
        )
      }))

    for (const algorithm of ALGORITHMS) {
      for (const onExceeded of ["fail", "delay"] as const) {
        it.effect(`describes what is true of any minute (${algorithm}, ${onExceeded})`, () =>
          Effect.gen(function*() {
            const rateLimit = yield* RateLimit.makeMemory({
              name: "partner",
              limit: 10,
              window: "1 minute",
              algorithm,
              onExceeded
            })
            const ran: Array<number> = []
            const call = Effect.ignore(rateLimit.execute(Effect.map(Clock.currentTimeMillis, (now) => ran.push(now))))
            // One call, and then many, first at the end of the minute.
            yield* call
            yield* TestClock.adjust("59 seconds")
            for (let n = 0; n < 1_200; n++) {
              yield* fork(call)
              yield* TestClock.adjust("100 millis")
            }
            const most = Math.max(...ran.map((from) => ran.filter((at) => at >= from && at < from + 60_000).length))
            const said = Number(/at most (\d+)(?: calls)? in any 1m/.exec(rateLimit.description)?.[1])
            assert.strictEqual(said, algorithm === "sliding-window" ? 10 : 19)
            assert.strictEqual(most, said)
          }))
      }
    }

    it.effect("refuses a sliding window where a store keeps the tokens, since stores know none", () =>
      Effect.gen(function*() {
        const rules = { limit: 1, window: "1 second", algorithm: "sliding-window" } as const
        class SlidingRate extends RateLimit.Service<SlidingRate>()("sliding", rules) {}
        const made = RateLimit.make({ name: "x", ...rules })
        const builds = [
          ["make", Effect.asVoid(made)],
          ["Service", Effect.asVoid(Effect.scoped(Layer.build(SlidingRate.layer)))]
        ] as const
        for (const [caller, build] of builds) {
          assert.deepStrictEqual(
            yield* Effect.exit(Effect.provide(build, store)),
            Exit.die(
              new RangeError(
                `RateLimit.${caller}: algorithm must be "fixed-window" or "token-bucket" where a store keeps the ` +
                  `tokens (or use RateLimit.layerMemory), got "sliding-window"`
              )
            )
          )
        }
        const rateLimit = yield* Effect.provide(made, RateLimit.layerMemory)
        assert.deepStrictEqual(yield* callAll(rateLimit, 2), ["ran at 0", "try in 1000"])
      }))

    it.effect("needs the RateLimiter, whose tokens limits of one name share", () =>
      Effect.gen(function*() {
        const options = { name: "shared", limit: 1, window: "1 second" } as const
        const keyed = { key: "a" }
        const one = yield* RateLimit.make(options)
        const two = yield* RateLimit.make(options)
        const other = yield* RateLimit.make({ ...options, name: "other" })
        assert.deepStrictEqual(yield* callAll(one, 1), ["ran at 0"])
        assert.deepStrictEqual(yield* callAll(two, 1), ["try in 1000"])
        assert.deepStrictEqual(yield* callAll(other, 1), ["ran at 0"])
        assert.deepStrictEqual(yield* callAll(one, 1, keyed), ["ran at 0"])
        assert.deepStrictEqual(yield* callAll(two, 1, keyed), ["try in 1000"])
        assert.deepStrictEqual(yield* callAll(other, 1, keyed), ["ran at 0"])
      }).pipe(Effect.provide(RateLimit.layerMemory)))

    it.effect("makeMemory keeps tokens of its own, also where a RateLimiter is provided", () =>
      Effect.gen(function*() {
        const options = { name: "own", limit: 1, window: "1 second" } as const
        const limits = [
          yield* RateLimit.makeMemory(options),
          yield* RateLimit.makeMemory(options),
          yield* RateLimit.make(options)
        ]
        for (const rateLimit of limits) assert.deepStrictEqual(yield* callAll(rateLimit, 1), ["ran at 0"])
      }).pipe(Effect.provide(RateLimit.layerMemory)))
  })

  describe("onExceeded fail", () => {
    it.effect("passes success, failure and defect through", () =>
      Effect.gen(function*() {
        const { execute } = yield* RateLimit.makeMemory({ name: "x", limit: 10, window: "1 second" })
        assert.strictEqual(yield* execute(Effect.succeed(1)), 1)
        assert.deepStrictEqual(yield* Effect.exit(execute(Effect.fail("no"))), Exit.fail("no"))
        assert.deepStrictEqual(yield* Effect.exit(execute(Effect.die("bug"))), Exit.die("bug"))
      }))

    it.effect("rejects without running, names the limit, and says when to come back", () =>
      Effect.gen(function*() {
        const rateLimit = yield* RateLimit.makeMemory({ name: "search", limit: 2, window: "10 seconds" })
        yield* callAll(rateLimit, 2)
        yield* TestClock.adjust("4 seconds")
        let ran = false
        const error = yield* Effect.flip(rateLimit.execute(Effect.sync(() => {
          ran = true
        })))
        assert.isFalse(ran)
        assert.deepStrictEqual([error.limiter, error.limit, Duration.toMillis(error.retryAfter)], ["search", 2, 6_000])
        assert.strictEqual(Outcome.classify(Exit.fail(error))._tag, "Ignored")
      }))

    for (const algorithm of ["fixed-window", "token-bucket"] as const) {
      it.effect(`takes no tokens for a rejected call (${algorithm})`, () =>
        Effect.gen(function*() {
          const rateLimit = yield* RateLimit.makeMemory({ name: "x", limit: 2, window: "10 seconds", algorithm })
          yield* callAll(rateLimit, 100)
          const wait = algorithm === "fixed-window" ? 10_000 : 5_000
          yield* TestClock.adjust(wait - 1)
          assert.deepStrictEqual(yield* callAll(rateLimit, 1), ["try in 1"])
          yield* TestClock.adjust(1)
          const ran = (yield* callAll(rateLimit, 3)).filter((result) => result.startsWith("ran"))
          assert.strictEqual(ran.length, algorithm === "fixed-window" ? 2 : 1)
        }))
    }

    it.effect("limits each key on its own", () =>
      Effect.gen(function*() {
        const rateLimit = yield* RateLimit.makeMemory({ name: "x", limit: 1, window: "1 second" })
        for (const options of [undefined, { key: "a" }, { key: "b" }, {}]) {
          const first = options !== undefined && options.key === undefined ? "try in 1000" : "ran at 0"
          assert.deepStrictEqual(yield* callAll(rateLimit, 2, options), [first, "try in 1000"])
        }
      }))

    it.effect("takes as many tokens as a call says", () =>
      Effect.gen(function*() {
        const rateLimit = yield* RateLimit.makeMemory({ name: "x", limit: 10, window: "1 second", tokens: 3 })
        assert.deepStrictEqual(yield* callAll(rateLimit, 2), ["ran at 0", "ran at 0"])
        assert.deepStrictEqual(yield* callAll(rateLimit, 1, { tokens: 5 }), ["try in 1000"])
        assert.deepStrictEqual(yield* callAll(rateLimit, 1, { tokens: 4 }), ["ran at 0"])
        for (const tokens of [0, 11, 1.5, NaN]) {
          assert.throws(
            () => rateLimit.execute(Effect.void, { tokens }),
            RangeError,
            "RateLimit.execute: tokens must be an integer from 1 to 10"
          )
        }
      }))
  })

  for (const place of where) {
    describe(`onExceeded delay, ${place}`, () => {
      const make = makers[place]

      it.effect("spreads calls evenly with a token bucket", () =>
        Effect.gen(function*() {
          const rateLimit = yield* make({
            limit: 2,
            window: "1 second",
            algorithm: "token-bucket",
            onExceeded: "delay"
          })
          const fiber = yield* fork(callAll(rateLimit, 5))
          yield* TestClock.adjust("10 seconds")
          assert.deepStrictEqual(yield* Fiber.join(fiber), [
            "ran at 0",
            "ran at 0",
            "ran at 500",
            "ran at 1000",
            "ran at 1500"
          ])
        }))

      it.effect("runs calls window by window with fixed windows", () =>
        Effect.gen(function*() {
          const rateLimit = yield* make({ limit: 2, window: "1 second", onExceeded: "delay" })
          const fiber = yield* fork(callAll(rateLimit, 5))
          yield* TestClock.adjust("10 seconds")
          assert.deepStrictEqual(yield* Fiber.join(fiber), [
            "ran at 0",
            "ran at 0",
            "ran at 1000",
            "ran at 1000",
            "ran at 2000"
          ])
        }))

      it.effect("never runs a call a fraction of a millisecond early", () =>
        Effect.gen(function*() {
          const rateLimit = yield* make({
            limit: 3,
            window: "1 second",
            algorithm: "token-bucket",
            onExceeded: "delay"
          })
          const fiber = yield* fork(callAll(rateLimit, 4))
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual((yield* Fiber.join(fiber))[3], "ran at 334")
        }))
    })
  }

  for (const place of where) {
    describe(`maxWait, ${place}`, () => {
      const limited = (algorithm: "fixed-window" | "token-bucket", maxWait: Duration.Input) =>
        makers[place]({ limit: 2, window: "1 second", algorithm, onExceeded: "delay", maxWait })

      it.effect("rejects at once a call that would have to wait longer (token-bucket)", () =>
        Effect.gen(function*() {
          const rateLimit = yield* limited("token-bucket", "1 second")
          const fiber = yield* fork(callAll(rateLimit, 6))
          yield* TestClock.adjust("10 seconds")
          assert.deepStrictEqual(yield* Fiber.join(fiber), [
            "ran at 0",
            "ran at 0",
            "ran at 500",
            "ran at 1000",
            "try in 1500",
            "try in 1500"
          ])
        }))

      it.effect("rejects at once a call that would have to wait longer (fixed-window)", () =>
        Effect.gen(function*() {
          const rateLimit = yield* limited("fixed-window", "1 second")
          const fiber = yield* fork(callAll(rateLimit, 6))
          yield* TestClock.adjust("10 seconds")
          assert.deepStrictEqual(yield* Fiber.join(fiber), [
            "ran at 0",
            "ran at 0",
            "ran at 1000",
            "ran at 1000",
            "try in 2000",
            "try in 2000"
          ])
        }))

      it.effect("is met by a call that has to wait exactly that long, and not by a millisecond more", () =>
        Effect.gen(function*() {
          for (const [algorithm, wait] of [["fixed-window", 1_000], ["token-bucket", 500]] as const) {
            const enough = yield* limited(algorithm, wait)
            const short = yield* limited(algorithm, wait - 1)
            yield* callAll(enough, 2)
            yield* callAll(short, 2)
            assert.deepStrictEqual(yield* callAll(short, 1), [`try in ${wait}`])
            const fiber = yield* fork(callAll(enough, 1))
            const now = yield* Clock.currentTimeMillis
            yield* TestClock.adjust("1 minute")
            assert.deepStrictEqual(yield* Fiber.join(fiber), [`ran at ${now + wait}`])
          }
        }))

      it.effect("of zero rejects whatever would have to wait", () =>
        Effect.gen(function*() {
          for (const algorithm of ["fixed-window", "token-bucket"] as const) {
            const rateLimit = yield* limited(algorithm, 0)
            const wait = algorithm === "fixed-window" ? 1_000 : 500
            assert.deepStrictEqual(yield* callAll(rateLimit, 3), ["ran at 0", "ran at 0", `try in ${wait}`])
          }
        }))

      for (const algorithm of ["fixed-window", "token-bucket"] as const) {
        it.effect(`takes no tokens for rejected calls, so that overload never shuts the door (${algorithm})`, () =>
          Effect.gen(function*() {
            const rateLimit = yield* limited(algorithm, "1 second")
            let ran = 0
            // Ten times what the limit lets through, for a minute.
            for (let n = 0; n < 1_200; n++) {
              yield* fork(Effect.ignore(rateLimit.execute(Effect.sync(() => ran++))))
              yield* TestClock.adjust("50 millis")
            }
            yield* TestClock.adjust("1 second")
            // Two a second for a minute, two to begin with, and two that waited at the end.
            assert.isAtLeast(ran, 120)
            assert.isAtMost(ran, 124)
          }))
      }

      it("waits in fixed windows exactly as long as it says, whatever came before", async () => {
        // Each history is played twice: once to be told the wait by a rejection, once to wait.
        for (let waiting = 0; waiting < 8; waiting++) {
          for (let tokens = 1; tokens <= 3; tokens++) {
            const history = (maxWait: Duration.Input) =>
              Effect.gen(function*() {
                const patient = { name: "x", limit: 3, window: 900, onExceeded: "delay" } as const
                const before = yield* RateLimit.make(patient)
                const rateLimit = yield* RateLimit.make({ ...patient, maxWait })
                const fiber = yield* fork(callAll(before, waiting))
                yield* TestClock.adjust(100)
                const last = yield* fork(callAll(rateLimit, 1, { tokens }))
                yield* TestClock.adjust("1 minute")
                yield* Fiber.join(fiber)
                return (yield* Fiber.join(last))[0]!
              }).pipe(Effect.provide([place === "in memory" ? RateLimit.layerMemory : store, TestClock.layer()]))
            const told = await Effect.runPromise(history(1))
            const ran = await Effect.runPromise(history("1 hour"))
            const wait = /try in (.*)/.exec(told)
            assert.strictEqual(ran, wait === null ? told : `ran at ${100 + Number(wait[1])}`, `${waiting}, ${tokens}`)
          }
        }
      })

      it.effect("of one call is the shorter of its own and its limit's", () =>
        Effect.gen(function*() {
          for (const algorithm of ["fixed-window", "token-bucket"] as const) {
            const wait = algorithm === "fixed-window" ? 1_000 : 500
            for (const patience of ["1 hour", Duration.infinity] as const) {
              const rateLimit = yield* limited(algorithm, patience)
              yield* callAll(rateLimit, 2)
              assert.deepStrictEqual(yield* callAll(rateLimit, 1, { maxWait: wait - 1 }), [`try in ${wait}`])
              const fiber = yield* fork(callAll(rateLimit, 1, { maxWait: wait }))
              const now = yield* Clock.currentTimeMillis
              yield* TestClock.adjust("1 minute")
              assert.deepStrictEqual(yield* Fiber.join(fiber), [`ran at ${now + wait}`])
            }
            const strict = yield* limited(algorithm, 0)
            yield* callAll(strict, 2)
            assert.deepStrictEqual(yield* callAll(strict, 1, { maxWait: "1 hour" }), [`try in ${wait}`])
            assert.throws(
              () => strict.execute(Effect.void, { maxWait: -1 }),
              RangeError,
              "RateLimit.execute: maxWait must be a duration of at least zero such as \"5 seconds\", got -1"
            )
          }
        }))
    })
  }

  describe("a store", () => {
    it.effect("keeps the tokens of a call that is interrupted while it waits, and no more", () =>
      Effect.gen(function*() {
        const rateLimit = yield* makers["in a store"]({
          limit: 1,
          window: "1 second",
          algorithm: "token-bucket",
          onExceeded: "delay"
        })
        yield* callAll(rateLimit, 1)
        let ran = false
        const waiting = yield* fork(rateLimit.execute(Effect.sync(() => {
          ran = true
        })))
        const behind = yield* fork(callAll(rateLimit, 1))
        yield* Fiber.interrupt(waiting)
        yield* TestClock.adjust("10 seconds")
        assert.isFalse(ran)
        assert.deepStrictEqual(yield* Fiber.join(behind), ["ran at 2000"])
        assert.deepStrictEqual(yield* callAll(rateLimit, 1), ["ran at 10000"])
      }))

    it("rejects without waiting when others have taken the last places meanwhile", async () => {
      const slow = (limiter: RateLimiter.RateLimiter): RateLimiter.RateLimiter => ({
        ...limiter,
        consume: (options) =>
          options.onExceeded === "delay" && options.tokens !== 0
            ? Effect.delay(limiter.consume(options), 10)
            : limiter.consume(options)
      })
      const program = Effect.gen(function*() {
        const rateLimit = yield* RateLimit.make({
          name: "x",
          limit: 1,
          window: "1 second",
          algorithm: "token-bucket",
          onExceeded: "delay",
          maxWait: "1 second"
        })
        const fiber = yield* fork(callAll(rateLimit, 3))
        yield* TestClock.adjust("10 millis")
        yield* TestClock.adjust("10 seconds")
        return yield* Fiber.join(fiber)
      })
      const limiter = Layer.effect(RateLimiter.RateLimiter, Effect.map(RateLimiter.RateLimiter, slow)).pipe(
        Layer.provide(RateLimit.layerMemory)
      )
      assert.deepStrictEqual(
        await Effect.runPromise(program.pipe(Effect.provide([limiter, TestClock.layer()]))),
        ["ran at 0", "ran at 1000", "try in 1990"]
      )
    })
  })

  describe("time", () => {
    it.effect("is monotonic in memory: setting the machine's clock changes nothing", () =>
      Effect.gen(function*() {
        for (const jump of [-3_600_000, 3_600_000]) {
          let wall = 1e12
          let monotonic = 5
          const clock: Clock.Clock = {
            ...(yield* Clock.clockWith(Effect.succeed)),
            currentTimeMillisUnsafe: () => wall,
            monotonicTimeNanosUnsafe: () => BigInt(monotonic * 1e6)
          }
          for (const algorithm of ["fixed-window", "token-bucket"] as const) {
            const rateLimit = yield* RateLimit.makeMemory({ name: "x", limit: 2, window: "1 second", algorithm })
            yield* callAll(rateLimit, 1, { key: "at another time" })
            const outcomes = (count: number) =>
              Effect.map(callAll(rateLimit, count), (all) => all.map((result) => result.slice(0, 3)).join())
                .pipe(Effect.provideService(Clock.Clock, clock))
            assert.strictEqual(yield* outcomes(3), "ran,ran,try")
            wall += jump
            assert.strictEqual(yield* outcomes(1), "try")
            monotonic += 1_000
            assert.strictEqual(yield* outcomes(3), "ran,ran,try")
          }
        }
      }))

    it.effect("is monotonic for what else a RateLimiter of layerMemory is used for", () =>
      Effect.gen(function*() {
        const limiter = yield* RateLimiter.RateLimiter
        let wall = 1e12
        let monotonic = 5
        const clock: Clock.Clock = {
          ...(yield* Clock.clockWith(Effect.succeed)),
          currentTimeMillisUnsafe: () => wall,
          monotonicTimeNanosUnsafe: () => BigInt(monotonic * 1e6)
        }
        const options = { key: "api", tokens: 1, fallbackLimit: 1, fallbackWindow: Duration.seconds(1) }
        const consume = Effect.map(limiter.adaptiveConsume(options), ({ delay, phase }) => [
          phase,
          Duration.toMillis(delay)
        ]).pipe(Effect.provideService(Clock.Clock, clock))
        assert.deepStrictEqual(yield* consume, ["inactive", 0])

        const busy = { key: "api", epoch: 0, tokens: 1, status: 429, retryAfter: Duration.seconds(5) }
        yield* Effect.provideService(limiter.adaptiveFeedback(busy), Clock.Clock, clock)
        wall += 3_600_000
        assert.deepStrictEqual(yield* consume, ["cooldown", 5000])
        monotonic += 5000
        assert.deepStrictEqual(yield* consume, ["learning", 0])
      }).pipe(Effect.provide(RateLimit.layerMemory)))
  })

  describe("waiting in memory", () => {
    const patient = { name: "x", limit: 1, window: "1 second", onExceeded: "delay" } as const
    const calledAt = Clock.currentTimeMillis

    for (const algorithm of ALGORITHMS) {
      it.effect(`gives the place of a call that gave up to those behind it (${algorithm})`, () =>
        Effect.gen(function*() {
          const rateLimit = yield* RateLimit.makeMemory({ ...patient, algorithm })
          yield* callAll(rateLimit, 1)
          let ran = false
          const waiting = yield* fork(rateLimit.execute(Effect.sync(() => {
            ran = true
          })))
          const behind = yield* fork(callAll(rateLimit, 2))
          yield* TestClock.adjust("500 millis")
          yield* Fiber.interrupt(waiting)
          yield* TestClock.adjust("10 seconds")
          assert.isFalse(ran)
          assert.deepStrictEqual(yield* Fiber.join(behind), ["ran at 1000", "ran at 2000"])
        }))

      it.effect(`goes on letting through what the limit allows when callers give up (${algorithm})`, () =>
        Effect.gen(function*() {
          const rateLimit = yield* RateLimit.makeMemory({ ...patient, algorithm })
          let served = 0
          const call = fork(Effect.timeoutOption(rateLimit.execute(Effect.sync(() => served++)), "3 seconds"))
          // Five calls a second for two minutes.
          for (let n = 0; n < 600; n++) {
            yield* call
            yield* TestClock.adjust("200 millis")
          }
          assert.isAtLeast(served, 120)
          yield* TestClock.adjust("3 seconds")
          served = 0
          // Then it is quiet: a call in ten seconds.
          for (let n = 0; n < 48; n++) {
            yield* call
            yield* TestClock.adjust("10 seconds")
          }
          assert.strictEqual(served, 48)
        }))

      it.effect(`rejects a call only for those who wait now, not for those who gave up (${algorithm})`, () =>
        Effect.gen(function*() {
          const rateLimit = yield* RateLimit.makeMemory({ ...patient, algorithm, maxWait: "2 seconds" })
          yield* callAll(rateLimit, 1)
          const waiting = yield* Effect.forEach([1, 2], () => fork(rateLimit.execute(Effect.void)))
          assert.deepStrictEqual(yield* callAll(rateLimit, 1), ["try in 3000"])
          yield* Fiber.interruptAll(waiting)
          const fiber = yield* fork(callAll(rateLimit, 3))
          yield* TestClock.adjust("10 seconds")
          assert.deepStrictEqual(yield* Fiber.join(fiber), ["ran at 1000", "ran at 2000", "try in 3000"])
        }))
    }

    it.effect("lets nobody overtake, also not a call that needs fewer tokens", () =>
      Effect.gen(function*() {
        for (const algorithm of ALGORITHMS) {
          const rateLimit = yield* RateLimit.makeMemory({ ...patient, limit: 3, algorithm })
          yield* callAll(rateLimit, 2)
          const from = yield* calledAt
          const started: Array<string> = []
          const call = (name: string, tokens: number) =>
            rateLimit.execute(Effect.map(calledAt, (now) => started.push(`${name} at ${now - from}`)), { tokens })
          yield* fork(call("large", 3))
          yield* fork(call("small", 1))
          yield* TestClock.adjust("10 seconds")
          assert.deepStrictEqual(
            started,
            algorithm === "token-bucket"
              ? ["large at 667", "small at 1001"]
              : ["large at 1000", "small at 2000"]
          )
        }
      }))

    it.effect("lets those behind move up when a call that needs many tokens gives up", () =>
      Effect.gen(function*() {
        const rateLimit = yield* RateLimit.makeMemory({ ...patient, limit: 3, algorithm: "sliding-window" })
        yield* callAll(rateLimit, 2)
        const large = yield* fork(rateLimit.execute(Effect.void, { tokens: 3 }))
        const small = yield* fork(callAll(rateLimit, 1))
        yield* TestClock.adjust("100 millis")
        yield* Fiber.interrupt(large)
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* Fiber.join(small), ["ran at 100"])
      }))

    it.effect("rejects at its end a wait that the rests of windows have made longer than was foreseen", () =>
      Effect.gen(function*() {
        for (const algorithm of ["fixed-window", "sliding-window"] as const) {
          const rateLimit = yield* RateLimit.makeMemory({ ...patient, limit: 3, algorithm })
          yield* callAll(rateLimit, 3)
          const from = yield* calledAt
          const last = yield* Effect.forEach([2, 2, 2], (tokens) => fork(callAll(rateLimit, 1, { tokens })))
          // Six tokens are two windows, but two calls of two tokens do not fit into one.
          const late = yield* fork(callAll(rateLimit, 1, { tokens: 2, maxWait: "3 seconds" }))
          yield* TestClock.adjust("2999 millis")
          assert.isUndefined(late.pollUnsafe())
          yield* TestClock.adjust("1 millis")
          assert.deepStrictEqual(yield* Fiber.join(late), ["try in 1000"])
          assert.deepStrictEqual(yield* Fiber.join(last[2]!), [`ran at ${from + 3_000}`])
        }
      }))

    it.effect("is shared by limits of one name, limit, window and algorithm", () =>
      Effect.gen(function*() {
        const rateLimit = yield* RateLimit.make(patient)
        const strict = yield* RateLimit.make({ ...patient, onExceeded: "fail" })
        const other = yield* RateLimit.make({ ...patient, limit: 2 })
        yield* callAll(rateLimit, 1)
        const waiting = yield* fork(callAll(rateLimit, 1))
        assert.deepStrictEqual(yield* callAll(strict, 1), ["try in 2000"])
        assert.deepStrictEqual(yield* callAll(other, 1), ["ran at 0"])
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* Fiber.join(waiting), ["ran at 1000"])
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* callAll(strict, 1), ["ran at 2000"])
      }).pipe(Effect.provide(RateLimit.layerMemory)))

    it.effect("forgets keys of which all tokens are back", () =>
      Effect.gen(function*() {
        for (const algorithm of ALGORITHMS) {
          const rateLimit = yield* RateLimit.makeMemory({ ...patient, algorithm })
          for (let n = 0; n < 10_000; n++) {
            yield* rateLimit.execute(Effect.void, { key: `tenant ${n}` })
            yield* TestClock.adjust("10 millis")
          }
          const { queues } = rateLimit as unknown as { readonly queues: { readonly byKey: Map<string, unknown> } }
          // A hundred are in use.
          assert.isAtMost(queues.byKey.size, 250)
          assert.isTrue(queues.byKey.has("tenant 9999"))
          yield* fork(rateLimit.execute(Effect.void, { key: "tenant 9999" }))
        }
      }))

    it("forgets no key of which a call is about to begin", () => {
      const machine = new Machine()
      const rateLimit = Effect.runSync(RateLimit.makeMemory(patient))
      const ran: Array<string> = []
      const call = (key: string) => rateLimit.execute(Effect.sync(() => ran.push(`${key} at ${machine.now}`)), { key })
      for (const key of ["a", "a"]) machine.run(call(key))
      machine.settle()
      machine.tick()
      for (const key of ["b", "a"]) machine.run(call(key))
      machine.finish()
      assert.deepStrictEqual(ran, ["a at 0", "b at 1000", "a at 1000", "a at 2000"])
    })

    it("gives the turn of a call that gives it up to the next one, however late it does so", () => {
      const results = new Set<string>()
      for (let steps = 0; steps < 10; steps++) {
        const machine = new Machine()
        const rateLimit = Effect.runSync(RateLimit.makeMemory(patient))
        const ran: Array<string> = []
        const call = (name: string) => rateLimit.execute(Effect.sync(() => ran.push(`${name} at ${machine.now}`)))
        const [, second] = ["first", "second", "third"].map((name) => machine.run(call(name)))
        machine.settle()
        machine.tick()
        for (let step = 0; step < steps; step++) machine.step()
        second!.interruptUnsafe()
        machine.finish()
        results.add(ran.join())
      }
      assert.sameMembers([...results], ["first at 0,third at 1000", "first at 0,second at 1000,third at 2000"])
    })

    it("begins a call whose turn comes before it has begun to wait", () => {
      for (let steps = 0; steps < 4; steps++) {
        const places = atEveryOperation((machine, start) => {
          const rateLimit = Effect.runSync(RateLimit.makeMemory({ ...patient, limit: 2 }))
          const ran: Array<string> = []
          const call = (name: string, tokens: number) =>
            rateLimit.execute(Effect.sync(() => ran.push(`${name} at ${machine.now}`)), { tokens })
          machine.run(call("first", 2))
          machine.run(call("second", 1))
          machine.settle()
          machine.tick()
          // After one of them the second call has its turn, and has not resumed.
          for (let step = 0; step < steps; step++) machine.step()
          start(call("third", 1))
          machine.finish()
          assert.deepStrictEqual(ran, ["first at 0", "second at 1000", "third at 1000"])
        })
        assert.isAtLeast(places, 2)
      }
    })

    it("serves thousands at once without growing the stack", () => {
      const machine = new Machine()
      const rateLimit = Effect.runSync(RateLimit.makeMemory({ ...patient, limit: 10_000 }))
      for (let n = 0; n < 10_000; n++) machine.run(rateLimit.execute(Effect.void))
      let sum = 0
      for (let n = 0; n < 10_000; n++) machine.run(rateLimit.execute(Effect.sync(() => sum += n)))
      machine.finish()
      assert.strictEqual(sum, 49_995_000)
      assert.strictEqual(machine.now, 1_000)
      assert.isEmpty(machine.sleeps)
    })

    it("needs one timer for all who wait, and one for their patience", () => {
      const machine = new Machine()
      const rateLimit = Effect.runSync(RateLimit.makeMemory({ ...patient, maxWait: "1 minute" }))
      machine.run(rateLimit.execute(Effect.void))
      const fibers = Array.from({ length: 50 }, () => machine.run(rateLimit.execute(Effect.void)))
      machine.settle()
      assert.strictEqual(machine.sleeps.length, 2)
      for (const fiber of fibers) fiber.interruptUnsafe()
      machine.settle()
      assert.isEmpty(machine.sleeps)
    })
  })

  it("a call that comes while others are about to begin waits for no alarm", () => {
    const machine = new Machine()
    const rateLimit = Effect.runSync(
      RateLimit.makeMemory({ name: "x", limit: 2, window: 1_000, onExceeded: "delay", maxWait: "1 minute" })
    )
    machine.run(rateLimit.execute(Effect.void, { tokens: 2 }))
    const order: Array<string> = []
    machine.run(rateLimit.execute(Effect.sync(() => order.push("first"))))
    machine.tick()
    assert.isEmpty(order)
    machine.run(rateLimit.execute(Effect.sync(() => order.push("second"))))
    machine.settle()
    assert.deepStrictEqual(order, ["first", "second"])
    assert.isEmpty(machine.sleeps)
  })

  describe("interruption", () => {
    for (const place of where) {
      for (const algorithm of ["fixed-window", "token-bucket"] as const) {
        it(`at any operation of a call takes its tokens at most once (${place}, ${algorithm})`, () => {
          const places = atEveryOperation((machine, start, operation) => {
            const rateLimit = Effect.runSync(makers[place]({
              limit: 2,
              window: 1_000,
              algorithm,
              onExceeded: "delay",
              maxWait: 5_000
            }))
            const first = machine.run(Effect.all([rateLimit.execute(Effect.void), rateLimit.execute(Effect.void)]))
            assert.isDefined(first.pollUnsafe())
            const fiber = start(rateLimit.execute(Effect.void))
            fiber.interruptUnsafe()
            machine.settle()
            assert.isDefined(fiber.pollUnsafe())
            assert.isEmpty(machine.sleeps, `operation ${operation}`)
            // The next in line waits for one token, or for two if a store has given one to the interrupted call.
            const next = machine.run(rateLimit.execute(Effect.sync(() => machine.now)))
            machine.finish()
            const at = Exit.getSuccess(next.pollUnsafe()!)
            const own = algorithm === "fixed-window" ? 1_000 : 500
            assert.isTrue(
              at._tag === "Some" && at.value <= (place === "in memory" ? own : 1_000),
              `operation ${operation}`
            )
          })
          assert.isAbove(places, place === "in memory" ? 3 : 10)
        })
      }
    }

    for (const algorithm of ALGORITHMS) {
      it(`leaves no place, token or timer behind, wherever a waiting call is in its way (${algorithm})`, () => {
        let interruptedAfterCall = 0
        // After so many steps of the fibers, and of time.
        for (let steps = 0; steps <= 12; steps++) {
          for (let ticks = 0; ticks <= 1; ticks++) {
            const places = atEveryOperation((machine, start, operation) => {
              const at = `operation ${operation}, ${steps} steps, ${ticks} ticks`
              const rateLimit = Effect.runSync(RateLimit.makeMemory({
                name: "x",
                limit: 1,
                window: 1_000,
                algorithm,
                onExceeded: "delay",
                maxWait: 10_000
              }))
              machine.run(rateLimit.execute(Effect.void))
              let ran = false
              const fiber = start(rateLimit.execute(Effect.sync(() => {
                ran = true
              })))
              const next = machine.run(rateLimit.execute(Effect.sync(() => machine.now)))
              for (let n = 0; n < ticks; n++) machine.tick()
              for (let n = 0; n < steps; n++) machine.step()
              if (!ran && machine.now === 1_000) interruptedAfterCall++
              const ranBefore = ran
              fiber.interruptUnsafe()
              machine.settle()
              assert.isDefined(fiber.pollUnsafe(), at)
              assert.strictEqual(ran, ranBefore, at)
              machine.finish()
              // Taken by a call that ran, or was about to.
              const turns = [...(ran ? [] : [1_000]), 2_000]
              const exit = next.pollUnsafe()
              assert.isTrue(exit !== undefined && Exit.isSuccess(exit) && turns.includes(exit.value), at)
              assert.isEmpty(machine.sleeps, at)
            })
            assert.isAbove(places, 3)
          }
        }
        assert.isAbove(interruptedAfterCall, 5)
      })
    }

    it("of a call that cannot be interrupted lets it wait and run", () => {
      const machine = new Machine()
      const rateLimit = Effect.runSync(
        RateLimit.makeMemory({ name: "x", limit: 1, window: 1_000, onExceeded: "delay" })
      )
      machine.run(rateLimit.execute(Effect.void))
      const fiber = machine.run(Effect.uninterruptible(rateLimit.execute(Effect.sync(() => machine.now))))
      fiber.interruptUnsafe()
      machine.finish()
      assert.strictEqual(machine.now, 1_000)
      assert.isDefined(fiber.pollUnsafe())
    })
  })

  describe("random schedules", () => {
    for (const algorithm of ALGORITHMS) {
      for (let seed = 1; seed <= 10; seed++) {
        it(`keep to the limit and to the order, and leave nothing behind (${algorithm}, seed ${seed})`, () => {
          const random = seeded(seed)
          const below = (n: number) => Math.floor(random() * n)
          const machine = new Machine()
          const limit = 1 + below(6)
          const window = 20 + below(200)
          const oneToken = random() < 0.5
          // Whether time passes while fibers have yet to go on.
          const isBusy = random() < 0.5
          const maxWait = random() < 0.4 ? Duration.infinity : 1 + below(300)
          const rateLimit = Effect.runSync(
            RateLimit.makeMemory({ name: "x", limit, window, algorithm, onExceeded: "delay", maxWait })
          )
          const ran: Array<{ readonly n: number; readonly at: number; readonly tokens: number }> = []
          const arrived: Array<number> = []
          const fibers = Array.from({ length: 800 }, (_, n) => {
            const tokens = oneToken ? 1 : 1 + below(limit)
            arrived.push(machine.now)
            const fiber = machine.run(
              rateLimit.execute(Effect.sync(() => ran.push({ n, at: machine.now, tokens })), { tokens })
            )
            if (random() < 0.3) machine.run(Effect.sleep(below(20)))
            if (random() < 0.5) machine.step()
            while (random() < 0.4) {
              if (!isBusy) machine.settle()
              machine.tick()
            }
            return fiber
          })
          for (let n = 0; n < 200; n++) fibers[below(fibers.length)]!.interruptUnsafe()
          machine.finish()

          assert.isAbove(ran.length, 20)
          const most = Math.max(...ran.map(({ at }) =>
            ran.reduce(
              (sum, other) => other.at >= at && other.at < at + window ? sum + other.tokens : sum,
              0
            )
          ))
          assert.isAtMost(most, algorithm === "sliding-window" ? limit : 2 * limit - 1)
          assert.deepStrictEqual(ran.map(({ n }) => n), ran.map(({ n }) => n).toSorted((a, b) => a - b))
          if (Duration.isDuration(maxWait)) {
            assert.isAtLeast(ran.length, 600)
          } else if (!isBusy) {
            for (const { at, n } of ran) assert.isAtMost(at - arrived[n]!, maxWait)
          }
          assert.isTrue(fibers.every((fiber) => fiber.pollUnsafe() !== undefined))
          assert.isEmpty(machine.sleeps)
          // All tokens come back.
          machine.now += window
          const last = Array.from({ length: limit }, () => machine.run(rateLimit.execute(Effect.void)))
          assert.isTrue(last.every((fiber) => fiber.pollUnsafe() !== undefined))
        })
      }
    }
  })

  describe("onStoreError", () => {
    const options = { name: "x", limit: 1, window: "1 second" } as const
    const variants: ReadonlyArray<Partial<RateLimit.Options>> = [
      {},
      { algorithm: "token-bucket" },
      { onExceeded: "delay" },
      { onExceeded: "delay", maxWait: "1 second" },
      { onExceeded: "delay", maxWait: "1 second", algorithm: "token-bucket" }
    ]

    it.effect("allow runs calls, and logs the error", () =>
      Effect.gen(function*() {
        const logged: Array<unknown> = []
        const logger = Logger.make(({ logLevel, message }) => {
          logged.push([logLevel, message])
        })
        for (const variant of variants) {
          const rateLimit = yield* RateLimit.make({ ...options, ...variant, onStoreError: "allow" })
          const call = Effect.provide(callAll(rateLimit, 2), Logger.layer([logger]))
          assert.deepStrictEqual(
            yield* Effect.provideService(call, References.UnhandledLogLevel, "Warn"),
            ["ran at 0", "ran at 0"]
          )
          yield* Effect.provideService(call, References.UnhandledLogLevel, undefined)
        }
        assert.strictEqual(logged.length, 10)
        assert.deepStrictEqual(logged[0], [
          "Warn",
          ["Rate limit \"x\" let a call through because its store failed", storeDown]
        ])
      }).pipe(Effect.provide(brokenStore)))

    it.effect("fail fails calls with the store's error, without running them", () =>
      Effect.gen(function*() {
        for (const variant of variants) {
          const rateLimit = yield* RateLimit.make({ ...options, ...variant, onStoreError: "fail" })
          let ran = false
          const error = yield* Effect.flip(rateLimit.execute(Effect.sync(() => {
            ran = true
          })))
          assert.strictEqual(error, storeDown)
          assert.isFalse(ran)
        }
      }).pipe(Effect.provide(brokenStore)))

    it.effect("asks a store that fails once for each call", () =>
      Effect.gen(function*() {
        let asked = 0
        const limiter = RateLimiter.RateLimiter.of({
          ...(yield* RateLimiter.RateLimiter),
          consume: () => {
            asked++
            return Effect.fail(storeError)
          }
        })
        for (const variant of variants) {
          const rateLimit = yield* RateLimit.make({ ...options, ...variant, onStoreError: "fail" }).pipe(
            Effect.provideService(RateLimiter.RateLimiter, limiter)
          )
          asked = 0
          yield* Effect.flip(rateLimit.execute(Effect.void, { key: "a" }))
          assert.strictEqual(asked, 1)
        }
      }).pipe(Effect.provide(RateLimit.layerMemory)))

    it.effect("counts for a store that fails halfway, too", () =>
      Effect.gen(function*() {
        const memory = yield* RateLimiter.RateLimiter
        const halfway = (fails: (tokens: number) => boolean): RateLimiter.RateLimiter => ({
          ...memory,
          consume: (options) =>
            options.onExceeded === "delay" && fails(options.tokens ?? 1)
              ? Effect.fail(storeError)
              : memory.consume(options)
        })
        for (const fails of [(tokens: number) => tokens === 0, (tokens: number) => tokens !== 0]) {
          for (const onStoreError of ["allow", "fail"] as const) {
            const rateLimit = yield* RateLimit.make({
              ...options,
              name: `${onStoreError} ${fails(0)}`,
              onExceeded: "delay",
              maxWait: "1 minute",
              onStoreError
            }).pipe(Effect.provideService(RateLimiter.RateLimiter, halfway(fails)))
            yield* callAll(rateLimit, 1)
            const exit = yield* Effect.exit(rateLimit.execute(Effect.succeed("ran")))
            assert.deepStrictEqual(
              exit,
              onStoreError === "allow" ? Exit.succeed("ran") : Exit.fail(storeDown)
            )
          }
        }
      }).pipe(
        Effect.provideService(References.UnhandledLogLevel, undefined),
        Effect.provide(RateLimit.layerMemory)
      ))

    it.effect("does not cover a store's defects", () =>
      Effect.gen(function*() {
        const memory = yield* RateLimiter.RateLimiter
        const rateLimit = yield* RateLimit.make(options).pipe(
          Effect.provideService(RateLimiter.RateLimiter, { ...memory, consume: () => Effect.die("bug") })
        )
        assert.deepStrictEqual(yield* Effect.exit(rateLimit.execute(Effect.void)), Exit.die("bug"))
      }).pipe(Effect.provide(RateLimit.layerMemory)))
  })

  describe("withRateLimit", () => {
    class SearchRate extends RateLimit.Service<SearchRate>()("search", { limit: 1, window: "1 second" }) {}
    class StrictRate extends RateLimit.Service<StrictRate>()("strict", {
      limit: 1,
      window: "1 second",
      onStoreError: "fail"
    }) {}

    it.effect("takes a rate limit, data-first and data-last, with options", () =>
      Effect.gen(function*() {
        const rateLimit = yield* RateLimit.makeMemory({ name: "x", limit: 1, window: "1 second" })
        assert.strictEqual(yield* RateLimit.withRateLimit(Effect.succeed(1), rateLimit), 1)
        assert.strictEqual(yield* RateLimit.withRateLimit(Effect.succeed(2), rateLimit, { key: "a" }), 2)
        assert.strictEqual(yield* Effect.succeed(3).pipe(RateLimit.withRateLimit(rateLimit, { key: "b" })), 3)
        const error = yield* Effect.succeed(4).pipe(RateLimit.withRateLimit(rateLimit), Effect.flip)
        assert.instanceOf(error, ResilienceError.RateLimitExceededError)
        const again = yield* Effect.succeed(4).pipe(RateLimit.withRateLimit(rateLimit, { key: "a" }), Effect.flip)
        assert.instanceOf(again, ResilienceError.RateLimitExceededError)
      }))

    it.effect("takes the class of a service, whose calls share its tokens", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* Effect.succeed(1).pipe(RateLimit.withRateLimit(SearchRate)), 1)
        const error = yield* RateLimit.withRateLimit(Effect.succeed(2), SearchRate).pipe(Effect.flip)
        assert.strictEqual(error.limiter, "search")
        assert.strictEqual(yield* RateLimit.withRateLimit(SearchRate, SearchRate, { key: "a" }), yield* SearchRate)
        assert.strictEqual((yield* SearchRate).description, SearchRate.description)
        assert.strictEqual(SearchRate.key, "effect-resilience/RateLimit/search")
      }).pipe(Effect.provide(SearchRate.layerMemory)))

    it.effect("takes the tokens of the provided RateLimiter with the service's layer", () =>
      Effect.gen(function*() {
        const same = yield* RateLimit.make({ name: "search", limit: 1, window: "1 second" })
        yield* RateLimit.withRateLimit(Effect.void, SearchRate)
        assert.deepStrictEqual(yield* callAll(same, 1), ["try in 1000"])
      }).pipe(Effect.provide(Layer.provideMerge(SearchRate.layer, RateLimit.layerMemory))))

    it("adds exactly its errors and what the target needs", () => {
      class Db extends Context.Service<Db, { readonly get: Effect.Effect<number, "not found"> }>()("test/Db") {}
      const call = Effect.flatMap(Db, (db) => db.get)
      type Limited = Effect.Effect<number, "not found" | ResilienceError.RateLimitExceededError, Db>
      type Strict = Effect.Effect<
        number,
        "not found" | ResilienceError.RateLimitExceededError | RateLimiter.RateLimitStoreError,
        Db
      >
      const check = (
        plain: RateLimit.RateLimit,
        strict: RateLimit.RateLimit<RateLimiter.RateLimitStoreError>,
        onStoreError: RateLimit.OnStoreError
      ) => {
        expectTypeOf(RateLimit.withRateLimit(call, plain)).toEqualTypeOf<Limited>()
        expectTypeOf(call.pipe(RateLimit.withRateLimit(plain))).toEqualTypeOf<Limited>()
        expectTypeOf(call.pipe(RateLimit.withRateLimit(plain, { key: "a" }))).toEqualTypeOf<Limited>()
        expectTypeOf(plain.execute(call)).toEqualTypeOf<Limited>()
        expectTypeOf(RateLimit.withRateLimit(call, strict)).toEqualTypeOf<Strict>()
        expectTypeOf(call.pipe(RateLimit.withRateLimit(strict))).toEqualTypeOf<Strict>()

        const service = call.pipe(RateLimit.withRateLimit(SearchRate))
        expectTypeOf(service).toEqualTypeOf<
          Effect.Effect<number, "not found" | ResilienceError.RateLimitExceededError, Db | SearchRate>
        >()
        expectTypeOf(RateLimit.withRateLimit(call, SearchRate)).toEqualTypeOf<typeof service>()
        expectTypeOf(service.pipe(Effect.catchTag("RateLimitExceededError", () => Effect.succeed(0)))).toEqualTypeOf<
          Effect.Effect<number, "not found", Db | SearchRate>
        >()
        expectTypeOf(call.pipe(RateLimit.withRateLimit(StrictRate))).toEqualTypeOf<
          Effect.Effect<
            number,
            "not found" | ResilienceError.RateLimitExceededError | RateLimiter.RateLimitStoreError,
            Db | StrictRate
          >
        >()
        expectTypeOf(SearchRate.layer).toEqualTypeOf<Layer.Layer<SearchRate, never, RateLimiter.RateLimiter>>()
        expectTypeOf(SearchRate.layerMemory).toEqualTypeOf<Layer.Layer<SearchRate>>()

        const options = { name: "x", limit: 1, window: 1 } as const
        expectTypeOf(RateLimit.make(options)).toEqualTypeOf<
          Effect.Effect<RateLimit.RateLimit, never, RateLimiter.RateLimiter>
        >()
        expectTypeOf(RateLimit.makeMemory({ ...options, onStoreError: "allow" })).toEqualTypeOf<
          Effect.Effect<RateLimit.RateLimit>
        >()
        expectTypeOf(RateLimit.makeMemory({ ...options, onStoreError: "fail" })).toEqualTypeOf<
          Effect.Effect<RateLimit.RateLimit<RateLimiter.RateLimitStoreError>>
        >()
        // Configured: it may be either.
        expectTypeOf(RateLimit.makeMemory({ ...options, onStoreError })).toEqualTypeOf<
          Effect.Effect<RateLimit.RateLimit<RateLimiter.RateLimitStoreError>>
        >()
      }
      assert.isFunction(check)
    })
  })

  const hasRedis = spawnSync("redis-server", ["--version"]).status === 0

  describe.skipIf(!hasRedis)(`on Redis${hasRedis ? "" : ", skipped for want of redis-server"}`, () => {
    const redisServer = Effect.acquireRelease(
      Effect.flatMap(
        freePort,
        (port) =>
          Effect.callback<{ readonly port: number; readonly stop: Effect.Effect<void> }>((resume) => {
            const server = spawn("redis-server", [
              "--port",
              String(port),
              "--bind",
              "127.0.0.1",
              "--save",
              "",
              "--appendonly",
              "no"
            ])
            const stop = Effect.callback<void>((resume) => {
              if (server.exitCode !== null || server.signalCode !== null) return resume(Effect.void)
              server.once("exit", () => resume(Effect.void))
              server.kill("SIGKILL")
            })
            let output = ""
            server.stdout.on("data", (data) => {
              output += String(data)
              if (output.includes("Ready to accept connections")) resume(Effect.succeed({ port, stop }))
            })
            server.once("exit", () => resume(Effect.die(new Error(`redis-server ended: ${output}`))))
          })
      ),
      ({ stop }) => stop
    )

    /** What one process would have: a connection and a store of its own. */
    const limiterOn = (port: number) =>
      Layer.fresh(RateLimiter.layer).pipe(
        Layer.provide(Layer.fresh(RateLimiter.layerStoreRedis())),
        Layer.provide(Layer.fresh(NodeRedis.layer({
          socket: { host: "127.0.0.1", port, reconnectStrategy: false },
          disableOfflineQueue: true
        })))
      )

    it.live("shares tokens between processes, and waits as it does in memory", () =>
      Effect.gen(function*() {
        const { port } = yield* redisServer
        const one = yield* Layer.build(limiterOn(port))
        const two = yield* Layer.build(limiterOn(port))
        const on = (context: Context.Context<RateLimiter.RateLimiter>, options: Partial<RateLimit.Options>) =>
          Effect.provide(
            RateLimit.make({
              name: JSON.stringify(options),
              limit: 3,
              window: "1 hour",
              onStoreError: "fail",
              ...options
            }),
            context
          )
        const hour = 3_600_000
        for (const algorithm of ["fixed-window", "token-bucket"] as const) {
          const wait = algorithm === "fixed-window" ? hour : hour / 3
          for (const more of [{}, { onExceeded: "delay", maxWait: "1 second" }] as const) {
            const options = { algorithm, ...more }
            const here = yield* on(one, options)
            const there = yield* on(two, options)
            assert.strictEqual(yield* here.execute(Effect.succeed(1)), 1)
            assert.strictEqual(yield* there.execute(Effect.succeed(2), { tokens: 2 }), 2)
            for (let n = 0; n < 5; n++) {
              const error = yield* Effect.flip(here.execute(Effect.void))
              assert.strictEqual(error._tag, "RateLimitExceededError")
              if (error._tag !== "RateLimitExceededError") continue
              assert.closeTo(Duration.toMillis(error.retryAfter), wait, 5_000)
            }
            assert.strictEqual(yield* there.execute(Effect.succeed(3), { key: "other" }), 3)
          }
          // Half a second for each token, however many processes ask.
          const quick = {
            algorithm,
            limit: 2,
            window: "500 millis",
            onExceeded: "delay",
            maxWait: "10 seconds"
          } as const
          const here = yield* on(one, quick)
          const there = yield* on(two, quick)
          const startedAt = yield* Clock.currentTimeMillis
          const times = yield* Effect.forEach(
            [here, there, here, there, here],
            (limit) => limit.execute(Effect.map(Clock.currentTimeMillis, (now) => now - startedAt)),
            { concurrency: "unbounded" }
          )
          const last = Math.max(...times)
          assert.isAtLeast(last, algorithm === "fixed-window" ? 950 : 700)
          assert.isBelow(last, 5_000)
        }
      }).pipe(Effect.scoped), 30_000)

    it.live("does as onStoreError says when the server is gone", () =>
      Effect.gen(function*() {
        const server = yield* redisServer
        const context = yield* Layer.build(limiterOn(server.port))
        const options = { name: "x", limit: 1, window: "1 hour" } as const
        const open = yield* Effect.provide(RateLimit.make(options), context)
        const strict = yield* Effect.provide(RateLimit.make({ ...options, onStoreError: "fail" }), context)
        yield* open.execute(Effect.void)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(open.execute(Effect.void))))
        yield* server.stop
        assert.strictEqual(yield* open.execute(Effect.succeed("ran")), "ran")
        const exit = yield* Effect.exit(strict.execute(Effect.void))
        assert.isTrue(
          Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof RateLimiter.RateLimitStoreError
        )
      }).pipe(
        Effect.provideService(References.UnhandledLogLevel, undefined),
        Effect.provide(Logger.layer([])),
        Effect.scoped
      ), 30_000)
  })
})
