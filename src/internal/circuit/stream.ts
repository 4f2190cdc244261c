/** A stream through a circuit. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CallOptions, Permit } from "../../CircuitBreaker.ts"

/** Acquires a permit when the stream starts, and reports with it how the stream ends. */
export const throughPermit = <A, E, R, E2, R2>(
  self: Stream.Stream<A, E, R>,
  acquire: Effect.Effect<Permit, E2, R2>,
  options: CallOptions<never, E> | undefined
): Stream.Stream<A, E | E2, R | Exclude<R2, Scope.Scope>> =>
  Stream.unwrap(Effect.gen(function*() {
    // A scope of its own: the stream this one is a part of may go on long after it.
    const scope = yield* Scope.fork(yield* Effect.scope)
    const permit = yield* Scope.provide(acquire, scope)
    let received = false
    let ended = false
    yield* Scope.addFinalizerExit(scope, (exit) => {
      if (ended) return Effect.void
      if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) {
        return permit.conclude(Exit.failCause(exit.cause), options)
      }
      return received && !Exit.hasInterrupts(exit) ? permit.success : permit.ignore
    })
    return Stream.transformPull(self, (pull) =>
      Effect.succeed(Effect.onExitPrimitive(permit.pull(pull), (exit) => {
        if (Exit.isSuccess(exit)) {
          received = true
          return
        }
        ended = true
        const end = Pull.doneExitFromCause(exit.cause)
        return Effect.ensuring(
          Exit.isSuccess(end) ? permit.success : permit.conclude(Exit.failCause(end.cause), options),
          Scope.close(scope, end)
        )
      })))
  }))
