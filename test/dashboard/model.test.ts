import { assert, describe, it } from "@effect/vitest"
import type { Circuit, TierFlow, Transition } from "../../dashboard/api.ts"
import {
  addressOf,
  circuitIn,
  CircuitTrend,
  flowsOf,
  FlowTrend,
  lanesOf,
  latency,
  linesOf,
  merged,
  outagesOf,
  perSecond,
  ruleOf,
  span,
  ticksOf,
  Trend,
  withLatest,
  withTransition
} from "../../dashboard/model.ts"
import { SseParser } from "../../dashboard/sse.ts"

const MINUTE = 60_000

const event = (fields: Partial<Transition> = {}): Transition => ({
  _tag: "StateChanged",
  circuit: "a",
  sequence: 1,
  timestamp: 0,
  from: "Closed",
  to: "Open",
  reason: "ConsecutiveFailures",
  retryAfter: 1000,
  openings: 1,
  elapsed: 0,
  consecutiveFailures: 3,
  failureRate: 0.25,
  slowCallRate: 0.5,
  calls: 12,
  ...fields
})

describe("words", () => {
  it("of times are their two largest units", () => {
    for (
      const [millis, text] of [
        [0, "0 s"],
        [-5, "0 s"],
        [1, "1 s"],
        [59_000, "59 s"],
        [60_000, "1 min"],
        [61_000, "1 min 1 s"],
        [3_600_000, "1 h"],
        [3_661_000, "1 h 1 min"],
        [90_000_000, "1 d 1 h"]
      ] as const
    ) assert.strictEqual(span(millis), text)
  })

  it("of rates and latencies are short", () => {
    assert.deepStrictEqual([0, 0.25, 9.96, 10.2, 1234.5].map(perSecond), ["0/s", "0.3/s", "10.0/s", "10/s", "1235/s"])
    assert.deepStrictEqual([0, 1.26, 12.6, 1500].map(latency), ["0.0 ms", "1.3 ms", "13 ms", "1.5 s"])
  })
})

describe("a trend", () => {
  it("is of the last seconds", () => {
    const trend = new Trend()
    for (let i = 0; i <= 20; i++) trend.add(i * 1000, [i <= 10 ? 0 : (i - 10) * 40])
    assert.deepStrictEqual(trend.growth, { seconds: 2, counts: [80] })
  })

  it("looks further back if there are few calls, but not for ever", () => {
    const trend = new Trend()
    for (let i = 0; i <= 40; i++) trend.add(i * 1000, [Math.floor(i / 10)])
    assert.deepStrictEqual(trend.growth, { seconds: 15, counts: [2] })
  })

  it("begins anew when a counter goes back, as after a reset", () => {
    const trend = new Trend()
    trend.add(0, [100])
    trend.add(1000, [110])
    trend.add(2000, [3])
    assert.isUndefined(trend.growth)
    assert.deepStrictEqual(trend.points(0), [])
    trend.add(3000, [13])
    assert.deepStrictEqual(trend.growth, { seconds: 1, counts: [10] })
    assert.deepStrictEqual(trend.points(0), [10])
  })

  it("does not take a burst of looks for a burst of calls", () => {
    const trend = new Trend()
    trend.add(0, [0])
    trend.add(1000, [40])
    for (let i = 1; i <= 10; i++) trend.add(1000 + i * 100, [40 + i * 4])
    trend.add(2900, [116])
    assert.deepStrictEqual(trend.points(0), [40, 40, 40])
  })

  it("keeps a minute of points", () => {
    const trend = new Trend()
    for (let i = 0; i < 500; i++) trend.add(i * 1000, [i * i])
    assert.strictEqual(trend.points(0).length, 60)
    assert.strictEqual(trend.points(0).at(-1), 499 ** 2 - 498 ** 2)
  })

  it("of a circuit has the latency of the calls that ended lately", () => {
    const circuit = (successful: number, failed: number, rejected: number, average: number | null) => ({
      total_calls: successful + failed + rejected,
      successful_calls: successful,
      failed_calls: failed,
      late_calls: 0,
      rejected_calls: rejected,
      average_response_time_ms: average
    } as Circuit)
    const trend = new CircuitTrend()
    trend.add(0, circuit(100, 0, 0, 10))
    trend.add(2000, circuit(100, 10, 0, (100 * 10 + 10 * 500) / 110))
    assert.deepStrictEqual(trend.rates, { calls: 5, failures: 5, rejections: 0, latency: 500 })
    // All are rejected: nothing was timed.
    for (let i = 2; i <= 20; i++) trend.add(i * 2000, circuit(100, 10, i * 2, (100 * 10 + 10 * 500) / 110))
    assert.deepStrictEqual(trend.rates, { calls: 1, failures: 0, rejections: 1, latency: undefined })
    assert.strictEqual(trend.failures.at(-1), 1)
  })
})

