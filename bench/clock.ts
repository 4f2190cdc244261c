import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** A clock that stands still until it is told to advance, so that no benchmark waits. */
export const makeClock = () => {
  let millis = 1_000_000
  const nanos = () => BigInt(millis) * 1_000_000n
  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: () => millis,
    currentTimeMillis: Effect.sync(() => millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: () => Effect.yieldNow
  }
  return {
    context: Context.make(Clock.Clock, clock) as unknown as Context.Context<never>,
    advance: (by = 10) => {
      millis += by
    }
  }
}
