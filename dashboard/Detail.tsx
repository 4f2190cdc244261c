import type { ComponentChildren } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import { escapeUnsafe } from "../src/internal/plainText.ts"
import { count, failureText, percent, reasonText, STATE_LABELS, STATE_NAMES } from "../src/internal/words.ts"
import type { Action, Circuit, CircuitSettings, State, Transition } from "./api.ts"
import { latency, linesOf, outagesOf, span } from "./model.ts"
import { Moment, Since, StateBadge, Why } from "./parts.tsx"
import * as Storage from "./storage.ts"
import type { Store } from "./store.ts"

/** One circuit and its controls, or where the token is entered. */
export const Detail = ({ store }: { readonly store: Store }) => {
  const { detail } = store
  const key = store.unlocking ? "token" : detail === undefined ? undefined : `circuit ${detail.name ?? ""}`
  if (key === undefined || store.locked) return null
  return (
    <Dialog
      key={key}
      title={store.unlocking
        ? "Enter the token"
        : detail!.name === undefined
        ? "Reset all circuits"
        : escapeUnsafe(detail!.name)}
      onClose={() => store.close()}
    >
      {store.unlocking
        ? (
          <>
            <p>
              Changes need the token of the admin API, the value of{" "}
              <code>RESILIENCE_ADMIN_TOKEN</code>. This tab keeps it until it is closed.
            </p>
            <TokenForm store={store} focus />
          </>
        )
        : <Content store={store} />}
    </Dialog>
  )
}

const Dialog = ({ children, onClose, title }: {
  readonly title: string
  readonly onClose: () => void
  readonly children: ComponentChildren
}) => {
  const ref = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    const before = document.activeElement
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus()
    }
  }, [])
  useEffect(() => {
    // The browser closes it by itself, and it may be wanted again before it was taken away.
    if (!ref.current!.open) ref.current!.showModal()
  })
  return (
    <dialog
      ref={ref}
      class="dialog"
      aria-labelledby="dialog-title"
      onClose={onClose}
      // Not on click, which comes as well where text was selected beyond the edge.
      onMouseDown={(event) => {
        if (event.target === ref.current) onClose()
      }}
    >
      <div class="dialog__body">
        <div class="dialog__head">
          <h2 id="dialog-title">{title}</h2>
          <button type="button" class="button" aria-label="Close" onClick={onClose}>✕</button>
        </div>
        {children}
      </div>
    </dialog>
  )
}

/** `focus` for a form that is all there is to do. */
export const TokenForm = ({ focus = false, store }: { readonly store: Store; readonly focus?: boolean }) => {
  const input = useRef<HTMLInputElement>(null)
  useEffect(() => {
    if (focus) input.current!.focus()
  }, [focus])
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault()
        void store.unlock(String(new FormData(event.currentTarget).get("token")))
      }}
    >
      <label>
        Token
        <input name="token" type="password" required autocomplete="off" spellcheck={false} ref={input} />
      </label>
      {store.unlockProblem === undefined ? null : <p class="form__problem" role="alert">{store.unlockProblem}</p>}
      <button type="submit" class="button button--main">Use the token</button>
    </form>
  )
}

const Content = ({ store }: { readonly store: Store }) => {
  const { circuit, history, name, problem, settings } = store.detail!
  return (
    <>
      {problem === undefined ? null : <p class="form__problem" role="alert">{problem}</p>}
      {circuit === undefined ? null : <Facts circuit={circuit} history={history ?? []} />}
      {name === undefined ? <p>All circuits return to their initial state: closed, with nothing counted.</p> : null}
      {problem === undefined ? <Control store={store} /> : null}
      {history === undefined ? null : <History history={history} />}
      {settings === undefined ? null : <Settings settings={settings} />}
    </>
  )
}

