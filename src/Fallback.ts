/**
 * What to do instead when a call fails: serve from a cache, answer with a
 * default, queue the work for later.
 *
 * **Details**
 *
 * A fallback runs on typed errors, all of them or those you choose. What it
 * handles leaves the error channel, and what it may fail with itself enters it.
 *
 * **Gotchas**
 *
 * - A defect is a bug and an interruption is a decision of the caller: neither
 *   runs a fallback. Use `Effect.catchDefect` inside where a dependency dies
 *   instead of failing.
 * - A fallback for every error hides the ones that deserve attention, and those
 *   that are answers, such as not-found. Prefer `onUnavailable`, or `when`.
 * - Put it outermost. Inside a circuit breaker or a retry, its answers make a
 *   failing dependency look healthy.
 *
 * **Example** (Answering from a cache while a circuit is open)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker, Fallback } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({ name: "recommendations" })
 *   yield* breaker.forceOpen()
 *   return yield* breaker.execute(Effect.succeed(["fresh"])).pipe(
 *     Fallback.onRejection(Effect.succeed(["cached"]))
 *   )
 * })
 *
 * await Effect.runPromise(program) // => ["cached"]
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type { NoInfer } from "effect/Types"
import { checkFunction, checkOptions, refuse } from "./internal/check.ts"
import * as Outcome from "./Outcome.ts"
import {
  type AllTiersFailedError,
  type CallTimeoutError,
  isAllTiersFailedError,
  isCallTimeoutError,
  isRetryExhaustedError,
  type RetryExhaustedError
} from "./ResilienceError.ts"

/**
 * Runs a fallback when a call fails.
 *
 * **Details**
 *
 * The fallback is an effect, or a function that gets the error. With `when` it
 * runs only for the errors that satisfy it, and the others pass through; if it
 * is a refinement, the errors it tells apart leave the error channel. If the
 * fallback fails, the call fails with the fallback's error.
 *
 * **Example** (Falling back on some errors)
 *
 * ```ts import.meta.vitest
 * import { Data, Effect } from "effect"
 * import { Fallback } from "effect-resilience"
 *
 * class NotFound extends Data.TaggedError("NotFound") {}
 * class Unreachable extends Data.TaggedError("Unreachable") {}
 *
 * const getUser = (error: NotFound | Unreachable): Effect.Effect<string, NotFound | Unreachable> => Effect.fail(error)
 *
 * const getUserOrGuest = (error: NotFound | Unreachable): Effect.Effect<string, NotFound> =>
 *   getUser(error).pipe(
 *     Fallback.withFallback(Effect.succeed("guest"), {
 *       when: (error) => error._tag === "Unreachable"
 *     })
 *   )
 *
 * await Effect.runPromise(getUserOrGuest(new Unreachable())) // => "guest"
 * const error = await Effect.runPromise(Effect.flip(getUserOrGuest(new NotFound())))
 * error._tag // => "NotFound"
 * ```
 *
 * @see {@link withFallbackValue} for a constant
 * @see {@link onUnavailable} for the errors of this package
 *
 * @category combinators
 * @since 0.1.0
 */
