/**
 * Helpers for testing programs that use this library: `Chaos` makes calls fail,
 * hang and slow down, `TestCircuit` brings circuits into a state and records
 * their transitions, `Attempts` is a dependency that follows a script and
 * records when it was called.
 *
 * **Details**
 *
 * No test framework is needed. Production code that can be broken in staging
 * imports only `effect-resilience/testing/Chaos`.
 *
 * **Example** (A retry that survives two failures)
 *
 * ```ts import.meta.vitest
 * import { assert, it } from "@effect/vitest"
 * import { Effect, Fiber } from "effect"
 * import { TestClock } from "effect/testing"
 * import { Retry } from "effect-resilience"
 * import { Attempts } from "effect-resilience/testing"
 *
 * it.effect("tries again after one second, then after two", () =>
 *   Effect.gen(function*() {
 *     const payments = yield* Attempts.script([Effect.fail("down"), Effect.fail("down"), Effect.succeed("charged")])
 *
 *     const charge = payments.call.pipe(Retry.withRetry({ maxAttempts: 3, baseDelay: "1 second", jitter: "none" }))
 *     const fiber = yield* Effect.forkChild(charge)
 *     yield* TestClock.adjust("1 minute")
 *
 *     assert.strictEqual(yield* Fiber.join(fiber), "charged")
 *     yield* payments.expectAt(["0 seconds", "1 second", "3 seconds"])
 *   }))
 * ```
 *
 * @stability unstable
 * @since 0.1.0
 */
export * as Attempts from "./Attempts.ts"
export * as Chaos from "./Chaos.ts"
export * as TestCircuit from "./TestCircuit.ts"
