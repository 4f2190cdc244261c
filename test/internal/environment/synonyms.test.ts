import { assert, describe, it } from "@effect/vitest"
import { ofCalls, ofCircuits, synonymOf } from "../../../src/internal/environment/synonyms.ts"

describe("a name for a time", () => {
  it("in milliseconds means that of the time in seconds", () => {
    for (const time of ["FAILURE_WINDOW", "REQUEST_TIMEOUT", "MAX_BACKOFF"]) {
      for (const ending of ["MS", "MILLIS", "MILLISECONDS"]) {
        assert.deepStrictEqual(synonymOf(`${time}_${ending}`, ofCircuits), {
          means: [`${time}_SECONDS`],
          note: "It takes seconds, or a duration such as \"500ms\""
        })
      }
    }
    assert.deepStrictEqual(synonymOf("RETRY_DELAY_MS", ofCalls)?.means, ["RETRY_BASE_DELAY"])
  })

  it("is no synonym if it is that of the time itself, nearly so, or has its unit elsewhere", () => {
    for (const name of ["RECOVERY_TIMEOUT", "FAILURE_WINDOW", "RECOVERY_MS_TIMEOUT", "RECOVERY_TIMEOUT_MS_OR_SO"]) {
      assert.isUndefined(synonymOf(name, ofCircuits), name)
    }
  })

  it("is none if what it means is no time", () => {
    assert.isUndefined(synonymOf("MAX_FAILURES_MS", ofCircuits))
    assert.isUndefined(synonymOf("SOMETHING_MS", ofCircuits))
  })
})

describe("no name", () => {
  it("means nothing", () => {
    assert.isUndefined(synonymOf("", ofCircuits))
    assert.isUndefined(synonymOf("", ofCalls))
  })
})
