/**
 * Exit codes of the command line, and the error that carries them.
 *
 * @stability unstable
 * @since 0.1.0
 */
import * as CliError from "effect/cli/CliError"
import * as Data from "effect/Data"
import * as Runtime from "effect/Runtime"

/**
 * The exit codes of the commands.
 *
 * **Details**
 *
 * - `ok`: the command succeeded; for `status`, no circuit is open.
 * - `invalid`: the command, an option or the environment is invalid.
 * - `unhealthy`: `status` found an open circuit or an unhealthy program.
 * - `unreachable`: no admin API answers at the URL.
 * - `refused`: the token is missing, wrong or not sufficient.
 * - `unknownCircuit`: the program has no circuit of that name.
 *
 * An interrupted command exits with 130.
 *
 * **Example** (Reading an exit code)
 *
 * ```ts import.meta.vitest
 * import { CommandError } from "effect-resilience/cli"
 *
 * CommandError.exitCodes.unreachable // => 3
 * ```
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const exitCodes = {
  ok: 0,
  invalid: 1,
  unhealthy: 2,
  unreachable: 3,
  refused: 4,
  unknownCircuit: 5
} as const

/**
 * A command ended with a code other than 0. `message` is empty if the output
 * already gives the reason.
 *
 * @stability unstable
 * @category errors
 * @since 0.1.0
 */
export class CommandError extends Data.TaggedError("CommandError")<{
  readonly exitCode: typeof exitCodes[keyof typeof exitCodes]
  readonly message: string
}> {
  override readonly [Runtime.errorExitCode]: number = this.exitCode
  override readonly [Runtime.errorReported]: boolean = false

  constructor(
    props: { readonly exitCode: typeof exitCodes[keyof typeof exitCodes]; readonly message: string }
  ) {
    super(props)
    // `Command.run` prints it.
    if (props.message !== "") Object.assign(this, { [CliError.userMessage]: props.message })
  }
}
