import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer } from "effect"
import { CircuitPolicy } from "effect-resilience"
import {
  checkAtLeast,
  checkCount,
  checkDuration,
  checkFunction,
  checkKnown,
  checkOneOf,
  checkOptions,
  checkRate,
  checkString,
  optionNames
} from "../../src/internal/check.ts"
import { messageOf } from "../support/refusal.ts"

const the = (value: unknown): never => value as never

it("a value is accepted within its bounds, which are named where it is not", () => {
  const f = () => 1
  const cases: ReadonlyArray<
    readonly [check: (value: never) => unknown, good: Array<unknown>, bad: Array<unknown>, accepted: string]
  > = [
    [(value) => checkFunction("field", value), [f, undefined], [null, 1, {}], "a function"],
    [(value) => checkString("field", value), ["", "a"], [undefined, 1, {}], "a string"],
    [
      (value) => checkCount("field", value),
      [1, Number.MAX_SAFE_INTEGER],
      [0, -1, 1.5, NaN, 2 ** 53, "1"],
      "an integer >= 1"
    ],
    [(value) => checkCount("field", value, 3), [1, 3], [0, 4, 2.5, "2"], "an integer from 1 to 3"],
    [(value) => checkRate("field", value), [0, 0.5, 1], [-0.1, 1.1, NaN, "0.5", 1n], "a number from 0 to 1"],
    [(value) => checkAtLeast("field", 2, value), [2, 2.5, 1e9], [1.9, Infinity, NaN, "3", 3n], "a finite number >= 2"]
  ]
  for (const [check, good, bad, accepted] of cases) {
    for (const value of good) assert.strictEqual(check(the(value)), value)
    for (const value of bad) assert.include(messageOf(() => check(the(value))), `field must be ${accepted}, got `)
  }
  const unreadable = new Proxy({}, {
    has: () => {
      throw new Error("no")
    }
  })
  assert.strictEqual(
    messageOf(() => checkCount("field", the(unreadable))),
    "field must be an integer >= 1, got a value that cannot be printed"
  )
  assert.isUndefined(checkOneOf("field", ["a", "b"], "b"))
  assert.strictEqual(messageOf(() => checkOneOf("field", ["a", "b"], "c")), `field must be "a" or "b", got "c"`)
})

describe("a duration", () => {
  const refusal = (input: unknown, options?: Parameters<typeof checkDuration>[2]) =>
    messageOf(() => checkDuration("field", the(input), options)).split(", got ")[1]

  it("is accepted within its bounds", () => {
    const positive = { positive: true }
    const finite = { finite: true }
    assert.deepStrictEqual(checkDuration("field", 0), Duration.zero)
    assert.deepStrictEqual(checkDuration("field", "Infinity", positive), Duration.infinity)
    assert.deepStrictEqual(checkDuration("field", 1, { ...positive, ...finite }), Duration.millis(1))
    assert.deepStrictEqual(checkDuration("field", 0, finite), Duration.zero)
    assert.strictEqual(refusal(-1), "-1")
    assert.strictEqual(refusal(0, positive), "0")
    assert.strictEqual(refusal("Infinity", finite), "\"Infinity\"")
    assert.strictEqual(refusal(Duration.infinity, finite), "\"Infinity\"")
    assert.strictEqual(refusal({ seconds: -1 }), "\"-1s\"")
  })

  it("has units that there are, and numbers that are some", () => {
    const units = [
      "weeks",
      "days",
      "hours",
      "minutes",
      "seconds",
      "milliseconds",
      "microseconds",
      "nanoseconds"
    ] as const
    for (const unit of units) {
      assert.isTrue(Duration.isGreaterThan(checkDuration("field", { [unit]: 1000 }), Duration.zero), unit)
    }
    assert.strictEqual(refusal({ seconds: 1, secs: 5 }), "{\"seconds\":1,\"secs\":5}")
    assert.strictEqual(refusal({ seconds: NaN, minutes: 1 }), "NaN")
    assert.strictEqual(refusal(NaN), "NaN")
  })
})

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
    [5n, "5n"],
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

describe("the names of options", () => {
  interface Options {
    readonly limit: number
    readonly queue?: number | undefined
  }

  it("are those of their type, in the order in which they are written", () => {
    assert.deepStrictEqual(optionNames<Options>({ limit: true, queue: true }), ["limit", "queue"])
  })

  it("do not compile if one is forgotten or is none", () => {
    // @ts-expect-error
    optionNames<Options>({ limit: true })
    // @ts-expect-error
    optionNames<Options>({ limit: true, queue: true, rate: true })
  })
})
