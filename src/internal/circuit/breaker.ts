/**
 * One circuit at run time: the state machine of circuit.ts in a `Ref`, driven
 * by calls, by time and by hand.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { format } from "effect/Formatter"
import * as Predicate from "effect/Predicate"
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CircuitBreaker, Permit } from "../../CircuitBreaker.ts"
import type { CallEnded, CircuitChange, CircuitEvent, CircuitState, StateChanged } from "../../CircuitEvent.ts"
import type { CircuitMetrics } from "../../CircuitMetrics.ts"
import * as CircuitPolicy from "../../CircuitPolicy.ts"
import * as Outcome from "../../Outcome.ts"
import type { CircuitOpenError, LastFailure } from "../../ResilienceError.ts"
import { type CallOptions, checkCallOptions } from "./callOptions.ts"
import { checkDuration, checkOneOf, checkOptions, checkString, refuse } from "../check.ts"
import * as Circuit from "./machine.ts"
import { EventHub, History } from "../eventHub.ts"
import { describeFailure } from "../error/lastFailure.ts"
import { monotonicMillis } from "../time/monotonic.ts"
import { OneStep, onExitInStep } from "../oneStep.ts"
import { exponentialOpenTime } from "./openTime.ts"
import { circuitOpenError } from "../error/rejection.ts"
import { type Definition, ORIGIN } from "../serviceNames.ts"
import * as Window from "./window.ts"
import { writeLog } from "../telemetry/writeLog.ts"

/** A service class is keyed by the name of its circuit. */
export const SERVICE_PREFIX = "effect-resilience/CircuitBreaker/"

const noObservers: ReadonlyArray<Observer> = []

const OWN_HISTORY = 64

const NOT_ADMITTED = -1
const NOT_TIMED = -1

/** One call on its way through a circuit: where it was admitted, and how it ended. */
export class Call {
  generation = NOT_ADMITTED
  startedAt = NOT_TIMED
  verdict: Circuit.Verdict = "Success"
  slow = false
  retryAfter = 0
  now = 0

  get isAdmitted(): boolean {
    return this.generation !== NOT_ADMITTED
  }
}

/** Calls by how they ended, and changes of state. */
interface Tally {
  success: number
  failure: number
  ignored: number
  rejected: number
  late: number
  /** Of the calls that were timed: how many, and how long together. */
  timed: number
  totalDuration: number
  stateChanges: number
}

const emptyTally = (): Tally => ({
  success: 0,
  failure: 0,
  ignored: 0,
  rejected: 0,
  late: 0,
  timed: 0,
  totalDuration: 0,
  stateChanges: 0
})

/** Hears of what cannot be read off a circuit afterwards. Must not throw. */
export interface Observer {
  readonly onTransition: (from: CircuitState, to: CircuitState) => void
  /** In milliseconds. */
  readonly onDuration: (duration: number) => void
  /** Whether durations have to be measured, though the policy needs none. */
  readonly measure: boolean
}

/** The events of a registry, of which its circuits' are a part. */
export interface Parent {
  readonly events: EventHub<CircuitEvent>
  readonly changes: EventHub<CircuitChange>
  readonly history: History<CircuitChange>
}

/** The operator's words for commands that take none of their own. */
export const CommandNote = Context.Reference<string | undefined>("effect-resilience/CommandNote", {
  defaultValue: () => undefined
})

/**
 * The probe that a fiber runs, and those it runs inside of. A call that goes
 * through the same circuit again is a part of that probe: it would wait for the
 * very slot that it holds.
 */
interface Probe {
  readonly breaker: Breaker
  readonly call: Call
  readonly outer: Probe | undefined
}

export const RunningProbe = Context.Reference<Probe | undefined>("effect-resilience/RunningProbe", {
  defaultValue: () => undefined
})

