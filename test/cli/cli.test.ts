import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect } from "effect"
import { CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
import { Cli, CommandError } from "effect-resilience/cli"
import { Command } from "effect/cli"
import { TestClock } from "effect/testing"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Admin from "../admin/support.ts"
import { callOnce, trip } from "../support/registry.ts"
import { answerJson, execute, inFront, otherServer, restartable, run, start, until } from "./support.ts"

const env = (server: Pick<Admin.Server, "url">, more: Readonly<Record<string, string>> = {}) => ({
  RESILIENCE_ADMIN_URL: server.url,
  RESILIENCE_ADMIN_TOKEN: Admin.TOKEN,
  USER: "ada",
  ...more
})

const rates = CircuitBreakerRegistry.layer({
  defaults: CircuitPolicy.make({ failureRate: 0.5, minimumCalls: 4, openDuration: "1 minute" })
})

describe("status", () => {
  it.live("shows every circuit and exits with 0 while none is open", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")
      yield* callOnce(server, "email-service")

      const { code, stderr, stdout } = yield* run(["status"], { env: env(server) })

      assert.strictEqual(code, 0)
      assert.strictEqual(stderr, "")
      const [summary, head, ...rows] = stdout.trimEnd().split("\n")
      assert.strictEqual(summary, "healthy, 2 circuits")
      assert.match(head!, /^CIRCUIT +STATE +FAILURES +SLOW +CALLS +IN FLIGHT +IGNORED +REJECTED +RETRY IN$/)
      assert.match(rows[0]!, /^email-service +closed +0% +0% +1 +0 +0 +0$/)
      assert.match(rows[1]!, /^payment-api +closed +0% +0% +1 +0 +0 +0$/)
    }))

  it.live("shows rates beside their thresholds, trouble first, and exits with 2 when a circuit is open", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start({}, rates)
      yield* callOnce(server, "alright")
      const breaker = yield* server.registry.getOrCreate("payment-api")
      yield* breaker.execute(Effect.fail("down")).pipe(Effect.ignore, Effect.repeat({ times: 3 }))
      yield* breaker.execute(Effect.void).pipe(Effect.ignore)

      const { code, stdout } = yield* run(["status"], { env: env(server) })

      assert.strictEqual(code, 2)
      assert.match(stdout, /^unhealthy, 2 circuits, 1 open\n/)
      assert.match(stdout.split("\n")[2]!, /^payment-api +open +100% of 50% +0% +5 +0 +0 +1 +(1m|59s) +down$/)
    }))

  it.live("shows one circuit with its policy and latest changes, and exits by that circuit alone", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "alright")
      yield* trip(server, "payment-api")

      const open = yield* run(["status", "payment-api"], { env: env(server) })
      const closed = yield* run(["status", "alright"], { env: env(server) })

      assert.strictEqual(open.code, 2)
      assert.match(open.stdout, /policy +opens after 2 failures in a row, for 1m/)
      assert.match(open.stdout, /payment-api: closed → open, 2 failures in a row/)
      assert.strictEqual(closed.code, 0)
      assert.match(closed.stdout, /state +closed/)
    }))

  it.live("prints what the admin API says as JSON", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* trip(server, "payment-api")

      const all = yield* run(["status", "--json"], { env: env(server) })
      const one = yield* run(["--json", "status", "payment-api"], { env: env(server) })

      const answer = yield* Admin.ask(server, { path: "/circuits/payment-api", headers: Admin.bearer() })
      const { circuits, status, total } = JSON.parse(all.stdout)
      assert.deepStrictEqual([status, total], ["unhealthy", 1])
      assert.deepStrictEqual(Object.keys(circuits[0]).toSorted(), Object.keys(answer.json).toSorted())
      assert.strictEqual(circuits[0].state, "open")
      assert.strictEqual(JSON.parse(one.stdout).transitions[0].to, "Open")
      assert.strictEqual(all.code, 2)
    }))

  it.live("shows only the circuits of one state when asked", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "alright")
      yield* trip(server, "payment-api")

      const { code, stdout } = yield* run(["status", "--state", "closed", "--json"], { env: env(server) })

      assert.deepStrictEqual(JSON.parse(stdout).circuits.map(({ name }: { name: string }) => name), ["alright"])
      assert.strictEqual(code, 2)
    }))

  it.live("reads all pages of more circuits than one page holds", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* Effect.forEach(
        Array.from({ length: 1001 }, (_, i) => `c${i}`),
        (name) => server.registry.getOrCreate(name)
      )

      const { stdout } = yield* run(["status", "--json"], { env: env(server) })

      assert.strictEqual(JSON.parse(stdout).circuits.length, 1001)
    }))

  it.live("shows names as they are to a pipe, without what controls a terminal", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      const long = "x".repeat(150)
      for (const name of [long, "evil\u001b[2J\nname", "支付接口"]) yield* callOnce(server, name)

      const { stdout } = yield* run(["status"], { env: env(server) })

      assert.include(stdout, long)
      assert.include(stdout, "evil\\u001b[2J\\nname")
      assert.include(stdout, "支付接口")
      assert.notInclude(stdout, "\u001b")
    }))

  it.live("finds a circuit whose name is no part of a URL", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "a/b c?d#é%")

      const { code, stdout } = yield* run(["status", "a/b c?d#é%"], { env: env(server) })

      assert.strictEqual(code, 0)
      assert.match(stdout, /^a\/b c\?d#é%\n/)
    }))

  it.live("is degraded while a circuit is half-open, which is no reason to fail", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      const breaker = yield* trip(server, "payment-api")
      yield* breaker.forceOpen({ duration: "1 milli" })
      yield* Effect.sleep("5 millis")

      const { code, stdout } = yield* run(["status"], { env: env(server), columns: 80 })

      assert.strictEqual(code, 0)
      assert.isTrue(stdout.startsWith("\u001b[33mdegraded\u001b[0m, 1 circuit\n"))
    }))

  it.live("has no settings of a circuit that has gone before they are asked for", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start({}, rates)
      yield* callOnce(server, "payment-api")
      const config = yield* Admin.ask(server, { path: "/config", headers: Admin.bearer() })
      const url = yield* inFront(server, (path, response) =>
        path.startsWith("/config") && answerJson(response, 200, { ...config.json, circuits: [], total: 0 }))

      const { code, stdout } = yield* run(["status", "payment-api", "--json"], { env: env({ url }) })

      const json = JSON.parse(stdout)
      assert.deepStrictEqual([code, json.name, json.settings], [0, "payment-api", []])
    }))

  it.live("says why the program is not healthy, where it has checks of its own", () =>
    Effect.gen(function*() {
      const report = { status: "unhealthy", details: { reasons: ["disk: \u001b[2Jthe disk is full", 7] } } as const
      const server = yield* Admin.start({ health: Effect.succeed(report) })

      const text = yield* run(["status"], { env: env(server) })
      const json = yield* run(["status", "--json"], { env: env(server) })

      assert.strictEqual(text.code, 2)
      assert.match(text.stdout, /^unhealthy, 0 circuits\n {2}disk: .*the disk is full\n$/)
      assert.notInclude(text.stdout, "\u001b")
      assert.strictEqual(JSON.parse(json.stdout).reasons.length, 1)
    }))

  it.live("is in color on a terminal, and not with NO_COLOR", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")

      const colored = yield* run(["status"], { env: env(server), columns: 80 })
      const plain = yield* run(["status"], { env: env(server, { NO_COLOR: "1" }), columns: 80 })

      assert.include(colored.stdout, "\u001b[32mclosed\u001b[0m")
      assert.notInclude(plain.stdout, "\u001b")
    }))
})

