/**
 * Configuration from environment variables.
 *
 * One function, `load`, reads every variable of the library through Effect's
 * `ConfigProvider` and returns ready policies. `CircuitBreakerRegistry` and the
 * classes of `CircuitBreaker.Service` have a `layerConfig` that does it for
 * them.
 *
 * **Details**
 *
 * A variable is spelled `CIRCUIT_BREAKER_FAILURE_THRESHOLD` for all circuits
 * and `CB_PAYMENT_API_FAILURE_THRESHOLD` for the circuit `payment-api`. Settings
 * of one circuit override those of all; at the same level the environment
 * overrides the code. For each setting, the first of these counts:
 *
 * 1. the variable of the circuit;
 * 2. the circuit's policy in code, if it names the setting;
 * 3. the variable of all circuits;
 * 4. the default policy in code, or the library's own defaults.
 *
 * A policy names the options that `CircuitPolicy.make` was given: the rules that
 * open the circuit together, and each other option by itself. One made with
 * `classify` alone names nothing that a variable sets. A policy that another one
 * was spread into names what either names.
 *
 * Everything that is wrong is one `ConfigError`, whose message has a line for
 * each problem. Misspelt names are problems, too.
 *
 * **Example** (Reading the environment)
 *
 * ```ts import.meta.vitest
 * import { ConfigProvider, Effect } from "effect"
 * import { Environment } from "effect-resilience"
 *
 * const provider = ConfigProvider.fromEnv({
 *   env: {
 *     CIRCUIT_BREAKER_FAILURE_THRESHOLD: "10",
 *     CB_PAYMENT_API_FAILURE_THRESHOLD: "3",
 *     MAX_RETRY_ATTEMPTS: "4"
 *   }
 * })
 *
 * const environment = await Effect.runPromise(
 *   Environment.load().pipe(Effect.provideService(ConfigProvider.ConfigProvider, provider))
 * )
 *
 * environment.defaults.consecutiveFailures // => 10
 * environment.circuitPolicy("payment-api").consecutiveFailures // => 3
 * environment.retry.maxAttempts // => 4
 * ```
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Str from "effect/String"
import * as CircuitPolicy from "./CircuitPolicy.ts"
import { checkOptions } from "./internal/check.ts"
import { namedFields } from "./internal/circuit/policy.ts"
import { readAll, type Texts } from "./internal/environment/source.ts"
import { formatDuration, parseDuration, parsePlain } from "./internal/time/durationText.ts"
import { closest, distance, TYPO } from "./internal/spelling.ts"
import { ofCalls, ofCircuits, type Synonym, synonymOf } from "./internal/environment/synonyms.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * What the environment says, decoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface Environment {
  /** The policy of circuits about which nothing is said. */
  readonly defaults: CircuitPolicy.CircuitPolicy

  /**
   * The policy of one circuit. With a policy, that policy as the variables
   * change it.
   */
  readonly circuitPolicy: (
    name: string,
    policy?: CircuitPolicy.CircuitPolicy | undefined
  ) => CircuitPolicy.CircuitPolicy

  /** How long an attempt of a call may take, through one circuit or in general. Infinite if that is off. */
  readonly requestTimeout: (circuit?: string | undefined) => Duration.Duration

  /**
   * Whether a circuit is on, or circuits in general. One that is off should be
   * `Disabled` from the start.
   */
  readonly enabled: (circuit?: string | undefined) => boolean

  /** How to retry, as options of `Retry.make`. */
  readonly retry: RetryOptions

  readonly healthCheckInterval: Duration.Duration

  /** Every setting with its value and where that comes from: those of all circuits, then those of each. */
  readonly settings: ReadonlyArray<Setting>
}

/**
 * How to retry, as options of `Retry.make`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryOptions {
  readonly maxAttempts: number
  readonly baseDelay: Duration.Duration
  readonly maxDelay: Duration.Duration
  readonly factor: number
  readonly jitter: "proportional" | "none"
}

/**
 * The value of a setting. `"schedule"` stands for an open time that a
 * `Schedule` in code decides.
 *
 * @category models
 * @since 0.1.0
 */
export type Value = number | boolean | Duration.Duration | "off" | "schedule"

/**
 * A setting, with its value and where that comes from.
 *
 * **Details**
 *
 * - `key`: the name without its prefix, as `FAILURE_THRESHOLD`.
 * - `circuit`: the circuit it is for, or `undefined` for all. A circuit that
 *   only the environment names is spelled as there, as `PAYMENT_API`.
 * - `source`: a `Variable`, a `Policy` in code, or the library's `Default`.
 * - `variable`: where the value was read, or else where to set it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Setting {
  readonly key: string
  readonly circuit: string | undefined
  readonly value: Value
  readonly source: "Default" | "Policy" | "Variable"
  readonly variable: string
}

/**
 * What the environment says as far as it is right, and what is wrong with it.
 *
 * @see {@link inspect}
 *
 * @category models
 * @since 0.1.0
 */
export interface Inspection {
  readonly environment: Environment
  readonly problems: ReadonlyArray<string>
}

/**
 * A variable that the library reads.
 *
 * **Details**
 *
 * - `aliases`: other names of the same setting.
 * - `circuitName`: its name for one circuit, with `<NAME>` in it.
 * - `default`: the value without it, as it would be written, or `off`.
 * - `accepts`: the values it accepts, in words.
 * - `unit`: of plain numbers.
 *
 * @see {@link variables} for all of them
 *
 * @category models
 * @since 0.1.0
 */
export interface Variable {
  readonly key: string
  readonly name: string
  readonly aliases: ReadonlyArray<string>
  readonly circuitName: string | undefined
  readonly default: string
  readonly accepts: string
  readonly unit: Unit | undefined
  readonly description: string
}

/**
 * The unit of plain numbers.
 *
 * @category models
 * @since 0.1.0
 */
export type Unit = "seconds" | "milliseconds"

/**
 * What the code says.
 *
 * **Details**
 *
 * - `defaults`: the policy of circuits that have none of their own,
 *   `CircuitPolicy.make()`, or its options.
 * - `circuits`: policies or their options by name. A circuit without a policy of its own may be
 *   named too, as `undefined`, so that misspelt variables of it are found.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly defaults?: CircuitPolicy.CircuitPolicy | CircuitPolicy.Options | undefined
  readonly circuits?:
    | Readonly<Record<string, CircuitPolicy.CircuitPolicy | CircuitPolicy.Options | undefined>>
    | undefined
}

/** What the code says, checked. */
interface Code {
  readonly defaults: CircuitPolicy.CircuitPolicy | undefined
  readonly circuits: ReadonlyMap<string, CircuitPolicy.CircuitPolicy | undefined>
  /** Whether `circuits` has all circuits that the code names. */
  readonly isComplete: boolean
}

const codeOf = (owner: string, options: Options, isComplete: boolean): Code => {
  const { circuits, defaults } = checkOptions(owner, options, ["defaults", "circuits"])
  return {
    defaults: CircuitPolicy.from(`${owner}: defaults`, defaults),
    circuits: new Map(
      Object.entries(circuits ?? {}).map(([name, policy]) => [
        name,
        CircuitPolicy.from(`${owner}: circuits.${name}`, policy)
      ])
    ),
    isComplete
  }
}

