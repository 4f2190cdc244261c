import type * as Duration from "effect/Duration"
import type { CallClassifier } from "../CircuitBreaker.ts"
import { checkDuration, checkFunction, checkOptions } from "./check.ts"

/** How one call is judged, where it differs from the policy. */
export interface CallOptions<in A = never, in E = never> {
  readonly classify?: CallClassifier<A, E> | undefined
  readonly interruptedAfter?: Duration.Input | undefined
}

const OF_A_CALL = ["classify", "interruptedAfter"]
const OF_A_LOCATED_CALL = [...OF_A_CALL, "policy"]

/** Options may be made anew for each call, so what is right is found to be so without much ado. */
export const checkCallOptions = (caller: string, options: CallOptions | undefined, located: boolean): void => {
  if (options === undefined) return
  if (!isRight(options, located)) checkOptions(caller, options, located ? OF_A_LOCATED_CALL : OF_A_CALL)
  checkFunction(`${caller}: classify`, options.classify)
  if (options.interruptedAfter !== undefined) checkDuration(`${caller}: interruptedAfter`, options.interruptedAfter)
}

const isRight = (options: CallOptions, located: boolean): boolean => {
  if (typeof options !== "object" || options === null || Object.getPrototypeOf(options) !== Object.prototype) {
    return false
  }
  for (const key in options) {
    if (key !== "classify" && key !== "interruptedAfter" && (key !== "policy" || !located)) return false
  }
  return true
}
