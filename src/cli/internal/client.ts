/**
 * The admin API as the command line sees it: where it is, what it says, and the
 * exit code of everything that can go wrong.
 */
import type * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import * as Admin from "../../admin/Admin.ts"
import * as AdminApi from "../../admin/AdminApi.ts"
import { CommandError, exitCodes } from "../CommandError.ts"
import { clean, quote } from "./text.ts"
import { closest, TYPO } from "../../internal/spelling.ts"

export const invalid = (message: string): CommandError => new CommandError({ exitCode: exitCodes.invalid, message })

type ApiError =
  | HttpClientError.HttpClientError
  | Schema.SchemaError
  | Cause.TimeoutError
  | AdminApi.InvalidRequestError
  | AdminApi.UnauthorizedError
  | AdminApi.TooManyWrongTokensError
  | AdminApi.ForbiddenError
  | AdminApi.CircuitNotFoundError
  | AdminApi.BodyTooLargeError
  | AdminApi.UnsupportedMediaTypeError
  | AdminApi.TooManyRequestsError
  | AdminApi.TooManySubscribersError

const toCommandError = (url: string, hasToken: boolean) => (error: ApiError): CommandError => {
  switch (error._tag) {
    case "InvalidRequestError":
    case "BodyTooLargeError":
    case "UnsupportedMediaTypeError":
      return invalid(`${url} does not accept that: ${clean(error.message)}`)
    case "UnauthorizedError":
      return new CommandError({
        exitCode: exitCodes.refused,
        message: hasToken
          ? `${url} does not accept the token`
          : `${url} asks for a token: set RESILIENCE_ADMIN_TOKEN, or use --token-file`
      })
    case "TooManyWrongTokensError":
    case "ForbiddenError":
      return new CommandError({ exitCode: exitCodes.refused, message: `${url} refuses that: ${clean(error.message)}` })
    case "CircuitNotFoundError":
      return new CommandError({ exitCode: exitCodes.unknownCircuit, message: clean(error.message) })
    case "TooManyRequestsError":
    case "TooManySubscribersError":
      return unreachable(`${url} is busy: ${clean(error.message)}`)
    case "TimeoutError":
      return unreachable(`${url} did not answer within ${Duration.format(REQUEST_TIMEOUT)}`)
    case "SchemaError":
      return unreachable(`${url} does not answer as the admin API does; is it that, with its prefix?`)
    case "HttpClientError": {
      if (error.response === undefined) return unreachable(`cannot reach ${url}: ${causeOf(error)}`)
      return unreachable(
        `${url} does not answer as the admin API does (HTTP ${error.response.status}); is it that, with its prefix?`
      )
    }
  }
}

const unreachable = (message: string): CommandError => new CommandError({ exitCode: exitCodes.unreachable, message })

/** What is at the bottom of an error of `fetch`, which itself only says that it failed. */
const causeOf = (error: HttpClientError.HttpClientError): string => {
  let message = "no connection"
  let code: unknown
  let at: unknown = error.reason
  for (let depth = 0; depth < 5 && at instanceof Error; depth++) {
    // Of several addresses that were tried, the first stands for all.
    const cause: Error = at instanceof AggregateError && at.errors[0] instanceof Error ? at.errors[0] : at
    if (cause.message !== "") message = cause.message
    if ("code" in cause && typeof cause.code === "string") code = cause.code
    at = cause.cause
  }
  return clean(typeof code === "string" && !message.includes(code) ? `${message} (${code})` : message)
}

// -----------------------------------------------------------------------------
// connection
// -----------------------------------------------------------------------------

/** What the global options say. */
export interface Target {
  readonly url: Option.Option<string>
  readonly token: Option.Option<Redacted.Redacted>
  readonly tokenFile: Option.Option<string>
}

export interface Connection {
  readonly url: string
  readonly client: Admin.Client
  /** Asks, with a limit of time and errors for people. */
  readonly ask: <A, R>(request: Effect.Effect<A, ApiError, R>) => Effect.Effect<A, CommandError, R>
  readonly mapError: (error: ApiError) => CommandError
}

const REQUEST_TIMEOUT = Duration.seconds(10)

/** A variable of the environment; an empty one counts as absent. */
export const variable = (name: string): Effect.Effect<Option.Option<string>, CommandError> =>
  Effect.mapError(
    Config.option(Config.NonEmptyString(name)),
    (error) => invalid(`${name} cannot be read: ${clean(error.message)}`)
  )

export const connect = Effect.fnUntraced(function*(
  target: Target
): Effect.fn.Return<Connection, CommandError, FileSystem.FileSystem | HttpClient.HttpClient> {
  const url = yield* findUrl(target)
  const token = yield* findToken(target)
  const client = yield* Admin.client({ baseUrl: url, token: Option.getOrUndefined(token) })
  const mapError = toCommandError(url, Option.isSome(token))
  return {
    url,
    client,
    mapError,
    ask: (request) => Effect.mapError(Effect.timeout(request, REQUEST_TIMEOUT), mapError)
  }
})

