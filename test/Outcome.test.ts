import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitPolicy, Outcome, ResilienceError } from "effect-resilience"
import { Cause, Data, Duration, Effect, Exit } from "effect"
import * as Rejection from "../src/internal/error/rejection.ts"

class NotFound extends Data.TaggedError("NotFound") {}
class Down extends Data.TaggedError("Down")<{ readonly retryAfter?: Duration.Duration }> {}

const isNotFound = (error: unknown) => error instanceof NotFound

const both = <E>(error: E, ...others: ReadonlyArray<Cause.Cause<never>>): Exit.Exit<never, E> =>
  Exit.failCause(others.reduce<Cause.Cause<E>>((cause, other) => Cause.combine(cause, other), Cause.fail(error)))

const exits: Record<string, Exit.Exit<number, unknown>> = {
  success: Exit.succeed(1),
  notFound: Exit.fail(new NotFound()),
  down: Exit.fail(new Down({})),
  defect: Exit.die(new Error("bug")),
  downAndInterrupted: both(new Down({}), Cause.interrupt()),
  notFoundAndDefect: both(new NotFound(), Cause.die("finalizer")),
  nothing: Exit.failCause(Cause.empty),
  circuitOpen: Exit.fail(Rejection.circuitOpenError("inner", "Open", 1_000)),
  bulkheadFull: Exit.fail(Rejection.bulkheadFullError("inner", 1)),
  rateLimited: Exit.fail(Rejection.rateLimitExceededError("inner", 1, Duration.seconds(1))),
  effectCircuitOpen: Exit.fail({ _tag: "CircuitBreakerError" }),
  effectRateLimited: Exit.fail({ _tag: "RateLimiterError" }),
  timedOut: Exit.fail(Rejection.callTimeoutError("inner", Duration.seconds(1)))
}

const outcomes = (classifier: Outcome.Classifier): Record<string, string> =>
  Object.fromEntries(Object.entries(exits).map(([name, exit]) => [name, classifier(exit)._tag]))

const byDefault = {
  success: "Success",
  notFound: "Failure",
  down: "Failure",
  defect: "Failure",
  downAndInterrupted: "Failure",
  notFoundAndDefect: "Failure",
  nothing: "Failure",
  circuitOpen: "Ignored",
  bulkheadFull: "Ignored",
  rateLimited: "Ignored",
  effectCircuitOpen: "Ignored",
  effectRateLimited: "Ignored",
  timedOut: "Failure"
}

describe("classify", () => {
  it("takes a success for one, errors and defects for failures, and ignores rejections from inside", () => {
    assert.deepStrictEqual(outcomes(Outcome.classify), byDefault)
  })

  it("ignores a rejection from inside only if nothing was made or broke beside it", () => {
    const full = Rejection.bulkheadFullError("inner", 1)
    const beside = (other: Cause.Cause<unknown>) =>
      Outcome.classify(Exit.failCause(Cause.combine(Cause.fail(full), other)))
    assert.strictEqual(beside(Cause.fail(full))._tag, "Ignored")
    assert.strictEqual(beside(Cause.interrupt())._tag, "Ignored")
    assert.strictEqual(beside(Cause.fail(new Down({})))._tag, "Failure")
    assert.strictEqual(beside(Cause.die("finalizer"))._tag, "Failure")
  })

  it("hands on how long an error asks to wait", () => {
    const retryAfter = Duration.seconds(7)
    assert.deepStrictEqual(Outcome.classify(Exit.fail(new Down({ retryAfter }))), { _tag: "Failure", retryAfter })
    assert.deepStrictEqual(Outcome.classify(exits["down"]!), { _tag: "Failure", retryAfter: undefined })
    assert.deepStrictEqual(Outcome.classify(Exit.die(new Down({ retryAfter }))), {
      _tag: "Failure",
      retryAfter: undefined
    })
  })
})

describe("failureIf", () => {
  // migration: expected_exception
  it("counts only the errors that satisfy it, defects and timeouts; the others are answers", () => {
    assert.deepStrictEqual(outcomes(Outcome.failureIf((error) => error instanceof Down)), {
      ...byDefault,
      notFound: "Success"
    })
  })

  it("is not asked about rejections from inside", () => {
    const seen: Array<unknown> = []
    outcomes(Outcome.failureIf((error) => {
      seen.push(error)
      return true
    }))
    assert.isFalse(seen.some(ResilienceError.isRejection))
  })

  it("hands on how long a failure asks to wait", () => {
    const retryAfter = Duration.seconds(7)
    assert.deepStrictEqual(Outcome.failureIf(() => true)(Exit.fail(new Down({ retryAfter }))), {
      _tag: "Failure",
      retryAfter
    })
  })
})

