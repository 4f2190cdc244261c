/**
 * What a soak runs: callers of everything the library has, through gates that
 * count, on servers and points that are being broken.
 */
import { Cause, Data, Duration, Effect, Exit, Random, Stream } from "effect"
import {
  Bulkhead,
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  Outcome,
  RateLimit,
  Resilience,
  RetryBudget,
  Tiers,
  Timeout
} from "effect-resilience"
import { Chaos } from "effect-resilience/testing"
import { Agent, get as httpGet } from "node:http"
import type * as Audit from "./audit.ts"
import { Attempts, Calls, Gate, watchBulkhead, watchCircuit, watchRateLimit } from "./ledger.ts"
import type { Victim } from "./processes.ts"

class ServerFault extends Data.TaggedError("ServerFault")<{
  readonly reason: string
  readonly retryAfter?: Duration.Duration | undefined
}> {}

class NotFound extends Data.TaggedError("NotFound") {}

const isAnswer = (error: unknown): error is NotFound => error instanceof NotFound

const classify = Outcome.failureUnless(isAnswer)

/** Short enough for a circuit to go through all its states again and again. */
export const policies = [
  CircuitPolicy.make({ classify, consecutiveFailures: 4, openDuration: "400 millis", halfOpenTimeout: "1 second" }),
  CircuitPolicy.make({
    classify,
    failureRate: 0.5,
    minimumCalls: 10,
    window: { calls: 30 },
    openDuration: CircuitPolicy.exponential({ initial: "200 millis", maximum: "1 second", jitter: 0.2 }),
    halfOpenSample: { calls: 5, failureRate: 0.5 }
  }),
  CircuitPolicy.make({
    classify,
    failureRate: 0.6,
    slowCallRate: 0.5,
    slowCallDuration: "150 millis",
    minimumCalls: 10,
    window: { duration: "2 seconds", buckets: 10 },
    openDuration: "300 millis",
    halfOpenMaxCalls: 2
  })
] as const

/** How long the registry keeps a circuit that was only named. */
export const IDLE_TIME = Duration.seconds(2)

/** What is done at the points before anybody changes it. */
export const trouble: ReadonlyArray<Chaos.Policy> = [
  Chaos.latency({ rate: 0.05, delay: "5 millis", maxDelay: "100 millis" }),
  Chaos.block({ rate: 0.01, duration: "300 millis" }),
  Chaos.hang({ rate: 0.01 }),
  Chaos.defect({ rate: 0.01 }),
  Chaos.interruption({ rate: 0.005 }),
  Chaos.fault({ rate: 0.02, at: "response" }),
  Chaos.flapping({ from: "5 seconds", up: "7 seconds", down: "700 millis" })
]

/** Everything that counts, and everything that can be steered. */
export interface Load {
  readonly calls: ReadonlyArray<Calls>
  readonly gates: ReadonlyArray<Gate>
  readonly circuits: ReadonlyArray<Circuit>
  readonly bulkheads: ReadonlyArray<{ readonly bulkhead: Bulkhead.Bulkhead; readonly gate: Gate; limit: number }>
  readonly attempts: ReadonlyArray<Attempts>
  readonly chaos: ReadonlyArray<{ readonly point: string; arrived: number; through: number; interrupted: number }>
  readonly passages: () => ReadonlyArray<Audit.Passage>
  /** One call of each scenario, which is counted and never fails. */
  readonly scenarios: ReadonlyArray<{
    readonly callers: number
    readonly call: Effect.Effect<void, never, CircuitBreakerRegistry.CircuitBreakerRegistry>
  }>
  readonly close: Effect.Effect<void>
}

export interface Circuit {
  readonly name: string
  readonly breaker: CircuitBreaker.CircuitBreaker
  readonly gate: Gate
  /** Counts from before the circuit was last reset. */
  readonly before: {
    total: number
    successes: number
    failures: number
    ignored: number
    late: number
    rejected: number
  }
}

/** Takes down what a circuit has counted; with `reset` in one step, so that no call gets lost between. */
export const takeDown = (circuit: Circuit, reset: boolean): Audit.CircuitAccount => {
  const { before, breaker, gate, name } = circuit
  const now = Effect.runSync(breaker.metrics)
  const account = {
    name,
    total: before.total + now.totalCalls - now.callsInFlight,
    successes: before.successes + now.successfulCalls,
    failures: before.failures + now.failedCalls,
    ignored: before.ignored + now.ignoredCalls,
    late: before.late + now.lateCalls,
    rejected: before.rejected + now.rejectedCalls,
    inFlight: now.callsInFlight,
    uncounted: gate.uncounted,
    unclear: gate.unclear
  }
  if (reset) {
    const { failures, ignored, late, rejected, successes, total } = account
    Object.assign(before, { failures, ignored, late, rejected, successes, total })
    Effect.runSync(breaker.reset)
  }
  return account
}

