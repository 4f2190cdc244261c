/**
 * Brings circuits into a state and records their transitions.
 *
 * All helpers take a circuit, the class of a circuit service, or the name of a
 * circuit in the registry, as `withCircuitBreaker` does. A helper that cannot do
 * its work dies with a message that says what to do about it.
 *
 * **Example** (Testing the recovery of a circuit)
 *
 * ```ts import.meta.vitest
 * import { it } from "@effect/vitest"
 * import { Effect } from "effect"
 * import { CircuitBreaker, CircuitBreakerRegistry } from "effect-resilience"
 * import { TestCircuit } from "effect-resilience/testing"
 *
 * it.effect("recovers", () =>
 *   Effect.gen(function*() {
 *     const transitions = yield* TestCircuit.recordTransitions("payment-api")
 *
 *     yield* TestCircuit.open("payment-api")
 *     yield* TestCircuit.advanceToHalfOpen("payment-api")
 *     const charge = Effect.succeed("charged").pipe(CircuitBreaker.withCircuitBreaker("payment-api"))
 *     yield* Effect.replicateEffect(charge, 2)
 *
 *     yield* transitions.expect(["Closed -> Open", "Open -> HalfOpen", "HalfOpen -> Closed"])
 *   }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))
 * ```
 *
 * @stability unstable
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as CircuitBreaker from "../CircuitBreaker.ts"
import { CircuitBreakerRegistry } from "../CircuitBreakerRegistry.ts"
import type { CircuitEvent, CircuitState, StateChanged } from "../CircuitEvent.ts"
import { type Trip, TRIPS } from "../internal/circuit/policy.ts"
import { type CallSite, callSite, ExpectationError, pointAt } from "./internal/expectation.ts"
import * as Outcome from "../Outcome.ts"

/** The circuit of a target, found as `withCircuitBreaker` finds it. */
const circuitOf = <T extends CircuitBreaker.Target>(
  target: T
): Effect.Effect<CircuitBreaker.CircuitBreaker, never, CircuitBreaker.TargetServices<T>> =>
  CircuitBreaker.isCircuitBreaker(target)
    ? Effect.succeed(target)
    : Effect.withFiber((fiber) =>
      typeof target === "string"
        ? Context.getUnsafe(fiber.context, CircuitBreakerRegistry).getOrCreate(target)
        : Effect.succeed(
          Context.getUnsafe(fiber.context, target as Context.Key<never, CircuitBreaker.CircuitBreaker>)
        )
    )

const cannot = (site: CallSite, helper: string, breaker: CircuitBreaker.CircuitBreaker, why: string) =>
  Effect.die(pointAt(site, new Error(`TestCircuit.${helper}: circuit "${breaker.name}" ${why}`)))

/** Whether failures break a rule. */
const BREAKS: Record<Trip, boolean> = { consecutiveFailures: true, failureRate: true, slowCallRate: false }

/** Override the classifier of the policy. */
const failing = { classify: () => Outcome.failure() }
const succeeding = { classify: () => Outcome.success }

/** Successes leave a window of a duration only as time passes, and `open` does not let time pass. */
const MAX_CALLS = 100_000

// -----------------------------------------------------------------------------
// states
// -----------------------------------------------------------------------------

/**
 * Opens a circuit by failed calls. Does nothing if it is open.
 *
 * **Details**
 *
 * The calls run nothing and count as failures, also if the classifier of the
 * policy says otherwise. They appear in the circuit's counts and events.
 *
 * **Gotchas**
 *
 * Dies if failures cannot open the circuit: if its only rule is `slowCallRate`,
 * or if it is `Disabled`, `MetricsOnly` or `ForcedOpen`. To reject calls by
 * hand, use `forceOpen`.
 *
 * **Example** (Testing a program while a circuit is open)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker, CircuitBreakerRegistry } from "effect-resilience"
 * import { TestCircuit } from "effect-resilience/testing"
 *
 * const charge = Effect.succeed("charged").pipe(
 *   CircuitBreaker.withCircuitBreaker("payment-api"),
 *   Effect.catchTag("CircuitOpenError", () => Effect.succeed("deferred"))
 * )
 *
 * const test = Effect.andThen(TestCircuit.open("payment-api"), charge)
 *
 * await Effect.runPromise(test.pipe(Effect.provide(CircuitBreakerRegistry.layer()))) // => "deferred"
 * ```
 *
 * @stability unstable
 * @category states
 * @since 0.1.0
 */