describe("changes", () => {
  it.live("open forces a circuit open for a time, and says who and why", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")

      const { code, stdout } = yield* run(
        ["open", "payment-api", "--for", "5m", "--reason", "provider maintenance", "--by", "grace"],
        { env: env(server) }
      )

      assert.deepStrictEqual([code, stdout], [0, "payment-api is now forced open for 5m\n"])
      const breaker = yield* server.registry.getOrCreate("payment-api")
      const { state, timeUntilRetry } = yield* breaker.metrics
      assert.strictEqual(state, "ForcedOpen")
      assert.isTrue(Duration.isLessThanOrEqualTo(timeUntilRetry!, Duration.minutes(5)))
      const history = yield* Admin.ask(server, { path: "/circuits/payment-api/history", headers: Admin.bearer() })
      assert.strictEqual(history.json.transitions[0].note, "provider maintenance (by grace)")
    }))

  it.live("open without a time lasts until another command", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")

      const { stdout } = yield* run(["open", "payment-api"], { env: env(server) })
      const status = yield* run(["status"], { env: env(server) })

      assert.strictEqual(stdout, "payment-api is now forced open until it is released\n")
      assert.match(status.stdout, /payment-api +forced open .* when released/)
      assert.strictEqual(status.code, 2)
    }))

  for (
    const [command, state, words] of [
      ["close", "Closed", "closed"],
      ["disable", "Disabled", "disabled"],
      ["metrics-only", "MetricsOnly", "metrics only"],
      ["reset", "Closed", "closed"]
    ] as const
  ) {
    it.live(`${command} makes an open circuit ${words}`, () =>
      Effect.gen(function*() {
        const server = yield* Admin.start()
        const breaker = yield* trip(server, "payment-api")

        const { code, stdout } = yield* run([command, "payment-api"], { env: env(server) })

        assert.deepStrictEqual([code, stdout], [0, `payment-api is now ${words}\n`])
        assert.strictEqual(yield* breaker.state, state)
      }))
  }

  it.live("reset --all makes every circuit as new", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* trip(server, "a")
      yield* trip(server, "b")

      const { code, stdout } = yield* run(["reset", "--all"], { env: env(server) })

      assert.deepStrictEqual([code, stdout], [0, "2 circuits reset\n"])
      assert.deepStrictEqual(yield* server.registry.openCircuits, [])
    }))

  it.live("print the circuit as JSON", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* trip(server, "payment-api")

      const one = yield* run(["close", "payment-api", "--json"], { env: env(server) })
      const all = yield* run(["reset", "--all", "--json"], { env: env(server) })

      assert.strictEqual(JSON.parse(one.stdout).state, "closed")
      assert.deepStrictEqual(JSON.parse(all.stdout), { reset: 1 })
    }))

  it.live("are made by RESILIENCE_ADMIN_BY before the user, and by nobody never", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")
      const noteOf = (more: Readonly<Record<string, string>>) =>
        Effect.gen(function*() {
          yield* run(["reset", "payment-api"], { env: env(server) })
          yield* run(["open", "payment-api"], { env: env(server, more) })
          const history = yield* Admin.ask(server, { path: "/circuits/payment-api/history", headers: Admin.bearer() })
          return history.json.transitions.at(-1).note
        })

      assert.strictEqual(yield* noteOf({}), "none given (by ada)")
      assert.strictEqual(yield* noteOf({ RESILIENCE_ADMIN_BY: "deploy-bot" }), "none given (by deploy-bot)")
      const nobody = yield* run(["close", "payment-api"], { env: env(server, { USER: "" }) })
      assert.strictEqual(nobody.code, 1)
      assert.include(nobody.stderr, "say --by, or set RESILIENCE_ADMIN_BY")
      const tooLong = yield* run(["close", "payment-api"], { env: env(server, { USER: "x".repeat(101) }) })
      assert.strictEqual(tooLong.code, 1)
      assert.include(tooLong.stderr, "USER must be 1 to 100 characters on one line; or say --by")
    }))
})

