import type * as Effect from "effect/Effect"
import type { CircuitBreaker } from "../../CircuitBreaker.ts"
import type { CircuitState } from "../../CircuitEvent.ts"
import type { Breaker } from "../circuit/breaker.ts"
import type { Glance } from "../registry/status.ts"

/** The circuits that a monitor can find by name: those of a registry. */
export interface Circuits {
  readonly find: (name: string) => CircuitBreaker | undefined
  readonly names: Effect.Effect<ReadonlyArray<string>>
  /** Those that are not healthy. Costs what there are of them. */
  readonly troubled: Effect.Effect<ReadonlyArray<Glance>>
  /** Calls back for each circuit that the registry keeps, now and later, and that it forgets. Returns how to stop. */
  readonly watch: (watcher: {
    readonly onKept: (breaker: Breaker) => void
    readonly onForgotten: (breaker: Breaker) => void
  }) => () => void
}

/** The circuits whose transitions a monitor hears of. */
export class ObservedCircuits {
  private readonly observer: {
    readonly onTransition: (from: CircuitState, to: CircuitState, circuit: string) => void
    readonly onDuration: () => void
    readonly measure: false
  }
  private readonly stops = new Map<Breaker, () => void>()

  constructor(onTransition: (circuit: string) => void) {
    this.observer = {
      onTransition: (_from, _to, circuit) => onTransition(circuit),
      onDuration: () => {},
      measure: false
    }
  }

  add(breaker: Breaker): void {
    if (!this.stops.has(breaker)) this.stops.set(breaker, breaker.observe(this.observer))
  }

  remove(breaker: Breaker): void {
    this.stops.get(breaker)?.()
    this.stops.delete(breaker)
  }

  clear(): void {
    for (const breaker of this.stops.keys()) this.remove(breaker)
  }
}
