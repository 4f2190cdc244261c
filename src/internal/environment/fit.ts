/**
 * A policy as variables change it, and what contradicts what.
 */
import * as Duration from "effect/Duration"
import type { CircuitPolicy, Options, Window } from "../../CircuitPolicy.ts"
import type { Value } from "../../Environment.ts"
import { printDuration } from "../time/durationText.ts"
import { check, exponential, FIELDS, namedFields, presetOf, remember, timesCalls } from "../circuit/policy.ts"
import {
  type CircuitFields,
  circuitFields,
  DEFAULT_OPEN_TIME,
  type Field,
  type Fields,
  type OtherFields,
  type Rule,
  ruleKeys,
  type ValueOf
} from "./fields.ts"
import { type Decided, inCode, isSet, type Settings, show, variablesOf } from "./levels.ts"
import type { Report } from "./problems.ts"

export interface Fitted {
  readonly policy: CircuitPolicy
  readonly settings: Settings<CircuitFields>
}

type MutableSettings = { -readonly [K in keyof CircuitFields]: Decided<ValueOf<CircuitFields[K]>> }

/** Reports a problem between settings, unless one of them is a problem already. */
type Conflict = (concerned: ReadonlyArray<Decided<Value>>, message: string) => void

/**
 * The policy that the settings make of `base`. Values that are set and
 * contradict each other are reported; values that are not set yield.
 */
export const fit = (
  decided: Settings<CircuitFields>,
  base: CircuitPolicy,
  prefix: string,
  report: Report
): Fitted => {
  const settings: MutableSettings = { ...decided }
  const { ENABLED: _enabled, REQUEST_TIMEOUT_SECONDS: _timeout, ...ofPolicy } = decided
  if (!Object.values(ofPolicy).some(isSet)) return { policy: base, settings }

  const conflict: Conflict = (concerned, message) => {
    // What the variables of all circuits do wrong among themselves is not reported again for each circuit.
    const isNews = concerned.some((setting) => isSet(setting) && setting.variable.startsWith(prefix))
    if (isNews && !concerned.some((setting) => setting.invalid)) report({ message, variables: variablesOf(concerned) })
  }
  fitSlowCalls(settings, conflict)
  fitRules(settings, base, conflict)
  fitWindow(settings, base, prefix, conflict)
  fitMinimumCalls(settings, conflict)
  const openDuration = fitOpenDuration(settings, base, conflict)

  const [rules, window] = [rulesOf(settings), windowOf(settings, base)]
  const isMeasured = namedFields(base).has("measureDuration")
  const policy = check(OWNER, {
    ...base,
    ...rules,
    minimumCalls: settings.MINIMUM_REQUEST_THRESHOLD.value,
    window,
    openDuration,
    halfOpenMaxCalls: settings.HALF_OPEN_CALLS.value,
    halfOpenTimeout: unlessOff(settings.HALF_OPEN_TIMEOUT.value) ?? Duration.infinity,
    successThreshold: settings.SUCCESS_THRESHOLD.value,
    // Unless the code chose it, it follows from the other fields.
    measureDuration: isMeasured ? base.measureDuration : timesCalls(window, rules.slowCallRate)
  })
  // Settings are meant as they are, also those that the base has by default.
  const named = FIELDS.filter((field) => field === "measureDuration" ? isMeasured : policy[field] !== undefined)
  remember(policy, { named: new Set(named), preset: presetOf(base) })
  changes.set(policy, { base, settings })
  return { policy, settings }
}

/** How a policy came about that variables have changed. */
const changes = /* @__PURE__ */ new WeakMap<
  CircuitPolicy,
  { readonly base: CircuitPolicy; readonly settings: Settings<CircuitFields> }
>()

/** The policy in code that variables have made this one of. */
export const policyInCode = (policy: CircuitPolicy): CircuitPolicy => changes.get(policy)?.base ?? policy

/**
 * What a policy has for a setting, and where that comes from: the variable that
 * has changed it, or else code. `undefined` for a setting that is not of a policy.
 */
export const settingOf = (
  policy: CircuitPolicy,
  key: string
): Pick<Decided<Value>, "value" | "source" | "variable"> | undefined => {
  const field: Field<Value> | undefined = (circuitFields as Fields)[key]
  if (field?.read === undefined) return undefined
  return changes.get(policy)?.settings[key as keyof CircuitFields] ?? { ...inCode(field, policy), variable: "" }
}

const OWNER = { name: "Environment", field: (name: string) => `Environment: ${name}` }

const rulesOf = (settings: Settings<CircuitFields>): { readonly [K in Rule]: Options[K] } => ({
  consecutiveFailures: unlessOff(settings.FAILURE_THRESHOLD.value),
  failureRate: unlessOff(settings.FAILURE_RATE_THRESHOLD.value),
  slowCallDuration: unlessOff(settings.SLOW_CALL_THRESHOLD_MS.value),
  slowCallRate: unlessOff(settings.SLOW_CALL_RATE_THRESHOLD.value)
})

/** Of time and size, one is off. */
const windowOf = (
  { FAILURE_WINDOW_SECONDS: time, WINDOW_SIZE: size }: Settings<CircuitFields>,
  base: CircuitPolicy
): Window =>
  size.value !== "off"
    ? { calls: size.value }
    : { duration: unlessOff(time.value)!, buckets: "buckets" in base.window ? base.window.buckets : undefined }

const unlessOff = <A>(value: A | "off"): A | undefined => value === "off" ? undefined : value

