/**
 * Watches how a program's dependencies are: runs checks by name in the
 * background, reads the circuits of the registry, and tells as a whole whether
 * the program is `healthy`, `degraded` or `unhealthy`, and why.
 *
 * A monitor starts with its scope and stops with it. It keeps the last result
 * of every check, so that a health endpoint answers at once and a thousand
 * requests for it cost a dependency nothing.
 *
 * **Details**
 *
 * - Each check has a fiber, an interval and a time limit of its own, so a slow
 *   or dying check never delays the others.
 * - Of one check, one run at most goes on: whoever asks meanwhile gets the
 *   result of that run.
 * - Circuits are read, never called. A `probe` is called through its circuit
 *   once the open time has ended, so that no user's call is spent on finding
 *   out whether the dependency is back.
 *
 * **Gotchas**
 *
 * - The whole is `unhealthy` while a circuit is open. Whoever restarts a
 *   program for that, as a liveness probe does, makes an outage of a dependency
 *   worse.
 * - Reasons have the messages of errors. Show them to operators, not to the
 *   public.
 *
 * **Example** (Asking how everything is)
 *
 * ```ts import.meta.vitest
 * import { Effect, Layer } from "effect"
 * import { CircuitBreakerRegistry, HealthMonitor } from "effect-resilience"
 *
 * const pingDatabase = Effect.void
 * const replicaLag = Effect.succeed(45)
 *
 * const Health = HealthMonitor.layer({
 *   checks: {
 *     database: pingDatabase,
 *     replica: Effect.map(replicaLag, (seconds) =>
 *       seconds > 30 ? HealthMonitor.degraded(`${seconds} s behind`) : HealthMonitor.healthy)
 *   }
 * }).pipe(Layer.provide(CircuitBreakerRegistry.layer()))
 *
 * const program = Effect.gen(function*() {
 *   const monitor = yield* HealthMonitor.HealthMonitor
 *   const report = yield* monitor.checkAll
 *   return [report.status, ...HealthMonitor.reasons(report)]
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(Health))) // => ["degraded", "replica: 45 s behind"]
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type * as Stream from "effect/Stream"
import { type CircuitBreaker, isCircuitBreaker } from "./CircuitBreaker.ts"
import { CircuitBreakerRegistry } from "./CircuitBreakerRegistry.ts"
import * as CircuitMetrics from "./CircuitMetrics.ts"
import * as Environment from "./Environment.ts"
import type { Breaker } from "./internal/circuit/breaker.ts"
import { isKnown } from "./internal/circuit/handle.ts"
import { findCircuit, warnIfUnseen, watchCircuits } from "./internal/registry/inside.ts"
import { monotonicMillis } from "./internal/time/monotonic.ts"
import {
  checkCount,
  checkDuration,
  checkKnown,
  checkOptions,
  checkRate,
  checkString,
  isObject,
  refuse
} from "./internal/check.ts"
import { EventHub } from "./internal/eventHub.ts"
import * as Reasons from "./internal/health/reasons.ts"
import { Fibers, Run } from "./internal/health/run.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * How something is.
 *
 * @category models
 * @since 0.1.0
 */
export const Status = Schema.Literals(["healthy", "degraded", "unhealthy"])

/**
 * @category models
 * @since 0.1.0
 */
export type Status = typeof Status.Type

/**
 * Why something is not healthy.
 *
 * **Details**
 *
 * - `code`: what kind of reason it is, for programs.
 * - `status`: how bad it is; the status of a check is that of its worst reason.
 * - `message`: for people.
 *
 * | `code` | `status` | when |
 * |---|---|---|
 * | `CheckFailed` | `unhealthy` | the check failed, died, was interrupted or answered `false` |
 * | `CheckTimedOut` | `unhealthy` | the check did not end in time |
 * | `CheckHanging` | `unhealthy` | a run that timed out goes on, so no other is started |
 * | `Reported` | as reported | the check answered `degraded` or `unhealthy` |
 * | `NotChecked` | `degraded` | the check has not ended for the first time |
 * | `CircuitOpen` | `unhealthy` | the circuit rejects calls |
 * | `CircuitForcedOpen` | `unhealthy` | an operator keeps the circuit from letting calls through |
 * | `CircuitHalfOpen` | `degraded` | the circuit lets a few calls through to find out |
 * | `FailureRate` | `degraded` | more than 10 % of the calls in the window of a `Closed` or `MetricsOnly` circuit failed |
 *
 * @category models
 * @since 0.1.0
 */
export const Reason = Schema.Struct({
  code: Schema.Literals([
    "CheckFailed",
    "CheckTimedOut",
    "CheckHanging",
    "Reported",
    "NotChecked",
    "CircuitOpen",
    "CircuitForcedOpen",
    "CircuitHalfOpen",
    "FailureRate"
  ]),
  status: Schema.Literals(["degraded", "unhealthy"]),
  message: Schema.String
})

/**
 * @category models
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * How one dependency is: its check, its circuit, or both.
 *
 * **Details**
 *
 * - `status`: of the worst reason, `healthy` if there is none.
 * - `critical`: whether the whole is `unhealthy` if this is.
 * - `checkedAt`, `duration`: when its check last ended, and how long that run
 *   took. Absent if it has no check, or none that ended yet.
 * - `circuit`: what its circuit has counted. Absent if it has none.
 * - `lastProbe`: the last probe that the monitor sent through the circuit: when
 *   it ended, how long it took, and why it failed if it did.
 *
 * @category models
 * @since 0.1.0
 */
