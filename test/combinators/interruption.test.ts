/**
 * No combinator leaks anything wherever it is interrupted.
 */
import { assert, describe, it } from "@effect/vitest"
import {
  Bulkhead,
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  Fallback,
  Hedge,
  RateLimit,
  Resilience,
  Retry,
  RetryBudget,
  Tiers,
  Timeout
} from "effect-resilience"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as CircuitMetrics from "../../src/CircuitMetrics.ts"
import type * as ResilienceError from "../../src/ResilienceError.ts"
import { TwoClocks } from "../support/circuits.ts"
import { interruptEverywhere, type Run, sweep } from "../support/interruption.ts"
import { Machine, seeded } from "../support/machine.ts"
import { findCircuit } from "../support/registry.ts"

type Outcome = "success" | "failure" | "ignored"

interface Call {
  readonly name: string
  readonly effect: Effect.Effect<string, string>
  /** What a circuit counts when it ends by itself, and if it is interrupted after it has ended. */
  readonly outcome: Outcome
}

const steps = Effect.gen(function*() {
  yield* Effect.sleep(10)
  for (let i = 0; i < 3; i++) yield* Effect.sync(() => i)
})

const calls: ReadonlyArray<Call> = [
  { name: "a success", effect: Effect.as(steps, "done"), outcome: "success" },
  { name: "a failure", effect: Effect.andThen(steps, Effect.fail("down")), outcome: "failure" },
  { name: "a defect", effect: Effect.andThen(steps, Effect.die("bug")), outcome: "failure" },
  { name: "a call that never ends", effect: Effect.andThen(steps, Effect.never), outcome: "ignored" },
  {
    name: "an uninterruptible success",
    effect: Effect.uninterruptible(Effect.as(steps, "done")),
    outcome: "success"
  },
  {
    name: "an uninterruptible failure",
    effect: Effect.uninterruptible(Effect.andThen(steps, Effect.fail("down"))),
    outcome: "failure"
  }
]

type Guarded = Effect.Effect<string, string | ResilienceError.CircuitOpenError>

interface Way {
  readonly name: string
  readonly guard: (breaker: CircuitBreaker.CircuitBreaker, call: Effect.Effect<string, string>) => Guarded
}

class Dependency extends CircuitBreaker.Service<Dependency>()("dependency") {}

const policy = CircuitPolicy.make({
  consecutiveFailures: 3,
  openDuration: "1 second",
  halfOpenMaxCalls: 1,
  successThreshold: 2,
  halfOpenTimeout: "1 hour"
})

const NAME = "dependency"

const makeRegistry = Effect.gen(function*() {
  const scope = yield* Scope.make()
  return yield* CircuitBreakerRegistry.make({ defaults: policy }).pipe(Scope.provide(scope))
})

const registryOf = (registry: CircuitBreakerRegistry.CircuitBreakerRegistry) =>
  Context.make(CircuitBreakerRegistry.CircuitBreakerRegistry, registry)

const ways = (registry: CircuitBreakerRegistry.CircuitBreakerRegistry): ReadonlyArray<Way> => [
  { name: "execute", guard: (breaker, call) => breaker.execute(call) },
  {
    name: "withCircuitBreaker, by name",
    guard: (_, call) => Effect.provide(CircuitBreaker.withCircuitBreaker(call, NAME), registryOf(registry))
  },
  {
    name: "withCircuitBreaker, by class",
    guard: (breaker, call) =>
      Effect.provideService(CircuitBreaker.withCircuitBreaker(call, Dependency), Dependency, breaker)
  },
  { name: "wrap", guard: (breaker, call) => CircuitBreaker.wrap(breaker)(() => call)() },
  {
    name: "permit",
    guard: (breaker, call) =>
      Effect.scoped(Effect.flatMap(breaker.permit, (permit) => Effect.tap(call, permit.success)))
  },
  {
    name: "withCircuitBreakerStream",
    guard: (breaker, call) =>
      Stream.fromEffect(call).pipe(
        CircuitBreaker.withCircuitBreakerStream(breaker),
        Stream.runLast,
        Effect.flatMap(Effect.fromOption),
        Effect.catchTag("NoSuchElementError", () => Effect.die("empty"))
      )
  }
]

interface Subject {
  readonly run: Guarded
  readonly breaker: CircuitBreaker.CircuitBreaker
  readonly ran: { started: number; finalized: number }
}

const before: Record<"Closed" | "HalfOpen", (breaker: CircuitBreaker.CircuitBreaker) => Effect.Effect<void>> = {
  Closed: () => Effect.void,
  HalfOpen: (breaker) => breaker.forceOpen({ duration: 0 })
}

