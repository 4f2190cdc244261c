/** The same calls with telemetry off, with metrics, and with spans. The spans go to Effect's own tracer, which drops them. */
import {
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  Resilience,
  Retry,
  Telemetry,
  Tiers
} from "effect-resilience"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import { consecutive, countWindow, effects, everything, ours } from "../breakers.ts"
import { acquire, build, failed, failing, inFiber, sync } from "../loops.ts"
import { BARE, type Group, OURS, timed } from "../model.ts"

const METRICS = "with metrics"
const SPANS = "with spans"

const metricRegistry = (): Context.Context<never> =>
  Context.make(Metric.MetricRegistry, new Map()) as Context.Context<never>

/** A circuit in no registry, watched. */
const watched = async (policy: CircuitPolicy.Options, options?: Telemetry.Options) => {
  const breaker = await ours(policy)
  await acquire(Effect.provideContext(Telemetry.watch(breaker, options), metricRegistry()))
  return breaker
}

const registryWith = (policy: CircuitPolicy.Options) =>
  CircuitBreakerRegistry.layer({ defaults: CircuitPolicy.make(policy) })

/** A registry, and one with telemetry. */
const registries = async (policy: CircuitPolicy.Options) => ({
  off: await build(registryWith(policy)),
  on: await build(
    Telemetry.layer().pipe(
      Layer.provideMerge(registryWith(policy)),
      Layer.provideMerge(Layer.succeed(Metric.MetricRegistry, new Map()))
    )
  )
})

const retry = Retry.make({ maxAttempts: 3, baseDelay: "100 millis" })
const pipelineOptions = { name: "standard", retry, attemptTimeout: "10 seconds" } as const satisfies Resilience.Options

export const telemetry: Group = {
  name: "telemetry",
  cases: [
    timed("time window, slow calls, latency, metrics", async () => {
      const off = await ours(everything)
      const on = await watched(everything)
      const rate = await effects()
      const inARow = await effects(consecutive(5))
      return [
        { name: BARE, run: inFiber(() => sync) },
        { name: OURS, run: inFiber(() => on.execute(sync)), bare: BARE },
        { name: "without metrics", run: inFiber(() => off.execute(sync)), bare: BARE },
        { name: "Effect CircuitBreaker (rate)", run: inFiber(() => rate(sync)), bare: BARE },
        { name: "Effect CircuitBreaker (consecutive)", run: inFiber(() => inARow(sync)), bare: BARE }
      ]
    }),
    timed("circuit, count window", async () => {
      const off = await ours(countWindow)
      const counted = await watched(countWindow, { durations: false })
      const on = await watched(countWindow)
      return [
        { name: BARE, run: inFiber(() => sync) },
        { name: OURS, run: inFiber(() => off.execute(sync)), bare: BARE },
        { name: "with metrics, without durations", run: inFiber(() => counted.execute(sync)), bare: BARE },
        { name: METRICS, run: inFiber(() => on.execute(sync)), bare: BARE }
      ]
    }),
    timed("rejection", async () => {
      const { off, on } = await registries({ consecutiveFailures: 1, openDuration: "1 hour" })
      const named = CircuitBreaker.withCircuitBreaker("bench")
      await failing(() => named(failed), off)(1)
      await failing(() => named(failed), on)(1)
      return [
        { name: BARE, run: failing(() => failed) },
        { name: OURS, run: failing(() => named(sync), off) },
        { name: METRICS, run: failing(() => named(sync), on) }
      ]
    }),
    timed("pipeline", async () => {
      const { off, on } = await registries(countWindow)
      const plain = Resilience.make(pipelineOptions)
      const spanned = Resilience.make({ ...pipelineOptions, spans: true })
      return [
        { name: BARE, run: inFiber(() => sync) },
        { name: OURS, run: inFiber(() => plain.execute(sync), off), bare: BARE },
        { name: METRICS, run: inFiber(() => plain.execute(sync), on), bare: BARE },
        { name: SPANS, run: inFiber(() => spanned.execute(sync), off), bare: BARE },
        { name: "two of Effect.withSpan", run: inFiber(() => twoSpans), bare: BARE }
      ]
    }),
    timed("three tiers, first serves", async () => {
      const { off, on } = await registries(countWindow)
      const tiers = [Tiers.tier("mcp", sync), Tiers.tier("sdk", sync), Tiers.tier("rest", sync)] as const
      const plain = Tiers.make("get", tiers)
      const spanned = Tiers.make("get", tiers, { spans: true })
      return [
        { name: BARE, run: inFiber(() => sync) },
        { name: OURS, run: inFiber(() => plain, off), bare: BARE },
        { name: METRICS, run: inFiber(() => plain, on), bare: BARE },
        { name: SPANS, run: inFiber(() => spanned, off), bare: BARE }
      ]
    })
  ]
}

const unstacked = { captureStackTrace: false }
const twoSpans = Effect.withSpan(Effect.withSpan(sync, "attempt", unstacked), "call", unstacked)
