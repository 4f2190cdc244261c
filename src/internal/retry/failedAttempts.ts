import type * as Fiber from "effect/Fiber"

/** The failed attempts of a retry so far. */
export interface FailedAttempts {
  readonly attempts: number
  readonly lastError: unknown
}

/**
 * The failed attempts of the retries that run now, by the fiber that runs them.
 * A timeout around a retry interrupts it, and reads them here for its error.
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
