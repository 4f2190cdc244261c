import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { RateQueues } from "../../../src/internal/rateLimit/queue.ts"
import { Machine } from "../../support/machine.ts"

it("a call that may not wait begins at once if there are tokens for all, any other in its turn", () => {
  const ran = (maxWait: number) => {
    const machine = new Machine()
    const queues = new RateQueues({ algorithm: "fixed-window", limit: 2, windowMillis: 1_000 })
    const ran: Array<string> = []
    const run = (name: string, tokens: number, maxWait: number) =>
      machine.run(queues.run(undefined, {
        self: Effect.sync(() => ran.push(`${name} at ${machine.now}`)),
        tokens,
        maxWait,
        reject: () => Effect.fail("rejected")
      }))
    run("first", 2, Infinity)
    run("second", 1, Infinity)
    machine.settle()
    machine.tick()
    run("third", 1, maxWait)
    machine.finish()
    return ran
  }
  assert.deepStrictEqual(ran(0), ["first at 0", "third at 1000", "second at 1000"])
  assert.deepStrictEqual(ran(1), ["first at 0", "second at 1000", "third at 1000"])
})
