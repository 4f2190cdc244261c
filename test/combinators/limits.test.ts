/**
 * What bulkheads, rate limits and retry budgets have in common: the mistakes
 * they name where they are made, and classes that have one name.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, type Context, Effect, Exit, Layer } from "effect"
import { Bulkhead, Hedge, RateLimit, Retry, RetryBudget } from "effect-resilience"
import { messageOf } from "../support/refusal.ts"

const BULKHEAD = { limit: 2 } as const
const RATE_LIMIT = { limit: 2, window: "1 second" } as const
const NAMED_RATE_LIMIT = { name: "x", ...RATE_LIMIT } as const

const rateLimit = Effect.runSync(RateLimit.makeMemory(NAMED_RATE_LIMIT))
const stored = Effect.runSync(
  RateLimit.make(NAMED_RATE_LIMIT).pipe(
    Effect.provide(RateLimit.layerMemory)
  )
)
class Slots extends Bulkhead.Service<Slots>()("slots", BULKHEAD) {}
class Rate extends RateLimit.Service<Rate>()("rate", RATE_LIMIT) {}

/** Whatever takes options: what is right, an option that is misspelt, and the ones there are. */
const TAKERS: Record<string, readonly [(options: never) => unknown, object, string, string]> = {
  "Bulkhead.make": [Bulkhead.make, BULKHEAD, "maxwait", "maxWait"],
  "Bulkhead.Service": [(options) => Bulkhead.Service<never>()("x", options), BULKHEAD, "queu", "queue"],
  "RateLimit.make": [RateLimit.make, NAMED_RATE_LIMIT, "onExeeded", "onExceeded"],
  "RateLimit.makeMemory": [RateLimit.makeMemory, NAMED_RATE_LIMIT, "algoritm", "algorithm"],
  "RateLimit.Service": [(options) => RateLimit.Service<never>()("x", options), RATE_LIMIT, "limits", "limit"],
  "RateLimit.execute": [(options) => rateLimit.execute(Effect.void, options), {}, "kee", "key"],
  "RateLimit.withRateLimit": [
    (options) => RateLimit.withRateLimit(Rate, options),
    {},
    "max_wait",
    "maxWait"
  ],
  "RetryBudget.make": [RetryBudget.make, {}, "minPerSec", ""],
  "RetryBudget.layer": [RetryBudget.layer, {}, "windows", "window"],
  "RetryBudget.Service": [(options) => RetryBudget.Service<never>()("x", options), {}, "ration", "ratio"]
}

const MISTAKES: ReadonlyArray<readonly [unknown, string]> = [
  [null, "null"],
  ["db", "\"db\""],
  [5, "5"],
  [[1], "[1]"],
  [Promise.resolve({ limit: 1 }), "a Promise"],
  [Effect.succeed({ limit: 1 }), "an Effect"],
  [Slots.layer, "a Layer"],
  [class Limits extends Error {}, "the class Limits"],
  [() => ({ limit: 1 }), "a function"]
]

describe("options", () => {
  for (const [name, [take, good, misspelt, meant]] of Object.entries(TAKERS)) {
    it(`of ${name} that are none are named`, () => {
      assert.strictEqual(messageOf(() => take(good as never)), "it is accepted")
      for (const [value, shown] of MISTAKES) {
        assert.strictEqual(messageOf(() => take(value as never)), `${name}: options must be an object, got ${shown}`)
      }
    })

    it(`of ${name} that there are not are refused, with the one that was meant`, () => {
      assert.include(
        messageOf(() => take({ ...good, [misspelt]: 1 } as never)),
        `${name}: "${misspelt}" is no option; ${meant === "" ? "there are" : `did you mean "${meant}"? There are`} `
      )
    })
  }

  it("of a call in a store are refused as those of one in memory are", () => {
    assert.include(
      messageOf(() => stored.execute(Effect.void, { keys: "a" } as never)),
      "RateLimit.execute: \"keys\" is no option; did you mean \"key\"?"
    )
  })

  it("are checked where a call that needs a service is written", () => {
    for (const [options, message] of [[{ key: 5 }, "key must be a string, got 5"], [{ maxWait: "5s" }, "maxWait"]]) {
      for (
        const write of [
          () => RateLimit.withRateLimit(Effect.void, Rate, options as never),
          () => RateLimit.withRateLimit(Rate, options as never)
        ]
      ) {
        assert.include(messageOf(write), `RateLimit.withRateLimit: ${message as string}`)
      }
    }
  })

  it("name what is no name", () => {
    for (
      const [caller, write] of [
        ["Bulkhead.make", () => Bulkhead.make({ ...BULKHEAD, name: 5 as never })],
        ["Bulkhead.Service", () => Bulkhead.Service<never>()(5 as never, BULKHEAD)],
        ["RateLimit.make", () => RateLimit.make({ ...RATE_LIMIT, name: 5 as never })],
        ["RateLimit.makeMemory", () => RateLimit.makeMemory({ ...RATE_LIMIT, name: 5 as never })],
        ["RateLimit.Service", () => RateLimit.Service<never>()(5 as never, RATE_LIMIT)],
        ["RetryBudget.Service", () => RetryBudget.Service<never>()(5 as never)]
      ] as const
    ) {
      assert.strictEqual(messageOf(write), `${caller}: name must be a string that is not empty, got 5`)
    }
    assert.strictEqual(
      messageOf(() => RateLimit.make(RATE_LIMIT as never)),
      "RateLimit.make: name must be a string that is not empty, got undefined"
    )
  })
})

