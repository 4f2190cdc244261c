/** What a call goes through within its tier: retry, within it the circuit, within it the timeout of an attempt. */
import type * as Effect from "effect/Effect"
import { isCircuitConflictError } from "../../ResilienceError.ts"
import { type Answer, answering } from "../answer.ts"

/** A step of a tier that keeps what a call succeeds with and needs. */
export type Step = <A, R>(call: Effect.Effect<A, unknown, R>) => Effect.Effect<A, unknown, R>

/** The policies of a tier, made from its options. */
export interface TierPipeline {
  /** The circuit, within it the timeout: one attempt. */
  readonly attempt: Step
  /** Repeats an attempt, in the milliseconds that are left of the deadline; absent without retry. */
  readonly retry:
    | (<A, R>(attempt: Effect.Effect<A, unknown, R>, remaining: number) => Effect.Effect<A, unknown, R>)
    | undefined
}

/** Repeats an attempt as its tier has it, in the milliseconds that are left of the deadline. */
export const runAttempts = <A, R>(
  pipeline: TierPipeline,
  attempt: Effect.Effect<A, unknown, R>,
  remaining: number
): Effect.Effect<A, unknown, R> => pipeline.retry === undefined ? attempt : pipeline.retry(attempt, remaining)

/** Makes what ends the tiered call a value, which no step of a tier takes for a failure. */
export const endingCall = <A, E, R>(
  call: Effect.Effect<A, E, R>,
  isAnswer: ((error: E) => boolean) | undefined
): Effect.Effect<A | Answer<E>, E, R> => answering(call, isAnswer, isMistake)

/** A mistake of the program. A `TypeError` with a cause is how `fetch` says that the network failed. */
const isMistake = (defect: unknown): boolean =>
  defect instanceof ReferenceError || defect instanceof RangeError || isCircuitConflictError(defect) ||
  (defect instanceof TypeError && defect.cause === undefined)
