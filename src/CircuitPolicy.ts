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
  checkKnown,
  checkOptions,
  checkRate,
  isObject,
  refuse
} from "./internal/check.ts"
import { percent as rateText } from "./internal/words.ts"
import type * as Outcome from "./Outcome.ts"

/**
 * Marks policies.
 *
 * @category models
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-resilience/CircuitPolicy"

/**
 * @category models
 * @since 0.1.0
 */
export type TypeId = "~effect-resilience/CircuitPolicy"

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
 * `E` is the type of the errors that its `classify` understands: a circuit with
 * that policy takes calls with these errors only.
 *
 * Fields are as `make` describes them. A rule that is off is `undefined`.
 *
 * @category models
 * @since 0.1.0
 */
export interface CircuitPolicy<in E = unknown> {
  readonly [TypeId]: object
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
  readonly classify: Outcome.Classifier<unknown, E> | undefined
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
export interface Options<in E = unknown> {
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
  readonly classify?: Outcome.Classifier<unknown, E> | undefined
  readonly interruptedAfter?: Duration.Input | undefined
  readonly countUnreported?: "ignored" | "success" | undefined
  readonly describeFailure?: FailureDescription | undefined
}

const TRIPS = ["consecutiveFailures", "failureRate", "slowCallRate"] as const

const FIELDS = [
  ...TRIPS,
  "slowCallDuration",
  "minimumCalls",
  "window",
  "openDuration",
  "maxOpenDuration",
  "halfOpenMaxCalls",
  "successThreshold",
  "halfOpenSample",
  "halfOpenTimeout",
  "recovery",
  "measureDuration",
  "classify",
  "interruptedAfter",
  "countUnreported",
  "describeFailure"
] as const satisfies ReadonlyArray<keyof Options>

/**
 * What a policy was made of: itself, and the fields that were named for it. The
 * others follow from these, or are defaults. A spread carries it along under
 * the `TypeId`, so that they follow the fields of the new policy, and comparing
 * two policies does not see it.
 */
interface Origin {
  readonly policy: CircuitPolicy<never>
  readonly named: ReadonlySet<keyof Options>
}

const origins = /* @__PURE__ */ new WeakMap<object, Origin>()

/** Whether options, in which a policy may be spread, name a field. */
const names = (origin: Origin | undefined, options: Options<never>) => (field: keyof Options): boolean =>
  options[field] !== undefined &&
  (origin === undefined || origin.named.has(field) || options[field] !== origin.policy[field])

const policies = /* @__PURE__ */ new WeakSet<object>()

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
 * `minimumCalls` holds for rates only: five failures in a row open the circuit
 * though it has had but five calls. For a minimum number of calls in any case,
 * name `failureRate` and not `consecutiveFailures`.
 *
 * A policy may be spread into the options of another, and counts as the options
 * it was made from: what follows from other fields there, as `minimumCalls` from
 * the window, follows from the new ones, also if the same value is written
 * beside the spread.
 *
 * Throws a `RangeError` that names the field for a value out of its range, and
 * for an option that there is not.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <E = unknown>(options: Options<E> = {}): CircuitPolicy<E> =>
  build("CircuitPolicy.make", (name) => `CircuitPolicy.make: ${name}`, checkOptions("CircuitPolicy.make", options))

const build = <E>(owner: string, field: (name: string) => string, options: Options<E>): CircuitPolicy<E> => {
  const { [TypeId]: spread, ...given } = options as Options<E> & { readonly [TypeId]?: object }
  checkKnown(owner, given, FIELDS)
  const origin = spread === undefined ? undefined : origins.get(spread)
  const isNamed = names(origin, given)
  const { slowCallDuration, slowCallRate } = given
  if ((slowCallRate === undefined) !== (slowCallDuration === undefined)) {
    const [named, missing] = slowCallRate === undefined
      ? ["slowCallDuration", "slowCallRate"]
      : ["slowCallRate", "slowCallDuration"]
    throw new RangeError(`${field(named)} needs ${missing} beside it, got none`)
  }
  const anyNamed = TRIPS.some(isNamed)
  const [own, ownRate] = (["consecutiveFailures", "failureRate"] as const).map((trip) =>
    !anyNamed || isNamed(trip) ? given[trip] : undefined
  )
  const none = own === undefined && ownRate === undefined && slowCallRate === undefined
  const consecutiveFailures = none ? 5 : own
  const failureRate = none ? 0.5 : ownRate
  const window = makeWindow(field, otherwise(given.window, { duration: "60 seconds" }))
  const size = "calls" in window ? window.calls : Number.MAX_SAFE_INTEGER
  const policy: CircuitPolicy<E> = {
    [TypeId]: Object.freeze({}),
    consecutiveFailures: ifGiven(consecutiveFailures, (value) => checkCount(field("consecutiveFailures"), value)),
    failureRate: ifGiven(failureRate, (value) => checkRate(field("failureRate"), value)),
    slowCallRate: ifGiven(slowCallRate, (value) => checkRate(field("slowCallRate"), value)),
    slowCallDuration: ifGiven(slowCallDuration, (value) => checkDuration(field("slowCallDuration"), value)),
    minimumCalls: isNamed("minimumCalls")
      ? checkCount(field("minimumCalls"), given.minimumCalls!, size)
      : Math.min(10, size),
    window,
    openDuration: makeOpenDuration(field, otherwise(given.openDuration, exponential({ initial: "60 seconds" }))),
    maxOpenDuration: checkDuration(field("maxOpenDuration"), otherwise(given.maxOpenDuration, "1 hour")),
    halfOpenMaxCalls: checkCount(field("halfOpenMaxCalls"), otherwise(given.halfOpenMaxCalls, 3)),
    successThreshold: checkCount(field("successThreshold"), otherwise(given.successThreshold, 2)),
    halfOpenSample: ifGiven(given.halfOpenSample, (sample) => makeSample(field, sample)),
    halfOpenTimeout: checkDuration(field("halfOpenTimeout"), otherwise(given.halfOpenTimeout, "60 seconds"), {
      positive: true
    }),
    recovery: ifGiven(given.recovery, (recovery) => makeRecovery(field, recovery)),
    measureDuration: isNamed("measureDuration")
      ? checkBoolean(field("measureDuration"), given.measureDuration!)
      : "duration" in window || slowCallRate !== undefined,
    classify: checkFunction(field("classify"), given.classify),
    interruptedAfter: ifGiven(
      given.interruptedAfter,
      (value) => checkDuration(field("interruptedAfter"), value)
    ),
    countUnreported: checkUnreported(field("countUnreported"), otherwise(given.countUnreported, "ignored")),
    describeFailure: checkDescription(field("describeFailure"), given.describeFailure)
  }
  // Another copy of the package does not say what it was told.
  const isForeign = spread !== undefined && origin === undefined
  const named = FIELDS.filter(isForeign ? isChanged(policy, make()) : isNamed)
  origins.set(policy[TypeId], { policy, named: new Set(named) })
  policies.add(policy)
  return policy
}

/** A `null` is no default, and is refused like any other value. */
const otherwise = <A>(value: A | undefined, byDefault: A): A => value === undefined ? byDefault : value

const ifGiven = <A, B>(value: A | undefined, check: (value: A) => B): B | undefined =>
  value === undefined ? undefined : check(value)

const checkBoolean = (field: string, value: boolean): boolean =>
  typeof value === "boolean" ? value : refuse(field, "true or false", value)

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
 * Whether a value is a policy, also if another copy of this package made it.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCircuitPolicy = (u: unknown): u is CircuitPolicy => isObject(u) && TypeId in u

/**
 * What JavaScript may have passed for a policy, options of one in particular.
 *
 * @internal
 */
export const check = <P extends CircuitPolicy | undefined>(field: string, policy: P): P =>
  policy === undefined || isCircuitPolicy(policy)
    ? policy
    : refuse(field, "a policy made with CircuitPolicy.make", policy)

/**
 * The policy that an option called `field` stands for: a policy as it is, or
 * one made of options, of a policy that was spread and changed by hand in
 * particular. Mistakes are named as those of `field`.
 *
 * @internal
 */
export const from: {
  <E>(field: string, policy: CircuitPolicy<E> | Options<E>): CircuitPolicy<E>
  <E>(field: string, policy: CircuitPolicy<E> | Options<E> | undefined): CircuitPolicy<E> | undefined
} =
  (<E>(field: string, policy: CircuitPolicy<E> | Options<E> | undefined): CircuitPolicy<E> | undefined =>
    policy === undefined || isMade(policy)
      ? policy
      : isObject(policy)
      ? build(field, (name) => `${field}.${name}`, policy)
      : refuse(field, "a policy or its options", policy)) as typeof from

const isMade = <E>(policy: CircuitPolicy<E> | Options<E>): policy is CircuitPolicy<E> => policies.has(policy)

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
  const { _tag: _, ...given } = checkOptions("CircuitPolicy.exponential", options) as typeof options & { _tag?: string }
  checkKnown("CircuitPolicy.exponential", given, ["initial", "multiplier", "maximum", "jitter"])
  const field = (name: string) => `CircuitPolicy.exponential: ${name}`
  const initial = checkDuration(field("initial"), options.initial, { positive: true, finite: true })
  const maximum = checkDuration(
    field("maximum"),
    otherwise(options.maximum, Duration.max(initial, Duration.minutes(5))),
    {
      finite: true
    }
  )
  if (Duration.isLessThan(maximum, initial)) {
    throw new RangeError(
      `${field("maximum")} must be at least initial (${Duration.format(initial)}), got ${Duration.format(maximum)}`
    )
  }
  return {
    _tag: "Exponential",
    initial,
    multiplier: checkAtLeast(field("multiplier"), 1, otherwise(options.multiplier, 2)),
    maximum,
    jitter: checkRate(field("jitter"), otherwise(options.jitter, 0))
  }
}

