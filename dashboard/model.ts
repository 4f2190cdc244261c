/** What the page shows, as plain functions over what the API says and the time. */
import { STATE_NAMES } from "../src/internal/words.ts"
import type { Circuit, State, TierFlow, Transition } from "./api.ts"

// -----------------------------------------------------------------------------
// words
// -----------------------------------------------------------------------------

/** Told apart by shape, not by colour alone. */
export const STATE_SIGNS: Readonly<Record<State, string>> = {
  open: "✕",
  half_open: "◐",
  forced_open: "■",
  metrics_only: "◌",
  disabled: "–",
  closed: "✓"
}

export const perSecond = (rate: number): string =>
  `${rate === 0 ? "0" : rate < 10 ? rate.toFixed(1) : Math.round(rate)}/s`

export const latency = (millis: number): string =>
  millis < 10
    ? `${millis.toFixed(1)} ms`
    : millis < 1000
    ? `${Math.round(millis)} ms`
    : `${(millis / 1000).toFixed(1)} s`

/** A time in its two largest units. */
export const span = (millis: number): string => {
  const seconds = Math.max(0, Math.ceil(millis / 1000))
  const units = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]] as const
  const first = units.findIndex(([size]) => seconds >= size)
  if (first === -1) return "0 s"
  const [size, unit] = units[first]!
  const whole = Math.floor(seconds / size)
  const next = units[first + 1]
  const rest = next === undefined ? 0 : Math.floor((seconds % size) / next[0])
  return rest === 0 ? `${whole} ${unit}` : `${whole} ${unit} ${rest} ${next![1]}`
}

// -----------------------------------------------------------------------------
// addresses
// -----------------------------------------------------------------------------

/** The address of a circuit within the page. */
export const addressOf = (circuit: string): string => `#/circuits/${encodeURIComponent(circuit)}`

/** The circuit that an address names, if it names one. */
export const circuitIn = (hash: string): string | undefined => {
  const [, encoded] = /^#\/circuits\/(.+)$/.exec(hash) ?? []
  if (encoded === undefined) return undefined
  try {
    return decodeURIComponent(encoded)
  } catch {
    return undefined
  }
}

// -----------------------------------------------------------------------------
// what happened between two looks
// -----------------------------------------------------------------------------

/** Rates are of this many milliseconds at least, and of more until there are a few calls, so that one is no burst. */
const LOOK_BACK = 2000
const FURTHEST = 15_000
const FEW_CALLS = 5
const SHORTEST = 900
/** Points of a small graph. */
export const POINTS = 60

interface Sample {
  readonly at: number
  readonly counts: ReadonlyArray<number>
}

/** Counters as they were seen lately. A counter that went back was reset: what was before is forgotten. */
export class Trend {
  private samples: Array<Sample> = []

  add(at: number, counts: ReadonlyArray<number>): void {
    const last = this.samples.at(-1)
    if (last !== undefined && counts.some((count, i) => count < last.counts[i]!)) this.samples = []
    // A change makes the page look again at once; a few calls in so short a time are no rate.
    const before = this.samples.at(-2)
    if (before !== undefined && last!.at - before.at < SHORTEST) this.samples.pop()
    this.samples.push({ at, counts })
    if (this.samples.length > POINTS + 1) this.samples.shift()
  }

  /** By how much each counter grew lately, and in how many seconds. The first counts calls. */
  get growth(): { readonly seconds: number; readonly counts: ReadonlyArray<number> } | undefined {
    const last = this.samples.at(-1)
    if (last === undefined || this.samples.length < 2) return undefined
    let first = last
    for (const sample of this.samples.toReversed()) {
      if (last.at - sample.at > FURTHEST) break
      first = sample
      if (last.at - first.at >= LOOK_BACK && last.counts[0]! - first.counts[0]! >= FEW_CALLS) break
    }
    const seconds = (last.at - first.at) / 1000
    return seconds <= 0 ? undefined : { seconds, counts: last.counts.map((count, i) => count - first.counts[i]!) }
  }

  /** What a counter grew by, per second, from one look to the next. */
  points(counter: number): ReadonlyArray<number> {
    return this.samples.slice(1).map((sample, i) => {
      const before = this.samples[i]!
      return (sample.counts[counter]! - before.counts[counter]!) / Math.max(0.001, (sample.at - before.at) / 1000)
    })
  }
}

