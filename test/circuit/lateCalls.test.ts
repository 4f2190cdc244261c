import { assert, describe, it } from "@effect/vitest"
import { type CircuitPolicy } from "effect-resilience"
import { Effect, Exit } from "effect"
import { TestClock } from "effect/testing"
import {
  bring,
  changes,
  fail,
  halfOpen,
  hold,
  make,
  state,
  STATES,
  succeed,
  touchy,
  watch
} from "../support/circuits.ts"
import { rule } from "../support/everyWay.ts"

describe("late calls", () => {
  const policy: CircuitPolicy.Options = {
    ...touchy,
    halfOpenMaxCalls: 2,
    successThreshold: 2,
    halfOpenTimeout: "1 hour"
  }

  for (const ending of ["succeed", "fail", "interrupt"] as const) {
    rule(
      `a call from before the trip that ends as ${ending} changes no later state`,
      policy,
      (breaker) =>
        Effect.gen(function*() {
          for (const later of STATES.filter((state) => state !== "Closed")) {
            yield* breaker.reset
            const old = yield* hold(breaker)
            yield* fail(breaker)
            if (later !== "Open") yield* bring[later](breaker)
            if (later === "HalfOpen") yield* succeed(breaker)
            const before = yield* breaker.metrics

            yield* old[ending]

            const after = yield* breaker.metrics
            assert.deepStrictEqual(
              {
                ...after,
                lateCalls: before.lateCalls,
                ignoredCalls: before.ignoredCalls,
                callsInFlight: before.callsInFlight,
                // Late calls are timed as well.
                averageResponseTime: before.averageResponseTime,
                latency: before.latency
              },
              before,
              later
            )
            const late = ending === "interrupt" ? { ignoredCalls: 1, lateCalls: 0 } : { ignoredCalls: 0, lateCalls: 1 }
            assert.deepInclude(after, { ...late, callsInFlight: 0 }, later)
          }
        })
    )
  }

  rule(
    "probes of an earlier half-open period neither close nor reopen the circuit, nor free a slot",
    policy,
    (breaker) =>
      Effect.gen(function*() {
        yield* halfOpen(breaker)
        const old = yield* hold(breaker)
        yield* fail(breaker)
        yield* TestClock.adjust("10 seconds")
        const probes = yield* Effect.forEach([1, 2], () => hold(breaker))
        assert.isFalse(yield* breaker.isAvailable)

        yield* old.succeed
        assert.isFalse(yield* breaker.isAvailable)
        assert.deepInclude(yield* breaker.metrics, { probesInFlight: 2, probeSuccesses: 0, lateCalls: 1 })

        yield* Effect.forEach(probes, (probe) => probe.succeed)
        yield* state(breaker, "Closed")
      })
  )

  it.effect("a call of an earlier closed period does not count in a later one", () =>
    Effect.gen(function*() {
      const breaker = yield* make(policy)
      const old = yield* hold(breaker)
      yield* halfOpen(breaker)
      yield* succeed(breaker, 2)
      yield* state(breaker, "Closed")

      yield* old.fail
      yield* state(breaker, "Closed")
      assert.deepInclude(yield* breaker.metrics, { consecutiveFailures: 0, callsInWindow: 0, lateCalls: 1 })
    }))

  it.effect("a late call gets its own result", () =>
    Effect.gen(function*() {
      const breaker = yield* make(policy)
      const [one, two] = [yield* hold(breaker), yield* hold(breaker)]
      yield* fail(breaker)
      assert.deepStrictEqual(yield* one.succeed, Exit.succeed("ok"))
      assert.deepStrictEqual(yield* two.fail, Exit.fail("down"))
    }))

  it.effect("a late call leaves it to the next call to make the transition that is due", () =>
    Effect.gen(function*() {
      const breaker = yield* make(policy)
      const old = yield* hold(breaker)
      yield* fail(breaker)
      yield* TestClock.adjust("1 hour")
      const events = yield* watch(breaker.events)
      yield* old.fail
      assert.deepStrictEqual(changes(yield* events), [])
    }))
})
