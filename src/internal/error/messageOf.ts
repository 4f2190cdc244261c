import { format } from "effect/Formatter"
import * as Predicate from "effect/Predicate"

/**
 * The message of an error; one without is told by its tag, its status, or its
 * name. JavaScript lets an error be anything, and the fields of a mere object
 * may be large, and secret: of them nothing is shown.
 */
export const messageOf = (error: unknown): string => {
  if (typeof error === "string") return error
  try {
    // Read once: that of an error which holds another is made of the other's.
    const message: unknown = error instanceof Error ? error.message : undefined
    if (message !== "" && message !== undefined && message !== null) return textOf(message)
    if (Predicate.hasProperty(error, "_tag") && typeof error._tag === "string") return error._tag
    if (error instanceof Error) return textOf(error.name)
    return typeof error === "object" && error !== null ? textOfObject(error) : textOf(error)
  } catch {
    return "an error that cannot be read"
  }
}

const textOf = (value: unknown): string => typeof value === "string" ? value : format(value)

const textOfObject = (error: object): string =>
  Predicate.hasProperty(error, "message") && typeof error.message === "string"
    ? error.message
    : statusOf(error) ?? `an ${Array.isArray(error) ? "array" : "object"} without a message`

/** Of a response, as most clients have it. */
export const statusOf = (value: unknown): string | undefined => {
  try {
    return Predicate.hasProperty(value, "status") && typeof value.status === "number"
      ? `status ${value.status}`
      : undefined
  } catch {
    // Its getters are somebody else's code.
    return undefined
  }
}