export const open = <T extends CircuitBreaker.Target>(
  target: T
): Effect.Effect<void, never, CircuitBreaker.TargetServices<T>> => {
  const site = callSite(open)
  return Effect.flatMap(circuitOf(target), (breaker) => openAt(site, breaker))
}

const openAt = (site: CallSite, breaker: CircuitBreaker.CircuitBreaker): Effect.Effect<void> =>
  Effect.gen(function*() {
    const policy = yield* breaker.policy
    const state = yield* breaker.state
    if (state === "Disabled" || state === "MetricsOnly" || state === "ForcedOpen") {
      return yield* cannot(site, "open", breaker, `is ${state} and does not open by failures; \`reset\` it first`)
    }
    if (!TRIPS.some((trip) => BREAKS[trip] && policy[trip] !== undefined)) {
      return yield* cannot(site, "open", breaker, "opens on slow calls only; use `forceOpen`, or make slow calls")
    }
    const fail = Effect.ignore(breaker.execute(Effect.fail("TestCircuit.open"), failing))
    for (let calls = 0; (yield* breaker.state) !== "Open"; calls++) {
      if (!(yield* breaker.isAvailable)) {
        return yield* cannot(site, "open", breaker, "has all of its probes running; let them end first")
      }
      if (calls === MAX_CALLS) {
        return yield* cannot(
          site,
          "open",
          breaker,
          `is not open after ${MAX_CALLS} failures; the successes in its window have to expire first`
        )
      }
      yield* fail
    }
  })

/**
 * Advances the `TestClock` to the end of a circuit's open time, when the next
 * call is a probe. Does nothing if the circuit is `HalfOpen`.
 *
 * **Details**
 *
 * The circuit is `Open`, or `ForcedOpen` for a duration. Everything else that
 * waits on the `TestClock` advances as well.
 *
 * **Gotchas**
 *
 * Dies if the circuit is in another state, if there is no `TestClock`, or if the
 * circuit was made before the `TestClock` was provided and uses another clock.
 *
 * @stability unstable
 * @category states
 * @since 0.1.0
 */
export const advanceToHalfOpen = <T extends CircuitBreaker.Target>(
  target: T
): Effect.Effect<void, never, CircuitBreaker.TargetServices<T>> => {
  const site = callSite(advanceToHalfOpen)
  return Effect.flatMap(circuitOf(target), (breaker) => advanceToHalfOpenAt(site, breaker))
}

const advanceToHalfOpenAt = (site: CallSite, breaker: CircuitBreaker.CircuitBreaker): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { state, timeUntilRetry } = yield* breaker.metrics
    if (state === "HalfOpen") return
    if (timeUntilRetry === undefined) {
      return yield* cannot(
        site,
        "advanceToHalfOpen",
        breaker,
        `is ${state}, and only an open one becomes half-open by time`
      )
    }
    if (!Duration.isFinite(timeUntilRetry)) {
      return yield* cannot(site, "advanceToHalfOpen", breaker, "stays forced open until it is released by a command")
    }
    if (!Predicate.hasProperty(yield* Clock.Clock, "adjust")) {
      return yield* cannot(
        site,
        "advanceToHalfOpen",
        breaker,
        "needs a TestClock: use `it.effect` or `TestClock.layer`"
      )
    }
    // The clock has whole milliseconds: rounding down would stop a fraction before the end.
    yield* TestClock.adjust(Duration.millis(Math.ceil(Duration.toMillis(timeUntilRetry))))
    const reached = yield* breaker.state
    if (reached !== "HalfOpen") {
      return yield* cannot(
        site,
        "advanceToHalfOpen",
        breaker,
        `is ${reached} after its open time; was it made where the TestClock was not provided?`
      )
    }
  })

/**
 * Opens a circuit and advances the `TestClock` to the end of its open time, when
 * the next call is a probe.
 *
 * @see {@link open} and {@link advanceToHalfOpen} for the circuits that it does not work for
 *
 * @stability unstable
 * @category states
 * @since 0.1.0
 */
export const halfOpen = <T extends CircuitBreaker.Target>(
  target: T
): Effect.Effect<void, never, CircuitBreaker.TargetServices<T>> => {
  const site = callSite(halfOpen)
  return Effect.flatMap(circuitOf(target), (breaker) => halfOpenAt(site, breaker))
}

