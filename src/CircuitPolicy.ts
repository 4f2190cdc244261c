/**
 * When a circuit opens, how long it stays open, and how it recovers.
 *
 * A policy is a plain value: make one, share it between circuits, spread it
 * into another. `make` says what each field means; the presets are policies
 * for common cases.
 *
 * **Example** (Choosing when to open)
 *
 * ```ts import.meta.vitest
 * import { Duration } from "effect"
 * import { CircuitPolicy } from "effect-resilience"
 *
 * const policy = CircuitPolicy.make({
 *   failureRate: 0.5,
 *   minimumCalls: 20,
 *   window: { duration: "30 seconds" },
 *   openDuration: CircuitPolicy.exponential({ initial: "10 seconds", maximum: "2 minutes" })
 * })
 *
 * policy.failureRate // => 0.5
 * policy.consecutiveFailures // => undefined
 * CircuitPolicy.describe(CircuitPolicy.fastFail) // => "opens after 3 failures in a row, for 30s; up to 3 probes at once, 2 successes close it"
 * ```
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Equal from "effect/Equal"
import * as Schedule from "effect/Schedule"
import {
  checkAtLeast,
  checkCount,
  checkDuration,
  checkFunction,
  checkOptions,
  checkRate,
  isObject,
  refuse
} from "./internal/check.ts"
import type * as Outcome from "./Outcome.ts"

/**
 * The calls a circuit judges: the last `calls`, or those of the last
 * `duration`, counted in `buckets` (10) that leave the window one by one.
 *
 * @category models
 * @since 0.1.0
 */
export type Window =
  | { readonly calls: number }
  | { readonly duration: Duration.Input; readonly buckets?: number | undefined }

/**
 * A ramp between the successes that would close a circuit and its closing:
 * the share of calls let through grows from `initial` (0.1) to all of them
 * over `duration`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recovery {
  readonly duration: Duration.Input
  readonly initial?: number | undefined
}

/**
 * How long a circuit stays open: always the same time, a time that grows with
 * each opening in a row, or the delays of a `Schedule`.
 *
 * @category models
 * @since 0.1.0
 */
export type OpenDuration = Duration.Input | Exponential | Schedule.Schedule<unknown, number>

/**
 * An open time that grows with each opening in a row.
 *
 * @category models
 * @since 0.1.0
 */
export interface Exponential {
  readonly _tag: "Exponential"
  readonly initial: Duration.Duration
  readonly multiplier: number
  readonly maximum: Duration.Duration
  readonly jitter: number
}

/**
 * When a circuit opens, how long it stays open, and how it recovers.
 *
 * Fields are as `make` describes them. A rule that is off is `undefined`.
 *
 * @category models
 * @since 0.1.0
 */
export interface CircuitPolicy {
  readonly consecutiveFailures: number | undefined
  readonly failureRate: number | undefined
  readonly slowCallRate: number | undefined
  readonly slowCallDuration: Duration.Duration | undefined
  readonly minimumCalls: number
  readonly window: { readonly calls: number } | { readonly duration: Duration.Duration; readonly buckets: number }
  readonly openDuration: Duration.Duration | Exponential | Schedule.Schedule<unknown, number>
  readonly maxOpenDuration: Duration.Duration
  readonly halfOpenMaxCalls: number
  readonly successThreshold: number
  readonly halfOpenSample: { readonly calls: number; readonly failureRate: number } | undefined
  readonly halfOpenTimeout: Duration.Duration
  readonly recovery: { readonly duration: Duration.Duration; readonly initial: number } | undefined
  readonly measureDuration: boolean
  readonly classify: Outcome.Classifier | undefined
  readonly interruptedAfter: Duration.Duration | undefined
  readonly countUnreported: "ignored" | "success"
  readonly describeFailure: FailureDescription | undefined
}

/**
 * What is kept of a failure for people: the text that a function makes of its
 * error, or nothing at all.
 *
 * @category models
 * @since 0.1.0
 */
export type FailureDescription = ((error: unknown) => string | undefined) | false

