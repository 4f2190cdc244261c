/**
 * `config`: every setting with its value and source, and every mistake.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type CircuitSettings, maxLimit } from "../../admin/AdminApi.ts"
import * as CircuitPolicy from "../../CircuitPolicy.ts"
import { exitCodes } from "../CommandError.ts"
import { adminSettings, type Declared, inspect, isPreset, type Report, reportLines } from "./config.ts"
import { connection, end, Json, layout, printJson, printLines } from "./global.ts"

const declared = Flag.String("circuit").pipe(
  Flag.withMetavar("name[=preset]"),
  Flag.withDescription("A circuit of the code, with its preset if it has one, so that its variables are checked"),
  Flag.filterMap(
    (text): Option.Option<Declared> => {
      const at = text.lastIndexOf("=")
      const name = at < 0 ? text : text.slice(0, at)
      const preset = at < 0 ? undefined : text.slice(at + 1)
      return name === "" || (preset !== undefined && !isPreset(preset)) ? Option.none() : Option.some({ name, preset })
    },
    () => `a name, or a name and one of ${Object.keys(CircuitPolicy.presets).join(", ")}, as payment-api=production`
  ),
  Flag.atLeast(0)
)

const remoteReport = Effect.gen(function*() {
  const { ask, client } = yield* connection
  const circuits: Array<CircuitSettings> = []
  for (let offset = 0;; offset += maxLimit) {
    const page = yield* ask(client.config.get({ query: { offset, limit: maxLimit } }))
    circuits.push(...page.circuits)
    if (page.circuits.length === 0 || offset + maxLimit >= page.total) {
      return { report: { settings: page.settings, circuits, problems: page.problems }, admin: page.admin }
    }
  }
})

const printReport = Effect.fnUntraced(function*(
  report: Report,
  admin: ReadonlyArray<{ readonly name: string; readonly value: string }>
) {
  yield* printLines(reportLines(report, admin, yield* layout))
})

export const config = Command.make("config", {
  circuits: declared,
  remote: Flag.Boolean("remote").pipe(
    Flag.withDescription("The configuration of the running program, by its admin API"),
    Flag.withDefault(false)
  )
}, ({ circuits, remote }) =>
  Effect.gen(function*() {
    const json = yield* Json
    if (remote) {
      const { admin, report } = yield* remoteReport
      yield* json
        ? printJson({ ...report, admin })
        : printReport(report, Object.entries(admin).map(([name, value]) => ({ name, value: String(value) })))
      return yield* end(report.problems.length === 0 ? exitCodes.ok : exitCodes.invalid)
    }
    const report = yield* inspect(circuits)
    const admin = yield* adminSettings
    yield* json
      ? printJson({ ...report, admin: Object.fromEntries(admin.map(({ name, value }) => [name, value])) })
      : printReport(report, admin)
    yield* end(report.problems.length === 0 ? exitCodes.ok : exitCodes.invalid)
  })).pipe(
    Command.withDescription(
      "Show every setting of the environment, where its value comes from, and every mistake. Exits with 1 if there is one"
    ),
    Command.withShortDescription("Show every setting, its source, and every mistake"),
    Command.withExamples([
      { command: "effect-resilience config", description: "Check the environment before a deployment" },
      {
        command: "effect-resilience config --circuit payment-api=production",
        description: "With a circuit of the code"
      }
    ])
  )
