/**
 * Serves an HTTP API for the circuits of a running program: health, metrics,
 * history, live events, configuration and manual changes, and a page for
 * browsers at `/dashboard`.
 *
 * The API is a Layer that adds routes to an `HttpRouter`, either the program's or
 * one of its own. It requires the `CircuitBreakerRegistry`.
 *
 * **Details**
 *
 * - Every change needs a bearer token, an author and a reason, and is logged.
 *   Without a token the API is read-only.
 * - By default, reading from the same machine needs no token.
 * - Requests from other sites, or for hosts that are not allowed, are refused.
 * - The API adds no cost to calls, unless a client subscribes to their events.
 *
 * **Example** (Adding it to the routes of a program)
 *
 * ```ts import.meta.vitest
 * import { Effect, Layer, Redacted } from "effect"
 * import { CircuitBreakerRegistry } from "effect-resilience"
 * import { Admin } from "effect-resilience/admin"
 * import { HttpRouter, HttpServerResponse } from "effect/http"
 *
 * const token = Redacted.make("8d0f1c53a8e94e2b")
 *
 * const App = Layer.mergeAll(
 *   HttpRouter.add("GET", "/", HttpServerResponse.text("hello")),
 *   Admin.layer({ token, prefix: "/resilience" })
 * ).pipe(Layer.provide(CircuitBreakerRegistry.layer()))
 *
 * const { dispose, handler } = HttpRouter.toWebHandler(App, { disableLogger: true })
 *
 * const response = await handler(new Request("http://localhost/resilience/health"))
 * const body = await response.text() // => '{"status":"healthy"}'
 * await dispose()
 * ```
 *
 * @stability unstable
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServer from "effect/http/HttpServer"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type { CircuitBreakerRegistry } from "../CircuitBreakerRegistry.ts"
import { Api } from "./AdminApi.ts"
import { SAFE_HEADERS } from "./internal/responses.ts"
import { routes } from "./internal/routes.ts"
import type { Settings } from "./internal/settings.ts"
import * as Variables from "./internal/variables.ts"
import { checkCount, checkDuration, checkOptions, optionNames } from "../internal/check.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * The health of the program as a health source returns it.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface HealthSummary {
  readonly status: "healthy" | "degraded" | "unhealthy"
  /** Shown in `/health/detailed` as `checks`. */
  readonly details?: Schema.Json | undefined
}

/**
 * Which requests may read without a token: those from the same machine
 * (`"loopback"`), none (`"token"`) or all (`"anyone"`).
 *
 * **Gotchas**
 *
 * Behind a proxy on the same machine, all requests come from that machine. A
 * proxy that sets a header such as `X-Forwarded-For` is recognised.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type ReadAccess = "loopback" | "token" | "anyone"

/**
 * Options that are set in code, with or without `layerConfig`.
 *
 * **Details**
 *
 * - `prefix`: prefix of all paths, such as `/resilience`; none by default.
 * - `health`: decides `/health`; by default the `HealthMonitor`, if there is one
 *   where the Layer is built, otherwise the circuits. A source that fails, or
 *   takes longer than five seconds, counts as `unhealthy`.
 * - `maxBodySize`: bytes of a request body; 16,384 by default.
 * - `maxRequests`: requests in progress or with unread answers; 64 by default.
 *   One address may have half of them, one connection an eighth. Further
 *   requests, except `/health/live`, are answered with 503 and `Retry-After`.
 * - `maxAnswerBytes`: bytes of these answers, shared the same way; 33,554,432 by
 *   default.
 * - `maxSubscribers`: clients that read events at once; 100 by default. One
 *   address may have half of them. A client that takes nothing for 30 seconds
 *   loses its place.
 * - `subscriberBuffer`: events that wait for one slow reader, up to 1 MiB; 256 by
 *   default. The oldest are dropped, and the reader is told how many.
 * - `replay`: changes kept for clients that reconnect, up to 4 MiB; 1,000 by
 *   default.
 * - `heartbeat`: interval of writes to an idle connection; 15 seconds by default.
 * - `historyPerCircuit`: transitions kept per circuit; 100 by default.
 * - `historyTotal`: transitions kept in total; 10,000 by default. The circuit
 *   that has not changed for longest loses its transitions first.
 * - `dashboard`: serves the page at `/dashboard`; `true` by default.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface CommonOptions {
  readonly prefix?: `/${string}` | undefined
  readonly health?: Effect.Effect<HealthSummary> | undefined
  readonly maxBodySize?: number | undefined
  readonly maxRequests?: number | undefined
  readonly maxAnswerBytes?: number | undefined
  readonly maxSubscribers?: number | undefined
  readonly subscriberBuffer?: number | undefined
  readonly replay?: number | undefined
  readonly heartbeat?: Duration.Input | undefined
  readonly historyPerCircuit?: number | undefined
  readonly historyTotal?: number | undefined
  readonly dashboard?: boolean | undefined
}

/**
 * Options of `layer`.
 *
 * **Details**
 *
 * - `token`: at least 16 ASCII characters without spaces, neither well-known
 *   words nor a few characters again and again. Required unless `changes` is
 *   `false`.
 * - `changes`: allows changes of circuits; `true` by default.
 * - `readAccess`: which requests may read without a token; `"loopback"` by
 *   default.
 * - `allowedHosts`: host names of the API, such as `"admin.example.com"`, with a
 *   port or for all ports. `localhost` and addresses are always accepted.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Options extends CommonOptions {
  readonly token?: Redacted.Redacted | undefined
  readonly changes?: boolean | undefined
  readonly readAccess?: ReadAccess | undefined
  readonly allowedHosts?: ReadonlyArray<string> | undefined
}

const COMMON: { readonly [K in keyof CommonOptions]-?: true } = {
  prefix: true,
  health: true,
  maxBodySize: true,
  maxRequests: true,
  maxAnswerBytes: true,
  maxSubscribers: true,
  subscriberBuffer: true,
  replay: true,
  heartbeat: true,
  historyPerCircuit: true,
  historyTotal: true,
  dashboard: true
}

const COMMON_OPTIONS = /* @__PURE__ */ optionNames<CommonOptions>(COMMON)

