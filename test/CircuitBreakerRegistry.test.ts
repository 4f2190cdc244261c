import { assert, describe, it } from "@effect/vitest"
import {
  CircuitBreaker,
  CircuitBreakerRegistry,
  type CircuitEvent,
  CircuitPolicy,
  HealthMonitor,
  Outcome,
  Resilience,
  ResilienceError,
  Telemetry,
  Tiers
} from "effect-resilience"
import {
  Cause,
  Clock,
  ConfigProvider,
  Duration,
  Effect,
  Exit,
  Fiber,
  Latch,
  Layer,
  Logger,
  Metric,
  Option,
  Predicate,
  Schedule,
  Scope,
  Stream
} from "effect"
import { TestClock } from "effect/testing"
import * as v8 from "node:v8"
import * as vm from "node:vm"
import { vi } from "vitest"
import { watchFlows } from "../src/internal/tiers/flow.ts"
import {
  type Breaker,
  changes,
  fail,
  hold,
  repeat,
  settle,
  succeed,
  touchy,
  TwoClocks,
  watch
} from "./support/circuits.ts"
import { atEveryOperation } from "./support/machine.ts"
import { findCircuit, namedCircuit } from "./support/registry.ts"
import { newChanges, watchCircuits } from "../src/internal/registry/inside.ts"

const { CircuitBreakerRegistry: Registry } = CircuitBreakerRegistry

const policy = CircuitPolicy.make(touchy)

const make = (options: CircuitBreakerRegistry.Options = {}) =>
  CircuitBreakerRegistry.make({ defaults: policy, ...options })

const state = (breaker: Breaker, expected: CircuitEvent.CircuitState) =>
  Effect.map(breaker.state, (state) => assert.strictEqual(state, expected))

describe("getOrCreate", () => {
  it.effect("makes a circuit once and gives the same one to whoever names it", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.getOrCreate("a")
      assert.strictEqual(breaker.name, "a")
      assert.strictEqual(yield* registry.getOrCreate("a"), breaker)
      assert.strictEqual(namedCircuit(registry, "a"), breaker)
      assert.strictEqual(findCircuit(registry, "a"), breaker)
      assert.notStrictEqual(yield* registry.getOrCreate("b"), breaker)
    }))

  it.effect("makes one circuit for many fibers that name it at the same time", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const all = yield* Effect.forEach(Array.from({ length: 100 }), () => registry.getOrCreate("a"), {
        concurrency: "unbounded"
      })
      assert.strictEqual(new Set(all).size, 1)
    }))

  it.effect("uses the policy it is given, or the one of that name, or the defaults", () =>
    Effect.gen(function*() {
      const registry = yield* make({ circuits: { kafka: CircuitPolicy.kafka } })
      const used = (breaker: Breaker) => breaker.policy
      assert.strictEqual(
        yield* used(yield* registry.getOrCreate("given", CircuitPolicy.database)),
        CircuitPolicy.database
      )
      assert.strictEqual(yield* used(yield* registry.getOrCreate("kafka")), CircuitPolicy.kafka)
      assert.strictEqual(yield* used(yield* registry.getOrCreate("other")), policy)
    }))

  it.effect("without any options uses CircuitPolicy.make()", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.make()
      const breaker = yield* registry.getOrCreate("a")
      assert.deepStrictEqual(CircuitPolicy.difference(yield* breaker.policy, CircuitPolicy.make()), [])
    }))

  it.effect("with another policy fails with a conflict that names the fields", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      yield* registry.getOrCreate("a", CircuitPolicy.make({ consecutiveFailures: 3, openDuration: "1 minute" }))
      const error = yield* Effect.flip(
        registry.getOrCreate("a", CircuitPolicy.make({ consecutiveFailures: 4, openDuration: "2 minutes" }))
      )
      assert.instanceOf(error, ResilienceError.CircuitConflictError)
      assert.deepStrictEqual([error.circuit, error.fields], ["a", ["consecutiveFailures", "openDuration"]])
      assert.strictEqual(
        error.message,
        `Circuit "a" is registered already with another consecutiveFailures, openDuration; ` +
          `use reconfigure to change its policy, or another name`
      )
      assert.throws(() => namedCircuit(registry, "a", CircuitPolicy.kafka), ResilienceError.CircuitConflictError)
    }))

  it.effect("with an equal policy finds the circuit", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const options: CircuitPolicy.Options = {
        consecutiveFailures: 3,
        openDuration: CircuitPolicy.exponential({ initial: "1 second" })
      }
      const breaker = yield* registry.getOrCreate("a", CircuitPolicy.make(options))
      assert.strictEqual(yield* registry.getOrCreate("a", CircuitPolicy.make(options)), breaker)

      const configured = yield* make({ circuits: { a: CircuitPolicy.make(options) } })
      assert.strictEqual((yield* configured.getOrCreate("a", CircuitPolicy.make(options))).name, "a")
    }))

  it.effect("with what is no policy at all is refused where it is written", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      for (const none of [5, null, []] as ReadonlyArray<unknown> as ReadonlyArray<CircuitPolicy.CircuitPolicy>) {
        for (const command of ["getOrCreate", "register", "reconfigure"] as const) {
          assert.throws(() => registry[command]("a", none), RangeError, `CircuitBreakerRegistry.${command}: policy`)
        }
        namedCircuit(registry, "a", CircuitPolicy.kafka)
        assert.throws(() => namedCircuit(registry, "a", none), RangeError, "CircuitBreakerRegistry.getOrCreate: policy")
      }
      const none = undefined as unknown as CircuitPolicy.CircuitPolicy
      assert.throws(() => registry.reconfigure("a", none), RangeError, "CircuitBreakerRegistry.reconfigure: policy")
    }))

  it.effect("takes the options of a policy for one, as register and reconfigure do", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const { consecutiveFailures } = yield* (yield* registry.getOrCreate("a", { consecutiveFailures: 2 })).policy
      assert.strictEqual(consecutiveFailures, 2)
      const kept = yield* registry.register("a", { consecutiveFailures: 2 })
      assert.strictEqual(kept, yield* registry.getOrCreate("a"))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(registry.register("a", { consecutiveFailures: 3 }))))
      assert.isTrue(yield* registry.reconfigure("a", { consecutiveFailures: 4 }))
      assert.strictEqual((yield* kept.policy).consecutiveFailures, 4)
      assert.throws(() => registry.reconfigure("a", { consecutiveFailures: 0 }), RangeError, "consecutiveFailures")
    }))

  it.effect("a conflict leaves the circuit as it is", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.getOrCreate("a", CircuitPolicy.database)
      yield* Effect.exit(registry.getOrCreate("a", CircuitPolicy.kafka))
      yield* Effect.exit(registry.register("a", CircuitPolicy.kafka))
      assert.strictEqual(yield* breaker.policy, CircuitPolicy.database)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* registry.names, [])
    }))

  it.effect("it does not matter whether the one who knows the policy comes first", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.getOrCreate("a")
      yield* fail(breaker)
      assert.strictEqual(yield* registry.getOrCreate("a", CircuitPolicy.kafka), breaker)
      assert.strictEqual(yield* breaker.policy, CircuitPolicy.kafka)
      yield* state(breaker, "Open")
      assert.strictEqual(yield* registry.getOrCreate("a"), breaker)
      assert.strictEqual(yield* breaker.policy, CircuitPolicy.kafka)
      // Nor whether the circuit was forgotten in between.
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(yield* registry.names, [])
      yield* registry.getOrCreate("a")
      const anew = yield* registry.getOrCreate("a", CircuitPolicy.kafka)
      assert.strictEqual(yield* anew.policy, CircuitPolicy.kafka)
    }))

  it.effect("what an operator has said stands when the one who knows the policy comes", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.getOrCreate("a")
      yield* registry.reconfigure("a", CircuitPolicy.database)
      yield* registry.getOrCreate("a", CircuitPolicy.kafka)
      assert.strictEqual(yield* breaker.policy, CircuitPolicy.database)
    }))

  it.effect("a policy of the Layer conflicts with another one, whoever comes first", () =>
    Effect.gen(function*() {
      const registry = yield* make({ circuits: { a: CircuitPolicy.database } })
      const before = yield* Effect.flip(registry.getOrCreate("a", CircuitPolicy.kafka))
      yield* registry.getOrCreate("a")
      const after = yield* Effect.flip(registry.getOrCreate("a", CircuitPolicy.kafka))
      assert.deepStrictEqual([before._tag, after._tag], ["CircuitConflictError", "CircuitConflictError"])
    }))

  it.effect("a policy of the Layer stays that of its circuit after this was removed", () =>
    Effect.gen(function*() {
      const options: CircuitPolicy.Options = { consecutiveFailures: 3 }
      const registry = yield* make({ circuits: { a: CircuitPolicy.make(options) } })
      yield* registry.remove("a")
      assert.strictEqual(
        (yield* Effect.flip(registry.getOrCreate("a", CircuitPolicy.kafka)))._tag,
        "CircuitConflictError"
      )
      const again = yield* registry.getOrCreate("a", CircuitPolicy.make(options))
      assert.strictEqual((yield* again.policy).consecutiveFailures, 3)
    }))

  it.effect("circuits of different names have nothing to do with each other", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const [a, b] = [yield* registry.getOrCreate("a"), yield* registry.getOrCreate("b")]
      yield* fail(a)
      yield* state(a, "Open")
      yield* state(b, "Closed")
      assert.strictEqual((yield* b.metrics).totalCalls, 0)
    }))

  it.effect("what is no name is refused, and says so", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      for (const [name, shown] of [["", "\"\""], [undefined, "undefined"], [5, "5"]] as const) {
        const message = `CircuitBreakerRegistry: the name of a circuit must be a string that is not empty, got ${shown}`
        assert.throws(() => namedCircuit(registry, name as string), RangeError, message)
        const exit = yield* Effect.exit(registry.register(name as string))
        assert.isTrue(Exit.hasDies(exit))
        if (Exit.isFailure(exit)) assert.include(Cause.pretty(exit.cause), message)
      }
      assert.deepStrictEqual(yield* registry.names, [])
    }))

  it.effect("any other string is a name", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const names = [" ", "__proto__", "constructor", "toString", "a/b:c", "\u{1F4A5}"]
      for (const name of names) yield* registry.getOrCreate(name)
      assert.deepStrictEqual(yield* registry.names, names)
    }))
})

