/**
 * `config`: every setting with its value and source, and every mistake.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Admin from "../../admin/Admin.ts"
import type * as AdminApi from "../../admin/AdminApi.ts"
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

// -----------------------------------------------------------------------------
// the environment of the admin API
// -----------------------------------------------------------------------------

const ADMIN_URL = "RESILIENCE_ADMIN_URL"

/** What the admin API would refuse to start with. A program that does not have it sets none of its variables. */
const problemsOfAdmin = Effect.gen(function*() {
  const url = yield* variable(ADMIN_URL)
  const checked = Option.isSome(url) ? yield* Effect.result(checkUrl(ADMIN_URL, url.value)) : undefined
  const { problems, variables } = yield* Admin.inspect
  return [
    ...checked !== undefined && Result.isFailure(checked) ? [checked.failure.message] : [],
    ...variables.length === 0 ? [] : problems
  ]
})

/** The variables of the admin API that are set. Tokens are never shown, nor what may hold a password. */
export const adminSettings = Effect.gen(function*() {
  const { variables } = yield* Admin.inspect
  const texts = yield* Effect.forEach(
    [ADMIN_URL, ...variables],
    (name) => Effect.map(variable(name), Option.map((text) => ({ name, text })))
  )
  return texts.flatMap(Option.toArray).map(({ name, text }) => ({
    name,
    value: name.endsWith("_TOKEN") ? "set" : /[@?]/.test(text) ? "set, not shown" : text
  }))
})

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
