/**
 * What the admin API remembers of the past and tells of the present: the latest
 * transitions of each circuit, and the events as they happen. All of it bounded.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Order from "effect/Order"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CallEnded, CircuitChange, StateChanged } from "../../CircuitEvent.ts"
import { type EventsLost, LiveEvent } from "../AdminApi.ts"

// -----------------------------------------------------------------------------
// history
// -----------------------------------------------------------------------------

interface Remembered {
  /** How many came before it. The wall clock may step back, and so tells no order. */
  readonly number: number
  readonly event: StateChanged
}

/** The latest transitions of each circuit. */
export class History {
  /** The circuit that has not changed for longest comes first. */
  private readonly circuits = new Map<string, Array<Remembered>>()
  private size = 0
  private number = 0
  private readonly perCircuit: number
  private readonly total: number

  constructor(limits: { readonly perCircuit: number; readonly total: number }) {
    this.perCircuit = limits.perCircuit
    this.total = limits.total
  }

  add(event: StateChanged): void {
    const transitions = this.circuits.get(event.circuit) ?? []
    this.circuits.delete(event.circuit)
    this.circuits.set(event.circuit, transitions)
    transitions.push({ number: this.number++, event })
    this.size++
    if (transitions.length > this.perCircuit) {
      transitions.shift()
      this.size--
    }
    while (this.size > this.total) this.forgetOldest()
  }

  /** The latest transitions, oldest first. `undefined` if none are remembered. */
  of(circuit: string): ReadonlyArray<StateChanged> | undefined {
    return this.circuits.get(circuit)?.map(({ event }) => event)
  }

  /** The latest transitions of all circuits, oldest first. */
  latest(limit: number): ReadonlyArray<StateChanged> {
    // What is kept of each circuit is in order already.
    const all = Array.from(this.circuits.values()).flat()
    return Arr.sortWith(all, ({ number }) => number, Order.Number).slice(-limit).map(({ event }) => event)
  }

  private forgetOldest(): void {
    const [circuit, transitions] = this.circuits.entries().next().value!
    transitions.shift()
    this.size--
    if (transitions.length === 0) this.circuits.delete(circuit)
  }
}

// -----------------------------------------------------------------------------
// live events
// -----------------------------------------------------------------------------

export interface FeedOptions {
  readonly maxSubscribers: number
  /** Events that wait for one slow reader. */
  readonly buffer: number
  /** Changes that are kept for those who come back. */
  readonly replay: number
}

/** What one client wants to hear of. */
export interface Wish {
  readonly circuit: string | undefined
  readonly calls: boolean
  readonly lastEventId: string | undefined
}

/** A change as it is sent, and kept. */
interface Frame {
  readonly number: number
  readonly circuit: string
  readonly bytes: Uint8Array
}

const wants = (wish: Wish, circuit: string): boolean => wish.circuit === undefined || wish.circuit === circuit

const encode = Schema.encodeSync(Schema.fromJsonString(Schema.toCodecJson(LiveEvent)))
const utf8 = new TextEncoder()

const render = (event: LiveEvent, id: string | undefined): Uint8Array =>
  utf8.encode(`${id === undefined ? "" : `id: ${id}\n`}event: ${event._tag}\ndata: ${encode(event)}\n\n`)

const lost = (reason: EventsLost["reason"], count: number | null): Uint8Array =>
  render({ _tag: "EventsLost", reason, lost: count }, undefined)

const HEARTBEAT = utf8.encode(": heartbeat\n\n")

/** Tells the events to whoever subscribes. Nobody can make it wait. */
export class Feed {
  readonly maxSubscribers: number
  private readonly subscribers = new Set<Subscriber>()
  private readonly buffer: number
  private readonly kept: Array<Frame> = []
  private readonly maxKept: number
  /** Of this run: numbers begin anew with each. */
  private readonly run: string
  private number = 0
  /** The last change that is no longer kept. */
  private forgotten = 0
  private ended = false

  constructor(run: string, options: FeedOptions) {
    this.run = run
    this.maxSubscribers = options.maxSubscribers
    this.buffer = options.buffer
    this.maxKept = options.replay
  }

  get size(): number {
    return this.subscribers.size
  }

