/**
 * Which tiers served the calls of a program, counted for whoever watches the
 * registry that the tiers take their circuits from.
 */
import type { CircuitBreakerRegistry } from "../../CircuitBreakerRegistry.ts"
import type { TierAttempt } from "../../ResilienceError.ts"

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
const OTHERS = "(others)"

const empty = (operation: string, tiers: ReadonlyArray<NamedTier>): TierFlow => ({
  operation,
  calls: 0,
  failed: 0,
  tiers: tiers.map(({ circuit, name }) => ({ name, circuit, served: 0, failed: 0, skipped: 0 }))
})

const keyOf = (operation: string, tiers: ReadonlyArray<NamedTier>): string =>
  JSON.stringify([operation, ...tiers.map(({ circuit, name }) => [name, circuit])])

export class TierFlows {
  /** The one that was used least lately comes first. */
  private readonly flows = new Map<string, TierFlow>()
  /** What is no longer remembered by name, so that the sum over the same tiers never shrinks. */
  private readonly others = new Map<string, TierFlow>()

  get all(): ReadonlyArray<TierFlow> {
    return [...this.flows.values(), ...this.others.values()]
  }

  add(
    operation: string,
    tiers: ReadonlyArray<NamedTier>,
    attempts: ReadonlyArray<TierAttempt>,
    servedBy: string | undefined
  ): void {
    const key = keyOf(operation, tiers)
    const flow = this.flows.get(key) ?? empty(operation, tiers)
    this.flows.delete(key)
    this.flows.set(key, flow)
    if (this.flows.size > MAX_FLOWS) this.forgetOldest()
    flow.calls++
    for (let i = 0; i < attempts.length; i++) flow.tiers[i]![attempts[i]!.outcome]++
    if (servedBy === undefined) flow.failed++
    else flow.tiers[attempts.length]!.served++
  }

  private forgetOldest(): void {
    const [key, flow] = this.flows.entries().next().value!
    this.flows.delete(key)
    const keyOfOthers = keyOf(OTHERS, flow.tiers)
    const others = this.others.get(keyOfOthers) ?? empty(OTHERS, flow.tiers)
    this.others.set(keyOfOthers, others)
    if (this.others.size > MAX_FLOWS) this.others.delete(this.others.keys().next().value!)
    others.calls += flow.calls
    others.failed += flow.failed
    for (const [i, { failed, served, skipped }] of flow.tiers.entries()) {
      const tier = others.tiers[i]!
      tier.served += served
      tier.failed += failed
      tier.skipped += skipped
    }
  }
}

/** On the registry itself, where another copy of this package finds them as well. */
const FLOWS = "~effect-resilience/tierFlows"

interface Watched {
  readonly [FLOWS]?: TierFlows
}

/** Those of a registry, if anybody watches it. */
export const flowsOf = (registry: CircuitBreakerRegistry | undefined): TierFlows | undefined =>
  (registry as Watched | undefined)?.[FLOWS]

/** Counts from now on. */
export const watchFlows = (registry: CircuitBreakerRegistry): TierFlows => {
  const flows = flowsOf(registry) ?? new TierFlows()
  if (Object.isExtensible(registry)) Object.defineProperty(registry, FLOWS, { value: flows, configurable: true })
  return flows
}
