/**
 * Tiered fallback: several ways to do the same thing, tried in order until one
 * serves, such as an MCP server, then the vendor's SDK, then plain REST.
 *
 * Each tier has its own circuit, so a tier that is down is skipped at once,
 * and may have its own timeout and retry. `make` builds a tiered call from
 * effects; `layer` builds a whole service from one Layer per tier.
 *
 * **Example** (Falling back from tier to tier)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreakerRegistry, Tiers } from "effect-resilience"
 *
 * const getAccount = Tiers.make("get_account", [
 *   Tiers.tier("tier1_mcp", Effect.fail("connection refused")),
 *   Tiers.tier("tier2_sdk", Effect.succeed({ id: "acc-1" }), { timeout: "2 seconds" })
 * ])
 *
 * const program = Tiers.collect(getAccount).pipe(
 *   Effect.provide(CircuitBreakerRegistry.layer())
 * )
 *
 * const [_exit, [report]] = await Effect.runPromise(program)
 * report?.servedBy // => "tier2_sdk"
 * report?.attempts.map((attempt) => attempt.tier) // => ["tier1_mcp"]
 * ```
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as CircuitBreaker from "./CircuitBreaker.ts"
import { CircuitBreakerRegistry } from "./CircuitBreakerRegistry.ts"
import * as CircuitPolicy from "./CircuitPolicy.ts"
import { isKnown } from "./internal/circuit/handle.ts"
import { monotonicMillis } from "./internal/time/monotonic.ts"
import { Answer, answering, classifyAnswer } from "./internal/answer.ts"
import { checkDuration, checkFunction, checkOptions, isObject, refuse } from "./internal/check.ts"
import { limitTime } from "./internal/time/limitTime.ts"
import { inOperation, type Recorder, recorderOf } from "./internal/telemetry/recorder.ts"
import { allTiersFailedError, callTimeoutError } from "./internal/error/rejection.ts"
import { tieredSpan, tierSpan } from "./internal/telemetry/spans.ts"
import { flowsOf, type TierFlows } from "./internal/tiers/flow.ts"
import { TierInstance } from "./internal/tiers/instance.ts"
import {
  type AllTiersFailedError,
  isCircuitConflictError,
  isCircuitOpenError,
  type TierAttempt
} from "./ResilienceError.ts"
import * as Retry from "./Retry.ts"
import * as Timeout from "./Timeout.ts"

/**
 * One way to do something.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tier<out A, out E, out R> {
  readonly name: string
  readonly call: Effect.Effect<A, E, R>
  readonly options: TierOptions<CircuitBreaker.Target>
}

/**
 * Options of a tier.
 *
 * **Details**
 *
 * - `circuit`: the tier's circuit, by name, value or service class. By default
 *   the circuit in the registry that goes by the tier's name.
 * - `policy`: a policy, or its options, for a circuit that is named here first.
 * - `timeout`: of one attempt, which counts as a failure of the tier. A
 *   duration does not wait for an attempt that does not let go when it is
 *   interrupted; the options of `Timeout.withTimeout` decide otherwise.
 * - `retry`: how to retry within the tier, `Retry` options or a policy. By
 *   default there is one attempt. No retry waits past the call's deadline. An
 *   error that asks to wait (`retryAfter`) hands the call to the next tier, if
 *   there is one, unless `maxRetryAfter` says how long to wait for this one.
 *
 * @category models
 * @since 0.1.0
 */
export interface TierOptions<out T extends CircuitBreaker.Target = string> {
  readonly circuit?: T | undefined
  readonly policy?: CircuitPolicy.CircuitPolicy | CircuitPolicy.Options | undefined
  readonly timeout?: Duration.Input | Timeout.Options | undefined
  readonly retry?: Retry.Options | Retry.ValueOptions<unknown> | Retry.RetryPolicy | undefined
}