export const withFallback: {
  <E, EH extends E, A2, E2, R2>(
    fallback: Effect.Effect<A2, E2, R2> | ((error: NoInfer<E>) => Effect.Effect<A2, E2, R2>),
    options: { readonly when: (error: NoInfer<E>) => error is EH }
  ): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, Exclude<E, EH> | E2, R | R2>
  <E, A2, E2, R2>(
    fallback: Effect.Effect<A2, E2, R2> | ((error: NoInfer<E>) => Effect.Effect<A2, E2, R2>),
    options: { readonly when: (error: NoInfer<E>) => boolean }
  ): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, E | E2, R | R2>
  <A2, E2, R2>(
    fallback: Effect.Effect<A2, E2, R2>
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, E2, R | R2>
  <E, A2, E2, R2>(
    fallback: (error: NoInfer<E>) => Effect.Effect<A2, E2, R2>
  ): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, E2, R | R2>
  <A, E, R, EH extends E, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    fallback: Effect.Effect<A2, E2, R2> | ((error: NoInfer<E>) => Effect.Effect<A2, E2, R2>),
    options: { readonly when: (error: NoInfer<E>) => error is EH }
  ): Effect.Effect<A | A2, Exclude<E, EH> | E2, R | R2>
  <A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    fallback: Effect.Effect<A2, E2, R2> | ((error: NoInfer<E>) => Effect.Effect<A2, E2, R2>),
    options: { readonly when: (error: NoInfer<E>) => boolean }
  ): Effect.Effect<A | A2, E | E2, R | R2>
  <A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    fallback: Effect.Effect<A2, E2, R2> | ((error: NoInfer<E>) => Effect.Effect<A2, E2, R2>)
  ): Effect.Effect<A | A2, E2, R | R2>
} = dual(
  isDataFirst,
  <A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    fallback: Fallback<E, A2, E2, R2>,
    options?: { readonly when: (error: E) => boolean }
  ): Effect.Effect<A | A2, E | E2, R | R2> => {
    if (options === undefined) return Effect.catch(self, handler(fallback))
    const { when } = checkOptions("Fallback.withFallback", options, ["when"])
    return Effect.catchIf(self, checkFunction("Fallback.withFallback: when", when), handler(fallback))
  }
)

/**
 * Answers with a value when a call fails.
 *
 * **Example** (Answering with a default)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Fallback } from "effect-resilience"
 *
 * const recommendations = Effect.fail("unavailable").pipe(
 *   Fallback.withFallbackValue<ReadonlyArray<string>>([])
 * )
 *
 * await Effect.runPromise(recommendations) // => []
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const withFallbackValue: {
  <A2>(value: A2): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, never, R>
  <A, E, R, A2>(self: Effect.Effect<A, E, R>, value: A2): Effect.Effect<A | A2, never, R>
} = dual(
  2,
  <A, E, R, A2>(self: Effect.Effect<A, E, R>, value: A2): Effect.Effect<A | A2, never, R> =>
    Effect.orElseSucceed(self, () => value)
)

/**
 * An error by which a circuit, bulkhead or rate limit rejects a call, see
 * `Outcome`.
 *
 * @category models
 * @since 0.1.0
 */
export type Rejection = Outcome.Rejection

/**
 * An error that may say that a call was not made. An `AllTiersFailedError` does
 * if no tier was asked.
 *
 * @category models
 * @since 0.1.0
 */
export type NotMade = Rejection | AllTiersFailedError

/**
 * Runs a fallback when a call was not made: an open circuit, a full bulkhead or
 * a rate limit rejected it, or every tier of a tiered call was skipped.
 *
 * **When to use**
 *
 * Use when the fallback must not repeat what the call may have done, such as
 * keeping a message that could not be sent to send it later.
 *
 * **Gotchas**
 *
 * A call whose first attempt was made and whose second was rejected fails with
 * `RetryExhaustedError`, for which this does not run: see
 * `Outcome.isNotMade`.
 *
 * **Example** (Keeping a message for later)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker, Fallback } from "effect-resilience"
 *
 * const outbox: Array<string> = []
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({ name: "kafka" })
 *   yield* breaker.forceOpen()
 *   yield* breaker.execute(Effect.succeed("sent")).pipe(
 *     Fallback.onRejection((error) => Effect.sync(() => outbox.push(`order-1, while ${error.circuit} is down`)))
 *   )
 * })
 *
 * await Effect.runPromise(program)
 * outbox // => ["order-1, while kafka is down"]
 * ```
 *
 * @see {@link onUnavailable} for timeouts and exhausted retries as well
 *
 * @category combinators
 * @since 0.1.0
 */
export const onRejection: {
  <A2, E2, R2>(
    fallback: Effect.Effect<A2, E2, R2>
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, Exclude<E, Rejection> | E2, R | R2>
  <E, A2, E2, R2>(
    fallback: (error: Extract<NoInfer<E>, NotMade>) => Effect.Effect<A2, E2, R2>
  ): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, Exclude<E, Rejection> | E2, R | R2>
  <A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    fallback: Effect.Effect<A2, E2, R2> | ((error: Extract<NoInfer<E>, NotMade>) => Effect.Effect<A2, E2, R2>)
  ): Effect.Effect<A | A2, Exclude<E, Rejection> | E2, R | R2>
} = dual(
  2,
  <A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    fallback: Fallback<Extract<E, NotMade>, A2, E2, R2>
  ): Effect.Effect<A | A2, Exclude<E, Rejection> | E2, R | R2> => catchOnly(self, Outcome.isNotMade, fallback)
)

