/**
 * The named circuits of a program, provided by Layer.
 *
 * Every place that names a circuit gets the same one,
 * `withCircuitBreaker("payment-api")` included. Circuits that the Layer names
 * exist from the start. Others are made when they are first named, and
 * forgotten once they have been idle for long, so that a name per tenant cannot
 * fill the memory.
 *
 * **Example** (One circuit per dependency)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
 *   yield* Effect.fail("down").pipe(CircuitBreaker.withCircuitBreaker("kafka"), Effect.ignore)
 *   yield* Effect.succeed(1).pipe(CircuitBreaker.withCircuitBreaker("database"))
 *   return { open: yield* registry.openCircuits, all: yield* registry.names }
 * })
 *
 * const registry = CircuitBreakerRegistry.layer({
 *   defaults: CircuitPolicy.database,
 *   circuits: { kafka: CircuitPolicy.make({ consecutiveFailures: 1 }) }
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(registry))) // => { open: ["kafka"], all: ["kafka", "database"] }
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type * as Stream from "effect/Stream"
import type { CircuitBreaker } from "./CircuitBreaker.ts"
import type { CircuitChange, CircuitEvent, CircuitState } from "./CircuitEvent.ts"
import type { CircuitMetrics } from "./CircuitMetrics.ts"
import * as CircuitPolicy from "./CircuitPolicy.ts"
import * as Environment from "./Environment.ts"
import { checkDuration, checkName, checkOptions, isObject, optionNames, refuse } from "./internal/check.ts"
import type { Breaker } from "./internal/circuit/breaker.ts"
import { handleOf } from "./internal/circuit/handle.ts"
import type { Command } from "./internal/circuit/machine.ts"
import { CommandNote } from "./internal/circuit/note.ts"
import { from as policyFrom } from "./internal/circuit/policy.ts"
import { collect, find } from "./internal/registry/eviction.ts"
import { open } from "./internal/registry/inside.ts"
import { adopt, getOrCreate, register, release, remove } from "./internal/registry/naming.ts"
import { reload } from "./internal/registry/reload.ts"
import * as State from "./internal/registry/state.ts"
import { exceptions, standing, summarise, warnIfPerCall } from "./internal/registry/status.ts"
import { type CircuitConflictError, isCircuitConflictError } from "./ResilienceError.ts"

/**
 * The named circuits of a program.
 *
 * @stability stable
 * @category services
 * @since 0.1.0
 */
export interface CircuitBreakerRegistry {
  /** The circuit of that name, if it lives. */
  readonly get: (name: string) => Effect.Effect<Option.Option<CircuitBreaker>>

  /**
   * The circuit of that name, made now if need be. With a policy it fails if
   * one with other settings was named for it before; functions and schedules
   * are not compared, and the first ones stay. A circuit for which none was
   * named takes it over.
   */
  readonly getOrCreate: {
    (name: string): Effect.Effect<CircuitBreaker>
    (
      name: string,
      policy: CircuitPolicy.CircuitPolicy | CircuitPolicy.Options
    ): Effect.Effect<CircuitBreaker, CircuitConflictError>
  }

  /**
   * Makes a circuit that stays until it is removed, however idle. Fails if one
   * of that name lives under another policy.
   */
  readonly register: (
    name: string,
    policy?: CircuitPolicy.CircuitPolicy | CircuitPolicy.Options | undefined
  ) => Effect.Effect<CircuitBreaker, CircuitConflictError>

  /**
   * Puts a circuit that was made elsewhere into the registry under its own
   * name, and keeps it as `register` does. Its events and changes come through
   * the registry from now on. Fails if the name lives. Dies if the circuit is in
   * a registry already, or was made by another implementation or another copy
   * of this package.
   */
  readonly adopt: (breaker: CircuitBreaker) => Effect.Effect<CircuitBreaker, CircuitConflictError>

  /**
   * Gives a living circuit another policy; its state, backoff and listeners
   * stay. `false` if there is none of that name.
   */
  readonly reconfigure: (
    name: string,
    policy: CircuitPolicy.CircuitPolicy | CircuitPolicy.Options
  ) => Effect.Effect<boolean>

  /**
   * Reads the environment again and applies it to living circuits: their
   * policies, and whether they are on. Returns those that changed. Invalid
   * variables fail it and change nothing.
   *
   * A circuit that was reconfigured by hand keeps its policy. A registry of
   * `layer` has nothing to read, and returns none.
   */
  readonly reload: Effect.Effect<ReadonlyArray<Reloaded>, Config.ConfigError>

