/** The reasons that the metrics of a circuit, or the result of a check, give not to be healthy: plain functions. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import { format } from "effect/Formatter"
import * as Predicate from "effect/Predicate"
import type { CircuitMetrics } from "../../CircuitMetrics.ts"
import type { Reason } from "../../HealthReport.ts"
import { isCallTimeoutError } from "../../ResilienceError.ts"
import { formatDuration } from "../time/durationText.ts"
import { messageOf } from "../error/messageOf.ts"
import { shownLine } from "../error/shownLine.ts"
import { ALARMING_FAILURE_RATE, count, percent } from "../words.ts"

export const notChecked: Reason = { code: "NotChecked", status: "degraded", message: "has not been checked yet" }

export const hanging = (since: Duration.Duration): Reason => ({
  code: "CheckHanging",
  status: "unhealthy",
  message: `a run that timed out has not ended, it began ${formatDuration(since)} ago`
})

/** Whether a half-open circuit has waited for a call for so long that nobody seems to need it. */
export const isIdle = (
  { currentBackoff = Duration.zero, probeIdleTime }: Pick<CircuitMetrics, "currentBackoff" | "probeIdleTime">
): boolean =>
  probeIdleTime !== undefined && Duration.isGreaterThanOrEqualTo(probeIdleTime, Duration.max(currentBackoff, IDLE_TIME))

const IDLE_TIME = /* @__PURE__ */ Duration.minutes(1)

/** `name` is given for a circuit that is shown under another name than its own. */
export const ofCircuit = (circuit: CircuitMetrics, name?: string): ReadonlyArray<Reason> => {
  const subject = name === undefined ? "circuit" : `circuit "${name}"`
  const { callsInWindow, failureRate, probeIdleTime = Duration.zero, state, timeUntilRetry = Duration.zero } = circuit
  switch (state) {
    case "Open":
      return [{
        code: "CircuitOpen",
        status: "unhealthy",
        message: `${subject} is open, retry after ${formatDuration(timeUntilRetry)}`
      }]
    case "ForcedOpen":
      return [{
        code: "CircuitForcedOpen",
        status: "unhealthy",
        message: Duration.isFinite(timeUntilRetry)
          ? `${subject} was forced open, retry after ${formatDuration(timeUntilRetry)}`
          : `${subject} was forced open and stays so until it is released`
      }]
    case "HalfOpen":
      return isIdle(circuit)
        ? [{
          code: "CircuitIdle",
          status: "healthy",
          message: `${subject} is half-open, and no call has come for ${formatDuration(probeIdleTime)}`
        }]
        : [{ code: "CircuitHalfOpen", status: "degraded", message: `${subject} is half-open` }]
    case "Disabled":
      return []
    case "Closed":
    case "MetricsOnly":
      return failureRate > ALARMING_FAILURE_RATE
        ? [{
          code: "FailureRate",
          status: "degraded",
          message: `${subject} has a failure rate of ${percent(failureRate)} over ${
            count(callsInWindow, "call")
          }, above ${percent(ALARMING_FAILURE_RATE)}`
        }]
        : []
  }
}

const ACCEPTED =
  "true, false, nothing, or an object with status \"healthy\", \"degraded\" or \"unhealthy\" and a reason"

/** A check written in JavaScript may return anything, even what cannot be formatted. */
export const ofExit = (exit: Exit.Exit<unknown, unknown>): ReadonlyArray<Reason> => {
  try {
    return judge(exit)
  } catch {
    return [failed("the check ended with something that cannot be shown")]
  }
}

const judge = (exit: Exit.Exit<unknown, unknown>): ReadonlyArray<Reason> => {
  if (Exit.isFailure(exit)) return [ofFailure(exit.cause)]
  const answer = exit.value
  if (answer === undefined || answer === true) return []
  if (answer === false) return [failed("the check answered false")]
  if (Predicate.hasProperty(answer, "status")) {
    const { status } = answer
    if (status === "healthy") return []
    if (status === "degraded" || status === "unhealthy") {
      const reason = Predicate.hasProperty(answer, "reason") ? answer.reason : undefined
      return [{
        code: "Reported",
        status,
        message: typeof reason === "string" ? shownLine(reason) : `the check answered ${status}`
      }]
    }
  }
  return [failed(`the check answered ${shownLine(format(answer))}; accepted is ${ACCEPTED}`)]
}

const ofFailure = (cause: Cause.Cause<unknown>): Reason => {
  const failure = cause.reasons.find(Cause.isFailReason) ?? cause.reasons.find(Cause.isDieReason)
  if (failure === undefined) return failed("the check was interrupted")
  if (Cause.isDieReason(failure)) return failed(`defect: ${shownLine(messageOf(failure.defect))}`)
  const { error } = failure
  return isCallTimeoutError(error)
    ? { code: "CheckTimedOut", status: "unhealthy", message: error.message }
    : failed(shownLine(messageOf(error)))
}

const failed = (message: string): Reason => ({ code: "CheckFailed", status: "unhealthy", message })