const OPTIONS = /* @__PURE__ */ optionNames<Options>({
  ...COMMON,
  token: true,
  changes: true,
  readAccess: true,
  allowedHosts: true
})

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/**
 * Adds the admin API to the routes of an `HttpRouter`.
 *
 * **Details**
 *
 * Throws a `RangeError` for invalid options, including changes without a token.
 *
 * **Gotchas**
 *
 * The program's router limits a circuit's name in a path to 100 characters,
 * unless its `routerConfig` sets a higher `maxParamLength`.
 *
 * @see {@link layerConfig} for options from the environment
 * @see {@link serve} for a server of its own
 *
 * @stability unstable
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<never, never, HttpRouter.HttpRouter | CircuitBreakerRegistry> => {
  checkOptions("Admin.layer", options, OPTIONS)
  const [problem] = Variables.problemsOfAccess({
    token: options.token,
    changes: options.changes ?? true,
    readAccess: options.readAccess ?? "loopback",
    allowedHosts: options.allowedHosts ?? []
  }, (option) => option)
  if (problem !== undefined) throw new RangeError(`Admin.layer: ${problem}`)
  return routes(toSettings(options))
}

/**
 * Adds the admin API to the routes of an `HttpRouter`, with options from the
 * environment.
 *
 * **Details**
 *
 * | variable | default | |
 * |---|---|---|
 * | `RESILIENCE_ADMIN_TOKEN` | none | the bearer token; needed unless changes are off |
 * | `RESILIENCE_ADMIN_CHANGES` | `true` | whether circuits can be changed |
 * | `RESILIENCE_ADMIN_READ_ACCESS` | `loopback` | whether reading needs the token: not from this machine (`loopback`), always (`token`), never (`anyone`) |
 * | `RESILIENCE_ADMIN_ALLOWED_HOSTS` | none | names under which this is reached, as `a.example.com,b.example.com:8080` |
 *
 * Fails with a `ConfigError` if a variable is invalid, or if one that starts with
 * `RESILIENCE_ADMIN_` is unknown.
 * The error never shows the token.
 *
 * **Example** (Refusing to start without a token)
 *
 * ```ts import.meta.vitest
 * import { ConfigProvider, Effect, Layer } from "effect"
 * import { CircuitBreakerRegistry } from "effect-resilience"
 * import { Admin } from "effect-resilience/admin"
 * import { HttpRouter } from "effect/http"
 *
 * const App = Admin.layerConfig().pipe(
 *   Layer.provide([CircuitBreakerRegistry.layer(), HttpRouter.layer]),
 *   Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: {} })))
 * )
 *
 * const error = await Effect.runPromise(Effect.flip(Effect.scoped(Layer.build(App))))
 * error.cause.message // => "RESILIENCE_ADMIN_TOKEN must be set to 16 or more ASCII characters without spaces, unless RESILIENCE_ADMIN_CHANGES is false"
 * ```
 *
 * @stability unstable
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: CommonOptions = {}
): Layer.Layer<never, Config.ConfigError, HttpRouter.HttpRouter | CircuitBreakerRegistry> => {
  // Options are checked where they are written, not where the Layer is built.
  toSettings(checkOptions("Admin.layerConfig", options, COMMON_OPTIONS))
  return Layer.unwrap(
    Effect.map(Variables.loadAccess, (access) => routes(toSettings({ ...options, ...access })))
  )
}

/**
 * Runs the admin API as its own server, on the `HttpServer` of your platform.
 *
 * **Details**
 *
 * Reads the variables of `layerConfig`. Configure the server with `listen`. `/`
 * redirects to the dashboard.
 *
 * **Example** (Running it with Node)
 *
 * ```ts
 * import { NodeHttpServer } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { CircuitBreakerRegistry } from "effect-resilience"
 * import { Admin } from "effect-resilience/admin"
 * import { createServer } from "node:http"
 *
 * // Provide the same registry to the rest of the program.
 * export const AdminServer = Admin.serve().pipe(
 *   Layer.provide(NodeHttpServer.layerConfig(createServer, Admin.listen)),
 *   Layer.provide(CircuitBreakerRegistry.layerConfig())
 * )
 * ```
 *
 * @stability unstable
 * @category layers
 * @since 0.1.0
 */
