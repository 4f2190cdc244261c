import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitEvent, CircuitMetrics } from "effect-resilience"
import { Duration, Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { fail, make, succeed, touchy, watch } from "./support/circuits.ts"

const survives = <A, I>(schema: Schema.Codec<A, I>, value: A) => {
  for (const codec of [schema, Schema.toCodecJson(schema)] as ReadonlyArray<Schema.Codec<A, unknown>>) {
    const json = JSON.stringify(Schema.encodeSync(codec)(value))
    const decoded = Schema.decodeUnknownSync(codec)(JSON.parse(json))
    // What does not apply may be left out.
    assert.deepStrictEqual(defined(decoded), defined(value))
  }
}

const defined = (value: unknown) =>
  Object.fromEntries(Object.entries(value as object).filter(([, field]) => field !== undefined))

/** One circuit that goes through all that can happen. */
const story = Effect.gen(function*() {
  const breaker = yield* make({ ...touchy, slowCallRate: 0.5, slowCallDuration: "1 second" })
  const events = yield* watch(breaker.events)
  yield* succeed(breaker)
  yield* fail(breaker, 2)
  yield* TestClock.adjust("10 seconds")
  yield* succeed(breaker)
  yield* breaker.reconfigure({ ...(yield* breaker.policy), consecutiveFailures: 3 })
  yield* CircuitBreaker.withNote(breaker.forceOpen(), "maintenance")
  yield* breaker.forceOpen({ duration: "1 minute" })
  yield* breaker.disable
  return { breaker, events: yield* events }
})

describe("CircuitEvent", () => {
  it.effect("describes why a circuit changed, for people", () =>
    Effect.gen(function*() {
      const { events } = yield* story
      const reasons = events.flatMap((event) =>
        event._tag === "StateChanged" ? [`${event.to}: ${CircuitEvent.describeReason(event)}`] : []
      )
      assert.deepStrictEqual(reasons, [
        "Open: 1 failure in a row",
        "HalfOpen: the open time ended",
        "Closed: the probes succeeded",
        "ForcedOpen: by hand: maintenance",
        "ForcedOpen: by hand",
        "Disabled: by hand"
      ])
    }))

  it.effect("survives JSON, whatever happened", () =>
    Effect.gen(function*() {
      const { events } = yield* story
      assert.deepStrictEqual([...new Set(events.map((event) => event._tag))].toSorted(), [
        "CallEnded",
        "Reconfigured",
        "StateChanged"
      ])
      for (const event of events) survives(CircuitEvent.CircuitEvent, event)
    }))

  it.effect("keeps the infinite time of a circuit that was forced open", () =>
    Effect.gen(function*() {
      const { events } = yield* story
      const forced = events.find((event) => event._tag === "StateChanged" && event.to === "ForcedOpen")
      const json = JSON.stringify(Schema.encodeSync(CircuitEvent.CircuitEvent)(forced!))
      const decoded = Schema.decodeUnknownSync(CircuitEvent.StateChanged)(JSON.parse(json))
      assert.isFalse(Duration.isFinite(decoded.retryAfter))
    }))

  it("rejects what is none", () => {
    const event = { _tag: "Reconfigured", circuit: "a", sequence: 1, timestamp: 0, changed: [] }
    assert.deepStrictEqual(Schema.decodeUnknownSync(CircuitEvent.CircuitEvent)(event), event as never)
    for (const wrong of [{ ...event, _tag: "Other" }, { ...event, sequence: 1.5 }, { ...event, changed: "a" }, null]) {
      assert.throws(() => Schema.decodeUnknownSync(CircuitEvent.CircuitEvent)(wrong))
    }
  })
})

describe("CircuitMetrics", () => {
  // migration: status.to_dict()
  it.effect("survives JSON in every state", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const check = Effect.map(breaker.metrics, (metrics) => survives(CircuitMetrics.CircuitMetrics, metrics))
      yield* check
      yield* fail(breaker)
      yield* check
      yield* TestClock.adjust("10 seconds")
      yield* check
      yield* breaker.forceOpen()
      yield* check
      yield* breaker.disable
      yield* check
    }))

  it.effect("survives JSON with an open time without end", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, openDuration: "Infinity" })
      yield* fail(breaker)
      survives(CircuitMetrics.CircuitMetrics, yield* breaker.metrics)
    }))
})
