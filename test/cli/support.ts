import { NodeHttpServer, NodeServices } from "@effect/platform-node"
import {
  Cause,
  ConfigProvider,
  Console,
  Context,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Queue,
  Redacted,
  Runtime,
  Scope,
  Sink,
  Stdio,
  Terminal
} from "effect"
import { CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
import { Admin } from "effect-resilience/admin"
import { Cli } from "effect-resilience/cli"
import { FetchHttpClient, HttpRouter, HttpServer } from "effect/http"
import { execFileSync, spawn } from "node:child_process"
import * as http from "node:http"
import * as path from "node:path"
import { freePort } from "../../scripts/freePort.ts"
import * as AdminSupport from "../admin/support.ts"
import { Screen } from "./screen.ts"

// -----------------------------------------------------------------------------
// in this process
// -----------------------------------------------------------------------------

export interface Result {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly stdout: () => string
  readonly stderr: () => string
  readonly ended: Effect.Effect<Result>
  readonly interrupt: Effect.Effect<Result>
}

export interface Options {
  readonly env?: Readonly<Record<string, string>>
  /** Columns of a terminal; without it the output is no terminal. */
  readonly columns?: number
  /** Instead of the whole command line. */
  readonly command?: typeof Cli.run
  /** Instead of one for `env`. */
  readonly provider?: ConfigProvider.ConfigProvider
  /** Instead of that of Node. */
  readonly fetch?: typeof globalThis.fetch
  /** Makes the terminal one that takes keys and changes its size. */
  readonly hands?: Hands
  /** Whether the input is the terminal as well; it is if it takes keys. */
  readonly stdinIsTerminal?: boolean
}

/** What somebody does in front of a terminal. */
export interface Hands {
  readonly keys: Queue.Queue<Terminal.UserInput, Cause.Done>
  readonly sizes: Queue.Queue<Terminal.Size, Cause.Done>
}

export const makeHands: Effect.Effect<Hands> = Effect.all({
  keys: Queue.unbounded<Terminal.UserInput, Cause.Done>(),
  sizes: Queue.unbounded<Terminal.Size, Cause.Done>()
})

export const press = ({ keys }: Hands, name: string, { ctrl = false } = {}) =>
  Queue.offer(keys, { input: Option.none(), key: { name, ctrl, meta: false, shift: false } })

/** Starts the command line without a process of its own. */
export const start = (
  args: ReadonlyArray<string>,
  {
    columns,
    command = Cli.run,
    env = {},
    fetch,
    hands,
    provider = ConfigProvider.fromEnv({ env }),
    stdinIsTerminal = hands !== undefined
  }: Options = {}
): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.gen(function*() {
    let stdout = ""
    let stderr = ""
    const out = (text: string) => {
      stdout += text
    }
    const err = (text: string) => {
      stderr += text
    }
    const sinkTo = (write: (text: string) => void) => () =>
      Sink.forEach((chunk: string | Uint8Array) =>
        Effect.sync(() => write(typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk)))
      )
    const console = Object.assign(Object.create(globalThis.console), {
      log: (...parts: ReadonlyArray<unknown>) => out(`${parts.join(" ")}\n`),
      error: (...parts: ReadonlyArray<unknown>) => err(`${parts.join(" ")}\n`)
    })
    const services = Layer.mergeAll(
      NodeServices.layer,
      Stdio.layerTest({
        args: Effect.succeed(args),
        stdinIsTerminal: Effect.succeed(stdinIsTerminal),
        stdoutIsTerminal: Effect.succeed(columns !== undefined),
        stdout: sinkTo(out),
        stderr: sinkTo(err)
      }),
      Layer.succeed(
        Terminal.Terminal,
        Terminal.make({
          columns: Effect.succeed(columns ?? 0),
          rows: Effect.succeed(24),
          size: hands === undefined ? Effect.never : Effect.succeed(hands.sizes),
          readInput: hands === undefined ? Effect.never : Effect.succeed(hands.keys),
          readLine: Effect.never,
          display: (text) => Effect.sync(() => out(text))
        })
      ),
      fetch === undefined
        ? FetchHttpClient.layer
        : Layer.provide(FetchHttpClient.layer, Layer.succeed(FetchHttpClient.Fetch, fetch))
    )
    const fiber = yield* command.pipe(
      Effect.provide(services),
      Effect.provideService(ConfigProvider.ConfigProvider, provider),
      Effect.provideService(Console.Console, console),
      Effect.forkScoped({ startImmediately: true })
    )
    const ended = Effect.map(Fiber.await(fiber), (exit): Result => {
      let code = -1
      Runtime.defaultTeardown(exit, (exitCode) => {
        code = exitCode
      })
      // Nothing but what has a message for people may come out.
      if (Exit.isFailure(exit) && Cause.hasDies(exit.cause)) throw Cause.squash(exit.cause)
      return { code, stdout, stderr }
    })
    return {
      stdout: () => stdout,
      stderr: () => stderr,
      ended,
      interrupt: Effect.andThen(Fiber.interrupt(fiber), ended)
    }
  })

