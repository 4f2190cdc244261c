import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitBreakerRegistry, HealthMonitor, Telemetry } from "effect-resilience"
import * as EffectCircuitBreaker from "effect-resilience/EffectCircuitBreaker"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { make } from "../support/circuits.ts"

// What JavaScript may pass, and types would not.
const the = (value: unknown): never => value as never

const breaker = Effect.runSync(make())
const permit = Effect.runSync(Effect.scoped(breaker.permit))
const nothing = () => Effect.void

const mistakes: Record<string, readonly [attempt: () => unknown, message: string]> = {
  "a string for the options of forceOpen": [
    () => breaker.forceOpen(the("30 minutes")),
    "CircuitBreaker.forceOpen: options must be an object, got \"30 minutes\""
  ],
  "a number for them": [
    () => breaker.forceOpen(the(30)),
    "CircuitBreaker.forceOpen: options must be an object, got 30"
  ],
  "a duration for them": [
    () => breaker.forceOpen(the(Duration.minutes(30))),
    "CircuitBreaker.forceOpen: \"value\" is no option; there are duration"
  ],
  "null for them": [
    () => breaker.forceOpen(the(null)),
    "CircuitBreaker.forceOpen: options must be an object, got null"
  ],
  "an unknown option of forceOpen": [
    () => breaker.forceOpen(the({ durration: "1 minute" })),
    "CircuitBreaker.forceOpen: \"durration\" is no option; did you mean \"duration\"? There are duration"
  ],
  "a note that is no text": [
    () => CircuitBreaker.withNote(breaker.forceOpen(), the(1)),
    "CircuitBreaker.withNote: note must be a string, got 1"
  ],
  "a classifier for the options of execute": [
    () => breaker.execute(Effect.void, the(() => undefined)),
    "CircuitBreaker.execute: options must be an object, got a function"
  ],
  "an unknown option of execute": [
    () => breaker.execute(Effect.void, the({ classifier: nothing })),
    "CircuitBreaker.execute: \"classifier\" is no option; there are classify, interruptedAfter"
  ],
  "the policy of a call by name, where there is the circuit": [
    () => breaker.execute(Effect.void, the({ policy: {} })),
    "CircuitBreaker.execute: \"policy\" is no option; there are classify, interruptedAfter"
  ],
  "a classifier that is none": [
    () => breaker.execute(Effect.void, the({ classify: "Failure" })),
    "CircuitBreaker.execute: classify must be a function, got \"Failure\""
  ],
  "a time that is none": [
    () => breaker.execute(Effect.void, { interruptedAfter: -1 }),
    "CircuitBreaker.execute: interruptedAfter must be a duration of at least zero such as \"5 seconds\", got -1"
  ],
  "an unknown option of withCircuitBreaker, data-last": [
    () => CircuitBreaker.withCircuitBreaker("a", the({ polcy: {} })),
    "CircuitBreaker.withCircuitBreaker: \"polcy\" is no option; did you mean \"policy\"? There are classify, interruptedAfter, policy"
  ],
  "an unknown option of withCircuitBreaker, data-first": [
    () => CircuitBreaker.withCircuitBreaker(Effect.void, breaker, the({ timeout: 1 })),
    "CircuitBreaker.withCircuitBreaker: \"timeout\" is no option; there are classify, interruptedAfter, policy"
  ],
  "a policy where its options belong": [
    () => CircuitBreaker.withCircuitBreaker("a", the(null)),
    "CircuitBreaker.withCircuitBreaker: options must be an object, got null"
  ],
  "a wrong policy of withCircuitBreaker": [
    () => CircuitBreaker.withCircuitBreaker("a", { policy: { consecutiveFailures: 0 } }),
    "CircuitBreaker.withCircuitBreaker: policy.consecutiveFailures must be an integer >= 1, got 0"
  ],
  "a promise for a target": [
    () => CircuitBreaker.withCircuitBreaker(the(Promise.resolve(breaker))),
    "CircuitBreaker.withCircuitBreaker: target must be a circuit, the name or the class of one, got a Promise"
  ],
  "an effect without a target": [
    () => CircuitBreaker.withCircuitBreaker(the(Effect.void)),
    "CircuitBreaker.withCircuitBreaker: target must be a circuit, the name or the class of one, got an Effect"
  ],
  "nothing for a target": [
    () => CircuitBreaker.withCircuitBreaker(Effect.void, the(undefined)),
    "CircuitBreaker.withCircuitBreaker: target must be a circuit, the name or the class of one, got undefined"
  ],
  "options for a target of wrap": [
    () => CircuitBreaker.wrap(the({ name: "a" })),
    "CircuitBreaker.wrap: target must be a circuit, the name or the class of one, got {\"name\":\"a\"}"
  ],
  "an effect to wrap": [
    () => CircuitBreaker.wrap("a")(the(Effect.void)),
    "CircuitBreaker.wrap must be given a function that returns an effect, got an Effect"
  ],
  "an unknown option of wrap": [
    () => CircuitBreaker.wrap("a", the({ classifier: nothing })),
    "CircuitBreaker.wrap: \"classifier\" is no option; there are classify, interruptedAfter, policy"
  ],
  "an unknown option of withCircuitBreakerStream": [
    () => CircuitBreaker.withCircuitBreakerStream(Stream.empty, breaker, the({ classifier: nothing })),
    "CircuitBreaker.withCircuitBreakerStream: \"classifier\" is no option; there are classify, interruptedAfter, policy"
  ],
  "null for the options of make": [
    () => CircuitBreaker.make(the(null)),
    "CircuitBreaker.make: options must be an object, got null"
  ],
  "a name for the options of make": [
    () => CircuitBreaker.make(the("a")),
    "CircuitBreaker.make: options must be an object, got \"a\""
  ],
  "no name": [
    () => CircuitBreaker.make(the({})),
    "CircuitBreaker.make: name must be a string that is not empty, got undefined"
  ],
  "options of a policy in those of make": [
    () => CircuitBreaker.make(the({ name: "a", consecutiveFailures: 3 })),
    "CircuitBreaker.make: \"consecutiveFailures\" is no option; there are name, policy"
  ],
  "a promise for a policy": [
    () => CircuitBreaker.make({ name: "a", policy: the(Promise.resolve()) }),
    "CircuitBreaker.make: policy must be a policy or its options, got a Promise"
  ],
  "null for a policy": [
    () => CircuitBreaker.make({ name: "a", policy: the(null) }),
    "CircuitBreaker.make: policy must be a policy or its options, got null"
  ],
  "no name of a class": [
    () => CircuitBreaker.Service()(the(undefined)),
    "CircuitBreaker.Service: name must be a string that is not empty, got undefined"
  ],
  "an unknown option of a class": [
    () => CircuitBreaker.Service()("a", the({ consecutiveFailures: 3 })),
    "CircuitBreaker.Service: \"consecutiveFailures\" is no option; there are policy"
  ],
  "no policy to follow": [
    () => breaker.reconfigure(the(undefined)),
    "CircuitBreaker.reconfigure: policy must be a policy or its options, got undefined"
  ],
  "an event that there is not": [
    () => breaker.on(the("Opened"), nothing),
    "CircuitBreaker.on: tag must be \"StateChanged\" or \"CallEnded\" or \"Reconfigured\", got \"Opened\""
  ],
  "the name of a circuit for one to listen to": [
    () => CircuitBreaker.onRecovery(the("a"), () => Effect.void),
    "CircuitBreaker.onRecovery: circuit must be a circuit, got \"a\""
  ],
  "an effect for a listener of on": [
    () => breaker.on("StateChanged", the(Effect.void)),
    "CircuitBreaker.on: listener must be a function that returns an effect, got an Effect"
  ],
  "an effect for a listener": [
    () => CircuitBreaker.onTrip(breaker, the(Effect.void)),
    "CircuitBreaker.onTrip: listener must be a function that returns an effect, got an Effect"
  ],
  "an unknown option of a permit's failure": [
    () => permit.failure(the({ after: 1 })),
    "CircuitBreaker permit.failure: \"after\" is no option; there are retryAfter, error"
  ],
  "no outcome": [
    () => permit.record(the("Success")),
    "CircuitBreaker permit.record: outcome must be an Outcome, got \"Success\""
  ],
  "no exit": [() => permit.conclude(the(1)), "CircuitBreaker permit.conclude: exit must be an Exit, got 1"],
  "null for the options of a monitor": [
    () => HealthMonitor.make(the(null)),
    "HealthMonitor.make: options must be an object, got null"
  ],
  "an unknown option of a monitor": [
    () => HealthMonitor.layer(the({ check: {} })),
    "HealthMonitor.layer: \"check\" is no option; did you mean \"checks\"? There are checks, circuits, interval, jitter, concurrency"
  ],
  "checks that are none": [
    () => HealthMonitor.layer(the({ checks: [Effect.void] })),
    "HealthMonitor.layer: checks must be an object of checks by name, got "
  ],
  "a function for a check": [
    () => HealthMonitor.layer({ checks: { db: the(nothing) } }),
    "HealthMonitor.layer: checks.db must be an effect, or an object with a check, a probe or a circuit, got the function nothing"
  ],
  "a promise for a probe": [
    () => HealthMonitor.layer({ checks: { db: { probe: the(Promise.resolve()) } } }),
    "HealthMonitor.layer: checks.db.probe must be an effect, got a Promise"
  ],
  "a number for a circuit of a check": [
    () => HealthMonitor.layer({ checks: { db: { circuit: the(1) } } }),
    "HealthMonitor.layer: checks.db.circuit must be a circuit or the name of one, got 1"
  ],
  "a text for critical": [
    () => HealthMonitor.layer({ checks: { db: { check: Effect.void, critical: the("no") } } }),
    "HealthMonitor.layer: checks.db.critical must be true or false, got \"no\""
  ],
  "names for circuits": [
    () => HealthMonitor.layer({ circuits: the(["a"]) }),
    "HealthMonitor.layer: circuits must be true, false or a function of the name of a circuit, got "
  ],
  "null for the options of telemetry": [
    () => Telemetry.layer(the(null)),
    "Telemetry.layer: options must be an object, got null"
  ],
  "an unknown option of telemetry": [
    () => Telemetry.layer(the({ duration: false })),
    "Telemetry.layer: \"duration\" is no option; did you mean \"durations\"? There are durations, durationBoundaries"
  ],
  "a text for durations": [
    () => Telemetry.layer({ durations: the("no") }),
    "Telemetry.layer: durations must be true or false, got \"no\""
  ],
  "a number for boundaries": [
    () => Telemetry.layer({ durationBoundaries: the(5) }),
    "Telemetry: durationBoundaries must be a list of seconds, got 5"
  ],
  "a name to watch": [
    () => Telemetry.watch(the("a")),
    "Telemetry.watch: target must be a circuit, a bulkhead, a rate limit or a retry budget, got \"a\""
  ],
  "an unknown option of Effect's own service": [
    () => EffectCircuitBreaker.layer(the({ prefx: "a" })),
    "EffectCircuitBreaker.make: \"prefx\" is no option; did you mean \"prefix\"? There are policy, prefix"
  ],
  "a trip policy that is none": [
    () => EffectCircuitBreaker.make(the({ tripPolicy: 5, openDuration: "1 second" })),
    "EffectCircuitBreaker.make: tripPolicy must be a trip policy of effect/persistence/CircuitBreaker, got 5"
  ]
}

