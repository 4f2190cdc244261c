/**
 * When a circuit opens, how long it stays open, and how it recovers.
 *
 * A policy is a value: share it between circuits, or spread it into the options
 * of another. `make` documents each field. The presets are policies for common
 * cases.
 *
 * **Example** (Choosing when to open)
 *
 * ```ts import.meta.vitest
 * import { Duration } from "effect"
 * import { CircuitPolicy } from "effect-resilience"
 *
 * const policy = CircuitPolicy.make({
 *   failureRate: 0.5,
 *   minimumCalls: 20,
 *   window: { duration: "30 seconds" },
 *   openDuration: CircuitPolicy.exponential({ initial: "10 seconds", maximum: "2 minutes" })
 * })
 *
 * policy.failureRate // => 0.5
 * policy.consecutiveFailures // => undefined
 * CircuitPolicy.fastFail.description // => "opens after 3 failures in a row, for 30s; up to 3 probes at once, 2 successes close it"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Schedule from "effect/Schedule"
import * as internal from "./internal/circuit/policy.ts"
import * as Presets from "./internal/circuit/presets.ts"
import type * as Outcome from "./Outcome.ts"

/**
 * Identifies policies at runtime. Its value stands for the options that a policy
 * was made from, and is copied where the policy is spread.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export const TypeId: TypeId = internal.TypeId

/**
 * The type of the identifier of policies.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type TypeId = "~effect-resilience/CircuitPolicy"

/**
 * The calls a circuit judges: the last `calls`, or those of the last
 * `duration`, counted in `buckets` (10) that leave the window one by one.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type Window =
  | { readonly calls: number }
  | { readonly duration: Duration.Input; readonly buckets?: number | undefined }

/**
 * A ramp between the successes that would close a circuit and its closing:
 * the share of calls let through grows from `initial` (0.1) to all of them
 * over `duration`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Recovery {
  readonly duration: Duration.Input
  readonly initial?: number | undefined
}

/**
 * How long a circuit stays open: always the same time, a time that grows with
 * each opening in a row, or the delays of a `Schedule`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type OpenDuration = Duration.Input | Exponential | Schedule.Schedule<unknown, number>

/**
 * An open time that grows with each opening in a row.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Exponential {
  readonly _tag: "Exponential"
  readonly initial: Duration.Duration
  readonly multiplier: number
  readonly maximum: Duration.Duration
  readonly jitter: number
}

/**
 * When a circuit opens, how long it stays open, and how it recovers.
 *
 * `E` is the type of the errors that `classify` understands: a circuit with that
 * policy runs calls with these errors only. `make` documents the fields. A rule
 * that is off is `undefined`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface CircuitPolicy<in E = unknown> {
  readonly [TypeId]: object
  readonly consecutiveFailures: number | undefined
  readonly failureRate: number | undefined
  readonly slowCallRate: number | undefined
  readonly slowCallDuration: Duration.Duration | undefined
  readonly minimumCalls: number
  readonly window: { readonly calls: number } | { readonly duration: Duration.Duration; readonly buckets: number }
  readonly openDuration: Duration.Duration | Exponential | Schedule.Schedule<unknown, number>
  readonly maxOpenDuration: Duration.Duration
  readonly halfOpenMaxCalls: number
  readonly successThreshold: number
  readonly halfOpenSample: { readonly calls: number; readonly failureRate: number } | undefined
  readonly halfOpenTimeout: Duration.Duration
  readonly recovery: { readonly duration: Duration.Duration; readonly initial: number } | undefined
  readonly measureDuration: boolean
  readonly classify: Outcome.Classifier<unknown, E> | undefined
  readonly interruptedAfter: Duration.Duration | undefined
  readonly countUnreported: "ignored" | "success"
  readonly describeFailure: FailureDescription | undefined
  /** The policy in words. Spreading a policy does not copy it. */
  readonly description: string
}

