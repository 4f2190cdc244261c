/** The effects of a check, run in fibers that end with the check. */
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { CallTimeoutError } from "../../ResilienceError.ts"
import { RunningProbe } from "../circuit/probe.ts"
import { callTimeoutError } from "../error/rejection.ts"

/** The fibers of one check, with the services of where it was registered rather than of the caller. */
export class Fibers {
  private readonly context: Context.Context<never>
  private readonly running = new Set<Fiber.Fiber<unknown, unknown>>()
  stopped = false

  constructor(context: Context.Context<never>) {
    this.context = context
  }

  /** Starts a fiber within the current step of the caller. `undefined` once stopped. */
  start<A, E>(effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> | undefined {
    if (this.stopped) return undefined
    const fiber = Effect.runForkWith(this.context)(effect)
    this.running.add(fiber)
    fiber.addObserver(() => this.running.delete(fiber))
    return fiber
  }

  /** Interrupts all fibers, waits for them, and starts no more. */
  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.stopped = true
      return Fiber.interruptAll(Array.from(this.running))
    })
  }
}

/** An effect with a time limit. A run that ignores its interruption is known to be still running. */
export class Run<A, E> {
  private readonly fibers: Fibers
  private readonly effect: Effect.Effect<A, E>
  private readonly operation: string
  private readonly timeout: Duration.Duration
  private last: Fiber.Fiber<A, E> | undefined

  constructor(fibers: Fibers, effect: Effect.Effect<A, E>, operation: string, timeout: Duration.Duration) {
    this.fibers = fibers
    this.effect = effect
    this.operation = operation
    this.timeout = timeout
  }

  /** Whether the last run is still running, perhaps although it timed out. */
  get isRunning(): boolean {
    return this.last !== undefined && this.last.pollUnsafe() === undefined
  }

  /**
   * One run. It needs no finalizer: only the end of the check interrupts it, which ends the fiber of the effect as well.
   * The effect inherits `RunningProbe`, so a probe may itself go through the circuit that it probes.
   */
  get attempt(): Effect.Effect<A, E | CallTimeoutError> {
    return Effect.withFiber((caller) => {
      const fiber = this.fibers.start(Effect.provideService(this.effect, RunningProbe, caller.getRef(RunningProbe)))
      if (fiber === undefined) return Effect.interrupt
      this.last = fiber
      return Effect.timeoutOrElse(Fiber.join(fiber), {
        duration: this.timeout,
        orElse: () => {
          fiber.interruptUnsafe()
          return Effect.fail(callTimeoutError(this.operation, this.timeout))
        }
      })
    })
  }
}
