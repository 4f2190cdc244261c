import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { setEnd } from "./alarm.ts"
import { leaveBehind } from "./leftBehind.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>

/**
 * Interrupts a call that takes too long and goes on with `orElse`, which gets
 * the fiber of the call; with `disconnect`, without waiting for its end.
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
  const limited: Effect.Effect<A | A2, E | E2, R> = Effect.withFiber((caller) => {
    if (nesting >= MAX_NESTING) return Effect.andThen(Effect.yieldNow, limited)
    return Effect.callback((resume) => {
      const call = start(caller.context as Context.Context<R>, self)
      const exit = call.pollUnsafe()
      if (exit !== undefined) return resume(exit)

      let timedOut = false
      const cancelAlarm = setEnd(caller, millis, () => {
        timedOut = true
        interrupt(call, caller)
        if (!disconnect) return
        leaveBehind(caller, call)
        resume(Effect.suspend(() => orElse(call)))
      })
      call.addObserver((exit) => {
        cancelAlarm()
        resumeWith(caller, resume, timedOut ? Effect.suspend(() => orElse(call)) : exit)
      })
      return Effect.suspend(() => {
        cancelAlarm()
        const ended = Effect.callback<void>((resume) => {
          call.addObserver(() => resumeWith(caller, resume, Effect.void))
        })
        const stop = Effect.suspend(() => {
          interrupt(call, caller)
          if (!disconnect) return ended
          leaveBehind(caller, call)
          return Effect.void
        })
        return nesting < MAX_NESTING ? stop : Effect.andThen(Effect.yieldNow, stop)
      })
    })
  })
  return limited
}

// -----------------------------------------------------------------------------
// Limits within limits. The fiber of a call starts, ends and is interrupted on the stack of its caller, so that nothing
// waits for a turn of the event loop. Thousands within each other would overflow it, and take a turn now and then.
// -----------------------------------------------------------------------------

const MAX_NESTING = 32

let nesting = 0

const start = <A, E, R>(context: Context.Context<R>, self: Effect.Effect<A, E, R>): Fiber.Fiber<A, E> => {
  nesting++
  try {
    return Effect.runForkWith(context)(self)
  } finally {
    nesting--
  }
}

const resumeWith = <A, E>(
  caller: AnyFiber,
  resume: (effect: Effect.Effect<A, E>) => void,
  effect: Effect.Effect<A, E>
): void => {
  if (nesting >= MAX_NESTING) return caller.currentDispatcher.scheduleTask(() => resume(effect), 0)
  nesting++
  try {
    resume(effect)
  } finally {
    nesting--
  }
}

const interrupt = (call: AnyFiber, caller: AnyFiber): void => {
  const { stackFrame } = caller.cache
  nesting++
  try {
    call.interruptUnsafe(
      caller.id,
      stackFrame === undefined ? undefined : Context.make(Cause.InterruptorStackTrace, stackFrame)
    )
  } finally {
    nesting--
  }
}
