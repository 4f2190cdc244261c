import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Random } from "effect"
import { TestClock } from "effect/testing"
import { CircuitBreakerRegistry, CircuitPolicy, Timeout } from "effect-resilience"
import { Accounts, type AccountsUnavailable } from "../../examples/demo/accounts.ts"
import { check, select, violations } from "../../examples/demo/checks.ts"
import { type Entry, Journal, type Tier, TIERS } from "../../examples/demo/journal.ts"
import { observed, observedRetry, run, warmUp } from "../../examples/demo/program.ts"
import { LENGTH, type Scene, SCRIPT } from "../../examples/demo/script.ts"
import { start } from "../../examples/demo/servers/processes.ts"
import { AccountsTiered } from "../../examples/demo/tiered.ts"
import * as Memory from "../../examples/demo/tiers/memory.ts"
import { AccountsMcp } from "../../examples/demo/tiers/mcp.ts"
import { AccountsRest } from "../../examples/demo/tiers/rest.ts"
import { AccountsSdk } from "../../examples/demo/tiers/sdk.ts"
import * as Timeline from "../../examples/demo/timeline.ts"

type MemoryLayer = Layer.Layer<Accounts, AccountsUnavailable, Journal>

/** Runs the program of the demo in memory, on a test clock, and returns its journal. */
const record = (options: {
  readonly script?: ReadonlyArray<Scene>
  readonly accounts?: (tiers: Record<Tier, MemoryLayer>) => MemoryLayer
} = {}): Effect.Effect<ReadonlyArray<Entry>, AccountsUnavailable> =>
  Effect.gen(function*() {
    const journal = yield* Journal
    const memory = Memory.make({ tier1_mcp: "12 millis", tier2_sdk: "5 millis", tier3_rest: "8 millis" })
    const tiers = {
      tier1_mcp: observed("tier1_mcp", memory.tier("tier1_mcp")),
      tier2_sdk: memory.tier("tier2_sdk"),
      tier3_rest: memory.tier("tier3_rest")
    }
    const registry = CircuitBreakerRegistry.layer({
      defaults: CircuitPolicy.make({
        consecutiveFailures: 3,
        openDuration: CircuitPolicy.exponential({ initial: "1 second", maximum: "2 seconds" })
      })
    })
    const tiered = AccountsTiered(tiers, {
      deadline: Duration.seconds(1),
      timeout: () => Duration.millis(250),
      retry: observedRetry(journal, { maxAttempts: 2, baseDelay: "20 millis", maxDelay: "100 millis", jitter: "none" })
    })

    const fiber = yield* warmUp.pipe(
      Effect.andThen(run({
        script: options.script ?? SCRIPT,
        length: LENGTH,
        speed: 1,
        rate: 40,
        seed: "test",
        deadline: 1000,
        tolerance: 0,
        attempt: 250
      })),
      Effect.provide(Layer.provideMerge(options.accounts?.(tiers) ?? tiered, Layer.merge(registry, memory.world))),
      Effect.forkChild
    )
    yield* TestClock.adjust(Duration.seconds(LENGTH + 2))
    yield* Fiber.join(fiber)
    return journal.entries
  }).pipe(
    Effect.provide(Journal.layer()),
    Random.withSeed("test"),
    Effect.provide(TestClock.layer())
  )

let entries: ReadonlyArray<Entry>
beforeAll(async () => {
  entries = await Effect.runPromise(record())
})

/** The changes of a circuit, as `3.1 Open for 1`. */
const changes = (entries: ReadonlyArray<Entry>, tier: Tier): ReadonlyArray<string> =>
  select(entries, "Changed")
    .filter((change) => change.tier === tier)
    .map(({ at, openFor, to }) => `${(at / 1000).toFixed(1)} ${to}${openFor === 0 ? "" : ` for ${openFor / 1000}`}`)

const answers = (entries: ReadonlyArray<Entry>, from: number, to: number) =>
  select(entries, "Called").filter((call) => call.from >= from * 1000 && call.at < to * 1000).map(({ answer }) =>
    answer
  )

/** Who served in a part of the run. */
const servers = (from: number, to: number): ReadonlyArray<string> =>
  Array.from(new Set(answers(entries, from, to).map((answer) => answer._tag === "Failed" ? "none" : answer.tier)))