/** The counters of a circuit that are shown as rates. */
const countsOf = (circuit: Circuit): ReadonlyArray<number> => {
  const timed = circuit.successful_calls + circuit.failed_calls + circuit.late_calls
  return [circuit.total_calls, circuit.failed_calls, circuit.rejected_calls, timed]
}

export interface CircuitRates {
  readonly calls: number
  readonly failures: number
  readonly rejections: number
  /** Of the calls that ended lately, in milliseconds. */
  readonly latency: number | undefined
}

/** What becomes of a circuit's counters. */
export class CircuitTrend {
  private readonly counts = new Trend()
  private readonly durations = new Trend()
  latest = 0

  add(at: number, circuit: Circuit): void {
    this.latest = at
    const counts = countsOf(circuit)
    this.counts.add(at, counts)
    // The average is over all calls: with their count it tells how long they took together. Rounded, or it might shrink.
    const took = Math.round((circuit.average_response_time_ms ?? 0) * counts[3]! * 100) / 100
    this.durations.add(at, [counts[3]!, took])
  }

  get rates(): CircuitRates | undefined {
    const { growth } = this.counts
    if (growth === undefined) return undefined
    const [calls, failures, rejections] = growth.counts.map((count) => count / growth.seconds)
    const timed = this.durations.growth
    const [ended = 0, took = 0] = timed?.counts ?? []
    return {
      calls: calls!,
      failures: failures!,
      rejections: rejections!,
      latency: ended > 0 ? took / ended : undefined
    }
  }

  get calls(): ReadonlyArray<number> {
    return this.counts.points(0)
  }

  get failures(): ReadonlyArray<number> {
    const rejected = this.counts.points(2)
    return this.counts.points(1).map((failed, i) => failed + rejected[i]!)
  }
}

// -----------------------------------------------------------------------------
// tiers
// -----------------------------------------------------------------------------

export interface Tier {
  readonly name: string
  readonly circuit: string
  readonly state: State | null
  readonly timeUntilRetry: number | null
  readonly served: number
  readonly failed: number
  readonly skipped: number
}

/** The operations that go through the same tiers, together. */
export interface Flow {
  readonly key: string
  readonly operations: ReadonlyArray<string>
  readonly calls: number
  readonly failed: number
  readonly tiers: ReadonlyArray<Tier>
}

export const flowsOf = (operations: ReadonlyArray<TierFlow>): ReadonlyArray<Flow> => {
  const flows = new Map<string, Flow>()
  // The one that was used last comes last, which would move them about.
  for (
    const { calls, failed_calls, operation, tiers } of operations.toSorted((a, b) => compare(a.operation, b.operation))
  ) {
    const key = JSON.stringify(tiers.map(({ circuit, name }) => [name, circuit]))
    const flow = flows.get(key)
    flows.set(key, {
      key,
      operations: [...flow?.operations ?? [], operation],
      calls: (flow?.calls ?? 0) + calls,
      failed: (flow?.failed ?? 0) + failed_calls,
      tiers: tiers.map(({ circuit, failed, name, served, skipped, state, time_until_retry }, i) => ({
        name,
        circuit,
        state,
        timeUntilRetry: time_until_retry,
        served: (flow?.tiers[i]!.served ?? 0) + served,
        failed: (flow?.tiers[i]!.failed ?? 0) + failed,
        skipped: (flow?.tiers[i]!.skipped ?? 0) + skipped
      }))
    })
  }
  return Array.from(flows.values())
}

export const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

export interface TierRates {
  readonly served: number
  readonly failed: number
  readonly skipped: number
}

export interface FlowRates {
  readonly calls: number
  readonly failed: number
  readonly tiers: ReadonlyArray<TierRates>
  /** The tier that serves most calls now; -1 if more calls reach no tier. */
  readonly serving: number
}

export class FlowTrend {
  private readonly counts = new Trend()

  add(at: number, flow: Flow): void {
    const tiers = flow.tiers.flatMap(({ failed, served, skipped }) => [served, failed, skipped])
    this.counts.add(at, [flow.calls, flow.failed, ...tiers])
  }

