import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { Handle } from "../../../src/internal/circuit/handle.ts"
import { call, fail, halfOpen, succeed, touchy, TwoClocks, watch } from "../../support/circuits.ts"

class CountingClock extends TwoClocks {
  readings = 0
  override monotonicTimeNanosUnsafe(): bigint {
    this.readings++
    return super.monotonicTimeNanosUnsafe()
  }
}

const inner = (breaker: CircuitBreaker.CircuitBreaker): Handle =>
  breaker instanceof Handle ? breaker : assert.fail("is another kind of circuit")

const make = (options?: CircuitPolicy.Options) =>
  Effect.map(CircuitBreaker.make({ name: "a", policy: CircuitPolicy.make(options) }), inner)

/** A policy that needs no time while the circuit is closed and nothing fails. */
const timeless: CircuitPolicy.Options = { consecutiveFailures: 5, window: { calls: 10 } }

describe("the clock is read", () => {
  interface Case {
    readonly breaker: (clock: CountingClock) => Effect.Effect<Handle, never, Scope.Scope>
    readonly call?: (breaker: Handle) => Effect.Effect<void>
    readonly readings: number
  }

  const registered = (options: CircuitBreakerRegistry.Options) =>
    Effect.flatMap(
      CircuitBreakerRegistry.make({ defaults: CircuitPolicy.make(timeless), ...options }),
      (registry) => Effect.map(registry.getOrCreate("a"), inner)
    )

  const cases: Record<string, Case> = {
    "by no success of a closed circuit": { breaker: () => make(timeless), readings: 0 },
    "by no ignored call of a closed circuit": {
      breaker: () => make(timeless),
      call: (breaker) => Effect.asVoid(call(breaker, Effect.interrupt).pipe(Effect.exit)),
      readings: 0
    },
    "once by a failure": { breaker: () => make(timeless), call: fail, readings: 1 },
    "once by a success among failures": {
      breaker: () => Effect.tap(make(timeless), fail),
      readings: 1
    },
    "by no success of a circuit that only counts": {
      breaker: () => Effect.tap(make(timeless), (breaker) => breaker.metricsOnly),
      readings: 0
    },
    "by no call of a disabled circuit": {
      breaker: () => Effect.tap(make({ ...timeless, measureDuration: true }), (breaker) => breaker.disable),
      readings: 0
    },
    "once by a rejected call": {
      breaker: () => Effect.tap(make(timeless), (breaker) => breaker.forceOpen()),
      readings: 1
    },
    "at both ends of a probe": {
      breaker: (clock) =>
        Effect.tap(
          make({ ...touchy, window: { calls: 10 } }),
          (breaker) => Effect.andThen(fail(breaker), Effect.sync(() => clock.pass("10 seconds")))
        ),
      readings: 2
    },
    "at both ends of a call that is timed": {
      breaker: () => make({ ...timeless, measureDuration: true }),
      readings: 2
    },
    "once by a call that is put in a window of a duration": {
      breaker: () => make({ ...timeless, window: { duration: "1 minute" }, measureDuration: false }),
      readings: 1
    },
    "once by a call through a circuit that is evicted when it is idle": {
      breaker: () => registered({ idleTimeToLive: "1 hour" }),
      readings: 1
    },
    "by no success of a circuit of a registry that evicts none": {
      breaker: () => registered({ idleTimeToLive: Infinity }),
      readings: 0
    },
    "by no success of a circuit that the registry is made with": {
      breaker: () => registered({ idleTimeToLive: "1 hour", circuits: { a: CircuitPolicy.make(timeless) } }),
      readings: 0
    },
    "by no success of a circuit that is registered": {
      breaker: () =>
        Effect.flatMap(
          CircuitBreakerRegistry.make({ idleTimeToLive: "1 hour" }),
          (registry) => Effect.orDie(Effect.map(registry.register("a", CircuitPolicy.make(timeless)), inner))
        ),
      readings: 0
    }
  }

  for (const [name, { breaker: makeBreaker, call = succeed, readings }] of Object.entries(cases)) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const clock = new CountingClock()
        const breaker = yield* makeBreaker(clock).pipe(Effect.provideService(Clock.Clock, clock))
        clock.readings = 0
        yield* call(breaker)
        assert.strictEqual(clock.readings, readings)
      }))
  }
})

