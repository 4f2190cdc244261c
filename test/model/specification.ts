/**
 * What a circuit has to do, written from docs/guide/semantics.md and not from the
 * code: plain lists of what happened and when, from which everything is worked
 * out anew each time. Slow and obvious; the real circuit is checked against it.
 *
 * Times are milliseconds.
 */
import type * as CircuitEvent from "../../src/CircuitEvent.ts"
import type * as CircuitPolicy from "../../src/CircuitPolicy.ts"

interface Rules {
  readonly consecutiveFailures?: number
  readonly failureRate?: number
  readonly slowCallRate?: number
  readonly slowCallDuration?: number
  readonly minimumCalls: number
  readonly window: { readonly calls: number } | { readonly duration: number; readonly buckets: number }
  readonly openDuration: {
    readonly initial: number
    readonly multiplier: number
    readonly maximum: number
    readonly jitter: number
  }
  readonly maxOpenDuration: number
  readonly halfOpenMaxCalls: number
  readonly successThreshold: number
  readonly halfOpenSample?: { readonly calls: number; readonly failureRate: number }
  readonly halfOpenTimeout: number
  readonly recovery?: { readonly duration: number; readonly initial: number }
}

/** What a policy says of its calls and not of its circuit: what they count as, and how they are timed and described. */
type OfCalls =
  | typeof CircuitPolicy.TypeId
  | "classify"
  | "countUnreported"
  | "describeFailure"
  | "description"
  | "interruptedAfter"
  | "measureDuration"

/** With a key of `CircuitPolicy` that neither of the two has, no policy of the model compiles. */
export type Policy = Rules & Readonly<Record<Exclude<keyof CircuitPolicy.CircuitPolicy, keyof Rules | OfCalls>, never>>

export type State = CircuitEvent.CircuitState

/** What can happen to a circuit. `call` counts the running calls from 0, oldest first. */
export type Action =
  | {
    readonly _tag: "Start"
    /** The random number that a call draws if it comes in a ramp. */
    readonly draw: number
  }
  | {
    readonly _tag: "End"
    readonly call: number
    readonly outcome: "Success" | "Failure" | "Ignored" | "Interrupted"
    readonly retryAfter: number
    /** The random number an opening that this call causes will draw. */
    readonly draw: number
  }
  | { readonly _tag: "Pass"; readonly millis: number }
  | { readonly _tag: "Read" }
  | { readonly _tag: "ForceOpen"; readonly duration: number }
  | { readonly _tag: "ForceClose" }
  | { readonly _tag: "Disable" }
  | { readonly _tag: "MetricsOnly" }
  | { readonly _tag: "Reset" }
  | { readonly _tag: "Reconfigure"; readonly policy: number }

/** What a caller hears: that it may run, or why not. Other actions have no answer. */
export type Answer =
  | { readonly _tag: "Runs" }
  | { readonly _tag: "Rejected"; readonly state: State; readonly retryAfter: number }

type Reason = CircuitEvent.StateChanged["reason"]

export interface StateChanged {
  readonly _tag: "StateChanged"
  readonly from: State
  readonly to: State
  readonly reason: Reason
  readonly retryAfter: number
  readonly openings: number
  readonly elapsed: number
  readonly consecutiveFailures: number
  readonly failureRate: number
  readonly slowCallRate: number
  readonly calls: number
  /** Of the period that ends. */
  readonly probes: { readonly successes: number; readonly failures: number } | undefined
}

export interface CallEnded {
  readonly _tag: "CallEnded"
  readonly outcome: CircuitEvent.CallEnded["outcome"]
  readonly state: State
  readonly slow: boolean
  readonly duration: number | undefined
  readonly consecutiveFailures: number
}

export type Event = StateChanged | CallEnded | { readonly _tag: "Reconfigured" }

/** The time between two changes. */
export interface Period {
  readonly number: number
  readonly state: State
  readonly from: number
  /** `Open` and `ForcedOpen`: when it ends. */
  readonly until: number
  /** `HalfOpen`: whether it is a ramp, in which calls are counted and no longer probes. */
  readonly ramp: boolean
  /** `HalfOpen`: what became of the probes, and when the policy changed. */
  readonly probes: ReadonlyArray<{
    readonly at: number
    readonly what: "starts" | "succeeds" | "fails" | "leaves" | "policy"
  }>
}

