import * as Duration from "effect/Duration"

/** A duration for people: a time that was measured has a tail of nanoseconds that nobody wants to read. */
export const formatDuration = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  if (millis === Infinity) return Duration.format(duration)
  if (millis > 0 && millis < 1) return `${Math.round(millis * 1000)}µs`
  return Duration.format(Duration.millis(Math.round(millis)))
}
