import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { Admin } from "effect-resilience/admin"
import { ask, bearer, logged, start, TOKEN, until, who } from "./support.ts"

const SAFE = {
  "cache-control": "no-store",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "x-content-type-options": "nosniff"
}

describe("every answer", () => {
  it.effect("says that no page of another site may embed it", () =>
    Effect.gen(function*() {
      const server = yield* start()
      yield* server.registry.getOrCreate("payment-api")
      for (
        const [status, request] of [
          [200, { path: "/health" }],
          [200, { path: "/health/live" }],
          [200, { path: "/circuits" }],
          [200, { path: "/dashboard" }],
          [200, { path: "/openapi.json" }],
          [200, { method: "HEAD", path: "/events" }],
          [200, { path: "/circuits/payment-api/reset", body: who, headers: bearer() }],
          [400, { path: "/circuits?limit=0" }],
          [401, { path: "/reset-all", body: who }],
          [403, { path: "/health", headers: { host: "0.0.0.0" } }],
          [403, { path: "/dashboard", headers: { host: "evil.example" } }],
          [404, { path: "/circuits/none" }],
          [405, { path: "/health", method: "DELETE" }],
          [415, { path: "/reset-all", raw: "{}", headers: bearer() }]
        ] as const
      ) {
        const answer = yield* ask(server, request)
        assert.strictEqual(answer.status, status, request.path)
        assert.deepInclude(answer.headers, SAFE, `${status} ${request.path}`)
      }
    }))
})

describe("a refused change is logged with why", () => {
  const circuit = { action: "forceOpen", circuit_breaker: "payment-api" }
  const path = "/circuits/payment-api/force-open"
  const cases: ReadonlyArray<readonly [name: string, status: number, request: object, logged: object]> = [
    ["of another site", 403, { path, body: who, headers: { ...bearer(), origin: "https://evil.example" } }, {
      ...circuit,
      why: "requests of other sites are not accepted, such as Origin \"https://evil.example\""
    }],
    ["by Referer", 403, { path, body: who, headers: { ...bearer(), referer: "https://evil.example/" } }, {
      ...circuit,
      why: "requests of other sites are not accepted, such as Referer \"https://evil.example/\""
    }],
    ["of a rebound name", 403, { path, body: who, headers: { ...bearer(), host: "evil.example" } }, {
      ...circuit,
      why: "Host \"evil.example\" is not accepted: use localhost or an address, or list the host in " +
        "RESILIENCE_ADMIN_ALLOWED_HOSTS"
    }],
    ["with a wrong token", 401, { path, body: who, headers: bearer("wrong") }, {
      ...circuit,
      why: "the bearer token is wrong"
    }],
    ["without a token", 401, { path: "/reset-all", body: who }, {
      action: "resetAll",
      why: "a change needs a bearer token"
    }],
    ["that is no JSON", 415, { path, raw: "{}", headers: bearer() }, {
      ...circuit,
      why: "Content-Type must be application/json, got none"
    }],
    ["with a field that is unknown", 400, { path, body: { ...who, x: "\u202e\u0085" }, headers: bearer() }, {
      ...circuit,
      why: "body.x: Unexpected key with value \"\\u202e\\u0085\""
    }],
    ["that is too large", 413, { path, body: { ...who, x: "x".repeat(20_000) }, headers: bearer() }, {
      ...circuit,
      why: "the body must be at most 16384 bytes"
    }],
    ["with a wrong duration", 400, { path, body: { ...who, duration: "soon" }, headers: bearer() }, {
      ...circuit,
      why: "body.duration: must be seconds above 0, a text such as \"30 seconds\", or \"until released\", got \"soon\""
    }],
    ["with an unknown parameter", 400, { path: `${path}?dry-run=true`, body: who, headers: bearer() }, {
      ...circuit,
      why: "query: unknown \"dry-run\"; accepted: none"
    }],
    ["of a circuit that is unknown", 404, { path: "/circuits/a%E2%80%AEb/reset", body: who, headers: bearer() }, {
      action: "reset",
      circuit_breaker: "a\\u202eb",
      why: "there is no circuit \"a\\u202eb\""
    }]
  ]

  for (const [name, status, request, expected] of cases) {
    it.effect(`also one ${name}`, () =>
      logged((lines) =>
        Effect.gen(function*() {
          const server = yield* start()
          yield* server.registry.getOrCreate("payment-api")
          assert.strictEqual((yield* ask(server, request as { readonly path: string })).status, status)
          assert.deepStrictEqual(lines, [
            { message: "admin_change_refused", level: "Warn", remote_address: "127.0.0.1", ...expected }
          ])
          assert.strictEqual((yield* server.registry.systemStatus).openCircuits.length, 0)
        })
      ))
  }

  it.effect("also where changes are off", () =>
    logged((lines) =>
      Effect.gen(function*() {
        const server = yield* start({ changes: false })
        assert.strictEqual((yield* ask(server, { path, body: who, headers: bearer() })).status, 403)
        assert.deepInclude(lines[0]!, { ...circuit, why: "changes are turned off here" })
      })
    ))

  it.effect("also where there is no room for it", () =>
    logged((lines) =>
      Effect.gen(function*() {
        let asked = false
        const health = Effect.andThen(
          Effect.sync(() => {
            asked = true
          }),
          Effect.never
        )
        const server = yield* start({ maxRequests: 1, health })
        yield* Effect.forkScoped(ask(server, { path: "/health" }))
        yield* until(() => asked)
        const { headers, status } = yield* ask(server, { path, body: who, headers: bearer() })
        assert.deepStrictEqual([status, headers["retry-after"]], [503, "1"])
        assert.deepInclude(lines[0]!, {
          ...circuit,
          why: "as many answers as are allowed are under way or not read yet; try again later"
        })
        assert.strictEqual((yield* ask(server, { path: "/health/live" })).status, 200)
      })
    ))

  it.effect("while a refusal to read is not", () =>
    logged((lines) =>
      Effect.gen(function*() {
        const server = yield* start({ readAccess: "token" })
        assert.strictEqual((yield* ask(server, { path: "/status" })).status, 401)
        assert.deepStrictEqual(lines, [])
      })
    ))
})

