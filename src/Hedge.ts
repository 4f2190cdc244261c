/**
 * Sends a second attempt when the first is slow, and takes the first success.
 *
 * A few calls of a healthy dependency are much slower than the rest: a pause, a
 * lost packet, a busy node. A second attempt at that moment is almost always
 * done before the first would have been.
 *
 * **Details**
 *
 * - The next attempt starts when the last one has run for `delay` without a
 *   result, or at once when an attempt fails.
 * - The first success wins. The others are interrupted, which says nothing
 *   about the dependency: circuits ignore it.
 * - The call fails when the last attempt that runs has failed and no other may
 *   start, with that last error. Its error channel is the same as without.
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
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { checkCount, checkDuration, checkFunction, checkOptions } from "./internal/check.ts"
import { monotonicMillis } from "./internal/time/monotonic.ts"
import { recorderOf } from "./internal/telemetry/recorder.ts"
import { getService } from "./internal/serviceNames.ts"
import * as Outcome from "./Outcome.ts"
import { checkBudget, isRetryBudget, type RetryBudget } from "./RetryBudget.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-resilience/HedgePolicy"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-resilience/HedgePolicy"

/**
 * When to hedge, whatever the error.
 *
 * **Details**
 *
 * - `delay`: how long an attempt runs without a result before the next starts.
 *   Zero starts all at once, an infinite one starts the next only after a
 *   failure. A function gets the number of the hedge, from 1, and is asked when
 *   the attempt before it starts.
 * - `maxHedges`: attempts besides the first, from 1 to 100; 1 by default.
 * - `awaitLosers`: do not end the call before the finalizers of the attempts
 *   that lost have run; `false` by default, when they end in the background. A
 *   call that is interrupted itself always waits for them.
 * - `budget`: bounds the hedges of all calls that share it; none by default.
 *   Each call earns, each hedge costs, and a call whose hedge is refused goes on
 *   with the attempts it has. A budget, or the class of a budget service.
 * - `operation`: names the call in metrics; the name of the pipeline by
 *   default, `call` outside of one.
 *
 * @category models
 * @since 0.1.0
 */
export interface PlainOptions<out R = never> {
  readonly delay: Duration.Input | ((hedge: number) => Duration.Input)
  readonly maxHedges?: number | undefined
  readonly awaitLosers?: boolean | undefined
  readonly budget?: RetryBudget | Context.Key<R, RetryBudget> | undefined
  readonly operation?: string | undefined
  readonly when?: undefined
  readonly onHedge?: undefined
}

/**
 * When to hedge.
 *
 * **Details**
 *
 * Besides the {@link PlainOptions}:
 *
 * - `when`: whether another attempt may help after an error; always by
 *   default. An error it refuses is an answer and ends the call at once. It is
 *   not asked about the rejections of circuits, bulkheads and rate limits.
 * - `onHedge`: runs when another attempt starts, on its own: it cannot delay
 *   the call, and if it fails that is logged.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in E = unknown, out R = never> extends Omit<PlainOptions<R>, "when" | "onHedge"> {
  readonly when?: ((error: E) => boolean) | undefined
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
 * @category models
 * @since 0.1.0
 */
export interface HedgePolicy<in E = unknown, out R = never> {
  readonly [TypeId]: TypeId
  readonly delay: Duration.Duration | ((hedge: number) => Duration.Input)
  readonly maxHedges: number
  readonly awaitLosers: boolean
  readonly budget: RetryBudget | Context.Key<R, RetryBudget> | undefined
  readonly operation: string | undefined
  readonly when: ((error: E) => boolean) | undefined
  readonly onHedge: ((hedge: HedgeInfo) => Effect.Effect<unknown, unknown, R>) | undefined
  /** The policy in words, as `up to 2 hedges, each after 100ms`. */
  readonly description: string
}

/**
 * Whether a value is a `HedgePolicy`.
 *
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
 * **Details**
 *
 * Throws a `RangeError` if an option is out of its range. A `delay` function
 * that gives no valid duration makes the call die with one.
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
 * @category constructors
 * @since 0.1.0
 */
export function make<E = unknown>(options: Options<E>): HedgePolicy<E>
export function make<E = unknown, R = never>(options: Options<E, R>): HedgePolicy<E, R>
// The first overload keeps what a policy needs from being inferred from where it is written.
export function make<E, R>(options: Options<E, R>): HedgePolicy<E, R> {
  return makePolicy(checkOptions("Hedge.make", options, OPTIONS))
}

const OPTIONS = [
  "delay",
  "maxHedges",
  "awaitLosers",
  "budget",
  "operation",
  "when",
  "onHedge"
] as const satisfies ReadonlyArray<keyof Options>

