/** Runs checks: one run of a check at a time, some checks at once, again after each interval. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Semaphore from "effect/Semaphore"
import { nowMillis } from "../time/monotonic.ts"
import type { Entry } from "./entry.ts"
import * as Reasons from "./reasons.ts"
import type { Run } from "./run.ts"
import { after } from "./thresholds.ts"

export interface Runner {
  readonly slots: Semaphore.Semaphore
  /** Called after each run. */
  readonly onResult: () => void
  /** What a caller does whose run has ended without a result, since the check or the monitor is gone. */
  readonly onStopped: Effect.Effect<void>
}

/** Waits for the run in progress, or for one that starts now. Interrupting the caller does not interrupt the run. */
export const runCheck = (runner: Runner, entry: Entry): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (entry.check === undefined) return Effect.void
    const running = entry.running ?? entry.fibers.start(runOnce(runner, entry, entry.check))
    if (running === undefined) return runner.onStopped
    if (entry.running === undefined) {
      entry.running = running
      running.addObserver(() => {
        entry.running = undefined
      })
    }
    return Effect.flatMap(Fiber.await(running), (exit) => Exit.isSuccess(exit) ? Effect.void : runner.onStopped)
  })

/** Runs a check at once and then at each interval. A slow run does not move the next one. */
export const runForever = (runner: Runner, entry: Entry, jitter: number): Effect.Effect<never> =>
  Effect.gen(function*() {
    const startedAt = yield* nowMillis
    yield* runCheck(runner, entry)
    const period = spread(Duration.toMillis(entry.settings.interval), jitter, yield* Random.next)
    yield* Effect.sleep(Math.max(0, period - ((yield* nowMillis) - startedAt)))
  }).pipe(Effect.forever)

/** An interval changed by up to the share `jitter` of itself; `random` is 0 to 1. */
export const spread = (millis: number, jitter: number, random: number): number =>
  millis * (1 + jitter * (2 * random - 1))

const runOnce = (runner: Runner, entry: Entry, check: Run<unknown, unknown>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const startedAt = yield* nowMillis
    const hangs = check.isRunning
    if (!hangs) entry.startedAt = startedAt
    const result = hangs
      ? [Reasons.hanging(Duration.millis(startedAt - entry.startedAt))]
      : Reasons.ofExit(yield* Effect.exit(check.attempt))
    const { reasons, recent } = after({ reasons: entry.last.reasons, recent: entry.recent }, result, entry.settings)
    entry.recent = recent
    entry.last = {
      reasons,
      checkedAt: yield* DateTime.now,
      duration: Duration.millis((yield* nowMillis) - startedAt)
    }
    runner.onResult()
  }).pipe(Semaphore.withPermits(runner.slots, 1))
