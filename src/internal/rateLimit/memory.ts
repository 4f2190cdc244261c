/** A rate limit whose tokens are kept in memory. */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as RateLimiter from "effect/persistence/RateLimiter"
import type { RateLimit, TypeId as TypeIdType } from "../../RateLimit.ts"
import type { RateLimitExceededError } from "../../ResilienceError.ts"
import { RateQueues } from "./queue.ts"
import { describe, exceeded, type Rules, takeOf, TypeId } from "./rules.ts"

/**
 * The queues of each `RateLimiter` that `layerMemory` has made. The interface of
 * `RateLimiter` has no way to leave a queue, so a limit in memory goes past it.
 */
export const queuesOf = new WeakMap<RateLimiter.RateLimiter, Map<string, RateQueues>>()

export const withQueues = (limiter: RateLimiter.RateLimiter): RateLimiter.RateLimiter => {
  queuesOf.set(limiter, new Map())
  return limiter
}

export const queuesIn = (queues: Map<string, RateQueues>, name: string, rules: Rules): RateQueues => {
  const id = JSON.stringify([name, rules.algorithm, rules.limit, Duration.toMillis(rules.window)])
  let found = queues.get(id)
  if (found === undefined) queues.set(id, found = makeQueues(rules))
  return found
}

export const makeQueues = ({ algorithm, limit, window }: Rules): RateQueues =>
  new RateQueues({ algorithm, limit, windowMillis: Duration.toMillis(window) })

export class MemoryLimit implements RateLimit {
  readonly [TypeId]: TypeIdType = TypeId
  readonly name: string
  private readonly rules: Rules
  private readonly queues: RateQueues
  private readonly maxWaitMillis: number

  constructor(name: string, rules: Rules, queues: RateQueues) {
    this.name = name
    this.rules = rules
    this.queues = queues
    this.maxWaitMillis = Duration.toMillis(rules.maxWait)
  }

  get description(): string {
    return describe(this.rules)
  }

  /** The tokens of calls without a key, and the calls that wait, with a key or without. */
  stateAt(now: number): { readonly available: number; readonly waiting: number } {
    return this.queues.stateAt(now)
  }

  get limit(): number {
    return this.rules.limit
  }

  get execute(): RateLimit["execute"] {
    return (self, options) => {
      if (options === undefined) {
        return this.queues.run(undefined, {
          self,
          tokens: this.rules.tokens,
          maxWait: this.maxWaitMillis,
          reject: this.reject
        })
      }
      const { key, maxWait, tokens } = takeOf(this.rules, options)
      return this.queues.run(key, { self, tokens, maxWait: Duration.toMillis(maxWait), reject: this.reject })
    }
  }

  private readonly reject = (wait: number): Effect.Effect<never, RateLimitExceededError> =>
    exceeded(this.name, this.rules, Duration.millis(wait))
}