type Field = (name: string) => string

const makeWindow = (field: Field, window: Window): CircuitPolicy["window"] => {
  const { buckets, calls, duration } = checkFields(
    field("window"),
    "an object with calls, or with a duration",
    window as { readonly calls?: number; readonly duration?: Duration.Input; readonly buckets?: number },
    ["calls", "duration", "buckets"]
  )
  if ((calls === undefined) === (duration === undefined) || (calls !== undefined && buckets !== undefined)) {
    return refuse(field("window"), "an object with calls, or with a duration and its buckets", window)
  }
  return calls !== undefined
    ? { calls: checkCount(field("window.calls"), calls, 1_000_000) }
    : {
      duration: checkDuration(field("window.duration"), duration!, { positive: true, finite: true }),
      buckets: checkCount(field("window.buckets"), otherwise(buckets, 10), 1_000)
    }
}

const makeSample = (
  field: Field,
  sample: NonNullable<Options["halfOpenSample"]>
): NonNullable<CircuitPolicy["halfOpenSample"]> => {
  const { calls, failureRate } = checkFields(field("halfOpenSample"), "an object with calls and failureRate", sample, [
    "calls",
    "failureRate"
  ])
  return {
    calls: checkCount(field("halfOpenSample.calls"), calls),
    failureRate: checkRate(field("halfOpenSample.failureRate"), failureRate)
  }
}

