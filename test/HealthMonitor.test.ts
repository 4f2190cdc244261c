import { assert, describe, expect, expectTypeOf, it } from "@effect/vitest"
import {
  CircuitBreaker,
  CircuitBreakerRegistry,
  type CircuitMetrics,
  CircuitPolicy,
  HealthMonitor,
  HealthReport,
  Outcome
} from "effect-resilience"
import {
  Cause,
  Clock,
  type Config,
  ConfigProvider,
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Random,
  Schema,
  Scope,
  Stream
} from "effect"
import { TestClock } from "effect/testing"
import { call, fail, hold, repeat, settle, succeed, touchy } from "./support/circuits.ts"
import { interruptEverywhere } from "./support/interruptEverywhere.ts"
import { sweep } from "./support/interruption.ts"
import { counted, Machine, seeded } from "./support/machine.ts"
import { isKnown } from "../src/internal/circuit/handle.ts"
import { findCircuit } from "./support/registry.ts"

const { CircuitBreakerRegistry: Registry } = CircuitBreakerRegistry

const Circuits = CircuitBreakerRegistry.layer({
  defaults: CircuitPolicy.make({ ...touchy, openDuration: CircuitPolicy.exponential({ initial: "10 seconds" }) })
})

const withCircuits = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.provide(self, Circuits)

/** A monitor without jitter, so that tests know when checks run. */
const make = <const C extends Readonly<Record<string, HealthMonitor.Check<unknown>>> = {}>(
  options: HealthMonitor.Options<C> = {}
) => HealthMonitor.make({ jitter: 0, ...options })

const find = (report: HealthReport.HealthReport, name: string): HealthReport.CheckHealth => {
  const found = report.checks.find((check) => check.name === name)
  if (found === undefined) throw new Error(`no ${name} in ${report.checks.map((check) => check.name)}`)
  return found
}

const codes = (health: HealthReport.CheckHealth) => health.reasons.map((reason) => reason.code)

const messages = (health: HealthReport.CheckHealth) => health.reasons.map((reason) => reason.message)

const seconds = Effect.map(Clock.currentTimeMillis, (millis) => millis / 1000)

/** Counts its runs, and notes when they began. */
const recorded = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const at: Array<number> = []
  const run = Effect.andThen(Effect.map(seconds, (time) => void at.push(time)), effect)
  return { at, run }
}

/** A check that a test ends. */
const gate = () => {
  const runs: Array<Deferred.Deferred<HealthMonitor.Answer, string>> = []
  let running = 0
  let most = 0
  const run = Effect.suspend(() => {
    const deferred = Deferred.makeUnsafe<HealthMonitor.Answer, string>()
    runs.push(deferred)
    most = Math.max(most, ++running)
    return Effect.ensuring(Deferred.await(deferred), Effect.sync(() => running--))
  })
  return { runs, run, running: () => running, most: () => most }
}

/** Collects what changes from now on, as `check database: healthy -> unhealthy (down)`. */
const watchChanges = (monitor: HealthMonitor.HealthMonitor) =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    const fiber = yield* Effect.forkScoped(
      Stream.runForEach(monitor.changes, ({ from, name, reasons, subject, to }) =>
        Effect.sync(() =>
          seen.push(`${subject} ${name}: ${from} -> ${to}${reasons.length === 0 ? "" : ` (${reasons.join("; ")})`}`)
        )),
      { startImmediately: true }
    )
    yield* settle
    return {
      fiber,
      seen: Effect.as(settle, seen),
      since: Effect.andThen(
        settle,
        Effect.sync(() =>
          seen.splice(0)
        )
      )
    }
  })

// -----------------------------------------------------------------------------

describe("the status of a circuit", () => {
  const failures = (breaker: CircuitBreaker.CircuitBreaker, failed: number, of: number) =>
    Effect.andThen(fail(breaker, failed), succeed(breaker, of - failed))

  const cases: ReadonlyArray<{
    readonly name: string
    readonly policy?: CircuitPolicy.Options
    readonly before: (breaker: CircuitBreaker.CircuitBreaker) => Effect.Effect<void>
    readonly status: HealthReport.Status
    readonly reasons: ReadonlyArray<string>
  }> = [
    { name: "Closed and new", before: () => Effect.void, status: "healthy", reasons: [] },
    {
      name: "Closed with a failure rate of 10%",
      before: (breaker) => failures(breaker, 1, 10),
      status: "healthy",
      reasons: []
    },
    {
      name: "Closed with a failure rate above 10%",
      before: (breaker) => failures(breaker, 1, 8),
      status: "degraded",
      reasons: ["FailureRate: circuit has a failure rate of 12.5% over 8 calls, above 10%"]
    },
    {
      name: "Open",
      policy: touchy,
      before: (breaker) => fail(breaker),
      status: "unhealthy",
      reasons: ["CircuitOpen: circuit is open, retry after 10s"]
    },
    {
      name: "HalfOpen",
      policy: touchy,
      before: (breaker) => Effect.andThen(fail(breaker), TestClock.adjust("10 seconds")),
      status: "degraded",
      reasons: ["CircuitHalfOpen: circuit is half-open"]
    },
    {
      name: "HalfOpen without a call for less than a minute",
      policy: touchy,
      before: (breaker) => Effect.andThen(fail(breaker), TestClock.adjust("69 seconds")),
      status: "degraded",
      reasons: ["CircuitHalfOpen: circuit is half-open"]
    },
    {
      name: "HalfOpen without a call for a minute",
      policy: touchy,
      before: (breaker) => Effect.andThen(fail(breaker), TestClock.adjust("70 seconds")),
      status: "healthy",
      reasons: ["CircuitIdle: circuit is half-open, and no call has come for 1m"]
    },
    {
      name: "HalfOpen without a call for less than it was open",
      policy: { ...touchy, openDuration: "10 minutes" },
      before: (breaker) => Effect.andThen(fail(breaker), TestClock.adjust("1199 seconds")),
      status: "degraded",
      reasons: ["CircuitHalfOpen: circuit is half-open"]
    },
    {
      name: "HalfOpen without a call for as long as it was open",
      policy: { ...touchy, openDuration: "10 minutes" },
      before: (breaker) => Effect.andThen(fail(breaker), TestClock.adjust("20 minutes")),
      status: "healthy",
      reasons: ["CircuitIdle: circuit is half-open, and no call has come for 10m"]
    },
    {
      name: "HalfOpen and waiting for another probe",
      policy: { ...touchy, successThreshold: 2 },
      before: (breaker) =>
        fail(breaker).pipe(
          Effect.andThen(TestClock.adjust("5 minutes")),
          Effect.andThen(succeed(breaker)),
          Effect.andThen(TestClock.adjust("2 minutes"))
        ),
      status: "healthy",
      reasons: ["CircuitIdle: circuit is half-open, and no call has come for 2m"]
    },
    {
      name: "ForcedOpen",
      before: (breaker) => breaker.forceOpen(),
      status: "unhealthy",
      reasons: ["CircuitForcedOpen: circuit was forced open and stays so until it is released"]
    },
    {
      name: "ForcedOpen for a minute",
      before: (breaker) => breaker.forceOpen({ duration: "1 minute" }),
      status: "unhealthy",
      reasons: ["CircuitForcedOpen: circuit was forced open, retry after 1m"]
    },
    {
      name: "Disabled, whatever it had counted",
      before: (breaker) => Effect.andThen(failures(breaker, 4, 4), breaker.disable),
      status: "healthy",
      reasons: []
    },
    {
      name: "MetricsOnly with a failure rate above 10%",
      before: (breaker) => Effect.andThen(breaker.metricsOnly, failures(breaker, 1, 2)),
      status: "degraded",
      reasons: ["FailureRate: circuit has a failure rate of 50% over 2 calls, above 10%"]
    }
  ]
  for (const { before, name, policy, reasons, status } of cases) {
    it.effect(`${name} is ${status}, which is that of the registry`, () =>
      Effect.gen(function*() {
        const registry = yield* Registry
        const breaker = yield* registry.getOrCreate(
          "payment-api",
          CircuitPolicy.make(policy ?? { consecutiveFailures: 5 })
        )
        const monitor = yield* make()
        yield* before(breaker)

        const report = yield* monitor.latest
        const health = find(report, "payment-api")

        assert.strictEqual(health.status, status)
        assert.deepStrictEqual(health.reasons.map(({ code, message }) => `${code}: ${message}`), reasons)
        assert.deepStrictEqual(health.circuit, yield* breaker.metrics)
        assert.strictEqual(report.status, status)
        assert.strictEqual(report.allHealthy, status === "healthy")
        assert.strictEqual((yield* registry.systemStatus).status, status)
        assert.deepStrictEqual(HealthReport.fromCircuit(yield* breaker.metrics), health)
      }).pipe(withCircuits))
  }

  it.effect("is that of the registry for any mixture of circuits", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      const monitor = yield* make()
      const random = seeded(7)
      for (let i = 0; i < 300; i++) {
        const breaker = yield* registry.getOrCreate(`circuit-${Math.floor(random() * 4)}`)
        const moves = [
          fail(breaker),
          succeed(breaker, 3),
          breaker.forceOpen({ duration: "20 seconds" }),
          breaker.forceClose,
          breaker.disable,
          breaker.metricsOnly,
          breaker.reset,
          TestClock.adjust("7 seconds")
        ]
        yield* moves[Math.floor(random() * moves.length)]!

        const report = yield* monitor.latest
        assert.strictEqual(report.status, (yield* registry.systemStatus).status)
      }
    }).pipe(withCircuits))
})

describe("an option of a check that is none", () => {
  it("is refused, since the types let it pass", () => {
    assert.throws(
      () => HealthMonitor.make({ checks: { database: { check: Effect.void, critcal: false } } }),
      RangeError,
      `"critcal" is no option; did you mean "critical"? There are check, probe, circuit, interval, timeout, ` +
        "successThreshold, failureThreshold, critical"
    )
  })
})

describe("a circuit that is forgotten while it is looked at", () => {
  it.effect("is left out", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      yield* registry.getOrCreate("payment-api")
      const monitor = yield* Effect.provideService(make(), CircuitBreakerRegistry.CircuitBreakerRegistry, {
        ...registry,
        names: Effect.succeed(["gone", "payment-api"])
      })
      const { checks } = yield* monitor.latest
      assert.deepStrictEqual(checks.map(({ name }) => name), ["payment-api"])
    }).pipe(withCircuits))
})

