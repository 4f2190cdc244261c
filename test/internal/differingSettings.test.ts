import { assert, it } from "@effect/vitest"
import { Duration, Schedule } from "effect"
import { differingSettings } from "../../src/internal/differingSettings.ts"

it("settings differ by value, but for code and the mark of their type", () => {
  const settings = {
    "~mark": {},
    limit: 1,
    wait: Duration.seconds(1),
    classify: () => 1,
    openDuration: Schedule.forever
  }
  const differing = (changes: object): ReadonlyArray<string> =>
    differingSettings<object>(settings, { ...settings, ...changes })
  assert.deepStrictEqual(differing({}), [])
  assert.deepStrictEqual(differing({ "~mark": "another", wait: Duration.millis(1000) }), [])
  assert.deepStrictEqual(differing({ classify: () => 2, openDuration: Schedule.spaced("1 second") }), [])
  assert.deepStrictEqual(differing({ limit: 2, wait: Duration.seconds(2) }), ["limit", "wait"])
  assert.deepStrictEqual(differing({ classify: undefined, openDuration: Duration.zero }), ["classify", "openDuration"])
  assert.deepStrictEqual(differing({ "mark~": 1, extra: undefined }), ["mark~"])
})
