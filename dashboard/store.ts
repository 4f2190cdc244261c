/** What the page knows, and how it comes to know it. */
import { count, reasonText, STATE_LABELS, STATE_NAMES } from "../src/internal/words.ts"
import {
  type Action,
  type Admin,
  Api,
  ApiError,
  type Change,
  type Circuit,
  type CircuitSettings,
  type Command,
  type Health,
  type Live,
  type Page,
  PAGE_SIZE,
  type Query,
  type Transition
} from "./api.ts"
import * as Storage from "./storage.ts"
import { addressOf, circuitIn, CircuitTrend, type Flow, flowsOf, FlowTrend, merged, withLatest } from "./model.ts"

const TOKEN_KEY = "effect-resilience.token"
const INTERVAL = 1000
/** Of a tab in the background, for its title. */
const HIDDEN_INTERVAL = 10_000
/** Changes that come together are read out together. */
const ANNOUNCE_AFTER = 1000
const LOAD_INTERVAL = 2000

export interface Detail {
  /** All circuits if it is not there. */
  readonly name: string | undefined
  readonly circuit?: Circuit | undefined
  readonly settings?: CircuitSettings | undefined
  readonly history?: ReadonlyArray<Transition> | undefined
  readonly problem?: string | undefined
  /** What a command has done, or why it has not. */
  readonly done?: string | undefined
  readonly refused?: string | undefined
  readonly busy?: boolean | undefined
}

export interface Shown {
  /** How much of the past, in milliseconds. */
  readonly span: number
  /** Where the timeline ends, in milliseconds before now. */
  readonly back: number
}

export class Store {
  readonly api: Api
  /** Whether nothing is shown without a token. */
  locked = false
  unlockProblem: string | undefined
  admin: Admin | undefined
  live: Live = { _tag: "Connecting" }
  /** Why the figures are old, since when. */
  stale: { readonly since: number; readonly why: string } | undefined
  health: Health | undefined
  query: Query = { state: undefined, search: "", offset: 0 }
  page: Page | undefined
  flows: ReadonlyArray<Flow> = []
  transitions: ReadonlyArray<Transition> = []
  /** When the page learned that the program had begun anew. */
  restartedAt: number | undefined
  shown: Shown = { span: 5 * 60_000, back: 0 }
  detail: Detail | undefined
  unlocking = false
  announcement = ""
  readonly circuitTrends = new Map<string, CircuitTrend>()
  readonly flowTrends = new Map<string, FlowTrend>()

  private readonly render: () => void
  private following: AbortController | undefined
  private timer: ReturnType<typeof setTimeout> | undefined
  private seenAt = Date.now()
  private loadedAt = -LOAD_INTERVAL
  private loading: ReturnType<typeof setTimeout> | undefined
  private soon: ReturnType<typeof setTimeout> | undefined
  private polling = false
  private again = false
  private pending: Array<string> = []

  constructor(api: Api, render: () => void) {
    this.api = api
    this.render = render
    api.token = Storage.read(TOKEN_KEY)
    // The address names the circuit that is shown, so that it can be passed on.
    addEventListener("popstate", () => this.goToAddress())
    document.addEventListener("visibilitychange", () => {
      if (this.locked) return
      // Browsers have but a few connections to a server, for all tabs together.
      if (document.hidden) this.following?.abort()
      else this.start()
    })
  }

  /** The server's time. */
  get now(): number {
    return Date.now() + this.api.ahead
  }

  get hasToken(): boolean {
    return this.api.token !== undefined
  }

  /** Shows the circuit that the address names. */
  goToAddress(): void {
    const name = circuitIn(location.hash)
    if (name === this.detail?.name) return
    if (name === undefined) this.set({ detail: undefined })
    else void this.show(name)
  }

  start(): void {
    this.following?.abort()
    this.following = new AbortController()
    const { signal } = this.following
    void this.api.follow(signal, {
      onLive: (live) => this.set({ live }),
      onChange: (change) => this.heard(change),
      onLost: (reason) => {
        // What the page knows is of circuits that are no more.
        if (reason === "Restarted") this.set({ transitions: [], restartedAt: this.now, admin: undefined })
        this.loadTransitionsSoon()
        this.poll()
      }
    })
    this.poll()
  }

