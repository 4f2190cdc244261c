/**
 * Drives the real circuit and its specification side by side: breadth-first
 * through every state within bounds, or along a random walk.
 *
 * The real circuit is the `Breaker` that programs use, under a clock and
 * randomness of ours, with a listener. Between two steps its state is taken
 * out and put back, so that it can go on from any state it was ever in.
 */
import { CircuitPolicy, Outcome } from "effect-resilience"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import type { CircuitEvent } from "../../src/CircuitEvent.ts"
import type { CircuitMetrics } from "../../src/CircuitMetrics.ts"
import { Breaker } from "../../src/internal/circuit/breaker.ts"
import { Call } from "../../src/internal/circuit/call.ts"
import { conclude } from "../../src/internal/circuit/execution.ts"
import { type Handle, handleOf } from "../../src/internal/circuit/handle.ts"
import { homeOf } from "../../src/internal/circuit/home.ts"
import type * as RealCircuit from "../../src/internal/circuit/machine.ts"
import { EventHub } from "../../src/internal/eventHub.ts"
import type * as Window from "../../src/internal/circuit/window.ts"
import * as Specification from "./specification.ts"
import type { Action, Answer, Event, Policy } from "./specification.ts"

/** A small world to explore in full. */
export interface World {
  readonly name: string
  /** The circuit begins with the first one. */
  readonly policies: ReadonlyArray<Policy>
  /** How many calls run at once at most. */
  readonly calls: number
  /** How many calls a window of a duration holds at most, those included that run. */
  readonly callsInWindow?: number
  /** Steps of time. */
  readonly steps: ReadonlyArray<number>
  /** Waits that failures ask for, beside none. */
  readonly retryAfter?: ReadonlyArray<number>
  /** Random numbers that openings draw. */
  readonly draws?: ReadonlyArray<number>
  /** Random numbers that calls in a ramp draw. */
  readonly luck?: ReadonlyArray<number>
  readonly commands?: ReadonlyArray<Action>
}

// -----------------------------------------------------------------------------
// the real circuit
// -----------------------------------------------------------------------------

/** What is looked at of a `Breaker` beside what anybody may see. */
interface Inside {
  readonly tally: Record<string, number>
  readonly journal: { readonly sequence: number }
}

const inside = (breaker: Breaker): Inside => breaker as unknown as Inside

interface Saved {
  readonly now: number
  readonly policy: number
  readonly circuit: RealCircuit.Circuit
  readonly tally: Record<string, number>
  readonly journal: object
  /** All other fields of the breaker, which are replaced and not changed in place. */
  readonly fields: object
  readonly calls: ReadonlyArray<{ readonly generation: number; readonly startedAt: number }>
}

class Subject {
  now = 0
  policy = 0
  draw = 0
  /** How often this action has drawn. */
  drawn = 0
  calls: Array<Call> = []
  events: Array<CircuitEvent> = []
  readonly breaker: Breaker
  private readonly handle: Handle
  private readonly policies: ReadonlyArray<CircuitPolicy.CircuitPolicy>
  /** Whether somebody listens, which costs as much as all the rest. */
  heard = true

  constructor(world: World) {
    this.policies = world.policies.map(toPolicy)
    const context = Context.make(Clock.Clock, this.clock()).pipe(
      Context.add(Random.Random, { nextDoubleUnsafe: () => this.nextDraw(), nextIntUnsafe: () => 0 })
    )
    this.breaker = new Breaker({ name: "circuit", policy: this.policies[0]!, home: homeOf(context) })
    this.handle = handleOf(this.breaker)
    Object.assign(this.breaker.journal, { hub: new Listener(this) })
  }

  private nextDraw(): number {
    this.drawn++
    return this.draw
  }

  get circuit(): RealCircuit.Circuit {
    return this.breaker.circuit
  }

  /** Does one action. The events are then in `events`. */
  apply(action: Action): Answer | undefined {
    this.events = []
    this.drawn = 0
    switch (action._tag) {
      case "Pass":
        this.now += action.millis
        return undefined
      case "Read":
        this.breaker.snapshot()
        return undefined
      case "Start":
        this.draw = action.draw
        return this.start()
      case "End": {
        const call = this.calls[action.call]!
        this.calls.splice(action.call, 1)
        this.draw = action.draw
        this.end(call, action)
        return undefined
      }
      case "ForceOpen":
        Effect.runSync(this.handle.forceOpen({ duration: action.duration }))
        return undefined
      case "ForceClose":
        Effect.runSync(this.handle.forceClose)
        return undefined
      case "Disable":
        Effect.runSync(this.handle.disable)
        return undefined
      case "MetricsOnly":
        Effect.runSync(this.handle.metricsOnly)
        return undefined
      case "Reset":
        Effect.runSync(this.handle.reset)
        return undefined
      case "Reconfigure":
        Effect.runSync(this.handle.reconfigure(this.policies[action.policy]!))
        this.policy = action.policy
        return undefined
    }
  }

  private start(): Answer {
    const call = new Call()
    const admission = this.breaker.admit(call)
    if (admission === undefined || admission === "Probe") {
      this.calls.push(call)
      return { _tag: "Runs" }
    }
    const { retryAfter, state } = Effect.runSync(Effect.flip(admission))
    return { _tag: "Rejected", state, retryAfter: Duration.toMillis(retryAfter) }
  }

