/**
 * Limits how many calls start in a window of time, in one process or in all
 * processes that share a store.
 *
 * **Details**
 *
 * A call that finds no token left fails with `RateLimitExceededError`, or waits
 * for its turn, as `onExceeded` says. Calls wait in order of arrival. Circuits
 * ignore such a rejection.
 *
 * `makeMemory`, and `make` with `layerMemory`, keep tokens in this process.
 * `make` with `RateLimiter.layer` and `RateLimiter.layerStoreRedis`, both from
 * `effect/persistence/RateLimiter`, shares them between processes.
 *
 * Constructors and combinators throw a `RangeError` if an option is unknown or
 * out of its range.
 *
 * **Gotchas**
 *
 * - In a store, a call that waits has taken its tokens already, and does not
 *   return them if it is interrupted. Set `maxWait` to no more than callers are
 *   ready to wait. In memory a call takes its tokens when it begins, so that a
 *   call that gives up leaves its place to those behind it.
 * - Stores know a limit by its name and key alone. Two limits of one name on
 *   one store share their tokens.
 *
 * **Example** (Limiting calls per second)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { RateLimit } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const rateLimit = yield* RateLimit.make({ name: "search", limit: 2, window: "1 minute" })
 *   const search = Effect.succeed("found").pipe(
 *     RateLimit.withRateLimit(rateLimit),
 *     Effect.catchTag("RateLimitExceededError", (error) => Effect.succeed(`${error.limiter} rejected`))
 *   )
 *   return yield* Effect.all([search, search, search])
 * })
 *
 * await Effect.runPromise(
 *   program.pipe(Effect.provide(RateLimit.layerMemory))
 * ) // => ["found", "found", "search rejected"]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import { checkName, refuse } from "./internal/check.ts"
import { makeQueues, MemoryLimit, queuesIn, queuesOf, withQueues } from "./internal/rateLimit/memory.ts"
import { inMonotonicTime } from "./internal/rateLimit/monotonicStore.ts"
import * as Rules from "./internal/rateLimit/rules.ts"
import { StoreLimit } from "./internal/rateLimit/store.ts"
import { type Definition, guard, remember } from "./internal/serviceNames.ts"
import { checkTarget, findTarget, isDataFirst, isTarget as isTargetOf } from "./internal/target.ts"
import { watchedBy } from "./internal/telemetry/recorder.ts"
import type { RateLimitExceededError } from "./ResilienceError.ts"

/**
 * Identifies a `RateLimit` at runtime.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = Rules.TypeId

/**
 * Identifies a `RateLimit` in types.
 *
 * @stability stable
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-resilience/RateLimit"

/**
 * A limit on calls per time. `StoreError` is the error of a call whose tokens
 * cannot be read.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface RateLimit<out StoreError = never> {
  readonly [TypeId]: TypeId

  /** Names the limit in errors, and its tokens in the store. */
  readonly name: string

  /** The rate limit in words, as `at most 100 calls in any 1m (sliding-window), the rest delayed up to 5s`. */
  readonly description: string

  /** Runs an effect when there are tokens for it, or fails with `RateLimitExceededError` without running it. */
  readonly execute: <A, E, R>(
    self: Effect.Effect<A, E, R>,
    options?: CallOptions
  ) => Effect.Effect<A, E | RateLimitExceededError | StoreError, R>
}