export const serve = (
  options: CommonOptions = {}
): Layer.Layer<never, Config.ConfigError, HttpServer.HttpServer | CircuitBreakerRegistry> => {
  const { dashboard, prefix } = toSettings(options)
  const start = dashboard
    ? HttpRouter.add("GET", "/", HttpServerResponse.redirect(`${prefix}/dashboard`, { headers: SAFE_HEADERS }))
    : Layer.empty
  return HttpRouter.serve(Layer.merge(layerConfig(options), start), {
    // A log line per health probe is noise; changes are logged anyway.
    disableLogger: true,
    routerConfig: { maxParamLength: MAX_NAME_LENGTH }
  })
}

const MAX_NAME_LENGTH = 1000

// -----------------------------------------------------------------------------
// config
// -----------------------------------------------------------------------------

/**
 * Where a server of its own listens.
 *
 * **Details**
 *
 * | variable | default | |
 * |---|---|---|
 * | `RESILIENCE_ADMIN_HOST` | `127.0.0.1` | the address to bind; other than loopback only with `RESILIENCE_ADMIN_TOKEN` |
 * | `RESILIENCE_ADMIN_PORT` | 9700 | 0 is any port that is free |
 *
 * `gracefulShutdownTimeout` is one second.
 *
 * **Example** (The defaults)
 *
 * ```ts import.meta.vitest
 * import { ConfigProvider, Effect } from "effect"
 * import { Admin } from "effect-resilience/admin"
 *
 * const { host, port } = await Effect.runPromise(Admin.listen.parse(ConfigProvider.fromEnv({ env: {} })))
 * host // => "127.0.0.1"
 * port // => 9700
 * ```
 *
 * @stability unstable
 * @category config
 * @since 0.1.0
 */
export const listen: Config.Config<{
  readonly host: string
  readonly port: number
  readonly gracefulShutdownTimeout: Duration.Input
}> = Config.map(Variables.orFail(Variables.address), ({ host, port }) => ({
  host,
  port,
  gracefulShutdownTimeout: "1 second" as const
}))

