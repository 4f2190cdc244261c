/** The two limits of time in a pipeline, and how they bear on each other. */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import type { Options, Step, TimeLimit } from "../../Resilience.ts"
import { checkDuration, checkKnown, optionNames } from "../check.ts"
import { isWithin } from "./order.ts"

type LimitOptions = Exclude<TimeLimit, Duration.Input>

export interface CheckedLimit {
  readonly duration: Duration.Duration
  readonly disconnect: boolean
}

export interface CheckedLimits {
  readonly timeout: CheckedLimit | undefined
  readonly attemptTimeout: CheckedLimit | undefined
  /** How long a call must have run for its interruption to count as a timeout, for a circuit without one inside. */
  readonly interruptedAfter: Duration.Duration | undefined
}

const LIMIT_OPTIONS = /* @__PURE__ */ optionNames<LimitOptions>({ duration: true, disconnect: true })

export const checkLimit = (
  option: "timeout" | "attemptTimeout",
  limit: TimeLimit | undefined
): CheckedLimit | undefined => {
  if (limit === undefined) return undefined
  const field = `Resilience.make: ${option}`
  if (!Predicate.hasProperty(limit, "duration")) return { duration: checkDuration(field, limit), disconnect: true }
  const options = limit as LimitOptions
  checkKnown(field, options, LIMIT_OPTIONS)
  return { duration: checkDuration(`${field}.duration`, options.duration), disconnect: options.disconnect !== false }
}

/** The share of the total time after which a call that is interrupted has in effect timed out. */
const NEARLY_ALL = 0.9

/** The longest attempt that ends before the total time does. */
export const nearlyAll = (total: Duration.Duration): Duration.Duration => Duration.times(total, NEARLY_ALL)

/**
 * Checks the limits. A total timeout that ends an attempt before its own
 * timeout does would switch the circuit off for calls that hang: it interrupts,
 * and an interrupted call says nothing of the dependency.
 */
export const checkLimits = (options: Options, steps: ReadonlyArray<Step>): CheckedLimits => {
  const limits = {
    timeout: checkLimit("timeout", options.timeout),
    attemptTimeout: checkLimit("attemptTimeout", options.attemptTimeout)
  }
  const timeOf = (step: keyof typeof limits) => limits[step]?.duration ?? Duration.infinity
  const [total, attempt] = [timeOf("timeout"), timeOf("attemptTimeout")]
  const isCutShort = isWithin(steps, "timeout", "attemptTimeout") && Duration.isFinite(attempt) &&
    !Duration.isLessThan(attempt, total)
  if (isCutShort) {
    throw new RangeError(
      `Resilience.make: attemptTimeout must be below timeout (${Duration.format(total)}), ` +
        `got ${Duration.format(attempt)}`
    )
  }
  const finite = (["timeout", "attemptTimeout"] as const).filter((step) => Duration.isFinite(timeOf(step)))
  const around = finite.filter((step) => isWithin(steps, step, "circuitBreaker"))
  const isTimed = finite.some((step) => isWithin(steps, "circuitBreaker", step))
  const interruptedAfter = isTimed || around.length === 0
    ? undefined
    : nearlyAll(around.map(timeOf).reduce(Duration.min))
  return { ...limits, interruptedAfter }
}