  private end(call: Call, { outcome, retryAfter }: Extract<Action, { _tag: "End" }>): void {
    switch (outcome) {
      case "Success":
        return conclude(this.breaker, call, Exit.void, undefined)
      case "Failure":
        return retryAfter === 0
          ? conclude(this.breaker, call, Exit.fail("down"), undefined)
          : this.breaker.end(call, Outcome.failure({ retryAfter }))
      case "Ignored":
        return this.breaker.end(call, Outcome.ignored)
      case "Interrupted":
        return conclude(this.breaker, call, Exit.interrupt(1), undefined)
    }
  }

  save(): Saved {
    return {
      now: this.now,
      policy: this.policy,
      circuit: this.circuit,
      tally: { ...inside(this.breaker).tally },
      journal: { ...inside(this.breaker).journal },
      fields: { ...this.breaker },
      calls: this.calls.map(({ generation, startedAt }) => ({ generation, startedAt }))
    }
  }

  /** Leaves `saved` as it is, though the circuit changes its counts in place. */
  load(saved: Saved): void {
    const { breaker } = this
    Object.assign(breaker, saved.fields)
    Object.assign(inside(breaker).tally, saved.tally)
    Object.assign(inside(breaker).journal, saved.journal)
    const { counts } = saved.circuit
    const window = { ...counts.window, slots: counts.window.slots?.slice() } as Window.Window
    breaker.ref.ref.current = { ...saved.circuit, counts: { ...counts, window } }
    this.now = saved.now
    this.policy = saved.policy
    this.calls = saved.calls.map(({ generation, startedAt }) => Object.assign(new Call(), { generation, startedAt }))
  }

  private clock(): Clock.Clock {
    const millis = () => this.now
    const nanos = () => BigInt(this.now * 1e6)
    return {
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanosUnsafe: nanos,
      monotonicTimeNanos: Effect.sync(nanos),
      sleep: () => Effect.never
    }
  }
}

/** Takes events at once and not in a fiber, as a breaker publishes them. */
class Listener extends EventHub<CircuitEvent> {
  private readonly subject: Subject
  constructor(subject: Subject) {
    super()
    this.subject = subject
  }
  override get hasSubscribers(): boolean {
    return this.subject.heard
  }
  override publish(event: CircuitEvent): void {
    if (this.subject.heard) this.subject.events.push(event)
  }
}

export const toPolicy = (policy: Policy): CircuitPolicy.CircuitPolicy =>
  CircuitPolicy.make({
    ...policy,
    openDuration: policy.openDuration.multiplier === 1 && policy.openDuration.jitter === 0
      ? policy.openDuration.initial
      : CircuitPolicy.exponential(policy.openDuration)
  })

// -----------------------------------------------------------------------------
// one step of both
// -----------------------------------------------------------------------------

/** What went wrong at a step; `undefined` if nothing did. */
export type Problem = string | undefined

/** What the invariants look at besides the specification. */
interface Before {
  readonly circuit: RealCircuit.Circuit
  /** By value, as counts are changed in place. */
  readonly counted: string
  readonly generation: number
  readonly endsLate: boolean
  readonly ramped: boolean
  readonly sequence: number
  readonly tallied: number
  readonly tracked: number
}

const observe = (subject: Subject, action: Action): Before => ({
  circuit: subject.circuit,
  counted: action._tag === "End" ? countsOf(subject.circuit) : "",
  generation: subject.circuit.generation,
  endsLate: action._tag === "End" && isLate(subject, subject.calls[action.call]!),
  ramped: isRamping(subject.circuit),
  sequence: inside(subject.breaker).journal.sequence,
  tallied: tallied(subject),
  tracked: tracked(subject)
})

const isRamping = (circuit: RealCircuit.Circuit) => circuit._tag === "HalfOpen" && circuit.rampingSince !== undefined

/** The share that a ramp has to admit, worked out anew; `undefined` outside of a ramp. */
const shareOf = (world: World, { circuit, now, policy }: Subject): number | undefined => {
  if (circuit._tag !== "HalfOpen" || circuit.rampingSince === undefined) return undefined
  const { duration, initial } = world.policies[policy]!.recovery!
  return 1 - (1 - initial) * (circuit.rampingSince + duration - now) / duration
}

const countsOf = ({ counts: { consecutiveFailures, window } }: RealCircuit.Circuit): string =>
  `${consecutiveFailures} ${window.calls} ${window.failures} ${window.slowCalls}`

const NOT_ADMITTED = new Call().generation
const isLate = (subject: Subject, call: Call) =>
  call.generation !== NOT_ADMITTED && call.generation !== subject.circuit.generation

const tallied = (subject: Subject): number => {
  const { failure, ignored, late, rejected, success } = inside(subject.breaker).tally
  return success! + failure! + ignored! + late! + rejected!
}

const tracked = (subject: Subject): number => subject.calls.filter((call) => call.generation !== NOT_ADMITTED).length

