/**
 * The dashboard as a route.
 */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { admit } from "./admit.ts"
import * as DashboardPage from "./dashboardPage.ts"
import type { Admission } from "./load.ts"
import { refusalOf } from "./request.ts"
import { forbidden, respond, SAFE_HEADERS } from "./responses.ts"
import type { Settings } from "./settings.ts"

/** The page itself shows no circuit: its script asks the API, with the token if one is needed. */
export const dashboard = (settings: Settings, admission: Admission) => {
  // People without JavaScript are told where the JSON is. A prefix has no character that HTML would read.
  const html = DashboardPage.html.replace(
    /<noscript>.*?<\/noscript>/,
    (text) => text.replaceAll("/circuits", `${settings.prefix}/circuits`)
  )
  return HttpRouter.add("GET", "/dashboard", (request) => {
    const refusal = refusalOf(settings, request, true)
    const page = Effect.succeed(
      refusal === undefined
        ? HttpServerResponse.text(html, {
          contentType: "text/html; charset=utf-8",
          headers: {
            ...SAFE_HEADERS,
            "content-security-policy": DashboardPage.contentSecurityPolicy,
            "referrer-policy": "no-referrer"
          }
        })
        : respond(forbidden(refusal))
    )
    return Effect.catch(admit(admission, request, page), (error) => Effect.succeed(respond(error)))
  })
}
