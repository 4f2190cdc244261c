import { assert, describe, it } from "@effect/vitest"
import { closest, distance, TYPO } from "../../src/internal/spelling.ts"

describe("the distance of two words", () => {
  it("counts insertions, deletions, replacements and swaps of neighbours", () => {
    for (
      const [self, that, expected] of [
        ["", "", 0],
        ["", "abc", 3],
        ["payment", "payment", 0],
        ["paymnt", "payment", 1],
        ["payments", "payment", 1],
        ["paymant", "payment", 1],
        ["paymnet", "payment", 1],
        ["pyamnet", "payment", 2],
        ["kitten", "sitting", 3]
      ] as const
    ) {
      assert.strictEqual(distance(self, that), expected, `${self} ${that}`)
      assert.strictEqual(distance(that, self), expected, `${that} ${self}`)
    }
  })

  it("is infinite for words that are too long to compare, unless they are the same", () => {
    assert.strictEqual(distance("x".repeat(100), `${"x".repeat(99)}y`), 1)
    assert.strictEqual(distance("x".repeat(101), `${"x".repeat(100)}y`), Infinity)
    assert.strictEqual(distance("x".repeat(101), "x".repeat(101)), 0)
  })
})

describe("the closest word", () => {
  it("is the first of those that are equally close, and none that is too far away", () => {
    assert.strictEqual(closest("abd", ["abcde", "abx", "abc"], TYPO), "abx")
    assert.isUndefined(closest("kafka", ["payment-api", "karma!?"], TYPO))
    assert.isUndefined(closest("x".repeat(101), [`${"x".repeat(100)}y`], TYPO))
  })
})
