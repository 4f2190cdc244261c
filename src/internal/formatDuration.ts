import * as Duration from "effect/Duration"

/** A duration for people: a time that was measured has a tail of nanoseconds that nobody wants to read. */
export const formatDuration = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  if (millis === Infinity) return Duration.format(duration)
  return Duration.format(
    millis >= 1 ? Duration.millis(Math.round(millis)) : Duration.micros(BigInt(Math.round(millis * 1000)))
  )
}
