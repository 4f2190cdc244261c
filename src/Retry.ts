/**
 * Retries failed calls with increasing delays.
 *
 * **Details**
 *
 * The n-th retry waits `baseDelay × factor^(n - 1)`, at most `maxDelay`, spread
 * by jitter so that callers that failed together do not retry together.
 *
 * If every attempt fails, or the time or the retry budget runs out, the effect
 * fails with `RetryExhaustedError`. Errors that are not retried pass through
 * unchanged:
 *
 * - errors that `while` refuses;
 * - rejections by an open circuit, unless `waitForCircuit` is set;
 * - errors whose `retryAfter` asks for a longer wait than `maxRetryAfter`;
 * - defects and interruptions.
 *
 * Constructors and combinators throw a `RangeError` if an option is unknown or
 * out of its range.
 *
 * **Gotchas**
 *
 * - Only retry calls that may run twice. A call that failed may still have had
 *   its effect on the other side.
 * - Retries multiply: three attempts of a call that makes three attempts are
 *   nine. Retry at one level, and bound all retries with a `RetryBudget`.
 *
 * **Example** (Retrying a call)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Retry } from "effect-resilience"
 *
 * let calls = 0
 * const flaky = Effect.suspend(() => ++calls < 3 ? Effect.fail("unavailable") : Effect.succeed("served"))
 *
 * const program = flaky.pipe(
 *   Retry.withRetry({ maxAttempts: 3, baseDelay: "10 millis" })
 * )
 *
 * await Effect.runPromise(program) // => "served"
 * calls // => 3
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Schedule from "effect/Schedule"
import * as Attempts from "./internal/retry/attempts.ts"
import * as Policy from "./internal/retry/policy.ts"
import type { RetryExhaustedError } from "./ResilienceError.ts"
import type * as RetryBudget from "./RetryBudget.ts"

/**
 * Identifies a `RetryPolicy` at runtime.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = Policy.TypeId

/**
 * Identifies a `RetryPolicy` in types.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-resilience/RetryPolicy"

/**
 * How the wait before a retry is spread, where `v` is the exponential delay and
 * `U(a, b)` a random time between two.
 *
 * **Details**
 *
 * - `none`: `v`.
 * - `proportional`: `v × U(0.5, 1.5)`.
 * - `full`: `U(0, v)`. Spreads callers best, and may retry at once.
 * - `equal`: `v / 2 + U(0, v / 2)`. Waits at least half.
 * - `decorrelated`: `U(baseDelay, 3 × the last wait)`. Ignores `factor`.
 *
 * No wait is longer than `maxDelay`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type Jitter = "none" | "proportional" | "full" | "equal" | "decorrelated"

/**
 * How often and how fast to retry, for errors of any type.
 *
 * **Details**
 *
 * - `maxAttempts`: attempts, the first included; 3 by default, or without
 *   limit if there is a `schedule`. `Infinity` sets no limit.
 * - `baseDelay`: wait before the first retry; 1 second by default.
 * - `maxDelay`: longest wait; 60 seconds by default.
 * - `factor`: what each wait is multiplied by to get the next, from 1; 2 by
 *   default.
 * - `jitter`: how waits are spread; `"proportional"` by default.
 * - `maxRetryAfter`: longest `retryAfter` of an error that is waited for. An
 *   error that asks for more is not retried. `maxDelay` by default.
 * - `maxElapsed`: no retry starts later than this after the first attempt
 *   started; no limit by default.
 * - `waitForCircuit`: wait out the `retryAfter` of an open circuit, however
 *   long, and try again; `false` by default. The rejection of a circuit that is
 *   forced open without an end always passes through.
 * - `budget`: bounds the retries of all calls that share it; none by default.
 *   A budget, or the class of a budget service.
 * - `operation`: names the call in metrics; the name of the pipeline by
 *   default, `call` outside of one.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface PlainOptions<out R = never> {
  readonly maxAttempts?: number | undefined
  readonly baseDelay?: Duration.Input | undefined
  readonly maxDelay?: Duration.Input | undefined
  readonly factor?: number | undefined
  readonly jitter?: Jitter | undefined
  readonly maxRetryAfter?: Duration.Input | undefined
  readonly maxElapsed?: Duration.Input | undefined
  readonly waitForCircuit?: boolean | undefined
  readonly budget?: RetryBudget.Target<R> | undefined
  readonly operation?: string | undefined
  readonly while?: undefined
  readonly whileSuccess?: undefined
  readonly onRetry?: undefined
  readonly schedule?: undefined
}

/**
 * How to retry.
 *
 * **Details**
 *
 * Besides the {@link PlainOptions}:
 *
 * - `while`: whether to retry after an error; always by default. It is not
 *   asked about the rejection of an open circuit, see `waitForCircuit`.
 * - `onRetry`: runs before the wait for each retry, in a fiber of its own: it
 *   cannot delay the call, and its failure is logged.
 * - `schedule`: gives the waits, in place of `baseDelay`, `maxDelay`, `factor`
 *   and `jitter`; its input is the error. The attempts are used up when it
 *   ends.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Options<in E = unknown, out R = never>
  extends Omit<PlainOptions<R>, "while" | "onRetry" | "schedule">
{
  readonly while?: ((error: E) => boolean) | undefined
  readonly onRetry?: ((retry: RetryInfo<E>) => Effect.Effect<unknown, unknown, R>) | undefined
  readonly schedule?: Schedule.Schedule<unknown, E, never, R> | undefined
}

/**
 * How to retry values as well as errors.
 *
 * **Details**
 *
 * Besides the {@link Options}, without `schedule`:
 *
 * - `whileSuccess`: whether to retry a value, such as "not ready yet". When the
 *   retries end, the last value is the result.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface ValueOptions<in A, in E = unknown, out R = never>
  extends Omit<Options<E, R>, "whileSuccess" | "schedule">
{
  readonly whileSuccess: (value: A) => boolean
  readonly schedule?: undefined
}

/**
 * A retry that is about to be made.
 *
 * **Details**
 *
 * - `attempt`: number of the attempt that failed, from 1.
 * - `delay`: wait before the next one.
 * - `error`: what it failed with; `undefined` if it succeeded and
 *   `whileSuccess` asks for another.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface RetryInfo<out E> {
  readonly attempt: number
  readonly delay: Duration.Duration
  readonly error: E
}

/**
 * How to retry, as a value that many calls can share.
 *
 * @see {@link make} for creating one
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface RetryPolicy<in E = unknown, out R = never, in A = unknown> {
  readonly [TypeId]: TypeId
  readonly maxAttempts: number
  readonly baseDelay: Duration.Duration
  readonly maxDelay: Duration.Duration
  readonly factor: number
  readonly jitter: Jitter
  readonly maxRetryAfter: Duration.Duration
  /** Infinite if there is no limit. */
  readonly maxElapsed: Duration.Duration
  readonly waitForCircuit: boolean
  readonly budget: RetryBudget.Target<R> | undefined
  readonly operation: string | undefined
  readonly while: ((error: E) => boolean) | undefined
  readonly whileSuccess: ((value: A) => boolean) | undefined
  readonly onRetry: ((retry: RetryInfo<E>) => Effect.Effect<unknown, unknown, R>) | undefined
  readonly schedule: Schedule.Schedule<unknown, E, never, R> | undefined
  /** The policy in words, as `up to 3 attempts, 1s × 2ⁿ up to 1m, jitter proportional`. */
  readonly description: string
}

