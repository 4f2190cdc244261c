import { NodeHttpServer } from "@effect/platform-node"
import { type Context, Effect, Layer, Logger, Redacted, References, type Scope } from "effect"
import { CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
import { Admin } from "effect-resilience/admin"
import { FetchHttpClient, HttpRouter, HttpServer } from "effect/http"
import * as http from "node:http"

export const TOKEN = "0123456789abcdef-token"

export interface Server {
  readonly port: number
  readonly url: string
  readonly registry: CircuitBreakerRegistry.CircuitBreakerRegistry
  /** Connections that are open. */
  readonly connections: Effect.Effect<number>
}

/** An admin API on a free port of 127.0.0.1, with a registry of its own. */
export const start = (
  options: Admin.Options = {},
  registry: Layer.Layer<CircuitBreakerRegistry.CircuitBreakerRegistry> = CircuitBreakerRegistry.layer({
    defaults: CircuitPolicy.make({ consecutiveFailures: 2, openDuration: "1 minute" })
  })
): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.gen(function*() {
    const listening = http.createServer()
    const context: Context.Context<HttpServer.HttpServer | CircuitBreakerRegistry.CircuitBreakerRegistry> =
      yield* HttpRouter
        .serve(Admin.layer({ token: Redacted.make(TOKEN), ...options }), {
          disableLogger: true,
          disableListenLog: true
        })
        .pipe(
          Layer.provideMerge(NodeHttpServer.layer(() => listening, {
            host: "127.0.0.1",
            port: 0,
            disablePreemptiveShutdown: true
          })),
          Layer.provideMerge(registry),
          Layer.build,
          Effect.orDie
        )
    const services = yield* Effect.provideContext(
      Effect.all({ server: HttpServer.HttpServer, registry: CircuitBreakerRegistry.CircuitBreakerRegistry }),
      context
    )
    const { address } = services.server
    const port = "port" in address ? address.port : 0
    const connections = Effect.promise(() =>
      new Promise<number>((resolve) => listening.getConnections((_, count) => resolve(count)))
    )
    return { port, url: `http://127.0.0.1:${port}`, registry: services.registry, connections }
  })

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
  readonly json: any
}

export interface Ask {
  readonly method?: string
  readonly path: string
  readonly headers?: http.OutgoingHttpHeaders
  readonly body?: unknown
  /** As it is, rather than as JSON. */
  readonly raw?: string | Buffer
}

/** Asks by hand: any method, any header, any body. */
export const ask = ({ port }: Pick<Server, "port">, request: Ask): Effect.Effect<Answer> =>
  Effect.promise((signal) =>
    new Promise<Answer>((resolve, reject) => {
      const body = request.raw ?? (request.body === undefined ? undefined : JSON.stringify(request.body))
      const call = http.request({
        port,
        host: "127.0.0.1",
        agent: false,
        method: request.method ?? (body === undefined ? "GET" : "POST"),
        path: request.path,
        signal,
        headers: {
          ...(request.body === undefined ? {} : { "content-type": "application/json" }),
          ...request.headers
        },
        setHost: request.headers === undefined || !("host" in request.headers)
      }, (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk) => chunks.push(chunk))
        response.on("error", reject)
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8")
          const isJson = response.headers["content-type"]?.startsWith("application/json") === true
          resolve({
            status: response.statusCode!,
            headers: response.headers,
            text,
            json: isJson && text !== "" ? JSON.parse(text) : undefined
          })
        })
      })
      call.on("error", reject)
      call.end(body)
    })
  )

export const bearer = (token = TOKEN) => ({ authorization: `Bearer ${token}` })

export const who = { by: "ada", reason: "maintenance" }

export const client = (server: Server, token: string | undefined = TOKEN) =>
  Admin.client({ baseUrl: server.url, token: token === undefined ? undefined : Redacted.make(token) }).pipe(
    Effect.provide(FetchHttpClient.layer)
  )

/** Runs with the log lines as values, each its message and annotations. */
export const logged = <A, E, R>(
  body: (lines: ReadonlyArray<Record<string, unknown>>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const lines: Array<Record<string, unknown>> = []
  const logger = Logger.make(({ fiber, logLevel, message }) => {
    const [text] = message as ReadonlyArray<unknown>
    lines.push({ message: text, level: logLevel, ...fiber.getRef(References.CurrentLogAnnotations) })
  })
  return Effect.provide(body(lines), Logger.layer([logger]))
}

/** Lets real I/O happen until something holds. */
export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.promise(() =>
    new Promise<void>((resolve, reject) => {
      let rounds = 0
      const look = () => {
        if (condition()) return resolve()
        if (++rounds > 100_000) return reject(new Error("never came true"))
        setImmediate(look)
      }
      look()
    })
  )

export interface Frame {
  readonly id: string | undefined
  readonly event: string
  readonly data: any
}

/** A reader of server-sent events. */
export interface Reader {
  readonly status: number
  readonly frames: ReadonlyArray<Frame>
  readonly text: () => string
  readonly ended: () => boolean
  readonly close: () => void
  readonly resume: () => void
}

/** Reads the events until the scope closes. */
export const read = (
  { port }: Pick<Server, "port">,
  options: {
    readonly path?: string
    readonly headers?: http.OutgoingHttpHeaders
    readonly paused?: boolean
    readonly localAddress?: string
  } = {}
): Effect.Effect<Reader, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() =>
      new Promise<Reader>((resolve, reject) => {
        const chunks: Array<string> = []
        let rest = ""
        let ended = false
        const frames: Array<Frame> = []
        const call = http.get({
          port,
          host: "127.0.0.1",
          agent: false,
          path: options.path ?? "/events",
          headers: options.headers,
          localAddress: options.localAddress
        }, (response) => {
          response.setEncoding("utf8")
          response.on("error", () => {
            ended = true
          })
          response.on("close", () => {
            ended = true
          })
          const listen = () =>
            response.on("data", (chunk: string) => {
              chunks.push(chunk)
              rest += chunk
              const end = chunk.includes("\n\n") || rest.endsWith("\n\n") ? rest.lastIndexOf("\n\n") + 2 : 0
              if (end === 0) return
              frames.push(...parse(rest.slice(0, end)))
              rest = rest.slice(end)
            })
          if (options.paused !== true) listen()
          resolve({
            status: response.statusCode!,
            frames,
            text: () => chunks.join(""),
            ended: () => ended,
            close: () => call.destroy(),
            resume: () => {
              if (options.paused === true && response.listenerCount("data") === 0) listen()
              response.resume()
            }
          })
        })
        call.on("error", (error) => {
          ended = true
          reject(error)
        })
      })
    ),
    (reader) => Effect.sync(() => reader.close())
  )

const parse = (text: string): ReadonlyArray<Frame> =>
  text.split("\n\n").slice(0, -1).filter((block) => block.includes("data: ")).map((block) => {
    const fields = new Map(
      block.split("\n").map((line) => {
        const at = line.indexOf(": ")
        return [line.slice(0, at), line.slice(at + 2)]
      })
    )
    return { id: fields.get("id"), event: fields.get("event")!, data: JSON.parse(fields.get("data")!) }
  })