describe("the program of the demo, in memory", () => {
  // migration: load testing
  it("keeps every check, and every check has seen something", () => {
    assert.deepStrictEqual(violations(entries), [])
    for (const { name, seen } of check(entries)) assert.isAbove(seen, 0, name)
  })

  // migration: MCP → SDK → REST
  it("is served by the first tier that is up", () => {
    assert.deepStrictEqual(servers(0, 3), ["tier1_mcp"])
    assert.deepStrictEqual(servers(3.1, 6), ["tier2_sdk"])
    assert.deepStrictEqual(servers(6.5, 12), ["tier3_rest"])
    assert.deepStrictEqual(servers(12.1, 14), ["none"])
    assert.deepStrictEqual(servers(15.2, 17), ["tier3_rest"])
    assert.deepStrictEqual(servers(18, 20), ["tier2_sdk"])
    assert.deepStrictEqual(servers(20.5, 24), ["tier1_mcp"])
  })

  it("fails at once while nothing is up and all circuits are open", () => {
    const calls = select(entries, "Called").filter(({ at, from }) => from >= 12_100 && at < 14_000)
    const times = calls.map(({ at, from }) => at - from)
    assert.isAbove(times.length, 50)
    assert.strictEqual(times.filter((millis) => millis === 0).length, times.length - 3) // the others were probes
  })

  // migration: MCP → SDK → REST
  it("changes the circuits in this order, at these times", () => {
    assert.deepStrictEqual(changes(entries, "tier1_mcp"), [
      "3.1 Open for 1",
      "4.1 HalfOpen",
      "4.1 Open for 2",
      "6.1 HalfOpen",
      "6.1 Open for 2",
      "8.1 HalfOpen",
      "8.1 Open for 2",
      "10.1 HalfOpen",
      "10.2 Open for 2",
      "12.2 HalfOpen",
      "12.2 Open for 2",
      "14.2 HalfOpen",
      "14.2 Open for 2",
      "16.2 HalfOpen",
      "16.2 Open for 2",
      "18.2 HalfOpen",
      "18.2 Open for 2",
      "20.3 HalfOpen",
      "20.3 Closed"
    ])
    assert.deepStrictEqual(changes(entries, "tier2_sdk"), [
      "6.3 Open for 1",
      "7.3 HalfOpen",
      "7.6 Open for 2",
      "9.6 HalfOpen",
      "9.6 Open for 2",
      "11.7 HalfOpen",
      "11.7 Open for 2",
      "13.7 HalfOpen",
      "13.7 Open for 2",
      "15.7 HalfOpen",
      "15.7 Open for 2",
      "17.8 HalfOpen",
      "17.8 Closed"
    ])
    assert.deepStrictEqual(changes(entries, "tier3_rest"), [
      "12.1 Open for 1",
      "13.1 HalfOpen",
      "13.1 Open for 2",
      "15.1 HalfOpen",
      "15.1 Closed"
    ])
  })

  it("builds the first tier anew after its server's restart, and only then", () => {
    assert.deepStrictEqual(select(entries, "Built").map(({ at, tier }) => `${tier} at ${(at / 1000).toFixed(1)}`), [
      "tier1_mcp at 0.0",
      "tier1_mcp at 20.3"
    ])
  })

  it("gives the same journal for the same seed", async () => {
    assert.deepStrictEqual(await Effect.runPromise(record()), entries)
  })

  it("starts while the first tier cannot be built", async () => {
    const entries = await Effect.runPromise(record({
      script: [{ at: 0, title: "the MCP server was never up", changes: [["tier1_mcp", "killed"]] }]
    }))
    assert.deepStrictEqual(violations(entries), [])
  })

  it("breaks its checks on any single tier in place of the tiers", async () => {
    for (const tier of TIERS) {
      const entries = await Effect.runPromise(record({ accounts: (tiers) => tiers[tier] }))
      const broken = check(entries).filter(({ violations }) => violations.length > 0).map(({ name }) => name)
      if (tier !== "tier3_rest") assert.include(broken, "no call failed while a tier was up", tier)
      assert.include(broken, "every outage opened its circuit", tier)
    }
  })
})

