/**
 * The server side of the admin API: routes for an `HttpRouter`.
 */
import * as Arr from "effect/Array"
import * as ByteSize from "effect/ByteSize"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { HttpApiSchemaError } from "effect/http-api/HttpApiError"
import * as OpenApi from "effect/http-api/OpenApi"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import { HttpServerError } from "effect/http/HttpServerError"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Order from "effect/Order"
import * as Redacted from "effect/Redacted"
import * as RcRef from "effect/RcRef"
import * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Semaphore from "effect/Semaphore"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { unhandled } from "effect/Types"
import { type CircuitBreaker, withNote } from "../../CircuitBreaker.ts"
import { CircuitBreakerRegistry, type SystemStatus } from "../../CircuitBreakerRegistry.ts"
import * as CircuitMetrics from "../../CircuitMetrics.ts"
import { HealthMonitor } from "../../HealthMonitor.ts"
import * as HealthReport from "../../HealthReport.ts"
import type { HealthSummary } from "../Admin.ts"
import * as AdminApi from "../AdminApi.ts"
import { effectiveConfig } from "./config.ts"
import { Feed, History } from "./feed.ts"
import * as Guard from "./guard.ts"
import { Admission, type Client } from "./load.ts"
import { findCircuit } from "../../internal/registry/inside.ts"
import * as Page from "./dashboardPage.ts"
import { parseDuration } from "../../internal/time/durationText.ts"
import { type TierFlows, watchFlows } from "../../internal/tiers/flow.ts"
import { writeLog } from "../../internal/telemetry/writeLog.ts"
import { ALARMING_FAILURE_RATE, urgency } from "../../internal/words.ts"

export interface Settings {
  readonly token: Redacted.Redacted | undefined
  readonly changes: boolean
  readonly readAccess: "loopback" | "token" | "anyone"
  readonly allowedHosts: ReadonlyArray<string>
  readonly prefix: string
  readonly maxBodySize: number
  readonly maxRequests: number
  readonly maxAnswerBytes: number
  readonly maxSubscribers: number
  readonly subscriberBuffer: number
  readonly replay: number
  readonly heartbeat: Duration.Duration
  readonly historyPerCircuit: number
  readonly historyTotal: number
  readonly health: Effect.Effect<HealthSummary> | undefined
  readonly dashboard: boolean
}

type Request = HttpServerRequest

export const routes = (settings: Settings): Layer.Layer<never, never, HttpRouter.HttpRouter | CircuitBreakerRegistry> =>
  Layer.unwrap(
    Effect.map(
      remember(settings),
      (memory) =>
        Layer.mergeAll(
          HttpApiBuilder.layer(AdminApi.Api),
          otherMethods(settings),
          settings.dashboard ? dashboard(settings, memory.admission) : Layer.empty
        ).pipe(
          Layer.provide([
            healthHandlers(memory),
            circuitHandlers(memory),
            eventHandlers(memory),
            configHandlers(settings, memory)
          ]),
          Layer.provide([guardLayer(settings, memory.admission), authorizationLayer(settings)]),
          Layer.provide(underPrefix(settings.prefix)),
          // Only files and forms need them, and there are none.
          Layer.provide(HttpServer.layerServices)
        )
    )
  )

const underPrefix = (prefix: string): Layer.Layer<HttpRouter.HttpRouter, never, HttpRouter.HttpRouter> =>
  Layer.effect(
    HttpRouter.HttpRouter,
    Effect.map(HttpRouter.HttpRouter, (router) => prefix === "" ? router : router.prefixed(prefix))
  )

// -----------------------------------------------------------------------------
// memory
// -----------------------------------------------------------------------------

interface Memory {
  readonly registry: CircuitBreakerRegistry
  readonly history: History
  readonly feed: Feed
  readonly flows: TierFlows
  readonly admission: Admission
  /** Feeds calls, too, until the scope closes. */
  readonly calls: Effect.Effect<unknown, never, Scope.Scope>
  readonly health: Effect.Effect<HealthSummary> | undefined
}

