/**
 * `watch` where there is no terminal: a line for each change.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { LiveEvent, type State } from "../../admin/AdminApi.ts"
import { escapeJson } from "../../internal/plainText.ts"
import { STATE_NAMES } from "../../internal/words.ts"
import type { CommandError } from "../CommandError.ts"
import type { Connection } from "./client.ts"
import { beside, type Circuits, type Connected, follow, type Messages, type News, readCircuits } from "./follow.ts"
import * as Text from "./text.ts"

const encodeEvent = Schema.encodeSync(Schema.fromJsonString(Schema.toCodecJson(LiveEvent)))

/** Writes a line for each circuit, then one for each change, until it is interrupted. */
export const lines = (
  connection: Connection,
  { json, paint }: { readonly json: boolean; readonly paint: Text.Paint }
): Effect.Effect<void, CommandError, Stdio.Stdio> =>
  Effect.scoped(Effect.gen(function*() {
    const stdio = yield* Stdio.Stdio
    const messages: Messages<News | Connected> = yield* Queue.unbounded<News | Connected, CommandError>()
    // A wrong URL or token fails at once instead of waiting for events.
    yield* connection.ask(connection.client.health.check())
    const catchUp = Effect.flatMap(readCircuits(connection), (circuits) => Queue.offer(messages, circuits))
    yield* beside(
      messages,
      follow(connection, {
        after: undefined,
        catchUp,
        emit: (message) => Queue.offer(messages, message)
      })
    )

    const known = new Map<string, State>()
    let isConnected = true
    // One run for all lines: between two runs, the end of the reader would go unnoticed.
    const output = yield* Queue.unbounded<string>()
    const write = (text: string) => Effect.asVoid(Queue.offer(output, `${text}\n`))
    const notice = (text: string) => Console.error(`effect-resilience: ${text}`)
    const writeCircuits = ({ at, rows }: Circuits) => {
      const news = rows.filter(({ name, state }) => known.get(name) !== state)
      known.clear()
      for (const { name, state } of rows) known.set(name, state)
      if (json) {
        const circuits = rows
        return write(escapeJson(JSON.stringify({ _tag: "Circuits", timestamp: at, circuits })))
      }
      return Effect.forEach(
        Text.sorted(news),
        (circuit) => write(`${Text.timeOf({ timestamp: at })} ${Text.stateLine(circuit, paint)}`),
        { discard: true }
      )
    }
    const handle = (message: News | Connected): Effect.Effect<void> => {
      switch (message._tag) {
        case "Circuits":
          return writeCircuits(message)
        case "Event": {
          const { event } = message
          if (json) return write(escapeJson(encodeEvent(event)))
          if (event._tag === "EventsLost") {
            return notice(event.lost === null ? "some events are missing" : `${event.lost} events are missing`)
          }
          if (event._tag === "CallEnded") return Effect.void
          if (event._tag === "StateChanged") known.set(event.circuit, STATE_NAMES[event.to])
          return write(`${Text.timeOf(event)} ${Text.change(event, paint)}`)
        }
        case "Lost": {
          if (!isConnected) return Effect.void
          isConnected = false
          return notice(`${message.error.message}; trying again`)
        }
        case "Connected": {
          if (isConnected) return Effect.void
          isConnected = true
          return notice("connected again")
        }
      }
    }
    const loop = Effect.forever(Effect.flatMap(Queue.take(messages), handle))
    yield* Effect.raceFirst(loop, Effect.ignore(Stream.run(Stream.fromQueue(output), stdio.stdout())))
  }))
