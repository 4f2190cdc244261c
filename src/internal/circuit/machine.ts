/**
 * The circuit breaker's state machine: plain functions over plain values, with
 * time and randomness passed in. Times are milliseconds of one monotonic
 * clock.
 *
 * A step makes at most one transition, so whoever drives the machine sees each
 * one by comparing the circuit before and after. Three steps do everything:
 *
 *     elapse  what the passing of time alone has caused
 *     admit   may a call run now?
 *     record  a call that was admitted has ended
 *
 * and `move` is what operators do by hand.
 */
import type { StateChanged } from "../../CircuitEvent.ts"
import type { Trip } from "./policy.ts"
import * as Window from "./window.ts"

/** What the machine needs to know of a policy. A rule that is off is `Infinity`: no count or rate reaches it. */
export interface Rules extends Readonly<Record<Trip, number>> {
  readonly minimumCalls: number
  readonly window: Window.WindowSize
  readonly halfOpenMaxCalls: number
  readonly successThreshold: number
  readonly halfOpenSample: { readonly calls: number; readonly failureRate: number } | undefined
  readonly halfOpenTimeout: number
  /** The ramp between the deciding successes and closing: how long it takes, and the share it begins with. */
  readonly recovery: { readonly duration: number; readonly initial: number } | undefined
  /** Time of the n-th consecutive opening, given a random number in [0, 1). */
  readonly openTime: (opening: number, random: number) => number
  /** The longest opening a `retryAfter` hint can ask for. */
  readonly maxOpenTime: number
}

/** What a circuit has counted since it last closed or began to ramp. Updated in place, like its window. */
export interface Counts {
  consecutiveFailures: number
  readonly window: Window.Window
}

interface Period {
  /** Number of this period between two transitions. A call may only speak for the period it was admitted in. */
  readonly generation: number
  /** Openings in a row. Survives a close; starts again after staying closed as long as the last opening. */
  readonly openings: number
  readonly lastOpenTime: number
  /** Drawn at the last opening, so that computing the state later needs no randomness. */
  readonly random: number
  readonly counts: Counts
}

export interface Closed extends Period {
  readonly _tag: "Closed"
  readonly closedAt: number
}
export interface Open extends Period {
  readonly _tag: "Open"
  readonly openedAt: number
  readonly openUntil: number
}
export interface HalfOpen extends Period {
  readonly _tag: "HalfOpen"
  readonly inFlight: number
  readonly successes: number
  readonly failures: number
  /** Since when the running probes have owed a verdict; without one, since when a probe is awaited. */
  readonly waitingSince: number
  /** When its recovery ramp began; `undefined` while it probes. */
  readonly rampingSince: number | undefined
}
export interface ForcedOpen extends Period {
  readonly _tag: "ForcedOpen"
  readonly openUntil: number
}
export interface Disabled extends Period {
  readonly _tag: "Disabled"
}
export interface MetricsOnly extends Period {
  readonly _tag: "MetricsOnly"
}

export type Circuit = Closed | Open | HalfOpen | ForcedOpen | Disabled | MetricsOnly

/** Whether a circuit in that state rejects every call. */
export const isOpen = (state: Circuit["_tag"]): boolean => state === "Open" || state === "ForcedOpen"

/** Why a circuit changed its state. */
export type Reason = StateChanged["reason"]

/** The rule that opened it: every rule of a policy is a reason. */
type BrokenRule = Capitalize<Trip>

export type Verdict = "Success" | "Failure" | "Ignored"

/** How a call ended. `retryAfter` is the wait that a failure asked for, or zero. */
export interface EndedCall {
  readonly verdict: Verdict
  readonly slow: boolean
  readonly retryAfter: number
  readonly now: number
}

export const make = (rules: Rules, now: number): Circuit => ({
  _tag: "Closed",
  generation: 0,
  openings: 0,
  lastOpenTime: 0,
  random: 0,
  counts: emptyCounts(rules),
  closedAt: now
})

const emptyCounts = (rules: Rules): Counts => ({ consecutiveFailures: 0, window: Window.make(rules.window) })

// -----------------------------------------------------------------------------
// steps
// -----------------------------------------------------------------------------

/**
 * The transition that time alone has caused by `now`, or the same circuit. One
 * transition at a time: repeat until nothing changes.
 */
