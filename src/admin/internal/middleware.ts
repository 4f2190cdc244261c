/**
 * The middleware of the endpoints: which requests are let in, which token they
 * need, and how their errors are answered.
 */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import type * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import { HttpApiSchemaError } from "effect/http-api/HttpApiError"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import { HttpServerError } from "effect/http/HttpServerError"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Semaphore from "effect/Semaphore"
import type { unhandled } from "effect/Types"
import { escapeUnsafe } from "../../internal/plainText.ts"
import { writeLog } from "../../internal/telemetry/writeLog.ts"
import { nowMillis } from "../../internal/time/monotonic.ts"
import * as AdminApi from "../AdminApi.ts"
import { admit } from "./admit.ts"
import { Brake } from "./brake.ts"
import * as Guard from "./guard.ts"
import type { Admission } from "./load.ts"
import { addressOf, clientOf, peerOf, refusalOf, type Request } from "./request.ts"
import { forbidden, isAdminError, respond, SAFE_HEADERS } from "./responses.ts"
import type { Settings } from "./settings.ts"

export const guardLayer = (settings: Settings, admission: Admission) => {
  const inTurn = Semaphore.makeUnsafe(1)
  return Layer.succeed(AdminApi.Guard, (handler, { endpoint }) =>
    Effect.flatMap(HttpServerRequest, (request) => {
      const answerError = (error: AdminApi.AdminError) => {
        const response = Effect.succeed(respond(error))
        return isChange(endpoint) ? Effect.andThen(logRefused(endpoint, request, error), response) : response
      }
      const refusal = refuse(settings, request, endpoint)
      if (refusal !== undefined) return answerError(refusal)
      const answered = handler.pipe(
        Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.fromInputUnsafe(settings.maxBodySize)),
        Effect.map(HttpServerResponse.setHeaders(SAFE_HEADERS)),
        Effect.catch((error: unknown) => {
          const known = toAdminError(error)
          return known === undefined ? Effect.fail(error as never) : answerError(known)
        }),
        Effect.catchDefect((defect) => {
          const known = unreadable(settings, defect)
          return known === undefined ? Effect.die(defect) : answerError(known)
        })
      )
      // Liveness must be seen however busy the API is.
      if (endpoint.identifier === "live") return answered
      return admit(admission, request, answered, COMPUTED.has(endpoint.identifier) ? inTurn : undefined).pipe(
        Effect.catch(answerError)
      )
    }))
}

/**
 * Endpoints with large answers that wait for nothing. They run one at a time:
 * several at once would take as long, and in vain if there is no room for them.
 */
const COMPUTED: ReadonlySet<string> = new Set(["list", "get", "history", "transitions", "tiers", "openapi"])

type Endpoint = Pick<HttpApiEndpoint.Top, "identifier" | "method" | "middlewares" | "query">

const isChange = ({ method }: Endpoint): boolean => method === "POST"

/** Refuses a request by its head. */
const refuse = (settings: Settings, request: Request, endpoint: Endpoint): AdminApi.AdminError | undefined => {
  const refusal = refusalOf(settings, request)
  if (refusal !== undefined) return forbidden(refusal)
  const contentType = request.headers["content-type"]
  if (request.method === "POST" && !Guard.isJson(contentType)) {
    const given = contentType === undefined ? "none" : Guard.quote(contentType)
    const message = `Content-Type must be application/json, got ${given}`
    return new AdminApi.UnsupportedMediaTypeError({ message })
  }
  // Nobody without the token learns what is accepted where one is needed.
  return endpoint.middlewares.has(AdminApi.Authorization) ? undefined : refuseParameters(request, endpoint)
}

/** A parameter that is misspelt would leave out what was asked for. A probe of liveness is never refused. */
const refuseParameters = (request: Request, endpoint: Endpoint): AdminApi.InvalidRequestError | undefined => {
  const at = request.originalUrl.indexOf("?")
  if (at < 0 || endpoint.identifier === "live") return undefined
  const accepted = parametersOf(endpoint)
  const unknown = Array.from(new URLSearchParams(request.originalUrl.slice(at)).keys())
    .filter((name) => !accepted.includes(name))
  if (unknown.length === 0) return undefined
  const list = Array.from(new Set(unknown), Guard.quote).join(", ")
  const message = `query: unknown ${list}; accepted: ${accepted.length === 0 ? "none" : accepted.join(", ")}`
  return new AdminApi.InvalidRequestError({ message: shorten(message) })
}