/** What holds at every step whatever the specification says. */
const invariants = (world: World, subject: Subject, before: Before, action: Action, answer: Answer | undefined) => {
  const { circuit } = subject
  const policy = world.policies[subject.policy]!
  const probing = subject.calls.filter((call) => call.generation === circuit.generation).length
  if (circuit._tag === "HalfOpen") {
    if (circuit.inFlight !== probing) return `${probing} probes run, and the circuit thinks it is ${circuit.inFlight}`
    if (answer?._tag === "Runs" && circuit.rampingSince === undefined) {
      if (probing > policy.halfOpenMaxCalls) return `more than the allowed probes run: ${probing}`
      const asked = probing + circuit.successes + circuit.failures
      const sample = policy.halfOpenSample
      if (sample !== undefined && asked > sample.calls) return `more probes than the sample has: ${asked}`
    }
  }

  if (action._tag === "Start") {
    const share = shareOf(world, subject)
    if (share !== undefined && !(share > 0 && share <= 1)) return `a ramp admits a share of ${share}`
    if (share !== undefined && (answer?._tag === "Runs") !== (action.draw < share)) {
      return `a ramp that admits a share of ${share} drew ${action.draw}, and the call ${describeAnswer(answer)}`
    }
    const draws = share === undefined ? 0 : 1
    if (subject.drawn !== draws) return `${subject.drawn} random numbers were drawn to admit a call, ${draws} are due`
    if (circuit._tag === "HalfOpen" && circuit.rampingSince !== undefined) {
      const { duration } = policy.recovery!
      const ended = subject.breaker.settled(circuit.rampingSince + duration)
      if (ended._tag !== "Closed") return `a ramp is ${ended._tag} at its end`
    }
  }
  if (policy.recovery === undefined && !before.ramped && isRamping(circuit)) return "a ramp that no policy asked for"

  if (answer?._tag === "Rejected") {
    const full = circuit._tag === "HalfOpen" && (circuit.rampingSince !== undefined ||
      probing >= policy.halfOpenMaxCalls || policy.halfOpenSample !== undefined)
    const open = (circuit._tag === "Open" || circuit._tag === "ForcedOpen") && subject.now < circuit.openUntil
    if (!full && !open) return `rejected in ${circuit._tag}, without a reason`
    if (open && (answer.state !== circuit._tag || subject.now + answer.retryAfter < circuit.openUntil)) {
      return `rejected as ${answer.state} until ${subject.now + answer.retryAfter}, open until ${circuit.openUntil}`
    }
  }

  if (before.endsLate) {
    if (circuit !== before.circuit || countsOf(circuit) !== before.counted) return "a late result changed the circuit"
    if (subject.events.some((event) => event._tag !== "CallEnded")) return "a late result changed the state"
  }

  const changes = subject.events.filter((event) => event._tag === "StateChanged")
  const grown = circuit.generation - before.generation
  const rampBegins = action._tag === "End" && isRamping(circuit) && !before.ramped
  if (rampBegins && grown !== 1) return "a ramp is no period of its own"
  const silent = action._tag === "Reset" || rampBegins ? 1 : 0
  if (grown < changes.length || grown > changes.length + silent) {
    return `the generation went from ${before.generation} to ${circuit.generation} with ${changes.length} changes`
  }
  let state = before.circuit._tag
  for (const { from, reason, to } of changes) {
    const movesEnd = to === "ForcedOpen" && reason === "Manual" && action._tag === "ForceOpen"
    if (from !== state || (from === to && !movesEnd)) return `an event ${from} → ${to} in state ${state}`
    state = to
  }
  if (state !== circuit._tag) return `the circuit is ${circuit._tag}, and its events end with ${state}`
  for (const [index, { sequence }] of subject.events.entries()) {
    if (sequence !== before.sequence + index + 1) return `event ${sequence} where ${before.sequence + index + 1} is due`
  }

  const inFlight = tracked(subject)
  if (subject.breaker.inFlight !== inFlight) {
    return `${inFlight} calls run, and the circuit counts ${subject.breaker.inFlight}`
  }
  const asked = (answer === undefined ? 0 : 1) - (answer?._tag === "Runs" && inFlight === before.tracked ? 1 : 0)
  if (tallied(subject) + inFlight !== before.tallied + before.tracked + asked) {
    return `${before.tallied} calls counted and ${before.tracked} running became ${tallied(subject)} and ${inFlight}`
  }
  return undefined
}

/** Whether the real circuit did what the specification says. */
const compare = (subject: Subject, answer: Answer | undefined, expected: Specification.Step): Problem => {
  const { circuit } = expected
  if (!sameAnswer(answer, expected.answer)) {
    return differ("the caller hears", describeAnswer(answer), describeAnswer(expected.answer))
  }
  const { events } = subject
  if (events.length !== expected.events.length || !events.every((event, i) => sameEvent(event, expected.events[i]!))) {
    const told = (events: ReadonlyArray<Event | CircuitEvent>) => events.map(describeEvent).join(", then ") || "nothing"
    return differ("events", told(events), told(expected.events))
  }
  const state = Specification.present(circuit).state
  if (subject.circuit._tag !== state) return differ("state", subject.circuit._tag, state)
  for (const [index, running] of circuit.running.entries()) {
    const call = subject.calls[index]!
    const late = running.period !== undefined && running.period !== Specification.present(circuit).number
    if (isLate(subject, call) !== late) return differ(`call ${index + 1} is late`, isLate(subject, call), late)
  }
  return undefined
}

const differ = (what: string, got: unknown, expected: unknown) =>
  `${what}\n    got       ${got}\n    expected  ${expected}`

export const sameAnswer = (got: Answer | undefined, expected: Answer | undefined): boolean =>
  got?._tag === expected?._tag && (got?._tag !== "Rejected" || expected?._tag !== "Rejected" ||
    (got.state === expected.state && got.retryAfter === expected.retryAfter))

/** Which circuit and which event it is, looked at elsewhere, and words for people. */
type Untold = "circuit" | "sequence" | "timestamp" | "note" | "lastFailure" | "changed"

/** An event with all of its fields but these; times are numbers. */
type Told<E extends CircuitEvent = CircuitEvent> = E extends CircuitEvent
  ? Pick<E, "_tag"> & Readonly<Record<Exclude<keyof E, Untold>, unknown>>
  : never