/**
 * Options of `make`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly consecutiveFailures?: number | undefined
  readonly failureRate?: number | undefined
  readonly slowCallRate?: number | undefined
  readonly slowCallDuration?: Duration.Input | undefined
  readonly minimumCalls?: number | undefined
  readonly window?: Window | undefined
  readonly openDuration?: OpenDuration | undefined
  readonly maxOpenDuration?: Duration.Input | undefined
  readonly halfOpenMaxCalls?: number | undefined
  readonly successThreshold?: number | undefined
  readonly halfOpenSample?: { readonly calls: number; readonly failureRate: number } | undefined
  readonly halfOpenTimeout?: Duration.Input | undefined
  readonly recovery?: Recovery | undefined
  readonly measureDuration?: boolean | undefined
  readonly classify?: Outcome.Classifier | undefined
  readonly interruptedAfter?: Duration.Input | undefined
  readonly countUnreported?: "ignored" | "success" | undefined
  readonly describeFailure?: FailureDescription | undefined
}

const TRIPS = ["consecutiveFailures", "failureRate", "slowCallRate"] as const

/**
 * Makes a policy.
 *
 * **Details**
 *
 * When the circuit opens. Name the rules you want; only those apply. If none
 * is named, five failures in a row or half of the calls of the window do.
 *
 * - `consecutiveFailures`: opens at so many failures in a row, at least 1.
 * - `failureRate`: opens when so much of the window has failed, 0 to 1. A
 *   window without a failure never opens the circuit.
 * - `slowCallRate`: opens when so much of the window was slower than
 *   `slowCallDuration`, 0 to 1, whether it succeeded or not. Each needs the
 *   other. A slow probe then counts as a failed one.
 * - `minimumCalls`: calls the window must hold before a rate counts. 10, or
 *   all of a smaller window of calls.
 * - `window`: `{ calls: 100 }` for the last calls, up to 1,000,000, or
 *   `{ duration: "60 seconds", buckets: 10 }`, the default, for the latest.
 *
 * How long it stays open.
 *
 * - `openDuration`: a duration; `exponential(...)`; or a `Schedule`, whose
 *   n-th delay is the time of the n-th opening in a row and whose last delay
 *   repeats. By default 60 seconds, doubling up to 300. The count of openings
 *   survives a close and starts again once the circuit has stayed closed as
 *   long as it was last open.
 * - `maxOpenDuration`: the longest opening that a failure's `retryAfter` can
 *   ask for, one hour. It caps the hint only, never `openDuration`.
 *
 * How it recovers.
 *
 * - `halfOpenMaxCalls`: probes that run at once, 3. Other calls are rejected.
 * - `successThreshold`: successful probes that close the circuit, 2. Any
 *   failed one opens it again.
 * - `halfOpenSample`: decides by rate instead: `{ calls: 10, failureRate: 0.2 }`
 *   admits ten probes in all and opens again if a fifth of them fail.
 * - `halfOpenTimeout`: the circuit opens again if probes run that long without
 *   a verdict, 60 seconds; `"Infinity"` waits for ever.
 * - `recovery`: instead of closing at once, lets a growing share of calls
 *   through, so that not all of them come back in the same moment.
 *   `{ duration: "1 minute", initial: 0.1 }` admits a tenth of them at first
 *   and all after a minute, when the circuit closes; `initial` is above 0 and
 *   at most 1, 0.1 by default. The ramp has its own counts, and opens again by
 *   the rules of the policy, or if half of them fail where it names no
 *   `failureRate`. By default there is no ramp.
 *
 * What it counts.
 *
 * - `classify`: decides the outcome of a call, see `Outcome`.
 * - `interruptedAfter`: a call that is interrupted after it ran at least that
 *   long counts as failed, for callers that give up before a timeout does. By
 *   default an interrupted call says nothing.
 * - `countUnreported`: what a permit counts whose scope ends well without a
 *   report, `"ignored"` (the default) or `"success"`.
 * - `measureDuration`: times every call, for `averageResponseTime`. By default
 *   only if the policy needs the time anyway: with a window of a duration or
 *   with slow calls.
 *
 * What it keeps.
 *
 * - `describeFailure`: the text kept of a failure for people. By default the
 *   class of the error and the first 200 characters of its message. A function
 *   returns another text, without what must not be shown, or `undefined` for
 *   none; `false` keeps nothing.
 *
 * **Gotchas**
 *
 * Throws a `RangeError` that names the field for a value out of its range.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): CircuitPolicy => {
  const field = (name: string) => `CircuitPolicy.make: ${name}`
  const named = TRIPS.some((trip) => options[trip] !== undefined)
  const consecutiveFailures = options.consecutiveFailures ?? (named ? undefined : 5)
  const failureRate = options.failureRate ?? (named ? undefined : 0.5)
  const { slowCallRate } = options
  if ((slowCallRate === undefined) !== (options.slowCallDuration === undefined)) {
    const [given, missing] = slowCallRate === undefined
      ? ["slowCallDuration", "slowCallRate"]
      : ["slowCallRate", "slowCallDuration"]
    throw new RangeError(`${field(given)} needs ${missing} beside it, got none`)
  }
  const window = makeWindow(options.window ?? { duration: "60 seconds" })
  const size = "calls" in window ? window.calls : Number.MAX_SAFE_INTEGER
  const sample = options.halfOpenSample
  if (sample !== undefined && !isObject(sample)) {
    return refuse(field("halfOpenSample"), "an object with calls and failureRate", sample)
  }
  return {
    consecutiveFailures: consecutiveFailures === undefined
      ? undefined
      : checkCount(field("consecutiveFailures"), consecutiveFailures),
    failureRate: failureRate === undefined ? undefined : checkRate(field("failureRate"), failureRate),
    slowCallRate: slowCallRate === undefined ? undefined : checkRate(field("slowCallRate"), slowCallRate),
    slowCallDuration: options.slowCallDuration === undefined
      ? undefined
      : checkDuration(field("slowCallDuration"), options.slowCallDuration),
    minimumCalls: checkCount(field("minimumCalls"), options.minimumCalls ?? Math.min(10, size), size),
    window,
    openDuration: makeOpenDuration(options.openDuration ?? exponential({ initial: "60 seconds" })),
    maxOpenDuration: checkDuration(field("maxOpenDuration"), options.maxOpenDuration ?? "1 hour"),
    halfOpenMaxCalls: checkCount(field("halfOpenMaxCalls"), options.halfOpenMaxCalls ?? 3),
    successThreshold: checkCount(field("successThreshold"), options.successThreshold ?? 2),
    halfOpenSample: sample === undefined ? undefined : {
      calls: checkCount(field("halfOpenSample.calls"), sample.calls),
      failureRate: checkRate(field("halfOpenSample.failureRate"), sample.failureRate)
    },
    halfOpenTimeout: checkDuration(field("halfOpenTimeout"), options.halfOpenTimeout ?? "60 seconds", {
      positive: true
    }),
    recovery: makeRecovery(field, options.recovery),
    measureDuration: options.measureDuration ?? ("duration" in window || slowCallRate !== undefined),
    classify: checkFunction(field("classify"), options.classify),
    interruptedAfter: options.interruptedAfter === undefined
      ? undefined
      : checkDuration(field("interruptedAfter"), options.interruptedAfter),
    countUnreported: checkUnreported(field("countUnreported"), options.countUnreported ?? "ignored"),
    describeFailure: checkDescription(field("describeFailure"), options.describeFailure)
  }
}

const checkUnreported = (field: string, value: CircuitPolicy["countUnreported"]): CircuitPolicy["countUnreported"] =>
  value === "ignored" || value === "success" ? value : refuse(field, `"ignored" or "success"`, value)

const checkDescription = (
  field: string,
  value: FailureDescription | undefined
): FailureDescription | undefined =>
  value === undefined || value === false || typeof value === "function"
    ? value
    : refuse(field, "a function of the error, or false", value)

/**
 * What JavaScript may have passed for a policy, options of one in particular.
 *
 * @internal
 */