describe("the answer of a check", () => {
  const hostile = {
    get message(): string {
      throw new Error("no")
    },
    get status(): string {
      throw new Error("no")
    }
  }
  class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}
  class Lost extends Schema.TaggedError<Lost>()("Lost", { message: Schema.String }) {}

  const cases: ReadonlyArray<
    readonly [
      string,
      Effect.Effect<HealthMonitor.Answer, unknown>,
      HealthReport.Status,
      ReadonlyArray<string>
    ]
  > = [
    ["nothing", Effect.void, "healthy", []],
    ["true", Effect.succeed(true), "healthy", []],
    ["healthy", Effect.succeed(HealthMonitor.healthy), "healthy", []],
    ["false", Effect.succeed(false), "unhealthy", ["CheckFailed: the check answered false"]],
    ["degraded", Effect.succeed(HealthMonitor.degraded("slow disk")), "degraded", ["Reported: slow disk"]],
    ["unhealthy", Effect.succeed(HealthMonitor.unhealthy("no disk")), "unhealthy", ["Reported: no disk"]],
    ["an error that is a text", Effect.fail("refused"), "unhealthy", ["CheckFailed: refused"]],
    ["an error with a message", Effect.fail(new Lost({ message: "no route" })), "unhealthy", ["CheckFailed: no route"]],
    ["an error with a tag", Effect.fail(new Refused()), "unhealthy", ["CheckFailed: Refused"]],
    ["an error that is nothing", Effect.fail(undefined), "unhealthy", ["CheckFailed: undefined"]],
    ["a defect", Effect.die(new TypeError("x is not a function")), "unhealthy", [
      "CheckFailed: defect: x is not a function"
    ]],
    [
      "a throw",
      Effect.suspend(() => {
        throw new Error("oops")
      }),
      "unhealthy",
      ["CheckFailed: defect: oops"]
    ],
    ["an interruption", Effect.interrupt, "unhealthy", ["CheckFailed: the check was interrupted"]],
    [
      "an error that cannot be read",
      Effect.fail(Object.setPrototypeOf(hostile, Error.prototype)),
      "unhealthy",
      ["CheckFailed: an error that cannot be read"]
    ],
    [
      "an answer that cannot be read",
      Effect.succeed(hostile as unknown as HealthMonitor.Answer),
      "unhealthy",
      ["CheckFailed: the check ended with something that cannot be shown"]
    ],
    [
      "what is no answer",
      Effect.succeed({ status: "fine" } as unknown as HealthMonitor.Answer),
      "unhealthy",
      [
        "CheckFailed: the check answered {\"status\":\"fine\"}; accepted is true, false, nothing, or an object with " +
        "status \"healthy\", \"degraded\" or \"unhealthy\" and a reason"
      ]
    ],
    [
      "an answer that is a text",
      Effect.succeed("fine" as unknown as HealthMonitor.Answer),
      "unhealthy",
      [
        "CheckFailed: the check answered \"fine\"; accepted is true, false, nothing, or an object with " +
        "status \"healthy\", \"degraded\" or \"unhealthy\" and a reason"
      ]
    ],
    [
      "a status without a reason",
      Effect.succeed({ status: "degraded" } as unknown as HealthMonitor.Answer),
      "degraded",
      ["Reported: the check answered degraded"]
    ]
  ]
  for (const [name, check, status, reasons] of cases) {
    it.effect(`${name} is ${status}`, () =>
      Effect.gen(function*() {
        const monitor = yield* make({ checks: { database: check, other: Effect.void } })
        const report = yield* monitor.checkAll

        const health = find(report, "database")
        assert.strictEqual(health.status, status)
        assert.deepStrictEqual(health.reasons.map(({ code, message }) => `${code}: ${message}`), reasons)
        assert.strictEqual(find(report, "other").status, "healthy")
        assert.strictEqual(report.status, status)
        assert.strictEqual(yield* monitor.status, status)
      }).pipe(withCircuits))
  }
})

describe("the whole", () => {
  it.effect("is as bad as its worst check", () =>
    Effect.gen(function*() {
      let database: HealthMonitor.Answer = true
      let cache: HealthMonitor.Answer = true
      const monitor = yield* make({
        checks: { database: Effect.sync(() => database), cache: Effect.sync(() => cache) }
      })
      assert.strictEqual((yield* monitor.checkAll).status, "healthy")
      cache = HealthMonitor.degraded("cold")
      assert.strictEqual((yield* monitor.checkAll).status, "degraded")
      database = false
      const report = yield* monitor.checkAll
      assert.strictEqual(report.status, "unhealthy")
      assert.isFalse(report.allHealthy)
      assert.deepStrictEqual(HealthReport.reasons(report), ["database: the check answered false", "cache: cold"])
    }).pipe(withCircuits))

  it.effect("is degraded at most by a check that is not critical", () =>
    Effect.gen(function*() {
      const monitor = yield* make({
        checks: {
          recommendations: { check: Effect.fail("down"), critical: false },
          reviews: { circuit: "reviews", critical: false }
        }
      })
      const registry = yield* Registry
      yield* fail(yield* registry.getOrCreate("reviews"))

      const report = yield* monitor.checkAll

      assert.strictEqual(find(report, "recommendations").status, "unhealthy")
      assert.strictEqual(find(report, "reviews").status, "unhealthy")
      assert.strictEqual(report.status, "degraded")
      assert.isFalse(report.allHealthy)
      assert.deepStrictEqual(HealthReport.toValidationResult(report), {
        valid: true,
        errors: [],
        warnings: ["recommendations: down", "reviews: circuit is open, retry after 10s"]
      })
    }).pipe(withCircuits))

  it.effect("is healthy without checks and circuits", () =>
    Effect.gen(function*() {
      const monitor = yield* make()
      const report = yield* monitor.checkAll
      assert.strictEqual(report.status, "healthy")
      assert.deepStrictEqual(report.checks, [])
    }).pipe(withCircuits))
})

describe("the interval", () => {
  // migration: HealthMonitor(mcp_client, sdk_client, rest_client, check_interval)
  it.effect("runs each check at once, and then from start to start", () =>
    Effect.gen(function*() {
      const { at, run } = recorded(Effect.sleep("2 seconds"))
      yield* make({ checks: { database: run } })
      yield* TestClock.adjust("95 seconds")
      assert.deepStrictEqual(at, [0, 30, 60, 90])
    }).pipe(withCircuits))

  it.effect("may be another one for a check", () =>
    Effect.gen(function*() {
      const fast = recorded(Effect.void)
      const slow = recorded(Effect.void)
      yield* make({
        interval: "10 seconds",
        checks: { fast: fast.run, slow: { check: slow.run, interval: "25 seconds" } }
      })
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(fast.at, [0, 10, 20, 30])
      assert.deepStrictEqual(slow.at, [0, 25])
    }).pipe(withCircuits))

  it.effect("starts the next run as soon as one that takes longer has ended", () =>
    Effect.gen(function*() {
      const { at, run } = recorded(Effect.sleep("15 seconds"))
      yield* make({ interval: "10 seconds", checks: { report: { check: run, timeout: "20 seconds" } } })
      yield* TestClock.adjust("40 seconds")
      assert.deepStrictEqual(at, [0, 15, 30])
    }).pipe(withCircuits))

  it.effect("that is infinite leaves it to whoever asks", () =>
    Effect.gen(function*() {
      const { at, run } = recorded(Effect.void)
      const monitor = yield* make({ interval: "Infinity", checks: { database: run } })
      yield* TestClock.adjust("10 days")
      assert.deepStrictEqual(at, [0])
      yield* monitor.checkAll
      assert.deepStrictEqual(at, [0, 864_000])
    }).pipe(withCircuits))

  it.effect("is spread by a tenth by default, so that processes that start together part", () =>
    Effect.gen(function*() {
      const runs = (seed: string) =>
        Effect.gen(function*() {
          const { at, run } = recorded(Effect.void)
          yield* HealthMonitor.make({ checks: { database: run } })
          return at
        }).pipe(Random.withSeed(seed))
      const one = yield* runs("one")
      const other = yield* runs("other")
      yield* TestClock.adjust("1 hour")

      const waits = one.slice(1).map((time, index) => time - one[index]!)
      for (const wait of waits) assert.isTrue(wait >= 27 && wait <= 33, `${wait}`)
      assert.isAbove(Math.max(...waits), 32)
      assert.isBelow(Math.min(...waits), 28)
      assert.notDeepEqual(one, other)
      const together = one.slice(1).filter((time) => other.slice(1).some((that) => Math.abs(time - that) < 0.1))
      assert.isBelow(together.length, 10)
    }).pipe(withCircuits))

  it.effect("is spread as much as jitter says", () =>
    Effect.gen(function*() {
      const { at, run } = recorded(Effect.void)
      yield* HealthMonitor.make({ jitter: 1, interval: "10 seconds", checks: { database: run } }).pipe(
        Random.withSeed("jitter")
      )
      yield* TestClock.adjust("1 hour")
      const waits = at.slice(1).map((time, index) => time - at[index]!)
      assert.isAbove(Math.max(...waits), 18)
      assert.isBelow(Math.min(...waits), 2)
      assert.isAtMost(Math.max(...waits), 20)
    }).pipe(withCircuits))
})

