import { assert, describe, it } from "@effect/vitest"
import {
  Clock,
  Context,
  Data,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Schedule,
  Schema,
  Scope,
  Stream
} from "effect"
import { CircuitBreaker as OurCircuitBreaker, CircuitBreakerRegistry, CircuitPolicy, Outcome } from "effect-resilience"
import * as EffectCircuitBreaker from "effect-resilience/EffectCircuitBreaker"
import { HttpClient, HttpClientResponse } from "effect/http"
import { CircuitBreaker } from "effect/persistence"
import { TestClock } from "effect/testing"
import { expectTypeOf } from "vitest"
import {
  type Breaker,
  failTimes,
  hold,
  ignore,
  key,
  reasons,
  rejection,
  succeed,
  suite,
  watch
} from "./support/EffectCircuitBreakerSuite.ts"
import { interruptEverywhere } from "./support/interruptEverywhere.ts"

suite("effect/persistence/CircuitBreaker", {
  layer: CircuitBreaker.layer,
  layerStore: CircuitBreaker.layerStoreMemory
})

suite("EffectCircuitBreaker", {
  layer: EffectCircuitBreaker.layer,
  layerStore: CircuitBreakerRegistry.layer
})

const twoInARow = { tripPolicy: CircuitBreaker.consecutive(2), openDuration: "10 seconds" } as const

const test = <E>(
  rule: string,
  body: () => Effect.Effect<void, E, CircuitBreakerRegistry.CircuitBreakerRegistry | Scope.Scope>,
  registry: Layer.Layer<CircuitBreakerRegistry.CircuitBreakerRegistry> = CircuitBreakerRegistry.layer()
) => it.effect(rule, () => Effect.provide(body(), registry))

const circuit = (name = key) =>
  Effect.map(
    CircuitBreakerRegistry.CircuitBreakerRegistry.use((registry) => registry.get(name)),
    Option.getOrThrow
  )

