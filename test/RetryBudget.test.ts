import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Hedge, Retry, RetryBudget } from "effect-resilience"
import { expectTypeOf } from "vitest"
import * as Account from "../src/internal/retry/account.ts"

const deposits = (budget: RetryBudget.RetryBudget, n: number) =>
  Effect.replicateEffect(budget.deposit, n, { discard: true })

/** Withdraws until it is refused, and tells how often it was not. */
const drain = Effect.fnUntraced(function*(budget: RetryBudget.RetryBudget) {
  let granted = 0
  while (yield* budget.tryWithdraw) granted++
  return granted
})

describe("make", () => {
  it.effect("has Finagle's defaults", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make()

      assert.strictEqual(budget.ratio, 0.2)
      assert.strictEqual(budget.minPerSecond, 10)
      assert.isTrue(Duration.equals(budget.window, Duration.seconds(10)))
      assert.strictEqual(yield* budget.balance, 100)
    }))

  it.effect("lets a call earn a part of a retry", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ ratio: 0.2, minPerSecond: 0 })

      yield* deposits(budget, 4)
      assert.strictEqual(yield* budget.balance, 0.8)
      assert.isFalse(yield* budget.tryWithdraw)

      yield* budget.deposit
      assert.isTrue(yield* budget.tryWithdraw)
      assert.isFalse(yield* budget.tryWithdraw)
    }))

  it.effect("pays whole retries for ratios that binary numbers cannot hold", () =>
    Effect.gen(function*() {
      for (const [ratio, calls, retries] of [[0.1, 10, 1], [0.29, 100, 29], [0.07, 100, 7], [1 / 3, 3, 1]] as const) {
        const budget = yield* RetryBudget.make({ ratio, minPerSecond: 0 })
        yield* deposits(budget, calls)

        assert.strictEqual(yield* drain(budget), retries, `${calls} calls at ${ratio}`)
      }
    }))

  it.effect("lends minPerSecond of each second of the window", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ ratio: 0, minPerSecond: 2, window: "5 seconds" })

      assert.strictEqual(yield* drain(budget), 10)

      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* drain(budget), 10)
    }))

  it.effect("forgets calls at the end of the window", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ ratio: 1, minPerSecond: 0, window: "10 seconds" })
      yield* deposits(budget, 5)

      yield* TestClock.adjust("9999 millis")
      assert.strictEqual(yield* budget.balance, 5)

      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* budget.balance, 0)
    }))

  it.effect("forgets the calls of one tenth of the window after the other", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ ratio: 1, minPerSecond: 0, window: "10 seconds" })
      for (let i = 0; i < 10; i++) {
        yield* budget.deposit
        yield* TestClock.adjust("1 second")
      }

      for (let left = 9; left >= 0; left--) {
        assert.strictEqual(yield* budget.balance, left)
        yield* TestClock.adjust("1 second")
      }
    }))

  it.effect("forgets everything after a long pause", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ ratio: 1, minPerSecond: 1 })
      yield* deposits(budget, 1000)
      yield* budget.tryWithdraw

      yield* TestClock.adjust("30 days")
      assert.deepStrictEqual(yield* budget.metrics, { calls: 0, retries: 0, balance: 10, exhausted: 0 })
    }))

  it.effect("reading it changes nothing", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ ratio: 1, minPerSecond: 0 })
      yield* budget.deposit
      const before = yield* budget.metrics

      yield* budget.balance

      assert.deepStrictEqual(yield* budget.metrics, before)
      assert.deepStrictEqual(before, { calls: 1, retries: 0, balance: 1, exhausted: 0 })
    }))

  it.effect("counts the retries it refused", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ ratio: 0, minPerSecond: 0 })
      yield* budget.tryWithdraw
      yield* budget.tryWithdraw

      assert.strictEqual((yield* budget.metrics).exhausted, 2)
    }))

  it.effect("never grants more than it holds to fibers that ask together", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ ratio: 0.1, minPerSecond: 0 })
      yield* deposits(budget, 1000)

      const granted = yield* Effect.forEach(
        Array.from({ length: 500 }),
        () => Effect.andThen(Effect.yieldNow, budget.tryWithdraw),
        { concurrency: "unbounded" }
      )

      assert.strictEqual(granted.filter((x) => x).length, 100)
    }))

  it("refuses options out of their range", () => {
    assert.throws(() => RetryBudget.make({ ratio: -0.1 }), RangeError, "RetryBudget.make: ratio must be")
    assert.throws(() => RetryBudget.make({ ratio: NaN }), RangeError, "RetryBudget.make: ratio must be")
    assert.throws(() => RetryBudget.make({ ratio: Infinity }), RangeError, "RetryBudget.make: ratio must be")
    assert.throws(() => RetryBudget.make({ minPerSecond: -1 }), RangeError, "RetryBudget.make: minPerSecond must be")
    assert.throws(() => RetryBudget.make({ minPerSecond: NaN }), RangeError, "RetryBudget.make: minPerSecond must be")
    assert.throws(() => RetryBudget.make({ window: 0 }), RangeError, "RetryBudget.make: window must be")
    assert.throws(() => RetryBudget.make({ window: -1 }), RangeError, "RetryBudget.make: window must be")
    assert.throws(() => RetryBudget.make({ window: NaN }), RangeError, "RetryBudget.make: window must be")
    assert.throws(() => RetryBudget.make({ window: "Infinity" }), RangeError, "RetryBudget.make: window must be")
    assert.throws(() => RetryBudget.layer({ ratio: -1 }), RangeError)
    assert.throws(() => RetryBudget.Service()("bad", { ratio: -1 }), RangeError)
  })
})

