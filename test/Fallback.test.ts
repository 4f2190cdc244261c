import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Duration, Effect, Exit, Fiber, Schema } from "effect"
import { expectTypeOf } from "vitest"
import * as Fallback from "../src/Fallback.ts"
import {
  bulkheadFullError,
  callTimeoutError,
  circuitOpenError,
  rateLimitExceededError
} from "../src/internal/error/rejection.ts"
import {
  AllTiersFailedError,
  BulkheadFullError,
  CallTimeoutError,
  type CircuitOpenError,
  isUnavailable,
  RetryExhaustedError
} from "../src/ResilienceError.ts"
import type * as Retry from "../src/Retry.ts"
import { interruptEverywhere } from "./support/interruptEverywhere.ts"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}
class Unreachable extends Schema.TaggedError<Unreachable>()("Unreachable", { host: Schema.String }) {}
class CacheMiss extends Schema.TaggedError<CacheMiss>()("CacheMiss", {}) {}
class Cache extends Context.Service<Cache, string>()("test/Cache") {}
class Users extends Context.Service<Users, string>()("test/Users") {}

const unreachable = new Unreachable({ host: "users" })
const open = circuitOpenError("users", "Open", 1000)

const rejections = [open, bulkheadFullError("users", 1), rateLimitExceededError("users", 1, Duration.zero)]
const unserved = [
  callTimeoutError("get_user", Duration.seconds(1)),
  new RetryExhaustedError({ attempts: 3, lastError: open, elapsed: Duration.zero, reason: "maxAttempts" }),
  new AllTiersFailedError({ operation: "get_user", attempts: [] })
]

/** What must never run a fallback, whatever the combinator. */
const neverRuns = (
  withFallback: (
    fallback: Effect.Effect<string>
  ) => <E>(self: Effect.Effect<never, E>) => Effect.Effect<string, unknown>
) => {
  const forbidden = Effect.sync(() => assert.fail("the fallback ran"))

  it.effect("does not run on a success", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* withFallback(forbidden)(Effect.succeed("fresh") as Effect.Effect<never>), "fresh")
    }))

  it.effect("does not run on a defect, nor on a failure together with one", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Effect.exit(withFallback(forbidden)(Effect.die("bug"))), Exit.die("bug"))

      const both = Effect.failCause(Cause.combine(Cause.fail(open), Cause.die("bug")))
      assert.isTrue(Exit.hasDies(yield* Effect.exit(withFallback(forbidden)(both))))
    }))

  it.effect("does not run on an interruption from inside", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(withFallback(forbidden)(Effect.interrupt))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    }))

  it.effect("does not run when the caller is interrupted, even if the call then fails", () =>
    Effect.gen(function*() {
      const started = yield* Deferred.make<void>()
      const fiber = yield* Deferred.succeed(started, undefined).pipe(
        Effect.andThen(Effect.never),
        Effect.onInterrupt(() => Effect.fail(open)),
        withFallback(forbidden),
        Effect.forkChild({ startImmediately: true })
      )
      yield* Deferred.await(started)
      yield* Fiber.interrupt(fiber)

      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
    }))

  it.effect("does not run after an interruption, wherever it happens", () =>
    Effect.gen(function*() {
      let ran = 0
      const operations = yield* interruptEverywhere(
        Effect.andThen(Effect.yieldNow, Effect.fail(open)).pipe(
          withFallback(Effect.as(Effect.andThen(Effect.yieldNow, Effect.sync(() => ran++)), "cached"))
        ),
        (operation) =>
          Effect.gen(function*() {
            const before = ran
            for (let i = 0; i < 5; i++) yield* Effect.yieldNow
            assert.strictEqual(ran, before, `interrupted at operation ${operation}`)
          })
      )
      assert.isAbove(operations, 5)
    }))
}

