import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Stream } from "effect"
import { CircuitBreaker } from "effect-resilience"
import { TestClock } from "effect/testing"
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import type * as CircuitEvent from "../../src/CircuitEvent.ts"
import { Feed, type Reader } from "../../src/admin/internal/feed.ts"
import { ask, read, type Server, start, until } from "./support.ts"

const subscribers = (server: Server) =>
  Effect.map(ask(server, { path: "/config?limit=1" }), ({ json }) => json.admin.subscribers as number)

describe("places of event streams", () => {
  it.effect("are half for one address, and the rest for others", () =>
    Effect.gen(function*() {
      const server = yield* start({ maxSubscribers: 6 })
      const readers = yield* Effect.all([read(server), read(server), read(server)])
      yield* until(() => readers.every((reader) => reader.text() !== ""))

      const refused = yield* ask(server, { path: "/events" })
      assert.deepStrictEqual([refused.status, refused.headers["retry-after"], refused.json], [503, "5", {
        _tag: "TooManySubscribersError",
        limit: 3,
        message: "3 clients of this address read the events already; try again later"
      }])
      const other = yield* read(server, { localAddress: "127.0.0.2" })
      assert.strictEqual(other.status, 200)
    }))

  it.effect(
    "are taken from a client that takes nothing for 30 seconds, not from one that reads",
    () =>
      Effect.gen(function*() {
        const server = yield* start()
        const slow = yield* read(server, { paused: true })
        const fast = yield* read(server)
        yield* until(() => fast.text() !== "")
        const breaker = yield* server.registry.getOrCreate("payment-api")
        const note = "x".repeat(50_000)
        let sent = 0
        for (let i = 0; i < 400; i++) {
          yield* CircuitBreaker.withNote(breaker.forceOpen(), note)
          yield* breaker.forceClose
          sent += 2
          yield* until(() => fast.frames.length >= sent)
        }
        yield* TestClock.adjust("29 seconds")
        assert.strictEqual(yield* subscribers(server), 2)
        yield* TestClock.adjust("2 seconds")
        while ((yield* subscribers(server)) > 1) yield* Effect.yieldNow
        slow.resume()
        yield* until(() => slow.ended())

        yield* TestClock.adjust("10 minutes")
        yield* breaker.forceOpen()
        yield* until(() => fast.frames.length > sent)
        assert.include(fast.text(), ": heartbeat")
        assert.isFalse(fast.ended())
      }),
    30_000
  )
})

