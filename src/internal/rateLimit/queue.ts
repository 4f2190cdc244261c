import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { setAlarm } from "../time/alarm.ts"
import { LinkedQueue } from "../linkedQueue.ts"
import { monotonicMillis } from "../time/monotonic.ts"
import { onExitInStep } from "../oneStep.ts"
import * as Window from "./window.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** A call for tokens. Times are in milliseconds. */
export interface Request<A, E, R, E2> {
  readonly self: Effect.Effect<A, E, R>
  readonly tokens: number
  /** Zero rejects a call that would have to wait. */
  readonly maxWait: number
  readonly reject: (wait: number) => Effect.Effect<never, E2>
}

/**
 * One call that waits. Tokens are kept for a call that is `Called`, which takes
 * them when its fiber resumes.
 */
class Call {
  place: "Outside" | "Waiting" | "Called" = "Outside"
  previous: Call | undefined = undefined
  next: Call | undefined = undefined
  /** Whether its fiber may resume, which it may not yet be suspended for. */
  isItsTurn = false
  /** Resumes the fiber. Absent until it is suspended. */
  begin: (() => void) | undefined = undefined
  cancelAlarm: (() => void) | undefined = undefined
  readonly fiber: AnyFiber
  readonly clock: Clock.Clock
  readonly tokens: number

  constructor(fiber: AnyFiber, clock: Clock.Clock, tokens: number) {
    this.fiber = fiber
    this.clock = clock
    this.tokens = tokens
  }
}

/** What the queues of a limit count together: the calls that wait or are called. */
interface Counts {
  waiting: number
}

/**
 * The tokens of one key, and the calls that wait for them in order of arrival.
 *
 * No call owns tokens in advance: it takes them in the step in which it begins.
 * A call that gives up before has nothing to return, and the calls behind it
 * move up.
 */
class RateQueue {
  private readonly window: Window.Tokens
  private readonly queue = new LinkedQueue<Call>()
  /** Tokens of the calls that wait or are called. */
  private ahead = 0
  /** Tokens of the calls that are called. */
  private kept = 0
  private cancelAlarm: (() => void) | undefined = undefined

  private readonly counts: Counts

  constructor(rules: Window.Rules, counts: Counts) {
    this.window = Window.make(rules)
    this.counts = counts
  }

  run<A, E, R, E2>(
    fiber: AnyFiber,
    clock: Clock.Clock,
    now: number,
    request: Request<A, E, R, E2>
  ): Effect.Effect<A, E | E2, R> {
    const { maxWait, tokens } = request
    const wait = this.window.wait(this.ahead + tokens, now)
    // A newcomer never overtakes, unless it may not wait and there are tokens for all.
    if (wait === 0 && (this.ahead === 0 || maxWait === 0)) {
      this.window.take(tokens, now)
      return request.self
    }
    if (whole(wait) > maxWait) return request.reject(whole(wait))
    const call = new Call(fiber, clock, tokens)
    this.enqueue(call)
    if (this.queue.first === call) this.serve(now)
    return onExitInStep(fiber, this.wait(call, request), () => this.leave(call))
  }

  available(now: number): number {
    return Math.max(0, this.window.available(now) - this.ahead)
  }

  isIdle(now: number): boolean {
    return this.ahead === 0 && this.window.isFull(now)
  }

  private wait<A, E, R, E2>(call: Call, request: Request<A, E, R, E2>): Effect.Effect<A, E | E2, R> {
    const begin = Effect.suspend(() => {
      this.remove(call)
      this.window.take(call.tokens, monotonicMillis(call.clock))
      return request.self
    })
    return Effect.callback<A, E | E2, R>((resume) => {
      if (call.isItsTurn) return resume(begin)
      call.begin = () => resume(begin)
      if (request.maxWait === Infinity || call.place === "Called") return
      call.cancelAlarm = setAlarm(call.fiber, request.maxWait, () => {
        const now = monotonicMillis(call.clock)
        this.serve(now)
        if (call.place !== "Waiting") return
        this.leave(call)
        resume(request.reject(whole(this.window.wait(this.ahead + call.tokens, now))))
      })
    })
  }

  /** Calls the waiting calls that have tokens, and sets the alarm for the next. */
  private serve(now: number): void {
    this.cancelAlarm?.()
    this.cancelAlarm = undefined
    for (let call = this.queue.first; call !== undefined; call = this.queue.first) {
      const { clock, fiber, tokens } = call
      const wait = this.window.wait(this.kept + tokens, now)
      if (wait > 0) {
        this.cancelAlarm = setAlarm(fiber, Math.max(1, whole(wait)), () => {
          this.cancelAlarm = undefined
          this.serve(monotonicMillis(clock))
        })
        return
      }
      this.dequeue(call)
      call.place = "Called"
      this.kept += tokens
      const called = call
      // In a task of its own: a call must not run inside the end of another or inside the alarm, nor before those
      // called before it.
      fiber.currentDispatcher.scheduleTask(() => {
        called.isItsTurn = true
        called.begin?.()
      }, 0)
    }
  }

  private leave(call: Call): undefined {
    if (call.place === "Outside") return
    const holdsUpOthers = call.place === "Called" || call === this.queue.first
    this.remove(call)
    if (holdsUpOthers) this.serve(monotonicMillis(call.clock))
  }

  private enqueue(call: Call): void {
    call.place = "Waiting"
    this.queue.append(call)
    this.counts.waiting++
    this.ahead += call.tokens
  }

  private dequeue(call: Call): void {
    this.queue.remove(call)
    call.cancelAlarm?.()
    call.cancelAlarm = undefined
  }

  private remove(call: Call): void {
    if (call.place === "Waiting") this.dequeue(call)
    else this.kept -= call.tokens
    call.place = "Outside"
    this.counts.waiting--
    this.ahead -= call.tokens
  }
}

/** Timers drop the fraction of a millisecond. */
const whole = (millis: number): number => Math.ceil(Math.max(0, millis - Window.ROUNDING))

/** How many keys are looked at for each new one. More than one, so that keys do not accumulate. */
const LOOKED_AT = 2

/** The tokens of a limit: of calls without a key, and of each key. */
export class RateQueues {
  private readonly rules: Window.Rules
  private readonly counts: Counts = { waiting: 0 }
  private readonly keyless: RateQueue
  private readonly byKey = new Map<string, RateQueue>()

  constructor(rules: Window.Rules) {
    this.rules = rules
    this.keyless = new RateQueue(rules, this.counts)
  }

  run<A, E, R, E2>(key: string | undefined, request: Request<A, E, R, E2>): Effect.Effect<A, E | E2, R> {
    return Effect.withFiber((fiber) => {
      const clock = fiber.getRef(Clock.Clock)
      const now = monotonicMillis(clock)
      const queue = key === undefined ? this.keyless : this.get(key, now)
      return queue.run(fiber, clock, now, request)
    })
  }

  stateAt(now: number): { readonly available: number; readonly waiting: number } {
    return { available: this.keyless.available(now), waiting: this.counts.waiting }
  }

  private get(key: string, now: number): RateQueue {
    const found = this.byKey.get(key)
    if (found !== undefined) return found
    this.forgetIdle(now)
    const queue = new RateQueue(this.rules, this.counts)
    this.byKey.set(key, queue)
    return queue
  }

  /** Forgets the keys that were looked at the longest ago, if all their tokens are back. */
  private forgetIdle(now: number): void {
    let looked = 0
    for (const [key, queue] of this.byKey) {
      if (looked++ === LOOKED_AT) return
      this.byKey.delete(key)
      if (!queue.isIdle(now)) this.byKey.set(key, queue)
    }
  }
}