export const asProbe = <A, E, R>(
  fiber: Fiber.Fiber<unknown, unknown>,
  breaker: Breaker,
  call: Call,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.provideService(self, RunningProbe, { breaker, call, outer: fiber.getRef(RunningProbe) })

/** Nothing for a call that runs; or that it runs as a probe; or the rejection. */
type Admission = undefined | "Probe" | Effect.Effect<never, CircuitOpenError>

export interface BreakerOptions {
  readonly name: string
  readonly policy: CircuitPolicy.CircuitPolicy
  /** Gives the clock, the randomness and the services of an open time's schedule, for the life of the circuit. */
  readonly context: Context.Context<never>
  /** Events go here as well. */
  readonly parent?: Parent | undefined
  /** Keep `lastUsedAt`, which costs a clock reading per call. */
  readonly trackUse?: boolean | undefined
  /** What the circuit begins with, instead of Closed. */
  readonly start?: Circuit.Command | undefined
}

/** On a circuit: the version of what is inside of it, as the registry has one. */
const INSIDE = "~effect-resilience/circuit"

/** Whether what is inside of a circuit is known, which another copy of this package may have made. */
export const isBreaker = (circuit: unknown): circuit is Breaker =>
  Predicate.hasProperty(circuit, INSIDE) && circuit[INSIDE] === 1

export class Breaker implements CircuitBreaker {
  readonly name: string
  /** The class whose layer has made it. Declared, so that all circuits have one shape. */
  readonly [ORIGIN]: Definition | undefined = undefined
  readonly ref: Ref.Ref<Circuit.Circuit>
  inFlight = 0
  lastUsedAt: number
  /** Set once the registry has evicted this circuit: finds or restores the one that goes by its name now. */
  successor: (() => Breaker) | undefined

  /** Whether an operator has given it another policy, which then stands against what code says. */
  reconfigured = false
  currentPolicy: CircuitPolicy.CircuitPolicy
  private rules: Circuit.Rules
  /** Whether durations are measured, and whether the end of every call needs the time. */
  private measured = false
  private clocked = false
  /** Whether the beginning of every call needs the time. */
  private startClocked = false
  private slowCallTime = Infinity
  /** Since the circuit was made, and as it was at the last reset. */
  readonly tally = emptyTally()
  private tallyAtReset: Tally | undefined
  /** What failed last, if that is known, and when. One field, since a million circuits may have it. */
  private failed: { readonly at: number; readonly what: LastFailure | undefined } | undefined
  private observers: ReadonlyArray<Observer> = noObservers
  private sequence = 0
  private changedAt: number
  /** How often it has stopped letting calls through. */
  timesOpened = 0
  private hub: EventHub<CircuitEvent> | undefined
  private changeHub: EventHub<CircuitChange> | undefined
  private ownHistory: History<CircuitChange> | undefined
  private parent: Parent | undefined
  private readonly context: Context.Context<never>
  private readonly clock: Clock.Clock
  private readonly random: () => number
  private trackUse: boolean

  constructor(options: BreakerOptions) {
    this.name = options.name
    this.context = options.context
    this.parent = options.parent
    this.trackUse = options.trackUse === true
    this.clock = Context.get(options.context, Clock.Clock)
    this.random = drawFrom(Context.get(options.context, Random.Random))
    this.currentPolicy = options.policy
    this.rules = rulesOf(options.policy, options.context)
    this.decideWhatToTime()
    const now = this.now()
    this.lastUsedAt = now
    this.changedAt = now
    const circuit = Circuit.make(this.rules, now)
    this.ref = Ref.makeUnsafe(
      options.start === undefined ? circuit : Circuit.move(circuit, this.rules, options.start, now)
    )
  }

  get ["~effect-resilience/CircuitBreaker"](): "~effect-resilience/CircuitBreaker" {
    return "~effect-resilience/CircuitBreaker"
  }

  get [INSIDE](): number {
    return 1
  }

  /** A circuit that is logged shows who it is, and not the clock and the history inside. */
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

  /** Admits a call of that fiber, or returns the rejection. */
  admit(call: Call, fiber?: Fiber.Fiber<unknown, unknown>): Admission {
    const circuit = this.ref.ref.current
    if (circuit._tag === "Disabled") return undefined
    if (circuit._tag !== "Closed" && circuit._tag !== "MetricsOnly") return this.admitIfRecovering(call, fiber)
    this.begin(call, circuit)
    return undefined
  }

  private admitIfRecovering(call: Call, fiber: Fiber.Fiber<unknown, unknown> | undefined): Admission {
    const now = this.now()
    const circuit = this.elapse(now)
    if (circuit._tag === "HalfOpen" && this.isProbedBy(fiber, circuit)) return undefined
    const admitted = Circuit.admit(circuit, this.rules, now, this.random)
    if (admitted === undefined) return this.reject(circuit, now)
    this.ref.ref.current = admitted
    this.begin(call, circuit)
    return circuit._tag === "HalfOpen" ? "Probe" : undefined
  }

  private begin(call: Call, circuit: Circuit.Circuit): void {
    if (this.startClocked) call.startedAt = this.now()
    call.generation = circuit.generation
    this.inFlight++
  }

  /** Whether the fiber runs a probe of this half-open period. */
  private isProbedBy(fiber: Fiber.Fiber<unknown, unknown> | undefined, circuit: Circuit.HalfOpen): boolean {
    let probe = fiber?.getRef(RunningProbe)
    while (probe !== undefined) {
      if (probe.breaker === this && probe.call.generation === circuit.generation) return true
      probe = probe.outer
    }
    return false
  }

  /** Times a call whose policy does not ask for that. */
  clockStart(call: Call): void {
    if (call.startedAt === NOT_TIMED) call.startedAt = this.now()
  }

  /** Ends an admitted call, once. The exit says what failed, if it did. */
  end(call: Call, outcome: Outcome.Outcome, exit?: Exit.Exit<unknown, unknown>): void {
    const { generation } = call
    if (generation === NOT_ADMITTED) return
    call.generation = NOT_ADMITTED
    this.inFlight--

    let circuit = this.ref.ref.current
    // Among failures a success can open a circuit too, as the call that completes `minimumCalls`.
    const mayMove = circuit._tag === "HalfOpen" || outcome._tag === "Failure" || circuit.counts.window.failures > 0
    if (this.clocked || mayMove) {
      call.now = this.now()
      // A late call says nothing, and so leaves the next transition to the next call.
      if (circuit.generation === generation) circuit = this.elapse(call.now)
    }
    if (this.trackUse) this.lastUsedAt = call.now
    if (outcome._tag === "Ignored") {
      this.tally.ignored++
      if (circuit.generation !== generation) return this.publishCall("Ignored", circuit, call)
    } else {
      if (this.wasTimed(call)) this.time(call)
      if (circuit.generation !== generation) {
        this.tally.late++
        return this.publishCall("Late", circuit, call)
      }
      if (outcome._tag === "Success") {
        this.tally.success++
      } else {
        this.tally.failure++
        this.failed = { at: call.now, what: describeFailure(exit, this.currentPolicy.describeFailure) }
        if (outcome.retryAfter !== undefined) call.retryAfter = Duration.toMillis(outcome.retryAfter)
      }
    }
    call.verdict = outcome._tag
    const next = Circuit.record(circuit, this.rules, call, this.random)
    this.publishCall(outcome._tag, circuit, call)
    if (next !== circuit) this.become(circuit, next, call.now)
  }

  private become(circuit: Circuit.Circuit, next: Circuit.Circuit, now: number): void {
    if (next._tag === circuit._tag) {
      this.ref.ref.current = next
    } else {
      this.commit(circuit, next, Circuit.reasonOfRecord(circuit, next, this.rules), now)
    }
  }

  private time(call: Call): void {
    const duration = call.now - call.startedAt
    this.tally.timed++
    this.tally.totalDuration += duration
    call.slow = duration > this.slowCallTime
    if (this.observers !== noObservers) this.tellDuration(duration)
  }

  /** Ends an admitted call with the outcome of its exit. */
  conclude<A, E>(call: Call, exit: Exit.Exit<A, E>, options: CallOptions<A, E> | undefined): void {
    if (call.generation === NOT_ADMITTED) return
    // Most calls: nobody is asked about a success.
    if (options === undefined && Exit.isSuccess(exit) && this.currentPolicy.classify === undefined) {
      return this.end(call, Outcome.success)
    }
    let outcome = Outcome.ignored
    try {
      outcome = this.judge(exit, options, call.startedAt)
    } finally {
      this.end(call, outcome, exit)
    }
  }

  /** The outcome of what has waited for the dependency since then. */
  judge<A, E>(exit: Exit.Exit<A, E>, options: CallOptions<A, E> | undefined, since: number): Outcome.Outcome {
    if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) {
      return this.judgeInterruption(options?.interruptedAfter ?? this.currentPolicy.interruptedAfter, since)
    }
    const classify = options?.classify
    const own = this.currentPolicy.classify
    if (classify === undefined && own === undefined) return Outcome.classify(exit)
    return checkOutcome(classify?.(exit) ?? own?.(exit)) ?? Outcome.classify(exit)
  }

  private judgeInterruption(limit: Duration.Input | undefined, since: number): Outcome.Outcome {
    return limit !== undefined && since !== NOT_TIMED &&
        this.now() - since >= Duration.toMillis(Duration.fromInputUnsafe(limit))
      ? Outcome.failure()
      : Outcome.ignored
  }

  // ---------------------------------------------------------------------------
  // what is delivered in parts
  // ---------------------------------------------------------------------------

  /** What a probe asked for has begun to arrive, which is its verdict, though it goes on. Returns whether it counted. */
  deliver(call: Call): boolean {
    const { generation } = call
    if (generation === NOT_ADMITTED || this.ref.ref.current.generation !== generation) return false
    if (this.ref.ref.current._tag !== "HalfOpen") return false
    call.now = this.now()
    const circuit = this.elapse(call.now)
    // In a ramp no call holds a slot that another one waits for.
    if (circuit._tag !== "HalfOpen" || circuit.generation !== generation || circuit.rampingSince !== undefined) {
      return false
    }
    call.verdict = "Success"
    call.slow = this.wasTimed(call) && call.now - call.startedAt > this.slowCallTime
    this.become(circuit, Circuit.record(circuit, this.rules, call, this.random), call.now)
    return true
  }

  /** Ends a call whose delivery has counted and that has nothing to add. */
  endDelivered(call: Call): void {
    if (call.generation === NOT_ADMITTED) return
    call.generation = NOT_ADMITTED
    this.inFlight--
    if (this.clocked) call.now = this.now()
    if (this.trackUse) this.lastUsedAt = call.now
    if (this.wasTimed(call)) this.time(call)
    this.tally.success++
    this.publishCall("Success", this.ref.ref.current, call)
  }

  /** Ends a call with a failure, though its delivery has counted: instead of that, if it still can. */
  failDelivered(call: Call, outcome: Outcome.Outcome, exit: Exit.Exit<unknown, unknown> | undefined): void {
    if (call.generation === NOT_ADMITTED) return
    const now = this.now()
    const circuit = this.elapse(now)
    if (circuit._tag === "HalfOpen" && circuit.generation === call.generation) {
      this.ref.ref.current = Circuit.takeBack(circuit, this.rules, call.slow, now)
    }
    this.end(call, outcome, exit)
  }

  private reject(circuit: Circuit.Circuit, now: number): Effect.Effect<never, CircuitOpenError> {
    this.tally.rejected++
    if (this.trackUse) this.lastUsedAt = now
    this.publishCall("Rejected", circuit, undefined)
    // The states that reject.
    const state = circuit._tag as CircuitOpenError["state"]
    // Whole milliseconds, since timers drop the fraction and a caller that waits has to be late enough.
    const retryAfter = Math.ceil(Circuit.timeUntilRetry(circuit, now))
    return Effect.fail(circuitOpenError(this.name, state, retryAfter, this.lastFailure))
  }

  // ---------------------------------------------------------------------------
  // reading
  // ---------------------------------------------------------------------------

  get policy(): Effect.Effect<CircuitPolicy.CircuitPolicy> {
    return Effect.sync(() => this.live.currentPolicy)
  }

  get state(): Effect.Effect<CircuitState> {
    return Effect.sync(() => this.live.settled()._tag)
  }

  get isAvailable(): Effect.Effect<boolean> {
    return Effect.sync(() => Circuit.isAvailable(this.live.settled(), this.live.rules))
  }

  get metrics(): Effect.Effect<CircuitMetrics> {
    return Effect.sync(() => this.live.snapshot())
  }

  get events(): Stream.Stream<CircuitEvent> {
    return Stream.suspend(() => {
      const breaker = this.live
      return (breaker.hub ??= new EventHub()).stream
    })
  }

  get changes(): Stream.Stream<CircuitChange> {
    return Stream.suspend(() => {
      const breaker = this.live
      return (breaker.changeHub ??= new EventHub()).streamAfter(() => breaker.history)
    })
  }

  /** Changes from now on. */
  get coming(): Stream.Stream<CircuitChange> {
    return Stream.suspend(() => (this.live.changeHub ??= new EventHub()).stream)
  }

  private get history(): ReadonlyArray<CircuitChange> {
    return this.parent === undefined
      ? this.ownHistory?.all ?? []
      : this.parent.history.all.filter((change) => change.circuit === this.name)
  }

  /** The circuit as it stands now. Reading changes nothing: the next call makes the transition. */
  settled(now = this.now()): Circuit.Circuit {
    return Circuit.settle(this.ref.ref.current, this.rules, now)
  }

  snapshot(): CircuitMetrics {
    const now = this.now()
    const circuit = this.settled(now)
    const tally = this.tallySinceReset()
    const { consecutiveFailures, window } = circuit.counts
    Window.expire(window, now)
    const opened = circuit._tag === "Open" || circuit._tag === "ForcedOpen"
    return {
      name: this.name,
      state: circuit._tag,
      isAvailable: Circuit.isAvailable(circuit, this.rules),
      totalCalls: tally.success + tally.failure + tally.ignored + tally.late + tally.rejected + this.inFlight,
      successfulCalls: tally.success,
      failedCalls: tally.failure,
      ignoredCalls: tally.ignored,
      lateCalls: tally.late,
      rejectedCalls: tally.rejected,
      callsInFlight: this.inFlight,
      consecutiveFailures,
      callsInWindow: window.calls,
      failureRate: rate(window.failures, window.calls),
      successRate: 1 - rate(window.failures, window.calls),
      slowCallRate: rate(window.slowCalls, window.calls),
      averageResponseTime: tally.timed === 0 ? undefined : Duration.millis(tally.totalDuration / tally.timed),
      lastFailureTime: this.failed === undefined
        ? undefined
        : DateTime.makeUnsafe(this.clock.currentTimeMillisUnsafe() - (now - this.failed.at)),
      lastFailure: this.lastFailure,
      timeUntilRetry: opened ? Duration.millis(Circuit.timeUntilRetry(circuit, now)) : undefined,
      currentBackoff: circuit.openings === 0 && circuit.lastOpenTime === 0
        ? undefined
        : Duration.millis(circuit.lastOpenTime),
      consecutiveOpenings: Circuit.openingsInARow(circuit, now),
      stateChanges: tally.stateChanges,
      probesInFlight: circuit._tag === "HalfOpen" ? circuit.inFlight : 0,
      probeSuccesses: circuit._tag === "HalfOpen" ? circuit.successes : 0
    }
  }

  private tallySinceReset(): Tally {
    const { tally, tallyAtReset } = this
    if (tallyAtReset === undefined) return tally
    return {
      success: tally.success - tallyAtReset.success,
      failure: tally.failure - tallyAtReset.failure,
      ignored: tally.ignored - tallyAtReset.ignored,
      rejected: tally.rejected - tallyAtReset.rejected,
      late: tally.late - tallyAtReset.late,
      timed: tally.timed - tallyAtReset.timed,
      totalDuration: tally.totalDuration - tallyAtReset.totalDuration,
      stateChanges: tally.stateChanges - tallyAtReset.stateChanges
    }
  }

  // ---------------------------------------------------------------------------
  // control
  // ---------------------------------------------------------------------------

  get forceOpen(): CircuitBreaker["forceOpen"] {
    return (options = {}) => {
      checkOptions("CircuitBreaker.forceOpen", options, ["duration", "note"])
      const { note } = options
      if (note !== undefined) checkString("CircuitBreaker.forceOpen: note", note)
      const duration = options.duration === undefined
        ? Infinity
        : Duration.toMillis(checkDuration("CircuitBreaker.forceOpen: duration", options.duration))
      return Effect.sync(() => this.live.move({ _tag: "ForceOpen", duration }, note))
    }
  }

  get forceClose(): Effect.Effect<void> {
    return Effect.withFiber((fiber) => this.command({ _tag: "ForceClose" }, fiber))
  }

  get disable(): Effect.Effect<void> {
    return Effect.withFiber((fiber) => this.command({ _tag: "Disable" }, fiber))
  }

  get metricsOnly(): Effect.Effect<void> {
    return Effect.withFiber((fiber) => this.command({ _tag: "MetricsOnly" }, fiber))
  }

  get reset(): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      const breaker = this.live
      const done = breaker.command({ _tag: "Reset" }, fiber)
      breaker.tallyAtReset = { ...breaker.tally }
      breaker.failed = undefined
      return done
    })
  }

  private command(command: Circuit.Command, fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<void> {
    this.live.move(command, fiber.getRef(CommandNote))
    return Effect.void
  }

  get reconfigure(): CircuitBreaker["reconfigure"] {
    return (policyOrOptions) => {
      if (policyOrOptions === undefined) {
        refuse("CircuitBreaker.reconfigure: policy", "a policy or its options", undefined)
      }
      const policy = CircuitPolicy.from("CircuitBreaker.reconfigure: policy", policyOrOptions)
      return Effect.sync(() => {
        const breaker = this.live
        if (breaker.follow(policy)) breaker.reconfigured = true
      })
    }
  }

  move(command: Circuit.Command, note?: string): void {
    const now = this.now()
    const circuit = this.elapse(now)
    const next = Circuit.move(circuit, this.rules, command, now)
    if (next === circuit) return
    // The other end of a forced opening is news, the reset of a closed circuit is none.
    if (next._tag === circuit._tag && next._tag !== "ForcedOpen") {
      this.ref.ref.current = next
    } else {
      this.commit(circuit, next, "Manual", now, note)
    }
  }

  /** Follows another policy from now on; `false` if it is the same. */
  follow(policy: CircuitPolicy.CircuitPolicy): boolean {
    const changed = CircuitPolicy.difference(this.currentPolicy, policy)
    if (changed.length === 0) return false
    const circuit = this.elapse(this.now())
    const rules = rulesOf(policy, this.context)
    this.currentPolicy = policy
    this.rules = rules
    this.decideWhatToTime()
    this.ref.ref.current = Circuit.reconfigure(circuit, this.rules)
    this.publishChange({ _tag: "Reconfigured", ...this.stamp(), changed })
    return true
  }

  // ---------------------------------------------------------------------------
  // listeners
  // ---------------------------------------------------------------------------

  get on(): CircuitBreaker["on"] {
    return (tag, listener) => {
      checkOneOf("CircuitBreaker.on: tag", ["StateChanged", "CallEnded", "Reconfigured"], tag)
      return listen(
        tag === "CallEnded" ? this.events : this.coming,
        (event): event is Extract<CircuitEvent, { _tag: typeof tag }> => event._tag === tag,
        listener
      )
    }
  }

  get onTrip(): CircuitBreaker["onTrip"] {
    return (listener) =>
      listen(
        this.coming,
        (event): event is StateChanged => event._tag === "StateChanged" && event.to === "Open",
        listener
      )
  }

  get onRecovery(): CircuitBreaker["onRecovery"] {
    return (listener) =>
      listen(
        this.coming,
        (event): event is StateChanged => event._tag === "StateChanged" && event.to === "Closed",
        listener
      )
  }

  get onFailure(): CircuitBreaker["onFailure"] {
    return (listener) =>
      listen(
        this.events,
        (event): event is CallEnded => event._tag === "CallEnded" && event.outcome === "Failure",
        listener
      )
  }

  get hasListeners(): boolean {
    return (this.hub !== undefined && this.hub.hasSubscribers) ||
      (this.changeHub !== undefined && this.changeHub.hasSubscribers)
  }

  get hasParent(): boolean {
    return this.parent !== undefined
  }

  /** Becomes a part of a registry, with what it remembers. */
  join(parent: Parent): void {
    for (const change of this.history) parent.history.add(change)
    this.ownHistory = undefined
    this.parent = parent
  }

  leaveParent(): void {
    if (this.parent === undefined) return
    const history = new History<CircuitChange>(OWN_HISTORY)
    for (const change of this.history) history.add(change)
    this.ownHistory = history
    this.parent = undefined
  }

  get endEvents(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.leaveParent()
      return Effect.andThen((this.hub ??= new EventHub()).end, (this.changeHub ??= new EventHub()).end)
    })
  }

  /** Returns how to stop. */
  observe(observer: Observer): () => void {
    this.setObservers([...this.observers, observer])
    return () => this.setObservers(this.observers.filter((other) => other !== observer))
  }

  private setObservers(observers: ReadonlyArray<Observer>): void {
    this.observers = observers.length === 0 ? noObservers : observers
    this.decideWhatToTime()
  }

  // ---------------------------------------------------------------------------
  // inside
  // ---------------------------------------------------------------------------

  private decideWhatToTime(): void {
    const { interruptedAfter, measureDuration, slowCallDuration, window } = this.currentPolicy
    this.measured = measureDuration || slowCallDuration !== undefined ||
      this.observers.some((observer) => observer.measure)
    this.clocked = this.trackUse || this.measured || "duration" in window
    this.startClocked = this.measured || interruptedAfter !== undefined
    this.slowCallTime = slowCallDuration === undefined ? Infinity : Duration.toMillis(slowCallDuration)
  }

  /** For a circuit that is kept whether it is used or not. */
  stopTrackingUse(): void {
    this.trackUse = false
    this.decideWhatToTime()
  }

  get live(): Breaker {
    return this.successor === undefined ? this : this.successor()
  }

  now(): number {
    return monotonicMillis(this.clock)
  }

  /** A call is not timed if it began, or ended, under a policy that measures nothing. */
  private wasTimed(call: Call): boolean {
    return this.measured && call.startedAt !== NOT_TIMED
  }

  private get observed(): boolean {
    return (this.hub !== undefined && this.hub.hasSubscribers) ||
      (this.parent !== undefined && this.parent.events.hasSubscribers)
  }

  /** Makes the transitions that time has caused since somebody last looked. */
  private elapse(now: number): Circuit.Circuit {
    let circuit = this.ref.ref.current
    let next = Circuit.elapse(circuit, this.rules, now)
    while (next !== circuit) {
      this.commit(circuit, next, Circuit.reasonOfElapse(next), now)
      circuit = next
      next = Circuit.elapse(circuit, this.rules, now)
    }
    return circuit
  }

  private commit(from: Circuit.Circuit, to: Circuit.Circuit, reason: Circuit.Reason, now: number, note?: string): void {
    this.ref.ref.current = to
    const isMove = from._tag !== to._tag
    if (isMove) {
      this.tally.stateChanges++
      for (const observer of this.observers) observer.onTransition(from._tag, to._tag)
      if (to._tag === "Open" || to._tag === "ForcedOpen") this.timesOpened++
    }
    // A timeout of probes, and the end of a ramp, are noticed by whoever looks next.
    const changedAt = to._tag === "Open" ? to.openedAt : to._tag === "Closed" ? to.closedAt : now
    const elapsed = changedAt - this.changedAt
    if (isMove) this.changedAt = changedAt
    const { consecutiveFailures, window } = from.counts
    Window.expire(window, now)
    this.publishChange({
      _tag: "StateChanged",
      ...this.stamp(),
      from: from._tag,
      to: to._tag,
      reason,
      note,
      retryAfter: Duration.millis(Circuit.timeUntilRetry(to, now)),
      openings: to.openings,
      elapsed: Duration.millis(elapsed),
      consecutiveFailures,
      failureRate: rate(window.failures, window.calls),
      slowCallRate: rate(window.slowCalls, window.calls),
      calls: window.calls,
      ...this.withLastFailure
    })
  }

  private get lastFailure(): LastFailure | undefined {
    return this.failed?.what
  }

  private get withLastFailure(): { readonly lastFailure?: LastFailure } {
    const { lastFailure } = this
    return lastFailure === undefined ? {} : { lastFailure }
  }

  private tellDuration(duration: number): void {
    for (const observer of this.observers) observer.onDuration(duration)
  }

  private publishCall(outcome: CallEnded["outcome"], circuit: Circuit.Circuit, call: Call | undefined): void {
    if (!this.observed) return
    const measured = call !== undefined && this.wasTimed(call) && outcome !== "Ignored"
    this.publish({
      _tag: "CallEnded",
      ...this.stamp(),
      outcome,
      state: circuit._tag,
      slow: call?.slow ?? false,
      duration: measured ? Duration.millis(call.now - call.startedAt) : undefined,
      consecutiveFailures: circuit.counts.consecutiveFailures,
      ...(outcome === "Failure" ? this.withLastFailure : {})
    })
  }

  private publish(event: CircuitEvent): void {
    this.hub?.publish(event)
    this.parent?.events.publish(event)
  }

  private publishChange(change: CircuitChange): void {
    const history = this.parent?.history ?? (this.ownHistory ??= new History(OWN_HISTORY))
    history.add(change)
    this.changeHub?.publish(change)
    this.parent?.changes.publish(change)
    this.publish(change)
  }

  private stamp() {
    return {
      circuit: this.name,
      sequence: ++this.sequence,
      timestamp: this.clock.currentTimeMillisUnsafe()
    }
  }
}

