/**
 * Calls again what failed, after a wait that grows with each attempt.
 *
 * **Details**
 *
 * The n-th retry waits `baseDelay × factor^(n - 1)`, at most `maxDelay`, spread
 * by jitter so that callers that failed together do not come back together. A
 * retry is given up for one of three reasons, and then fails with
 * `RetryExhaustedError`: all attempts are used up, the time is, or the retry
 * budget is.
 *
 * Errors that no retry can help pass through as themselves:
 *
 * - those the `while` predicate refuses;
 * - a rejection by an open circuit, unless `waitForCircuit` is set;
 * - an error whose `retryAfter` asks for a longer wait than `maxRetryAfter`;
 * - defects and interruptions.
 *
 * **Gotchas**
 *
 * - Only retry what may run twice. A call that failed may still have had its
 *   effect on the other side.
 * - Retries multiply: three attempts of a call that makes three attempts are
 *   nine. Retry at one level, and bound the whole with a `RetryBudget`.
 *
 * **Example** (Retrying a call)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Retry } from "effect-resilience"
 *
 * let calls = 0
 * const flaky = Effect.suspend(() => ++calls < 3 ? Effect.fail("unavailable") : Effect.succeed("served"))
 *
 * const program = flaky.pipe(
 *   Retry.withRetry({ maxAttempts: 3, baseDelay: "10 millis" })
 * )
 *
 * await Effect.runPromise(program) // => "served"
 * calls // => 3
 * ```
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { Answer } from "./internal/answer.ts"
import {
  checkAtLeast,
  checkCount,
  checkDuration,
  checkFunction,
  checkOptions,
  isObject,
  refuse
} from "./internal/check.ts"
import { forgetFailedAttempts, noteFailedAttempts } from "./internal/retry/failedAttempts.ts"
import { monotonicMillis, nanosToMillis } from "./internal/time/monotonic.ts"
import { recorderOf } from "./internal/telemetry/recorder.ts"
import { retryExhaustedError } from "./internal/error/rejection.ts"
import { retryDelay } from "./internal/retry/delay.ts"
import { getService } from "./internal/serviceNames.ts"
import * as Outcome from "./Outcome.ts"
import { isCircuitOpenError, isRetryExhaustedError, type RetryExhaustedError } from "./ResilienceError.ts"
import { checkBudget, isRetryBudget, type RetryBudget } from "./RetryBudget.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-resilience/RetryPolicy"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-resilience/RetryPolicy"

/**
 * How the wait before a retry is spread, where `v` is the exponential delay and
 * `U(a, b)` a random time between two.
 *
 * **Details**
 *
 * - `none`: `v`.
 * - `proportional`: `v × U(0.5, 1.5)`.
 * - `full`: `U(0, v)`. Spreads a crowd best, and may retry at once.
 * - `equal`: `v / 2 + U(0, v / 2)`. Waits at least half.
 * - `decorrelated`: `U(baseDelay, 3 × the last wait)`. Ignores `factor`.
 *
 * None is ever longer than `maxDelay`.
 *
 * @category models
 * @since 0.1.0
 */
export type Jitter = "none" | "proportional" | "full" | "equal" | "decorrelated"

/**
 * How often and how fast to retry, whatever the error.
 *
 * **Details**
 *
 * - `maxAttempts`: attempts, the first included; 3 by default, or without
 *   limit if there is a `schedule`. `Infinity` sets no limit.
 * - `baseDelay`: wait before the first retry; 1 second by default.
 * - `maxDelay`: longest wait; 60 seconds by default.
 * - `factor`: what each wait is multiplied by to get the next, from 1; 2 by
 *   default.
 * - `jitter`: how waits are spread; `"proportional"` by default.
 * - `maxRetryAfter`: an error may carry a `retryAfter`, before which it is not
 *   retried. If it asks for more than this, the error is not retried at all.
 *   The same as `maxDelay` by default, so that no wait is longer than that.
 * - `maxElapsed`: no retry starts later than this after the first attempt
 *   started; no limit by default.
 * - `waitForCircuit`: wait out the `retryAfter` of an open circuit, however
 *   long, and try again; `false` by default, when its rejection passes through
 *   at once. It always does if the circuit is forced open without an end.
 * - `budget`: bounds the retries of all calls that share it; none by default.
 *   A budget, or the class of a budget service.
 * - `operation`: names the call in metrics; the name of the pipeline by
 *   default, `call` outside of one.
 *
 * @category models
 * @since 0.1.0
 */
