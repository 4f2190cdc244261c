/**
 * One circuit at run time: the state machine in a `Ref`, driven by calls, by
 * time and by hand.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as MutableRef from "effect/MutableRef"
import * as Ref from "effect/Ref"
import type { CallEnded } from "../../CircuitEvent.ts"
import type { CircuitMetrics } from "../../CircuitMetrics.ts"
import type { CircuitPolicy, Options } from "../../CircuitPolicy.ts"
import type { Outcome } from "../../Outcome.ts"
import type { CircuitOpenError } from "../../ResilienceError.ts"
import { describeFailure } from "../error/lastFailure.ts"
import { circuitOpenError } from "../error/rejection.ts"
import { monotonicMillis } from "../time/monotonic.ts"
import { type Call, NOT_ADMITTED, NOT_TIMED } from "./call.ts"
import type { Handle } from "./handle.ts"
import { type Home, within } from "./home.ts"
import { Journal, type Observer, type Parent, type Transition } from "./journal.ts"
import { Latencies } from "./latencies.ts"
import * as Circuit from "./machine.ts"
import { difference } from "./policy.ts"
import { runsProbeOf } from "./probe.ts"
import { adapted, type Needs, type Settings, settingsOf } from "./rules.ts"
import { type Calls, emptyTally, endedCalls, type Failed, snapshot, type Tally, tallySince } from "./snapshot.ts"

/** Nothing for a call that runs; or that it runs as a probe; or the rejection. */
export type Admission = undefined | "Probe" | Effect.Effect<never, CircuitOpenError>

/** What only some circuits have. */
interface Records {
  /** The tally as it was at the last reset. */
  readonly tallyAtReset: Tally | undefined
  /** Of the calls since then that were timed. */
  latencies: Latencies | undefined
}

export interface BreakerOptions {
  readonly name: string
  readonly policy: CircuitPolicy
  readonly home: Home
  /** Keep `lastUsedAt`, which costs a clock reading per call. */
  readonly trackUse?: boolean | undefined
  /** What the circuit begins with, instead of Closed. */
  readonly start?: Circuit.Command | undefined
}

/**
 * What drives the state machine of one circuit. Programs hold a `Handle`.
 *
 * All circuits have one shape, and fields that an idle circuit does without
 * are in objects that it does not have: there may be a million of them.
 */
export class Breaker {
  readonly name: string
  readonly ref: Ref.Ref<Circuit.Circuit>
  inFlight = 0
  lastUsedAt: number
  /** What programs hold of this circuit, once one asked for it. */
  handle: Handle | undefined = undefined
  private home: Home
  /** That of its home, at hand for every call. */
  readonly clock: Clock.Clock
  private settings: Settings
  /** Since the circuit was made. */
  readonly tally = emptyTally()
  private records: Records | undefined = undefined
  private failed: Failed | undefined = undefined
  private written: Journal | undefined = undefined

  constructor({ home, name, policy, start, trackUse = false }: BreakerOptions) {
    this.name = name
    this.home = home
    this.clock = home.clock
    this.settings = settingsOf(policy, { use: trackUse, durations: false }, home.context)
    const now = this.lastUsedAt = this.now()
    this.ref = Ref.makeUnsafe(Circuit.make(this.rules, now))
    home.parent?.census.enter(this)
    if (start !== undefined) this.replace(Circuit.move(this.circuit, this.rules, start, now))
  }

  get circuit(): Circuit.Circuit {
    return Ref.getUnsafe(this.ref)
  }

  private set circuit(next: Circuit.Circuit) {
    MutableRef.set(this.ref.ref, next)
  }

  get policy(): CircuitPolicy {
    return this.settings.policy
  }

  get rules(): Circuit.Rules {
    return this.settings.rules
  }

  now(): number {
    return monotonicMillis(this.clock)
  }

  // ---------------------------------------------------------------------------
  // calls
  // ---------------------------------------------------------------------------

  /** Admits a call of that fiber, or returns the rejection. */
  admit(call: Call, fiber?: Fiber.Fiber<unknown, unknown>): Admission {
    const { circuit } = this
    if (circuit._tag === "Disabled") return undefined
    if (circuit._tag !== "Closed" && circuit._tag !== "MetricsOnly") return this.admitIfRecovering(call, fiber)
    this.begin(call, circuit)
    return undefined
  }

