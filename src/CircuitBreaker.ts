/**
 * A circuit breaker: it watches the calls to one dependency, stops them while
 * the dependency is down, and lets a few through to find out when it is back.
 *
 * A circuit is made on its own with `make`, comes as a service with `Service`,
 * or lives by name in a `CircuitBreakerRegistry`. `withCircuitBreaker` takes
 * any of the three.
 *
 * **Details**
 *
 * - `Closed`: calls run, and their outcomes are counted by the policy's rules.
 * - `Open`: calls fail with `CircuitOpenError`, without running.
 * - `HalfOpen`: once the open time has ended, a few calls run as probes.
 *   Enough successes close the circuit, a failure opens it again for longer.
 *
 * A circuit has no timer and no fiber: the next call, or the next look at it,
 * computes what time has changed. Time is monotonic, so setting the machine's
 * clock changes nothing.
 *
 * **Gotchas**
 *
 * - Put a timeout inside the breaker, where it counts as a failure. Outside,
 *   it interrupts the call, which says nothing about the dependency unless
 *   `interruptedAfter` says so.
 * - Put `Retry` outside, so that the breaker sees every attempt and a retry
 *   stops when the circuit opens.
 *
 * **Example** (Protecting a call)
 *
 * ```ts import.meta.vitest
 * import { Data, Effect } from "effect"
 * import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
 *
 * class PaymentError extends Data.TaggedError("PaymentError") {}
 *
 * const charge = Effect.fail(new PaymentError()).pipe(
 *   CircuitBreaker.withCircuitBreaker("payment-api")
 * )
 *
 * const program = Effect.gen(function*() {
 *   yield* Effect.flip(charge)
 *   yield* Effect.flip(charge)
 *   // Two failures in a row opened the circuit: the third call does not run.
 *   return yield* charge.pipe(
 *     Effect.catchTag("CircuitOpenError", (error) => Effect.succeed(error.message))
 *   )
 * }).pipe(
 *   Effect.provide(CircuitBreakerRegistry.layer({
 *     defaults: CircuitPolicy.make({ consecutiveFailures: 2, openDuration: "1 hour" })
 *   })),
 *   Effect.catchTag("PaymentError", () => Effect.succeed("failed"))
 * )
 *
 * const message = await Effect.runPromise(program)
 * message.startsWith('Circuit "payment-api" is open') // => true
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { CircuitBreakerRegistry } from "./CircuitBreakerRegistry.ts"
import type { CallEnded, CircuitChange, CircuitEvent, CircuitState, StateChanged } from "./CircuitEvent.ts"
import type { CircuitMetrics } from "./CircuitMetrics.ts"
import * as CircuitPolicy from "./CircuitPolicy.ts"
import { checkName, checkOptions, checkString, optionNames, refuse } from "./internal/check.ts"
import { Breaker } from "./internal/circuit/breaker.ts"
import { checkCallOptions } from "./internal/circuit/callOptions.ts"
import { executeInStep, Execution } from "./internal/circuit/execution.ts"
import { handleOf, isHandle } from "./internal/circuit/handle.ts"
import { homeOf } from "./internal/circuit/home.ts"
import { listenTo } from "./internal/circuit/listen.ts"
import { CommandNote } from "./internal/circuit/note.ts"
import { from as policyFrom } from "./internal/circuit/policy.ts"
import { throughPermit } from "./internal/circuit/stream.ts"
import * as internal from "./internal/circuit/target.ts"
import { OneStep } from "./internal/oneStep.ts"
import { loadCircuit } from "./internal/environment/load.ts"
import { insideOf } from "./internal/registry/inside.ts"
import { type Definition, getService, guard, remember } from "./internal/serviceNames.ts"
import { findTarget, isDataFirst } from "./internal/target.ts"
import type * as Outcome from "./Outcome.ts"
import type { CircuitConflictError, CircuitOpenError } from "./ResilienceError.ts"

/**
 * Identifies a `CircuitBreaker` at runtime.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = internal.TypeId

/**
 * Identifies a `CircuitBreaker` in types.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-resilience/CircuitBreaker"

/**
 * One circuit, for calls with errors of the type `E` that its policy
 * understands; by default for all calls.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface CircuitBreaker<in E = unknown> {
  readonly [TypeId]: TypeId

  /** Names the circuit in errors, events and metrics. */
  readonly name: string

  /** The policy it follows now. */
  readonly policy: Effect.Effect<CircuitPolicy.CircuitPolicy<E>>

  /**
   * Runs an effect through the circuit, or fails with `CircuitOpenError`
   * without running it.
   */
  readonly execute: <A, E1 extends E, R>(
    self: Effect.Effect<A, E1, R>,
    options?: CallOptions<A, E1>
  ) => Effect.Effect<A, E1 | CircuitOpenError, R>

  /**
   * Asks to run something that is not one effect, and holds the permission
   * until the scope closes. Its holder reports how it went.
   *
   * If the scope closes before that, a failed scope counts as a failed call.
   * One that ends well is a `Success` if something was delivered, and if not
   * what `countUnreported` of the policy says, `Ignored` by default.
   */
  readonly permit: Effect.Effect<Permit, CircuitOpenError, Scope.Scope>

  /** The state it is in now. Reading it changes nothing. */
  readonly state: Effect.Effect<CircuitState>

  /** Whether a call may be let through now. In a recovery ramp that is up to chance. */
  readonly isAvailable: Effect.Effect<boolean>

  /** What it has counted. */
  readonly metrics: Effect.Effect<CircuitMetrics>

  /**
   * What happens in it, from now on. A subscriber that falls 1,024 events
   * behind loses the oldest.
   */
  readonly events: Stream.Stream<CircuitEvent>

  /**
   * Its changes of state and policy: the latest that there were, the oldest
   * first, then those to come. A circuit of a registry remembers what of the
   * registry's latest 1,024 changes was its own, another one its latest 64.
   * Unlike a subscriber to `events`, one to this costs calls nothing.
   */
  readonly changes: Stream.Stream<CircuitChange>

  /**
   * Runs an effect after each event of one kind, in order, until the scope
   * closes. The listener never delays a call, and if it fails that is logged.
   */
  readonly on: <Tag extends CircuitEvent["_tag"], E, R>(
    tag: Tag,
    listener: (event: Extract<CircuitEvent, { readonly _tag: Tag }>) => Effect.Effect<void, E, R>
  ) => Effect.Effect<void, never, R | Scope.Scope>

  /**
   * Rejects all calls until it is released by another command or until
   * `duration` ends; then the next call is a probe.
   */
  readonly forceOpen: (options?: { readonly duration?: Duration.Input | undefined }) => Effect.Effect<void>

  /** Closes the circuit, with empty counts. It may open again as usual. */
  readonly forceClose: Effect.Effect<void>

  /** Lets all calls through and counts nothing, until another command. */
  readonly disable: Effect.Effect<void>

  /** Lets all calls through, counts them and never opens, until another command. */
  readonly metricsOnly: Effect.Effect<void>

  /** Makes the circuit as new: closed, with no counts and no backoff. Its listeners stay. */
  readonly reset: Effect.Effect<void>

  /** Follows another policy from now on. State, backoff and listeners stay, and the window if it has the same shape. */
  readonly reconfigure: (policy: CircuitPolicy.CircuitPolicy | CircuitPolicy.Options) => Effect.Effect<void>
}

