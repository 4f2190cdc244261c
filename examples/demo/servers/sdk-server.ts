/** Tier 2: the vendor's own API, the one its SDK talks to. */
import { json, lookUp, serve } from "./serve.ts"

serve(async (request, response) => {
  const id = /^\/v2\/accounts\/([^/]+)$/.exec(request.url ?? "")?.[1]
  if (id === undefined) return json(response, 400, { error: { code: "bad_request", request_id: null } })
  const { account, receipt } = await lookUp("tier2_sdk", decodeURIComponent(id))
  if (account === undefined) return json(response, 404, { error: { code: "account_missing", request_id: receipt } })
  json(response, 200, { request_id: receipt, data: { object: "account", ...account } })
})
