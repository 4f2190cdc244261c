import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { isTimeout } from "../error/insideError.ts"
import { isNotMade } from "../error/notMade.ts"

/** Counts the attempts of the pipeline that runs. */
const Attempts = /* @__PURE__ */ Context.Reference<{ count: number }>("effect-resilience/spans/Attempts", {
  defaultValue: () => ({ count: 0 })
})

// Attributes are bounded: none is made from arguments, messages or results.
const span = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  name: string,
  attributes: Record<string, unknown>,
  outcomeOf: (exit: Exit.Exit<unknown, unknown>) => string
): Effect.Effect<A, E, R> =>
  Effect.withSpan(
    Effect.onExit(self, (exit) => Effect.annotateCurrentSpan("resilience.outcome", outcomeOf(exit))),
    name,
    // A stack would show the inside of this package.
    { attributes, captureStackTrace: false }
  ) as Effect.Effect<A, E, R>

/** A span for a call with all its attempts. */
export const callSpan = <A, E, R>(self: Effect.Effect<A, E, R>, name: string): Effect.Effect<A, E, R> =>
  Effect.suspend(() =>
    Effect.provideService(span(self, name, { "resilience.pipeline": name }, outcome), Attempts, { count: 0 })
  )

/** A span for one attempt of a call that has a span. */
export const attemptSpan = <A, E, R>(self: Effect.Effect<A, E, R>, name: string): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) =>
    span(self, `${name} attempt`, {
      "resilience.pipeline": name,
      "resilience.attempt": ++fiber.getRef(Attempts).count
    }, outcome)
  )

/** A span for a call of all tiers. */
export const tieredSpan = <A, E, R>(self: Effect.Effect<A, E, R>, operation: string): Effect.Effect<A, E, R> =>
  span(self, operation, { "resilience.operation": operation }, outcome)

/** A span for the call of one tier. */
export const tierSpan = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  operation: string,
  tier: string,
  isSkipped: (cause: Cause.Cause<unknown>) => boolean
): Effect.Effect<A, E, R> =>
  span(
    self,
    `${operation} ${tier}`,
    { "resilience.operation": operation, "resilience.tier": tier },
    (exit) => Exit.isFailure(exit) && isSkipped(exit.cause) ? "skipped" : outcome(exit)
  )

const outcome = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return "success"
  if (Cause.hasInterruptsOnly(exit.cause)) return "interrupted"
  if (Cause.hasDies(exit.cause)) return "defect"
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  return isNotMade(error) ? "rejected" : isTimeout(error) ? "timeout" : "failure"
}
