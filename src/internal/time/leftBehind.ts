/**
 * The calls that timeouts have left running, by the fiber that no longer waits
 * for them. Such a call holds its slot of a bulkhead until it ends.
 */
import type * as Fiber from "effect/Fiber"

type AnyFiber = Fiber.Fiber<unknown, unknown>

interface LeftBehind {
  readonly number: number
  readonly call: AnyFiber
}

let count = 0

const byCaller = new WeakMap<AnyFiber, Array<LeftBehind>>()

/** The number of calls left behind ever. A caller compares two readings to tell cheaply that there were none between. */
export const countLeftBehind = (): number => count

export const leaveBehind = (caller: AnyFiber, call: AnyFiber): void => {
  if (call.pollUnsafe() !== undefined) return
  const entry = { number: ++count, call }
  const entries = byCaller.get(caller) ?? []
  byCaller.set(caller, [...entries.filter((other) => other.call.pollUnsafe() === undefined), entry])
}

/** The calls that a caller has left behind since a count, and that still run. */
export const leftBehindSince = (caller: AnyFiber, since: number): ReadonlyArray<AnyFiber> =>
  (byCaller.get(caller) ?? [])
    .filter(({ call, number }) => number > since && call.pollUnsafe() === undefined)
    .map(({ call }) => call)
