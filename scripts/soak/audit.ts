/**
 * What must be true of every soak, decided from its report alone: plain
 * numbers that were counted independently, by the callers, around each
 * combinator, in the circuits themselves and in the servers.
 */

/** The calls of one scenario, as its callers saw them. */
export interface CallAccount {
  readonly scenario: string
  readonly asked: number
  /** By result: `served`, `fallback`, `interrupted`, or the tag of an error. */
  readonly ends: Readonly<Record<string, number>>
}

/** Who asked a circuit, a bulkhead or a rate limit, counted around it. */
export interface GateAccount {
  readonly name: string
  readonly asked: number
  /** What was protected has begun. */
  readonly admitted: number
  /** Ended with the gate's own rejection. */
  readonly rejected: number
  /** Interrupted before one or the other was to be seen. */
  readonly abandoned: number
  /** Of the admitted, by how they ended. */
  readonly ends: Readonly<Record<"success" | "failure" | "defect" | "interrupted", number>>
}

/** What a circuit has counted itself, resets added up, and how many calls it need not have counted. */
export interface CircuitAccount {
  readonly name: string
  readonly total: number
  readonly successes: number
  readonly failures: number
  readonly ignored: number
  readonly late: number
  readonly rejected: number
  readonly inFlight: number
  /** Admitted while it was disabled. */
  readonly uncounted: number
  /** Admitted while it was being disabled or enabled. */
  readonly unclear: number
}

export interface BulkheadAccount {
  readonly name: string
  readonly rejected: number
  readonly inFlight: number
  readonly queued: number
  /** The most calls that ever ran at once, and the highest limit there ever was. */
  readonly peak: number
  readonly limit: number
}

/** Calls that left one gate for the next one. What is missing was interrupted on the way. */
export interface Passage {
  readonly from: string
  readonly to: string
  readonly left: number
  readonly reached: number
  readonly interrupted: number
}

/** The attempts at one server, told by the client and by the receipts of the server. */
export interface ServerAccount {
  readonly name: string
  readonly sent: number
  readonly succeeded: number
  readonly received: number
  readonly answered: number
  /** Answers that reached a caller and that the server knows nothing of. */
  readonly unknown: number
  /** Receipts for what nobody sent. */
  readonly strangers: number
  /** Receipts that came twice. */
  readonly duplicates: number
}

/** A point of chaos: its own counts, and what was counted outside and inside of it. */
export interface ChaosAccount {
  readonly point: string
  readonly calls: number
  readonly untouched: number
  /** What was done before the call, instead of it, and to its answer. */
  readonly before: number
  readonly instead: number
  readonly after: number
  /** Calls that came to the point, and those that went through it. */
  readonly arrived: number
  readonly through: number
  /** Calls that were interrupted from outside, perhaps between two steps. */
  readonly interrupted: number
}

/** Taken while no call runs, after a garbage collection. */
export interface Sample {
  /** Seconds since the start. */
  readonly at: number
  readonly calls: number
  readonly heap: number
  readonly timers: number
  readonly sockets: number
  readonly circuits: number
}

export interface Report {
  readonly seed: string
  readonly minutes: number
  readonly calls: ReadonlyArray<CallAccount>
  readonly gates: ReadonlyArray<GateAccount>
  readonly circuits: ReadonlyArray<CircuitAccount>
  readonly bulkheads: ReadonlyArray<BulkheadAccount>
  readonly passages: ReadonlyArray<Passage>
  readonly servers: ReadonlyArray<ServerAccount>
  readonly chaos: ReadonlyArray<ChaosAccount>
  readonly samples: ReadonlyArray<Sample>
  /** What still ran when everything should have ended. */
  readonly stuck: ReadonlyArray<string>
  /** How often the calls were waited for. */
  readonly drains: number
  /** Circuits that are left and that nobody registered. */
  readonly leftCircuits: ReadonlyArray<string>
  /** What kept the process alive after the end, by kind. */
  readonly leftResources: ReadonlyArray<string>
  /** What was done to the servers, to the client and by hand. */
  readonly deeds: Readonly<Record<string, number>>
}