/** A call that runs. Nobody keeps a record of those that a disabled circuit lets through. */
export interface Running {
  readonly period: number | undefined
  /** Of calls that are timed. */
  readonly startedAt: number | undefined
}

export interface Counted {
  readonly at: number
  readonly failed: boolean
  readonly slow: boolean
}

export interface Tally {
  readonly success: number
  readonly failure: number
  readonly ignored: number
  readonly rejected: number
  readonly late: number
  readonly changes: number
  readonly timed: number
  readonly totalDuration: number
  readonly lastFailureAt: number | undefined
}

export interface Circuit {
  readonly now: number
  readonly policies: ReadonlyArray<Policy>
  readonly policy: number
  /** All since the circuit was made or reset; the last one is the present. */
  readonly periods: ReadonlyArray<Period>
  /** Since when it has been in its state, through periods of the same state. */
  readonly stateSince: number
  /** Failures since the last success. */
  readonly failuresInARow: number
  /** Calls that counted, since the counts were last emptied and as far as the window still holds them. */
  readonly window: ReadonlyArray<Counted>
  readonly running: ReadonlyArray<Running>
  /** Drawn at the last opening. */
  readonly draw: number
  readonly tally: Tally
}

export interface Step {
  readonly circuit: Circuit
  readonly answer: Answer | undefined
  readonly events: ReadonlyArray<Event>
}

const noTally: Tally = {
  success: 0,
  failure: 0,
  ignored: 0,
  rejected: 0,
  late: 0,
  changes: 0,
  timed: 0,
  totalDuration: 0,
  lastFailureAt: undefined
}

export const make = (policies: ReadonlyArray<Policy>, now: number): Circuit => ({
  now,
  policies,
  policy: 0,
  periods: [{ number: 0, state: "Closed", from: now, until: Infinity, ramp: false, probes: [] }],
  stateSince: now,
  failuresInARow: 0,
  window: [],
  running: [],
  draw: 0,
  tally: noTally
})

export const present = (circuit: Circuit): Period => circuit.periods[circuit.periods.length - 1]!
export const policyOf = (circuit: Circuit): Policy => circuit.policies[circuit.policy]!

// -----------------------------------------------------------------------------
// what follows from the lists
// -----------------------------------------------------------------------------

/** "A window of 100 calls holds the last hundred, however old"; "a call stays to exactly a minute after its bucket began". */
export const inWindow = (circuit: Circuit): ReadonlyArray<Counted> => {
  const { window } = policyOf(circuit)
  if ("calls" in window) return circuit.window.slice(-window.calls)
  const bucket = window.duration / window.buckets
  return circuit.window.filter(({ at }) => circuit.now < Math.floor(at / bucket) * bucket + window.duration)
}

const rates = (circuit: Circuit) => {
  const held = inWindow(circuit)
  const part = (counted: ReadonlyArray<Counted>) => held.length === 0 ? 0 : counted.length / held.length
  return {
    calls: held.length,
    failureRate: part(held.filter(({ failed }) => failed)),
    slowCallRate: part(held.filter(({ slow }) => slow))
  }
}

/** The rule that is broken, looked at after a call that counts. */
const brokenRule = (circuit: Circuit, policy: Policy): Reason | undefined => {
  const { calls, failureRate, slowCallRate } = rates(circuit)
  const { consecutiveFailures } = policy
  if (consecutiveFailures !== undefined && circuit.failuresInARow >= consecutiveFailures) return "ConsecutiveFailures"
  if (calls < policy.minimumCalls) return undefined
  if (policy.failureRate !== undefined && failureRate > 0 && failureRate >= policy.failureRate) return "FailureRate"
  if (policy.slowCallRate !== undefined && slowCallRate > 0 && slowCallRate >= policy.slowCallRate) {
    return "SlowCallRate"
  }
  return undefined
}

/** "Staying closed for as long as the last opening lasted" ends the row, "also if an operator moves the circuit after that". */
export const openingsInARow = (circuit: Circuit, now: number): number => {
  let row = 0
  let last = 0
  circuit.periods.forEach((period, index) => {
    if (period.state === "Open") {
      row++
      last = period.until - period.from
    }
    if (period.state === "Closed") {
      const end = circuit.periods[index + 1]?.from ?? now
      if (end - period.from >= last) row = 0
    }
  })
  return row
}

/** How long the last opening lasted, or lasts. */
export const lastOpenTime = (circuit: Circuit): number => {
  const last = circuit.periods.findLast(({ state }) => state === "Open")
  return last === undefined ? 0 : last.until - last.from
}

