/**
 * Starts another attempt when a call is slow, and takes the first success.
 *
 * A few calls of a healthy dependency are much slower than the rest: a pause, a
 * lost packet, a busy node. A second attempt at that moment nearly always ends
 * before the first would have.
 *
 * **Details**
 *
 * - The next attempt starts when the last one has run for `delay` without a
 *   result, or at once when an attempt fails.
 * - The first success wins. The other attempts are interrupted; circuits ignore
 *   such interruptions.
 * - If every attempt fails, the call fails with the last error. Its error
 *   channel is unchanged.
 *
 * Constructors and combinators throw a `RangeError` if an option is unknown or
 * out of its range. A `delay` function that returns no valid duration makes the
 * call die with one.
 *
 * **Gotchas**
 *
 * - Only hedge calls that may run twice, such as reads and writes with an
 *   idempotency key. An attempt that is interrupted may have had its effect on
 *   the other side, and two attempts may both have it.
 * - Hedges are load. Choose a `delay` near the 95th percentile, so that one call
 *   in twenty is hedged, and set a `budget`: when the dependency slows down as a
 *   whole, every call would be.
 * - An attempt runs in a fiber of its own: fibers it forks as children end with
 *   it.
 *
 * **Example** (Hedging a read)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Hedge } from "effect-resilience"
 *
 * let attempts = 0
 * const read = Effect.suspend(() => ++attempts === 1 ? Effect.never : Effect.succeed("row"))
 *
 * const program = read.pipe(Hedge.withHedge({ delay: "10 millis" }))
 *
 * await Effect.runPromise(program) // => "row"
 * attempts // => 2
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Attempts from "./internal/hedge/attempts.ts"
import * as Policy from "./internal/hedge/policy.ts"
import type * as RetryBudget from "./RetryBudget.ts"

/**
 * Identifies a `HedgePolicy` at runtime.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = Policy.TypeId

/**
 * Identifies a `HedgePolicy` in types.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-resilience/HedgePolicy"

/**
 * When to hedge, for errors of any type.
 *
 * **Details**
 *
 * - `delay`: how long an attempt runs without a result before the next starts.
 *   Zero starts all at once, an infinite one starts the next only after a
 *   failure. A function gets the number of the hedge, from 1, and is called when
 *   the attempt before it starts.
 * - `maxHedges`: attempts besides the first, from 1 to 100; 1 by default.
 * - `awaitLosers`: wait for the finalizers of the attempts that lost before the
 *   call ends; `false` by default, when they end in the background. A call that
 *   is interrupted itself always waits for them.
 * - `budget`: bounds the hedges of all calls that share it; none by default.
 *   Each call earns, each hedge costs, and a call whose hedge is refused goes on
 *   with the attempts it has. A budget, or the class of a budget service.
 * - `operation`: names the call in metrics; the name of the pipeline by
 *   default, `call` outside of one.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface PlainOptions<out R = never> {
  readonly delay: Duration.Input | ((hedge: number) => Duration.Input)
  readonly maxHedges?: number | undefined
  readonly awaitLosers?: boolean | undefined
  readonly budget?: RetryBudget.Target<R> | undefined
  readonly operation?: string | undefined
  readonly while?: undefined
  readonly onHedge?: undefined
}

/**
 * When to hedge.
 *
 * **Details**
 *
 * Besides the {@link PlainOptions}:
 *
 * - `while`: whether to hedge after an error; always by default. An error it
 *   refuses ends the call at once. It is not asked about the rejections of
 *   circuits, bulkheads and rate limits.
 * - `onHedge`: runs when another attempt starts, in a fiber of its own: it
 *   cannot delay the call, and its failure is logged.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Options<in E = unknown, out R = never> extends Omit<PlainOptions<R>, "while" | "onHedge"> {
  readonly while?: ((error: E) => boolean) | undefined
  readonly onHedge?: ((hedge: HedgeInfo) => Effect.Effect<unknown, unknown, R>) | undefined
}

/**
 * Another attempt that starts.
 *
 * **Details**
 *
 * - `hedge`: its number, from 1.
 * - `reason`: why; the attempt before it is `slow`, or one has `failed`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface HedgeInfo {
  readonly hedge: number
  readonly reason: "slow" | "failed"
}

/**
 * When to hedge, as a value that many calls can share.
 *
 * @see {@link make} for creating one
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface HedgePolicy<in E = unknown, out R = never> {
  readonly [TypeId]: TypeId
  readonly delay: Duration.Duration | ((hedge: number) => Duration.Input)
  readonly maxHedges: number
  readonly awaitLosers: boolean
  readonly budget: RetryBudget.Target<R> | undefined
  readonly operation: string | undefined
  readonly while: ((error: E) => boolean) | undefined
  readonly onHedge: ((hedge: HedgeInfo) => Effect.Effect<unknown, unknown, R>) | undefined
  /** The policy in words, as `up to 2 hedges, each after 100ms`. */
  readonly description: string
}

