/**
 * A limit on how many calls run in a window of time, in one process or in all
 * that share a store.
 *
 * **Details**
 *
 * A call that finds no token left fails with `RateLimitExceededError`, or waits
 * for its turn, as `onExceeded` says. Calls wait in order of arrival. A
 * rejection is no verdict on the dependency: circuits ignore it.
 *
 * `makeMemory`, and `make` with `layerMemory`, keep tokens in this process.
 * `make` with `RateLimiter.layer` and `RateLimiter.layerStoreRedis`, both from
 * `effect/persistence/RateLimiter`, shares them between processes.
 *
 * **Gotchas**
 *
 * - In a store, a call that waits has taken its tokens already, and does not
 *   give them back if it is interrupted. Set `maxWait` to no more than callers
 *   are ready to wait. In memory a call takes its tokens when it begins, so one
 *   that gives up leaves its place to those behind it.
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
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Predicate from "effect/Predicate"
import * as References from "effect/References"
import { checkCount, checkDuration, checkOneOf, checkOptions, checkString, refuse } from "./internal/check.ts"
import { RateQueues } from "./internal/rateLimit/queue.ts"
import * as Window from "./internal/rateLimit/window.ts"
import { rateLimitExceededError } from "./internal/error/rejection.ts"
import { type Definition, getService, guard, remember } from "./internal/serviceNames.ts"
import { writeLog } from "./internal/telemetry/writeLog.ts"
import type { RateLimitExceededError } from "./ResilienceError.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-resilience/RateLimit"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-resilience/RateLimit"

/**
 * A limit on calls per time. `StoreError` is what a call can fail with when the
 * tokens cannot be read.
 *
 * @category models
 * @since 0.1.0
 */
export interface RateLimit<out StoreError = never> {
  readonly [TypeId]: TypeId

  /** Names the limit in errors, and its tokens in the store. */
  readonly name: string

  /** How it limits, as `at most 100 calls in any 1m (sliding-window), the rest delayed up to 5s`. */
  readonly description: string

  /** Runs an effect when there are tokens for it, or fails with `RateLimitExceededError` without running it. */
  readonly execute: <A, E, R>(
    self: Effect.Effect<A, E, R>,
    options?: CallOptions
  ) => Effect.Effect<A, E | RateLimitExceededError | StoreError, R>
}

/**
 * What to do when the tokens cannot be read.
 *
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
 * What one call differs in.
 *
 * **Details**
 *
 * - `key`: whose tokens it takes. Each key has a limit of its own, such as one
 *   per tenant; calls without a key share one.
 * - `tokens`: how many it takes, from 1 to `limit`.
 * - `maxWait`: with `onExceeded: "delay"`, longest wait of this call, if it is
 *   shorter than that of the limit. Of no use with `"fail"`.
 *
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
 * @category guards
 * @since 0.1.0
 */
export const isRateLimit = (u: unknown): u is RateLimit<unknown> => Predicate.hasProperty(u, TypeId)

/**
 * What a call can fail with for the sake of the store.
 *
 * @category utility types
 * @since 0.1.0
 */
export type StoreError<S extends OnStoreError> = "fail" extends S ? RateLimiter.RateLimitStoreError : never

/**
 * Makes a rate limit whose tokens the `RateLimiter` service keeps.
 *
 * **Details**
 *
 * Throws a `RangeError` if an option is out of its range. Dies with one if the
 * algorithm is `"sliding-window"` and the service is not that of `layerMemory`.
 *
 * **Gotchas**
 *
 * With `maxWait` in a store, calls that ask for the last places at the very
 * same time can find that they would wait too long after all. They are
 * rejected, but have taken their tokens.
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
 * @category constructors
 * @since 0.1.0
 */
export const make = <const S extends OnStoreError = "allow">(
  options: Options<S> & { readonly name: string }
): Effect.Effect<RateLimit<StoreError<S>>, never, RateLimiter.RateLimiter> => {
  const [name, rules] = parseNamed("RateLimit.make", options)
  return makeParsed("RateLimit.make", name, rules)
}

/**
 * Makes a rate limit that keeps its own tokens in memory.
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
 * @category constructors
 * @since 0.1.0
 */
export const makeMemory = <const S extends OnStoreError = "allow">(
  options: Options<S> & { readonly name: string }
): Effect.Effect<RateLimit<StoreError<S>>> => {
  const [name, rules] = parseNamed("RateLimit.makeMemory", options)
  return Effect.sync(() => new MemoryLimit(name, rules, makeQueues(rules)))
}

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * What to limit a call by: a rate limit, or the class of a rate limit service.
 *
 * @category models
 * @since 0.1.0
 */