describe("a registry that evicts no circuit", () => {
  it.effect("reads no clock to find and list circuits, and one time less to make one", () =>
    Effect.gen(function*() {
      const readings = (idleTimeToLive: "1 hour" | "Infinity") =>
        Effect.gen(function*() {
          const clock = new CountingClock()
          const registry = yield* CircuitBreakerRegistry.make({ idleTimeToLive }).pipe(
            Effect.provideService(Clock.Clock, clock)
          )
          yield* registry.getOrCreate("a")
          clock.readings = 0
          yield* registry.getOrCreate("b")
          const made = clock.readings
          yield* registry.names
          const listed = clock.readings - made
          yield* Effect.option(registry.get("a"))
          return { made, listed, found: clock.readings - made - listed }
        })
      const [evicting, keeping] = [yield* readings("1 hour"), yield* readings("Infinity")]
      assert.deepStrictEqual([keeping.listed, keeping.found], [0, 0])
      assert.deepStrictEqual([evicting.listed, evicting.found], [1, 1])
      assert.isBelow(keeping.made, evicting.made)
    }))
})

describe("timesOpened", () => {
  it.effect("counts the times that a circuit has stopped letting calls through", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const seen: Array<number> = []
      const look = Effect.sync(() => seen.push(breaker.live.timesOpened))
      const steps: ReadonlyArray<Effect.Effect<unknown>> = [
        Effect.void,
        fail(breaker),
        TestClock.adjust("10 seconds"),
        succeed(breaker),
        breaker.forceOpen(),
        breaker.disable,
        breaker.metricsOnly,
        breaker.forceClose,
        halfOpen(breaker),
        fail(breaker)
      ]
      for (const step of steps) yield* Effect.andThen(step, look)

      assert.deepStrictEqual(seen, [0, 1, 1, 1, 2, 2, 2, 2, 3, 4])
    }))
})

describe("observe", () => {
  it.effect("tells each observer until it stops, and the others go on", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...timeless, openDuration: "10 seconds" })
      const told: Array<string> = []
      const observe = (name: string, measure: boolean) =>
        breaker.live.observe({
          onTransition: (_, to) => told.push(`${name}: ${to}`),
          onDuration: (duration) => told.push(`${name}: ${duration}`),
          measure
        })
      const take = () => told.splice(0)

      const stopOne = observe("one", false)
      const stopTwo = observe("two", true)
      yield* succeed(breaker)
      yield* breaker.disable
      assert.deepStrictEqual(take(), ["one: 0", "two: 0", "one: Disabled", "two: Disabled"])

      stopOne()
      yield* breaker.forceClose
      yield* succeed(breaker)
      assert.deepStrictEqual(take(), ["two: Closed", "two: 0"])

      stopTwo()
      yield* succeed(breaker)
      yield* breaker.disable
      assert.deepStrictEqual(take(), [])
    }))
})

describe("endEvents", () => {
  it.effect("ends the streams and keeps what they would tell, however often", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.make({ defaults: CircuitPolicy.make(touchy) })
      const breaker = inner(yield* registry.getOrCreate("a"))
      yield* breaker.disable
      const events = yield* watch(breaker.events)
      for (let i = 0; i < 3; i++) {
        yield* breaker.live.endEvents
        const told = yield* Stream.runCollect(breaker.changes)
        assert.deepStrictEqual(told.map((change) => change._tag === "StateChanged" && change.to), ["Disabled"])
      }
      assert.deepStrictEqual(yield* Stream.runCollect(breaker.events), [])
      assert.deepStrictEqual(yield* events, [])
    }))
})