export const run = (args: ReadonlyArray<string>, options?: Options): Effect.Effect<Result> =>
  Effect.scoped(Effect.flatMap(start(args, options), ({ ended }) => ended))

// -----------------------------------------------------------------------------
// servers
// -----------------------------------------------------------------------------

/** A server that is no admin API. */
export const otherServer = (answer: http.RequestListener): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() =>
      new Promise<http.Server>((resolve) => {
        const server = http.createServer(answer).listen(0, "127.0.0.1", () => resolve(server))
      })
    ),
    (server) =>
      Effect.promise(() =>
        new Promise((resolve) => {
          server.closeAllConnections()
          server.close(resolve)
        })
      )
  ).pipe(Effect.map((server) => {
    const address = server.address()
    return `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`
  }))

/** An admin API whose answers are its own but for those that `answer` gives, which then returns `true`. */
export const inFront = (
  { port }: Pick<AdminSupport.Server, "port">,
  answer: (url: string, response: http.ServerResponse, request: http.IncomingMessage) => boolean
): Effect.Effect<string, never, Scope.Scope> =>
  otherServer((request, response) => {
    if (answer(request.url!, response, request)) return
    const { headers, method, url: path } = request
    const call = http.request({ host: "127.0.0.1", port, method, path, headers }, (answered) => {
      response.writeHead(answered.statusCode!, answered.headers)
      answered.pipe(response)
    })
    call.on("error", () => response.destroy())
    request.pipe(call)
  })

export const answerJson = (response: http.ServerResponse, status: number, body: unknown): true => {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))
  return true
}

// -----------------------------------------------------------------------------
// processes
// -----------------------------------------------------------------------------

const bin = path.resolve(import.meta.dirname, "../../src/bin.ts")
const command = [process.execPath, "--conditions=@effect-resilience/source", bin]

const environment = (env: Readonly<Record<string, string>>) => ({
  PATH: process.env["PATH"],
  USER: "tester",
  TERM: "xterm-256color",
  ...env
})

/** Runs the executable with pipes for its output. With `firstLine`, nobody reads what comes after that. */
export const execute = (
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>,
  { firstLine = false, nodeOptions = [] }: {
    readonly firstLine?: boolean
    readonly nodeOptions?: ReadonlyArray<string>
  } = {}
): Effect.Effect<Result> =>
  Effect.promise((signal) =>
    new Promise<Result>((resolve, reject) => {
      const child = spawn(command[0]!, [...nodeOptions, ...command.slice(1), ...args], {
        env: environment(env),
        stdio: ["ignore", "pipe", "pipe"],
        signal
      })
      let stdout = ""
      let stderr = ""
      child.stdout.setEncoding("utf8").on("data", (chunk) => {
        stdout += chunk
        if (firstLine && stdout.includes("\n")) child.stdout.destroy()
      })
      child.stderr.setEncoding("utf8").on("data", (chunk) => stderr += chunk)
      child.on("error", reject)
      child.on("close", (code) => resolve({ code: code ?? -1, stdout, stderr }))
    })
  )

export type Server = Pick<AdminSupport.Server, "port" | "url" | "registry">

