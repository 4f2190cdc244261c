/**
 * The named circuits of a program, provided by Layer.
 *
 * Whoever names a circuit gets the same one, `withCircuitBreaker("payment-api")`
 * included. A circuit that was only named is made with the policy the Layer
 * has for it, and forgotten once it has been idle for long, so that a name per
 * tenant cannot fill the memory.
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
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { CircuitBreaker } from "./CircuitBreaker.ts"
import type { CircuitChange, CircuitEvent, CircuitState } from "./CircuitEvent.ts"
import { ALARMING_FAILURE_RATE, type CircuitMetrics } from "./CircuitMetrics.ts"
import * as CircuitPolicy from "./CircuitPolicy.ts"
import * as Environment from "./Environment.ts"
import { Breaker } from "./internal/breaker.ts"
import { monotonicMillis } from "./internal/monotonic.ts"
import { checkDuration, isObject, refuse } from "./internal/check.ts"
import type { Circuit, Command } from "./internal/circuit.ts"
import { differingSettings } from "./internal/differingSettings.ts"
import { EventHub, History } from "./internal/eventHub.ts"
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
   * another one was named for it before. A circuit for which none was named
   * takes it over.
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
   * Gives a living circuit another policy; its state, backoff and listeners
   * stay. `false` if there is none of that name.
   */
  readonly reconfigure: (name: string, policy: CircuitPolicy.CircuitPolicy) => Effect.Effect<boolean>

  /**
   * Forgets a circuit and ends its events, which no longer go to the
   * registry's either. `false` if there was none. Whoever holds it can use it on.
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
 * - `circuits`: policies by name.
 * - `idleTimeToLive`: how long a circuit that was only named is kept without a
 *   call, one hour. A circuit is never forgotten while a call is in flight,
 *   while it is open, under manual control, reconfigured, or listened to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly defaults?: CircuitPolicy.CircuitPolicy | undefined
  readonly circuits?: Readonly<Record<string, CircuitPolicy.CircuitPolicy>> | undefined
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
 * `defaults`. If anything is wrong with them, the Layer fails with one
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
  idleMillis(options)
  return Layer.effect(
    CircuitBreakerRegistry,
    Effect.flatMap(Environment.load(options), (environment) => makeStarting(options, undefined, environment))
  )
}

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
  /* @__PURE__ */ makeStarting({}, { _tag: "Disable" })
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
  /* @__PURE__ */ makeStarting({}, { _tag: "ForceOpen", duration: Infinity })
)

