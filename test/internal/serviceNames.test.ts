import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy, Outcome } from "effect-resilience"
import { Cause, Context, Effect, Exit, Layer } from "effect"

const makeClass = (policy?: CircuitPolicy.CircuitPolicy) => CircuitBreaker.Service<"dup">()("dup", { policy })

const MESSAGE = "CircuitBreaker.Service: \"dup\" is the name of two classes, and the service in reach is that of the " +
  "other one, with another consecutiveFailures, openDuration, halfOpenMaxCalls, successThreshold; " +
  "give one of them another name"

const assertRefused = (exit: Exit.Exit<unknown, unknown>, expected = MESSAGE) => {
  assert.isTrue(Exit.hasDies(exit))
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  assert.instanceOf(error, RangeError)
  assert.strictEqual(error.message, expected)
}

describe("two classes of one name", () => {
  const C = makeClass(CircuitPolicy.fastFail)
  const D = makeClass(CircuitPolicy.conservative)
  const both = Layer.mergeAll(C.layer, D.layer)
  const uses: Record<string, Effect.Effect<unknown, unknown, "dup">> = {
    "yield*": Effect.gen(function*() {
      return yield* C
    }),
    flatMap: Effect.flatMap(C, (breaker) => breaker.state),
    use: C.use((breaker) => breaker.state),
    useSync: C.useSync((breaker) => breaker.name),
    withCircuitBreaker: CircuitBreaker.withCircuitBreaker(Effect.void, C)
  }
  for (const [name, use] of Object.entries(uses)) {
    it.effect(`are refused where the one meets the circuit of the other: ${name}`, () =>
      Effect.gen(function*() {
        assertRefused(yield* Effect.exit(Effect.provide(use, both)))
        assert.isTrue(Exit.isSuccess(yield* Effect.exit(Effect.provide(use, C.layer))))
      }))
  }

  for (const layer of ["layer", "layerConfig", "layerDisabled", "layerForcedOpen"] as const) {
    it.effect(`are refused whichever layer made the circuit: ${layer}`, () =>
      Effect.gen(function*() {
        assertRefused(yield* Effect.exit(Effect.provide(Effect.asVoid(C), D[layer])))
      }))
  }

  it.effect("are let be while each meets its own circuit", () =>
    Effect.gen(function*() {
      class OfC extends Context.Service<OfC, string>()("OfC") {
        static readonly layer = Layer.effect(OfC, Effect.map(C, ({ name }) => name)).pipe(Layer.provide(C.layer))
      }
      class OfD extends Context.Service<OfD, string>()("OfD") {
        static readonly layer = Layer.effect(OfD, Effect.map(D, ({ name }) => name)).pipe(Layer.provide(D.layer))
      }
      const names = Effect.all([OfC, OfD]).pipe(Effect.provide(Layer.mergeAll(OfC.layer, OfD.layer)))
      assert.deepStrictEqual(yield* names, ["dup", "dup"])
    }))

  it.effect("are one if their settings are equal, as of a module that is evaluated twice", () =>
    Effect.gen(function*() {
      const classify = () => Outcome.failureUnless((error) => error === "no")
      const [before, after] = [
        makeClass(CircuitPolicy.make({ consecutiveFailures: 3, classify: classify() })),
        makeClass(CircuitPolicy.make({ consecutiveFailures: 3, classify: classify() }))
      ]
      assert.strictEqual(yield* Effect.provide(before.useSync(({ name }) => name), after.layer), "dup")
    }))

  it.effect("in the registry are what the registry says of two policies", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.void.pipe(
        Effect.provide(
          Layer.mergeAll(C.layerRegistered, D.layerRegistered).pipe(Layer.provide(CircuitBreakerRegistry.layer()))
        ),
        Effect.flip
      )
      assert.strictEqual(exit._tag, "CircuitConflictError")
    }))
})

it.effect("a circuit that a test provides for a class may have any policy", () =>
  Effect.gen(function*() {
    class Payments extends CircuitBreaker.Service<Payments>()("payments", { policy: CircuitPolicy.conservative }) {}
    const double = Layer.effect(Payments, CircuitBreaker.make({ name: "payments", policy: CircuitPolicy.fastFail }))
    const policy = yield* Effect.flatMap(Payments, ({ policy }) => policy).pipe(Effect.provide(double))
    assert.strictEqual(policy, CircuitPolicy.fastFail)
  }))

it.effect("a key of one's own may have the circuit of any class", () =>
  Effect.gen(function*() {
    const Own = Context.Service<"dup", CircuitBreaker.CircuitBreaker>("effect-resilience/CircuitBreaker/dup")
    const own = CircuitBreaker.withCircuitBreaker(Effect.succeed("done"), Own)
    assert.strictEqual(yield* Effect.provide(own, makeClass(CircuitPolicy.fastFail).layer), "done")
  }))

it.effect("a class finds its own circuit, and is printed as any service", () =>
  Effect.gen(function*() {
    class Payments extends CircuitBreaker.Service<Payments>()("payments") {}
    const breaker = yield* Effect.provide(Payments, Payments.layer)
    assert.strictEqual(breaker.name, "payments")
    assert.isTrue(Context.isKey(Payments))
    assert.deepInclude(JSON.parse(JSON.stringify(Payments.toJSON())), {
      key: "effect-resilience/CircuitBreaker/payments"
    })
  }))