describe("tiers", () => {
  const operation = (
    name: string,
    counts: ReadonlyArray<readonly [served: number, failed: number, skipped: number]>
  ) => ({
    operation: name,
    calls: 0,
    failed_calls: 0,
    tiers: counts.map(([served, failed, skipped], i) => ({
      name: `tier${i}`,
      circuit: `tier${i}`,
      state: "closed",
      time_until_retry: null,
      served,
      failed,
      skipped
    }))
  } as TierFlow)

  it("that several operations go through are one flow, whichever was used last", () => {
    const b = operation("b", [[1, 2, 3], [4, 5, 6]])
    const a = operation("a", [[10, 20, 30], [40, 50, 60]])
    const other = operation("c", [[1, 1, 1]])
    for (const operations of [[a, b, other], [other, b, a]]) {
      const flows = flowsOf(operations)
      assert.deepStrictEqual(flows.map((flow) => flow.operations), [["a", "b"], ["c"]])
      assert.deepStrictEqual(
        flows[0]!.tiers.map(({ failed, served, skipped }) => [served, failed, skipped]),
        [[11, 22, 33], [44, 55, 66]]
      )
    }
  })

  it("show the one that serves most calls now, and none if none serves", () => {
    const trend = new FlowTrend()
    const flow = (first: number, second: number, failed: number) => ({
      ...flowsOf([operation("a", [[first, failed, 0], [second, failed, 0]])])[0]!,
      calls: first + second + failed,
      failed
    })
    assert.isUndefined(trend.rates)
    trend.add(0, flow(1000, 0, 0))
    trend.add(2000, flow(1010, 20, 0))
    assert.strictEqual(trend.rates!.serving, 1)
    assert.deepStrictEqual([trend.rates!.calls, trend.rates!.tiers[0]!.served], [15, 5])
    trend.add(4000, flow(1010, 20, 40))
    assert.deepStrictEqual([trend.rates!.serving, trend.rates!.failed], [-1, 20])
    // The best of the tiers is not praised while most calls reach none.
    trend.add(6000, flow(1013, 20, 78))
    assert.deepStrictEqual([trend.rates!.serving, trend.rates!.tiers[0]!.served > 0], [-1, true])
  })
})

describe("the address of a circuit", () => {
  it("names it, whatever its name", () => {
    for (const name of ["payment-api", "a/b?c#d %", "ünï çødé", ".."]) {
      assert.strictEqual(circuitIn(addressOf(name)), name)
    }
    for (const hash of ["", "#", "#circuits", "#/circuits/", "#/circuits/%E0%A4%A", "x#/circuits/a"]) {
      assert.isUndefined(circuitIn(hash), hash)
    }
  })
})

/** What a circuit goes through that opens, and is probed so often without success. */
const outage = (probes: number, circuit = "a", at = 0): ReadonlyArray<Transition> => [
  event({ circuit, sequence: 1, timestamp: at }),
  ...Array.from({ length: probes }, (_, i): ReadonlyArray<Transition> => [
    event({
      circuit,
      sequence: 2 * i + 2,
      timestamp: at + 60 * (i + 1),
      from: "Open",
      to: "HalfOpen",
      reason: "OpenTimeEnded"
    }),
    event({ circuit, sequence: 2 * i + 3, timestamp: at + 60 * (i + 1) + 1, from: "HalfOpen", reason: "ProbeFailed" })
  ]).flat()
]

describe("an outage", () => {
  it("lasts from the first opening until the circuit is closed, whatever the probes say meanwhile", () => {
    const transitions = outage(3)
    assert.deepStrictEqual(outagesOf(transitions).get("a"), { first: transitions[0]!, isWhole: true, openings: 4 })
    const probing = outagesOf(transitions.slice(0, -1)).get("a")!
    assert.deepStrictEqual([probing.first.timestamp, probing.openings], [0, 3])
    const closed = event({ timestamp: 300, from: "HalfOpen", to: "Closed", reason: "ProbesSucceeded" })
    assert.strictEqual(outagesOf([...transitions, closed]).size, 0)
    const again = event({ timestamp: 400 })
    assert.deepStrictEqual(outagesOf([...transitions, closed, again]).get("a")!.first, again)
    const disabled = event({ timestamp: 300, from: "Open", to: "Disabled", reason: "Manual" })
    assert.strictEqual(outagesOf([...transitions, disabled]).size, 0)
  })

  it("is not whole if its beginning is no longer remembered", () => {
    const [, ...rest] = outage(3)
    assert.deepInclude(outagesOf(rest).get("a"), { first: rest[0]!, isWhole: false, openings: 3 })
  })

  it("is of one circuit", () => {
    const forced = event({ circuit: "b", timestamp: 5, to: "ForcedOpen", reason: "Manual" })
    const found = outagesOf([...outage(1), forced])
    assert.deepStrictEqual([found.get("a")!.openings, found.get("b")!.openings, found.size], [2, 1, 2])
  })
})

