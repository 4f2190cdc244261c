/** The attempts of one call with a retry policy. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { isCircuitOpenError, isRetryExhaustedError, type RetryExhaustedError } from "../../ResilienceError.ts"
import type { RetryExhausted, RetryPolicy } from "../../Retry.ts"
import type { RetryBudget } from "../../RetryBudget.ts"
import { Answer } from "../answer.ts"
import { runCallback } from "../callback.ts"
import { errorOf, hintOf } from "../error/insideError.ts"
import { isNotMade } from "../error/notMade.ts"
import { retryExhaustedError } from "../error/rejection.ts"
import { recorderOf } from "../telemetry/recorder.ts"
import { monotonicMillis, nanosToMillis } from "../time/monotonic.ts"
import { budgetOf } from "./budget.ts"
import { retryDelay } from "./delay.ts"
import { forgetFailedAttempts, noteFailedAttempts } from "./failedAttempts.ts"

export const execute = <A, E, R, R2>(
  self: Effect.Effect<A, E, R>,
  policy: RetryPolicy<E, R2, A>
): Effect.Effect<A, E | RetryExhausted<E>, R | R2> =>
  policy.whileSuccess === undefined ? executeWhileFailing(self, policy) : Effect.withFiber((fiber) => {
    const attempts = begin(fiber, policy)
    const call = Effect.flatMap(Effect.exit(self), (exit) => afterFirst(self, policy, attempts, exit))
    return counted(call, policy, attempts)
  })

/** All that a success costs is reading the clock, for `elapsed`, and a deposit in the budget. */
const executeWhileFailing = <A, E, R, R2>(
  self: Effect.Effect<A, E, R>,
  policy: RetryPolicy<E, R2, A>
): Effect.Effect<A, E | RetryExhausted<E>, R | R2> =>
  Effect.withFiber((fiber) => {
    const attempts = begin(fiber, policy)
    const call = Effect.catchCause(self, (cause) => afterFirst(self, policy, attempts, Exit.failCause(cause)))
    return counted(call, policy, attempts)
  })

/** Counts the call by how it ended and whether that took retries, if anybody wants to know. */
const counted = <A, E, R>(
  call: Effect.Effect<A, E, R>,
  { operation = "call" }: { readonly operation: string | undefined },
  attempts: Attempts
): Effect.Effect<A, E, R> => {
  const recorder = recorderOf(attempts.fiber)
  return recorder === undefined ? call : Effect.onExitPrimitive(call, (exit) => {
    const retried = attempts.retries > 0
    if (Exit.isSuccess(exit)) {
      recorder.onRetriedCall(operation, retried ? "successful_with_retry" : "successful_without_retry")
    } else if (!Cause.hasInterruptsOnly(exit.cause)) {
      recorder.onRetriedCall(operation, retried ? "failed_with_retry" : "failed_without_retry")
    }
    return undefined
  })
}

const begin = <E, R>(fiber: Fiber.Fiber<unknown, unknown>, policy: RetryPolicy<E, R, never>): Attempts => {
  const clock = fiber.getRef(Clock.Clock)
  const startedAt = clock.monotonicTimeNanosUnsafe()
  const budget = budgetOf(policy, fiber)
  if (budget !== undefined) budget.depositUnsafe(nanosToMillis(startedAt))
  return { fiber, clock, startedAt, budget, retries: 0 }
}

interface Attempts {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly clock: Clock.Clock
  readonly startedAt: bigint
  readonly budget: RetryBudget | undefined
  /** Attempts after the first. */
  retries: number
}

const afterFirst = <A, E, R, R2>(
  self: Effect.Effect<A, E, R>,
  policy: RetryPolicy<E, R2, A>,
  attempts: Attempts,
  exit: Exit.Exit<A, E>
): Effect.Effect<A, E | RetryExhausted<E>, R | R2> => {
  const ended = judge(exit, policy)
  if (ended._tag === "NotMade") {
    attempts.budget?.refundUnsafe(nanosToMillis(attempts.startedAt), monotonicMillis(attempts.clock))
  }
  return ended.retryable ? retry(self, policy, attempts, ended) : exit
}

/** How an attempt ended: not at all, if something kept it from being made. */
type Ended<A, E> =
  | { readonly _tag: "Failed"; readonly exit: Exit.Exit<A, E>; readonly error: E; readonly retryable: boolean }
  | { readonly _tag: "NotMade"; readonly exit: Exit.Exit<A, E>; readonly error: E; readonly retryable: boolean }
  | { readonly _tag: "Succeeded"; readonly exit: Exit.Exit<A, E>; readonly retryable: boolean }
  | { readonly _tag: "Broke"; readonly exit: Exit.Exit<A, E>; readonly retryable: false }

const judge = <A, E>(exit: Exit.Exit<A, E>, policy: RetryPolicy<E, unknown, A>): Ended<A, E> => {
  if (Exit.isSuccess(exit)) {
    // An answer ends the call, and is no value that the caller's function knows.
    const retryable = !(exit.value instanceof Answer) && policy.whileSuccess?.(exit.value) === true
    return { _tag: "Succeeded", exit, retryable }
  }
  const error = errorOf(exit.cause)
  return Option.isNone(error)
    ? { _tag: "Broke", exit, retryable: false }
    : {
      _tag: isNotMade(error.value) ? "NotMade" : "Failed",
      exit,
      error: error.value,
      retryable: isRetryable(error.value, policy)
    }
}