/**
 * Options of a tiered call.
 *
 * **Details**
 *
 * - `isAnswer`: the errors that end the call, such as "not found". They are
 *   what the dependency had to say: a success for the tier's circuit, not
 *   retried, and raised as they are. By default no error is: every error and
 *   every defect moves on to the next tier.
 * - `deadline`: time for all tiers together. The tier that is running then is
 *   interrupted, which says nothing about it to its circuit, and the call
 *   fails with `AllTiersFailedError`, without waiting for a tier that does not
 *   let go.
 * - `spans`: a span for the call, named like the operation, and one for each
 *   tier, with `resilience.tier`; both say how they ended in
 *   `resilience.outcome`: `success`, `failure`, `skipped`, `rejected`,
 *   `timeout`, `defect` or `interrupted`. None by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in E> {
  readonly isAnswer?: ((error: E) => boolean) | undefined
  readonly deadline?: Duration.Input | undefined
  readonly spans?: boolean | undefined
}

/**
 * Who served a tiered call, and why the tiers before it did not.
 *
 * **Details**
 *
 * - `servedBy`: name of the tier; `undefined` if none served. A tier serves by
 *   a value or by an error that is an answer.
 * - `attempts`: the tiers that were skipped or failed, in order.
 * - `duration`: of the whole call.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly operation: string
  readonly servedBy: string | undefined
  readonly attempts: ReadonlyArray<TierAttempt>
  readonly duration: Duration.Duration
}

/**
 * Describes one tier.
 *
 * @category constructors
 * @since 0.1.0
 */
export const tier = <A, E, R, T extends CircuitBreaker.Target = string>(
  name: string,
  call: Effect.Effect<A, E, R>,
  options: TierOptions<T> = {}
): Tier<A, E, R | CircuitBreaker.TargetServices<T>> => {
  return { name, call, options: parseTier("Tiers.tier", checkOptions("Tiers.tier", options, TIER_OPTIONS)) }
}

const TIER_OPTIONS = ["circuit", "policy", "timeout", "retry"] as const satisfies ReadonlyArray<keyof TierOptions>

const OPTIONS = ["isAnswer", "deadline", "spans"] as const satisfies ReadonlyArray<keyof Options<never>>

const LAYER_OPTIONS = [...OPTIONS, "tier", "operation", "onAllFailed"] as const satisfies ReadonlyArray<
  keyof LayerOptions<unknown>
>

/** Names the mistake of whoever passes an effect, or a tuple, where a tier is wanted. */
const checkTiers = (
  constructor: string,
  tiers: unknown,
  accepted: string,
  isTier: (tier: unknown) => boolean
): void => {
  if (!Array.isArray(tiers)) return refuse(`${constructor}: tiers`, "a list of tiers", tiers)
  if (tiers.length === 0) throw new RangeError(`${constructor}: tiers must be at least one tier, got none`)
  for (const [index, tier] of tiers.entries()) {
    if (!isTier(tier)) refuse(`${constructor}: tiers[${index}]`, accepted, tier)
  }
}

const isTier = (u: unknown): boolean => isObject(u) && "call" in u && Effect.isEffect(u.call)

const isLayerTier = (u: unknown): boolean => Array.isArray(u) && typeof u[0] === "string" && Layer.isLayer(u[1])

/** Checks the options of a tier, and makes its policy once. */
const parseTier = <T extends CircuitBreaker.Target>(constructor: string, options: TierOptions<T>) => {
  const { circuit, policy, retry, timeout } = options
  if (circuit !== undefined && !CircuitBreaker.isTarget(circuit)) {
    refuse(`${constructor}: circuit`, "a circuit, the name or the class of one", circuit)
  }
  if (retry !== undefined && !isObject(retry)) refuse(`${constructor}: retry`, "a retry policy or its options", retry)
  if (timeout !== undefined && !Predicate.hasProperty(timeout, "duration")) {
    checkDuration(`${constructor}: timeout`, timeout)
  }
  return { ...options, policy: CircuitPolicy.from(`${constructor}: policy`, policy) }
}

type AnyTier = Tier<unknown, unknown, unknown>
type TierSuccess<T> = T extends Tier<infer A, infer _E, infer _R> ? A : never
type TierError<T> = T extends Tier<infer _A, infer E, infer _R> ? E : never
type TierServices<T> = T extends Tier<infer _A, infer _E, infer R> ? R : never