export interface Check {
  readonly name: string
  /** How many things it looked at: a check that has seen nothing proves nothing. */
  readonly seen: number
  readonly violations: ReadonlyArray<string>
}

export const audit = (report: Report): ReadonlyArray<Check> => [
  calls(report),
  gates(report),
  circuitSums(report),
  circuitCounts(report),
  bulkheads(report),
  passages(report),
  receipts(report),
  chaos(report),
  {
    name: "every call ended when no new one was made",
    seen: report.drains,
    violations: report.stuck
  },
  {
    name: "idle circuits were forgotten",
    seen: report.samples.length,
    violations: report.leftCircuits.length === 0 ? [] : [`left: ${some(report.leftCircuits)}`]
  },
  heap(report),
  growth("timers", report, ({ timers }) => timers),
  growth("sockets", report, ({ sockets }) => sockets),
  {
    name: "nothing kept the process alive",
    seen: 1,
    violations: report.leftResources.length === 0 ? [] : [`left: ${some(report.leftResources)}`]
  },
  {
    name: "every kind of trouble was made",
    seen: sum(Object.values(report.deeds)),
    violations: Object.entries(report.deeds).flatMap(([deed, times]) => times > 0 ? [] : [`never: ${deed}`])
  }
]

// -----------------------------------------------------------------------------
// the checks
// -----------------------------------------------------------------------------

/** Every call that was asked for ended, once and in one way. */
const calls = ({ calls }: Report): Check => ({
  name: "every call ended once",
  seen: sum(calls.map(({ asked }) => asked)),
  violations: calls.flatMap(({ asked, ends, scenario }) => {
    const ended = sum(Object.values(ends))
    return ended === asked ? [] : [`${scenario}: ${asked} asked, ${ended} ended`]
  })
})

/** Who asked was admitted or rejected, or has left before; who was admitted has ended. */
const gates = ({ gates }: Report): Check => ({
  name: "admitted + rejected = asked, and who was admitted has ended",
  seen: sum(gates.map(({ asked }) => asked)),
  violations: gates.flatMap(({ abandoned, admitted, asked, ends, name, rejected }) => [
    ...(admitted + rejected + abandoned === asked
      ? []
      : [`${name}: ${asked} asked, ${admitted} admitted, ${rejected} rejected, ${abandoned} left before`]),
    ...(sum(Object.values(ends)) === admitted
      ? []
      : [`${name}: ${admitted} admitted, ${sum(Object.values(ends))} ended`])
  ])
})

/** The outcomes of a circuit add up to its total, and nothing is in flight. */
const circuitSums = ({ circuits }: Report): Check => ({
  name: "the outcomes of every circuit sum up to its total",
  seen: sum(circuits.map(({ total }) => total)),
  violations: circuits.flatMap(({ failures, ignored, inFlight, late, name, rejected, successes, total }) => [
    ...(successes + failures + ignored + late + rejected === total
      ? []
      : [
        `${name}: total ${total}, but ${successes} successes, ${failures} failures, ${ignored} ignored, ${late} late, ` +
        `${rejected} rejected`
      ]),
    ...(inFlight === 0 ? [] : [`${name}: ${inFlight} in flight when no call runs`])
  ])
})

/**
 * A circuit has counted those who asked, but for the calls that ran while it
 * was disabled. Who was interrupted on the threshold may have been counted.
 */
const circuitCounts = ({ circuits, gates }: Report): Check => {
  const pairs = circuits.flatMap((circuit) => {
    const gate = gates.find(({ name }) => name === circuit.name)
    return gate === undefined ? [] : [{ circuit, gate }]
  })
  return {
    name: "every circuit has counted who asked it",
    seen: pairs.length,
    violations: pairs.flatMap(({ circuit, gate }) => {
      const { name, rejected, total, uncounted, unclear } = circuit
      const most = gate.asked - uncounted
      const least = most - gate.abandoned - unclear
      return [
        ...(total >= least && total <= most ? [] : [`${name}: ${least} to ${most} calls to count, ${total} counted`]),
        ...(rejected >= gate.rejected && rejected <= gate.rejected + gate.abandoned
          ? []
          : [`${name}: ${gate.rejected} callers were rejected, ${rejected} counted`])
      ]
    })
  }
}

