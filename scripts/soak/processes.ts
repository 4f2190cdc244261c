/**
 * The servers of a soak as processes of their own, on free ports of 127.0.0.1,
 * killed, paused and started again on the same port. All end with the scope.
 */
import { Data, Effect } from "effect"
import { type ChildProcess, fork, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { freePort } from "../freePort.ts"
import { replyOf } from "../replyOf.ts"
import type { Command, Condition, Message } from "./protocol.ts"

export class ServerError extends Data.TaggedError("ServerError")<{ readonly server: string; readonly reason: string }> {
  override get message(): string {
    return `The server ${this.server} ${this.reason}`
  }
}

/** A server that can be broken. */
export interface Victim {
  readonly name: string
  readonly port: number
  readonly kill: Effect.Effect<void>
  readonly pause: Effect.Effect<void>
  /** As new, whatever was done to it. */
  readonly heal: Effect.Effect<void, ServerError>
  readonly become: (condition: Condition) => Effect.Effect<void>
  /** Returns when everything it has told so far has been heard. */
  readonly settle: Effect.Effect<void, ServerError>
}

/** What the processes of both kinds of servers have in common. `isUp` returns when one that was launched takes calls. */
const makeProcess = Effect.fnUntraced(function*(
  name: string,
  launch: (port: number) => ChildProcess,
  isUp: (child: ChildProcess) => Effect.Effect<unknown, ServerError>
) {
  let child: ChildProcess | undefined
  let paused = false
  const isRunning = () => child !== undefined && child.exitCode === null && child.signalCode === null

  const kill = Effect.promise(async () => {
    if (child === undefined || !isRunning()) return
    const gone = Promise.all([once(child, "exit"), child.connected ? once(child, "disconnect") : undefined])
    child.kill("SIGKILL")
    await gone
    paused = false
  })
  yield* Effect.addFinalizer(() => kill)

  const port = yield* freePort
  // Known before it is up: who starts it may be interrupted while it waits, or start it twice.
  const start = Effect.suspend(() => {
    child = launch(port)
    return isUp(child)
  })
  yield* start
  return {
    name,
    port,
    kill,
    pause: Effect.sync(() => {
      paused = isRunning() && child!.kill("SIGSTOP")
    }),
    resume: Effect.suspend(() => {
      if (paused) child!.kill("SIGCONT")
      paused = false
      return isRunning() ? Effect.void : start
    }),
    child: () => isRunning() && !paused ? child : undefined
  }
})

/** A server of ours. `hear` is told of the attempts it has received and answered. */
export const startServer = Effect.fnUntraced(function*(
  name: string,
  hear: (message: Extract<Message, { readonly attempt: number }>) => void
) {
  let settles = 0

  const reply = <Tag extends Message["_tag"]>(
    from: ChildProcess,
    tag: Tag,
    isReply: (message: Extract<Message, { readonly _tag: Tag }>) => boolean = () => true
  ) =>
    replyOf(
      from,
      (message: Message): message is Extract<Message, { readonly _tag: Tag }> =>
        isTagged(message, tag) && isReply(message),
      () => new ServerError({ server: name, reason: "ended" })
    ).pipe(Effect.timeoutOrElse({
      duration: "20 seconds",
      orElse: () => Effect.fail(new ServerError({ server: name, reason: `did not say "${tag}"` }))
    }))

  const running = yield* makeProcess(name, (port) => {
    const child = fork(fileURLToPath(new URL("server.ts", import.meta.url)), [String(port)], {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      execArgv: []
    })
    child.on("message", (message: Message) => {
      if ("attempt" in message) hear(message)
    })
    return child
  }, (child) => reply(child, "Listening"))

  const tell = (command: Command) =>
    Effect.sync(() => {
      const child = running.child()
      if (child?.connected === true) child.send(command)
    })

  return {
    ...running,
    heal: Effect.andThen(running.resume, tell({ _tag: "Become", condition: "up" })),
    become: (condition) => tell({ _tag: "Become", condition }),
    settle: Effect.suspend(() => {
      const child = running.child()
      if (child?.connected !== true) return Effect.void
      const id = ++settles
      child.send({ _tag: "Settle", id } satisfies Command)
      return Effect.asVoid(reply(child, "Settled", (message) => message.id === id))
    })
  } satisfies Victim
})

const isTagged = <Tag extends Message["_tag"]>(
  message: Message,
  tag: Tag
): message is Extract<Message, { readonly _tag: Tag }> => message._tag === tag

export const hasRedis = (): boolean => spawnSync("redis-server", ["--version"]).status === 0

/** A Redis that keeps everything in memory. */
export const startRedis = Effect.gen(function*() {
  const running = yield* makeProcess("redis", (port) => {
    const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    const child = spawn("redis-server", args, { stdio: "ignore" })
    // Ends it if this process is killed and so cannot, which closes the pipe.
    const watchdog = spawn("sh", ["-c", `read _; kill -9 ${child.pid}`], { stdio: ["pipe", "ignore", "ignore"] })
    child.once("exit", () => watchdog.kill("SIGKILL"))
    return child
    // It is up when it takes connections, which its client waits for.
  }, () => Effect.void)
  return {
    ...running,
    heal: running.resume,
    become: () => Effect.void,
    settle: Effect.void
  } satisfies Victim
})