describe("a slow check", () => {
  it.effect("has five seconds, to the millisecond, and delays no other", () =>
    Effect.gen(function*() {
      const other = recorded(Effect.void)
      const monitor = yield* make({ interval: "10 seconds", checks: { stuck: Effect.never, other: other.run } })
      yield* TestClock.adjust("4999 millis")
      assert.deepStrictEqual(codes(find(yield* monitor.latest, "stuck")), ["NotChecked"])
      yield* TestClock.adjust("1 milli")

      const stuck = find(yield* monitor.latest, "stuck")
      assert.deepStrictEqual(codes(stuck), ["CheckTimedOut"])
      assert.deepStrictEqual(messages(stuck), ["check did not complete within 5s"])
      assert.strictEqual(stuck.status, "unhealthy")
      assert.deepStrictEqual(stuck.duration, Duration.seconds(5))

      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(other.at, [0, 10, 20, 30])
    }).pipe(withCircuits))

  it.effect("has the interval if that is shorter, or its own time", () =>
    Effect.gen(function*() {
      const monitor = yield* make({
        interval: "2 seconds",
        checks: { stuck: Effect.never, own: { check: Effect.never, timeout: "500 millis" } }
      })
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual(messages(find(yield* monitor.latest, "own")), ["check did not complete within 500ms"])
      yield* TestClock.adjust("1500 millis")
      assert.deepStrictEqual(messages(find(yield* monitor.latest, "stuck")), ["check did not complete within 2s"])
    }).pipe(withCircuits))

  it.effect("is interrupted when its time is up", () =>
    Effect.gen(function*() {
      const { run, running } = gate()
      yield* make({ checks: { stuck: run } })
      assert.strictEqual(running(), 1)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(running(), 0)
    }).pipe(withCircuits))

  it.effect("that ignores its interruption is not started again before it has ended", () =>
    Effect.gen(function*() {
      const { most, run, runs } = gate()
      const monitor = yield* make({ interval: "10 seconds", checks: { stubborn: Effect.uninterruptible(run) } })
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(codes(find(yield* monitor.latest, "stubborn")), ["CheckTimedOut"])

      yield* TestClock.adjust("15 seconds")
      const hanging = find(yield* monitor.latest, "stubborn")
      assert.deepStrictEqual(codes(hanging), ["CheckHanging"])
      assert.deepStrictEqual(messages(hanging), ["a run that timed out has not ended, it began 20s ago"])
      assert.strictEqual(hanging.status, "unhealthy")
      assert.strictEqual(runs.length, 1)

      yield* Deferred.succeed(runs[0]!, true)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(runs.length, 2)
      yield* Deferred.succeed(runs[1]!, true)
      yield* settle
      assert.strictEqual(find(yield* monitor.latest, "stubborn").status, "healthy")
      assert.strictEqual(most(), 1)
    }).pipe(withCircuits))

  it.effect("takes one of ten places while its time runs, and none afterwards", () =>
    Effect.gen(function*() {
      const stuck = gate()
      const checks = Object.fromEntries(
        Array.from({ length: 25 }, (_, i) => [`stuck-${i}`, Effect.uninterruptible(stuck.run)])
      )
      const last = recorded(Effect.void)
      yield* make({ interval: "1 minute", checks: { ...checks, last: last.run } })
      assert.strictEqual(stuck.running(), 10)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(stuck.running(), 20)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(stuck.running(), 25)
      assert.deepStrictEqual(last.at, [10])
      for (const run of stuck.runs) yield* Deferred.succeed(run, true)
    }).pipe(withCircuits))

  it.effect("as many run at once as concurrency says", () =>
    Effect.gen(function*() {
      const slow = gate()
      yield* make({ concurrency: 2, checks: { a: slow.run, b: slow.run, c: slow.run } })
      assert.strictEqual(slow.running(), 2)
      yield* Deferred.succeed(slow.runs[0]!, true)
      yield* settle
      assert.strictEqual(slow.runs.length, 3)
      assert.strictEqual(slow.most(), 2)
    }).pipe(withCircuits))
})

describe("whoever asks", () => {
  it.effect("reads the last result with its time and duration, and runs nothing", () =>
    Effect.gen(function*() {
      const { at, run } = recorded(Effect.sleep("250 millis"))
      const monitor = yield* make({ checks: { database: run } })
      yield* TestClock.adjust("20 seconds")

      const report = yield* monitor.latest
      const database = find(report, "database")

      assert.strictEqual(database.checkedAt?.epochMilliseconds, 250)
      assert.deepStrictEqual(database.duration, Duration.millis(250))
      assert.strictEqual(report.timestamp.epochMilliseconds, 20_000)
      yield* repeat(monitor.latest, 100)
      yield* repeat(monitor.status, 100)
      assert.deepStrictEqual(at, [0])
    }).pipe(withCircuits))

  it.effect("learns that a check has not ended yet, which is degraded", () =>
    Effect.gen(function*() {
      const { run, runs } = gate()
      const monitor = yield* make({ checks: { database: run } })
      const before = find(yield* monitor.latest, "database")
      assert.strictEqual(before.status, "degraded")
      assert.deepStrictEqual(messages(before), ["has not been checked yet"])
      assert.isUndefined(before.checkedAt)

      yield* Deferred.succeed(runs[0]!, true)
      yield* settle
      assert.strictEqual((yield* monitor.latest).status, "healthy")
    }).pipe(withCircuits))

  it.effect("shares the run that goes on", () =>
    Effect.gen(function*() {
      const { run, runs } = gate()
      const monitor = yield* make({ checks: { database: run } })
      const all = yield* Effect.forkChild(
        Effect.all([...Array.from({ length: 50 }, () => monitor.check("database")), monitor.checkAll], {
          concurrency: "unbounded"
        }),
        { startImmediately: true }
      )
      yield* settle
      assert.strictEqual(runs.length, 1)
      yield* Deferred.fail(runs[0]!, "down")
      const results = yield* Fiber.join(all)
      assert.isTrue(results.every((result) => result.status === "unhealthy"))
      assert.strictEqual(runs.length, 1)
    }).pipe(withCircuits))

  it.effect("may be interrupted, and the run goes on for the others", () =>
    Effect.gen(function*() {
      const { run, runs } = gate()
      const monitor = yield* make({ checks: { database: run } })
      const one = yield* Effect.forkChild(monitor.check("database"), { startImmediately: true })
      const other = yield* Effect.forkChild(monitor.checkAll, { startImmediately: true })
      yield* Fiber.interrupt(one)
      yield* Deferred.succeed(runs[0]!, true)
      assert.strictEqual((yield* Fiber.join(other)).status, "healthy")
      assert.strictEqual(runs.length, 1)
    }).pipe(withCircuits))

  it.effect("runs checks with the services of where they were registered", () =>
    Effect.gen(function*() {
      class Database extends Context.Service<Database, { readonly ping: Effect.Effect<void, string> }>()("Database") {}
      const checks = { database: Effect.flatMap(Database, (database) => database.ping) }
      const Health = HealthMonitor.layer({ checks }).pipe(
        Layer.provide([Circuits, Layer.succeed(Database, { ping: Effect.fail("no route") })])
      )
      const report = yield* Effect.flatMap(HealthMonitor.HealthMonitor, (monitor) => monitor.checkAll).pipe(
        Effect.provide(Health)
      )
      assert.deepStrictEqual(HealthReport.reasons(report), ["database: no route"])
    }))

  // migration: check_all_tiers()
  it.effect("gets one check or one circuit by name", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      const breaker = yield* registry.getOrCreate("tier1_mcp")
      const { at, run } = recorded(Effect.fail("down"))
      const other = recorded(Effect.void)
      const monitor = yield* make({ checks: { database: run, other: other.run } })

      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* monitor.check("database")).status, "unhealthy")
      assert.deepStrictEqual(at, [0, 1])
      assert.deepStrictEqual(other.at, [0])
      assert.strictEqual((yield* monitor.check("tier1_mcp")).status, "healthy")
      yield* fail(breaker)
      assert.strictEqual((yield* monitor.check("tier1_mcp")).status, "unhealthy")
    }).pipe(withCircuits))

  it.effect("for a name that is none is told those there are", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      yield* registry.getOrCreate("tier1_mcp")
      const monitor = yield* make({ checks: { database: Effect.void } })
      const error = yield* Effect.flip(monitor.check("tier1"))
      assert.instanceOf(error, HealthMonitor.UnknownCheckError)
      assert.deepStrictEqual(error.known, ["database", "tier1_mcp"])
      assert.strictEqual(error.message, "There is no check \"tier1\"; there are \"database\", \"tier1_mcp\"")
      const none = yield* Effect.flip((yield* make({ circuits: false })).check("tier1"))
      assert.strictEqual(none.message, "There is no check \"tier1\"; there is none at all")
      const many = new HealthMonitor.UnknownCheckError({
        check: "x",
        known: Array.from({ length: 22 }, (_, i) => `${i}`)
      })
      assert.isTrue(many.message.endsWith("\"18\", \"19\" and 2 others"))
    }).pipe(withCircuits))
})

describe("register", () => {
  // migration: HealthMonitor.register_check("api_circuit", …)
  it.effect("adds a check until its scope closes", () =>
    Effect.gen(function*() {
      const monitor = yield* make({ checks: { database: Effect.void } })
      const { at, run } = recorded(Effect.fail("down"))
      yield* Effect.scoped(Effect.gen(function*() {
        yield* monitor.register("plugin", run)
        yield* TestClock.adjust("30 seconds")
        assert.deepStrictEqual(at, [0, 30])
        assert.strictEqual((yield* monitor.latest).status, "unhealthy")
      }))
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(at, [0, 30])
      assert.deepStrictEqual((yield* monitor.latest).checks.map((check) => check.name), ["database"])
      assert.strictEqual((yield* monitor.latest).status, "healthy")
    }).pipe(withCircuits))

  it.effect("interrupts the run that goes on when its scope closes, and waits for its finalizers", () =>
    Effect.gen(function*() {
      const monitor = yield* make()
      const log: Array<string> = []
      const check = Effect.never.pipe(
        Effect.ensuring(Effect.andThen(Effect.yieldNow, Effect.sync(() => log.push("finalized"))))
      )
      yield* Effect.scoped(Effect.andThen(monitor.register("plugin", check), settle))
      assert.deepStrictEqual(log, ["finalized"])
    }).pipe(withCircuits))

  it.effect("refuses a name that is taken, and takes it once it is free", () =>
    Effect.gen(function*() {
      const monitor = yield* make({ checks: { database: Effect.void } })
      const error = yield* Effect.flip(monitor.register("database", Effect.void))
      assert.instanceOf(error, HealthMonitor.DuplicateCheckError)
      assert.strictEqual(
        error.message,
        "Check \"database\" is registered already; close the scope it was registered in first, or use another name"
      )
      yield* Effect.scoped(monitor.register("plugin", Effect.void))
      yield* monitor.register("plugin", Effect.void)
      assert.instanceOf(yield* Effect.flip(monitor.register("plugin", Effect.void)), HealthMonitor.DuplicateCheckError)
      // The one that was refused took nothing with it.
      assert.deepStrictEqual((yield* monitor.latest).checks.map((check) => check.name), ["database", "plugin"])
    }).pipe(withCircuits))

  it.effect("lets go whoever waits for a check that goes away", () =>
    Effect.gen(function*() {
      const monitor = yield* make({ checks: { database: Effect.void } })
      const scope = yield* Scope.make()
      yield* Scope.provide(monitor.register("plugin", Effect.never), scope)
      const all = yield* Effect.forkChild(monitor.checkAll, { startImmediately: true })
      const one = yield* Effect.forkChild(Effect.flip(monitor.check("plugin")), { startImmediately: true })
      yield* settle
      yield* Scope.close(scope, Exit.void)

      assert.strictEqual((yield* Fiber.join(all)).status, "healthy")
      assert.instanceOf(yield* Fiber.join(one), HealthMonitor.UnknownCheckError)
    }).pipe(withCircuits))

  it.effect("gives a check a scope that closes with each run", () =>
    Effect.gen(function*() {
      let open = 0
      const connection = Effect.acquireRelease(Effect.sync(() => open++), () => Effect.sync(() => open--))
      const monitor = yield* make({ checks: { database: Effect.asVoid(connection) } })
      yield* monitor.register("plugin", { check: Effect.andThen(connection, Effect.fail("down")) })
      yield* repeat(monitor.checkAll, 10)
      assert.strictEqual(open, 0)
    }).pipe(withCircuits))
})

