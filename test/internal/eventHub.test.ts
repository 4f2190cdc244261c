import { assert, describe, it } from "@effect/vitest"
import { History } from "../../src/internal/eventHub.ts"

describe("History", () => {
  it("keeps the latest, the oldest first", () => {
    const history = new History<number>(3)
    assert.deepStrictEqual(history.all, [])
    for (const event of [1, 2, 3]) history.add(event)
    assert.deepStrictEqual(history.all, [1, 2, 3])
    for (const event of [4, 5]) history.add(event)
    assert.deepStrictEqual(history.all, [3, 4, 5])
  })

  it("does not change what it has given", () => {
    const history = new History<number>(2)
    history.add(1)
    const { all } = history
    for (const event of [2, 3]) history.add(event)
    assert.deepStrictEqual(all, [1])
  })
})
