/**
 * What the script of the demo acts upon: the servers behind the tiers. With
 * `npm run demo` they are processes, in the tests they are values.
 */
import { Context, type Effect } from "effect"
import type { Condition, Tier } from "./journal.ts"

export class World extends Context.Service<World, {
  /** Changes how a tier's server is, and returns when that is done, with a note if there is more to tell. */
  readonly become: (tier: Tier, condition: Condition) => Effect.Effect<string>
  /** Returns as soon as a tier's server runs: at once, unless the machine is busy. */
  readonly ping: (tier: Tier) => Effect.Effect<void>
  /** Returns when every receipt given so far is in the journal. */
  readonly settle: Effect.Effect<void>
}>()("demo/World") {}
