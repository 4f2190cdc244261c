import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Logger, References, Scope } from "effect"
import { CircuitBreaker, CircuitBreakerRegistry, CircuitLog, CircuitPolicy } from "effect-resilience"
import { TestClock } from "effect/testing"
import { settle } from "./support/circuits.ts"

const { CircuitBreakerRegistry: Registry } = CircuitBreakerRegistry

interface Line {
  readonly level: string
  readonly message: unknown
  readonly fields: Record<string, unknown>
}

const policy = CircuitPolicy.make({ consecutiveFailures: 2, openDuration: "10 seconds", successThreshold: 1 })

/** Runs a test with logged circuits, and gives it the lines. */
const logged = <A, E, R>(
  test: (lines: Array<Line>) => Effect.Effect<A, E, R>,
  options?: CircuitLog.Options
): Effect.Effect<A, E, Exclude<R, CircuitBreakerRegistry.CircuitBreakerRegistry>> => {
  const lines: Array<Line> = []
  const logger = Logger.make(({ fiber, logLevel, message }) => {
    const fields = { ...fiber.getRef(References.CurrentLogAnnotations) }
    lines.push({ level: logLevel, message: (message as ReadonlyArray<unknown>)[0], fields })
  })
  return Effect.suspend(() => test(lines)).pipe(
    Effect.provide(
      CircuitLog.layer(options).pipe(
        Layer.provideMerge(CircuitBreakerRegistry.layer({ defaults: policy })),
        Layer.provideMerge(Logger.layer([logger])),
        Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "All"))
      )
    )
  ) as Effect.Effect<A, E, Exclude<R, CircuitBreakerRegistry.CircuitBreakerRegistry>>
}

const fail = Effect.exit(CircuitBreaker.withCircuitBreaker(Effect.fail("down"), "db"))
const succeed = Effect.exit(CircuitBreaker.withCircuitBreaker(Effect.void, "db"))
const circuit = Effect.flatMap(Registry, (registry) => registry.getOrCreate("db"))

