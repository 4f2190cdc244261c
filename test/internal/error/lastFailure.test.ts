// These are the errors that programs fail with.
// @effect-diagnostics globalErrorInEffectFailure:off
import { assert, describe, it } from "@effect/vitest"
import {
  CircuitBreaker,
  CircuitBreakerRegistry,
  type CircuitEvent,
  CircuitMetrics,
  CircuitPolicy,
  Outcome,
  ResilienceError,
  Retry
} from "effect-resilience"
import * as EffectCircuitBreaker from "effect-resilience/EffectCircuitBreaker"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { CircuitBreaker as EffectBreaker } from "effect/persistence"
import * as Schema from "effect/Schema"
import { describeFailure } from "../../../src/internal/error/lastFailure.ts"
import { call, fail, make, settle, touchy } from "../../support/circuits.ts"

class ConnectionError extends Data.TaggedError("ConnectionError")<{ readonly message: string }> {}

const refused = new ConnectionError({ message: "connect ECONNREFUSED 10.0.0.1:5432" })
const refusedFailure = { error: "ConnectionError", message: "connect ECONNREFUSED 10.0.0.1:5432" }

describe("what failed last", () => {
  it.effect("is known by a rejection, a change, a failed call, the metrics and their JSON", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const events: Array<CircuitEvent.CircuitEvent> = []
      yield* breaker.on("StateChanged", (event) => Effect.sync(() => events.push(event)))
      yield* breaker.on("CallEnded", (event) => Effect.sync(() => events.push(event)))
      yield* call(breaker, Effect.fail(refused))
      const error = yield* Effect.flip(breaker.execute(Effect.void))
      const metrics = yield* breaker.metrics
      yield* settle

      assert.deepStrictEqual(error.lastFailure, refusedFailure)
      assert.strictEqual(
        error.message,
        `Circuit "dependency" is open, retry after 10s; last failure: ConnectionError: ${refused.message}`
      )
      const told = (tag: string) =>
        events.filter(({ _tag }) => _tag === tag).map((event) => "lastFailure" in event ? event.lastFailure : undefined)
      assert.deepStrictEqual(told("CallEnded"), [refusedFailure, undefined])
      assert.deepStrictEqual(told("StateChanged"), [refusedFailure])
      assert.deepStrictEqual(metrics.lastFailure, refusedFailure)
      assert.deepStrictEqual(CircuitMetrics.toJson(metrics).last_failure, refusedFailure)
    }))

  it.effect("is not there before a failure and after a reset, not even as a key", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const rejection = Effect.andThen(breaker.forceOpen(), Effect.flip(breaker.execute(Effect.void)))
      for (const before of [Effect.void, Effect.andThen(fail(breaker), breaker.reset)]) {
        yield* before
        assert.isUndefined((yield* breaker.metrics).lastFailure)
        assert.isNull(CircuitMetrics.toJson(yield* breaker.metrics).last_failure)
        assert.notProperty(yield* rejection, "lastFailure")
        yield* breaker.forceClose
      }
    }))

  it.effect("is one value, shared by all rejections until the next failure", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* fail(breaker)
      const one = yield* Effect.flip(breaker.execute(Effect.void))
      const two = yield* Effect.flip(breaker.execute(Effect.void))
      assert.isDefined(one.lastFailure)
      assert.strictEqual(one.lastFailure, two.lastFailure)
    }))

  it.effect("is not that of a failure that came late", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* breaker.execute(Effect.andThen(breaker.forceOpen(), Effect.fail(refused))).pipe(Effect.ignore)
      assert.isUndefined((yield* breaker.metrics).lastFailure)
    }))

  it.effect("is not in the message of a circuit that an operator forced open", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* fail(breaker)
      yield* breaker.forceOpen()
      const error = yield* Effect.flip(breaker.execute(Effect.void))
      assert.strictEqual(error.message, `Circuit "dependency" was forced open and stays so until it is released`)
    }))

  it.effect("crosses a process boundary with a rejection", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* call(breaker, Effect.fail(refused))
      const error = yield* Effect.flip(breaker.execute(Effect.void))
      const codec = Schema.toCodecJson(ResilienceError.CircuitOpenError)
      const wire = JSON.stringify(Schema.encodeSync(codec)(error as ResilienceError.CircuitOpenError))
      const decoded = Schema.decodeUnknownSync(codec)(JSON.parse(wire))
      assert.deepStrictEqual(decoded.lastFailure, refusedFailure)
      assert.strictEqual(decoded.message, error.message)
    }))

  it.effect("is what a permit was told, and unknown if it was told nothing", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const report = (options?: { readonly error: unknown }) =>
        Effect.scoped(Effect.flatMap(breaker.permit, (permit) => permit.failure(options)))
      yield* report({ error: refused })
      assert.deepStrictEqual((yield* breaker.metrics).lastFailure, refusedFailure)
      yield* report()
      assert.isUndefined((yield* breaker.metrics).lastFailure)
    }))

  it.effect("is known of calls through Effect's own breaker service too", () =>
    Effect.gen(function*() {
      const breaker = yield* EffectCircuitBreaker.make({
        tripPolicy: EffectBreaker.consecutive(1),
        openDuration: "30 seconds"
      })
      yield* Effect.ignore(breaker.execute(Effect.fail(refused), { key: "k" }))
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      assert.deepStrictEqual((yield* registry.statuses)[0]?.lastFailure, refusedFailure)
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))

  it.effect("is the last error of a retry inside the circuit", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* call(breaker, Retry.withRetry(Effect.fail(refused), { maxAttempts: 1 }))
      assert.deepStrictEqual((yield* breaker.metrics).lastFailure, refusedFailure)
    }))

  describe("by describeFailure of the policy", () => {
    const lastFailure = (describeFailure: CircuitPolicy.FailureDescription) =>
      Effect.gen(function*() {
        const breaker = yield* make({ describeFailure })
        yield* call(breaker, Effect.fail(refused))
        return (yield* breaker.metrics).lastFailure
      })

    it.effect("has the text that the function returns", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(
          yield* lastFailure((error) => error === refused ? "no connection" : "another error"),
          { error: "ConnectionError", message: "no connection" }
        )
      }))

    it.effect("is not kept if the function returns nothing or throws, or if it is off", () =>
      Effect.gen(function*() {
        assert.isUndefined(yield* lastFailure(() => undefined))
        assert.isUndefined(
          yield* lastFailure(() => {
            throw new Error("cannot describe")
          })
        )
        assert.isUndefined(yield* lastFailure(false))
      }))
  })

  it.effect("is an answer that a classifier counts as a failure, with its status", () =>
    Effect.gen(function*() {
      class Response {
        readonly status = 503
      }
      const breaker = yield* make({ classify: () => Outcome.failure() })
      yield* call(breaker, Effect.succeed(new Response()))
      assert.deepStrictEqual((yield* breaker.metrics).lastFailure, { error: "Response", message: "status 503" })
      yield* call(breaker, Effect.succeed(7))
      assert.deepStrictEqual((yield* breaker.metrics).lastFailure, {
        error: "number",
        message: "an answer that counts as a failure"
      })
    }))
})

