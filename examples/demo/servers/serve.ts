/**
 * What the three server processes share: they listen on a port of 127.0.0.1,
 * take their condition from the parent process, and give a receipt with every
 * answer. They end with the parent, however that ends.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { findAccount, type StoredAccount } from "./data.ts"
import type { Command, Condition, Message } from "./protocol.ts"

/** How long a slow server takes: longer than any caller waits. */
const SLOW_MILLIS = 2000

const [port, retryAfterSeconds = "2"] = process.argv.slice(2)

export type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

export const serve = (handler: Handler): void => {
  let condition: Condition = "up"

  const server = createServer((request, response) => {
    const handle = async () => {
      switch (condition) {
        case "resetting":
          return void request.socket.destroy()
        case "unavailable":
          return json(response, 503, { error: "service_unavailable" }, { "retry-after": retryAfterSeconds })
        case "slow":
          await new Promise((resolve) => setTimeout(resolve, SLOW_MILLIS))
      }
      // A caller that has hung up gets no answer, and so no receipt.
      if (!response.destroyed) await handler(request, response)
    }
    handle().catch((error: unknown) => json(response, 500, { error: String(error) }))
  })

  process.on("message", (command: Command) => {
    switch (command._tag) {
      case "Become":
        condition = command.condition
        return void send({ _tag: "Became", condition })
      case "Settle":
        return void send({ _tag: "Settled" })
      case "Ping":
        return void send({ _tag: "Pong" })
    }
  })
  // The channel closes when the parent ends, also when it was killed.
  process.on("disconnect", () => process.exit())
  // Ctrl-C reaches the whole process group, but it is the parent that ends its servers.
  process.on("SIGINT", () => {})

  const listen = (): void => void server.listen(Number(port), "127.0.0.1")
  server.on("listening", () => void send({ _tag: "Listening" }))
  // What was killed may hold its port for a moment.
  server.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EADDRINUSE") throw error
    setTimeout(listen, 50)
  })
  listen()
}

let served = 0

/**
 * Looks an account up and reports the answer to the parent first, so that there
 * is a receipt for every answer that ever reaches a caller, even if this process
 * is killed a moment later.
 */
export const lookUp = async (
  server: string,
  accountId: string
): Promise<{ readonly account: StoredAccount | undefined; readonly receipt: string }> => {
  const account = findAccount(accountId)
  const receipt = `${server}/${process.pid}/${++served}`
  await send({ _tag: "Answered", receipt, accountId, found: account !== undefined })
  return { account, receipt }
}

export const json = (
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {}
): void => {
  if (!response.headersSent) response.writeHead(status, { ...headers, "content-type": "application/json" })
  response.end(JSON.stringify(body))
}

const send = (message: Message): Promise<void> =>
  new Promise((resolve, reject) => {
    process.send!(message, (error: Error | null) => error === null ? resolve() : reject(error))
  })
