/**
 * What must be true of every run, decided from its journal alone. Each check
 * compares two things that were written down independently: what the callers
 * got, what the servers say they answered, what the script did, and what the
 * circuits told of themselves.
 */
import { type Condition, type Entry, type Limits, type Tier, TIERS } from "./journal.ts"

export interface Check {
  readonly name: string
  /** How many things it looked at: a check that has seen nothing proves nothing. */
  readonly seen: number
  /** How many it did not judge, because the machine was too busy for them. */
  readonly spared?: number
  readonly violations: ReadonlyArray<string>
}

export const check = (entries: ReadonlyArray<Entry>): ReadonlyArray<Check> => {
  const limits = select(entries, "Began")[0]?.limits
  return limits === undefined
    ? [{ name: "the run began", seen: 0, violations: ["there is no Began entry"] }]
    : [
      totals(entries),
      receipts(entries),
      downTiers(entries),
      missingAccounts(entries, limits),
      verdicts(entries),
      deadlines(entries, limits),
      failures(entries, limits),
      availability(entries, limits),
      trips(entries, limits),
      recoveries(entries, limits)
    ]
}

/** The checks that do not hold, as one list. */
export const violations = (entries: ReadonlyArray<Entry>): ReadonlyArray<string> =>
  check(entries).flatMap(({ name, violations }) => violations.map((violation) => `${name}: ${violation}`))

// -----------------------------------------------------------------------------
// the checks
// -----------------------------------------------------------------------------

/** As many calls ended as were begun. */
const totals = (entries: ReadonlyArray<Entry>): Check => {
  const calls = select(entries, "Called").length
  const begun = select(entries, "Ended")[0]?.calls
  return {
    name: "every call ended once",
    seen: calls,
    violations: begun === undefined
      ? ["the run did not end"]
      : calls === begun
      ? []
      : [`${begun} calls began, ${calls} ended`]
  }
}

/** The tier that is said to have served a call has a receipt for just that answer, and for no other call. */
const receipts = (entries: ReadonlyArray<Entry>): Check => {
  const given = new Map(select(entries, "Answered").map((answered) => [answered.receipt, answered]))
  const used = new Set<string>()
  const served = servedCalls(entries)
  return {
    name: "every answer has a receipt from the server that gave it",
    seen: served.length,
    violations: served.flatMap(({ accountId, answer, at }) => {
      const call = `the call for ${accountId} that ended at ${seconds(at)}`
      const receipt = given.get(answer.receipt)
      if (receipt === undefined) return [`${call} has an unknown receipt ${answer.receipt}`]
      if (used.has(answer.receipt)) return [`${call} has the receipt of another call, ${answer.receipt}`]
      used.add(answer.receipt)
      if (receipt.tier !== answer.tier) return [`${call} was served by ${receipt.tier}, not by ${answer.tier}`]
      if (receipt.accountId !== accountId || answer.accountId !== accountId) {
        return [`${call} got the answer for ${receipt.accountId}`]
      }
      return receipt.found === (answer._tag === "Found") ? [] : [`${call} has found what the server has not`]
    })
  }
}

/** A call that began after a tier went down and ended before it was told to come back was served by another one. */
const downTiers = (entries: ReadonlyArray<Entry>): Check => {
  const down = periods(entries).filter(({ condition }) => condition !== "up")
  const calls = servedCalls(entries).filter(({ at, from }) =>
    down.some((period) => from >= period.from && at <= period.to)
  )
  return {
    name: "no answer came from a tier that was down",
    seen: calls.length,
    violations: calls.flatMap(({ accountId, answer, at, from }) =>
      down
        .filter((period) => period.tier === answer.tier && from >= period.from && at <= period.to)
        .map(({ condition }) => `${answer.tier} was ${condition} and served ${accountId} at ${seconds(at)}`)
    )
  }
}

/**
 * "Not found" is the answer: no other tier is asked. The load asks for each missing account once. A call that took as long
 * as an attempt may have had one time out after its server had answered.
 */
const missingAccounts = (entries: ReadonlyArray<Entry>, limits: Limits): Check => {
  const missing = servedCalls(entries).filter(({ answer }) => answer._tag === "NotFound")
  const asked = Map.groupBy(select(entries, "Answered"), ({ accountId }) => accountId)
  return {
    name: "a missing account ended its call at once",
    seen: missing.length,
    violations: missing.flatMap(({ accountId, at, from }) => {
      const tiers = (asked.get(accountId) ?? []).map(({ tier }) => tier)
      return tiers.length <= 1 || at - from >= limits.attempt ? [] : [`${accountId} was asked of ${tiers.join(", ")}`]
    })
  }
}