export const elapse = (circuit: Circuit, rules: Rules, now: number): Circuit => {
  switch (circuit._tag) {
    case "Open":
    case "ForcedOpen":
      return now >= circuit.openUntil ? { ...halfOpen(circuit, now), waitingSince: circuit.openUntil } : circuit
    case "HalfOpen": {
      if (circuit.rampingSince !== undefined) {
        // Without a ramp in the policy any more, it has closed when the ramp began.
        const end = circuit.rampingSince + (rules.recovery?.duration ?? 0)
        return now >= end ? close(circuit, rules, end) : circuit
      }
      const deadline = circuit.waitingSince + rules.halfOpenTimeout
      return circuit.inFlight > 0 && now >= deadline ? open(circuit, rules, deadline, circuit.random, 0) : circuit
    }
    default:
      return circuit
  }
}

/** The circuit as it stands at `now`. */
export const settle = (circuit: Circuit, rules: Rules, now: number): Circuit => {
  let settled = circuit
  let next = elapse(settled, rules, now)
  while (next !== settled) {
    settled = next
    next = elapse(settled, rules, now)
  }
  return settled
}

/**
 * The share of calls that a recovery ramp admits at `now`, above 0 and at most
 * 1; `undefined` if the circuit is in none. Takes a settled circuit.
 */
export const recoveryShare = (circuit: Circuit, { recovery }: Rules, now: number): number | undefined =>
  circuit._tag === "HalfOpen" && circuit.rampingSince !== undefined && recovery !== undefined
    ? recovery.initial + (1 - recovery.initial) * (now - circuit.rampingSince) / recovery.duration
    : undefined

/** Whether a call may run, in a ramp by chance. Takes a settled circuit. */
export const isAvailable = (circuit: Circuit, rules: Rules): boolean => {
  switch (circuit._tag) {
    case "Open":
    case "ForcedOpen":
      return false
    case "HalfOpen":
      return circuit.rampingSince !== undefined || circuit.inFlight < rules.halfOpenMaxCalls &&
          (rules.halfOpenSample === undefined ||
            circuit.inFlight + circuit.successes + circuit.failures < rules.halfOpenSample.calls)
    default:
      return true
  }
}

/** Admits one call, or rejects it with `undefined`; a ramp draws. Takes a settled circuit. */
export const admit = (circuit: Circuit, rules: Rules, now: number, random: () => number): Circuit | undefined => {
  if (!isAvailable(circuit, rules)) return undefined
  if (circuit._tag !== "HalfOpen") return circuit
  const share = recoveryShare(circuit, rules, now)
  if (share !== undefined && random() >= share) return undefined
  return {
    ...circuit,
    inFlight: circuit.inFlight + 1,
    waitingSince: circuit.inFlight === 0 ? now : circuit.waitingSince
  }
}

/** How long a rejected caller has to wait at least. Takes a settled circuit. */
export const timeUntilRetry = (circuit: Circuit, now: number): number =>
  circuit._tag === "Open" || circuit._tag === "ForcedOpen" ? Math.max(0, circuit.openUntil - now) : 0

/** For how long a half-open circuit has waited for a call. Takes a settled circuit. */
export const idleTimeOfProbes = (circuit: Circuit, now: number): number | undefined =>
  circuit._tag === "HalfOpen" && circuit.rampingSince === undefined && circuit.inFlight === 0
    ? now - circuit.waitingSince
    : undefined

/** Openings in a row by `now`: none once the circuit has stayed closed as long as its last opening. */
export const openingsInARow = (circuit: Circuit, now: number): number =>
  circuit._tag === "Closed" && now - circuit.closedAt >= circuit.lastOpenTime ? 0 : circuit.openings

/**
 * Records the end of a call that was admitted in the circuit's current
 * generation. Takes a settled circuit.
 */
export const record = (circuit: Circuit, rules: Rules, call: EndedCall, random: () => number): Circuit => {
  switch (circuit._tag) {
    case "Closed": {
      if (call.verdict === "Ignored") return circuit
      count(circuit.counts, call.verdict === "Failure", call.slow, call.now)
      return trips(circuit.counts, rules) === undefined
        ? circuit
        : open(circuit, rules, call.now, random(), call.retryAfter)
    }
    case "MetricsOnly": {
      if (call.verdict !== "Ignored") count(circuit.counts, call.verdict === "Failure", call.slow, call.now)
      return circuit
    }
    case "HalfOpen":
      return circuit.rampingSince === undefined
        ? recordProbe(circuit, rules, call, random)
        : recordInRamp(circuit, rules, call, random)
    default:
      return circuit
  }
}