describe("the servers of the demo, as processes", () => {
  const layers = { tier1_mcp: AccountsMcp, tier2_sdk: AccountsSdk, tier3_rest: AccountsRest }
  const getAccount = (id: string) => Accounts.use((accounts) => accounts.getAccount(id))

  it.live.each(TIERS)("%s answers, fails and comes back as the tiers expect", (tier) =>
    Effect.gen(function*() {
      const { servers, world } = yield* start(1)
      const accounts = layers[tier](servers[tier].url)
      const failure = Effect.flip(getAccount("acc-001"))

      // One instance of the Layer lives through all that befalls its server.
      yield* Effect.gen(function*() {
        const account = yield* getAccount("acc-001")
        assert.deepInclude(account, { id: "acc-001", name: "Acme Foods", owner: "Amara Osei", segment: "enterprise" })
        assert.match(account.receipt, new RegExp(`^${tier}/${servers[tier].pid}/`))
        const missing = yield* Effect.flip(getAccount("gone"))
        assert.strictEqual(missing._tag, "AccountNotFound")

        yield* world.become(tier, "unavailable")
        const unavailable = yield* failure
        assert(unavailable._tag === "AccountsUnavailable")
        assert.deepStrictEqual(unavailable.retryAfter, Duration.seconds(2))

        yield* world.become(tier, "resetting")
        assert.strictEqual((yield* failure)._tag, "AccountsUnavailable")

        yield* world.become(tier, "slow")
        // As the tiers do: the MCP client takes its time to let go.
        const late = yield* getAccount("acc-001").pipe(
          Timeout.withTimeout({ duration: "100 millis", disconnect: true }),
          Effect.flip
        )
        assert.strictEqual(late._tag, "CallTimeoutError")

        yield* world.become(tier, "killed")
        assert.strictEqual((yield* failure)._tag, "AccountsUnavailable")
        yield* world.become(tier, "up")
        // Only MCP has a session, which ended with the process.
        assert.strictEqual(
          (yield* Effect.exit(getAccount("acc-001")))._tag,
          tier === "tier1_mcp" ? "Failure" : "Success"
        )
      }).pipe(Effect.provide(accounts))

      const account = yield* getAccount("acc-001").pipe(Effect.provide(Layer.fresh(accounts)))
      yield* world.settle
      assert.include(select((yield* Journal).entries, "Answered").map(({ receipt }) => receipt), account.receipt)
    }).pipe(Effect.provide(Journal.layer())), 20_000)
})

