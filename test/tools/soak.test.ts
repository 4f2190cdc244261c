import { assert, describe, it } from "@effect/vitest"
import { Bulkhead, CircuitBreaker, CircuitPolicy, RateLimit } from "effect-resilience"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { audit, describe as inWords, type Report, type Sample, slope } from "../../scripts/soak/audit.ts"
import { Attempts, Calls, Gate, watchBulkhead, watchCircuit, watchRateLimit } from "../../scripts/soak/ledger.ts"
import { takeDown } from "../../scripts/soak/load.ts"
import { startServer } from "../../scripts/soak/processes.ts"

const samples = (heap: (i: number) => number, handles: (i: number) => number = () => 2): ReadonlyArray<Sample> =>
  Array.from({ length: 9 }, (_, i) => ({
    at: 5 * i,
    calls: 1000 * i,
    heap: heap(i),
    timers: handles(i),
    sockets: handles(i),
    circuits: 10
  }))

const MEBIBYTE = 1024 * 1024

/** A report in which everything adds up. */
const sound: Report = {
  seed: "1",
  minutes: 1,
  calls: [{ scenario: "orders", asked: 100, ends: { served: 80, fallback: 15, interrupted: 5 } }],
  gates: [
    {
      name: "orders",
      asked: 100,
      admitted: 80,
      rejected: 18,
      abandoned: 2,
      ends: { success: 60, failure: 10, defect: 1, interrupted: 9 }
    },
    {
      name: "orders-slots",
      asked: 78,
      admitted: 70,
      rejected: 5,
      abandoned: 3,
      ends: { success: 60, failure: 5, defect: 0, interrupted: 5 }
    }
  ],
  circuits: [{
    name: "orders",
    total: 94,
    successes: 55,
    failures: 10,
    ignored: 8,
    late: 2,
    rejected: 19,
    inFlight: 0,
    uncounted: 5,
    unclear: 1
  }],
  bulkheads: [{ name: "orders-slots", rejected: 6, inFlight: 0, queued: 0, peak: 10, limit: 10 }],
  passages: [{ from: "orders", to: "orders-slots", left: 80, reached: 78, interrupted: 9 }],
  servers: [{
    name: "a",
    sent: 70,
    received: 68,
    answered: 61,
    succeeded: 60,
    unknown: 0,
    strangers: 0,
    duplicates: 0
  }],
  chaos: [{
    point: "a",
    calls: 70,
    untouched: 50,
    before: 10,
    instead: 8,
    after: 4,
    arrived: 70,
    through: 61,
    interrupted: 3
  }],
  samples: samples((i) => 30 * MEBIBYTE + (i % 2) * MEBIBYTE),
  stuck: [],
  drains: 9,
  leftCircuits: [],
  leftResources: [],
  deeds: { "server killed": 2, reset: 1 }
}

/** The checks that a report breaks. */
const broken = (report: Report): ReadonlyArray<string> =>
  audit(report).filter(({ violations }) => violations.length > 0).map(({ name }) => name)

const first = <K extends "calls" | "gates" | "circuits" | "bulkheads" | "passages" | "servers" | "chaos">(
  key: K,
  change: Partial<Report[K][number]>
): Report => ({ ...sound, [key]: sound[key].map((entry, i) => i === 0 ? { ...entry, ...change } : entry) })