  /**
   * Forgets a circuit and ends its events, which no longer go to the
   * registry's either. `false` if there was none. Its holders can use it on. The
   * events of an adopted circuit do not end.
   */
  readonly remove: (name: string) => Effect.Effect<boolean>

  /** The names of all living circuits, oldest first. */
  readonly names: Effect.Effect<ReadonlyArray<string>>

  /** What all circuits have counted. */
  readonly statuses: Effect.Effect<ReadonlyArray<CircuitMetrics>>

  /** The names of the circuits that reject calls: `Open` or `ForcedOpen`. As cheap and as fresh as `systemStatus`. */
  readonly openCircuits: Effect.Effect<ReadonlyArray<string>>

  /** Whether a circuit is `Open` or `ForcedOpen`. */
  readonly anyOpen: Effect.Effect<boolean>

  /** Resets one circuit. `false` if there is none of that name. */
  readonly reset: (name: string) => Effect.Effect<boolean>

  /** Resets all circuits. */
  readonly resetAll: Effect.Effect<void>

  /**
   * How the circuits stand as a whole. Looks only at those in trouble. While
   * more than 500 are, what is said of their states may be a second old, unless
   * a circuit was changed by hand.
   */
  readonly systemStatus: Effect.Effect<SystemStatus>

  /** What happens in all circuits, from now on. Ends with the registry. */
  readonly events: Stream.Stream<CircuitEvent>

  /**
   * The changes of state and policy of all circuits: the latest 1,024 that
   * there were, the oldest first, then those to come. Unlike a subscriber to
   * `events`, one to this costs calls nothing.
   */
  readonly changes: Stream.Stream<CircuitChange>
}

/**
 * How the circuits of a registry stand as a whole.
 *
 * **Details**
 *
 * `status` is `unhealthy` while a circuit rejects calls (`Open`,
 * `ForcedOpen`), `degraded` while one is `HalfOpen` or has a failure rate
 * above 10 % and is not `Disabled`, `healthy` otherwise. A `HalfOpen` circuit
 * that no one calls counts as healthy once it has waited for as long as it was
 * last open, and for a minute at least.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface SystemStatus {
  readonly status: "healthy" | "degraded" | "unhealthy"
  readonly totalCircuits: number
  readonly circuitsByState: Readonly<Record<CircuitState, number>>
  readonly openCircuits: ReadonlyArray<string>
  readonly totalCalls: number
  readonly rejectedCalls: number
}

/**
 * What `reload` has changed in one circuit: fields of its policy, and whether
 * it is on.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Reloaded {
  readonly circuit: string
  readonly changed: ReadonlyArray<keyof CircuitPolicy.CircuitPolicy | "enabled">
}

/**
 * The named circuits of a program.
 *
 * @stability stable
 * @category services
 * @since 0.1.0
 */
export const CircuitBreakerRegistry: Context.Service<CircuitBreakerRegistry, CircuitBreakerRegistry> =
  /* @__PURE__ */ Context.Service<
    CircuitBreakerRegistry
  >("effect-resilience/CircuitBreakerRegistry")

/**
 * Options of `layer`.
 *
 * **Details**
 *
 * - `defaults`: the policy of circuits that have none of their own,
 *   `CircuitPolicy.make()`.
 * - `circuits`: circuits that exist from the start and are kept, with their
 *   policies. `undefined` takes the defaults, or the policy that a call names.
 * - `idleTimeToLive`: how long a circuit that was only named is kept without a
 *   call, one hour. A circuit is never forgotten while a call is in flight,
 *   while it is open, under manual control, reconfigured, or listened to.
 *
 * Where a policy goes, its options may stand. Throws a `RangeError` for an
 * option that is unknown or out of its range.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly defaults?: CircuitPolicy.CircuitPolicy | CircuitPolicy.Options | undefined
  readonly circuits?:
    | Readonly<Record<string, CircuitPolicy.CircuitPolicy | CircuitPolicy.Options | undefined>>
    | undefined
  readonly idleTimeToLive?: Duration.Input | undefined
}

const OPTIONS = /* @__PURE__ */ optionNames<Options>({ defaults: true, circuits: true, idleTimeToLive: true })