describe("circuits of the registry", () => {
  const open = (name: string) =>
    Effect.gen(function*() {
      const registry = yield* Registry
      yield* fail(yield* registry.getOrCreate(name))
    })

  it.effect("are in the report by themselves, also those made later, and not once they are removed", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      yield* registry.getOrCreate("a")
      const monitor = yield* make({ checks: { database: Effect.void } })
      yield* open("b")
      assert.deepStrictEqual((yield* monitor.latest).checks.map(({ name, status }) => `${name} ${status}`), [
        "database healthy",
        "a healthy",
        "b unhealthy"
      ])
      yield* registry.remove("b")
      assert.strictEqual((yield* monitor.latest).status, "healthy")
    }).pipe(withCircuits))

  it.effect("are left out if circuits is false, or if it says so of their name", () =>
    Effect.gen(function*() {
      yield* open("tenant-1")
      yield* open("payment-api")
      const none = yield* make({ circuits: false })
      const some = yield* make({ circuits: (name) => !name.startsWith("tenant-") })
      const named = yield* make({ circuits: false, checks: { "payment-api": Effect.void } })
      assert.deepStrictEqual((yield* none.latest).checks, [])
      assert.strictEqual((yield* named.checkAll).status, "healthy")
      assert.deepStrictEqual((yield* some.latest).checks.map((check) => check.name), ["payment-api"])
      assert.instanceOf(yield* Effect.flip(some.check("tenant-1")), HealthMonitor.UnknownCheckError)
    }).pipe(withCircuits))

  it.effect("are in, and can be made, though what chooses them throws", () =>
    Effect.gen(function*() {
      const monitor = yield* make({
        circuits: () => {
          throw new Error("oops")
        }
      })
      yield* open("payment-api")
      assert.strictEqual(yield* monitor.status, "unhealthy")
    }).pipe(withCircuits))

  it.effect("are shown with the check of their name", () =>
    Effect.gen(function*() {
      yield* open("database")
      const monitor = yield* make({ checks: { database: Effect.fail("refused") } })
      const report = yield* monitor.checkAll
      assert.strictEqual(report.checks.length, 1)
      assert.deepStrictEqual(messages(report.checks[0]!), ["refused", "circuit is open, retry after 10s"])
      assert.strictEqual(report.checks[0]!.circuit?.state, "Open")
    }).pipe(withCircuits))

  it.effect("are shown with the check that names them, whatever circuits says", () =>
    Effect.gen(function*() {
      yield* open("payment-api")
      for (const circuits of [true, false]) {
        const monitor = yield* make({ circuits, checks: { payments: { circuit: "payment-api" } } })
        const report = yield* monitor.checkAll
        assert.deepStrictEqual(report.checks.map((check) => check.name), ["payments"])
        assert.deepStrictEqual(messages(report.checks[0]!), ["circuit \"payment-api\" is open, retry after 10s"])
        assert.isUndefined(report.checks[0]!.checkedAt)
      }
    }).pipe(withCircuits))

  it.effect("are shown once, whether a check has their name or themselves", () =>
    Effect.gen(function*() {
      yield* open("payment-api")
      const breaker = yield* (yield* Registry).getOrCreate("payment-api")
      for (
        const checks of [
          { "payment-api": { circuit: breaker } },
          { payments: { circuit: breaker } },
          { "payment-api": { circuit: "payment-api" } },
          { "payment-api": { probe: Effect.void } }
        ]
      ) {
        const { checks: [check, ...others] } = yield* (yield* make({ checks })).latest
        assert.deepStrictEqual(others, [])
        assert.strictEqual(check?.reasons.length, 1)
      }
    }).pipe(withCircuits))

  it.effect("know a circuit by a handle of one that was forgotten, whose name another one has now", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      const forgotten = yield* registry.getOrCreate("payment-api")
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(yield* registry.names, [])
      const successor = yield* registry.getOrCreate("payment-api")
      assert.notStrictEqual(successor, forgotten)
      yield* fail(successor)

      for (const name of ["payment-api", "payments"]) {
        const { checks } = yield* Effect.scoped(
          Effect.flatMap(make({ checks: { [name]: { circuit: forgotten } } }), ({ latest }) => latest)
        )
        assert.deepStrictEqual(checks.map((check) => check.name), [name])
        assert.deepStrictEqual(codes(checks[0]!), ["CircuitOpen"])
      }
    }).pipe(withCircuits))

  it.effect("are never hidden by a check of their name that names another", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      yield* registry.getOrCreate("b")
      yield* open("a")
      const monitor = yield* make({ checks: { a: { circuit: "b" } } })
      const report = yield* monitor.latest
      assert.deepStrictEqual(messages(find(report, "a")), ["circuit is open, retry after 10s"])
      assert.strictEqual(report.status, "unhealthy")
    }).pipe(withCircuits))

  it.effect("that are not there yet are no reason", () =>
    Effect.gen(function*() {
      const monitor = yield* make({ checks: { payments: { circuit: "payment-api", probe: Effect.void } } })
      const report = yield* monitor.checkAll
      assert.strictEqual(report.status, "healthy")
      assert.isUndefined(find(report, "payments").circuit)
      assert.deepStrictEqual(yield* (yield* Registry).names, [])
    }).pipe(withCircuits))

  it.effect("are forgotten when idle though a monitor reads them", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      yield* succeed(yield* registry.getOrCreate("tenant-1"))
      const monitor = yield* make({ checks: { "tenant-1": { probe: Effect.void } } })
      for (let i = 0; i < 61; i++) {
        yield* monitor.latest
        yield* TestClock.adjust("1 minute")
      }
      assert.deepStrictEqual(yield* registry.names, [])
    }).pipe(withCircuits))

  it.effect("a circuit that is in no registry is shown by a check that has it", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "own", policy: CircuitPolicy.make(touchy) })
      const monitor = yield* make({ checks: { own: { circuit: breaker } } })
      yield* fail(breaker)
      assert.deepStrictEqual(messages(find(yield* monitor.latest, "own")), ["circuit is open, retry after 10s"])
    }).pipe(withCircuits))
})

