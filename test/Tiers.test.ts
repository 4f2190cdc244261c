import { assert, describe, it } from "@effect/vitest"
import { Context, Data, Effect, Exit, Fiber, Layer, Ref } from "effect"
import { TestClock } from "effect/testing"
import {
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  ResilienceError,
  Tiers
} from "effect-resilience"
import { expectTypeOf } from "vitest"

class NotFound extends Data.TaggedError("NotFound")<{ readonly id: string }> {}
class Unavailable extends Data.TaggedError("Unavailable")<{ readonly by: string }> {}

const registry = CircuitBreakerRegistry.layer({
  defaults: CircuitPolicy.make({ consecutiveFailures: 2, openDuration: "10 seconds", successThreshold: 1 })
})

const down = (by: string) => Effect.fail(new Unavailable({ by }))

describe("Tiers.make", () => {
  it.effect("the first tier that serves answers the call, and later ones do not run", () =>
    Effect.gen(function*() {
      const ran = yield* Ref.make<ReadonlyArray<string>>([])
      const run = (name: string) => Tiers.tier(name, Effect.as(Ref.update(ran, (names) => [...names, name]), name))
      const call = Tiers.make("get", [run("a"), run("b")])

      assert.strictEqual(yield* call, "a")
      assert.deepStrictEqual(yield* Ref.get(ran), ["a"])
    }).pipe(Effect.provide(registry)))

  it.effect("a tier that fails, with an error or a defect, hands the call to the next one", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get", [
        Tiers.tier("a", down("a")),
        Tiers.tier("b", Effect.die(new Error("bug"))),
        Tiers.tier("c", Effect.succeed("c"))
      ])

      const [exit, [report]] = yield* Tiers.collect(call)

      assert.deepStrictEqual(exit, Exit.succeed("c"))
      assert.strictEqual(report!.servedBy, "c")
      assert.deepStrictEqual(report!.attempts.map(({ outcome, tier }) => [tier, outcome]), [
        ["a", "failed"],
        ["b", "failed"]
      ])
    }).pipe(Effect.provide(registry)))

  it.effect("a tier whose circuit is open is skipped at once, and says so", () =>
    Effect.gen(function*() {
      const calls = yield* Ref.make(0)
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.andThen(Ref.update(calls, (n) => n + 1), down("a"))),
        Tiers.tier("b", Effect.succeed("b"))
      ])
      yield* call
      yield* call

      const [exit, [report]] = yield* Tiers.collect(call)

      assert.deepStrictEqual(exit, Exit.succeed("b"))
      assert.strictEqual(report!.attempts[0]!.outcome, "skipped")
      assert.instanceOf(report!.attempts[0]!.error, ResilienceError.CircuitOpenError)
      assert.strictEqual(yield* Ref.get(calls), 2)
    }).pipe(Effect.provide(registry)))

  it.effect("all failed: AllTiersFailedError has an entry for each tier, with why and how long", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get_account", [
        Tiers.tier("a", Effect.andThen(Effect.sleep("1 second"), down("a"))),
        Tiers.tier("b", Effect.sleep("1 minute"), { timeout: "2 seconds" })
      ])
      const fiber = yield* Effect.forkChild(Effect.flip(call))
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)

      assert.strictEqual(error._tag, "AllTiersFailedError")
      assert.strictEqual(
        error.message,
        "No tier could serve get_account: a failed (Unavailable), b failed (b did not complete within 2s)"
      )
      assert.deepStrictEqual(error.attempts.map((attempt) => String(attempt.duration)), ["1000 millis", "2000 millis"])
    }).pipe(Effect.provide(registry)))

  it.effect("an error that is an answer ends the call, and is a success for the tier's circuit", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.fail(new NotFound({ id: "1" })), { retry: { maxAttempts: 3 } }),
        Tiers.tier("b", Effect.succeed("b"))
      ], { isAnswer: (error): error is NotFound => error._tag === "NotFound" })
      expectTypeOf(call).toEqualTypeOf<
        Effect.Effect<
          string,
          NotFound | ResilienceError.AllTiersFailedError,
          CircuitBreakerRegistry.CircuitBreakerRegistry
        >
      >()

      const error = yield* Effect.flip(call)

      assert.deepStrictEqual(error, new NotFound({ id: "1" }))
      const { getOrCreate } = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const metrics = yield* (yield* getOrCreate("a")).metrics
      assert.strictEqual(metrics.successfulCalls, 1)
      assert.strictEqual(metrics.totalCalls, 1)
    }).pipe(Effect.provide(registry)))

  it.effect("each tier has its own retry, and a retry that opens its circuit reports what failed before", () =>
    Effect.gen(function*() {
      const calls = yield* Ref.make(0)
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.andThen(Ref.update(calls, (n) => n + 1), down("a")), {
          retry: { maxAttempts: 5, baseDelay: "1 second", jitter: "none" }
        }),
        Tiers.tier("b", Effect.succeed("b"))
      ])
      const fiber = yield* Effect.forkChild(Tiers.collect(call))
      yield* TestClock.adjust("1 minute")
      const [exit, [report]] = yield* Fiber.join(fiber)

      assert.deepStrictEqual(exit, Exit.succeed("b"))
      assert.strictEqual(yield* Ref.get(calls), 2)
      assert.deepStrictEqual(report!.attempts.map(({ error, outcome }) => [outcome, error]), [
        ["failed", new Unavailable({ by: "a" })]
      ])
    }).pipe(Effect.provide(registry)))

  it.effect("one deadline spans all tiers, and every tier has its entry", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.andThen(Effect.sleep("2 seconds"), down("a"))),
        Tiers.tier("b", Effect.never),
        Tiers.tier("c", Effect.succeed("c"))
      ], { deadline: "5 seconds" })
      const fiber = yield* Effect.forkChild(Effect.flip(call))
      yield* TestClock.adjust("5 seconds")
      const error = yield* Fiber.join(fiber)

      assert.deepStrictEqual(
        error.attempts.map(({ duration, outcome, tier }) => `${tier} ${outcome} ${duration}`),
        ["a failed 2000 millis", "b failed 3000 millis", "c skipped 0 millis"]
      )
    }).pipe(Effect.provide(registry)))

  it.effect("interrupting the call interrupts the tier that runs, and tries no other", () =>
    Effect.gen(function*() {
      const ran = yield* Ref.make(false)
      const call = Tiers.make("get", [Tiers.tier("a", Effect.never), Tiers.tier("b", Ref.set(ran, true))])
      const fiber = yield* Effect.forkChild(call, { startImmediately: true })
      yield* Fiber.interrupt(fiber)

      assert.isFalse(yield* Ref.get(ran))
      const { getOrCreate } = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const metrics = yield* (yield* getOrCreate("a")).metrics
      assert.strictEqual(metrics.ignoredCalls, 1)
      assert.strictEqual(metrics.callsInFlight, 0)
    }).pipe(Effect.provide(registry)))
})

