/**
 * The table of settings: of each its kind, its default, and what of a policy it
 * is.
 */
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import type { CircuitPolicy, Options } from "../../CircuitPolicy.ts"
import type { Value } from "../../Environment.ts"
import { make, namedFields, TRIPS } from "../circuit/policy.ts"
import {
  count,
  factor,
  flag,
  HOUR,
  type Kind,
  milliseconds,
  orOff,
  rate,
  seconds,
  upToDay,
  upToHour
} from "./decode.ts"

export interface Field<out A extends Value> {
  readonly kind: Kind<A>
  readonly default: A
  /** What a policy has for it. A setting that is not of a policy has none. */
  readonly read: ((policy: CircuitPolicy) => A) | undefined
  /** The fields of a policy of which any one claims the setting. */
  readonly claimedBy: ReadonlyArray<keyof Options>
  readonly description: string
}

export type Fields = Readonly<Record<string, Field<Value>>>

export type ValueOf<F> = F extends Field<infer A> ? A : never

const field = <A extends Value>(kind: Kind<A>, byDefault: A, description: string): Field<A> => ({
  kind,
  default: byDefault,
  read: undefined,
  claimedBy: [],
  description
})

export const builtIn = /* @__PURE__ */ make()

const policyField = <A extends Value, B extends Value>(
  kind: Kind<A>,
  claimedBy: keyof Options | ReadonlyArray<keyof Options>,
  read: (policy: CircuitPolicy) => A | B,
  description: string
): Field<A | B> => ({
  kind,
  default: read(builtIn),
  read,
  claimedBy: typeof claimedBy === "string" ? [claimedBy] : claimedBy,
  description
})

/** Only the rules that a policy names apply, so that one of them claims them all. */
const RULES = [...TRIPS, "slowCallDuration"] as const

export type Rule = typeof RULES[number]

export const DEFAULT_OPEN_TIME = {
  initial: /* @__PURE__ */ Duration.minutes(1),
  grows: true,
  multiplier: 2,
  maximum: /* @__PURE__ */ Duration.minutes(5)
}

/** The open time of a policy, in the terms of the variables. */
const openTime = ({ openDuration }: CircuitPolicy) =>
  Schedule.isSchedule(openDuration)
    ? { initial: "schedule", grows: "schedule", multiplier: "schedule", maximum: "schedule" } as const
    : Duration.isDuration(openDuration)
    ? { ...DEFAULT_OPEN_TIME, initial: openDuration, grows: false }
    : { ...openDuration, grows: true }

/** Settings of circuits, by the primary spelling of their key. */
export const circuitFields = {
  FAILURE_THRESHOLD: policyField(
    orOff(count(1_000_000)),
    RULES,
    (policy) => policy.consecutiveFailures ?? "off",
    "Failures in a row that open the circuit."
  ),
  FAILURE_RATE_THRESHOLD: policyField(
    orOff(rate),
    RULES,
    (policy) => policy.failureRate ?? "off",
    "Share of failures in the window that opens the circuit."
  ),
  MINIMUM_REQUEST_THRESHOLD: policyField(
    count(1_000_000),
    "minimumCalls",
    (policy) => policy.minimumCalls,
    "Calls the window must hold before a rate counts."
  ),
  FAILURE_WINDOW_SECONDS: policyField(
    orOff(seconds(0.001, upToDay, "1m")),
    "window",
    (policy) => "duration" in policy.window ? policy.window.duration : "off",
    "The window, as a time. Excludes `WINDOW_SIZE`."
  ),
  WINDOW_SIZE: policyField(
    orOff(count(1_000_000)),
    "window",
    (policy) => "calls" in policy.window ? policy.window.calls : "off",
    "The window, as a number of calls. Excludes `FAILURE_WINDOW_SECONDS`."
  ),
  RECOVERY_TIMEOUT: policyField(
    seconds(0.001, upToDay, "30s"),
    "openDuration",
    (policy) => openTime(policy).initial,
    "How long the circuit stays open, at first."
  ),
  EXPONENTIAL_BACKOFF: policyField(
    flag,
    "openDuration",
    (policy) => openTime(policy).grows,
    "Whether each opening in a row is longer than the one before."
  ),
  BACKOFF_MULTIPLIER: policyField(
    factor,
    "openDuration",
    (policy) => openTime(policy).multiplier,
    "How many times longer."
  ),
  MAX_BACKOFF_SECONDS: policyField(
    seconds(0.001, upToDay, "5m"),
    "openDuration",
    (policy) => openTime(policy).maximum,
    "How long at most."
  ),
  HALF_OPEN_CALLS: policyField(
    count(10_000),
    "halfOpenMaxCalls",
    (policy) => policy.halfOpenMaxCalls,
    "Probes that run at once while the circuit is half-open."
  ),
  HALF_OPEN_TIMEOUT: policyField(
    orOff(seconds(0.001, upToDay, "1m")),
    "halfOpenTimeout",
    (policy) => Duration.isFinite(policy.halfOpenTimeout) ? policy.halfOpenTimeout : "off",
    "The circuit opens again if probes run that long without a verdict."
  ),
  SUCCESS_THRESHOLD: policyField(
    count(10_000),
    "successThreshold",
    (policy) => policy.successThreshold,
    "Successful probes that close the circuit."
  ),
  SLOW_CALL_THRESHOLD_MS: policyField(
    orOff(milliseconds(1, HOUR * 1000, "2s")),
    RULES,
    (policy) => policy.slowCallDuration ?? "off",
    "Calls that take longer are slow."
  ),
  SLOW_CALL_RATE_THRESHOLD: policyField(
    orOff(rate),
    RULES,
    (policy) => policy.slowCallRate ?? "off",
    "Share of slow calls in the window that opens the circuit."
  ),
  REQUEST_TIMEOUT_SECONDS: field(
    orOff(seconds(0.001, upToHour, "10s")),
    Duration.seconds(10),
    "How long an attempt of a call may take, in the standard pipeline."
  ),
  ENABLED: field(flag, true, "Whether circuits are on. One that is off is `Disabled`: every call passes.")
} satisfies Fields

export const otherFields = {
  MAX_RETRY_ATTEMPTS: field(count(1000), 3, "Attempts of a call, the first included."),
  RETRY_BASE_DELAY: field(
    seconds(0, { plain: 90, longest: Duration.hours(1) }, "500ms"),
    Duration.seconds(1),
    "Wait before the first retry."
  ),
  RETRY_MAX_DELAY: field(seconds(0, upToDay, "1m"), Duration.minutes(1), "Longest wait before a retry."),
  RETRY_EXPONENTIAL_BASE: field(factor, 2, "How many times longer each wait is than the one before."),
  RETRY_JITTER_ENABLED: field(flag, true, "Whether waits are spread, × 0.5 to 1.5."),
  HEALTH_CHECK_INTERVAL: field(
    seconds(0.001, upToDay, "30s"),
    Duration.seconds(30),
    "Time between two health checks."
  )
} satisfies Fields

export type CircuitFields = typeof circuitFields

/** The settings that are the rules of a policy. */
export const ruleKeys = (Object.keys(circuitFields) as ReadonlyArray<keyof CircuitFields>).filter((key) =>
  circuitFields[key].claimedBy === RULES
)

export type OtherFields = typeof otherFields

/** Whether code named a setting in a policy. */
export const claims = (policy: CircuitPolicy, { claimedBy }: Field<Value>): boolean => {
  const named = namedFields(policy)
  return claimedBy.some((field) => named.has(field))
}
