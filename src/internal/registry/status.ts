/** How the circuits of a registry stand. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SystemStatus } from "../../CircuitBreakerRegistry.ts"
import type { CircuitState } from "../../CircuitEvent.ts"
import type { CircuitMetrics } from "../../CircuitMetrics.ts"
import type { Breaker } from "../circuit/breaker.ts"
import { isNotable } from "../circuit/census.ts"
import * as Circuit from "../circuit/machine.ts"
import { rate } from "../circuit/snapshot.ts"
import * as Window from "../circuit/window.ts"
import { isIdle } from "../health/reasons.ts"
import { collectInPieces, PIECE } from "../pieces.ts"
import { ALARMING_FAILURE_RATE } from "../words.ts"
import { isKept, sweepSome, timeToEvict } from "./eviction.ts"
import { now, type State } from "./state.ts"

/** How a circuit is, in short. */
export type Glance = Pick<CircuitMetrics, "name" | "state" | "failureRate" | "currentBackoff" | "probeIdleTime">

/** The circuits that are not healthy. */
export interface Standing {
  readonly troubled: ReadonlyArray<Glance>
  /** The names of those that reject calls. */
  readonly open: ReadonlyArray<string>
  readonly byState: Readonly<Record<CircuitState, number>>
}

export const glanceAt = (breaker: Breaker): Glance => {
  const now = breaker.now()
  const circuit = breaker.settled(now)
  const { _tag: state, counts: { window }, lastOpenTime } = circuit
  Window.expire(window, now)
  const glance = { name: breaker.name, state, failureRate: rate(window.failures, window.calls) }
  const idleTime = Circuit.idleTimeOfProbes(circuit, now)
  return idleTime === undefined
    ? glance
    : { ...glance, currentBackoff: Duration.millis(lastOpenTime), probeIdleTime: Duration.millis(idleTime) }
}

/** Whether a circuit is open, half-open or fails too much. */
export const isTroubled = ({ failureRate, state }: Glance): boolean =>
  state === "Closed" || state === "MetricsOnly" ? failureRate > ALARMING_FAILURE_RATE : state !== "Disabled"

/** How long an answer about many notable circuits serves all who ask, unless a circuit is changed by hand. */
const SHARED_FOR = 1_000
/** Idle circuits that a reader looks for. */
const SWEPT = 25

/** The circuits that are not healthy now. Looks at the notable ones only, and if they are many in pieces. */
export const standing = (state: State): Effect.Effect<Standing> =>
  Effect.suspend(() => {
    sweepSome(state, SWEPT)
    const { notable } = state.parent.census
    if (notable.size <= PIECE) return lookAtNotable(state)
    return state.turn.withPermits(1)(Effect.suspend(() => sharedStanding(state)))
  })

const sharedStanding = (state: State): Effect.Effect<Standing> => {
  const { found, parent: { census: { changes } } } = state
  const at = now(state)
  if (found !== undefined && found.changes === changes && at - found.at < SHARED_FOR) {
    return Effect.succeed(found.standing)
  }
  return Effect.map(lookAtNotable(state), (standing) => {
    state.found = { standing, at, changes }
    return standing
  })
}

const lookAtNotable = (state: State): Effect.Effect<Standing> => {
  const troubled: Array<Glance> = []
  const open: Array<string> = []
  const byState = { Closed: 0, Open: 0, HalfOpen: 0, ForcedOpen: 0, Disabled: 0, MetricsOnly: 0 }
  const at = timeToEvict(state)
  const look = collectInPieces(() => Array.from(state.parent.census.notable), (breaker) => {
    const glance = isKept(state, breaker, at) ? troubleOf(state, breaker) : undefined
    if (glance === undefined) return
    troubled.push(glance)
    byState[glance.state]++
    if (Circuit.isOpen(glance.state)) open.push(glance.name)
  })
  return Effect.as(look, { troubled, open, byState })
}

const troubleOf = (state: State, breaker: Breaker): Glance | undefined => {
  const glance = glanceAt(breaker)
  if (!isNotable(breaker.circuit)) state.parent.census.notable.delete(breaker)
  return isTroubled(glance) ? glance : undefined
}

/** Circuits that are not healthy or not closed, at most so many. */
export interface Exceptions {
  readonly circuits: ReadonlyArray<CircuitMetrics>
  /** How many there are. */
  readonly total: number
}

export const exceptions = (state: State, limit: number): Effect.Effect<Exceptions> =>
  Effect.map(standing(state), ({ byState, troubled }) => {
    const { Disabled, MetricsOnly } = state.parent.census.set
    const names = new Set(take(troubled, limit, ({ name }) => name))
    for (const quiet of [MetricsOnly, Disabled]) {
      for (const name of take(quiet, limit - names.size, ({ name }) => name)) names.add(name)
    }
    return {
      circuits: Array.from(names).flatMap((name) => state.living.get(name)?.snapshot() ?? []),
      total: troubled.length - byState.MetricsOnly + MetricsOnly.size + Disabled.size
    }
  })

const take = <A, B>(items: Iterable<A>, limit: number, f: (item: A) => B): ReadonlyArray<B> => {
  const taken: Array<B> = []
  if (limit > 0) {
    for (const item of items) if (taken.push(f(item)) >= limit) break
  }
  return taken
}

export const summarise = (state: State, { byState, open, troubled }: Standing): SystemStatus => {
  const { living, parent: { census: { calls, set } } } = state
  const { ForcedOpen, HalfOpen, Open } = byState
  const { Disabled: { size: Disabled }, MetricsOnly: { size: MetricsOnly } } = set
  const Closed = living.size - Open - HalfOpen - ForcedOpen - Disabled - MetricsOnly
  return {
    status: open.length > 0 ? "unhealthy" : troubled.some((glance) => !isIdle(glance)) ? "degraded" : "healthy",
    totalCircuits: living.size,
    circuitsByState: { Closed, Open, HalfOpen, ForcedOpen, Disabled, MetricsOnly },
    openCircuits: open,
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
