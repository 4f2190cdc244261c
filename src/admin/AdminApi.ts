/**
 * The contract of the admin API: its endpoints, its JSON and its errors.
 *
 * **Example** (Generating the OpenAPI document)
 *
 * ```ts import.meta.vitest
 * import { AdminApi } from "effect-resilience/admin"
 * import { OpenApi } from "effect/http-api"
 *
 * const { info } = OpenApi.fromApi(AdminApi.Api)
 * info.title // => "effect-resilience admin API"
 * ```
 *
 * @stability unstable
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as HttpApiSecurity from "effect/http-api/HttpApiSecurity"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { CircuitEvent, StateChanged } from "../CircuitEvent.ts"
import { isOneLine } from "../internal/plainText.ts"
import { STATE_NAMES, VERSION } from "../internal/words.ts"
import { ACCEPTED } from "./internal/openFor.ts"

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * The request does not match the endpoint; `message` names the field.
 *
 * @stability unstable
 * @category errors
 * @since 0.1.0
 */
export class InvalidRequestError extends Schema.TaggedError<InvalidRequestError>()(
  "InvalidRequestError",
  { message: Schema.String },
  { httpApiStatus: 400 }
) {}

/**
 * The bearer token is missing or wrong.
 *
 * @stability unstable
 * @category errors
 * @since 0.1.0
 */
export class UnauthorizedError extends Schema.TaggedError<UnauthorizedError>()(
  "UnauthorizedError",
  { message: Schema.String },
  { httpApiStatus: 401 }
) {}

/**
 * The address of the client has sent too many wrong tokens. A right one is
 * accepted all the same. `retry_after` is in seconds, as in `Retry-After`.
 *
 * @stability unstable
 * @category errors
 * @since 0.1.0
 */
export class TooManyWrongTokensError extends Schema.TaggedError<TooManyWrongTokensError>()(
  "TooManyWrongTokensError",
  { message: Schema.String, retry_after: Schema.Int },
  { httpApiStatus: 429 }
) {}

/**
 * The request is refused, with any token: it comes from another site, names a
 * host that is not allowed, or asks for a change while changes are off.
 *
 * @stability unstable
 * @category errors
 * @since 0.1.0
 */
export class ForbiddenError extends Schema.TaggedError<ForbiddenError>()(
  "ForbiddenError",
  { message: Schema.String },
  { httpApiStatus: 403 }
) {}

/**
 * The registry has no circuit of that name.
 *
 * @stability unstable
 * @category errors
 * @since 0.1.0
 */
export class CircuitNotFoundError extends Schema.TaggedError<CircuitNotFoundError>()(
  "CircuitNotFoundError",
  { circuit: Schema.String, message: Schema.String },
  { httpApiStatus: 404 }
) {}

/**
 * The path does not support the method.
 *
 * @stability unstable
 * @category errors
 * @since 0.1.0
 */
export class MethodNotAllowedError extends Schema.TaggedError<MethodNotAllowedError>()(
  "MethodNotAllowedError",
  { message: Schema.String },
  { httpApiStatus: 405 }
) {}

/**
 * The body is longer than `limit` bytes.
 *
 * @stability unstable
 * @category errors
 * @since 0.1.0
 */
export class BodyTooLargeError extends Schema.TaggedError<BodyTooLargeError>()(
  "BodyTooLargeError",
  { limit: Schema.Int, message: Schema.String },
  { httpApiStatus: 413 }
) {}

/**
 * The body is not JSON.
 *
 * @stability unstable
 * @category errors
 * @since 0.1.0
 */
export class UnsupportedMediaTypeError extends Schema.TaggedError<UnsupportedMediaTypeError>()(
  "UnsupportedMediaTypeError",
  { message: Schema.String },
  { httpApiStatus: 415 }
) {}

/**
 * The limit of clients that read the events is reached, in total or of this
 * address. `Retry-After` says when to try again.
 *
 * @stability unstable
 * @category errors
 * @since 0.1.0
 */
export class TooManySubscribersError extends Schema.TaggedError<TooManySubscribersError>()(
  "TooManySubscribersError",
  { limit: Schema.Int, message: Schema.String },
  { httpApiStatus: 503 }
) {}

/**
 * The limit of answers in progress, or not yet read by their clients, is
 * reached. `Retry-After` says when to try again.
 *
 * @stability unstable
 * @category errors
 * @since 0.1.0
 */
export class TooManyRequestsError extends Schema.TaggedError<TooManyRequestsError>()(
  "TooManyRequestsError",
  { message: Schema.String },
  { httpApiStatus: 503 }
) {}

