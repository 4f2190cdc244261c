/** How the circuits of a registry stand. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { SystemStatus } from "../../CircuitBreakerRegistry.ts"
import type { CircuitState } from "../../CircuitEvent.ts"
import type { Breaker } from "../circuit/breaker.ts"
import { isAlarming, isNotable } from "../circuit/census.ts"
import * as Circuit from "../circuit/machine.ts"
import * as Window from "../circuit/window.ts"
import { collectInPieces, PIECE } from "../pieces.ts"
import { isKept, sweepSome } from "./eviction.ts"
import { now, type State } from "./state.ts"

/** A circuit that is not healthy: open, half-open or failing too much. */
export interface Troubled {
  readonly name: string
  readonly state: CircuitState
}

/** The circuits that are not healthy, since when they have not been. */
export type Standing = ReadonlyArray<Troubled>

/** How long an answer about many notable circuits serves all who ask, unless a circuit is changed by hand. */
const SHARED_FOR = 1_000
/** Idle circuits that a reader looks for. */
const SWEPT = 100

/** The circuits that are not healthy now. Looks at the notable ones only, and if they are many in pieces. */
export const standing = (state: State): Effect.Effect<Standing> =>
  Effect.suspend(() => {
    sweepSome(state, SWEPT)
    const { notable } = state.parent.census
    if (notable.size <= PIECE) return collectInPieces(Array.from(notable), (breaker) => troubleOf(state, breaker))
    return state.turn.withPermits(1)(Effect.suspend(() => sharedStanding(state)))
  })

const sharedStanding = (state: State): Effect.Effect<Standing> => {
  const { found, parent: { census: { changes, notable } } } = state
  const at = now(state)
  if (found !== undefined && found.changes === changes && at - found.at < SHARED_FOR) {
    return Effect.succeed(found.standing)
  }
  return Effect.map(collectInPieces(Array.from(notable), (breaker) => troubleOf(state, breaker)), (standing) => {
    state.found = { standing, at, changes }
    return standing
  })
}

const troubleOf = (state: State, breaker: Breaker): Troubled | undefined => {
  if (!isKept(state, breaker)) return undefined
  const at = now(state)
  const circuit = breaker.settled(at)
  const trouble = isTroubled(circuit, at) ? { name: breaker.name, state: circuit._tag } : undefined
  if (!isNotable(breaker.circuit)) state.parent.census.notable.delete(breaker)
  return trouble
}

/** Whether a circuit that is settled at that time is not healthy. */
const isTroubled = (circuit: Circuit.Circuit, at: number): boolean => {
  if (circuit._tag !== "Closed" && circuit._tag !== "MetricsOnly") return circuit._tag !== "Disabled"
  const { window } = circuit.counts
  Window.expire(window, at)
  return isAlarming(window)
}

export const namesOfOpen = (standing: Standing): ReadonlyArray<string> =>
  standing.filter(({ state }) => Circuit.isOpen(state)).map(({ name }) => name)

export const summarise = (state: State, standing: Standing): SystemStatus => {
  const { byState, calls } = state.parent.census
  const circuitsByState = { Closed: 0, Open: 0, HalfOpen: 0, ForcedOpen: 0, ...byState }
  for (const { state } of standing) if (state !== "Closed" && state !== "MetricsOnly") circuitsByState[state]++
  const { Disabled, ForcedOpen, HalfOpen, MetricsOnly, Open } = circuitsByState
  circuitsByState.Closed = state.living.size - Open - HalfOpen - ForcedOpen - Disabled - MetricsOnly
  const openCircuits = namesOfOpen(standing)
  return {
    status: openCircuits.length > 0 ? "unhealthy" : standing.length > 0 ? "degraded" : "healthy",
    totalCircuits: state.living.size,
    circuitsByState,
    openCircuits,
    totalCalls: calls.all,
    rejectedCalls: calls.rejected
  }
}

const SHORT_LIFE = 10_000
const FEW_CALLS = 10
const MANY_LIVES = 1_000
let shortLivesInARow = 0

/** Warns, when a registry ends, of a Layer that is provided to each call: its circuits see so few that they never open. */
export const warnIfPerCall = (state: State): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { home, living, madeAt, start } = state
    // Tests build a registry each, as they should.
    if (living.size === 0 || start !== undefined || home.clock !== Context.get(Context.empty(), Clock.Clock)) {
      return Effect.void
    }
    const isShort = now(state) - madeAt < SHORT_LIFE &&
      Array.from(living.values()).every((breaker) => breaker.snapshot().totalCalls <= FEW_CALLS)
    shortLivesInARow = isShort ? shortLivesInARow + 1 : 0
    return shortLivesInARow === MANY_LIVES
      ? Effect.logWarning(
        `A CircuitBreakerRegistry with ${shown(living.keys())} was built and released ${MANY_LIVES} times in a row: ` +
          "circuits of a Layer that is provided to each call never open. Provide it once, at the edge of the program"
      )
      : Effect.void
  })

const shown = (names: Iterable<string>): string => {
  const all = Array.from(names, (name) => JSON.stringify(name))
  return all.slice(0, 5).join(", ") + (all.length > 5 ? ` and ${all.length - 5} more circuits` : "")
}
