import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { vi } from "vitest"
import { setAlarm, setEnd } from "../../../src/internal/time/alarm.ts"
import { Machine } from "../../support/machine.ts"

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

  it("rings in time whatever fraction of a millisecond is left of the wait", () => {
    for (const fraction of [0, 1e-12, 1e-9, 1e-6, 5e-4, 1e-3, 0.1]) {
      const machine = new Machine()
      const rung: Array<number> = []
      inFiber(machine, (fiber) => {
        setAlarm(fiber, 1 / 64 + fraction, () => rung.push(machine.now))
        setAlarm(fiber, 1_000 + fraction, () => rung.push(machine.now))
      })
      let ticks = 0
      do machine.settle()
      while (machine.tick() && ++ticks < 10)
      assert.lengthOf(rung, 2, `${fraction}`)
      assert.approximately(rung[1]!, 1_000 + fraction, 0.001)
    }
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

  describe("never loses an alarm that is set while the timer's fiber is paused", () => {
    for (const [what, setIt] of [["an alarm", setAlarm], ["the end of a call", setEnd]] as const) {
      for (const end of ["rings", "is cancelled"]) {
        for (const order of ["first", "last"]) {
          it(`at any operation, of ${what}, after one that ${end}, where it goes on ${order}`, () => {
            let operations = 0
            let place = 0
            do {
              place++
              operations = 0
              const machine = new Machine()
              if (order === "last") machine.pick = (n) => n - 1
              const callers = new Set<number>()
              let isPaused = false
              machine.pausesAt = (fiber) => {
                if (callers.has(fiber.id) || ++operations !== place) return false
                return isPaused = true
              }
              const inCaller = (use: (fiber: Fiber.Fiber<unknown, unknown>) => void) => {
                const { pausesAt } = machine
                machine.pausesAt = (fiber) => {
                  callers.add(fiber.id)
                  machine.pausesAt = pausesAt
                  return false
                }
                inFiber(machine, use)
              }
              const set: Array<number> = []
              const rung: Array<number> = []
              const setInThePause = () => {
                if (!isPaused) return
                isPaused = false
                inCaller((fiber) => {
                  setIt(fiber, 1_000, () => rung.push(machine.now))
                  set.push(machine.now)
                })
              }

              inCaller((fiber) => {
                const cancel = setIt(fiber, 1_000, nothing)
                if (end === "is cancelled") cancel()
              })
              do {
                setInThePause()
                while (machine.step()) setInThePause()
              } while (machine.tick())
              setInThePause()
              machine.finish()

              assert.deepStrictEqual(rung, set.map((at) => at + 1_000), `paused at operation ${place}`)
              assert.lengthOf(machine.sleeps, 0)
            } while (operations >= place)
            assert.isAbove(place, 3)
          })
        }
      }
    }
  })

  it("rings for the other calls too if somebody who hears of the end of one throws", () => {
    const tasks: Array<() => void> = []
    const queue = vi.spyOn(globalThis, "queueMicrotask").mockImplementation((task) => void tasks.push(task))
    const machine = new Machine()
    const rung: Array<number> = []
    inFiber(machine, (fiber) => {
      setAlarm(fiber, 1_000, () => {
        throw new Error("an observer")
      })
      setAlarm(fiber, 1_000, () => rung.push(machine.now))
      machine.now = 500
      setAlarm(fiber, 1_000, () => rung.push(machine.now))
    })
    machine.finish()
    queue.mockRestore()
    assert.deepStrictEqual(rung, [1_000, 1_500])
    assert.lengthOf(tasks, 1)
    assert.throws(tasks[0]!, "an observer")
  })
})
