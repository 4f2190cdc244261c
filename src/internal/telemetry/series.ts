/** Series that are counted under a name that only calls bring along: how many there may be, and how they end. */
import type * as Metric from "effect/Metric"

/** A metric, and the value of its own attribute if it has one. */
export interface Counted {
  readonly id: string
  readonly description: string
  readonly attributes?: Readonly<Record<string, string>>
}

interface Counter {
  count: number
  readonly registration: Metric.Registration
}

/** What is counted under one name. */
interface Entry {
  readonly counters: Map<Counted, Counter>
  used: boolean
}

/** Registers a counter that is read when it is exported. */
export type Register = (
  counted: Counted,
  attributes: Readonly<Record<string, string>>,
  read: () => number
) => Metric.Registration

/** The name of all that came when there was no room. */
export const OTHER = "other"

/**
 * Counters by name. A name ends after nothing was counted under it for as long
 * as `idleTime`, at most twice that, and beyond the limit all share the name
 * `other`: a program may put what a caller sent into a name.
 *
 * It is looked at when a new name comes and when series are read, so there is no
 * timer that keeps a program from ending.
 */
export class SeriesTable {
  private readonly entries = new Map<string, Entry>()
  private readonly limit: number
  private readonly register: Register
  private readonly onFull: () => void
  private readonly names: ReadonlyArray<string>
  private other: Entry | undefined = undefined
  private wasFull = false
  private readonly idleTime: number
  private readonly now: () => number
  private lookedAt: number

  constructor(options: {
    /** Of the attributes that make up a name. */
    readonly names: ReadonlyArray<string>
    readonly limit: number
    /** In milliseconds. */
    readonly idleTime: number
    readonly now: () => number
    readonly register: Register
    /** Called the first time that a name has no room. */
    readonly onFull: () => void
  }) {
    this.names = options.names
    this.limit = options.limit
    this.idleTime = options.idleTime
    this.now = options.now
    this.lookedAt = options.now()
    this.register = options.register
    this.onFull = options.onFull
  }

  /** Counts one. `key` is unique to these values of the attributes. */
  count(counted: Counted, key: string, ...values: ReadonlyArray<string>): void {
    const entry = this.entries.get(key) ?? this.enter(key)
    entry.used = true
    let counter = entry.counters.get(counted)
    if (counter === undefined) {
      counter = this.makeCounter(counted, entry === this.other ? this.names.map(() => OTHER) : values)
      entry.counters.set(counted, counter)
    }
    counter.count++
  }

  /** Ends the names under which nothing was counted since they were last looked at. */
  private forgetIdle(): void {
    if (this.now() - this.lookedAt < this.idleTime) return
    this.lookedAt = this.now()
    for (const [key, entry] of this.entries) {
      if (!entry.used) {
        this.entries.delete(key)
        end(entry)
      }
      entry.used = false
    }
  }

  end(): void {
    for (const entry of this.entries.values()) end(entry)
    if (this.other !== undefined) end(this.other)
    this.entries.clear()
    this.other = undefined
  }

  private enter(key: string): Entry {
    this.forgetIdle()
    if (this.entries.size < this.limit) {
      const entry = { counters: new Map(), used: true }
      this.entries.set(key, entry)
      return entry
    }
    if (!this.wasFull) {
      this.wasFull = true
      this.onFull()
    }
    return this.other ??= { counters: new Map(), used: true }
  }

  private makeCounter(counted: Counted, values: ReadonlyArray<string>): Counter {
    const named = Object.fromEntries(this.names.map((name, i) => [name, values[i]!]))
    const counter: Counter = {
      count: 0,
      registration: this.register(counted, { ...named, ...counted.attributes }, () => {
        this.forgetIdle()
        return counter.count
      })
    }
    return counter
  }
}

const end = (entry: Entry): void => {
  for (const { registration } of entry.counters.values()) registration.remove()
}