const fitSlowCalls = (settings: MutableSettings, conflict: Conflict): void => {
  const { SLOW_CALL_RATE_THRESHOLD: rate, SLOW_CALL_THRESHOLD_MS: time } = settings
  if ((rate.value === "off") === (time.value === "off")) return
  const [given, missing] = rate.value === "off" ? [time, rate] : [rate, time]
  // Turning off either turns off the rule.
  const isConflict = !isSet(missing)
  if (isConflict) conflict([given, missing], `${show(given)} needs ${missing.variable} beside it`)
  settings.SLOW_CALL_RATE_THRESHOLD = { ...rate, value: "off", invalid: rate.invalid || isConflict }
  settings.SLOW_CALL_THRESHOLD_MS = { ...time, value: "off", invalid: time.invalid || isConflict }
}

const fitRules = (settings: MutableSettings, base: CircuitPolicy, conflict: Conflict): void => {
  const all = ruleKeys.map((key) => settings[key])
  if (all.some(({ value }) => value !== "off")) return
  conflict(all, `${all.filter(isSet).map(show).join(" and ")} must leave a rule that opens the circuit`)
  // For a policy that is not known when the variables are read, nobody hears of that.
  for (const key of ruleKeys) keepBase(settings, key, base)
}

/** Has a setting be what it is in the base, whatever its variable is. */
const keepBase = (settings: MutableSettings, key: keyof CircuitFields, base: CircuitPolicy): void => {
  const byKey: Record<string, Decided<Value>> = settings
  byKey[key] = { ...settings[key], ...inCode(circuitFields[key], base) }
}

const fitWindow = (
  settings: MutableSettings,
  base: CircuitPolicy,
  prefix: string,
  conflict: Conflict
): void => {
  const { FAILURE_WINDOW_SECONDS: time, WINDOW_SIZE: size } = settings
  if (time.value !== "off" || size.value !== "off") return
  // One is also off where the other is set.
  const given = [time, size].filter(({ text }) => text.trim().toLowerCase() === "off")
  conflict(
    given,
    given.length === 2
      ? `${show(time)} and ${show(size)} leave no window; set one of them`
      : `${given.map(show)[0]} needs ${prefix}${given[0] === size ? "FAILURE_WINDOW_SECONDS" : "WINDOW_SIZE"} beside it`
  )
  keepBase(settings, "FAILURE_WINDOW_SECONDS", base)
  keepBase(settings, "WINDOW_SIZE", base)
}

const fitMinimumCalls = (settings: MutableSettings, conflict: Conflict): void => {
  const { MINIMUM_REQUEST_THRESHOLD: minimum, WINDOW_SIZE: size } = settings
  if (size.value === "off" || minimum.value <= size.value) return
  if (isSet(minimum)) {
    const window = isSet(size) ? show(size) : `the ${size.value} calls that the code has for the window`
    conflict([minimum, size], `${show(minimum)} must be at most ${window}`)
  }
  settings.MINIMUM_REQUEST_THRESHOLD = { ...minimum, value: size.value }
}

const fitOpenDuration = (
  settings: MutableSettings,
  base: CircuitPolicy,
  conflict: Conflict
): CircuitPolicy["openDuration"] => {
  const {
    BACKOFF_MULTIPLIER: multiplier,
    EXPONENTIAL_BACKOFF: grows,
    MAX_BACKOFF_SECONDS: maximum,
    RECOVERY_TIMEOUT: initial
  } = settings
  if (![multiplier, grows, maximum, initial].some(isSet)) return base.openDuration

  // Variables do not change a schedule, they replace it.
  const time = {
    initial: unlessScheduled(initial.value, DEFAULT_OPEN_TIME.initial),
    grows: unlessScheduled(grows.value, DEFAULT_OPEN_TIME.grows),
    multiplier: unlessScheduled(multiplier.value, DEFAULT_OPEN_TIME.multiplier),
    maximum: unlessScheduled(maximum.value, DEFAULT_OPEN_TIME.maximum)
  }
  if (time.grows && (Duration.isZero(time.initial) || !Duration.isFinite(time.initial))) {
    conflict(
      [grows],
      `${show(grows)} needs ${initial.variable} beside it: the code opens for ${printDuration(time.initial)}`
    )
    time.grows = false
  }
  if (time.grows && Duration.isLessThan(time.maximum, time.initial)) {
    if (isSet(maximum) && isSet(initial)) {
      conflict([maximum, initial], `${show(maximum)} must be at least ${show(initial)}`)
    }
    if (isSet(maximum)) time.initial = time.maximum
    else time.maximum = time.initial
  }
  settings.RECOVERY_TIMEOUT = { ...initial, value: time.initial }
  settings.EXPONENTIAL_BACKOFF = { ...grows, value: time.grows }
  settings.BACKOFF_MULTIPLIER = { ...multiplier, value: time.multiplier }
  settings.MAX_BACKOFF_SECONDS = { ...maximum, value: time.maximum }
  if (!time.grows) return time.initial
  const jitter = "_tag" in base.openDuration && base.openDuration._tag === "Exponential" ? base.openDuration.jitter : 0
  return exponential({
    initial: time.initial,
    multiplier: time.multiplier,
    maximum: time.maximum,
    jitter
  })
}

const unlessScheduled = <A>(value: A | "schedule", otherwise: A): A => value === "schedule" ? otherwise : value

export const fitRetry = (settings: Settings<OtherFields>, report: Report): Settings<OtherFields> => {
  const { RETRY_BASE_DELAY: base, RETRY_MAX_DELAY: maximum } = settings
  if (!Duration.isLessThan(maximum.value, base.value)) return settings
  if (isSet(base) && isSet(maximum)) {
    report({ message: `${show(maximum)} must be at least ${show(base)}`, variables: variablesOf([maximum, base]) })
  }
  return isSet(maximum)
    ? { ...settings, RETRY_BASE_DELAY: { ...base, value: maximum.value } }
    : { ...settings, RETRY_MAX_DELAY: { ...maximum, value: base.value } }
}
