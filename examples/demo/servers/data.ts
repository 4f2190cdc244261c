/** The CRM's accounts. The same in all three servers: they are three ways to one system. */

export interface StoredAccount {
  readonly id: string
  readonly name: string
  readonly owner: string
  readonly segment: "enterprise" | "mid-market" | "small-business"
}

const NAMES = ["Acme", "Borealis", "Cobalt", "Deltawerk", "Ember", "Fjord", "Granite", "Halcyon", "Indigo", "Juniper"]
const TRADES = ["Foods", "Freight", "Health", "Labs", "Optics"]
const OWNERS = ["Amara Osei", "Jonas Lindqvist", "Mei Tanaka", "Rafael Duarte"]
const SEGMENTS = ["enterprise", "mid-market", "small-business"] as const

export const ACCOUNTS: ReadonlyArray<StoredAccount> = NAMES.flatMap((name, i) =>
  TRADES.map((trade, j) => {
    const n = i * TRADES.length + j
    return {
      id: `acc-${String(n + 1).padStart(3, "0")}`,
      name: `${name} ${trade}`,
      owner: OWNERS[n % OWNERS.length]!,
      segment: SEGMENTS[n % SEGMENTS.length]!
    }
  })
)

const byId = new Map(ACCOUNTS.map((account) => [account.id, account]))

export const findAccount = (id: string): StoredAccount | undefined => byId.get(id)
