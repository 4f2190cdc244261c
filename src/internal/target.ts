/**
 * How a combinator finds what a call runs through: it is given a value, or the
 * key of a service that is one, such as the class that `Service` returns.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { refuse } from "./check.ts"
import { getService } from "./serviceNames.ts"

export type Target<S extends object, I = unknown> = S | Context.Key<I, S>

/** What can be a target of one combinator. */
export interface Kind<S extends object> {
  readonly isValue: (u: unknown) => u is S
  /** What is accepted, for the error of what is not. */
  readonly accepted: string
}

export const isTarget = <S extends object>(kind: Kind<S>, u: unknown): u is Target<S> =>
  kind.isValue(u) || Context.isKey(u)

/**
 * Whether a combinator was called with the effect first. The class of a service
 * is an effect too, so the second argument tells.
 */
export const isDataFirst = (isTarget: (u: unknown) => boolean, args: ArrayLike<unknown>): boolean =>
  args.length > 1 && (isTarget(args[1]) || (Effect.isEffect(args[0]) && !isTarget(args[0])))

export const checkTarget = <S extends object, T>(kind: Kind<S>, field: string, target: T): T & Target<S> =>
  isTarget(kind, target) ? target : refuse(field, kind.accepted, target)

/** What a target stands for where a call runs. */
export const findTarget = <S extends object>(
  kind: Kind<S>,
  context: Context.Context<never>,
  target: Target<S>
): S => kind.isValue(target) ? target : getService(context, target)
