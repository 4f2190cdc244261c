/** What a registry counts as circuits change is what a look at each of them counts. */
import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { ALARMING_FAILURE_RATE } from "../../../src/internal/words.ts"
import { type Breaker, fail, hold, succeed } from "../../support/circuits.ts"
import { seeded } from "../../support/machine.ts"

type Registry = CircuitBreakerRegistry.CircuitBreakerRegistry

/** The status by a look at every circuit. */
const byWalk = (registry: Registry) =>
  Effect.map(registry.statuses, (circuits) => {
    const circuitsByState = { Closed: 0, Open: 0, HalfOpen: 0, ForcedOpen: 0, Disabled: 0, MetricsOnly: 0 }
    for (const { state } of circuits) circuitsByState[state]++
    const open = circuits.filter(({ state }) => state === "Open" || state === "ForcedOpen").map(({ name }) => name)
    const isIdle = ({ currentBackoff = Duration.zero, probeIdleTime = Duration.zero }: typeof circuits[number]) =>
      Duration.toMillis(probeIdleTime) >= Math.max(60_000, Duration.toMillis(currentBackoff))
    const isDegraded = circuits.some((circuit) =>
      circuit.state === "HalfOpen"
        ? !isIdle(circuit)
        : circuit.state !== "Disabled" && circuit.failureRate > ALARMING_FAILURE_RATE
    )
    return {
      status: open.length > 0 ? "unhealthy" : isDegraded ? "degraded" : "healthy",
      totalCircuits: circuits.length,
      circuitsByState,
      openCircuits: open.toSorted(),
      totalCalls: circuits.reduce((sum, { totalCalls }) => sum + totalCalls, 0),
      rejectedCalls: circuits.reduce((sum, { rejectedCalls }) => sum + rejectedCalls, 0)
    }
  })

const POLICIES = [
  { consecutiveFailures: 3, openDuration: "10 seconds", successThreshold: 1 },
  { failureRate: 0.5, minimumCalls: 4, window: { calls: 8 }, openDuration: "20 seconds" },
  { failureRate: 0.9, minimumCalls: 50, window: { duration: "30 seconds", buckets: 3 } },
  { consecutiveFailures: 2, openDuration: "5 seconds", recovery: { duration: "10 seconds", initial: 0.5 } },
  { consecutiveFailures: 4, halfOpenSample: { calls: 2, failureRate: 0.5 }, halfOpenTimeout: "15 seconds" }
] satisfies ReadonlyArray<CircuitPolicy.Options>

/** Does at random what can be done to a few circuits. */
const walk = (registry: Registry, random: () => number) => {
  const pick = <A>(list: ReadonlyArray<A>): A => list[Math.floor(random() * list.length)]!
  const held: Array<Effect.Effect<unknown>> = []
  const outside: Array<Breaker> = []
  const kept: Array<Breaker> = []
  const name = () => `circuit-${Math.floor(random() * 6)}`
  const on = (f: (breaker: Breaker) => Effect.Effect<unknown>): Effect.Effect<unknown> =>
    Effect.flatMap(registry.getOrCreate(name()), (breaker) => {
      kept.push(breaker)
      return f(breaker)
    })
  const commands: ReadonlyArray<() => Effect.Effect<unknown, unknown, Scope.Scope>> = [
    () => on((breaker) => fail(breaker)),
    () => on((breaker) => fail(breaker, 4)),
    () => on((breaker) => succeed(breaker)),
    () => on((breaker) => succeed(breaker, 12)),
    // Handles of circuits that may be forgotten, or removed.
    () => kept.length === 0 ? Effect.void : fail(pick(kept), 2),
    () => kept.length === 0 ? Effect.void : succeed(pick(kept)),
    () => kept.length === 0 ? Effect.void : pick(kept).reset,
    () => on((breaker) => Effect.map(hold(breaker), (call) => held.push(call.succeed, call.fail, call.interrupt))),
    () => held.length === 0 ? Effect.void : pick(held),
    () => Effect.forEach(held.splice(0), (end) => end, { discard: true }),
    () => on((breaker) => breaker.forceOpen()),
    () => on((breaker) => breaker.forceOpen({ duration: "8 seconds" })),
    () => on((breaker) => breaker.forceClose),
    () => on((breaker) => breaker.disable),
    () => on((breaker) => breaker.metricsOnly),
    () => on((breaker) => breaker.reset),
    () => registry.reset(name()),
    () => registry.resetAll,
    () => registry.reconfigure(name(), pick(POLICIES)),
    () => registry.remove(name()),
    () => registry.register(name()),
    () =>
      Effect.flatMap(CircuitBreaker.make({ name: name(), policy: pick(POLICIES) }), (breaker) => {
        outside.push(breaker)
        return fail(breaker, 2)
      }),
    () => outside.length === 0 ? Effect.void : Effect.exit(registry.adopt(pick(outside))),
    () => outside.length === 0 ? Effect.void : fail(pick(outside)),
    () => TestClock.adjust("3 seconds"),
    () => TestClock.adjust("7 seconds"),
    () => TestClock.adjust("40 seconds"),
    () => TestClock.adjust("2 minutes")
  ]
  return Effect.suspend(() => Effect.exit(pick(commands)()))
}

describe("the status of a registry", () => {
  for (let seed = 1; seed <= 40; seed++) {
    it.effect(`is that of a look at every circuit, whatever happens to them (${seed})`, () =>
      Effect.gen(function*() {
        const random = seeded(seed)
        const registry = yield* CircuitBreakerRegistry.make({
          defaults: POLICIES[seed % POLICIES.length]!,
          idleTimeToLive: seed % 3 === 0 ? "Infinity" : "1 minute"
        })
        const step = walk(registry, random)
        for (let i = 0; i < 300; i++) {
          yield* step
          // Read first: a look at every circuit forgets those that are idle.
          const status = yield* registry.systemStatus
          assert.deepStrictEqual(
            { ...status, openCircuits: status.openCircuits.toSorted() },
            yield* byWalk(registry) as Effect.Effect<typeof status>,
            `after ${i + 1} steps`
          )
          assert.deepStrictEqual((yield* registry.openCircuits).toSorted(), status.openCircuits.toSorted())
          assert.strictEqual(yield* registry.anyOpen, status.openCircuits.length > 0)
        }
      }))
  }
})