const sameEvent = (got: CircuitEvent, expected: Told): boolean => {
  for (const field in expected) {
    const value: unknown = got[field as keyof CircuitEvent]
    if (comparable(value) !== comparable(expected[field as keyof Told])) return false
  }
  return true
}

const comparable = (value: unknown): unknown =>
  Duration.isDuration(value) ? Duration.toMillis(value) : typeof value === "object" ? JSON.stringify(value) : value

const toMillis = (duration: Duration.Duration | undefined) =>
  duration === undefined ? undefined : Duration.toMillis(duration)

/** Fields of the metrics that the specification does not know: it knows one circuit, no errors, and averages only. */
type Unread = "name" | "lastFailure" | "latency"

/** Compares all else that `metrics` tells. May change the real circuit's window, as reading forgets what is too old. */
export const compareReading = (breaker: Breaker, circuit: Specification.Circuit): Problem => {
  const expected = Specification.read(circuit)
  const metrics = breaker.snapshot()
  const got: Record<string, unknown> = {
    ...metrics,
    averageResponseTime: toNanos(toMillis(metrics.averageResponseTime)),
    timeUntilRetry: toMillis(metrics.timeUntilRetry),
    probeIdleTime: toNanos(toMillis(metrics.probeIdleTime)),
    // An opening of no time may be forgotten like one that never was.
    currentBackoff: toMillis(metrics.currentBackoff) ?? (expected.currentBackoff === 0 ? 0 : undefined),
    lastFailureTime: metrics.lastFailureTime && DateTime.toEpochMillis(metrics.lastFailureTime)
  }
  const wanted: Readonly<Record<Exclude<keyof CircuitMetrics, Unread>, unknown>> = {
    ...expected,
    averageResponseTime: toNanos(expected.averageResponseTime),
    probeIdleTime: toNanos(expected.probeIdleTime),
    // A date has whole milliseconds.
    lastFailureTime: expected.lastFailureTime && Math.floor(expected.lastFailureTime)
  }
  for (const [field, value] of Object.entries(wanted)) {
    if (got[field] !== value) return differ(`metrics: ${field}`, got[field], value)
  }
  return undefined
}

/** What a duration can tell apart. */
const toNanos = (millis: number | undefined) => millis === undefined ? undefined : Math.round(millis * 1e6)

/**
 * Whether a healthy dependency gets the circuit closed again, though the calls
 * that run now never end: new calls come and succeed, and whoever is rejected
 * waits as long as it is told, or a moment.
 */
const compareRecovery = (world: World, subject: Subject): Problem => {
  const { circuit } = subject
  const policy = world.policies[subject.policy]!
  if (circuit._tag === "Disabled" || circuit._tag === "MetricsOnly") return undefined
  if (circuit._tag === "ForcedOpen" && circuit.openUntil === Infinity) return undefined
  // A policy may want to wait for its probes for ever.
  if (
    circuit._tag === "HalfOpen" && circuit.rampingSince === undefined && circuit.inFlight > 0 &&
    policy.halfOpenTimeout === Infinity
  ) return undefined

  subject.heard = false
  const { maximum } = policy.openDuration
  const opened = circuit._tag === "Open" || circuit._tag === "ForcedOpen" ? circuit.openUntil - subject.now : 0
  const patience = Math.max(0, opened) + (policy.halfOpenTimeout === Infinity ? 0 : policy.halfOpenTimeout) +
    2 * Math.ceil(maximum) + (policy.recovery?.duration ?? 0)
  const limit = subject.now + patience + 1
  while (subject.circuit._tag !== "Closed" && subject.now <= limit) {
    const answer = subject.apply({ _tag: "Start", draw: 0 })
    if (answer?._tag === "Runs") {
      subject.apply({ _tag: "End", call: subject.calls.length - 1, outcome: "Success", retryAfter: 0, draw: 0 })
      // No success ends a ramp.
      if (isRamping(subject.circuit)) subject.now += 0.5
    } else if (answer !== undefined) {
      subject.now += Math.max(0.5, answer.retryAfter)
    }
  }
  subject.heard = true
  return subject.circuit._tag === "Closed"
    ? undefined
    : `${subject.circuit._tag} after ${patience} ms of a healthy dependency`
}

// -----------------------------------------------------------------------------
// states
// -----------------------------------------------------------------------------

const LONG = 1 << 28
const STATES = ["Closed", "Open", "HalfOpen", "ForcedOpen", "Disabled", "MetricsOnly"] as const

/** What a world makes of time and counts that no rule can tell apart. */
interface Bounds {
  readonly bucket: number
  readonly openTime: number
  readonly timeout: number
  readonly ramp: number
  readonly slow: number
  readonly openings: number
  readonly row: number
}

const boundsOf = (world: World): Bounds => {
  const largest = (of: (policy: Policy) => number) =>
    Math.max(0, ...world.policies.map(of).filter((value) => value < Infinity))
  const hint = Math.max(0, ...world.retryAfter ?? [])
  const openTime = Math.max(largest(({ openDuration }) => Math.ceil(openDuration.maximum)), hint)
  return {
    bucket: world.policies.reduce(
      (product, { window }) => product * ("calls" in window ? 1 : window.duration / window.buckets),
      1
    ),
    openTime,
    timeout: largest(({ halfOpenTimeout }) => halfOpenTimeout),
    ramp: largest(({ recovery }) => recovery?.duration ?? 0),
    slow: largest(({ slowCallDuration }) => slowCallDuration ?? 0),
    openings: 1 +
      largest(({ openDuration: { initial, maximum, multiplier } }) =>
        multiplier === 1 ? 1 : 1 + Math.ceil(Math.log(maximum / initial) / Math.log(multiplier))
      ),
    row: largest(({ consecutiveFailures }) => consecutiveFailures ?? 0)
  }
}

