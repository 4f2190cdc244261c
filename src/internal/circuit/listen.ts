/** Listeners to one kind of a circuit's events. */
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Scope from "effect/Scope"
import type { AddListener, CircuitBreaker } from "../../CircuitBreaker.ts"
import type { CircuitEvent } from "../../CircuitEvent.ts"
import { refuse } from "../check.ts"
import { isCircuitBreaker } from "./target.ts"

/** A combinator that adds a listener to the events of one kind that satisfy the predicate. */
export const listenTo = <Tag extends CircuitEvent["_tag"]>(
  caller: string,
  tag: Tag,
  isWanted: (event: Extract<CircuitEvent, { readonly _tag: Tag }>) => boolean
): AddListener<Extract<CircuitEvent, { readonly _tag: Tag }>> =>
  dual(2, <E, R>(
    self: CircuitBreaker<never>,
    listener: (event: Extract<CircuitEvent, { readonly _tag: Tag }>) => Effect.Effect<void, E, R>
  ): Effect.Effect<void, never, R | Scope.Scope> => {
    if (!isCircuitBreaker(self)) refuse(`${caller}: circuit`, "a circuit", self)
    if (typeof listener !== "function") {
      refuse(`${caller}: listener`, "a function that returns an effect", listener)
    }
    return self.on(tag, (event) => isWanted(event) ? listener(event) : Effect.void)
  })