/**
 * A call that the dependency did not serve, by what this package knows: it was
 * rejected, it timed out, its retries are used up, or all of its tiers failed.
 *
 * @category models
 * @since 0.1.0
 */
export type Unavailable = Rejection | CallTimeoutError | RetryExhaustedError | AllTiersFailedError

/**
 * Runs a fallback when a call could not be served: it was rejected, it timed
 * out, its retries are used up, or all of its tiers failed.
 *
 * **When to use**
 *
 * Use as the fallback around a whole pipeline. Domain errors, which are answers
 * of the dependency, pass through.
 *
 * **Example** (Degrading when a dependency is down)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Fallback, Timeout } from "effect-resilience"
 *
 * const price = Effect.never.pipe(
 *   Timeout.withTimeout("10 millis"),
 *   Fallback.onUnavailable(Effect.succeed({ amount: 100, stale: true }))
 * )
 *
 * const { stale } = await Effect.runPromise(price)
 * stale // => true
 * ```
 *
 * @see {@link onRejection} for calls that certainly did not run
 *
 * @category combinators
 * @since 0.1.0
 */
export const onUnavailable: {
  <A2, E2, R2>(
    fallback: Effect.Effect<A2, E2, R2>
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, Exclude<E, Unavailable> | E2, R | R2>
  <E, A2, E2, R2>(
    fallback: (error: Extract<NoInfer<E>, Unavailable>) => Effect.Effect<A2, E2, R2>
  ): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, Exclude<E, Unavailable> | E2, R | R2>
  <A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    fallback: Effect.Effect<A2, E2, R2> | ((error: Extract<NoInfer<E>, Unavailable>) => Effect.Effect<A2, E2, R2>)
  ): Effect.Effect<A | A2, Exclude<E, Unavailable> | E2, R | R2>
} = dual(
  2,
  <A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    fallback: Fallback<Extract<E, Unavailable>, A2, E2, R2>
  ): Effect.Effect<A | A2, Exclude<E, Unavailable> | E2, R | R2> => catchOnly(self, isUnavailable, fallback)
)

/**
 * Whether an error says that a call could not be served.
 *
 * @category guards
 * @since 0.1.0
 */
export const isUnavailable = (error: unknown): error is Unavailable =>
  Outcome.isRejection(error) || isCallTimeoutError(error) || isRetryExhaustedError(error) ||
  isAllTiersFailedError(error)

type Fallback<E, A, E2, R> = Effect.Effect<A, E2, R> | ((error: E) => Effect.Effect<A, E2, R>)

// An effect may be a function too: the class of a service is.
const handler = <E, A, E2, R>(fallback: Fallback<E, A, E2, R>): (error: E) => Effect.Effect<A, E2, R> =>
  Effect.isEffect(fallback)
    ? () => fallback
    : typeof fallback === "function"
    ? fallback
    : refuse("Fallback: fallback", "an effect or a function that returns one", fallback)

// The guard knows more than types do: of two errors of one type, one may say that the call was made.
const catchOnly = <A, E, R, EH, A2, E2, R2, Removed>(
  self: Effect.Effect<A, E, R>,
  isHandled: (error: unknown) => boolean,
  fallback: Fallback<EH, A2, E2, R2>
): Effect.Effect<A | A2, Exclude<E, Removed> | E2, R | R2> =>
  Effect.catchIf(self, isHandled as (error: E) => error is E & EH, handler(fallback)) as Effect.Effect<
    A | A2,
    Exclude<E, Removed> | E2,
    R | R2
  >

function isDataFirst(args: IArguments): boolean {
  return Effect.isEffect(args[1]) || typeof args[1] === "function"
}
