import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { WireError } from "../../../src/internal/error/wireError.ts"

const encode = Schema.encodeUnknownSync(WireError)
const decode = Schema.decodeUnknownSync(WireError)

describe("an error on the wire", () => {
  it("is what JSON has, and else the text of a value", () => {
    const f = () => 1
    for (const value of [null, true, "down", 5, ["a", 1]]) assert.deepStrictEqual(encode(value), value)
    for (const value of [10n, Symbol("s"), f, undefined, NaN]) assert.strictEqual(encode(value), String(value))
  })

  it("has the fields of the error, but for code, what is not there and the stack", () => {
    const fields = { code: 5, f: () => 1, at: undefined, nested: { f: () => 1, at: undefined } }
    const error = Object.assign(new TypeError("down"), fields)
    Object.defineProperty(error, "stack", { value: "somewhere", enumerable: true })
    assert.deepStrictEqual(encode(error), { name: "TypeError", message: "down", code: 5, nested: {} })
    assert.deepStrictEqual(encode({ stack: "a field", f: () => 1 }), { stack: "a field" })
    const withCause = new Error("outer", { cause: "inner" })
    assert.deepStrictEqual(encode(withCause), { name: "Error", message: "outer", cause: "inner" })
  })

  it("is 32 levels deep at most", () => {
    const levels: Record<string, readonly [wrap: (inner: unknown) => unknown, unwrap: (outer: any) => unknown]> = {
      field: [(inner) => ({ inner }), ({ inner }) => inner],
      item: [(inner) => [inner], ([inner]) => inner],
      cause: [(inner) => new Error("outer", { cause: inner }), ({ cause }) => cause]
    }
    for (const [name, [wrap, unwrap]] of Object.entries(levels)) {
      let [value, expected]: Array<unknown> = ["leaf", "leaf"]
      for (let depth = 0; depth < 32; depth++) value = wrap(value)
      let found: unknown = encode(value)
      let tooDeep: unknown = encode(wrap(value))
      for (let depth = 0; depth < 32; depth++) [found, tooDeep] = [unwrap(found), unwrap(tooDeep)]
      assert.strictEqual(found, expected, name)
      assert.notInclude(JSON.stringify(tooDeep), "leaf", name)
    }
    const own = (inner: unknown) => ({ toJSON: () => inner })
    let value: unknown = "leaf"
    for (let depth = 0; depth < 32; depth++) value = own(value)
    assert.strictEqual(encode(value), "leaf")
    assert.isNull(encode(own(value)))
  })

  it("has 10,000 values at most", () => {
    const carried = encode(Array.from({ length: 10_000 }, () => 1)) as ReadonlyArray<unknown>
    assert.deepStrictEqual([carried.length, carried.at(-1)], [9_999, 1])
  })

  it("comes back with a stack that says what it is, and fields like those of any error", () => {
    const error = decode({ name: "TypeError", message: "down", code: 5 }) as TypeError & { code?: number }
    assert.strictEqual(error.stack, "TypeError: down")
    assert.deepStrictEqual(Object.keys(error), ["code"])
    error.stack = "elsewhere"
    error.name = "Other"
    error.code = 6
    assert.deepStrictEqual([error.stack, error.name, error.code], ["elsewhere", "Other", 6])
    delete error.code
    assert.isUndefined(error.code)
  })

  it("comes back as an Error though its name is none", () => {
    assert.strictEqual((decode({ message: "down" }) as Error).stack, "Error: down")
    const error = decode({ message: "down", name: 5 }) as Error
    assert.deepStrictEqual([error.name, error.stack], ["Error", "5: down"])
  })
})
