/**
 * `config`: every setting with its value and source, and every mistake.
 */
import type * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Admin from "../../admin/Admin.ts"
import type * as AdminApi from "../../admin/AdminApi.ts"
import * as CircuitBreakerRegistry from "../../CircuitBreakerRegistry.ts"
import * as CircuitPolicy from "../../CircuitPolicy.ts"
import * as Environment from "../../Environment.ts"
import { report } from "../../internal/environment/report.ts"
import type { CommandError } from "../CommandError.ts"
import { checkUrl, variable } from "./client.ts"
import { count } from "../../internal/words.ts"
import * as Text from "./text.ts"
import { printDuration } from "../../internal/time/durationText.ts"

export type Preset = keyof typeof CircuitPolicy.presets

export const isPreset = (name: string): name is Preset => Object.hasOwn(CircuitPolicy.presets, name)

/** A circuit that the code names, and the preset it gives it. */
export interface Declared {
  readonly name: string
  readonly preset: Preset | undefined
}

/** The configuration in force, here or in a running program. */
export interface Report {
  readonly settings: ReadonlyArray<AdminApi.Setting>
  readonly circuits: ReadonlyArray<AdminApi.CircuitSettings>
  readonly problems: ReadonlyArray<string>
}

// -----------------------------------------------------------------------------
// the environment
// -----------------------------------------------------------------------------

export const inspect = Effect.fnUntraced(function*(
  declared: ReadonlyArray<Declared>
): Effect.fn.Return<Report, CommandError> {
  const { environment, problems } = yield* Environment.inspect({
    circuits: Object.fromEntries(
      declared.map(({ name, preset }) => [name, preset === undefined ? undefined : CircuitPolicy.presets[preset]])
    )
  })
  const circuits = new Set(environment.settings.flatMap(({ circuit }) => circuit ?? []))
  return {
    ...report(environment, Array.from(circuits, (circuit) => [circuit, environment.circuitPolicy(circuit)])),
    problems: [...problems, ...yield* problemsOfAdmin]
  }
})

/** One a line, and what follows indented belongs to the line above. */
const problemsOf = ({ cause }: Config.ConfigError): ReadonlyArray<string> =>
  cause.message.split(/\n(?!\s)/).map((problem) => problem.replace(/\s*\n\s*/g, " "))

// -----------------------------------------------------------------------------
// the environment of the admin API
// -----------------------------------------------------------------------------

const ofServer = ["TOKEN", "HOST", "PORT", "CHANGES", "READ_ACCESS", "ALLOWED_HOSTS"].map((key) =>
  `RESILIENCE_ADMIN_${key}`
)

/** What the admin API would refuse to start with. A program that does not have it sets none of its variables. */
const problemsOfAdmin = Effect.gen(function*() {
  const problems: Array<string> = []
  const url = yield* variable("RESILIENCE_ADMIN_URL")
  if (Option.isSome(url)) {
    const checked = yield* Effect.result(checkUrl("RESILIENCE_ADMIN_URL", url.value))
    if (Result.isFailure(checked)) problems.push(checked.failure.message)
  }
  const isSet = yield* Effect.forEach(ofServer, (name) => Effect.map(variable(name), Option.isSome))
  if (!isSet.includes(true)) return problems
  const server = Layer.build(
    Admin.layerConfig().pipe(Layer.provide([HttpRouter.layer, CircuitBreakerRegistry.layer()]))
  )
  for (const check of [Effect.asVoid(Effect.scoped(server)), Effect.asVoid(Admin.listen)]) {
    const checked = yield* Effect.result(check)
    if (Result.isFailure(checked)) problems.push(...problemsOf(checked.failure))
  }
  return Array.from(new Set(problems))
})

/** The variables of the admin API that are set. Tokens are never shown, nor what may hold a password. */
export const adminSettings = Effect.forEach(
  ["RESILIENCE_ADMIN_URL", ...ofServer],
  (name) =>
    Effect.map(
      variable(name),
      Option.map((text) => ({
        name,
        value: name.endsWith("_TOKEN") ? "set" : /[@?]/.test(text) ? "set, not shown" : text
      }))
    )
).pipe(Effect.map((settings) => settings.flatMap(Option.toArray)))

// -----------------------------------------------------------------------------
// text
// -----------------------------------------------------------------------------

/** The value as it can be set. */
export const valueOf = ({ unit, value }: AdminApi.Setting): string =>
  unit === null || typeof value !== "number"
    ? Text.clean(String(value))
    : printDuration(unit === "seconds" ? Duration.seconds(value) : Duration.millis(value))

const settingColumns = (preset: string | null): ReadonlyArray<Text.Column<AdminApi.Setting>> => [
  { title: "SETTING", cell: ({ key }) => ({ text: key }) },
  { title: "VALUE", cell: (setting) => ({ text: valueOf(setting), color: "bold" }) },
  {
    title: "SOURCE",
    cell: ({ source, variable }) => {
      switch (source) {
        case "default":
          return { text: "default", color: "dim" }
        case "policy":
          return { text: "policy in code", color: "cyan" }
        case "preset":
          return { text: preset === null ? "preset" : `preset ${Text.clean(preset)}`, color: "cyan" }
        case "variable":
          return { text: Text.clean(variable), color: "green" }
      }
    }
  }
]

/** Settings of circuits start with these prefixes, the others stand for themselves. */
const isOfCircuits = ({ key }: AdminApi.Setting): boolean => ofCircuits.has(key)

const ofCircuits = new Set(
  Environment.variables.filter(({ circuitName }) => circuitName !== undefined).map(({ key }) => key)
)

export const reportLines = (
  { circuits, problems, settings }: Report,
  admin: ReadonlyArray<{ readonly name: string; readonly value: string }>,
  layout: { readonly columns: number; readonly paint: Text.Paint }
): ReadonlyArray<string> => {
  const { paint } = layout
  const indent = { ...layout, columns: layout.columns - 2 }
  const section = (title: string, lines: ReadonlyArray<string>) => [
    paint("bold", title),
    ...lines.map((line) => `  ${line}`),
    ""
  ]
  return [
    ...section("All circuits", Text.table(settingColumns(null), settings.filter(isOfCircuits), indent)),
    ...section(
      "Retry and health checks",
      Text.table(settingColumns(null), settings.filter((setting) => !isOfCircuits(setting)), indent)
    ),
    ...circuits.flatMap(({ circuit, policy, preset, settings }) =>
      section(
        `Circuit ${Text.clean(circuit)}: ${Text.clean(policy)}`,
        Text.table(settingColumns(preset), settings, indent)
      )
    ),
    ...(admin.length === 0 ? [] : section(
      "Admin API",
      Text.table(
        [
          { title: "VARIABLE", cell: ({ name }) => ({ text: name }) },
          { title: "VALUE", cell: ({ value }) => ({ text: Text.clean(value), color: "bold" }) }
        ],
        admin,
        indent
      )
    )),
    ...(problems.length === 0
      ? [paint("green", "No mistakes.")]
      : [
        paint("red", `${count(problems.length, "mistake")}, left out above:`),
        ...problems.map((problem) => `  ${Text.clean(problem)}`)
      ])
  ]
}