describe("exit codes", () => {
  it.live("1 for what the command line does not know or accept, with a word on what it does", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")
      const cases: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
        [["status", "--nope"], /Unrecognized flag: --nope/],
        [["stats"], /stats/],
        [["close"], /Missing required argument: name/],
        [["reset"], /either the name of a circuit or --all/],
        [["reset", "payment-api", "--all"], /either the name of a circuit or --all/],
        [["open", "payment-api", "--for", "soon"], /"soon".*90 \(seconds\), 500ms, 5m, 1h30m/],
        [["open", "payment-api", "--for", "0"], /"0"/],
        [["open", "payment-api", "--reason", "a\nb"], /1 to 500 characters on one line/],
        [["open", "payment-api", "--by", " "], /1 to 100 characters on one line/],
        [["watch", "--interval", "1ms"], /100ms or more/],
        [["config", "--circuit", "a=nope"], /fastFail/],
        [["status", "--url", "nonsense"], /--url must be a URL such as .*; got "nonsense"/],
        [["status", "--url", "ftp://host"], /--url must be a URL/],
        [["status", "--url", "http://127.0.0.1:9700/?a=b"], /without user, password, query or fragment/],
        [["status", "--token", "two words"], /--token must have a token/],
        [["status", "--token-file", "/no/such/file"], /--token-file "\/no\/such\/file" cannot be read/],
        [["status", "--token", "a", "--token-file", "b"], /exclude each other/]
      ]
      for (const [args, message] of cases) {
        const { code, stderr, stdout } = yield* run(args, { env: env(server) })
        assert.strictEqual(code, 1, args.join(" "))
        assert.match(stderr, message)
        assert.strictEqual(stdout, "")
      }
    }))

  it.live("1 for a mistyped command or flag, in lines that can be read, with the ones that may have been meant", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string, string]> = [
        [["opne"], `Unknown subcommand "opne" for "effect-resilience"; did you mean "open"?`, ""],
        [["nonsense"], `Unknown subcommand "nonsense" for "effect-resilience"`, ""],
        [
          ["open", "a", "--fro", "5m"],
          `Unrecognized flag: --fro in command effect-resilience open; did you mean "--for"?`,
          " open"
        ],
        [["status", "--nonsense"], "Unrecognized flag: --nonsense in command effect-resilience status", " status"],
        [["op\u001b[2J\nne"], `Unknown subcommand "op\\u001b[2J\\nne" for "effect-resilience"`, ""]
      ]
      for (const [args, message, command] of cases) {
        const { code, stderr } = yield* run(args)
        assert.strictEqual(code, 1)
        assert.strictEqual(stderr, `effect-resilience: ${message}\nTry: effect-resilience${command} --help\n`)
      }
    }))

  it.live("3 when nobody answers, or not as the admin API does", () =>
    Effect.gen(function*() {
      const gone = yield* Effect.scoped(otherServer(() => {}))
      const page = yield* otherServer((_, response) => response.writeHead(200).end("<html>"))
      const missing = yield* otherServer((_, response) => response.writeHead(404).end("no"))
      const broken = yield* otherServer((_, response) => response.writeHead(500).end("oops"))
      const cut = yield* otherServer((request) => request.socket.destroy())

      for (const url of [gone, page, missing, broken, cut]) {
        const { code, stderr } = yield* run(["status", "--url", url], { env: {} })
        assert.strictEqual(code, 3)
        assert.include(stderr, url)
        assert.strictEqual(stderr.trimEnd().split("\n").length, 1)
      }
      assert.include((yield* run(["status", "--url", gone], { env: {} })).stderr, "ECONNREFUSED")
      assert.include((yield* run(["status", "--url", missing], { env: {} })).stderr, "HTTP 404")
    }))

  it.effect("3 when there is no answer within ten seconds", () =>
    Effect.gen(function*() {
      let asked = false
      const url = yield* otherServer(() => {
        asked = true
      })
      const status = yield* start(["status", "--url", url])
      yield* until("the question", () => asked)

      yield* TestClock.adjust("9999 millis")
      assert.strictEqual(status.stderr(), "")
      yield* TestClock.adjust("1 milli")

      const { code, stderr } = yield* status.ended
      assert.deepStrictEqual([code, stderr], [3, `effect-resilience: ${url} did not answer within 10s\n`])
    }))

  it.live("3 without a connection, with what is at the bottom of it", () =>
    Effect.gen(function*() {
      const refused = Object.assign(new Error("connect ECONNREFUSED ::1:9700"), { code: "ECONNREFUSED" })
      for (
        const [cause, message] of [
          [refused, "connect ECONNREFUSED ::1:9700"],
          [new AggregateError([refused, new Error("the second address")]), "connect ECONNREFUSED ::1:9700"],
          [new AggregateError([], "no address"), "no address"],
          [new AggregateError(["no error"], ""), "fetch failed"],
          [Object.assign(new Error(""), { code: "ECONNRESET" }), "fetch failed (ECONNRESET)"],
          [Object.assign(new Error("odd"), { code: 7 }), "odd"],
          ["no error", "fetch failed"]
        ] as const
      ) {
        const asked: Array<string> = []
        const { code, stderr } = yield* run(["status"], {
          fetch: (input) => {
            asked.push(String(input))
            return Promise.reject(new TypeError("fetch failed", { cause }))
          }
        })

        assert.strictEqual(code, 3)
        assert.strictEqual(stderr, `effect-resilience: cannot reach http://127.0.0.1:9700: ${message}\n`)
        assert.deepStrictEqual(asked, ["http://127.0.0.1:9700/status"])
      }
    }))

  it.live("1 for a request, and 3 for a subscription, that the server does not take", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")
      for (
        const [status, error, code, said] of [
          [400, { _tag: "InvalidRequestError", message: "bad" }, 1, "does not accept that: bad"],
          [413, { _tag: "BodyTooLargeError", limit: 1, message: "too large" }, 1, "does not accept that: too large"],
          [415, { _tag: "UnsupportedMediaTypeError", message: "no JSON" }, 1, "does not accept that: no JSON"]
        ] as const
      ) {
        const url = yield* inFront(server, (path, response) =>
          path.endsWith("/force-close") && answerJson(response, status, error))
        const { stderr, ...result } = yield* run(["close", "payment-api"], { env: env({ url }) })

        assert.deepStrictEqual([result.code, stderr], [code, `effect-resilience: ${url} ${said}\n`])
      }
      const full = { _tag: "TooManySubscribersError", limit: 1, message: "1 reads already" }
      const url = yield* inFront(server, (path, response) =>
        path.startsWith("/events") && answerJson(response, 503, full))
      const watch = yield* start(["watch"], { env: env({ url }) })
      yield* until("the complaint", () =>
        watch.stderr() !== "")

      const { stderr } = yield* watch.interrupt
      assert.strictEqual(stderr, `effect-resilience: ${url} is busy: 1 reads already; trying again\n`)
    }), 30_000)

  it.live("4 without a token, with a wrong one, and where changes are off", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start({ readAccess: "token" })
      const readOnly = yield* Admin.start({ changes: false })
      yield* callOnce(readOnly, "payment-api")

      const none = yield* run(["status"], { env: { RESILIENCE_ADMIN_URL: server.url } })
      const wrong = yield* run(["status", "--token", "wrong-token-wrong-token"], { env: env(server) })
      const refused = yield* run(["close", "payment-api"], { env: env(readOnly) })

      assert.deepStrictEqual([none.code, wrong.code, refused.code], [4, 4, 4])
      assert.include(none.stderr, "set RESILIENCE_ADMIN_TOKEN, or use --token-file")
      assert.include(wrong.stderr, "does not accept the token")
      for (const { stderr, stdout } of [none, wrong, refused]) {
        assert.notInclude(stdout + stderr, "wrong-token")
        assert.notInclude(stdout + stderr, Admin.TOKEN)
      }
    }))

  it.live("5 for a circuit that is not there, with the one that may have been meant", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")

      for (const args of [["status"], ["open"], ["close"], ["disable"], ["metrics-only"], ["reset"]]) {
        const { code, stderr, stdout } = yield* run([...args, "paymnt-api"], { env: env(server) })
        assert.strictEqual(code, 5, args.join(" "))
        assert.strictEqual(stdout, "")
        assert.include(stderr, "there is no circuit \"paymnt-api\"; did you mean \"payment-api\"?")
      }
    }))

  it.live("5 without a suggestion where no name is like it, or the names cannot be had", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")
      const url = yield* inFront(server, (path, response) =>
        path.startsWith("/circuits?") && answerJson(response, 500, "oops"))

      const unlike = yield* run(["close", "kafka"], { env: env(server) })
      const unknown = yield* run(["close", "paymnt-api"], { env: env({ url }) })

      assert.deepStrictEqual([unlike.code, unlike.stderr], [5, "effect-resilience: there is no circuit \"kafka\"\n"])
      assert.deepStrictEqual([unknown.code, unknown.stderr], [
        5,
        "effect-resilience: there is no circuit \"paymnt-api\"\n"
      ])
    }))

  it.live("are those of the process, whose errors are one line without a stack", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start({ readAccess: "token" })
      yield* trip(server, "payment-api")

      const results = yield* Effect.all([
        execute(["--version"], {}),
        execute(["status", "--nope"], env(server)),
        execute(["status"], env(server)),
        execute(["status", "--url", "http://127.0.0.1:9"], {}),
        execute(["status"], { RESILIENCE_ADMIN_URL: server.url }),
        execute(["status", "nobody"], env(server))
      ], { concurrency: 2 })

      assert.deepStrictEqual(results.map(({ code }) => code), [0, 1, 2, 3, 4, 5])
      for (const { stderr } of results) assert.notInclude(stderr, "    at ")
      assert.strictEqual(results[3]!.stderr.trimEnd().split("\n").length, 1)
    }), 60_000)
})

