import { assert, describe, it } from "@effect/vitest"
import {
  Bulkhead,
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  Fallback,
  Hedge,
  Outcome,
  ResilienceError,
  Retry
} from "effect-resilience"
import { Cause, Data, Duration, Effect, Equal, Exit, Hash, Schema } from "effect"
import * as nodeAssert from "node:assert"
import { expect, expectTypeOf, vi } from "vitest"
import * as Rejection from "../src/internal/error/rejection.ts"

const attempt = (tier: string, outcome: "skipped" | "failed", error: unknown): ResilienceError.TierAttempt => ({
  tier,
  outcome,
  error,
  duration: Duration.millis(12)
})

interface Example {
  readonly schema: Schema.Codec<Error & { readonly _tag: string }, unknown>
  readonly made: Error & { readonly _tag: string }
  /** The same error as the combinators make it, if they make it in another way. */
  readonly rejection?: Error & { readonly _tag: string }
  readonly message: string
}

const { AllTiersFailedError, BulkheadFullError, CallTimeoutError, CircuitConflictError, CircuitOpenError } =
  ResilienceError
const { RateLimitExceededError, RetryExhaustedError } = ResilienceError

const open = (state: ResilienceError.CircuitOpenError["state"], millis: number, message: string): Example => ({
  schema: CircuitOpenError,
  made: new CircuitOpenError({ circuit: "payment-api", state, retryAfter: Duration.millis(millis) }),
  rejection: Rejection.circuitOpenError("payment-api", state, millis),
  message
})

const examples: Record<string, Example> = {
  "CircuitOpenError, open": open("Open", 59_999, `Circuit "payment-api" is open, retry after 59s 999ms`),
  "CircuitOpenError, half-open": open(
    "HalfOpen",
    0,
    `Circuit "payment-api" is half-open and lets no further call through for now`
  ),
  "CircuitOpenError, forced open for a time": open(
    "ForcedOpen",
    90_000,
    `Circuit "payment-api" was forced open, retry after 1m 30s`
  ),
  "CircuitOpenError, forced open": open(
    "ForcedOpen",
    Infinity,
    `Circuit "payment-api" was forced open and stays so until it is released`
  ),
  CallTimeoutError: {
    schema: CallTimeoutError,
    made: new CallTimeoutError({ operation: "charge", timeout: Duration.seconds(2) }),
    rejection: Rejection.callTimeoutError("charge", Duration.seconds(2)),
    message: "charge did not complete within 2s"
  },
  "RetryExhaustedError, out of attempts": {
    schema: RetryExhaustedError,
    made: new RetryExhaustedError({
      attempts: 3,
      lastError: "unavailable",
      elapsed: Duration.millis(1_500),
      reason: "maxAttempts"
    }),
    message: "Gave up after 3 attempts in 1s 500ms: unavailable"
  },
  "RetryExhaustedError, out of time": {
    schema: RetryExhaustedError,
    made: new RetryExhaustedError({
      attempts: 1,
      lastError: { _tag: "Unavailable", status: 503 },
      elapsed: Duration.millis(10),
      reason: "maxElapsed"
    }),
    message: "Gave up after 1 attempt in 10ms, no time left to retry: Unavailable"
  },
  "RetryExhaustedError, out of budget": {
    schema: RetryExhaustedError,
    made: new RetryExhaustedError({ attempts: 2, lastError: null, elapsed: Duration.millis(10), reason: "budget" }),
    message: "Gave up after 2 attempts in 10ms, no retry budget left: null"
  },
  BulkheadFullError: {
    schema: BulkheadFullError,
    made: new BulkheadFullError({ bulkhead: "reports", limit: 1 }),
    rejection: Rejection.bulkheadFullError("reports", 1),
    message: `Bulkhead "reports" is full: 1 call is running`
  },
  "BulkheadFullError, of several": {
    schema: BulkheadFullError,
    made: new BulkheadFullError({ bulkhead: "reports", limit: 2 }),
    rejection: Rejection.bulkheadFullError("reports", 2),
    message: `Bulkhead "reports" is full: 2 calls are running`
  },
  RateLimitExceededError: {
    schema: RateLimitExceededError,
    made: new RateLimitExceededError({ limiter: "api", limit: 10, retryAfter: Duration.millis(250) }),
    rejection: Rejection.rateLimitExceededError("api", 10, Duration.millis(250)),
    message: `Rate limit "api" of 10 is used up, retry after 250ms`
  },
  AllTiersFailedError: {
    schema: AllTiersFailedError,
    made: new AllTiersFailedError({
      operation: "get_account",
      attempts: [attempt("mcp", "skipped", "circuit open"), attempt("rest", "failed", { _tag: "Timeout", after: 5 })]
    }),
    rejection: Rejection.allTiersFailedError("get_account", [
      attempt("mcp", "skipped", "circuit open"),
      attempt("rest", "failed", { _tag: "Timeout", after: 5 })
    ]),
    message: "No tier could serve get_account: mcp skipped (circuit open), rest failed (Timeout)"
  },
  CircuitConflictError: {
    schema: CircuitConflictError,
    made: new CircuitConflictError({ circuit: "payment-api", fields: ["window", "openDuration"] }),
    message: `Circuit "payment-api" is registered already with another window, openDuration; ` +
      `use reconfigure to change its policy, or another name`
  }
}