const makePolicy = <E, R>(options: Options<E, R>): HedgePolicy<E, R> => ({
  [TypeId]: TypeId,
  delay: typeof options.delay === "function" ? options.delay : checkDelay(options.delay),
  maxHedges: checkCount("Hedge.make: maxHedges", options.maxHedges ?? 1, 100),
  awaitLosers: options.awaitLosers === true,
  budget: checkBudget("Hedge.make: budget", options.budget),
  operation: options.operation,
  when: checkFunction("Hedge.make: when", options.when),
  onHedge: checkFunction("Hedge.make: onHedge", options.onHedge),
  get description() {
    return describe(this)
  }
})

/**
 * Says in words when a policy or its options hedge.
 *
 * @category getters
 * @since 0.1.0
 */
export const describe = (options: Options<never, unknown> | HedgePolicy<never, unknown>): string => {
  const { budget, delay, maxHedges } = policyOf(options)
  const hedges = maxHedges === 1 ? "1 hedge" : `up to ${maxHedges} hedges`
  const each = maxHedges === 1 ? "" : "each "
  const when = typeof delay === "function"
    ? `${each}after a computed delay`
    : !Duration.isFinite(delay)
    ? `${each}after a failure`
    : Duration.isZero(delay)
    ? "at once"
    : `${each}after ${Duration.format(delay)}`
  return `${hedges}, ${when}${budget === undefined ? "" : ", within a budget"}`
}

