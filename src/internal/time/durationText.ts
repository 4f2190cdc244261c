/**
 * Durations as text: one grammar for environment variables, the command line,
 * the admin API and everything that is printed.
 *
 *     30           a plain number, in the unit of the place, seconds as a rule
 *     1m 30s       amounts with units, from the largest unit to the smallest
 *     30 seconds   the same with the names of the units
 *     PT1M30S      ISO 8601
 *     Infinity
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/** From the largest to the smallest. */
const UNITS: ReadonlyArray<{ readonly nanos: bigint; readonly names: string }> = [
  { nanos: 604_800_000_000_000n, names: "w week weeks" },
  { nanos: 86_400_000_000_000n, names: "d day days" },
  { nanos: 3_600_000_000_000n, names: "h hr hrs hour hours" },
  { nanos: 60_000_000_000n, names: "m min mins minute minutes" },
  { nanos: 1_000_000_000n, names: "s sec secs second seconds" },
  { nanos: 1_000_000n, names: "ms msec msecs milli millis millisecond milliseconds" },
  { nanos: 1_000n, names: "us µs μs micro micros microsecond microseconds" },
  { nanos: 1n, names: "ns nano nanos nanosecond nanoseconds" }
]

const PLAIN_UNITS = { seconds: 1_000_000_000n, milliseconds: 1_000_000n }

const PLAIN = /^(?:\d+(?:\.\d*)?|\.\d+)$/
const WITH_UNIT = /(\d+(?:\.\d*)?|\.\d+)\s*([a-zµμ]+)\s*/gy

/** No duration is written longer, and none shall cost more. */
const MAX_LENGTH = 100

/** The plain number that a text is, in whatever unit. */
export const parsePlain = (text: string): number | undefined => {
  const given = text.trim()
  return given.length <= MAX_LENGTH && PLAIN.test(given) ? Number(given) : undefined
}

/** The duration that a text is, in any case and with spaces around it. */
export const parseDuration = (
  text: string,
  unitOfPlain: "seconds" | "milliseconds" = "seconds"
): Duration.Duration | undefined => {
  const given = text.trim().toLowerCase()
  if (given.length > MAX_LENGTH) return undefined
  const isNegative = given.startsWith("-")
  const duration = parsePositive(isNegative ? given.slice(1) : given, unitOfPlain)
  return duration === undefined || !isNegative ? duration : Duration.negate(duration)
}

const parsePositive = (text: string, unitOfPlain: "seconds" | "milliseconds"): Duration.Duration | undefined =>
  text === "infinity"
    ? Duration.infinity
    : text.startsWith("p")
    ? Option.getOrUndefined(Duration.fromIso(text.toUpperCase()))
    : PLAIN.test(text)
    ? fromNanos(nanosOf(text, PLAIN_UNITS[unitOfPlain]))
    : parseWithUnits(text)

const parseWithUnits = (text: string): Duration.Duration | undefined => {
  let total = 0n
  let end = 0
  let last = -1
  for (const [match, amount, name] of text.matchAll(WITH_UNIT)) {
    const unit = UNITS.findIndex(({ names }) => names.split(" ").includes(name!))
    // "5m 5m" and "30s 1m" are slips.
    if (unit <= last) return undefined
    last = unit
    end += match.length
    total += nanosOf(amount!, UNITS[unit]!.nanos)
  }
  return end === text.length && last >= 0 ? fromNanos(total) : undefined
}

/** Digit by digit, as 1.001 times 1000 is less than 1001 to a computer. */
const nanosOf = (amount: string, unit: bigint): bigint => {
  const [whole, fraction = ""] = amount.split(".")
  return BigInt(`${whole}${fraction}`) * unit / 10n ** BigInt(fraction.length)
}

const fromNanos = (nanos: bigint): Duration.Duration =>
  nanos % 1_000_000n === 0n ? Duration.millis(Number(nanos / 1_000_000n)) : Duration.nanos(nanos)

/** A duration to the nanosecond, for what somebody has set. */
export const printDuration = (duration: Duration.Duration): string =>
  Duration.format(duration).replace(/(\d+)ns$/, (_, digits: string) => {
    const [micros, nanos] = [Math.floor(Number(digits) / 1000), Number(digits) % 1000]
    return [micros > 0 ? `${micros}µs` : "", nanos > 0 ? `${nanos}ns` : ""].filter((text) => text !== "").join(" ")
  })

/** A duration for people: a time that was measured has a tail of nanoseconds that nobody wants to read. */
export const formatDuration = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  const micros = Math.round(millis * 1000)
  if (millis <= 0 || micros >= 1000) return Duration.format(Duration.millis(Math.round(millis)))
  return micros > 0 ? `${micros}µs` : `${Math.round(millis * 1_000_000)}ns`
}