describe("withFallback", () => {
  neverRuns((fallback) => Fallback.withFallback(fallback))

  // migration: fall back to cached data
  it.effect("runs an effect on a failure", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* Effect.fail(unreachable).pipe(Fallback.withFallback(Effect.succeed("cached"))),
        "cached"
      )
      assert.strictEqual(yield* Fallback.withFallback(Effect.fail(unreachable), Effect.succeed("cached")), "cached")
    }))

  it.effect("gives a function the error", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* Effect.fail(unreachable).pipe(Fallback.withFallback((error) => Effect.succeed(error.host))),
        "users"
      )
      assert.strictEqual(
        yield* Fallback.withFallback(Effect.fail(unreachable), (error) => Effect.succeed(error.host)),
        "users"
      )
    }))

  it.effect("takes a service for an effect, though its class is a function", () =>
    Effect.gen(function*() {
      const call = Effect.fail(unreachable)

      assert.strictEqual(yield* call.pipe(Fallback.withFallback(Cache)), "cached")
      assert.strictEqual(yield* Fallback.withFallback(call, Cache), "cached")
    }).pipe(Effect.provideService(Cache, "cached")))

  it.effect("fails with the error of the fallback if that fails", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(
        Effect.fail(unreachable).pipe(Fallback.withFallback(Effect.fail(new CacheMiss())))
      )

      assert.deepStrictEqual(exit, Exit.fail(new CacheMiss()))
    }))

  it("is an effect or a function, and anything else is named where it is put around a call", () => {
    for (const [fallback, shown] of [["cached", "\"cached\""], [{}, "{}"]] as const) {
      assert.throws(
        () => Effect.fail("down").pipe(Fallback.withFallback(fallback as unknown as Effect.Effect<string>)),
        RangeError,
        `Fallback: fallback must be an effect or a function that returns one, got ${shown}`
      )
    }
  })

  it.effect("dies with what a function throws", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(
        Effect.fail(unreachable).pipe(
          Fallback.withFallback((): Effect.Effect<string> => {
            throw new Error("bug")
          })
        )
      )
      assert.isTrue(Exit.hasDies(exit))
    }))

  it.effect("runs only for the errors that satisfy when, in both styles", () =>
    Effect.gen(function*() {
      const when = (error: NotFound | Unreachable): error is Unreachable => error._tag === "Unreachable"
      const cached = Effect.succeed("cached")
      const call = (error: NotFound | Unreachable): Effect.Effect<string, NotFound | Unreachable> => Effect.fail(error)

      assert.strictEqual(yield* call(unreachable).pipe(Fallback.withFallback(cached, { when })), "cached")
      assert.strictEqual(yield* Fallback.withFallback(call(unreachable), cached, { when }), "cached")
      assert.deepStrictEqual(
        yield* Effect.exit(call(new NotFound()).pipe(Fallback.withFallback(cached, { when }))),
        Exit.fail(new NotFound())
      )
      assert.deepStrictEqual(
        yield* Effect.exit(Fallback.withFallback(call(new NotFound()), cached, { when })),
        Exit.fail(new NotFound())
      )
    }))

  it("refuses options without a function in when, where they are written", () => {
    for (const when of [undefined, null, "Unreachable"]) {
      assert.throws(
        () => Fallback.withFallback(Effect.fail("a"), Effect.succeed("b"), { when } as never),
        RangeError,
        "Fallback.withFallback: when must be a function, got"
      )
    }
  })

  it("removes what it handles from the errors, and adds what the fallback raises", () => {
    const call = Users as unknown as Effect.Effect<string, NotFound | Unreachable, Users>
    const cached = Cache as unknown as Effect.Effect<number, CacheMiss, Cache>
    type All = Effect.Effect<string | number, CacheMiss, Users | Cache>
    type Some = Effect.Effect<string | number, NotFound | CacheMiss, Users | Cache>
    type Either = Effect.Effect<string | number, NotFound | Unreachable | CacheMiss, Users | Cache>

    expectTypeOf(call.pipe(Fallback.withFallback(cached))).toEqualTypeOf<All>()
    expectTypeOf(Fallback.withFallback(call, cached)).toEqualTypeOf<All>()
    expectTypeOf(Fallback.withFallback(cached)(call)).toEqualTypeOf<All>()
    expectTypeOf(call.pipe(Fallback.withFallback((error) => {
      expectTypeOf(error).toEqualTypeOf<NotFound | Unreachable>()
      return cached
    }))).toEqualTypeOf<All>()
    expectTypeOf(Fallback.withFallback(call, (error) => {
      expectTypeOf(error).toEqualTypeOf<NotFound | Unreachable>()
      return cached
    })).toEqualTypeOf<All>()

    expectTypeOf(
      call.pipe(Fallback.withFallback(cached, { when: (error) => error._tag === "Unreachable" }))
    ).toEqualTypeOf<Some>()
    expectTypeOf(
      Fallback.withFallback(call, cached, { when: (error) => error._tag === "Unreachable" })
    ).toEqualTypeOf<Some>()
    expectTypeOf(
      call.pipe(Fallback.withFallback((error) => {
        expectTypeOf(error).toEqualTypeOf<NotFound | Unreachable>()
        return cached
      }, { when: (error) => error._tag === "Unreachable" }))
    ).toEqualTypeOf<Some>()

    expectTypeOf(
      call.pipe(Fallback.withFallback(cached, { when: (error) => error.message === "" }))
    ).toEqualTypeOf<Either>()
    expectTypeOf(Fallback.withFallback(call, cached, { when: (error) => error.message === "" })).toEqualTypeOf<Either>()
  })
})

