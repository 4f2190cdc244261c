/** Tier 3: the plain REST API. */
import { json, lookUp, serve } from "./serve.ts"

serve(async (request, response) => {
  const id = /^\/accounts\/([^/]+)$/.exec(request.url ?? "")?.[1]
  if (id === undefined) return json(response, 400, { error: "bad request" })
  const { account, receipt } = await lookUp("tier3_rest", decodeURIComponent(id))
  const headers = { "x-receipt": receipt }
  if (account === undefined) return json(response, 404, { error: "no such account" }, headers)
  json(response, 200, account, headers)
})
