/** The durations of the latest calls of a circuit, in memory that does not grow with them. */
import * as Arr from "effect/Array"
import * as Order from "effect/Order"

/** Quantiles in milliseconds. */
export interface Quantiles {
  readonly p50: number
  readonly p95: number
  readonly p99: number
}

/** Exact up to here: of a million circuits most see few calls, and each has an object like this. */
const FEW = 16
/** How many calls a generation has. */
const GENERATION = 1024

const UNITS_PER_MILLI = 16
/** Of a range between two powers of two. */
const SUB_BUCKETS = 8
const SUB_BITS = 3
/** 17 minutes. What takes longer counts as this long. */
const MOST_BITS = 24
const LONGEST = 2 ** MOST_BITS / UNITS_PER_MILLI
const BUCKETS = (MOST_BITS - SUB_BITS + 1) * SUB_BUCKETS

/**
 * A histogram of the calls of the present and the previous generation: the
 * latest 1,024 to 2,047. Buckets grow with the duration, so that a quantile is
 * off by a sixteenth at most.
 */
export class Latencies {
  private few: Array<number> = []
  /** Both generations. Absent while there are few calls. */
  private counts: Uint16Array | undefined = undefined
  /** Where the present generation begins. */
  private present = 0
  private inPresent = 0
  private inPrevious = 0

  /** Adds the duration of a call, in milliseconds. */
  add(duration: number): void {
    if (this.counts !== undefined) return this.count(this.counts, duration)
    this.few.push(duration)
    if (this.few.length < FEW) return
    const counts = this.counts = new Uint16Array(2 * BUCKETS)
    for (const duration of this.few) this.count(counts, duration)
    this.few = []
  }

  get quantiles(): Quantiles | undefined {
    const find = this.counts === undefined ? exact(this.few) : this.approximate(this.counts)
    return find === undefined ? undefined : { p50: find(0.5), p95: find(0.95), p99: find(0.99) }
  }

  private count(counts: Uint16Array, duration: number): void {
    counts[this.present + bucketOf(duration)]!++
    if (++this.inPresent < GENERATION) return
    this.inPrevious = this.inPresent
    this.inPresent = 0
    this.present = BUCKETS - this.present
    counts.fill(0, this.present, this.present + BUCKETS)
  }

  private approximate(counts: Uint16Array): (share: number) => number {
    const calls = this.inPresent + this.inPrevious
    return (share) => {
      const rank = rankOf(share, calls)
      let passed = 0
      for (let bucket = 0; bucket < BUCKETS; bucket++) {
        passed += counts[bucket]! + counts[BUCKETS + bucket]!
        if (passed >= rank) return middleOf(bucket)
      }
      return middleOf(BUCKETS - 1)
    }
  }
}

/** The place of a quantile among so many values, from 1. */
const rankOf = (share: number, values: number): number => Math.max(1, Math.ceil(share * values))

const exact = (durations: ReadonlyArray<number>): ((share: number) => number) | undefined => {
  if (durations.length === 0) return undefined
  const sorted = Arr.sort(durations, Order.Number)
  return (share) => sorted[rankOf(share, sorted.length) - 1]!
}

const bucketOf = (duration: number): number => {
  if (duration >= LONGEST) return BUCKETS - 1
  const units = (duration * UNITS_PER_MILLI) | 0
  if (units < SUB_BUCKETS) return Math.max(0, units)
  const shift = 31 - Math.clz32(units) - SUB_BITS
  return (shift + 1) * SUB_BUCKETS + ((units >> shift) & (SUB_BUCKETS - 1))
}

const middleOf = (bucket: number): number => {
  if (bucket < SUB_BUCKETS) return (bucket + 0.5) / UNITS_PER_MILLI
  const shift = Math.floor(bucket / SUB_BUCKETS) - 1
  return (SUB_BUCKETS + (bucket % SUB_BUCKETS) + 0.5) * 2 ** shift / UNITS_PER_MILLI
}
