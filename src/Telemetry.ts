/**
 * Metrics of circuits, retries, timeouts and everything else that protects
 * calls, as Effect `Metric`s. Every exporter of those, such as
 * `PrometheusMetrics` and `OtlpMetrics` of `effect/observability`, exports them.
 *
 * **Details**
 *
 * | metric | attributes | |
 * | --- | --- | --- |
 * | `circuit_breaker_calls_total` | `circuit`, `outcome` | counter; `success`, `failure`, `ignored`, `rejected`, `late` |
 * | `circuit_breaker_state` | `circuit`, `state` | 1 for the current state, 0 for the others |
 * | `circuit_breaker_transitions_total` | `circuit`, `from`, `to` | counter |
 * | `circuit_breaker_call_duration_seconds` | `circuit` | histogram of calls that succeeded, failed or were late |
 * | `circuit_breaker_failure_rate` | `circuit` | over the policy's window, 0 to 1 |
 * | `circuit_breaker_slow_call_rate` | `circuit` | over the policy's window, 0 to 1 |
 * | `retry_calls_total` | `operation`, `kind` | counter; `successful_without_retry`, `successful_with_retry`, `failed_without_retry`, `failed_with_retry` |
 * | `retry_attempts_total` | `operation` | counter of attempts after the first |
 * | `retry_budget_exhausted_total` | `operation` | counter of retries refused by a budget |
 * | `call_timeouts_total` | `operation`, `kind` | counter; `call`, `attempt`, `total` |
 * | `bulkhead_in_flight` | `bulkhead` | calls that occupy a slot |
 * | `bulkhead_limit` | `bulkhead` | calls that may run at once |
 * | `bulkhead_queued` | `bulkhead` | calls that wait for a slot |
 * | `bulkhead_rejected_total` | `bulkhead` | counter |
 * | `rate_limit_limit` | `rate_limit` | tokens per window |
 * | `rate_limit_available` | `rate_limit` | tokens left for calls without a key; not where a store keeps them |
 * | `rate_limit_waiting` | `rate_limit` | calls that wait for tokens; not where a store keeps them |
 * | `retry_budget_balance` | `budget` | retries that may be made |
 * | `retry_budget_calls`, `retry_budget_retries` | `budget` | in the window of the budget |
 * | `tier_calls_total` | `operation`, `tier`, `outcome` | counter; `success`, `failure`, `skipped` |
 * | `hedge_attempts_total` | `operation` | counter of attempts after the first |
 *
 * `operation` is the name of the pipeline, or the `operation` of the options;
 * `call` by default. No attribute comes from the arguments, errors or results of
 * a call.
 *
 * The metrics of circuits, bulkheads, rate limits and budgets are read when they
 * are exported, so a call through a circuit pays for measuring its duration
 * only. Calls with retries, timeouts, hedges and tiers are counted when they
 * happen.
 *
 * @stability unstable
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import { type Bulkhead, isBulkhead } from "./Bulkhead.ts"
import { type CircuitBreaker, isCircuitBreaker } from "./CircuitBreaker.ts"
import { CircuitBreakerRegistry } from "./CircuitBreakerRegistry.ts"
import type { CircuitState } from "./CircuitEvent.ts"
import type { Breaker } from "./internal/circuit/breaker.ts"
import { isKnown } from "./internal/circuit/handle.ts"
import { idleTimeOf, warnIfUnseen, watchCircuits } from "./internal/registry/inside.ts"
import { checkCount, checkOptions, checkString, optionNames, refuse } from "./internal/check.ts"
import { MemoryLimit } from "./internal/rateLimit/memory.ts"
import { StoreLimit } from "./internal/rateLimit/store.ts"
import { Histogram } from "./internal/telemetry/histogram.ts"
import { Recorder, type RetriedCall } from "./internal/telemetry/recorder.ts"
import { type Counted, OTHER, type Register, SeriesTable } from "./internal/telemetry/series.ts"
import { writeLog } from "./internal/telemetry/writeLog.ts"
import { monotonicMillis } from "./internal/time/monotonic.ts"
import { STATE_NAMES } from "./internal/words.ts"
import { isRateLimit, type RateLimit } from "./RateLimit.ts"
import { isRetryBudget, type Metrics as BudgetMetrics, type RetryBudget } from "./RetryBudget.ts"

/**
 * The options of `layer` and `watch`.
 *
 * **Details**
 *
 * - `durations`: whether to measure the duration of calls through every circuit,
 *   which takes two readings of the clock per call; `true` by default. With
 *   `false`, only circuits whose policy measures durations have
 *   `circuit_breaker_call_duration_seconds`.
 * - `durationBoundaries`: upper bounds of the histogram's buckets, in ascending
 *   seconds; 5 ms to 10 s by default.
 * - `maxNames`: how many operations have series, and how many tiers, and how
 *   many bulkheads that are not watched; 500 by default. Further ones are
 *   counted together as `other`, which is logged once.
 * - `name`: the attribute of a retry budget that is watched, which has no name of
 *   its own; `default` by default.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly durations?: boolean | undefined
  readonly durationBoundaries?: ReadonlyArray<number> | undefined
  readonly maxNames?: number | undefined
  readonly name?: string | undefined
}

const defaultBoundaries: ReadonlyArray<number> = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/**
 * Measures all circuits of the registry, and the calls of the program that it is
 * provided to.
 *
 * **When to use**
 *
 * Use once, where the registry is provided.
 *
 * **Details**
 *
 * Metrics are registered in the `MetricRegistry` of the fiber that builds the
 * Layer. Those of a circuit end when the registry forgets it; those of a
 * bulkhead, rate limit or budget with its scope; those of an operation or a tier
 * once nothing was counted there for as long as the registry keeps an idle
 * circuit; all of them with the Layer.
 *
 * Throws a `RangeError` if the boundaries are not ascending.
 *
 * **Gotchas**
 *
 * - Provide the Layer to that of a service to measure the bulkhead, rate limit
 *   or budget. For one made by hand, use {@link watch}.
 * - Each circuit has some thirty series in Prometheus. For millions of circuits
 *   leave `Telemetry` out, or put them into another registry.
 *
 * **Example** (Metrics for Prometheus)
 *
 * ```ts import.meta.vitest
 * import { Effect, Layer, Metric } from "effect"
 * import { CircuitBreaker, CircuitBreakerRegistry, Telemetry } from "effect-resilience"
 * import { PrometheusMetrics } from "effect/observability"
 *
 * const Resilience = Telemetry.layer().pipe(Layer.provideMerge(CircuitBreakerRegistry.layer()))
 *
 * const program = Effect.gen(function*() {
 *   yield* Effect.succeed("charged").pipe(CircuitBreaker.withCircuitBreaker("payment-api"))
 *   const text = yield* PrometheusMetrics.format()
 *   return text.split("\n").filter((line) => line.includes('outcome="success"'))
 * })
 *
 * const lines = await Effect.runPromise(program.pipe(
 *   Effect.provide(Resilience),
 *   Effect.provideService(Metric.MetricRegistry, new Map())
 * ))
 * lines // => ['circuit_breaker_calls_total{circuit="payment-api",outcome="success"} 1']
 * ```
 *
 * @stability unstable
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<never, never, CircuitBreakerRegistry> => {
  checkTelemetry("Telemetry.layer", options)
  return Layer.effect(
    Recorder,
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry
      const context = yield* Effect.context<never>()
      const recorder = makeRecorder(context, {
        idleTime: idleTimeOf(registry),
        limit: options.maxNames ?? 500
      })
      yield* warnIfUnseen(registry, "Telemetry.layer measures none of its circuits")
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          const series = new Map<Breaker, () => void>()
          const forget = (breaker: Breaker) => {
            series.get(breaker)?.()
            series.delete(breaker)
          }
          const stop = watchCircuits(registry, {
            onKept: (breaker) => series.set(breaker, registerCircuit(breaker, context, options)),
            onForgotten: forget
          })
          return () => {
            stop()
            for (const breaker of series.keys()) forget(breaker)
            recorder.end()
          }
        }),
        (end) => Effect.sync(end)
      )
      return recorder
    })
  )
}

/**
 * Measures one circuit that is in no registry, or one bulkhead, rate limit or
 * retry budget that is not a service, until the scope closes.
 *
 * **Gotchas**
 *
 * Names must be unique. Of two circuits, two bulkheads, two rate limits or two
 * budgets with the same name, only the last one is measured.
 *
 * **Example** (Measuring a bulkhead)
 *
 * ```ts import.meta.vitest
 * import { Effect, Metric } from "effect"
 * import { Bulkhead, Telemetry } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const bulkhead = yield* Bulkhead.make({ name: "db", limit: 10 })
 *   yield* Telemetry.watch(bulkhead)
 *   return yield* bulkhead.execute(Metric.snapshot)
 * })
 *
 * const [inFlight, limit] = await Effect.runPromise(program.pipe(
 *   Effect.scoped,
 *   Effect.provideService(Metric.MetricRegistry, new Map())
 * ))
 * inFlight?.id // => "bulkhead_in_flight"
 * inFlight?.state // => { value: 1 }
 * limit?.state // => { value: 10 }
 * ```
 *
 * @stability unstable
 * @category constructors
 * @since 0.1.0
 */
