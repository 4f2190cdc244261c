/**
 * What a circuit follows: a policy compiled into the rules of the state machine
 * and into what to time.
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import type { CircuitPolicy } from "../../CircuitPolicy.ts"
import type { Rules } from "./machine.ts"
import { exponentialOpenTime } from "./openTime.ts"

/** What a circuit needs the time for, beside what its policy asks for. */
export interface Needs {
  /** To know when the circuit was last used. */
  readonly use: boolean
  /** To tell observers how long calls took. */
  readonly durations: boolean
}

/** Shared by all circuits of one policy and the same needs. */
export interface Settings {
  readonly policy: CircuitPolicy
  readonly rules: Rules
  readonly needs: Needs
  /** Whether durations are measured. */
  readonly measured: boolean
  /** Whether the end of every call needs the time. */
  readonly clocked: boolean
  /** Whether the beginning of every call needs the time. */
  readonly startClocked: boolean
  readonly slowCallTime: number
}

/** The settings of a policy. Only a schedule is compiled for each circuit, which replays its own. */
export const settingsOf = (policy: CircuitPolicy, needs: Needs, context: Context.Context<never>): Settings => {
  if (Schedule.isSchedule(policy.openDuration)) return compile(policy, rulesOf(policy, context), needs)
  let variants = compiled.get(policy)
  if (variants === undefined) compiled.set(policy, variants = { rules: rulesOf(policy, context), settings: [] })
  return variants.settings[indexOf(needs)] ??= compile(policy, variants.rules, needs)
}

/** The settings for an equal policy or other needs. The rules stay, so that a schedule is not replayed again. */
export const adapted = (
  settings: Settings,
  { needs = settings.needs, policy = settings.policy }: { readonly needs?: Needs; readonly policy?: CircuitPolicy },
  context: Context.Context<never>
): Settings =>
  Schedule.isSchedule(policy.openDuration)
    ? compile(policy, settings.rules, needs)
    : settingsOf(policy, needs, context)

const compiled = new WeakMap<CircuitPolicy, { readonly rules: Rules; readonly settings: Array<Settings> }>()

const indexOf = (needs: Needs): number => (needs.use ? 1 : 0) + (needs.durations ? 2 : 0)

const compile = (policy: CircuitPolicy, rules: Rules, needs: Needs): Settings => {
  const { interruptedAfter, measureDuration, slowCallDuration, window } = policy
  const measured = measureDuration || slowCallDuration !== undefined || needs.durations
  return {
    policy,
    rules,
    needs,
    measured,
    clocked: needs.use || measured || "duration" in window,
    startClocked: measured || interruptedAfter !== undefined,
    slowCallTime: slowCallDuration === undefined ? Infinity : Duration.toMillis(slowCallDuration)
  }
}

const rulesOf = (policy: CircuitPolicy, context: Context.Context<never>): Rules => ({
  consecutiveFailures: policy.consecutiveFailures ?? Infinity,
  failureRate: policy.failureRate ?? Infinity,
  slowCallRate: policy.slowCallRate ?? Infinity,
  // A policy that was spread into another may ask for more calls than its window holds.
  minimumCalls: "calls" in policy.window ? Math.min(policy.minimumCalls, policy.window.calls) : policy.minimumCalls,
  window: "calls" in policy.window
    ? policy.window
    : { millis: Duration.toMillis(policy.window.duration), buckets: policy.window.buckets },
  halfOpenMaxCalls: policy.halfOpenMaxCalls,
  successThreshold: policy.successThreshold,
  halfOpenSample: policy.halfOpenSample,
  halfOpenTimeout: Duration.toMillis(policy.halfOpenTimeout),
  recovery: policy.recovery &&
    { duration: Duration.toMillis(policy.recovery.duration), initial: policy.recovery.initial },
  openTime: openTimeOf(policy.openDuration, context),
  maxOpenTime: Duration.toMillis(policy.maxOpenDuration)
})

const openTimeOf = (
  openDuration: CircuitPolicy["openDuration"],
  context: Context.Context<never>
): Rules["openTime"] => {
  if (Schedule.isSchedule(openDuration)) return scheduleOpenTime(openDuration, context)
  if (Duration.isDuration(openDuration)) {
    const millis = Duration.toMillis(openDuration)
    return () => millis
  }
  return exponentialOpenTime({
    initial: Duration.toMillis(openDuration.initial),
    multiplier: openDuration.multiplier,
    maximum: Duration.toMillis(openDuration.maximum),
    jitter: openDuration.jitter
  })
}

/**
 * Replays a schedule: its n-th delay is the time of the n-th opening, its last
 * one repeats. Its clock is the time spent open, so `upTo` measures that.
 */
const scheduleOpenTime = (
  schedule: Schedule.Schedule<unknown, number>,
  context: Context.Context<never>
): Rules["openTime"] => {
  const step = Effect.runSyncWith(context)(Schedule.toStep(schedule))
  const delays: Array<number> = []
  let elapsed = 0
  const next = (): Exit.Exit<unknown, unknown> => {
    const exit = Effect.runSyncExitWith(context)(step(elapsed, delays.length + 1))
    if (Exit.isSuccess(exit)) {
      const delay = Duration.toMillis(exit.value[1])
      delays.push(delay)
      elapsed += delay
    }
    return exit
  }
  // The first delay is taken now, so that a schedule that cannot be replayed is found where the circuit is made.
  let last = next()
  if (Exit.isFailure(last) && !Pull.isDoneCause(last.cause)) {
    throw new RangeError(
      "CircuitPolicy.make: openDuration must be a schedule that gives its delays without waiting or dying, " +
        `got one that does not (${Cause.pretty(last.cause).split("\n")[0]})`
    )
  }
  return (opening) => {
    while (Exit.isSuccess(last) && delays.length < opening) last = next()
    return delays[Math.min(opening, delays.length) - 1] ?? 0
  }
}
