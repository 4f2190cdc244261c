import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { Brake } from "../../src/admin/internal/brake.ts"
import { ask, bearer, start, who } from "./support.ts"

describe("Brake", () => {
  it("counts the wrong tokens of each address in a window", () => {
    const brake = new Brake({ allowed: 2, window: 1_000, addresses: 10 })
    assert.deepStrictEqual([brake.wrong("a", 0), brake.wrong("a", 100), brake.wrong("a", 400)], [
      undefined,
      undefined,
      600
    ])
    assert.isUndefined(brake.wrong("b", 400))
    assert.strictEqual(brake.wrong("a", 999), 1)
    assert.isUndefined(brake.wrong("a", 1_000))
    assert.isUndefined(brake.wrong("a", 1_001))
    assert.strictEqual(brake.wrong("a", 1_002), 998)
  })

  it("remembers so many addresses, and forgets the oldest", () => {
    const brake = new Brake({ allowed: 1, window: 1_000, addresses: 3 })
    for (let i = 0; i < 10_000; i++) brake.wrong(String(i), i / 100)
    assert.strictEqual(brake.size, 3)
    assert.isDefined(brake.wrong("9999", 100))
    assert.isUndefined(brake.wrong("0", 100))
  })
})

describe("wrong tokens", () => {
  const wrong = bearer("wrong-token-wrong-token")

  it.effect("of one address are answered with 429 and Retry-After from the eleventh in a minute", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const statuses: Array<number> = []
      for (let i = 0; i < 10; i++) {
        statuses.push((yield* ask(server, { path: i % 2 === 0 ? "/status" : "/config", headers: wrong })).status)
      }
      assert.deepStrictEqual(statuses, Array(10).fill(401))
      yield* TestClock.adjust("18 seconds")
      const braked = yield* ask(server, { path: "/reset-all", body: who, headers: wrong })
      assert.deepStrictEqual([braked.status, braked.headers["retry-after"], braked.json], [429, "42", {
        _tag: "TooManyWrongTokensError",
        message: "the bearer token is wrong, as more than 10 of this address within a minute",
        retry_after: 42
      }])
      yield* TestClock.adjust("42 seconds")
      assert.strictEqual((yield* ask(server, { path: "/status", headers: wrong })).status, 401)
    }))

  it.effect("lock out neither the right token nor who needs none", () =>
    Effect.gen(function*() {
      const server = yield* start()
      yield* server.registry.getOrCreate("payment-api")
      for (let i = 0; i < 100; i++) yield* ask(server, { path: "/status", headers: wrong })

      const path = "/circuits/payment-api/force-close"
      assert.strictEqual((yield* ask(server, { path, body: who, headers: bearer() })).status, 200)
      assert.strictEqual((yield* ask(server, { path: "/status" })).status, 200)
      assert.strictEqual((yield* ask(server, { path: "/health" })).status, 200)
      assert.strictEqual((yield* ask(server, { path: "/status", headers: wrong })).status, 429)
    }))
})
