/**
 * Effects that a health monitor runs again and again, in fibers that end with
 * their check.
 */
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { CallTimeoutError } from "../../ResilienceError.ts"
import { RunningProbe } from "../circuit/probe.ts"
import { callTimeoutError } from "../error/rejection.ts"

/** The fibers of one check. They have the services of where it was registered, not of who asks. */
export class Fibers {
  private readonly context: Context.Context<never>
  private readonly running = new Set<Fiber.Fiber<unknown, unknown>>()
  stopped = false

  constructor(context: Context.Context<never>) {
    this.context = context
  }

  /** Starts a fiber at once, in one step of whoever calls. `undefined` once stopped. */
  start<A, E>(effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> | undefined {
    if (this.stopped) return undefined
    const fiber = Effect.runForkWith(this.context)(effect)
    this.running.add(fiber)
    fiber.addObserver(() => this.running.delete(fiber))
    return fiber
  }

  /** Ends all fibers and waits for them. None starts any more. */
  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.stopped = true
      return Fiber.interruptAll(Array.from(this.running))
    })
  }
}

/** An effect whose time is limited, and of which one run at most goes on. */
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

  /** Whether the last run goes on, though it was interrupted when its time was up. */
  get goesOn(): boolean {
    return this.last !== undefined && this.last.pollUnsafe() === undefined
  }

  /**
   * One run. It has no finalizer: only the end of the check interrupts it, which ends the fiber of the effect too.
   * If it is the probe of a circuit, so is the effect: it may go through that circuit itself.
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
