/**
 * What the compiler knows of the circuit breaker's exports. Checked by tsc; the tests only keep the file together.
 */
// Calls that must not compile are neither run nor used.
// @effect-diagnostics floatingEffect:off missingEffectError:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import {
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitEvent,
  CircuitMetrics,
  CircuitPolicy,
  Outcome,
  Resilience,
  ResilienceError
} from "effect-resilience"
import {
  type Config,
  Context,
  Data,
  type DateTime,
  type Duration,
  Effect,
  type Exit,
  type Layer,
  type Option,
  Schedule,
  type Schema,
  type Scope,
  Stream
} from "effect"
import { findCircuit, namedCircuit } from "../support/registry.ts"

type Registry = CircuitBreakerRegistry.CircuitBreakerRegistry
type Open = ResilienceError.CircuitOpenError

class Down extends Data.TaggedError("Down") {}
class NotFound extends Data.TaggedError("NotFound")<{ readonly id: string }> {}
class Http extends Context.Service<Http, { readonly get: Effect.Effect<string, Down> }>()("test/Http") {}
class Payments extends CircuitBreaker.Service<Payments>()("payments") {}

declare const call: Effect.Effect<number, Down | NotFound, Http>
declare const stream: Stream.Stream<number, Down, Http>
declare const breaker: CircuitBreaker.CircuitBreaker
declare const registry: Registry
declare const policy: CircuitPolicy.CircuitPolicy

/** Type-checks what it is given and does not run it. */
const typed = (name: string, _check: () => void): void => it(name, () => {})

describe("withCircuitBreaker", () => {
  typed("adds CircuitOpenError and nothing else, data-last", () => {
    expectTypeOf(call.pipe(CircuitBreaker.withCircuitBreaker(breaker))).toEqualTypeOf<
      Effect.Effect<number, Down | NotFound | Open, Http>
    >()
  })

  typed("adds CircuitOpenError and nothing else, data-first", () => {
    expectTypeOf(CircuitBreaker.withCircuitBreaker(call, breaker)).toEqualTypeOf<
      Effect.Effect<number, Down | NotFound | Open, Http>
    >()
  })

  typed("needs the registry for a name", () => {
    expectTypeOf(call.pipe(CircuitBreaker.withCircuitBreaker("a"))).toEqualTypeOf<
      Effect.Effect<number, Down | NotFound | Open, Http | Registry>
    >()
    expectTypeOf(CircuitBreaker.withCircuitBreaker(call, "a")).toEqualTypeOf<
      Effect.Effect<number, Down | NotFound | Open, Http | Registry>
    >()
    const name: string = "a"
    expectTypeOf(call.pipe(CircuitBreaker.withCircuitBreaker(name))).toEqualTypeOf<
      Effect.Effect<number, Down | NotFound | Open, Http | Registry>
    >()
  })

  typed("needs the service for its class", () => {
    expectTypeOf(call.pipe(CircuitBreaker.withCircuitBreaker(Payments))).toEqualTypeOf<
      Effect.Effect<number, Down | NotFound | Open, Http | Payments>
    >()
    expectTypeOf(CircuitBreaker.withCircuitBreaker(call, Payments)).toEqualTypeOf<
      Effect.Effect<number, Down | NotFound | Open, Http | Payments>
    >()
  })

  typed("keeps a call that cannot fail and needs nothing exact", () => {
    expectTypeOf(Effect.succeed("a" as const).pipe(CircuitBreaker.withCircuitBreaker(breaker))).toEqualTypeOf<
      Effect.Effect<"a", Open>
    >()
    expectTypeOf(CircuitBreaker.withCircuitBreaker(Effect.never, breaker)).toEqualTypeOf<Effect.Effect<never, Open>>()
  })

  typed("is undone by catchTag", () => {
    const caught = call.pipe(
      CircuitBreaker.withCircuitBreaker(breaker),
      Effect.catchTag("CircuitOpenError", (error) => {
        expectTypeOf(error).toEqualTypeOf<Open>()
        return Effect.succeed("fallback" as const)
      })
    )
    expectTypeOf(caught).toEqualTypeOf<Effect.Effect<number | "fallback", Down | NotFound, Http>>()
  })

  typed("takes a classifier that sees the call's exit, data-first", () => {
    CircuitBreaker.withCircuitBreaker(call, breaker, {
      classify: (exit) => {
        expectTypeOf(exit).toEqualTypeOf<Exit.Exit<number, Down | NotFound>>()
        return Outcome.success
      }
    })
  })

  typed("takes a classifier of more, data-last, and none of less", () => {
    const classify = (exit: Exit.Exit<unknown, Down | NotFound | Error>) => {
      void exit
      return Outcome.ignored
    }
    call.pipe(CircuitBreaker.withCircuitBreaker(breaker, { classify }))
    const narrow = (exit: Exit.Exit<number, Down>) => {
      void exit
      return Outcome.ignored
    }
    // @ts-expect-error the call fails with NotFound, too
    call.pipe(CircuitBreaker.withCircuitBreaker(breaker, { classify: narrow }))
    // @ts-expect-error the call fails with NotFound, too
    CircuitBreaker.withCircuitBreaker(call, breaker, { classify: narrow })
  })

  typed("takes nothing that is not a circuit", () => {
    // @ts-expect-error not a target
    call.pipe(CircuitBreaker.withCircuitBreaker(42))
    // @ts-expect-error a service, but not of a circuit
    call.pipe(CircuitBreaker.withCircuitBreaker(Http))
    call.pipe(CircuitBreaker.withCircuitBreaker("a", { policy: { consecutiveFailures: 1 } }))
    // @ts-expect-error neither a policy nor its options
    call.pipe(CircuitBreaker.withCircuitBreaker("a", { policy: { failures: 1 } }))
  })
})