/**
 * Each circuit has counted exactly the answers that its tier gave. One that
 * comes after the circuit has changed its state counts as late, as late
 * failures do, so that the answers lie between two numbers.
 */
const verdicts = (entries: ReadonlyArray<Entry>): Check => {
  const served = servedCalls(entries)
  const counted = select(entries, "Counted")
  return {
    name: "the circuits counted the answers the callers got",
    seen: served.length,
    violations: TIERS.flatMap((tier) => {
      const counts = counted.find((counts) => counts.tier === tier)
      if (counts === undefined) return [`there are no counts of ${tier}`]
      const answers = served.filter(({ answer }) => answer.tier === tier).length
      const { late, successes } = counts
      return successes <= answers && answers <= successes + late
        ? []
        : [`${tier} served ${answers} calls, its circuit counted ${successes} successes and ${late} late results`]
    })
  }
}

/** No call outlives its deadline by more than timers need and this process was kept from running. */
const deadlines = (entries: ReadonlyArray<Entry>, limits: Limits): Check => {
  const calls = select(entries, "Called")
  return {
    name: "no call outlived its deadline",
    seen: calls.length,
    violations: calls
      .filter(({ at, from }) => at - from > limits.deadline + limits.tolerance + stalls(entries, from, at))
      .map(({ accountId, at, from }) =>
        `the call for ${accountId} that ended at ${seconds(at)} took ${Math.round(at - from)} ms of ${limits.deadline}`
      )
  }
}

/** A call that failed before its deadline has failed at every tier, or was kept from it by a circuit that was not closed. */
const failures = (entries: ReadonlyArray<Entry>, limits: Limits): Check => {
  const failed = select(entries, "Called").flatMap(({ answer, at, from, accountId }) =>
    answer._tag === "Failed" && at - from < limits.deadline ? [{ answer, at, from, accountId }] : []
  )
  return {
    name: "every failed call had tried all tiers",
    seen: failed.length,
    violations: failed.flatMap(({ accountId, answer, at, from }) =>
      TIERS.flatMap((tier) => {
        const outcome = answer.attempts.find((attempt) => attempt.tier === tier)?.outcome
        // A stall delays what the circuits tell, too.
        const told = at + limits.tolerance + stalls(entries, from, at + limits.tolerance)
        const wasClosed = stateAt(entries, tier, from) === "Closed" &&
          !select(entries, "Changed").some((change) => change.tier === tier && change.at >= from && change.at <= told)
        const call = `the call for ${accountId} that failed at ${seconds(at)}`
        return outcome === undefined
          ? [`${call} did not try ${tier}`]
          : outcome === "skipped" && wasClosed
          ? [`${call} skipped ${tier}, whose circuit was closed`]
          : []
      })
    )
  }
}

/**
 * A call is served if, all its time, one tier was up and had been for as long as its circuit needs to notice. A server that
 * the machine did not let run was not up.
 */
const availability = (entries: ReadonlyArray<Entry>, limits: Limits): Check => {
  const up = periods(entries)
    .filter(({ condition }) => condition === "up")
    .map((period) => ({ ...period, usable: period.from === 0 ? 0 : period.from + limits.recovery }))
  const calls = select(entries, "Called").flatMap((call) => {
    const tier = up.find(({ to, usable }) => usable <= call.from && call.at <= to)?.tier
    return tier === undefined ? [] : [{ ...call, tier }]
  })
  const judged = calls.filter(({ at, from, tier }) => !isBusy(entries, limits, tier, from - limits.recovery, at))
  return {
    name: "no call failed while a tier was up",
    seen: judged.length,
    spared: calls.length - judged.length,
    violations: judged.flatMap(({ accountId, answer, at, tier }) =>
      answer._tag === "Failed"
        ? [`${tier} was up, and the call for ${accountId} failed at ${seconds(at)}: ${answer.reason}`]
        : []
    )
  }
}

/** By the time a tier is told to come back, its circuit has noticed that it was down, if as many calls came as it takes. */
const trips = (entries: ReadonlyArray<Entry>, limits: Limits): Check => {
  const calls = select(entries, "Called")
  const outages = periods(entries).filter(({ condition, to }) => condition !== "up" && to !== Infinity)
  const judged = outages.filter(({ from, to }) =>
    calls.filter((call) => call.from >= from && call.at <= to).length >= 2 * limits.failures
  )
  return {
    name: "every outage opened its circuit",
    seen: judged.length,
    spared: outages.length - judged.length,
    violations: judged
      .filter(({ from, tier, to }) =>
        stateAt(entries, tier, to) === "Closed" ||
        !select(entries, "Changed").some((change) =>
          change.tier === tier && change.to === "Open" && change.at >= from && change.at <= to
        )
      )
      .map(({ condition, from, tier }) => `${tier} was ${condition} from ${seconds(from)} on and no circuit opened`)
  }
}