// -----------------------------------------------------------------------------
// kinds of values
// -----------------------------------------------------------------------------

interface Kind<out A extends Value> {
  readonly accepts: string
  readonly unit: Unit | undefined
  /** Takes trimmed text in small letters. */
  readonly decode: (text: string) => A | undefined
  /** Says of a text that is not accepted what is likely to be wrong with it. */
  readonly explain?: ((text: string) => string | undefined) | undefined
}

const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/

const between = (minimum: number, maximum: number, integer: boolean): Kind<number> => ({
  accepts: `${integer ? "an integer" : "a number"} from ${minimum} to ${maximum}`,
  unit: undefined,
  decode: (text) => {
    const number = NUMBER.test(text) ? Number(text) : NaN
    return number >= minimum && number <= maximum && (!integer || Number.isInteger(number)) ? number : undefined
  }
})

const count = (maximum: number) => between(1, maximum, true)

const rate = between(0, 1, false)

const factor = between(1, 100, false)

/** A time in milliseconds: the name of its variable says so. */
const milliseconds = (minimum: number, maximum: number, example: string): Kind<Duration.Duration> => ({
  accepts: `a number of milliseconds from ${minimum} to ${maximum}, or a duration such as "${example}"`,
  unit: "milliseconds",
  decode: (text) => {
    const duration = parseDuration(text, "milliseconds")
    const millis = duration === undefined ? NaN : Duration.toMillis(duration)
    return millis >= minimum && millis <= maximum ? duration : undefined
  }
})

/**
 * A time in seconds. Other libraries take milliseconds under such names, so a
 * number that is hardly meant as seconds needs its unit.
 */
const seconds = (
  minimum: number,
  { longest, plain }: { readonly plain: number; readonly longest: Duration.Duration },
  example: string
): Kind<Duration.Duration> => {
  const isAccepted = (duration: Duration.Duration) =>
    Duration.toSeconds(duration) >= minimum && Duration.isLessThanOrEqualTo(duration, longest)
  return {
    accepts: `a number of seconds from ${minimum} to ${plain}, or a duration up to ${
      Duration.format(longest)
    } such as "${example}"`,
    unit: "seconds",
    decode: (text) => {
      const duration = parseDuration(text)
      const number = parsePlain(text)
      return duration !== undefined && isAccepted(duration) && (number === undefined || number <= plain)
        ? duration
        : undefined
    },
    explain: (text) => {
      const number = parsePlain(text)
      if (number === undefined || number <= plain) return undefined
      const [asSeconds, asMillis] = [Duration.seconds(number), Duration.millis(number)]
      if (!isAccepted(asMillis)) return undefined
      const told = `is ${formatDuration(asSeconds)} in seconds`
      const instead = `write "${Duration.format(asMillis)}" if milliseconds were meant`
      return isAccepted(asSeconds)
        ? `${told}; ${instead}, or "${number}s"`
        : `${told}, at most ${Duration.format(longest)} is accepted; ${instead}`
    }
  }
}

const HOUR = 3600

const upToHour = { plain: 600, longest: Duration.hours(1) }
const upToDay = { plain: HOUR, longest: Duration.days(1) }

/** Those of `Config.Boolean`. */
const TRUE = ["true", "yes", "on", "1", "y"]
const FALSE = ["false", "no", "off", "0", "n"]

const flag: Kind<boolean> = {
  accepts: "true, yes, on or 1, or else false, no, off or 0",
  unit: undefined,
  decode: (text) => TRUE.includes(text) ? true : FALSE.includes(text) ? false : undefined
}

const orOff = <A extends Value>(kind: Kind<A>): Kind<A | "off"> => ({
  ...kind,
  accepts: `${kind.accepts}, or "off"`,
  decode: (text) => text === "off" ? text : kind.decode(text)
})

/** How to write a value in a variable. */
const encode = (value: Value, unit: Unit | undefined): string =>
  Duration.isDuration(value)
    ? String(unit === "milliseconds" ? Duration.toMillis(value) : Duration.toSeconds(value))
    : String(value)

// -----------------------------------------------------------------------------
// settings
// -----------------------------------------------------------------------------

interface Field<out A extends Value> {
  readonly kind: Kind<A>
  readonly default: A
  /** What a policy has for it. A setting that is not of a policy has none. */
  readonly read: ((policy: CircuitPolicy.CircuitPolicy) => A) | undefined
  /** The fields of a policy of which any one claims the setting. */
  readonly claimedBy: ReadonlyArray<keyof CircuitPolicy.Options>
  readonly description: string
}

type Fields = Readonly<Record<string, Field<Value>>>

type ValueOf<F> = F extends Field<infer A> ? A : never

const field = <A extends Value>(kind: Kind<A>, byDefault: A, description: string): Field<A> => ({
  kind,
  default: byDefault,
  read: undefined,
  claimedBy: [],
  description
})

const builtIn = CircuitPolicy.make()

const policyField = <A extends Value, B extends Value>(
  kind: Kind<A>,
  claimedBy: keyof CircuitPolicy.Options | ReadonlyArray<keyof CircuitPolicy.Options>,
  read: (policy: CircuitPolicy.CircuitPolicy) => A | B,
  description: string
): Field<A | B> => ({
  kind,
  default: read(builtIn),
  read,
  claimedBy: typeof claimedBy === "string" ? [claimedBy] : claimedBy,
  description
})

/** Only the rules that a policy names apply, so that one of them claims them all. */
const RULES = ["consecutiveFailures", "failureRate", "slowCallRate", "slowCallDuration"] as const

const DEFAULT_OPEN_TIME = {
  initial: Duration.minutes(1),
  grows: true,
  multiplier: 2,
  maximum: Duration.minutes(5)
}

/** The open time of a policy, in the terms of the variables. */
const openTime = ({ openDuration }: CircuitPolicy.CircuitPolicy) =>
  Schedule.isSchedule(openDuration)
    ? { initial: "schedule", grows: "schedule", multiplier: "schedule", maximum: "schedule" } as const
    : Duration.isDuration(openDuration)
    ? { ...DEFAULT_OPEN_TIME, initial: openDuration, grows: false }
    : { ...openDuration, grows: true }

