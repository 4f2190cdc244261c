/** A health monitor: its registered checks, the fibers that run them, and what it tells its subscribers. */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type * as Stream from "effect/Stream"
import type { CircuitBreaker } from "../../CircuitBreaker.ts"
import type { StatusChanged } from "../../HealthMonitor.ts"
import type { CheckHealth, HealthReport, Status } from "../../HealthReport.ts"
import { isKnown } from "../circuit/handle.ts"
import { type Circuits, ObservedCircuits } from "./circuits.ts"
import { type Entry, makeEntry } from "./entry.ts"
import type { Worst } from "./inside.ts"
import { makeProber } from "./probe.ts"
import { Publisher } from "./publisher.ts"
import {
  circuitOf,
  otherCircuits,
  readAll,
  readCircuit,
  readEntry,
  readStatus,
  readWorst,
  type Sources
} from "./read.ts"
import { Fibers } from "./run.ts"
import { runCheck, runForever, type Runner } from "./runner.ts"
import type { CheckSettings, Settings } from "./settings.ts"
import { Lookouts } from "./wake.ts"

export interface Monitor {
  readonly latest: Effect.Effect<HealthReport>
  readonly status: Effect.Effect<Status>
  readonly worst: (limit: number) => Effect.Effect<Worst>
  readonly checkAll: Effect.Effect<HealthReport>
  /** Fails with the names there are. */
  readonly check: (name: string) => Effect.Effect<CheckHealth, ReadonlyArray<string>>
  /** Fails if the name is taken. */
  readonly register: (name: string, settings: CheckSettings) => Effect.Effect<void, "taken", Scope.Scope>
  readonly changes: Stream.Stream<StatusChanged>
  readonly stop: Effect.Effect<void>
}

export const makeMonitor = (settings: Settings, circuits: Circuits, context: Context.Context<never>): Monitor => {
  const entries = new Map<string, Entry>()
  const sources: Sources = { entries, circuits, includes: settings.includes }
  const lookouts = new Lookouts()
  const publisher = new Publisher(sources, Duration.toMillis(settings.defaults.interval), () => lookouts.wake())
  const observed = new ObservedCircuits((circuit) => publisher.circuitChanged(circuit))
  const own = new Fibers(context)
  // A caller of a check that is removed gets no result of it; one of a monitor that has stopped gets nothing at all.
  const onStopped = Effect.suspend(() => own.stopped ? Effect.interrupt : Effect.void)
  const runner: Runner = {
    slots: Semaphore.makeUnsafe(settings.concurrency),
    onResult: () => lookouts.wake(),
    onStopped
  }
  const latest = Effect.suspend(() => readAll(sources))

  const stopWatching = circuits.watch({
    onKept: (breaker) => {
      if (settings.includes(breaker.name) || isBound(entries, breaker.name)) observed.add(breaker)
    },
    onForgotten: (breaker) => observed.remove(breaker)
  })

  const add = (name: string, check: CheckSettings, context: Context.Context<never>): Entry => {
    const entry = makeEntry(name, check, context)
    entries.set(name, entry)
    const breaker = circuitOf(circuits, entry)
    if (isKnown(breaker)) observed.add(breaker.live)
    else if (breaker !== undefined) entry.fibers.start(warnUnobservable(breaker))
    if (entry.check !== undefined) entry.fibers.start(runForever(runner, entry, settings.jitter))
    if (entry.probe !== undefined) {
      entry.fibers.start(lookouts.repeat(makeProber(() => circuitOf(circuits, entry), entry, entry.probe)))
    }
    return entry
  }

  const remove = (entry: Entry): Effect.Effect<void> =>
    Effect.suspend(() => {
      entries.delete(entry.name)
      const { circuit } = entry.settings
      if (isKnown(circuit) && circuits.find(circuit.name) !== circuit) observed.remove(circuit.breaker)
      publisher.checkRemoved()
      return entry.fibers.stop
    })

  for (const [name, check] of settings.checks) add(name, check, context)
  own.start(lookouts.repeat(publisher.look))

  return {
    latest,
    status: Effect.suspend(() => readStatus(sources)),
    worst: (limit) => readWorst(sources, limit),
    checkAll: Effect.suspend(() =>
      Effect.forEach(Array.from(entries.values()), (entry) => runCheck(runner, entry), {
        concurrency: "unbounded",
        discard: true
      })
    ).pipe(Effect.andThen(onStopped), Effect.andThen(latest)),
    check: Effect.fnUntraced(function*(name) {
      yield* onStopped
      const entry = entries.get(name)
      if (entry !== undefined) {
        yield* runCheck(runner, entry)
        if (!entry.fibers.stopped) return yield* readEntry(sources, entry)
        yield* onStopped
      }
      const [circuit] = yield* otherCircuits(sources, [name])
      if (circuit !== undefined) return yield* readCircuit(circuit)
      const others = yield* otherCircuits(sources, yield* circuits.names)
      return yield* Effect.fail([...entries.keys(), ...others.map((breaker) => breaker.name)])
    }),
    register: (name, check) =>
      Effect.contextWith((context: Context.Context<never>) =>
        Effect.acquireRelease(
          Effect.suspend(() => {
            if (own.stopped) return Effect.interrupt
            return entries.has(name) ? Effect.fail("taken" as const) : Effect.succeed(add(name, check, context))
          }),
          remove
        )
      ).pipe(Effect.asVoid),
    changes: publisher.changes,
    stop: Effect.suspend(() => {
      own.stopped = true
      stopWatching()
      observed.clear()
      const fibers = [own, ...Array.from(entries.values(), (entry) => entry.fibers)]
      return Effect.forEach(fibers, ({ stop }) => stop, { concurrency: "unbounded", discard: true })
    }).pipe(Effect.andThen(publisher.end))
  }
}

/** Whether a check names a circuit, or has one of that name, which may be another one by now. */
const isBound = (entries: ReadonlyMap<string, Entry>, name: string): boolean => {
  for (const { settings: { circuit } } of entries.values()) {
    if ((typeof circuit === "string" ? circuit : circuit?.name) === name) return true
  }
  return false
}

const warnUnobservable = (breaker: CircuitBreaker): Effect.Effect<void> =>
  Effect.logWarning(
    `HealthMonitor learns of the changes of circuit ${JSON.stringify(breaker.name)} only at its intervals: it was ` +
      "made by hand or by another version of effect-resilience"
  )