const halfOpenAt = (site: CallSite, breaker: CircuitBreaker.CircuitBreaker): Effect.Effect<void> =>
  Effect.gen(function*() {
    if ((yield* breaker.state) === "HalfOpen") return
    yield* openAt(site, breaker)
    yield* advanceToHalfOpenAt(site, breaker)
  })

/**
 * Closes a circuit as it recovers by itself: advances the `TestClock` to the end
 * of its open time, makes successful probes, and advances past the ramp of a
 * policy with `recovery`. Does nothing if the circuit is closed.
 *
 * **Gotchas**
 *
 * Dies if the circuit is `Disabled`, `MetricsOnly` or forced open without a
 * duration, or if other probes use its slots. To close it by hand, use
 * `forceClose`.
 *
 * **Example** (A circuit that was open once)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { TestClock } from "effect/testing"
 * import { CircuitBreaker } from "effect-resilience"
 * import { TestCircuit } from "effect-resilience/testing"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({ name: "payment-api" })
 *   yield* TestCircuit.open(breaker)
 *   yield* TestCircuit.close(breaker)
 *   const { consecutiveOpenings, state } = yield* breaker.metrics
 *   return [state, consecutiveOpenings]
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(TestClock.layer()))) // => ["Closed", 1]
 * ```
 *
 * @stability unstable
 * @category states
 * @since 0.1.0
 */
export const close = <T extends CircuitBreaker.Target>(
  target: T
): Effect.Effect<void, never, CircuitBreaker.TargetServices<T>> => {
  const site = callSite(close)
  return Effect.flatMap(circuitOf(target), (breaker) => closeAt(site, breaker))
}

const closeAt = (site: CallSite, breaker: CircuitBreaker.CircuitBreaker): Effect.Effect<void> =>
  Effect.gen(function*() {
    if ((yield* breaker.state) === "Closed") return
    yield* advanceToHalfOpenAt(site, breaker)
    const { halfOpenSample, recovery, successThreshold } = yield* breaker.policy
    const probes = halfOpenSample?.calls ?? successThreshold
    for (let calls = 0; (yield* breaker.state) === "HalfOpen"; calls++) {
      if (recovery !== undefined && calls === probes) {
        if (!Predicate.hasProperty(yield* Clock.Clock, "adjust")) {
          return yield* cannot(
            site,
            "close",
            breaker,
            "ramps up and needs a TestClock: use `it.effect` or `TestClock.layer`"
          )
        }
        yield* TestClock.adjust(recovery.duration)
        if ((yield* breaker.state) === "Closed") return
        return yield* cannot(
          site,
          "close",
          breaker,
          "is not closed after its ramp; was it made where the TestClock was not provided?"
        )
      }
      if (!(yield* breaker.isAvailable)) {
        return yield* cannot(site, "close", breaker, "has all of its probes running; let them end first")
      }
      yield* Effect.ignore(breaker.execute(Effect.void, succeeding))
    }
  })

// -----------------------------------------------------------------------------
// transitions
// -----------------------------------------------------------------------------

/**
 * A transition as text: `Closed -> Open` or, with its reason,
 * `Closed -> Open: ConsecutiveFailures`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Transition =
  | `${CircuitState} -> ${CircuitState}`
  | `${CircuitState} -> ${CircuitState}: ${StateChanged["reason"]}`

/**
 * The transitions of circuits since the recording started.
 *
 * **Details**
 *
 * Reading waits until all events so far are delivered. It dies if events were
 * lost, after more than 1,000 calls between two readings.
 *
 * Calls and commands make transitions. A circuit reads as `HalfOpen` once its
 * open time has ended, but its transition is recorded with the next call.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Transitions {
  /** The transitions as events, in order. */
  readonly all: Effect.Effect<ReadonlyArray<StateChanged>>

  /** The transitions as text, with their reasons. */
  readonly lines: Effect.Effect<ReadonlyArray<Transition>>

  /** The transitions of one circuit. */
  readonly of: (circuit: string) => Transitions

  /**
   * Dies with a readable difference unless exactly these transitions were made,
   * in this order. A transition without a reason matches any reason.
   */
  readonly expect: (transitions: ReadonlyArray<Transition>) => Effect.Effect<void>

  /** Removes all recorded transitions. */
  readonly clear: Effect.Effect<void>
}