/**
 * Whether calls run or fail when the tokens cannot be read.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type OnStoreError = "allow" | "fail"

/**
 * How calls are limited.
 *
 * **Details**
 *
 * - `limit`: tokens of one window, from 1.
 * - `window`: time in which `limit` tokens come back.
 * - `algorithm`: `"fixed-window"` gives all tokens back at the end of the
 *   window, which begins with its first call; `"token-bucket"` gives them back
 *   one by one; `"sliding-window"` gives each back a `window` after it was
 *   taken. `"fixed-window"` by default.
 * - `onExceeded`: `"fail"` rejects a call that finds no token, `"delay"` lets it
 *   wait for its turn; `"fail"` by default.
 * - `maxWait`: with `"delay"`, longest wait; no limit by default. A call that
 *   would have to wait longer for those ahead of it is rejected at once and
 *   takes no tokens.
 * - `tokens`: tokens of one call, from 1 to `limit`; 1 by default.
 * - `onStoreError`: `"allow"` runs calls when the store fails, and logs it at
 *   `References.UnhandledLogLevel`; `"fail"` fails them with
 *   `RateLimitStoreError`. `"allow"` by default.
 *
 * **Gotchas**
 *
 * Only `"sliding-window"` lets through at most `limit` tokens in any time of
 * the length of `window`. The others let through up to `2 * limit - 1`: all that
 * are left, and all that come back in the time after. It needs tokens that are
 * kept in memory, and remembers a time for each token taken in the last
 * `window`: up to 16 bytes per token of `limit`, for each key.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Options<S extends OnStoreError = OnStoreError> {
  readonly limit: number
  readonly window: Duration.Input
  readonly algorithm?: "fixed-window" | "token-bucket" | "sliding-window" | undefined
  readonly onExceeded?: "fail" | "delay" | undefined
  readonly maxWait?: Duration.Input | undefined
  readonly tokens?: number | undefined
  readonly onStoreError?: S | undefined
}

/**
 * Options of one call.
 *
 * **Details**
 *
 * - `key`: chooses the tokens. Each key has a limit of its own, such as one per
 *   tenant; calls without a key share one.
 * - `tokens`: tokens of this call, from 1 to `limit`.
 * - `maxWait`: with `onExceeded: "delay"`, longest wait of this call, if it is
 *   shorter than that of the limit. Ignored with `"fail"`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface CallOptions {
  readonly key?: string | undefined
  readonly tokens?: number | undefined
  readonly maxWait?: Duration.Input | undefined
}

/**
 * Whether a value is a rate limit.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isRateLimit: (u: unknown) => u is RateLimit<unknown> = Rules.isRateLimit

/**
 * The error of a call whose tokens cannot be read, by `onStoreError`.
 *
 * @stability stable
 * @category utility types
 * @since 0.1.0
 */
export type StoreError<S extends OnStoreError> = "fail" extends S ? RateLimiter.RateLimitStoreError : never

/**
 * Creates a rate limit whose tokens the `RateLimiter` service keeps.
 *
 * **Details**
 *
 * Dies with a `RangeError` if the algorithm is `"sliding-window"` and the service
 * is not that of `layerMemory`.
 *
 * **Gotchas**
 *
 * With `maxWait` in a store, calls that ask for the last places at the same
 * moment may have to wait too long after all. They are rejected, but have taken
 * their tokens.
 *
 * **Example** (Waiting for a turn)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { RateLimit } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const rateLimit = yield* RateLimit.make({
 *     name: "mail",
 *     limit: 10,
 *     window: "100 millis",
 *     algorithm: "sliding-window",
 *     onExceeded: "delay",
 *     maxWait: "1 second"
 *   })
 *   const send = rateLimit.execute(Effect.succeed("sent"))
 *   yield* Effect.replicateEffect(send, 12, { concurrency: "unbounded" })
 *   return rateLimit.description
 * })
 *
 * await Effect.runPromise(
 *   program.pipe(Effect.provide(RateLimit.layerMemory))
 * ) // => "at most 10 calls in any 100ms (sliding-window), the rest delayed up to 1s"
 * ```
 *
 * @see {@link makeMemory} for a limit that keeps its own tokens
 * @see {@link Service} for a limit that is provided by Layer
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export const make = <const S extends OnStoreError = "allow">(
  options: Options<S> & { readonly name: string }
): Effect.Effect<RateLimit<StoreError<S>>, never, RateLimiter.RateLimiter> => {
  const [name, rules] = Rules.parseNamed("RateLimit.make", options)
  return makeParsed("RateLimit.make", name, rules)
}

/**
 * Creates a rate limit that keeps its own tokens in memory.
 *
 * **Example** (Limiting the calls of one process)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { RateLimit } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const rateLimit = yield* RateLimit.makeMemory({ name: "search", limit: 100, window: "1 second" })
 *   return yield* rateLimit.execute(Effect.succeed("found"))
 * })
 *
 * await Effect.runPromise(program) // => "found"
 * ```
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export const makeMemory = <const S extends OnStoreError = "allow">(
  options: Options<S> & { readonly name: string }
): Effect.Effect<RateLimit<StoreError<S>>> => {
  const [name, rules] = Rules.parseNamed("RateLimit.makeMemory", options)
  return Effect.sync(() => new MemoryLimit(name, rules, makeQueues(rules)))
}

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * What limits a call: a rate limit, or that of a service by its class.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type Target = RateLimit<unknown> | Context.Key<unknown, RateLimit<unknown>>

/**
 * The service that a target needs: that of its class, nothing for a rate limit.
 *
 * @stability stable
 * @category utility types
 * @since 0.1.0
 */
