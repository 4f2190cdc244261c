/**
 * The service the demo is about: CRM accounts, whatever way they are reached.
 *
 * Every implementation is a Layer of this one tag: `tiers/mcp.ts`,
 * `tiers/sdk.ts`, `tiers/rest.ts`, the in-memory one of `tiers/memory.ts`, and
 * the three of them as tiers. A program cannot tell which it runs on.
 */
import { Context, Duration, type Effect, Schema } from "effect"

/** The answer to a lookup. `receipt` is the serving process's own note of this very answer. */
export class Account extends Schema.Class<Account>("demo/Account")({
  id: Schema.String,
  name: Schema.String,
  owner: Schema.String,
  segment: Schema.Literals(["enterprise", "mid-market", "small-business"]),
  receipt: Schema.String
}) {}

/** An answer too: the CRM is up and has no such account. Asking another tier would not change that. */
export class AccountNotFound extends Schema.TaggedError<AccountNotFound>()("AccountNotFound", {
  id: Schema.String,
  receipt: Schema.String
}) {
  override get message(): string {
    return `There is no account ${this.id}`
  }
}

/** No answer. `retryAfter` is how long the CRM asked to be left alone, if it did. */
export class AccountsUnavailable extends Schema.TaggedError<AccountsUnavailable>()("AccountsUnavailable", {
  reason: Schema.String,
  retryAfter: Schema.UndefinedOr(Schema.DurationFromMillis)
}) {
  override get message(): string {
    return this.reason
  }

  /** Says why in the words of the first cause, and takes a `Retry-After` in seconds. */
  static readonly because = (error: unknown, retryAfterSeconds?: string | number | undefined): AccountsUnavailable => {
    let cause = error
    while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause
    const retryAfter = Number(retryAfterSeconds ?? NaN)
    return new AccountsUnavailable({
      reason: cause instanceof Error ? cause.message : String(cause),
      retryAfter: retryAfter >= 0 ? Duration.seconds(retryAfter) : undefined
    })
  }
}

export class Accounts extends Context.Service<Accounts, {
  readonly getAccount: (id: string) => Effect.Effect<Account, AccountNotFound | AccountsUnavailable>
}>()("demo/Accounts") {}