export const watch = (
  target: CircuitBreaker | Bulkhead | RateLimit<unknown> | RetryBudget,
  options: Options = {}
): Effect.Effect<void, never, Scope.Scope> => {
  checkTelemetry("Telemetry.watch", options)
  const name = checkString("Telemetry.watch: name", options.name ?? "default")
  const register = registerOf(target, name, options)
  return Effect.asVoid(Effect.acquireRelease(
    Effect.contextWith((context: Context.Context<never>) => Effect.sync(() => register(context))),
    (end) => Effect.sync(end)
  )).pipe(Effect.tap(
    isCircuitBreaker(target) && !isKnown(target)
      ? Effect.logWarning(
        `Telemetry.watch measures nothing of circuit ${
          JSON.stringify(target.name)
        }: it was made by hand or by another ` +
          "version of effect-resilience"
      )
      : Effect.void
  ))
}

const registerOf = (
  target: CircuitBreaker | Bulkhead | RateLimit<unknown> | RetryBudget,
  name: string,
  options: Options
): (context: Context.Context<never>) => () => void => {
  if (isBulkhead(target)) return (context) => registerBulkhead(target, context)
  if (isRateLimit(target)) return (context) => registerRateLimit(target, context)
  if (isRetryBudget(target)) return (context) => registerRetryBudget(name, target, context)
  if (!isCircuitBreaker(target)) {
    return refuse("Telemetry.watch: target", "a circuit, a bulkhead, a rate limit or a retry budget", target)
  }
  return isKnown(target) ? (context) => registerCircuit(target.live, context, options) : () => () => {}
}

