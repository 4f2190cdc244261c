import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, Outcome } from "effect-resilience"
import { Effect, Exit } from "effect"
import { type Breaker, fail, halfOpen, make, raise, remaining, touchy } from "../support/circuits.ts"

describe("permit", () => {
  const metrics = (breaker: Breaker) =>
    Effect.map(breaker.metrics, (metrics) => ({
      success: metrics.successfulCalls,
      failure: metrics.failedCalls,
      ignored: metrics.ignoredCalls,
      inFlight: metrics.callsInFlight
    }))

  const none = { success: 0, failure: 0, ignored: 0, inFlight: 0 }

  it.effect("is rejected by an open circuit, like a call", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* fail(breaker)
      const error = yield* Effect.flip(Effect.scoped(breaker.permit))
      assert.strictEqual(error._tag, "CircuitOpenError")
      assert.strictEqual((yield* breaker.metrics).rejectedCalls, 1)
    }))

  it.effect("takes a probe's slot until it is reported or its scope closes", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, successThreshold: 2 })
      yield* halfOpen(breaker)
      yield* Effect.scoped(Effect.gen(function*() {
        const permit = yield* breaker.permit
        assert.isFalse(yield* breaker.isAvailable)
        yield* permit.success
        assert.isTrue(yield* breaker.isAvailable)
      }))
      yield* Effect.scoped(Effect.gen(function*() {
        yield* breaker.permit
        assert.isFalse(yield* breaker.isAvailable)
      }))
      assert.isTrue(yield* breaker.isAvailable)
      assert.deepInclude(yield* breaker.metrics, { probeSuccesses: 1, probesInFlight: 0, callsInFlight: 0 })
    }))

  const reports: Record<
    string,
    readonly [(permit: CircuitBreaker.Permit) => Effect.Effect<void>, Partial<typeof none>]
  > = {
    success: [(permit) => permit.success, { success: 1 }],
    failure: [(permit) => permit.failure(), { failure: 1 }],
    ignore: [(permit) => permit.ignore, { ignored: 1 }],
    "record success": [(permit) => permit.record(Outcome.success), { success: 1 }],
    "record failure": [(permit) => permit.record(Outcome.failure()), { failure: 1 }]
  }
  for (const [name, [report, expected]] of Object.entries(reports)) {
    it.effect(`${name} counts at once and once, however its scope closes`, () =>
      Effect.gen(function*() {
        for (const end of [Effect.void, Effect.fail("later"), Effect.die("later"), Effect.interrupt]) {
          const breaker = yield* make()
          yield* Effect.scoped(Effect.gen(function*() {
            yield* report(yield* breaker.permit)
            assert.deepStrictEqual(yield* metrics(breaker), { ...none, ...expected })
            yield* end
          })).pipe(Effect.exit)
          assert.deepStrictEqual(yield* metrics(breaker), { ...none, ...expected })
        }
      }))
  }

  it.effect("only the first report counts", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* Effect.scoped(Effect.gen(function*() {
        const permit = yield* breaker.permit
        yield* permit.success
        yield* permit.failure()
        yield* permit.ignore
        yield* permit.success
      }))
      assert.deepStrictEqual(yield* metrics(breaker), { ...none, success: 1 })
    }))

  it.effect("a failure's retryAfter lengthens the opening", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* Effect.scoped(Effect.flatMap(breaker.permit, (permit) => permit.failure({ retryAfter: "1 minute" })))
      assert.strictEqual(yield* remaining(breaker), 60_000)
    }))

  const silences: Record<string, readonly [Effect.Effect<void, string>, Partial<typeof none>]> = {
    "ends well is ignored": [Effect.void, { ignored: 1 }],
    "fails is judged like a failed call": [Effect.fail("down"), { failure: 1 }],
    "dies is judged like a failed call": [Effect.die("bug"), { failure: 1 }],
    "is interrupted is ignored": [Effect.interrupt, { ignored: 1 }]
  }
  for (const [name, [end, expected]] of Object.entries(silences)) {
    // migration: protect(timeout=…)
    it.effect(`a scope without a report that ${name}`, () =>
      Effect.gen(function*() {
        const breaker = yield* make()
        yield* Effect.exit(Effect.scoped(Effect.andThen(breaker.permit, end)))
        assert.deepStrictEqual(yield* metrics(breaker), { ...none, ...expected })
      }))
  }

  it.effect("a failed scope is judged by the policy's classifier", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ classify: Outcome.failureUnless((error) => error === "not found") })
      yield* Effect.exit(Effect.scoped(Effect.andThen(breaker.permit, Effect.fail("not found"))))
      assert.deepStrictEqual(yield* metrics(breaker), { ...none, success: 1 })
    }))

  it.effect("a classifier that throws frees its slot", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, classify: () => raise() })
      yield* breaker.forceOpen({ duration: 0 })
      const exit = yield* Effect.exit(Effect.scoped(Effect.andThen(breaker.permit, Effect.fail("down"))))

      assert.isTrue(Exit.hasDies(exit))
      assert.deepStrictEqual(yield* metrics(breaker), { ...none, ignored: 1 })
      assert.isTrue(yield* breaker.isAvailable)
    }))

  it.effect("several in one scope are apart", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* Effect.scoped(Effect.gen(function*() {
        const [one, two] = [yield* breaker.permit, yield* breaker.permit]
        yield* one.success
        yield* two.failure()
      }))
      assert.deepStrictEqual(yield* metrics(breaker), { ...none, success: 1, failure: 1 })
    }))

  it.effect("a report after the state has changed is late", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* Effect.scoped(Effect.gen(function*() {
        const permit = yield* breaker.permit
        yield* breaker.forceOpen()
        yield* permit.failure()
      }))
      assert.deepInclude(yield* breaker.metrics, { lateCalls: 1, failedCalls: 0 })
    }))
})