export interface PlainOptions<out R = never> {
  readonly maxAttempts?: number | undefined
  readonly baseDelay?: Duration.Input | undefined
  readonly maxDelay?: Duration.Input | undefined
  readonly factor?: number | undefined
  readonly jitter?: Jitter | undefined
  readonly maxRetryAfter?: Duration.Input | undefined
  readonly maxElapsed?: Duration.Input | undefined
  readonly waitForCircuit?: boolean | undefined
  readonly budget?: RetryBudget | Context.Key<R, RetryBudget> | undefined
  readonly operation?: string | undefined
  readonly while?: undefined
  readonly whileSuccess?: undefined
  readonly onRetry?: undefined
  readonly schedule?: undefined
}

/**
 * How to retry.
 *
 * **Details**
 *
 * Besides the {@link PlainOptions}:
 *
 * - `while`: whether to retry an error; all are by default. It is not asked
 *   about a rejection by an open circuit, which is up to `waitForCircuit`.
 * - `onRetry`: runs before the wait for each retry, on its own: it cannot delay
 *   the call, and if it fails that is logged.
 * - `schedule`: gives the waits, in place of `baseDelay`, `maxDelay`, `factor`
 *   and `jitter`; its input is the error. When it ends, the attempts are used
 *   up.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in E = unknown, out R = never>
  extends Omit<PlainOptions<R>, "while" | "onRetry" | "schedule">
{
  readonly while?: ((error: E) => boolean) | undefined
  readonly onRetry?: ((retry: RetryInfo<E>) => Effect.Effect<unknown, unknown, R>) | undefined
  readonly schedule?: Schedule.Schedule<unknown, E, never, R> | undefined
}

/**
 * How to retry values as well as errors.
 *
 * **Details**
 *
 * Besides the {@link Options}, without `schedule`:
 *
 * - `whileSuccess`: whether to retry a value, such as "not ready yet". When the
 *   retries end, the last value is the result.
 *
 * @category models
 * @since 0.1.0
 */
export interface ValueOptions<in A, in E = unknown, out R = never>
  extends Omit<Options<E, R>, "whileSuccess" | "schedule">
{
  readonly whileSuccess: (value: A) => boolean
  readonly schedule?: undefined
}

type AnyOptions<A, E, R> = Options<E, R> | ValueOptions<A, E, R>

/**
 * A retry that is about to be made.
 *
 * **Details**
 *
 * - `attempt`: number of the attempt that failed, from 1.
 * - `delay`: wait before the next one.
 * - `error`: what it failed with; `undefined` if it succeeded and
 *   `whileSuccess` asks for another.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryInfo<out E> {
  readonly attempt: number
  readonly delay: Duration.Duration
  readonly error: E
}

/**
 * How to retry, as a value that many calls can share.
 *
 * @see {@link make} for creating one
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryPolicy<in E = unknown, out R = never, in A = unknown> {
  readonly [TypeId]: TypeId
  readonly maxAttempts: number
  readonly baseDelay: Duration.Duration
  readonly maxDelay: Duration.Duration
  readonly factor: number
  readonly jitter: Jitter
  readonly maxRetryAfter: Duration.Duration
  /** Infinite if there is no limit. */
  readonly maxElapsed: Duration.Duration
  readonly waitForCircuit: boolean
  readonly budget: RetryBudget | Context.Key<R, RetryBudget> | undefined
  readonly operation: string | undefined
  readonly while: ((error: E) => boolean) | undefined
  readonly whileSuccess: ((value: A) => boolean) | undefined
  readonly onRetry: ((retry: RetryInfo<E>) => Effect.Effect<unknown, unknown, R>) | undefined
  readonly schedule: Schedule.Schedule<unknown, E, never, R> | undefined
  /** The policy in words, as `up to 3 attempts, 1s × 2ⁿ up to 1m, jitter proportional`. */
  readonly description: string
}

/**
 * Error of a call whose retries are used up, which knows the type of the last
 * error. A call that cannot fail has none.
 *
 * @category utility types
 * @since 0.1.0
 */
