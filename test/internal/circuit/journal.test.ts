import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { CircuitChange, CircuitEvent } from "../../../src/CircuitEvent.ts"
import { Journal, type Parent } from "../../../src/internal/circuit/journal.ts"
import { Census } from "../../../src/internal/circuit/census.ts"
import * as Circuit from "../../../src/internal/circuit/machine.ts"
import { EventHub, History } from "../../../src/internal/eventHub.ts"
import type { LastFailure } from "../../../src/ResilienceError.ts"
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
  history: new History<CircuitChange>(10),
  census: new Census()
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

  it("tells how long the circuit was in a state by when it left that, however late it is noticed", () => {
    const elapsed = (to: Circuit.Circuit) => {
      const journal = make()
      journal.moved(forced, to, why(700), undefined)
      const [change] = journal.past(undefined)
      return change?._tag === "StateChanged" ? Duration.toMillis(change.elapsed) : undefined
    }
    const opened = Circuit.record(closed, rules, { verdict: "Failure", slow: false, retryAfter: 0, now: 400 }, () => 0)
    assert.strictEqual(opened._tag, "Open")
    assert.strictEqual(elapsed(opened), 400)
    assert.strictEqual(elapsed(Circuit.make(rules, 500)), 500)
    assert.strictEqual(elapsed(Circuit.elapse(forced, rules, 600)), 700)
  })

  it.effect("has the last failure only if there is one, of a call and of a change", () =>
    Effect.gen(function*() {
      const journal = make()
      const heard = yield* watch(journal.events)
      const lastFailure = { _tag: "Failure", message: "down" } as unknown as LastFailure
      const call = { slow: true, duration: 5, lastFailure: undefined }
      journal.ended("Failure", closed, { ...call, lastFailure }, undefined)
      journal.ended("Success", closed, call, undefined)
      journal.moved(closed, forced, { ...why(100), lastFailure }, undefined)
      journal.moved(forced, closed, why(200), undefined)
      assert.deepStrictEqual(
        (yield* heard).map((event) => "lastFailure" in event ? [event._tag, event.lastFailure] : event._tag),
        [["CallEnded", lastFailure], "CallEnded", ["StateChanged", lastFailure], "StateChanged"]
      )
    }))

  it.effect("has the duration of a call if it was measured", () =>
    Effect.gen(function*() {
      const journal = make()
      const heard = yield* watch(journal.events)
      for (const duration of [5, undefined]) {
        journal.ended("Success", closed, { slow: false, duration, lastFailure: undefined }, undefined)
      }
      assert.deepStrictEqual((yield* heard).map((event) => event._tag === "CallEnded" && event.duration), [
        Duration.millis(5),
        undefined
      ])
    }))

  it("forgets an observer that stops, once or twice, and no other", () => {
    const journal = make()
    const told: Array<string> = []
    const needs: Array<boolean> = []
    const observe = (name: string, measure: boolean) =>
      journal.observe(
        { onTransition: () => told.push(name), onDuration: () => told.push(name), measure },
        (need) => needs.push(need)
      )
    const stop = observe("a", true)
    observe("b", false)
    stop()
    stop()
    assert.deepStrictEqual(needs, [true, true, false, false])
    journal.moved(closed, forced, why(100), undefined)
    journal.lasted(7)
    assert.deepStrictEqual(told, ["b", "b"])
  })

  it("does not leave to its parent twice what it took back from there", () => {
    const parent = makeParent()
    const journal = make()
    changed(journal)
    journal.join(parent)
    journal.leave(parent)
    changed(journal)
    journal.join(parent)
    assert.deepStrictEqual(journal.past(parent).map(({ sequence }) => sequence), [1, 2])
  })

  it.effect("keeps its subscribers when it gets a parent, and has new ones there after its end", () =>
    Effect.gen(function*() {
      const parent = makeParent()
      const journal = make()
      const [events, coming] = [yield* watch(journal.events), yield* watch(journal.newChanges)]
      journal.join(parent)
      changed(journal, parent)
      assert.strictEqual((yield* events).length, 1)
      assert.strictEqual((yield* coming).length, 1)
      yield* journal.end
      journal.join(parent)
      const [later, laterChanges] = [yield* watch(journal.events), yield* watch(journal.newChanges)]
      changed(journal, parent)
      assert.strictEqual((yield* later).length, 1)
      assert.strictEqual((yield* laterChanges).length, 1)
    }))
})
