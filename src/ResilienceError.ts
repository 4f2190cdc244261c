/**
 * The errors the combinators of this package add to the error channel.
 *
 * Every one is a tagged Schema error: `Effect.catchTag` removes it from the
 * error channel, and `Schema` encodes and decodes it, so it crosses a process
 * boundary intact.
 *
 * **Gotchas**
 *
 * - Rejections happen while a dependency is down, often thousands of times a
 *   second, so the combinators create them without capturing a stack. The
 *   message names what rejected the call.
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
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { DurationOrInfinity } from "./internal/time/durationCodec.ts"
import { formatDuration } from "./internal/time/durationText.ts"
import { asValue } from "./internal/error/errorValue.ts"
import { brandOf, type ERROR_TYPE_ID, hintOf } from "./internal/error/insideError.ts"
import { messageOf } from "./internal/error/messageOf.ts"
import { WireError } from "./internal/error/wireError.ts"
import { failureText } from "./internal/words.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-resilience/ResilienceError"

/**
 * Brands the errors of this package, with the tag of the error as its value.
 * The guards read it, so that they know the errors of another copy of the
 * package as well.
 *
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = typeof ERROR_TYPE_ID

const is = <E>(tag: string) => (u: unknown): u is E => brandOf(u) === tag

/**
 * What failed last, for people: the class of the error and its message, in one
 * line of at most 200 characters each. `describeFailure` of the policy changes
 * the message or leaves it out.
 *
 * @category models
 * @since 0.1.0
 */
export const LastFailure = Schema.Struct({
  error: Schema.String,
  message: Schema.String
})

/**
 * @category models
 * @since 0.1.0
 */
export type LastFailure = typeof LastFailure.Type

/**
 * A circuit did not let a call run.
 *
 * **Details**
 *
 * - `circuit`: name of the circuit.
 * - `state`: why; the circuit is `Open`, it is `HalfOpen` with all of its
 *   probes running, or an operator has forced it open.
 * - `retryAfter`: time until the circuit lets a call through. Zero while it is
 *   `HalfOpen`, since that depends on the probes; infinite for a circuit that
 *   stays forced open until it is released.
 * - `lastFailure`: what failed last in the circuit, if that is known.
 *
 * @category errors
 * @since 0.1.0
 */
