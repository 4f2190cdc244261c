/** What happens to the cost of a call when there is more of something. */
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { countWindow, locate, NEVER, ours } from "../breakers.ts"
import { build, failed, failing, inFiber, inFibers, sync, yielding } from "../loops.ts"
import type { Contestant } from "../measure.ts"
import { BARE, type Group, timed } from "../model.ts"

const WINDOWS = [10, 100, 1_000, 10_000, 100_000]
const BUCKETS = [1, 10, 100, 1_000]
const FIBERS = [1, 10, 100, 1_000, 10_000]
const CIRCUITS = [1, 100, 10_000, 1_000_000]

/** Names in an order that no cache can guess. */
const shuffledNames = (size: number): ReadonlyArray<string> => {
  const names = Array.from({ length: size }, (_, index) => `circuit-${index}`)
  let random = 1
  for (let i = size - 1; i > 0; i--) {
    random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0
    const other = random % (i + 1)
    ;[names[i], names[other]] = [names[other]!, names[i]!]
  }
  return names
}

const inTurn = (names: ReadonlyArray<string>): () => string => {
  let index = 0
  return () => {
    index = index + 1 === names.length ? 0 : index + 1
    return names[index]!
  }
}

export const growth: Group = {
  name: "growth",
  cases: [
    timed("window of calls", async () => {
      const contestants: Array<Contestant> = [{ name: BARE, run: inFiber(() => sync) }]
      for (const calls of WINDOWS) {
        const breaker = await ours({ consecutiveFailures: NEVER, failureRate: 1, minimumCalls: 2, window: { calls } })
        // The first failure allocates the window; from then on every call has to look at it.
        await inFiber(() => breaker.execute(sync))(1)
        await failing(() => breaker.execute(failed))(1)
        contestants.push({ name: `${calls}`, run: inFiber(() => breaker.execute(sync)), bare: BARE })
      }
      return contestants
    }),
    timed("window of a duration, by buckets", async () => {
      const contestants: Array<Contestant> = [{ name: BARE, run: inFiber(() => sync) }]
      for (const buckets of BUCKETS) {
        const breaker = await ours({ failureRate: 0.5, window: { duration: "10 seconds", buckets } })
        contestants.push({ name: `${buckets}`, run: inFiber(() => breaker.execute(sync)), bare: BARE })
      }
      return contestants
    }),
    timed("window of a duration, by length", async () => {
      const contestants: Array<Contestant> = [{ name: BARE, run: inFiber(() => sync) }]
      for (const duration of ["1 second", "1 minute", "1 hour"] as const) {
        const breaker = await ours({ failureRate: 0.5, window: { duration, buckets: 10 } })
        contestants.push({ name: duration, run: inFiber(() => breaker.execute(sync)), bare: BARE })
      }
      return contestants
    }),
    timed("concurrent fibers", async () => {
      const contestants: Array<Contestant> = []
      for (const fibers of FIBERS) {
        const breaker = await ours(countWindow)
        contestants.push(
          { name: `${fibers}, bare`, run: inFibers(fibers, () => yielding), batch: fibers * 4 },
          {
            name: `${fibers}`,
            run: inFibers(fibers, () => breaker.execute(yielding)),
            batch: fibers * 4,
            bare: `${fibers}, bare`
          }
        )
      }
      return contestants
    }),
    timed("circuits in a registry, looked up by name", async () => {
      const contestants: Array<Contestant> = []
      for (const size of CIRCUITS) {
        const services = await build(CircuitBreakerRegistry.layer({ defaults: CircuitPolicy.make(countWindow) }))
        const circuit = locate(Context.get(services, CircuitBreakerRegistry.CircuitBreakerRegistry))
        const names = shuffledNames(size)
        const map = new Map<string, object>()
        for (const name of names) {
          circuit(name)
          map.set(name, {})
        }
        const next = inTurn(names)
        // The machine's caches make a lookup among a million names slower in any map.
        contestants.push(
          { name: `${size}, Map.get`, run: lookups((name) => map.get(name), next) },
          { name: `${size}`, run: lookups(circuit, next) }
        )
      }
      return contestants
    }, "lookup"),
    timed("circuits in a registry, called by name", async () => {
      const contestants: Array<Contestant> = []
      for (const size of CIRCUITS) {
        const services = await build(CircuitBreakerRegistry.layer({ defaults: CircuitPolicy.make(countWindow) }))
        const circuit = locate(Context.get(services, CircuitBreakerRegistry.CircuitBreakerRegistry))
        const names = shuffledNames(size)
        const map = new Map<string, { calls: number }>()
        for (const name of names) {
          circuit(name)
          map.set(name, { calls: 0 })
        }
        const next = inTurn(names)
        contestants.push(
          {
            name: `${size}, count in a Map`,
            run: inFiber(() => {
              map.get(next())!.calls++
              return sync
            })
          },
          {
            name: `${size}`,
            run: inFiber(() => CircuitBreaker.withCircuitBreaker(sync, next()), services),
            bare: `${size}, count in a Map`
          }
        )
      }
      return contestants
    }),
    timed("making a circuit in a registry", async () => {
      const make = (idleTimeToLive: "1 hour" | "Infinity") => async (calls: number) => {
        const registry = await Effect.runPromise(Effect.scoped(
          CircuitBreakerRegistry.make({ defaults: CircuitPolicy.make(countWindow), idleTimeToLive })
        ))
        const circuit = locate(registry)
        for (let i = 0; i < calls; i++) circuit(`circuit-${i}`)
      }
      return [
        { name: "registry that keeps", run: make("Infinity") },
        { name: "registry that evicts", run: make("1 hour") }
      ]
    }, "circuit")
  ]
}

const lookups = (get: (name: string) => unknown, next: () => string) => async (calls: number) => {
  let found = 0
  for (let i = 0; i < calls; i++) if (get(next()) !== undefined) found++
  return found
}
