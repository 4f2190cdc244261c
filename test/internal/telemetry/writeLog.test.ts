import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, References } from "effect"
import {
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitLog,
  CircuitPolicy,
  Hedge,
  RateLimit,
  Retry
} from "effect-resilience"
import { RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"
import { ask, bearer, start, who } from "../../admin/support.ts"

/** A log sink that throws while it is broken. */
const sink = () => {
  const state = { broken: false, messages: [] as Array<unknown> }
  const layer = Logger.layer([
    Logger.make(({ message }) => {
      if (state.broken) throw new Error("write EPIPE")
      state.messages.push((message as ReadonlyArray<unknown>)[0])
    })
  ])
  return { state, layer }
}

const policy = CircuitPolicy.make({ consecutiveFailures: 1, openDuration: "1 minute", successThreshold: 1 })

/** Opens the circuit and closes it again. */
const trip = (breaker: CircuitBreaker.CircuitBreaker) =>
  Effect.gen(function*() {
    yield* Effect.ignore(breaker.execute(Effect.fail("down")))
    yield* TestClock.adjust("1 minute")
    yield* breaker.execute(Effect.void)
    yield* TestClock.adjust("4 minutes")
  })

describe("a log sink that throws for a while", () => {
  it.effect("costs the CircuitLog the lines of that while, and no others", () => {
    const { layer, state } = sink()
    const Circuits = CircuitLog.layer({ calls: true }).pipe(
      Layer.provideMerge(CircuitBreakerRegistry.layer({ defaults: policy }))
    )
    return Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const breaker = yield* registry.getOrCreate("payment-api")
      state.broken = true
      yield* trip(breaker)
      state.broken = false
      assert.deepStrictEqual(state.messages, [])
      yield* trip(breaker)
      assert.sameMembers(state.messages, ["circuit_opened", "circuit_half_opened", "circuit_closed"])
    }).pipe(Effect.provide(Layer.provideMerge(Circuits, layer)))
  })

  it.effect("ends no listener whose failure it was to log, and none beside it", () => {
    const { layer, state } = sink()
    return Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "payment-api", policy })
      const heard: Record<string, number> = { on: 0, onTrip: 0, onRecovery: 0, beside: 0 }
      const listener = (name: string) => () =>
        Effect.sync(() => {
          heard[name]!++
          if (name !== "beside") throw new Error("the pager is down")
        })
      yield* breaker.on("StateChanged", listener("on"))
      yield* CircuitBreaker.onTrip(breaker, listener("onTrip"))
      yield* CircuitBreaker.onRecovery(breaker, listener("onRecovery"))
      yield* CircuitBreaker.onTrip(breaker, listener("beside"))

      state.broken = true
      yield* trip(breaker)
      yield* trip(breaker)
      assert.deepStrictEqual(heard, { on: 6, onTrip: 2, onRecovery: 2, beside: 2 })
      state.broken = false
      yield* trip(breaker)
      assert.deepStrictEqual(heard, { on: 9, onTrip: 3, onRecovery: 3, beside: 3 })
      assert.lengthOf(state.messages, 5)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("ends neither a retry nor a hedge whose callback fails", () => {
    const { layer, state } = sink()
    state.broken = true
    return Effect.gen(function*() {
      let attempts = 0
      const call = Effect.suspend(() => ++attempts < 3 ? Effect.fail("down") : Effect.succeed("served"))
      const retried = yield* Effect.forkChild(
        Retry.withRetry(call, { maxAttempts: 3, onRetry: () => Effect.die("callback") })
      )
      let calls = 0
      const slowFirst = Effect.suspend(() => ++calls === 1 ? Effect.never : Effect.succeed("served"))
      const hedged = yield* Effect.forkChild(
        Hedge.withHedge(slowFirst, { delay: "1 second", onHedge: () => Effect.die("callback") })
      )
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual([retried.pollUnsafe(), hedged.pollUnsafe()].map((exit) => exit?._tag), [
        "Success",
        "Success"
      ])
    }).pipe(Effect.provide(layer))
  })

  it.effect("fails no call that a rate limit lets through because its store failed", () => {
    const { layer, state } = sink()
    state.broken = true
    const down = Effect.fail(
      new RateLimiter.RateLimiterError({ reason: new RateLimiter.RateLimitStoreError({ message: "store is down" }) })
    )
    const brokenStore = Layer.provide(
      RateLimiter.layer,
      Layer.succeed(RateLimiter.RateLimiterStore, {
        fixedWindow: () => down,
        tokenBucket: () => down,
        adaptiveConsume: () => down,
        adaptiveFeedback: () => down
      })
    )
    return Effect.gen(function*() {
      const rateLimit = yield* RateLimit.make({
        name: "payment-api",
        limit: 1,
        window: "1 second",
        onStoreError: "allow"
      })
      const call = Effect.provideService(
        rateLimit.execute(Effect.succeed("served")),
        References.UnhandledLogLevel,
        "Warn"
      )
      assert.strictEqual(yield* call, "served")
    }).pipe(Effect.provide(Layer.provideMerge(brokenStore, layer)))
  })

  it.effect("fails no command of the admin API, which has done its work", () => {
    const { layer, state } = sink()
    return Effect.gen(function*() {
      const server = yield* start()
      yield* server.registry.getOrCreate("payment-api")
      state.broken = true
      const path = "/circuits/payment-api/disable"
      const changed = yield* ask(server, { path, body: who, headers: bearer() })
      assert.deepStrictEqual([changed.status, changed.json.state], [200, "disabled"])
      assert.strictEqual((yield* ask(server, { path, body: who })).status, 401)
      state.broken = false
    }).pipe(Effect.scoped, Effect.provide(layer))
  })
})
