/** Small worlds: policies with limits of two or three, and times of a few milliseconds. */
import type { World } from "./explore.ts"
import type { Action, Policy } from "./specification.ts"

const policy = (options: Partial<Policy>): Policy => ({
  minimumCalls: 1,
  window: { calls: 2 },
  openDuration: { initial: 2, multiplier: 1, maximum: 2, jitter: 0 },
  maxOpenDuration: 10,
  halfOpenMaxCalls: 1,
  successThreshold: 1,
  halfOpenTimeout: 3,
  ...options
})

const manual: ReadonlyArray<Action> = [
  { _tag: "ForceOpen", duration: Infinity },
  { _tag: "ForceOpen", duration: 2 },
  { _tag: "ForceClose" },
  { _tag: "Disable" },
  { _tag: "MetricsOnly" },
  { _tag: "Reset" }
]

/** Failures in a row; several probes and successes; backoff. */
const consecutive = (calls: number): World => ({
  name: "consecutive failures",
  policies: [policy({
    consecutiveFailures: 2,
    openDuration: { initial: 1, multiplier: 2, maximum: 4, jitter: 0 },
    halfOpenMaxCalls: 2,
    successThreshold: 2
  })],
  calls,
  steps: [1, 50]
})

/** A failure rate over the last calls. */
const countRate = (calls: number, size: number): World => ({
  name: "failure rate of the last calls",
  policies: [policy({ failureRate: 0.5, minimumCalls: 2, window: { calls: size } })],
  calls,
  steps: [1, 7]
})

/** A failure rate over a time. */
const timeRate = (calls: number, callsInWindow: number, buckets: number): World => ({
  name: "failure rate of the latest calls",
  policies: [policy({ failureRate: 0.6, minimumCalls: 3, window: { duration: 2 * buckets, buckets } })],
  calls,
  callsInWindow,
  steps: [1, 9]
})

const slowCalls = (calls: number, slowCallDuration: number): World => ({
  name: "slow calls",
  policies: [policy({
    slowCallRate: 0.5,
    slowCallDuration,
    failureRate: 1,
    minimumCalls: 2,
    window: { calls: 3 },
    halfOpenMaxCalls: 2,
    successThreshold: 2
  })],
  calls,
  steps: [1]
})

/** A rate over a fixed number of probes. */
const sample = (calls: number): World => ({
  name: "half-open sample",
  policies: [policy({
    consecutiveFailures: 1,
    halfOpenMaxCalls: 2,
    halfOpenSample: { calls: 4, failureRate: 0.5 }
  })],
  calls,
  steps: [1, 20],
  commands: [{ _tag: "ForceOpen", duration: 2 }]
})

const byHand = (calls: number): World => ({
  name: "manual control",
  policies: [policy({ consecutiveFailures: 2, failureRate: 0.9, minimumCalls: 2, halfOpenMaxCalls: 2 })],
  calls,
  steps: [1],
  commands: manual
})

/** Openings that depend on hints and on chance, and fractions of a millisecond. */
const openTimes = (calls: number, commands: ReadonlyArray<Action>): World => ({
  name: "open times",
  policies: [policy({
    consecutiveFailures: 1,
    openDuration: { initial: 1, multiplier: 1.5, maximum: 3, jitter: 0.5 },
    maxOpenDuration: 5
  })],
  calls,
  steps: [0.5, 1],
  retryAfter: [2, 9],
  draws: [0, 0.75],
  commands
})

/** Policies that differ in everything, one after the other. */
const otherPolicies = (calls: number, callsInWindow: number, commands: ReadonlyArray<Action>): World => ({
  name: "other policies",
  policies: [
    policy({ consecutiveFailures: 2, halfOpenMaxCalls: 2, successThreshold: 2 }),
    policy({
      failureRate: 0.5,
      minimumCalls: 2,
      window: { duration: 2, buckets: 2 },
      openDuration: { initial: 1, multiplier: 1, maximum: 1, jitter: 0 },
      halfOpenMaxCalls: 1,
      halfOpenSample: { calls: 2, failureRate: 0.6 },
      halfOpenTimeout: 2
    }),
    policy({ consecutiveFailures: 3, slowCallRate: 1, slowCallDuration: 1, minimumCalls: 2, halfOpenMaxCalls: 3 })
  ],
  calls,
  callsInWindow,
  steps: [1],
  commands
})