const OPTIONS = /* @__PURE__ */ optionNames<Options>({
  durations: true,
  durationBoundaries: true,
  maxNames: true,
  name: true
})

const checkTelemetry = (caller: string, options: Options): void => {
  checkOptions(caller, options, OPTIONS)
  const { durations } = options
  if (durations !== undefined && typeof durations !== "boolean") {
    refuse(`${caller}: durations`, "true or false", durations)
  }
  checkBoundaries(options.durationBoundaries)
  if (options.maxNames !== undefined) checkCount(`${caller}: maxNames`, options.maxNames)
}

const checkBoundaries = (boundaries: ReadonlyArray<number> | undefined): void => {
  if (boundaries === undefined) return
  if (!Array.isArray(boundaries)) refuse("Telemetry: durationBoundaries", "a list of seconds", boundaries)
  const ascending = boundaries.length > 0 && boundaries.every((boundary, i) => i === 0 || boundary > boundaries[i - 1]!)
  if (!ascending || !boundaries.every(Number.isFinite)) {
    throw new RangeError(
      `Telemetry: durationBoundaries must be finite, ascending seconds, got [${boundaries.join(", ")}]`
    )
  }
}

// -----------------------------------------------------------------------------
// metrics read on export
// -----------------------------------------------------------------------------

const registerRead = <Input, State>(
  metric: Metric.Metric<Input, State>,
  context: Context.Context<never>,
  get: () => State
): Metric.Registration => Metric.registerUnsafe(metric, context, { get, update: () => {}, modify: () => {} })

const OUTCOMES = ["success", "failure", "ignored", "rejected", "late"] as const