export type Target = RateLimit<unknown> | Context.Key<unknown, RateLimit<unknown>>

/**
 * What a call through a target needs: the service for its class, nothing for a
 * rate limit.
 *
 * @category utility types
 * @since 0.1.0
 */
export type TargetServices<T> = T extends Context.Key<infer Identifier, RateLimit<unknown>> ? Identifier : never

/**
 * What a call through a target can fail with for the sake of the store.
 *
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
 * **Details**
 *
 * Throws a `RangeError` if `tokens` is out of its range.
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
  // The class of a service is an effect too, so data-first calls are told by their second argument.
  const [first, second, third] = args
  if (isTarget(second) || (second !== undefined && Effect.isEffect(first) && !isTarget(first))) {
    return runWithin(checkTarget(second), first as AnyCall, third)
  }
  const target = checkTarget(first)
  checkCall("RateLimit.withRateLimit", second)
  return (self: AnyCall) => runWithin(target, self, second)
}) as never

// -----------------------------------------------------------------------------
// services
// -----------------------------------------------------------------------------

/**
 * Class of a service that is one rate limit, see `Service`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServiceClass<Self, Name extends string, out StoreError = never>
  extends Context.ServiceClass<Self, `effect-resilience/RateLimit/${Name}`, RateLimit<StoreError>>
{
  /** How it limits. */
  readonly description: string
  /** A rate limit whose tokens the `RateLimiter` service keeps. */
  readonly layer: Layer.Layer<Self, never, RateLimiter.RateLimiter>
  /** A rate limit whose tokens are kept in memory. */
  readonly layerMemory: Layer.Layer<Self>
}

/**
 * Makes the class of a service that is one rate limit.
 *
 * **When to use**
 *
 * Use when calls from several places share a limit, and a program should name
 * the limit it needs in its type.
 *
 * **Details**
 *
 * Throws a `RangeError` if an option is out of its range.
 *
 * **Gotchas**
 *
 * The name is the key of the service. Where two classes of one name and
 * different options are provided together, the one that meets the rate limit
 * of the other dies with a `RangeError`.
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
 * @category services
 * @since 0.1.0
 */
export const Service = <Self>() =>
<const Name extends string, const S extends OnStoreError = "allow">(
  name: Name,
  options: Options<S>
): ServiceClass<Self, Name, StoreError<S>> => {
  const rules = parse("RateLimit.Service", options, OPTIONS)
  checkString("RateLimit.Service: name", name)
  const definition: Definition = { maker: "RateLimit.Service", name, settings: rules }
  const tag = guard(
    Context.Service<Self, RateLimit<StoreError<S>>>()(`effect-resilience/RateLimit/${name}` as const),
    definition
  )
  const layer = Layer.effect(
    tag,
    Effect.map(
      makeParsed<StoreError<S>>("RateLimit.Service", name, rules),
      (rateLimit) => remember(rateLimit, definition)
    )
  )
  return Object.assign(tag, {
    description: describe(rules),
    layer,
    layerMemory: Layer.provide(layer, layerMemory)
  })
}

/**
 * Layer that provides the `RateLimiter` service with tokens kept in memory.
 *
 * **Details**
 *
 * Rate limits of one name, limit, window and algorithm share their tokens. It
 * counts in monotonic time, so that setting the machine's clock changes
 * nothing. A key of which all tokens are back is forgotten.
 *
 * **Gotchas**
 *
 * Tokens that other code takes from the service itself, as
 * `HttpClient.withRateLimiter` does, are counted apart, and each of their keys
 * stays in memory for as long as the layer lives.
 *
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

interface Rules {
  readonly algorithm: Window.Algorithm
  readonly limit: number
  readonly window: Duration.Duration
  readonly tokens: number
  /** Zero rejects what would have to wait. */
  readonly maxWait: Duration.Duration
  readonly onStoreError: OnStoreError
}

const OPTIONS = ["limit", "window", "algorithm", "onExceeded", "maxWait", "tokens", "onStoreError"]

const parseNamed = (caller: string, options: Options & { readonly name: string }): readonly [string, Rules] => {
  const rules = parse(caller, options, ["name", ...OPTIONS])
  return [checkString(`${caller}: name`, options.name), rules]
}

