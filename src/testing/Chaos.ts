/**
 * Injects faults on purpose: calls fail, die, hang, slow down or lose their
 * response, according to policies and a seed.
 *
 * A *point* is a named place where something may go wrong. `withChaos` marks it
 * in the program and does nothing until a `Chaos` is provided; `layer` provides
 * one and says what goes wrong at which point. The same program runs untouched
 * in production and broken in a test or in staging.
 *
 * **Details**
 *
 * - Off by default: without the Layer, `withChaos` passes the call through.
 * - What happens to the n-th call of a point depends on the seed, the point and
 *   `n` only: not on the randomness of the program or the calls of other points.
 *   The same seed gives the same faults.
 * - A fault is an error of the program's own type. Without one it is a
 *   `ChaosError`, as a defect.
 * - Time counts from when the chaos was made or last started, on the monotonic
 *   clock of the fiber that made it: in a test on the `TestClock`.
 *
 * **Gotchas**
 *
 * - Put the point where the dependency is, inside of everything that protects
 *   against it: timeout, circuit breaker, retry.
 * - Concurrent calls are numbered in the order in which they start. If that
 *   order varies, so do the faults of each call.
 *
 * **Example** (Breaking a program in a test)
 *
 * ```ts import.meta.vitest
 * import { Data, Effect } from "effect"
 * import { Retry } from "effect-resilience"
 * import { Chaos } from "effect-resilience/testing"
 *
 * class PaymentError extends Data.TaggedError("PaymentError") {}
 *
 * const charge = Effect.succeed("charged").pipe(
 *   Chaos.withChaos("payment-api", { error: () => new PaymentError() }),
 *   Retry.withRetry({ maxAttempts: 3, baseDelay: "1 millis" })
 * )
 *
 * await Effect.runPromise(charge) // => "charged"
 *
 * const broken = Chaos.layer({ points: { "payment-api": [Chaos.fault()] } })
 * const error = await Effect.runPromise(charge.pipe(Effect.flip, Effect.provide(broken)))
 * error._tag // => "RetryExhaustedError"
 * ```
 *
 * @stability unstable
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual, identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Types from "effect/Types"
import { checkDuration, checkFunction, checkOptions, isObject, optionNames, refuse } from "../internal/check.ts"
import { applies, type Calls, checkCalls, describe, KINDS, type Step } from "./internal/plan.ts"
import { checkPolicies, makeOrigin, PointState } from "./internal/point.ts"
import { Points } from "./internal/points.ts"
import { wrapService } from "./internal/wrapService.ts"

/**
 * Identifies a policy of `Chaos` at runtime.
 *
 * @stability unstable
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-resilience/testing/Chaos"

/**
 * Identifies a policy of `Chaos` in types.
 *
 * @stability unstable
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-resilience/testing/Chaos"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * The kinds of policies, and of the faults they inject.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const Kind = Schema.Literals(KINDS)

/**
 * A value of the schema `Kind`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Kind = typeof Kind.Type

/**
 * A call that has reached a point.
 *
 * **Details**
 *
 * - `point`: the name of the point.
 * - `number`: the number of the call at this point, from 1.
 * - `elapsed`: time since the chaos was made or last started.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly point: string
  readonly number: number
  readonly elapsed: Duration.Duration
}

/**
 * A fault, delay or effect injected into a call.
 *
 * **Details**
 *
 * - `delay`: the time that a `latency`, `degradation` or `block` adds.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Injection extends Call {
  readonly kind: Kind
  readonly delay: Duration.Duration | undefined
}

/**
 * The number of calls and injections of a point.
 *
 * **Details**
 *
 * - `calls`: all calls that reached it.
 * - `untouched`: the calls without an injection.
 * - `injected`: injections by kind. A call that was slowed down and then failed
 *   counts twice.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Counts {
  readonly calls: number
  readonly untouched: number
  readonly injected: Readonly<Record<Kind, number>>
}

/**
 * The error of a fault for which no other error was given. It is a defect,
 * unless a program puts it into an error channel itself.
 *
 * @stability unstable
 * @category errors
 * @since 0.1.0
 */
