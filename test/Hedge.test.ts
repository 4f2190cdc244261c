import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import { TestClock } from "effect/testing"
import { Bulkhead, CircuitBreaker, Hedge, type ResilienceError, RetryBudget } from "effect-resilience"
import { expectTypeOf } from "vitest"
import { Recorder } from "../src/internal/telemetry/recorder.ts"
import * as Rejection from "../src/internal/error/rejection.ts"
import { atEveryOperation, counted, Machine, seeded } from "./support/machine.ts"

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

const isInterrupted = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)

/** Attempts that take the given times, with a record of what became of each. */
const attempts = <A, E, R>(...bodies: ReadonlyArray<Effect.Effect<A, E, R>>) => {
  const started: Array<number> = []
  const exits: Array<Exit.Exit<A, E>> = []
  let running = 0
  const effect = counted(
    Effect.clockWith((clock) => {
      const n = started.length
      started.push(clock.currentTimeMillisUnsafe())
      return Effect.onExit(bodies[Math.min(n, bodies.length - 1)]!, (exit) =>
        Effect.sync(() => {
          exits[n] = exit
        }))
    }),
    (change) => {
      running += change
    }
  )
  return { effect, started, exits, running: () => running }
}

const after = <A, E>(millis: number, result: Effect.Effect<A, E>) => Effect.delay(result, millis)