/**
 * Any error of the API. Each class carries its HTTP status in the annotation
 * `httpApiStatus`.
 *
 * @stability unstable
 * @category errors
 * @since 0.1.0
 */
export const AdminError = Schema.Union([
  InvalidRequestError,
  UnauthorizedError,
  TooManyWrongTokensError,
  ForbiddenError,
  CircuitNotFoundError,
  MethodNotAllowedError,
  BodyTooLargeError,
  UnsupportedMediaTypeError,
  TooManySubscribersError,
  TooManyRequestsError
])

/**
 * The type of {@link AdminError}.
 *
 * @stability unstable
 * @category errors
 * @since 0.1.0
 */
export type AdminError = typeof AdminError.Type

// -----------------------------------------------------------------------------
// JSON
// -----------------------------------------------------------------------------

/**
 * A state as JSON spells it. `CircuitEvent.CircuitState` explains them.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const State = Schema.Literals([
  STATE_NAMES.Closed,
  STATE_NAMES.Open,
  STATE_NAMES.HalfOpen,
  STATE_NAMES.ForcedOpen,
  STATE_NAMES.Disabled,
  STATE_NAMES.MetricsOnly
])

/**
 * The type of {@link State}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type State = typeof State.Type

const Seconds = Schema.NullOr(Schema.Finite)

/**
 * A circuit: the fields of `CircuitMetrics.toJson`, its policy in words and the
 * thresholds that open it.
 *
 * **Details**
 *
 * A threshold that is `null` never opens the circuit. The rates need
 * `minimum_requests` in the window.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const Circuit = Schema.Struct({
  name: Schema.String,
  state: State,
  is_available: Schema.Boolean,
  failure_count: Schema.Int,
  success_count: Schema.Int,
  total_calls: Schema.Int,
  successful_calls: Schema.Int,
  failed_calls: Schema.Int,
  ignored_calls: Schema.Int,
  late_calls: Schema.Int,
  rejected_calls: Schema.Int,
  calls_in_flight: Schema.Int,
  requests_in_window: Schema.Int,
  error_rate: Schema.Finite,
  failure_rate: Schema.Finite,
  success_rate: Schema.Finite,
  slow_call_rate: Schema.Finite,
  average_response_time_ms: Schema.NullOr(Schema.Finite),
  latency_p50_ms: Schema.NullOr(Schema.Finite),
  latency_p95_ms: Schema.NullOr(Schema.Finite),
  latency_p99_ms: Schema.NullOr(Schema.Finite),
  last_failure_time: Schema.NullOr(Schema.String),
  last_failure: Schema.NullOr(Schema.Struct({ error: Schema.String, message: Schema.String })),
  time_until_retry: Seconds,
  current_backoff: Seconds,
  consecutive_openings: Schema.Int,
  state_changes: Schema.Int,
  policy: Schema.String,
  thresholds: Schema.Struct({
    failure_count: Schema.NullOr(Schema.Int),
    error_rate: Schema.NullOr(Schema.Finite),
    slow_call_rate: Schema.NullOr(Schema.Finite),
    slow_call_duration_ms: Schema.NullOr(Schema.Finite),
    minimum_requests: Schema.Int
  })
})

/**
 * The type of {@link Circuit}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Circuit = typeof Circuit.Type

/**
 * A page of circuits, oldest first, or the most urgent first with
 * `sort=attention`. `total` counts all that match.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const Circuits = Schema.Struct({
  circuits: Schema.Array(Circuit),
  total: Schema.Int,
  offset: Schema.Int,
  limit: Schema.Int
})

/**
 * The type of {@link Circuits}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Circuits = typeof Circuits.Type

/**
 * The latest transitions of a circuit, oldest first, as events.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const History = Schema.Struct({
  circuit: Schema.String,
  transitions: Schema.Array(StateChanged)
})

/**
 * The type of {@link History}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type History = typeof History.Type

/**
 * The latest transitions of all circuits, oldest first, as events.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const Transitions = Schema.Struct({ transitions: Schema.Array(StateChanged) })

/**
 * The type of {@link Transitions}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Transitions = typeof Transitions.Type

/**
 * Counts how the calls of one operation went through its tiers since the API
 * started.
 *
 * **Details**
 *
 * - `calls`: completed calls; `failed_calls`: those that no tier served.
 * - `tiers`: in the order of their use. `circuit` names the tier's circuit;
 *   `state` is `null` if the registry has none of that name.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const TierFlow = Schema.Struct({
  operation: Schema.String,
  calls: Schema.Int,
  failed_calls: Schema.Int,
  tiers: Schema.Array(Schema.Struct({
    name: Schema.String,
    circuit: Schema.String,
    state: Schema.NullOr(State),
    time_until_retry: Seconds,
    served: Schema.Int,
    failed: Schema.Int,
    skipped: Schema.Int
  }))
})

/**
 * The type of {@link TierFlow}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type TierFlow = typeof TierFlow.Type

/**
 * The tiered operations called since the API started. The first hundred have
 * their names; the rest are summed up as `(others)`, per list of tiers.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const TierFlows = Schema.Struct({ operations: Schema.Array(TierFlow) })

/**
 * The type of {@link TierFlows}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type TierFlows = typeof TierFlows.Type

const Healthy = Schema.Struct({ status: Schema.Literals(["healthy", "degraded"]) })
const Unhealthy = Schema.Struct({ status: Schema.Literal("unhealthy") })

const detailFields = {
  total_circuits: Schema.Int,
  circuits_by_state: Schema.Record(State, Schema.Int),
  open_circuits: Schema.Array(Schema.String),
  total_calls: Schema.Int,
  rejected_calls: Schema.Int,
  circuits: Schema.Record(
    Schema.String,
    Schema.Struct({
      circuit_breaker: State,
      failure_count: Schema.Int,
      error_rate: Schema.Finite,
      time_until_retry: Seconds
    })
  ),
  circuits_not_shown: Schema.Int,
  checks: Schema.NullOr(Schema.Json)
}

const HealthyDetails = Schema.Struct({ ...Healthy.fields, ...detailFields })
const UnhealthyDetails = Schema.Struct({ ...Unhealthy.fields, ...detailFields })

/**
 * The health of the program: 200 with `healthy` or `degraded`, 503 with
 * `unhealthy`.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const Health = Schema.Union([Healthy, Unhealthy])

/**
 * The type of {@link Health}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Health = typeof Health.Type

/**
 * The health of the program with its reasons.
 *
 * **Details**
 *
 * `circuits` has up to a hundred of those that are not `closed` or fail more
 * than a tenth of their calls; `circuits_not_shown` counts the rest of these.
 * `checks` holds the details of the health source.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const HealthDetails = Schema.Union([HealthyDetails, UnhealthyDetails])

/**
 * The type of {@link HealthDetails}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type HealthDetails = typeof HealthDetails.Type

/**
 * A setting, its value and the source of the value.
 *
 * **Details**
 *
 * - `value`: a duration is a number of `unit`, or `"off"`, `"schedule"` or
 *   `"infinite"`.
 * - `source`: the library's `default`, a `preset` of `CircuitPolicy`, another
 *   `policy` in code, or a `variable`.
 * - `variable`: the variable that set the value, or that can set it.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const Setting = Schema.Struct({
  key: Schema.String,
  value: Schema.Union([Schema.Finite, Schema.Boolean, Schema.String]),
  unit: Schema.NullOr(Schema.Literals(["seconds", "milliseconds"])),
  source: Schema.Literals(["default", "preset", "policy", "variable"]),
  variable: Schema.String
})

/**
 * The type of {@link Setting}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Setting = typeof Setting.Type

/**
 * The settings that a circuit follows now. `preset` names the preset of its
 * policy, apart from the values set by variables.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const CircuitSettings = Schema.Struct({
  circuit: Schema.String,
  policy: Schema.String,
  preset: Schema.NullOr(Schema.String),
  settings: Schema.Array(Setting)
})

/**
 * The type of {@link CircuitSettings}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type CircuitSettings = typeof CircuitSettings.Type

/**
 * The configuration in force.
 *
 * **Details**
 *
 * - `settings`: global settings.
 * - `circuits`: a page of circuits, like `Circuits`.
 * - `problems`: mistakes in the environment at the time of the request.
 * - `admin`: settings of the API. The token itself is never shown.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const Configuration = Schema.Struct({
  settings: Schema.Array(Setting),
  circuits: Schema.Array(CircuitSettings),
  total: Schema.Int,
  offset: Schema.Int,
  limit: Schema.Int,
  problems: Schema.Array(Schema.String),
  admin: Schema.Struct({
    token: Schema.Literals(["set", "not set"]),
    changes: Schema.Boolean,
    read_access: Schema.Literals(["loopback", "token", "anyone"]),
    allowed_hosts: Schema.Array(Schema.String),
    subscribers: Schema.Int,
    max_subscribers: Schema.Int
  })
})

/**
 * The type of {@link Configuration}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Configuration = typeof Configuration.Type

/**
 * Some events are missing at this place of the stream.
 *
 * **Details**
 *
 * - `SlowReader`: the client reads slowly, and the oldest `lost` events were
 *   dropped.
 * - `TooLongAway`: more events followed `Last-Event-ID` than are kept.
 * - `Restarted`: `Last-Event-ID` belongs to another run of the program.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const EventsLost = Schema.TaggedStruct("EventsLost", {
  reason: Schema.Literals(["SlowReader", "TooLongAway", "Restarted"]),
  lost: Schema.NullOr(Schema.Int)
})

/**
 * The type of {@link EventsLost}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type EventsLost = typeof EventsLost.Type

/**
 * A live event: an event of a circuit, or a notice that some are missing.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const LiveEvent = Schema.Union([...CircuitEvent.members, EventsLost])

/**
 * The type of {@link LiveEvent}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type LiveEvent = typeof LiveEvent.Type

const LiveEventFrame = Schema.Struct({
  id: Schema.optional(Schema.String),
  event: Schema.String,
  data: Schema.fromJsonString(Schema.toCodecJson(LiveEvent))
})

// Goes into log lines unchanged.
const text = (maxLength: number) =>
  Schema.String.check(
    Schema.makeFilter((value: string) =>
      value.length <= maxLength && isOneLine(value)
        ? undefined
        : `must be 1 to ${maxLength} characters on one line, not only spaces`
    )
  )

/**
 * The author of a change and the reason for it. Both are required and logged.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const Change = Schema.Struct({ by: text(100), reason: text(500) })

/**
 * The type of {@link Change}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type Change = typeof Change.Type

/**
 * A change that can end by itself. `duration` is a number of seconds or a text
 * such as `"30 seconds"`. With `"until released"`, or without a duration, the
 * circuit stays forced open until another command.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const ForceOpen = Schema.Struct({
  ...Change.fields,
  // Not `optional`, whose JSON takes `null` for a field that is absent: `JSON.stringify` makes `null` of `NaN`.
  duration: Schema.optionalKey(
    Schema.Union([Schema.Finite.annotate({ message: ACCEPTED }), Schema.String])
      .annotate({ message: ACCEPTED })
  )
})

/**
 * The type of {@link ForceOpen}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type ForceOpen = typeof ForceOpen.Type

/**
 * The number of circuits that were reset.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const ResetAll = Schema.Struct({ reset: Schema.Int })

/**
 * The type of {@link ResetAll}.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export type ResetAll = typeof ResetAll.Type

// -----------------------------------------------------------------------------
// endpoints
// -----------------------------------------------------------------------------

/**
 * Middleware of every endpoint: refuses requests that no token allows, limits
 * the load and encodes errors.
 *
 * @stability unstable
 * @category middleware
 * @since 0.1.0
 */