export type RetryExhausted<E> = [E] extends [never] ? never : RetryExhaustedError & { readonly lastError: E }

/**
 * Whether a value is a `RetryPolicy`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRetryPolicy = (u: unknown): u is RetryPolicy => Predicate.hasProperty(u, TypeId)

/**
 * Creates a policy.
 *
 * **When to use**
 *
 * Use when several calls retry alike, and for calls that are made often: the
 * options are checked here once, instead of once per call.
 *
 * **Details**
 *
 * Throws a `RangeError` if an option is out of its range.
 *
 * **Example** (Sharing a policy)
 *
 * ```ts import.meta.vitest
 * import { Retry } from "effect-resilience"
 *
 * const policy = Retry.make({ maxAttempts: 5, baseDelay: "100 millis", maxDelay: "5 seconds", jitter: "full" })
 *
 * policy.description // => "up to 5 attempts, 100ms × 2ⁿ up to 5s, jitter full"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export function make<E = unknown>(options?: Options<E>): RetryPolicy<E>
export function make<E = unknown, R = never>(options: Options<E, R>): RetryPolicy<E, R>
export function make<A, E = unknown>(options: ValueOptions<A, E>): RetryPolicy<E, never, A>
export function make<A, E = unknown, R = never>(options: ValueOptions<A, E, R>): RetryPolicy<E, R, A>
// Those without `R` keep what a policy needs from being inferred from where it is written.
export function make<A, E, R>(options: AnyOptions<A, E, R> = {}): RetryPolicy<E, R, A> {
  return new Policy(options)
}

// A class, so that the description is not computed for a policy that lives for one call.
class Policy<A, E, R> implements RetryPolicy<E, R, A> {
  readonly [TypeId]: TypeId = TypeId
  readonly maxAttempts: number
  readonly baseDelay: Duration.Duration
  readonly maxDelay: Duration.Duration
  readonly factor: number
  readonly jitter: Jitter
  readonly maxRetryAfter: Duration.Duration
  readonly maxElapsed: Duration.Duration
  readonly waitForCircuit: boolean
  readonly budget: RetryPolicy<E, R>["budget"]
  readonly operation: string | undefined
  readonly while: RetryPolicy<E, R>["while"]
  readonly whileSuccess: RetryPolicy<E, R, A>["whileSuccess"]
  readonly onRetry: RetryPolicy<E, R>["onRetry"]
  readonly schedule: RetryPolicy<E, R>["schedule"]

  constructor(options: AnyOptions<A, E, R>) {
    checkOptions("Retry.make", options, OPTIONS)
    if (options.schedule !== undefined) checkAlone(options)
    const maxAttempts = options.maxAttempts ?? (options.schedule === undefined ? 3 : Infinity)
    this.maxAttempts = maxAttempts === Infinity ? Infinity : checkCount("Retry.make: maxAttempts", maxAttempts)
    this.baseDelay = finite("Retry.make: baseDelay", options.baseDelay, defaultBaseDelay)
    this.maxDelay = finite("Retry.make: maxDelay", options.maxDelay, defaultMaxDelay)
    this.factor = options.factor === undefined ? 2 : checkAtLeast("Retry.make: factor", 1, options.factor)
    this.jitter = options.jitter === undefined ? "proportional" : checkJitter(options.jitter)
    this.maxRetryAfter = options.maxRetryAfter === undefined
      ? this.maxDelay
      : checkDuration("Retry.make: maxRetryAfter", options.maxRetryAfter)
    this.maxElapsed = options.maxElapsed === undefined
      ? Duration.infinity
      : checkDuration("Retry.make: maxElapsed", options.maxElapsed)
    this.waitForCircuit = options.waitForCircuit === true
    this.budget = checkBudget("Retry.make: budget", options.budget)
    this.operation = options.operation
    this.while = checkFunction("Retry.make: while", options.while)
    this.whileSuccess = checkFunction("Retry.make: whileSuccess", options.whileSuccess)
    this.onRetry = checkFunction("Retry.make: onRetry", options.onRetry)
    this.schedule = options.schedule === undefined || Schedule.isSchedule(options.schedule)
      ? options.schedule
      : refuse("Retry.make: schedule", "a Schedule", options.schedule)
  }

  get description(): string {
    return describe(this)
  }
}

const defaultBaseDelay = Duration.seconds(1)
const defaultMaxDelay = Duration.seconds(60)

const finite = (field: string, input: Duration.Input | undefined, byDefault: Duration.Duration): Duration.Duration =>
  input === undefined ? byDefault : checkDuration(field, input, { finite: true })

const OPTIONS = [
  "maxAttempts",
  "baseDelay",
  "maxDelay",
  "factor",
  "jitter",
  "maxRetryAfter",
  "maxElapsed",
  "waitForCircuit",
  "budget",
  "operation",
  "while",
  "whileSuccess",
  "onRetry",
  "schedule"
] as const satisfies ReadonlyArray<keyof ValueOptions<never>>

const checkAlone = (options: AnyOptions<never, never, unknown>): void => {
  for (const field of ["baseDelay", "maxDelay", "factor", "jitter"] as const) {
    if (options[field] !== undefined) {
      throw new RangeError(
        `Retry.make: ${field} must be absent, as the schedule gives the waits, got ${String(options[field])}`
      )
    }
  }
  if (options.whileSuccess !== undefined) {
    throw new RangeError("Retry.make: whileSuccess must be absent, as a schedule is for errors, got a function")
  }
}

const jitters: ReadonlyArray<Jitter> = ["none", "proportional", "full", "equal", "decorrelated"]

const checkJitter = (jitter: Jitter): Jitter => {
  if (jitters.includes(jitter)) return jitter
  return refuse("Retry.make: jitter", `one of ${jitters.join(", ")}`, jitter)
}

const describe = (policy: RetryPolicy<never, unknown, never>): string => {
  const { maxAttempts } = policy
  if (maxAttempts === 1) return "1 attempt"
  const parts = [
    maxAttempts === Infinity ? "any number of attempts" : `up to ${maxAttempts} attempts`,
    describeWait(policy)
  ]
  if (Duration.isFinite(policy.maxElapsed)) parts.push(`within ${Duration.format(policy.maxElapsed)}`)
  if (policy.waitForCircuit) parts.push("waits for an open circuit")
  if (policy.budget !== undefined) parts.push("on a budget")
  return parts.join(", ")
}

const describeWait = (
  { baseDelay, factor, jitter, maxDelay, schedule }: RetryPolicy<never, unknown, never>
): string => {
  if (schedule !== undefined) return "by a schedule"
  const first = Duration.min(baseDelay, maxDelay)
  if (Duration.isZero(first)) return "without a wait"
  const growth = jitter === "decorrelated" ? "" : ` × ${factor}ⁿ`
  const wait = factor === 1 && growth !== ""
    ? Duration.format(first)
    : `${Duration.format(first)}${growth} up to ${Duration.format(maxDelay)}`
  return jitter === "none" ? wait : `${wait}, jitter ${jitter}`
}

/**
 * The policy, within a time that is shorter than its own.
 *
 * @internal
 */
