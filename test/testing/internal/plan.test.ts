import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import { Chaos } from "effect-resilience/testing"
import { keyOf } from "../../../src/testing/internal/draw.ts"
import {
  applies,
  type Calls,
  checkCalls,
  describe as describePolicy,
  plan
} from "../../../src/testing/internal/plan.ts"

const call = (number = 1, seconds = 0): Chaos.Call => ({
  point: "payment-api",
  number,
  elapsed: Duration.seconds(seconds)
})

const calls = (options: Chaos.PolicyOptions): Calls => checkCalls("fault", options, ["rate", "from", "for", "when"])

describe("a policy applies to a call", () => {
  it("by its rate", () => {
    assert.isTrue(applies(calls({}), call(), 0.999))
    assert.isTrue(applies(calls({ rate: 0.1 }), call(), 0.0999))
    assert.isFalse(applies(calls({ rate: 0.1 }), call(), 0.1))
    assert.isFalse(applies(calls({ rate: 0 }), call(), 0))
  })

  it("from a time on, for as long as is said", () => {
    const period = calls({ from: "10 seconds", for: "5 seconds" })
    const at = [9, 10, 14, 15].map((seconds) => applies(period, call(1, seconds), 0))
    assert.deepStrictEqual(at, [false, true, true, false])
  })

  it("if its predicate says so, which is asked last", () => {
    const asked: Array<number> = []
    const odd = calls({
      from: "1 second",
      when: ({ number }) => {
        asked.push(number)
        return number % 2 === 1
      }
    })
    assert.isFalse(applies(odd, call(1), 0))
    assert.isTrue(applies(odd, call(1, 1), 0))
    assert.isFalse(applies(odd, call(2, 1), 0))
    assert.deepStrictEqual(asked, [1, 2])
  })
})

describe("the plan of a call", () => {
  const key = keyOf("1/payment-api")
  const kinds = (policies: ReadonlyArray<Chaos.Policy<unknown, unknown, unknown>>, planned = call()) =>
    plan(policies, key, planned).map(({ kind }) => kind)

  it("adds up what comes before the call, and ends with what replaces it", () => {
    const latency = Chaos.latency({ delay: "1 second" })
    assert.deepStrictEqual(kinds([]), [])
    assert.deepStrictEqual(kinds([latency, latency, Chaos.fault(), Chaos.hang()]), ["latency", "latency", "fault"])
    assert.deepStrictEqual(kinds([Chaos.hang(), latency]), ["hang"])
    assert.deepStrictEqual(kinds([Chaos.fault({ when: () => false }), latency]), ["latency"])
  })

  it("depends on the key, the number of the call and the place of the policy alone", () => {
    const rare = Chaos.fault({ rate: 0.2 })
    const hit = (policies: ReadonlyArray<Chaos.Policy>, of = key) =>
      Array.from({ length: 200 }, (_, i) => i + 1).filter((number) => plan(policies, of, call(number)).length > 0)
    const first = hit([rare])
    assert.deepStrictEqual(hit([rare]), first)
    assert.notDeepEqual(hit([rare], keyOf("2/payment-api")), first)
    assert.notDeepEqual(hit([Chaos.fault({ rate: 0 }), rare]), first)
    assert.isTrue(first.length > 20 && first.length < 60, `${first.length} of 200`)
  })
})

describe("a policy in words", () => {
  it("has its kind, its own options and the calls it is for", () => {
    const cases: ReadonlyArray<readonly [Chaos.Policy<unknown, unknown, unknown>, string]> = [
      [Chaos.fault(), "fault"],
      [Chaos.fault({ at: "response", rate: 0.125 }), "fault after the response, 12.5% of calls"],
      [Chaos.outage({ from: "10 seconds", for: "30 seconds" }), "outage, from 10s, for 30s"],
      [Chaos.flapping({ up: "20 seconds", down: "5 seconds" }), "flapping 20s up and 5s down"],
      [Chaos.defect({ when: () => true }), "defect, calls chosen by a predicate"],
      [Chaos.interruption({ rate: 0 }), "interruption, 0% of calls"],
      [Chaos.hang({ for: "1 minute" }), "hang, for 1m"],
      [Chaos.block({ duration: "300 millis" }), "block for 300ms"],
      [Chaos.latency({ delay: "100 millis" }), "latency of 100ms"],
      [Chaos.latency({ delay: 0, maxDelay: "2 seconds", rate: 0.5 }), "latency of 0 to 2s, 50% of calls"],
      [Chaos.degradation({ over: "5 minutes", to: "3 seconds" }), "degradation to 3s over 5m"],
      [Chaos.outcome({ run: () => "" as never }), "outcome"],
      [Chaos.behaviour({ run: () => "" as never }), "behaviour"]
    ]
    for (const [{ description }, expected] of cases) assert.strictEqual(description, expected)
    assert.strictEqual(describePolicy("fault", calls({})), "fault")
  })
})