const fields = (error: object) => ({ ...error })

for (const [name, { made, message, rejection, schema }] of Object.entries(examples)) {
  describe(name, () => {
    const both = rejection === undefined ? [made] : [made, rejection]

    // migration: meaningful names
    it("says what happened and what to do", () => {
      for (const error of both) assert.strictEqual(error.message, message)
    })

    it("is an Error of its class, with its tag as name", () => {
      for (const error of both) {
        assert.instanceOf(error, Error)
        assert.instanceOf(error, schema as never)
        assert.strictEqual(error.name, error._tag)
        assert.strictEqual(String(error), `${error._tag}: ${message}`)
      }
    })

    it("survives JSON", () => {
      for (const error of both) {
        const json = JSON.stringify(Schema.encodeSync(schema)(error))
        const decoded = Schema.decodeUnknownSync(schema)(JSON.parse(json))
        assert.instanceOf(decoded, schema as never)
        assert.deepStrictEqual(fields(decoded), fields(error))
        assert.strictEqual(decoded.message, message)
      }
    })

    it("survives the JSON codec of its schema", () => {
      const codec = Schema.toCodecJson(schema)
      for (const error of both) {
        const json = JSON.stringify(Schema.encodeSync(codec)(error))
        assert.deepStrictEqual(fields(Schema.decodeUnknownSync(codec)(JSON.parse(json))), fields(error))
      }
    })

    it("has a readable stack, and is printed with its cause", () => {
      for (const error of both) {
        assert.include(error.stack, message)
        assert.include(Cause.pretty(Cause.fail(error)), message)
        assert.include(Cause.pretty(Cause.die(error)), message)
      }
    })

    it.effect("can be yielded, and is removed from the error channel by its tag", () =>
      Effect.gen(function*() {
        for (const error of both) {
          const failing = error as unknown as Effect.Effect<never, { readonly _tag: "SomeTag" }>
          assert.strictEqual(yield* Effect.flip(failing), error as unknown)
          const caught = Effect.fail(error as { readonly _tag: "SomeTag" }).pipe(
            Effect.catchTag(error._tag as "SomeTag", (same) => Effect.succeed(same))
          )
          assert.strictEqual(yield* caught, error as unknown)
        }
      }))

    it("prints as JSON like its plain fields", () => {
      for (const error of both) assert.strictEqual(JSON.parse(JSON.stringify(error))._tag, error._tag)
    })

    if (rejection !== undefined) {
      it("is made by the combinators as by its constructor, but for the stack", () => {
        assert.deepStrictEqual(fields(rejection), fields(made))
        assert.deepStrictEqual(Object.keys(rejection), Object.keys(made))
        assert.strictEqual(JSON.stringify(rejection), JSON.stringify(made))
        assert.strictEqual(rejection.stack, `${made._tag}: ${message}`)
      })
    }
  })
}

