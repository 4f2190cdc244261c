import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Queue, Schema } from "effect"
import { TestClock } from "effect/testing"
import type { ServerResponse } from "node:http"
import { LiveEvent } from "../../src/admin/AdminApi.ts"
import * as Admin from "../admin/support.ts"
import { Screen } from "./screen.ts"
import { callOnce, trip } from "../support/registry.ts"
import { inFront, makeHands, press, restartable, type Running, start, until } from "./support.ts"

const env = ({ url }: Pick<Admin.Server, "url">) => ({
  RESILIENCE_ADMIN_URL: url,
  RESILIENCE_ADMIN_TOKEN: Admin.TOKEN,
  NO_COLOR: "1"
})

// -----------------------------------------------------------------------------
// events by hand
// -----------------------------------------------------------------------------

const encode = Schema.encodeSync(Schema.fromJsonString(Schema.toCodecJson(LiveEvent)))

const frame = (event: LiveEvent, id?: string) =>
  `${id === undefined ? "" : `id: ${id}\n`}event: ${event._tag}\ndata: ${encode(event)}\n\n`

const about = { circuit: "payment-api", sequence: 1, timestamp: 0 }

const disabled: LiveEvent = {
  _tag: "StateChanged",
  ...about,
  from: "Closed",
  to: "Disabled",
  reason: "Manual",
  retryAfter: Duration.zero,
  openings: 0,
  elapsed: Duration.zero,
  consecutiveFailures: 0,
  failureRate: 0,
  slowCallRate: 0,
  calls: 0
}

const reconfigured: LiveEvent = { _tag: "Reconfigured", ...about, changed: ["openDuration"] }

const called: LiveEvent = {
  _tag: "CallEnded",
  ...about,
  outcome: "Failure",
  state: "Closed",
  slow: false,
  consecutiveFailures: 1
}

const lost = (count: number | null): LiveEvent => ({ _tag: "EventsLost", reason: "SlowReader", lost: count })

/** Begins to tell events, and goes on until the server is closed. */
const tell = (response: ServerResponse, ...frames: ReadonlyArray<string>): true => {
  response.writeHead(200, { "content-type": "text/event-stream" }).write(`: hello\n\n${frames.join("")}`)
  return true
}

/** Real time, for what comes from a server to arrive and be done with. */
const breathe = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 100)))

// -----------------------------------------------------------------------------

describe("watch without a terminal", { timeout: 30_000 }, () => {
  it.live("says how many events are missing if the server knows, and takes a call for no change", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")
      const url = yield* inFront(server, (path, response) =>
        path.startsWith("/events") &&
        tell(response, ...[lost(3), lost(null), called, reconfigured, disabled].map((event) => frame(event))))

      const watch = yield* start(["watch"], { env: env({ url }) })
      yield* until("the last event", () => watch.stdout().includes("disabled"))
      const { stderr, stdout } = yield* watch.interrupt

      assert.deepStrictEqual(stderr.trimEnd().split("\n"), [
        "effect-resilience: 3 events are missing",
        "effect-resilience: some events are missing"
      ])
      assert.deepStrictEqual(
        stdout.trimEnd().split("\n").filter((line) => line.startsWith("1970")).map((line) => line.slice(25)),
        ["payment-api: reconfigured, openDuration", "payment-api: closed → disabled, by hand"]
      )
    }))

  it.effect("complains once, however often it is turned away, and goes on after the event it has heard last", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")
      const asked: Array<string | undefined> = []
      let first: ServerResponse | undefined
      const url = yield* inFront(server, (path, response, { headers }) => {
        if (!path.startsWith("/events")) return false
        asked.push(headers["last-event-id"] as string | undefined)
        first ??= response
        if (asked.length === 1) return tell(response, frame(reconfigured, "run-7"), frame(reconfigured))
        if (asked.length < 4) return response.destroy() !== undefined
        return tell(response, frame(disabled, "run-8"))
      })
      const watch = yield* start(["watch"], { env: env({ url }) })
      for (const [connections, delay] of [[1, 500], [2, 1000], [3, 2000]] as const) {
        yield* until("the connection", () => asked.length === connections)
        if (connections === 1) {
          yield* until("the event", () => watch.stdout().includes("reconfigured"))
          first?.end("data: {\"_tag\":\"Nonsense\"}\n\n")
        }
        yield* until("its end", () => watch.stderr() !== "")
        yield* breathe
        yield* TestClock.adjust(delay - 1)
        assert.strictEqual(asked.length, connections)
        yield* TestClock.adjust(1)
      }
      yield* until("the event", () => watch.stdout().includes("disabled"))
      const { stderr } = yield* watch.interrupt

      assert.deepStrictEqual(asked, [undefined, "run-7", "run-7", "run-7"])
      assert.deepStrictEqual(stderr.trimEnd().split("\n"), [
        `effect-resilience: ${url} does not answer as the admin API does; is it that, with its prefix?; trying again`,
        "effect-resilience: connected again"
      ])
    }))

  it.live("says that the server has ended the connection, and connects again", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")
      let connections = 0
      const url = yield* inFront(server, (path, response) => {
        if (!path.startsWith("/events")) return false
        tell(response, frame(connections++ === 0 ? reconfigured : disabled))
        if (connections === 1) response.end()
        return true
      })

      const watch = yield* start(["watch"], { env: env({ url }) })
      yield* until("the next connection's event", () => watch.stdout().includes("disabled"))
      const { stderr } = yield* watch.interrupt

      assert.deepStrictEqual(stderr.trimEnd().split("\n"), [
        `effect-resilience: ${url} ended the connection; trying again`,
        "effect-resilience: connected again"
      ])
    }))
})

