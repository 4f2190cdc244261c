import { assert, describe, it } from "@effect/vitest"
import * as String from "effect/String"
import * as Circuit from "../../../src/internal/circuit/machine.ts"
import { exponentialOpenTime } from "../../../src/internal/circuit/openTime.ts"
import { TRIPS } from "../../../src/internal/circuit/policy.ts"
import { seeded } from "../../support/machine.ts"

const rules = (options: Partial<Circuit.Rules> = {}): Circuit.Rules => ({
  consecutiveFailures: Infinity,
  failureRate: Infinity,
  slowCallRate: Infinity,
  minimumCalls: 1,
  window: { calls: 10 },
  halfOpenMaxCalls: 1,
  successThreshold: 1,
  halfOpenSample: undefined,
  halfOpenTimeout: 60_000,
  recovery: undefined,
  openTime: () => 1_000,
  maxOpenTime: Infinity,
  ...options
})

const draw = () => 0

const ended = (verdict: Circuit.Verdict, now: number, options: Partial<Circuit.EndedCall> = {}): Circuit.EndedCall => ({
  verdict,
  slow: false,
  retryAfter: 0,
  now,
  ...options
})

const fails = (circuit: Circuit.Circuit, rules: Circuit.Rules, now: number, retryAfter = 0) =>
  Circuit.record(circuit, rules, ended("Failure", now, { retryAfter }), draw)

const as = <Tag extends Circuit.Circuit["_tag"]>(circuit: Circuit.Circuit | undefined, tag: Tag) => {
  assert.strictEqual(circuit?._tag, tag)
  return circuit as Extract<Circuit.Circuit, { readonly _tag: Tag }>
}

/** A circuit in a half-open period that began at `now`. */
const halfOpen = (rules: Circuit.Rules, now: number) => {
  const closed = Circuit.make(rules, 0)
  const forced = Circuit.move(closed, rules, { _tag: "ForceOpen", duration: now }, 0)
  return as(Circuit.settle(forced, rules, now), "HalfOpen")
}

describe("elapse", () => {
  it("changes nothing before the end of the open time, and half-opens at exactly the end", () => {
    const policy = rules({ consecutiveFailures: 1 })
    const open = as(fails(Circuit.make(policy, 0), policy, 500), "Open")

    assert.strictEqual(Circuit.elapse(open, policy, 1_499.999_999), open)
    as(Circuit.elapse(open, policy, 1_500), "HalfOpen")
  })

  it("makes one transition at a time", () => {
    const policy = rules({ halfOpenTimeout: 100 })
    const probing = Circuit.admit(halfOpen(policy, 10), policy, 10, draw)!

    const open = as(Circuit.elapse(probing, policy, 1_000_000), "Open")
    assert.strictEqual(open.openedAt, 110)
    as(Circuit.elapse(open, policy, 1_000_000), "HalfOpen")
  })

  it("reopens at exactly the half-open timeout of a probe, and not before", () => {
    const policy = rules({ halfOpenTimeout: 100 })
    const probing = Circuit.admit(halfOpen(policy, 10), policy, 20, draw)!

    assert.strictEqual(Circuit.elapse(probing, policy, 119.9), probing)
    const open = as(Circuit.elapse(probing, policy, 120), "Open")
    assert.deepStrictEqual([open.openedAt, open.openUntil, open.openings], [120, 1_120, 1])
  })

  it("waits for ever for a probe if the policy says so", () => {
    const policy = rules({ halfOpenTimeout: Infinity })
    const probing = Circuit.admit(halfOpen(policy, 10), policy, 10, draw)!

    assert.strictEqual(Circuit.settle(probing, policy, 1e15), probing)
  })

  it("never times out a half-open period without a probe", () => {
    const policy = rules({ halfOpenTimeout: 100 })
    const idle = halfOpen(policy, 10)

    assert.strictEqual(Circuit.settle(idle, policy, 1e12), idle)
  })

  it("measures the half-open timeout from the last verdict", () => {
    const policy = rules({ halfOpenTimeout: 100, halfOpenMaxCalls: 2, successThreshold: 5 })
    let circuit: Circuit.Circuit = halfOpen(policy, 0)
    circuit = Circuit.admit(circuit, policy, 0, draw)!
    circuit = Circuit.admit(circuit, policy, 0, draw)!
    circuit = Circuit.record(circuit, policy, ended("Success", 90), draw)

    as(Circuit.settle(circuit, policy, 189), "HalfOpen")
    as(Circuit.elapse(circuit, policy, 190), "Open")
  })

  it("starts the half-open timeout anew with the first probe after all others left", () => {
    const policy = rules({ halfOpenTimeout: 100 })
    let circuit: Circuit.Circuit = halfOpen(policy, 0)
    circuit = Circuit.admit(circuit, policy, 0, draw)!
    circuit = Circuit.record(circuit, policy, ended("Ignored", 50), draw)
    circuit = Circuit.admit(circuit, policy, 80, draw)!

    as(Circuit.settle(circuit, policy, 179), "HalfOpen")
    as(Circuit.elapse(circuit, policy, 180), "Open")
  })
})