describe("an error inside another", () => {
  class Unavailable extends Data.TaggedError("Unavailable")<{ readonly host: string }> {}

  const exhausted = (lastError: unknown) =>
    new RetryExhaustedError({ attempts: 2, lastError, elapsed: Duration.zero, reason: "maxAttempts" })

  it("is named in the message, whatever it is", () => {
    const messages: ReadonlyArray<readonly [unknown, string]> = [
      [new Error("connection reset"), "connection reset"],
      [new TypeError(), "TypeError"],
      [new Unavailable({ host: "a" }), "Unavailable"],
      [Rejection.circuitOpenError("a", "Open", 1_000), `Circuit "a" is open, retry after 1s`],
      ["a string", "a string"],
      [42, "42"],
      [undefined, "undefined"],
      [{ status: 503 }, "status 503"],
      [{ message: "denied", authorization: "Bearer secret" }, "denied"],
      [{ authorization: "Bearer secret" }, "an object without a message"],
      [["Bearer secret"], "an array without a message"],
      [
        Object.defineProperty(new Error(), "message", {
          get: () => {
            throw new Error("no")
          }
        }),
        "an error that cannot be read"
      ]
    ]
    for (const [error, expected] of messages) {
      assert.strictEqual(exhausted(error).message, `Gave up after 2 attempts in 0: ${expected}`)
    }
  })

  it("does not keep the outer one from being encoded, whatever it is", () => {
    const cyclic: Record<string, unknown> = {}
    cyclic["self"] = cyclic
    for (
      const error of [new Error("x"), new Unavailable({ host: "a" }), cyclic, Symbol("s"), 10n, () => 1, undefined]
    ) {
      const json = JSON.stringify(Schema.encodeSync(RetryExhaustedError)(exhausted(error)))
      assert.instanceOf(Schema.decodeUnknownSync(RetryExhaustedError)(JSON.parse(json)), RetryExhaustedError)
    }
  })

  it("keeps what JSON can carry of it, its tag and fields included", () => {
    class Refused extends Schema.TaggedError<Refused>()("Refused", { status: Schema.Number }) {}
    const inner = Object.assign(new Error("socket"), { code: "ECONNRESET", at: undefined, f: () => 1, n: NaN })
    const errors: ReadonlyArray<readonly [unknown, object]> = [
      [new Refused({ status: 503 }), { _tag: "Refused", status: 503 }],
      [inner, { name: "Error", message: "socket", code: "ECONNRESET", n: "NaN" }],
      [new Error("outer", { cause: inner }), { message: "outer", cause: { code: "ECONNRESET" } }],
      [{ status: 503, tags: ["a", null], when: new Date(0) }, {
        status: 503,
        tags: ["a", null],
        when: "1970-01-01T00:00:00.000Z"
      }]
    ]
    for (const [error, kept] of errors) {
      const json = JSON.stringify(Schema.encodeSync(RetryExhaustedError)(exhausted(error)))
      const { lastError } = Schema.decodeUnknownSync(RetryExhaustedError)(JSON.parse(json))
      expect(lastError).toMatchObject(kept)
      assert.strictEqual(lastError instanceof Error, error instanceof Error)
    }
  })

  it("that says how it is written as JSON is written so, and is no Error without a text for a message", () => {
    const written: ReadonlyArray<readonly [unknown, unknown]> = [
      [{ secret: 1, toJSON: () => ({ shown: 1 }) }, { shown: 1 }],
      [{ toJSON: "not a function" }, { toJSON: "not a function" }],
      [{ message: 5 }, { message: 5 }]
    ]
    for (const [error, kept] of written) {
      const json = JSON.stringify(Schema.encodeSync(RetryExhaustedError)(exhausted(error)))
      assert.deepStrictEqual(Schema.decodeUnknownSync(RetryExhaustedError)(JSON.parse(json)).lastError, kept)
    }
  })

  it("leaves bytes behind on the wire, and of a long list what is above the bound", () => {
    const bodyOf = (body: unknown): unknown => {
      const { lastError } = Schema.encodeSync(RetryExhaustedError)(exhausted(Object.assign(new Error("x"), { body })))
      return Reflect.get(Object(lastError), "body")
    }
    assert.strictEqual(bodyOf(new Uint8Array(3_000_000)), "Uint8Array(3000000)")
    assert.strictEqual(bodyOf(Buffer.alloc(1_000)), "Buffer(1000)")
    assert.isAtMost(Object(bodyOf(Array.from({ length: 3_000_000 }, () => 1))).length, 10_000)
  })

  it("is bounded on the wire, and its getters may throw", () => {
    let deep: unknown = "end"
    for (let i = 0; i < 10_000; i++) deep = { deep }
    const wide = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`k${i}`, i]))
    const nasty = {
      get x(): never {
        throw new Error("no")
      }
    }
    for (const error of [deep, wide, nasty]) {
      const json = JSON.stringify(Schema.encodeSync(RetryExhaustedError)(exhausted(error)))
      assert.isBelow(json.length, 300_000)
    }
  })

  it("keeps its name and message as JSON if it is an Error", () => {
    const json = JSON.stringify(Schema.encodeSync(RetryExhaustedError)(exhausted(new TypeError("no"))))
    const { lastError } = Schema.decodeUnknownSync(RetryExhaustedError)(JSON.parse(json))
    assert.isTrue(lastError instanceof Error && lastError.name === "TypeError" && lastError.message === "no")
  })
})

