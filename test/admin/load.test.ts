import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, type Scope } from "effect"
import { CircuitBreakerRegistry } from "effect-resilience"
import { Admin } from "effect-resilience/admin"
import { HttpRouter } from "effect/http"
import { TestClock } from "effect/testing"
import { fork } from "node:child_process"
import * as net from "node:net"
import { fileURLToPath } from "node:url"
import { Admission, type Place } from "../../src/admin/internal/load.ts"
import { ask, start, TOKEN, until } from "./support.ts"

describe("Admission", () => {
  const client = (connection: object | undefined = {}, address: string | undefined = "a") => ({ connection, address })

  it("gives a connection an eighth of the places, an address half of them", () => {
    const admission = new Admission({ requests: 16, bytes: 1_000 })
    const connection = {}
    const places = [1, 2, 3].map(() => admission.enter(client(connection)))
    assert.deepStrictEqual(places.map((place) => place !== undefined), [true, true, false])
    const others = Array.from({ length: 7 }, () => admission.enter(client()))
    assert.deepStrictEqual(others.map((place) => place !== undefined), [...Array(6).fill(true), false])
    assert.isDefined(admission.enter(client({}, "b")))
    assert.strictEqual(admission.total.requests, 9)
    places[0]!.leave()
    assert.isDefined(admission.enter(client(connection)))
  })

  it("counts what has no address and no connection together", () => {
    const admission = new Admission({ requests: 4, bytes: 1_000 })
    const unknown = { connection: undefined, address: undefined }
    const entered = [1, 2, 3].map(() => admission.enter(unknown) !== undefined)
    assert.deepStrictEqual(entered, [true, true, false])
  })

  it("always has room for one answer, and for more up to the limit", () => {
    const admission = new Admission({ requests: 100, bytes: 1_000 })
    const enter = (address: string) => admission.enter(client({}, address))!
    const large = enter("a")
    assert.isTrue(large.carry(5_000))
    large.leave()
    assert.deepStrictEqual([enter("a").carry(300), enter("a").carry(200), enter("a").carry(1)], [true, true, false])
    assert.deepStrictEqual([enter("b").carry(500), enter("c").carry(1)], [true, false])
  })

  it("lets nobody in whose answer would have no room, until there is some", () => {
    const admission = new Admission({ requests: 100, bytes: 1_000 })
    const first = admission.enter(client())!
    first.carry(400)
    const [second, third, fourth] = [client(), client(), client()].map((one) => admission.enter(one)!) as [
      Place,
      Place,
      Place
    ]
    assert.isFalse(second.isCrowded())
    assert.isFalse(second.carry(400))
    assert.isTrue(second.isCrowded())
    assert.isUndefined(admission.enter(client()))
    assert.isDefined(admission.enter(client({}, "b")))
    // Neither a smaller answer nor the end of one without any makes room.
    assert.isTrue(third.carry(1))
    fourth.leave()
    assert.isTrue(second.isCrowded())
    first.leave()
    assert.isDefined(admission.enter(client()))
  })

  it("forgets clients that have left, and takes a second leave for none", () => {
    const admission = new Admission({ requests: 100, bytes: 1_000 })
    const place = admission.enter(client())!
    place.carry(10)
    place.leave()
    place.leave()
    assert.deepStrictEqual(admission.total, { requests: 0, bytes: 0 })
    assert.strictEqual((admission as unknown as { readonly loads: Map<unknown, unknown> }).loads.size, 0)
  })
})

/** Larger than what the system keeps of a connection that is not read. */
const LARGE = "x".repeat(16_000_000)

/** A source of large answers that counts how often it is asked. */
const counted = () => {
  const made = { value: 0 }
  const health = Effect.sync((): Admin.HealthSummary => {
    made.value++
    return { status: "healthy", details: LARGE }
  })
  return { made, health }
}

interface Raw {
  readonly socket: net.Socket
  readonly text: () => string
  readonly statuses: () => ReadonlyArray<string>
}