/** "The n-th opening in a row takes the n-th open time"; a hint "never shortens one"; "whole milliseconds, rounded up". */
const openTime = (policy: Policy, opening: number, draw: number, retryAfter: number): number => {
  const { initial, jitter, maximum, multiplier } = policy.openDuration
  const planned = Math.min(maximum, initial * multiplier ** (opening - 1))
  const spread = Math.min(maximum, planned + planned * jitter * (2 * draw - 1))
  return Math.ceil(Math.max(spread, Math.min(retryAfter, policy.maxOpenDuration)))
}

export const probesOf = (circuit: Circuit) => {
  const { probes } = present(circuit)
  const count = (of: typeof probes, what: string) => of.filter((probe) => probe.what === what).length
  const underThisPolicy = probes.slice(probes.findLastIndex(({ what }) => what === "policy") + 1)
  let running = 0
  let waitingSince = present(circuit).from
  for (const { at, what } of probes) {
    if (what === "starts" && running++ === 0) waitingSince = at
    if (what === "succeeds" || what === "fails") waitingSince = at
    if (what !== "starts" && what !== "policy") running--
  }
  return {
    running,
    successes: count(underThisPolicy, "succeeds"),
    failures: count(underThisPolicy, "fails"),
    waitingSince
  }
}

/**
 * "The share of calls that run grows evenly, from `initial` at its beginning to
 * all of them at its end"; "under a policy without a ramp it has ended".
 */
export const rampOf = (circuit: Circuit): { readonly until: number; readonly share: number } | undefined => {
  const { from, ramp } = present(circuit)
  if (!ramp) return undefined
  const { duration, initial } = policyOf(circuit).recovery ?? { duration: 0, initial: 1 }
  const passed = duration === 0 ? 1 : (circuit.now - from) / duration
  return { until: from + duration, share: initial * (1 - passed) + passed }
}

/** Whether a call would run, in a ramp if it is lucky. For a circuit in which nothing is due. */
export const isAvailable = (circuit: Circuit): boolean => {
  const policy = policyOf(circuit)
  switch (present(circuit).state) {
    case "Closed":
    case "Disabled":
    case "MetricsOnly":
      return true
    case "Open":
    case "ForcedOpen":
      return false
    case "HalfOpen": {
      if (present(circuit).ramp) return true
      const { failures, running, successes } = probesOf(circuit)
      const asked = running + successes + failures
      return running < policy.halfOpenMaxCalls &&
        (policy.halfOpenSample === undefined || asked < policy.halfOpenSample.calls)
    }
  }
}

const remaining = (circuit: Circuit): number => {
  const { state, until } = present(circuit)
  return state === "Open" || state === "ForcedOpen" ? Math.max(0, until - circuit.now) : 0
}

// -----------------------------------------------------------------------------
// changes
// -----------------------------------------------------------------------------

/** What has changed so far within one action. */
interface Course {
  readonly circuit: Circuit
  readonly events: ReadonlyArray<Event>
}

interface Change {
  readonly to: State
  readonly reason: Reason
  readonly at?: number
  readonly until?: number
  readonly ramp?: boolean
}

const begin = (circuit: Circuit, { to, at = circuit.now, until = Infinity, ramp = false }: Change): Circuit => {
  const number = present(circuit).number + 1
  const state = present(circuit).state
  const begun = { ...circuit, periods: [...circuit.periods, { number, state: to, from: at, until, ramp, probes: [] }] }
  // "A circuit that closes, for whatever reason, starts with empty counts. So does one that goes into MetricsOnly", and a ramp.
  if (ramp) return emptied(begun)
  return state !== to && (to === "Closed" || to === "MetricsOnly") ? emptied(begun) : begun
}

const emptied = (circuit: Circuit): Circuit => ({ ...circuit, failuresInARow: 0, window: [] })

/** "The verdicts of the probes, if the circuit was half-open and in no recovery ramp." */
const verdictsOf = (circuit: Circuit): StateChanged["probes"] => {
  if (present(circuit).state !== "HalfOpen" || present(circuit).ramp) return undefined
  const { failures, successes } = probesOf(circuit)
  return { successes, failures }
}