describe("a policy that is written where the call is", () => {
  const down = (policy: () => CircuitPolicy.CircuitPolicy) =>
    Effect.suspend(() => Effect.fail("down").pipe(CircuitBreaker.withCircuitBreaker("a", { policy: policy() })))

  const code: Record<string, () => CircuitPolicy.CircuitPolicy> = {
    "a classifier": () =>
      CircuitPolicy.make({ consecutiveFailures: 3, classify: Outcome.failureUnless((error) => error === "no") }),
    "a schedule": () => CircuitPolicy.make({ consecutiveFailures: 3, openDuration: Schedule.exponential("1 second") })
  }
  for (const [name, policy] of Object.entries(code)) {
    it.effect(`may have ${name}: each call has another value of the same code`, () =>
      Effect.gen(function*() {
        for (let i = 0; i < 3; i++) assert.strictEqual(yield* Effect.flip(down(policy)), "down")
        const rejection = yield* Effect.flip(down(policy))
        assert.isTrue(Predicate.isTagged(rejection, "CircuitOpenError"))
      }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))
  }

  it.effect("may be that of a pipeline, or of a tier, that is made for each call", () =>
    Effect.gen(function*() {
      const classify = () => Outcome.failureUnless((error) => error === "no")
      const call = (id: string) => {
        const pipeline = Resilience.make({
          name: "b",
          circuitBreaker: { consecutiveFailures: 3, classify: classify() }
        })
        return pipeline.execute(Effect.succeed(id))
      }
      const tiered = (id: string) =>
        Tiers.make("get", [
          Tiers.tier("c", Effect.succeed(id), { policy: CircuitPolicy.make({ ...touchy, classify: classify() }) })
        ])
      assert.deepStrictEqual(
        yield* Effect.all([call("1"), call("2"), tiered("3"), tiered("4")]),
        ["1", "2", "3", "4"]
      )
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))

  it.effect("is followed as the first call has it", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const first = code["a classifier"]!()
      const breaker = yield* registry.getOrCreate("a", first)
      yield* registry.getOrCreate("a", code["a classifier"]!())
      assert.strictEqual(yield* breaker.policy, first)
    }))

  it.effect("conflicts if settings differ, or if only one of the two has a classifier", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const { classify, ...plain } = code["a classifier"]!()
      yield* registry.getOrCreate("a", code["a classifier"]!())
      const other = CircuitPolicy.make({ ...plain, consecutiveFailures: 4, classify })
      assert.deepStrictEqual((yield* Effect.flip(registry.getOrCreate("a", other))).fields, ["consecutiveFailures"])
      const without = CircuitPolicy.make(plain)
      assert.deepStrictEqual((yield* Effect.flip(registry.getOrCreate("a", without))).fields, ["classify"])
    }))

  it.effect("that is another value of the same settings is compared once, not with each call", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      yield* registry.getOrCreate("a", CircuitPolicy.make({ consecutiveFailures: 3 }))
      let compared = 0
      const other = Object.defineProperty(CircuitPolicy.make({ consecutiveFailures: 3 }), "consecutiveFailures", {
        enumerable: true,
        get: () => {
          compared++
          return 3
        }
      })
      yield* registry.getOrCreate("a", other)
      const once = compared
      for (let i = 0; i < 10; i++) yield* registry.getOrCreate("a", other)
      assert.strictEqual(compared, once)
      assert.isAbove(once, 0)
    }))

  it.effect("that agrees with what an operator has set is no longer accepted when that is gone", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      yield* registry.getOrCreate("a", CircuitPolicy.database)
      yield* registry.reconfigure("a", CircuitPolicy.kafka)
      yield* registry.getOrCreate("a", CircuitPolicy.kafka)
      yield* registry.reconfigure("a", CircuitPolicy.fastFail)
      const error = yield* Effect.flip(registry.getOrCreate("a", CircuitPolicy.kafka))
      assert.strictEqual(error._tag, "CircuitConflictError")
    }))
})

describe("get", () => {
  it.effect("finds a living circuit and makes none", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      assert.deepStrictEqual(yield* registry.get("a"), Option.none())
      assert.isUndefined(findCircuit(registry, "a"))
      const breaker = yield* registry.getOrCreate("a")
      assert.strictEqual(Option.getOrUndefined(yield* registry.get("a")), breaker)
      assert.deepStrictEqual(yield* registry.names, ["a"])
    }))
})

describe("circuits that the Layer names", () => {
  const circuits = { kafka: CircuitPolicy.kafka, search: undefined }

  it.effect("exist from the start, with their policies", () =>
    Effect.gen(function*() {
      const registry = yield* make({ circuits })
      assert.deepStrictEqual(yield* registry.names, ["kafka", "search"])
      assert.deepStrictEqual((yield* registry.statuses).map(({ state, totalCalls }) => [state, totalCalls]), [
        ["Closed", 0],
        ["Closed", 0]
      ])
      assert.strictEqual((yield* registry.systemStatus).totalCircuits, 2)
      assert.strictEqual(yield* findCircuit(registry, "kafka")!.policy, CircuitPolicy.kafka)
      assert.strictEqual(yield* findCircuit(registry, "search")!.policy, policy)
    }))

  it.effect("and the defaults may be options of a policy, under the environment as well", () =>
    Effect.gen(function*() {
      const options = {
        defaults: { consecutiveFailures: 4 },
        circuits: { a: { consecutiveFailures: 3 }, b: undefined }
      }
      const consecutiveFailures = (registry: CircuitBreakerRegistry.CircuitBreakerRegistry) =>
        Effect.forEach(
          ["a", "b", "c"],
          (name) =>
            Effect.flatMap(
              registry.getOrCreate(name),
              ({ policy }) => Effect.map(policy, (policy) => policy.consecutiveFailures)
            )
        )
      assert.deepStrictEqual(yield* consecutiveFailures(yield* CircuitBreakerRegistry.make(options)), [3, 4, 4])
      const configured = Effect.flatMap(Registry, consecutiveFailures).pipe(
        Effect.provide(CircuitBreakerRegistry.layerConfig(options)),
        Effect.provideService(
          ConfigProvider.ConfigProvider,
          ConfigProvider.fromEnv({ env: { CB_B_FAILURE_THRESHOLD: "9" } })
        )
      )
      assert.deepStrictEqual(yield* configured, [3, 9, 4])
    }))

  it.effect("can be forced open before the first call", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      yield* findCircuit(registry, "kafka")!.forceOpen()
      const error = yield* Effect.flip(Effect.void.pipe(CircuitBreaker.withCircuitBreaker("kafka")))
      assert.strictEqual(error._tag, "CircuitOpenError")
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer({ circuits }))))

  it.effect("are kept however idle they are, and need no clock for that", () =>
    Effect.gen(function*() {
      const registry = yield* make({ circuits })
      yield* TestClock.adjust("30 days")
      assert.deepStrictEqual(yield* registry.names, ["kafka", "search"])
      yield* registry.remove("kafka")
      yield* registry.getOrCreate("kafka")
      yield* TestClock.adjust("30 days")
      assert.deepStrictEqual(yield* registry.names, ["search", "kafka"])
    }))

  it.effect("conflict with another policy also after they were removed", () =>
    Effect.gen(function*() {
      const registry = yield* make({ circuits })
      yield* registry.remove("kafka")
      const error = yield* Effect.flip(registry.getOrCreate("kafka", CircuitPolicy.database))
      assert.strictEqual(error._tag, "CircuitConflictError")
      assert.deepStrictEqual(yield* registry.names, ["search"])
    }))

  it.effect("without a policy take over the first one that is named", () =>
    Effect.gen(function*() {
      const registry = yield* make({ circuits })
      const breaker = yield* registry.getOrCreate("search", CircuitPolicy.database)
      assert.strictEqual(yield* breaker.policy, CircuitPolicy.database)
    }))

  it.effect("are measured and watched from the start", () =>
    Effect.gen(function*() {
      const snapshot = yield* Metric.snapshot.pipe(
        Effect.provide(Telemetry.layer().pipe(Layer.provideMerge(CircuitBreakerRegistry.layer({ circuits })))),
        Effect.provideService(Metric.MetricRegistry, new Map())
      )
      const states = snapshot.filter(({ attributes, id }) =>
        id === "circuit_breaker_state" && attributes?.["state"] === "closed"
      )
      assert.deepStrictEqual(states.map(({ attributes }) => attributes?.["circuit"]), ["kafka", "search"])
    }))

  it.effect("exist from the start as the environment changes them, but not those that only the environment names", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      assert.deepStrictEqual(yield* registry.names, ["kafka", "search"])
      const policies = yield* Effect.forEach(["kafka", "search"], (name) => findCircuit(registry, name)!.policy)
      assert.deepStrictEqual(policies.map(({ consecutiveFailures }) => consecutiveFailures), [9, 7])
    }).pipe(
      Effect.provide(CircuitBreakerRegistry.layerConfig({ circuits })),
      Effect.provideService(
        ConfigProvider.ConfigProvider,
        ConfigProvider.fromEnv({
          env: {
            CB_KAFKA_FAILURE_THRESHOLD: "9",
            CIRCUIT_BREAKER_FAILURE_THRESHOLD: "7",
            CB_OTHER_FAILURE_THRESHOLD: "5"
          }
        })
      )
    ))
})

