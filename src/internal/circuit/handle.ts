/** The public circuit, and what the rest of the package knows of one. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CircuitBreaker, Permit } from "../../CircuitBreaker.ts"
import type { CircuitChange, CircuitEvent, CircuitState } from "../../CircuitEvent.ts"
import type { CircuitMetrics } from "../../CircuitMetrics.ts"
import type { CircuitPolicy } from "../../CircuitPolicy.ts"
import type { CircuitOpenError } from "../../ResilienceError.ts"
import { checkDuration, checkOneOf, checkOptions, optionNames, refuse } from "../check.ts"
import { type Definition, ORIGIN } from "../serviceNames.ts"
import { writeLog } from "../telemetry/writeLog.ts"
import type { Breaker } from "./breaker.ts"
import { Call } from "./call.ts"
import { checkCallOptions } from "./callOptions.ts"
import { Execution } from "./execution.ts"
import * as Circuit from "./machine.ts"
import { CommandNote } from "./note.ts"
import { CallPermit } from "./permit.ts"
import { difference, from } from "./policy.ts"
import { TypeId } from "./target.ts"

const FORCE_OPEN_OPTIONS = /* @__PURE__ */ optionNames<NonNullable<Parameters<CircuitBreaker["forceOpen"]>[0]>>({
  duration: true
})

/** The version of what is inside of a circuit, as the registry has one. */
const INSIDE = "~effect-resilience/circuit"

/** What programs hold of a circuit: it finds the breaker that goes by its name now. */
export class Handle implements CircuitBreaker {
  /** The breaker it was made for. */
  readonly breaker: Breaker
  /** The class whose layer has made it. Declared, so that all circuits have one shape. */
  readonly [ORIGIN]: Definition | undefined = undefined
  /** Set while the registry has forgotten the circuit: finds or restores the one that goes by its name now. */
  successor: (() => Breaker) | undefined = undefined
  /** Whether an operator has given it another policy, which then stands against what code says. */
  reconfigured = false

  constructor(breaker: Breaker) {
    this.breaker = breaker
  }

  get live(): Breaker {
    return this.successor === undefined ? this.breaker : this.successor()
  }

  get name(): string {
    return this.breaker.name
  }

  get [TypeId](): typeof TypeId {
    return TypeId
  }

  get [INSIDE](): number {
    return 1
  }

  /** A circuit that is logged shows its name and state, and not the clock and the history inside. */
  toJSON(): unknown {
    return { _id: "CircuitBreaker", name: this.name, state: this.live.settled()._tag }
  }

  // ---------------------------------------------------------------------------
  // calls
  // ---------------------------------------------------------------------------

  get execute(): CircuitBreaker["execute"] {
    return (self, options) => {
      checkCallOptions("CircuitBreaker.execute", options, false)
      return new Execution(this, self, options)
    }
  }

  get permit(): Effect.Effect<Permit, CircuitOpenError, Scope.Scope> {
    return Effect.withFiber((fiber) =>
      Effect.acquireRelease(
        // Found in the step that admits, since a circuit may be forgotten between two.
        Effect.suspend(() => {
          const breaker = this.live
          const call = new Call()
          const admission = breaker.admit(call, fiber)
          return admission === undefined || admission === "Probe"
            ? Effect.succeed(new CallPermit(breaker, call, admission === "Probe"))
            : admission
        }),
        (permit, exit) => Effect.sync(() => permit.release(exit))
      )
    )
  }

  // ---------------------------------------------------------------------------
  // reading
  // ---------------------------------------------------------------------------

  get policy(): Effect.Effect<CircuitPolicy> {
    return Effect.sync(() => this.live.policy)
  }

  get state(): Effect.Effect<CircuitState> {
    return Effect.sync(() => this.live.settled()._tag)
  }

  get isAvailable(): Effect.Effect<boolean> {
    return Effect.sync(() => {
      const breaker = this.live
      return Circuit.isAvailable(breaker.settled(), breaker.rules)
    })
  }

  get metrics(): Effect.Effect<CircuitMetrics> {
    return Effect.sync(() => this.live.snapshot())
  }

