import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import { isolated } from "../isolated.ts"
import { monotonicMillis } from "./monotonic.ts"

/** The rounding error of adding and subtracting times, in milliseconds. Sleeping for it might never end. */
const ROUNDING = 0.001

/**
 * The last part of the wait for the end of a call is a sleep of its own, in milliseconds: a clock that wakes sleepers of
 * one moment in the order in which they lay down, as the `TestClock` does, wakes a call that ends at that moment before
 * its alarm. Whole in nanoseconds and exact in binary.
 */
const LAST_PART = 1 / 64

type AnyFiber = Fiber.Fiber<unknown, unknown>

interface Alarm {
  readonly at: number
  readonly ring: () => void
}

const contextOf = (caller: AnyFiber): Context.Context<never> =>
  Context.make(Clock.Clock, caller.getRef(Clock.Clock)).pipe(
    Context.add(Scheduler.Scheduler, caller.getRef(Scheduler.Scheduler))
  )

/**
 * The alarms of calls that are limited to the same time, the oldest first, and
 * the fiber that sleeps until the next one. A fiber and a timer for each call
 * would cost more than the rest of a timeout.
 */
class Alarms {
  private readonly pending = new Set<Alarm>()
  private readonly clock: Clock.Clock
  private readonly millis: number
  private fiber: AnyFiber | undefined
  private readonly siblings: Map<number, Alarms>
  private readonly lastPart: number
  private stopping = false

  constructor(clock: Clock.Clock, millis: number, siblings: Map<number, Alarms>, lastPart: number) {
    this.clock = clock
    this.millis = millis
    this.siblings = siblings
    this.lastPart = lastPart
  }

  set(ring: () => void, caller: AnyFiber): Alarm {
    const alarm = { at: this.now() + this.millis, ring }
    this.pending.add(alarm)
    if (this.fiber === undefined) this.start(caller)
    return alarm
  }

  cancel(alarm: Alarm, caller: AnyFiber): void {
    this.pending.delete(alarm)
    if (this.pending.size > 0 || this.stopping) return
    // Not at once, since another call may follow in a moment. But soon, since the timer keeps the process alive.
    this.stopping = true
    caller.currentDispatcher.scheduleTask(this.stopUnlessUsed, 0)
  }

  private start(caller: AnyFiber): void {
    this.fiber = Effect.runForkWith(contextOf(caller))(this.watch)
    this.fiber.addObserver(() => this.stop())
  }

  private readonly stopUnlessUsed = (): void => {
    this.stopping = false
    if (this.pending.size > 0) return
    this.stop()
    this.fiber!.interruptUnsafe()
  }

  /** Times that no other call is limited to, such as what is left of a deadline, must not add up. */
  private stop(): void {
    if (this.siblings.get(this.millis) === this) this.siblings.delete(this.millis)
  }

  private readonly watch: Effect.Effect<void> = Effect.suspend(() => {
    for (const alarm of this.pending) {
      const wait = alarm.at - this.now()
      if (wait > ROUNDING) {
        const { lastPart } = this
        return Effect.andThen(Effect.sleep(wait > lastPart + ROUNDING ? wait - lastPart : wait), this.watch)
      }
      this.pending.delete(alarm)
      isolated(alarm.ring)
    }
    // In this very step, since the fiber can be paused before it ends, and what is set meanwhile needs another.
    this.stop()
    return Effect.void
  })

  private now(): number {
    return monotonicMillis(this.clock)
  }
}

type ByClock = WeakMap<Clock.Clock, Map<number, Alarms>>

const alarms: ByClock = new WeakMap()
const ends: ByClock = new WeakMap()

/**
 * Fake timers of vitest, jest and sinon do not move the monotonic clock, and what sleeps on them when they are taken away
 * sleeps for ever: nothing is shared with it.
 */
const hasFakeTimers = (): boolean =>
  (globalThis.setTimeout as { readonly clock?: unknown } | undefined)?.clock !== undefined

const setOwn = (caller: AnyFiber, millis: number, ring: () => void): () => void => {
  const wait = millis > ROUNDING ? Effect.sleep(millis) : Effect.void
  const fiber = Effect.runForkWith(contextOf(caller))(Effect.andThen(wait, Effect.sync(ring)))
  return () => fiber.interruptUnsafe()
}

const get = (caller: AnyFiber, millis: number, byClock: ByClock, lastPart: number): Alarms => {
  const clock = caller.getRef(Clock.Clock)
  let byTime = byClock.get(clock)
  if (byTime === undefined) byClock.set(clock, byTime = new Map())
  let found = byTime.get(millis)
  if (found === undefined) byTime.set(millis, found = new Alarms(clock, millis, byTime, lastPart))
  return found
}

/** Calls `ring` after so many milliseconds, unless the function it returns is called before. */
export const setAlarm = (caller: AnyFiber, millis: number, ring: () => void): () => void =>
  set(caller, millis, ring, alarms, 0)

/** The same for the deadline of a call. A call that completes exactly at the deadline counts as completed. */
export const setEnd = (caller: AnyFiber, millis: number, ring: () => void): () => void =>
  set(caller, millis, ring, ends, LAST_PART)

const set = (
  caller: AnyFiber,
  millis: number,
  ring: () => void,
  byClock: ByClock,
  lastPart: number
): () => void => {
  if (hasFakeTimers()) return setOwn(caller, millis, ring)
  const shared = get(caller, millis, byClock, lastPart)
  const alarm = shared.set(ring, caller)
  return () => shared.cancel(alarm, caller)
}
