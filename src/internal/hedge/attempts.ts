/** The attempts of one call with a hedge policy. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { HedgeInfo, HedgePolicy } from "../../Hedge.ts"
import type { RetryBudget } from "../../RetryBudget.ts"
import { runCallback } from "../callback.ts"
import { errorOf, hintOf } from "../error/insideError.ts"
import { isNotMade } from "../error/notMade.ts"
import { budgetOf } from "../retry/budget.ts"
import { recorderOf } from "../telemetry/recorder.ts"
import { monotonicMillis } from "../time/monotonic.ts"
import { checkDelay } from "./policy.ts"

export const execute = <A, E, R, R2>(
  self: Effect.Effect<A, E, R>,
  policy: HedgePolicy<E, R2>
): Effect.Effect<A, E, R | R2> =>
  Effect.withFiber((caller) => {
    const race = new Race<A, E, R, R2>(self, policy, caller)
    // In place before the first attempt starts: whatever the call is doing when it ends, `end` stops the rest.
    return Effect.onExitPrimitive(
      Effect.callback<A, E>((resume) => race.begin(resume)),
      () => race.end()
    )
  })

/** The attempts of one call. */
class Race<A, E, R, R2> {
  private readonly self: Effect.Effect<A, E, R>
  private readonly policy: HedgePolicy<E, R2>
  private readonly caller: Fiber.Fiber<unknown, unknown>
  private readonly budget: RetryBudget | undefined
  private resume: ((exit: Exit.Exit<A, E>) => void) | undefined
  private readonly running = new Set<Fiber.Fiber<unknown, unknown>>()
  private timer: Fiber.Fiber<void> | undefined
  private hedges = 0
  private left: number
  private decided = false
  /** How the last attempt that was made failed, and what rejected the last one that was not. */
  private failure: Cause.Cause<E> | undefined
  private rejection: Cause.Cause<E> | undefined
  private startedAt = 0

  constructor(self: Effect.Effect<A, E, R>, policy: HedgePolicy<E, R2>, caller: Fiber.Fiber<unknown, unknown>) {
    this.self = self
    this.policy = policy
    this.caller = caller
    this.left = policy.maxHedges
    this.budget = budgetOf(policy, caller)
  }

  begin(resume: (exit: Exit.Exit<A, E>) => void): void {
    this.resume = resume
    if (this.budget !== undefined) this.budget.depositUnsafe(this.startedAt = this.now())
    this.start()
  }

  /** Stops what still runs. Waits for it unless the call has its result. */
  end(): Effect.Effect<void> | undefined {
    const wait = !this.decided || this.policy.awaitLosers
    this.decided = true
    this.stopTimer()
    for (const attempt of this.running) attempt.interruptUnsafe(this.caller.id)
    return wait && this.running.size > 0 ? Effect.asVoid(Fiber.awaitAll([...this.running])) : undefined
  }

  private start(): void {
    // The caller's `onHedge` may have ended the call.
    if (this.decided) return
    const { hedges } = this
    // It joins the others before it does anything, since what it does may end the call.
    const attempt = this.fork(Effect.withFiber((fiber) => {
      this.running.add(fiber)
      return this.self
    }))
    this.running.add(attempt)
    attempt.addObserver((exit) => {
      this.running.delete(attempt)
      if (!this.decided) this.guard(() => this.onEnd(exit))
    })
    // The attempt may have ended by now, and even have been followed by another.
    if (!this.decided && this.hedges === hedges) this.guard(() => this.startTimer())
  }

  private onEnd(exit: Exit.Exit<A, E>): void {
    if (Exit.isSuccess(exit)) return this.decide(exit)
    const { cause } = exit
    const error = errorOf(cause)
    if (Option.isNone(error)) return this.decide(exit)
    if (isNotMade(error.value)) {
      this.rejection = cause
      this.left = 0
      return this.failIfLast()
    }
    this.failure = cause
    if (this.policy.while?.(error.value) === false) return this.decide(exit)
    if (asksToWait(error.value)) this.left = 0
    else if (this.hedge("failed")) return
    this.failIfLast()
  }

  /** With the error of an attempt if one was made, since a rejection alone would say that none was. */
  private failIfLast(): void {
    if (this.running.size > 0) return
    const { failure, rejection } = this
    if (failure === undefined) this.budget?.refundUnsafe(this.startedAt, this.now())
    this.decide(Exit.failCause(
      failure === undefined || rejection === undefined ? failure ?? rejection! : Cause.combine(failure, rejection)
    ))
  }

  /** Starts the next attempt, if there may be one. */
  private hedge(reason: HedgeInfo["reason"]): boolean {
    this.stopTimer()
    if (this.left === 0 || this.budget?.tryWithdrawUnsafe(this.now()) === false) return false
    this.left--
    this.hedges++
    recorderOf(this.caller)?.onHedge(this.policy.operation ?? "call")
    const { onHedge } = this.policy
    if (onHedge !== undefined) {
      const info = { hedge: this.hedges, reason }
      this.fork(runCallback("The onHedge callback of a hedge failed", () => onHedge(info)))
    }
    this.start()
    return true
  }

  private startTimer(): void {
    if (this.left === 0) return
    const { delay } = this.policy
    const wait = typeof delay === "function" ? checkDelay(delay(this.hedges + 1)) : delay
    if (!Duration.isFinite(wait)) return
    this.timer = this.fork(Effect.sleep(wait))
    this.timer.addObserver((exit) => {
      if (Exit.isSuccess(exit) && !this.decided) this.hedge("slow")
    })
  }

  private stopTimer(): void {
    const { timer } = this
    this.timer = undefined
    timer?.interruptUnsafe(this.caller.id)
  }

  private decide(exit: Exit.Exit<A, E>): void {
    this.decided = true
    this.resume!(exit)
  }

  /** A function of the caller's that throws ends the call, and not the fiber that happens to run it. */
  private guard(f: () => void): void {
    try {
      f()
    } catch (defect) {
      this.decide(Exit.die(defect))
    }
  }

  private fork<B, E2>(effect: Effect.Effect<B, E2, R | R2>): Fiber.Fiber<B, E2> {
    return Effect.runForkWith(this.caller.context as Context.Context<R | R2>)(effect)
  }

  private now(): number {
    return monotonicMillis(this.caller.getRef(Clock.Clock))
  }
}

/** Whether an error says when to call again, which is not now. */
const asksToWait = (error: unknown): boolean => {
  const hint = hintOf(error)
  return hint !== undefined && !Duration.isZero(hint)
}
