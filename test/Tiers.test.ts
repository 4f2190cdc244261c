import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Context,
  Data,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  ManagedRuntime,
  Ref,
  Result,
  Schedule,
  Schema,
  Scope,
  Stream,
  Tracer
} from "effect"
import { TestClock } from "effect/testing"
import {
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  Outcome,
  ResilienceError,
  Retry,
  RetryBudget,
  Tiers
} from "effect-resilience"
import { expectTypeOf } from "vitest"
import { Recorder } from "../src/internal/telemetry/recorder.ts"
import { watchFlows } from "../src/internal/tiers/flow.ts"
import { Machine } from "./support/machine.ts"

class NotFound extends Data.TaggedError("NotFound")<{ readonly id: string }> {}
class Unavailable extends Data.TaggedError("Unavailable")<{ readonly by: string }> {}
class Busy extends Data.TaggedError("Busy")<{ readonly retryAfter: Duration.Duration }> {}

type Registry = CircuitBreakerRegistry.CircuitBreakerRegistry

const policy = CircuitPolicy.make({ consecutiveFailures: 2, openDuration: "10 seconds", successThreshold: 1 })
const registry = CircuitBreakerRegistry.layer({ defaults: policy })

const down = (by: string) => Effect.fail(new Unavailable({ by }))

const circuit = (name: string) =>
  Effect.flatMap(CircuitBreakerRegistry.CircuitBreakerRegistry, (registry) => registry.getOrCreate(name))
const metrics = (name: string) => Effect.flatMap(circuit(name), (circuit) => circuit.metrics)

/** What became of the tiers before the one that served, as `a failed, b skipped`. */
const story = (attempts: ReadonlyArray<ResilienceError.TierAttempt>) =>
  attempts.map(({ outcome, tier }) => `${tier} ${outcome}`).join(", ")

/** Runs an effect and lets so much time pass meanwhile. */
const during = <A, E, R>(time: Duration.Input, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    yield* TestClock.adjust(time)
    return yield* Fiber.join(fiber)
  })

describe("Tiers.make", () => {
  it.effect("the first tier that serves answers the call, and later ones do not run", () =>
    Effect.gen(function*() {
      const ran = yield* Ref.make<ReadonlyArray<string>>([])
      const run = (name: string) => Tiers.tier(name, Effect.as(Ref.update(ran, (names) => [...names, name]), name))
      const call = Tiers.make("get", [run("a"), run("b")])

      assert.strictEqual(yield* call, "a")
      assert.deepStrictEqual(yield* Ref.get(ran), ["a"])
    }).pipe(Effect.provide(registry)))

  // migration: fall back to cached data | FallbackHandler.execute_with_fallback(tier1, tier2, tier3, operation_name)
  it.effect("a tier that fails, with an error or a defect, hands the call to the next one", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get", [
        Tiers.tier("a", down("a")),
        Tiers.tier("b", Effect.die(new Error("bug"))),
        Tiers.tier("c", Effect.succeed("c"))
      ])

      const [exit, [report]] = yield* Tiers.collect(Effect.exit(call))

      assert.deepStrictEqual(exit, Exit.succeed("c"))
      assert.strictEqual(report!.servedBy, "c")
      assert.strictEqual(story(report!.attempts), "a failed, b failed")
    }).pipe(Effect.provide(registry)))

  // migration: AllTiersFailedError
  it.effect("all failed: AllTiersFailedError has an entry for each tier, with why and how long", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get_account", [
        Tiers.tier("a", Effect.andThen(Effect.sleep("1 second"), down("a"))),
        Tiers.tier("b", Effect.sleep("1 minute"), { timeout: "2 seconds" })
      ])
      const error = yield* during("1 minute", Effect.flip(call))

      assert.strictEqual(error._tag, "AllTiersFailedError")
      assert.strictEqual(
        error.message,
        "No tier could serve get_account: a failed (Unavailable), b failed (an attempt of b did not complete within 2s)"
      )
      assert.deepStrictEqual(error.attempts.map((attempt) => String(attempt.duration)), ["1000 millis", "2000 millis"])
    }).pipe(Effect.provide(registry)))

  it.effect("AllTiersFailedError survives a round trip through its Schema, with the errors inside", () =>
    Effect.gen(function*() {
      yield* (yield* circuit("d")).forceOpen({ duration: "1 minute" })
      const call = Tiers.make("get_account", [
        Tiers.tier("a", down("a")),
        Tiers.tier("b", Effect.die(new Error("bug"))),
        Tiers.tier("c", Effect.never, { timeout: "1 second" }),
        Tiers.tier("d", Effect.void),
        Tiers.tier("e", Effect.fail("plain")),
        Tiers.tier("f", down("f"), { retry: { maxAttempts: 2, baseDelay: 0 } })
      ])
      const error = yield* during("1 second", Effect.flip(call))

      const json = JSON.parse(JSON.stringify(yield* Schema.encodeEffect(ResilienceError.AllTiersFailedError)(error)))
      const decoded = yield* Schema.decodeUnknownEffect(ResilienceError.AllTiersFailedError)(json)

      assert.instanceOf(decoded, ResilienceError.AllTiersFailedError)
      assert.strictEqual(decoded.operation, "get_account")
      assert.strictEqual(story(decoded.attempts), "a failed, b failed, c failed, d skipped, e failed, f failed")
      assert.deepStrictEqual(
        decoded.attempts.map(({ duration }) => duration),
        error.attempts.map(({ duration }) => duration)
      )
      const messages = decoded.attempts.map(({ error }) => error instanceof Error ? error.message : error)
      assert.deepStrictEqual(messages.slice(1), [
        "bug",
        "an attempt of c did not complete within 1s",
        "Circuit \"d\" was forced open, retry after 59s",
        "plain",
        "Gave up after 2 attempts in 0: Unavailable"
      ])
    }).pipe(Effect.provide(registry)))

  it.effect("interrupting the call interrupts the tier that runs, and tries no other", () =>
    Effect.gen(function*() {
      const ran = yield* Ref.make(false)
      const call = Tiers.make("get", [Tiers.tier("a", Effect.never), Tiers.tier("b", Ref.set(ran, true))])
      const fiber = yield* Effect.forkChild(call, { startImmediately: true })
      yield* Fiber.interrupt(fiber)

      assert.isFalse(yield* Ref.get(ran))
      const { callsInFlight, ignoredCalls } = yield* metrics("a")
      assert.deepStrictEqual({ callsInFlight, ignoredCalls }, { callsInFlight: 0, ignoredCalls: 1 })
    }).pipe(Effect.provide(registry)))

  it.effect("a tier that is only interrupted, from inside, ends the call and says nothing of the tier", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get", [Tiers.tier("a", Effect.interrupt), Tiers.tier("b", Effect.succeed("b"))])
      const [exit, reports] = yield* Tiers.collect(Effect.exit(call))

      assert.isTrue(Exit.hasInterrupts(exit))
      assert.deepStrictEqual(reports, [])
      assert.strictEqual((yield* metrics("a")).ignoredCalls, 1)
    }).pipe(Effect.provide(registry)))

  it.effect("a call is a value: every run starts with the first tier", () =>
    Effect.gen(function*() {
      const up = yield* Ref.make(false)
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.flatMap(Ref.get(up), (up) => up ? Effect.succeed("a") : down("a"))),
        Tiers.tier("b", Effect.succeed("b"))
      ])
      assert.strictEqual(yield* call, "b")
      yield* Ref.set(up, true)
      assert.strictEqual(yield* call, "a")
    }).pipe(Effect.provide(registry)))

  it.effect("a tier may be a tiered call", () =>
    Effect.gen(function*() {
      const remote = Tiers.make("remote", [Tiers.tier("mcp", down("mcp")), Tiers.tier("rest", down("rest"))])
      const call = Tiers.make("get", [Tiers.tier("remote", remote), Tiers.tier("local", Effect.succeed("cached"))])
      const [exit, reports] = yield* Tiers.collect(Effect.exit(call))

      assert.deepStrictEqual(exit, Exit.succeed("cached"))
      assert.deepStrictEqual(
        reports.map(({ attempts, operation, servedBy }) => [operation, servedBy, story(attempts)]),
        [
          ["remote", undefined, "mcp failed, rest failed"],
          ["get", "local", "remote failed"]
        ]
      )
      assert.instanceOf(reports[1]!.attempts[0]!.error, ResilienceError.AllTiersFailedError)
    }).pipe(Effect.provide(registry)))

  it.effect(
    "ten thousand failing calls in a row, and one call of a thousand tiers, do not grow the stack",
    () =>
      Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make({ name: "a" })
        yield* breaker.metricsOnly
        const call = Tiers.make("get", [
          Tiers.tier("a", down("a"), { circuit: breaker, retry: { maxAttempts: 2, baseDelay: 0 } }),
          Tiers.tier("b", down("b"), { circuit: breaker })
        ])
        const failures = yield* Effect.reduce(
          Array.from({ length: 10_000 }),
          () => 0,
          (sum) => Effect.match(call, { onFailure: () => sum + 1, onSuccess: () => sum })
        )
        assert.strictEqual(failures, 10_000)

        const [first, ...rest] = Array.from(
          { length: 1000 },
          (_, i) => Tiers.tier(`tier${i}`, down(""), { circuit: breaker })
        )
        const error = yield* Effect.flip(Tiers.make("get", [first!, ...rest]))
        assert.strictEqual(error.attempts.length, 1000)
      }),
    30_000
  )

  it("options out of their range throw a RangeError that names them", () => {
    const tier = Tiers.tier("a", Effect.void)
    const throws = (f: () => unknown, message: RegExp) => {
      assert.throws(f, message)
      assert.throws(f, RangeError)
    }
    throws(
      () => Tiers.make("get", [tier], { deadline: 0 }),
      /Tiers\.make: deadline must be a duration above zero such as "5 seconds", got 0/
    )
    throws(() => Tiers.make("get", [tier], { deadline: -1 }), /deadline must be/)
    throws(() => Tiers.make("get", [tier], { deadline: NaN }), /deadline must be/)
    throws(
      () => Tiers.make("get", [Tiers.tier("a", Effect.void, { timeout: -1 })]),
      /Tiers.tier: timeout must be .* got -1/
    )
    throws(() => Tiers.make("get", [Tiers.tier("a", Effect.void, { timeout: NaN })]), /timeout must be/)
    throws(
      () => Tiers.make("get", [Tiers.tier("a", Effect.void, { retry: { maxAttempts: 0 } })]),
      /Retry\.make: maxAttempts must be an integer >= 1, got 0/
    )
    const bad = (options: { readonly [K in keyof Tiers.TierOptions]?: unknown }) => () =>
      Tiers.tier("a", Effect.void, options as unknown as Tiers.TierOptions)
    throws(bad({ circuit: 5 }), /Tiers\.tier: circuit must be a circuit, the name or the class of one, got 5/)
    throws(bad({ retry: 3 }), /Tiers\.tier: retry must be a retry policy or its options, got 3/)
    throws(bad({ policy: 5 }), /Tiers\.tier: policy must be/)
    throws(
      () => Tiers.make("get", [tier], { isAnswer: true as unknown as () => boolean }),
      /Tiers\.make: isAnswer must be a function, got true/
    )
    const unlike = (tiers: unknown) => () => Tiers.make("get", tiers as [Tiers.Tier<void, never, never>])
    throws(unlike(tier), /Tiers\.make: tiers must be a list of tiers, got \{/)
    throws(
      unlike([tier, Effect.void]),
      /Tiers\.make: tiers\[1\] must be a tier made with Tiers\.tier, got an Effect/
    )
    throws(unlike([["a", Effect.void]]), /Tiers\.make: tiers\[0\] must be a tier made with Tiers\.tier, got \[/)
    // @ts-expect-error no tier at all
    throws(() => Tiers.make("get", []), /Tiers\.make: tiers must be at least one tier, got none/)
    throws(
      () => Tiers.make(3 as unknown as string, [tier]),
      /Tiers\.make: operation must be a string that is not empty, got 3/
    )
    throws(
      () => Tiers.tier(3 as unknown as string, Effect.void),
      /Tiers\.tier: name must be a string that is not empty, got 3/
    )
    const noEffect: unknown = () => Effect.void
    throws(
      () => Tiers.tier("a", noEffect as typeof Effect.void),
      /Tiers\.tier: call must be an effect, got the function/
    )
    throws(() => Tiers.collect(3 as unknown as typeof Effect.void), /Tiers\.collect: call must be an effect, got 3/)
    throws(
      () => Tiers.collect([tier] as unknown as typeof Effect.void),
      /Tiers\.collect: call must be an effect, got \[/
    )
    assert.doesNotThrow(() => Tiers.make("get", [tier], { deadline: "Infinity" }))
  })
})

describe("answers", () => {
  const isNotFound = (error: NotFound | Unavailable): error is NotFound => error._tag === "NotFound"
  const notFound = new NotFound({ id: "1" })
  const missing: Effect.Effect<string, NotFound | Unavailable> = Effect.fail(notFound)

  it.effect("an error that is an answer ends the call, and is a success for the tier's circuit", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get", [
        Tiers.tier("a", missing, { retry: { maxAttempts: 3 } }),
        Tiers.tier("b", Effect.succeed("b"))
      ], { isAnswer: isNotFound })

      const [exit, [report]] = yield* Tiers.collect(Effect.exit(call))

      assert.deepStrictEqual(exit, Exit.fail(notFound))
      assert.strictEqual(report!.servedBy, "a")
      const { successfulCalls, totalCalls } = yield* metrics("a")
      assert.deepStrictEqual({ successfulCalls, totalCalls }, { successfulCalls: 1, totalCalls: 1 })
    }).pipe(Effect.provide(registry)))

  it.effect("an answer closes a circuit that probes", () =>
    Effect.gen(function*() {
      const breaker = yield* circuit("a")
      yield* breaker.forceOpen({ duration: "1 second" })
      yield* TestClock.adjust("1 second")
      yield* Effect.flip(Tiers.make("get", [Tiers.tier("a", missing)], { isAnswer: isNotFound }))
      assert.strictEqual(yield* breaker.state, "Closed")
    }).pipe(Effect.provide(registry)))

  it.effect("the classifier of the circuit is not asked about an answer", () =>
    Effect.gen(function*() {
      const asked: Array<unknown> = []
      const breaker = yield* CircuitBreaker.make({
        name: "a",
        policy: CircuitPolicy.make({
          consecutiveFailures: 1,
          classify: (exit) => {
            asked.push(exit)
            return Outcome.failure()
          }
        })
      })
      yield* Effect.flip(Tiers.make("get", [Tiers.tier("a", missing, { circuit: breaker })], { isAnswer: isNotFound }))

      assert.deepStrictEqual(asked, [])
      assert.strictEqual(yield* breaker.state, "Closed")
      yield* Tiers.make("get", [Tiers.tier("a", Effect.succeed(1), { circuit: breaker })])
      assert.deepStrictEqual(asked, [Exit.succeed(1)])
    }))

  it.effect("a timeout or a rejection is never an answer", () =>
    Effect.gen(function*() {
      yield* (yield* circuit("b")).forceOpen()
      const asked: Array<unknown> = []
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.never, { timeout: "1 second" }),
        Tiers.tier("b", Effect.void),
        Tiers.tier("c", down("c"), { retry: { maxAttempts: 2, baseDelay: 0, budget: undefined } })
      ], {
        isAnswer: (error) => {
          asked.push(error)
          return false
        }
      })
      const error = yield* during("1 second", Effect.flip(call))
      assert.strictEqual(error._tag, "AllTiersFailedError")
      assert.deepStrictEqual(asked, [new Unavailable({ by: "c" }), new Unavailable({ by: "c" })])
    }).pipe(Effect.provide(registry)))

  it.effect("without isAnswer every error moves on; a predicate that throws is a failure of its tier", () =>
    Effect.gen(function*() {
      const tiers = [Tiers.tier("a", missing), Tiers.tier("b", Effect.succeed("b"))] as const
      assert.strictEqual(yield* Tiers.make("get", tiers), "b")
      const call = Tiers.make("get", tiers, {
        isAnswer: (): boolean => {
          throw new Error("bug")
        }
      })
      const [exit, [report]] = yield* Tiers.collect(Effect.exit(call))
      assert.deepStrictEqual(exit, Exit.succeed("b"))
      assert.deepStrictEqual(report!.attempts[0]!.error, new Error("bug"))
    }).pipe(Effect.provide(registry)))

  it.effect("the AllTiersFailedError of another call can be an answer", () =>
    Effect.gen(function*() {
      const inner = Tiers.make("inner", [Tiers.tier("a", down("a"))])
      const outer = Tiers.make("outer", [Tiers.tier("b", inner), Tiers.tier("c", Effect.void)], {
        isAnswer: () => true
      })
      assert.strictEqual((yield* Effect.flip(outer)).operation, "inner")
    }).pipe(Effect.provide(registry)))
})