/**
 * Whether a value is a `HedgePolicy`.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isHedgePolicy = (u: unknown): u is HedgePolicy => Predicate.hasProperty(u, TypeId)

/**
 * Creates a policy.
 *
 * **When to use**
 *
 * Use when several calls are hedged alike, and for calls that are made often:
 * the options are checked here once, instead of once per call.
 *
 * **Example** (Sharing a policy)
 *
 * ```ts import.meta.vitest
 * import { Hedge } from "effect-resilience"
 *
 * const policy = Hedge.make({ delay: "100 millis", maxHedges: 2 })
 *
 * policy.description // => "up to 2 hedges, each after 100ms"
 * ```
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export function make<E = unknown>(options: Options<E>): HedgePolicy<E>
export function make<E = unknown, R = never>(options: Options<E, R>): HedgePolicy<E, R>
// The first overload keeps what a policy needs from being inferred from where it is written.
export function make<E, R>(options: Options<E, R>): HedgePolicy<E, R> {
  return Policy.make(options)
}

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * Starts another attempt of an effect when it is slow or fails, and takes the
 * first success.
 *
 * **Details**
 *
 * Takes a policy or its options. The end of an attempt decides how the call
 * goes on:
 *
 * - A success ends the call.
 * - A failure starts the next attempt at once, if one is left. The call goes on
 *   while any attempt runs.
 * - An error that `while` refuses, a defect, and an attempt that interrupts
 *   itself end the call at once.
 * - A rejection by a circuit, bulkhead or rate limit inside the attempt, and an
 *   error with a `retryAfter`, start no more attempts: the dependency wants
 *   fewer calls. The attempts that run go on.
 *
 * The call fails with the error of its last attempt. If attempts were made and
 * another one was rejected, it fails with an error of those that were made,
 * with the rejection as a further reason of the cause.
 *
 * An attempt gets its fiber when it starts. Interrupting the call interrupts
 * all attempts and waits for their finalizers.
 *
 * **Gotchas**
 *
 * - A loser that does not react to interruption goes on in the background and
 *   may outlive the scope of the caller and the services in it. Use
 *   `awaitLosers` where that matters more than time.
 * - Attempts that run at the same time each take a slot of a bulkhead and a
 *   permit of a rate limit inside.
 *
 * **Example** (Ending the call with an answer)
 *
 * ```ts import.meta.vitest
 * import { Data, Effect } from "effect"
 * import { Hedge } from "effect-resilience"
 *
 * class NotFound extends Data.TaggedError("NotFound") {}
 * class Unavailable extends Data.TaggedError("Unavailable") {}
 *
 * let attempts = 0
 * const find = Effect.suspend((): Effect.Effect<string, NotFound | Unavailable> =>
 *   Effect.fail(++attempts === 1 ? new Unavailable() : new NotFound())
 * ).pipe(
 *   Hedge.withHedge({ delay: "1 second", maxHedges: 5, while: (error) => error._tag === "Unavailable" })
 * )
 *
 * const error = await Effect.runPromise(Effect.flip(find))
 * error._tag // => "NotFound"
 * attempts // => 2
 * ```
 *
 * @see {@link make} for a policy that many calls share
 *
 * @stability stable
 * @category combinators
 * @since 0.1.0
 */
export function withHedge<E, R2>(
  policy: HedgePolicy<E, R2>
): <A, E1 extends E, R>(self: Effect.Effect<A, E1, R>) => Effect.Effect<A, E1, R | R2>
export function withHedge<R2 = never>(
  options: PlainOptions<R2>
): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R | R2>
export function withHedge<E, R2 = never>(
  options: Options<E, R2>
): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R | R2>
export function withHedge<A, E extends E0, R, R2, E0>(
  self: Effect.Effect<A, E, R>,
  policy: HedgePolicy<E0, R2>
): Effect.Effect<A, E, R | R2>
export function withHedge<A, E, R, R2 = never>(
  self: Effect.Effect<A, E, R>,
  options: Options<E, R2>
): Effect.Effect<A, E, R | R2>
export function withHedge<A, E, R, R2>(
  selfOrOptions: Effect.Effect<A, E, R> | Options<E, R2> | HedgePolicy<E, R2>,
  options?: Options<E, R2> | HedgePolicy<E, R2>
): unknown {
  // Not `dual`: options that are used for many calls are checked once, where they are written.
  if (Effect.isEffect(selfOrOptions)) {
    return Attempts.execute(selfOrOptions as Effect.Effect<A, E, R>, Policy.policyOf(options!))
  }
  const policy = Policy.policyOf(selfOrOptions)
  return <A, R>(self: Effect.Effect<A, E, R>) => Attempts.execute(self, policy)
}
