/**
 * The variables of the admin API. Each part of them is read together with what
 * is wrong with it, which fails a start, or is shown.
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { flag } from "../../internal/environment/decode.ts"
import { configError, quote } from "../../internal/environment/problems.ts"
import { readAll } from "../../internal/environment/source.ts"
import { closest, distance, TYPO } from "../../internal/spelling.ts"
import type { Inspection, ReadAccess } from "../Admin.ts"
import { isHost, isLoopback } from "./guard.ts"

interface Access {
  readonly token: Redacted.Redacted | undefined
  readonly changes: boolean
  readonly readAccess: ReadAccess
  readonly allowedHosts: ReadonlyArray<string>
}

interface Address {
  readonly host: string
  readonly port: number
}

/** What some variables set, with the default of what is not set or is wrong, and what is wrong. */
interface Part<A> {
  readonly settings: A
  readonly problems: ReadonlyArray<string>
}

const NAMES = {
  token: "RESILIENCE_ADMIN_TOKEN",
  changes: "RESILIENCE_ADMIN_CHANGES",
  readAccess: "RESILIENCE_ADMIN_READ_ACCESS",
  allowedHosts: "RESILIENCE_ADMIN_ALLOWED_HOSTS",
  host: "RESILIENCE_ADMIN_HOST",
  port: "RESILIENCE_ADMIN_PORT"
} as const satisfies Record<keyof (Access & Address), string>

const ALL_NAMES = Object.values(NAMES)

/** What the command line reads, which may run in the same environment. */
const KNOWN: ReadonlyArray<string> = [...ALL_NAMES, "RESILIENCE_ADMIN_URL", "RESILIENCE_ADMIN_BY"]

const PREFIX = "RESILIENCE_ADMIN_"

const DEFAULTS: Access & Address = {
  token: undefined,
  changes: true,
  readAccess: "loopback",
  allowedHosts: [],
  host: "127.0.0.1",
  port: 9700
}

// -----------------------------------------------------------------------------
// parts
// -----------------------------------------------------------------------------

/** A variable that `parse` takes. */
const variable = <K extends "changes" | "readAccess" | "port">(
  key: K,
  accepts: string,
  parse: (text: string) => (typeof DEFAULTS)[K] | undefined
): Config.Config<Part<(typeof DEFAULTS)[K]>> =>
  Config.map(Config.option(Config.String(NAMES[key])), (given) => {
    if (Option.isNone(given)) return { settings: DEFAULTS[key], problems: [] }
    const value = parse(given.value.trim())
    return value === undefined
      ? { settings: DEFAULTS[key], problems: [`${quote(NAMES[key], given.value)} must be ${accepts}`] }
      : { settings: value, problems: [] }
  })

const token = Config.option(Config.Redacted(NAMES.token))

const READ_ACCESS: ReadonlyArray<ReadAccess> = ["loopback", "token", "anyone"]

export const access: Config.Config<Part<Access>> = Config.map(
  Config.all({
    token,
    changes: variable("changes", "true or false", flag.decode),
    readAccess: variable(
      "readAccess",
      "loopback, token or anyone",
      (text) => READ_ACCESS.find((access) => access === text)
    ),
    allowedHosts: Config.Array(Schema.String, NAMES.allowedHosts).pipe(Config.withDefault(DEFAULTS.allowedHosts))
  }),
  ({ allowedHosts, changes, readAccess, token }) => {
    const settings: Access = {
      token: Option.getOrUndefined(token),
      changes: changes.settings,
      readAccess: readAccess.settings,
      allowedHosts: allowedHosts.map((host) => host.trim()).filter((host) => host !== "")
    }
    return {
      settings,
      problems: [
        ...changes.problems,
        ...readAccess.problems,
        ...problemsOfAccess(settings, (key) => NAMES[key])
      ]
    }
  }
)

export const address: Config.Config<Part<Address>> = Config.map(
  Config.all({
    host: Config.String(NAMES.host).pipe(Config.withDefault(DEFAULTS.host)),
    port: variable(
      "port",
      "a port from 0 to 65535, 0 for any that is free",
      (text) => /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? Number(text) : undefined
    ),
    token
  }),
  ({ host, port, token }) => ({
    settings: { host, port: port.settings },
    problems: isLoopback(host) || Option.isSome(token) ? port.problems : [
      ...port.problems,
      `${quote(NAMES.host, host)} is not a loopback address such as 127.0.0.1, so ${NAMES.token} must be set`
    ]
  })
)

