import { assert, describe, it } from "@effect/vitest"
import { Latencies } from "../../../src/internal/circuit/latencies.ts"
import { seeded } from "../../support/machine.ts"

const of = (durations: ReadonlyArray<number>) => {
  const latencies = new Latencies()
  for (const duration of durations) latencies.add(duration)
  return latencies.quantiles
}

const nearestRank = (durations: ReadonlyArray<number>, share: number) =>
  durations.toSorted((a, b) => a - b)[Math.ceil(share * durations.length) - 1]!

describe("the quantiles of durations", () => {
  it("are none without calls", () => {
    assert.isUndefined(of([]))
  })

  it("are exact while there are few calls", () => {
    assert.deepStrictEqual(of([7]), { p50: 7, p95: 7, p99: 7 })
    assert.deepStrictEqual(of([30, 10, 20, 40]), { p50: 20, p95: 40, p99: 40 })
    assert.deepStrictEqual(of(Array.from({ length: 15 }, (_, i) => i + 0.25)), { p50: 7.25, p95: 14.25, p99: 14.25 })
  })

  it("are within a sixteenth of the exact ones, from parts of a millisecond to minutes", () => {
    const random = seeded(3)
    for (const scale of [0.5, 3, 40, 900, 60_000, 150_000]) {
      const durations = Array.from({ length: 1_000 }, () => scale * (0.1 + random() + random() ** 8 * 5))
      const quantiles = of(durations)!
      for (const [share, found] of [[0.5, quantiles.p50], [0.95, quantiles.p95], [0.99, quantiles.p99]] as const) {
        const exact = nearestRank(durations, share)
        assert.isAtMost(Math.abs(found - exact), Math.max(exact / 16, 1 / 16), `${share} of ${scale}`)
      }
    }
  })

  it("are those of the latest calls, and keep at least 1,024 of them", () => {
    const slow = Array.from({ length: 5_000 }, () => 1_000)
    const fast = (length: number) => Array.from({ length }, () => 10)
    assert.isAbove(of([...slow, ...fast(400)])!.p50, 900)
    assert.isBelow(of([...slow, ...fast(2_047)])!.p99, 11)
    for (const calls of [1_023, 1_024, 1_025, 2_048]) assert.closeTo(of(fast(calls))!.p50, 10, 0.7)
  })

  it("bear any number", () => {
    const strange = [0, -5, 1e12, Number.MAX_VALUE, 0.001, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    const { p50, p99 } = of(strange)!
    assert.closeTo(p50, 1, 0.1)
    assert.isAtLeast(p99, 16 * 60_000)
  })
})