describe("a probe", () => {
  const scene = <const C extends HealthMonitor.CheckOptions = {}>(
    effect: Effect.Effect<unknown, unknown>,
    policy: CircuitPolicy.Options = {},
    options?: C
  ) =>
    Effect.gen(function*() {
      const registry = yield* Registry
      const breaker = yield* registry.getOrCreate("payment-api", CircuitPolicy.make({ ...touchy, ...policy }))
      const { at, run } = recorded(effect)
      const monitor = yield* make({ checks: { payments: { circuit: "payment-api", probe: run, ...options } } })
      return { breaker, monitor, at, state: Effect.andThen(settle, breaker.state) }
    })

  it.effect("runs at the end of the open time, and closes the circuit without a user's call", () =>
    Effect.gen(function*() {
      const { at, breaker, monitor, state } = yield* scene(Effect.sleep("1 second"))
      yield* TestClock.adjust("5 seconds")
      yield* fail(breaker)
      yield* TestClock.adjust("9999 millis")
      assert.deepStrictEqual(at, [])
      assert.strictEqual(yield* state, "Open")

      yield* TestClock.adjust("1 milli")
      assert.deepStrictEqual(at, [15])
      assert.strictEqual(yield* state, "HalfOpen")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* state, "Closed")

      const { lastProbe, status } = find(yield* monitor.latest, "payments")
      assert.strictEqual(status, "healthy")
      assert.strictEqual(lastProbe?.endedAt.epochMilliseconds, 16_000)
      assert.deepStrictEqual(lastProbe?.duration, Duration.seconds(1))
      assert.doesNotHaveAnyKeys(lastProbe, ["error"])
    }).pipe(withCircuits))

  it.effect("leaves a circuit alone that ramps up", () =>
    Effect.gen(function*() {
      const { at, breaker, state } = yield* scene(Effect.sleep("1 second"), {
        recovery: { duration: "20 seconds", initial: 1 }
      })
      yield* fail(breaker)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(at, [10])
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* state, "HalfOpen")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* state, "Closed")
      assert.deepStrictEqual(at, [10])
    }).pipe(withCircuits))

  it.effect("does not run while the circuit is closed, disabled, only counting or forced open", () =>
    Effect.gen(function*() {
      const { at, breaker } = yield* scene(Effect.void)
      for (
        const move of [Effect.void, breaker.disable, breaker.metricsOnly, breaker.forceOpen(), breaker.forceClose]
      ) {
        yield* move
        yield* TestClock.adjust("10 minutes")
      }
      assert.deepStrictEqual(at, [])
      assert.strictEqual((yield* breaker.metrics).totalCalls, 0)
    }).pipe(withCircuits))

  it.effect("runs as often as it takes to close the circuit, one after the other, and then no more", () =>
    Effect.gen(function*() {
      const { at, breaker, state } = yield* scene(Effect.sleep("1 second"), {
        successThreshold: 3,
        halfOpenMaxCalls: 3
      })
      yield* fail(breaker)
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(at, [10, 11, 12])
      assert.strictEqual(yield* state, "Closed")
      assert.strictEqual((yield* breaker.metrics).totalCalls, 4)
    }).pipe(withCircuits))

  it.effect("that fails opens the circuit again, and the next waits for the longer open time", () =>
    Effect.gen(function*() {
      const { at, breaker, monitor } = yield* scene(Effect.fail("refused"), {
        openDuration: CircuitPolicy.exponential({ initial: "10 seconds" })
      })
      yield* fail(breaker)
      yield* TestClock.adjust("69 seconds")
      assert.deepStrictEqual(at, [10, 30])
      const payments = find(yield* monitor.latest, "payments")
      assert.strictEqual(payments.lastProbe?.error, "refused")
      assert.deepStrictEqual(messages(payments), ["circuit \"payment-api\" is open, retry after 1s"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(at, [10, 30, 70])
    }).pipe(withCircuits))

  it.effect("that takes too long has failed", () =>
    Effect.gen(function*() {
      const { at, breaker, monitor, state } = yield* scene(Effect.never, {}, { timeout: "2 seconds" })
      yield* fail(breaker)
      yield* TestClock.adjust("12 seconds")
      assert.deepStrictEqual(at, [10])
      assert.strictEqual(yield* state, "Open")
      const { lastProbe } = find(yield* monitor.latest, "payments")
      assert.strictEqual(lastProbe?.error, "probe did not complete within 2s")
    }).pipe(withCircuits))

  it.effect("that ignores its interruption gives its place back, and is not started again", () =>
    Effect.gen(function*() {
      const { most, run, runs } = gate()
      const { at, breaker, state } = yield* scene(Effect.uninterruptible(run))
      yield* fail(breaker)
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(at, [10])
      assert.strictEqual((yield* breaker.metrics).probesInFlight, 0)
      // A user's call may find out meanwhile.
      assert.strictEqual(yield* call(breaker, Effect.succeed("ok")), "ok")
      assert.strictEqual(yield* state, "Closed")
      yield* Deferred.succeed(runs[0]!, true)
      assert.strictEqual(most(), 1)
    }).pipe(withCircuits))

  it.effect("takes no place that the circuit does not have", () =>
    Effect.gen(function*() {
      const { at, breaker, state } = yield* scene(Effect.void, { halfOpenMaxCalls: 1, halfOpenTimeout: "1 hour" })
      yield* fail(breaker)
      // A user's call is there first.
      yield* breaker.forceOpen({ duration: 0 })
      const user = yield* hold(breaker)
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(at, [])
      assert.strictEqual((yield* breaker.metrics).rejectedCalls, 0)

      yield* user.interrupt
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(at.length, 1)
      assert.strictEqual(yield* state, "Closed")
    }).pipe(withCircuits))

  it.effect("that the circuit turns away after all does not run, and is tried again after the interval", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "own", policy: CircuitPolicy.make(touchy) })
      let turnedAway = 0
      const full: CircuitBreaker.CircuitBreaker = Object.create(breaker, {
        execute: {
          value: (self: Effect.Effect<unknown>) =>
            turnedAway++ === 0 ? Effect.die("another call was faster") : breaker.execute(self)
        }
      })
      const { at, run } = recorded(Effect.void)
      const monitor = yield* make({ checks: { own: { circuit: full, probe: run } } })
      yield* fail(breaker)

      yield* TestClock.adjust("39999 millis")
      assert.deepStrictEqual([turnedAway, at], [1, []])
      assert.isUndefined(find(yield* monitor.latest, "own").lastProbe)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(at.length, 1)
      assert.strictEqual(yield* breaker.state, "Closed")
    }).pipe(withCircuits))

  it.effect("never runs twice at once, however many places there are", () =>
    Effect.gen(function*() {
      const { most, run, runs } = gate()
      const { breaker, state } = yield* scene(run, { halfOpenMaxCalls: 10, successThreshold: 3 })
      yield* fail(breaker)
      yield* TestClock.adjust("10 seconds")
      for (let i = 0; i < 3; i++) {
        yield* settle
        assert.strictEqual((yield* breaker.metrics).probesInFlight, 1)
        yield* Deferred.succeed(runs[i]!, true)
      }
      assert.strictEqual(yield* state, "Closed")
      assert.strictEqual(most(), 1)
    }).pipe(withCircuits))

  it.effect("that does not count, since a classifier ignores it, waits for the interval", () =>
    Effect.gen(function*() {
      const { at, breaker } = yield* scene(Effect.fail("ignored"), {
        classify: (exit) =>
          Exit.isFailure(exit) && Cause.squash(exit.cause) === "ignored" ? Outcome.ignored : Outcome.classify(exit)
      })
      yield* fail(breaker)
      yield* TestClock.adjust("75 seconds")
      assert.deepStrictEqual(at, [10, 40, 70])
    }).pipe(withCircuits))

  it.effect("that did not count is followed by one at the end of another opening, before the interval is over", () =>
    Effect.gen(function*() {
      const { at, breaker } = yield* scene(Effect.fail("ignored"), {
        classify: (exit) =>
          Exit.isFailure(exit) && Cause.squash(exit.cause) === "ignored" ? Outcome.ignored : Outcome.classify(exit)
      })
      yield* fail(breaker)
      yield* TestClock.adjust("12 seconds")
      yield* breaker.forceClose
      yield* fail(breaker)
      yield* TestClock.adjust("15 seconds")
      assert.deepStrictEqual(at, [10, 22])
    }).pipe(withCircuits))

  it.effect("goes on at once where a share of a sample decides", () =>
    Effect.gen(function*() {
      let n = 0
      const { at, breaker, state } = yield* scene(
        Effect.suspend(() => ++n === 2 ? Effect.fail("once") : Effect.sleep("1 second")),
        { halfOpenSample: { calls: 4, failureRate: 0.5 } }
      )
      yield* fail(breaker)
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(at, [10, 11, 11, 12])
      assert.strictEqual(yield* state, "Closed")
    }).pipe(withCircuits))

  it.effect("runs after a forced opening that ends", () =>
    Effect.gen(function*() {
      const { at, breaker, state } = yield* scene(Effect.void)
      yield* breaker.forceOpen({ duration: "2 minutes" })
      yield* TestClock.adjust("119 seconds")
      assert.deepStrictEqual(at, [])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(at, [120])
      assert.strictEqual(yield* state, "Closed")
    }).pipe(withCircuits))

  it.effect("leaves a circuit alone that closes before its open time ends", () =>
    Effect.gen(function*() {
      const { at, breaker } = yield* scene(Effect.void)
      yield* fail(breaker)
      yield* TestClock.adjust("5 seconds")
      yield* breaker.forceClose
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(at, [])
    }).pipe(withCircuits))

  it.effect("finds the circuit of its name whenever it is made, and made again", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      const { at, run } = recorded(Effect.void)
      yield* make({ interval: "Infinity", checks: { "payment-api": { probe: run } } })
      yield* TestClock.adjust("5 seconds")
      yield* fail(yield* registry.getOrCreate("payment-api"))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(at, [15])

      yield* registry.remove("payment-api")
      yield* TestClock.adjust("5 seconds")
      yield* fail(yield* registry.getOrCreate("payment-api"))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(at, [15, 30])
    }).pipe(withCircuits))

  it.effect("works for a circuit that is excluded", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      const { at, run } = recorded(Effect.void)
      yield* make({
        circuits: false,
        interval: "Infinity",
        checks: { payments: { circuit: "payment-api", probe: run } }
      })
      yield* settle
      yield* fail(yield* registry.getOrCreate("payment-api"))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(at, [10])
    }).pipe(withCircuits))

  it.effect("works for a circuit that is in no registry", () =>
    Effect.gen(function*() {
      const own = yield* CircuitBreaker.make({ name: "own", policy: CircuitPolicy.make(touchy) })
      const { at, run } = recorded(Effect.void)
      yield* make({ interval: "Infinity", checks: { owned: { circuit: own, probe: run } } })
      yield* settle
      yield* fail(own)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(at, [10])
    }).pipe(withCircuits))

  it.effect("runs beside a check, which goes on at its interval past the circuit", () =>
    Effect.gen(function*() {
      const check = recorded(Effect.void)
      const { at, breaker } = yield* scene(Effect.void, {}, { check: check.run })
      yield* fail(breaker)
      yield* TestClock.adjust("65 seconds")
      assert.deepStrictEqual(check.at, [0, 30, 60])
      assert.deepStrictEqual(at, [10])
    }).pipe(withCircuits))

  it.effect("for one circuit delays no other", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      const a = yield* registry.getOrCreate("a")
      const b = yield* registry.getOrCreate("b")
      const slow = recorded(Effect.never)
      const quick = recorded(Effect.void)
      yield* make({ checks: { a: { probe: slow.run }, b: { probe: quick.run } } })
      yield* fail(a)
      yield* TestClock.adjust("11 seconds")
      // While the probe of one is running, the other opens.
      yield* fail(b)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(slow.at, [10])
      assert.deepStrictEqual(quick.at, [21])
    }).pipe(withCircuits))
})

