/**
 * Finds circuits of the registry.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { findCircuit } from "../../internal/registry/inside.ts"
import { CircuitNotFoundError } from "../AdminApi.ts"
import { quote } from "./guard.ts"
import type { Resources } from "./resources.ts"

/** The entries of a list whose request has no limit. */
export const DEFAULT_LIMIT = 100

const notFound = (circuit: string) =>
  new CircuitNotFoundError({ circuit, message: `there is no circuit ${quote(circuit)}` })

export const find = ({ registry }: Resources, name: string) =>
  Effect.flatMap(
    registry.get(name),
    (breaker) => Option.isSome(breaker) ? Effect.succeed(breaker.value) : Effect.fail(notFound(name))
  )

/** The circuits of these names that the registry has. */
export const findAll = ({ registry }: Resources, names: ReadonlyArray<string>) =>
  Effect.sync(() =>
    names.flatMap((name) => {
      const breaker = findCircuit(registry, name)
      return breaker === undefined ? [] : [breaker]
    })
  )
