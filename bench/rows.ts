/** The targets, each a ratio of two things that were measured side by side. */
import { OURS } from "./model.ts"

/** Where a number comes from. */
export interface Source {
  /** As `group/case`. */
  readonly case: string
  /** If several, whichever is the fastest. */
  readonly contestants: ReadonlyArray<string>
  /** What the call costs above the bare one, all of it, or how often as much as the bare one. */
  readonly cost: "added" | "total" | "times" | "figure"
}

export interface Row {
  /** What the design asks of, in its words. */
  readonly what: string
  /** What `ours` is compared with, and a name for it. A number is an amount in the unit of the figure. */
  readonly baseline: string
  readonly ours: Source
  readonly theirs: Source | number
  readonly atMost: number
  /** How the target is written, if not as a ratio. */
  readonly target?: string | undefined
}

const source = (cost: Source["cost"]) => (name: string, ...contestants: ReadonlyArray<string>): Source => ({
  case: name,
  contestants: contestants.length === 0 ? [OURS] : contestants,
  cost
})
const added = source("added")
const total = source("total")
const times = source("times")
const figure = source("figure")

/** Half as much again, for ten thousand times as many, is what still counts as flat. */
const FLAT = 1.5

const OWN = ["Effect CircuitBreaker (rate)", "Effect CircuitBreaker (consecutive)"] as const

const COUNT = "closed circuit, count window 100 + consecutive"
const EVERYTHING = "the same with time window, slow-call detection, latency and metrics on"
const REJECTION = "rejection by an open circuit"
const WRAP = "retry + breaker + attempt timeout around a promise"
const MILLION = "1,000,000 circuits"

export const rows: ReadonlyArray<Row> = [
  {
    what: COUNT,
    baseline: "Effect's own breaker",
    ours: added("closed/sync call"),
    theirs: added("closed/sync call", ...OWN),
    atMost: 1 / 20,
    target: "1/20"
  },
  {
    what: COUNT,
    baseline: "what cockatiel adds to an await",
    ours: added("closed/sync call, next to await"),
    theirs: added("closed/sync call, next to await", "cockatiel (count)"),
    atMost: 1
  },
  {
    what: EVERYTHING,
    baseline: "Effect's own breaker",
    ours: added("telemetry/time window, slow calls, latency, metrics"),
    theirs: added("telemetry/time window, slow calls, latency, metrics", ...OWN),
    atMost: 1 / 10,
    target: "1/10"
  },
  {
    what: REJECTION,
    baseline: "Effect's own breaker",
    ours: total("open/rejection"),
    theirs: total("open/rejection", "Effect CircuitBreaker"),
    atMost: 1 / 20,
    target: "1/20"
  },
  {
    what: REJECTION,
    baseline: "cockatiel",
    ours: total("open/rejection"),
    theirs: total("open/rejection", "cockatiel"),
    atMost: 1 / 5,
    target: "1/5"
  },
  {
    what: WRAP,
    baseline: "cockatiel's same wrap",
    ours: added("pipeline/retry, circuit, attempt timeout, call of a promise"),
    theirs: added("pipeline/retry, circuit, attempt timeout, call of a promise", "cockatiel"),
    atMost: 1 / 3,
    target: "1/3"
  },
  {
    what: WRAP,
    baseline: "a bare Effect.timeout",
    ours: added("pipeline/retry, circuit, attempt timeout, call of a promise"),
    theirs: added("pipeline/retry, circuit, attempt timeout, call of a promise", "Effect.timeout alone"),
    atMost: 1.2
  },
  {
    what: "retry on the success path",
    baseline: "Effect.retry",
    ours: added("combinators/retry, success"),
    theirs: added("combinators/retry, success", "Effect.retry"),
    atMost: 1 / 5,
    target: "1/5"
  },
  {
    what: "three tiers, first one serves",
    baseline: "Effect.withExecutionPlan",
    ours: added("tiers/first serves"),
    theirs: added("tiers/first serves", "Effect.withExecutionPlan"),
    atMost: 1 / 2,
    target: "1/2"
  },
  {
    what: "one idle circuit, count window 100",
    baseline: "1 KB",
    ours: figure("memory/circuit, idle, window of 100 calls"),
    theirs: 1024,
    atMost: 1
  },
  {
    what: `${MILLION} in one registry, each`,
    baseline: "1 KB",
    ours: figure("memory/1,000,000 circuits in one registry", `${OURS}, each`),
    theirs: 1024,
    atMost: 1
  },
  {
    what: `${MILLION} evicted: memory that stays`,
    baseline: "what they took",
    ours: figure("memory/1,000,000 circuits evicted: memory that stays"),
    theirs: 1,
    atMost: 0.05
  },
  {
    what: "status of 100,000 circuits",
    baseline: "50 µs",
    ours: figure("health/status of 100,000 circuits"),
    theirs: 50,
    atMost: 1
  },
  {
    what: "any admin request at 100,000 circuits: event loop stopped",
    baseline: "10 ms",
    ours: figure("health/longest stop of the event loop at 100,000 circuits"),
    theirs: 10,
    atMost: 1
  },
  {
    what: "the same while all are open",
    baseline: "10 ms",
    ours: figure("health/longest stop of the event loop at 100,000 open circuits"),
    theirs: 10,
    atMost: 1
  },
  {
    what: "growth from window 10 to 100,000",
    baseline: "window 10",
    ours: added("growth/window of calls", "100000"),
    theirs: added("growth/window of calls", "10"),
    atMost: FLAT
  },
  {
    what: "growth from 1 to 1,000,000 circuits, lookup",
    baseline: "Map.get among as many",
    ours: total("growth/circuits in a registry, looked up by name", "1000000"),
    theirs: total("growth/circuits in a registry, looked up by name", "1000000, Map.get"),
    atMost: FLAT
  },
  {
    what: "a call among 10,000 concurrent fibers, in bare calls",
    baseline: "the same with 1 fiber",
    ours: times("growth/concurrent fibers", "10000"),
    theirs: times("growth/concurrent fibers", "1"),
    atMost: FLAT
  }
]
