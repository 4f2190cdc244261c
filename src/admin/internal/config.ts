/**
 * The configuration that circuits follow, and where each value comes from.
 */
import * as Effect from "effect/Effect"
import type { CircuitPolicy } from "../../CircuitPolicy.ts"
import { policyInCode } from "../../internal/environment/fit.ts"
import { codeOf, inspect, toInspection } from "../../internal/environment/inspect.ts"
import { report } from "../../internal/environment/report.ts"
import type { Configuration } from "../AdminApi.ts"

/** A circuit, and the policy it follows now. */
export type Policies = ReadonlyArray<readonly [circuit: string, policy: CircuitPolicy]>

export const effectiveConfig = (
  policies: Policies
): Effect.Effect<Pick<Configuration, "settings" | "circuits" | "problems">> => {
  const circuits = Object.fromEntries(policies.map(([circuit, policy]) => [circuit, policyInCode(policy)]))
  // Other circuits may come.
  return Effect.map(inspect(codeOf("Admin", { circuits }, false)), (inspected) => {
    const { environment, problems } = toInspection(inspected)
    return { ...report(environment, policies), problems }
  })
}
