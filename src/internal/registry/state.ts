/** The state of a registry of circuits. */
import type * as Context from "effect/Context"
import * as Semaphore from "effect/Semaphore"
import type { CircuitChange, CircuitEvent } from "../../CircuitEvent.ts"
import type { CircuitPolicy } from "../../CircuitPolicy.ts"
import type { Environment } from "../../Environment.ts"
import type { Breaker } from "../circuit/breaker.ts"
import { Census } from "../circuit/census.ts"
import { type Home, makeHome } from "../circuit/home.ts"
import type { Parent } from "../circuit/journal.ts"
import type { Command } from "../circuit/machine.ts"
import { EventHub, History } from "../eventHub.ts"
import { monotonicMillis } from "../time/monotonic.ts"
import type { Standing } from "./status.ts"

/** The options of a registry, checked. */
export interface Settings {
  readonly defaults: CircuitPolicy
  /** Circuits that exist from the start. */
  readonly circuits: ReadonlyMap<string, CircuitPolicy | undefined>
  /** In milliseconds. */
  readonly idleTime: number
}

/** Is called when the registry starts to keep a circuit, and when it forgets one. */
export interface Watcher {
  readonly onKept: (breaker: Breaker) => void
  readonly onForgotten: (breaker: Breaker) => void
}

/** The policies that code named for a circuit: the first, and the latest one that agrees with it. */
interface Declared {
  readonly first: CircuitPolicy
  latest: CircuitPolicy
}

export interface State extends Settings {
  readonly living: Map<string, Breaker>
  /** Names of circuits that are never evicted. */
  readonly registered: Set<string>
  /** Circuits that were made outside of the registry. */
  readonly adopted: WeakSet<Breaker>
  /** Circuits that the environment disabled. */
  readonly switchedOff: WeakSet<Breaker>
  readonly declared: WeakMap<Breaker, Declared>
  readonly watchers: Set<Watcher>
  readonly home: Home
  /** The events and changes of all circuits. */
  readonly parent: Parent
  readonly madeAt: number
  /** The command that every new circuit gets, if it is not to start as Closed. */
  readonly start: Command | undefined
  environment: Environment | undefined
  /** The position of the sweep for idle circuits. */
  cursor: Iterator<Breaker>
  /** What was last found of many notable circuits, one reader after the other. */
  found: { readonly standing: Standing; readonly at: number; readonly changes: number } | undefined
  readonly turn: Semaphore.Semaphore
}

export const make = (
  settings: Settings,
  context: Context.Context<never>,
  options: { readonly start: Command | undefined; readonly environment: Environment | undefined }
): State => {
  const living = new Map<string, Breaker>()
  const parent = {
    events: new EventHub<CircuitEvent>(),
    changes: new EventHub<CircuitChange>(),
    history: new History<CircuitChange>(1_024),
    census: new Census()
  }
  const home = makeHome(context, parent)
  return {
    ...settings,
    ...options,
    living,
    registered: new Set(),
    adopted: new WeakSet(),
    switchedOff: new WeakSet(),
    declared: new WeakMap(),
    watchers: new Set(),
    home,
    parent,
    madeAt: monotonicMillis(home.clock),
    cursor: living.values(),
    found: undefined,
    turn: Semaphore.makeUnsafe(1)
  }
}

export const now = (state: State): number => monotonicMillis(state.home.clock)

export const keep = (state: State, breaker: Breaker): void => {
  state.living.set(breaker.name, breaker)
  for (const watcher of state.watchers) watcher.onKept(breaker)
}

export const forget = (state: State, breaker: Breaker): void => {
  state.living.delete(breaker.name)
  for (const watcher of state.watchers) watcher.onForgotten(breaker)
}

/** Calls the watcher for every circuit that is kept, now and later. Returns a function that stops it. */
export const watch = (state: State, watcher: Watcher): () => void => {
  state.watchers.add(watcher)
  for (const breaker of state.living.values()) watcher.onKept(breaker)
  return () => {
    state.watchers.delete(watcher)
  }
}

/** The policy for a circuit, given the one that code named for it, if any. */
export const policyOf = (state: State, name: string, policy?: CircuitPolicy): CircuitPolicy =>
  state.environment === undefined
    ? policy ?? state.circuits.get(name) ?? state.defaults
    : state.environment.circuitPolicy(name, policy)

/** Whether `reconfigure` gave it another policy. */
export const isReconfigured = ({ handle }: Breaker): boolean => handle !== undefined && handle.reconfigured
