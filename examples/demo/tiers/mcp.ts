/**
 * Tier 1: accounts through an MCP tool. Building the Layer opens an MCP session
 * and looks the tool up; when the server restarts, that session is gone for good
 * and only a new build of the Layer helps.
 */
import { Effect, Layer, Schema } from "effect"
import { McpClient, type McpClientError, McpProtocol } from "effect/ai"
import { FetchHttpClient } from "effect/http"
import { Account, AccountNotFound, Accounts, AccountsUnavailable } from "../accounts.ts"

const Answer = Schema.Struct({
  receipt: Schema.String,
  account: Schema.optional(Schema.Struct({
    id: Account.fields.id,
    name: Account.fields.name,
    owner: Account.fields.owner,
    segment: Account.fields.segment
  }))
})

const unavailable = ({ reason }: McpClientError.McpClientError) =>
  AccountsUnavailable.because(reason, reason._tag === "HttpError" ? reason.retryAfter : undefined)

export const AccountsMcp = (url: string) =>
  Layer.effect(
    Accounts,
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      const tools = yield* client.listTools().pipe(Effect.mapError(unavailable))
      const tool = tools.find(({ name }) => name === "get_account")
      if (tool === undefined) {
        return yield* AccountsUnavailable.because("The MCP server has no tool get_account")
      }
      return Accounts.of({
        getAccount: Effect.fnUntraced(function*(id) {
          const { account, receipt } = yield* client.callTool({ tool, schema: Answer, arguments: { id } }).pipe(
            Effect.mapError(unavailable)
          )
          if (account === undefined) return yield* new AccountNotFound({ id, receipt })
          return new Account({ ...account, receipt })
        })
      })
    })
  ).pipe(
    Layer.provide(McpClient.layerHttp({
      name: "effect-resilience-demo",
      version: "1.0.0",
      protocol: McpProtocol.v2025_11_25,
      url
    })),
    Layer.provide(FetchHttpClient.layer)
  )
