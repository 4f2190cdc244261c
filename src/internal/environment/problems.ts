/** What is wrong with variables: data, until it is printed. */
import * as Config from "effect/Config"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

export interface Problem {
  readonly message: string
  /** The variables that are wrong. Without them the environment is right. */
  readonly variables: ReadonlyArray<string>
}

/** Takes what is found, or nothing if nobody is there to read it. */
export type Report = (problem: Problem) => void

/** The lines of problems. Levels that share a variable find the same. */
export const messagesOf = (problems: ReadonlyArray<Problem>): ReadonlyArray<string> =>
  Array.from(new Set(problems.map(({ message }) => message)))

/** The error of messages, of which there is at least one. */
export const configError = (messages: ReadonlyArray<string>): Config.ConfigError => {
  const [first, ...others] = messages.map((message) => new SchemaIssue.InvalidValue({ message }))
  return readable(
    new Config.ConfigError(
      new Schema.SchemaError(new SchemaIssue.Composite(Schema.Unknown.ast, [first!, ...others]))
    )
  )
}

/**
 * Node shows an error that nobody handles as an object with all its fields, and the cause is 40 lines of Schema. This shows
 * the message in their place.
 */
export const readable = (error: Config.ConfigError): Config.ConfigError => {
  const { cause } = error
  const message = cause._tag === "SchemaError" ? cause.message : error.message
  const inspect = Symbol.for("nodejs.util.inspect.custom")
  return Object.defineProperties(error, {
    message: { value: message, enumerable: true },
    cause: { enumerable: false },
    [inspect]: { value: () => `ConfigError: ${message}` }
  })
}

/** A variable with its text, as messages name it. */
export const quote = (variable: string, text: string): string => `${variable}=${JSON.stringify(shorten(text))}`

export const shorten = (text: string): string => text.length > 80 ? `${text.slice(0, 80)}…` : text