/**
 * Makes a tiered call: the tiers are tried in order until one serves.
 *
 * **Details**
 *
 * A tier whose circuit is open is skipped at once. Any other failure of a
 * tier, typed or a defect, moves on to the next one, except for errors that
 * are answers, for interruption, and for mistakes of the program: a
 * `ReferenceError`, a `RangeError`, a `TypeError` without a cause and a
 * `CircuitConflictError` end the call as the defects they are, and count for
 * nothing in the circuit. If no tier serves, the call fails with
 * `AllTiersFailedError`, which has an entry for each tier.
 *
 * If `isAnswer` is a type guard, only what it guards is left in the error
 * channel.
 *
 * **Example** (Ending the call with a domain error)
 *
 * ```ts import.meta.vitest
 * import { Data, Effect } from "effect"
 * import { CircuitBreakerRegistry, Tiers } from "effect-resilience"
 *
 * class NotFound extends Data.TaggedError("NotFound")<{ readonly id: string }> {}
 * class Unavailable extends Data.TaggedError("Unavailable") {}
 *
 * const mcp: Effect.Effect<string, NotFound | Unavailable> = Effect.fail(new NotFound({ id: "acc-9" }))
 * const rest = Effect.succeed("from REST")
 *
 * const getAccount = Tiers.make("get_account", [
 *   Tiers.tier("tier1_mcp", mcp),
 *   Tiers.tier("tier3_rest", rest)
 * ], {
 *   isAnswer: (error): error is NotFound => error._tag === "NotFound",
 *   deadline: "5 seconds"
 * })
 *
 * const program = getAccount.pipe(
 *   Effect.catchTag("NotFound", (error) => Effect.succeed(`no account ${error.id}`)),
 *   Effect.provide(CircuitBreakerRegistry.layer())
 * )
 *
 * await Effect.runPromise(program) // => "no account acc-9"
 * ```
 *
 * @see {@link layer} for a whole service
 * @see {@link collect} for learning which tier served
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: {
  <const T extends readonly [AnyTier, ...Array<AnyTier>], Answer extends TierError<T[number]>>(
    operation: string,
    tiers: T,
    options: Options<TierError<T[number]>> & {
      readonly isAnswer: (error: TierError<T[number]>) => error is Answer
    }
  ): Effect.Effect<TierSuccess<T[number]>, Answer | AllTiersFailedError, TierServices<T[number]>>
  <const T extends readonly [AnyTier, ...Array<AnyTier>]>(
    operation: string,
    tiers: T,
    options?: Omit<Options<never>, "isAnswer"> & { readonly isAnswer?: undefined }
  ): Effect.Effect<TierSuccess<T[number]>, AllTiersFailedError, TierServices<T[number]>>
  <const T extends readonly [AnyTier, ...Array<AnyTier>]>(
    operation: string,
    tiers: T,
    options: Options<TierError<T[number]>>
  ): Effect.Effect<TierSuccess<T[number]>, TierError<T[number]> | AllTiersFailedError, TierServices<T[number]>>
} = <A, E, R>(
  operation: string,
  tiers: ReadonlyArray<Tier<A, E, R>>,
  options: Options<E> = {}
): Effect.Effect<A, E | AllTiersFailedError, R> => {
  checkTiers("Tiers.make", tiers, "a tier made with Tiers.tier", isTier)
  checkOptions("Tiers.make", options, OPTIONS)
  checkFunction("Tiers.make: isAnswer", options.isAnswer)
  const calls = tiers.map(({ call, name, options: { circuit = name, ...limits } }, index) => {
    const pipeline = makePipeline(name, limits, index === tiers.length - 1)(circuit)
    return pipeline(answering(call, options.isAnswer, isMistake))
  })
  return serve({
    operation,
    tiers: tiers.map(({ name, options }) => ({ name, circuit: options.circuit ?? name })),
    call: (index, remaining) => calls[index]!(remaining),
    deadline: makeDeadline("Tiers.make", options.deadline),
    spans: options.spans === true,
    registry: undefined,
    onFailed: undefined
  })
}

/**
 * Runs an effect and tells which tiers served the tiered calls it made, even
 * if it fails.
 *
 * **Details**
 *
 * The reports come in the order in which the calls ended. A call that was
 * interrupted has none.
 *
 * **Example** (Learning which tier served)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreakerRegistry, Tiers } from "effect-resilience"
 *
 * const lookup = Tiers.make("get_account", [Tiers.tier("tier1_mcp", Effect.succeed("acc-1"))])
 *
 * const program = Tiers.collect(lookup).pipe(Effect.provide(CircuitBreakerRegistry.layer()))
 *
 * const [exit, reports] = await Effect.runPromise(program)
 * reports.map((report) => `${report.operation} by ${report.servedBy}`) // => ["get_account by tier1_mcp"]
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const collect = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<readonly [exit: Exit.Exit<A, E>, reports: ReadonlyArray<Report>], never, R> =>
  Effect.withFiber((fiber) => {
    const outer = fiber.getRef(Reports)
    const reports: Array<Report> = []
    let ended = false
    return self.pipe(
      Effect.provideService(Reports, (report) => {
        // A fiber that outlives the effect goes on reporting.
        if (!ended) reports.push(report)
        outer?.(report)
      }),
      Effect.onExit(() =>
        Effect.sync(() => {
          ended = true
        })
      ),
      Effect.exit,
      Effect.map((exit) => [exit, reports] as const)
    )
  })

const Reports = /* @__PURE__ */ Context.Reference<((report: Report) => void) | undefined>(
  "effect-resilience/Tiers/Reports",
  { defaultValue: () => undefined }
)