describe("errors are values", () => {
  for (const [name, { made, rejection, schema }] of Object.entries(examples)) {
    it(`${name}: equal however they were made, and different with another field`, () => {
      const same = [made, rejection ?? made, Schema.decodeUnknownSync(schema)(Schema.encodeSync(schema)(made))]
        // Of an error inside, the wire keeps less than the error.
        .slice(0, name.startsWith("Retry") || name.startsWith("All") ? 2 : 3)
      for (const one of same) {
        for (const other of same) {
          assert.isTrue(Equal.equals(one, other))
          assert.strictEqual(Hash.hash(one), Hash.hash(other))
          assert.deepStrictEqual(Exit.fail(one), Exit.fail(other))
          nodeAssert.deepStrictEqual(Exit.fail(one), Exit.fail(other))
          expect(Exit.fail(one)).toEqual(Exit.fail(other))
          expect(one).toStrictEqual(other)
        }
      }
      const another = Object.assign(Object.create(Object.getPrototypeOf(made)), made, { extra: 1 })
      const field = Object.keys(made).find((key) => key !== "_tag")!
      const changed = Object.assign(Object.create(Object.getPrototypeOf(made)), made, { [field]: "changed" })
      for (const other of [another, changed, new Error("x"), { ...made }, null]) {
        assert.isFalse(Equal.equals(made, other))
        assert.throws(() => nodeAssert.deepStrictEqual(made, other))
      }
      assert.throws(() => assert.deepStrictEqual(made, changed))
    })
  }
})

describe("an error is not equal to another", () => {
  const exhausted = (lastError: unknown) =>
    new RetryExhaustedError({ attempts: 2, lastError, elapsed: Duration.zero, reason: "maxAttempts" })

  it("with the same message and another field", () => {
    const [one, other] = [503, 504].map((status) => exhausted({ _tag: "Unavailable", status }))
    assert.strictEqual(one!.message, other!.message)
    assert.isFalse(Equal.equals(one, other))
    const without = exhausted(undefined)
    const extra = Object.assign(Object.create(Object.getPrototypeOf(without)), without, { extra: undefined })
    delete extra.lastError
    assert.isFalse(Equal.equals(without, extra))
  })

  it("of a class that extends its class", () => {
    class Mine extends RetryExhaustedError {}
    const fields = { attempts: 2, lastError: "down", elapsed: Duration.zero, reason: "maxAttempts" } as const
    assert.isTrue(Equal.equals(new RetryExhaustedError(fields), exhausted("down")))
    assert.isFalse(Equal.equals(new RetryExhaustedError(fields), new Mine(fields)))
  })

  it("and spread over the buckets of a hash map", () => {
    const hashes = Array.from({ length: 100 }, (_, n) => Hash.hash(exhausted(`${n}`)))
    for (const hash of hashes) assert.isTrue(Number.isInteger(hash))
    assert.isAbove(new Set(hashes).size, 90)
  })
})

describe("what an error says of the call", () => {
  const not = { isRejection: false, isNotMade: false, isUnavailable: false }
  const rejects = { isRejection: true, isNotMade: true, isUnavailable: true }
  const kinds: Record<string, typeof not> = {
    CircuitOpenError: rejects,
    BulkheadFullError: rejects,
    RateLimitExceededError: rejects,
    CallTimeoutError: { ...not, isUnavailable: true },
    RetryExhaustedError: { ...not, isUnavailable: true },
    AllTiersFailedError: { ...not, isUnavailable: true },
    CircuitConflictError: not
  }
  const kindOf = (error: unknown) => ({
    isRejection: ResilienceError.isRejection(error),
    isNotMade: ResilienceError.isNotMade(error),
    isUnavailable: ResilienceError.isUnavailable(error)
  })

  it("is known of every error, however it was made, and of no other", () => {
    for (const { made, rejection, schema } of Object.values(examples)) {
      for (
        const error of [made, rejection ?? made, Schema.decodeUnknownSync(schema)(Schema.encodeSync(schema)(made))]
      ) {
        assert.deepStrictEqual(kindOf(error), kinds[error._tag], error._tag)
      }
    }
    const classes = Object.keys(ResilienceError).filter((name) => /^[A-Z].*Error$/.test(name))
    assert.sameMembers(classes, Object.keys(kinds))
    assert.sameMembers([...new Set(Object.values(examples).map(({ made }) => made._tag))], classes)
    for (const other of [new Error("x"), "x", undefined, { _tag: "CircuitOpenError" }]) {
      assert.deepStrictEqual(kindOf(other), not)
    }
  })

  it("is in the types as well", () => {
    type Ours = Exclude<ResilienceError.Unavailable, { readonly _tag: "CircuitBreakerError" | `RateLimit${string}` }>
    expectTypeOf<Ours["_tag"]>().toEqualTypeOf<
      "CircuitOpenError" | "BulkheadFullError" | "CallTimeoutError" | "RetryExhaustedError" | "AllTiersFailedError"
    >()
  })
})

