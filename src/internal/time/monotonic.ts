import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

export const nanosToMillis = (nanos: bigint): number => Number(nanos) / 1e6

export const monotonicMillis = (clock: Clock.Clock): number => nanosToMillis(clock.monotonicTimeNanosUnsafe())

/** The time of the fiber's clock, in monotonic milliseconds. */
export const nowMillis: Effect.Effect<number> = /* @__PURE__ */ Effect.map(Clock.Clock, monotonicMillis)
