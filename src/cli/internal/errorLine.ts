/**
 * What the command line says of an invocation that it does not understand.
 */
import * as CliError from "effect/cli/CliError"
import { clean } from "./text.ts"

/** An error in one line. Effect puts its suggestions on lines of their own, which `clean` would replace. */
export const errorLine = (error: CliError.CliError): string => {
  const { meant, message } = withoutSuggestions(error)
  const suggestion = meant.map((name) => JSON.stringify(name)).join(" or ")
  return `effect-resilience: ${clean(message)}${suggestion === "" ? "" : `; did you mean ${clean(suggestion)}?`}`
}

const withoutSuggestions = (error: CliError.CliError) => {
  switch (error._tag) {
    case "UnknownSubcommand":
      return {
        meant: error.suggestions,
        message: new CliError.UnknownSubcommand({ ...error, suggestions: [] }).message
      }
    case "UnrecognizedOption":
      return {
        meant: error.suggestions,
        message: new CliError.UnrecognizedOption({ ...error, suggestions: [] }).message
      }
    default:
      return { meant: [], message: error.message }
  }
}
