/**
 * How a command of the command line ends, other than well.
 *
 * @since 0.1.0
 */
import * as CliError from "effect/cli/CliError"
import * as Data from "effect/Data"
import * as Runtime from "effect/Runtime"

/**
 * What a command exits with.
 *
 * **Details**
 *
 * - `ok`: done; for `status`, also that nothing is open.
 * - `invalid`: the command, an option or the environment is wrong.
 * - `unhealthy`: `status` found an open circuit, or an unhealthy program.
 * - `unreachable`: nobody answers, or not as the admin API does.
 * - `refused`: no token, a wrong one, or it does not allow that.
 * - `unknownCircuit`: no circuit of that name lives.
 *
 * A command that is interrupted exits with 130.
 *
 * **Example** (Looking at an exit code)
 *
 * ```ts import.meta.vitest
 * import { CommandError } from "effect-resilience/cli"
 *
 * CommandError.exitCodes.unreachable // => 3
 * ```
 *
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
 * A command ended otherwise than with 0. `message` is for people, and empty
 * where the output has said it all.
 *
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
    // What runs the command prints it.
    if (props.message !== "") Object.assign(this, { [CliError.userMessage]: props.message })
  }
}
