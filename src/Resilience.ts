/**
 * The standard pipeline: fallback, timeout, retry, hedge, rate limit, circuit
 * breaker, bulkhead and attempt timeout around a call, as one value.
 *
 * Its order is the one below, outermost first, and can be changed; `describe`
 * says it in words, so that it can be checked.
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
 * const charge = payments.apply(Effect.succeed("charged"))
 *
 * await Effect.runPromise(charge.pipe(Effect.provide(CircuitBreakerRegistry.layer()))) // => "charged"
 *
 * payments.steps // => ["timeout", "retry", "circuitBreaker", "attemptTimeout"]
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { format } from "effect/Formatter"
import * as Predicate from "effect/Predicate"
import type * as Schedule from "effect/Schedule"
import * as Bulkhead from "./Bulkhead.ts"
import * as CircuitBreaker from "./CircuitBreaker.ts"
import * as CircuitPolicy from "./CircuitPolicy.ts"
import * as Environment from "./Environment.ts"
import * as Fallback from "./Fallback.ts"
import * as Hedge from "./Hedge.ts"
import { answered, answering, classifyAnswer } from "./internal/answer.ts"
import { checkDuration, checkFunction, checkKnown, checkOptions, isObject, refuse } from "./internal/check.ts"
import { monotonicMillis } from "./internal/time/monotonic.ts"
import { inOperation } from "./internal/telemetry/recorder.ts"
import { attemptSpan, callSpan } from "./internal/telemetry/spans.ts"
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
 * The steps of a pipeline in the standard order, outermost first.
 *
 * **Details**
 *
 * A fallback sees every failure. The timeout spans all attempts. Retry is
 * outside of the circuit, so the circuit sees each attempt and a retry stops
 * once it is open. The rate limit comes before the circuit, the bulkhead after
 * it, so that neither a rejected call nor a queued one is held against the
 * dependency. The attempt timeout is the innermost: a call that takes too long
 * is a failure.
 *
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
 * @category models
 * @since 0.1.0
 */
export type Step = typeof STANDARD_ORDER[number]

/**
 * A limit of time in a pipeline, with or without waiting for a call that does
 * not let go when it is interrupted.
 *
 * @category models
 * @since 0.1.0
 */
export type TimeLimit =
  | Duration.Input
  | { readonly duration: Duration.Input; readonly disconnect?: boolean | undefined }

/**
 * How a pipeline retries: the options of `Retry`, for errors and values of
 * any type, since many calls share a pipeline.
 *
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
 * How a pipeline hedges: the options of `Hedge`, for errors of any type, since
 * many calls share a pipeline.
 *
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
 * Options of a pipeline. A step that is left out is not there, except for the
 * circuit breaker.
 *
 * **Details**
 *
 * - `name`: names the circuit, and the call in timeouts.
 * - `isAnswer`: the errors of the call that end it, such as "not found". They
 *   are what the dependency had to say: a success for the circuit, neither
 *   retried nor hedged nor given to the fallback, and raised as they are. By
 *   default no error is.
 * - `classify`: decides the outcome of a call for the circuit, or returns
 *   `undefined` to leave it to the policy's own classifier. It is not asked
 *   about answers.
 * - `fallback`: what to do when all else has failed, an effect or a function of
 *   the error.
 * - `timeout`: of the whole call, all attempts and waits included. A call that
 *   runs into it from its first moment on counts as a failure of the
 *   dependency if no lower `attemptTimeout` does so. No retry waits past it.
 * - `retry`: `Retry` options or a policy.
 * - `hedge`: `Hedge` options or a policy.
 * - `rateLimit`: a rate limit or the class of one. A call waits for its tokens
 *   no longer than the `timeout` allows.
 * - `circuitBreaker`: a circuit, the class of one, the name of one, or a policy
 *   or the options of one for the circuit in the registry that goes by `name`,
 *   which is used by default. `false` leaves it out.
 * - `bulkhead`: a bulkhead or the class of one.
 * - `attemptTimeout`: of one attempt. Must be below `timeout`.
 * - `order`: the steps, outermost first. Every step that is there must be named
 *   once; steps that are not there may be.
 * - `spans`: a span for the call, named like the pipeline, and one for each
 *   attempt if there is a retry or a hedge, with `resilience.attempt`; both say
 *   how they ended in `resilience.outcome`: `success`, `failure`, `rejected`,
 *   `timeout`, `defect` or `interrupted`. None by default.
 *
 * Neither timeout waits for a call that does not let go when it is interrupted,
 * as drivers of databases may: it ends in the background. `{ duration,
 * disconnect: false }` waits.
 *
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

const OPTIONS = [
  "name",
  "isAnswer",
  "classify",
  ...STANDARD_ORDER,
  "order",
  "spans"
] as const satisfies ReadonlyArray<keyof Options>

/** Refuses options that there are not: a misspelt one would leave out what was meant to protect. */
type Known<O> = string extends keyof O ? unknown : { readonly [K in Exclude<keyof O, keyof Options>]: never }

