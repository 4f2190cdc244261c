/**
 * The program of the demo: it asks for accounts at a steady rate while the
 * script breaks and heals what is behind them, and keeps the journal. It runs
 * on whatever Layers it is given; `main.ts` gives it three server processes,
 * the tests give it values and a test clock.
 */
import { Cause, Duration, Effect, Exit, FiberSet, Layer, Option, Random, Schedule, Stream } from "effect"
import { CircuitBreakerRegistry, CircuitEvent, type CircuitPolicy, Retry, Tiers } from "effect-resilience"
import { Accounts } from "./accounts.ts"
import { type Answer, Journal, type Tier, TIERS } from "./journal.ts"
import { RETRY_AFTER, type Scene } from "./script.ts"
import { ACCOUNTS } from "./servers/data.ts"
import { World } from "./world.ts"

export interface Options {
  readonly script: ReadonlyArray<Scene>
  /** When the load ends, in seconds of the script. */
  readonly length: number
  /** How much faster than written the script is played. */
  readonly speed: number
  /** Calls per second. */
  readonly rate: number
  readonly seed: string
  /** What the tiers were given for one call, in milliseconds. */
  readonly deadline: number
  /** By how much a timer may be late, in milliseconds. */
  readonly tolerance: number
  /** What one attempt at a tier was given at least, in milliseconds. */
  readonly attempt: number
}

/** How many of the calls ask for an account that is not there. */
const MISSING = 0.08

export const run = Effect.fnUntraced(function*(options: Options) {
  const journal = yield* Journal
  const world = yield* World
  const recovery = yield* recoveryTime(options)
  yield* journal.write({
    _tag: "Began",
    limits: {
      deadline: options.deadline,
      tolerance: options.tolerance,
      recovery,
      attempt: options.attempt,
      failures: yield* failuresToOpen
    }
  })
  yield* Effect.forkScoped(observeCircuits, { startImmediately: true })
  yield* Effect.forkScoped(observeStalls)
  yield* Effect.forEach(TIERS, (tier) => Effect.forkScoped(observeServer(tier)), { discard: true })
  const [calls] = yield* Effect.all([load(options), play(options)], { concurrency: 2 })
  yield* world.settle
  yield* count
  yield* journal.write({ _tag: "Ended", calls })
}, Effect.scoped)

const sleepUntil = Effect.fnUntraced(function*(time: number) {
  const journal = yield* Journal
  for (let left = time - (yield* journal.now); left > 0; left = time - (yield* journal.now)) {
    yield* Effect.sleep(Duration.millis(Math.ceil(left)))
  }
})

// -----------------------------------------------------------------------------
// load
// -----------------------------------------------------------------------------

/** Starts each call when it is due, whether or not earlier ones have ended, and waits for all to end. */
const load = Effect.fnUntraced(function*(options: Options) {
  const calls = yield* FiberSet.make()
  const planned = yield* plan(options)
  for (const { accountId, due } of planned) {
    yield* sleepUntil(due)
    yield* FiberSet.run(calls, call(accountId))
  }
  yield* FiberSet.awaitEmpty(calls)
  return planned.length
}, Effect.scoped)

/** Decides beforehand when which account is asked for, so that a seed gives the same load on any machine. */
const plan = Effect.fnUntraced(
  function*({ length, rate, speed }: Options) {
    const calls: Array<{ readonly due: number; readonly accountId: string }> = []
    // A little early, so that the last second of the run has its calls within it.
    const end = length * 1000 / speed - 100
    for (let due = 0; due < end; due += (1000 / rate) * (0.5 + (yield* Random.next))) {
      const accountId = (yield* Random.next) < MISSING
        ? `gone-${calls.length}`
        : ACCOUNTS[yield* Random.nextIntBetween(0, ACCOUNTS.length - 1)]!.id
      calls.push({ due, accountId })
    }
    return calls
  },
  (effect, { seed }) => Random.withSeed(effect, seed)
)

const call = Effect.fnUntraced(function*(accountId: string) {
  const journal = yield* Journal
  const from = yield* journal.now
  const answer = yield* lookUp(accountId)
  yield* journal.write({ _tag: "Called", from, accountId, answer })
})

/** Asks for an account. The tiers report who served, the answer itself tells which server gave it. */
const lookUp = Effect.fnUntraced(function*(id: string): Effect.fn.Return<Answer, never, Accounts> {
  const accounts = yield* Accounts
  const [exit, reports] = yield* Tiers.collect(Effect.exit(accounts.getAccount(id)))
  const tier = reports[0]?.servedBy ?? "none"
  if (Exit.isSuccess(exit)) return { _tag: "Found", tier, receipt: exit.value.receipt, accountId: exit.value.id }
  const error = Cause.findErrorOption(exit.cause)
  return Option.isSome(error) && error.value._tag === "AccountNotFound"
    ? { _tag: "NotFound", tier, receipt: error.value.receipt, accountId: error.value.id }
    : {
      _tag: "Failed",
      reason: Option.isSome(error) ? error.value.message : Cause.pretty(exit.cause),
      attempts: (reports[0]?.attempts ?? []).map(({ outcome, tier }) => ({ tier, outcome }))
    }
})