/**
 * Permission to run work outside `execute`. Its holder reports the outcome.
 *
 * **Details**
 *
 * `success`, `failure`, `ignore`, `record` and `conclude` end the call, and
 * only the first of them counts. `delivered` and `pull` do not end it: they are
 * for answers that arrive in parts, such as the body of an HTTP response.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Permit {
  readonly success: Effect.Effect<void>
  /** `error` is what failed, for `lastFailure`. */
  readonly failure: (options?: {
    readonly retryAfter?: Duration.Input | undefined
    readonly error?: unknown
  }) => Effect.Effect<void>
  readonly ignore: Effect.Effect<void>
  readonly record: (outcome: Outcome.Outcome) => Effect.Effect<void>

  /** Ends the call as `execute` does at that exit. */
  readonly conclude: <A, E>(exit: Exit.Exit<A, E>, options?: CallOptions<A, E>) => Effect.Effect<void>

  /**
   * Reports that the answer has begun to arrive. For a probe that is a
   * `Success`, and frees its slot: the circuit need not wait for the end. A
   * failure reported afterwards takes the place of that success if the circuit
   * is still in the period that admitted the call, and is late if not. In any
   * other state this changes nothing before the end.
   */
  readonly delivered: Effect.Effect<void>

  /**
   * Runs one read of an answer that arrives in parts. A read that succeeds is
   * `delivered`, and what passes between two reads does not count as time of
   * the call: a slow reader does not make the dependency slow.
   */
  readonly pull: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/**
 * How one call is judged, where it differs from the policy.
 *
 * **Details**
 *
 * - `classify`: decides the outcome of this call, or returns `undefined` to
 *   leave it to the policy's own classifier.
 * - `interruptedAfter`: if the call is interrupted after it ran at least that
 *   long, it counts as failed, for callers that give up before a timeout does.
 *   The default is that of the policy; without one, interrupted calls are
 *   `Ignored`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface CallOptions<in A, in E> {
  readonly classify?: CallClassifier<A, E> | undefined
  readonly interruptedAfter?: Duration.Input | undefined
}

/**
 * Decides the outcome of one call, or leaves it to the circuit's own
 * classifier by returning `undefined`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type CallClassifier<in A = unknown, in E = unknown> = (exit: Exit.Exit<A, E>) => Outcome.Outcome | undefined

/**
 * Whether a value is a circuit.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isCircuitBreaker: (u: unknown) => u is CircuitBreaker = internal.isCircuitBreaker

/**
 * Creates a circuit that is in no registry.
 *
 * **When to use**
 *
 * Use when one place makes all calls to the dependency. To share a circuit by
 * name, see `CircuitBreakerRegistry`; to provide it by Layer, see `Service`.
 *
 * **Details**
 *
 * `policy` is a policy or the options of one; without, it is
 * `CircuitPolicy.make()`. The circuit takes its
 * clock and randomness from the fiber that makes it.
 *
 * **Example** (Making a circuit)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker, CircuitPolicy } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({ name: "payment-api", policy: CircuitPolicy.fastFail })
 *   return yield* breaker.execute(Effect.succeed("charged"))
 * })
 *
 * await Effect.runPromise(program) // => "charged"
 * ```
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export const make = <E = unknown>(options: {
  readonly name: string
  readonly policy?: CircuitPolicy.CircuitPolicy<E> | CircuitPolicy.Options<E> | undefined
}): Effect.Effect<CircuitBreaker<E>> => {
  checkOptions("CircuitBreaker.make", options, OPTIONS)
  const name = checkName("CircuitBreaker.make: name", options.name)
  const policy = anyErrors(policyFrom("CircuitBreaker.make: policy", options.policy)) ?? CircuitPolicy.make()
  return Effect.withFiber((fiber) =>
    Effect.succeed(handleOf(new Breaker({ name, policy, home: homeOf(fiber.context) })))
  )
}

const OPTIONS = /* @__PURE__ */ optionNames<Parameters<typeof make>[0]>({ name: true, policy: true })

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/** A circuit asks its policy about the errors of its calls, which its type keeps to those that the policy understands. */
const anyErrors = <E>(policy: CircuitPolicy.CircuitPolicy<E> | undefined): CircuitPolicy.CircuitPolicy | undefined =>
  policy as CircuitPolicy.CircuitPolicy | undefined

