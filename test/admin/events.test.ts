import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Schema, Scope, Stream } from "effect"
import { CircuitBreaker } from "effect-resilience"
import { AdminApi } from "effect-resilience/admin"
import { TestClock } from "effect/testing"
import type * as CircuitEvent from "../../src/CircuitEvent.ts"
import { Feed, History } from "../../src/admin/internal/feed.ts"
import { trip } from "../support/registry.ts"
import { ask, bearer, client, read, type Reader, type Server, start, until, who } from "./support.ts"

const changes = (reader: Reader) =>
  reader.frames.map(({ data, event }) => event === "StateChanged" ? `${data.from} -> ${data.to}` : event)

const subscribers = (server: { readonly port: number }) =>
  Effect.map(ask(server, { path: "/config?limit=1" }), ({ json }) => json.admin.subscribers)

/** Neither subscribers nor connections are left, but for the one that asks. */
const allGone = (server: Server) =>
  Effect.gen(function*() {
    for (let i = 0; i < 500; i++) {
      if ((yield* subscribers(server)) === 0 && (yield* server.connections) <= 1) return
    }
    assert.fail(`${yield* subscribers(server)} subscribers and ${yield* server.connections} connections are left`)
  })

describe("live events", () => {
  it.effect("are the events of all circuits as they happen, numbered, decoded by the schema", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const reader = yield* read(server)
      yield* until(() => reader.text().includes(": connected"))
      const breaker = yield* trip(server, "payment-api")
      yield* CircuitBreaker.withNote(breaker.forceOpen(), "a note\nof two lines")

      yield* until(() => reader.frames.length === 2)

      assert.deepStrictEqual(changes(reader), ["Closed -> Open", "Open -> ForcedOpen"])
      assert.match(reader.frames[0]!.id!, /^[a-z0-9]+-1$/)
      assert.match(reader.frames[1]!.id!, /^[a-z0-9]+-2$/)
      const decode = Schema.decodeUnknownSync(Schema.toCodecJson(AdminApi.LiveEvent))
      const event = decode(reader.frames[1]!.data)
      assert.isTrue(event._tag === "StateChanged" && event.note === "a note\nof two lines")
    }))

  it.effect("are an event stream that no proxy holds back", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const head = yield* ask(server, { method: "HEAD", path: "/events" })
      assert.strictEqual(head.headers["content-type"], "text/event-stream")
      assert.strictEqual(head.headers["cache-control"], "no-store")
      assert.strictEqual(head.headers["x-accel-buffering"], "no")
      assert.strictEqual(yield* subscribers(server), 0)
    }))

  it.effect("can be those of one circuit, and have calls on request", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const one = yield* read(server, { path: "/events?circuit=search" })
      const calls = yield* read(server, { path: "/events?circuit=search&calls=true" })
      yield* until(() => one.text() !== "" && calls.text() !== "")
      yield* trip(server, "payment-api")
      yield* trip(server, "search")

      yield* until(() => changes(one).length === 1 && changes(calls).length === 3)

      assert.deepStrictEqual(changes(one), ["Closed -> Open"])
      // Calls come beside the changes; the numbers of the circuit's events tell their order.
      const inOrder = calls.frames.toSorted((a, b) => a.data.sequence - b.data.sequence)
      assert.deepStrictEqual(inOrder.map(({ event }) => event), ["CallEnded", "CallEnded", "StateChanged"])
      assert.deepStrictEqual(inOrder.map(({ id }) => id === undefined), [true, true, false])
      assert.strictEqual(inOrder[0]!.data.outcome, "Failure")
    }))

  it.effect("cost calls nothing unless somebody wants them, and nothing any more when the last one leaves", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const reader = yield* read(server)
      yield* until(() => reader.text() !== "")
      // Events are numbered as they are made: two failures and a change are one event, or three.
      yield* trip(server, "a")
      yield* until(() => reader.frames.length === 1)
      assert.strictEqual(reader.frames[0]!.data.sequence, 1)

      const calls = yield* Effect.all([
        read(server, { path: "/events?calls=true" }),
        read(server, { path: "/events?calls=true" })
      ])
      yield* until(() => calls.every((reader) => reader.text() !== ""))
      calls[0].close()
      yield* until(() => calls[0].ended())
      yield* trip(server, "b")
      yield* until(() => reader.frames.length === 2)
      assert.strictEqual(reader.frames[1]!.data.sequence, 3)

      reader.close()
      calls[1].close()
      yield* allGone(server)
      const last = yield* read(server)
      yield* until(() => last.text() !== "")
      yield* trip(server, "c")
      yield* until(() => last.frames.length === 1)
      assert.strictEqual(last.frames[0]!.data.sequence, 1)
    }))

  it.effect("lose no change to however many calls", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const reader = yield* read(server)
      yield* until(() => reader.text() !== "")
      const breaker = yield* server.registry.getOrCreate("busy")
      for (let i = 0; i < 20; i++) {
        yield* Effect.repeat(Effect.ignore(breaker.execute(Effect.void)), { times: 5000 })
        yield* trip(server, `c${i}`)
      }
      yield* until(() => reader.frames.length === 20)
      assert.isTrue(reader.frames.every(({ event }) => event === "StateChanged"))
    }))

  it.effect("go on where a client left off", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const first = yield* read(server)
      yield* until(() => first.text() !== "")
      const breaker = yield* trip(server, "payment-api")
      yield* until(() => first.frames.length === 1)
      first.close()
      yield* allGone(server)

      yield* breaker.forceClose
      yield* breaker.disable
      const again = yield* read(server, { headers: { "last-event-id": first.frames[0]!.id! } })
      yield* until(() => again.text().includes(": connected"))
      yield* breaker.metricsOnly
      yield* until(() => again.frames.length === 3)

      assert.deepStrictEqual(changes(again), ["Open -> Closed", "Closed -> Disabled", "Disabled -> MetricsOnly"])
    }))

  it.effect("go on even for a client that had not got any", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const first = yield* read(server)
      yield* until(() => first.text().includes("id: "))
      const id = /^id: (.*)$/m.exec(first.text())![1]!
      first.close()
      yield* trip(server, "payment-api")

      const again = yield* read(server, { headers: { "last-event-id": id } })
      yield* until(() => again.frames.length === 1)
      assert.deepStrictEqual(changes(again), ["Closed -> Open"])
    }))

  it.effect("say what is missing of those a client was away for", () =>
    Effect.gen(function*() {
      const server = yield* start({ replay: 2 })
      const first = yield* read(server)
      yield* until(() => first.text() !== "")
      const breaker = yield* trip(server, "payment-api")
      yield* until(() => first.frames.length === 1)
      const id = first.frames[0]!.id!
      yield* breaker.forceClose
      yield* breaker.disable
      yield* breaker.metricsOnly
      yield* until(() => first.frames.length === 4)

      const again = yield* read(server, { headers: { "last-event-id": id } })
      yield* until(() => again.frames.length === 3)
      assert.deepStrictEqual(changes(again), ["EventsLost", "Closed -> Disabled", "Disabled -> MetricsOnly"])
      assert.strictEqual(again.frames[0]!.data.reason, "TooLongAway")

      for (
        const strange of ["m0x1-1", `${id.split("-")[0]}-999`, "1", "-", "é", "\t", "x".repeat(5000), "__proto__-1"]
      ) {
        const other = yield* read(server, { headers: { "last-event-id": Buffer.from(strange).toString("latin1") } })
        if (strange.trim() === "") continue
        yield* until(() => other.frames.length === 3)
        assert.strictEqual(other.frames[0]!.data.reason, "Restarted", strange)
        other.close()
      }
    }))

  it.effect("show by heartbeats that the connection lives", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const reader = yield* read(server)
      yield* until(() => reader.text() !== "")

      yield* TestClock.adjust("15 seconds")
      yield* until(() => reader.text().endsWith(": heartbeat\n\n"))
      yield* TestClock.adjust("14 seconds")
      yield* ask(server, { path: "/health" })
      assert.strictEqual(reader.text().split(": heartbeat").length, 2)
    }))

  it.effect("have a limit of clients; the next is 503 and a place is free as soon as one leaves", () =>
    Effect.gen(function*() {
      const server = yield* start({ maxSubscribers: 3 })
      const readers = yield* Effect.all(
        [1, 2, 3].map((n) => read(server, { localAddress: `127.0.0.${n}` }))
      )
      yield* until(() => readers.every((reader) => reader.text() !== ""))

      const refused = yield* ask(server, { path: "/events" })
      assert.deepStrictEqual([refused.status, refused.json], [503, {
        _tag: "TooManySubscribersError",
        limit: 3,
        message: "3 clients read the events already; try again later"
      }])
      assert.strictEqual(refused.headers["retry-after"], "5")
      const admin = yield* client(server)
      const error = yield* Effect.flip(admin.events.subscribe({ query: {}, headers: {} }))
      assert.instanceOf(error, AdminApi.TooManySubscribersError)

      readers[0]!.close()
      yield* until(() => readers[0]!.ended())
      const next = yield* read(server)
      assert.strictEqual(next.status, 200)
    }))

  it.effect("end when the API ends", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const server = yield* Scope.provide(start(), scope)
      const reader = yield* read(server)
      yield* until(() => reader.text() !== "")

      const closing = yield* Effect.forkChild(Scope.close(scope, yield* Effect.exit(Effect.void)))
      yield* until(() => reader.ended())
      yield* Fiber.join(closing)
    }))

  it.effect("do not wait for a slow reader, which loses the oldest and is told how many", () =>
    Effect.gen(function*() {
      const server = yield* start({ subscriberBuffer: 20, maxSubscribers: 10 })
      const slow = yield* read(server, { paused: true })
      const fast = yield* read(server)
      yield* until(() => fast.text() !== "")
      const breaker = yield* server.registry.getOrCreate("payment-api")
      const note = "x".repeat(50_000)
      let sent = 0
      // Far more than sockets hold: at some point nothing goes out any more.
      for (let i = 0; i < 400; i++) {
        yield* CircuitBreaker.withNote(breaker.forceOpen(), note)
        yield* breaker.forceClose
        sent += 2
        yield* until(() => fast.frames.length >= sent)
      }
      assert.strictEqual(changes(fast).filter((change) => change === "EventsLost").length, 0)

      slow.resume()
      yield* until(() => slow.frames.length > 0 && slow.frames.at(-1)!.id === fast.frames.at(-1)!.id)

      const lost = slow.frames.filter(({ event }) => event === "EventsLost").map(({ data }) => data)
      const got = slow.frames.filter(({ event }) => event === "StateChanged").length
      assert.isAtLeast(lost.length, 1)
      assert.isTrue(lost.every(({ reason }) => reason === "SlowReader"))
      assert.strictEqual(got + lost.reduce((sum, { lost }) => sum + lost, 0), sent)
      slow.close()
      fast.close()
      yield* allGone(server)
    }), 30_000)

  it.effect("reach two thousand clients, each of which leaves nothing behind", () =>
    Effect.gen(function*() {
      const server = yield* start({ maxSubscribers: 4000 })
      const many = 2000
      const readers: Array<Reader> = []
      for (let i = 0; i < many; i += 200) {
        readers.push(...(yield* Effect.all(Array.from({ length: 200 }, () => read(server)), { concurrency: 200 })))
      }
      yield* until(() => readers.every((reader) => reader.text() !== ""))
      assert.strictEqual(yield* subscribers(server), many)
      assert.strictEqual((yield* ask(server, { path: "/events" })).status, 503)

      yield* trip(server, "payment-api")
      yield* until(() => readers.every((reader) => reader.frames.length === 1))

      for (const reader of readers) reader.close()
      yield* allGone(server)
      const reader = yield* read(server)
      assert.strictEqual(reader.status, 200)
    }), 60_000)

  it.effect("leave nothing behind however clients come and go", () =>
    Effect.gen(function*() {
      const server = yield* start({ maxSubscribers: 50 })
      for (let round = 0; round < 20; round++) {
        const readers = yield* Effect.all(Array.from({ length: 25 }, () => read(server)), { concurrency: 25 })
        yield* trip(server, `c${round}`)
        for (const reader of readers) {
          assert.strictEqual(reader.status, 200)
          reader.close()
        }
        yield* allGone(server)
      }
    }))

  it.effect("are not told to those without the token where reading needs it", () =>
    Effect.gen(function*() {
      const server = yield* start({ readAccess: "token" })
      assert.strictEqual((yield* ask(server, { path: "/events" })).status, 401)
      const reader = yield* read(server, { headers: bearer() })
      assert.strictEqual(reader.status, 200)
      yield* trip(server, "payment-api")
      yield* ask(server, { path: "/circuits/payment-api/force-close", body: who, headers: bearer() })
      yield* until(() => reader.frames.length === 2)
      assert.deepStrictEqual(changes(reader), ["Closed -> Open", "Open -> Closed"])
    }))
})

