import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker } from "effect-resilience"
import * as Effect from "effect/Effect"

describe("OneStep", () => {
  it.effect("is an effect and prints as one", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "a" })
      const execution = breaker.execute(Effect.succeed(1))
      assert.isTrue(Effect.isEffect(execution))
      assert.strictEqual(yield* execution, 1)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(execution)), { _id: "Effect", op: "OneStep" })
    }))
})
