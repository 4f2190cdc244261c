import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Context, Deferred, Duration, Effect, Exit, Fiber, Random, Schedule, Schema } from "effect"
import { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { Retry, Timeout } from "effect-resilience"
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import * as v8 from "node:v8"
import * as vm from "node:vm"
import { expectTypeOf } from "vitest"
import { CallTimeoutError, isCallTimeoutError } from "../src/ResilienceError.ts"
import { interruptEverywhere } from "./support/interruptEverywhere.ts"
import { counted, Machine } from "./support/machine.ts"

class Dependency extends Context.Service<Dependency, string>()("test/Dependency") {}
class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** A clock that counts who sleeps on it. */
const countedClock = (clock: Clock.Clock, count: (change: 1 | -1) => void): Clock.Clock =>
  Object.assign(Object.create(clock), {
    sleep: (duration: Duration.Duration) => counted(clock.sleep(duration), count)
  })

const timeoutOf = <A, E>(exit: Exit.Exit<A, E>): E => {
  if (Exit.isSuccess(exit)) return assert.fail("succeeded")
  const error = Cause.findErrorOption(exit.cause)
  return error._tag === "Some" ? error.value : assert.fail(Cause.pretty(exit.cause))
}

describe("withTimeout", () => {
  it.effect("returns what the call returns", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Effect.succeed(1).pipe(Timeout.withTimeout("1 second")), 1)
      assert.strictEqual(yield* Timeout.withTimeout(Effect.as(Effect.yieldNow, 2), "1 second"), 2)
    }))

  it.effect("fails as the call fails", () =>
    Effect.gen(function*() {
      const refused = new Refused()
      const limited = Timeout.withTimeout("1 second")

      assert.deepStrictEqual(yield* Effect.exit(limited(Effect.fail(refused))), Exit.fail(refused))
      assert.deepStrictEqual(
        yield* Effect.exit(limited(Effect.andThen(Effect.yieldNow, Effect.fail(refused)))),
        Exit.fail(refused)
      )
      assert.deepStrictEqual(yield* Effect.exit(limited(Effect.die("bug"))), Exit.die("bug"))
    }))

  it.effect("tells what a retry inside had failed with, and nothing of one that has ended", () =>
    Effect.gen(function*() {
      const refused = new Refused()
      const retried = Retry.withRetry(Effect.fail(refused), { maxAttempts: 100, baseDelay: "1 second", factor: 1 })
      for (const disconnect of [false, true]) {
        const fiber = yield* fork(Effect.exit(Timeout.withTimeout(retried, { duration: "5 seconds", disconnect })))
        yield* TestClock.adjust("5 seconds")
        const error = timeoutOf(yield* Fiber.join(fiber))
        assert.isTrue(isCallTimeoutError(error) && error.attempts! >= 3 && error.lastError === refused)
        assert.strictEqual((error as CallTimeoutError).cause, refused)
      }

      let calls = 0
      const flaky = Effect.suspend(() => ++calls % 2 === 1 ? Effect.fail(refused) : Effect.void)
      for (
        const retry of [
          Retry.withRetry(flaky, { baseDelay: 0 }),
          Effect.ignore(Retry.withRetry(Effect.fail(refused), { baseDelay: 0, maxAttempts: 2 })),
          Effect.ignore(Retry.withRetry(Effect.fail(refused), { while: () => false }))
        ]
      ) {
        const fiber = yield* fork(Effect.exit(Timeout.withTimeout(Effect.andThen(retry, Effect.never), "5 seconds")))
        yield* TestClock.adjust("5 seconds")
        const error = timeoutOf(yield* Fiber.join(fiber))
        assert.deepStrictEqual(error, new CallTimeoutError({ operation: "call", timeout: Duration.seconds(5) }))
      }
    }))

  it.effect("says whether an attempt or the total took too long, if it is asked to", () =>
    Effect.gen(function*() {
      for (const kind of ["attempt", "total"] as const) {
        const error = yield* Effect.flip(Timeout.withTimeout(Effect.never, { duration: 0, operation: "db", kind }))
        assert.strictEqual(error.kind, kind)
      }
      assert.isFalse("kind" in (yield* Effect.flip(Timeout.withTimeout(Effect.never, 0))))
    }))

  it.effect("ends at whatever fraction of a millisecond it began", () =>
    Effect.gen(function*() {
      for (let i = 0; i < 500; i++) {
        yield* TestClock.adjust(yield* Random.nextBetween(0, 100_000))
        const fiber = yield* fork(Effect.exit(Timeout.withTimeout(Effect.never, 10_000 + (i % 7) * 0.1)))
        yield* TestClock.adjust("1 minute")
        assert.isDefined(fiber.pollUnsafe())
      }
    }).pipe(Random.withSeed("fractions")))

  it("refuses options that there are not, where they are written", () => {
    assert.throws(
      () => Timeout.withTimeout({ duration: "1 second", disconect: true } as Timeout.Options),
      RangeError,
      `Timeout.withTimeout: "disconect" is no option; did you mean "disconnect"?`
    )
  })

  it("is retried by HttpClient.retryTransient as Effect's own", async () => {
    const callsMade = async (limit: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, unknown, R>) => {
      let calls = 0
      const client = HttpClient.make(() => Effect.suspend(() => (calls++, Effect.never))).pipe(
        HttpClient.transformResponse((response) => limit(response) as typeof response),
        HttpClient.retryTransient({ times: 2, schedule: Schedule.spaced(0) })
      )
      await Effect.runPromiseExit(client.get("http://localhost/"))
      return calls
    }
    assert.deepStrictEqual([await callsMade(Effect.timeout(0)), await callsMade(Timeout.withTimeout(0))], [3, 3])
  })

  it.effect("passes on an interruption that comes from inside the call", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.andThen(Effect.yieldNow, Effect.interrupt).pipe(
        Timeout.withTimeout("1 second"),
        Effect.exit
      )

      assert.isTrue(Exit.hasInterrupts(exit))
    }))

  it.effect("interrupts a call whose time is up, and names it", () =>
    Effect.gen(function*() {
      const interrupted = yield* Deferred.make<void>()
      const fiber = yield* fork(
        Effect.never.pipe(
          Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined)),
          Timeout.withTimeout({ duration: "2 seconds", operation: "get_user" }),
          Effect.exit
        )
      )

      yield* TestClock.adjust("2 seconds")
      yield* Deferred.await(interrupted)
      const error = timeoutOf(yield* Fiber.join(fiber))

      assert.instanceOf(error, CallTimeoutError)
      assert.strictEqual(error.operation, "get_user")
      assert.isTrue(Duration.equals(error.timeout, Duration.seconds(2)))
      assert.strictEqual(error.message, "get_user did not complete within 2s")
    }))

  it.effect("calls an operation without a name a call", () =>
    Effect.gen(function*() {
      const fiber = yield* fork(Effect.flip(Timeout.withTimeout(Effect.never, "1 second")))
      yield* TestClock.adjust("1 second")

      assert.strictEqual((yield* Fiber.join(fiber)).message, "call did not complete within 1s")
    }))

  it.effect("lets a call run until its time is up, and not longer", () =>
    Effect.gen(function*() {
      const fiber = yield* fork(Effect.exit(Timeout.withTimeout(Effect.never, "10 seconds")))

      yield* TestClock.adjust("9999 millis")
      assert.isUndefined(fiber.pollUnsafe())

      yield* TestClock.adjust("1 millis")
      assert.isDefined(fiber.pollUnsafe())
    }))

  it.effect("lets a call end at the moment its time is up", () =>
    Effect.gen(function*() {
      const fiber = yield* fork(Timeout.withTimeout(Effect.as(Effect.sleep("1 second"), "in time"), "1 second"))
      yield* TestClock.adjust("1 second")

      assert.strictEqual(yield* Fiber.join(fiber), "in time")
    }))

  it.effect("waits for the finalizers of the call", () =>
    Effect.gen(function*() {
      const fiber = yield* fork(
        Effect.never.pipe(
          Effect.ensuring(Effect.sleep("5 seconds")),
          Timeout.withTimeout("1 second"),
          Effect.exit
        )
      )

      yield* TestClock.adjust("5999 millis")
      assert.isUndefined(fiber.pollUnsafe())

      yield* TestClock.adjust("1 millis")
      assert.instanceOf(timeoutOf(yield* Fiber.join(fiber)), CallTimeoutError)
    }))

  it.effect("drops a success that comes too late", () =>
    Effect.gen(function*() {
      const fiber = yield* fork(
        Effect.uninterruptible(Effect.as(Effect.sleep("5 seconds"), "late")).pipe(
          Timeout.withTimeout("1 second"),
          Effect.exit
        )
      )
      yield* TestClock.adjust("5 seconds")

      assert.instanceOf(timeoutOf(yield* Fiber.join(fiber)), CallTimeoutError)
    }))

  it.effect("sets no limit with an infinite duration", () =>
    Effect.gen(function*() {
      const call = Effect.as(Effect.sleep("1000 days"), "done")
      assert.strictEqual(Timeout.withTimeout(call, "Infinity"), call)

      const fiber = yield* fork(Timeout.withTimeout(call, Infinity))
      yield* TestClock.adjust("1000 days")
      assert.strictEqual(yield* Fiber.join(fiber), "done")
    }))

  it.effect("gives a call no time to wait with a zero duration", () =>
    Effect.gen(function*() {
      const limited = Timeout.withTimeout(0)

      assert.strictEqual(yield* limited(Effect.succeed("at once")), "at once")
      assert.instanceOf(timeoutOf(yield* Effect.exit(limited(Effect.never))), CallTimeoutError)
      assert.instanceOf(timeoutOf(yield* Effect.exit(limited(Effect.sleep("1 millis")))), CallTimeoutError)
    }))

  it.effect("takes every form of a duration", () =>
    Effect.gen(function*() {
      for (
        const duration of [
          "2 seconds",
          2000,
          2_000_000_000n,
          [2, 0],
          { seconds: 2 },
          Duration.seconds(2)
        ] satisfies Array<Duration.Input>
      ) {
        const fiber = yield* fork(Effect.flip(Timeout.withTimeout(Effect.never, duration)))
        yield* TestClock.adjust("2 seconds")
        assert.isTrue(Duration.equals((yield* Fiber.join(fiber)).timeout, Duration.seconds(2)))
      }
    }))

  it("refuses a duration that is none where it is written", () => {
    for (const duration of [-1, NaN, "-1 seconds", "-Infinity", "soon" as "1 second"] satisfies Array<Duration.Input>) {
      assert.throws(() => Timeout.withTimeout(duration), RangeError, "Timeout.withTimeout: duration must be")
      assert.throws(() => Timeout.withTimeout({ duration }), RangeError, "Timeout.withTimeout: duration must be")
      assert.throws(() => Timeout.withTimeout(Effect.void, duration), RangeError)
    }
  })

  it.effect("gives the call the services of the caller", () =>
    Effect.gen(function*() {
      const result = yield* Effect.andThen(Effect.yieldNow, Dependency).pipe(
        Timeout.withTimeout("1 second"),
        Effect.provideService(Dependency, "provided")
      )
      assert.strictEqual(result, "provided")
    }))

  it.effect("limits calls that run at the same time each on its own", () =>
    Effect.gen(function*() {
      const limited = Timeout.withTimeout({ duration: "1 second", operation: "shared" })
      const fiber = yield* fork(Effect.forEach(
        [500, 1500, 900, 1001],
        (millis) =>
          Effect.as(Effect.sleep(millis), millis).pipe(
            limited,
            Effect.catchTag("CallTimeoutError", () => Effect.succeed("timeout"))
          ),
        { concurrency: "unbounded" }
      ))
      yield* TestClock.adjust("2 seconds")

      assert.deepStrictEqual(yield* Fiber.join(fiber), [500, "timeout", 900, "timeout"])
    }))

  it.effect("limits the call in an uninterruptible caller too", () =>
    Effect.gen(function*() {
      const fiber = yield* fork(Effect.uninterruptible(Effect.exit(Timeout.withTimeout(Effect.never, "1 second"))))
      yield* TestClock.adjust("1 second")

      assert.instanceOf(timeoutOf(yield* Fiber.join(fiber)), CallTimeoutError)
    }))

  it.effect("lets the inner of two timeouts come first", () =>
    Effect.gen(function*() {
      const fiber = yield* fork(
        Effect.never.pipe(
          Timeout.withTimeout({ duration: "1 second", operation: "inner" }),
          Timeout.withTimeout({ duration: "2 seconds", operation: "outer" }),
          Effect.flip
        )
      )
      yield* TestClock.adjust("1 second")

      assert.strictEqual((yield* Fiber.join(fiber)).operation, "inner")
    }))

  describe("with disconnect", () => {
    it.effect("returns on time from a call that cannot be interrupted, which ends in the background", () =>
      Effect.gen(function*() {
        let ended = false
        const fiber = yield* fork(
          Effect.sleep("5 seconds").pipe(
            Effect.andThen(Effect.sync(() => ended = true)),
            Effect.uninterruptible,
            Timeout.withTimeout({ duration: "1 second", disconnect: true }),
            Effect.exit
          )
        )

        yield* TestClock.adjust("1 second")
        assert.instanceOf(timeoutOf(yield* Fiber.join(fiber)), CallTimeoutError)
        assert.isFalse(ended)

        yield* TestClock.adjust("4 seconds")
        assert.isTrue(ended)
      }))

    it.effect("does not wait for finalizers, which run in the background", () =>
      Effect.gen(function*() {
        let finalized = false
        const fiber = yield* fork(
          Effect.never.pipe(
            Effect.ensuring(Effect.andThen(Effect.sleep("5 seconds"), Effect.sync(() => finalized = true))),
            Timeout.withTimeout({ duration: "1 second", disconnect: true }),
            Effect.exit
          )
        )

        yield* TestClock.adjust("1 second")
        assert.instanceOf(timeoutOf(yield* Fiber.join(fiber)), CallTimeoutError)

        yield* TestClock.adjust("5 seconds")
        assert.isTrue(finalized)
      }))

    it.effect("does not make an interrupted caller wait either", () =>
      Effect.gen(function*() {
        let ended = false
        const fiber = yield* fork(
          Effect.sleep("5 seconds").pipe(
            Effect.andThen(Effect.sync(() => ended = true)),
            Effect.uninterruptible,
            Timeout.withTimeout({ duration: "1 minute", disconnect: true })
          )
        )

        yield* Fiber.interrupt(fiber)
        assert.isFalse(ended)

        yield* TestClock.adjust("5 seconds")
        assert.isTrue(ended)
      }))

    it.effect("interrupts the call and stops the timer of an interrupted caller at once", () =>
      Effect.gen(function*() {
        let interrupted = false
        let sleeping = 0
        const clock = countedClock(yield* Effect.clockWith(Effect.succeed), (change) => {
          sleeping += change
        })
        const fiber = yield* fork(
          Effect.never.pipe(
            Effect.onInterrupt(() => Effect.sync(() => interrupted = true)),
            Effect.ensuring(Effect.never),
            Timeout.withTimeout({ duration: "1 minute", disconnect: true }),
            Effect.provideService(Clock.Clock, clock)
          )
        )
        assert.strictEqual(sleeping, 1)

        yield* Fiber.interrupt(fiber)
        assert.isTrue(interrupted)

        yield* Effect.yieldNow
        assert.strictEqual(sleeping, 0)
      }))

    it.effect("returns what a call in time returns", () =>
      Effect.gen(function*() {
        const fiber = yield* fork(
          Timeout.withTimeout(Effect.as(Effect.sleep("1 second"), 1), { duration: "2 seconds", disconnect: true })
        )
        yield* TestClock.adjust("1 second")

        assert.strictEqual(yield* Fiber.join(fiber), 1)
      }))
  })

  it.effect("waits for the call when the caller is interrupted", () =>
    Effect.gen(function*() {
      let finalized = false
      const fiber = yield* fork(
        Effect.never.pipe(
          Effect.ensuring(Effect.andThen(Effect.sleep("5 seconds"), Effect.sync(() => finalized = true))),
          Timeout.withTimeout("1 minute")
        )
      )

      const interrupting = yield* fork(Fiber.interrupt(fiber))
      yield* TestClock.adjust("4 seconds")
      assert.isUndefined(interrupting.pollUnsafe())

      yield* TestClock.adjust("1 second")
      yield* Fiber.join(interrupting)
      assert.isTrue(finalized)
    }))

  for (const disconnect of [false, true]) {
    it.effect(`stops the call and the timer wherever the caller is interrupted, disconnect ${disconnect}`, () =>
      Effect.gen(function*() {
        const test = yield* Effect.clockWith(Effect.succeed)
        let sleeping = 0
        let running = 0
        const clock = countedClock(test, (change) => {
          sleeping += change
        })
        const call = counted(Effect.andThen(Effect.yieldNow, Effect.never), (change) => {
          running += change
        })

        const operations = yield* interruptEverywhere(
          call.pipe(
            Timeout.withTimeout({ duration: "1 minute", disconnect }),
            Effect.provideService(Clock.Clock, clock)
          ),
          (operation) =>
            Effect.gen(function*() {
              // What was disconnected needs a moment to end.
              for (let i = 0; i < 20; i++) yield* Effect.yieldNow
              assert.strictEqual(running, 0, `the call, interrupted at operation ${operation}`)
              assert.strictEqual(sleeping, 0, `the timer, interrupted at operation ${operation}`)
            })
        )
        assert.isAbove(operations, 10)
      }))
  }

  describe("the timer", () => {
    const limited = (millis = 1_000) => Effect.exit(Timeout.withTimeout(Effect.never, millis))
    const hasTimedOut = (fiber: Fiber.Fiber<Exit.Exit<never, CallTimeoutError>>) => fiber.pollUnsafe() !== undefined

    it("is shared by calls that are limited to the same time, and ends each at its own", () => {
      const machine = new Machine()
      const calls = [0, 300, 300, 700].map((startsAt) => {
        machine.now = startsAt
        return machine.run(limited())
      })
      const ended = () => calls.map(hasTimedOut)
      assert.lengthOf(machine.sleeps, 1)

      machine.until(999)
      assert.deepStrictEqual(ended(), [false, false, false, false])
      machine.until(1_000)
      assert.deepStrictEqual([machine.now, ...ended()], [1_000, true, false, false, false])

      machine.until(1_299)
      assert.deepStrictEqual(ended(), [true, false, false, false])
      machine.until(1_300)
      assert.deepStrictEqual([machine.now, ...ended()], [1_300, true, true, true, false])

      machine.until(1_699)
      assert.deepStrictEqual(ended(), [true, true, true, false])
      machine.until(1_700)
      assert.deepStrictEqual([machine.now, ...ended()], [1_700, true, true, true, true])
      assert.isEmpty(machine.sleeps)
    })

    it("is another for another time", () => {
      const machine = new Machine()
      const slow = machine.run(limited(2_000))
      const quick = machine.run(limited(500))
      assert.lengthOf(machine.sleeps, 2)

      machine.until(500)

      assert.deepStrictEqual([hasTimedOut(slow), hasTimedOut(quick)], [false, true])
    })

    it("stops a moment after the last call has ended", () => {
      const machine = new Machine()
      const call = machine.run(Timeout.withTimeout(Effect.yieldNow, "1 hour"))
      assert.lengthOf(machine.sleeps, 1)

      machine.settle()

      assert.isDefined(call.pollUnsafe())
      assert.isEmpty(machine.sleeps)
    })

    it("goes on for a call that follows in that moment", () => {
      const machine = new Machine()
      const starts: Array<number> = []
      const call = Effect.suspend(() => {
        starts.push(machine.sleeps.length)
        return Effect.yieldNow
      })
      machine.run(Effect.forEach([1, 2, 3], () => Timeout.withTimeout(call, "1 hour")))
      machine.settle()

      assert.deepStrictEqual(starts, [0, 1, 1])
      assert.isEmpty(machine.sleeps)
    })

    it("starts anew when calls follow later", () => {
      const machine = new Machine()
      machine.run(Timeout.withTimeout(Effect.yieldNow, 1_000))
      machine.settle()
      machine.now = 5_000
      const call = machine.run(limited())
      machine.finish()

      assert.strictEqual(machine.now, 6_000)
      assert.isTrue(hasTimedOut(call))
    })

    it("ends a call that is started when another times out at its own time", () => {
      const machine = new Machine()
      const endedAt: Array<number> = []
      const call = limited().pipe(Effect.tap(() =>
        Effect.sync(() => {
          endedAt.push(machine.now)
        })
      ))
      machine.run(Effect.forEach([1, 2, 3], () => call))
      machine.finish()

      assert.deepStrictEqual(endedAt, [1_000, 2_000, 3_000])
      assert.isEmpty(machine.sleeps)
    })

    it("times out later calls when a clock has failed an earlier one", () => {
      const machine = new Machine()
      let broken = true
      const call = Effect.clockWith((clock) =>
        limited().pipe(Effect.provideService(
          Clock.Clock,
          alike.get(clock) ?? alike.set(clock, {
            ...clock,
            sleep: (duration) => broken ? Effect.die("no timer") : clock.sleep(duration)
          }).get(clock)!
        ))
      )
      const alike = new Map<Clock.Clock, Clock.Clock>()
      const untimed = machine.run(call)
      machine.settle()
      broken = false
      const timed = machine.run(call)
      machine.finish()

      assert.deepStrictEqual([hasTimedOut(untimed), hasTimedOut(timed)], [false, true])
    })

    it("is forgotten with its length, of which there may be as many as there are deadlines", async () => {
      v8.setFlagsFromString("--expose-gc")
      const collect: () => void = vm.runInNewContext("gc")
      const limit = (calls: number) =>
        Effect.runPromise(Effect.gen(function*() {
          for (let i = 0; i < calls; i++) yield* Timeout.withTimeout(Effect.yieldNow, 1_000 + i / 7)
        }))
      const heap = () => {
        collect()
        return process.memoryUsage().heapUsed
      }
      await limit(1_000)
      const before = heap()
      await limit(20_000)

      // A length that stays takes about a thousand bytes.
      assert.isBelow(heap() - before, 5_000_000)
    }, 30_000)

    it("does not keep a process alive whose calls have ended", async () => {
      const program = `
        import * as Effect from "effect/Effect"
        import * as Timeout from "effect-resilience/Timeout"
        await Effect.runPromise(Timeout.withTimeout(Effect.sleep("10 millis"), "1 hour"))
        console.log("done")
      `
      const { stdout } = await promisify(execFile)(
        process.execPath,
        ["--conditions=@effect-resilience/source", "--input-type=module", "--eval", program],
        { timeout: 30_000 }
      )
      assert.strictEqual(stdout, "done\n")
    }, 40_000)
  })

  it("adds CallTimeoutError to the errors, and nothing to what is needed", () => {
    const call: Effect.Effect<number, Refused, Dependency> = Effect.andThen(Dependency, Effect.fail(new Refused()))

    expectTypeOf(call.pipe(Timeout.withTimeout("1 second"))).toEqualTypeOf<
      Effect.Effect<number, Refused | CallTimeoutError, Dependency>
    >()
    expectTypeOf(Timeout.withTimeout(call, { duration: 1, operation: "x" })).toEqualTypeOf<
      Effect.Effect<number, Refused | CallTimeoutError, Dependency>
    >()
    expectTypeOf(
      Timeout.withTimeout(call, "1 second").pipe(Effect.catchTag("CallTimeoutError", () => Effect.succeed("late")))
    ).toEqualTypeOf<Effect.Effect<number | string, Refused, Dependency>>()
  })
})
