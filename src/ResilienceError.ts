/**
 * Errors that the combinators of this package add to the error channel.
 *
 * Each is a tagged Schema error: `Effect.catchTag` removes it from the error
 * channel, and `Schema` encodes and decodes it. Each has a guard, which also
 * recognizes the errors of another copy of this package. Errors are values: two
 * with the same fields are equal.
 *
 * **Gotchas**
 *
 * - While a dependency is down, calls are rejected thousands of times a second,
 *   so the combinators create errors without capturing a stack. The message
 *   names what rejected the call.
 *
 * **Example** (Handling a rejection)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({ name: "payment-api" })
 *   yield* breaker.forceOpen({ duration: "30 seconds" })
 *   return yield* breaker.execute(Effect.succeed("charged")).pipe(
 *     Effect.catchTag("CircuitOpenError", (error) => Effect.succeed(`${error.circuit} is ${error.state}`))
 *   )
 * })
 *
 * await Effect.runPromise(program) // => "payment-api is ForcedOpen"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import type * as EffectBreaker from "effect/persistence/CircuitBreaker"
import type * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"
import { DurationOrInfinity } from "./internal/time/durationCodec.ts"
import { formatDuration } from "./internal/time/durationText.ts"
import { errorClass, guardOf } from "./internal/error/errorClass.ts"
import { type ERROR_TYPE_ID, hintOf } from "./internal/error/insideError.ts"
import { messageOf } from "./internal/error/messageOf.ts"
import * as Internal from "./internal/error/notMade.ts"
import { WireError } from "./internal/error/wireError.ts"
import { failureText } from "./internal/words.ts"

/**
 * Identifies an error of this package at runtime.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-resilience/ResilienceError"

/**
 * Brands the errors of this package with their tag. The guards read it.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = typeof ERROR_TYPE_ID

/**
 * Describes the last failure for people: the class of the error and its
 * message, each in one line of at most 200 characters. `describeFailure` of the
 * policy changes or omits the message.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export const LastFailure = Schema.Struct({
  error: Schema.String,
  message: Schema.String
})

/**
 * A value of the schema `LastFailure`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type LastFailure = typeof LastFailure.Type

/**
 * Rejects a call that a circuit does not admit. The call was not made.
 *
 * **Details**
 *
 * - `circuit`: the name of the circuit.
 * - `state`: the circuit is `Open`, or `HalfOpen` with all of its probes
 *   running, or `ForcedOpen` by an operator.
 * - `retryAfter`: the time until the circuit admits a call. Zero while it is
 *   `HalfOpen`, since that depends on the probes; infinite if it stays forced
 *   open until it is released.
 * - `lastFailure`: the last failure in the circuit, if known.
 *
 * @stability stable
 * @category errors
 * @since 0.1.0
 */
export class CircuitOpenError extends errorClass<CircuitOpenError>("rejection")(
  "CircuitOpenError",
  {
    circuit: Schema.String,
    state: Schema.Literals(["Open", "HalfOpen", "ForcedOpen"]),
    retryAfter: DurationOrInfinity,
    lastFailure: Schema.optional(LastFailure)
  }
) {
  override get message(): string {
    // An operator's reasons are not its failures.
    return this.lastFailure === undefined || this.state === "ForcedOpen"
      ? rejected(this)
      : `${rejected(this)}; last failure: ${failureText(this.lastFailure)}`
  }
}

const rejected = ({ circuit, retryAfter, state }: CircuitOpenError): string => {
  switch (state) {
    case "Open":
      return `Circuit "${circuit}" is open, retry after ${formatDuration(retryAfter)}`
    case "HalfOpen":
      return `Circuit "${circuit}" is half-open and lets no further call through for now`
    case "ForcedOpen":
      return Duration.isFinite(retryAfter)
        ? `Circuit "${circuit}" was forced open, retry after ${formatDuration(retryAfter)}`
        : `Circuit "${circuit}" was forced open and stays so until it is released`
  }
}