  private admitIfRecovering(call: Call, fiber: Fiber.Fiber<unknown, unknown> | undefined): Admission {
    const now = this.now()
    const circuit = this.elapse(now)
    if (circuit._tag === "HalfOpen" && runsProbeOf(fiber, this, circuit.generation)) return undefined
    const admitted = Circuit.admit(circuit, this.rules, now, this.home.random)
    if (admitted === undefined) return this.reject(circuit, now)
    this.circuit = admitted
    this.begin(call, circuit)
    return circuit._tag === "HalfOpen" ? "Probe" : undefined
  }

  private begin(call: Call, circuit: Circuit.Circuit): void {
    if (this.settings.startClocked) call.startedAt = this.now()
    call.generation = circuit.generation
    this.inFlight++
    this.home.calls.all++
  }

  private reject(circuit: Circuit.Circuit, now: number): Effect.Effect<never, CircuitOpenError> {
    this.tally.rejected++
    this.home.calls.all++
    this.home.calls.rejected++
    if (this.settings.needs.use) this.lastUsedAt = now
    this.publishCall("Rejected", circuit, undefined)
    // The states that reject.
    const state = circuit._tag as CircuitOpenError["state"]
    // Whole milliseconds, since timers drop the fraction and a caller that waits has to be late enough.
    const retryAfter = Math.ceil(Circuit.timeUntilRetry(circuit, now))
    return Effect.fail(circuitOpenError(this.name, state, retryAfter, this.failed?.what))
  }

  /** Times a call whose policy does not ask for that. */
  clockStart(call: Call): void {
    if (call.startedAt === NOT_TIMED) call.startedAt = this.now()
  }

  /** Ends an admitted call, once. The exit says what failed, if it did. */
  end(call: Call, outcome: Outcome, exit?: Exit.Exit<unknown, unknown>): void {
    const { generation } = call
    if (generation === NOT_ADMITTED) return
    call.generation = NOT_ADMITTED
    this.inFlight--

    const circuit = this.circuitAtEnd(call, generation, outcome)
    if (this.settings.needs.use) this.lastUsedAt = call.now
    if (outcome._tag === "Ignored") {
      this.tally.ignored++
      if (circuit.generation !== generation) return this.publishCall("Ignored", circuit, call)
    } else {
      if (this.wasTimed(call)) this.time(call)
      if (circuit.generation !== generation) {
        this.tally.late++
        return this.publishCall("Late", circuit, call)
      }
      if (outcome._tag === "Success") this.tally.success++
      else this.fail(call, outcome.retryAfter, exit)
    }
    call.verdict = outcome._tag
    const next = Circuit.record(circuit, this.rules, call, this.home.random)
    if (outcome._tag === "Failure") this.home.parent?.census.failed(this, circuit.counts.window)
    this.publishCall(outcome._tag, circuit, call)
    if (next !== circuit) this.become(circuit, next, call)
  }

  /** The circuit as a call finds it that ends. Reads the clock only if something depends on it. */
  private circuitAtEnd(call: Call, generation: number, outcome: Outcome): Circuit.Circuit {
    const { circuit } = this
    // Among failures a success can open a circuit too, as the call that completes `minimumCalls`.
    const mayMove = circuit._tag === "HalfOpen" || outcome._tag === "Failure" || circuit.counts.window.failures > 0
    if (!this.settings.clocked && !mayMove) return circuit
    call.now = this.now()
    // A late call says nothing, and so leaves the next transition to the next call.
    return circuit.generation === generation ? this.elapse(call.now) : circuit
  }

  private fail(
    call: Call,
    retryAfter: Duration.Duration | undefined,
    exit: Exit.Exit<unknown, unknown> | undefined
  ): void {
    this.tally.failure++
    this.failed = { at: call.now, what: describeFailure(exit, this.policy.describeFailure) }
    if (retryAfter !== undefined) call.retryAfter = Duration.toMillis(retryAfter)
  }

  /** Makes the transition that the end of a call has caused. */
  private become(circuit: Circuit.Circuit, next: Circuit.Circuit, call: Call): void {
    if (next._tag === circuit._tag) this.circuit = next
    else {
      const probes = Circuit.probesWith(circuit, this.rules, call)
      this.commit(circuit, next, { reason: Circuit.reasonOfRecord(circuit, next, this.rules), now: call.now, probes })
    }
  }