export class Execution<A, E, R> extends OneStep<A, E | CircuitOpenError, R> {
  private readonly handle: Breaker
  private readonly self: Effect.Effect<A, E, R>
  private readonly options: CallOptions<A, E> | undefined

  constructor(handle: Breaker, self: Effect.Effect<A, E, R>, options: CallOptions<A, E> | undefined) {
    super()
    this.handle = handle
    this.self = self
    this.options = options
  }

  step(fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<A, E | CircuitOpenError, R> {
    return executeInStep(fiber, this.handle, this.self, this.options)
  }
}

/** Runs an effect through a circuit in the step that a fiber is taking. */
export const executeInStep = <A, E, R>(
  fiber: Fiber.Fiber<unknown, unknown>,
  handle: Breaker,
  self: Effect.Effect<A, E, R>,
  options: CallOptions<A, E> | undefined
): Effect.Effect<A, E | CircuitOpenError, R> => {
  const breaker = handle.live
  const call = new Call()
  const admission = breaker.admit(call, fiber)
  let admitted = self
  if (admission !== undefined) {
    if (admission !== "Probe") return admission
    admitted = asProbe(fiber, breaker, call, self)
  }
  if (options !== undefined && options.interruptedAfter !== undefined) breaker.clockStart(call)
  return onExitInStep(fiber, admitted, (exit) => {
    breaker.conclude(call, exit, options)
    return undefined
  })
}

const draws = new WeakMap<Random.Random, () => number>()

const drawFrom = (random: Random.Random): () => number => {
  let draw = draws.get(random)
  if (draw === undefined) draws.set(random, draw = () => random.nextDoubleUnsafe())
  return draw
}

/** A classifier in JavaScript may return anything. */
const checkOutcome = (outcome: Outcome.Outcome | undefined): Outcome.Outcome | undefined => {
  if (outcome === undefined || Outcome.isOutcome(outcome)) return outcome
  throw new TypeError(`A classifier must return an Outcome, got ${format(outcome)}`)
}

class CallPermit implements Permit {
  private readonly breaker: Breaker
  private readonly call: Call
  private readonly isProbe: boolean
  private hasDelivered = false
  /** Whether the delivery was the verdict of a probe. */
  private deliveryCounted = false
  /** Since when somebody has waited for the dependency; `NOT_TIMED` if nobody does. */
  private waitingSince: number
  private pausedAt = NOT_TIMED