export class ChaosError extends Schema.TaggedError<ChaosError>()("ChaosError", {
  point: Schema.String,
  kind: Kind,
  call: Schema.Int
}) {
  override get message(): string {
    return `Chaos: ${this.kind} injected into call ${this.call} of "${this.point}"`
  }
}

const chaosError = (kind: Kind, call: Call) => new ChaosError({ point: call.point, kind, call: call.number })

// -----------------------------------------------------------------------------
// policies
// -----------------------------------------------------------------------------

/**
 * What goes wrong, and how often.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Policy<out A = never, out E = never, out R = never> {
  readonly [TypeId]: {
    readonly _A: Types.Covariant<A>
    readonly _E: Types.Covariant<E>
    readonly _R: Types.Covariant<R>
  }
  readonly kind: Kind

  /** The policy in words, as `latency of 200ms, 10% of calls`. */
  readonly description: string

  /**
   * The step for a call, given two numbers from 0 to 1.
   *
   * @internal
   */
  readonly decide: (call: Call, chance: number, size: number) => Step<A, E, R> | undefined
}

/**
 * The options of every policy: which calls it applies to. All conditions must
 * hold.
 *
 * **Details**
 *
 * - `rate`: the share of calls, 0 to 1; all by default.
 * - `from`: when it begins; at once by default.
 * - `for`: how long it lasts from then on; without end by default.
 * - `when`: a predicate on the call; all calls by default.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface PolicyOptions {
  readonly rate?: number | undefined
  readonly from?: Duration.Input | undefined
  readonly for?: Duration.Input | undefined
  readonly when?: ((call: Call) => boolean) | undefined
}

const variance = { _A: identity, _E: identity, _R: identity }

const makePolicy = <A, E, R>(
  kind: Kind,
  calls: Calls,
  details: string,
  step: (call: Call, elapsed: number, size: number) => Step<A, E, R> | undefined
): Policy<A, E, R> => ({
  [TypeId]: variance,
  kind,
  description: describe(kind, calls, details),
  decide: (call, chance, size) =>
    applies(calls, call, chance) ? step(call, Duration.toMillis(call.elapsed) - calls.from, size) : undefined
})

/**
 * Fails calls.
 *
 * **Details**
 *
 * - `error`: makes the error of each failed call. By default that of the point;
 *   if the point has none either, the call dies with a `ChaosError`.
 * - `at`: `"request"`, the default, fails instead of making the call.
 *   `"response"` makes the call and fails although it succeeded, like a
 *   connection that breaks before the response arrives. The effects of the call
 *   remain.
 *
 * **Example** (Losing the responses)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Chaos } from "effect-resilience/testing"
 *
 * let charged = 0
 * const program = Effect.gen(function*() {
 *   const point = yield* Chaos.makePoint("payment-api", {
 *     policies: [Chaos.fault({ at: "response", error: () => "connection reset" })]
 *   })
 *   return yield* Effect.sync(() => ++charged).pipe(point.execute, Effect.flip)
 * })
 *
 * await Effect.runPromise(program) // => "connection reset"
 * charged // => 1
 * ```
 *
 * @stability unstable
 * @category policies
 * @since 0.1.0
 */
export const fault = <E = never>(
  options: PolicyOptions & {
    readonly error?: ((call: Call) => E) | undefined
    readonly at?: "request" | "response" | undefined
  } = {}
): Policy<never, E> => {
  const calls = checkCalls("fault", options, OPTION_NAMES.fault)
  const { at = "request" } = options
  const error = checkFunction("Chaos.fault: error", options.error)
  return makePolicy("fault", calls, at === "request" ? "" : "after the response", () => ({ _tag: "Fail", error, at }))
}

/**
 * Fails all calls for a period, by `from` and `for`.
 *
 * **Example** (An outage of half a minute)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { TestClock } from "effect/testing"
 * import { Chaos } from "effect-resilience/testing"
 *
 * const program = Effect.gen(function*() {
 *   const point = yield* Chaos.makePoint("payment-api", {
 *     policies: [Chaos.outage({ from: "10 seconds", for: "30 seconds", error: () => "down" })]
 *   })
 *   const call = Effect.succeed("up").pipe(point.execute, Effect.catch(Effect.succeed))
 *   const before = yield* call
 *   yield* TestClock.adjust("10 seconds")
 *   const during = yield* call
 *   yield* TestClock.adjust("30 seconds")
 *   return [before, during, yield* call]
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(TestClock.layer()))) // => ["up", "down", "up"]
 * ```
 *
 * @see {@link Point} for starting and ending an outage by hand
 *
 * @stability unstable
 * @category policies
 * @since 0.1.0
 */
