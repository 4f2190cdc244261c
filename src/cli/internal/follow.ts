/**
 * The circuits and events that `watch` follows, as messages to one loop, which
 * alone writes.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Circuit, Health, LiveEvent } from "../../admin/AdminApi.ts"
import { CommandError, exitCodes } from "../CommandError.ts"
import { type Connection, listCircuits } from "./client.ts"

export interface Circuits {
  readonly _tag: "Circuits"
  readonly rows: ReadonlyArray<Circuit>
  readonly status: Health["status"]
  readonly at: number
}

export interface Connected {
  readonly _tag: "Connected"
}

/** A message about the server. */
export type News =
  | Circuits
  | { readonly _tag: "Event"; readonly event: LiveEvent }
  | { readonly _tag: "Lost"; readonly error: CommandError }

export type Messages<A> = Queue.Queue<A, CommandError>

/** Runs concurrently with the loop, which ends if this fails. */
export const beside = <A, R>(
  messages: Messages<A>,
  self: Effect.Effect<void, CommandError, R>
): Effect.Effect<void, never, R | Scope.Scope> =>
  self.pipe(
    Effect.catchCause((cause) => Queue.failCause(messages, cause)),
    Effect.forkScoped({ startImmediately: true }),
    Effect.asVoid
  )

export const readCircuits = (connection: Connection): Effect.Effect<Circuits, CommandError> =>
  Effect.gen(function*() {
    const { status } = yield* connection.ask(connection.client.health.check())
    const rows = yield* listCircuits(connection)
    return { _tag: "Circuits", rows, status, at: yield* Clock.currentTimeMillis }
  })

export const isLost = (error: CommandError): boolean => error.exitCode === exitCodes.unreachable

const FIRST_DELAY = 500
const LONGEST_DELAY = 5_000

/**
 * Follows the events and reconnects. Runs `catchUp` where the server has not
 * kept the events that may have been missed.
 */
export const follow = Effect.fnUntraced(function*(
  connection: Connection,
  { after, catchUp, emit }: {
    /** The id of the event before the first one; without it, events from now on. */
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