describe("register", () => {
  it.effect("makes a circuit that stays however idle it is", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.register("a", CircuitPolicy.kafka)
      yield* TestClock.adjust("1000 days")
      assert.deepStrictEqual(yield* registry.names, ["a"])
      assert.strictEqual(yield* registry.register("a", CircuitPolicy.kafka), breaker)
      assert.strictEqual(yield* registry.register("a"), breaker)
    }))

  it.effect("keeps a circuit that was only named until then", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.getOrCreate("a")
      assert.strictEqual(yield* registry.register("a"), breaker)
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(yield* registry.names, ["a"])
    }))

  it.effect("fails if the name lives under another policy", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      yield* registry.register("a", CircuitPolicy.database)
      const error = yield* Effect.flip(registry.register("a", CircuitPolicy.kafka))
      assert.strictEqual(error._tag, "CircuitConflictError")
    }))
})

describe("adopt", () => {
  const own = (options: CircuitPolicy.Options = touchy) =>
    CircuitBreaker.make({ name: "own", policy: CircuitPolicy.make(options) })

  // migration: register_circuit_breaker(name, cb)
  it.effect("puts a circuit into the registry, which sees and controls it as any other", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* own()
      yield* succeed(breaker)
      const events = yield* watch(registry.events)
      assert.strictEqual(yield* registry.adopt(breaker), breaker)
      assert.deepStrictEqual(yield* registry.names, ["own"])
      assert.strictEqual(yield* registry.getOrCreate("own"), breaker)
      yield* fail(breaker)
      assert.deepStrictEqual(yield* registry.openCircuits, ["own"])
      assert.deepStrictEqual((yield* registry.statuses).map(({ totalCalls }) => totalCalls), [2])
      assert.deepStrictEqual(changes(yield* events), ["Closed -> Open: ConsecutiveFailures"])
      assert.isTrue(yield* registry.reset("own"))
      yield* state(breaker, "Closed")
    }))

  it.effect("tells of the changes before it as well, once", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* own()
      yield* breaker.disable
      yield* registry.adopt(breaker)
      yield* breaker.forceClose
      for (const { changes } of [registry, breaker]) {
        const seen = yield* yield* watch(changes)
        assert.deepStrictEqual(seen.map(({ sequence }) => sequence), [1, 2])
      }
    }))

  it.effect("keeps the circuit however idle it is, and may be said twice", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* own()
      yield* registry.adopt(breaker)
      assert.strictEqual(yield* registry.adopt(breaker), breaker)
      yield* TestClock.adjust("30 days")
      assert.deepStrictEqual(yield* registry.names, ["own"])
    }))

  it.effect("keeps one that was only named until then", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      yield* registry.adopt(yield* registry.getOrCreate("a"))
      yield* TestClock.adjust("30 days")
      assert.deepStrictEqual(yield* registry.names, ["a"])
    }))

  it.effect("keeps one that was forgotten, or the one that goes by its name now", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.getOrCreate("a")
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(yield* registry.names, [])
      assert.strictEqual(yield* registry.adopt(breaker), breaker)
      assert.deepStrictEqual(yield* registry.names, ["a"])

      const forgotten = yield* registry.getOrCreate("b")
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(yield* registry.names, ["a"])
      const successor = yield* registry.getOrCreate("b")
      assert.strictEqual(yield* registry.adopt(forgotten), successor)
      yield* TestClock.adjust("30 days")
      assert.deepStrictEqual(yield* registry.names, ["a", "b"])
    }))

  it.effect("tells the changes of a circuit that it takes in again once", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* own()
      yield* registry.adopt(breaker)
      yield* breaker.disable
      yield* registry.remove("own")
      yield* breaker.forceClose
      yield* registry.adopt(breaker)
      yield* breaker.metricsOnly
      for (const { changes } of [registry, breaker]) {
        const seen = yield* yield* watch(changes)
        assert.deepStrictEqual(seen.map(({ sequence }) => sequence), [1, 2, 3])
      }
    }))

  it.effect("lets a circuit of its own that was removed tell its events again", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.getOrCreate("a")
      yield* registry.remove("a")
      assert.strictEqual(yield* registry.adopt(breaker), breaker)
      const events = yield* watch(breaker.events)
      const coming = yield* watch(breaker.changes)
      yield* fail(breaker)
      assert.deepStrictEqual(changes(yield* events), ["Closed -> Open: ConsecutiveFailures"])
      assert.lengthOf(yield* coming, 1)
    }))

  it.effect("tells those who watch the registry's circuits", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const seen: Array<string> = []
      watchCircuits(registry, {
        onKept: ({ name }) => void seen.push(`kept ${name}`),
        onForgotten: ({ name }) => void seen.push(`forgot ${name}`)
      })
      yield* registry.adopt(yield* own())
      yield* registry.remove("own")
      assert.deepStrictEqual(seen, ["kept own", "forgot own"])
    }))

  it.effect("fails if the name lives, and leaves both circuits as they are", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const living = yield* registry.getOrCreate("own")
      const breaker = yield* own()
      const error = yield* Effect.flip(registry.adopt(breaker))
      assert.strictEqual(error._tag, "CircuitConflictError")
      assert.strictEqual(
        error.message,
        "Circuit \"own\" is registered already; remove it first, or use another name"
      )
      assert.strictEqual(findCircuit(registry, "own"), living)
      yield* fail(breaker)
      assert.deepStrictEqual(yield* registry.openCircuits, [])
    }))

  it.effect("conflicts with another policy from then on, as any circuit does", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      yield* registry.adopt(yield* own())
      assert.deepStrictEqual(
        (yield* Effect.flip(registry.getOrCreate("own", CircuitPolicy.kafka)))._tag,
        "CircuitConflictError"
      )
      yield* registry.getOrCreate("own", CircuitPolicy.make(touchy))
    }))

  it.effect("refuses a circuit of another registry, and one that is not of this package", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const elsewhere = yield* (yield* make()).getOrCreate("a")
      const refused = [
        [elsewhere, "CircuitBreakerRegistry.adopt: circuit \"a\" is in a registry already"],
        [
          { ...(yield* own()), name: "hand-made" },
          "CircuitBreakerRegistry.adopt: circuit must be made by CircuitBreaker.make or a class of " +
          "CircuitBreaker.Service, of this very copy of the package, got one named \"hand-made\""
        ],
        ["own", "of this very copy of the package, got string"]
      ] as ReadonlyArray<readonly [Breaker, string]>
      for (const [breaker, message] of refused) {
        const exit = yield* Effect.exit(registry.adopt(breaker))
        assert.isTrue(Exit.hasDies(exit))
        if (Exit.isFailure(exit)) assert.include(Cause.pretty(exit.cause), message)
      }
      assert.deepStrictEqual(yield* registry.names, [])
    }))

  for (const how of ["remove", "the end of the registry"]) {
    it.effect(`gives the circuit back with its events and its history: ${how}`, () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const registry = yield* Scope.provide(make(), scope)
        const breaker = yield* own()
        const events = yield* watch(breaker.events)
        yield* registry.adopt(breaker)
        yield* fail(breaker)
        yield* how === "remove" ? registry.remove("own") : Scope.close(scope, Exit.void)
        yield* breaker.forceClose
        assert.deepStrictEqual(changes(yield* events), [
          "Closed -> Open: ConsecutiveFailures",
          "Open -> Closed: Manual"
        ])
        assert.lengthOf(yield* yield* watch(breaker.changes), 2)
        const another = yield* make()
        yield* another.adopt(breaker)
        assert.deepStrictEqual(yield* another.names, ["own"])
      }))
  }

  it.effect("makes the circuit what all circuits of the registry are", () =>
    Effect.gen(function*() {
      const env = ConfigProvider.fromEnv({ env: { CB_OWN_FAILURE_THRESHOLD: "7" } })
      const configured = yield* own()
      const disabled = yield* own()
      const adopt = (breaker: Breaker) => Effect.flatMap(Registry, (registry) => registry.adopt(breaker))
      yield* adopt(configured).pipe(
        Effect.provide(CircuitBreakerRegistry.layerConfig()),
        Effect.provideService(ConfigProvider.ConfigProvider, env)
      )
      yield* adopt(disabled).pipe(Effect.provide(CircuitBreakerRegistry.layerDisabled))
      assert.strictEqual((yield* configured.policy).consecutiveFailures, 7)
      yield* state(disabled, "Disabled")
    }))
})

describe("reconfigure", () => {
  it.effect("gives a living circuit another policy; state, backoff and listeners stay", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.getOrCreate("a")
      const events = yield* watch(breaker.events)
      yield* fail(breaker)
      assert.isTrue(yield* registry.reconfigure("a", CircuitPolicy.make({ ...touchy, consecutiveFailures: 2 })))

      yield* state(breaker, "Open")
      yield* TestClock.adjust("10 seconds")
      yield* fail(breaker)
      assert.strictEqual((yield* breaker.metrics).consecutiveOpenings, 2)
      assert.deepStrictEqual(changes(yield* events), [
        "Closed -> Open: ConsecutiveFailures",
        "Open -> HalfOpen: OpenTimeEnded",
        "HalfOpen -> Open: ProbeFailed"
      ])
      assert.deepStrictEqual(
        (yield* events).flatMap((event) => event._tag === "Reconfigured" ? [event.changed] : []),
        [["consecutiveFailures"]]
      )
    }))

  it.effect("is false for a name that does not live, and makes no circuit", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      assert.isFalse(yield* registry.reconfigure("a", CircuitPolicy.kafka))
      assert.deepStrictEqual(yield* registry.names, [])
    }))

  it.effect("leaves the places that name the circuit with its old or its new policy in peace", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.getOrCreate("a", CircuitPolicy.database)
      yield* registry.reconfigure("a", CircuitPolicy.kafka)
      assert.strictEqual(yield* registry.getOrCreate("a", CircuitPolicy.database), breaker)
      assert.strictEqual(yield* registry.getOrCreate("a", CircuitPolicy.kafka), breaker)
      assert.strictEqual(yield* breaker.policy, CircuitPolicy.kafka)
    }))

  it.effect("is not undone by the circuit being idle", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      yield* registry.getOrCreate("a")
      yield* registry.reconfigure("a", CircuitPolicy.kafka)
      yield* TestClock.adjust("1 day")
      yield* registry.names
      const breaker = yield* registry.getOrCreate("a")
      assert.strictEqual(yield* breaker.policy, CircuitPolicy.kafka)
    }))
})

