/**
 * @since 0.1.0
 */
export * as CircuitBreaker from "./CircuitBreaker.ts"
export * as CircuitBreakerRegistry from "./CircuitBreakerRegistry.ts"
export * as CircuitEvent from "./CircuitEvent.ts"
export * as CircuitMetrics from "./CircuitMetrics.ts"
export * as CircuitPolicy from "./CircuitPolicy.ts"
export * as Outcome from "./Outcome.ts"
export * as ResilienceError from "./ResilienceError.ts"
export * as Retry from "./Retry.ts"
export * as RetryBudget from "./RetryBudget.ts"
export * as Tiers from "./Tiers.ts"
export * as Timeout from "./Timeout.ts"
