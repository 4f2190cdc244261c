import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy, HealthMonitor, Tiers } from "effect-resilience"
import * as EffectCircuitBreaker from "effect-resilience/EffectCircuitBreaker"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { CircuitBreaker as EffectBreaker } from "effect/persistence"
import { TestClock } from "effect/testing"
import { call, fail, halfOpen, make, settle, touchy } from "../support/circuits.ts"

const twice: CircuitPolicy.Options = { ...touchy, halfOpenMaxCalls: 2, successThreshold: 2 }

describe("a circuit around a call that goes through the same circuit", () => {
  it.effect("recovers, though it has room for one probe only", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* halfOpen(breaker)
      assert.strictEqual(yield* breaker.execute(breaker.execute(Effect.succeed(1))), 1)
      assert.deepInclude(yield* breaker.metrics, { state: "Closed", rejectedCalls: 0, successfulCalls: 1 })
    }))

  it.effect("counts a probe once, and takes one slot for it", () =>
    Effect.gen(function*() {
      const breaker = yield* make(twice)
      yield* halfOpen(breaker)
      const seen = yield* breaker.execute(
        breaker.execute(Effect.map(breaker.metrics, (metrics) => metrics.probesInFlight))
      )
      assert.strictEqual(seen, 1)
      assert.deepInclude(yield* breaker.metrics, { state: "HalfOpen", probeSuccesses: 1, callsInFlight: 0 })
    }))

  it.effect("opens again if the call fails", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* halfOpen(breaker)
      assert.strictEqual(yield* Effect.flip(breaker.execute(breaker.execute(Effect.fail("down")))), "down")
      assert.deepInclude(yield* breaker.metrics, { state: "Open", failedCalls: 2 })
    }))

  it.effect("counts twice while it is closed", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* breaker.execute(breaker.execute(Effect.void))
      assert.strictEqual((yield* breaker.metrics).successfulCalls, 2)
    }))

  it.effect("recovers by a fiber that the probe starts, and through another circuit's probe", () =>
    Effect.gen(function*() {
      const [breaker, other] = [yield* make(touchy), yield* make(touchy)]
      yield* halfOpen(breaker)
      yield* other.forceOpen({ duration: 0 })
      yield* breaker.execute(other.execute(Effect.flatMap(
        Effect.forkChild(breaker.execute(other.execute(Effect.void))),
        Fiber.join
      )))
      assert.strictEqual(yield* breaker.state, "Closed")
      assert.strictEqual(yield* other.state, "Closed")
    }))

  it.effect("lets nothing else through: neither other fibers, nor what the probe leaves behind", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...twice, halfOpenMaxCalls: 1 })
      yield* halfOpen(breaker)
      const left = yield* breaker.execute(Effect.forkDetach(Effect.andThen(
        Effect.sleep("1 second"),
        call(breaker, Effect.succeed("ran"))
      )))
      yield* Effect.forkChild(breaker.execute(Effect.never), { startImmediately: true })
      assert.strictEqual(yield* call(breaker, Effect.void), "rejected: HalfOpen")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(left), "rejected: HalfOpen")
    }))

  it.effect("rejects the inner call once the circuit has opened again", () =>
    Effect.gen(function*() {
      const breaker = yield* make(twice)
      yield* halfOpen(breaker)
      const inner = yield* breaker.execute(Effect.andThen(
        Effect.forkDetach(fail(breaker)).pipe(Effect.flatMap(Fiber.join), Effect.andThen(breaker.forceOpen())),
        call(breaker, Effect.void)
      ))
      assert.strictEqual(inner, "rejected: ForcedOpen")
    }))

  it.effect("recovers by permits inside a call", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* halfOpen(breaker)
      yield* breaker.execute(Effect.scoped(Effect.flatMap(breaker.permit, (permit) => permit.failure())))
      assert.deepInclude(yield* breaker.metrics, { state: "Closed", callsInFlight: 0 })
    }))

  it.effect("recovers as Effect's own breaker service, around itself and around a circuit", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const service = yield* EffectCircuitBreaker.make({
        tripPolicy: EffectBreaker.consecutive(1),
        openDuration: "10 seconds"
      })
      const key = "k"
      for (
        const nested of [
          service.execute(service.execute(Effect.void, { key }), { key }),
          service.execute(CircuitBreaker.withCircuitBreaker(Effect.void, key), { key }),
          CircuitBreaker.withCircuitBreaker(service.execute(Effect.void, { key }), key)
        ]
      ) {
        yield* Effect.exit(service.execute(Effect.fail("down"), { key }))
        yield* TestClock.adjust("10 seconds")
        assert.isTrue(Exit.isSuccess(yield* Effect.exit(nested)))
        assert.strictEqual(yield* (yield* registry.getOrCreate(key)).state, "Closed")
        yield* (yield* registry.getOrCreate(key)).reset
      }
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))

  it.effect("recovers as a tier whose call is guarded by the tier's own circuit", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const breaker = yield* registry.register("tier", CircuitPolicy.make(touchy))
      let up = false
      const guarded = Effect.suspend(() => up ? Effect.succeed("served") : Effect.fail("down")).pipe(
        CircuitBreaker.withCircuitBreaker("tier")
      )
      const tiers = Tiers.make("get", [Tiers.tier("tier", guarded, { circuit: "tier" })])
      yield* Effect.exit(tiers)
      assert.strictEqual(yield* breaker.state, "Open")
      up = true
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* tiers, "served")
      assert.strictEqual(yield* breaker.state, "Closed")
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))

  it.effect("recovers by a health probe that is the program's own guarded call", () =>
    Effect.gen(function*() {
      let up = false
      const ping = Effect.suspend(() => up ? Effect.void : Effect.fail("down")).pipe(
        CircuitBreaker.withCircuitBreaker("db")
      )
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const breaker = yield* registry.register("db", CircuitPolicy.make(touchy))
      yield* HealthMonitor.make({ jitter: 0, checks: { db: { probe: ping } } })
      yield* Effect.exit(ping)
      yield* settle
      assert.strictEqual(yield* breaker.state, "Open")
      up = true
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* breaker.metrics, { state: "Closed", rejectedCalls: 0, successfulCalls: 1 })
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))
})
