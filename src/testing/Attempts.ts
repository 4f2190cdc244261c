/**
 * Records the attempts at a call: their number, when each started, how each
 * ended.
 *
 * `script` is a dependency that follows a script, step by step; `record` records
 * any other effect. Both take the place of the dependency, inside of everything
 * that protects against it.
 *
 * **Example** (No call runs while the circuit is open)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { CircuitBreaker, CircuitPolicy } from "effect-resilience"
 * import { Attempts } from "effect-resilience/testing"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({
 *     name: "payment-api",
 *     policy: CircuitPolicy.make({ consecutiveFailures: 2 })
 *   })
 *   const payments = yield* Attempts.script([Effect.fail("down")], { rest: Effect.fail("down") })
 *
 *   yield* payments.call.pipe(CircuitBreaker.withCircuitBreaker(breaker), Effect.ignore, Effect.replicateEffect(5))
 *
 *   return yield* payments.count
 * })
 *
 * await Effect.runPromise(program) // => 2
 * ```
 *
 * @stability unstable
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { checkDuration, checkList } from "../internal/check.ts"
import { type CallSite, callSite, ExpectationError, pointAt } from "./internal/expectation.ts"
import { monotonicMillis } from "../internal/time/monotonic.ts"

/**
 * One attempt.
 *
 * **Details**
 *
 * - `number`: from 1.
 * - `startedAt`, `endedAt`: time since the recording was made. `endedAt` is
 *   `undefined` while the attempt runs.
 * - `outcome`: the result; `defect` for a failure outside the error channel.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  readonly number: number
  readonly startedAt: Duration.Duration
  readonly endedAt: Duration.Duration | undefined
  readonly outcome: "success" | "failure" | "defect" | "interrupted" | "running"
}

/**
 * A call whose attempts are recorded.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Attempts<out A, out E, out R> {
  /** The call. Each run is an attempt. */
  readonly call: Effect.Effect<A, E, R>

  /** The attempts so far, in the order of their starts. */
  readonly all: Effect.Effect<ReadonlyArray<Attempt>>

  /** The number of attempts so far. */
  readonly count: Effect.Effect<number>

  /** The number of attempts that have not ended. */
  readonly running: Effect.Effect<number>

  /** Removes all recorded attempts. Times and the steps of a script continue. */
  readonly clear: Effect.Effect<void>

  /** Dies with a readable difference unless the attempts started at these times, to the millisecond. */
  readonly expectAt: (times: ReadonlyArray<Duration.Input>) => Effect.Effect<void>

  /** Dies with a readable difference unless the attempts ended like this. */
  readonly expectOutcomes: (outcomes: ReadonlyArray<Attempt["outcome"]>) => Effect.Effect<void>
}

/**
 * Records the attempts at an effect.
 *
 * **Details**
 *
 * Times are measured on the monotonic clock of the fiber that makes the
 * recording: in a test on the `TestClock`.
 *
 * **Example** (Counting the attempts at a call)
 *
 * ```ts import.meta.vitest
 * import { Effect } from "effect"
 * import { Retry } from "effect-resilience"
 * import { Attempts } from "effect-resilience/testing"
 *
 * const program = Effect.gen(function*() {
 *   const payments = yield* Attempts.record(Effect.fail("down"))
 *   yield* payments.call.pipe(Retry.withRetry({ maxAttempts: 3, baseDelay: "1 millis" }), Effect.ignore)
 *   yield* payments.expectOutcomes(["failure", "failure", "failure"])
 *   return yield* payments.count
 * })
 *
 * await Effect.runPromise(program) // => 3
 * ```
 *
 * @stability unstable
 * @category constructors
 * @since 0.1.0
 */
export const record = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<Attempts<A, E, R>> =>
  Effect.map(Clock.Clock, (clock) => new Recording(() => self, clock))

/**
 * Makes a call that follows a script: the first run is the first effect, the
 * second run the second, and so on.
 *
 * **Details**
 *
 * - `rest`: runs after the last step. Without it, a run beyond the script dies.
 *
 * **Example** (A dependency that is slow, hangs, and recovers)
 *
 * ```ts import.meta.vitest
 * import { Effect, Fiber } from "effect"
 * import { TestClock } from "effect/testing"
 * import { Retry, Timeout } from "effect-resilience"
 * import { Attempts } from "effect-resilience/testing"
 *
 * const program = Effect.gen(function*() {
 *   const payments = yield* Attempts.script([
 *     Effect.delay(Effect.fail("down"), "500 millis"),
 *     Effect.never,
 *     Effect.succeed("charged")
 *   ])
 *   const charge = payments.call.pipe(
 *     Timeout.withTimeout("2 seconds"),
 *     Retry.withRetry({ maxAttempts: 3, baseDelay: "1 second", jitter: "none" })
 *   )
 *   const fiber = yield* Effect.forkChild(charge)
 *   yield* TestClock.adjust("1 minute")
 *   yield* payments.expectOutcomes(["failure", "interrupted", "success"])
 *   yield* payments.expectAt([0, "1500 millis", "5500 millis"])
 *   return yield* Fiber.join(fiber)
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(TestClock.layer()))) // => "charged"
 * ```
 *
 * @stability unstable
 * @category constructors
 * @since 0.1.0
 */
