/** A circuit, closed, open and half-open, next to other circuit breakers. */
import * as Effect from "effect/Effect"
import {
  cockatiel,
  cockatiels,
  consecutive,
  countWindow,
  effects,
  everything,
  NEVER,
  opossums,
  ours
} from "../breakers.ts"
import { makeClock } from "../clock.ts"
import { finalizer, slot } from "../floors.ts"
import {
  asyncCall,
  asyncFailure,
  failed,
  failing,
  inAsync,
  inFiber,
  promise,
  rejecting,
  sync,
  yielding
} from "../loops.ts"
import { AWAIT, BARE, type Group, OURS, timed } from "../model.ts"

export const closed: Group = {
  name: "closed",
  cases: [
    timed("sync call", async () => {
      const breaker = await ours(countWindow)
      const rate = await effects()
      const inARow = await effects(consecutive(5))
      return [
        { name: BARE, run: inFiber(() => sync) },
        { name: OURS, run: inFiber(() => breaker.execute(sync)), bare: BARE },
        { name: "Effect CircuitBreaker (rate)", run: inFiber(() => rate(sync)), bare: BARE },
        { name: "Effect CircuitBreaker (consecutive)", run: inFiber(() => inARow(sync)), bare: BARE }
      ]
    }),
    // Apart from the above: code of Effect that has run a lot of other code is slower, code of promises is not.
    timed("sync call, next to await", async () => {
      const breaker = await ours(countWindow)
      const count = cockatiels()
      const row = cockatiels(new cockatiel.ConsecutiveBreaker(5))
      const opossum = opossums(asyncCall)
      return [
        { name: BARE, run: inFiber(() => sync) },
        { name: "floor: a finalizer", run: inFiber(() => finalizer(sync)), bare: BARE },
        { name: "a slot, taken in a step of its own", run: inFiber(() => slot(sync)), bare: BARE },
        { name: OURS, run: inFiber(() => breaker.execute(sync)), bare: BARE },
        { name: AWAIT, run: inAsync(asyncCall) },
        { name: "cockatiel (count)", run: inAsync(() => count.execute(asyncCall)), bare: AWAIT },
        { name: "cockatiel (consecutive)", run: inAsync(() => row.execute(asyncCall)), bare: AWAIT },
        { name: "opossum", run: inAsync(() => opossum.fire()), bare: AWAIT }
      ]
    }),
    timed("sync call, built once", async () => {
      const breaker = await ours(countWindow)
      const rate = await effects()
      const own = breaker.execute(sync)
      const theirs = rate(sync)
      return [
        { name: BARE, run: inFiber(() => sync) },
        { name: OURS, run: inFiber(() => own), bare: BARE },
        { name: "Effect CircuitBreaker (rate)", run: inFiber(() => theirs), bare: BARE }
      ]
    }),
    timed("call of a promise", async () => {
      const breaker = await ours(countWindow)
      const rate = await effects()
      const count = cockatiels()
      const opossum = opossums(asyncCall)
      return [
        { name: BARE, run: inFiber(() => promise) },
        { name: OURS, run: inFiber(() => breaker.execute(promise)), bare: BARE },
        { name: "Effect CircuitBreaker (rate)", run: inFiber(() => rate(promise)), bare: BARE },
        { name: AWAIT, run: inAsync(asyncCall) },
        { name: "cockatiel (count)", run: inAsync(() => count.execute(asyncCall)), bare: AWAIT },
        { name: "opossum", run: inAsync(() => opossum.fire()), bare: AWAIT }
      ]
    }),
    timed("call that yields", async () => {
      const breaker = await ours(countWindow)
      const rate = await effects()
      return [
        { name: BARE, run: inFiber(() => yielding) },
        { name: OURS, run: inFiber(() => breaker.execute(yielding)), bare: BARE },
        { name: "Effect CircuitBreaker (rate)", run: inFiber(() => rate(yielding)), bare: BARE }
      ]
    }),
    timed("failing call", async () => {
      const breaker = await ours({ consecutiveFailures: NEVER, window: { calls: 100 } })
      const inARow = await effects(consecutive(NEVER))
      const row = cockatiels(new cockatiel.ConsecutiveBreaker(NEVER))
      return [
        { name: BARE, run: failing(() => failed) },
        { name: OURS, run: failing(() => breaker.execute(failed)), bare: BARE },
        { name: "Effect CircuitBreaker (consecutive)", run: failing(() => inARow(failed)), bare: BARE },
        { name: AWAIT, run: rejecting(asyncFailure) },
        { name: "cockatiel (consecutive)", run: rejecting(() => row.execute(asyncFailure)), bare: AWAIT }
      ]
    }),
    timed("time window, slow calls, latency", async () => {
      const breaker = await ours(everything)
      const rate = await effects()
      const inARow = await effects(consecutive(5))
      const sampling = cockatiels(new cockatiel.SamplingBreaker({ duration: 60_000, threshold: 0.5 }))
      const opossum = opossums(asyncCall)
      return [
        { name: BARE, run: inFiber(() => sync) },
        { name: OURS, run: inFiber(() => breaker.execute(sync)), bare: BARE },
        { name: "Effect CircuitBreaker (rate)", run: inFiber(() => rate(sync)), bare: BARE },
        { name: "Effect CircuitBreaker (consecutive)", run: inFiber(() => inARow(sync)), bare: BARE },
        { name: AWAIT, run: inAsync(asyncCall) },
        { name: "cockatiel (sampling)", run: inAsync(() => sampling.execute(asyncCall)), bare: AWAIT },
        { name: "opossum", run: inAsync(() => opossum.fire()), bare: AWAIT }
      ]
    })
  ]
}