export const outage = <E = never>(
  options: Omit<PolicyOptions, "rate"> & { readonly error?: ((call: Call) => E) | undefined } = {}
): Policy<never, E> => {
  const calls = checkCalls("outage", options, OPTION_NAMES.outage)
  const error = checkFunction("Chaos.outage: error", options.error)
  return makePolicy("outage", calls, "", () => ({ _tag: "Fail", error, at: "request" }))
}

/**
 * Alternates between periods in which calls pass and periods in which all calls
 * fail.
 *
 * **Example** (Flapping)
 *
 * ```ts import.meta.vitest
 * import { Chaos } from "effect-resilience/testing"
 *
 * const flapping = Chaos.flapping({ up: "20 seconds", down: "5 seconds" })
 *
 * flapping.description // => "flapping 20s up and 5s down"
 * ```
 *
 * @stability unstable
 * @category policies
 * @since 0.1.0
 */
export const flapping = <E = never>(
  options: Omit<PolicyOptions, "rate"> & {
    readonly up: Duration.Input
    readonly down: Duration.Input
    readonly error?: ((call: Call) => E) | undefined
  }
): Policy<never, E> => {
  const calls = checkCalls("flapping", options, OPTION_NAMES.flapping)
  const up = checkPositive("Chaos.flapping: up", options.up)
  const down = checkPositive("Chaos.flapping: down", options.down)
  const error = checkFunction("Chaos.flapping: error", options.error)
  const period = Duration.toMillis(up) + Duration.toMillis(down)
  return makePolicy(
    "flapping",
    calls,
    `${Duration.format(up)} up and ${Duration.format(down)} down`,
    (_, elapsed) => elapsed % period < Duration.toMillis(up) ? undefined : { _tag: "Fail", error, at: "request" }
  )
}

/**
 * Makes calls die with a defect, by default a `ChaosError`.
 *
 * @stability unstable
 * @category policies
 * @since 0.1.0
 */
export const defect = (
  options: PolicyOptions & { readonly defect?: ((call: Call) => unknown) | undefined } = {}
): Policy => {
  const calls = checkCalls("defect", options, OPTION_NAMES.defect)
  const make = checkFunction("Chaos.defect: defect", options.defect) ?? ((call: Call) => chaosError("defect", call))
  return makePolicy(
    "defect",
    calls,
    "",
    (call) => ({ _tag: "Instead", run: Effect.suspend(() => Effect.die(make(call))) })
  )
}

/**
 * Ends calls by interruption, as if a dependency had interrupted them.
 *
 * @stability unstable
 * @category policies
 * @since 0.1.0
 */
export const interruption = (options: PolicyOptions = {}): Policy =>
  makePolicy(
    "interruption",
    checkCalls("interruption", options, OPTION_NAMES.interruption),
    "",
    () => ({ _tag: "Instead", run: Effect.interrupt })
  )

/**
 * Makes calls never return. They can be interrupted, so a timeout ends them.
 *
 * @see {@link block} for calls that cannot be interrupted
 *
 * @stability unstable
 * @category policies
 * @since 0.1.0
 */
export const hang = (options: PolicyOptions = {}): Policy =>
  makePolicy(
    "hang",
    checkCalls("hang", options, OPTION_NAMES.hang),
    "",
    () => ({ _tag: "Instead", run: Effect.never })
  )

/**
 * Makes calls ignore interruption for a while before they run, like a driver
 * without cancellation.
 *
 * **When to use**
 *
 * Use to test whether a timeout returns in time: it does with `disconnect`.
 *
 * @stability unstable
 * @category policies
 * @since 0.1.0
 */
