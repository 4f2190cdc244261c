import { useEffect } from "preact/hooks"
import { escapeUnsafe } from "../src/internal/plainText.ts"
import { count, healthReasons } from "../src/internal/words.ts"
import { Circuits } from "./Circuits.tsx"
import { Detail, TokenForm } from "./Detail.tsx"
import { span } from "./model.ts"
import type { Store } from "./store.ts"
import { Tiers } from "./Tiers.tsx"
import { Timeline } from "./Timeline.tsx"

export const App = ({ store }: { readonly store: Store }) => {
  useTitle(store)
  return (
    <>
      <a class="skip" href="#circuits">Skip to the circuits</a>
      <header class="top">
        <div class="top__name">
          <h1>Circuits</h1>
          <span class="top__host">{location.host}</span>
        </div>
        <Health store={store} />
        <div class="top__right">
          <Connection store={store} />
          <Lock store={store} />
        </div>
      </header>
      <div class="announcements" role="status" aria-live="polite">{store.announcement}</div>
      <main>{store.locked ? <Locked store={store} /> : <Content store={store} />}</main>
      <footer class="foot">
        Times are in the time zone of this browser,{" "}
        {Intl.DateTimeFormat().resolvedOptions().timeZone}. Rates are of the last seconds.
      </footer>
      <Detail store={store} />
    </>
  )
}

const Content = ({ store }: { readonly store: Store }) => (
  <>
    <Stale store={store} />
    <Reasons store={store} />
    <Problems store={store} />
    <Tiers store={store} />
    <Circuits store={store} />
    <Timeline store={store} />
  </>
)

const Locked = ({ store }: { readonly store: Store }) => (
  <section class="card locked" aria-labelledby="locked-title">
    <h2 id="locked-title">Reading needs the token</h2>
    <p>
      This program shows its circuits only to those who have the token of its admin API, the value of{" "}
      <code>RESILIENCE_ADMIN_TOKEN</code>.
    </p>
    <TokenForm store={store} focus />
  </section>
)

const HEALTH = {
  healthy: { sign: "✓", text: "healthy" },
  degraded: { sign: "◐", text: "degraded" },
  unhealthy: { sign: "✕", text: "unhealthy" }
} as const

const Health = ({ store }: { readonly store: Store }) => {
  if (store.health === undefined) return <span />
  const { circuits_by_state: states, status, total_circuits } = store.health
  const { sign, text } = HEALTH[status]
  const open = states.open + states.forced_open
  return (
    <p class={`health health--${status}`}>
      <span aria-hidden="true">{sign}</span> {text}
      {open === 0 ? null : <span class="health__open">: {open} of {count(total_circuits, "circuit")} open</span>}
    </p>
  )
}

const Connection = ({ store }: { readonly store: Store }) => {
  const { live } = store
  switch (live._tag) {
    case "Live":
      return (
        <p class="live live--on">
          <span class="live__dot" aria-hidden="true" /> live
        </p>
      )
    case "Connecting":
      return (
        <p class="live">
          <span class="live__dot" aria-hidden="true" /> connecting
        </p>
      )
    case "Lost":
      return (
        <p class="live live--off" title={live.reason}>
          <span class="live__dot" aria-hidden="true" /> reconnecting
        </p>
      )
  }
}

const Lock = ({ store }: { readonly store: Store }) => {
  if (store.locked || store.admin?.admin.token !== "set") return null
  return store.hasToken
    ? <button type="button" class="button" onClick={() => store.forgetToken()}>Forget the token</button>
    : (
      <button type="button" class="button" onClick={() => store.set({ unlocking: true, detail: undefined })}>
        Enter the token
      </button>
    )
}

const Stale = ({ store }: { readonly store: Store }) =>
  store.stale === undefined
    ? null
    : (
      <p class="banner banner--alarm">
        <span role="alert">No news from the program: {store.stale.why}.</span> The figures are{" "}
        {span(Date.now() - store.stale.since)} old.
      </p>
    )

/** Why the program is not healthy, where it has checks of its own. */
const Reasons = ({ store }: { readonly store: Store }) => {
  const { health } = store
  const reasons = health === undefined || health.status === "healthy" ? [] : healthReasons(health.checks)
  if (reasons.length === 0) return null
  return (
    <section class={`banner banner--${health!.status === "unhealthy" ? "alarm" : "warning"}`} aria-label="Health">
      <strong>{health!.status}</strong>
      <ul>{reasons.map((reason) => <li key={reason}>{escapeUnsafe(reason)}</li>)}</ul>
    </section>
  )
}

const Problems = ({ store }: { readonly store: Store }) => {
  const problems = store.admin?.problems ?? []
  if (problems.length === 0) return null
  return (
    <details class="banner banner--warning">
      <summary>
        {count(problems.length, "mistake")} in the environment
      </summary>
      <ul>{problems.map((problem) => <li key={problem}>{problem}</li>)}</ul>
    </details>
  )
}

/** A tab in the background tells what is wrong as well. */
const useTitle = (store: Store) => {
  const states = store.health?.circuits_by_state
  const open = states === undefined ? 0 : states.open + states.forced_open
  const status = store.health?.status
  useEffect(() => {
    document.title = `${open > 0 ? `(${open} open) ` : ""}Circuits · ${location.host}`
    const color = status === "unhealthy" ? "c62828" : status === "degraded" ? "b26a00" : "2e7d32"
    document.querySelector<HTMLLinkElement>("link[rel=icon]")!.href = "data:image/svg+xml," +
      encodeURIComponent(
        `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="#${color}"/></svg>`
      )
  }, [open, status])
}