const bulkheads = ({ bulkheads, gates }: Report): Check => ({
  name: "no bulkhead let in more than its limit or kept a slot",
  seen: bulkheads.length,
  violations: bulkheads.flatMap(({ inFlight, limit, name, peak, queued, rejected }) => {
    const gate = gates.find((gate) => gate.name === name)
    return [
      ...(inFlight === 0 && queued === 0 ? [] : [`${name}: ${inFlight} in flight, ${queued} queued when no call runs`]),
      ...(peak <= limit ? [] : [`${name}: ${peak} at once, its limit was never above ${limit}`]),
      ...(gate === undefined || (rejected >= gate.rejected && rejected <= gate.rejected + gate.abandoned)
        ? []
        : [`${name}: ${gate.rejected} callers were rejected, ${rejected} counted`])
    ]
  })
})

const passages = ({ passages }: Report): Check => ({
  name: "whoever passed one gate came to the next, or was interrupted",
  seen: sum(passages.map(({ left }) => left)),
  violations: passages.flatMap(({ from, interrupted, left, reached, to }) =>
    reached <= left && left - reached <= interrupted
      ? []
      : [`${left} passed ${from}, ${reached} came to ${to}, ${interrupted} were interrupted`]
  )
})

/** An answer has a receipt, a receipt an attempt. A server that is killed may have received what it cannot tell of. */
const receipts = ({ servers }: Report): Check => ({
  name: "the receipts of the servers agree with the attempts",
  seen: sum(servers.map(({ received }) => received)),
  violations: servers.flatMap(({ answered, duplicates, name, received, sent, strangers, succeeded, unknown }) => [
    ...(unknown === 0 ? [] : [`${name}: ${unknown} answers that it has not given`]),
    ...(strangers === 0 ? [] : [`${name}: ${strangers} receipts for attempts that nobody made`]),
    ...(duplicates === 0 ? [] : [`${name}: ${duplicates} attempts were received twice`]),
    ...(succeeded <= answered && answered <= received && received <= sent
      ? []
      : [`${name}: ${sent} sent, ${received} received, ${answered} answered, ${succeeded} answers arrived`])
  ])
})

/** Each call of a point was left alone or broken, is counted as one of the two, and fared as counted. */
const chaos = ({ chaos }: Report): Check => ({
  name: "the chaos accounts for every call",
  seen: sum(chaos.map(({ calls }) => calls)),
  violations: chaos.flatMap(({ after, arrived, before, calls, instead, interrupted, point, through, untouched }) => {
    const onlyBefore = calls - untouched - instead - after
    return [
      ...(calls <= arrived && arrived - calls <= interrupted ? [] : [`${point}: ${arrived} arrived, ${calls} counted`]),
      ...(onlyBefore >= 0 && onlyBefore <= before
        ? []
        : [`${point}: ${calls} calls, ${untouched} untouched, ${before} delayed, ${instead} replaced, ${after} lost`]),
      ...(through <= calls - instead && through >= calls - instead - interrupted
        ? []
        : [`${point}: ${through} went through of ${calls} calls, ${instead} replaced, ${interrupted} interrupted`])
    ]
  })
})

/** Growth that is noise: a garbage collector does not give back every byte. */
const HEAP_NOISE = 3 * 1024 * 1024

