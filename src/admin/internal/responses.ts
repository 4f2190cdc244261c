/**
 * The responses of the admin API to what goes wrong.
 */
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as AdminApi from "../AdminApi.ts"

/** Of every answer. Pages of other sites can neither embed it nor keep a window that shows it. */
export const SAFE_HEADERS = {
  "cache-control": "no-store",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "x-content-type-options": "nosniff"
}

export const isAdminError = Schema.is(AdminApi.AdminError)

const annotatedStatus = SchemaAST.resolveAt<number>("httpApiStatus")

/** The status that the class of the error is annotated with. */
export const statusOf = (error: AdminApi.AdminError): number =>
  annotatedStatus((error.constructor as unknown as Schema.Top).ast)!

export const respond = (error: AdminApi.AdminError, headers: Record<string, string> = {}) =>
  HttpServerResponse.jsonUnsafe({ ...error, _tag: error._tag, message: error.message }, {
    status: statusOf(error),
    headers: { ...SAFE_HEADERS, ...headersOf(error), ...headers }
  })

const headersOf = (error: AdminApi.AdminError): Record<string, string> => {
  switch (error._tag) {
    case "UnauthorizedError":
      return { "www-authenticate": "Bearer" }
    case "TooManyWrongTokensError":
      return { "retry-after": String(error.retry_after) }
    case "TooManySubscribersError":
      return { "retry-after": "5" }
    case "TooManyRequestsError":
      return { "retry-after": "1" }
    default:
      return {}
  }
}

export const forbidden = (message: string) => new AdminApi.ForbiddenError({ message })
