/**
 * How long a retry waits. Delays are milliseconds; `random` is a number in
 * [0, 1).
 */

import type { Jitter } from "../../Retry.ts"

export interface Backoff {
  readonly baseDelay: number
  readonly maxDelay: number
  readonly factor: number
  readonly jitter: Jitter
}

/**
 * The wait before the `retry`-th retry, counted from 0, where `previous` is the
 * wait before the retry that came before it.
 *
 * `full`, `equal` and `decorrelated` are the formulas of "Exponential Backoff
 * and Jitter" on the AWS Architecture Blog; `proportional` spreads a delay by
 * half of it to either side. No jitter takes a delay above `maxDelay`.
 */
export const retryDelay = (backoff: Backoff, retry: number, previous: number, random: number): number => {
  const { baseDelay, jitter, maxDelay } = backoff
  switch (jitter) {
    case "none":
      return exponential(backoff, retry)
    case "proportional":
      return Math.min(exponential(backoff, retry) * (0.5 + random), maxDelay)
    case "full":
      return exponential(backoff, retry) * random
    case "equal":
      return exponential(backoff, retry) * (0.5 + random / 2)
    case "decorrelated": {
      const last = retry === 0 ? baseDelay : previous
      return Math.min(baseDelay + (last * 3 - baseDelay) * random, maxDelay)
    }
  }
}

const exponential = ({ baseDelay, factor, maxDelay }: Backoff, retry: number): number =>
  // The power overflows to infinity in the end, and nothing times infinity is not a number.
  baseDelay === 0 ? 0 : Math.min(baseDelay * factor ** retry, maxDelay)
