import * as Effect from "effect/Effect"

/** Runs a callback such as `onRetry`. Its failure is logged, and fails nothing else. */
export const runCallback = <R>(
  message: string,
  callback: () => Effect.Effect<unknown, unknown, R>
): Effect.Effect<unknown, never, R> => Effect.ignoreCause(Effect.suspend(callback), { log: "Error", message })