  constructor(breaker: Breaker, call: Call, isProbe: boolean) {
    this.breaker = breaker
    this.call = call
    this.isProbe = isProbe
    this.waitingSince = call.startedAt
  }

  get success(): Permit["success"] {
    return this.record(Outcome.success)
  }

  get failure(): Permit["failure"] {
    return (options) => {
      if (options !== undefined) checkOptions("CircuitBreaker permit.failure", options, ["retryAfter", "error"])
      const outcome = Outcome.failure(options)
      const exit = options?.error === undefined ? undefined : Exit.fail(options.error)
      return Effect.sync(() => this.end(outcome, exit))
    }
  }

  get ignore(): Permit["ignore"] {
    return this.record(Outcome.ignored)
  }

  get record(): Permit["record"] {
    return (outcome) => {
      if (!Outcome.isOutcome(outcome)) refuse("CircuitBreaker permit.record: outcome", "an Outcome", outcome)
      return Effect.sync(() => this.end(outcome))
    }
  }

  get conclude(): Permit["conclude"] {
    return (exit, options) => {
      if (!Exit.isExit(exit)) refuse("CircuitBreaker permit.conclude: exit", "an Exit", exit)
      checkCallOptions("CircuitBreaker permit.conclude", options, false)
      return Effect.sync(() => this.judge(exit, options))
    }
  }

