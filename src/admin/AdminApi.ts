/**
 * What the admin API says: its endpoints, its JSON and its errors.
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

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * The request is not what the endpoint takes; `message` names the field.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidRequestError extends Schema.TaggedError<InvalidRequestError>()(
  "InvalidRequestError",
  { message: Schema.String },
  { httpApiStatus: 400 }
) {}

/**
 * There is no bearer token, or it is not the one that is asked for.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnauthorizedError extends Schema.TaggedError<UnauthorizedError>()(
  "UnauthorizedError",
  { message: Schema.String },
  { httpApiStatus: 401 }
) {}

/**
 * The request is refused, whatever its token: it comes from another site, names
 * a host this is not, or wants a change where changes are off.
 *
 * @category errors
 * @since 0.1.0
 */
export class ForbiddenError extends Schema.TaggedError<ForbiddenError>()(
  "ForbiddenError",
  { message: Schema.String },
  { httpApiStatus: 403 }
) {}

/**
 * No circuit of that name lives.
 *
 * @category errors
 * @since 0.1.0
 */
export class CircuitNotFoundError extends Schema.TaggedError<CircuitNotFoundError>()(
  "CircuitNotFoundError",
  { circuit: Schema.String, message: Schema.String },
  { httpApiStatus: 404 }
) {}

/**
 * The path has no such method.
 *
 * @category errors
 * @since 0.1.0
 */
export class MethodNotAllowedError extends Schema.TaggedError<MethodNotAllowedError>()(
  "MethodNotAllowedError",
  { message: Schema.String },
  { httpApiStatus: 405 }
) {}

/**
 * The body has more bytes than `limit`.
 *
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
 * @category errors
 * @since 0.1.0
 */
export class UnsupportedMediaTypeError extends Schema.TaggedError<UnsupportedMediaTypeError>()(
  "UnsupportedMediaTypeError",
  { message: Schema.String },
  { httpApiStatus: 415 }
) {}

/**
 * As many clients as are allowed read the events already.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManySubscribersError extends Schema.TaggedError<TooManySubscribersError>()(
  "TooManySubscribersError",
  { limit: Schema.Int, message: Schema.String },
  { httpApiStatus: 503 }
) {}

/**
 * As many answers as are allowed are under way, or wait for clients to read
 * them. `Retry-After` says when to try again.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManyRequestsError extends Schema.TaggedError<TooManyRequestsError>()(
  "TooManyRequestsError",
  { message: Schema.String },
  { httpApiStatus: 503 }
) {}

const errors = [
  [InvalidRequestError, 400],
  [UnauthorizedError, 401],
  [ForbiddenError, 403],
  [CircuitNotFoundError, 404],
  [MethodNotAllowedError, 405],
  [BodyTooLargeError, 413],
  [UnsupportedMediaTypeError, 415],
  [TooManySubscribersError, 503],
  [TooManyRequestsError, 503]
] as const

export type AdminError = InstanceType<(typeof errors)[number][0]>

/** @internal */
export const statusOf = (error: unknown): number | undefined => errors.find(([type]) => error instanceof type)?.[1]

// -----------------------------------------------------------------------------
// JSON
// -----------------------------------------------------------------------------

/**
 * A state as JSON spells it.
 *
 * @category models
 * @since 0.1.0
 */
export const State = Schema.Literals(["closed", "open", "half_open", "forced_open", "disabled", "metrics_only"])

const Seconds = Schema.NullOr(Schema.Finite)

const circuitFields = {
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
}

/**
 * A circuit: `CircuitMetrics.toJson`, its policy in words, and what it opens
 * at.
 *
 * **Details**
 *
 * Of `thresholds`, those that are `null` do not open the circuit. The rates
 * need `minimum_requests` in the window.
 *
 * @category models
 * @since 0.1.0
 */
export const Circuit = Schema.Struct(circuitFields)

/**
 * @category models
 * @since 0.1.0
 */
export type Circuit = typeof Circuit.Type

/**
 * A page of circuits, oldest first unless those in trouble come first. `total`
 * counts all that match.
 *
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
 * @category models
 * @since 0.1.0
 */
export type Circuits = typeof Circuits.Type

/**
 * The latest transitions of a circuit, oldest first, as events.
 *
 * @category models
 * @since 0.1.0
 */
export const History = Schema.Struct({
  circuit: Schema.String,
  transitions: Schema.Array(StateChanged)
})

/**
 * @category models
 * @since 0.1.0
 */
export type History = typeof History.Type

/**
 * The latest transitions of all circuits, oldest first, as events.
 *
 * @category models
 * @since 0.1.0
 */
export const Transitions = Schema.Struct({ transitions: Schema.Array(StateChanged) })

/**
 * @category models
 * @since 0.1.0
 */
