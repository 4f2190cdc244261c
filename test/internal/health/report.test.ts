import { assert, describe, it } from "@effect/vitest"
import type { HealthReport } from "effect-resilience"
import { DateTime } from "effect"
import {
  healthOf,
  messagesOf,
  reasonsOf,
  reportOf,
  split,
  statusOf,
  worst,
  worstFirst
} from "../../../src/internal/health/report.ts"

const at = DateTime.makeUnsafe(1_000)

const slow: HealthReport.Reason = { code: "Reported", status: "degraded", message: "slow" }
const down: HealthReport.Reason = { code: "CheckFailed", status: "unhealthy", message: "down" }

const check = (name: string, reasons: ReadonlyArray<HealthReport.Reason>, critical = true) =>
  healthOf({ name, reasons, critical })

describe("a status", () => {
  it("is the worst of several, healthy of none", () => {
    assert.strictEqual(worst([]), "healthy")
    assert.strictEqual(worst(["healthy", "healthy"]), "healthy")
    assert.strictEqual(worst(["healthy", "degraded", "healthy"]), "degraded")
    assert.strictEqual(worst(["unhealthy", "degraded"]), "unhealthy")
    assert.strictEqual(worst(["degraded", "unhealthy"]), "unhealthy")
  })

  it("of a check is that of its worst reason", () => {
    assert.strictEqual(check("a", []).status, "healthy")
    assert.strictEqual(check("a", [slow]).status, "degraded")
    assert.strictEqual(check("a", [slow, down]).status, "unhealthy")
  })

  it("of all checks is degraded at most by one that is not critical", () => {
    assert.strictEqual(statusOf([]), "healthy")
    assert.strictEqual(statusOf([check("a", []), check("b", [down], false)]), "degraded")
    assert.strictEqual(statusOf([check("a", [slow], false)]), "degraded")
    assert.strictEqual(statusOf([check("a", [], false)]), "healthy")
    assert.strictEqual(statusOf([check("a", [down]), check("b", [down], false)]), "unhealthy")
  })
})

it("a report is all healthy only without any reason", () => {
  const well = reportOf([check("a", []), check("b", [])], at)
  assert.deepStrictEqual([well.status, well.allHealthy, well.timestamp], ["healthy", true, at])
  const ill = reportOf([check("a", []), check("b", [down], false)], at)
  assert.deepStrictEqual([ill.status, ill.allHealthy], ["degraded", false])
})

it("the worst checks come first, those of one status in their order", () => {
  const checks = [check("a", []), check("b", [slow]), check("c", [down]), check("d", [slow]), check("e", [down], false)]
  assert.deepStrictEqual(worstFirst(checks).map(({ name }) => name), ["c", "e", "b", "d", "a"])
  assert.deepStrictEqual(checks.map(({ name }) => name), ["a", "b", "c", "d", "e"])
})

describe("the messages of reasons", () => {
  it("are errors if they are unhealthy, else warnings", () => {
    assert.deepStrictEqual(split([slow, down]), { errors: ["down"], warnings: ["slow"] })
  })

  it("of a check that is not critical are warnings", () => {
    const checks = [check("a", [slow, down]), check("b", [down], false), check("c", [down])]
    assert.deepStrictEqual(messagesOf(checks), {
      errors: ["a: down", "c: down"],
      warnings: ["a: slow", "b: down"]
    })
    assert.deepStrictEqual(reasonsOf(checks), ["a: down", "c: down", "a: slow", "b: down"])
  })
})
