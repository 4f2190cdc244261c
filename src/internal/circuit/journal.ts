/**
 * What is told of a circuit: its events to subscribers, its changes to those
 * that subscribe later as well, and what cannot be read off it afterwards to
 * observers.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type {
  CallEnded,
  CircuitChange,
  CircuitEvent,
  CircuitState,
  Reconfigured,
  StateChanged
} from "../../CircuitEvent.ts"
import type { LastFailure } from "../../ResilienceError.ts"
import { EventHub, History } from "../eventHub.ts"
import * as Circuit from "./machine.ts"
import { rate } from "./snapshot.ts"
import * as Window from "./window.ts"

/** Hears of what cannot be read off a circuit afterwards. Must not throw. */
export interface Observer {
  readonly onTransition: (from: CircuitState, to: CircuitState) => void
  /** In milliseconds. */
  readonly onDuration: (duration: number) => void
  /** Whether durations have to be measured, though the policy needs none. */
  readonly measure: boolean
}

/** The events of a registry, of which those of its circuits are a part. */
export interface Parent {
  readonly events: EventHub<CircuitEvent>
  readonly changes: EventHub<CircuitChange>
  readonly history: History<CircuitChange>
}

/** What the journal itself puts into an event. */
type Stamp = "circuit" | "sequence" | "timestamp"

const OWN_HISTORY = 64

/** Of one circuit. A circuit has none until it changes or somebody listens to it. */
export class Journal {
  private readonly circuit: string
  private readonly clock: Clock.Clock
  private sequence = 0
  /** Since when the circuit has been in its state. */
  private changedAt: number
  /** How often the circuit has stopped letting calls through. */
  timesOpened = 0
  private hub: EventHub<CircuitEvent> | undefined = undefined
  private changeHub: EventHub<CircuitChange> | undefined = undefined
  private history: History<CircuitChange> | undefined = undefined
  observers: ReadonlyArray<Observer> | undefined = undefined

  constructor(circuit: string, clock: Clock.Clock, changedAt: number) {
    this.circuit = circuit
    this.clock = clock
    this.changedAt = changedAt
  }

  // ---------------------------------------------------------------------------
  // writing
  // ---------------------------------------------------------------------------

  /** The circuit went from one state to another, or its forced opening got another end. */
  moved(from: Circuit.Circuit, to: Circuit.Circuit, transition: Transition, parent: Parent | undefined): void {
    const since = this.changedAt
    const at = timeOfChange(to, transition.now)
    if (from._tag !== to._tag) {
      this.changedAt = at
      if (to._tag === "Open" || to._tag === "ForcedOpen") this.timesOpened++
      if (this.observers !== undefined) {
        for (const observer of this.observers) observer.onTransition(from._tag, to._tag)
      }
    }
    this.changed(stateChanged(from, to, transition, at - since), parent)
  }

  changed(change: Omit<StateChanged, Stamp> | Omit<Reconfigured, Stamp>, parent: Parent | undefined): void {
    const stamped: CircuitChange = { ...this.stamp(change._tag), ...change }
    const history = parent?.history ?? (this.history ??= new History(OWN_HISTORY))
    history.add(stamped)
    this.changeHub?.publish(stamped)
    parent?.changes.publish(stamped)
    this.publish(stamped, parent)
  }

  /** A call ended, and left the circuit with the counts that it has now. */
  ended(outcome: CallEnded["outcome"], circuit: Circuit.Circuit, call: Ended, parent: Parent | undefined): void {
    this.publish({ ...this.stamp("CallEnded"), ...callEnded(outcome, circuit, call) }, parent)
  }

  lasted(duration: number): void {
    if (this.observers !== undefined) { for (const observer of this.observers) observer.onDuration(duration) }
  }

  private publish(event: CircuitEvent, parent: Parent | undefined): void {
    this.hub?.publish(event)
    parent?.events.publish(event)
  }

  private stamp<Tag extends CircuitEvent["_tag"]>(_tag: Tag) {
    return {
      _tag,
      circuit: this.circuit,
      sequence: ++this.sequence,
      timestamp: this.clock.currentTimeMillisUnsafe()
    }
  }

  // ---------------------------------------------------------------------------
  // reading
  // ---------------------------------------------------------------------------

  get events(): Stream.Stream<CircuitEvent> {
    return (this.hub ??= new EventHub()).stream
  }

