/**
 * Policies as plain functions: `make` is `check` of `withDefaults`.
 *
 * `CircuitPolicy` documents them. Every policy remembers its origin: the fields
 * that code named, and the preset that it follows.
 */
import * as Duration from "effect/Duration"
import * as Equal from "effect/Equal"
import * as Schedule from "effect/Schedule"
import type {
  CircuitPolicy,
  Exponential,
  FailureDescription,
  OpenDuration,
  Options,
  Recovery,
  Window
} from "../../CircuitPolicy.ts"
import {
  checkAtLeast,
  checkCount,
  checkDuration,
  checkFunction,
  checkKnown,
  checkOneOf,
  checkOptions,
  checkRate,
  isObject,
  optionNames,
  refuse
} from "../check.ts"
import { printDuration } from "../time/durationText.ts"
import { describePolicy } from "./policyText.ts"

export const TypeId = "~effect-resilience/CircuitPolicy"

// -----------------------------------------------------------------------------
// fields
// -----------------------------------------------------------------------------

/** A value for every field, not yet checked. */
export type Filled<E = never> = {
  readonly [K in keyof Options]-?: undefined extends CircuitPolicy<E>[K] ? Options<E>[K]
    : Exclude<Options<E>[K], undefined>
}

/** Makes what a policy holds of what was given for a field, or throws a `RangeError` that names `field`. */
type Check<K extends keyof Options> = (field: string, value: Filled[K], all: Filled) => CircuitPolicy<never>[K]

const ifGiven = <A, B>(check: (field: string, value: A) => B) => (field: string, value: A | undefined): B | undefined =>
  value === undefined ? undefined : check(field, value)

const checks: { readonly [K in keyof Options]-?: Check<K> } = {
  consecutiveFailures: ifGiven((field, value: number) => checkCount(field, value)),
  failureRate: ifGiven(checkRate),
  slowCallRate: ifGiven(checkRate),
  slowCallDuration: ifGiven((field, value: Duration.Input) => checkDuration(field, value)),
  minimumCalls: (field, value, { window }) => checkCount(field, value, callsOf(window)),
  window: (field, value) => checkWindow(field, value),
  openDuration: (field, value) => checkOpenDuration(field, value),
  maxOpenDuration: (field, value) => checkDuration(field, value),
  halfOpenMaxCalls: (field, value) => checkCount(field, value),
  successThreshold: (field, value) => checkCount(field, value),
  halfOpenSample: ifGiven((field, value: NonNullable<Options["halfOpenSample"]>) => checkSample(field, value)),
  halfOpenTimeout: (field, value) => checkDuration(field, value, { positive: true }),
  recovery: ifGiven((field, value: Recovery) => checkRecovery(field, value)),
  measureDuration: (field, value) => typeof value === "boolean" ? value : refuse(field, "true or false", value),
  classify: checkFunction,
  interruptedAfter: ifGiven((field, value: Duration.Input) => checkDuration(field, value)),
  countUnreported: (field, value) => {
    checkOneOf(field, ["ignored", "success"], value)
    return value
  },
  describeFailure: ifGiven((field, value: FailureDescription) =>
    value === false || typeof value === "function" ? value : refuse(field, "a function of the error, or false", value)
  )
}

type FieldName = keyof Options

export const FIELDS = /* @__PURE__ */ Object.keys(checks) as ReadonlyArray<FieldName>

interface WindowOptions {
  readonly calls?: number
  readonly duration?: Duration.Input
  readonly buckets?: number
}

const WINDOW_OPTIONS = /* @__PURE__ */ optionNames<WindowOptions>({ calls: true, duration: true, buckets: true })
const SAMPLE_OPTIONS = /* @__PURE__ */ optionNames<NonNullable<Options["halfOpenSample"]>>({
  calls: true,
  failureRate: true
})
const RECOVERY_OPTIONS = /* @__PURE__ */ optionNames<Recovery>({ duration: true, initial: true })