/**
 * A pipeline.
 *
 * @category models
 * @since 0.1.0
 */
export interface Resilience<O extends Options> {
  readonly name: string

  /** Its steps, outermost first. */
  readonly steps: ReadonlyArray<Step>

  /** Runs a call through all steps. */
  readonly apply: <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<Spelled<Success<O, A>>, Spelled<Failure<O, E>>, Spelled<R | Services<O>>>

  /** Protects a function: every effect it returns runs through all steps. */
  readonly wrap: <Args extends ReadonlyArray<unknown>, A, E, R>(
    f: (...args: Args) => Effect.Effect<A, E, R>
  ) => (...args: Args) => Effect.Effect<Spelled<Success<O, A>>, Spelled<Failure<O, E>>, Spelled<R | Services<O>>>

  /** What it does, in words: a line for each step, outermost first. */
  readonly describe: string
}

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
 * What a call through a pipeline succeeds with.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Success<O extends Options, A> = A | Effect.Success<FallbackEffect<O>>

/**
 * What a call through a pipeline fails with: only what its steps can raise. A
 * fallback in the standard order leaves nothing but its own error.
 *
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
 * What a call through a pipeline needs.
 *
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

/** A step with what it says of itself. */
interface Stage {
  readonly title: string
  readonly description: string
  readonly apply: (self: Effect.Effect<unknown, unknown, unknown>) => Effect.Effect<unknown, unknown, unknown>
}

/**
 * Makes a pipeline.
 *
 * **Details**
 *
 * Throws a `RangeError` for options out of range, and for an order that lacks
 * a step that is there, names one twice, or names one that does not exist.
 *
 * **Example** (Checking the order)
 *
 * ```ts import.meta.vitest
 * import { Resilience } from "effect-resilience"
 *
 * const reports = Resilience.make({
 *   name: "reports",
 *   retry: { maxAttempts: 2, jitter: "none" },
 *   attemptTimeout: "30 seconds",
 *   // One outcome per call: the circuit judges what is left after the retries.
 *   order: ["circuitBreaker", "retry", "attemptTimeout"]
 * })
 *
 * reports.steps // => ["circuitBreaker", "retry", "attemptTimeout"]
 * ```
 *
 * @see {@link standard} for a pipeline with the usual steps
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends Options>(options: O & Known<O>): Resilience<O> => {
  checkOptions<Options>("Resilience.make", options, OPTIONS)
  const { fallback, isAnswer, name, retry } = options
  if (typeof name !== "string") refuse("Resilience.make: name", "a string", name)
  checkFunction("Resilience.make: isAnswer", isAnswer)
  checkFunction("Resilience.make: classify", options.classify)
  if (fallback !== undefined && typeof fallback !== "function" && !Effect.isEffect(fallback)) {
    refuse("Resilience.make: fallback", "an effect or a function that returns one", fallback)
  }
  if (retry !== undefined && !isObject(retry)) {
    refuse("Resilience.make: retry", "a retry policy or its options", retry)
  }
  const present = presentOf(options)
  const steps = arrange(STANDARD_ORDER.filter((step) => present[step]), options.order)
  const limits = timeLimits(options, steps)
  const mayQueue = limits.interruptedAfter !== undefined &&
    (isWithin(steps, "circuitBreaker", "bulkhead") || isWithin(steps, "circuitBreaker", "rateLimit"))
  const stages: Record<Step, () => Stage> = {
    fallback: () => ({
      title: "fallback",
      description: isAnswer === undefined ? "on any failure" : "on any failure but an answer",
      apply: (self) => Fallback.withFallback(self, fallback!)
    }),
    timeout: () => timeoutStage("timeout", limits.timeout!, name),
    retry: () => retryStage(retry!, name, isWithin(steps, "timeout", "retry") ? limits.timeout?.duration : undefined),
    hedge: () => hedgeStage(options.hedge!, name),
    rateLimit: () => ({
      title: "rate limit",
      description: describeTarget(checkTarget("rateLimit", options.rateLimit!, RateLimit.isRateLimit)),
      apply: RateLimit.withRateLimit(options.rateLimit!, {
        maxWait: isWithin(steps, "timeout", "rateLimit") ? limits.timeout?.duration : undefined
      })
    }),
    circuitBreaker: () => circuitStage(options, limits.interruptedAfter, mayQueue),
    bulkhead: () => ({
      title: "bulkhead",
      description: describeTarget(checkTarget("bulkhead", options.bulkhead!, Bulkhead.isBulkhead)),
      apply: Bulkhead.withBulkhead(options.bulkhead!)
    }),
    attemptTimeout: () => timeoutStage("attempt timeout", limits.attemptTimeout!, name)
  }
  const pipeline = steps.map((step) => stages[step]())
  // What is inside of this one runs once for each attempt.
  const repeating = Math.max(steps.indexOf("retry"), steps.indexOf("hedge"))
  const through = (self: AnyCall, stages: ReadonlyArray<Stage>): AnyCall =>
    stages.reduceRight((inner, stage) => stage.apply(inner), self)
  const run = (call: AnyCall): AnyCall => {
    const self = mayQueue ? begins(call) : call
    if (options.spans !== true) return through(self, pipeline)
    const attempt = through(self, pipeline.slice(repeating + 1))
    const repeated = repeating < 0 ? attempt : attemptSpan(attempt, name)
    return callSpan(through(repeated, pipeline.slice(0, repeating + 1)), name)
  }
  const apply = isAnswer === undefined ? run : (self: AnyCall) => answered(run(answering(self, isAnswer)))
  return {
    name,
    steps,
    // The types of the steps are those of the options they were made from.
    apply: apply as Resilience<O>["apply"],
    wrap:
      ((f: (...args: ReadonlyArray<unknown>) => AnyCall) => (...args: ReadonlyArray<unknown>) =>
        apply(Effect.suspend(() => f(...args)))) as Resilience<O>["wrap"],
    describe: describeStages(name, pipeline)
  }
}

type AnyCall = Effect.Effect<unknown, unknown, unknown>

/**
 * Makes a pipeline with the usual steps: up to three attempts, the circuit of
 * that name, ten seconds for an attempt. Options replace or add steps.
 *
 * @category constructors
 * @since 0.1.0
 */
