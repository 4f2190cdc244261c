/**
 * The server side of the admin API: routes for an `HttpRouter`.
 */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import type { CircuitBreakerRegistry } from "../../CircuitBreakerRegistry.ts"
import { Api, MethodNotAllowedError } from "../AdminApi.ts"
import { circuitHandlers } from "./circuits.ts"
import { configHandlers } from "./configHandlers.ts"
import { eventHandlers } from "./events.ts"
import { healthHandlers } from "./health.ts"
import { authorizationLayer, guardLayer } from "./middleware.ts"
import { dashboard } from "./page.ts"
import { refusalOf } from "./request.ts"
import { acquire } from "./resources.ts"
import { forbidden, respond } from "./responses.ts"
import type { Settings } from "./settings.ts"

export const routes = (settings: Settings): Layer.Layer<never, never, HttpRouter.HttpRouter | CircuitBreakerRegistry> =>
  Layer.unwrap(
    Effect.map(
      acquire(settings),
      (resources) =>
        Layer.mergeAll(
          HttpApiBuilder.layer(Api),
          otherMethods(settings),
          settings.dashboard ? dashboard(settings, resources.admission) : Layer.empty
        ).pipe(
          Layer.provide([
            healthHandlers(resources),
            circuitHandlers(resources),
            eventHandlers(resources),
            configHandlers(settings, resources)
          ]),
          Layer.provide([guardLayer(settings, resources.admission), authorizationLayer(settings)]),
          Layer.provide(underPrefix(settings.prefix)),
          // Required for files and forms, which the API has none of.
          Layer.provide(HttpServer.layerServices)
        )
    )
  )

const underPrefix = (prefix: string): Layer.Layer<HttpRouter.HttpRouter, never, HttpRouter.HttpRouter> =>
  Layer.effect(
    HttpRouter.HttpRouter,
    Effect.map(HttpRouter.HttpRouter, (router) => prefix === "" ? router : router.prefixed(prefix))
  )

/** Answers requests with another method than those of a path. */
const otherMethods = (settings: Settings) =>
  HttpRouter.use(Effect.fnUntraced(function*(router) {
    const paths = new Map<`/${string}`, Array<string>>()
    if (settings.dashboard) paths.set("/dashboard", ["GET"])
    for (const group of Object.values(Api.groups)) {
      for (const { method, path } of Object.values(group.endpoints)) {
        paths.set(path, [...(paths.get(path) ?? []), method])
      }
    }
    for (const [path, methods] of paths) {
      // The router takes HEAD for GET.
      const allow = methods.flatMap((method) => method === "GET" ? ["GET", "HEAD"] : [method]).join(", ")
      for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"] as const) {
        if (methods.includes(method)) continue
        yield* router.add(method, path, (request) => {
          const refusal = refusalOf(settings, request)
          const message = `${request.method} is not allowed here; allowed is ${allow}`
          return Effect.succeed(
            refusal === undefined
              ? respond(new MethodNotAllowedError({ message }), { allow })
              : respond(forbidden(refusal))
          )
        })
      }
    }
  }))
