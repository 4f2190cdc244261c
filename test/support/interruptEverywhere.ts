import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"

/** Makes whatever runs on it yield once, at the n-th operation. */
class YieldOnceAt extends Scheduler.MixedScheduler {
  private readonly operation: number
  private operations = 0
  yielded = false

  constructor(operation: number) {
    super()
    this.operation = operation
  }

  override shouldYield() {
    if (this.operations++ !== this.operation) return false
    this.yielded = true
    return true
  }
}

/**
 * Runs an effect over and over, yields before its first operation, its second
 * and so on, and interrupts it there, or while it waits. `check` runs after each
 * interruption. Returns how many operations there were.
 */
export const interruptEverywhere = <A, E, R, R2>(
  effect: Effect.Effect<A, E, R>,
  check: (operation: number) => Effect.Effect<void, never, R2>
): Effect.Effect<number, never, R | R2> =>
  Effect.gen(function*() {
    for (let operation = 0;; operation++) {
      const scheduler = new YieldOnceAt(operation)
      const fiber = yield* effect.pipe(
        Effect.provideService(Scheduler.Scheduler, scheduler),
        Effect.forkChild({ startImmediately: true })
      )
      // An effect that waits for ever has no more operations after a while.
      for (let i = 0; i < 100 && !scheduler.yielded && fiber.pollUnsafe() === undefined; i++) yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      yield* check(operation)
      if (!scheduler.yielded) return operation
    }
  })
