/** Which errors say that the call was not made, or not served. */
import type { Rejection, Unavailable } from "../../ResilienceError.ts"
import { kindOf, MAX_DEPTH, propertyOf, tierFailuresOf } from "./insideError.ts"

// Told by their tags, since importing them would make every program load them.
const REJECTIONS_OF_EFFECT: ReadonlyArray<unknown> = ["CircuitBreakerError", "RateLimiterError", "RateLimitStoreError"]

export const isRejection = (error: unknown): error is Rejection =>
  kindOf(error) === "rejection" || REJECTIONS_OF_EFFECT.includes(propertyOf(error, "_tag"))

export const isUnavailable = (error: unknown): error is Unavailable =>
  isRejection(error) || kindOf(error) === "unavailable"

export const isNotMade = (error: unknown): boolean => isNotMadeWithin(error, MAX_DEPTH)

const isNotMadeWithin = (error: unknown, depth: number): boolean => {
  if (isRejection(error)) return true
  const tiers = depth === 0 ? [] : tierFailuresOf(error)
  return tiers.length > 0 &&
    tiers.every((tier) => tier.outcome === "skipped" || isNotMadeWithin(tier.error, depth - 1))
}
