/**
 * The commands that change circuits: `open`, `close`, `disable`, `metrics-only`
 * and `reset`.
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Change, type Circuit } from "../../admin/AdminApi.ts"
import { count } from "../../internal/words.ts"
import type { CommandError } from "../CommandError.ts"
import { invalid, variable, withSuggestion } from "./client.ts"
import { circuitName, connection, Json, layout, printJson } from "./global.ts"
import * as Text from "./text.ts"

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

const authorAndReason = Effect.fnUntraced(
  function*({ by, reason }: ChangeInput): Effect.fn.Return<Change, CommandError> {
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

const printCircuit = Effect.fnUntraced(function*(circuit: Circuit) {
  if (yield* Json) return yield* printJson(circuit)
  const { paint } = yield* layout
  const { color, text } = Text.stateCell(circuit.state)
  yield* Console.log(`${Text.clean(circuit.name)} is now ${paint(color, text)}${Text.untilWhen(circuit)}`)
})

export const open = Command.make("open", {
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
    const change = yield* authorAndReason(input)
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
  const payload = yield* authorAndReason(input)
  const request = to.client.circuits[action]({ params: { name }, payload })
  yield* printCircuit(yield* withSuggestion(to, name, to.ask(request)))
})

const changeCommand = <const Name extends string>(name: Name, action: Action, description: string) =>
  Command.make(
    name,
    { name: circuitName, ...changeFlags },
    (input) => changeOne(action, input.name, input)
  ).pipe(Command.withDescription(description))

export const close = changeCommand("close", "forceClose", "Close a circuit, with empty counts")

export const disable = changeCommand(
  "disable",
  "disable",
  "Let all calls through and count nothing, until another command"
)

export const metricsOnly = changeCommand(
  "metrics-only",
  "metricsOnly",
  "Let all calls through, count them and never open, until another command"
)

export const reset = Command.make("reset", {
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
    const result = yield* to.ask(to.client.circuits.resetAll({ payload: yield* authorAndReason(input) }))
    yield* (yield* Json) ? printJson(result) : Console.log(`${count(result.reset, "circuit")} reset`)
  })).pipe(Command.withDescription("Reset a circuit, or all of them, to the initial state"))
