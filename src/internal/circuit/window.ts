/**
 * The sliding windows a circuit judges its calls by: the last `n` calls, or
 * the calls of the last `millis` in rotating buckets.
 *
 * A window is updated in place. Copying the counts of 100,000 calls to record
 * one more would make the cost of a call grow with the size of its window, so
 * a step of the state machine owns the window it is given (see
 * docs/project/decisions.md, "Windows are updated in place").
 */

export type WindowSize =
  | { readonly calls: number }
  | { readonly millis: number; readonly buckets: number }

export interface CountWindow {
  readonly _tag: "CountWindow"
  readonly size: number
  calls: number
  failures: number
  slowCalls: number
  cursor: number
  /** One byte a call; absent until a call fails or is slow, since the slots of successes are all zero. */
  slots: Uint8Array | undefined
}

export interface TimeWindow {
  readonly _tag: "TimeWindow"
  readonly bucketMillis: number
  readonly buckets: number
  calls: number
  failures: number
  slowCalls: number
  /** Number of the newest bucket since the clock's origin. */
  epoch: number
  /** Calls, failures and slow calls of each bucket; absent until the first call. */
  slots: Uint32Array | undefined
}

export type Window = CountWindow | TimeWindow

export const make = (size: WindowSize): Window =>
  "calls" in size
    ? {
      _tag: "CountWindow",
      size: size.calls,
      calls: 0,
      failures: 0,
      slowCalls: 0,
      cursor: 0,
      slots: undefined
    }
    : {
      _tag: "TimeWindow",
      bucketMillis: size.millis / size.buckets,
      buckets: size.buckets,
      calls: 0,
      failures: 0,
      slowCalls: 0,
      epoch: 0,
      slots: undefined
    }

const FAILED = 1
const SLOW = 2

export const record = (window: Window, failed: boolean, slow: boolean, now: number): void => {
  if (window._tag === "CountWindow") {
    recordCount(window, (failed ? FAILED : 0) | (slow ? SLOW : 0))
  } else {
    recordTime(window, failed, slow, now)
  }
}

const recordCount = (window: CountWindow, flags: number): void => {
  let slots = window.slots
  if (window.calls < window.size) {
    window.calls++
  } else if (slots !== undefined) {
    const oldest = slots[window.cursor]!
    if ((oldest & FAILED) !== 0) window.failures--
    if ((oldest & SLOW) !== 0) window.slowCalls--
  }
  if (flags !== 0) {
    slots ??= window.slots = new Uint8Array(window.size)
    if ((flags & FAILED) !== 0) window.failures++
    if ((flags & SLOW) !== 0) window.slowCalls++
  }
  if (slots !== undefined) slots[window.cursor] = flags
  window.cursor = window.cursor + 1 === window.size ? 0 : window.cursor + 1
}

const recordTime = (window: TimeWindow, failed: boolean, slow: boolean, now: number): void => {
  expire(window, now)
  const slots = window.slots ??= new Uint32Array(window.buckets * 3)
  const bucket = slotOf(window, window.epoch)
  slots[bucket]!++
  window.calls++
  if (failed) {
    slots[bucket + 1]!++
    window.failures++
  }
  if (slow) {
    slots[bucket + 2]!++
    window.slowCalls++
  }
}

/**
 * Drops the buckets that have left the window by `now`, however long ago the
 * last call was. Recording does this by itself; readers call it first so that
 * they never see stale counts.
 */
export const expire = (window: Window, now: number): void => {
  if (window._tag === "CountWindow") return
  const epoch = Math.floor(now / window.bucketMillis)
  const slots = window.slots
  if (slots !== undefined) {
    if (epoch <= window.epoch) return
    const passed = epoch - window.epoch
    if (passed >= window.buckets) {
      slots.fill(0)
      window.calls = window.failures = window.slowCalls = 0
    } else {
      for (let i = 1; i <= passed; i++) {
        const bucket = slotOf(window, window.epoch + i)
        window.calls -= slots[bucket]!
        window.failures -= slots[bucket + 1]!
        window.slowCalls -= slots[bucket + 2]!
        slots[bucket] = slots[bucket + 1] = slots[bucket + 2] = 0
      }
    }
  }
  // Without calls the window starts wherever the clock is, be it before its origin.
  window.epoch = epoch
}

const slotOf = (window: TimeWindow, epoch: number): number => {
  const bucket = epoch % window.buckets
  return (bucket < 0 ? bucket + window.buckets : bucket) * 3
}