const checkWindow = (field: string, window: Window): CircuitPolicy["window"] => {
  const { buckets, calls, duration } = checkFields(
    field,
    "an object with calls, or with a duration",
    window as WindowOptions,
    WINDOW_OPTIONS
  )
  if ((calls === undefined) === (duration === undefined) || (calls !== undefined && buckets !== undefined)) {
    return refuse(field, "an object with calls, or with a duration and its buckets", window)
  }
  return calls !== undefined
    ? { calls: checkCount(`${field}.calls`, calls, 1_000_000) }
    : {
      duration: checkDuration(`${field}.duration`, duration!, { positive: true, finite: true }),
      buckets: checkCount(`${field}.buckets`, otherwise(buckets, 10), 1_000)
    }
}

/** The calls that a window holds at most, if it has such a limit. One that is not accepted is refused by its own check. */
const callsOf = (window: Window): number | undefined => {
  const calls = isObject(window) && "calls" in window ? window.calls : undefined
  return Number.isInteger(calls) && calls! >= 1 ? calls : undefined
}

const checkSample = (
  field: string,
  sample: NonNullable<Options["halfOpenSample"]>
): NonNullable<CircuitPolicy["halfOpenSample"]> => {
  const { calls, failureRate } = checkFields(field, "an object with calls and failureRate", sample, SAMPLE_OPTIONS)
  return {
    calls: checkCount(`${field}.calls`, calls),
    failureRate: checkRate(`${field}.failureRate`, failureRate)
  }
}

