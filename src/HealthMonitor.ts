/**
 * Watches the health of a program's dependencies: runs named checks in the
 * background, reads the circuits of the registry, and reports whether the
 * program is `healthy`, `degraded` or `unhealthy`, and why.
 *
 * A monitor starts and stops with its scope. It keeps the last result of every
 * check, so a health endpoint answers at once and its requests do not reach the
 * dependencies.
 *
 * **Details**
 *
 * - Each check has its own fiber, interval and time limit, so a slow or dying
 *   check never delays the others.
 * - A check never runs twice at once; concurrent callers share its result.
 * - Circuits are read, never called. A `probe` goes through its circuit once the
 *   open time has ended, so no call of a user is spent on testing whether the
 *   dependency has recovered.
 *
 * **Gotchas**
 *
 * - The report is `unhealthy` while a circuit is open. Do not use it as a
 *   liveness probe: restarting a program makes an outage of its dependency
 *   worse.
 * - Reasons contain messages of errors. Show them to operators, not to the
 *   public.
 *
 * **Example** (Checking everything)
 *
 * ```ts import.meta.vitest
 * import { Effect, Layer } from "effect"
 * import { CircuitBreakerRegistry, HealthMonitor, HealthReport } from "effect-resilience"
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
 *   return [report.status, ...HealthReport.reasons(report)]
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(Health))) // => ["degraded", "replica: 45 s behind"]
 * ```
 *
 * @see {@link HealthReport} for the report as data
 *
 * @stability unstable
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { type CircuitBreaker, isCircuitBreaker } from "./CircuitBreaker.ts"
import { CircuitBreakerRegistry } from "./CircuitBreakerRegistry.ts"
import * as Environment from "./Environment.ts"
import { type CheckHealth, type HealthReport, Status } from "./HealthReport.ts"
import {
  checkCount,
  checkDuration,
  checkKnown,
  checkName,
  checkOptions,
  checkRate,
  isObject,
  optionNames,
  refuse
} from "./internal/check.ts"
import { makeMonitor, type Monitor } from "./internal/health/monitor.ts"
import { open } from "./internal/health/inside.ts"
import type { CheckDefaults, CheckSettings, Settings } from "./internal/health/settings.ts"
import type { Thresholds } from "./internal/health/thresholds.ts"
import { findCircuit, troubledCircuits, warnIfUnseen, watchCircuits } from "./internal/registry/inside.ts"

// -----------------------------------------------------------------------------
// checks
// -----------------------------------------------------------------------------

/**
 * The results of a check. `true` and no value mean `healthy`, `false` means
 * `unhealthy`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Answer =
  | boolean
  | void
  | { readonly status: "healthy" }
  | { readonly status: "degraded" | "unhealthy"; readonly reason: string }

/**
 * The result of a check that found no problem.
 *
 * @stability unstable
 * @category answers
 * @since 0.1.0
 */
export const healthy: Answer = { status: "healthy" }

/**
 * The result of a check of something that works, but not as well as it should.
 *
 * @stability unstable
 * @category answers
 * @since 0.1.0
 */
export const degraded = (reason: string): Answer => ({ status: "degraded", reason })

/**
 * The result of a check of something that does not work. A check that fails has
 * the same effect.
 *
 * @stability unstable
 * @category answers
 * @since 0.1.0
 */
export const unhealthy = (reason: string): Answer => ({ status: "unhealthy", reason })

