import { assert } from "@effect/vitest"
import { CircuitBreaker, type CircuitEvent, CircuitPolicy, type ResilienceError } from "effect-resilience"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"

export type Breaker = CircuitBreaker.CircuitBreaker

export const make = (options?: CircuitPolicy.Options) =>
  CircuitBreaker.make({ name: "dependency", policy: CircuitPolicy.make(options) })

/** A circuit that opens at the first failure, for ten seconds, and closes at the first success. */
export const touchy: CircuitPolicy.Options = {
  consecutiveFailures: 1,
  openDuration: "10 seconds",
  halfOpenMaxCalls: 1,
  successThreshold: 1
}

/** What became of one call: its own result, its own error, or the state of the circuit that rejected it. */
export const call = <E = string>(
  breaker: Breaker,
  effect: Effect.Effect<unknown, E>,
  options?: Parameters<Breaker["execute"]>[1]
): Effect.Effect<unknown> =>
  breaker.execute(effect as Effect.Effect<unknown, unknown>, options).pipe(
    Effect.catch((error) => Effect.succeed(isOpen(error) ? `rejected: ${error.state}` : error)),
    Effect.catchDefect((defect) => Effect.succeed(defect))
  )

const isOpen = (error: unknown): error is ResilienceError.CircuitOpenError =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "CircuitOpenError"

export const succeed = (breaker: Breaker, times = 1) => repeat(call(breaker, Effect.succeed("ok")), times)

export const fail = (breaker: Breaker, times = 1) => repeat(call(breaker, Effect.fail("down")), times)

export const repeat = <A, E, R>(effect: Effect.Effect<A, E, R>, times: number): Effect.Effect<void, E, R> =>
  Effect.forEach(Array.from({ length: times }), () => effect, { discard: true })

export const state = (breaker: Breaker, expected: CircuitEvent.CircuitState) =>
  Effect.map(breaker.state, (state) => assert.strictEqual(state, expected))

/** Fails with the error of a rejection, or dies if the call ran. */
export const rejection = (breaker: Breaker) => breaker.execute(Effect.die("ran")).pipe(Effect.flip, Effect.orDie)

export const remaining = (breaker: Breaker) =>
  Effect.map(rejection(breaker), (error) => Duration.toMillis(error.retryAfter))

/** How long an open circuit stays open; lets that time pass. */
export const sitOut = (breaker: Breaker) => Effect.tap(remaining(breaker), (millis) => TestClock.adjust(millis))

export const slowly = (millis: number, effect: Effect.Effect<unknown, string>) => (breaker: Breaker) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(call(breaker, Effect.andThen(Effect.sleep(millis), effect)), {
      startImmediately: true
    })
    yield* TestClock.adjust(millis)
    yield* Fiber.join(fiber)
  })

/** A classifier that throws. */
export const raise = (): never => {
  throw new Error("the classifier is wrong")
}

/** A call that runs until the test ends it. */
export interface Held {
  readonly succeed: Effect.Effect<unknown>
  readonly fail: Effect.Effect<unknown>
  readonly interrupt: Effect.Effect<unknown>
  readonly exit: Effect.Effect<Exit.Exit<unknown, unknown>>
}

export const hold = (breaker: Breaker, options?: Parameters<Breaker["execute"]>[1]): Effect.Effect<Held> =>
  Effect.gen(function*() {
    const result = yield* Deferred.make<string, string>()
    const fiber = yield* Effect.forkDetach(
      breaker.execute(Deferred.await(result) as Effect.Effect<unknown, unknown>, options),
      { startImmediately: true }
    )
    const exit = Fiber.await(fiber)
    return {
      succeed: Effect.andThen(Deferred.succeed(result, "ok"), exit),
      fail: Effect.andThen(Deferred.fail(result, "down"), exit),
      interrupt: Fiber.interrupt(fiber),
      exit
    }
  })

/** Opens a touchy circuit and waits until it is half-open. */
export const halfOpen = (breaker: Breaker) =>
  Effect.gen(function*() {
    yield* fail(breaker)
    yield* TestClock.adjust("10 seconds")
  })

/** Brings a circuit made with `touchy` into a state. */
export const bring: Record<CircuitEvent.CircuitState, (breaker: Breaker) => Effect.Effect<void>> = {
  Closed: () => Effect.void,
  Open: (breaker) => fail(breaker),
  HalfOpen: halfOpen,
  ForcedOpen: (breaker) => breaker.forceOpen(),
  Disabled: (breaker) => breaker.disable,
  MetricsOnly: (breaker) => breaker.metricsOnly
}

export const STATES = Object.keys(bring) as ReadonlyArray<CircuitEvent.CircuitState>

/** Lets all fibers that can run do so. */
export const settle: Effect.Effect<void> = repeat(Effect.yieldNow, 50)

/** Collects the events of a circuit from now on. */
export const watch = <A extends CircuitEvent.CircuitEvent>(
  events: Stream.Stream<A>
): Effect.Effect<Effect.Effect<ReadonlyArray<A>>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const seen: Array<A> = []
    yield* Effect.forkScoped(Stream.runForEach(events, (event) => Effect.sync(() => seen.push(event))), {
      startImmediately: true
    })
    yield* settle
    return Effect.as(settle, seen)
  })

/** The state changes among events, as `Closed -> Open: Manual`. */
export const changes = (events: ReadonlyArray<CircuitEvent.CircuitEvent>): ReadonlyArray<string> =>
  events.flatMap((event) => event._tag === "StateChanged" ? [`${event.from} -> ${event.to}: ${event.reason}`] : [])

/** A clock whose wall time and monotonic time move apart. */
export class TwoClocks implements Clock.Clock {
  wall = 1_700_000_000_000
  monotonic = 0
  readonly currentTimeMillis = Effect.sync(() => this.wall)
  readonly currentTimeNanos = Effect.sync(() => this.currentTimeNanosUnsafe())
  readonly monotonicTimeNanos = Effect.sync(() => this.monotonicTimeNanosUnsafe())
  currentTimeMillisUnsafe(): number {
    return this.wall
  }
  currentTimeNanosUnsafe(): bigint {
    return BigInt(Math.round(this.wall * 1e6))
  }
  monotonicTimeNanosUnsafe(): bigint {
    return BigInt(Math.round(this.monotonic * 1e6))
  }
  sleep(): Effect.Effect<void> {
    return Effect.never
  }
  /** Both move on. */
  pass(duration: Duration.Input): void {
    this.wall += Duration.toMillis(duration)
    this.monotonic += Duration.toMillis(duration)
  }
}
