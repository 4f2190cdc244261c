/**
 * What every command uses: the global options, the connection they name, and
 * the output.
 */
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Terminal from "effect/Terminal"
import { escapeJson } from "../../internal/plainText.ts"
import { CommandError, exitCodes } from "../CommandError.ts"
import { connect } from "./client.ts"
import { colored, plain } from "./text.ts"

export const Url = GlobalFlag.Setting("url")({
  flag: Flag.String("url").pipe(
    Flag.withDescription("Admin API, with its prefix: RESILIENCE_ADMIN_URL or http://127.0.0.1:9700"),
    Flag.optional
  )
})

export const Token = GlobalFlag.Setting("token")({
  flag: Flag.Redacted("token").pipe(
    Flag.withDescription("Token, which other users of the machine may see: rather set RESILIENCE_ADMIN_TOKEN"),
    Flag.optional
  )
})

export const TokenFile = GlobalFlag.Setting("token-file")({
  flag: Flag.String("token-file").pipe(Flag.withDescription("File that holds the token"), Flag.optional)
})

export const Json = GlobalFlag.Setting("json")({
  flag: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))
})

export const connection = Effect.gen(function*() {
  return yield* connect({ url: yield* Url, token: yield* Token, tokenFile: yield* TokenFile })
})

/** Text is as wide as the terminal, and not cut where another program reads it. */
export const layout = Effect.gen(function*() {
  const { canAnimate, canColor } = yield* TerminalCapabilities.TerminalCapabilities
  const columns = canAnimate ? yield* (yield* Terminal.Terminal).columns : 0
  return { columns: columns > 0 ? columns : Infinity, paint: canColor ? colored : plain }
})

export const printJson = (value: unknown) => Console.log(escapeJson(JSON.stringify(value, undefined, 2)))

export const printLines = (lines: ReadonlyArray<string>) => Console.log(lines.join("\n"))

/** Ends a command whose output has said everything. */
export const end = (exitCode: CommandError["exitCode"]) =>
  exitCode === exitCodes.ok ? Effect.void : Effect.fail(new CommandError({ exitCode, message: "" }))

export const circuitName = Argument.String("name").pipe(Argument.withDescription("Name of the circuit"))