describe("record", () => {
  it("opens at the limit, by any rule that is on", () => {
    const slow = { slow: true }
    const cases: ReadonlyArray<readonly [Partial<Circuit.Rules>, ReadonlyArray<Circuit.EndedCall>, Circuit.Reason]> = [
      [{ consecutiveFailures: 2 }, [ended("Failure", 0), ended("Failure", 0)], "ConsecutiveFailures"],
      [{ failureRate: 0.5, minimumCalls: 2 }, [ended("Success", 0), ended("Failure", 0)], "FailureRate"],
      [{ failureRate: 0.5, minimumCalls: 2 }, [ended("Failure", 0), ended("Success", 0)], "FailureRate"],
      [{ slowCallRate: 1, minimumCalls: 2 }, [ended("Success", 0, slow), ended("Failure", 0, slow)], "SlowCallRate"]
    ]
    const reasons = new Set(cases.map(([, , reason]) => reason))
    assert.sameMembers(Array.from(reasons), TRIPS.map(String.capitalize), "a case for every rule")
    for (const [options, calls, reason] of cases) {
      const policy = rules(options)
      let circuit = Circuit.make(policy, 0)
      calls.forEach((call, index) => {
        assert.strictEqual(circuit._tag, "Closed", `${reason} at call ${index}`)
        circuit = Circuit.record(circuit, policy, call, draw)
      })
      assert.strictEqual(as(circuit, "Open").counts.window.calls, calls.length)
      assert.strictEqual(Circuit.trips(circuit.counts, policy), reason)
    }
  })

  it("counts nothing for an ignored call", () => {
    const policy = rules({ consecutiveFailures: 2 })
    const once = fails(Circuit.make(policy, 0), policy, 0)
    const ignored = Circuit.record(once, policy, ended("Ignored", 0, { slow: true }), draw)

    assert.strictEqual(ignored, once)
    assert.deepInclude(ignored.counts.window, { calls: 1, failures: 1, slowCalls: 0 })
    as(fails(ignored, policy, 0), "Open")
  })

  it("never opens for a rate while the window holds no failure and nothing slow", () => {
    const policy = rules({ failureRate: 0, slowCallRate: 0 })
    let circuit = Circuit.make(policy, 0)
    for (let i = 0; i < 100; i++) circuit = Circuit.record(circuit, policy, ended("Success", i), draw)

    as(circuit, "Closed")
    as(fails(circuit, policy, 100), "Open")
  })

  it("says nothing in a state that takes no verdicts", () => {
    const policy = rules()
    for (const command of [{ _tag: "Disable" }, { _tag: "ForceOpen", duration: 10 }] as const) {
      const circuit = Circuit.move(Circuit.make(policy, 0), policy, command, 0)
      assert.strictEqual(fails(circuit, policy, 0), circuit)
    }
  })

  it("counts in MetricsOnly and never opens", () => {
    const policy = rules({ consecutiveFailures: 1, failureRate: 0.1 })
    const circuit = Circuit.move(Circuit.make(policy, 0), policy, { _tag: "MetricsOnly" }, 0)
    for (let i = 0; i < 50; i++) assert.strictEqual(fails(circuit, policy, i), circuit)

    assert.strictEqual(circuit.counts.consecutiveFailures, 50)
    assert.strictEqual(circuit.counts.window.failures, 10)
  })
})

describe("openings", () => {
  const policy = rules({
    consecutiveFailures: 1,
    openTime: exponentialOpenTime({ initial: 60, multiplier: 2, maximum: 300, jitter: 0 })
  })

  it("grow while probes fail, up to the maximum: 60, 120, 240, 300, 300", () => {
    let circuit: Circuit.Circuit = fails(Circuit.make(policy, 0), policy, 0)
    const times: Array<number> = []
    let now = 0
    for (let i = 0; i < 5; i++) {
      const open = as(circuit, "Open")
      times.push(open.openUntil - open.openedAt)
      now = open.openUntil
      circuit = fails(Circuit.admit(Circuit.settle(circuit, policy, now), policy, now, draw)!, policy, now)
    }

    assert.deepStrictEqual(times, [60, 120, 240, 300, 300])
  })

  const reopenedAfter = (closedFor: number) => {
    const open = as(fails(Circuit.make(policy, 0), policy, 0), "Open")
    const now = open.openUntil
    const probing = Circuit.admit(Circuit.settle(open, policy, now), policy, now, draw)!
    const closed = as(Circuit.record(probing, policy, ended("Success", now), draw), "Closed")
    return as(fails(closed, policy, now + closedFor), "Open")
  }

  it("are remembered by a circuit that has been closed for less than its last opening", () => {
    assert.deepInclude(reopenedAfter(59.999), { openings: 2, lastOpenTime: 120 })
  })

  it("start again once the circuit has stayed closed as long as its last opening", () => {
    assert.deepInclude(reopenedAfter(60), { openings: 1, lastOpenTime: 60 })
  })

  it("start again after staying closed that long, even if an operator moved the circuit in between", () => {
    for (
      const command of [{ _tag: "ForceOpen", duration: 10 }, { _tag: "Disable" }, { _tag: "MetricsOnly" }] as const
    ) {
      const open = as(fails(Circuit.make(policy, 0), policy, 0), "Open")
      const probing = Circuit.admit(Circuit.settle(open, policy, 60), policy, 60, draw)!
      const closed = Circuit.record(probing, policy, ended("Success", 60), draw)
      const moved = Circuit.move(closed, policy, command, 10_000)
      const again = Circuit.move(moved, policy, { _tag: "ForceClose" }, 10_001)

      assert.strictEqual(as(fails(again, policy, 10_001), "Open").openings, 1, command._tag)
    }
  })

  it("are still remembered if an operator moved the circuit before it had stayed closed that long", () => {
    const open = as(fails(Circuit.make(policy, 0), policy, 0), "Open")
    const probing = Circuit.admit(Circuit.settle(open, policy, 60), policy, 60, draw)!
    const closed = Circuit.record(probing, policy, ended("Success", 60), draw)
    const disabled = Circuit.move(closed, policy, { _tag: "Disable" }, 70)
    const again = Circuit.move(disabled, policy, { _tag: "ForceClose" }, 80)

    assert.strictEqual(as(fails(again, policy, 90), "Open").openings, 2)
  })

  it("last as long as a failure asks, up to the maximum, and never less than the policy says", () => {
    const capped = { ...policy, maxOpenTime: 200 }
    const openFor = (retryAfter: number) => {
      const open = as(fails(Circuit.make(capped, 0), capped, 0, retryAfter), "Open")
      return open.openUntil - open.openedAt
    }

    assert.deepStrictEqual([0, 59, 61, 200, 201, Infinity].map(openFor), [60, 60, 61, 200, 200, 200])
  })

  it("longer than the cap on hints stay as long as the policy says", () => {
    const capped = { ...policy, maxOpenTime: 10 }
    assert.strictEqual(as(fails(Circuit.make(capped, 0), capped, 0, 1_000), "Open").openUntil, 60)
  })
})