export const endingWithin = <E, R, A>(
  policy: RetryPolicy<E, R, A>,
  maxElapsed: Duration.Duration
): RetryPolicy<E, R, A> =>
  Object.assign(Object.create(policy), { maxElapsed: Duration.min(policy.maxElapsed, maxElapsed) })

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * Calls an effect again while it fails.
 *
 * **Details**
 *
 * Takes a policy or its options. The error channel gets `RetryExhaustedError`,
 * whose `lastError` has the type of the call's errors, and keeps the errors
 * themselves for those that are not retried. A policy of one attempt fails
 * with `RetryExhaustedError` as well.
 *
 * Throws a `RangeError` if an option is out of its range.
 *
 * **Gotchas**
 *
 * Each attempt runs the same effect. What must differ between attempts, such
 * as a timestamp, has to be computed inside it.
 *
 * **Example** (Retrying only what may pass)
 *
 * ```ts import.meta.vitest
 * import { Data, Effect } from "effect"
 * import { Retry } from "effect-resilience"
 *
 * class HttpError extends Data.TaggedError("HttpError")<{ readonly status: number }> {}
 *
 * const get = (status: number) =>
 *   Effect.fail(new HttpError({ status })).pipe(
 *     Retry.withRetry({ baseDelay: 0, while: (error) => error.status >= 500 }),
 *     Effect.catchTags({
 *       HttpError: (error) => Effect.succeed(`${error.status} at once`),
 *       RetryExhaustedError: (error) => Effect.succeed(`${error.lastError.status} after ${error.attempts} attempts`)
 *     })
 *   )
 *
 * await Effect.runPromise(get(404)) // => "404 at once"
 * await Effect.runPromise(get(503)) // => "503 after 3 attempts"
 * ```
 *
 * @see {@link make} for a policy that many calls share
 *
 * @category combinators
 * @since 0.1.0
 */
