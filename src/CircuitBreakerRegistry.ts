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
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type * as Stream from "effect/Stream"
import type { CircuitBreaker } from "./CircuitBreaker.ts"
import type { CircuitChange, CircuitEvent, CircuitState } from "./CircuitEvent.ts"
import type { CircuitMetrics } from "./CircuitMetrics.ts"
import * as CircuitPolicy from "./CircuitPolicy.ts"
import * as Environment from "./Environment.ts"
import { Breaker } from "./internal/circuit/breaker.ts"
import { monotonicMillis } from "./internal/time/monotonic.ts"
import { checkDuration, checkOptions, isObject, refuse } from "./internal/check.ts"
import type { Circuit, Command } from "./internal/circuit/machine.ts"
import { differingSettings } from "./internal/differingSettings.ts"
import { EventHub, History } from "./internal/eventHub.ts"
import { ALARMING_FAILURE_RATE } from "./internal/words.ts"
import { CircuitConflictError } from "./ResilienceError.ts"

/**
 * The named circuits of a program.
 *
 * @category services
 * @since 0.1.0
 */
export interface CircuitBreakerRegistry {
  /** The circuit of that name, if it lives. */
  readonly get: (name: string) => Effect.Effect<Option.Option<CircuitBreaker>>

  /** `get` as a plain function. */
  readonly getUnsafe: (name: string) => CircuitBreaker | undefined

  /**
   * The circuit of that name, made now if need be. With a policy it fails if
   * one with other settings was named for it before; functions and schedules
   * are not compared, and the first ones stay. A circuit for which none was
   * named takes it over.
   */
  readonly getOrCreate: {
    (name: string): Effect.Effect<CircuitBreaker>
    (name: string, policy: CircuitPolicy.CircuitPolicy): Effect.Effect<CircuitBreaker, CircuitConflictError>
  }

  /** `getOrCreate` as a plain function; throws `CircuitConflictError`. */
  readonly getOrCreateUnsafe: (name: string, policy?: CircuitPolicy.CircuitPolicy | undefined) => CircuitBreaker