class Accounts extends Context.Service<Accounts, {
  readonly getName: (id: string) => Effect.Effect<string, NotFound | Unavailable>
  readonly count: Effect.Effect<number, Unavailable>
}>()("test/Accounts") {}

const flaky = (name: string, state: { up: boolean; builds: number; releases: number; works: boolean }) =>
  Layer.effect(
    Accounts,
    Effect.gen(function*() {
      state.builds++
      if (!state.up) return yield* new Unavailable({ by: `${name} does not start` })
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          state.releases++
        })
      )
      return Accounts.of({
        getName: (id) => Effect.suspend(() => state.works ? Effect.succeed(`${id} by ${name}`) : down(name)),
        count: Effect.suspend(() => state.works ? Effect.succeed(7) : down(name))
      })
    })
  )

describe("Tiers.layer", () => {
  it.effect("each method of the service is the whole pipeline", () =>
    Effect.gen(function*() {
      const first = { up: true, builds: 0, releases: 0, works: true }
      const second = { up: true, builds: 0, releases: 0, works: true }
      yield* Effect.gen(function*() {
        const accounts = yield* Accounts
        assert.strictEqual(yield* accounts.getName("x"), "x by first")
        assert.strictEqual(yield* accounts.count, 7)
        assert.deepStrictEqual([first.builds, second.builds], [1, 0])
        first.works = false
        assert.strictEqual(yield* accounts.getName("x"), "x by second")
      }).pipe(Effect.provide(
        Tiers.layer(Accounts, [["first", flaky("first", first)], ["second", flaky("second", second)]], {
          onAllFailed: (error) => new Unavailable({ by: error.message })
        })
      ))
      assert.deepStrictEqual([first.releases, second.releases], [1, 1])
    }).pipe(Effect.provide(registry)))

  it.effect("a tier whose Layer cannot be built is a failed tier, built anew by the next calls and the probe", () =>
    Effect.gen(function*() {
      const first = { up: false, builds: 0, releases: 0, works: true }
      const second = { up: true, builds: 0, releases: 0, works: true }
      yield* Effect.gen(function*() {
        const accounts = yield* Accounts
        for (let i = 0; i < 5; i++) assert.strictEqual(yield* accounts.getName("x"), "x by second")
        assert.strictEqual(first.builds, 2)
        first.up = true
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* accounts.getName("x"), "x by first")
        assert.strictEqual(first.builds, 3)
      }).pipe(Effect.provide(
        Tiers.layer(Accounts, [["first", flaky("first", first)], ["second", flaky("second", second)]], {
          onAllFailed: (error) => new Unavailable({ by: error.message })
        })
      ))
    }).pipe(Effect.provide(registry)))

  it.effect("an instance that broke is released and built anew when its circuit probes", () =>
    Effect.gen(function*() {
      const first = { up: true, builds: 0, releases: 0, works: true }
      yield* Effect.gen(function*() {
        const accounts = yield* Accounts
        yield* accounts.getName("x")
        first.works = false
        yield* Effect.flip(accounts.getName("x"))
        const error = yield* Effect.flip(accounts.count)
        assert.strictEqual(error.by, "No tier could serve count: first failed (Unavailable)")
        assert.deepStrictEqual([first.builds, first.releases], [1, 0])
        first.works = true
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* accounts.count, 7)
        yield* Effect.yieldNow
        assert.deepStrictEqual([first.builds, first.releases], [2, 1])
        yield* accounts.count
        assert.deepStrictEqual([first.builds, first.releases], [2, 1])
      }).pipe(Effect.provide(
        Tiers.layer(Accounts, [["first", flaky("first", first)]], {
          onAllFailed: (error) => new Unavailable({ by: error.message })
        })
      ))
    }).pipe(Effect.provide(registry)))
})

void CircuitBreaker
