/**
 * What the head of a request tells, on the servers of Node and of the web
 * platform.
 */
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Option from "effect/Option"
import { refusalOf as refusalOfHead } from "./guard.ts"
import type { Reader } from "./feed.ts"
import type { Client } from "./load.ts"
import type { Settings } from "./settings.ts"

export type Request = HttpServerRequest

export const addressOf = (request: Request): string | undefined => Option.getOrUndefined(request.remoteAddress)

export const peerOf = (request: Request): string | undefined => Option.getOrUndefined(request.peerAddress)

export const clientOf = (request: Request): Client => {
  const { socket } = request.source as { readonly socket?: unknown }
  return {
    connection: typeof socket === "object" && socket !== null ? socket : undefined,
    address: peerOf(request) ?? addressOf(request)
  }
}

/** The client of a request that is still being answered. */
export const readerOf = (request: Request): Reader => {
  const client = clientOf(request)
  const { server } = (client.connection ?? {}) as { readonly server?: { readonly listening?: unknown } }
  return { ...client, isClosing: () => server?.listening === false, disconnect: () => disconnect(client) }
}

export const disconnect = ({ connection }: Client): void => {
  const { destroy } = (connection ?? {}) as { readonly destroy?: unknown }
  if (typeof destroy === "function") destroy.call(connection)
}

/** Why the request is refused, whatever its token. */
export const refusalOf = (
  { allowedHosts }: Settings,
  { headers, method, originalUrl }: Request,
  isOpenToLinks?: boolean
) => refusalOfHead({ headers, method, url: originalUrl }, allowedHosts, isOpenToLinks)