export const CheckHealth = Schema.Struct({
  name: Schema.String,
  status: Status,
  reasons: Schema.Array(Reason),
  critical: Schema.Boolean,
  checkedAt: Schema.optional(Schema.DateTimeUtcFromString),
  duration: Schema.optional(Schema.DurationFromMillis),
  circuit: Schema.optional(CircuitMetrics.CircuitMetrics),
  lastProbe: Schema.optional(Schema.Struct({
    endedAt: Schema.DateTimeUtcFromString,
    duration: Schema.DurationFromMillis,
    error: Schema.optional(Schema.String)
  }))
})

/**
 * @category models
 * @since 0.1.0
 */
export type CheckHealth = typeof CheckHealth.Type

/**
 * How everything is, at one moment.
 *
 * **Details**
 *
 * - `status`: the worst of all checks. One that is not critical makes the whole
 *   `degraded` at most.
 * - `allHealthy`: whether there is no reason at all.
 * - `timestamp`: when the circuits were read. How old the result of a check is,
 *   its own `checkedAt` tells.
 * - `checks`: one per name, checks in the order of their registration, then
 *   circuits from the oldest.
 *
 * Without checks, and with all circuits, `status` is that of the registry's
 * `systemStatus`.
 *
 * @see {@link toJson} for the form people and tools read
 *
 * @category models
 * @since 0.1.0
 */
