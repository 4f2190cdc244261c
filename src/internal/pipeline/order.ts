/** The order of the steps of a pipeline, outermost first. */
import type { Step } from "../../Resilience.ts"
import { refuse } from "../check.ts"

export const isWithin = (steps: ReadonlyArray<Step>, outer: Step, inner: Step): boolean =>
  steps.includes(outer) && steps.indexOf(outer) < steps.indexOf(inner)

/** The steps that are present, in the order that is asked for or else in the standard order. */
export const arrange = (
  standard: ReadonlyArray<Step>,
  isPresent: (step: Step) => boolean,
  order: ReadonlyArray<Step> | undefined
): ReadonlyArray<Step> => {
  const present = standard.filter(isPresent)
  if (order === undefined) return present
  if (!Array.isArray(order)) return refuse("Resilience.make: order", "a list of steps", order)
  const fail = (what: string): never => {
    throw new RangeError(`Resilience.make: order must name each step once, of ${standard.join(", ")}, got ${what}`)
  }
  for (const [index, step] of order.entries()) {
    if (!standard.includes(step)) fail(`"${step}"`)
    if (order.indexOf(step) !== index) fail(`"${step}" twice`)
  }
  for (const step of present) if (!order.includes(step)) fail(`an order without "${step}"`)
  return order.filter((step) => present.includes(step))
}
