import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { MaxOpsBeforeYield } from "effect/Scheduler"
import { TestClock } from "effect/testing"
import { Bulkhead, Outcome, Resilience, ResilienceError, Timeout } from "effect-resilience"
import { expectTypeOf } from "vitest"
import { atEveryOperation, counted, Machine, seeded } from "./support/machine.ts"

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

const counts = (bulkhead: Bulkhead.Bulkhead) => Effect.all([bulkhead.inFlight, bulkhead.queued, bulkhead.available])

const isFull = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof ResilienceError.BulkheadFullError

const isInterrupted = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)

describe("Bulkhead", () => {
  describe("make", () => {
    it.effect("starts with all slots free", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 3 })
        assert.isTrue(Bulkhead.isBulkhead(bulkhead))
        assert.isFalse(Bulkhead.isBulkhead({ name: "bulkhead" }))
        assert.strictEqual(Bulkhead.TypeId, "~effect-resilience/Bulkhead")
        assert.strictEqual(bulkhead.name, "bulkhead")
        assert.strictEqual(yield* bulkhead.limit, 3)
        assert.deepStrictEqual(yield* counts(bulkhead), [0, 0, 3])
      }))

    it("refuses bad options where they are written", () => {
      const bad: ReadonlyArray<readonly [Bulkhead.Options, string]> = [
        [{ limit: 0 }, "limit must be an integer >= 1, got 0"],
        [{ limit: 1.5 }, "limit must be an integer >= 1, got 1.5"],
        [{ limit: NaN }, "limit must be an integer >= 1, got NaN"],
        [{ limit: Infinity }, "limit must be an integer >= 1, got Infinity"],
        [{ limit: 1, queue: -1 }, "queue must be an integer >= 0 or Infinity, got -1"],
        [{ limit: 1, queue: 0.5 }, "queue must be an integer >= 0 or Infinity, got 0.5"],
        [{ limit: 1, queue: NaN }, "queue must be an integer >= 0 or Infinity, got NaN"],
        [
          { limit: 1, queue: Infinity, maxWait: Infinity },
          "queue must be finite where maxWait is infinite, got Infinity"
        ],
        [
          { limit: 1, queue: 1, maxWait: -1 },
          "maxWait must be a duration of at least zero such as \"5 seconds\", got -1"
        ],
        [
          { limit: 1, queue: 1, maxWait: NaN },
          "maxWait must be a duration of at least zero such as \"5 seconds\", got NaN"
        ],
        [{ limit: 1, maxWait: "1 second" }, "maxWait must come with a queue to wait in, got no queue"]
      ]
      for (const [options, message] of bad) {
        assert.throws(() => Bulkhead.make(options), RangeError, `Bulkhead.make: ${message}`)
        assert.throws(() => Bulkhead.Service<never>()("x", options), RangeError, `Bulkhead.Service: ${message}`)
      }
    })

    it.effect("takes a configured queue of zero with a wait", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1, queue: 0, maxWait: "1 second" })
        assert.strictEqual(bulkhead.description, "at most 1 call at once, no queue")
      }))

    it.effect("describes itself", () =>
      Effect.gen(function*() {
        const description = (options: Bulkhead.Options) => Effect.map(Bulkhead.make(options), (b) => b.description)
        assert.strictEqual(yield* description({ limit: 1 }), "at most 1 call at once, no queue")
        assert.strictEqual(
          yield* description({ limit: 10, queue: 5 }),
          "at most 10 calls at once, queue of 5, waiting up to 30s"
        )
        assert.strictEqual(
          yield* description({ limit: 10, queue: 5, maxWait: Duration.infinity }),
          "at most 10 calls at once, queue of 5"
        )
        assert.strictEqual(
          yield* description({ limit: 10, queue: Infinity, maxWait: "10 millis" }),
          "at most 10 calls at once, queue without bound, waiting up to 10ms"
        )
        assert.strictEqual(
          yield* description({ limit: 10, queue: 5, maxWait: "1 second" }),
          "at most 10 calls at once, queue of 5, waiting up to 1s"
        )
        assert.strictEqual(
          yield* description({ limit: 10, queue: 5, maxWait: 0 }),
          "at most 10 calls at once, no queue"
        )
      }))
  })

  describe("execute", () => {
    it.effect("passes success, failure and defect through and gives the slot back", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1 })
        assert.strictEqual(yield* bulkhead.execute(Effect.succeed(1)), 1)
        assert.deepStrictEqual(yield* Effect.exit(bulkhead.execute(Effect.fail("no"))), Exit.fail("no"))
        assert.deepStrictEqual(yield* Effect.exit(bulkhead.execute(Effect.die("bug"))), Exit.die("bug"))
        const thrown = bulkhead.execute(Effect.suspend((): Effect.Effect<never> => {
          throw new Error("thrown")
        }))
        assert.isTrue(Exit.hasDies(yield* Effect.exit(thrown)))
        assert.deepStrictEqual(yield* counts(bulkhead), [0, 0, 1])
      }))

    it.effect("gives the slot back when the call is interrupted, after its finalizers", () =>
      Effect.gen(function*() {
        // The first sleep of a test starts the clock's warning, which cannot be done in a finalizer.
        yield* TestClock.adjust(0)
        const bulkhead = yield* Bulkhead.make({ limit: 1 })
        const fiber = yield* fork(bulkhead.execute(Effect.onInterrupt(Effect.never, () => Effect.sleep("1 second"))))
        assert.deepStrictEqual(yield* counts(bulkhead), [1, 0, 0])
        yield* fork(Fiber.interrupt(fiber))
        yield* TestClock.adjust("999 millis")
        assert.deepStrictEqual(yield* counts(bulkhead), [1, 0, 0])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(yield* counts(bulkhead), [0, 0, 1])
        assert.isTrue(isInterrupted(yield* Fiber.await(fiber)))
      }))

    it.effect("rejects without running when all slots are taken and there is no queue", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ name: "db", limit: 2 })
        yield* fork(bulkhead.execute(Effect.never))
        yield* fork(bulkhead.execute(Effect.never))
        let ran = false
        const error = yield* Effect.flip(bulkhead.execute(Effect.sync(() => {
          ran = true
        })))
        assert.instanceOf(error, ResilienceError.BulkheadFullError)
        assert.deepStrictEqual([error.bulkhead, error.limit], ["db", 2])
        assert.isFalse(ran)
        assert.strictEqual(yield* bulkhead.rejected, 1)
        assert.deepStrictEqual(yield* counts(bulkhead), [2, 0, 0])
      }))

    it.effect("rejects when the queue is full, and takes the next once it is not", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1, queue: 2 })
        yield* fork(bulkhead.execute(Effect.never))
        const queued = yield* fork(bulkhead.execute(Effect.never))
        yield* fork(bulkhead.execute(Effect.never))
        assert.deepStrictEqual(yield* counts(bulkhead), [1, 2, 0])
        assert.isTrue(isFull(yield* Effect.exit(bulkhead.execute(Effect.void))))
        yield* Fiber.interrupt(queued)
        assert.deepStrictEqual(yield* counts(bulkhead), [1, 1, 0])
        yield* fork(bulkhead.execute(Effect.never))
        assert.deepStrictEqual(yield* counts(bulkhead), [1, 2, 0])
      }))

    it.effect("hands slots over in order of arrival, and no newcomer overtakes", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1, queue: 10 })
        const gate = yield* Deferred.make<void>()
        const started: Array<number> = []
        const call = (n: number) =>
          bulkhead.execute(Effect.suspend(() => {
            started.push(n)
            return Effect.yieldNow
          }))
        const first = yield* fork(bulkhead.execute(Deferred.await(gate)))
        const waiting = yield* Effect.forEach([1, 2, 3, 4], (n) => fork(call(n)))
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(first)
        // The slot is handed over already, though the first in the queue has yet to run.
        yield* call(5)
        yield* Fiber.awaitAll(waiting)
        assert.deepStrictEqual(started, [1, 2, 3, 4, 5])
        assert.deepStrictEqual(yield* counts(bulkhead), [0, 0, 1])
      }))

    it.effect("drains ten thousand queued calls without growing the stack", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1, queue: 10_000 })
        const gate = yield* Deferred.make<void>()
        yield* fork(bulkhead.execute(Deferred.await(gate)))
        let sum = 0
        const fibers = yield* Effect.forEach(
          Array.from({ length: 10_000 }, (_, n) => n),
          (n) => fork(bulkhead.execute(Effect.sync(() => sum += n)))
        )
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.awaitAll(fibers)
        assert.strictEqual(sum, 49_995_000)
        assert.deepStrictEqual(yield* counts(bulkhead), [0, 0, 1])
      }))

    it.effect("can be run again, since it is a value", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1, queue: 5 })
        const call = bulkhead.execute(Effect.sleep("1 second"))
        const fibers = yield* Effect.forEach([1, 2, 3], () => fork(call))
        yield* TestClock.adjust("3 seconds")
        const exits = yield* Fiber.awaitAll(fibers)
        assert.isTrue(exits.every(Exit.isSuccess))
        assert.deepStrictEqual(yield* counts(bulkhead), [0, 0, 1])
      }))

    it.effect("is no verdict on the dependency", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1 })
        yield* fork(bulkhead.execute(Effect.never))
        const exit = yield* Effect.exit(bulkhead.execute(Effect.void))
        assert.strictEqual(Outcome.classify(exit)._tag, "Ignored")
      }))
  })

  describe("maxWait", () => {
    const limited = Bulkhead.make({ limit: 1, queue: 5, maxWait: "1 second" })

    it.effect("rejects a call that has waited that long, and not a millisecond earlier", () =>
      Effect.gen(function*() {
        const bulkhead = yield* limited
        yield* fork(bulkhead.execute(Effect.never))
        const fiber = yield* fork(bulkhead.execute(Effect.void))
        yield* TestClock.adjust("999 millis")
        assert.isUndefined(fiber.pollUnsafe())
        assert.deepStrictEqual(yield* counts(bulkhead), [1, 1, 0])
        yield* TestClock.adjust("1 millis")
        assert.isTrue(isFull(yield* Fiber.await(fiber)))
        assert.deepStrictEqual(yield* counts(bulkhead), [1, 0, 0])
        assert.strictEqual(yield* bulkhead.rejected, 1)
      }))

    it.effect("runs a call whose slot came a millisecond before its end", () =>
      Effect.gen(function*() {
        const bulkhead = yield* limited
        yield* fork(bulkhead.execute(Effect.sleep("999 millis")))
        const fiber = yield* fork(bulkhead.execute(Effect.sleep("10 seconds")))
        yield* TestClock.adjust("11 seconds")
        // The wait does not limit the call itself.
        assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber)))
      }))

    it.effect("counts from each call's own arrival", () =>
      Effect.gen(function*() {
        const bulkhead = yield* limited
        yield* fork(bulkhead.execute(Effect.never))
        const early = yield* fork(bulkhead.execute(Effect.void))
        yield* TestClock.adjust("600 millis")
        const late = yield* fork(bulkhead.execute(Effect.void))
        yield* TestClock.adjust("400 millis")
        assert.isDefined(early.pollUnsafe())
        assert.isUndefined(late.pollUnsafe())
        yield* TestClock.adjust("600 millis")
        assert.isDefined(late.pollUnsafe())
      }))

    it.effect("is thirty seconds by default, so that calls which wait for each other do not wait for ever", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 2, queue: 10 })
        const details = bulkhead.execute(Effect.succeed("details"))
        const page = bulkhead.execute(Effect.andThen(Effect.sleep("10 millis"), details))
        const fibers = [yield* fork(page), yield* fork(page)]
        yield* TestClock.adjust("30 seconds")
        assert.isTrue(fibers.every((fiber) => fiber.pollUnsafe() === undefined))
        yield* TestClock.adjust("10 millis")
        // The slot that the first gave up is free for the second, or both have given up.
        const exits = yield* Fiber.awaitAll(fibers)
        assert.isTrue(exits.some(isFull))
        assert.deepStrictEqual(yield* counts(bulkhead), [0, 0, 2])
      }))

    it.effect("can bound a queue of any length", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 20, queue: Infinity, maxWait: "10 millis" })
        const fibers = yield* Effect.forEach(
          Array.from({ length: 1_000 }),
          () => fork(bulkhead.execute(Effect.sleep("6 millis")))
        )
        assert.deepStrictEqual(yield* counts(bulkhead), [20, 980, 0])
        yield* TestClock.adjust("1 second")
        const exits = yield* Fiber.awaitAll(fibers)
        assert.strictEqual(exits.filter(Exit.isSuccess).length, 40)
        assert.strictEqual(exits.filter(isFull).length, 960)
        assert.deepStrictEqual(yield* counts(bulkhead), [0, 0, 20])
      }))

    it.effect("of zero lets no call wait", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1, queue: 5, maxWait: 0 })
        yield* fork(bulkhead.execute(Effect.never))
        assert.isTrue(isFull(yield* Effect.exit(bulkhead.execute(Effect.void))))
      }))

    it.effect("that is infinite does not even start a sleep without an end", () =>
      Effect.gen(function*() {
        const test = yield* Effect.clockWith(Effect.succeed)
        let sleeps = 0
        const clock: Clock.Clock = Object.assign(Object.create(test), {
          sleep: (duration: Duration.Duration) => {
            sleeps++
            return test.sleep(duration)
          }
        })
        for (const maxWait of [Duration.infinity, Duration.seconds(1)]) {
          const bulkhead = yield* Bulkhead.make({ limit: 1, queue: 1, maxWait })
          yield* fork(bulkhead.execute(Effect.never))
          yield* fork(Effect.provideService(bulkhead.execute(Effect.void), Clock.Clock, clock))
          assert.strictEqual(sleeps, Duration.isFinite(maxWait) ? 1 : 0)
        }
      }))

    it("that is infinite starts no timer", () => {
      const machine = new Machine()
      const bulkhead = Effect.runSync(Bulkhead.make({ limit: 1, queue: 5, maxWait: Duration.infinity }))
      const holder = machine.run(bulkhead.execute(Effect.never))
      const fiber = machine.run(bulkhead.execute(Effect.succeed("ran")))
      machine.settle()
      assert.isEmpty(machine.sleeps)
      holder.interruptUnsafe()
      machine.settle()
      assert.deepStrictEqual(fiber.pollUnsafe(), Exit.succeed("ran"))
    })

    it("leaves no timer behind, however the wait ends", () => {
      const machine = new Machine()
      const bulkhead = Effect.runSync(limited)
      const holder = machine.run(bulkhead.execute(Effect.never))
      const served = machine.run(bulkhead.execute(Effect.void))
      const interrupted = machine.run(bulkhead.execute(Effect.void))
      machine.settle()
      // One for all who wait equally long.
      assert.strictEqual(machine.sleeps.length, 1)
      interrupted.interruptUnsafe()
      machine.settle()
      assert.strictEqual(machine.sleeps.length, 1)
      holder.interruptUnsafe()
      machine.settle()
      assert.isEmpty(machine.sleeps)
      assert.isDefined(served.pollUnsafe())
    })
  })

  describe("resize", () => {
    it.effect("lets queued calls run at once when it grows", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1, queue: 5 })
        const started: Array<number> = []
        const call = (n: number) => bulkhead.execute(Effect.andThen(Effect.sync(() => started.push(n)), Effect.never))
        yield* Effect.forEach([1, 2, 3, 4], (n) => fork(call(n)))
        yield* bulkhead.resize(3)
        yield* TestClock.adjust(0)
        assert.deepStrictEqual(started, [1, 2, 3])
        assert.deepStrictEqual(yield* counts(bulkhead), [3, 1, 0])
        assert.strictEqual(bulkhead.description, "at most 3 calls at once, queue of 5, waiting up to 30s")
      }))

    it.effect("stops no running call when it shrinks, and admits none until enough have ended", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 3, queue: 5 })
        const running = yield* Effect.forEach([1, 2, 3], () => fork(bulkhead.execute(Effect.never)))
        const queued = yield* fork(bulkhead.execute(Effect.succeed("ran")))
        yield* bulkhead.resize(1)
        assert.deepStrictEqual(yield* counts(bulkhead), [3, 1, 0])
        yield* Fiber.interrupt(running[0]!)
        yield* Fiber.interrupt(running[1]!)
        yield* TestClock.adjust(0)
        assert.deepStrictEqual(yield* counts(bulkhead), [1, 1, 0])
        yield* Fiber.interrupt(running[2]!)
        assert.strictEqual(yield* Fiber.join(queued), "ran")
        assert.deepStrictEqual(yield* counts(bulkhead), [0, 0, 1])
      }))

    it.effect("refuses a bad limit where it is written", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1 })
        for (const limit of [0, -1, 1.5, NaN, Infinity]) {
          assert.throws(() => bulkhead.resize(limit), RangeError, "Bulkhead.resize: limit must be an integer >= 1")
        }
      }))
  })

  describe("interruption", () => {
    it("at any operation of an uncontended call gives everything back", () => {
      const bulkhead = Effect.runSync(Bulkhead.make({ limit: 1 }))
      const places = atEveryOperation((machine, start, place) => {
        const fiber = start(bulkhead.execute(Effect.andThen(Effect.yieldNow, Effect.succeed(1))))
        fiber.interruptUnsafe()
        machine.finish()
        assert.isDefined(fiber.pollUnsafe())
        assert.deepStrictEqual(Effect.runSync(counts(bulkhead)), [0, 0, 1], `operation ${place}`)
      })
      assert.isAbove(places, 4)
    })

    it("at any operation of a call that waits gives its place back", () => {
      const bulkhead = Effect.runSync(Bulkhead.make({ limit: 1, queue: 2, maxWait: "1 second" }))
      const places = atEveryOperation((machine, start, place) => {
        const holder = machine.run(bulkhead.execute(Effect.never))
        const fiber = start(bulkhead.execute(Effect.succeed(1)))
        const next = machine.run(bulkhead.execute(Effect.succeed("next")))
        fiber.interruptUnsafe()
        holder.interruptUnsafe()
        machine.settle()
        assert.isTrue(isInterrupted(fiber.pollUnsafe()!))
        assert.deepStrictEqual(next.pollUnsafe(), Exit.succeed("next"))
        assert.deepStrictEqual(Effect.runSync(counts(bulkhead)), [0, 0, 1], `operation ${place}`)
        assert.isEmpty(machine.sleeps)
      })
      assert.isAbove(places, 3)
    })

    it("at any operation, any number of steps after a slot was granted, passes the slot on", () => {
      let interruptedAfterGrant = 0
      for (let steps = 0; steps < 8; steps++) {
        const bulkhead = Effect.runSync(Bulkhead.make({ limit: 1, queue: 2, maxWait: "1 second" }))
        const places = atEveryOperation((machine, start, place) => {
          let ran = false
          const holder = machine.run(bulkhead.execute(Effect.never))
          const fiber = start(bulkhead.execute(Effect.suspend(() => {
            ran = true
            return Effect.yieldNow
          })))
          const next = machine.run(bulkhead.execute(Effect.succeed("next")))
          holder.interruptUnsafe()
          for (let n = 0; n < steps; n++) machine.step()
          if (!ran && fiber.pollUnsafe() === undefined) interruptedAfterGrant++
          fiber.interruptUnsafe()
          machine.settle()
          assert.isDefined(fiber.pollUnsafe())
          assert.deepStrictEqual(next.pollUnsafe(), Exit.succeed("next"), `operation ${place}, ${steps} steps`)
          assert.deepStrictEqual(Effect.runSync(counts(bulkhead)), [0, 0, 1], `operation ${place}, ${steps} steps`)
          assert.isEmpty(machine.sleeps)
        })
        assert.isAbove(places, 3)
      }
      assert.isAbove(interruptedAfterGrant, 5)
    })

    it("between grant and start hands the slot to the next in the queue", () => {
      const machine = new Machine()
      const bulkhead = Effect.runSync(Bulkhead.make({ limit: 1, queue: 2 }))
      const holder = machine.run(bulkhead.execute(Effect.never))
      let ran = false
      const granted = machine.run(bulkhead.execute(Effect.sync(() => {
        ran = true
      })))
      const next = machine.run(bulkhead.execute(Effect.succeed("next")))
      holder.interruptUnsafe()
      assert.deepStrictEqual(Effect.runSync(counts(bulkhead)), [1, 1, 0])
      granted.interruptUnsafe()
      assert.deepStrictEqual(Effect.runSync(counts(bulkhead)), [1, 0, 0])
      machine.settle()
      assert.isFalse(ran)
      assert.deepStrictEqual(next.pollUnsafe(), Exit.succeed("next"))
      assert.deepStrictEqual(Effect.runSync(counts(bulkhead)), [0, 0, 1])
    })

    it("of a call that cannot be interrupted lets it wait and run", () => {
      const machine = new Machine()
      const bulkhead = Effect.runSync(Bulkhead.make({ limit: 1, queue: 1 }))
      const holder = machine.run(bulkhead.execute(Effect.never))
      let ran = false
      const fiber = machine.run(Effect.uninterruptible(bulkhead.execute(Effect.sync(() => {
        ran = true
      }))))
      fiber.interruptUnsafe()
      machine.settle()
      assert.deepStrictEqual(Effect.runSync(counts(bulkhead)), [1, 1, 0])
      holder.interruptUnsafe()
      machine.settle()
      assert.isTrue(ran)
      assert.deepStrictEqual(Effect.runSync(counts(bulkhead)), [0, 0, 1])
    })

    it("never leaks a slot at any operation budget, with real scheduling", async () => {
      // A fiber needs three operations to get anywhere between two yields.
      for (let budget = 3; budget <= 14; budget++) {
        const bulkhead = Effect.runSync(Bulkhead.make({ limit: 2, queue: 50, maxWait: "5 millis" }))
        const call = bulkhead.execute(Effect.yieldNow)
        const program = Effect.forEach(
          Array.from({ length: 60 }, (_, n) => n),
          (n) =>
            Effect.raceFirst(call, Effect.andThen(Effect.replicateEffect(Effect.yieldNow, n % 11), Effect.void)).pipe(
              Effect.exit
            ),
          { concurrency: "unbounded" }
        ).pipe(Effect.provideService(MaxOpsBeforeYield, budget))
        await Effect.runPromise(program)
        assert.deepStrictEqual(Effect.runSync(counts(bulkhead)), [0, 0, 2], `budget ${budget}`)
      }
    })
  })

  describe("random schedules", () => {
    for (let seed = 1; seed <= 20; seed++) {
      it(`of thousands of calls never exceed the limit and leave nothing behind (seed ${seed})`, () => {
        const random = seeded(seed)
        const below = (n: number) => Math.floor(random() * n)
        const machine = new Machine()
        machine.pausesAt = () => random() < 0.15
        machine.pick = below

        const limit = 1 + below(8)
        const queue = below(200)
        const bulkhead = Effect.runSync(Bulkhead.make({
          limit,
          queue,
          maxWait: random() < 0.3 ? Duration.infinity : 1 + below(50)
        }))
        let highest = limit
        let exceeded = false
        let running = 0
        let ran = 0
        const call = counted(
          Effect.suspend(() => {
            ran++
            const end = random()
            return Effect.andThen(
              Effect.sleep(below(20)),
              end < 0.2 ? Effect.fail("no") : end < 0.3 ? Effect.die("bug") : Effect.void
            )
          }),
          (change) => {
            running += change
            if (running > highest) exceeded = true
          }
        )

        const fibers: Array<Fiber.Fiber<void, string | ResilienceError.BulkheadFullError>> = []
        for (let n = 0; n < 2_000; n++) {
          fibers.push(machine.run(bulkhead.execute(call)))
          for (let steps = below(12); steps > 0; steps--) machine.step()
          if (random() < 0.3) machine.tick()
          if (random() < 0.4) fibers[below(fibers.length)]!.interruptUnsafe()
          if (random() < 0.01) {
            const next = 1 + below(8)
            // Calls that were admitted under a higher limit may still run.
            highest = Math.max(next, Effect.runSync(bulkhead.inFlight))
            Effect.runSync(bulkhead.resize(next))
          }
          assert.isAtMost(Effect.runSync(bulkhead.inFlight), highest)
          assert.isAtMost(Effect.runSync(bulkhead.queued), queue)
        }
        machine.finish()

        assert.isFalse(exceeded)
        assert.strictEqual(running, 0)
        assert.isAbove(ran, 50)
        assert.isEmpty(machine.sleeps)
        assert.isTrue(fibers.every((fiber) => fiber.pollUnsafe() !== undefined))
        const size = Effect.runSync(bulkhead.limit)
        assert.deepStrictEqual(Effect.runSync(counts(bulkhead)), [0, 0, size])
        // All slots can be had again.
        machine.pausesAt = () => false
        const held = Array.from({ length: size }, () => machine.run(bulkhead.execute(Effect.never)))
        assert.isTrue(held.every((fiber) => fiber.pollUnsafe() === undefined))
        assert.strictEqual(Effect.runSync(bulkhead.inFlight), size)
      })

      it(`start waiting calls in order of arrival (seed ${seed})`, () => {
        const random = seeded(seed)
        const below = (n: number) => Math.floor(random() * n)
        const machine = new Machine()
        machine.pick = below
        const bulkhead = Effect.runSync(Bulkhead.make({ limit: 1 + below(4), queue: 1_000, maxWait: 40 }))
        const started: Array<number> = []
        const fibers = Array.from({ length: 1_000 }, (_, n) => {
          const fiber = machine.run(bulkhead.execute(Effect.suspend(() => {
            started.push(n)
            return Effect.sleep(below(5))
          })))
          if (random() < 0.5) machine.step()
          if (random() < 0.5) machine.tick()
          return fiber
        })
        for (let n = 0; n < 300; n++) fibers[below(fibers.length)]!.interruptUnsafe()
        machine.finish()
        assert.deepStrictEqual(started, started.toSorted((a, b) => a - b))
        assert.isAbove(started.length, 20)
      })
    }
  })

  describe("withBulkhead", () => {
    class PaymentSlots
      extends Bulkhead.Service<PaymentSlots>()("payments", { limit: 2, queue: 1, maxWait: "1 second" })
    {}

    it.effect("takes a bulkhead, data-first and data-last", () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1 })
        assert.strictEqual(yield* Bulkhead.withBulkhead(Effect.succeed(1), bulkhead), 1)
        assert.strictEqual(yield* Effect.succeed(2).pipe(Bulkhead.withBulkhead(bulkhead)), 2)
      }))

    it.effect("takes the class of a service, whose calls share their slots", () =>
      Effect.gen(function*() {
        const inFlight = Effect.flatMap(PaymentSlots, (slots) => slots.inFlight)
        assert.strictEqual(yield* inFlight.pipe(Bulkhead.withBulkhead(PaymentSlots)), 1)
        assert.strictEqual(yield* Bulkhead.withBulkhead(inFlight, PaymentSlots), 1)
        yield* fork(Bulkhead.withBulkhead(Effect.never, PaymentSlots))
        assert.strictEqual(yield* inFlight.pipe(Bulkhead.withBulkhead(PaymentSlots)), 2)
      }).pipe(Effect.provide(PaymentSlots.layer)))

    it.effect("names the service's bulkhead after the service", () =>
      Effect.gen(function*() {
        const bulkhead = yield* PaymentSlots
        assert.strictEqual(bulkhead.name, "payments")
        assert.strictEqual(bulkhead.description, PaymentSlots.description)
        assert.strictEqual(PaymentSlots.key, "effect-resilience/Bulkhead/payments")
      }).pipe(Effect.provide(PaymentSlots.layer)))

    it.effect("works with a bulkhead provided in place of the service's own", () =>
      Effect.gen(function*() {
        const mine = yield* Bulkhead.make({ name: "mine", limit: 1 })
        const name = yield* Effect.map(PaymentSlots, (slots) => slots.name).pipe(
          Bulkhead.withBulkhead(PaymentSlots),
          Effect.provideService(PaymentSlots, mine)
        )
        assert.strictEqual(name, "mine")
      }))

    it.effect("makes a bulkhead per build of the layer", () =>
      Effect.gen(function*() {
        const one = yield* PaymentSlots.pipe(Effect.provide(Layer.fresh(PaymentSlots.layer)))
        const two = yield* PaymentSlots.pipe(Effect.provide(Layer.fresh(PaymentSlots.layer)))
        assert.notStrictEqual(one, two)
      }))

    it("adds exactly its error and what the target needs", () => {
      class Db extends Context.Service<Db, { readonly get: Effect.Effect<number, "not found"> }>()("test/Db") {}
      const call = Effect.flatMap(Db, (db) => db.get)
      const check = (bulkhead: Bulkhead.Bulkhead) => {
        expectTypeOf(Bulkhead.withBulkhead(call, bulkhead)).toEqualTypeOf<
          Effect.Effect<number, "not found" | ResilienceError.BulkheadFullError, Db>
        >()
        expectTypeOf(call.pipe(Bulkhead.withBulkhead(bulkhead))).toEqualTypeOf<
          Effect.Effect<number, "not found" | ResilienceError.BulkheadFullError, Db>
        >()
        expectTypeOf(bulkhead.execute(call)).toEqualTypeOf<
          Effect.Effect<number, "not found" | ResilienceError.BulkheadFullError, Db>
        >()
        expectTypeOf(Bulkhead.withBulkhead(call, PaymentSlots)).toEqualTypeOf<
          Effect.Effect<number, "not found" | ResilienceError.BulkheadFullError, Db | PaymentSlots>
        >()
        const last = call.pipe(Bulkhead.withBulkhead(PaymentSlots))
        expectTypeOf(last).toEqualTypeOf<
          Effect.Effect<number, "not found" | ResilienceError.BulkheadFullError, Db | PaymentSlots>
        >()
        expectTypeOf(last.pipe(Effect.catchTag("BulkheadFullError", () => Effect.succeed(0)))).toEqualTypeOf<
          Effect.Effect<number, "not found", Db | PaymentSlots>
        >()
        expectTypeOf(PaymentSlots.layer).toEqualTypeOf<Layer.Layer<PaymentSlots>>()
      }
      assert.isFunction(check)
    })
  })
})