const subject = (state: keyof typeof before, way: number, call: Call): Effect.Effect<Subject> =>
  Effect.gen(function*() {
    const registry = yield* makeRegistry
    const breaker = yield* registry.getOrCreate(NAME)
    yield* before[state](breaker)
    const ran = { started: 0, finalized: 0 }
    const counted = Effect.suspend(() => {
      ran.started++
      return call.effect
    }).pipe(Effect.ensuring(Effect.sync(() => ran.finalized++)))
    return { breaker, ran, run: ways(registry)[way]!.guard(breaker, counted) }
  })

const read = (breaker: CircuitBreaker.CircuitBreaker): CircuitMetrics.CircuitMetrics => Effect.runSync(breaker.metrics)

const counted = (metrics: CircuitMetrics.CircuitMetrics): ReadonlyArray<Outcome> => [
  ...Array<Outcome>(metrics.successfulCalls).fill("success"),
  ...Array<Outcome>(metrics.failedCalls).fill("failure"),
  ...Array<Outcome>(metrics.ignoredCalls).fill("ignored")
]

const check = (call: Call) => ({ breaker, ran }: Subject, { exit, interrupted, machine }: Run<string, unknown>) => {
  const metrics = read(breaker)
  assert.strictEqual(metrics.callsInFlight, 0, "no call is left in flight")
  assert.strictEqual(metrics.probesInFlight, 0, "no slot is left taken")
  assert.isAtMost(metrics.totalCalls, 1, "a call is counted once")
  assert.strictEqual(metrics.rejectedCalls + metrics.lateCalls, 0)
  assert.isAtMost(ran.started, 1)
  // A finalizer is there before its call starts, so it may run alone.
  assert.isAtLeast(ran.finalized, ran.started)
  assert.isAtMost(ran.finalized, 1, "finalizers run once")

  if (!interrupted) {
    assert.deepStrictEqual(counted(metrics), [call.outcome])
    assert.isFalse(Exit.hasInterrupts(exit))
  } else {
    assert.isTrue(Exit.isFailure(exit), "an interrupted call does not succeed")
    assert.isTrue(Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause), "an interrupted call says so")
    const outcomes = counted(metrics)
    if (ran.started > 0) assert.strictEqual(outcomes.length, 1, "what has started is counted")
    for (const outcome of outcomes) assert.include(["ignored", call.outcome], outcome)
  }

  // The circuit still works: a failure reopened it at most, so wait for that and let it close.
  const close = Effect.gen(function*() {
    yield* Effect.sleep("1 hour")
    yield* breaker.execute(Effect.void)
    yield* breaker.execute(Effect.void)
    return yield* breaker.state
  })
  const fiber = machine.run(close)
  machine.finish()
  assert.deepStrictEqual(fiber.pollUnsafe(), Exit.succeed("Closed"))
}

const WAYS = ways(undefined!).map(({ name }) => name)

for (const state of ["Closed", "HalfOpen"] as const) {
  WAYS.forEach((way, index) => {
    describe(`${way}, ${state}`, () => {
      for (const call of calls) {
        sweep(call.name, subject(state, index, call), check(call))
      }
    })
  })
}

describe("a rejected call", () => {
  WAYS.forEach((way, index) => {
    sweep(
      way,
      Effect.tap(subject("Closed", index, calls[0]!), ({ breaker }) => breaker.forceOpen()),
      ({ breaker, ran }, { exit }) => {
        const metrics = read(breaker)
        assert.strictEqual(metrics.callsInFlight, 0)
        assert.isAtMost(metrics.rejectedCalls, 1)
        assert.strictEqual(ran.started, 0)
        assert.isTrue(Exit.isFailure(exit))
      }
    )
  })
})

describe("a permit", () => {
  const outcomes = ["success", "failure", "ignore"] as const
  for (const outcome of outcomes) {
    sweep(
      `that reports ${outcome}`,
      Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make({ name: NAME, policy })
        yield* breaker.forceOpen({ duration: 0 })
        const run = Effect.scoped(Effect.gen(function*() {
          const permit = yield* breaker.permit
          yield* steps
          yield* outcome === "failure" ? permit.failure() : permit[outcome]
          yield* steps
        }))
        return { breaker, run }
      }),
      ({ breaker }) => {
        const metrics = read(breaker)
        assert.strictEqual(metrics.callsInFlight, 0)
        assert.strictEqual(metrics.probesInFlight, 0)
        assert.isAtMost(metrics.totalCalls, 1)
      }
    )
  }
})

