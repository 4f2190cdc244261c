import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Exit, Fiber } from "effect"
import { Fibers, Run } from "../../../src/internal/health/run.ts"

describe("a run of a check", () => {
  it.effect("is interrupted when it is asked for after the end, and does not start", () =>
    Effect.gen(function*() {
      let runs = 0
      const fibers = new Fibers(Context.empty())
      const run = new Run(fibers, Effect.sync(() => ++runs), "check", Duration.seconds(5))
      assert.strictEqual(yield* run.attempt, 1)

      yield* fibers.stop

      assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(run.attempt)))
      assert.deepStrictEqual([runs, run.isRunning], [1, false])
    }))

  it.effect("goes on without whoever asked for it, until the end", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<string>()
      const fibers = new Fibers(Context.empty())
      const run = new Run(fibers, Deferred.await(gate), "check", Duration.seconds(5))
      const asking = yield* Effect.forkChild(run.attempt, { startImmediately: true })
      yield* Fiber.interrupt(asking)
      assert.isTrue(run.isRunning)

      yield* fibers.stop
      assert.isFalse(run.isRunning)
    }))
})
