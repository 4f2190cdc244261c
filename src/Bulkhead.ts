/**
 * A limit on how many calls run at once, so that a slow dependency cannot take
 * all of a program's fibers, connections or memory.
 *
 * **Details**
 *
 * A bulkhead has slots, and a queue of bounded length for callers who would
 * rather wait than be turned away. Slots are handed over in order of arrival:
 * a newcomer never overtakes someone who waits. A call that finds no slot and
 * no place in the queue, or has waited its longest, fails with
 * `BulkheadFullError` and does not run.
 *
 * A rejection is no verdict on the dependency: circuits ignore it.
 *
 * **Gotchas**
 *
 * - A call that runs in a bulkhead and makes another call through the same
 *   bulkhead needs two slots. With a queue, such calls can wait for each other
 *   until `maxWait` ends: use two bulkheads.
 * - A slot is held until the call has ended, finalizers included. A call that
 *   is cut off by a timeout with `disconnect` keeps its slot until it has ended
 *   in the background, which is what it costs.
 *
 * **Example** (Limiting concurrent calls)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Bulkhead } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const bulkhead = yield* Bulkhead.make({ name: "reports", limit: 2, queue: 1 })
 *   const report = Effect.as(Effect.sleep("10 millis"), "done").pipe(
 *     Bulkhead.withBulkhead(bulkhead),
 *     Effect.catchTag("BulkheadFullError", () => Effect.succeed("rejected"))
 *   )
 *   return yield* Effect.all([report, report, report, report], { concurrency: "unbounded" })
 * })
 *
 * await Effect.runPromise(program) // => ["done", "done", "done", "rejected"]
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import { setAlarm } from "./internal/time/alarm.ts"
import { checkCount, checkDuration, checkOptions, checkString, refuse } from "./internal/check.ts"
import { isolated } from "./internal/isolated.ts"
import { countLeftBehind, leftBehindSince } from "./internal/time/leftBehind.ts"
import { LinkedQueue } from "./internal/linkedQueue.ts"
import { onExitInStep } from "./internal/oneStep.ts"
import { Recorder, recorderOf } from "./internal/telemetry/recorder.ts"
import { bulkheadFullError } from "./internal/error/rejection.ts"
import { type Definition, getService, guard, remember } from "./internal/serviceNames.ts"
import type { BulkheadFullError } from "./ResilienceError.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-resilience/Bulkhead"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-resilience/Bulkhead"

/**
 * A limit on concurrent calls.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bulkhead {
  readonly [TypeId]: TypeId

  /** Names the bulkhead in errors. */
  readonly name: string

  /** How it limits, as `at most 10 calls at once, queue of 5, waiting up to 1s`. */
  readonly description: string

  /** Runs an effect in a slot, or fails with `BulkheadFullError` without running it. */
  readonly execute: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | BulkheadFullError, R>

  /** How many calls may run at once. */
  readonly limit: Effect.Effect<number>

  /** Slots that are taken. */
  readonly inFlight: Effect.Effect<number>

  /** Slots that are free. */
  readonly available: Effect.Effect<number>

  /** Calls that wait for a slot. */
  readonly queued: Effect.Effect<number>

  /** Calls that were turned away since the bulkhead was made. */
  readonly rejected: Effect.Effect<number>

  /**
   * Sets how many calls may run at once, from 1. A higher limit lets queued
   * calls run at once. A lower one stops no call that runs: until enough have
   * ended, more are in flight than the limit.
   */
  readonly resize: (limit: number) => Effect.Effect<void>
}

/**
 * How a bulkhead limits calls.
 *
 * **Details**
 *
 * - `limit`: calls that run at once, from 1.
 * - `queue`: calls that may wait for a slot, from 0; none by default. May be
 *   `Infinity` if `maxWait` is finite.
 * - `maxWait`: longest wait for a slot; 30 seconds by default. Zero lets no call
 *   wait, `Duration.infinity` sets no limit. Needs a `queue`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly limit: number
  readonly queue?: number | undefined
  readonly maxWait?: Duration.Input | undefined
}

/**
 * Whether a value is a bulkhead.
 *
 * @category guards
 * @since 0.1.0
 */