describe("description", () => {
  for (
    const [options, description] of [
      [{}, "0.2 retries per call plus 10 per second, over 10s"],
      [{ ratio: 1, minPerSecond: 0, window: "1 minute" }, "1 retry per call, over 1m"],
      [{ ratio: 0, minPerSecond: 5 }, "5 retries per second, over 10s"],
      [{ ratio: 0, minPerSecond: 0 }, "no retries"]
    ] as const
  ) {
    it.effect(`is "${description}"`, () =>
      Effect.gen(function*() {
        assert.strictEqual((yield* RetryBudget.make(options)).description, description)
        assert.strictEqual(RetryBudget.Service<never>()("described", options).description, description)
      }))
  }
})

describe("account", () => {
  const Step = Schema.Struct({
    retry: Schema.Boolean,
    pause: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2500 }))
  })

  it.prop(
    "never lets the retries of a window exceed the reserve and the ratio of its calls",
    [Schema.Array(Step), Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))],
    ([steps, minPerSecond]) => {
      const rules = Account.rules({ ratio: 0.5, minPerSecond, windowMillis: 10_000 })
      const calls: Array<number> = []
      const retries: Array<number> = []
      let account = Account.empty
      let now = 0
      for (const { pause, retry } of steps) {
        now += pause
        account = Account.at(account, rules, now)
        if (retry) {
          const [granted, next] = Account.withdraw(account, rules)
          account = next
          if (granted) retries.push(now)
        } else {
          account = Account.deposit(account)
          calls.push(now)
        }
        const within = (times: Array<number>) =>
          times.filter((time) => Math.floor(time / 1000) > Math.floor(now / 1000) - 10)
        assert.strictEqual(Account.calls(account), within(calls).length)
        assert.strictEqual(Account.retries(account), within(retries).length)
        assert.isAtLeast(Account.balance(account, rules), 0)
        if (retry && retries.at(-1) === now) {
          assert.isAtMost(within(retries).length, minPerSecond * 10 + within(calls).length * 0.5)
        }
      }
    }
  )

  it.prop(
    "counts as if a call that is taken back had never been",
    [Schema.Array(Schema.Struct({
      pause: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2500 })),
      refunds: Schema.Boolean,
      which: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
    }))],
    ([steps]) => {
      const rules = Account.rules({ ratio: 0.5, minPerSecond: 0, windowMillis: 10_000 })
      const calls: Array<number> = []
      let account = Account.empty
      let now = 0
      for (const { pause, refunds, which } of steps) {
        now += pause
        account = Account.at(account, rules, now)
        const [taken] = refunds && calls.length > 0 ? calls.splice(Math.max(0, calls.length - 1 - which), 1) : []
        if (taken === undefined) {
          account = Account.deposit(account)
          calls.push(now)
        } else {
          account = Account.refund(account, rules, taken)
        }
        assert.strictEqual(
          Account.calls(account),
          calls.filter((time) => Math.floor(time / 1000) > Math.floor(now / 1000) - 10).length
        )
      }
    }
  )

  it.effect("earns nothing from calls that are taken back", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ ratio: 0.2, minPerSecond: 0 })
      for (let n = 0; n < 1_000; n++) {
        const now = 2 * n
        budget.depositUnsafe(now)
        budget.refundUnsafe(now, now + 1)
      }
      assert.strictEqual(yield* budget.balance, 0)
      assert.strictEqual((yield* budget.metrics).calls, 0)
    }))

  it("takes a time before the last one for now", () => {
    const rules = Account.rules({ ratio: 1, minPerSecond: 0, windowMillis: 1000 })
    const account = Account.deposit(Account.at(Account.empty, rules, 5000))

    assert.strictEqual(Account.at(account, rules, 0), account)
  })
})