  publish(event: CircuitChange): void {
    const number = ++this.number
    const bytes = render(event, `${this.run}-${number}`)
    this.kept.push({ number, circuit: event.circuit, bytes })
    if (this.kept.length > this.maxKept) this.forgotten = this.kept.shift()!.number
    for (const subscriber of this.subscribers) {
      if (wants(subscriber.wish, event.circuit)) subscriber.push(bytes)
    }
  }

  /** Calls are many: they have no number, and are not kept for those who come back. */
  publishCall(event: CallEnded): void {
    let bytes: Uint8Array | undefined
    for (const subscriber of this.subscribers) {
      if (subscriber.wish.calls && wants(subscriber.wish, event.circuit)) {
        subscriber.push(bytes ??= render(event, undefined))
      }
    }
  }

  /** Shows that the connections live, to both ends and all between. */
  beat(): void {
    for (const subscriber of this.subscribers) {
      subscriber.beat()
    }
  }

  end(): void {
    this.ended = true
    for (const subscriber of this.subscribers) subscriber.end()
  }

  /** The bytes of the events until the scope closes; `undefined` if there are too many subscribers. */
  subscribe(wish: Wish): Effect.Effect<Stream.Stream<Uint8Array> | undefined, never, Scope.Scope> {
    return Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => {
          if (this.subscribers.size >= this.maxSubscribers) return undefined
          const subscriber = new Subscriber(wish, this.buffer, this.missed(wish))
          if (this.ended) subscriber.end()
          this.subscribers.add(subscriber)
          return subscriber
        }),
        (subscriber) =>
          Effect.sync(() => {
            if (subscriber !== undefined) this.subscribers.delete(subscriber)
          })
      ),
      (subscriber) => subscriber?.stream
    )
  }

  /** What a new subscriber is sent first. It ends with where it stands, so that whoever comes back misses nothing. */
  private missed(wish: Wish): ReadonlyArray<Uint8Array> {
    const connected = utf8.encode(`: connected\nid: ${this.run}-${this.number}\n\n`)
    if (wish.lastEventId === undefined || wish.lastEventId === "") return [connected]
    const [run, number] = wish.lastEventId.split("-")
    const isOurs = run === this.run && number !== undefined && /^\d{1,15}$/.test(number) &&
      Number(number) <= this.number
    const last = isOurs ? Number(number) : 0
    const frames = this.kept.filter((frame) => frame.number > last && wants(wish, frame.circuit))
    const replay = [...frames.map(({ bytes }) => bytes), connected]
    if (!isOurs) return [lost("Restarted", null), ...replay]
    return this.forgotten > last ? [lost("TooLongAway", null), ...replay] : replay
  }
}

class Subscriber {
  readonly wish: Wish
  /** What is sent first, however much it is. */
  private backlog: ReadonlyArray<Uint8Array>
  private waiting: Array<Uint8Array> = []
  private dropped = 0
  private isBeating = false
  private ended = false
  private readonly latch = Latch.makeUnsafe(true)
  private readonly capacity: number

  constructor(wish: Wish, capacity: number, backlog: ReadonlyArray<Uint8Array>) {
    this.wish = wish
    this.capacity = capacity
    this.backlog = backlog
  }

  push(bytes: Uint8Array): void {
    this.waiting.push(bytes)
    if (this.waiting.length > this.capacity) {
      this.waiting.shift()
      this.dropped++
    }
    this.latch.openUnsafe()
  }

  beat(): void {
    this.isBeating = true
    this.latch.openUnsafe()
  }

  end(): void {
    this.ended = true
    this.latch.openUnsafe()
  }

  get stream(): Stream.Stream<Uint8Array> {
    const pull: Effect.Effect<readonly [Uint8Array, ...Array<Uint8Array>], Cause.Done<void>> = Effect.suspend(() => {
      const [first, ...rest] = this.take()
      if (first !== undefined) return Effect.succeed([first, ...rest] as const)
      if (this.ended) return Cause.done()
      this.latch.closeUnsafe()
      return Effect.andThen(this.latch.await, pull)
    })
    return Stream.fromPull(Effect.succeed(pull))
  }

  private take(): ReadonlyArray<Uint8Array> {
    const { backlog, dropped, isBeating, waiting } = this
    this.backlog = []
    this.waiting = []
    this.dropped = 0
    this.isBeating = false
    const frames = dropped === 0 ? [...backlog, ...waiting] : [...backlog, lost("SlowReader", dropped), ...waiting]
    return frames.length === 0 && isBeating ? [HEARTBEAT] : frames
  }
}
