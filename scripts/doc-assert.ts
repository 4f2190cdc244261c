import { assert } from "@effect/vitest"
import { Equal } from "effect"

/** The `// =>` comments that were reached, by location. */
export const reached = new Set<string>()

/** What a `// =>` comment of an example becomes. */
export const assertExample = (location: string, actual: unknown, expected: unknown): void => {
  reached.add(location)
  if (!Equal.equals(actual, expected)) assert.deepStrictEqual(actual, expected, location)
}
