/**
 * The command line `effect-resilience`: looks at the circuits of a running
 * program and changes them by its admin API, and checks the environment.
 *
 * The package brings it as an executable for Node. This module has the commands
 * as values of `effect/cli`, to be part of a command line of your own.
 *
 * **Details**
 *
 * | command | |
 * |---|---|
 * | `status [name]` | all circuits, or one |
 * | `watch` | a live table, or a line for each change |
 * | `open name` | rejects all calls, `--for` a time or until another command |
 * | `close name` | closes the circuit |
 * | `disable name` | lets all calls through and counts nothing |
 * | `metrics-only name` | lets all calls through, counts them and never opens |
 * | `reset name`, `reset --all` | makes circuits as new |
 * | `config` | every setting of the environment, its source, every mistake |
 *
 * **Example** (Giving a program's command line these commands)
 *
 * ```ts
 * import { NodeRuntime, NodeServices } from "@effect/platform-node"
 * import { Effect } from "effect"
 * import { Command } from "effect/cli"
 * import { Cli } from "effect-resilience/cli"
 * import { FetchHttpClient } from "effect/http"
 *
 * const app = Command.make("app").pipe(Command.withSubcommands([Cli.command]))
 *
 * // `app effect-resilience status`
 * export const main = () =>
 *   Command.run(app, { version: "1.0.0" }).pipe(
 *     Effect.provide([NodeServices.layer, FetchHttpClient.layer]),
 *     NodeRuntime.runMain
 *   )
 * ```
 *
 * @see {@link exitCodes} for what scripts can tell
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Argument from "effect/cli/Argument"
import * as CliConfig from "effect/cli/CliConfig"
import type * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Stdio from "effect/Stdio"
import * as Terminal from "effect/Terminal"
import type * as AdminApi from "../admin/AdminApi.ts"
import { Change, MAX_LIMIT, State } from "../admin/AdminApi.ts"
import { presets } from "../admin/internal/config.ts"
import { CommandError, exitCodes } from "./CommandError.ts"
import { connect, type Connection, invalid, listCircuits, variable, withSuggestion } from "./internal/client.ts"
import { adminSettings, type Declared, inspect, isPreset, type Report, reportLines } from "./internal/config.ts"
import { count, healthReasons, VERSION } from "../internal/words.ts"
import * as Text from "./internal/text.ts"
import * as Watch from "./internal/watch.ts"

// -----------------------------------------------------------------------------
// global options
// -----------------------------------------------------------------------------

const Url = GlobalFlag.Setting("url")({
  flag: Flag.String("url").pipe(
    Flag.withDescription("Admin API, with its prefix: RESILIENCE_ADMIN_URL or http://127.0.0.1:9700"),
    Flag.optional
  )
})

const Token = GlobalFlag.Setting("token")({
  flag: Flag.Redacted("token").pipe(
    Flag.withDescription("Token, which other users of the machine may see: rather set RESILIENCE_ADMIN_TOKEN"),
    Flag.optional
  )
})

const TokenFile = GlobalFlag.Setting("token-file")({
  flag: Flag.String("token-file").pipe(Flag.withDescription("File that holds the token"), Flag.optional)
})

const Json = GlobalFlag.Setting("json")({
  flag: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))
})

const connection = Effect.gen(function*() {
  return yield* connect({ url: yield* Url, token: yield* Token, tokenFile: yield* TokenFile })
})

/** Text is as wide as the terminal, and as it comes where it is read by something else. */
const layout = Effect.gen(function*() {
  const { canAnimate, canColor } = yield* TerminalCapabilities.TerminalCapabilities
  const columns = canAnimate ? yield* (yield* Terminal.Terminal).columns : 0
  return { columns: columns > 0 ? columns : Infinity, paint: canColor ? Text.colored : Text.plain }
})

const printJson = (value: unknown) => Console.log(JSON.stringify(value, undefined, 2))

const printLines = (lines: ReadonlyArray<string>) => Console.log(lines.join("\n"))

/** The output has said why. */
const end = (exitCode: CommandError["exitCode"]) =>
  exitCode === exitCodes.ok ? Effect.void : Effect.fail(new CommandError({ exitCode, message: "" }))

const circuitName = Argument.String("name").pipe(Argument.withDescription("Name of the circuit"))