export type TargetServices<T> = T extends Context.Key<infer Identifier, RateLimit<unknown>> ? Identifier : never

/**
 * The error of a call through a target whose tokens cannot be read.
 *
 * @stability stable
 * @category utility types
 * @since 0.1.0
 */
export type TargetStoreError<T> = T extends RateLimit<infer E> ? E
  : T extends Context.Key<unknown, RateLimit<infer E>> ? E
  : never

/**
 * Runs an effect when a rate limit has tokens for it, or fails with
 * `RateLimitExceededError` without running it.
 *
 * **Example** (Limiting each tenant)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { RateLimit } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const rateLimit = yield* RateLimit.make({ name: "exports", limit: 1, window: "1 hour" })
 *   const exportFor = (tenant: string) =>
 *     Effect.succeed(tenant).pipe(
 *       RateLimit.withRateLimit(rateLimit, { key: tenant }),
 *       Effect.catchTag("RateLimitExceededError", () => Effect.succeed("later"))
 *     )
 *   return yield* Effect.all([exportFor("acme"), exportFor("globex"), exportFor("acme")])
 * })
 *
 * await Effect.runPromise(
 *   program.pipe(Effect.provide(RateLimit.layerMemory))
 * ) // => ["acme", "globex", "later"]
 * ```
 *
 * @stability stable
 * @category combinators
 * @since 0.1.0
 */
export const withRateLimit: {
  <T extends Target>(
    target: T,
    options?: CallOptions
  ): <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | RateLimitExceededError | TargetStoreError<T>, R | TargetServices<T>>
  <A, E, R, T extends Target>(
    self: Effect.Effect<A, E, R>,
    target: T,
    options?: CallOptions
  ): Effect.Effect<A, E | RateLimitExceededError | TargetStoreError<T>, R | TargetServices<T>>
} = ((
  ...args: [self: AnyCall, target: Target, options?: CallOptions] | [target: Target, options?: CallOptions]
) => {
  const [first, second, third] = args
  if (isDataFirst(isTarget, args)) return executeWithin(check(second), first as AnyCall, third)
  const target = check(first)
  Rules.checkCall("RateLimit.withRateLimit", second as CallOptions | undefined)
  return (self: AnyCall) => executeWithin(target, self, second as CallOptions | undefined)
}) as never

const isTarget = (u: unknown): u is Target => isTargetOf(Rules.RATE_LIMIT, u)

const check = (target: unknown): Target =>
  checkTarget(Rules.RATE_LIMIT, "RateLimit.withRateLimit: the rate limit", target)

const executeWithin = (target: Target, self: AnyCall, options: CallOptions | undefined): AnyCall => {
  if (isRateLimit(target)) return target.execute(self, options)
  Rules.checkCall("RateLimit.withRateLimit", options)
  return Effect.withFiber((fiber) => findTarget(Rules.RATE_LIMIT, fiber.context, target).execute(self, options))
}

type AnyCall = Effect.Effect<unknown, unknown>

// -----------------------------------------------------------------------------
// services
// -----------------------------------------------------------------------------

