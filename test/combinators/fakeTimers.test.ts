import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { CircuitBreaker, CircuitPolicy, Retry, Timeout } from "effect-resilience"
import { afterEach, beforeEach, vi } from "vitest"

// Fake timers of vitest, which are those of jest and sinon: @sinonjs/fake-timers.
const configs = [
  ["by default", undefined],
  ["with timers alone", { toFake: ["setTimeout", "clearTimeout", "setImmediate", "clearImmediate"] }],
  ["with all but what a queue needs", {
    toFake: ["setTimeout", "clearTimeout", "setImmediate", "Date", "performance", "hrtime"]
  }]
] as const satisfies ReadonlyArray<readonly [string, Parameters<typeof vi.useFakeTimers>[0]]>

/** When each of the calls has ended, in milliseconds of the fake timers. */
const start = (...calls: ReadonlyArray<Effect.Effect<unknown, unknown>>) =>
  calls.map((call) => {
    const ended = { value: false }
    void Effect.runPromiseExit(call).then(() => ended.value = true)
    return ended
  })

for (const [name, config] of configs) {
  describe(`under fake timers, ${name}, a timeout`, () => {
    beforeEach(() => void vi.useFakeTimers(config))
    afterEach(() => void vi.useRealTimers())

    const limited = Timeout.withTimeout(Effect.never, "5 seconds")

    it("ends a call when its time is up, and not before", async () => {
      const [call] = start(limited)
      await vi.advanceTimersByTimeAsync(4_999)
      assert.isFalse(call!.value)
      await vi.advanceTimersByTimeAsync(1)
      assert.isTrue(call!.value)
    })

    it("ends each of several calls at its own time", async () => {
      const [first] = start(limited, Timeout.withTimeout(Effect.sleep("1 second"), "5 seconds"))
      await vi.advanceTimersByTimeAsync(3_000)
      const [second] = start(limited)
      await vi.advanceTimersByTimeAsync(2_000)
      assert.deepStrictEqual([first!.value, second!.value], [true, false])
      await vi.advanceTimersByTimeAsync(2_999)
      assert.isFalse(second!.value)
      await vi.advanceTimersByTimeAsync(1)
      assert.isTrue(second!.value)
    })

    it("ends each attempt of a retry", async () => {
      let attempts = 0
      const attempt = Effect.andThen(Effect.sync(() => attempts++), limited)
      const [call] = start(Retry.withRetry(attempt, { maxAttempts: 3, baseDelay: "1 second", jitter: "none" }))
      await vi.advanceTimersByTimeAsync(5_999)
      assert.strictEqual(attempts, 1)
      await vi.advanceTimersByTimeAsync(1)
      assert.strictEqual(attempts, 2)
      await vi.advanceTimersByTimeAsync(12_000)
      assert.deepStrictEqual([attempts, call!.value], [3, true])
    })

    it("gives a call no time to wait with a zero duration", () => {
      const exit = Effect.runSyncExit(Effect.flip(Timeout.withTimeout(Effect.never, 0)))
      assert.strictEqual(exit._tag, "Success")
    })

    it("is not hurt by calls that were limited when the timers were taken away", async () => {
      start(Timeout.withTimeout(Effect.never, 20))
      vi.useRealTimers()
      const exit = await Effect.runPromiseExit(Timeout.withTimeout(Effect.never, 20))
      assert.strictEqual(exit._tag, "Failure")
    })
  })
}

describe("under fake timers that the clock follows", () => {
  // As docs/guide/testing-your-program.md has it.
  const clock = Effect.runSync(Clock.clockWith(Effect.succeed))
  beforeEach(() => {
    vi.useFakeTimers()
    vi.spyOn(clock, "monotonicTimeNanosUnsafe").mockImplementation(() => BigInt(Math.round(performance.now() * 1e6)))
  })
  afterEach(() => {
    vi.restoreAllMocks()
    vi.useRealTimers()
  })

  it("a circuit half-opens when its open time is over", async () => {
    const policy = CircuitPolicy.make({ consecutiveFailures: 1, openDuration: "5 seconds" })
    const breaker = Effect.runSync(CircuitBreaker.make({ name: "payment-api", policy }))
    Effect.runSyncExit(breaker.execute(Effect.fail("down")))
    await vi.advanceTimersByTimeAsync(4_999)
    assert.strictEqual(Effect.runSync(breaker.state), "Open")
    await vi.advanceTimersByTimeAsync(1)
    assert.strictEqual(Effect.runSync(breaker.state), "HalfOpen")
  })

  it("a timeout ends a call", async () => {
    const [call] = start(Timeout.withTimeout(Effect.never, "5 seconds"))
    await vi.advanceTimersByTimeAsync(5_000)
    assert.isTrue(call!.value)
  })
})