describe("a mistake is a RangeError where it is made, which names it", () => {
  for (const [name, [attempt, message]] of Object.entries(mistakes)) {
    it(name, () => {
      try {
        attempt()
      } catch (error) {
        assert.instanceOf(error, RangeError)
        assert.include((error as RangeError).message, message)
        return
      }
      assert.fail("nothing was thrown")
    })
  }

  it.effect("and leaves the circuit as it is", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* breaker.state, "Closed")
    }))
})

describe("a policy may be given by its options", () => {
  const policy = { consecutiveFailures: 1 }
  const opens = (breaker: CircuitBreaker.CircuitBreaker) =>
    Effect.gen(function*() {
      yield* Effect.exit(breaker.execute(Effect.fail("down")))
      assert.strictEqual(yield* breaker.state, "Open")
    })

  it.effect("to make, to a class, to reconfigure", () =>
    Effect.gen(function*() {
      yield* opens(yield* CircuitBreaker.make({ name: "a", policy }))
      class A extends CircuitBreaker.Service<A>()("a", { policy }) {}
      yield* Effect.flatMap(A, opens).pipe(Effect.provide(A.layer))
      yield* Effect.flatMap(A, opens).pipe(Effect.provide(A.layerConfig))
      const breaker = yield* make()
      yield* breaker.reconfigure(policy)
      yield* opens(breaker)
    }))

  it.effect("to a call by name, again and again", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const call = (name: string) =>
        Effect.exit(CircuitBreaker.withCircuitBreaker(Effect.void, name, { policy: { consecutiveFailures: 1 } }))
      assert.isTrue(Exit.isSuccess(yield* call("a")))
      assert.isTrue(Exit.isSuccess(yield* call("a")))
      yield* opens(yield* registry.getOrCreate("a"))
      yield* Stream.runDrain(CircuitBreaker.withCircuitBreakerStream(Stream.make(1), "b", { policy }))
      yield* opens(yield* registry.getOrCreate("b"))
      yield* CircuitBreaker.wrap("c", { policy })(() => Effect.void)()
      yield* opens(yield* registry.getOrCreate("c"))
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))
})
