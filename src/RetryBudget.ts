/**
 * Limits how many retries a program makes, over all of its calls.
 *
 * Retries help while failures are few. When a dependency is overloaded every
 * call fails, and three attempts per call are three times the load that broke
 * it. A budget bounds all retries to a fraction of the calls that were made.
 *
 * **Details**
 *
 * Each first attempt earns `ratio` of a retry and each retry costs one, both
 * for as long as `window`. `minPerSecond` retries a second are free, so that a
 * program with little traffic can retry at all. This is the accounting of
 * Finagle's retry budget, with its defaults.
 *
 * Constructors throw a `RangeError` if an option is unknown or out of its range.
 *
 * **Gotchas**
 *
 * A budget bounds the retries of one process. Give all calls to one dependency
 * the same budget: one per call site bounds nothing.
 *
 * **Example** (Sharing a budget)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Retry, RetryBudget } from "effect-resilience"
 *
 * let calls = 0
 * const call = Effect.suspend(() => {
 *   calls++
 *   return Effect.fail("overloaded")
 * })
 *
 * const program = Effect.gen(function*() {
 *   const budget = yield* RetryBudget.make({ ratio: 0.5, minPerSecond: 0 })
 *   const policy = Retry.make({ maxAttempts: 3, baseDelay: 0, budget })
 *   yield* call.pipe(Retry.withRetry(policy), Effect.ignore, Effect.replicateEffect(10))
 * })
 *
 * await Effect.runPromise(program)
 * // Ten calls and the five retries they paid for, instead of thirty.
 * calls // => 15
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { checkName } from "./internal/check.ts"
import * as Budget from "./internal/retry/budget.ts"
import { type Definition, guard, remember } from "./internal/serviceNames.ts"
import { watchedBy } from "./internal/telemetry/recorder.ts"

/**
 * Identifies a `RetryBudget` at runtime.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = Budget.TypeId

/**
 * Identifies a `RetryBudget` in types.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-resilience/RetryBudget"

/**
 * A limit on retries that many calls share.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface RetryBudget {
  readonly [TypeId]: TypeId

  /** The budget in words, as `0.2 retries per call plus 10 per second, over 10s`. */
  readonly description: string

  /** Retries that one call earns. */
  readonly ratio: number

  /** Retries per second that no call has to earn. */
  readonly minPerSecond: number

  /** How long a call and a retry count. */
  readonly window: Duration.Duration

  /** The number of retries that may be made now. */
  readonly balance: Effect.Effect<number>

  /** The counts of the budget. */
  readonly metrics: Effect.Effect<Metrics>

  /** Counts a call. `Retry` and `Hedge` do so for every first attempt. */
  readonly deposit: Effect.Effect<void>

  /** Asks for one retry: `true` counts it, `false` refuses it. */
  readonly tryWithdraw: Effect.Effect<boolean>

  /**
   * As `deposit`, at a time in milliseconds of the monotonic clock.
   *
   * @internal
   */
  readonly depositUnsafe: (now: number) => void

  /**
   * Takes back the deposit of a call that was not made.
   *
   * @internal
   */
  readonly refundUnsafe: (depositedAt: number, now: number) => void

  /**
   * As `tryWithdraw`, at a time in milliseconds of the monotonic clock.
   *
   * @internal
   */
  readonly tryWithdrawUnsafe: (now: number) => boolean
}

/**
 * The counts of a budget at one moment.
 *
 * **Details**
 *
 * - `calls`, `retries`: within the window.
 * - `balance`: retries that may be made now.
 * - `exhausted`: retries that were refused since the budget was created.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Metrics {
  readonly calls: number
  readonly retries: number
  readonly balance: number
  readonly exhausted: number
}

/**
 * How large a budget is.
 *
 * **Details**
 *
 * - `ratio`: retries that one call earns, from 0; 0.2 by default, which is one
 *   retry in five calls.
 * - `minPerSecond`: retries per second that no call has to earn, from 0; 10 by
 *   default. They add up over the window: 100 retries at once with the
 *   defaults, then 10 a second.
 * - `window`: how long a call and a retry count; 10 seconds by default. They
 *   are dropped in steps of a tenth of it.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly ratio?: number | undefined
  readonly minPerSecond?: number | undefined
  readonly window?: Duration.Input | undefined
}

/**
 * Whether a value is a `RetryBudget`.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isRetryBudget: (u: unknown) => u is RetryBudget = Budget.isRetryBudget

/**
 * Creates a budget.
 *
 * **Example** (Reading the balance)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { RetryBudget } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const budget = yield* RetryBudget.make({ ratio: 0.25, minPerSecond: 0 })
 *   yield* Effect.replicateEffect(budget.deposit, 5)
 *   const granted = yield* budget.tryWithdraw
 *   return [granted, yield* budget.tryWithdraw, yield* budget.balance]
 * })
 *
 * await Effect.runPromise(program) // => [true, false, 0.25]
 * ```
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<RetryBudget> => {
  const size = Budget.parse("RetryBudget.make", options)
  return Effect.sync(() => Budget.make(size))
}

// -----------------------------------------------------------------------------
// services
// -----------------------------------------------------------------------------

/**
 * What bounds the retries of a policy: a budget, or the class of a budget
 * service.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type Target<R = unknown> = RetryBudget | Context.Key<R, RetryBudget>

/**
 * The service that a target needs: that of its class, nothing for a budget.
 *
 * @stability stable
 * @category utility types
 * @since 0.1.0
 */