  /**
   * Makes a circuit that stays until it is removed, however idle. Fails if one
   * of that name lives under another policy.
   */
  readonly register: (
    name: string,
    policy?: CircuitPolicy.CircuitPolicy | undefined
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
  readonly reconfigure: (name: string, policy: CircuitPolicy.CircuitPolicy) => Effect.Effect<boolean>

  /**
   * Reads the environment again, and makes living circuits what it says now:
   * their policies, and whether they are on. Returns those that changed. If
   * anything is wrong with the variables it fails and changes nothing.
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

  /** The names of the circuits that reject calls: `Open` or `ForcedOpen`. */
  readonly openCircuits: Effect.Effect<ReadonlyArray<string>>

  /** Whether a circuit is `Open` or `ForcedOpen`. */
  readonly anyOpen: Effect.Effect<boolean>

  /** Resets one circuit. `false` if there is none of that name. */
  readonly reset: (name: string) => Effect.Effect<boolean>

  /** Resets all circuits. */
  readonly resetAll: Effect.Effect<void>

  /** How the circuits stand as a whole. */
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
 * above 10 % and is not `Disabled`, `healthy` otherwise.
 *
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
 * @category services
 * @since 0.1.0
 */
export const CircuitBreakerRegistry: Context.Service<CircuitBreakerRegistry, CircuitBreakerRegistry> = Context.Service<
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
 * Variables of one circuit, such as `CB_PAYMENT_API_FAILURE_THRESHOLD`, change
 * whatever policy it has in code, in `circuits` or where it is named. Variables
 * of all circuits, such as `CIRCUIT_BREAKER_FAILURE_THRESHOLD`, change
 * `defaults` and what a policy does not name. If anything is wrong with them, the Layer fails with one
 * `ConfigError` that has all problems.
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
 * Use in tests of what a program does when its dependencies are down.
 *
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
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<CircuitBreakerRegistry, never, Scope.Scope> =>
  makeParsed(parse(options), {})

interface Settings {
  readonly defaults: CircuitPolicy.CircuitPolicy | undefined
  readonly circuits: ReadonlyMap<string, CircuitPolicy.CircuitPolicy | undefined>
  /** In milliseconds. */
  readonly idleTime: number
}

function parse(options: Options): Settings {
  const field = (name: string) => `CircuitBreakerRegistry.layer: ${name}`
  checkOptions("CircuitBreakerRegistry.layer", options, ["defaults", "circuits", "idleTimeToLive"])
  const defaults = CircuitPolicy.from(field("defaults"), options.defaults)
  if (options.circuits !== undefined && !isObject(options.circuits)) {
    return refuse(field("circuits"), "an object of policies by name", options.circuits)
  }
  const circuits = new Map(
    Object.entries(options.circuits ?? {}).map(([name, policy]) => {
      checkName(field("circuits: the name of a circuit"), name)
      return [name, CircuitPolicy.from(field(`circuits.${name}`), policy)]
    })
  )
  const idleTime = Duration.toMillis(
    checkDuration(field("idleTimeToLive"), options.idleTimeToLive ?? "1 hour", { positive: true })
  )
  return { defaults, circuits, idleTime }
}

function checkName(field: string, name: string): void {
  if (typeof name !== "string" || name === "") refuse(field, "a string that is not empty", name)
}

function makeParsed(
  { circuits: declaredAtStart, defaults = CircuitPolicy.make(), idleTime }: Settings,
  { environment: loaded, read, start }: {
    readonly environment?: Environment.Environment
    /** Reads it again. */
    readonly read?: Effect.Effect<Environment.Environment, Config.ConfigError>
    /** What every circuit begins with, instead of Closed. */
    readonly start?: Command
  }
): Effect.Effect<CircuitBreakerRegistry, never, Scope.Scope> {
  return Effect.acquireRelease(
    Effect.withFiber((fiber) => Effect.succeed(makeUnsafe(fiber.context))),
    ({ end }) => end
  ).pipe(Effect.map(({ registry }) => registry))

  function makeUnsafe(context: Context.Context<never>) {
    const circuits = new Map<string, Breaker>()
    const registered = new Set<string>()
    const adopted = new WeakSet<Breaker>()
    /** By the environment. */
    const switchedOff = new WeakSet<Breaker>()
    const hub = new EventHub<CircuitEvent>()
    const changeHub = new EventHub<CircuitChange>()
    const history = new History<CircuitChange>(1_024)
    const parent = { events: hub, changes: changeHub, history }
    const clock = Context.get(context, Clock.Clock)
    const madeAt = monotonicMillis(clock)

    let environment = loaded
    const policyOf = (name: string, given?: CircuitPolicy.CircuitPolicy): CircuitPolicy.CircuitPolicy => {
      // It may have been spread and changed by hand.
      const policy = CircuitPolicy.from(policyField(name), given)
      return environment === undefined
        ? policy ?? declaredAtStart.get(name) ?? defaults
        : environment.circuitPolicy(name, policy)
    }

    const watchers = new Set<Watcher>()

    const keep = (breaker: Breaker): void => {
      circuits.set(breaker.name, breaker)
      for (const watcher of watchers) watcher.onKept(breaker)
    }

    const forget = (breaker: Breaker): void => {
      circuits.delete(breaker.name)
      for (const watcher of watchers) watcher.onForgotten(breaker)
    }

    // The policies that code has named, of living circuits: the first one, and the latest that was found to agree.
    const declared = new WeakMap<
      Breaker,
      { readonly first: CircuitPolicy.CircuitPolicy; latest: CircuitPolicy.CircuitPolicy }
    >()
    const declare = (breaker: Breaker, policy: CircuitPolicy.CircuitPolicy): void => {
      declared.set(breaker, { first: policy, latest: policy })
    }

    const create = (name: string, policy: CircuitPolicy.CircuitPolicy | undefined): Breaker => {
      checkName("CircuitBreakerRegistry: the name of a circuit", name)
      checkPolicy(name, policy)
      const configured = declaredAtStart.get(name)
      if (policy !== undefined && configured !== undefined) assertSamePolicy(name, configured, policy)
      sweepSome()
      const isOn = environment === undefined || environment.enabled(name)
      const breaker = new Breaker({
        name,
        policy: policyOf(name, policy),
        context,
        parent,
        trackUse: idleTime < Infinity && !declaredAtStart.has(name),
        start: isOn ? start : { _tag: "Disable" }
      })
      if (!isOn) switchedOff.add(breaker)
      if (declaredAtStart.has(name)) registered.add(name)
      const named = policy ?? configured
      if (named !== undefined) declare(breaker, named)
      keep(breaker)
      return breaker
    }

    /** Every call may name the policy, so two that are known to agree are not compared again. */
    const agree = (breaker: Breaker, policy: CircuitPolicy.CircuitPolicy): void => {
      const named = declared.get(breaker)
      if (policy === named?.first || policy === named?.latest) return
      checkPolicy(breaker.name, policy)
      if (named === undefined) {
        // The name was used before a policy was named for it.
        declare(breaker, policy)
        if (!breaker.reconfigured) breaker.follow(policyOf(breaker.name, policy))
      } else if (differingSettings(named.first, policy).length === 0) {
        named.latest = policy
      } else if (differingSettings(breaker.currentPolicy, policy).length > 0) {
        assertSamePolicy(breaker.name, named.first, policy)
      }
    }

    /** Whether it did: an operator's command stands. */
    const switchTo = (breaker: Breaker, isOn: boolean): boolean => {
      const { _tag: state } = breaker.settled()
      if (isOn) {
        switchedOff.delete(breaker)
        if (state !== "Disabled") return false
        breaker.move({ _tag: "ForceClose" }, "switched on by the environment")
        return true
      }
      if (state === "ForcedOpen" || state === "Disabled" || state === "MetricsOnly") return false
      switchedOff.add(breaker)
      breaker.move({ _tag: "Disable" }, "switched off by the environment")
      return true
    }

    /** Makes a circuit what the environment says now. */
    const update = (breaker: Breaker): Reloaded["changed"] => {
      if (environment === undefined) return []
      const changed: Array<Reloaded["changed"][number]> = []
      if (!breaker.reconfigured) {
        const policy = policyOf(breaker.name, declared.get(breaker)?.first)
        changed.push(...CircuitPolicy.difference(breaker.currentPolicy, policy))
        breaker.follow(policy)
      }
      const isOn = environment.enabled(breaker.name)
      if (isOn === switchedOff.has(breaker) && switchTo(breaker, isOn)) changed.push("enabled")
      return changed
    }

    const reload = read === undefined ? Effect.succeed([]) : Effect.map(read, (anew) => {
      environment = anew
      return Array.from(circuits.values(), (breaker) => ({ circuit: breaker.name, changed: update(breaker) }))
        .filter(({ changed }) => changed.length > 0)
    })

    const getOrCreateUnsafe = (name: string, policy?: CircuitPolicy.CircuitPolicy): Breaker => {
      const breaker = circuits.get(name)
      if (breaker === undefined) return create(name, policy)
      if (policy !== undefined) agree(breaker, policy)
      return breaker
    }

    const adopt = (breaker: CircuitBreaker): Breaker => {
      const field = "CircuitBreakerRegistry.adopt: circuit"
      if (!(breaker instanceof Breaker)) {
        const name = isObject(breaker) && "name" in breaker
          ? `one named ${JSON.stringify(breaker.name)}`
          : typeof breaker
        throw new RangeError(
          `${field} must be made by CircuitBreaker.make or a class of CircuitBreaker.Service, of this very copy of the ` +
            `package, got ${name}`
        )
      }
      const { name } = breaker
      if (circuits.get(name) !== breaker) {
        checkName(`${field}.name`, name)
        if (circuits.has(name)) throw new CircuitConflictError({ circuit: name, fields: [] })
        if (breaker.hasParent) throw new RangeError(`${field} ${JSON.stringify(name)} is in a registry already`)
        breaker.join(parent)
        adopted.add(breaker)
        declare(breaker, breaker.currentPolicy)
        update(breaker)
        if (start !== undefined) breaker.move(start)
        keep(breaker)
      }
      registered.add(name)
      return breaker
    }

    /** Ends what a circuit has of the registry. */
    const release = (breaker: Breaker): Effect.Effect<void> =>
      adopted.delete(breaker) ? Effect.sync(() => breaker.leaveParent()) : breaker.endEvents

    /** Whether an operator moved the circuit, so that a new one of its name would undo that. */
    const isUnderManualControl = (breaker: Breaker, circuit: Circuit): boolean => {
      if (switchedOff.has(breaker)) return circuit._tag !== "Disabled"
      return start === undefined
        ? circuit._tag === "Disabled" || circuit._tag === "MetricsOnly"
        : circuit.generation > 1
    }

    // A circuit that was not used for long is forgotten, though a handle that is
    // still held finds or restores the one of its name with the next call.
    const evictIfIdle = (breaker: Breaker, now: number): void => {
      if (registered.has(breaker.name) || breaker.inFlight > 0 || breaker.hasListeners) return
      const circuit = breaker.ref.ref.current
      if (isUnderManualControl(breaker, circuit) || breaker.reconfigured) return
      const hasOpened = circuit._tag === "Open" || (circuit._tag === "ForcedOpen" && start === undefined)
      const openUntil = hasOpened ? circuit.openUntil : -Infinity
      if (now - Math.max(breaker.lastUsedAt, openUntil) < idleTime) return
      forget(breaker)
      breaker.successor = () => {
        const current = circuits.get(breaker.name)
        if (current !== undefined) return current
        update(breaker)
        keep(breaker)
        breaker.successor = undefined
        return breaker
      }
    }

    let cursor = circuits.values()

    /** Looks at a few circuits with each new one, so that no call pays for the sweep of a million. */
    const sweepSome = () => {
      if (idleTime === Infinity) return
      const now = monotonicMillis(clock)
      for (let i = 0; i < 2; i++) {
        const next = cursor.next()
        if (next.done === true) {
          cursor = circuits.values()
          return
        }
        evictIfIdle(next.value, now)
      }
    }

    const living = (): ReadonlyArray<Breaker> => {
      if (idleTime < Infinity) {
        const now = monotonicMillis(clock)
        for (const breaker of circuits.values()) evictIfIdle(breaker, now)
        // An iterator keeps what was deleted since it was last used.
        cursor = circuits.values()
      }
      return Array.from(circuits.values())
    }

    const getUnsafe = (name: string): Breaker | undefined => {
      const breaker = circuits.get(name)
      if (breaker !== undefined && idleTime < Infinity) evictIfIdle(breaker, monotonicMillis(clock))
      return circuits.get(name)
    }

    const isOpen = (breaker: Breaker): boolean => {
      const state = breaker.settled()._tag
      return state === "Open" || state === "ForcedOpen"
    }

    const registry: CircuitBreakerRegistry = {
      get: (name) => Effect.sync(() => Option.fromUndefinedOr(getUnsafe(name))),
      getUnsafe,
      // Without a policy there is nothing to conflict with.
      getOrCreate:
        ((name: string, policy?: CircuitPolicy.CircuitPolicy) =>
          orConflict(() => getOrCreateUnsafe(name, policy))) as CircuitBreakerRegistry["getOrCreate"],
      getOrCreateUnsafe,
      register: (name, policy) =>
        orConflict(() => {
          const breaker = getOrCreateUnsafe(name, policy)
          registered.add(name)
          breaker.stopTrackingUse()
          return breaker
        }),
      adopt: (breaker) => orConflict(() => adopt(breaker)),
      reconfigure: (name, policy) =>
        Effect.suspend(() => {
          const breaker = circuits.get(name)
          return breaker === undefined ? Effect.succeed(false) : Effect.as(breaker.reconfigure(policy), true)
        }),
      // One at a time, or what was read first could be put into effect last.
      reload: Semaphore.withPermit(Semaphore.makeUnsafe(1))(reload),
      remove: (name) =>
        Effect.suspend(() => {
          const breaker = circuits.get(name)
          registered.delete(name)
          if (breaker === undefined) return Effect.succeed(false)
          forget(breaker)
          return Effect.as(release(breaker), true)
        }),
      names: Effect.sync(() => living().map((breaker) => breaker.name)),
      statuses: Effect.sync(() => living().map((breaker) => breaker.snapshot())),
      openCircuits: Effect.sync(() => living().filter(isOpen).map((breaker) => breaker.name)),
      anyOpen: Effect.sync(() => living().some(isOpen)),
      reset: (name) =>
        Effect.suspend(() => {
          const breaker = circuits.get(name)
          return breaker === undefined ? Effect.succeed(false) : Effect.as(breaker.reset, true)
        }),
      resetAll: Effect.suspend(() => Effect.forEach(living(), (breaker) => breaker.reset, { discard: true })),
      systemStatus: Effect.sync(() => summarise(living().map((breaker) => breaker.snapshot()))),
      events: hub.stream,
      changes: changeHub.streamAfter(() => history.all)
    }

    open(registry, {
      version: 1,
      coming: changeHub.stream,
      watch: (watcher) => {
        watchers.add(watcher)
        for (const breaker of circuits.values()) watcher.onKept(breaker)
        return () => {
          watchers.delete(watcher)
        }
      }
    })

    for (const name of declaredAtStart.keys()) create(name, undefined)

    /** The circuits of a Layer that is provided to each call see so few calls that they never open. */
    const warnIfPerCall = Effect.suspend(() => {
      // Tests build a registry each, as they should.
      if (circuits.size === 0 || start !== undefined || clock !== Context.get(Context.empty(), Clock.Clock)) {
        return Effect.void
      }
      const isShort = monotonicMillis(clock) - madeAt < SHORT_LIFE &&
        Array.from(circuits.values()).every((breaker) => breaker.snapshot().totalCalls <= FEW_CALLS)
      shortLivesInARow = isShort ? shortLivesInARow + 1 : 0
      return shortLivesInARow === MANY_LIVES
        ? Effect.logWarning(
          `A CircuitBreakerRegistry with ${
            shown(circuits.keys())
          } was built and released ${MANY_LIVES} times in a row: ` +
            "circuits of a Layer that is provided to each call never open. Provide it once, at the edge of the program"
        )
        : Effect.void
    })

    const end = Effect.suspend(() =>
      Effect.forEach(circuits.values(), release, { discard: true }).pipe(
        Effect.andThen(warnIfPerCall),
        Effect.andThen(hub.end),
        Effect.andThen(changeHub.end)
      )
    )
    return { registry, end }
  }
}

const SHORT_LIFE = 10_000
const FEW_CALLS = 10
const MANY_LIVES = 1_000
let shortLivesInARow = 0

const shown = (names: Iterable<string>): string => {
  const all = Array.from(names, (name) => JSON.stringify(name))
  return all.slice(0, 5).join(", ") + (all.length > 5 ? ` and ${all.length - 5} more circuits` : "")
}

const policyField = (circuit: string): string => `CircuitBreakerRegistry: the policy of ${JSON.stringify(circuit)}`

const checkPolicy = (circuit: string, policy: CircuitPolicy.CircuitPolicy | undefined) =>
  CircuitPolicy.check(policyField(circuit), policy)

const assertSamePolicy = (
  circuit: string,
  declared: CircuitPolicy.CircuitPolicy,
  policy: CircuitPolicy.CircuitPolicy
): void => {
  const fields = differingSettings(declared, policy)
  if (fields.length > 0) throw new CircuitConflictError({ circuit, fields })
}

const orConflict = (f: () => Breaker): Effect.Effect<CircuitBreaker, CircuitConflictError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(f())
    } catch (error) {
      return isConflict(error) ? Effect.fail(error) : Effect.die(error)
    }
  })

