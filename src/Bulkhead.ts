/**
 * Limits how many calls run at once, so that a slow dependency cannot take all
 * fibers, connections or memory of a program.
 *
 * **Details**
 *
 * A bulkhead has slots, and may have a queue of bounded length. Calls get slots
 * in order of arrival. A call that finds no slot and no place in the queue, or
 * has waited for `maxWait`, fails with `BulkheadFullError` and does not run.
 * Circuits ignore such a rejection.
 *
 * Constructors and combinators throw a `RangeError` if an option is unknown or
 * out of its range.
 *
 * **Gotchas**
 *
 * - A call that runs in a bulkhead and makes another call through the same
 *   bulkhead needs two slots. With a queue, such calls can wait for each other
 *   until `maxWait` ends: use two bulkheads.
 * - A slot is held until the call has ended, finalizers included. A call that
 *   is cut off by a timeout with `disconnect` keeps its slot until it has ended
 *   in the background.
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
 * @stability stable
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, NAMED_OPTIONS, OPTIONS, parse } from "./internal/bulkhead/size.ts"
import * as Slots from "./internal/bulkhead/slots.ts"
import { checkName } from "./internal/check.ts"
import { type Definition, guard, remember } from "./internal/serviceNames.ts"
import { checkTarget, findTarget, isDataFirst, isTarget as isTargetOf } from "./internal/target.ts"
import { watchedBy } from "./internal/telemetry/recorder.ts"
import type { BulkheadFullError } from "./ResilienceError.ts"

/**
 * Identifies a `Bulkhead` at runtime.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = Slots.TypeId

/**
 * Identifies a `Bulkhead` in types.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-resilience/Bulkhead"

/**
 * A limit on concurrent calls.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Bulkhead {
  readonly [TypeId]: TypeId

  /** Names the bulkhead in errors. */
  readonly name: string

  /** The bulkhead in words, as `at most 10 calls at once, queue of 5, waiting up to 1s`. */
  readonly description: string

  /** Runs an effect in a slot, or fails with `BulkheadFullError` without running it. */
  readonly execute: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | BulkheadFullError, R>

  /** The number of calls that may run at once. */
  readonly limit: Effect.Effect<number>

  /** Slots that are taken. */
  readonly inFlight: Effect.Effect<number>

  /** Slots that are free. */
  readonly available: Effect.Effect<number>

  /** Calls that wait for a slot. */
  readonly queued: Effect.Effect<number>

  /** Calls that were rejected since the bulkhead was created. */
  readonly rejected: Effect.Effect<number>

  /**
   * Sets how many calls may run at once, from 1. A higher limit starts queued
   * calls. A lower one stops no call that runs: until enough have ended, more
   * are in flight than the limit.
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
 * @stability stable
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
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isBulkhead: (u: unknown) => u is Bulkhead = Slots.isBulkhead

/**
 * Creates a bulkhead. Its name is `"bulkhead"` by default.
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
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options & { readonly name?: string | undefined }): Effect.Effect<Bulkhead> => {
  const size = parse("Bulkhead.make", options, NAMED_OPTIONS)
  const name = checkName("Bulkhead.make: name", options.name ?? "bulkhead")
  return Effect.sync(() => new Slots.Slots(name, size))
}

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * Where a call runs: in a bulkhead, or in that of a service by its class.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type Target = Bulkhead | Context.Key<unknown, Bulkhead>

/**
 * The service that a target needs: that of its class, nothing for a bulkhead.
 *
 * @stability stable
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
 * Waiting for a slot can be interrupted at any moment, and so can the call. The
 * slot of a call that is interrupted before it runs goes to the next in the
 * queue.
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
 * @stability stable
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
  if (isDataFirst(isTarget, args)) return executeIn(check(second), first as AnyCall)
  const target = check(first)
  return (self: AnyCall) => executeIn(target, self)
}) as never

const isTarget = (u: unknown): u is Target => isTargetOf(Slots.BULKHEAD, u)

const check = (target: unknown): Target => checkTarget(Slots.BULKHEAD, "Bulkhead.withBulkhead: the bulkhead", target)

const executeIn = (target: Target, self: AnyCall): AnyCall =>
  isBulkhead(target)
    ? target.execute(self)
    : Effect.withFiber((fiber) => findTarget(Slots.BULKHEAD, fiber.context, target).execute(self))

type AnyCall = Effect.Effect<unknown, unknown>

// -----------------------------------------------------------------------------
// services
// -----------------------------------------------------------------------------

/**
 * Class of a bulkhead service, see `Service`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface ServiceClass<Self, Name extends string>
  extends Context.ServiceClass<Self, `effect-resilience/Bulkhead/${Name}`, Bulkhead>
{
  /** The bulkhead in words, unless it is resized. */
  readonly description: string
  /** Provides a bulkhead of its own. */
  readonly layer: Layer.Layer<Self>
}

/**
 * Creates the class of a bulkhead service with its own layer.
 *
 * **When to use**
 *
 * Use when calls from several places share their slots, and a program should
 * name the bulkhead it needs in its type.
 *
 * **Gotchas**
 *
 * The name is the key of the service. Where two classes of one name and
 * different options are provided together, calls that find the bulkhead of the
 * other class die with a `RangeError`.
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
 * @stability stable
 * @category services
 * @since 0.1.0
 */
export const Service = <Self>() =>
<const Name extends string>(
  name: Name,
  options: Options
): ServiceClass<Self, Name> => {
  const size = parse("Bulkhead.Service", options, OPTIONS)
  checkName("Bulkhead.Service: name", name)
  const definition: Definition = { maker: "Bulkhead.Service", name, settings: size }
  const tag = guard(Context.Service<Self, Bulkhead>()(`effect-resilience/Bulkhead/${name}` as const), definition)
  return Object.assign(tag, {
    description: describe(size),
    layer: Layer.effect(
      tag,
      Effect.gen(function*() {
        const slots = remember(new Slots.Slots(name, size), definition)
        yield* watchedBy((recorder) => recorder.watchBulkhead(slots))
        return slots
      })
    )
  })
}
