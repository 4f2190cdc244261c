/**
 * The three tiers without processes, for tests: each server is a condition that
 * the world switches, and takes its time on Effect's clock. A connection that
 * was made to a server before it was killed is broken for good, like an MCP
 * session.
 */
import { Duration, Effect, Layer } from "effect"
import { Account, AccountNotFound, Accounts, AccountsUnavailable } from "../accounts.ts"
import { type Condition, Journal, type Tier } from "../journal.ts"
import { findAccount } from "../servers/data.ts"
import { World } from "../world.ts"

const SLOW = Duration.seconds(2)
const RETRY_AFTER_SECONDS = 2

class Server {
  condition: Condition = "up"
  /** Number of the process: another after each restart. */
  pid = 1
  answers = 0

  become(condition: Condition): string {
    if (this.condition === "killed") this.pid++
    this.condition = condition
    return ""
  }
}

export const make = (latencies: Readonly<Record<Tier, Duration.Input>>) => {
  const servers = { tier1_mcp: new Server(), tier2_sdk: new Server(), tier3_rest: new Server() }

  const tier = (name: Tier): Layer.Layer<Accounts, AccountsUnavailable, Journal> =>
    Layer.effect(
      Accounts,
      Effect.gen(function*() {
        const journal = yield* Journal
        const server = servers[name]
        yield* Effect.sleep(latencies[name])
        if (server.condition === "killed") return yield* AccountsUnavailable.because("connection refused")
        const session = server.pid
        return Accounts.of({
          getAccount: Effect.fnUntraced(function*(id) {
            yield* Effect.sleep(server.condition === "slow" ? SLOW : latencies[name])
            switch (server.condition) {
              case "killed":
                return yield* AccountsUnavailable.because("connection refused")
              case "unavailable":
                return yield* AccountsUnavailable.because("503", RETRY_AFTER_SECONDS)
              case "resetting":
                return yield* AccountsUnavailable.because("connection reset")
            }
            if (server.pid !== session) return yield* AccountsUnavailable.because("session expired")
            const account = findAccount(id)
            const receipt = `${name}/${server.pid}/${++server.answers}`
            yield* journal.write({ _tag: "Answered", tier: name, receipt, accountId: id, found: account !== undefined })
            return account === undefined
              ? yield* new AccountNotFound({ id, receipt })
              : new Account({ ...account, receipt })
          })
        })
      })
    )

  return {
    tier,
    world: Layer.succeed(
      World,
      World.of({
        become: (name, condition) => Effect.sync(() => servers[name].become(condition)),
        ping: () => Effect.void,
        settle: Effect.void
      })
    )
  }
}