describe("the audit of a soak", () => {
  it("finds nothing in a report that adds up, and has looked at something in every check", () => {
    assert.deepStrictEqual(broken(sound), [])
    for (const { name, seen } of audit(sound)) assert.isAbove(seen, 0, name)
  })

  const ends = { success: 60, failure: 10, defect: 1, interrupted: 9 }
  const doctored: Record<string, readonly [report: Report, check: string]> = {
    "a call that did not end": [first("calls", { asked: 101 }), "every call ended once"],
    "a call that ended twice": [first("calls", { asked: 99 }), "every call ended once"],
    "somebody who was neither admitted nor rejected": [
      first("gates", { abandoned: 1 }),
      "admitted + rejected = asked, and who was admitted has ended"
    ],
    "an admitted call that did not end": [
      first("gates", { ends: { ...ends, success: 59 } }),
      "admitted + rejected = asked, and who was admitted has ended"
    ],
    "outcomes that are more than the total": [
      first("circuits", { successes: 56 }),
      "the outcomes of every circuit sum up to its total"
    ],
    "a call in flight in a circuit": [
      first("circuits", { inFlight: 1 }),
      "the outcomes of every circuit sum up to its total"
    ],
    "a circuit that has not counted a caller": [
      first("circuits", { total: 91, successes: 52 }),
      "every circuit has counted who asked it"
    ],
    "a circuit that has counted somebody twice": [
      first("circuits", { total: 96, successes: 57 }),
      "every circuit has counted who asked it"
    ],
    "a rejection that a circuit has not counted": [
      first("circuits", { rejected: 17, successes: 57 }),
      "every circuit has counted who asked it"
    ],
    "a slot that was not given back": [
      first("bulkheads", { inFlight: 1 }),
      "no bulkhead let in more than its limit or kept a slot"
    ],
    "a place in a queue that was not given back": [
      first("bulkheads", { queued: 1 }),
      "no bulkhead let in more than its limit or kept a slot"
    ],
    "a call too many in a bulkhead": [
      first("bulkheads", { peak: 11 }),
      "no bulkhead let in more than its limit or kept a slot"
    ],
    "a rejection that a bulkhead has not counted": [
      first("bulkheads", { rejected: 4 }),
      "no bulkhead let in more than its limit or kept a slot"
    ],
    "calls lost between two gates": [
      first("passages", { reached: 70 }),
      "whoever passed one gate came to the next, or was interrupted"
    ],
    "calls that came from nowhere": [
      first("passages", { reached: 81 }),
      "whoever passed one gate came to the next, or was interrupted"
    ],
    "an answer without a receipt": [
      first("servers", { unknown: 1 }),
      "the receipts of the servers agree with the attempts"
    ],
    "a receipt without an attempt": [
      first("servers", { strangers: 1 }),
      "the receipts of the servers agree with the attempts"
    ],
    "an attempt that was received twice": [
      first("servers", { duplicates: 1 }),
      "the receipts of the servers agree with the attempts"
    ],
    "more answers than the server gave": [
      first("servers", { succeeded: 62 }),
      "the receipts of the servers agree with the attempts"
    ],
    "a call that the chaos has not counted": [first("chaos", { arrived: 74 }), "the chaos accounts for every call"],
    "a call that was neither touched nor untouched": [
      first("chaos", { untouched: 47 }),
      "the chaos accounts for every call"
    ],
    "a call that was replaced and made": [first("chaos", { through: 63 }), "the chaos accounts for every call"],
    "a call that was neither replaced nor made": [first("chaos", { through: 58 }), "the chaos accounts for every call"],
    "a call that still runs": [
      { ...sound, stuck: ["orders: 1 calls"] },
      "every call ended when no new one was made"
    ],
    "a circuit that was not forgotten": [{ ...sound, leftCircuits: ["tenant-7"] }, "idle circuits were forgotten"],
    "a heap that grows, under noise": [
      { ...sound, samples: samples((i) => 30 * MEBIBYTE + i * MEBIBYTE + (i % 2) * MEBIBYTE) },
      "the heap did not grow"
    ],
    "too few samples of the heap": [{ ...sound, samples: sound.samples.slice(0, 2) }, "the heap did not grow"],
    "a handle left open": [{ ...sound, leftResources: ["Timeout"] }, "nothing kept the process alive"],
    "trouble that was never made": [
      { ...sound, deeds: { ...sound.deeds, reset: 0 } },
      "every kind of trouble was made"
    ]
  }
  for (const [what, [report, check]] of Object.entries(doctored)) {
    it(`finds ${what}, and nothing else`, () => {
      assert.deepStrictEqual(broken(report), [check])
    })
  }

  it("finds timers and sockets that become more", () => {
    const growing = { ...sound, samples: samples(() => 30 * MEBIBYTE, (i) => 2 + 3 * i) }
    assert.deepStrictEqual(broken(growing), ["the timers did not grow", "the sockets did not grow"])
  })

  it("does not take one odd sample, a warm-up or a shrinking heap for growth", () => {
    const odd = (i: number) => 30 * MEBIBYTE + (i === 8 ? 50 * MEBIBYTE : 0)
    const warmUp = (i: number) => Math.min(30, 10 + 10 * i) * MEBIBYTE
    const shrinking = (i: number) => (30 - i) * MEBIBYTE
    for (const heap of [odd, warmUp, shrinking]) {
      assert.deepStrictEqual(broken({ ...sound, samples: samples(heap) }), [])
    }
  })

  it("takes the median of all slopes", () => {
    assert.strictEqual(slope([]), 0)
    assert.strictEqual(slope([[1, 1]]), 0)
    assert.strictEqual(slope([[0, 0], [1, 2], [2, 4], [3, 6], [4, 100]]), 2)
  })

  it("says in words what does not hold", () => {
    const report = first("calls", { asked: 101 })
    const words = inWords(report, audit(report)).join("\n")
    assert.include(words, "FAILED every call ended once (101)\n           orders: 101 asked, 100 ended")
    assert.include(words, "ok     the heap did not grow")
  })
})