const remember = Effect.fnUntraced(function*(settings: Settings) {
  const registry = yield* CircuitBreakerRegistry
  const history = new History({ perCircuit: settings.historyPerCircuit, total: settings.historyTotal })
  const run = (yield* Clock.currentTimeMillis).toString(36)
  const feed = new Feed(run, {
    maxSubscribers: settings.maxSubscribers,
    buffer: settings.subscriberBuffer,
    replay: settings.replay
  })
  yield* registry.changes.pipe(
    Stream.runForEach((change) =>
      follow(() => {
        if (change._tag === "StateChanged") history.add(change)
        feed.publish(change)
      })
    ),
    Effect.forkScoped({ startImmediately: true })
  )
  // A registry whose calls somebody listens to makes an event of each, so only while somebody wants them.
  const calls = yield* RcRef.make({
    acquire: registry.events.pipe(
      Stream.runForEach((event) => follow(() => event._tag === "CallEnded" && feed.publishCall(event))),
      Effect.forkScoped({ startImmediately: true })
    )
  })
  yield* Effect.sync(() => feed.beat()).pipe(
    Effect.schedule(Schedule.spaced(settings.heartbeat)),
    Effect.forkScoped
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => feed.end()))
  return {
    registry,
    history,
    feed,
    flows: watchFlows(registry),
    admission: new Admission({ requests: settings.maxRequests, bytes: settings.maxAnswerBytes }),
    calls: RcRef.get(calls),
    health: settings.health ?? (yield* healthOfMonitor)
  }
})

/** An event that cannot be told must not end the telling of those that come after. */
const follow = (f: () => void): Effect.Effect<void> =>
  Effect.catchDefect(Effect.sync(f), (defect) => writeLog(Effect.logError("admin_event_failed", defect)))

// -----------------------------------------------------------------------------
// who may ask
// -----------------------------------------------------------------------------

const SAFE_HEADERS = { "cache-control": "no-store", "x-content-type-options": "nosniff" }

const respond = (error: AdminApi.AdminError, headers: Record<string, string> = {}) =>
  HttpServerResponse.jsonUnsafe({ ...error, _tag: error._tag, message: error.message }, {
    status: AdminApi.statusOf(error)!,
    headers: { ...SAFE_HEADERS, ...headers }
  })

const forbidden = (message: string) => new AdminApi.ForbiddenError({ message })

const tooLarge = (limit: number) =>
  new AdminApi.BodyTooLargeError({ limit, message: `the body must be at most ${limit} bytes` })

const guardLayer = (settings: Settings, admission: Admission) => {
  const inTurn = Semaphore.makeUnsafe(1)
  return Layer.succeed(AdminApi.Guard, (handler, { endpoint }) =>
    Effect.flatMap(HttpServerRequest, (request) => {
      const refusal = refuse(settings, request)
      if (refusal !== undefined) return Effect.succeed(refusal)
      const answered = handler.pipe(
        Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.fromInputUnsafe(settings.maxBodySize)),
        Effect.map(HttpServerResponse.setHeaders(SAFE_HEADERS)),
        Effect.catch((error: unknown) => answer(error) ?? Effect.fail(error as never)),
        Effect.catchDefect((defect) => answerUnreadable(settings, defect) ?? Effect.die(defect))
      )
      // Whether the program answers must be seen however busy this is.
      if (endpoint.identifier === "live") return answered
      return admit(admission, request, answered, COMPUTED.has(endpoint.identifier) ? inTurn : undefined)
    }))
}

/**
 * Endpoints whose answers are large and wait for nothing. One at a time: several
 * at once would take as long, and be made in vain if there is no room for them.
 */
const COMPUTED: ReadonlySet<string> = new Set(["list", "get", "history", "transitions", "tiers", "openapi"])

