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
 * | `retry_attempts_total` | `operation` | counter of attempts after the first |
 * | `retry_budget_exhausted_total` | `operation` | counter of retries refused by a budget |
 * | `call_timeouts_total` | `operation`, `kind` | counter; `call`, `attempt`, `total` |
 * | `bulkhead_in_flight` | `bulkhead` | calls that occupy a slot |
 * | `bulkhead_rejected_total` | `bulkhead` | counter |
 * | `tier_calls_total` | `operation`, `tier`, `outcome` | counter; `success`, `failure`, `skipped` |
 * | `hedge_attempts_total` | `operation` | counter of attempts after the first |
 *
 * `operation` is the name of the pipeline, or the `operation` of the options;
 * `call` by default. No attribute comes from the arguments, errors or results of
 * a call.
 *
 * The metrics of circuits and bulkheads are read when they are exported, so a
 * call through a circuit pays for measuring its duration only. Retries,
 * timeouts, full bulkheads, hedges and tiers are counted when they happen.
 *
 * @stability unstable
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
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
import { warnIfUnseen, watchCircuits } from "./internal/registry/inside.ts"
import { checkOptions, optionNames, refuse } from "./internal/check.ts"
import { Histogram } from "./internal/telemetry/histogram.ts"
import { Recorder } from "./internal/telemetry/recorder.ts"
import { STATE_NAMES } from "./internal/words.ts"

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
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly durations?: boolean | undefined
  readonly durationBoundaries?: ReadonlyArray<number> | undefined
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
 * Layer. Those of a circuit end when the registry forgets it, all others with
 * the Layer.
 *
 * Throws a `RangeError` if the boundaries are not ascending.
 *
 * **Gotchas**
 *
 * - Provide the Layer to that of a bulkhead service to measure the bulkhead. For
 *   a bulkhead made by hand, use {@link watch}.
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
      const recorder = makeRecorder(context)
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
 * Measures one circuit that is in no registry, or one bulkhead that is not a
 * service, until the scope closes.
 *
 * **Gotchas**
 *
 * Names must be unique. Of two circuits, or two bulkheads, with the same name,
 * only the last one is measured.
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
 * const [inFlight] = await Effect.runPromise(program.pipe(
 *   Effect.scoped,
 *   Effect.provideService(Metric.MetricRegistry, new Map())
 * ))
 * inFlight?.id // => "bulkhead_in_flight"
 * inFlight?.state // => { value: 1 }
 * ```
 *
 * @stability unstable
 * @category constructors
 * @since 0.1.0
 */
export const watch = (
  target: CircuitBreaker | Bulkhead,
  options: Options = {}
): Effect.Effect<void, never, Scope.Scope> => {
  checkTelemetry("Telemetry.watch", options)
  if (!isBulkhead(target) && !isCircuitBreaker(target)) {
    refuse("Telemetry.watch: target", "a circuit or a bulkhead", target)
  }
  return Effect.asVoid(Effect.acquireRelease(
    Effect.contextWith((context: Context.Context<never>) =>
      Effect.sync(() =>
        isBulkhead(target)
          ? registerBulkhead(target, context)
          : isKnown(target)
          ? registerCircuit(target.live, context, options)
          : () => {}
      )
    ).pipe(Effect.tap(() =>
      isBulkhead(target) || isKnown(target) ? Effect.void : Effect.logWarning(
        `Telemetry.watch measures nothing of circuit ${
          JSON.stringify(target.name)
        }: it was made by hand or by another ` +
          "version of effect-resilience"
      )
    )),
    (end) => Effect.sync(end)
  ))
}

const OPTIONS = /* @__PURE__ */ optionNames<Options>({ durations: true, durationBoundaries: true })

const checkTelemetry = (caller: string, options: Options): void => {
  checkOptions(caller, options, OPTIONS)
  const { durations } = options
  if (durations !== undefined && typeof durations !== "boolean") {
    refuse(`${caller}: durations`, "true or false", durations)
  }
  checkBoundaries(options.durationBoundaries)
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

const registerBulkhead = (bulkhead: Bulkhead, context: Context.Context<never>): () => void => {
  const registration = registerRead(
    Metric.gauge("bulkhead_in_flight", {
      description: "Calls that occupy a slot",
      attributes: { bulkhead: bulkhead.name }
    }),
    context,
    () => ({ value: Effect.runSync(bulkhead.inFlight) })
  )
  return () => registration.remove()
}

// -----------------------------------------------------------------------------
// metrics counted as calls are made
// -----------------------------------------------------------------------------

const DESCRIPTIONS = {
  retry_attempts_total: "Attempts after the first",
  retry_budget_exhausted_total: "Retries refused by a budget",
  call_timeouts_total: "Calls that timed out",
  bulkhead_rejected_total: "Calls rejected by a full bulkhead",
  tier_calls_total: "Calls of a tier by outcome",
  hedge_attempts_total: "Attempts after the first"
} as const

const makeRecorder = (context: Context.Context<never>) => {
  const registrations: Array<Metric.Registration> = []
  const makeCounter = (id: keyof typeof DESCRIPTIONS, attributes: Record<string, string>) => {
    const counter = { count: 0 }
    registrations.push(registerRead(
      Metric.counter(id, { description: DESCRIPTIONS[id], attributes, incremental: true }),
      context,
      () => ({ count: counter.count, incremental: true })
    ))
    return counter
  }
  const counting = (id: keyof typeof DESCRIPTIONS, attribute: string, others?: Record<string, string>) => {
    const counters = new Map<string, { count: number }>()
    return (value: string): void => {
      let counter = counters.get(value)
      if (counter === undefined) counters.set(value, counter = makeCounter(id, { [attribute]: value, ...others }))
      counter.count++
    }
  }
  const countTimeouts = (kind: "call" | "attempt" | "total") => counting("call_timeouts_total", "operation", { kind })
  const timeouts = { call: countTimeouts("call"), attempt: countTimeouts("attempt"), total: countTimeouts("total") }
  const tierCounters = new Map<string, { count: number }>()
  return {
    onRetry: counting("retry_attempts_total", "operation"),
    onBudgetExhausted: counting("retry_budget_exhausted_total", "operation"),
    onTimeout: (operation, kind) => timeouts[kind](operation),
    onHedge: counting("hedge_attempts_total", "operation"),
    onBulkheadFull: counting("bulkhead_rejected_total", "bulkhead"),
    onTierEnded: (operation, tier, outcome) => {
      const key = `${outcome} ${tier.length} ${tier} ${operation}`
      let counter = tierCounters.get(key)
      if (counter === undefined) {
        tierCounters.set(key, counter = makeCounter("tier_calls_total", { operation, tier, outcome }))
      }
      counter.count++
    },
    watchBulkhead: (bulkhead) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.sync(() => registerBulkhead(bulkhead, context)),
        (end) => Effect.sync(end)
      )),
    end: () => {
      for (const registration of registrations) registration.remove()
    }
  } satisfies Recorder & { readonly end: () => void }
}