describe("a stream", () => {
  const streams: Record<string, Stream.Stream<number, string>> = {
    "of many elements": Stream.range(1, 5).pipe(
      Stream.rechunk(2),
      Stream.mapEffect((n) => Effect.as(Effect.sleep(1), n))
    ),
    "that fails late": Stream.concat(Stream.range(1, 3), Stream.fail("down")),
    "that dies late": Stream.concat(Stream.range(1, 3), Stream.die("bug")),
    "that never ends": Stream.concat(Stream.range(1, 3), Stream.never)
  }
  for (const [name, stream] of Object.entries(streams)) {
    for (const take of [2, 100]) {
      sweep(
        `${name}, of which ${take} are taken`,
        Effect.gen(function*() {
          const breaker = yield* CircuitBreaker.make({ name: NAME, policy })
          yield* breaker.forceOpen({ duration: 0 })
          const run = stream.pipe(
            CircuitBreaker.withCircuitBreakerStream(breaker),
            Stream.take(take),
            Stream.runForEach(() => steps)
          )
          return { breaker, run }
        }),
        ({ breaker }, { interrupted }) => {
          const metrics = read(breaker)
          assert.strictEqual(metrics.callsInFlight, 0)
          assert.strictEqual(metrics.probesInFlight, 0)
          assert.isAtMost(metrics.totalCalls, 1)
          if (!interrupted) assert.strictEqual(metrics.totalCalls, 1)
        }
      )
    }
  }
})

describe("listeners", () => {
  sweep(
    "end with their scope wherever they are interrupted, and leave nobody listening",
    Effect.gen(function*() {
      const registry = yield* makeRegistry
      const breaker = yield* registry.getOrCreate(NAME)
      const heard: Array<string> = []
      const run = Effect.scoped(Effect.gen(function*() {
        yield* breaker.on("CallEnded", (event) => Effect.sync(() => heard.push(event.outcome)))
        yield* breaker.execute(Effect.void)
        yield* Effect.sleep(1)
        yield* breaker.execute(Effect.void)
      }))
      return { breaker, heard, run, registry }
    }),
    ({ breaker, heard, registry }, { machine }) => {
      assert.isAtMost(heard.length, 2)
      const before = heard.length
      // A circuit nobody listens to is forgotten once it is idle.
      const later = machine.run(Effect.gen(function*() {
        yield* breaker.execute(Effect.void)
        yield* Effect.sleep("2 hours")
        return yield* registry.names
      }))
      machine.finish()
      assert.deepStrictEqual(later.pollUnsafe(), Exit.succeed([]))
      assert.strictEqual(heard.length, before)
    }
  )

  for (const listeners of [2, 3]) {
    sweep(
      `that start at the same time all hear the circuit (${listeners})`,
      Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make({ name: NAME, policy })
        const scope = yield* Scope.make()
        const heard: Array<number> = []
        const run = Effect.forEach(
          Array.from({ length: listeners }, (_, index) => index),
          (index) => Scope.provide(breaker.on("CallEnded", () => Effect.sync(() => heard.push(index))), scope),
          { concurrency: "unbounded", discard: true }
        )
        return { breaker, heard, run }
      }),
      ({ breaker, heard }, { interrupted, machine }) => {
        if (interrupted) return
        machine.run(breaker.execute(Effect.void))
        machine.finish()
        assert.deepStrictEqual(heard.toSorted(), Array.from({ length: listeners }, (_, index) => index))
      }
    )
  }
})

describe("a registry's Layer", () => {
  sweep(
    "ends its streams wherever its user is interrupted",
    Effect.sync(() => {
      const ended: Array<string> = []
      const run = Effect.gen(function*() {
        const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
        yield* Effect.forkDetach(
          Effect.ensuring(Stream.runDrain(registry.events), Effect.sync(() => ended.push("events"))),
          { startImmediately: true }
        )
        yield* CircuitBreaker.withCircuitBreaker(steps, NAME)
      }).pipe(Effect.provide(CircuitBreakerRegistry.layer()))
      return { ended, run }
    }),
    ({ ended }, { interrupted }) => {
      assert.isAtMost(ended.length, 1)
      if (!interrupted) assert.deepStrictEqual(ended, ["events"])
    }
  )
})

describe("many fibers that pause anywhere", () => {
  it("leave nothing in flight, never exceed the probes, and a circuit that closes again", () => {
    for (let seed = 0; seed < 150; seed++) {
      const random = seeded(seed)
      const choose = <A>(values: ReadonlyArray<A>): A => values[Math.floor(random() * values.length)]!
      const machine = new Machine()
      const made = machine.run(Effect.gen(function*() {
        const registry = yield* makeRegistry
        return { registry, breaker: yield* registry.getOrCreate(NAME) }
      }))
      const exit = made.pollUnsafe()!
      if (Exit.isFailure(exit)) throw new Error(`seed ${seed}: ${exit.cause}`)
      const { breaker, registry } = exit.value

      machine.pausesAt = () => random() < 0.1
      machine.pick = (n) => Math.floor(random() * n)
      let mostProbes = 0
      const watched = Effect.map(breaker.metrics, (metrics) => {
        mostProbes = Math.max(mostProbes, metrics.probesInFlight)
      })
      const commands = [breaker.forceOpen({ duration: 20 }), breaker.forceClose, breaker.metricsOnly, breaker.reset]
      const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
      for (let i = 0; i < 60; i++) {
        const outcome = choose([
          Effect.succeed("ok"),
          Effect.fail("down"),
          Effect.fail("down"),
          Effect.die("bug"),
          Effect.never
        ])
        const call = Effect.sleep(random() * 2_000).pipe(Effect.andThen(watched), Effect.andThen(outcome))
        const guarded = choose(ways(registry)).guard(breaker, call)
        const one = random() < 0.1 ? choose(commands) : Effect.andThen(Effect.sleep(random() * 20_000), guarded)
        fibers.push(machine.run(one))
        for (let step = random() * 20; step > 0; step--) if (!machine.step() && random() < 0.5) machine.tick()
        if (random() < 0.3) choose(fibers).interruptUnsafe()
      }
      machine.finish()
      for (const fiber of fibers) fiber.interruptUnsafe()
      machine.finish()

      const metrics = read(breaker)
      assert.strictEqual(metrics.callsInFlight, 0, `seed ${seed}`)
      assert.strictEqual(metrics.probesInFlight, 0, `seed ${seed}`)
      assert.isAtMost(mostProbes, 1, `seed ${seed}`)
      const healthy = machine.run(Effect.gen(function*() {
        if ((yield* breaker.state) === "MetricsOnly") yield* breaker.forceClose
        yield* Effect.sleep("2 hours")
        yield* breaker.execute(Effect.void)
        yield* breaker.execute(Effect.void)
        return yield* breaker.state
      }))
      machine.finish()
      assert.deepStrictEqual(healthy.pollUnsafe(), Exit.succeed("Closed"), `seed ${seed}`)
    }
  })
})