const findUrl = Effect.fnUntraced(function*({ url }: Target): Effect.fn.Return<string, CommandError> {
  if (Option.isSome(url)) return yield* checkUrl("--url", url.value)
  const set = yield* variable("RESILIENCE_ADMIN_URL")
  if (Option.isSome(set)) return yield* checkUrl("RESILIENCE_ADMIN_URL", set.value)
  const port = yield* variable("RESILIENCE_ADMIN_PORT")
  if (Option.isNone(port)) return "http://127.0.0.1:9700"
  return /^[1-9]\d{0,4}$/.test(port.value) && Number(port.value) <= 65_535
    ? `http://127.0.0.1:${port.value}`
    : yield* invalid(
      `RESILIENCE_ADMIN_PORT=${quote(port.value)} is no port to connect to: set --url or ` +
        "RESILIENCE_ADMIN_URL"
    )
})

export const checkUrl = (name: string, text: string): Effect.Effect<string, CommandError> => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const accepted = "must be a URL such as http://127.0.0.1:9700 or https://host/prefix"
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    // It may hold a password, in a form that nobody can read.
    const shown = text.includes("@") ? "what is set is not shown" : `got ${quote(text)}`
    return Effect.fail(invalid(`${name} ${accepted}; ${shown}`))
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    return Effect.fail(
      invalid(`${name} ${accepted}, without user, password, query or fragment; what is set is not shown`)
    )
  }
  return Effect.succeed(url.href.replace(/\/+$/, ""))
}

const findToken = Effect.fnUntraced(function*(
  { token, tokenFile }: Target
): Effect.fn.Return<Option.Option<Redacted.Redacted>, CommandError, FileSystem.FileSystem> {
  if (Option.isSome(token) && Option.isSome(tokenFile)) {
    return yield* invalid("--token and --token-file exclude each other; use one of them")
  }
  if (Option.isSome(token)) return Option.some(yield* checkToken("--token", Redacted.value(token.value)))
  if (Option.isSome(tokenFile)) {
    const files = yield* FileSystem.FileSystem
    const path = tokenFile.value
    const text = yield* Effect.mapError(
      files.readFileString(path),
      () => invalid(`--token-file ${quote(path)} cannot be read`)
    )
    return Option.some(yield* checkToken(`--token-file ${quote(path)}`, text.trim()))
  }
  const set = yield* variable("RESILIENCE_ADMIN_TOKEN")
  return Option.isNone(set) ? Option.none() : Option.some(yield* checkToken("RESILIENCE_ADMIN_TOKEN", set.value))
})

const checkToken = (name: string, text: string): Effect.Effect<Redacted.Redacted, CommandError> =>
  /^[\x21-\x7e]+$/.test(text)
    ? Effect.succeed(Redacted.make(text))
    : Effect.fail(invalid(`${name} must have a token of ASCII characters without spaces; what is set is not shown`))

// -----------------------------------------------------------------------------
// circuits
// -----------------------------------------------------------------------------

export const listCircuits = Effect.fnUntraced(function*(
  { ask, client }: Connection
): Effect.fn.Return<ReadonlyArray<AdminApi.Circuit>, CommandError> {
  // By name: while pages are read, circuits come and go.
  const circuits = new Map<string, AdminApi.Circuit>()
  for (let offset = 0;; offset += AdminApi.maxLimit) {
    const page = yield* ask(client.circuits.list({ query: { offset, limit: AdminApi.maxLimit } }))
    for (const circuit of page.circuits) circuits.set(circuit.name, circuit)
    if (page.circuits.length === 0 || offset + AdminApi.maxLimit >= page.total) break
  }
  return Array.from(circuits.values())
})

/** Says which circuit may have been meant. */
export const withSuggestion = <A, R>(
  { ask, client }: Connection,
  name: string,
  self: Effect.Effect<A, CommandError, R>
): Effect.Effect<A, CommandError, R> =>
  Effect.catchIf(
    self,
    ({ exitCode }) => exitCode === exitCodes.unknownCircuit,
    (error) =>
      ask(client.circuits.list({ query: { limit: AdminApi.maxLimit } })).pipe(
        Effect.map(({ circuits }) => closest(name, circuits.map((circuit) => circuit.name), TYPO)),
        Effect.orElseSucceed(() => undefined),
        Effect.flatMap((meant) =>
          Effect.fail(
            meant === undefined
              ? error
              : new CommandError({
                ...error,
                message: `${error.message}; did you mean ${quote(meant)}?`
              })
          )
        )
      )
  )