// -----------------------------------------------------------------------------
// status
// -----------------------------------------------------------------------------

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
  function*(connection: Connection, state: Option.Option<AdminApi.Circuit["state"]>) {
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

const status = Command.make("status", {
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

// -----------------------------------------------------------------------------
// watch
// -----------------------------------------------------------------------------

const SHORTEST_INTERVAL = Duration.millis(100)

const watch = Command.make("watch", {
  interval: Flag.String("interval").pipe(
    Flag.withDescription("How often numbers are read again. Changes of states show at once"),
    Flag.filterMap(
      (text) =>
        Option.filter(
          Option.fromUndefinedOr(Text.parseDuration(text)),
          Duration.isGreaterThanOrEqualTo(SHORTEST_INTERVAL)
        ),
      () => `${Text.ACCEPTED_DURATION}, of 100ms or more`
    ),
    Flag.withDefault(Duration.seconds(1))
  )
}, ({ interval }) =>
  Effect.gen(function*() {
    const to = yield* connection
    const { canAnimate, canPrompt } = yield* TerminalCapabilities.TerminalCapabilities
    const json = yield* Json
    const { paint } = yield* layout
    yield* json || !canAnimate
      ? Watch.lines(to, { json, paint })
      : Watch.screen(to, { interval, keys: canPrompt, paint })
  })).pipe(
    Command.withDescription(
      "Show a live table of all circuits; q quits. Elsewhere than on a terminal, print a line for each change"
    ),
    Command.withShortDescription("Follow all circuits live"),
    Command.withExamples([
      { command: "effect-resilience watch", description: "Watch a table" },
      { command: "effect-resilience watch --json >> changes.ndjson", description: "Collect the changes" }
    ])
  )

// -----------------------------------------------------------------------------
// changes
// -----------------------------------------------------------------------------

const isBy = Schema.is(Change.fields.by)
const isReason = Schema.is(Change.fields.reason)

const changeFlags = {
  by: Flag.String("by").pipe(
    Flag.withDescription("Who does it, for the log: RESILIENCE_ADMIN_BY, or the user's name"),
    Flag.filter(isBy, () => "1 to 100 characters on one line, not only spaces"),
    Flag.optional
  ),
  reason: Flag.String("reason").pipe(
    Flag.withDescription("Why, for the log"),
    Flag.filter(isReason, () => "1 to 500 characters on one line, not only spaces"),
    Flag.withDefault("none given")
  )
}

interface ChangeInput {
  readonly by: Option.Option<string>
  readonly reason: string
}

const whoAndWhy = Effect.fnUntraced(
  function*({ by, reason }: ChangeInput): Effect.fn.Return<AdminApi.Change, CommandError> {
    if (Option.isSome(by)) return { by: by.value, reason }
    for (const name of ["RESILIENCE_ADMIN_BY", "USER", "LOGNAME", "USERNAME"]) {
      const found = yield* variable(name)
      if (Option.isNone(found)) continue
      if (isBy(found.value)) return { by: found.value, reason }
      return yield* invalid(`${name} must be 1 to 100 characters on one line; or say --by`)
    }
    return yield* invalid("nobody is known to do this: say --by, or set RESILIENCE_ADMIN_BY")
  }
)

const printCircuit = Effect.fnUntraced(function*(circuit: AdminApi.Circuit) {
  if (yield* Json) return yield* printJson(circuit)
  const { paint } = yield* layout
  const { color, text } = Text.stateCell(circuit.state)
  yield* Console.log(`${Text.clean(circuit.name)} is now ${paint(color, text)}${Text.untilWhen(circuit)}`)
})

const open = Command.make("open", {
  name: circuitName,
  ...changeFlags,
  for: Flag.String("for").pipe(
    Flag.withDescription("How long, as 90s, 5m, 1h30m; until another command if this is not given"),
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(Text.parseDuration(text)),
      () => Text.ACCEPTED_DURATION
    ),
    Flag.optional
  )
}, (input) =>
  Effect.gen(function*() {
    const to = yield* connection
    const change = yield* whoAndWhy(input)
    const duration = Option.getOrUndefined(Option.map(input.for, Duration.toSeconds))
    const request = to.client.circuits.forceOpen({
      params: { name: input.name },
      payload: duration === undefined ? change : { ...change, duration }
    })
    yield* printCircuit(yield* withSuggestion(to, input.name, to.ask(request)))
  })).pipe(
    Command.withDescription("Force a circuit open: it rejects all calls"),
    Command.withExamples([{
      command: "effect-resilience open payment-api --for 5m --reason \"provider maintenance\"",
      description: "Keep calls away from a provider for five minutes"
    }])
  )

type Action = "forceClose" | "disable" | "metricsOnly" | "reset"

const changeOne = Effect.fnUntraced(function*(action: Action, name: string, input: ChangeInput) {
  const to = yield* connection
  const payload = yield* whoAndWhy(input)
  const request = to.client.circuits[action]({ params: { name }, payload })
  yield* printCircuit(yield* withSuggestion(to, name, to.ask(request)))
})

const changeCommand = <const Name extends string>(name: Name, action: Action, description: string) =>
  Command.make(
    name,
    { name: circuitName, ...changeFlags },
    (input) => changeOne(action, input.name, input)
  ).pipe(Command.withDescription(description))

const close = changeCommand("close", "forceClose", "Close a circuit, with empty counts")

const disable = changeCommand("disable", "disable", "Let all calls through and count nothing, until another command")

const metricsOnly = changeCommand(
  "metrics-only",
  "metricsOnly",
  "Let all calls through, count them and never open, until another command"
)

const reset = Command.make("reset", {
  name: Argument.String("name").pipe(Argument.withDescription("Name of the circuit"), Argument.optional),
  all: Flag.Boolean("all").pipe(Flag.withDescription("All circuits"), Flag.withDefault(false)),
  ...changeFlags
}, (input) =>
  Effect.gen(function*() {
    if (Option.isSome(input.name) === input.all) {
      return yield* invalid("reset takes either the name of a circuit or --all")
    }
    if (Option.isSome(input.name)) return yield* changeOne("reset", input.name.value, input)
    const to = yield* connection
    const result = yield* to.ask(to.client.circuits.resetAll({ payload: yield* whoAndWhy(input) }))
    yield* (yield* Json) ? printJson(result) : Console.log(`${count(result.reset, "circuit")} reset`)
  })).pipe(Command.withDescription("Make a circuit as new, or all of them"))

// -----------------------------------------------------------------------------
// config
// -----------------------------------------------------------------------------

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
    () => `a name, or a name and one of ${Object.keys(presets).join(", ")}, as payment-api=production`
  ),
  Flag.atLeast(0)
)