export const check = <P extends CircuitPolicy | undefined>(field: string, policy: P): P =>
  policy === undefined || (isObject(policy) && isObject(policy.window) && Duration.isDuration(policy.halfOpenTimeout))
    ? policy
    : refuse(field, "a policy made with CircuitPolicy.make", policy)

/**
 * An open time that starts at `initial` and is multiplied by `multiplier` (2)
 * with each opening in a row, up to `maximum` (5 minutes).
 *
 * **Details**
 *
 * `jitter`, 0 to 1, spreads the openings of many processes so that they do not
 * probe a recovering dependency all at once: 0.2 makes each opening 0.8 to 1.2
 * times as long, though never longer than `maximum`. By default there is none.
 *
 * @category constructors
 * @since 0.1.0
 */
export const exponential = (options: {
  readonly initial: Duration.Input
  readonly multiplier?: number | undefined
  readonly maximum?: Duration.Input | undefined
  readonly jitter?: number | undefined
}): Exponential => {
  checkOptions("CircuitPolicy.exponential", options)
  const field = (name: string) => `CircuitPolicy.exponential: ${name}`
  const initial = checkDuration(field("initial"), options.initial, { positive: true, finite: true })
  const maximum = checkDuration(field("maximum"), options.maximum ?? Duration.max(initial, Duration.minutes(5)), {
    finite: true
  })
  if (Duration.isLessThan(maximum, initial)) {
    throw new RangeError(
      `${field("maximum")} must be at least initial (${Duration.format(initial)}), got ${Duration.format(maximum)}`
    )
  }
  return {
    _tag: "Exponential",
    initial,
    multiplier: checkAtLeast(field("multiplier"), 1, options.multiplier ?? 2),
    maximum,
    jitter: checkRate(field("jitter"), options.jitter ?? 0)
  }
}

