/**
 * `watch`: all circuits live, as a table on a terminal and as lines elsewhere.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { connection, Json, layout } from "./global.ts"
import { lines } from "./lines.ts"
import { screen } from "./screen.ts"
import * as Text from "./text.ts"

const SHORTEST_INTERVAL = Duration.millis(100)

export const watch = Command.make("watch", {
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
      ? lines(to, { json, paint })
      : screen(to, { interval, keys: canPrompt, paint })
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
