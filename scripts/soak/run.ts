/** Runs a soak: load, trouble, samples, and the report of it all. */
import { Clock, Console, Duration, Effect, Latch, Random } from "effect"
import { CircuitBreakerRegistry } from "effect-resilience"
import { Chaos } from "effect-resilience/testing"
import type * as Audit from "./audit.ts"
import { Attempts } from "./ledger.ts"
import { IDLE_TIME, type Load, makeLoad, policies, redisCall, takeDown, trouble } from "./load.ts"
import { hasRedis, startRedis, startServer, type Victim } from "./processes.ts"

export interface Options {
  readonly minutes: number
  readonly seed: string
  readonly collectGarbage: () => void
}

/** How long calls may take to end when no new one is made. */
const DRAIN_TIME = Duration.seconds(10)

export const soak = Effect.fnUntraced(function*({ collectGarbage, minutes, seed }: Options) {
  const server = Effect.fnUntraced(function*(name: string) {
    const attempts = new Attempts(name)
    const victim = yield* startServer(name, (message) => {
      if (message._tag === "Received") attempts.receive(message.attempt)
      else attempts.answer(message.attempt)
    })
    return { attempts, victim }
  })
  const servers = yield* Effect.all({ a: server("a"), b: server("b"), c: server("c") }, { concurrency: "unbounded" })
  const redis = hasRedis() ? yield* startRedis : undefined
  if (redis === undefined) yield* Console.log("There is no redis-server here: its scenario is left out")

  const load = yield* makeLoad({ servers, redis: redis && redisCall(yield* connect(redis)) })
  yield* Effect.addFinalizer(() => load.close)

  const victims = [servers.a.victim, servers.b.victim, servers.c.victim, ...(redis === undefined ? [] : [redis])]
  const running = yield* Latch.make(true)
  const deeds: Record<string, number> = {}
  const stuck = new Set<string>()
  const samples: Array<Audit.Sample> = []
  const startedAt = yield* Clock.currentTimeMillis
  const seconds = Effect.map(Clock.currentTimeMillis, (now) => (now - startedAt) / 1000)
  const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry

  const callers = load.scenarios.flatMap(({ call, callers }) =>
    Array.from({ length: callers }, () =>
      Effect.gen(function*() {
        yield* Latch.await(running)
        yield* call
        yield* Effect.sleep(yield* Random.nextIntBetween(10, 80))
      }).pipe(Effect.forever))
  )
  for (const caller of callers) yield* Effect.forkScoped(caller)
  yield* Effect.forkScoped(makeTrouble({ victims: victims.slice(0, 3), redis, load, deeds, running }))

  /** Holds the callers, waits until all calls have ended, and looks at what is left. */
  const sample = Effect.gen(function*() {
    yield* Latch.close(running)
    const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(DRAIN_TIME)
    while (whatRuns(load).length > 0 && (yield* Clock.currentTimeMillis) < end) yield* Effect.sleep("20 millis")
    for (const what of whatRuns(load)) stuck.add(what)
    for (let i = 0; i < 2; i++) {
      yield* Effect.sleep("20 millis")
      collectGarbage()
    }
    const resources = process.getActiveResourcesInfo()
    samples.push({
      at: yield* seconds,
      calls: load.calls.reduce((sum, { asked }) => sum + asked, 0),
      heap: process.memoryUsage().heapUsed,
      timers: resources.filter((kind) => kind === "Timeout").length,
      sockets: resources.filter((kind) => kind === "TCPSocketWrap").length,
      circuits: (yield* registry.names).length
    })
  })

  const period = Math.min(15, minutes * 60 / 7)
  for (let left = minutes * 60; left > 0; left = minutes * 60 - (yield* seconds)) {
    yield* Latch.open(running)
    yield* Effect.sleep(Duration.seconds(Math.min(period, left)))
    yield* sample
  }
  yield* Effect.forEach(victims, ({ heal }) => heal)
  yield* Effect.forEach(victims, ({ settle }) => settle)
  // Open circuits are kept until they may probe, and then as long as any.
  yield* Effect.sleep(Duration.sum(IDLE_TIME, Duration.seconds(2)))
  const registered = new Set(load.circuits.map(({ name }) => name))
  const leftCircuits = (yield* registry.names).filter((name) => !registered.has(name))

  const chaos = yield* Chaos.Chaos
  const report: Audit.Report = {
    seed,
    minutes,
    calls: load.calls.map(({ asked, ends, scenario }) => ({ scenario, asked, ends })),
    gates: load.gates.map(({ account }) => account).filter(({ asked }) => asked > 0),
    circuits: load.circuits.map((circuit) => takeDown(circuit, false)),
    bulkheads: yield* Effect.forEach(load.bulkheads, ({ bulkhead, gate, limit }) =>
      Effect.all({
        name: Effect.succeed(bulkhead.name),
        rejected: bulkhead.rejected,
        inFlight: bulkhead.inFlight,
        queued: bulkhead.queued,
        peak: Effect.succeed(gate.peak),
        limit: Effect.succeed(limit)
      })),
    passages: load.passages(),
    servers: load.attempts.map(({ account }) => account),
    chaos: yield* Effect.forEach(load.chaos, (account) =>
      Effect.gen(function*() {
        const { calls, injected, untouched } = yield* (yield* chaos.point(account.point)).counts
        return {
          ...account,
          calls,
          untouched,
          before: injected.latency + injected.degradation + injected.block,
          instead: injected.outage + injected.flapping + injected.defect + injected.interruption + injected.hang,
          after: injected.fault
        }
      })),
    samples,
    stuck: Array.from(stuck),
    drains: samples.length,
    leftCircuits,
    leftResources: [],
    deeds
  }
  return report
}, (effect, { seed }) =>
  effect.pipe(
    Effect.provide([
      Chaos.layer({
        seed,
        points: { a: trouble, b: trouble, c: trouble, redis: trouble, permits: trouble, tenants: trouble }
      }),
      CircuitBreakerRegistry.layer({ defaults: policies[0], idleTimeToLive: IDLE_TIME })
    ]),
    Random.withSeed(seed),
    Effect.scoped
  ))