/** An admin API that can be stopped, and be started again on the port it had. */
export const restartable = (
  known?: number,
  token = AdminSupport.TOKEN
): Effect.Effect<{ readonly server: Server; readonly stop: Effect.Effect<void> }, never, Scope.Scope> =>
  Effect.gen(function*() {
    const port = known ?? (yield* freePort)
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const httpServer = http.createServer()
    const context: Context.Context<HttpServer.HttpServer | CircuitBreakerRegistry.CircuitBreakerRegistry> =
      yield* HttpRouter
        .serve(Admin.layer({ token: Redacted.make(token) }), { disableLogger: true, disableListenLog: true })
        .pipe(
          Layer.provideMerge(NodeHttpServer.layer(() => httpServer, {
            host: "127.0.0.1",
            port,
            disablePreemptiveShutdown: true
          })),
          Layer.provideMerge(CircuitBreakerRegistry.layer({
            defaults: CircuitPolicy.make({ consecutiveFailures: 2, openDuration: "1 minute" })
          })),
          Layer.buildWithScope(scope),
          Effect.orDie
        )
    const registry = Context.get(context, CircuitBreakerRegistry.CircuitBreakerRegistry)
    return {
      server: { port, url: `http://127.0.0.1:${port}`, registry },
      // No connection is taken any more when those that are open are cut.
      stop: Effect.all([Scope.close(scope, Exit.void), Effect.sync(() => httpServer.closeAllConnections())], {
        concurrency: "unbounded",
        discard: true
      })
    }
  })

const findPython = (): string | undefined => {
  try {
    execFileSync("python3", ["-c", "import pty, termios, fcntl"], { stdio: "ignore" })
    return "python3"
  } catch {
    return undefined
  }
}

const python = findPython()

/** Whether there is what runs a command in a pseudo-terminal. */
export const hasPty = python !== undefined

export interface Tty {
  readonly screen: Screen
  readonly press: (keys: string) => void
  readonly resize: (columns: number, rows: number) => void
  readonly signal: (signal: number) => void
  /** The exit code, and whether the modes of the terminal are as they were. */
  readonly ended: Effect.Effect<{ readonly code: number; readonly modesKept: boolean }>
}

/** Runs the executable in a pseudo-terminal, until the scope closes. */
export const open = (
  args: ReadonlyArray<string>,
  { columns = 80, env, rows = 24 }: {
    readonly env: Readonly<Record<string, string>>
    readonly columns?: number
    readonly rows?: number
  }
): Effect.Effect<Tty, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const screen = new Screen(columns, rows)
        const child = spawn(
          python!,
          [path.join(import.meta.dirname, "terminal.py"), String(columns), String(rows), ...command, ...args],
          { env: environment(env), stdio: "pipe" }
        )
        const order = (value: unknown) => {
          child.stdin.write(`${JSON.stringify(value)}\n`)
        }
        let stderr = ""
        child.stdin.on("error", () => {})
        child.stdout.setEncoding("utf8").on("data", (chunk) => screen.write(chunk))
        child.stderr.setEncoding("utf8").on("data", (chunk) => stderr += chunk)
        const ended = new Promise<{ readonly code: number; readonly modesKept: boolean }>((resolve) =>
          child.on("close", (code) => resolve({ code: code ?? -1, modesKept: stderr.includes("modes kept") }))
        )
        return { screen, order, ended, child }
      }),
      ({ child, order }) =>
        Effect.sync(() => {
          if (child.exitCode === null) order({ signal: 9 })
        })
    ),
    ({ ended, order, screen }): Tty => ({
      screen,
      press: (keys) => order({ write: keys }),
      resize: (columns, rows) => {
        screen.resize(columns, rows)
        order({ resize: [columns, rows] })
      },
      signal: (signal) => order({ signal }),
      ended: Effect.promise(() => ended)
    })
  )

/** Waits in real time until something holds. */
export const until = (what: string | (() => string), condition: () => boolean): Effect.Effect<void> =>
  Effect.promise(() =>
    new Promise<void>((resolve, reject) => {
      const began = performance.now()
      const look = () => {
        if (condition()) return resolve()
        if (performance.now() - began > 12_000) {
          return reject(new Error(`never came true: ${typeof what === "string" ? what : what()}`))
        }
        setTimeout(look, 10)
      }
      look()
    })
  )