export const Report = Schema.Struct({
  status: Status,
  allHealthy: Schema.Boolean,
  timestamp: Schema.DateTimeUtcFromString,
  checks: Schema.Array(CheckHealth)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Report = typeof Report.Type

/**
 * A check, or the system as a whole, has another status than before.
 *
 * **Details**
 *
 * - `subject`: `check` or `system`.
 * - `name`: of the check; `system` for the whole.
 * - `reasons`: why it is as it is now; for the system, those of all checks,
 *   each behind the name of its check.
 * - `timestamp`: wall-clock time, in milliseconds since 1970.
 *
 * @category models
 * @since 0.1.0
 */
export const StatusChanged = Schema.Struct({
  subject: Schema.Literals(["check", "system"]),
  name: Schema.String,
  from: Status,
  to: Status,
  reasons: Schema.Array(Schema.String),
  timestamp: Schema.Number
})

/**
 * @category models
 * @since 0.1.0
 */
export type StatusChanged = typeof StatusChanged.Type

/**
 * What a check may answer: `true` and nothing stand for `healthy`, `false` for
 * `unhealthy`.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer =
  | boolean
  | void
  | { readonly status: "healthy" }
  | { readonly status: "degraded" | "unhealthy"; readonly reason: string }

/**
 * The answer of a check that found nothing wrong.
 *
 * @category answers
 * @since 0.1.0
 */
export const healthy: Answer = { status: "healthy" }

/**
 * The answer of a check that found something that works, though not as it
 * should.
 *
 * @category answers
 * @since 0.1.0
 */
export const degraded = (reason: string): Answer => ({ status: "degraded", reason })

/**
 * The answer of a check that found something that does not work. Failing does
 * the same.
 *
 * @category answers
 * @since 0.1.0
 */
export const unhealthy = (reason: string): Answer => ({ status: "unhealthy", reason })

/**
 * What is known of one dependency, or how to find out.
 *
 * **Details**
 *
 * At least one of the first three is needed:
 *
 * - `check`: tells how the dependency is. Whatever it fails or dies with is a
 *   reason. It may be scoped: its scope closes with each run.
 * - `probe`: runs through the circuit once its open time has ended, until the
 *   circuit closes or opens again. It may go through that circuit itself, as
 *   the program's own calls do: it counts once.
 * - `circuit`: the circuit to read and to probe, by its name in the registry or
 *   as it is; by default the one with the name of the check, if there is one.
 * - `interval`: time from one run of `check` to the next; by default that of
 *   the monitor.
 * - `timeout`: how long `check` or `probe` may take, 5 seconds, or the interval
 *   if that is shorter.
 * - `critical`: whether the whole is `unhealthy` if this is, `true`. If not, it
 *   is `degraded`.
 *
 * @category models
 * @since 0.1.0
 */
export interface CheckOptions<out R = never> {
  readonly check?: Effect.Effect<Answer, unknown, R> | undefined
  readonly probe?: Effect.Effect<unknown, unknown, R> | undefined
  readonly circuit?: string | CircuitBreaker | undefined
  readonly interval?: Duration.Input | undefined
  readonly timeout?: Duration.Input | undefined
  readonly critical?: boolean | undefined
}

/**
 * A check: an effect, or an effect with options.
 *
 * @category models
 * @since 0.1.0
 */
export type Check<R = never> = Effect.Effect<Answer, unknown, R> | CheckOptions<R>

/**
 * What a check needs.
 *
 * @category utility types
 * @since 0.1.0
 */
export type CheckServices<T> = Exclude<
  T extends Effect.Effect<infer _A, infer _E, infer R> ? R
    // Without an effect there is nothing to infer from.
    : T extends CheckOptions<infer R> ? unknown extends R ? never : R
    : never,
  Scope.Scope
>

/**
 * Options of `layer`.
 *
 * **Details**
 *
 * - `checks`: by name. More can be registered while the monitor runs.
 * - `circuits`: which circuits of the registry are in the report by themselves:
 *   all (`true`, the default), none (`false`), or those for which it returns
 *   `true`; if it throws, the circuit is in. A check that names its circuit
 *   shows it in any case.
 * - `interval`: time from one run of a check to the next, 30 seconds. With an
 *   infinite one checks run when somebody asks.
 * - `jitter`: 0 to 1, spreads the checks of many processes so that they do not
 *   meet: with 0.1, the default, each wait is 0.9 to 1.1 times the interval.
 * - `concurrency`: how many checks run at once, 10; the others wait. A check
 *   that has timed out no longer counts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<C extends Readonly<Record<string, Check<unknown>>> = {}> {
  readonly checks?: C | undefined
  readonly circuits?: boolean | ((circuit: string) => boolean) | undefined
  readonly interval?: Duration.Input | undefined
  readonly jitter?: number | undefined
  readonly concurrency?: number | undefined
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * A check of that name is registered already.
 *
 * @category errors
 * @since 0.1.0
 */
export class DuplicateCheckError extends Schema.TaggedError<DuplicateCheckError>()("DuplicateCheckError", {
  check: Schema.String
}) {
  override get message(): string {
    return `Check "${this.check}" is registered already; ` +
      `close the scope it was registered in first, or use another name`
  }
}

/**
 * There is neither a check nor a circuit of that name.
 *
 * **Details**
 *
 * - `known`: the names there are.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownCheckError extends Schema.TaggedError<UnknownCheckError>()("UnknownCheckError", {
  check: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const known = this.known.slice(0, 20).map((name) => `"${name}"`).join(", ")
    const others = this.known.length > 20 ? ` and ${this.known.length - 20} others` : ""
    return `There is no check "${this.check}"; ${known === "" ? "there is none at all" : `there are ${known}${others}`}`
  }
}

// -----------------------------------------------------------------------------
// the service
// -----------------------------------------------------------------------------

/**
 * Watches how a program's dependencies are.
 *
 * **Details**
 *
 * Once its scope has closed, whoever asks it to run something is interrupted.
 *
 * @category services
 * @since 0.1.0
 */
export interface HealthMonitor {
  /** How everything is, by the last result of each check and by the circuits as they are now. Runs nothing. */
  readonly latest: Effect.Effect<Report>

  /** The status of `latest`. */
  readonly status: Effect.Effect<Status>

  /** Runs all checks now, and tells how everything is. */
  readonly checkAll: Effect.Effect<Report>

  /** Runs one check now, or reads the circuit of that name. */
  readonly check: (name: string) => Effect.Effect<CheckHealth, UnknownCheckError>

  /**
   * Adds a check until the scope closes, and starts it. Throws a `RangeError`
   * if an option is out of its range.
   */
  readonly register: <const C extends Check<unknown>>(
    name: string,
    check: C
  ) => Effect.Effect<void, DuplicateCheckError, CheckServices<C> | Scope.Scope>

  /**
   * What gets better or worse, from now on. Ends with the monitor.
   *
   * It tells of a check when it has run, and of a circuit when it changes its
   * state or within an interval. What has not been checked yet is no news, nor
   * is a check that goes away. A subscriber that falls 1,024 changes behind
   * loses the oldest.
   */
  readonly changes: Stream.Stream<StatusChanged>
}

/**
 * Watches how a program's dependencies are.
 *
 * @category services
 * @since 0.1.0
 */
export const HealthMonitor: Context.Service<HealthMonitor, HealthMonitor> = Context.Service<HealthMonitor>(
  "effect-resilience/HealthMonitor"
)

/**
 * Provides a monitor, which runs as long as the Layer lives.
 *
 * **Details**
 *
 * Throws a `RangeError` if an option is out of its range. The first run of
 * every check starts at once; the Layer does not wait for it. Run `checkAll` to
 * do so.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <const C extends Readonly<Record<string, Check<unknown>>> = {}>(
  options: Options<C> = {}
): Layer.Layer<HealthMonitor, never, CircuitBreakerRegistry | CheckServices<C[keyof C]>> => {
  const settings = parse("HealthMonitor.layer", options)
  return Layer.effect(HealthMonitor, start<CheckServices<C[keyof C]>>(settings))
}

/**
 * Provides a monitor whose interval is `HEALTH_CHECK_INTERVAL` of the
 * environment if that is set, through the `ConfigProvider`.
 *
 * **Details**
 *
 * If anything is wrong with the variables of this package, the Layer fails with
 * one `ConfigError` that has all problems.
 *
 * **Example** (Setting the interval by environment)
 *
 * ```ts import.meta.vitest
 * import { ConfigProvider, Effect, Layer } from "effect"
 * import { CircuitBreakerRegistry, HealthMonitor } from "effect-resilience"
 *
 * const env = { HEALTH_CHECK_INTERVAL: "soon" }
 *
 * const Health = HealthMonitor.layerConfig().pipe(
 *   Layer.provide([CircuitBreakerRegistry.layer(), ConfigProvider.layer(ConfigProvider.fromEnv({ env }))])
 * )
 *
 * const error = await Effect.runPromise(Effect.void.pipe(Effect.provide(Health), Effect.flip))
 * error.cause.message.startsWith('HEALTH_CHECK_INTERVAL="soon" must be') // => true
 * ```
 *
 * @see {@link Environment.load} for the variables and how they are checked
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = <const C extends Readonly<Record<string, Check<unknown>>> = {}>(
  options: Options<C> = {}
): Layer.Layer<HealthMonitor, Config.ConfigError, CircuitBreakerRegistry | CheckServices<C[keyof C]>> => {
  // Options are checked where they are written, not where the Layer is built.
  parse("HealthMonitor.layerConfig", options)
  return Layer.effect(
    HealthMonitor,
    Effect.flatMap(Environment.load(), (environment) => {
      const isSet = environment.settings.some(({ key, source }) =>
        key === "HEALTH_CHECK_INTERVAL" && source === "Variable"
      )
      const interval = isSet ? environment.healthCheckInterval : options.interval
      return start<CheckServices<C[keyof C]>>(parse("HealthMonitor.layerConfig", { ...options, interval }))
    })
  )
}

/**
 * Makes a monitor that runs as long as the scope.
 *
 * **Details**
 *
 * Throws a `RangeError` if an option is out of its range.
 *
 * **Example** (Watching one circuit that is in no registry)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker, CircuitBreakerRegistry, HealthMonitor } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({ name: "payment-api" })
 *   const monitor = yield* HealthMonitor.make({ checks: { payments: { circuit: breaker } } })
 *   yield* breaker.forceOpen()
 *   return HealthMonitor.reasons(yield* monitor.latest)
 * })
 *
 * const reasons = await Effect.runPromise(program.pipe(
 *   Effect.scoped,
 *   Effect.provide(CircuitBreakerRegistry.layer())
 * ))
 * reasons // => ['payments: circuit "payment-api" was forced open and stays so until it is released']
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const C extends Readonly<Record<string, Check<unknown>>> = {}>(
  options: Options<C> = {}
): Effect.Effect<HealthMonitor, never, CircuitBreakerRegistry | CheckServices<C[keyof C]> | Scope.Scope> =>
  start<CheckServices<C[keyof C]>>(parse("HealthMonitor.make", options))

// -----------------------------------------------------------------------------
// forms
// -----------------------------------------------------------------------------

/**
 * How a circuit is, by the rules of a monitor.
 *
 * **Example** (Validating a circuit)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker, HealthMonitor } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({ name: "payment-api" })
 *   yield* breaker.forceOpen({ duration: "30 seconds" })
 *   return HealthMonitor.toValidationResult(HealthMonitor.ofCircuit(yield* breaker.metrics))
 * })
 *
 * const validation = await Effect.runPromise(program)
 * validation.valid // => false
 * validation.errors // => ["circuit was forced open, retry after 30s"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const ofCircuit = (circuit: CircuitMetrics.CircuitMetrics): CheckHealth =>
  healthOf({ name: circuit.name, critical: true, reasons: Reasons.ofCircuit(circuit), circuit })

/**
 * The reasons of a report, worst first, each behind the name of its check.
 *
 * @category getters
 * @since 0.1.0
 */
export const reasons = (self: Report): ReadonlyArray<string> => {
  const { errors, warnings } = toValidationResult(self)
  return [...errors, ...warnings]
}

/**
 * Whether something is fit for use, and what is wrong with it.
 *
 * **Details**
 *
 * - `valid`: whether there are no `errors`.
 * - `errors`: messages of reasons that are `unhealthy`.
 * - `warnings`: messages of reasons that are `degraded`. In a report, those of
 *   checks that are not critical, too.
 *
 * @category models
 * @since 0.1.0
 */
export interface ValidationResult {
  readonly valid: boolean
  readonly errors: ReadonlyArray<string>
  readonly warnings: ReadonlyArray<string>
}

/**
 * A report, or how one dependency is, as a validation result.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toValidationResult = (self: Report | CheckHealth): ValidationResult => {
  const errors: Array<string> = []
  const warnings: Array<string> = []
  const add = (check: CheckHealth, prefix: string, critical: boolean) => {
    for (const { message, status } of check.reasons) {
      const target = status === "unhealthy" && critical ? errors : warnings
      target.push(prefix + message)
    }
  }
  if ("checks" in self) {
    for (const check of self.checks) add(check, `${check.name}: `, check.critical)
  } else {
    add(self, "", true)
  }
  return { valid: errors.length === 0, errors, warnings }
}

/**
 * A report as JSON for people and tools.
 *
 * **Details**
 *
 * `checks` has one entry per name, as `checkToJson` makes it. `reasons` are
 * those of all checks, worst first.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toJson = (self: Report) => ({
  status: self.status,
  all_healthy: self.allHealthy,
  timestamp: DateTime.formatIso(self.timestamp),
  reasons: reasons(self),
  checks: Object.fromEntries(self.checks.map((check) => [check.name, checkToJson(check)]))
})

/**
 * How one dependency is, as JSON for people and tools.
 *
 * **Details**
 *
 * Times are seconds unless the name ends in `_ms`, moments are ISO timestamps,
 * and what does not apply is `null`: `last_check` and `duration_ms` without a
 * check, what begins with `circuit_breaker` without a circuit, `last_probe`
 * before the first probe.
 *
 * @category encoding
 * @since 0.1.0
 */
export const checkToJson = (self: CheckHealth) => {
  const circuit = self.circuit === undefined ? undefined : CircuitMetrics.toJson(self.circuit)
  return {
    status: self.status,
    healthy: self.status === "healthy",
    critical: self.critical,
    reasons: self.reasons.map((reason) => reason.message),
    last_check: self.checkedAt === undefined ? null : DateTime.formatIso(self.checkedAt),
    duration_ms: self.duration === undefined ? null : Duration.toMillis(self.duration),
    circuit_breaker: circuit?.state ?? null,
    failure_count: circuit?.failure_count ?? null,
    error_rate: circuit?.error_rate ?? null,
    failure_rate: circuit?.failure_rate ?? null,
    last_failure: circuit?.last_failure ?? null,
    time_until_retry: circuit?.time_until_retry ?? null,
    last_probe: self.lastProbe === undefined ? null : {
      success: self.lastProbe.error === undefined,
      error: self.lastProbe.error ?? null,
      timestamp: DateTime.formatIso(self.lastProbe.endedAt),
      duration_ms: Duration.toMillis(self.lastProbe.duration)
    }
  }
}

// -----------------------------------------------------------------------------
// internal: options
// -----------------------------------------------------------------------------

interface Settings {
  readonly checks: ReadonlyArray<readonly [name: string, check: ParsedCheck]>
  readonly includes: (circuit: string) => boolean
  readonly interval: Duration.Duration
  readonly jitter: number
  readonly concurrency: number
}

/** The services of its effects are in the context of its fibers. */
interface ParsedCheck {
  readonly check: Effect.Effect<unknown, unknown> | undefined
  readonly probe: Effect.Effect<unknown, unknown> | undefined
  readonly circuit: string | CircuitBreaker | undefined
  readonly interval: Duration.Duration
  readonly timeout: Duration.Duration
  readonly critical: boolean
}

const TIMEOUT = Duration.seconds(5)

const OPTIONS: ReadonlyArray<keyof Options> = ["checks", "circuits", "interval", "jitter", "concurrency"]

const parse = (caller: string, options: Options<Readonly<Record<string, Check<unknown>>>>): Settings => {
  checkOptions(caller, options, OPTIONS)
  if (options.checks !== undefined && !isObject(options.checks)) {
    refuse(`${caller}: checks`, "an object of checks by name", options.checks)
  }
  const interval = checkDuration(`${caller}: interval`, options.interval ?? "30 seconds", { positive: true })
  const circuits = options.circuits ?? true
  if (typeof circuits !== "boolean" && typeof circuits !== "function") {
    refuse(`${caller}: circuits`, "true, false or a function of the name of a circuit", circuits)
  }
  return {
    checks: Object.entries(options.checks ?? {}).map(([name, check]) => [
      name,
      parseCheck(`${caller}: checks.${name}`, name, check, interval)
    ]),
    includes: typeof circuits === "function" ? orIncluded(circuits) : () => circuits,
    interval,
    jitter: checkRate(`${caller}: jitter`, options.jitter ?? 0.1),
    concurrency: checkCount(`${caller}: concurrency`, options.concurrency ?? 10)
  }
}

/** It is asked where circuits are made, inside the calls that first name them, which it must not break. */
const orIncluded = (predicate: (circuit: string) => boolean) => (circuit: string): boolean => {
  try {
    return predicate(circuit)
  } catch {
    return true
  }
}

const CHECK_OPTIONS: ReadonlyArray<keyof CheckOptions> = [
  "check",
  "probe",
  "circuit",
  "interval",
  "timeout",
  "critical"
]

const parseCheck = (
  field: string,
  name: string,
  input: Check<unknown>,
  defaultInterval: Duration.Duration
): ParsedCheck => {
  if (!Effect.isEffect(input)) {
    if (!isObject(input)) refuse(field, "an effect, or an object with a check, a probe or a circuit", input)
    checkKnown(field, input, CHECK_OPTIONS)
  }
  const { check, circuit, critical = true, interval, probe, timeout } = Effect.isEffect(input)
    ? { check: input } as CheckOptions<unknown>
    : input
  for (const [option, effect] of [["check", check], ["probe", probe]] as const) {
    if (effect !== undefined && !Effect.isEffect(effect)) refuse(`${field}.${option}`, "an effect", effect)
  }
  if (circuit !== undefined && typeof circuit !== "string" && !isCircuitBreaker(circuit)) {
    refuse(`${field}.circuit`, "a circuit or the name of one", circuit)
  }
  if (typeof critical !== "boolean") refuse(`${field}.critical`, "true or false", critical)
  if (check === undefined && probe === undefined && circuit === undefined) {
    throw new RangeError(`${field} must be an effect, or have a check, a probe or a circuit, got none of them`)
  }
  const every = interval === undefined
    ? defaultInterval
    : checkDuration(`${field}.interval`, interval, { positive: true })
  return {
    check: check === undefined ? undefined : Effect.scoped(check) as Effect.Effect<unknown, unknown>,
    probe: probe === undefined ? undefined : Effect.scoped(probe) as Effect.Effect<unknown, unknown>,
    circuit: circuit ?? (probe === undefined ? undefined : name),
    interval: every,
    timeout: checkDuration(`${field}.timeout`, timeout ?? Duration.min(TIMEOUT, every), {
      positive: true,
      finite: true
    }),
    critical
  }
}

// -----------------------------------------------------------------------------
// internal: the monitor
// -----------------------------------------------------------------------------

/** A check that is registered. */
interface Entry {
  readonly name: string
  readonly options: ParsedCheck
  readonly fibers: Fibers
  readonly check: Run<unknown, unknown> | undefined
  /** The run that goes on, which everybody who asks waits for. */
  running: Fiber.Fiber<void> | undefined
  /** When the last run that was not refused began. */
  startedAt: number
  last: Pick<CheckHealth, "reasons" | "checkedAt" | "duration">
  lastProbe: CheckHealth["lastProbe"]
}

const start = <R>(settings: Settings): Effect.Effect<HealthMonitor, never, CircuitBreakerRegistry | R | Scope.Scope> =>
  Effect.contextWith((context: Context.Context<CircuitBreakerRegistry | R>) =>
    Effect.acquireRelease(
      Effect.sync(() => makeUnsafe(settings, context)),
      ({ stop }) => stop
    ).pipe(
      Effect.tap(
        warnIfUnseen(
          Context.get(context, CircuitBreakerRegistry),
          "HealthMonitor learns of its circuits' changes only at its intervals"
        )
      )
    )
  ).pipe(Effect.map(({ monitor }) => monitor))

const makeUnsafe = (settings: Settings, context: Context.Context<CircuitBreakerRegistry>) => {
  const registry = Context.get(context, CircuitBreakerRegistry)
  const entries = new Map<string, Entry>()
  const slots = Semaphore.makeUnsafe(settings.concurrency)
  const hub = new EventHub<StatusChanged>()
  const own = new Fibers(context)

  // ---------------------------------------------------------------------------
  // waking up
  // ---------------------------------------------------------------------------

  const latches = new Set<Latch.Latch>()

  const wakeAll = (): void => {
    for (const latch of latches) latch.openUnsafe()
  }

  /** Looks again and again: when something has changed, and after the milliseconds that the last look returned. */
  const watching = (look: Effect.Effect<number>): Effect.Effect<never> =>
    Effect.suspend(() => {
      const latch = Latch.makeUnsafe()
      return Effect.suspend(() => {
        latches.add(latch)
        latch.closeUnsafe()
        return Effect.flatMap(look, (millis) => millis === 0 ? Effect.void : awaitWithin(latch, millis))
      }).pipe(
        // It yields between two looks, so whoever wakes it, a call through a circuit perhaps, does not do its work.
        Effect.forever,
        Effect.ensuring(Effect.sync(() => latches.delete(latch)))
      )
    })

  const observer = { onTransition: wakeAll, onDuration: () => {}, measure: false }
  const observed = new Map<Breaker, () => void>()

  const observe = (breaker: Breaker): void => {
    if (!observed.has(breaker)) observed.set(breaker, breaker.observe(observer))
  }

  const stopObserving = (breaker: Breaker): void => {
    observed.get(breaker)?.()
    observed.delete(breaker)
  }

  const isBound = (circuit: string): boolean => {
    for (const { options } of entries.values()) if (options.circuit === circuit) return true
    return false
  }

  const stopWatching = watchCircuits(registry, {
    onKept: (breaker) => {
      if (settings.includes(breaker.name) || isBound(breaker.name)) observe(breaker)
    },
    onForgotten: stopObserving
  })

  // ---------------------------------------------------------------------------
  // reading
  // ---------------------------------------------------------------------------

  const breakerOf = ({ options: { circuit } }: Entry): CircuitBreaker | undefined =>
    typeof circuit === "string" ? findCircuit(registry, circuit) : circuit

  const metricsOf = (breaker: CircuitBreaker | undefined): Effect.Effect<CircuitMetrics.CircuitMetrics | undefined> =>
    breaker === undefined ? Effect.undefined : breaker.metrics

  const readEntry = Effect.fnUntraced(function*(entry: Entry) {
    const breaker = breakerOf(entry)
    // The circuit of the same name has no other place in a report.
    const namesake = settings.includes(entry.name) ? findCircuit(registry, entry.name) : undefined
    const bound = yield* metricsOf(breaker)
    const named = namesake === breaker ? undefined : yield* metricsOf(namesake)
    return healthOf({
      name: entry.name,
      critical: entry.options.critical,
      ...entry.last,
      reasons: [...entry.last.reasons, ...reasonsOfCircuit(bound, entry.name), ...reasonsOfCircuit(named, entry.name)],
      circuit: bound ?? named,
      lastProbe: entry.lastProbe
    })
  })

  const readCircuit = (breaker: CircuitBreaker): Effect.Effect<CheckHealth> => Effect.map(breaker.metrics, ofCircuit)

  /** The circuits that no check shows. */
  const otherCircuits = Effect.map(registry.names, (names) => {
    const shown = new Set(entries.keys())
    for (const entry of entries.values()) {
      const breaker = breakerOf(entry)
      if (breaker !== undefined && findCircuit(registry, breaker.name) === breaker) shown.add(breaker.name)
    }
    return names
      .filter((name) => !shown.has(name) && settings.includes(name))
      .map((name) => findCircuit(registry, name))
      // Forgotten since it was named.
      .filter((breaker) => breaker !== undefined)
  })

  const latest: Effect.Effect<Report> = Effect.gen(function*() {
    const ofChecks = yield* Effect.forEach(Array.from(entries.values()), readEntry)
    const ofCircuits = yield* Effect.forEach(yield* otherCircuits, readCircuit)
    const checks = [...ofChecks, ...ofCircuits]
    return {
      status: statusOf(checks),
      allHealthy: checks.every((check) => check.status === "healthy"),
      timestamp: yield* DateTime.now,
      checks
    }
  })

  // ---------------------------------------------------------------------------
  // running
  // ---------------------------------------------------------------------------

  const runNow = (entry: Entry, check: Run<unknown, unknown>): Effect.Effect<void> =>
    Effect.gen(function*() {
      const startedAt = yield* now
      const hangs = check.goesOn
      if (!hangs) entry.startedAt = startedAt
      const reasons = hangs
        ? [Reasons.goesOn(Duration.millis(startedAt - entry.startedAt))]
        : Reasons.ofCheck(yield* Effect.exit(check.attempt))
      entry.last = {
        reasons,
        checkedAt: yield* DateTime.now,
        duration: Duration.millis((yield* now) - startedAt)
      }
      wakeAll()
    }).pipe(Semaphore.withPermits(slots, 1))

  /** Waits for the run that goes on, or for one that starts now. Whoever waits may be interrupted; the run goes on. */
  const run = (entry: Entry): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (entry.check === undefined) return Effect.void
      const running = entry.running ?? entry.fibers.start(runNow(entry, entry.check))
      if (running === undefined) return ended
      if (entry.running === undefined) {
        entry.running = running
        running.addObserver(() => {
          entry.running = undefined
        })
      }
      return Effect.flatMap(Fiber.await(running), (exit) => Exit.isSuccess(exit) ? Effect.void : ended)
    })

  /** A check that goes away while somebody waits for it has nothing to say, unless the monitor itself has ended. */
  const ended = Effect.suspend(() => own.stopped ? Effect.interrupt : Effect.void)

  const runForever = (entry: Entry): Effect.Effect<never> =>
    Effect.gen(function*() {
      const startedAt = yield* now
      yield* run(entry)
      const spread = 1 + settings.jitter * (2 * (yield* Random.next) - 1)
      const wait = Duration.toMillis(entry.options.interval) * spread - ((yield* now) - startedAt)
      yield* sleep(Math.max(0, wait))
    }).pipe(Effect.forever)

  // ---------------------------------------------------------------------------
  // probing
  // ---------------------------------------------------------------------------

  /** Probes a half-open circuit once. Returns for how many milliseconds there is nothing to do. */
  const prober = (entry: Entry, probe: Run<unknown, unknown>): Effect.Effect<number> => {
    const interval = Duration.toMillis(entry.options.interval)
    // A probe that did not count, since a classifier ignores it, would not count at once again.
    let ignored = { stateChanges: -1, until: 0 }

    return Effect.gen(function*() {
      const breaker = breakerOf(entry)
      if (breaker === undefined) return interval
      const before = yield* breaker.metrics
      if (before.timeUntilRetry !== undefined) {
        return Math.min(interval, Math.max(1, Math.ceil(Duration.toMillis(before.timeUntilRetry))))
      }
      if (before.state !== "HalfOpen" || !before.isAvailable || probe.goesOn) return interval
      // A ramp wants no probes: time alone ends it.
      const circuit = isKnown(breaker) ? breaker.live.settled() : undefined
      if (circuit?._tag === "HalfOpen" && circuit.rampingSince !== undefined) return interval
      const startedAt = yield* now
      if (before.stateChanges === ignored.stateChanges && startedAt < ignored.until) return ignored.until - startedAt

      let admitted = false
      const exit = yield* Effect.exit(breaker.execute(Effect.suspend(() => {
        admitted = true
        return probe.attempt
      })))
      if (!admitted) return interval
      const endedAt = yield* now
      const [reason] = Exit.isFailure(exit) ? Reasons.ofCheck(exit) : []
      entry.lastProbe = {
        endedAt: yield* DateTime.now,
        duration: Duration.millis(endedAt - startedAt),
        ...(reason === undefined ? {} : { error: reason.message })
      }
      const after = yield* breaker.metrics
      if (verdicts(after) === verdicts(before)) {
        ignored = { stateChanges: after.stateChanges, until: endedAt + interval }
      }
      return 0
    })
  }

  // ---------------------------------------------------------------------------
  // telling
  // ---------------------------------------------------------------------------

  let known = new Map<string, Status>()
  let knownSystem: Status = "healthy"

  const publishChanges = Effect.gen(function*() {
    const { checks, timestamp } = yield* latest
    const news = checks.map((check) => {
      const reasons = check.reasons.filter((reason) => reason !== Reasons.notChecked)
      return healthOf({ ...check, reasons })
    })
    const at = DateTime.toEpochMillis(timestamp)
    const before = known
    known = new Map()
    for (const { name, reasons, status: to } of news) {
      const from = before.get(name) ?? "healthy"
      if (to !== "healthy") known.set(name, to)
      if (from === to) continue
      hub.publish({ subject: "check", name, from, to, reasons: reasons.map(({ message }) => message), timestamp: at })
    }
    const from = knownSystem
    const to = knownSystem = statusOf(news)
    if (from !== to) {
      const all = reasons({ status: to, allHealthy: false, timestamp, checks: news })
      hub.publish({ subject: "system", name: "system", from, to, reasons: all, timestamp: at })
    }
    return Duration.toMillis(settings.interval)
  })

  // ---------------------------------------------------------------------------
  // registering
  // ---------------------------------------------------------------------------

  const add = (name: string, options: ParsedCheck, context: Context.Context<never>): Entry => {
    const fibers = new Fibers(context)
    const run = (kind: string, effect: Effect.Effect<unknown, unknown> | undefined) =>
      effect === undefined ? undefined : new Run(fibers, effect, kind, options.timeout)
    const probe = run("probe", options.probe)
    const entry: Entry = {
      name,
      options,
      fibers,
      check: run("check", options.check),
      running: undefined,
      startedAt: 0,
      last: { reasons: options.check === undefined ? [] : [Reasons.notChecked] },
      lastProbe: undefined
    }
    entries.set(name, entry)
    const breaker = breakerOf(entry)
    if (isKnown(breaker)) observe(breaker.breaker)
    else if (breaker !== undefined) {
      fibers.start(Effect.logWarning(
        `HealthMonitor learns of the changes of circuit ${
          JSON.stringify(breaker.name)
        } only at its intervals: it was ` +
          "made by hand or by another version of effect-resilience"
      ))
    }
    if (entry.check !== undefined) fibers.start(runForever(entry))
    if (probe !== undefined) fibers.start(watching(prober(entry, probe)))
    return entry
  }

  const remove = (entry: Entry): Effect.Effect<void> =>
    Effect.suspend(() => {
      entries.delete(entry.name)
      const { circuit } = entry.options
      if (isKnown(circuit) && findCircuit(registry, circuit.name) !== circuit) stopObserving(circuit.breaker)
      wakeAll()
      return entry.fibers.stop
    })

  const register: HealthMonitor["register"] = (name, check) => {
    checkString("HealthMonitor.register: name", name)
    const options = parseCheck("HealthMonitor.register: check", name, check, settings.interval)
    return Effect.contextWith((context: Context.Context<never>) =>
      Effect.acquireRelease(
        Effect.suspend(() => {
          if (own.stopped) return Effect.interrupt
          if (entries.has(name)) return Effect.fail(new DuplicateCheckError({ check: name }))
          return Effect.succeed(add(name, options, context))
        }),
        remove
      )
    ).pipe(Effect.asVoid)
  }

  const monitor: HealthMonitor = {
    latest,
    status: Effect.map(latest, (report) => report.status),
    checkAll: Effect.suspend(() =>
      Effect.forEach(Array.from(entries.values()), run, { concurrency: "unbounded", discard: true })
    ).pipe(Effect.andThen(ended), Effect.andThen(latest)),
    check: Effect.fnUntraced(function*(name) {
      yield* ended
      const entry = entries.get(name)
      if (entry !== undefined) {
        yield* run(entry)
        if (!entry.fibers.stopped) return yield* readEntry(entry)
        yield* ended
      }
      const circuits = yield* otherCircuits
      const circuit = circuits.find((breaker) => breaker.name === name)
      if (circuit !== undefined) return yield* readCircuit(circuit)
      const known = [...entries.keys(), ...circuits.map((breaker) => breaker.name)]
      return yield* new UnknownCheckError({ check: name, known })
    }),
    register,
    changes: hub.stream
  }

  for (const [name, check] of settings.checks) add(name, check, context)
  own.start(watching(publishChanges))

  const stop = Effect.suspend(() => {
    own.stopped = true
    stopWatching()
    for (const breaker of observed.keys()) stopObserving(breaker)
    return Effect.forEach([own, ...Array.from(entries.values(), (entry) => entry.fibers)], (fibers) => fibers.stop, {
      concurrency: "unbounded",
      discard: true
    })
  }).pipe(Effect.andThen(hub.end))

  return { monitor, stop }
}

const now = Effect.map(Clock.Clock, monotonicMillis)

const sleep = (millis: number): Effect.Effect<void> => millis === Infinity ? Effect.never : Effect.sleep(millis)

const awaitWithin = (latch: Latch.Latch, millis: number): Effect.Effect<void> =>
  millis === Infinity ? latch.await : Effect.asVoid(Effect.timeoutOption(latch.await, millis))

const verdicts = (circuit: CircuitMetrics.CircuitMetrics): number => circuit.successfulCalls + circuit.failedCalls

const reasonsOfCircuit = (
  circuit: CircuitMetrics.CircuitMetrics | undefined,
  name: string
): ReadonlyArray<Reason> =>
  circuit === undefined ? [] : Reasons.ofCircuit(circuit, circuit.name === name ? undefined : circuit.name)

const healthOf = (check: Omit<CheckHealth, "status">): CheckHealth => ({
  ...check,
  status: Reasons.worst(check.reasons.map((reason) => reason.status))
})

const statusOf = (checks: ReadonlyArray<CheckHealth>): Status =>
  Reasons.worst(
    checks.map(({ critical, status }) => status === "unhealthy" && !critical ? "degraded" : status)
  )
