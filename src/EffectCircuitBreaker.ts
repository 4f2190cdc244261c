/**
 * Effect's own circuit breaker service on the circuits of this package.
 *
 * Code written for `effect/persistence/CircuitBreaker`, such as
 * `HttpClient.withCircuitBreaker`, asks for that module's service. This module
 * provides the service from a `CircuitBreakerRegistry`, so that such code runs
 * unchanged and its circuits gain what ours have: windows of time, several
 * probes, slow calls, manual control, metrics and events.
 *
 * **Details**
 *
 * - A key is the name of a circuit in the registry, after `prefix`.
 * - Outcomes, states, transitions and errors are those of Effect's module.
 * - A manual mode shows as the state it behaves like: `ForcedOpen` as Open,
 *   `Disabled` and `MetricsOnly` as Closed.
 *
 * **Gotchas**
 *
 * Imported from `effect-resilience/EffectCircuitBreaker`, not from the root:
 * it loads Effect's module, which is experimental there.
 *
 * **Example** (Switching to these circuits)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker } from "effect/persistence"
 * import { CircuitBreakerRegistry } from "effect-resilience"
 * import * as EffectCircuitBreaker from "effect-resilience/EffectCircuitBreaker"
 *
 * // Written for Effect's breaker.
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.CircuitBreaker
 *   const charge = Effect.fail("unavailable").pipe(breaker.execute({ key: "payments" }))
 *   yield* Effect.flip(charge)
 *   return yield* charge.pipe(
 *     Effect.catchReason("CircuitBreakerError", "CircuitOpen", (reason) => Effect.succeed(`${reason.key} is open`))
 *   )
 * })
 *
 * // Runs on the circuits of the registry, which lists them and commands them by name.
 * const operated = Effect.gen(function*() {
 *   const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
 *   return [yield* program, yield* registry.openCircuits]
 * }).pipe(
 *   Effect.provide(EffectCircuitBreaker.layer({
 *     tripPolicy: CircuitBreaker.consecutive(1),
 *     openDuration: "30 seconds"
 *   })),
 *   Effect.provide(CircuitBreakerRegistry.layer())
 * )
 *
 * await Effect.runPromise(operated) // => ["payments is open", ["payments"]]
 * ```
 *
 * @stability unstable
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as EffectBreaker from "effect/persistence/CircuitBreaker"
import * as Predicate from "effect/Predicate"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { CircuitBreaker } from "./CircuitBreaker.ts"
import { CircuitBreakerRegistry } from "./CircuitBreakerRegistry.ts"
import * as CircuitPolicy from "./CircuitPolicy.ts"
import type { Breaker } from "./internal/circuit/breaker.ts"
import { Call } from "./internal/circuit/call.ts"
import { judge } from "./internal/circuit/execution.ts"
import { isKnown } from "./internal/circuit/handle.ts"
import { checkOptions, checkString, optionNames, refuse } from "./internal/check.ts"
import * as Circuit from "./internal/circuit/machine.ts"
import { from as policyFrom } from "./internal/circuit/policy.ts"
import { asProbe } from "./internal/circuit/probe.ts"
import { EventHub } from "./internal/eventHub.ts"
import { make as makeError, stackless } from "./internal/error/rejection.ts"
import { findCircuit, insideOf } from "./internal/registry/inside.ts"
import * as Outcome from "./Outcome.ts"

/**
 * Options for circuits that follow a policy of this package.
 *
 * **Details**
 *
 * - `policy`: a policy, or its options, for circuits that are first used through
 *   this breaker. By default the policy of the registry for the name.
 * - `prefix`: stands before the key in the name of the circuit. By default
 *   nothing.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface PolicyOptions {
  readonly policy?: CircuitPolicy.CircuitPolicy | CircuitPolicy.Options | undefined
  readonly prefix?: string | undefined
}

/**
 * The options of Effect's `CircuitBreaker.make`, and `prefix`.
 *
 * **Details**
 *
 * They have the same meaning as there: one probe at a time, one success closes, and
 * a probe may take for ever. `onStoreError` changes nothing, since there is no
 * store that could fail.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface TripOptions {
  readonly tripPolicy: EffectBreaker.TripPolicy
  readonly openDuration: Duration.Input | Schedule.Schedule<unknown, number>
  readonly maxOpenDuration?: Duration.Input | undefined
  readonly onStoreError?: "allow" | "fail" | undefined
  readonly prefix?: string | undefined
}

/**
 * Options of `layer` and `make`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Options = PolicyOptions | TripOptions

/**
 * Provides Effect's `CircuitBreaker` service from the circuits of the
 * registry.
 *
 * **Details**
 *
 * A circuit that the registry already has is used as it is, so `register`
 * gives one key a policy of its own, and `reconfigure` holds.
 *
 * **Gotchas**
 *
 * Throws a `RangeError` for a value out of its range.
 *
 * **Example** (Guarding an HTTP client)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 * import { CircuitBreaker } from "effect/persistence"
 * import { CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
 * import * as EffectCircuitBreaker from "effect-resilience/EffectCircuitBreaker"
 *
 * const down = HttpClient.make((request) =>
 *   Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 503 })))
 * )
 *
 * const program = Effect.gen(function*() {
 *   const client = HttpClient.withCircuitBreaker(down, { breaker: yield* CircuitBreaker.CircuitBreaker })
 *   yield* client.get("https://api.example.com/a")
 *   yield* client.get("https://api.example.com/b")
 *   const error = yield* Effect.flip(client.get("https://api.example.com/c"))
 *   return error.reason._tag
 * }).pipe(
 *   Effect.provide(EffectCircuitBreaker.layer({
 *     policy: CircuitPolicy.make({ failureRate: 0.5, minimumCalls: 2, window: { duration: "10 seconds" } })
 *   })),
 *   Effect.provide(CircuitBreakerRegistry.layer())
 * )
 *
 * await Effect.runPromise(program) // => "CircuitOpen"
 * ```
 *
 * @see {@link make} for a breaker under a tag of your own
 *
 * @stability unstable
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: Options = {}
): Layer.Layer<EffectBreaker.CircuitBreaker, never, CircuitBreakerRegistry> =>
  Layer.effect(EffectBreaker.CircuitBreaker, make(options))

/**
 * Makes Effect's `CircuitBreaker` from the circuits of the registry.
 *
 * **When to use**
 *
 * Use when a program holds several breakers, each with its own policy. Give
 * each its own `prefix`, so that equal keys do not share a circuit.
 *
 * **Details**
 *
 * The `transitions` end with the scope. The circuits stay in the registry.
 *
 * **Gotchas**
 *
 * Throws a `RangeError` for a value out of its range.
 *
 * @stability unstable
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: Options = {}
): Effect.Effect<EffectBreaker.CircuitBreaker, never, CircuitBreakerRegistry | Scope.Scope> => {
  const caller = "EffectCircuitBreaker.make"
  checkOptions(caller, options)
  const trips = "tripPolicy" in options
  checkOptions(caller, options, trips ? TRIP_OPTIONS : POLICY_OPTIONS)
  const policy = trips ? policyOf(options) : policyFrom(`${caller}: policy`, options.policy)
  const prefix = checkString(`${caller}: prefix`, options.prefix ?? "")

  return Effect.gen(function*() {
    const registry = yield* CircuitBreakerRegistry
    const hub = new EventHub<EffectBreaker.Transition>()
    yield* Effect.addFinalizer(() => hub.end)

    const inside = insideOf(registry)

    const known = (circuit: CircuitBreaker): Breaker => {
      if (isKnown(circuit)) return circuit.live
      throw new RangeError(
        `EffectCircuitBreaker: circuit ${
          JSON.stringify(circuit.name)
        } of the registry was made by hand or by another ` +
          "version of effect-resilience"
      )
    }
    const find = (key: string): Breaker | undefined => {
      if (inside !== undefined) return inside.find(prefix + key)
      const circuit = findCircuit(registry, prefix + key)
      return circuit && known(circuit)
    }
    // A policy is given only to a new circuit. Given to one that was reconfigured, it would be a conflict.
    const findOrMake = (key: string): Breaker => find(key) ?? make(prefix + key)
    const make = (name: string): Breaker => {
      if (inside !== undefined) return inside.getOrCreate(name, policy)
      const made = policy === undefined ? registry.getOrCreate(name) : registry.getOrCreate(name, policy)
      return known(Effect.runSync(made))
    }

    const publish = (key: string, from: Circuit.Circuit, to: Circuit.Circuit): void => {
      if (from.generation === to.generation || !hub.hasSubscribers) return
      // A ramp begins, which is no state of its own.
      if (to._tag === "HalfOpen" && to.rampingSince !== undefined) return
      // From HalfOpen to HalfOpen, the probes timed out and the open time that followed has ended as well.
      if (to._tag === "Open" || (from._tag === "HalfOpen" && to._tag === "HalfOpen")) {
        hub.publish({
          key,
          from: from._tag === "HalfOpen" ? "HalfOpen" : "Closed",
          to: "Open",
          retryAfter: Duration.millis(to.lastOpenTime),
          consecutiveOpenings: to.openings
        })
      }
      if (to._tag === "HalfOpen") hub.publish({ key, from: "Open", to: "HalfOpen" })
      if (to._tag === "Closed") hub.publish({ key, from: "HalfOpen", to: "Closed" })
    }

    const execute = <A, E, R, R2>(
      self: Effect.Effect<A, E, R>,
      { classify, key }: {
        readonly key: string
        readonly classify?: Classify<A, E, R2> | undefined
      }
    ): Effect.Effect<A, E | EffectBreaker.CircuitBreakerError, R | R2> =>
      Effect.uninterruptibleMask((restore) => {
        type Result = Effect.Effect<A, E | EffectBreaker.CircuitBreakerError, R | R2>
        const breaker = findOrMake(key)
        // Only a circuit that is not closed asks what else the fiber runs.
        return breaker.circuit._tag === "Closed"
          ? run(undefined)
          : Effect.withFiber<A, E | EffectBreaker.CircuitBreakerError, R | R2>(run)

        function run(fiber: Fiber.Fiber<unknown, unknown> | undefined): Result {
          const call = new Call()
          const before = breaker.circuit
          const admission = breaker.admit(call, fiber)
          const circuit = breaker.circuit
          publish(key, before, circuit)
          if (admission !== undefined && admission !== "Probe") return Effect.fail(rejection(key, breaker))
          if (!call.isAdmitted) return restore(self)

          const end = (outcome: EffectBreaker.Outcome, exit: Exit.Exit<A, E>): void => {
            const before = breaker.circuit
            // The same values, but for an absent `retryAfter`.
            breaker.end(call, outcome as Outcome.Outcome, exit)
            publish(key, before, breaker.circuit)
          }
          const finish = (exit: Exit.Exit<A, E>): Effect.Effect<A, E, R2> => {
            const outcome = outcomeOf(breaker, call, exit, classify)
            if (!Effect.isEffect(outcome)) {
              end(outcome, exit)
              return exit
            }
            return Effect.flatMap(Effect.exit(restore(outcome)), (judged) => {
              if (Exit.isSuccess(judged)) {
                end(judged.value, exit)
                return exit
              }
              end(Outcome.ignored, exit)
              return Effect.failCause(Exit.isFailure(exit) ? Cause.combine(exit.cause, judged.cause) : judged.cause)
            })
          }
          const admitted = admission === "Probe" && fiber !== undefined ? asProbe(fiber, breaker, call, self) : self
          return Effect.matchCauseEffect(restore(admitted), {
            onSuccess: (value) => finish(Exit.succeed(value)),
            onFailure: (cause) => finish(Exit.failCause(cause))
          })
        }
      })

    return EffectBreaker.CircuitBreaker.of({
      [EffectBreaker.TypeId]: EffectBreaker.TypeId,
      execute: dual(2, execute),
      state: (key) =>
        Effect.sync(() => {
          const breaker = find(key)
          return breaker === undefined ? { _tag: "Closed", key } : stateOf(key, breaker)
        }),
      transitions: hub.stream
    })
  })
}

type Classify<A, E, R> = (
  exit: Exit.Exit<A, E>
) => EffectBreaker.Outcome | Effect.Effect<EffectBreaker.Outcome, never, R>

const outcomeOf = <A, E, R>(
  breaker: Breaker,
  call: Call,
  exit: Exit.Exit<A, E>,
  classify: Classify<A, E, R> | undefined
): EffectBreaker.Outcome | Effect.Effect<EffectBreaker.Outcome, never, R> => {
  try {
    return classify === undefined || (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      ? judge(exit, breaker, undefined, call.startedAt)
      : classify(exit)
  } catch (defect) {
    return Effect.die(defect)
  }
}

const POLICY_OPTIONS = /* @__PURE__ */ optionNames<PolicyOptions>({ policy: true, prefix: true })
const TRIP_OPTIONS = /* @__PURE__ */ optionNames<TripOptions>({
  tripPolicy: true,
  openDuration: true,
  maxOpenDuration: true,
  onStoreError: true,
  prefix: true
})

