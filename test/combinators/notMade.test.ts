/**
 * "Not made" is said exactly when no attempt was made: every nesting of
 * combinators, with the attempts counted where they arrive.
 */
import { assert, describe, it } from "@effect/vitest"
import {
  Bulkhead,
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  Fallback,
  Hedge,
  Outcome
} from "effect-resilience"
import { RateLimit, Resilience, ResilienceError, Retry, Tiers, Timeout } from "effect-resilience"
import * as EffectCircuitBreaker from "effect-resilience/EffectCircuitBreaker"
import { Cause, Data, Effect, Exit, Fiber, type Scope } from "effect"
import { CircuitBreaker as EffectBreaker } from "effect/persistence"
import { TestClock } from "effect/testing"

class Down extends Data.TaggedError("Down")<{ readonly attempt: number }> {}

type Call = Effect.Effect<unknown, unknown, CircuitBreakerRegistry.CircuitBreakerRegistry | Scope.Scope>
type Wrap = (self: Call) => Call

const registry = CircuitBreakerRegistry.layer()
const always = (wrap: Wrap) => Effect.succeed(wrap)

/** Each makes what it needs anew, in the state that its name says. */
const wraps: Record<string, Effect.Effect<Wrap, unknown, CircuitBreakerRegistry.CircuitBreakerRegistry | Scope.Scope>> =
  {
    "retry": always(Retry.withRetry({ maxAttempts: 3, baseDelay: "1 second" })),
    "retry that waits for circuits": always(
      Retry.withRetry({ maxAttempts: 4, baseDelay: "1 second", maxRetryAfter: "1 hour", waitForCircuit: true })
    ),
    "retry without time": always(Retry.withRetry({ maxAttempts: 3, baseDelay: "1 minute", maxElapsed: "10 seconds" })),
    "retry of values": always(Retry.withRetry({ maxAttempts: 3, baseDelay: "1 second", whileSuccess: () => true })),
    "hedge at once": always(Hedge.withHedge({ delay: 0, maxHedges: 2 })),
    "hedge after failures": always(Hedge.withHedge({ delay: "Infinity", maxHedges: 2 })),
    "a tier": always((self) => Tiers.make("op", [Tiers.tier("tier", self)])),
    "two tiers": always((self) =>
      Tiers.make("op", [Tiers.tier("one", self, { retry: { maxAttempts: 2, baseDelay: 0 } }), Tiers.tier("two", self)])
    ),
    "a pipeline": always((self) =>
      Resilience.make({ name: "pipeline", retry: { maxAttempts: 2 }, attemptTimeout: "1 minute" }).execute(self)
    ),
    "a circuit that opens": Effect.map(
      CircuitBreaker.make({ name: "opens", policy: CircuitPolicy.make({ consecutiveFailures: 1 }) }),
      (breaker) => CircuitBreaker.withCircuitBreaker(breaker)
    ),
    "a circuit that is open": Effect.map(
      Effect.tap(CircuitBreaker.make({ name: "open" }), (breaker) => breaker.forceOpen()),
      (breaker) => CircuitBreaker.withCircuitBreaker(breaker)
    ),
    "a circuit of Effect that opens": Effect.map(
      EffectCircuitBreaker.make({ tripPolicy: EffectBreaker.consecutive(1), openDuration: "1 minute" }),
      (breaker) => (self: Call) => breaker.execute(self, { key: "k" })
    ),
    "a bulkhead": Effect.map(Bulkhead.make({ limit: 1 }), (bulkhead) => Bulkhead.withBulkhead(bulkhead)),
    "a bulkhead that is full": Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ limit: 1 })
      yield* Effect.forkScoped(bulkhead.execute(Effect.never), { startImmediately: true })
      return Bulkhead.withBulkhead(bulkhead)
    }),
    "a bulkhead that fills up": Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ limit: 1 })
      const scope = yield* Effect.scope
      const fill = Effect.forkIn(bulkhead.execute(Effect.never), scope, { startImmediately: true })
      return (self: Call) => Effect.onExit(Bulkhead.withBulkhead(self, bulkhead), () => Effect.asVoid(fill))
    }),
    "a rate limit of one": Effect.map(
      RateLimit.makeMemory({ name: "one", limit: 1, window: "1 hour" }),
      (limit) => RateLimit.withRateLimit(limit)
    ),
    "a rate limit that is used up": Effect.map(
      Effect.tap(
        RateLimit.makeMemory({ name: "none", limit: 1, window: "1 day" }),
        (limit) => limit.execute(Effect.void)
      ),
      (limit) => RateLimit.withRateLimit(limit)
    )
  }

