/** Every place that names a circuit gets the same one. */
import * as Effect from "effect/Effect"
import type { CircuitBreaker } from "../../CircuitBreaker.ts"
import type { CircuitPolicy } from "../../CircuitPolicy.ts"
import { CircuitConflictError } from "../../ResilienceError.ts"
import { checkName, isObject } from "../check.ts"
import { Breaker } from "../circuit/breaker.ts"
import { Handle } from "../circuit/handle.ts"
import { differingSettings } from "../differingSettings.ts"
import { sweepSome } from "./eviction.ts"
import { update } from "./reload.ts"
import { forget, isReconfigured, keep, policyOf, type State } from "./state.ts"

/** The circuit of that name, made now if need be. Throws `CircuitConflictError`. */
export const getOrCreate = (state: State, name: string, policy: CircuitPolicy | undefined): Breaker => {
  const breaker = state.living.get(name)
  if (breaker === undefined) return create(state, name, policy)
  if (policy !== undefined) agree(state, breaker, policy)
  return breaker
}

const create = (state: State, name: string, policy: CircuitPolicy | undefined): Breaker => {
  checkName("CircuitBreakerRegistry: the name of a circuit", name)
  const isDeclared = state.circuits.has(name)
  const configured = state.circuits.get(name)
  if (policy !== undefined && configured !== undefined) assertSamePolicy(name, configured, policy)
  sweepSome(state, 2)
  const isOn = state.environment === undefined || state.environment.enabled(name)
  const breaker = new Breaker({
    name,
    policy: policyOf(state, name, policy),
    home: state.home,
    trackUse: state.idleTime < Infinity && !isDeclared,
    start: isOn ? state.start : { _tag: "Disable" }
  })
  if (!isOn) state.switchedOff.add(breaker)
  if (isDeclared) state.registered.add(name)
  const named = policy ?? configured
  if (named !== undefined) declare(state, breaker, named)
  keep(state, breaker)
  return breaker
}

const declare = (state: State, breaker: Breaker, policy: CircuitPolicy): void => {
  state.declared.set(breaker, { first: policy, latest: policy })
}

/** Every call may name the policy, so two that are known to agree are not compared again. */
const agree = (state: State, breaker: Breaker, policy: CircuitPolicy): void => {
  const named = state.declared.get(breaker)
  if (policy === named?.first || policy === named?.latest) return
  if (named === undefined) {
    // The name was used before a policy was named for it.
    declare(state, breaker, policy)
    if (!isReconfigured(breaker)) breaker.follow(policyOf(state, breaker.name, policy))
  } else if (differingSettings(named.first, policy).length === 0) {
    named.latest = policy
  } else if (differingSettings(breaker.policy, policy).length > 0) {
    assertSamePolicy(breaker.name, named.first, policy)
  }
}

const assertSamePolicy = (circuit: string, declared: CircuitPolicy, policy: CircuitPolicy): void => {
  const fields = differingSettings(declared, policy)
  if (fields.length > 0) throw new CircuitConflictError({ circuit, fields })
}

/** `getOrCreate` of a circuit that stays until it is removed. */
export const register = (state: State, name: string, policy: CircuitPolicy | undefined): Breaker => {
  const breaker = getOrCreate(state, name, policy)
  state.registered.add(name)
  breaker.stopTrackingUse()
  return breaker
}

/** Takes in a circuit that was made elsewhere. */
export const adopt = (state: State, circuit: CircuitBreaker): Breaker => {
  const field = "CircuitBreakerRegistry.adopt: circuit"
  if (!(circuit instanceof Handle)) {
    const name = isObject(circuit) && "name" in circuit ? `one named ${JSON.stringify(circuit.name)}` : typeof circuit
    throw new RangeError(
      `${field} must be made by CircuitBreaker.make or a class of CircuitBreaker.Service, of this very copy of the ` +
        `package, got ${name}`
    )
  }
  // It may stand for another one by now, if it was forgotten.
  const { live: breaker, name } = circuit
  if (state.living.get(name) !== breaker) {
    if (state.living.has(name)) throw new CircuitConflictError({ circuit: name, fields: [] })
    if (breaker.parent !== undefined) throw new RangeError(`${field} ${JSON.stringify(name)} is in a registry already`)
    breaker.join(state.parent)
    state.adopted.add(breaker)
    declare(state, breaker, breaker.policy)
    update(state, breaker)
    if (state.start !== undefined) breaker.move(state.start)
    keep(state, breaker)
  }
  state.registered.add(name)
  return breaker
}

/** Forgets a circuit, also if it is registered. `false` if there was none. */
export const remove = (state: State, name: string): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const breaker = state.living.get(name)
    state.registered.delete(name)
    if (breaker === undefined) return Effect.succeed(false)
    forget(state, breaker)
    return Effect.as(release(state, breaker), true)
  })

/** Ends what a circuit has of the registry. */
export const release = (state: State, breaker: Breaker): Effect.Effect<void> => {
  breaker.leaveParent()
  return state.adopted.delete(breaker) ? Effect.void : breaker.endEvents
}