const remoteReport = Effect.gen(function*() {
  const { ask, client } = yield* connection
  const circuits: Array<AdminApi.CircuitSettings> = []
  for (let offset = 0;; offset += MAX_LIMIT) {
    const page = yield* ask(client.config.get({ query: { offset, limit: MAX_LIMIT } }))
    circuits.push(...page.circuits)
    if (page.circuits.length === 0 || offset + MAX_LIMIT >= page.total) {
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

const config = Command.make("config", {
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

// -----------------------------------------------------------------------------
// all of it
// -----------------------------------------------------------------------------

/**
 * `effect-resilience` with its subcommands.
 *
 * **Details**
 *
 * It fails with a `CommandError` that has the exit code, which `runMain` of
 * Effect's platforms exits with.
 *
 * @see {@link run} for the whole command line
 *
 * @category commands
 * @since 0.1.0
 */
export const command: Command.Command<
  "effect-resilience",
  {},
  {},
  CommandError,
  HttpClient.HttpClient | FileSystem.FileSystem | Terminal.Terminal | Stdio.Stdio
> = Command.make("effect-resilience").pipe(
  Command.withDescription("Look at the circuits of a running program, change them by hand, and check the environment"),
  Command.withSubcommands([status, watch, open, close, disable, metricsOnly, reset, config]),
  Command.withGlobalFlags([Url, Token, TokenFile, Json])
)

const builtIns = [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions]

/** Output is for what was asked for; what is wrong goes where errors go. */
const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag !== "InvalidInvocation"
      ? CliOutput.defaultPresenter.present(event)
      : Console.error(
        [
          ...event.errors.map(({ message }) => `effect-resilience: ${Text.clean(message)}`),
          `Try: ${event.commandPath.join(" ")} --help`
        ].join("\n")
      )
}

const formatter = Layer.effect(
  CliOutput.Formatter,
  Effect.map(TerminalCapabilities.TerminalCapabilities, ({ canColor }) => ({
    ...CliOutput.defaultFormatter({ colors: canColor }),
    formatError: ({ message }: CliError.CliError) => `effect-resilience: ${message}`
  }))
)

/**
 * Runs the command line on the arguments of the process.
 *
 * **Details**
 *
 * Results go to the standard output, errors to the standard error. Fails with
 * what `runMain` of Effect's platforms exits with; there is nothing left to
 * report.
 *
 * **Example** (Running it with Node)
 *
 * ```ts
 * import { NodeRuntime, NodeServices } from "@effect/platform-node"
 * import { Effect } from "effect"
 * import { Cli } from "effect-resilience/cli"
 * import { FetchHttpClient } from "effect/http"
 *
 * export const main = () =>
 *   Cli.run.pipe(Effect.provide([NodeServices.layer, FetchHttpClient.layer]), NodeRuntime.runMain)
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const run: Effect.Effect<
  void,
  CommandError | CliError.CliError,
  Command.Environment | HttpClient.HttpClient
> = Command.run(command, { version: VERSION }).pipe(
  Effect.provide(
    Layer.mergeAll(formatter, CliOutput.layerPresenter(presenter), CliConfig.layer({ builtIns })).pipe(
      Layer.provideMerge(TerminalCapabilities.layer)
    )
  )
)
