/** The circuit breakers that are compared, each with the same rules as far as it has them. */
import * as cockatiel from "cockatiel"
import { CircuitBreaker, type CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as EffectBreaker from "effect/persistence/CircuitBreaker"
import Opossum from "opossum"
import { insideOf } from "../src/internal/registry/inside.ts"
import { acquire, build } from "./loops.ts"

/** More failures than a benchmark has. */
export const NEVER = 2 ** 40

/** What a call by name does first: finds the circuit, or makes it. */
export const locate = (registry: CircuitBreakerRegistry.CircuitBreakerRegistry): (name: string) => object => {
  const inside = insideOf(registry)
  if (inside === undefined) throw new Error("The registry is not of this package")
  return (name) => inside.getOrCreate(name, undefined)
}

export const ours = (policy: CircuitPolicy.Options, context: Context.Context<never> = Context.empty()) =>
  acquire(Effect.provideContext(
    CircuitBreaker.make({ name: "bench", policy: CircuitPolicy.make(policy) }),
    context
  ))

export const countWindow = { consecutiveFailures: 5, failureRate: 0.5, window: { calls: 100 } } as const

export const everything = {
  consecutiveFailures: 5,
  failureRate: 0.5,
  slowCallRate: 0.5,
  slowCallDuration: "1 second",
  measureDuration: true,
  window: { duration: "60 seconds", buckets: 10 }
} as const

/** Effect's own: a function from an effect to that effect within its circuit. */
export const effects = async (
  tripPolicy: EffectBreaker.TripPolicy = EffectBreaker.rate({ threshold: 0.5, minimumCalls: 10, size: 100 }),
  openDuration: Parameters<typeof EffectBreaker.make>[0]["openDuration"] = "1 hour"
) => {
  const services = await build(EffectBreaker.layerStoreMemory())
  const breaker = await acquire(Effect.provideContext(EffectBreaker.make({ tripPolicy, openDuration }), services))
  return <A, E>(call: Effect.Effect<A, E>, key = "bench") => breaker.execute(call, { key })
}

export const { consecutive } = EffectBreaker

export const cockatiels = (
  breaker: cockatiel.IBreaker = new cockatiel.CountBreaker({ size: 100, threshold: 0.5, minimumNumberOfCalls: 10 }),
  halfOpenAfter = 3_600_000
) => cockatiel.circuitBreaker(cockatiel.handleAll, { breaker, halfOpenAfter })

export const opossums = <A>(action: () => Promise<A>, errorThresholdPercentage = 50) =>
  new Opossum(action, {
    timeout: false,
    errorThresholdPercentage,
    volumeThreshold: 10,
    rollingCountTimeout: 60_000,
    rollingCountBuckets: 10,
    rollingPercentilesEnabled: false,
    resetTimeout: 3_600_000
  })

export { cockatiel }
