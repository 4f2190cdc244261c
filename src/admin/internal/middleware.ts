/**
 * The middleware of the endpoints: which requests are let in, which token they
 * need, and how their errors are answered.
 */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import { HttpApiSchemaError } from "effect/http-api/HttpApiError"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import { HttpServerError } from "effect/http/HttpServerError"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Semaphore from "effect/Semaphore"
import type { unhandled } from "effect/Types"
import { writeLog } from "../../internal/telemetry/writeLog.ts"
import * as AdminApi from "../AdminApi.ts"
import { admit } from "./admit.ts"
import * as Guard from "./guard.ts"
import type { Admission } from "./load.ts"
import { addressOf, peerOf, refusalOf, type Request } from "./request.ts"
import { forbidden, isAdminError, respond, SAFE_HEADERS } from "./responses.ts"
import type { Settings } from "./settings.ts"

const tooLarge = (limit: number) =>
  new AdminApi.BodyTooLargeError({ limit, message: `the body must be at most ${limit} bytes` })

export const guardLayer = (settings: Settings, admission: Admission) => {
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
      // Liveness must be seen however busy the API is.
      if (endpoint.identifier === "live") return answered
      return admit(admission, request, answered, COMPUTED.has(endpoint.identifier) ? inTurn : undefined)
    }))
}

/**
 * Endpoints with large answers that wait for nothing. They run one at a time:
 * several at once would take as long, and in vain if there is no room for them.
 */
const COMPUTED: ReadonlySet<string> = new Set(["list", "get", "history", "transitions", "tiers", "openapi"])

/** Refuses a request by its head, whatever the endpoint. */
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
  if (isAdminError(error)) return Effect.succeed(respond(error))
  // A mistake in the answer is not the client's fault.
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

export const authorizationLayer = (settings: Settings) => {
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

const refuseChange = <E extends { readonly message: string }>(action: string, request: Request, error: E) =>
  Effect.logWarning("admin_change_refused").pipe(
    Effect.annotateLogs({ action, why: error.message, remote_address: addressOf(request) ?? "unknown" }),
    writeLog,
    Effect.andThen(Effect.fail(error))
  )
