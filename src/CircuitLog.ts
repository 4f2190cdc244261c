/**
 * Logs the changes of circuits, for people and for log pipelines.
 *
 * **Details**
 *
 * The message is the name of the event; the fields are annotations:
 *
 * | message | level | when |
 * | --- | --- | --- |
 * | `circuit_opened` | Warning, or `openedLevel` | a rule opened the circuit, or a probe failed |
 * | `circuit_half_opened` | Info | the open time ended, and a call runs as a probe |
 * | `circuit_closed` | Info | the circuit recovered |
 * | `circuit_changed` | Info | an operator changed the state |
 * | `circuit_reconfigured` | Info | the policy changed |
 * | `circuit_flapping` | Warning | there were more changes than `maxLines` |
 * | `call_failed` | Debug | a call counted as a failure; only with `calls` |
 * | `call_ignored` | Debug | a call had no outcome, for example because it was interrupted; only with `calls` |
 *
 * | field | |
 * | --- | --- |
 * | `circuit_breaker` | name of the circuit |
 * | `state`, `old_state` | as in `CircuitMetrics.toJson` |
 * | `reason` | why it changed, as in `CircuitEvent.StateChanged` |
 * | `note` | the note of the operator |
 * | `failure_count`, `threshold` | failures in a row, and the number that opens the circuit |
 * | `error_rate`, `slow_call_rate`, `requests_in_window` | counts of the window |
 * | `probe_successes`, `probe_failures` | the probes that closed the circuit, whose share of failures `error_rate` then is; in place of the counts of the window, which are those it opened with |
 * | `recovery_timeout` | seconds until an open circuit probes; absent if that has no end |
 * | `last_error` | the last failure, of `circuit_opened` and `call_failed` |
 * | `elapsed_seconds` | time in the previous state |
 * | `changed` | the changed fields of the policy |
 * | `suppressed` | number of changes that were not logged |
 *
 * @stability unstable
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { CircuitBreakerRegistry } from "./CircuitBreakerRegistry.ts"
import { isOpen } from "./internal/circuit/machine.ts"
import { rate } from "./internal/circuit/snapshot.ts"
import { newChanges } from "./internal/registry/inside.ts"
import type { CallEnded, CircuitChange, CircuitEvent, StateChanged } from "./CircuitEvent.ts"
import { checkCount, checkDuration, checkOptions, optionNames, refuse } from "./internal/check.ts"
import { monotonicMillis } from "./internal/time/monotonic.ts"
import { escapeUnsafe } from "./internal/plainText.ts"
import { writeLog } from "./internal/telemetry/writeLog.ts"
import { failureText, STATE_NAMES } from "./internal/words.ts"

/**
 * Options of the log.
 *
 * **Details**
 *
 * - `calls`: also logs calls that fail or are ignored; `false` by default. Every
 *   call then publishes an event.
 * - `openedLevel`: the level of `circuit_opened`; `"Warn"` by default.
 * - `maxLines`: lines per circuit and `window`; 10 by default. Further changes
 *   are counted and reported in one line at the end of the window.
 * - `window`: 1 minute by default.
 *
 * @stability unstable
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly calls?: boolean | undefined
  readonly openedLevel?: LogLevel.Severity | undefined
  readonly maxLines?: number | undefined
  readonly window?: Duration.Input | undefined
}

const OPTIONS = /* @__PURE__ */ optionNames<Options>({ calls: true, maxLines: true, window: true, openedLevel: true })

const Silent = /* @__PURE__ */ Context.Reference<boolean>("effect-resilience/CircuitLog/Silent", {
  defaultValue: () => false
})