/** What must not be served, in the names of options or of variables. */
export const problemsOfAccess = (
  { allowedHosts, changes, readAccess, token }: Access,
  nameOf: (key: keyof Access) => string
): ReadonlyArray<string> => {
  const found: Array<string> = []
  const accepted = "16 or more ASCII characters without spaces"
  if (token === undefined && (changes || readAccess === "token")) {
    const reason = changes ? `unless ${nameOf("changes")} is false` : `since ${nameOf("readAccess")} is "token"`
    found.push(`${nameOf("token")} must be set to ${accepted}, ${reason}`)
  }
  const text = token === undefined ? undefined : Redacted.value(token)
  if (text !== undefined && !/^[\x21-\x7e]{16,}$/.test(text)) {
    found.push(`${nameOf("token")} must be ${accepted}; what is set is not shown`)
  } else if (text !== undefined && isGuessable(text)) {
    found.push(
      `${nameOf("token")} must not be made of well-known words or of a few characters again and again, take one of ` +
        "`openssl rand -hex 32`; what is set is not shown"
    )
  }
  for (const host of allowedHosts) {
    if (isHost(host)) continue
    found.push(
      `${nameOf("allowedHosts")} must be names such as "a.example.com" or "a.example.com:8080", got ${
        JSON.stringify(host)
      }`
    )
  }
  return found
}

/** Words from examples, which a guess begins with. */
const WELL_KNOWN = [
  "1234567890",
  "administrator",
  "placeholder",
  "qwertyuiop",
  "asdfghjkl",
  "resilience",
  "change",
  "default",
  "example",
  "insecure",
  "letmein",
  "password",
  "passwort",
  "replace",
  "welcome",
  "bearer",
  "effect",
  "foobar",
  "qwerty",
  "secret",
  "sample",
  "admin",
  "dummy",
  "insert",
  "login",
  "token",
  "guest",
  "demo",
  "here",
  "pass",
  "root",
  "test",
  "user",
  "your",
  "auth",
  "key",
  "the",
  "this",
  "me",
  "my"
]

/** So many characters must be other than well-known words where there are any. */
const UNKNOWN = 12

const MIN_DIFFERENT = 5

const isGuessable = (token: string): boolean => {
  if (new Set(token).size < MIN_DIFFERENT || /^(.{1,8})\1+$/.test(token)) return true
  const rest = WELL_KNOWN.reduce((rest, word) => rest.replaceAll(word, " "), token.toLowerCase())
  return lettersOf(rest) < Math.min(UNKNOWN, lettersOf(token))
}

/** Letters and digits. */
const lettersOf = (text: string): number => text.replace(/[^a-z0-9]/gi, "").length

/**
 * A variable that is misspelt, or that does not exist, would count as not set
 * and leave open what was meant to be closed.
 */
const unknown: Effect.Effect<ReadonlyArray<string>> = Effect.gen(function*() {
  const isOurs = (word: string) => distance(word, "RESILIENCE") <= TYPO
  // Only what is read by name can fail.
  const texts = yield* Effect.orDie(readAll(yield* ConfigProvider.ConfigProvider, [], isOurs))
  return Array.from(texts.keys()).flatMap((name) => {
    if (KNOWN.includes(name)) return []
    const meant = closest(name, KNOWN, TYPO)
    if (meant !== undefined) return [`${name} is unknown; did you mean ${meant}?`]
    return name.startsWith(PREFIX) ? [`${name} is unknown; known are ${ALL_NAMES.join(", ")}`] : []
  })
})

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

/** The settings of a part that has no problems. */
export const orFail = <A>(part: Config.Config<Part<A>>): Config.Config<A> =>
  Config.mapEffect(
    part,
    ({ problems, settings }) => problems.length === 0 ? Effect.succeed(settings) : Effect.fail(configError(problems))
  )

export const loadAccess: Effect.Effect<Access, Config.ConfigError> = Effect.flatMap(
  unknown,
  (problems): Effect.Effect<Access, Config.ConfigError> =>
    problems.length === 0 ? orFail(access) : Effect.fail(configError(problems))
)

export const inspect: Effect.Effect<Inspection> = Effect.gen(function*() {
  const [ofAccess, ofAddress] = [yield* orUnreadable(access), yield* orUnreadable(address)]
  const isSet = yield* Effect.forEach(ALL_NAMES, isVariableSet)
  return {
    settings: { ...DEFAULTS, ...ofAccess.settings, ...ofAddress.settings },
    variables: ALL_NAMES.filter((_, index) => isSet[index]),
    // What cannot be read is so for both.
    problems: Array.from(new Set([...yield* unknown, ...ofAccess.problems, ...ofAddress.problems]))
  }
})

const orUnreadable = <A>(part: Config.Config<Part<A>>): Effect.Effect<Part<Partial<A>>> =>
  Effect.catch(
    part as Effect.Effect<Part<Partial<A>>, Config.ConfigError>,
    ({ cause }) => Effect.succeed({ settings: {}, problems: [cause.message] })
  )

/** An empty variable counts as absent, and one that cannot be read as set. */
const isVariableSet = (name: string): Effect.Effect<boolean> =>
  Effect.match(Config.option(Config.NonEmptyString(name)), { onFailure: () => true, onSuccess: Option.isSome })
