import type * as Fiber from "effect/Fiber"

/** What the attempts of a retry have come to so far. */
export interface FailedAttempts {
  readonly attempts: number
  readonly lastError: unknown
}

/**
 * Of the retries that run now, by the fiber that runs them. A timeout around a
 * retry ends it with an interruption, and finds here what it had to say.
 */
const byFiber = new WeakMap<Fiber.Fiber<unknown, unknown>, FailedAttempts>()

export const noteFailedAttempts = (fiber: Fiber.Fiber<unknown, unknown>, failed: FailedAttempts): void => {
  byFiber.set(fiber, failed)
}

/** A fiber may go on after its retry. */
export const forgetFailedAttempts = (fiber: Fiber.Fiber<unknown, unknown>): void => {
  byFiber.delete(fiber)
}

export const failedAttemptsOf = (fiber: Fiber.Fiber<unknown, unknown>): FailedAttempts | undefined => byFiber.get(fiber)