/**
 * Makes a registry that lives as long as the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<CircuitBreakerRegistry, never, Scope.Scope> =>
  makeStarting(options, undefined)

function idleMillis(options: Options): number {
  return Duration.toMillis(
    checkDuration("CircuitBreakerRegistry.layer: idleTimeToLive", options.idleTimeToLive ?? "1 hour", {
      positive: true
    })
  )
}

function checkCircuits(circuits: Options["circuits"]): Map<string, CircuitPolicy.CircuitPolicy> {
  const field = "CircuitBreakerRegistry.layer: circuits"
  if (circuits !== undefined && !isObject(circuits)) return refuse(field, "an object of policies by name", circuits)
  const policies = new Map(Object.entries(circuits ?? {}))
  for (const [name, policy] of policies) CircuitPolicy.check(`${field}.${name}`, policy)
  return policies
}

/** `start` is what every circuit begins with, instead of Closed. */
function makeStarting(
  options: Options,
  start: Command | undefined,
  environment?: Environment.Environment
): Effect.Effect<CircuitBreakerRegistry, never, Scope.Scope> {
  const defaults = CircuitPolicy.check("CircuitBreakerRegistry.layer: defaults", options.defaults) ??
    CircuitPolicy.make()
  const policies = checkCircuits(options.circuits)
  const policyOf = environment?.circuitPolicy ??
    ((name: string, policy?: CircuitPolicy.CircuitPolicy) => policy ?? policies.get(name) ?? defaults)
  const idleTime = idleMillis(options)

  return Effect.acquireRelease(
    Effect.withFiber((fiber) => Effect.succeed(makeUnsafe(fiber.context))),
    ({ end }) => end
  ).pipe(Effect.map(({ registry }) => registry))

  function makeUnsafe(context: Context.Context<never>) {
    const circuits = new Map<string, Breaker>()
    const registered = new Set<string>()
    const hub = new EventHub<CircuitEvent>()
    const changeHub = new EventHub<CircuitChange>()
    const history = new History<CircuitChange>(1_024)
    const parent = { events: hub, changes: changeHub, history }
    const clock = Context.get(context, Clock.Clock)

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
      const configured = policies.get(name)
      checkPolicy(name, policy)
      if (policy !== undefined && configured !== undefined) assertSamePolicy(name, configured, policy)
      sweepSome()
      const breaker = new Breaker({
        name,
        policy: policyOf(name, policy),
        context,
        parent,
        trackUse: idleTime < Infinity,
        start
      })
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
        // Somebody has used the name before the one who knows its policy.
        declare(breaker, policy)
        if (!breaker.reconfigured) breaker.follow(policyOf(breaker.name, policy))
      } else if (differingSettings(named.first, policy).length === 0) {
        named.latest = policy
      } else if (differingSettings(breaker.currentPolicy, policy).length > 0) {
        assertSamePolicy(breaker.name, named.first, policy)
      }
    }

    const getOrCreateUnsafe = (name: string, policy?: CircuitPolicy.CircuitPolicy): Breaker => {
      const breaker = circuits.get(name)
      if (breaker === undefined) return create(name, policy)
      if (policy !== undefined) agree(breaker, policy)
      return breaker
    }

    // A circuit that nobody used for long is forgotten, though whoever still
    // holds it finds or restores the one of its name with the next call.
    const evictIfIdle = (breaker: Breaker, now: number): void => {
      if (registered.has(breaker.name) || breaker.inFlight > 0 || breaker.hasListeners) return
      const circuit = breaker.ref.ref.current
      if (isUnderManualControl(circuit, start) || breaker.reconfigured) return
      const hasOpened = circuit._tag === "Open" || (circuit._tag === "ForcedOpen" && start === undefined)
      const openUntil = hasOpened ? circuit.openUntil : -Infinity
      if (now - Math.max(breaker.lastUsedAt, openUntil) < idleTime) return
      forget(breaker)
      breaker.successor = () => {
        const current = circuits.get(breaker.name)
        if (current !== undefined) return current
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
      reconfigure: (name, policy) =>
        Effect.suspend(() => {
          const breaker = circuits.get(name)
          return breaker === undefined ? Effect.succeed(false) : Effect.as(breaker.reconfigure(policy), true)
        }),
      remove: (name) =>
        Effect.suspend(() => {
          const breaker = circuits.get(name)
          registered.delete(name)
          if (breaker === undefined) return Effect.succeed(false)
          forget(breaker)
          return Effect.as(breaker.endEvents, true)
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

    insides.set(registry, {
      coming: changeHub.stream,
      watch: (watcher) => {
        watchers.add(watcher)
        for (const breaker of circuits.values()) watcher.onKept(breaker)
        return () => {
          watchers.delete(watcher)
        }
      }
    })

    const end = Effect.suspend(() =>
      Effect.forEach(circuits.values(), (breaker) => breaker.endEvents, { discard: true }).pipe(
        Effect.andThen(hub.end),
        Effect.andThen(changeHub.end)
      )
    )
    return { registry, end }
  }
}

/** Whether an operator moved the circuit, so that a new one of its name would undo that. */
const isUnderManualControl = (circuit: Circuit, start: Command | undefined): boolean =>
  start === undefined
    ? circuit._tag === "Disabled" || circuit._tag === "MetricsOnly"
    : circuit.generation > 1

const checkPolicy = (circuit: string, policy: CircuitPolicy.CircuitPolicy | undefined) =>
  CircuitPolicy.check(`CircuitBreakerRegistry: the policy of ${JSON.stringify(circuit)}`, policy)

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
      return error instanceof CircuitConflictError ? Effect.fail(error) : Effect.die(error)
    }
  })

/** What the rest of the package knows of a registry made here. */
const insides = new WeakMap<CircuitBreakerRegistry, {
  readonly coming: Stream.Stream<CircuitChange>
  readonly watch: (watcher: Watcher) => () => void
}>()

/**
 * The changes from now on.
 *
 * @internal
 */
export const comingChanges = (registry: CircuitBreakerRegistry): Stream.Stream<CircuitChange> =>
  insides.get(registry)?.coming ?? registry.changes

/**
 * Tells of the circuits that a registry keeps, now and later, and of those it
 * forgets. Returns how to stop.
 *
 * @internal
 */
export const watchCircuits = (registry: CircuitBreakerRegistry, watcher: Watcher): () => void =>
  insides.get(registry)?.watch(watcher) ?? (() => {})

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
