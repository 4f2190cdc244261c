/** An environment that is right, or the error that says all that is wrong. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type { CircuitPolicy, Options } from "../../CircuitPolicy.ts"
import type { Environment } from "../../Environment.ts"
import { type Code, codeOf, inspect } from "./inspect.ts"
import { configError, messagesOf, readable } from "./problems.ts"

export const load = (code: Code): Effect.Effect<Environment, Config.ConfigError> =>
  Effect.flatMap(inspect(code), ({ environment, problems, unreadable }) =>
    unreadable !== undefined
      ? Effect.fail(readable(new Config.ConfigError(unreadable)))
      : problems.length > 0
      ? Effect.fail(configError(messagesOf(problems)))
      : Effect.succeed(environment))

/** `load` for the one circuit that a program names, while others may have names much like it. */
export const loadCircuit = (
  name: string,
  policy?: CircuitPolicy | Options | undefined
): Effect.Effect<Environment, Config.ConfigError> =>
  load(codeOf("Environment.circuitPolicy", { circuits: { [name]: policy } }, false))