export type TargetServices<T> = T extends Context.Key<infer Identifier, RetryBudget> ? Identifier : never

/**
 * Service of a budget that all calls of a program share. A policy takes it as
 * `budget: RetryBudget.RetryBudget`.
 *
 * @see {@link layer} for providing it
 * @see {@link Service} for one budget per dependency
 *
 * @stability stable
 * @category services
 * @since 0.1.0
 */
export const RetryBudget: Context.Service<RetryBudget, RetryBudget> = /* @__PURE__ */ Context.Service<RetryBudget>(
  "effect-resilience/RetryBudget"
)

/**
 * Layer that provides a budget.
 *
 * **Example** (Sharing one budget among call sites)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Retry, RetryBudget } from "effect-resilience"
 *
 * const policy = Retry.make({ budget: RetryBudget.RetryBudget })
 *
 * const program = Effect.gen(function*() {
 *   yield* Effect.succeed("users").pipe(Retry.withRetry(policy))
 *   yield* Effect.succeed("orders").pipe(Retry.withRetry(policy))
 *   return yield* RetryBudget.RetryBudget.use((budget) => budget.metrics)
 * })
 *
 * const metrics = await Effect.runPromise(program.pipe(
 *   Effect.provide(RetryBudget.layer({ ratio: 0.1, minPerSecond: 1 }))
 * ))
 * metrics.calls // => 2
 * ```
 *
 * @stability stable
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<RetryBudget> => {
  const size = Budget.parse("RetryBudget.layer", options)
  return Layer.effect(RetryBudget, measured("default", () => Budget.make(size)))
}

/**
 * Class of a named budget service.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface ServiceClass<Self, Name extends string>
  extends Context.ServiceClass<Self, `effect-resilience/RetryBudget/${Name}`, RetryBudget>
{
  /** The budget in words. */
  readonly description: string
  /** Provides a budget of its own. */
  readonly layer: Layer.Layer<Self>
}

/**
 * Creates the class of a budget service with its own layer.
 *
 * **When to use**
 *
 * Use when the dependencies of a program have a budget each.
 *
 * **Gotchas**
 *
 * The name is the key of the service. Where two classes of one name and
 * different options are provided together, calls that find the budget of the
 * other class die with a `RangeError`.
 *
 * **Example** (Declaring a budget for one dependency)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Retry, RetryBudget } from "effect-resilience"
 *
 * class PaymentBudget extends RetryBudget.Service<PaymentBudget>()("payment-api", { ratio: 0.1 }) {}
 *
 * const charge = Effect.succeed("charged").pipe(
 *   Retry.withRetry({ budget: PaymentBudget })
 * )
 *
 * await Effect.runPromise(charge.pipe(Effect.provide(PaymentBudget.layer))) // => "charged"
 * ```
 *
 * @stability stable
 * @category services
 * @since 0.1.0
 */
export const Service =
  <Self>() => <const Name extends string>(name: Name, options?: Options): ServiceClass<Self, Name> => {
    const size = Budget.parse("RetryBudget.Service", options)
    checkName("RetryBudget.Service: name", name)
    const definition: Definition = { maker: "RetryBudget.Service", name, settings: size }
    const tag = guard(
      Context.Service<Self, RetryBudget>()(`effect-resilience/RetryBudget/${name}` as const),
      definition
    )
    return Object.assign(tag, {
      description: Budget.describe(size),
      layer: Layer.effect(tag, measured(name, () => remember(Budget.make(size), definition)))
    })
  }

const measured = (name: string, make: () => RetryBudget): Effect.Effect<RetryBudget, never, Scope.Scope> =>
  Effect.tap(Effect.sync(make), (budget) => watchedBy((recorder) => recorder.watchRetryBudget(name, budget)))
