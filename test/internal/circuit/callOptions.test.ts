import { assert, it } from "@effect/vitest"
import type { CallOptions } from "../../../src/CircuitBreaker.ts"
import { checkCallOptions } from "../../../src/internal/circuit/callOptions.ts"

it("options of a call that are right are asked for nothing but what they say", () => {
  const cases: ReadonlyArray<readonly [options: object, located: boolean]> = [
    [{ classify: () => undefined }, false],
    [{ interruptedAfter: 5 }, false],
    [{ classify: () => undefined, interruptedAfter: 5 }, true],
    [{ policy: {} }, true]
  ]
  for (const [options, located] of cases) {
    const asked: Array<PropertyKey> = []
    const seen = new Proxy(options, {
      get: (target, key) => {
        asked.push(key)
        return Reflect.get(target, key)
      }
    })
    checkCallOptions("execute", seen as CallOptions<never, never>, located)
    assert.deepStrictEqual(asked, ["classify", "interruptedAfter"])
  }
})
