import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import { ERROR_TYPE_ID, hintOf, isTimeout, leavesOf } from "../../../src/internal/error/insideError.ts"

// As those of another copy of the package: known by their brand alone.
interface Holder {
  lastError?: unknown
  rejection?: unknown
}
const exhausted = (fields: Holder): Holder => Object.assign({ [ERROR_TYPE_ID]: "RetryExhaustedError" }, fields)
const allFailed = (attempts: Array<{ readonly error: unknown }>) => ({
  [ERROR_TYPE_ID]: "AllTiersFailedError",
  attempts
})

const retryAfter = Duration.seconds(5)
const busy = { retryAfter }

const insideItself = () => {
  const retries = exhausted({})
  retries.lastError = retries
  const attempts: Array<{ readonly error: unknown }> = []
  const tiers = allFailed(attempts)
  attempts.push({ error: tiers })
  return { retries, tiers }
}

describe("an error that is inside itself", () => {
  it("is its own leaf", () => {
    const { retries, tiers } = insideItself()
    for (const error of [retries, tiers]) {
      const [leaf, ...others] = leavesOf(error)
      assert.strictEqual(leaf, error)
      assert.deepStrictEqual(others, [])
    }
  })

  it("asks for the wait of what else it holds", () => {
    const { retries, tiers } = insideItself()
    assert.isUndefined(hintOf(retries))
    assert.isUndefined(hintOf(tiers))
    const rejected = exhausted({ lastError: busy })
    rejected.rejection = rejected
    retries.rejection = busy
    for (const error of [retries, rejected, exhausted({ lastError: tiers, rejection: busy })]) {
      assert.strictEqual(hintOf(error), retryAfter)
    }
  })
})

it("an error without any tier asks for nothing, and what ended its retries may", () => {
  assert.isUndefined(hintOf(allFailed([])))
  assert.strictEqual(hintOf(exhausted({ lastError: allFailed([]), rejection: busy })), retryAfter)
})

it("an error may ask to wait for no time", () => {
  assert.strictEqual(hintOf({ retryAfter: Duration.zero }), Duration.zero)
  assert.isUndefined(hintOf({ retryAfter: Duration.millis(-1) }))
})

it("a timeout is known by its brand", () => {
  assert.isTrue(isTimeout({ [ERROR_TYPE_ID]: "CallTimeoutError" }))
  assert.isFalse(isTimeout({ [ERROR_TYPE_ID]: "CircuitOpenError" }))
})