/** How long a client may take to read an answer. Its connection is closed after that. */
const READ_TIMEOUT = "30 seconds"

/**
 * Makes an answer if there is room for it, and keeps its room until the client
 * has read it or is gone.
 */
const admit = <E, R>(
  admission: Admission,
  request: Request,
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
  inTurn?: Semaphore.Semaphore
): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | Scope.Scope> =>
  Effect.gen(function*() {
    const client = clientOf(request)
    const place = yield* Effect.acquireRelease(
      Effect.sync(() => admission.enter(client)),
      (place) => Effect.sync(() => place?.leave())
    )
    if (place === undefined) return tooBusy()
    const carried = Effect.suspend(() =>
      place.isCrowded() ? Effect.undefined : Effect.map(answer, (response) => {
        const { body } = response
        return body._tag !== "Uint8Array" || place.carry(body.contentLength) ? response : undefined
      })
    )
    const response = yield* inTurn === undefined ? carried : inTurn.withPermits(1)(carried)
    if (response === undefined) return tooBusy()
    const { body } = response
    // There is a limit of its own for those who read the events, and they stay.
    if (body._tag === "Stream") place.leave()
    if (body._tag !== "Uint8Array") return response
    yield* Effect.sleep(READ_TIMEOUT).pipe(
      Effect.andThen(Effect.sync(() => {
        place.leave()
        disconnect(client)
      })),
      Effect.forkScoped
    )
    return readToTheEnd(request, response, body)
  })

const tooBusy = () => {
  const message = "as many answers as are allowed are under way or not read yet; try again later"
  return respond(new AdminApi.TooManyRequestsError({ message }), { "retry-after": "1" })
}

/**
 * Makes the scope of the request last until the client has all of the answer:
 * the servers of Node wait for that with a raw body, those of the web platform
 * with a stream.
 */
const readToTheEnd = (
  { source }: Request,
  response: HttpServerResponse.HttpServerResponse,
  { body, contentLength, contentType }: HttpBody.Uint8Array
) =>
  HttpServerResponse.setBody(
    response,
    source instanceof globalThis.Request
      ? HttpBody.stream(Stream.succeed(body), contentType, contentLength)
      : HttpBody.raw(body, { contentType, contentLength })
  )

const clientOf = (request: Request): Client => {
  const { socket } = request.source as { readonly socket?: unknown }
  return {
    connection: typeof socket === "object" && socket !== null ? socket : undefined,
    address: peerOf(request) ?? addressOf(request)
  }
}

const disconnect = ({ connection }: Client): void => {
  const { destroy } = (connection ?? {}) as { readonly destroy?: unknown }
  if (typeof destroy === "function") destroy.call(connection)
}

const refusalOf = ({ allowedHosts }: Settings, { headers, method, originalUrl }: Request) =>
  Guard.refusalOf({ headers, method, url: originalUrl }, allowedHosts)

/** What the head of a request is refused for, whatever the endpoint. */
const refuse = (settings: Settings, request: Request): HttpServerResponse.HttpServerResponse | undefined => {
  const refusal = refusalOf(settings, request)
  if (refusal !== undefined) return respond(forbidden(refusal))
  const contentType = request.headers["content-type"]
  if (request.method !== "POST" || Guard.isJson(contentType)) return undefined
  const given = contentType === undefined ? "none" : Guard.quote(contentType)
  const message = `Content-Type must be application/json, got ${given}`
  return respond(new AdminApi.UnsupportedMediaTypeError({ message }))
}

const formatIssues = SchemaIssue.makeFormatterStandardSchemaV1()