/**
 * A circuit for calls of any error, the class of a service that is one, or the
 * name of a circuit in the registry.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type Target = string | CircuitBreaker | Context.Key<unknown, CircuitBreaker>

/**
 * A target, also one for calls of certain errors.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type AnyTarget = string | CircuitBreaker<never> | Context.Key<unknown, CircuitBreaker<never>>

/**
 * The errors that calls through a target may fail with.
 *
 * @stability stable
 * @category utility types
 * @since 0.1.0
 */
export type TargetErrors<T> = T extends CircuitBreaker<infer E> ? E
  : T extends Context.Key<infer _Identifier, CircuitBreaker<infer E>> ? E
  : unknown

/**
 * The services that a call through a target requires: the registry for a name,
 * the service for its class, none for a circuit.
 *
 * @stability stable
 * @category utility types
 * @since 0.1.0
 */
export type TargetServices<T> = T extends string ? CircuitBreakerRegistry
  : T extends Context.Key<infer Identifier, CircuitBreaker<never>> ? Identifier
  : never

/**
 * How to run a call through a circuit.
 *
 * **Details**
 *
 * - `classify`, `interruptedAfter`: as in `CallOptions`.
 * - `policy`: a policy, or its options, for a circuit that is named here first. A name that lives under
 *   another policy is a programmer error and dies with
 *   `CircuitConflictError`. Functions and schedules are not compared, so a
 *   policy may be written where the call is.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Options<in A, in E> extends CallOptions<A, E> {
  readonly policy?: CircuitPolicy.CircuitPolicy<E> | CircuitPolicy.Options<E> | undefined
}

/**
 * Runs an effect through a circuit, or fails with `CircuitOpenError` without
 * running it.
 *
 * **Details**
 *
 * A name is looked up in the `CircuitBreakerRegistry`, which makes the circuit
 * when it is first used.
 *
 * **Example** (Running a call through a circuit by name)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker, CircuitBreakerRegistry } from "effect-resilience"
 *
 * const charge = Effect.succeed("charged").pipe(
 *   CircuitBreaker.withCircuitBreaker("payment-api")
 * )
 *
 * await Effect.runPromise(charge.pipe(Effect.provide(CircuitBreakerRegistry.layer()))) // => "charged"
 * ```
 *
 * @see {@link wrap} for protecting a function
 * @see {@link withCircuitBreakerStream} for streams
 *
 * @stability stable
 * @category combinators
 * @since 0.1.0
 */
