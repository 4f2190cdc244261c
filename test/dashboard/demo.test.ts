import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { spawn } from "node:child_process"
import { createServer } from "node:net"
import type { AddressInfo } from "node:net"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")

const runDemo = (...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(
        process.execPath,
        ["--conditions=@effect-resilience/source", "examples/demo/main.ts", "--no-color", ...args],
        { cwd: root, stdio: ["ignore", "pipe", "pipe"] }
      )
      let output = ""
      child.stdout.on("data", (data) => {
        output += String(data)
      })
      child.stderr.on("data", (data) => {
        output += String(data)
      })
      const ended = new Promise<number | null>((resolve) => child.once("close", resolve))
      return { child, ended, output: () => output }
    }),
    ({ child, ended }) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return ended
      })
  )

const eventually = <A>(look: () => A | undefined | Promise<A | undefined>): Effect.Effect<A> =>
  Effect.promise(async () => look()).pipe(
    Effect.delay("50 millis"),
    Effect.repeat({ until: (found) => found !== undefined }),
    Effect.map((found) => found as A),
    Effect.timeout("20 seconds"),
    Effect.orDie
  )

describe("npm run demo -- --serve", { timeout: 60_000 }, () => {
  it.live("shows the demo on the dashboard until it is told to end", () =>
    Effect.gen(function*() {
      const demo = yield* runDemo("--serve", "--port", "0", "--quick")
      const url = yield* eventually(() => /Dashboard +(\S+)\/dashboard/.exec(demo.output())?.[1])
      const get = async (path: string) => await (await fetch(`${url}${path}`)).json()

      assert.strictEqual((yield* Effect.promise(() => fetch(`${url}/dashboard`))).status, 200)
      const [operation] = yield* eventually(async () => {
        const { operations } = await get("/tiers")
        return operations[0]?.calls > 20 ? operations : undefined
      })
      assert.strictEqual(operation.operation, "get_account")
      assert.deepStrictEqual(
        operation.tiers.map(({ name }: { readonly name: string }) => name),
        ["tier1_mcp", "tier2_sdk", "tier3_rest"]
      )
      // The first tier goes down, as the script says.
      yield* eventually(async () => (await get("/tiers")).operations[0].tiers[1].served > 0 ? true : undefined)

      demo.child.kill("SIGINT")
      const ended = yield* Effect.promise(() => demo.ended).pipe(
        Effect.timed,
        Effect.timeout("10 seconds"),
        Effect.orDie
      )
      assert.isBelow(Duration.toSeconds(ended[0]), 5)
      assert.notInclude(demo.output(), "Warning")
    }))

  it.live("says so if the port is taken", () =>
    Effect.gen(function*() {
      const server = createServer()
      const port = yield* Effect.acquireRelease(
        Effect.promise(() =>
          new Promise<number>((resolve) =>
            server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
          )
        ),
        () => Effect.sync(() => server.close())
      )
      const demo = yield* runDemo("--serve", "--port", String(port))
      assert.strictEqual(yield* Effect.promise(() => demo.ended), 1)
      assert.include(demo.output(), `Port ${port} is taken; choose another with --port, or 0 for any that is free`)
    }))
})
