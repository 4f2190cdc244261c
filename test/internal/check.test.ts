import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { CircuitPolicy } from "effect-resilience"
import { checkDuration, checkKnown, checkOptions } from "../../src/internal/check.ts"

const messageOf = (f: () => unknown): string => {
  try {
    f()
    return "it is accepted"
  } catch (error) {
    assert.instanceOf(error, RangeError)
    return error.message
  }
}

describe("a duration that is refused", () => {
  it("is answered with how to write one", () => {
    for (
      const [options, accepted] of [
        [{}, "a duration of at least zero"],
        [{ positive: true }, "a duration above zero"],
        [{ finite: true }, "a finite duration of at least zero"],
        [{ positive: true, finite: true }, "a finite duration above zero"]
      ] as const
    ) {
      for (const input of ["5s", "1m 30s", "soon", -1, NaN, { secs: 5 }, {}]) {
        assert.include(
          messageOf(() => checkDuration("field", input as never, options)),
          `field must be ${accepted} such as "5 seconds", got `
        )
      }
    }
  })

  it("may come from a file without types", () => {
    assert.strictEqual(
      messageOf(() => CircuitPolicy.make(JSON.parse("{\"openDuration\":\"5s\"}"))),
      "CircuitPolicy.make: openDuration must be a duration of at least zero such as \"5 seconds\", got \"5s\""
    )
  })
})

describe("options that are none", () => {
  class Settings extends Context.Service<Settings, number>()("test/Settings") {}
  const mistakes: ReadonlyArray<readonly [unknown, string]> = [
    [undefined, "undefined"],
    [null, "null"],
    ["db", "\"db\""],
    ["two\nlines", "\"two\\nlines\""],
    [5, "5"],
    [true, "true"],
    [Symbol("x"), "Symbol(x)"],
    [[], "[]"],
    [[{ limit: 1 }], "[{\"limit\":1}]"],
    [new Date(0), "1970-01-01T00:00:00.000Z"],
    [Promise.resolve({ limit: 1 }), "a Promise"],
    [Effect.succeed({ limit: 1 }), "an Effect"],
    [Layer.empty, "a Layer"],
    [Settings, "the class Settings"],
    [class extends Error {}, "a class"],
    [function limits() {}, "the function limits"],
    [(() => () => ({ limit: 1 }))(), "a function"]
  ]

  it("are named, with what was passed instead", () => {
    for (const [value, shown] of mistakes) {
      assert.strictEqual(
        messageOf(() => checkOptions("Thing.make", value)),
        `Thing.make: options must be an object, got ${shown}`
      )
    }
  })

  it("are told from objects of a class, and from objects without a prototype", () => {
    class Options {
      readonly limit = 1
    }
    for (const options of [{}, new Options(), Object.assign(Object.create(null), { limit: 1 })]) {
      assert.strictEqual(checkOptions("Thing.make", options, ["limit"]), options)
    }
  })
})

describe("an unknown option", () => {
  const known = ["limit", "queue", "maxWait"]

  it("is answered with the one that was meant", () => {
    for (const [misspelt, meant] of [["maxwait", "maxWait"], ["max_wait", "maxWait"], ["quueue", "queue"]] as const) {
      assert.strictEqual(
        messageOf(() => checkKnown("Thing.make", { [misspelt]: 1 }, known)),
        `Thing.make: "${misspelt}" is no option; did you mean "${meant}"? There are limit, queue, maxWait`
      )
    }
  })

  it("is answered with all there are if it resembles none", () => {
    assert.strictEqual(
      messageOf(() => checkOptions("Thing.make", { limit: 1, concurrency: 5 }, known)),
      "Thing.make: \"concurrency\" is no option; there are limit, queue, maxWait"
    )
  })
})