describe("circuits of the registry", () => {
  test("are named by prefix and key, and the prefix shows nowhere else", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const http = yield* EffectCircuitBreaker.make({ ...twoInARow, prefix: "http:" })
      const plain = yield* EffectCircuitBreaker.make(twoInARow)
      const seen = yield* http.transitions.pipe(
        Stream.take(1),
        Stream.runCollect,
        Effect.forkChild({
          startImmediately: true
        })
      )
      yield* failTimes(http, 2)
      yield* succeed(plain)
      assert.deepStrictEqual(yield* registry.names, ["http:payments", "payments"])
      assert.deepStrictEqual(yield* registry.openCircuits, ["http:payments"])
      assert.deepInclude(yield* http.state(key), { _tag: "Open", key })
      const error = yield* Effect.flip(succeed(http))
      assert.deepInclude(error.reason, { key })
      assert.deepStrictEqual((yield* Fiber.join(seen)).map((transition) => transition.key), [key])
    }))

  test("are not made by reading their state", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const breaker = yield* EffectCircuitBreaker.make(twoInARow)
      yield* breaker.state("a")
      assert.deepStrictEqual(yield* registry.names, [])
    }))

  test("ramp up, which is half-open and no transition of its own, and are closed when the ramp has ended", () =>
    Effect.gen(function*() {
      const breaker = yield* EffectCircuitBreaker.make({
        policy: CircuitPolicy.make({
          consecutiveFailures: 1,
          openDuration: "1 second",
          successThreshold: 1,
          recovery: { duration: "10 seconds", initial: 1 }
        })
      })
      const seen = yield* breaker.transitions.pipe(
        Stream.map(({ from, to }) => `${from} -> ${to}`),
        Stream.take(3),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* failTimes(breaker, 1)
      yield* TestClock.adjust("1 second")
      yield* succeed(breaker)
      assert.strictEqual((yield* breaker.state(key))._tag, "HalfOpen")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
      yield* succeed(breaker)
      assert.deepStrictEqual(yield* Fiber.join(seen), ["Closed -> Open", "Open -> HalfOpen", "HalfOpen -> Closed"])
    }))

  test("count the calls in their metrics, and publish them", () =>
    Effect.gen(function*() {
      const breaker = yield* EffectCircuitBreaker.make(twoInARow)
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const events = yield* registry.events.pipe(
        Stream.map((event) => event._tag === "CallEnded" ? event.outcome : event._tag),
        Stream.take(6),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* succeed(breaker)
      yield* ignore(breaker)
      yield* failTimes(breaker, 2)
      yield* rejection(breaker)
      const metrics = yield* Effect.flatMap(circuit(), (circuit) => circuit.metrics)
      assert.deepInclude(metrics, {
        successfulCalls: 1,
        ignoredCalls: 1,
        failedCalls: 2,
        rejectedCalls: 1,
        callsInFlight: 0
      })
      assert.deepStrictEqual(yield* Fiber.join(events), [
        "Success",
        "Ignored",
        "Failure",
        "Failure",
        "StateChanged",
        "Rejected"
      ])
    }))

  test(
    "follow the registry's policy for their name if the breaker has none",
    () =>
      Effect.gen(function*() {
        const breaker = yield* EffectCircuitBreaker.make()
        yield* failTimes(breaker, 1, "fragile")
        yield* failTimes(breaker, 2, "other")
        assert.strictEqual((yield* breaker.state("fragile"))._tag, "Open")
        assert.strictEqual((yield* breaker.state("other"))._tag, "Closed")
        yield* failTimes(breaker, 1, "other")
        assert.strictEqual((yield* breaker.state("other"))._tag, "Open")
      }),
    CircuitBreakerRegistry.layer({
      defaults: CircuitPolicy.make({ consecutiveFailures: 3 }),
      circuits: { fragile: CircuitPolicy.make({ consecutiveFailures: 1 }) }
    })
  )

  test("keep the policy they were registered with, and the one they are given later", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      yield* registry.register(key, CircuitPolicy.make({ consecutiveFailures: 3 }))
      const breaker = yield* EffectCircuitBreaker.make(twoInARow)
      yield* failTimes(breaker, 2)
      assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
      yield* registry.reconfigure(key, CircuitPolicy.make({ consecutiveFailures: 4 }))
      yield* failTimes(breaker, 1)
      assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
      yield* failTimes(breaker, 1)
      assert.strictEqual((yield* breaker.state(key))._tag, "Open")
    }))

  test("are shared with withCircuitBreaker by name", () =>
    Effect.gen(function*() {
      const breaker = yield* EffectCircuitBreaker.make(twoInARow)
      yield* failTimes(breaker, 2)
      const error = yield* Effect.void.pipe(OurCircuitBreaker.withCircuitBreaker(key), Effect.flip)
      assert.strictEqual(error._tag, "CircuitOpenError")
    }))

  test("outlive the breaker's scope", () =>
    Effect.gen(function*() {
      const breaker = yield* Effect.scoped(EffectCircuitBreaker.make(twoInARow))
      yield* failTimes(breaker, 2)
      assert.strictEqual(yield* rejection(breaker), "CircuitOpen")
      assert.deepStrictEqual(yield* Stream.runCollect(breaker.transitions), [])
    }))
})