describe("a check fails when what it is about is not so", () => {
  type Doctor = (entry: Entry) => ReadonlyArray<Entry>

  /** The checks that do not hold once the journal of a good run is doctored. */
  const broken = (doctor: Doctor): ReadonlyArray<string> =>
    check(entries.flatMap(doctor)).filter(({ violations }) => violations.length > 0).map(({ name }) => name)

  const FAILED = {
    _tag: "Failed" as const,
    reason: "none",
    attempts: TIERS.map((tier) => ({ tier, outcome: "failed" as const }))
  }

  const first = <Tag extends Entry["_tag"]>(
    tag: Tag,
    predicate: (entry: Extract<Entry, { readonly _tag: Tag }>) => boolean = () => true
  ) => select(entries, tag).find(predicate)!

  const replace = <E extends Entry>(old: E, ...by: ReadonlyArray<Entry>): Doctor => (entry) =>
    entry === old ? by : [entry]

  const served = (time: number) => {
    const call = first("Called", ({ answer, from }) => from > time && answer._tag === "Found")
    if (call.answer._tag !== "Found") throw new Error("unreachable")
    return { ...call, answer: call.answer, original: call }
  }

  it("every call ended once: a call that did not end, or ended twice", () => {
    const call = first("Called")
    assert.include(broken(replace(call)), "every call ended once")
    assert.include(broken(replace(call, call, call)), "every call ended once")
    assert.include(broken(replace(first("Ended"))), "every call ended once")
  })

  const RECEIPT = "every answer has a receipt from the server that gave it"

  it("receipts: an answer that no server gave", () => {
    const { original, ...call } = served(1000)
    assert.deepStrictEqual(
      broken(replace(original, { ...call, answer: { ...call.answer, receipt: "tier1_mcp/1/9999" } })),
      [RECEIPT]
    )
  })

  it("receipts: one receipt for two calls", () => {
    const { original, ...call } = served(1000)
    assert.include(broken(replace(original, original, call)), RECEIPT)
  })

  it("receipts: the answer of another tier than the one reported", () => {
    const { original, ...call } = served(1000)
    assert.include(broken(replace(original, { ...call, answer: { ...call.answer, tier: "tier3_rest" } })), RECEIPT)
  })

  it("receipts: the answer for another account", () => {
    const { original, ...call } = served(1000)
    assert.include(broken(replace(original, { ...call, answer: { ...call.answer, accountId: "acc-999" } })), RECEIPT)
  })

  it("receipts: an account found that the server does not have", () => {
    const { original, ...call } = served(1000)
    assert.include(broken(replace(original, { ...call, answer: { ...call.answer, _tag: "NotFound" } })), RECEIPT)
  })

  it("down tiers: an answer of a killed process", () => {
    const { original, ...call } = served(4000)
    assert.include(
      broken(replace(original, { ...call, answer: { ...call.answer, tier: "tier1_mcp" } })),
      "no answer came from a tier that was down"
    )
  })

  it("missing accounts: a second tier is asked", () => {
    const call = first("Called", ({ answer }) => answer._tag === "NotFound")
    const answered = first("Answered", ({ accountId }) => accountId === call.accountId)
    assert.deepStrictEqual(
      broken(replace(answered, answered, { ...answered, tier: "tier2_sdk", receipt: "tier2_sdk/1/9999" })),
      ["a missing account ended its call at once"]
    )
  })

  it("counts: an answer more, or less, than the circuit has counted", () => {
    const name = "the circuits counted the answers the callers got"
    const counted = first("Counted")
    assert.deepStrictEqual(broken(replace(counted, { ...counted, successes: counted.successes + 1 })), [name])
    assert.deepStrictEqual(broken(replace(counted, { ...counted, successes: counted.successes - 1 })), [name])
    assert.include(broken(replace(counted)), name)
  })

  it("deadlines: a call that took longer, and no stall explains it", () => {
    const name = "no call outlived its deadline"
    const { original, ...call } = served(2000)
    const late = { ...call, at: call.from + 1001 }
    assert.deepStrictEqual(broken(replace(original, late)), [name])
    assert.deepStrictEqual(broken(replace(original, { _tag: "Stalled", at: late.at, millis: 10 }, late)), [])
    assert.deepStrictEqual(broken(replace(original, { _tag: "Stalled", at: late.at + 2000, millis: 10 }, late)), [name])
  })

  it("availability: a call that failed while a tier was up", () => {
    const { original, ...call } = served(1000)
    assert.include(
      broken(replace(original, { ...call, answer: FAILED })),
      "no call failed while a tier was up"
    )
  })

  it("availability: a busy machine is no broken invariant, and an idle one no excuse", () => {
    const { original, ...call } = served(10_000)
    const failed = { ...call, answer: FAILED }
    const stall = (millis: number, tier?: Tier): Entry => ({
      _tag: "Stalled",
      at: call.from,
      millis,
      ...(tier === undefined ? {} : { tier })
    })
    const name = "no call failed while a tier was up"
    const spared = (doctor: Doctor) => check(entries.flatMap(doctor)).find((check) => check.name === name)!.spared

    for (const stalls of [[], [stall(20)], [stall(200, "tier1_mcp")]]) {
      assert.include(broken(replace(original, ...stalls, failed)), name)
    }
    for (const stalls of [[stall(100)], [stall(100, "tier3_rest")], Array.from({ length: 13 }, () => stall(20))]) {
      assert.notInclude(broken(replace(original, ...stalls, failed)), name)
      assert.isAbove(spared(replace(original, ...stalls, failed))!, 0)
    }
    assert.strictEqual(spared((entry) => [entry]), 0)
  })

  it("failures: a call that failed without a tier, or past a closed circuit, on any machine", () => {
    const name = "every failed call had tried all tiers"
    const call = first("Called", ({ answer }) => answer._tag === "Failed")
    assert(call.answer._tag === "Failed")
    const [one, ...others] = call.answer.attempts
    assert.deepStrictEqual(call.answer.attempts.map(({ tier }) => tier), [...TIERS])

    assert.deepStrictEqual(broken(replace(call, { ...call, answer: { ...call.answer, attempts: others } })), [name])
    const { original, ...early } = served(1000)
    const skipped = { ...FAILED, attempts: [{ ...one!, outcome: "skipped" as const }, ...FAILED.attempts.slice(1)] }
    const stall: Entry = { _tag: "Stalled", at: early.from, millis: 1000 }
    assert.include(broken(replace(original, stall, { ...early, answer: skipped })), name)
    assert.notInclude(broken(replace(original, stall, { ...early, answer: FAILED })), name)
  })

  it("outages: one with fewer calls than open a circuit proves nothing", () => {
    const name = "every outage opened its circuit"
    const slow = select(entries, "Became").find(({ condition }) => condition === "slow")!
    const end = select(entries, "Became").find(({ askedAt, tier }) => tier === slow.tier && askedAt > slow.at)!.askedAt
    const unnoticed = entries.filter((entry) =>
      !(entry._tag === "Changed" && entry.tier === slow.tier && entry.at <= end)
    )
    const judge = (entries: ReadonlyArray<Entry>) => {
      const { spared, violations } = check(entries).find((check) => check.name === name)!
      return [spared, violations.length]
    }

    assert.deepStrictEqual(judge(unnoticed), [0, 1])
    const few = unnoticed.filter((entry) => !(entry._tag === "Called" && entry.from >= slow.at && entry.at <= end))
    assert.deepStrictEqual(judge(few), [1, 0])
  })

  it("outages: a circuit that does not open, or closes while its server is down", () => {
    const name = "every outage opened its circuit"
    assert.include(broken((entry) => entry._tag === "Changed" && entry.tier === "tier3_rest" ? [] : [entry]), name)
    const opened = select(entries, "Changed").findLast(({ at, tier, to }) =>
      tier === "tier1_mcp" && to === "Open" && at < 20_000
    )!
    assert.include(broken(replace(opened, opened, { ...opened, from: "HalfOpen", to: "Closed" })), name)
  })

  it("recoveries: a circuit that closes too late, or is not closed in the end", () => {
    const name = "every circuit recovered"
    const closed = first("Changed", ({ tier, to }) => tier === "tier1_mcp" && to === "Closed")
    assert.deepStrictEqual(broken(replace(closed)), [name])
    assert.deepStrictEqual(broken(replace(closed, { ...closed, at: 23_500 })), [name])
    const counted = first("Counted")
    assert.deepStrictEqual(broken(replace(counted, { ...counted, state: "Open" })), [name])
  })

  it("a run that never began", () => {
    assert.isAbove(violations([]).length, 0)
  })
})

