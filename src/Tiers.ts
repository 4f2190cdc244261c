/**
 * Tries several ways to do the same thing, the tiers, in order until one
 * serves: an MCP server, then the vendor's SDK, then plain REST.
 *
 * Each tier has its own circuit, so that a tier that is down is skipped at
 * once, and optionally its own timeout and retry. `make` builds a tiered call
 * from effects; `layer` builds a service from one Layer per tier.
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
 * const [account, [report]] = await Effect.runPromise(program)
 * account // => { id: "acc-1" }
 * report?.servedBy // => "tier2_sdk"
 * report?.attempts.map((attempt) => attempt.tier) // => ["tier1_mcp"]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as CircuitBreaker from "./CircuitBreaker.ts"
import { CircuitBreakerRegistry } from "./CircuitBreakerRegistry.ts"
import * as CircuitPolicy from "./CircuitPolicy.ts"
import { classifyAnswer } from "./internal/answer.ts"
import {
  checkDuration,
  checkFunction,
  checkList,
  checkName,
  checkOptions,
  isObject,
  optionNames,
  refuse
} from "./internal/check.ts"
import { from as policyFrom } from "./internal/circuit/policy.ts"
import { checkTarget } from "./internal/circuit/target.ts"
import { endingWithin } from "./internal/retry/policy.ts"
import { inOperation } from "./internal/telemetry/recorder.ts"
import { Reports, serve } from "./internal/tiers/call.ts"
import { endingCall, runAttempts, type Step, type TierPipeline } from "./internal/tiers/pipeline.ts"
import { makeService } from "./internal/tiers/service.ts"
import type { AllTiersFailedError, TierAttempt } from "./ResilienceError.ts"
import * as Retry from "./Retry.ts"
import * as Timeout from "./Timeout.ts"

/**
 * One way to do something.
 *
 * @stability stable
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
 * - `circuit`: the tier's circuit, by name, value or service class. Defaults to
 *   the circuit of the registry with the name of the tier.
 * - `policy`: a policy or its options, for a circuit that this tier registers.
 * - `timeout`: limits each attempt; a timeout counts as a failure of the tier. A
 *   plain duration does not wait for an attempt that ignores interruption; the
 *   options of `Timeout.withTimeout` can change that.
 * - `retry`: a retry policy or its options. Defaults to one attempt. Retries
 *   never wait past the deadline of the call. If an error asks to wait
 *   (`retryAfter`), the call moves on to the next tier, unless there is none or
 *   `maxRetryAfter` allows the wait.
 *
 * @stability stable
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
 * - `isAnswer`: selects the errors that end the call, such as "not found". The
 *   circuit of the tier counts them as successes; they are not retried and
 *   pass through unchanged. By default no error is an answer: every error and
 *   every defect moves on to the next tier.
 * - `deadline`: limits the time of all tiers together. At the deadline the
 *   running tier is interrupted, which its circuit ignores, and the call fails
 *   with `AllTiersFailedError` without waiting for a tier that ignores
 *   interruption.
 * - `spans`: adds a span for the call, named like the operation, and one for
 *   each tier, with `resilience.tier`. Both record how they ended in
 *   `resilience.outcome`: `success`, `failure`, `skipped`, `rejected`,
 *   `timeout`, `defect` or `interrupted`. Defaults to `false`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Options<in E> {
  readonly isAnswer?: ((error: E) => boolean) | undefined
  readonly deadline?: Duration.Input | undefined
  readonly spans?: boolean | undefined
}

/**
 * Tells which tier served a tiered call, and why the tiers before it did not.
 *
 * **Details**
 *
 * - `servedBy`: the name of the tier, `undefined` if none served. An error that
 *   is an answer serves the call as a value does.
 * - `attempts`: the tiers that were skipped or failed, in order.
 * - `duration`: the time of the whole call.
 *
 * @stability stable
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
 * Makes a tier from the effect that does the work.
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export const tier = <A, E, R, T extends CircuitBreaker.Target = string>(
  name: string,
  call: Effect.Effect<A, E, R>,
  options: TierOptions<T> = {}
): Tier<A, E, R | CircuitBreaker.TargetServices<T>> => ({
  name: checkName("Tiers.tier: name", name),
  call: checkCall("Tiers.tier", call),
  options: checkTier("Tiers.tier", options)
})

type AnyTier = Tier<unknown, unknown, unknown>
type TierSuccess<T> = T extends Tier<infer A, infer _E, infer _R> ? A : never
type TierError<T> = T extends Tier<infer _A, infer E, infer _R> ? E : never
type TierServices<T> = T extends Tier<infer _A, infer _E, infer R> ? R : never

/**
 * Makes a tiered call, which tries the tiers in order until one serves.
 *
 * **Details**
 *
 * A tier whose circuit is open is skipped at once. Any other failure of a
 * tier, typed or a defect, moves on to the next tier. Errors that are answers,
 * interruptions and mistakes of the program end the call: a `ReferenceError`,
 * a `RangeError`, a `TypeError` without a cause and a `CircuitConflictError`
 * stay defects, and the circuit ignores them. If no tier serves, the call fails
 * with `AllTiersFailedError`, which has an entry for each tier.
 *
 * If `isAnswer` is a type guard, the error channel holds only the errors that
 * it guards.
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
 * @stability stable
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
  checkName("Tiers.make: operation", operation)
  checkTiers("Tiers.make", tiers, "a tier made with Tiers.tier", isTier)
  checkOptions("Tiers.make", options, OPTIONS)
  checkFunction("Tiers.make: isAnswer", options.isAnswer)
  const calls = tiers.map(({ call, name, options: own }, index) => {
    const circuit = own.circuit ?? name
    const pipeline = makePipeline(makeSteps(name, own, index === tiers.length - 1), circuit)
    return { name, circuit, pipeline, attempt: pipeline.attempt(endingCall(call, options.isAnswer)) }
  })
  return serve({
    operation,
    tiers: calls,
    call: (index, remaining) => runAttempts(calls[index]!.pipeline, calls[index]!.attempt, remaining),
    deadline: checkDeadline("Tiers.make", options.deadline),
    spans: options.spans === true,
    registry: (context) => Context.getOrUndefined(context, CircuitBreakerRegistry),
    onFailed: undefined
  })
}

/**
 * Collects a report of each tiered call that an effect makes, however deep
 * inside. The effect succeeds with its value and the reports.
 *
 * **Details**
 *
 * The reports come in the order in which the calls ended. A call that was
 * interrupted has none. To get the reports of an effect that fails as well,
 * collect its exit: `Tiers.collect(Effect.exit(call))`.
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
 * const [account, reports] = await Effect.runPromise(program)
 * account // => "acc-1"
 * reports.map((report) => `${report.operation} by ${report.servedBy}`) // => ["get_account by tier1_mcp"]
 * ```
 *
 * @stability stable
 * @category combinators
 * @since 0.1.0
 */