const count = (counts: Counts, failed: boolean, slow: boolean, now: number): void => {
  counts.consecutiveFailures = failed ? counts.consecutiveFailures + 1 : 0
  Window.record(counts.window, failed, slow, now)
}

/** The first rule that the counts break. */
export const trips = (counts: Counts, rules: Rules, failureRate = rules.failureRate): BrokenRule | undefined => {
  if (counts.consecutiveFailures >= rules.consecutiveFailures) return "ConsecutiveFailures"
  const { calls, failures, slowCalls } = counts.window
  if (calls < rules.minimumCalls) return undefined
  if (failures > 0 && failures / calls >= failureRate) return "FailureRate"
  if (slowCalls > 0 && slowCalls / calls >= rules.slowCallRate) return "SlowCallRate"
  return undefined
}

/** The verdicts of the probes; `undefined` for a circuit that does not probe. */
export const probesOf = (circuit: Circuit): { readonly successes: number; readonly failures: number } | undefined =>
  circuit._tag === "HalfOpen" && circuit.rampingSince === undefined
    ? { successes: circuit.successes, failures: circuit.failures }
    : undefined

/** A circuit that opens on slow calls has not recovered while its probes are slow. */
const isFailedProbe = (rules: Rules, call: EndedCall): boolean =>
  call.verdict === "Failure" || (call.slow && rules.slowCallRate <= 1)

/** As `probesOf`, with the verdict of a call that counts. */
export const probesWith = (circuit: Circuit, rules: Rules, call: EndedCall): ReturnType<typeof probesOf> => {
  const probes = probesOf(circuit)
  if (probes === undefined) return undefined
  const failed = isFailedProbe(rules, call)
  return { successes: probes.successes + (failed ? 0 : 1), failures: probes.failures + (failed ? 1 : 0) }
}

const recordProbe = (circuit: HalfOpen, rules: Rules, call: EndedCall, random: () => number): Circuit => {
  const inFlight = circuit.inFlight - 1
  if (call.verdict === "Ignored") return { ...circuit, inFlight }
  const failed = isFailedProbe(rules, call)
  const successes = circuit.successes + (failed ? 0 : 1)
  const failures = circuit.failures + (failed ? 1 : 0)
  const sample = rules.halfOpenSample
  const reopens = sample === undefined ? failed : failures > 0 && failures / sample.calls >= sample.failureRate
  if (reopens) return open(circuit, rules, call.now, random(), call.retryAfter)
  const closes = sample === undefined ? successes >= rules.successThreshold : successes + failures >= sample.calls
  if (closes) return rules.recovery === undefined ? close(circuit, rules, call.now) : ramp(circuit, rules, call.now)
  return { ...circuit, inFlight, successes, failures, waitingSince: call.now }
}

/**
 * Takes back the verdict of a probe that goes on, so that it can give another
 * one. Takes a settled circuit.
 */
export const takeBack = (circuit: HalfOpen, rules: Rules, slow: boolean, now: number): HalfOpen => {
  const failed = slow && rules.slowCallRate <= 1
  return {
    ...circuit,
    inFlight: circuit.inFlight + 1,
    waitingSince: circuit.inFlight === 0 ? now : circuit.waitingSince,
    // A circuit that was reconfigured meanwhile has forgotten it.
    successes: Math.max(0, circuit.successes - (failed ? 0 : 1)),
    failures: Math.max(0, circuit.failures - (failed ? 1 : 0))
  }
}

const recordInRamp = (circuit: HalfOpen, rules: Rules, call: EndedCall, random: () => number): Circuit => {
  if (call.verdict !== "Ignored") {
    count(circuit.counts, call.verdict === "Failure", call.slow, call.now)
    if (tripsInRamp(circuit, rules) !== undefined) return open(circuit, rules, call.now, random(), call.retryAfter)
  }
  return { ...circuit, inFlight: circuit.inFlight - 1 }
}

/** A ramp that nothing but failures in a row could end would bear with a dependency that fails every other call. */
const RAMP_FAILURE_RATE = 0.5

const tripsInRamp = ({ counts }: HalfOpen, rules: Rules): BrokenRule | undefined =>
  trips(counts, rules, rules.failureRate === Infinity ? RAMP_FAILURE_RATE : rules.failureRate)

/** Why `elapse` made a transition. */
export const reasonOfElapse = (to: Circuit): Reason =>
  to._tag === "Open" ? "ProbeTimedOut" : to._tag === "Closed" ? "ProbesSucceeded" : "OpenTimeEnded"