describe("Hedge", () => {
  describe("make", () => {
    it("refuses bad options where they are written", () => {
      const bad: ReadonlyArray<readonly [Hedge.Options, string]> = [
        [{ delay: -1 }, "delay must be a duration of at least zero such as \"5 seconds\", got -1"],
        [{ delay: NaN }, "delay must be a duration of at least zero such as \"5 seconds\", got NaN"],
        [{ delay: 1, maxHedges: 0 }, "maxHedges must be an integer from 1 to 100, got 0"],
        [{ delay: 1, maxHedges: 1.5 }, "maxHedges must be an integer from 1 to 100, got 1.5"],
        [{ delay: 1, maxHedges: NaN }, "maxHedges must be an integer from 1 to 100, got NaN"],
        [{ delay: 1, maxHedges: 101 }, "maxHedges must be an integer from 1 to 100, got 101"],
        [{ delay: 1, budget: 5 as unknown as RetryBudget.RetryBudget }, "budget must be a value made with"],
        [{ delay: 1, while: true as unknown as () => boolean }, "while must be a function, got true"],
        [{ delay: 1, onHedge: Effect.void as unknown as () => Effect.Effect<void> }, "onHedge must be a function, got"]
      ]
      for (const [options, message] of bad) {
        assert.throws(() => Hedge.make(options), RangeError, `Hedge.make: ${message}`)
        assert.throws(() => Hedge.withHedge(options), RangeError, `Hedge.make: ${message}`)
        assert.throws(() => Hedge.withHedge(Effect.void, options), RangeError, `Hedge.make: ${message}`)
      }
    })

    it("refuses what are no options", () => {
      const delay = [100] as unknown as Hedge.Options
      assert.throws(() => Hedge.make(delay), RangeError, "Hedge.make: options must be an object")
    })

    it("tells a policy from its options", () => {
      assert.isTrue(Hedge.isHedgePolicy(Hedge.make({ delay: 1 })))
      assert.isFalse(Hedge.isHedgePolicy({ delay: 1 }))
      assert.strictEqual(Hedge.TypeId, "~effect-resilience/HedgePolicy")
    })

    it.effect("says what it does", () =>
      Effect.gen(function*() {
        const budget = yield* RetryBudget.make()
        assert.isTrue(Hedge.isHedgePolicy(Hedge.make({ delay: 1 })))
        assert.strictEqual(Hedge.make({ delay: "1 second" }).description, "1 hedge, after 1s")
        assert.strictEqual(Hedge.make({ delay: "1 second", maxHedges: 3 }).description, "up to 3 hedges, each after 1s")
        assert.strictEqual(Hedge.make({ delay: 0 }).description, "1 hedge, at once")
        assert.strictEqual(Hedge.make({ delay: Duration.infinity }).description, "1 hedge, after a failure")
        assert.strictEqual(
          Hedge.make({ delay: () => 1, maxHedges: 2, budget }).description,
          "up to 2 hedges, each after a computed delay, within a budget"
        )
      }))
  })

  describe("withHedge", () => {
    it.effect("starts no second attempt before its time", () =>
      Effect.gen(function*() {
        const call = attempts(after(99, Effect.succeed("first")))
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: "100 millis" }))
        yield* TestClock.adjust("99 millis")
        assert.strictEqual(yield* Fiber.join(fiber), "first")
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(call.started, [0])
      }))

    it.effect("starts the second attempt at exactly the delay, and takes the first success", () =>
      Effect.gen(function*() {
        const call = attempts(after(1_000, Effect.succeed("first")), after(50, Effect.succeed("second")))
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: "100 millis" }))
        yield* TestClock.adjust("99 millis")
        assert.deepStrictEqual(call.started, [0])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(call.started, [0, 100])
        yield* TestClock.adjust("49 millis")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* Fiber.join(fiber), "second")
        assert.isTrue(isInterrupted(call.exits[0]!))
        assert.strictEqual(call.running(), 0)
      }))

    it.effect("takes the first attempt's success though a hedge runs", () =>
      Effect.gen(function*() {
        const call = attempts(after(120, Effect.succeed("first")), after(50, Effect.succeed("second")))
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: "100 millis" }))
        yield* TestClock.adjust("120 millis")
        assert.strictEqual(yield* Fiber.join(fiber), "first")
        assert.isTrue(isInterrupted(call.exits[1]!))
      }))

    it.effect("starts up to maxHedges more, each a delay after the last", () =>
      Effect.gen(function*() {
        const call = attempts(Effect.never)
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: "100 millis", maxHedges: 3 }))
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(call.started, [0, 100, 200, 300])
        assert.isUndefined(fiber.pollUnsafe())
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(call.running(), 0)
      }))

    it.effect("asks a delay function for each hedge", () =>
      Effect.gen(function*() {
        const call = attempts(Effect.never)
        const asked: Array<number> = []
        const delay = (hedge: number) => {
          asked.push(hedge)
          return hedge * 100
        }
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay, maxHedges: 3 }))
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(call.started, [0, 100, 300, 600])
        assert.deepStrictEqual(asked, [1, 2, 3])
        yield* Fiber.interrupt(fiber)
      }))

    it.effect("starts all attempts at once with a delay of zero", () =>
      Effect.gen(function*() {
        const call = attempts(Effect.never, Effect.never, after(10, Effect.succeed("third")))
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: 0, maxHedges: 2 }))
        yield* TestClock.adjust("10 millis")
        assert.deepStrictEqual(call.started, [0, 0, 0])
        assert.strictEqual(yield* Fiber.join(fiber), "third")
        assert.strictEqual(call.running(), 0)
      }))

    it.effect("starts the next attempt only after a failure with an infinite delay", () =>
      Effect.gen(function*() {
        const call = attempts<string, string, never>(after(5_000, Effect.fail("no")), Effect.succeed("second"))
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: Duration.infinity }))
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(yield* Fiber.join(fiber), "second")
        assert.deepStrictEqual(call.started, [0, 5_000])
      }))

    it.effect("starts no timer with an infinite delay", () =>
      Effect.gen(function*() {
        const test = yield* Effect.clockWith(Effect.succeed)
        let sleeps = 0
        const clock: Clock.Clock = Object.assign(Object.create(test), {
          sleep: (duration: Duration.Duration) => {
            sleeps++
            return test.sleep(duration)
          }
        })
        const hedged = (delay: Duration.Input) =>
          Hedge.withHedge(Effect.yieldNow, { delay }).pipe(Effect.provideService(Clock.Clock, clock))
        yield* hedged("1 second")
        assert.strictEqual(sleeps, 1)
        yield* hedged(Duration.infinity)
        assert.strictEqual(sleeps, 1)
      }))

    it("does not even start a timer for an attempt that ends without waiting", () => {
      const machine = new Machine()
      const fiber = machine.run(Hedge.withHedge(Effect.succeed(1), { delay: 10 }))
      assert.deepStrictEqual(fiber.pollUnsafe(), Exit.succeed(1))
      assert.isEmpty(machine.sleeps)
      assert.isEmpty(machine.tasks)
    })

    it.effect("can be run again, since it is a value", () =>
      Effect.gen(function*() {
        const call = attempts(after(50, Effect.succeed("done")))
        const hedged = Hedge.withHedge(call.effect, { delay: "100 millis" })
        const fiber = yield* fork(Effect.all([hedged, hedged], { concurrency: 2 }))
        yield* TestClock.adjust("50 millis")
        assert.deepStrictEqual(yield* Fiber.join(fiber), ["done", "done"])
      }))

    it.effect("runs attempts with the caller's services", () =>
      Effect.gen(function*() {
        const Region = Context.Reference<string>("test/Region", { defaultValue: () => "none" })
        const call = attempts(Effect.never, Effect.service(Region))
        const fiber = yield* fork(
          Hedge.withHedge(call.effect, { delay: 10 }).pipe(Effect.provideService(Region, "eu"))
        )
        yield* TestClock.adjust(10)
        assert.strictEqual(yield* Fiber.join(fiber), "eu")
      }))
  })

  describe("failures", () => {
    it.effect("start the next attempt at once, and the timer anew", () =>
      Effect.gen(function*() {
        const call = attempts<string, string, never>(after(40, Effect.fail("no")), Effect.never)
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: "100 millis", maxHedges: 2 }))
        yield* TestClock.adjust("40 millis")
        assert.deepStrictEqual(call.started, [0, 40])
        yield* TestClock.adjust("99 millis")
        assert.deepStrictEqual(call.started, [0, 40])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(call.started, [0, 40, 140])
        yield* Fiber.interrupt(fiber)
      }))

    it("without waiting leave one timer running, for the attempt that runs", () => {
      const machine = new Machine()
      const call = attempts<never, string, never>(Effect.fail("no"), Effect.fail("no"), Effect.never)
      machine.run(Hedge.withHedge(call.effect, { delay: "100 millis", maxHedges: 5 }))
      assert.strictEqual(call.started.length, 3)
      assert.strictEqual(machine.sleeps.length, 1)
    })

    it.effect("fail the call with the last error once no attempt is left", () =>
      Effect.gen(function*() {
        const call = attempts<never, string, never>(Effect.fail("one"), Effect.fail("two"), Effect.fail("three"))
        const exit = yield* Effect.exit(Hedge.withHedge(call.effect, { delay: "100 millis", maxHedges: 2 }))
        assert.deepStrictEqual(exit, Exit.fail("three"))
        assert.strictEqual(call.started.length, 3)
      }))

    it.effect("do not fail the call while another attempt runs", () =>
      Effect.gen(function*() {
        const call = attempts<string, string, never>(after(200, Effect.succeed("first")), after(50, Effect.fail("no")))
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: "100 millis" }))
        yield* TestClock.adjust("150 millis")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("50 millis")
        assert.strictEqual(yield* Fiber.join(fiber), "first")
      }))

    it.effect("end with the error that came last, not that of the last attempt", () =>
      Effect.gen(function*() {
        const call = attempts<never, string, never>(after(200, Effect.fail("first")), after(50, Effect.fail("second")))
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: "100 millis" }))
        yield* TestClock.adjust("200 millis")
        assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.fail("first"))
      }))

    it.effect("a hundred in a row without waiting do not overflow the stack", () =>
      Effect.gen(function*() {
        const call = attempts<never, string, never>(Effect.fail("no"))
        yield* Effect.exit(Hedge.withHedge(call.effect, { delay: 1, maxHedges: 100 }))
        assert.strictEqual(call.started.length, 101)
      }))

    it.effect("that `while` refuses are answers: they end the call at once", () =>
      Effect.gen(function*() {
        const call = attempts<string, string, never>(Effect.never, after(50, Effect.fail("not found")))
        const fiber = yield* fork(Hedge.withHedge(call.effect, {
          delay: "100 millis",
          maxHedges: 5,
          while: (error) => error !== "not found"
        }))
        yield* TestClock.adjust("150 millis")
        assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.fail("not found"))
        assert.deepStrictEqual(call.started, [0, 100])
        assert.strictEqual(call.running(), 0)
      }))

    it.effect("by a defect end the call at once", () =>
      Effect.gen(function*() {
        const call = attempts(Effect.never, after(50, Effect.die("bug")))
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: "100 millis", maxHedges: 5 }))
        yield* TestClock.adjust("150 millis")
        assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.die("bug"))
        assert.deepStrictEqual(call.started, [0, 100])
        assert.strictEqual(call.running(), 0)

        const both = attempts(Effect.failCause(Cause.combine(Cause.fail("no"), Cause.die("bug"))))
        assert.isTrue(Exit.hasDies(yield* Effect.exit(Hedge.withHedge(both.effect, { delay: 100 }))))
        assert.strictEqual(both.started.length, 1)
      }))

    it.effect("by an attempt that interrupts itself end the call at once", () =>
      Effect.gen(function*() {
        const call = attempts(Effect.never, Effect.interrupt)
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: "100 millis", maxHedges: 5 }))
        yield* TestClock.adjust("100 millis")
        assert.isTrue(isInterrupted(yield* Fiber.await(fiber)))
        assert.strictEqual(call.running(), 0)
      }))

    it.effect("with a retryAfter start no more attempts, and those that run go on", () =>
      Effect.gen(function*() {
        const busy = { _tag: "Busy", retryAfter: Duration.seconds(5) } as const
        const call = attempts(after(500, Effect.succeed("first")), after(10, Effect.fail(busy)))
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: "100 millis", maxHedges: 5 }))
        yield* TestClock.adjust("500 millis")
        assert.strictEqual(yield* Fiber.join(fiber), "first")
        assert.deepStrictEqual(call.started, [0, 100])

        const alone = attempts<never, typeof busy, never>(Effect.fail(busy))
        assert.deepStrictEqual(
          yield* Effect.exit(Hedge.withHedge(alone.effect, { delay: 1, maxHedges: 5 })),
          Exit.fail(busy)
        )
        assert.strictEqual(alone.started.length, 1)
      }))

    it.effect("with a retryAfter of zero are as any other", () =>
      Effect.gen(function*() {
        const call = attempts<never, { readonly retryAfter: Duration.Duration }, never>(
          Effect.fail({ retryAfter: Duration.zero })
        )
        yield* Effect.exit(Hedge.withHedge(call.effect, { delay: 1, maxHedges: 5 }))
        assert.strictEqual(call.started.length, 6)
      }))

    it.effect("by a rejection are never an answer: the attempt that runs goes on", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1 })
        const call = attempts(after(500, Effect.succeed("first")))
        const refused: Array<unknown> = []
        const fiber = yield* fork(call.effect.pipe(
          Bulkhead.withBulkhead(bulkhead),
          Hedge.withHedge({
            delay: "100 millis",
            maxHedges: 5,
            while: (error) => {
              refused.push(error)
              return false
            }
          })
        ))
        yield* TestClock.adjust("500 millis")
        assert.strictEqual(yield* Fiber.join(fiber), "first")
        assert.deepStrictEqual(call.started, [0])
        assert.isEmpty(refused)
        assert.strictEqual(yield* bulkhead.rejected, 1)
      }))

    it.effect("by a rejection of the only attempt fail the call at once", () =>
      Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make({ name: "api" })
        yield* breaker.forceOpen()
        const call = attempts(Effect.void)
        const error = yield* call.effect.pipe(
          CircuitBreaker.withCircuitBreaker(breaker),
          Hedge.withHedge({ delay: "100 millis", maxHedges: 5 }),
          Effect.flip
        )
        assert.strictEqual(error._tag, "CircuitOpenError")
        assert.isEmpty(call.started)
        assert.strictEqual((yield* breaker.metrics).rejectedCalls, 1)
      }))
  })

  describe("losers", () => {
    it.effect("are ignored by a circuit inside", () =>
      Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make({ name: "api" })
        const call = attempts(Effect.never, after(10, Effect.succeed("second")))
        const fiber = yield* fork(call.effect.pipe(
          CircuitBreaker.withCircuitBreaker(breaker),
          Hedge.withHedge({ delay: "100 millis" })
        ))
        yield* TestClock.adjust("110 millis")
        yield* Fiber.join(fiber)
        const { failedCalls, ignoredCalls, successfulCalls } = yield* breaker.metrics
        assert.deepStrictEqual({ failedCalls, ignoredCalls, successfulCalls }, {
          failedCalls: 0,
          ignoredCalls: 1,
          successfulCalls: 1
        })
      }))

    const stubborn = (millis: number) => Effect.uninterruptible(Effect.sleep(millis))

    it.effect("do not delay the result, and end in the background", () =>
      Effect.gen(function*() {
        const call = attempts(Effect.as(stubborn(10_000), "first"), after(10, Effect.succeed("second")))
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: "100 millis" }))
        yield* TestClock.adjust("110 millis")
        assert.deepStrictEqual(fiber.pollUnsafe(), Exit.succeed("second"))
        assert.strictEqual(call.running(), 1)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(call.running(), 0)
      }))

    it.effect("are waited for with awaitLosers, also if the call is interrupted meanwhile", () =>
      Effect.gen(function*() {
        const make = () => attempts(Effect.as(stubborn(10_000), "first"), after(10, Effect.succeed("second")))
        const call = make()
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: "100 millis", awaitLosers: true }))
        yield* TestClock.adjust("9999 millis")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(fiber.pollUnsafe(), Exit.succeed("second"))

        const other = make()
        const interrupted = yield* fork(Hedge.withHedge(other.effect, { delay: "100 millis", awaitLosers: true }))
        yield* TestClock.adjust("110 millis")
        yield* fork(Fiber.interrupt(interrupted))
        assert.isUndefined(interrupted.pollUnsafe())
        yield* TestClock.adjust("9890 millis")
        assert.isDefined(interrupted.pollUnsafe())
        assert.strictEqual(other.running(), 0)
      }))
  })

  describe("callbacks", () => {
    it.effect("onHedge is told of each attempt but the first, and why it starts", () =>
      Effect.gen(function*() {
        const call = attempts<never, string, never>(Effect.never, after(50, Effect.fail("no")), Effect.never)
        const hedges: Array<Hedge.HedgeInfo> = []
        const fiber = yield* fork(Hedge.withHedge(call.effect, {
          delay: "100 millis",
          maxHedges: 2,
          onHedge: (hedge) => Effect.sync(() => hedges.push(hedge))
        }))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(hedges, [{ hedge: 1, reason: "slow" }, { hedge: 2, reason: "failed" }])
        yield* Fiber.interrupt(fiber)
      }))

    it.effect("telemetry is told of each hedge, by the name of the policy or as a call", () =>
      Effect.gen(function*() {
        const told: Array<string> = []
        const recorder = { onHedge: (operation: string) => told.push(operation) } as unknown as Recorder
        for (const operation of [undefined, "users"]) {
          const call = attempts(Effect.fail("no"))
          yield* Effect.exit(Hedge.withHedge(call.effect, { delay: 1, maxHedges: 2, operation })).pipe(
            Effect.provideService(Recorder, recorder)
          )
        }
        assert.deepStrictEqual(told, ["call", "call", "users", "users"])
      }))

    it.effect("are not asked for an attempt that fails after the call has ended", () =>
      Effect.gen(function*() {
        const told: Array<string> = []
        const loser = Effect.uninterruptible(after(1_000, Effect.fail("late")))
        const call = attempts(loser, Effect.succeed("second"))
        const fiber = yield* fork(Hedge.withHedge(call.effect, {
          delay: 100,
          maxHedges: 3,
          while: (error) => told.push(error) > 0,
          onHedge: ({ reason }) => Effect.sync(() => told.push(reason))
        }))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* Fiber.join(fiber), "second")
        assert.isTrue(Exit.hasFails(call.exits[0]!))
        assert.deepStrictEqual(told, ["slow"])
      }))

    it.effect("onHedge is logged if it fails, and nothing is logged without one", () =>
      Effect.gen(function*() {
        const logged: Array<unknown> = []
        const logger = Logger.make(({ logLevel, message }) => {
          logged.push([logLevel, Array.isArray(message) ? message[0] : message])
        })
        for (const onHedge of [undefined, () => Effect.fail("no"), () => Effect.die("bug"), throwing]) {
          const call = attempts(Effect.fail("no"), Effect.succeed("second"))
          yield* Hedge.withHedge(call.effect, { delay: 100, onHedge }).pipe(Effect.provide(Logger.layer([logger])))
        }
        yield* Effect.yieldNow
        const expected = ["Error", "The onHedge callback of a hedge failed"]
        assert.deepStrictEqual(logged, [expected, expected, expected])
      }))

    it.effect("onHedge can neither delay nor fail the call", () =>
      Effect.gen(function*() {
        for (const onHedge of [() => Effect.never, () => Effect.fail("no"), () => Effect.die("bug"), throwing]) {
          const call = attempts(Effect.never, Effect.succeed("second"))
          const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: 100, onHedge }))
          yield* TestClock.adjust(100)
          assert.strictEqual(yield* Fiber.join(fiber), "second")
        }
      }))

    it.effect("`while` or `delay` that throws makes the call die, and nothing else", () =>
      Effect.gen(function*() {
        const failing = attempts<never, string, never>(after(10, Effect.fail("no")))
        const first = yield* fork(Hedge.withHedge(failing.effect, { delay: 100, while: throwing }))
        yield* TestClock.adjust(10)
        assert.isTrue(Exit.hasDies(yield* Fiber.await(first)))

        const slow = attempts(Effect.never)
        const second = yield* Effect.exit(Hedge.withHedge(slow.effect, { delay: throwing }))
        assert.isTrue(Exit.hasDies(second))
        const third = yield* Effect.exit(Hedge.withHedge(slow.effect, { delay: () => -1 }))
        assert.isTrue(Exit.isFailure(third) && Cause.squash(third.cause) instanceof RangeError)
        const fourth = yield* fork(Hedge.withHedge(slow.effect, {
          delay: (hedge) => hedge === 1 ? 10 : throwing(),
          maxHedges: 2
        }))
        yield* TestClock.adjust(10)
        assert.isTrue(Exit.hasDies(yield* Fiber.await(fourth)))
        assert.strictEqual(slow.running(), 0)
      }))
  })

  it.effect("a call whose hedge is rejected fails with the error of its attempt and with the rejection", () =>
    Effect.gen(function*() {
      const rejected = Rejection.circuitOpenError("quotes", "Open", 1_000)
      let made = 0
      const call = Effect.suspend(() => Effect.fail(made++ === 0 ? "down" as const : rejected))
      const exit = yield* Effect.exit(Hedge.withHedge(call, { delay: 100 }))
      assert.deepStrictEqual(exit, Exit.failCause(Cause.combine(Cause.fail("down" as const), Cause.fail(rejected))))
    }))

  describe("budget", () => {
    it.effect("earns by calls and pays for hedges", () =>
      Effect.gen(function*() {
        const budget = yield* RetryBudget.make({ ratio: 0.5, minPerSecond: 0 })
        const call = attempts(Effect.never)
        const hedged = Hedge.withHedge(call.effect, { delay: 100, maxHedges: 3, budget })
        const fibers = yield* Effect.forEach([1, 2, 3, 4], () => fork(hedged))
        yield* TestClock.adjust("1 second")
        // Four calls and the two hedges they paid for.
        assert.strictEqual(call.started.length, 6)
        const { calls, retries } = yield* budget.metrics
        assert.deepStrictEqual([calls, retries], [4, 2])
        yield* Fiber.interruptAll(fibers)
      }))

    it.effect("is not paid into by a call of which no attempt was made", () =>
      Effect.gen(function*() {
        const budget = yield* RetryBudget.make({ ratio: 0.5, minPerSecond: 0 })
        const hedge = Hedge.withHedge({ delay: 100, budget })
        const rejected = Rejection.circuitOpenError("quotes", "Open", 1_000)
        assert.deepStrictEqual(yield* Effect.exit(hedge(Effect.fail(rejected))), Exit.fail(rejected))
        assert.strictEqual((yield* budget.metrics).calls, 0)
        yield* Effect.exit(hedge(Effect.fail("down")))
        assert.strictEqual((yield* budget.metrics).calls, 1)
      }))

    it.effect("that is empty lets the call go on with the attempts it has", () =>
      Effect.gen(function*() {
        const budget = yield* RetryBudget.make({ ratio: 0, minPerSecond: 0 })
        const slow = attempts(after(500, Effect.succeed("first")))
        const fiber = yield* fork(Hedge.withHedge(slow.effect, { delay: 100, budget }))
        yield* TestClock.adjust(500)
        assert.strictEqual(yield* Fiber.join(fiber), "first")
        assert.deepStrictEqual(slow.started, [0])

        const failing = attempts<never, string, never>(Effect.fail("no"))
        assert.deepStrictEqual(
          yield* Effect.exit(Hedge.withHedge(failing.effect, { delay: 100, budget })),
          Exit.fail("no")
        )
        assert.strictEqual(failing.started.length, 1)
        assert.strictEqual((yield* budget.metrics).exhausted, 2)
      }))

    it.effect("may be the class of a service", () =>
      Effect.gen(function*() {
        class ApiBudget extends RetryBudget.Service<ApiBudget>()("api", { ratio: 0, minPerSecond: 0 }) {}
        const call = attempts<never, string, never>(Effect.fail("no"))
        const hedged = call.effect.pipe(Hedge.withHedge({ delay: 100, budget: ApiBudget }), Effect.exit)
        expectTypeOf(hedged).toEqualTypeOf<Effect.Effect<Exit.Exit<never, string>, never, ApiBudget>>()
        yield* hedged.pipe(Effect.provide(ApiBudget.layer))
        assert.strictEqual(call.started.length, 1)
      }))
  })

  describe("interruption", () => {
    it.effect("of the call interrupts all attempts and waits for their finalizers", () =>
      Effect.gen(function*() {
        yield* TestClock.adjust(0)
        const call = attempts(Effect.onInterrupt(Effect.never, () => Effect.sleep("1 second")))
        const fiber = yield* fork(Hedge.withHedge(call.effect, { delay: 100, maxHedges: 2 }))
        yield* TestClock.adjust(150)
        assert.strictEqual(call.running(), 2)
        yield* fork(Fiber.interrupt(fiber))
        yield* TestClock.adjust(999)
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust(1)
        assert.isTrue(isInterrupted(yield* Fiber.await(fiber)))
        assert.strictEqual(call.running(), 0)
        assert.strictEqual(call.started.length, 2)
      }))

    const bodies = {
      slow: () => attempts(Effect.sleep(1_000)),
      quick: () => attempts(Effect.sleep(30), Effect.sleep(5)),
      failing: () => attempts<void, string, never>(Effect.fail("no"), after(5, Effect.fail("no")), Effect.sleep(1_000))
    }
    for (const [name, make] of Object.entries(bodies)) {
      it(`at any operation of the caller, at any time, leaves nothing running (${name})`, () => {
        for (const at of [0, 5, 10, 15, 20, 30]) {
          const places = atEveryOperation((machine, start, place) => {
            const call = make()
            const fiber = start(Hedge.withHedge(Effect.andThen(Effect.yieldNow, call.effect), {
              delay: 10,
              maxHedges: 2
            }))
            while (machine.now < at && (machine.step() || machine.tick()));
            fiber.interruptUnsafe()
            // Interruption is prompt: nothing here needs time to stop.
            machine.settle()
            assert.isDefined(fiber.pollUnsafe(), `operation ${place}, time ${at}`)
            assert.strictEqual(call.running(), 0, `operation ${place}, time ${at}`)
            assert.isEmpty(machine.sleeps)
            const started = call.started.length
            machine.finish()
            assert.strictEqual(call.started.length, started)
          })
          assert.isAbove(places, 1)
        }
      })
    }

    it("stops attempts that have been started and have yet to do anything", () => {
      for (const awaitLosers of [false, true]) {
        const machine = new Machine()
        const seen = new Set<number>()
        const call = attempts(Effect.never)
        const fiber = machine.run(Hedge.withHedge(call.effect, { delay: 10, awaitLosers }))
        machine.pausesAt = (fiber) => !seen.has(fiber.id) && seen.add(fiber.id).size > 0
        machine.tick()
        assert.strictEqual(call.started.length, 1)
        fiber.interruptUnsafe()
        machine.settle()
        assert.isDefined(fiber.pollUnsafe())
        assert.strictEqual(call.started.length, 1)
        assert.strictEqual(call.running(), 0)
      }
    })

    it("by an attempt of its own caller, or of its own success, leaves nothing running", () => {
      // The second attempt ends the call while it is being started.
      const scenarios = {
        interrupts: (machine: Machine) => {
          let caller: Fiber.Fiber<unknown, unknown> | undefined
          const call = attempts(
            Effect.never,
            Effect.andThen(Effect.sync(() => caller!.interruptUnsafe()), Effect.never)
          )
          caller = machine.run(Hedge.withHedge(call.effect, { delay: 10 }))
          return { call, caller }
        },
        succeeds: (machine: Machine) => {
          const done = Deferred.makeUnsafe<void>()
          const call = attempts(Deferred.await(done), Effect.andThen(Deferred.succeed(done, undefined), Effect.never))
          return { call, caller: machine.run(Hedge.withHedge(call.effect, { delay: 10 })) }
        },
        told: (machine: Machine) => {
          const done = Deferred.makeUnsafe<void>()
          const call = attempts(Deferred.await(done), Effect.never)
          const onHedge = () => Deferred.succeed(done, undefined)
          return { call, caller: machine.run(Hedge.withHedge(call.effect, { delay: 10, onHedge })) }
        }
      }
      for (const scenario of Object.values(scenarios)) {
        const machine = new Machine()
        const { call, caller } = scenario(machine)
        machine.finish()
        assert.isDefined(caller.pollUnsafe())
        assert.strictEqual(call.running(), 0)
      }
    })

    for (let seed = 1; seed <= 20; seed++) {
      it(`in random schedules leaves nothing running and loses no result (seed ${seed})`, () => {
        const random = seeded(seed)
        const below = (n: number) => Math.floor(random() * n)
        const machine = new Machine()
        machine.pausesAt = () => random() < 0.2
        machine.pick = below
        let running = 0
        let started = 0
        const attempt = counted(
          Effect.suspend(() => {
            started++
            const end = random()
            const body = Effect.andThen(
              Effect.sleep(below(30)),
              end < 0.3 ? Effect.fail("no") : end < 0.35 ? Effect.die("bug") : Effect.succeed("ok")
            )
            return random() < 0.1 ? Effect.uninterruptible(body) : body
          }),
          (change) => {
            running += change
          }
        )
        const fibers: Array<Fiber.Fiber<string, string>> = []
        const interrupted = new Set<number>()
        for (let n = 0; n < 500; n++) {
          fibers.push(machine.run(Hedge.withHedge(attempt, {
            delay: below(20),
            maxHedges: 1 + below(3),
            awaitLosers: random() < 0.3
          })))
          for (let steps = below(20); steps > 0; steps--) machine.step()
          if (random() < 0.3) machine.tick()
          if (random() < 0.3) {
            const victim = below(fibers.length)
            interrupted.add(victim)
            fibers[victim]!.interruptUnsafe()
          }
        }
        machine.finish()
        assert.strictEqual(running, 0)
        assert.isAbove(started, 500)
        assert.isEmpty(machine.sleeps)
        fibers.forEach((fiber, n) => {
          const exit = fiber.pollUnsafe()!
          if (!interrupted.has(n)) assert.isFalse(isInterrupted(exit))
        })
      })
    }
  })

  describe("types", () => {
    it("leaves success, error and requirements as they are", () => {
      class Db extends Context.Service<Db, { readonly get: Effect.Effect<number, "not found"> }>()("test/Db") {}
      class ApiBudget extends RetryBudget.Service<ApiBudget>()("api") {}
      const call = Effect.flatMap(Db, (db) => db.get)
      const policy = Hedge.make({ delay: 1 })
      type Same = Effect.Effect<number, "not found", Db>

      expectTypeOf(Hedge.withHedge(call, { delay: 1 })).toEqualTypeOf<Same>()
      expectTypeOf(call.pipe(Hedge.withHedge({ delay: 1 }))).toEqualTypeOf<Same>()
      expectTypeOf(Hedge.withHedge(call, policy)).toEqualTypeOf<Same>()
      expectTypeOf(call.pipe(Hedge.withHedge(policy))).toEqualTypeOf<Same>()

      const last = call.pipe(Hedge.withHedge({
        delay: 1,
        while: (error) => {
          expectTypeOf(error).toEqualTypeOf<"not found">()
          return true
        }
      }))
      expectTypeOf(last).toEqualTypeOf<Same>()
      expectTypeOf(Hedge.withHedge(call, { delay: 1, while: (error) => error === "not found" })).toEqualTypeOf<Same>()

      type WithBudget = Effect.Effect<number, "not found", Db | ApiBudget>
      expectTypeOf(Hedge.withHedge(call, { delay: 1, budget: ApiBudget })).toEqualTypeOf<WithBudget>()
      expectTypeOf(call.pipe(Hedge.withHedge({ delay: 1, budget: ApiBudget }))).toEqualTypeOf<WithBudget>()
      const told = call.pipe(Hedge.withHedge({ delay: 1, onHedge: () => Effect.asVoid(ApiBudget) }))
      expectTypeOf(told).toEqualTypeOf<WithBudget>()

      const only = Hedge.make({ delay: 1, while: (error: ResilienceError.BulkheadFullError) => error.limit > 1 })
      type Errors<F> = F extends (self: Effect.Effect<never, infer E>) => unknown ? E : never
      const onlyFull = Hedge.withHedge(only)
      // A policy for one kind of errors does not fit a call with others.
      expectTypeOf<"not found">().not.toExtend<Errors<typeof onlyFull>>()
      expectTypeOf<ResilienceError.BulkheadFullError>().toExtend<Errors<typeof onlyFull>>()
    })
  })
})

const throwing = (): never => {
  throw new Error("thrown")
}