describe("changes", () => {
  it.effect("tell what gets worse or better, and why", () =>
    Effect.gen(function*() {
      let answer: HealthMonitor.Answer = true
      const monitor = yield* make({ checks: { database: Effect.sync(() => answer), other: Effect.void } })
      yield* settle
      const changes = yield* watchChanges(monitor)
      yield* monitor.checkAll
      assert.deepStrictEqual(yield* changes.since, [])

      answer = HealthMonitor.degraded("slow")
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(yield* changes.since, [
        "check database: healthy -> degraded (slow)",
        "system system: healthy -> degraded (database: slow)"
      ])
      answer = false
      yield* TestClock.adjust("30 seconds")
      yield* TestClock.adjust("30 seconds")
      answer = true
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(yield* changes.since, [
        "check database: degraded -> unhealthy (the check answered false)",
        "system system: degraded -> unhealthy (database: the check answered false)",
        "check database: unhealthy -> healthy",
        "system system: unhealthy -> healthy"
      ])
    }).pipe(withCircuits))

  it.effect("say nothing of what has not been checked yet", () =>
    Effect.gen(function*() {
      const monitor = yield* make()
      const changes = yield* watchChanges(monitor)
      yield* monitor.register("good", Effect.sleep("1 second"))
      yield* monitor.register("bad", Effect.andThen(Effect.sleep("2 seconds"), Effect.fail("down")))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* changes.since, [])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* changes.since, [
        "check bad: healthy -> unhealthy (down)",
        "system system: healthy -> unhealthy (bad: down)"
      ])
    }).pipe(withCircuits))

  it.effect("tell of a circuit when it changes its state, and of what time does to it within an interval", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      const monitor = yield* make()
      const changes = yield* watchChanges(monitor)
      const breaker = yield* registry.getOrCreate("payment-api")
      yield* fail(breaker)
      assert.deepStrictEqual(yield* changes.since, [
        "check payment-api: healthy -> unhealthy (circuit is open, retry after 10s)",
        "system system: healthy -> unhealthy (payment-api: circuit is open, retry after 10s)"
      ])
      yield* TestClock.adjust("29 seconds")
      assert.deepStrictEqual(yield* changes.since, [])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* changes.since, [
        "check payment-api: unhealthy -> degraded (circuit is half-open)",
        "system system: unhealthy -> degraded (payment-api: circuit is half-open)"
      ])
      yield* succeed(breaker)
      assert.deepStrictEqual(yield* changes.since, [
        "check payment-api: degraded -> healthy",
        "system system: degraded -> healthy"
      ])
    }).pipe(withCircuits))

  it.effect("cost the call that changes a circuit nothing", () =>
    Effect.gen(function*() {
      let looks = 0
      const registry = yield* Registry
      const breaker = yield* registry.getOrCreate("payment-api")
      const monitor = yield* make({ interval: "Infinity", circuits: () => ++looks > 0 })
      const changes = yield* watchChanges(monitor)
      const during = yield* Effect.sync(() => {
        const before = looks
        Effect.runSync(fail(breaker))
        return looks - before
      })
      assert.strictEqual(during, 0)
      assert.strictEqual((yield* changes.since).length, 2)
    }).pipe(withCircuits))

  it.effect("leave it to the system to tell of a check that goes away", () =>
    Effect.gen(function*() {
      const monitor = yield* make()
      const changes = yield* watchChanges(monitor)
      yield* Effect.scoped(Effect.andThen(monitor.register("plugin", Effect.fail("down")), settle))
      assert.deepStrictEqual(yield* changes.seen, [
        "check plugin: healthy -> unhealthy (down)",
        "system system: healthy -> unhealthy (plugin: down)",
        "system system: unhealthy -> healthy"
      ])
    }).pipe(withCircuits))

  it.effect("end with the monitor", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const monitor = yield* Scope.provide(make(), scope)
      const changes = yield* watchChanges(monitor)
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(changes.fiber)))
      assert.deepStrictEqual(yield* Stream.runCollect(monitor.changes), [])
    }).pipe(withCircuits))

  it.effect("survive JSON", () =>
    Effect.gen(function*() {
      const monitor = yield* make()
      const first = yield* Effect.forkChild(Stream.runHead(monitor.changes), { startImmediately: true })
      yield* settle
      yield* TestClock.adjust("1 second")
      yield* monitor.register("plugin", Effect.fail("down"))
      const change = yield* Effect.fromOption(yield* Fiber.join(first))
      const codec = Schema.toCodecJson(HealthMonitor.StatusChanged)
      const json = JSON.parse(JSON.stringify(yield* Schema.encodeEffect(codec)(change)))
      assert.deepStrictEqual(yield* Schema.decodeUnknownEffect(codec)(json), change)
      assert.strictEqual(change.timestamp, 1000)
    }).pipe(withCircuits))
})

describe("start and stop", () => {
  // migration: HealthMonitor(mcp_client, sdk_client, rest_client, check_interval)
  it.effect("nothing runs once the scope has closed", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      const breaker = yield* registry.getOrCreate("payment-api")
      const scope = yield* Scope.make()
      const check = recorded(Effect.void)
      const probe = recorded(Effect.void)
      const stuck = gate()
      const monitor = yield* Scope.provide(
        make({
          checks: { check: check.run, stuck: stuck.run, payments: { circuit: "payment-api", probe: probe.run } }
        }),
        scope
      )
      yield* fail(breaker)
      yield* settle
      assert.strictEqual(stuck.running(), 1)
      const waiting = yield* Effect.forkChild(monitor.checkAll, { startImmediately: true })
      const one = yield* Effect.forkChild(monitor.check("stuck"), { startImmediately: true })
      yield* settle

      yield* Scope.close(scope, Exit.void)

      assert.strictEqual(stuck.running(), 0)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(waiting)))
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(one)))
      const runs = [check.at.length, probe.at.length, stuck.runs.length]
      yield* TestClock.adjust("10 minutes")
      const questions = [monitor.checkAll, monitor.check("check"), Effect.scoped(monitor.register("x", check.run))]
      for (const question of questions) {
        assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(Effect.asVoid<unknown, unknown, never>(question))))
      }
      assert.deepStrictEqual([check.at.length, probe.at.length, stuck.runs.length], runs)
      assert.strictEqual(yield* breaker.state, "HalfOpen")
    }).pipe(withCircuits))

  it.effect("closing waits for the finalizers of checks, all at once", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      let finalized = 0
      const slow = Effect.ensuring(
        Effect.never,
        Effect.andThen(Effect.sleep("1 second"), Effect.sync(() => finalized++))
      )
      yield* Scope.provide(make({ checks: { a: slow, b: slow, c: slow } }), scope)
      yield* settle
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("1 milli")
      assert.isDefined(closing.pollUnsafe())
      assert.strictEqual(finalized, 3)
    }).pipe(withCircuits))

  it.effect("checks of other scopes end with the monitor", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const monitor = yield* Scope.provide(make(), scope)
      const { run, running } = gate()
      yield* monitor.register("plugin", run)
      yield* settle
      assert.strictEqual(running(), 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(running(), 0)
    }).pipe(withCircuits))

  it("leaves no fiber, no timer and no observer behind", () => {
    const machine = new Machine()
    const exit = machine.run(
      Effect.gen(function*() {
        const registry = yield* Registry
        const breaker = yield* registry.getOrCreate("payment-api")
        const own = yield* CircuitBreaker.make({ name: "own" })
        yield* Effect.scoped(Effect.gen(function*() {
          const monitor = yield* HealthMonitor.make({
            checks: {
              quick: Effect.void,
              stuck: Effect.never,
              payments: { circuit: "payment-api", probe: Effect.never },
              own: { circuit: own, probe: Effect.never }
            }
          })
          yield* fail(breaker)
          yield* Effect.forkScoped(Stream.runDrain(monitor.changes))
          yield* Effect.sleep("12 seconds")
        }))
        assert.deepStrictEqual(observers(breaker), [])
        assert.deepStrictEqual(observers(own), [])
        return (yield* breaker.metrics).callsInFlight
      }).pipe(withCircuits)
    )
    while (exit.pollUnsafe() === undefined && (machine.step() || machine.tick()));

    assert.deepStrictEqual(exit.pollUnsafe(), Exit.succeed(0))
    machine.settle()
    assert.strictEqual(machine.sleeps.length, 0)
    assert.strictEqual(machine.tasks.length, 0)
  })

  it.effect("circuits are let go that the registry forgets, or makes after the end", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      const scope = yield* Scope.make()
      yield* Scope.provide(make(), scope)
      const removed = yield* registry.getOrCreate("removed")
      assert.strictEqual(observers(removed).length, 1)
      yield* registry.remove("removed")
      assert.deepStrictEqual(observers(removed), [])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(observers(yield* registry.getOrCreate("later")), [])
    }).pipe(withCircuits))

  it.effect("a circuit that no check shows is not looked at, whenever it is made", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      yield* make({ circuits: false, checks: { payments: { circuit: "payment-api" } } })
      assert.deepStrictEqual(observers(yield* registry.getOrCreate("other")), [])
      assert.strictEqual(observers(yield* registry.getOrCreate("payment-api")).length, 1)
    }).pipe(withCircuits))

  it.effect("a circuit is looked at that has the name of a forgotten one, whose handle a check has", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      const forgotten = yield* registry.getOrCreate("payment-api")
      yield* make({ circuits: false, checks: { a: { circuit: forgotten } } })
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(yield* registry.names, [])
      assert.strictEqual(observers(yield* registry.getOrCreate("payment-api")).length, 1)

      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(yield* registry.names, [])
      yield* forgotten.reset
      assert.strictEqual(observers(forgotten).length, 1)
    }).pipe(withCircuits))

  it.effect("a circuit is looked at that had the name of a forgotten one before a check has its handle", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      const forgotten = yield* registry.getOrCreate("payment-api")
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(yield* registry.names, [])
      const successor = yield* registry.getOrCreate("payment-api")
      yield* make({ circuits: false, checks: { a: { circuit: forgotten } } })
      assert.strictEqual(observers(successor).length, 1)
    }).pipe(withCircuits))

  it.effect("a circuit of its own that a check had is let go with the check", () =>
    Effect.gen(function*() {
      const monitor = yield* make()
      const own = yield* CircuitBreaker.make({ name: "own" })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* monitor.register("own", { circuit: own })
        assert.strictEqual(observers(own).length, 1)
      }))
      assert.deepStrictEqual(observers(own), [])
    }).pipe(withCircuits))
})

const observers = (breaker: CircuitBreaker.CircuitBreaker) =>
  (isKnown(breaker) ? breaker.breaker : assert.fail("is another kind of circuit")).journal.observers