export const standard: {
  (name: string): Resilience<Standard<{}>>
  <const O extends Omit<Options, "name">>(name: string, options: O & Known<O>): Resilience<Standard<O>>
} = (name: string, options?: Omit<Options, "name">) => makeStandard(name, STANDARD, options)

const STANDARD = { retry: {}, attemptTimeout: Duration.seconds(10) } as const

/**
 * What is not said for the pipeline itself yields to what is: its attempts end
 * before its total time. `isOwn` says that the attempt timeout was said for the
 * circuit by name, which goes before what the code says.
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
    ...isTooLong ? { attemptTimeout: Duration.times(total, NEARLY_ALL) } : undefined,
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

/**
 * Makes a standard pipeline that the environment configures: the attempts and
 * delays of `MAX_RETRY_ATTEMPTS` and `RETRY_…`, and the attempt timeout of
 * `CIRCUIT_BREAKER_REQUEST_TIMEOUT_SECONDS` or, for this circuit alone,
 * `CB_<NAME>_REQUEST_TIMEOUT_SECONDS`. Options replace or add steps, except that
 * the variable of this circuit alone goes before an `attemptTimeout`.
 *
 * **Details**
 *
 * The circuit takes its policy from the registry; `CircuitBreakerRegistry.layerConfig`
 * is the one that the environment configures. Fails with one `ConfigError`
 * that has all problems.
 *
 * **Example** (Setting a pipeline by environment)
 *
 * ```ts import.meta.vitest
 * import { ConfigProvider, Effect } from "effect"
 * import { Resilience } from "effect-resilience"
 *
 * const env = { MAX_RETRY_ATTEMPTS: "5", CB_PAYMENT_API_REQUEST_TIMEOUT_SECONDS: "2" }
 *
 * const payments = await Effect.runPromise(Resilience.config("payment-api").pipe(
 *   Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
 * ))
 *
 * payments.describe.includes("up to 5 attempts") // => true
 * payments.describe.includes("2s for one attempt") // => true
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const config: {
  (name: string): Effect.Effect<Resilience<Standard<{}>>, Config.ConfigError>
  <const O extends Omit<Options, "name">>(
    name: string,
    options: O & Known<O>
  ): Effect.Effect<Resilience<Standard<O>>, Config.ConfigError>
} = (name: string, options?: Omit<Options, "name">) =>
  Effect.map(
    Environment.loadCircuit(name),
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
 * @category utility types
 * @since 0.1.0
 */
