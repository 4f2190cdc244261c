/**
 * `status`: all circuits, or one in detail.
 */
import * as Arr from "effect/Array"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { State } from "../../admin/AdminApi.ts"
import { count, healthReasons } from "../../internal/words.ts"
import { exitCodes } from "../CommandError.ts"
import { type Connection, listCircuits, withSuggestion } from "./client.ts"
import { connection, end, Json, layout, printJson, printLines } from "./global.ts"
import * as Text from "./text.ts"

const LATEST = 10

const statusOfOne = Effect.fnUntraced(function*(connection: Connection, name: string) {
  const { ask, client } = connection
  const [circuit, history, configuration] = yield* withSuggestion(
    connection,
    name,
    Effect.all([
      ask(client.circuits.get({ params: { name } })),
      ask(client.circuits.history({ params: { name }, query: { limit: LATEST } })),
      ask(client.config.get({ query: { circuit: name } }))
    ])
  )
  const settings = configuration.circuits[0]?.settings ?? []
  if (yield* Json) {
    yield* printJson({ ...circuit, settings, transitions: history.transitions })
  } else {
    const { columns, paint } = yield* layout
    const labels = Text.details(circuit)
    const width = Math.max(...labels.map(([label]) => label.length)) + 2
    yield* printLines([
      paint("bold", Text.fit(Text.clean(name), columns)),
      ...labels.map(([label, { color, text }]) => `  ${label.padEnd(width)}${paint(color, text)}`),
      ...(history.transitions.length === 0 ? [] : [
        paint("bold", "latest changes"),
        ...Arr.reverse(history.transitions).map((event) => `  ${Text.timeOf(event)}  ${Text.change(event, paint)}`)
      ])
    ])
  }
  yield* end(Text.isOpen(circuit) ? exitCodes.unhealthy : exitCodes.ok)
})

const statusOfAll = Effect.fnUntraced(
  function*(connection: Connection, state: Option.Option<State>) {
    const { ask, client } = connection
    const { checks, status } = yield* ask(client.circuits.status())
    const reasons = healthReasons(checks)
    const all = yield* listCircuits(connection)
    const rows = Option.isNone(state) ? all : all.filter((row) => row.state === state.value)
    const open = all.filter(Text.isOpen).length
    if (yield* Json) {
      yield* printJson({
        status,
        reasons,
        total: all.length,
        circuits: rows
      })
    } else {
      const view = yield* layout
      const color = status === "healthy" ? "green" : status === "degraded" ? "yellow" : "red"
      yield* printLines([
        `${view.paint(color, status)}, ${count(all.length, "circuit")}${open === 0 ? "" : `, ${open} open`}`,
        ...reasons.map((reason) => `  ${Text.clean(reason)}`),
        ...(rows.length === 0 ? [] : Text.table(Text.circuitColumns, Text.sorted(rows), view))
      ])
    }
    yield* end(open > 0 || status === "unhealthy" ? exitCodes.unhealthy : exitCodes.ok)
  }
)

export const status = Command.make("status", {
  name: Argument.String("name").pipe(Argument.withDescription("Only this circuit, in detail"), Argument.optional),
  state: Flag.Literals("state", State.literals).pipe(
    Flag.withDescription("Only circuits in this state; the exit code is that of all"),
    Flag.optional
  )
}, ({ name, state }) =>
  Effect.flatMap(
    connection,
    (connection) => Option.isSome(name) ? statusOfOne(connection, name.value) : statusOfAll(connection, state)
  )).pipe(
    Command.withDescription("Show all circuits, or one in detail. Exits with 2 if any is open"),
    Command.withShortDescription("Show all circuits, or one in detail"),
    Command.withExamples([
      { command: "effect-resilience status", description: "Show all circuits, those in trouble first" },
      { command: "effect-resilience status payment-api", description: "Show one, with its latest changes" },
      { command: "effect-resilience status --json | jq '.circuits[].name'", description: "Give them to a script" }
    ])
  )
