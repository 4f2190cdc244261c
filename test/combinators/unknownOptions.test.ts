/** Every constructor refuses an option that there is not, and names what is passed in place of options. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Redacted, type Scope, Stream } from "effect"
import {
  Bulkhead,
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitLog,
  CircuitPolicy,
  Environment,
  Fallback,
  HealthMonitor,
  Hedge,
  RateLimit,
  Resilience,
  Retry,
  RetryBudget,
  Telemetry,
  Tiers,
  Timeout
} from "effect-resilience"
import { Admin } from "effect-resilience/admin"
import * as EffectCircuitBreaker from "effect-resilience/EffectCircuitBreaker"
import { Chaos } from "effect-resilience/testing"
import { CircuitBreaker as EffectBreaker } from "effect/persistence"
import type { Exported } from "../support/constructors.ts"

class Quotes extends Context.Service<Quotes, { readonly get: Effect.Effect<string> }>()("test/Quotes") {}

const call = Effect.succeed("served")
const quotes = Layer.succeed(Quotes, { get: call })
const point = Effect.runSync(Chaos.makePoint("a", { policies: [] }))
const limit = Effect.runSync(RateLimit.makeMemory({ name: "a", limit: 1, window: 1 }))
const breaker = Effect.runSync(CircuitBreaker.make({ name: "a" }))

type Tried = readonly [make: (options: never) => unknown, needed?: object]

type WithoutOptions = "Bulkhead.withBulkhead" | "CircuitBreaker.withNote" | "Fallback.withFallbackValue"

/** Each with the options that it needs. Those that are not given to the function are an effect's or a Layer's to refuse. */
const constructors: Record<string, Tried> & Record<Exclude<Exported, WithoutOptions>, Tried> = {
  "Bulkhead.make": [Bulkhead.make, { limit: 1 }],
  "Bulkhead.Service": [(options) => Bulkhead.Service<never>()("a", options), { limit: 1 }],
  "CircuitBreaker.make": [CircuitBreaker.make, { name: "a" }],
  "CircuitBreaker.Service": [(options) => CircuitBreaker.Service<never>()("a", options)],
  "CircuitBreaker.execute": [(options) => breaker.execute(call, options)],
  "CircuitBreaker.forceOpen": [(options) => breaker.forceOpen(options)],
  "CircuitBreaker.withCircuitBreaker": [(options) => CircuitBreaker.withCircuitBreaker("a", options)],
  "CircuitBreaker.wrap": [(options) => CircuitBreaker.wrap("a", options)],
  "CircuitBreaker.withCircuitBreakerStream": [
    (options) => CircuitBreaker.withCircuitBreakerStream(Stream.empty, "a", options)
  ],
  "CircuitBreakerRegistry.make": [CircuitBreakerRegistry.make],
  "CircuitBreakerRegistry.layer": [CircuitBreakerRegistry.layer],
  "CircuitBreakerRegistry.layerConfig": [CircuitBreakerRegistry.layerConfig],
  "CircuitLog.layer": [CircuitLog.layer],
  "CircuitPolicy.make": [CircuitPolicy.make],
  "CircuitPolicy.make, its window": [(window) => CircuitPolicy.make({ window }), { calls: 5 }],
  "CircuitPolicy.make, its sample": [
    (halfOpenSample) => CircuitPolicy.make({ halfOpenSample }),
    { calls: 5, failureRate: 0.5 }
  ],
  "CircuitPolicy.make, its ramp": [(recovery) => CircuitPolicy.make({ recovery }), { duration: "1 minute" }],
  "CircuitPolicy.exponential": [CircuitPolicy.exponential, { initial: "1 second" }],
  "EffectCircuitBreaker.make": [
    EffectCircuitBreaker.make,
    { tripPolicy: EffectBreaker.consecutive(1), openDuration: "1 second" }
  ],
  "EffectCircuitBreaker.layer": [
    EffectCircuitBreaker.layer,
    { tripPolicy: EffectBreaker.consecutive(1), openDuration: "1 second" }
  ],
  "Environment.load": [Environment.load],
  "Fallback.withFallback": [(options) => Fallback.withFallback(call, call, options), { when: () => true }],
  "HealthMonitor.make": [HealthMonitor.make],
  "HealthMonitor.layer": [HealthMonitor.layer],
  "HealthMonitor.layerConfig": [HealthMonitor.layerConfig],
  "HealthMonitor.make, a check": [(check) => HealthMonitor.make({ checks: { a: check } }), { check: Effect.void }],
  "Hedge.make": [Hedge.make, { delay: 1 }],
  "Hedge.withHedge": [Hedge.withHedge, { delay: 1 }],
  "RateLimit.make": [RateLimit.make, { name: "a", limit: 1, window: 1 }],
  "RateLimit.makeMemory": [RateLimit.makeMemory, { name: "a", limit: 1, window: 1 }],
  "RateLimit.Service": [(options) => RateLimit.Service<never>()("a", options), { limit: 1, window: 1 }],
  "RateLimit.execute": [(options) => limit.execute(call, options)],
  "RateLimit.withRateLimit": [(options) => RateLimit.withRateLimit(call, limit, options)],
  "Resilience.make": [Resilience.make, { name: "a" }],
  "Resilience.withResilience": [Resilience.withResilience, { name: "a" }],
  "Resilience.standard": [(options) => Resilience.standard("a", options)],
  "Resilience.standardConfig": [(options) => Resilience.standardConfig("a", options)],
  "Resilience.make, its retry": [(retry) => Resilience.make({ name: "a", retry })],
  "Resilience.make, its hedge": [(hedge) => Resilience.make({ name: "a", hedge }), { delay: 1 }],
  "Resilience.make, its timeout": [(timeout) => Resilience.make({ name: "a", timeout }), { duration: 1 }],
  "Resilience.make, its circuit": [(circuitBreaker) => Resilience.make({ name: "a", circuitBreaker })],
  "Retry.make": [Retry.make],
  "Retry.withRetry": [Retry.withRetry],
  "RetryBudget.make": [RetryBudget.make],
  "RetryBudget.layer": [RetryBudget.layer],
  "RetryBudget.Service": [(options) => RetryBudget.Service<never>()("a", options)],
  "Telemetry.layer": [Telemetry.layer],
  "Tiers.tier": [(options) => Tiers.tier("a", call, options)],
  "Tiers.make": [(options) => Tiers.make("a", [Tiers.tier("a", call)], options)],
  "Tiers.layer": [(options) => Tiers.layer(Quotes, [["a", quotes]], options), { onAllFailed: "die" }],
  "Tiers.layer, a tier": [(options) => Tiers.layer(Quotes, [["a", quotes, options]], { onAllFailed: "die" } as never)],
  "Timeout.withTimeout": [Timeout.withTimeout, { duration: 1 }],
  "Chaos.fault": [Chaos.fault],
  "Chaos.outage": [Chaos.outage],
  "Chaos.flapping": [Chaos.flapping, { up: 1, down: 1 }],
  "Chaos.defect": [Chaos.defect],
  "Chaos.interruption": [Chaos.interruption],
  "Chaos.hang": [Chaos.hang],
  "Chaos.block": [Chaos.block, { duration: 1 }],
  "Chaos.latency": [Chaos.latency, { delay: 1 }],
  "Chaos.degradation": [Chaos.degradation, { over: 1, to: 1 }],
  "Chaos.outcome": [Chaos.outcome, { run: () => call }],
  "Chaos.behaviour": [Chaos.behaviour, { run: () => call }],
  "Chaos.makePoint": [(options) => Chaos.makePoint("a", options), { policies: [] }],
  "Chaos.wrapLayer": [(options) => Chaos.wrapLayer(quotes, Quotes, options), { point: "a" }],
  "Chaos.startOutage": [(options) => point.startOutage(options)],
  "Admin.layerConfig": [Admin.layerConfig],
  "Admin.layer": [Admin.layer, { token: Redacted.make("0123456789abcdef0123") }],
  "Chaos.make": [Chaos.make],
  "Chaos.layer": [Chaos.layer]
}