describe("what a policy adds", () => {
  test("several probes and several successes", () =>
    Effect.gen(function*() {
      const breaker = yield* EffectCircuitBreaker.make({
        policy: CircuitPolicy.make({
          consecutiveFailures: 1,
          openDuration: "10 seconds",
          halfOpenMaxCalls: 2,
          successThreshold: 2
        })
      })
      yield* failTimes(breaker, 1)
      yield* TestClock.adjust("10 seconds")
      const one = yield* hold(breaker, Effect.void)
      const two = yield* hold(breaker, Effect.void)
      assert.strictEqual(yield* rejection(breaker), "CircuitHalfOpen")
      yield* one.finish
      assert.deepInclude(yield* breaker.state(key), { _tag: "HalfOpen", probing: true })
      yield* two.finish
      assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
    }))

  test("a window of time, and slow calls", () =>
    Effect.gen(function*() {
      const breaker = yield* EffectCircuitBreaker.make({
        policy: CircuitPolicy.make({
          failureRate: 0.5,
          slowCallRate: 0.5,
          slowCallDuration: "1 second",
          minimumCalls: 2,
          window: { duration: "10 seconds" }
        })
      })
      yield* failTimes(breaker, 1, "late")
      yield* TestClock.adjust("11 seconds")
      yield* failTimes(breaker, 1, "late")
      assert.strictEqual((yield* breaker.state("late"))._tag, "Closed")

      yield* succeed(breaker, "slow")
      const slow = yield* hold(breaker, Effect.succeed("slow"), "slow")
      yield* TestClock.adjust("1001 millis")
      assert.deepStrictEqual(yield* slow.finish, Exit.succeed("slow"))
      assert.strictEqual((yield* breaker.state("slow"))._tag, "Open")
    }))

  test("an end to probes that hang: the circuit opens again, and says so", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const breaker = yield* Scope.provide(
        EffectCircuitBreaker.make({
          policy: CircuitPolicy.make({
            consecutiveFailures: 1,
            openDuration: "10 seconds",
            halfOpenMaxCalls: 1,
            successThreshold: 1,
            halfOpenTimeout: "30 seconds"
          })
        }),
        scope
      )
      const seen = yield* watch(breaker)
      yield* failTimes(breaker, 1)
      yield* TestClock.adjust("10 seconds")
      const hung = yield* hold(breaker, Effect.void)
      yield* TestClock.adjust("29999 millis")
      assert.strictEqual(yield* rejection(breaker), "CircuitHalfOpen")
      yield* TestClock.adjust("2 seconds")
      assert.deepInclude(yield* breaker.state(key), {
        _tag: "Open",
        retryAfter: Duration.millis(8001),
        consecutiveOpenings: 2
      })
      assert.strictEqual(yield* rejection(breaker), "CircuitOpen")
      yield* TestClock.adjust("8001 millis")
      // Its verdict comes too late, and the next probe may run beside it.
      const probe = yield* hold(breaker, Effect.void)
      yield* hung.finish
      assert.deepInclude(yield* breaker.state(key), { _tag: "HalfOpen", probing: true })

      // This one is given up while nobody looks, and so is the open time after it.
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* breaker.state(key), {
        _tag: "Open",
        key,
        retryAfter: Duration.zero,
        consecutiveOpenings: 3
      })
      yield* succeed(breaker)
      yield* probe.finish
      assert.strictEqual((yield* breaker.state(key))._tag, "Closed")

      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual((yield* Fiber.join(seen)).map(describeTransition), [
        "Closed -> Open (1)",
        "Open -> HalfOpen",
        "HalfOpen -> Open (2)",
        "Open -> HalfOpen",
        "HalfOpen -> Open (3)",
        "Open -> HalfOpen",
        "HalfOpen -> Closed"
      ])
    }))

  test("its own classify, which one of a call overrides", () =>
    Effect.gen(function*() {
      const breaker = yield* EffectCircuitBreaker.make({
        policy: CircuitPolicy.make({
          consecutiveFailures: 1,
          classify: Outcome.failureUnless((e) => e === "not found")
        })
      })
      yield* Effect.fail("not found").pipe(breaker.execute({ key }), Effect.exit)
      assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
      yield* Effect.fail("not found").pipe(
        breaker.execute({ key, classify: () => CircuitBreaker.failure() }),
        Effect.exit
      )
      assert.strictEqual((yield* breaker.state(key))._tag, "Open")
    }))

  test("a classify that throws makes the outcome Ignored and the call die with both causes", () =>
    Effect.gen(function*() {
      const breaker = yield* EffectCircuitBreaker.make({
        policy: CircuitPolicy.make({
          consecutiveFailures: 1,
          classify: () => {
            throw "classify"
          }
        })
      })
      assert.deepStrictEqual(reasons(yield* Effect.exit(breaker.execute(Effect.fail("boom"), { key }))), [
        "Fail: boom",
        "Die: classify"
      ])
      assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
    }))

  test("the retryAfter of errors, and a pass for rejections from inside, which the options of Effect's breaker count", () =>
    Effect.gen(function*() {
      class Busy extends Data.TaggedError("Busy")<{ readonly retryAfter: Duration.Duration }> {}
      const rejected = Effect.void.pipe(OurCircuitBreaker.withCircuitBreaker("inner"), Effect.exit)
      const policy = CircuitPolicy.make({ consecutiveFailures: 1, openDuration: "10 seconds" })
      const ours = yield* EffectCircuitBreaker.make({ policy, prefix: "ours:" })
      const theirs = yield* EffectCircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(1),
        openDuration: "10 seconds",
        prefix: "theirs:"
      })
      const inner = yield* CircuitBreakerRegistry.CircuitBreakerRegistry.use((registry) =>
        registry.getOrCreate("inner")
      )
      yield* inner.forceOpen()
      const busy = Effect.fail(new Busy({ retryAfter: Duration.minutes(1) }))

      yield* ours.execute(Effect.flatten(rejected), { key: "rejected" }).pipe(Effect.exit)
      assert.strictEqual((yield* ours.state("rejected"))._tag, "Closed")
      yield* ours.execute(busy, { key: "busy" }).pipe(Effect.exit)
      assert.deepInclude(yield* ours.state("busy"), { retryAfter: Duration.minutes(1) })

      yield* theirs.execute(Effect.flatten(rejected), { key: "rejected" }).pipe(Effect.exit)
      assert.strictEqual((yield* theirs.state("rejected"))._tag, "Open")
      yield* theirs.execute(busy, { key: "busy" }).pipe(Effect.exit)
      assert.deepInclude(yield* theirs.state("busy"), { retryAfter: Duration.seconds(10) })
    }))
})