/**
 * Records the transitions of a circuit, or of all circuits of the registry
 * without a target, until the scope closes.
 *
 * **Example** (Recording all circuits)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreakerRegistry } from "effect-resilience"
 * import { TestCircuit } from "effect-resilience/testing"
 *
 * const program = Effect.gen(function*() {
 *   const transitions = yield* TestCircuit.recordTransitions()
 *   yield* TestCircuit.open("payment-api")
 *   yield* TestCircuit.open("kafka")
 *   yield* transitions.of("kafka").expect(["Closed -> Open"])
 *   return yield* transitions.of("kafka").lines
 * }).pipe(Effect.scoped)
 *
 * await Effect.runPromise(
 *   program.pipe(Effect.provide(CircuitBreakerRegistry.layer()))
 * ) // => ["Closed -> Open: ConsecutiveFailures"]
 * ```
 *
 * @stability unstable
 * @category transitions
 * @since 0.1.0
 */
export function recordTransitions(): Effect.Effect<Transitions, never, CircuitBreakerRegistry | Scope.Scope>
export function recordTransitions<T extends CircuitBreaker.Target>(
  target: T
): Effect.Effect<Transitions, never, CircuitBreaker.TargetServices<T> | Scope.Scope>
export function recordTransitions<T extends CircuitBreaker.Target>(
  target?: T
): Effect.Effect<Transitions, never, CircuitBreakerRegistry | CircuitBreaker.TargetServices<T> | Scope.Scope> {
  const site = callSite(recordTransitions)
  return target === undefined
    ? Effect.flatMap(CircuitBreakerRegistry, ({ events }) => recordFrom(site, events))
    : Effect.flatMap(circuitOf(target), ({ events }) => recordFrom(site, events))
}

const recordFrom = /* @__PURE__ */ Effect.fnUntraced(function*(site: CallSite, events: Stream.Stream<CircuitEvent>) {
  const log: Log = { transitions: [], delivered: 0, lost: 0, sequences: new Map() }
  yield* events.pipe(
    Stream.runForEach((event) => Effect.sync(() => write(log, event))),
    Effect.forkScoped({ startImmediately: true })
  )
  yield* settle(log)
  return recording(site, log, () => true)
})

interface Log {
  transitions: Array<StateChanged>
  /** Events of all kinds. */
  delivered: number
  lost: number
  /** The number of the last event of each circuit. */
  readonly sequences: Map<string, number>
}

const write = (log: Log, event: CircuitEvent): void => {
  log.delivered++
  // Numbers restart with a circuit that was removed and made again.
  log.lost += Math.max(0, event.sequence - 1 - (log.sequences.get(event.circuit) ?? event.sequence - 1))
  log.sequences.set(event.circuit, event.sequence)
  if (event._tag === "StateChanged") log.transitions.push(event)
}

const recording = (site: CallSite, log: Log, isWanted: (event: StateChanged) => boolean): Transitions => {
  const all = Effect.flatMap(settle(log), () =>
    log.lost === 0
      ? Effect.succeed(log.transitions.filter(isWanted))
      : Effect.die(pointAt(
        site,
        new Error(
          `TestCircuit.recordTransitions: lost ${log.lost} events; read the transitions before 1,000 more calls`
        )
      )))
  const expect: Transitions["expect"] = (transitions) => {
    const site = callSite(expect)
    return Effect.flatMap(all, (events) => {
      const actual = events.map((event, i) => describe(event, transitions[i]))
      if (actual.length === transitions.length && actual.every((line, i) => line === transitions[i])) return Effect.void
      const error = new ExpectationError("The transitions are not those that were expected", actual, transitions)
      return Effect.die(pointAt(site, error))
    })
  }
  return {
    all,
    lines: Effect.map(all, (events) => events.map((event) => describe(event))),
    of: (circuit) => recording(site, log, (event) => event.circuit === circuit),
    expect,
    clear: Effect.andThen(
      settle(log),
      Effect.sync(() => {
        log.transitions = []
        log.lost = 0
      })
    )
  }
}

/** Compares without the reason if none is expected. */
const describe = ({ from, reason, to }: StateChanged, expected?: Transition): Transition =>
  expected !== undefined && !expected.includes(":") ? `${from} -> ${to}` : `${from} -> ${to}: ${reason}`

/** Waits until the fiber that delivers events is idle. */
const settle = (log: Log): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (let idle = 0, before = log.delivered; idle < 20; idle++) {
      yield* Effect.yieldNow
      if (log.delivered !== before) idle = 0
      before = log.delivered
    }
  })
