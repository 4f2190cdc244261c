import type { CallOptions, Options } from "../../CircuitBreaker.ts"
import { checkDuration, checkOptions, optionNames, refuse } from "../check.ts"

const OF_A_CALL = /* @__PURE__ */ optionNames<CallOptions<never, never>>({ classify: true, interruptedAfter: true })
const OF_A_LOCATED_CALL = /* @__PURE__ */ optionNames<Options<unknown, unknown>>({
  classify: true,
  interruptedAfter: true,
  policy: true
})

/** Options may be made anew for each call, so those that are right are found to be so without much ado. */
export const checkCallOptions = (
  caller: string,
  options: CallOptions<never, never> | undefined,
  located: boolean
): void => {
  if (options === undefined) return
  if (!hasOptions(options, located)) checkOptions(caller, options, located ? OF_A_LOCATED_CALL : OF_A_CALL)
  const { classify, interruptedAfter } = options
  if (classify !== undefined && typeof classify !== "function") {
    refuse(`${caller}: classify`, "a function", classify)
  }
  if (interruptedAfter !== undefined) checkDuration(`${caller}: interruptedAfter`, interruptedAfter)
}

/** Whether there are some, and no others than there may be. */
const hasOptions = (options: CallOptions<never, never>, located: boolean): boolean => {
  let found = false
  for (const key in options) {
    if (key !== "classify" && key !== "interruptedAfter" && (key !== "policy" || !located)) return false
    found = true
  }
  return found
}
