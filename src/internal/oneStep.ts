import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"

/** The method by which a fiber takes a step of an effect. */
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
 * It may acquire something that `onExitInStep` releases: a fiber is interrupted
 * between its steps, never within one.
 */
export abstract class OneStep<out A, out E, out R> extends Base<A, E, R> {
  abstract step(fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<A, E, R>
}

/**
 * Installs a finalizer and goes on with `self`, in the current step of the
 * fiber.
 *
 * Returning `onExitPrimitive` leaves that to the next step, and a fiber that
 * is interrupted before it leaks what this step has acquired. The safe way
 * without this function is to install the finalizer first and to acquire in a
 * step of its own, which costs well over half as much again.
 */
export const onExitInStep = <A, E, R>(
  fiber: Fiber.Fiber<unknown, unknown>,
  self: Effect.Effect<A, E, R>,
  f: (exit: Exit.Exit<A, E>) => Effect.Effect<void> | undefined
): Effect.Effect<A, E, R> =>
  (Effect.onExitPrimitive(self, f) as unknown as Record<string, Evaluate>)[EVALUATE]!(fiber) as Effect.Effect<A, E, R>

/** Replaces the step of an effect. */
export const overrideStep = (self: Effect.Effect<unknown, unknown, unknown>, step: Evaluate): void => {
  Reflect.defineProperty(self, EVALUATE, { value: step, configurable: true })
}
