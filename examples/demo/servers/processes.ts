/**
 * Starts the three servers as processes of their own, on free ports of
 * 127.0.0.1, and breaks and heals them. A killed server comes back as a new
 * process on the port of the old one. All of them end with the scope.
 */
import { Effect, Schema } from "effect"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { type Condition, Journal, type Tier } from "../journal.ts"
import { RETRY_AFTER } from "../script.ts"
import { World } from "../world.ts"
import { freePort } from "./freePort.ts"
import type { Command, Message } from "./protocol.ts"

export class ServerError extends Schema.TaggedError<ServerError>()("ServerError", {
  tier: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `The server of ${this.tier} ${this.reason}`
  }
}

const FILES: Record<Tier, string> = {
  tier1_mcp: "mcp-server.ts",
  tier2_sdk: "sdk-server.ts",
  tier3_rest: "rest-server.ts"
}

/** Starts one server; what it tells about its answers goes into the journal. */
const startServer = Effect.fnUntraced(function*(tier: Tier, retryAfter: number) {
  const journal = yield* Journal
  const write = Effect.runSyncWith(yield* Effect.context())
  let child: ChildProcess | undefined
  let listens = false

  const port = yield* freePort
  const spawn = Effect.suspend(() => {
    child = fork(fileURLToPath(new URL(FILES[tier], import.meta.url)), [String(port), String(retryAfter)], {
      stdio: ["ignore", "ignore", "inherit", "ipc"]
    })
    child.on("message", (message: Message) => {
      if (message._tag !== "Answered") return
      const { accountId, found, receipt } = message
      write(journal.write({ _tag: "Answered", tier, receipt, accountId, found }))
    })
    return Effect.tap(reply(child, "Listening"), () =>
      Effect.sync(() => {
        listens = true
      }))
  })

  const tell = (command: Command, tag: Message["_tag"]) =>
    Effect.suspend(() => {
      child!.send(command)
      return reply(child!, tag)
    })

  /** The next message of a kind, unless the process ends before. */
  const reply = <Tag extends Message["_tag"]>(from: ChildProcess, tag: Tag) =>
    Effect.callback<Extract<Message, { readonly _tag: Tag }>, ServerError>((resume) => {
      const onMessage = (message: Message) => {
        if (isReply(message, tag)) end(Effect.succeed(message))
      }
      const onExit = (code: number | null, signal: string | null) =>
        end(Effect.fail(new ServerError({ tier, reason: `ended: ${signal ?? `exit code ${code}`}` })))
      const forget = () => from.off("message", onMessage).off("exit", onExit)
      const end = (result: Effect.Effect<Extract<Message, { readonly _tag: Tag }>, ServerError>) => {
        forget()
        resume(result)
      }
      from.on("message", onMessage).once("exit", onExit)
      return Effect.sync(forget)
    }).pipe(
      Effect.timeoutOrElse({
        duration: "10 seconds",
        orElse: () => Effect.fail(new ServerError({ tier, reason: `did not say "${tag}"` }))
      })
    )

  /** Returns when the process is gone and everything it has sent has been read. */
  const kill = Effect.promise(async () => {
    listens = false
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = Promise.all([once(child, "exit"), child.connected ? once(child, "disconnect") : undefined])
    child.kill("SIGKILL")
    await gone
  })

  yield* Effect.addFinalizer(() => kill)
  yield* spawn

  const become = (condition: Condition): Effect.Effect<string, ServerError> => {
    if (condition === "killed") return Effect.map(kill, () => `process ${child?.pid} was ended by SIGKILL`)
    return child?.signalCode === null
      ? Effect.as(tell({ _tag: "Become", condition }, "Became"), "")
      : Effect.map(spawn, () => `process ${child?.pid} listens on port ${port}`)
  }

  return {
    url: `http://127.0.0.1:${port}`,
    pid: child?.pid,
    become,
    // A process that is killed meanwhile does not answer, nor does it have to.
    ping: Effect.ignore(Effect.suspend(() => listens ? tell({ _tag: "Ping" }, "Pong") : Effect.void)),
    settle: Effect.suspend(() => child?.connected === true ? tell({ _tag: "Settle" }, "Settled") : Effect.void)
  }
})

const isReply = <Tag extends Message["_tag"]>(
  message: Message,
  tag: Tag
): message is Extract<Message, { readonly _tag: Tag }> => message._tag === tag

/** The three servers, and the world they are. `speed` shortens how long they ask to be left alone. */
export const start = Effect.fnUntraced(function*(speed: number) {
  const retryAfter = Math.ceil(RETRY_AFTER / speed)
  const servers = yield* Effect.all({
    tier1_mcp: startServer("tier1_mcp", retryAfter),
    tier2_sdk: startServer("tier2_sdk", retryAfter),
    tier3_rest: startServer("tier3_rest", retryAfter)
  }, { concurrency: "unbounded" })
  return {
    servers,
    world: World.of({
      become: (tier, condition) => Effect.orDie(servers[tier].become(condition)),
      ping: (tier) => servers[tier].ping,
      settle: Effect.orDie(
        Effect.forEach(Object.values(servers), ({ settle }) => settle, { concurrency: "unbounded", discard: true })
      )
    })
  }
})
