import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
import * as EffectCircuitBreaker from "effect-resilience/EffectCircuitBreaker"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { CircuitBreaker as EffectBreaker } from "effect/persistence"
import { TestClock } from "effect/testing"
import { type Breaker, halfOpen, make, repeat, succeed, touchy } from "../support/circuits.ts"

/** Runs an effect, and interrupts it after a while. */
const leaveAfter =
  (duration: Duration.Input) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(self, { startImmediately: true })
      yield* TestClock.adjust(duration)
      yield* Fiber.interrupt(fiber)
    })

const verdict = (breaker: Breaker) =>
  Effect.map(breaker.metrics, ({ failedCalls, ignoredCalls }) => `${failedCalls} failed, ${ignoredCalls} ignored`)

describe("a call whose caller does not wait", () => {
  it.effect("says nothing by default, however long it ran", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* breaker.execute(Effect.never).pipe(leaveAfter("1 hour"))
      assert.strictEqual(yield* verdict(breaker), "0 failed, 1 ignored")
    }))

  it.effect("counts as failed if it ran at least as long as the policy says, and is ignored if not", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ interruptedAfter: "300 millis", consecutiveFailures: 9, window: { calls: 9 } })
      yield* breaker.execute(Effect.never).pipe(leaveAfter("299 millis"))
      assert.strictEqual(yield* verdict(breaker), "0 failed, 1 ignored")
      yield* breaker.execute(Effect.never).pipe(leaveAfter("300 millis"))
      assert.strictEqual(yield* verdict(breaker), "1 failed, 1 ignored")
      assert.deepStrictEqual((yield* breaker.metrics).lastFailure, {
        error: "Interrupted",
        message: "its caller did not wait any longer"
      })
    }))

  it.effect("opens a circuit whose dependency hangs", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ interruptedAfter: "250 millis" })
      yield* repeat(breaker.execute(Effect.never).pipe(leaveAfter("300 millis")), 5)
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  it.effect("counts as the call itself says, before the policy", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ interruptedAfter: "1 second", window: { calls: 10 } })
      yield* breaker.execute(Effect.never, { interruptedAfter: "1 minute" }).pipe(leaveAfter("2 seconds"))
      yield* breaker.execute(Effect.never, { interruptedAfter: 0 }).pipe(leaveAfter(0))
      assert.strictEqual(yield* verdict(breaker), "1 failed, 1 ignored")
    }))

  it.effect("counts as the call itself says, though the policy times nothing", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ consecutiveFailures: 9, window: { calls: 9 } })
      const never: Effect.Effect<void> = Effect.never
      const options = { interruptedAfter: "1 second" } as const
      yield* CircuitBreaker.withCircuitBreaker(never, breaker, options).pipe(leaveAfter("1 second"))
      yield* never.pipe(CircuitBreaker.withCircuitBreaker(breaker, options), leaveAfter("1 second"))
      yield* CircuitBreaker.wrap(breaker, options)(() => never)().pipe(leaveAfter("1 second"))
      assert.strictEqual(yield* verdict(breaker), "3 failed, 0 ignored")
      assert.isUndefined((yield* breaker.metrics).averageResponseTime)
    }))

  it.effect("counts by name as well", () =>
    Effect.gen(function*() {
      const never: Effect.Effect<void> = Effect.never
      yield* never.pipe(
        CircuitBreaker.withCircuitBreaker("db", { interruptedAfter: "1 second" }),
        leaveAfter("1 second")
      )
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      assert.strictEqual(yield* verdict(yield* registry.getOrCreate("db")), "1 failed, 0 ignored")
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))

  it.effect("is slow by the rule of slow calls", () =>
    Effect.gen(function*() {
      const breaker = yield* make({
        interruptedAfter: "1 second",
        slowCallDuration: "2 seconds",
        slowCallRate: 1,
        minimumCalls: 9
      })
      yield* breaker.execute(Effect.never).pipe(leaveAfter("1 second"))
      assert.strictEqual((yield* breaker.metrics).slowCallRate, 0)
      yield* breaker.execute(Effect.never).pipe(leaveAfter("3 seconds"))
      assert.strictEqual((yield* breaker.metrics).slowCallRate, 0.5)
    }))

  it.effect("fails a probe", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, interruptedAfter: "1 second" })
      yield* halfOpen(breaker)
      yield* breaker.execute(Effect.never).pipe(leaveAfter("999 millis"))
      assert.strictEqual(yield* breaker.state, "HalfOpen")
      yield* breaker.execute(Effect.never).pipe(leaveAfter("1 second"))
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  it.effect("counts by a permit whose scope is interrupted", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ interruptedAfter: "1 second" })
      yield* Effect.scoped(Effect.andThen(breaker.permit, Effect.never)).pipe(leaveAfter("1 second"))
      yield* Effect.scoped(
        Effect.andThen(Effect.flatMap(breaker.permit, ({ delivered }) => delivered), Effect.never)
      ).pipe(leaveAfter("1 second"))
      assert.strictEqual(yield* verdict(breaker), "1 failed, 1 ignored")
    }))

  it.effect("says nothing if the policy did not time it yet when it began", () =>
    Effect.gen(function*() {
      const options: CircuitPolicy.Options = { consecutiveFailures: 9, window: { calls: 9 } }
      const breaker = yield* make(options)
      const fiber = yield* Effect.forkChild(breaker.execute(Effect.never), { startImmediately: true })
      yield* breaker.reconfigure(CircuitPolicy.make({ ...options, interruptedAfter: 0 }))
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* verdict(breaker), "0 failed, 1 ignored")
      yield* succeed(breaker)
    }))

  it.effect("counts through Effect's own breaker service", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const breaker = yield* registry.getOrCreate("k")
      yield* breaker.reconfigure(CircuitPolicy.make({ interruptedAfter: "1 second" }))
      const service = yield* EffectCircuitBreaker.make({
        tripPolicy: EffectBreaker.consecutive(1),
        openDuration: "30 seconds"
      })
      yield* service.execute(Effect.never, { key: "k" }).pipe(leaveAfter("1 second"))
      assert.strictEqual(yield* verdict(breaker), "1 failed, 0 ignored")
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))
})
