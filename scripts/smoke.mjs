// Uses the built package as plain JavaScript, on the oldest Node it supports: node scripts/smoke.mjs
import { Effect } from "effect"
import * as Resilience from "effect-resilience"
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
import * as Retry from "effect-resilience/Retry"
import * as Timeout from "effect-resilience/Timeout"
import assert from "node:assert/strict"

for (const [name, module] of Object.entries(Resilience)) {
  assert.equal(await import(`effect-resilience/${name}`), module)
}

let calls = 0
let down = true
const call = Effect.suspend(() => {
  calls++
  return down ? Effect.never : Effect.succeed("up")
}).pipe(
  Timeout.withTimeout("20 millis"),
  CircuitBreaker.withCircuitBreaker("smoke"),
  Retry.withRetry({ maxAttempts: 2, baseDelay: "1 millis" })
)

const program = Effect.gen(function*() {
  const exhausted = yield* Effect.flip(call)
  assert.equal(exhausted._tag, "RetryExhaustedError")
  assert.equal(calls, 2)

  const rejected = yield* Effect.flip(call)
  assert.equal(rejected._tag, "CircuitOpenError")
  assert.equal(calls, 2)

  down = false
  yield* Effect.sleep("250 millis")
  assert.equal(yield* call, "up")

  const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
  assert.deepEqual(yield* registry.openCircuits, [])
})

const policy = CircuitPolicy.make({ consecutiveFailures: 2, openDuration: "200 millis", successThreshold: 1 })
await Effect.runPromise(program.pipe(Effect.provide(CircuitBreakerRegistry.layer({ defaults: policy }))))
console.log(`smoke: ok on node ${process.version}`)