  get delivered(): Permit["delivered"] {
    return Effect.sync(() => this.deliver())
  }

  get pull(): Permit["pull"] {
    return (effect) =>
      Effect.withFiber((fiber) => {
        this.resume()
        return Effect.onExitPrimitive(
          this.isProbe ? asProbe(fiber, this.breaker, this.call, effect) : effect,
          (exit) => {
            if (Exit.isSuccess(exit)) this.deliver()
            // Who is interrupted in a pull has waited for the dependency until the end.
            if (Exit.isSuccess(exit) || !Cause.hasInterruptsOnly(exit.cause)) this.pause()
            return undefined
          }
        )
      })
  }

  /** What its scope closes with, if nobody has reported before. */
  release(exit: Exit.Exit<unknown, unknown>): void {
    if (Exit.isFailure(exit)) return this.judge(exit, undefined)
    const succeeded = this.hasDelivered || this.breaker.currentPolicy.countUnreported === "success"
    this.end(succeeded ? Outcome.success : Outcome.ignored)
  }

  private deliver(): void {
    this.hasDelivered = true
    this.deliveryCounted ||= this.breaker.deliver(this.call)
    this.waitingSince = NOT_TIMED
  }

  private pause(): void {
    this.waitingSince = NOT_TIMED
    if (this.call.startedAt !== NOT_TIMED) this.pausedAt = this.breaker.now()
  }

