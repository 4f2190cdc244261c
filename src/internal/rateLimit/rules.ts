/** How a rate limit limits calls: its options, checked and with their defaults. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { CallOptions, OnStoreError, Options, RateLimit, TypeId as TypeIdType } from "../../RateLimit.ts"
import type { RateLimitExceededError } from "../../ResilienceError.ts"
import { checkCount, checkDuration, checkName, checkOneOf, checkOptions, checkString, optionNames } from "../check.ts"
import { rateLimitExceededError } from "../error/rejection.ts"
import type { Kind } from "../target.ts"
import { type Algorithm, mostInAnyWindow } from "./window.ts"

export const TypeId: TypeIdType = "~effect-resilience/RateLimit"

export const isRateLimit = (u: unknown): u is RateLimit<unknown> => Predicate.hasProperty(u, TypeId)

export const RATE_LIMIT: Kind<RateLimit<unknown>> = {
  isValue: isRateLimit,
  accepted: "a value made with RateLimit.make or RateLimit.makeMemory, or the class of a service"
}

export interface Rules {
  readonly algorithm: Algorithm
  readonly limit: number
  readonly window: Duration.Duration
  readonly tokens: number
  /** Zero rejects what would have to wait. */
  readonly maxWait: Duration.Duration
  readonly onStoreError: OnStoreError
}

const OF_RULES = {
  limit: true,
  window: true,
  algorithm: true,
  onExceeded: true,
  maxWait: true,
  tokens: true,
  onStoreError: true
} as const

/** The options of a rate limit whose name is an argument, and of one whose name is an option. */
const OPTIONS = /* @__PURE__ */ optionNames<Options>(OF_RULES)
const NAMED_OPTIONS = /* @__PURE__ */ optionNames<Options & { readonly name: string }>({ name: true, ...OF_RULES })
const CALL_OPTIONS = /* @__PURE__ */ optionNames<CallOptions>({ key: true, tokens: true, maxWait: true })

const ALGORITHMS: ReadonlyArray<Algorithm> = ["fixed-window", "token-bucket", "sliding-window"]

export const parseNamed = (caller: string, options: Options & { readonly name: string }): readonly [string, Rules] => {
  const rules = parse(caller, options, NAMED_OPTIONS)
  return [checkName(`${caller}: name`, options.name), rules]
}

export const parse = (caller: string, options: Options, known: ReadonlyArray<string> = OPTIONS): Rules => {
  const { algorithm = "fixed-window", onExceeded = "fail", onStoreError = "allow" } = checkOptions(
    caller,
    options,
    known
  )
  checkOneOf(`${caller}: algorithm`, ALGORITHMS, algorithm)
  checkOneOf(`${caller}: onExceeded`, ["fail", "delay"], onExceeded)
  checkOneOf(`${caller}: onStoreError`, ["allow", "fail"], onStoreError)
  if (options.maxWait !== undefined && onExceeded !== "delay") {
    throw new RangeError(`${caller}: maxWait must come with onExceeded "delay", got "${onExceeded}"`)
  }
  const limit = checkCount(`${caller}: limit`, options.limit)
  const window = checkDuration(`${caller}: window`, options.window, { positive: true, finite: true })
  return {
    limit,
    window,
    algorithm,
    tokens: checkCount(`${caller}: tokens`, options.tokens ?? 1, limit),
    maxWait: onExceeded === "fail"
      ? Duration.zero
      : options.maxWait === undefined
      ? Duration.infinity
      : checkDuration(`${caller}: maxWait`, options.maxWait),
    onStoreError
  }
}

export const checkCall = (caller: string, options: CallOptions | undefined): void => {
  if (options === undefined) return
  const { key, maxWait } = checkOptions(caller, options, CALL_OPTIONS)
  if (key !== undefined) checkString(`${caller}: key`, key)
  if (maxWait !== undefined) checkDuration(`${caller}: maxWait`, maxWait)
}

/** What one call takes, with the defaults of its limit. */
export interface Take {
  readonly key: string | undefined
  readonly tokens: number
  readonly maxWait: Duration.Duration
}

export const takeOf = (rules: Rules, options: CallOptions): Take => {
  checkCall("RateLimit.execute", options)
  const { key, maxWait, tokens } = options
  return {
    key,
    tokens: tokens === undefined ? rules.tokens : checkCount("RateLimit.execute: tokens", tokens, rules.limit),
    maxWait: maxWait === undefined
      ? rules.maxWait
      : Duration.min(rules.maxWait, checkDuration("RateLimit.execute: maxWait", maxWait))
  }
}

export const describe = (rules: Rules): string => {
  const { algorithm, limit, maxWait, tokens } = rules
  const window = Duration.format(rules.window)
  const count = `${limit} ${tokens !== 1 ? "tokens" : limit === 1 ? "call" : "calls"}`
  const most = mostInAnyWindow(rules)
  const parts = most === limit
    ? [`at most ${count} in any ${window} (${algorithm})`]
    : [
      algorithm === "fixed-window"
        ? `at most ${count} per window of ${window} (fixed-window)`
        : `up to ${count} at once, refilled at ${limit} per ${window} (${algorithm})`,
      `at most ${most} in any ${window}`
    ]
  if (tokens !== 1) parts.push(`${tokens} per call`)
  parts.push(
    Duration.isZero(maxWait)
      ? "the rest rejected"
      : Duration.isFinite(maxWait)
      ? `the rest delayed up to ${Duration.format(maxWait)}`
      : "the rest delayed"
  )
  return parts.join(", ")
}

export const exceeded = (
  name: string,
  rules: Rules,
  retryAfter: Duration.Duration
): Effect.Effect<never, RateLimitExceededError> => Effect.fail(rateLimitExceededError(name, rules.limit, retryAfter))