export const script = <
  const Steps extends ReadonlyArray<Effect.Effect<unknown, unknown, unknown>>,
  A = never,
  E = never,
  R = never
>(
  steps: Steps,
  options?: { readonly rest?: Effect.Effect<A, E, R> | undefined }
): Effect.Effect<
  Attempts<
    A | Effect.Success<Steps[number]>,
    E | Effect.Error<Steps[number]>,
    R | Effect.Services<Steps[number]>
  >
> => {
  type Step = Effect.Effect<
    A | Effect.Success<Steps[number]>,
    E | Effect.Error<Steps[number]>,
    R | Effect.Services<Steps[number]>
  >
  checkList("Attempts.script: steps", { list: "a list of effects", item: "an effect" }, steps, Effect.isEffect)
  const site = callSite(script)
  const beyond: Step = options?.rest ?? Effect.suspend(() => {
    const error = new RangeError(
      `Attempts.script: the script has ${steps.length} ${steps.length === 1 ? "step" : "steps"} and was called ` +
        "once more; give it another step, or say with `rest` what comes after the last"
    )
    return Effect.die(pointAt(site, error))
  })
  return Effect.map(Clock.Clock, (clock) => new Recording((run) => steps[run] as Step | undefined ?? beyond, clock))
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

class Recording<A, E, R> implements Attempts<A, E, R> {
  private readonly step: (run: number) => Effect.Effect<A, E, R>
  private readonly clock: Clock.Clock
  private readonly madeAt: number
  private runs = 0
  private attempts: Array<Mutable<Attempt>> = []

  constructor(step: (run: number) => Effect.Effect<A, E, R>, clock: Clock.Clock) {
    this.step = step
    this.clock = clock
    this.madeAt = this.now()
  }

  readonly call: Effect.Effect<A, E, R> = Effect.suspend(() => {
    let attempt: Mutable<Attempt> | undefined
    // The finalizer is added first: a fiber may be interrupted between any two steps.
    return Effect.onExitPrimitive(
      Effect.suspend(() => {
        attempt = {
          number: this.attempts.length + 1,
          startedAt: this.elapsed(),
          endedAt: undefined,
          outcome: "running"
        }
        this.attempts.push(attempt)
        return this.step(this.runs++)
      }),
      (exit) => {
        if (attempt === undefined) return
        attempt.endedAt = this.elapsed()
        attempt.outcome = outcomeOf(exit)
      }
    )
  })

  readonly all = Effect.sync((): ReadonlyArray<Attempt> => this.attempts.map((attempt) => ({ ...attempt })))

  readonly count = Effect.sync(() => this.attempts.length)

  readonly running = Effect.sync(() => this.attempts.filter(({ outcome }) => outcome === "running").length)

  readonly clear = Effect.sync(() => {
    this.attempts = []
  })

  readonly expectAt: Attempts<A, E, R>["expectAt"] = (times) => {
    const site = callSite(this.expectAt)
    const expected = times.map((time) => Duration.format(checkDuration("Attempts.expectAt: times", time)))
    return Effect.suspend(() => {
      const actual = this.attempts.map(({ startedAt }) => Duration.format(startedAt))
      return expectSame(site, "The attempts did not begin when they were expected to", actual, expected)
    })
  }

  readonly expectOutcomes: Attempts<A, E, R>["expectOutcomes"] = (expected) => {
    const site = callSite(this.expectOutcomes)
    return Effect.suspend(() => {
      const actual = this.attempts.map(({ outcome }) => outcome)
      return expectSame(site, "The attempts did not end as they were expected to", actual, expected)
    })
  }

  private now(): number {
    return monotonicMillis(this.clock)
  }

  private elapsed(): Duration.Duration {
    return Duration.millis(Math.round(this.now() - this.madeAt))
  }
}

const expectSame = (
  site: CallSite,
  what: string,
  actual: ReadonlyArray<string>,
  expected: ReadonlyArray<string>
) =>
  actual.length === expected.length && actual.every((line, i) => line === expected[i])
    ? Effect.void
    : Effect.die(pointAt(site, new ExpectationError(what, actual, expected)))

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Attempt["outcome"] =>
  Exit.isSuccess(exit)
    ? "success"
    : Cause.hasInterruptsOnly(exit.cause)
    ? "interrupted"
    : Cause.hasDies(exit.cause)
    ? "defect"
    : "failure"