  get events(): Stream.Stream<CircuitEvent> {
    return Stream.suspend(() => this.live.journal.events)
  }

  get changes(): Stream.Stream<CircuitChange> {
    return Stream.suspend(() => {
      const breaker = this.live
      return breaker.journal.changes(() => breaker.parent)
    })
  }

  get on(): CircuitBreaker["on"] {
    return (tag, listener) => {
      checkOneOf("CircuitBreaker.on: tag", ["StateChanged", "CallEnded", "Reconfigured"], tag)
      if (typeof listener !== "function") {
        refuse("CircuitBreaker.on: listener", "a function that returns an effect", listener)
      }
      return (tag === "CallEnded" ? this.events : Stream.suspend(() => this.live.journal.newChanges)).pipe(
        Stream.filter((event): event is Extract<CircuitEvent, { _tag: typeof tag }> => event._tag === tag),
        Stream.runForEach((event) =>
          Effect.suspend(() => listener(event)).pipe(
            Effect.catchCause((cause) =>
              writeLog(Effect.logError(`A listener of circuit "${event.circuit}" failed`, cause))
            )
          )
        ),
        Effect.ignoreCause,
        Effect.forkScoped({ startImmediately: true }),
        Effect.asVoid
      )
    }
  }

  // ---------------------------------------------------------------------------
  // commands
  // ---------------------------------------------------------------------------

  get forceOpen(): CircuitBreaker["forceOpen"] {
    return (options = {}) => {
      checkOptions("CircuitBreaker.forceOpen", options, FORCE_OPEN_OPTIONS)
      const duration = options.duration === undefined
        ? Infinity
        : Duration.toMillis(checkDuration("CircuitBreaker.forceOpen: duration", options.duration))
      return this.command((breaker, note) => breaker.move({ _tag: "ForceOpen", duration }, note))
    }
  }

  get forceClose(): Effect.Effect<void> {
    return this.command((breaker, note) => breaker.move({ _tag: "ForceClose" }, note))
  }

  get disable(): Effect.Effect<void> {
    return this.command((breaker, note) => breaker.move({ _tag: "Disable" }, note))
  }

  get metricsOnly(): Effect.Effect<void> {
    return this.command((breaker, note) => breaker.move({ _tag: "MetricsOnly" }, note))
  }

  get reset(): Effect.Effect<void> {
    return this.command((breaker, note) => breaker.reset(note))
  }

  private command(run: (breaker: Breaker, note: string | undefined) => void): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      run(this.live, fiber.getRef(CommandNote))
      return Effect.void
    })
  }

  get reconfigure(): CircuitBreaker["reconfigure"] {
    return (policyOrOptions) => {
      if (policyOrOptions === undefined) {
        refuse("CircuitBreaker.reconfigure: policy", "a policy or its options", undefined)
      }
      const policy = from("CircuitBreaker.reconfigure: policy", policyOrOptions)
      return Effect.sync(() => {
        const breaker = this.live
        // Naming what is in force is no change: the environment stays the source of it.
        if (difference(breaker.policy, policy).length === 0) return
        breaker.follow(policy)
        handleOf(breaker).reconfigured = true
      })
    }
  }
}

/** The handle of a breaker: always the same one, made when it is first asked for. */
export const handleOf = (breaker: Breaker): Handle => breaker.handle ??= new Handle(breaker)

/** Whether a circuit is a handle of this copy of the package, and none that stands before one with an `execute` of its own. */
export const isHandle = (circuit: CircuitBreaker<never>): circuit is Handle =>
  Object.getPrototypeOf(circuit) === Handle.prototype

/** Whether what is inside of a circuit is known, which another copy of this package may have made. */
export const isKnown = (circuit: unknown): circuit is Handle =>
  Predicate.hasProperty(circuit, INSIDE) && circuit[INSIDE] === 1

/** Whether two handles stand for one circuit: that of a forgotten one stands for the one that has its name now. */
export const isSame = (self: CircuitBreaker | undefined, that: CircuitBreaker | undefined): boolean =>
  self === that || (isKnown(self) && isKnown(that) && self.live === that.live)