describe("failureUnless", () => {
  // migration: wrong exception type
  it("counts all errors but those that satisfy it", () => {
    assert.deepStrictEqual(outcomes(Outcome.failureUnless(isNotFound)), {
      ...byDefault,
      notFound: "Success"
    })
  })
})

describe("ignoreIf", () => {
  // migration: expected_exception
  it("ignores the errors that satisfy it", () => {
    assert.deepStrictEqual(outcomes(Outcome.ignoreIf(isNotFound)), {
      ...byDefault,
      notFound: "Ignored"
    })
  })
})

describe("a predicate", () => {
  it("is asked once about an error that holds no other", () => {
    const error = new Down({})
    const asked: Array<unknown> = []
    const ask = (error: unknown) => asked.push(error) < 0
    Outcome.failureIf(ask)(Exit.fail(error))
    Outcome.ignoreIf(ask)(Exit.fail(error))
    assert.deepStrictEqual(asked, [error, error])
  })

  it("is not asked about what is no error", () => {
    for (const exit of [Exit.die("bug"), Exit.interrupt()]) {
      assert.notStrictEqual(Outcome.ignoreIf(() => true)(exit), Outcome.ignored)
    }
  })
})

describe("outcomes", () => {
  it("are plain values", () => {
    assert.deepStrictEqual(Outcome.success, { _tag: "Success" })
    assert.deepStrictEqual(Outcome.ignored, { _tag: "Ignored" })
    assert.deepStrictEqual(Outcome.failure(), { _tag: "Failure", retryAfter: undefined })
    assert.deepStrictEqual(Outcome.failure({}), Outcome.failure())
    assert.deepStrictEqual(Outcome.failure({ retryAfter: "2 seconds" }), {
      _tag: "Failure",
      retryAfter: Duration.seconds(2)
    })
  })

  it("take a wait that makes no sense for none, since it comes from the network, and count all the same", () => {
    const nonsense: ReadonlyArray<unknown> = [
      -1,
      NaN,
      Infinity,
      -Infinity,
      "soon",
      "-5 seconds",
      "",
      {},
      [],
      null,
      true,
      10n ** 30n
    ]
    for (const retryAfter of nonsense) {
      const outcome = Outcome.failure({ retryAfter: retryAfter as Duration.Input })
      assert.strictEqual(outcome._tag, "Failure", String(retryAfter))
      if (outcome._tag === "Failure" && outcome.retryAfter !== undefined) {
        assert.isTrue(Duration.isFinite(outcome.retryAfter) && Duration.toMillis(outcome.retryAfter) >= 0)
      }
    }
    const unreadable = {
      get seconds(): never {
        throw new Error("no")
      }
    }
    for (const retryAfter of [-1, NaN, Infinity, "soon", "-5 seconds", unreadable] as ReadonlyArray<unknown>) {
      assert.deepStrictEqual(Outcome.failure({ retryAfter: retryAfter as Duration.Input }), Outcome.failure())
    }
  })

  it("are told from other values", () => {
    for (const outcome of [Outcome.success, Outcome.failure(), Outcome.ignored]) {
      assert.isTrue(Outcome.isOutcome(outcome))
    }
    for (const value of [undefined, null, "Success", {}, { _tag: "" }, { _tag: "Slow" }]) {
      assert.isFalse(Outcome.isOutcome(value))
    }
  })
})

describe("retryAfter", () => {
  it("is that of the error, or of its reason", () => {
    const retryAfter = Duration.seconds(1)
    assert.strictEqual(Outcome.retryAfter({ retryAfter }), retryAfter)
    assert.strictEqual(Outcome.retryAfter({ reason: { retryAfter } }), retryAfter)
    assert.strictEqual(Outcome.retryAfter(Rejection.rateLimitExceededError("a", 1, retryAfter)), retryAfter)
  })

  it("is none where there is no duration", () => {
    for (
      const error of [
        undefined,
        null,
        "error",
        5,
        {},
        { retryAfter: 5 },
        { retryAfter: "5 seconds" },
        {
          retryAfter: undefined
        },
        { reason: null },
        { reason: { retryAfter: 5 } }
      ]
    ) {
      assert.isUndefined(Outcome.retryAfter(error))
    }
  })

  it("is none of an error that cannot be read", () => {
    const unreadable = {
      get retryAfter(): never {
        throw new Error("the getter is broken")
      }
    }
    assert.isUndefined(Outcome.retryAfter(unreadable))
    assert.isUndefined(Outcome.retryAfter({ reason: unreadable }))
  })
})