describe("withFallbackValue", () => {
  neverRuns((fallback) => (self) =>
    Fallback.withFallbackValue(self, "cached").pipe(Effect.tap((a) => a === "cached" ? fallback : Effect.void))
  )

  // migration: fall back to cached data
  it.effect("answers with the value", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Effect.fail("down").pipe(Fallback.withFallbackValue([])), [])
      assert.isUndefined(yield* Fallback.withFallbackValue(Effect.fail("down"), undefined))
    }))

  it("leaves no errors", () => {
    const call = Users as unknown as Effect.Effect<string, NotFound, Users>

    expectTypeOf(call.pipe(Fallback.withFallbackValue(1))).toEqualTypeOf<Effect.Effect<string | number, never, Users>>()
    expectTypeOf(Fallback.withFallbackValue(call, 1)).toEqualTypeOf<Effect.Effect<string | number, never, Users>>()
  })
})

describe("onRejection", () => {
  neverRuns((fallback) => Fallback.onRejection(fallback))

  it.effect("runs when a call was not made", () =>
    Effect.gen(function*() {
      for (const error of rejections) {
        assert.strictEqual(yield* Effect.fail(error).pipe(Fallback.onRejection(Effect.succeed("cached"))), "cached")
        assert.strictEqual(yield* Fallback.onRejection(Effect.fail(error), (e) => Effect.succeed(e._tag)), error._tag)
      }
    }))

  it.effect("does not run for a call that may have been made, nor for other errors", () =>
    Effect.gen(function*() {
      for (const error of [...unserved, unreachable]) {
        assert.strictEqual(yield* Effect.flip(Effect.fail(error).pipe(Fallback.onRejection(Effect.void))), error)
      }
    }))

  it("removes the rejections", () => {
    const call = Users as unknown as Effect.Effect<
      string,
      NotFound | CircuitOpenError | BulkheadFullError | CallTimeoutError,
      Users
    >
    const cached = Cache as unknown as Effect.Effect<number, CacheMiss, Cache>
    type Handled = Effect.Effect<string | number, NotFound | CallTimeoutError | CacheMiss, Users | Cache>

    expectTypeOf(call.pipe(Fallback.onRejection(cached))).toEqualTypeOf<Handled>()
    expectTypeOf(Fallback.onRejection(cached)(call)).toEqualTypeOf<Handled>()
    expectTypeOf(Fallback.onRejection(call, cached)).toEqualTypeOf<Handled>()
    expectTypeOf(call.pipe(Fallback.onRejection((error) => {
      expectTypeOf(error).toEqualTypeOf<CircuitOpenError | BulkheadFullError>()
      return cached
    }))).toEqualTypeOf<Handled>()
    expectTypeOf(Fallback.onRejection(call, (error) => {
      expectTypeOf(error).toEqualTypeOf<CircuitOpenError | BulkheadFullError>()
      return cached
    })).toEqualTypeOf<Handled>()
  })
})

describe("onUnavailable", () => {
  neverRuns((fallback) => Fallback.onUnavailable(fallback))

  // migration: CircuitBreakerOpenException
  it.effect("runs when a call was not served", () =>
    Effect.gen(function*() {
      for (const error of [...rejections, ...unserved]) {
        assert.isTrue(isUnavailable(error))
        assert.strictEqual(yield* Effect.fail(error).pipe(Fallback.onUnavailable(Effect.succeed("cached"))), "cached")
        assert.strictEqual(yield* Fallback.onUnavailable(Effect.fail(error), (e) => Effect.succeed(e._tag)), error._tag)
      }
    }))

  it.effect("does not run for the answers of a dependency", () =>
    Effect.gen(function*() {
      assert.isFalse(isUnavailable(unreachable))
      assert.strictEqual(
        yield* Effect.flip(Effect.fail(unreachable).pipe(Fallback.onUnavailable(Effect.void))),
        unreachable
      )
    }))

  it("removes the errors of this package", () => {
    type E = NotFound | CircuitOpenError | CallTimeoutError
    const call = Users as unknown as Effect.Effect<string, E | Retry.RetryExhausted<E>, Users>
    const cached = Cache as unknown as Effect.Effect<number, CacheMiss, Cache>
    type Handled = Effect.Effect<string | number, NotFound | CacheMiss, Users | Cache>

    expectTypeOf(call.pipe(Fallback.onUnavailable(cached))).toEqualTypeOf<Handled>()
    expectTypeOf(Fallback.onUnavailable(call, cached)).toEqualTypeOf<Handled>()
    expectTypeOf(call.pipe(Fallback.onUnavailable((error) => {
      expectTypeOf(error).toEqualTypeOf<CircuitOpenError | CallTimeoutError | Retry.RetryExhausted<E>>()
      return cached
    }))).toEqualTypeOf<Handled>()
  })
})