/** What the n-th attempt comes to. */
type Dependency = (attempt: number) => Effect.Effect<unknown, Down>

const down: Dependency = (attempt) => Effect.fail(new Down({ attempt }))

const run = Effect.fnUntraced(function*(names: ReadonlyArray<string>, dependency: Dependency) {
  let made = 0
  let call: Call = Effect.suspend(() => dependency(++made))
  for (const name of names.toReversed()) call = (yield* wraps[name]!)(call)
  const fiber = yield* Effect.forkChild(call, { startImmediately: true })
  for (let i = 0; i < 100 && fiber.pollUnsafe() === undefined; i++) yield* TestClock.adjust("1 hour")
  const exit = yield* Fiber.await(fiber)
  return { made, exit }
}, Effect.scoped)

/** What is said of a call by everything that says so. */
const saysNotMade = Effect.fnUntraced(function*(error: unknown) {
  const stored = yield* Effect.fail(error).pipe(
    Fallback.onRejection(Effect.succeed("stored")),
    Effect.orElseSucceed(() => "not stored")
  )
  const { _tag } = Outcome.classify(Exit.fail(error))
  return { isNotMade: ResilienceError.isNotMade(error), onRejection: stored === "stored", ignored: _tag === "Ignored" }
})

const check = (names: ReadonlyArray<string>) => checkWith(names, down)

const checkWith = Effect.fnUntraced(function*(names: ReadonlyArray<string>, dependency: Dependency) {
  const { exit, made } = yield* run(names, dependency)
  if (Exit.isSuccess(exit)) return assert.isAbove(made, 0, names.join(" › "))
  const error = Cause.squash(exit.cause)
  const notMade = made === 0
  assert.deepStrictEqual(
    yield* saysNotMade(error),
    { isNotMade: notMade, onRejection: notMade, ignored: notMade },
    `${names.join(" › ")}: ${made} made, ${String(error)}`
  )
  // A rejection is not all that is left of an attempt.
  if (made > 0) assert.isFalse(ResilienceError.isRejection(error), names.join(" › "))
}, Effect.provide(registry))

const all = Object.keys(wraps)

/** Dependencies that do not always fail. */
const dependencies: Record<string, Dependency> = {
  "always succeeds": Effect.succeed,
  "succeeds and then fails": (attempt) => attempt % 2 === 1 ? Effect.succeed(attempt) : down(attempt),
  "fails and then succeeds": (attempt) => attempt % 2 === 0 ? Effect.succeed(attempt) : down(attempt),
  "takes its time to fail": (attempt) => Effect.delay(down(attempt), "1500 millis")
}

describe("that no attempt was made is said exactly when none was", () => {
  it.effect("by one combinator", () => Effect.forEach(all, (name) => check([name]), { discard: true }))

  it.effect("by two, one in the other", () =>
    Effect.forEach(all.flatMap((outer) => all.map((inner) => [outer, inner])), check, { discard: true }))

  for (const [name, dependency] of Object.entries(dependencies)) {
    it.effect(`by two around a call that ${name}`, () =>
      Effect.forEach(
        all.flatMap((outer) => all.map((inner) => [outer, inner])),
        (names) => checkWith(names, dependency),
        {
          discard: true
        }
      ))
  }

  for (const outer of all) {
    it.effect(`by three, with ${outer} around`, () =>
      Effect.forEach(all.flatMap((middle) => all.map((inner) => [outer, middle, inner])), check, { discard: true }))
  }
})

describe("an error after an attempt", () => {
  it.effect("of a hedge is that of the attempt, with the rejection beside it", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        name: "x",
        policy: CircuitPolicy.make({ consecutiveFailures: 1 })
      })
      let made = 0
      const exit = yield* breaker.execute(Effect.suspend(() => Effect.fail(new Down({ attempt: ++made })))).pipe(
        Hedge.withHedge({ delay: "1 second", maxHedges: 3 }),
        Effect.exit
      )
      const errors = Exit.isFailure(exit)
        ? exit.cause.reasons.filter(Cause.isFailReason).map(({ error }) => error._tag)
        : []
      assert.deepStrictEqual(errors, ["Down", "CircuitOpenError"])
      assert.strictEqual(made, 1)
    }))

  it.effect("never says so because time ran out", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ limit: 1, queue: 1 })
      yield* Effect.forkScoped(bulkhead.execute(Effect.never), { startImmediately: true })
      const fiber = yield* Effect.void.pipe(
        Bulkhead.withBulkhead(bulkhead),
        Timeout.withTimeout("1 second"),
        Effect.flip,
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("1 second")
      assert.isFalse(ResilienceError.isNotMade(yield* Fiber.join(fiber)))
    }))
})
