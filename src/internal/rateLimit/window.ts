/**
 * The tokens of a rate limit, by each of its algorithms.
 *
 * Times are arguments, in milliseconds of the monotonic clock. Tokens are
 * updated in place: a copy of the sliding window would make the cost of a call
 * grow with the limit.
 */

export type Algorithm = "fixed-window" | "token-bucket" | "sliding-window"

export interface Rules {
  readonly algorithm: Algorithm
  readonly limit: number
  readonly windowMillis: number
}

export interface Tokens {
  /**
   * How long until `tokens` are left, if nothing is taken meanwhile but by
   * those among them. Zero if they are left now.
   *
   * More than `limit` tokens are those of several calls in a row. The answer is
   * exact if all but the last of them take one token, or the algorithm is
   * `"token-bucket"`; otherwise calls that fit into no rest of a window can
   * make it longer.
   */
  readonly wait: (tokens: number, now: number) => number
  /** Takes tokens that are left. */
  readonly take: (tokens: number, now: number) => void
  /** How many tokens are left. */
  readonly available: (now: number) => number
  /** Whether all tokens are left. */
  readonly isFull: (now: number) => boolean
}

/** The rounding error of adding and subtracting times, in milliseconds. */
export const ROUNDING = 0.001

export const make = (rules: Rules): Tokens =>
  rules.algorithm === "fixed-window"
    ? new FixedWindow(rules)
    : rules.algorithm === "token-bucket"
    ? new TokenBucket(rules)
    : new SlidingWindow(rules)

/** The most tokens that can be taken in any time of the length of the window, its end not included. */
export const mostInAnyWindow = ({ algorithm, limit }: Pick<Rules, "algorithm" | "limit">): number =>
  // All at the end of a window or of a rest, and all but the first that came before again.
  algorithm === "sliding-window" ? limit : 2 * limit - 1

/** A window begins with the first call after the end of the one before. */
class FixedWindow implements Tokens {
  private readonly rules: Rules
  private startedAt = -Infinity
  private taken = 0

  constructor(rules: Rules) {
    this.rules = rules
  }

  wait(tokens: number, now: number): number {
    const isOver = this.isFull(now)
    const windows = Math.floor(((isOver ? 0 : this.taken) + tokens - 1) / this.rules.limit)
    return windows === 0 ? 0 : (isOver ? 0 : this.startedAt - now) + windows * this.rules.windowMillis
  }

  take(tokens: number, now: number): void {
    if (this.isFull(now)) {
      this.startedAt = now
      this.taken = 0
    }
    this.taken += tokens
  }

  available(now: number): number {
    return this.isFull(now) ? this.rules.limit : this.rules.limit - this.taken
  }

  isFull(now: number): boolean {
    return this.startedAt + this.rules.windowMillis <= now + ROUNDING
  }
}

/** Of a bucket that is refilled evenly, only the time when it will be full has to be known. */
class TokenBucket implements Tokens {
  private readonly rules: Rules
  private fullAt = -Infinity

  constructor(rules: Rules) {
    this.rules = rules
  }

  wait(tokens: number, now: number): number {
    const wait = this.fullAfter(tokens, now) - this.rules.windowMillis - now
    return wait > ROUNDING ? wait : 0
  }

  take(tokens: number, now: number): void {
    this.fullAt = this.fullAfter(tokens, now)
  }

  available(now: number): number {
    const { limit, windowMillis } = this.rules
    const missing = Math.max(0, this.fullAt - now - ROUNDING) * limit / windowMillis
    return limit - Math.ceil(missing)
  }

  isFull(now: number): boolean {
    return this.fullAt <= now
  }

  private fullAfter(tokens: number, now: number): number {
    return Math.max(this.fullAt, now) + tokens * this.rules.windowMillis / this.rules.limit
  }
}

/** Remembers when each token was taken, for as long as a window. */
class SlidingWindow implements Tokens {
  private readonly rules: Rules
  /** Those before `first` are over. */
  private times: Array<number> = []
  private first = 0

  constructor(rules: Rules) {
    this.rules = rules
  }

  wait(tokens: number, now: number): number {
    const { limit, windowMillis } = this.rules
    this.forget(now)
    const taken = this.times.length - this.first
    // A token can be taken a window after the one that is `limit` tokens before it.
    const place = taken + tokens - 1
    const windows = Math.floor(place / limit)
    const before = place - windows * limit
    return (before < taken ? this.times[this.first + before]! - now : 0) + windows * windowMillis
  }

  take(tokens: number, now: number): void {
    for (let n = 0; n < tokens; n++) this.times.push(now)
  }

  available(now: number): number {
    this.forget(now)
    return this.rules.limit - (this.times.length - this.first)
  }

  isFull(now: number): boolean {
    this.forget(now)
    return this.times.length === 0
  }

  private forget(now: number): void {
    const end = now + ROUNDING - this.rules.windowMillis
    while (this.first < this.times.length && this.times[this.first]! <= end) this.first++
    // Half of them at once, so that a call pays for one on average.
    if (this.first * 2 < this.times.length || this.first === 0) return
    this.times = this.times.slice(this.first)
    this.first = 0
  }
}