/**
 * How the health of one dependency is determined.
 *
 * **Details**
 *
 * At least one of the first three is required:
 *
 * - `check`: determines the health of the dependency. A failure or defect
 *   becomes a reason. It may be scoped: its scope closes after each run.
 * - `probe`: runs through the circuit once its open time has ended, until the
 *   circuit closes or opens again. It may itself go through that circuit, as
 *   the program's own calls do, and still counts once.
 * - `circuit`: the circuit to read and to probe, by value or by its name in the
 *   registry; by default, for a probe, the one with the name of the check.
 * - `interval`: time between the starts of two runs of `check`; that of the
 *   monitor by default.
 * - `timeout`: time limit of `check` and `probe`; by default 5 seconds, or the
 *   interval if that is shorter.
 * - `failureThreshold`, `successThreshold`: how many results of `check` in a row
 *   must be worse, or better, than the reported status before it changes, as in
 *   the probes of Kubernetes; those of the monitor by default. The first result
 *   is reported at once.
 * - `critical`: whether the report is `unhealthy` if this is; `true` by default.
 *   With `false` the report is `degraded`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface CheckOptions<out R = never> {
  readonly check?: Effect.Effect<Answer, unknown, R> | undefined
  readonly probe?: Effect.Effect<unknown, unknown, R> | undefined
  readonly circuit?: string | CircuitBreaker | undefined
  readonly interval?: Duration.Input | undefined
  readonly timeout?: Duration.Input | undefined
  readonly successThreshold?: number | undefined
  readonly failureThreshold?: number | undefined
  readonly critical?: boolean | undefined
}

/**
 * A check: an effect, or options that contain one.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Check<R = never> = Effect.Effect<Answer, unknown, R> | CheckOptions<R>

/**
 * The services that a check requires.
 *
 * @stability unstable
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
 * The options of a monitor.
 *
 * **Details**
 *
 * - `checks`: the checks by name. More can be registered while the monitor runs.
 * - `circuits`: which circuits of the registry are in the report without a
 *   check: all (`true`, the default), none (`false`), or those for which the
 *   predicate returns `true`. If it throws, the circuit is included. A check
 *   always shows its own circuit.
 * - `interval`: time between the starts of two runs of a check; 30 seconds by
 *   default. With an infinite interval, checks run on request only.
 * - `jitter`: changes each interval by up to this share of it, from 0 to 1, so
 *   that many processes do not check at the same time; 0.1 by default.
 * - `concurrency`: how many checks run at once; 10 by default. A check that has
 *   timed out no longer counts.
 * - `failureThreshold`, `successThreshold`: of checks that do not set their own;
 *   1 by default.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Options<C extends Readonly<Record<string, Check<unknown>>> = {}> {
  readonly checks?: C | undefined
  readonly circuits?: boolean | ((circuit: string) => boolean) | undefined
  readonly interval?: Duration.Input | undefined
  readonly jitter?: number | undefined
  readonly concurrency?: number | undefined
  readonly successThreshold?: number | undefined
  readonly failureThreshold?: number | undefined
}

// -----------------------------------------------------------------------------
// changes
// -----------------------------------------------------------------------------

/**
 * A change of the status of one check or of the whole program.
 *
 * **Details**
 *
 * - `subject`: `check` or `system`.
 * - `name`: the name of the check; `system` for the whole program.
 * - `reasons`: the reasons after the change; for the whole program those of all
 *   checks, each after the name of its check.
 * - `timestamp`: wall-clock time, in milliseconds since 1970.
 *
 * @stability unstable
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
 * A value of the schema `StatusChanged`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type StatusChanged = typeof StatusChanged.Type

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * The name of a check is already registered.
 *
 * @stability unstable
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
 * No check and no circuit has the requested name.
 *
 * **Details**
 *
 * - `known`: the existing names.
 *
 * @stability unstable
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
 * Watches the health of a program's dependencies.
 *
 * **Details**
 *
 * After its scope has closed, running a check interrupts the caller.
 *
 * @stability unstable
 * @category services
 * @since 0.1.0
 */
export interface HealthMonitor {
  /** The latest report: the last result of each check, and the circuits as they are now. Does not run any check. */
  readonly latest: Effect.Effect<HealthReport>

  /** The status of the latest report. */
  readonly status: Effect.Effect<Status>

  /** Runs all checks now and returns the report. */
  readonly checkAll: Effect.Effect<HealthReport>

  /** Runs one check now, or reads the circuit with that name. */
  readonly check: (name: string) => Effect.Effect<CheckHealth, UnknownCheckError>

  /**
   * Adds and starts a check, until the scope closes. Throws a `RangeError` if an
   * option is out of range.
   */
  readonly register: <const C extends Check<unknown>>(
    name: string,
    check: C
  ) => Effect.Effect<void, DuplicateCheckError, CheckServices<C> | Scope.Scope>

  /**
   * The changes of status from now on. Ends with the monitor.
   *
   * The status of a check can change after each run. A change of a circuit's
   * state is noticed at once, its other changes within an interval. A check that
   * has not run yet, or is removed, is no change. A subscriber that falls 1,024
   * changes behind loses the oldest.
   */
  readonly changes: Stream.Stream<StatusChanged>
}

/**
 * Watches the health of a program's dependencies.
 *
 * @stability unstable
 * @category services
 * @since 0.1.0
 */
export const HealthMonitor: Context.Service<HealthMonitor, HealthMonitor> = /* @__PURE__ */ Context.Service<
  HealthMonitor
>(
  "effect-resilience/HealthMonitor"
)

/**
 * Provides a monitor for as long as the Layer lives.
 *
 * **Details**
 *
 * Throws a `RangeError` if an option is out of range. The first run of every
 * check starts at once, and the Layer does not wait for it; `checkAll` does.
 *
 * @stability unstable
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
 * Provides a monitor whose interval is the environment's
 * `HEALTH_CHECK_INTERVAL` if that is set, read through the `ConfigProvider`.
 *
 * **Details**
 *
 * If any variable of this package is wrong, the Layer fails with one
 * `ConfigError` that lists all problems.
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
 * @stability unstable
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
 * Makes a monitor for as long as the scope is open.
 *
 * **Details**
 *
 * Throws a `RangeError` if an option is out of range.
 *
 * **Example** (Watching a circuit that is in no registry)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker, CircuitBreakerRegistry, HealthMonitor, HealthReport } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({ name: "payment-api" })
 *   const monitor = yield* HealthMonitor.make({ checks: { payments: { circuit: breaker } } })
 *   yield* breaker.forceOpen()
 *   return HealthReport.reasons(yield* monitor.latest)
 * })
 *
 * const reasons = await Effect.runPromise(program.pipe(
 *   Effect.scoped,
 *   Effect.provide(CircuitBreakerRegistry.layer())
 * ))
 * reasons // => ['payments: circuit "payment-api" was forced open and stays so until it is released']
 * ```
 *
 * @stability unstable
 * @category constructors
 * @since 0.1.0
 */