describe("remove", () => {
  it.effect("forgets a circuit, so that its name gets a new one", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.register("a")
      yield* fail(breaker)
      assert.isTrue(yield* registry.remove("a"))
      assert.deepStrictEqual(yield* registry.names, [])
      assert.isFalse(yield* registry.remove("a"))

      const other = yield* registry.getOrCreate("a", CircuitPolicy.kafka)
      assert.notStrictEqual(other, breaker)
      yield* state(other, "Closed")
    }))

  it.effect("ends the events of the circuit, and not those of the registry", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.getOrCreate("a")
      const all = yield* watch(registry.events)
      const fiber = yield* Effect.forkChild(Stream.runCollect(breaker.events), { startImmediately: true })
      yield* settle
      yield* succeed(breaker)
      yield* registry.remove("a")

      assert.strictEqual((yield* Fiber.join(fiber)).length, 1)
      yield* succeed(yield* registry.getOrCreate("b"))
      assert.deepStrictEqual((yield* all).map((event) => event.circuit), ["a", "b"])
    }))

  it.effect("forgets that a circuit was registered", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      yield* registry.register("a")
      yield* registry.remove("a")
      yield* registry.getOrCreate("a")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* registry.names, [])
    }))

  it.effect("forgets a circuit that was idle and restored before", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.getOrCreate("a")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* registry.names, [])
      yield* succeed(breaker)
      yield* registry.remove("a")
      yield* succeed(breaker)
      assert.deepStrictEqual(yield* registry.names, [])
    }))

  it.effect("leaves the circuit to whoever holds it, apart from the registry", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.getOrCreate("a")
      const running = yield* hold(breaker)
      yield* registry.remove("a")
      const events = yield* watch(registry.events)

      assert.deepStrictEqual(yield* running.fail, Exit.fail("down"))
      yield* state(breaker, "Open")
      assert.deepStrictEqual(yield* registry.openCircuits, [])
      assert.deepStrictEqual(yield* events, [])
    }))
})

describe("statuses", () => {
  it.effect("are the metrics of all circuits, oldest first", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      yield* succeed(yield* registry.getOrCreate("b"))
      yield* fail(yield* registry.getOrCreate("a"))
      const statuses = yield* registry.statuses
      assert.deepStrictEqual(statuses.map(({ name, state, totalCalls }) => [name, state, totalCalls]), [
        ["b", "Closed", 1],
        ["a", "Open", 1]
      ])
    }))

  it.effect("and names, openCircuits and anyOpen of an empty registry are empty", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      assert.deepStrictEqual(
        [yield* registry.names, yield* registry.statuses, yield* registry.openCircuits, yield* registry.anyOpen],
        [[], [], [], false]
      )
    }))
})

describe("openCircuits and anyOpen", () => {
  it.effect("are about the circuits that reject calls now: Open and ForcedOpen", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const [open, forced, disabled, closed] = [
        yield* registry.getOrCreate("open"),
        yield* registry.getOrCreate("forced"),
        yield* registry.getOrCreate("disabled"),
        yield* registry.getOrCreate("closed")
      ]
      assert.isFalse(yield* registry.anyOpen)
      yield* fail(open)
      yield* forced.forceOpen()
      yield* disabled.disable
      yield* succeed(closed)
      assert.deepStrictEqual(yield* registry.openCircuits, ["open", "forced"])
      assert.isTrue(yield* registry.anyOpen)

      yield* forced.forceClose
      yield* TestClock.adjust("10 seconds")
      // Half-open since this very instant.
      assert.deepStrictEqual(yield* registry.openCircuits, [])
      assert.isFalse(yield* registry.anyOpen)
    }))
})

describe("reset and resetAll", () => {
  it.effect("make one or all circuits as new", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const [a, b] = [yield* registry.getOrCreate("a"), yield* registry.getOrCreate("b")]
      yield* fail(a)
      yield* fail(b)
      assert.isTrue(yield* registry.reset("a"))
      assert.deepStrictEqual(yield* registry.openCircuits, ["b"])
      assert.strictEqual((yield* a.metrics).totalCalls, 0)

      yield* fail(a)
      assert.isUndefined(yield* registry.resetAll)
      assert.deepStrictEqual((yield* registry.statuses).map(({ state, totalCalls }) => [state, totalCalls]), [
        ["Closed", 0],
        ["Closed", 0]
      ])
    }))

  it.effect("reset is false for a name that does not live", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      assert.isFalse(yield* registry.reset("a"))
      yield* registry.resetAll
    }))
})

describe("systemStatus", () => {
  // migration: a periodic health check over all circuits
  it.effect("is healthy, degraded or unhealthy, with the counts behind it", () =>
    Effect.gen(function*() {
      const registry = yield* make({ defaults: CircuitPolicy.make({ ...touchy, consecutiveFailures: 2 }) })
      assert.deepStrictEqual(yield* registry.systemStatus, {
        status: "healthy",
        totalCircuits: 0,
        circuitsByState: { Closed: 0, Open: 0, HalfOpen: 0, ForcedOpen: 0, Disabled: 0, MetricsOnly: 0 },
        openCircuits: [],
        totalCalls: 0,
        rejectedCalls: 0
      })
      const [a, b] = [yield* registry.getOrCreate("a"), yield* registry.getOrCreate("b")]
      yield* succeed(a, 9)
      yield* fail(a)
      assert.strictEqual((yield* registry.systemStatus).status, "healthy")
      yield* succeed(a)
      yield* fail(a)
      assert.strictEqual((yield* registry.systemStatus).status, "degraded")
      yield* fail(b, 3)
      assert.deepStrictEqual(yield* registry.systemStatus, {
        status: "unhealthy",
        totalCircuits: 2,
        circuitsByState: { Closed: 1, Open: 1, HalfOpen: 0, ForcedOpen: 0, Disabled: 0, MetricsOnly: 0 },
        openCircuits: ["b"],
        totalCalls: 15,
        rejectedCalls: 1
      })
      yield* registry.reset("a")
      yield* TestClock.adjust("10 seconds")
      const probing = yield* registry.systemStatus
      assert.deepStrictEqual([probing.status, probing.circuitsByState.HalfOpen], ["degraded", 1])
      yield* b.forceOpen()
      assert.strictEqual((yield* registry.systemStatus).status, "unhealthy")
      yield* b.disable
      assert.strictEqual((yield* registry.systemStatus).status, "healthy")
    }))

  it.effect("is degraded by a circuit that probes, however few of its calls failed", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const a = yield* registry.getOrCreate("a")
      yield* succeed(a, 99)
      yield* fail(a)
      yield* TestClock.adjust("10 seconds")

      yield* state(a, "HalfOpen")
      assert.isAtMost((yield* a.metrics).failureRate, 0.1)
      assert.strictEqual((yield* registry.systemStatus).status, "degraded")
    }))
})

describe("events", () => {
  it.effect("are those of all circuits, also of ones made later, in order per circuit", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const early = yield* registry.getOrCreate("early")
      const events = yield* watch(registry.events)
      const late = yield* registry.getOrCreate("late")
      yield* succeed(early)
      yield* fail(late)
      yield* fail(early)
      assert.deepStrictEqual((yield* events).map((event) => [event.circuit, event.sequence, event._tag]), [
        ["early", 1, "CallEnded"],
        ["late", 1, "CallEnded"],
        ["late", 2, "StateChanged"],
        ["early", 2, "CallEnded"],
        ["early", 3, "StateChanged"]
      ])
    }))

  it.effect("end with the registry, those of its circuits as well, and later ones are empty", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const registry = yield* Scope.provide(make(), scope)
      const breaker = yield* registry.getOrCreate("a")
      const streams = [registry.events, breaker.events, Stream.filter(registry.events, () => false)]
      const fibers = yield* Effect.forEach(
        streams,
        (stream) => Effect.forkChild(Stream.runCollect(stream), { startImmediately: true })
      )
      yield* settle
      yield* succeed(breaker)
      yield* Scope.close(scope, Exit.void)

      const collected = yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(collected.map((events) => events.length), [1, 1, 0])
      assert.deepStrictEqual(yield* Stream.runCollect(registry.events), [])
      assert.deepStrictEqual(yield* Stream.runCollect(breaker.events), [])
    }))

  it.effect("end though a listener of them is busy", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const registry = yield* Scope.provide(make(), scope)
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(registry.events, () => Effect.sleep("1 minute")),
        { startImmediately: true }
      )
      yield* settle
      yield* succeed(yield* registry.getOrCreate("a"), 2)
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("2 minutes")
      yield* Fiber.join(fiber)
    }))

  it("end wherever the stream is as it starts", () => {
    const places = atEveryOperation((machine, start) => {
      const scope = Scope.makeUnsafe()
      const registry = Effect.runSync(Scope.provide(make(), scope))
      const fiber = start(Stream.runDrain(registry.events))
      machine.run(Scope.close(scope, Exit.void))
      machine.finish()
      assert.isDefined(fiber.pollUnsafe(), "the stream never ends")
    })
    assert.isAbove(places, 10)
  })
})