describe("a call that a timeout inside the bulkhead has left behind", () => {
  /** Work that does not let go when it is interrupted, and how much of it runs at once. */
  const stubborn = () => {
    const state = { running: 0, most: 0, calls: 0 }
    const work = Effect.uninterruptible(
      Effect.suspend(() => {
        state.calls++
        state.most = Math.max(state.most, ++state.running)
        return Effect.ensuring(Effect.sleep("10 seconds"), Effect.sync(() => state.running--))
      })
    )
    return { state, work }
  }
  const limit = { duration: "1 second", disconnect: true } as const

  it.effect("keeps its slot until it has ended", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ limit: 1 })
      const { state, work } = stubborn()
      const call = work.pipe(Timeout.withTimeout(limit), Bulkhead.withBulkhead(bulkhead), Effect.exit)
      const first = yield* fork(call)
      yield* TestClock.adjust("1 second")
      assert.isDefined(first.pollUnsafe())
      assert.strictEqual(yield* bulkhead.inFlight, 1)
      assert.isTrue(isFull(yield* call))

      yield* TestClock.adjust("9 seconds")
      assert.deepStrictEqual(yield* counts(bulkhead), [0, 0, 1])
      assert.strictEqual(state.calls, 1)
      yield* fork(call)
      assert.strictEqual(state.calls, 2)
    }))

  it.effect("keeps it when its caller is interrupted, and hands it to the next in the queue", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ limit: 1, queue: 1 })
      const { state, work } = stubborn()
      const call = work.pipe(Timeout.withTimeout({ ...limit, duration: "1 hour" }), Bulkhead.withBulkhead(bulkhead))
      const first = yield* fork(call)
      const second = yield* fork(call)
      yield* Fiber.interrupt(first)
      assert.deepStrictEqual([state.calls, yield* bulkhead.queued], [1, 1])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual([state.calls, state.most, yield* bulkhead.queued], [2, 1, 0])
      yield* Fiber.interrupt(second)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* counts(bulkhead), [0, 0, 1])
    }))

  it.effect("is within the limit of a pipeline, however often it is retried", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ limit: 2 })
      const { state, work } = stubborn()
      const pipeline = Resilience.make({
        name: "db",
        circuitBreaker: false,
        timeout: "1 minute",
        retry: { maxAttempts: 5, baseDelay: 0 },
        bulkhead,
        attemptTimeout: "1 second"
      })
      yield* Effect.forEach(Array.from({ length: 5 }), () => fork(Effect.exit(pipeline.execute(work))))
      for (let i = 0; i < 60; i++) yield* TestClock.adjust("1 second")
      assert.strictEqual(state.most, 2)
      assert.deepStrictEqual(yield* counts(bulkhead), [0, 0, 2])
    }))

  it.effect("holds no slot that was taken after it was left behind, nor one it ended within", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ limit: 1 })
      const { work } = stubborn()
      const fiber = yield* fork(Effect.gen(function*() {
        yield* Effect.exit(Timeout.withTimeout(work, limit))
        yield* bulkhead.execute(Effect.void)
        const during = yield* bulkhead.inFlight
        yield* bulkhead.execute(Effect.andThen(Effect.exit(Timeout.withTimeout(work, limit)), Effect.sleep("1 minute")))
        return [during, yield* bulkhead.inFlight]
      }))
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(yield* Fiber.join(fiber), [0, 0])
    }))
})