describe("manual control", () => {
  const operated = Effect.gen(function*() {
    const breaker = yield* EffectCircuitBreaker.make(twoInARow)
    yield* succeed(breaker)
    return [breaker, yield* circuit()] as const
  })

  test("forced open is Open, and never says to wait longer than maxOpenDuration", () =>
    Effect.gen(function*() {
      const [breaker, circuit] = yield* operated
      yield* circuit.forceOpen()
      const error = yield* Effect.flip(succeed(breaker))
      assert.deepInclude(error.reason, { _tag: "CircuitOpen", retryAfter: Duration.hours(1) })
      assert.deepStrictEqual(yield* breaker.state(key), {
        _tag: "Open",
        key,
        retryAfter: Duration.hours(1),
        consecutiveOpenings: 0
      })
      yield* circuit.forceClose
      yield* succeed(breaker)
    }))

  test("forced open for a time is Open until then, and then half-open", () =>
    Effect.gen(function*() {
      const [breaker, circuit] = yield* operated
      yield* circuit.forceOpen({ duration: "5 seconds" })
      yield* TestClock.adjust("2 seconds")
      assert.deepInclude(yield* breaker.state(key), { _tag: "Open", retryAfter: Duration.seconds(3) })
      assert.strictEqual(yield* rejection(breaker), "CircuitOpen")
      yield* TestClock.adjust("3 seconds")
      yield* ignore(breaker)
      assert.deepInclude(yield* breaker.state(key), { _tag: "HalfOpen", probing: false })
    }))

  test("disabled is Closed, and does not ask classify", () =>
    Effect.gen(function*() {
      const [breaker, circuit] = yield* operated
      yield* circuit.disable
      yield* failTimes(breaker, 5)
      yield* breaker.execute(Effect.void, { key, classify: () => Effect.die("asked") })
      assert.deepStrictEqual(yield* breaker.state(key), { _tag: "Closed", key })
      yield* circuit.reset
      yield* failTimes(breaker, 2)
      assert.strictEqual((yield* breaker.state(key))._tag, "Open")
    }))

  test("metrics only is Closed, and counts", () =>
    Effect.gen(function*() {
      const [breaker, circuit] = yield* operated
      yield* circuit.metricsOnly
      yield* failTimes(breaker, 5)
      assert.deepStrictEqual(yield* breaker.state(key), { _tag: "Closed", key })
      assert.strictEqual((yield* circuit.metrics).failedCalls, 5)
    }))

  test("makes no transitions of this breaker, but the calls after it may", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const breaker = yield* Scope.provide(EffectCircuitBreaker.make(twoInARow), scope)
      yield* succeed(breaker)
      const operator = yield* circuit()
      const seen = yield* watch(breaker)
      yield* operator.forceOpen({ duration: "5 seconds" })
      yield* TestClock.adjust("5 seconds")
      yield* succeed(breaker)
      yield* operator.forceOpen()
      yield* operator.forceClose
      yield* operator.reset
      yield* failTimes(breaker, 2)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual((yield* Fiber.join(seen)).map(describeTransition), [
        "Open -> HalfOpen",
        "HalfOpen -> Closed",
        "Closed -> Open (1)"
      ])
    }))

  test("of a whole registry by Layer turns circuits off", () =>
    Effect.gen(function*() {
      const breaker = yield* EffectCircuitBreaker.make(twoInARow)
      yield* failTimes(breaker, 5)
      assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
    }), CircuitBreakerRegistry.layerDisabled)

  test("of a whole registry by Layer rejects all calls", () =>
    Effect.gen(function*() {
      const breaker = yield* EffectCircuitBreaker.make(twoInARow)
      assert.strictEqual(yield* rejection(breaker), "CircuitOpen")
    }), CircuitBreakerRegistry.layerForcedOpen)
})

