import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitBreakerRegistry, Outcome } from "effect-resilience"
import { Deferred, Effect, Fiber, Layer, Schedule, Stream } from "effect"
import { type Breaker, halfOpen, make, settle, state, touchy } from "../support/circuits.ts"

describe("withCircuitBreakerStream", () => {
  const guard = (breaker: Breaker) => CircuitBreaker.withCircuitBreakerStream(breaker)

  const outcomes = (breaker: Breaker) =>
    Effect.map(breaker.metrics, (metrics) => {
      assert.strictEqual(metrics.callsInFlight, 0)
      assert.isAtMost(metrics.successfulCalls + metrics.failedCalls + metrics.ignoredCalls, 1)
      return metrics.successfulCalls === 1
        ? "success"
        : metrics.failedCalls === 1
        ? "failure"
        : metrics.ignoredCalls === 1
        ? "ignored"
        : "nothing"
    })

  const elements = Stream.make(1, 2, 3)
  const unready: Stream.Stream<number> = Stream.fromPull(Effect.never)

  const cases: Record<string, readonly [(breaker: Breaker) => Effect.Effect<unknown, unknown>, string]> = {
    "a stream that ends is a success": [(breaker) => Stream.runCollect(guard(breaker)(elements)), "success"],
    "an empty stream is a success": [(breaker) => Stream.runCollect(guard(breaker)(Stream.empty)), "success"],
    "a stream that fails at once is a failure": [
      (breaker) => Stream.runCollect(guard(breaker)(Stream.fail("down"))),
      "failure"
    ],
    "a stream that fails before it can be pulled is a failure": [
      (breaker) => Stream.runCollect(guard(breaker)(Stream.fromPull(Effect.fail("down")))),
      "failure"
    ],
    "a stream that fails after elements is a failure": [
      (breaker) => Stream.runCollect(guard(breaker)(Stream.concat(elements, Stream.fail("down")))),
      "failure"
    ],
    "a stream that dies after elements is a failure": [
      (breaker) => Stream.runCollect(guard(breaker)(Stream.concat(elements, Stream.die("bug")))),
      "failure"
    ],
    "a stream whose consumer has enough is a success": [
      (breaker) => Stream.runCollect(guard(breaker)(Stream.concat(elements, Stream.never)).pipe(Stream.take(2))),
      "success"
    ],
    "a stream whose consumer fails after an element is a success": [
      (breaker) => Stream.runForEach(guard(breaker)(elements), () => Effect.fail("consumer")),
      "success"
    ],
    "a stream nobody pulls is not even admitted": [
      (breaker) => Stream.runCollect(guard(breaker)(elements).pipe(Stream.take(0))),
      "nothing"
    ],
    "a stream left for another's failure, without an element, is ignored": [
      (breaker) => Stream.runDrain(Stream.merge(guard(breaker)(Stream.never), Stream.fail("other"))),
      "ignored"
    ],
    "a stream whose consumer does not wait until it can be pulled, and goes on, is ignored": [
      (breaker) =>
        Effect.scoped(Effect.gen(function*() {
          const pull = yield* Stream.toPull(guard(breaker)(unready))
          const fiber = yield* Effect.forkChild(pull, { startImmediately: true })
          yield* Fiber.interrupt(fiber)
        })),
      "ignored"
    ],
    "a stream that interrupts itself is ignored": [
      (breaker) => Stream.runDrain(guard(breaker)(Stream.concat(elements, Stream.fromEffect(Effect.interrupt)))),
      "ignored"
    ]
  }
  for (const [name, [run, expected]] of Object.entries(cases)) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const breaker = yield* make()
        yield* Effect.exit(run(breaker))
        assert.strictEqual(yield* outcomes(breaker), expected)
      }))
  }

  for (
    const [name, stream] of Object.entries({
      "before its first element": Stream.never,
      "after elements": Stream.concat(elements, Stream.never)
    })
  ) {
    it.effect(`a stream that is interrupted ${name} is ignored`, () =>
      Effect.gen(function*() {
        const breaker = yield* make()
        const fiber = yield* Effect.forkChild(Stream.runDrain(guard(breaker)(stream)), { startImmediately: true })
        yield* settle
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(yield* outcomes(breaker), "ignored")
      }))
  }

  it.effect("a stream that is interrupted while its consumer works is ignored", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const fiber = yield* Effect.forkChild(Stream.runForEach(guard(breaker)(elements), () => Effect.never), {
        startImmediately: true
      })
      yield* settle
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* outcomes(breaker), "ignored")
    }))

  it.effect("emits what the stream emits, in the same chunks, and hands its error on", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const stream = Stream.range(1, 10).pipe(Stream.rechunk(4))
      const sizes = yield* guard(breaker)(stream).pipe(
        Stream.chunks,
        Stream.map((chunk) => chunk.length),
        Stream.runCollect
      )
      assert.deepStrictEqual(sizes, [4, 4, 2])
      assert.strictEqual(yield* Effect.flip(Stream.runDrain(guard(breaker)(Stream.fail("down")))), "down")
    }))

  it.effect("is rejected by an open circuit before it starts", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* breaker.forceOpen()
      let started = false
      const stream = Stream.suspend(() => {
        started = true
        return elements
      })
      const error = yield* Effect.flip(Stream.runDrain(guard(breaker)(stream)))
      assert.strictEqual(error._tag, "CircuitOpenError")
      assert.isFalse(started)
    }))

  it.effect("is judged when it ends, not when the program around it does", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const seen: Array<string> = []
      const look = Stream.fromEffect(Effect.map(breaker.state, (state) => seen.push(state)))
      yield* guard(breaker)(Stream.concat(elements, Stream.fail("down"))).pipe(
        Stream.catch(() => look),
        Stream.runDrain
      )
      yield* breaker.reset
      yield* Stream.runDrain(Stream.concat(
        guard(breaker)(elements),
        Stream.fromEffect(
          Effect.map(breaker.metrics, (metrics) => seen.push(`${metrics.successfulCalls} of ${metrics.totalCalls}`))
        )
      ))

      assert.deepStrictEqual(seen, ["Open", "1 of 1"])
    }))

  it.effect("is judged by its own end, not by that of the scope it is pulled in", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const pull = yield* Stream.toPull(guard(breaker)(Stream.concat(elements, Stream.fail("down"))))
      yield* pull
      assert.strictEqual((yield* breaker.metrics).callsInFlight, 1)
      assert.strictEqual(yield* Effect.flip(pull), "down")
      yield* state(breaker, "Open")
      assert.deepInclude(yield* breaker.metrics, { failedCalls: 1, callsInFlight: 0 })
    }))

  it.effect("a probe holds its slot until its stream delivers", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* halfOpen(breaker)
      const gate = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        Stream.runDrain(guard(breaker)(Stream.concat(Stream.fromEffectDrain(Deferred.await(gate)), elements))),
        { startImmediately: true }
      )
      yield* settle
      assert.strictEqual((yield* breaker.metrics).probesInFlight, 1)
      yield* state(breaker, "HalfOpen")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(fiber)
      yield* state(breaker, "Closed")
    }))

  it.effect("each run of a stream is a call", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const stream = guard(breaker)(elements)
      yield* Stream.runDrain(stream)
      yield* Stream.runDrain(stream)
      assert.strictEqual((yield* breaker.metrics).successfulCalls, 2)
    }))

  it.effect("retries start a new call each", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ consecutiveFailures: 10 })
      let runs = 0
      const stream = Stream.suspend(() => ++runs < 3 ? Stream.fail("down") : elements)
      yield* guard(breaker)(stream).pipe(Stream.retry(Schedule.recurs(5)), Stream.runDrain)
      assert.deepInclude(yield* breaker.metrics, { failedCalls: 2, successfulCalls: 1, callsInFlight: 0 })
    }))

  it.effect("is judged by the policy's classifier if it fails", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ classify: Outcome.ignoreIf((error) => error === "mine") })
      yield* Effect.exit(Stream.runDrain(guard(breaker)(Stream.fail("mine"))))
      assert.strictEqual(yield* outcomes(breaker), "ignored")
    }))

  it.effect("works by name and by class, data-first and data-last", () =>
    Effect.gen(function*() {
      class Feed extends CircuitBreaker.Service<Feed>()("feed") {}
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      yield* Stream.runDrain(CircuitBreaker.withCircuitBreakerStream(elements, "feed"))
      yield* Stream.runDrain(elements.pipe(CircuitBreaker.withCircuitBreakerStream("feed")))
      yield* Effect.gen(function*() {
        yield* Stream.runDrain(elements.pipe(CircuitBreaker.withCircuitBreakerStream(Feed)))
        yield* Stream.runDrain(CircuitBreaker.withCircuitBreakerStream(elements, Feed))
        assert.strictEqual((yield* (yield* Feed).metrics).successfulCalls, 4)
      }).pipe(Effect.provide(Feed.layerRegistered.pipe(Layer.provide(
        Layer.succeed(CircuitBreakerRegistry.CircuitBreakerRegistry, registry)
      ))))
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))

  it("refuses what is no circuit by its value, also where the stream comes first", () => {
    const target: string = undefined as never
    assert.throws(
      () => CircuitBreaker.withCircuitBreakerStream(elements, target),
      RangeError,
      "CircuitBreaker.withCircuitBreakerStream: target must be a circuit, the name or the class of one, got undefined"
    )
  })
})
