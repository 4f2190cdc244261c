import { format } from "effect/Formatter"
import * as Predicate from "effect/Predicate"

/** The message of an error; one without is told by its tag or name. */
export const messageOf = (error: unknown): string => {
  if (typeof error === "string") return error
  try {
    // Read once: that of an error which holds another is made of the other's.
    const message = error instanceof Error ? error.message : ""
    if (message !== "") return message
    if (Predicate.hasProperty(error, "_tag") && typeof error._tag === "string") return error._tag
    return error instanceof Error ? error.name : format(error)
  } catch {
    return "an error that cannot be read"
  }
}
