import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { settle } from "../../support/circuits.ts"
import { Lookouts } from "../../../src/internal/health/wake.ts"

it.effect("looks at once when woken, when its time has come, and again at once after zero milliseconds", () =>
  Effect.gen(function*() {
    const lookouts = new Lookouts()
    const waits = [0, 1_000, Infinity]
    let looks = 0
    const fiber = yield* Effect.forkChild(lookouts.repeat(Effect.sync(() => waits[looks++] ?? Infinity)))
    const seen: Array<number> = []
    yield* settle
    seen.push(looks)
    yield* TestClock.adjust("999 millis")
    seen.push(looks)
    yield* TestClock.adjust("1 millis")
    seen.push(looks)
    yield* TestClock.adjust("1 hour")
    seen.push(looks)
    lookouts.wake()
    lookouts.wake()
    yield* settle
    seen.push(looks)
    yield* Fiber.interrupt(fiber)
    lookouts.wake()
    yield* settle
    seen.push(looks)

    assert.deepStrictEqual(seen, [2, 2, 3, 3, 4, 4])
  }))

it.effect("is gone once its fiber has ended", () =>
  Effect.gen(function*() {
    const lookouts = new Lookouts()
    const fiber = yield* Effect.forkChild(lookouts.repeat(Effect.succeed(Infinity)))
    yield* settle
    assert.strictEqual(lookouts["latches"].size, 1)
    yield* Fiber.interrupt(fiber)
    assert.strictEqual(lookouts["latches"].size, 0)
  }))
