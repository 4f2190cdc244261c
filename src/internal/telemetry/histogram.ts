import type * as Metric from "effect/Metric"

/** Counts values by the first boundary, in ascending order, that they do not exceed. */
export class Histogram {
  private readonly boundaries: ReadonlyArray<number>
  private readonly counts: Array<number>
  private count = 0
  private sum = 0
  private min = Number.MAX_VALUE
  private max = -Number.MAX_VALUE

  constructor(boundaries: ReadonlyArray<number>) {
    this.boundaries = boundaries
    this.counts = boundaries.map(() => 0)
  }

  add(value: number): void {
    this.count++
    this.sum += value
    this.min = Math.min(this.min, value)
    this.max = Math.max(this.max, value)
    // Most calls are quick: a scan from the first boundary ends early.
    const { boundaries } = this
    for (let i = 0; i < boundaries.length; i++) {
      if (value <= boundaries[i]!) {
        this.counts[i]!++
        return
      }
    }
  }

  get state(): Metric.HistogramState {
    let cumulated = 0
    return {
      buckets: this.boundaries.map((boundary, i) => [boundary, cumulated += this.counts[i]!]),
      count: this.count,
      sum: this.sum,
      min: this.min,
      max: this.max
    }
  }
}
