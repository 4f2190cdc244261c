/**
 * The configuration that circuits follow, and where each value comes from.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as CircuitPolicy from "../../CircuitPolicy.ts"
import * as Environment from "../../Environment.ts"
import type { CircuitSettings, Setting } from "../AdminApi.ts"

export interface EffectiveConfig {
  readonly settings: ReadonlyArray<Setting>
  readonly circuits: ReadonlyArray<CircuitSettings>
  readonly problems: ReadonlyArray<string>
}

/** A circuit, and the policy it follows now. */
export type Policies = ReadonlyArray<readonly [circuit: string, policy: CircuitPolicy.CircuitPolicy]>

export const presets = {
  fastFail: CircuitPolicy.fastFail,
  resilient: CircuitPolicy.resilient,
  aggressive: CircuitPolicy.aggressive,
  conservative: CircuitPolicy.conservative,
  production: CircuitPolicy.production,
  database: CircuitPolicy.database,
  kafka: CircuitPolicy.kafka
}

export const effectiveConfig = (policies: Policies): Effect.Effect<EffectiveConfig> =>
  Effect.map(
    Environment.inspectLiving({
      circuits: Object.fromEntries(policies.map(([circuit, policy]) => [circuit, Environment.policyInCode(policy)]))
    }),
    ({ environment, problems }) => {
      const said = byCircuit(environment.settings)
      const ofAll = said.get(undefined)!
      return {
        settings: Array.from(ofAll.values(), (setting) => toJson(setting, SOURCES[setting.source])),
        circuits: policies.map(([circuit, policy]) => settingsOf(circuit, policy, said.get(circuit)!, ofAll)),
        problems
      }
    }
  )

type Settings = ReadonlyMap<string, Environment.Setting>

const SOURCES = { Default: "default", Policy: "policy", Variable: "variable" } as const

const settingsOf = (
  circuit: string,
  policy: CircuitPolicy.CircuitPolicy,
  said: Settings,
  ofAll: Settings
): CircuitSettings => {
  const values = Environment.valuesOf(policy)
  const settings = Array.from(said.values(), (setting) => explain(setting, values.get(setting.key), policy, ofAll))
  const ofCode = settings.filter(({ source }) => source !== "Variable")
  const preset = presetOf(ofCode)
  return {
    circuit,
    policy: policy.description,
    preset,
    settings: settings.map((setting) =>
      toJson(setting, setting.source === "Policy" && preset !== null ? "preset" : SOURCES[setting.source])
    )
  }
}

/**
 * The setting with the value that the circuit follows. That is not what the
 * environment says if the registry does not read it, has a default policy, or
 * was told otherwise by an operator.
 */
const explain = (
  said: Environment.Setting,
  value: Environment.Value | undefined,
  policy: CircuitPolicy.CircuitPolicy,
  ofAll: Settings
): Environment.Setting => {
  const { circuit, key } = said
  const global = ofAll.get(key)!
  // The attempt timeout and the switch are not in a policy.
  if (value === undefined || Environment.isSameValue(said.value, value)) return said
  if (global.source === "Variable" && Environment.isSameValue(global.value, value)) return { ...global, circuit }
  const variable = Environment.variableOf(key, circuit!)
  return {
    key,
    circuit,
    value,
    source: Environment.isNamed(key, Environment.policyInCode(policy)) ? "Policy" : "Default",
    variable
  }
}

/** The preset that code has named, if these are its values. */
const presetOf = (settings: ReadonlyArray<Environment.Setting>): string | null => {
  if (!settings.some(({ source }) => source === "Policy")) return null
  const found = Object.entries(presets).find(([, preset]) => {
    const values = Environment.valuesOf(preset)
    return settings.every(({ key, value }) => !values.has(key) || Environment.isSameValue(values.get(key)!, value))
  })
  return found?.[0] ?? null
}

const byCircuit = (settings: ReadonlyArray<Environment.Setting>): ReadonlyMap<string | undefined, Settings> => {
  const circuits = new Map<string | undefined, Map<string, Environment.Setting>>()
  for (const setting of settings) {
    const of = circuits.get(setting.circuit) ?? new Map<string, Environment.Setting>()
    circuits.set(setting.circuit, of.set(setting.key, setting))
  }
  return circuits
}

const units = new Map(Environment.variables.map(({ key, unit }) => [key, unit]))

export const toJson = ({ key, value, variable }: Environment.Setting, source: Setting["source"]): Setting => {
  if (!Duration.isDuration(value)) return { key, value, unit: null, source, variable }
  if (!Duration.isFinite(value)) return { key, value: "infinite", unit: null, source, variable }
  const unit = units.get(key)!
  return {
    key,
    value: unit === "seconds" ? Duration.toSeconds(value) : Duration.toMillis(value),
    unit,
    source,
    variable
  }
}
