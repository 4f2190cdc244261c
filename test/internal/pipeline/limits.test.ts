import { assert, describe, it } from "@effect/vitest"
import type * as Resilience from "effect-resilience/Resilience"
import * as Duration from "effect/Duration"
import { checkLimit, checkLimits } from "../../../src/internal/pipeline/limits.ts"

const check = (
  limits: Pick<Resilience.Options, "timeout" | "attemptTimeout">,
  ...steps: ReadonlyArray<Resilience.Step>
) => checkLimits({ name: "db", ...limits }, steps)

describe("a limit", () => {
  it("is a duration, or one with options; work is left behind unless that is refused", () => {
    const duration = Duration.seconds(5)
    assert.isUndefined(checkLimit("timeout", undefined))
    assert.deepStrictEqual(checkLimit("timeout", "5 seconds"), { duration, disconnect: true })
    assert.deepStrictEqual(checkLimit("timeout", { duration }), { duration, disconnect: true })
    assert.deepStrictEqual(checkLimit("timeout", { duration, disconnect: true }), { duration, disconnect: true })
    assert.deepStrictEqual(checkLimit("timeout", { duration, disconnect: false }), { duration, disconnect: false })
  })

  it("that is none is told where it is", () => {
    assert.throws(() => checkLimit("timeout", "soon" as never), /^Resilience\.make: timeout must be /)
    assert.throws(
      () => checkLimit("attemptTimeout", { duration: "soon" as never }),
      /^Resilience\.make: attemptTimeout\.duration must be /
    )
    assert.throws(
      () => checkLimit("timeout", { duration: "5 seconds", disconect: true } as never),
      "Resilience.make: timeout: \"disconect\" is no option; did you mean \"disconnect\"?"
    )
  })
})

describe("the time of an attempt", () => {
  const message = "Resilience.make: attemptTimeout must be below timeout (5s), got 5s"

  it("is below the total time around it", () => {
    const both = { timeout: "5 seconds", attemptTimeout: "5 seconds" } as const
    assert.throws(() => check(both, "timeout", "attemptTimeout"), message)
    assert.doesNotThrow(() => check({ ...both, attemptTimeout: "4999 millis" }, "timeout", "attemptTimeout"))
    assert.doesNotThrow(() => check(both, "attemptTimeout", "timeout"))
  })

  it("may be without end, as may the total", () => {
    for (const timeout of ["5 seconds", "Infinity"] as const) {
      assert.doesNotThrow(() => check({ timeout, attemptTimeout: "Infinity" }, "timeout", "attemptTimeout"))
    }
    assert.doesNotThrow(() => check({ timeout: "Infinity", attemptTimeout: "1 hour" }, "timeout", "attemptTimeout"))
  })
})

describe("the time after which an interrupted call counts as a timeout", () => {
  const both = { timeout: "10 seconds", attemptTimeout: "2 seconds" } as const
  const after = (...args: Parameters<typeof check>) => check(...args).interruptedAfter

  it("is nearly all of the shortest limit around the circuit", () => {
    assert.deepStrictEqual(after({ timeout: "10 seconds" }, "timeout", "circuitBreaker"), Duration.seconds(9))
    assert.deepStrictEqual(after(both, "timeout", "attemptTimeout", "circuitBreaker"), Duration.millis(1800))
  })

  it("is none if the circuit has a limit inside, none around, or is none", () => {
    assert.isUndefined(after(both, "timeout", "circuitBreaker", "attemptTimeout"))
    assert.isUndefined(after({ timeout: "10 seconds" }, "circuitBreaker", "timeout"))
    assert.isUndefined(after({}, "circuitBreaker"))
    assert.isUndefined(after(both, "timeout", "attemptTimeout"))
  })

  it("heeds no limit without end", () => {
    const inside = { timeout: "10 seconds", attemptTimeout: "Infinity" } as const
    assert.deepStrictEqual(after(inside, "timeout", "circuitBreaker", "attemptTimeout"), Duration.seconds(9))
    assert.isUndefined(after({ timeout: "Infinity" }, "timeout", "circuitBreaker"))
  })
})
