import { assert, describe, it } from "@effect/vitest"
import {
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  HealthMonitor,
  ResilienceError,
  Telemetry
} from "effect-resilience"
import * as EffectCircuitBreaker from "effect-resilience/EffectCircuitBreaker"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import { CircuitBreaker as EffectBreaker } from "effect/persistence"
import { TestClock } from "effect/testing"
import { vi } from "vitest"
import { settle, touchy } from "../../support/circuits.ts"

const anotherCopy = Effect.promise(() => {
  vi.resetModules()
  return import("effect-resilience")
})

/** A circuit of which only what is public is known. */
const byHand = (breaker: CircuitBreaker.CircuitBreaker): CircuitBreaker.CircuitBreaker => ({
  [CircuitBreaker.TypeId]: CircuitBreaker.TypeId,
  name: breaker.name,
  policy: breaker.policy,
  execute: breaker.execute,
  permit: breaker.permit,
  state: breaker.state,
  isAvailable: breaker.isAvailable,
  metrics: breaker.metrics,
  events: breaker.events,
  changes: breaker.changes,
  on: breaker.on,
  forceOpen: breaker.forceOpen,
  forceClose: breaker.forceClose,
  disable: breaker.disable,
  metricsOnly: breaker.metricsOnly,
  reset: breaker.reset,
  reconfigure: breaker.reconfigure
})

const logged = <A, E, R>(test: (lines: ReadonlyArray<unknown>) => Effect.Effect<A, E, R>) => {
  const lines: Array<unknown> = []
  const logger = Logger.make(({ message }) => lines.push(...(message as ReadonlyArray<unknown>)))
  return Effect.suspend(() => test(lines)).pipe(Effect.provide(Logger.layer([logger])))
}

describe("a circuit of another copy of the package", () => {
  it.effect("runs calls, and its rejections are known", () =>
    Effect.gen(function*() {
      const other = yield* anotherCopy
      const breaker = yield* other.CircuitBreaker.make({ name: "a" })
      assert.strictEqual(yield* CircuitBreaker.withCircuitBreaker(Effect.succeed(1), breaker), 1)
      yield* breaker.forceOpen()
      const error = yield* Effect.flip(CircuitBreaker.withCircuitBreaker(Effect.succeed(1), breaker))
      assert.isTrue(ResilienceError.isCircuitOpenError(error))
    }))

  it.effect("is measured", () =>
    logged((lines) =>
      Effect.gen(function*() {
        const other = yield* anotherCopy
        const breaker = yield* other.CircuitBreaker.make({ name: "a" })
        yield* Telemetry.watch(breaker)
        yield* breaker.execute(Effect.void)
        const calls = (yield* Metric.snapshot).filter(({ attributes, id }) =>
          id === "circuit_breaker_calls_total" && attributes?.["outcome"] === "success"
        )
        assert.deepStrictEqual(calls.map(({ state }) => "count" in state && state.count), [1])
        assert.deepStrictEqual(lines, [])
      }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
    ))

  it.effect("tells a health monitor of its changes at once", () =>
    logged((lines) =>
      Effect.gen(function*() {
        const other = yield* anotherCopy
        const breaker = yield* other.CircuitBreaker.make({ name: "a", policy: CircuitPolicy.make(touchy) })
        let probes = 0
        const probe = Effect.sync(() => probes++)
        yield* HealthMonitor.make({ jitter: 0, interval: "1 hour", checks: { a: { circuit: breaker, probe } } })
        yield* settle
        yield* Effect.exit(breaker.execute(Effect.fail("down")))
        yield* settle
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(probes, 1)
        assert.strictEqual(yield* breaker.state, "Closed")
        assert.deepStrictEqual(lines, [])
      }).pipe(Effect.provide(CircuitBreakerRegistry.layer()))
    ))
})

describe("a circuit that somebody has made by hand", () => {
  it.effect("is not measured, which is said", () =>
    logged((lines) =>
      Effect.gen(function*() {
        yield* Telemetry.watch(byHand(yield* CircuitBreaker.make({ name: "a" })))
        assert.deepStrictEqual(lines, [
          "Telemetry.watch measures nothing of circuit \"a\": it was made by hand or by another version of effect-resilience"
        ])
      })
    ))

  it.effect("is read by a health monitor at its intervals, which is said", () =>
    logged((lines) =>
      Effect.gen(function*() {
        const breaker = byHand(yield* CircuitBreaker.make({ name: "a" }))
        const monitor = yield* HealthMonitor.make({ checks: { a: { circuit: breaker } } })
        yield* breaker.forceOpen()
        assert.strictEqual(yield* monitor.status, "unhealthy")
        yield* settle
        assert.deepStrictEqual(lines, [
          "HealthMonitor learns of the changes of circuit \"a\" only at its intervals: it was made by hand or by another version of effect-resilience"
        ])
      }).pipe(Effect.provide(CircuitBreakerRegistry.layer()))
    ))

  it.effect("in a registry is refused by Effect's own breaker service, by name", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const breaker = byHand(yield* CircuitBreaker.make({ name: "a" }))
      const exit = yield* EffectCircuitBreaker.make({
        tripPolicy: EffectBreaker.consecutive(1),
        openDuration: "30 seconds"
      }).pipe(
        Effect.flatMap((service) => service.execute(Effect.void, { key: "a" })),
        Effect.exit,
        Effect.provide(Layer.succeed(CircuitBreakerRegistry.CircuitBreakerRegistry, {
          ...registry,
          get: () => Effect.succeedSome(breaker)
        }))
      )
      assert.include(String(Exit.isFailure(exit) && exit.cause), "circuit \"a\" of the registry was made by hand")
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))
})