const makeWindow = (window: Window): CircuitPolicy["window"] =>
  !isObject(window)
    ? refuse("CircuitPolicy.make: window", "an object with calls, or with a duration", window)
    : "calls" in window
    ? { calls: checkCount("CircuitPolicy.make: window.calls", window.calls, 1_000_000) }
    : {
      duration: checkDuration("CircuitPolicy.make: window.duration", window.duration, { positive: true, finite: true }),
      buckets: checkCount("CircuitPolicy.make: window.buckets", window.buckets ?? 10, 1_000)
    }

const makeRecovery = (
  field: (name: string) => string,
  recovery: Recovery | undefined
): CircuitPolicy["recovery"] =>
  recovery === undefined
    ? undefined
    : !isObject(recovery)
    ? refuse(field("recovery"), "an object with duration", recovery)
    : {
      duration: checkDuration(field("recovery.duration"), recovery.duration, { positive: true, finite: true }),
      initial: checkShare(field("recovery.initial"), recovery.initial ?? 0.1)
    }

const checkShare = (field: string, value: number): number =>
  typeof value === "number" && value > 0 && value <= 1
    ? value
    : refuse(field, "a number above 0 and at most 1", value)

const isExponential = (openDuration: OpenDuration): openDuration is Exponential =>
  typeof openDuration === "object" && "_tag" in openDuration && openDuration._tag === "Exponential"

const makeOpenDuration = (openDuration: OpenDuration): CircuitPolicy["openDuration"] =>
  Schedule.isSchedule(openDuration) || isExponential(openDuration)
    ? openDuration
    : checkDuration("CircuitPolicy.make: openDuration", openDuration)

// -----------------------------------------------------------------------------
// presets
// -----------------------------------------------------------------------------

/**
 * Opens early and probes early: 3 failures in a row, 30 seconds.
 *
 * @category presets
 * @since 0.1.0
 */
export const fastFail: CircuitPolicy = /* @__PURE__ */ make({ consecutiveFailures: 3, openDuration: "30 seconds" })

/**
 * Bears with a dependency that has bad moments: 10 failures in a row, 2
 * minutes, doubling up to 5.
 *
 * @category presets
 * @since 0.1.0
 */
export const resilient: CircuitPolicy = /* @__PURE__ */ make({
  consecutiveFailures: 10,
  openDuration: /* @__PURE__ */ exponential({ initial: "2 minutes" })
})

/**
 * Detects failure fast: 3 failures in a row, 30 seconds, 2 probes at once, 2
 * successes.
 *
 * @category presets
 * @since 0.1.0
 */
export const aggressive: CircuitPolicy = /* @__PURE__ */ make({
  consecutiveFailures: 3,
  openDuration: "30 seconds",
  halfOpenMaxCalls: 2,
  successThreshold: 2
})

/**
 * Tolerates transient failures: 10 in a row, 2 minutes, 5 probes at once, 3
 * successes.
 *
 * @category presets
 * @since 0.1.0
 */
