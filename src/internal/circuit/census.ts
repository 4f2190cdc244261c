/**
 * What a registry knows of all its circuits without looking at each: counts
 * that are kept as circuits change, and the few that have to be looked at.
 */
import { ALARMING_FAILURE_RATE } from "../words.ts"
import type { Breaker } from "./breaker.ts"
import type { Circuit } from "./machine.ts"
import { type Calls, rate } from "./snapshot.ts"
import type { Window } from "./window.ts"

export class Census {
  /** Of all circuits together, each since it was made or reset. */
  readonly calls: Calls = { all: 0, rejected: 0 }
  /** The circuits that somebody has put in a state that is no news. */
  readonly set = { Disabled: new Set<Breaker>(), MetricsOnly: new Set<Breaker>() }
  /** The circuits that may be open, half-open or among failures. All others are healthy until they change. */
  readonly notable = new Set<Breaker>()
  /** How often a circuit was changed by hand, or one that is notable came or went. */
  changes = 0

  /** Counts a circuit, with what it has counted so far. */
  enter(breaker: Breaker): void {
    const { circuit } = breaker
    breaker.addCalls(this.calls, 1)
    if (isSet(circuit)) this.set[circuit._tag].add(breaker)
    if (!isNotable(circuit)) return
    this.notable.add(breaker)
    this.changes++
  }

  leave(breaker: Breaker): void {
    breaker.addCalls(this.calls, -1)
    const { circuit } = breaker
    if (isSet(circuit)) this.set[circuit._tag].delete(breaker)
    if (this.notable.delete(breaker)) this.changes++
  }

  /** Follows a change of state. */
  moved(breaker: Breaker, from: Circuit, to: Circuit): void {
    if (isSet(from)) this.set[from._tag].delete(breaker)
    if (isSet(to)) this.set[to._tag].add(breaker)
    if (isNotable(to)) this.notable.add(breaker)
    else this.notable.delete(breaker)
  }

  /** Follows a failure that was recorded in a window. */
  failed(breaker: Breaker, window: Window): void {
    if (mayAlarm(window)) this.notable.add(breaker)
  }
}

const isSet = (circuit: Circuit): circuit is Extract<Circuit, { readonly _tag: "Disabled" | "MetricsOnly" }> =>
  circuit._tag === "Disabled" || circuit._tag === "MetricsOnly"

/** Whether a circuit has to be looked at to know how it is. */
export const isNotable = (circuit: Circuit): boolean => {
  switch (circuit._tag) {
    case "Open":
    case "ForcedOpen":
    case "HalfOpen":
      return true
    case "Disabled":
      return false
    case "Closed":
    case "MetricsOnly":
      return mayAlarm(circuit.counts.window)
  }
}

/** In a window of a duration the share of failures grows when older calls leave it, without any call. */
const mayAlarm = (window: Window): boolean =>
  window.failures > 0 && (window._tag === "TimeWindow" || isAlarming(window))

const isAlarming = ({ calls, failures }: Window): boolean => rate(failures, calls) > ALARMING_FAILURE_RATE