export type Standard<O> = O & Omit<typeof STANDARD, keyof O> & { readonly name: string }

const presentOf = (options: Options): Record<Step, boolean> => ({
  fallback: options.fallback !== undefined,
  timeout: options.timeout !== undefined,
  retry: options.retry !== undefined,
  hedge: options.hedge !== undefined,
  rateLimit: options.rateLimit !== undefined,
  circuitBreaker: options.circuitBreaker !== false,
  bulkhead: options.bulkhead !== undefined,
  attemptTimeout: options.attemptTimeout !== undefined
})

const isWithin = (steps: ReadonlyArray<Step>, outer: Step, inner: Step): boolean =>
  steps.includes(outer) && steps.indexOf(outer) < steps.indexOf(inner)

interface CheckedLimit {
  readonly duration: Duration.Duration
  readonly disconnect: boolean
}

const checkLimit = (option: "timeout" | "attemptTimeout", limit: TimeLimit | undefined): CheckedLimit | undefined => {
  if (limit === undefined) return undefined
  const field = `Resilience.make: ${option}`
  if (!Predicate.hasProperty(limit, "duration")) return { duration: checkDuration(field, limit), disconnect: true }
  const options = limit as Exclude<TimeLimit, Duration.Input>
  checkKnown(field, options, ["duration", "disconnect"])
  return { duration: checkDuration(`${field}.duration`, options.duration), disconnect: options.disconnect !== false }
}

/** The share of the total time after which a call that is interrupted has in effect timed out. */
const NEARLY_ALL = 0.9

/**
 * A total timeout that ends an attempt before its own timeout does would
 * switch the circuit off for calls that hang: it interrupts, and an interrupted
 * call says nothing of the dependency.
 */
const timeLimits = (options: Options, steps: ReadonlyArray<Step>) => {
  const timeout = checkLimit("timeout", options.timeout)
  const attemptTimeout = checkLimit("attemptTimeout", options.attemptTimeout)
  const total = timeout?.duration
  const isCutShort = total !== undefined && Duration.isFinite(total) && isWithin(steps, "timeout", "attemptTimeout") &&
    attemptTimeout !== undefined && Duration.isFinite(attemptTimeout.duration) &&
    !Duration.isLessThan(attemptTimeout.duration, total)
  if (isCutShort) {
    throw new RangeError(
      `Resilience.make: attemptTimeout must be below timeout (${Duration.format(total)}), ` +
        `got ${Duration.format(attemptTimeout.duration)}`
    )
  }
  const limits = { timeout, attemptTimeout }
  const finite = (["timeout", "attemptTimeout"] as const).flatMap((step) => {
    const duration = limits[step]?.duration
    return duration !== undefined && Duration.isFinite(duration) ? [{ step, duration }] : []
  })
  const around = finite.filter(({ step }) => isWithin(steps, step, "circuitBreaker"))
  const isTimed = finite.some(({ step }) => isWithin(steps, "circuitBreaker", step))
  const interruptedAfter = isTimed || around.length === 0
    ? undefined
    : Duration.times(around.map(({ duration }) => duration).reduce(Duration.min), NEARLY_ALL)
  return { timeout, attemptTimeout, interruptedAfter }
}

const timeoutStage = (
  title: "timeout" | "attempt timeout",
  { disconnect, duration }: CheckedLimit,
  operation: string
): Stage => ({
  title,
  description: `${Duration.format(duration)} ${title === "timeout" ? "for the whole call" : "for one attempt"}`,
  apply: Timeout.withTimeout({ duration, disconnect, operation, kind: title === "timeout" ? "total" : "attempt" })
})

const retryStage = (
  options: NonNullable<Options["retry"]>,
  operation: string,
  total: Duration.Duration | undefined
): Stage => {
  const policy = inOperation(operation, Retry.isRetryPolicy(options) ? options : Retry.make(options as Retry.Options))
  // A wait that ends after the whole call has to is not worth beginning.
  const limited = total === undefined ? policy : Retry.endingWithin(policy, total)
  return {
    title: "retry",
    description: policy.description,
    apply: (self) => Retry.withRetry(self, limited)
  }
}

const hedgeStage = (options: NonNullable<Options["hedge"]>, operation: string): Stage => {
  const policy = inOperation(operation, Hedge.isHedgePolicy(options) ? options : Hedge.make(options as Hedge.Options))
  return {
    title: "hedge",
    description: policy.description,
    apply: (self) => Hedge.withHedge(self, policy)
  }
}