const checkDelay = (delay: Duration.Input): Duration.Duration => checkDuration("Hedge.make: delay", delay)

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * Starts another attempt of an effect when it is slow or has failed, and takes
 * the first success.
 *
 * **Details**
 *
 * Takes a policy or its options. What an attempt that ends means:
 *
 * - A success ends the call.
 * - A failure starts the next attempt at once, if one is left. The call goes on
 *   while any attempt runs.
 * - An error that `when` refuses, a defect, and an attempt that interrupts
 *   itself end the call at once.
 * - A rejection by a circuit, bulkhead or rate limit inside the attempt, and an
 *   error with a `retryAfter`, start no more attempts: the dependency wants
 *   fewer calls. Those that run go on.
 *
 * The call fails with the error of its last attempt. If attempts were made and
 * another one was rejected, that is an error of those that were made, with the
 * rejection as a further reason of the cause.
 *
 * No fiber is started for an attempt before its time. Interrupting the call
 * interrupts all attempts and waits for their finalizers.
 *
 * Throws a `RangeError` if an option is out of its range.
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
 *   Hedge.withHedge({ delay: "1 second", maxHedges: 5, when: (error) => error._tag === "Unavailable" })
 * )
 *
 * const error = await Effect.runPromise(Effect.flip(find))
 * error._tag // => "NotFound"
 * attempts // => 2
 * ```
 *
 * @see {@link make} for a policy that many calls share
 *
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
export function withHedge<A, E, R, R2 = never>(
  self: Effect.Effect<A, E, R>,
  options: Options<E, R2> | HedgePolicy<E, R2>
): Effect.Effect<A, E, R | R2>
export function withHedge<A, E, R, R2>(
  ...args:
    | [options: Options<E, R2> | HedgePolicy<E, R2>]
    | [self: Effect.Effect<A, E, R>, options: Options<E, R2> | HedgePolicy<E, R2>]
): unknown {
  // Not `dual`: options that are used for many calls are checked once, where they are written.
  if (args.length === 2) return run(args[0], policyOf(args[1]))
  const policy = policyOf(args[0])
  return <A, R>(self: Effect.Effect<A, E, R>) => run(self, policy)
}

const policyOf = <E, R>(options: Options<E, R> | HedgePolicy<E, R>): HedgePolicy<E, R> =>
  isHedgePolicy(options) ? options : make(options)

const run = <A, E, R, R2>(
  self: Effect.Effect<A, E, R>,
  policy: HedgePolicy<E, R2>
): Effect.Effect<A, E, R | R2> =>
  Effect.withFiber((caller) => {
    const race = new Race<A, E, R, R2>(self, policy, caller)
    // In place before the first attempt starts: whatever the call is doing when it ends, `end` stops the rest.
    return Effect.onExitPrimitive(
      Effect.callback<A, E>((resume) => race.begin(resume)),
      () => race.end()
    )
  })

/** The attempts of one call. */
class Race<A, E, R, R2> {
  private readonly self: Effect.Effect<A, E, R>
  private readonly policy: HedgePolicy<E, R2>
  private readonly caller: Fiber.Fiber<unknown, unknown>
  private readonly budget: RetryBudget | undefined
  private resume: ((exit: Exit.Exit<A, E>) => void) | undefined
  private readonly running = new Set<Fiber.Fiber<unknown, unknown>>()
  private timer: Fiber.Fiber<void> | undefined
  private hedges = 0
  private left: number
  private decided = false
  /** How the last attempt that was made failed, and what rejected the last one that was not. */
  private failure: Cause.Cause<E> | undefined
  private rejection: Cause.Cause<E> | undefined
  private startedAt = 0

  constructor(self: Effect.Effect<A, E, R>, policy: HedgePolicy<E, R2>, caller: Fiber.Fiber<unknown, unknown>) {
    this.self = self
    this.policy = policy
    this.caller = caller
    this.left = policy.maxHedges
    this.budget = policy.budget === undefined || isRetryBudget(policy.budget)
      ? policy.budget
      : getService(caller.context, policy.budget)
  }

  begin(resume: (exit: Exit.Exit<A, E>) => void): void {
    this.resume = resume
    if (this.budget !== undefined) this.budget.depositUnsafe(this.startedAt = this.now())
    this.start()
  }

  /** Stops what still runs. Waits for it unless the call has its result. */
  end(): Effect.Effect<void> | undefined {
    const wait = !this.decided || this.policy.awaitLosers
    this.decided = true
    this.stopTimer()
    for (const attempt of this.running) attempt.interruptUnsafe(this.caller.id)
    return wait && this.running.size > 0 ? Effect.asVoid(Fiber.awaitAll([...this.running])) : undefined
  }

  private start(): void {
    // The caller's `onHedge` may have ended the call.
    if (this.decided) return
    const { hedges } = this
    // It joins the others before it does anything, since what it does may end the call.
    const attempt = this.fork(Effect.withFiber((fiber) => {
      this.running.add(fiber)
      return this.self
    }))
    this.running.add(attempt)
    attempt.addObserver((exit) => {
      this.running.delete(attempt)
      if (!this.decided) this.guard(() => this.onEnd(exit))
    })
    // The attempt may have ended by now, and even have been followed by another.
    if (!this.decided && this.hedges === hedges) this.guard(() => this.startTimer())
  }

  private onEnd(exit: Exit.Exit<A, E>): void {
    if (Exit.isSuccess(exit)) return this.decide(exit)
    const { cause } = exit
    const error = Cause.hasDies(cause) ? Option.none() : Cause.findErrorOption(cause)
    if (Option.isNone(error)) return this.decide(exit)
    if (Outcome.isNotMade(error.value)) {
      this.rejection = cause
      this.left = 0
      return this.failIfLast()
    }
    this.failure = cause
    if (this.policy.when?.(error.value) === false) return this.decide(exit)
    if (asksToWait(error.value)) this.left = 0
    else if (this.hedge("failed")) return
    this.failIfLast()
  }

  /** With the error of an attempt if one was made, since a rejection alone would say that none was. */
  private failIfLast(): void {
    if (this.running.size > 0) return
    const { failure, rejection } = this
    if (failure === undefined) this.budget?.refundUnsafe(this.startedAt, this.now())
    this.decide(Exit.failCause(
      failure === undefined || rejection === undefined ? failure ?? rejection! : Cause.combine(failure, rejection)
    ))
  }

  /** Starts the next attempt, if there may be one. */
  private hedge(reason: HedgeInfo["reason"]): boolean {
    this.stopTimer()
    if (this.left === 0 || this.budget?.tryWithdrawUnsafe(this.now()) === false) return false
    this.left--
    this.hedges++
    recorderOf(this.caller)?.onHedge(this.policy.operation ?? "call")
    if (this.policy.onHedge !== undefined) this.notify(this.policy.onHedge, { hedge: this.hedges, reason })
    this.start()
    return true
  }

  private startTimer(): void {
    if (this.left === 0) return
    const { delay } = this.policy
    const wait = typeof delay === "function" ? checkDelay(delay(this.hedges + 1)) : delay
    if (!Duration.isFinite(wait)) return
    this.timer = this.fork(Effect.sleep(wait))
    this.timer.addObserver((exit) => {
      if (Exit.isSuccess(exit) && !this.decided) this.hedge("slow")
    })
  }

  private stopTimer(): void {
    const { timer } = this
    this.timer = undefined
    timer?.interruptUnsafe(this.caller.id)
  }

  private decide(exit: Exit.Exit<A, E>): void {
    this.decided = true
    this.resume!(exit)
  }

  /** A function of the caller's that throws ends the call, and not the fiber that happens to run it. */
  private guard(f: () => void): void {
    try {
      f()
    } catch (defect) {
      this.decide(Exit.die(defect))
    }
  }

  private notify(
    onHedge: (hedge: HedgeInfo) => Effect.Effect<unknown, unknown, R2>,
    hedge: HedgeInfo
  ): void {
    this.fork(
      Effect.suspend(() => onHedge(hedge)).pipe(
        Effect.ignoreCause({ log: "Error", message: "The onHedge callback of a hedge failed" })
      )
    )
  }

  private fork<B, E2>(effect: Effect.Effect<B, E2, R | R2>): Fiber.Fiber<B, E2> {
    return Effect.runForkWith(this.caller.context as Context.Context<R | R2>)(effect)
  }

  private now(): number {
    return monotonicMillis(this.caller.getRef(Clock.Clock))
  }
}

/** Whether an error says when to call again, which is not now. */
const asksToWait = (error: unknown): boolean => {
  const hint = Outcome.retryAfter(error)
  return hint !== undefined && !Duration.isZero(hint)
}