export const block = (options: PolicyOptions & { readonly duration: Duration.Input }): Policy => {
  const calls = checkCalls("block", options, OPTION_NAMES.block)
  const delay = checkPositive("Chaos.block: duration", options.duration)
  const run = Effect.uninterruptible(Effect.sleep(delay))
  return makePolicy("block", calls, `for ${Duration.format(delay)}`, () => ({ _tag: "Before", run, delay }))
}

/**
 * Delays calls by `delay`, or by a random time from `delay` to `maxDelay`, in
 * whole milliseconds.
 *
 * **Example** (Slowing down one call in ten)
 *
 * ```ts import.meta.vitest
 * import { Chaos } from "effect-resilience/testing"
 *
 * const slow = Chaos.latency({ rate: 0.1, delay: "200 millis", maxDelay: "2 seconds" })
 *
 * slow.description // => "latency of 200ms to 2s, 10% of calls"
 * ```
 *
 * @stability unstable
 * @category policies
 * @since 0.1.0
 */
export const latency = (
  options: PolicyOptions & { readonly delay: Duration.Input; readonly maxDelay?: Duration.Input | undefined }
): Policy => {
  const calls = checkCalls("latency", options, OPTION_NAMES.latency)
  const delay = checkDuration("Chaos.latency: delay", options.delay, { finite: true })
  const maxDelay = checkDuration("Chaos.latency: maxDelay", options.maxDelay ?? delay, { finite: true })
  const [least, most] = [Duration.toMillis(delay), Duration.toMillis(maxDelay)]
  if (most < least) {
    throw new RangeError(`Chaos.latency: maxDelay must be at least delay, ${least} ms, got ${most} ms`)
  }
  const range = most === least ? Duration.format(delay) : `${Duration.format(delay)} to ${Duration.format(maxDelay)}`
  return makePolicy("latency", calls, `of ${range}`, (_, __, size) => slowBy(least + size * (most - least)))
}

/**
 * Delays calls more and more: not at all at first, by `to` after `over`, and by
 * `to` from then on.
 *
 * **Example** (A dependency that degrades)
 *
 * ```ts import.meta.vitest
 * import { Chaos } from "effect-resilience/testing"
 *
 * const degradation = Chaos.degradation({ over: "5 minutes", to: "3 seconds" })
 *
 * degradation.description // => "degradation to 3s over 5m"
 * ```
 *
 * @stability unstable
 * @category policies
 * @since 0.1.0
 */
export const degradation = (
  options: PolicyOptions & { readonly over: Duration.Input; readonly to: Duration.Input }
): Policy => {
  const calls = checkCalls("degradation", options, OPTION_NAMES.degradation)
  const over = checkPositive("Chaos.degradation: over", options.over)
  const to = checkPositive("Chaos.degradation: to", options.to)
  return makePolicy(
    "degradation",
    calls,
    `to ${Duration.format(to)} over ${Duration.format(over)}`,
    (_, elapsed) => slowBy(Duration.toMillis(to) * Math.min(1, elapsed / Duration.toMillis(over)))
  )
}

const slowBy = (millis: number): Step<never, never, never> | undefined => {
  const delay = Duration.millis(Math.round(millis))
  return Duration.isZero(delay) ? undefined : { _tag: "Before", run: Effect.sleep(delay), delay }
}

/**
 * Runs another effect instead of the call, for a wrong, empty or stale
 * response.
 *
 * **Example** (An empty response)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Chaos } from "effect-resilience/testing"
 *
 * const program = Effect.gen(function*() {
 *   const search = yield* Chaos.makePoint("search", {
 *     policies: [Chaos.outcome({ run: () => Effect.succeed("") })]
 *   })
 *   return yield* Effect.succeed("found").pipe(search.execute)
 * })
 *
 * await Effect.runPromise(program) // => ""
 * ```
 *
 * @stability unstable
 * @category policies
 * @since 0.1.0
 */
export const outcome = <A, E = never, R = never>(
  options: PolicyOptions & { readonly run: (call: Call) => Effect.Effect<A, E, R> }
): Policy<A, E, R> => {
  const calls = checkCalls("outcome", options, OPTION_NAMES.outcome)
  const run = checkRun("Chaos.outcome: run", options.run)
  return makePolicy("outcome", calls, "", (call) => ({ _tag: "Instead", run: Effect.suspend(() => run(call)) }))
}