describe("exponentialOpenTime", () => {
  const options = { initial: 100, multiplier: 3, maximum: 5_000, jitter: 0.2 }

  it("multiplies with each opening and stops at the maximum", () => {
    const time = exponentialOpenTime({ ...options, jitter: 0 })
    assert.deepStrictEqual([1, 2, 3, 4, 5, 1_000].map((opening) => time(opening, 0.7)), [
      100,
      300,
      900,
      2_700,
      5_000,
      5_000
    ])
  })

  it("spreads by the jitter to either side, never above the maximum", () => {
    const time = exponentialOpenTime(options)
    for (const random of [0, 0.1, 0.5, 0.9, 1 - Number.EPSILON]) {
      assert.approximately(time(1, random), 100 * (0.8 + 0.4 * random), 1e-9)
      assert.isAtMost(time(9, random), 5_000)
    }
    assert.approximately(time(9, 0), 4_000, 1e-9)
  })
})

describe("move", () => {
  const policy = rules({ consecutiveFailures: 1 })
  const commands: ReadonlyArray<Circuit.Command> = [
    { _tag: "ForceOpen", duration: Infinity },
    { _tag: "ForceClose" },
    { _tag: "Disable" },
    { _tag: "MetricsOnly" }
  ]

  it("returns the same circuit when there is nothing to change", () => {
    for (const command of commands) {
      const once = Circuit.move(Circuit.make(policy, 0), policy, command, 5)
      assert.strictEqual(Circuit.move(once, policy, command, 6), once, command._tag)
    }
  })

  it("begins a new period otherwise, so that running calls no longer count", () => {
    const open = fails(Circuit.make(policy, 0), policy, 0)
    for (const command of commands) {
      assert.strictEqual(Circuit.move(open, policy, command, 5).generation, open.generation + 1, command._tag)
    }
  })

  it("to Reset begins a new period even if the circuit is closed", () => {
    const closed = Circuit.make(policy, 0)
    assert.strictEqual(Circuit.move(closed, policy, { _tag: "Reset" }, 5).generation, 1)
  })
})

describe("reconfigure", () => {
  it("keeps the counts of a window of the same shape, and the failures in a row of any", () => {
    const before = rules({ consecutiveFailures: 5 })
    const circuit = fails(fails(Circuit.make(before, 0), before, 0), before, 0)

    const same = Circuit.reconfigure(circuit, rules({ consecutiveFailures: 3 }))
    assert.strictEqual(same.counts, circuit.counts)

    for (const window of [{ calls: 11 }, { millis: 1_000, buckets: 10 }] as const) {
      const other = Circuit.reconfigure(circuit, rules({ window }))
      assert.strictEqual(other.counts.window.calls, 0)
      assert.strictEqual(other.counts.consecutiveFailures, 2)
    }
  })

  it("keeps the probes of a half-open circuit and forgets their verdicts", () => {
    const before = rules({ halfOpenMaxCalls: 3, successThreshold: 3 })
    let circuit: Circuit.Circuit = halfOpen(before, 0)
    for (let i = 0; i < 3; i++) circuit = Circuit.admit(circuit, before, 0, draw)!
    circuit = Circuit.record(circuit, before, ended("Success", 0), draw)

    const after = as(Circuit.reconfigure(circuit, rules({ successThreshold: 2 })), "HalfOpen")
    assert.deepInclude(after, { inFlight: 2, successes: 0, failures: 0, generation: circuit.generation })
  })
})

