/** A rate limit whose tokens a store keeps. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as RateLimiter from "effect/persistence/RateLimiter"
import * as References from "effect/References"
import type { RateLimit, TypeId as TypeIdType } from "../../RateLimit.ts"
import type { RateLimitExceededError } from "../../ResilienceError.ts"
import { writeLog } from "../telemetry/writeLog.ts"
import { describe, exceeded, type Rules, type Take, takeOf, TypeId } from "./rules.ts"

type Consumed = Effect.Effect<RateLimiter.ConsumeResult, RateLimiter.RateLimiterError>

/** How to take the tokens of a call from a store. */
interface Consume {
  /** Takes them if no wait is needed, or however long the wait, if waits have no limit. */
  readonly first: Consumed
  /** Finds out how long the wait would be after `first` found none left. Takes none. */
  readonly wait: (
    exceeded: RateLimiter.RateLimitExceeded
  ) => Effect.Effect<Duration.Duration, RateLimiter.RateLimiterError>
  /** Takes them, however long the wait. */
  readonly reserve: () => Consumed
  readonly maxWait: Duration.Duration
}

export class StoreLimit<E> implements RateLimit<E> {
  readonly [TypeId]: TypeIdType = TypeId
  readonly name: string
  private readonly rules: Rules
  private readonly algorithm: "fixed-window" | "token-bucket"
  private readonly limiter: RateLimiter.RateLimiter
  private readonly plain: Consume

  constructor(
    name: string,
    rules: Rules,
    algorithm: "fixed-window" | "token-bucket",
    limiter: RateLimiter.RateLimiter
  ) {
    this.name = name
    this.rules = rules
    this.algorithm = algorithm
    this.limiter = limiter
    this.plain = this.consume({ key: undefined, tokens: rules.tokens, maxWait: rules.maxWait })
  }

  get description(): string {
    return describe(this.rules)
  }

  get limit(): number {
    return this.rules.limit
  }

  get execute(): RateLimit<E>["execute"] {
    return (self, options) => {
      const consume = options === undefined ? this.plain : this.consume(takeOf(this.rules, options))
      return Effect.matchEffect(consume.first, {
        onSuccess: ({ delay }) => after(delay, self),
        onFailure: (error) => Effect.flatMap(this.recover(error, consume), (delay) => after(delay, self))
      })
    }
  }

  private consume({ key, maxWait, tokens }: Take): Consume {
    const { algorithm, limiter, rules: { limit, window } } = this
    const ask = (tokens: number, onExceeded: "fail" | "delay"): Consumed =>
      limiter.consume({
        // A slash: the stores put a colon between a key and what they add to it.
        key: key === undefined ? this.name : `${this.name}/${key}`,
        tokens,
        limit,
        window,
        algorithm,
        onExceeded
      })
    return {
      first: ask(tokens, Duration.isFinite(maxWait) ? "fail" : "delay"),
      wait: algorithm === "token-bucket"
        ? (exceeded) => Effect.succeed(exceeded.retryAfter)
        // It says when the window ends, and not how many wait for the ends of this and later windows. Asking for no
        // tokens tells.
        : () => Effect.map(ask(0, "delay"), (now) => waitInWindows(this.rules, tokens, now)),
      reserve: () => ask(tokens, "delay"),
      maxWait
    }
  }

  /** Finds out how long a call has to wait, when it cannot run at once. */
  private recover(
    error: RateLimiter.RateLimiterError,
    { maxWait, reserve, wait }: Consume
  ): Effect.Effect<Duration.Duration, RateLimitExceededError | E> {
    if (error.reason._tag !== "RateLimitExceeded" || Duration.isZero(maxWait)) return this.failed(error)
    const { reason } = error
    return Effect.gen({ self: this }, function*() {
      const foreseen = yield* wait(reason)
      if (Duration.isGreaterThan(foreseen, maxWait)) return yield* this.exceeded(foreseen)
      const { delay } = yield* reserve()
      if (Duration.isGreaterThan(delay, maxWait)) return yield* this.exceeded(delay)
      return delay
    }).pipe(Effect.catchTag("RateLimiterError", (error) => this.failed(error)))
  }

  private failed({ reason }: RateLimiter.RateLimiterError): Effect.Effect<
    Duration.Duration,
    RateLimitExceededError | E
  > {
    return reason._tag === "RateLimitExceeded" ? this.exceeded(reason.retryAfter) : this.storeFailed(reason)
  }

  private exceeded(retryAfter: Duration.Duration): Effect.Effect<never, RateLimitExceededError> {
    return exceeded(this.name, this.rules, retryAfter)
  }

  private storeFailed(error: RateLimiter.RateLimitStoreError): Effect.Effect<Duration.Duration, E> {
    // `E` is the type of this error where it can be raised.
    if (this.rules.onStoreError === "fail") return Effect.fail(error as E)
    return Effect.withFiber((fiber) => {
      const level = fiber.getRef(References.UnhandledLogLevel)
      return level === undefined
        ? Effect.succeed(Duration.zero)
        : Effect.as(
          writeLog(
            Effect.logWithLevel(level)(`Rate limit "${this.name}" let a call through because its store failed`, error)
          ),
          Duration.zero
        )
    })
  }
}

// Timers drop the fraction of a millisecond.
const after = <A, E, R>(delay: Duration.Duration, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Duration.isZero(delay) ? self : Effect.delay(self, Math.ceil(Duration.toMillis(delay)))

/**
 * How long a call for `tokens` would wait in fixed windows, by the rule of
 * `RateLimiter.consume`: the n-th `limit` of tokens is for the n-th window, and
 * each token moves the end by its share of a window.
 */
const waitInWindows = (rules: Rules, tokens: number, now: RateLimiter.ConsumeResult): Duration.Duration => {
  const window = Duration.toMillis(rules.window)
  const taken = rules.limit - now.remaining
  const elapsed = taken * (window / rules.limit) - Duration.toMillis(now.resetAfter)
  const windows = Math.floor((taken + tokens - 1) / rules.limit)
  return Duration.millis(Math.max(0, windows * window - elapsed))
}
