/** Reading the environment, once at start-up. */
import { Environment } from "effect-resilience"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import { inFiber } from "../loops.ts"
import { type Group, OURS, timed } from "../model.ts"

const env = {
  CIRCUIT_BREAKER_FAILURE_THRESHOLD: "5",
  CIRCUIT_BREAKER_FAILURE_RATE_THRESHOLD: "0.5",
  CIRCUIT_BREAKER_MINIMUM_REQUEST_THRESHOLD: "10",
  CIRCUIT_BREAKER_FAILURE_WINDOW_SECONDS: "60",
  CIRCUIT_BREAKER_RECOVERY_TIMEOUT: "60 seconds",
  CIRCUIT_BREAKER_HALF_OPEN_CALLS: "3",
  CIRCUIT_BREAKER_SUCCESS_THRESHOLD: "2",
  MAX_RETRY_ATTEMPTS: "3",
  RETRY_BASE_DELAY: "1.0",
  HEALTH_CHECK_INTERVAL: "30"
}

const circuits = Object.fromEntries(
  Array.from({ length: 20 }, (_, index) => [`CB_SERVICE_${index}_FAILURE_THRESHOLD`, "3"])
)

const context = (variables: Readonly<Record<string, string>>) =>
  Context.make(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env: variables })) as unknown as Context.Context<
    never
  >

const byHand = Config.all({
  failureThreshold: Config.Int("CIRCUIT_BREAKER_FAILURE_THRESHOLD"),
  failureRate: Config.Number("CIRCUIT_BREAKER_FAILURE_RATE_THRESHOLD"),
  minimumCalls: Config.Int("CIRCUIT_BREAKER_MINIMUM_REQUEST_THRESHOLD"),
  window: Config.Number("CIRCUIT_BREAKER_FAILURE_WINDOW_SECONDS"),
  recovery: Config.Duration("CIRCUIT_BREAKER_RECOVERY_TIMEOUT"),
  halfOpenCalls: Config.Int("CIRCUIT_BREAKER_HALF_OPEN_CALLS"),
  successThreshold: Config.Int("CIRCUIT_BREAKER_SUCCESS_THRESHOLD"),
  maxAttempts: Config.Int("MAX_RETRY_ATTEMPTS"),
  baseDelay: Config.Number("RETRY_BASE_DELAY"),
  interval: Config.Number("HEALTH_CHECK_INTERVAL")
})

export const config: Group = {
  name: "config",
  cases: [
    timed("decoding the environment", async () => [
      { name: "Config.all by hand, ten variables", run: inFiber(() => byHand, context(env)) },
      { name: OURS, run: inFiber(() => Environment.load(), context(env)) },
      {
        name: "and of twenty circuits",
        run: inFiber(() => Environment.load(), context({ ...env, ...circuits }))
      }
    ], "load")
  ]
}
