import * as Schema from "effect/Schema"

/** A duration in milliseconds that may be infinite, which is the string "Infinity" since JSON has no such number. */
export const DurationOrInfinity = Schema.toCodecJson(Schema.DurationFromMillis)
