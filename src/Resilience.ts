/**
 * Combines fallback, timeout, retry, hedge, rate limit, circuit breaker,
 * bulkhead and attempt timeout into one value, a pipeline, that many calls
 * share.
 *
 * The standard order is the one below, outermost first. `order` changes it, and
 * `description` tells the order and the settings in words.
 *
 *     fallback › timeout › retry › hedge › rate limit › circuit breaker › bulkhead › attempt timeout › call
 *
 * **Example** (Protecting every call to a dependency alike)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreakerRegistry, Resilience } from "effect-resilience"
 *
 * const payments = Resilience.make({
 *   name: "payment-api",
 *   timeout: "10 seconds",
 *   retry: { maxAttempts: 3, baseDelay: "200 millis" },
 *   attemptTimeout: "2 seconds"
 * })
 *
 * const charge = payments.execute(Effect.succeed("charged"))
 *
 * await Effect.runPromise(charge.pipe(Effect.provide(CircuitBreakerRegistry.layer()))) // => "charged"
 *
 * payments.steps // => ["timeout", "retry", "circuitBreaker", "attemptTimeout"]
 * ```
 *
 * @see {@link withResilience} for a pipeline in a `pipe`
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Schedule from "effect/Schedule"
import * as Bulkhead from "./Bulkhead.ts"
import * as CircuitBreaker from "./CircuitBreaker.ts"
import * as CircuitPolicy from "./CircuitPolicy.ts"
import * as Fallback from "./Fallback.ts"
import * as Hedge from "./Hedge.ts"
import { answered, answering, classifyAnswer } from "./internal/answer.ts"
import { BULKHEAD } from "./internal/bulkhead/slots.ts"
import { checkFunction, checkOptions, isObject, optionNames, refuse } from "./internal/check.ts"
import { from as policyFrom } from "./internal/circuit/policy.ts"
import { loadCircuit } from "./internal/environment/load.ts"
import { begins, withBeginning } from "./internal/pipeline/beginning.ts"
import {
  type CheckedLimit,
  type CheckedLimits,
  checkLimit,
  checkLimits,
  nearlyAll
} from "./internal/pipeline/limits.ts"
import { arrange, isWithin } from "./internal/pipeline/order.ts"
import {
  type AnyCall,
  describeStages,
  describeTarget,
  type Stage,
  through,
  throughWithSpans
} from "./internal/pipeline/stages.ts"
import { RATE_LIMIT } from "./internal/rateLimit/rules.ts"
import { endingWithin } from "./internal/retry/policy.ts"
import { checkTarget } from "./internal/target.ts"
import { inOperation } from "./internal/telemetry/recorder.ts"
import * as RateLimit from "./RateLimit.ts"
import type {
  BulkheadFullError,
  CallTimeoutError,
  CircuitOpenError,
  RateLimitExceededError
} from "./ResilienceError.ts"
import * as Retry from "./Retry.ts"
import type { RetryBudget } from "./RetryBudget.ts"
import * as Timeout from "./Timeout.ts"

/**
 * Identifies a `Resilience` pipeline in types.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-resilience/Resilience"

/**
 * Identifies a `Resilience` pipeline at runtime.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-resilience/Resilience"

/**
 * The steps of a pipeline in the standard order, outermost first.
 *
 * **Details**
 *
 * The fallback sees every failure, and the timeout spans all attempts. Retry is
 * outside of the circuit, so that the circuit sees each attempt and retries stop
 * once it is open. The rate limit comes before the circuit and the bulkhead
 * after it, so that neither a rejected nor a queued call counts against the
 * dependency. The attempt timeout is innermost: a call that takes too long is a
 * failure.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export const STANDARD_ORDER = [
  "fallback",
  "timeout",
  "retry",
  "hedge",
  "rateLimit",
  "circuitBreaker",
  "bulkhead",
  "attemptTimeout"
] as const

/**
 * A step of a pipeline.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type Step = typeof STANDARD_ORDER[number]

/**
 * A limit of time in a pipeline: a duration, or a duration and whether to
 * return without waiting for a call that ignores interruption.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type TimeLimit =
  | Duration.Input
  | { readonly duration: Duration.Input; readonly disconnect?: boolean | undefined }

/**
 * The options of `Retry` for errors and values of any type, since many calls
 * share a pipeline.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface RetryOptions
  extends Omit<Retry.PlainOptions<unknown>, "while" | "whileSuccess" | "onRetry" | "schedule">
{
  readonly while?: ((error: unknown) => boolean) | undefined
  readonly whileSuccess?: ((value: unknown) => boolean) | undefined
  readonly onRetry?: ((retry: Retry.RetryInfo<unknown>) => Effect.Effect<unknown, unknown, unknown>) | undefined
  readonly schedule?: Schedule.Schedule<unknown, unknown, never, unknown> | undefined
}

/**
 * The options of `Hedge` for errors of any type, since many calls share a
 * pipeline.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface HedgeOptions extends Omit<Hedge.PlainOptions<unknown>, "while" | "onHedge"> {
  readonly while?: ((error: unknown) => boolean) | undefined
  readonly onHedge?: ((hedge: Hedge.HedgeInfo) => Effect.Effect<unknown, unknown, unknown>) | undefined
}

/** A policy for errors of any type. What it needs is read off its own type, see `Services`. */
interface AnyRetryPolicy {
  readonly [Retry.TypeId]: Retry.TypeId
  readonly while: ((error: unknown) => boolean) | undefined
  readonly whileSuccess: ((value: unknown) => boolean) | undefined
}

