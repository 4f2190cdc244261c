/** Bytes, each read in fresh processes after garbage collection. */
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { cockatiels, countWindow, effects, everything, locate, NEVER, opossums, ours } from "../breakers.ts"
import { makeClock } from "../clock.ts"
import { acquire, asyncCall, build, failed, failing, inFiber, sync } from "../loops.ts"
import { type Plan, summarise } from "../measure.ts"
import { figures, type Group } from "../model.ts"

const settle = async (): Promise<number> => {
  for (let i = 0; i < 4; i++) {
    await new Promise((resolve) => setTimeout(resolve, 5))
    globalThis.gc!()
  }
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** What one of many takes. */
const each = async (size: number, make: (index: number) => unknown): Promise<number> => {
  // The first one brings along what is there once for all.
  const all = Array.from({ length: size + 1 }, (): unknown => undefined)
  all[size] = make(-1)
  const before = await settle()
  for (let i = 0; i < size; i++) all[i] = make(i)
  const bytes = ((await settle()) - before) / size
  // Held until here.
  if (all[0] === undefined) throw new Error("Nothing was made")
  return bytes
}

const circuits = (plan: Plan) => plan.short ? 10_000 : 100_000

/** Circuits that one fiber makes, as a program does. */
const makeAll = async (
  policy: CircuitPolicy.CircuitPolicy,
  plan: Plan,
  call?: Effect.Effect<number, string>
): Promise<number> => {
  const size = circuits(plan)
  const all = Array.from({ length: size }, (): unknown => undefined)
  const make = Effect.fnUntraced(function*(from: number, to: number) {
    for (let i = from; i < to; i++) {
      const breaker = yield* CircuitBreaker.make({ name: `circuit-${i}`, policy })
      if (call !== undefined) yield* Effect.exit(breaker.execute(call))
      all[i] = breaker
    }
  })
  // The first ones bring along what is there once for all.
  await Effect.runPromise(make(0, 10))
  const before = await settle()
  await Effect.runPromise(make(10, size))
  const bytes = ((await settle()) - before) / (size - 10)
  if (all[0] === undefined) throw new Error("Nothing was made")
  return bytes
}

const registryOf = async (options: CircuitBreakerRegistry.Options) =>
  Context.get(await build(CircuitBreakerRegistry.layer(options)), CircuitBreakerRegistry.CircuitBreakerRegistry)

export const memory: Group = {
  name: "memory",
  cases: [
    figures("circuit, idle, window of 100 calls", "bytes", async (plan) => {
      const policy = CircuitPolicy.make(countWindow)
      return { "effect-resilience": await makeAll(policy, plan) }
    }),
    figures("circuit, idle, in a registry", "bytes", async (plan) => {
      const registry = await registryOf({ defaults: CircuitPolicy.make(countWindow) })
      const circuit = locate(registry)
      return {
        "effect-resilience": await each(circuits(plan), (index) => circuit(`circuit-${index}`))
      }
    }),
    figures("circuit, after a success, window of 100 calls", "bytes", async (plan) => ({
      "effect-resilience": await makeAll(CircuitPolicy.make(countWindow), plan, sync)
    })),
    figures("circuit, after a failure, window of 100 calls", "bytes", async (plan) => ({
      "effect-resilience": await makeAll(CircuitPolicy.make(countWindow), plan, failed)
    })),
    figures("circuit, after a call, 60 s in 10 buckets, slow calls, latency", "bytes", async (plan) => ({
      "effect-resilience": await makeAll(CircuitPolicy.make(everything), plan, sync)
    })),
    figures("circuit of Effect, after a success, window of 100 calls", "bytes", async (plan) => {
      const breaker = await effects()
      const call = Effect.provideContext(sync, Context.empty())
      return {
        "Effect CircuitBreaker": await each(circuits(plan), (index) => {
          Effect.runSync(breaker(call, `circuit-${index}`))
          return index
        })
      }
    }),
    figures("circuit of cockatiel, idle, window of 100 calls", "bytes", async (plan) => ({
      cockatiel: await each(circuits(plan), () => cockatiels())
    })),
    figures("circuit of opossum, idle, 60 s in 10 buckets", "bytes", async () => {
      // Each has a timer of its own.
      const all: Array<ReturnType<typeof opossums>> = []
      const bytes = await each(1_000, () => {
        const circuit = opossums(asyncCall)
        all.push(circuit)
        return circuit
      })
      for (const circuit of all) circuit.shutdown()
      return { opossum: bytes }
    }),
    figures("1,000,000 circuits in one registry", "bytes", async (plan) => {
      const registry = await registryOf({ defaults: CircuitPolicy.make(countWindow) })
      const circuit = locate(registry)
      const size = plan.short ? 100_000 : 1_000_000
      return {
        "effect-resilience, each": await each(size, (index) => {
          circuit(`circuit-${index}`)
          return index
        })
      }
    }),
    figures("1,000,000 circuits evicted: memory that stays", "ratio", async (plan) => {
      const clock = makeClock()
      const registry = await acquire(Effect.provideContext(
        CircuitBreakerRegistry.make({ defaults: CircuitPolicy.make(countWindow), idleTimeToLive: "1 hour" }),
        clock.context
      ))
      const circuit = locate(registry)
      const size = plan.short ? 100_000 : 1_000_000
      const before = await settle()
      for (let i = 0; i < size; i++) circuit(`circuit-${i}`)
      const full = await settle()
      clock.advance(3_600_001)
      if (Effect.runSync(registry.names).length > 0) throw new Error("Circuits were not evicted")
      return { "effect-resilience": ((await settle()) - before) / (full - before) }
    }),
    figures("1,000,000 circuits evicted: time", "ms", async (plan) => {
      const clock = makeClock()
      const registry = await acquire(Effect.provideContext(
        CircuitBreakerRegistry.make({ defaults: CircuitPolicy.make(countWindow), idleTimeToLive: "1 hour" }),
        clock.context
      ))
      const circuit = locate(registry)
      const size = plan.short ? 100_000 : 1_000_000
      for (let i = 0; i < size; i++) circuit(`circuit-${i}`)
      clock.advance(3_600_001)
      const start = performance.now()
      Effect.runSync(registry.names)
      return { "effect-resilience": performance.now() - start }
    }),
    figures("1,000,000 circuits, one after the other: circuits that stay", "ratio", async (plan) => {
      const clock = makeClock()
      const registry = await acquire(Effect.provideContext(
        CircuitBreakerRegistry.make({ defaults: CircuitPolicy.make(countWindow), idleTimeToLive: "1 minute" }),
        clock.context
      ))
      const circuit = locate(registry)
      const size = plan.short ? 100_000 : 1_000_000
      // A thousand a minute, so that a thousand are alive at any time.
      for (let i = 0; i < size; i++) {
        circuit(`circuit-${i}`)
        clock.advance(60)
      }
      return { "effect-resilience": Effect.runSync(registry.names).length / size }
    }),
    figures("call in flight", "bytes", async (plan) => {
      const size = plan.short ? 2_000 : 20_000
      const inFlight = async (call: Effect.Effect<unknown, unknown>) => await each(size, () => Effect.runFork(call))
      const breaker = await ours(countWindow)
      const all = await ours(everything)
      const own = await effects()
      const bare = await inFlight(Effect.never)
      return {
        "bare Effect": bare,
        "effect-resilience, added": (await inFlight(breaker.execute(Effect.never))) - bare,
        "time window, slow calls, latency, added": (await inFlight(all.execute(Effect.never))) - bare,
        "Effect CircuitBreaker, added": (await inFlight(own(Effect.never))) - bare
      }
    }),
    figures("subscriber to events", "bytes", async (plan) => {
      const size = plan.short ? 1_000 : 10_000
      const breaker = await ours(countWindow)
      const idle = await each(size, () => Effect.runFork(Effect.never))
      return {
        "fiber that waits": idle,
        "effect-resilience": await each(size, () => Effect.runFork(Stream.runDrain(breaker.events)))
      }
    }),
    figures("growth over ten million calls", "bytes", async (plan) => {
      const millions = plan.short ? 1 : 10
      const breaker = await ours({ ...countWindow, consecutiveFailures: NEVER, failureRate: 1 })
      const timeWindow = await ours(everything)
      const calls = async (count: number) => {
        await inFiber(() => breaker.execute(sync))(count / 2)
        await inFiber(() => timeWindow.execute(sync))(count / 2)
        await failing(() => breaker.execute(failed))(1)
      }
      await calls(1_000_000)
      const before = await settle()
      for (let million = 0; million < millions; million++) await calls(1_000_000)
      return { "effect-resilience": (await settle()) - before }
    }),
    figures("garbage of a call", "bytes", async () => {
      const breaker = await ours(countWindow)
      const all = await ours(everything)
      const own = await effects()
      const row = cockatiels()
      const bare = await garbage(inFiber(() => sync))
      const bareAwait = await garbage(async (calls) => {
        for (let i = 0; i < calls; i++) await asyncCall()
      })
      return {
        "bare Effect": bare,
        "effect-resilience, added": (await garbage(inFiber(() => breaker.execute(sync)))) - bare,
        "time window, slow calls, latency, added": (await garbage(inFiber(() => all.execute(sync)))) - bare,
        "Effect CircuitBreaker, added": (await garbage(inFiber(() => own(sync)))) - bare,
        "bare await": bareAwait,
        "cockatiel, added": (await garbage(async (calls) => {
          for (let i = 0; i < calls; i++) await row.execute(asyncCall)
        })) - bareAwait
      }
    })
  ]
}

/** Bytes that a call allocates, from how the heap grows in as many calls as cause no collection. */
const garbage = async (run: (calls: number) => Promise<unknown>): Promise<number> => {
  await run(50_000)
  const calls = 1_000
  const found: Array<number> = []
  for (let i = 0; i < 15; i++) {
    globalThis.gc!()
    const before = process.memoryUsage().heapUsed
    await run(calls)
    found.push((process.memoryUsage().heapUsed - before) / calls)
  }
  return summarise(found).median
}