describe("the circuit of a tier", () => {
  // migration: FallbackHandler.execute_with_fallback(tier1, tier2, tier3, operation_name) | a circuit for each tier
  it.effect("a tier whose circuit is open is skipped at once, and says so", () =>
    Effect.gen(function*() {
      const calls = yield* Ref.make(0)
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.andThen(Ref.update(calls, (n) => n + 1), down("a"))),
        Tiers.tier("b", Effect.succeed("b"))
      ])
      yield* call
      yield* call

      const [exit, [report]] = yield* Tiers.collect(Effect.exit(call))

      assert.deepStrictEqual(exit, Exit.succeed("b"))
      assert.strictEqual(report!.attempts[0]!.outcome, "skipped")
      assert.instanceOf(report!.attempts[0]!.error, ResilienceError.CircuitOpenError)
      assert.strictEqual(yield* Ref.get(calls), 2)
    }).pipe(Effect.provide(registry)))

  it("skipping two tiers runs nothing of them, sets no timer, and does not let go of the fiber", () => {
    const machine = new Machine()
    const outcome = machine.run(Effect.gen(function*() {
      const open = yield* CircuitBreaker.make({ name: "open" })
      yield* open.forceOpen()
      let ran = 0
      const tier = (name: string) =>
        Tiers.tier(name, Effect.sync(() => ++ran), {
          circuit: open,
          timeout: "1 second",
          retry: { maxAttempts: 3, baseDelay: "1 second" }
        })
      const closed = yield* CircuitBreaker.make({ name: "closed" })
      let sleeps = -1
      yield* Tiers.make("get", [
        tier("a"),
        tier("b"),
        Tiers.tier(
          "c",
          Effect.sync(() => {
            sleeps = machine.sleeps.length
          }),
          { circuit: closed }
        )
      ])
      return { ran, sleeps, rejected: (yield* open.metrics).rejectedCalls }
    })).pollUnsafe()

    assert.deepStrictEqual(outcome, Exit.succeed({ ran: 0, sleeps: 0, rejected: 2 }))
    assert.strictEqual(machine.tasks.length, 0)
  })

  it.effect("at exactly the end of the open time the tier is tried again", () =>
    Effect.gen(function*() {
      const up = yield* Ref.make(false)
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.flatMap(Ref.get(up), (up) => up ? Effect.succeed("a") : down("a"))),
        Tiers.tier("b", Effect.succeed("b"))
      ])
      yield* call
      yield* call
      yield* Ref.set(up, true)
      yield* TestClock.adjust("9999 millis")
      assert.strictEqual(yield* call, "b")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* call, "a")
      assert.strictEqual((yield* metrics("a")).state, "Closed")
    }).pipe(Effect.provide(registry)))

  it.effect("is given by value, by name, by service class, or by a key of one's own, and is skipped alike", () =>
    Effect.gen(function*() {
      class Payments extends CircuitBreaker.Service<Payments>()("payments", { policy }) {}
      class Mine extends Context.Service<Mine, CircuitBreaker.CircuitBreaker>()("app/Mine") {}
      const breaker = yield* CircuitBreaker.make({ name: "own" })
      yield* breaker.forceOpen()
      yield* (yield* circuit("shared")).forceOpen()

      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.void, { circuit: breaker }),
        Tiers.tier("b", Effect.void, { circuit: "shared" }),
        Tiers.tier("c", Effect.void, { circuit: Payments }),
        Tiers.tier("d", Effect.void, { circuit: Mine }),
        Tiers.tier("e", down("e"), { circuit: Mine, retry: { maxAttempts: 2, baseDelay: 0 } })
      ])
      expectTypeOf(call).toEqualTypeOf<
        Effect.Effect<void, ResilienceError.AllTiersFailedError, Registry | Payments | Mine>
      >()

      const error = yield* Effect.flip(call).pipe(
        Effect.provide(Payments.layerForcedOpen),
        Effect.provideService(Mine, breaker)
      )
      assert.strictEqual(story(error.attempts), "a skipped, b skipped, c skipped, d skipped, e skipped")
    }).pipe(Effect.provide(registry)))

  it.effect("follows the policy of the tier if it is named there first", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get", [
        Tiers.tier("a", down("a"), { policy: CircuitPolicy.make({ consecutiveFailures: 1 }) }),
        Tiers.tier("b", Effect.succeed("b"))
      ])
      yield* call
      assert.strictEqual((yield* metrics("a")).state, "Open")
    }).pipe(Effect.provide(registry)))

  it.effect("may be one for two operations: what fails in one is skipped in the other", () =>
    Effect.gen(function*() {
      const tiers = (by: string) => [Tiers.tier("mcp", down(by)), Tiers.tier("rest", Effect.succeed(by))] as const
      yield* Tiers.make("get", tiers("get"))
      yield* Tiers.make("list", tiers("list"))
      const [, [report]] = yield* Tiers.collect(Effect.exit(Tiers.make("get", tiers("get"))))
      assert.strictEqual(story(report!.attempts), "mcp skipped")
    }).pipe(Effect.provide(registry)))

  it.effect("an error that names the circuit is not yet its rejection", () =>
    Effect.gen(function*() {
      const call = Effect.fail({ _tag: "Unrelated", circuit: "a" })
      assert.strictEqual(
        story((yield* Effect.flip(Tiers.make("get", [Tiers.tier("a", call)]))).attempts),
        "a failed"
      )
    }).pipe(Effect.provide(registry)))

  it.effect("a rejection by another circuit inside the call is a failed tier, and no verdict on it", () =>
    Effect.gen(function*() {
      const other = yield* circuit("other")
      yield* other.forceOpen()
      const call = Tiers.make("get", [
        Tiers.tier("a", other.execute(Effect.void)),
        Tiers.tier("b", Effect.succeed("b"))
      ])
      const [exit, [report]] = yield* Tiers.collect(Effect.exit(call))

      assert.deepStrictEqual(exit, Exit.succeed("b"))
      assert.strictEqual(story(report!.attempts), "a failed")
      const { failedCalls, ignoredCalls } = yield* metrics("a")
      assert.deepStrictEqual({ failedCalls, ignoredCalls }, { failedCalls: 0, ignoredCalls: 1 })
    }).pipe(Effect.provide(registry)))
})

