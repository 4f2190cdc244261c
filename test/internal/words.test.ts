import { assert, describe, it } from "@effect/vitest"
import { CircuitEvent } from "effect-resilience"
import * as fs from "node:fs"
import {
  ALARMING_FAILURE_RATE,
  count,
  failureText,
  healthReasons,
  percent,
  reasonText,
  STATE_LABELS,
  STATE_NAMES,
  STATES_BY_URGENCY,
  type Transition,
  urgency,
  VERSION
} from "../../src/internal/words.ts"

const transition = (fields: Partial<Transition>): Transition => ({
  reason: "Manual",
  consecutiveFailures: 3,
  failureRate: 0.25,
  slowCallRate: 0.5,
  calls: 12,
  ...fields
})

describe("the version", () => {
  it("is that of the package", () => {
    const manifest = JSON.parse(fs.readFileSync(new URL("../../package.json", import.meta.url), "utf8"))
    assert.strictEqual(VERSION, manifest.version)
  })
})

describe("the module", () => {
  it("imports only types, so that the page can include it", () => {
    const source = fs.readFileSync(new URL("../../src/internal/words.ts", import.meta.url), "utf8")
    for (const line of source.split("\n").filter((line) => /\bfrom "/.test(line))) assert.match(line, /^import type /)
  })
})

describe("states", () => {
  const names = Object.values(STATE_NAMES)

  it("have a name and a label each, and an order", () => {
    assert.deepStrictEqual(Object.keys(STATE_NAMES).toSorted(), CircuitEvent.CircuitState.literals.toSorted())
    assert.deepStrictEqual(Object.keys(STATE_LABELS).toSorted(), names.toSorted())
    assert.deepStrictEqual(STATES_BY_URGENCY.toSorted(), names.toSorted())
    assert.deepStrictEqual(STATES_BY_URGENCY.map((name) => STATE_LABELS[name]), [
      "open",
      "forced open",
      "half-open",
      "metrics only",
      "disabled",
      "closed"
    ])
  })

  it("are urgent by themselves, and by a failure rate where calls are let through", () => {
    const circuits = [
      { state: "closed", error_rate: ALARMING_FAILURE_RATE },
      { state: "disabled", error_rate: 1 },
      { state: "metrics_only", error_rate: 0 },
      { state: "metrics_only", error_rate: 0.5 },
      { state: "half_open", error_rate: 1 },
      { state: "forced_open", error_rate: 0 },
      { state: "closed", error_rate: 0.11 },
      { state: "open", error_rate: 0 }
    ] as const

    const sorted = circuits.toSorted((a, b) => urgency(a) - urgency(b))

    assert.deepStrictEqual(sorted.map(({ error_rate, state }) => `${state} ${error_rate}`), [
      "open 0",
      "forced_open 0",
      "half_open 1",
      "metrics_only 0.5",
      "closed 0.11",
      "metrics_only 0",
      "disabled 1",
      "closed 0.1"
    ])
  })
})

describe("the reason of a transition", () => {
  for (
    const [reason, text] of [
      ["ConsecutiveFailures", "3 failures in a row"],
      ["FailureRate", "25% of 12 calls failed"],
      ["SlowCallRate", "50% of 12 calls were slow"],
      ["ProbeFailed", "a probe failed"],
      ["ProbesSucceeded", "the probes succeeded"],
      ["ProbeTimedOut", "the probes timed out"],
      ["OpenTimeEnded", "the open time ended"],
      ["Manual", "by hand"]
    ] as const
  ) {
    it(`${reason} is ${text}`, () => assert.strictEqual(reasonText(transition({ reason })), text))
  }

  it("counts one of a kind", () => {
    assert.strictEqual(
      reasonText(transition({ reason: "ConsecutiveFailures", consecutiveFailures: 1 })),
      "1 failure in a row"
    )
  })

  it("has the note of an operator", () => {
    assert.strictEqual(reasonText(transition({ note: "maintenance (by ada)" })), "by hand: maintenance (by ada)")
  })
})

describe("a failure", () => {
  it("says nothing twice", () => {
    assert.strictEqual(failureText({ error: "TypeError", message: "down" }), "TypeError: down")
    assert.strictEqual(failureText({ error: "TypeError", message: "" }), "TypeError")
    assert.strictEqual(failureText({ error: "TypeError", message: "TypeError" }), "TypeError")
    assert.strictEqual(failureText({ error: "string", message: "down" }), "down")
  })
})

describe("the reasons of a health report", () => {
  it("are its texts, and none if it has another form", () => {
    assert.deepStrictEqual(healthReasons({ reasons: ["a", 1, "b", null] }), ["a", "b"])
    for (const other of [null, undefined, "reasons", { reasons: "a" }, {}, []]) {
      assert.deepStrictEqual(healthReasons(other), [])
    }
  })
})

describe("figures", () => {
  it("in percent have at most one decimal, and are zero only if they are", () => {
    assert.deepStrictEqual(
      [0, 0.0001, 0.0004, 0.0006, 0.001, 0.005, 0.125, 1 / 3, 0.5, 1].map((rate) => percent(rate)),
      ["0%", "<0.1%", "<0.1%", "0.1%", "0.1%", "0.5%", "12.5%", "33.3%", "50%", "100%"]
    )
  })

  it("in percent have as many decimals as are asked for", () => {
    assert.strictEqual(percent(1 / 3, 2), "33.33%")
    assert.strictEqual(percent(0.5, 2), "50%")
    assert.strictEqual(percent(0.00001, 2), "<0.01%")
    assert.strictEqual(percent(0.004, 0), "<1%")
  })

  it("of things have their noun", () => {
    assert.deepStrictEqual([0, 1, 2].map((number) => count(number, "call")), ["0 calls", "1 call", "2 calls"])
  })
})