describe("a recovery ramp", () => {
  const recovery = { duration: 100, initial: 0.2 }

  /** A circuit whose ramp began at 10, with a probe that still runs. */
  const ramping = (policy: Circuit.Rules) => {
    let circuit: Circuit.Circuit = halfOpen(policy, 10)
    for (let i = 0; i < policy.successThreshold + 1; i++) circuit = Circuit.admit(circuit, policy, 10, draw)!
    for (let i = 0; i < (policy.halfOpenSample?.calls ?? policy.successThreshold); i++) {
      circuit = Circuit.record(circuit, policy, ended("Success", 10), draw)
    }
    return as(circuit, "HalfOpen")
  }
  const ramp = (options: Partial<Circuit.Rules> = {}) =>
    rules({ recovery, halfOpenMaxCalls: 3, successThreshold: 2, ...options })

  const admits = (circuit: Circuit.Circuit, policy: Circuit.Rules, now: number, drawn: number) =>
    Circuit.admit(circuit, policy, now, () => drawn)

  it("begins with the successes that would close the circuit, as a period of its own with empty counts", () => {
    const policy = ramp()
    const probing = halfOpen(policy, 10)
    const circuit = ramping(policy)

    assert.strictEqual(probing.rampingSince, undefined)
    assert.deepInclude(circuit, {
      rampingSince: 10,
      generation: probing.generation + 1,
      inFlight: 0,
      successes: 0,
      failures: 0
    })
  })

  it("keeps the counts that opened the circuit until it begins", () => {
    const policy = ramp({ consecutiveFailures: 1, successThreshold: 1 })
    const open = fails(Circuit.make(policy, 0), policy, 0)
    const probing = Circuit.admit(Circuit.settle(open, policy, 1_000), policy, 1_000, draw)!
    assert.deepInclude(probing.counts, { consecutiveFailures: 1 })
    assert.strictEqual(probing.counts.window.calls, 1)

    const { counts, openings } = Circuit.record(probing, policy, ended("Success", 1_000), draw)
    assert.deepInclude(counts, { consecutiveFailures: 0 })
    assert.strictEqual(counts.window.calls, 0)
    assert.strictEqual(openings, 1)
  })

  it("begins after a sample of probes as well", () => {
    const policy = ramp({ halfOpenSample: { calls: 1, failureRate: 1 } })
    const probing = Circuit.admit(halfOpen(policy, 10), policy, 10, draw)!
    const circuit = as(Circuit.record(probing, policy, ended("Success", 12), draw), "HalfOpen")

    assert.strictEqual(circuit.rampingSince, 12)
    assert.isTrue(Circuit.isAvailable(circuit, policy))
  })

  it("does not begin where the policy has none", () => {
    const policy = rules()
    const probing = Circuit.admit(halfOpen(policy, 10), policy, 10, () => assert.fail("drew"))!
    const closed = as(Circuit.record(probing, policy, ended("Success", 10), draw), "Closed")

    assert.strictEqual(Circuit.recoveryShare(probing, policy, 10), undefined)
    assert.strictEqual(Circuit.recoveryShare(closed, policy, 10), undefined)
  })

  it("admits a share that grows from the initial one to all", () => {
    const policy = ramp()
    const circuit = ramping(policy)
    const cases = [[10, 0.2], [35, 0.4], [60, 0.6], [85, 0.8], [109.999, 0.999992]] as const
    for (const [now, share] of cases) {
      assert.approximately(Circuit.recoveryShare(circuit, policy, now)!, share, 1e-12)
      assert.strictEqual(admits(circuit, policy, now, share + 1e-9), undefined)
      assert.strictEqual(as(admits(circuit, policy, now, share - 1e-9), "HalfOpen").inFlight, 1)
    }
    // A draw that equals the share is beyond it: of draws from [0, 1) a share of 0.2 are below 0.2.
    assert.strictEqual(admits(circuit, policy, 10, 0.2), undefined)
  })

  it("draws once for each call, and only in a ramp", () => {
    let draws = 0
    const counted = () => {
      draws++
      return 0
    }
    const policy = ramp()
    for (const circuit of [Circuit.make(policy, 0), halfOpen(policy, 0)]) Circuit.admit(circuit, policy, 0, counted)
    const open = fails(Circuit.make(ramp({ consecutiveFailures: 1 }), 0), ramp({ consecutiveFailures: 1 }), 0)
    Circuit.admit(as(open, "Open"), policy, 0, counted)
    assert.strictEqual(draws, 0)

    Circuit.admit(ramping(policy), policy, 10, counted)
    assert.strictEqual(draws, 1)
  })

  it("has no limit of calls at once, and is always available", () => {
    const policy = ramp({ halfOpenSample: { calls: 3, failureRate: 1 } })
    let circuit: Circuit.Circuit = ramping(policy)
    for (let i = 0; i < 20; i++) {
      assert.isTrue(Circuit.isAvailable(circuit, policy))
      circuit = admits(circuit, policy, 10, 0)!
    }
    assert.strictEqual(as(circuit, "HalfOpen").inFlight, 20)
    assert.strictEqual(Circuit.timeUntilRetry(circuit, 10), 0)
  })

  it("closes by time alone, as of the moment it ends, with empty counts", () => {
    const policy = ramp()
    const circuit = ramping(policy)
    Circuit.record(admits(circuit, policy, 50, 0)!, policy, ended("Success", 50), draw)

    assert.strictEqual(Circuit.elapse(circuit, policy, 109.999), circuit)
    const closed = as(Circuit.elapse(circuit, policy, 110), "Closed")
    assert.deepInclude(closed, { closedAt: 110, generation: circuit.generation + 1 })
    assert.strictEqual(closed.counts.window.calls, 0)
    assert.strictEqual(as(Circuit.elapse(circuit, policy, 1e9), "Closed").closedAt, 110)
    assert.strictEqual(Circuit.reasonOfElapse(closed), "ProbesSucceeded")
  })

  it("neither ends nor waits for calls that hang", () => {
    const policy = ramp({ halfOpenTimeout: 1 })
    const circuit = admits(admits(ramping(policy), policy, 10, 0)!, policy, 20, 0)!

    assert.strictEqual(Circuit.elapse(circuit, policy, 109), circuit)
    as(Circuit.elapse(circuit, policy, 110), "Closed")
  })

  it("opens again as soon as its own counts break a rule of the policy", () => {
    const slow = { slow: true }
    const cases: ReadonlyArray<readonly [Partial<Circuit.Rules>, ReadonlyArray<Circuit.EndedCall>, Circuit.Reason]> = [
      [{ consecutiveFailures: 2, minimumCalls: 9 }, [
        ended("Failure", 20),
        ended("Failure", 20)
      ], "ConsecutiveFailures"],
      [{ failureRate: 0.6, minimumCalls: 3 }, [
        ended("Failure", 20),
        ended("Failure", 20),
        ended("Success", 20)
      ], "FailureRate"],
      [{ slowCallRate: 1, minimumCalls: 2 }, [ended("Success", 20, slow), ended("Success", 20, slow)], "SlowCallRate"],
      // Half of them, where the policy names no rate of failures.
      [{ consecutiveFailures: 9, minimumCalls: 2 }, [ended("Success", 20), ended("Failure", 20)], "FailureRate"],
      [{ slowCallRate: 1, minimumCalls: 2 }, [ended("Success", 20), ended("Failure", 20)], "FailureRate"]
    ]
    for (const [options, calls, reason] of cases) {
      const policy = ramp(options)
      let from: Circuit.Circuit = ramping(policy)
      let circuit: Circuit.Circuit = from
      calls.forEach((call, index) => {
        assert.strictEqual(circuit._tag, "HalfOpen", `${reason} at call ${index}`)
        from = admits(circuit, policy, 20, 0)!
        circuit = Circuit.record(from, policy, call, draw)
      })
      const open = as(circuit, "Open")
      assert.strictEqual(Circuit.reasonOfRecord(from, open, policy), reason)
      assert.strictEqual(open.counts.window.calls, calls.length)
      assert.strictEqual(open.openings, 1)
    }
  })

  it("bears a failure that breaks no rule, and a rate below the policy's own", () => {
    const policy = ramp({ failureRate: 0.9, minimumCalls: 2 })
    let circuit: Circuit.Circuit = ramping(policy)
    for (const verdict of ["Success", "Failure", "Failure"] as const) {
      circuit = Circuit.record(admits(circuit, policy, 20, 0)!, policy, ended(verdict, 20), draw)
    }
    assert.deepInclude(as(circuit, "HalfOpen"), { inFlight: 0, rampingSince: 10, successes: 0, failures: 0 })
    assert.deepInclude(circuit.counts.window, { calls: 3, failures: 2 })
  })

  it("bears less than half of its calls failing, where the policy names no rate of failures", () => {
    const policy = ramp({ consecutiveFailures: 9, minimumCalls: 2 })
    let circuit: Circuit.Circuit = ramping(policy)
    for (const verdict of ["Success", "Success", "Success", "Failure", "Failure"] as const) {
      circuit = Circuit.record(admits(circuit, policy, 20, 0)!, policy, ended(verdict, 20), draw)
    }
    as(circuit, "HalfOpen")
    as(fails(admits(circuit, policy, 20, 0)!, policy, 20), "Open")
  })

  it("opens for as long as the failure asks", () => {
    const policy = ramp({ consecutiveFailures: 1 })
    const open = as(fails(admits(ramping(policy), policy, 20, 0)!, policy, 20, 5_000), "Open")
    assert.deepInclude(open, { openedAt: 20, openUntil: 5_020 })
  })

  it("counts nothing for an ignored call, though it is over", () => {
    const policy = ramp({ consecutiveFailures: 1 })
    const circuit = Circuit.record(admits(ramping(policy), policy, 20, 0)!, policy, ended("Ignored", 30), draw)
    assert.deepInclude(as(circuit, "HalfOpen"), { inFlight: 0, rampingSince: 10 })
    assert.strictEqual(circuit.counts.window.calls, 0)
  })

  it("keeps its beginning under another policy, and its counts if the window has the same shape", () => {
    const policy = ramp()
    const circuit = Circuit.record(admits(ramping(policy), policy, 20, 0)!, policy, ended("Success", 20), draw)

    const longer = ramp({ recovery: { duration: 1_000, initial: 0.5 } })
    const kept = as(Circuit.reconfigure(circuit, longer), "HalfOpen")
    assert.strictEqual(kept.counts, circuit.counts)
    assert.approximately(Circuit.recoveryShare(kept, longer, 510)!, 0.75, 1e-12)
    assert.strictEqual(as(Circuit.elapse(kept, longer, 1_010), "Closed").closedAt, 1_010)
  })

  it("has closed when it began, under a policy without one", () => {
    const without = rules()
    const circuit = Circuit.reconfigure(ramping(ramp()), without)
    assert.strictEqual(Circuit.recoveryShare(circuit, without, 50), undefined)
    assert.strictEqual(as(Circuit.elapse(circuit, without, 50), "Closed").closedAt, 10)
  })

  it("ends with a command, and a half-open period after it probes anew", () => {
    const policy = ramp()
    const circuit = ramping(policy)
    as(Circuit.move(circuit, policy, { _tag: "ForceClose" }, 20), "Closed")
    const forced = Circuit.move(circuit, policy, { _tag: "ForceOpen", duration: 5 }, 20)
    assert.strictEqual(as(Circuit.elapse(forced, policy, 25), "HalfOpen").rampingSince, undefined)
  })
})