  // ---------------------------------------------------------------------------
  // figures
  // ---------------------------------------------------------------------------

  /** Asks at once, and then every second as long as somebody looks. */
  poll(): void {
    clearTimeout(this.timer)
    if (this.polling) {
      this.again = true
      return
    }
    this.polling = true
    this.again = false
    void this.look().finally(() => {
      this.polling = false
      if (this.again) this.poll()
      else if (!this.locked) this.timer = setTimeout(() => this.poll(), document.hidden ? HIDDEN_INTERVAL : INTERVAL)
    })
  }

  /** Changes come in bursts. */
  private pollSoon(): void {
    this.soon ??= setTimeout(() => {
      this.soon = undefined
      this.poll()
    }, 150)
  }

  private async look(): Promise<void> {
    const { query } = this
    try {
      this.admin ??= await this.api.admin()
      const name = this.detail?.name
      const [page, operations, health, circuit] = await Promise.all([
        this.api.circuits(query),
        this.api.tiers(),
        this.api.health(),
        name === undefined ? undefined : this.api.circuit(name).catch((error: ApiError) => error)
      ])
      const at = performance.now()
      for (const each of page.circuits) trendOf(this.circuitTrends, each.name, () => new CircuitTrend()).add(at, each)
      // Of circuits that are out of sight for a minute, nothing is kept.
      for (const [name, trend] of this.circuitTrends) if (at - trend.latest > 60_000) this.circuitTrends.delete(name)
      const flows = flowsOf(operations)
      for (const flow of flows) trendOf(this.flowTrends, flow.key, () => new FlowTrend()).add(at, flow)
      if (query === this.query) this.showPage(page)
      if (circuit !== undefined && this.detail !== undefined && this.detail.name === name) {
        this.detail = circuit instanceof ApiError
          ? { ...this.detail, ...(circuit.status === 404 ? { circuit: undefined, problem: circuit.message } : {}) }
          : { ...this.detail, circuit, problem: undefined }
      }
      const isShown = new Set(flows.map(({ key }) => key))
      for (const key of this.flowTrends.keys()) if (!isShown.has(key)) this.flowTrends.delete(key)
      this.seenAt = Date.now()
      this.set({ flows, health, stale: undefined, locked: false })
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        if (!this.hasToken) return this.lock()
        // It was the right one once. Perhaps reading needs none.
        this.forget()
        this.set({ unlockProblem: "the token is accepted no more" })
        return this.start()
      }
      this.set({ stale: { since: this.seenAt, why: String((error as Error).message) } })
    }
  }

  /** Circuits come and go: where this page was, there may be none any more. */
  private showPage(page: Page): void {
    this.page = page
    if (page.circuits.length > 0 || this.query.offset === 0) return
    this.query = { ...this.query, offset: Math.max(0, Math.ceil(page.total / PAGE_SIZE) - 1) * PAGE_SIZE }
    this.again = true
  }

  choose(query: Partial<Query>): void {
    this.set({ query: { ...this.query, offset: 0, ...query } })
    this.poll()
  }

  // ---------------------------------------------------------------------------
  // changes
  // ---------------------------------------------------------------------------

  private heard(change: Change): void {
    this.pollSoon()
    if (change._tag !== "StateChanged") return
    this.announce(`${change.circuit} is ${STATE_LABELS[STATE_NAMES[change.to]]}: ${reasonText(change)}`)
    const history = this.detail?.name === change.circuit && this.detail.history !== undefined
      ? withLatest(this.detail.history, change)
      : undefined
    if (history !== undefined) this.detail = { ...this.detail!, history }
    this.set({ transitions: withLatest(this.transitions, change) })
  }

  /** A reader that is too slow loses events again and again. */
  private loadTransitionsSoon(): void {
    this.loading ??= setTimeout(() => {
      this.loading = undefined
      this.loadedAt = performance.now()
      void this.loadTransitions()
    }, Math.max(0, this.loadedAt + LOAD_INTERVAL - performance.now()))
  }

  private async loadTransitions(): Promise<void> {
    try {
      const known = await this.api.transitions()
      // What happened while they were on their way is in neither alone.
      this.set({ transitions: merged(known, this.transitions) })
    } catch {
      // The connection says what is wrong.
    }
  }

  private announce(text: string): void {
    this.pending.push(text)
    if (this.pending.length > 1) return
    setTimeout(() => {
      const [first, ...others] = this.pending
      this.pending = []
      const more = others.length === 0 ? "" : `, and ${others.length} more changes: ${others.at(-1)}`
      this.set({ announcement: `${first}${more}` })
    }, ANNOUNCE_AFTER)
  }

  lookBack(shown: Partial<Shown>): void {
    this.set({ shown: { ...this.shown, ...shown } })
  }

  // ---------------------------------------------------------------------------
  // token
  // ---------------------------------------------------------------------------

  private lock(): void {
    this.following?.abort()
    this.set({ locked: true })
  }

  private forget(): void {
    this.api.token = undefined
    Storage.write(TOKEN_KEY, undefined)
  }

  /** Takes the token if the server does. */
  async unlock(text: string): Promise<void> {
    const token = text.trim()
    if (!/^[\x21-\x7e]+$/.test(token)) {
      return this.set({ unlockProblem: "a token has only ASCII characters and no spaces" })
    }
    try {
      const admin = await this.api.admin(token)
      // Not before: what is asked meanwhile would be refused.
      this.api.token = token
      Storage.write(TOKEN_KEY, token)
      const wasLocked = this.locked
      this.set({ admin, unlockProblem: undefined, unlocking: false, locked: false })
      if (wasLocked) this.start()
    } catch (error) {
      this.set({ unlockProblem: (error as Error).message })
    }
  }

  forgetToken(): void {
    this.forget()
    this.set({ unlockProblem: undefined })
    this.start()
  }

  // ---------------------------------------------------------------------------
  // one circuit
  // ---------------------------------------------------------------------------

  /** Opens a circuit, or the reset of all of them. */
  async open(name: string | undefined): Promise<void> {
    if (name === undefined) return this.set({ detail: { name } })
    history.pushState(null, "", addressOf(name))
    await this.show(name)
  }

  private async show(name: string): Promise<void> {
    this.set({ detail: { name } })
    // Of a circuit that has gone, the history may still be there.
    const [circuit, transitions, settings] = await Promise.allSettled([
      this.api.circuit(name),
      this.api.history(name),
      this.api.settings(name)
    ])
    if (this.detail?.name !== name) return
    this.set({
      detail: {
        ...this.detail,
        circuit: circuit.status === "fulfilled" ? circuit.value : undefined,
        problem: circuit.status === "rejected" ? String(circuit.reason.message) : undefined,
        history: transitions.status === "fulfilled" ? transitions.value : undefined,
        settings: settings.status === "fulfilled" ? settings.value : undefined
      }
    })
  }

  close(): void {
    if (circuitIn(location.hash) !== undefined) history.pushState(null, "", location.pathname + location.search)
    this.set({ detail: undefined, unlocking: false, unlockProblem: undefined })
  }

  async command(name: string | undefined, action: Action, command: Command): Promise<void> {
    this.set({ detail: { ...this.detail!, busy: true, done: undefined, refused: undefined } })
    let result: Pick<Detail, "circuit" | "done" | "refused">
    try {
      if (name === undefined) {
        const reset = await this.api.resetAll(command)
        result = { done: `${count(reset, "circuit")} ${reset === 1 ? "was" : "were"} reset.` }
      } else {
        const circuit = await this.api.change(name, action, command)
        result = { circuit, done: `${name} is ${STATE_LABELS[circuit.state]} now.` }
      }
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.forget()
      result = { refused: (error as Error).message }
    }
    if (this.detail !== undefined && this.detail.name === name) {
      this.set({ detail: { ...this.detail, ...result, busy: false } })
    }
    this.poll()
  }

  set(changed: Partial<Store>): void {
    Object.assign(this, changed)
    this.render()
  }
}

const trendOf = <A>(trends: Map<string, A>, key: string, make: () => A): A => {
  let trend = trends.get(key)
  if (trend === undefined) trends.set(key, trend = make())
  return trend
}
