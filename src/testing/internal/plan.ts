/** What happens to a call at a point: plain functions of the policies, the call and the numbers drawn for it. */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import { checkDuration, checkFunction, checkOptions, checkRate } from "../../internal/check.ts"
import { percent } from "../../internal/words.ts"
import type { Call, Kind, Policy, PolicyOptions } from "../Chaos.ts"
import { draw } from "./draw.ts"

export const KINDS = [
  "fault",
  "outage",
  "flapping",
  "defect",
  "interruption",
  "hang",
  "block",
  "latency",
  "degradation",
  "outcome",
  "behaviour"
] as const

/** What a policy does to a call. */
export type Step<A, E, R> =
  | {
    readonly _tag: "Before"
    readonly run: Effect.Effect<unknown, E, R>
    readonly delay?: Duration.Duration | undefined
  }
  | { readonly _tag: "Instead"; readonly run: Effect.Effect<A, E, R> }
  | { readonly _tag: "Fail"; readonly error: ((call: Call) => E) | undefined; readonly at: "request" | "response" }

/** A step and the kind of the policy that it comes from. */
export interface Planned<A, E, R> {
  readonly kind: Kind
  readonly step: Step<A, E, R>
}

/** The calls that a policy applies to; times are milliseconds since the start. */
export interface Calls {
  readonly rate: number
  readonly from: number
  readonly until: number
  readonly when: ((call: Call) => boolean) | undefined
}

export const checkCalls = (kind: Kind, options: PolicyOptions, known: ReadonlyArray<string>): Calls => {
  checkOptions(`Chaos.${kind}`, options, known)
  const from = Duration.toMillis(checkDuration(`Chaos.${kind}: from`, options.from ?? 0, { finite: true }))
  const length = Duration.toMillis(checkDuration(`Chaos.${kind}: for`, options.for ?? Duration.infinity))
  return {
    rate: checkRate(`Chaos.${kind}: rate`, options.rate ?? 1),
    from,
    until: from + length,
    when: checkFunction(`Chaos.${kind}: when`, options.when)
  }
}

/** Whether a policy applies to a call, given a number from 0 to 1. */
export const applies = ({ from, rate, until, when }: Calls, call: Call, chance: number): boolean => {
  const elapsed = Duration.toMillis(call.elapsed)
  return chance < rate && elapsed >= from && elapsed < until && (when === undefined || when(call))
}

/** As `latency of 200ms, 10% of calls, from 10s, for 30s`. */
export const describe = (kind: Kind, { from, rate, until, when }: Calls, details = ""): string =>
  [
    `${kind}${details === "" ? "" : ` ${details}`}`,
    ...(rate < 1 ? [`${percent(rate)} of calls`] : []),
    ...(from > 0 ? [`from ${Duration.format(Duration.millis(from))}`] : []),
    ...(until < Infinity ? [`for ${Duration.format(Duration.millis(until - from))}`] : []),
    ...(when === undefined ? [] : ["calls chosen by a predicate"])
  ].join(", ")

/** The steps for a call, in the order in which they happen. `key` is that of the seed and the point. */
export const plan = <A, E, R>(
  policies: ReadonlyArray<Policy<A, E, R>>,
  key: number,
  call: Call
): ReadonlyArray<Planned<A, E, R>> => {
  const steps: Array<Planned<A, E, R>> = []
  for (const [index, { decide, kind }] of policies.entries()) {
    const step = decide(call, draw(key, call.number, 2 * index), draw(key, call.number, 2 * index + 1))
    if (step === undefined) continue
    steps.push({ kind, step })
    // What replaces the call, or its answer, ends the list.
    if (step._tag !== "Before") break
  }
  return steps
}