/**
 * Logs the changes of the registry's circuits until the scope of the Layer
 * closes.
 *
 * **Details**
 *
 * Lines go to the loggers that are in place where the Layer is built. Logging
 * runs in its own fiber and never delays a call. If a logger throws, only that
 * line is lost.
 *
 * Throws a `RangeError` if an option is out of range.
 *
 * **Example** (Logging beside the registry)
 *
 * ```ts import.meta.vitest
 * import { Effect, Layer, Logger } from "effect"
 * import { CircuitBreaker, CircuitBreakerRegistry, CircuitLog } from "effect-resilience"
 *
 * const Circuits = CircuitLog.layer().pipe(Layer.provideMerge(CircuitBreakerRegistry.layer()))
 *
 * const lines: Array<unknown> = []
 * const Logs = Logger.layer([Logger.make(({ message }) => lines.push(message))])
 *
 * const program = Effect.gen(function*() {
 *   const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
 *   const circuit = yield* registry.getOrCreate("payment-api")
 *   yield* circuit.forceOpen().pipe(CircuitBreaker.withNote("maintenance"))
 *   yield* Effect.sleep("10 millis")
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(Circuits), Effect.provide(Logs)))
 * lines // => [["circuit_changed"]]
 * ```
 *
 * @see {@link layerSilent} for turning the log off, for example in tests
 *
 * @stability unstable
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<never, never, CircuitBreakerRegistry> => {
  checkOptions("CircuitLog.layer", options, OPTIONS)
  const openedLevel = options.openedLevel ?? "Warn"
  if (!SEVERITIES.includes(openedLevel)) {
    refuse("CircuitLog.layer: openedLevel", `one of ${SEVERITIES.join(", ")}`, openedLevel)
  }
  const maxLines = checkCount("CircuitLog.layer: maxLines", options.maxLines ?? 10)
  const window = checkDuration("CircuitLog.layer: window", options.window ?? "1 minute", { positive: true })
  return Layer.effectDiscard(Effect.gen(function*() {
    if (yield* Silent) return
    const registry = yield* CircuitBreakerRegistry
    const limit = yield* makeLimit(maxLines, window)
    const follow = <A extends { readonly circuit: string }>(
      events: Stream.Stream<A>,
      write: (event: A, threshold: number | undefined) => Effect.Effect<void>
    ) =>
      events.pipe(
        Stream.runForEach((event) =>
          Effect.flatMap(registry.get(event.circuit), (circuit) =>
            Option.isNone(circuit)
              ? write(event, undefined)
              : Effect.flatMap(circuit.value.policy, (policy) => write(event, policy.consecutiveFailures)))
        ),
        Effect.forkScoped({ startImmediately: true })
      )
    yield* follow(
      newChanges(registry),
      (change, threshold) => limit(change.circuit, writeChange(change, threshold, openedLevel))
    )
    if (options.calls === true) {
      yield* follow(
        Stream.filter(registry.events, isLogged),
        writeCall
      )
    }
  }))
}

/**
 * Turns off every `CircuitLog.layer` that it is provided to, for example in
 * tests.
 *
 * **Example** (A program that logs, without its log)
 *
 * ```ts import.meta.vitest
 * import { Effect, Layer, Logger } from "effect"
 * import { CircuitBreakerRegistry, CircuitLog } from "effect-resilience"
 *
 * const Circuits = CircuitLog.layer().pipe(Layer.provideMerge(CircuitBreakerRegistry.layer()))
 *
 * const lines: Array<unknown> = []
 * const program = Effect.gen(function*() {
 *   const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
 *   yield* (yield* registry.getOrCreate("payment-api")).disable
 *   yield* Effect.sleep("10 millis")
 * })
 *
 * await Effect.runPromise(program.pipe(
 *   Effect.provide(Circuits.pipe(Layer.provide(CircuitLog.layerSilent))),
 *   Effect.provide(Logger.layer([Logger.make(({ message }) => lines.push(message))]))
 * ))
 * lines // => []
 * ```
 *
 * @stability unstable
 * @category layers
 * @since 0.1.0
 */
export const layerSilent: Layer.Layer<never> = /* @__PURE__ */ Layer.succeed(Silent, true)

// -----------------------------------------------------------------------------
// lines
// -----------------------------------------------------------------------------

const SEVERITIES: ReadonlyArray<LogLevel.Severity> = ["Fatal", "Error", "Warn", "Info", "Debug", "Trace"]

const writeChange = (
  change: CircuitChange,
  threshold: number | undefined,
  openedLevel: LogLevel.Severity
): Effect.Effect<void> =>
  change._tag === "Reconfigured"
    ? write(Effect.logInfo("circuit_reconfigured"), {
      circuit_breaker: change.circuit,
      changed: change.changed.join(", ")
    })
    : writeStateChange(change, threshold, openedLevel)

