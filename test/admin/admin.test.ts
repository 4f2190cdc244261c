import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Deferred, Effect, Fiber, Layer, Redacted, Stream } from "effect"
import {
  CircuitBreakerRegistry,
  type CircuitEvent,
  CircuitPolicy,
  type ResilienceError,
  Tiers
} from "effect-resilience"
import { Admin, AdminApi } from "effect-resilience/admin"
import * as HealthMonitor from "effect-resilience/HealthMonitor"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { TestClock } from "effect/testing"
import * as http from "node:http"
import { callOnce, trip } from "../support/registry.ts"
import { ask, bearer, client, logged, start, TOKEN, who } from "./support.ts"

const commands = ["force-open", "force-close", "disable", "metrics-only", "reset"]

describe("health", () => {
  it.effect("is 200 while healthy or degraded and 503 while a circuit rejects calls; live is always 200", () =>
    Effect.gen(function*() {
      const server = yield* start()
      assert.strictEqual((yield* ask(server, { path: "/health" })).text, `{"status":"healthy"}`)

      yield* trip(server, "payment-api")
      const down = yield* ask(server, { path: "/health" })
      assert.deepStrictEqual([down.status, down.json], [503, { status: "unhealthy" }])
      assert.strictEqual((yield* ask(server, { path: "/health/live" })).status, 200)
      assert.strictEqual((yield* ask(server, { method: "HEAD", path: "/health" })).status, 503)

      yield* TestClock.adjust("1 minute")
      const probing = yield* ask(server, { path: "/health" })
      assert.deepStrictEqual([probing.status, probing.json], [200, { status: "degraded" }])
    }))

  it.effect("tells in detail which circuits are to blame", () =>
    Effect.gen(function*() {
      const server = yield* start()
      yield* trip(server, "payment-api")
      yield* server.registry.getOrCreate("fine")

      const { json, status } = yield* ask(server, { path: "/health/detailed" })

      assert.strictEqual(status, 503)
      assert.deepStrictEqual(json, {
        status: "unhealthy",
        total_circuits: 2,
        circuits_by_state: { closed: 1, open: 1, half_open: 0, forced_open: 0, disabled: 0, metrics_only: 0 },
        open_circuits: ["payment-api"],
        total_calls: 2,
        rejected_calls: 0,
        circuits: {
          "payment-api": { circuit_breaker: "open", failure_count: 2, error_rate: 1, time_until_retry: 60 }
        },
        circuits_not_shown: 0,
        checks: null
      })
    }))

  it.effect("shows a hundred circuits at most, and says how many more there are", () =>
    Effect.gen(function*() {
      const server = yield* start()
      for (let i = 0; i < 150; i++) yield* trip(server, `c${i}`)

      const { json } = yield* ask(server, { path: "/health/detailed" })

      assert.strictEqual(Object.keys(json.circuits).length, 100)
      assert.strictEqual(json.circuits_not_shown, 50)
      assert.strictEqual(json.circuits_by_state.open, 150)
    }))

  it.effect("is what the health source says, if there is one", () =>
    Effect.gen(function*() {
      const server = yield* start({ health: Effect.succeed({ status: "unhealthy", details: { disk: "full" } }) })

      assert.strictEqual((yield* ask(server, { path: "/health" })).status, 503)
      const { json } = yield* ask(server, { path: "/health/detailed" })
      assert.deepStrictEqual([json.status, json.checks], ["unhealthy", { disk: "full" }])
    }))

  it.effect("is unhealthy if the health source dies or hangs", () =>
    logged((lines) =>
      Effect.gen(function*() {
        const dying = yield* start({ health: Effect.die("secret of the source") })
        const died = yield* ask(dying, { path: "/health/detailed" })
        assert.deepStrictEqual([died.status, died.json.checks], [503, "the health source failed"])
        assert.deepStrictEqual(lines.map(({ message }) => message), ["admin_health_source_failed"])

        const asked = yield* Deferred.make<void>()
        const hanging = yield* start({ health: Effect.andThen(Deferred.succeed(asked, undefined), Effect.never) })
        const answer = yield* Effect.forkChild(ask(hanging, { path: "/health/detailed" }))
        yield* Deferred.await(asked)
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual((yield* Fiber.join(answer)).json.checks, "no answer in 5 seconds")
      })
    ))

  it.effect("is what the HealthMonitor says where there is one, which knows what is critical", () =>
    Effect.gen(function*() {
      const registry = CircuitBreakerRegistry.layer({ defaults: CircuitPolicy.make({ consecutiveFailures: 2 }) })
      const monitor = HealthMonitor.layer({
        circuits: false,
        checks: { recommendations: { circuit: "recommendations", critical: false } }
      })
      const server = yield* start({}, monitor.pipe(Layer.provideMerge(registry)))
      yield* trip(server, "recommendations")

      const { json, status } = yield* ask(server, { path: "/health/detailed" })

      assert.deepStrictEqual([status, json.status, json.open_circuits], [200, "degraded", ["recommendations"]])
      assert.strictEqual(json.checks.checks.recommendations.status, "unhealthy")
      assert.strictEqual(json.checks.checks_not_shown, 0)
    }))
})