/**
 * A state of both as a list of numbers: two states with the same numbers
 * behave alike from then on. Times are relative to now and end where no rule
 * looks any further; the real circuit's window is taken as it is in memory.
 */
class Key {
  readonly numbers = new Int32Array(1024)
  length = 0
  private readonly bounds: Bounds

  constructor(bounds: Bounds) {
    this.bounds = bounds
  }

  private put(value: number, lowest = -LONG, highest = LONG): void {
    // Half milliseconds are the smallest there are.
    this.numbers[this.length++] = Math.round(2 * Math.min(highest, Math.max(lowest, value)))
  }

  compute(subject: Subject, circuit: Specification.Circuit): void {
    const { bounds } = this
    const { now } = circuit
    this.length = 0
    this.put(now % bounds.bucket)
    this.put(circuit.policy)
    this.put(subject.policy)

    const period = Specification.present(circuit)
    const row = Specification.openingsInARow(circuit, now)
    this.put(STATES.indexOf(period.state))
    this.put(circuit.failuresInARow, 0, bounds.row)
    this.put(row, 0, bounds.openings)
    this.put(Specification.lastOpenTime(circuit))
    this.put(circuit.draw * 1000)
    if (period.state === "Closed") this.put(now - period.from, 0, bounds.openTime)
    if (period.state === "Open" || period.state === "ForcedOpen") this.put(period.until - now, -2)
    if (period.state === "HalfOpen") {
      const probes = Specification.probesOf(circuit)
      this.put(period.ramp ? now - period.from : -1, -1, bounds.ramp + bounds.openTime + 1)
      this.put(probes.running)
      this.put(probes.successes)
      this.put(probes.failures)
      if (probes.running > 0 && !period.ramp) {
        this.put(now - probes.waitingSince, 0, bounds.timeout + bounds.openTime + 1)
      }
    }
    const { window } = Specification.policyOf(circuit)
    const bucket = "calls" in window ? Infinity : window.duration / window.buckets
    for (const { at, failed, slow } of Specification.inWindow(circuit)) {
      this.put((failed ? 1 : 0) + (slow ? 2 : 0) + 4 * (Math.floor(now / bucket) - Math.floor(at / bucket)))
    }
    this.put(-1)
    this.real(subject)
    this.calls(subject, circuit)
  }

  private real({ circuit, now }: Subject): void {
    const { bounds } = this
    this.put(STATES.indexOf(circuit._tag))
    this.put(circuit.openings, 0, bounds.openings)
    this.put(circuit.lastOpenTime)
    this.put(circuit.random * 1000)
    this.put(circuit.counts.consecutiveFailures, 0, bounds.row)
    if (circuit._tag === "Closed") this.put(now - circuit.closedAt, 0, bounds.openTime)
    if (circuit._tag === "Open" || circuit._tag === "ForcedOpen") this.put(circuit.openUntil - now, -2)
    if (circuit._tag === "HalfOpen") {
      const { rampingSince } = circuit
      this.put(rampingSince === undefined ? -1 : now - rampingSince, -1, bounds.ramp + bounds.openTime + 1)
      this.put(circuit.inFlight)
      this.put(circuit.successes)
      this.put(circuit.failures)
      if (circuit.inFlight > 0 && rampingSince === undefined) {
        this.put(now - circuit.waitingSince, 0, bounds.timeout + bounds.openTime + 1)
      }
    }
    const { window } = circuit.counts
    this.put(window.calls)
    this.put(window.failures)
    this.put(window.slowCalls)
    if (window._tag === "CountWindow") {
      this.put(window.cursor)
    } else {
      this.put(Math.floor(now / window.bucketMillis) - window.epoch, -1, window.buckets + 1)
      this.put(((window.epoch % window.buckets) + window.buckets) % window.buckets)
    }
    for (const slot of window.slots ?? []) this.put(slot)
    this.put(-1)
  }

  /** Calls that are alike may end in any order. */
  private calls(subject: Subject, circuit: Specification.Circuit): void {
    const codes = circuit.running.map((_, index) => this.call(subject, circuit, index)).toSorted((a, b) => a - b)
    for (const code of codes) this.put(code)
  }

  call(subject: Subject, circuit: Specification.Circuit, index: number): number {
    const { period, startedAt } = circuit.running[index]!
    const call = subject.calls[index]!
    const whose = period === undefined ? 0 : period === Specification.present(circuit).number ? 1 : 2
    const real = call.generation === NOT_ADMITTED ? 0 : call.generation === subject.circuit.generation ? 1 : 2
    const age = (at: number | undefined) =>
      at === undefined || at < 0 ? 0 : 1 + 2 * Math.min(this.bounds.slow + 1, circuit.now - at)
    return whose + 3 * real + 9 * (age(startedAt) + 256 * age(call.startedAt))
  }
}

/** A set of states by 64 bits of their hash. Two of ten million states fall together with a chance of 3 in a million. */
class Seen {
  size = 0
  private high = new Uint32Array(1 << 16)
  private low = new Uint32Array(1 << 16)

