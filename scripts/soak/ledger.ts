/**
 * Counts what happens around the library, from the outside: gates are put
 * around circuits, bulkheads and rate limits, and know nothing of their inside.
 */
import { Cause, Effect, Exit } from "effect"
import type { Bulkhead, CircuitBreaker, RateLimit } from "effect-resilience"
import type * as Audit from "./audit.ts"

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends object ? Mutable<T[K]> : T[K] }

export class Gate {
  readonly account: Mutable<Audit.GateAccount>
  running = 0
  peak = 0
  /** Of circuits: see `CircuitAccount`. */
  uncounted = 0
  unclear = 0

  constructor(name: string) {
    this.account = {
      name,
      asked: 0,
      admitted: 0,
      rejected: 0,
      abandoned: 0,
      ends: { success: 0, failure: 0, defect: 0, interrupted: 0 }
    }
  }

  /** Counts a call on its way into `execute` and, within it, into what it protects. */
  around<A, E, R, E2>(
    self: Effect.Effect<A, E, R>,
    execute: (self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | E2, R>,
    isRejection: (error: E | E2) => boolean,
    isDisabled: () => boolean = () => false
  ): Effect.Effect<A, E | E2, R> {
    return Effect.suspend(() => {
      let asked = false
      let admitted = false
      let disabled = false
      const inner = Effect.suspend(() => {
        let entered = false
        return Effect.onExitPrimitive(
          Effect.suspend(() => {
            entered = admitted = true
            this.account.admitted++
            this.peak = Math.max(this.peak, ++this.running)
            if (disabled && isDisabled()) this.uncounted++
            else if (disabled !== isDisabled()) this.unclear++
            return self
          }),
          (exit) => {
            if (!entered) return
            this.running--
            this.account.ends[endOf(exit)]++
          }
        )
      })
      return Effect.onExitPrimitive(
        Effect.suspend(() => {
          asked = true
          this.account.asked++
          disabled = isDisabled()
          return execute(inner)
        }),
        (exit) => {
          if (!asked || admitted) return
          const error = Exit.isFailure(exit) ? Cause.findErrorOption(exit.cause) : undefined
          if (error?._tag === "Some" && isRejection(error.value)) this.account.rejected++
          else this.account.abandoned++
        }
      )
    })
  }
}

const endOf = (exit: Exit.Exit<unknown, unknown>): keyof Audit.GateAccount["ends"] =>
  Exit.isSuccess(exit)
    ? "success"
    : Cause.hasInterruptsOnly(exit.cause)
    ? "interrupted"
    : Cause.hasDies(exit.cause)
    ? "defect"
    : "failure"

const hasTag = (tag: string) => (error: unknown): boolean =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === tag

/** The same value, with a gate around its `execute`. */
const withExecute = <T extends object>(value: T, execute: unknown): T =>
  Object.create(value, { execute: { value: execute } })

export const watchCircuit = (
  breaker: CircuitBreaker.CircuitBreaker,
  gate: Gate
): CircuitBreaker.CircuitBreaker => {
  const isDisabled = () => Effect.runSync(breaker.state) === "Disabled"
  const execute: CircuitBreaker.CircuitBreaker["execute"] = (self, options) =>
    gate.around(self, (inner) => breaker.execute(inner, options), hasTag("CircuitOpenError"), isDisabled)
  return withExecute(breaker, execute)
}

export const watchBulkhead = (bulkhead: Bulkhead.Bulkhead, gate: Gate): Bulkhead.Bulkhead => {
  const execute: Bulkhead.Bulkhead["execute"] = (self) =>
    gate.around(self, bulkhead.execute, hasTag("BulkheadFullError"))
  return withExecute(bulkhead, execute)
}

export const watchRateLimit = (rateLimit: RateLimit.RateLimit, gate: Gate): RateLimit.RateLimit => {
  const execute: RateLimit.RateLimit["execute"] = (self, options) =>
    gate.around(self, (inner) => rateLimit.execute(inner, options), hasTag("RateLimitExceededError"))
  return withExecute(rateLimit, execute)
}

/** What became of the calls of one scenario. */
export class Calls {
  readonly scenario: string
  asked = 0
  running = 0
  readonly ends: Record<string, number> = {}

  constructor(scenario: string) {
    this.scenario = scenario
  }

  /** Runs one call and counts its end; it never fails. */
  count<R>(call: Effect.Effect<unknown, unknown, R>): Effect.Effect<void, never, R> {
    return Effect.suspend(() => {
      this.asked++
      this.running++
      return Effect.exit(call)
    }).pipe(Effect.map((exit) => {
      this.running--
      const end = nameOf(exit)
      this.ends[end] = (this.ends[end] ?? 0) + 1
    }))
  }
}

const nameOf = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return typeof exit.value === "string" ? exit.value : "served"
  if (Cause.hasInterruptsOnly(exit.cause)) return "interrupted"
  const error = Cause.findErrorOption(exit.cause)
  if (error._tag === "None") return "defect"
  const value: unknown = error.value
  return typeof value === "object" && value !== null && "_tag" in value ? String(value._tag) : String(value)
}

/** Of one attempt, in bits: who has said what of it. */
const SENT = 1
const SUCCEEDED = 2
const RECEIVED = 4
const ANSWERED = 8
const RECEIVED_TWICE = 16

/** The attempts at one server, a byte each, outside of the heap. */
export class Attempts {
  readonly name: string
  private next = 0
  private bits = new Uint8Array(1 << 16)

  constructor(name: string) {
    this.name = name
  }

  send(): number {
    const attempt = this.next++
    this.mark(attempt, SENT)
    return attempt
  }

  succeed(attempt: number): void {
    this.mark(attempt, SUCCEEDED)
  }

  receive(attempt: number): void {
    this.mark(attempt, this.has(attempt, RECEIVED) ? RECEIVED_TWICE : RECEIVED)
  }

  answer(attempt: number): void {
    this.mark(attempt, ANSWERED)
  }

  get account(): Audit.ServerAccount {
    const count = (wanted: number, unwanted = 0) => {
      let found = 0
      for (const bits of this.bits) if ((bits & wanted) === wanted && (bits & unwanted) === 0) found++
      return found
    }
    return {
      name: this.name,
      sent: count(SENT),
      succeeded: count(SUCCEEDED),
      received: count(RECEIVED),
      answered: count(ANSWERED),
      unknown: count(SUCCEEDED, ANSWERED),
      strangers: count(RECEIVED, SENT),
      duplicates: count(RECEIVED_TWICE)
    }
  }

  private has(attempt: number, bit: number): boolean {
    return ((this.bits[attempt] ?? 0) & bit) !== 0
  }

  private mark(attempt: number, bit: number): void {
    if (attempt >= this.bits.length) {
      const larger = new Uint8Array(this.bits.length * 2)
      larger.set(this.bits)
      this.bits = larger
    }
    this.bits[attempt] = (this.bits[attempt] ?? 0) | bit
  }
}
