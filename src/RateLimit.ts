/**
 * A limit on how many calls run in a window of time, in one process or in all
 * that share a store.
 *
 * It is Effect's own `RateLimiter` as a combinator with a typed rejection: one
 * limit is made once, has a name, and is used on any number of calls.
 *
 * **Details**
 *
 * A call that finds no token left fails with `RateLimitExceededError`, or waits
 * for its turn, as `onExceeded` says. A rejection is no verdict on the
 * dependency: circuits ignore it.
 *
 * Tokens are kept by the `RateLimiter` service. `layerMemory` keeps them in
 * this process; `RateLimiter.layer` with `RateLimiter.layerStoreRedis`, both
 * from `effect/persistence/RateLimiter`, shares them between processes.
 *
 * **Gotchas**
 *
 * - A call that waits has taken its tokens already, and does not give them back
 *   if it is interrupted: whoever asked later was told to wait behind it. Set
 *   `maxWait` to no more than callers are ready to wait.
 * - The stores know a limit by its name and key alone. Two limits of one name
 *   on one store share their tokens.
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
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Predicate from "effect/Predicate"
import * as References from "effect/References"
import { checkCount, checkDuration, checkOptions, refuse } from "./internal/check.ts"
import { rateLimitExceededError } from "./internal/rejection.ts"
import { writeLog } from "./internal/writeLog.ts"
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

  /** How it limits, as `at most 100 calls per 1m (fixed-window), the rest delayed up to 5s`. */
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
 *   window, `"token-bucket"` one by one; `"fixed-window"` by default.
 * - `onExceeded`: `"fail"` rejects a call that finds no token, `"delay"` lets it
 *   wait for its turn; `"fail"` by default.
 * - `maxWait`: with `"delay"`, longest wait; no limit by default. A call that
 *   would have to wait longer is rejected at once and takes no tokens.
 * - `tokens`: tokens of one call, from 1 to `limit`; 1 by default.
 * - `onStoreError`: `"allow"` runs calls when the store fails, and logs it at
 *   `References.UnhandledLogLevel`; `"fail"` fails them with
 *   `RateLimitStoreError`. `"allow"` by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<S extends OnStoreError = OnStoreError> {
  readonly limit: number
  readonly window: Duration.Input
  readonly algorithm?: "fixed-window" | "token-bucket" | undefined
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
 *
 * @category models
 * @since 0.1.0
 */
export interface CallOptions {
  readonly key?: string | undefined
  readonly tokens?: number | undefined
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
 * Throws a `RangeError` if an option is out of its range.
 *
 * **Gotchas**
 *
 * With `maxWait`, calls that ask for the last places at the very same time can
 * find that they would wait too long after all. They are rejected, but have
 * taken their tokens.
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
 *     algorithm: "token-bucket",
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
 * ) // => "at most 10 calls per 100ms (token-bucket), the rest delayed up to 1s"
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
): Effect.Effect<RateLimit<StoreError<S>>, never, RateLimiter.RateLimiter> =>
  makeParsed(parse("RateLimit.make", options), options.name)

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
): Effect.Effect<RateLimit<StoreError<S>>> =>
  Effect.provide(makeParsed(parse("RateLimit.makeMemory", options), options.name), layerMemory, { local: true })

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
} = dual(
  // The class of a service is an effect too, so data-first calls are told by their second argument.
  (args) => isRateLimit(args[1]) || Context.isKey(args[1]),
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    target: Target,
    options?: CallOptions
  ): Effect.Effect<A, unknown, R> =>
    isRateLimit(target)
      ? target.execute(self, options)
      : Effect.withFiber((fiber) =>
        Context.getUnsafe(fiber.context, target as Context.Key<never, RateLimit<unknown>>).execute(self, options)
      )
)

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
  const tag = Context.Service<Self, RateLimit<StoreError<S>>>()(`effect-resilience/RateLimit/${name}` as const)
  const rules = parse("RateLimit.Service", options)
  const layer = Layer.effect(tag, makeParsed<StoreError<S>>(rules, name))
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
 * It counts in monotonic time, so that setting the machine's clock changes
 * nothing.
 *
 * **Gotchas**
 *
 * Every key that was ever used stays in memory, as long as the layer lives. Use
 * keys of which there is a bounded number.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<RateLimiter.RateLimiter> = /* @__PURE__ */ Layer.suspend(() =>
  RateLimiter.layer.pipe(
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
  readonly limit: number
  readonly window: Duration.Duration
  readonly algorithm: "fixed-window" | "token-bucket"
  readonly tokens: number
  /** Zero rejects what would have to wait. */
  readonly maxWait: Duration.Duration
  readonly onStoreError: OnStoreError
}

const parse = (caller: string, options: Options): Rules => {
  const { algorithm = "fixed-window", onExceeded = "fail", onStoreError = "allow" } = checkOptions(caller, options)
  checkOneOf(`${caller}: algorithm`, ["fixed-window", "token-bucket"], algorithm)
  checkOneOf(`${caller}: onExceeded`, ["fail", "delay"], onExceeded)
  checkOneOf(`${caller}: onStoreError`, ["allow", "fail"], onStoreError)
  if (options.maxWait !== undefined && onExceeded !== "delay") {
    throw new RangeError(`${caller}: maxWait must come with onExceeded "delay", got "${onExceeded}"`)
  }
  const limit = checkCount(`${caller}: limit`, options.limit)
  return {
    limit,
    window: checkDuration(`${caller}: window`, options.window, { positive: true, finite: true }),
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

const checkOneOf = (field: string, accepted: ReadonlyArray<string>, value: string): void => {
  if (accepted.includes(value)) return
  return refuse(field, accepted.map((value) => `"${value}"`).join(" or "), value)
}

const describe = ({ algorithm, limit, maxWait, tokens, window }: Rules): string => {
  const [count, unit] = tokens === 1 ? [limit, limit === 1 ? "call" : "calls"] : [limit, "tokens"]
  const parts = [`at most ${count} ${unit} per ${Duration.format(window)} (${algorithm})`]
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

const makeParsed = <E>(
  rules: Rules,
  name: string
): Effect.Effect<RateLimit<E>, never, RateLimiter.RateLimiter> =>
  Effect.map(RateLimiter.RateLimiter, (limiter) => new Limit<E>(name, rules, limiter))

type Consumed = Effect.Effect<RateLimiter.ConsumeResult, RateLimiter.RateLimiterError>

/** How to take the tokens of a call. */
interface Take {
  /** Takes them if no wait is needed, or however long the wait, if waits have no limit. */
  readonly first: Consumed
  /** Finds out how long the wait would be after `first` found none left. Takes none. */
  readonly wait: (
    exceeded: RateLimiter.RateLimitExceeded
  ) => Effect.Effect<Duration.Duration, RateLimiter.RateLimiterError>
  /** Takes them, however long the wait. */
  readonly reserve: () => Consumed
}

class Limit<E> implements RateLimit<E> {
  readonly [TypeId]: TypeId = TypeId
  readonly name: string
  private readonly rules: Rules
  private readonly limiter: RateLimiter.RateLimiter
  private readonly plain: Take

  constructor(name: string, rules: Rules, limiter: RateLimiter.RateLimiter) {
    this.name = name
    this.rules = rules
    this.limiter = limiter
    this.plain = this.take(name, rules.tokens)
  }

  get description(): string {
    return describe(this.rules)
  }

  get execute(): RateLimit<E>["execute"] {
    return (self, options) => {
      const take = options === undefined ? this.plain : this.takeFor(options)
      return Effect.matchEffect(take.first, {
        onSuccess: ({ delay }) => after(delay, self),
        onFailure: (error) => Effect.flatMap(this.recover(error, take), (delay) => after(delay, self))
      })
    }
  }

  private takeFor({ key, tokens }: CallOptions): Take {
    return this.take(
      // A slash: the stores put a colon between a key and what they add to it.
      key === undefined ? this.name : `${this.name}/${key}`,
      tokens === undefined ? this.rules.tokens : checkCount("RateLimit.execute: tokens", tokens, this.rules.limit)
    )
  }

  private take(key: string, tokens: number): Take {
    const { algorithm, limit, maxWait, window } = this.rules
    const consume = (tokens: number, onExceeded: "fail" | "delay"): Consumed =>
      this.limiter.consume({ key, tokens, limit, window, algorithm, onExceeded })
    return {
      first: consume(tokens, Duration.isFinite(maxWait) ? "fail" : "delay"),
      wait: algorithm === "token-bucket"
        ? (exceeded) => Effect.succeed(exceeded.retryAfter)
        // It says when the window ends, and not how many wait for the ends of this and later windows. Asking for no
        // tokens tells.
        : () => Effect.map(consume(0, "delay"), (now) => waitInWindows(this.rules, tokens, now)),
      reserve: () => consume(tokens, "delay")
    }
  }

  /** Finds out how long a call has to wait, when it cannot run at once. */
  private recover(
    error: RateLimiter.RateLimiterError,
    take: Take
  ): Effect.Effect<Duration.Duration, RateLimitExceededError | E> {
    const { maxWait } = this.rules
    if (error.reason._tag !== "RateLimitExceeded" || Duration.isZero(maxWait)) return this.failed(error)
    const { reason } = error
    return Effect.gen({ self: this }, function*() {
      const wait = yield* take.wait(reason)
      if (Duration.isGreaterThan(wait, maxWait)) return yield* this.exceeded(wait)
      const { delay } = yield* take.reserve()
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
    return Effect.fail(rateLimitExceededError(this.name, this.rules.limit, retryAfter))
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