export const withCircuitBreaker: {
  <T extends AnyTarget, A2 = unknown, E2 = unknown>(
    target: T,
    options?: Options<A2, E2>
  ): <A extends A2, E extends E2 & TargetErrors<T>, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | CircuitOpenError, R | TargetServices<T>>
  <A, E extends TargetErrors<T>, R, T extends AnyTarget>(
    self: Effect.Effect<A, E, R>,
    target: T,
    options?: Options<A, E>
  ): Effect.Effect<A, E | CircuitOpenError, R | TargetServices<T>>
} = ((...args: [self: AnyCall, target: Target, options?: AnyOptions] | [target: Target, options?: AnyOptions]) => {
  // Not `dual`, which costs a call as much as the circuit does.
  const [first, second, third] = args
  if (internal.isTarget(second)) {
    return protect(first as AnyCall, second, parse("CircuitBreaker.withCircuitBreaker", third))
  }
  // A list of its own: `args` is not allocated as long as it is passed to nothing.
  const isMissing = args.length > 1 && isDataFirst(internal.isTarget, [first, second])
  const target = checkTarget("CircuitBreaker.withCircuitBreaker", isMissing ? second : first)
  const options = parse("CircuitBreaker.withCircuitBreaker", second as AnyOptions | undefined)
  return (self: AnyCall) => protect(self, target, options)
}) as never