describe("the address and the token", () => {
  it.live("come from options before variables, the token from a file as well", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start({ readAccess: "token", prefix: "/resilience" })
      yield* callOnce(server, "payment-api")
      const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "cli-")), "token")
      fs.writeFileSync(file, `${Admin.TOKEN}\n`)
      yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(path.dirname(file), { recursive: true })))
      const wrong = { RESILIENCE_ADMIN_URL: "http://127.0.0.1:9", RESILIENCE_ADMIN_TOKEN: "wrong" }
      const url = `${server.url}/resilience/`

      const byOption = yield* run(["status", "--url", url, "--token", Admin.TOKEN], { env: wrong })
      const byFile = yield* run(["status", "--url", url, "--token-file", file], { env: wrong })
      const byVariable = yield* run(["status"], {
        env: { RESILIENCE_ADMIN_URL: url, RESILIENCE_ADMIN_TOKEN: Admin.TOKEN }
      })

      assert.deepStrictEqual([byOption.code, byFile.code, byVariable.code], [0, 0, 0])
    }))

  it.live("of a server on this machine need but its port", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()

      const right = yield* run(["status"], { env: { RESILIENCE_ADMIN_PORT: String(server.port) } })
      const wrong = yield* run(["status"], { env: { RESILIENCE_ADMIN_PORT: "0" } })

      assert.strictEqual(right.code, 0)
      assert.strictEqual(wrong.code, 1)
      assert.include(wrong.stderr, "RESILIENCE_ADMIN_PORT=\"0\" is no port to connect to")
    }))

  it.live("are not looked for elsewhere when the environment cannot be read", () =>
    Effect.gen(function*() {
      const provider = ConfigProvider.make((path) =>
        path[0] === "RESILIENCE_ADMIN_URL"
          ? Effect.fail(new ConfigProvider.SourceError({ message: "the disk is gone" }))
          : Effect.undefined
      )

      const { code, stderr } = yield* run(["status"], { provider })

      assert.strictEqual(code, 1)
      assert.match(stderr, /^effect-resilience: RESILIENCE_ADMIN_URL cannot be read: .*the disk is gone/)
    }))

  it.live("that are wrong are not shown if they may hold a password", () =>
    Effect.gen(function*() {
      for (const url of ["http://user:hunter2@127.0.0.1/", "postgres://user:hunter2@host", "user:hunter2@host"]) {
        const { code, stderr } = yield* run(["status"], { env: { RESILIENCE_ADMIN_URL: url } })
        assert.strictEqual(code, 1)
        assert.include(stderr, "RESILIENCE_ADMIN_URL")
        assert.notInclude(stderr, "hunter2")
      }
    }))
})