describe("idle circuits", () => {
  // migration: a breaker for each endpoint
  it.effect("are forgotten once they have not been called for idleTimeToLive, and not before", () =>
    Effect.gen(function*() {
      const registry = yield* make({ idleTimeToLive: "10 minutes" })
      const breaker = yield* registry.getOrCreate("a")
      yield* TestClock.adjust("9 minutes")
      yield* succeed(breaker)
      yield* TestClock.adjust("599999 millis")
      assert.deepStrictEqual(yield* registry.names, ["a"])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* registry.names, [])
      assert.deepStrictEqual(yield* registry.get("a"), Option.none())
    }))

  it.effect("are forgotten by whoever looks for them first, be it by name", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      yield* registry.getOrCreate("a")
      yield* registry.getOrCreate("b")
      yield* TestClock.adjust("1 hour")

      assert.deepStrictEqual(yield* registry.get("a"), Option.none())
      assert.isUndefined(findCircuit(registry, "b"))
    }))

  it.effect("one hour by default", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      yield* registry.getOrCreate("a")
      yield* TestClock.adjust("3599 seconds")
      assert.deepStrictEqual(yield* registry.names, ["a"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* registry.names, [])
    }))

  it.effect("never, with an infinite idleTimeToLive", () =>
    Effect.gen(function*() {
      const registry = yield* make({ idleTimeToLive: "Infinity" })
      yield* succeed(yield* registry.getOrCreate("a"))
      yield* TestClock.adjust("1000 days")
      yield* repeat(Effect.suspend(() => registry.getOrCreate(`tenant-${Math.random()}`)), 10)
      assert.strictEqual((yield* registry.names).length, 11)
    }))

  it.effect("a rejected call is a call", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      yield* registry.getOrCreate("idle")
      const breaker = yield* registry.getOrCreate("used")
      yield* TestClock.adjust("59 minutes")
      yield* succeed(breaker)
      yield* TestClock.adjust("59 minutes")
      assert.deepStrictEqual(yield* registry.names, ["used"])
    }).pipe(Effect.provide(CircuitBreakerRegistry.layerForcedOpen)))

  it.effect("a call keeps its circuit, also under a policy that measures no durations", () =>
    Effect.gen(function*() {
      const untimed = CircuitPolicy.make({ consecutiveFailures: 3, window: { calls: 10 } })
      const registry = yield* make({ defaults: untimed })
      const breaker = yield* registry.getOrCreate("a")
      yield* TestClock.adjust("59 minutes")
      yield* succeed(breaker)
      yield* TestClock.adjust("59 minutes")
      assert.deepStrictEqual(yield* registry.names, ["a"])
      assert.isUndefined((yield* breaker.metrics).averageResponseTime)
    }))

  it.effect("the end of a call keeps its circuit as well as its start", () =>
    Effect.gen(function*() {
      const registry = yield* make({ defaults: CircuitPolicy.make({ consecutiveFailures: 3, window: { calls: 10 } }) })
      const breaker = yield* registry.getOrCreate("a")
      const running = yield* hold(breaker)
      yield* TestClock.adjust("2 hours")
      yield* running.succeed
      yield* TestClock.adjust("59 minutes")
      assert.deepStrictEqual(yield* registry.names, ["a"])
    }))

  it.effect("are forgotten also if nobody holds a handle of them", () =>
    Effect.gen(function*() {
      const registry = yield* make({ idleTimeToLive: "10 minutes" })
      yield* CircuitBreaker.withCircuitBreaker(Effect.void, "a").pipe(Effect.provideService(Registry, registry))
      assert.deepStrictEqual(yield* registry.names, ["a"])
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(yield* registry.names, [])
    }))

  it.effect("reading a circuit is not a call", () =>
    Effect.gen(function*() {
      const registry = yield* make({ idleTimeToLive: "10 minutes" })
      yield* registry.getOrCreate("a")
      yield* TestClock.adjust("9 minutes")
      yield* registry.getOrCreate("a")
      yield* registry.statuses
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* registry.names, [])
    }))

  const kept: Record<string, (breaker: Breaker) => Effect.Effect<unknown, unknown, Scope.Scope>> = {
    "with a call in flight": hold,
    "with a permit out": (breaker) => breaker.permit,
    "forced open": (breaker) => breaker.forceOpen(),
    disabled: (breaker) => breaker.disable,
    "in MetricsOnly": (breaker) => breaker.metricsOnly,
    "with a listener": (breaker) => CircuitBreaker.onTrip(breaker, () => Effect.void),
    "with a subscriber to its events": (breaker) => watch(breaker.events)
  }
  for (const [name, keep] of Object.entries(kept)) {
    it.effect(`are kept ${name}`, () =>
      Effect.gen(function*() {
        const registry = yield* make()
        const breaker = yield* registry.getOrCreate("a")
        yield* keep(breaker)
        yield* settle
        yield* TestClock.adjust("30 days")
        assert.deepStrictEqual(yield* registry.names, ["a"])
        // Nor are they forgotten little by little, as others are made.
        yield* repeat(Effect.suspend(() => registry.getOrCreate(`tenant-${Math.random()}`)), 20)
        assert.strictEqual(findCircuit(registry, "a"), breaker)
      }))
  }

  it.effect("are kept while they are open, and for the idle time after that", () =>
    Effect.gen(function*() {
      const registry = yield* make({ defaults: CircuitPolicy.make({ ...touchy, openDuration: "1 day" }) })
      yield* fail(yield* registry.getOrCreate("a"))
      yield* TestClock.adjust("1 day")
      yield* TestClock.adjust("59 minutes")
      assert.deepStrictEqual(yield* registry.names, ["a"])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* registry.names, [])
    }))

  it.effect("a listener that leaves does not keep its circuit", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.getOrCreate("a")
      yield* Effect.scoped(Effect.andThen(CircuitBreaker.onTrip(breaker, () => Effect.void), settle))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* registry.names, [])
    }))

  it.effect("are restored by a call through a handle that somebody kept", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.getOrCreate("a")
      yield* succeed(breaker)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* registry.names, [])

      yield* fail(breaker)
      assert.deepStrictEqual(yield* registry.openCircuits, ["a"])
      assert.strictEqual(yield* registry.getOrCreate("a"), breaker)
      assert.strictEqual((yield* breaker.metrics).successfulCalls, 1)
    }))

  it.effect("a handle of a forgotten circuit finds the one that goes by its name now", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const old = yield* registry.getOrCreate("a")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* registry.names, [])
      const current = yield* registry.getOrCreate("a")
      assert.notStrictEqual(old, current)

      yield* fail(current)
      yield* state(old, "Open")
      assert.strictEqual((yield* old.metrics).failedCalls, 1)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(old.execute(Effect.void))))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.scoped(old.permit))))
      assert.strictEqual((yield* current.metrics).rejectedCalls, 2)

      const events = yield* watch(old.events)
      yield* old.forceClose
      yield* state(current, "Closed")
      assert.deepStrictEqual(changes(yield* events), ["Open -> Closed: Manual"])
      yield* old.reconfigure(CircuitPolicy.kafka)
      assert.strictEqual(yield* current.policy, CircuitPolicy.kafka)
    }))

  it.effect("handles of a name that was forgotten more than once all find the same circuit", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const handles: Array<Breaker> = []
      for (let i = 0; i < 3; i++) {
        handles.push(yield* registry.getOrCreate("a"))
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(yield* registry.names, [])
      }
      yield* fail(handles[0]!)
      for (const handle of handles) yield* state(handle, "Open")
      assert.deepStrictEqual(yield* registry.names, ["a"])
    }))

  it.effect("an effect made before its circuit was forgotten runs through the new one", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const breaker = yield* registry.getOrCreate("a")
      const effect = breaker.execute(Effect.fail("down"))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* registry.names, [])
      const current = yield* registry.getOrCreate("a")
      yield* Effect.exit(effect)
      yield* state(current, "Open")
    }))

  it.effect("registry events come from restored and from new circuits alike", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const events = yield* watch(registry.events)
      const breaker = yield* registry.getOrCreate("a")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* registry.names, [])
      yield* succeed(breaker)
      assert.deepStrictEqual((yield* events).map((event) => event.circuit), ["a"])
    }))
})

describe("a circuit that was forced open for a time", () => {
  it.effect("is kept until that time is over, and forgotten when it has been idle since", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      yield* (yield* registry.getOrCreate("a")).forceOpen({ duration: "2 hours" })
      yield* (yield* registry.getOrCreate("b")).forceOpen()
      yield* TestClock.adjust("150 minutes")
      assert.deepStrictEqual(yield* registry.names, ["a", "b"])
      yield* TestClock.adjust("30 minutes")
      assert.deepStrictEqual(yield* registry.names, ["b"])
    }))
})

describe("changes", () => {
  it.effect("are told for all circuits, in their order, and for one of them", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const a = yield* registry.getOrCreate("a")
      const b = yield* registry.getOrCreate("b")
      yield* a.disable
      yield* b.disable
      yield* a.forceClose

      const all = yield* yield* watch(registry.changes)
      assert.deepStrictEqual(all.map(({ circuit, sequence }) => [circuit, sequence]), [["a", 1], ["b", 1], ["a", 2]])
      assert.lengthOf(yield* yield* watch(a.changes), 2)
      assert.lengthOf(yield* yield* watch(b.changes), 1)
    }))

  it.effect("of a circuit that was removed, or whose registry has ended, are still told", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const registry = yield* Scope.provide(make(), scope)
      const removed = yield* registry.getOrCreate("removed")
      const kept = yield* registry.getOrCreate("kept")
      yield* removed.disable
      yield* kept.disable
      yield* registry.remove("removed")
      assert.lengthOf(yield* Stream.runCollect(removed.changes), 1)

      yield* Scope.close(scope, Exit.void)
      assert.lengthOf(yield* Stream.runCollect(kept.changes), 1)
      assert.lengthOf(yield* Stream.runCollect(registry.changes), 2)
    }))

  it.effect("keep a circuit that somebody listens to", () =>
    Effect.gen(function*() {
      const registry = yield* make({ idleTimeToLive: "1 minute" })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* Effect.asVoid(watch((yield* registry.getOrCreate("a")).changes))
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(yield* registry.names, ["a"])
      }))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* registry.names, [])
    }))
})

