import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { CircuitBreaker } from "../../CircuitBreaker.ts"
import type { Thresholds } from "./thresholds.ts"

/** The options of a monitor, checked and with defaults filled in. */
export interface Settings {
  readonly checks: ReadonlyArray<readonly [name: string, check: CheckSettings]>
  readonly includes: (circuit: string) => boolean
  readonly defaults: CheckDefaults
  readonly jitter: number
  readonly concurrency: number
}

/** What the monitor sets for checks that do not say otherwise. */
export interface CheckDefaults extends Thresholds {
  readonly interval: Duration.Duration
}

/** The options of a check, checked and with defaults filled in. The context of its fibers has the services it needs. */
export interface CheckSettings extends Thresholds {
  readonly check: Effect.Effect<unknown, unknown> | undefined
  readonly probe: Effect.Effect<unknown, unknown> | undefined
  readonly circuit: string | CircuitBreaker | undefined
  readonly interval: Duration.Duration
  readonly timeout: Duration.Duration
  readonly critical: boolean
}
