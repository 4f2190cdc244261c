import { assert } from "@effect/vitest"

/** With what message a call refuses its arguments, if it does. */
export const messageOf = (f: () => unknown): string => {
  try {
    f()
    return "it is accepted"
  } catch (error) {
    assert.instanceOf(error, RangeError)
    return error.message
  }
}