describe("an error that holds others", () => {
  const exhausted = (lastError: unknown, rejection?: unknown) =>
    Rejection.retryExhaustedError({
      attempts: 2,
      lastError,
      elapsed: Duration.zero,
      reason: "maxAttempts",
      ...rejection === undefined ? undefined : { rejection }
    })
  const allFailed = (...errors: ReadonlyArray<unknown>) =>
    Rejection.allTiersFailedError(
      "op",
      errors.map((error, i) => ({ tier: String(i), outcome: "failed", error, duration: Duration.zero }))
    )
  const isDown = (error: unknown) => error instanceof Down
  const open = Rejection.circuitOpenError("inner", "Open", 1_000)

  const table: ReadonlyArray<readonly [string, unknown, string, string, string]> = [
    // failureIf(isDown), failureUnless(isNotFound), ignoreIf(isNotFound)
    ["retries of what counts", exhausted(new Down({})), "Failure", "Failure", "Failure"],
    ["retries of an answer", exhausted(new NotFound()), "Success", "Success", "Ignored"],
    ["retries of retries", exhausted(exhausted(new Down({}))), "Failure", "Failure", "Failure"],
    [
      "retries of a timeout",
      exhausted(Rejection.callTimeoutError("x", Duration.zero)),
      "Failure",
      "Failure",
      "Failure"
    ],
    ["retries that a rejection ended", exhausted(new NotFound(), open), "Success", "Success", "Ignored"],
    ["tiers of which one counts", allFailed(new NotFound(), new Down({})), "Failure", "Failure", "Failure"],
    ["tiers that all answered", allFailed(new NotFound(), new NotFound()), "Success", "Success", "Ignored"],
    ["tiers whose retries count", allFailed(open, exhausted(new Down({}))), "Failure", "Failure", "Failure"],
    ["tiers that were not called", allFailed(open, open), "Ignored", "Ignored", "Ignored"]
  ]
  for (const [name, error, failureIf, failureUnless, ignoreIf] of table) {
    it(`is judged by what is inside: ${name}`, () => {
      const exit = Exit.fail(error)
      assert.deepStrictEqual(
        [Outcome.failureIf(isDown)(exit), Outcome.failureUnless(isNotFound)(exit), Outcome.ignoreIf(isNotFound)(exit)]
          .map(({ _tag }) => _tag),
        [failureIf, failureUnless, ignoreIf]
      )
    })
  }

  it("may be told by the predicate itself", () => {
    const exit = Exit.fail(exhausted("x"))
    const isExhausted = ResilienceError.isRetryExhaustedError
    assert.strictEqual(Outcome.failureIf(isExhausted)(exit)._tag, "Failure")
    assert.strictEqual(Outcome.failureUnless(isExhausted)(exit)._tag, "Success")
    assert.strictEqual(Outcome.ignoreIf(isExhausted)(exit)._tag, "Ignored")
  })

  it("asks to wait as long as what is inside", () => {
    const busy = (seconds: number) => new Down({ retryAfter: Duration.seconds(seconds) })
    const hints: ReadonlyArray<readonly [unknown, number | undefined]> = [
      [exhausted(busy(7)), 7],
      [exhausted(exhausted(busy(7))), 7],
      [exhausted(new Down({}), open), 1],
      [exhausted(busy(7), open), 7],
      [exhausted(busy(0.5), open), 1],
      [allFailed(busy(7), busy(3)), 3],
      [allFailed(busy(7), new Down({})), undefined],
      [allFailed(), undefined],
      [exhausted(new Down({})), undefined]
    ]
    for (const [error, seconds] of hints) {
      const hint = Outcome.retryAfter(error)
      assert.strictEqual(hint === undefined ? undefined : Duration.toSeconds(hint), seconds)
    }
    assert.deepStrictEqual(
      Outcome.classify(Exit.fail(exhausted(busy(7)))),
      Outcome.failure({ retryAfter: "7 seconds" })
    )
  })

  it("that cannot be read is a failure like any other", () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    const unreadable = Object.defineProperty({}, "_tag", {
      get: () => {
        throw new Error("no")
      }
    })
    for (const error of [proxy, unreadable]) {
      assert.isFalse(ResilienceError.isNotMade(error) || ResilienceError.isRejection(error))
      assert.strictEqual(Outcome.classify(Exit.fail(error))._tag, "Failure")
      assert.isUndefined(Outcome.retryAfter(error))
    }
    const tiers = allFailed(open)
    Object.assign(tiers, { attempts: [{ tier: "a", outcome: "failed", error: tiers, duration: Duration.zero }] })
    assert.isFalse(ResilienceError.isNotMade(tiers))
  })

  it("that holds itself has an end", () => {
    const error = Object.assign(exhausted("x"), {})
    Object.assign(error, { lastError: error, rejection: error })
    assert.isUndefined(Outcome.retryAfter(error))
    assert.strictEqual(Outcome.failureUnless(isNotFound)(Exit.fail(error))._tag, "Failure")
  })

  it("is no rejection once an attempt was made", () => {
    assert.isFalse(ResilienceError.isNotMade(exhausted("x", open)))
    assert.isFalse(ResilienceError.isNotMade(allFailed(open, "x")))
    assert.isFalse(ResilienceError.isNotMade(allFailed()))
    assert.isTrue(ResilienceError.isNotMade(allFailed(open, allFailed(open))))
    assert.isFalse(ResilienceError.isRejection(allFailed(open)))
    assert.isTrue(ResilienceError.isNotMade(
      Rejection.allTiersFailedError("op", [{ tier: "a", outcome: "skipped", error: "late", duration: Duration.zero }])
    ))
  })
})