/**
 * A tier that is up again has a closed circuit in time, and all have in the end.
 * Circuits probe when they are called, so the script heals the tiers from the
 * last to the first: a tier below one that serves is never called.
 */
const recoveries = (entries: ReadonlyArray<Entry>, limits: Limits): Check => {
  const ended = select(entries, "Ended")[0]?.at ?? Infinity
  const up = periods(entries).filter(({ condition }) => condition === "up")
  const isCalled = (tier: Tier, from: number, to: number) =>
    !up.some((above) => TIERS.indexOf(above.tier) < TIERS.indexOf(tier) && above.from < to && above.to > from)
  const recovered = up.filter(({ from, tier, to }) => {
    const due = from + limits.recovery
    return from > 0 && due <= Math.min(to, ended) && isCalled(tier, from, due)
  })
  const judged = recovered.filter(({ from, tier }) => !isBusy(entries, limits, tier, from, from + limits.recovery))
  return {
    name: "every circuit recovered",
    seen: judged.length,
    spared: recovered.length - judged.length,
    violations: judged.flatMap(({ from, tier }) => {
      const due = from + limits.recovery
      if (stateAt(entries, tier, due) !== "Closed") {
        return [`${tier} was up from ${seconds(from)} on and its circuit was not closed at ${seconds(due)}`]
      }
      const last = select(entries, "Counted").find((counts) => counts.tier === tier)?.state
      return last === "Closed" ? [] : [`${tier} is up and its circuit is ${last} at the end`]
    })
  }
}

// -----------------------------------------------------------------------------
// reading a journal
// -----------------------------------------------------------------------------

export const select = <Tag extends Entry["_tag"]>(
  entries: ReadonlyArray<Entry>,
  tag: Tag
): ReadonlyArray<Extract<Entry, { readonly _tag: Tag }>> =>
  entries.filter((entry): entry is Extract<Entry, { readonly _tag: Tag }> => entry._tag === tag)

const servedCalls = (entries: ReadonlyArray<Entry>) =>
  select(entries, "Called").flatMap(({ answer, ...call }) => answer._tag === "Failed" ? [] : [{ ...call, answer }])

interface Period {
  readonly tier: Tier
  readonly condition: Condition
  /** The condition was in force. */
  readonly from: number
  /** The server was told to change. */
  readonly to: number
}

/** How long each tier was in which condition for certain, leaving out the moments of change. */
const periods = (entries: ReadonlyArray<Entry>): ReadonlyArray<Period> =>
  TIERS.flatMap((tier) => {
    const changes = select(entries, "Became").filter((change) => change.tier === tier)
    return [{ condition: "up" as const, at: 0 }, ...changes].map(({ at, condition }, i) => ({
      tier,
      condition,
      from: at,
      to: changes[i]?.askedAt ?? Infinity
    }))
  })

const stateAt = (entries: ReadonlyArray<Entry>, tier: Tier, time: number): string =>
  select(entries, "Changed").findLast((change) => change.tier === tier && change.at <= time)?.to ?? "Closed"

/** The stalls of this process, or of the server of a tier, between two times. */
const stallsOf = (entries: ReadonlyArray<Entry>, who: Tier | undefined, from: number, to: number) =>
  select(entries, "Stalled").filter(({ at, millis, tier }) => tier === who && at >= from && at - millis <= to)

const total = (stalls: ReadonlyArray<{ readonly millis: number }>): number =>
  stalls.reduce((sum, { millis }) => sum + millis, 0)

/** How long this process was kept from running between two times. */
const stalls = (entries: ReadonlyArray<Entry>, from: number, to: number): number =>
  total(stallsOf(entries, undefined, from, to))

/**
 * Whether the machine was so busy between two times that attempts at a tier may have timed out for that alone: it kept
 * this process or the server from running for a good part of an attempt at once, or for all of one in pieces.
 */
const isBusy = (entries: ReadonlyArray<Entry>, limits: Limits, tier: Tier, from: number, to: number): boolean => {
  const found = [undefined, tier].flatMap((who) => stallsOf(entries, who, from, to))
  return total(found) >= limits.attempt || found.some(({ millis }) => millis >= limits.attempt / 4)
}

/** How much of the time of a run this process or a server was kept from running. */
export const stalled = (entries: ReadonlyArray<Entry>): number => {
  const ended = select(entries, "Ended")[0]?.at ?? 0
  const most = Math.max(...[undefined, ...TIERS].map((who) => total(stallsOf(entries, who, 0, ended))))
  return ended === 0 ? 0 : most / ended
}

const seconds = (millis: number): string => `${(millis / 1000).toFixed(2)} s`
