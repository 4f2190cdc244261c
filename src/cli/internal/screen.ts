/**
 * `watch` on a terminal: a table that is drawn in place.
 */
import * as Arr from "effect/Array"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Terminal from "effect/Terminal"
import type { CircuitChange } from "../../CircuitEvent.ts"
import { count } from "../../internal/words.ts"
import type { CommandError } from "../CommandError.ts"
import type { Connection } from "./client.ts"
import { beside, type Circuits, follow, isLost, type Messages, type News, readCircuits } from "./follow.ts"
import * as Text from "./text.ts"

interface Resized {
  readonly _tag: "Resized"
  readonly size: Terminal.Size
}

interface Quit {
  readonly _tag: "Quit"
  readonly interrupted: boolean
}

interface View {
  readonly url: string
  readonly circuits: Circuits
  readonly error: CommandError | undefined
  readonly changes: ReadonlyArray<CircuitChange>
  readonly size: Terminal.Size
}

const KEPT_CHANGES = 20

/** An id of no run: the server starts with all events that it has kept. */
const BEFORE_ALL = "none"

/** What the screen shows: at most as many lines as it has rows, none wider than its columns. */
export const render = ({ changes, circuits, error, size, url }: View, paint: Text.Paint): ReadonlyArray<string> => {
  const { columns, rows: height } = size
  const line = (color: Text.Color | undefined, text: string) => paint(color, Text.fit(text, columns))
  const { at, rows, status } = circuits

  const open = rows.filter(Text.isOpen).length
  const summary = `${status}, ${count(rows.length, "circuit")}${open === 0 ? "" : `, ${open} open`}`
  const time = Text.clock(at)
  const head = [
    line(
      error !== undefined ? "dim" : status === "healthy" ? "green" : status === "degraded" ? "yellow" : "red",
      `${summary}  ${time}  ${url}`
    ),
    error === undefined ? "" : line("red", `trying again: ${error.message}`)
  ]
  const footer = [line("dim", "q quits")]

  const room = Math.max(0, height - head.length - footer.length)
  const changesShown = room < 10 ? 0 : Math.min(changes.length, 5, Math.floor(room / 3))
  const latest = changesShown === 0 ? [] : [
    "",
    line("bold", "LATEST CHANGES"),
    ...Arr.reverse(changes.slice(-changesShown)).map((event) => {
      const text = `${Text.clock(event.timestamp)} ${Text.change(event, Text.plain)}`
      return Text.fit(text, columns)
    })
  ]

  const tableRoom = room - latest.length
  const sorted = Text.sorted(rows)
  const fits = sorted.length + 1 <= tableRoom
  const shown = fits ? sorted : sorted.slice(0, Math.max(0, tableRoom - 2))
  const table = rows.length === 0
    ? [line("dim", "no circuits yet")]
    : [
      ...Text.table(Text.circuitColumns, shown, { columns, paint }),
      ...(fits ? [] : [line("dim", `… and ${sorted.length - shown.length} more`)])
    ]
  const body = [...head, ...table, ...latest].slice(0, Math.max(0, height - footer.length))
  const filling = Array.from({ length: Math.max(0, height - footer.length - body.length) }, () => "")
  return [...body, ...filling, ...footer].slice(0, height)
}

// The alternate screen, without cursor and without wrapping of lines.
const ENTER = "\u001b[?1049h\u001b[?25l\u001b[?7l"
const LEAVE = "\u001b[?7h\u001b[?25h\u001b[?1049l"