  get rates(): FlowRates | undefined {
    const { growth } = this.counts
    if (growth === undefined) return undefined
    const [calls, failed, ...rest] = growth.counts.map((count) => count / growth.seconds)
    const tiers: Array<TierRates> = []
    for (let i = 0; i < rest.length; i += 3) {
      tiers.push({ served: rest[i]!, failed: rest[i + 1]!, skipped: rest[i + 2]! })
    }
    const most = Math.max(...tiers.map(({ served }) => served))
    return {
      calls: calls!,
      failed: failed!,
      tiers,
      serving: most > 0 && most >= failed! ? tiers.findIndex(({ served }) => served === most) : -1
    }
  }
}

// -----------------------------------------------------------------------------
// outages
// -----------------------------------------------------------------------------

/** The time since a circuit was last closed. */
export interface Outage {
  /** The transition that it began with: as far as is known, if `isWhole` is false. */
  readonly first: Transition
  readonly isWhole: boolean
  /** How often the circuit has opened since. */
  readonly openings: number
}

const isDown = (state: Transition["to"]): boolean => state === "Open" || state === "HalfOpen" || state === "ForcedOpen"

/** The outages that have not ended, by circuit. */
export const outagesOf = (transitions: ReadonlyArray<Transition>): ReadonlyMap<string, Outage> => {
  const outages = new Map<string, Outage>()
  for (const event of transitions) {
    const { circuit, from, to } = event
    const opens = to === "Open" || to === "ForcedOpen" ? 1 : 0
    const outage = outages.get(circuit)
    if (!isDown(to)) outages.delete(circuit)
    else if (outage !== undefined) outages.set(circuit, { ...outage, openings: outage.openings + opens })
    else outages.set(circuit, { first: event, isWhole: !isDown(from), openings: opens })
  }
  return outages
}

/** A rule for opening, and how near to it a circuit is. */
export interface Rule {
  readonly kind: "FailureRate" | "ConsecutiveFailures" | "SlowCallRate"
  /** A rate, or a number of failures. */
  readonly value: number
  readonly limit: number
}

/** The rule that opened a circuit, as it stood then; of one that is not open, the rule that is nearest to its limit. */
export const ruleOf = (
  { error_rate, failure_count, slow_call_rate, thresholds }: Circuit,
  outage: Outage | undefined
): Rule | undefined => {
  const at = outage?.first
  const rules: ReadonlyArray<readonly [Rule["kind"], number, number | null]> = [
    ["FailureRate", at?.failureRate ?? error_rate, thresholds.error_rate],
    ["ConsecutiveFailures", at?.consecutiveFailures ?? failure_count, thresholds.failure_count],
    ["SlowCallRate", at?.slowCallRate ?? slow_call_rate, thresholds.slow_call_rate]
  ]
  let nearest: Rule | undefined
  for (const [kind, value, limit] of rules) {
    if (limit === null) continue
    const rule = { kind, value, limit }
    if (kind === at?.reason) return rule
    if (nearest === undefined || value / limit > nearest.value / nearest.limit) nearest = rule
  }
  return nearest
}

// -----------------------------------------------------------------------------
// timeline
// -----------------------------------------------------------------------------

/** A transition, or several openings after probes that failed as one. */
export interface Line {
  readonly event: Transition
  /** How many of them it stands for, and when the first was. */
  readonly failures: number
  readonly since: number
}

/**
 * Transitions as lines, the latest first. A circuit that is probed again and
 * again, and opens each time, takes one line.
 */
export const linesOf = (transitions: ReadonlyArray<Transition>): ReadonlyArray<Line> => {
  const lines = new Set<Line>()
  /** Of each circuit the latest line, and that of its last opening if only a probe came after it. */
  const lasts = new Map<string, { readonly line: Line; readonly opening: Line | undefined }>()
  for (const event of transitions) {
    const last = lasts.get(event.circuit)
    const isRetry = event.from === "HalfOpen" && event.to === "Open" && last?.line.event.to === "HalfOpen"
    const before = isRetry ? last.opening : undefined
    if (isRetry) lines.delete(last.line)
    if (before !== undefined) lines.delete(before)
    const line = {
      event,
      failures: (before?.failures ?? 0) + (isRetry ? 1 : 0),
      since: before?.since ?? event.timestamp
    }
    lines.add(line)
    const opening = event.to === "HalfOpen" && (last?.line.failures ?? 0) > 0 ? last!.line : undefined
    lasts.set(event.circuit, { line, opening })
  }
  return Array.from(lines).toReversed()
}