describe("timeout, retry and deadline", () => {
  it.effect("the timeout of a tier is for one attempt, and a failure for its circuit", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.never, {
          timeout: "1 second",
          retry: { maxAttempts: 2, baseDelay: "3 seconds", jitter: "none" }
        }),
        Tiers.tier("b", Effect.succeed("b"))
      ])
      const [exit, [report]] = yield* during("5 seconds", Tiers.collect(Effect.exit(call)))

      assert.deepStrictEqual(exit, Exit.succeed("b"))
      assert.strictEqual(String(report!.attempts[0]!.duration), "5000 millis")
      const { failedCalls, state } = yield* metrics("a")
      assert.deepStrictEqual({ failedCalls, state }, { failedCalls: 2, state: "Open" })
    }).pipe(Effect.provide(registry)))

  // migration: combine with retry
  it.effect("each tier has its own retry, and a retry that opens its circuit reports what failed before", () =>
    Effect.gen(function*() {
      const calls = yield* Ref.make(0)
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.andThen(Ref.update(calls, (n) => n + 1), down("a")), {
          retry: { maxAttempts: 5, baseDelay: "1 second", jitter: "none" }
        }),
        Tiers.tier("b", Effect.succeed("b"))
      ])
      const [exit, [report]] = yield* during("1 minute", Tiers.collect(Effect.exit(call)))

      assert.deepStrictEqual(exit, Exit.succeed("b"))
      assert.strictEqual(yield* Ref.get(calls), 2)
      const [{ error, outcome }] = report!.attempts as [ResilienceError.TierAttempt]
      assert.strictEqual(outcome, "failed")
      assert.isTrue(ResilienceError.isRetryExhaustedError(error) && error.reason === "rejected")
      assert.deepStrictEqual((error as Error).cause, new Unavailable({ by: "a" }))
    }).pipe(Effect.provide(registry)))

  it.effect("a retry of a tier may ask about errors and values", () =>
    Effect.gen(function*() {
      let calls = 0
      const pending = Effect.sync(() => ++calls < 3 ? "pending" : "done")
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.fail("fatal"), {
          retry: { maxAttempts: 3, baseDelay: 0, while: (error) => error !== "fatal" }
        }),
        Tiers.tier("b", pending, { retry: { baseDelay: 0, whileSuccess: (value) => value === "pending" } })
      ])
      const [exit, [report]] = yield* Tiers.collect(Effect.exit(call))
      assert.deepStrictEqual(exit, Exit.succeed("done"))
      assert.deepStrictEqual(report!.attempts.map(({ error }) => error), ["fatal"])
      assert.strictEqual(calls, 3)
    }).pipe(Effect.provide(registry)))

  it.effect("a mistake of the program inside a tier is no failure of the tier: it ends the call and no circuit hears of it", () =>
    Effect.gen(function*() {
      const circuits = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      for (const mistake of [new TypeError("x is not a function"), new RangeError("no"), new ReferenceError("y")]) {
        const call = Tiers.make("get", [
          Tiers.tier("broken", Effect.die(mistake), { retry: { maxAttempts: 3, baseDelay: 0 } }),
          Tiers.tier("b", Effect.succeed("b"))
        ])
        assert.deepStrictEqual(yield* Effect.exit(call), Exit.die(mistake))
      }
      const { failedCalls, ignoredCalls, successfulCalls } = yield* (yield* circuits.getOrCreate("broken")).metrics
      assert.deepStrictEqual([failedCalls, ignoredCalls, successfulCalls], [0, 3, 0])
    }).pipe(Effect.provide(registry)))

  it.effect("a defect that says that the network failed hands the call to the next tier", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.die(new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED") }))),
        Tiers.tier("b", Effect.succeed("b"))
      ])
      assert.strictEqual(yield* call, "b")
    }).pipe(Effect.provide(registry)))

  it.effect("a tier that used up its retries failed with RetryExhaustedError", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get", [Tiers.tier("a", down("a"), { retry: { maxAttempts: 2, baseDelay: 0 } })])
      const { attempts: [attempt] } = yield* Effect.flip(call)
      assert.instanceOf(attempt!.error, ResilienceError.RetryExhaustedError)
      assert.strictEqual(attempt!.error.attempts, 2)
    }).pipe(Effect.provide(registry)))

  const busyOnce = (retryAfter: Duration.Input) => {
    let calls = 0
    return Effect.suspend((): Effect.Effect<string, Busy> =>
      ++calls === 1
        ? Effect.fail(new Busy({ retryAfter: Duration.fromInputUnsafe(retryAfter) }))
        : Effect.succeed("a")
    )
  }

  it.effect("a tier that asks to be left alone hands the call to the next one; the last one is waited for", () =>
    Effect.gen(function*() {
      const retry = { baseDelay: 0, maxDelay: "5 seconds" } as const
      const leaves = Tiers.make("get", [
        Tiers.tier("a", busyOnce("1 second"), { retry }),
        Tiers.tier("b", Effect.succeed("b"))
      ])
      assert.strictEqual(yield* leaves, "b")
      const waits = Tiers.make("get", [Tiers.tier("c", down("c")), Tiers.tier("d", busyOnce("5 seconds"), { retry })])
      assert.strictEqual(yield* during("5 seconds", waits), "a")
      const gives = Tiers.make("get", [Tiers.tier("e", busyOnce("6 seconds"), { retry })])
      assert.strictEqual(story((yield* Effect.flip(gives)).attempts), "e failed")
    }).pipe(Effect.provide(registry)))

  it.effect("the deadline and what is told of a call count from its start, not from the start of the clock", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const retry = { baseDelay: "1 second", jitter: "none" } as const
      const get = Tiers.make("get", [Tiers.tier("a", down("a"), { retry }), Tiers.tier("b", down("b"))], {
        deadline: "2500 millis"
      })
      const [exit, [report]] = yield* during("10 seconds", Tiers.collect(Effect.exit(get)))

      const { attempts } = Result.getOrThrow(Exit.findError(exit))
      assert.strictEqual(story(attempts), "a failed, b failed")
      assert.strictEqual(
        (attempts[0]!.error as ResilienceError.RetryExhaustedError).reason,
        "maxElapsed"
      )
      assert.isTrue(Duration.equals(attempts[0]!.duration, Duration.seconds(1)))
      assert.isTrue(Duration.equals(report!.duration, Duration.seconds(1)))
    }).pipe(Effect.provide(registry)))

  it.effect("maxRetryAfter says how long a tier that asks to wait is waited for", () =>
    Effect.gen(function*() {
      const retry = { baseDelay: 0, maxRetryAfter: "5 seconds" } as const
      const call = (name: string, retryAfter: Duration.Input) =>
        Tiers.make("get", [Tiers.tier(name, busyOnce(retryAfter), { retry }), Tiers.tier("b", Effect.succeed("b"))])
      assert.strictEqual(yield* during("5 seconds", call("a", "5 seconds")), "a")
      assert.strictEqual(yield* call("c", "6 seconds"), "b")
    }).pipe(Effect.provide(registry)))

  it.effect("no retry waits past the deadline: the next tier gets the time that is left", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.andThen(Effect.sleep("300 millis"), down("a")), {
          retry: { baseDelay: "800 millis", jitter: "none" }
        }),
        Tiers.tier("b", Effect.as(Effect.sleep("500 millis"), "b"))
      ], { deadline: "1 second" })

      assert.strictEqual(yield* during("800 millis", call), "b")
    }).pipe(Effect.provide(registry)))

  it.effect("tiers may share a retry budget", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ ratio: 0, minPerSecond: 1 })
      const calls = yield* Ref.make(0)
      const tier = (name: string) =>
        Tiers.tier(name, Effect.andThen(Ref.update(calls, (n) => n + 1), down(name)), {
          retry: { maxAttempts: 10, baseDelay: 0, budget },
          policy: CircuitPolicy.make({ consecutiveFailures: 1000 })
        })
      const error = yield* during("1 second", Effect.flip(Tiers.make("get", [tier("a"), tier("b"), tier("c")])))

      const reasons = error.attempts.map(({ error }) =>
        error instanceof ResilienceError.RetryExhaustedError && error.reason
      )
      assert.strictEqual(reasons.at(-1), "budget")
      const retries = (yield* Ref.get(calls)) - 3
      assert.isTrue(retries >= 1 && retries < 27, `${retries} retries`)
    }).pipe(Effect.provide(registry)))

  it.effect("waitForCircuit waits for the tier instead of skipping it, and a wait in vain is a skipped tier", () =>
    Effect.gen(function*() {
      const breaker = yield* circuit("a")
      yield* breaker.forceOpen({ duration: "3 seconds" })
      const call = (maxElapsed: Duration.Input) =>
        Tiers.make("get", [
          Tiers.tier("a", Effect.succeed("a"), { retry: { waitForCircuit: true, maxElapsed } }),
          Tiers.tier("b", Effect.succeed("b"))
        ])
      const [exit, [report]] = yield* Tiers.collect(Effect.exit(call("2 seconds")))
      assert.deepStrictEqual(exit, Exit.succeed("b"))
      assert.strictEqual(story(report!.attempts), "a skipped")
      assert.instanceOf(report!.attempts[0]!.error, ResilienceError.CircuitOpenError)
      assert.strictEqual(yield* during("3 seconds", call("4 seconds")), "a")
    }).pipe(Effect.provide(registry)))

  it.effect("a schedule that dies fails its tier with that, though the circuit had rejected the call", () =>
    Effect.gen(function*() {
      yield* (yield* circuit("a")).forceOpen({ duration: "5 seconds" })
      const retry = Retry.make({
        waitForCircuit: true,
        schedule: Schedule.fromStep(Effect.succeed(() => Effect.die("bug")))
      })
      const error = yield* Effect.flip(Tiers.make("get", [Tiers.tier("a", Effect.void, { retry })]))

      assert.deepStrictEqual(error.attempts.map(({ error, outcome }) => [outcome, error]), [["failed", "bug"]])
    }).pipe(Effect.provide(registry)))

  it.effect("a tier that was tried and waited for its circuit in between has failed, not been skipped", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get", [
        Tiers.tier("a", down("a"), {
          policy: CircuitPolicy.make({ consecutiveFailures: 1, openDuration: "1 second" }),
          retry: { maxAttempts: 3, baseDelay: 0, waitForCircuit: true }
        })
      ])
      const { attempts } = yield* during("1 second", Effect.flip(call))
      assert.strictEqual(story(attempts), "a failed")
      assert.instanceOf(attempts[0]!.error, ResilienceError.RetryExhaustedError)
      const { failedCalls, rejectedCalls } = yield* metrics("a")
      assert.deepStrictEqual({ failedCalls, rejectedCalls }, { failedCalls: 2, rejectedCalls: 1 })
    }).pipe(Effect.provide(registry)))

  it.effect("a retry policy is used as it is, its schedule included", () =>
    Effect.gen(function*() {
      const calls = yield* Ref.make(0)
      const retry = Retry.make({ schedule: Schedule.upTo(Schedule.spaced("1 second"), { times: 2 }) })
      const breaker = yield* CircuitBreaker.make({ name: "a" })
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.andThen(Ref.update(calls, (n) => n + 1), down("a")), { circuit: breaker, retry })
      ])
      yield* during("2 seconds", Effect.flip(call))
      assert.strictEqual(yield* Ref.get(calls), 3)
    }))

  it.effect("one deadline spans all tiers, every tier has its entry, and the interrupted one no verdict", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.andThen(Effect.sleep("2 seconds"), down("a"))),
        Tiers.tier("b", Effect.never),
        Tiers.tier("c", Effect.succeed("c"))
      ], { deadline: "5 seconds" })
      const [exit, [report]] = yield* during("5 seconds", Tiers.collect(Effect.exit(call)))

      const error = Result.getOrThrow(Exit.findError(exit))
      assert.deepStrictEqual(
        error.attempts.map(({ duration, outcome, tier }) => `${tier} ${outcome} ${duration}`),
        ["a failed 2000 millis", "b failed 3000 millis", "c skipped 0 millis"]
      )
      assert.strictEqual(report!.servedBy, undefined)
      assert.strictEqual(String(report!.duration), "5000 millis")
      const { failedCalls, ignoredCalls } = yield* metrics("b")
      assert.deepStrictEqual({ failedCalls, ignoredCalls }, { failedCalls: 0, ignoredCalls: 1 })
    }).pipe(Effect.provide(registry)))

  it.effect("a deadline is exact to the millisecond", () =>
    Effect.gen(function*() {
      const call = (time: Duration.Input) =>
        Tiers.make("get", [Tiers.tier("a", Effect.as(Effect.sleep(time), "a"))], { deadline: "5 seconds" })
      assert.strictEqual(yield* during("5 seconds", call("4999 millis")), "a")
      const late = yield* Effect.forkChild(Effect.flip(call("5001 millis")), { startImmediately: true })
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(late.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(late))._tag, "AllTiersFailedError")
    }).pipe(Effect.provide(registry)))

  it.effect("neither a deadline nor a timeout waits for a tier that does not let go, which ends in the background", () =>
    Effect.gen(function*() {
      const ended = yield* Ref.make(0)
      const stubborn = Effect.uninterruptible(
        Effect.sleep("3 seconds").pipe(Effect.andThen(Ref.update(ended, (n) => n + 1)), Effect.andThen(down("a")))
      )
      const byDeadline = Tiers.make("get", [Tiers.tier("a", stubborn)], { deadline: "1 second" })
      const [exit, reports] = yield* during("1 second", Tiers.collect(Effect.exit(byDeadline)))
      const byTimeout = Tiers.make("get", [
        Tiers.tier("b", stubborn, { timeout: "1 second" }),
        Tiers.tier("c", Effect.succeed("c"))
      ])
      const served = yield* during("1 second", byTimeout)

      const { attempts } = Result.getOrThrow(Exit.findError(exit))
      assert.strictEqual(story(attempts), "a failed")
      assert.instanceOf(attempts[0]!.error, ResilienceError.CallTimeoutError)
      assert.strictEqual(reports.length, 1)
      assert.strictEqual(served, "c")
      assert.strictEqual(yield* Ref.get(ended), 0)
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* Ref.get(ended), 2)
      assert.strictEqual(attempts.length, 1)
    }).pipe(Effect.provide(registry)))

  it.effect("a timeout that says so waits for a tier that does not let go", () =>
    Effect.gen(function*() {
      const call = Tiers.make("get", [
        Tiers.tier("a", Effect.uninterruptible(Effect.sleep("3 seconds")), { timeout: { duration: "1 second" } }),
        Tiers.tier("b", Effect.succeed("b"))
      ])
      assert.strictEqual(yield* during("3 seconds", call), "b")
    }).pipe(Effect.provide(registry)))

  // The fiber that is timed may pause between serving and being heard.
  for (const ending of ["serves", "fails"] as const) {
    it(`a deadline that comes while the last tier ${ending} makes one report and one error`, () => {
      let timedOut = 0
      for (let place = 1, operations = Infinity; place <= operations; place++) {
        const machine = new Machine()
        const breaker = exitOf(machine.run(CircuitBreaker.make({ name: "a", policy })))
        operations = 0
        machine.pausesAt = () => ++operations === place
        const fiber = machine.run(Tiers.collect(Effect.exit(Tiers.make("get", [
          Tiers.tier("a", Effect.andThen(Effect.sleep(1000), ending === "serves" ? Effect.void : down("a")), {
            circuit: breaker
          })
        ], { deadline: 1500 }))))
        while (machine.tick());
        machine.finish()
        machine.pausesAt = () => false

        const [exit, reports] = exitOf(fiber)
        assert.strictEqual(reports.length, 1, `paused at ${place}`)
        assert.isFalse(Exit.hasDies(exit), `paused at ${place}`)
        if (Exit.isFailure(exit)) {
          timedOut++
          assert.strictEqual(reports[0]!.servedBy, undefined)
          assert.strictEqual(story(Result.getOrThrow(Exit.findError(exit)).attempts), "a failed")
        } else {
          assert.strictEqual(reports[0]!.servedBy, "a")
        }
        assert.strictEqual(exitOf(machine.run(breaker.metrics)).callsInFlight, 0)
      }
      assert.isAbove(timedOut, 1)
    })
  }
})

