/** A retry budget: an account behind a clock. */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import * as Ref from "effect/Ref"
import type { Metrics, Options, RetryBudget, TypeId as TypeIdType } from "../../RetryBudget.ts"
import { checkAtLeast, checkDuration, checkOptions, optionNames } from "../check.ts"
import { checkTarget, findTarget, type Kind, type Target } from "../target.ts"
import { monotonicMillis } from "../time/monotonic.ts"
import * as Account from "./account.ts"

export const TypeId: TypeIdType = "~effect-resilience/RetryBudget"

export const isRetryBudget = (u: unknown): u is RetryBudget => Predicate.hasProperty(u, TypeId)

const BUDGET: Kind<RetryBudget> = {
  isValue: isRetryBudget,
  accepted: "a value made with RetryBudget.make or the class of a service"
}

/** The `budget` option of a policy. */
export const checkBudget = <B>(field: string, budget: B): B =>
  budget === undefined ? budget : checkTarget(BUDGET, field, budget)

/** The budget of a policy, where a call runs. */
export const budgetOf = (
  { budget }: { readonly budget: Target<RetryBudget> | undefined },
  fiber: Fiber.Fiber<unknown, unknown>
): RetryBudget | undefined =>
  budget === undefined ? undefined : findTarget(BUDGET, fiber.context as Context.Context<never>, budget)

export type Size = Pick<RetryBudget, "ratio" | "minPerSecond" | "window">

const OPTIONS = /* @__PURE__ */ optionNames<Options>({ ratio: true, minPerSecond: true, window: true })

export const parse = (caller: string, options: Options = {}): Size => {
  const { minPerSecond, ratio, window } = checkOptions(caller, options, OPTIONS)
  return {
    ratio: checkAtLeast(`${caller}: ratio`, 0, ratio ?? 0.2),
    minPerSecond: checkAtLeast(`${caller}: minPerSecond`, 0, minPerSecond ?? 10),
    window: checkDuration(`${caller}: window`, window ?? "10 seconds", { positive: true, finite: true })
  }
}

export const describe = ({ minPerSecond, ratio, window }: Size): string => {
  if (ratio === 0 && minPerSecond === 0) return "no retries"
  const over = `over ${Duration.format(window)}`
  if (ratio === 0) return `${counted(minPerSecond)} per second, ${over}`
  return `${counted(ratio)} per call${minPerSecond === 0 ? "" : ` plus ${minPerSecond} per second`}, ${over}`
}

const counted = (retries: number): string => `${retries} ${retries === 1 ? "retry" : "retries"}`

export const make = (size: Size): RetryBudget => {
  const { minPerSecond, ratio, window } = size
  const rules = Account.rules({ ratio, minPerSecond, windowMillis: Duration.toMillis(window) })
  const ref = Ref.makeUnsafe(Account.empty)
  const accountAt = (now: number) => Account.at(Ref.getUnsafe(ref), rules, now)
  const depositUnsafe = (now: number) => {
    ref.ref.current = Account.deposit(accountAt(now))
  }
  const refundUnsafe = (depositedAt: number, now: number) => {
    ref.ref.current = Account.refund(accountAt(now), rules, depositedAt)
  }
  const tryWithdrawUnsafe = (now: number) => {
    const [granted, account] = Account.withdraw(accountAt(now), rules)
    ref.ref.current = account
    return granted
  }
  const metricsAt = (now: number): Metrics => {
    const account = accountAt(now)
    return {
      calls: Account.calls(account),
      retries: Account.retries(account),
      balance: Account.balance(account, rules),
      exhausted: account.refused
    }
  }

  return {
    [TypeId]: TypeId,
    ...size,
    description: describe(size),
    balance: Effect.map(now, (now) => Account.balance(accountAt(now), rules)),
    metrics: Effect.map(now, metricsAt),
    deposit: Effect.map(now, depositUnsafe),
    tryWithdraw: Effect.map(now, tryWithdrawUnsafe),
    depositUnsafe,
    refundUnsafe,
    tryWithdrawUnsafe
  }
}

const now = /* @__PURE__ */ Effect.map(Clock.Clock, monotonicMillis)