// -----------------------------------------------------------------------------
// a service from one Layer per tier
// -----------------------------------------------------------------------------

/**
 * Options of `layer`.
 *
 * **Details**
 *
 * - `isAnswer`, `deadline`, `spans`: as for `make`, for every method.
 * - `tier`: options that all tiers start from.
 * - `operation`: what a method is called in errors and reports; its own name by
 *   default.
 * - `onAllFailed`: the service's own error for "no tier could serve". Can be
 *   left out if every method may fail with `AllTiersFailedError`. `"die"` makes
 *   it a defect.
 *
 * @category models
 * @since 0.1.0
 */
export interface LayerOptions<S> {
  readonly isAnswer?: ((error: MethodError<S[keyof S]>) => boolean) | undefined
  readonly deadline?: Duration.Input | undefined
  readonly spans?: boolean | undefined
  readonly tier?: Omit<LayerTierOptions, "circuit"> | undefined
  readonly operation?: ((method: string) => string) | undefined
  readonly onAllFailed?: ((error: AllTiersFailedError, method: string) => CommonError<S>) | "die" | undefined
}

/**
 * Options of a tier of `layer`. The circuit is registered in the registry, or
 * a circuit of your own.
 *
 * @category models
 * @since 0.1.0
 */
export type LayerTierOptions = TierOptions<string | CircuitBreaker.CircuitBreaker>

/**
 * The error of one member of a service.
 *
 * @category utility types
 * @since 0.1.0
 */
export type MethodError<M> = M extends Effect.Effect<infer _A, infer E, infer _R> ? E
  : M extends (...args: ReadonlyArray<never>) => Effect.Effect<infer _A, infer E, infer _R> ? E
  : never

/**
 * The errors that every member of a service may fail with.
 *
 * @category utility types
 * @since 0.1.0
 */
export type CommonError<S> = { readonly [K in keyof S]: (error: MethodError<S[K]>) => void }[keyof S] extends
  (error: infer E) => void ? E : never

/** The members of a service that `layer` can build: effects, and functions that return effects. */
type Tierable<S> = {
  readonly [K in keyof S]: S[K] extends Effect.Effect<infer _A, infer _E, infer _R> ? S[K]
    : S[K] extends (...args: ReadonlyArray<never>) => Effect.Effect<infer _A, infer _E, infer _R> ? S[K]
    : never
}

type LayerTier<I> = readonly [name: string, layer: Layer.Layer<I, unknown, unknown>, options?: LayerTierOptions]
type LayerServices<T> = T extends readonly [string, Layer.Layer<infer _I, infer _E, infer R>, LayerTierOptions?] ? R
  : never