describe("circuits", () => {
  it.effect("are listed in pages, oldest first, and by state", () =>
    Effect.gen(function*() {
      const server = yield* start()
      for (let i = 0; i < 250; i++) yield* server.registry.getOrCreate(`c${i}`)
      yield* trip(server, "c7")
      const names = ({ circuits }: AdminApi.Circuits) => circuits.map(({ name }) => name)
      const admin = yield* client(server)

      const first = yield* admin.circuits.list({ query: {} })
      const last = yield* admin.circuits.list({ query: { offset: 240, limit: 100 } })
      const open = yield* admin.circuits.list({ query: { state: "open" } })
      const beyond = yield* admin.circuits.list({ query: { offset: 1000 } })

      assert.deepStrictEqual([first.circuits.length, first.total, names(first)[0]], [100, 250, "c0"])
      assert.deepStrictEqual([names(last).length, names(last)[9]], [10, "c249"])
      assert.deepStrictEqual([names(open), open.total], [["c7"], 1])
      assert.deepStrictEqual([names(beyond), beyond.total], [[], 250])
    }))

  it.effect("have the names of the older systems in JSON, and their policy in words", () =>
    Effect.gen(function*() {
      const server = yield* start()
      yield* trip(server, "payment-api")

      const { json } = yield* ask(server, { path: "/circuits/payment-api" })

      assert.strictEqual(json.state, "open")
      assert.strictEqual(json.failure_count, 2)
      assert.strictEqual(json.error_rate, 1)
      assert.strictEqual(json.failure_rate, 1)
      assert.deepStrictEqual(json.last_failure, { error: "string", message: "down" })
      assert.strictEqual(json.time_until_retry, 60)
      assert.strictEqual(
        json.policy,
        "opens after 2 failures in a row, for 1m; up to 3 probes at once, 2 successes close it"
      )
    }))

  it.effect("say what they open at, null for what does not open them", () =>
    Effect.gen(function*() {
      const server = yield* start(
        {},
        CircuitBreakerRegistry.layer({
          circuits: {
            rates: CircuitPolicy.make({
              failureRate: 0.4,
              slowCallRate: 0.8,
              slowCallDuration: "2 seconds",
              minimumCalls: 7
            })
          }
        })
      )
      yield* server.registry.getOrCreate("rates")
      yield* server.registry.getOrCreate("row", CircuitPolicy.make({ consecutiveFailures: 3 }))
      const thresholds = (name: string) =>
        Effect.map(ask(server, { path: `/circuits/${name}` }), ({ json }) => json.thresholds)

      assert.deepStrictEqual(yield* thresholds("rates"), {
        failure_count: null,
        error_rate: 0.4,
        slow_call_rate: 0.8,
        slow_call_duration_ms: 2000,
        minimum_requests: 7
      })
      assert.deepStrictEqual(yield* thresholds("row"), {
        failure_count: 3,
        error_rate: null,
        slow_call_rate: null,
        slow_call_duration_ms: null,
        minimum_requests: 10
      })
    }))

  it.effect("come in the order of what needs attention, and by a part of their name, if so asked", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const { registry } = server
      yield* registry.getOrCreate("fine")
      const failing = yield* registry.getOrCreate("Failing")
      yield* (yield* registry.getOrCreate("disabled")).disable
      yield* trip(server, "half-open")
      yield* TestClock.adjust("1 minute")
      yield* failing.execute(Effect.fail("no")).pipe(Effect.ignore)
      yield* (yield* registry.getOrCreate("forced")).forceOpen()
      yield* trip(server, "open")
      const names = (query: string) =>
        Effect.map(
          ask(server, { path: `/circuits?${query}` }),
          ({ json }) => json.circuits.map(({ name }: { readonly name: string }) => name)
        )

      assert.deepStrictEqual(yield* names(""), ["fine", "Failing", "disabled", "half-open", "forced", "open"])
      assert.deepStrictEqual(
        yield* names("sort=attention"),
        ["open", "forced", "half-open", "Failing", "disabled", "fine"]
      )
      assert.deepStrictEqual(yield* names("sort=attention&limit=2&offset=1"), ["forced", "half-open"])
      assert.deepStrictEqual(yield* names("sort=attention&search=f"), ["forced", "half-open", "Failing", "fine"])
      assert.deepStrictEqual(yield* names("search=FAIL"), ["Failing"])
      assert.deepStrictEqual(yield* names("search=nothing"), [])
      assert.strictEqual((yield* ask(server, { path: "/circuits?search=open" })).json.total, 2)
      assert.strictEqual((yield* ask(server, { path: "/circuits?sort=name" })).status, 400)
    }))

  it.effect("have their latest transitions together, oldest first", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const admin = yield* client(server)
      assert.deepStrictEqual((yield* admin.circuits.transitions({ query: {} })).transitions, [])

      yield* trip(server, "a")
      yield* TestClock.adjust("10 seconds")
      yield* trip(server, "b")
      yield* TestClock.adjust("50 seconds")
      yield* callOnce(server, "a")
      yield* Effect.yieldNow

      const tell = ({ circuit, from, timestamp, to }: CircuitEvent.StateChanged) =>
        `${circuit}: ${from} to ${to} at ${timestamp}`
      const { transitions } = yield* admin.circuits.transitions({ query: {} })
      assert.deepStrictEqual(transitions.map(tell), [
        "a: Closed to Open at 0",
        "b: Closed to Open at 10000",
        "a: Open to HalfOpen at 60000"
      ])
      const { transitions: latest } = yield* admin.circuits.transitions({ query: { limit: 2 } })
      assert.deepStrictEqual(latest, transitions.slice(1))
    }))

  it.effect("are summed up at /status as in detail, but always with 200", () =>
    Effect.gen(function*() {
      const server = yield* start()
      yield* trip(server, "payment-api")
      const [status, detailed] = [
        yield* ask(server, { path: "/status" }),
        yield* ask(server, { path: "/health/detailed" })
      ]
      assert.deepStrictEqual([status.status, detailed.status], [200, 503])
      assert.deepStrictEqual(status.json, detailed.json)
      assert.strictEqual(status.json.status, "unhealthy")
    }))

  it.effect("are found by any name", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const admin = yield* client(server)
      const names = [
        "a/b",
        "ä ö",
        "50%",
        "a?b#c",
        "__proto__",
        "constructor",
        "reset",
        "x".repeat(100),
        "Payment",
        "\u{1F525}"
      ]
      for (const name of names) {
        yield* trip(server, name)
        assert.strictEqual((yield* admin.circuits.get({ params: { name } })).name, name)
        assert.strictEqual((yield* admin.circuits.history({ params: { name }, query: {} })).transitions.length, 1)
        assert.strictEqual((yield* admin.circuits.forceClose({ params: { name }, payload: who })).state, "closed")
      }
      yield* server.registry.resetAll
      assert.strictEqual((yield* admin.health.detailed()).status, "healthy")
    }))

  it.effect("that do not live are 404, with their name", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const admin = yield* client(server)

      const error = yield* Effect.flip(admin.circuits.get({ params: { name: "nope" } }))

      assert.instanceOf(error, AdminApi.CircuitNotFoundError)
      assert.strictEqual(error.message, `there is no circuit "nope"`)
      for (const path of ["/circuits/nope", "/circuits/nope/history", "/config?circuit=nope"]) {
        assert.strictEqual((yield* ask(server, { path })).status, 404, path)
      }
      for (const command of commands) {
        const answer = yield* ask(server, { path: `/circuits/nope/${command}`, body: who, headers: bearer() })
        assert.deepStrictEqual([answer.status, answer.json.circuit], [404, "nope"])
      }
      assert.deepStrictEqual(yield* server.registry.names, [])
    }))
})

