#!/usr/bin/env node
/**
 * The executable `effect-resilience`, on Node.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"

const platform = Effect.all({
  services: Effect.tryPromise(() => import("@effect/platform-node/NodeServices")),
  runtime: Effect.tryPromise(() => import("@effect/platform-node/NodeRuntime"))
})

const { process } = globalThis as unknown as {
  readonly process: {
    exitCode?: number
    readonly env: Record<string, string | undefined>
    readonly getBuiltinModule?: (name: "node:os") => { readonly userInfo: () => { readonly username: string } }
  }
}

/** Sets the name of the user where the environment lacks it, as in a container. The system may lack it too. */
const nameUser = Effect.ignoreCause(Effect.sync(() => {
  process.env["USER"] ??= process.getBuiltinModule?.("node:os").userInfo().username
}))

const main = Effect.gen(function*() {
  const { runtime, services } = yield* platform
  yield* nameUser
  const { run } = yield* Effect.promise(() => import("./cli/Cli.ts"))
  runtime.runMain(Effect.provide(run, [services.layer, FetchHttpClient.layer]))
})

const explain = ({ cause }: { readonly cause?: unknown }) =>
  Effect.andThen(
    Console.error(
      cause instanceof Error && "code" in cause && cause.code === "ERR_MODULE_NOT_FOUND"
        ? "effect-resilience: the command line needs @effect/platform-node. Install it:\n\n" +
          "    npm install @effect/platform-node\n"
        : `effect-resilience: @effect/platform-node cannot be loaded: ${String(cause)}`
    ),
    Effect.sync(() => {
      process.exitCode = 1
    })
  )

Effect.runFork(Effect.catchTag(main, "UnknownError", explain))