const Facts = ({ circuit, history }: { readonly circuit: Circuit; readonly history: ReadonlyArray<Transition> }) => {
  const { thresholds } = circuit
  const last = history.at(-1)
  const outage = outagesOf(history).get(circuit.name)
  const of = (threshold: number | null) => threshold === null ? "" : `, opens at ${percent(threshold)}`
  const facts: ReadonlyArray<readonly [string, ComponentChildren]> = [
    ["State", <StateBadge state={circuit.state} />],
    ...(last === undefined || STATE_NAMES[last.to] !== circuit.state
      ? []
      : [
        [
          "Since",
          <>
            <Moment at={last.timestamp} />, {escapeUnsafe(reasonText(last))}
          </>
        ] as const
      ]),
    ...(outage === undefined
      ? []
      : [
        [
          "Down",
          <>
            <Since outage={outage} />: {escapeUnsafe(reasonText(outage.first))}
          </>
        ] as const
      ]),
    ["Policy", escapeUnsafe(circuit.policy)],
    [
      "Failure rate",
      `${percent(circuit.error_rate)} of ${count(circuit.requests_in_window, "call")}${of(thresholds.error_rate)}`
    ],
    [
      "Failures in a row",
      `${circuit.failure_count}${thresholds.failure_count === null ? "" : `, opens at ${thresholds.failure_count}`}`
    ],
    ...(thresholds.slow_call_rate === null
      ? []
      : [["Slow calls", `${percent(circuit.slow_call_rate)}${of(thresholds.slow_call_rate)}`] as const]),
    [
      "Latency",
      circuit.average_response_time_ms === null
        ? "not measured"
        : `${latency(circuit.average_response_time_ms)} on average${quantiles(circuit)}`
    ],
    [
      "Calls",
      `${circuit.total_calls}: ${circuit.successful_calls} successful, ${circuit.failed_calls} failed, ` +
      `${circuit.ignored_calls} ignored, ${circuit.late_calls} late, ${circuit.rejected_calls} rejected, ` +
      `${circuit.calls_in_flight} in flight`
    ],
    ...(circuit.last_failure_time === null
      ? []
      : [["Last failure", <Moment at={Date.parse(circuit.last_failure_time)} />] as const]),
    ...(circuit.last_failure === null
      ? []
      : [["What failed last", escapeUnsafe(failureText(circuit.last_failure))] as const]),
    ...(circuit.time_until_retry === null
      ? []
      : [["Retry", `in ${span(circuit.time_until_retry * 1000)}`] as const])
  ]
  return (
    <dl class="facts">
      {facts.map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

const ACTIONS: ReadonlyArray<{ readonly action: Action; readonly text: string; readonly what: string }> = [
  { action: "force-open", text: "Force open", what: "rejects all calls, for a time or until it is closed" },
  { action: "force-close", text: "Close", what: "lets calls through again, with empty counts" },
  { action: "disable", text: "Disable", what: "lets all calls through and counts nothing" },
  { action: "metrics-only", text: "Metrics only", what: "lets all calls through, counts them, never opens" },
  { action: "reset", text: "Reset", what: "resets it to its initial state" }
]

/** Nothing without an end is chosen for an operator. */
const DURATIONS = [
  ["1 minute", "1 minute"],
  ["5 minutes", "5 minutes"],
  ["15 minutes", "15 minutes"],
  ["1 hour", "1 hour"],
  ["6 hours", "6 hours"],
  ["until released", "until it is closed by hand"]
] as const

/** What an operator has moved is most likely to be moved back. */
const BY_HAND: ReadonlySet<State> = new Set(["forced_open", "disabled", "metrics_only"])

const NAME_KEY = "effect-resilience.by"

const Control = ({ store }: { readonly store: Store }) => {
  const { busy, done, name, refused } = store.detail!
  const isByHand = BY_HAND.has(store.detail!.circuit?.state ?? "closed")
  const [picked, setAction] = useState<Action | undefined>(undefined)
  const action = picked ?? (name === undefined ? "reset" : isByHand ? "force-close" : "force-open")
  const chosen = ACTIONS.find((each) => each.action === action)!
  if (store.admin?.admin.changes === false) return <p class="quiet">Changes are turned off here.</p>
  if (!store.hasToken) {
    return (
      <div class="control">
        <h3>Control</h3>
        {refused === undefined ? null : <p class="form__problem" role="alert">{refused}</p>}
        <p>A change needs the token of the admin API.</p>
        <TokenForm store={store} />
      </div>
    )
  }
  return (
    <form
      class="form control"
      onSubmit={(event) => {
        event.preventDefault()
        const data = new FormData(event.currentTarget)
        const text = (field: string) => String(data.get(field) ?? "")
        Storage.write(NAME_KEY, text("by"))
        const duration = data.get("duration")
        void store.command(name, action, {
          by: text("by"),
          reason: text("reason"),
          ...(typeof duration === "string" ? { duration } : {})
        })
      }}
    >
      {name === undefined ? null : (
        <fieldset class="choices">
          <legend>Control</legend>
          {ACTIONS.map(({ action: value, text, what }) => (
            <label key={value} class="choice">
              <input
                type="radio"
                name="action"
                value={value}
                checked={value === action}
                onChange={() => setAction(value)}
              />
              <span>
                <b>{text}</b> <span class="quiet">{what}</span>
              </span>
            </label>
          ))}
        </fieldset>
      )}
      <div class="form__row">
        {action === "force-open"
          ? (
            <label>
              For how long
              <select name="duration">
                {DURATIONS.map(([value, text]) => (
                  <option key={value} value={value} selected={value === "5 minutes"}>{text}</option>
                ))}
              </select>
            </label>
          )
          : null}
        <label>
          Your name
          <input name="by" required maxLength={100} defaultValue={Storage.read(NAME_KEY) ?? ""} />
        </label>
        <label class="form__wide">
          Reason
          <input name="reason" required maxLength={500} autocomplete="off" />
        </label>
      </div>
      <button type="submit" class="button button--main" disabled={busy === true}>
        {name === undefined ? "Reset all circuits" : chosen.text}
      </button>
      <p class="form__done" role="status">{done}</p>
      {refused === undefined ? null : <p class="form__problem" role="alert">{refused}</p>}
    </form>
  )
}

const History = ({ history }: { readonly history: ReadonlyArray<Transition> }) => (
  <details>
    <summary>{count(history.length, "transition")}</summary>
    <ol class="events">
      {linesOf(history).map((line) => (
        <li key={`${line.event.sequence} ${line.event.timestamp}`}>
          <Moment at={line.event.timestamp} />
          <StateBadge state={STATE_NAMES[line.event.to]} />
          <span class="events__why">
            <Why line={line} />
            {line.failures > 1
              ? null
              : `, ${STATE_LABELS[STATE_NAMES[line.event.from]]} for ${span(line.event.elapsed)}`}
          </span>
        </li>
      ))}
    </ol>
  </details>
)

const Settings = ({ settings }: { readonly settings: CircuitSettings }) => (
  <details>
    <summary>Settings, and where they come from</summary>
    <table class="settings">
      <thead>
        <tr>
          <th scope="col">Setting</th>
          <th scope="col">Value</th>
          <th scope="col">Source</th>
        </tr>
      </thead>
      <tbody>
        {settings.settings.map(({ key, source, unit, value, variable }) => (
          <tr key={key}>
            <th scope="row">{key}</th>
            <td>{String(value)}{unit === null ? "" : ` ${unit}`}</td>
            <td>
              {source === "variable"
                ? <code>{variable}</code>
                : source === "preset"
                ? `preset ${settings.preset ?? ""}`
                : source}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  </details>
)

const quantiles = ({ latency_p50_ms: p50, latency_p95_ms: p95, latency_p99_ms: p99 }: Circuit): string =>
  p50 === null || p95 === null || p99 === null
    ? ""
    : `; lately half within ${latency(p50)}, 95% within ${latency(p95)}, 99% within ${latency(p99)}`