/** Writes requests by hand and reads nothing until `socket.resume()`. */
const write = (port: number, text: string): Effect.Effect<Raw, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() =>
      new Promise<Raw>((resolve) => {
        let text_ = ""
        const socket = net.connect(port, "127.0.0.1", () =>
          socket.write(text, () =>
            resolve({
              socket,
              text: () => text_,
              statuses: () => [...text_.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1]!)
            })))
        socket.pause()
        socket.on("error", () => {})
        socket.on("data", (chunk) => {
          text_ += chunk.toString("latin1").replaceAll(/x{100,}/g, "")
        })
        socket.pause()
      })
    ),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`

const isAlive = (server: { readonly port: number }) =>
  Effect.map(ask(server, { path: "/health/live" }), ({ status }) => assert.strictEqual(status, 200))

describe("answers that are not read", () => {
  it.live("of one connection that asks 1,200 times in one write are few, and the rest 503 with Retry-After", () =>
    Effect.gen(function*() {
      const { health, made } = counted()
      const server = yield* start({ health, maxRequests: 16, maxAnswerBytes: 1_000_000_000 })
      const client = yield* write(server.port, get("/health/detailed").repeat(1_200))
      yield* until(() => made.value > 0)
      yield* isAlive(server)
      assert.isAtMost(made.value, 4)
      const answered = made.value

      client.socket.resume()
      yield* until(() => client.statuses().length === 1_200)
      const served = client.statuses().filter((status) => status === "200").length
      assert.isAtMost(served, answered + 4)
      assert.strictEqual(client.statuses().filter((status) => status === "503").length, 1_200 - served)
      assert.include(client.text().toLowerCase(), "retry-after: 1")
      assert.include(client.text(), "\"_tag\":\"TooManyRequestsError\"")
    }))

  it.live("of many connections are as many as there is room for, and there is room again when one is read or gone", () =>
    Effect.gen(function*() {
      const { health, made } = counted()
      // An address has half: room for two.
      const server = yield* start({ health, maxRequests: 1_000, maxAnswerBytes: 70_000_000 })
      const clients = yield* Effect.forEach(
        Array.from({ length: 100 }),
        () => write(server.port, get("/health/detailed"))
      )
      yield* until(() => made.value >= 3)
      yield* isAlive(server)
      const refused = yield* ask(server, { path: "/circuits" })
      assert.deepStrictEqual([refused.status, refused.json._tag, refused.headers["retry-after"]], [
        503,
        "TooManyRequestsError",
        "1"
      ])
      // One of them was made in vain.
      assert.strictEqual(made.value, 3)

      for (const { socket } of clients) socket.destroy()
      let status = 0
      while (status !== 200) status = (yield* ask(server, { path: "/circuits" })).status
    }))

  it.effect("are given up after 30 seconds, with their connection", () =>
    Effect.gen(function*() {
      const { health, made } = counted()
      const server = yield* start({ health, maxRequests: 1_000, maxAnswerBytes: 40_000_000 })
      yield* write(server.port, get("/health/detailed"))
      yield* until(() => made.value > 0)
      yield* isAlive(server)
      yield* TestClock.adjust("29 seconds")
      yield* isAlive(server)
      assert.strictEqual(yield* server.connections, 1)
      yield* TestClock.adjust("1 second")
      let open = 1
      while (open > 0) open = yield* server.connections
    }))

  it.live("of the handler of a web platform are as many, too", () =>
    Effect.gen(function*() {
      const { health, made } = counted()
      const { dispose, handler } = HttpRouter.toWebHandler(
        Admin.layer({ token: Redacted.make(TOKEN), health, maxAnswerBytes: 70_000_000, readAccess: "anyone" }).pipe(
          Layer.provide(CircuitBreakerRegistry.layer())
        ),
        { disableLogger: true }
      )
      yield* Effect.addFinalizer(() => Effect.promise(dispose))
      const call = (path: string) => Effect.promise(() => handler(new Request(`http://localhost${path}`)))

      const responses = yield* Effect.forEach(Array.from({ length: 10 }), () => call("/health/detailed"))
      assert.deepStrictEqual(responses.map(({ status }) => status), [200, 200, ...Array(8).fill(503)])
      assert.strictEqual(responses[9]!.headers.get("retry-after"), "1")
      assert.strictEqual(made.value, 3)
      assert.strictEqual((yield* call("/health/live")).status, 200)

      assert.strictEqual((yield* Effect.promise(() => responses[0]!.json())).checks.length, LARGE.length)
      assert.strictEqual((yield* call("/circuits")).status, 200)
    }))

  for (
    const [name, connections, each] of [["one connection", 1, 1_200], ["300 connections", 300, 1]] as const
  ) {
    it.live(`do not end a program of little memory, asked for by ${name}`, () =>
      Effect.gen(function*() {
        const child = yield* Effect.acquireRelease(
          Effect.sync(() =>
            fork(fileURLToPath(new URL("crowdServer.ts", import.meta.url)), {
              execArgv: ["--conditions=@effect-resilience/source", "--max-old-space-size=128"],
              stdio: ["ignore", "ignore", "ignore", "ipc"]
            })
          ),
          (child) => Effect.sync(() => child.kill("SIGKILL"))
        )
        const port = yield* Effect.promise(() =>
          new Promise<number>((resolve) => child.once("message", (port) => resolve(port as number)))
        )
        yield* Effect.forEach(
          Array.from({ length: connections }),
          () => write(port, get("/config?limit=1000").repeat(each)),
          { concurrency: "unbounded" }
        )
        for (let i = 0; i < 3; i++) {
          const { status } = yield* ask({ port }, { path: "/config?limit=1000" })
          assert.include([200, 503], status)
          yield* isAlive({ port })
        }
        assert.isNull(child.exitCode)
        assert.isNull(child.signalCode)
      }), 120_000)
  }
}, 60_000)