const checkRecovery = (field: string, recovery: Recovery): NonNullable<CircuitPolicy["recovery"]> => {
  const { duration, initial } = checkFields(field, "an object with duration", recovery, RECOVERY_OPTIONS)
  return {
    duration: checkDuration(`${field}.duration`, duration, { positive: true, finite: true }),
    initial: checkShare(`${field}.initial`, otherwise(initial, 0.1))
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

const checkOpenDuration = (field: string, openDuration: OpenDuration): CircuitPolicy["openDuration"] =>
  Schedule.isSchedule(openDuration)
    ? openDuration
    : isExponential(openDuration)
    // It may have been spread and changed by hand.
    ? exponential(openDuration)
    : checkDuration(field, openDuration)

export const isExponential = (openDuration: OpenDuration): openDuration is Exponential =>
  isObject(openDuration) && "_tag" in openDuration && openDuration._tag === "Exponential"

const EXPONENTIAL_OPTIONS = /* @__PURE__ */ optionNames<Parameters<typeof exponential>[0]>({
  initial: true,
  multiplier: true,
  maximum: true,
  jitter: true
})

export const exponential = (options: {
  readonly initial: Duration.Input
  readonly multiplier?: number | undefined
  readonly maximum?: Duration.Input | undefined
  readonly jitter?: number | undefined
}): Exponential => {
  const { _tag: _, ...given } = checkOptions("CircuitPolicy.exponential", options) as typeof options & { _tag?: string }
  checkKnown("CircuitPolicy.exponential", given, EXPONENTIAL_OPTIONS)
  const field = (name: string) => `CircuitPolicy.exponential: ${name}`
  const initial = checkDuration(field("initial"), options.initial, { positive: true, finite: true })
  const maximum = checkDuration(
    field("maximum"),
    otherwise(options.maximum, Duration.max(initial, Duration.minutes(5))),
    { finite: true }
  )
  if (Duration.isLessThan(maximum, initial)) {
    throw new RangeError(
      `${field("maximum")} must be at least initial (${printDuration(initial)}), got ${printDuration(maximum)}`
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

/** A `null` is no default, and is refused like any other value. */
const otherwise = <A>(value: A | undefined, byDefault: A): A => value === undefined ? byDefault : value

// -----------------------------------------------------------------------------
// origins
// -----------------------------------------------------------------------------

/**
 * What a policy was made of. A spread carries the value of the `TypeId` along,
 * so that the origin of what is spread is known, while comparing two policies
 * does not see it.
 */
interface Origin {
  readonly policy: CircuitPolicy<never>
  /** The fields that code named. The others follow from these, or are defaults. */
  readonly named: ReadonlySet<FieldName>
  readonly preset: string | undefined
}

const origins = /* @__PURE__ */ new WeakMap<object, Origin>()

const policies = /* @__PURE__ */ new WeakSet<object>()

const originOf = (self: object): Origin | undefined => {
  const id = (self as { readonly [TypeId]?: object })[TypeId]
  return id === undefined ? undefined : origins.get(id)
}

/** Keeps the origin of a policy that was just made. */
export const remember = <E>(
  policy: CircuitPolicy<E>,
  origin: { readonly named: ReadonlySet<FieldName>; readonly preset: string | undefined }
): CircuitPolicy<E> => {
  origins.set(policy[TypeId], { policy, ...origin })
  policies.add(policy)
  return policy
}

/** Whether options, in which a policy of `origin` may be spread, name a field. */
const names = (options: Options<never>, origin: Origin | undefined) => (field: FieldName): boolean =>
  options[field] !== undefined &&
  (origin === undefined || origin.named.has(field) || options[field] !== origin.policy[field])

/** The fields that code named in a policy, those of a policy that was spread into it included. */
export const namedFields = (self: CircuitPolicy<never>): ReadonlySet<FieldName> => {
  const origin = originOf(self)
  if (origin?.policy === self) return origin.named
  // Another copy of the package does not say what it was told.
  return new Set(origin === undefined ? difference(self, make()) : FIELDS.filter(names(self, origin)))
}

/** A preset with other code in it is that preset still. */
const CODE: ReadonlyArray<FieldName> = ["classify", "describeFailure"]

/** The preset that options follow into which it was spread. */
const presetIn = (options: Options<never>, origin: Origin | undefined): string | undefined =>
  FIELDS.every((field) => CODE.includes(field) || options[field] === origin?.policy[field]) ? origin?.preset : undefined

/** The name of the preset that a policy follows. */
export const presetOf = (self: CircuitPolicy<never>): string | undefined => presetIn(self, originOf(self))

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** How messages name options: those of `make`, or an option that takes a policy. */
interface Owner {
  readonly name: string
  readonly field: (name: string) => string
}

const MAKE: Owner = { name: "CircuitPolicy.make", field: (name) => `CircuitPolicy.make: ${name}` }

const ownerOf = (field: string): Owner => ({ name: field, field: (name) => `${field}.${name}` })

/**
 * The description is on the prototype: a spread leaves it behind, and it is
 * computed when it is asked for. The prototype is no class, so that comparing
 * policies does not ask for it.
 */
const prototype = /* @__PURE__ */ Object.defineProperty({}, "description", {
  get(this: CircuitPolicy<never>): string {
    return describePolicy(this)
  }
})

/** A policy of values for all fields, which is where all of them are checked. */
export const check = <E>(owner: Owner, filled: Filled<E>): CircuitPolicy<E> => {
  const { slowCallDuration, slowCallRate } = filled
  if ((slowCallRate === undefined) !== (slowCallDuration === undefined)) {
    const [given, missing] = slowCallRate === undefined
      ? ["slowCallDuration", "slowCallRate"]
      : ["slowCallRate", "slowCallDuration"]
    throw new RangeError(`${owner.field(given)} needs ${missing} beside it, got none`)
  }
  const fields: Record<string, unknown> = { [TypeId]: Object.freeze({}) }
  for (const field of FIELDS) {
    const check = checks[field] as (field: string, value: unknown, all: Filled) => unknown
    fields[field] = check(owner.field(field), filled[field], filled as Filled)
  }
  return Object.assign(Object.create(prototype), fields)
}

/** The rules that open a circuit, of which only those apply that are named. */
export const TRIPS = ["consecutiveFailures", "failureRate", "slowCallRate"] as const satisfies ReadonlyArray<FieldName>

export type Trip = typeof TRIPS[number]

/** Options with the library's defaults in place of what they do not name. */
const withDefaults = <E>(options: Options<E>, isNamed: (field: FieldName) => boolean): Filled<E> => {
  const anyTrip = TRIPS.some(isNamed)
  const ruleOf = (trip: Trip) => !anyTrip || isNamed(trip) ? options[trip] : undefined
  const isNone = TRIPS.every((trip) => ruleOf(trip) === undefined)
  const window = otherwise(options.window, { duration: "60 seconds" } as const)
  return {
    consecutiveFailures: isNone ? 5 : ruleOf("consecutiveFailures"),
    failureRate: isNone ? 0.5 : ruleOf("failureRate"),
    slowCallRate: ruleOf("slowCallRate"),
    slowCallDuration: options.slowCallDuration,
    minimumCalls: isNamed("minimumCalls") ? options.minimumCalls! : Math.min(10, callsOf(window) ?? 10),
    window,
    openDuration: otherwise(options.openDuration, exponential({ initial: "60 seconds" })),
    maxOpenDuration: otherwise(options.maxOpenDuration, "1 hour"),
    halfOpenMaxCalls: otherwise(options.halfOpenMaxCalls, 3),
    successThreshold: otherwise(options.successThreshold, 2),
    halfOpenSample: options.halfOpenSample,
    halfOpenTimeout: otherwise(options.halfOpenTimeout, "60 seconds"),
    recovery: options.recovery,
    measureDuration: isNamed("measureDuration") ? options.measureDuration! : timesCalls(window, options.slowCallRate),
    classify: options.classify,
    interruptedAfter: options.interruptedAfter,
    countUnreported: otherwise(options.countUnreported, "ignored"),
    describeFailure: options.describeFailure
  }
}

/** Whether calls are timed where code does not say: the window or a rule needs the time anyway. */
export const timesCalls = (window: Window, slowCallRate: number | undefined): boolean =>
  callsOf(window) === undefined || slowCallRate !== undefined

const build = <E>(owner: Owner, options: Options<E>, preset?: string): CircuitPolicy<E> => {
  const { [TypeId]: spread, ...given } = options as Options<E> & { readonly [TypeId]?: object }
  checkKnown(owner.name, given, FIELDS)
  const origin = originOf(options)
  const isNamed = names(given, origin)
  const policy = check(owner, withDefaults(given, isNamed))
  const isForeign = spread !== undefined && origin === undefined
  return remember(policy, {
    named: isForeign ? namedFields(policy) : new Set(FIELDS.filter(isNamed)),
    preset: preset ?? presetIn(given, origin)
  })
}

export const make = <E = unknown>(options: Options<E> = {}): CircuitPolicy<E> =>
  build(MAKE, checkOptions(MAKE.name, options))

/** A policy that knows the name under which it is published. */
export const makePreset = (name: string, options: Options): CircuitPolicy => build(MAKE, options, name)

/**
 * The policy that an option called `field` stands for: a policy as it is, or
 * one made of options, of a policy that was spread and changed by hand in
 * particular. Messages name the options as those of `field`.
 */
export const from: {
  <E>(field: string, policy: CircuitPolicy<E> | Options<E>): CircuitPolicy<E>
  <E>(field: string, policy: CircuitPolicy<E> | Options<E> | undefined): CircuitPolicy<E> | undefined
} =
  (<E>(field: string, policy: CircuitPolicy<E> | Options<E> | undefined): CircuitPolicy<E> | undefined =>
    policy === undefined || isMade(policy)
      ? policy
      : isObject(policy)
      ? build(ownerOf(field), policy)
      : refuse(field, "a policy or its options", policy)) as typeof from

const isMade = <E>(policy: CircuitPolicy<E> | Options<E>): policy is CircuitPolicy<E> => policies.has(policy)

export const isCircuitPolicy = (u: unknown): u is CircuitPolicy => isObject(u) && TypeId in u

export const difference = (self: CircuitPolicy<never>, that: CircuitPolicy<never>): ReadonlyArray<FieldName> =>
  FIELDS.filter((field) => !Equal.equals(self[field], that[field]))
