/** When a call began that may have waited for its turn between its circuit and itself. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { monotonicMillis } from "../time/monotonic.ts"
import type { AnyCall } from "./stages.ts"

const Beginning = /* @__PURE__ */ Context.Reference<{ at: number | undefined } | undefined>(
  "effect-resilience/Beginning",
  { defaultValue: () => undefined }
)

const monotonicNow = (fiber: Fiber.Fiber<unknown, unknown>): number => monotonicMillis(fiber.getRef(Clock.Clock))

/** Notes when the call begins. */
export const begins = (call: AnyCall): AnyCall =>
  Effect.withFiber((fiber) => {
    const beginning = fiber.getRef(Beginning)
    if (beginning !== undefined) beginning.at ??= monotonicNow(fiber)
    return call
  })

/** Runs a call that notes its beginning; `waited` tells how long it waited, or `undefined` if it has not begun. */
export const withBeginning = (
  self: AnyCall,
  run: (self: AnyCall, waited: () => Duration.Duration | undefined) => AnyCall
): AnyCall =>
  Effect.withFiber((fiber) => {
    const startedAt = monotonicNow(fiber)
    const beginning: { at: number | undefined } = { at: undefined }
    return run(
      Effect.provideService(self, Beginning, beginning),
      () => beginning.at === undefined ? undefined : Duration.millis(beginning.at - startedAt)
    )
  })