describe("a permit", () => {
  it("is that of the circuit that goes by the name now, wherever its fiber pauses", () => {
    atEveryOperation((machine, start, place) => {
      const registry = Exit.getSuccess(
        machine.run(
          Scope.provide(CircuitBreakerRegistry.make({ idleTimeToLive: 10 }), Scope.makeUnsafe())
        ).pollUnsafe()!
      ).pipe(Option.getOrThrow)
      const handle = namedCircuit(registry, "search")
      machine.now = 10
      start(Effect.scoped(Effect.andThen(handle.permit, Effect.sleep(5))))
      machine.run(registry.names)
      const circuit = namedCircuit(registry, "search")
      machine.settle()

      assert.strictEqual(Effect.runSync(circuit.metrics).callsInFlight, 1, `operation ${place}`)
      machine.finish()
    })
  })
})

describe("ten thousand tenants", () => {
  it.effect("do not accumulate, though nobody ever looks at the registry as a whole", () =>
    Effect.gen(function*() {
      const clocks = new TwoClocks()
      const registry = yield* Effect.provideService(make({ idleTimeToLive: "1 minute" }), Clock.Clock, clocks)
      const inUse = yield* registry.getOrCreate("in use")
      let mostAlive = 0
      for (let i = 0; i < 10_000; i++) {
        yield* succeed(namedCircuit(registry, `tenant-${i}`))
        yield* succeed(inUse)
        clocks.pass("1 second")
        if (i % 1_000 === 999) {
          mostAlive = Math.max(mostAlive, yield* alive(registry, "tenant", i + 1))
        }
      }
      // Sixty are young enough; the sweep may be a round behind.
      assert.isAtMost(mostAlive, 200)
      assert.isAtMost((yield* registry.names).length, 62)
      assert.strictEqual(findCircuit(registry, "in use"), inUse)
    }))

  it.effect("that came at once leave at once", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      for (let i = 0; i < 10_000; i++) yield* succeed(namedCircuit(registry, `tenant-${i}`))
      assert.strictEqual((yield* registry.names).length, 10_000)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* registry.names).length, 0)
    }))

  it("that have left leave nothing behind in memory", async () => {
    v8.setFlagsFromString("--expose-gc")
    const collect: () => void = vm.runInNewContext("gc")
    const clocks = new TwoClocks()
    const registry = Effect.runSync(
      make({ idleTimeToLive: "1 minute" }).pipe(
        Scope.provide(Scope.makeUnsafe()),
        Effect.provideService(Clock.Clock, clocks)
      )
    )
    const circuits = Array.from({ length: 1_000 }, (_, i) => new WeakRef(namedCircuit(registry, `tenant-${i}`)))
    clocks.pass("1 hour")
    assert.isEmpty(Effect.runSync(registry.names))
    // A reference is held for the turn it was made in.
    await new Promise((resolve) => setImmediate(resolve))
    collect()

    assert.isBelow(circuits.filter((circuit) => circuit.deref() !== undefined).length, 10)
    assert.isEmpty(Effect.runSync(registry.names))
  })

  it.effect("that came at once leave as new ones come, two for each", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      for (let i = 0; i < 1_000; i++) yield* succeed(namedCircuit(registry, `old-${i}`))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* alive(registry, "old", 1_000), 1_000)
      for (let i = 0; i < 100; i++) namedCircuit(registry, `new-${i}`)
      assert.approximately(yield* alive(registry, "old", 1_000), 800, 30)
      for (let i = 100; i < 1_000; i++) namedCircuit(registry, `new-${i}`)
      assert.strictEqual(yield* alive(registry, "old", 1_000), 0)
      assert.strictEqual(yield* alive(registry, "new", 1_000), 1_000)
    }))
})

/** How many circuits are held. Giving a circuit the policy that it has is the one look at it that forgets none. */
const alive = (registry: CircuitBreakerRegistry.CircuitBreakerRegistry, prefix: string, count: number) =>
  Effect.map(
    Effect.forEach(Array.from({ length: count }), (_, i) => registry.reconfigure(`${prefix}-${i}`, policy)),
    (living) => living.filter(Boolean).length
  )

describe("whoever watches the circuits of a registry", () => {
  const watcher = () => {
    const seen: Array<string> = []
    return {
      seen,
      onKept: ({ name }: { readonly name: string }) => void seen.push(`kept ${name}`),
      onForgotten: ({ name }: { readonly name: string }) => void seen.push(`forgot ${name}`)
    }
  }

  it.effect("is told of those that live, of each that comes, goes or is restored, and of none afterwards", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const a = yield* registry.getOrCreate("a")
      const first = watcher()
      const stop = watchCircuits(registry, first)
      assert.deepStrictEqual(first.seen, ["kept a"])

      yield* registry.getOrCreate("b")
      yield* registry.remove("b")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* registry.names, [])
      yield* succeed(a)
      assert.deepStrictEqual(first.seen, ["kept a", "kept b", "forgot b", "forgot a", "kept a"])

      stop()
      yield* registry.getOrCreate("c")
      assert.lengthOf(first.seen, 5)
    }))

  it.effect("is told of changes from now on", () =>
    Effect.gen(function*() {
      const registry = yield* make()
      const a = yield* registry.getOrCreate("a")
      yield* a.disable
      const coming = yield* watch(newChanges(registry))
      yield* a.forceClose

      assert.deepStrictEqual((yield* coming).map(({ sequence }) => sequence), [2])
    }))

  it.effect("of somebody else's registry is told of all its changes, and of no circuit", () =>
    Effect.gen(function*() {
      const registry = { ...(yield* make()) }
      const a = yield* registry.getOrCreate("a")
      yield* a.disable
      const { seen, ...others } = watcher()
      const stop = watchCircuits(registry, others)
      yield* registry.getOrCreate("b")
      stop()

      assert.deepStrictEqual(seen, [])
      assert.strictEqual(newChanges(registry), registry.changes)
    }))
})