describe("the rule of a circuit", () => {
  const circuit = (
    figures: readonly [rate: number, inARow: number, slow: number],
    limits: readonly [rate: number | null, inARow: number | null, slow: number | null]
  ) =>
    ({
      error_rate: figures[0],
      failure_count: figures[1],
      slow_call_rate: figures[2],
      thresholds: { error_rate: limits[0], failure_count: limits[1], slow_call_rate: limits[2] }
    }) as Circuit

  it("is the one that is nearest to its limit", () => {
    assert.deepStrictEqual(ruleOf(circuit([0.25, 3, 0], [0.5, 5, null]), undefined), {
      kind: "ConsecutiveFailures",
      value: 3,
      limit: 5
    })
    assert.deepStrictEqual(ruleOf(circuit([0.25, 1, 0.9], [0.5, 5, 1]), undefined), {
      kind: "SlowCallRate",
      value: 0.9,
      limit: 1
    })
    assert.deepInclude(ruleOf(circuit([0, 0, 0], [0.5, 5, 1]), undefined), { kind: "FailureRate", value: 0 })
    assert.isUndefined(ruleOf(circuit([1, 9, 1], [null, null, null]), undefined))
  })

  it("is the one that opened it, as it stood then, while it is not closed", () => {
    const slow = outagesOf([event({ reason: "SlowCallRate", slowCallRate: 0.8 })]).get("a")
    assert.deepStrictEqual(ruleOf(circuit([0, 0, 0], [0.5, 5, 0.75]), slow), {
      kind: "SlowCallRate",
      value: 0.8,
      limit: 0.75
    })
    const inARow = outagesOf(outage(2)).get("a")
    assert.deepInclude(ruleOf(circuit([0, 1, 0], [0.5, 3, 0.75]), inARow), { kind: "ConsecutiveFailures", value: 3 })
    // By hand no rule is broken: the nearest one, as it stood.
    const forced = outagesOf([event({ reason: "Manual", to: "ForcedOpen" })]).get("a")
    assert.deepInclude(ruleOf(circuit([0, 0, 0], [0.5, 30, 0.6]), forced), { kind: "SlowCallRate", value: 0.5 })
  })
})

describe("the list of transitions", () => {
  it("folds probes that fail again and again into one line, the latest first", () => {
    const transitions = outage(4)
    const lines = linesOf(transitions)
    assert.deepStrictEqual(lines.map(({ event, failures, since }) => [event.to, event.timestamp, failures, since]), [
      ["Open", 241, 4, 61],
      ["Open", 0, 0, 0]
    ])
    const closed = event({ sequence: 10, timestamp: 301, from: "HalfOpen", to: "Closed", reason: "ProbesSucceeded" })
    const probing = event({ sequence: 9, timestamp: 300, from: "Open", to: "HalfOpen", reason: "OpenTimeEnded" })
    assert.deepStrictEqual(
      linesOf([...transitions, probing, closed]).map(({ event, failures }) => [event.to, failures]),
      [["Closed", 0], ["HalfOpen", 0], ["Open", 4], ["Open", 0]]
    )
  })

  it("keeps the lines of circuits apart, and begins anew after a circuit was closed", () => {
    const closed = event({ sequence: 9, timestamp: 500, from: "Open", to: "Closed", reason: "Manual" })
    const later = outage(2, "a", 1000)
    const all = [...outage(3), ...outage(2, "b", 30), closed, ...later].toSorted((x, y) => x.timestamp - y.timestamp)
    assert.deepStrictEqual(linesOf(all).map(({ event, failures }) => `${event.circuit} ${event.to} ${failures}`), [
      "a Open 2",
      "a Open 0",
      "a Closed 0",
      "a Open 3",
      "b Open 2",
      "b Open 0",
      "a Open 0"
    ])
  })

  it("shows a probe whose beginning is out of sight, and one that goes on", () => {
    const [, , failed, begun] = outage(2)
    assert.deepStrictEqual(linesOf([failed!, begun!]).map(({ event, failures }) => [event.to, failures]), [
      ["HalfOpen", 0],
      ["Open", 0]
    ])
  })
})

