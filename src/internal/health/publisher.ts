import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { StatusChanged } from "../../HealthMonitor.ts"
import type { Status } from "../../HealthReport.ts"
import { EventHub } from "../eventHub.ts"
import { PIECE } from "../pieces.ts"
import { nowMillis } from "../time/monotonic.ts"
import { allHealthy, changesSince, type Known } from "./changes.ts"
import { readNamed, type Sources } from "./read.ts"
import { worst } from "./report.ts"

/** Tells subscribers the changes of status. Looks at nothing while there are none. */
export class Publisher {
  private readonly hub = new EventHub<StatusChanged>()
  private readonly sources: Sources
  private readonly interval: number
  private readonly wake: () => void
  private listeners = 0
  /** What subscribers know; `undefined` while there are none. The first to come may come before the first look. */
  private known: Known | undefined = allHealthy
  /** The circuits that have changed their state since the last look. */
  private readonly changed = new Set<string>()
  /** When to look at all that may have changed, in monotonic milliseconds. */
  private dueAt = 0

  constructor(sources: Sources, interval: number, wake: () => void) {
    this.sources = sources
    this.interval = interval
    this.wake = wake
  }

  circuitChanged(circuit: string): void {
    if (this.listeners > 0) this.changed.add(circuit)
    this.wake()
  }

  checkRemoved(): void {
    this.dueAt = 0
    this.wake()
  }

  get changes(): Stream.Stream<StatusChanged> {
    return Stream.unwrap(Effect.gen({ self: this }, function*() {
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          this.listeners++
        }),
        () => Effect.sync(() => this.stopsListening())
      )
      if (this.known === undefined && !this.hub.hasEnded) {
        const now = yield* nowMillis
        const { known } = changesSince(allHealthy, yield* this.readSuspects(allHealthy))
        if (this.known === undefined) {
          this.known = known
          this.dueAt = now + this.interval
        }
      }
      return this.hub.streamAfter(() => {
        this.wake()
        return []
      })
    }))
  }

  private stopsListening(): void {
    this.listeners--
    if (this.listeners > 0) return
    this.known = undefined
    this.changed.clear()
  }

  get end(): Effect.Effect<void> {
    return this.hub.end
  }

  /** Publishes what has changed since the last look. Returns the milliseconds to the next one. */
  get look(): Effect.Effect<number> {
    return Effect.gen({ self: this }, function*() {
      const { known } = this
      if (known === undefined || !this.hub.hasSubscribers) {
        if (this.listeners === 0) this.known = undefined
        return Infinity
      }
      const now = yield* nowMillis
      // Among many that are not healthy, only those that have changed until an interval is over.
      if (known.checks.size > PIECE && now < this.dueAt) {
        return (yield* this.lookAtChanged(known)) ? this.dueAt - now : 0
      }
      this.dueAt = now + this.interval
      this.changed.clear()
      const since = changesSince(known, yield* this.readSuspects(known))
      this.tell(known, since)
      return this.interval
    })
  }

  /** All that can have changed: the checks, what was not healthy, and what is not. */
  private readSuspects(known: Known) {
    const { sources } = this
    return Effect.flatMap(sources.circuits.troubled, (troubled) => {
      const names = new Set(known.checks.keys())
      for (const { name } of troubled) names.add(name)
      return readNamed(sources, Array.from(names))
    })
  }

  /** Returns whether the whole is as it was; if not, all has to be looked at, to tell why. */
  private lookAtChanged(known: Known): Effect.Effect<boolean> {
    const names = [...this.sources.entries.keys(), ...this.changed]
    this.changed.clear()
    return Effect.map(readNamed(this.sources, names), (report) => {
      const looked = new Map<string, Status>()
      for (const name of names) looked.set(name, known.checks.get(name) ?? "healthy")
      const { changes, known: found } = changesSince({ checks: looked, system: known.system }, report)
      const checks = known.checks as Map<string, Status>
      for (const name of looked.keys()) checks.delete(name)
      const system = worst([found.system, worst(checks.values())])
      for (const [name, status] of found.checks) checks.set(name, status)
      this.tell(known, { changes: changes.filter(({ subject }) => subject === "check"), known })
      if (system !== known.system) this.dueAt = 0
      return system === known.system
    })
  }

  private tell(before: Known, { changes, known }: ReturnType<typeof changesSince>): void {
    // Others listen by now, who know what was when they came.
    if (this.known !== before) return
    this.known = known
    for (const change of changes) this.hub.publish(change)
  }
}