describe("the timeline of the demo", () => {
  const draw = (color: boolean): ReadonlyArray<string> => {
    const timeline = Timeline.make({ color, rate: 40, rowMillis: 1000 })
    return [
      ...Timeline.drawIntro(timeline, {
        servers: TIERS.map((tier) => ({ tier, what: "a server", pid: 1_234_567, url: "http://127.0.0.1:54321" })),
        rules: TIERS.map((tier) => [tier, CircuitPolicy.production.description])
      }),
      ...entries.flatMap((entry) => Timeline.draw(timeline, entry)),
      ...Timeline.drawSummary(timeline, entries, check(entries))
    ]
  }

  it("fits into 100 columns", () => {
    for (const line of draw(false)) assert.isAtMost(line.length, 100, line)
  })

  it("has no control characters unless it has colours", () => {
    const plain = draw(false).join("\n")
    // oxlint-disable-next-line no-control-regex
    const codes = /\u001b\[\d+m/g
    assert.notMatch(plain, codes)
    assert.strictEqual(draw(true).join("\n").replace(codes, ""), plain)
  })

  it("has a row for each second, whose counts add up to all calls", () => {
    const rows = draw(false).filter((line) => /^ +[\d.]+ s  [●○◐]  [●○◐]  [●○◐]/.test(line))
    assert.lengthOf(rows, LENGTH)
    const counts = rows.flatMap((row) => row.slice(60, 80).trim().split(/ +/)).map((count) =>
      count === "·" ? 0 : Number(count)
    )
    assert.strictEqual(counts.reduce((a, b) => a + b), select(entries, "Called").length)
  })

  it("gives every count that is not zero at least one cell of the bar", () => {
    assert.deepStrictEqual(Timeline.barCells([40, 0, 0, 0], 40), [40, 0, 0, 0])
    assert.deepStrictEqual(Timeline.barCells([60, 0, 0, 0], 40), [40, 0, 0, 0])
    assert.deepStrictEqual(Timeline.barCells([0, 0, 0, 0], 40), [0, 0, 0, 0])
    assert.deepStrictEqual(Timeline.barCells([97, 1, 1, 1], 100), [37, 1, 1, 1])
    assert.deepStrictEqual(Timeline.barCells([1, 1, 1, 1], 200), [1, 1, 1, 1])
  })

  it("takes the nearest rank as percentile", () => {
    assert.strictEqual(Timeline.percentile([], 0.5), undefined)
    assert.strictEqual(Timeline.percentile([7], 0.99), 7)
    assert.strictEqual(Timeline.percentile([1, 2, 3, 4], 0.5), 2)
    assert.strictEqual(Timeline.percentile([1, 2, 3, 4], 0.99), 4)
  })
})