export const open: Group = {
  name: "open",
  cases: [
    timed("rejection", async () => {
      const breaker = await ours({ consecutiveFailures: 1, openDuration: "1 hour" })
      const own = await effects(consecutive(1))
      const row = cockatiels(new cockatiel.ConsecutiveBreaker(1))
      const opossum = opossums(asyncCall)
      await failing(() => breaker.execute(failed))(1)
      await failing(() => own(failed))(1)
      await rejecting(() => row.execute(asyncFailure))(1)
      opossum.open()
      return [
        { name: BARE, run: failing(() => failed) },
        { name: OURS, run: failing(() => breaker.execute(sync)) },
        { name: "Effect CircuitBreaker", run: failing(() => own(sync)) },
        { name: AWAIT, run: rejecting(asyncFailure) },
        { name: "cockatiel", run: rejecting(() => row.execute(asyncCall)) },
        { name: "opossum", run: rejecting(() => opossum.fire()) }
      ]
    })
  ]
}

export const halfOpen: Group = {
  name: "half-open",
  cases: [
    timed("probe", async () => {
      const breaker = await ours({ consecutiveFailures: 1, openDuration: 0, successThreshold: NEVER })
      await failing(() => breaker.execute(failed))(1)
      return [
        { name: BARE, run: inFiber(() => sync) },
        { name: OURS, run: inFiber(() => breaker.execute(sync)), bare: BARE }
      ]
    }),
    timed("trip and recovery", async () => {
      // A circuit of ours keeps the clock of its maker, Effect's breaker takes that of the caller.
      const clock = makeClock()
      const breaker = await ours(
        { consecutiveFailures: 1, openDuration: "1 millis", successThreshold: 1, window: { calls: 100 } },
        clock.context
      )
      const own = await effects(consecutive(1), "1 millis")
      const row = cockatiels(new cockatiel.ConsecutiveBreaker(1), 0)
      const advance = Effect.sync(() => clock.advance())
      const cycle = (protect: (call: typeof failed | typeof sync) => Effect.Effect<unknown, unknown>) =>
        Effect.exit(protect(failed)).pipe(Effect.andThen(advance), Effect.andThen(protect(sync)))
      const asyncCycle = async (protect: (call: () => Promise<number>) => Promise<unknown>) => {
        await rejecting(() => protect(asyncFailure))(1)
        await protect(asyncCall)
      }
      return [
        { name: BARE, run: inFiber(() => cycle((call) => call)) },
        { name: OURS, run: inFiber(() => cycle((call) => breaker.execute(call)), clock.context), bare: BARE },
        { name: "Effect CircuitBreaker", run: inFiber(() => cycle((call) => own(call)), clock.context), bare: BARE },
        { name: AWAIT, run: inAsync(() => asyncCycle((call) => call())) },
        { name: "cockatiel", run: inAsync(() => asyncCycle((call) => row.execute(call))), bare: AWAIT }
      ]
    }, "cycle of two calls")
  ]
}
