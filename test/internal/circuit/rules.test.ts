import { assert, describe, it } from "@effect/vitest"
import { CircuitPolicy } from "effect-resilience"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import { adapted, settingsOf } from "../../../src/internal/circuit/rules.ts"

const context = Context.empty()
const idle = { use: false, durations: false }

const settings = (policy: CircuitPolicy.CircuitPolicy, needs = idle) => settingsOf(policy, needs, context)

describe("the rules of a policy", () => {
  it("are off where the policy has none", () => {
    const { rules, slowCallTime } = settings(CircuitPolicy.make({ consecutiveFailures: 3 }))
    assert.deepStrictEqual([rules.consecutiveFailures, rules.failureRate, rules.slowCallRate], [3, Infinity, Infinity])
    assert.isUndefined(rules.recovery)
    assert.strictEqual(slowCallTime, Infinity)
  })

  it("have times in milliseconds", () => {
    const { rules, slowCallTime } = settings(CircuitPolicy.make({
      consecutiveFailures: 3,
      slowCallDuration: "2 seconds",
      slowCallRate: 0.5,
      window: { duration: "1 minute", buckets: 6 },
      openDuration: "5 seconds",
      halfOpenTimeout: "2 minutes",
      recovery: { duration: "30 seconds", initial: 0.25 }
    }))
    assert.deepStrictEqual(rules.window, { millis: 60_000, buckets: 6 })
    assert.strictEqual(slowCallTime, 2_000)
    assert.strictEqual(rules.openTime(1, 0), 5_000)
    assert.strictEqual(rules.halfOpenTimeout, 120_000)
    assert.deepStrictEqual(rules.recovery, { duration: 30_000, initial: 0.25 })
  })

  it("ask for no more calls than a window of calls holds, in a policy that was spread into another too", () => {
    const minimum = (window: CircuitPolicy.CircuitPolicy["window"]) =>
      settings({ ...CircuitPolicy.make({ failureRate: 0.5 }), minimumCalls: 5, window }).rules.minimumCalls
    assert.strictEqual(minimum({ calls: 2 }), 2)
    assert.strictEqual(minimum({ calls: 20 }), 5)
    assert.strictEqual(minimum({ duration: Duration.seconds(1), buckets: 2 }), 5)
  })
})

describe("what is timed", () => {
  const calls = { consecutiveFailures: 3, window: { calls: 10 } } as const

  const timed = (options: CircuitPolicy.Options, needs = idle) => {
    const { clocked, measured, startClocked } = settings(CircuitPolicy.make({ ...calls, ...options }), needs)
    return { clocked, measured, startClocked }
  }

  it("is nothing if neither the policy nor an observer asks for it", () => {
    assert.deepStrictEqual(timed({ measureDuration: false }), { clocked: false, measured: false, startClocked: false })
  })

  it("is the duration of calls for a slow-call rule, a policy that says so, or an observer", () => {
    const all = { clocked: true, measured: true, startClocked: true }
    assert.deepStrictEqual(timed({ measureDuration: true }), all)
    assert.deepStrictEqual(timed({ measureDuration: false, slowCallDuration: "1 second", slowCallRate: 0.5 }), all)
    assert.deepStrictEqual(timed({ measureDuration: false }, { use: false, durations: true }), all)
  })

  it("is the end of a call for a window of a duration and for who wants to know of use", () => {
    const end = { clocked: true, measured: false, startClocked: false }
    assert.deepStrictEqual(timed({ measureDuration: false, window: { duration: "1 minute" } }), end)
    assert.deepStrictEqual(timed({ measureDuration: false }, { use: true, durations: false }), end)
  })

  it("is the beginning of a call that may have to be told by how long it ran before it was interrupted", () => {
    assert.deepStrictEqual(timed({ measureDuration: false, interruptedAfter: "1 second" }), {
      clocked: false,
      measured: false,
      startClocked: true
    })
  })
})

describe("the settings of a policy", () => {
  it("are one for each kind of needs", () => {
    const policy = CircuitPolicy.make({ consecutiveFailures: 3, window: { calls: 10 }, measureDuration: false })
    const kinds = [false, true].flatMap((use) => [false, true].map((durations) => ({ use, durations })))
    for (const needs of [...kinds, ...kinds]) assert.deepStrictEqual(settings(policy, needs).needs, needs)
  })

  it("keep the delays of a schedule for other needs, and begin them again for another circuit", () => {
    const policy = CircuitPolicy.make({ consecutiveFailures: 3, openDuration: Schedule.exponential("1 second") })
    const own = settings(policy)
    assert.notStrictEqual(settings(policy).rules, own.rules)
    const more = adapted(own, { needs: { use: true, durations: true } }, context)
    assert.strictEqual(more.rules, own.rules)
    assert.deepStrictEqual(more.needs, { use: true, durations: true })
    assert.deepStrictEqual([more.rules.openTime(1, 0), more.rules.openTime(2, 0)], [1_000, 2_000])
  })
})