describe("config", () => {
  const rowOf = (stdout: string, key: string, section = "All circuits") => {
    const lines = stdout.slice(stdout.indexOf(section)).split("\n")
    return lines.find((line) => line.trim().startsWith(`${key} `))?.trim().split(/ {2,}/).slice(1)
  }

  it.live("shows every setting with its value and source, and exits with 0 without mistakes", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* run(["config"], {
        env: { CIRCUIT_BREAKER_FAILURE_THRESHOLD: "7", CB_PAYMENT_API_RECOVERY_TIMEOUT_SECONDS: "30" }
      })

      assert.strictEqual(code, 0)
      assert.deepStrictEqual(rowOf(stdout, "FAILURE_THRESHOLD"), ["7", "CIRCUIT_BREAKER_FAILURE_THRESHOLD"])
      assert.deepStrictEqual(rowOf(stdout, "MAX_RETRY_ATTEMPTS"), ["3", "default"])
      const circuit = "Circuit PAYMENT_API"
      assert.deepStrictEqual(rowOf(stdout, "FAILURE_THRESHOLD", circuit), ["7", "CIRCUIT_BREAKER_FAILURE_THRESHOLD"])
      assert.deepStrictEqual(
        rowOf(stdout, "RECOVERY_TIMEOUT", circuit),
        ["30s", "CB_PAYMENT_API_RECOVERY_TIMEOUT_SECONDS"]
      )
      assert.match(stdout, /No mistakes\.\n$/)
    }))

  it.live("shows the presets of circuits that the code names, and checks their variables", () =>
    Effect.gen(function*() {
      const args = ["config", "--circuit", "payment-api=kafka", "--circuit", "email"]
      const right = yield* run(args, { env: { CB_PAYMENT_API_SUCCESS_THRESHOLD: "4" } })
      const wrong = yield* run(args, { env: { CB_EMAIL_NOPE: "4" } })

      const circuit = "Circuit payment-api"
      assert.deepStrictEqual(rowOf(right.stdout, "RECOVERY_TIMEOUT", circuit), ["30s", "preset kafka"])
      assert.deepStrictEqual(
        rowOf(right.stdout, "SUCCESS_THRESHOLD", circuit),
        ["4", "CB_PAYMENT_API_SUCCESS_THRESHOLD"]
      )
      assert.deepStrictEqual([right.code, wrong.code], [0, 1])
      assert.include(wrong.stdout, "CB_EMAIL_NOPE is unknown; known names after CB_EMAIL_ are")
    }))

  it.live("shows all mistakes, and the values of what is right beside them", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* run(["config"], {
        env: {
          CIRCUIT_BREAKER_FAILURE_THRESHOLD: "7",
          CB_PAYMENT_API_FAILURE_RATE_THRESHOLD: "50",
          CB_PAYMENT_API_SUCCESS_THRESHOLD: "4",
          CIRCUIT_BREAKER_FAILURE_TRESHOLD: "3",
          RETRY_MAX_DELAY: "5",
          RETRY_BASE_DELAY: "10",
          RESILIENCE_ADMIN_TOKEN: "short",
          RESILIENCE_ADMIN_PORT: "many"
        }
      })

      assert.strictEqual(code, 1)
      assert.deepStrictEqual(rowOf(stdout, "FAILURE_THRESHOLD"), ["7", "CIRCUIT_BREAKER_FAILURE_THRESHOLD"])
      assert.deepStrictEqual(
        rowOf(stdout, "SUCCESS_THRESHOLD", "Circuit PAYMENT_API"),
        ["4", "CB_PAYMENT_API_SUCCESS_THRESHOLD"]
      )
      const mistakes = stdout.slice(stdout.indexOf("mistakes, left out above")).split("\n").slice(1, -1)
      assert.strictEqual(mistakes.length, 5)
      for (
        const mistake of [
          "CB_PAYMENT_API_FAILURE_RATE_THRESHOLD=\"50\" must be a number from 0 to 1, or \"off\"",
          "CIRCUIT_BREAKER_FAILURE_TRESHOLD is unknown; did you mean CIRCUIT_BREAKER_FAILURE_THRESHOLD?",
          "RETRY_MAX_DELAY=\"5\" must be at least RETRY_BASE_DELAY=\"10\"",
          "RESILIENCE_ADMIN_TOKEN must be 16 or more ASCII characters",
          "RESILIENCE_ADMIN_PORT"
        ]
      ) assert.include(mistakes.join("\n"), mistake)
    }))

  it.live("finds what only another mistake has hidden, and leaves that out as well", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* run(["config"], {
        env: {
          CIRCUIT_BREAKER_FAILURE_THRESHOLD: "7",
          CIRCUIT_BREAKER_SLOW_CALL_THRESHOLD_MS: "soon",
          CIRCUIT_BREAKER_SLOW_CALL_RATE_THRESHOLD: "0.5"
        }
      })

      assert.strictEqual(code, 1)
      assert.deepStrictEqual(rowOf(stdout, "FAILURE_THRESHOLD"), ["7", "CIRCUIT_BREAKER_FAILURE_THRESHOLD"])
      assert.deepStrictEqual(rowOf(stdout, "SLOW_CALL_RATE_THRESHOLD"), ["off", "default"])
      assert.match(stdout, /^1 mistake, left out above:\n.*SLOW_CALL_THRESHOLD_MS="soon" must be/m)
    }))

  it.live("leaves out a mistake however long its name is, and shows the defaults where nothing can be read", () =>
    Effect.gen(function*() {
      const name = `CIRCUIT_BREAKER_${"X".repeat(100)}`
      const long = yield* run(["config"], { env: { CIRCUIT_BREAKER_FAILURE_THRESHOLD: "7", [name]: "1" } })
      const broken = ConfigProvider.make((path) =>
        ["NO_COLOR", "FORCE_COLOR", "TERM"].includes(String(path[0])) || String(path[0]).startsWith("RESILIENCE_")
          ? Effect.undefined
          : Effect.fail(new ConfigProvider.SourceError({ message: "the disk is gone" }))
      )
      const unread = yield* run(["config"], { provider: broken })

      assert.deepStrictEqual(rowOf(long.stdout, "FAILURE_THRESHOLD"), ["7", "CIRCUIT_BREAKER_FAILURE_THRESHOLD"])
      assert.deepStrictEqual(rowOf(unread.stdout, "FAILURE_THRESHOLD"), ["5", "default"])
      for (const { code, stdout } of [long, unread]) {
        assert.strictEqual(code, 1)
        assert.include(stdout, "1 mistake, left out above:")
      }
      assert.match(long.stdout, /CIRCUIT_BREAKER_X+… is unknown/)
      assert.include(unread.stdout, "the disk is gone")
    }))

  it.live("takes a URL that is one, and shows times as the people who set them would", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* run(["config"], {
        env: {
          RESILIENCE_ADMIN_URL: "http://127.0.0.1:9700/resilience",
          CIRCUIT_BREAKER_SLOW_CALL_THRESHOLD_MS: "250",
          CIRCUIT_BREAKER_SLOW_CALL_RATE_THRESHOLD: "0.5"
        }
      })

      assert.strictEqual(code, 0)
      assert.match(stdout, /RESILIENCE_ADMIN_URL +http:\/\/127\.0\.0\.1:9700\/resilience\n/)
      assert.deepStrictEqual(rowOf(stdout, "SLOW_CALL_THRESHOLD_MS"), [
        "250ms",
        "CIRCUIT_BREAKER_SLOW_CALL_THRESHOLD_MS"
      ])
    }))

  it.live("never shows a token, in text or in JSON", () =>
    Effect.gen(function*() {
      const variables = { RESILIENCE_ADMIN_TOKEN: Admin.TOKEN, RESILIENCE_ADMIN_URL: "http://u:hunter2@host/" }
      const text = yield* run(["config"], { env: variables })
      const json = yield* run(["config", "--json"], { env: variables })

      assert.match(text.stdout, /RESILIENCE_ADMIN_TOKEN +set\n/)
      assert.strictEqual(JSON.parse(json.stdout).admin.RESILIENCE_ADMIN_TOKEN, "set")
      for (const { stderr, stdout } of [text, json]) {
        assert.notInclude(stdout + stderr, Admin.TOKEN)
        assert.notInclude(stdout + stderr, "hunter2")
      }
    }))

  it.live("prints JSON in the form of the admin API", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* run(["config", "--json", "--circuit", "a=fastFail"], {
        env: { CIRCUIT_BREAKER_SLOW_CALL_THRESHOLD_MS: "250" }
      })

      const { circuits, problems, settings } = JSON.parse(stdout)
      assert.strictEqual(code, 1)
      assert.match(problems[0], /SLOW_CALL_THRESHOLD_MS="250" needs CIRCUIT_BREAKER_SLOW_CALL_RATE_THRESHOLD/)
      assert.deepStrictEqual(settings.find(({ key }: { key: string }) => key === "RECOVERY_TIMEOUT"), {
        key: "RECOVERY_TIMEOUT",
        value: 60,
        unit: "seconds",
        source: "default",
        variable: "CIRCUIT_BREAKER_RECOVERY_TIMEOUT"
      })
      assert.deepStrictEqual([circuits[0].circuit, circuits[0].preset], ["a", "fastFail"])
      assert.strictEqual(circuits[0].settings[0].source, "preset")
    }))

  it.live("asks a running program for its own with --remote", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")

      const text = yield* run(["config", "--remote"], { env: env(server) })
      const json = yield* run(["config", "--remote", "--json"], { env: env(server) })

      assert.strictEqual(text.code, 0)
      assert.match(text.stdout, /Circuit payment-api: opens after 2 failures in a row/)
      assert.match(text.stdout, /read_access +loopback/)
      assert.strictEqual(JSON.parse(json.stdout).circuits[0].circuit, "payment-api")
    }))

  it.live("asks a running program for all pages of it, and fails on its mistakes", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* Effect.forEach(
        Array.from({ length: 1001 }, (_, i) => `c${i}`),
        (name) => server.registry.getOrCreate(name)
      )
      const first = yield* Admin.ask(server, { path: "/config", headers: Admin.bearer() })
      const mistaken = yield* inFront(server, (path, response) =>
        path.startsWith("/config") &&
        answerJson(response, 200, { ...first.json, circuits: [], problems: ["A is unknown"] }))

      const right = yield* run(["config", "--remote", "--json"], { env: env(server) })
      const wrong = yield* run(["config", "--remote"], { env: env({ url: mistaken }) })

      assert.deepStrictEqual([right.code, wrong.code], [0, 1])
      assert.strictEqual(JSON.parse(right.stdout).circuits.length, 1001)
      assert.match(wrong.stdout, /1 mistake, left out above:\n  A is unknown\n$/)
    }), 30_000)
})