  /** A call is not timed if it began, or ended, under a policy that measures nothing. */
  private wasTimed(call: Call): boolean {
    return this.settings.measured && call.startedAt !== NOT_TIMED
  }

  private time(call: Call): void {
    const duration = call.now - call.startedAt
    this.tally.timed++
    this.tally.totalDuration += duration
    call.slow = duration > this.settings.slowCallTime
    const records = this.records ??= { tallyAtReset: undefined, latencies: undefined }
    const latencies = records.latencies ??= new Latencies()
    latencies.add(duration)
    if (this.written !== undefined) this.written.lasted(duration)
  }

  // ---------------------------------------------------------------------------
  // calls whose answer arrives in parts
  // ---------------------------------------------------------------------------

  /** Counts a probe as a success when its answer begins to arrive, before it ends. Returns whether that counted. */
  deliver(call: Call): boolean {
    const { generation } = call
    if (generation === NOT_ADMITTED || this.circuit.generation !== generation) return false
    if (this.circuit._tag !== "HalfOpen") return false
    call.now = this.now()
    const circuit = this.elapse(call.now)
    // A ramp has no slots to free.
    if (circuit._tag !== "HalfOpen" || circuit.generation !== generation || circuit.rampingSince !== undefined) {
      return false
    }
    call.verdict = "Success"
    call.slow = this.wasTimed(call) && call.now - call.startedAt > this.settings.slowCallTime
    this.become(circuit, Circuit.record(circuit, this.rules, call, this.home.random), call)
    return true
  }

  /** Ends a call that did not fail after its delivery counted. */
  endDelivered(call: Call): void {
    if (call.generation === NOT_ADMITTED) return
    call.generation = NOT_ADMITTED
    this.inFlight--
    if (this.settings.clocked) call.now = this.now()
    if (this.settings.needs.use) this.lastUsedAt = call.now
    if (this.wasTimed(call)) this.time(call)
    this.tally.success++
    this.publishCall("Success", this.circuit, call)
  }

  /** Ends a call that failed after its delivery counted. The failure replaces that success if the period is the same. */
  failDelivered(call: Call, outcome: Outcome, exit: Exit.Exit<unknown, unknown> | undefined): void {
    if (call.generation === NOT_ADMITTED) return
    const now = this.now()
    const circuit = this.elapse(now)
    if (circuit._tag === "HalfOpen" && circuit.generation === call.generation) {
      this.circuit = Circuit.takeBack(circuit, this.rules, call.slow, now)
    }
    this.end(call, outcome, exit)
  }

  // ---------------------------------------------------------------------------
  // transitions
  // ---------------------------------------------------------------------------

  /** Makes the transitions that time has caused since the last look. */
  private elapse(now: number): Circuit.Circuit {
    let { circuit } = this
    let next = Circuit.elapse(circuit, this.rules, now)
    while (next !== circuit) {
      this.commit(circuit, next, { reason: Circuit.reasonOfElapse(next), now })
      circuit = next
      next = Circuit.elapse(circuit, this.rules, now)
    }
    return circuit
  }

  private commit(from: Circuit.Circuit, to: Circuit.Circuit, transition: Omit<Transition, "lastFailure">): void {
    if (from._tag !== to._tag) this.tally.stateChanges++
    this.replace(to).moved(from, to, { ...transition, lastFailure: this.failed?.what }, this.home.parent)
  }

  /** Puts a state in place that does not say since when the circuit is in it, which the journal then does. */
  private replace(next: Circuit.Circuit): Journal {
    const { circuit, journal } = this
    this.home.parent?.census.moved(this, circuit, next)
    this.circuit = next
    return journal
  }

  // ---------------------------------------------------------------------------
  // control
  // ---------------------------------------------------------------------------

  move(command: Circuit.Command, note?: string): void {
    const now = this.now()
    const circuit = this.elapse(now)
    const next = Circuit.move(circuit, this.rules, command, now)
    if (next === circuit) return
    this.changedByHand()
    // The other end of a forced opening is news, the reset of a closed circuit is none.
    if (next._tag === circuit._tag && next._tag !== "ForcedOpen") this.replace(next)
    else this.commit(circuit, next, { reason: "Manual", now, note })
  }

