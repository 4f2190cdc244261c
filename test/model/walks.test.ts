/**
 * Random walks of circuits of any size, far beyond what can be explored in
 * full: many calls at once, long windows, long times. A walk that goes wrong
 * is shortened before it is told.
 */
import { assert, describe, it } from "@effect/vitest"
import { afterEach } from "vitest"
import { Breaker } from "../../src/internal/circuit/breaker.ts"
import { seeded } from "../support/machine.ts"
import { follow, randomWalk, shrink, tell, type World } from "./explore.ts"
import type { Policy } from "./specification.ts"

const isDeep = process.env.EXPLORE === "deep"
const WALKS = isDeep ? 3_000 : 200
const STEPS = 1_000

const randomWorld = (seed: number, random: () => number): World => {
  const choose = <A>(values: ReadonlyArray<A>): A => values[Math.floor(random() * values.length)]!
  const upTo = (n: number) => 1 + Math.floor(random() * n)
  const rate = () => choose([0, 0.1, 0.25, 1 / 3, 0.5, 0.75, 1])
  const policy = (): Policy => {
    const calls = choose([1, 2, 5, 10, 30])
    const initial = upTo(60)
    const rules = [
      { consecutiveFailures: upTo(6) },
      { failureRate: rate() },
      { slowCallRate: rate(), slowCallDuration: upTo(20) },
      { consecutiveFailures: upTo(8), failureRate: rate(), slowCallRate: rate(), slowCallDuration: upTo(20) }
    ]
    return {
      ...choose<Partial<Policy>>(rules),
      minimumCalls: upTo(calls),
      window: random() < 0.5 ? { calls } : { duration: choose([3, 20, 60, 100]), buckets: choose([1, 2, 5, 10]) },
      openDuration: {
        initial,
        multiplier: choose([1, 1.5, 2, 3]),
        maximum: initial * choose([1, 2, 10]),
        jitter: choose([0, 0, 0.3, 1])
      },
      maxOpenDuration: upTo(200),
      halfOpenMaxCalls: upTo(4),
      successThreshold: upTo(4),
      ...(random() < 0.3 ? { halfOpenSample: { calls: upTo(6), failureRate: rate() } } : {}),
      halfOpenTimeout: choose([upTo(50), upTo(50), Infinity]),
      ...(random() < 0.5 ? { recovery: { duration: upTo(60), initial: choose([0.01, 0.1, 0.5, 1]) } } : {})
    }
  }
  return {
    name: `seed ${seed}`,
    policies: Array.from({ length: choose([1, 1, 2, 3]) }, policy),
    calls: choose([1, 3, 10, 30]),
    steps: choose([[1], [1, 5, 20], [0.5, 3, 40]]),
    retryAfter: [upTo(100), upTo(400)],
    draws: [0, random(), 0.999],
    luck: [0, 0, random(), random()],
    commands: [
      { _tag: "ForceOpen", duration: Infinity },
      { _tag: "ForceOpen", duration: upTo(50) },
      { _tag: "ForceClose" },
      { _tag: "ForceClose" },
      { _tag: "ForceClose" },
      { _tag: "Disable" },
      { _tag: "MetricsOnly" },
      { _tag: "Reset" }
    ]
  }
}

/** A walk that goes wrong, shortened, in words. Half of the walks look at the metrics after each step. */
const wrong = (seed: number): string | undefined => {
  const random = seeded(seed)
  const world = randomWorld(seed, random)
  const actions = Array.from(randomWalk(world, random, STEPS))
  const reads = { reads: seed % 2 === 0 }
  return follow(world, actions, reads).problem === undefined
    ? undefined
    : tell(world, shrink(world, actions, reads), reads)
}

describe("random walks", () => {
  it("of circuits of any size are as specified", { timeout: isDeep ? 3_600_000 : 120_000 }, () => {
    for (let seed = 0; seed < WALKS; seed++) {
      const counterexample = wrong(seed)
      assert.isUndefined(counterexample, counterexample)
    }
  })

  const { end } = Breaker.prototype
  afterEach(() => {
    Breaker.prototype.end = end
  })

  it("find a mistake that is made, and shorten the way to it", { timeout: 60_000 }, () => {
    Breaker.prototype.end = function(call, outcome) {
      // A late success is taken for one of the present period.
      if (outcome._tag === "Success") call.generation = this.ref.ref.current.generation
      end.call(this, call, outcome)
    }
    let counterexample: string | undefined
    for (let seed = 0; counterexample === undefined; seed++) counterexample = wrong(seed)

    const steps = counterexample.split("\n").filter((line) => line.includes(". at "))
    assert.isAtMost(steps.length, 6, counterexample)
    assert.include(counterexample, "⇒ a late result changed the circuit")
  })
})
