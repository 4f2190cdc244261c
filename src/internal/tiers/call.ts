/** One call on its way through the tiers. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { CircuitBreaker, Target } from "../../CircuitBreaker.ts"
import type { CircuitBreakerRegistry } from "../../CircuitBreakerRegistry.ts"
import { type AllTiersFailedError, isCircuitOpenError, type TierAttempt } from "../../ResilienceError.ts"
import type { Report } from "../../Tiers.ts"
import { Answer } from "../answer.ts"
import { allTiersFailedError, callTimeoutError } from "../error/rejection.ts"
import { type Recorder, recorderOf } from "../telemetry/recorder.ts"
import { tieredSpan, tierSpan } from "../telemetry/spans.ts"
import { limitTime } from "../time/limitTime.ts"
import { monotonicMillis } from "../time/monotonic.ts"
import { flowsOf, type TierFlows } from "./flow.ts"

/** A tiered call before it is made. */
export interface Plan<A, E, R> {
  readonly operation: string
  readonly tiers: ReadonlyArray<{ readonly name: string; readonly circuit: Target }>
  /** Calls the tier with this index, in the milliseconds that are left of the deadline. */
  readonly call: (index: number, remaining: number) => Effect.Effect<A | Answer<E>, unknown, R>
  readonly deadline: Duration.Duration | undefined
  readonly spans: boolean
  /** The registry in which the calls are counted, for a fiber with these services. */
  readonly registry: (context: Context.Context<never>) => CircuitBreakerRegistry | undefined
  /** What to fail with in place of `AllTiersFailedError`. */
  readonly onFailed: ((error: AllTiersFailedError) => Effect.Effect<never, E>) | undefined
}

/** Receives the reports of the tiered calls of an effect. */
export const Reports = /* @__PURE__ */ Context.Reference<((report: Report) => void) | undefined>(
  "effect-resilience/Tiers/Reports",
  { defaultValue: () => undefined }
)

/** Makes the call, and reports and counts it when it has ended. */
export const serve = <A, E, R>(plan: Plan<A, E, R>): Effect.Effect<A, E | AllTiersFailedError, R> =>
  Effect.withFiber((fiber) => {
    const call = new TieredCall(plan, fiber.context)
    const limited = plan.deadline === undefined ? call.next() : limitTime(call.next(), {
      duration: plan.deadline,
      disconnect: true,
      orElse: () => call.outOfTime()
    })
    const served = plan.spans ? tieredSpan(limited, plan.operation) : limited
    const report = fiber.getRef(Reports)
    const recorder = recorderOf(fiber)
    const flows = flowsOf(plan.registry(fiber.context))
    if (report === undefined && recorder === undefined && flows === undefined) return served
    return Effect.onExitPrimitive(served, (exit) => {
      if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return undefined
      report?.(call.report())
      if (recorder !== undefined) call.tell(recorder)
      if (flows !== undefined) call.count(flows)
      return undefined
    })
  })

/** One call on its way through the tiers. */
class TieredCall<A, E, R> {
  private readonly plan: Plan<A, E, R>
  private readonly context: Context.Context<never>
  private readonly clock: Clock.Clock
  private readonly attempts: Array<TierAttempt> = []
  private readonly startedAt: number
  private tierStartedAt: number
  private servedBy: string | undefined
  /** Whether the deadline has passed: a tier that has not let go yet has nothing more to say. */
  private over = false

  constructor(plan: Plan<A, E, R>, context: Context.Context<never>) {
    this.plan = plan
    this.context = context
    this.clock = Context.get(context, Clock.Clock)
    this.startedAt = this.tierStartedAt = monotonicMillis(this.clock)
  }

  next(): Effect.Effect<A, E | AllTiersFailedError, R> {
    const index = this.attempts.length
    const tier = this.plan.tiers[index]
    if (tier === undefined) return this.failed()
    const isSkipped = (cause: Cause.Cause<unknown>) => isRejectionOf(circuitName(tier.circuit, this.context), cause)
    const call = this.plan.call(index, this.remaining())
    return Effect.matchCauseEffect(
      this.plan.spans ? tierSpan(call, this.plan.operation, tier.name, isSkipped) : call,
      {
        onSuccess: (value): Effect.Effect<A, E> => {
          if (this.over) return Effect.interrupt
          this.servedBy = tier.name
          return value instanceof Answer ? Effect.failCause(value.cause) : Effect.succeed(value)
        },
        onFailure: (cause): Effect.Effect<A, E | AllTiersFailedError, R> => {
          if (this.over) return Effect.interrupt
          // An interruption is not the tier's failure; its cause holds no error.
          if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
          this.note(isSkipped(cause) ? "skipped" : "failed", Cause.squash(cause))
          return this.next()
        }
      }
    )
  }

  /** The tiers so far have served or failed an instant too late, or are still at it. */
  outOfTime(): Effect.Effect<never, E | AllTiersFailedError> {
    const { deadline, operation, tiers } = this.plan
    this.over = true
    this.servedBy = undefined
    const error = callTimeoutError(operation, deadline!, { kind: "total" })
    if (this.attempts.length < tiers.length) this.note("failed", error)
    while (this.attempts.length < tiers.length) this.note("skipped", error)
    return this.failed()
  }

  report(): Report {
    return {
      operation: this.plan.operation,
      servedBy: this.servedBy,
      attempts: this.attempts,
      duration: Duration.millis(monotonicMillis(this.clock) - this.startedAt)
    }
  }

  tell(recorder: Recorder): void {
    const { operation } = this.plan
    for (const { outcome, tier } of this.attempts) {
      recorder.onTierEnded(operation, tier, outcome === "skipped" ? "skipped" : "failure")
    }
    if (this.servedBy !== undefined) recorder.onTierEnded(operation, this.servedBy, "success")
  }

  count(flows: TierFlows): void {
    const { operation, tiers } = this.plan
    const named = tiers.map(({ circuit, name }) => ({ name, circuit: circuitName(circuit, this.context) }))
    flows.add(operation, named, this.attempts, this.servedBy)
  }

  private remaining(): number {
    const { deadline } = this.plan
    return deadline === undefined ? Infinity : this.startedAt + Duration.toMillis(deadline) - this.tierStartedAt
  }

  private failed(): Effect.Effect<never, E | AllTiersFailedError> {
    const error = allTiersFailedError(this.plan.operation, this.attempts)
    return this.plan.onFailed === undefined ? Effect.fail(error) : this.plan.onFailed(error)
  }

  private note(outcome: TierAttempt["outcome"], error: unknown): void {
    const now = monotonicMillis(this.clock)
    this.attempts.push({
      tier: this.plan.tiers[this.attempts.length]!.name,
      outcome,
      error,
      duration: Duration.millis(now - this.tierStartedAt)
    })
    this.tierStartedAt = now
  }
}

/** The name of the circuit, for a fiber with these services. */
const circuitName = (circuit: Target, context: Context.Context<never>): string =>
  typeof circuit === "string"
    ? circuit
    : Context.isKey(circuit)
    ? Context.getUnsafe(context, circuit as Context.Key<never, CircuitBreaker>).name
    : circuit.name

const isRejectionOf = (circuit: string, cause: Cause.Cause<unknown>): boolean => {
  const error = Cause.findErrorOption(cause)
  return Option.isSome(error) && isCircuitOpenError(error.value) && error.value.circuit === circuit
}