/** Whatever has not ended. */
const whatRuns = ({ bulkheads, calls, circuits, gates }: Load): ReadonlyArray<string> => [
  ...calls.filter(({ running }) => running > 0).map(({ running, scenario }) => `${scenario}: ${running} calls`),
  ...gates.filter(({ running }) => running > 0).map(({ account, running }) => `within ${account.name}: ${running}`),
  ...circuits.flatMap(({ breaker, name }) => {
    const { callsInFlight } = Effect.runSync(breaker.metrics)
    return callsInFlight > 0 ? [`circuit ${name}: ${callsInFlight} in flight`] : []
  }),
  ...bulkheads.flatMap(({ bulkhead }) => {
    const taken = Effect.runSync(bulkhead.inFlight) + Effect.runSync(bulkhead.queued)
    return taken > 0 ? [`bulkhead ${bulkhead.name}: ${taken} in it`] : []
  })
]

/** A client of the Redis that says at once when it cannot be reached; returns what one call does. */
const connect = Effect.fnUntraced(function*({ port }: Victim) {
  const { createClient } = yield* Effect.promise(() => import("redis"))
  const client = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const client = createClient({
        socket: { host: "127.0.0.1", port, reconnectStrategy: 50, connectTimeout: 1000 },
        disableOfflineQueue: true,
        commandsQueueMaxLength: 500
      })
      // What is wrong is seen by the calls.
      client.on("error", () => {})
      await client.connect()
      return client
    }),
    (client) => Effect.sync(() => client.destroy())
  )
  return () => client.incr("soak")
})

// -----------------------------------------------------------------------------
// trouble
// -----------------------------------------------------------------------------