export function withRetry<E, R2, A0>(
  policy: RetryPolicy<E, R2, A0>
): <A extends A0, E1 extends E, R>(self: Effect.Effect<A, E1, R>) => Effect.Effect<A, E1 | RetryExhausted<E1>, R | R2>
export function withRetry<R2 = never>(
  options?: PlainOptions<R2>
): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | RetryExhausted<E>, R | R2>
export function withRetry<E, R2 = never>(
  options: Options<E, R2>
): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | RetryExhausted<E>, R | R2>
export function withRetry<A, E, R2 = never>(
  options: ValueOptions<A, E, R2>
): <R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | RetryExhausted<E>, R | R2>
export function withRetry<A extends A0, E extends E0, R, R2, A0, E0>(
  self: Effect.Effect<A, E, R>,
  policy: RetryPolicy<E0, R2, A0>
): Effect.Effect<A, E | RetryExhausted<E>, R | R2>
export function withRetry<A, E, R, R2 = never>(
  self: Effect.Effect<A, E, R>,
  options?: Options<E, R2> | ValueOptions<A, E, R2>
): Effect.Effect<A, E | RetryExhausted<E>, R | R2>
export function withRetry<A, E, R, R2>(
  selfOrOptions?: Effect.Effect<A, E, R> | AnyOptions<A, E, R2> | RetryPolicy<E, R2, A>,
  options?: AnyOptions<A, E, R2> | RetryPolicy<E, R2, A>
): unknown {
  // Not `dual`: options that are used for many calls are checked once, where they are written.
  if (Effect.isEffect(selfOrOptions)) return run(selfOrOptions as Effect.Effect<A, E, R>, policyOf(options))
  const policy = policyOf(selfOrOptions)
  return <R>(self: Effect.Effect<A, E, R>) => run(self, policy)
}

const policyOf = <A, E, R>(
  options: AnyOptions<A, E, R> | RetryPolicy<E, R, A> | undefined
): RetryPolicy<E, R, A> =>
  options === undefined
    ? defaultPolicy
    : !isObject(options)
    ? refuse("Retry.withRetry: options", "an object", options)
    : TypeId in options
    ? options
    : new Policy(options)

const defaultPolicy = /* @__PURE__ */ new Policy<unknown, unknown, never>({})

const run = <A, E, R, R2>(
  self: Effect.Effect<A, E, R>,
  policy: RetryPolicy<E, R2, A>
): Effect.Effect<A, E | RetryExhausted<E>, R | R2> =>
  policy.whileSuccess === undefined ? runWhileFailing(self, policy) : Effect.withFiber((fiber) => {
    const attempts = begin(fiber, policy)
    return Effect.flatMap(Effect.exit(self), (exit) => afterFirst(self, policy, attempts, exit))
  })

/** All that a success costs is reading the clock, for `elapsed`, and a deposit in the budget. */
const runWhileFailing = <A, E, R, R2>(
  self: Effect.Effect<A, E, R>,
  policy: RetryPolicy<E, R2, A>
): Effect.Effect<A, E | RetryExhausted<E>, R | R2> =>
  Effect.withFiber((fiber) => {
    const attempts = begin(fiber, policy)
    return Effect.catchCause(self, (cause) => afterFirst(self, policy, attempts, Exit.failCause(cause)))
  })