describe("CircuitLog", () => {
  // migration: failure_count | log state changes | circuit_opened | logging pipeline (structlog
  it.effect("tells of an outage from opening to recovery, with the facts", () =>
    logged((lines) =>
      Effect.gen(function*() {
        yield* succeed
        yield* TestClock.adjust("3 seconds")
        yield* fail
        yield* fail
        yield* TestClock.adjust("10 seconds")
        yield* succeed
        yield* settle

        assert.deepStrictEqual(lines.map(({ level, message }) => [level, message]), [
          ["Warn", "circuit_opened"],
          ["Info", "circuit_half_opened"],
          ["Info", "circuit_closed"]
        ])
        assert.deepStrictEqual(lines[0]!.fields, {
          circuit_breaker: "db",
          state: "open",
          old_state: "closed",
          reason: "ConsecutiveFailures",
          failure_count: 2,
          threshold: 2,
          error_rate: 2 / 3,
          slow_call_rate: 0,
          requests_in_window: 3,
          last_error: "down",
          recovery_timeout: 10,
          elapsed_seconds: 3
        })
        assert.deepInclude(lines[1]!.fields, { state: "half_open", old_state: "open", elapsed_seconds: 10 })
        assert.notProperty(lines[1]!.fields, "recovery_timeout")
        assert.deepInclude(lines[2]!.fields, { state: "closed", old_state: "half_open", reason: "ProbesSucceeded" })
      })
    ))

  it.effect("tells of a closing the counts it closed with, and not those it opened with", () =>
    logged((lines) =>
      Effect.gen(function*() {
        const breaker = yield* circuit
        const halfOpenSample = { calls: 4, failureRate: 0.5 }
        yield* breaker.reconfigure(CircuitPolicy.make({ ...policy, halfOpenSample, halfOpenMaxCalls: 4 }))
        yield* fail
        yield* fail
        yield* TestClock.adjust("10 seconds")
        yield* Effect.all([succeed, fail, succeed, succeed])
        yield* settle

        assert.deepStrictEqual(lines.at(-1)!.message, "circuit_closed")
        assert.deepStrictEqual(lines.at(-1)!.fields, {
          circuit_breaker: "db",
          state: "closed",
          old_state: "half_open",
          reason: "ProbesSucceeded",
          probe_successes: 3,
          probe_failures: 1,
          error_rate: 0.25,
          elapsed_seconds: 0
        })
      })
    ))

  it.effect("tells of a closing after a ramp the counts of the ramp", () =>
    logged((lines) =>
      Effect.gen(function*() {
        const breaker = yield* circuit
        yield* breaker.reconfigure(CircuitPolicy.make({ ...policy, recovery: { duration: "10 seconds", initial: 1 } }))
        yield* fail
        yield* fail
        yield* TestClock.adjust("10 seconds")
        yield* succeed
        yield* Effect.all([succeed, succeed, succeed, fail])
        yield* TestClock.adjust("10 seconds")
        yield* succeed
        yield* settle

        assert.deepStrictEqual(lines.at(-1)!.message, "circuit_closed")
        assert.deepInclude(lines.at(-1)!.fields, { failure_count: 1, error_rate: 0.25, requests_in_window: 4 })
        assert.notProperty(lines.at(-1)!.fields, "probe_successes")
      })
    ))

  it.effect("tells of what operators do, with their note, and of other policies", () =>
    logged((lines) =>
      Effect.gen(function*() {
        const breaker = yield* circuit
        yield* CircuitBreaker.withNote(breaker.forceOpen(), "maintenance")
        yield* breaker.reconfigure(CircuitPolicy.make({ ...policy, consecutiveFailures: 7, successThreshold: 2 }))
        yield* breaker.forceClose
        yield* settle

        assert.deepStrictEqual(lines.map(({ level, message }) => `${level} ${message}`), [
          "Info circuit_changed",
          "Info circuit_reconfigured",
          "Info circuit_changed"
        ])
        assert.deepInclude(lines[0]!.fields, { state: "forced_open", note: "maintenance", reason: "Manual" })
        assert.notProperty(lines[0]!.fields, "recovery_timeout")
        assert.deepStrictEqual(lines[1]!.fields, {
          circuit_breaker: "db",
          changed: "consecutiveFailures, successThreshold"
        })
      })
    ))

  it.effect("tells of ignored calls beside those that failed", () =>
    logged((lines) =>
      Effect.gen(function*() {
        yield* Effect.exit(CircuitBreaker.withCircuitBreaker(Effect.interrupt, "db"))
        yield* settle
        assert.deepStrictEqual(lines, [{
          level: "Debug",
          message: "call_ignored",
          fields: { circuit_breaker: "db", state: "closed", failure_count: 0, threshold: 2 }
        }])
      }), { calls: true }))

  it.effect("tells of an opening at the level that it is given, and of all else as ever", () =>
    logged((lines) =>
      Effect.gen(function*() {
        yield* fail
        yield* fail
        yield* TestClock.adjust("10 seconds")
        yield* succeed
        yield* settle
        assert.deepStrictEqual(lines.map(({ level, message }) => [level, message]), [
          ["Error", "circuit_opened"],
          ["Info", "circuit_half_opened"],
          ["Info", "circuit_closed"]
        ])
      }), { openedLevel: "Error" }))

  it("refuses a level that there is not, when it is made", () => {
    assert.throws(
      () => CircuitLog.layer({ openedLevel: "Loud" as "Error" }),
      "CircuitLog.layer: openedLevel must be one of Fatal, Error, Warn, Info, Debug, Trace, got \"Loud\""
    )
  })

  // migration: debug logging of a module | circuit_opened
  it.effect("tells of failed calls if asked to, and else leaves calls alone", () =>
    Effect.gen(function*() {
      const asked = logged((lines) =>
        Effect.gen(function*() {
          yield* fail
          yield* succeed
          yield* settle
          return lines
        }), { calls: true })
      assert.deepStrictEqual(yield* asked, [{
        level: "Debug",
        message: "call_failed",
        fields: { circuit_breaker: "db", state: "closed", failure_count: 1, threshold: 2, last_error: "down" }
      }])

      yield* logged((lines) =>
        Effect.gen(function*() {
          yield* fail
          yield* (yield* circuit).disable
          yield* settle
          assert.lengthOf(lines, 1)
          const first = yield* Effect.scoped(Effect.gen(function*() {
            const seen: Array<number> = []
            yield* (yield* circuit).on("StateChanged", ({ sequence }) => Effect.sync(() => seen.push(sequence)))
            yield* (yield* circuit).forceClose
            yield* settle
            return seen
          }))
          // The failed call made no event.
          assert.deepStrictEqual(first, [2])
        })
      )
    }))

  it.effect("sums up a circuit that flaps, and leaves the others their lines", () =>
    logged((lines) =>
      Effect.gen(function*() {
        const breaker = yield* circuit
        const other = yield* (yield* Registry).getOrCreate("other")
        for (let i = 0; i < 10; i++) yield* i % 2 === 0 ? breaker.disable : breaker.metricsOnly
        yield* other.disable
        yield* settle
        assert.deepStrictEqual(lines.map(({ fields }) => fields["circuit_breaker"]), ["db", "db", "db", "other"])

        yield* TestClock.adjust("30 seconds")
        assert.deepStrictEqual(lines.slice(4), [
          { level: "Warn", message: "circuit_flapping", fields: { circuit_breaker: "db", suppressed: 7 } }
        ])

        yield* breaker.forceClose
        yield* settle
        assert.strictEqual(lines.at(-1)!.message, "circuit_changed")
        yield* TestClock.adjust("1 hour")
        assert.lengthOf(lines, 6)
      }), { maxLines: 3, window: "30 seconds" }))

  it.effect("keeps to its lines in the window that a change at the very end of the one before has begun", () =>
    logged((lines) =>
      Effect.gen(function*() {
        const breaker = yield* circuit
        // Registered before the window begins, so that it comes before the end of that.
        yield* Effect.forkChild(Effect.andThen(Effect.sleep("30 seconds"), breaker.disable), { startImmediately: true })
        yield* breaker.forceOpen()
        yield* settle
        yield* TestClock.adjust("30 seconds")
        yield* settle
        assert.strictEqual(lines.length, 2)
        yield* breaker.reset
        yield* settle
        assert.strictEqual(lines.length, 2)
        yield* TestClock.adjust("30 seconds")
        assert.deepStrictEqual(lines.slice(2).map(({ fields, message }) => [message, fields["suppressed"]]), [
          ["circuit_flapping", 1]
        ])
      }), { maxLines: 1, window: "30 seconds" }))

  it.effect("does not tell of what was before it, nor after its scope has closed", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.make({ defaults: policy })
      const breaker = yield* registry.getOrCreate("db")
      yield* breaker.disable
      const lines: Array<unknown> = []
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(
        CircuitLog.layer().pipe(
          Layer.provide(Layer.succeed(Registry, registry)),
          Layer.provide(Logger.layer([Logger.make(({ message }) => lines.push(message))]))
        ),
        scope
      )
      yield* settle
      assert.isEmpty(lines)
      yield* breaker.forceClose
      yield* settle
      assert.lengthOf(lines, 1)

      yield* Scope.close(scope, Exit.void)
      yield* breaker.disable
      yield* settle
      assert.lengthOf(lines, 1)
    }))

  it.effect("tells of a circuit that is forgotten at once, though not of its threshold", () =>
    logged((lines) =>
      Effect.gen(function*() {
        yield* fail
        yield* fail
        yield* (yield* Registry).remove("db")
        yield* settle

        const [opened, ...others] = lines
        assert.deepStrictEqual([opened?.message, others], ["circuit_opened", []])
        assert.strictEqual(opened?.fields["failure_count"], 2)
        assert.notProperty(opened?.fields, "threshold")
      })
    ))

  it.effect("is silent where it is told to be", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const breaker = yield* Effect.gen(function*() {
        const breaker = yield* circuit
        yield* breaker.disable
        yield* settle
        return breaker
      }).pipe(
        Effect.provide(
          CircuitLog.layer({ calls: true }).pipe(
            Layer.provideMerge(CircuitBreakerRegistry.layer()),
            Layer.provide(CircuitLog.layerSilent),
            Layer.provideMerge(Logger.layer([Logger.make(({ message }) => lines.push(message))]))
          )
        )
      )
      assert.strictEqual(yield* breaker.state, "Disabled")
      assert.isEmpty(lines)
    }))

  it("refuses limits that are none", () => {
    assert.throws(() => CircuitLog.layer({ maxLines: 0 }), RangeError, "CircuitLog.layer: maxLines")
    assert.throws(() => CircuitLog.layer({ window: 0 }), RangeError, "CircuitLog.layer: window")
  })
})