/**
 * Builds a service from one Layer of it per tier: in the service that results,
 * each method is the whole tiered call. A program switches to it by being
 * given this Layer in place of another one.
 *
 * **Details**
 *
 * A tier's Layer is built when a call first needs it, within the tier's
 * circuit and timeout. One that cannot be built is a failed tier, not a failed
 * program. Once the tier's circuit has opened, its instance counts as broken:
 * the next call that the circuit lets through, the probe, builds it anew,
 * dependencies included, and the old one is released when the last call that
 * uses it has ended. All are released when the scope of this Layer closes.
 *
 * The members of the service must be effects or functions that return
 * effects.
 *
 * Throws a `RangeError` if an option is out of its range.
 *
 * **Gotchas**
 *
 * - All methods of a tier share its circuit, which goes by the tier's name: two
 *   services with a tier `"mcp"` share one as well, unless `circuit` says
 *   otherwise.
 * - An instance is replaced only if the circuit opens: give it a policy that
 *   notices, such as a few failures in a row.
 * - What a tier's Layer still requires is built once, with this Layer, and not
 *   anew with the tier.
 * - What the service looks like is not known before a tier is built: a copy
 *   such as `{ ...accounts }` is empty, and a method is an effect to
 *   `Effect.andThen` and `Effect.tap`, so write
 *   `Effect.andThen((id) => accounts.getName(id))`.
 *
 * **Example** (Serving accounts from several tiers)
 *
 * ```ts import.meta.vitest
 * import { Context, Effect, Layer } from "effect"
 * import { CircuitBreakerRegistry, ResilienceError, Tiers } from "effect-resilience"
 *
 * class Accounts extends Context.Service<Accounts, {
 *   readonly getName: (id: string) => Effect.Effect<string, ResilienceError.AllTiersFailedError>
 * }>()("app/Accounts") {}
 *
 * const AccountsMcp = Layer.effect(Accounts, Effect.fail("the MCP server is not running"))
 * const AccountsRest = Layer.succeed(Accounts, { getName: (id) => Effect.succeed(`${id} by REST`) })
 *
 * const AccountsTiered = Tiers.layer(Accounts, [
 *   ["tier1_mcp", AccountsMcp],
 *   ["tier3_rest", AccountsRest, { timeout: "1 second" }]
 * ]).pipe(Layer.provide(CircuitBreakerRegistry.layer()))
 *
 * const program = Effect.flatMap(Accounts, (accounts) => accounts.getName("acc-1"))
 *
 * await Effect.runPromise(program.pipe(Effect.provide(AccountsTiered))) // => "acc-1 by REST"
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <I, S extends Tierable<S>, const T extends readonly [LayerTier<I>, ...Array<LayerTier<I>>]>(
  service: Context.Key<I, S>,
  tiers: T,
  ...[options]: AllTiersFailedError extends CommonError<S> ? [options?: LayerOptions<S>]
    : [optionsWithOnAllFailed: LayerOptions<S> & { readonly onAllFailed: {} }]
): Layer.Layer<I, never, CircuitBreakerRegistry | LayerServices<T[number]>> => {
  checkTiers("Tiers.layer", tiers, "a name and a Layer, with options or without", isLayerTier)
  if (options !== undefined) checkOptions("Tiers.layer", options, LAYER_OPTIONS)
  checkFunction("Tiers.layer: isAnswer", options?.isAnswer)
  // A tuple of Layers of many services is a list of Layers that need them all.
  const layers = tiers as ReadonlyArray<
    readonly [string, Layer.Layer<I, unknown, LayerServices<T[number]>>, LayerTierOptions?]
  >
  return Layer.effect(
    service,
    makeService({
      service,
      options: options ?? {},
      deadline: makeDeadline("Tiers.layer", options?.deadline),
      tiers: layers.map(([name, layer, own], index) => {
        for (const given of [options?.tier, own]) {
          if (given !== undefined) checkOptions(`Tiers.layer: ${name}`, given, TIER_OPTIONS)
        }
        const merged: LayerTierOptions = { ...options?.tier, ...own }
        const { circuit = name, ...limits } = parseTier(`Tiers.layer: ${name}`, merged)
        const through = makePipeline(name, limits, index === layers.length - 1)
        return { name, layer, circuit, policy: limits.policy, through }
      })
    })
  )
}

const makeService = Effect.fnUntraced(function*<I, S extends Tierable<S>, R>(settings: {
  readonly service: Context.Key<I, S>
  readonly options: LayerOptions<S>
  readonly deadline: Duration.Duration | undefined
  readonly tiers: ReadonlyArray<{
    readonly name: string
    readonly layer: Layer.Layer<I, unknown, R>
    readonly circuit: string | CircuitBreaker.CircuitBreaker
    readonly policy: CircuitPolicy.CircuitPolicy | undefined
    readonly through: (circuit: CircuitBreaker.Target) => Pipeline
  }>
}) {
  const registry = yield* CircuitBreakerRegistry
  const context = yield* Effect.context<R>()
  const { deadline, options, service } = settings
  const isAnswer = options.isAnswer as ((error: unknown) => boolean) | undefined
  const { onAllFailed } = options

  const tiers = yield* Effect.forEach(
    settings.tiers,
    ({ circuit, layer, name, policy, through }) =>
      Effect.gen(function*() {
        const breaker = typeof circuit === "string" ? yield* Effect.orDie(registry.register(circuit, policy)) : circuit
        const instance = new TierInstance({
          layer,
          key: service,
          context,
          timesOpened: () => isKnown(breaker) ? breaker.live.timesOpened : 0
        })
        yield* Effect.addFinalizer(() => instance.close)
        return { name, circuit: breaker, instance, pipeline: through(breaker) }
      })
  )

  const call = (method: string, invoke: (instance: S) => Effect.Effect<unknown, unknown, unknown>) =>
    serve({
      operation: options.operation?.(method) ?? method,
      tiers,
      deadline,
      spans: options.spans === true,
      registry,
      call: (index, remaining) => {
        const { instance, pipeline } = tiers[index]!
        // Only the service answers: an error of its Layer is none of its own.
        return pipeline(instance.use((service) => answering(invoke(service), isAnswer, isMistake)))(remaining)
      },
      onFailed: onAllFailed === undefined
        ? undefined
        : (error) => onAllFailed === "die" ? Effect.die(error) : Effect.fail(onAllFailed(error, method))
    })

  // What the service looks like is known only once a tier is built. So every
  // member is both: an effect, and a function that returns one.
  const members = new Map<string, unknown>()
  return new Proxy({} as S, {
    get: (target, key) => {
      // What JavaScript asks of any object. With a `then` it would wait for the service as for a promise.
      if (typeof key === "symbol" || key === "then" || key in Object.prototype) return Reflect.get(target, key)
      let member = members.get(key)
      if (member === undefined) {
        member = callableEffect(
          (args) => call(key, (instance) => invokeMember(instance, key, args)),
          call(key, (instance) => readMember(instance, key))
        )
        members.set(key, member)
      }
      return member
    }
  })
})

const invokeMember = (
  instance: object,
  key: string,
  args: ReadonlyArray<unknown>
): Effect.Effect<unknown, unknown, unknown> => {
  const member: unknown = Reflect.get(instance, key)
  return typeof member === "function"
    ? asEffect(key, Reflect.apply(member, instance, args))
    : Effect.die(new TypeError(`Tiers.layer: ${key} is not a function of the service`))
}

const readMember = (instance: object, key: string): Effect.Effect<unknown, unknown, unknown> => {
  const member: unknown = Reflect.get(instance, key)
  return typeof member === "function" && !Effect.isEffect(member)
    ? Effect.die(
      new TypeError(
        `Tiers.layer: ${key} is a function of the service that was run like an effect; ` +
          `Effect.andThen and Effect.tap do so with what they are given, write (value) => service.${key}(value)`
      )
    )
    : asEffect(key, member)
}

const asEffect = (key: string, value: unknown): Effect.Effect<unknown, unknown, unknown> =>
  Effect.isEffect(value) ? value : Effect.die(new TypeError(`Tiers.layer: ${key} of the service is not an effect`))

const callableProto: object = /* @__PURE__ */ Object.create(
  Function.prototype,
  /* @__PURE__ */ Object.getOwnPropertyDescriptors(
    /* @__PURE__ */ Effectable.Prototype<Effect.Effect<unknown, unknown, unknown> & { effect: Effect.Effect<unknown> }>(
      {
        label: "Tiers",
        evaluate() {
          return this.effect
        }
      }
    )
  )
)

