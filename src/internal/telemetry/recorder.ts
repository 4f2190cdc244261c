import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Bulkhead } from "../../Bulkhead.ts"
import type { RateLimit } from "../../RateLimit.ts"
import type { RetryBudget } from "../../RetryBudget.ts"

/** Counts events of calls, if `Telemetry` is provided. */
export interface Recorder {
  /** When a call with a retry policy has ended, unless it was interrupted. */
  readonly onRetriedCall: (operation: string, kind: RetriedCall) => void
  readonly onRetry: (operation: string) => void
  readonly onBudgetExhausted: (operation: string) => void
  readonly onTimeout: (operation: string, kind: "call" | "attempt" | "total") => void
  readonly onHedge: (operation: string) => void
  readonly onBulkheadFull: (bulkhead: Bulkhead) => void
  readonly onTierEnded: (operation: string, tier: string, outcome: "success" | "failure" | "skipped") => void
  readonly watchBulkhead: (bulkhead: Bulkhead) => Effect.Effect<void, never, Scope.Scope>
  readonly watchRateLimit: (rateLimit: RateLimit<unknown>) => Effect.Effect<void, never, Scope.Scope>
  readonly watchRetryBudget: (name: string, budget: RetryBudget) => Effect.Effect<void, never, Scope.Scope>
}

/** Whether a call succeeded, and whether it took retries. */
export type RetriedCall =
  | "successful_without_retry"
  | "successful_with_retry"
  | "failed_without_retry"
  | "failed_with_retry"

export const Recorder: Context.Reference<Recorder | undefined> = /* @__PURE__ */ Context.Reference<
  Recorder | undefined
>("effect-resilience/Telemetry/Recorder", { defaultValue: () => undefined })

/** Has the recorder of the present fiber, if there is one, watch something for as long as the scope is open. */
export const watchedBy = (
  watch: (recorder: Recorder) => Effect.Effect<void, never, Scope.Scope>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.flatMap(Recorder, (recorder) => recorder === undefined ? Effect.void : watch(recorder))

export const recorderOf = (fiber: Fiber.Fiber<unknown, unknown>): Recorder | undefined => fiber.getRef(Recorder)

/** A policy under the name of an operation, unless it has a name. The policy itself may be shared and stays as it is. */
export const inOperation = <P extends { readonly operation: string | undefined }>(operation: string, policy: P): P =>
  policy.operation === undefined ? Object.assign(Object.create(policy), { operation }) : policy