interface AnyHedgePolicy {
  readonly [Hedge.TypeId]: Hedge.TypeId
  readonly while: ((error: unknown) => boolean) | undefined
}

/**
 * Options of a pipeline. A step without its option is left out, except for the
 * circuit breaker.
 *
 * **Details**
 *
 * - `name`: names the circuit, and the call in timeouts.
 * - `isAnswer`: selects the errors that are answers, such as "not found". The
 *   circuit counts them as successes; they are not retried, not hedged, not
 *   given to the fallback, and pass through unchanged. By default no error is
 *   an answer.
 * - `classify`: decides the outcome of a call for the circuit, or returns
 *   `undefined` to leave it to the classifier of the policy. Not called for
 *   answers.
 * - `fallback`: an effect, or a function of the error, that runs when all else
 *   has failed.
 * - `timeout`: limits the whole call, with all attempts and waits. Without a
 *   lower `attemptTimeout`, a call that runs into it from its first moment on
 *   counts as a failure of the dependency. Retries never wait past it.
 * - `retry`: a retry policy or its options.
 * - `hedge`: a hedge policy or its options.
 * - `rateLimit`: a rate limit or its service class. A call waits for its tokens
 *   no longer than the `timeout`.
 * - `circuitBreaker`: a circuit, its service class or its name; or a policy or
 *   its options for the circuit of the registry with the pipeline's `name`,
 *   which is the default. `false` leaves the step out.
 * - `bulkhead`: a bulkhead or its service class.
 * - `attemptTimeout`: limits one attempt. Must be below `timeout`.
 * - `order`: the steps, outermost first. Must name each step that is present
 *   once, and may name others.
 * - `spans`: adds a span for the call, named like the pipeline, and with a retry
 *   or a hedge one for each attempt, with `resilience.attempt`. Both record how
 *   they ended in `resilience.outcome`: `success`, `failure`, `rejected`,
 *   `timeout`, `defect` or `interrupted`. Defaults to `false`.
 *
 * Neither timeout waits for a call that ignores interruption, as drivers of
 * databases may: it ends in the background. `{ duration, disconnect: false }`
 * waits.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly name: string
  readonly isAnswer?: ((error: unknown) => boolean) | undefined
  readonly classify?: CircuitBreaker.CallClassifier<unknown, unknown> | undefined
  readonly fallback?:
    | Effect.Effect<unknown, unknown, unknown>
    | ((error: unknown) => Effect.Effect<unknown, unknown, unknown>)
    | undefined
  readonly timeout?: TimeLimit | undefined
  readonly retry?: RetryOptions | AnyRetryPolicy | undefined
  readonly hedge?: HedgeOptions | AnyHedgePolicy | undefined
  readonly rateLimit?: RateLimit.Target | undefined
  readonly circuitBreaker?:
    | CircuitBreaker.Target
    | CircuitPolicy.CircuitPolicy
    | CircuitPolicy.Options
    | false
    | undefined
  readonly bulkhead?: Bulkhead.Target | undefined
  readonly attemptTimeout?: TimeLimit | undefined
  readonly order?: ReadonlyArray<Step> | undefined
  readonly spans?: boolean | undefined
}

const OPTIONS = /* @__PURE__ */ optionNames<Options>({
  name: true,
  isAnswer: true,
  classify: true,
  fallback: true,
  timeout: true,
  retry: true,
  hedge: true,
  rateLimit: true,
  circuitBreaker: true,
  bulkhead: true,
  attemptTimeout: true,
  order: true,
  spans: true
})

