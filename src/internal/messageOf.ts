import { format } from "effect/Formatter"
import * as Predicate from "effect/Predicate"

/** The message of an error; one without is told by its tag or name. JavaScript lets it be anything. */
export const messageOf = (error: unknown): string => {
  if (typeof error === "string") return error
  try {
    // Read once: that of an error which holds another is made of the other's.
    const message: unknown = error instanceof Error ? error.message : undefined
    if (message !== "" && message !== undefined && message !== null) return textOf(message)
    if (Predicate.hasProperty(error, "_tag") && typeof error._tag === "string") return error._tag
    return textOf(error instanceof Error ? error.name : error)
  } catch {
    return "an error that cannot be read"
  }
}

const textOf = (value: unknown): string => typeof value === "string" ? value : format(value)
