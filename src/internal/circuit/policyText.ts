/** Policies in words. */
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import { percent as rateText } from "../words.ts"
import type { CircuitPolicy } from "../../CircuitPolicy.ts"
import { printDuration } from "../time/durationText.ts"
import type { Trip } from "./policy.ts"

export const describePolicy = (self: CircuitPolicy<never>): string => {
  const window = "calls" in self.window ? `the last ${self.window.calls} calls` : printDuration(self.window.duration)
  const percent = (rate: number) => rateText(rate, 2)
  const atLeast = `(at least ${self.minimumCalls})`
  const rules: Record<Trip, string | undefined> = {
    consecutiveFailures: self.consecutiveFailures === undefined
      ? undefined
      : self.consecutiveFailures === 1
      ? "a failure"
      : `${self.consecutiveFailures} failures in a row`,
    failureRate: self.failureRate === undefined
      ? undefined
      : `${percent(self.failureRate)} failures in ${window} ${atLeast}`,
    slowCallRate: self.slowCallRate === undefined || self.slowCallDuration === undefined
      ? undefined
      : `${percent(self.slowCallRate)} calls over ${printDuration(self.slowCallDuration)} in ${window} ${atLeast}`
  }
  const trips = Object.values(rules).filter((rule) => rule !== undefined)
  const probes = self.halfOpenMaxCalls === 1 ? "one probe at a time" : `up to ${self.halfOpenMaxCalls} probes at once`
  const recovery = self.halfOpenSample === undefined
    ? self.successThreshold === 1 ? "a success closes it" : `${self.successThreshold} successes close it`
    : `closes unless ${percent(self.halfOpenSample.failureRate)} of ${self.halfOpenSample.calls} probes fail`
  const ramp = self.recovery === undefined
    ? ""
    : `, after a ramp of ${printDuration(self.recovery.duration)} from ${percent(self.recovery.initial)} of the calls`
  const interrupted = self.interruptedAfter === undefined
    ? ""
    : `; a call interrupted after ${printDuration(self.interruptedAfter)} counts as failed`
  return `opens after ${trips.join(" or ")}, for ${
    describeOpenDuration(self.openDuration)
  }; ${probes}, ${recovery}${ramp}${interrupted}`
}

const describeOpenDuration = (openDuration: CircuitPolicy["openDuration"]): string => {
  if (Schedule.isSchedule(openDuration)) return "the delays of its schedule"
  if (Duration.isDuration(openDuration)) return printDuration(openDuration)
  const { initial, maximum, multiplier } = openDuration
  return multiplier === 1 || Duration.equals(initial, maximum)
    ? printDuration(initial)
    : `${printDuration(initial)} × ${multiplier} each time up to ${printDuration(maximum)}`
}
