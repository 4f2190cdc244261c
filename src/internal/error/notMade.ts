/** Which errors say that the call was not made. */
import type { Rejection } from "../../Outcome.ts"
import { brandOf, MAX_DEPTH, propertyOf, tierFailuresOf } from "./insideError.ts"

const REJECTIONS: ReadonlyArray<unknown> = ["BulkheadFullError", "CircuitOpenError", "RateLimitExceededError"]

// Told by their tags, since importing them would make every program load them.
const REJECTIONS_OF_EFFECT: ReadonlyArray<unknown> = ["CircuitBreakerError", "RateLimiterError", "RateLimitStoreError"]

export const isRejection = (error: unknown): error is Rejection =>
  REJECTIONS.includes(brandOf(error)) || REJECTIONS_OF_EFFECT.includes(propertyOf(error, "_tag"))

export const isNotMade = (error: unknown): boolean => isNotMadeWithin(error, MAX_DEPTH)

const isNotMadeWithin = (error: unknown, depth: number): boolean => {
  if (isRejection(error)) return true
  const tiers = depth === 0 ? [] : tierFailuresOf(error)
  return tiers.length > 0 &&
    tiers.every((tier) => tier.outcome === "skipped" || isNotMadeWithin(tier.error, depth - 1))
}
