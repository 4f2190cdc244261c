/** How the circuits of a registry stand. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { SystemStatus } from "../../CircuitBreakerRegistry.ts"
import type { CircuitMetrics } from "../../CircuitMetrics.ts"
import type { Breaker } from "../circuit/breaker.ts"
import * as Circuit from "../circuit/machine.ts"
import { isIdle } from "../health/reasons.ts"
import { ALARMING_FAILURE_RATE } from "../words.ts"
import { now, type State } from "./state.ts"

export const isOpen = (breaker: Breaker): boolean => Circuit.isOpen(breaker.settled()._tag)

export const summarise = (circuits: ReadonlyArray<CircuitMetrics>): SystemStatus => {
  const circuitsByState = { Closed: 0, Open: 0, HalfOpen: 0, ForcedOpen: 0, Disabled: 0, MetricsOnly: 0 }
  const openCircuits: Array<string> = []
  let totalCalls = 0
  let rejectedCalls = 0
  let degraded = false
  for (const circuit of circuits) {
    circuitsByState[circuit.state]++
    totalCalls += circuit.totalCalls
    rejectedCalls += circuit.rejectedCalls
    if (Circuit.isOpen(circuit.state)) openCircuits.push(circuit.name)
    const alarming = circuit.failureRate > ALARMING_FAILURE_RATE && circuit.state !== "Disabled"
    if (circuit.state === "HalfOpen" ? !isIdle(circuit) : alarming) degraded = true
  }
  return {
    status: openCircuits.length > 0 ? "unhealthy" : degraded ? "degraded" : "healthy",
    totalCircuits: circuits.length,
    circuitsByState,
    openCircuits,
    totalCalls,
    rejectedCalls
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
