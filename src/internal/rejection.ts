import type * as Cause from "effect/Cause"
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
} from "../ResilienceError.ts"

/**
 * Rejections are created by the thousand while a dependency is down. The
 * constructor of a Schema error validates its fields and captures a stack,
 * some 6 microseconds a piece, where the fields are known to be right and the
 * stack would show the inside of this package. These are built without it.
 */
export const stackless = <E extends Error>(prototype: E): E =>
  Object.create(prototype, {
    stack: {
      get(this: Error) {
        return `${this.name}: ${this.message}`
      },
      // Tools that print errors set it.
      set(this: Error, value: unknown) {
        Object.defineProperty(this, "stack", { value, writable: true, configurable: true })
      }
    }
  })

export const make = <E extends Error & { readonly _tag: string }>(
  prototype: E,
  fields: Omit<E, keyof Cause.YieldableError>
): E => Object.assign(Object.create(prototype), fields)

const circuitOpen = /* @__PURE__ */ stackless(CircuitOpenError.prototype)
const bulkheadFull = /* @__PURE__ */ stackless(BulkheadFullError.prototype)
const callTimeout = /* @__PURE__ */ stackless(CallTimeoutError.prototype)
const rateLimitExceeded = /* @__PURE__ */ stackless(RateLimitExceededError.prototype)
const retryExhausted = /* @__PURE__ */ stackless(RetryExhaustedError.prototype)
const allTiersFailed = /* @__PURE__ */ stackless(AllTiersFailedError.prototype)

export const circuitOpenError = (
  circuit: string,
  state: CircuitOpenError["state"],
  retryAfterMillis: number,
  lastFailure?: LastFailure
): CircuitOpenError => {
  const fields = { _tag: "CircuitOpenError", circuit, state, retryAfter: Duration.millis(retryAfterMillis) } as const
  // An own key only if there is one, as the constructor would have it.
  return make(circuitOpen, lastFailure === undefined ? fields : { ...fields, lastFailure })
}

export const bulkheadFullError = (bulkhead: string, limit: number): BulkheadFullError =>
  make(bulkheadFull, { _tag: "BulkheadFullError", bulkhead, limit })

export const callTimeoutError = (operation: string, timeout: Duration.Duration): CallTimeoutError =>
  make(callTimeout, { _tag: "CallTimeoutError", operation, timeout })

export const rateLimitExceededError = (
  limiter: string,
  limit: number,
  retryAfter: Duration.Duration
): RateLimitExceededError => make(rateLimitExceeded, { _tag: "RateLimitExceededError", limiter, limit, retryAfter })

export const allTiersFailedError = (operation: string, attempts: ReadonlyArray<TierAttempt>): AllTiersFailedError =>
  make(allTiersFailed, { _tag: "AllTiersFailedError", operation, attempts })

export const retryExhaustedError = (
  fields: Pick<RetryExhaustedError, "attempts" | "lastError" | "elapsed" | "reason">
): RetryExhaustedError => make(retryExhausted, { _tag: "RetryExhaustedError", ...fields })
