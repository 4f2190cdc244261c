/** A call through a circuit, in one step of the fiber that makes it. */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { format } from "effect/Formatter"
import type { CallOptions } from "../../CircuitBreaker.ts"
import type { CircuitPolicy } from "../../CircuitPolicy.ts"
import type { Outcome } from "../../Outcome.ts"
import type { CircuitOpenError } from "../../ResilienceError.ts"
import { OneStep, onExitInStep } from "../oneStep.ts"
import { classify, failure, ignored, isOutcome, success } from "../outcome.ts"
import { monotonicMillis } from "../time/monotonic.ts"
import type { Breaker } from "./breaker.ts"
import { Call, NOT_ADMITTED, NOT_TIMED } from "./call.ts"
import { asProbe } from "./probe.ts"

/** The breaker to make a call through is found in the step that makes it, since a circuit may be forgotten before. */
export class Execution<A, E, R> extends OneStep<A, E | CircuitOpenError, R> {
  private readonly handle: { readonly live: Breaker }
  private readonly self: Effect.Effect<A, E, R>
  private readonly options: CallOptions<A, E> | undefined

  constructor(
    handle: { readonly live: Breaker },
    self: Effect.Effect<A, E, R>,
    options: CallOptions<A, E> | undefined
  ) {
    super()
    this.handle = handle
    this.self = self
    this.options = options
  }

  step(fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<A, E | CircuitOpenError, R> {
    return executeInStep(fiber, this.handle.live, this.self, this.options)
  }
}

/** Runs an effect through a circuit in the step that a fiber is taking. */
export const executeInStep = <A, E, R>(
  fiber: Fiber.Fiber<unknown, unknown>,
  breaker: Breaker,
  self: Effect.Effect<A, E, R>,
  options: CallOptions<A, E> | undefined
): Effect.Effect<A, E | CircuitOpenError, R> => {
  const call = new Call()
  const admission = breaker.admit(call, fiber)
  let admitted = self
  if (admission !== undefined) {
    if (admission !== "Probe") return admission
    admitted = asProbe(fiber, breaker, call, self)
  }
  if (options !== undefined && options.interruptedAfter !== undefined) breaker.clockStart(call)
  return onExitInStep(fiber, admitted, (exit) => {
    conclude(breaker, call, exit, options)
    return undefined
  })
}

/** Ends an admitted call with the outcome of its exit. */
export const conclude = <A, E>(
  breaker: Breaker,
  call: Call,
  exit: Exit.Exit<A, E>,
  options: CallOptions<A, E> | undefined
): void => {
  if (call.generation === NOT_ADMITTED) return
  // Most calls: no classifier is asked about a success.
  if (options === undefined && Exit.isSuccess(exit) && breaker.policy.classify === undefined) {
    return breaker.end(call, success)
  }
  let outcome = ignored
  try {
    outcome = judge(exit, breaker, options, call.startedAt)
  } finally {
    breaker.end(call, outcome, exit)
  }
}

/** What knows the policy of a call, and the time. */
interface Judge {
  readonly policy: CircuitPolicy
  readonly clock: Clock.Clock
}

/** The outcome of an exit. Since `since` the caller has waited for the dependency. */
export const judge = <A, E>(
  exit: Exit.Exit<A, E>,
  { clock, policy }: Judge,
  options: CallOptions<A, E> | undefined,
  since: number
): Outcome => {
  if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) {
    const limit = options?.interruptedAfter ?? policy.interruptedAfter
    return limit !== undefined && since !== NOT_TIMED &&
        monotonicMillis(clock) - since >= Duration.toMillis(Duration.fromInputUnsafe(limit))
      ? failure()
      : ignored
  }
  const own = options?.classify
  if (own === undefined && policy.classify === undefined) return classify(exit)
  return checkOutcome(own?.(exit) ?? policy.classify?.(exit)) ?? classify(exit)
}

/** A classifier in JavaScript may return anything. */
const checkOutcome = (outcome: Outcome | undefined): Outcome | undefined => {
  if (outcome === undefined || isOutcome(outcome)) return outcome
  throw new TypeError(`A classifier must return an Outcome, got ${format(outcome)}`)
}
