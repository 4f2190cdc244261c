import { assert, it } from "@effect/vitest"
import * as Bulkhead from "effect-resilience/Bulkhead"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { vi } from "vitest"
import { Machine } from "../support/machine.ts"

it("a bulkhead resumes all calls that it has handed a slot, though an observer of one throws at its end", () => {
  const tasks: Array<() => void> = []
  const queue = vi.spyOn(globalThis, "queueMicrotask").mockImplementation((task) => void tasks.push(task))
  const machine = new Machine()
  const bulkhead = Effect.runSync(Bulkhead.make({ name: "payment-api", limit: 1, queue: 10 }))
  const gate = Deferred.makeUnsafe<void>()
  machine.run(bulkhead.execute(Deferred.await(gate)))
  const ran: Array<number> = []
  const calls = [1, 2, 3].map((n) => machine.run(bulkhead.execute(Effect.sync(() => ran.push(n)))))
  calls[0]!.addObserver(() => {
    throw new Error("an observer")
  })
  machine.run(bulkhead.resize(3))
  machine.finish()
  queue.mockRestore()

  assert.deepStrictEqual(ran, [1, 2, 3])
  assert.strictEqual(Effect.runSync(bulkhead.inFlight), 1)
  assert.throws(tasks[0]!, "an observer")
})
