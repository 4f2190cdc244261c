/**
 * How the circuits, timeouts and retries of the demo are set: short enough for
 * a run of half a minute, unless the environment says otherwise
 * (`CIRCUIT_BREAKER_…`, `CB_TIER1_MCP_…`, `MAX_RETRY_ATTEMPTS`, `RETRY_…`).
 */
import { ConfigProvider, Duration, Effect } from "effect"
import { CircuitPolicy } from "effect-resilience"
import * as Environment from "effect-resilience/Environment"
import { TIERS } from "./journal.ts"

const circuits = (speed: number) =>
  CircuitPolicy.make({
    consecutiveFailures: 3,
    openDuration: CircuitPolicy.exponential({
      initial: Duration.seconds(1 / speed),
      maximum: Duration.seconds(2 / speed)
    }),
    halfOpenMaxCalls: 2
  })

/** Written as variables, to stand behind those of the environment. */
const variables = {
  CIRCUIT_BREAKER_REQUEST_TIMEOUT_SECONDS: "0.25",
  MAX_RETRY_ATTEMPTS: "2",
  RETRY_BASE_DELAY: "0.02",
  RETRY_MAX_DELAY: "0.1"
}

export const load = (speed: number) =>
  Environment.load({
    defaults: circuits(speed),
    circuits: Object.fromEntries(TIERS.map((tier) => [tier, undefined]))
  }).pipe(
    Effect.provideService(
      ConfigProvider.ConfigProvider,
      ConfigProvider.fromEnv().pipe(ConfigProvider.orElse(ConfigProvider.fromEnv({ env: variables })))
    )
  )
