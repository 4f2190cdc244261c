/**
 * Runs a fallback when a call fails: answers from a cache or with a default, or
 * queues the work for later.
 *
 * **Details**
 *
 * A fallback runs on typed errors, all of them or a choice. Errors it handles
 * leave the error channel, and its own errors enter it.
 *
 * **Gotchas**
 *
 * - Defects and interruptions run no fallback: a defect is a bug, and an
 *   interruption is a decision of the caller. Use `Effect.catchDefect` inside
 *   where a dependency dies instead of failing.
 * - A fallback for every error hides the errors that deserve attention, and
 *   those that are answers, such as not-found. Prefer `onUnavailable`, or `when`.
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
 * @stability stable
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type { NoInfer } from "effect/Types"
import { checkOptions, optionNames, refuse } from "./internal/check.ts"
import { isNotMade, isUnavailable, type NotMade, type Rejection, type Unavailable } from "./ResilienceError.ts"

/**
 * What runs when a call fails: an effect, or a function that gets the error and
 * returns one.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type Fallback<E, A, E2, R> = Effect.Effect<A, E2, R> | ((error: E) => Effect.Effect<A, E2, R>)

/**
 * When a fallback runs.
 *
 * **Details**
 *
 * - `when`: whether to run the fallback for an error; the other errors pass
 *   through. If it is a refinement, the errors it tells apart leave the error
 *   channel.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Options<in E> {
  readonly when: (error: E) => boolean
}

/**
 * Options whose `when` is a refinement.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface RefinementOptions<in E, out EH extends E> extends Options<E> {
  readonly when: (error: E) => error is EH
}

/**
 * Runs a fallback when a call fails.
 *
 * **Details**
 *
 * If the fallback fails, the call fails with the fallback's error. `when`
 * chooses the errors it runs for.
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
 * @stability stable
 * @category combinators
 * @since 0.1.0
 */
export const withFallback: {
  <E, A2, E2, R2, EH extends E>(
    fallback: Fallback<NoInfer<E>, A2, E2, R2>,
    options: RefinementOptions<NoInfer<E>, EH>
  ): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, Exclude<E, EH> | E2, R | R2>
  <E, A2, E2, R2>(
    fallback: Fallback<NoInfer<E>, A2, E2, R2>,
    options: Options<NoInfer<E>>
  ): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, E | E2, R | R2>
  <E, A2, E2, R2>(
    fallback: Fallback<NoInfer<E>, A2, E2, R2>
  ): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, E2, R | R2>
  <A, E, R, A2, E2, R2, EH extends E>(
    self: Effect.Effect<A, E, R>,
    fallback: Fallback<NoInfer<E>, A2, E2, R2>,
    options: RefinementOptions<NoInfer<E>, EH>
  ): Effect.Effect<A | A2, Exclude<E, EH> | E2, R | R2>
  <A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    fallback: Fallback<NoInfer<E>, A2, E2, R2>,
    options: Options<NoInfer<E>>
  ): Effect.Effect<A | A2, E | E2, R | R2>
  <A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    fallback: Fallback<NoInfer<E>, A2, E2, R2>
  ): Effect.Effect<A | A2, E2, R | R2>
} = /* @__PURE__ */ dual(
  isDataFirst,
  <A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    fallback: Fallback<E, A2, E2, R2>,
    options?: Options<E>
  ): Effect.Effect<A | A2, E | E2, R | R2> => {
    if (options === undefined) return Effect.catch(self, handler(fallback))
    const { when } = checkOptions("Fallback.withFallback", options, OPTIONS)
    if (typeof when !== "function") refuse("Fallback.withFallback: when", "a function", when)
    return Effect.catchIf(self, when, handler(fallback))
  }
)

const OPTIONS = /* @__PURE__ */ optionNames<Options<never>>({ when: true })

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
 * @stability stable
 * @category combinators
 * @since 0.1.0
 */
export const withFallbackValue: {
  <A2>(value: A2): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, never, R>
  <A, E, R, A2>(self: Effect.Effect<A, E, R>, value: A2): Effect.Effect<A | A2, never, R>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R, A2>(self: Effect.Effect<A, E, R>, value: A2): Effect.Effect<A | A2, never, R> =>
    Effect.orElseSucceed(self, () => value)
)

/**
 * A combinator that runs a fallback for the errors `Handled`, and removes the
 * errors `Removed` from the error channel.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface OnErrors<Handled, Removed = Handled> {
  <A2, E2, R2>(
    fallback: Effect.Effect<A2, E2, R2>
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, Exclude<E, Removed> | E2, R | R2>
  <E, A2, E2, R2>(
    fallback: (error: Extract<NoInfer<E>, Handled>) => Effect.Effect<A2, E2, R2>
  ): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, Exclude<E, Removed> | E2, R | R2>
  <A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    fallback: Fallback<Extract<NoInfer<E>, Handled>, A2, E2, R2>
  ): Effect.Effect<A | A2, Exclude<E, Removed> | E2, R | R2>
}

/**
 * Runs a fallback when a call was not made: an open circuit, a full bulkhead or
 * a rate limit rejected it, or every tier of a tiered call was skipped.
 *
 * **When to use**
 *
 * Use when the fallback must not repeat an effect of the call, such as storing a
 * message that could not be sent.
 *
 * **Gotchas**
 *
 * A call whose first attempt was made and whose second was rejected fails with
 * `RetryExhaustedError`, for which this does not run: see
 * `ResilienceError.isNotMade`.
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
 * @stability stable
 * @category combinators
 * @since 0.1.0
 */
export const onRejection: OnErrors<NotMade, Rejection> = /* @__PURE__ */ onErrors(isNotMade)

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
 * @stability stable
 * @category combinators
 * @since 0.1.0
 */
export const onUnavailable: OnErrors<Unavailable> = /* @__PURE__ */ onErrors(isUnavailable)

// An effect may be a function too: the class of a service is.
const handler = <E, A, E2, R>(fallback: Fallback<E, A, E2, R>): (error: E) => Effect.Effect<A, E2, R> =>
  Effect.isEffect(fallback)
    ? () => fallback
    : typeof fallback === "function"
    ? fallback
    : refuse("Fallback: fallback", "an effect or a function that returns one", fallback)

// The guard knows more than types do: of two errors of one type, one may say that the call was made.
function onErrors<Handled, Removed>(isHandled: (error: unknown) => boolean): OnErrors<Handled, Removed> {
  return dual(
    2,
    <E, A2, E2, R2>(self: Effect.Effect<unknown, E>, fallback: Fallback<E, A2, E2, R2>) =>
      Effect.catchIf(self, isHandled, handler(fallback))
  )
}

function isDataFirst(args: IArguments): boolean {
  return Effect.isEffect(args[1]) || typeof args[1] === "function"
}
