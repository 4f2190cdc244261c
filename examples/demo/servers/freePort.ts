/**
 * A free port of 127.0.0.1 that a server can come back to after it was stopped:
 * below the range from which connections take theirs, or one of them may hold
 * the port for as long as it lives.
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { createServer } from "node:net"

const FROM = 12_000
const TO = 32_000

const isFree = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const server = createServer()
      .once("error", () => resume(Effect.succeed(false)))
      .listen(port, "127.0.0.1", () => server.close(() => resume(Effect.succeed(true))))
  })

export const freePort: Effect.Effect<number> = Effect.flatMap(
  Random.nextIntBetween(FROM, TO),
  (port) => Effect.flatMap(isFree(port), (free) => free ? Effect.succeed(port) : freePort)
)
