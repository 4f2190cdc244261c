/** Long lists are read in pieces, so that nobody who asks for one stops the event loop. */
import * as Effect from "effect/Effect"

/** What is read in one go. */
export const PIECE = 500

/**
 * What `f` makes of each item, without what it makes nothing of. Yields between
 * two pieces. The items are listed in one step with the first piece, so that a
 * short list shows one moment.
 */
export const collectInPieces = <A, B>(
  list: () => ReadonlyArray<A>,
  f: (item: A) => B | undefined
): Effect.Effect<ReadonlyArray<B>> =>
  Effect.suspend(() => {
    const items = list()
    const collected: Array<B> = []
    let next = 0
    const piece = (): Effect.Effect<ReadonlyArray<B>> => {
      const end = Math.min(next + PIECE, items.length)
      for (; next < end; next++) {
        const made = f(items[next]!)
        if (made !== undefined) collected.push(made)
      }
      return next < items.length ? Effect.andThen(Effect.yieldNow, Effect.suspend(piece)) : Effect.succeed(collected)
    }
    return piece()
  })