/** A command to a Redis. */
export type RedisCall = Effect.Effect<unknown, ServerFault>

export const redisCall = (command: () => Promise<unknown>): RedisCall =>
  Effect.tryPromise({
    try: command,
    catch: (error) => new ServerFault({ reason: error instanceof Error ? error.message : String(error) })
  })

export const makeLoad = Effect.fnUntraced(function*(options: {
  readonly servers: Readonly<Record<"a" | "b" | "c", { readonly victim: Victim; readonly attempts: Attempts }>>
  readonly redis: RedisCall | undefined
}) {
  const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
  const gates: Array<Gate> = []
  const circuits: Array<Circuit> = []
  const bulkheads: Array<Load["bulkheads"][number]> = []
  const chaos: Array<Load["chaos"][number]> = []
  const calls: Array<Calls> = []
  const scenarios: Array<Load["scenarios"][number]> = []
  const chain: Array<readonly [from: Gate, to: Gate]> = []
  const agent = new Agent({ keepAlive: true, maxSockets: 50, maxFreeSockets: 50 })

  const gate = (name: string) => {
    const gate = new Gate(name)
    gates.push(gate)
    return gate
  }

  const circuit = Effect.fnUntraced(function*(name: string, policy: CircuitPolicy.CircuitPolicy) {
    const breaker = yield* registry.register(name, policy)
    const around = gate(name)
    const before = { total: 0, successes: 0, failures: 0, ignored: 0, late: 0, rejected: 0 }
    circuits.push({ name, breaker, gate: around, before })
    return { gate: around, target: watchCircuit(breaker, around) }
  })

  const bulkhead = Effect.fnUntraced(function*(name: string, limits: Bulkhead.Options) {
    const bulkhead = yield* Bulkhead.make({ name, ...limits })
    const around = gate(name)
    bulkheads.push({ bulkhead, gate: around, limit: limits.limit })
    return { gate: around, target: watchBulkhead(bulkhead, around) }
  })

  /** A point of chaos, with what comes to it and goes through it. */
  const broken = <A, E>(point: string, self: Effect.Effect<A, E>): Effect.Effect<A, E | ServerFault> => {
    let counted = chaos.find((account) => account.point === point)
    if (counted === undefined) chaos.push(counted = { point, arrived: 0, through: 0, interrupted: 0 })
    const account = counted
    const call = Effect.suspend(() => {
      account.through++
      return self
    }).pipe(Chaos.withChaos(point, { error: ({ number }) => new ServerFault({ reason: `chaos ${number}` }) }))
    return Effect.onExitPrimitive(
      Effect.suspend(() => {
        account.arrived++
        return call
      }),
      (exit) => {
        if (Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause)) account.interrupted++
      }
    )
  }

  const request = (server: "a" | "b" | "c") => {
    const { attempts, victim } = options.servers[server]
    const once = Effect.callback<string, ServerFault | NotFound>((resume) => {
      const attempt = attempts.send()
      const path = attempt % 20 === 0 ? "/missing" : "/"
      const fail = (error: Error) => resume(Effect.fail(new ServerFault({ reason: error.message })))
      const sent = httpGet(
        { agent, host: "127.0.0.1", port: victim.port, path, headers: { "x-attempt": String(attempt) } },
        (response) => {
          response.on("error", fail).on("end", () => {
            const status = response.statusCode ?? 0
            if (status !== 503) attempts.succeed(attempt)
            resume(
              status === 200
                ? Effect.succeed("served")
                : Effect.fail(
                  status === 404
                    ? new NotFound()
                    : new ServerFault({ reason: String(status), retryAfter: Duration.millis(100) })
                )
            )
          }).resume()
        }
      ).on("error", fail)
      return Effect.sync(() => sent.destroy())
    })
    return broken(server, once)
  }

  const scenario = <E>(
    name: string,
    callers: number,
    call: Effect.Effect<unknown, E, CircuitBreakerRegistry.CircuitBreakerRegistry>
  ) => {
    const account = new Calls(name)
    calls.push(account)
    // Some callers do not wait for the end.
    const impatient = Effect.flatMap(
      Random.nextIntBetween(0, 600),
      (millis) => millis < 300 ? Effect.raceFirst(call, Effect.delay(Effect.interrupt, millis)) : call
    )
    scenarios.push({
      callers,
      call: account.count(
        Effect.flatMap(Random.next, (chance): typeof impatient => chance < 0.1 ? impatient : call)
      )
    })
  }

  // The whole pipeline.
  {
    const rateLimit = yield* RateLimit.makeMemory({
      name: "orders-rate",
      limit: 60,
      window: "200 millis",
      onExceeded: "delay",
      maxWait: "100 millis"
    })
    const rate = gate("orders-rate")
    const orders = yield* circuit("orders", policies[0])
    const slots = yield* bulkhead("orders-slots", { limit: 12, queue: 8, maxWait: "100 millis" })
    chain.push([rate, orders.gate], [orders.gate, slots.gate])
    const pipeline = Resilience.make({
      name: "orders",
      fallback: Effect.succeed("fallback"),
      timeout: "900 millis",
      retry: {
        maxAttempts: 3,
        baseDelay: "20 millis",
        maxDelay: "200 millis",
        jitter: "full",
        budget: yield* RetryBudget.make({ ratio: 0.2, minPerSecond: 5 })
      },
      rateLimit: watchRateLimit(rateLimit, rate),
      circuitBreaker: orders.target,
      bulkhead: slots.target,
      attemptTimeout: "250 millis"
    })
    scenario("orders", 24, pipeline.execute(request("a")))
  }

  // Hedged reads.
  {
    const search = yield* circuit("search", policies[1])
    const slots = yield* bulkhead("search-slots", { limit: 16 })
    chain.push([search.gate, slots.gate])
    const pipeline = Resilience.make({
      name: "search",
      hedge: { delay: "40 millis", maxHedges: 2, budget: yield* RetryBudget.make({ ratio: 0.5 }) },
      circuitBreaker: search.target,
      bulkhead: slots.target,
      attemptTimeout: "250 millis"
    })
    scenario("search", 12, pipeline.execute(request("b")))
  }

  // Tiers, whose timeouts leave what ignores them behind.
  {
    const tier = Effect.fnUntraced(function*(server: "a" | "b" | "c", policy: CircuitPolicy.CircuitPolicy) {
      const { target } = yield* circuit(`tier-${server}`, policy)
      return Tiers.tier(`tier-${server}`, request(server), {
        circuit: target,
        timeout: "150 millis",
        retry: { maxAttempts: 2, baseDelay: "10 millis" }
      })
    })
    const tiered = Tiers.make("account", [
      yield* tier("a", policies[0]),
      yield* tier("b", policies[1]),
      yield* tier("c", policies[2])
    ], { isAnswer, deadline: "700 millis" })
    scenario("tiers", 12, tiered)
  }

  // Streams.
  {
    const { target } = yield* circuit("stream", policies[2])
    const stream = Stream.fromEffect(Timeout.withTimeout(request("c"), "250 millis")).pipe(
      Stream.concat(Stream.range(1, 5)),
      CircuitBreaker.withCircuitBreakerStream(target)
    )
    scenario(
      "stream",
      6,
      Effect.flatMap(Random.nextBoolean, (all) => Stream.runDrain(all ? stream : Stream.take(stream, 1)))
    )
  }

  // Permits, whose holders report in any way, or forget to.
  {
    const { target } = yield* circuit("permits", policies[0])
    const use = Effect.gen(function*() {
      const permit = yield* target.permit
      const exit = yield* Effect.exit(
        broken("permits", Effect.sleep("3 millis")).pipe(Timeout.withTimeout("100 millis"))
      )
      const reports = [permit.success, permit.failure(), permit.ignore, Effect.void] as const
      yield* Exit.isFailure(exit) ? permit.failure() : reports[yield* Random.nextIntBetween(0, 30)] ?? permit.success
      return yield* exit
    }).pipe(Effect.scoped)
    scenario("permits", 4, use)
  }

  // A circuit for each tenant, of whom there are ever new ones.
  {
    let asked = 0
    // Each call has what is left of its own deadline, a time that no other call has.
    const tenant = Effect.flatMap(
      Random.nextBetween(150, 250),
      (deadline) =>
        broken("tenants", Effect.andThen(Effect.yieldNow, Effect.succeed("served"))).pipe(
          Timeout.withTimeout(deadline),
          CircuitBreaker.withCircuitBreaker(`tenant-${Math.floor(++asked / 20)}`)
        )
    )
    scenario("tenants", 8, tenant)
  }

  if (options.redis !== undefined) {
    const { target } = yield* circuit("redis", policies[2])
    const command = broken("redis", options.redis).pipe(
      Timeout.withTimeout({ duration: "100 millis", disconnect: true }),
      CircuitBreaker.withCircuitBreaker(target)
    )
    scenario("redis", 8, command)
  }

  const load: Load = {
    calls,
    gates,
    circuits,
    bulkheads,
    chaos,
    attempts: Object.values(options.servers).map(({ attempts }) => attempts),
    passages: () =>
      chain.map(([from, to]) => ({
        from: from.account.name,
        to: to.account.name,
        left: from.account.admitted,
        reached: to.account.asked,
        interrupted: from.account.ends.interrupted
      })),
    scenarios,
    close: Effect.sync(() => agent.destroy())
  }
  return load
})