/** Settings of circuits, by the primary spelling of their key. */
const circuitFields = {
  FAILURE_THRESHOLD: policyField(
    orOff(count(1_000_000)),
    RULES,
    (policy) => policy.consecutiveFailures ?? "off",
    "Failures in a row that open the circuit."
  ),
  FAILURE_RATE_THRESHOLD: policyField(
    orOff(rate),
    RULES,
    (policy) => policy.failureRate ?? "off",
    "Share of failures in the window that opens the circuit."
  ),
  MINIMUM_REQUEST_THRESHOLD: policyField(
    count(1_000_000),
    "minimumCalls",
    (policy) => policy.minimumCalls,
    "Calls the window must hold before a rate counts."
  ),
  FAILURE_WINDOW_SECONDS: policyField(
    orOff(seconds(0.001, upToDay, "1m")),
    "window",
    (policy) => "duration" in policy.window ? policy.window.duration : "off",
    "The window, as a time. Excludes `WINDOW_SIZE`."
  ),
  WINDOW_SIZE: policyField(
    orOff(count(1_000_000)),
    "window",
    (policy) => "calls" in policy.window ? policy.window.calls : "off",
    "The window, as a number of calls. Excludes `FAILURE_WINDOW_SECONDS`."
  ),
  RECOVERY_TIMEOUT: policyField(
    seconds(0.001, upToDay, "30s"),
    "openDuration",
    (policy) => openTime(policy).initial,
    "How long the circuit stays open, at first."
  ),
  EXPONENTIAL_BACKOFF: policyField(
    flag,
    "openDuration",
    (policy) => openTime(policy).grows,
    "Whether each opening in a row is longer than the one before."
  ),
  BACKOFF_MULTIPLIER: policyField(
    factor,
    "openDuration",
    (policy) => openTime(policy).multiplier,
    "How many times longer."
  ),
  MAX_BACKOFF_SECONDS: policyField(
    seconds(0.001, upToDay, "5m"),
    "openDuration",
    (policy) => openTime(policy).maximum,
    "How long at most."
  ),
  HALF_OPEN_CALLS: policyField(
    count(10_000),
    "halfOpenMaxCalls",
    (policy) => policy.halfOpenMaxCalls,
    "Probes that run at once while the circuit is half-open."
  ),
  HALF_OPEN_TIMEOUT: policyField(
    orOff(seconds(0.001, upToDay, "1m")),
    "halfOpenTimeout",
    (policy) => Duration.isFinite(policy.halfOpenTimeout) ? policy.halfOpenTimeout : "off",
    "The circuit opens again if probes run that long without a verdict."
  ),
  SUCCESS_THRESHOLD: policyField(
    count(10_000),
    "successThreshold",
    (policy) => policy.successThreshold,
    "Successful probes that close the circuit."
  ),
  SLOW_CALL_THRESHOLD_MS: policyField(
    orOff(milliseconds(1, HOUR * 1000, "2s")),
    RULES,
    (policy) => policy.slowCallDuration ?? "off",
    "Calls that take longer are slow."
  ),
  SLOW_CALL_RATE_THRESHOLD: policyField(
    orOff(rate),
    RULES,
    (policy) => policy.slowCallRate ?? "off",
    "Share of slow calls in the window that opens the circuit."
  ),
  REQUEST_TIMEOUT_SECONDS: field(
    orOff(seconds(0.001, upToHour, "10s")),
    Duration.seconds(10),
    "How long an attempt of a call may take, in the standard pipeline."
  ),
  ENABLED: field(flag, true, "Whether circuits are on. One that is off is `Disabled`: every call passes.")
} satisfies Fields

const otherFields = {
  MAX_RETRY_ATTEMPTS: field(count(1000), 3, "Attempts of a call, the first included."),
  RETRY_BASE_DELAY: field(
    seconds(0, { plain: 90, longest: Duration.hours(1) }, "500ms"),
    Duration.seconds(1),
    "Wait before the first retry."
  ),
  RETRY_MAX_DELAY: field(seconds(0, upToDay, "1m"), Duration.minutes(1), "Longest wait before a retry."),
  RETRY_EXPONENTIAL_BASE: field(factor, 2, "How many times longer each wait is than the one before."),
  RETRY_JITTER_ENABLED: field(flag, true, "Whether waits are spread, × 0.5 to 1.5."),
  HEALTH_CHECK_INTERVAL: field(
    seconds(0.001, upToDay, "30s"),
    Duration.seconds(30),
    "Time between two health checks."
  )
} satisfies Fields

type CircuitFields = typeof circuitFields

/** The spellings of a key, primary first. Every time in seconds can be written with its unit or without. */
const spellings = (key: string, { kind }: Field<Value>): ReadonlyArray<string> =>
  kind.unit !== "seconds"
    ? [key]
    : [key, key.endsWith("_SECONDS") ? key.slice(0, -"_SECONDS".length) : `${key}_SECONDS`]

const GLOBAL = "CIRCUIT_BREAKER_"
const CIRCUIT = "CB_"

const prefixOf = (variableName: string): string => variableName === "" ? GLOBAL : `${CIRCUIT}${variableName}_`

const describeFields = (fields: Fields, prefix: string): ReadonlyArray<Variable> =>
  Object.entries(fields).map(([key, field]) => {
    const [primary, ...aliases] = spellings(key, field).map((spelling) => prefix + spelling)
    return {
      key,
      name: primary!,
      aliases,
      circuitName: prefix === GLOBAL ? prefixOf("<NAME>") + key : undefined,
      default: encode(field.default, field.kind.unit),
      accepts: field.kind.accepts,
      unit: field.kind.unit,
      description: field.description
    }
  })

/**
 * All variables that the library reads.
 *
 * **Example** (Listing the variables)
 *
 * ```ts import.meta.vitest
 * import { Environment } from "effect-resilience"
 *
 * const variable = Environment.variables.find((variable) => variable.key === "RECOVERY_TIMEOUT")
 * variable?.name // => "CIRCUIT_BREAKER_RECOVERY_TIMEOUT"
 * variable?.circuitName // => "CB_<NAME>_RECOVERY_TIMEOUT"
 * variable?.default // => "60"
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const variables: ReadonlyArray<Variable> = [
  ...describeFields(circuitFields, GLOBAL),
  ...describeFields(otherFields, "")
]

const circuitKeys = Object.entries(circuitFields).flatMap(([key, field]) => spellings(key, field))
const globalNames = variables.flatMap((variable) => [variable.name, ...variable.aliases])

/**
 * The part of a variable's name that stands for a circuit.
 *
 * **Details**
 *
 * Words are joined by `_` in capitals. Whatever is neither a letter from A to Z
 * nor a digit separates words, and so does a capital after a small letter.
 * Circuits whose names differ in nothing else share their variables, and a name
 * without such letters has none of its own.
 *
 * **Example** (Naming the variables of a circuit)
 *
 * ```ts import.meta.vitest
 * import { Environment } from "effect-resilience"
 *
 * Environment.variableName("payment-api") // => "PAYMENT_API"
 * Environment.variableName("paymentApi") // => "PAYMENT_API"
 * Environment.variableName("tier1_mcp") // => "TIER1_MCP"
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const variableName = (circuit: string): string => Str.configCase(circuit)

/**
 * What a policy has for each setting, by key.
 *
 * @internal
 */
export const valuesOf = (policy: CircuitPolicy.CircuitPolicy): ReadonlyMap<string, Value> =>
  new Map(
    Object.entries<Field<Value>>(circuitFields).flatMap(([key, { read }]) =>
      read === undefined ? [] : [[key, read(policy)]]
    )
  )

/** The policies in code of those that variables have changed. */
const ofCode = /* @__PURE__ */ new WeakMap<CircuitPolicy.CircuitPolicy, CircuitPolicy.CircuitPolicy>()

/**
 * The policy in code that variables have made this one of.
 *
 * @internal
 */
export const policyInCode = (policy: CircuitPolicy.CircuitPolicy): CircuitPolicy.CircuitPolicy =>
  ofCode.get(policy) ?? policy

/**
 * Whether code has named a setting in a policy.
 *
 * @internal
 */