describe("where it differs from Effect's breaker", () => {
  /** The same program on Effect's breaker and on ours. */
  const both = <A, E>(
    program: (breaker: Breaker) => Effect.Effect<A, E>,
    options: Parameters<typeof CircuitBreaker.make>[0] = twoInARow,
    idleTimeToLive: Duration.Input = "1 hour"
  ) =>
    Effect.all({
      theirs: Effect.flatMap(CircuitBreaker.make(options), program).pipe(
        Effect.scoped,
        Effect.provide(CircuitBreaker.layerStoreMemory({ idleTimeToLive }))
      ),
      ours: Effect.flatMap(EffectCircuitBreaker.make(options), program).pipe(
        Effect.scoped,
        Effect.provide(CircuitBreakerRegistry.layer({ idleTimeToLive }))
      )
    })

  it.effect("time is monotonic: setting the machine's clock back does not lengthen an opening", () =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      let offset = 0
      const currentTimeMillisUnsafe = () => clock.currentTimeMillisUnsafe() + offset
      const skewed = {
        ...clock,
        currentTimeMillisUnsafe,
        currentTimeMillis: Effect.sync(currentTimeMillisUnsafe)
      }
      const { ours, theirs } = yield* both((breaker) =>
        Effect.gen(function*() {
          offset = 0
          yield* failTimes(breaker, 2)
          offset = -3_600_000
          yield* TestClock.adjust("10 seconds")
          return yield* Effect.exit(succeed(breaker))
        })
      ).pipe(Effect.provideService(Clock.Clock, skewed))
      assert.isTrue(Exit.isFailure(theirs))
      assert.isTrue(Exit.isSuccess(ours))
    }))

  it.effect("a backoff starts again when the circuit opens late enough, whenever its last call was admitted", () =>
    Effect.gen(function*() {
      const { ours, theirs } = yield* both((breaker) =>
        Effect.gen(function*() {
          yield* failTimes(breaker, 1)
          yield* TestClock.adjust("1 second")
          yield* succeed(breaker)
          const call = yield* hold(breaker, Effect.fail("boom"))
          yield* TestClock.adjust("1 second")
          yield* call.finish
          return yield* breaker.state(key)
        }), {
        tripPolicy: CircuitBreaker.consecutive(1),
        openDuration: Schedule.exponential("1 second")
      })
      assert.deepInclude(theirs, { consecutiveOpenings: 2, retryAfter: Duration.seconds(2) })
      assert.deepInclude(ours, { consecutiveOpenings: 1, retryAfter: Duration.seconds(1) })
    }))

  it.effect("a key is not idle while any call of it is in flight", () =>
    Effect.gen(function*() {
      const { ours, theirs } = yield* both(
        (breaker) =>
          Effect.gen(function*() {
            yield* failTimes(breaker, 1)
            const call = yield* hold(breaker, Effect.fail("boom"))
            yield* TestClock.adjust("1 minute")
            yield* call.finish
            return (yield* breaker.state(key))._tag
          }),
        twoInARow,
        "1 minute"
      )
      assert.strictEqual(theirs, "Closed")
      assert.strictEqual(ours, "Open")
    }))

  it.effect("a rejection carries no stack, and is otherwise the same value", () =>
    Effect.gen(function*() {
      const outcomes = yield* both(Effect.fnUntraced(function*(breaker) {
        yield* failTimes(breaker, 2)
        const open = yield* Effect.flip(succeed(breaker))
        yield* TestClock.adjust("10 seconds")
        yield* hold(breaker, Effect.void)
        return { open, halfOpen: yield* Effect.flip(succeed(breaker)) }
      }))
      const encode = Schema.encodeEffect(CircuitBreaker.CircuitBreakerError)
      for (const reason of ["open", "halfOpen"] as const) {
        const theirs = outcomes.theirs[reason]
        const ours = outcomes.ours[reason]
        assert.instanceOf(ours, CircuitBreaker.CircuitBreakerError)
        assert.instanceOf(ours, Error)
        assert.isTrue(Schema.is(CircuitBreaker.CircuitBreakerError)(ours))
        assert.strictEqual(ours[CircuitBreaker.ErrorTypeId], theirs[CircuitBreaker.ErrorTypeId])
        assert.strictEqual(ours.name, theirs.name)
        assert.strictEqual(ours.message, theirs.message)
        assert.strictEqual(ours.reason.message, theirs.reason.message)
        assert.strictEqual(String(ours), String(theirs))
        const encoded = yield* encode(ours)
        assert.deepStrictEqual(encoded, yield* encode(theirs))
        const decoded = yield* Schema.decodeEffect(CircuitBreaker.CircuitBreakerError)(encoded)
        assert.deepStrictEqual(decoded.reason._tag, ours.reason._tag)
        assert.deepStrictEqual(JSON.parse(JSON.stringify(ours)), JSON.parse(JSON.stringify(theirs)))
        assert.include(theirs.stack, "\n    at ")
        assert.notInclude(ours.stack, "\n    at ")
      }
    }))

  test("there is no store to fail: onStoreError changes nothing", () =>
    Effect.gen(function*() {
      for (const onStoreError of ["allow", "fail"] as const) {
        const breaker = yield* EffectCircuitBreaker.make({ ...twoInARow, onStoreError, prefix: onStoreError })
        yield* failTimes(breaker, 2)
        assert.strictEqual(yield* rejection(breaker), "CircuitOpen")
      }
    }))

  it("bad options are RangeErrors at construction", () => {
    const { consecutive, rate } = CircuitBreaker
    const openDuration = "1 second"
    const bad = (options: EffectCircuitBreaker.Options, message: string) => {
      assert.throws(() => EffectCircuitBreaker.make(options), RangeError, message)
      assert.throws(() => EffectCircuitBreaker.layer(options), RangeError, message)
    }
    bad({ tripPolicy: { _tag: "Consecutive", failures: 0 }, openDuration }, "consecutiveFailures")
    bad({ tripPolicy: { _tag: "Rate", threshold: 1.5, minimumCalls: 1, size: 1 }, openDuration }, "failureRate")
    bad({ tripPolicy: { _tag: "Rate", threshold: 1, minimumCalls: 2, size: 1 }, openDuration }, "minimumCalls")
    bad({ tripPolicy: { _tag: "Rate", threshold: 1, minimumCalls: 1, size: 0 }, openDuration }, "window.calls")
    bad({ tripPolicy: rate({ size: 1_000_001 }), openDuration }, "window.calls")
    bad({ tripPolicy: consecutive(1), openDuration: -1 }, "openDuration")
    bad({ tripPolicy: consecutive(1), openDuration: NaN }, "openDuration")
    bad({ tripPolicy: consecutive(1), openDuration, maxOpenDuration: -1 }, "maxOpenDuration")
  })
})

