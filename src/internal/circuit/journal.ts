/**
 * Publishes what happens in a circuit: events to subscribers, changes to later
 * subscribers too, and transitions and durations to observers.
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
import type { Census } from "./census.ts"
import * as Circuit from "./machine.ts"
import { rate } from "./snapshot.ts"
import * as Window from "./window.ts"

/** Receives what the state of a circuit does not show afterwards. Must not throw. */
export interface Observer {
  readonly onTransition: (from: CircuitState, to: CircuitState, circuit: string) => void
  /** In milliseconds. */
  readonly onDuration: (duration: number) => void
  /** Whether durations must be measured even if the policy needs none. */
  readonly measure: boolean
}

/** The events of a registry, which include those of its circuits, and their counts. */
export interface Parent {
  readonly events: EventHub<CircuitEvent>
  readonly changes: EventHub<CircuitChange>
  readonly history: History<CircuitChange>
  readonly census: Census
}

/** The fields of an event that the journal sets. */
type Stamp = "circuit" | "sequence" | "timestamp"

const OWN_HISTORY = 64

/** The journal of one circuit. It is made when the circuit first changes or gets its first listener. */
export class Journal {
  private readonly circuit: string
  private readonly clock: Clock.Clock
  private sequence = 0
  /** When the circuit entered its state. */
  private changedAt: number
  /** How often the circuit has stopped letting calls through. */
  timesOpened = 0
  private hub: EventHub<CircuitEvent> | undefined = undefined
  private changeHub: EventHub<CircuitChange> | undefined = undefined
  private history: History<CircuitChange> | undefined = undefined
  observers: ReadonlyArray<Observer> = []

  constructor(circuit: string, clock: Clock.Clock, changedAt: number) {
    this.circuit = circuit
    this.clock = clock
    this.changedAt = changedAt
  }

  // ---------------------------------------------------------------------------
  // writing
  // ---------------------------------------------------------------------------

  /** Records that the circuit changed its state, or that its forced opening ends at another time. */
  moved(from: Circuit.Circuit, to: Circuit.Circuit, transition: Transition, parent: Parent | undefined): void {
    const since = this.changedAt
    const at = timeOfChange(to, transition.now)
    if (from._tag !== to._tag) {
      this.changedAt = at
      if (Circuit.isOpen(to._tag)) this.timesOpened++
      for (const observer of this.observers) observer.onTransition(from._tag, to._tag, this.circuit)
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

  /** Publishes the end of a call. `circuit` has the counts after it. */
  ended(outcome: CallEnded["outcome"], circuit: Circuit.Circuit, call: Ended, parent: Parent | undefined): void {
    this.publish({ ...this.stamp("CallEnded"), ...callEnded(outcome, circuit, call) }, parent)
  }

  lasted(duration: number): void {
    for (const observer of this.observers) observer.onDuration(duration)
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

  /** Past changes, then new ones. */
  changes(parent: () => Parent | undefined): Stream.Stream<CircuitChange> {
    return (this.changeHub ??= new EventHub()).streamAfter(() => this.past(parent()))
  }

  /** Only new changes. */
  get newChanges(): Stream.Stream<CircuitChange> {
    return (this.changeHub ??= new EventHub()).stream
  }

  /** The past changes that are remembered. */
  past(parent: Parent | undefined): ReadonlyArray<CircuitChange> {
    return parent === undefined
      ? this.history?.all ?? []
      : parent.history.all.filter((change) => change.circuit === this.circuit)
  }

  /** Whether anyone subscribes to calls. */
  get hasSubscribers(): boolean {
    return this.hub !== undefined && this.hub.hasSubscribers
  }

  get hasListeners(): boolean {
    return this.hasSubscribers || (this.changeHub !== undefined && this.changeHub.hasSubscribers)
  }

  /** Adds an observer, and returns how to remove it. Both tell `onNeed` whether durations must be measured. */
  observe(observer: Observer, onNeed: (durations: boolean) => void): () => void {
    const set = (observers: ReadonlyArray<Observer>): void => {
      this.observers = observers
      onNeed(observers.some(({ measure }) => measure))
    }
    set([...this.observers, observer])
    return () => set(this.observers.filter((other) => other !== observer))
  }

  // ---------------------------------------------------------------------------
  // the parent
  // ---------------------------------------------------------------------------

  /** Moves the remembered changes to the parent. */
  join(parent: Parent): void {
    if (this.history !== undefined) parent.history.addAll(this.history)
    this.history = undefined
    // The streams of a circuit that was removed have ended.
    if (this.hub?.hasEnded === true) this.hub = undefined
    if (this.changeHub?.hasEnded === true) this.changeHub = undefined
  }

  /** Copies its own changes back from the parent. */
  leave(parent: Parent): void {
    const history = new History<CircuitChange>(OWN_HISTORY)
    history.addAll(parent.history, (change) => change.circuit === this.circuit)
    this.history = history
  }

  /** Ends the streams of all subscribers. Later ones still get the remembered changes. */
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
): Omit<CallEnded, Stamp | "_tag"> => ({
  outcome,
  state: circuit._tag,
  slow,
  duration: duration === undefined ? undefined : Duration.millis(duration),
  consecutiveFailures: circuit.counts.consecutiveFailures,
  ...(lastFailure === undefined ? {} : { lastFailure })
})

type Probes = ReturnType<typeof Circuit.probesOf>

/** Why and when a circuit changed. */
export interface Transition {
  readonly reason: Circuit.Reason
  readonly now: number
  readonly note?: string | undefined
  /** With the verdict that made it change, if one did. */
  readonly probes?: Probes | undefined
  readonly lastFailure: LastFailure | undefined
}

/** A timeout of probes and the end of a ramp are noticed after they happened. */
const timeOfChange = (to: Circuit.Circuit, now: number): number =>
  to._tag === "Open" ? to.openedAt : to._tag === "Closed" ? to.closedAt : now

/** `elapsed`: milliseconds in the previous state. */
const stateChanged = (
  from: Circuit.Circuit,
  to: Circuit.Circuit,
  { lastFailure, note, now, probes = Circuit.probesOf(from), reason }: Transition,
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
    ...(probes === undefined ? {} : { probes }),
    ...(lastFailure === undefined ? {} : { lastFailure })
  }
}
