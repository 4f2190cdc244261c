/**
 * The configuration that circuits follow, and where each value comes from.
 *
 * A circuit only has a policy. What made it so is found by comparing: with the
 * variables of the circuit first, then with what the environment says of all
 * circuits, the library's defaults and the presets.
 */
import type * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as CircuitPolicy from "../CircuitPolicy.ts"
import * as Environment from "../Environment.ts"
import type { CircuitSettings, Setting } from "./adminApi.ts"

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
  Effect.gen(function*() {
    const bare = yield* withoutEnvironment(policies)
    const ofPresets = yield* withoutEnvironment(Object.entries(presets))
    const { problems, said } = yield* Environment.load({ circuits: Object.fromEntries(policies) }).pipe(
      Effect.map((environment) => ({ said: byCircuit(environment.settings), problems: [] })),
      Effect.catch((error) => Effect.succeed({ said: bare, problems: problemsOf(error) }))
    )
    const ofAll = said.get(undefined)!
    const bases: ReadonlyArray<Base> = [
      { preset: null, settings: ofAll, sourceOf: (key) => sourceOf(ofAll.get(key)!) },
      { preset: null, settings: bare.get(undefined)!, sourceOf: () => "default" },
      ...Object.keys(presets).map((preset): Base => ({
        preset,
        settings: ofPresets.get(preset)!,
        sourceOf: () => "preset"
      }))
    ]
    return {
      settings: Array.from(ofAll.values(), (setting) => toJson(setting, sourceOf(setting))),
      circuits: policies.map(([circuit, policy]) =>
        settingsOf(circuit, policy, { bare: bare.get(circuit)!, said: said.get(circuit)!, bases })
      ),
      problems
    }
  })

type Settings = ReadonlyMap<string, Environment.Setting>

/** What a policy may have been made from. */
interface Base {
  readonly preset: string | null
  readonly settings: Settings
  readonly sourceOf: (key: string) => Setting["source"]
}

const settingsOf = (
  circuit: string,
  policy: CircuitPolicy.CircuitPolicy,
  { bare, bases, said }: { readonly bare: Settings; readonly said: Settings; readonly bases: ReadonlyArray<Base> }
): CircuitSettings => {
  // A variable that the policy does not follow, as the registry did not read it or an operator changed it, is none.
  const read = new Map(
    Array.from(said).filter(([key, setting]) =>
      setting.source === "Variable" && (!isOfPolicy(bare.get(key)!) || isSame(setting.value, bare.get(key)!.value))
    )
  )
  const others = Array.from(bare).filter(([key, setting]) => !read.has(key) && isOfPolicy(setting))
  const base = bases.find(({ settings }) => others.every(([key, { value }]) => isSame(settings.get(key)!.value, value)))
  return {
    circuit,
    policy: CircuitPolicy.describe(policy),
    preset: base?.preset ?? null,
    settings: Array.from(bare, ([key, setting]) => {
      const variable = read.get(key)
      if (variable !== undefined) return toJson(variable, "variable")
      if (!isOfPolicy(setting)) return toJson(setting, "default")
      const source = base?.sourceOf(key) ?? "policy"
      return toJson(source === "variable" ? base!.settings.get(key)! : setting, source)
    })
  }
}

/** The attempt timeout and the switch are not in a policy. */
const isOfPolicy = ({ key }: Environment.Setting): boolean => key !== "REQUEST_TIMEOUT_SECONDS" && key !== "ENABLED"

const isSame = (self: Environment.Value, that: Environment.Value): boolean =>
  Duration.isDuration(self) && Duration.isDuration(that) ? Duration.equals(self, that) : self === that

const sourceOf = ({ source }: Environment.Setting): Setting["source"] => source === "Variable" ? "variable" : "default"

const byCircuit = (settings: ReadonlyArray<Environment.Setting>): ReadonlyMap<string | undefined, Settings> => {
  const circuits = new Map<string | undefined, Map<string, Environment.Setting>>()
  for (const setting of settings) {
    const of = circuits.get(setting.circuit) ?? new Map<string, Environment.Setting>()
    circuits.set(setting.circuit, of.set(setting.key, setting))
  }
  return circuits
}

const withoutEnvironment = (policies: Policies) =>
  Environment.load({ circuits: Object.fromEntries(policies) }).pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({})),
    Effect.orDie,
    Effect.map(({ settings }) => byCircuit(settings))
  )

const problemsOf = ({ cause }: Config.ConfigError): ReadonlyArray<string> => cause.message.split("\n")

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