/** Refuses unknown options: a misspelt one would leave out a step. */
type Known<O> = string extends keyof O ? unknown : { readonly [K in Exclude<keyof O, keyof Options>]: never }

/**
 * A pipeline.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Resilience<O extends Options> {
  readonly [TypeId]: TypeId

  readonly name: string

  /** The steps, outermost first. */
  readonly steps: ReadonlyArray<Step>

  /** Runs a call through all steps. */
  readonly execute: <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<Spelled<Success<O, A>>, Spelled<Failure<O, E>>, Spelled<R | Services<O>>>

  /** Protects a function: every effect it returns runs through all steps. */
  readonly wrap: <Args extends ReadonlyArray<unknown>, A, E, R>(
    f: (...args: Args) => Effect.Effect<A, E, R>
  ) => (...args: Args) => Effect.Effect<Spelled<Success<O, A>>, Spelled<Failure<O, E>>, Spelled<R | Services<O>>>

  /** The steps in words as they are now, a line for each, outermost first. */
  readonly description: string
}

/**
 * Checks whether a value is a pipeline.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isResilience = (u: unknown): u is Resilience<Options> => Predicate.hasProperty(u, TypeId)

/** Whether an option is there. */
type Has<O, K extends string> = O extends { readonly [_ in K]?: infer V } ?
  [Exclude<V, undefined | false>] extends [never] ? false
  : unknown extends V ? false
  : true
  : false

/** What the option is, without what stands for its absence. */
type Get<O, K extends string> = O extends { readonly [_ in K]?: infer V } ? Exclude<V, undefined | false> : never

type Rejection<O> =
  | (Has<O, "timeout"> extends true ? CallTimeoutError : never)
  | (Has<O, "attemptTimeout"> extends true ? CallTimeoutError : never)
  | (Has<O, "rateLimit"> extends true ? RateLimitExceededError | RateLimit.TargetStoreError<Get<O, "rateLimit">>
    : never)
  | (O extends { readonly circuitBreaker: false } ? never : CircuitOpenError)
  | (Has<O, "bulkhead"> extends true ? BulkheadFullError : never)

/** The errors that are answers, of which no retry makes another error. */
type Answers<O, E> = O extends { readonly isAnswer: (error: unknown) => error is infer A } ? Extract<E, A>
  : Has<O, "isAnswer"> extends true ? E
  : never

type Unanswered<O, E> = O extends { readonly isAnswer: (error: unknown) => error is infer A } ? Exclude<E, A> : E

type Unrecovered<O, E> =
  | E
  | Rejection<O>
  | (Has<O, "retry"> extends true ? Retry.RetryExhausted<Unanswered<O, E> | Rejection<O>> : never)

type FallbackEffect<O> = Get<O, "fallback"> extends infer F ? F extends Effect.Effect<unknown, unknown, unknown> ? F
  : F extends (error: unknown) => infer R ? R
  : never
  : never

/**
 * The success type of a call through a pipeline.
 *
 * @stability stable
 * @category utility types
 * @since 0.1.0
 */
export type Success<O extends Options, A> = A | Effect.Success<FallbackEffect<O>>

/**
 * The error type of a call through a pipeline: only what its steps can raise. A
 * fallback in the standard order leaves only its own error, and answers.
 *
 * @stability stable
 * @category utility types
 * @since 0.1.0
 */
export type Failure<O extends Options, E> = Has<O, "fallback"> extends true ?
  Has<O, "order"> extends true ? Unrecovered<O, E | Effect.Error<FallbackEffect<O>>>
  : Answers<O, E> | Effect.Error<FallbackEffect<O>>
  : Unrecovered<O, E>

/** The same type, shown as what it is and not by the name of what computes it. */
type Spelled<T> = T extends infer U ? U : never