describe("what is no bulkhead or rate limit", () => {
  const values = [...MISTAKES, [{ limit: 1 }, "{\"limit\":1}"], [undefined, "undefined"]] as const

  it("is named where it is passed to withBulkhead", () => {
    for (const [value, shown] of values) {
      const message = "Bulkhead.withBulkhead: the bulkhead must be a value made with Bulkhead.make or the class of a " +
        `service, got ${shown}`
      assert.strictEqual(messageOf(() => Bulkhead.withBulkhead(value as never)), message)
      assert.strictEqual(messageOf(() => Bulkhead.withBulkhead(Effect.void, value as never)), message)
    }
  })

  it("is named where it is passed to withRateLimit", () => {
    for (const [value, shown] of values) {
      const message = "RateLimit.withRateLimit: the rate limit must be a value made with RateLimit.make or " +
        `RateLimit.makeMemory, or the class of a service, got ${shown}`
      assert.strictEqual(messageOf(() => RateLimit.withRateLimit(value as never)), message)
      // An effect with something else is taken for a call and its limit.
      if (!Effect.isEffect(value)) {
        assert.strictEqual(messageOf(() => RateLimit.withRateLimit(value as never, { key: "a" })), message)
      }
      if (value !== undefined) {
        assert.strictEqual(messageOf(() => RateLimit.withRateLimit(Effect.void, value as never)), message)
        assert.strictEqual(
          messageOf(() => RateLimit.withRateLimit(Effect.void, value as never, { key: "a" })),
          message
        )
      }
    }
  })
})

describe("two classes of one name", () => {
  interface Dup {
    readonly key: string
    readonly mine: Effect.Effect<unknown, unknown, "dup">
    readonly mineIn: (self: Effect.Effect<unknown>) => Effect.Effect<unknown, unknown, "dup">
    readonly layer: Layer.Layer<"dup">
    readonly other: Layer.Layer<"dup">
    readonly fields: string
  }
  const bulkheads = [2, 50].map((limit) => Bulkhead.Service<"dup">()("dup", { limit, queue: limit })) as [
    ReturnType<ReturnType<typeof Bulkhead.Service<"dup">>>,
    ReturnType<ReturnType<typeof Bulkhead.Service<"dup">>>
  ]
  const rates = ["1 second", "1 minute"].map((window) =>
    RateLimit.Service<"dup">()("dup", { limit: 2, window: window as "1 second" })
  ) as [RateClass, RateClass]
  type RateClass = RateLimit.ServiceClass<"dup", "dup">
  const budgets = [0.1, 0.5].map((ratio) => RetryBudget.Service<"dup">()("dup", { ratio })) as [
    BudgetClass,
    BudgetClass
  ]
  type BudgetClass = RetryBudget.ServiceClass<"dup", "dup">

  const kinds: Record<string, Dup> = {
    "Bulkhead.Service": {
      key: bulkheads[0].key,
      mine: bulkheads[0] as Effect.Effect<unknown, never, "dup">,
      mineIn: (self) => Bulkhead.withBulkhead(self, bulkheads[0]),
      layer: bulkheads[0].layer,
      other: bulkheads[1].layer,
      fields: "limit, queue"
    },
    "RateLimit.Service": {
      key: rates[0].key,
      mine: rates[0],
      mineIn: (self) => RateLimit.withRateLimit(self, rates[0]),
      layer: rates[0].layerMemory,
      other: rates[1].layerMemory,
      fields: "window"
    },
    "RetryBudget.Service": {
      key: budgets[0].key,
      mine: budgets[0],
      mineIn: (self) => Retry.withRetry(self, { budget: budgets[0] }),
      layer: budgets[0].layer,
      other: budgets[1].layer,
      fields: "ratio"
    }
  }

  for (const [maker, { fields, layer, mine, mineIn, other }] of Object.entries(kinds)) {
    it.effect(`are refused where the one meets the service of the other: ${maker}`, () =>
      Effect.gen(function*() {
        for (const use of [mine, mineIn(Effect.void)]) {
          assert.isTrue(Exit.isSuccess(yield* Effect.exit(Effect.provide(use, layer))))
          const exit = yield* Effect.exit(Effect.provide(use, Layer.mergeAll(layer, other)))
          const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
          assert.instanceOf(error, RangeError)
          assert.strictEqual(
            error.message,
            `${maker}: "dup" is the name of two classes, and the service in reach is that of the other one, with ` +
              `another ${fields}; give one of them another name`
          )
        }
      }))
  }

  it.effect("are refused where a hedge meets the budget of the other", () =>
    Effect.gen(function*() {
      const call = Hedge.withHedge(Effect.void, { delay: "1 second", budget: budgets[0] })
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(Effect.provide(call, budgets[0].layer))))
      assert.isTrue(Exit.hasDies(yield* Effect.exit(Effect.provide(call, budgets[1].layer))))
    }))

  it.effect("are one if their options are equal, and what a test provides may have any", () =>
    Effect.gen(function*() {
      const same = Bulkhead.Service<"dup">()("dup", { limit: 50, queue: 50, maxWait: "30 seconds" })
      const limit = Effect.flatMap(bulkheads[1] as Context.Key<"dup", Bulkhead.Bulkhead>, (slots) => slots.limit)
      assert.strictEqual(yield* Effect.provide(limit, same.layer), 50)
      const mine = yield* Bulkhead.make({ limit: 7 })
      assert.strictEqual(yield* Effect.provideService(limit, bulkheads[1] as never, mine), 7)
    }))
})