/** What a fiber that must have ended well ended with. */
const exitOf = <A, E>(fiber: Fiber.Fiber<A, E>): A => {
  const exit = fiber.pollUnsafe()
  if (exit === undefined) throw new Error("The fiber has not ended")
  if (Exit.isFailure(exit)) throw Cause.squash(exit.cause)
  return exit.value
}

describe("Tiers.collect", () => {
  it.effect("tells of every call of an effect in the order they ended, also of concurrent ones and if it fails", () =>
    Effect.gen(function*() {
      const get = (id: number) =>
        Tiers.make(`get ${id}`, [
          Tiers.tier("a", Effect.andThen(Effect.sleep(Duration.seconds(3 - id)), id === 1 ? down("a") : Effect.void)),
          Tiers.tier("b", id === 1 ? down("b") : Effect.void)
        ])
      const [exit, reports] = yield* during(
        "3 seconds",
        Tiers.collect(Effect.exit(
          Effect.all([get(0), get(1), get(2)], { concurrency: "unbounded", mode: "result" }).pipe(
            Effect.andThen(Effect.fail("later"))
          )
        ))
      )
      assert.deepStrictEqual(exit, Exit.fail("later"))
      assert.deepStrictEqual(
        reports.map(({ duration, operation, servedBy }) => [operation, servedBy, String(duration)]),
        [["get 2", "a", "1000 millis"], ["get 1", undefined, "2000 millis"], ["get 0", "a", "3000 millis"]]
      )
    }).pipe(Effect.provide(registry)))

  it.effect("succeeds with the value and the reports, and fails as the effect does", () =>
    Effect.gen(function*() {
      const get = Tiers.make("get", [Tiers.tier("a", down("a")), Tiers.tier("b", Effect.succeed("b"))])
      const [value, [report]] = yield* Tiers.collect(get)
      assert.strictEqual(value, "b")
      assert.strictEqual(report!.servedBy, "b")

      const failing = Tiers.collect(Effect.andThen(get, Effect.fail("later" as const)))
      expectTypeOf(failing).toEqualTypeOf<
        Effect.Effect<
          readonly [value: never, reports: ReadonlyArray<Tiers.Report>],
          "later" | ResilienceError.AllTiersFailedError,
          CircuitBreakerRegistry.CircuitBreakerRegistry
        >
      >()
      assert.strictEqual(yield* Effect.flip(failing), "later")
    }).pipe(Effect.provide(registry)))

  it.effect("the calls of a nested collect belong to the outer one as well", () =>
    Effect.gen(function*() {
      const get = (id: string) => Tiers.make(id, [Tiers.tier("a", Effect.void)])
      const [[, inner], reports] = yield* Tiers.collect(
        Effect.andThen(get("1"), Effect.andThen(Tiers.collect(get("2")), (inner) => Effect.as(get("3"), inner)))
      )
      assert.deepStrictEqual(inner.map(({ operation }) => operation), ["2"])
      assert.deepStrictEqual(reports.map(({ operation }) => operation), ["1", "2", "3"])
    }).pipe(Effect.provide(registry)))

  it.effect("a fiber that outlives the effect adds nothing to what was told", () =>
    Effect.gen(function*() {
      const get = Tiers.make("get", [Tiers.tier("a", Effect.void)])
      const [, reports] = yield* Tiers.collect(Effect.andThen(
        get,
        Effect.forkDetach(Effect.andThen(Effect.sleep("1 second"), get))
      ))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* metrics("a")).successfulCalls, 2)
      assert.strictEqual(reports.length, 1)
    }).pipe(Effect.provide(registry)))

  it.effect("a call that was interrupted is not told of", () =>
    Effect.gen(function*() {
      const get = Tiers.make("get", [Tiers.tier("a", Effect.never)])
      const [, reports] = yield* Tiers.collect(Effect.gen(function*() {
        yield* Fiber.interrupt(yield* Effect.forkChild(get, { startImmediately: true }))
      }))
      assert.deepStrictEqual(reports, [])
    }).pipe(Effect.provide(registry)))
})