// -----------------------------------------------------------------------------
// every combinator, every kind of call
// -----------------------------------------------------------------------------

/** What one run of a combinator left behind, beside what its own parts count. */
class Traces {
  /** Each time the call was started: how often it began, and how often its finalizer ran. */
  readonly attempts: Array<{ began: number; finalized: number }> = []
  /** Every fiber that took a step. */
  readonly fibers = new Set<Fiber.Fiber<unknown, unknown>>()

  /** A call that keeps books of its starts and ends. */
  call(effect: Effect.Effect<string, string>): Effect.Effect<string, string> {
    return Effect.suspend(() => {
      const attempt = { began: 0, finalized: 0 }
      this.attempts.push(attempt)
      return Effect.ensuring(
        Effect.suspend(() => {
          attempt.began++
          return effect
        }),
        Effect.sync(() => attempt.finalized++)
      )
    })
  }

  /** Runs an effect so that its fibers are known, however far they are from it. */
  follow<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.withFiber((fiber) => {
      const scheduler = fiber.getRef(Scheduler.Scheduler)
      const seen: Scheduler.Scheduler = {
        executionMode: scheduler.executionMode,
        makeDispatcher: () => scheduler.makeDispatcher(),
        shouldYield: (fiber) => {
          this.fibers.add(fiber)
          return scheduler.shouldYield(fiber)
        }
      }
      return Effect.provideService(effect, Scheduler.Scheduler, seen)
    })
  }

  get began(): number {
    return this.attempts.filter(({ began }) => began > 0).length
  }
}

interface Combined {
  readonly run: Effect.Effect<unknown, unknown>
  /** What the parts of the combinator still hold or have counted; throws if that is wrong. */
  readonly check?: (began: number, interrupted: boolean) => void
  /** Must succeed afterwards: what was used is as good as new. */
  readonly again?: Effect.Effect<unknown, unknown>
}

interface Combinator {
  readonly name: string
  readonly make: (call: Effect.Effect<string, string>) => Effect.Effect<Combined>
  /** How it ends by itself, by the name of the call; what is not here ends as the call does. */
  readonly ends?: Partial<Record<string, string>>
  /** Whether it ends a call that never ends. */
  readonly stops?: boolean
  /** The most times it makes the call. */
  readonly attempts?: number
}

/** How an exit reads: the value, the error or its tag, or the defect. */
const show = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return String(exit.value)
  const error = Cause.squash(exit.cause)
  const text = Predicate.hasProperty(error, "_tag") ? String(error._tag) : String(error)
  return Cause.hasDies(exit.cause) ? `die: ${text}` : Cause.hasInterruptsOnly(exit.cause) ? "interrupt" : text
}

const OWN_ENDS: Readonly<Record<string, string>> = {
  "a success": "done",
  "a failure": "down",
  "a defect": "die: bug",
  "a call that never ends": "never",
  "an uninterruptible success": "done",
  "an uninterruptible failure": "down"
}

const failuresAs = (end: string) => ({ "a failure": end, "an uninterruptible failure": end })

const everyAs = (end: string) => Object.fromEntries(Object.keys(OWN_ENDS).map((name) => [name, end]))

const idle = (breaker: CircuitBreaker.CircuitBreaker) => () => {
  const metrics = read(breaker)
  assert.deepStrictEqual([metrics.callsInFlight, metrics.probesInFlight], [0, 0], "a call or a slot is left")
  assert.strictEqual(
    metrics.totalCalls,
    metrics.successfulCalls + metrics.failedCalls + metrics.ignoredCalls + metrics.lateCalls + metrics.rejectedCalls
  )
}