const registerCircuit = (breaker: Breaker, context: Context.Context<never>, options: Options): () => void => {
  const circuit = breaker.name
  const registrations: Array<Metric.Registration> = []
  const register = <Input, State>(metric: Metric.Metric<Input, State>, get: () => State) => {
    registrations.push(registerRead(metric, context, get))
  }

  for (const outcome of OUTCOMES) {
    register(
      Metric.counter("circuit_breaker_calls_total", {
        description: "Calls by outcome",
        attributes: { circuit, outcome },
        incremental: true
      }),
      () => ({ count: breaker.tally[outcome], incremental: true })
    )
  }
  for (const state of Object.keys(STATE_NAMES) as Array<CircuitState>) {
    register(
      Metric.gauge("circuit_breaker_state", {
        description: "1 for the current state of the circuit, 0 for the others",
        attributes: { circuit, state: STATE_NAMES[state] }
      }),
      () => ({ value: breaker.settled()._tag === state ? 1 : 0 })
    )
  }
  register(
    Metric.gauge("circuit_breaker_failure_rate", {
      description: "Share of failed calls in the window, 0 to 1",
      attributes: { circuit }
    }),
    () => ({ value: breaker.snapshot().failureRate })
  )
  register(
    Metric.gauge("circuit_breaker_slow_call_rate", {
      description: "Share of slow calls in the window, 0 to 1",
      attributes: { circuit }
    }),
    () => ({ value: breaker.snapshot().slowCallRate })
  )

  const transitions = new Map<string, { count: number }>()
  const transition = (from: CircuitState, to: CircuitState): { count: number } => {
    const edge = `${from} ${to}`
    const known = transitions.get(edge)
    if (known !== undefined) return known
    const counter = { count: 0 }
    transitions.set(edge, counter)
    register(
      Metric.counter("circuit_breaker_transitions_total", {
        description: "Transitions between states",
        attributes: { circuit, from: STATE_NAMES[from], to: STATE_NAMES[to] },
        incremental: true
      }),
      () => ({ count: counter.count, incremental: true })
    )
    return counter
  }
  // Registered from the start: Prometheus does not see an increase from no value to 1.
  transition("Closed", "Open")
  transition("Open", "HalfOpen")
  transition("HalfOpen", "Closed")
  transition("HalfOpen", "Open")

  let durations: Histogram | undefined
  const boundaries = options.durationBoundaries ?? defaultBoundaries
  const onDuration = (duration: number): void => {
    if (durations === undefined) {
      const histogram = durations = new Histogram(boundaries)
      register(
        Metric.histogram("circuit_breaker_call_duration_seconds", {
          description: "Duration of calls that succeeded, failed or ended late",
          attributes: { circuit },
          boundaries
        }),
        () => histogram.state
      )
    }
    durations.add(duration / 1_000)
  }

  const onTransition = (from: CircuitState, to: CircuitState): void => {
    transition(from, to).count++
  }
  const stop = breaker.observe({ onTransition, onDuration, measure: options.durations !== false })
  return () => {
    stop()
    for (const registration of registrations) registration.remove()
  }
}

interface Gauge {
  readonly id: string
  readonly description: string
  readonly read: () => number
}

const registerGauges = (
  attributes: Record<string, string>,
  context: Context.Context<never>,
  gauges: ReadonlyArray<Gauge>
): ReadonlyArray<Metric.Registration> =>
  gauges.map(({ description, id, read }) =>
    registerRead(Metric.gauge(id, { description, attributes }), context, () => ({ value: read() }))
  )

const removing = (registrations: ReadonlyArray<Metric.Registration>) => (): void => {
  for (const registration of registrations) registration.remove()
}

/** Those whose rejections are read from them. */
const measuredBulkheads = new WeakSet<Bulkhead>()

const registerBulkhead = (bulkhead: Bulkhead, context: Context.Context<never>): () => void => {
  const read = (value: Effect.Effect<number>) => () => Effect.runSync(value)
  const attributes = { bulkhead: bulkhead.name }
  measuredBulkheads.add(bulkhead)
  const remove = removing([
    ...registerGauges(attributes, context, [
      { id: "bulkhead_in_flight", description: "Calls that occupy a slot", read: read(bulkhead.inFlight) },
      { id: "bulkhead_limit", description: "Calls that may run at once", read: read(bulkhead.limit) },
      { id: "bulkhead_queued", description: "Calls that wait for a slot", read: read(bulkhead.queued) }
    ]),
    registerCounter(context)(BULKHEAD_FULL, attributes, read(bulkhead.rejected))
  ])
  return () => {
    measuredBulkheads.delete(bulkhead)
    remove()
  }
}

const registerRateLimit = (rateLimit: RateLimit<unknown>, context: Context.Context<never>): () => void => {
  const clock = Context.get(context, Clock.Clock)
  return removing(registerGauges({ rate_limit: rateLimit.name }, context, [
    ...hasLimit(rateLimit)
      ? [{ id: "rate_limit_limit", description: "Tokens per window", read: () => rateLimit.limit }]
      : [],
    // Where a store keeps the tokens, only the store knows.
    ...rateLimit instanceof MemoryLimit
      ? [{
        id: "rate_limit_available",
        description: "Tokens that are left for calls without a key",
        read: () => rateLimit.stateAt(monotonicMillis(clock)).available
      }, {
        id: "rate_limit_waiting",
        description: "Calls that wait for tokens",
        read: () => rateLimit.stateAt(monotonicMillis(clock)).waiting
      }]
      : []
  ]))
}

const hasLimit = (rateLimit: RateLimit<unknown>): rateLimit is RateLimit<unknown> & { readonly limit: number } =>
  rateLimit instanceof MemoryLimit || rateLimit instanceof StoreLimit

