import { assert, describe, it } from "@effect/vitest"
import { CircuitPolicy, Outcome } from "effect-resilience"
import { check, type Filled, make, namedFields, presetOf } from "../../../src/internal/circuit/policy.ts"
import { presets } from "../../../src/internal/circuit/presets.ts"

const owner = { name: "X", field: (name: string) => `X: ${name}` }

const filled = (policy: CircuitPolicy.CircuitPolicy): Filled => {
  const { [CircuitPolicy.TypeId]: _, ...fields } = policy
  return fields
}

describe("check", () => {
  it("makes the policy of values for all fields, and fills in nothing", () => {
    const policy = CircuitPolicy.make({ slowCallRate: 0.5, slowCallDuration: "1 second", window: { calls: 20 } })
    assert.deepStrictEqual(CircuitPolicy.difference(check(owner, filled(policy)), policy), [])
    const none = check(owner, { ...filled(policy), slowCallRate: undefined, slowCallDuration: undefined })
    assert.isUndefined(none.consecutiveFailures)
    assert.isUndefined(none.failureRate)
  })

  it("refuses each field in the words of its owner", () => {
    const all = filled(CircuitPolicy.make({ slowCallRate: 0.5, slowCallDuration: "1 second", window: { calls: 20 } }))
    for (const field of Object.keys(all)) {
      assert.throws(
        () => check(owner, { ...all, [field]: field === "classify" || field === "describeFailure" ? 7 : Symbol() }),
        RangeError,
        new RegExp(`^X: ${field} must be`)
      )
    }
    assert.throws(() => check(owner, { ...all, minimumCalls: 21 }), "X: minimumCalls must be an integer from 1 to 20")
    assert.throws(() => check(owner, { ...all, slowCallRate: undefined }), "X: slowCallDuration needs slowCallRate")
  })

  it("makes a policy of which nothing is known to be named, as another copy of the package would", () => {
    const policy = check(owner, filled(CircuitPolicy.kafka))
    assert.isUndefined(presetOf(policy))
    assert.notInclude(Array.from(namedFields(policy)), "halfOpenTimeout")
    assert.include(Array.from(namedFields(policy)), "successThreshold")
  })
})

describe("presets", () => {
  it("know their names, and are those of CircuitPolicy", () => {
    for (const [name, preset] of Object.entries(presets)) {
      assert.strictEqual(presetOf(preset), name)
      assert.strictEqual(CircuitPolicy.presets[name as keyof typeof presets], preset)
      assert.strictEqual(Reflect.get(CircuitPolicy, name), preset)
    }
  })

  it("are followed by what they are spread into, with other code and nothing else", () => {
    const { kafka } = CircuitPolicy
    const classify = () => Outcome.ignored
    const spread = CircuitPolicy.make({ ...kafka, classify })
    assert.strictEqual(presetOf(spread), "kafka")
    assert.strictEqual(presetOf(CircuitPolicy.make({ ...spread, describeFailure: false })), "kafka")
    assert.strictEqual(presetOf({ ...kafka, classify }), "kafka")
    const changes: ReadonlyArray<CircuitPolicy.Options> = [
      { consecutiveFailures: 4 },
      { consecutiveFailures: undefined },
      { maxOpenDuration: "2 hours" },
      { window: { calls: 5 } }
    ]
    for (const change of changes) {
      assert.isUndefined(presetOf(CircuitPolicy.make({ ...kafka, ...change })))
      assert.isUndefined(presetOf({ ...kafka, ...change } as CircuitPolicy.CircuitPolicy))
    }
    // The same values are no preset.
    assert.isUndefined(presetOf(make({ consecutiveFailures: 3, openDuration: "30 seconds" })))
  })
})