const answer = (error: unknown): Effect.Effect<HttpServerResponse.HttpServerResponse> | undefined => {
  if (error instanceof AdminApi.UnauthorizedError) {
    return Effect.succeed(respond(error, { "www-authenticate": "Bearer" }))
  }
  if (error instanceof AdminApi.TooManySubscribersError) return Effect.succeed(respond(error, { "retry-after": "5" }))
  if (AdminApi.statusOf(error) !== undefined) return Effect.succeed(respond(error as AdminApi.AdminError))
  // What this server answers with is not the client's fault.
  if (!HttpApiSchemaError.is(error) || error.kind === "Body" || error.kind === "ResponseHeaders") return undefined
  const part = { Params: "path", Headers: "header", Query: "query", Payload: "body" }[error.kind]
  const message = formatIssues(error.cause.issue).issues
    .map(({ message, path }) => `${[part, ...path!.map(String)].join(".")}: ${message}`)
    .join("; ")
  return Effect.succeed(respond(new AdminApi.InvalidRequestError({ message: message.slice(0, 1000) })))
}

const answerUnreadable = (settings: Settings, defect: unknown) => {
  if (!(defect instanceof HttpServerError) || defect.reason._tag !== "RequestParseError") return undefined
  return Effect.succeed(respond(
    defect.reason.reason === "BodyTooLarge"
      ? tooLarge(settings.maxBodySize)
      : new AdminApi.InvalidRequestError({ message: "body: could not be read" })
  ))
}

const authorizationLayer = (settings: Settings) => {
  const secret = settings.token === undefined ? undefined : Guard.secretOf(Redacted.value(settings.token))
  return Layer.succeed(AdminApi.Authorization, {
    bearer: (handler, { credential, endpoint }) =>
      Effect.flatMap(HttpServerRequest, (request): Effect.Effect<
        HttpServerResponse.HttpServerResponse,
        unhandled | AdminApi.UnauthorizedError | AdminApi.ForbiddenError
      > => {
        const isChange = endpoint.method === "POST"
        const given = Redacted.value(credential)
        if (isChange && !settings.changes) {
          return refuseChange(endpoint.identifier, request, forbidden("changes are turned off here"))
        }
        if (secret !== undefined && given !== "" && Guard.isSecret(secret, given)) return handler
        if (isChange) {
          const message = given === "" ? "a change needs a bearer token" : "the bearer token is wrong"
          return refuseChange(endpoint.identifier, request, new AdminApi.UnauthorizedError({ message }))
        }
        if (given === "" && mayRead(settings, request)) return handler
        const message = given !== ""
          ? "the bearer token is wrong"
          : settings.readAccess === "token"
          ? "reading needs a bearer token"
          : "reading needs a bearer token, except from this machine"
        return Effect.fail(new AdminApi.UnauthorizedError({ message }))
      })
  })
}

const mayRead = ({ readAccess }: Settings, request: Request): boolean =>
  readAccess === "anyone" ||
  (readAccess === "loopback" && Guard.isFromLoopback(request.headers, [addressOf(request), peerOf(request)]))

const addressOf = (request: Request): string | undefined => Option.getOrUndefined(request.remoteAddress)

const peerOf = (request: Request): string | undefined => Option.getOrUndefined(request.peerAddress)

const refuseChange = <E extends { readonly message: string }>(action: string, request: Request, error: E) =>
  Effect.logWarning("admin_change_refused").pipe(
    Effect.annotateLogs({ action, why: error.message, remote_address: addressOf(request) ?? "unknown" }),
    writeLog,
    Effect.andThen(Effect.fail(error))
  )

/** Says which methods a path has, to whoever uses another. */
const otherMethods = (settings: Settings) =>
  HttpRouter.use(Effect.fnUntraced(function*(router) {
    const paths = new Map<`/${string}`, Array<string>>()
    if (settings.dashboard) paths.set("/dashboard", ["GET"])
    for (const group of Object.values(AdminApi.Api.groups)) {
      for (const { method, path } of Object.values(group.endpoints)) {
        paths.set(path, [...(paths.get(path) ?? []), method])
      }
    }
    for (const [path, methods] of paths) {
      // The router takes HEAD for GET.
      const allow = methods.flatMap((method) => method === "GET" ? ["GET", "HEAD"] : [method]).join(", ")
      for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"] as const) {
        if (methods.includes(method)) continue
        yield* router.add(method, path, (request) => {
          const refusal = refusalOf(settings, request)
          const message = `${request.method} is not allowed here; allowed is ${allow}`
          return Effect.succeed(
            refusal === undefined
              ? respond(new AdminApi.MethodNotAllowedError({ message }), { allow })
              : respond(forbidden(refusal))
          )
        })
      }
    }
  }))