const parametersOf = ({ query }: Endpoint): ReadonlyArray<string> => {
  const ast = query === undefined ? undefined : SchemaAST.toEncoded(query.ast)
  return ast !== undefined && SchemaAST.isObjects(ast) ? ast.propertySignatures.map(({ name }) => String(name)) : []
}

const shorten = (message: string): string => message.slice(0, 1000)

const formatIssues = SchemaIssue.makeFormatterStandardSchemaV1()

/** What is wrong with a request, if that is what an error says. */
const toAdminError = (error: unknown): AdminApi.AdminError | undefined => {
  if (isAdminError(error)) return error
  // A mistake in the answer is not the client's fault.
  if (!HttpApiSchemaError.is(error) || error.kind === "Body" || error.kind === "ResponseHeaders") return undefined
  const part = { Params: "path", Headers: "header", Query: "query", Payload: "body" }[error.kind]
  const message = formatIssues(error.cause.issue).issues
    .map(({ message, path }) => `${[part, ...path!.map(String)].join(".")}: ${message}`)
    .join("; ")
  return new AdminApi.InvalidRequestError({ message: shorten(message) })
}

const unreadable = ({ maxBodySize }: Settings, defect: unknown): AdminApi.AdminError | undefined => {
  if (!(defect instanceof HttpServerError) || defect.reason._tag !== "RequestParseError") return undefined
  return defect.reason.reason === "BodyTooLarge"
    ? new AdminApi.BodyTooLargeError({ limit: maxBodySize, message: `the body must be at most ${maxBodySize} bytes` })
    : new AdminApi.InvalidRequestError({ message: "body: could not be read" })
}

/** Says who wanted to change what, and why that was refused. */
const logRefused = ({ identifier }: Endpoint, request: Request, { message }: AdminApi.AdminError) =>
  Effect.flatMap(Effect.serviceOption(HttpRouter.RouteContext), (route) => {
    const circuit = Option.isNone(route) ? undefined : route.value.params["name"]
    return Effect.logWarning("admin_change_refused").pipe(
      Effect.annotateLogs({
        action: identifier,
        ...(circuit === undefined ? {} : { circuit_breaker: escapeUnsafe(circuit) }),
        why: escapeUnsafe(message),
        remote_address: addressOf(request) ?? "unknown"
      }),
      writeLog
    )
  })

/** An address may send so many wrong tokens a minute. Memory is bounded by the number of addresses. */
const WRONG_TOKENS = { allowed: 10, window: 60_000, addresses: 1000 }

export const authorizationLayer = (settings: Settings) => {
  const secret = settings.token === undefined ? undefined : Guard.secretOf(Redacted.value(settings.token))
  const brake = new Brake(WRONG_TOKENS)
  const wrongToken = (request: Request) =>
    Effect.flatMap(nowMillis, (now): Effect.Effect<
      never,
      AdminApi.UnauthorizedError | AdminApi.TooManyWrongTokensError
    > => {
      const wait = brake.wrong(clientOf(request).address ?? "unknown", now)
      if (wait === undefined) {
        return Effect.fail(new AdminApi.UnauthorizedError({ message: "the bearer token is wrong" }))
      }
      const message = `the bearer token is wrong, as more than ${WRONG_TOKENS.allowed} of this address within a minute`
      return Effect.fail(new AdminApi.TooManyWrongTokensError({ message, retry_after: Math.ceil(wait / 1000) }))
    })
  return Layer.succeed(AdminApi.Authorization, {
    bearer: (handler, { credential, endpoint }) =>
      Effect.flatMap(HttpServerRequest, (request): Effect.Effect<
        HttpServerResponse.HttpServerResponse,
        | unhandled
        | AdminApi.InvalidRequestError
        | AdminApi.UnauthorizedError
        | AdminApi.TooManyWrongTokensError
        | AdminApi.ForbiddenError
      > => {
        const admitted = () => {
          const refusal = refuseParameters(request, endpoint)
          return refusal === undefined ? handler : Effect.fail(refusal)
        }
        const given = Redacted.value(credential)
        if (isChange(endpoint) && !settings.changes) return Effect.fail(forbidden("changes are turned off here"))
        if (secret !== undefined && given !== "" && Guard.isSecret(secret, given)) return admitted()
        if (given !== "") return wrongToken(request)
        if (!isChange(endpoint) && mayRead(settings, request)) return admitted()
        const message = isChange(endpoint)
          ? "a change needs a bearer token"
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
