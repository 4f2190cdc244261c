import type * as Cause from "effect/Cause"
import type { TimeoutErrorTypeId } from "effect/Cause"
import * as Duration from "effect/Duration"
import {
  AllTiersFailedError,
  BulkheadFullError,
  CallTimeoutError,
  CircuitOpenError,
  type LastFailure,
  RateLimitExceededError,
  RetryExhaustedError,
  type TierAttempt
} from "../../ResilienceError.ts"
import { stackOnDemand } from "./errorClass.ts"

/**
 * Rejections are created by the thousand while a dependency is down. The
 * constructor of a Schema error validates its fields and captures a stack,
 * some 6 microseconds a piece, where the fields are known to be right and the
 * stack would show the inside of this package. These are built without it.
 */
export const make = <E extends Error & { readonly _tag: string }>(
  prototype: E,
  fields: Omit<E, keyof Cause.YieldableError | typeof TimeoutErrorTypeId>
): E => Object.assign(Object.create(prototype), fields)

/** For errors of other packages; ours know their stack on demand. */
export const stackless = <E extends Error>(prototype: E): E => Object.create(prototype, { stack: stackOnDemand })

export const circuitOpenError = (
  circuit: string,
  state: CircuitOpenError["state"],
  retryAfterMillis: number,
  lastFailure?: LastFailure
): CircuitOpenError => {
  const retryAfter = Duration.millis(retryAfterMillis)
  // An own key only if there is one, as the constructor would have it.
  return make(
    CircuitOpenError.prototype,
    lastFailure === undefined
      ? { _tag: "CircuitOpenError", circuit, state, retryAfter }
      : { _tag: "CircuitOpenError", circuit, state, retryAfter, lastFailure }
  )
}

export const bulkheadFullError = (bulkhead: string, limit: number): BulkheadFullError =>
  make(BulkheadFullError.prototype, { _tag: "BulkheadFullError", bulkhead, limit })

export const callTimeoutError = (
  operation: string,
  timeout: Duration.Duration,
  more?: Pick<CallTimeoutError, "kind" | "attempts" | "lastError">
): CallTimeoutError => make(CallTimeoutError.prototype, { _tag: "CallTimeoutError", operation, timeout, ...more })

export const rateLimitExceededError = (
  limiter: string,
  limit: number,
  retryAfter: Duration.Duration
): RateLimitExceededError =>
  make(RateLimitExceededError.prototype, { _tag: "RateLimitExceededError", limiter, limit, retryAfter })

export const allTiersFailedError = (operation: string, attempts: ReadonlyArray<TierAttempt>): AllTiersFailedError =>
  make(AllTiersFailedError.prototype, { _tag: "AllTiersFailedError", operation, attempts })

export const retryExhaustedError = (
  fields: Pick<RetryExhaustedError, "attempts" | "lastError" | "elapsed" | "reason" | "rejection">
): RetryExhaustedError => make(RetryExhaustedError.prototype, { _tag: "RetryExhaustedError", ...fields })