const callableEffect = (
  f: (args: ReadonlyArray<unknown>) => Effect.Effect<unknown, unknown, unknown>,
  effect: Effect.Effect<unknown, unknown, unknown>
): unknown =>
  Object.setPrototypeOf(Object.assign((...args: ReadonlyArray<unknown>) => f(args), { effect }), callableProto)

// -----------------------------------------------------------------------------
// serving a call
// -----------------------------------------------------------------------------

interface Plan<A, E, R> {
  readonly operation: string
  readonly tiers: ReadonlyArray<{ readonly name: string; readonly circuit: CircuitBreaker.Target }>
  /** Calls a tier within its circuit, timeout and retry, given how much is left of the deadline. */
  readonly call: (index: number, remaining: number) => Effect.Effect<A | Answer<E>, unknown, R>
  readonly deadline: Duration.Duration | undefined
  readonly spans: boolean
  /** Where the circuits are; that of the fiber if not given. */
  readonly registry: CircuitBreakerRegistry | undefined
  /** What to fail with instead. */
  readonly onFailed: ((error: AllTiersFailedError) => Effect.Effect<never, E>) | undefined
}

/** A mistake of the program. A `TypeError` with a cause is how `fetch` says that the network failed. */
const isMistake = (defect: unknown): boolean =>
  defect instanceof ReferenceError || defect instanceof RangeError || isCircuitConflictError(defect) ||
  (defect instanceof TypeError && defect.cause === undefined)

