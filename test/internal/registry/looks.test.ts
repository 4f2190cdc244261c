/** What is looked at to tell how many circuits are. */
import { assert, describe, it } from "@effect/vitest"
import { CircuitBreakerRegistry, CircuitPolicy, HealthMonitor } from "effect-resilience"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { vi } from "vitest"
import { Breaker } from "../../../src/internal/circuit/breaker.ts"
import { collectInPieces, PIECE } from "../../../src/internal/pieces.ts"
import { fail, settle, succeed } from "../../support/circuits.ts"
import { namedCircuit } from "../../support/registry.ts"

const CIRCUITS = 100_000

/** How often circuits are read meanwhile. */
const reads = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const settled = vi.spyOn(Breaker.prototype, "settled")
    return Effect.map(effect, (value) => ({ value, reads: settled.mock.calls.length })).pipe(
      Effect.ensuring(Effect.sync(() => settled.mockRestore()))
    )
  })

const makeMany = (circuits: number, failing: number) =>
  Effect.gen(function*() {
    const registry = yield* CircuitBreakerRegistry.make({
      defaults: CircuitPolicy.make({ consecutiveFailures: 1, openDuration: "10 seconds" })
    })
    for (let i = 0; i < circuits; i++) {
      const breaker = namedCircuit(registry, `circuit-${i}`)
      if (i < failing) yield* fail(breaker)
    }
    return registry
  })

const provide = (registry: CircuitBreakerRegistry.CircuitBreakerRegistry) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.provideService(self, CircuitBreakerRegistry.CircuitBreakerRegistry, registry)

describe("health of 100,000 circuits", () => {
  it.effect("reads only those that are not healthy", () =>
    Effect.gen(function*() {
      const registry = yield* makeMany(CIRCUITS, 3)
      const monitor = yield* provide(registry)(HealthMonitor.make())
      yield* settle
      const system = yield* reads(registry.systemStatus)
      assert.deepStrictEqual([system.value.status, system.value.totalCircuits, system.reads], [
        "unhealthy",
        CIRCUITS,
        3
      ])
      const health = yield* reads(monitor.status)
      assert.deepStrictEqual([health.value, health.reads], ["unhealthy", 3])
    }))
})

describe("many circuits in trouble", () => {
  const many = PIECE + 200

  it.effect("are looked at once a second for all who ask", () =>
    Effect.gen(function*() {
      const registry = yield* makeMany(many, many)
      const all = Effect.all([registry.systemStatus, registry.anyOpen, registry.openCircuits], {
        concurrency: "unbounded"
      })
      assert.strictEqual((yield* reads(all)).reads, many)
      assert.strictEqual((yield* reads(all)).reads, 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* reads(all)).reads, many)
    }))

  it.effect("are looked at anew once one was changed by hand", () =>
    Effect.gen(function*() {
      const registry = yield* makeMany(many + 1, many)
      assert.strictEqual((yield* registry.openCircuits).length, many)
      yield* namedCircuit(registry, `circuit-${many}`).forceOpen()
      assert.strictEqual((yield* registry.openCircuits).length, many + 1)
      yield* registry.remove("circuit-0")
      assert.strictEqual((yield* registry.openCircuits).length, many)
      yield* registry.resetAll
      assert.strictEqual((yield* registry.systemStatus).status, "healthy")
    }))

  it.effect("are looked at by a subscriber of changes when they change, or an interval is over", () =>
    Effect.gen(function*() {
      const registry = yield* makeMany(many, many)
      const monitor = yield* provide(registry)(HealthMonitor.make({ interval: "30 seconds" }))
      yield* settle
      const seen: Array<string> = []
      yield* Effect.forkScoped(
        Stream.runForEach(monitor.changes, ({ name, to }) => Effect.sync(() => seen.push(`${name}: ${to}`))),
        { startImmediately: true }
      )
      // What was before is no change.
      yield* Effect.repeat(settle, { times: 20 })
      assert.deepStrictEqual(seen, [])
      const breaker = namedCircuit(registry, "circuit-7")
      const { reads: looked } = yield* reads(Effect.andThen(breaker.forceClose, Effect.repeat(settle, { times: 20 })))
      assert.isBelow(looked, 10)
      assert.deepStrictEqual(seen, ["circuit-7: healthy"])
      yield* TestClock.adjust("30 seconds")
      yield* Effect.repeat(settle, { times: 50 })
      assert.strictEqual(seen.filter((line) => /^circuit-.*: degraded$/.test(line)).length, many - 1)
      assert.strictEqual(seen.at(-1), "system: degraded")
    }))
})

describe("a monitor", () => {
  it.effect("reads nothing while nobody listens", () =>
    Effect.gen(function*() {
      const registry = yield* makeMany(50, 0)
      const monitor = yield* provide(registry)(HealthMonitor.make())
      yield* settle
      const breaker = namedCircuit(registry, "circuit-1")
      const change = Effect.gen(function*() {
        yield* breaker.forceOpen()
        yield* settle
        yield* TestClock.adjust("2 minutes")
        yield* breaker.forceClose
        yield* settle
      })
      assert.strictEqual((yield* reads(change)).reads, 0)
      const listener = yield* Effect.forkChild(Stream.runDrain(monitor.changes), { startImmediately: true })
      yield* settle
      yield* Fiber.interrupt(listener)
      assert.strictEqual((yield* reads(change)).reads, 0)
    }))

  it.effect("tells who begins to listen what changes from then on", () =>
    Effect.gen(function*() {
      const registry = yield* makeMany(2, 1)
      const monitor = yield* provide(registry)(HealthMonitor.make())
      yield* settle
      const [down, up] = [namedCircuit(registry, "circuit-0"), namedCircuit(registry, "circuit-1")]
      for (const _ of [1, 2]) {
        const heard = yield* Effect.forkChild(
          Stream.runCollect(Stream.take(monitor.changes, 3)),
          { startImmediately: true }
        )
        yield* settle
        yield* up.forceOpen()
        yield* settle
        yield* Effect.all([up.forceClose, down.forceClose])
        yield* settle
        assert.deepStrictEqual(
          (yield* Fiber.join(heard)).map(({ from, name, to }) => `${name}: ${from} -> ${to}`),
          [
            "circuit-1: healthy -> unhealthy",
            "circuit-0: unhealthy -> healthy",
            "circuit-1: unhealthy -> healthy"
          ].toSorted((a, b) => Number(b.endsWith("unhealthy")) - Number(a.endsWith("unhealthy")))
        )
        yield* down.forceOpen()
        yield* settle
      }
      yield* succeed(up)
    }))
})

describe("a long list", () => {
  it.effect("lets others run between its pieces", () =>
    Effect.gen(function*() {
      const numbers = Array.from({ length: 2 * PIECE + 1 }, (_, i) => i)
      const seen: Array<number> = []
      const list = yield* Effect.forkChild(
        collectInPieces(() => numbers, (i) => {
          seen.push(i)
          return i % 2 === 0 ? i : undefined
        }),
        { startImmediately: true }
      )
      const after = [seen.length]
      for (let i = 0; i < 2; i++) {
        yield* Effect.yieldNow
        after.push(seen.length)
      }
      assert.deepStrictEqual(after, [PIECE, 2 * PIECE, 2 * PIECE + 1])
      assert.deepStrictEqual(yield* Fiber.join(list), numbers.filter((i) => i % 2 === 0))
    }))
})