describe("the reason of a transition", () => {
  it("is the rule that broke, the probe that decided, or time", () => {
    const policy = rules({ consecutiveFailures: 1, successThreshold: 1, halfOpenTimeout: 50 })
    const closed = Circuit.make(policy, 0)
    const open = fails(closed, policy, 0)
    assert.strictEqual(Circuit.reasonOfRecord(closed, open, policy), "ConsecutiveFailures")

    const half = Circuit.elapse(open, policy, 1_000)
    assert.strictEqual(Circuit.reasonOfElapse(as(half, "HalfOpen")), "OpenTimeEnded")

    const probing = Circuit.admit(half, policy, 1_000, draw)!
    assert.strictEqual(Circuit.reasonOfRecord(probing, fails(probing, policy, 1_001), policy), "ProbeFailed")
    const recovered = Circuit.record(probing, policy, ended("Success", 1_001), draw)
    assert.strictEqual(Circuit.reasonOfRecord(probing, recovered, policy), "ProbesSucceeded")
    assert.strictEqual(Circuit.reasonOfElapse(as(Circuit.elapse(probing, policy, 1_050), "Open")), "ProbeTimedOut")
  })
})

// -----------------------------------------------------------------------------
// a random walk
// -----------------------------------------------------------------------------

const LEGAL: Record<Circuit.Circuit["_tag"], ReadonlyArray<Circuit.Circuit["_tag"]>> = {
  Closed: ["Open"],
  Open: ["HalfOpen"],
  HalfOpen: ["Open", "Closed"],
  ForcedOpen: ["HalfOpen"],
  Disabled: [],
  MetricsOnly: []
}