/**
 * The settings of the variables of `layerConfig` and `listen`.
 *
 * **Details**
 *
 * - `settings`: the decoded values, with defaults for those that are missing or
 *   invalid.
 * - `variables`: the names of those that are set.
 * - `problems`: the problems that `layerConfig` and `listen` would fail with, a
 *   line each. They never have the token.
 *
 * @see {@link inspect}
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Inspection {
  readonly settings: {
    readonly token: Redacted.Redacted | undefined
    readonly changes: boolean
    readonly readAccess: ReadAccess
    readonly allowedHosts: ReadonlyArray<string>
    readonly host: string
    readonly port: number
  }
  readonly variables: ReadonlyArray<string>
  readonly problems: ReadonlyArray<string>
}

/**
 * Reads the variables of `layerConfig` and `listen`, as far as they are right.
 * Never fails.
 *
 * **Example** (Finding the mistakes before a deployment)
 *
 * ```ts import.meta.vitest
 * import { ConfigProvider, Effect } from "effect"
 * import { Admin } from "effect-resilience/admin"
 *
 * const provider = ConfigProvider.fromEnv({
 *   env: { RESILIENCE_ADMIN_CHANGES: "no", RESILIENCE_ADMIN_PORT: "many" }
 * })
 *
 * const { problems, settings } = await Effect.runPromise(
 *   Effect.provideService(Admin.inspect, ConfigProvider.ConfigProvider, provider)
 * )
 *
 * problems // => ['RESILIENCE_ADMIN_PORT="many" must be a port from 0 to 65535, 0 for any that is free']
 * settings.changes // => false
 * settings.port // => 9700
 * ```
 *
 * @stability unstable
 * @category config
 * @since 0.1.0
 */
export const inspect: Effect.Effect<Inspection> = Variables.inspect

const toSettings = (options: Options): Settings => {
  const count = (field: keyof CommonOptions, value: number | undefined, otherwise: number) =>
    checkCount(`Admin.layer: ${field}`, value ?? otherwise)
  return {
    token: options.token,
    changes: options.changes ?? true,
    readAccess: options.readAccess ?? "loopback",
    allowedHosts: options.allowedHosts ?? [],
    prefix: checkPrefix(options.prefix ?? ""),
    maxBodySize: count("maxBodySize", options.maxBodySize, 16_384),
    maxRequests: count("maxRequests", options.maxRequests, 64),
    maxAnswerBytes: count("maxAnswerBytes", options.maxAnswerBytes, 33_554_432),
    maxSubscribers: count("maxSubscribers", options.maxSubscribers, 100),
    subscriberBuffer: count("subscriberBuffer", options.subscriberBuffer, 256),
    replay: count("replay", options.replay, 1000),
    heartbeat: checkDuration("Admin.layer: heartbeat", options.heartbeat ?? "15 seconds", {
      positive: true,
      finite: true
    }),
    historyPerCircuit: count("historyPerCircuit", options.historyPerCircuit, 100),
    historyTotal: count("historyTotal", options.historyTotal, 10_000),
    health: options.health,
    dashboard: options.dashboard ?? true
  }
}

const checkPrefix = (prefix: string): string => {
  if (prefix === "" || prefix === "/") return ""
  if (/^(?:\/[A-Za-z0-9._~-]+)+\/?$/.test(prefix)) return prefix.replace(/\/$/, "")
  throw new RangeError(`Admin.layer: prefix must be a path such as "/resilience", got ${JSON.stringify(prefix)}`)
}

// -----------------------------------------------------------------------------
// client
// -----------------------------------------------------------------------------

/**
 * A typed client of the admin API.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Client = HttpApiClient.ForApi<typeof Api>

/**
 * Makes a typed client of the admin API.
 *
 * **Details**
 *
 * - `baseUrl`: URL with the prefix, such as `http://127.0.0.1:9700/resilience`.
 * - `token`: sent with every request.
 *
 * **Example** (Forcing a circuit open)
 *
 * ```ts
 * import { Config, Effect } from "effect"
 * import { Admin } from "effect-resilience/admin"
 * import { FetchHttpClient } from "effect/http"
 *
 * export const program = Effect.gen(function*() {
 *   const token = yield* Config.Redacted("RESILIENCE_ADMIN_TOKEN")
 *   const admin = yield* Admin.client({ baseUrl: "http://127.0.0.1:9700", token })
 *   return yield* admin.circuits.forceOpen({
 *     params: { name: "payment-api" },
 *     payload: { duration: "10 minutes", by: "ada", reason: "provider maintenance" }
 *   })
 * }).pipe(Effect.provide(FetchHttpClient.layer))
 * ```
 *
 * @stability unstable
 * @category constructors
 * @since 0.1.0
 */
export const client = (options: {
  readonly baseUrl: string | URL
  readonly token?: Redacted.Redacted | undefined
}): Effect.Effect<Client, never, HttpClient.HttpClient> => {
  const { token } = options
  return HttpApiClient.make(Api, {
    baseUrl: options.baseUrl.toString().replace(/\/+$/, ""),
    transformClient: token === undefined ? undefined : HttpClient.mapRequest(HttpClientRequest.bearerToken(token))
  })
}