export const isNamed = (key: string, policy: CircuitPolicy.CircuitPolicy): boolean =>
  Object.hasOwn(circuitFields, key) && claims(policy, circuitFields[key as keyof CircuitFields])

/**
 * The variable that a setting of one circuit is set with.
 *
 * @internal
 */
export const variableOf = (key: string, circuit: string): string => prefixOf(variableName(circuit)) + key

/** @internal */
export const isSameValue = (self: Value, that: Value): boolean =>
  Duration.isDuration(self) && Duration.isDuration(that) ? Duration.equals(self, that) : self === that

// -----------------------------------------------------------------------------
// loading
// -----------------------------------------------------------------------------

/**
 * Reads the environment.
 *
 * **Details**
 *
 * It reads the `ConfigProvider` of the fiber: the process environment unless
 * another one is provided. Empty values count as absent.
 *
 * It fails with a `ConfigError` that has all problems, one a line: values that
 * are not accepted, settings that contradict each other, and misspelt names.
 * Every name that starts with `CIRCUIT_BREAKER_`, or with the prefix of a
 * circuit of `circuits`, has to be known. Other names are only refused if they
 * are nearly known or are those of other libraries, such as `MAX_RETRIES`, since
 * other software has variables with `CB_` and `RETRY_` as well. The name of a
 * circuit is refused if it is nearly one of `circuits`. Values of unknown names
 * are never shown.
 *
 * Values that are set have to agree. A value that is not set yields to one that
 * is: `CIRCUIT_BREAKER_RECOVERY_TIMEOUT=600` alone raises the maximum of the
 * backoff from 300 to 600 seconds.
 *
 * **Example** (Finding all mistakes at once)
 *
 * ```ts import.meta.vitest
 * import { ConfigProvider, Effect } from "effect"
 * import { Environment } from "effect-resilience"
 *
 * const provider = ConfigProvider.fromEnv({
 *   env: {
 *     CIRCUIT_BREAKER_FAILURE_TRESHOLD: "3",
 *     CB_PAYMENT_API_FAILURE_RATE_THRESHOLD: "50"
 *   }
 * })
 *
 * const error = await Effect.runPromise(
 *   Environment.load().pipe(Effect.flip, Effect.provideService(ConfigProvider.ConfigProvider, provider))
 * )
 *
 * error.cause.message.split("\n")[0] // => 'CB_PAYMENT_API_FAILURE_RATE_THRESHOLD="50" must be a number from 0 to 1, or "off"'
 * error.cause.message.split("\n")[1] // => "CIRCUIT_BREAKER_FAILURE_TRESHOLD is unknown; did you mean CIRCUIT_BREAKER_FAILURE_THRESHOLD?"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const load = (options: Options = {}): Effect.Effect<Environment, Config.ConfigError> =>
  loadFor(codeOf("Environment.load", options, true))

/**
 * `load` for the one circuit that somebody names, while others may have names
 * much like it.
 *
 * @internal
 */
export const loadCircuit = (
  name: string,
  policy?: CircuitPolicy.CircuitPolicy | CircuitPolicy.Options | undefined
): Effect.Effect<Environment, Config.ConfigError> =>
  loadFor(codeOf("Environment.circuitPolicy", { circuits: { [name]: policy } }, false))

const loadFor = (code: Code): Effect.Effect<Environment, Config.ConfigError> =>
  Effect.matchEffect(read(code), {
    onFailure: (error) => Effect.fail(new Config.ConfigError(error)),
    onSuccess: (texts) => {
      const { environment, problems } = decode(texts, code)
      return problems.length === 0 ? Effect.succeed(environment) : Effect.fail(configError(problems))
    }
  })

const read = ({ circuits }: Code): Effect.Effect<Texts, ConfigProvider.SourceError> =>
  Effect.flatMap(ConfigProvider.ConfigProvider, (provider) => {
    const names = Array.from(circuits.keys(), variableName).filter((name) => name !== "")
    const known = globalNames.concat(names.flatMap((name) => circuitKeys.map((key) => prefixOf(name) + key)))
    return readAll(provider, known, isOurs, (word) => word === "CB")
  })

/**
 * Reads the environment as far as it is right.
 *
 * **Details**
 *
 * Never fails. `problems` has the lines of the error that `load` would fail
 * with; the variables that they are about are left out of `environment`. It
 * has the defaults if the variables cannot be read at all.
 *
 * **Example** (Showing what counts beside what is wrong)
 *
 * ```ts import.meta.vitest
 * import { ConfigProvider, Effect } from "effect"
 * import { Environment } from "effect-resilience"
 *
 * const provider = ConfigProvider.fromEnv({
 *   env: { CIRCUIT_BREAKER_FAILURE_THRESHOLD: "7", CIRCUIT_BREAKER_SUCCESS_THRESHOLD: "none" }
 * })
 *
 * const { environment, problems } = await Effect.runPromise(
 *   Environment.inspect().pipe(Effect.provideService(ConfigProvider.ConfigProvider, provider))
 * )
 *
 * problems // => ['CIRCUIT_BREAKER_SUCCESS_THRESHOLD="none" must be an integer from 1 to 10000']
 * environment.defaults.consecutiveFailures // => 7
 * environment.defaults.successThreshold // => 2
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const inspect = (options: Options = {}): Effect.Effect<Inspection> =>
  inspectFor(codeOf("Environment.inspect", options, true))

/**
 * `inspect` for circuits that live, while others may come.
 *
 * @internal
 */
export const inspectLiving = (options: Options): Effect.Effect<Inspection> =>
  inspectFor(codeOf("Environment.inspect", options, false))

const inspectFor = (code: Code): Effect.Effect<Inspection> =>
  Effect.match(read(code), {
    onFailure: (error): Inspection => ({
      environment: decode(new Map(), code).environment,
      problems: [error.message]
    }),
    onSuccess: (texts): Inspection => {
      const { environment, problems, wrong } = decode(texts, code)
      return { environment: wrong.size === 0 ? environment : decodeRight(texts, wrong, code), problems }
    }
  })

/** Without the variables that are wrong, and without those that only the others have hidden. */
const decodeRight = (texts: Texts, wrong: ReadonlySet<string>, code: Code): Environment => {
  const right = new Map(Array.from(texts).filter(([variable]) => !wrong.has(variable)))
  const decoded = decode(right, code)
  return decoded.wrong.size === 0 ? decoded.environment : decodeRight(right, decoded.wrong, code)
}