const begin = <E, R>(fiber: Fiber.Fiber<unknown, unknown>, policy: RetryPolicy<E, R, never>): Attempts => {
  const clock = fiber.getRef(Clock.Clock)
  const startedAt = clock.monotonicTimeNanosUnsafe()
  const budget = policy.budget === undefined || isRetryBudget(policy.budget)
    ? policy.budget
    : getService(fiber.context as Context.Context<R>, policy.budget)
  if (budget !== undefined) budget.depositUnsafe(nanosToMillis(startedAt))
  return { fiber, clock, startedAt, budget }
}

interface Attempts {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly clock: Clock.Clock
  readonly startedAt: bigint
  readonly budget: RetryBudget | undefined
}

const afterFirst = <A, E, R, R2>(
  self: Effect.Effect<A, E, R>,
  policy: RetryPolicy<E, R2, A>,
  attempts: Attempts,
  exit: Exit.Exit<A, E>
): Effect.Effect<A, E | RetryExhausted<E>, R | R2> => {
  const ended = judge(exit, policy)
  if (ended._tag === "NotMade") {
    attempts.budget?.refundUnsafe(nanosToMillis(attempts.startedAt), monotonicMillis(attempts.clock))
  }
  return ended.retryable ? retry(self, policy, attempts, ended) : exit
}

/** How an attempt ended: not at all, if something kept it from being made. */
type Ended<A, E> =
  | { readonly _tag: "Failed"; readonly exit: Exit.Exit<A, E>; readonly error: E; readonly retryable: boolean }
  | { readonly _tag: "NotMade"; readonly exit: Exit.Exit<A, E>; readonly error: E; readonly retryable: boolean }
  | { readonly _tag: "Succeeded"; readonly exit: Exit.Exit<A, E>; readonly retryable: boolean }
  | { readonly _tag: "Broke"; readonly exit: Exit.Exit<A, E>; readonly retryable: false }

const judge = <A, E>(exit: Exit.Exit<A, E>, policy: RetryPolicy<E, unknown, A>): Ended<A, E> => {
  if (Exit.isSuccess(exit)) {
    // An answer ends the call, and is no value that the caller's function knows.
    const retryable = !(exit.value instanceof Answer) && policy.whileSuccess?.(exit.value) === true
    return { _tag: "Succeeded", exit, retryable }
  }
  const error = Cause.hasDies(exit.cause) ? Option.none() : Cause.findErrorOption(exit.cause)
  return Option.isNone(error)
    ? { _tag: "Broke", exit, retryable: false }
    : {
      _tag: Outcome.isNotMade(error.value) ? "NotMade" : "Failed",
      exit,
      error: error.value,
      retryable: isRetryable(error.value, policy)
    }
}

const isRetryable = <E>(error: E, policy: RetryPolicy<E, unknown, never>): boolean => {
  const hint = hintMillis(error)
  if (hint === Infinity) return false
  if (isCircuitRejection(error)) return policy.waitForCircuit
  return hint <= Duration.toMillis(policy.maxRetryAfter) && (policy.while === undefined || policy.while(error))
}

/** By a circuit of this package or of Effect's, or by one that ended the retries of a call inside. */
const isCircuitRejection = (error: unknown): boolean =>
  isCircuitOpenError(error) || Predicate.isTagged(error, "CircuitBreakerError") ||
  (isRetryExhaustedError(error) && isCircuitRejection(error.rejection))

