/**
 * What an error is about: those of this package that hold others are looked
 * into. They are known by their brand, so that ResilienceError.ts can use this.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"

export const ERROR_TYPE_ID = "~effect-resilience/ResilienceError"

/** The tag of an error of this package, or of another copy of it. */
export const brandOf = (error: unknown): unknown => propertyOf(error, ERROR_TYPE_ID)

/**
 * What an error of this package says of the call: it was not made, it was not
 * served, or the program is wrong.
 */
export type ErrorKind = "rejection" | "unavailable" | "mistake"

export const KIND_ID = "~effect-resilience/ResilienceError/Kind"

/** The kind of an error of this package, or of another copy of it. */
export const kindOf = (error: unknown): unknown => propertyOf(error, KIND_ID)

/** A property of an error, which may be anything: getters, and proxies that are revoked, throw. */
export const propertyOf = (error: unknown, key: string): unknown => {
  try {
    return Predicate.hasProperty(error, key) ? error[key] : undefined
  } catch {
    return undefined
  }
}

/** The typed error of a cause, unless it has a defect as well. */
export const errorOf = <E>(cause: Cause.Cause<E>): Option.Option<E> =>
  Cause.hasDies(cause) ? Option.none() : Cause.findErrorOption(cause)

interface Holder {
  readonly lastError?: unknown
  readonly rejection?: unknown
  readonly attempts?: unknown
}

/** Errors nest as deep as people nest combinators; what refers to itself ends here. */
export const MAX_DEPTH = 20

interface TierFailure {
  readonly outcome?: unknown
  readonly error?: unknown
}

/** The entries of an `AllTiersFailedError`. */
export const tierFailuresOf = (error: unknown): ReadonlyArray<TierFailure> =>
  brandOf(error) === "AllTiersFailedError" && Array.isArray((error as Holder).attempts)
    ? (error as { readonly attempts: ReadonlyArray<TierFailure> }).attempts
    : []

/** The errors that the calls themselves failed with: what is inside of an error that holds others, else the error. */
export const leavesOf = (error: unknown, depth = 0): ReadonlyArray<unknown> => {
  if (depth === MAX_DEPTH) return [error]
  switch (brandOf(error)) {
    case "RetryExhaustedError":
      return leavesOf((error as Holder).lastError, depth + 1)
    case "AllTiersFailedError":
      return tierFailuresOf(error).flatMap((failure) => leavesOf(failure.error, depth + 1))
    default:
      return [error]
  }
}

export const isTimeout = (error: unknown): boolean =>
  brandOf(error) === "CallTimeoutError" || Cause.isTimeoutError(error)

/** How long an error asks to wait. What makes no sense comes from the network, and asks for nothing. */
export const hintOf = (error: unknown): Duration.Duration | undefined => {
  try {
    return hintInside(error, 0)
  } catch {
    // Getters are somebody else's code.
    return undefined
  }
}

const hintInside = (error: unknown, depth: number): Duration.Duration | undefined => {
  if (depth === MAX_DEPTH) return undefined
  switch (brandOf(error)) {
    case "RetryExhaustedError": {
      const { lastError, rejection } = error as Holder
      const [one, other] = [hintInside(lastError, depth + 1), hintInside(rejection, depth + 1)]
      return one === undefined || other === undefined ? one ?? other : Duration.max(one, other)
    }
    case "AllTiersFailedError": {
      // A tier that asks for no wait can be tried at once.
      const hints = tierFailuresOf(error).map((failure) => hintInside(failure.error, depth + 1))
      return hints.includes(undefined) || hints.length === 0
        ? undefined
        : (hints as Array<Duration.Duration>).reduce((least, hint) => Duration.min(least, hint))
    }
    default:
      return ownHint(error) ?? (Predicate.hasProperty(error, "reason") ? ownHint(error.reason) : undefined)
  }
}

const ownHint = (error: unknown): Duration.Duration | undefined =>
  Predicate.hasProperty(error, "retryAfter") && Duration.isDuration(error.retryAfter) &&
    Duration.toMillis(error.retryAfter) >= 0
    ? error.retryAfter
    : undefined
