import { assert, describe, it } from "@effect/vitest"
import { reached } from "../../scripts/doc-assert.ts"
import { generate, hasSources } from "../../scripts/doc-examples.ts"

const examples = generate().filter((example) => example.runs || example.problems.length > 0)

describe("examples of the documentation", () => {
  it("are there as soon as there are sources", () => {
    assert.isTrue(examples.length > 0 || !hasSources(), "no code block is marked ```ts import.meta.vitest")
  })

  for (const example of examples.filter(({ isTest, problems }) => isTest && problems.length === 0)) {
    describe(example.location, async () => {
      await import(example.module)
    })
  }

  for (const example of examples.filter(({ isTest, problems }) => !isTest || problems.length > 0)) {
    it(example.location, async () => {
      if (example.problems.length > 0) assert.fail(example.problems.join("\n"))

      await import(example.module)

      const missed = example.assertions.filter((location) => !reached.has(location))
      if (missed.length > 0) assert.fail(`never reached: ${missed.join(", ")}`)
    })
  }
})