describe("the servers of a soak", () => {
  it.live("one whose start was interrupted, or asked for twice, ends with the scope", () =>
    Effect.gen(function*() {
      const processes = () => process.getActiveResourcesInfo().filter((kind) => kind === "ProcessWrap").length
      const before = processes()
      yield* Effect.scoped(Effect.gen(function*() {
        const server = yield* startServer("a", () => {})
        yield* server.kill
        const starts = [yield* Effect.forkChild(server.heal, { startImmediately: true })]
        starts.push(yield* Effect.forkChild(server.heal, { startImmediately: true }))
        yield* Fiber.interruptAll(starts)
      }))
      // Node lets go of a process that has ended some turns of its loop later.
      for (let turns = 0; processes() > before && turns < 1000; turns++) {
        yield* Effect.promise(() => new Promise(setImmediate))
      }
      assert.strictEqual(processes(), before)
    }), 30_000)
})

describe("the ledger of a soak", () => {
  const failing = Effect.fail("down")

  it.effect("a gate counts who asks, is admitted, rejected, and how they end", () =>
    Effect.gen(function*() {
      const gate = new Gate("c")
      const own = yield* CircuitBreaker.make({
        name: "c",
        policy: CircuitPolicy.make({ consecutiveFailures: 2, openDuration: "1 hour" })
      })
      const breaker = watchCircuit(own, gate)
      const calls: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        Effect.void,
        failing,
        Effect.interrupt,
        Effect.die("bug"),
        Effect.void
      ]
      for (const call of calls) {
        yield* Effect.exit(CircuitBreaker.withCircuitBreaker(call, breaker))
      }
      assert.deepStrictEqual(gate.account, {
        name: "c",
        asked: 5,
        admitted: 4,
        rejected: 1,
        abandoned: 0,
        ends: { success: 1, failure: 1, defect: 1, interrupted: 1 }
      })
      assert.strictEqual((yield* own.metrics).totalCalls, 5)
    }))

  it.effect("the calls of a disabled circuit are known to be uncounted", () =>
    Effect.gen(function*() {
      const gate = new Gate("c")
      const own = yield* CircuitBreaker.make({ name: "c" })
      const breaker = watchCircuit(own, gate)
      yield* breaker.execute(Effect.void)
      yield* own.disable
      yield* breaker.execute(Effect.void)
      assert.deepStrictEqual([gate.account.asked, gate.uncounted, gate.unclear], [2, 1, 0])
      assert.strictEqual((yield* own.metrics).totalCalls, 1)
    }))

  it.effect("a caller who leaves the queue of a bulkhead has abandoned it", () =>
    Effect.gen(function*() {
      const gate = new Gate("b")
      const bulkhead = watchBulkhead(yield* Bulkhead.make({ name: "b", limit: 1, queue: 1 }), gate)
      const start = Effect.forkChild(Bulkhead.withBulkhead(Effect.never, bulkhead), { startImmediately: true })
      const holder = yield* start
      const waiter = yield* start
      const rejected = yield* Effect.exit(bulkhead.execute(Effect.void))
      assert.isTrue(Exit.isFailure(rejected))
      yield* Fiber.interrupt(waiter)
      assert.strictEqual(gate.running, 1)
      yield* Fiber.interrupt(holder)
      const { abandoned, admitted, asked, ends, rejected: rejections } = gate.account
      assert.deepStrictEqual([asked, admitted, rejections, abandoned, ends.interrupted], [3, 1, 1, 1, 1])
      assert.deepStrictEqual([gate.running, gate.peak], [0, 1])
    }))

  it.effect("a rejection from further inside is not the gate's own", () =>
    Effect.gen(function*() {
      const outer = new Gate("r")
      const limit = yield* RateLimit.makeMemory({ name: "r", limit: 1, window: "1 hour" })
      const rateLimit = watchRateLimit(limit, outer)
      const breaker = yield* CircuitBreaker.make({ name: "c" })
      yield* breaker.forceOpen()
      yield* Effect.exit(rateLimit.execute(breaker.execute(Effect.void)))
      yield* Effect.exit(rateLimit.execute(Effect.void))
      const { admitted, ends, rejected } = outer.account
      assert.deepStrictEqual([admitted, ends.failure, rejected], [1, 1, 1])
    }))

  it.effect("the counts of a circuit go on over a reset, with the calls that ran through it", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "c" })
      const before = { total: 0, successes: 0, failures: 0, ignored: 0, late: 0, rejected: 0 }
      const circuit = { name: "c", breaker, gate: new Gate("c"), before }
      yield* breaker.execute(Effect.void)
      const fiber = yield* Effect.forkChild(breaker.execute(Effect.never), { startImmediately: true })
      assert.deepInclude(takeDown(circuit, true), { total: 1, successes: 1, inFlight: 1 })
      yield* Fiber.interrupt(fiber)
      yield* Effect.exit(breaker.execute(failing))
      assert.deepInclude(takeDown(circuit, false), { total: 3, successes: 1, failures: 1, ignored: 1, inFlight: 0 })
    }))

  it.effect("calls are counted by how they end", () =>
    Effect.gen(function*() {
      const calls = new Calls("orders")
      const ended: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        Effect.succeed("fallback"),
        Effect.succeed(7),
        Effect.fail({ _tag: "CircuitOpenError" }),
        Effect.die("bug"),
        Effect.interrupt
      ]
      for (const call of ended) yield* calls.count(call)
      assert.deepStrictEqual(calls.ends, { fallback: 1, served: 1, CircuitOpenError: 1, defect: 1, interrupted: 1 })
      assert.deepStrictEqual([calls.asked, calls.running], [5, 0])
    }))

  it("attempts are matched with receipts, also very many of them", () => {
    const attempts = new Attempts("a")
    for (let i = 0; i < 100_000; i++) {
      const attempt = attempts.send()
      attempts.receive(attempt)
      attempts.answer(attempt)
      attempts.succeed(attempt)
    }
    const unanswered = attempts.send()
    attempts.receive(unanswered)
    const lost = attempts.send()
    assert.deepStrictEqual(attempts.account, {
      name: "a",
      sent: 100_002,
      received: 100_001,
      answered: 100_000,
      succeeded: 100_000,
      unknown: 0,
      strangers: 0,
      duplicates: 0
    })

    attempts.succeed(unanswered)
    attempts.receive(unanswered)
    attempts.receive(lost + 1)
    const { duplicates, strangers, unknown } = attempts.account
    assert.deepStrictEqual([unknown, strangers, duplicates], [1, 1, 1])
  })
})