describe("watch without a terminal", () => {
  it.live(
    "prints a line for each circuit and then one for each change, until it is interrupted",
    () =>
      Effect.gen(function*() {
        const server = yield* Admin.start()
        yield* callOnce(server, "payment-api")
        const watch = yield* start(["watch"], { env: env(server) })
        yield* until("the first line", () => watch.stdout().includes("\n"))

        yield* trip(server, "payment-api")
        yield* until("the change", () => watch.stdout().includes("→"))
        const { code, stderr, stdout } = yield* watch.interrupt

        const time = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z"
        assert.match(
          stdout,
          new RegExp(
            `^${time} payment-api: closed\n${time} payment-api: closed → open, 2 failures in a row \\(down\\)\n$`
          )
        )
        assert.strictEqual(stderr, "")
        assert.strictEqual(code, 130)
      }),
    40_000
  )

  it.live("prints a line of JSON for the circuits and for each change with --json", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")
      const watch = yield* start(["watch", "--json"], { env: env(server), columns: 80 })
      yield* until("the first line", () => watch.stdout().includes("\n"))

      yield* trip(server, "payment-api")
      yield* until("the change", () => watch.stdout().includes("StateChanged"))
      const { stdout } = yield* watch.interrupt

      const [first, second] = stdout.trimEnd().split("\n").map((line) => JSON.parse(line))
      assert.deepStrictEqual([first._tag, first.circuits[0].name], ["Circuits", "payment-api"])
      assert.deepStrictEqual([second._tag, second.from, second.to], ["StateChanged", "Closed", "Open"])
    }), 40_000)

  it.live(
    "says that the connection is lost, connects again, and shows what has changed meanwhile",
    () =>
      Effect.gen(function*() {
        const first = yield* restartable()
        yield* callOnce(first.server, "payment-api")
        yield* callOnce(first.server, "email")
        const watch = yield* start(["watch"], { env: env(first.server) })
        yield* until("the first lines", () => watch.stdout().includes("email"))

        yield* first.stop
        yield* until("the loss", () => watch.stderr().includes("trying again"))
        const second = yield* restartable(first.server.port)
        yield* callOnce(second.server, "email")
        yield* trip(second.server, "payment-api")
        yield* until("the connection", () => watch.stderr().includes("connected again"))
        yield* until("the change", () => watch.stdout().includes("payment-api: open"))
        yield* (yield* second.server.registry.getOrCreate("payment-api")).forceClose
        yield* until("the next change", () => watch.stdout().includes("open → closed"))
        const { stderr, stdout } = yield* watch.interrupt

        assert.strictEqual(stderr.trimEnd().split("\n").filter((line) => line.includes("trying again")).length, 1)
        assert.strictEqual(stdout.split("email: closed").length, 2)
      }),
    60_000
  )

  it.live("exits with 3 if nobody answers at first, and with 4 without the token", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start({ readAccess: "token" })

      const nobody = yield* run(["watch", "--url", "http://127.0.0.1:9"], { env: {} })
      const refused = yield* run(["watch"], { env: { RESILIENCE_ADMIN_URL: server.url } })

      assert.deepStrictEqual([nobody.code, refused.code], [3, 4])
    }))

  it.live("ends when the reader of its lines has gone", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      yield* callOnce(server, "payment-api")
      const toggle = Effect.gen(function*() {
        const breaker = yield* server.registry.getOrCreate("payment-api")
        yield* breaker.disable
        yield* breaker.forceClose
        yield* Effect.sleep("50 millis")
      })
      yield* Effect.forkScoped(Effect.forever(toggle))

      const result = yield* execute(["watch"], env(server), { firstLine: true })

      assert.strictEqual(result.code, 0)
      assert.strictEqual(result.stderr, "")
    }), 60_000)
})

