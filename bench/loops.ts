/**
 * Calls in a row, as a program makes them: `yield*` in a generator, `await` in
 * an async function. What protects a call is built anew for each call unless a
 * case says "built once".
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { Run } from "./measure.ts"

/** Makes calls in one fiber. */
export const inFiber = <A, E, R = never>(
  call: () => Effect.Effect<A, E, R>,
  context: Context.Context<R> = Context.empty() as Context.Context<R>
): Run =>
(calls) =>
  Effect.runPromise(Effect.provideContext(
    Effect.gen(function*() {
      for (let i = 0; i < calls; i++) yield* call()
    }),
    context
  ))

/** Makes calls that fail, and looks at how. */
export const failing = <A, E, R = never>(
  call: () => Effect.Effect<A, E, R>,
  context?: Context.Context<R>
): Run => inFiber(() => Effect.exit(call()), context)

/** Makes calls in so many fibers at once. Each is let in by the call, yields, and goes on when the others have. */
export const inFibers = <A, E>(fibers: number, call: () => Effect.Effect<A, E>): Run => (calls) =>
  Effect.runPromise(Effect.all(
    Array.from({ length: fibers }, () =>
      Effect.gen(function*() {
        for (let i = 0; i < calls / fibers; i++) yield* call()
      })),
    { concurrency: "unbounded", discard: true }
  ))

/** Makes calls with `await`. */
export const inAsync = (call: () => Promise<unknown>): Run => async (calls) => {
  for (let i = 0; i < calls; i++) await call()
}

/** Makes calls that reject, and catches them. */
export const rejecting = (call: () => Promise<unknown>): Run => async (calls) => {
  for (let i = 0; i < calls; i++) {
    try {
      await call()
    } catch {
      // It is the cost of this that is measured.
    }
  }
}

/** Lives as long as the process. */
const scope = Scope.makeUnsafe()

export const acquire = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  Effect.runPromise(Scope.provide(effect, scope))

export const build = <A, E>(layer: Layer.Layer<A, E>): Promise<Context.Context<A>> =>
  Effect.runPromise(Layer.buildWithScope(layer, scope))

// -----------------------------------------------------------------------------
// the calls that are protected
// -----------------------------------------------------------------------------

export const sync = Effect.sync(() => 1)
export const promise = Effect.promise(() => Promise.resolve(1))
export const yielding = Effect.as(Effect.yieldNow, 1)
export const failed = Effect.fail("unavailable")

export const asyncCall = async () => 1
const error = new Error("unavailable")
export const asyncFailure = async (): Promise<number> => {
  throw error
}