const isRetryable = <E>(error: E, policy: RetryPolicy<E, unknown, never>): boolean => {
  const hint = hintMillis(error)
  if (hint === Infinity) return false
  if (isCircuitRejection(error)) return policy.waitForCircuit
  return hint <= Duration.toMillis(policy.maxRetryAfter) && (policy.while === undefined || policy.while(error))
}

/** By a circuit of this package or of Effect's, or by one that ended the retries of a call inside. */
const isCircuitRejection = (error: unknown): boolean =>
  isCircuitOpenError(error) || Predicate.isTagged(error, "CircuitBreakerError") ||
  (isRetryExhaustedError(error) && isCircuitRejection(error.rejection))

/** What comes after a first attempt that may be retried. */
const retry = /* @__PURE__ */ Effect.fnUntraced(function*<A, E, R, R2>(
  self: Effect.Effect<A, E, R>,
  policy: RetryPolicy<E, R2, A>,
  attempts: Attempts,
  first: Ended<A, E>
): Effect.fn.Return<A, E | RetryExhausted<E>, R | R2> {
  const { budget, clock, fiber } = attempts
  const { operation = "call" } = policy
  const recorder = recorderOf(fiber)
  const startedAt = nanosToMillis(attempts.startedAt)
  const nextDelay = yield* delays(policy)
  let ended = first
  let made = 0
  let failure: { readonly error: E } | undefined
  let value: Exit.Exit<A, E> | undefined

  /** What the last attempt that was made came to, if one was, since a rejection would say that none was. */
  const giveUp = (reason: RetryExhaustedError["reason"], now: number): Effect.Effect<A, E | RetryExhausted<E>> => {
    forgetFailedAttempts(fiber)
    if (value !== undefined) return value
    return failure === undefined ? ended.exit : exhausted({
      attempts: made,
      lastError: failure.error,
      elapsed: Duration.millis(now - startedAt),
      reason,
      ...ended._tag === "NotMade" ? { rejection: ended.error } : undefined
    })
  }

  for (let attempt = 1;; attempt++) {
    if (ended._tag !== "NotMade") made++
    if (ended._tag === "Succeeded") value = ended.exit
    if (ended._tag === "Failed") {
      failure = ended
      value = undefined
      noteFailedAttempts(fiber, { attempts: made, lastError: ended.error })
    }
    const endedAt = monotonicMillis(clock)
    if (!ended.retryable) {
      if (ended._tag === "NotMade" && made > 0) return yield* giveUp("rejected", endedAt)
      forgetFailedAttempts(fiber)
      return yield* ended.exit
    }
    if (attempt >= policy.maxAttempts) return yield* giveUp("maxAttempts", endedAt)
    const error = ended._tag === "Succeeded" ? undefined : ended.error
    const delay = yield* nextDelay(attempt, error as E)
    if (delay === undefined) return yield* giveUp("maxAttempts", endedAt)
    // Timers drop the fraction of a millisecond that the error may ask for.
    const wait = Math.max(delay, Math.ceil(hintMillis(error)))
    if (endedAt - startedAt + wait > Duration.toMillis(policy.maxElapsed)) return yield* giveUp("maxElapsed", endedAt)
    if (budget !== undefined && !budget.tryWithdrawUnsafe(endedAt)) {
      recorder?.onBudgetExhausted(operation)
      return yield* giveUp("budget", endedAt)
    }

    if (policy.onRetry !== undefined) {
      const { onRetry } = policy
      const info = { attempt, delay: Duration.millis(wait), error: error as E }
      yield* Effect.forkDetach(runCallback("The onRetry callback of a retry failed", () => onRetry(info)), {
        startImmediately: true
      })
    }
    yield* Effect.sleep(wait)
    // They also fire up to a millisecond early, and a circuit that said when to come back would reject the call again.
    if (wait > delay && endedAt + wait - monotonicMillis(clock) > 0.001) yield* Effect.sleep(2)

    attempts.retries++
    recorder?.onRetry(operation)
    ended = judge(yield* Effect.exit(self), policy)
  }
})

/** The shortest wait an error asks for, in milliseconds. */
const hintMillis = (error: unknown): number => {
  const hint = hintOf(error)
  return hint === undefined ? 0 : Duration.toMillis(hint)
}

/** Gives the wait after the n-th attempt, or `undefined` when a schedule has ended. */
const delays = <E, R>(
  policy: RetryPolicy<E, R, never>
): Effect.Effect<(attempt: number, error: E) => Effect.Effect<number | undefined, never, R>, never, R> => {
  if (policy.schedule !== undefined) {
    return Effect.map(
      Schedule.toStep(policy.schedule),
      (step) => (_, error) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Pull.matchEffect(step(now, error), {
            onSuccess: ([, delay]) => Effect.succeed(Duration.toMillis(delay)),
            onFailure: Effect.failCause,
            onDone: () => Effect.undefined
          }))
    )
  }
  const backoff = {
    baseDelay: Duration.toMillis(policy.baseDelay),
    maxDelay: Duration.toMillis(policy.maxDelay),
    factor: policy.factor,
    jitter: policy.jitter
  }
  let previous = 0
  return Effect.succeed((attempt) =>
    Effect.map(
      backoff.jitter === "none" ? Effect.succeed(0) : Random.next,
      (random) => previous = retryDelay(backoff, attempt - 1, previous, random)
    )
  )
}

const exhausted = <E>(fields: {
  readonly attempts: number
  readonly lastError: E
  readonly elapsed: Duration.Duration
  readonly reason: RetryExhaustedError["reason"]
  readonly rejection?: unknown
}): Effect.Effect<never, RetryExhausted<E>> => Effect.fail(retryExhaustedError(fields) as unknown as RetryExhausted<E>)