/**
 * Runs an effect before the call: it clears a cache, closes a connection or
 * kills a server.
 *
 * @stability unstable
 * @category policies
 * @since 0.1.0
 */
export const behaviour = <E = never, R = never>(
  options: PolicyOptions & { readonly run: (call: Call) => Effect.Effect<unknown, E, R> }
): Policy<never, E, R> => {
  const calls = checkCalls("behaviour", options, OPTION_NAMES.behaviour)
  const run = checkRun("Chaos.behaviour: run", options.run)
  return makePolicy<never, E, R>(
    "behaviour",
    calls,
    "",
    (call) => ({ _tag: "Before", run: Effect.suspend(() => run(call)) })
  )
}

const checkPositive = (field: string, input: Duration.Input): Duration.Duration =>
  checkDuration(field, input, { positive: true, finite: true })

const checkRun = <F>(field: string, run: F): F =>
  run === undefined ? refuse(field, "a function", run) : checkFunction(field, run)

type OptionsOf<F extends (options: never) => unknown> = NonNullable<Parameters<F>[0]>

const ANY_CALLS = { rate: true, from: true, for: true, when: true } as const
const ALL_CALLS = { from: true, for: true, when: true } as const

const OPTION_NAMES: Readonly<Record<Kind, ReadonlyArray<string>>> = {
  fault: /* @__PURE__ */ optionNames<OptionsOf<typeof fault>>({ ...ANY_CALLS, error: true, at: true }),
  outage: /* @__PURE__ */ optionNames<OptionsOf<typeof outage>>({ ...ALL_CALLS, error: true }),
  flapping: /* @__PURE__ */ optionNames<OptionsOf<typeof flapping>>({
    ...ALL_CALLS,
    up: true,
    down: true,
    error: true
  }),
  defect: /* @__PURE__ */ optionNames<OptionsOf<typeof defect>>({ ...ANY_CALLS, defect: true }),
  interruption: /* @__PURE__ */ optionNames<OptionsOf<typeof interruption>>(ANY_CALLS),
  hang: /* @__PURE__ */ optionNames<OptionsOf<typeof hang>>(ANY_CALLS),
  block: /* @__PURE__ */ optionNames<OptionsOf<typeof block>>({ ...ANY_CALLS, duration: true }),
  latency: /* @__PURE__ */ optionNames<OptionsOf<typeof latency>>({ ...ANY_CALLS, delay: true, maxDelay: true }),
  degradation: /* @__PURE__ */ optionNames<OptionsOf<typeof degradation>>({ ...ANY_CALLS, over: true, to: true }),
  outcome: /* @__PURE__ */ optionNames<OptionsOf<typeof outcome>>({ ...ANY_CALLS, run: true }),
  behaviour: /* @__PURE__ */ optionNames<OptionsOf<typeof behaviour>>({ ...ANY_CALLS, run: true })
}

// -----------------------------------------------------------------------------
// points
// -----------------------------------------------------------------------------

/**
 * A place where calls are broken, and the means to control it while the program
 * runs.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Point<A = never, E = never, R = never> {
  readonly name: string

  /** Executes a call, broken by the policies or untouched. */
  readonly execute: <A1, E1, R1>(self: Effect.Effect<A1, E1, R1>) => Effect.Effect<A | A1, E | E1, R | R1>

  /** Replaces the policies. The numbers of calls continue. */
  readonly setPolicies: (policies: ReadonlyArray<Policy<A, E, R>>) => Effect.Effect<void>

  /**
   * Fails all calls from now on, without asking the policies, until `endOutage`
   * or for as long as `for`. `error` makes the errors, by default as for `outage`.
   */
  readonly startOutage: (options?: {
    readonly for?: Duration.Input | undefined
    readonly error?: ((call: Call) => E) | undefined
  }) => Effect.Effect<void>

  /** Ends an outage that was started by hand. */
  readonly endOutage: Effect.Effect<void>

  /** Applies the policies, again if it was stopped. Time counts from now on. */
  readonly start: Effect.Effect<void>

  /** Passes all calls through untouched until the next start. Calls in progress are not affected. */
  readonly stop: Effect.Effect<void>

  /** The number of calls and injections. */
  readonly counts: Effect.Effect<Counts>

  /** The last 1,000 injections, oldest first. */
  readonly injections: Effect.Effect<ReadonlyArray<Injection>>
}