describe("interruption", () => {
  const states: Record<string, (breaker: Breaker) => Effect.Effect<unknown>> = {
    Closed: () => Effect.void,
    Open: (breaker) => failTimes(breaker, 2),
    HalfOpen: (breaker) => Effect.andThen(failTimes(breaker, 2), TestClock.adjust("10 seconds"))
  }
  for (const [state, reach] of Object.entries(states)) {
    test(`of a call to a circuit that is ${state} leaves none in flight, at any operation`, () =>
      Effect.gen(function*() {
        const breaker = yield* EffectCircuitBreaker.make(twoInARow)
        const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
        yield* reach(breaker)
        const call = Effect.yieldNow.pipe(
          breaker.execute({ key, classify: () => Effect.as(Effect.yieldNow, CircuitBreaker.success) })
        )
        const operations = yield* interruptEverywhere(
          call,
          Effect.fnUntraced(function*() {
            for (const status of yield* registry.statuses) {
              assert.deepInclude(status, { callsInFlight: 0, probesInFlight: 0 })
            }
            yield* registry.resetAll
            yield* reach(breaker)
          })
        )
        assert.isAtLeast(operations, 2)
      }))
  }
})

describe("the program of somebody else", () => {
  // It knows Effect's breaker only.
  const program = Effect.gen(function*() {
    const breaker = yield* CircuitBreaker.CircuitBreaker
    const client = HttpClient.make((request) =>
      Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 503 })))
    ).pipe(HttpClient.withCircuitBreaker({ breaker }))
    yield* client.get("https://api.example.com/")
    yield* client.get("https://api.example.com/")
    return yield* client.get("https://api.example.com/").pipe(
      Effect.map((response) => `answered ${response.status}`),
      Effect.catchReason("CircuitBreakerError", "CircuitOpen", (reason) => Effect.succeed(`open: ${reason.key}`))
    )
  })

  const layers = {
    "Effect's breaker": CircuitBreaker.layer(twoInARow).pipe(Layer.provide(CircuitBreaker.layerStoreMemory())),
    "our circuits": EffectCircuitBreaker.layer(twoInARow).pipe(Layer.provide(CircuitBreakerRegistry.layer())),
    "a policy of ours": EffectCircuitBreaker.layer({
      policy: CircuitPolicy.make({ failureRate: 1, minimumCalls: 2, window: { duration: "10 seconds" } })
    }).pipe(Layer.provide(CircuitBreakerRegistry.layer()))
  }
  for (const [name, layer] of Object.entries(layers)) {
    it.effect(`runs on ${name}`, () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* Effect.provide(program, layer), "open: https://api.example.com")
      }))
  }
})