describe("wrap", () => {
  typed("keeps the arguments, and adds to the effect what withCircuitBreaker adds", () => {
    const get = (id: string, options?: { readonly fresh: boolean }) => Effect.as(call, { id, options })
    expectTypeOf(CircuitBreaker.wrap(breaker)(get)).toEqualTypeOf<
      (id: string, options?: { readonly fresh: boolean }) => Effect.Effect<
        { id: string; options: { readonly fresh: boolean } | undefined },
        Down | NotFound | Open,
        Http
      >
    >()
    expectTypeOf(CircuitBreaker.wrap("a")(get)).returns.toEqualTypeOf<
      Effect.Effect<
        { id: string; options: { readonly fresh: boolean } | undefined },
        Down | NotFound | Open,
        Http | Registry
      >
    >()
    expectTypeOf(CircuitBreaker.wrap(Payments)(() => call)).returns.toEqualTypeOf<
      Effect.Effect<number, Down | NotFound | Open, Http | Payments>
    >()
  })
})

describe("withCircuitBreakerStream", () => {
  typed("adds CircuitOpenError and the target's needs, in both styles", () => {
    expectTypeOf(stream.pipe(CircuitBreaker.withCircuitBreakerStream(breaker))).toEqualTypeOf<
      Stream.Stream<number, Down | Open, Http>
    >()
    expectTypeOf(CircuitBreaker.withCircuitBreakerStream(stream, breaker)).toEqualTypeOf<
      Stream.Stream<number, Down | Open, Http>
    >()
    expectTypeOf(stream.pipe(CircuitBreaker.withCircuitBreakerStream("a"))).toEqualTypeOf<
      Stream.Stream<number, Down | Open, Http | Registry>
    >()
    expectTypeOf(CircuitBreaker.withCircuitBreakerStream(stream, Payments)).toEqualTypeOf<
      Stream.Stream<number, Down | Open, Http | Payments>
    >()
    expectTypeOf(
      stream.pipe(
        CircuitBreaker.withCircuitBreakerStream(breaker),
        Stream.catchTag("CircuitOpenError", () => Stream.empty)
      )
    ).toEqualTypeOf<Stream.Stream<number, Down, Http>>()
  })
})