interface Running {
  readonly generation: number
}

interface Counted {
  readonly at: number
  readonly failed: boolean
  readonly slow: boolean
}

const randomRules = (random: () => number): Circuit.Rules => {
  const int = (from: number, to: number) => from + Math.floor(random() * (to - from + 1))
  const maybe = <A>(value: A, otherwise: A): A => random() < 0.6 ? value : otherwise
  return rules({
    consecutiveFailures: maybe(int(1, 5), Infinity),
    failureRate: maybe(int(0, 10) / 10, Infinity),
    slowCallRate: maybe(int(0, 10) / 10, Infinity),
    minimumCalls: int(1, 5),
    window: random() < 0.5 ? { calls: int(5, 12) } : { millis: int(1, 50) * 10, buckets: int(1, 10) },
    halfOpenMaxCalls: int(1, 4),
    successThreshold: int(1, 5),
    halfOpenSample: maybe<Circuit.Rules["halfOpenSample"]>(undefined, {
      calls: int(1, 6),
      failureRate: int(0, 10) / 10
    }),
    halfOpenTimeout: maybe(int(1, 300), Infinity),
    recovery: maybe<Circuit.Rules["recovery"]>(undefined, { duration: int(1, 500), initial: int(1, 10) / 10 }),
    openTime: exponentialOpenTime({
      initial: int(1, 100),
      multiplier: int(1, 3),
      maximum: 400,
      jitter: int(0, 5) / 10
    }),
    maxOpenTime: int(0, 1_000)
  })
}

/** What a naive window would hold. */
const inWindow = (counted: ReadonlyArray<Counted>, window: Circuit.Rules["window"], now: number) => {
  if ("calls" in window) return counted.slice(-window.calls)
  const bucket = (at: number) => Math.floor(at / (window.millis / window.buckets))
  return counted.filter(({ at }) => bucket(at) > bucket(now) - window.buckets)
}

const isManual = (tag: Circuit.Circuit["_tag"]) => tag === "ForcedOpen" || tag === "Disabled" || tag === "MetricsOnly"

/** A probe is counted as a probe, and a call in a ramp like one of a closed circuit. */
const counts = (circuit: Circuit.Circuit) =>
  circuit._tag === "Closed" || circuit._tag === "MetricsOnly" || isRamping(circuit)

const isRamping = (circuit: Circuit.Circuit) => circuit._tag === "HalfOpen" && circuit.rampingSince !== undefined

class Walk {
  now = 0
  rules: Circuit.Rules
  circuit: Circuit.Circuit
  running: Array<Running> = []
  /** What has been counted since the counts were last emptied. */
  counted: Array<Counted> = []
  inARow = 0
  visited = new Set<string>()
  readonly random: () => number

  constructor(seed: number) {
    this.random = seeded(seed)
    this.now = this.random() < 0.5 ? 0 : 1e9 + 0.25
    this.rules = randomRules(this.random)
    this.circuit = Circuit.make(this.rules, this.now)
  }

  step(): void {
    const choice = this.random()
    if (choice < 0.35) this.admit()
    else if (choice < 0.75) this.end()
    else if (choice < 0.93) this.wait()
    else if (choice < 0.985) this.command()
    else this.reconfigure()
    this.check()
  }

