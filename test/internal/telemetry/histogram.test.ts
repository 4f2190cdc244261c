import { assert, describe, it } from "@effect/vitest"
import { Histogram } from "../../../src/internal/telemetry/histogram.ts"

describe("Histogram", () => {
  it("counts a value with every boundary that it does not exceed", () => {
    const histogram = new Histogram([1, 2, 5])
    for (const value of [0.5, 1, 1.5, 5, 6]) histogram.add(value)

    assert.deepStrictEqual(histogram.state, {
      buckets: [[1, 2], [2, 3], [5, 4]],
      count: 5,
      sum: 14,
      min: 0.5,
      max: 6
    })
  })

  it("keeps the least and the greatest, whichever came first", () => {
    const rising = new Histogram([10])
    const falling = new Histogram([10])
    for (const value of [1, 2, 3]) rising.add(value)
    for (const value of [3, 2, 1]) falling.add(value)

    for (const { state } of [rising, falling]) assert.deepStrictEqual([state.min, state.max], [1, 3])
  })

  it("has a state for no values at all, as Effect's own histogram has", () => {
    assert.deepStrictEqual(new Histogram([1]).state, {
      buckets: [[1, 0]],
      count: 0,
      sum: 0,
      min: Number.MAX_VALUE,
      max: -Number.MAX_VALUE
    })
  })

  it("gives the same state however often it is read", () => {
    const histogram = new Histogram([1, 2])
    histogram.add(1)

    assert.deepStrictEqual(histogram.state, histogram.state)
  })
})