type CircuitServices<T> = [T] extends [never] ? CircuitBreaker.TargetServices<string>
  : T extends CircuitBreaker.Target ? CircuitBreaker.TargetServices<T>
  : CircuitBreaker.TargetServices<string>

type RetryServices<T> = T extends Retry.RetryPolicy<infer _E, infer R> ? R
  :
    | BudgetServices<T>
    | (T extends { readonly onRetry: (...args: ReadonlyArray<never>) => Effect.Effect<unknown, unknown, infer R> } ? R
      : never)
    | (T extends { readonly schedule: Schedule.Schedule<infer _A, infer _I, infer _E, infer R> } ? R : never)

type HedgeServices<T> = T extends Hedge.HedgePolicy<infer _E, infer R> ? R
  :
    | BudgetServices<T>
    | (T extends { readonly onHedge: (...args: ReadonlyArray<never>) => Effect.Effect<unknown, unknown, infer R> } ? R
      : never)

type BudgetServices<T> = T extends { readonly budget: Context.Key<infer R, RetryBudget> } ? R : never

/**
 * The services that a call through a pipeline needs.
 *
 * @stability stable
 * @category utility types
 * @since 0.1.0
 */
export type Services<O extends Options> =
  | (O extends { readonly circuitBreaker: false } ? never : CircuitServices<Get<O, "circuitBreaker">>)
  | (Has<O, "bulkhead"> extends true ? Bulkhead.TargetServices<Get<O, "bulkhead">> : never)
  | (Has<O, "rateLimit"> extends true ? RateLimit.TargetServices<Get<O, "rateLimit">> : never)
  | (Has<O, "retry"> extends true ? RetryServices<Get<O, "retry">> : never)
  | (Has<O, "hedge"> extends true ? HedgeServices<Get<O, "hedge">> : never)
  | Effect.Services<FallbackEffect<O>>

/**
 * Makes a pipeline.
 *
 * **Details**
 *
 * Throws a `RangeError` if an option is out of its range, or if the order lacks
 * a step that is present, names one twice or names an unknown one.
 *
 * **Example** (Changing the order)
 *
 * ```ts import.meta.vitest
 * import { Resilience } from "effect-resilience"
 *
 * const reports = Resilience.make({
 *   name: "reports",
 *   retry: { maxAttempts: 2, jitter: "none" },
 *   attemptTimeout: "30 seconds",
 *   // One outcome per call: the circuit judges the result of the retries.
 *   order: ["circuitBreaker", "retry", "attemptTimeout"]
 * })
 *
 * reports.steps // => ["circuitBreaker", "retry", "attemptTimeout"]
 * ```
 *
 * @see {@link standard} for a pipeline with the usual steps
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends Options>(options: O & Known<O>): Resilience<O> => {
  checkOptions<Options>("Resilience.make", options, OPTIONS)
  const { fallback, isAnswer, name, order, retry } = options
  if (typeof name !== "string") refuse("Resilience.make: name", "a string", name)
  checkFunction("Resilience.make: isAnswer", isAnswer)
  checkFunction("Resilience.make: classify", options.classify)
  if (fallback !== undefined && typeof fallback !== "function" && !Effect.isEffect(fallback)) {
    refuse("Resilience.make: fallback", "an effect or a function that returns one", fallback)
  }
  if (retry !== undefined && !isObject(retry)) {
    refuse("Resilience.make: retry", "a retry policy or its options", retry)
  }
  const steps = arrange(STANDARD_ORDER, (step) => isPresent(options, step), order)
  const limits = checkLimits(options, steps)
  const mayQueue = limits.interruptedAfter !== undefined &&
    (isWithin(steps, "circuitBreaker", "bulkhead") || isWithin(steps, "circuitBreaker", "rateLimit"))
  const plan: Plan = { options, steps, limits, mayQueue }
  const stages = steps.map((step) => STAGES[step](plan))
  const repeating = Math.max(steps.indexOf("retry"), steps.indexOf("hedge"))
  const run = (call: AnyCall): AnyCall => {
    const self = mayQueue ? begins(call) : call
    return options.spans === true ? throughWithSpans(self, stages, name, repeating) : through(self, stages)
  }
  const execute = isAnswer === undefined ? run : (self: AnyCall) => answered(run(answering(self, isAnswer)))
  return {
    [TypeId]: TypeId,
    name,
    steps,
    // The types of the steps are those of the options they were made from.
    execute: execute as Resilience<O>["execute"],
    wrap:
      ((f: (...args: ReadonlyArray<unknown>) => AnyCall) => (...args: ReadonlyArray<unknown>) =>
        execute(Effect.suspend(() => f(...args)))) as Resilience<O>["wrap"],
    get description() {
      return describeStages(name, stages)
    }
  }
}

/**
 * Runs a call through a pipeline, or through one made from options.
 *
 * **Details**
 *
 * Without a call it returns the function that protects calls, so that options
 * in a `pipe` are checked and made a pipeline once.
 *
 * Throws a `RangeError` as `make` does.
 *
 * **Example** (Protecting a call)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreakerRegistry, Resilience } from "effect-resilience"
 *
 * const getQuote = Effect.succeed("42 EUR").pipe(
 *   Resilience.withResilience({ name: "quote-api", retry: { maxAttempts: 3 }, attemptTimeout: "2 seconds" })
 * )
 *
 * await Effect.runPromise(getQuote.pipe(Effect.provide(CircuitBreakerRegistry.layer()))) // => "42 EUR"
 * ```
 *
 * @stability stable
 * @category combinators
 * @since 0.1.0
 */
