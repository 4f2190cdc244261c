/**
 * The account of a retry budget: the calls and retries of the last `window`
 * milliseconds, kept in ten slices that leave it one by one.
 *
 * Counts are whole numbers and the ratio is applied when the balance is read,
 * so ten calls at a ratio of 0.1 are worth exactly one retry.
 */

export interface Rules {
  readonly ratio: number
  /** Retries in a window that no call has to pay for. */
  readonly reserve: number
  readonly sliceMillis: number
}

interface Slice {
  readonly tick: number
  readonly calls: number
  readonly retries: number
}

/** The current slice, with the ones before it. */
export interface Account extends Slice {
  readonly past: ReadonlyArray<Slice>
  readonly pastCalls: number
  readonly pastRetries: number
  /** Retries that were refused, ever. */
  readonly refused: number
}

const SLICES = 10

export const rules = (options: {
  readonly ratio: number
  readonly minPerSecond: number
  readonly windowMillis: number
}): Rules => ({
  ratio: options.ratio,
  reserve: options.minPerSecond * options.windowMillis / 1000,
  sliceMillis: options.windowMillis / SLICES
})

export const empty: Account = {
  tick: -Infinity,
  calls: 0,
  retries: 0,
  past: [],
  pastCalls: 0,
  pastRetries: 0,
  refused: 0
}

/** The account as it stands at `now`. */
export const at = (account: Account, rules: Rules, now: number): Account => {
  const tick = Math.floor(now / rules.sliceMillis)
  if (tick <= account.tick) return account
  const { calls, past, retries } = account
  const kept = [...past, { tick: account.tick, calls, retries }].filter((slice) => slice.tick > tick - SLICES)
  return {
    tick,
    calls: 0,
    retries: 0,
    past: kept,
    pastCalls: kept.reduce((sum, slice) => sum + slice.calls, 0),
    pastRetries: kept.reduce((sum, slice) => sum + slice.retries, 0),
    refused: account.refused
  }
}

export const calls = (account: Account): number => account.calls + account.pastCalls

export const retries = (account: Account): number => account.retries + account.pastRetries

/** How many retries may be made. Takes the account as it stands now. */
export const balance = (account: Account, rules: Rules): number =>
  // Rounded, because 100 calls at a ratio of 0.29 come to 28.999999999999996.
  Math.max(0, Math.round((rules.reserve + calls(account) * rules.ratio - retries(account)) * 1e6) / 1e6)

/** Counts one call. Takes the account as it stands now. */
export const deposit = (account: Account): Account => ({ ...account, calls: account.calls + 1 })

/** Takes back a call that was counted at `countedAt`, unless the account has forgotten it. */
export const refund = (account: Account, rules: Rules, countedAt: number): Account => {
  const tick = Math.floor(countedAt / rules.sliceMillis)
  if (tick >= account.tick) return { ...account, calls: Math.max(0, account.calls - 1) }
  if (!account.past.some((slice) => slice.tick === tick && slice.calls > 0)) return account
  return {
    ...account,
    past: account.past.map((slice) => slice.tick === tick ? { ...slice, calls: slice.calls - 1 } : slice),
    pastCalls: account.pastCalls - 1
  }
}

/** Counts one retry if it may be made. Takes the account as it stands now. */
export const withdraw = (account: Account, rules: Rules): readonly [granted: boolean, account: Account] =>
  balance(account, rules) >= 1
    ? [true, { ...account, retries: account.retries + 1 }]
    : [false, { ...account, refused: account.refused + 1 }]
