import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"

/** What a fiber calls to take a step of an effect. */
type Evaluate = (fiber: Fiber.Fiber<unknown, unknown>) => Effect.Effect<unknown, unknown, unknown>

const evaluate: Evaluate = function(this: OneStep<unknown, unknown, unknown>, fiber) {
  return this.step(fiber)
}

const prototype = /* @__PURE__ */ Effectable.Prototype<OneStep<unknown, unknown, unknown>>({
  label: "OneStep",
  evaluate
})

/** The name of that method, which Effect does not export. */
const EVALUATE = Object.keys(prototype).find((key) =>
  (prototype as unknown as Record<string, unknown>)[key] === evaluate
)!

const Base: new<A, E, R>() => Effect.Effect<A, E, R> = /* @__PURE__ */ (() => {
  const Base = function() {}
  Base.prototype = prototype
  return Base as never
})()

/**
 * An effect that is computed from the fiber that runs it.
 *
 * It may take something that `onExitInStep` gives back: a fiber is interrupted
 * between its steps, never within one.
 */
export abstract class OneStep<out A, out E, out R> extends Base<A, E, R> {
  abstract step(fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<A, E, R>
}

/**
 * Puts a finalizer in place and goes on with `self`, in the step that the
 * fiber is taking.
 *
 * Returning `onExitPrimitive` leaves that to the next step, and a fiber that
 * is interrupted before it leaks what this one has taken. The safe way without
 * this is a finalizer first and the taking in a step of its own, for well
 * over half as much again as the finalizer costs.
 */
export const onExitInStep = <A, E, R>(
  fiber: Fiber.Fiber<unknown, unknown>,
  self: Effect.Effect<A, E, R>,
  f: (exit: Exit.Exit<A, E>) => Effect.Effect<void> | undefined
): Effect.Effect<A, E, R> =>
  (Effect.onExitPrimitive(self, f) as unknown as Record<string, Evaluate>)[EVALUATE]!(fiber) as Effect.Effect<A, E, R>

/** Makes an effect take another step than its own. */
export const overrideStep = (self: Effect.Effect<unknown, unknown, unknown>, step: Evaluate): void => {
  Reflect.defineProperty(self, EVALUATE, { value: step, configurable: true })
}