export const make = <const C extends Readonly<Record<string, Check<unknown>>> = {}>(
  options: Options<C> = {}
): Effect.Effect<HealthMonitor, never, CircuitBreakerRegistry | CheckServices<C[keyof C]> | Scope.Scope> =>
  start<CheckServices<C[keyof C]>>(parse("HealthMonitor.make", options))

const start = <R>(settings: Settings): Effect.Effect<HealthMonitor, never, CircuitBreakerRegistry | R | Scope.Scope> =>
  Effect.contextWith((context: Context.Context<CircuitBreakerRegistry | R>) => {
    const registry = Context.get(context, CircuitBreakerRegistry)
    const circuits = {
      find: (name: string) => findCircuit(registry, name),
      names: registry.names,
      troubled: troubledCircuits(registry),
      watch: (watcher: Parameters<typeof watchCircuits>[1]) => watchCircuits(registry, watcher)
    }
    return Effect.acquireRelease(
      Effect.sync(() => makeMonitor(settings, circuits, context)),
      ({ stop }) => stop
    ).pipe(
      Effect.tap(warnIfUnseen(registry, "HealthMonitor learns of its circuits' changes only at its intervals")),
      Effect.map((monitor) => toService(monitor, settings))
    )
  })

const toService = (monitor: Monitor, settings: Settings): HealthMonitor => {
  const service: HealthMonitor = {
    latest: monitor.latest,
    status: monitor.status,
    checkAll: monitor.checkAll,
    check: (name) => Effect.mapError(monitor.check(name), (known) => new UnknownCheckError({ check: name, known })),
    register: (name, check) => {
      checkName("HealthMonitor.register: name", name)
      const options = parseCheck("HealthMonitor.register: check", name, check, settings.defaults)
      return Effect.mapError(monitor.register(name, options), () => new DuplicateCheckError({ check: name }))
    },
    changes: monitor.changes
  }
  open(service, { version: 1, worst: monitor.worst })
  return service
}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

const TIMEOUT = /* @__PURE__ */ Duration.seconds(5)

const OPTIONS = /* @__PURE__ */ optionNames<Options>({
  checks: true,
  circuits: true,
  interval: true,
  jitter: true,
  concurrency: true,
  successThreshold: true,
  failureThreshold: true
})

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
  const defaults: CheckDefaults = { interval, ...checkThresholds(`${caller}: `, options, NO_THRESHOLDS) }
  return {
    checks: Object.entries(options.checks ?? {}).map(([name, check]) => [
      checkName(`${caller}: checks: the name of a check`, name),
      parseCheck(`${caller}: checks.${name}`, name, check, defaults)
    ]),
    includes: typeof circuits === "function" ? orIncluded(circuits) : () => circuits,
    defaults,
    jitter: checkRate(`${caller}: jitter`, options.jitter ?? 0.1),
    concurrency: checkCount(`${caller}: concurrency`, options.concurrency ?? 10)
  }
}

/** A circuit asks when it is made, inside the call that first names it, which the predicate must not break. */
const orIncluded = (predicate: (circuit: string) => boolean) => (circuit: string): boolean => {
  try {
    return predicate(circuit)
  } catch {
    return true
  }
}

const CHECK_OPTIONS = /* @__PURE__ */ optionNames<CheckOptions>({
  check: true,
  probe: true,
  circuit: true,
  interval: true,
  timeout: true,
  successThreshold: true,
  failureThreshold: true,
  critical: true
})

const NO_THRESHOLDS: Thresholds = { successThreshold: 1, failureThreshold: 1 }

const checkThresholds = (
  prefix: string,
  { failureThreshold, successThreshold }: Pick<Options, keyof Thresholds>,
  defaults: Thresholds
): Thresholds => ({
  successThreshold: checkCount(`${prefix}successThreshold`, successThreshold ?? defaults.successThreshold),
  failureThreshold: checkCount(`${prefix}failureThreshold`, failureThreshold ?? defaults.failureThreshold)
})

const parseCheck = (
  field: string,
  name: string,
  input: Check<unknown>,
  defaults: CheckDefaults
): CheckSettings => {
  if (!Effect.isEffect(input)) {
    if (!isObject(input)) refuse(field, "an effect, or an object with a check, a probe or a circuit", input)
    checkKnown(field, input, CHECK_OPTIONS)
  }
  const options: CheckOptions<unknown> = Effect.isEffect(input)
    ? { check: input as Effect.Effect<Answer, unknown> }
    : input
  const { check, circuit, critical = true, interval, probe, timeout } = options
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
    ? defaults.interval
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
    ...checkThresholds(`${field}.`, options, defaults),
    critical
  }
}
