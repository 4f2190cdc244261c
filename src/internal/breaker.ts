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
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CallClassifier, CircuitBreaker, Permit } from "../CircuitBreaker.ts"
import type { CallEnded, CircuitChange, CircuitEvent, CircuitState, StateChanged } from "../CircuitEvent.ts"
import type { CircuitMetrics } from "../CircuitMetrics.ts"
import * as CircuitPolicy from "../CircuitPolicy.ts"
import * as Outcome from "../Outcome.ts"
import type { CircuitOpenError } from "../ResilienceError.ts"
import { checkDuration } from "./check.ts"
import * as Circuit from "./circuit.ts"
import { EventHub, History } from "./eventHub.ts"
import { monotonicMillis } from "./monotonic.ts"
import { OneStep, onExitInStep } from "./oneStep.ts"
import { exponentialOpenTime } from "./openTime.ts"
import { circuitOpenError } from "./rejection.ts"
import * as Window from "./window.ts"
import { writeLog } from "./writeLog.ts"

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

export class Breaker implements CircuitBreaker {
  readonly name: string
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
  private slowCallTime = Infinity
  /** Since the circuit was made, and as it was at the last reset. */
  readonly tally = emptyTally()
  private tallyAtReset: Tally | undefined
  private lastFailureAt: number | undefined
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

  // ---------------------------------------------------------------------------
  // calls
  // ---------------------------------------------------------------------------

  get execute(): CircuitBreaker["execute"] {
    return (self, options) => execute(this, self, options?.classify)
  }

  get permit(): Effect.Effect<Permit, CircuitOpenError, Scope.Scope> {
    return Effect.suspend(() => {
      const call = new Call()
      return Effect.acquireRelease(
        // Found in the step that admits, since a circuit may be forgotten between two.
        Effect.suspend(() => {
          const breaker = this.live
          return breaker.admit(call) ?? Effect.succeed(new CallPermit(breaker, call))
        }),
        // A block that failed without a word has failed; one that ended without a word has said nothing.
        ({ breaker }, exit) =>
          Effect.sync(() =>
            Exit.isSuccess(exit) ? breaker.end(call, Outcome.ignored) : breaker.conclude(call, exit, undefined)
          )
      )
    })
  }

  /** Admits the call, or returns the rejection. */
  admit(call: Call): Effect.Effect<never, CircuitOpenError> | undefined {
    let circuit = this.ref.ref.current
    if (circuit._tag === "Disabled") return undefined
    if (circuit._tag !== "Closed" && circuit._tag !== "MetricsOnly") {
      const now = this.now()
      circuit = this.elapse(now)
      const admitted = Circuit.admit(circuit, this.rules, now)
      if (admitted === undefined) return this.reject(circuit, now)
      this.ref.ref.current = admitted
    }
    if (this.measured) call.startedAt = this.now()
    call.generation = circuit.generation
    this.inFlight++
    return undefined
  }