/**
 * Reads the policy of one circuit from the environment, over `policy` if there
 * is one.
 *
 * **Details**
 *
 * Fails as `load` does, whichever variables the problems are in.
 *
 * **Example** (Configuring one circuit)
 *
 * ```ts import.meta.vitest
 * import { ConfigProvider, Effect } from "effect"
 * import { CircuitBreaker, CircuitPolicy, Environment } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const policy = yield* Environment.circuitPolicy("email-service", CircuitPolicy.production)
 *   const breaker = yield* CircuitBreaker.make({ name: "email-service", policy })
 *   return (yield* breaker.policy).description
 * })
 *
 * const provider = ConfigProvider.fromEnv({ env: { CB_EMAIL_SERVICE_FAILURE_THRESHOLD: "3" } })
 *
 * await Effect.runPromise(
 *   Effect.provideService(program, ConfigProvider.ConfigProvider, provider)
 * ) // => "opens after 3 failures in a row, for 1m; up to 3 probes at once, 2 successes close it"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const circuitPolicy = (
  name: string,
  policy?: CircuitPolicy.CircuitPolicy | CircuitPolicy.Options | undefined
): Effect.Effect<CircuitPolicy.CircuitPolicy, Config.ConfigError> =>
  Effect.map(loadCircuit(name, policy), (environment) => environment.circuitPolicy(name))

const configError = (problems: ReadonlyArray<string>): Config.ConfigError => {
  const [first, ...others] = problems.map((message) => new SchemaIssue.InvalidValue({ message }))
  return new Config.ConfigError(
    new Schema.SchemaError(new SchemaIssue.Composite(Schema.Unknown.ast, [first!, ...others]))
  )
}

// -----------------------------------------------------------------------------
// decoding
// -----------------------------------------------------------------------------

/** Takes a problem and the variables that it is about. */
type Report = (problem: string, variables: ReadonlyArray<string>) => void

interface Decoded {
  readonly environment: Environment
  readonly problems: ReadonlyArray<string>
  /** The variables that the problems are about. */
  readonly wrong: ReadonlySet<string>
}

const decode = (all: Texts, code: Code): Decoded => {
  const problems = new Set<string>()
  const wrong = new Set<string>()
  const report: Report = (problem, variables) => {
    problems.add(problem)
    for (const variable of variables) wrong.add(variable)
  }

  const declared = declare(Array.from(code.circuits.keys()), code.isComplete)
  const misnamed = new Map(
    Array.from(all.keys()).flatMap((variable) => {
      const problem = problemOf(variable, declared)
      return problem === undefined ? [] : [[variable, problem] as const]
    })
  )
  const texts: Texts = new Map(Array.from(all).filter(([variable]) => !misnamed.has(variable)))

  const global = decodeCircuitLevel(texts, GLOBAL, report)
  const others = fitRetry(decide(otherFields, "", { global: decodeLevel(texts, otherFields, "", report) }), report)
  const ofAll = fit(
    decide(circuitFields, GLOBAL, { global, defaults: code.defaults }),
    code.defaults ?? builtIn,
    GLOBAL,
    report
  )

  // Circuits that the code names, and those that only the environment does.
  const circuits = new Map(code.circuits)
  for (const variable of texts.keys()) {
    const name = circuitOf(variable)
    if (name !== undefined && !declared.names.has(name)) circuits.set(name, undefined)
  }
  const levels = new Map<string, Level<CircuitFields>>()
  for (const name of new Set(Array.from(circuits.keys(), variableName))) {
    const level = name === "" ? {} : decodeCircuitLevel(texts, prefixOf(name), report)
    if (Object.keys(level).length > 0) levels.set(name, level)
  }
  const fitCircuit = (name: string, policy: CircuitPolicy.CircuitPolicy | undefined, report: Report): Fitted => {
    const prefix = prefixOf(name)
    return fit(
      decide(circuitFields, prefix, { circuit: levels.get(name), policy, global, defaults: code.defaults }),
      policy ?? code.defaults ?? builtIn,
      prefix,
      report
    )
  }

  // The name of a circuit may come with every call.
  const levelOf = (circuit: string | undefined): Level<CircuitFields> | undefined =>
    circuit === undefined || levels.size === 0 ? undefined : levels.get(variableName(circuit))

  const settings = [...listSettings(ofAll.settings, undefined), ...listSettings(others, undefined)]
  const policies = new Map<string, CircuitPolicy.CircuitPolicy>()
  for (const [circuit, policy] of circuits) {
    const name = variableName(circuit)
    const fitted = fitCircuit(name, policy, report)
    policies.set(circuit, policy === undefined && !levels.has(name) ? ofAll.policy : fitted.policy)
    settings.push(...listSettings(fitted.settings, circuit))
  }
  for (const [variable, problem] of misnamed) report(`${shorten(variable)} ${problem}`, [variable])

  const environment: Environment = {
    defaults: ofAll.policy,
    circuitPolicy: makeCircuitPolicy({ policies, levels, global, defaults: ofAll.policy, fitCircuit }),
    requestTimeout: (circuit) => {
      const timeout = givenOr(levelOf(circuit)?.REQUEST_TIMEOUT_SECONDS, ofAll.settings.REQUEST_TIMEOUT_SECONDS.value)
      return timeout === "off" ? Duration.infinity : timeout
    },
    enabled: (circuit) => givenOr(levelOf(circuit)?.ENABLED, ofAll.settings.ENABLED.value),
    retry: {
      maxAttempts: others.MAX_RETRY_ATTEMPTS.value,
      baseDelay: others.RETRY_BASE_DELAY.value,
      maxDelay: others.RETRY_MAX_DELAY.value,
      factor: others.RETRY_EXPONENTIAL_BASE.value,
      jitter: others.RETRY_JITTER_ENABLED.value ? "proportional" : "none"
    },
    healthCheckInterval: others.HEALTH_CHECK_INTERVAL.value,
    settings
  }
  return { environment, problems: Array.from(problems), wrong }
}

/** Finds the policy of a circuit that is named or that comes with a policy while the program runs. */
const makeCircuitPolicy = (known: {
  readonly policies: ReadonlyMap<string, CircuitPolicy.CircuitPolicy>
  readonly levels: ReadonlyMap<string, Level<CircuitFields>>
  readonly global: Level<CircuitFields>
  readonly defaults: CircuitPolicy.CircuitPolicy
  readonly fitCircuit: (name: string, policy: CircuitPolicy.CircuitPolicy | undefined, report: Report) => Fitted
}): Environment["circuitPolicy"] => {
  // Nobody is there to report to: what does not go together gives way.
  const change = (name: string, policy?: CircuitPolicy.CircuitPolicy) => known.fitCircuit(name, policy, () => {}).policy
  const makeCache = () => new WeakMap<CircuitPolicy.CircuitPolicy, CircuitPolicy.CircuitPolicy>()
  const plain = new Map<string, CircuitPolicy.CircuitPolicy>()
  const changed = new Map(Array.from(known.levels.keys(), (name) => [name, makeCache()]))
  // Circuits without variables of their own differ in nothing but their policy.
  const changedByGlobal = makeCache()
  const isSilent = known.levels.size === 0 && Object.keys(known.global).length === 0

  return (circuit, policy) => {
    if (policy === undefined) {
      const own = known.policies.get(circuit)
      if (own !== undefined) return own
    }
    // The name of a circuit may come with every call.
    if (isSilent) return policy ?? known.defaults
    const name = variableName(circuit)
    if (policy === undefined) {
      if (!known.levels.has(name)) return known.defaults
      const own = plain.get(name) ?? change(name)
      plain.set(name, own)
      return own
    }
    const changes = changed.get(name) ?? changedByGlobal
    const before = changes.get(policy)
    if (before !== undefined) return before
    const after = change(name, policy)
    changes.set(policy, after)
    return after
  }
}