/** Why `record` made a transition. */
export const reasonOfRecord = (from: Circuit, to: Circuit, rules: Rules): Reason => {
  if (to._tag === "Closed") return "ProbesSucceeded"
  const broken = from._tag === "Closed"
    ? trips(from.counts, rules)
    : from._tag === "HalfOpen" && from.rampingSince !== undefined
    ? tripsInRamp(from, rules)
    : undefined
  return broken ?? "ProbeFailed"
}

// -----------------------------------------------------------------------------
// manual control
// -----------------------------------------------------------------------------

export type Command =
  | { readonly _tag: "ForceOpen"; readonly duration: number }
  | { readonly _tag: "ForceClose" }
  | { readonly _tag: "Disable" }
  | { readonly _tag: "MetricsOnly" }
  | { readonly _tag: "Reset" }

/** Does what an operator asks; a command that changes nothing returns the same circuit. Takes a settled circuit. */
export const move = (circuit: Circuit, rules: Rules, command: Command, now: number): Circuit => {
  switch (command._tag) {
    case "ForceOpen": {
      const openUntil = now + command.duration
      return circuit._tag === "ForcedOpen" && circuit.openUntil === openUntil
        ? circuit
        : { ...period(circuit, now), _tag: "ForcedOpen", openUntil }
    }
    case "ForceClose":
      return circuit._tag === "Closed" ? circuit : close(circuit, rules, now)
    case "Disable":
      return circuit._tag === "Disabled" ? circuit : { ...period(circuit, now), _tag: "Disabled" }
    case "MetricsOnly":
      return circuit._tag === "MetricsOnly"
        ? circuit
        : { ...period(circuit, now), _tag: "MetricsOnly", counts: emptyCounts(rules) }
    case "Reset":
      return { ...make(rules, now), generation: circuit.generation + 1 }
  }
}

/** The circuit under other rules: its state and backoff stay, and its counts as far as the window allows. */
export const reconfigure = (circuit: Circuit, rules: Rules): Circuit => {
  const counts = sameWindow(circuit.counts.window, rules.window)
    ? circuit.counts
    : { ...emptyCounts(rules), consecutiveFailures: circuit.counts.consecutiveFailures }
  // The verdicts so far were given under other rules; a smaller sample would leave no room for another.
  return circuit._tag === "HalfOpen" ? { ...circuit, counts, successes: 0, failures: 0 } : { ...circuit, counts }
}

const sameWindow = (window: Window.Window, size: Window.WindowSize): boolean =>
  "calls" in size
    ? window._tag === "CountWindow" && window.size === size.calls
    : window._tag === "TimeWindow" && window.buckets === size.buckets &&
      window.bucketMillis === size.millis / size.buckets

// -----------------------------------------------------------------------------
// transitions
// -----------------------------------------------------------------------------

const period = (from: Circuit, now: number): Period => ({
  generation: from.generation + 1,
  openings: openingsInARow(from, now),
  lastOpenTime: from.lastOpenTime,
  random: from.random,
  counts: from.counts
})

const open = (from: Circuit, rules: Rules, openedAt: number, random: number, retryAfter: number): Open => {
  const openings = openingsInARow(from, openedAt) + 1
  // Whole milliseconds, so that a caller that waits for the remaining time is never early by a rounding error.
  const openTime = Math.ceil(Math.max(rules.openTime(openings, random), Math.min(retryAfter, rules.maxOpenTime)))
  return {
    ...period(from, openedAt),
    _tag: "Open",
    openings,
    random,
    lastOpenTime: openTime,
    openedAt,
    openUntil: openedAt + openTime
  }
}

const halfOpen = (from: Open | ForcedOpen | HalfOpen, now: number): HalfOpen => ({
  ...period(from, now),
  _tag: "HalfOpen",
  inFlight: 0,
  successes: 0,
  failures: 0,
  waitingSince: now,
  rampingSince: undefined
})

/** A period of its own, whose counts are its own: verdicts of probes that still run are late. */
const ramp = (from: HalfOpen, rules: Rules, now: number): HalfOpen => ({
  ...halfOpen(from, now),
  counts: emptyCounts(rules),
  rampingSince: now
})

const close = (from: Circuit, rules: Rules, now: number): Closed => ({
  ...period(from, now),
  _tag: "Closed",
  counts: emptyCounts(rules),
  closedAt: now
})