describe("a failure is described", () => {
  class Unnamed extends Error {}
  const unreadable = new (class extends Error {
    override get message(): string {
      throw new Error("no message")
    }
  })()
  const aggregate = new AggregateError([], "")

  const cases: Record<string, readonly [failed: Exit.Exit<unknown, unknown>, error: string, message: string]> = {
    "by its tag": [Exit.fail(refused), "ConnectionError", refused.message],
    "by the name of its class": [Exit.fail(new Unnamed("down")), "Unnamed", "down"],
    "by its own name": [Exit.die(new TypeError("x is not a function")), "TypeError", "x is not a function"],
    "by its type if it has no class": [Exit.fail("down"), "string", "down"],
    "by its name if it has no message": [Exit.fail(aggregate), "AggregateError", "AggregateError"],
    "with its cause": [
      Exit.fail(new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED") })),
      "TypeError",
      "fetch failed: connect ECONNREFUSED"
    ],
    "by what a promise was rejected with": [
      Exit.fail(new Cause.UnknownError(new TypeError("fetch failed"))),
      "TypeError",
      "fetch failed"
    ],
    "though its message cannot be read": [
      Exit.fail(unreadable),
      unreadable.constructor.name,
      "an error that cannot be read"
    ],
    "by its status if it is a response": [Exit.fail(new Response("x", { status: 503 })), "Response", "status 503"],
    "by its message alone if it is a mere object": [
      Exit.fail({ message: "denied", headers: { authorization: "Bearer secret" } }),
      "Object",
      "denied"
    ],
    "without the fields of a mere object": [Exit.fail({ headers: { authorization: "Bearer secret" } }), "Object", ""],
    "without the fields of a cause": [
      Exit.fail(new Error("denied", { cause: { headers: { authorization: "Bearer secret" } } })),
      "Error",
      "denied"
    ],
    "though its message is an object": [
      Exit.fail(Object.assign(new Error(), { message: { code: 1 } })),
      "Error",
      "{\"code\":1}"
    ],
    "though its message is none": [
      Exit.fail(Object.assign(new TypeError(), { message: null })),
      "TypeError",
      "TypeError"
    ],
    "though the name of its class is a method": [
      Exit.fail(
        new (class extends Error {
          static override readonly name = 1 as never
        })("down")
      ),
      "Error",
      "down"
    ],
    "by the class of what has no tag that is a text": [Exit.fail({ _tag: 5 }), "Object", ""],
    "by the class of what is no error, whatever its name": [Exit.fail({ name: "Alice" }), "Object", ""],
    "by the name it was given": [Exit.fail(Object.assign(new Error("no"), { name: "AbortError" })), "AbortError", "no"],
    "by its class if its name is no text": [
      Exit.fail(Object.assign(new TypeError("no"), { name: 5 })),
      "TypeError",
      "no"
    ],
    "though a promise was rejected with nothing": [
      Exit.fail(new Cause.UnknownError(undefined, "rejected")),
      "UnknownError",
      "rejected"
    ],
    "though it is null": [Exit.fail(null), "null", "null"],
    "as an answer whose status is no number": [
      Exit.succeed({ status: "busy" }),
      "Object",
      "an answer that counts as a failure"
    ],
    "with characters that it has before the cut": [
      Exit.fail(`😀${"a".repeat(300)}`),
      "string",
      `😀${"a".repeat(197)}…`
    ],
    "though its tag cannot be read": [
      Exit.fail({
        get _tag(): never {
          throw new Error("no tag")
        }
      }),
      "Error",
      ""
    ],
    "though its cause cannot be read": [
      Exit.fail(Object.defineProperty(new TypeError("fetch failed"), "cause", {
        get: () => {
          throw new Error("no cause")
        }
      })),
      "TypeError",
      "fetch failed"
    ],
    "though what it holds cannot be read": [
      Exit.fail({
        "~effect-resilience/ResilienceError": "RetryExhaustedError",
        _tag: "RetryExhaustedError",
        get lastError(): never {
          throw new Error("no last error")
        }
      }),
      "RetryExhaustedError",
      ""
    ],
    "though it is nothing": [Exit.fail(undefined), "undefined", "undefined"],
    "as an interruption that counts": [Exit.interrupt(), "Interrupted", "its caller did not wait any longer"],
    "in one line without control characters": [
      Exit.fail("a\nb\r\tc\u001b[31m\u202ed\u2028"),
      "string",
      "a\\nb\\r\\tc\\u001b[31m\\u202ed\\u2028"
    ],
    "in 200 characters": [Exit.fail("é".repeat(201)), "string", `${"é".repeat(199)}…`],
    "in full up to 200 characters": [Exit.fail("é".repeat(200)), "string", "é".repeat(200)],
    "without half a character": [Exit.fail(`${"a".repeat(198)}😀😀`), "string", `${"a".repeat(198)}…`]
  }
  for (const [name, [exit, error, message]] of Object.entries(cases)) {
    it(name, () => assert.deepStrictEqual(describeFailure(exit, undefined), { error, message }))
  }

  it("not at all if the policy says so, though it was interrupted", () =>
    assert.isUndefined(describeFailure(Exit.interrupt(), false)))

  it("with a class in 200 characters", () =>
    assert.strictEqual(describeFailure(Exit.fail({ _tag: "T".repeat(1_000) }), undefined)?.error.length, 200))

  it("without end if errors hold each other", () => {
    const one: { _tag: string; lastError?: unknown } = { _tag: "One" }
    one.lastError = { _tag: "Two", lastError: one }
    assert.isDefined(describeFailure(Exit.fail(one), undefined))
  })

  it.effect("whatever its message is, without failing the circuit that counts it", () =>
    Effect.gen(function*() {
      for (const message of [{ code: 1 }, ["a", "b"], 42, null, undefined]) {
        const breaker = yield* CircuitBreaker.make({ name: "a", policy: touchy })
        const error = Object.assign(new Error("x"), { message })
        assert.deepStrictEqual(yield* Effect.exit(breaker.execute(Effect.fail(error))), Exit.fail(error))
        assert.strictEqual(yield* breaker.state, "Open")
      }
    }))

  it.effect("by a circuit that outlives its errors without keeping them", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "a" })
      const error = { _tag: "Big", message: "big" }
      yield* call(breaker, Effect.fail(error))
      const seen = new Set<unknown>()
      const holds = (value: unknown): boolean => {
        if (value === error) return true
        if (typeof value !== "object" || value === null || seen.has(value)) return false
        seen.add(value)
        return Object.values(value).some(holds)
      }
      assert.isFalse(holds(breaker))
    }))
})