  /** Ends an admitted call, once. */
  end(call: Call, outcome: Outcome.Outcome): void {
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
      if (this.wasTimed(call)) {
        this.tally.timed++
        this.tally.totalDuration += call.now - call.startedAt
        call.slow = call.now - call.startedAt > this.slowCallTime
        if (this.observers !== noObservers) this.tellDuration(call.now - call.startedAt)
      }
      if (circuit.generation !== generation) {
        this.tally.late++
        return this.publishCall("Late", circuit, call)
      }
      if (outcome._tag === "Success") {
        this.tally.success++
      } else {
        this.tally.failure++
        this.lastFailureAt = call.now
        if (outcome.retryAfter !== undefined) call.retryAfter = Duration.toMillis(outcome.retryAfter)
      }
    }
    call.verdict = outcome._tag
    const next = Circuit.record(circuit, this.rules, call, this.random)
    this.publishCall(outcome._tag, circuit, call)
    if (next === circuit) return
    if (next._tag === circuit._tag) {
      this.ref.ref.current = next
    } else {
      this.commit(circuit, next, reasonOfRecord(circuit, next, this.rules), call.now)
    }
  }

  /** Ends an admitted call with the outcome of its exit. */
  conclude<A, E>(call: Call, exit: Exit.Exit<A, E>, classify: CallClassifier<A, E> | undefined): void {
    if (call.generation === NOT_ADMITTED) return
    let outcome = Outcome.ignored
    try {
      outcome = this.judge(exit, classify)
    } finally {
      this.end(call, outcome)
    }
  }

  judge<A, E>(exit: Exit.Exit<A, E>, classify: CallClassifier<A, E> | undefined): Outcome.Outcome {
    if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return Outcome.ignored
    const own = this.currentPolicy.classify
    if (classify === undefined && own === undefined) return Outcome.classify(exit)
    return checkOutcome(classify?.(exit) ?? own?.(exit)) ?? Outcome.classify(exit)
  }

  private reject(circuit: Circuit.Circuit, now: number): Effect.Effect<never, CircuitOpenError> {
    this.tally.rejected++
    if (this.trackUse) this.lastUsedAt = now
    this.publishCall("Rejected", circuit, undefined)
    // The states that reject.
    const state = circuit._tag as CircuitOpenError["state"]
    // Whole milliseconds, since timers drop the fraction and a caller that waits has to be late enough.
    return Effect.fail(circuitOpenError(this.name, state, Math.ceil(Circuit.timeUntilRetry(circuit, now))))
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
      lastFailureTime: this.lastFailureAt === undefined
        ? undefined
        : DateTime.makeUnsafe(this.clock.currentTimeMillisUnsafe() - (now - this.lastFailureAt)),
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
    return (options) => {
      const duration = options?.duration === undefined
        ? Infinity
        : Duration.toMillis(checkDuration("CircuitBreaker.forceOpen: duration", options.duration))
      return Effect.sync(() => this.live.move({ _tag: "ForceOpen", duration }, options?.note))
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
      breaker.lastFailureAt = undefined
      return done
    })
  }

  private command(command: Circuit.Command, fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<void> {
    this.live.move(command, fiber.getRef(CommandNote))
    return Effect.void
  }

  get reconfigure(): CircuitBreaker["reconfigure"] {
    return (policy) =>
      Effect.sync(() => {
        const breaker = this.live
        if (breaker.follow(policy)) breaker.reconfigured = true
      })
  }

  move(command: Circuit.Command, note?: string): void {
    const now = this.now()
    const circuit = this.elapse(now)
    const next = Circuit.move(circuit, this.rules, command, now)
    if (next._tag === circuit._tag) {
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
    return (tag, listener) =>
      listen(
        tag === "CallEnded" ? this.events : this.coming,
        (event): event is Extract<CircuitEvent, { _tag: typeof tag }> => event._tag === tag,
        listener
      )
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

  get hasListeners(): boolean {
    return (this.hub !== undefined && this.hub.hasSubscribers) ||
      (this.changeHub !== undefined && this.changeHub.hasSubscribers)
  }

  get endEvents(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.parent !== undefined) {
        this.ownHistory = new History(OWN_HISTORY)
        for (const change of this.history) this.ownHistory.add(change)
        this.parent = undefined
      }
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
    const { measureDuration, slowCallDuration, window } = this.currentPolicy
    this.measured = measureDuration || slowCallDuration !== undefined ||
      this.observers.some((observer) => observer.measure)
    this.clocked = this.trackUse || this.measured || "duration" in window
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
      this.commit(circuit, next, next._tag === "Open" ? "ProbeTimedOut" : "OpenTimeEnded", now)
      circuit = next
      next = Circuit.elapse(circuit, this.rules, now)
    }
    return circuit
  }

  private commit(from: Circuit.Circuit, to: Circuit.Circuit, reason: Circuit.Reason, now: number, note?: string): void {
    this.ref.ref.current = to
    this.tally.stateChanges++
    for (const observer of this.observers) observer.onTransition(from._tag, to._tag)
    if (to._tag === "Open" || to._tag === "ForcedOpen") this.timesOpened++
    // A timeout of probes is noticed by whoever looks next.
    const changedAt = to._tag === "Open" ? to.openedAt : now
    const elapsed = changedAt - this.changedAt
    this.changedAt = changedAt
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
      calls: window.calls
    })
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
      consecutiveFailures: circuit.counts.consecutiveFailures
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

/** Runs an effect through a circuit. */
export const execute = <A, E, R>(
  handle: Breaker,
  self: Effect.Effect<A, E, R>,
  classify: CallClassifier<A, E> | undefined
): Effect.Effect<A, E | CircuitOpenError, R> => new Execution(handle, self, classify)

class Execution<A, E, R> extends OneStep<A, E | CircuitOpenError, R> {
  private readonly handle: Breaker
  private readonly self: Effect.Effect<A, E, R>
  private readonly classify: CallClassifier<A, E> | undefined

  constructor(handle: Breaker, self: Effect.Effect<A, E, R>, classify: CallClassifier<A, E> | undefined) {
    super()
    this.handle = handle
    this.self = self
    this.classify = classify
  }

  step(fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<A, E | CircuitOpenError, R> {
    return executeInStep(fiber, this.handle, this.self, this.classify)
  }
}

/** The same in the step that a fiber is taking. */
export const executeInStep = <A, E, R>(
  fiber: Fiber.Fiber<unknown, unknown>,
  handle: Breaker,
  self: Effect.Effect<A, E, R>,
  classify: CallClassifier<A, E> | undefined
): Effect.Effect<A, E | CircuitOpenError, R> => {
  const breaker = handle.live
  const call = new Call()
  const rejection = breaker.admit(call)
  if (rejection !== undefined) return rejection
  return onExitInStep(fiber, self, (exit) => {
    breaker.conclude(call, exit, classify)
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
  readonly breaker: Breaker
  private readonly call: Call

  constructor(breaker: Breaker, call: Call) {
    this.breaker = breaker
    this.call = call
  }

  get success(): Permit["success"] {
    return this.record(Outcome.success)
  }

  get failure(): Permit["failure"] {
    return (options) => this.record(Outcome.failure(options))
  }

  get ignore(): Permit["ignore"] {
    return this.record(Outcome.ignored)
  }

  get record(): Permit["record"] {
    return (outcome) => Effect.sync(() => this.breaker.end(this.call, outcome))
  }
}

const listen = <A extends CircuitEvent, E, R>(
  events: Stream.Stream<CircuitEvent>,
  isWanted: (event: CircuitEvent) => event is A,
  listener: (event: A) => Effect.Effect<void, E, R>
): Effect.Effect<void, never, R | Scope.Scope> =>
  events.pipe(
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

const reasonOfRecord = (from: Circuit.Circuit, to: Circuit.Circuit, rules: Circuit.Rules): Circuit.Reason =>
  to._tag === "Closed"
    ? "ProbesSucceeded"
    : from._tag === "Closed"
    ? Circuit.trips(from.counts, rules)!
    : "ProbeFailed"

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