describe("reload", () => {
  /** A program under an environment that changes while it runs. */
  const underEnv = <A, E>(
    env: Record<string, string>,
    use: (
      registry: CircuitBreakerRegistry.CircuitBreakerRegistry,
      env: Record<string, string>
    ) => Effect.Effect<A, E, Scope.Scope>,
    options: CircuitBreakerRegistry.Options = {}
  ) =>
    Effect.flatMap(Registry, (registry) => use(registry, env)).pipe(
      Effect.provide(
        CircuitBreakerRegistry.layerConfig(options).pipe(
          Layer.provide(ConfigProvider.layer(
            ConfigProvider.make((path) => Effect.suspend(() => ConfigProvider.fromEnv({ env }).load(path)))
          ))
        )
      )
    )
  const failures = (breaker: Breaker) => Effect.map(breaker.policy, ({ consecutiveFailures }) => consecutiveFailures)

  it.effect("reads the settings again, and tells what changed in which circuit", () =>
    underEnv({ CB_A_FAILURE_THRESHOLD: "2" }, (registry, env) =>
      Effect.gen(function*() {
        const [a, b, c] = yield* Effect.forEach(["a", "b", "c"], (name) => registry.getOrCreate(name))
        const seen = yield* watch(registry.changes)
        env["CB_A_FAILURE_THRESHOLD"] = "3"
        env["CIRCUIT_BREAKER_RECOVERY_TIMEOUT"] = "30"
        env["CB_C_RECOVERY_TIMEOUT"] = "60"
        assert.deepStrictEqual(yield* registry.reload, [
          { circuit: "a", changed: ["consecutiveFailures", "openDuration"] },
          { circuit: "b", changed: ["openDuration"] }
        ])
        assert.deepStrictEqual(
          (yield* seen).map((change) => [change.circuit, change._tag === "Reconfigured" && change.changed]),
          [["a", ["consecutiveFailures", "openDuration"]], ["b", ["openDuration"]]]
        )
        assert.deepStrictEqual(yield* Effect.forEach([a!, b!, c!], failures), [3, 5, 5])
        assert.strictEqual(yield* failures(yield* registry.getOrCreate("d")), 5)
        // Nothing has changed since.
        assert.deepStrictEqual(yield* registry.reload, [])
      })))

  it.effect("keeps state, counts and backoff", () =>
    underEnv({ CB_A_FAILURE_THRESHOLD: "1" }, (registry, env) =>
      Effect.gen(function*() {
        const a = yield* registry.getOrCreate("a")
        yield* fail(a)
        env["CB_A_FAILURE_THRESHOLD"] = "2"
        yield* registry.reload
        yield* state(a, "Open")
        assert.strictEqual((yield* a.metrics).failedCalls, 1)
      })))

  it.effect("changes nothing if anything is wrong, and says what", () =>
    underEnv({}, (registry, env) =>
      Effect.gen(function*() {
        const a = yield* registry.getOrCreate("a")
        env["CB_A_FAILURE_THRESHOLD"] = "3"
        env["CB_B_FAILURE_THRESHOLD"] = "none"
        const error = yield* Effect.flip(registry.reload)
        assert.include(error.message, "CB_B_FAILURE_THRESHOLD")
        assert.strictEqual(yield* failures(a), 5)
        assert.strictEqual(yield* failures(yield* registry.getOrCreate("a2")), 5)
        delete env["CB_B_FAILURE_THRESHOLD"]
        assert.deepStrictEqual(yield* registry.reload, [{ circuit: "a", changed: ["consecutiveFailures"] }])
      })))

  it.effect("respects policies in code, wherever they are named", () =>
    underEnv({}, (registry, env) =>
      Effect.gen(function*() {
        const layered = findCircuit(registry, "layered")!
        const named = yield* registry.getOrCreate("named", CircuitPolicy.make({ consecutiveFailures: 8 }))
        const adopted = yield* registry.adopt(
          yield* CircuitBreaker.make({ name: "adopted", policy: CircuitPolicy.make({ consecutiveFailures: 9 }) })
        )
        const all = Effect.forEach([layered, named, adopted], failures)
        env["CIRCUIT_BREAKER_FAILURE_THRESHOLD"] = "3"
        yield* registry.reload
        assert.deepStrictEqual(yield* all, [7, 8, 9])
        for (const name of ["LAYERED", "NAMED", "ADOPTED"]) env[`CB_${name}_FAILURE_THRESHOLD`] = "2"
        yield* registry.reload
        assert.deepStrictEqual(yield* all, [2, 2, 2])
        for (const name of ["LAYERED", "NAMED", "ADOPTED"]) delete env[`CB_${name}_FAILURE_THRESHOLD`]
        yield* registry.reload
        assert.deepStrictEqual(yield* all, [7, 8, 9])
      }), { circuits: { layered: CircuitPolicy.make({ consecutiveFailures: 7 }) } }))

  it.effect("leaves circuits that were reconfigured by hand alone", () =>
    underEnv({}, (registry, env) =>
      Effect.gen(function*() {
        const a = yield* registry.getOrCreate("a")
        yield* registry.reconfigure("a", CircuitPolicy.make({ consecutiveFailures: 9 }))
        env["CB_A_FAILURE_THRESHOLD"] = "2"
        assert.deepStrictEqual(yield* registry.reload, [])
        assert.strictEqual(yield* failures(a), 9)
      })))

  it.effect("switches circuits off and on, and says so", () =>
    underEnv({ CB_OFF_ENABLED: "false" }, (registry, env) =>
      Effect.gen(function*() {
        const off = yield* registry.getOrCreate("off")
        const on = yield* registry.getOrCreate("on")
        yield* state(off, "Disabled")
        yield* state(on, "Closed")
        const seen = yield* watch(registry.changes)

        env["CB_OFF_ENABLED"] = "true"
        env["CIRCUIT_BREAKER_ENABLED"] = "false"
        assert.deepStrictEqual(yield* registry.reload, [
          { circuit: "off", changed: ["enabled"] },
          { circuit: "on", changed: ["enabled"] }
        ])
        yield* state(off, "Closed")
        yield* state(on, "Disabled")
        yield* state(yield* registry.getOrCreate("new"), "Disabled")
        yield* state(yield* registry.adopt(yield* CircuitBreaker.make({ name: "adopted" })), "Disabled")
        assert.deepStrictEqual(
          (yield* seen).map((change) => change._tag === "StateChanged" && [change.circuit, change.to, change.note]),
          [
            ["off", "Closed", "switched on by the environment"],
            ["on", "Disabled", "switched off by the environment"],
            ["adopted", "Disabled", "switched off by the environment"]
          ]
        )
        assert.deepStrictEqual(yield* registry.reload, [])
      })))

  it.effect("does not undo what an operator has commanded", () =>
    underEnv({}, (registry, env) =>
      Effect.gen(function*() {
        const forced = yield* registry.getOrCreate("forced")
        const disabled = yield* registry.getOrCreate("disabled")
        const closed = yield* registry.getOrCreate("closed")
        yield* forced.forceOpen()
        yield* disabled.disable
        env["CIRCUIT_BREAKER_ENABLED"] = "false"
        assert.deepStrictEqual(yield* registry.reload, [{ circuit: "closed", changed: ["enabled"] }])
        yield* state(forced, "ForcedOpen")
        yield* closed.forceClose
        assert.deepStrictEqual(yield* registry.reload, [])
        yield* state(closed, "Closed")
        env["CIRCUIT_BREAKER_ENABLED"] = "true"
        assert.deepStrictEqual(yield* registry.reload, [])
        yield* state(disabled, "Disabled")
      })))

  it.effect("reaches circuits that were forgotten when they come back", () =>
    underEnv({ CB_OFF_ENABLED: "false" }, (registry, env) =>
      Effect.gen(function*() {
        const [a, off] = [yield* registry.getOrCreate("a"), yield* registry.getOrCreate("off")]
        yield* TestClock.adjust("2 hours")
        assert.deepStrictEqual(yield* registry.names, [])
        env["CB_A_FAILURE_THRESHOLD"] = "2"
        env["CB_OFF_ENABLED"] = "true"
        yield* registry.reload
        yield* succeed(a)
        yield* succeed(off)
        assert.strictEqual(yield* failures(a), 2)
        yield* state(off, "Closed")
      })))

  it.effect("one at a time: what was read last counts", () =>
    Effect.gen(function*() {
      const latch = yield* Latch.make()
      let reads = 0
      const provider = ConfigProvider.make((path) => {
        if (path[0] !== "CB_A_FAILURE_THRESHOLD") return Effect.succeed(undefined)
        const read = ++reads
        const value = Effect.succeed(ConfigProvider.makeValue(String(read)))
        // The second read is slow, and the third is not.
        return read === 2 ? Effect.andThen(latch.await, value) : value
      })
      const registry = yield* Registry.pipe(
        Effect.provide(
          yield* Layer.build(
            CircuitBreakerRegistry.layerConfig({ circuits: { a: undefined } }).pipe(
              Layer.provide(ConfigProvider.layer(provider))
            )
          )
        )
      )
      const slow = yield* Effect.forkChild(registry.reload, { startImmediately: true })
      const fast = yield* Effect.forkChild(registry.reload, { startImmediately: true })
      yield* settle
      yield* latch.open
      yield* Fiber.join(slow)
      yield* Fiber.join(fast)
      assert.strictEqual(yield* failures(findCircuit(registry, "a")!), 3)
    }))

  it.effect("reads the process environment as it is now, if no other is provided", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      yield* Effect.acquireRelease(
        Effect.sync(() => process.env["CB_RELOADED_FAILURE_THRESHOLD"] = "3"),
        () => Effect.sync(() => delete process.env["CB_RELOADED_FAILURE_THRESHOLD"])
      )
      assert.deepStrictEqual(yield* registry.reload, [{ circuit: "reloaded", changed: ["consecutiveFailures"] }])
    }).pipe(Effect.provide(CircuitBreakerRegistry.layerConfig({ circuits: { reloaded: undefined } }))))

  it.effect("of a registry that no environment configures changes nothing", () =>
    Effect.gen(function*() {
      const registry = yield* make({ circuits: { a: undefined } })
      assert.deepStrictEqual(yield* registry.reload, [])
    }))
})

describe("a registry of another copy of the package", () => {
  const otherCopy = Effect.promise(() => {
    vi.resetModules()
    return import("effect-resilience")
  })

  it.effect("keeps its own handles, though this copy looks at its circuits", () =>
    Effect.gen(function*() {
      const other = yield* otherCopy
      const registry = yield* other.CircuitBreakerRegistry.make()
      yield* CircuitBreaker.withCircuitBreaker(Effect.void, "a").pipe(Effect.provideService(Registry, registry))
      yield* Effect.flatMap(HealthMonitor.make({ checks: { a: { circuit: "a" } } }), ({ latest }) => latest).pipe(
        Effect.provideService(Registry, registry)
      )
      const breaker = Option.getOrThrow(yield* registry.get("a"))
      assert.strictEqual(yield* registry.adopt(breaker), breaker)
    }))

  it.effect("is measured, and its tiers are counted, as one of this copy", () =>
    Effect.gen(function*() {
      const other = yield* otherCopy
      assert.notStrictEqual(other.CircuitBreaker.make, CircuitBreaker.make)
      const registry = yield* other.CircuitBreakerRegistry.make({ circuits: { a: undefined } })
      const [exported, coming] = yield* Effect.gen(function*() {
        yield* fail(yield* registry.getOrCreate("a"))
        return [yield* Metric.snapshot, newChanges(registry)] as const
      }).pipe(
        Effect.provide(Telemetry.layer()),
        Effect.provideService(Registry, registry),
        Effect.provideService(Metric.MetricRegistry, new Map())
      )
      const failures = exported.find(({ attributes, id }) =>
        id === "circuit_breaker_calls_total" && attributes?.["outcome"] === "failure"
      )
      assert.deepInclude(failures?.state, { count: 1 })
      assert.notStrictEqual(coming, registry.changes)

      const flows = watchFlows(registry)
      const call = other.Tiers.make("get", [other.Tiers.tier("a", Effect.void)])
      yield* Effect.provideService(Effect.exit(call), Registry, registry)
      assert.deepStrictEqual(flows.all.map(({ operation }) => operation), ["get"])
    }))

  it.effect("fails with a conflict that is told by its tag", () =>
    Effect.gen(function*() {
      const other = yield* otherCopy
      const registry = yield* other.CircuitBreakerRegistry.make()
      yield* registry.getOrCreate("a", CircuitPolicy.kafka)
      const caught = yield* registry.getOrCreate("a", CircuitPolicy.database).pipe(
        Effect.catchTag("CircuitConflictError", (error) => Effect.succeed(error.circuit))
      )
      assert.strictEqual(caught, "a")
    }))
})

describe("a registry made by hand", () => {
  it.effect("of which metrics see nothing, is warned of once", () => {
    const lines: Array<unknown> = []
    const logger = Logger.make(({ message }) => void lines.push(message))
    return Effect.gen(function*() {
      const registry = { ...(yield* make()) }
      for (const layer of [Telemetry.layer(), Telemetry.layer(), HealthMonitor.layer()]) {
        yield* Effect.void.pipe(Effect.provide(layer), Effect.provideService(Registry, registry))
      }
      yield* Effect.void.pipe(Effect.provide(Telemetry.layer()), Effect.provideService(Registry, yield* make()))
      assert.deepStrictEqual(lines.flat(), [
        "The CircuitBreakerRegistry was made by hand or by another version of effect-resilience: " +
        "Telemetry.layer measures none of its circuits"
      ])
    }).pipe(Effect.provide(Logger.layer([logger])))
  })

  it.effect("of another version is as one that was made by hand", () =>
    Effect.gen(function*() {
      const registry = { ...(yield* make()) }
      Object.defineProperty(registry, "~effect-resilience/registry", { value: { version: 2 } })
      const stop = watchCircuits(registry, {
        onKept: () => assert.fail(),
        onForgotten: () => assert.fail()
      })
      yield* registry.getOrCreate("a")
      stop()
      assert.strictEqual(newChanges(registry), registry.changes)
    }))

  it.effect("that is frozen works, with its tiers uncounted", () =>
    Effect.gen(function*() {
      const registry = Object.freeze({ ...(yield* make()) })
      const flows = watchFlows(registry)
      yield* Tiers.make("get", [Tiers.tier("a", Effect.void)]).pipe(Effect.provideService(Registry, registry))
      assert.isEmpty(flows.all)
    }))

  it.effect("has its tiers counted all the same", () =>
    Effect.gen(function*() {
      const registry = { ...(yield* make()) }
      const flows = watchFlows(registry)
      yield* Tiers.make("get", [Tiers.tier("a", Effect.void)]).pipe(Effect.provideService(Registry, registry))
      assert.lengthOf(flows.all, 1)
      assert.notInclude(Object.keys(registry).join(), "effect-resilience")
    }))
})

