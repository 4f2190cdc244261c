import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import { limitTime } from "../../../src/internal/time/limitTime.ts"

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

const limit =
  (duration: Duration.Input, options: { readonly name?: string; readonly disconnect?: boolean } = {}) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | string, R> =>
    limitTime(self, {
      duration: Duration.fromInputUnsafe(duration),
      disconnect: options.disconnect ?? false,
      orElse: () => Effect.fail(options.name ?? "timed out")
    })

describe("a call that ends at the very moment its time is up has ended", () => {
  const inTime = Exit.succeed("in time")
  const sleeps = (...millis: ReadonlyArray<number>) =>
    Effect.as(Effect.forEach(millis, (millis) => Effect.sleep(millis)), "in time")

  it.effect("whether its last wait began before the limit or after", () =>
    Effect.gen(function*() {
      const fibers = yield* Effect.forEach(
        [sleeps(1_000), sleeps(400, 600), sleeps(999, 1), sleeps(333.5, 333.25, 333.25)],
        (call) => fork(Effect.exit(limit("1 second")(call)))
      )
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), [inTime, inTime, inTime, inTime])
    }))

  it.effect("however many steps it takes after its last wait", () =>
    Effect.gen(function*() {
      const steps = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow)
      const fiber = yield* fork(Effect.exit(limit("1 second")(Effect.andThen(sleeps(500, 500), Effect.as(steps, 1)))))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(fiber), Exit.succeed(1))
    }))

  it.effect("whichever calls were limited to the same time before", () =>
    Effect.gen(function*() {
      const limited = (call: Effect.Effect<string>) => fork(Effect.exit(limit("1 second")(call)))
      const never = yield* limited(Effect.never)
      const same = yield* limited(sleeps(1_000))
      yield* TestClock.adjust(300)
      const later = yield* limited(sleeps(500, 500))
      const neverLater = yield* limited(Effect.never)
      yield* TestClock.adjust(700)
      assert.deepStrictEqual([never.pollUnsafe(), same.pollUnsafe()], [
        Exit.succeed(Exit.fail("timed out")),
        Exit.succeed(inTime)
      ])
      yield* TestClock.adjust(299)
      assert.isUndefined(neverLater.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* Fiber.join(later), inTime)
      assert.deepStrictEqual(yield* Fiber.join(neverLater), Exit.fail("timed out"))
    }))

  it.effect("within several limits that are up at that moment", () =>
    Effect.gen(function*() {
      const outer = limit("2 seconds", { name: "outer" })
      const inner = limit("1 second", { name: "inner" })
      const call = Effect.andThen(Effect.ignore(inner(Effect.never)), inner(sleeps(500, 500)))
      const fiber = yield* fork(Effect.exit(outer(outer(call))))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* Fiber.join(fiber), inTime)
    }))

  it.effect("and one that needs a moment longer has not", () =>
    Effect.gen(function*() {
      const fiber = yield* fork(Effect.exit(limit("1 second")(sleeps(500, 500.001))))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(fiber), Exit.fail("timed out"))
    }))
})

it.effect("the inner of two limits of one length that are up at the same moment ends the call", () =>
  Effect.gen(function*() {
    const fiber = yield* fork(
      Effect.exit(Effect.never.pipe(limit("1 second", { name: "inner" }), limit("1 second", { name: "outer" })))
    )
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(yield* Fiber.join(fiber), Exit.fail("inner"))
  }))

describe("limits within each other may be ten thousand deep", () => {
  const deep = <A>(self: Effect.Effect<A, string>, disconnect: boolean): Effect.Effect<A, string> => {
    let limited = self
    for (let depth = 0; depth < 10_000; depth++) limited = limit("1 minute", { disconnect })(limited)
    return limited
  }
  /** A call so deep takes turns of the event loop to start and to end. */
  const turns = Effect.forEach(Array.from({ length: 400 }), () => Effect.yieldNow, { discard: true })

  for (const disconnect of [false, true]) {
    describe(`disconnect ${disconnect}`, () => {
      it.effect("around a call that does not wait", () =>
        Effect.gen(function*() {
          assert.strictEqual(yield* deep(Effect.succeed("done"), disconnect), "done")
        }))

      it.effect("around one that waits", () =>
        Effect.gen(function*() {
          const fiber = yield* fork(deep(Effect.as(Effect.sleep("1 second"), "done"), disconnect))
          yield* turns
          yield* TestClock.adjust("1 second")
          assert.strictEqual(yield* Fiber.join(fiber), "done")
        }))

      it.effect("around one whose time is up", () =>
        Effect.gen(function*() {
          let interrupted = false
          const call = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted = true))
          const fiber = yield* fork(Effect.exit(deep(call, disconnect)))
          yield* turns
          yield* TestClock.adjust("1 minute")
          assert.deepStrictEqual(yield* Fiber.join(fiber), Exit.fail("timed out"))
          yield* turns
          assert.isTrue(interrupted)
        }))

      it.effect("around one that is interrupted", () =>
        Effect.gen(function*() {
          let interrupted = false
          const call = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted = true))
          const fiber = yield* fork(deep(call, disconnect))
          yield* turns
          yield* Fiber.interrupt(fiber)
          yield* turns
          assert.isTrue(interrupted)
        }))
    })
  }
})