export class CircuitOpenError extends Schema.TaggedError<CircuitOpenError>()(
  "CircuitOpenError",
  {
    circuit: Schema.String,
    state: Schema.Literals(["Open", "HalfOpen", "ForcedOpen"]),
    retryAfter: DurationOrInfinity,
    lastFailure: Schema.optional(LastFailure)
  }
) {
  static {
    asValue(this.prototype, TypeId, "CircuitOpenError")
  }

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
 * Checks whether a value is a `CircuitOpenError`, also one of another copy of this
 * package.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCircuitOpenError: (u: unknown) => u is CircuitOpenError = /* @__PURE__ */ is("CircuitOpenError")

/**
 * A call did not end within its time. `Cause.isTimeoutError` knows it too, and
 * with that whatever in Effect retries timeouts.
 *
 * **Details**
 *
 * - `operation`: what timed out, as named by the caller.
 * - `timeout`: the time it was given.
 * - `kind`: in a pipeline, whether one `attempt` or the `total` of all attempts
 *   took too long. Tiers have attempts and a total, their deadline, as well.
 * - `attempts`, `lastError`: if calls were retried within this time, how many
 *   attempts had failed and the error of the last one, which is the `cause`
 *   too.
 *
 * @category errors
 * @since 0.1.0
 */
export class CallTimeoutError extends Schema.TaggedError<CallTimeoutError>()(
  "CallTimeoutError",
  {
    operation: Schema.String,
    timeout: Schema.DurationFromMillis,
    kind: Schema.optionalKey(Schema.Literals(["attempt", "total"])),
    attempts: Schema.optionalKey(Schema.Int),
    lastError: Schema.optionalKey(WireError)
  }
) {
  static {
    asValue(this.prototype, TypeId, "CallTimeoutError")
  }

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
 * Checks whether a value is a `CallTimeoutError`, also one of another copy of this
 * package.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCallTimeoutError: (u: unknown) => u is CallTimeoutError = /* @__PURE__ */ is("CallTimeoutError")

/**
 * Every attempt of a retried call failed. At least one of them was made, so
 * the call may have had its effect.
 *
 * **Details**
 *
 * - `attempts`: attempts that were made, the first included. One that a
 *   circuit, bulkhead or rate limit rejected was not made.
 * - `lastError`: error of the last attempt that was made, and the `cause`.
 * - `elapsed`: time from the first attempt to giving up.
 * - `reason`: what ended the retries: `maxAttempts`, `maxElapsed`, an exhausted
 *   retry `budget`, or `rejected` if the next attempt was rejected for a reason
 *   that a retry does not help, such as an open circuit.
 * - `rejection`: what rejected the next attempt, if anything did.
 *
 * @category errors
 * @since 0.1.0
 */
export class RetryExhaustedError extends Schema.TaggedError<RetryExhaustedError>()(
  "RetryExhaustedError",
  {
    attempts: Schema.Int,
    lastError: WireError,
    elapsed: Schema.DurationFromMillis,
    reason: Schema.Literals(["maxAttempts", "maxElapsed", "budget", "rejected"]),
    rejection: Schema.optionalKey(WireError)
  }
) {
  static {
    asValue(this.prototype, TypeId, "RetryExhaustedError")
  }

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
 * Checks whether a value is a `RetryExhaustedError`, also one of another copy of this
 * package.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRetryExhaustedError: (u: unknown) => u is RetryExhaustedError = /* @__PURE__ */ is("RetryExhaustedError")

const countAttempts = (attempts: number): string => attempts === 1 ? "1 attempt" : `${attempts} attempts`

const asked = (error: unknown): string => {
  const hint = hintOf(error)
  return hint === undefined || Duration.isZero(hint) ? "" : ` (it asked to wait ${formatDuration(hint)})`
}

/**
 * A bulkhead had no room for a call: all of its slots were taken and its queue
 * was full, or no slot came free within the longest wait.
 *
 * **Details**
 *
 * - `bulkhead`: name of the bulkhead.
 * - `limit`: how many calls it runs at once.
 *
 * @category errors
 * @since 0.1.0
 */
export class BulkheadFullError extends Schema.TaggedError<BulkheadFullError>()(
  "BulkheadFullError",
  {
    bulkhead: Schema.String,
    limit: Schema.Int
  }
) {
  static {
    asValue(this.prototype, TypeId, "BulkheadFullError")
  }

  override get message(): string {
    return `Bulkhead "${this.bulkhead}" is full: ${this.limit} ${this.limit === 1 ? "call is" : "calls are"} running`
  }
}

/**
 * Checks whether a value is a `BulkheadFullError`, also one of another copy of this
 * package.
 *
 * @category guards
 * @since 0.1.0
 */
export const isBulkheadFullError: (u: unknown) => u is BulkheadFullError = /* @__PURE__ */ is("BulkheadFullError")

/**
 * A rate limit had no permit for a call.
 *
 * **Details**
 *
 * - `limiter`: name of the rate limit.
 * - `limit`: permits of one window.
 * - `retryAfter`: time until a permit is there.
 *
 * @category errors
 * @since 0.1.0
 */
export class RateLimitExceededError extends Schema.TaggedError<RateLimitExceededError>()(
  "RateLimitExceededError",
  {
    limiter: Schema.String,
    limit: Schema.Number,
    retryAfter: Schema.DurationFromMillis
  }
) {
  static {
    asValue(this.prototype, TypeId, "RateLimitExceededError")
  }

  override get message(): string {
    return `Rate limit "${this.limiter}" of ${this.limit} is used up, retry after ${formatDuration(this.retryAfter)}`
  }
}

/**
 * Checks whether a value is a `RateLimitExceededError`, also one of another copy of this
 * package.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRateLimitExceededError: (u: unknown) => u is RateLimitExceededError = /* @__PURE__ */ is(
  "RateLimitExceededError"
)

/**
 * What became of one tier of a tiered call.
 *
 * **Details**
 *
 * - `tier`: name of the tier.
 * - `outcome`: `failed` when it was tried, `skipped` when not: its circuit let
 *   no call through, or the deadline came first.
 * - `error`: why, as a value: the tier's error, the rejection, or a defect.
 * - `duration`: how long the tier took.
 *
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
 * @category models
 * @since 0.1.0
 */
export type TierAttempt = typeof TierAttempt.Type

/**
 * No tier of a tiered call served it.
 *
 * **Details**
 *
 * - `operation`: name of the tiered call.
 * - `attempts`: one entry per tier that was skipped or tried, in order.
 *
 * @category errors
 * @since 0.1.0
 */
export class AllTiersFailedError extends Schema.TaggedError<AllTiersFailedError>()(
  "AllTiersFailedError",
  {
    operation: Schema.String,
    attempts: Schema.Array(TierAttempt)
  }
) {
  static {
    asValue(this.prototype, TypeId, "AllTiersFailedError")
  }

  override get message(): string {
    const attempts = this.attempts.map(({ error, outcome, tier }) => `${tier} ${outcome} (${messageOf(error)})`)
    return `No tier could serve ${this.operation}: ${attempts.join(", ")}`
  }
}

/**
 * Checks whether a value is a `AllTiersFailedError`, also one of another copy of this
 * package.
 *
 * @category guards
 * @since 0.1.0
 */
export const isAllTiersFailedError: (u: unknown) => u is AllTiersFailedError = /* @__PURE__ */ is("AllTiersFailedError")

/**
 * A circuit of that name lives already, under another policy.
 *
 * **Details**
 *
 * Names identify circuits, so two policies under one name would leave it to
 * chance which applies. Use `CircuitBreakerRegistry.reconfigure` to change the
 * policy of a living circuit, or another name.
 *
 * - `fields`: the fields of the policies that differ; none where a circuit was
 *   to be adopted whose name is taken.
 *
 * @category errors
 * @since 0.1.0
 */
export class CircuitConflictError extends Schema.TaggedError<CircuitConflictError>()(
  "CircuitConflictError",
  {
    circuit: Schema.String,
    fields: Schema.Array(Schema.String)
  }
) {
  static {
    asValue(this.prototype, TypeId, "CircuitConflictError")
  }

  override get message(): string {
    if (this.fields.length === 0) {
      return `Circuit "${this.circuit}" is registered already; remove it first, or use another name`
    }
    return `Circuit "${this.circuit}" is registered already with another ${this.fields.join(", ")}; ` +
      `use reconfigure to change its policy, or another name`
  }
}

/**
 * Checks whether a value is a `CircuitConflictError`, also one of another copy of this
 * package.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCircuitConflictError: (u: unknown) => u is CircuitConflictError = /* @__PURE__ */ is(
  "CircuitConflictError"
)
