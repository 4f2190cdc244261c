import { assert, describe, it } from "@effect/vitest"
import { Schema, SchemaAST } from "effect"
import { AdminApi } from "effect-resilience/admin"
import { isAdminError, respond, statusOf } from "../../src/admin/internal/responses.ts"

const message = "no"

const errors = [
  [new AdminApi.InvalidRequestError({ message }), 400],
  [new AdminApi.UnauthorizedError({ message }), 401],
  [new AdminApi.TooManyWrongTokensError({ message, retry_after: 7 }), 429],
  [new AdminApi.ForbiddenError({ message }), 403],
  [new AdminApi.CircuitNotFoundError({ circuit: "a", message }), 404],
  [new AdminApi.MethodNotAllowedError({ message }), 405],
  [new AdminApi.BodyTooLargeError({ limit: 1, message }), 413],
  [new AdminApi.UnsupportedMediaTypeError({ message }), 415],
  [new AdminApi.TooManySubscribersError({ limit: 1, message }), 503],
  [new AdminApi.TooManyRequestsError({ message }), 503]
] as const

describe("the errors of the admin API", () => {
  for (const [error, status] of errors) {
    it(`${error._tag} is answered with ${status}, its fields and no cache`, async () => {
      const response = respond(error, { allow: "GET" })
      const body = response.body as { readonly body: Uint8Array }

      assert.strictEqual(statusOf(error), status)
      assert.strictEqual(response.status, status)
      assert.deepInclude(response.headers, { "cache-control": "no-store", allow: "GET" })
      assert.deepInclude(JSON.parse(new TextDecoder().decode(body.body)), { _tag: error._tag, message })
    })
  }

  it("are all in the union, with a status each", () => {
    const exported = Object.entries(AdminApi).flatMap(([name, value]) =>
      name.endsWith("Error") && name !== "AdminError" ? [value as unknown as Schema.Top] : []
    )
    assert.sameMembers([...AdminApi.AdminError.members] as Array<unknown>, exported)
    for (const { ast } of exported) assert.isNumber(SchemaAST.resolveAt("httpApiStatus")(ast))
    assert.strictEqual(exported.length, errors.length)
  })

  it("are told apart from any other", () => {
    for (const [error] of errors) assert.isTrue(isAdminError(error))
    for (const other of [new Error("no"), { _tag: "ForbiddenError", message }, null]) {
      assert.isFalse(isAdminError(other))
    }
  })
})
