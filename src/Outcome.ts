/**
 * What the end of a call says about the dependency that was called: a
 * `Success`, a `Failure`, or nothing (`Ignored`).
 *
 * A circuit counts outcomes, not exits. By default a success is a `Success`
 * and every typed failure and defect a `Failure`; a classifier refines that,
 * for one circuit or for one call. A call that was only interrupted is always
 * `Ignored`: whoever interrupted it did not wait to learn how the dependency
 * is. So is a rejection by a circuit, bulkhead or rate limit inside the call,
 * which kept it from reaching the dependency.
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
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { checkDuration } from "./internal/check.ts"
import { BulkheadFullError, CallTimeoutError, CircuitOpenError, RateLimitExceededError } from "./ResilienceError.ts"

/**
 * What a finished call says about its dependency.
 *
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
 * @category guards
 * @since 0.1.0
 */
export const isOutcome = (u: unknown): u is Outcome =>
  Predicate.isTagged(u, "Success") || Predicate.isTagged(u, "Failure") || Predicate.isTagged(u, "Ignored")

/**
 * Decides the outcome of a call from its exit.
 *
 * **Gotchas**
 *
 * A classifier is not asked about an exit that is only an interruption. If it
 * throws, the outcome is `Ignored` and the call dies with what it threw.
 *
 * @category models
 * @since 0.1.0
 */
export type Classifier<in A = unknown, in E = unknown> = (exit: Exit.Exit<A, E>) => Outcome

/**
 * The dependency is healthy.
 *
 * @category constructors
 * @since 0.1.0
 */
export const success: Outcome = { _tag: "Success" }

/**
 * The call says nothing about the dependency. It counts neither for nor
 * against it, and a probe gives its slot back.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ignored: Outcome = { _tag: "Ignored" }

const plainFailure: Outcome = { _tag: "Failure", retryAfter: undefined }

/**
 * The call counts against the dependency.
 *
 * **Details**
 *
 * `retryAfter` is how long the dependency asked to be left alone. If this
 * failure opens the circuit, it stays open at least that long, up to the
 * policy's `maxOpenDuration`. It never shortens an opening.
 *
 * @category constructors
 * @since 0.1.0
 */
export const failure = (options?: { readonly retryAfter?: Duration.Input | undefined }): Outcome =>
  options?.retryAfter === undefined
    ? plainFailure
    : { _tag: "Failure", retryAfter: checkDuration("Outcome.failure: retryAfter", options.retryAfter) }

/**
 * The classifier of a circuit that has none of its own: a success is a
 * `Success`; a typed failure or a defect is a `Failure`, with the error's
 * `retryAfter` if it has one; a rejection by something inside the call is
 * `Ignored`.
 *
 * @category classifiers
 * @since 0.1.0
 */
export const classify: Classifier = (exit) => Exit.isSuccess(exit) ? success : failureOf(exit.cause)

/**
 * A classifier by which only the typed errors that satisfy the predicate count
 * as failures. The others are successes: a dependency that answers "not found"
 * is up. Defects stay failures, and so do timeouts, which are no answer.
 *
 * **When to use**
 *
 * Use when few errors speak of the dependency's health, such as a
 * `ConnectionError` among the errors of a query.
 *
 * @see {@link failureUnless} for naming the errors that do not count
 *
 * @category classifiers
 * @since 0.1.0
 */
export const failureIf = <E>(isFailure: (error: E) => boolean): Classifier<unknown, E> => (exit) => {
  if (Exit.isSuccess(exit)) return success
  const error = answerOf(exit.cause)
  return Option.isNone(error) || keptFromBeingMade(error.value) || isTimeout(error.value) || isFailure(error.value)
    ? failureOf(exit.cause)
    : success
}

/**
 * A classifier by which the typed errors that satisfy the predicate are
 * successes and everything else that fails is a failure.
 *
 * **When to use**
 *
 * Use when most errors count and a few domain errors do not.
 *
 * @see {@link failureIf} for naming the errors that count
 * @see {@link ignoreIf} for errors that say nothing at all
 *
 * @category classifiers
 * @since 0.1.0
 */
export const failureUnless = <E>(isAnswer: (error: E) => boolean): Classifier<unknown, E> =>
  failureIf((error) => !isAnswer(error))

/**
 * A classifier by which the typed errors that satisfy the predicate are
 * ignored: they count neither for nor against the dependency.
 *
 * **When to use**
 *
 * Use for errors of the caller, such as a request that could not be encoded or
 * a rejection by a bulkhead inside the circuit.
 *
 * @category classifiers
 * @since 0.1.0
 */
export const ignoreIf = <E>(isIgnored: (error: E) => boolean): Classifier<unknown, E> => (exit) => {
  if (Exit.isSuccess(exit)) return success
  const error = answerOf(exit.cause)
  return Option.isSome(error) && isIgnored(error.value) ? ignored : failureOf(exit.cause)
}

/**
 * How long an error asks callers to wait: its `retryAfter`, or that of its
 * `reason`, if it is a `Duration`. The errors of this package and of Effect's
 * rate limiter and breaker have one, and so can yours.
 *
 * @category getters
 * @since 0.1.0
 */
export const retryAfter = (error: unknown): Duration.Duration | undefined => {
  try {
    return ownRetryAfter(error) ?? (Predicate.hasProperty(error, "reason") ? ownRetryAfter(error.reason) : undefined)
  } catch {
    // Its getters are somebody else's code; an error that cannot be read asks for nothing.
    return undefined
  }
}

const ownRetryAfter = (error: unknown): Duration.Duration | undefined =>
  Predicate.hasProperty(error, "retryAfter") && Duration.isDuration(error.retryAfter) ? error.retryAfter : undefined

/**
 * Whether an error is a rejection by a circuit, bulkhead or rate limit of this
 * package: the call it stands for was not made.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRejection = (error: unknown): error is BulkheadFullError | CircuitOpenError | RateLimitExceededError =>
  error instanceof CircuitOpenError || error instanceof BulkheadFullError || error instanceof RateLimitExceededError

/** What a cause has to say, unless something broke beside it. */
const answerOf = <E>(cause: Cause.Cause<E>): Option.Option<E> =>
  Cause.hasDies(cause) ? Option.none() : Cause.findErrorOption(cause)

/** A call that did not come back in time has not answered. */
const isTimeout = (error: unknown): boolean => error instanceof CallTimeoutError || Cause.isTimeoutError(error)

// Effect's own breaker and rate limiter reject as well. They are told by their
// tags, since importing them would make everybody load them.
const keptFromBeingMade = (error: unknown): boolean =>
  isRejection(error) || Predicate.isTagged(error, "CircuitBreakerError") ||
  Predicate.isTagged(error, "RateLimiterError")

const failureOf = (cause: Cause.Cause<unknown>): Outcome => {
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (keptFromBeingMade(error)) return ignored
  const hint = retryAfter(error)
  return hint === undefined ? plainFailure : { _tag: "Failure", retryAfter: hint }
}