/** How a class, or the base that it shares with the others, defines a property. */
const inheritedDescriptor = (error: object, key: PropertyKey): PropertyDescriptor | undefined => {
  const prototype: object | null = Object.getPrototypeOf(error)
  if (prototype === null) return undefined
  return Object.getOwnPropertyDescriptor(prototype, key) ?? inheritedDescriptor(prototype, key)
}

it("an error is one where instanceof is not asked", () => {
  for (const { made, rejection } of Object.values(examples)) {
    for (const error of rejection === undefined ? [made] : [made, rejection]) {
      assert.strictEqual(Object.prototype.toString.call(error), "[object Error]")
    }
    for (const key of ["stack", Symbol.toStringTag]) {
      assert.isTrue(inheritedDescriptor(made, key)?.configurable)
    }
  }
})

describe("a timeout", () => {
  it("is one to Effect too", () => {
    for (const { made, rejection } of [examples["CallTimeoutError"]!]) {
      assert.isTrue(Cause.isTimeoutError(made) && Cause.isTimeoutError(rejection))
      assert.strictEqual((made as ResilienceError.CallTimeoutError)[Cause.TimeoutErrorTypeId], Cause.TimeoutErrorTypeId)
    }
    assert.isFalse(Cause.isTimeoutError(examples["BulkheadFullError"]!.made))
  })

  it("tells an attempt from the total, and what came before it", () => {
    const timeout = Duration.seconds(5)
    const attempt = new CallTimeoutError({ operation: "db", timeout, kind: "attempt" })
    assert.strictEqual(attempt.message, "an attempt of db did not complete within 5s")
    const lastError = new Error("connect ECONNREFUSED")
    const total = new CallTimeoutError({ operation: "db", timeout, kind: "total", attempts: 2, lastError })
    assert.strictEqual(
      total.message,
      "db did not complete within 5s; 2 attempts before had failed: connect ECONNREFUSED"
    )
    assert.strictEqual(total.cause, lastError)
    assert.isUndefined(attempt.cause)
    assert.include(Cause.pretty(Cause.fail(total)), "[cause]: Error: connect ECONNREFUSED")
  })
})

describe("guards", () => {
  const guards = {
    isCircuitOpenError: ResilienceError.isCircuitOpenError,
    isCallTimeoutError: ResilienceError.isCallTimeoutError,
    isRetryExhaustedError: ResilienceError.isRetryExhaustedError,
    isBulkheadFullError: ResilienceError.isBulkheadFullError,
    isRateLimitExceededError: ResilienceError.isRateLimitExceededError,
    isAllTiersFailedError: ResilienceError.isAllTiersFailedError,
    isCircuitConflictError: ResilienceError.isCircuitConflictError
  }

  it("know the errors of their class, and no others", () => {
    for (const { made, rejection } of Object.values(examples)) {
      for (const error of [made, rejection ?? made]) {
        const known = Object.entries(guards).flatMap(([name, guard]) => guard(error) ? [name] : [])
        assert.deepStrictEqual(known, [`is${error._tag}`])
      }
    }
    for (const guard of Object.values(guards)) {
      for (const value of [undefined, null, {}, { _tag: "CircuitOpenError" }, new Error("x"), "CircuitOpenError"]) {
        assert.isFalse(guard(value))
      }
    }
  })

  it("know the errors of another copy of the package, as do retry, hedge, fallback and outcome", async () => {
    vi.resetModules()
    const other = await import("effect-resilience")
    assert.notStrictEqual(other.ResilienceError.CircuitOpenError, CircuitOpenError)
    const breaker = Effect.runSync(other.CircuitBreaker.make({ name: "quotes" }))
    Effect.runSync(breaker.forceOpen())
    const call = breaker.execute(Effect.succeed("fresh"))
    const error = Effect.runSync(Effect.flip(call))

    assert.notInstanceOf(error, CircuitOpenError)
    assert.isTrue(ResilienceError.isCircuitOpenError(error) && ResilienceError.isRejection(error))
    assert.strictEqual(Outcome.classify(Exit.fail(error))._tag, "Ignored")
    assert.strictEqual(Effect.runSync(call.pipe(Fallback.onRejection(Effect.succeed("cached")))), "cached")
    assert.strictEqual(Effect.runSync(call.pipe(Fallback.onUnavailable(Effect.succeed("cached")))), "cached")
    assert.deepStrictEqual(Effect.runSync(call.pipe(Retry.withRetry({ maxAttempts: 3 }), Effect.flip)), error)
    assert.deepStrictEqual(Effect.runSync(call.pipe(Hedge.withHedge({ delay: "1 hour" }), Effect.flip)), error)
  })
})

