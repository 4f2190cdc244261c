import * as Effect from "effect/Effect"

/**
 * Writes a log line. A logger that throws, such as one whose sink is closed,
 * loses this line and nothing else.
 */
export const writeLog = <R>(line: Effect.Effect<void, never, R>): Effect.Effect<void, never, R> =>
  Effect.catchDefect(line, () => Effect.void)
