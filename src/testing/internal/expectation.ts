/**
 * The defect of a helper whose expectation does not hold. Test frameworks show the difference of `actual` and `expected`.
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

/** Both lists line by line: `-` for expected, `+` for actual lines. */
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

/** The place where a helper was called. */
export interface CallSite {
  readonly stack?: string
}

/** Captures where a helper was called, since its effect runs later and elsewhere. */
export const callSite = (helper: (...args: ReadonlyArray<never>) => unknown): CallSite => {
  const site: CallSite = {}
  capture?.(site, helper)
  return site
}

/** Missing from the types of the language, and from engines other than V8 until recently. */
const capture = (Error as { readonly captureStackTrace?: (target: object, below: unknown) => void }).captureStackTrace

/** Makes an error point to where the helper was called instead of into the helper. */
export const pointAt = <E extends Error>({ stack }: CallSite, error: E): E => {
  const frames = typeof stack === "string" ? stack.indexOf("\n    at ") : -1
  if (frames >= 0) error.stack = `${error.name}: ${error.message}${stack!.slice(frames)}`
  return error
}
