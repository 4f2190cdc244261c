/**
 * The endpoint of live events.
 */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as AdminApi from "../AdminApi.ts"
import { readerOf } from "./request.ts"
import type { Resources } from "./resources.ts"

export const eventHandlers = ({ calls, feed, sweeps }: Resources) =>
  HttpApiBuilder.group(
    AdminApi.Api,
    "events",
    (handlers) =>
      handlers.handle(
        "subscribe",
        Effect.fnUntraced(function*({ headers, query, request }) {
          const bytes = yield* feed.subscribe({
            circuit: query.circuit,
            calls: query.calls === "true",
            lastEventId: headers["last-event-id"]
          }, readerOf(request))
          yield* sweeps
          if (query.calls === "true") yield* calls
          return HttpServerResponse.stream(bytes, {
            contentType: "text/event-stream",
            headers: {
              // A connection that has ended its stream must not hold up a server that ends.
              connection: "close",
              // Keeps proxies from collecting what comes in small pieces.
              "x-accel-buffering": "no"
            }
          })
        })
      )
  )