describe("a change whose log fails", () => {
  const throwing = Logger.layer([Logger.make(() => {
    throw new Error("write EPIPE")
  })])

  it.effect("is done as a whole, and answered", () =>
    Effect.gen(function*() {
      const server = yield* start()
      for (const name of ["a", "b", "c"]) yield* (yield* server.registry.getOrCreate(name)).forceOpen()

      const one = yield* ask(server, { path: "/circuits/a/force-close", body: who, headers: bearer() })
      assert.deepStrictEqual([one.status, one.json.state], [200, "closed"])
      const all = yield* ask(server, { path: "/reset-all", body: who, headers: bearer() })
      assert.deepStrictEqual([all.status, all.json], [200, { reset: 3 }])
      assert.deepStrictEqual(yield* server.registry.openCircuits, [])
      assert.strictEqual((yield* ask(server, { path: "/reset-all", body: who })).status, 401)
    }).pipe(Effect.provide(throwing)))
})

describe("a query parameter that is unknown", () => {
  it.effect("is answered with 400, its name and what is accepted", () =>
    Effect.gen(function*() {
      const server = yield* start()
      yield* server.registry.getOrCreate("payment-api")
      for (
        const [path, unknown, accepted] of [
          ["/circuits?stat=open", "\"stat\"", "offset, limit, state, search, sort"],
          ["/circuits?limit=1&Limit=2&x", "\"Limit\", \"x\"", "offset, limit, state, search, sort"],
          ["/circuits?__proto__=1", "\"__proto__\"", "offset, limit, state, search, sort"],
          ["/circuits/payment-api?limit=3", "\"limit\"", "none"],
          ["/circuits/payment-api/history?offset=3", "\"offset\"", "limit"],
          ["/history?circuit=a", "\"circuit\"", "limit"],
          ["/config?name=payment-api", "\"name\"", "offset, limit, circuit"],
          ["/events?call=true", "\"call\"", "circuit, calls"],
          ["/status?verbose", "\"verbose\"", "none"],
          ["/tiers?a%0Ab=1", "\"a\\nb\"", "none"],
          ["/health?verbose=1", "\"verbose\"", "none"],
          ["/health/detailed?verbose=1", "\"verbose\"", "none"]
        ] as const
      ) {
        const { json, status } = yield* ask(server, { path })
        const message = `query: unknown ${unknown}; accepted: ${accepted}`
        assert.deepStrictEqual([status, json], [400, { _tag: "InvalidRequestError", message }], path)
      }
    }))

  it.effect("neither fails a probe of liveness, nor tells those without the token what is accepted", () =>
    Effect.gen(function*() {
      const server = yield* start({ readAccess: "token" })
      assert.strictEqual((yield* ask(server, { path: "/health/live?t=1" })).status, 200)
      assert.strictEqual((yield* ask(server, { path: `/circuits?token=${TOKEN}` })).status, 401)
    }))
})

describe("an option that is unknown", () => {
  it("is refused with what was meant", () => {
    const layer = Admin.layer as (options: unknown) => unknown
    assert.throws(
      () => layer({ readAcess: "token" }),
      RangeError,
      "\"readAcess\" is no option; did you mean \"readAccess\"?"
    )
    const layerConfig = Admin.layerConfig as (options: unknown) => unknown
    assert.throws(() => layerConfig({ token: "x" }), RangeError, "\"token\" is no option")
    const serve = Admin.serve as (options: unknown) => unknown
    assert.throws(() => serve({ heartbeats: "1 second" }), RangeError, "\"heartbeats\" is no option")
  })
})