/** The one event of a transition. */
const tell = ({ circuit: from, events }: Course, change: Change, to: Circuit, openings: number): Course => {
  const at = change.at ?? from.now
  const { calls, failureRate, slowCallRate } = rates(from)
  const told: StateChanged = {
    _tag: "StateChanged",
    from: present(from).state,
    to: change.to,
    reason: change.reason,
    retryAfter: remaining(to),
    openings,
    elapsed: at - from.stateSince,
    consecutiveFailures: from.failuresInARow,
    failureRate,
    slowCallRate,
    calls,
    probes: verdictsOf(from)
  }
  if (told.from === told.to) return { circuit: to, events: [...events, told] }
  const tally = { ...to.tally, changes: to.tally.changes + 1 }
  return { circuit: { ...to, stateSince: at, tally }, events: [...events, told] }
}

const moveTo = (course: Course, change: Change): Course => {
  const { circuit } = course
  const openings = openingsInARow(circuit, change.at ?? circuit.now) + (change.to === "Open" ? 1 : 0)
  return tell(course, change, begin(circuit, change), openings)
}

const open = (course: Course, reason: Reason, at: number, draw: number, retryAfter: number): Course => {
  const { circuit } = course
  const time = openTime(policyOf(circuit), openingsInARow(circuit, at) + 1, draw, retryAfter)
  const drawn = { ...course, circuit: { ...circuit, draw } }
  return moveTo(drawn, { to: "Open", reason, at, until: at + time })
}

/** All transitions that time has caused. */
const due = (course: Course): Course => {
  const { circuit } = course
  const { state, until } = present(circuit)
  if ((state === "Open" || state === "ForcedOpen") && circuit.now >= until) {
    return due(moveTo(course, { to: "HalfOpen", reason: "OpenTimeEnded" }))
  }
  const ramp = rampOf(circuit)
  if (ramp !== undefined) {
    // "Time alone closes the circuit, as of the end of the ramp, whenever somebody notices."
    return circuit.now < ramp.until
      ? course
      : moveTo(course, { to: "Closed", reason: "ProbesSucceeded", at: ramp.until })
  }
  if (state === "HalfOpen") {
    const { running, waitingSince } = probesOf(circuit)
    const deadline = waitingSince + policyOf(circuit).halfOpenTimeout
    if (running > 0 && circuit.now >= deadline) {
      return due(open(course, "ProbeTimedOut", deadline, circuit.draw, 0))
    }
  }
  return course
}

// -----------------------------------------------------------------------------
// actions
// -----------------------------------------------------------------------------

export const step = (circuit: Circuit, action: Action): Step => {
  const course: Course = { circuit, events: [] }
  switch (action._tag) {
    case "Pass":
      return { ...course, circuit: { ...circuit, now: circuit.now + action.millis }, answer: undefined }
    case "Read":
      return { ...course, answer: undefined }
    case "Start":
      return start(due(course), action.draw)
    case "End":
      return { ...end(course, action), answer: undefined }
    case "Reset":
      return { ...reset(due(course)), answer: undefined }
    case "Reconfigure":
      return { ...reconfigure(course, action.policy), answer: undefined }
    default:
      return { ...command(due(course), action), answer: undefined }
  }
}

const start = (course: Course, draw: number): Step => {
  const { circuit } = course
  const { number, state } = present(circuit)
  const { share } = rampOf(circuit) ?? { share: 1 }
  if (!isAvailable(circuit) || draw >= share) {
    const rejected = count(circuit, "rejected")
    return {
      ...callEnded({ ...course, circuit: rejected }, "Rejected", false, undefined),
      answer: { _tag: "Rejected", state, retryAfter: Math.ceil(remaining(circuit)) }
    }
  }
  const call: Running = state === "Disabled"
    ? { period: undefined, startedAt: undefined }
    : { period: number, startedAt: isTimed(policyOf(circuit)) ? circuit.now : undefined }
  const admitted = { ...circuit, running: [...circuit.running, call] }
  return {
    circuit: state === "HalfOpen" ? withProbe(admitted, "starts") : admitted,
    events: course.events,
    answer: { _tag: "Runs" }
  }
}

const isTimed = (policy: Policy): boolean => policy.slowCallDuration !== undefined || "duration" in policy.window

