import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { setAlarm } from "../../src/internal/alarm.ts"
import { Machine } from "../support/machine.ts"

const nothing = () => {}

/** Does something in a fiber of the machine. */
const inFiber = (machine: Machine, use: (fiber: Fiber.Fiber<unknown, unknown>) => void) => {
  const exit = machine.run(Effect.withFiber((fiber) => Effect.sync(() => use(fiber)))).pollUnsafe()
  assert.deepStrictEqual(exit, Exit.void)
}

describe("setAlarm", () => {
  it("looks once whether the timer is used any more, however many calls end in one moment", () => {
    const machine = new Machine()
    inFiber(machine, (fiber) => {
      const cancels = [1, 2, 3].map(() => setAlarm(fiber, 1_000, nothing))
      cancels[0]!()
      cancels[1]!()
      assert.lengthOf(machine.tasks, 0)
      cancels[2]!()
      setAlarm(fiber, 1_000, nothing)()
      setAlarm(fiber, 1_000, nothing)()
      assert.lengthOf(machine.tasks, 1)
      assert.lengthOf(machine.sleeps, 1)
    })
    machine.settle()
    assert.lengthOf(machine.sleeps, 0)
  })

  it("rings at once for a time that is no more than a rounding error", () => {
    const machine = new Machine()
    const rung: Array<number> = []
    inFiber(machine, (fiber) => {
      for (const millis of [0, 0.001, 0.002]) setAlarm(fiber, millis, () => rung.push(millis))
    })
    assert.deepStrictEqual(rung, [0, 0.001])
    machine.finish()
    assert.deepStrictEqual(rung, [0, 0.001, 0.002])
  })

  it("has one timer for a time, though the one before takes long to stop", () => {
    const machine = new Machine()
    let sleeps = 0
    let stop: () => void = nothing
    const held = new WeakMap<Clock.Clock, Clock.Clock>()
    const slowToStop = (clock: Clock.Clock): Clock.Clock => {
      const made = held.get(clock) ?? {
        ...clock,
        sleep: (duration) =>
          Effect.suspend(() => {
            sleeps++
            return Effect.onExit(clock.sleep(duration), () =>
              Effect.callback<void>((resume) => {
                stop = () => resume(Effect.void)
              }))
          })
      }
      held.set(clock, made)
      return made
    }
    const set = (millis: number): () => void => {
      let cancel: () => void = nothing
      machine.run(Effect.clockWith((clock) =>
        Effect.withFiber((fiber) =>
          Effect.sync(() => {
            cancel = setAlarm(fiber, millis, nothing)
          })
        ).pipe(Effect.provideService(Clock.Clock, slowToStop(clock)))
      ))
      return cancel
    }

    set(1_000)()
    machine.settle()
    set(1_000)
    assert.strictEqual(sleeps, 2)
    stop()
    machine.settle()
    set(1_000)
    assert.strictEqual(sleeps, 2)
  })
})
