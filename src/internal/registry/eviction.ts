/**
 * Circuits that were not used for long are forgotten. A handle that is still
 * held finds the circuit of its name with the next call, or restores its own.
 */
import * as Effect from "effect/Effect"
import type { Breaker } from "../circuit/breaker.ts"
import type { Circuit } from "../circuit/machine.ts"
import { collectInPieces } from "../pieces.ts"
import { update } from "./reload.ts"
import { forget, isReconfigured, keep, now, type State } from "./state.ts"

/** The circuit of that name, unless it has been idle for too long. */
export const find = (state: State, name: string): Breaker | undefined => {
  const breaker = state.living.get(name)
  if (breaker !== undefined && state.idleTime < Infinity) evictIfIdle(state, breaker, now(state))
  return state.living.get(name)
}

/** What `f` makes of each circuit that has not been idle for too long, oldest first. Long lists take several turns. */
export const collect = <A>(state: State, f: (breaker: Breaker) => A | undefined): Effect.Effect<ReadonlyArray<A>> =>
  Effect.suspend(() => {
    const at = timeToEvict(state)
    const list = () => Array.from(state.living.values())
    return Effect.map(
      collectInPieces(list, (breaker) => isKept(state, breaker, at) ? f(breaker) : undefined),
      (made) => {
        // An iterator keeps what was deleted since it was last used.
        state.cursor = state.living.values()
        return made
      }
    )
  })

/** The time by which circuits are idle; none is read if no circuit ever is. */
export const timeToEvict = (state: State): number => state.idleTime === Infinity ? -Infinity : now(state)

/** Whether a circuit has not been forgotten, nor idle for too long. */
export const isKept = (state: State, breaker: Breaker, at: number): boolean => {
  if (state.living.get(breaker.name) !== breaker) return false
  return state.idleTime === Infinity || !evictIfIdle(state, breaker, at)
}

/** Looks at so many circuits, so that neither a call nor a reader pays for the sweep of a million. */
export const sweepSome = (state: State, circuits: number): void => {
  if (state.idleTime === Infinity) return
  const at = now(state)
  for (let left = Math.min(circuits, state.living.size); left > 0; left--) {
    let next = state.cursor.next()
    if (next.done === true) {
      state.cursor = state.living.values()
      next = state.cursor.next()
      if (next.done === true) return
    }
    evictIfIdle(state, next.value, at)
  }
}

/** Returns whether it did. */
const evictIfIdle = (state: State, breaker: Breaker, at: number): boolean => {
  if (state.registered.has(breaker.name) || breaker.inFlight > 0 || breaker.hasListeners) return false
  const { circuit, handle } = breaker
  if (isUnderManualControl(state, breaker, circuit) || isReconfigured(breaker)) return false
  const hasOpened = circuit._tag === "Open" || (circuit._tag === "ForcedOpen" && state.start === undefined)
  const openUntil = hasOpened ? circuit.openUntil : -Infinity
  if (at - Math.max(breaker.lastUsedAt, openUntil) < state.idleTime) return false
  forget(state, breaker)
  // It may be restored, and stays a part of the registry until then.
  state.parent.census.leave(breaker)
  // Without a handle, nothing is left of it.
  if (handle !== undefined) handle.successor = () => state.living.get(breaker.name) ?? restore(state, breaker)
  return true
}

const restore = (state: State, breaker: Breaker): Breaker => {
  state.parent.census.enter(breaker)
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