const end = (before: Course, action: Extract<Action, { _tag: "End" }>): Course => {
  const call = before.circuit.running[action.call]!
  const running = before.circuit.running.filter((other) => other !== call)
  let course: Course = { ...before, circuit: { ...before.circuit, running } }
  if (call.period === undefined) return course

  // "A call speaks only for the period it was admitted in": what is due is then left to the next call.
  const isPresent = () => present(course.circuit).number === call.period
  if (isPresent()) course = due(course)
  const { now } = course.circuit
  const policy = policyOf(course.circuit)

  if (action.outcome === "Ignored" || action.outcome === "Interrupted") {
    let circuit = count(course.circuit, "ignored")
    if (isPresent() && present(circuit).state === "HalfOpen") circuit = withProbe(circuit, "leaves")
    return callEnded({ ...course, circuit }, "Ignored", false, undefined)
  }

  const duration = call.startedAt !== undefined && isTimed(policy) ? now - call.startedAt : undefined
  const slow = duration !== undefined && policy.slowCallDuration !== undefined && duration > policy.slowCallDuration
  if (duration !== undefined) {
    const { tally } = course.circuit
    const timed = { ...tally, timed: tally.timed + 1, totalDuration: tally.totalDuration + duration }
    course = { ...course, circuit: { ...course.circuit, tally: timed } }
  }
  if (!isPresent()) {
    return callEnded({ ...course, circuit: count(course.circuit, "late") }, "Late", slow, duration)
  }

  const failed = action.outcome === "Failure"
  let circuit = count(course.circuit, failed ? "failure" : "success")
  if (failed) circuit = { ...circuit, tally: { ...circuit.tally, lastFailureAt: now } }
  const retryAfter = failed ? action.retryAfter : 0
  const { state } = present(circuit)

  if (state === "HalfOpen" && !present(circuit).ramp) {
    // "In a circuit that minds slow calls, a slow probe is a failed one."
    const probeFailed = failed || (slow && policy.slowCallRate !== undefined)
    const decided = withProbe(circuit, probeFailed ? "fails" : "succeeds")
    const ended = callEnded({ ...course, circuit }, action.outcome, slow, duration)
    course = { ...ended, circuit: decided }
    const { failures, successes } = probesOf(decided)
    const sample = policy.halfOpenSample
    const reopens = sample === undefined ? probeFailed : failures > 0 && failures / sample.calls >= sample.failureRate
    const closes = sample === undefined
      ? successes >= policy.successThreshold
      : successes + failures >= sample.calls
    if (reopens) return open(course, "ProbeFailed", now, action.draw, retryAfter)
    if (!closes) return course
    // "With `recovery`, a ramp begins instead": the state stays the same, so there is no event.
    return policy.recovery === undefined
      ? moveTo(course, { to: "Closed", reason: "ProbesSucceeded" })
      : { ...course, circuit: begin(course.circuit, { to: "HalfOpen", reason: "ProbesSucceeded", ramp: true }) }
  }

  circuit = {
    ...circuit,
    failuresInARow: failed ? circuit.failuresInARow + 1 : 0,
    window: [...inWindow(circuit), { at: now, failed, slow }]
  }
  if (state === "HalfOpen") circuit = withProbe(circuit, "leaves")
  course = callEnded({ ...course, circuit }, action.outcome, slow, duration)
  // In a ramp "half of its calls failing breaks it, if the policy has no `failureRate`".
  const broken = state === "Closed"
    ? brokenRule(circuit, policy)
    : state === "HalfOpen"
    ? brokenRule(circuit, { failureRate: 0.5, ...policy })
    : undefined
  return broken === undefined ? course : open(course, broken, now, action.draw, retryAfter)
}

const withProbe = (circuit: Circuit, what: Period["probes"][number]["what"]): Circuit => {
  const period = present(circuit)
  const probes = [...period.probes, { at: circuit.now, what }]
  return { ...circuit, periods: [...circuit.periods.slice(0, -1), { ...period, probes }] }
}

const count = (circuit: Circuit, what: "success" | "failure" | "ignored" | "rejected" | "late"): Circuit => ({
  ...circuit,
  tally: { ...circuit.tally, [what]: circuit.tally[what] + 1 }
})

const callEnded = (
  course: Course,
  outcome: CallEnded["outcome"],
  slow: boolean,
  duration: number | undefined
): Course => {
  const { circuit } = course
  const event: CallEnded = {
    _tag: "CallEnded",
    outcome,
    state: present(circuit).state,
    slow,
    duration,
    consecutiveFailures: circuit.failuresInARow
  }
  return { circuit, events: [...course.events, event] }
}

