import type * as Clock from "effect/Clock"

export const nanosToMillis = (nanos: bigint): number => Number(nanos) / 1e6

export const monotonicMillis = (clock: Clock.Clock): number => nanosToMillis(clock.monotonicTimeNanosUnsafe())