describe("history", () => {
  it.effect("has the latest transitions of a circuit, with the operator's words, oldest first", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const admin = yield* client(server)
      yield* trip(server, "payment-api")
      yield* admin.circuits.forceOpen({ params: { name: "payment-api" }, payload: who })
      yield* admin.circuits.reset({ params: { name: "payment-api" }, payload: who })

      const { transitions } = yield* admin.circuits.history({ params: { name: "payment-api" }, query: {} })
      const [latest] =
        (yield* admin.circuits.history({ params: { name: "payment-api" }, query: { limit: 1 } })).transitions

      assert.deepStrictEqual(
        transitions.map(({ from, reason, to }) => `${from} -> ${to}: ${reason}`),
        ["Closed -> Open: ConsecutiveFailures", "Open -> ForcedOpen: Manual", "ForcedOpen -> Closed: Manual"]
      )
      assert.strictEqual(transitions[0]!.note, undefined)
      assert.strictEqual(transitions[1]!.note, "maintenance (by ada)")
      assert.strictEqual(transitions[2]!.note, "maintenance (by ada)")
      assert.strictEqual(latest?.to, "Closed")
    }))

  it.effect("is bounded per circuit, and over ten thousand circuits", () =>
    Effect.gen(function*() {
      const server = yield* start({ historyPerCircuit: 3, historyTotal: 50 })
      const admin = yield* client(server)
      const flapping = yield* server.registry.getOrCreate("flapping")
      for (let i = 0; i < 10; i++) {
        yield* flapping.forceOpen()
        yield* flapping.forceClose
        yield* Effect.yieldNow
      }
      const of = (name: string) =>
        Effect.map(admin.circuits.history({ params: { name }, query: {} }), ({ transitions }) => transitions.length)
      assert.strictEqual(yield* of("flapping"), 3)

      for (let i = 0; i < 10_000; i++) {
        const breaker = yield* server.registry.getOrCreate(`c${i}`)
        yield* breaker.forceOpen()
        // The one who remembers takes its time for each, and is not waited for.
        yield* Effect.yieldNow
        yield* Effect.yieldNow
      }
      assert.strictEqual(yield* of("flapping"), 0)
      assert.strictEqual(yield* of("c9949"), 0)
      assert.strictEqual(yield* of("c9950"), 1)
      assert.strictEqual(yield* of("c9999"), 1)
    }))
})

describe("changes", () => {
  it.effect("of thousands of circuits at once are all remembered", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const admin = yield* client(server)
      const many = 4000
      for (let i = 0; i < many; i++) {
        yield* (yield* server.registry.getOrCreate(`c${i}`)).forceOpen()
        yield* Effect.yieldNow
        yield* Effect.yieldNow
      }

      assert.deepStrictEqual(yield* admin.circuits.resetAll({ payload: who }), { reset: many })

      for (let i = 0; i < many; i += 97) {
        const { transitions } = yield* admin.circuits.history({ params: { name: `c${i}` }, query: {} })
        assert.deepStrictEqual(transitions.map(({ to }) => to), ["ForcedOpen", "Closed"])
      }
    }))

  // migration: API endpoints to open and close circuits
  it.effect("are made and answered with the circuit as it is now", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const { circuits } = yield* client(server)
      const breaker = yield* trip(server, "payment-api")
      const params = { name: "payment-api" }

      assert.strictEqual((yield* circuits.forceClose({ params, payload: who })).state, "closed")
      assert.strictEqual((yield* circuits.disable({ params, payload: who })).state, "disabled")
      assert.strictEqual((yield* circuits.metricsOnly({ params, payload: who })).state, "metrics_only")
      assert.strictEqual((yield* circuits.forceOpen({ params, payload: who })).time_until_retry, null)
      assert.strictEqual(yield* breaker.state, "ForcedOpen")
      const reset = yield* circuits.reset({ params, payload: who })
      assert.deepStrictEqual([reset.state, reset.total_calls, reset.current_backoff], ["closed", 0, null])

      yield* trip(server, "payment-api")
      yield* trip(server, "search")
      assert.deepStrictEqual(yield* circuits.resetAll({ payload: who }), { reset: 2 })
      assert.deepStrictEqual(yield* server.registry.openCircuits, [])
    }))

  it.effect("force a circuit open for seconds, or for a duration as variables take it", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const { circuits } = yield* client(server)
      const breaker = yield* server.registry.getOrCreate("payment-api")
      const forceOpen = (duration: number | string) =>
        circuits.forceOpen({ params: { name: "payment-api" }, payload: { ...who, duration } })

      assert.strictEqual((yield* forceOpen(90)).time_until_retry, 90)
      for (const text of ["90", "90s", "1m 30s", "PT1M30S", "1.5 minutes"]) {
        assert.strictEqual((yield* forceOpen(text)).time_until_retry, 90, text)
      }
      assert.strictEqual((yield* forceOpen("10 minutes")).time_until_retry, 600)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(yield* breaker.state, "HalfOpen")

      for (const wrong of [0, -1, "0 seconds", "soon", "Infinity", "-5 seconds", ""]) {
        const error = yield* Effect.flip(forceOpen(wrong))
        assert.instanceOf(error, AdminApi.InvalidRequestError)
        assert.strictEqual(
          error.message,
          `body.duration: must be seconds above 0, a text such as "30 seconds", or "until released", got ${
            JSON.stringify(wrong)
          }`
        )
      }
      assert.strictEqual(yield* breaker.state, "HalfOpen")
    }))

  it.effect("force a circuit open for good without a duration or until released, and never for what is none", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const breaker = yield* server.registry.getOrCreate("payment-api")
      const forceOpen = (more: string) =>
        ask(server, {
          method: "POST",
          path: "/circuits/payment-api/force-open",
          raw: `{"by":"ada","reason":"maintenance"${more}}`,
          headers: { ...bearer(), "content-type": "application/json" }
        })

      for (const none of ["null", "true", "[]", "{}", "1e400"]) {
        const { json, status } = yield* forceOpen(`,"duration":${none}`)
        assert.deepStrictEqual([status, json.message], [
          400,
          "body.duration: must be seconds above 0, a text such as \"30 seconds\", or \"until released\""
        ])
      }
      for (const misspelt of ["duraton", "Duration", "for"]) {
        const { json, status } = yield* forceOpen(`,"${misspelt}":"5 minutes"`)
        assert.deepStrictEqual([status, json.message.split(":")[0]], [400, `body.${misspelt}`])
      }
      assert.strictEqual(yield* breaker.state, "Closed")

      for (const more of ["", ",\"duration\":\"until released\""]) {
        const { json } = yield* forceOpen(more)
        assert.deepStrictEqual([json.state, json.time_until_retry], ["forced_open", null])
        yield* breaker.reset
      }
    }))

  it.effect("are logged, with who and why, from where, and what it did", () =>
    logged((lines) =>
      Effect.gen(function*() {
        const server = yield* start()
        yield* server.registry.getOrCreate("payment-api")
        const post = (command: string, body: unknown) => ask(server, { path: command, body, headers: bearer() })

        for (const command of commands) yield* post(`/circuits/payment-api/${command}`, who)
        yield* post("/circuits/payment-api/force-open", { ...who, duration: "1 minute" })
        yield* post("/reset-all", who)

        const common = { level: "Warn", by: "ada", reason: "maintenance", remote_address: "127.0.0.1" }
        const one = { ...common, circuit_breaker: "payment-api" }
        assert.deepStrictEqual(lines, [
          { ...one, message: "circuit_forced_open", old_state: "closed", new_state: "forced_open" },
          { ...one, message: "circuit_forced_closed", old_state: "forced_open", new_state: "closed" },
          { ...one, message: "circuit_disabled", old_state: "closed", new_state: "disabled" },
          { ...one, message: "circuit_metrics_only", old_state: "disabled", new_state: "metrics_only" },
          { ...one, message: "circuit_reset", old_state: "metrics_only", new_state: "closed" },
          {
            ...one,
            message: "circuit_forced_open",
            old_state: "closed",
            new_state: "forced_open",
            duration_seconds: 60
          },
          { ...common, message: "circuits_reset", circuits: 1 }
        ])
      })
    ))

  it.effect("that are refused are logged, without the token", () =>
    logged((lines) =>
      Effect.gen(function*() {
        const server = yield* start()

        yield* ask(server, { path: "/reset-all", body: who, headers: bearer("not-the-token-at-all") })
        yield* ask(server, { path: "/circuits/x/disable", body: who })

        const refused = { message: "admin_change_refused", level: "Warn", remote_address: "127.0.0.1" }
        assert.deepStrictEqual(lines, [
          { ...refused, action: "resetAll", why: "the bearer token is wrong" },
          { ...refused, action: "disable", circuit_breaker: "x", why: "a change needs a bearer token" }
        ])
      })
    ))

  it.effect("say who and why, on one line each", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const breaker = yield* trip(server, "payment-api")
      const message = (body: unknown) =>
        Effect.map(
          ask(server, { path: "/circuits/payment-api/force-close", body, headers: bearer() }),
          (answer) => [answer.status, answer.json?.message]
        )
      const by = "body.by: must be 1 to 100 characters on one line, not only spaces"
      const reason = "body.reason: must be 1 to 500 characters on one line, not only spaces"

      assert.deepStrictEqual(yield* message({ ...who, by: "" }), [400, by])
      assert.deepStrictEqual(yield* message({ ...who, by: "   " }), [400, by])
      assert.deepStrictEqual(yield* message({ ...who, by: "a\nERROR forged" }), [400, by])
      assert.deepStrictEqual(yield* message({ ...who, by: "\u001b[31mred" }), [400, by])
      assert.deepStrictEqual(yield* message({ ...who, by: "x".repeat(101) }), [400, by])
      assert.deepStrictEqual(yield* message({ ...who, reason: "x\u2028y" }), [400, reason])
      assert.deepStrictEqual(yield* message({ by: "ada" }), [400, "body.reason: Missing key"])
      assert.deepStrictEqual(yield* message({ ...who, by: 7 }), [400, "body.by: Expected string, got 7"])
      assert.deepStrictEqual(yield* message([]), [400, "body: Expected object, got []"])
      assert.strictEqual(yield* breaker.state, "Open")

      assert.deepStrictEqual(yield* message({ by: "Ädä 🔥", reason: "x".repeat(500) }), [200, undefined])
    }))

  it.effect("are made and logged though the client goes away", () =>
    logged((lines) =>
      Effect.gen(function*() {
        const server = yield* start()
        const breaker = yield* trip(server, "payment-api")
        yield* Effect.promise(() =>
          new Promise<void>((resolve) => {
            const call = http.request({
              port: server.port,
              method: "POST",
              path: "/circuits/payment-api/force-close",
              headers: { ...bearer(), "content-type": "application/json" }
            })
            call.on("error", () => resolve())
            call.end(JSON.stringify(who), () => call.destroy())
          })
        )

        // Either it came through, or it did not: never one without the other.
        yield* ask(server, { path: "/health" })
        const closed = (yield* breaker.state) === "Closed"
        assert.strictEqual(lines.length, closed ? 1 : 0)
      })
    ))
})