const policyOf = (options: TripOptions): CircuitPolicy.CircuitPolicy => {
  const { maxOpenDuration, openDuration, tripPolicy } = options
  if (!Predicate.isTagged(tripPolicy, "Consecutive") && !Predicate.isTagged(tripPolicy, "Rate")) {
    refuse("EffectCircuitBreaker.make: tripPolicy", "a trip policy of effect/persistence/CircuitBreaker", tripPolicy)
  }
  return CircuitPolicy.make({
    ...tripPolicy._tag === "Consecutive"
      ? { consecutiveFailures: tripPolicy.failures, window: { calls: 100 } }
      : {
        failureRate: tripPolicy.threshold,
        minimumCalls: tripPolicy.minimumCalls,
        window: { calls: tripPolicy.size }
      },
    openDuration,
    maxOpenDuration,
    halfOpenMaxCalls: 1,
    successThreshold: 1,
    halfOpenTimeout: Duration.infinity,
    classify: everyFailure
  })
}

/** As Effect's breaker judges: rejections count too, and an error's own `retryAfter` does not. */
const everyFailure: Outcome.Classifier = (exit) => Exit.isSuccess(exit) ? Outcome.success : Outcome.failure()

// -----------------------------------------------------------------------------
// states
// -----------------------------------------------------------------------------

