/** Policies for common cases. `CircuitPolicy` documents them. */
import { exponential, makePreset } from "./policy.ts"

export const fastFail = /* @__PURE__ */ makePreset("fastFail", { consecutiveFailures: 3, openDuration: "30 seconds" })

export const resilient = /* @__PURE__ */ makePreset("resilient", {
  consecutiveFailures: 10,
  openDuration: /* @__PURE__ */ exponential({ initial: "2 minutes" })
})

export const aggressive = /* @__PURE__ */ makePreset("aggressive", {
  consecutiveFailures: 3,
  openDuration: "30 seconds",
  halfOpenMaxCalls: 2,
  successThreshold: 2
})

export const conservative = /* @__PURE__ */ makePreset("conservative", {
  consecutiveFailures: 10,
  openDuration: "2 minutes",
  halfOpenMaxCalls: 5,
  successThreshold: 3
})

export const production = /* @__PURE__ */ makePreset("production", {
  consecutiveFailures: 5,
  openDuration: "1 minute",
  halfOpenMaxCalls: 3,
  successThreshold: 2
})

export const database = /* @__PURE__ */ makePreset("database", {
  consecutiveFailures: 5,
  openDuration: "1 minute",
  halfOpenMaxCalls: 1,
  successThreshold: 1
})

export const kafka = /* @__PURE__ */ makePreset("kafka", {
  consecutiveFailures: 3,
  openDuration: "30 seconds",
  halfOpenMaxCalls: 1,
  successThreshold: 1
})

export const presets = { fastFail, resilient, aggressive, conservative, production, database, kafka }