/** What a circuit was, from when to when; both within the window. */
export interface Segment {
  readonly state: State
  readonly from: number
  readonly to: number
}

export interface Lane {
  readonly circuit: string
  readonly segments: ReadonlyArray<Segment>
}

export interface Window {
  readonly from: number
  readonly to: number
}

const isSame = (a: Transition, b: Transition): boolean =>
  a.circuit === b.circuit && a.sequence === b.sequence && a.timestamp === b.timestamp

/** Adds a transition, unless it is there already; in the order of time, and of the circuit's own count. */
export const withTransition = (
  transitions: ReadonlyArray<Transition>,
  event: Transition,
  limit = 5000
): ReadonlyArray<Transition> => {
  if (transitions.some((other) => isSame(other, event))) return transitions
  let at = transitions.length
  while (at > 0 && transitions[at - 1]!.timestamp > event.timestamp) at--
  return transitions.toSpliced(at, 0, event).slice(-limit)
}

/** Adds a transition that was heard just now, unless it is there already: the wall clock may have stepped back. */
export const withLatest = (
  transitions: ReadonlyArray<Transition>,
  event: Transition,
  limit = 5000
): ReadonlyArray<Transition> =>
  transitions.some((other) => isSame(other, event)) ? transitions : [...transitions, event].slice(-limit)

/** Two lists in the order of what happened, as one: what only one of them has comes after what it came after there. */
export const merged = (
  loaded: ReadonlyArray<Transition>,
  heard: ReadonlyArray<Transition>
): ReadonlyArray<Transition> => {
  let all = loaded
  let at: number | undefined
  for (const event of heard) {
    const known = all.findIndex((other) => isSame(other, event))
    if (known >= 0) {
      at = known + 1
    } else if (at === undefined) {
      all = withTransition(all, event)
    } else {
      all = all.toSpliced(at++, 0, event)
    }
  }
  return all
}

/**
 * The states of each circuit that changed within the window, or was not closed
 * at its end. The future, and the time before a circuit's first transition if
 * that is not known, have no segments.
 */
export const lanesOf = (transitions: ReadonlyArray<Transition>, window: Window, now: number): ReadonlyArray<Lane> => {
  const byCircuit = new Map<string, Array<Transition>>()
  for (const event of transitions) {
    const events = byCircuit.get(event.circuit)
    if (events === undefined) byCircuit.set(event.circuit, [event])
    else events.push(event)
  }
  const end = Math.min(window.to, now)
  const lanes: Array<Lane> = []
  for (const [circuit, events] of byCircuit) {
    const segments: Array<Segment> = []
    let isOfInterest = false
    for (let i = -1; i < events.length; i++) {
      const event = events[i]
      const next = events[i + 1]
      const state = STATE_NAMES[event?.to ?? next!.from]
      const from = Math.max(window.from, event?.timestamp ?? (next!.timestamp - next!.elapsed))
      const to = Math.min(end, next?.timestamp ?? end)
      if (event !== undefined && event.timestamp >= window.from && event.timestamp <= end) isOfInterest = true
      if (to <= from) continue
      segments.push({ state, from, to })
      if (next === undefined && state !== "closed") isOfInterest = true
    }
    if (isOfInterest) lanes.push({ circuit, segments })
  }
  return lanes.toSorted((a, b) => compare(a.circuit, b.circuit))
}

/** Round moments for the axis, up to so many of them, none of them at its ends. */
export const ticksOf = ({ from, to }: Window, offsetMinutes: number, most: number): ReadonlyArray<number> => {
  const steps = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400].map((seconds) =>
    seconds * 1000
  )
  const step = steps.find((step) => (to - from) / step <= most) ??
    Math.ceil((to - from) / most / 86_400_000) * 86_400_000
  const offset = offsetMinutes * 60_000
  const ticks: Array<number> = []
  const margin = (to - from) / 25
  for (let at = Math.ceil((from - offset) / step) * step + offset; at <= to - margin; at += step) {
    if (at >= from + margin) ticks.push(at)
  }
  return ticks
}