type PolicySuccess<P> = P extends Policy<infer A, infer _E, infer _R> ? A : never
type PolicyError<P> = P extends Policy<infer _A, infer E, infer _R> ? E : never
type PolicyServices<P> = P extends Policy<infer _A, infer _E, infer R> ? R : never

/**
 * Makes a point of its own, without a Layer.
 *
 * **When to use**
 *
 * Use in a test that makes its own calls. The type of `execute` has the errors
 * and services of the policies.
 *
 * **Details**
 *
 * - `policies`: what goes wrong, applied in order. Latencies add up; the first
 *   policy that fails or replaces a call ends the list.
 * - `seed`: decides which calls are hit; drawn from the program's `Random` by
 *   default.
 *
 * **Example** (Failing a third of the calls)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Chaos } from "effect-resilience/testing"
 *
 * const program = Effect.gen(function*() {
 *   const point = yield* Chaos.makePoint("payment-api", {
 *     seed: 7,
 *     policies: [Chaos.fault({ rate: 1 / 3, error: () => "down" })]
 *   })
 *   const calls = yield* Effect.replicateEffect(Effect.succeed("up").pipe(point.execute, Effect.catch(Effect.succeed)), 300)
 *   return calls.filter((result) => result === "down").length === (yield* point.counts).injected.fault
 * })
 *
 * await Effect.runPromise(program) // => true
 * ```
 *
 * @stability unstable
 * @category constructors
 * @since 0.1.0
 */
export const makePoint = <const P extends ReadonlyArray<Policy<unknown, unknown, unknown>>>(
  name: string,
  options: { readonly policies: P; readonly seed?: string | number | undefined }
): Effect.Effect<Point<PolicySuccess<P[number]>, PolicyError<P[number]>, PolicyServices<P[number]>>> => {
  checkOptions("Chaos.makePoint", options, POINT_OPTIONS)
  const policies = checkPolicies("Chaos.makePoint: policies", options.policies) as ReadonlyArray<
    Policy<PolicySuccess<P[number]>, PolicyError<P[number]>, PolicyServices<P[number]>>
  >
  return Effect.map(
    makeOrigin(options.seed),
    (origin) => new PointState({ ...origin, name, policies, active: true, unnamed: chaosError })
  )
}

const POINT_OPTIONS = /* @__PURE__ */ optionNames<Parameters<typeof makePoint>[1]>({ policies: true, seed: true })

// -----------------------------------------------------------------------------
// services
// -----------------------------------------------------------------------------

/**
 * All points of a program.
 *
 * @stability unstable
 * @category services
 * @since 0.1.0
 */
export interface Chaos {
  readonly [TypeId]: TypeId

  /** The seed, for repeating the same faults. */
  readonly seed: string

  /** Returns the point with that name, and creates it if there is none. */
  readonly point: (name: string) => Effect.Effect<Point>

  /** The points named in the options that no call has reached, perhaps because the name is misspelt. */
  readonly unreached: Effect.Effect<ReadonlyArray<string>>

  /** Starts all points, see `Point`. */
  readonly start: Effect.Effect<void>

  /** Stops all points, see `Point`. */
  readonly stop: Effect.Effect<void>

  /** The number of calls and injections of all points together. */
  readonly counts: Effect.Effect<Counts>
}

/**
 * All points of a program. A program does not need it to mark a point:
 * `withChaos` looks for it at run time. Tests use it to control the points.
 *
 * @stability unstable
 * @category services
 * @since 0.1.0
 */
export const Chaos: Context.Service<Chaos, Chaos> = /* @__PURE__ */ Context.Service<Chaos>(
  "effect-resilience/testing/Chaos"
)