/** The heap after garbage collections stays where it is once the program is warm. */
const heap = ({ samples }: Report): Check => {
  const warm = warmedUp(samples)
  const span = warm.length < 2 ? 0 : warm.at(-1)!.at - warm[0]!.at
  const grown = slope(warm.map(({ at, heap }) => [at, heap])) * span
  const made = warm.length < 2 ? 0 : warm.at(-1)!.calls - warm[0]!.calls
  return {
    name: "the heap did not grow",
    seen: warm.length,
    violations: warm.length < 3
      ? [`${warm.length} samples are too few to tell; run longer`]
      : grown <= HEAP_NOISE
      ? []
      : [`by ${mebibytes(grown)} in ${Math.round(span)} s and ${made} calls, ${Math.round(grown / made)} bytes a call`]
  }
}

/** A few handles come and go with the soak itself. */
const HANDLE_NOISE = 10

const growth = (what: string, { samples }: Report, read: (sample: Sample) => number): Check => {
  const warm = warmedUp(samples)
  const span = warm.length < 2 ? 0 : warm.at(-1)!.at - warm[0]!.at
  const grown = slope(warm.map((sample) => [sample.at, read(sample)])) * span
  return {
    name: `the ${what} did not grow`,
    seen: warm.length,
    violations: grown <= HANDLE_NOISE ? [] : [`by ${Math.round(grown)} in ${Math.round(span)} s`]
  }
}

/** Without the first third, in which code is compiled and pools are filled. */
const warmedUp = (samples: ReadonlyArray<Sample>): ReadonlyArray<Sample> =>
  samples.slice(Math.min(Math.ceil(samples.length / 3), Math.max(0, samples.length - 3)))

/** The median of the slopes between any two points, which one odd sample does not move. */
export const slope = (points: ReadonlyArray<readonly [x: number, y: number]>): number => {
  const slopes = points.flatMap(([x1, y1], i) =>
    points.slice(i + 1).flatMap(([x2, y2]) => x2 > x1 ? [(y2 - y1) / (x2 - x1)] : [])
  ).toSorted((a, b) => a - b)
  const middle = slopes.length >> 1
  return slopes.length === 0
    ? 0
    : slopes.length % 2 === 1
    ? slopes[middle]!
    : (slopes[middle - 1]! + slopes[middle]!) / 2
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, n) => sum + n, 0)

const some = (names: ReadonlyArray<string>): string =>
  names.length <= 5 ? names.join(", ") : `${names.slice(0, 5).join(", ")} and ${names.length - 5} more`

const mebibytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`

// -----------------------------------------------------------------------------
// in words
// -----------------------------------------------------------------------------

/** The report for people: what was done, what became of the calls, and which checks hold. */
export const describe = (report: Report, checks: ReadonlyArray<Check>): ReadonlyArray<string> => {
  const count = (entries: Readonly<Record<string, number>>) =>
    Object.entries(entries).filter(([, n]) => n > 0).map(([what, n]) => `${what} ${n}`).join(", ")
  return [
    "",
    "What was done",
    `  ${count(report.deeds)}`,
    "",
    "What became of the calls",
    ...report.calls.map(({ asked, ends, scenario }) => `  ${scenario.padEnd(10)} ${asked}: ${count(ends)}`),
    "",
    "Circuits",
    ...report.circuits.map(({ failures, ignored, late, name, rejected, successes, total }) =>
      `  ${name.padEnd(10)} ${total}: ${count({ successes, failures, ignored, late, rejected })}`
    ),
    "",
    "Servers",
    ...report.servers.map(({ answered, name, received, sent, succeeded }) =>
      `  ${name.padEnd(10)} ${count({ sent, received, answered, arrived: succeeded })}`
    ),
    "",
    "After garbage collections",
    ...report.samples.map(({ at, calls, circuits, heap, sockets, timers }) =>
      `  ${at.toFixed(0).padStart(5)} s  ${mebibytes(heap)}, ${timers} timers, ${sockets} sockets, ` +
      `${circuits} circuits, ${calls} calls`
    ),
    "",
    "Checks",
    ...checks.flatMap(({ name, seen, violations }) => [
      `  ${violations.length === 0 ? "ok    " : "FAILED"} ${name} (${seen})`,
      ...violations.map((violation) => `           ${violation}`)
    ])
  ]
}