describe("a circuit", () => {
  typed("is made without needs", () => {
    expectTypeOf(CircuitBreaker.make({ name: "a" })).toEqualTypeOf<Effect.Effect<CircuitBreaker.CircuitBreaker>>()
    expectTypeOf(CircuitBreaker.make({ name: "a", policy: undefined })).toEqualTypeOf<
      Effect.Effect<CircuitBreaker.CircuitBreaker>
    >()
  })

  typed("runs calls of any type", () => {
    expectTypeOf(breaker.execute(call)).toEqualTypeOf<Effect.Effect<number, Down | NotFound | Open, Http>>()
    breaker.execute(call, {
      classify: (exit) => {
        expectTypeOf(exit).toEqualTypeOf<Exit.Exit<number, Down | NotFound>>()
        return undefined
      }
    })
    // @ts-expect-error an outcome is not a string
    breaker.execute(call, { classify: () => "success" })
  })

  typed("gives permits in a scope", () => {
    expectTypeOf(breaker.permit).toEqualTypeOf<Effect.Effect<CircuitBreaker.Permit, Open, Scope.Scope>>()
    type Permit = CircuitBreaker.Permit
    expectTypeOf<Permit["success"]>().toEqualTypeOf<Effect.Effect<void>>()
    expectTypeOf<Permit["ignore"]>().toEqualTypeOf<Effect.Effect<void>>()
    expectTypeOf<ReturnType<Permit["failure"]>>().toEqualTypeOf<Effect.Effect<void>>()
    expectTypeOf<Permit["record"]>().toEqualTypeOf<(outcome: Outcome.Outcome) => Effect.Effect<void>>()
  })

  typed("is read and moved without failing", () => {
    expectTypeOf(breaker.state).toEqualTypeOf<Effect.Effect<CircuitEvent.CircuitState>>()
    expectTypeOf(breaker.isAvailable).toEqualTypeOf<Effect.Effect<boolean>>()
    expectTypeOf(breaker.metrics).toEqualTypeOf<Effect.Effect<CircuitMetrics.CircuitMetrics>>()
    expectTypeOf(breaker.policy).toEqualTypeOf<Effect.Effect<CircuitPolicy.CircuitPolicy>>()
    expectTypeOf(breaker.events).toEqualTypeOf<Stream.Stream<CircuitEvent.CircuitEvent>>()
    expectTypeOf(CircuitBreaker.withNote(breaker.forceOpen({ duration: "1 minute" }), "why")).toEqualTypeOf<
      Effect.Effect<void>
    >()
    expectTypeOf(breaker.forceOpen()).toEqualTypeOf<Effect.Effect<void>>()
    for (const command of [breaker.forceClose, breaker.disable, breaker.metricsOnly, breaker.reset]) {
      expectTypeOf(command).toEqualTypeOf<Effect.Effect<void>>()
    }
    expectTypeOf(breaker.reconfigure(policy)).toEqualTypeOf<Effect.Effect<void>>()
  })

  typed("has listeners whose errors go nowhere and whose needs are asked for", () => {
    const listener = Effect.asVoid(call)
    expectTypeOf(breaker.on("CallEnded", (event) => {
      expectTypeOf(event).toEqualTypeOf<CircuitEvent.CallEnded>()
      return listener
    })).toEqualTypeOf<Effect.Effect<void, never, Http | Scope.Scope>>()
    expectTypeOf(breaker.on("Reconfigured", (event) => {
      expectTypeOf(event.changed).toEqualTypeOf<ReadonlyArray<string>>()
      return Effect.void
    })).toEqualTypeOf<Effect.Effect<void, never, Scope.Scope>>()
    expectTypeOf(CircuitBreaker.onTrip(breaker, (event) => {
      expectTypeOf(event).toEqualTypeOf<CircuitEvent.StateChanged>()
      return listener
    })).toEqualTypeOf<Effect.Effect<void, never, Http | Scope.Scope>>()
    expectTypeOf(CircuitBreaker.onRecovery(breaker, () => Effect.void)).toEqualTypeOf<
      Effect.Effect<void, never, Scope.Scope>
    >()
    // @ts-expect-error no such event
    breaker.on("Opened", () => Effect.void)
  })

  typed("is guarded by isCircuitBreaker", () => {
    const value: unknown = breaker
    if (CircuitBreaker.isCircuitBreaker(value)) expectTypeOf(value).toEqualTypeOf<CircuitBreaker.CircuitBreaker>()
  })

  typed("is a target, as a name and a class are", () => {
    expectTypeOf(breaker).toExtend<CircuitBreaker.Target>()
    expectTypeOf("a").toExtend<CircuitBreaker.Target>()
    expectTypeOf(Payments).toExtend<CircuitBreaker.Target>()
    expectTypeOf<CircuitBreaker.TargetServices<"a">>().toEqualTypeOf<Registry>()
    expectTypeOf<CircuitBreaker.TargetServices<CircuitBreaker.CircuitBreaker>>().toEqualTypeOf<never>()
    expectTypeOf<CircuitBreaker.TargetServices<typeof Payments>>().toEqualTypeOf<Payments>()
  })
})