/** All slots are free, nobody waits, and as many calls as there are slots run at once. */
const allFree = (bulkhead: Bulkhead.Bulkhead, limit: number) => ({
  check: () => {
    assert.strictEqual(Effect.runSync(bulkhead.inFlight), 0, "a slot is left taken")
    assert.strictEqual(Effect.runSync(bulkhead.queued), 0, "a place in the queue is left taken")
  },
  again: Effect.all(Array.from({ length: limit }, () => bulkhead.execute(Effect.sleep(1))), {
    concurrency: "unbounded"
  })
})

/** Starts an effect of another fiber, and lets it get on. */
const background = <A, E>(effect: Effect.Effect<A, E>) => Effect.andThen(Effect.forkDetach(effect), Effect.sleep(1))

const policyOf = (options: CircuitPolicy.Options) => CircuitPolicy.make({ consecutiveFailures: 100, ...options })

class Quotes extends Context.Service<Quotes, {
  readonly quote: (symbol: string) => Effect.Effect<string, string | ResilienceError.AllTiersFailedError>
}>()("test/Quotes") {}

const inState = (
  name: string,
  command: (breaker: CircuitBreaker.CircuitBreaker) => Effect.Effect<void>,
  rest?: Partial<Combinator>
): Combinator => ({
  name: `withCircuitBreaker, ${name}`,
  make: (call) =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: NAME, policy })
      yield* command(breaker)
      const again = Effect.gen(function*() {
        yield* breaker.reset
        return yield* breaker.execute(Effect.void)
      })
      return { run: CircuitBreaker.withCircuitBreaker(call, breaker), check: idle(breaker), again }
    }),
  ...rest
})

