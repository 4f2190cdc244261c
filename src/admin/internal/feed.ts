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
import { type EventsLost, LiveEvent, TooManySubscribersError } from "../AdminApi.ts"
import { type Client, READ_MILLIS, shareOf } from "./load.ts"

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

/** Bytes that wait for one slow reader, that are kept for those who come back, and that are handed over at once. */
const MAX_WAITING = 1_048_576
const MAX_KEPT = 4_194_304
const PIECE = 65_536

/** A client of the feed, as the platform shows it. */
export interface Reader extends Client {
  /** Whether its server takes no new connections, as it is about to end. */
  readonly isClosing: () => boolean
  readonly disconnect: () => void
}

/** Tells the events to whoever subscribes. Nobody can make it wait. */
export class Feed {
  readonly maxSubscribers: number
  private readonly subscribers = new Set<Subscriber>()
  private readonly buffer: number
  private readonly kept: Array<Frame> = []
  private keptBytes = 0
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
    this.keptBytes += bytes.length
    while (this.kept.length > this.maxKept || (this.keptBytes > MAX_KEPT && this.kept.length > 1)) {
      const { bytes, number } = this.kept.shift()!
      this.keptBytes -= bytes.length
      this.forgotten = number
    }
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

  /**
   * Ends the streams of a server that is about to end, which would wait for
   * them, and evicts who has not taken anything for too long. To be called again
   * and again, with the time in milliseconds.
   */
  sweep(now: number): void {
    for (const subscriber of this.subscribers) {
      if (subscriber.reader.isClosing()) subscriber.end()
      if (subscriber.isStuck(now)) this.evict(subscriber)
    }
  }

  private evict(subscriber: Subscriber): void {
    this.subscribers.delete(subscriber)
    subscriber.drop()
    subscriber.reader.disconnect()
  }

  end(): void {
    this.ended = true
    for (const subscriber of this.subscribers) subscriber.end()
  }

  /** The bytes of the events until the scope closes. */
  subscribe(
    wish: Wish,
    reader: Reader
  ): Effect.Effect<Stream.Stream<Uint8Array>, TooManySubscribersError, Scope.Scope> {
    return Effect.map(
      Effect.acquireRelease(
        Effect.suspend(() => {
          const refusal = this.refuse(reader)
          if (refusal !== undefined) return Effect.fail(refusal)
          const subscriber = new Subscriber(wish, reader, this.buffer, this.missed(wish))
          if (this.ended) subscriber.end()
          this.subscribers.add(subscriber)
          return Effect.succeed(subscriber)
        }),
        (subscriber) => Effect.sync(() => this.subscribers.delete(subscriber))
      ),
      (subscriber) => subscriber.stream
    )
  }

  /** One address may have half of the places, as of the answers. */
  private refuse({ address }: Reader): TooManySubscribersError | undefined {
    const total = this.maxSubscribers
    if (this.subscribers.size >= total) {
      return new TooManySubscribersError({
        limit: total,
        message: `${total} clients read the events already; try again later`
      })
    }
    const share = shareOf("address", total)
    let places = 0
    for (const { reader } of this.subscribers) {
      if (reader.address === address) places++
    }
    return places < share ? undefined : new TooManySubscribersError({
      limit: share,
      message: `${share} clients of this address read the events already; try again later`
    })
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
  readonly reader: Reader
  /** What is sent first, however much it is. */
  private backlog: Array<Uint8Array>
  private waiting: Array<Uint8Array> = []
  private waitingBytes = 0
  private dropped = 0
  private isBeating = false
  private ended = false
  /** When it was first seen that something waits, since the client took something. */
  private waitingSince: number | undefined
  private readonly latch = Latch.makeUnsafe(true)
  private readonly capacity: number

  constructor(wish: Wish, reader: Reader, capacity: number, backlog: ReadonlyArray<Uint8Array>) {
    this.wish = wish
    this.reader = reader
    this.capacity = capacity
    this.backlog = [...backlog]
  }

  push(bytes: Uint8Array): void {
    this.waiting.push(bytes)
    this.waitingBytes += bytes.length
    while (this.waiting.length > this.capacity || (this.waitingBytes > MAX_WAITING && this.waiting.length > 1)) {
      this.waitingBytes -= this.waiting.shift()!.length
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

  /** Forgets what waits. */
  drop(): void {
    this.backlog = []
    this.waiting = []
    this.waitingBytes = 0
    this.isBeating = false
    this.end()
  }

  /** Whether the client has taken nothing for too long. At the end it has a moment, from one look to the next. */
  isStuck(now: number): boolean {
    const isWaiting = this.ended || this.isBeating || this.backlog.length > 0 || this.waiting.length > 0
    if (!isWaiting) return false
    if (this.waitingSince === undefined) {
      this.waitingSince = now
      return false
    }
    return this.ended || now - this.waitingSince >= READ_MILLIS
  }

  get stream(): Stream.Stream<Uint8Array> {
    const pull: Effect.Effect<readonly [Uint8Array, ...Array<Uint8Array>], Cause.Done<void>> = Effect.suspend(() => {
      this.waitingSince = undefined
      const [first, ...rest] = this.take()
      if (first !== undefined) return Effect.succeed([first, ...rest] as const)
      if (this.ended) return Cause.done()
      this.latch.closeUnsafe()
      return Effect.andThen(this.latch.await, pull)
    })
    return Stream.fromPull(Effect.succeed(pull))
  }

  private take(): ReadonlyArray<Uint8Array> {
    const { dropped, isBeating } = this
    this.isBeating = false
    if (this.backlog.length > 0) return takePiece(this.backlog)
    this.dropped = 0
    const frames = takePiece(this.waiting)
    for (const { length } of frames) this.waitingBytes -= length
    if (dropped > 0) return [lost("SlowReader", dropped), ...frames]
    return frames.length === 0 && isBeating ? [HEARTBEAT] : frames
  }
}

/** Takes the first frames, at least one if there is any. */
const takePiece = (frames: Array<Uint8Array>): ReadonlyArray<Uint8Array> => {
  let [count, bytes] = [0, 0]
  while (count < frames.length && bytes < PIECE) bytes += frames[count++]!.length
  return frames.splice(0, count)
}
