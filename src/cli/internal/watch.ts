/**
 * `watch`: a table that is drawn in place on a terminal, and lines elsewhere.
 *
 * Whatever happens is a message to one loop, which alone writes.
 */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Terminal from "effect/Terminal"
import type { CircuitChange } from "../../CircuitEvent.ts"
import { type Circuit, type Health, LiveEvent } from "../../admin/AdminApi.ts"
import { CommandError, exitCodes } from "../CommandError.ts"
import { type Connection, listCircuits } from "./client.ts"
import { count, STATE_NAMES } from "../../internal/words.ts"
import * as Text from "./text.ts"

interface Circuits {
  readonly _tag: "Circuits"
  readonly rows: ReadonlyArray<Circuit>
  readonly status: Health["status"]
  readonly at: number
}

interface Connected {
  readonly _tag: "Connected"
}

/** What the server says. */
type News =
  | Circuits
  | { readonly _tag: "Event"; readonly event: LiveEvent }
  | { readonly _tag: "Lost"; readonly error: CommandError }

interface Resized {
  readonly _tag: "Resized"
  readonly size: Terminal.Size
}

interface Quit {
  readonly _tag: "Quit"
  readonly interrupted: boolean
}

type Messages<A> = Queue.Queue<A, CommandError>

/** Runs beside the loop, and ends it where it fails. */
const beside = <A, R>(
  messages: Messages<A>,
  self: Effect.Effect<void, CommandError, R>
): Effect.Effect<void, never, R | Scope.Scope> =>
  self.pipe(
    Effect.catchCause((cause) => Queue.failCause(messages, cause)),
    Effect.forkScoped({ startImmediately: true }),
    Effect.asVoid
  )

// -----------------------------------------------------------------------------
// what happens
// -----------------------------------------------------------------------------

const takeStock = (connection: Connection): Effect.Effect<Circuits, CommandError> =>
  Effect.gen(function*() {
    const { status } = yield* connection.ask(connection.client.health.check())
    const rows = yield* listCircuits(connection)
    return { _tag: "Circuits", rows, status, at: yield* Clock.currentTimeMillis }
  })

const isLost = (error: CommandError): boolean => error.exitCode === exitCodes.unreachable

const FIRST_DELAY = 500
const LONGEST_DELAY = 5_000

/**
 * The events, over as many connections as it takes. `catchUp` runs where the
 * server has not kept what may have been missed.
 */
const follow = Effect.fnUntraced(function*(
  connection: Connection,
  { after, catchUp, emit }: {
    /** The event before those to begin with; those that come from now on if there is none. */
    readonly after: string | undefined
    readonly catchUp: Effect.Effect<unknown, CommandError>
    readonly emit: (message: News | Connected) => Effect.Effect<unknown>
  }
): Effect.fn.Return<void, CommandError> {
  const broken = new CommandError({
    exitCode: exitCodes.unreachable,
    message: `${connection.url} ended the connection`
  })
  let lastEventId = after
  let delay = FIRST_DELAY
  const once = Effect.gen(function*() {
    const events = yield* connection.ask(
      connection.client.events.subscribe({ query: {}, headers: { "last-event-id": lastEventId } })
    )
    yield* emit({ _tag: "Connected" })
    delay = FIRST_DELAY
    if (lastEventId === undefined) yield* catchUp
    yield* events.pipe(
      Stream.mapError((error) =>
        error._tag === "Retry" || error._tag === "SseError" || error._tag === "HttpClientError"
          ? broken
          : connection.mapError(error)
      ),
      Stream.runForEach(({ data, id }) => {
        if (id !== undefined) lastEventId = id
        const emitted = emit({ _tag: "Event", event: data })
        return data._tag === "EventsLost" ? Effect.andThen(emitted, catchUp) : emitted
      })
    )
    return yield* broken
  })
  for (;;) {
    const error = yield* Effect.flip(once)
    if (!isLost(error)) return yield* error
    yield* emit({ _tag: "Lost", error })
    yield* Effect.sleep(delay)
    delay = Math.min(delay * 2, LONGEST_DELAY)
  }
})