const COMBINATORS: ReadonlyArray<Combinator> = [
  {
    name: "withRetry",
    make: (call) =>
      Effect.succeed({
        run: Retry.withRetry(call, { maxAttempts: 3, baseDelay: 5, jitter: "full", onRetry: () => Effect.sleep(1) })
      }),
    ends: failuresAs("RetryExhaustedError"),
    attempts: 3
  },
  {
    name: "withRetry on a schedule and a budget",
    make: (call) =>
      Effect.gen(function*() {
        const budget = yield* RetryBudget.make({ ratio: 0, minPerSecond: 1 })
        return {
          run: Retry.withRetry(call, { schedule: Schedule.spaced(5), maxAttempts: 3, budget }),
          check: (began) => {
            const { calls, retries } = Effect.runSync(
              Effect.provideService(budget.metrics, Clock.Clock, new TwoClocks())
            )
            assert.isAtMost(calls, 1, "a call is counted once")
            // A retry is paid before its wait, in which the call may be interrupted.
            assert.include([0, 1], retries - Math.max(0, began - 1), "paid, and not made")
          }
        }
      }),
    ends: failuresAs("RetryExhaustedError"),
    attempts: 3
  },
  ...[false, true].flatMap((disconnect): ReadonlyArray<Combinator> => {
    const name = `withTimeout${disconnect ? " and disconnect" : ""}`
    return [
      {
        name: `${name}, in time`,
        make: (call) => Effect.succeed({ run: Timeout.withTimeout(call, { duration: "1 second", disconnect }) }),
        ends: { "a call that never ends": "CallTimeoutError" },
        stops: true
      },
      {
        name: `${name}, too late`,
        make: (call) => Effect.succeed({ run: Timeout.withTimeout(call, { duration: 5, disconnect }) }),
        ends: everyAs("CallTimeoutError"),
        stops: true
      },
      {
        name: `${name}, at the same time`,
        make: (call) => Effect.succeed({ run: Timeout.withTimeout(call, { duration: 10, disconnect }) }),
        // Whichever comes first.
        ends: everyAs("CallTimeoutError|done|down|die: bug"),
        stops: true
      }
    ]
  }),
  {
    name: "withBulkhead",
    make: (call) =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 2 })
        return { run: Bulkhead.withBulkhead(call, bulkhead), ...allFree(bulkhead, 2) }
      })
  },
  {
    name: "withBulkhead that is full",
    make: (call) =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1 })
        const run = Effect.andThen(
          background(bulkhead.execute(Effect.sleep(50))),
          Bulkhead.withBulkhead(call, bulkhead)
        )
        return { run, ...allFree(bulkhead, 1) }
      }),
    ends: everyAs("BulkheadFullError"),
    stops: true,
    attempts: 0
  },
  {
    name: "withBulkhead with a queue",
    make: (call) =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1, queue: 2, maxWait: "1 second" })
        const run = Effect.andThen(
          // One before it in the slot, one in the queue.
          Effect.andThen(background(bulkhead.execute(Effect.sleep(3))), background(bulkhead.execute(Effect.sleep(3)))),
          Bulkhead.withBulkhead(call, bulkhead)
        )
        return { run, ...allFree(bulkhead, 1) }
      })
  },
  {
    name: "withBulkhead with a wait in vain",
    make: (call) =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ limit: 1, queue: 1, maxWait: 5 })
        const run = Effect.andThen(
          background(bulkhead.execute(Effect.sleep(50))),
          Bulkhead.withBulkhead(call, bulkhead)
        )
        return { run, ...allFree(bulkhead, 1) }
      }),
    ends: everyAs("BulkheadFullError"),
    stops: true,
    attempts: 0
  },
  ...(["fixed-window", "token-bucket", "sliding-window"] as const).flatMap((algorithm): ReadonlyArray<Combinator> => {
    const tokens = { name: "l", limit: 2, window: 20, algorithm } as const
    const used = (limit: RateLimit.RateLimit) =>
      Effect.orDie(Effect.andThen(limit.execute(Effect.void), limit.execute(Effect.void)))
    /** All tokens come back with time. */
    const comesBack = (limit: RateLimit.RateLimit): Effect.Effect<unknown, unknown> =>
      Effect.andThen(Effect.sleep(1_000), used(limit))
    return [
      {
        name: `withRateLimit (${algorithm})`,
        make: (call) =>
          Effect.gen(function*() {
            const limit = yield* RateLimit.makeMemory(tokens)
            return { run: RateLimit.withRateLimit(call, limit), again: comesBack(limit) }
          })
      },
      {
        name: `withRateLimit that delays (${algorithm})`,
        make: (call) =>
          Effect.gen(function*() {
            const limit = yield* RateLimit.makeMemory({ ...tokens, onExceeded: "delay", maxWait: "1 second" })
            yield* used(limit)
            return { run: RateLimit.withRateLimit(call, limit), again: comesBack(limit) }
          })
      },
      {
        name: `withRateLimit that rejects (${algorithm})`,
        make: (call) =>
          Effect.gen(function*() {
            const limit = yield* RateLimit.makeMemory(tokens)
            yield* used(limit)
            return { run: RateLimit.withRateLimit(call, limit), again: comesBack(limit) }
          }),
        ends: everyAs("RateLimitExceededError"),
        stops: true,
        attempts: 0
      }
    ]
  }),
  ...[false, true].map((awaitLosers): Combinator => ({
    name: `withHedge${awaitLosers ? " that waits for the losers" : ""}`,
    make: (call) =>
      Effect.gen(function*() {
        const budget = yield* RetryBudget.make({ ratio: 0, minPerSecond: 1 })
        return {
          run: Hedge.withHedge(call, { delay: 4, maxHedges: 2, awaitLosers, budget, onHedge: () => Effect.sleep(1) }),
          check: (began) => {
            const { calls, retries } = Effect.runSync(
              Effect.provideService(budget.metrics, Clock.Clock, new TwoClocks())
            )
            assert.isAtMost(calls, 1, "a call is counted once")
            assert.isAtLeast(retries, began - 1, "no hedge is free")
            assert.isAtMost(retries, 2)
          }
        }
      }),
    attempts: 3
  })),
  {
    name: "withHedge that is slow to start one",
    make: (call) => Effect.succeed({ run: Hedge.withHedge(call, { delay: "1 second", maxHedges: 2 }) }),
    attempts: 3
  },
  {
    name: "withFallback",
    make: (call) =>
      Effect.sync(() => {
        let recovered = 0
        const fallback = Effect.as(Effect.andThen(Effect.sleep(5), Effect.sync(() => recovered++)), "fallback")
        return {
          run: Fallback.withFallback(call, fallback),
          check: (began: number) => assert.isAtMost(recovered, began, "the fallback runs once, after the call")
        }
      }),
    ends: failuresAs("fallback")
  },
  {
    name: "onUnavailable after a timeout",
    make: (call) =>
      Effect.succeed({
        run: call.pipe(
          Timeout.withTimeout(5),
          Fallback.onUnavailable(Effect.andThen(Effect.sleep(5), Effect.succeed("fallback")))
        )
      }),
    ends: everyAs("fallback"),
    stops: true
  },
  {
    name: "Tiers.make",
    make: (call) =>
      Effect.gen(function*() {
        const registry = yield* makeRegistry
        const second = yield* registry.getOrCreate("second")
        const first = yield* registry.getOrCreate("first")
        const run = Tiers.make("read", [
          Tiers.tier("first", call, { timeout: 30, retry: { maxAttempts: 2, baseDelay: 5 } }),
          Tiers.tier("second", Effect.as(Effect.sleep(5), "second"))
        ], { deadline: "1 second" })
        return {
          run: Effect.provide(run, registryOf(registry)),
          check: () => {
            for (const breaker of [first, second]) idle(breaker)()
          }
        }
      }),
    ends: { ...failuresAs("second"), "a defect": "second", "a call that never ends": "second" },
    stops: true,
    attempts: 2
  },
  {
    name: "Tiers.make, past its deadline",
    make: (call) =>
      Effect.gen(function*() {
        const registry = yield* makeRegistry
        const first = yield* registry.getOrCreate("first")
        const run = Tiers.make("read", [
          Tiers.tier("first", call),
          Tiers.tier("second", Effect.succeed("second"))
        ], { deadline: 5 })
        return { run: Effect.provide(run, registryOf(registry)), check: idle(first) }
      }),
    ends: everyAs("AllTiersFailedError"),
    stops: true
  },
  {
    name: "Tiers.layer",
    make: (call) =>
      Effect.gen(function*() {
        const registry = yield* makeRegistry
        const lives = { acquired: 0, released: 0 }
        const built = (quote: Effect.Effect<string, string>) =>
          Layer.effect(
            Quotes,
            Effect.as(
              Effect.acquireRelease(
                Effect.andThen(Effect.sleep(2), Effect.sync(() => lives.acquired++)),
                () => Effect.sync(() => lives.released++)
              ),
              { quote: () => quote }
            )
          )
        const tiered = Tiers.layer(Quotes, [
          ["first", built(call), { timeout: 30 }],
          ["second", built(Effect.succeed("second"))]
        ])
        const run = Effect.flatMap(Quotes, (quotes) => quotes.quote("ABC")).pipe(
          Effect.provide(tiered),
          Effect.provide(registryOf(registry))
        )
        return {
          run,
          check: () => {
            assert.strictEqual(lives.released, lives.acquired, "what was built is released")
            assert.isAtMost(lives.acquired, 2)
            for (const name of ["first", "second"]) {
              const breaker = findCircuit(registry, name)
              if (breaker !== undefined) idle(breaker)()
            }
          }
        }
      }),
    ends: { ...failuresAs("second"), "a defect": "second", "a call that never ends": "second" },
    stops: true
  },
  inState("open", (breaker) => breaker.forceOpen({ duration: "1 minute" }), {
    ends: everyAs("CircuitOpenError"),
    stops: true,
    attempts: 0
  }),
  inState("disabled", (breaker) => breaker.disable),
  inState("counting only", (breaker) => breaker.metricsOnly),
  {
    name: "withCircuitBreaker, reset while the call runs",
    make: (call) =>
      Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make({ name: NAME, policy })
        yield* breaker.forceOpen({ duration: 0 })
        const run = Effect.andThen(
          background(Effect.andThen(Effect.sleep(5), breaker.reset)),
          CircuitBreaker.withCircuitBreaker(call, breaker)
        )
        return { run, check: idle(breaker), again: breaker.execute(Effect.void) }
      })
  },
  {
    name: "withCircuitBreaker inside itself",
    make: (call) =>
      Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make({ name: NAME, policy: policyOf({ halfOpenMaxCalls: 2 }) })
        yield* breaker.forceOpen({ duration: 0 })
        const run = call.pipe(
          CircuitBreaker.withCircuitBreaker(breaker),
          Effect.catchTag("CircuitOpenError", Effect.die),
          CircuitBreaker.withCircuitBreaker(breaker)
        )
        return { run, check: idle(breaker) }
      })
  },
  {
    name: "the whole pipeline",
    make: (call) =>
      Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make({
          name: NAME,
          policy: policyOf({ slowCallRate: 1, slowCallDuration: "1 minute" })
        })
        const bulkhead = yield* Bulkhead.make({ limit: 2, queue: 2, maxWait: "1 second" })
        const limit = yield* RateLimit.makeMemory({ name: "l", limit: 3, window: 20, onExceeded: "delay" })
        const budget = yield* RetryBudget.make({ minPerSecond: 1 })
        const pipeline = Resilience.make({
          name: "all",
          fallback: Effect.as(Effect.sleep(1), "fallback"),
          timeout: "1 second",
          retry: { maxAttempts: 2, baseDelay: 5, jitter: "full", budget },
          hedge: { delay: 4, maxHedges: 1, budget },
          rateLimit: limit,
          circuitBreaker: breaker,
          bulkhead,
          attemptTimeout: 30
        })
        const { again, check } = allFree(bulkhead, 2)
        return {
          run: pipeline.execute(call),
          check: () => {
            check()
            idle(breaker)()
          },
          again: Effect.andThen(again, breaker.execute(Effect.void))
        }
      }),
    ends: { ...failuresAs("fallback"), "a call that never ends": "fallback" },
    stops: true,
    attempts: 4
  }
]

