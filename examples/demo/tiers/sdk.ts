/** Tier 2: accounts through the vendor's SDK, promises turned into effects. */
import { Effect, Layer } from "effect"
import { Account, AccountNotFound, Accounts, AccountsUnavailable } from "../accounts.ts"
import { CrmClient, CrmError } from "../crm-sdk/index.ts"

export const AccountsSdk = (baseUrl: string) =>
  Layer.sync(Accounts, () => {
    const crm = new CrmClient({ baseUrl })
    return Accounts.of({
      getAccount: (id) =>
        Effect.tryPromise({
          try: (signal) => crm.accounts.retrieve(id, { signal }),
          catch: (error) => toAccountsError(id, error)
        }).pipe(
          Effect.map(({ data: { name, owner, segment }, requestId }) =>
            new Account({ id, name, owner, segment, receipt: requestId })
          )
        )
    })
  })

const toAccountsError = (id: string, error: unknown): AccountNotFound | AccountsUnavailable =>
  error instanceof CrmError && error.code === "account_missing"
    ? new AccountNotFound({ id, receipt: error.requestId ?? "" })
    : AccountsUnavailable.because(error, error instanceof CrmError ? error.retryAfterSeconds : undefined)
