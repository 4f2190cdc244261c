/**
 * Configuration from environment variables.
 *
 * `load` reads every variable of the library through Effect's `ConfigProvider`
 * and returns ready policies. `CircuitBreakerRegistry` and the classes of
 * `CircuitBreaker.Service` have a `layerConfig` that calls it.
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
 * A policy names the options given to `CircuitPolicy.make`: the rules that open
 * the circuit as a group, every other option by itself. A policy made with
 * `classify` alone names nothing that a variable sets. A policy made by spreading
 * another names what either names.
 *
 * All problems are one `ConfigError`, with a line for each. Misspelt names are
 * problems too.
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
 * @stability unstable
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as CircuitPolicy from "./CircuitPolicy.ts"
import * as internal from "./internal/environment/inspect.ts"
import { load as internalLoad, loadCircuit } from "./internal/environment/load.ts"
import * as Names from "./internal/environment/names.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * The decoded environment.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Environment {
  /** The policy of circuits without settings of their own. */
  readonly defaults: CircuitPolicy.CircuitPolicy

  /**
   * The policy of one circuit; with a policy, that policy as the variables
   * change it.
   */
  readonly circuitPolicy: (
    name: string,
    policy?: CircuitPolicy.CircuitPolicy | undefined
  ) => CircuitPolicy.CircuitPolicy

  /** The time limit of an attempt, for one circuit or in general. Infinite if it is off. */
  readonly requestTimeout: (circuit?: string | undefined) => Duration.Duration

  /**
   * Whether a circuit is on, or circuits in general. A circuit that is off
   * starts as `Disabled`.
   */
  readonly enabled: (circuit?: string | undefined) => boolean

  /** Options of `Retry.make`. */
  readonly retry: RetryOptions

  readonly healthCheckInterval: Duration.Duration

  /** Every setting with its value and source: first those of all circuits, then those of each. */
  readonly settings: ReadonlyArray<Setting>
}

/**
 * Options of `Retry.make`, decoded.
 *
 * @stability unstable
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
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Value = number | boolean | Duration.Duration | "off" | "schedule"

/**
 * A setting with its value and source.
 *
 * **Details**
 *
 * - `key`: the name without its prefix, as `FAILURE_THRESHOLD`.
 * - `circuit`: its circuit, or `undefined` for all. A circuit that only the
 *   environment names is spelled as there, as `PAYMENT_API`.
 * - `source`: a `Variable`, a `Policy` in code that names it, or a `Default`.
 * - `variable`: the variable it was read from, or the one that sets it.
 *
 * @stability unstable
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
 * The environment as far as it is right, and its problems.
 *
 * @see {@link inspect}
 *
 * @stability unstable
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
 * - `default`: the value without it, as it is written, or `off`.
 * - `accepts`: the accepted values, in words.
 * - `unit`: the unit of plain numbers.
 *
 * @see {@link variables} for all of them
 *
 * @stability unstable
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
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Unit = "seconds" | "milliseconds"

/**
 * The policies in code.
 *
 * **Details**
 *
 * - `defaults`: the policy, or its options, of circuits without one of their
 *   own. `CircuitPolicy.make()` by default.
 * - `circuits`: policies, or their options, by name. Name a circuit without a
 *   policy as `undefined`, so that its misspelt variables are found.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly defaults?: CircuitPolicy.CircuitPolicy | CircuitPolicy.Options | undefined
  readonly circuits?:
    | Readonly<Record<string, CircuitPolicy.CircuitPolicy | CircuitPolicy.Options | undefined>>
    | undefined
}

// -----------------------------------------------------------------------------
// names
// -----------------------------------------------------------------------------

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
 * @stability unstable
 * @category getters
 * @since 0.1.0
 */
export const variables: ReadonlyArray<Variable> = Names.variables

/**
 * The part of a variable's name that stands for a circuit.
 *
 * **Details**
 *
 * Words are in capitals, joined by `_`. Every character other than a letter from
 * A to Z or a digit separates words, and so does a capital after a small letter.
 * Circuits whose names differ in nothing else share their variables. A name
 * without such letters has no variables of its own.
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
 * @stability unstable
 * @category getters
 * @since 0.1.0
 */
export const variableName: (circuit: string) => string = Names.variableName

// -----------------------------------------------------------------------------
// loading
// -----------------------------------------------------------------------------

/**
 * Reads the environment.
 *
 * **Details**
 *
 * Reads the `ConfigProvider` of the fiber: the process environment unless
 * another is provided. Empty values count as absent.
 *
 * Fails with a `ConfigError` that lists all problems, one a line: values that are
 * not accepted, settings that contradict each other, and misspelt names. Names
 * that start with `CIRCUIT_BREAKER_`, or with the prefix of a circuit in
 * `circuits`, must be known. Other names are refused only if they are nearly
 * known, or belong to other libraries, such as `MAX_RETRIES`: other software has
 * variables with `CB_` and `RETRY_` as well. A circuit name is refused if it is
 * nearly one of `circuits`. Values of unknown names are never shown.
 *
 * Values that are set must agree. A value that is not set yields to one that is:
 * `CIRCUIT_BREAKER_RECOVERY_TIMEOUT=600` alone raises the maximum of the backoff
 * from 300 to 600 seconds.
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
 * @stability unstable
 * @category constructors
 * @since 0.1.0
 */
export const load = (options: Options = {}): Effect.Effect<Environment, Config.ConfigError> =>
  internalLoad(internal.codeOf("Environment.load", options, true))

/**
 * Reads the environment as far as it is right.
 *
 * **Details**
 *
 * Never fails. `problems` has the lines of the error that `load` fails with, and
 * `environment` leaves out the variables they concern. If no variable can be
 * read, `environment` has the defaults.
 *
 * **Example** (Showing valid settings beside problems)
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
 * @stability unstable
 * @category constructors
 * @since 0.1.0
 */
export const inspect = (options: Options = {}): Effect.Effect<Inspection> =>
  Effect.map(internal.inspect(internal.codeOf("Environment.inspect", options, true)), internal.toInspection)

/**
 * Reads the policy of one circuit: `policy`, or the default, as the variables
 * change it.
 *
 * **Details**
 *
 * Fails as `load` does, also for problems of other variables.
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
 * @stability unstable
 * @category constructors
 * @since 0.1.0
 */
export const circuitPolicy = (
  name: string,
  policy?: CircuitPolicy.CircuitPolicy | CircuitPolicy.Options | undefined
): Effect.Effect<CircuitPolicy.CircuitPolicy, Config.ConfigError> =>
  Effect.map(loadCircuit(name, policy), (environment) => environment.circuitPolicy(name))
