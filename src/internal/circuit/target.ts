/** What a call can run through: a circuit, the class of one, or a name in the registry. */
import * as Predicate from "effect/Predicate"
import type { CircuitBreaker, Target, TypeId as Id } from "../../CircuitBreaker.ts"
import { isTarget as isTargetOf, type Kind } from "../target.ts"
import { refuse } from "../check.ts"

export const TypeId: Id = "~effect-resilience/CircuitBreaker"

export const isCircuitBreaker = (u: unknown): u is CircuitBreaker => Predicate.hasProperty(u, TypeId)

export const CIRCUIT: Kind<CircuitBreaker> = {
  isValue: isCircuitBreaker,
  accepted: "a circuit, the name or the class of one"
}

export const isTarget = (u: unknown): u is Target => typeof u === "string" || isTargetOf(CIRCUIT, u)

export const checkTarget = <T>(field: string, target: T): T & Target =>
  isTarget(target) ? target : refuse(field, CIRCUIT.accepted, target)