/**
 * Error of a call whose retries are used up, which knows the type of the last
 * error. A call that cannot fail has none.
 *
 * @stability stable
 * @category utility types
 * @since 0.1.0
 */
export type RetryExhausted<E> = [E] extends [never] ? never : RetryExhaustedError & { readonly lastError: E }

/**
 * Whether a value is a `RetryPolicy`.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isRetryPolicy = (u: unknown): u is RetryPolicy => Predicate.hasProperty(u, TypeId)

/**
 * Creates a policy.
 *
 * **When to use**
 *
 * Use when several calls retry alike, and for calls that are made often: the
 * options are checked here once, instead of once per call.
 *
 * **Example** (Sharing a policy)
 *
 * ```ts import.meta.vitest
 * import { Retry } from "effect-resilience"
 *
 * const policy = Retry.make({ maxAttempts: 5, baseDelay: "100 millis", maxDelay: "5 seconds", jitter: "full" })
 *
 * policy.description // => "up to 5 attempts, 100ms × 2ⁿ up to 5s, jitter full"
 * ```
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export function make<E = unknown>(options?: Options<E>): RetryPolicy<E>
export function make<E = unknown, R = never>(options: Options<E, R>): RetryPolicy<E, R>
export function make<A, E = unknown>(options: ValueOptions<A, E>): RetryPolicy<E, never, A>
export function make<A, E = unknown, R = never>(options: ValueOptions<A, E, R>): RetryPolicy<E, R, A>
// Those without `R` keep what a policy needs from being inferred from where it is written.
export function make<A, E, R>(options: Policy.AnyOptions<A, E, R> = {}): RetryPolicy<E, R, A> {
  return Policy.make(options)
}

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * Retries an effect while it fails.
 *
 * **Details**
 *
 * Takes a policy or its options. The error channel gets `RetryExhaustedError`,
 * whose `lastError` has the type of the call's errors, and keeps the errors
 * themselves for those that are not retried. A policy of one attempt fails
 * with `RetryExhaustedError` as well.
 *
 * **Gotchas**
 *
 * Each attempt runs the same effect. What must differ between attempts, such
 * as a timestamp, has to be computed inside it.
 *
 * **Example** (Retrying only some errors)
 *
 * ```ts import.meta.vitest
 * import { Data, Effect } from "effect"
 * import { Retry } from "effect-resilience"
 *
 * class HttpError extends Data.TaggedError("HttpError")<{ readonly status: number }> {}
 *
 * const get = (status: number) =>
 *   Effect.fail(new HttpError({ status })).pipe(
 *     Retry.withRetry({ baseDelay: 0, while: (error) => error.status >= 500 }),
 *     Effect.catchTags({
 *       HttpError: (error) => Effect.succeed(`${error.status} at once`),
 *       RetryExhaustedError: (error) => Effect.succeed(`${error.lastError.status} after ${error.attempts} attempts`)
 *     })
 *   )
 *
 * await Effect.runPromise(get(404)) // => "404 at once"
 * await Effect.runPromise(get(503)) // => "503 after 3 attempts"
 * ```
 *
 * @see {@link make} for a policy that many calls share
 *
 * @stability stable
 * @category combinators
 * @since 0.1.0
 */
