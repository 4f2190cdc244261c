import { assert, describe, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import { CircuitBreaker } from "effect-resilience"
import * as net from "node:net"
import { trip } from "../support/registry.ts"
import { ask, bearer, read, start, TOKEN, until, who } from "./support.ts"

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY"]

const PATHS = [
  "/health",
  "/health/live",
  "/health/detailed",
  "/circuits",
  "/circuits/payment-api",
  "/circuits/payment-api/history",
  "/circuits/payment-api/force-open",
  "/circuits/payment-api/force-close",
  "/circuits/payment-api/disable",
  "/circuits/payment-api/metrics-only",
  "/circuits/payment-api/reset",
  "/reset-all",
  "/config",
  "/history",
  "/status",
  "/tiers",
  "/dashboard",
  "/openapi.json"
]

const BITS = [
  "/",
  "//",
  "..",
  "%2e%2e",
  "%2F",
  "%00",
  "%",
  "%zz",
  "%E0%A4%A",
  "%F0%9F%94%A5",
  "?",
  "??",
  "#",
  ";",
  "*",
  ":name",
  "?limit=9e99",
  "?limit=-1",
  "?limit=NaN",
  "?limit[]=1",
  "?limit=1&limit=2",
  "?offset=1e3",
  "?state=open&state=closed",
  "?__proto__=1",
  "?a=%",
  `?token=${TOKEN}`,
  "payment-api",
  "PAYMENT-API",
  "__proto__",
  "x".repeat(2000)
]

const BODIES = [
  "",
  "{}",
  "[]",
  "null",
  "true",
  "\"\"",
  "1e999",
  "{",
  "\u0000",
  "\ufeff{}",
  JSON.stringify(who),
  JSON.stringify({ ...who, duration: "1 minute" }),
  JSON.stringify({ ...who, duration: { seconds: 1 } }),
  JSON.stringify({ ...who, duration: 1e308 }),
  `{"by":"ada","reason":"x","__proto__":{"admin":true}}`,
  `{"by":"ada","reason":"x","by":["ada"]}`,
  `${"[".repeat(5000)}${"]".repeat(5000)}`,
  `{"by":"${"x".repeat(20_000)}"}`
]

const TOKENS = [
  undefined,
  "",
  "Bearer",
  "Bearer ",
  `Bearer ${TOKEN.slice(1)}`,
  `Bearer ${TOKEN}\u00e9`,
  `Bearer ${TOKEN},${TOKEN}`,
  `Bearer ${"x".repeat(4000)}`,
  `Digest ${TOKEN}`,
  `Bearer\t${TOKEN}`,
  "Bearer undefined",
  "Bearer null",
  "Bearer [object Object]"
]

const HEADERS: ReadonlyArray<Readonly<Record<string, string>>> = [
  {},
  { "content-type": "application/json" },
  { "content-type": "application/json; charset=latin1" },
  { "content-type": "multipart/form-data; boundary=x" },
  { "content-type": "application/json, text/plain" },
  { "content-type": "x".repeat(3000) },
  { "transfer-encoding": "chunked", "content-type": "application/json" },
  { "content-encoding": "gzip", "content-type": "application/json" },
  { expect: "100-continue", "content-type": "application/json" },
  { upgrade: "websocket", connection: "upgrade" },
  { upgrade: "h2c", connection: "upgrade" },
  { "x-http-method-override": "POST" },
  { origin: "https://evil.example" },
  { origin: "\u00ff" },
  { host: "evil.example" },
  { host: "localhost:1:2" },
  { "sec-fetch-site": "cross-site" },
  { "last-event-id": "x-y-z" },
  { accept: "text/html", "accept-encoding": "br" },
  { cookie: `authorization=Bearer ${TOKEN}; ${"a=b; ".repeat(200)}` }
]

const pick = <A>(values: ReadonlyArray<A>) =>
  Effect.map(Random.nextIntBetween(0, values.length, { halfOpen: true }), (index) => values[index]!)

const randomPath = Effect.gen(function*() {
  let path = yield* pick(PATHS)
  const cuts = yield* Random.nextIntBetween(0, 3)
  for (let i = 0; i < cuts; i++) {
    const at = yield* Random.nextIntBetween(1, path.length)
    path = path.slice(0, at) + (yield* pick(BITS)) + path.slice(at)
  }
  return path.replaceAll("#", "%23")
})

/** What must stay as it is: the states of all circuits. */
const states = (server: Effect.Success<ReturnType<typeof start>>) =>
  Effect.map(server.registry.statuses, (statuses) => statuses.map(({ name, state }) => `${name} ${state}`))

describe("fuzzed", () => {
  for (const seed of ["one", "two", "three"]) {
    it.effect(
      `paths, methods, bodies, headers and tokens crash nothing and change nothing, seed ${seed}`,
      () =>
        Effect.gen(function*() {
          const server = yield* start()
          yield* trip(server, "payment-api")
          const before = yield* states(server)
          const seen = new Map<number, number>()

          for (let i = 0; i < 1500; i++) {
            const method = yield* pick(METHODS)
            const path = yield* randomPath
            const authorization = yield* pick(TOKENS)
            const raw = method === "GET" || method === "HEAD" ? undefined : yield* pick(BODIES)
            const headers = { ...(yield* pick(HEADERS)), ...(authorization === undefined ? {} : { authorization }) }
            const { status, text } = yield* ask(server, {
              method,
              path,
              headers,
              ...(raw === undefined ? {} : { raw })
            })

            seen.set(status, (seen.get(status) ?? 0) + 1)
            const request = `${method} ${path} ${JSON.stringify(headers).slice(0, 200)} ${raw?.slice(0, 100)}`
            assert.include([200, 400, 401, 403, 404, 405, 413, 415, 429, 431, 503], status, request)
            assert.isTrue(status !== 200 || method === "GET" || method === "HEAD", request)
            assert.notInclude(text, TOKEN, request)
          }

          assert.deepStrictEqual(yield* states(server), before)
          assert.isAbove(seen.size, 6)
          assert.strictEqual((yield* ask(server, { path: "/health/live" })).status, 200)
        }).pipe(Random.withSeed(seed)),
      60_000
    )

    it.effect(`bodies with the right token never crash it, seed ${seed}`, () =>
      Effect.gen(function*() {
        const server = yield* start()
        yield* trip(server, "payment-api")
        for (let i = 0; i < 500; i++) {
          const path = yield* pick(PATHS)
          const raw = yield* randomBody
          const { status } = yield* ask(server, {
            method: "POST",
            path,
            raw,
            headers: { ...bearer(), "content-type": "application/json" }
          })
          assert.include([200, 400, 405, 413], status, `${path} ${raw.toString("latin1").slice(0, 200)}`)
        }
        assert.strictEqual((yield* ask(server, { path: "/health/live" })).status, 200)
        assert.lengthOf(yield* server.registry.names, 1)
      }).pipe(Random.withSeed(seed)), 60_000)
  }

  it.effect("bytes that are no HTTP, and requests that stop halfway, leave it working", () =>
    Effect.gen(function*() {
      const server = yield* start()
      yield* trip(server, "payment-api")
      const before = yield* states(server)
      const head = `POST /reset-all HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\n`
      const json = "Content-Type: application/json\r\n"
      const texts = [
        "",
        "\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /health HTTP/1.1\r\n\r\n",
        "GET /health HTTP/1.0\r\n\r\n",
        "GET http://evil.example/health HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        "GET /events HTTP/1.1\r\nHost: localhost\r\n",
        `${head}${json}Content-Length: 100\r\n\r\n{"by":`,
        `${head}${json}Content-Length: -1\r\n\r\n`,
        `${head}${json}Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
        `${head}${json}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
        `${head}${json}Transfer-Encoding: chunked\r\n\r\n5\r\n{"by"`,
        `${head}Origin: https://evil.example\r\n${json}Content-Length: 2\r\n\r\n{}`,
        `GET /circuits HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(100_000)}\r\n\r\n`,
        Buffer.from(Array.from({ length: 2000 }, (_, i) => (i * 7919) % 256)).toString("latin1")
      ]
      for (const text of texts) {
        yield* Effect.promise(() =>
          new Promise<void>((resolve) => {
            const socket = net.connect(server.port, "127.0.0.1", () => {
              socket.write(text, "latin1")
              setImmediate(() => setImmediate(() => socket.destroy()))
            })
            socket.on("error", () => {})
            socket.on("close", () => resolve())
          })
        )
        assert.strictEqual((yield* ask(server, { path: "/health/live" })).status, 200)
      }
      assert.deepStrictEqual(yield* states(server), before)
    }))

  it.effect("subscribers that come, stall and go at random leave nothing behind", () =>
    Effect.gen(function*() {
      const server = yield* start({ maxSubscribers: 60, subscriberBuffer: 5 })
      const open = new Set<Effect.Success<ReturnType<typeof read>>>()
      let refused = 0
      const breaker = yield* server.registry.getOrCreate("payment-api")
      for (let i = 0; i < 600; i++) {
        const what = yield* Random.nextIntBetween(0, 9)
        if (what < 5) {
          const path = yield* pick([
            "/events",
            "/events?calls=true",
            "/events?circuit=payment-api",
            "/events?circuit=%00"
          ])
          const reader = yield* read(server, { path, paused: what === 0, headers: { "last-event-id": `x-${i}` } })
          if (reader.status === 503) {
            refused++
            reader.close()
          } else {
            open.add(reader)
          }
        } else if (what < 7) {
          const [reader] = open
          reader?.close()
          open.delete(reader!)
        } else {
          yield* CircuitBreaker.withNote(breaker.forceOpen(), "x".repeat(1000))
          yield* breaker.forceClose
          yield* Effect.ignore(breaker.execute(Effect.void))
        }
      }
      assert.isAbove(refused, 0)
      for (const reader of open) reader.close()
      yield* until(() => Array.from(open).every((reader) => reader.ended()))

      for (let i = 0; i < 500; i++) {
        const { json } = yield* ask(server, { path: "/config?limit=1" })
        if (json.admin.subscribers === 0 && (yield* server.connections) <= 1) return
      }
      assert.fail("subscribers or connections are left")
    }).pipe(Random.withSeed("events")), 60_000)
})

const randomBody = Effect.gen(function*() {
  const kind = yield* Random.nextIntBetween(0, 2)
  if (kind === 0) return Buffer.from(yield* pick(BODIES))
  const text = Buffer.from(JSON.stringify({ by: "ada", reason: "maintenance", duration: "1 minute" }))
  const flips = yield* Random.nextIntBetween(1, 6)
  for (let i = 0; i < flips; i++) {
    text[yield* Random.nextIntBetween(0, text.length, { halfOpen: true })] = yield* Random.nextIntBetween(0, 255)
  }
  return kind === 1 ? text : text.subarray(0, yield* Random.nextIntBetween(0, text.length))
})