/** The page has no figures of its own: it asks for them, with the token if need be. */
const dashboard = (settings: Settings, admission: Admission) =>
  HttpRouter.add("GET", "/dashboard", (request) => {
    const refusal = refusalOf(settings, request)
    const page = Effect.succeed(
      refusal === undefined
        ? HttpServerResponse.text(Page.html, {
          contentType: "text/html; charset=utf-8",
          headers: {
            ...SAFE_HEADERS,
            "content-security-policy": Page.contentSecurityPolicy,
            "referrer-policy": "no-referrer"
          }
        })
        : respond(forbidden(refusal))
    )
    return admit(admission, request, page)
  })

// -----------------------------------------------------------------------------
// health
// -----------------------------------------------------------------------------

const SHOWN_CIRCUITS = 100
const SOURCE_TIMEOUT = "5 seconds"

/** The `HealthMonitor`, if there is one: it knows which circuits are critical, and more than circuits. */
const healthOfMonitor = Effect.map(
  Effect.serviceOption(HealthMonitor),
  Option.match({
    onNone: () => undefined,
    onSome: ({ latest }) =>
      Effect.map(latest, (report): HealthSummary => {
        const checks = HealthReport.worstFirst(report)
        const shown = HealthReport.toJson({ ...report, checks: checks.slice(0, SHOWN_CIRCUITS) })
        const details = { ...shown, checks_not_shown: Math.max(0, checks.length - SHOWN_CIRCUITS) }
        return { status: report.status, details }
      })
  })
)

/** Says how all stands, and from what: a health source that is stuck is not healthy. */
const askHealth = Effect.fnUntraced(function*({ health, registry }: Memory) {
  const system = yield* registry.systemStatus
  if (health === undefined) return { status: system.status, system, checks: null }
  const report = yield* health.pipe(
    Effect.timeoutOrElse({
      duration: SOURCE_TIMEOUT,
      orElse: () => Effect.succeed<HealthSummary>({ status: "unhealthy", details: `no answer in ${SOURCE_TIMEOUT}` })
    }),
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.failCause(cause) : Effect.as(
        writeLog(Effect.logError("admin_health_source_failed", cause)),
        { status: "unhealthy", details: "the health source failed" } satisfies HealthSummary
      )
    )
  )
  return { status: report.status, system, checks: report.details ?? null }
})

const healthHandlers = (memory: Memory) =>
  HttpApiBuilder.group(
    AdminApi.Api,
    "health",
    (handlers) =>
      handlers.handleAll({
        check: () => Effect.map(askHealth(memory), ({ status }) => ({ status })),
        live: () => Effect.succeed({ status: "alive" as const }),
        detailed: () => statusOf(memory)
      })
  )

const statusOf = (memory: Memory) =>
  Effect.flatMap(
    askHealth(memory),
    ({ checks, status, system }) => Effect.map(detailsOf(memory, system), (details) => ({ status, ...details, checks }))
  )

