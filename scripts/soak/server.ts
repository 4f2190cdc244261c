/**
 * A small HTTP server that can be broken, a process of its own. It tells its
 * parent of every attempt before it answers, so that there is a receipt for
 * every answer even if it is killed a moment later. Ends with the parent.
 */
import { createServer, type ServerResponse } from "node:http"
import type { Command, Condition, Message } from "./protocol.ts"

/** Longer than any caller waits. */
const SLOW_MILLIS = 1500

const [port] = process.argv.slice(2)

let condition: Condition = "up"
let requests = 0

const server = createServer((request, response) => {
  const handle = async () => {
    const attempt = Number(request.headers["x-attempt"])
    await send({ _tag: "Received", attempt })
    const now: Condition = condition === "flaky"
      ? (["up", "unavailable", "up", "resetting", "up"] as const)[++requests % 5]!
      : condition
    switch (now) {
      case "resetting":
        return void request.socket.destroy()
      case "unavailable":
        return answer(response, 503, { "retry-after": "1" })
      case "slow":
        await new Promise((resolve) => setTimeout(resolve, SLOW_MILLIS))
    }
    if (response.destroyed) return
    await send({ _tag: "Answered", attempt })
    answer(response, request.url === "/missing" ? 404 : 200)
  }
  handle().catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`)
    response.destroy()
  })
})

const answer = (response: ServerResponse, status: number, headers: Record<string, string> = {}): void => {
  response.writeHead(status, headers)
  response.end(String(status))
}

const send = (message: Message): Promise<void> =>
  new Promise((resolve, reject) => {
    process.send!(message, (error: Error | null) => error === null ? resolve() : reject(error))
  })

process.on("message", (command: Command) => {
  if (command._tag === "Become") condition = command.condition
  else void send({ _tag: "Settled", id: command.id })
})
process.on("disconnect", () => process.exit())
// Ctrl-C reaches the whole process group, but it is the parent that ends its servers.
process.on("SIGINT", () => {})

server.keepAliveTimeout = 60_000
server.on("listening", () => {
  void send({ _tag: "Listening" })
})

const listen = (): void => void server.listen(Number(port), "127.0.0.1")

// What was killed may hold its port for a moment.
server.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EADDRINUSE") throw error
  setTimeout(listen, 50)
})
listen()