const isConflict = (error: unknown): error is CircuitConflictError => Predicate.isTagged(error, "CircuitConflictError")

/** What the rest of the package knows of a registry made here. */
interface Inside {
  /** Of this interface and of `Watcher`: with another one the registry is as one made by hand. */
  readonly version: 1
  readonly coming: Stream.Stream<CircuitChange>
  readonly watch: (watcher: Watcher) => () => void
}

/** On the registry itself, where another copy of this package finds it as well. */
const INSIDE = "~effect-resilience/registry"

const open = (registry: CircuitBreakerRegistry, inside: Inside): void => {
  // Not enumerable: a registry that somebody makes by spreading this one is another one.
  Object.defineProperty(registry, INSIDE, { value: inside })
}

const insideOf = (registry: CircuitBreakerRegistry): Inside | undefined => {
  const inside = (registry as { readonly [INSIDE]?: Inside })[INSIDE]
  return inside?.version === 1 ? inside : undefined
}

const warned = new WeakSet<CircuitBreakerRegistry>()

/**
 * Says once of a registry that `watchCircuits` sees nothing of it, and what
 * that leads to.
 *
 * @internal
 */
export const warnIfUnseen = (registry: CircuitBreakerRegistry, consequence: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (insideOf(registry) !== undefined || warned.has(registry)) return Effect.void
    warned.add(registry)
    return Effect.logWarning(
      `The CircuitBreakerRegistry was made by hand or by another version of effect-resilience: ${consequence}`
    )
  })

