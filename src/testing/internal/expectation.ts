/**
 * What a helper of `effect-resilience/testing` throws when a program did not do
 * what a test expects of it. `actual` and `expected` are where test frameworks
 * look for a difference to show.
 */
export class ExpectationError extends Error {
  override readonly name = "ExpectationError"
  readonly actual: ReadonlyArray<string>
  readonly expected: ReadonlyArray<string>

  constructor(what: string, actual: ReadonlyArray<string>, expected: ReadonlyArray<string>) {
    super([what, ...difference(actual, expected)].join("\n"))
    this.actual = actual
    this.expected = expected
  }
}

/** Both lists line by line: `-` was expected, `+` was there instead. */
const difference = (actual: ReadonlyArray<string>, expected: ReadonlyArray<string>): ReadonlyArray<string> => {
  const lines = ["  - expected", "  + actual", ""]
  for (let i = 0; i < Math.max(actual.length, expected.length); i++) {
    if (actual[i] === expected[i]) {
      lines.push(`    ${actual[i]}`)
      continue
    }
    if (i < expected.length) lines.push(`  - ${expected[i]}`)
    if (i < actual.length) lines.push(`  + ${actual[i]}`)
  }
  if (actual.length === 0) lines.push("  + (nothing)")
  if (expected.length === 0) lines.push("  - (nothing)")
  return lines
}

/** Where a helper was called. */
export interface CallSite {
  readonly stack?: string
}

/** Remembers who called a helper, whose effect runs later and elsewhere. */
export const callSite = (helper: (...args: ReadonlyArray<never>) => unknown): CallSite => {
  const site: CallSite = {}
  capture?.(site, helper)
  return site
}

/** Of V8, and by now of others, though not in the types of the language. */
const capture = (Error as { readonly captureStackTrace?: (target: object, below: unknown) => void }).captureStackTrace

/** Lets an error point to where the helper was called rather than into the helper. */
export const pointAt = <E extends Error>({ stack }: CallSite, error: E): E => {
  const frames = typeof stack === "string" ? stack.indexOf("\n    at ") : -1
  if (frames >= 0) error.stack = `${error.name}: ${error.message}${stack!.slice(frames)}`
  return error
}
