import { assert, describe, it } from "@effect/vitest"
import { isOneLine, replaceUnsafe } from "../../src/internal/plainText.ts"

/** The first and the last of each range, and what is beside them. */
const CONTROLS = ["\u0000", "\u001f", "\u007f", "\u009f", "\u2028", "\u2029"]
const DIRECTIONS = ["\u202a", "\u202e", "\u2066", "\u2069"]
const PLAIN = [" ", "~", "\u00a0", "\u2027", "\u202f", "\u2065", "\u206a", "支", "é", "👩‍👩‍👧"]

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
  it("are replaced, each of them, and no others", () => {
    const replace = (text: string) => replaceUnsafe(text, (char) => `<${char.charCodeAt(0).toString(16)}>`)
    for (const char of [...CONTROLS, ...DIRECTIONS]) {
      const shown = `<${char.charCodeAt(0).toString(16)}>`
      assert.strictEqual(replace(`a${char}b${char}`), `a${shown}b${shown}`)
    }
    assert.strictEqual(replace(PLAIN.join("")), PLAIN.join(""))
  })
})
