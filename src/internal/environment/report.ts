/**
 * The configuration for people and tools: each setting that circuits follow,
 * with where it comes from.
 */
import * as Duration from "effect/Duration"
import type { CircuitPolicy } from "../../CircuitPolicy.ts"
import type { Environment, Setting, Unit, Value } from "../../Environment.ts"
import { presetOf } from "../circuit/policy.ts"
import { settingOf } from "./fit.ts"
import { variableOf, variables } from "./names.ts"

/** A setting as JSON. */
interface Shown {
  readonly key: string
  readonly value: number | boolean | string
  readonly unit: Unit | null
  readonly source: "default" | "preset" | "policy" | "variable"
  readonly variable: string
}

interface ShownCircuit {
  readonly circuit: string
  readonly policy: string
  readonly preset: string | null
  readonly settings: ReadonlyArray<Shown>
}

/** What the variables set of all circuits and of calls, and what each of `circuits` follows. */
export const report = (
  { settings }: Environment,
  circuits: Iterable<readonly [circuit: string, policy: CircuitPolicy]>
): { readonly settings: ReadonlyArray<Shown>; readonly circuits: ReadonlyArray<ShownCircuit> } => {
  const byCircuit = new Map<string | undefined, Array<Setting>>()
  for (const setting of settings) {
    const others = byCircuit.get(setting.circuit)
    if (others === undefined) byCircuit.set(setting.circuit, [setting])
    else others.push(setting)
  }
  const of = (circuit: string | undefined) => byCircuit.get(circuit) ?? []
  return {
    settings: of(undefined).map((setting) => show(setting, null)),
    circuits: Array.from(circuits, ([circuit, policy]) => {
      const preset = presetOf(policy) ?? null
      return {
        circuit,
        policy: policy.description,
        preset,
        settings: of(circuit).map((setting) => show(inForce(setting, circuit, policy), preset))
      }
    })
  }
}

/**
 * A setting of a circuit as its policy has it. That is not what the variables
 * set if the registry does not read them, or was given another policy since.
 */
const inForce = (setting: Setting, circuit: string, policy: CircuitPolicy): Setting => {
  const own = settingOf(policy, setting.key)
  if (own === undefined) return setting
  const { source, value } = own
  // Circuits without variables of their own may share a policy.
  const variable = source === "Variable" ? own.variable : variableOf(setting.key, circuit)
  return { ...setting, value, source, variable }
}

const SOURCES = { Default: "default", Policy: "policy", Variable: "variable" } as const

const units = new Map(variables.map(({ key, unit }) => [key, unit]))

const show = ({ key, source, value, variable }: Setting, preset: string | null): Shown => ({
  key,
  ...showValue(value, units.get(key)),
  source: source === "Policy" && preset !== null ? "preset" : SOURCES[source],
  variable
})

const showValue = (value: Value, unit: Unit | undefined): Pick<Shown, "value" | "unit"> =>
  !Duration.isDuration(value)
    ? { value, unit: null }
    : !Duration.isFinite(value)
    ? { value: "infinite", unit: null }
    : unit === "seconds"
    ? { value: Duration.toSeconds(value), unit }
    : { value: Duration.toMillis(value), unit: "milliseconds" }