// -----------------------------------------------------------------------------
// lines
// -----------------------------------------------------------------------------

const encodeEvent = Schema.encodeSync(Schema.fromJsonString(Schema.toCodecJson(LiveEvent)))

/** Writes a line for each circuit, and then one for each change, until it is interrupted. */
export const lines = (
  connection: Connection,
  { json, paint }: { readonly json: boolean; readonly paint: Text.Paint }
): Effect.Effect<void, CommandError, Stdio.Stdio> =>
  Effect.scoped(Effect.gen(function*() {
    const stdio = yield* Stdio.Stdio
    const messages: Messages<News | Connected> = yield* Queue.unbounded<News | Connected, CommandError>()
    // Whoever asks in the wrong place is told so, rather than kept waiting.
    yield* connection.ask(connection.client.health.check())
    const catchUp = Effect.flatMap(takeStock(connection), (circuits) => Queue.offer(messages, circuits))
    yield* beside(
      messages,
      follow(connection, {
        after: undefined,
        catchUp,
        emit: (message) => Queue.offer(messages, message)
      })
    )

    const known = new Map<string, Circuit["state"]>()
    let isConnected = true
    // One run for all lines: between two runs nobody would hear that the reader has gone.
    const output = yield* Queue.unbounded<string>()
    const write = (text: string) => Effect.asVoid(Queue.offer(output, `${text}\n`))
    const notice = (text: string) => Console.error(`effect-resilience: ${text}`)
    const writeCircuits = ({ at, rows }: Circuits) => {
      const news = rows.filter(({ name, state }) => known.get(name) !== state)
      known.clear()
      for (const { name, state } of rows) known.set(name, state)
      if (json) {
        const circuits = rows
        return write(JSON.stringify({ _tag: "Circuits", timestamp: at, circuits }))
      }
      return Effect.forEach(Text.sorted(news), (circuit) => {
        const { color, text } = Text.stateCell(circuit.state)
        const name = Text.clean(circuit.name)
        return write(`${Text.timeOf({ timestamp: at })} ${name}: ${paint(color, text)}${Text.untilWhen(circuit)}`)
      }, { discard: true })
    }
    const handle = (message: News | Connected): Effect.Effect<void> => {
      switch (message._tag) {
        case "Circuits":
          return writeCircuits(message)
        case "Event": {
          const { event } = message
          if (json) return write(encodeEvent(event))
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

// -----------------------------------------------------------------------------
// screen
// -----------------------------------------------------------------------------

interface View {
  readonly url: string
  readonly circuits: Circuits
  readonly error: CommandError | undefined
  readonly changes: ReadonlyArray<CircuitChange>
  readonly size: Terminal.Size
}

const KEPT_CHANGES = 20

/** An event of no run: the server begins with all that it has kept. */
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

// A terminal that knows of it shows the frame at once; others see each line overwritten, never a blank screen.
const frame = (lines: ReadonlyArray<string>): string =>
  `\u001b[?2026h\u001b[H${lines.map((line) => `${line}\u001b[0m\u001b[K`).join("\r\n")}\u001b[J\u001b[?2026l`

const sizeOf = ({ columns, rows }: Terminal.Size): Terminal.Size => ({
  columns: columns > 0 ? columns : 80,
  rows: rows > 0 ? rows : 24
})

/** Draws a table in place until somebody quits. */
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
    // Whoever asks for the wrong thing is told so on the ordinary screen.
    const first = yield* takeStock(connection)

    const display = (text: string) => Effect.ignore(terminal.display(text))
    yield* Effect.acquireRelease(display(ENTER), () => display(LEAVE))

    const wake = yield* Queue.sliding<void>(1)
    const poll = Effect.forever(Effect.gen(function*() {
      yield* Effect.timeoutOption(Queue.take(wake), interval)
      yield* takeStock(connection).pipe(
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
        // What was drawn before is where it was not drawn to.
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

/** Waits for a key that quits. A terminal that has gone quits as well. */
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