  private changedByHand(): void {
    if (this.home.parent !== undefined) this.home.parent.census.changes++
  }

  reset(note?: string): void {
    this.move({ _tag: "Reset" }, note)
    this.addCalls(this.home.calls, -1)
    this.records = { tallyAtReset: { ...this.tally }, latencies: undefined }
    this.addCalls(this.home.calls, 1)
    this.failed = undefined
  }

  /** Follows another policy from now on. Returns the fields in which it differs. */
  follow(policy: CircuitPolicy): ReadonlyArray<keyof Options> {
    const changed = difference(this.policy, policy)
    if (changed.length === 0) {
      // An equal policy may come from elsewhere, and says so.
      this.settings = adapted(this.settings, { policy }, this.home.context)
      return changed
    }
    const circuit = this.elapse(this.now())
    this.settings = settingsOf(policy, this.settings.needs, this.home.context)
    this.circuit = Circuit.reconfigure(circuit, this.rules)
    this.changedByHand()
    this.journal.changed({ _tag: "Reconfigured", changed }, this.home.parent)
    return changed
  }

  /** For a circuit that is kept whether it is used or not. */
  stopTrackingUse(): void {
    this.need({ use: false })
  }

  private need(needs: Partial<Needs>): void {
    this.settings = adapted(this.settings, { needs: { ...this.settings.needs, ...needs } }, this.home.context)
  }

  // ---------------------------------------------------------------------------
  // reading
  // ---------------------------------------------------------------------------

  /** The circuit as it stands now. Reading changes nothing: the next call makes the transition. */
  settled(now = this.now()): Circuit.Circuit {
    return Circuit.settle(this.circuit, this.rules, now)
  }

  snapshot(): CircuitMetrics {
    const now = this.now()
    return snapshot(this.settled(now), tallySince(this.tally, this.records?.tallyAtReset), this.rules, now, {
      name: this.name,
      inFlight: this.inFlight,
      failed: this.failed,
      latency: this.records?.latencies?.quantiles,
      timestamp: this.clock.currentTimeMillisUnsafe()
    })
  }

  /** Adds the calls since the last reset to others, or takes them away. */
  addCalls(calls: Calls, sign: 1 | -1): void {
    const tally = tallySince(this.tally, this.records?.tallyAtReset)
    calls.all += sign * (endedCalls(tally) + this.inFlight)
    calls.rejected += sign * tally.rejected
  }

  /** How often it has stopped letting calls through. */
  get timesOpened(): number {
    return this.written === undefined ? 0 : this.written.timesOpened
  }

  // ---------------------------------------------------------------------------
  // listeners
  // ---------------------------------------------------------------------------

  /** Begun when it is first needed. Until then the circuit is closed, and its state says since when. */
  get journal(): Journal {
    return this.written ??= new Journal(this.name, this.clock, (this.circuit as Circuit.Closed).closedAt)
  }

  get parent(): Parent | undefined {
    return this.home.parent
  }

  get hasListeners(): boolean {
    return this.written !== undefined && this.written.hasListeners
  }

  /** Returns how to stop. */
  observe(observer: Observer): () => void {
    return this.journal.observe(observer, (durations) => this.need({ durations }))
  }

  /** Becomes a part of a registry, with what it remembers. */
  join(parent: Parent): void {
    this.written?.join(parent)
    this.home = within(this.home, parent)
    parent.census.enter(this)
  }

  leaveParent(): void {
    const { parent } = this.home
    if (parent === undefined) return
    this.journal.leave(parent)
    parent.census.leave(this)
    this.home = within(this.home, undefined)
  }

  get endEvents(): Effect.Effect<void> {
    return Effect.suspend(() => this.journal.end)
  }

  private publishCall(outcome: CallEnded["outcome"], circuit: Circuit.Circuit, call: Call | undefined): void {
    const { home: { parent }, written } = this
    if (written?.hasSubscribers !== true && parent?.events.hasSubscribers !== true) return
    const measured = call !== undefined && this.wasTimed(call) && outcome !== "Ignored"
    this.journal.ended(outcome, circuit, {
      slow: call?.slow ?? false,
      duration: measured ? call.now - call.startedAt : undefined,
      lastFailure: outcome === "Failure" ? this.failed?.what : undefined
    }, parent)
  }
}
