/**
 * The kinds of values that variables have: how each is decoded, and what it
 * accepts, in words.
 */
import * as Duration from "effect/Duration"
import type { Unit, Value } from "../../Environment.ts"
import { formatDuration, parseDuration, parsePlain, printDuration } from "../time/durationText.ts"

export interface Kind<out A extends Value> {
  readonly accepts: string
  readonly unit: Unit | undefined
  /** Takes trimmed text in small letters. */
  readonly decode: (text: string) => A | undefined
  /** Says of a text that is not accepted what is likely to be wrong with it. */
  readonly explain?: ((text: string) => string | undefined) | undefined
}

const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/

export const between = (minimum: number, maximum: number, integer: boolean): Kind<number> => ({
  accepts: `${integer ? "an integer" : "a number"} from ${minimum} to ${maximum}`,
  unit: undefined,
  decode: (text) => {
    const number = NUMBER.test(text) ? Number(text) : NaN
    return number >= minimum && number <= maximum && (!integer || Number.isInteger(number)) ? number : undefined
  }
})

export const count = (maximum: number) => between(1, maximum, true)

export const rate = /* @__PURE__ */ between(0, 1, false)

export const factor = /* @__PURE__ */ between(1, 100, false)

/** A time in milliseconds: the name of its variable says so. */
export const milliseconds = (minimum: number, maximum: number, example: string): Kind<Duration.Duration> => ({
  accepts: `a number of milliseconds from ${minimum} to ${maximum}, or a duration such as "${example}"`,
  unit: "milliseconds",
  decode: (text) => {
    const duration = parseDuration(text, "milliseconds")
    const millis = duration === undefined ? NaN : Duration.toMillis(duration)
    return millis >= minimum && millis <= maximum ? duration : undefined
  }
})

/**
 * A time in seconds. Other libraries take milliseconds under such names, so a
 * number that is hardly meant as seconds needs its unit.
 */
export const seconds = (
  minimum: number,
  { longest, plain }: { readonly plain: number; readonly longest: Duration.Duration },
  example: string
): Kind<Duration.Duration> => {
  const isAccepted = (duration: Duration.Duration) =>
    Duration.toSeconds(duration) >= minimum && Duration.isLessThanOrEqualTo(duration, longest)
  return {
    accepts: `a number of seconds from ${minimum} to ${plain}, or a duration up to ${
      printDuration(longest)
    } such as "${example}"`,
    unit: "seconds",
    decode: (text) => {
      const duration = parseDuration(text)
      const number = parsePlain(text)
      return duration !== undefined && isAccepted(duration) && (number === undefined || number <= plain)
        ? duration
        : undefined
    },
    explain: (text) => {
      const number = parsePlain(text)
      if (number === undefined || number <= plain) return undefined
      const [asSeconds, asMillis] = [Duration.seconds(number), Duration.millis(number)]
      if (!isAccepted(asMillis)) return undefined
      const told = `is ${formatDuration(asSeconds)} in seconds`
      const instead = `write "${printDuration(asMillis)}" if milliseconds were meant`
      return isAccepted(asSeconds)
        ? `${told}; ${instead}, or "${number}s"`
        : `${told}, at most ${printDuration(longest)} is accepted; ${instead}`
    }
  }
}

export const HOUR = 3600

export const upToHour = { plain: 600, longest: /* @__PURE__ */ Duration.hours(1) }
export const upToDay = { plain: HOUR, longest: /* @__PURE__ */ Duration.days(1) }

/** Those of `Config.Boolean`. */
const TRUE = ["true", "yes", "on", "1", "y"]
const FALSE = ["false", "no", "off", "0", "n"]

export const flag: Kind<boolean> = {
  accepts: "true, yes, on or 1, or else false, no, off or 0",
  unit: undefined,
  decode: (text) => TRUE.includes(text) ? true : FALSE.includes(text) ? false : undefined
}

export const orOff = <A extends Value>(kind: Kind<A>): Kind<A | "off"> => ({
  ...kind,
  accepts: `${kind.accepts}, or "off"`,
  decode: (text) => text === "off" ? text : kind.decode(text)
})

/** How to write a value in a variable. */
export const encode = (value: Value, unit: Unit | undefined): string =>
  Duration.isDuration(value)
    ? String(unit === "milliseconds" ? Duration.toMillis(value) : Duration.toSeconds(value))
    : String(value)