/**
 * Makes the first call, which builds the first tier in a process that has never
 * done so: that is not what a run is about.
 */
export const warmUp = Effect.gen(function*() {
  const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
  yield* lookUp(ACCOUNTS[0]!.id)
  yield* registry.resetAll
})

/** The failures in a row that open any of the circuits. */
const failuresToOpen = Effect.gen(function*() {
  const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
  const circuits = yield* Effect.forEach(TIERS, (tier) => registry.getOrCreate(tier))
  const policies = yield* Effect.forEach(circuits, ({ policy }) => policy)
  return Math.max(...policies.map(({ consecutiveFailures, minimumCalls }) => consecutiveFailures ?? minimumCalls))
})

/** How long after a server is back its circuit may take to close: it opens for the longest time, then probes. */
const recoveryTime = Effect.fnUntraced(function*({ rate, speed }: Options) {
  const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
  const circuits = yield* Effect.forEach(TIERS, (tier) => registry.getOrCreate(tier))
  const policies = yield* Effect.forEach(circuits, ({ policy }) => policy)
  const openings = policies.map(({ maxOpenDuration, openDuration }) => {
    const asked = Math.min(RETRY_AFTER * 1000 / speed, Duration.toMillis(maxOpenDuration))
    return Math.max(asked, longestOpening(openDuration))
  })
  // Two probes close a circuit, and probes are calls that come anyway.
  const probing = 300 + 4 * (1000 / rate)
  return Math.max(...openings) + probing
})

const longestOpening = (openDuration: CircuitPolicy.CircuitPolicy["openDuration"]): number =>
  Duration.isDuration(openDuration)
    ? Duration.toMillis(openDuration)
    : Schedule.isSchedule(openDuration)
    ? Infinity
    : Duration.toMillis(openDuration.maximum)

// -----------------------------------------------------------------------------
// script
// -----------------------------------------------------------------------------

const play = Effect.fnUntraced(function*({ script, speed }: Options) {
  const journal = yield* Journal
  const world = yield* World
  for (const { at, changes = [], title } of script) {
    yield* sleepUntil(at * 1000 / speed)
    yield* journal.write({ _tag: "Scene", title })
    for (const [tier, condition] of changes) {
      const askedAt = yield* journal.now
      const note = yield* world.become(tier, condition)
      yield* journal.write({ _tag: "Became", askedAt, tier, condition, note })
    }
  }
})

// -----------------------------------------------------------------------------
// observation
// -----------------------------------------------------------------------------

/** A tier's Layer that notes in the journal when it is built. */
export const observed = <E, R>(tier: Tier, layer: Layer.Layer<Accounts, E, R>) =>
  Layer.tap(layer, () => Effect.flatMap(Journal, (journal) => journal.write({ _tag: "Built", tier })))

/** A retry that notes in the journal what it retries. */
export const observedRetry = (journal: Journal["Service"], options: Retry.PlainOptions) =>
  Retry.make({ ...options, onRetry: ({ error }) => journal.write({ _tag: "Retried", error: String(error) }) })

const isTier = (name: string): name is Tier => TIERS.some((tier) => tier === name)

const observeCircuits = Effect.gen(function*() {
  const journal = yield* Journal
  const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
  yield* Stream.runForEach(registry.events, (event) => {
    if (!isTier(event.circuit)) return Effect.void
    switch (event._tag) {
      case "StateChanged":
        return journal.write({
          _tag: "Changed",
          tier: event.circuit,
          from: event.from,
          to: event.to,
          why: CircuitEvent.describeReason(event),
          openFor: Duration.toMillis(event.retryAfter)
        })
      default:
        return Effect.void
    }
  })
})

const count = Effect.gen(function*() {
  const journal = yield* Journal
  const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
  for (const circuit of yield* registry.statuses) {
    if (!isTier(circuit.name)) continue
    yield* journal.write({
      _tag: "Counted",
      tier: circuit.name,
      state: circuit.state,
      successes: circuit.successfulCalls,
      failures: circuit.failedCalls,
      rejected: circuit.rejectedCalls,
      late: circuit.lateCalls
    })
  }
})

/** Measures how late timers are, so that a call is not blamed for the time this process did not get to run. */
const observeStalls = Effect.gen(function*() {
  const journal = yield* Journal
  while (true) {
    const due = (yield* journal.now) + STALL_INTERVAL
    yield* Effect.sleep(STALL_INTERVAL)
    const millis = (yield* journal.now) - due
    if (millis > STALL_THRESHOLD) yield* journal.write({ _tag: "Stalled", millis })
  }
})

/** Measures how long a server takes to say that it runs, apart from the calls: it may be the machine that is slow. */
const observeServer = Effect.fnUntraced(function*(tier: Tier) {
  const journal = yield* Journal
  const world = yield* World
  while (true) {
    const start = yield* journal.now
    yield* world.ping(tier)
    const millis = (yield* journal.now) - start
    if (millis > STALL_THRESHOLD) yield* journal.write({ _tag: "Stalled", millis, tier })
    yield* Effect.sleep(2 * STALL_INTERVAL)
  }
})

const STALL_INTERVAL = 10
const STALL_THRESHOLD = 5
