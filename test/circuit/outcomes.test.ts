import { assert, describe, it } from "@effect/vitest"
import { type CircuitPolicy, Outcome } from "effect-resilience"
import { Cause, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { type Breaker, call, halfOpen, make, raise, state, succeed, touchy } from "../support/circuits.ts"

describe("outcomes", () => {
  /** How a circuit counts a call. */
  const outcome = (
    effect: Effect.Effect<unknown, unknown>,
    options?: Parameters<Breaker["execute"]>[1] & { readonly policy?: CircuitPolicy.Options }
  ) =>
    Effect.gen(function*() {
      const breaker = yield* make(options?.policy ?? {})
      const exit = yield* Effect.exit(breaker.execute(effect, { classify: options?.classify }))
      const { failedCalls, ignoredCalls, successfulCalls } = yield* breaker.metrics
      assert.strictEqual(failedCalls + ignoredCalls + successfulCalls, 1)
      return { outcome: failedCalls === 1 ? "failure" : ignoredCalls === 1 ? "ignored" : "success", exit }
    })

  const counts = (effect: Effect.Effect<unknown, unknown>, expected: string, options?: Parameters<typeof outcome>[1]) =>
    Effect.map(outcome(effect, options), (actual) => assert.strictEqual(actual.outcome, expected))

  it.effect("a success is a success", () => counts(Effect.succeed(1), "success"))
  it.effect("a typed failure is a failure", () => counts(Effect.fail("down"), "failure"))
  it.effect("a defect is a failure", () => counts(Effect.die("bug"), "failure"))
  it.effect("a defect thrown by the call is a failure", () =>
    counts(
      Effect.sync(() => {
        throw new Error("bug")
      }),
      "failure"
    ))
  it.effect("an interruption is ignored", () => counts(Effect.interrupt, "ignored"))
  it.effect("a failure beside an interruption is a failure", () =>
    counts(Effect.ensuring(Effect.interrupt, Effect.die("finalizer")), "failure"))

  // migration: call(func, timeout=…)
  it.effect("a timeout inside the breaker is a failure", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const fiber = yield* Effect.forkChild(
        breaker.execute(Effect.timeout(Effect.never, "1 second")).pipe(Effect.exit),
        { startImmediately: true }
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepInclude(yield* breaker.metrics, { failedCalls: 1, ignoredCalls: 0 })
    }))

  it.effect("a timeout outside it is an interruption, and ignored", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const fiber = yield* Effect.forkChild(
        breaker.execute(Effect.never).pipe(Effect.timeout("1 second"), Effect.exit),
        { startImmediately: true }
      )
      yield* TestClock.adjust("1 second")
      const exit = yield* Fiber.join(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.isTimeoutError(Cause.squash(exit.cause)))
      assert.deepInclude(yield* breaker.metrics, { failedCalls: 0, ignoredCalls: 1 })
    }))

  it.effect("a rejection by a circuit inside the call is ignored", () =>
    Effect.gen(function*() {
      const inner = yield* make()
      yield* inner.forceOpen()
      yield* counts(inner.execute(Effect.void), "ignored")
    }))

  it.effect("the policy's classifier may turn a success into a failure and a failure into a success", () =>
    Effect.gen(function*() {
      const policy: CircuitPolicy.Options = {
        classify: (exit) => Exit.isSuccess(exit) ? Outcome.failure() : Outcome.success
      }
      yield* counts(Effect.succeed(1), "failure", { policy })
      yield* counts(Effect.fail("down"), "success", { policy })
      yield* counts(Effect.die("bug"), "success", { policy })
    }))

  // migration: expected_exception
  it.effect("the call's classifier comes before the policy's", () =>
    Effect.gen(function*() {
      const policy: CircuitPolicy.Options = { classify: () => Outcome.failure() }
      yield* counts(Effect.succeed(1), "ignored", { policy, classify: () => Outcome.ignored })
      yield* counts(Effect.succeed(1), "success", { policy, classify: () => Outcome.success })
    }))

  it.effect("and leaves the outcome to it by returning nothing", () =>
    Effect.gen(function*() {
      const classify = (exit: Exit.Exit<unknown, unknown>) => Exit.isSuccess(exit) ? undefined : Outcome.ignored
      yield* counts(Effect.succeed(1), "success", { classify })
      yield* counts(Effect.succeed(1), "failure", { classify, policy: { classify: () => Outcome.failure() } })
      yield* counts(Effect.fail(1), "ignored", { classify, policy: { classify: () => Outcome.failure() } })
    }))

  it.effect("no classifier is asked about an interruption, which is always ignored", () =>
    Effect.gen(function*() {
      let asked = 0
      const classify = () => {
        asked++
        return Outcome.failure()
      }
      yield* counts(Effect.interrupt, "ignored", { classify, policy: { classify } })
      assert.strictEqual(asked, 0)
    }))

  it.effect("no classifier is asked about a call of a disabled circuit", () =>
    Effect.gen(function*() {
      let asked = 0
      const classify = () => {
        asked++
        return Outcome.success
      }
      for (const [policy, options] of [[{ classify }, {}], [{}, { classify }]]) {
        const breaker = yield* make(policy)
        yield* breaker.disable
        yield* call(breaker, Effect.fail("down"), options)
        assert.strictEqual(asked, 0)
        yield* breaker.forceClose
        yield* call(breaker, Effect.fail("down"), options)
        assert.strictEqual(asked, 1)
        asked = 0
      }
    }))

  it.effect("no classifier is asked about a rejection", () =>
    Effect.gen(function*() {
      let asked = 0
      const classify = () => {
        asked++
        return Outcome.failure()
      }
      const breaker = yield* make({ classify })
      yield* breaker.forceOpen()
      yield* call(breaker, Effect.void, { classify })
      assert.strictEqual(asked, 0)
      assert.deepInclude(yield* breaker.metrics, { rejectedCalls: 1, failedCalls: 0 })
    }))

  it.effect("a classifier sees the exit as it is", () =>
    Effect.gen(function*() {
      const seen: Array<Exit.Exit<unknown, unknown>> = []
      const breaker = yield* make({
        classify: (exit) => {
          seen.push(exit)
          return Outcome.success
        }
      })
      yield* breaker.execute(Effect.succeed(1))
      yield* Effect.exit(breaker.execute(Effect.fail("down")))
      yield* Effect.exit(breaker.execute(Effect.die("bug")))
      assert.deepStrictEqual(seen, [Exit.succeed(1), Exit.fail("down"), Exit.die("bug")])
    }))

  for (
    const [where, options] of Object.entries({
      policy: { policy: { classify: () => raise() } },
      call: { classify: () => raise() }
    })
  ) {
    it.effect(`a classifier of the ${where} that throws: the outcome is ignored and the call dies`, () =>
      Effect.gen(function*() {
        for (const effect of [Effect.succeed(1), Effect.fail("down"), Effect.die("bug")]) {
          const { exit, outcome: ignored } = yield* outcome(effect, options)
          assert.strictEqual(ignored, "ignored")
          assert.isTrue(Exit.hasDies(exit))
          assert.include(Cause.pretty((exit as Exit.Failure<unknown, unknown>).cause), "classifier")
        }
      }))
  }

  it.effect("a classifier that returns no outcome is like one that throws", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const exit = yield* Effect.exit(breaker.execute(Effect.succeed(1), { classify: () => true as never }))
      assert(Exit.isFailure(exit))
      assert.strictEqual(String(Cause.squash(exit.cause)), "TypeError: A classifier must return an Outcome, got true")
      const metrics = yield* breaker.metrics
      assert.deepStrictEqual([metrics.ignoredCalls, metrics.totalCalls], [1, 1])
    }))

  it.effect("a classifier that throws frees its probe's slot", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* halfOpen(breaker)
      yield* Effect.exit(breaker.execute(Effect.succeed(1), { classify: () => raise() }))
      yield* state(breaker, "HalfOpen")
      assert.deepInclude(yield* breaker.metrics, { probesInFlight: 0, callsInFlight: 0 })
      yield* succeed(breaker)
      yield* state(breaker, "Closed")
    }))

  it.effect("a classifier may use the circuit it classifies for", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* breaker.execute(Effect.succeed(1), {
        classify: () => {
          Effect.runSync(breaker.forceOpen())
          return Outcome.failure()
        }
      })
      yield* state(breaker, "ForcedOpen")
      assert.deepInclude(yield* breaker.metrics, { lateCalls: 1, callsInFlight: 0 })
    }))
})
