/** How a bulkhead limits calls: its options, checked and with their defaults. */
import * as Duration from "effect/Duration"
import type { Options } from "../../Bulkhead.ts"
import { checkCount, checkDuration, checkOptions, optionNames, refuse } from "../check.ts"

export interface Size {
  readonly limit: number
  readonly queue: number
  readonly maxWait: Duration.Duration
}

const OF_SIZE = { limit: true, queue: true, maxWait: true } as const

/** The options of a bulkhead whose name is an argument, and of one whose name is an option. */
export const OPTIONS = /* @__PURE__ */ optionNames<Options>(OF_SIZE)
export const NAMED_OPTIONS = /* @__PURE__ */ optionNames<Options & { readonly name?: string | undefined }>({
  name: true,
  ...OF_SIZE
})

/** Longer than callers are ready to wait, and short of never. */
const DEFAULT_MAX_WAIT: Duration.Input = "30 seconds"

export const parse = (caller: string, options: Options, known: ReadonlyArray<string>): Size => {
  const { limit, maxWait, queue } = checkOptions(caller, options, known)
  if (maxWait !== undefined && queue === undefined) {
    throw new RangeError(`${caller}: maxWait must come with a queue to wait in, got no queue`)
  }
  const size = {
    limit: checkCount(`${caller}: limit`, limit),
    queue: queue === undefined ? 0 : checkQueue(caller, queue),
    maxWait: checkDuration(`${caller}: maxWait`, maxWait ?? DEFAULT_MAX_WAIT)
  }
  if (size.queue === Infinity && !Duration.isFinite(size.maxWait)) {
    throw new RangeError(`${caller}: queue must be finite where maxWait is infinite, got Infinity`)
  }
  return size
}

const checkQueue = (caller: string, queue: number): number => {
  if ((Number.isSafeInteger(queue) && queue >= 0) || queue === Infinity) return queue
  return refuse(`${caller}: queue`, "an integer >= 0 or Infinity", queue)
}

export const describe = ({ limit, maxWait, queue }: Size): string => {
  const calls = `at most ${limit} ${limit === 1 ? "call" : "calls"} at once`
  if (queue === 0 || Duration.isZero(maxWait)) return `${calls}, no queue`
  const waiting = queue === Infinity ? `${calls}, queue without bound` : `${calls}, queue of ${queue}`
  return Duration.isFinite(maxWait) ? `${waiting}, waiting up to ${Duration.format(maxWait)}` : waiting
}
