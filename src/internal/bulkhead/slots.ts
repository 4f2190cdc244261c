/** The slots of a bulkhead, and the calls that wait for one. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import type { Bulkhead, TypeId as TypeIdType } from "../../Bulkhead.ts"
import type { BulkheadFullError } from "../../ResilienceError.ts"
import { checkCount } from "../check.ts"
import { bulkheadFullError } from "../error/rejection.ts"
import { isolated } from "../isolated.ts"
import { LinkedQueue } from "../linkedQueue.ts"
import { onExitInStep } from "../oneStep.ts"
import type { Kind } from "../target.ts"
import { recorderOf } from "../telemetry/recorder.ts"
import { setAlarm } from "../time/alarm.ts"
import { countLeftBehind, leftBehindSince } from "../time/leftBehind.ts"
import { describe, type Size } from "./size.ts"

export const TypeId: TypeIdType = "~effect-resilience/Bulkhead"

export const isBulkhead = (u: unknown): u is Bulkhead => Predicate.hasProperty(u, TypeId)

export const BULKHEAD: Kind<Bulkhead> = {
  isValue: isBulkhead,
  accepted: "a value made with Bulkhead.make or the class of a service"
}

/**
 * One call that has to queue. A call that is handed a slot is `Inside` from
 * that moment, though its fiber has yet to resume.
 */
class Call {
  place: "Outside" | "Queued" | "Inside" = "Outside"
  previous: Call | undefined = undefined
  next: Call | undefined = undefined
  /** Resumes the fiber. Absent until it is suspended. */
  resume: (() => void) | undefined = undefined
  cancelAlarm: (() => void) | undefined = undefined
  readonly before = countLeftBehind()
  readonly fiber: Fiber.Fiber<unknown, unknown>

  constructor(fiber: Fiber.Fiber<unknown, unknown>) {
    this.fiber = fiber
  }
}

/**
 * The slots and the queue. While a call waits no slot is free: a slot that is
 * given back goes to the first in the queue in the same step, so that a
 * newcomer cannot overtake.
 */
export class Slots implements Bulkhead {
  readonly [TypeId]: TypeIdType = TypeId
  readonly name: string
  private size: Size
  private taken = 0
  private waiting = 0
  private turnedAway = 0
  private readonly queue = new LinkedQueue<Call>()
  private granted: Array<Call> = []

  constructor(name: string, size: Size) {
    this.name = name
    this.size = size
  }

  get description(): string {
    return describe(this.size)
  }

  get limit(): Effect.Effect<number> {
    return Effect.sync(() => this.size.limit)
  }

  get inFlight(): Effect.Effect<number> {
    return Effect.sync(() => this.taken)
  }

  get available(): Effect.Effect<number> {
    return Effect.sync(() => Math.max(0, this.size.limit - this.taken))
  }

  get queued(): Effect.Effect<number> {
    return Effect.sync(() => this.waiting)
  }

  get rejected(): Effect.Effect<number> {
    return Effect.sync(() => this.turnedAway)
  }

  get resize(): Bulkhead["resize"] {
    return (limit) => {
      checkCount("Bulkhead.resize: limit", limit)
      return Effect.withFiber((fiber) => {
        this.size = { ...this.size, limit }
        this.grant(fiber)
        return Effect.void
      })
    }
  }

  get execute(): Bulkhead["execute"] {
    return <A, E, R>(self: Effect.Effect<A, E, R>) =>
      Effect.withFiber((fiber) => {
        if (this.taken < this.size.limit) {
          this.taken++
          const before = countLeftBehind()
          return onExitInStep(fiber, self, () => this.end(fiber, before))
        }
        if (this.waiting >= this.size.queue || Duration.isZero(this.size.maxWait)) {
          return Effect.fail(this.reject(fiber))
        }
        const call = new Call(fiber)
        this.enqueue(call)
        return onExitInStep(fiber, this.wait(call, self), () => this.leave(call))
      })
  }

  private wait<A, E, R>(call: Call, self: Effect.Effect<A, E, R>): Effect.Effect<A, E | BulkheadFullError, R> {
    return Effect.callback((resume) => {
      // Handed a slot before its fiber got here.
      if (call.place === "Inside") return resume(self)
      call.resume = () => resume(self)
      if (!Duration.isFinite(this.size.maxWait)) return
      call.cancelAlarm = setAlarm(call.fiber, Duration.toMillis(this.size.maxWait), () => {
        if (call.place !== "Queued") return
        this.leave(call)
        resume(Effect.fail(this.reject(call.fiber)))
      })
    })
  }

  private leave(call: Call): undefined {
    const { place } = call
    call.place = "Outside"
    if (place === "Queued") {
      this.dequeue(call)
    } else if (place === "Inside") {
      this.end(call.fiber, call.before)
    }
  }

  /** Gives the slot back, once what a timeout inside the call has left behind has ended as well. */
  private end(fiber: Fiber.Fiber<unknown, unknown>, before: number): undefined {
    if (before === countLeftBehind()) return this.giveBack(fiber)
    const left = leftBehindSince(fiber, before)
    let running = left.length
    if (running === 0) return this.giveBack(fiber)
    for (const call of left) {
      call.addObserver(() => {
        if (--running === 0) this.giveBack(call)
      })
    }
  }

  private giveBack(fiber: Fiber.Fiber<unknown, unknown>): undefined {
    this.taken--
    this.grant(fiber)
  }

  private reject(fiber: Fiber.Fiber<unknown, unknown>): BulkheadFullError {
    this.turnedAway++
    recorderOf(fiber)?.onBulkheadFull(this)
    return bulkheadFullError(this.name, this.size.limit)
  }

  private grant(fiber: Fiber.Fiber<unknown, unknown>): void {
    while (this.queue.first !== undefined && this.taken < this.size.limit) {
      const call = this.queue.first
      this.dequeue(call)
      this.taken++
      call.place = "Inside"
      // Resumed in a task of its own: a call must not run inside the end of another.
      if (this.granted.push(call) === 1) fiber.currentDispatcher.scheduleTask(this.resumeGranted, 0)
    }
  }

  private readonly resumeGranted = (): void => {
    const calls = this.granted
    this.granted = []
    for (const call of calls) isolated(() => call.resume?.())
  }

  private enqueue(call: Call): void {
    call.place = "Queued"
    this.queue.append(call)
    this.waiting++
  }

  private dequeue(call: Call): void {
    this.queue.remove(call)
    this.waiting--
    call.cancelAlarm?.()
    call.cancelAlarm = undefined
  }
}
