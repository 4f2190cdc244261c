/**
 * The endpoint of live events.
 */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as AdminApi from "../AdminApi.ts"
import type { Resources } from "./resources.ts"

export const eventHandlers = ({ calls, feed }: Resources) =>
  HttpApiBuilder.group(
    AdminApi.Api,
    "events",
    (handlers) =>
      handlers.handle(
        "subscribe",
        Effect.fnUntraced(function*({ headers, query }) {
          const bytes = yield* feed.subscribe({
            circuit: query.circuit,
            calls: query.calls === "true",
            lastEventId: headers["last-event-id"]
          })
          if (bytes === undefined) {
            const limit = feed.maxSubscribers
            const message = `${limit} clients read the events already; try again later`
            return yield* new AdminApi.TooManySubscribersError({ limit, message })
          }
          if (query.calls === "true") yield* calls
          return HttpServerResponse.stream(bytes, {
            contentType: "text/event-stream",
            // Keeps proxies from collecting what comes in small pieces.
            headers: { "x-accel-buffering": "no" }
          })
        })
      )
  )
