import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Tracer } from "effect"
import { CircuitBreakerRegistry, CircuitPolicy, Resilience, Retry, Tiers } from "effect-resilience"
import { TestClock } from "effect/testing"
import { attemptSpan } from "../../../src/internal/telemetry/spans.ts"

const registry = CircuitBreakerRegistry.layer({
  defaults: CircuitPolicy.make({ consecutiveFailures: 2, openDuration: "10 seconds" })
})

/** The spans of an effect in the order they began, as `parent > name {attributes}`. */
const traced = Effect.fnUntraced(function*<A, E, R>(self: Effect.Effect<A, E, R>) {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  yield* Effect.exit(Effect.withTracer(self, tracer))
  return spans.map(({ attributes, name, parent, status }) => {
    assert.strictEqual(status._tag, "Ended")
    const above = parent._tag === "Some" && parent.value._tag === "Span" ? `${parent.value.name} > ` : ""
    const { "resilience.attempt": attempt, "resilience.outcome": outcome } = Object.fromEntries(attributes)
    return `${above}${name}${attempt === undefined ? "" : ` ${attempt}`}: ${outcome}`
  })
})

const retry = Retry.make({ maxAttempts: 3, baseDelay: 0 })
const fail = Effect.fail("down")

describe("a pipeline", () => {
  it.effect("has a span for the call and one for each attempt", () =>
    Effect.gen(function*() {
      let calls = 0
      const call = Effect.suspend(() => ++calls < 2 ? fail : Effect.void)
      const pipeline = Resilience.make({ name: "api", retry, spans: true })

      assert.deepStrictEqual(yield* traced(pipeline.execute(call)), [
        "api: success",
        "api > api attempt 1: failure",
        "api > api attempt 2: success"
      ])
    }).pipe(Effect.provide(registry)))

  it.effect("shows what was rejected, timed out, died and was interrupted", () =>
    Effect.gen(function*() {
      const pipeline = Resilience.make({ name: "api", retry, attemptTimeout: "1 second", spans: true })

      assert.deepStrictEqual(yield* traced(pipeline.execute(fail)), [
        // Not rejected: two attempts were made.
        "api: failure",
        "api > api attempt 1: failure",
        "api > api attempt 2: failure",
        "api > api attempt 3: rejected"
      ])

      const free = Resilience.make({
        name: "free",
        retry: { maxAttempts: 1 },
        circuitBreaker: false,
        attemptTimeout: "1 second",
        spans: true
      })
      const slow = yield* Effect.forkChild(traced(free.execute(Effect.never)), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(slow.pollUnsafe(), Exit.succeed(["free: failure", "free > free attempt 1: timeout"]))

      assert.deepStrictEqual(yield* traced(free.execute(Effect.die("bug"))), [
        "free: defect",
        "free > free attempt 1: defect"
      ])
      assert.deepStrictEqual(yield* traced(free.execute(Effect.interrupt)), [
        "free: interrupted",
        "free > free attempt 1: interrupted"
      ])
    }).pipe(Effect.provide(registry)))

  it.effect("that never repeats has one span, and one without spans has none", () =>
    Effect.gen(function*() {
      const once = Resilience.make({ name: "once", spans: true })
      const dark = Resilience.make({ name: "dark", retry })

      assert.deepStrictEqual(yield* traced(once.execute(Effect.void)), ["once: success"])
      assert.deepStrictEqual(yield* traced(dark.execute(fail)), [])
    }).pipe(Effect.provide(registry)))

  it.effect("numbers attempts without a call as well, which are all of one", () =>
    Effect.gen(function*() {
      const attempt = attemptSpan(fail, "api")

      assert.deepStrictEqual(yield* traced(Effect.exit(attempt).pipe(Effect.andThen(attempt))), [
        "api attempt 1: failure",
        "api attempt 2: failure"
      ])
    }))

  it.effect("numbers the attempts of each call from one, also within another pipeline", () =>
    Effect.gen(function*() {
      const inner = Resilience.make({ name: "inner", retry, circuitBreaker: false, spans: true })
      const outer = Resilience.make({ name: "outer", retry, circuitBreaker: false, spans: true })
      let calls = 0
      const call = Effect.suspend(() => ++calls % 2 === 1 ? fail : Effect.void)

      const expected = [
        "outer: success",
        "outer > outer attempt 1: success",
        "outer attempt > inner: success",
        "inner > inner attempt 1: failure",
        "inner > inner attempt 2: success"
      ]
      const nested = outer.execute(inner.execute(call))
      assert.deepStrictEqual(yield* traced(nested), expected)
      assert.deepStrictEqual(yield* traced(nested), expected)
    }))
})

describe("a tiered call", () => {
  it.effect("has a span for the call and one for each tier", () =>
    Effect.gen(function*() {
      const get = Tiers.make("get", [
        Tiers.tier("mcp", fail),
        Tiers.tier("sdk", Effect.die("bug")),
        Tiers.tier("rest", Effect.succeed(1))
      ], { spans: true })
      yield* get

      assert.deepStrictEqual(yield* traced(get), [
        "get: success",
        "get > get mcp: failure",
        "get > get sdk: defect",
        "get > get rest: success"
      ])
      assert.deepStrictEqual(yield* traced(get), [
        "get: success",
        "get > get mcp: skipped",
        "get > get sdk: skipped",
        "get > get rest: success"
      ])
    }).pipe(Effect.provide(registry)))

  it.effect("has none without spans", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* traced(Tiers.make("get", [Tiers.tier("rest", Effect.succeed(1))])), [])
    }).pipe(Effect.provide(registry)))
})