const detailsOf = Effect.fnUntraced(function*({ registry }: Memory, system: SystemStatus) {
  const notable = (yield* registry.statuses).filter(({ failureRate, state }) =>
    state !== "Closed" || failureRate > ALARMING_FAILURE_RATE
  )
  const shown = notable.slice(0, SHOWN_CIRCUITS).map(CircuitMetrics.toJson)
  return {
    total_circuits: system.totalCircuits,
    circuits_by_state: {
      closed: system.circuitsByState.Closed,
      open: system.circuitsByState.Open,
      half_open: system.circuitsByState.HalfOpen,
      forced_open: system.circuitsByState.ForcedOpen,
      disabled: system.circuitsByState.Disabled,
      metrics_only: system.circuitsByState.MetricsOnly
    },
    open_circuits: system.openCircuits.slice(0, SHOWN_CIRCUITS),
    total_calls: system.totalCalls,
    rejected_calls: system.rejectedCalls,
    circuits: Object.fromEntries(
      shown.map(({ error_rate, failure_count, name, state, time_until_retry }) => [
        name,
        { circuit_breaker: state, failure_count, error_rate, time_until_retry }
      ])
    ),
    circuits_not_shown: notable.length - shown.length
  }
})

// -----------------------------------------------------------------------------
// circuits
// -----------------------------------------------------------------------------

const notFound = (circuit: string) =>
  new AdminApi.CircuitNotFoundError({ circuit, message: `there is no circuit ${Guard.quote(circuit)}` })

const find = ({ registry }: Memory, name: string) =>
  Effect.flatMap(
    registry.get(name),
    (breaker) => Option.isSome(breaker) ? Effect.succeed(breaker.value) : Effect.fail(notFound(name))
  )

const toJson = (breaker: CircuitBreaker): Effect.Effect<AdminApi.Circuit> =>
  Effect.zipWith(breaker.metrics, breaker.policy, (metrics, policy) => ({
    ...CircuitMetrics.toJson(metrics),
    policy: policy.description,
    thresholds: {
      failure_count: policy.consecutiveFailures ?? null,
      error_rate: policy.failureRate ?? null,
      slow_call_rate: policy.slowCallRate ?? null,
      slow_call_duration_ms: policy.slowCallDuration === undefined ? null : Duration.toMillis(policy.slowCallDuration),
      minimum_requests: policy.minimumCalls
    }
  }))

/** The circuits of these names that live. */
const living = ({ registry }: Memory, names: ReadonlyArray<string>) =>
  Effect.sync(() =>
    names.flatMap((name) => {
      const breaker = findCircuit(registry, name)
      return breaker === undefined ? [] : [breaker]
    })
  )

const listCircuits = Effect.fnUntraced(function*(memory: Memory, query: {
  readonly offset?: number | undefined
  readonly limit?: number | undefined
  readonly state?: AdminApi.Circuit["state"] | undefined
  readonly search?: string | undefined
  readonly sort?: "created" | "attention" | undefined
}) {
  const { registry } = memory
  const { limit = AdminApi.DEFAULT_LIMIT, offset = 0, search, sort, state } = query
  let names: ReadonlyArray<string>
  if (state === undefined && sort !== "attention") names = yield* registry.names
  else {
    const all = (yield* registry.statuses).map(CircuitMetrics.toJson)
    const chosen = state === undefined ? all : all.filter((circuit) => circuit.state === state)
    names = (sort === "attention" ? Arr.sortWith(chosen, urgency, Order.Number) : chosen).map(({ name }) => name)
  }
  const part = search?.toLowerCase()
  const found = part === undefined ? names : names.filter((name) => name.toLowerCase().includes(part))
  const breakers = yield* living(memory, found.slice(offset, offset + limit))
  return { circuits: yield* Effect.forEach(breakers, toJson), total: found.length, offset, limit }
})

const historyOf = Effect.fnUntraced(function*(memory: Memory, name: string, limit = AdminApi.DEFAULT_LIMIT) {
  // Of a circuit that was forgotten, the history may still be known.
  const transitions = memory.history.of(name)
  if (transitions === undefined) yield* find(memory, name)
  return { circuit: name, transitions: transitions?.slice(-limit) ?? [] }
})