describe("a hint that makes no sense", () => {
  it("is none, and the failure counts", () => {
    for (const retryAfter of [Duration.millis(-1), -1, NaN, "soon", new Date(NaN), null]) {
      const error = { retryAfter }
      assert.isUndefined(Outcome.retryAfter(error))
      assert.deepStrictEqual(Outcome.classify(Exit.fail(error)), Outcome.failure())
    }
  })

  it.effect("neither opens a circuit for ever nor not at all", () =>
    Effect.gen(function*() {
      for (const retryAfter of ["soon", -5, NaN, Infinity, undefined, {}]) {
        const breaker = yield* CircuitBreaker.make({
          name: "api",
          policy: CircuitPolicy.make({
            consecutiveFailures: 1,
            openDuration: "10 seconds",
            classify: () => Outcome.failure({ retryAfter: retryAfter as Duration.Input })
          })
        })
        yield* Effect.exit(breaker.execute(Effect.fail("429")))
        const { failedCalls, state, timeUntilRetry } = yield* breaker.metrics
        assert.deepStrictEqual([state, failedCalls, timeUntilRetry], ["Open", 1, Duration.seconds(10)])
      }
    }))
})

describe("parseRetryAfter", () => {
  const now = Date.parse("2026-01-01T00:00:00Z")

  it("reads seconds and the dates of RFC 9110", () => {
    const headers: ReadonlyArray<readonly [string, number]> = [
      ["0", 0],
      ["120", 120_000],
      [" 1.5 ", 1_500],
      ["1.25", 1_250],
      ["Thu, 01 Jan 2026 00:01:00 GMT", 60_000],
      ["Thursday, 01-Jan-26 00:01:00 GMT", 60_000],
      ["Thu Jan  1 00:01:00 2026 GMT", 60_000]
    ]
    for (const [header, millis] of headers) {
      assert.deepStrictEqual(Outcome.parseRetryAfter(header, now), Duration.millis(millis), header)
    }
  })

  it("takes what has passed, or makes no sense, for no hint", () => {
    const headers = [
      "Wed, 21 Oct 2015 07:28:00 GMT",
      "Thu, 01 Jan 2026 00:00:00 GMT",
      "-5",
      "soon",
      "",
      "   ",
      "1e3",
      "Infinity",
      "9".repeat(400),
      "5 seconds",
      "2026-01-01T00:01:00Z",
      "Thu, 99 Jan 2026",
      "(soon) Thu, 01 Jan 2026 00:01:00 GMT",
      "Monday",
      "1, 2",
      null,
      undefined
    ]
    for (const header of headers) assert.isUndefined(Outcome.parseRetryAfter(header, now), String(header))
  })
})

describe("isRejection", () => {
  it("is true of the errors that kept a call from being made", () => {
    const rejections = Object.entries(exits).filter(([, exit]) =>
      Exit.isFailure(exit) &&
      exit.cause.reasons.some((reason) => Cause.isFailReason(reason) && ResilienceError.isRejection(reason.error))
    )
    assert.deepStrictEqual(rejections.map(([name]) => name), [
      "circuitOpen",
      "bulkheadFull",
      "rateLimited",
      "effectCircuitOpen",
      "effectRateLimited"
    ])
    for (const _tag of ["CircuitBreakerError", "RateLimiterError", "RateLimitStoreError"]) {
      assert.isTrue(ResilienceError.isRejection({ _tag }))
    }
  })

  it("is false of other values", () => {
    for (const value of [undefined, null, {}, { _tag: "CircuitOpenError" }, new Error("x")]) {
      assert.isFalse(ResilienceError.isRejection(value))
    }
  })
})

describe("on a circuit", () => {
  it.effect("a missing account does not open it, and one that is down does", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        name: "accounts",
        policy: CircuitPolicy.make({ consecutiveFailures: 1, classify: Outcome.failureUnless(isNotFound) })
      })
      yield* Effect.exit(breaker.execute(Effect.fail(new NotFound())))
      assert.strictEqual(yield* breaker.state, "Closed")
      assert.strictEqual((yield* breaker.metrics).successfulCalls, 1)
      yield* Effect.exit(breaker.execute(Effect.fail(new Down({}))))
      assert.strictEqual(yield* breaker.state, "Open")
    }))
})