it("a stack is no field of an error, though a tool made it one", () => {
  const { made } = examples["BulkheadFullError"]!
  const copy = Object.assign(Object.create(Object.getPrototypeOf(made)), made)
  Object.defineProperty(copy, "stack", { value: "elsewhere", enumerable: true })
  assert.isTrue(Equal.equals(made, copy) && Equal.equals(copy, made))
})

describe("a rejection", () => {
  it("may be given another stack, as any error", () => {
    const [one, two] = [Rejection.bulkheadFullError("a", 1), Rejection.bulkheadFullError("a", 1)]
    one.stack = "another"
    assert.strictEqual(one.stack, "another")
    assert.notStrictEqual(two.stack, "another")
    assert.deepStrictEqual(Object.keys(one), Object.keys(two))
    one.stack = "a third"
    assert.strictEqual(one.stack, "a third")
    Reflect.deleteProperty(one, "stack")
    assert.strictEqual(one.stack, two.stack)
  })

  it.effect("captures no stack", () =>
    Effect.gen(function*() {
      const limit = Error.stackTraceLimit
      let captured = 0
      const before = Error.prepareStackTrace
      Error.prepareStackTrace = (error) => {
        captured++
        return String(error)
      }
      try {
        const breaker = yield* CircuitBreaker.make({ name: "a" })
        yield* breaker.forceOpen()
        const error = yield* Effect.flip(breaker.execute(Effect.void))
        assert.strictEqual(error.stack, String(error))
      } finally {
        if (before === undefined) Reflect.deleteProperty(Error, "prepareStackTrace")
        else Error.prepareStackTrace = before
      }
      assert.strictEqual(captured, 0)
      assert.strictEqual(Error.stackTraceLimit, limit)
    }))

  // migration: no fallback
  it.effect("by a circuit is handled by its tag, after which only the call's errors are left", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "a" })
      yield* breaker.forceOpen()
      const handled: Effect.Effect<string, "down"> = breaker.execute(Effect.fail("down" as const)).pipe(
        Effect.catchTag("CircuitOpenError", (error) => Effect.succeed(error.state))
      )
      assert.strictEqual(yield* handled, "ForcedOpen")
    }))

  it.effect("by a bulkhead likewise", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ name: "a", limit: 1 })
      const handled: Effect.Effect<string> = Effect.never.pipe(
        Bulkhead.withBulkhead(bulkhead),
        Effect.catchTag("BulkheadFullError", (error) => Effect.succeed(error.bulkhead))
      )
      yield* Effect.forkChild(handled, { startImmediately: true })
      assert.strictEqual(yield* handled, "a")
    }))

  it.effect("that nobody handles is printed with its message", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(
        Effect.void.pipe(CircuitBreaker.withCircuitBreaker("a"), Effect.provide(CircuitBreakerRegistry.layerForcedOpen))
      )
      assert.isTrue(Exit.isFailure(exit))
      if (Exit.isFailure(exit)) {
        assert.include(Cause.pretty(exit.cause), `Circuit "a" was forced open`)
        assert.instanceOf(Cause.squash(exit.cause), CircuitOpenError)
      }
    }))

  it.effect("is the same value as another with the same fields", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.make({ defaults: CircuitPolicy.make() })
      const breaker = yield* registry.getOrCreate("a")
      yield* breaker.forceOpen()
      const [one, two] = [
        yield* Effect.flip(breaker.execute(Effect.void)),
        yield* Effect.flip(breaker.execute(Effect.void))
      ]
      assert.notStrictEqual(one, two)
      assert.deepStrictEqual(fields(one), fields(two))
    }))
})