describe("watch on a terminal", { timeout: 30_000 }, () => {
  const seen = (watch: Running, columns = 100) => {
    const screen = new Screen(columns, 24)
    screen.write(watch.stdout())
    return screen
  }

  const shows = (watch: Running, text: RegExp, columns?: number) =>
    until(() => `${text} in\n${seen(watch, columns).text}`, () => text.test(seen(watch, columns).text))

  const frames = (watch: Running) => watch.stdout().split("\u001b[?2026h").length - 1

  const open = Effect.fnUntraced(function*(server: Pick<Admin.Server, "url">, columns = 100) {
    const hands = yield* makeHands
    const watch = yield* start(["watch"], { env: env(server), columns, hands })
    return { hands, watch }
  })

  it.live("shows circuits and their changes until somebody presses q, and leaves the screen as it was", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      const { hands, watch } = yield* open(server)
      yield* shows(watch, /no circuits yet/)
      yield* trip(server, "payment-api")
      yield* shows(watch, /^unhealthy, 1 circuit, 1 open/)
      yield* shows(watch, /payment-api +open/)
      yield* shows(watch, /payment-api: closed → open, 2 failures in a row/)

      yield* press(hands, "x")
      yield* press(hands, "q")
      const { code, stderr } = yield* watch.ended

      assert.deepStrictEqual([code, stderr], [0, ""])
      const { modes } = seen(watch)
      assert.deepStrictEqual(["?1049", "?25", "?7"].map((mode) => modes.get(mode)), [false, true, true])
    }))

  for (
    const [name, key, code] of [
      ["Escape", "escape", 0],
      ["Ctrl-D", "d", 0],
      ["Ctrl-C", "c", 130]
    ] as const
  ) {
    it.live(`ends with ${code} at ${name}, and not at the letter alone`, () =>
      Effect.gen(function*() {
        const server = yield* Admin.start()
        const { hands, watch } = yield* open(server)
        yield* press(hands, "c")
        yield* press(hands, "d")
        yield* shows(watch, /no circuits yet/)
        yield* callOnce(server, "payment-api")
        yield* shows(watch, /payment-api/)

        yield* press(hands, key, { ctrl: key !== "escape" })
        assert.strictEqual((yield* watch.ended).code, code)
      }))
  }

  it.live("takes no keys where the input is no terminal", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      const hands = yield* makeHands
      const watch = yield* start(["watch"], { env: env(server), columns: 100, hands, stdinIsTerminal: false })
      yield* press(hands, "q")
      yield* shows(watch, /no circuits yet/)
      yield* callOnce(server, "payment-api")
      yield* shows(watch, /payment-api/)

      assert.strictEqual(yield* Queue.size(hands.keys), 1)
      assert.strictEqual((yield* watch.interrupt).code, 130)
    }))

  it.live("ends when the terminal has gone", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      const { hands, watch } = yield* open(server)
      yield* shows(watch, /no circuits yet/)

      yield* Queue.end(hands.keys)

      assert.strictEqual((yield* watch.ended).code, 0)
    }))

  it.live("follows the size of the terminal, and takes one that does not know its size for 80 by 24", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "x".repeat(100))
      const { hands, watch } = yield* open(server, 0)
      yield* shows(watch, /^x{10,60}… +closed/m, 80)
      assert.strictEqual(seen(watch, 80).lines[23], "q quits")

      yield* Queue.offer(hands.sizes, { columns: 200, rows: 12 })
      yield* shows(watch, /^x{100} +closed/m, 200)
      assert.strictEqual(seen(watch, 200).lines[11], "q quits")

      yield* Queue.offer(hands.sizes, { columns: 0, rows: 0 })
      yield* until(
        "80 columns",
        () => /x{10,60}… +closed/.test(watch.stdout().slice(watch.stdout().lastIndexOf("?2026h")))
      )
    }))

  it.effect("draws only what differs from what is there", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")
      let polls = 0
      const url = yield* inFront(server, (path) => {
        if (path === "/health") polls++
        return false
      })
      const { watch } = yield* open({ url })
      yield* until("the first frame", () => frames(watch) === 1)

      for (const second of [1, 2, 3]) {
        yield* breathe
        const before = polls
        yield* TestClock.adjust("1 second")
        yield* until("a look", () => polls > before)
        yield* until("the time", () => seen(watch).text.includes(`00:00:0${second}Z`))
        assert.strictEqual(frames(watch), 1 + second)
      }
      const hands = yield* makeHands
      const quick = yield* start(["watch", "--interval", "100ms"], { env: env({ url }), columns: 100, hands })
      yield* until("the first frame", () => frames(quick) === 1)
      yield* breathe
      const before = polls
      for (let tenth = 1; tenth < 10; tenth++) {
        yield* TestClock.adjust("100 millis")
        yield* breathe
      }
      assert.isAbove(polls, before + 2)
      yield* press(hands, "q")
      yield* quick.ended
      assert.strictEqual(frames(quick), 1)
    }))

  it.live("takes neither calls nor missing events for changes", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      const url = yield* inFront(server, (path, response) =>
        path.startsWith("/events") && tell(
          response,
          ...[called, lost(3), reconfigured].map((event) => frame(event))
        ))

      const { watch } = yield* open({ url })
      yield* shows(watch, /LATEST CHANGES/)

      const { lines } = seen(watch)
      const at = lines.indexOf("LATEST CHANGES")
      assert.deepStrictEqual(lines.slice(at + 1, at + 3), ["00:00:00Z payment-api: reconfigured, openDuration", ""])
    }))

  it.live(
    "shows that the server has gone with what it knew last, and goes on when it is back",
    () =>
      Effect.gen(function*() {
        const first = yield* restartable()
        yield* callOnce(first.server, "payment-api")
        const { watch } = yield* open(first.server)
        yield* shows(watch, /payment-api +closed/)

        yield* first.stop
        yield* shows(watch, /^trying again: /m)
        assert.match(seen(watch).text, /payment-api +closed/)

        const second = yield* restartable(first.server.port)
        yield* trip(second.server, "payment-api")
        yield* shows(watch, /payment-api +open/)
        assert.notInclude(seen(watch).text, "trying again")
      }),
    30_000
  )

  it.live("ends with 4 when the token is no longer accepted", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start({ readAccess: "token" })
      let refuses = false
      const url = yield* inFront(server, (path, response) => {
        if (!refuses || !path.startsWith("/circuits")) return false
        response.writeHead(401, { "content-type": "application/json" })
        response.end(JSON.stringify({ _tag: "UnauthorizedError", message: "no" }))
        return true
      })
      const { watch } = yield* open({ url })
      yield* shows(watch, /no circuits yet/)

      refuses = true
      const { code, stderr } = yield* watch.ended

      assert.strictEqual(code, 4)
      assert.include(stderr, "does not accept the token")
      assert.isFalse(seen(watch).modes.get("?1049"))
    }))
})
