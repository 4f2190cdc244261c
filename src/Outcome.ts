/**
 * The verdict of a finished call on its dependency: a `Success`, a `Failure`, or
 * none (`Ignored`).
 *
 * A circuit counts outcomes, not exits. By default a success is a `Success`
 * and every typed failure and defect a `Failure`; a classifier refines that,
 * for one circuit or for one call. A call that was only interrupted is always
 * `Ignored`: it ended before the dependency answered. So is a rejection by a
 * circuit, bulkhead or rate limit inside the call, which never reached the
 * dependency.
 *
 * **Example** (A missing account is an answer, not a failure)
 *
 * ```ts import.meta.vitest
 * import { Data, Effect } from "effect"
 * import { CircuitBreaker, CircuitPolicy, Outcome } from "effect-resilience"
 *
 * class NotFound extends Data.TaggedError("NotFound") {}
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({
 *     name: "accounts",
 *     policy: CircuitPolicy.make({
 *       consecutiveFailures: 1,
 *       classify: Outcome.failureUnless((error) => error instanceof NotFound)
 *     })
 *   })
 *   yield* breaker.execute(Effect.fail(new NotFound())).pipe(Effect.ignore)
 *   return yield* breaker.state
 * })
 *
 * await Effect.runPromise(program) // => "Closed"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { errorOf, hintOf, isTimeout, leavesOf } from "./internal/error/insideError.ts"
import { isNotMade } from "./internal/error/notMade.ts"
import * as Internal from "./internal/outcome.ts"

/**
 * The verdict of a finished call on its dependency.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  | { readonly _tag: "Success" }
  | { readonly _tag: "Ignored" }
  | { readonly _tag: "Failure"; readonly retryAfter: Duration.Duration | undefined }

/**
 * Whether a value is an outcome.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isOutcome: (u: unknown) => u is Outcome = Internal.isOutcome

/**
 * Decides the outcome of a call from its exit.
 *
 * **Gotchas**
 *
 * A classifier is not asked about an exit that is only an interruption. If it
 * throws, the outcome is `Ignored` and the call dies with what it threw.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type Classifier<in A = unknown, in E = unknown> = (exit: Exit.Exit<A, E>) => Outcome

/**
 * The dependency is healthy.
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export const success: Outcome = Internal.success

/**
 * The call says nothing about the dependency. It counts neither for nor
 * against it, and a probe gives its slot back.
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export const ignored: Outcome = Internal.ignored

/**
 * The call counts against the dependency.
 *
 * **Details**
 *
 * `retryAfter` is how long the dependency asked to be left alone. If this
 * failure opens the circuit, it stays open at least that long, up to the
 * policy's `maxOpenDuration`. It never shortens an opening.
 *
 * It comes from the network, so it never throws: a value that is negative or no
 * duration counts as none, and the failure counts all the same.
 *
 * @see {@link parseRetryAfter} for the header of HTTP
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export const failure: (options?: { readonly retryAfter?: Duration.Input | undefined }) => Outcome = Internal.failure

/**
 * Reads the `Retry-After` header of HTTP: a number of seconds or a date.
 * Returns `undefined` for a date that has passed and for anything else, such
 * as `-5` or `soon`.
 *
 * **Details**
 *
 * `now` is the wall-clock time in milliseconds since 1970, as of
 * `Clock.currentTimeMillis`. The grammar is that of RFC 9110, section 10.2.3,
 * with fractions of a second allowed.
 *
 * **Example** (Reading the header of an answer)
 *
 * ```ts import.meta.vitest
 * import { Duration } from "effect"
 * import { Outcome } from "effect-resilience"
 *
 * const now = Date.parse("2026-01-01T00:00:00Z")
 *
 * Outcome.parseRetryAfter("120", now) // => Duration.seconds(120)
 * Outcome.parseRetryAfter("Thu, 01 Jan 2026 00:01:00 GMT", now) // => Duration.minutes(1)
 * Outcome.parseRetryAfter("Wed, 21 Oct 2015 07:28:00 GMT", now) // => undefined
 * Outcome.parseRetryAfter("soon", now) // => undefined
 * ```
 *
 * @stability stable
 * @category getters
 * @since 0.1.0
 */
export const parseRetryAfter = (header: string | null | undefined, now: number): Duration.Duration | undefined => {
  const text = header?.trim() ?? ""
  if (/^\d+(?:\.\d+)?$/.test(text)) return Internal.sensible(Number(text) * 1000)
  // A date starts with its day of the week. JavaScript reads nearly anything else as a date, too.
  if (!/^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? /i.test(text)) return undefined
  const at = Option.getOrUndefined(Option.map(DateTime.make(text), DateTime.toEpochMillis))
  return at !== undefined && at > now ? Duration.millis(at - now) : undefined
}