interface Subjected extends Combined {
  readonly traces: Traces
}

const checkCombined = (combinator: Combinator, kind: Call) => (subject: Subjected, run: Run<unknown, unknown>) => {
  const { again, check, traces } = subject
  const { exit, interrupted, machine } = run
  for (const { began, finalized } of traces.attempts) {
    // A finalizer is there before its call starts, so it may run alone.
    assert.isAtMost(finalized, 1, "a finalizer runs once")
    assert.isAtLeast(finalized, began, "what has begun is finalized")
  }
  assert.isAtMost(traces.began, combinator.attempts ?? 1, "the call is not made more often than it may")
  assert.isEmpty([...traces.fibers].filter((fiber) => fiber.pollUnsafe() === undefined), "no fiber is left")
  check?.(traces.began, interrupted)
  if (interrupted) {
    assert.isTrue(Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause), `an interrupted call says so: ${show(exit)}`)
  } else {
    const ends = combinator.ends?.[kind.name] ?? OWN_ENDS[kind.name]!
    assert.include(ends.split("|"), show(exit), "the exit is right")
  }
  if (again === undefined) return
  const after = machine.run(again)
  machine.finish()
  const usable = after.pollUnsafe()
  assert.isTrue(usable !== undefined && Exit.isSuccess(usable), `it can be used again: ${usable && show(usable)}`)
}