/**
 * Class of a rate limit service, see `Service`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface ServiceClass<Self, Name extends string, out StoreError = never>
  extends Context.ServiceClass<Self, `effect-resilience/RateLimit/${Name}`, RateLimit<StoreError>>
{
  /** The rate limit in words. */
  readonly description: string
  /** Provides a rate limit whose tokens the `RateLimiter` service keeps. */
  readonly layer: Layer.Layer<Self, never, RateLimiter.RateLimiter>
  /** Provides a rate limit whose tokens are kept in memory. */
  readonly layerMemory: Layer.Layer<Self>
}

/**
 * Creates the class of a rate limit service with its own layers.
 *
 * **When to use**
 *
 * Use when calls from several places share a limit, and a program should name
 * the limit it needs in its type.
 *
 * **Gotchas**
 *
 * The name is the key of the service. Where two classes of one name and
 * different options are provided together, calls that find the rate limit of
 * the other class die with a `RangeError`.
 *
 * **Example** (Providing a rate limit by Layer)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { RateLimit } from "effect-resilience"
 *
 * class SearchRate extends RateLimit.Service<SearchRate>()("search", {
 *   limit: 100,
 *   window: "1 second"
 * }) {}
 *
 * const search = Effect.succeed("found").pipe(RateLimit.withRateLimit(SearchRate))
 *
 * await Effect.runPromise(search.pipe(Effect.provide(SearchRate.layerMemory))) // => "found"
 * ```
 *
 * @stability stable
 * @category services
 * @since 0.1.0
 */
export const Service = <Self>() =>
<const Name extends string, const S extends OnStoreError = "allow">(
  name: Name,
  options: Options<S>
): ServiceClass<Self, Name, StoreError<S>> => {
  const rules = Rules.parse("RateLimit.Service", options)
  checkName("RateLimit.Service: name", name)
  const definition: Definition = { maker: "RateLimit.Service", name, settings: rules }
  const tag = guard(
    Context.Service<Self, RateLimit<StoreError<S>>>()(`effect-resilience/RateLimit/${name}` as const),
    definition
  )
  const layer = Layer.effect(
    tag,
    makeParsed<StoreError<S>>("RateLimit.Service", name, rules).pipe(
      Effect.map((rateLimit) => remember(rateLimit, definition)),
      Effect.tap((rateLimit) => watchedBy((recorder) => recorder.watchRateLimit(rateLimit)))
    )
  )
  return Object.assign(tag, {
    description: Rules.describe(rules),
    layer,
    layerMemory: Layer.provide(layer, layerMemory)
  })
}

/**
 * Layer that provides the `RateLimiter` service with tokens kept in memory.
 *
 * **Details**
 *
 * Rate limits of one name, limit, window and algorithm share their tokens. The
 * layer counts in monotonic time, so that setting the clock of the machine
 * changes nothing. A key is forgotten once all its tokens are back.
 *
 * **Gotchas**
 *
 * Tokens that other code takes from the service itself, as
 * `HttpClient.withRateLimiter` does, are counted apart, and each of their keys
 * stays in memory for as long as the layer lives.
 *
 * @stability stable
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<RateLimiter.RateLimiter> = /* @__PURE__ */ Layer.suspend(() =>
  Layer.effect(RateLimiter.RateLimiter, Effect.map(RateLimiter.make, withQueues)).pipe(
    Layer.provide(
      Layer.effect(RateLimiter.RateLimiterStore, Effect.map(RateLimiter.RateLimiterStore, inMonotonicTime))
    ),
    Layer.provide(RateLimiter.layerStoreMemory)
  )
)

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const makeParsed = <E>(
  caller: string,
  name: string,
  rules: Rules.Rules
): Effect.Effect<RateLimit<E>, never, RateLimiter.RateLimiter> =>
  Effect.map(RateLimiter.RateLimiter, (limiter) => {
    const queues = queuesOf.get(limiter)
    if (queues !== undefined) return new MemoryLimit(name, rules, queuesIn(queues, name, rules))
    const { algorithm } = rules
    if (algorithm === "sliding-window") {
      return refuse(
        `${caller}: algorithm`,
        "\"fixed-window\" or \"token-bucket\" where a store keeps the tokens (or use RateLimit.layerMemory)",
        algorithm
      )
    }
    return new StoreLimit<E>(name, rules, algorithm, limiter)
  })
