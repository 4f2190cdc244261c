import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { inOperation, Recorder, recorderOf } from "../../../src/internal/telemetry/recorder.ts"

describe("Recorder", () => {
  it.effect("is none unless one is provided", () =>
    Effect.gen(function*() {
      const recorder = {} as Recorder
      const current = Effect.withFiber((fiber) => Effect.succeed(recorderOf(fiber)))

      assert.isUndefined(yield* current)
      assert.strictEqual(yield* Effect.provideService(current, Recorder, recorder), recorder)
    }))

  it("has a key that no other package has", () => {
    assert.strictEqual(Recorder.key, "effect-resilience/Telemetry/Recorder")
  })
})

describe("inOperation", () => {
  it("names a policy that has no name, and leaves the one that others share as it is", () => {
    const shared = { operation: undefined, limit: 3 }
    const named = inOperation<{ readonly operation: string | undefined; readonly limit: number }>("users", shared)

    assert.strictEqual(named.operation, "users")
    assert.strictEqual(named.limit, 3)
    assert.isUndefined(shared.operation)
  })

  it("keeps the name that a policy has", () => {
    const policy = { operation: "orders" }

    assert.strictEqual(inOperation("users", policy), policy)
  })
})
