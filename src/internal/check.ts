import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/**
 * Options are checked where a policy is built, so that a mistake is a
 * `RangeError` at start-up that names the field and the value.
 */
const fail = (field: string, accepted: string, value: unknown): never => {
  throw new RangeError(`${field} must be ${accepted}, got ${typeof value === "string" ? `"${value}"` : String(value)}`)
}

export const checkCount = (field: string, value: number, maximum = Number.MAX_SAFE_INTEGER): number =>
  Number.isInteger(value) && value >= 1 && value <= maximum
    ? value
    : fail(
      field,
      maximum === Number.MAX_SAFE_INTEGER ? "an integer >= 1" : `an integer from 1 to ${maximum}`,
      value
    )

export const checkRate = (field: string, value: number): number =>
  value >= 0 && value <= 1 ? value : fail(field, "a number from 0 to 1", value)

export const checkAtLeast = (field: string, minimum: number, value: number): number =>
  value >= minimum && value < Infinity ? value : fail(field, `a finite number >= ${minimum}`, value)

export const checkDuration = (
  field: string,
  input: Duration.Input,
  options?: { readonly positive?: boolean; readonly finite?: boolean }
): Duration.Duration => {
  const accepted = `a${options?.finite === true ? " finite" : ""} duration ${
    options?.positive === true ? "above" : "of at least"
  } zero`
  const duration = Option.getOrUndefined(Duration.fromInput(input))
  if (duration === undefined) return fail(field, accepted, input)
  // Effect takes a NaN for zero.
  if ((typeof input === "object" ? Object.values(input) : [input]).some(Number.isNaN)) return fail(field, accepted, NaN)
  const millis = Duration.toMillis(duration)
  const ok = (options?.positive === true ? millis > 0 : millis >= 0) && (options?.finite !== true || millis < Infinity)
  return ok ? duration : fail(field, accepted, typeof input === "object" ? Duration.format(duration) : input)
}
