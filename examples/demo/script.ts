/** What happens to the servers, and when. */
import type { Condition, Tier } from "./journal.ts"

export interface Scene {
  /** Seconds from the start, at normal speed. */
  readonly at: number
  readonly title: string
  readonly changes?: ReadonlyArray<readonly [tier: Tier, condition: Condition]>
}

/**
 * Each tier goes down in a way of its own while the one below takes over, then
 * all are down, then they come back from the last to the first.
 */
export const SCRIPT: ReadonlyArray<Scene> = [
  { at: 0, title: "all three tiers are up" },
  { at: 3, title: "the MCP server's process is killed", changes: [["tier1_mcp", "killed"]] },
  { at: 6, title: "the SDK's server turns slow: 2 s an answer", changes: [["tier2_sdk", "slow"]] },
  { at: 9, title: "the SDK's server answers 503 with a Retry-After", changes: [["tier2_sdk", "unavailable"]] },
  { at: 12, title: "the REST server drops every connection: nothing is up", changes: [["tier3_rest", "resetting"]] },
  { at: 14, title: "the REST server is back", changes: [["tier3_rest", "up"]] },
  { at: 17, title: "the SDK's server is back", changes: [["tier2_sdk", "up"]] },
  { at: 20, title: "the MCP server is back, as a new process", changes: [["tier1_mcp", "up"]] }
]

/** How long an unavailable server asks to be left alone, in seconds at normal speed. */
export const RETRY_AFTER = 2

/** When the load ends, in seconds at normal speed. */
export const LENGTH = 24