describe("the executable", () => {
  /** Runs the executable where loading the platform fails. */
  const withoutPlatform = (error: string) => {
    const hooks = `
      import { registerHooks } from "node:module"
      registerHooks({
        resolve: (specifier, context, next) => {
          if (!specifier.startsWith("@effect/platform-node")) return next(specifier, context)
          throw ${error}
        }
      })`
    return execute(["status"], {}, { nodeOptions: ["--import", `data:text/javascript,${encodeURIComponent(hooks)}`] })
  }

  it.live(
    "says how to install @effect/platform-node where it is missing, without a stack",
    () =>
      Effect.gen(function*() {
        const { code, stderr, stdout } = yield* withoutPlatform(
          "Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })"
        )

        assert.deepStrictEqual([code, stdout], [1, ""])
        assert.strictEqual(
          stderr.trimEnd(),
          "effect-resilience: the command line needs @effect/platform-node. Install it:\n\n" +
            "    npm install @effect/platform-node"
        )
      }),
    60_000
  )

  it.live("says so if @effect/platform-node is there and does not load", () =>
    Effect.gen(function*() {
      const { code, stderr, stdout } = yield* withoutPlatform("new SyntaxError('half a file')")

      assert.deepStrictEqual([code, stdout], [1, ""])
      assert.strictEqual(
        stderr.trimEnd(),
        "effect-resilience: @effect/platform-node cannot be loaded: SyntaxError: half a file"
      )
    }), 60_000)
})

