import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Scheduler } from "effect"
import { CircuitBreaker, CircuitPolicy } from "effect-resilience"
import { Attempts, TestCircuit } from "effect-resilience/testing"

/** The first frame of a stack, as file and line. */
const firstFrame = (stack: string | undefined) => /at .*?([^/\\(]+):(\d+):\d+/.exec(stack ?? "")?.slice(1).join(":")

/** The line after the one on which this is called. */
const nextLine = () => {
  const here: { readonly stack?: string } = {}
  Error.captureStackTrace(here, nextLine)
  const [file, line] = firstFrame(here.stack)!.split(":")
  return `${file}:${Number(line) + 1}`
}

const dies = (at: string, effect: Effect.Effect<unknown>) =>
  Effect.gen(function*() {
    // Run elsewhere, as a helper in a pipe is.
    const exit = yield* Fiber.await(yield* Effect.forkChild(Effect.andThen(Effect.yieldNow, effect)))
    const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : assert.fail("did not die")
    assert.instanceOf(defect, Error)
    assert.strictEqual(firstFrame(defect.stack), at)
    assert.include(defect.stack, `${defect.name}: ${defect.message}\n`)
  })

describe("what a helper of a test dies of points to the line of the test that called it", () => {
  it.effect("Attempts", () =>
    Effect.gen(function*() {
      const scripted = nextLine()
      const payments = yield* Attempts.script([Effect.succeed("charged")])
      yield* payments.call
      const outcomes = nextLine()
      const expectOutcomes = payments.expectOutcomes(["failure"])
      yield* dies(outcomes, expectOutcomes)
      const at = nextLine()
      const expectAt = payments.expectAt([])
      yield* dies(at, expectAt)
      yield* dies(scripted, payments.call)
    }))

  it.effect("TestCircuit, of states", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "payment-api" })
      yield* breaker.disable
      const lines = [nextLine()]
      const open = TestCircuit.open(breaker)
      lines.push(nextLine())
      const advance = TestCircuit.advanceToHalfOpen(breaker)
      lines.push(nextLine())
      const halfOpen = TestCircuit.halfOpen(breaker)
      lines.push(nextLine())
      const close = TestCircuit.close(breaker)
      for (const [i, helper] of [open, advance, halfOpen, close].entries()) yield* dies(lines[i]!, helper)
    }))

  it.effect("TestCircuit, of transitions", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        name: "payment-api",
        policy: CircuitPolicy.make({ consecutiveFailures: 1 })
      })
      const recorded = nextLine()
      const transitions = yield* TestCircuit.recordTransitions(breaker)
      const line = nextLine()
      const expect = transitions.expect(["Closed -> Open"])
      yield* dies(line, expect)
      const ofOne = nextLine()
      const expectOfOne = transitions.of("payment-api").expect(["Closed -> Open"])
      yield* dies(ofOne, expectOfOne)

      const calls = Array.from({ length: 3_000 }, () => breaker.execute(Effect.void))
      yield* Effect.provideService(Effect.all(calls), Scheduler.MaxOpsBeforeYield, 1_000_000)
      yield* dies(recorded, transitions.all)
    }))
})