describe("the token", () => {
  it.effect("is needed for each change, and a wrong one changes nothing", () =>
    Effect.gen(function*() {
      // Open for longer than it takes to try all tokens one by one.
      const defaults = CircuitPolicy.make({ consecutiveFailures: 2, openDuration: "1 day" })
      const server = yield* start({}, CircuitBreakerRegistry.layer({ defaults }))
      yield* trip(server, "payment-api")
      const paths = [...commands.map((command) => `/circuits/payment-api/${command}`), "/reset-all"]
      const wrong = [
        {},
        { authorization: "" },
        { authorization: "Bearer" },
        { authorization: "Bearer " },
        { authorization: TOKEN },
        { authorization: `Basic ${TOKEN}` },
        { authorization: `Basic ${Buffer.from(`:${TOKEN}`).toString("base64")}` },
        bearer(TOKEN.slice(0, -1)),
        bearer(`${TOKEN}x`),
        bearer(TOKEN.toUpperCase()),
        bearer(`${TOKEN} ${TOKEN}`),
        bearer(`"${TOKEN}"`),
        { "x-authorization": `Bearer ${TOKEN}` },
        { cookie: `authorization=${TOKEN}` }
      ]
      for (const path of paths) {
        for (const headers of wrong) {
          const answer = yield* ask(server, { path, body: who, headers })
          assert.strictEqual(answer.status, 401, `${path} ${JSON.stringify(headers)}`)
          assert.strictEqual(answer.headers["www-authenticate"], "Bearer")
          assert.strictEqual(answer.json._tag, "UnauthorizedError")
          yield* TestClock.adjust("10 seconds")
        }
        assert.strictEqual((yield* ask(server, { path: `${path}?token=${TOKEN}`, body: who })).status, 401)
      }
      assert.deepStrictEqual(yield* server.registry.openCircuits, ["payment-api"])

      const answer = yield* ask(server, {
        path: "/circuits/payment-api/force-close",
        body: who,
        headers: { authorization: `bearer   ${TOKEN}` }
      })
      assert.strictEqual(answer.status, 200)
    }))

  it.effect("is asked for before anything is said of the circuit or the body", () =>
    Effect.gen(function*() {
      const server = yield* start()
      for (const path of ["/circuits/nope/disable", "/reset-all"]) {
        const answer = yield* ask(server, { path, raw: "{", headers: { "content-type": "application/json" } })
        assert.strictEqual(answer.status, 401)
      }
    }))

  it.effect("is not needed to read from this machine, though a wrong one is not accepted", () =>
    Effect.gen(function*() {
      const server = yield* start()
      for (const path of ["/circuits", "/config", "/openapi.json", "/health/detailed"]) {
        assert.strictEqual((yield* ask(server, { path })).status, 200, path)
        assert.strictEqual((yield* ask(server, { path, headers: bearer("wrong-wrong-wrong") })).status, 401, path)
        const forwarded = yield* ask(server, { path, headers: { "x-forwarded-for": "10.0.0.7" } })
        assert.deepStrictEqual(
          [forwarded.status, forwarded.json.message],
          [401, "reading needs a bearer token, except from this machine"]
        )
      }
      assert.strictEqual(
        (yield* ask(server, { path: "/health", headers: { "x-forwarded-for": "1.1.1.1" } })).status,
        200
      )
    }))

  it.effect("is needed to read everything but /health where that is asked for", () =>
    Effect.gen(function*() {
      const server = yield* start({ readAccess: "token" })
      yield* trip(server, "payment-api")
      for (
        const path of [
          "/circuits",
          "/circuits/payment-api",
          "/circuits/payment-api/history",
          "/events",
          "/config",
          "/openapi.json",
          "/health/detailed"
        ]
      ) {
        assert.strictEqual((yield* ask(server, { path })).status, 401, path)
      }
      assert.strictEqual((yield* ask(server, { path: "/circuits", headers: bearer() })).status, 200)
      assert.strictEqual((yield* ask(server, { path: "/health" })).status, 503)
      assert.strictEqual((yield* ask(server, { path: "/health/live" })).status, 200)
    }))

  it.effect("is not needed by anyone who reads where that is asked for", () =>
    Effect.gen(function*() {
      const server = yield* start({ readAccess: "anyone" })
      const answer = yield* ask(server, { path: "/circuits", headers: { "x-forwarded-for": "10.0.0.7" } })
      assert.strictEqual(answer.status, 200)
    }))

  it.effect("changes nothing where changes are off", () =>
    Effect.gen(function*() {
      const server = yield* start({ changes: false })
      yield* trip(server, "payment-api")
      const answer = yield* ask(server, { path: "/reset-all", body: who, headers: bearer() })
      assert.deepStrictEqual([answer.status, answer.json.message], [403, "changes are turned off here"])
      assert.deepStrictEqual(yield* server.registry.openCircuits, ["payment-api"])
    }))

  it.effect("is nowhere in what the API says", () =>
    Effect.gen(function*() {
      const server = yield* start()
      yield* server.registry.getOrCreate("payment-api")
      for (const path of ["/config", "/openapi.json", "/health/detailed", "/circuits"]) {
        const { text } = yield* ask(server, { path, headers: bearer() })
        assert.notInclude(text, TOKEN, path)
      }
      const { json } = yield* ask(server, { path: "/config" })
      assert.strictEqual(json.admin.token, "set")
    }))
})

