import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { CallOptions, Permit } from "../../CircuitBreaker.ts"
import type { Outcome } from "../../Outcome.ts"
import { checkOptions, optionNames, refuse } from "../check.ts"
import { failure, ignored, isOutcome, success } from "../outcome.ts"
import type { Breaker } from "./breaker.ts"
import { type Call, NOT_ADMITTED, NOT_TIMED } from "./call.ts"
import { checkCallOptions } from "./callOptions.ts"
import { judge } from "./execution.ts"
import { asProbe } from "./probe.ts"

const FAILURE_OPTIONS = /* @__PURE__ */ optionNames<NonNullable<Parameters<Permit["failure"]>[0]>>({
  retryAfter: true,
  error: true
})

/** Permission for a call that its holder reports on. */
export class CallPermit implements Permit {
  private readonly breaker: Breaker
  private readonly call: Call
  private readonly isProbe: boolean
  private hasDelivered = false
  /** Whether the delivery was the verdict of a probe. */
  private deliveryCounted = false
  /** Since when the holder has waited for the dependency; `NOT_TIMED` if it does not. */
  private waitingSince: number
  private pausedAt = NOT_TIMED

  constructor(breaker: Breaker, call: Call, isProbe: boolean) {
    this.breaker = breaker
    this.call = call
    this.isProbe = isProbe
    this.waitingSince = call.startedAt
  }

  get success(): Permit["success"] {
    return this.record(success)
  }

  get failure(): Permit["failure"] {
    return (options) => {
      if (options !== undefined) checkOptions("CircuitBreaker permit.failure", options, FAILURE_OPTIONS)
      const outcome = failure(options)
      const exit = options?.error === undefined ? undefined : Exit.fail(options.error)
      return Effect.sync(() => this.end(outcome, exit))
    }
  }

  get ignore(): Permit["ignore"] {
    return this.record(ignored)
  }

  get record(): Permit["record"] {
    return (outcome) => {
      if (!isOutcome(outcome)) refuse("CircuitBreaker permit.record: outcome", "an Outcome", outcome)
      return Effect.sync(() => this.end(outcome))
    }
  }

  get conclude(): Permit["conclude"] {
    return (exit, options) => {
      if (!Exit.isExit(exit)) refuse("CircuitBreaker permit.conclude: exit", "an Exit", exit)
      checkCallOptions("CircuitBreaker permit.conclude", options, false)
      return Effect.sync(() => this.judge(exit, options))
    }
  }

  get delivered(): Permit["delivered"] {
    return Effect.sync(() => this.deliver())
  }

  get pull(): Permit["pull"] {
    return (effect) =>
      Effect.withFiber((fiber) => {
        this.resume()
        return Effect.onExitPrimitive(
          this.isProbe ? asProbe(fiber, this.breaker, this.call, effect) : effect,
          (exit) => {
            if (Exit.isSuccess(exit)) this.deliver()
            // A reader that is interrupted in a pull has waited for the dependency until the end.
            if (Exit.isSuccess(exit) || !Cause.hasInterruptsOnly(exit.cause)) this.pause()
            return undefined
          }
        )
      })
  }

  /** What its scope closes with, if nothing was reported before. */
  release(exit: Exit.Exit<unknown, unknown>): void {
    if (Exit.isFailure(exit)) return this.judge(exit, undefined)
    const succeeded = this.hasDelivered || this.breaker.policy.countUnreported === "success"
    this.end(succeeded ? success : ignored)
  }

  private deliver(): void {
    this.hasDelivered = true
    this.deliveryCounted ||= this.breaker.deliver(this.call)
    this.waitingSince = NOT_TIMED
  }

  private pause(): void {
    this.waitingSince = NOT_TIMED
    if (this.call.startedAt !== NOT_TIMED) this.pausedAt = this.breaker.now()
  }

  /** The time between two pulls is not the dependency's. */
  private resume(): void {
    if (this.pausedAt === NOT_TIMED) return
    this.waitingSince = this.breaker.now()
    this.call.startedAt += this.waitingSince - this.pausedAt
    this.pausedAt = NOT_TIMED
  }

  private judge<A, E>(exit: Exit.Exit<A, E>, options: CallOptions<A, E> | undefined): void {
    if (this.call.generation === NOT_ADMITTED) return
    let outcome = ignored
    try {
      outcome = judge(exit, this.breaker, options, this.waitingSince)
    } finally {
      this.end(outcome, exit)
    }
  }

  private end(outcome: Outcome, exit?: Exit.Exit<unknown, unknown>): void {
    const { breaker, call } = this
    this.resume()
    if (!this.deliveryCounted) return breaker.end(call, outcome, exit)
    return outcome._tag === "Failure" ? breaker.failDelivered(call, outcome, exit) : breaker.endDelivered(call)
  }
}