/**
 * Checks whether a value is a `CircuitOpenError`.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isCircuitOpenError: (u: unknown) => u is CircuitOpenError = /* @__PURE__ */ guardOf(CircuitOpenError)

/**
 * Fails a call that did not complete within its time. `Cause.isTimeoutError`
 * recognizes it, and so does all of Effect that handles timeouts.
 *
 * **Details**
 *
 * - `operation`: the name of the call.
 * - `timeout`: the time limit.
 * - `kind`: in a pipeline, whether one `attempt` or the `total` of all attempts
 *   took too long. The deadline of tiers is a `total`.
 * - `attempts`, `lastError`: if calls were retried within this time, the number
 *   of failed attempts and the error of the last one, which is the `cause`.
 *
 * @stability stable
 * @category errors
 * @since 0.1.0
 */
export class CallTimeoutError extends errorClass<CallTimeoutError>("unavailable")(
  "CallTimeoutError",
  {
    operation: Schema.String,
    timeout: Schema.DurationFromMillis,
    kind: Schema.optionalKey(Schema.Literals(["attempt", "total"])),
    attempts: Schema.optionalKey(Schema.Int),
    lastError: Schema.optionalKey(WireError)
  }
) {
  override get message(): string {
    const what = this.kind === "attempt" ? `an attempt of ${this.operation}` : this.operation
    const message = `${what} did not complete within ${formatDuration(this.timeout)}`
    return this.attempts === undefined
      ? message
      : `${message}; ${countAttempts(this.attempts)} before had failed: ${messageOf(this.lastError)}`
  }

  override get cause(): unknown {
    return this.lastError
  }

  get [Cause.TimeoutErrorTypeId](): typeof Cause.TimeoutErrorTypeId {
    return Cause.TimeoutErrorTypeId
  }
}

/**
 * Checks whether a value is a `CallTimeoutError`.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isCallTimeoutError: (u: unknown) => u is CallTimeoutError = /* @__PURE__ */ guardOf(CallTimeoutError)

/**
 * Fails a retried call of which every attempt failed. At least one attempt was
 * made, so the call may have had its effect.
 *
 * **Details**
 *
 * - `attempts`: the number of attempts that were made, including the first. An
 *   attempt that a circuit, bulkhead or rate limit rejected was not made.
 * - `lastError`: the error of the last attempt that was made; also the `cause`.
 * - `elapsed`: the time from the first attempt to giving up.
 * - `reason`: what ended the retries: `maxAttempts`, `maxElapsed`, an exhausted
 *   retry `budget`, or `rejected` if the next attempt was rejected and waiting
 *   does not help, as with an open circuit.
 * - `rejection`: the error that rejected the next attempt, if any.
 *
 * @stability stable
 * @category errors
 * @since 0.1.0
 */
export class RetryExhaustedError extends errorClass<RetryExhaustedError>("unavailable")(
  "RetryExhaustedError",
  {
    attempts: Schema.Int,
    lastError: WireError,
    elapsed: Schema.DurationFromMillis,
    reason: Schema.Literals(["maxAttempts", "maxElapsed", "budget", "rejected"]),
    rejection: Schema.optionalKey(WireError)
  }
) {
  override get message(): string {
    const gaveUp = `Gave up after ${countAttempts(this.attempts)} in ${formatDuration(this.elapsed)}`
    const why = this.rejection === undefined ? [] : [
      // What failed last is said once.
      isCircuitOpenError(this.rejection) ? rejected(this.rejection) : messageOf(this.rejection)
    ]
    if (this.reason === "budget") why.push("no retry budget left")
    if (this.reason === "maxElapsed") why.push(`no time left to retry${asked(this.lastError)}`)
    return `${[gaveUp, ...why].join(", ")}: ${messageOf(this.lastError)}`
  }

  override get cause(): unknown {
    return this.lastError
  }
}

/**
 * Checks whether a value is a `RetryExhaustedError`.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isRetryExhaustedError: (u: unknown) => u is RetryExhaustedError = /* @__PURE__ */ guardOf(
  RetryExhaustedError
)