interface Deed {
  readonly name: string
  readonly begin: Effect.Effect<unknown>
  readonly end?: Effect.Effect<unknown> | undefined
}

/** Does one deed after another, in an order that the seed decides, each for a second or two. */
const makeTrouble = Effect.fnUntraced(function*({ deeds, load, redis, running, victims }: {
  readonly victims: ReadonlyArray<Victim>
  readonly redis: Victim | undefined
  readonly load: Load
  readonly deeds: Record<string, number>
  readonly running: Latch.Latch
}) {
  const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
  const chaos = yield* Chaos.Chaos
  const pick = <A>(from: ReadonlyArray<A>) =>
    Effect.map(Random.nextIntBetween(0, from.length - 1), (index) => from[index]!)

  const toServer = (name: string, victim: Victim, begin: Effect.Effect<unknown>): Deed => ({
    name,
    begin,
    end: Effect.orDie(victim.heal)
  })
  /** One of each kind, upon whom chance decides. */
  const all = Effect.gen(function*() {
    const victim = yield* pick(victims)
    const circuit = yield* pick(load.circuits)
    const { breaker } = circuit
    const point = yield* chaos.point((yield* pick(load.chaos)).point)
    const slots = yield* pick(load.bulkheads)
    const { limit } = slots
    const list: ReadonlyArray<Deed> = [
      ...(["slow", "unavailable", "resetting", "flaky"] as const).map((condition) =>
        toServer(`server ${condition}`, victim, victim.become(condition))
      ),
      toServer("server killed", victim, victim.kill),
      toServer("server paused", victim, victim.pause),
      ...(redis === undefined ? [] : [
        toServer("redis killed", redis, redis.kill),
        toServer("redis paused", redis, redis.pause)
      ]),
      { name: "outage at a point", begin: point.startOutage({ for: "1 second" }) },
      {
        name: "degradation at a point",
        begin: point.setPolicies([Chaos.degradation({ over: "1 minute", to: "500 millis" })]),
        end: point.setPolicies(trouble)
      },
      { name: "force open", begin: breaker.forceOpen({ duration: "500 millis" }) },
      { name: "force open for good", begin: breaker.forceOpen(), end: breaker.forceClose },
      { name: "force close", begin: breaker.forceClose },
      { name: "disable", begin: breaker.disable, end: breaker.forceClose },
      { name: "metrics only", begin: breaker.metricsOnly, end: breaker.forceClose },
      { name: "reset", begin: Effect.sync(() => takeDown(circuit, true)) },
      {
        name: "reset all",
        begin: Effect.sync(() => {
          for (const circuit of load.circuits) takeDown(circuit, true)
          Effect.runSync(registry.resetAll)
        })
      },
      { name: "reconfigure", begin: Effect.flatMap(pick(policies), breaker.reconfigure) },
      {
        name: "remove a circuit",
        begin: Effect.flatMap(registry.names, (names) => {
          const name = names.find((name) => name.startsWith("tenant-"))
          return name === undefined ? Effect.void : registry.remove(name)
        })
      },
      { name: "resize", begin: slots.bulkhead.resize(Math.ceil(limit / 2)), end: slots.bulkhead.resize(limit) }
    ]
    return list
  })
  for (const { name } of yield* all) deeds[name] = 0

  const round = Effect.gen(function*() {
    const names = yield* Random.shuffle(Object.keys(deeds))
    for (const wanted of names) {
      yield* Latch.await(running)
      const deed = (yield* all).find(({ name }) => name === wanted)!
      deeds[wanted]!++
      yield* deed.begin
      if (deed.end !== undefined) {
        yield* Effect.forkScoped(Effect.delay(deed.end, yield* Random.nextIntBetween(600, 1500)))
      }
      yield* Effect.sleep(yield* Random.nextIntBetween(300, 700))
    }
  })
  return yield* Effect.forever(round)
})
