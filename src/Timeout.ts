/**
 * Limits the time a call may take.
 *
 * **Details**
 *
 * A call that exceeds its time is interrupted and fails with a
 * `CallTimeoutError`, which names the operation and the limit.
 *
 * Throws a `RangeError` if an option is unknown or out of its range.
 *
 * **Gotchas**
 *
 * - Interruption runs the finalizers of the call, and by default the caller
 *   waits for them, however long they take, and for a call that cannot be
 *   interrupted. Use `disconnect` where being on time matters more.
 * - A timeout inside a circuit breaker counts as a failure of the dependency.
 *   Outside, it interrupts the call of the breaker, which ignores it.
 *
 * **Example** (Limiting the time of a call)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Timeout } from "effect-resilience"
 *
 * const getUser = Effect.never.pipe(
 *   Timeout.withTimeout({ duration: "10 millis", operation: "get_user" }),
 *   Effect.catchTag("CallTimeoutError", (error) => Effect.succeed(error.message))
 * )
 *
 * await Effect.runPromise(getUser) // => "get_user did not complete within 10ms"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { checkDuration, checkKnown, optionNames } from "./internal/check.ts"
import { failedAttemptsOf } from "./internal/retry/failedAttempts.ts"
import { limitTime } from "./internal/time/limitTime.ts"
import { recorderOf } from "./internal/telemetry/recorder.ts"
import { callTimeoutError } from "./internal/error/rejection.ts"
import type { CallTimeoutError } from "./ResilienceError.ts"

/**
 * How the time of a call is limited.
 *
 * **Details**
 *
 * - `duration`: time the call may take. An infinite one sets no limit. With
 *   zero the call starts, and times out unless it ends without waiting.
 * - `operation`: names the call in the error and in metrics; `"call"` by
 *   default.
 * - `disconnect`: do not wait for the end of a call that is interrupted, because
 *   its time is up or its caller is interrupted. It ends in the background;
 *   `false` by default.
 * - `kind`: whether the call is one `attempt` of several or the `total` of
 *   them, as the error and the metrics then say. A pipeline sets it.
 *
 * @stability stable
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly duration: Duration.Input
  readonly operation?: string | undefined
  readonly disconnect?: boolean | undefined
  readonly kind?: "attempt" | "total" | undefined
}

const OPTIONS = /* @__PURE__ */ optionNames<Options>({ duration: true, operation: true, disconnect: true, kind: true })

/**
 * Interrupts a call that takes too long, and fails with `CallTimeoutError`.
 *
 * **Details**
 *
 * A call that completes exactly at the deadline counts as completed, unless it
 * waits for something else at that moment. Later results are dropped.
 *
 * If the call is a retry, the error has the number of its failed attempts and
 * the last error.
 *
 * **Gotchas**
 *
 * The call runs in a fiber of its own, as in `Effect.timeout`: fibers it forks
 * as children end with it. With `disconnect`, a call that ends in the background
 * may outlive the scope of the caller and the services in it.
 *
 * **Example** (Not waiting for a call that cannot be interrupted)
 *
 * ```ts import.meta.vitest
 * import { Effect, Exit } from "effect"
 * import { Timeout } from "effect-resilience"
 *
 * const stubborn = Effect.uninterruptible(Effect.sleep("1 minute"))
 *
 * const exit = await Effect.runPromiseExit(
 *   Timeout.withTimeout(stubborn, { duration: "10 millis", disconnect: true })
 * )
 * Exit.hasFails(exit) // => true
 * ```
 *
 * @stability stable
 * @category combinators
 * @since 0.1.0
 */
export function withTimeout(
  limit: Duration.Input | Options
): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | CallTimeoutError, R>
export function withTimeout<A, E, R>(
  self: Effect.Effect<A, E, R>,
  limit: Duration.Input | Options
): Effect.Effect<A, E | CallTimeoutError, R>
export function withTimeout<A, E, R>(
  selfOrLimit: Effect.Effect<A, E, R> | Duration.Input | Options,
  limit?: Duration.Input | Options
): unknown {
  // Not `dual`: a limit that is used for many calls is checked once, where it is written.
  if (Effect.isEffect(selfOrLimit)) return limitBy(selfOrLimit as Effect.Effect<A, E, R>, parse(limit!))
  const parsed = parse(selfOrLimit)
  return <A, E, R>(self: Effect.Effect<A, E, R>) => limitBy(self, parsed)
}

interface Limit {
  readonly duration: Duration.Duration
  readonly operation: string
  readonly disconnect: boolean
  readonly kind: Options["kind"]
}

const parse = (limit: Duration.Input | Options): Limit => {
  const options = isOptions(limit) ? limit : { duration: limit }
  checkKnown("Timeout.withTimeout", options, OPTIONS)
  return {
    duration: checkDuration("Timeout.withTimeout: duration", options.duration),
    operation: options.operation ?? "call",
    disconnect: options.disconnect === true,
    kind: options.kind
  }
}

const isOptions = (limit: Duration.Input | Options): limit is Options => Predicate.hasProperty(limit, "duration")

const limitBy = <A, E, R>(self: Effect.Effect<A, E, R>, limit: Limit): Effect.Effect<A, E | CallTimeoutError, R> =>
  limitTime(self, {
    duration: limit.duration,
    disconnect: limit.disconnect,
    orElse: (call) =>
      Effect.withFiber((fiber) => {
        recorderOf(fiber)?.onTimeout(limit.operation, limit.kind ?? "call")
        return Effect.fail(callTimeoutError(limit.operation, limit.duration, {
          ...limit.kind === undefined ? undefined : { kind: limit.kind },
          ...failedAttemptsOf(call)
        }))
      })
  })