/** Limits of zero, which nothing breaks that has not failed and was not slow. */
const zero = (calls: number, size: number): World => ({
  name: "rates of zero",
  policies: [policy({
    failureRate: 0,
    slowCallRate: 0,
    slowCallDuration: 1,
    minimumCalls: 2,
    window: { calls: size },
    halfOpenMaxCalls: 2,
    halfOpenSample: { calls: 2, failureRate: 0 }
  })],
  calls,
  steps: [1],
  commands: [{ _tag: "MetricsOnly" }, { _tag: "ForceClose" }]
})

/** Probes are waited for as long as they take. */
const patient = (calls: number): World => ({
  name: "no half-open timeout",
  policies: [policy({ consecutiveFailures: 1, halfOpenMaxCalls: 2, successThreshold: 3, halfOpenTimeout: Infinity })],
  calls,
  steps: [1, 100],
  commands: [{ _tag: "ForceOpen", duration: 1 }, { _tag: "Reset" }]
})

/** Calls come back little by little, with the draws that decide who may, and a share that a draw hits exactly. */
const ramp = (calls: number, commands: ReadonlyArray<Action>): World => ({
  name: "recovery ramp",
  policies: [policy({
    consecutiveFailures: 2,
    minimumCalls: 5,
    window: { calls: 5 },
    halfOpenMaxCalls: 2,
    recovery: { duration: 3, initial: 0.25 }
  })],
  calls,
  steps: [1, 20],
  retryAfter: [4],
  luck: [0, 0.25, 0.9],
  commands
})

/** A ramp that minds slow calls and forgets old ones, after a sample of probes. */
const slowRamp = (calls: number, callsInWindow: number): World => ({
  name: "slow recovery ramp",
  policies: [policy({
    slowCallRate: 0.6,
    slowCallDuration: 1,
    minimumCalls: 2,
    window: { duration: 4, buckets: 2 },
    halfOpenSample: { calls: 1, failureRate: 1 },
    recovery: { duration: 5, initial: 1 }
  })],
  calls,
  callsInWindow,
  steps: [1]
})

/** Policies with and without a ramp, while it goes on. */
const otherRamps = (calls: number, commands: ReadonlyArray<Action>): World => ({
  name: "other recovery ramps",
  policies: [
    policy({ failureRate: 0.5, minimumCalls: 2, recovery: { duration: 2, initial: 0.5 } }),
    policy({ failureRate: 1, minimumCalls: 1, recovery: { duration: 4, initial: 0.25 } }),
    policy({ consecutiveFailures: 1, window: { calls: 1 } })
  ],
  calls,
  steps: [1],
  luck: [0, 0.6],
  commands
})

/** A few seconds for all. */
export const small: ReadonlyArray<World> = [
  consecutive(3),
  countRate(2, 3),
  timeRate(2, 3, 2),
  slowCalls(2, 1),
  sample(3),
  byHand(2),
  openTimes(1, []),
  otherPolicies(1, 2, []),
  zero(2, 2),
  patient(3),
  ramp(1, []),
  slowRamp(1, 2),
  otherRamps(2, [])
]

/** Some minutes for all. */
export const deep: ReadonlyArray<World> = [
  consecutive(6),
  countRate(4, 6),
  timeRate(3, 6, 3),
  slowCalls(5, 2),
  sample(5),
  byHand(4),
  openTimes(4, [{ _tag: "ForceClose" }, { _tag: "Disable" }]),
  zero(4, 3),
  patient(6),
  ramp(3, manual),
  slowRamp(3, 4),
  otherRamps(3, manual),
  otherPolicies(3, 4, manual)
]
