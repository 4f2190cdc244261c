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
import { atEveryOperation } from "./support/machine.ts"

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

describe("RateLimit", () => {
  describe("make", () => {
    it("refuses bad options where they are written", () => {
      const good = { name: "x", limit: 10, window: "1 second" } as const
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
        [{ algorithm: "leaky" }, "algorithm must be \"fixed-window\" or \"token-bucket\", got \"leaky\""],
        [{ onExceeded: "wait" }, "onExceeded must be \"fail\" or \"delay\", got \"wait\""],
        [{ onStoreError: "log" }, "onStoreError must be \"allow\" or \"fail\", got \"log\""]
      ]
      for (const [change, message] of bad) {
        const options = { ...good, ...change }
        assert.throws(() => RateLimit.make(options), RangeError, `RateLimit.make: ${message}`)
        assert.throws(() => RateLimit.makeMemory(options), RangeError, `RateLimit.makeMemory: ${message}`)
        assert.throws(() => RateLimit.Service<never>()("x", options), RangeError, `RateLimit.Service: ${message}`)
      }
    })

    it.effect("makes what can be told from other values", () =>
      Effect.gen(function*() {
        assert.isTrue(RateLimit.isRateLimit(yield* RateLimit.makeMemory({ name: "x", limit: 1, window: 1 })))
        assert.isFalse(RateLimit.isRateLimit({ name: "x" }))
        assert.strictEqual(RateLimit.TypeId, "~effect-resilience/RateLimit")
      }))

    it.effect("describes itself", () =>
      Effect.gen(function*() {
        const description = (options: Partial<RateLimit.Options>) =>
          Effect.map(
            RateLimit.makeMemory({ name: "x", limit: 100, window: "1 minute", ...options }),
            (rateLimit) => rateLimit.description
          )
        assert.strictEqual(yield* description({}), "at most 100 calls per 1m (fixed-window), the rest rejected")
        assert.strictEqual(
          yield* description({ limit: 1, onExceeded: "delay", algorithm: "token-bucket" }),
          "at most 1 call per 1m (token-bucket), the rest delayed"
        )
        assert.strictEqual(
          yield* description({ onExceeded: "delay", maxWait: "5 seconds", tokens: 5 }),
          "at most 100 tokens per 1m (fixed-window), 5 per call, the rest delayed up to 5s"
        )
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
        assert.deepStrictEqual(yield* callAll(rateLimit, 1, { tokens: 5 }), ["try in 600"])
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

  describe("onExceeded delay", () => {
    it.effect("spreads calls evenly with a token bucket", () =>
      Effect.gen(function*() {
        const rateLimit = yield* RateLimit.makeMemory({
          name: "x",
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
        const rateLimit = yield* RateLimit.makeMemory({ name: "x", limit: 2, window: "1 second", onExceeded: "delay" })
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
        const rateLimit = yield* RateLimit.makeMemory({
          name: "x",
          limit: 3,
          window: "1 second",
          algorithm: "token-bucket",
          onExceeded: "delay"
        })
        const fiber = yield* fork(callAll(rateLimit, 4))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* Fiber.join(fiber))[3], "ran at 334")
      }))

    it.effect("keeps the tokens of a call that is interrupted while it waits, and no more", () =>
      Effect.gen(function*() {
        const rateLimit = yield* RateLimit.makeMemory({
          name: "x",
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
  })

  describe("maxWait", () => {
    const limited = (algorithm: "fixed-window" | "token-bucket", maxWait: Duration.Input) =>
      RateLimit.makeMemory({ name: "x", limit: 2, window: "1 second", algorithm, onExceeded: "delay", maxWait })

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
            }).pipe(Effect.provide([RateLimit.layerMemory, TestClock.layer()]))
          const told = await Effect.runPromise(history(1))
          const ran = await Effect.runPromise(history("1 hour"))
          const wait = /try in (.*)/.exec(told)
          assert.strictEqual(ran, wait === null ? told : `ran at ${100 + Number(wait[1])}`, `${waiting}, ${tokens}`)
        }
      }
    })

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

  describe("interruption", () => {
    it("at any operation of a call takes its tokens at most once", () => {
      for (const algorithm of ["fixed-window", "token-bucket"] as const) {
        const places = atEveryOperation((machine, start, place) => {
          const rateLimit = Effect.runSync(RateLimit.makeMemory({
            name: "x",
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
          assert.isEmpty(machine.sleeps, `operation ${place}`)
          // The next in line waits for one token, or for two if the interrupted call has taken one.
          const next = machine.run(rateLimit.execute(Effect.sync(() => machine.now)))
          machine.finish()
          const at = Exit.getSuccess(next.pollUnsafe()!)
          assert.isTrue(at._tag === "Some" && at.value <= 1_000, `operation ${place}`)
        })
        assert.isAbove(places, 10)
      }
    })
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
  if (!hasRedis) process.stderr.write("RateLimit: no redis-server here, the tests against Redis are skipped\n")

  describe.skipIf(!hasRedis)("on Redis", () => {
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