export type Transitions = typeof Transitions.Type

/**
 * How the calls of one operation went through its tiers, since this API
 * started.
 *
 * **Details**
 *
 * - `calls`: all that ended, `failed_calls` those that no tier could serve.
 * - `tiers`: in the order in which they are tried. `circuit` names the tier's
 *   circuit, whose `state` is `null` if the registry has none of that name.
 *
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
 * @category models
 * @since 0.1.0
 */
export type TierFlow = typeof TierFlow.Type

/**
 * The tiered operations that were called since this API started, a hundred of
 * them by name. The rest are summed up as `(others)`, for each list of tiers.
 *
 * @category models
 * @since 0.1.0
 */
export const TierFlows = Schema.Struct({ operations: Schema.Array(TierFlow) })

/**
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
 * How the program stands: 200 with `healthy` or `degraded`, 503 with
 * `unhealthy`.
 *
 * @category models
 * @since 0.1.0
 */
export const Health = Schema.Union([Healthy, Unhealthy])

/**
 * @category models
 * @since 0.1.0
 */
export type Health = typeof Health.Type

/**
 * How the program stands, and why.
 *
 * **Details**
 *
 * `circuits` has those that are not `closed` or fail more than a tenth of
 * their calls, up to a hundred; `circuits_not_shown` counts the rest of these.
 * `checks` is what the health source adds.
 *
 * @category models
 * @since 0.1.0
 */
export const HealthDetails = Schema.Union([HealthyDetails, UnhealthyDetails])

/**
 * @category models
 * @since 0.1.0
 */
export type HealthDetails = typeof HealthDetails.Type

/**
 * A setting with its value and where that comes from.
 *
 * **Details**
 *
 * - `value`: in `unit` if it is a time; `"off"`, `"schedule"`, `"infinite"`.
 * - `source`: the library's `default`, a `preset` of `CircuitPolicy`, another
 *   `policy` in code, or a `variable`.
 * - `variable`: where the value was read, or else where to set it.
 *
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
 * @category models
 * @since 0.1.0
 */
export type Setting = typeof Setting.Type

/**
 * The settings that one circuit follows now. `preset` names the preset its
 * policy is, apart from what variables say.
 *
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
 * @category models
 * @since 0.1.0
 */
export type CircuitSettings = typeof CircuitSettings.Type

/**
 * The configuration in force.
 *
 * **Details**
 *
 * - `settings`: what the environment says of all circuits and calls.
 * - `circuits`: a page of circuits, as `Circuits` is.
 * - `problems`: what is wrong with the environment, as it was when this was
 *   asked.
 * - `admin`: of this API. It tells whether there is a token, never which.
 *
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
 * @category models
 * @since 0.1.0
 */
export type Configuration = typeof Configuration.Type

/**
 * Events are missing here.
 *
 * **Details**
 *
 * - `SlowReader`: this client was slow to read, and `lost` events, the oldest,
 *   were dropped.
 * - `TooLongAway`: more happened since `Last-Event-ID` than is kept.
 * - `Restarted`: `Last-Event-ID` is of another run of the program.
 *
 * @category models
 * @since 0.1.0
 */
export const EventsLost = Schema.TaggedStruct("EventsLost", {
  reason: Schema.Literals(["SlowReader", "TooLongAway", "Restarted"]),
  lost: Schema.NullOr(Schema.Int)
})

/**
 * @category models
 * @since 0.1.0
 */
export type EventsLost = typeof EventsLost.Type

/**
 * What the live events carry: an event of a circuit, or that some are missing.
 *
 * @category models
 * @since 0.1.0
 */
export const LiveEvent = Schema.Union([...CircuitEvent.members, EventsLost])

/**
 * @category models
 * @since 0.1.0
 */
export type LiveEvent = typeof LiveEvent.Type

const LiveEventFrame = Schema.Struct({
  id: Schema.optional(Schema.String),
  event: Schema.String,
  data: Schema.fromJsonString(Schema.toCodecJson(LiveEvent))
})

