import type { Call, Counts, Injection, Kind } from "../Chaos.ts"
import { KINDS, type Planned } from "./plan.ts"

const HISTORY = 1000

/** What has happened to the calls of a point. */
export class Journal {
  calls = 0
  private untouched = 0
  private readonly injected = emptyCounts()
  private readonly history: Array<Injection> = []

  add(call: Call, steps: ReadonlyArray<Planned<unknown, unknown, unknown>>): void {
    if (steps.length === 0) this.untouched++
    for (const { kind, step } of steps) {
      this.injected[kind]++
      if (this.history.length === HISTORY) this.history.shift()
      this.history.push({ ...call, kind, delay: step._tag === "Before" ? step.delay : undefined })
    }
  }

  get counts(): Counts {
    return { calls: this.calls, untouched: this.untouched, injected: { ...this.injected } }
  }

  get injections(): ReadonlyArray<Injection> {
    return this.history.slice()
  }
}

export const sum = (all: Iterable<Counts>): Counts => {
  const injected = emptyCounts()
  let calls = 0
  let untouched = 0
  for (const counts of all) {
    calls += counts.calls
    untouched += counts.untouched
    for (const kind of KINDS) injected[kind] += counts.injected[kind]
  }
  return { calls, untouched, injected }
}

const emptyCounts = (): Record<Kind, number> =>
  Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<Kind, number>
