/**
 * The JSON of a circuit.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { CircuitBreaker } from "../../CircuitBreaker.ts"
import * as CircuitMetrics from "../../CircuitMetrics.ts"
import type { CircuitPolicy } from "../../CircuitPolicy.ts"
import type { Circuit } from "../AdminApi.ts"

export const toJson = (breaker: CircuitBreaker): Effect.Effect<Circuit> =>
  Effect.zipWith(
    breaker.metrics,
    breaker.policy,
    (metrics, policy) =>
      exact({
        ...CircuitMetrics.toJson(metrics),
        policy: policy.description,
        thresholds: thresholdsOf(policy)
      })
  )

const thresholdsOf = (policy: CircuitPolicy): Circuit["thresholds"] => ({
  failure_count: policy.consecutiveFailures ?? null,
  error_rate: policy.failureRate ?? null,
  slow_call_rate: policy.slowCallRate ?? null,
  slow_call_duration_ms: policy.slowCallDuration === undefined ? null : Duration.toMillis(policy.slowCallDuration),
  minimum_requests: policy.minimumCalls
})

/** Compiles only without a field that the schema lacks, which a spread may add and the encoder would drop. */
const exact = <A extends Circuit>(json: A & Readonly<Record<Exclude<keyof A, keyof Circuit>, never>>): Circuit => json