// Text that goes into logs as it is: a line break would be a line of its own there.
// eslint-disable-next-line no-control-regex
const PLAIN_TEXT = /^(?=.*\S)[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$/u

const text = (maxLength: number) =>
  Schema.String.check(
    Schema.makeFilter((value: string) =>
      value.length <= maxLength && PLAIN_TEXT.test(value)
        ? undefined
        : `must be 1 to ${maxLength} characters on one line, not only spaces`
    )
  )

/**
 * Who changes something, and why. Both are needed, and logged.
 *
 * @category models
 * @since 0.1.0
 */
export const Change = Schema.Struct({ by: text(100), reason: text(500) })

/**
 * @category models
 * @since 0.1.0
 */
export type Change = typeof Change.Type

/** @internal */
export const UNTIL_RELEASED = "until released"

/** @internal */
export const ACCEPTED_DURATION = `must be seconds above 0, a text such as "30 seconds", or "${UNTIL_RELEASED}"`

/**
 * A change that may end by itself: `duration` in seconds, or as
 * `"30 seconds"`. With `"until released"`, or without it, the circuit stays
 * forced open.
 *
 * @category models
 * @since 0.1.0
 */
export const ForceOpen = Schema.Struct({
  ...Change.fields,
  // Not `optional`, whose JSON takes `null` for a field that is absent: `JSON.stringify` makes `null` of `NaN`.
  duration: Schema.optionalKey(
    Schema.Union([Schema.Finite.annotate({ message: ACCEPTED_DURATION }), Schema.String])
      .annotate({ message: ACCEPTED_DURATION })
  )
})

/**
 * @category models
 * @since 0.1.0
 */
export type ForceOpen = typeof ForceOpen.Type

/**
 * How many circuits were reset.
 *
 * @category models
 * @since 0.1.0
 */
export const ResetAll = Schema.Struct({ reset: Schema.Int })

/**
 * @category models
 * @since 0.1.0
 */
export type ResetAll = typeof ResetAll.Type

// -----------------------------------------------------------------------------
// endpoints
// -----------------------------------------------------------------------------

/** Refuses what no token allows, and answers what goes wrong. */
export class Guard extends HttpApiMiddleware.Service<Guard>()("effect-resilience/admin/Guard", {
  error: [
    InvalidRequestError,
    ForbiddenError,
    BodyTooLargeError,
    UnsupportedMediaTypeError,
    TooManyRequestsError
  ]
}) {}

/** Asks for the token. */
export class Authorization extends HttpApiMiddleware.Service<Authorization>()("effect-resilience/admin/Authorization", {
  security: { bearer: HttpApiSecurity.bearer },
  error: [UnauthorizedError, ForbiddenError]
}) {}

/** @internal */
export const DEFAULT_LIMIT = 100
/** @internal */
export const MAX_LIMIT = 1000

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: MAX_LIMIT }))

const page = { offset: Schema.optional(Count), limit: Schema.optional(Limit) }
const name = { name: Schema.String }

const described = (summary: string): Context.Context<never> => OpenApi.annotations({ summary })

const health = HttpApiGroup.make("health").add(
  HttpApiEndpoint.get("check", "/health", {
    success: [Healthy, Unhealthy.pipe(HttpApiSchema.status(503))]
  }).annotateMerge(described("Whether the program can do its work: 503 if not")),
  HttpApiEndpoint.get("live", "/health/live", {
    success: Schema.Struct({ status: Schema.Literal("alive") })
  }).annotateMerge(described("Whether the program answers, whatever its circuits do")),
  HttpApiEndpoint.get("detailed", "/health/detailed", {
    success: [HealthyDetails, UnhealthyDetails.pipe(HttpApiSchema.status(503))]
  }).annotateMerge(described("How the program stands, and why: 503 if it cannot do its work"))
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
  }).annotateMerge(described("All circuits, oldest first, or those in trouble first")),
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
  change("reset", "/circuits/:name/reset", "Makes the circuit as new"),
  HttpApiEndpoint.post("resetAll", "/reset-all", { payload: Change, success: ResetAll })
    .annotateMerge(described("Makes all circuits as new")),
  HttpApiEndpoint.get("transitions", "/history", {
    query: { limit: Schema.optional(Limit) },
    success: Transitions
  }).annotateMerge(described("The latest transitions of all circuits")),
  HttpApiEndpoint.get("status", "/status", { success: HealthDetails })
    .annotateMerge(described("What /health/detailed says, always with 200")),
  HttpApiEndpoint.get("tiers", "/tiers", { success: TierFlows })
    .annotateMerge(described("Which tiers serve the calls"))
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
  }).annotateMerge(described("What happens from now on, or since Last-Event-ID, as server-sent events"))
).middleware(Authorization)

const configuration = HttpApiGroup.make("config").add(
  HttpApiEndpoint.get("get", "/config", {
    query: { ...page, circuit: Schema.optional(Schema.String) },
    success: Configuration,
    error: CircuitNotFoundError
  }).annotateMerge(described("The configuration in force, and where each value comes from")),
  HttpApiEndpoint.get("openapi", "/openapi.json", { success: Schema.Json })
    .annotateMerge(described("This document"))
).middleware(Authorization)

/**
 * The endpoints, for `HttpApiClient` and `OpenApi`.
 *
 * @see {@link client} for a client that sends the token
 *
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
    version: "0.1.0",
    description: "Circuits of a running program: look at them, follow them, and change them by hand."
  }))
{}
