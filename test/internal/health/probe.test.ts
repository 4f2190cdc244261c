import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import { waitBeforeProbe } from "../../../src/internal/health/probe.ts"

describe("a probe", () => {
  const wait = (state: "Closed" | "Open" | "HalfOpen", options: { available?: boolean; retry?: Duration.Input } = {}) =>
    waitBeforeProbe({
      state,
      isAvailable: options.available ?? true,
      ...(options.retry === undefined ? {} : { timeUntilRetry: Duration.fromInputUnsafe(options.retry) })
    }, 30_000)

  it("is sent at once if the circuit is half-open and admits it", () => {
    assert.strictEqual(wait("HalfOpen"), 0)
    assert.strictEqual(wait("HalfOpen", { available: false }), 30_000)
    assert.strictEqual(wait("Closed"), 30_000)
  })

  it("waits for the end of the open time, in whole milliseconds and at most an interval", () => {
    assert.strictEqual(wait("Open", { available: false, retry: "10 seconds" }), 10_000)
    assert.strictEqual(wait("Open", { available: false, retry: "1500 micros" }), 2)
    assert.strictEqual(wait("Open", { available: false, retry: 0 }), 1)
    assert.strictEqual(wait("Open", { available: false, retry: "10 minutes" }), 30_000)
    assert.strictEqual(wait("Open", { available: false, retry: "Infinity" }), 30_000)
  })
})
