import { assert, describe, it } from "@effect/vitest"
import { CliOutput } from "effect/cli"
import { Effect } from "effect"
import * as Admin from "../admin/support.ts"
import { callOnce, trip } from "../support/registry.ts"
import { hasPty, open, restartable, type Tty, until } from "./support.ts"

const env = ({ url }: Pick<Admin.Server, "url">, more: Readonly<Record<string, string>> = {}) => ({
  RESILIENCE_ADMIN_URL: url,
  RESILIENCE_ADMIN_TOKEN: Admin.TOKEN,
  ...more
})

const shows = ({ screen }: Tty, text: string | RegExp) =>
  until(
    () => `${text} on the screen:\n${screen.text}`,
    () => typeof text === "string" ? screen.text.includes(text) : text.test(screen.text)
  )

/** The screen is the one there was before, with its cursor, and keys do what they did. */
const isRestored = ({ screen }: Tty, modesKept: boolean) => {
  assert.deepStrictEqual(
    ["?1049", "?25", "?7"].map((mode) => screen.modes.get(mode)),
    [false, true, true]
  )
  assert.isTrue(modesKept)
}

const wanting = hasPty ? "" : ", skipped for want of python3 with its module pty"

describe.skipIf(!hasPty)(
  `watch in a terminal${wanting}`,
  () => {
    it.live("draws a table in place, and q ends it with 0", () =>
      Effect.gen(function*() {
        const server = yield* Admin.start()
        yield* callOnce(server, "email-service")
        const tty = yield* open(["watch"], { env: env(server) })
        yield* shows(tty, /email-service +closed/)
        assert.strictEqual(tty.screen.modes.get("?1049"), true)
        assert.strictEqual(tty.screen.modes.get("?25"), false)

        yield* trip(server, "payment-api")
        yield* shows(tty, /^payment-api +open .*\n?email-service +closed/m)
        yield* shows(tty, /\d\d:\d\d:\d\dZ payment-api: closed → open, 2 failures in a row/)

        tty.press("q")
        const { code, modesKept } = yield* tty.ended
        assert.strictEqual(code, 0)
        isRestored(tty, modesKept)
        // Nothing is cleared between two frames, so nothing flickers.
        const frames = tty.screen.raw.split("\u001b[?2026h").slice(1)
        assert.isAbove(frames.length, 1)
        for (const frame of frames) {
          assert.isTrue(frame.startsWith("\u001b[H"))
          assert.notInclude(frame, "\u001b[2J")
        }
      }), 60_000)

    for (
      const [name, act, code] of [
        ["Ctrl-C", (tty: Tty) => tty.press("\u0003"), 130],
        ["Escape", (tty: Tty) => tty.press("\u001b"), 0],
        ["Ctrl-D", (tty: Tty) => tty.press("\u0004"), 0],
        ["SIGINT", (tty: Tty) => tty.signal(2), 130],
        ["SIGTERM", (tty: Tty) => tty.signal(15), 130]
      ] as const
    ) {
      it.live(`${name} ends it with ${code}, and leaves the terminal as it was`, () =>
        Effect.gen(function*() {
          const server = yield* Admin.start()
          yield* callOnce(server, "payment-api")
          const tty = yield* open(["watch"], { env: env(server) })
          yield* shows(tty, "payment-api")
          yield* Effect.sleep("100 millis")

          act(tty)
          const ended = yield* tty.ended

          assert.strictEqual(ended.code, code)
          isRestored(tty, ended.modesKept)
          assert.notInclude(tty.screen.raw, "    at ")
        }), 60_000)
    }

    it.live("follows the size of the terminal, down to a few columns and rows and back", () =>
      Effect.gen(function*() {
        const server = yield* Admin.start()
        const long = "a-very-long-name-of-a-circuit-that-nobody-would-choose-but-somebody-did"
        for (const name of [long, "支付接口支付接口支付接口支付接口", "c", "d", "e", "f"]) yield* callOnce(server, name)
        const tty = yield* open(["watch"], { env: env(server), columns: 150, rows: 30 })
        yield* shows(tty, new RegExp(`${long} +closed`))
        yield* shows(tty, "IN FLIGHT")

        tty.resize(50, 12)
        yield* until(() => tty.screen.text, () => /^a-very-long.*… +closed/m.test(tty.screen.text))
        assert.notInclude(tty.screen.text, "IN FLIGHT")
        assert.match(tty.screen.text, /^支付接口.* +closed/m)
        assert.strictEqual(tty.screen.lines[11], "q quits")

        tty.resize(20, 6)
        yield* until(() => tty.screen.text, () =>
          /… and \d more/.test(tty.screen.text) && tty.screen.lines[5] === "q quits")
        for (const line of tty.screen.lines) {
          assert.isAtMost(CliOutput.displayWidth(line), 20)
        }

        tty.resize(1, 1)
        yield* Effect.sleep("300 millis")
        tty.resize(150, 30)
        yield* shows(tty, new RegExp(`${long} +closed`))
        tty.press("q")
        assert.strictEqual((yield* tty.ended).code, 0)
      }), 60_000)

    it.live(
      "shows that the server has gone with what it knew last, and goes on when it is back",
      () =>
        Effect.gen(function*() {
          const first = yield* restartable()
          yield* callOnce(first.server, "payment-api")
          const tty = yield* open(["watch", "--interval", "200ms"], { env: env(first.server) })
          yield* shows(tty, /payment-api +closed/)

          yield* first.stop
          yield* shows(tty, /cannot reach|ended the connection/)
          yield* shows(tty, "trying again")
          assert.match(tty.screen.text, /payment-api +closed/)

          const second = yield* restartable(first.server.port)
          yield* trip(second.server, "payment-api")
          yield* shows(tty, /payment-api +open/)
          yield* until("no more complaint", () => !tty.screen.text.includes("trying again"))
          yield* (yield* second.server.registry.getOrCreate("payment-api")).forceClose
          yield* shows(tty, "payment-api: open → closed, by hand")

          tty.press("q")
          const { code, modesKept } = yield* tty.ended
          assert.strictEqual(code, 0)
          isRestored(tty, modesKept)
        }),
      60_000
    )

    it.live("ends with 4 on the ordinary screen when the token is wrong", () =>
      Effect.gen(function*() {
        const server = yield* Admin.start({ readAccess: "token" })
        const tty = yield* open(["watch"], { env: env(server, { RESILIENCE_ADMIN_TOKEN: "wrong-token-wrong-token" }) })

        const { code, modesKept } = yield* tty.ended

        assert.strictEqual(code, 4)
        assert.isTrue(modesKept)
        assert.include(tty.screen.raw, "does not accept the token")
        assert.notInclude(tty.screen.raw, "\u001b[?1049h")
      }), 60_000)

    it.live("ends with 1 for a bad URL, and with 3 where nobody answers", () =>
      Effect.gen(function*() {
        const bad = yield* open(["watch", "--url", "nonsense"], { env: {} })
        const nobody = yield* open(["watch", "--url", "http://127.0.0.1:9"], { env: {} })

        assert.strictEqual((yield* bad.ended).code, 1)
        assert.strictEqual((yield* nobody.ended).code, 3)
        assert.include(bad.screen.raw, "--url must be a URL")
      }), 60_000)

    it.live(
      "has no colors with NO_COLOR, and prints lines on a terminal that cannot move its cursor",
      () =>
        Effect.gen(function*() {
          const server = yield* Admin.start()
          yield* trip(server, "payment-api")
          const plain = yield* open(["watch"], { env: env(server, { NO_COLOR: "1" }) })
          const dumb = yield* open(["watch"], { env: env(server, { TERM: "dumb" }) })
          yield* shows(plain, /payment-api +open/)
          yield* until("a line", () => dumb.screen.raw.includes("payment-api: open"))

          plain.press("q")
          dumb.press("\u0003")

          assert.strictEqual((yield* plain.ended).code, 0)
          assert.strictEqual((yield* dumb.ended).code, 130)
          // eslint-disable-next-line no-control-regex
          assert.notMatch(plain.screen.raw, /\u001b\[[1-9][0-9]*m/)
          assert.notInclude(dumb.screen.raw, "\u001b")
        }),
      60_000
    )

    it.live("cannot be controlled by the name of a circuit", () =>
      Effect.gen(function*() {
        const server = yield* Admin.start()
        yield* callOnce(server, "evil\u001b[2J\u001b]0;title\u0007name")
        const tty = yield* open(["watch"], { env: env(server), columns: 120 })
        yield* shows(tty, "evil\\u001b[2J\\u001b]0;title\\u0007name")

        tty.press("q")

        assert.strictEqual((yield* tty.ended).code, 0)
        assert.notInclude(tty.screen.raw, "\u001b[2J")
      }), 60_000)
  }
)

describe.skipIf(!hasPty)(`other commands in a terminal${wanting}`, () => {
  it.live("fit their tables into its columns", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "x".repeat(200))
      const tty = yield* open(["status"], { env: env(server), columns: 60 })

      assert.strictEqual((yield* tty.ended).code, 0)
      for (const line of tty.screen.raw.split("\r\n")) assert.isAtMost(CliOutput.displayWidth(line), 60)
      assert.match(tty.screen.raw, /x… /)
    }), 60_000)
})
