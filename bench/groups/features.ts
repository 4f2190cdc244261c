/**
 * What each feature of a circuit costs: the same call through circuits that
 * differ in one thing, next to the cheapest wrappers that Effect allows.
 */
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy, Outcome } from "effect-resilience"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { countWindow, everything, ours } from "../breakers.ts"
import { finalizer, slot } from "../floors.ts"
import { acquire, build, inFiber, sync } from "../loops.ts"
import { BARE, type Group, OURS, timed } from "../model.ts"

export const features: Group = {
  name: "features",
  cases: [
    timed("one thing more", async () => {
      const few = await ours({ consecutiveFailures: 5, window: { calls: 10 } })
      const count = await ours(countWindow)
      const measured = await ours({ ...countWindow, measureDuration: true })
      const classified = await ours({
        ...countWindow,
        classify: Outcome.failureUnless((error) => error === "not found")
      })
      const timeWindow = await ours({
        consecutiveFailures: 5,
        failureRate: 0.5,
        window: { duration: "60 seconds", buckets: 10 },
        measureDuration: false
      })
      const all = await ours(everything)
      const listened = await ours(countWindow)
      await acquire(Effect.forkScoped(Stream.runDrain(listened.events), { startImmediately: true }))
      const policy = CircuitPolicy.make(countWindow)
      const byName = await build(CircuitBreakerRegistry.layer({ defaults: policy }))
      const kept = await build(CircuitBreakerRegistry.layer({ defaults: policy, idleTimeToLive: "Infinity" }))
      const keptCircuit = Effect.runSync(
        Context.get(kept, CircuitBreakerRegistry.CircuitBreakerRegistry).getOrCreate("handle")
      )
      const expiring = Effect.runSync(
        Context.get(byName, CircuitBreakerRegistry.CircuitBreakerRegistry).getOrCreate("handle")
      )
      const named = CircuitBreaker.withCircuitBreaker("bench")
      return [
        { name: BARE, run: inFiber(() => sync) },
        { name: "floor: a finalizer", run: inFiber(() => finalizer(sync)), bare: BARE },
        { name: "a slot, taken in a step of its own", run: inFiber(() => slot(sync)), bare: BARE },
        { name: "consecutive failures", run: inFiber(() => few.execute(sync)), bare: BARE },
        { name: OURS, run: inFiber(() => count.execute(sync)), bare: BARE },
        { name: "classifier of its own", run: inFiber(() => classified.execute(sync)), bare: BARE },
        { name: "time window", run: inFiber(() => timeWindow.execute(sync)), bare: BARE },
        { name: "latency", run: inFiber(() => measured.execute(sync)), bare: BARE },
        { name: "time window, slow calls, latency", run: inFiber(() => all.execute(sync)), bare: BARE },
        { name: "one subscriber", run: inFiber(() => listened.execute(sync)), bare: BARE },
        { name: "of a registry that keeps it", run: inFiber(() => keptCircuit.execute(sync)), bare: BARE },
        { name: "of a registry that evicts", run: inFiber(() => expiring.execute(sync)), bare: BARE },
        { name: "by name, registry that keeps it", run: inFiber(() => named(sync), kept), bare: BARE },
        { name: "by name, registry that evicts", run: inFiber(() => named(sync), byName), bare: BARE }
      ]
    })
  ]
}