/**
 * Protects a function: every effect it returns runs through the circuit.
 *
 * **Example** (Protecting a function)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker, CircuitBreakerRegistry } from "effect-resilience"
 *
 * const getUser = CircuitBreaker.wrap("user-service")(
 *   (id: string) => Effect.succeed({ id, name: "Ada" })
 * )
 *
 * const program = Effect.map(getUser("user-123"), (user) => user.name)
 *
 * await Effect.runPromise(program.pipe(Effect.provide(CircuitBreakerRegistry.layer()))) // => "Ada"
 * ```
 *
 * @stability stable
 * @category combinators
 * @since 0.1.0
 */
export const wrap = <T extends AnyTarget, A2 = unknown, E2 = unknown>(
  target: T,
  options?: Options<A2, E2>
) => {
  const located: Target = checkTarget("CircuitBreaker.wrap", target)
  const parsed = parse("CircuitBreaker.wrap", options)
  return <Args extends ReadonlyArray<unknown>, A extends A2, E extends E2 & TargetErrors<T>, R>(
    f: (...args: Args) => Effect.Effect<A, E, R>
  ) => {
    if (typeof f !== "function") refuse("CircuitBreaker.wrap", "given a function that returns an effect", f)
    return (...args: Args): Effect.Effect<A, E | CircuitOpenError, R | TargetServices<T>> =>
      protect(Effect.suspend(() => f(...args)), located, parsed as AnyParsed | undefined) as never
  }
}

/**
 * Options of `withCircuitBreakerStream`: those of a call. `classify` is asked
 * about a stream that fails.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface StreamOptions<in E> extends Options<never, E> {}

/**
 * Runs a stream through a circuit: it is admitted when the stream starts and
 * judged when the stream ends.
 *
 * **Details**
 *
 * - A stream that ends is a `Success`, one that fails is judged like a failed
 *   call, one that is interrupted is `Ignored`. A consumer that stops early has
 *   seen the dependency work if it received anything, which is a `Success`, and
 *   is `Ignored` if not.
 * - A probe succeeds with its first element, so that a stream without end
 *   closes its circuit. If it fails later, that counts if the circuit is still
 *   in the half-open period that admitted it.
 * - Only waiting for the stream counts as its time: its consumer may be slow.
 *   With `interruptedAfter`, a stream that is interrupted while its consumer has
 *   waited that long for the next element counts as failed.
 *
 * **Example** (Protecting a stream)
 *
 * ```ts import.meta.vitest
 * import { Effect, Stream } from "effect"
 * import { CircuitBreaker, CircuitBreakerRegistry } from "effect-resilience"
 *
 * const lines = Stream.make("a", "b").pipe(
 *   CircuitBreaker.withCircuitBreakerStream("log-service")
 * )
 *
 * await Effect.runPromise(Stream.runCollect(lines).pipe(
 *   Effect.provide(CircuitBreakerRegistry.layer())
 * )) // => ["a", "b"]
 * ```
 *
 * @stability stable
 * @category combinators
 * @since 0.1.0
 */
export const withCircuitBreakerStream: {
  <T extends AnyTarget, E2 = unknown>(
    target: T,
    options?: StreamOptions<E2>
  ): <A, E extends E2 & TargetErrors<T>, R>(
    self: Stream.Stream<A, E, R>
  ) => Stream.Stream<A, E | CircuitOpenError, R | TargetServices<T>>
  <A, E extends TargetErrors<T>, R, T extends AnyTarget>(
    self: Stream.Stream<A, E, R>,
    target: T,
    options?: StreamOptions<E>
  ): Stream.Stream<A, E | CircuitOpenError, R | TargetServices<T>>
} = /* @__PURE__ */ dual(
  // The class of a service is an effect, and no stream.
  (args) => args.length > 1 && (Stream.isStream(args[0]) || internal.isTarget(args[1])),
  <A, E, R, T extends AnyTarget>(
    self: Stream.Stream<A, E, R>,
    target: T,
    input?: StreamOptions<E>
  ): Stream.Stream<A, E | CircuitOpenError, R | TargetServices<T>> => {
    checkTarget("CircuitBreaker.withCircuitBreakerStream", target)
    const options = parse("CircuitBreaker.withCircuitBreakerStream", input)
    const permit = Effect.flatMap(locate(target as Target, options?.policy), (breaker) => breaker.permit)
    return throughPermit(self, permit, options)
  }
)