describe("Service", () => {
  typed("is a tag of a circuit", () => {
    expectTypeOf(Payments.key).toEqualTypeOf<"effect-resilience/CircuitBreaker/payments">()
    expectTypeOf(Effect.map(Payments, (breaker) => breaker)).toEqualTypeOf<
      Effect.Effect<CircuitBreaker.CircuitBreaker, never, Payments>
    >()
  })

  typed("has Layers that provide it", () => {
    expectTypeOf(Payments.layer).toEqualTypeOf<Layer.Layer<Payments>>()
    expectTypeOf(Payments.layerConfig).toEqualTypeOf<Layer.Layer<Payments, Config.ConfigError>>()
    expectTypeOf(Payments.layerRegistered).toEqualTypeOf<
      Layer.Layer<Payments, ResilienceError.CircuitConflictError, Registry>
    >()
    expectTypeOf(Payments.layerDisabled).toEqualTypeOf<Layer.Layer<Payments>>()
    expectTypeOf(Payments.layerForcedOpen).toEqualTypeOf<Layer.Layer<Payments>>()
  })
})

describe("the registry", () => {
  typed("fails with a conflict only where a policy is given", () => {
    type Conflict = ResilienceError.CircuitConflictError
    expectTypeOf(registry.getOrCreate("a")).toEqualTypeOf<Effect.Effect<CircuitBreaker.CircuitBreaker>>()
    expectTypeOf(registry.getOrCreate("a", policy)).toEqualTypeOf<
      Effect.Effect<CircuitBreaker.CircuitBreaker, Conflict>
    >()
    expectTypeOf(registry.register("a")).toEqualTypeOf<Effect.Effect<CircuitBreaker.CircuitBreaker, Conflict>>()
    expectTypeOf(namedCircuit(registry, "a")).toEqualTypeOf<CircuitBreaker.CircuitBreaker>()
    expectTypeOf(findCircuit(registry, "a")).toEqualTypeOf<CircuitBreaker.CircuitBreaker | undefined>()
    expectTypeOf(registry.get("a")).toEqualTypeOf<Effect.Effect<Option.Option<CircuitBreaker.CircuitBreaker>>>()
  })

  typed("is read and moved without failing", () => {
    expectTypeOf(registry.names).toEqualTypeOf<Effect.Effect<ReadonlyArray<string>>>()
    expectTypeOf(registry.statuses).toEqualTypeOf<Effect.Effect<ReadonlyArray<CircuitMetrics.CircuitMetrics>>>()
    expectTypeOf(registry.openCircuits).toEqualTypeOf<Effect.Effect<ReadonlyArray<string>>>()
    expectTypeOf(registry.anyOpen).toEqualTypeOf<Effect.Effect<boolean>>()
    expectTypeOf(registry.systemStatus).toEqualTypeOf<Effect.Effect<CircuitBreakerRegistry.SystemStatus>>()
    expectTypeOf(registry.events).toEqualTypeOf<Stream.Stream<CircuitEvent.CircuitEvent>>()
    expectTypeOf(registry.reconfigure("a", policy)).toEqualTypeOf<Effect.Effect<boolean>>()
    expectTypeOf(registry.remove("a")).toEqualTypeOf<Effect.Effect<boolean>>()
    expectTypeOf(registry.reset("a")).toEqualTypeOf<Effect.Effect<boolean>>()
    expectTypeOf(registry.resetAll).toEqualTypeOf<Effect.Effect<void>>()
  })

  typed("has Layers without needs", () => {
    expectTypeOf(CircuitBreakerRegistry.layer()).toEqualTypeOf<Layer.Layer<Registry>>()
    expectTypeOf(CircuitBreakerRegistry.layer({ defaults: policy, circuits: { a: policy }, idleTimeToLive: "1 hour" }))
      .toEqualTypeOf<Layer.Layer<Registry>>()
    expectTypeOf(CircuitBreakerRegistry.layerConfig()).toEqualTypeOf<Layer.Layer<Registry, Config.ConfigError>>()
    expectTypeOf(CircuitBreakerRegistry.layerDisabled).toEqualTypeOf<Layer.Layer<Registry>>()
    expectTypeOf(CircuitBreakerRegistry.layerForcedOpen).toEqualTypeOf<Layer.Layer<Registry>>()
    expectTypeOf(CircuitBreakerRegistry.make()).toEqualTypeOf<Effect.Effect<Registry, never, Scope.Scope>>()
  })

  typed("takes the options of a policy where a policy goes, and no others", () => {
    CircuitBreakerRegistry.layer({ defaults: { consecutiveFailures: 3 }, circuits: { a: { failureRate: 0.5 } } })
    // @ts-expect-error no option of a policy
    CircuitBreakerRegistry.layer({ defaults: { failures: 3 } })
  })
})