describe("a Layer that is provided to each call", () => {
  const lines: Array<string> = []
  const logger = Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))])
  const call = Effect.void.pipe(CircuitBreaker.withCircuitBreaker("a"))

  it.live("is warned of once, with the names of its circuits", () =>
    Effect.gen(function*() {
      const perCall = call.pipe(Effect.provide(CircuitBreakerRegistry.layer()))
      yield* repeat(perCall, 999)
      assert.deepStrictEqual(lines, [])
      yield* repeat(perCall, 2_000)
      assert.deepStrictEqual(lines, [
        "A CircuitBreakerRegistry with \"a\" was built and released 1000 times in a row: circuits of a Layer that is " +
        "provided to each call never open. Provide it once, at the edge of the program"
      ])
    }).pipe(Effect.provide(logger)))

  it.live("is warned of with some of its circuits, if there are many", () =>
    Effect.gen(function*() {
      lines.length = 0
      const circuits = Object.fromEntries(["a", "b", "c", "d", "e", "f", "g"].map((name) => [name, undefined]))
      // One that is used starts the count anew.
      yield* repeat(call, 11).pipe(Effect.provide(CircuitBreakerRegistry.layer()))
      yield* repeat(call.pipe(Effect.provide(CircuitBreakerRegistry.layer({ circuits }))), 1_000)
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "with \"a\", \"b\", \"c\", \"d\", \"e\" and 2 more circuits was built")
    }).pipe(Effect.provide(logger)))

  it.live("is told from one that is used, from those for tests, and from tests under a clock of their own", () =>
    Effect.gen(function*() {
      lines.length = 0
      yield* repeat(repeat(call, 11).pipe(Effect.provide(CircuitBreakerRegistry.layer())), 1_001)
      yield* repeat(call.pipe(Effect.provide(CircuitBreakerRegistry.layerDisabled)), 1_001)
      yield* repeat(Effect.void.pipe(Effect.provide(CircuitBreakerRegistry.layer())), 1_001)
      yield* repeat(call.pipe(Effect.provide(CircuitBreakerRegistry.layer())), 1_001).pipe(
        Effect.provideService(Clock.Clock, new TwoClocks())
      )
      assert.deepStrictEqual(lines, [])
    }).pipe(Effect.provide(logger)))
})

describe("layers", () => {
  it.effect("layerConfig takes policies from the environment, over those that are written", () => {
    const layer = CircuitBreakerRegistry.layerConfig({ defaults: policy, circuits: { a: policy } })
    const env = (env: Record<string, string>) =>
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
    return Effect.gen(function*() {
      const failures = Effect.gen(function*() {
        const { getOrCreate } = yield* Registry
        const policies = yield* Effect.forEach(
          ["a", "b"],
          (name) => Effect.flatMap(getOrCreate(name), ({ policy }) => policy)
        )
        return policies.map(({ consecutiveFailures }) => consecutiveFailures)
      })
      assert.deepStrictEqual(
        yield* failures.pipe(Effect.provide(layer), env({ CB_A_FAILURE_THRESHOLD: "7" })),
        [7, 1]
      )
      const error = yield* Effect.flip(failures.pipe(Effect.provide(layer), env({ CB_A_FAILURE_THRESHOLD: "none" })))
      assert.include(error.message, "CB_A_FAILURE_THRESHOLD")
    })
  })

  it("refuse bad options where they are written, and name them", () => {
    const bad: ReadonlyArray<readonly [object, string]> = [
      [{ idleTimeToLive: 0 }, "idleTimeToLive must be a duration above zero such as \"5 seconds\", got 0"],
      [{ idleTimeToLive: NaN }, "idleTimeToLive must be a duration above zero such as \"5 seconds\", got NaN"],
      [{ defaults: 5 }, "defaults must be"],
      [{ circuits: [] }, "circuits must be an object of policies by name, got []"],
      [{ circuits: null }, "circuits must be an object of policies by name, got null"],
      [{ circuits: Promise.resolve({}) }, "circuits must be an object of policies by name, got a Promise"],
      [{ circuits: { a: 5 } }, "circuits.a must be"],
      [{ circuits: { a: null } }, "circuits.a must be a policy or its options, got null"],
      [
        { circuits: { a: { consecutiveFailures: 0 } } },
        "circuits.a.consecutiveFailures must be an integer >= 1, got 0"
      ],
      [{ defaults: { failures: 3 } }, "defaults: \"failures\" is no option"],
      [{ circuits: { "": policy } }, "circuits: the name of a circuit must be a string that is not empty, got \"\""],
      [
        { default: policy },
        "\"default\" is no option; did you mean \"defaults\"? There are defaults, circuits, idleTimeToLive"
      ],
      [null as unknown as object, "options must be an object, got null"]
    ]
    for (const [options, message] of bad) {
      const full = `CircuitBreakerRegistry.layer: ${message}`
      assert.throws(() => CircuitBreakerRegistry.layerConfig(options), RangeError, full)
      assert.throws(() => CircuitBreakerRegistry.layer(options), RangeError, full)
      assert.throws(() => CircuitBreakerRegistry.make(options), RangeError, full)
    }
  })

  it("provide a service under a key that no other package has", () => {
    assert.strictEqual(Registry.key, "effect-resilience/CircuitBreakerRegistry")
  })

  // migration: get_global_registry()
  it.effect("layer shares its circuits with everything below it", () =>
    Effect.gen(function*() {
      const down = Effect.fail("down").pipe(CircuitBreaker.withCircuitBreaker("a"))
      yield* Effect.exit(down)
      const error = yield* Effect.flip(down)
      assert.isTrue(error instanceof ResilienceError.CircuitOpenError)
      const registry = yield* Registry
      assert.deepStrictEqual(yield* registry.openCircuits, ["a"])
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer({ defaults: policy }))))

  it.effect("layer is new each time it is built", () =>
    Effect.gen(function*() {
      const layer = CircuitBreakerRegistry.layer({ defaults: policy })
      const names = Effect.gen(function*() {
        yield* Effect.void.pipe(CircuitBreaker.withCircuitBreaker(`${Math.random()}`))
        return (yield* (yield* Registry).names).length
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual([yield* names, yield* names], [1, 1])
    }))

  it.effect("layerDisabled lets every call through and counts nothing", () =>
    Effect.gen(function*() {
      const registry = yield* Registry
      yield* repeat(Effect.exit(Effect.fail("down").pipe(CircuitBreaker.withCircuitBreaker("a"))), 20)
      const [status] = yield* registry.statuses
      assert.deepInclude(status, { state: "Disabled", totalCalls: 0 })
    }).pipe(Effect.provide(CircuitBreakerRegistry.layerDisabled)))

  it.effect("layerForcedOpen rejects every call, for ever", () =>
    Effect.gen(function*() {
      const call = Effect.succeed("ran").pipe(CircuitBreaker.withCircuitBreaker("a"))
      yield* TestClock.adjust("30 days")
      const error = yield* Effect.flip(call)
      assert.strictEqual(error.state, "ForcedOpen")
      assert.isFalse(Duration.isFinite(error.retryAfter))
    }).pipe(Effect.provide(CircuitBreakerRegistry.layerForcedOpen)))

  for (
    const [name, layer, command] of [
      ["layerDisabled", CircuitBreakerRegistry.layerDisabled, "forceOpen"],
      ["layerForcedOpen", CircuitBreakerRegistry.layerForcedOpen, "disable"]
    ] as const
  ) {
    it.effect(`${name} forgets idle circuits, but not what an operator has done since`, () =>
      Effect.gen(function*() {
        const registry = yield* Registry
        yield* registry.getOrCreate("idle")
        const breaker = yield* registry.getOrCreate("moved")
        yield* command === "forceOpen" ? breaker.forceOpen() : breaker.disable
        yield* TestClock.adjust("1 day")
        assert.deepStrictEqual(yield* registry.names, ["moved"])
        yield* state(yield* registry.getOrCreate("moved"), command === "forceOpen" ? "ForcedOpen" : "Disabled")
      }).pipe(Effect.provide(layer)))
  }

  it.effect("are needed by calls by name, and say so if they are not there", () =>
    Effect.gen(function*() {
      const effect = Effect.void.pipe(CircuitBreaker.withCircuitBreaker("a")) as Effect.Effect<void, unknown>
      const exit = yield* Effect.exit(effect)
      assert.isTrue(Exit.hasDies(exit))
      if (Exit.isFailure(exit)) assert.include(Cause.pretty(exit.cause), "CircuitBreakerRegistry")
    }))

  it.effect("a circuit in a Layer that is built once keeps the clock of that Layer", () =>
    Effect.gen(function*() {
      const clocks = new TwoClocks()
      const registry = Layer.build(CircuitBreakerRegistry.layer({ defaults: policy })).pipe(
        Effect.provideService(Clock.Clock, clocks)
      )
      const context = yield* registry
      const down = Effect.fail("down").pipe(CircuitBreaker.withCircuitBreaker("a"), Effect.provide(context))
      yield* Effect.exit(down)
      yield* TestClock.adjust("1 day")
      const error = yield* Effect.flip(down)
      assert.isTrue(error instanceof ResilienceError.CircuitOpenError)
    }))
})