/** What comes after a first attempt that may be retried. */
const retry = Effect.fnUntraced(function*<A, E, R, R2>(
  self: Effect.Effect<A, E, R>,
  policy: RetryPolicy<E, R2, A>,
  attempts: Attempts,
  first: Ended<A, E>
): Effect.fn.Return<A, E | RetryExhausted<E>, R | R2> {
  const { budget, clock, fiber } = attempts
  const { operation = "call" } = policy
  const recorder = recorderOf(fiber)
  const startedAt = nanosToMillis(attempts.startedAt)
  const nextDelay = yield* delays(policy)
  let ended = first
  let made = 0
  let failure: { readonly error: E } | undefined
  let value: Exit.Exit<A, E> | undefined

  /** What the last attempt that was made came to, if one was, since a rejection would say that none was. */
  const giveUp = (reason: RetryExhaustedError["reason"], now: number): Effect.Effect<A, E | RetryExhausted<E>> => {
    forgetFailedAttempts(fiber)
    if (value !== undefined) return value
    return failure === undefined ? ended.exit : exhausted({
      attempts: made,
      lastError: failure.error,
      elapsed: Duration.millis(now - startedAt),
      reason,
      ...ended._tag === "NotMade" ? { rejection: ended.error } : undefined
    })
  }

  for (let attempt = 1;; attempt++) {
    if (ended._tag !== "NotMade") made++
    if (ended._tag === "Succeeded") value = ended.exit
    if (ended._tag === "Failed") {
      failure = ended
      value = undefined
      noteFailedAttempts(fiber, { attempts: made, lastError: ended.error })
    }
    const endedAt = monotonicMillis(clock)
    if (!ended.retryable) {
      if (ended._tag === "NotMade" && made > 0) return yield* giveUp("rejected", endedAt)
      forgetFailedAttempts(fiber)
      return yield* ended.exit
    }
    if (attempt >= policy.maxAttempts) return yield* giveUp("maxAttempts", endedAt)
    const error = ended._tag === "Succeeded" ? undefined : ended.error
    const delay = yield* nextDelay(attempt, error as E)
    if (delay === undefined) return yield* giveUp("maxAttempts", endedAt)
    // Timers drop the fraction of a millisecond that the error may ask for.
    const wait = Math.max(delay, Math.ceil(hintMillis(error)))
    if (endedAt - startedAt + wait > Duration.toMillis(policy.maxElapsed)) return yield* giveUp("maxElapsed", endedAt)
    if (budget !== undefined && !budget.tryWithdrawUnsafe(endedAt)) {
      recorder?.onBudgetExhausted(operation)
      return yield* giveUp("budget", endedAt)
    }

    if (policy.onRetry !== undefined) {
      yield* notify(policy.onRetry, { attempt, delay: Duration.millis(wait), error: error as E })
    }
    yield* Effect.sleep(wait)
    // They also fire up to a millisecond early, and a circuit that said when to come back would reject the call again.
    if (wait > delay && endedAt + wait - monotonicMillis(clock) > 0.001) yield* Effect.sleep(2)

    recorder?.onRetry(operation)
    ended = judge(yield* Effect.exit(self), policy)
  }
})

/** The shortest wait an error asks for, in milliseconds. */
const hintMillis = (error: unknown): number => {
  const hint = Outcome.retryAfter(error)
  return hint === undefined ? 0 : Duration.toMillis(hint)
}

/** Gives the wait after the n-th attempt, or `undefined` when a schedule has ended. */
const delays = <E, R>(
  policy: RetryPolicy<E, R, never>
): Effect.Effect<(attempt: number, error: E) => Effect.Effect<number | undefined, never, R>, never, R> => {
  if (policy.schedule !== undefined) {
    return Effect.map(
      Schedule.toStep(policy.schedule),
      (step) => (_, error) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Pull.matchEffect(step(now, error), {
            onSuccess: ([, delay]) => Effect.succeed(Duration.toMillis(delay)),
            onFailure: Effect.failCause,
            onDone: () => Effect.undefined
          }))
    )
  }
  const backoff = {
    baseDelay: Duration.toMillis(policy.baseDelay),
    maxDelay: Duration.toMillis(policy.maxDelay),
    factor: policy.factor,
    jitter: policy.jitter
  }
  let previous = 0
  return Effect.succeed((attempt) =>
    Effect.map(
      backoff.jitter === "none" ? Effect.succeed(0) : Random.next,
      (random) => previous = retryDelay(backoff, attempt - 1, previous, random)
    )
  )
}

const exhausted = <E>(fields: {
  readonly attempts: number
  readonly lastError: E
  readonly elapsed: Duration.Duration
  readonly reason: RetryExhaustedError["reason"]
  readonly rejection?: unknown
}): Effect.Effect<never, RetryExhausted<E>> => Effect.fail(retryExhaustedError(fields) as unknown as RetryExhausted<E>)

const notify = <E, R>(
  onRetry: (retry: RetryInfo<E>) => Effect.Effect<unknown, unknown, R>,
  retry: RetryInfo<E>
): Effect.Effect<unknown, never, R> =>
  Effect.suspend(() => onRetry(retry)).pipe(
    Effect.ignoreCause({ log: "Error", message: "The onRetry callback of a retry failed" }),
    Effect.forkDetach({ startImmediately: true })
  )