/**
 * The classifier of a circuit that has none of its own: a success is a
 * `Success`; a typed failure or a defect is a `Failure`, with the error's
 * `retryAfter` if it has one; a rejection by something inside the call is
 * `Ignored`.
 *
 * @stability stable
 * @category classifiers
 * @since 0.1.0
 */
export const classify: Classifier = Internal.classify

/**
 * A classifier by which only the typed errors that satisfy the predicate count
 * as failures. The others are successes: a dependency that answers "not found"
 * is up. Defects stay failures, and so do timeouts, which are no answer.
 *
 * **Details**
 *
 * It looks into `RetryExhaustedError` and `AllTiersFailedError`: one counts if
 * the predicate says so of itself or of an error inside.
 *
 * **When to use**
 *
 * Use when few errors speak of the dependency's health, such as a
 * `ConnectionError` among the errors of a query.
 *
 * @see {@link failureUnless} for naming the errors that do not count
 *
 * @stability stable
 * @category classifiers
 * @since 0.1.0
 */
export const failureIf = <E>(isFailure: (error: E) => boolean): Classifier<unknown, E> =>
  answersUnless((error, leaves) => isFailure(error) || leaves.some(isFailure))

/**
 * A classifier by which the typed errors that satisfy the predicate are
 * successes and everything else that fails is a failure.
 *
 * **Details**
 *
 * `RetryExhaustedError` and `AllTiersFailedError` are successes if the
 * predicate says so of themselves or of every error inside.
 *
 * **When to use**
 *
 * Use when most errors count and a few domain errors do not.
 *
 * @see {@link failureIf} for naming the errors that count
 * @see {@link ignoreIf} for errors that say nothing at all
 *
 * @stability stable
 * @category classifiers
 * @since 0.1.0
 */
export const failureUnless = <E>(isAnswer: (error: E) => boolean): Classifier<unknown, E> =>
  answersUnless((error, leaves) => !isAnswer(error) && !(leaves.length > 0 && leaves.every(isAnswer)))

/** A classifier by which errors that came back from the dependency are successes, unless they count. */
const answersUnless =
  <E>(counts: (error: E, leaves: ReadonlyArray<E>) => boolean): Classifier<unknown, E> => (exit) => {
    if (Exit.isSuccess(exit)) return success
    const answer = Option.getOrUndefined(Option.map(errorOf(exit.cause), (error) => ({ error })))
    if (answer === undefined || isNotMade(answer.error)) return Internal.failureOf(exit.cause)
    const leaves = insideOf(answer.error)
    return isTimeout(answer.error) || leaves.some(isTimeout) || counts(answer.error, leaves)
      ? Internal.failureOf(exit.cause)
      : success
  }

/** The errors of the calls that an error of this package holds; none in one that holds no other. */
const insideOf = <E>(error: E): ReadonlyArray<E> => {
  const leaves = leavesOf(error)
  return leaves.length === 1 && leaves[0] === error ? [] : leaves as ReadonlyArray<E>
}

/**
 * A classifier by which the typed errors that satisfy the predicate are
 * ignored: they count neither for nor against the dependency.
 *
 * **When to use**
 *
 * Use for errors of the caller, such as a request that could not be encoded or
 * a rejection by a bulkhead inside the circuit.
 *
 * @stability stable
 * @category classifiers
 * @since 0.1.0
 */
export const ignoreIf = <E>(isIgnored: (error: E) => boolean): Classifier<unknown, E> => (exit) => {
  if (Exit.isSuccess(exit)) return success
  const error = errorOf(exit.cause)
  if (Option.isNone(error)) return Internal.failureOf(exit.cause)
  const leaves = insideOf(error.value)
  return isIgnored(error.value) || (leaves.length > 0 && leaves.every(isIgnored))
    ? ignored
    : Internal.failureOf(exit.cause)
}

/**
 * How long an error asks callers to wait: its `retryAfter`, or that of its
 * `reason`, if it is a `Duration` and not negative. The errors of this package
 * and of Effect's rate limiter and breaker have one, and so can yours.
 *
 * **Details**
 *
 * `RetryExhaustedError` asks for the longer wait of its last error and the
 * rejection, `AllTiersFailedError` for the shortest wait of all tiers.
 *
 * @stability stable
 * @category getters
 * @since 0.1.0
 */
export const retryAfter = (error: unknown): Duration.Duration | undefined => hintOf(error)
