/**
 * The changes that an operator makes, and their log lines.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import { type CircuitBreaker, withNote } from "../../CircuitBreaker.ts"
import * as CircuitMetrics from "../../CircuitMetrics.ts"
import { escapeUnsafe } from "../../internal/plainText.ts"
import { writeLog } from "../../internal/telemetry/writeLog.ts"
import { parseDuration } from "../../internal/time/durationText.ts"
import { type Change, type ForceOpen, InvalidRequestError } from "../AdminApi.ts"
import { toJson } from "./circuitJson.ts"
import { quote } from "./guard.ts"
import { find } from "./lookup.ts"
import { ACCEPTED, UNTIL_RELEASED } from "./openFor.ts"
import { addressOf, type Request } from "./request.ts"
import type { Resources } from "./resources.ts"

/** A request to change one circuit. */
interface CircuitRequest<A extends Change> {
  readonly params: { readonly name: string }
  readonly payload: A
  readonly request: Request
}

/** Changes a circuit and logs the change, even if the client disconnects in between. */
export const changeCircuit = (
  resources: Resources,
  { params, payload, request }: CircuitRequest<Change>,
  action: string,
  run: (breaker: CircuitBreaker) => Effect.Effect<void>,
  fields: Fields = {}
) =>
  Effect.uninterruptible(Effect.gen(function*() {
    const breaker = yield* find(resources, params.name)
    const before = CircuitMetrics.toJson(yield* breaker.metrics).state
    yield* withNote(run(breaker), noteOf(payload))
    const after = yield* toJson(breaker)
    const states = { circuit_breaker: params.name, old_state: before, new_state: after.state }
    yield* logChange(request, payload, action, { ...states, ...fields })
    return after
  }))

export const forceOpen = (resources: Resources, to: CircuitRequest<ForceOpen>) =>
  Effect.flatMap(durationOf(to.payload.duration), (duration) =>
    changeCircuit(
      resources,
      to,
      "circuit_forced_open",
      (breaker) => breaker.forceOpen({ duration }),
      duration === undefined ? {} : { duration_seconds: Duration.toSeconds(duration) }
    ))

export const resetAll = (
  { registry }: Resources,
  { payload, request }: { readonly payload: Change; readonly request: Request }
) =>
  Effect.uninterruptible(Effect.gen(function*() {
    const names = yield* registry.names
    // One by one, so that the history can follow: a burst of changes would lose some.
    yield* Effect.forEach(
      names,
      (name) => registry.reset(name).pipe(Effect.andThen(Effect.yieldNow), Effect.andThen(Effect.yieldNow)),
      { discard: true }
    ).pipe(withNote(noteOf(payload)))
    yield* logChange(request, payload, "circuits_reset", { circuits: names.length })
    return { reset: names.length }
  }))

const noteOf = ({ by, reason }: Change): string => `${reason} (by ${by})`

type Fields = Record.ReadonlyRecord<string, string | number>

const logChange = (request: Request, { by, reason }: Change, action: string, fields: Fields) =>
  Effect.logWarning(action).pipe(
    Effect.annotateLogs({
      ...Record.map(fields, (value) => typeof value === "string" ? escapeUnsafe(value) : value),
      by: escapeUnsafe(by),
      reason: escapeUnsafe(reason),
      remote_address: addressOf(request) ?? "unknown"
    }),
    writeLog
  )

const durationOf = (
  given: number | string | undefined
): Effect.Effect<Duration.Duration | undefined, InvalidRequestError> => {
  if (given === undefined || given === UNTIL_RELEASED) return Effect.undefined
  const duration = typeof given === "number" ? Duration.seconds(given) : parseDuration(given)
  if (duration !== undefined && Duration.isFinite(duration) && Duration.isGreaterThan(duration, Duration.zero)) {
    return Effect.succeed(duration)
  }
  const got = typeof given === "number" ? given : quote(given)
  const message = `body.duration: ${ACCEPTED}, got ${got}`
  return Effect.fail(new InvalidRequestError({ message }))
}
