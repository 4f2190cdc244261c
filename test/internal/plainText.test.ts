import { assert, describe, it } from "@effect/vitest"
import { escapeJson, escapeUnsafe, isOneLine } from "../../src/internal/plainText.ts"

/** The first and the last of each range, and what is beside them. */
const CONTROLS = ["\u0000", "\u001f", "\u007f", "\u009f", "\u2028", "\u2029"]
const DIRECTIONS = ["\u061c", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069"]
const HALVES = ["\ud800", "\udbff", "\udc00", "\udfff"]
const PLAIN = [" ", "~", "\u00a0", "\u200d", "\u2010", "\u2027", "\u202f", "\u2065", "\u206a", "支", "é", "👩‍👩‍👧"]

describe("one line", () => {
  it("has no control character and no line break", () => {
    for (const char of CONTROLS) assert.isFalse(isOneLine(`a${char}b`), JSON.stringify(char))
    for (const char of [...PLAIN, ...DIRECTIONS]) assert.isTrue(isOneLine(`a${char}b`), JSON.stringify(char))
  })

  it("has more than spaces", () => {
    assert.isFalse(isOneLine(""))
    assert.isFalse(isOneLine(" \u00a0"))
    assert.isTrue(isOneLine(" a "))
  })
})

describe("unsafe characters", () => {
  const code = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`

  it("are escaped, each of them, and no others", () => {
    for (const char of [...CONTROLS, ...DIRECTIONS, ...HALVES]) {
      assert.strictEqual(escapeUnsafe(`a${char}b${char}`), `a${code(char)}b${code(char)}`)
    }
    assert.strictEqual(escapeUnsafe("a\nb\rc\td"), "a\\nb\\rc\\td")
    assert.strictEqual(escapeUnsafe(PLAIN.join("")), PLAIN.join(""))
  })

  it("are escaped in JSON, which stays that of the same value in the same lines", () => {
    const value = { name: [...CONTROLS, ...DIRECTIONS, ...HALVES, ...PLAIN, "\n"].join("a") }
    const json = escapeJson(JSON.stringify(value, undefined, 2))
    assert.deepStrictEqual(JSON.parse(json), value)
    assert.strictEqual(json.split("\n").length, 3)
    for (const char of [...CONTROLS, ...DIRECTIONS]) assert.notInclude(json, char)
  })
})