const tierFlows = Effect.fnUntraced(function*({ flows, registry }: Memory) {
  const operations = flows.all.map(({ calls, failed, operation, tiers }) =>
    Effect.map(
      Effect.forEach(tiers, ({ circuit, failed, name, served, skipped }) => {
        const breaker = findCircuit(registry, circuit)
        const now = breaker === undefined
          ? Effect.succeed(undefined)
          : Effect.map(breaker.metrics, CircuitMetrics.toJson)
        return Effect.map(now, (json) => ({
          name,
          circuit,
          state: json?.state ?? null,
          time_until_retry: json?.time_until_retry ?? null,
          served,
          failed,
          skipped
        }))
      }),
      (tiers) => ({ operation, calls, failed_calls: failed, tiers })
    )
  )
  return { operations: yield* Effect.all(operations) }
})

const noteOf = ({ by, reason }: AdminApi.Change): string => `${reason} (by ${by})`

interface Command extends AdminApi.Change {
  readonly action: string
  readonly duration?: Duration.Duration | undefined
  readonly run: (breaker: CircuitBreaker) => Effect.Effect<void>
}

/** Changes a circuit and logs it; a client that goes away between the two does not hide it. */
const changeCircuit = (memory: Memory, name: string, request: Request, command: Command) =>
  Effect.uninterruptible(Effect.gen(function*() {
    const breaker = yield* find(memory, name)
    const before = CircuitMetrics.toJson(yield* breaker.metrics).state
    yield* withNote(command.run(breaker), noteOf(command))
    const after = yield* toJson(breaker)
    yield* logChange(request, command, { circuit_breaker: name, old_state: before, new_state: after.state })
    return after
  }))

const logChange = (
  request: Request,
  { action, by, duration, reason }: Omit<Command, "run">,
  what: Readonly<Record<string, string | number>>
) =>
  Effect.logWarning(action).pipe(
    Effect.annotateLogs({
      ...what,
      ...(duration === undefined ? {} : { duration_seconds: Duration.toSeconds(duration) }),
      by,
      reason,
      remote_address: addressOf(request) ?? "unknown"
    }),
    writeLog
  )

const durationOf = (
  given: number | string | undefined
): Effect.Effect<Duration.Duration | undefined, AdminApi.InvalidRequestError> => {
  if (given === undefined || given === AdminApi.UNTIL_RELEASED) return Effect.undefined
  const duration = typeof given === "number" ? Duration.seconds(given) : parseDuration(given)
  if (duration !== undefined && Duration.isFinite(duration) && Duration.isGreaterThan(duration, Duration.zero)) {
    return Effect.succeed(duration)
  }
  const got = typeof given === "number" ? given : Guard.quote(given)
  const message = `body.duration: ${AdminApi.ACCEPTED_DURATION}, got ${got}`
  return Effect.fail(new AdminApi.InvalidRequestError({ message }))
}

const resetAll = ({ registry }: Memory, request: Request, change: AdminApi.Change) =>
  Effect.uninterruptible(Effect.gen(function*() {
    const names = yield* registry.names
    // One by one, no faster than those who remember the changes can follow: a burst of them would lose some.
    yield* Effect.forEach(
      names,
      (name) => registry.reset(name).pipe(Effect.andThen(Effect.yieldNow), Effect.andThen(Effect.yieldNow)),
      { discard: true }
    ).pipe(withNote(noteOf(change)))
    yield* logChange(request, { ...change, action: "circuits_reset" }, { circuits: names.length })
    return { reset: names.length }
  }))

