/**
 * The record of a run: what happened, in order, as plain values. The timeline is
 * drawn from it, the checks judge it, `--json` writes it to a file.
 *
 * Times are milliseconds since the run began, on one monotonic clock.
 */
import { Clock, Context, Effect, Layer } from "effect"

export const TIERS = ["tier1_mcp", "tier2_sdk", "tier3_rest"] as const
export type Tier = typeof TIERS[number]

/** How a tier's server is. Only `up` can serve. */
export type Condition = "up" | "killed" | "slow" | "unavailable" | "resetting"

/** What the checks hold a run to, as it was configured. */
export interface Limits {
  /** No call may take longer, all tiers and retries together. */
  readonly deadline: number
  /** What may be added to that for the time a timer takes to fire. */
  readonly tolerance: number
  /** A tier that is back must be in use again after this long: the longest that a circuit stays open, and a probe. */
  readonly recovery: number
  /** An attempt at a tier may take no longer. */
  readonly attempt: number
  /** How many failures in a row open a circuit. */
  readonly failures: number
}

/** What a caller got. `tier` is who served it, as the tiers report it. */
export type Answer =
  | { readonly _tag: "Found"; readonly tier: string; readonly receipt: string; readonly accountId: string }
  | { readonly _tag: "NotFound"; readonly tier: string; readonly receipt: string; readonly accountId: string }
  | {
    readonly _tag: "Failed"
    readonly reason: string
    readonly attempts: ReadonlyArray<{ readonly tier: string; readonly outcome: "skipped" | "failed" }>
  }

export type Entry =
  /** The run begins: all tiers are up. */
  | { readonly _tag: "Began"; readonly at: number; readonly limits: Limits }
  /** The script moves on. */
  | { readonly _tag: "Scene"; readonly at: number; readonly title: string }
  /** A tier's server was told at `askedAt` to change, and had changed by `at`. */
  | {
    readonly _tag: "Became"
    readonly at: number
    readonly askedAt: number
    readonly tier: Tier
    readonly condition: Condition
    readonly note: string
  }
  /** A tier's Layer was built. */
  | { readonly _tag: "Built"; readonly at: number; readonly tier: Tier }
  /** A circuit changed its state. */
  | {
    readonly _tag: "Changed"
    readonly at: number
    readonly tier: Tier
    readonly from: string
    readonly to: string
    readonly why: string
    readonly openFor: number
  }
  /** A tier failed a call, which is going to try it again. */
  | { readonly _tag: "Retried"; readonly at: number; readonly error: string }
  /** A call of the load began at `from` and ended at `at`. */
  | {
    readonly _tag: "Called"
    readonly at: number
    readonly from: number
    readonly accountId: string
    readonly answer: Answer
  }
  /** A server's own note of an answer it gave. */
  | {
    readonly _tag: "Answered"
    readonly at: number
    readonly tier: Tier
    readonly receipt: string
    readonly accountId: string
    readonly found: boolean
  }
  /** The server of a tier, or without one this process, was kept from running: until `at`, for `millis`. */
  | { readonly _tag: "Stalled"; readonly at: number; readonly millis: number; readonly tier?: Tier }
  /** What a tier's circuit has counted in the end, and its state. */
  | {
    readonly _tag: "Counted"
    readonly at: number
    readonly tier: Tier
    readonly state: string
    readonly successes: number
    readonly failures: number
    readonly rejected: number
    readonly late: number
  }
  /** Every call has ended and every receipt is in. */
  | { readonly _tag: "Ended"; readonly at: number; readonly calls: number }

type WithoutTime<E> = E extends Entry ? Omit<E, "at"> : never

export class Journal extends Context.Service<Journal, {
  /** Time since `Began` was written. */
  readonly now: Effect.Effect<number>
  readonly write: (entry: WithoutTime<Entry>) => Effect.Effect<void>
  readonly entries: ReadonlyArray<Entry>
}>()("demo/Journal") {
  /** A journal that shows each entry to a reader as it is written. One that is written for ever does not keep them. */
  static readonly layer = (
    reader: (entry: Entry) => Effect.Effect<void> = () => Effect.void,
    { keep = true }: { readonly keep?: boolean } = {}
  ) =>
    Layer.effect(
      Journal,
      Effect.gen(function*() {
        const clock = yield* Clock.Clock
        let begin = clock.monotonicTimeNanosUnsafe()
        const now = () => Number(clock.monotonicTimeNanosUnsafe() - begin) / 1e6
        const entries: Array<Entry> = []
        return Journal.of({
          now: Effect.sync(now),
          write: (entry) =>
            Effect.suspend(() => {
              if (entry._tag === "Began") begin = clock.monotonicTimeNanosUnsafe()
              const written: Entry = { at: now(), ...entry }
              if (keep) entries.push(written)
              return reader(written)
            }),
          entries
        })
      })
    )
}