  /** What was between two pulls is not the dependency's. */
  private resume(): void {
    if (this.pausedAt === NOT_TIMED) return
    this.waitingSince = this.breaker.now()
    this.call.startedAt += this.waitingSince - this.pausedAt
    this.pausedAt = NOT_TIMED
  }

  private judge<A, E>(exit: Exit.Exit<A, E>, options: CallOptions<A, E> | undefined): void {
    if (this.call.generation === NOT_ADMITTED) return
    let outcome = Outcome.ignored
    try {
      outcome = this.breaker.judge(exit, options, this.waitingSince)
    } finally {
      this.end(outcome, exit)
    }
  }

  private end(outcome: Outcome.Outcome, exit?: Exit.Exit<unknown, unknown>): void {
    const { breaker, call } = this
    this.resume()
    if (!this.deliveryCounted) return breaker.end(call, outcome, exit)
    return outcome._tag === "Failure" ? breaker.failDelivered(call, outcome, exit) : breaker.endDelivered(call)
  }
}

const listen = <A extends CircuitEvent, E, R>(
  events: Stream.Stream<CircuitEvent>,
  isWanted: (event: CircuitEvent) => event is A,
  listener: (event: A) => Effect.Effect<void, E, R>
): Effect.Effect<void, never, R | Scope.Scope> => {
  if (typeof listener !== "function") refuse("CircuitBreaker: listener", "a function that returns an effect", listener)
  return events.pipe(
    Stream.filter(isWanted),
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

const rate = (part: number, whole: number): number => whole === 0 ? 0 : part / whole

/** Those of a policy are shared by its circuits, unless each has to replay a schedule of its own. */
const rulesOf = (policy: CircuitPolicy.CircuitPolicy, context: Context.Context<never>): Circuit.Rules => {
  if (Schedule.isSchedule(policy.openDuration)) return compile(policy, context)
  let rules = compiled.get(policy)
  if (rules === undefined) compiled.set(policy, rules = compile(policy, context))
  return rules
}

const compiled = new WeakMap<CircuitPolicy.CircuitPolicy, Circuit.Rules>()

const compile = (policy: CircuitPolicy.CircuitPolicy, context: Context.Context<never>): Circuit.Rules => ({
  consecutiveFailures: policy.consecutiveFailures ?? Infinity,
  failureRate: policy.failureRate ?? Infinity,
  slowCallRate: policy.slowCallRate ?? Infinity,
  // A policy that was spread into another may ask for more calls than its window holds.
  minimumCalls: "calls" in policy.window ? Math.min(policy.minimumCalls, policy.window.calls) : policy.minimumCalls,
  window: "calls" in policy.window
    ? policy.window
    : { millis: Duration.toMillis(policy.window.duration), buckets: policy.window.buckets },
  halfOpenMaxCalls: policy.halfOpenMaxCalls,
  successThreshold: policy.successThreshold,
  halfOpenSample: policy.halfOpenSample,
  halfOpenTimeout: Duration.toMillis(policy.halfOpenTimeout),
  recovery: policy.recovery &&
    { duration: Duration.toMillis(policy.recovery.duration), initial: policy.recovery.initial },
  openTime: openTimeOf(policy.openDuration, context),
  maxOpenTime: Duration.toMillis(policy.maxOpenDuration)
})

const openTimeOf = (
  openDuration: CircuitPolicy.CircuitPolicy["openDuration"],
  context: Context.Context<never>
): Circuit.Rules["openTime"] => {
  if (Schedule.isSchedule(openDuration)) return scheduleOpenTime(openDuration, context)
  if (Duration.isDuration(openDuration)) {
    const millis = Duration.toMillis(openDuration)
    return () => millis
  }
  return exponentialOpenTime({
    initial: Duration.toMillis(openDuration.initial),
    multiplier: openDuration.multiplier,
    maximum: Duration.toMillis(openDuration.maximum),
    jitter: openDuration.jitter
  })
}

/**
 * Replays a schedule: its n-th delay is the time of the n-th opening, its last
 * one repeats. Its clock is the time spent open, so `upTo` measures that.
 */
const scheduleOpenTime = (
  schedule: Schedule.Schedule<unknown, number>,
  context: Context.Context<never>
): Circuit.Rules["openTime"] => {
  const step = Effect.runSyncWith(context)(Schedule.toStep(schedule))
  const delays: Array<number> = []
  let elapsed = 0
  const next = (): Exit.Exit<unknown, unknown> => {
    const exit = Effect.runSyncExitWith(context)(step(elapsed, delays.length + 1))
    if (Exit.isSuccess(exit)) {
      const delay = Duration.toMillis(exit.value[1])
      delays.push(delay)
      elapsed += delay
    }
    return exit
  }
  // The first delay is taken now, so that a schedule that cannot be replayed is found where the circuit is made.
  let last = next()
  if (Exit.isFailure(last) && !Pull.isDoneCause(last.cause)) {
    throw new RangeError(
      "CircuitPolicy.make: openDuration must be a schedule that gives its delays without waiting or dying, " +
        `got one that does not (${Cause.pretty(last.cause).split("\n")[0]})`
    )
  }
  return (opening) => {
    while (Exit.isSuccess(last) && delays.length < opening) last = next()
    return delays[Math.min(opening, delays.length) - 1] ?? 0
  }
}