const listSettings = (settings: Settings<Fields>, circuit: string | undefined): ReadonlyArray<Setting> =>
  Object.entries(settings).map(([key, { source, value, variable }]) => ({ key, circuit, value, source, variable }))

// -----------------------------------------------------------------------------
// decoding: values
// -----------------------------------------------------------------------------

interface Given<out A extends Value> {
  readonly value: A
  readonly variable: string
  readonly text: string
}

/** What the variables of one prefix say. `invalid` is a setting of which they say what is not accepted. */
type Level<F> = { readonly [K in keyof F]?: Given<ValueOf<F[K]>> | "invalid" }

const decodeLevel = <F extends Fields>(texts: Texts, fields: F, prefix: string, report: Report): Level<F> => {
  const level: Record<string, Given<Value> | "invalid"> = {}
  for (const [key, field] of Object.entries(fields)) {
    for (const spelling of spellings(key, field)) {
      const variable = prefix + spelling
      const text = texts.get(variable)
      if (text === undefined) continue
      const value = field.kind.decode(text.trim().toLowerCase())
      const other = level[key]
      if (value === undefined) {
        const problem = field.kind.explain?.(text) ?? `must be ${field.kind.accepts}`
        report(`${quote(variable, text)} ${problem}`, [variable])
        level[key] = "invalid"
      } else if (other === undefined) {
        level[key] = { value, variable, text }
      } else if (other !== "invalid" && !isSameValue(other.value, value)) {
        report(
          `${quote(other.variable, other.text)} and ${quote(variable, text)} are the same setting; set one of them`,
          [other.variable, variable]
        )
        level[key] = "invalid"
      }
    }
  }
  return level as Level<F>
}

/** A window is either a time or a number of calls, so that one of them turns off the other. */
const decodeCircuitLevel = (texts: Texts, prefix: string, report: Report): Level<CircuitFields> => {
  const level = decodeLevel(texts, circuitFields, prefix, report)
  const { FAILURE_WINDOW_SECONDS: time, WINDOW_SIZE: size } = level
  if (time === "invalid" || size === "invalid") {
    return { ...level, FAILURE_WINDOW_SECONDS: "invalid", WINDOW_SIZE: "invalid" }
  }
  if (time === undefined && isOn(size)) return { ...level, FAILURE_WINDOW_SECONDS: { ...size, value: "off" } }
  if (size === undefined && isOn(time)) return { ...level, WINDOW_SIZE: { ...time, value: "off" } }
  if (!isOn(time) || !isOn(size)) return level
  report(
    `${quote(time.variable, time.text)} and ${quote(size.variable, size.text)} exclude each other; set one of them`,
    [time.variable, size.variable]
  )
  return { ...level, FAILURE_WINDOW_SECONDS: "invalid", WINDOW_SIZE: "invalid" }
}

const isOn = <A extends Value>(given: Given<A> | undefined): given is Given<A> =>
  given !== undefined && given.value !== "off"

const quote = (variable: string, text: string): string => `${variable}=${JSON.stringify(shorten(text))}`

const shorten = (text: string): string => text.length > 80 ? `${text.slice(0, 80)}…` : text

// -----------------------------------------------------------------------------
// decoding: precedence
// -----------------------------------------------------------------------------

/** A setting, once it is decided who has the say. */
interface Decided<out A extends Value> {
  readonly value: A
  readonly source: Setting["source"]
  readonly variable: string
  /** What the variable says, if it is set. */
  readonly text: string
  /** A variable says what is not accepted, so nothing follows from this value. */
  readonly invalid: boolean
}

type Settings<F> = { readonly [K in keyof F]: Decided<ValueOf<F[K]>> }

/** Those who have a say, first one first. */
interface Says<F> {
  readonly circuit?: Level<F> | undefined
  readonly policy?: CircuitPolicy.CircuitPolicy | undefined
  readonly global: Level<F>
  readonly defaults?: CircuitPolicy.CircuitPolicy | undefined
}

const decide = <F extends Fields>(fields: F, prefix: string, says: Says<F>): Settings<F> => {
  const settings: Record<string, Decided<Value>> = {}
  for (const [key, field] of Object.entries(fields)) {
    settings[key] = decideOne(field, prefix + key, says.circuit?.[key], says.policy, says.global[key], says.defaults)
  }
  return settings as Settings<F>
}

const decideOne = (
  field: Field<Value>,
  variable: string,
  circuit: Given<Value> | "invalid" | undefined,
  policy: CircuitPolicy.CircuitPolicy | undefined,
  global: Given<Value> | "invalid" | undefined,
  defaults: CircuitPolicy.CircuitPolicy | undefined
): Decided<Value> => {
  const { read } = field
  const unset = { variable, text: "", invalid: circuit === "invalid" }
  if (isGiven(circuit)) return { ...circuit, source: "Variable", invalid: false }
  if (policy !== undefined && read !== undefined && claims(policy, field)) {
    return { ...unset, value: read(policy), source: "Policy" }
  }
  if (isGiven(global)) return { ...global, source: "Variable", invalid: unset.invalid }
  const invalid = unset.invalid || global === "invalid"
  if (policy !== undefined && read !== undefined) return { ...unset, value: read(policy), source: "Default", invalid }
  if (defaults !== undefined && read !== undefined) {
    return { ...unset, value: read(defaults), source: "Policy", invalid }
  }
  return { ...unset, value: field.default, source: "Default", invalid }
}

const claims = (policy: CircuitPolicy.CircuitPolicy, { claimedBy }: Field<Value>): boolean => {
  const named = namedFields(policy)
  return claimedBy.some((field) => named.has(field))
}

const isGiven = <A extends Value>(said: Given<A> | "invalid" | undefined): said is Given<A> =>
  said !== undefined && said !== "invalid"

const givenOr = <A extends Value>(said: Given<A> | "invalid" | undefined, otherwise: A): A =>
  isGiven(said) ? said.value : otherwise

const isSet = (setting: Decided<Value>): boolean => setting.source === "Variable"

const variablesOf = (settings: ReadonlyArray<Decided<Value>>): ReadonlyArray<string> =>
  settings.filter(isSet).map(({ variable }) => variable)

const show = ({ text, variable }: Decided<Value>): string => quote(variable, text)

// -----------------------------------------------------------------------------
// decoding: what goes together
// -----------------------------------------------------------------------------

interface Fitted {
  readonly policy: CircuitPolicy.CircuitPolicy
  readonly settings: Settings<CircuitFields>
}

type MutableSettings = { -readonly [K in keyof CircuitFields]: Decided<ValueOf<CircuitFields[K]>> }

/** Reports a problem between settings, unless one of them is a problem already. */
type Conflict = (concerned: ReadonlyArray<Decided<Value>>, problem: string) => void

/**
 * The policy that the settings make of `base`. Values that are set and
 * contradict each other are reported; values that are not set yield.
 */
