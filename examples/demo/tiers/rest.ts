/** Tier 3: accounts through plain REST, with Effect's own HTTP client. */
import { Effect, Layer, Schema } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { Account, AccountNotFound, Accounts, AccountsUnavailable } from "../accounts.ts"

const Body = Schema.Struct({
  name: Account.fields.name,
  owner: Account.fields.owner,
  segment: Account.fields.segment
})

export const AccountsRest = (baseUrl: string) =>
  Layer.effect(
    Accounts,
    Effect.gen(function*() {
      const http = (yield* HttpClient.HttpClient).pipe(
        HttpClient.mapRequest(HttpClientRequest.prependUrl(baseUrl))
      )
      return Accounts.of({
        getAccount: Effect.fnUntraced(
          function*(id) {
            const response = yield* http.get(`/accounts/${encodeURIComponent(id)}`)
            const receipt = response.headers["x-receipt"] ?? ""
            if (response.status === 404) return yield* new AccountNotFound({ id, receipt })
            if (response.status !== 200) {
              const reason = `The REST API answered ${response.status}`
              return yield* AccountsUnavailable.because(reason, response.headers["retry-after"])
            }
            const body = yield* HttpClientResponse.schemaBodyJson(Body)(response)
            return new Account({ id, ...body, receipt })
          },
          Effect.catchTag(
            ["HttpClientError", "SchemaError"],
            (error) => Effect.fail(AccountsUnavailable.because(error))
          )
        )
      })
    })
  ).pipe(Layer.provide(FetchHttpClient.layer))