const countAttempts = (attempts: number): string => attempts === 1 ? "1 attempt" : `${attempts} attempts`

const asked = (error: unknown): string => {
  const hint = hintOf(error)
  return hint === undefined || Duration.isZero(hint) ? "" : ` (it asked to wait ${formatDuration(hint)})`
}

/**
 * Rejects a call for which a bulkhead has no room: all slots are taken and the
 * queue is full, or no slot came free within the longest wait. The call was not
 * made.
 *
 * **Details**
 *
 * - `bulkhead`: the name of the bulkhead.
 * - `limit`: the number of calls it runs at once.
 *
 * @stability stable
 * @category errors
 * @since 0.1.0
 */
export class BulkheadFullError extends errorClass<BulkheadFullError>("rejection")(
  "BulkheadFullError",
  {
    bulkhead: Schema.String,
    limit: Schema.Int
  }
) {
  override get message(): string {
    return `Bulkhead "${this.bulkhead}" is full: ${this.limit} ${this.limit === 1 ? "call is" : "calls are"} running`
  }
}

/**
 * Checks whether a value is a `BulkheadFullError`.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isBulkheadFullError: (u: unknown) => u is BulkheadFullError = /* @__PURE__ */ guardOf(BulkheadFullError)

/**
 * Rejects a call for which a rate limit has no permit. The call was not made.
 *
 * **Details**
 *
 * - `limiter`: the name of the rate limit.
 * - `limit`: the number of permits in a window.
 * - `retryAfter`: the time until a permit is available.
 *
 * @stability stable
 * @category errors
 * @since 0.1.0
 */
export class RateLimitExceededError extends errorClass<RateLimitExceededError>("rejection")(
  "RateLimitExceededError",
  {
    limiter: Schema.String,
    limit: Schema.Number,
    retryAfter: Schema.DurationFromMillis
  }
) {
  override get message(): string {
    return `Rate limit "${this.limiter}" of ${this.limit} is used up, retry after ${formatDuration(this.retryAfter)}`
  }
}

/**
 * Checks whether a value is a `RateLimitExceededError`.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isRateLimitExceededError: (u: unknown) => u is RateLimitExceededError = /* @__PURE__ */ guardOf(
  RateLimitExceededError
)

/**
 * Describes one tier of a tiered call that did not serve it.
 *
 * **Details**
 *
 * - `tier`: the name of the tier.
 * - `outcome`: `failed` if it was tried, or `skipped` if its circuit did not
 *   admit the call or the deadline passed first.
 * - `error`: the error of the tier, the rejection, or a defect, as a value.
 * - `duration`: the time the tier took.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export const TierAttempt = Schema.Struct({
  tier: Schema.String,
  outcome: Schema.Literals(["skipped", "failed"]),
  error: WireError,
  duration: Schema.DurationFromMillis
})

/**
 * A value of the schema `TierAttempt`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type TierAttempt = typeof TierAttempt.Type

/**
 * Fails a tiered call that no tier served.
 *
 * **Details**
 *
 * - `operation`: the name of the tiered call.
 * - `attempts`: one entry per tier, in order.
 *
 * @stability stable
 * @category errors
 * @since 0.1.0
 */
export class AllTiersFailedError extends errorClass<AllTiersFailedError>("unavailable")(
  "AllTiersFailedError",
  {
    operation: Schema.String,
    attempts: Schema.Array(TierAttempt)
  }
) {
  override get message(): string {
    const attempts = this.attempts.map(({ error, outcome, tier }) => `${tier} ${outcome} (${messageOf(error)})`)
    return `No tier could serve ${this.operation}: ${attempts.join(", ")}`
  }
}

/**
 * Checks whether a value is an `AllTiersFailedError`.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isAllTiersFailedError: (u: unknown) => u is AllTiersFailedError = /* @__PURE__ */ guardOf(
  AllTiersFailedError
)