/** "Commands work in every state. One that changes nothing is no event." */
const command = (course: Course, action: Extract<Action, { _tag: State | "ForceOpen" | "ForceClose" | "Disable" }>) => {
  const { circuit } = course
  const to = ({
    ForceOpen: "ForcedOpen",
    ForceClose: "Closed",
    Disable: "Disabled",
    MetricsOnly: "MetricsOnly"
  } as const)[action._tag]
  const until = action._tag === "ForceOpen" ? circuit.now + action.duration : Infinity
  const change: Change = { to, reason: "Manual", until }
  if (present(circuit).state !== to) return moveTo(course, change)
  if (to !== "ForcedOpen" || present(circuit).until === until) return course
  // "`forceOpen` of a circuit that is forced open moves its end, which is an event; the state stays the same."
  return tell(course, change, begin(circuit, change), openingsInARow(circuit, circuit.now))
}

/** "`reset` makes the circuit as new", and "always takes effect": calls that run then are late. */
const reset = (course: Course): Course => {
  const { circuit } = course
  const from = circuit.now
  const closed: Period = {
    number: present(circuit).number + 1,
    state: "Closed",
    from,
    until: Infinity,
    ramp: false,
    probes: []
  }
  const asNew: Circuit = { ...emptied(circuit), periods: [closed], draw: 0 }
  const told = present(circuit).state === "Closed"
    ? { ...course, circuit: asNew }
    : tell(course, { to: "Closed", reason: "Manual" }, asNew, 0)
  return { ...told, circuit: { ...told.circuit, tally: noTally } }
}

/**
 * "Follows another policy from now on. State, backoff and listeners stay, and
 * the window if it has the same shape." Verdicts of probes were given under
 * the old policy and do not count for the new one.
 */
const reconfigure = (before: Course, policy: number): Course => {
  if (policy === before.circuit.policy) return before
  const course = due(before)
  const { circuit } = course
  const shape = (index: number) => JSON.stringify(circuit.policies[index]!.window)
  const window = shape(policy) === shape(circuit.policy) ? inWindow(circuit) : []
  const followed = { ...circuit, policy, window }
  return {
    circuit: present(circuit).state === "HalfOpen" ? withProbe(followed, "policy") : followed,
    events: [...course.events, { _tag: "Reconfigured" }]
  }
}

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

/** "For how long a half-open circuit has waited for a call": since a probe could first run, or one last did or ended. */
const idleTime = (circuit: Circuit): number | undefined => {
  const { probes, ramp, state } = present(circuit)
  if (state !== "HalfOpen" || ramp || probesOf(circuit).running > 0) return undefined
  const ranOne = probes.some(({ what }) => what !== "policy")
  return circuit.now - (ranOne ? probesOf(circuit).waitingSince : circuit.periods.at(-2)!.until)
}

/** What `metrics` has to say. "Reading shows at once" what time has caused, "and changes nothing". */
export const read = (circuit: Circuit) => {
  const seen = due({ circuit, events: [] }).circuit
  const { state } = present(seen)
  const { tally } = circuit
  const { calls, failureRate, slowCallRate } = rates(seen)
  const probes = probesOf(seen)
  const inFlight = circuit.running.filter(({ period }) => period !== undefined).length
  return {
    state,
    isAvailable: isAvailable(seen),
    totalCalls: tally.success + tally.failure + tally.ignored + tally.late + tally.rejected + inFlight,
    successfulCalls: tally.success,
    failedCalls: tally.failure,
    ignoredCalls: tally.ignored,
    lateCalls: tally.late,
    rejectedCalls: tally.rejected,
    callsInFlight: inFlight,
    consecutiveFailures: seen.failuresInARow,
    callsInWindow: calls,
    failureRate,
    successRate: 1 - failureRate,
    slowCallRate,
    averageResponseTime: tally.timed === 0 ? undefined : tally.totalDuration / tally.timed,
    lastFailureTime: tally.lastFailureAt,
    timeUntilRetry: state === "Open" || state === "ForcedOpen" ? remaining(seen) : undefined,
    currentBackoff: seen.periods.some(({ state }) => state === "Open") ? lastOpenTime(seen) : undefined,
    consecutiveOpenings: openingsInARow(seen, circuit.now),
    stateChanges: tally.changes,
    probesInFlight: state === "HalfOpen" ? probes.running : 0,
    probeSuccesses: state === "HalfOpen" ? probes.successes : 0,
    probeIdleTime: idleTime(seen)
  }
}