const fit = (
  decided: Settings<CircuitFields>,
  base: CircuitPolicy.CircuitPolicy,
  prefix: string,
  report: Report
): Fitted => {
  const settings: MutableSettings = { ...decided }
  const { ENABLED: _enabled, REQUEST_TIMEOUT_SECONDS: _timeout, ...ofPolicy } = decided
  if (!Object.values(ofPolicy).some(isSet)) return { policy: base, settings }

  const conflict: Conflict = (concerned, problem) => {
    // What the variables of all circuits do wrong among themselves is not reported again for each circuit.
    const isNews = concerned.some((setting) => isSet(setting) && setting.variable.startsWith(prefix))
    if (isNews && !concerned.some((setting) => setting.invalid)) report(problem, variablesOf(concerned))
  }
  fitSlowCalls(settings, conflict)
  fitTrips(settings, conflict)
  fitWindow(settings, base, prefix, conflict)
  fitMinimumCalls(settings, conflict)
  const openDuration = fitOpenDuration(settings, base, conflict)

  const { FAILURE_WINDOW_SECONDS: time, WINDOW_SIZE: size } = settings
  const own = {
    consecutiveFailures: base.consecutiveFailures,
    failureRate: base.failureRate,
    slowCallDuration: base.slowCallDuration,
    slowCallRate: base.slowCallRate
  }
  const set = {
    consecutiveFailures: unlessOff(settings.FAILURE_THRESHOLD.value),
    failureRate: unlessOff(settings.FAILURE_RATE_THRESHOLD.value),
    slowCallDuration: unlessOff(settings.SLOW_CALL_THRESHOLD_MS.value),
    slowCallRate: unlessOff(settings.SLOW_CALL_RATE_THRESHOLD.value)
  }
  // For a policy that is not known when the variables are read, nobody hears that they leave it no rule.
  const trips = Object.values(set).every(Predicate.isUndefined) ? own : set
  // Settings are meant as they are, also those that say what the base has by default.
  const { [CircuitPolicy.TypeId]: __, ...fields } = base
  const policy = CircuitPolicy.make({
    ...fields,
    ...trips,
    minimumCalls: settings.MINIMUM_REQUEST_THRESHOLD.value,
    // Of time and size, one is off.
    window: size.value !== "off"
      ? { calls: size.value }
      : { duration: unlessOff(time.value)!, buckets: "buckets" in base.window ? base.window.buckets : undefined },
    openDuration,
    halfOpenMaxCalls: settings.HALF_OPEN_CALLS.value,
    halfOpenTimeout: unlessOff(settings.HALF_OPEN_TIMEOUT.value) ?? Duration.infinity,
    successThreshold: settings.SUCCESS_THRESHOLD.value,
    // Unless the code chose it, it follows from the other fields.
    measureDuration:
      base.measureDuration === CircuitPolicy.make({ ...base, measureDuration: undefined }).measureDuration
        ? undefined
        : base.measureDuration
  })
  ofCode.set(policy, base)
  return { policy, settings }
}

const unlessOff = <A>(value: A | "off"): A | undefined => value === "off" ? undefined : value

const fitSlowCalls = (settings: MutableSettings, conflict: Conflict): void => {
  const { SLOW_CALL_RATE_THRESHOLD: rate, SLOW_CALL_THRESHOLD_MS: time } = settings
  if ((rate.value === "off") === (time.value === "off")) return
  const [given, missing] = rate.value === "off" ? [time, rate] : [rate, time]
  // Whoever turns off either turns off the rule.
  const isConflict = !isSet(missing)
  if (isConflict) conflict([given, missing], `${show(given)} needs ${missing.variable} beside it`)
  settings.SLOW_CALL_RATE_THRESHOLD = { ...rate, value: "off", invalid: rate.invalid || isConflict }
  settings.SLOW_CALL_THRESHOLD_MS = { ...time, value: "off", invalid: time.invalid || isConflict }
}

const fitTrips = (settings: MutableSettings, conflict: Conflict): void => {
  const trips = [
    settings.FAILURE_THRESHOLD,
    settings.FAILURE_RATE_THRESHOLD,
    settings.SLOW_CALL_THRESHOLD_MS,
    settings.SLOW_CALL_RATE_THRESHOLD
  ]
  if (trips.some((trip) => trip.value !== "off")) return
  conflict(trips, `${trips.filter(isSet).map(show).join(" and ")} must leave a rule that opens the circuit`)
}

const fitWindow = (
  settings: MutableSettings,
  base: CircuitPolicy.CircuitPolicy,
  prefix: string,
  conflict: Conflict
): void => {
  const { FAILURE_WINDOW_SECONDS: time, WINDOW_SIZE: size } = settings
  if (time.value !== "off" || size.value !== "off") return
  // One is also off where the other is set.
  const given = [time, size].filter(({ text }) => text.trim().toLowerCase() === "off")
  conflict(
    given,
    given.length === 2
      ? `${show(time)} and ${show(size)} leave no window; set one of them`
      : `${given.map(show)[0]} needs ${prefix}${given[0] === size ? "FAILURE_WINDOW_SECONDS" : "WINDOW_SIZE"} beside it`
  )
  settings.FAILURE_WINDOW_SECONDS = { ...time, value: circuitFields.FAILURE_WINDOW_SECONDS.read!(base) }
  settings.WINDOW_SIZE = { ...size, value: circuitFields.WINDOW_SIZE.read!(base) }
}

const fitMinimumCalls = (settings: MutableSettings, conflict: Conflict): void => {
  const { MINIMUM_REQUEST_THRESHOLD: minimum, WINDOW_SIZE: size } = settings
  if (size.value === "off" || minimum.value <= size.value) return
  if (isSet(minimum)) {
    const window = isSet(size) ? show(size) : `the ${size.value} calls that the code has for the window`
    conflict([minimum, size], `${show(minimum)} must be at most ${window}`)
  }
  settings.MINIMUM_REQUEST_THRESHOLD = { ...minimum, value: size.value }
}

const fitOpenDuration = (
  settings: MutableSettings,
  base: CircuitPolicy.CircuitPolicy,
  conflict: Conflict
): CircuitPolicy.CircuitPolicy["openDuration"] => {
  const {
    BACKOFF_MULTIPLIER: multiplier,
    EXPONENTIAL_BACKOFF: grows,
    MAX_BACKOFF_SECONDS: maximum,
    RECOVERY_TIMEOUT: initial
  } = settings
  if (![multiplier, grows, maximum, initial].some(isSet)) return base.openDuration

  // Variables do not change a schedule, they replace it.
  const time = {
    initial: unlessScheduled(initial.value, DEFAULT_OPEN_TIME.initial),
    grows: unlessScheduled(grows.value, DEFAULT_OPEN_TIME.grows),
    multiplier: unlessScheduled(multiplier.value, DEFAULT_OPEN_TIME.multiplier),
    maximum: unlessScheduled(maximum.value, DEFAULT_OPEN_TIME.maximum)
  }
  if (time.grows && (Duration.isZero(time.initial) || !Duration.isFinite(time.initial))) {
    conflict(
      [grows],
      `${show(grows)} needs ${initial.variable} beside it: the code opens for ${Duration.format(time.initial)}`
    )
    time.grows = false
  }
  if (time.grows && Duration.isLessThan(time.maximum, time.initial)) {
    if (isSet(maximum) && isSet(initial)) {
      conflict([maximum, initial], `${show(maximum)} must be at least ${show(initial)}`)
    }
    if (isSet(maximum)) time.initial = time.maximum
    else time.maximum = time.initial
  }
  settings.RECOVERY_TIMEOUT = { ...initial, value: time.initial }
  settings.EXPONENTIAL_BACKOFF = { ...grows, value: time.grows }
  settings.BACKOFF_MULTIPLIER = { ...multiplier, value: time.multiplier }
  settings.MAX_BACKOFF_SECONDS = { ...maximum, value: time.maximum }
  if (!time.grows) return time.initial
  const jitter = "_tag" in base.openDuration && base.openDuration._tag === "Exponential" ? base.openDuration.jitter : 0
  return CircuitPolicy.exponential({
    initial: time.initial,
    multiplier: time.multiplier,
    maximum: time.maximum,
    jitter
  })
}

