/**
 * The words and figures that people read in more than one place: on the admin
 * page, in the terminal, in log lines and in health reports.
 *
 * Imports only types, so that the page can include it.
 */
import type { CircuitState, StateChanged } from "../CircuitEvent.ts"
import type { LastFailure } from "../ResilienceError.ts"

/** The version of this package, as in `package.json`. */
export const VERSION = "0.1.0"

// -----------------------------------------------------------------------------
// states
// -----------------------------------------------------------------------------

/** The states as JSON, logs and metrics spell them. */
export const STATE_NAMES = {
  Closed: "closed",
  Open: "open",
  HalfOpen: "half_open",
  ForcedOpen: "forced_open",
  Disabled: "disabled",
  MetricsOnly: "metrics_only"
} as const satisfies Record<CircuitState, string>

export type StateName = typeof STATE_NAMES[CircuitState]

/** The states as people read them. */
export const STATE_LABELS: Readonly<Record<StateName, string>> = {
  closed: "closed",
  open: "open",
  half_open: "half-open",
  forced_open: "forced open",
  disabled: "disabled",
  metrics_only: "metrics only"
}

/** The states, most urgent first. */
export const STATES_BY_URGENCY: ReadonlyArray<StateName> = [
  "open",
  "forced_open",
  "half_open",
  "metrics_only",
  "disabled",
  "closed"
]

/** A circuit that lets calls through is degraded if it fails more of them. */
export const ALARMING_FAILURE_RATE = 0.1

/** A number to sort circuits by, most urgent first. A high failure rate follows a half-open circuit. */
export const urgency = (
  { error_rate, state }: { readonly state: StateName; readonly error_rate: number }
): number => {
  const isAlarming = (state === "closed" || state === "metrics_only") && error_rate > ALARMING_FAILURE_RATE
  return isAlarming
    ? STATES_BY_URGENCY.indexOf("half_open") + 0.5
    : STATES_BY_URGENCY.indexOf(state)
}

// -----------------------------------------------------------------------------
// reasons
// -----------------------------------------------------------------------------

/** The part of a transition that tells its reason; of a decoded event or its JSON. */
export type Transition = Pick<
  StateChanged,
  "reason" | "note" | "consecutiveFailures" | "failureRate" | "slowCallRate" | "calls"
>

/** Why a circuit changed, as the end of a sentence. */
export const reasonText = (event: Transition): string => {
  switch (event.reason) {
    case "ConsecutiveFailures":
      return `${count(event.consecutiveFailures, "failure")} in a row`
    case "FailureRate":
      return `${percent(event.failureRate)} of ${count(event.calls, "call")} failed`
    case "SlowCallRate":
      return `${percent(event.slowCallRate)} of ${count(event.calls, "call")} were slow`
    case "ProbeFailed":
      return "a probe failed"
    case "ProbesSucceeded":
      return "the probes succeeded"
    case "ProbeTimedOut":
      return "the probes timed out"
    case "OpenTimeEnded":
      return "the open time ended"
    case "Manual":
      return event.note === undefined ? "by hand" : `by hand: ${event.note}`
  }
}

/** A failure in one line. */
export const failureText = ({ error, message }: LastFailure): string =>
  message === "" || message === error ? error : error === "string" ? message : `${error}: ${message}`

/** The reasons in a health report, whose source may be of another kind. */
export const healthReasons = (checks: unknown): ReadonlyArray<string> =>
  typeof checks === "object" && checks !== null && "reasons" in checks && Array.isArray(checks.reasons)
    ? checks.reasons.filter((reason) => typeof reason === "string")
    : []

// -----------------------------------------------------------------------------
// figures
// -----------------------------------------------------------------------------

/** A rate with at most so many decimals. A rate above zero never reads as zero. */
export const percent = (rate: number, decimals = 1): string => {
  const value = Number((rate * 100).toFixed(decimals))
  return value === 0 && rate > 0 ? `<${1 / 10 ** decimals}%` : `${value}%`
}

/** A number with its noun, whose plural ends in `s`. */
export const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? "" : "s"}`