export const collect = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<readonly [value: A, reports: ReadonlyArray<Report>], E, R> => {
  const call = checkCall("Tiers.collect", self)
  return Effect.withFiber((fiber) => {
    const outer = fiber.getRef(Reports)
    const reports: Array<Report> = []
    let ended = false
    return call.pipe(
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
      Effect.map((value) => [value, reports] as const)
    )
  })
}

// -----------------------------------------------------------------------------
// a service from one Layer per tier
// -----------------------------------------------------------------------------

/**
 * Options of `layer`: those of `make`, for every method, and its own.
 *
 * **Details**
 *
 * - `tier`: the options that all tiers start from.
 * - `operation`: names a method in errors and reports. Defaults to the name of
 *   the method.
 * - `onAllFailed`: makes the error of the service for "no tier served", or a
 *   defect with `"die"`. Optional if every method may fail with
 *   `AllTiersFailedError`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface LayerOptions<S> extends Options<MethodError<S[keyof S]>> {
  readonly tier?: Omit<LayerTierOptions, "circuit"> | undefined
  readonly operation?: ((method: string) => string) | undefined
  readonly onAllFailed?: ((error: AllTiersFailedError, method: string) => CommonError<S>) | "die" | undefined
}

/**
 * Options of a tier of `layer`. Its circuit is a name, registered in the
 * registry, or a value.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type LayerTierOptions = TierOptions<string | CircuitBreaker.CircuitBreaker>

/**
 * The error of one member of a service.
 *
 * @stability stable
 * @category utility types
 * @since 0.1.0
 */