describe("requests", () => {
  it.effect("of other sites and for other hosts are refused, whatever their token", () =>
    Effect.gen(function*() {
      const server = yield* start()
      yield* trip(server, "payment-api")
      const paths = [
        ["GET", "/health"],
        ["GET", "/circuits"],
        ["GET", "/events"],
        ["GET", "/openapi.json"],
        ["POST", "/reset-all"],
        ["POST", "/circuits/payment-api/force-close"],
        ["OPTIONS", "/reset-all"],
        ["DELETE", "/circuits"]
      ] as const
      for (const [method, path] of paths) {
        for (
          const headers of [
            { host: "evil.example" },
            { host: "" },
            { origin: "https://evil.example" },
            { origin: "null" },
            { "sec-fetch-site": "cross-site" }
          ]
        ) {
          const answer = yield* ask(server, {
            method,
            path,
            ...(method === "POST" ? { body: who } : {}),
            headers: { ...bearer(), ...headers }
          })
          assert.strictEqual(answer.status, 403, `${method} ${path} ${JSON.stringify(headers)}`)
          assert.isUndefined(answer.headers["access-control-allow-origin"])
        }
      }
      assert.deepStrictEqual(yield* server.registry.openCircuits, ["payment-api"])

      const own = { ...bearer(), origin: `http://localhost:${server.port}`, host: `localhost:${server.port}` }
      assert.strictEqual((yield* ask(server, { path: "/reset-all", body: who, headers: own })).status, 200)
    }))

  it.effect("for a listed host are accepted", () =>
    Effect.gen(function*() {
      const server = yield* start({ allowedHosts: ["admin.example.com"] })
      const headers = { host: "admin.example.com", origin: "https://admin.example.com" }
      assert.strictEqual((yield* ask(server, { path: "/circuits", headers })).status, 200)
    }))

  it.effect("with another method are 405, and told which there are", () =>
    Effect.gen(function*() {
      const server = yield* start()
      yield* trip(server, "payment-api")
      for (
        const [path, allow] of [
          ["/health", "GET, HEAD"],
          ["/circuits", "GET, HEAD"],
          ["/events", "GET, HEAD"],
          ["/circuits/payment-api", "GET, HEAD"],
          ["/circuits/payment-api/force-close", "POST"],
          ["/circuits/payment-api/reset", "POST"]
        ] as const
      ) {
        for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
          if (allow.includes(method)) continue
          const answer = yield* ask(server, { method, path, headers: bearer() })
          assert.deepStrictEqual([answer.status, answer.headers.allow], [405, allow], `${method} ${path}`)
        }
      }
      assert.deepStrictEqual(yield* server.registry.openCircuits, ["payment-api"])
    }))

  it.effect("with a body that is not JSON, or not what is asked for, are refused", () =>
    Effect.gen(function*() {
      const server = yield* start()
      yield* trip(server, "payment-api")
      const post = (raw: string, contentType?: string) =>
        ask(server, {
          method: "POST",
          path: "/circuits/payment-api/force-close",
          raw,
          headers: { ...bearer(), ...(contentType === undefined ? {} : { "content-type": contentType }) }
        })
      const json = JSON.stringify(who)

      for (
        const contentType of [undefined, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
      ) {
        assert.strictEqual((yield* post(json, contentType)).status, 415, contentType)
      }
      for (const raw of ["", "{", "null", "1", `"x"`, "[]", `{"by":"ada"}`, "\u0000", `${json}x`]) {
        const answer = yield* post(raw, "application/json")
        assert.deepStrictEqual([answer.status, answer.json._tag], [400, "InvalidRequestError"], raw)
      }
      assert.deepStrictEqual(yield* server.registry.openCircuits, ["payment-api"])

      assert.strictEqual((yield* post(json, "application/json; charset=utf-8")).status, 200)
    }))

  it.effect("with a body that is too large are 413, whether they say so or not", () =>
    Effect.gen(function*() {
      const server = yield* start({ maxBodySize: 1000 })
      yield* trip(server, "payment-api")
      const headers = { ...bearer(), "content-type": "application/json" }
      const request = { path: "/reset-all", method: "POST" }
      const raw = JSON.stringify({ ...who, padding: "x".repeat(1000) })

      const said = yield* ask(server, { ...request, raw, headers })
      const chunked = yield* ask(server, { ...request, raw, headers: { ...headers, "transfer-encoding": "chunked" } })

      for (const answer of [said, chunked]) {
        assert.deepStrictEqual([answer.status, answer.json], [413, {
          _tag: "BodyTooLargeError",
          limit: 1000,
          message: "the body must be at most 1000 bytes"
        }])
      }
      assert.deepStrictEqual(yield* server.registry.openCircuits, ["payment-api"])
    }))

  it.effect("with wrong query parameters are 400, and told which", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const message = (path: string) => Effect.map(ask(server, { path }), ({ json, status }) => [status, json.message])
      assert.deepStrictEqual(yield* message("/circuits?limit=0"), [
        400,
        "query.limit: Expected a value between 1 and 1000, got 0"
      ])
      assert.strictEqual((yield* message("/circuits?limit=1001"))[0], 400)
      assert.strictEqual((yield* message("/circuits?offset=-1"))[0], 400)
      assert.strictEqual((yield* message("/circuits?offset=many"))[0], 400)
      assert.strictEqual((yield* message("/circuits?state=broken"))[0], 400)
      assert.strictEqual((yield* message("/events?calls=maybe"))[0], 400)
    }))

  it.effect("are never cached nor guessed at", () =>
    Effect.gen(function*() {
      const server = yield* start()
      for (const path of ["/health", "/circuits", "/circuits/nope", "/circuits?limit=0", "/openapi.json"]) {
        const { headers } = yield* ask(server, { path })
        assert.deepStrictEqual(
          [headers["cache-control"], headers["x-content-type-options"]],
          ["no-store", "nosniff"],
          path
        )
      }
    }))
})