describe("telemetry", () => {
  it.effect("is told how each tier of a call ended, and of none that did not run", () =>
    Effect.gen(function*() {
      const told: Array<ReadonlyArray<string>> = []
      const recorder = {
        onTierEnded: (...ended: ReadonlyArray<string>) => told.push(ended)
      } as unknown as Recorder
      const get = (last: Effect.Effect<string, Unavailable>) =>
        Tiers.make("get", [Tiers.tier("a", down("a")), Tiers.tier("b", last), Tiers.tier("c", Effect.succeed("c"))])
      const failing = Tiers.make("fail", [Tiers.tier("a", down("a"))])
      yield* Effect.exit(failing).pipe(Effect.provideService(Recorder, recorder))
      yield* Effect.exit(get(Effect.succeed("b"))).pipe(Effect.provideService(Recorder, recorder))
      yield* Effect.exit(failing).pipe(Effect.provideService(Recorder, recorder))

      assert.deepStrictEqual(told, [
        ["fail", "a", "failure"],
        ["get", "a", "failure"],
        ["get", "b", "success"],
        ["fail", "a", "skipped"]
      ])
    }).pipe(Effect.provide(registry)))
})

describe("whoever watches the registry", () => {
  it.effect("is told how often each tier served, failed and was skipped, by its name and circuit", () =>
    Effect.gen(function*() {
      const flows = watchFlows(yield* CircuitBreakerRegistry.CircuitBreakerRegistry)
      const own = yield* CircuitBreaker.make({ name: "own", policy })
      const get = (second: Effect.Effect<string, Unavailable>) =>
        Tiers.make("get", [Tiers.tier("a", down("a")), Tiers.tier("b", second, { circuit: own })])
      yield* get(Effect.succeed("x"))
      yield* get(Effect.succeed("x"))
      yield* Effect.flip(get(down("b")))
      yield* Effect.forkChild(get(Effect.never), { startImmediately: true }).pipe(Effect.flatMap(Fiber.interrupt))

      assert.deepStrictEqual(flows.all, [{
        operation: "get",
        calls: 3,
        failed: 1,
        tiers: [
          { name: "a", circuit: "a", served: 0, failed: 2, skipped: 1 },
          { name: "b", circuit: "own", served: 2, failed: 1, skipped: 0 }
        ]
      }])
    }).pipe(Effect.provide(registry)))
})

describe("types of Tiers.make", () => {
  const a: Effect.Effect<1, NotFound | Unavailable> = Effect.succeed(1)
  const b: Effect.Effect<"b", Unavailable, Scope.Scope> = Effect.succeed("b")
  const tiers = [Tiers.tier("a", a), Tiers.tier("b", b)] as const
  type Failed = ResilienceError.AllTiersFailedError

  it("without isAnswer only AllTiersFailedError is left", () => {
    const plain = Tiers.make("get", tiers)
    expectTypeOf(plain).toEqualTypeOf<Effect.Effect<1 | "b", Failed, Registry | Scope.Scope>>()
    const timed = Tiers.make("get", tiers, { deadline: "1 second" })
    expectTypeOf(timed).toEqualTypeOf<Effect.Effect<1 | "b", Failed, Registry | Scope.Scope>>()
    const explicit = Tiers.make("get", tiers, { isAnswer: undefined })
    expectTypeOf(explicit).toEqualTypeOf<Effect.Effect<1 | "b", Failed, Registry | Scope.Scope>>()
    expectTypeOf(plain.pipe(Effect.catchTag("AllTiersFailedError", () => Effect.succeed("c"))))
      .toEqualTypeOf<Effect.Effect<1 | "b" | string, never, Registry | Scope.Scope>>()
  })

  it("a type guard leaves what it guards, written out or inferred", () => {
    const guard = Tiers.make("get", tiers, { isAnswer: (error): error is NotFound => error._tag === "NotFound" })
    expectTypeOf(guard).toEqualTypeOf<Effect.Effect<1 | "b", NotFound | Failed, Registry | Scope.Scope>>()
    const inferred = Tiers.make("get", tiers, { isAnswer: (error) => error._tag === "NotFound", deadline: "1 second" })
    expectTypeOf(inferred).toEqualTypeOf<Effect.Effect<1 | "b", NotFound | Failed, Registry | Scope.Scope>>()
    const wider = Tiers.make("get", tiers, {
      isAnswer: (error: unknown): error is NotFound => error instanceof NotFound
    })
    expectTypeOf(wider).toEqualTypeOf<Effect.Effect<1 | "b", NotFound | Failed, Registry | Scope.Scope>>()
  })

  it("a predicate leaves every error, and so do options whose predicate may be there", () => {
    const predicate = Tiers.make("get", tiers, { isAnswer: (error): boolean => error._tag === "NotFound" })
    type Any = Effect.Effect<1 | "b", NotFound | Unavailable | Failed, Registry | Scope.Scope>
    expectTypeOf(predicate).toEqualTypeOf<Any>()
    const options: Tiers.Options<NotFound | Unavailable> = { isAnswer: (error): boolean => error._tag === "NotFound" }
    const some = Tiers.make("get", tiers, options)
    expectTypeOf(some).toEqualTypeOf<Any>()
  })

  it("a tier needs the registry for a name, its own or another, and nothing for a circuit by value", () => {
    expectTypeOf(Tiers.tier("a", a)).toEqualTypeOf<Tiers.Tier<1, NotFound | Unavailable, Registry>>()
    expectTypeOf(Tiers.tier("a", a, { timeout: "1 second" })).toEqualTypeOf<
      Tiers.Tier<1, NotFound | Unavailable, Registry>
    >()
    const withCircuit = (circuit: CircuitBreaker.CircuitBreaker) => Tiers.tier("a", a, { circuit })
    expectTypeOf(withCircuit).returns.toEqualTypeOf<Tiers.Tier<1, NotFound | Unavailable, never>>()
    expectTypeOf(Tiers.tier("a", b, { circuit: "c" })).toEqualTypeOf<
      Tiers.Tier<"b", Unavailable, Registry | Scope.Scope>
    >()
  })

  it("a budget that is a service is refused, since a tier has nowhere to say that it needs it", () => {
    class Budget extends RetryBudget.Service<Budget>()("budget") {}
    // @ts-expect-error
    // @effect-diagnostics-next-line missingEffectContext:off
    Tiers.tier("a", a, { retry: { budget: Budget } })
  })
})