export type MethodError<M> = M extends Effect.Effect<infer _A, infer E, infer _R> ? E
  : M extends (...args: ReadonlyArray<never>) => Effect.Effect<infer _A, infer E, infer _R> ? E
  : never

/**
 * The errors that every member of a service may fail with.
 *
 * @stability stable
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
 * Builds a service from one Layer of it per tier. Each method of the resulting
 * service is the whole tiered call, so a program switches to it by providing
 * this Layer in place of another one.
 *
 * **Details**
 *
 * The Layer of a tier is built when a call first needs it, within the circuit
 * and the timeout of the tier. A Layer that cannot be built is a failed tier,
 * not a failed program. Once the circuit of the tier has opened, the next call
 * that the circuit admits, the probe, builds the Layer anew with its
 * dependencies; the old instance is released when the last call that uses it
 * has ended. All instances are released when the scope of this Layer closes.
 *
 * The members of the service must be effects or functions that return
 * effects.
 *
 * Throws a `RangeError` if an option is out of its range.
 *
 * **Gotchas**
 *
 * - All methods of a tier share its circuit, which has the name of the tier.
 *   Two services with a tier `"mcp"` share one circuit unless `circuit` sets
 *   another.
 * - An instance is replaced only if the circuit opens: use a policy that opens
 *   soon, such as after a few consecutive failures.
 * - The requirements of the Layer of a tier are built once, with this Layer, and
 *   not again with the tier.
 * - The members are not known before a tier is built: a copy such as
 *   `{ ...accounts }` is empty, and a method is an effect to `Effect.andThen`
 *   and `Effect.tap`, so write `Effect.andThen((id) => accounts.getName(id))`.
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
 * @stability stable
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
  const deadline = checkDeadline("Tiers.layer", options?.deadline)
  // A tuple of Layers of many services is a list of Layers that need them all.
  const layers = tiers as ReadonlyArray<
    readonly [string, Layer.Layer<I, unknown, LayerServices<T[number]>>, LayerTierOptions?]
  >
  const parsed = layers.map(([name, layer, own], index) => {
    const constructor = `Tiers.layer: ${name}`
    for (const given of [options?.tier, own]) {
      if (given !== undefined) checkOptions(constructor, given, TIER_OPTIONS)
    }
    const merged = checkTier<string | CircuitBreaker.CircuitBreaker>(constructor, { ...options?.tier, ...own })
    const steps = makeSteps(name, merged, index === layers.length - 1)
    return {
      name,
      layer,
      circuit: merged.circuit ?? name,
      policy: steps.policy,
      pipeline: (circuit: CircuitBreaker.Target) => makePipeline(steps, circuit)
    }
  })
  return Layer.effect(
    service,
    Effect.flatMap(CircuitBreakerRegistry, (registry) =>
      makeService({
        key: service,
        registry,
        tiers: parsed,
        isAnswer: options?.isAnswer as ((error: unknown) => boolean) | undefined,
        deadline,
        spans: options?.spans === true,
        operation: (method) => options?.operation?.(method) ?? method,
        onAllFailed: options?.onAllFailed
      }))
  )
}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

const TIER_OPTIONS = /* @__PURE__ */ optionNames<TierOptions>({
  circuit: true,
  policy: true,
  timeout: true,
  retry: true
})