describe("the timeline", () => {
  const opened = event({ sequence: 1, timestamp: 10 * MINUTE, from: "Closed", to: "Open", elapsed: 10 * MINUTE })
  const halfOpen = event({ sequence: 2, timestamp: 11 * MINUTE, from: "Open", to: "HalfOpen" })
  const closed = event({ sequence: 3, timestamp: 12 * MINUTE, from: "HalfOpen", to: "Closed" })

  it("has the state of each moment", () => {
    assert.deepStrictEqual(lanesOf([opened, halfOpen, closed], { from: 8 * MINUTE, to: 13 * MINUTE }, 13 * MINUTE), [{
      circuit: "a",
      segments: [
        { state: "closed", from: 8 * MINUTE, to: 10 * MINUTE },
        { state: "open", from: 10 * MINUTE, to: 11 * MINUTE },
        { state: "half_open", from: 11 * MINUTE, to: 12 * MINUTE },
        { state: "closed", from: 12 * MINUTE, to: 13 * MINUTE }
      ]
    }])
  })

  it("ends now, and begins when the circuit was made", () => {
    const [lane] = lanesOf([{ ...opened, elapsed: MINUTE }], { from: 0, to: 20 * MINUTE }, 11 * MINUTE)
    assert.deepStrictEqual(lane!.segments, [
      { state: "closed", from: 9 * MINUTE, to: 10 * MINUTE },
      { state: "open", from: 10 * MINUTE, to: 11 * MINUTE }
    ])
  })

  it("shows circuits that changed then, and those that are not closed", () => {
    const names = (from: number, to: number, now = 60 * MINUTE) =>
      lanesOf([opened, halfOpen, closed, event({ circuit: "b", timestamp: 12 * MINUTE })], { from, to }, now)
        .map(({ circuit }) => circuit)
    assert.deepStrictEqual(names(8 * MINUTE, 13 * MINUTE), ["a", "b"])
    assert.deepStrictEqual(names(20 * MINUTE, 25 * MINUTE), ["b"])
    assert.deepStrictEqual(names(0, 5 * MINUTE), [])
  })

  it("takes each transition once, in order, whatever order they come in", () => {
    const events = [closed, opened, halfOpen, opened, closed]
    const all = events.reduce(withTransition2, [] as ReadonlyArray<Transition>)
    assert.deepStrictEqual(all.map(({ sequence }) => sequence), [1, 2, 3])
    assert.strictEqual(withTransition(all, event({ timestamp: 99 * MINUTE, sequence: 9 }), 2).length, 2)
  })

  it("is in the order of what happened, also when the wall clock steps back", () => {
    const [first, stepped, last] = [
      event({ sequence: 1, timestamp: 90 * MINUTE }),
      event({ sequence: 2, timestamp: 30 * MINUTE }),
      event({ sequence: 3, timestamp: 31 * MINUTE })
    ]
    const sequences = (all: ReadonlyArray<Transition>) => all.map(({ sequence }) => sequence)
    const heard = [first, stepped, last].reduce((all, next) => withLatest(all, next), [] as ReadonlyArray<Transition>)
    assert.deepStrictEqual(sequences(heard), [1, 2, 3])
    assert.strictEqual(withLatest(heard, stepped), heard)
    assert.deepStrictEqual(sequences(merged([first, stepped], heard)), [1, 2, 3])
    assert.deepStrictEqual(sequences(merged([first, last], heard)), [1, 2, 3])
    assert.deepStrictEqual(sequences(merged([], heard)).length, 3)
    assert.deepStrictEqual(sequences(merged(heard, [])), [1, 2, 3])
  })

  it("has a few round moments on its axis, and none at its ends", () => {
    assert.deepStrictEqual(ticksOf({ from: 90_500, to: 390_500 }, 0, 6), [120_000, 180_000, 240_000, 300_000, 360_000])
    assert.deepStrictEqual(ticksOf({ from: 119_000, to: 419_000 }, 0, 6), [180_000, 240_000, 300_000, 360_000])
    for (const length of [MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE, 360 * MINUTE, 1440 * MINUTE, 99_999 * MINUTE]) {
      for (const most of [3, 6]) {
        const count = ticksOf({ from: 12_345, to: 12_345 + length }, -330, most).length
        assert.isAtLeast(count, 1)
        assert.isAtMost(count, most)
      }
    }
  })
})

const withTransition2 = (all: ReadonlyArray<Transition>, next: Transition) => withTransition(all, next)

describe("server-sent events", () => {
  it("are read from pieces that end anywhere, comments dropped", () => {
    const text =
      ": heartbeat\n\nid: r-1\nevent: StateChanged\ndata: {\"a\":\ndata: 1}\n\nevent: EventsLost\ndata: {}\n\n: connected\nid: r-2\n\nid: r-3"
    const expected = [
      { event: "StateChanged", data: "{\"a\":\n1}" },
      { event: "EventsLost", data: "{}" }
    ]
    for (let size = 1; size <= text.length; size++) {
      const parser = new SseParser()
      const frames = []
      for (let at = 0; at < text.length; at += size) frames.push(...parser.push(text.slice(at, at + size)))
      assert.deepStrictEqual(frames, expected)
      assert.strictEqual(parser.lastEventId, "r-2")
    }
  })
})