describe("interruption", () => {
  const subject = (use: (monitor: HealthMonitor.HealthMonitor) => Effect.Effect<void, unknown, Scope.Scope>) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        CircuitBreakerRegistry.layer({ defaults: CircuitPolicy.make(touchy) }),
        scope
      )
      let running = 0
      let most = 0
      const steps = counted(Effect.andThen(Effect.sleep(5), Effect.sync(() => 0)), (by) => {
        running += by
        most = Math.max(most, running)
      })
      const program = Effect.gen(function*() {
        const breaker = yield* (yield* Registry).getOrCreate("payment-api")
        yield* breaker.forceOpen({ duration: 3 })
        const monitor = yield* HealthMonitor.make({
          interval: 20,
          checks: { payments: { circuit: "payment-api", probe: Effect.asVoid(steps) } }
        })
        yield* monitor.register("plugin", Effect.asVoid(steps))
        yield* use(monitor)
      })
      const registry = Context.get(context, Registry)
      return {
        run: program.pipe(Effect.scoped, Effect.provide(context)),
        running: () => running,
        most: () => most,
        breaker: () => findCircuit(registry, "payment-api")
      }
    })
  const uses = {
    "check": (monitor: HealthMonitor.HealthMonitor) => Effect.asVoid(monitor.check("plugin")),
    "checkAll": (monitor: HealthMonitor.HealthMonitor) => Effect.asVoid(monitor.checkAll),
    "changes": (monitor: HealthMonitor.HealthMonitor) =>
      Effect.asVoid(Stream.runHead(monitor.changes).pipe(Effect.timeoutOption(30))),
    "register": (monitor: HealthMonitor.HealthMonitor) =>
      Effect.scoped(Effect.andThen(monitor.register("other", Effect.never), Effect.sleep(1)))
  }
  for (const [name, use] of Object.entries(uses)) {
    sweep(
      `${name} leaks nothing wherever it is interrupted`,
      subject(use),
      ({ breaker, most, running }, { machine }) => {
        assert.strictEqual(running(), 0, "something runs")
        assert.isAtMost(most(), 2, "one run of each at once")
        assert.strictEqual(machine.sleeps.length, 0, "a timer is left")
        assert.strictEqual(machine.tasks.length, 0, "a task is left")
        const circuit = breaker()
        if (circuit === undefined) return
        const metrics: CircuitMetrics.CircuitMetrics = Effect.runSync(circuit.metrics)
        assert.strictEqual(metrics.callsInFlight, 0)
        assert.strictEqual(metrics.probesInFlight, 0)
        assert.deepStrictEqual(observers(circuit), [])
      }
    )
  }

  it.effect("of a caller anywhere leaves the run to the others", () =>
    Effect.gen(function*() {
      const { most, run, runs } = gate()
      const monitor = yield* make({ interval: "Infinity", checks: { database: run } })
      yield* Deferred.succeed(runs[0]!, true)
      const places = yield* interruptEverywhere(monitor.check("database"), () =>
        Effect.gen(function*() {
          const last = runs.at(-1)!
          yield* Deferred.succeed(last, true)
          yield* settle
          assert.strictEqual(most(), 1)
          const before = runs.length
          const again = yield* Effect.forkChild(monitor.check("database"), { startImmediately: true })
          yield* settle
          assert.strictEqual(runs.length, before + 1)
          yield* Deferred.succeed(runs.at(-1)!, true)
          assert.strictEqual((yield* Effect.orDie(Fiber.join(again))).status, "healthy")
        }))
      assert.isAbove(places, 3)
    }).pipe(withCircuits))

  it("one run of a check at once, and none after the end, in any order of events", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = seeded(seed)
      const machine = new Machine()
      machine.pick = (n) => Math.floor(random() * n)
      machine.pausesAt = () => random() < 0.2
      const running = [0, 0, 0]
      let ended = false
      const check = (i: number) =>
        counted(
          Effect.andThen(Effect.sleep(Math.floor(random() * 12)), random() < 0.3 ? Effect.fail("down") : Effect.void),
          (by) => {
            running[i]! += by
            assert.isAtMost(running[i]!, 1, `seed ${seed}`)
            assert.isFalse(ended && by === 1, `seed ${seed}: started after the end`)
          }
        )
      const program = Effect.gen(function*() {
        const monitor = yield* HealthMonitor.make({
          interval: 10,
          jitter: 1,
          concurrency: 2,
          checks: { a: { check: check(0), timeout: 8 }, b: check(1) }
        })
        const breaker = yield* (yield* Registry).getOrCreate("payment-api")
        const act = Effect.suspend((): Effect.Effect<unknown, unknown> => {
          switch (Math.floor(random() * 6)) {
            case 0:
              return monitor.checkAll
            case 1:
              return monitor.check("a")
            case 2:
              return Effect.timeoutOption(monitor.check("b"), 2)
            case 3:
              return Effect.scoped(Effect.andThen(monitor.register("c", check(2)), Effect.sleep(random() * 9)))
            case 4:
              return fail(breaker)
            default:
              return Effect.sleep(random() * 9)
          }
        })
        yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.ignore(act), { concurrency: 3, discard: true })
      })
      const fiber = machine.run(Effect.scoped(program).pipe(withCircuits))
      while (fiber.pollUnsafe() === undefined && (machine.step() || machine.tick()));
      ended = true
      assert.deepStrictEqual(fiber.pollUnsafe(), Exit.void, `seed ${seed}`)
      assert.deepStrictEqual(running, [0, 0, 0], `seed ${seed}`)
      machine.settle()
      assert.strictEqual(machine.sleeps.length, 0, `seed ${seed}`)
    }
  })
})

describe("layerConfig", () => {
  const runs = (env: Record<string, string>, interval?: Duration.Input) =>
    Effect.gen(function*() {
      const { at, run } = recorded(Effect.void)
      yield* Effect.gen(function*() {
        yield* HealthMonitor.HealthMonitor
        yield* TestClock.adjust("60 seconds")
      }).pipe(
        Effect.provide(
          HealthMonitor.layerConfig({ jitter: 0, interval, checks: { database: run } }).pipe(
            Layer.provide([Circuits, ConfigProvider.layer(ConfigProvider.fromEnv({ env }))])
          )
        )
      )
      const start = at[0]!
      return at.map((time) => time - start)
    })

  // migration: HEALTH_CHECK_INTERVAL
  it.effect("takes the interval from HEALTH_CHECK_INTERVAL, over that of the code", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* runs({ HEALTH_CHECK_INTERVAL: "20" }), [0, 20, 40, 60])
      assert.deepStrictEqual(yield* runs({ HEALTH_CHECK_INTERVAL: "40 seconds" }, "5 seconds"), [0, 40])
    }))

  it.effect("takes that of the code, or 30 seconds, if it is not set", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* runs({}, "15 seconds"), [0, 15, 30, 45, 60])
      assert.deepStrictEqual(yield* runs({}), [0, 30, 60])
    }))

  it.effect("fails on a value that is none", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(runs({ HEALTH_CHECK_INTERVAL: "often" }))
      assert.isTrue(error.cause.message.startsWith("HEALTH_CHECK_INTERVAL=\"often\" must be"))
    }))
})

describe("options", () => {
  const check = Effect.void
  const cases: ReadonlyArray<readonly [HealthMonitor.Options<Record<string, HealthMonitor.Check>>, string]> = [
    [{ failureThreshold: 0 }, "HealthMonitor.make: failureThreshold must be an integer >= 1, got 0"],
    [{ successThreshold: 1.5 }, "HealthMonitor.make: successThreshold must be an integer >= 1, got 1.5"],
    [
      { checks: { database: { check: Effect.void, failureThreshold: -1 } } },
      "HealthMonitor.make: checks.database.failureThreshold must be an integer >= 1, got -1"
    ],
    [{ interval: 0 }, "HealthMonitor.make: interval must be a duration above zero such as \"5 seconds\", got 0"],
    [{ jitter: 1.5 }, "HealthMonitor.make: jitter must be a number from 0 to 1, got 1.5"],
    [{ concurrency: 0 }, "HealthMonitor.make: concurrency must be an integer >= 1, got 0"],
    [
      { checks: { database: { check, interval: "soon" as Duration.Input } } },
      "HealthMonitor.make: checks.database.interval must be a duration above zero such as \"5 seconds\", got \"soon\""
    ],
    [
      { checks: { database: { check, timeout: "Infinity" } } },
      "HealthMonitor.make: checks.database.timeout must be a finite duration above zero such as \"5 seconds\", got \"Infinity\""
    ],
    [
      { checks: { database: { critical: true } } },
      "HealthMonitor.make: checks.database must be an effect, or have a check, a probe or a circuit, got none of them"
    ]
  ]
  for (const [options, message] of cases) {
    it(message, () => {
      expect(() => HealthMonitor.make(options)).toThrow(new RangeError(message))
      expect(() => HealthMonitor.layer(options)).toThrow(RangeError)
      expect(() => HealthMonitor.layerConfig(options)).toThrow(RangeError)
    })
  }

  it.effect("of register are checked where it is called", () =>
    Effect.gen(function*() {
      const monitor = yield* make()
      expect(() => monitor.register("database", { check, timeout: -1 })).toThrow(
        new RangeError(
          "HealthMonitor.register: check.timeout must be a finite duration above zero such as \"5 seconds\", got -1"
        )
      )
    }).pipe(withCircuits))

  it("are checked by their types", () => {
    class Database extends Context.Service<Database, {}>()("Database") {}
    class Cache extends Context.Service<Cache, {}>()("Cache") {}
    const checks = {
      database: Effect.asVoid(Database),
      cache: { check: Effect.asVoid(Cache), probe: Effect.scope }
    }
    type Registry = CircuitBreakerRegistry.CircuitBreakerRegistry
    expectTypeOf(HealthMonitor.layer({ checks })).toEqualTypeOf<
      Layer.Layer<HealthMonitor.HealthMonitor, never, Registry | Database | Cache>
    >()
    expectTypeOf(HealthMonitor.layer({ checks: { payments: { circuit: "payment-api" } } })).toEqualTypeOf<
      Layer.Layer<HealthMonitor.HealthMonitor, never, Registry>
    >()
    expectTypeOf(HealthMonitor.layer()).toEqualTypeOf<Layer.Layer<HealthMonitor.HealthMonitor, never, Registry>>()
    expectTypeOf(HealthMonitor.layerConfig()).toEqualTypeOf<
      Layer.Layer<HealthMonitor.HealthMonitor, Config.ConfigError, Registry>
    >()
    expectTypeOf(HealthMonitor.make({ checks })).toEqualTypeOf<
      Effect.Effect<HealthMonitor.HealthMonitor, never, Registry | Database | Cache | Scope.Scope>
    >()
    const register = (monitor: HealthMonitor.HealthMonitor) => monitor.register("database", checks.database)
    expectTypeOf(register).returns.toEqualTypeOf<
      Effect.Effect<void, HealthMonitor.DuplicateCheckError, Database | Scope.Scope>
    >()
    // @ts-expect-error a number is no answer
    HealthMonitor.layer({ checks: { rows: Effect.succeed(1) } })
    // @ts-expect-error a status that there is not
    expectTypeOf<{ status: "fine"; reason: "" }>().toExtend<HealthMonitor.Answer>()
  })
})

