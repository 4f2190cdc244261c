/**
 * The command line `effect-resilience`: shows and changes the circuits of a
 * running program through its admin API, and checks the environment.
 *
 * The package includes an executable for Node. This module exports the commands
 * as values of `effect/cli`, for use in your own command line.
 *
 * **Details**
 *
 * | command | |
 * |---|---|
 * | `status [name]` | shows all circuits, or one |
 * | `watch` | shows a live table, or a line for each change |
 * | `open name` | rejects all calls, `--for` a time or until another command |
 * | `close name` | closes the circuit |
 * | `disable name` | lets all calls through and counts nothing |
 * | `metrics-only name` | lets all calls through, counts them and never opens |
 * | `reset name`, `reset --all` | resets circuits to their initial state |
 * | `config` | shows every setting of the environment, its source and every mistake |
 *
 * **Example** (Adding the commands to a command line)
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
 * @see {@link run} for the whole command line
 *
 * @stability unstable
 * @since 0.1.0
 */
import * as CliConfig from "effect/cli/CliConfig"
import type * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Stdio from "effect/Stdio"
import type * as Terminal from "effect/Terminal"
import type { CommandError } from "./CommandError.ts"
import { close, disable, metricsOnly, open, reset } from "./internal/change.ts"
import { config } from "./internal/configCommand.ts"
import { errorLine } from "./internal/errorLine.ts"
import { Json, Token, TokenFile, Url } from "./internal/global.ts"
import { status } from "./internal/status.ts"
import { watch } from "./internal/watch.ts"
import { VERSION } from "../internal/words.ts"

/**
 * The command `effect-resilience` with its subcommands.
 *
 * **Details**
 *
 * Fails with a `CommandError`, whose exit code `runMain` of Effect's platforms
 * uses. `CommandError.exitCodes` lists the codes.
 *
 * @see {@link run} for the whole command line
 *
 * @stability unstable
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

/** Sends errors to the standard error; the output has only results. */
const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag !== "InvalidInvocation"
      ? CliOutput.defaultPresenter.present(event)
      : Console.error(
        [
          ...event.errors.map(errorLine),
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
 * an error that carries the exit code for `runMain` of Effect's platforms and
 * needs no further report.
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
 * @stability unstable
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