const registerRetryBudget = (name: string, budget: RetryBudget, context: Context.Context<never>): () => void => {
  const read = (get: (metrics: BudgetMetrics) => number) => () => get(Effect.runSyncWith(context)(budget.metrics))
  return removing(registerGauges({ budget: name }, context, [
    { id: "retry_budget_balance", description: "Retries that may be made", read: read(({ balance }) => balance) },
    { id: "retry_budget_calls", description: "Calls in the window of the budget", read: read(({ calls }) => calls) },
    {
      id: "retry_budget_retries",
      description: "Retries in the window of the budget",
      read: read(({ retries }) => retries)
    }
  ]))
}

// -----------------------------------------------------------------------------
// metrics counted as calls are made
// -----------------------------------------------------------------------------

const retriedCalls = (kind: RetriedCall): Counted => ({
  id: "retry_calls_total",
  description: "Calls with a retry policy, by how they ended and whether that took retries",
  attributes: { kind }
})
const RETRIED_CALLS = {
  successful_without_retry: retriedCalls("successful_without_retry"),
  successful_with_retry: retriedCalls("successful_with_retry"),
  failed_without_retry: retriedCalls("failed_without_retry"),
  failed_with_retry: retriedCalls("failed_with_retry")
}

const RETRIES: Counted = { id: "retry_attempts_total", description: "Attempts after the first" }
const RETRIES_REFUSED: Counted = { id: "retry_budget_exhausted_total", description: "Retries refused by a budget" }
const HEDGES: Counted = { id: "hedge_attempts_total", description: "Attempts after the first" }
const BULKHEAD_FULL: Counted = { id: "bulkhead_rejected_total", description: "Calls rejected by a full bulkhead" }

const timeouts = (kind: "call" | "attempt" | "total"): Counted => ({
  id: "call_timeouts_total",
  description: "Calls that timed out",
  attributes: { kind }
})
const TIMEOUTS = { call: timeouts("call"), attempt: timeouts("attempt"), total: timeouts("total") }

const tierCalls = (outcome: "success" | "failure" | "skipped"): Counted => ({
  id: "tier_calls_total",
  description: "Calls of a tier by outcome",
  attributes: { outcome }
})
const TIER_CALLS = { success: tierCalls("success"), failure: tierCalls("failure"), skipped: tierCalls("skipped") }

const registerCounter = (context: Context.Context<never>): Register => ({ description, id }, attributes, read) =>
  registerRead(
    Metric.counter(id, { description, attributes, incremental: true }),
    context,
    () => ({ count: read(), incremental: true })
  )

const makeRecorder = (
  context: Context.Context<never>,
  { idleTime, limit }: { readonly idleTime: number; readonly limit: number }
) => {
  const clock = Context.get(context, Clock.Clock)
  const table = (names: ReadonlyArray<string>) =>
    new SeriesTable({
      names,
      limit,
      idleTime,
      now: () => monotonicMillis(clock),
      register: registerCounter(context),
      onFull: () =>
        void Effect.runForkWith(context)(writeLog(Effect.logWarning(
          `Telemetry counts further calls as ${names.map((name) => `${name} "${OTHER}"`).join(", ")}: there are more ` +
            `than ${limit}. Names must not come from what callers send`
        )))
    })
  const operations = table(["operation"])
  const bulkheads = table(["bulkhead"])
  const tiers = table(["operation", "tier"])
  const watching = (register: () => () => void) =>
    Effect.asVoid(Effect.acquireRelease(Effect.sync(register), (end) => Effect.sync(end)))
  return {
    onRetriedCall: (operation, kind) => operations.count(RETRIED_CALLS[kind], operation, operation),
    onRetry: (operation) => operations.count(RETRIES, operation, operation),
    onBudgetExhausted: (operation) => operations.count(RETRIES_REFUSED, operation, operation),
    onTimeout: (operation, kind) => operations.count(TIMEOUTS[kind], operation, operation),
    onHedge: (operation) => operations.count(HEDGES, operation, operation),
    onBulkheadFull: (bulkhead) => {
      if (!measuredBulkheads.has(bulkhead)) bulkheads.count(BULKHEAD_FULL, bulkhead.name, bulkhead.name)
    },
    onTierEnded: (operation, tier, outcome) =>
      tiers.count(TIER_CALLS[outcome], `${tier.length} ${tier} ${operation}`, operation, tier),
    watchBulkhead: (bulkhead) => watching(() => registerBulkhead(bulkhead, context)),
    watchRateLimit: (rateLimit) => watching(() => registerRateLimit(rateLimit, context)),
    watchRetryBudget: (name, budget) => watching(() => registerRetryBudget(name, budget, context)),
    end: () => {
      for (const table of [operations, bulkheads, tiers]) table.end()
    }
  } satisfies Recorder & { readonly end: () => void }
}