  /** The changes that there were, then those to come. */
  changes(parent: () => Parent | undefined): Stream.Stream<CircuitChange> {
    return (this.changeHub ??= new EventHub()).streamAfter(() => this.past(parent()))
  }

  /** Changes from now on. */
  get newChanges(): Stream.Stream<CircuitChange> {
    return (this.changeHub ??= new EventHub()).stream
  }

  /** The changes that there were, as far as they are remembered. */
  past(parent: Parent | undefined): ReadonlyArray<CircuitChange> {
    return parent === undefined
      ? this.history?.all ?? []
      : parent.history.all.filter((change) => change.circuit === this.circuit)
  }

  /** Whether somebody hears of calls. */
  get hasSubscribers(): boolean {
    return this.hub !== undefined && this.hub.hasSubscribers
  }

  get hasListeners(): boolean {
    return this.hasSubscribers || (this.changeHub !== undefined && this.changeHub.hasSubscribers)
  }

  /** Adds an observer, and returns how to remove it. Both tell whether durations have to be measured then. */
  observe(observer: Observer, onNeed: (durations: boolean) => void): () => void {
    const set = (observers: ReadonlyArray<Observer>): void => {
      this.observers = observers.length === 0 ? undefined : observers
      onNeed(observers.some(({ measure }) => measure))
    }
    set([...this.observers ?? [], observer])
    return () => set((this.observers ?? []).filter((other) => other !== observer))
  }

  // ---------------------------------------------------------------------------
  // where it belongs
  // ---------------------------------------------------------------------------

  /** Gives the parent what is remembered, to remember it from now on. */
  join(parent: Parent): void {
    // One that has been a part of it before has left its changes there.
    const known = new Set(parent.history.all)
    for (const change of this.past(undefined)) if (!known.has(change)) parent.history.add(change)
    this.history = undefined
    // Those of one that was removed have ended.
    if (this.hub?.hasEnded === true) this.hub = undefined
    if (this.changeHub?.hasEnded === true) this.changeHub = undefined
  }

  /** Takes from the parent what it remembers. */
  leave(parent: Parent): void {
    const history = new History<CircuitChange>(OWN_HISTORY)
    for (const change of this.past(parent)) history.add(change)
    this.history = history
  }

  /** Ends the streams of all subscribers; later ones have what is remembered. */
  get end(): Effect.Effect<void> {
    return Effect.andThen((this.hub ??= new EventHub()).end, (this.changeHub ??= new EventHub()).end)
  }
}

/** How a call ended, beside its outcome. */
export interface Ended {
  readonly slow: boolean
  /** In milliseconds, if it was measured. */
  readonly duration: number | undefined
  readonly lastFailure: LastFailure | undefined
}

const callEnded = (
  outcome: CallEnded["outcome"],
  circuit: Circuit.Circuit,
  { duration, lastFailure, slow }: Ended
): Omit<CallEnded, Stamp> => ({
  _tag: "CallEnded",
  outcome,
  state: circuit._tag,
  slow,
  duration: duration === undefined ? undefined : Duration.millis(duration),
  consecutiveFailures: circuit.counts.consecutiveFailures,
  ...(lastFailure === undefined ? {} : { lastFailure })
})

/** What brought a change about, and when. */
export interface Transition {
  readonly reason: Circuit.Reason
  readonly now: number
  readonly note: string | undefined
  readonly lastFailure: LastFailure | undefined
}

/** A timeout of probes and the end of a ramp are noticed later than they happen. */
const timeOfChange = (to: Circuit.Circuit, now: number): number =>
  to._tag === "Open" ? to.openedAt : to._tag === "Closed" ? to.closedAt : now

/** `elapsed` is how many milliseconds the circuit was in the state before. */
const stateChanged = (
  from: Circuit.Circuit,
  to: Circuit.Circuit,
  { lastFailure, note, now, reason }: Transition,
  elapsed: number
): Omit<StateChanged, Stamp> => {
  const { consecutiveFailures, window } = from.counts
  Window.expire(window, now)
  return {
    _tag: "StateChanged",
    from: from._tag,
    to: to._tag,
    reason,
    note,
    retryAfter: Duration.millis(Circuit.timeUntilRetry(to, now)),
    openings: to.openings,
    elapsed: Duration.millis(elapsed),
    consecutiveFailures,
    failureRate: rate(window.failures, window.calls),
    slowCallRate: rate(window.slowCalls, window.calls),
    calls: window.calls,
    ...(lastFailure === undefined ? {} : { lastFailure })
  }
}
