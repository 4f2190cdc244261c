import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Bulkhead } from "../../Bulkhead.ts"

/** Counts events of calls, if `Telemetry` is provided. */
export interface Recorder {
  readonly onRetry: (operation: string) => void
  readonly onBudgetExhausted: (operation: string) => void
  readonly onTimeout: (operation: string, kind: "call" | "attempt" | "total") => void
  readonly onHedge: (operation: string) => void
  readonly onBulkheadFull: (bulkhead: string) => void
  readonly onTierEnded: (operation: string, tier: string, outcome: "success" | "failure" | "skipped") => void
  readonly watchBulkhead: (bulkhead: Bulkhead) => Effect.Effect<void, never, Scope.Scope>
}

export const Recorder: Context.Reference<Recorder | undefined> = /* @__PURE__ */ Context.Reference<
  Recorder | undefined
>("effect-resilience/Telemetry/Recorder", { defaultValue: () => undefined })

export const recorderOf = (fiber: Fiber.Fiber<unknown, unknown>): Recorder | undefined => fiber.getRef(Recorder)

/** A policy under the name of an operation, unless it has a name. The policy itself may be shared and stays as it is. */
export const inOperation = <P extends { readonly operation: string | undefined }>(operation: string, policy: P): P =>
  policy.operation === undefined ? Object.assign(Object.create(policy), { operation }) : policy