const circuitHandlers = (memory: Memory) =>
  HttpApiBuilder.group(
    AdminApi.Api,
    "circuits",
    (handlers) =>
      handlers.handleAll({
        list: ({ query }) => listCircuits(memory, query),
        get: ({ params }) => Effect.flatMap(find(memory, params.name), toJson),
        history: ({ params, query }) => historyOf(memory, params.name, query.limit),
        forceOpen: ({ params, payload, request }) =>
          Effect.flatMap(durationOf(payload.duration), (duration) =>
            changeCircuit(memory, params.name, request, {
              ...payload,
              action: "circuit_forced_open",
              duration,
              run: (breaker) => breaker.forceOpen({ duration })
            })),
        forceClose: ({ params, payload, request }) =>
          changeCircuit(memory, params.name, request, {
            ...payload,
            action: "circuit_forced_closed",
            run: (breaker) => breaker.forceClose
          }),
        disable: ({ params, payload, request }) =>
          changeCircuit(memory, params.name, request, {
            ...payload,
            action: "circuit_disabled",
            run: (breaker) => breaker.disable
          }),
        metricsOnly: ({ params, payload, request }) =>
          changeCircuit(memory, params.name, request, {
            ...payload,
            action: "circuit_metrics_only",
            run: (breaker) => breaker.metricsOnly
          }),
        reset: ({ params, payload, request }) =>
          changeCircuit(memory, params.name, request, {
            ...payload,
            action: "circuit_reset",
            run: (breaker) => breaker.reset
          }),
        resetAll: ({ payload, request }) => resetAll(memory, request, payload),
        transitions: ({ query }) =>
          Effect.sync(() => ({ transitions: memory.history.latest(query.limit ?? AdminApi.DEFAULT_LIMIT) })),
        status: () => statusOf(memory),
        tiers: () => tierFlows(memory)
      })
  )

// -----------------------------------------------------------------------------
// events
// -----------------------------------------------------------------------------

const eventHandlers = ({ calls, feed }: Memory) =>
  HttpApiBuilder.group(
    AdminApi.Api,
    "events",
    (handlers) =>
      handlers.handle(
        "subscribe",
        Effect.fnUntraced(function*({ headers, query }) {
          const bytes = yield* feed.subscribe({
            circuit: query.circuit,
            calls: query.calls === "true",
            lastEventId: headers["last-event-id"]
          })
          if (bytes === undefined) {
            const limit = feed.maxSubscribers
            const message = `${limit} clients read the events already; try again later`
            return yield* new AdminApi.TooManySubscribersError({ limit, message })
          }
          if (query.calls === "true") yield* calls
          return HttpServerResponse.stream(bytes, {
            contentType: "text/event-stream",
            // Proxies would hold back what comes in drops.
            headers: { "x-accel-buffering": "no" }
          })
        })
      )
  )

// -----------------------------------------------------------------------------
// configuration
// -----------------------------------------------------------------------------

const configHandlers = (settings: Settings, memory: Memory) =>
  HttpApiBuilder.group(
    AdminApi.Api,
    "config",
    (handlers) =>
      handlers.handleAll({
        get: Effect.fnUntraced(function*({ query }) {
          const { feed, registry } = memory
          const { circuit, limit = AdminApi.DEFAULT_LIMIT, offset = 0 } = query
          const names = circuit === undefined ? yield* registry.names : [(yield* find(memory, circuit)).name]
          const breakers = yield* living(memory, names.slice(offset, offset + limit))
          const policies = yield* Effect.forEach(
            breakers,
            (breaker) => Effect.map(breaker.policy, (policy) => [breaker.name, policy] as const)
          )
          return {
            ...(yield* effectiveConfig(policies)),
            total: names.length,
            offset,
            limit,
            admin: {
              token: settings.token === undefined ? "not set" as const : "set" as const,
              changes: settings.changes,
              read_access: settings.readAccess,
              allowed_hosts: settings.allowedHosts,
              subscribers: feed.size,
              max_subscribers: feed.maxSubscribers
            }
          }
        }),
        openapi: () =>
          Effect.sync(() => ({
            ...OpenApi.fromApi(AdminApi.Api),
            servers: [{ url: settings.prefix === "" ? "/" : settings.prefix }]
          } as unknown as Schema.Json))
      })
  )
