/**
 * The settings of one admin API, checked and with their defaults.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type { HealthSummary, ReadAccess } from "../Admin.ts"

export interface Settings {
  readonly token: Redacted.Redacted | undefined
  readonly changes: boolean
  readonly readAccess: ReadAccess
  readonly allowedHosts: ReadonlyArray<string>
  readonly prefix: string
  readonly maxBodySize: number
  readonly maxRequests: number
  readonly maxAnswerBytes: number
  readonly maxSubscribers: number
  readonly subscriberBuffer: number
  readonly replay: number
  readonly heartbeat: Duration.Duration
  readonly historyPerCircuit: number
  readonly historyTotal: number
  readonly health: Effect.Effect<HealthSummary> | undefined
  readonly dashboard: boolean
}
