import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Logger, References } from "effect"
import {
  Bulkhead,
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitLog,
  Environment,
  HealthMonitor,
  RateLimit,
  RetryBudget,
  Tiers
} from "effect-resilience"

/** Names without an address that works, and what is said of them. */
const REFUSED = [
  ["", "a string that is not empty, got \"\""],
  [".", "a name other than \".\" and \"..\", which no URL can have, got \".\""],
  ["..", "a name other than \".\" and \"..\", which no URL can have, got \"..\""],
  ["a\ud800b", "made of whole characters"],
  ["\udfff", "made of whole characters"]
] as const

const ACCEPTED = ["a", "...", ".a", "a/b", "a b", "支付", "😀", "a\u202eb", "%2e", "__proto__"]

const limit = { limit: 1, window: "1 second" } as const

/** Every place that takes a name which becomes an address or a series. */
const PLACES: Readonly<Record<string, (name: string) => unknown>> = {
  "CircuitBreaker.make: name": (name) => CircuitBreaker.make({ name }),
  "CircuitBreaker.Service: name": (name) => CircuitBreaker.Service()(name),
  "CircuitBreakerRegistry.layer: circuits": (name) =>
    CircuitBreakerRegistry.layer({ circuits: Object.fromEntries([[name, {}]]) }),
  "Environment.load: circuits": (name) => Environment.load({ circuits: Object.fromEntries([[name, {}]]) }),
  "Bulkhead.make: name": (name) => Bulkhead.make({ name, limit: 1 }),
  "Bulkhead.Service: name": (name) => Bulkhead.Service()(name, { limit: 1 }),
  "RateLimit.make: name": (name) => RateLimit.make({ name, ...limit }),
  "RateLimit.Service: name": (name) => RateLimit.Service()(name, limit),
  "RetryBudget.Service: name": (name) => RetryBudget.Service()(name),
  "Tiers.tier: name": (name) => Tiers.tier(name, Effect.void),
  "Tiers.make: operation": (name) => Tiers.make(name, [Tiers.tier("a", Effect.void)]),
  "HealthMonitor.layer: checks": (name) =>
    HealthMonitor.layer({ checks: Object.fromEntries([[name, { check: Effect.void }]]) })
}

describe("a name without an address that works", () => {
  for (const [place, use] of Object.entries(PLACES)) {
    it(`is refused by ${place}`, () => {
      for (const [name, message] of REFUSED) {
        assert.throws(() => use(name), RangeError, message, JSON.stringify(name))
        assert.throws(() => use(name), RangeError, place)
      }
      for (const name of ACCEPTED) use(name)
    })
  }

  it.effect("is refused by a registry, which makes no circuit of it", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      for (const [name, message] of REFUSED) {
        for (
          const using of [
            registry.getOrCreate(name),
            registry.register(name),
            CircuitBreaker.withCircuitBreaker(Effect.void, name)
          ]
        ) {
          const exit = yield* Effect.exit(using as Effect.Effect<unknown, never, never>)
          assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes(message), JSON.stringify(name))
        }
      }
      assert.deepStrictEqual(yield* registry.names, [])
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))
})

describe("characters that turn or break a line", () => {
  it.effect("are escaped in the log of changes", () => {
    const lines: Array<Readonly<Record<string, unknown>>> = []
    const logger = Logger.make(({ fiber }) => lines.push(fiber.getRef(References.CurrentLogAnnotations)))
    return Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const circuit = yield* registry.getOrCreate("a\u202eb\u0085")
      yield* CircuitBreaker.withNote(circuit.forceOpen(), "x\ny\u2066")
      for (let i = 0; i < 10; i++) yield* Effect.yieldNow
      assert.deepInclude(lines[0], { circuit_breaker: "a\\u202eb\\u0085", note: "x\\ny\\u2066" })
    }).pipe(
      Effect.provide(
        CircuitLog.layer().pipe(
          Layer.provideMerge(CircuitBreakerRegistry.layer()),
          Layer.provideMerge(Logger.layer([logger]))
        )
      )
    )
  })
})