export const withResilience: {
  <O extends Options>(
    pipeline: Resilience<O>
  ): <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<Spelled<Success<O, A>>, Spelled<Failure<O, E>>, Spelled<R | Services<O>>>
  <const O extends Options>(
    options: O & Known<O>
  ): <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<Spelled<Success<O, A>>, Spelled<Failure<O, E>>, Spelled<R | Services<O>>>
  <A, E, R, O extends Options>(
    self: Effect.Effect<A, E, R>,
    pipeline: Resilience<O>
  ): Effect.Effect<Spelled<Success<O, A>>, Spelled<Failure<O, E>>, Spelled<R | Services<O>>>
  <A, E, R, const O extends Options>(
    self: Effect.Effect<A, E, R>,
    options: O & Known<O>
  ): Effect.Effect<Spelled<Success<O, A>>, Spelled<Failure<O, E>>, Spelled<R | Services<O>>>
} = (selfOrPipeline: AnyCall | Resilience<Options> | Options, pipeline?: Resilience<Options> | Options): never =>
  // Not `dual`: options that are used for many calls are made a pipeline once.
  (Effect.isEffect(selfOrPipeline) ? from(pipeline!).execute(selfOrPipeline) : from(selfOrPipeline).execute) as never

const from = (pipeline: Resilience<Options> | Options): Resilience<Options> =>
  isResilience(pipeline) ? pipeline : make(pipeline)

/**
 * Makes a pipeline with the usual steps: up to three attempts, the circuit of
 * that name, and ten seconds for an attempt. Options replace or add steps.
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export const standard: {
  (name: string): Resilience<Standard<{}>>
  <const O extends Omit<Options, "name">>(name: string, options: O & Known<O>): Resilience<Standard<O>>
} = (name: string, options?: Omit<Options, "name">) => makeStandard(name, STANDARD, options)

const STANDARD = { retry: {}, attemptTimeout: /* @__PURE__ */ Duration.seconds(10) } as const