/**
 * Provides a registry.
 *
 * **Details**
 *
 * The registry takes its clock and randomness from where the Layer is built.
 * When the Layer is released, the event streams end.
 *
 * @see {@link layerDisabled} and {@link layerForcedOpen} for tests
 *
 * @stability stable
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<CircuitBreakerRegistry> =>
  Layer.effect(CircuitBreakerRegistry, make(options))

/**
 * Provides a registry that the environment configures, through the
 * `ConfigProvider`.
 *
 * **Details**
 *
 * Variables of one circuit, such as `CB_PAYMENT_API_FAILURE_THRESHOLD`,
 * override its policy in code, in `circuits` or where it is named. Variables of
 * all circuits, such as `CIRCUIT_BREAKER_FAILURE_THRESHOLD`, override `defaults`
 * and the fields that a policy does not name. Invalid variables fail the Layer
 * with one `ConfigError` that has all problems.
 *
 * **Example** (Configuring circuits by environment variables)
 *
 * ```ts import.meta.vitest
 * import { ConfigProvider, Effect, Layer } from "effect"
 * import { CircuitBreaker, CircuitBreakerRegistry } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
 *   yield* Effect.fail("down").pipe(CircuitBreaker.withCircuitBreaker("payment-api"), Effect.ignore)
 *   return yield* registry.openCircuits
 * })
 *
 * const env = { CB_PAYMENT_API_FAILURE_THRESHOLD: "1" }
 *
 * const registry = CircuitBreakerRegistry.layerConfig().pipe(
 *   Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
 * )
 *
 * await Effect.runPromise(program.pipe(Effect.provide(registry))) // => ["payment-api"]
 * ```
 *
 * @see {@link Environment.load} for the variables, which of them counts, and how they are checked
 *
 * @stability stable
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (options: Options = {}): Layer.Layer<CircuitBreakerRegistry, Config.ConfigError> => {
  // Options are checked where they are written, not where the Layer is built.
  const settings = parse(options)
  const load = Environment.load({ defaults: settings.defaults, circuits: Object.fromEntries(settings.circuits) })
  return Layer.effect(
    CircuitBreakerRegistry,
    Effect.contextWith((context: Context.Context<never>) => {
      const read = Effect.suspend(() => Effect.provideService(load, ConfigProvider.ConfigProvider, providerOf(context)))
      return Effect.flatMap(read, (environment) => makeParsed(settings, { environment, read }))
    })
  )
}

/** Effect's default one is a copy of the process environment as it was when first asked for. */
const providerOf = (context: Context.Context<never>): ConfigProvider.ConfigProvider =>
  context.mapUnsafe.has(ConfigProvider.ConfigProvider.key)
    ? Context.get(context, ConfigProvider.ConfigProvider)
    : ConfigProvider.fromEnv()

/**
 * Provides a registry whose circuits let every call through and count nothing.
 *
 * **When to use**
 *
 * Use to run a program without circuit breakers, in development or in tests
 * that are not about them.
 *
 * @stability stable
 * @category layers
 * @since 0.1.0
 */
export const layerDisabled: Layer.Layer<CircuitBreakerRegistry> = /* @__PURE__ */ Layer.effect(
  CircuitBreakerRegistry,
  /* @__PURE__ */ makeParsed(/* @__PURE__ */ parse({}), { start: { _tag: "Disable" } })
)

/**
 * Provides a registry whose circuits reject every call.
 *
 * **When to use**
 *
 * Use in tests of a program whose dependencies are down.
 *
 * @stability stable
 * @category layers
 * @since 0.1.0
 */
export const layerForcedOpen: Layer.Layer<CircuitBreakerRegistry> = /* @__PURE__ */ Layer.effect(
  CircuitBreakerRegistry,
  /* @__PURE__ */ makeParsed(/* @__PURE__ */ parse({}), { start: { _tag: "ForceOpen", duration: Infinity } })
)

/**
 * Makes a registry that lives as long as the scope.
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<CircuitBreakerRegistry, never, Scope.Scope> =>
  makeParsed(parse(options), {})

/** Without defaults, those of the environment or of `CircuitPolicy.make`. */
interface Parsed extends Omit<State.Settings, "defaults"> {
  readonly defaults: CircuitPolicy.CircuitPolicy | undefined
}

function parse(options: Options): Parsed {
  const field = (name: string) => `CircuitBreakerRegistry.layer: ${name}`
  checkOptions("CircuitBreakerRegistry.layer", options, OPTIONS)
  const defaults = policyFrom(field("defaults"), options.defaults)
  if (options.circuits !== undefined && !isObject(options.circuits)) {
    return refuse(field("circuits"), "an object of policies by name", options.circuits)
  }
  const circuits = new Map(
    Object.entries(options.circuits ?? {}).map(([name, policy]) => {
      checkName(field("circuits: the name of a circuit"), name)
      return [name, policyFrom(field(`circuits.${name}`), policy)]
    })
  )
  const idleTime = Duration.toMillis(
    checkDuration(field("idleTimeToLive"), options.idleTimeToLive ?? "1 hour", { positive: true })
  )
  return { defaults, circuits, idleTime }
}