const unlessScheduled = <A>(value: A | "schedule", otherwise: A): A => value === "schedule" ? otherwise : value

const fitRetry = (settings: Settings<typeof otherFields>, report: Report): Settings<typeof otherFields> => {
  const { RETRY_BASE_DELAY: base, RETRY_MAX_DELAY: maximum } = settings
  if (!Duration.isLessThan(maximum.value, base.value)) return settings
  if (isSet(base) && isSet(maximum)) {
    report(`${show(maximum)} must be at least ${show(base)}`, variablesOf([maximum, base]))
  }
  return isSet(maximum)
    ? { ...settings, RETRY_BASE_DELAY: { ...base, value: maximum.value } }
    : { ...settings, RETRY_MAX_DELAY: { ...maximum, value: base.value } }
}

// -----------------------------------------------------------------------------
// names
// -----------------------------------------------------------------------------

/** Whether the name of a variable of ours, right or misspelt, may start with a word. */
const isOurs = (word: string): boolean =>
  word === "CB" || word === "MAX" || word === "RETRY" || word === "HEALTH" ||
  distance(word, "CIRCUIT") <= TYPO || distance(word, "CIRCUITBREAKER") <= TYPO

/** The circuit that a variable is for. */
const circuitOf = (variable: string): string | undefined => {
  const key = variable.startsWith(CIRCUIT) ? circuitKeys.find((key) => variable.endsWith(`_${key}`)) : undefined
  const name = key === undefined ? "" : variable.slice(CIRCUIT.length, -key.length - 1)
  return name === "" ? undefined : name
}

/** What is wrong with the name of a variable. */
const problemOf = (variable: string, declared: Declared): string | undefined =>
  variable.startsWith(CIRCUIT) ? problemOfCircuit(variable, declared) : problemOfName(variable)

// Others have variables with such names as well, so that a name is only wrong if it is nearly one of ours or starts so.

const problemOfName = (variable: string): string | undefined => {
  if (globalNames.includes(variable)) return undefined
  const prefix = variable.startsWith(GLOBAL) ? GLOBAL : ""
  const synonym = synonymOf(variable.slice(prefix.length), prefix === "" ? ofCalls : ofCircuits)
  if (synonym !== undefined) return isUnknown(prefix, synonym)
  const meant = closest(variable, globalNames, TYPO)
  if (meant !== undefined) return isUnknown("", { means: [meant], note: undefined })
  return prefix === "" ? undefined : isNoneOf(prefix)
}

const problemOfCircuit = (variable: string, declared: Declared): string | undefined => {
  const circuit = circuitOf(variable)
  if (circuit !== undefined && declared.names.has(circuit)) return undefined
  const prefix = declaredPrefix(variable, declared)
  const ofDeclared = prefix === undefined ? undefined : synonymOf(variable.slice(prefix.length), ofCircuits)
  if (ofDeclared !== undefined) return isUnknown(prefix!, ofDeclared)
  const near = declared.isComplete ? (name: string) => nearestCircuit(name, declared) : () => undefined
  const words = variable.slice(CIRCUIT.length).split("_")
  for (let i = Math.max(0, words.length - MAX_KEY_WORDS); i < words.length; i++) {
    const name = words.slice(0, i).join("_")
    const key = words.slice(i).join("_")
    // Of what is the variable of a circuit already, only more can be a synonym, and `CB_SLIDING_WINDOW_SIZE` is one.
    const isTaken = circuit !== undefined && (i === 0 || key.length <= variable.length - prefixOf(circuit).length)
    const synonym = isTaken || !isTelling(key) ? undefined : synonymOf(key, ofCircuits)
    const meant = circuit === undefined ? closest(key, circuitKeys, TYPO) : undefined
    if (synonym === undefined && meant === undefined) continue
    return isUnknown(
      i === 0 ? GLOBAL : prefixOf(near(name) ?? name),
      synonym ?? { means: [meant!], note: undefined }
    )
  }
  if (circuit === undefined) return prefix === undefined ? undefined : isNoneOf(prefix)
  const known = near(circuit)
  return known === undefined
    ? undefined
    : `is of no circuit that the code names; did you mean ${prefixOf(known)}${
      variable.slice(prefixOf(circuit).length)
    }?`
}

const isUnknown = (prefix: string, { means, note }: Synonym): string =>
  `is unknown; did you mean ${means.map((key) => prefix + key).join(" or ")}?${note === undefined ? "" : ` ${note}`}`

const isNoneOf = (prefix: string): string =>
  `is unknown; after ${prefix} goes one of ${Object.keys(circuitFields).join(", ")}`

/** No circuit has more words in its name. */
const MAX_NAME_WORDS = 64

/** The longest prefix of a circuit in code that a variable starts with. */
const declaredPrefix = (variable: string, { names }: Declared): string | undefined => {
  const words = variable.slice(CIRCUIT.length).split("_", MAX_NAME_WORDS)
  for (let i = words.length; i > 0; i--) {
    const name = words.slice(0, i).join("_")
    if (names.has(name)) return prefixOf(name)
  }
  return undefined
}

/** `CB_…_TIMEOUT` may be anything of others, `CB_…_RESET_TIMEOUT` hardly. */
const isTelling = (key: string): boolean => key.replace(/_(?:MS|MILLIS|MILLISECONDS|SECONDS)$/, "").includes("_")

/** No key and no synonym has more words, with one more for a slip. */
const MAX_KEY_WORDS = 10

/** The circuit that is meant by a name that is not quite its own. Names that differ in a number are several circuits. */
const nearestCircuit = (name: string, declared: Declared): string | undefined =>
  closest(name, declared.byDigits.get(digitsOf(name)) ?? [], name.length >= 8 ? TYPO : name.length >= 5 ? 1 : 0)

const digitsOf = (name: string): string => name.replace(/\D/g, "")

/** The circuits that the code names. */
interface Declared {
  readonly names: ReadonlySet<string>
  readonly byDigits: ReadonlyMap<string, ReadonlyArray<string>>
  /** Whether these are all that the code names. */
  readonly isComplete: boolean
}

const declare = (circuits: ReadonlyArray<string>, isComplete: boolean): Declared => {
  const names = new Set(circuits.map(variableName).filter((name) => name !== ""))
  const byDigits = new Map<string, Array<string>>()
  for (const name of names) {
    const digits = digitsOf(name)
    const others = byDigits.get(digits)
    if (others === undefined) byDigits.set(digits, [name])
    else others.push(name)
  }
  return { names, byDigits, isComplete }
}
