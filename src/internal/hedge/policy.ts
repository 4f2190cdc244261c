/** A hedge policy: its options, checked and with their defaults. */
import * as Duration from "effect/Duration"
import type { HedgePolicy, Options, TypeId as TypeIdType } from "../../Hedge.ts"
import { checkCount, checkDuration, checkFunction, checkOptions, isObject, optionNames, refuse } from "../check.ts"
import { checkBudget } from "../retry/budget.ts"

export const TypeId: TypeIdType = "~effect-resilience/HedgePolicy"

const OPTIONS = /* @__PURE__ */ optionNames<Options>({
  delay: true,
  maxHedges: true,
  awaitLosers: true,
  budget: true,
  operation: true,
  while: true,
  onHedge: true
})

// A class, so that the description is not computed for a policy that lives for one call.
class Policy<E, R> implements HedgePolicy<E, R> {
  readonly [TypeId]: TypeIdType = TypeId
  readonly delay: HedgePolicy["delay"]
  readonly maxHedges: number
  readonly awaitLosers: boolean
  readonly budget: HedgePolicy<E, R>["budget"]
  readonly operation: string | undefined
  readonly while: HedgePolicy<E, R>["while"]
  readonly onHedge: HedgePolicy<E, R>["onHedge"]

  constructor(options: Options<E, R>) {
    checkOptions("Hedge.make", options, OPTIONS)
    this.delay = typeof options.delay === "function" ? options.delay : checkDelay(options.delay)
    this.maxHedges = checkCount("Hedge.make: maxHedges", options.maxHedges ?? 1, 100)
    this.awaitLosers = options.awaitLosers === true
    this.budget = checkBudget("Hedge.make: budget", options.budget)
    this.operation = options.operation
    this.while = checkFunction("Hedge.make: while", options.while)
    this.onHedge = checkFunction("Hedge.make: onHedge", options.onHedge)
  }

  get description(): string {
    return describe(this)
  }
}

export const make = <E, R>(options: Options<E, R>): HedgePolicy<E, R> => new Policy(options)

/** The policy of a combinator, which takes one or its options. */
export const policyOf = <E, R>(options: Options<E, R> | HedgePolicy<E, R>): HedgePolicy<E, R> =>
  !isObject(options)
    ? refuse("Hedge.withHedge: options", "an object", options)
    : TypeId in options
    ? options
    : make(options)

export const checkDelay = (delay: Duration.Input): Duration.Duration => checkDuration("Hedge.make: delay", delay)

const describe = ({ budget, delay, maxHedges }: HedgePolicy<never, unknown>): string => {
  const hedges = maxHedges === 1 ? "1 hedge" : `up to ${maxHedges} hedges`
  const each = maxHedges === 1 ? "" : "each "
  const when = typeof delay === "function"
    ? `${each}after a computed delay`
    : !Duration.isFinite(delay)
    ? `${each}after a failure`
    : Duration.isZero(delay)
    ? "at once"
    : `${each}after ${Duration.format(delay)}`
  return `${hedges}, ${when}${budget === undefined ? "" : ", within a budget"}`
}
