/**
 * Finds circuits of the registry and gives them as JSON.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { CircuitBreaker } from "../../CircuitBreaker.ts"
import * as CircuitMetrics from "../../CircuitMetrics.ts"
import { findCircuit } from "../../internal/registry/inside.ts"
import { type Circuit, CircuitNotFoundError } from "../AdminApi.ts"
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

export const toJson = (breaker: CircuitBreaker): Effect.Effect<Circuit> =>
  Effect.zipWith(breaker.metrics, breaker.policy, (metrics, policy) => ({
    ...CircuitMetrics.toJson(metrics),
    policy: policy.description,
    thresholds: {
      failure_count: policy.consecutiveFailures ?? null,
      error_rate: policy.failureRate ?? null,
      slow_call_rate: policy.slowCallRate ?? null,
      slow_call_duration_ms: policy.slowCallDuration === undefined ? null : Duration.toMillis(policy.slowCallDuration),
      minimum_requests: policy.minimumCalls
    }
  }))

/** The circuits of these names that the registry has. */
export const findAll = ({ registry }: Resources, names: ReadonlyArray<string>) =>
  Effect.sync(() =>
    names.flatMap((name) => {
      const breaker = findCircuit(registry, name)
      return breaker === undefined ? [] : [breaker]
    })
  )
