import { assert, describe, it } from "@effect/vitest"
import { TierFlows } from "../../../src/internal/tiers/flow.ts"

const tier = (name: string) => ({ name, circuit: name })

describe("the counts of tiers", () => {
  it("are kept by name for the hundred operations that were used last, and for the others together", () => {
    const flows = new TierFlows()
    for (let i = 0; i < 150; i++) flows.add(`get_${i}`, [tier("mcp"), tier("rest")], [], "mcp")
    flows.add("get_60", [tier("mcp"), tier("rest")], [], undefined)
    assert.strictEqual(flows.all.length, 101)
    const others = flows.all.at(-1)!
    assert.deepStrictEqual([others.operation, others.calls, others.failed], ["(others)", 50, 0])
    assert.deepStrictEqual(others.tiers.map(({ served }) => served), [50, 0])
    assert.deepStrictEqual(flows.all.map(({ calls }) => calls).reduce((a, b) => a + b), 151)
    assert.strictEqual(flows.all.at(-2)!.operation, "get_60")
  })

  it("do not add up for ever where the tiers have new names each time, either", () => {
    const flows = new TierFlows()
    for (let i = 0; i < 1000; i++) flows.add("get", [tier(`mcp-${i}`)], [], `mcp-${i}`)
    assert.strictEqual(flows.all.length, 200)
  })
})