/** The name of the circuit, for a fiber with these services. */
const circuitName = (circuit: CircuitBreaker.Target, context: Context.Context<never>): string =>
  typeof circuit === "string"
    ? circuit
    : CircuitBreaker.isCircuitBreaker(circuit)
    ? circuit.name
    : Context.getUnsafe(context, circuit as Context.Key<never, CircuitBreaker.CircuitBreaker>).name

/** Puts a call into its tier; what comes out wants to know how many milliseconds are left of the deadline. */
type Pipeline = <A, R>(
  call: Effect.Effect<A, unknown, R>
) => (remaining: number) => Effect.Effect<A, unknown, R>

type Wrapper = <A, R>(call: Effect.Effect<A, unknown, R>) => Effect.Effect<A, unknown, R>

/** Retry, within it the circuit, within it the timeout of an attempt. */
const makePipeline = (
  name: string,
  { policy, retry, timeout }: Omit<TierOptions, "circuit">,
  isLast: boolean
): (circuit: CircuitBreaker.Target) => Pipeline => {
  const limited: Wrapper = timeout === undefined ? identity : Timeout.withTimeout({
    operation: name,
    kind: "attempt",
    ...(Predicate.hasProperty(timeout, "duration") ? timeout : { duration: timeout, disconnect: true })
  })
  const retryPolicy = retry === undefined ? undefined : inOperation(
    name,
    Retry.isRetryPolicy(retry)
      ? retry
      : Retry.make((isLast ? retry : { maxRetryAfter: 0, ...retry }) as Retry.Options)
  )
  return (circuit) => {
    const guarded = CircuitBreaker.withCircuitBreaker(circuit, {
      policy: CircuitPolicy.from(`Tiers: policy of ${name}`, policy),
      classify: classifyAnswer()
    })
    // What the circuit needs is among the services of the tier, see `tier`.
    const through: Wrapper = (call) => guarded(limited(call)) as typeof call
    return (call) => {
      const once = through(call)
      return retryPolicy === undefined
        ? () => once
        : (remaining) =>
          Retry.withRetry(
            once,
            remaining === Infinity
              ? retryPolicy
              : Retry.endingWithin(retryPolicy, Duration.millis(Math.max(0, remaining)))
          )
    }
  }
}

const isRejectionOf = (circuit: string, cause: Cause.Cause<unknown>): boolean => {
  const error = Cause.findErrorOption(cause)
  return Option.isSome(error) && isCircuitOpenError(error.value) && error.value.circuit === circuit
}

const makeDeadline = (constructor: string, deadline: Duration.Input | undefined): Duration.Duration | undefined =>
  deadline === undefined ? undefined : checkDuration(`${constructor}: deadline`, deadline, { positive: true })

const serve = <A, E, R>(plan: Plan<A, E, R>): Effect.Effect<A, E | AllTiersFailedError, R> =>
  Effect.withFiber((fiber) => {
    const call = new TieredCall(plan, fiber.context)
    const limited = plan.deadline === undefined ? call.next() : limitTime(call.next(), {
      duration: plan.deadline,
      disconnect: true,
      orElse: () => call.outOfTime()
    })
    const served = plan.spans ? tieredSpan(limited, plan.operation) : limited
    const report = fiber.getRef(Reports)
    const recorder = recorderOf(fiber)
    const flows = flowsOf(plan.registry ?? Context.getOrUndefined(fiber.context, CircuitBreakerRegistry))
    if (report === undefined && recorder === undefined && flows === undefined) return served
    return Effect.onExitPrimitive(served, (exit) => {
      if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return undefined
      report?.(call.report())
      if (recorder !== undefined) call.tell(recorder)
      if (flows !== undefined) call.count(flows)
      return undefined
    })
  })

