import * as Effect from "effect/Effect"

/**
 * Writes a log line. What throws in a logger, as a sink that is closed does,
 * costs this line and nothing else.
 */
export const writeLog = <R>(line: Effect.Effect<void, never, R>): Effect.Effect<void, never, R> =>
  Effect.catchDefect(line, () => Effect.void)
