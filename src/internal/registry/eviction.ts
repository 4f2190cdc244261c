/**
 * Circuits that were not used for long are forgotten. A handle that is still
 * held finds the circuit of its name with the next call, or restores its own.
 */
import type { Breaker } from "../circuit/breaker.ts"
import type { Circuit } from "../circuit/machine.ts"
import { update } from "./reload.ts"
import { forget, isReconfigured, keep, now, type State } from "./state.ts"

/** The circuit of that name, unless it has been idle for too long. */
export const find = (state: State, name: string): Breaker | undefined => {
  const breaker = state.living.get(name)
  if (breaker !== undefined && state.idleTime < Infinity) evictIfIdle(state, breaker, now(state))
  return state.living.get(name)
}

/** All circuits that have not been idle for too long, oldest first. */
export const living = (state: State): ReadonlyArray<Breaker> => {
  if (state.idleTime < Infinity) {
    const at = now(state)
    for (const breaker of state.living.values()) evictIfIdle(state, breaker, at)
    // An iterator keeps what was deleted since it was last used.
    state.cursor = state.living.values()
  }
  return Array.from(state.living.values())
}

/** Looks at a few circuits with each new one, so that no call pays for the sweep of a million. */
export const sweepSome = (state: State): void => {
  if (state.idleTime === Infinity) return
  const at = now(state)
  for (let i = 0; i < 2; i++) {
    const next = state.cursor.next()
    if (next.done === true) {
      state.cursor = state.living.values()
      return
    }
    evictIfIdle(state, next.value, at)
  }
}

const evictIfIdle = (state: State, breaker: Breaker, at: number): void => {
  if (state.registered.has(breaker.name) || breaker.inFlight > 0 || breaker.hasListeners) return
  const { circuit, handle } = breaker
  if (isUnderManualControl(state, breaker, circuit) || isReconfigured(breaker)) return
  const hasOpened = circuit._tag === "Open" || (circuit._tag === "ForcedOpen" && state.start === undefined)
  const openUntil = hasOpened ? circuit.openUntil : -Infinity
  if (at - Math.max(breaker.lastUsedAt, openUntil) < state.idleTime) return
  forget(state, breaker)
  // Without a handle, nothing is left of it.
  if (handle !== undefined) handle.successor = () => state.living.get(breaker.name) ?? restore(state, breaker)
}

const restore = (state: State, breaker: Breaker): Breaker => {
  update(state, breaker)
  keep(state, breaker)
  if (breaker.handle !== undefined) breaker.handle.successor = undefined
  return breaker
}

/** Whether an operator moved the circuit, so that a new one of its name would undo that. */
const isUnderManualControl = (state: State, breaker: Breaker, circuit: Circuit): boolean => {
  if (state.switchedOff.has(breaker)) return circuit._tag !== "Disabled"
  return state.start === undefined
    ? circuit._tag === "Disabled" || circuit._tag === "MetricsOnly"
    : circuit.generation > 1
}