const OPTIONS = /* @__PURE__ */ optionNames<Options<never>>({ isAnswer: true, deadline: true, spans: true })

const LAYER_OPTIONS = /* @__PURE__ */ optionNames<LayerOptions<unknown>>({
  isAnswer: true,
  deadline: true,
  spans: true,
  tier: true,
  operation: true,
  onAllFailed: true
})

/** Names the mistake where an effect, or a tuple, is passed in place of a tier. */
const checkTiers = (
  constructor: string,
  tiers: ReadonlyArray<unknown>,
  accepted: string,
  isTier: (tier: unknown) => boolean
): void => {
  checkList(`${constructor}: tiers`, { list: "a list of tiers", item: accepted }, tiers, isTier)
  if (tiers.length === 0) throw new RangeError(`${constructor}: tiers must be at least one tier, got none`)
}

const isTier = (u: unknown): boolean => isObject(u) && "call" in u && Effect.isEffect(u.call)

const isLayerTier = (u: unknown): boolean => Array.isArray(u) && typeof u[0] === "string" && Layer.isLayer(u[1])

const checkCall = <A, E, R>(constructor: string, call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.isEffect(call) ? call : refuse(`${constructor}: call`, "an effect", call)

/** Checks the options of a tier, and makes its policy once. */
const checkTier = <T extends CircuitBreaker.Target>(constructor: string, options: TierOptions<T>): TierOptions<T> => {
  const { circuit, policy, retry, timeout } = checkOptions(constructor, options, TIER_OPTIONS)
  if (circuit !== undefined) checkTarget(`${constructor}: circuit`, circuit)
  if (retry !== undefined && !isObject(retry)) refuse(`${constructor}: retry`, "a retry policy or its options", retry)
  if (timeout !== undefined && !Predicate.hasProperty(timeout, "duration")) {
    checkDuration(`${constructor}: timeout`, timeout)
  }
  return { ...options, policy: policyFrom(`${constructor}: policy`, policy) }
}

const checkDeadline = (constructor: string, deadline: Duration.Input | undefined): Duration.Duration | undefined =>
  deadline === undefined ? undefined : checkDuration(`${constructor}: deadline`, deadline, { positive: true })

// -----------------------------------------------------------------------------
// the steps of a tier
// -----------------------------------------------------------------------------

/** The policies of a tier but for its circuit, which `layer` makes later. */
interface Steps {
  readonly policy: CircuitPolicy.CircuitPolicy | undefined
  readonly timeout: Step
  readonly retry: Retry.RetryPolicy | undefined
}

const makeSteps = (
  name: string,
  { policy, retry, timeout }: Omit<TierOptions, "circuit">,
  isLast: boolean
): Steps => ({
  policy: policyFrom(`Tiers: policy of ${name}`, policy),
  timeout: timeout === undefined ? identity : Timeout.withTimeout({
    operation: name,
    kind: "attempt",
    ...(Predicate.hasProperty(timeout, "duration") ? timeout : { duration: timeout, disconnect: true })
  }),
  retry: retry === undefined ? undefined : inOperation(
    name,
    Retry.isRetryPolicy(retry)
      ? retry
      : Retry.make((isLast ? retry : { maxRetryAfter: 0, ...retry }) as Retry.Options)
  )
})

const makePipeline = ({ policy, retry, timeout }: Steps, circuit: CircuitBreaker.Target): TierPipeline => {
  const guarded = CircuitBreaker.withCircuitBreaker(circuit, { policy, classify: classifyAnswer() })
  return {
    // What the circuit needs is among the services of the tier, see `tier`.
    attempt: (call) => guarded(timeout(call)) as typeof call,
    retry: retry === undefined ? undefined : (attempt, remaining) =>
      Retry.withRetry(
        attempt,
        remaining === Infinity ? retry : endingWithin(retry, Duration.millis(Math.max(0, remaining)))
      )
  }
}