describe("types", () => {
  it("are those of Effect's module", () => {
    expectTypeOf(EffectCircuitBreaker.layer(twoInARow)).toEqualTypeOf<
      Layer.Layer<CircuitBreaker.CircuitBreaker, never, CircuitBreakerRegistry.CircuitBreakerRegistry>
    >()
    expectTypeOf(EffectCircuitBreaker.make({ policy: CircuitPolicy.production })).toEqualTypeOf<
      Effect.Effect<
        CircuitBreaker.CircuitBreaker,
        never,
        CircuitBreakerRegistry.CircuitBreakerRegistry | Scope.Scope
      >
    >()
    expectTypeOf<Parameters<typeof CircuitBreaker.make>[0]>().toExtend<EffectCircuitBreaker.Options>()
    expectTypeOf<Outcome.Outcome>().toExtend<CircuitBreaker.Outcome>()

    class Judge extends Context.Service<Judge, CircuitBreaker.Outcome>()("test/types/Judge") {}
    class Db extends Context.Service<Db, number>()("test/types/Db") {}
    const use = (breaker: CircuitBreaker.CircuitBreaker) => {
      const call = Effect.andThen(Db, Effect.fail("boom" as const))
      expectTypeOf(call.pipe(breaker.execute({ key, classify: () => Judge }))).toEqualTypeOf<
        Effect.Effect<never, "boom" | CircuitBreaker.CircuitBreakerError, Db | Judge>
      >()
      expectTypeOf(breaker.execute(call, { key })).toEqualTypeOf<
        Effect.Effect<never, "boom" | CircuitBreaker.CircuitBreakerError, Db>
      >()
    }
    expectTypeOf(use).toBeFunction()
  })
})

const describeTransition = (transition: CircuitBreaker.Transition): string =>
  `${transition.from} -> ${transition.to}${transition.to === "Open" ? ` (${transition.consecutiveOpenings})` : ""}`
