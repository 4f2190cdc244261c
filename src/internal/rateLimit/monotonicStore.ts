/** A store that counts in monotonic time, so that setting the clock of the machine changes nothing. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as RateLimiter from "effect/persistence/RateLimiter"

export const inMonotonicTime = (
  store: RateLimiter.RateLimiterStore["Service"]
): RateLimiter.RateLimiterStore["Service"] => {
  let wall: Clock.Clock | undefined
  let monotonic!: Clock.Clock
  const run = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.withFiber((fiber) => {
      const clock = fiber.getRef(Clock.Clock)
      if (clock !== wall) {
        wall = clock
        monotonic = monotonicClock(clock)
      }
      return Effect.provideService(effect, Clock.Clock, monotonic)
    })
  return {
    fixedWindow: (options) => run(store.fixedWindow(options)),
    tokenBucket: (options) => run(store.tokenBucket(options)),
    adaptiveConsume: (options) => run(store.adaptiveConsume(options)),
    adaptiveFeedback: (options) => run(store.adaptiveFeedback(options))
  }
}

/** Gives the monotonic time for the time of day. */
const monotonicClock = (clock: Clock.Clock): Clock.Clock => {
  const nanos = () => clock.monotonicTimeNanosUnsafe()
  const millis = () => Math.floor(Number(nanos()) / 1e6)
  return {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: (duration) => clock.sleep(duration)
  }
}
