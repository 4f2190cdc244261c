/**
 * Every state a small circuit can get into, against the specification and the
 * invariants. `EXPLORE=deep` takes larger circuits and some minutes.
 */
import { assert, describe, it } from "@effect/vitest"
import { CircuitEvent } from "effect-resilience"
import { afterEach } from "vitest"
import { Breaker } from "../../src/internal/circuit/breaker.ts"
import { explore, type Explored, type World } from "./explore.ts"
import { deep, small } from "./worlds.ts"

const isDeep = process.env.EXPLORE === "deep"
const worlds = isDeep ? deep : small

/** What a world must have gone through, or it shows nothing. */
const seenIn: Readonly<Record<string, ReadonlyArray<string>>> = {
  "consecutive failures": ["Closed → Open: ConsecutiveFailures", "HalfOpen → Open: ProbeTimedOut"],
  "failure rate of the last calls": ["Closed → Open: FailureRate", "HalfOpen → Closed: ProbesSucceeded"],
  "failure rate of the latest calls": ["Closed → Open: FailureRate", "HalfOpen → Closed: ProbesSucceeded"],
  "slow calls": ["Closed → Open: SlowCallRate", "Closed → Open: FailureRate", "HalfOpen → Open: ProbeFailed"],
  "half-open sample": ["HalfOpen → Open: ProbeFailed", "HalfOpen → Closed: ProbesSucceeded"],
  "manual control": ["ForcedOpen → HalfOpen: OpenTimeEnded", "HalfOpen → Disabled: Manual", "Open → Closed: Manual"],
  "open times": ["HalfOpen → Open: ProbeTimedOut", "HalfOpen → Closed: ProbesSucceeded"],
  "other policies": ["Closed → Open: FailureRate", "Closed → Open: SlowCallRate", "HalfOpen → Open: ProbeFailed"],
  "rates of zero": ["Closed → Open: FailureRate", "Closed → Open: SlowCallRate", "HalfOpen → Closed: ProbesSucceeded"],
  "recovery ramp": [
    "HalfOpen → Closed: ProbesSucceeded",
    "HalfOpen → Open: ProbeFailed",
    "HalfOpen → Open: ConsecutiveFailures",
    "HalfOpen → Open: FailureRate"
  ],
  "slow recovery ramp": [
    "HalfOpen → Closed: ProbesSucceeded",
    "HalfOpen → Open: SlowCallRate",
    "HalfOpen → Open: FailureRate"
  ],
  "other recovery ramps": ["HalfOpen → Closed: ProbesSucceeded", "HalfOpen → Open: FailureRate"],
  "no half-open timeout": ["HalfOpen → Closed: ProbesSucceeded", "Open → Closed: Manual"]
}

const report = ({ name }: World, { changes, depth, late, rejected, states, transitions }: Explored, seconds: number) =>
  console.log(
    `${name}: ${states} states, ${transitions} transitions, ${depth} steps deep, ${changes.size} kinds of change, ` +
      `${rejected} rejections, ${late} late results, ${seconds.toFixed(1)} s`
  )

describe("every state of a circuit", () => {
  it("is gone through for each reason that a change may have", () => {
    const reasons = new Set(Object.values(seenIn).flat().map((change) => change.split(": ")[1]))
    assert.sameMembers([...reasons], [...CircuitEvent.StateChanged.fields.reason.literals])
  })

  for (const world of worlds) {
    it(
      `is as specified: ${world.name}, ${world.calls} calls at once`,
      { timeout: isDeep ? 3_600_000 : 120_000 },
      () => {
        const from = performance.now()
        const explored = explore(world)
        report(world, explored, (performance.now() - from) / 1000)

        assert.isUndefined(explored.counterexample, explored.counterexample)
        assert.isTrue(explored.complete)
        for (const change of seenIn[world.name]!) assert.isTrue(explored.changes.has(change), change)
        if (world.calls > 1) assert.isAbove(explored.late, 0)
        assert.isAbove(explored.rejected, 0)
      }
    )
  }
})

describe("exploring", () => {
  const { end } = Breaker.prototype
  afterEach(() => {
    Breaker.prototype.end = end
  })

  it("finds a mistake that is made, and tells the shortest way to it", () => {
    Breaker.prototype.end = function(call, outcome) {
      if (outcome._tag === "Ignored" && this.ref.ref.current._tag === "HalfOpen") {
        this.inFlight--
        this.tally.ignored++
      } else {
        end.call(this, call, outcome)
      }
    }
    const { counterexample } = explore(small[0]!)

    const lines = counterexample!.split("\n").slice(2).map((line) => line.replace(/ \(retryAfter.*\)/, "").trim())
    assert.deepStrictEqual(lines, [
      "1. at 0: call 1 comes ⇒ runs",
      "2. at 0: call 2 comes ⇒ runs",
      "3. at 0: call 1 fails",
      "4. at 0: call 2 fails ⇒ Closed → Open: ConsecutiveFailures",
      "5. at 0: 1 ms pass",
      "6. at 1: call 3 comes ⇒ Open → HalfOpen: OpenTimeEnded, then runs",
      "7. at 1: call 3 is ignored",
      "⇒ 0 probes run, and the circuit thinks it is 1"
    ])
  })
})