describe("a feed", () => {
  const event = (sequence: number): CircuitEvent.Reconfigured => ({
    _tag: "Reconfigured",
    circuit: "c",
    sequence,
    timestamp: 0,
    changed: []
  })
  const make = (buffer = 3) => new Feed("run", { maxSubscribers: 4, buffer, replay: 5 })
  const wish = { circuit: undefined, calls: false, lastEventId: undefined }
  const reader = { connection: undefined, address: "a", isClosing: () => false, disconnect: () => {} }
  const text = new TextDecoder()

  /** The texts that the subscriber takes at once. */
  const take = (stream: Stream.Stream<Uint8Array>) =>
    Effect.map(Stream.runCollect(stream), (frames) => frames.map((bytes) => text.decode(bytes).split("\n")[0]))

  it.effect("gives a subscriber what waits and then ends, if it has ended", () =>
    Effect.gen(function*() {
      const feed = make()
      const stream = yield* feed.subscribe(wish, reader)
      for (let i = 1; i <= 5; i++) feed.publish(event(i))
      feed.end()

      assert.deepStrictEqual(yield* take(stream), [
        ": connected",
        "event: EventsLost",
        "id: run-3",
        "id: run-4",
        "id: run-5"
      ])
      const late = yield* feed.subscribe({ ...wish, lastEventId: "run-4" }, reader)
      assert.deepStrictEqual(yield* take(late), ["id: run-5", ": connected"])
    }))

  it.effect("counts a heartbeat as no event", () =>
    Effect.gen(function*() {
      const feed = make()
      const stream = yield* feed.subscribe(wish, reader)
      for (let i = 1; i <= 3; i++) feed.publish(event(i))
      for (let i = 0; i < 10; i++) feed.beat()
      feed.end()

      assert.deepStrictEqual(yield* take(stream), [": connected", "id: run-1", "id: run-2", "id: run-3"])
    }))

  it.effect("frees the place of a subscriber that was interrupted, wherever it was", () =>
    Effect.gen(function*() {
      const feed = make()
      for (let steps = 0; steps < 30; steps++) {
        const reading = feed.subscribe(wish, reader).pipe(
          Effect.flatMap((stream) => Stream.runDrain(stream)),
          Effect.scoped
        )
        const fiber = yield* Effect.forkChild(reading)
        for (let i = 0; i < steps; i++) {
          yield* Effect.yieldNow
          if (i % 5 === 0) feed.publish(event(i))
        }
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(feed.size, 0, `after ${steps} steps`)
      }
    }))
})

describe("the history of all circuits", () => {
  it("is in the order of what happened, also when the wall clock steps back", () => {
    const history = new History({ perCircuit: 10, total: 10 })
    const add = (circuit: string, timestamp: number) =>
      history.add({
        _tag: "StateChanged",
        circuit,
        sequence: 1,
        timestamp,
        from: "Closed",
        to: "Open",
        reason: "Manual",
        retryAfter: Duration.zero,
        openings: 1,
        elapsed: Duration.zero,
        consecutiveFailures: 0,
        failureRate: 0,
        slowCallRate: 0,
        calls: 0
      })
    add("a", 3_000)
    add("b", 1_000)
    add("a", 2_000)
    assert.deepStrictEqual(history.latest(10).map(({ circuit, timestamp }) => [circuit, timestamp]), [
      ["a", 3_000],
      ["b", 1_000],
      ["a", 2_000]
    ])
    assert.deepStrictEqual(history.latest(1).map(({ timestamp }) => timestamp), [2_000])
    assert.deepStrictEqual(history.of("a")?.map(({ timestamp }) => timestamp), [3_000, 2_000])
  })
})