/**
 * Makes a standard pipeline with the settings of the environment: the attempts
 * and delays of `MAX_RETRY_ATTEMPTS` and `RETRY_…`, and the attempt timeout of
 * `CIRCUIT_BREAKER_REQUEST_TIMEOUT_SECONDS` or, for this circuit alone,
 * `CB_<NAME>_REQUEST_TIMEOUT_SECONDS`.
 *
 * **Details**
 *
 * Options replace or add steps, and replace the retry settings one by one. Only
 * the variable of this circuit alone overrides an `attemptTimeout`.
 *
 * The circuit takes its policy from the registry;
 * `CircuitBreakerRegistry.layerConfig` reads it from the environment. Fails with
 * one `ConfigError` that has all problems.
 *
 * **Example** (Configuring a pipeline by environment)
 *
 * ```ts import.meta.vitest
 * import { ConfigProvider, Effect } from "effect"
 * import { Resilience } from "effect-resilience"
 *
 * const env = { MAX_RETRY_ATTEMPTS: "5", CB_PAYMENT_API_REQUEST_TIMEOUT_SECONDS: "2" }
 *
 * const payments = await Effect.runPromise(Resilience.standardConfig("payment-api").pipe(
 *   Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
 * ))
 *
 * payments.description.includes("up to 5 attempts") // => true
 * payments.description.includes("2s for one attempt") // => true
 * ```
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export const standardConfig: {
  (name: string): Effect.Effect<Resilience<Standard<{}>>, Config.ConfigError>
  <const O extends Omit<Options, "name">>(
    name: string,
    options: O & Known<O>
  ): Effect.Effect<Resilience<Standard<O>>, Config.ConfigError>
} = (name: string, options?: Omit<Options, "name">) =>
  Effect.map(
    loadCircuit(name),
    ({ requestTimeout, retry, settings }) => {
      const isOwn = settings.some(({ circuit, key, source, variable }) =>
        circuit === name && key === "REQUEST_TIMEOUT_SECONDS" && source === "Variable" && variable.startsWith("CB_")
      )
      return makeStandard(name, { retry, attemptTimeout: requestTimeout(name) }, options, isOwn)
    }
  )

/**
 * The options of a standard pipeline.
 *
 * @stability stable
 * @category utility types
 * @since 0.1.0
 */
export type Standard<O> = O & Omit<typeof STANDARD, keyof O> & { readonly name: string }

/**
 * Options of the pipeline override the standard: its attempts end before its
 * total time. `isOwn`: the attempt timeout comes from the variable of this
 * circuit alone, which overrides code.
 */
const makeStandard = <O extends Omit<Options, "name">>(
  name: string,
  standard: { readonly retry: RetryOptions; readonly attemptTimeout: Duration.Duration },
  options: O | undefined,
  isOwn = false
): Resilience<Standard<O>> => {
  if (options !== undefined) checkOptions("Resilience.standard", options)
  const { attemptTimeout } = standard
  const merged: Options = { ...standard, ...options, ...isOwn ? { attemptTimeout } : undefined, name }
  const { retry } = merged
  const total = checkLimit("timeout", merged.timeout)?.duration
  const isTooLong = total !== undefined && merged.attemptTimeout === attemptTimeout &&
    Duration.isFinite(attemptTimeout) && Duration.isLessThanOrEqualTo(total, attemptTimeout)
  return make<Standard<O>>({
    ...merged,
    ...isTooLong ? { attemptTimeout: nearlyAll(total) } : undefined,
    ...isObject(retry) && !Retry.isRetryPolicy(retry)
      ? { retry: mergeRetry(standard.retry, retry as RetryOptions) }
      : undefined
  } as never)
}

const mergeRetry = (standard: RetryOptions, options: RetryOptions): RetryOptions => {
  // An option that is `undefined` is not said.
  const own: RetryOptions = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  // A schedule gives the waits in place of delays.
  return own.schedule === undefined ? { ...standard, ...own } : { maxAttempts: standard.maxAttempts, ...own }
}

// -----------------------------------------------------------------------------
// the steps
// -----------------------------------------------------------------------------

/** The options of a pipeline, checked, with what the steps need to know of each other. */
interface Plan {
  readonly options: Options
  readonly steps: ReadonlyArray<Step>
  readonly limits: CheckedLimits
  /** Whether a call may wait for its turn inside of the circuit, whose time is then not the dependency's. */
  readonly mayQueue: boolean
}

const isPresent = (options: Options, step: Step): boolean =>
  step === "circuitBreaker" ? options.circuitBreaker !== false : options[step] !== undefined