export const conservative: CircuitPolicy = /* @__PURE__ */ make({
  consecutiveFailures: 10,
  openDuration: "2 minutes",
  halfOpenMaxCalls: 5,
  successThreshold: 3
})

/**
 * A middle way: 5 failures in a row, 1 minute, 3 probes at once, 2 successes.
 *
 * @category presets
 * @since 0.1.0
 */
export const production: CircuitPolicy = /* @__PURE__ */ make({
  consecutiveFailures: 5,
  openDuration: "1 minute",
  halfOpenMaxCalls: 3,
  successThreshold: 2
})

/**
 * For a database: 5 failures in a row, 1 minute, one probe.
 *
 * @category presets
 * @since 0.1.0
 */
export const database: CircuitPolicy = /* @__PURE__ */ make({
  consecutiveFailures: 5,
  openDuration: "1 minute",
  halfOpenMaxCalls: 1,
  successThreshold: 1
})

/**
 * For a message broker: 3 failures in a row, 30 seconds, one probe.
 *
 * @category presets
 * @since 0.1.0
 */
export const kafka: CircuitPolicy = /* @__PURE__ */ make({
  consecutiveFailures: 3,
  openDuration: "30 seconds",
  halfOpenMaxCalls: 1,
  successThreshold: 1
})

// -----------------------------------------------------------------------------
// getters
// -----------------------------------------------------------------------------

/**
 * The fields in which two policies differ. Functions and schedules are the
 * same only if they are the same value.
 *
 * @category getters
 * @since 0.1.0
 */
export const difference = (self: CircuitPolicy, that: CircuitPolicy): ReadonlyArray<keyof CircuitPolicy> =>
  (Object.keys(self) as Array<keyof CircuitPolicy>).filter((field) => !Equal.equals(self[field], that[field]))

/**
 * Says in words what a policy does.
 *
 * @category getters
 * @since 0.1.0
 */
export const describe = (self: CircuitPolicy): string => {
  const window = "calls" in self.window ? `the last ${self.window.calls} calls` : Duration.format(self.window.duration)
  const percent = (rate: number) => `${Number((rate * 100).toFixed(2))}%`
  const trips: Array<string> = []
  if (self.consecutiveFailures !== undefined) {
    trips.push(self.consecutiveFailures === 1 ? "a failure" : `${self.consecutiveFailures} failures in a row`)
  }
  const atLeast = `(at least ${self.minimumCalls})`
  if (self.failureRate !== undefined) trips.push(`${percent(self.failureRate)} failures in ${window} ${atLeast}`)
  if (self.slowCallRate !== undefined && self.slowCallDuration !== undefined) {
    trips.push(
      `${percent(self.slowCallRate)} calls over ${Duration.format(self.slowCallDuration)} in ${window} ${atLeast}`
    )
  }
  const probes = self.halfOpenMaxCalls === 1 ? "one probe at a time" : `up to ${self.halfOpenMaxCalls} probes at once`
  const recovery = self.halfOpenSample === undefined
    ? self.successThreshold === 1 ? "a success closes it" : `${self.successThreshold} successes close it`
    : `closes unless ${percent(self.halfOpenSample.failureRate)} of ${self.halfOpenSample.calls} probes fail`
  const ramp = self.recovery === undefined
    ? ""
    : `, after a ramp of ${Duration.format(self.recovery.duration)} from ${percent(self.recovery.initial)} of the calls`
  const interrupted = self.interruptedAfter === undefined
    ? ""
    : `; a call interrupted after ${Duration.format(self.interruptedAfter)} counts as failed`
  return `opens after ${trips.join(" or ")}, for ${
    describeOpenDuration(self.openDuration)
  }; ${probes}, ${recovery}${ramp}${interrupted}`
}

const describeOpenDuration = (openDuration: CircuitPolicy["openDuration"]): string => {
  if (Schedule.isSchedule(openDuration)) return "the delays of its schedule"
  if (!isExponential(openDuration)) return Duration.format(openDuration)
  const { initial, maximum, multiplier } = openDuration
  return multiplier === 1 || Duration.equals(initial, maximum)
    ? Duration.format(initial)
    : `${Duration.format(initial)} × ${multiplier} each time up to ${Duration.format(maximum)}`
}
