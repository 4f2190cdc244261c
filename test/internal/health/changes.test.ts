import { assert, describe, it } from "@effect/vitest"
import type { HealthReport } from "effect-resilience"
import { DateTime } from "effect"
import { allHealthy, changesSince } from "../../../src/internal/health/changes.ts"
import { healthOf, reportOf } from "../../../src/internal/health/report.ts"

const at = DateTime.makeUnsafe(1_000)

const slow: HealthReport.Reason = { code: "Reported", status: "degraded", message: "slow" }
const down: HealthReport.Reason = { code: "CheckFailed", status: "unhealthy", message: "down" }
const notChecked: HealthReport.Reason = { code: "NotChecked", status: "degraded", message: "not yet" }

const check = (name: string, reasons: ReadonlyArray<HealthReport.Reason>) => healthOf({ name, reasons, critical: true })

describe("the changes since the last report", () => {
  const told = (...checks: ReadonlyArray<HealthReport.CheckHealth>) => changesSince(allHealthy, reportOf(checks, at))

  it("are none while all is healthy or has not been checked", () => {
    assert.deepStrictEqual(told(check("a", []), check("b", [notChecked])), { changes: [], known: allHealthy })
  })

  it("name the check and the whole program, with their reasons", () => {
    assert.deepStrictEqual(told(check("a", [notChecked, slow]), check("b", [])).changes, [
      { subject: "check", name: "a", from: "healthy", to: "degraded", reasons: ["slow"], timestamp: 1_000 },
      { subject: "system", name: "system", from: "healthy", to: "degraded", reasons: ["a: slow"], timestamp: 1_000 }
    ])
  })

  it("are told once, until the status changes again", () => {
    const { known } = told(check("a", [down]))
    assert.deepStrictEqual(changesSince(known, reportOf([check("a", [down])], at)), { changes: [], known })

    const { changes, known: later } = changesSince(known, reportOf([check("a", [])], at))
    assert.deepStrictEqual(changes.map(({ from, reasons, subject, to }) => [subject, from, to, reasons]), [
      ["check", "unhealthy", "healthy", []],
      ["system", "unhealthy", "healthy", []]
    ])
    assert.deepStrictEqual(later, allHealthy)
  })

  it("tell nothing of a check that is gone, but of the program without it", () => {
    const { known } = told(check("a", [down]))
    const { changes } = changesSince(known, reportOf([], at))
    assert.deepStrictEqual(changes.map(({ name, to }) => [name, to]), [["system", "healthy"]])
  })

  it("tell of one that comes back as of a new one", () => {
    const { known } = told(check("a", [down]))
    const { known: gone } = changesSince(known, reportOf([], at))
    const { changes } = changesSince(gone, reportOf([check("a", [slow])], at))
    assert.deepStrictEqual(changes[0], {
      subject: "check",
      name: "a",
      from: "healthy",
      to: "degraded",
      reasons: ["slow"],
      timestamp: 1_000
    })
  })
})
