/**
 * What the endpoints share: the registry, its history and live events, the flow
 * through tiers, the load and the source of health.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as RcRef from "effect/RcRef"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { CircuitBreakerRegistry } from "../../CircuitBreakerRegistry.ts"
import { writeLog } from "../../internal/telemetry/writeLog.ts"
import { type TierFlows, watchFlows } from "../../internal/tiers/flow.ts"
import { nowMillis } from "../../internal/time/monotonic.ts"
import { Feed, History } from "./feed.ts"
import { fromMonitor, type HealthSource } from "./health.ts"
import { Admission } from "./load.ts"
import type { Settings } from "./settings.ts"

/** What the endpoints share. */
export interface Resources {
  readonly registry: CircuitBreakerRegistry
  readonly history: History
  readonly feed: Feed
  readonly flows: TierFlows
  readonly admission: Admission
  /** Publishes calls as well, until the scope closes. */
  readonly calls: Effect.Effect<unknown, never, Scope.Scope>
  /** Ends streams that hold up what is to end, until the scope closes. */
  readonly sweeps: Effect.Effect<unknown, never, Scope.Scope>
  readonly health: HealthSource | undefined
}

const SWEEP = "250 millis"

/** Follows the registry until the scope closes. */
export const acquire = Effect.fnUntraced(function*(
  settings: Settings
): Effect.fn.Return<Resources, never, CircuitBreakerRegistry | Scope.Scope> {
  const registry = yield* CircuitBreakerRegistry
  const history = new History({ perCircuit: settings.historyPerCircuit, total: settings.historyTotal })
  const run = (yield* Clock.currentTimeMillis).toString(36)
  const feed = new Feed(run, {
    maxSubscribers: settings.maxSubscribers,
    buffer: settings.subscriberBuffer,
    replay: settings.replay
  })
  yield* registry.changes.pipe(
    Stream.runForEach((change) =>
      follow(() => {
        if (change._tag === "StateChanged") history.add(change)
        feed.publish(change)
      })
    ),
    Effect.forkScoped({ startImmediately: true })
  )
  // A registry with a listener to calls makes an event of each call: listen only while a client asks for them.
  const calls = yield* RcRef.make({
    acquire: registry.events.pipe(
      Stream.runForEach((event) => follow(() => event._tag === "CallEnded" && feed.publishCall(event))),
      Effect.forkScoped({ startImmediately: true })
    )
  })
  // Node does not tell that a server begins to end, so it is looked for while anybody reads.
  const sweeps = yield* RcRef.make({
    acquire: Effect.map(nowMillis, (now) => feed.sweep(now)).pipe(
      Effect.schedule(Schedule.spaced(SWEEP)),
      Effect.forkScoped
    )
  })
  yield* Effect.sync(() => feed.beat()).pipe(
    Effect.schedule(Schedule.spaced(settings.heartbeat)),
    Effect.forkScoped
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => feed.end()))
  return {
    registry,
    history,
    feed,
    flows: watchFlows(registry),
    admission: new Admission({ requests: settings.maxRequests, bytes: settings.maxAnswerBytes }),
    calls: RcRef.get(calls),
    sweeps: RcRef.get(sweeps),
    health: settings.health === undefined
      ? yield* fromMonitor
      : { status: settings.health, summary: settings.health }
  }
})

/** An event that cannot be published does not stop those that follow. */
const follow = (f: () => void): Effect.Effect<void> =>
  Effect.catchDefect(Effect.sync(f), (defect) => writeLog(Effect.logError("admin_event_failed", defect)))
