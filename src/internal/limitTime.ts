import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { setAlarm } from "./alarm.ts"

/**
 * Interrupts a call that takes too long and goes on with `orElse`, which gets
 * the fiber of the call; with `disconnect`, without waiting for the call to let
 * go.
 */
export const limitTime = <A, E, R, A2, E2>(
  self: Effect.Effect<A, E, R>,
  options: {
    readonly duration: Duration.Duration
    readonly disconnect: boolean
    readonly orElse: (call: Fiber.Fiber<A, E>) => Effect.Effect<A2, E2>
  }
): Effect.Effect<A | A2, E | E2, R> => {
  const { disconnect, duration, orElse } = options
  if (!Duration.isFinite(duration)) return self

  const millis = Duration.toMillis(duration)

  // The call needs a fiber of its own, since a part of a fiber cannot be interrupted. The alarm is set when it turns out
  // to wait. Starting and registering how to stop is one step of the caller's fiber, so that nothing is left running
  // wherever it is interrupted.
  return Effect.withFiber((caller) =>
    Effect.callback((resume) => {
      const call = Effect.runForkWith(caller.context as Context.Context<R>)(self)
      const exit = call.pollUnsafe()
      if (exit !== undefined) return resume(exit)

      let timedOut = false
      const cancelAlarm = setAlarm(caller, millis, () => {
        timedOut = true
        call.interruptUnsafe(caller.id)
        if (disconnect) resume(Effect.suspend(() => orElse(call)))
      })
      call.addObserver((exit) => {
        cancelAlarm()
        resume(timedOut ? Effect.suspend(() => orElse(call)) : exit)
      })
      return Effect.suspend(() => {
        cancelAlarm()
        if (!disconnect) return Fiber.interrupt(call)
        call.interruptUnsafe(caller.id)
        return Effect.void
      })
    })
  )
}
