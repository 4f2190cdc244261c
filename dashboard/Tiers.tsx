import { escapeUnsafe } from "../src/internal/plainText.ts"
import { percent } from "../src/internal/words.ts"
import { type Flow, type FlowRates, perSecond, span, type Tier, type TierRates } from "./model.ts"
import { StateBadge } from "./parts.tsx"
import type { Store } from "./store.ts"

export const Tiers = ({ store }: { readonly store: Store }) => {
  if (store.flows.length === 0) return null
  return (
    <section aria-labelledby="tiers-title">
      <h2 id="tiers-title">Tiers</h2>
      {store.flows.map((flow) => (
        <FlowCard key={flow.key} store={store} flow={flow} rates={store.flowTrends.get(flow.key)?.rates} />
      ))}
    </section>
  )
}

const NO_RATES: TierRates = { served: 0, failed: 0, skipped: 0 }

const FlowCard = ({ flow, rates, store }: {
  readonly store: Store
  readonly flow: Flow
  readonly rates: FlowRates | undefined
}) => {
  const serving = flow.tiers[rates?.serving ?? -1]
  const names = escapeUnsafe(
    flow.operations.length > 3
      ? `${flow.operations.slice(0, 3).join(", ")} and ${flow.operations.length - 3} more`
      : flow.operations.join(", ")
  )
  return (
    <article class="card flow" aria-label={names}>
      <div class="flow__head">
        <h3>{names}</h3>
        <p class="flow__summary">
          {rates === undefined || rates.calls === 0
            ? "no calls just now"
            : serving === undefined
            ? (
              <strong class="flow__alarm">
                {percent(Math.min(1, rates.failed / rates.calls), 0)} of {perSecond(rates.calls)} calls reach no tier
              </strong>
            )
            : (
              <>
                {perSecond(rates.calls)} calls, most of them served by <strong>{escapeUnsafe(serving.name)}</strong>
                {rates.failed > 0
                  ? <strong class="flow__alarm">, {perSecond(rates.failed)} reach no tier</strong>
                  : null}
              </>
            )}
        </p>
      </div>
      <ol class="flow__tiers">
        {flow.tiers.map((tier, i) => (
          <TierBox
            key={tier.name}
            store={store}
            tier={tier}
            rates={rates?.tiers[i] ?? NO_RATES}
            calls={rates?.calls ?? 0}
            serves={rates?.serving === i}
          />
        ))}
        <li class={`flow__end${rates !== undefined && rates.failed > 0 ? " flow__end--failing" : ""}`}>
          <span class="flow__label">no tier</span>
          <span class="flow__rate">{perSecond(rates?.failed ?? 0)}</span>
          <span class="flow__note">{flow.failed} so far</span>
        </li>
      </ol>
    </article>
  )
}

const TierBox = ({ calls, rates, serves, store, tier }: {
  readonly store: Store
  readonly tier: Tier
  readonly rates: TierRates
  readonly calls: number
  readonly serves: boolean
}) => {
  const share = calls === 0 ? 0 : rates.served / calls
  const handedOn = rates.failed + rates.skipped
  return (
    <li class={`tier${serves ? " tier--serving" : ""}${handedOn > 0 ? " tier--handing-on" : ""}`}>
      <div class="tier__box">
        <div class="tier__head">
          {tier.state === null
            ? <span>{escapeUnsafe(tier.name)}</span>
            : (
              <>
                <button type="button" class="link" aria-haspopup="dialog" onClick={() => void store.open(tier.circuit)}>
                  {escapeUnsafe(tier.name)}
                </button>
                <StateBadge state={tier.state} />
              </>
            )}
        </div>
        <p class="tier__served">
          <span class="tier__rate">{perSecond(rates.served)}</span> served
          {serves ? <span class="tier__now">serves now</span> : null}
        </p>
        <div class="tier__share" aria-hidden="true">
          <span style={{ width: `${Math.min(100, share * 100)}%` }} />
        </div>
        <p class="tier__note">
          {perSecond(rates.failed)} failed, {perSecond(rates.skipped)} skipped
          {tier.timeUntilRetry === null
            ? null
            : <span class="tier__retry">tried again in {span(tier.timeUntilRetry * 1000)}</span>}
        </p>
      </div>
      <div class="tier__arrow" aria-hidden="true">
        <span>{handedOn > 0 ? perSecond(handedOn) : ""}</span>
      </div>
    </li>
  )
}