// -----------------------------------------------------------------------------
// by Layer
// -----------------------------------------------------------------------------

class Accounts extends Context.Service<Accounts, {
  readonly getName: (id: string) => Effect.Effect<string, NotFound | Unavailable>
  readonly count: Effect.Effect<number, Unavailable>
}>()("test/Accounts") {}

const flaky = (name: string, state: { up: boolean; builds: number; releases: number; works: boolean }) =>
  Layer.effect(
    Accounts,
    Effect.gen(function*() {
      state.builds++
      if (!state.up) return yield* new Unavailable({ by: `${name} does not start` })
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          state.releases++
        })
      )
      return Accounts.of({
        getName: (id) => Effect.suspend(() => state.works ? Effect.succeed(`${id} by ${name}`) : down(name)),
        count: Effect.suspend(() => state.works ? Effect.succeed(7) : down(name))
      })
    })
  )

const onAllFailed = (error: ResilienceError.AllTiersFailedError) => new Unavailable({ by: error.message })

const healthy = () => ({ up: true, builds: 0, releases: 0, works: true })

describe("Tiers.layer", () => {
  // migration: FallbackHandler.execute_with_fallback(tier1, tier2, tier3, operation_name)
  it.effect("each method of the service is the whole pipeline", () =>
    Effect.gen(function*() {
      const first = healthy()
      const second = healthy()
      yield* Effect.gen(function*() {
        const accounts = yield* Accounts
        assert.strictEqual(yield* accounts.getName("x"), "x by first")
        assert.strictEqual(yield* accounts.count, 7)
        assert.deepStrictEqual([first.builds, second.builds], [1, 0])
        first.works = false
        assert.strictEqual(yield* accounts.getName("x"), "x by second")
      }).pipe(Effect.provide(
        Tiers.layer(Accounts, [["first", flaky("first", first)], ["second", flaky("second", second)]], { onAllFailed })
      ))
      assert.deepStrictEqual([first.releases, second.releases], [1, 1])
    }).pipe(Effect.provide(registry)))

  it.effect("no tier is built before a call needs it, nor by getting the service or its members", () =>
    Effect.gen(function*() {
      const states = [healthy(), healthy()]
      const layer = Tiers.layer(Accounts, [["a", flaky("a", states[0]!)], ["b", flaky("b", states[1]!)]], {
        onAllFailed
      })
      yield* Effect.gen(function*() {
        const { count, getName } = yield* Accounts
        const call = getName("x")
        assert.deepStrictEqual(states.map(({ builds }) => builds), [0, 0])
        assert.strictEqual(yield* call, "x by a")
        assert.strictEqual(yield* count, 7)
        assert.deepStrictEqual(states.map(({ builds }) => builds), [1, 0])
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual(states.map(({ builds, releases }) => [builds, releases]), [[1, 1], [0, 0]])
    }).pipe(Effect.provide(registry)))

  it.effect("a tier whose Layer cannot be built is a failed tier, built anew by the next calls and the probe", () =>
    Effect.gen(function*() {
      const first = { ...healthy(), up: false }
      const second = healthy()
      yield* Effect.gen(function*() {
        const accounts = yield* Accounts
        for (let i = 0; i < 5; i++) assert.strictEqual(yield* accounts.getName("x"), "x by second")
        assert.strictEqual(first.builds, 2)
        first.up = true
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* accounts.getName("x"), "x by first")
        assert.strictEqual(first.builds, 3)
      }).pipe(Effect.provide(
        Tiers.layer(Accounts, [["first", flaky("first", first)], ["second", flaky("second", second)]], { onAllFailed })
      ))
    }).pipe(Effect.provide(registry)))

  it.effect("an instance that broke is released and built anew when its circuit probes", () =>
    Effect.gen(function*() {
      const first = healthy()
      yield* Effect.gen(function*() {
        const accounts = yield* Accounts
        yield* accounts.getName("x")
        first.works = false
        yield* Effect.flip(accounts.getName("x"))
        const error = yield* Effect.flip(accounts.count)
        assert.strictEqual(error.by, "No tier could serve count: first failed (Unavailable)")
        assert.deepStrictEqual([first.builds, first.releases], [1, 0])
        first.works = true
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* accounts.count, 7)
        yield* Effect.yieldNow
        assert.deepStrictEqual([first.builds, first.releases], [2, 1])
        yield* accounts.count
        assert.deepStrictEqual([first.builds, first.releases], [2, 1])
      }).pipe(Effect.provide(Tiers.layer(Accounts, [["first", flaky("first", first)]], { onAllFailed })))
    }).pipe(Effect.provide(registry)))

  it.effect("an error of a tier's Layer is never an answer, whatever isAnswer thinks of it", () =>
    Effect.gen(function*() {
      const asked: Array<unknown> = []
      const broken = Layer.effect(Accounts, Effect.fail(new NotFound({ id: "config" })))
      const second = healthy()
      const layer = Tiers.layer(Accounts, [["a", broken], ["b", flaky("b", second)]], {
        isAnswer: (error) => {
          asked.push(error)
          return true
        },
        onAllFailed
      })
      yield* Effect.gen(function*() {
        const accounts = yield* Accounts
        assert.strictEqual(yield* accounts.getName("x"), "x by b")
        assert.deepStrictEqual(asked, [])
        assert.strictEqual((yield* metrics("a")).failedCalls, 1)
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.provide(registry)))

  it.effect("an answer of the service ends the call", () =>
    Effect.gen(function*() {
      const first = Layer.succeed(Accounts, { getName: (id) => new NotFound({ id }), count: Effect.succeed(1) })
      const second = healthy()
      const layer = Tiers.layer(Accounts, [["a", first], ["b", flaky("b", second)]], {
        isAnswer: (error) => error._tag === "NotFound",
        onAllFailed
      })
      const [exit, [report]] = yield* Tiers.collect(
        Effect.exit(Effect.flatMap(Accounts, (accounts) => accounts.getName("x")))
      ).pipe(
        Effect.provide(layer)
      )
      assert.deepStrictEqual(exit, Exit.fail(new NotFound({ id: "x" })))
      assert.deepStrictEqual([report!.operation, report!.servedBy], ["getName", "a"])
      assert.strictEqual(second.builds, 0)
    }).pipe(Effect.provide(registry)))

  it.effect("onAllFailed makes the service's own error, or a defect, of the tiers' failure only", () =>
    Effect.gen(function*() {
      class Nested extends Context.Service<Nested, {
        readonly get: (nested: boolean) => Effect.Effect<string, Unavailable | ResilienceError.AllTiersFailedError>
      }>()("test/Nested") {}
      const inner = new ResilienceError.AllTiersFailedError({ operation: "inner", attempts: [] })
      const layer = Layer.succeed(Nested, { get: (nested) => nested ? Effect.fail(inner) : down("a") })
      const get = (nested: boolean) => Effect.flatMap(Nested, (service) => Effect.exit(service.get(nested)))
      const options = {
        isAnswer: (error: unknown) => error === inner,
        operation: (method: string) => `nested_${method}`
      }

      const mapped = Tiers.layer(Nested, [["a", layer]], {
        ...options,
        onAllFailed: (error, method) => new Unavailable({ by: `${method}: ${error.operation}` })
      })
      assert.deepStrictEqual(yield* Effect.provide(get(true), mapped), Exit.fail(inner))
      assert.deepStrictEqual(
        yield* Effect.provide(get(false), mapped),
        Exit.fail(new Unavailable({ by: "get: nested_get" }))
      )
      const dies = Tiers.layer(Nested, [["a", layer]], { ...options, onAllFailed: "die" })
      assert.deepStrictEqual(yield* Effect.provide(get(true), dies), Exit.fail(inner))
      yield* (yield* circuit("a")).reset
      const exit = yield* Effect.provide(get(false), dies)
      assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof ResilienceError.AllTiersFailedError)
      yield* (yield* circuit("a")).reset
      const plain = Tiers.layer(Nested, [["a", layer]], options)
      const failed = yield* Effect.provide(get(false), plain)
      assert.strictEqual(Result.getOrThrow(Exit.findError(failed))._tag, "AllTiersFailedError")
    }).pipe(Effect.provide(registry)))

  it.effect("one deadline spans the builds and calls of all tiers", () =>
    Effect.gen(function*() {
      const slow = Layer.effect(Accounts, Effect.never)
      const second = healthy()
      const layer = Tiers.layer(Accounts, [["a", slow, { timeout: "2 seconds" }], ["b", slow], [
        "c",
        flaky("c", second)
      ]], {
        deadline: "3 seconds",
        onAllFailed
      })
      const error = yield* during(
        "3 seconds",
        Effect.flip(Effect.flatMap(Accounts, (accounts) => accounts.count)).pipe(Effect.provide(layer))
      )
      assert.strictEqual(
        error.by,
        "No tier could serve count: a failed (an attempt of a did not complete within 2s), " +
          "b failed (count did not complete within 3s), c skipped (count did not complete within 3s)"
      )
      assert.strictEqual(second.builds, 0)
    }).pipe(Effect.provide(registry)))

  it.effect("tiers start from the options of all, and what a tier says itself wins, undefined included", () =>
    Effect.gen(function*() {
      let calls = 0
      const layer = Layer.succeed(Accounts, {
        getName: () => Effect.never,
        count: Effect.suspend(() => {
          calls++
          return down("x")
        })
      })
      const own = yield* CircuitBreaker.make({ name: "own" })
      const tiered = Tiers.layer(Accounts, [
        ["a", layer],
        ["b", layer, { timeout: "2 seconds" }],
        ["c", layer, { timeout: undefined, retry: undefined, circuit: own }]
      ], {
        tier: {
          timeout: "1 second",
          retry: { maxAttempts: 2, baseDelay: 0 },
          policy: CircuitPolicy.make({ consecutiveFailures: 100, openDuration: "1 minute" })
        },
        deadline: "10 seconds",
        onAllFailed
      })
      yield* Effect.gen(function*() {
        const accounts = yield* Accounts
        const [, [report]] = yield* during("10 seconds", Tiers.collect(Effect.exit(accounts.getName("x"))))
        assert.deepStrictEqual(report!.attempts.map(({ duration }) => String(duration)), [
          "2000 millis",
          "4000 millis",
          "4000 millis"
        ])
        yield* during(0, Effect.flip(accounts.count))
        assert.strictEqual(calls, 2 + 2 + 1)
        const { statuses } = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
        assert.deepStrictEqual((yield* statuses).map(({ name }) => name), ["a", "b"])
        assert.strictEqual((yield* own.metrics).totalCalls, 2)
        const { consecutiveFailures } = yield* (yield* circuit("b")).policy
        assert.strictEqual(consecutiveFailures, 100)
      }).pipe(Effect.provide(tiered))
    }).pipe(Effect.provide(registry)))

  it("options out of their range throw a RangeError where the Layer is written", () => {
    const layer = flaky("a", healthy())
    const throws = (f: () => unknown, message: RegExp) => {
      assert.throws(f, message)
      assert.throws(f, RangeError)
    }
    throws(() => Tiers.layer(Accounts, [["a", layer]], { deadline: 0, onAllFailed }), /Tiers\.layer: deadline must be/)
    throws(
      () => Tiers.layer(Accounts, [["a", layer, { timeout: -1 }]], { onAllFailed }),
      /Tiers.layer: a: timeout must be/
    )
    throws(
      () => Tiers.layer(Accounts, [["a", layer]], { tier: { retry: { maxAttempts: 0 } }, onAllFailed }),
      /Retry\.make: maxAttempts/
    )
    throws(
      () => Tiers.layer(Accounts, [["a", layer, { circuit: 5 as unknown as string }]], { onAllFailed }),
      /Tiers\.layer: a: circuit must be a circuit, the name or the class of one, got 5/
    )
    throws(
      () => Tiers.layer(Accounts, [["a", layer]], { isAnswer: true as unknown as () => boolean, onAllFailed }),
      /Tiers\.layer: isAnswer must be a function, got true/
    )
    throws(
      () => Tiers.layer(Accounts, [layer] as unknown as [["a", typeof layer]], { onAllFailed }),
      /Tiers\.layer: tiers\[0\] must be a name and a Layer, with options or without, got a Layer/
    )
    // @ts-expect-error no tier at all
    throws(() => Tiers.layer(Accounts, [], { onAllFailed }), /Tiers\.layer: tiers must be at least one tier, got none/)
  })

  it.effect("the last tier is waited for if it asks to be left alone, and no other", () =>
    Effect.gen(function*() {
      const busy = (name: string, calls: Array<string>) =>
        Layer.succeed(
          Accounts,
          {
            getName: () =>
              Effect.suspend((): Effect.Effect<never, Busy | Unavailable> =>
                calls.push(name) < 3 ? Effect.fail(new Busy({ retryAfter: Duration.seconds(1) })) : down(name)
              ),
            count: Effect.succeed(1)
          } as unknown as Accounts["Service"]
        )
      const calls: Array<string> = []
      const layer = Tiers.layer(Accounts, [["a", busy("a", calls)], ["b", busy("b", calls)]], {
        tier: { retry: { maxAttempts: 2, baseDelay: 0 } },
        onAllFailed
      })
      yield* during(
        "1 second",
        Accounts.use((accounts) => Effect.flip(accounts.getName("x"))).pipe(Effect.provide(layer))
      )

      assert.deepStrictEqual(calls, ["a", "b", "b"])
    }).pipe(Effect.provide(registry)))

  it.effect("keeps its instance behind a circuit of somebody else's making, which does not tell when it opens", () =>
    Effect.gen(function*() {
      const own = yield* CircuitBreaker.make({ name: "a", policy })
      const foreign = Object.fromEntries(
        [...Reflect.ownKeys(own), ...Reflect.ownKeys(Object.getPrototypeOf(own))]
          .filter((key) => key !== "constructor" && key !== "~effect-resilience/circuit")
          .map((key) => [key, Reflect.get(own, key)])
      ) as unknown as CircuitBreaker.CircuitBreaker
      const state = healthy()
      const layer = Tiers.layer(Accounts, [["a", flaky("a", state), { circuit: foreign }]], { onAllFailed })
      yield* Effect.gen(function*() {
        const accounts = yield* Accounts
        yield* accounts.getName("x")
        yield* own.forceOpen({ duration: "1 second" })
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* accounts.getName("x"), "x by a")
        assert.strictEqual(state.builds, 1)
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.provide(registry)))

  it.effect("has spans if it says so", () =>
    Effect.gen(function*() {
      for (const spans of [true, false, undefined]) {
        const names: Array<string> = []
        const tracer = Tracer.make({
          span: (options) => {
            names.push(options.name)
            return new Tracer.NativeSpan(options)
          }
        })
        const layer = Tiers.layer(Accounts, [["a", flaky("a", healthy())]], { onAllFailed, spans })
        yield* Accounts.use((accounts) => Effect.withTracer(accounts.getName("x"), tracer)).pipe(Effect.provide(layer))

        assert.deepStrictEqual(names, spans === true ? ["getName", "getName a"] : [])
      }
    }).pipe(Effect.provide(registry)))

  it.effect("is counted for whoever watches the registry it was made with", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.make()
      const flows = watchFlows(registry)
      const layer = Tiers.layer(Accounts, [["a", flaky("a", healthy())]], { onAllFailed }).pipe(
        Layer.provide(Layer.succeed(CircuitBreakerRegistry.CircuitBreakerRegistry, registry))
      )
      yield* Accounts.use((accounts) => accounts.getName("x")).pipe(Effect.provide(layer))

      assert.deepStrictEqual(flows.all.map(({ calls, operation }) => [operation, calls]), [["getName", 1]])
    }))

  it.effect("a circuit that lives under another policy is a defect of the Layer, not of the calls", () =>
    Effect.gen(function*() {
      const tiered = Tiers.layer(Accounts, [["a", flaky("a", healthy()), { policy: CircuitPolicy.fastFail }]], {
        onAllFailed
      })
      const { register } = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      yield* register("a", CircuitPolicy.conservative)
      const exit = yield* Effect.exit(Effect.provide(Effect.asVoid(Accounts), tiered))
      assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof ResilienceError.CircuitConflictError)
    }).pipe(Effect.provide(registry)))
})

describe("members of a tiered service", () => {
  it.effect("are called on the instance: private fields, getters, several arguments, throwing methods", () =>
    Effect.gen(function*() {
      interface Ledger {
        readonly add: (a: number, b: number, ...rest: ReadonlyArray<number>) => Effect.Effect<number>
        readonly total: Effect.Effect<number>
        readonly identity: <A>(a: A) => Effect.Effect<A>
        readonly throws: (message: string) => Effect.Effect<never>
      }
      class LedgerTag extends Context.Service<LedgerTag, Ledger>()("test/Ledger") {}
      class LedgerLive implements Ledger {
        #total = 0
        add(...numbers: ReadonlyArray<number>) {
          return Effect.sync(() => {
            for (const number of numbers) this.#total += number
            return numbers.length
          })
        }
        get total() {
          return Effect.sync(() => this.#total)
        }
        identity<A>(a: A) {
          return Effect.succeed(a)
        }
        throws(message: string): Effect.Effect<never> {
          throw new Error(message)
        }
      }
      const layer = Tiers.layer(LedgerTag, [["a", Layer.sync(LedgerTag, () => new LedgerLive())]], {
        onAllFailed: "die"
      })
      yield* Effect.gen(function*() {
        const ledger = yield* LedgerTag
        assert.strictEqual(yield* ledger.add(1, 2, 3, 4), 4)
        assert.strictEqual(yield* ledger.total, 10)
        assert.strictEqual(yield* ledger.identity("x"), "x")
        const exit = yield* Effect.exit(ledger.throws("thrown"))
        assert.isTrue(Exit.isFailure(exit))
        if (Exit.isFailure(exit)) assert.include(String(Cause.squash(exit.cause)), "a failed (thrown)")
        assert.strictEqual((yield* metrics("a")).failedCalls, 1)
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.provide(registry)))

  it.effect("that are effects are effects wherever one is expected, and the same value each time", () =>
    Effect.gen(function*() {
      const accounts = yield* Accounts
      assert.isTrue(Effect.isEffect(accounts.count))
      assert.strictEqual(accounts.count, accounts.count)
      assert.strictEqual(yield* accounts.count.pipe(Effect.map((n) => n + 1)), 8)
      assert.deepStrictEqual(yield* Effect.all({ count: accounts.count }), { count: 7 })
      assert.strictEqual(yield* Effect.andThen(Effect.void, accounts.count), 7)
      assert.strictEqual(yield* Effect.retry(accounts.count, { times: 1 }), 7)
      assert.strictEqual(yield* Fiber.join(yield* Effect.forkChild(accounts.count)), 7)
      assert.deepStrictEqual(yield* Effect.forEach(["x", "y"], accounts.getName), ["x by a", "y by a"])
      assert.strictEqual(yield* Effect.flatMap(Effect.succeed("x"), accounts.getName), "x by a")
    }).pipe(
      Effect.provide(Layer.provide(Tiers.layer(Accounts, [["a", flaky("a", healthy())]], { onAllFailed }), registry))
    ))

  it.effect("that are functions die with advice if run like an effect, which is no failure of a tier", () =>
    Effect.gen(function*() {
      const second = healthy()
      const layer = Tiers.layer(Accounts, [["a", flaky("a", healthy())], ["b", flaky("b", second)]], { onAllFailed })
      yield* Effect.gen(function*() {
        const accounts = yield* Accounts
        const exit = yield* Effect.exit(Effect.andThen(Effect.succeed("x"), accounts.getName))

        assert.isTrue(Exit.hasDies(exit))
        assert.strictEqual(
          Exit.isFailure(exit) && String(Cause.squash(exit.cause)),
          "TypeError: Tiers.layer: getName is a function of the service that was run like an effect; " +
            "Effect.andThen and Effect.tap do so with what they are given, write (value) => service.getName(value)"
        )
        assert.strictEqual((yield* metrics("a")).failedCalls, 0)
        assert.strictEqual(second.builds, 0)
        assert.strictEqual(yield* Effect.andThen(Effect.succeed("x"), (id) => accounts.getName(id)), "x by a")
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.provide(registry)))

  it.effect("that are not what the type of the service says are a mistake of the program, which is named", () =>
    Effect.gen(function*() {
      const odd = { getName: "x", count: 7 } as unknown as Accounts["Service"]
      const layer = Tiers.layer(Accounts, [["a", Layer.succeed(Accounts, odd)], ["b", flaky("b", healthy())]], {
        onAllFailed
      })
      yield* Effect.gen(function*() {
        const accounts = yield* Accounts
        assert.deepStrictEqual(
          yield* Effect.exit(accounts.getName("x")),
          Exit.die(new TypeError("Tiers.layer: getName is not a function of the service"))
        )
        assert.deepStrictEqual(
          yield* Effect.exit(accounts.count),
          Exit.die(new TypeError("Tiers.layer: count of the service is not an effect"))
        )
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.provide(registry)))

  it.effect("may be tiered themselves: a tier can be a tiered service", () =>
    Effect.gen(function*() {
      const broken = { ...healthy(), works: false }
      const inner = Tiers.layer(Accounts, [["a", flaky("a", broken)], ["b", flaky("b", healthy())]], { onAllFailed })
      const outer = Tiers.layer(Accounts, [["remote", inner], ["local", flaky("local", healthy())]], { onAllFailed })
      yield* Effect.gen(function*() {
        const accounts = yield* Accounts
        assert.strictEqual(yield* accounts.getName("x"), "x by b")
        assert.strictEqual(yield* accounts.count, 7)
      }).pipe(Effect.provide(outer))
      assert.strictEqual(broken.builds, broken.releases)
    }).pipe(Effect.provide(registry)))

  it("the service is no promise and can be printed, so it passes through promises and logs", async () => {
    const layer = Tiers.layer(Accounts, [["a", flaky("a", healthy())]], { onAllFailed })
    const runtime = ManagedRuntime.make(Layer.provide(layer, registry))
    const accounts = await runtime.runPromise(Accounts)
    assert.strictEqual(`${accounts}`, "[object Object]")
    assert.strictEqual(JSON.stringify({ count: accounts.count, accounts }).includes("accounts"), true)
    assert.include(JSON.stringify(accounts.count), "\"Tiers\"")
    assert.strictEqual(await runtime.runPromise(accounts.getName("x")), "x by a")
    await runtime.dispose()
  })

  it.effect("what a method needs is up to the caller, what a Layer needs to whoever provides it", () =>
    Effect.gen(function*() {
      class Tenant extends Context.Service<Tenant, string>()("test/Tenant") {}
      class Db extends Context.Service<Db, string>()("test/Db") {}
      class Repo extends Context.Service<Repo, {
        readonly get: (id: string) => Effect.Effect<string, never, Tenant>
      }>()("test/Repo") {}
      const repo = Layer.effect(
        Repo,
        Effect.map(Db, (db) => ({ get: (id: string) => Effect.map(Tenant, (tenant) => `${db}/${tenant}/${id}`) }))
      )
      const layer = Tiers.layer(Repo, [["a", repo]], { onAllFailed: "die" })
      expectTypeOf(layer).toEqualTypeOf<Layer.Layer<Repo, never, Registry | Db>>()

      const get = Effect.flatMap(Repo, (repo) => repo.get("x"))
      const value = yield* get.pipe(
        Effect.provide(layer),
        Effect.provideService(Db, "db"),
        Effect.provideService(Tenant, "t1")
      )
      assert.strictEqual(value, "db/t1/x")
    }).pipe(Effect.provide(registry)))
})

describe("types of Tiers.layer", () => {
  const service = <S>() => Context.Service<"id", S>("id")
  const built = <S>(key: Context.Key<"id", S>): Layer.Layer<"id", Unavailable, Scope.Scope> =>
    Layer.effectDiscard(Effect.succeed(key)) as never
  type Failed = ResilienceError.AllTiersFailedError

  const own = service<{
    readonly get: (id: string) => Effect.Effect<string, NotFound | Unavailable>
    readonly all: Effect.Effect<string, Unavailable>
  }>()
  const plain = service<{
    readonly get: (id: string) => Effect.Effect<string, NotFound | Failed>
    readonly all: Effect.Effect<string, Failed>
  }>()
  const mixed = service<{
    readonly get: (id: string) => Effect.Effect<string, NotFound | Failed>
    readonly all: Effect.Effect<string>
  }>()

  it("onAllFailed is required unless every member may fail with AllTiersFailedError", () => {
    // @ts-expect-error required
    Tiers.layer(own, [["a", built(own)]])
    // @ts-expect-error required
    Tiers.layer(own, [["a", built(own)]], {})
    // @ts-expect-error required, and undefined is none
    Tiers.layer(own, [["a", built(own)]], { onAllFailed: undefined })
    // @ts-expect-error required: one member cannot fail so
    Tiers.layer(mixed, [["a", built(mixed)]], {})
    Tiers.layer(mixed, [["a", built(mixed)]], { onAllFailed: "die" })
    Tiers.layer(plain, [["a", built(plain)]])
    Tiers.layer(plain, [["a", built(plain)]], { deadline: "1 second" })
  })

  it("onAllFailed gives an error that all members have", () => {
    Tiers.layer(own, [["a", built(own)]], { onAllFailed: () => new Unavailable({ by: "" }) })
    // @ts-expect-error only one member can fail so
    // @effect-diagnostics-next-line missingEffectError:off
    Tiers.layer(own, [["a", built(own)]], { onAllFailed: () => new NotFound({ id: "" }) })
    // @ts-expect-error no error is common to all members
    Tiers.layer(mixed, [["a", built(mixed)]], { onAllFailed: () => new NotFound({ id: "" }) })
    expectTypeOf<Tiers.CommonError<Context.Service.Shape<typeof own>>>().toEqualTypeOf<Unavailable>()
    expectTypeOf<Tiers.CommonError<Context.Service.Shape<typeof mixed>>>().toEqualTypeOf<never>()
    expectTypeOf<Tiers.MethodError<Context.Service.Shape<typeof own>["get"]>>().toEqualTypeOf<NotFound | Unavailable>()
    expectTypeOf<Tiers.MethodError<Context.Service.Shape<typeof own>["all"]>>().toEqualTypeOf<Unavailable>()
  })

  it("isAnswer gets the errors of all members", () => {
    Tiers.layer(own, [["a", built(own)]], {
      isAnswer: (error) => {
        expectTypeOf(error).toEqualTypeOf<NotFound | Unavailable>()
        return false
      },
      onAllFailed: "die"
    })
  })

  it("the Layer that results cannot fail, and needs the registry and what the tiers' Layers need", () => {
    class Db extends Context.Service<Db, string>()("Db") {}
    const other: Layer.Layer<"id" | Db, never, Db> = null!
    expectTypeOf<Layer.Error<typeof other>>().toEqualTypeOf<never>()
    const tiered = () => Tiers.layer(plain, [["a", built(plain)], ["b", other, { timeout: "1 second" }]])
    expectTypeOf(tiered).returns.toEqualTypeOf<Layer.Layer<"id", never, Registry | Db | Scope.Scope>>()
  })

  it("a member that is neither an effect nor a function that returns one is refused", () => {
    const stream = service<{ readonly lines: Stream.Stream<string> }>()
    const streams = service<{ readonly lines: (file: string) => Stream.Stream<string> }>()
    const value = service<{ readonly get: () => Effect.Effect<void>; readonly name: string }>()
    const promise = service<{ readonly get: () => Promise<void> }>()
    const optional = service<{ readonly get?: () => Effect.Effect<void> }>()
    // @ts-expect-error a Stream
    Tiers.layer(stream, [["a", built(stream)]], { onAllFailed: "die" })
    // @ts-expect-error a function that returns a Stream
    Tiers.layer(streams, [["a", built(streams)]], { onAllFailed: "die" })
    // @ts-expect-error a plain value
    Tiers.layer(value, [["a", built(value)]], { onAllFailed: "die" })
    // @ts-expect-error a promise
    Tiers.layer(promise, [["a", built(promise)]], { onAllFailed: "die" })
    // @ts-expect-error may be missing
    Tiers.layer(optional, [["a", built(optional)]], { onAllFailed: "die" })
  })

  it("a tier of another service is refused", () => {
    const other: Layer.Layer<"other"> = Layer.empty as never
    // @ts-expect-error
    Tiers.layer(plain, [["a", other]])
  })
})