const parse = (caller: string, options: Options, known: ReadonlyArray<string>): Rules => {
  const { algorithm = "fixed-window", onExceeded = "fail", onStoreError = "allow" } = checkOptions(
    caller,
    options,
    known
  )
  checkOneOf(`${caller}: algorithm`, ["fixed-window", "token-bucket", "sliding-window"], algorithm)
  checkOneOf(`${caller}: onExceeded`, ["fail", "delay"], onExceeded)
  checkOneOf(`${caller}: onStoreError`, ["allow", "fail"], onStoreError)
  if (options.maxWait !== undefined && onExceeded !== "delay") {
    throw new RangeError(`${caller}: maxWait must come with onExceeded "delay", got "${onExceeded}"`)
  }
  const limit = checkCount(`${caller}: limit`, options.limit)
  const window = checkDuration(`${caller}: window`, options.window, { positive: true, finite: true })
  return {
    limit,
    window,
    algorithm,
    tokens: checkCount(`${caller}: tokens`, options.tokens ?? 1, limit),
    maxWait: onExceeded === "fail"
      ? Duration.zero
      : options.maxWait === undefined
      ? Duration.infinity
      : checkDuration(`${caller}: maxWait`, options.maxWait),
    onStoreError
  }
}

const checkCall = (caller: string, options: CallOptions | undefined): void => {
  if (options === undefined) return
  const { key, maxWait } = checkOptions(caller, options, ["key", "tokens", "maxWait"])
  if (key !== undefined) checkString(`${caller}: key`, key)
  if (maxWait !== undefined) checkDuration(`${caller}: maxWait`, maxWait)
}

/** What one call takes, with the defaults of its limit. */
interface Take {
  readonly key: string | undefined
  readonly tokens: number
  readonly maxWait: Duration.Duration
}

const takeOf = (rules: Rules, options: CallOptions): Take => {
  checkCall("RateLimit.execute", options)
  const { key, maxWait, tokens } = options
  return {
    key,
    tokens: tokens === undefined ? rules.tokens : checkCount("RateLimit.execute: tokens", tokens, rules.limit),
    maxWait: maxWait === undefined
      ? rules.maxWait
      : Duration.min(rules.maxWait, checkDuration("RateLimit.execute: maxWait", maxWait))
  }
}

type AnyCall = Effect.Effect<unknown, unknown>

const isTarget = (u: unknown): u is Target => isRateLimit(u) || Context.isKey(u)

const checkTarget = (target: unknown): Target =>
  isTarget(target)
    ? target
    : refuse(
      "RateLimit.withRateLimit: the rate limit",
      "a value made with RateLimit.make or RateLimit.makeMemory, or the class of a service",
      target
    )

const runWithin = (target: Target, self: AnyCall, options: CallOptions | undefined): AnyCall => {
  if (isRateLimit(target)) return target.execute(self, options)
  checkCall("RateLimit.withRateLimit", options)
  return Effect.withFiber((fiber) => getService(fiber.context, target).execute(self, options))
}

const describe = (rules: Rules): string => {
  const { algorithm, limit, maxWait, tokens } = rules
  const window = Duration.format(rules.window)
  const count = `${limit} ${tokens !== 1 ? "tokens" : limit === 1 ? "call" : "calls"}`
  const most = Window.mostInAnyWindow(rules)
  const parts = most === limit
    ? [`at most ${count} in any ${window} (${algorithm})`]
    : [
      algorithm === "fixed-window"
        ? `at most ${count} per window of ${window} (fixed-window)`
        : `up to ${count} at once, refilled at ${limit} per ${window} (${algorithm})`,
      `at most ${most} in any ${window}`
    ]
  if (tokens !== 1) parts.push(`${tokens} per call`)
  parts.push(
    Duration.isZero(maxWait)
      ? "the rest rejected"
      : Duration.isFinite(maxWait)
      ? `the rest delayed up to ${Duration.format(maxWait)}`
      : "the rest delayed"
  )
  return parts.join(", ")
}

const exceeded = (
  name: string,
  rules: Rules,
  retryAfter: Duration.Duration
): Effect.Effect<never, RateLimitExceededError> => Effect.fail(rateLimitExceededError(name, rules.limit, retryAfter))