describe("tiers", () => {
  const call = (...tiers: ReadonlyArray<readonly [string, Effect.Effect<string, string>]>) => {
    const [first, ...rest] = tiers.map(([name, call]) => Tiers.tier(name, call))
    return Tiers.make("get_account", [first!, ...rest])
  }

  it.effect("are shown with how the calls went through them since the API started", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const admin = yield* client(server)
      const withRegistry = Effect.provideService(CircuitBreakerRegistry.CircuitBreakerRegistry, server.registry)
      assert.deepStrictEqual(yield* admin.circuits.tiers(), { operations: [] })

      const fine = call(["mcp", Effect.succeed("a")], ["rest", Effect.succeed("b")])
      const failing = call(["mcp", Effect.fail("down")], ["rest", Effect.succeed("b")])
      const down = call(["mcp", Effect.fail("down")], ["rest", Effect.fail("down")])
      yield* fine.pipe(withRegistry)
      yield* failing.pipe(withRegistry)
      yield* failing.pipe(withRegistry)
      yield* failing.pipe(withRegistry)
      yield* Effect.exit(down).pipe(withRegistry)
      const { operations } = yield* admin.circuits.tiers()

      assert.deepStrictEqual(operations, [{
        operation: "get_account",
        calls: 5,
        failed_calls: 1,
        tiers: [
          { name: "mcp", circuit: "mcp", state: "open", time_until_retry: 60, served: 1, failed: 2, skipped: 2 },
          { name: "rest", circuit: "rest", state: "closed", time_until_retry: null, served: 3, failed: 1, skipped: 0 }
        ]
      }])
    }))

  it.effect("of a service from Layers are those of the registry it was built with", () =>
    Effect.gen(function*() {
      class Accounts extends Context.Service<Accounts, {
        readonly get: (id: string) => Effect.Effect<string, ResilienceError.AllTiersFailedError>
      }>()("test/Accounts") {}
      const server = yield* start()
      const tiered = Tiers.layer(Accounts, [
        ["mcp", Layer.effect(Accounts, Effect.fail("not running")), { circuit: "mcp-circuit" }],
        ["rest", Layer.succeed(Accounts, { get: Effect.succeed })]
      ]).pipe(Layer.provide(Layer.succeed(CircuitBreakerRegistry.CircuitBreakerRegistry, server.registry)))

      yield* Effect.flatMap(Accounts, (accounts) => accounts.get("acc-1")).pipe(Effect.provide(tiered))

      const { operations } = yield* (yield* client(server)).circuits.tiers()
      assert.deepStrictEqual(
        operations.map(({ operation, tiers }) => [operation, tiers.map(({ circuit, served }) => [circuit, served])]),
        [["get", [["mcp-circuit", 0], ["rest", 1]]]]
      )
    }))

  it.effect("that were interrupted are not counted, and a hundred operations are remembered by name", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const withRegistry = Effect.provideService(CircuitBreakerRegistry.CircuitBreakerRegistry, server.registry)
      const hanging = yield* Tiers.make("hanging", [Tiers.tier("mcp", Effect.never)]).pipe(
        withRegistry,
        Effect.forkChild
      )
      yield* Effect.yieldNow
      yield* Fiber.interrupt(hanging)
      for (let i = 0; i < 150; i++) {
        yield* Tiers.make(`get_${i}`, [Tiers.tier("mcp", Effect.void)]).pipe(withRegistry)
      }
      yield* Tiers.make("get_50", [Tiers.tier("mcp", Effect.void)]).pipe(withRegistry)
      yield* Tiers.make("get_150", [Tiers.tier("mcp", Effect.void)]).pipe(withRegistry)

      const { operations } = yield* (yield* client(server)).circuits.tiers()
      assert.strictEqual(operations.length, 101)
      // None is lost.
      assert.strictEqual(operations.reduce((sum, { tiers }) => sum + tiers[0]!.served, 0), 152)
      assert.strictEqual(operations.at(-1)!.operation, "(others)")
      const find = (name: string) => operations.find(({ operation }) => operation === name)
      assert.deepStrictEqual([find("hanging"), find("get_51")], [undefined, undefined])
      assert.strictEqual(find("get_50")!.calls, 2)
    }))
})

describe("a field that is none", () => {
  it.effect("is refused, lest a circuit be forced open without the end that was meant", () =>
    Effect.gen(function*() {
      const server = yield* start()
      yield* callOnce(server, "payment-api")
      for (const path of [...commands.map((command) => `/circuits/payment-api/${command}`), "/reset-all"]) {
        const { json, status } = yield* ask(server, {
          path,
          body: { ...who, durations: "2 seconds" },
          headers: bearer()
        })
        assert.deepStrictEqual([status, json._tag], [400, "InvalidRequestError"])
        assert.match(json.message, /^body\.durations: /)
      }
      assert.strictEqual((yield* ask(server, { path: "/circuits/payment-api" })).json.state_changes, 0)
    }))
})

describe("the OpenAPI document", () => {
  it.effect("has every endpoint, its errors and the bearer token", () =>
    Effect.gen(function*() {
      const server = yield* start({ prefix: "/resilience" })
      const { json } = yield* ask(server, { path: "/resilience/openapi.json" })

      assert.strictEqual(json.openapi, "3.1.0")
      assert.deepStrictEqual(json.servers, [{ url: "/resilience" }])
      assert.sameMembers(Object.keys(json.paths), [
        "/health",
        "/health/live",
        "/health/detailed",
        "/circuits",
        "/circuits/{name}",
        "/circuits/{name}/history",
        ...commands.map((command) => `/circuits/{name}/${command}`),
        "/reset-all",
        "/history",
        "/status",
        "/tiers",
        "/events",
        "/config",
        "/openapi.json"
      ])
      const forceOpen = json.paths["/circuits/{name}/force-open"].post
      assert.sameMembers(Object.keys(forceOpen.responses), [
        "200",
        "400",
        "401",
        "403",
        "404",
        "413",
        "415",
        "429",
        "503"
      ])
      assert.deepStrictEqual(forceOpen.security, [{ bearer: [] }])
      assert.deepStrictEqual(json.paths["/health"].get.security, [])
      assert.include(Object.keys(json.paths["/events"].get.responses["200"].content), "text/event-stream")
    }))
})