describe("the command as part of another", () => {
  it.live("says what is wrong and has the exit code", () =>
    Effect.gen(function*() {
      const app = Command.make("app").pipe(Command.withSubcommands([Cli.command]))
      const args = ["effect-resilience", "status", "--url", "http://127.0.0.1:9"]

      const { code, stderr } = yield* run(args, { command: Command.run(app, { version: "1.0.0" }) })

      assert.strictEqual(code, 3)
      assert.include(stderr, "cannot reach http://127.0.0.1:9")
    }))
})

describe("help", () => {
  it.live("tells of every command, and of the options that all have", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* run(["--help"])

      assert.strictEqual(code, 0)
      for (
        const word of ["status", "watch", "open", "close", "disable", "metrics-only", "reset", "config"].concat(
          "--url",
          "--token",
          "--token-file",
          "--json"
        )
      ) assert.include(stdout, word)
    }))

  it.live("goes with the version of the package", () =>
    Effect.gen(function*() {
      const manifest = JSON.parse(fs.readFileSync(path.resolve(import.meta.dirname, "../../package.json"), "utf8"))

      assert.strictEqual((yield* run(["--version"])).stdout, `effect-resilience v${manifest.version}\n`)
    }))

  it("has a number for every way to end", () => {
    assert.deepStrictEqual(Object.values(CommandError.exitCodes), [0, 1, 2, 3, 4, 5])
  })
})
