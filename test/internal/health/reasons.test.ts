import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Exit } from "effect"
import { ResilienceError } from "effect-resilience"
import { hanging, ofExit } from "../../../src/internal/health/reasons.ts"

const shown = (exit: Exit.Exit<unknown, unknown>) =>
  ofExit(exit).map(({ code, message, status }) => `${code}, ${status}: ${message}`)

describe("the reasons of a check", () => {
  it("are none if it returned nothing, true or healthy", () => {
    for (const answer of [undefined, true, { status: "healthy" }]) {
      assert.deepStrictEqual(ofExit(Exit.succeed(answer)), [])
    }
  })

  it("are what it reported", () => {
    assert.deepStrictEqual(shown(Exit.succeed({ status: "degraded", reason: "slow" })), ["Reported, degraded: slow"])
    assert.deepStrictEqual(shown(Exit.succeed({ status: "unhealthy" })), [
      "Reported, unhealthy: the check answered unhealthy"
    ])
    assert.deepStrictEqual(shown(Exit.succeed(false)), ["CheckFailed, unhealthy: the check answered false"])
  })

  it("name a result that is none", () => {
    for (const answer of [0, "up", { status: "fine" }, null]) {
      assert.match(
        shown(Exit.succeed(answer))[0]!,
        /^CheckFailed, unhealthy: the check answered .*; accepted is true, /
      )
    }
    const unreadable = new Proxy({}, {
      has: () => {
        throw new Error("no")
      }
    })
    assert.deepStrictEqual(shown(Exit.succeed(unreadable)), [
      "CheckFailed, unhealthy: the check ended with something that cannot be shown"
    ])
  })

  it("tell a failure, a defect, a timeout and an interruption apart", () => {
    const timeout = new ResilienceError.CallTimeoutError({
      operation: "check",
      timeout: Duration.seconds(5),
      kind: "attempt"
    } as never)
    assert.deepStrictEqual(shown(Exit.fail("down")), ["CheckFailed, unhealthy: down"])
    assert.deepStrictEqual(shown(Exit.die("bug")), ["CheckFailed, unhealthy: defect: bug"])
    assert.deepStrictEqual(shown(Exit.failCause(Cause.combine(Cause.die("bug"), Cause.fail("down")))), [
      "CheckFailed, unhealthy: down"
    ])
    assert.deepStrictEqual(shown(Exit.interrupt()), ["CheckFailed, unhealthy: the check was interrupted"])
    assert.match(shown(Exit.fail(timeout))[0]!, /^CheckTimedOut, unhealthy: /)
    assert.match(shown(Exit.fail({ _tag: "CallTimeoutError", message: "not one" }))[0]!, /^CheckFailed, /)
    const foreign = Object.assign(new Error("not one"), { _tag: "CallTimeoutError" })
    assert.match(shown(Exit.fail(foreign))[0]!, /^CheckFailed, .*not one/)
  })
})

it("a run that hangs tells since when", () => {
  assert.deepStrictEqual(hanging(Duration.seconds(90)), {
    code: "CheckHanging",
    status: "unhealthy",
    message: "a run that timed out has not ended, it began 1m 30s ago"
  })
})
