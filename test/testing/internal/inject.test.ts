import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit } from "effect"
import type { Chaos } from "effect-resilience/testing"
import { inject } from "../../../src/testing/internal/inject.ts"
import { Journal, sum } from "../../../src/testing/internal/journal.ts"
import type { Planned } from "../../../src/testing/internal/plan.ts"

const call: Chaos.Call = { point: "payment-api", number: 3, elapsed: Duration.zero }
const unnamed = (kind: Chaos.Kind, { number }: Chaos.Call) => `${kind} of call ${number}`

/** Notes in which order the call and its steps run. */
const traced = () => {
  const seen: Array<string> = []
  const note = <A>(name: string, result: A) => Effect.sync(() => (seen.push(name), result))
  return { seen, note }
}

describe("a call with steps", () => {
  it("is the call itself without any", () => {
    const self = Effect.succeed(1)
    assert.strictEqual(inject(self, call, [], undefined, unnamed), self)
  })

  it.effect("runs what comes before it in order", () =>
    Effect.gen(function*() {
      const { note, seen } = traced()
      const before = (name: string): Planned<never, never, never> => ({
        kind: "behaviour",
        step: { _tag: "Before", run: note(name, undefined) }
      })
      assert.strictEqual(
        yield* inject(note("call", 1), call, [before("a"), before("b")], undefined, unnamed),
        1
      )
      assert.deepStrictEqual(seen, ["a", "b", "call"])
    }))

  it.effect("is replaced, or fails before or after it has run", () =>
    Effect.gen(function*() {
      const { note, seen } = traced()
      const instead: Planned<number, never, never> = {
        kind: "outcome",
        step: { _tag: "Instead", run: note("other", 2) }
      }
      const fail = (at: "request" | "response"): Planned<never, string, never> => ({
        kind: "fault",
        step: { _tag: "Fail", error: ({ number }) => `down ${number}`, at }
      })
      assert.strictEqual(yield* inject(note("call", 1), call, [instead], undefined, unnamed), 2)
      assert.strictEqual(
        yield* Effect.flip(inject(note("call", 1), call, [fail("request")], undefined, unnamed)),
        "down 3"
      )
      assert.deepStrictEqual(seen, ["other"])
      assert.strictEqual(
        yield* Effect.flip(inject(note("call", 1), call, [fail("response")], undefined, unnamed)),
        "down 3"
      )
      assert.deepStrictEqual(seen, ["other", "call"])
      // A call that fails by itself keeps its own error.
      assert.strictEqual(
        yield* Effect.flip(inject(Effect.fail("own"), call, [fail("response")], undefined, unnamed)),
        "own"
      )
    }))

  it.effect("fails with the error of the policy, else with that of the point, else dies", () =>
    Effect.gen(function*() {
      const fault = (error: ((call: Chaos.Call) => string) | undefined): Planned<never, string, never> => ({
        kind: "outage",
        step: { _tag: "Fail", error, at: "request" }
      })
      const exitOf = (planned: Planned<never, string, never>, error?: () => string) =>
        Effect.exit(inject(Effect.succeed(1), call, [planned], error, unnamed))
      const own = () => "policy"
      const point = () => "point"
      assert.deepStrictEqual(yield* exitOf(fault(own), point), Exit.fail("policy"))
      assert.deepStrictEqual(yield* exitOf(fault(undefined), point), Exit.fail("point"))
      const died = yield* exitOf(fault(undefined))
      assert.deepStrictEqual(
        Exit.isFailure(died) && died.cause.reasons.filter(Cause.isDieReason).map(({ defect }) => defect),
        ["outage of call 3"]
      )
    }))
})

describe("the journal of a point", () => {
  const fault: Planned<never, never, never> = {
    kind: "fault",
    step: { _tag: "Fail", error: undefined, at: "request" }
  }
  const slow: Planned<never, never, never> = {
    kind: "latency",
    step: { _tag: "Before", run: Effect.void, delay: Duration.seconds(1) }
  }

  it("counts what was injected and keeps it, with delays", () => {
    const journal = new Journal()
    journal.calls = 2
    journal.add(call, [])
    journal.add({ ...call, number: 4 }, [slow, fault])
    const { calls, injected, untouched } = journal.counts
    assert.deepStrictEqual([calls, untouched, injected.latency, injected.fault, injected.hang], [2, 1, 1, 1, 0])
    assert.deepStrictEqual(journal.injections.map(({ delay, kind, number }) => [number, kind, delay]), [
      [4, "latency", Duration.seconds(1)],
      [4, "fault", undefined]
    ])
  })

  it("gives copies, and adds up with others", () => {
    const journal = new Journal()
    const before = journal.counts
    journal.add(call, [fault])
    assert.strictEqual(before.injected.fault, 0)
    const all = sum([journal.counts, journal.counts, new Journal().counts])
    assert.deepStrictEqual([all.calls, all.untouched, all.injected.fault], [0, 0, 2])
    assert.deepStrictEqual(sum([]).injected.fault, 0)
  })
})