  /** `false` if it was there. */
  add(key: Key): boolean {
    let a = 0x9e3779b9
    let b = 0x85ebca6b
    for (let i = 0; i < key.length; i++) {
      const n = key.numbers[i]!
      a = Math.imul(a ^ n, 0xcc9e2d51)
      a = (a ^ (a >>> 15)) + b
      b = Math.imul(b ^ n, 0x1b873593)
      b = (b ^ (b >>> 13)) + Math.imul(a, 5)
    }
    a = Math.imul(a ^ (a >>> 16) ^ b, 0x7feb352d)
    b = Math.imul(b ^ (b >>> 15) ^ a, 0x846ca68b)
    a = (a ^ (a >>> 15)) >>> 0
    // Zero marks a free place.
    b = ((b ^ (b >>> 16)) >>> 0) || 1
    if (!this.put(a, b)) return false
    if (++this.size * 2 > this.low.length) this.grow()
    return true
  }

  private put(a: number, b: number): boolean {
    const mask = this.low.length - 1
    let place = a & mask
    while (this.low[place] !== 0) {
      if (this.low[place] === b && this.high[place] === a) return false
      place = (place + 1) & mask
    }
    this.low[place] = b
    this.high[place] = a
    return true
  }

  private grow(): void {
    const { high, low } = this
    this.high = new Uint32Array(2 * high.length)
    this.low = new Uint32Array(2 * low.length)
    for (let i = 0; i < low.length; i++) if (low[i] !== 0) this.put(high[i]!, low[i]!)
  }
}

// -----------------------------------------------------------------------------
// exploring
// -----------------------------------------------------------------------------

/** All that can happen in a world; which of it can happen now depends on how many calls run. */
const actionsOf = (world: World): ReadonlyArray<Action> => {
  const draws = world.draws ?? [0]
  const end = (call: number, outcome: Extract<Action, { _tag: "End" }>["outcome"], retryAfter = 0) =>
    draws.map((draw): Action => ({ _tag: "End", call, outcome, retryAfter, draw }))
  return [
    ...(world.luck ?? [0]).map((draw): Action => ({ _tag: "Start", draw })),
    ...world.steps.map((millis): Action => ({ _tag: "Pass", millis })),
    ...Array.from({ length: world.calls }, (_, call) => [
      ...end(call, "Success"),
      ...[0, ...world.retryAfter ?? []].flatMap((retryAfter) => end(call, "Failure", retryAfter)),
      ...end(call, "Ignored").slice(0, 1),
      ...end(call, "Interrupted").slice(0, 1)
    ]).flat(),
    { _tag: "Read" },
    ...world.commands ?? [],
    ...world.policies.length < 2 ? [] : world.policies.map((_, policy): Action => ({ _tag: "Reconfigure", policy }))
  ]
}

export interface Explored {
  readonly states: number
  readonly transitions: number
  /** How many actions it takes to get to the farthest state. */
  readonly depth: number
  /** Whether there is no further state. */
  readonly complete: boolean
  /** How often each change of state was seen, as `Closed → Open: FailureRate`. */
  readonly changes: ReadonlyMap<string, number>
  readonly rejected: number
  readonly late: number
  /** The way to a state that is not as it should be, in words; the shortest there is. */
  readonly counterexample: string | undefined
}

/** Every so many states the way to one is gone again by a circuit whose state was never taken out and put back. */
const RECHECK = 500

/** Goes through all states of a world, nearest first, up to a number of them. */
export const explore = (world: World, mostStates = Infinity): Explored => {
  const subject = new Subject(world)
  const actions = actionsOf(world)
  const key = new Key(boundsOf(world))
  const seen = new Seen()
  const changes = new Map<string, number>()
  let parents = new Int32Array(1 << 16)
  let causes = new Uint16Array(1 << 16)
  let transitions = 0
  let rejected = 0
  let late = 0
  let depth = 0

  interface Node {
    readonly saved: Saved
    readonly circuit: Specification.Circuit
    readonly depth: number
  }
  /** The states to go on from; those before `head` are done with. */
  let queue: Array<Node> = []
  let head = 0
  let first = 0

  const wayTo = (index: number, last: Action | undefined): ReadonlyArray<Action> => {
    const way: Array<Action> = last === undefined ? [] : [last]
    for (let at = index; at > 0; at = parents[at]!) way.unshift(actions[causes[at]!]!)
    return way
  }
  const add = (circuit: Specification.Circuit, depth: number, parent: number, cause: number): void => {
    key.compute(subject, circuit)
    const index = seen.size
    if (!seen.add(key)) return
    if (index === parents.length) {
      parents = grown(parents, new Int32Array(2 * index))
      causes = grown(causes, new Uint16Array(2 * index))
    }
    parents[index] = parent
    causes[index] = cause
    queue.push({ saved: subject.save(), circuit, depth })
  }
  const explored = (counterexample: string | undefined): Explored => ({
    states: seen.size,
    transitions,
    depth,
    complete: head === queue.length,
    changes,
    rejected,
    late,
    counterexample
  })
  const against = (problem: string, index: number, last: Action | undefined) =>
    explored(tell(world, wayTo(index, last), { problem }))

  add(Specification.make(world.policies, 0), 0, 0, 0)
  while (head < queue.length && seen.size < mostStates) {
    const node = queue[head]!
    const index = first + head++
    const { saved } = node
    depth = node.depth
    subject.load(saved)
    const unread = compareReading(subject.breaker, node.circuit)
    if (unread !== undefined) return against(unread, index, undefined)
    subject.load(saved)
    const stuck = compareRecovery(world, subject)
    if (stuck !== undefined) return against(stuck, index, undefined)

    if (index % RECHECK === 0) {
      subject.load(saved)
      key.compute(subject, node.circuit)
      const here = key.numbers.subarray(0, key.length).join()
      if (follow(world, wayTo(index, undefined)).key.join() !== here) {
        return against("a circuit that was never taken apart differs", index, undefined)
      }
    }

    const done: Array<number> = []
    for (const [cause, action] of actions.entries()) {
      if (action._tag === "Start" && !hasRoom(world, node.circuit)) continue
      if (action._tag === "End") {
        if (action.call >= node.circuit.running.length) continue
        subject.load(saved)
        // One of several calls that are alike is enough.
        const code = key.call(subject, node.circuit, action.call)
        done[action.call] = code
        if (done.indexOf(code) < action.call) continue
      } else {
        subject.load(saved)
      }
      transitions++
      const taken = take(world, subject, node.circuit, action)
      if (taken.problem !== undefined) return against(taken.problem, index, action)
      if (taken.answer?._tag === "Rejected") rejected++
      for (const event of subject.events) {
        if (event._tag === "CallEnded" && event.outcome === "Late") late++
        if (event._tag !== "StateChanged") continue
        const change = `${event.from} → ${event.to}: ${event.reason}`
        changes.set(change, (changes.get(change) ?? 0) + 1)
      }
      add(taken.circuit, node.depth + 1, index, cause)
    }
    if (head === 1 << 16) {
      queue = queue.slice(head)
      first += head
      head = 0
    }
  }
  return explored(undefined)
}