/**
 * The options of a chaos.
 *
 * **Details**
 *
 * - `seed`: decides which calls are hit; drawn from the program's `Random` by
 *   default, and available as `Chaos.seed`.
 * - `points`: the policies by the name of the point, applied in order. Latencies
 *   add up; the first policy that fails or replaces a call ends the list.
 * - `others`: the policies of all other points; none by default.
 * - `active`: `false` waits for `start`; `true` by default.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly seed?: string | number | undefined
  readonly points?: Readonly<Record<string, ReadonlyArray<Policy>>> | undefined
  readonly others?: ReadonlyArray<Policy> | undefined
  readonly active?: boolean | undefined
}

const OPTIONS = /* @__PURE__ */ optionNames<Options>({ seed: true, points: true, others: true, active: true })

/**
 * Makes a chaos.
 *
 * @stability unstable
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<Chaos> => {
  const { others, points = {} } = checkOptions("Chaos.make", options, OPTIONS)
  if (others !== undefined) checkPolicies("Chaos.make: others", others)
  if (!isObject(points)) refuse("Chaos.make: points", "an object of lists of policies", points)
  for (const [name, policies] of Object.entries(points)) checkPolicies(`Chaos.make: points.${name}`, policies)
  return Effect.map(makeOrigin(options.seed), (origin) => new Points(options, origin, chaosError))
}

/**
 * Provides a chaos.
 *
 * **Gotchas**
 *
 * A point whose name is misspelt breaks nothing, and a test passes for the wrong
 * reason. Check `counts` or `unreached`.
 *
 * **Example** (Controlling an outage by hand)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Chaos } from "effect-resilience/testing"
 *
 * const call = Effect.succeed("up").pipe(
 *   Chaos.withChaos("payment-api", { error: () => "down" }),
 *   Effect.catch(Effect.succeed)
 * )
 *
 * const test = Effect.gen(function*() {
 *   const chaos = yield* Chaos.Chaos
 *   const payments = yield* chaos.point("payment-api")
 *   yield* payments.startOutage()
 *   const during = yield* call
 *   yield* payments.endOutage
 *   return [during, yield* call]
 * })
 *
 * await Effect.runPromise(test.pipe(Effect.provide(Chaos.layer()))) // => ["down", "up"]
 * ```
 *
 * @stability unstable
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Chaos> => Layer.effect(Chaos, make(options))

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * Marks a point: a call that the provided `Chaos` may break.
 *
 * **Details**
 *
 * Without a `Chaos` the call passes through unchanged. `error` makes the error
 * of each fault of this point; its type is added to the error channel. Without
 * it, faults are a `ChaosError` as a defect, and the type of the call does not
 * change.
 *
 * **Gotchas**
 *
 * A `Chaos` keeps every point that a call has reached. Use a bounded number of
 * names.
 *
 * **Example** (Marking a point)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Chaos } from "effect-resilience/testing"
 *
 * const call = Effect.succeed("up").pipe(
 *   Chaos.withChaos("payment-api", { error: (call) => `call ${call.number} failed` })
 * )
 *
 * await Effect.runPromise(call) // => "up"
 *
 * const everySecond = Chaos.layer({
 *   points: { "payment-api": [Chaos.fault({ when: (call) => call.number % 2 === 0 })] }
 * })
 * const twice = Effect.all([call, call].map((call) => Effect.catch(call, Effect.succeed)))
 * await Effect.runPromise(twice.pipe(Effect.provide(everySecond))) // => ["up", "call 2 failed"]
 * ```
 *
 * @see {@link wrapLayer} for breaking a service without touching its code
 *
 * @stability unstable
 * @category combinators
 * @since 0.1.0
 */
