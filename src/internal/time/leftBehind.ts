/**
 * The calls that timeouts have left behind, by the fiber that no longer waits
 * for them. What such a call holds is not free before it has ended.
 */
import type * as Fiber from "effect/Fiber"

type AnyFiber = Fiber.Fiber<unknown, unknown>

interface LeftBehind {
  readonly number: number
  readonly call: AnyFiber
}

let count = 0

const byCaller = new WeakMap<AnyFiber, Array<LeftBehind>>()

/** How many there have been, by which a caller tells at the price of a comparison that there were none meanwhile. */
export const countLeftBehind = (): number => count

export const leaveBehind = (caller: AnyFiber, call: AnyFiber): void => {
  if (call.pollUnsafe() !== undefined) return
  const entry = { number: ++count, call }
  const entries = byCaller.get(caller) ?? []
  byCaller.set(caller, [...entries.filter((other) => other.call.pollUnsafe() === undefined), entry])
}

/** Those that a caller has left behind since a count, and that have not ended. */
export const leftBehindSince = (caller: AnyFiber, since: number): ReadonlyArray<AnyFiber> =>
  (byCaller.get(caller) ?? [])
    .filter(({ call, number }) => number > since && call.pollUnsafe() === undefined)
    .map(({ call }) => call)