type AnyCall = Effect.Effect<unknown, unknown, unknown>
type AnyOptions = Options<unknown, unknown>

/** Options whose policy is made. */
interface Parsed<in A, in E> extends CallOptions<A, E> {
  readonly policy?: CircuitPolicy.CircuitPolicy | undefined
}

type AnyParsed = Parsed<unknown, unknown>

const parse = <A, E>(caller: string, options: Options<A, E> | undefined): Parsed<A, E> | undefined => {
  checkCallOptions(caller, options, true)
  if (options?.policy === undefined) return options as Parsed<A, E> | undefined
  const policy = anyErrors(policyFrom(`${caller}: policy`, options.policy))
  return policy === options.policy ? options as Parsed<A, E> : { ...options, policy }
}

const checkTarget = <T>(caller: string, target: T): T & Target => internal.checkTarget(`${caller}: target`, target)

const protect = (self: AnyCall, target: Target, options: AnyParsed | undefined): AnyCall =>
  isCircuitBreaker(target)
    ? executeThrough(target, self, options)
    : new LocatedExecution(self, target, options)

/** A circuit may be of another kind, to which the policy of a name says nothing. */
const executeThrough = (breaker: CircuitBreaker, self: AnyCall, options: AnyParsed | undefined): AnyCall =>
  isHandle(breaker)
    ? new Execution(breaker, self, options)
    : breaker.execute(
      self,
      options === undefined || !("policy" in options)
        ? options
        : { classify: options.classify, interruptedAfter: options.interruptedAfter }
    )

/** A call through the circuit that goes by a name, or is a service, where it runs. */
class LocatedExecution extends OneStep<unknown, unknown, unknown> {
  private readonly self: AnyCall
  private readonly target: Exclude<Target, CircuitBreaker>
  private readonly options: AnyParsed | undefined

  constructor(
    self: AnyCall,
    target: Exclude<Target, CircuitBreaker>,
    options: AnyParsed | undefined
  ) {
    super()
    this.self = self
    this.target = target
    this.options = options
  }

  step(fiber: Fiber.Fiber<unknown, unknown>): AnyCall {
    const { options, self, target } = this
    if (typeof target === "string") {
      const registry = Context.getUnsafe(fiber.context, CircuitBreakerRegistry)
      const inside = insideOf(registry)
      return inside === undefined
        ? Effect.flatMap(named(registry, target, options?.policy), (breaker) => executeThrough(breaker, self, options))
        : executeInStep(fiber, inside.getOrCreate(target, options?.policy), self, options)
    }
    const breaker = getService(fiber.context, target)
    return isHandle(breaker)
      ? executeInStep(fiber, breaker.live, self, options)
      : executeThrough(breaker, self, options)
  }
}

/** The circuit of a name. One that lives under another policy is a mistake of the program. */
const named = (
  registry: CircuitBreakerRegistry,
  name: string,
  policy: CircuitPolicy.CircuitPolicy | undefined
): Effect.Effect<CircuitBreaker> =>
  policy === undefined ? registry.getOrCreate(name) : Effect.orDie(registry.getOrCreate(name, policy))

const locate = (target: Target, policy: CircuitPolicy.CircuitPolicy | undefined): Effect.Effect<CircuitBreaker> =>
  Effect.withFiber((fiber) =>
    typeof target === "string"
      ? named(Context.getUnsafe(fiber.context, CircuitBreakerRegistry), target, policy)
      : Effect.succeed(findTarget(internal.CIRCUIT, fiber.context, target))
  )

// -----------------------------------------------------------------------------
// listeners
// -----------------------------------------------------------------------------