// Terminals that support it show the frame at once; others overwrite line by line, without a blank screen.
const frame = (lines: ReadonlyArray<string>): string =>
  `\u001b[?2026h\u001b[H${lines.map((line) => `${line}\u001b[0m\u001b[K`).join("\r\n")}\u001b[J\u001b[?2026l`

const sizeOf = ({ columns, rows }: Terminal.Size): Terminal.Size => ({
  columns: columns > 0 ? columns : 80,
  rows: rows > 0 ? rows : 24
})

/** Draws a table in place until the user quits. */
export const screen = (
  connection: Connection,
  { interval, keys, paint }: {
    readonly interval: Duration.Duration
    readonly keys: boolean
    readonly paint: Text.Paint
  }
): Effect.Effect<void, CommandError, Terminal.Terminal> =>
  Effect.scoped(Effect.gen(function*() {
    const terminal = yield* Terminal.Terminal
    const messages: Messages<News | Resized | Quit> = yield* Queue.unbounded<News | Resized | Quit, CommandError>()
    // A wrong URL or token is reported on the ordinary screen.
    const first = yield* readCircuits(connection)

    const display = (text: string) => Effect.ignore(terminal.display(text))
    yield* Effect.acquireRelease(display(ENTER), () => display(LEAVE))

    const wake = yield* Queue.sliding<void>(1)
    const poll = Effect.forever(Effect.gen(function*() {
      yield* Effect.timeoutOption(Queue.take(wake), interval)
      yield* readCircuits(connection).pipe(
        Effect.flatMap((circuits) => Queue.offer(messages, circuits)),
        Effect.catchIf(isLost, (error) => Queue.offer(messages, { _tag: "Lost", error }))
      )
    }))
    yield* beside(messages, poll)
    yield* beside(
      messages,
      follow(connection, {
        after: BEFORE_ALL,
        catchUp: Effect.void,
        emit: (message) =>
          message._tag === "Event"
            ? Effect.andThen(Queue.offer(messages, message), Queue.offer(wake, undefined))
            : Effect.void
      })
    )

    const sizes = yield* terminal.size
    yield* beside(
      messages,
      Effect.ignore(Effect.forever(
        Effect.flatMap(Queue.take(sizes), (size) => Queue.offer(messages, { _tag: "Resized", size: sizeOf(size) }))
      ))
    )
    if (keys) yield* beside(messages, Effect.flatMap(readQuit(terminal), (quit) => Queue.offer(messages, quit)))

    let view: View = {
      url: connection.url,
      circuits: first,
      error: undefined,
      changes: [],
      size: sizeOf({ columns: yield* terminal.columns, rows: yield* terminal.rows })
    }
    let shown = ""
    const draw = Effect.suspend(() => {
      const next = frame(render(view, paint))
      if (next === shown) return Effect.void
      shown = next
      return display(next)
    })
    yield* draw
    for (;;) {
      for (const message of yield* Queue.takeAll(messages)) {
        if (message._tag === "Quit") return message.interrupted ? yield* Effect.interrupt : undefined
        // The previous frame is no longer where it was drawn.
        if (message._tag === "Resized") shown = ""
        view = update(view, message)
      }
      yield* draw
    }
  }))

const update = (view: View, message: News | Resized): View => {
  switch (message._tag) {
    case "Circuits":
      return { ...view, circuits: message, error: undefined }
    case "Lost":
      return { ...view, error: message.error }
    case "Resized":
      return { ...view, size: message.size }
    case "Event": {
      const { event } = message
      if (event._tag === "CallEnded" || event._tag === "EventsLost") return view
      return { ...view, changes: [...view.changes, event].slice(-KEPT_CHANGES) }
    }
  }
}

/** Waits for a key that quits, or for the end of the terminal. */
const readQuit = (terminal: Terminal.Terminal): Effect.Effect<Quit> =>
  Effect.scoped(Effect.gen(function*() {
    const keys = yield* terminal.readInput
    for (;;) {
      const pressed = yield* Effect.option(Queue.take(keys))
      if (Option.isNone(pressed)) return { _tag: "Quit", interrupted: false }
      const { ctrl, name } = pressed.value.key
      if (ctrl && name === "c") return { _tag: "Quit", interrupted: true }
      if (name === "q" || name === "escape" || (ctrl && name === "d")) return { _tag: "Quit", interrupted: false }
    }
  }))