const grown = <A extends Int32Array | Uint16Array>(from: A, to: A): A => {
  to.set(from)
  return to
}

/** Whether another call is within the bounds of the world. */
const hasRoom = ({ calls, callsInWindow = Infinity }: World, circuit: Specification.Circuit): boolean =>
  circuit.running.length < calls && ("calls" in Specification.policyOf(circuit).window ||
    circuit.running.length + Specification.inWindow(circuit).length < callsInWindow)

/** One action of both, and what is wrong with it. */
const take = (world: World, subject: Subject, circuit: Specification.Circuit, action: Action) => {
  const before = observe(subject, action)
  let answer: Answer | undefined
  try {
    answer = subject.apply(action)
  } catch (error) {
    return { circuit, answer, problem: `it throws ${error}` }
  }
  const expected = Specification.step(circuit, action)
  const problem = invariants(world, subject, before, action, answer) ?? compare(subject, answer, expected)
  return { circuit: expected.circuit, answer, problem }
}

// -----------------------------------------------------------------------------
// following one way
// -----------------------------------------------------------------------------

export interface Followed {
  /** How many of the actions went well. */
  readonly steps: number
  readonly problem: Problem
  readonly lines: ReadonlyArray<string>
  /** Both at the end. */
  readonly key: ReadonlyArray<number>
}

/**
 * Does one action after the other with a circuit that is made for it and never
 * taken apart. A call that an action is about is the n-th of those that run,
 * counted round; without one the action is left out. With `reads` the metrics
 * are looked at after every step.
 */
export const follow = (
  world: World,
  actions: Iterable<Action>,
  options: { readonly reads?: boolean; readonly verbose?: boolean } = {}
): Followed => {
  const subject = new Subject(world)
  const key = new Key(boundsOf(world))
  const lines: Array<string> = []
  let circuit = Specification.make(world.policies, 0)
  let names: Array<number> = []
  let asked = 0
  let steps = 0
  let problem: Problem
  for (const wanted of actions) {
    const action = possible(wanted, circuit.running.length, world.calls)
    if (action === undefined) continue
    const at = circuit.now
    const taken = take(world, subject, circuit, action)
    if (options.verbose === true) {
      if (action._tag === "Start") asked++
      lines.push(`at ${at}: ${describeAction(action, names, asked)}${describeStep(subject, taken.answer)}`)
      if (taken.answer?._tag === "Runs") names.push(asked)
      if (action._tag === "End") names = names.toSpliced(action.call, 1)
    }
    problem = taken.problem
    circuit = taken.circuit
    if (options.reads === true) problem ??= compareReading(subject.breaker, circuit)
    if (problem !== undefined) break
    steps++
  }
  if (problem === undefined) {
    key.compute(subject, circuit)
    problem = compareRecovery(world, subject)
  }
  return { steps, problem, lines, key: Array.from(key.numbers.subarray(0, key.length)) }
}

const possible = (action: Action, running: number, most: number): Action | undefined => {
  if (action._tag === "Start") return running < most ? action : undefined
  if (action._tag !== "End") return action
  return running === 0 ? undefined : { ...action, call: action.call % running }
}

/** A shorter way to a problem, from which nothing can be left out or made smaller. */
export const shrink = (
  world: World,
  actions: ReadonlyArray<Action>,
  options: { readonly reads?: boolean } = {}
): ReadonlyArray<Action> => {
  const fails = (candidate: ReadonlyArray<Action>) => follow(world, candidate, options).problem !== undefined
  let best = actions
  for (let before = -1; before !== best.length;) {
    before = best.length
    for (let size = best.length >> 1; size >= 1; size >>= 1) {
      for (let at = 0; at + size <= best.length;) {
        const candidate = best.toSpliced(at, size)
        if (fails(candidate)) best = candidate
        else at += size
      }
    }
    for (let at = 0; at < best.length; at++) {
      for (const simpler of simplerThan(best[at]!)) {
        const candidate = best.with(at, simpler)
        if (!fails(candidate)) continue
        best = candidate
        break
      }
    }
  }
  return best
}