/**
 * Adds a listener to a circuit, until the scope closes.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface AddListener<out Event> {
  <E, R>(
    listener: (event: Event) => Effect.Effect<void, E, R>
  ): (self: CircuitBreaker<never>) => Effect.Effect<void, never, R | Scope.Scope>
  <E, R>(
    self: CircuitBreaker<never>,
    listener: (event: Event) => Effect.Effect<void, E, R>
  ): Effect.Effect<void, never, R | Scope.Scope>
}

/**
 * Runs an effect each time a circuit opens, until the scope closes. The
 * listener never delays a call, and if it fails that is logged.
 *
 * **Example** (Raising an alarm)
 *
 * ```ts import.meta.vitest
 * import { Deferred, Effect } from "effect"
 * import { CircuitBreaker } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({ name: "payment-api", policy: { consecutiveFailures: 1 } })
 *   const alarm = yield* Deferred.make<string>()
 *   yield* CircuitBreaker.onTrip(breaker, (event) => Deferred.succeed(alarm, event.reason))
 *   yield* Effect.ignore(breaker.execute(Effect.fail("down")))
 *   return yield* Deferred.await(alarm)
 * })
 *
 * await Effect.runPromise(Effect.scoped(program)) // => "ConsecutiveFailures"
 * ```
 *
 * @stability stable
 * @category listeners
 * @since 0.1.0
 */
export const onTrip: AddListener<StateChanged> = /* @__PURE__ */ listenTo(
  "CircuitBreaker.onTrip",
  "StateChanged",
  (event) => event.to === "Open"
)

/**
 * Runs an effect each time a circuit closes, as `onTrip` does.
 *
 * @stability stable
 * @category listeners
 * @since 0.1.0
 */
export const onRecovery: AddListener<StateChanged> = /* @__PURE__ */ listenTo(
  "CircuitBreaker.onRecovery",
  "StateChanged",
  (event) => event.to === "Closed"
)

/**
 * Runs an effect after each call that counts as failed, as `onTrip` does.
 * `lastFailure` of the event says what failed.
 *
 * @stability stable
 * @category listeners
 * @since 0.1.0
 */
export const onFailure: AddListener<CallEnded> = /* @__PURE__ */ listenTo(
  "CircuitBreaker.onFailure",
  "CallEnded",
  (event) => event.outcome === "Failure"
)

// -----------------------------------------------------------------------------
// commands
// -----------------------------------------------------------------------------

/**
 * Gives the commands inside an effect an operator's note: it stands in the
 * `note` of the events that tell of them, and so in logs.
 *
 * **Details**
 *
 * It applies to `forceOpen`, `forceClose`, `disable`, `metricsOnly` and
 * `reset` of every circuit, and to `reset` and `resetAll` of a registry. Of two
 * notes the inner one counts.
 *
 * **Example** (Saying why)
 *
 * ```ts import.meta.vitest
 * import { Effect, Stream } from "effect"
 * import { CircuitBreaker } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({ name: "payment-api" })
 *   yield* breaker.forceOpen({ duration: "30 minutes" }).pipe(CircuitBreaker.withNote("database migration"))
 *   const [change] = yield* Stream.runCollect(Stream.take(breaker.changes, 1))
 *   return change?._tag === "StateChanged" ? change.note : undefined
 * })
 *
 * await Effect.runPromise(program) // => "database migration"
 * ```
 *
 * @stability stable
 * @category combinators
 * @since 0.1.0
 */
export const withNote: {
  (note: string): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, note: string): Effect.Effect<A, E, R>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, note: string): Effect.Effect<A, E, R> =>
    Effect.provideService(self, CommandNote, checkString("CircuitBreaker.withNote: note", note))
)

// -----------------------------------------------------------------------------
// services
// -----------------------------------------------------------------------------