/** Makes a step that is present. */
const STAGES: { readonly [S in Step]: (plan: Plan) => Stage } = {
  fallback: ({ options: { fallback, isAnswer } }) => ({
    title: "fallback",
    describe: () => isAnswer === undefined ? "on any failure" : "on any failure but an answer",
    protect: (self) => Fallback.withFallback(self, fallback!)
  }),
  timeout: ({ limits, options: { name } }) => ({
    title: "timeout",
    describe: () => `${Duration.format(limits.timeout!.duration)} for the whole call`,
    protect: timeoutStep(limits.timeout!, name, "total")
  }),
  retry: (plan) => {
    const { name, retry } = plan.options
    const policy = inOperation(name, Retry.isRetryPolicy(retry) ? retry : Retry.make(retry as Retry.Options))
    const total = totalAround("retry", plan)
    // A wait that ends after the whole call has to is not worth beginning.
    const limited = total === undefined ? policy : endingWithin(policy, total)
    return { title: "retry", describe: () => policy.description, protect: (self) => Retry.withRetry(self, limited) }
  },
  hedge: ({ options: { hedge, name } }) => {
    const policy = inOperation(name, Hedge.isHedgePolicy(hedge) ? hedge : Hedge.make(hedge as Hedge.Options))
    return { title: "hedge", describe: () => policy.description, protect: (self) => Hedge.withHedge(self, policy) }
  },
  rateLimit: (plan) => {
    const limit = checkTarget(RATE_LIMIT, "Resilience.make: rateLimit", plan.options.rateLimit!)
    return {
      title: "rate limit",
      describe: () => describeTarget(limit),
      protect: RateLimit.withRateLimit(limit, { maxWait: totalAround("rateLimit", plan) })
    }
  },
  circuitBreaker: (plan) => {
    const circuit = circuitOf(plan.options)
    return {
      title: "circuit breaker",
      describe: () => describeCircuit(circuit),
      protect: circuitStep(plan, circuit)
    }
  },
  bulkhead: ({ options }) => {
    const bulkhead = checkTarget(BULKHEAD, "Resilience.make: bulkhead", options.bulkhead!)
    return { title: "bulkhead", describe: () => describeTarget(bulkhead), protect: Bulkhead.withBulkhead(bulkhead) }
  },
  attemptTimeout: ({ limits, options: { name } }) => ({
    title: "attempt timeout",
    describe: () => `${Duration.format(limits.attemptTimeout!.duration)} for one attempt`,
    protect: timeoutStep(limits.attemptTimeout!, name, "attempt")
  })
}

/** The time of the whole call, if it limits the step. */
const totalAround = (step: Step, { limits, steps }: Plan): Duration.Duration | undefined =>
  isWithin(steps, "timeout", step) ? limits.timeout?.duration : undefined

const timeoutStep = (limit: CheckedLimit, operation: string, kind: "attempt" | "total"): Stage["protect"] =>
  Timeout.withTimeout({ ...limit, operation, kind })

/** Where the circuit is, and under which policy if the pipeline has one for it. */
interface LocatedCircuit {
  readonly target: CircuitBreaker.Target
  readonly policy?: CircuitPolicy.CircuitPolicy
}

const circuitOf = ({ circuitBreaker, name }: Options): LocatedCircuit => {
  const circuit = circuitBreaker as Exclude<Options["circuitBreaker"], false>
  if (circuit === undefined || typeof circuit === "string") return { target: circuit ?? name }
  if (CircuitBreaker.isCircuitBreaker(circuit) || Context.isKey(circuit)) return { target: circuit }
  if (!isObject(circuit)) {
    return refuse("Resilience.make: circuitBreaker", "a circuit, the name or the class of one, or a policy", circuit)
  }
  return { target: name, policy: policyFrom("Resilience.make: circuitBreaker", circuit as CircuitPolicy.Options) }
}

const describeCircuit = ({ policy, target }: LocatedCircuit): string => {
  if (typeof target !== "string") return describeTarget(target)
  return policy === undefined ? `"${target}" of the registry` : `"${target}" of the registry: ${policy.description}`
}

const circuitStep = (
  { limits: { interruptedAfter }, mayQueue, options }: Plan,
  { policy, target }: LocatedCircuit
): Stage["protect"] => {
  const classify = options.isAnswer === undefined ? options.classify : classifyAnswer(options.classify)
  if (!mayQueue) return CircuitBreaker.withCircuitBreaker(target, { policy, classify, interruptedAfter })
  return (self) =>
    withBeginning(self, (self, waited) =>
      CircuitBreaker.withCircuitBreaker(self, target, {
        policy,
        classify,
        // Asked at the end of the call. One that never began has not waited for the dependency.
        get interruptedAfter() {
          const queued = waited()
          return queued === undefined ? Duration.infinity : Duration.sum(interruptedAfter!, queued)
        }
      }))
}
