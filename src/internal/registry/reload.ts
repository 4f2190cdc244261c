/** Living circuits become what the environment says. */
import type { Reloaded } from "../../CircuitBreakerRegistry.ts"
import type { Environment } from "../../Environment.ts"
import type { Breaker } from "../circuit/breaker.ts"
import { isReconfigured, policyOf, type State } from "./state.ts"

/** Takes over what was read of the environment. Returns the circuits that it changed. */
export const reload = (state: State, environment: Environment): ReadonlyArray<Reloaded> => {
  state.environment = environment
  return Array.from(state.living.values(), (breaker) => ({ circuit: breaker.name, changed: update(state, breaker) }))
    .filter(({ changed }) => changed.length > 0)
}

/** Makes a circuit what the environment says now. Returns what changed. */
export const update = (state: State, breaker: Breaker): Reloaded["changed"] => {
  const { environment } = state
  if (environment === undefined) return []
  const changed: Array<Reloaded["changed"][number]> = []
  if (!isReconfigured(breaker)) {
    const policy = policyOf(state, breaker.name, state.declared.get(breaker)?.first)
    changed.push(...breaker.follow(policy))
  }
  const isOn = environment.enabled(breaker.name)
  if (isOn === state.switchedOff.has(breaker) && switchTo(state, breaker, isOn)) changed.push("enabled")
  return changed
}

/** Returns whether it did: an operator's command stands. */
const switchTo = (state: State, breaker: Breaker, isOn: boolean): boolean => {
  const { _tag: circuit } = breaker.settled()
  if (isOn) {
    state.switchedOff.delete(breaker)
    if (circuit !== "Disabled") return false
    breaker.move({ _tag: "ForceClose" }, "switched on by the environment")
    return true
  }
  if (circuit === "ForcedOpen" || circuit === "Disabled" || circuit === "MetricsOnly") return false
  state.switchedOff.add(breaker)
  breaker.move({ _tag: "Disable" }, "switched off by the environment")
  return true
}