const makeParsed = <E>(
  caller: string,
  name: string,
  rules: Rules
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

// -----------------------------------------------------------------------------
// in memory
// -----------------------------------------------------------------------------

/**
 * The queues of each `RateLimiter` that `layerMemory` has made. Its interface
 * knows no way to leave a queue, so a limit in memory goes past it.
 */
const queuesOf = new WeakMap<RateLimiter.RateLimiter, Map<string, RateQueues>>()

const withQueues = (limiter: RateLimiter.RateLimiter): RateLimiter.RateLimiter => {
  queuesOf.set(limiter, new Map())
  return limiter
}

const queuesIn = (queues: Map<string, RateQueues>, name: string, rules: Rules): RateQueues => {
  const id = JSON.stringify([name, rules.algorithm, rules.limit, Duration.toMillis(rules.window)])
  let found = queues.get(id)
  if (found === undefined) queues.set(id, found = makeQueues(rules))
  return found
}

const makeQueues = ({ algorithm, limit, window }: Rules): RateQueues =>
  new RateQueues({ algorithm, limit, windowMillis: Duration.toMillis(window) })

class MemoryLimit implements RateLimit {
  readonly [TypeId]: TypeId = TypeId
  readonly name: string
  private readonly rules: Rules
  private readonly queues: RateQueues
  private readonly maxWaitMillis: number

  constructor(name: string, rules: Rules, queues: RateQueues) {
    this.name = name
    this.rules = rules
    this.queues = queues
    this.maxWaitMillis = Duration.toMillis(rules.maxWait)
  }

  get description(): string {
    return describe(this.rules)
  }

  get execute(): RateLimit["execute"] {
    return (self, options) => {
      if (options === undefined) {
        return this.queues.run(undefined, {
          self,
          tokens: this.rules.tokens,
          maxWait: this.maxWaitMillis,
          reject: this.reject
        })
      }
      const { key, maxWait, tokens } = takeOf(this.rules, options)
      return this.queues.run(key, { self, tokens, maxWait: Duration.toMillis(maxWait), reject: this.reject })
    }
  }

  private readonly reject = (wait: number): Effect.Effect<never, RateLimitExceededError> =>
    exceeded(this.name, this.rules, Duration.millis(wait))
}

// -----------------------------------------------------------------------------
// in a store
// -----------------------------------------------------------------------------

type Consumed = Effect.Effect<RateLimiter.ConsumeResult, RateLimiter.RateLimiterError>

/** How to take the tokens of a call from a store. */
interface Consume {
  /** Takes them if no wait is needed, or however long the wait, if waits have no limit. */
  readonly first: Consumed
  /** Finds out how long the wait would be after `first` found none left. Takes none. */
  readonly wait: (
    exceeded: RateLimiter.RateLimitExceeded
  ) => Effect.Effect<Duration.Duration, RateLimiter.RateLimiterError>
  /** Takes them, however long the wait. */
  readonly reserve: () => Consumed
  readonly maxWait: Duration.Duration
}

class StoreLimit<E> implements RateLimit<E> {
  readonly [TypeId]: TypeId = TypeId
  readonly name: string
  private readonly rules: Rules
  private readonly algorithm: "fixed-window" | "token-bucket"
  private readonly limiter: RateLimiter.RateLimiter
  private readonly plain: Consume

  constructor(
    name: string,
    rules: Rules,
    algorithm: "fixed-window" | "token-bucket",
    limiter: RateLimiter.RateLimiter
  ) {
    this.name = name
    this.rules = rules
    this.algorithm = algorithm
    this.limiter = limiter
    this.plain = this.consume({ key: undefined, tokens: rules.tokens, maxWait: rules.maxWait })
  }

  get description(): string {
    return describe(this.rules)
  }

  get execute(): RateLimit<E>["execute"] {
    return (self, options) => {
      const consume = options === undefined ? this.plain : this.consume(takeOf(this.rules, options))
      return Effect.matchEffect(consume.first, {
        onSuccess: ({ delay }) => after(delay, self),
        onFailure: (error) => Effect.flatMap(this.recover(error, consume), (delay) => after(delay, self))
      })
    }
  }

  private consume({ key, maxWait, tokens }: Take): Consume {
    const { algorithm, limiter, rules: { limit, window } } = this
    const ask = (tokens: number, onExceeded: "fail" | "delay"): Consumed =>
      limiter.consume({
        // A slash: the stores put a colon between a key and what they add to it.
        key: key === undefined ? this.name : `${this.name}/${key}`,
        tokens,
        limit,
        window,
        algorithm,
        onExceeded
      })
    return {
      first: ask(tokens, Duration.isFinite(maxWait) ? "fail" : "delay"),
      wait: algorithm === "token-bucket"
        ? (exceeded) => Effect.succeed(exceeded.retryAfter)
        // It says when the window ends, and not how many wait for the ends of this and later windows. Asking for no
        // tokens tells.
        : () => Effect.map(ask(0, "delay"), (now) => waitInWindows(this.rules, tokens, now)),
      reserve: () => ask(tokens, "delay"),
      maxWait
    }
  }

  /** Finds out how long a call has to wait, when it cannot run at once. */
  private recover(
    error: RateLimiter.RateLimiterError,
    { maxWait, reserve, wait }: Consume
  ): Effect.Effect<Duration.Duration, RateLimitExceededError | E> {
    if (error.reason._tag !== "RateLimitExceeded" || Duration.isZero(maxWait)) return this.failed(error)
    const { reason } = error
    return Effect.gen({ self: this }, function*() {
      const foreseen = yield* wait(reason)
      if (Duration.isGreaterThan(foreseen, maxWait)) return yield* this.exceeded(foreseen)
      const { delay } = yield* reserve()
      if (Duration.isGreaterThan(delay, maxWait)) return yield* this.exceeded(delay)
      return delay
    }).pipe(Effect.catchTag("RateLimiterError", (error) => this.failed(error)))
  }

  private failed({ reason }: RateLimiter.RateLimiterError): Effect.Effect<
    Duration.Duration,
    RateLimitExceededError | E
  > {
    return reason._tag === "RateLimitExceeded" ? this.exceeded(reason.retryAfter) : this.storeFailed(reason)
  }

  private exceeded(retryAfter: Duration.Duration): Effect.Effect<never, RateLimitExceededError> {
    return exceeded(this.name, this.rules, retryAfter)
  }

  private storeFailed(error: RateLimiter.RateLimitStoreError): Effect.Effect<Duration.Duration, E> {
    // `E` is the type of this error where it can be raised.
    if (this.rules.onStoreError === "fail") return Effect.fail(error as E)
    return Effect.withFiber((fiber) => {
      const level = fiber.getRef(References.UnhandledLogLevel)
      return level === undefined
        ? Effect.succeed(Duration.zero)
        : Effect.as(
          writeLog(
            Effect.logWithLevel(level)(`Rate limit "${this.name}" let a call through because its store failed`, error)
          ),
          Duration.zero
        )
    })
  }
}

// Timers drop the fraction of a millisecond.
const after = <A, E, R>(delay: Duration.Duration, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Duration.isZero(delay) ? self : Effect.delay(self, Math.ceil(Duration.toMillis(delay)))

/**
 * How long a call for `tokens` would wait in fixed windows, by the rule of
 * `RateLimiter.consume`: the n-th `limit` of tokens is for the n-th window, and
 * each token moves the end by its share of a window.
 */
const waitInWindows = (rules: Rules, tokens: number, now: RateLimiter.ConsumeResult): Duration.Duration => {
  const window = Duration.toMillis(rules.window)
  const taken = rules.limit - now.remaining
  const elapsed = taken * (window / rules.limit) - Duration.toMillis(now.resetAfter)
  const windows = Math.floor((taken + tokens - 1) / rules.limit)
  return Duration.millis(Math.max(0, windows * window - elapsed))
}

const inMonotonicTime = (store: RateLimiter.RateLimiterStore["Service"]): RateLimiter.RateLimiterStore["Service"] => {
  let wall: Clock.Clock | undefined
  let monotonic!: Clock.Clock
  const run = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.withFiber((fiber) => {
      const clock = fiber.getRef(Clock.Clock)
      if (clock !== wall) {
        wall = clock
        monotonic = monotonicClock(clock)
      }
      return Effect.provideService(effect, Clock.Clock, monotonic)
    })
  return {
    fixedWindow: (options) => run(store.fixedWindow(options)),
    tokenBucket: (options) => run(store.tokenBucket(options)),
    adaptiveConsume: (options) => run(store.adaptiveConsume(options)),
    adaptiveFeedback: (options) => run(store.adaptiveFeedback(options))
  }
}

/** Tells monotonic time where it is asked for the time of day. */
const monotonicClock = (clock: Clock.Clock): Clock.Clock => {
  const nanos = () => clock.monotonicTimeNanosUnsafe()
  const millis = () => Math.floor(Number(nanos()) / 1e6)
  return {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: (duration) => clock.sleep(duration)
  }
}
