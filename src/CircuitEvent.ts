/**
 * Events of a circuit, as values: each change of its state, and the outcome of
 * each call while the events have a subscriber.
 *
 * Events are plain, serialisable with Schema, numbered per circuit and stamped
 * with the wall clock. They are published after the decision they tell of, so
 * no listener can delay or fail a call.
 *
 * **Example** (Watching a circuit change its state)
 *
 * ```ts import.meta.vitest
 * import { Effect, Fiber, Stream } from "effect"
 * import { CircuitBreaker, CircuitPolicy } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({
 *     name: "payment-api",
 *     policy: CircuitPolicy.make({ consecutiveFailures: 1 })
 *   })
 *   const changes = yield* breaker.events.pipe(
 *     Stream.filter((event) => event._tag === "StateChanged"),
 *     Stream.take(1),
 *     Stream.runCollect,
 *     Effect.forkChild({ startImmediately: true })
 *   )
 *
 *   yield* breaker.execute(Effect.fail("unavailable")).pipe(Effect.ignore)
 *
 *   const [change] = yield* Fiber.join(changes)
 *   return `${change?.from} -> ${change?.to}: ${change?.reason}`
 * })
 *
 * await Effect.runPromise(program) // => "Closed -> Open: ConsecutiveFailures"
 * ```
 *
 * @stability unstable
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { DurationOrInfinity } from "./internal/time/durationCodec.ts"
import { reasonText } from "./internal/words.ts"
import { LastFailure } from "./ResilienceError.ts"

/**
 * The states of a circuit.
 *
 * **Details**
 *
 * - `Closed`: calls run and are counted.
 * - `Open`: calls are rejected until the open time ends.
 * - `HalfOpen`: a few calls run as probes, the rest are rejected.
 * - `ForcedOpen`: an operator rejects all calls.
 * - `Disabled`: calls run and nothing is counted.
 * - `MetricsOnly`: calls run and are counted, and the circuit never opens.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const CircuitState = Schema.Literals(["Closed", "Open", "HalfOpen", "ForcedOpen", "Disabled", "MetricsOnly"])

/**
 * A value of the schema `CircuitState`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type CircuitState = typeof CircuitState.Type

const fields = {
  circuit: Schema.String,
  sequence: Schema.Int,
  timestamp: Schema.Number
}

/**
 * The circuit changed its state.
 *
 * **Details**
 *
 * - `sequence`: number of the event, per circuit, from 1.
 * - `timestamp`: wall-clock time, in milliseconds since 1970.
 * - `reason`: why. `Manual` for what an operator did, with the operator's own
 *   words in `note` if there are any.
 * - `retryAfter`: how long the circuit will reject calls; zero unless it opened.
 * - `openings`: openings in a row, this one included.
 * - `elapsed`: time spent in the state before.
 * - `consecutiveFailures`, `failureRate`, `slowCallRate`, `calls`: the counts of
 *   the circuit when it changed.
 * - `probes`: the verdicts of the probes, if the circuit was half-open and in no
 *   recovery ramp; the counts are then those that it opened with.
 * - `lastFailure`: the last failure before it, if that is known.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const StateChanged = Schema.TaggedStruct("StateChanged", {
  ...fields,
  from: CircuitState,
  to: CircuitState,
  reason: Schema.Literals([
    "ConsecutiveFailures",
    "FailureRate",
    "SlowCallRate",
    "ProbeFailed",
    "ProbesSucceeded",
    "ProbeTimedOut",
    "OpenTimeEnded",
    "Manual"
  ]),
  note: Schema.optional(Schema.String),
  retryAfter: DurationOrInfinity,
  openings: Schema.Int,
  elapsed: Schema.DurationFromMillis,
  consecutiveFailures: Schema.Int,
  failureRate: Schema.Number,
  slowCallRate: Schema.Number,
  calls: Schema.Int,
  probes: Schema.optional(Schema.Struct({ successes: Schema.Int, failures: Schema.Int })),
  lastFailure: Schema.optional(LastFailure)
})

/**
 * A value of the schema `StateChanged`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type StateChanged = typeof StateChanged.Type

/**
 * Describes why a circuit changed its state, in the words of the dashboard and
 * the command line.
 *
 * **Example** (Printing transitions)
 *
 * ```ts import.meta.vitest
 * import { Effect, Fiber, Stream } from "effect"
 * import { CircuitBreaker, CircuitEvent } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({ name: "payment-api" })
 *   const reasons = yield* breaker.changes.pipe(
 *     Stream.filter((change) => change._tag === "StateChanged"),
 *     Stream.map(CircuitEvent.describeReason),
 *     Stream.take(1),
 *     Stream.runCollect,
 *     Effect.forkChild({ startImmediately: true })
 *   )
 *   yield* CircuitBreaker.withNote(breaker.forceOpen(), "maintenance")
 *   return yield* Fiber.join(reasons)
 * })
 *
 * await Effect.runPromise(program) // => ["by hand: maintenance"]
 * ```
 *
 * @stability unstable
 * @category getters
 * @since 0.1.0
 */
export const describeReason = (change: StateChanged): string => reasonText(change)

/**
 * A call ended with the outcome `Success`, `Failure` or `Ignored`, was
 * `Rejected`, or ended `Late`: after the circuit had left the state it was
 * admitted in, so that it no longer counted.
 *
 * **Details**
 *
 * `duration` is there if the circuit's policy measures it, and `lastFailure`
 * describes the error if the outcome is `Failure`. Calls are published only
 * while the events have a subscriber.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const CallEnded = Schema.TaggedStruct("CallEnded", {
  ...fields,
  outcome: Schema.Literals(["Success", "Failure", "Ignored", "Rejected", "Late"]),
  state: CircuitState,
  slow: Schema.Boolean,
  duration: Schema.optional(Schema.DurationFromMillis),
  consecutiveFailures: Schema.Int,
  lastFailure: Schema.optional(LastFailure)
})

/**
 * A value of the schema `CallEnded`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type CallEnded = typeof CallEnded.Type

/**
 * The circuit was given another policy.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const Reconfigured = Schema.TaggedStruct("Reconfigured", {
  ...fields,
  changed: Schema.Array(Schema.String)
})

/**
 * A value of the schema `Reconfigured`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Reconfigured = typeof Reconfigured.Type

/**
 * What changes a circuit, as against what happens to its calls.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const CircuitChange = Schema.Union([StateChanged, Reconfigured])

/**
 * What changes a circuit, as against what happens to its calls.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type CircuitChange = typeof CircuitChange.Type

/**
 * Anything that happens in a circuit.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const CircuitEvent = Schema.Union([StateChanged, CallEnded, Reconfigured])

/**
 * A value of the schema `CircuitEvent`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type CircuitEvent = typeof CircuitEvent.Type
