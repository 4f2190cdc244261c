import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"

/** Fibers that look at something again and again, and at once after a change. */
export class Lookouts {
  private readonly latches = new Set<Latch.Latch>()

  wake(): void {
    for (const latch of this.latches) latch.openUnsafe()
  }

  /** Looks when woken, and after the milliseconds that the previous look returned. */
  repeat(look: Effect.Effect<number>): Effect.Effect<never> {
    return Effect.suspend(() => {
      const latch = Latch.makeUnsafe()
      return Effect.suspend(() => {
        this.latches.add(latch)
        latch.closeUnsafe()
        return Effect.flatMap(look, (millis) => Effect.timeoutOption(latch.await, millis))
      }).pipe(
        // `forever` yields between two looks, so the fiber that wakes this one, perhaps a call through a circuit, does
        // not do its work.
        Effect.forever,
        Effect.ensuring(Effect.sync(() => this.latches.delete(latch)))
      )
    })
  }
}
