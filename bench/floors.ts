/** The cheapest ways to do something at the end of a call, and to hold something while it runs, that Effect's API allows. */
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"

const nothing = () => undefined

/** A finalizer that does nothing: no wrapper that sees how a call ends can cost less. */
export const finalizer = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.onExitPrimitive(self, nothing)

let ended = 0

/** Counts the end of a call, with state for each call; there is nothing to release. */
export const counting = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let calls = 1
    return Effect.onExitPrimitive(self, () => {
      ended += calls
      calls = 0
      return undefined
    })
  })

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

/** The same, with an object in place of each `suspend` and its closure. */
export const slotOfObjects = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => new Outer(self)

class Outer<A, E, R> extends Effectable.Class<A, E, R> {
  private readonly self: Effect.Effect<A, E, R>

  constructor(self: Effect.Effect<A, E, R>) {
    super()
    this.self = self
  }

  asEffect(): Effect.Effect<A, E, R> {
    const inner = new Inner(this.self)
    return Effect.onExitPrimitive(inner, () => inner.release())
  }
}

class Inner<A, E, R> extends Effectable.Class<A, E, R> {
  private taken = false
  private readonly self: Effect.Effect<A, E, R>

  constructor(self: Effect.Effect<A, E, R>) {
    super()
    this.self = self
  }

  asEffect(): Effect.Effect<A, E, R> {
    this.taken = true
    inFlight++
    return this.self
  }

  release(): undefined {
    if (this.taken) inFlight--
    return undefined
  }
}