describe("policies", () => {
  typed("take durations, growing times and schedules of any output", () => {
    expectTypeOf(CircuitPolicy.make()).toEqualTypeOf<CircuitPolicy.CircuitPolicy>()
    CircuitPolicy.make({ openDuration: "1 minute" })
    CircuitPolicy.make({ openDuration: CircuitPolicy.exponential({ initial: 1_000 }) })
    CircuitPolicy.make({ openDuration: Schedule.exponential("1 second") })
    CircuitPolicy.make({ openDuration: Schedule.recurs(3) })
    CircuitPolicy.make({ window: { calls: 10 } })
    CircuitPolicy.make({ window: { duration: "1 minute" } })
    CircuitPolicy.make({ ...CircuitPolicy.production, halfOpenMaxCalls: 1 })
    // @ts-expect-error not a duration
    CircuitPolicy.make({ openDuration: "soon" })
    // @ts-expect-error neither calls nor a duration
    CircuitPolicy.make({ window: { buckets: 10 } })
    // @ts-expect-error unknown option
    CircuitPolicy.make({ failureThreshold: 3 })
  })

  typed("refuse a schedule that can fail or needs a service", () => {
    // @ts-expect-error the schedule needs a service
    CircuitPolicy.make({ openDuration: Schedule.spaced(1).pipe(Schedule.tap(() => Effect.asVoid(Http))) })
  })

  typed("are for calls with the errors that their classifier understands", () => {
    const any = CircuitPolicy.make({ classify: Outcome.failureIf((error) => error instanceof Down) })
    expectTypeOf(any).toEqualTypeOf<CircuitPolicy.CircuitPolicy>()
    const certain = CircuitPolicy.make({
      classify: Outcome.failureUnless((error: Down | NotFound) => error._tag === "NotFound")
    })
    expectTypeOf(certain).toEqualTypeOf<CircuitPolicy.CircuitPolicy<Down | NotFound>>()
    // A policy for any error is one for certain errors.
    const also: CircuitPolicy.CircuitPolicy<Down> = any
    // @ts-expect-error and not the other way around
    const not: CircuitPolicy.CircuitPolicy = certain
    void [also, not]
  })

  typed("make circuits for calls with these errors", () => {
    const classify = Outcome.failureUnless((error: Down | NotFound) => error._tag === "NotFound")
    const other = Effect.fail("another" as const)
    const check = (circuit: CircuitBreaker.CircuitBreaker<Down | NotFound>) => {
      expectTypeOf(CircuitBreaker.make({ name: "a", policy: { classify } })).toEqualTypeOf<
        Effect.Effect<typeof circuit>
      >()
      expectTypeOf(circuit.execute(call)).toEqualTypeOf<Effect.Effect<number, Down | NotFound | Open, Http>>()
      expectTypeOf(call.pipe(CircuitBreaker.withCircuitBreaker(circuit))).toEqualTypeOf<
        Effect.Effect<number, Down | NotFound | Open, Http>
      >()
      expectTypeOf(CircuitBreaker.withCircuitBreaker(call, circuit)).toEqualTypeOf<
        Effect.Effect<number, Down | NotFound | Open, Http>
      >()
      expectTypeOf(CircuitBreaker.withCircuitBreakerStream(stream, circuit)).toEqualTypeOf<
        Stream.Stream<number, Down | Open, Http>
      >()
      // @ts-expect-error the classifier knows nothing of this error
      circuit.execute(other)
      // @ts-expect-error
      other.pipe(CircuitBreaker.withCircuitBreaker(circuit))
      // @ts-expect-error
      CircuitBreaker.withCircuitBreaker(other, circuit)
      // @ts-expect-error
      CircuitBreaker.wrap(circuit)(() => other)
      // @ts-expect-error
      CircuitBreaker.withCircuitBreakerStream(Stream.fail("another"), circuit)
      // @ts-expect-error tiers and pipelines are for calls with any error
      Resilience.make({ name: "a", circuitBreaker: circuit })
    }
    void check
    class Certain extends CircuitBreaker.Service<Certain>()("certain", { policy: { classify } }) {}
    expectTypeOf(call.pipe(CircuitBreaker.withCircuitBreaker(Certain))).toEqualTypeOf<
      Effect.Effect<number, Down | NotFound | Open, Http | Certain>
    >()
    // @ts-expect-error
    other.pipe(CircuitBreaker.withCircuitBreaker(Certain))
    call.pipe(CircuitBreaker.withCircuitBreaker("a", { policy: { classify } }))
    // @ts-expect-error
    other.pipe(CircuitBreaker.withCircuitBreaker("a", { policy: { classify } }))
  })

  typed("are compared and described", () => {
    expectTypeOf(CircuitPolicy.difference(policy, policy)).toEqualTypeOf<
      ReadonlyArray<keyof CircuitPolicy.Options>
    >()
    expectTypeOf(policy.description).toEqualTypeOf<string>()
  })
})