/** One call on its way through the tiers. */
class TieredCall<A, E, R> {
  private readonly plan: Plan<A, E, R>
  private readonly context: Context.Context<never>
  private readonly clock: Clock.Clock
  private readonly attempts: Array<TierAttempt> = []
  private readonly startedAt: number
  private tierStartedAt: number
  private servedBy: string | undefined
  /** Whether the deadline has passed: a tier that has not let go yet has nothing more to say. */
  private over = false

  constructor(plan: Plan<A, E, R>, context: Context.Context<never>) {
    this.plan = plan
    this.context = context
    this.clock = Context.get(context, Clock.Clock)
    this.startedAt = this.tierStartedAt = monotonicMillis(this.clock)
  }

  next(): Effect.Effect<A, E | AllTiersFailedError, R> {
    const index = this.attempts.length
    const tier = this.plan.tiers[index]
    if (tier === undefined) return this.failed()
    const isSkipped = (cause: Cause.Cause<unknown>) => isRejectionOf(circuitName(tier.circuit, this.context), cause)
    const call = this.plan.call(index, this.remaining())
    return Effect.matchCauseEffect(
      this.plan.spans ? tierSpan(call, this.plan.operation, tier.name, isSkipped) : call,
      {
        onSuccess: (value): Effect.Effect<A, E> => {
          if (this.over) return Effect.interrupt
          this.servedBy = tier.name
          return value instanceof Answer ? Effect.failCause(value.cause) : Effect.succeed(value)
        },
        onFailure: (cause): Effect.Effect<A, E | AllTiersFailedError, R> => {
          if (this.over) return Effect.interrupt
          // An interruption is not the tier's failure; its cause holds no error.
          if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
          this.note(isSkipped(cause) ? "skipped" : "failed", Cause.squash(cause))
          return this.next()
        }
      }
    )
  }

  /** The tiers so far have served or failed an instant too late, or are still at it. */
  outOfTime(): Effect.Effect<never, E | AllTiersFailedError> {
    const { deadline, operation, tiers } = this.plan
    this.over = true
    this.servedBy = undefined
    const error = callTimeoutError(operation, deadline!, { kind: "total" })
    if (this.attempts.length < tiers.length) this.note("failed", error)
    while (this.attempts.length < tiers.length) this.note("skipped", error)
    return this.failed()
  }

  report(): Report {
    return {
      operation: this.plan.operation,
      servedBy: this.servedBy,
      attempts: this.attempts,
      duration: Duration.millis(monotonicMillis(this.clock) - this.startedAt)
    }
  }

  tell(recorder: Recorder): void {
    const { operation } = this.plan
    for (const { outcome, tier } of this.attempts) {
      recorder.onTierEnded(operation, tier, outcome === "skipped" ? "skipped" : "failure")
    }
    if (this.servedBy !== undefined) recorder.onTierEnded(operation, this.servedBy, "success")
  }

  count(flows: TierFlows): void {
    const { operation, tiers } = this.plan
    const named = tiers.map(({ circuit, name }) => ({ name, circuit: circuitName(circuit, this.context) }))
    flows.add(operation, named, this.attempts, this.servedBy)
  }

  private remaining(): number {
    const { deadline } = this.plan
    return deadline === undefined ? Infinity : this.startedAt + Duration.toMillis(deadline) - this.tierStartedAt
  }

  private failed(): Effect.Effect<never, E | AllTiersFailedError> {
    const error = allTiersFailedError(this.plan.operation, this.attempts)
    return this.plan.onFailed === undefined ? Effect.fail(error) : this.plan.onFailed(error)
  }

  private note(outcome: TierAttempt["outcome"], error: unknown): void {
    const now = monotonicMillis(this.clock)
    this.attempts.push({
      tier: this.plan.tiers[this.attempts.length]!.name,
      outcome,
      error,
      duration: Duration.millis(now - this.tierStartedAt)
    })
    this.tierStartedAt = now
  }
}