/**
 * The changes from now on.
 *
 * @internal
 */
export const comingChanges = (registry: CircuitBreakerRegistry): Stream.Stream<CircuitChange> =>
  insideOf(registry)?.coming ?? registry.changes

/**
 * Tells of the circuits that a registry keeps, now and later, and of those it
 * forgets. Returns how to stop.
 *
 * @internal
 */
export const watchCircuits = (registry: CircuitBreakerRegistry, watcher: Watcher): () => void =>
  insideOf(registry)?.watch(watcher) ?? (() => {})

/** @internal */
export interface Watcher {
  readonly onKept: (breaker: Breaker) => void
  readonly onForgotten: (breaker: Breaker) => void
}

const summarise = (circuits: ReadonlyArray<CircuitMetrics>): SystemStatus => {
  const circuitsByState = { Closed: 0, Open: 0, HalfOpen: 0, ForcedOpen: 0, Disabled: 0, MetricsOnly: 0 }
  const openCircuits: Array<string> = []
  let totalCalls = 0
  let rejectedCalls = 0
  let degraded = false
  for (const circuit of circuits) {
    circuitsByState[circuit.state]++
    totalCalls += circuit.totalCalls
    rejectedCalls += circuit.rejectedCalls
    if (circuit.state === "Open" || circuit.state === "ForcedOpen") openCircuits.push(circuit.name)
    const alarming = circuit.failureRate > ALARMING_FAILURE_RATE && circuit.state !== "Disabled"
    if (circuit.state === "HalfOpen" || alarming) degraded = true
  }
  return {
    status: openCircuits.length > 0 ? "unhealthy" : degraded ? "degraded" : "healthy",
    totalCircuits: circuits.length,
    circuitsByState,
    openCircuits,
    totalCalls,
    rejectedCalls
  }
}
