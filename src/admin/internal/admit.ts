/**
 * Lets a request in if there is room for its answer, and holds the room until
 * the client has read the answer.
 */
import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import { setBody } from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import type * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { TooManyRequestsError } from "../AdminApi.ts"
import { type Admission, READ_MILLIS } from "./load.ts"
import { clientOf, disconnect, type Request } from "./request.ts"

/** Answers if there is room, or fails. The room is free again once the client has read the answer or is gone. */
export const admit = <E, R>(
  admission: Admission,
  request: Request,
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
  inTurn?: Semaphore.Semaphore
): Effect.Effect<HttpServerResponse.HttpServerResponse, E | TooManyRequestsError, R | Scope.Scope> =>
  Effect.gen(function*() {
    const client = clientOf(request)
    const place = yield* Effect.acquireRelease(
      Effect.sync(() => admission.enter(client)),
      (place) => Effect.sync(() => place?.leave())
    )
    if (place === undefined) return yield* tooBusy()
    const carried = Effect.suspend(() =>
      place.isCrowded() ? Effect.undefined : Effect.map(answer, (response) => {
        const { body } = response
        return body._tag !== "Uint8Array" || place.carry(body.contentLength) ? response : undefined
      })
    )
    const response = yield* inTurn === undefined ? carried : inTurn.withPermits(1)(carried)
    if (response === undefined) return yield* tooBusy()
    const { body } = response
    // Readers of events stay, and have their own limit.
    if (body._tag === "Stream") place.leave()
    if (body._tag !== "Uint8Array") return response
    yield* Effect.sleep(READ_MILLIS).pipe(
      Effect.andThen(Effect.sync(() => {
        place.leave()
        disconnect(client)
      })),
      Effect.forkScoped
    )
    return readToTheEnd(request, response, body)
  })

const tooBusy = () =>
  new TooManyRequestsError({ message: "as many answers as are allowed are under way or not read yet; try again later" })

/**
 * Keeps the scope of the request open until the client has the whole answer:
 * servers of Node wait for that with a raw body, those of the web platform with
 * a stream.
 */
const readToTheEnd = (
  { source }: Request,
  response: HttpServerResponse.HttpServerResponse,
  { body, contentLength, contentType }: HttpBody.Uint8Array
) =>
  setBody(
    response,
    source instanceof globalThis.Request
      ? HttpBody.stream(Stream.succeed(body), contentType, contentLength)
      : HttpBody.raw(body, { contentType, contentLength })
  )