const writeStateChange = (
  change: StateChanged,
  threshold: number | undefined,
  openedLevel: LogLevel.Severity
): Effect.Effect<void> => {
  const line = change.reason === "Manual"
    ? Effect.logInfo("circuit_changed")
    : change.to === "Open"
    ? Effect.logWithLevel(openedLevel)("circuit_opened")
    : change.to === "HalfOpen"
    ? Effect.logInfo("circuit_half_opened")
    : Effect.logInfo("circuit_closed")
  return write(line, {
    circuit_breaker: change.circuit,
    state: STATE_NAMES[change.to],
    old_state: STATE_NAMES[change.from],
    reason: change.reason,
    note: change.note,
    ...countsOf(change, threshold),
    last_error: change.to === "Open" && change.lastFailure !== undefined
      ? failureText(change.lastFailure)
      : undefined,
    recovery_timeout: isOpen(change.to) && Duration.isFinite(change.retryAfter)
      ? Duration.toSeconds(change.retryAfter)
      : undefined,
    elapsed_seconds: Duration.toSeconds(change.elapsed)
  })
}

/** What decided: the window has what opened the circuit until it is closed. */
const countsOf = (
  { calls, consecutiveFailures, failureRate, probes, reason, slowCallRate }: StateChanged,
  threshold: number | undefined
) =>
  reason === "ProbesSucceeded" && probes !== undefined
    ? {
      probe_successes: probes.successes,
      probe_failures: probes.failures,
      error_rate: rate(probes.failures, probes.successes + probes.failures)
    }
    : {
      failure_count: consecutiveFailures,
      threshold,
      error_rate: failureRate,
      slow_call_rate: slowCallRate,
      requests_in_window: calls
    }

const isLogged = (event: CircuitEvent): event is CallEnded =>
  event._tag === "CallEnded" && (event.outcome === "Failure" || event.outcome === "Ignored")

const writeCall = (event: CallEnded, threshold: number | undefined): Effect.Effect<void> =>
  write(Effect.logDebug(event.outcome === "Failure" ? "call_failed" : "call_ignored"), {
    circuit_breaker: event.circuit,
    state: STATE_NAMES[event.state],
    failure_count: event.consecutiveFailures,
    threshold,
    last_error: event.lastFailure === undefined ? undefined : failureText(event.lastFailure)
  })

const write = (line: Effect.Effect<void>, fields: Record<string, unknown>): Effect.Effect<void> =>
  writeLog(
    Effect.annotateLogs(
      line,
      Object.fromEntries(
        Object.entries(fields).flatMap(([key, value]) =>
          value === undefined ? [] : [[key, typeof value === "string" ? escapeUnsafe(value) : value]]
        )
      )
    )
  )

/** Lets `maxLines` lines of a circuit pass per window, and reports at its end how many did not. */
const makeLimit = /* @__PURE__ */ Effect.fnUntraced(function*(
  maxLines: number,
  window: Duration.Duration
): Effect.fn.Return<(circuit: string, line: Effect.Effect<void>) => Effect.Effect<void>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const millis = Duration.toMillis(window)
  const windows = new Map<string, { readonly endsAt: number; lines: number; suppressed: number }>()

  const reportAtEnd = (circuit: string, current: { readonly suppressed: number }) =>
    Effect.andThen(
      Effect.sleep(window),
      Effect.suspend(() => {
        // Not a later window, which a change at the very end of this one has opened.
        if (windows.get(circuit) === current) windows.delete(circuit)
        return current.suppressed === 0 ? Effect.void : write(Effect.logWarning("circuit_flapping"), {
          circuit_breaker: circuit,
          suppressed: current.suppressed
        })
      })
    )

  return (circuit, line) =>
    Effect.suspend(() => {
      const now = monotonicMillis(clock)
      const current = windows.get(circuit)
      if (current === undefined || now >= current.endsAt) {
        const next = { endsAt: now + millis, lines: 1, suppressed: 0 }
        windows.set(circuit, next)
        return Effect.andThen(line, Effect.forkIn(reportAtEnd(circuit, next), scope))
      }
      if (current.lines < maxLines) {
        current.lines++
        return line
      }
      current.suppressed++
      return Effect.void
    }).pipe(Effect.asVoid)
})
