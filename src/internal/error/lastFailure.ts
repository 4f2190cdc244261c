import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import type { FailureDescription } from "../../CircuitPolicy.ts"
import type { LastFailure } from "../../ResilienceError.ts"
import { leavesOf } from "./insideError.ts"
import { messageOf, statusOf } from "./messageOf.ts"
import { shownLine } from "./shownLine.ts"

/**
 * What people read of a failed call: taken when it fails, so that neither the
 * error nor what it holds is kept.
 */
export const describeFailure = (
  exit: Exit.Exit<unknown, unknown> | undefined,
  describe: FailureDescription | undefined
): LastFailure | undefined => {
  if (exit === undefined || describe === false) return undefined
  if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) {
    return { error: "Interrupted", message: "its caller did not wait any longer" }
  }
  const subject = Exit.isSuccess(exit) ? exit.value : unwrap(Cause.squash(exit.cause))
  if (describe === undefined) {
    return {
      error: shownLine(nameOf(subject)),
      message: shownLine(Exit.isSuccess(exit) ? messageOfAnswer(exit.value) : messageWithCause(subject))
    }
  }
  try {
    const text = describe(subject)
    return typeof text === "string" ? { error: shownLine(nameOf(subject)), message: shownLine(text) } : undefined
  } catch {
    // The text without what must not be shown is not known.
    return undefined
  }
}

/** What is inside of an error that only holds another one. */
const unwrap = (error: unknown): unknown => {
  try {
    const inner = leavesOf(error).at(-1) ?? error
    return Cause.isUnknownError(inner) && inner.cause !== undefined ? inner.cause : inner
  } catch {
    // Its getters are somebody else's code.
    return error
  }
}

/** A tag, the name of a class, or the type of what has neither. */
const nameOf = (value: unknown): string => {
  try {
    if (!Predicate.isObject(value)) return value === null ? "null" : typeof value
    if (Predicate.hasProperty(value, "_tag") && typeof value._tag === "string") return value._tag
    const own = Predicate.hasProperty(value, "name") && value instanceof Error ? value.name : "Error"
    // A class that extends Error without naming itself is called by its constructor.
    if (own !== "Error" && typeof own === "string") return own
    const made: unknown = value.constructor.name
    return typeof made === "string" ? made : "Error"
  } catch {
    return "Error"
  }
}

const messageOfAnswer = (value: unknown): string => statusOf(value) ?? "an answer that counts as a failure"

/**
 * What a call failed with may be any object, such as a response. Only what is meant for people is shown of it: the rest
 * may be large, and secret.
 */
const messageOfError = (value: unknown): string => {
  try {
    if (typeof value === "function") return ""
    if (typeof value !== "object" || value === null || value instanceof Error) return messageOf(value)
    return "message" in value && typeof value.message === "string" ? value.message : statusOf(value) ?? ""
  } catch {
    return ""
  }
}

/** "fetch failed" says nothing without its cause. */
const messageWithCause = (error: unknown): string => {
  const message = messageOfError(error)
  try {
    if (!(error instanceof Error) || error.cause === undefined) return message
    const cause = messageOfError(error.cause)
    return cause === "" || message.includes(cause) ? message : `${message}: ${cause}`
  } catch {
    return message
  }
}