export function withRetry<E, R2, A0>(
  policy: RetryPolicy<E, R2, A0>
): <A extends A0, E1 extends E, R>(self: Effect.Effect<A, E1, R>) => Effect.Effect<A, E1 | RetryExhausted<E1>, R | R2>
export function withRetry<R2 = never>(
  options?: PlainOptions<R2>
): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | RetryExhausted<E>, R | R2>
export function withRetry<E, R2 = never>(
  options: Options<E, R2>
): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | RetryExhausted<E>, R | R2>
export function withRetry<A, E, R2 = never>(
  options: ValueOptions<A, E, R2>
): <R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | RetryExhausted<E>, R | R2>
export function withRetry<A extends A0, E extends E0, R, R2, A0, E0>(
  self: Effect.Effect<A, E, R>,
  policy: RetryPolicy<E0, R2, A0>
): Effect.Effect<A, E | RetryExhausted<E>, R | R2>
export function withRetry<A, E, R, R2 = never>(
  self: Effect.Effect<A, E, R>,
  options?: Options<E, R2> | ValueOptions<A, E, R2>
): Effect.Effect<A, E | RetryExhausted<E>, R | R2>
export function withRetry<A, E, R, R2>(
  selfOrOptions?: Effect.Effect<A, E, R> | Policy.AnyOptions<A, E, R2> | RetryPolicy<E, R2, A>,
  options?: Policy.AnyOptions<A, E, R2> | RetryPolicy<E, R2, A>
): unknown {
  // Not `dual`: options that are used for many calls are checked once, where they are written.
  if (Effect.isEffect(selfOrOptions)) {
    return Attempts.execute(selfOrOptions as Effect.Effect<A, E, R>, Policy.policyOf(options))
  }
  const policy = Policy.policyOf(selfOrOptions)
  return <R>(self: Effect.Effect<A, E, R>) => Attempts.execute(self, policy)
}