/** The circuit as the last call left it, but for probes that have timed out and a ramp that has ended. */
const stateOf = (key: string, breaker: Breaker): EffectBreaker.State => {
  const circuit = breaker.circuit
  switch (circuit._tag) {
    case "Closed":
    case "Disabled":
    case "MetricsOnly":
      return { _tag: "Closed", key }
    case "Open":
    case "ForcedOpen":
      return openState(key, breaker, circuit)
    case "HalfOpen": {
      const settled = breaker.settled()
      if (settled._tag === "Closed") return { _tag: "Closed", key }
      return settled.generation === circuit.generation
        ? { _tag: "HalfOpen", key, probing: circuit.inFlight > 0, consecutiveOpenings: circuit.openings }
        : openState(key, breaker, settled)
    }
  }
}

const openState = (key: string, breaker: Breaker, circuit: Circuit.Circuit): EffectBreaker.State => ({
  _tag: "Open",
  key,
  retryAfter: retryAfterOf(breaker, circuit),
  consecutiveOpenings: circuit.openings
})

const retryAfterOf = (breaker: Breaker, circuit: Circuit.Circuit): Duration.Duration => {
  const retryAfter = Duration.millis(Circuit.timeUntilRetry(circuit, breaker.now()))
  // Code that waits as long as it is told must not wait for ever for an operator.
  return circuit._tag === "ForcedOpen"
    ? Duration.min(retryAfter, breaker.policy.maxOpenDuration)
    : retryAfter
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

const breakerError = /* @__PURE__ */ stackless(EffectBreaker.CircuitBreakerError.prototype)
const openReason = /* @__PURE__ */ stackless(EffectBreaker.CircuitOpen.prototype)
const halfOpenReason = /* @__PURE__ */ stackless(EffectBreaker.CircuitHalfOpen.prototype)

const rejection = (key: string, breaker: Breaker): EffectBreaker.CircuitBreakerError => {
  const circuit = breaker.circuit
  return makeError(breakerError, {
    _tag: "CircuitBreakerError",
    reason: circuit._tag === "HalfOpen"
      ? makeError(halfOpenReason, { _tag: "CircuitHalfOpen", key })
      : makeError(openReason, { _tag: "CircuitOpen", key, retryAfter: retryAfterOf(breaker, circuit) }),
    [EffectBreaker.ErrorTypeId]: EffectBreaker.ErrorTypeId
  })
}