const makeRecovery = (field: Field, recovery: Recovery): NonNullable<CircuitPolicy["recovery"]> => {
  const { duration, initial } = checkFields(field("recovery"), "an object with duration", recovery, [
    "duration",
    "initial"
  ])
  return {
    duration: checkDuration(field("recovery.duration"), duration, { positive: true, finite: true }),
    initial: checkShare(field("recovery.initial"), otherwise(initial, 0.1))
  }
}

const checkFields = <O extends object>(field: string, accepted: string, value: O, known: ReadonlyArray<string>): O => {
  if (!isObject(value)) return refuse(field, accepted, value)
  checkKnown(field, value, known)
  return value
}

const checkShare = (field: string, value: number): number =>
  typeof value === "number" && value > 0 && value <= 1
    ? value
    : refuse(field, "a number above 0 and at most 1", value)

const isExponential = (openDuration: OpenDuration): openDuration is Exponential =>
  isObject(openDuration) && "_tag" in openDuration && openDuration._tag === "Exponential"

const makeOpenDuration = (field: Field, openDuration: OpenDuration): CircuitPolicy["openDuration"] =>
  Schedule.isSchedule(openDuration)
    ? openDuration
    : isExponential(openDuration)
    // It may have been spread and changed by hand.
    ? exponential(openDuration)
    : checkDuration(field("openDuration"), openDuration)

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
export const difference = (
  self: CircuitPolicy<never>,
  that: CircuitPolicy<never>
): ReadonlyArray<keyof CircuitPolicy> => FIELDS.filter((field) => !Equal.equals(self[field], that[field]))

/**
 * The fields that code has named: the options of `make`, those of a policy that
 * was spread into them included. Of a policy that another copy of the package
 * made, the fields that are not the defaults.
 *
 * @internal
 */
export const namedFields = (self: CircuitPolicy<never>): ReadonlySet<keyof Options> => {
  const origin = origins.get(self[TypeId])
  return new Set(FIELDS.filter(origin === undefined ? isChanged(self, make()) : names(origin, self)))
}

const isChanged = (self: CircuitPolicy<never>, that: CircuitPolicy<never>) => (field: keyof Options): boolean =>
  !Equal.equals(self[field], that[field])

/**
 * Says in words what a policy does.
 *
 * @category getters
 * @since 0.1.0
 */
export const describe = (self: CircuitPolicy<never>): string => {
  const window = "calls" in self.window ? `the last ${self.window.calls} calls` : Duration.format(self.window.duration)
  const percent = (rate: number) => rateText(rate, 2)
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