const combine = (combinator: Combinator, kind: Call): Effect.Effect<Subjected> =>
  Effect.gen(function*() {
    const traces = new Traces()
    const combined = yield* combinator.make(traces.call(kind.effect))
    return { ...combined, traces, run: traces.follow(combined.run) }
  })

/** Longer than calls, callbacks and whatever else may go on after a call has ended. */
const LONG = 100

/**
 * As `interruptEverywhere`, while every fiber yields before every operation:
 * the effect is interrupted after so many steps of any fiber. `pick` says which
 * of the fibers that can go on does.
 */
const interruptWhileYielding = (
  make: Effect.Effect<Subjected>,
  pick: (n: number) => number,
  check: (subject: Subjected, run: Run<unknown, unknown>) => void
): number => {
  for (let place = 1;; place++) {
    const machine = new Machine()
    const made = machine.run(make)
    machine.settle()
    const exit = made.pollUnsafe()
    if (exit === undefined || Exit.isFailure(exit)) throw new Error(`making the subject failed: ${exit?.cause}`)
    const subject = exit.value

    // A fiber that goes on after a yield is asked twice before it does something: not to yield again.
    const asked = new WeakMap<object, number>()
    machine.pausesAt = (fiber) => {
      const times = asked.get(fiber) ?? 0
      asked.set(fiber, times + 1)
      return times % 3 === 0
    }
    machine.pick = pick
    const fiber = machine.run(subject.run)
    let steps = 0
    while (steps < place && fiber.pollUnsafe() === undefined && (machine.step() || machine.tick())) steps++
    const interrupted = fiber.pollUnsafe() === undefined
    if (interrupted) fiber.interruptUnsafe()
    do machine.settle()
    while (fiber.pollUnsafe() === undefined && machine.tick())
    // What goes on in the background is short; only the combinators themselves wait for longer.
    const end = machine.now + LONG
    while (machine.sleeps.some(({ at }) => at <= end) && machine.tick()) machine.settle()
    assert.isEmpty(machine.sleeps, `interrupted after ${steps} steps: a timer is left`)
    machine.finish()
    const ended = fiber.pollUnsafe()
    assert.isDefined(ended, `interrupted after ${steps} steps: the fiber did not end`)
    machine.pausesAt = () => false
    try {
      check(subject, { exit: ended, place, interrupted, machine })
    } catch (error) {
      throw new Error(`interrupted after ${steps} steps: ${error instanceof Error ? error.message : error}`, {
        cause: error
      })
    }
    if (steps < place) return place - 1
  }
}

describe("every combinator, wherever it is interrupted, leaves nothing and ends right", () => {
  for (const combinator of COMBINATORS) {
    describe(combinator.name, () => {
      for (const kind of calls) {
        it(`around ${kind.name}`, { timeout: 60_000 }, () => {
          const check = checkCombined(combinator, kind)
          const places = interruptEverywhere(combine(combinator, kind), check)
          assert.isAbove(places, 3, "too small to be interrupted anywhere")
          // First come first served, and in no order.
          const random = seeded(1)
          for (const pick of [() => 0, (n: number) => Math.floor(random() * n)]) {
            assert.isAbove(interruptWhileYielding(combine(combinator, kind), pick, check), 3)
          }
        })

        it(`around ${kind.name} ends by itself ${ends(combinator, kind) === "never" ? "never" : "as it should"}`, () => {
          const machine = new Machine()
          const made = machine.run(combine(combinator, kind)).pollUnsafe()
          assert(made !== undefined && Exit.isSuccess(made))
          const fiber = machine.run(made.value.run)
          machine.finish()
          const exit = fiber.pollUnsafe()

          if (ends(combinator, kind) === "never") return assert.isUndefined(exit)
          assert.isDefined(exit)
          checkCombined(combinator, kind)(made.value, { exit, place: 0, interrupted: false, machine })
          if (combinator.attempts === 0) assert.strictEqual(made.value.traces.began, 0)
        })
      }
    })
  }
})

function ends(combinator: Combinator, kind: Call): string {
  return combinator.ends?.[kind.name] ?? OWN_ENDS[kind.name]!
}