describe("where it lives", () => {
  it.effect("beside the routes of a program, under a prefix", () =>
    Effect.gen(function*() {
      const App = Layer.mergeAll(
        HttpRouter.add("GET", "/", HttpServerResponse.text("hello")),
        HttpRouter.add("POST", "/reset-all", HttpServerResponse.text("mine")),
        Admin.layer({ token: Redacted.make(TOKEN), prefix: "/ops/resilience" })
      )
      const context = yield* HttpRouter.serve(App, { disableLogger: true, disableListenLog: true }).pipe(
        Layer.provideMerge(
          NodeHttpServer.layer(() => http.createServer(), {
            port: 0,
            host: "127.0.0.1",
            disablePreemptiveShutdown: true
          })
        ),
        Layer.provide(CircuitBreakerRegistry.layer()),
        Layer.build
      )
      const { address } = yield* Effect.provideContext(HttpServer.HttpServer, context)
      const server = { port: "port" in address ? address.port : 0 }

      assert.strictEqual((yield* ask(server, { path: "/" })).text, "hello")
      assert.strictEqual((yield* ask(server, { path: "/reset-all", body: who })).text, "mine")
      assert.strictEqual((yield* ask(server, { path: "/ops/resilience/health" })).text, `{"status":"healthy"}`)
      assert.strictEqual((yield* ask(server, { path: "/ops/resilience/nothing" })).status, 404)
      assert.strictEqual((yield* ask(server, { path: "/health" })).status, 404)
      const reset = { path: "/ops/resilience/reset-all", body: who, headers: bearer() }
      assert.deepStrictEqual((yield* ask(server, reset)).json, { reset: 0 })
      // What guards the admin API is not forced on the rest of the program.
      assert.strictEqual((yield* ask(server, { path: "/", headers: { host: "example.com" } })).text, "hello")
    }))

  it.effect("in a server of its own, where the environment says", () =>
    Effect.gen(function*() {
      const env = {
        RESILIENCE_ADMIN_TOKEN: TOKEN,
        RESILIENCE_ADMIN_PORT: "0",
        RESILIENCE_ADMIN_READ_ACCESS: "token",
        RESILIENCE_ADMIN_ALLOWED_HOSTS: "a.example.com, b.example.com:81"
      }
      const context = yield* Admin.serve().pipe(
        Layer.provideMerge(NodeHttpServer.layerConfig(() => http.createServer(), Admin.listen)),
        Layer.provide(CircuitBreakerRegistry.layer()),
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))),
        Layer.build
      )
      const { address } = yield* Effect.provideContext(HttpServer.HttpServer, context)
      assert.strictEqual("address" in address ? address.address.toString() : "", "127.0.0.1")
      const server = { port: "port" in address ? address.port : 0 }

      assert.strictEqual((yield* ask(server, { path: "/config" })).status, 401)
      const { json } = yield* ask(server, { path: "/config", headers: bearer() })
      assert.deepStrictEqual(json.admin, {
        token: "set",
        changes: true,
        read_access: "token",
        allowed_hosts: ["a.example.com", "b.example.com:81"],
        subscribers: 0,
        max_subscribers: 100
      })
      const long = "x".repeat(900)
      const answer = yield* ask(server, { path: `/circuits/${long}`, headers: bearer() })
      assert.strictEqual(answer.json.circuit, long)
    }))

  for (const dashboard of [true, false]) {
    it.effect(`in a server of its own, where / leads to the dashboard ${dashboard ? "" : "unless that is off"}`, () =>
      Effect.gen(function*() {
        const env = { RESILIENCE_ADMIN_TOKEN: TOKEN, RESILIENCE_ADMIN_PORT: "0" }
        const context = yield* Admin.serve({ dashboard, prefix: "/ops" }).pipe(
          Layer.provideMerge(NodeHttpServer.layerConfig(() => http.createServer(), Admin.listen)),
          Layer.provide(CircuitBreakerRegistry.layer()),
          Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))),
          Layer.build
        )
        const { address } = yield* Effect.provideContext(HttpServer.HttpServer, context)
        const { headers, status } = yield* ask({ port: "port" in address ? address.port : 0 }, { path: "/" })
        assert.deepStrictEqual([status, headers.location], dashboard ? [302, "/ops/dashboard"] : [404, undefined])
      }))
  }

  it.effect("in memory, where nobody has an address, reading needs the token", () =>
    Effect.gen(function*() {
      const App = Admin.layer({ token: Redacted.make(TOKEN) }).pipe(Layer.provide(CircuitBreakerRegistry.layer()))
      const { dispose, handler } = HttpRouter.toWebHandler(App, { disableLogger: true })
      yield* Effect.addFinalizer(() => Effect.promise(dispose))
      const get = (headers: Record<string, string>) =>
        Effect.map(
          Effect.promise(() =>
            handler(new Request("http://localhost/circuits", { headers: { host: "localhost", ...headers } }))
          ),
          ({ status }) => status
        )
      assert.strictEqual(yield* get({}), 401)
      assert.strictEqual(yield* get(bearer()), 200)

      const events = yield* Effect.promise(() => handler(new Request("http://localhost/events", { headers: bearer() })))
      yield* Effect.promise(dispose)
      assert.include(yield* Effect.promise(() => events.text()), ": connected")
    }))
})

