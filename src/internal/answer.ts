import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { CallClassifier } from "../CircuitBreaker.ts"
import type { Outcome } from "../Outcome.ts"
import { ignored, success } from "./outcome.ts"

/**
 * What ends a call at once, on its way out through retry, hedge, circuit and
 * fallback as the value that it is for them: an error that is an answer, or a
 * mistake of the program.
 */
export class Answer<out E> {
  readonly cause: Cause.Cause<E>
  readonly outcome: Outcome
  constructor(cause: Cause.Cause<E>, outcome: Outcome) {
    this.cause = cause
    this.outcome = outcome
  }
}

/** Makes the errors that are answers values. */
export const answering = <A, E, R>(
  call: Effect.Effect<A, E, R>,
  isAnswer: ((error: E) => boolean) | undefined,
  isMistake?: (defect: unknown) => boolean
): Effect.Effect<A | Answer<E>, E, R> =>
  Effect.catchCause(call, (cause): Effect.Effect<Answer<E>, E> => {
    if (
      isMistake !== undefined && cause.reasons.some((reason) => Cause.isDieReason(reason) && isMistake(reason.defect))
    ) {
      return Effect.succeed(new Answer(cause, ignored))
    }
    const error = Cause.findErrorOption(cause)
    // Something that broke beside it is no answer.
    return Option.isSome(error) && !Cause.hasDies(cause) && isAnswer?.(error.value) === true
      ? Effect.succeed(new Answer(cause, success))
      : Effect.failCause(cause)
  })

/** Makes answers the errors they are. */
export const answered = <A, E, R, E2>(call: Effect.Effect<A | Answer<E2>, E, R>): Effect.Effect<A, E | E2, R> =>
  Effect.flatMap(call, (value) => value instanceof Answer ? Effect.failCause(value.cause) : Effect.succeed(value))

/** Leaves what is no answer to another classifier. */
export const classifyAnswer =
  (classify?: CallClassifier<unknown, unknown>): CallClassifier<unknown, unknown> => (exit) =>
    Exit.isSuccess(exit) && exit.value instanceof Answer ? exit.value.outcome : classify?.(exit)
