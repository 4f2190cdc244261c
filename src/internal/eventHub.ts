import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Take from "effect/Take"

const CAPACITY = 1024

/**
 * Publishes to whoever listens, at once and without waiting: a subscriber that
 * falls 1,024 events behind loses the oldest.
 *
 * Nothing is allocated until the first subscriber, so that a million idle
 * circuits cost nothing here.
 */
export class EventHub<A> {
  private pubsub: PubSub.PubSub<Take.Take<A>> | undefined
  private subscribers = 0
  private ended = false

  get hasEnded(): boolean {
    return this.ended
  }

  get hasSubscribers(): boolean {
    return this.subscribers > 0
  }

  publish(event: A): void {
    if (this.subscribers === 0) return
    const pubsub = this.pubsub!
    const take: Take.Take<A> = [event]
    // `publishUnsafe` refuses when a sliding PubSub is full; `publish` slides.
    if (!PubSub.publishUnsafe(pubsub, take)) Effect.runSync(PubSub.publish(pubsub, take))
  }

  /** Ends the streams of all subscribers; later ones are empty. */
  get end(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.ended = true
      return this.pubsub === undefined ? Effect.void : PubSub.end(this.pubsub, Exit.void)
    })
  }

  get stream(): Stream.Stream<A> {
    return this.streamAfter(() => [])
  }

  /** What was before, then what comes, without a gap and without anything twice. */
  streamAfter(history: () => ReadonlyArray<A>): Stream.Stream<A> {
    return Stream.unwrap(
      Effect.suspend(() => this.ended ? Effect.succeed(Stream.fromIterable(history())) : this.subscribe(history))
    )
  }

  private subscribe(history: () => ReadonlyArray<A>): Effect.Effect<Stream.Stream<A>, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.gen({ self: this }, function*() {
        const made = this.pubsub ?? (yield* PubSub.sliding<Take.Take<A>>(CAPACITY))
        // The fiber may have yielded: to one that was faster, or to the end.
        const pubsub = this.pubsub ??= made
        const subscription = yield* PubSub.subscribe(pubsub)
        if (this.ended) yield* PubSub.end(pubsub, Exit.void)
        this.subscribers++
        const before = history()
        const live = Stream.fromSubscription(subscription).pipe(
          Stream.flattenTake,
          // A publisher resumes a waiting subscriber in its own turn: yield, so
          // that a listener's work is not done inside somebody's call.
          Stream.tap(() => Effect.yieldNow)
        )
        if (before.length === 0) return live
        const seen = new Set(before)
        return Stream.concat(Stream.fromIterable(before), Stream.filter(live, (event) => !seen.has(event)))
      }),
      () =>
        Effect.sync(() => {
          this.subscribers--
        })
    )
  }
}

/** How many things have happened that any history remembers. */
let happened = 0

/** Something that happened, after all that has a lower number. */
interface Entry<A> {
  readonly number: number
  readonly event: A
}

/** The latest of what happened, the oldest first. The wall clock may step back, and so tells no order. */
export class History<A> {
  private readonly entries: Array<Entry<A>> = []
  private readonly capacity: number

  constructor(capacity: number) {
    this.capacity = capacity
  }

  add(event: A): void {
    this.insert({ number: happened++, event }, this.entries.length)
  }

  /** Adds what another history has, in its place. */
  addAll(other: History<A>, isWanted: (event: A) => boolean = () => true): void {
    for (const entry of other.entries) {
      if (!isWanted(entry.event)) continue
      let at = this.entries.length
      while (at > 0 && this.entries[at - 1]!.number > entry.number) at--
      // A circuit that comes back finds its earlier events here.
      if (this.entries[at - 1]?.number !== entry.number) this.insert(entry, at)
    }
  }

  get all(): ReadonlyArray<A> {
    return this.entries.map(({ event }) => event)
  }

  private insert(entry: Entry<A>, at: number): void {
    this.entries.splice(at, 0, entry)
    if (this.entries.length > this.capacity) this.entries.shift()
  }
}
