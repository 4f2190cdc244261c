/**
 * The endpoints of the configuration.
 */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as OpenApi from "effect/http-api/OpenApi"
import type * as Schema from "effect/Schema"
import { Api } from "../AdminApi.ts"
import { DEFAULT_LIMIT, find, findAll } from "./lookup.ts"
import { effectiveConfig } from "./config.ts"
import type { Resources } from "./resources.ts"
import type { Settings } from "./settings.ts"

export const configHandlers = (settings: Settings, resources: Resources) =>
  HttpApiBuilder.group(
    Api,
    "config",
    (handlers) =>
      handlers.handleAll({
        get: Effect.fnUntraced(function*({ query }) {
          const { feed, registry } = resources
          const { circuit, limit = DEFAULT_LIMIT, offset = 0 } = query
          const names = circuit === undefined ? yield* registry.names : [(yield* find(resources, circuit)).name]
          const breakers = yield* findAll(resources, names.slice(offset, offset + limit))
          const policies = yield* Effect.forEach(
            breakers,
            (breaker) => Effect.map(breaker.policy, (policy) => [breaker.name, policy] as const)
          )
          return {
            ...(yield* effectiveConfig(policies)),
            total: names.length,
            offset,
            limit,
            admin: {
              token: settings.token === undefined ? "not set" as const : "set" as const,
              changes: settings.changes,
              read_access: settings.readAccess,
              allowed_hosts: settings.allowedHosts,
              subscribers: feed.size,
              max_subscribers: feed.maxSubscribers
            }
          }
        }),
        openapi: () =>
          Effect.sync(() => ({
            ...OpenApi.fromApi(Api),
            servers: [{ url: settings.prefix === "" ? "/" : settings.prefix }]
          } as unknown as Schema.Json))
      })
  )
