import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { CircuitChange, CircuitEvent } from "../../../src/CircuitEvent.ts"
import { Journal, type Parent } from "../../../src/internal/circuit/journal.ts"
import * as Circuit from "../../../src/internal/circuit/machine.ts"
import { EventHub, History } from "../../../src/internal/eventHub.ts"
import { TwoClocks, watch } from "../../support/circuits.ts"

const rules: Circuit.Rules = {
  consecutiveFailures: 1,
  failureRate: Infinity,
  slowCallRate: Infinity,
  minimumCalls: 1,
  window: { calls: 4 },
  halfOpenMaxCalls: 1,
  successThreshold: 1,
  halfOpenSample: undefined,
  halfOpenTimeout: 60_000,
  recovery: undefined,
  openTime: () => 1_000,
  maxOpenTime: 60_000
}

const closed = Circuit.make(rules, 0)
const forced = Circuit.move(closed, rules, { _tag: "ForceOpen", duration: 500 }, 100)
const why = (now: number, note?: string) => ({ reason: "Manual", now, note, lastFailure: undefined }) as const

const make = (name = "a") => new Journal(name, new TwoClocks(), 0)

const makeParent = (): Parent => ({
  events: new EventHub<CircuitEvent>(),
  changes: new EventHub<CircuitChange>(),
  history: new History<CircuitChange>(10)
})

const changed = (journal: Journal, parent?: Parent) =>
  journal.changed({ _tag: "Reconfigured", changed: ["window"] }, parent)

describe("a journal", () => {
  it("tells of a change of state all that was counted, when it was, and who it was", () => {
    const journal = make()
    journal.moved(closed, forced, why(100, "maintenance"), undefined)
    assert.deepStrictEqual(journal.past(undefined), [{
      _tag: "StateChanged",
      circuit: "a",
      sequence: 1,
      timestamp: 1_700_000_000_000,
      from: "Closed",
      to: "ForcedOpen",
      reason: "Manual",
      note: "maintenance",
      retryAfter: Duration.millis(500),
      openings: 0,
      elapsed: Duration.millis(100),
      consecutiveFailures: 0,
      failureRate: 0,
      slowCallRate: 0,
      calls: 0
    }])
  })

  it("measures the time in a state from the change before, which another end of a forced opening is none", () => {
    const journal = make()
    const longer = Circuit.move(forced, rules, { _tag: "ForceOpen", duration: 900 }, 200)
    const again = Circuit.move(longer, rules, { _tag: "ForceClose" }, 350)
    journal.moved(closed, forced, why(100), undefined)
    journal.moved(forced, longer, why(200), undefined)
    journal.moved(longer, again, why(350), undefined)
    assert.deepStrictEqual(
      journal.past(undefined).map((change) => change._tag === "StateChanged" && Duration.toMillis(change.elapsed)),
      [100, 100, 250]
    )
    assert.strictEqual(journal.timesOpened, 1)
  })

  it("tells observers of transitions, and not of another end of a forced opening", () => {
    const journal = make()
    const told: Array<string | number> = []
    const needs: Array<boolean> = []
    const observer = {
      onTransition: (from: string, to: string) => told.push(`${from} -> ${to}`),
      onDuration: (duration: number) => told.push(duration),
      measure: false
    }
    const observe = (measure: boolean) =>
      journal.observe(
        { ...observer, onDuration: () => {}, onTransition: () => {}, measure },
        (need) => needs.push(need)
      )
    journal.observe(observer, (need) => needs.push(need))
    const stop = observe(true)
    stop()
    assert.deepStrictEqual(needs, [false, true, false])
    journal.moved(closed, forced, why(100), undefined)
    journal.moved(forced, Circuit.move(forced, rules, { _tag: "ForceOpen", duration: 900 }, 200), why(200), undefined)
    journal.lasted(7)
    assert.deepStrictEqual(told, ["Closed -> ForcedOpen", 7])
  })

  it.effect("numbers what subscribers hear, calls and changes alike", () =>
    Effect.gen(function*() {
      const journal = make()
      assert.isFalse(journal.hasListeners)
      const seen = yield* watch(journal.events)
      assert.isTrue(journal.hasSubscribers)
      journal.ended(
        "Success",
        closed,
        { slow: false, duration: undefined, lastFailure: undefined },
        undefined
      )
      changed(journal)
      assert.deepStrictEqual((yield* seen).map(({ _tag, sequence }) => [_tag, sequence]), [
        ["CallEnded", 1],
        ["Reconfigured", 2]
      ])
    }))

  it.effect("gives the changes that there were, then those that come; those to come alone on request", () =>
    Effect.gen(function*() {
      const journal = make()
      changed(journal)
      const all = yield* watch(journal.changes(() => undefined))
      const coming = yield* watch(journal.newChanges)
      assert.isFalse(journal.hasSubscribers)
      assert.isTrue(journal.hasListeners)
      changed(journal)
      assert.deepStrictEqual((yield* all).map(({ sequence }) => sequence), [1, 2])
      assert.deepStrictEqual((yield* coming).map(({ sequence }) => sequence), [2])
    }))

  it("remembers the latest 64 changes", () => {
    const journal = make()
    for (let i = 0; i < 70; i++) changed(journal)
    assert.deepStrictEqual([journal.past(undefined).length, journal.past(undefined)[0]!.sequence], [64, 7])
  })

  it.effect("leaves what it remembers to its parent, which hears of it, and takes back what is its own", () =>
    Effect.gen(function*() {
      const parent = makeParent()
      const [journal, other] = [make(), make("b")]
      changed(journal)
      journal.join(parent)
      assert.deepStrictEqual(journal.past(undefined), [])
      const heard = yield* watch(parent.events.stream)
      const changes = yield* watch(parent.changes.stream)
      changed(journal, parent)
      changed(other, parent)
      assert.deepStrictEqual((yield* heard).map(({ circuit, sequence }) => [circuit, sequence]), [["a", 2], ["b", 1]])
      assert.strictEqual((yield* changes).length, 2)
      assert.deepStrictEqual(journal.past(parent).map(({ sequence }) => sequence), [1, 2])
      journal.leave(parent)
      changed(journal)
      assert.deepStrictEqual(journal.past(undefined).map(({ sequence }) => sequence), [1, 2, 3])
      assert.strictEqual((yield* heard).length, 2)
    }))

  it("leaves to its parent what it remembers in the order of what happened, however the wall clock was set", () => {
    const parent = makeParent()
    const clock = new TwoClocks()
    const [journal, other] = [new Journal("a", clock, 0), new Journal("b", clock, 0)]
    changed(journal)
    clock.wall -= 60_000
    changed(other, parent)
    clock.wall -= 60_000
    changed(journal)
    changed(other, parent)
    journal.join(parent)
    const all = () => parent.history.all.map(({ circuit, sequence }) => `${circuit}${sequence}`)
    assert.deepStrictEqual(all(), ["a1", "b1", "a2", "b2"])

    journal.leave(parent)
    changed(journal)
    journal.join(parent)
    assert.deepStrictEqual(all(), ["a1", "b1", "a2", "b2", "a3"])
  })

  it.effect("ends its streams; later ones have what is remembered", () =>
    Effect.gen(function*() {
      const journal = make()
      changed(journal)
      yield* journal.end
      assert.deepStrictEqual(yield* Stream.runCollect(journal.events), [])
      assert.strictEqual((yield* Stream.runCollect(journal.changes(() => undefined))).length, 1)
    }))
})
