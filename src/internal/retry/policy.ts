/** A retry policy: its options, checked and with their defaults. */
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import type { Jitter, Options, RetryPolicy, TypeId as TypeIdType, ValueOptions } from "../../Retry.ts"
import {
  checkAtLeast,
  checkCount,
  checkDuration,
  checkFunction,
  checkOptions,
  isObject,
  optionNames,
  refuse
} from "../check.ts"
import { checkBudget } from "./budget.ts"

export const TypeId: TypeIdType = "~effect-resilience/RetryPolicy"

export type AnyOptions<A, E, R> = Options<E, R> | ValueOptions<A, E, R>

const OPTIONS = /* @__PURE__ */ optionNames<ValueOptions<never>>({
  maxAttempts: true,
  baseDelay: true,
  maxDelay: true,
  factor: true,
  jitter: true,
  maxRetryAfter: true,
  maxElapsed: true,
  waitForCircuit: true,
  budget: true,
  operation: true,
  while: true,
  whileSuccess: true,
  onRetry: true,
  schedule: true
})

const JITTERS: ReadonlyArray<Jitter> = ["none", "proportional", "full", "equal", "decorrelated"]

const DEFAULT_BASE_DELAY = /* @__PURE__ */ Duration.seconds(1)
const DEFAULT_MAX_DELAY = /* @__PURE__ */ Duration.seconds(60)

const finite = (field: string, input: Duration.Input | undefined, byDefault: Duration.Duration): Duration.Duration =>
  input === undefined ? byDefault : checkDuration(field, input, { finite: true })

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

const checkJitter = (jitter: Jitter): Jitter =>
  JITTERS.includes(jitter) ? jitter : refuse("Retry.make: jitter", `one of ${JITTERS.join(", ")}`, jitter)

// A class, so that the description is not computed for a policy that lives for one call.
class Policy<A, E, R> implements RetryPolicy<E, R, A> {
  readonly [TypeId]: TypeIdType = TypeId
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
    this.baseDelay = finite("Retry.make: baseDelay", options.baseDelay, DEFAULT_BASE_DELAY)
    this.maxDelay = finite("Retry.make: maxDelay", options.maxDelay, DEFAULT_MAX_DELAY)
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

export const make = <A, E, R>(options: AnyOptions<A, E, R>): RetryPolicy<E, R, A> => new Policy(options)

const defaultPolicy = /* @__PURE__ */ make<unknown, unknown, never>({})

/** The policy of a combinator, which takes one or its options. */
export const policyOf = <A, E, R>(
  options: AnyOptions<A, E, R> | RetryPolicy<E, R, A> | undefined
): RetryPolicy<E, R, A> =>
  options === undefined
    ? defaultPolicy
    : !isObject(options)
    ? refuse("Retry.withRetry: options", "an object", options)
    : TypeId in options
    ? options
    : make(options)

/** The policy, within a time that is shorter than its own. */
export const endingWithin = <E, R, A>(
  policy: RetryPolicy<E, R, A>,
  maxElapsed: Duration.Duration
): RetryPolicy<E, R, A> =>
  Object.assign(Object.create(policy), { maxElapsed: Duration.min(policy.maxElapsed, maxElapsed) })

const describe = (policy: RetryPolicy<never, unknown, never>): string => {
  const { maxAttempts } = policy
  if (maxAttempts === 1) return "1 attempt"
  const parts = [
    maxAttempts === Infinity ? "any number of attempts" : `up to ${maxAttempts} attempts`,
    describeWait(policy)
  ]
  if (Duration.isFinite(policy.maxElapsed)) parts.push(`within ${Duration.format(policy.maxElapsed)}`)
  if (policy.waitForCircuit) parts.push("waits for an open circuit")
  if (policy.budget !== undefined) parts.push("within a budget")
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