export const isBulkhead = (u: unknown): u is Bulkhead => Predicate.hasProperty(u, TypeId)

/**
 * Makes a bulkhead.
 *
 * **Details**
 *
 * Its name is `"bulkhead"` by default. Throws a `RangeError` if an option is
 * out of its range.
 *
 * **Example** (Waiting for a slot)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Bulkhead } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const bulkhead = yield* Bulkhead.make({ name: "db", limit: 1, queue: 10, maxWait: "5 millis" })
 *   yield* Effect.forkChild(bulkhead.execute(Effect.never), { startImmediately: true })
 *   const error = yield* Effect.flip(bulkhead.execute(Effect.succeed("row")))
 *   return [error.message, yield* bulkhead.inFlight, yield* bulkhead.queued, bulkhead.description]
 * })
 *
 * const [message, inFlight, queued, description] = await Effect.runPromise(program)
 * message // => 'Bulkhead "db" is full: 1 call is running'
 * inFlight // => 1
 * queued // => 0
 * description // => "at most 1 call at once, queue of 10, waiting up to 5ms"
 * ```
 *
 * @see {@link Service} for a bulkhead that is provided by Layer
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options & { readonly name?: string | undefined }): Effect.Effect<Bulkhead> => {
  const size = parse("Bulkhead.make", options, ["name", ...OPTIONS])
  const name = checkString("Bulkhead.make: name", options.name ?? "bulkhead")
  return Effect.sync(() => new Slots(name, size))
}

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * What to run a call in: a bulkhead, or the class of a bulkhead service.
 *
 * @category models
 * @since 0.1.0
 */
export type Target = Bulkhead | Context.Key<unknown, Bulkhead>

/**
 * What a call in a target needs: the service for its class, nothing for a
 * bulkhead.
 *
 * @category utility types
 * @since 0.1.0
 */
export type TargetServices<T> = T extends Context.Key<infer Identifier, Bulkhead> ? Identifier : never

/**
 * Runs an effect in a slot of a bulkhead, or fails with `BulkheadFullError`
 * without running it.
 *
 * **Details**
 *
 * Waiting for a slot can be interrupted at any moment, and so can the call. A
 * slot that was handed to a caller who is interrupted before it runs goes to
 * the next in the queue.
 *
 * **Example** (Running a call in a bulkhead)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Bulkhead } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const bulkhead = yield* Bulkhead.make({ name: "payments", limit: 10 })
 *   return yield* Effect.succeed("charged").pipe(Bulkhead.withBulkhead(bulkhead))
 * })
 *
 * await Effect.runPromise(program) // => "charged"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const withBulkhead: {
  <T extends Target>(
    target: T
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | BulkheadFullError, R | TargetServices<T>>
  <A, E, R, T extends Target>(
    self: Effect.Effect<A, E, R>,
    target: T
  ): Effect.Effect<A, E | BulkheadFullError, R | TargetServices<T>>
} = ((...args: [self: AnyCall, target: Target] | [target: Target]) => {
  const [first, second] = args
  if (args.length > 1) return runIn(checkTarget(second), first as AnyCall)
  const target = checkTarget(first)
  return (self: AnyCall) => runIn(target, self)
}) as never

// -----------------------------------------------------------------------------
// services
// -----------------------------------------------------------------------------

/**
 * Class of a service that is one bulkhead, see `Service`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServiceClass<Self, Name extends string>
  extends Context.ServiceClass<Self, `effect-resilience/Bulkhead/${Name}`, Bulkhead>
{
  /** How its bulkhead limits, unless it is resized. */
  readonly description: string
  /** A bulkhead of its own. */
  readonly layer: Layer.Layer<Self>
}