/**
 * Class of a service that is one circuit, see `Service`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface ServiceClass<Self, Name extends string, in E = unknown>
  extends Context.ServiceClass<Self, `effect-resilience/CircuitBreaker/${Name}`, CircuitBreaker<E>>
{
  /** A circuit of its own. */
  readonly layer: Layer.Layer<Self>
  /**
   * A circuit of its own, whose policy the environment changes and which it
   * can switch off: the variables of that name over the class's policy, see
   * `Environment`.
   */
  readonly layerConfig: Layer.Layer<Self, Config.ConfigError>
  /** The circuit of that name in the registry, registered with the class's policy, or the registry's if the class has none. */
  readonly layerRegistered: Layer.Layer<Self, CircuitConflictError, CircuitBreakerRegistry>
  /** A circuit that lets every call through and counts nothing. */
  readonly layerDisabled: Layer.Layer<Self>
  /** A circuit that rejects every call. */
  readonly layerForcedOpen: Layer.Layer<Self>
}

/**
 * Makes the class of a service that is one circuit.
 *
 * **When to use**
 *
 * Use when a program should name the circuit it needs in its type, and get
 * another one in production, development and tests by another Layer.
 *
 * **Gotchas**
 *
 * The name is the key of the service. Where two classes of one name and
 * different policies are provided together, the one that meets the circuit of
 * the other dies with a `RangeError`.
 *
 * **Example** (Providing a circuit by Layer)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker, CircuitPolicy } from "effect-resilience"
 *
 * class PaymentApi extends CircuitBreaker.Service<PaymentApi>()("payment-api", {
 *   policy: CircuitPolicy.production
 * }) {}
 *
 * const charge = Effect.succeed("charged").pipe(CircuitBreaker.withCircuitBreaker(PaymentApi))
 *
 * await Effect.runPromise(charge.pipe(Effect.provide(PaymentApi.layer))) // => "charged"
 *
 * const rejected = charge.pipe(Effect.flip, Effect.provide(PaymentApi.layerForcedOpen))
 * const error = await Effect.runPromise(rejected)
 * error.circuit // => "payment-api"
 * ```
 *
 * @stability stable
 * @category services
 * @since 0.1.0
 */
export const Service = <Self>() =>
<const Name extends string, E = unknown>(
  name: Name,
  options: { readonly policy?: CircuitPolicy.CircuitPolicy<E> | CircuitPolicy.Options<E> | undefined } = {}
): ServiceClass<Self, Name, E> => {
  checkName("CircuitBreaker.Service: name", name)
  checkOptions("CircuitBreaker.Service", options, SERVICE_OPTIONS)
  const given = anyErrors(policyFrom("CircuitBreaker.Service: policy", options.policy))
  const policy = given ?? CircuitPolicy.make()
  const definition: Definition = { maker: "CircuitBreaker.Service", name, settings: policy }
  const tag = guard(
    Context.Service<Self, CircuitBreaker<E>>()(`effect-resilience/CircuitBreaker/${name}` as const),
    definition
  )
  const makeOwn = (policy: CircuitPolicy.CircuitPolicy) =>
    Effect.map(make({ name, policy }), (breaker) => remember(breaker, definition))
  const own = makeOwn(policy)
  return Object.assign(tag, {
    layer: Layer.effect(tag, own),
    layerConfig: Layer.effect(
      tag,
      Effect.flatMap(
        loadCircuit(name, given),
        ({ circuitPolicy, enabled }) =>
          Effect.tap(makeOwn(circuitPolicy(name)), (breaker) => enabled(name) ? Effect.void : breaker.disable)
      )
    ),
    layerRegistered: Layer.effect(
      tag,
      Effect.flatMap(CircuitBreakerRegistry, (registry) => registry.register(name, given))
    ),
    layerDisabled: Layer.effect(tag, Effect.tap(own, (breaker) => breaker.disable)),
    layerForcedOpen: Layer.effect(tag, Effect.tap(own, (breaker) => breaker.forceOpen()))
  })
}

const SERVICE_OPTIONS = /* @__PURE__ */ optionNames<NonNullable<Parameters<ReturnType<typeof Service>>[1]>>({
  policy: true
})