  /** Follows the passing of time, one transition at a time. */
  settle(): void {
    for (let i = 0;; i++) {
      assert.isBelow(i, 5, "time alone causes a few transitions at most")
      const next = Circuit.elapse(this.circuit, this.rules, this.now)
      if (next === this.circuit) return
      this.transition(next, false)
    }
  }

  transition(next: Circuit.Circuit, byHand: boolean): void {
    const from = this.circuit
    this.visited.add(`${isRamping(from) ? "Ramp" : from._tag} -> ${isRamping(next) ? "Ramp" : next._tag}`)
    if (!byHand) {
      assert.isTrue(next._tag === from._tag || LEGAL[from._tag].includes(next._tag), `${from._tag} -> ${next._tag}`)
    }
    if (next._tag !== from._tag) {
      assert.strictEqual(next.generation, from.generation + 1, "each state change begins a generation")
    } else if (!byHand && isRamping(next) !== isRamping(from)) {
      assert.isTrue(isRamping(next), "a ramp ends with its state")
      assert.strictEqual(next.generation, from.generation + 1, "a ramp begins a generation")
    }
    if (next.counts !== from.counts) {
      this.counted = []
      this.inARow = 0
    }
    this.circuit = next
  }

  admit(): void {
    this.settle()
    const { circuit } = this
    const before = circuit._tag === "HalfOpen" ? circuit.inFlight : 0
    const drawn = this.random()
    const share = Circuit.recoveryShare(circuit, this.rules, this.now)
    const admitted = Circuit.admit(circuit, this.rules, this.now, () => drawn)
    assert.strictEqual(
      admitted !== undefined,
      share === undefined ? Circuit.isAvailable(circuit, this.rules) : drawn < share
    )
    if (admitted === undefined) {
      assert.include(["Open", "ForcedOpen", "HalfOpen"], circuit._tag)
      if (circuit._tag !== "HalfOpen") assert.isAbove(Circuit.timeUntilRetry(circuit, this.now), 0)
      return
    }
    assert.notInclude(["Open", "ForcedOpen"], circuit._tag)
    if (circuit._tag === "HalfOpen" && share === undefined) assert.isBelow(before, this.rules.halfOpenMaxCalls)
    this.circuit = admitted
    this.running.push({ generation: admitted.generation })
  }

  end(): void {
    if (this.running.length === 0) return
    this.settle()
    const [call] = this.running.splice(Math.floor(this.random() * this.running.length), 1)
    if (call!.generation !== this.circuit.generation || this.circuit._tag === "Disabled") return
    const verdict = this.random() < 0.2 ? "Ignored" : this.random() < 0.5 ? "Success" : "Failure"
    const slow = this.random() < 0.2
    const retryAfter = this.random() < 0.2 ? this.random() * 2_000 : 0
    const takesPart = counts(this.circuit)
    if (takesPart && verdict !== "Ignored") {
      this.counted.push({ at: this.now, failed: verdict === "Failure", slow })
      this.inARow = verdict === "Failure" ? this.inARow + 1 : 0
    }
    const openings = this.circuit.openings
    const next = Circuit.record(this.circuit, this.rules, ended(verdict, this.now, { slow, retryAfter }), this.random)
    if (next._tag === "Open") {
      assert.isAtLeast(next.openings, 1)
      assert.isAtMost(next.openings, openings + 1)
      assert.isAtMost(next.openUntil - this.now, Math.max(400, this.rules.maxOpenTime) + 1e-6)
    }
    if (next !== this.circuit) this.transition(next, false)
  }

  wait(): void {
    const before = this.circuit
    const waits = [0, 1 / 3, 1, 10, 100, 400, 3_600_000]
    this.now += waits[Math.floor(this.random() * waits.length)]!
    const settled = Circuit.settle(before, this.rules, this.now)
    assert.strictEqual(Circuit.settle(settled, this.rules, this.now), settled, "settled is settled")
    if (this.random() < 0.5) this.settle()
  }

  command(): void {
    this.settle()
    const commands: ReadonlyArray<Circuit.Command> = [
      { _tag: "ForceOpen", duration: Infinity },
      { _tag: "ForceOpen", duration: this.random() * 100 },
      { _tag: "ForceClose" },
      { _tag: "ForceClose" },
      { _tag: "Disable" },
      { _tag: "MetricsOnly" },
      { _tag: "Reset" }
    ]
    const command = commands[Math.floor(this.random() * commands.length)]!
    const next = Circuit.move(this.circuit, this.rules, command, this.now)
    if (next !== this.circuit) this.transition(next, true)
  }

  reconfigure(): void {
    this.settle()
    const { circuit, inARow } = this
    this.rules = randomRules(this.random)
    const next = Circuit.reconfigure(circuit, this.rules)
    assert.deepInclude(next, { _tag: circuit._tag, generation: circuit.generation, openings: circuit.openings })
    this.transition(next, true)
    this.inARow = inARow
  }

  check(): void {
    const { circuit, rules } = this
    const outstanding = this.running.filter(({ generation }) => generation === circuit.generation).length
    if (circuit._tag === "HalfOpen") {
      assert.strictEqual(circuit.inFlight, outstanding, "every probe holds one slot, and no one else does")
    }
    if (counts(circuit)) {
      const { consecutiveFailures, window } = circuit.counts
      assert.strictEqual(consecutiveFailures, this.inARow)
      const latest = this.counted.at(-1)?.at
      // Counts are brought up to date when a call is recorded, and for readers by `expire`.
      const expected = inWindow(this.counted, rules.window, "calls" in rules.window ? 0 : latest ?? 0)
      assert.deepStrictEqual(
        [window.calls, window.failures, window.slowCalls],
        [expected.length, expected.filter(({ failed }) => failed).length, expected.filter(({ slow }) => slow).length]
      )
    }
    this.recovers()
  }

