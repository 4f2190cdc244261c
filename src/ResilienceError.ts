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
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { DurationOrInfinity } from "./internal/durationCodec.ts"
import { formatDuration } from "./internal/formatDuration.ts"
import { failureText } from "./internal/lastFailure.ts"
import { messageOf } from "./internal/messageOf.ts"

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
  override get message(): string {
    const lastFailure = this.lastFailure === undefined ? "" : `; last failure: ${failureText(this.lastFailure)}`
    switch (this.state) {
      case "Open":
        return `Circuit "${this.circuit}" is open, retry after ${formatDuration(this.retryAfter)}${lastFailure}`
      case "HalfOpen":
        return `Circuit "${this.circuit}" is half-open and all of its probes are running${lastFailure}`
      // An operator's reasons are not its failures.
      case "ForcedOpen":
        return Duration.isFinite(this.retryAfter)
          ? `Circuit "${this.circuit}" was forced open, retry after ${formatDuration(this.retryAfter)}`
          : `Circuit "${this.circuit}" was forced open and stays so until it is released`
    }
  }
}

/**
 * A call did not end within its time.
 *
 * **Details**
 *
 * - `operation`: what timed out, as named by the caller.
 * - `timeout`: the time it was given.
 *
 * @category errors
 * @since 0.1.0
 */
export class CallTimeoutError extends Schema.TaggedError<CallTimeoutError>()(
  "CallTimeoutError",
  {
    operation: Schema.String,
    timeout: Schema.DurationFromMillis
  }
) {
  override get message(): string {
    return `${this.operation} did not complete within ${formatDuration(this.timeout)}`
  }
}

/**
 * Every attempt of a retried call failed.
 *
 * **Details**
 *
 * - `attempts`: calls made, the first included.
 * - `lastError`: error of the last attempt.
 * - `elapsed`: time from the first attempt to giving up.
 * - `reason`: what ended the retries: `maxAttempts`, `maxElapsed`, or an
 *   exhausted retry `budget`.
 *
 * @category errors
 * @since 0.1.0
 */
export class RetryExhaustedError extends Schema.TaggedError<RetryExhaustedError>()(
  "RetryExhaustedError",
  {
    attempts: Schema.Int,
    lastError: Schema.Defect(),
    elapsed: Schema.DurationFromMillis,
    reason: Schema.Literals(["maxAttempts", "maxElapsed", "budget"])
  }
) {
  override get message(): string {
    const calls = this.attempts === 1 ? "1 attempt" : `${this.attempts} attempts`
    const why = this.reason === "budget"
      ? ", no retry budget left"
      : this.reason === "maxElapsed"
      ? ", no time left to retry"
      : ""
    return `Gave up after ${calls} in ${formatDuration(this.elapsed)}${why}: ${messageOf(this.lastError)}`
  }
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
  override get message(): string {
    return `Bulkhead "${this.bulkhead}" is full: ${this.limit} ${this.limit === 1 ? "call is" : "calls are"} running`
  }
}

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
  override get message(): string {
    return `Rate limit "${this.limiter}" of ${this.limit} is used up, retry after ${formatDuration(this.retryAfter)}`
  }
}

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
  error: Schema.Defect(),
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
  override get message(): string {
    const attempts = this.attempts.map(({ error, outcome, tier }) => `${tier} ${outcome} (${messageOf(error)})`)
    return `No tier could serve ${this.operation}: ${attempts.join(", ")}`
  }
}

/**
 * A circuit of that name lives already, under another policy.
 *
 * **Details**
 *
 * Names identify circuits, so two policies under one name would leave it to
 * chance which applies. Use `CircuitBreakerRegistry.reconfigure` to change the
 * policy of a living circuit, or another name.
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
  override get message(): string {
    return `Circuit "${this.circuit}" is registered already with another ${this.fields.join(", ")}; ` +
      `use reconfigure to change its policy, or another name`
  }
}