function makeParsed(
  { circuits, defaults = CircuitPolicy.make(), idleTime }: Parsed,
  { environment, read, start }: {
    readonly environment?: Environment.Environment
    /** Reads it again. */
    readonly read?: Effect.Effect<Environment.Environment, Config.ConfigError>
    /** What every circuit begins with, instead of Closed. */
    readonly start?: Command
  }
): Effect.Effect<CircuitBreakerRegistry, never, Scope.Scope> {
  const acquire = Effect.withFiber((fiber) => {
    const state = State.make({ circuits, defaults, idleTime }, fiber.context, { environment, start })
    for (const name of circuits.keys()) getOrCreate(state, name, undefined)
    return Effect.succeed(state)
  })
  return Effect.map(Effect.acquireRelease(acquire, end), (state) => registryOf(state, read))
}

function end(state: State.State): Effect.Effect<void> {
  return Effect.suspend(() =>
    Effect.forEach(state.living.values(), (breaker) => release(state, breaker), { discard: true }).pipe(
      Effect.andThen(warnIfPerCall(state)),
      Effect.andThen(state.parent.events.end),
      Effect.andThen(state.parent.changes.end)
    )
  )
}

const registryOf = (
  state: State.State,
  read: Effect.Effect<Environment.Environment, Config.ConfigError> | undefined
): CircuitBreakerRegistry => {
  const { changes, events, history } = state.parent
  const get = (name: string): CircuitBreaker | undefined => {
    const breaker = find(state, name)
    return breaker && handleOf(breaker)
  }
  const registry: CircuitBreakerRegistry = {
    get: (name) => Effect.sync(() => Option.fromUndefinedOr(get(name))),
    // Without a policy there is nothing to conflict with.
    getOrCreate: ((name: string, input?: CircuitPolicy.CircuitPolicy | CircuitPolicy.Options) => {
      const policy = policyFrom("CircuitBreakerRegistry.getOrCreate: policy", input)
      return orConflict(() => getOrCreate(state, name, policy))
    }) as CircuitBreakerRegistry["getOrCreate"],
    register: (name, input) => {
      const policy = policyFrom("CircuitBreakerRegistry.register: policy", input)
      return orConflict(() => register(state, name, policy))
    },
    adopt: (breaker) => orConflict(() => adopt(state, breaker)),
    reconfigure: (name, input) => {
      if (input === undefined) {
        refuse("CircuitBreakerRegistry.reconfigure: policy", "a policy or its options", undefined)
      }
      const policy = policyFrom("CircuitBreakerRegistry.reconfigure: policy", input)
      return onCircuit(state, name, (breaker) => breaker.reconfigure(policy))
    },
    // One at a time, or what was read first could be put into effect last.
    reload: Semaphore.withPermit(Semaphore.makeUnsafe(1))(
      read === undefined ? Effect.succeed([]) : Effect.map(read, (environment) => reload(state, environment))
    ),
    remove: (name) => remove(state, name),
    names: collect(state, (breaker) => breaker.name),
    statuses: collect(state, (breaker) => breaker.snapshot()),
    openCircuits: Effect.map(standing(state), ({ open }) => open),
    anyOpen: Effect.map(standing(state), ({ open }) => open.length > 0),
    reset: (name) => onCircuit(state, name, (breaker) => breaker.reset),
    resetAll: Effect.withFiber((fiber) => {
      const note = fiber.getRef(CommandNote)
      return Effect.asVoid(collect(state, (breaker) => breaker.reset(note)))
    }),
    systemStatus: Effect.map(standing(state), (found) => summarise(state, found)),
    events: events.stream,
    changes: changes.streamAfter(() => history.all)
  }
  open(registry, {
    version: 1,
    find: (name) => find(state, name),
    get,
    getOrCreate: (name, policy) => getOrCreate(state, name, policy),
    idleTime: state.idleTime,
    newChanges: changes.stream,
    collect: (f) => collect(state, f),
    troubled: Effect.map(standing(state), ({ troubled }) => troubled),
    exceptions: (limit) => exceptions(state, limit),
    watch: (watcher) => State.watch(state, watcher)
  })
  return registry
}

/** Gives a living circuit a command. `false` if there is none of that name. */
const onCircuit = (
  state: State.State,
  name: string,
  command: (breaker: CircuitBreaker) => Effect.Effect<void>
): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const breaker = state.living.get(name)
    return breaker === undefined ? Effect.succeed(false) : Effect.as(command(handleOf(breaker)), true)
  })

const orConflict = (f: () => Breaker): Effect.Effect<CircuitBreaker, CircuitConflictError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(handleOf(f()))
    } catch (error) {
      return isCircuitConflictError(error) ? Effect.fail(error) : Effect.die(error)
    }
  })