describe("it does not start", () => {
  const build = (env: Record<string, string>) => Effect.map(buildAll(env), ([first]) => first)

  /** Everything that is wrong. */
  const buildAll = (env: Record<string, string>) =>
    Layer.build(Admin.layerConfig()).pipe(
      Effect.provide([CircuitBreakerRegistry.layer(), HttpRouter.layer]),
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env })),
      Effect.flip,
      Effect.map((error) => error.cause.message.split("\n")),
      Effect.scoped
    )

  it.effect("with changes and without a token", () =>
    Effect.gen(function*() {
      const accepted = "must be set to 16 or more ASCII characters without spaces"
      assert.strictEqual(
        yield* build({}),
        `RESILIENCE_ADMIN_TOKEN ${accepted}, unless RESILIENCE_ADMIN_CHANGES is false`
      )
      assert.strictEqual(
        yield* build({ RESILIENCE_ADMIN_CHANGES: "false", RESILIENCE_ADMIN_READ_ACCESS: "token" }),
        `RESILIENCE_ADMIN_TOKEN ${accepted}, since RESILIENCE_ADMIN_READ_ACCESS is "token"`
      )
      assert.throws(() => Admin.layer({}), RangeError, `Admin.layer: token ${accepted}, unless changes is false`)
      assert.throws(
        () => Admin.layer({ changes: false, readAccess: "token" }),
        RangeError,
        `Admin.layer: token ${accepted}, since readAccess is "token"`
      )
      Admin.layer({ changes: false })
    }))

  it.effect("with a token that is too weak, which is not shown", () =>
    Effect.gen(function*() {
      for (const token of ["short", "fifteen-letters", "with spaces in between", "with-ümlauts-in-it-at-all"]) {
        const message =
          "RESILIENCE_ADMIN_TOKEN must be 16 or more ASCII characters without spaces; what is set is not shown"
        assert.strictEqual(yield* build({ RESILIENCE_ADMIN_TOKEN: token }), message)
        assert.throws(() => Admin.layer({ token: Redacted.make(token) }), RangeError, "what is set is not shown")
      }
    }))

  it.effect("with anything else that is not accepted", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* build({ RESILIENCE_ADMIN_TOKEN: TOKEN, RESILIENCE_ADMIN_ALLOWED_HOSTS: "https://a.example.com/" }),
        "RESILIENCE_ADMIN_ALLOWED_HOSTS must be names such as \"a.example.com\" or \"a.example.com:8080\", " +
          "got \"https://a.example.com/\""
      )
      assert.deepStrictEqual(
        yield* buildAll({
          RESILIENCE_ADMIN_TOKEN: "short",
          RESILIENCE_ADMIN_READ_ACCESS: "all",
          RESILIENCE_ADMIN_CHANGES: "perhaps"
        }),
        [
          `RESILIENCE_ADMIN_CHANGES="perhaps" must be true or false`,
          `RESILIENCE_ADMIN_READ_ACCESS="all" must be loopback, token or anyone`,
          "RESILIENCE_ADMIN_TOKEN must be 16 or more ASCII characters without spaces; what is set is not shown"
        ]
      )
      // What JavaScript's objects have of their own is no word.
      assert.include(
        yield* buildAll({ RESILIENCE_ADMIN_TOKEN: TOKEN, RESILIENCE_ADMIN_CHANGES: "toString" }),
        `RESILIENCE_ADMIN_CHANGES="toString" must be true or false`
      )
      const token = Redacted.make(TOKEN)
      for (
        const [options, message] of [
          [{ maxBodySize: 0 }, "Admin.layer: maxBodySize must be an integer >= 1, got 0"],
          [{ maxSubscribers: 1.5 }, "Admin.layer: maxSubscribers must be an integer >= 1, got 1.5"],
          [{ replay: -1 }, "Admin.layer: replay must be an integer >= 1, got -1"],
          [
            { heartbeat: 0 },
            "Admin.layer: heartbeat must be a finite duration above zero such as \"5 seconds\", got 0"
          ],
          [{ prefix: "/a b" as const }, `Admin.layer: prefix must be a path such as "/resilience", got "/a b"`]
        ] as const
      ) {
        assert.throws(() => Admin.layer({ token, ...options }), RangeError, message)
        assert.throws(() => Admin.layerConfig(options), RangeError, message)
      }
    }))

  it.effect("with a misspelt variable, whose value is not shown", () =>
    Effect.gen(function*() {
      const right = {
        RESILIENCE_ADMIN_TOKEN: TOKEN,
        RESILIENCE_ADMIN_URL: "x",
        RESILIENCE_ADMIN_BY: "y",
        RESILIENCE: "1"
      }
      assert.strictEqual(
        yield* build({ ...right, RESILIENCE_ADMIN_READ_ACESS: "hunter2" }),
        "RESILIENCE_ADMIN_READ_ACESS is unknown; did you mean RESILIENCE_ADMIN_READ_ACCESS?"
      )
      assert.strictEqual(
        yield* build({ ...right, RESILENCE_ADMIN_CHANGES: "false" }),
        "RESILENCE_ADMIN_CHANGES is unknown; did you mean RESILIENCE_ADMIN_CHANGES?"
      )
      yield* Layer.build(Admin.layerConfig()).pipe(
        Effect.provide([CircuitBreakerRegistry.layer(), HttpRouter.layer]),
        Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env: right }))
      )
    }))

  it.effect("on other addresses than loopback without a token", () =>
    Effect.gen(function*() {
      const parse = (env: Record<string, string>) => Admin.listen.parse(ConfigProvider.fromEnv({ env }))
      for (const host of ["0.0.0.0", "::", "10.0.0.7", "example.com"]) {
        const error = yield* Effect.flip(parse({ RESILIENCE_ADMIN_HOST: host }))
        assert.strictEqual(
          error.cause.message.split("\n")[0],
          `RESILIENCE_ADMIN_HOST="${host}" is not a loopback address such as 127.0.0.1, so RESILIENCE_ADMIN_TOKEN must be set`
        )
        assert.strictEqual((yield* parse({ RESILIENCE_ADMIN_HOST: host, RESILIENCE_ADMIN_TOKEN: TOKEN })).host, host)
      }
      for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost"]) {
        assert.strictEqual((yield* parse({ RESILIENCE_ADMIN_HOST: host })).host, host)
      }
      assert.deepStrictEqual(yield* parse({}), { host: "127.0.0.1", port: 9700, gracefulShutdownTimeout: "1 second" })
      assert.strictEqual((yield* parse({ RESILIENCE_ADMIN_PORT: "8080" })).port, 8080)
      for (const port of ["many", "-1", "65536", "1e3", "0x10", "80 80"]) {
        const error = yield* Effect.flip(parse({ RESILIENCE_ADMIN_PORT: port }))
        assert.strictEqual(
          error.cause.message,
          `RESILIENCE_ADMIN_PORT="${port}" must be a port from 0 to 65535, 0 for any that is free`
        )
      }
    }))
})

describe("the typed client", () => {
  it.effect("reads, changes and follows with nothing else", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const admin = yield* client(server)
      const breaker = yield* server.registry.getOrCreate("payment-api")

      const events = yield* admin.events.subscribe({ query: {}, headers: {} })
      const changed = yield* events.pipe(
        Stream.take(1),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* admin.circuits.disable({ params: { name: "payment-api" }, payload: who })
      const [event] = yield* Fiber.join(changed)

      assert.strictEqual(yield* breaker.state, "Disabled")
      assert.strictEqual(event?.event, "StateChanged")
      assert.isTrue(event?.data._tag === "StateChanged" && event.data.to === "Disabled")
      assert.strictEqual((yield* admin.health.live()).status, "alive")
      assert.strictEqual((yield* admin.config.get({ query: {} })).admin.token, "set")
    }))

  it.effect("fails with the errors of the API", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const stranger = yield* client(server, "not-the-token-at-all")
      assert.instanceOf(yield* Effect.flip(stranger.circuits.resetAll({ payload: who })), AdminApi.UnauthorizedError)
      assert.instanceOf(yield* Effect.flip(stranger.circuits.list({ query: {} })), AdminApi.UnauthorizedError)
      const off = yield* client(yield* start({ changes: false }))
      assert.instanceOf(yield* Effect.flip(off.circuits.resetAll({ payload: who })), AdminApi.ForbiddenError)
    }))

  it.effect("gets the unhealthy as a value", () =>
    Effect.gen(function*() {
      const server = yield* start()
      yield* trip(server, "payment-api")
      const admin = yield* client(server, undefined)
      assert.deepStrictEqual(yield* admin.health.check(), { status: "unhealthy" })
      assert.deepStrictEqual((yield* admin.health.detailed()).open_circuits, ["payment-api"])
    }))
})
