import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Schema } from "effect"
import { CircuitBreaker, CircuitBreakerRegistry, HealthMonitor, HealthReport } from "effect-resilience"

const check = (name: string, status: HealthReport.Status, critical = true): HealthReport.CheckHealth => ({
  name,
  status,
  critical,
  reasons: status === "healthy" ? [] : [{ code: "Reported", status, message: status }]
})

const report: HealthReport.HealthReport = {
  status: "unhealthy",
  allHealthy: false,
  timestamp: DateTime.makeUnsafe(0),
  checks: [
    check("a", "healthy"),
    check("b", "degraded"),
    check("c", "unhealthy"),
    check("d", "unhealthy", false)
  ]
}

describe("a report", () => {
  it("has its checks and its reasons worst first", () => {
    assert.deepStrictEqual(HealthReport.worstFirst(report).map(({ name }) => name), ["c", "d", "b", "a"])
    assert.deepStrictEqual(HealthReport.reasons(report), ["c: unhealthy", "b: degraded", "d: unhealthy"])
  })

  it("is valid without errors", () => {
    assert.deepStrictEqual(HealthReport.toValidationResult(report), {
      valid: false,
      errors: ["c: unhealthy"],
      warnings: ["b: degraded", "d: unhealthy"]
    })
    assert.deepStrictEqual(HealthReport.toValidationResult({ ...report, checks: [check("b", "degraded")] }), {
      valid: true,
      errors: [],
      warnings: ["b: degraded"]
    })
  })

  it.effect("survives encoding and decoding, circuits and probes included", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "payment-api" })
      yield* Effect.ignore(breaker.execute(Effect.fail("down")))
      const monitor = yield* HealthMonitor.make({
        checks: { database: Effect.fail("connection refused"), payments: { circuit: breaker } }
      })
      const made = yield* monitor.checkAll
      const sent = JSON.stringify(yield* Schema.encodeEffect(HealthReport.HealthReport)(made))
      const received = yield* Schema.decodeUnknownEffect(HealthReport.HealthReport)(JSON.parse(sent))
      assert.deepStrictEqual(HealthReport.toJson(received), HealthReport.toJson(made))
    }).pipe(Effect.scoped, Effect.provide(CircuitBreakerRegistry.layer())))
})

it("the verdict of a check that is not critical is its own", () => {
  assert.deepStrictEqual(HealthReport.toValidationResult(check("d", "unhealthy", false)), {
    valid: false,
    errors: ["unhealthy"],
    warnings: []
  })
})