/**
 * Refuses a circuit whose name is registered with another policy.
 *
 * **Details**
 *
 * Names identify circuits, so with two policies under one name it would be left
 * to chance which one applies. Use another name, or
 * `CircuitBreakerRegistry.reconfigure` to change the policy of the circuit.
 *
 * - `fields`: the fields in which the policies differ. Empty if a circuit was to
 *   be adopted under a name that is taken.
 *
 * @stability stable
 * @category errors
 * @since 0.1.0
 */
export class CircuitConflictError extends errorClass<CircuitConflictError>("mistake")(
  "CircuitConflictError",
  {
    circuit: Schema.String,
    fields: Schema.Array(Schema.String)
  }
) {
  override get message(): string {
    if (this.fields.length === 0) {
      return `Circuit "${this.circuit}" is registered already; remove it first, or use another name`
    }
    return `Circuit "${this.circuit}" is registered already with another ${this.fields.join(", ")}; ` +
      `use reconfigure to change its policy, or another name`
  }
}

/**
 * Checks whether a value is a `CircuitConflictError`.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isCircuitConflictError: (u: unknown) => u is CircuitConflictError = /* @__PURE__ */ guardOf(
  CircuitConflictError
)

// -----------------------------------------------------------------------------
// kinds of errors
// -----------------------------------------------------------------------------

/**
 * An error by which a circuit, bulkhead or rate limit rejects a call: those of
 * this package, and those of Effect's own breaker and rate limiter.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type Rejection =
  | BulkheadFullError
  | CircuitOpenError
  | RateLimitExceededError
  | EffectBreaker.CircuitBreakerError
  | RateLimiter.RateLimiterError
  | RateLimiter.RateLimitStoreError

/**
 * Checks whether an error is a rejection by a circuit, bulkhead or rate limit:
 * the call was not made.
 *
 * **Details**
 *
 * Retries, hedges and pipelines fail with a rejection only if none of their
 * attempts was made. After an attempt the error is another one, such as
 * `RetryExhaustedError` with the reason `rejected`.
 *
 * **Gotchas**
 *
 * Applies to the guarded call only. An effect that does something before its
 * guarded call can fail with a rejection after it did so, and so can a fallback
 * that makes a guarded call of its own.
 *
 * @see {@link isNotMade} for tiered calls as well
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isRejection: (error: unknown) => error is Rejection = Internal.isRejection

/**
 * Checks whether an error means that the call was not made: it is a rejection,
 * or an `AllTiersFailedError` whose tiers were all skipped or failed with one.
 *
 * **When to use**
 *
 * Use to decide whether a call with an effect on the other side can be made
 * again or stored for later without the danger of doing it twice.
 *
 * **Example** (Telling rejections from failures)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker, CircuitPolicy, ResilienceError, Retry } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({
 *     name: "broker",
 *     policy: CircuitPolicy.make({ consecutiveFailures: 1 })
 *   })
 *   const send = breaker.execute(Effect.fail("timed out, may have arrived")).pipe(
 *     Retry.withRetry({ maxAttempts: 3, baseDelay: 0 }),
 *     Effect.flip
 *   )
 *   // The first attempt opens the circuit, which rejects the second.
 *   const first = yield* send
 *   const later = yield* send
 *   return [ResilienceError.isNotMade(first), ResilienceError.isNotMade(later)]
 * })
 *
 * await Effect.runPromise(program) // => [false, true]
 * ```
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isNotMade: (error: unknown) => boolean = Internal.isNotMade

/**
 * An error that may say that a call was not made. An `AllTiersFailedError` does
 * if no tier made it.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type NotMade = Rejection | AllTiersFailedError

/**
 * An error by which this package reports that the dependency did not serve a
 * call: a rejection, a timeout, exhausted retries, or the failure of all tiers.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type Unavailable = Rejection | CallTimeoutError | RetryExhaustedError | AllTiersFailedError

/**
 * Checks whether an error says that the dependency did not serve a call.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isUnavailable: (error: unknown) => error is Unavailable = Internal.isUnavailable
