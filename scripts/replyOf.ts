import * as Effect from "effect/Effect"
import type { ChildProcess } from "node:child_process"

/** The next message of a child process that is the reply, unless the process ends before. */
export const replyOf = <Message, Reply extends Message, E>(
  child: ChildProcess,
  isReply: (message: Message) => message is Reply,
  onEnd: (how: string) => E
): Effect.Effect<Reply, E> =>
  Effect.callback((resume) => {
    const onMessage = (message: Message) => {
      if (isReply(message)) end(Effect.succeed(message))
    }
    const onExit = (code: number | null, signal: string | null) =>
      end(Effect.fail(onEnd(signal ?? `exit code ${code}`)))
    const forget = () => child.off("message", onMessage).off("exit", onExit)
    const end = (result: Effect.Effect<Reply, E>) => {
      forget()
      resume(result)
    }
    child.on("message", onMessage).once("exit", onExit)
    return Effect.sync(forget)
  })