/** What somebody hears of it: at once, or where the effect runs or the Layer is built. */
const complaint = (make: () => unknown): string => {
  try {
    const made = make()
    if (typeof made === "function" && !Effect.isEffect(made)) return "accepted"
    const effect = Layer.isLayer(made)
      ? Layer.build(made as Layer.Layer<never, unknown, CircuitBreakerRegistry.CircuitBreakerRegistry>)
      : Effect.isEffect(made)
      ? made as Effect.Effect<unknown, unknown, Scope.Scope | CircuitBreakerRegistry.CircuitBreakerRegistry>
      : undefined
    if (effect === undefined) return "accepted"
    const exit = Effect.runSyncExit(
      Effect.scoped(effect).pipe(Effect.provide(CircuitBreakerRegistry.layer()))
    )
    return Exit.isFailure(exit) ? String(exit) : "accepted"
  } catch (error) {
    assert.instanceOf(error, RangeError)
    return error.message
  }
}

describe("an option that there is not is refused, by name, with what there is", () => {
  for (const [name, [make, needed]] of Object.entries(constructors)) {
    it(`by ${name}`, () => {
      assert.match(
        complaint(() => make({ ...needed, noSuchOption: 1 } as never)),
        /"noSuchOption" is no option; there are \w+/
      )
    })
  }
})

describe("what is no object of options is named", () => {
  for (const [name, [make]] of Object.entries(constructors)) {
    it(`by ${name}`, () => {
      for (
        const [value, shown] of [[null, "null"], [Promise.resolve({}), "a Promise"], [[], "\\[\\]"]] as const
      ) {
        assert.match(
          complaint(() => make(value as never)),
          new RegExp(`must (be|come|have|name) .*${shown}`),
          shown
        )
      }
    })
  }
})
