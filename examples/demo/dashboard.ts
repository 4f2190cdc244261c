/** What `--serve` adds: the admin API with its dashboard, on a port of 127.0.0.1. */
import { NodeHttpServer } from "@effect/platform-node"
import { Config, Console, Context, Effect, Layer, Option, Redacted } from "effect"
import { Admin } from "effect-resilience/admin"
import { HttpRouter, HttpServer } from "effect/http"
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { createServer } from "node:http"

/** The token that changes need. */
class Token extends Context.Service<Token, Redacted.Redacted>()("demo/Token") {
  static readonly layer = Layer.effect(
    Token,
    Effect.map(
      Config.option(Config.Redacted("RESILIENCE_ADMIN_TOKEN")),
      Option.getOrElse(() => Redacted.make(randomBytes(16).toString("hex")))
    )
  )
}

const api = Layer.unwrap(
  Effect.map(
    Token,
    (token) => HttpRouter.serve(Admin.layer({ token }), { disableLogger: true, disableListenLog: true })
  )
)

export const layer = (port: number) =>
  api.pipe(
    Layer.provideMerge(Token.layer),
    Layer.provideMerge(
      NodeHttpServer.layer(createServer, { host: "127.0.0.1", port, gracefulShutdownTimeout: "1 second" })
    )
  )

const commands: Partial<Record<NodeJS.Platform, readonly [string, ...Array<string>]>> = {
  darwin: ["open"],
  linux: ["xdg-open"],
  win32: ["cmd", "/c", "start"]
}

/** Tells where the dashboard is, and shows it to whoever sits before a screen. */
export const opened = Effect.gen(function*() {
  const { address } = yield* HttpServer.HttpServer
  const url = `http://127.0.0.1:${"port" in address ? address.port : 0}/dashboard`
  const token = yield* Token
  yield* Console.log(`  Dashboard   ${url}`)
  yield* Console.log(`  Token       ${Redacted.value(token)}  (for changes; RESILIENCE_ADMIN_TOKEN sets another)\n`)
  const [command, ...args] = commands[process.platform] ?? []
  if (command === undefined || !process.stdout.isTTY) return
  yield* Effect.sync(() => {
    // Where there is no browser, the address above is enough.
    spawn(command, [...args, url], { stdio: "ignore", detached: true }).on("error", () => {}).unref()
  })
})
