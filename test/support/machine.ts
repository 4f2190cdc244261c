/**
 * Runs fibers one step at a time, with virtual time and no event loop, so that
 * a test decides where a fiber pauses and which one goes on.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"

/** Numbers from 0 to 1, the same for the same seed. */
export const seeded = (seed: number) => {
  let state = seed | 0
  return (): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export class Machine {
  now = 0
  readonly tasks: Array<() => void> = []
  readonly sleeps: Array<{ readonly at: number; readonly wake: () => void }> = []
  /** Whether a fiber pauses before its next operation. */
  pausesAt: (fiber: Fiber.Fiber<unknown, unknown>) => boolean = () => false
  /** Which of `n` tasks goes next. */
  pick: (n: number) => number = () => 0

  private readonly context = Context.make(Scheduler.Scheduler, this.scheduler()).pipe(
    Context.add(Clock.Clock, this.clock())
  )

  /** Starts a fiber, which runs until it waits or pauses. */
  readonly run = <A, E>(effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> => Effect.runForkWith(this.context)(effect)

  /** Lets one paused or woken fiber go on. */
  step(): boolean {
    if (this.tasks.length === 0) return false
    this.tasks.splice(this.pick(this.tasks.length), 1)[0]!()
    return true
  }

  /** Lets fibers go on until all wait for time or for each other. */
  settle(): void {
    while (this.step());
  }

  /** Moves time to the next sleep that ends. */
  tick(): boolean {
    const next = this.sleeps.toSorted((a, b) => a.at - b.at)[0]
    if (next === undefined) return false
    this.now = Math.max(this.now, next.at)
    this.sleeps.splice(this.sleeps.indexOf(next), 1)
    next.wake()
    return true
  }

  /** Runs everything until a point in time. */
  until(time: number): void {
    do this.settle()
    while (this.sleeps.some(({ at }) => at <= time) && this.tick())
    this.now = Math.max(this.now, time)
  }

  /** Runs everything to its end. */
  finish(): void {
    do this.settle()
    while (this.tick())
  }

  private scheduler(): Scheduler.Scheduler {
    return {
      executionMode: "async",
      shouldYield: (fiber) => this.pausesAt(fiber),
      makeDispatcher: () => ({
        scheduleTask: (task) => {
          this.tasks.push(task)
        },
        flush: () => {}
      })
    }
  }

  private clock(): Clock.Clock {
    const millis = () => this.now
    const nanos = () => BigInt(Math.round(this.now * 1e6))
    return {
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanosUnsafe: nanos,
      monotonicTimeNanos: Effect.sync(nanos),
      sleep: (duration) =>
        Effect.callback((resume) => {
          const sleep = { at: this.now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
          if (Duration.isFinite(duration)) this.sleeps.push(sleep)
          return Effect.sync(() => {
            const index = this.sleeps.indexOf(sleep)
            if (index >= 0) this.sleeps.splice(index, 1)
          })
        })
    }
  }
}

/**
 * Runs a scenario once for each operation of one fiber, pausing that fiber
 * there. The scenario gets a machine and a function that starts the fiber.
 *
 * Returns how many places there were.
 */
export const atEveryOperation = (
  scenario: (machine: Machine, start: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>, place: number) => void
): number => {
  for (let place = 1;; place++) {
    const machine = new Machine()
    let operations = 0
    let watched: number | undefined
    let starting = false
    machine.pausesAt = (fiber) => {
      if (starting) {
        watched = fiber.id
        starting = false
      }
      return fiber.id === watched && ++operations === place
    }
    scenario(machine, (effect) => {
      starting = true
      return machine.run(effect)
    }, place)
    if (operations < place) return place - 1
  }
}

/** Tells when an effect starts (1) and when it has ended (-1), wherever it is interrupted. */
export const counted = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  change: (by: 1 | -1) => void
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let started = false
    return Effect.onExitPrimitive(
      Effect.suspend(() => {
        started = true
        change(1)
        return self
      }),
      () => started ? Effect.sync(() => change(-1)) : undefined
    )
  })