describe("services", () => {
  it.effect("share one budget among all that a layer is provided to", () =>
    Effect.gen(function*() {
      yield* RetryBudget.RetryBudget.use((budget) => budget.deposit)
      yield* RetryBudget.RetryBudget.use((budget) => budget.deposit)

      assert.strictEqual((yield* RetryBudget.RetryBudget.use((budget) => budget.metrics)).calls, 2)
    }).pipe(Effect.provide(RetryBudget.layer())))

  it.effect("come under a name of their own", () =>
    Effect.gen(function*() {
      class Payments extends RetryBudget.Service<Payments>()("payments", { minPerSecond: 1 }) {}
      class Users extends RetryBudget.Service<Users>()("users", { minPerSecond: 2 }) {}

      const balances = yield* Effect.gen(function*() {
        return [yield* (yield* Payments).balance, yield* (yield* Users).balance]
      }).pipe(Effect.provide(Layer.mergeAll(Payments.layer, Users.layer)))

      assert.deepStrictEqual(balances, [10, 20])
      assert.strictEqual(Payments.key, "effect-resilience/RetryBudget/payments")
      expectTypeOf(Payments.layer).toEqualTypeOf<Layer.Layer<Payments>>()
    }))

  it.effect("tell a budget from other values", () =>
    Effect.gen(function*() {
      assert.isTrue(RetryBudget.isRetryBudget(yield* RetryBudget.make()))
      assert.isFalse(RetryBudget.isRetryBudget(RetryBudget.RetryBudget))
      assert.isFalse(RetryBudget.isRetryBudget({}))
      assert.strictEqual(RetryBudget.TypeId, "~effect-resilience/RetryBudget")
    }))

  it.effect("and budgets are all that a policy takes", () =>
    Effect.gen(function*() {
      for (const budget of [undefined, RetryBudget.RetryBudget, yield* RetryBudget.make()]) {
        assert.strictEqual(Retry.make({ budget }).budget, budget)
        assert.strictEqual(Hedge.make({ delay: 1, budget }).budget, budget)
      }
      for (const value of [null, 10, "10 per second", {}, { ratio: 0.2 }]) {
        const budget = value as unknown as RetryBudget.RetryBudget
        const message = "budget must be a value made with RetryBudget.make or the class of a service, got"
        assert.throws(() => Retry.make({ budget }), RangeError, `Retry.make: ${message}`)
        assert.throws(() => Hedge.make({ delay: 1, budget }), RangeError, `Hedge.make: ${message}`)
      }
    }))

  it("have keys that no other package has", () => {
    assert.strictEqual(RetryBudget.RetryBudget.key, "effect-resilience/RetryBudget")
  })
})