describe("forms", () => {
  const report = Effect.gen(function*() {
    const registry = yield* Registry
    yield* fail(yield* registry.getOrCreate("kafka"))
    yield* registry.getOrCreate("database")
    const monitor = yield* make({
      checks: {
        database: Effect.andThen(Effect.sleep("3 millis"), Effect.succeed(HealthMonitor.degraded("slow"))),
        payments: { circuit: "payment-api", probe: Effect.fail("refused"), critical: false }
      }
    })
    const payments = yield* registry.getOrCreate(
      "payment-api",
      CircuitPolicy.make({ ...touchy, openDuration: "4 seconds" })
    )
    yield* fail(payments)
    yield* TestClock.adjust("4 seconds")
    yield* settle
    return { report: yield* monitor.latest, monitor }
  })

  // migration: /health/detailed | get_health_status()
  it.effect("JSON has the names of the older systems", () =>
    Effect.gen(function*() {
      const json = HealthReport.toJson((yield* report).report)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(json)), {
        status: "unhealthy",
        all_healthy: false,
        timestamp: "1970-01-01T00:00:04.000Z",
        reasons: [
          "kafka: circuit is open, retry after 6s",
          "database: slow",
          "payments: circuit \"payment-api\" is open, retry after 4s"
        ],
        checks: {
          database: {
            status: "degraded",
            healthy: false,
            critical: true,
            reasons: ["slow"],
            last_check: "1970-01-01T00:00:00.003Z",
            duration_ms: 3,
            circuit_breaker: "closed",
            failure_count: 0,
            error_rate: 0,
            failure_rate: 0,
            last_failure: null,
            time_until_retry: null,
            last_probe: null
          },
          payments: {
            status: "unhealthy",
            healthy: false,
            critical: false,
            reasons: ["circuit \"payment-api\" is open, retry after 4s"],
            last_check: null,
            duration_ms: null,
            circuit_breaker: "open",
            failure_count: 1,
            error_rate: 1,
            failure_rate: 1,
            last_failure: { error: "string", message: "refused" },
            time_until_retry: 4,
            last_probe: { success: false, error: "refused", timestamp: "1970-01-01T00:00:04.000Z", duration_ms: 0 }
          },
          kafka: {
            status: "unhealthy",
            healthy: false,
            critical: true,
            reasons: ["circuit is open, retry after 6s"],
            last_check: null,
            duration_ms: null,
            circuit_breaker: "open",
            failure_count: 1,
            error_rate: 1,
            failure_rate: 1,
            last_failure: { error: "string", message: "down" },
            time_until_retry: 6,
            last_probe: null
          }
        }
      })
    }).pipe(withCircuits))

  it.effect("JSON tells a probe that succeeded from one that failed", () =>
    Effect.gen(function*() {
      const breaker = yield* (yield* Registry).getOrCreate("payment-api", CircuitPolicy.make(touchy))
      const monitor = yield* make({ checks: { payments: { circuit: "payment-api", probe: Effect.void } } })
      yield* fail(breaker)
      yield* TestClock.adjust("10 seconds")
      yield* settle
      assert.deepStrictEqual(HealthReport.checkToJson(find(yield* monitor.latest, "payments")).last_probe, {
        success: true,
        error: null,
        timestamp: "1970-01-01T00:00:10.000Z",
        duration_ms: 0
      })
    }).pipe(withCircuits))

  // migration: status.to_validation_result() | ValidationResult
  it.effect("a validation result has errors and warnings", () =>
    Effect.gen(function*() {
      const { report: all } = yield* report
      assert.deepStrictEqual(HealthReport.toValidationResult(all), {
        valid: false,
        errors: ["kafka: circuit is open, retry after 6s"],
        warnings: ["database: slow", "payments: circuit \"payment-api\" is open, retry after 4s"]
      })
      assert.deepStrictEqual(HealthReport.toValidationResult(find(all, "database")), {
        valid: true,
        errors: [],
        warnings: ["slow"]
      })
      assert.deepStrictEqual(HealthReport.toValidationResult(find(all, "kafka")), {
        valid: false,
        errors: ["circuit is open, retry after 6s"],
        warnings: []
      })
    }).pipe(withCircuits))

  it.effect("a report survives JSON", () =>
    Effect.gen(function*() {
      const { monitor, report: all } = yield* report
      yield* (yield* Registry).getOrCreate("forced").pipe(Effect.flatMap((breaker) => breaker.forceOpen()))
      for (const value of [all, yield* monitor.latest]) {
        const codec = Schema.toCodecJson(HealthReport.HealthReport)
        const json = JSON.parse(JSON.stringify(yield* Schema.encodeEffect(codec)(value)))
        const back = yield* Schema.decodeUnknownEffect(codec)(json)
        assert.deepStrictEqual(HealthReport.toJson(back), HealthReport.toJson(value))
        assert.deepStrictEqual(JSON.parse(JSON.stringify(yield* Schema.encodeEffect(codec)(back))), json)
      }
    }).pipe(withCircuits))

  it.effect("a name that objects have anyway is a name", () =>
    Effect.gen(function*() {
      const monitor = yield* make()
      yield* monitor.register("__proto__", Effect.fail("down"))
      yield* settle
      const json = JSON.stringify(HealthReport.toJson(yield* monitor.latest))
      assert.include(json, "\"__proto__\":{\"status\":\"unhealthy\"")
    }).pipe(withCircuits))
})

describe("a standby tier that has recovered", () => {
  it.effect("does not leave the program degraded for ever, and says why, with a monitor and without", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      const monitor = yield* make()
      const changes = yield* watchChanges(monitor)
      const standby = yield* registry.getOrCreate("tier2_sdk")
      yield* fail(standby)
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(
        (yield* changes.since).at(-1),
        "system system: degraded -> healthy (tier2_sdk: circuit is half-open, and no call has come for 1m 20s)"
      )
      assert.strictEqual((yield* registry.systemStatus).status, "healthy")
      assert.isTrue((yield* monitor.latest).allHealthy)

      // A probe that fails is news again.
      yield* fail(standby)
      assert.strictEqual((yield* registry.systemStatus).status, "unhealthy")
      assert.strictEqual((yield* monitor.latest).status, "unhealthy")
    }).pipe(withCircuits))
})

describe("the thresholds of a check", () => {
  /** A check that answers one letter a run: healthy, degraded, unhealthy. The last goes on. */
  const answering = (letters: string) => {
    let n = 0
    return Effect.suspend(() => {
      const letter = letters[Math.min(n++, letters.length - 1)]
      return letter === "h"
        ? Effect.succeed(HealthMonitor.healthy)
        : letter === "d"
        ? Effect.succeed(HealthMonitor.degraded(`slow in run ${n}`))
        : Effect.fail(`refused in run ${n}`)
    })
  }

  /** The status after each run. */
  const statuses = (letters: string, options: HealthMonitor.CheckOptions, ofMonitor: HealthMonitor.Options = {}) =>
    Effect.gen(function*() {
      const monitor = yield* make({ ...ofMonitor, checks: { database: { check: answering(letters), ...options } } })
      const seen: Array<string> = []
      for (let i = 0; i < letters.length; i++) {
        yield* settle
        seen.push(find(yield* monitor.latest, "database").status[0]!)
        yield* TestClock.adjust("30 seconds")
      }
      return seen.join("")
    }).pipe(Effect.scoped, withCircuits)

  it.effect("are one: every result is reported", () =>
    Effect.map(statuses("huhdhud", {}), (seen) => assert.strictEqual(seen, "huhdhud")))

  it.effect("of failures: the status gets worse after so many worse results in a row", () =>
    Effect.map(
      statuses("huuhuuuu", { failureThreshold: 3 }),
      (seen) => assert.strictEqual(seen, "hhhhhhuu")
    ))

  it.effect("of successes: the status gets better after so many better results in a row", () =>
    Effect.map(
      statuses("uhuhhuhhh", { successThreshold: 2 }),
      (seen) => assert.strictEqual(seen, "uuuuhuuhh")
    ))

  it.effect("count a result for every status that it is at least as bad as", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* statuses("hduu", { failureThreshold: 2 }), "hhdu")
      assert.strictEqual(yield* statuses("udhh", { successThreshold: 2 }), "uudh")
    }))

  it.effect("do not delay the first result", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* statuses("uu", { failureThreshold: 3, successThreshold: 3 }), "uu")
      assert.strictEqual(yield* statuses("hh", { failureThreshold: 3, successThreshold: 3 }), "hh")
    }))

  it.effect("are those of the monitor, unless the check has its own", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* statuses("huuu", {}, { failureThreshold: 2 }), "hhuu")
      assert.strictEqual(yield* statuses("huuu", { failureThreshold: 3 }, { failureThreshold: 2 }), "hhhu")
    }))

  it.effect("show the reasons of the latest result with the reported status", () =>
    Effect.gen(function*() {
      const monitor = yield* make({ checks: { database: { check: answering("uuhu"), successThreshold: 2 } } })
      const reasons = Effect.andThen(settle, Effect.map(monitor.latest, (report) => messages(find(report, "database"))))
      const next = Effect.andThen(TestClock.adjust("30 seconds"), reasons)
      assert.deepStrictEqual(yield* reasons, ["refused in run 1"])
      assert.deepStrictEqual(yield* next, ["refused in run 2"])
      assert.deepStrictEqual(yield* next, ["refused in run 2"])
      assert.deepStrictEqual(yield* next, ["refused in run 4"])
    }).pipe(Effect.scoped, withCircuits))

  it.effect("keep one failed run in three from turning the whole back and forth", () =>
    Effect.gen(function*() {
      let n = 0
      const monitor = yield* make({
        failureThreshold: 2,
        interval: "10 seconds",
        checks: { database: Effect.suspend(() => ++n % 3 === 0 ? Effect.fail("connection reset") : Effect.void) }
      })
      const changes = yield* watchChanges(monitor)
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(yield* changes.seen, [])
    }).pipe(Effect.scoped, withCircuits))
})
