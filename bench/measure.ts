/**
 * Measuring on a machine that does other things as well.
 *
 * The contestants of a case take turns in slices of a few milliseconds, in an
 * order that rotates. Of the slices of a block only the fastest of each
 * contestant counts, since noise only ever adds time. A block gives one number
 * per contestant, all from the same moment, so that costs and ratios are
 * computed within a block, and only then is the median of the blocks taken,
 * over all processes that measured the case.
 */

/** Makes so many calls, one after the other unless the case says otherwise. */
export type Run = (calls: number) => Promise<unknown>

export interface Contestant {
  readonly name: string
  readonly run: Run
  /** Name of the contestant that makes the same call unprotected. What is above it is the added cost. */
  readonly bare?: string | undefined
  /** Calls are made in multiples of this. */
  readonly batch?: number | undefined
}

export interface Plan {
  readonly short: boolean
  /** How often a case is measured anew: what the compiler makes of the same code differs from process to process. */
  readonly processes: number
  readonly blocks: number
  readonly slicesPerBlock: number
  readonly sliceMillis: number
  readonly warmupMillis: number
}

export const fullPlan: Plan = {
  short: false,
  processes: 5,
  blocks: 20,
  slicesPerBlock: 3,
  sliceMillis: 5,
  warmupMillis: 150
}

export const shortPlan: Plan = {
  short: true,
  processes: 1,
  blocks: 15,
  slicesPerBlock: 3,
  sliceMillis: 3,
  warmupMillis: 80
}

/** Nanoseconds per call, one number per block. */
export type Samples = ReadonlyArray<number>

/** Measures the contestants of one case against each other. */
export const measure = async (
  contestants: ReadonlyArray<Contestant>,
  plan: Plan
): Promise<Readonly<Record<string, Samples>>> => {
  const lanes = contestants.map((contestant) => ({
    contestant,
    calls: contestant.batch ?? 1,
    samples: [] as Array<number>
  }))
  // Twice: what the compiler learnt from the first contestant does not hold once the last has run.
  for (let pass = 0; pass < 2; pass++) {
    for (const lane of lanes) lane.calls = await warmUp(lane.contestant, plan)
  }
  for (let block = 0; block < plan.blocks; block++) {
    const best = lanes.map(() => Infinity)
    for (let slice = 0; slice < plan.slicesPerBlock; slice++) {
      for (let turn = 0; turn < lanes.length; turn++) {
        const index = (turn + block + slice) % lanes.length
        const { calls, contestant } = lanes[index]!
        best[index] = Math.min(best[index]!, await time(contestant, calls))
      }
    }
    for (const [index, lane] of lanes.entries()) lane.samples.push(best[index]!)
  }
  return Object.fromEntries(lanes.map(({ contestant, samples }) => [contestant.name, samples]))
}

const time = async ({ run }: Contestant, calls: number): Promise<number> => {
  const start = process.hrtime.bigint()
  await run(calls)
  return Number(process.hrtime.bigint() - start) / calls
}

/** Runs a contestant for a while, and finds how many calls fill a slice. */
const warmUp = async (contestant: Contestant, plan: Plan): Promise<number> => {
  const batch = contestant.batch ?? 1
  const round = (calls: number) => Math.max(1, Math.round(calls / batch)) * batch
  const end = process.hrtime.bigint() + BigInt(plan.warmupMillis * 1e6)
  let calls = round(16)
  do {
    const nanos = await time(contestant, calls)
    calls = round(Math.min(calls * 4, (plan.sliceMillis * 1e6) / nanos))
  } while (process.hrtime.bigint() < end)
  return calls
}

// -----------------------------------------------------------------------------
// statistics
// -----------------------------------------------------------------------------

/** A median, and the quartiles around it. */
export interface Summary {
  readonly median: number
  readonly low: number
  readonly high: number
}

export const summarise = (values: ReadonlyArray<number>): Summary => {
  const sorted = values.filter((value) => !Number.isNaN(value)).toSorted((a, b) => a - b)
  return { median: quantile(sorted, 0.5), low: quantile(sorted, 0.25), high: quantile(sorted, 0.75) }
}

const quantile = (sorted: ReadonlyArray<number>, part: number): number => {
  if (sorted.length === 0) return NaN
  const position = (sorted.length - 1) * part
  const below = Math.floor(position)
  const low = sorted[below]!
  return low + ((sorted[below + 1] ?? low) - low) * (position - below)
}
