/**
 * Which tiers served the calls of a program, counted for whoever watches the
 * registry that the tiers take their circuits from.
 */
import type { CircuitBreakerRegistry } from "../CircuitBreakerRegistry.ts"
import type { TierAttempt } from "../ResilienceError.ts"

/** How the calls of one operation went through its tiers. */
export interface TierFlow {
  readonly operation: string
  calls: number
  /** Calls that no tier could serve. */
  failed: number
  readonly tiers: ReadonlyArray<TierCount>
}

export interface TierCount {
  readonly name: string
  readonly circuit: string
  served: number
  failed: number
  skipped: number
}

interface NamedTier {
  readonly name: string
  readonly circuit: string
}

/** Operations that are remembered: names made from arguments must not add up. */
const MAX_FLOWS = 100

export class TierFlows {
  /** The one that was used least lately comes first. */
  private readonly flows = new Map<string, TierFlow>()

  get all(): ReadonlyArray<TierFlow> {
    return Array.from(this.flows.values())
  }

  add(
    operation: string,
    tiers: ReadonlyArray<NamedTier>,
    attempts: ReadonlyArray<TierAttempt>,
    servedBy: string | undefined
  ): void {
    const key = JSON.stringify([operation, ...tiers.map(({ circuit, name }) => [name, circuit])])
    const flow = this.flows.get(key) ?? {
      operation,
      calls: 0,
      failed: 0,
      tiers: tiers.map(({ circuit, name }) => ({ name, circuit, served: 0, failed: 0, skipped: 0 }))
    }
    this.flows.delete(key)
    this.flows.set(key, flow)
    if (this.flows.size > MAX_FLOWS) this.flows.delete(this.flows.keys().next().value!)
    flow.calls++
    for (let i = 0; i < attempts.length; i++) flow.tiers[i]![attempts[i]!.outcome]++
    if (servedBy === undefined) flow.failed++
    else flow.tiers[attempts.length]!.served++
  }
}

const watched = new WeakMap<CircuitBreakerRegistry, TierFlows>()

/** Those of a registry, if anybody watches it. */
export const flowsOf = (registry: CircuitBreakerRegistry | undefined): TierFlows | undefined =>
  registry === undefined ? undefined : watched.get(registry)

/** Counts from now on. */
export const watchFlows = (registry: CircuitBreakerRegistry): TierFlows => {
  const flows = watched.get(registry) ?? new TierFlows()
  watched.set(registry, flows)
  return flows
}