const simplerThan = (action: Action): ReadonlyArray<Action> => {
  if (action._tag === "Pass") {
    return [1, action.millis >> 1, action.millis - 1]
      .filter((millis) => millis >= 1 && millis < action.millis)
      .map((millis) => ({ ...action, millis }))
  }
  if (action._tag === "Start") return action.draw === 0 ? [] : [{ ...action, draw: 0 }]
  if (action._tag === "End") {
    return [
      ...(action.call === 0 ? [] : [{ ...action, call: 0 }]),
      ...(action.retryAfter === 0 ? [] : [{ ...action, retryAfter: 0 }]),
      ...(action.draw === 0 ? [] : [{ ...action, draw: 0 }])
    ]
  }
  return []
}

/** The way to a problem, and the problem, for people. */
export const tell = (
  world: World,
  actions: ReadonlyArray<Action>,
  options: { readonly reads?: boolean; readonly problem?: string } = {}
): string => {
  const followed = follow(world, actions, { ...options, verbose: true })
  const way = followed.lines.map((line, index) => `${String(index + 1).padStart(4)}. ${line}`)
  const policies = world.policies.map((policy, index) => `  policy ${index + 1}: ${JSON.stringify(policy)}`)
  return [
    `In the world "${world.name}", times in milliseconds:`,
    ...policies,
    ...way,
    `  ⇒ ${options.problem ?? followed.problem ?? "nothing wrong"}`
  ].join("\n")
}

const describeAction = (action: Action, names: ReadonlyArray<number>, asked: number): string => {
  switch (action._tag) {
    case "Start":
      return `call ${asked} comes${action.draw === 0 ? "" : ` (draw ${action.draw})`}`
    case "End": {
      const hint = action.retryAfter === 0 ? "" : ` (retryAfter ${action.retryAfter})`
      const draw = action.draw === 0 ? "" : ` (draw ${action.draw})`
      const how = { Success: "succeeds", Failure: "fails", Ignored: "is ignored", Interrupted: "is interrupted" }
      return `call ${names[action.call]} ${how[action.outcome]}${hint}${draw}`
    }
    case "Pass":
      return `${action.millis} ms pass`
    case "Read":
      return "somebody reads the metrics"
    case "ForceOpen":
      return `forceOpen for ${action.duration}`
    case "Reconfigure":
      return `reconfigure to policy ${action.policy + 1}`
    default:
      return action._tag[0]!.toLowerCase() + action._tag.slice(1)
  }
}

const describeStep = (subject: Subject, answer: Answer | undefined): string => {
  const told = subject.events.filter((event) => event._tag !== "CallEnded" || event.outcome === "Late")
  const parts = [...told.map(describeEvent), ...(answer === undefined ? [] : [describeAnswer(answer)])]
  return parts.length === 0 ? "" : ` ⇒ ${parts.join(", then ")}`
}

export const describeAnswer = (answer: Answer | undefined): string =>
  answer === undefined
    ? "nothing"
    : answer._tag === "Runs"
    ? "runs"
    : `rejected: ${answer.state}, retryAfter ${answer.retryAfter}`

const describeEvent = (event: Event | CircuitEvent): string => {
  switch (event._tag) {
    case "StateChanged": {
      const { calls, consecutiveFailures, elapsed, failureRate, from, openings, probes, reason } = event
      const { retryAfter, slowCallRate, to } = event
      const millis = (of: number | Duration.Duration) => typeof of === "number" ? of : Duration.toMillis(of)
      return `${from} → ${to}: ${reason} (retryAfter ${millis(retryAfter)}, openings ${openings}, elapsed ` +
        `${millis(elapsed)}, in a row ${consecutiveFailures}, calls ` +
        `${calls}, failure rate ${failureRate}, slow rate ${slowCallRate}, probes ${JSON.stringify(probes)})`
    }
    case "CallEnded":
      return `${event.outcome} in ${event.state}${event.slow ? ", slow" : ""}, in a row ${event.consecutiveFailures}`
    case "Reconfigured":
      return "Reconfigured"
  }
}

/** The actions of a random walk: mostly calls and time, with a mind of its own as to how often they fail. */
export function* randomWalk(world: World, random: () => number, length: number): Generator<Action> {
  const choose = <A>(values: ReadonlyArray<A>): A => values[Math.floor(random() * values.length)]!
  const others = actionsOf(world).filter(({ _tag }) => _tag !== "Start" && _tag !== "End" && _tag !== "Pass")
  let failing = random()
  let rush = random()
  for (let i = 0; i < length; i++) {
    if (random() < 0.02) [failing, rush] = [random(), random()]
    const kind = random()
    if (kind < 0.04) {
      yield choose(others)
    } else if (kind < 0.3) {
      const millis = choose(world.steps)
      yield { _tag: "Pass", millis: random() < 0.1 ? millis * Math.ceil(random() * 40) : millis }
    } else if (kind < 0.3 + 0.7 * (0.3 + 0.4 * rush)) {
      yield { _tag: "Start", draw: choose(world.luck ?? [0]) }
    } else {
      yield {
        _tag: "End",
        call: Math.floor(random() * world.calls),
        outcome: random() < 0.08 ? choose(["Ignored", "Interrupted"]) : random() < failing ? "Failure" : "Success",
        retryAfter: random() < 0.1 ? choose([0, ...world.retryAfter ?? []]) : 0,
        draw: choose(world.draws ?? [0])
      }
    }
  }
}
