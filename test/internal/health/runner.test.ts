import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Fiber, Semaphore } from "effect"
import { TestClock } from "effect/testing"
import { type Entry, makeEntry } from "../../../src/internal/health/entry.ts"
import { runCheck, runForever, type Runner, spread } from "../../../src/internal/health/runner.ts"

const entryOf = (
  check: Effect.Effect<unknown, unknown> | undefined,
  context: Context.Context<never>,
  timeout = Duration.seconds(5)
): Entry =>
  makeEntry("a", {
    check,
    probe: undefined,
    circuit: undefined,
    interval: Duration.seconds(30),
    timeout,
    successThreshold: 1,
    failureThreshold: 1,
    critical: true
  }, context)

const runnerOf = (concurrency = 10) => {
  let results = 0
  const runner: Runner = {
    slots: Semaphore.makeUnsafe(concurrency),
    onResult: () => results++,
    onStopped: Effect.interrupt
  }
  return { runner, results: () => results }
}

describe("the interval of a check", () => {
  it("changes by up to the jitter either way", () => {
    assert.strictEqual(spread(30_000, 0, 0.9), 30_000)
    assert.strictEqual(spread(30_000, 0.1, 0), 27_000)
    assert.strictEqual(spread(30_000, 0.1, 0.5), 30_000)
    assert.strictEqual(spread(30_000, 0.1, 1), 33_000)
    assert.strictEqual(spread(Infinity, 0.1, 0), Infinity)
  })

  it.effect("goes from start to start, however long a run takes", () =>
    Effect.gen(function*() {
      let runs = 0
      const context = yield* Effect.context<never>()
      const entry = entryOf(Effect.delay(Effect.sync(() => ++runs), "4 seconds"), context)
      const fiber = yield* Effect.forkChild(runForever(runnerOf().runner, entry, 0))
      const seen: Array<number> = []
      for (const time of ["4 seconds", "29 seconds", "1 second", "30 seconds"] as const) {
        yield* TestClock.adjust(time)
        seen.push(runs)
      }
      assert.deepStrictEqual(seen, [1, 1, 2, 3])
      yield* Fiber.interrupt(fiber)
      yield* entry.fibers.stop
    }))
})

describe("a run of a check", () => {
  it.effect("is timed from its own beginning, and so is one that hangs", () =>
    Effect.gen(function*() {
      const { runner } = runnerOf()
      const context = yield* Effect.context<never>()
      const entry = entryOf(Effect.uninterruptible(Effect.sleep("1 minute")), context)
      yield* TestClock.adjust("7 seconds")
      yield* Effect.forkChild(runCheck(runner, entry))
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(entry.last.duration, Duration.seconds(5))
      yield* TestClock.adjust("8 seconds")
      yield* runCheck(runner, entry)
      assert.deepStrictEqual(entry.last.reasons.map(({ message }) => message), [
        "a run that timed out has not ended, it began 13s ago"
      ])
      yield* TestClock.adjust("1 minute")
      yield* entry.fibers.stop
    }))

  it.effect("is shared by concurrent callers, and kept as the last result", () =>
    Effect.gen(function*() {
      let runs = 0
      const context = yield* Effect.context<never>()
      const { results, runner } = runnerOf()
      const entry = entryOf(Effect.delay(Effect.suspend(() => Effect.fail(`down ${++runs}`)), "1 second"), context)
      assert.deepStrictEqual(entry.last.reasons.map(({ code }) => code), ["NotChecked"])

      const callers = yield* Effect.forkChild(
        Effect.all([runCheck(runner, entry), runCheck(runner, entry)], { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(callers)

      assert.deepStrictEqual([runs, results()], [1, 1])
      assert.deepStrictEqual(entry.last.reasons.map(({ message }) => message), ["down 1"])
      assert.deepStrictEqual(entry.last.duration, Duration.seconds(1))
      assert.isUndefined(entry.running)
    }))

  it.effect("that still hangs is not started again, and says since when", () =>
    Effect.gen(function*() {
      let runs = 0
      const context = yield* Effect.context<never>()
      const { runner } = runnerOf()
      const check = Effect.uninterruptible(Effect.andThen(Effect.sync(() => ++runs), Effect.sleep("1 minute")))
      const entry = entryOf(check, context, Duration.seconds(1))

      const first = yield* Effect.forkChild(runCheck(runner, entry))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      assert.deepStrictEqual(entry.last.reasons.map(({ code }) => code), ["CheckTimedOut"])
      yield* TestClock.adjust("9 seconds")
      yield* runCheck(runner, entry)

      assert.strictEqual(runs, 1)
      assert.deepStrictEqual(entry.last.reasons.map(({ message }) => message), [
        "a run that timed out has not ended, it began 10s ago"
      ])
      yield* TestClock.adjust("1 minute")
      yield* entry.fibers.stop
    }))

  it.effect("ends for its caller with the check; asked for later it ends as the runner says", () =>
    Effect.gen(function*() {
      const context = yield* Effect.context<never>()
      const { runner } = runnerOf()
      const entry = entryOf(Effect.never, context)
      const caller = yield* Effect.forkChild(runCheck(runner, entry), { startImmediately: true })
      yield* entry.fibers.stop
      yield* Fiber.await(caller)
      assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(runCheck(runner, entry))))
      yield* runCheck(runner, entryOf(undefined, context))
    }))
})
