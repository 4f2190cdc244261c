/**
 * No combinator of the circuit breaker leaks anything wherever it is interrupted.
 */
import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as CircuitMetrics from "../src/CircuitMetrics.ts"
import type * as ResilienceError from "../src/ResilienceError.ts"
import { type Run, sweep } from "./support/interruption.ts"
import { Machine, seeded } from "./support/machine.ts"

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