export class Guard extends HttpApiMiddleware.Service<Guard>()("effect-resilience/admin/Guard", {
  error: [
    InvalidRequestError,
    ForbiddenError,
    BodyTooLargeError,
    UnsupportedMediaTypeError,
    TooManyRequestsError
  ]
}) {}

/**
 * Middleware of every endpoint but `/health` and `/health/live`: requires the
 * bearer token, then refuses unknown query parameters.
 *
 * @stability unstable
 * @category middleware
 * @since 0.1.0
 */
export class Authorization extends HttpApiMiddleware.Service<Authorization>()("effect-resilience/admin/Authorization", {
  security: { bearer: HttpApiSecurity.bearer },
  error: [InvalidRequestError, UnauthorizedError, TooManyWrongTokensError, ForbiddenError]
}) {}

/**
 * The highest `limit` of a list. Without `limit`, a list has up to 100 entries.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export const maxLimit = 1000

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxLimit }))

const page = { offset: Schema.optional(Count), limit: Schema.optional(Limit) }
const name = { name: Schema.String }

const described = (summary: string): Context.Context<never> => OpenApi.annotations({ summary })

const health = HttpApiGroup.make("health").add(
  HttpApiEndpoint.get("check", "/health", {
    success: [Healthy, Unhealthy.pipe(HttpApiSchema.status(503))]
  }).annotateMerge(described("The health of the program: 503 if it is unhealthy")),
  HttpApiEndpoint.get("live", "/health/live", {
    success: Schema.Struct({ status: Schema.Literal("alive") })
  }).annotateMerge(described("Answers while the program runs, whatever the state of its circuits")),
  HttpApiEndpoint.get("detailed", "/health/detailed", {
    success: [HealthyDetails, UnhealthyDetails.pipe(HttpApiSchema.status(503))]
  }).annotateMerge(described("The health of the program with its reasons: 503 if it is unhealthy"))
    .middleware(Authorization)
)

const change = <const Identifier extends string, const Path extends `/${string}`>(
  identifier: Identifier,
  path: Path,
  summary: string
) =>
  HttpApiEndpoint.post(identifier, path, {
    params: name,
    payload: Change,
    success: Circuit,
    error: CircuitNotFoundError
  }).annotateMerge(described(summary))

const circuits = HttpApiGroup.make("circuits").add(
  HttpApiEndpoint.get("list", "/circuits", {
    query: {
      ...page,
      state: Schema.optional(State),
      search: Schema.optional(Schema.String),
      sort: Schema.optional(Schema.Literals(["created", "attention"]))
    },
    success: Circuits
  }).annotateMerge(described("All circuits, oldest first or most urgent first")),
  HttpApiEndpoint.get("get", "/circuits/:name", { params: name, success: Circuit, error: CircuitNotFoundError })
    .annotateMerge(described("One circuit")),
  HttpApiEndpoint.get("history", "/circuits/:name/history", {
    params: name,
    query: { limit: Schema.optional(Limit) },
    success: History,
    error: CircuitNotFoundError
  }).annotateMerge(described("The latest transitions of a circuit")),
  HttpApiEndpoint.post("forceOpen", "/circuits/:name/force-open", {
    params: name,
    payload: ForceOpen,
    success: Circuit,
    error: CircuitNotFoundError
  }).annotateMerge(described("Rejects all calls, for a duration or until another command")),
  change("forceClose", "/circuits/:name/force-close", "Closes the circuit, with empty counts"),
  change("disable", "/circuits/:name/disable", "Lets all calls through and counts nothing"),
  change("metricsOnly", "/circuits/:name/metrics-only", "Lets all calls through, counts them and never opens"),
  change("reset", "/circuits/:name/reset", "Resets the circuit to its initial state"),
  HttpApiEndpoint.post("resetAll", "/reset-all", { payload: Change, success: ResetAll })
    .annotateMerge(described("Resets all circuits to their initial state")),
  HttpApiEndpoint.get("transitions", "/history", {
    query: { limit: Schema.optional(Limit) },
    success: Transitions
  }).annotateMerge(described("The latest transitions of all circuits")),
  HttpApiEndpoint.get("status", "/status", { success: HealthDetails })
    .annotateMerge(described("The same as /health/detailed, always with 200")),
  HttpApiEndpoint.get("tiers", "/tiers", { success: TierFlows })
    .annotateMerge(described("How calls went through their tiers"))
).middleware(Authorization)

const events = HttpApiGroup.make("events").add(
  HttpApiEndpoint.get("subscribe", "/events", {
    query: {
      circuit: Schema.optional(Schema.String),
      calls: Schema.optional(Schema.Literals(["true", "false"]))
    },
    headers: { "last-event-id": Schema.optional(Schema.String) },
    success: HttpApiSchema.StreamSse({ events: LiveEventFrame }),
    error: TooManySubscribersError
  }).annotateMerge(described("Events from now on, or since Last-Event-ID, as server-sent events"))
).middleware(Authorization)

const configuration = HttpApiGroup.make("config").add(
  HttpApiEndpoint.get("get", "/config", {
    query: { ...page, circuit: Schema.optional(Schema.String) },
    success: Configuration,
    error: CircuitNotFoundError
  }).annotateMerge(described("The configuration in force and the source of each value")),
  HttpApiEndpoint.get("openapi", "/openapi.json", { success: Schema.Json })
    .annotateMerge(described("This document"))
).middleware(Authorization)

/**
 * The endpoints, for `HttpApiClient` and `OpenApi`. `Admin.client` makes a client
 * that sends the token.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export class Api extends HttpApi.make("effect-resilience-admin")
  .add(health, circuits, events, configuration)
  .middleware(Guard)
  .annotate(HttpApi.QueryParseOptions, { reportInput: true, errors: "all" })
  .annotate(HttpApi.PayloadParseOptions, { reportInput: true, errors: "all", onExcessProperty: "error" })
  .annotateMerge(OpenApi.annotations({
    title: "effect-resilience admin API",
    version: VERSION,
    description: "Circuits of a running program: look at them, follow them, and change them by hand."
  }))
{}
