/** What Effect itself takes to do something at the end of a call, and to hold something while it runs. */
import * as Effect from "effect/Effect"

const nothing = () => undefined

/** A finalizer that does nothing: no wrapper that sees how a call ends can cost less. */
export const finalizer = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.onExitPrimitive(self, nothing)

let inFlight = 0

/** Takes a slot and gives it back wherever the fiber is interrupted: the finalizer is there before the slot is taken. */
export const slot = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let taken = false
    return Effect.onExitPrimitive(
      Effect.suspend(() => {
        taken = true
        inFlight++
        return self
      }),
      () => {
        if (taken) inFlight--
        return undefined
      }
    )
  })