describe("a feed", () => {
  const event = (sequence: number, changed: ReadonlyArray<string> = []): CircuitEvent.Reconfigured => ({
    _tag: "Reconfigured",
    circuit: "c",
    sequence,
    timestamp: 0,
    changed: changed as CircuitEvent.Reconfigured["changed"]
  })
  const wish = { circuit: undefined, calls: false, lastEventId: undefined }
  const make = () => new Feed("run", { maxSubscribers: 10, buffer: 1_000, replay: 1_000 })
  const reader = () => {
    const state = { isClosing: false, disconnected: 0 }
    const self: Reader = {
      connection: {},
      address: "a",
      isClosing: () => state.isClosing,
      disconnect: () => {
        state.disconnected++
      }
    }
    return { state, self }
  }
  const bytesOf = (frames: ReadonlyArray<Uint8Array>) => frames.reduce((sum, { length }) => sum + length, 0)

  it.effect("keeps a mebibyte for a slow reader, four for those who come back, and hands them over in pieces", () =>
    Effect.gen(function*() {
      const feed = make()
      const stream = yield* feed.subscribe(wish, reader().self)
      for (let i = 0; i < 500; i++) feed.publish(event(i, ["x".repeat(50_000)]))
      const back = yield* feed.subscribe({ ...wish, lastEventId: "run-0" }, reader().self)
      feed.end()
      const sizes: Array<number> = []
      const pieces = (stream: Stream.Stream<Uint8Array>) =>
        Stream.runForEachArray(stream, (frames) => Effect.sync(() => sizes.push(bytesOf(frames))))

      yield* pieces(stream)
      assert.isAtMost(sizes.reduce((sum, size) => sum + size, 0), 1_048_576 + 1_000)
      assert.isAbove(sizes.reduce((sum, size) => sum + size, 0), 900_000)
      assert.isBelow(Math.max(...sizes), 65_536 + 51_000)

      sizes.length = 0
      yield* pieces(back)
      assert.isAtMost(sizes.reduce((sum, size) => sum + size, 0), 4_194_304 + 1_000)
      assert.isAbove(sizes.reduce((sum, size) => sum + size, 0), 4_000_000)
      assert.isBelow(Math.max(...sizes), 65_536 + 51_000)
    }))

  it.effect("evicts who takes nothing for 30 seconds while something waits", () =>
    Effect.gen(function*() {
      const feed = make()
      const { self, state } = reader()
      const stream = yield* feed.subscribe(wish, self)
      feed.sweep(0)
      feed.sweep(29_999)
      assert.strictEqual(feed.size, 1)
      feed.sweep(30_000)
      assert.strictEqual(feed.size, 0)
      assert.strictEqual(state.disconnected, 1)
      // Nothing is kept of what waited, also where the platform has no connection to close.
      assert.deepStrictEqual(yield* Stream.runCollect(stream), [])
    }))

  it.effect("keeps who has nothing to take, however long", () =>
    Effect.gen(function*() {
      const feed = make()
      const { self, state } = reader()
      const stream = yield* feed.subscribe(wish, self)
      yield* Effect.forkScoped(Stream.runDrain(stream), { startImmediately: true })
      for (let now = 0; now < 600_000; now += 250) {
        feed.sweep(now)
        if (now % 15_000 === 0) {
          feed.beat()
          yield* Effect.yieldNow
        }
      }
      assert.strictEqual(state.disconnected, 0)
    }))

  it.effect("ends the streams of a server that ends, and cuts off who does not read to the end", () =>
    Effect.gen(function*() {
      const feed = make()
      const [reading, stuck, other] = [reader(), reader(), reader()]
      const stream = yield* feed.subscribe(wish, reading.self)
      for (const { self } of [stuck, other]) yield* Effect.asVoid(feed.subscribe(wish, self))
      const fiber = yield* Effect.forkScoped(Stream.runDrain(stream), { startImmediately: true })
      feed.sweep(0)
      reading.state.isClosing = true
      stuck.state.isClosing = true
      feed.sweep(250)
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      assert.isDefined(fiber.pollUnsafe())
      assert.deepStrictEqual([reading, stuck, other].map(({ state }) => state.disconnected), [0, 1, 0])
    }))
})

describe("a program with open pages", () => {
  it.live("ends at once at SIGTERM, whether they read or not", () =>
    Effect.gen(function*() {
      const child = yield* Effect.acquireRelease(
        Effect.sync(() =>
          fork(fileURLToPath(new URL("endingServer.ts", import.meta.url)), {
            execArgv: ["--conditions=@effect-resilience/source"],
            stdio: ["ignore", "ignore", "ignore", "ipc"]
          })
        ),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      const port = yield* Effect.promise(() =>
        new Promise<number>((resolve) => child.once("message", (port) => resolve(port as number)))
      )
      const reading = yield* read({ port })
      yield* read({ port }, { paused: true })
      // The one that does not read has far more waiting than its socket holds.
      while (reading.frames.length < 600) yield* ask({ port }, { path: "/health/live" })
      const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()))
      const before = yield* Clock.currentTimeMillis
      child.kill("SIGTERM")
      yield* Effect.promise(() => ended)
      assert.isBelow((yield* Clock.currentTimeMillis) - before, 10_000)
      yield* until(() => reading.ended())
    }), 60_000)
})