  /** With a healthy dependency and enough time, every circuit closes that is not under manual control. */
  recovers(): void {
    let { circuit, now } = this
    const { rules } = this
    if (isManual(circuit._tag) && Circuit.settle(circuit, rules, now + 1_000)._tag !== "HalfOpen") return
    // Those that run now never end; with an infinite timeout they may hold all slots.
    if (
      circuit._tag === "HalfOpen" && circuit.rampingSince === undefined && circuit.inFlight > 0 &&
      rules.halfOpenTimeout === Infinity
    ) return
    for (let i = 0; i < 40 && circuit._tag !== "Closed"; i++) {
      now += 2_000
      circuit = Circuit.settle(circuit, rules, now)
      const admitted: Circuit.Circuit | undefined = Circuit.admit(circuit, rules, now, draw)
      if (admitted?._tag === "HalfOpen") circuit = Circuit.record(admitted, rules, ended("Success", now), draw)
    }
    assert.strictEqual(circuit._tag, "Closed", `stuck from ${this.circuit._tag}`)
  }
}

describe("a random walk", () => {
  // migration: state diagram
  it("keeps to the legal edges, counts what happened, never admits too many probes and is never stuck", () => {
    const visited = new Set<string>()
    for (let seed = 0; seed < 600; seed++) {
      const walk = new Walk(seed)
      for (let i = 0; i < 120; i++) {
        try {
          walk.step()
        } catch (error) {
          throw new Error(`seed ${seed}, step ${i}, ${walk.circuit._tag}: ${(error as Error).message}`, {
            cause: error
          })
        }
      }
      walk.visited.forEach((edge) => visited.add(edge))
    }

    for (const edge of ["Closed -> Open", "Open -> HalfOpen", "HalfOpen -> Open", "HalfOpen -> Closed"]) {
      assert.isTrue(visited.has(edge), `${edge} was never walked`)
    }
    for (
      const edge of ["ForcedOpen -> HalfOpen", "HalfOpen -> Ramp", "Ramp -> Ramp", "Ramp -> Open", "Ramp -> Closed"]
    ) {
      assert.isTrue(visited.has(edge), `${edge} was never walked`)
    }
  })
})

describe("what does not matter", () => {
  it("is how slow a probe was, where slow calls open nothing", () => {
    const policy = rules({ successThreshold: 1 })
    const probing = Circuit.admit(halfOpen(policy, 10), policy, 10, draw)!

    as(Circuit.record(probing, policy, ended("Success", 11, { slow: true }), draw), "Closed")
  })

  it("is a sample, where nothing is half-open", () => {
    const policy = rules()
    assert.deepStrictEqual(Circuit.reconfigure(Circuit.make(policy, 0), policy), Circuit.make(policy, 0))
  })
})

describe("takeBack", () => {
  const policy = rules({ halfOpenMaxCalls: 3, successThreshold: 5 })
  const probing = { ...halfOpen(policy, 0), inFlight: 1, successes: 2, failures: 2, waitingSince: 10 }
  const counted = ({ failures, inFlight, successes, waitingSince }: Circuit.HalfOpen) => [
    inFlight,
    successes,
    failures,
    waitingSince
  ]

  it("makes the probe run again, and its success not counted", () => {
    for (const slow of [false, true]) {
      const { counts, generation, ...rest } = Circuit.takeBack(probing, policy, slow, 50)
      assert.deepStrictEqual(counted({ counts, generation, ...rest }), [2, 1, 2, 10])
      assert.strictEqual(generation, probing.generation)
    }
  })

  it("takes back a failure if the probe was slow, and slow calls open the circuit", () => {
    const bySlowCalls = rules({ slowCallRate: 1 })
    assert.deepStrictEqual(counted(Circuit.takeBack(probing, bySlowCalls, true, 50)), [2, 2, 1, 10])
    assert.deepStrictEqual(counted(Circuit.takeBack(probing, bySlowCalls, false, 50)), [2, 1, 2, 10])
  })

  it("waits from now on if no other probe runs, and takes back nothing that is not counted", () => {
    const idle = { ...probing, inFlight: 0, successes: 0, failures: 0 }
    assert.deepStrictEqual(counted(Circuit.takeBack(idle, policy, false, 50)), [1, 0, 0, 50])
    assert.deepStrictEqual(counted(Circuit.takeBack(idle, rules({ slowCallRate: 0.5 }), true, 50)), [1, 0, 0, 50])
  })
})

it("a sample has room for as many probes as it still wants, failed ones counted", () => {
  const policy = rules({ halfOpenMaxCalls: 9, halfOpenSample: { calls: 4, failureRate: 1 } })
  const sampling = { ...halfOpen(policy, 0), inFlight: 1, successes: 1, failures: 1 }
  assert.isTrue(Circuit.isAvailable(sampling, policy))
  assert.isFalse(Circuit.isAvailable({ ...sampling, failures: 2 }, policy))
  assert.isFalse(Circuit.isAvailable({ ...sampling, successes: 2 }, policy))
})
