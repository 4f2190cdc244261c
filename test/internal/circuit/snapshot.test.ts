import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Circuit from "../../../src/internal/circuit/machine.ts"
import { emptyTally, rate, snapshot, tallySince } from "../../../src/internal/circuit/snapshot.ts"

const rules: Circuit.Rules = {
  consecutiveFailures: 1,
  failureRate: Infinity,
  slowCallRate: Infinity,
  minimumCalls: 1,
  window: { calls: 4 },
  halfOpenMaxCalls: 1,
  successThreshold: 2,
  halfOpenSample: undefined,
  halfOpenTimeout: 60_000,
  recovery: undefined,
  openTime: () => 1_000,
  maxOpenTime: 60_000
}

const facts = { name: "a", inFlight: 0, failed: undefined, timestamp: 5_000 }
const random = () => 0

const opened = Circuit.record(
  Circuit.make(rules, 0),
  rules,
  { verdict: "Failure", slow: false, retryAfter: 0, now: 10 },
  random
)

describe("snapshot", () => {
  it("of a circuit that has done nothing is empty", () => {
    assert.deepStrictEqual(snapshot(Circuit.make(rules, 0), emptyTally(), rules, 0, facts), {
      name: "a",
      state: "Closed",
      isAvailable: true,
      totalCalls: 0,
      successfulCalls: 0,
      failedCalls: 0,
      ignoredCalls: 0,
      lateCalls: 0,
      rejectedCalls: 0,
      callsInFlight: 0,
      consecutiveFailures: 0,
      callsInWindow: 0,
      failureRate: 0,
      successRate: 1,
      slowCallRate: 0,
      averageResponseTime: undefined,
      latency: undefined,
      lastFailureTime: undefined,
      lastFailure: undefined,
      timeUntilRetry: undefined,
      currentBackoff: undefined,
      consecutiveOpenings: 0,
      stateChanges: 0,
      probesInFlight: 0,
      probeSuccesses: 0,
      probeIdleTime: undefined
    })
  })

  it("sums the calls up, those in flight included, and averages those that were timed", () => {
    const tally = {
      success: 1,
      failure: 2,
      ignored: 3,
      rejected: 4,
      late: 5,
      timed: 4,
      totalDuration: 10,
      stateChanges: 6
    }
    const metrics = snapshot(Circuit.make(rules, 0), tally, rules, 0, { ...facts, inFlight: 7 })
    assert.strictEqual(metrics.totalCalls, 22)
    assert.strictEqual(metrics.callsInFlight, 7)
    assert.strictEqual(metrics.stateChanges, 6)
    assert.deepStrictEqual(metrics.averageResponseTime, Duration.millis(2.5))
  })

  it("says when a circuit that is open lets a call through, and since when the last failure is past", () => {
    const what = { error: "Error", message: "down" }
    const metrics = snapshot(opened, emptyTally(), rules, 210, { ...facts, failed: { at: 10, what } })
    assert.strictEqual(metrics.state, "Open")
    assert.isFalse(metrics.isAvailable)
    assert.deepStrictEqual(metrics.timeUntilRetry, Duration.millis(800))
    assert.deepStrictEqual(metrics.currentBackoff, Duration.millis(1_000))
    assert.strictEqual(metrics.consecutiveOpenings, 1)
    assert.strictEqual(metrics.failureRate, 1)
    assert.strictEqual(metrics.successRate, 0)
    assert.deepStrictEqual(metrics.lastFailureTime, DateTime.makeUnsafe(4_800))
    assert.deepStrictEqual(metrics.lastFailure, what)
  })

  it("counts the probes of a circuit that is half-open", () => {
    const halfOpen = Circuit.settle(opened, rules, 1_010)
    const probing = Circuit.admit(halfOpen, rules, 1_010, random)!
    const one = Circuit.record(probing, rules, { verdict: "Success", slow: false, retryAfter: 0, now: 1_020 }, random)
    const metrics = snapshot(Circuit.admit(one, rules, 1_030, random)!, emptyTally(), rules, 1_030, facts)
    assert.strictEqual(metrics.state, "HalfOpen")
    assert.isFalse(metrics.isAvailable)
    assert.strictEqual(metrics.probesInFlight, 1)
    assert.strictEqual(metrics.probeSuccesses, 1)
    assert.isUndefined(metrics.timeUntilRetry)
  })
})

describe("tallySince", () => {
  const tally = {
    success: 8,
    failure: 7,
    ignored: 6,
    rejected: 5,
    late: 4,
    timed: 3,
    totalDuration: 2,
    stateChanges: 1
  }

  it("without a reset is the tally", () => {
    assert.strictEqual(tallySince(tally, undefined), tally)
  })

  it("is what came after the reset", () => {
    assert.deepStrictEqual(tallySince(tally, tally), emptyTally())
    assert.deepStrictEqual(tallySince(tally, emptyTally()), tally)
  })
})

describe("rate", () => {
  it("of nothing is zero", () => {
    assert.strictEqual(rate(0, 0), 0)
    assert.strictEqual(rate(1, 4), 0.25)
  })
})
