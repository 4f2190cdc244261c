/** The outcomes of calls, and the classifier of a circuit that has none of its own. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type { Classifier, Outcome } from "../Outcome.ts"
import { hintOf } from "./error/insideError.ts"
import { isNotMade } from "./error/notMade.ts"

export const isOutcome = (u: unknown): u is Outcome =>
  Predicate.isTagged(u, "Success") || Predicate.isTagged(u, "Failure") || Predicate.isTagged(u, "Ignored")

export const success: Outcome = { _tag: "Success" }

export const ignored: Outcome = { _tag: "Ignored" }

const plainFailure: Outcome = { _tag: "Failure", retryAfter: undefined }

export const failure = (options?: { readonly retryAfter?: Duration.Input | undefined }): Outcome => {
  const hint = options?.retryAfter === undefined ? undefined : sensible(options.retryAfter)
  return hint === undefined ? plainFailure : { _tag: "Failure", retryAfter: hint }
}

/** A wait that somebody asks for, if it makes sense. */
export const sensible = (input: unknown): Duration.Duration | undefined => {
  // Effect takes a NaN for zero.
  if (Number.isNaN(input) || input === Infinity) return undefined
  const duration = Option.getOrUndefined(Duration.fromInput(input as Duration.Input))
  return duration === undefined || Duration.isNegative(duration) ? undefined : duration
}

export const classify: Classifier = (exit) => Exit.isSuccess(exit) ? success : failureOf(exit.cause)

export const failureOf = (cause: Cause.Cause<unknown>): Outcome => {
  const errors = cause.reasons.filter(Cause.isFailReason).map(({ error }) => error)
  // What was made beside a call that was not, or broke beside it, counts.
  if (errors.length > 0 && !Cause.hasDies(cause) && errors.every(isNotMade)) return ignored
  return failure({ retryAfter: hintOf(errors[0]) })
}
