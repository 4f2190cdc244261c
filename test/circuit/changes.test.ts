import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, type CircuitEvent } from "effect-resilience"
import { Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import { fail, make, settle, succeed, touchy, watch } from "../support/circuits.ts"

describe("changes", () => {
  const describeChanges = (changes: ReadonlyArray<CircuitEvent.CircuitChange>) =>
    changes.map((change) => change._tag === "StateChanged" ? change.to : change.changed.join())

  it.effect("are told from the beginning, whenever one asks, and go on", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* fail(breaker, 2)
      const early = yield* watch(breaker.changes)
      yield* TestClock.adjust("10 seconds")
      yield* succeed(breaker)
      yield* breaker.reconfigure({ ...(yield* breaker.policy), consecutiveFailures: 7 })
      const late = yield* watch(breaker.changes)
      yield* breaker.disable

      const all = ["Open", "HalfOpen", "Closed", "consecutiveFailures", "Disabled"]
      assert.deepStrictEqual(describeChanges(yield* early), all)
      assert.deepStrictEqual(describeChanges(yield* late), all)
      assert.deepStrictEqual((yield* late).map(({ sequence }) => sequence), [1, 2, 3, 4, 5])
    }))

  it.effect("of long ago are forgotten", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      for (let i = 0; i < 100; i++) yield* i % 2 === 0 ? breaker.disable : breaker.metricsOnly
      const sequences = (yield* yield* watch(breaker.changes)).map(({ sequence }) => sequence)

      assert.deepStrictEqual(sequences, Array.from({ length: 64 }, (_, i) => 37 + i))
    }))

  it.effect("leave nothing out and come once, wherever a subscriber starts", () =>
    Effect.gen(function*() {
      for (let steps = 0; steps < 30; steps++) {
        const breaker = yield* make(touchy)
        const told: Array<number> = []
        yield* breaker.changes.pipe(
          Stream.runForEach(({ sequence }) => Effect.sync(() => told.push(sequence))),
          Effect.forkScoped({ startImmediately: steps % 2 === 0 })
        )
        for (let i = 0; i < 15; i++) {
          yield* i % 2 === 0 ? breaker.disable : breaker.metricsOnly
          if (i >= steps / 2) yield* Effect.yieldNow
        }
        yield* settle

        assert.deepStrictEqual(told, Array.from({ length: 15 }, (_, i) => i + 1), `${steps} steps`)
      }
    }))

  it.effect("are not told again to listeners", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* fail(breaker, 2)
      const heard: Array<string> = []
      yield* CircuitBreaker.onTrip(breaker, () => Effect.sync(() => heard.push("trip")))
      yield* CircuitBreaker.onRecovery(breaker, () => Effect.sync(() => heard.push("recovery")))
      yield* breaker.on("StateChanged", ({ to }) => Effect.sync(() => heard.push(to)))
      yield* breaker.forceClose
      yield* settle

      assert.deepStrictEqual(heard.toSorted(), ["Closed", "recovery"])
    }))
})
