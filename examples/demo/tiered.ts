/**
 * The three tiers as one `Accounts`. This is all that makes the program
 * resilient: it asks for accounts as it would with any one of the Layers.
 */
import type { Duration, Layer } from "effect"
import { type Retry, Tiers } from "effect-resilience"
import { Accounts, AccountsUnavailable } from "./accounts.ts"
import type { Tier } from "./journal.ts"

export interface Settings {
  /** For all tiers and their retries together. */
  readonly deadline: Duration.Duration
  /** For one attempt at a tier. */
  readonly timeout: (tier: Tier) => Duration.Duration
  readonly retry: Retry.RetryPolicy
}

export const AccountsTiered = <E, R>(
  tiers: Readonly<Record<Tier, Layer.Layer<Accounts, E, R>>>,
  { deadline, retry, timeout }: Settings
) =>
  Tiers.layer(Accounts, [
    ["tier1_mcp", tiers.tier1_mcp, { timeout: timeout("tier1_mcp") }],
    ["tier2_sdk", tiers.tier2_sdk, { timeout: timeout("tier2_sdk") }],
    ["tier3_rest", tiers.tier3_rest, { timeout: timeout("tier3_rest") }]
  ], {
    operation: () => "get_account",
    isAnswer: (error) => error._tag === "AccountNotFound",
    deadline,
    tier: { retry },
    onAllFailed: (error) => AccountsUnavailable.because(error)
  })