/**
 * Makes the class of a service that is one bulkhead.
 *
 * **When to use**
 *
 * Use when calls from several places share their slots, and a program should
 * name the bulkhead it needs in its type.
 *
 * **Details**
 *
 * Throws a `RangeError` if an option is out of its range.
 *
 * **Gotchas**
 *
 * The name is the key of the service. Where two classes of one name and
 * different options are provided together, the one that meets the bulkhead of
 * the other dies with a `RangeError`.
 *
 * **Example** (Providing a bulkhead by Layer)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Bulkhead } from "effect-resilience"
 *
 * class PaymentSlots extends Bulkhead.Service<PaymentSlots>()("payments", { limit: 10 }) {}
 *
 * const charge = Effect.succeed("charged").pipe(Bulkhead.withBulkhead(PaymentSlots))
 *
 * await Effect.runPromise(charge.pipe(Effect.provide(PaymentSlots.layer))) // => "charged"
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const Service = <Self>() =>
<const Name extends string>(
  name: Name,
  options: Options
): ServiceClass<Self, Name> => {
  const size = parse("Bulkhead.Service", options, OPTIONS)
  checkString("Bulkhead.Service: name", name)
  const definition: Definition = { maker: "Bulkhead.Service", name, settings: size }
  const tag = guard(Context.Service<Self, Bulkhead>()(`effect-resilience/Bulkhead/${name}` as const), definition)
  return Object.assign(tag, {
    description: describe(size),
    layer: Layer.effect(
      tag,
      Effect.gen(function*() {
        const slots = remember(new Slots(name, size), definition)
        const recorder = yield* Recorder
        if (recorder !== undefined) yield* recorder.watchBulkhead(slots)
        return slots
      })
    )
  })
}

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

interface Size {
  readonly limit: number
  readonly queue: number
  readonly maxWait: Duration.Duration
}

const OPTIONS = ["limit", "queue", "maxWait"]

/** Longer than callers are ready to wait, and short of never. */
const DEFAULT_MAX_WAIT: Duration.Input = "30 seconds"

const parse = (caller: string, options: Options, known: ReadonlyArray<string>): Size => {
  const { limit, maxWait, queue } = checkOptions(caller, options, known)
  if (maxWait !== undefined && queue === undefined) {
    throw new RangeError(`${caller}: maxWait must come with a queue to wait in, got no queue`)
  }
  const size = {
    limit: checkCount(`${caller}: limit`, limit),
    queue: queue === undefined ? 0 : checkQueue(caller, queue),
    maxWait: checkDuration(`${caller}: maxWait`, maxWait ?? DEFAULT_MAX_WAIT)
  }
  if (size.queue === Infinity && !Duration.isFinite(size.maxWait)) {
    throw new RangeError(`${caller}: queue must be finite where maxWait is infinite, got Infinity`)
  }
  return size
}

const checkQueue = (caller: string, queue: number): number => {
  if ((Number.isSafeInteger(queue) && queue >= 0) || queue === Infinity) return queue
  return refuse(`${caller}: queue`, "an integer >= 0 or Infinity", queue)
}

type AnyCall = Effect.Effect<unknown, unknown>

const checkTarget = (target: unknown): Target =>
  isBulkhead(target) || Context.isKey(target)
    ? target as Target
    : refuse(
      "Bulkhead.withBulkhead: the bulkhead",
      "a value made with Bulkhead.make or the class of a service",
      target
    )

const runIn = (target: Target, self: AnyCall): AnyCall =>
  isBulkhead(target)
    ? target.execute(self)
    : Effect.withFiber((fiber) => getService(fiber.context, target).execute(self))

const describe = ({ limit, maxWait, queue }: Size): string => {
  const calls = `at most ${limit} ${limit === 1 ? "call" : "calls"} at once`
  if (queue === 0 || Duration.isZero(maxWait)) return `${calls}, no queue`
  const waiting = queue === Infinity ? `${calls}, queue without bound` : `${calls}, queue of ${queue}`
  return Duration.isFinite(maxWait) ? `${waiting}, waiting up to ${Duration.format(maxWait)}` : waiting
}

/**
 * One call that has to queue. One that is handed a slot is `Inside` from that
 * moment, though its fiber has yet to be resumed.
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
 * The slots and the queue. While anyone waits no slot is free: a slot that is
 * given back goes to the first in the queue in the same step. So there is
 * nothing a newcomer could snatch.
 */
class Slots implements Bulkhead {
  readonly [TypeId]: TypeId = TypeId
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
    recorderOf(fiber)?.onBulkheadFull(this.name)
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