/**
 * The text that is kept of a failure: a function of the error, or `false` for
 * none.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export type FailureDescription = ((error: unknown) => string | undefined) | false

/**
 * Options of `make`.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Options<in E = unknown> {
  readonly consecutiveFailures?: number | undefined
  readonly failureRate?: number | undefined
  readonly slowCallRate?: number | undefined
  readonly slowCallDuration?: Duration.Input | undefined
  readonly minimumCalls?: number | undefined
  readonly window?: Window | undefined
  readonly openDuration?: OpenDuration | undefined
  readonly maxOpenDuration?: Duration.Input | undefined
  readonly halfOpenMaxCalls?: number | undefined
  readonly successThreshold?: number | undefined
  readonly halfOpenSample?: { readonly calls: number; readonly failureRate: number } | undefined
  readonly halfOpenTimeout?: Duration.Input | undefined
  readonly recovery?: Recovery | undefined
  readonly measureDuration?: boolean | undefined
  readonly classify?: Outcome.Classifier<unknown, E> | undefined
  readonly interruptedAfter?: Duration.Input | undefined
  readonly countUnreported?: "ignored" | "success" | undefined
  readonly describeFailure?: FailureDescription | undefined
}

/**
 * Makes a policy.
 *
 * **Details**
 *
 * When the circuit opens. Only the rules that are named apply. Without any, the
 * circuit opens after five failures in a row, or when half of the window failed.
 *
 * - `consecutiveFailures`: the failures in a row that open it, at least 1.
 * - `failureRate`: the share of failures in the window that opens it, 0 to 1. A
 *   window without a failure never opens it.
 * - `slowCallRate`: the share of calls in the window longer than
 *   `slowCallDuration` that opens it, 0 to 1, whether they succeed or not. Each
 *   option needs the other. A slow probe then counts as failed.
 * - `minimumCalls`: the calls the window must hold before a rate counts. 10, or
 *   the size of a smaller window.
 * - `window`: `{ calls: 100 }` for the last calls, up to 1,000,000, or
 *   `{ duration: "60 seconds", buckets: 10 }`, the default, for the latest.
 *
 * How long it stays open.
 *
 * - `openDuration`: a duration; `exponential(...)`; or a `Schedule`, whose n-th
 *   delay is the time of the n-th opening in a row and whose last delay repeats.
 *   60 seconds, doubling up to 300, by default. Closing does not reset the count
 *   of openings; staying closed as long as the last opening does.
 * - `maxOpenDuration`: the longest opening that the `retryAfter` of a failure can
 *   ask for, one hour. Limits the hint only, never `openDuration`.
 *
 * How it recovers.
 *
 * - `halfOpenMaxCalls`: probes that run at once, 3. Other calls are rejected.
 * - `successThreshold`: successful probes that close the circuit, 2. Any
 *   failed one opens it again.
 * - `halfOpenSample`: decides by rate instead: `{ calls: 10, failureRate: 0.2 }`
 *   admits ten probes in all, and opens again if a fifth of them fail.
 * - `halfOpenTimeout`: opens the circuit again if probes run that long without a
 *   verdict, 60 seconds; `"Infinity"` never does.
 * - `recovery`: lets a growing share of calls through before the circuit closes.
 *   `{ duration: "1 minute", initial: 0.1 }` admits a tenth of the calls at first
 *   and all after a minute; `initial` is above 0 and at most 1, 0.1 by default.
 *   The ramp has its own counts. It opens again by the rules of the policy, or at
 *   half of the calls if no `failureRate` is named. No ramp by default.
 *
 * How it counts calls.
 *
 * - `classify`: decides the outcome of a call, see `Outcome`.
 * - `interruptedAfter`: counts a call that is interrupted after at least that time
 *   as failed, for callers that give up before a timeout does. Interrupted calls
 *   are ignored by default.
 * - `countUnreported`: the outcome of a permit whose scope ends well without a
 *   report, `"ignored"` (the default) or `"success"`.
 * - `measureDuration`: times every call, for `averageResponseTime`. By default
 *   only if the policy needs the time: for a window of a duration, or slow calls.
 *
 * How it describes failures.
 *
 * - `describeFailure`: the text kept of a failure for people: the class of the
 *   error and the first 200 characters of its message by default. A function
 *   returns another text, or `undefined` for none; `false` keeps nothing.
 *
 * **Gotchas**
 *
 * `minimumCalls` applies to rates only: five failures in a row open the circuit
 * after five calls. For a minimum number of calls in any case, name `failureRate`
 * and not `consecutiveFailures`.
 *
 * A policy that is spread into the options of another counts as the options it
 * was made from: defaults that follow from other fields, as `minimumCalls` from
 * the window, follow from the new ones, also if the same value is written beside
 * the spread.
 *
 * Throws a `RangeError` that names the field, for a value out of its range and
 * for an unknown option.
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export const make: <E = unknown>(options?: Options<E>) => CircuitPolicy<E> = internal.make

/**
 * Whether a value is a policy, also one made by another copy of this package.
 *
 * @stability stable
 * @category guards
 * @since 0.1.0
 */
