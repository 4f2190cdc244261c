import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { format } from "effect/Formatter"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { closest, TYPO } from "./spelling.ts"
import { printDuration } from "./time/durationText.ts"

/**
 * Options are checked where a policy is built, so that a mistake is a
 * `RangeError` at start-up that names the field and the value.
 */
export const refuse = (field: string, accepted: string, value: unknown): never => {
  throw new RangeError(`${field} must be ${accepted}, got ${show(value)}`)
}

/** Whatever a caller in JavaScript may have passed. */
const show = (value: unknown): string => {
  try {
    return kindOf(value) ?? format(value)
  } catch {
    return "a value that cannot be printed"
  }
}

/** Names what is passed by mistake and prints as something else. */
const kindOf = (value: unknown): string | undefined => {
  if (typeof value === "function") {
    const kind = Function.prototype.toString.call(value).startsWith("class") ? "class" : "function"
    return value.name === "" ? `a ${kind}` : `the ${kind} ${value.name}`
  }
  if (Predicate.isPromiseLike(value)) return "a Promise"
  if (Layer.isLayer(value)) return "a Layer"
  return Effect.isEffect(value) ? "an Effect" : undefined
}

/** Neither a list, a date, a promise nor an effect, which are objects to JavaScript. */
export const isObject = (value: unknown): value is object =>
  Object.prototype.toString.call(value) === "[object Object]" && kindOf(value) === undefined

/** The options of a constructor that cannot do without any; with `known`, no other than these. */
export const checkOptions = <O>(constructor: string, options: O, known?: ReadonlyArray<string>): O => {
  if (!isObject(options)) return refuse(`${constructor}: options`, "an object", options)
  if (known !== undefined) checkKnown(constructor, options, known)
  return options
}

/** An option that is misspelt would leave out what was meant to protect. */
export const checkKnown = (constructor: string, options: object, known: ReadonlyArray<string>): void => {
  const unknown = Object.keys(options).find((key) => !known.includes(key))
  if (unknown === undefined) return
  const meant = closest(unknown, known, TYPO)
  throw new RangeError(
    `${constructor}: ${JSON.stringify(unknown)} is no option; ` +
      `${meant === undefined ? "there" : `did you mean "${meant}"? There`} are ${known.join(", ")}`
  )
}

/** The names of the options of a type. A name that is forgotten does not compile. */
export const optionNames = <O>(names: { readonly [K in keyof O]-?: true }): ReadonlyArray<keyof O & string> =>
  Object.keys(names) as Array<keyof O & string>

export const checkFunction = <F>(field: string, value: F): F =>
  value === undefined || typeof value === "function" ? value : refuse(field, "a function", value)

export const checkString = <S extends string>(field: string, value: S): S =>
  typeof value === "string" ? value : refuse(field, "a string", value)

/**
 * The name of a circuit or of what is beside one. It goes into a path of the
 * admin API and into series, as UTF-8: URLs take `.` and `..` for directories
 * however they are encoded, and half of a character has no encoding.
 */
export const checkName = <S extends string>(field: string, name: S): S => {
  if (typeof name !== "string" || name === "") return refuse(field, "a string that is not empty", name)
  if (name === "." || name === "..") {
    return refuse(field, "a name other than \".\" and \"..\", which no URL can have", name)
  }
  return /[\ud800-\udfff]/u.test(name) ? refuse(field, "made of whole characters", name) : name
}

/** A list of items. The first that is not accepted is named by its index. */
export const checkList = <L>(
  field: string,
  accepted: { readonly list: string; readonly item: string },
  list: L,
  isItem: (item: unknown) => boolean
): L => {
  if (!Array.isArray(list)) return refuse(field, accepted.list, list)
  for (const [index, item] of list.entries()) {
    if (!isItem(item)) refuse(`${field}[${index}]`, accepted.item, item)
  }
  return list
}

export const checkOneOf = (field: string, accepted: ReadonlyArray<string>, value: string): void => {
  if (accepted.includes(value)) return
  refuse(field, accepted.map((value) => `"${value}"`).join(" or "), value)
}

export const checkCount = (field: string, value: number, maximum = Number.MAX_SAFE_INTEGER): number =>
  Number.isInteger(value) && value >= 1 && value <= maximum
    ? value
    : refuse(
      field,
      maximum === Number.MAX_SAFE_INTEGER ? "an integer >= 1" : `an integer from 1 to ${maximum}`,
      value
    )

export const checkRate = (field: string, value: number): number =>
  typeof value === "number" && value >= 0 && value <= 1 ? value : refuse(field, "a number from 0 to 1", value)

export const checkAtLeast = (field: string, minimum: number, value: number): number =>
  typeof value === "number" && value >= minimum && value < Infinity
    ? value
    : refuse(field, `a finite number >= ${minimum}`, value)

export const checkDuration = (
  field: string,
  input: Duration.Input,
  options?: { readonly positive?: boolean; readonly finite?: boolean }
): Duration.Duration => {
  const accepted = `a${options?.finite === true ? " finite" : ""} duration ${
    options?.positive === true ? "above" : "of at least"
  } zero such as "5 seconds"`
  const duration = parse(input)
  if (duration === undefined) return refuse(field, accepted, input)
  // Effect takes a NaN for zero.
  if ((typeof input === "object" ? Object.values(input) : [input]).some(Number.isNaN)) {
    return refuse(field, accepted, NaN)
  }
  const millis = Duration.toMillis(duration)
  const ok = (options?.positive === true ? millis > 0 : millis >= 0) && (options?.finite !== true || millis < Infinity)
  return ok ? duration : refuse(field, accepted, typeof input === "object" ? printDuration(duration) : input)
}

const UNITS = ["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds"]

const parse = (input: Duration.Input): Duration.Duration | undefined => {
  try {
    if (Duration.isDuration(input)) return input
    // Effect takes an object without any unit for zero.
    if (typeof input === "object" && !Array.isArray(input)) {
      const keys = Object.keys(input)
      if (keys.length === 0 || !keys.every((key) => UNITS.includes(key))) return undefined
    }
    return Option.getOrUndefined(Duration.fromInput(input))
  } catch {
    return undefined
  }
}