export const withChaos: {
  <E2 = never>(
    point: string,
    options?: { readonly error?: ((call: Call) => E2) | undefined }
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | E2, R>
  <A, E, R, E2 = never>(
    self: Effect.Effect<A, E, R>,
    point: string,
    options?: { readonly error?: ((call: Call) => E2) | undefined }
  ): Effect.Effect<A, E | E2, R>
} = /* @__PURE__ */ dual(
  (args) => typeof args[0] !== "string",
  <A, E, R, E2 = never>(
    self: Effect.Effect<A, E, R>,
    point: string,
    options?: { readonly error?: ((call: Call) => E2) | undefined }
  ): Effect.Effect<A, E | E2, R> =>
    Effect.withFiber((fiber): Effect.Effect<A, E | E2, R> => {
      const chaos = Context.getOrUndefined(fiber.context, Chaos)
      return chaos === undefined ? self : (chaos as Points).get(point).begin(self, options?.error)
    })
)

/**
 * Marks every method of a service as one point, without touching its code. The
 * resulting Layer provides the same service, broken as the provided `Chaos`
 * says.
 *
 * **Details**
 *
 * Members that are effects, and effects that functions return, go through the
 * point; everything else, streams included, is unchanged. All methods share one
 * point. `error` makes the error of its faults; every method must be able to
 * fail with it.
 *
 * **Gotchas**
 *
 * - Provide the `Chaos` to the program that calls the service: it is looked up
 *   when a method runs, not when the Layer is built.
 * - Of a service made by `Tiers.layer`, wrap the Layers of the tiers.
 *
 * **Example** (Breaking a service)
 *
 * ```ts import.meta.vitest
 * import { Context, Data, Effect, Layer } from "effect"
 * import { Chaos } from "effect-resilience/testing"
 *
 * class Unavailable extends Data.TaggedError("Unavailable") {}
 *
 * class Accounts extends Context.Service<Accounts, {
 *   readonly getName: (id: string) => Effect.Effect<string, Unavailable>
 * }>()("app/Accounts") {}
 *
 * const AccountsRest = Layer.succeed(Accounts, { getName: (id) => Effect.succeed(`Ada (${id})`) })
 *
 * const broken = AccountsRest.pipe(
 *   Chaos.wrapLayer(Accounts, { point: "accounts", error: () => new Unavailable() }),
 *   Layer.merge(Chaos.layer({ points: { accounts: [Chaos.fault()] } }))
 * )
 *
 * const program = Effect.flatMap(Accounts, (accounts) => accounts.getName("acc-1"))
 *
 * await Effect.runPromise(program.pipe(Effect.provide(AccountsRest))) // => "Ada (acc-1)"
 *
 * const error = await Effect.runPromise(program.pipe(Effect.flip, Effect.provide(broken)))
 * error._tag // => "Unavailable"
 * ```
 *
 * @stability unstable
 * @category combinators
 * @since 0.1.0
 */
export const wrapLayer: {
  <I, S extends object>(
    service: Context.Key<I, S>,
    options: WrapOptions<NoInfer<S>>
  ): <E, R>(self: Layer.Layer<I, E, R>) => Layer.Layer<I, E, R>
  <I, S extends object, E, R>(
    self: Layer.Layer<I, E, R>,
    service: Context.Key<I, S>,
    options: WrapOptions<NoInfer<S>>
  ): Layer.Layer<I, E, R>
} = /* @__PURE__ */ dual(3, <I, S extends object, E, R>(
  self: Layer.Layer<I, E, R>,
  service: Context.Key<I, S>,
  options: WrapOptions<NoInfer<S>>
): Layer.Layer<I, E, R> => {
  const { error, point } = checkOptions("Chaos.wrapLayer", options, WRAP_OPTIONS)
  const wrapped = Effect.map(
    service,
    (instance) => wrapService(instance, (effect) => withChaos(effect, point, { error }))
  )
  return Layer.effect(service, wrapped).pipe(Layer.provide(self))
})

const WRAP_OPTIONS = /* @__PURE__ */ optionNames<WrapOptions<object>>({ point: true, error: true })

/**
 * The options of `wrapLayer`.
 *
 * **Details**
 *
 * - `point`: the name of the point.
 * - `error`: makes the error of its faults; without it they are a `ChaosError`
 *   as a defect.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface WrapOptions<S> {
  readonly point: string
  readonly error?: ((call: Call) => CommonFailure<S>) | undefined
}

/**
 * The errors that every effect, and every function that returns an effect, of a
 * service may fail with.
 *
 * @stability unstable
 * @category utility types
 * @since 0.1.0
 */
export type CommonFailure<S> = { readonly [K in keyof S]: TakesFailure<S[K]> }[keyof S] extends
  (error: infer E) => void ? E : never

type TakesFailure<M> = M extends Effect.Effect<infer _A, infer E, infer _R> ? (error: E) => void
  : M extends (...args: ReadonlyArray<never>) => Effect.Effect<infer _A, infer E, infer _R> ? (error: E) => void
  : never