export const isCircuitPolicy: (u: unknown) => u is CircuitPolicy = internal.isCircuitPolicy

/**
 * An open time that starts at `initial` and is multiplied by `multiplier` (2)
 * with each opening in a row, up to `maximum` (5 minutes).
 *
 * **Details**
 *
 * `jitter`, 0 to 1, keeps many processes from probing a recovering dependency at
 * once: 0.2 makes each opening 0.8 to 1.2 times as long, at most `maximum`. 0 by
 * default.
 *
 * @stability stable
 * @category constructors
 * @since 0.1.0
 */
export const exponential: (options: {
  readonly initial: Duration.Input
  readonly multiplier?: number | undefined
  readonly maximum?: Duration.Input | undefined
  readonly jitter?: number | undefined
}) => Exponential = internal.exponential

// -----------------------------------------------------------------------------
// presets
// -----------------------------------------------------------------------------

/**
 * Opens early and probes early: 3 failures in a row, 30 seconds.
 *
 * @stability stable
 * @category presets
 * @since 0.1.0
 */
export const fastFail: CircuitPolicy = Presets.fastFail

/**
 * Tolerates short outages: 10 failures in a row, 2 minutes, doubling up to 5.
 *
 * @stability stable
 * @category presets
 * @since 0.1.0
 */
export const resilient: CircuitPolicy = Presets.resilient

/**
 * Detects failure fast: 3 failures in a row, 30 seconds, 2 probes at once, 2
 * successes.
 *
 * @stability stable
 * @category presets
 * @since 0.1.0
 */
export const aggressive: CircuitPolicy = Presets.aggressive

/**
 * Tolerates transient failures: 10 in a row, 2 minutes, 5 probes at once, 3
 * successes.
 *
 * @stability stable
 * @category presets
 * @since 0.1.0
 */
export const conservative: CircuitPolicy = Presets.conservative

/**
 * Balanced: 5 failures in a row, 1 minute, 3 probes at once, 2 successes.
 *
 * @stability stable
 * @category presets
 * @since 0.1.0
 */
export const production: CircuitPolicy = Presets.production

/**
 * For a database: 5 failures in a row, 1 minute, one probe.
 *
 * @stability stable
 * @category presets
 * @since 0.1.0
 */
export const database: CircuitPolicy = Presets.database

/**
 * For a message broker: 3 failures in a row, 30 seconds, one probe.
 *
 * @stability stable
 * @category presets
 * @since 0.1.0
 */
export const kafka: CircuitPolicy = Presets.kafka

/**
 * The presets by name.
 *
 * @stability stable
 * @category presets
 * @since 0.1.0
 */
export const presets: {
  readonly fastFail: CircuitPolicy
  readonly resilient: CircuitPolicy
  readonly aggressive: CircuitPolicy
  readonly conservative: CircuitPolicy
  readonly production: CircuitPolicy
  readonly database: CircuitPolicy
  readonly kafka: CircuitPolicy
} = Presets.presets

// -----------------------------------------------------------------------------
// getters
// -----------------------------------------------------------------------------

/**
 * The fields in which two policies differ. Functions and schedules are the
 * same only if they are the same value.
 *
 * @stability stable
 * @category getters
 * @since 0.1.0
 */
export const difference: (self: CircuitPolicy<never>, that: CircuitPolicy<never>) => ReadonlyArray<keyof Options> =
  internal.difference