/** When the call itself began, after it had waited for its turn inside of the circuit. */
const Beginning = Context.Reference<{ at: number | undefined } | undefined>("effect-resilience/Beginning", {
  defaultValue: () => undefined
})

const monotonicNow = (fiber: Fiber.Fiber<unknown, unknown>): number => monotonicMillis(fiber.getRef(Clock.Clock))

const begins = (call: AnyCall): AnyCall =>
  Effect.withFiber((fiber) => {
    const beginning = fiber.getRef(Beginning)
    if (beginning !== undefined) beginning.at ??= monotonicNow(fiber)
    return call
  })

const circuitStage = (
  options: Options,
  interruptedAfter: Duration.Duration | undefined,
  mayQueue: boolean
): Stage => {
  const { name } = options
  const circuit = options.circuitBreaker as Exclude<Options["circuitBreaker"], false>
  const classify = options.isAnswer === undefined ? options.classify : classifyAnswer(options.classify)
  const stage = (description: string, target: CircuitBreaker.Target, policy?: CircuitPolicy.CircuitPolicy): Stage => ({
    title: "circuit breaker",
    description,
    apply: !mayQueue
      ? CircuitBreaker.withCircuitBreaker(target, { policy, classify, interruptedAfter })
      : (self) =>
        Effect.withFiber((fiber) => {
          const admittedAt = monotonicNow(fiber)
          const beginning: { at: number | undefined } = { at: undefined }
          return CircuitBreaker.withCircuitBreaker(Effect.provideService(self, Beginning, beginning), target, {
            policy,
            classify,
            // Asked at the end of the call. One that never began has not waited for the dependency.
            get interruptedAfter() {
              return beginning.at === undefined
                ? Duration.infinity
                : Duration.sum(interruptedAfter!, Duration.millis(beginning.at - admittedAt))
            }
          })
        })
  })
  if (circuit === undefined) return stage(`"${name}" of the registry`, name)
  if (typeof circuit === "string") return stage(`"${circuit}" of the registry`, circuit)
  if (CircuitBreaker.isCircuitBreaker(circuit) || Context.isKey(circuit)) return stage(describeTarget(circuit), circuit)
  if (!isObject(circuit)) {
    return refuse("Resilience.make: circuitBreaker", "a circuit, the name or the class of one, or a policy", circuit)
  }
  const policy = CircuitPolicy.from("Resilience.make: circuitBreaker", circuit as CircuitPolicy.Options)
  return stage(`"${name}" of the registry: ${CircuitPolicy.describe(policy)}`, name, policy)
}

/** Both hold state, so that options in place of them would be a new one for each pipeline. */
const checkTarget = <T extends object>(option: string, target: T, isValue: (u: unknown) => boolean): T => {
  if (isValue(target) || Context.isKey(target)) return target
  throw new RangeError(
    `Resilience.make: ${option} must be a value made with ${option === "bulkhead" ? "Bulkhead" : "RateLimit"}.make ` +
      `or the class of a service, got ${format(target)}`
  )
}

/** A target by value knows its name and description; the class of a service knows its key. */
const describeTarget = (target: { readonly name: string } | Context.Key<unknown, object>): string => {
  const name = Context.isKey(target) ? target.key.slice(target.key.lastIndexOf("/") + 1) : target.name
  return Predicate.hasProperty(target, "description") ? `"${name}": ${target.description}` : `"${name}"`
}

const arrange = (present: ReadonlyArray<Step>, order: ReadonlyArray<Step> | undefined): ReadonlyArray<Step> => {
  if (order === undefined) return present
  if (!Array.isArray(order)) return refuse("Resilience.make: order", "a list of steps", order)
  const accepted = `each step once, of ${STANDARD_ORDER.join(", ")}`
  const fail = (what: string): never => {
    throw new RangeError(`Resilience.make: order must name ${accepted}, got ${what}`)
  }
  for (const [index, step] of order.entries()) {
    if (!STANDARD_ORDER.includes(step)) fail(`"${step}"`)
    if (order.indexOf(step) !== index) fail(`"${step}" twice`)
  }
  for (const step of present) if (!order.includes(step)) fail(`an order without "${step}"`)
  return order.filter((step) => present.includes(step))
}

const describeStages = (name: string, stages: ReadonlyArray<Stage>): string => {
  const width = Math.max(...stages.map((stage) => stage.title.length), 4)
  const lines = stages.map(({ description, title }) => `  ${title.padEnd(width)}  ${description}`)
  return [name, ...lines, `  ${"call".padEnd(width)}`.trimEnd()].join("\n")
}