describe("outcomes", () => {
  typed("are classified", () => {
    expectTypeOf(Outcome.success).toEqualTypeOf<Outcome.Outcome>()
    expectTypeOf(Outcome.failure({ retryAfter: "1 second" })).toEqualTypeOf<Outcome.Outcome>()
    expectTypeOf(Outcome.classify).toEqualTypeOf<Outcome.Classifier>()
    expectTypeOf(Outcome.failureUnless((error: Down | NotFound) => error._tag === "NotFound")).toEqualTypeOf<
      Outcome.Classifier<unknown, Down | NotFound>
    >()
    expectTypeOf(Outcome.retryAfter(new Error())).toEqualTypeOf<Duration.Duration | undefined>()
    // What classifies more classifies less.
    expectTypeOf<Outcome.Classifier>().toExtend<Outcome.Classifier<number, Down>>()
    expectTypeOf<Outcome.Classifier<number, Down>>().not.toExtend<Outcome.Classifier>()
  })

  typed("of one call know its errors", () => {
    call.pipe(CircuitBreaker.withCircuitBreaker(breaker, {
      classify: Outcome.failureUnless((error: Down | NotFound) => error._tag === "NotFound")
    }))
    breaker.execute(call, { classify: Outcome.ignoreIf((error: Down | NotFound) => error._tag === "NotFound") })
  })
})

describe("values", () => {
  typed("of errors, events and metrics have plain fields", () => {
    expectTypeOf<Open["retryAfter"]>().toEqualTypeOf<Duration.Duration>()
    expectTypeOf<Open["state"]>().toEqualTypeOf<"Open" | "HalfOpen" | "ForcedOpen">()
    expectTypeOf<ResilienceError.CircuitConflictError["fields"]>().toEqualTypeOf<ReadonlyArray<string>>()
    expectTypeOf<CircuitEvent.StateChanged["retryAfter"]>().toEqualTypeOf<Duration.Duration>()
    expectTypeOf<CircuitEvent.StateChanged["note"]>().toEqualTypeOf<string | undefined>()
    expectTypeOf<CircuitEvent.CallEnded["outcome"]>().toEqualTypeOf<
      "Success" | "Failure" | "Ignored" | "Rejected" | "Late"
    >()
    expectTypeOf<CircuitEvent.CircuitEvent["_tag"]>().toEqualTypeOf<"StateChanged" | "CallEnded" | "Reconfigured">()
    expectTypeOf<CircuitMetrics.CircuitMetrics["timeUntilRetry"]>().toEqualTypeOf<Duration.Duration | undefined>()
    expectTypeOf<CircuitMetrics.CircuitMetrics["lastFailureTime"]>().toEqualTypeOf<DateTime.Utc | undefined>()
    expectTypeOf<ReturnType<typeof CircuitMetrics.toJson>["state"]>().toEqualTypeOf<
      "closed" | "open" | "half_open" | "forced_open" | "disabled" | "metrics_only"
    >()
  })

  typed("are decoded without services", () => {
    expectTypeOf<Schema.Codec.DecodingServices<typeof ResilienceError.CircuitOpenError>>().toEqualTypeOf<never>()
    expectTypeOf<Schema.Codec.EncodingServices<typeof CircuitEvent.CircuitEvent>>().toEqualTypeOf<never>()
    expectTypeOf<(typeof CircuitMetrics.CircuitMetrics)["Type"]>().toEqualTypeOf<CircuitMetrics.CircuitMetrics>()
  })
})
