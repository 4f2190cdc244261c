/** What the page asks of the admin API that serves it. */
import type {
  Circuit,
  CircuitSettings,
  Configuration,
  EventsLost,
  HealthDetails,
  TierFlow
} from "../src/admin/AdminApi.ts"
import type { CircuitChange, StateChanged } from "../src/CircuitEvent.ts"
import { SseParser } from "./sse.ts"

export type { Circuit, CircuitSettings, TierFlow }
export type State = Circuit["state"]
export type Transition = typeof StateChanged.Encoded
export type Change = typeof CircuitChange.Encoded
export type Health = HealthDetails
export type Admin = Pick<Configuration, "problems" | "admin">

export interface Page {
  readonly circuits: ReadonlyArray<Circuit>
  readonly total: number
}

export interface Query {
  readonly state: State | undefined
  readonly search: string
  readonly offset: number
}

export const PAGE_SIZE = 100

export type Action = "force-open" | "force-close" | "disable" | "metrics-only" | "reset"

export interface Command {
  readonly by: string
  readonly reason: string
  readonly duration?: string | undefined
}

/** The API answered with an error, or not at all: then `status` is 0. */
export class ApiError extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** How the page hears of changes. `retryAt` is wall-clock time. */
export type Live =
  | { readonly _tag: "Connecting" }
  | { readonly _tag: "Live" }
  | { readonly _tag: "Lost"; readonly retryAt: number; readonly reason: string }

/** The server writes every 15 seconds unless told otherwise. */
const SILENCE = 45_000
const FIRST_DELAY = 500
const LONGEST_DELAY = 10_000

export class Api {
  token: string | undefined
  /** By how much the server's clock is ahead, in milliseconds. */
  ahead = 0
  private readonly base: string
  private lastEventId: string | undefined

  constructor(base: string) {
    this.base = base
  }

  async circuits({ offset, search, state }: Query): Promise<Page> {
    const query = new URLSearchParams({ sort: "attention", limit: String(PAGE_SIZE), offset: String(offset) })
    if (state !== undefined) query.set("state", state)
    if (search !== "") query.set("search", search)
    return await this.get<Page>(`/circuits?${query}`)
  }

  async tiers(): Promise<ReadonlyArray<TierFlow>> {
    return (await this.get<{ readonly operations: ReadonlyArray<TierFlow> }>("/tiers")).operations
  }

  async health(): Promise<Health> {
    return await this.get<Health>("/status")
  }

  /** Also tells whether a token is the right one. */
  async admin(token = this.token): Promise<Admin> {
    return await this.get<Admin>("/config?limit=1", token)
  }

  async transitions(): Promise<ReadonlyArray<Transition>> {
    return (await this.get<{ readonly transitions: ReadonlyArray<Transition> }>("/history?limit=1000")).transitions
  }

  async circuit(name: string): Promise<Circuit> {
    return await this.get<Circuit>(`/circuits/${encodeURIComponent(name)}`)
  }

  async settings(name: string): Promise<CircuitSettings | undefined> {
    const query = new URLSearchParams({ circuit: name })
    return (await this.get<Configuration>(`/config?${query}`)).circuits[0]
  }

  async history(name: string): Promise<ReadonlyArray<Transition>> {
    const path = `/circuits/${encodeURIComponent(name)}/history?limit=100`
    return (await this.get<{ readonly transitions: ReadonlyArray<Transition> }>(path)).transitions
  }

  async change(name: string, action: Action, command: Command): Promise<Circuit> {
    return await this.post<Circuit>(`/circuits/${encodeURIComponent(name)}/${action}`, command)
  }

  async resetAll(command: Command): Promise<number> {
    return (await this.post<{ readonly reset: number }>("/reset-all", command)).reset
  }

  /** Tells of changes over as many connections as it takes, until aborted. */
  async follow(
    signal: AbortSignal,
    { onChange, onLive, onLost }: {
      readonly onLive: (live: Live) => void
      readonly onChange: (change: Change) => void
      /** Some changes were missed; all there were, if the program has restarted. */
      readonly onLost: (reason: EventsLost["reason"] | undefined) => void
    }
  ): Promise<void> {
    let delay = FIRST_DELAY
    while (!signal.aborted) {
      onLive({ _tag: "Connecting" })
      let reason = "the server ended the connection"
      const quiet = new AbortController()
      let timer = setTimeout(() => quiet.abort(), SILENCE)
      try {
        const response = await this.fetch("/events", {
          signal: AbortSignal.any([signal, quiet.signal]),
          headers: this.lastEventId === undefined ? {} : { "last-event-id": this.lastEventId }
        })
        if (response.headers.get("content-type")?.startsWith("text/event-stream") !== true) {
          throw new ApiError(0, "the answer is no stream of events")
        }
        onLive({ _tag: "Live" })
        delay = FIRST_DELAY
        // What happened before the first connection comes from the history.
        if (this.lastEventId === undefined) onLost(undefined)
        const parser = new SseParser()
        const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
        for (;;) {
          const { done, value } = await reader.read()
          if (done) break
          clearTimeout(timer)
          timer = setTimeout(() => quiet.abort(), SILENCE)
          const frames = parser.push(value)
          this.lastEventId = parser.lastEventId ?? this.lastEventId
          for (const { data, event } of frames) {
            if (event === "EventsLost") onLost((JSON.parse(data) as EventsLost).reason)
            else onChange(JSON.parse(data))
          }
        }
      } catch (error) {
        reason = quiet.signal.aborted ? "nothing came for 45 seconds" : messageOf(error)
        if (error instanceof ApiError && error.status === 401) return
      } finally {
        clearTimeout(timer)
      }
      if (signal.aborted) return
      onLive({ _tag: "Lost", retryAt: Date.now() + delay, reason })
      await sleep(delay, signal)
      delay = Math.min(delay * 2, LONGEST_DELAY)
    }
  }

  private compareClocks(response: Response, sentAt: number): void {
    const receivedAt = Date.now()
    const date = Date.parse(response.headers.get("date") ?? "")
    // An answer that was long on its way says little.
    if (Number.isNaN(date) || receivedAt - sentAt > 1000) return
    const ahead = date - (sentAt + receivedAt) / 2
    // The header has whole seconds.
    this.ahead = Math.abs(ahead) > 2000 ? ahead : 0
  }

  private async get<A>(path: string, token = this.token): Promise<A> {
    return await this.read(await this.fetch(path, { signal: AbortSignal.timeout(10_000) }, token))
  }

  private async post<A>(path: string, body: unknown): Promise<A> {
    return await this.read(
      await this.fetch(path, {
        method: "POST",
        signal: AbortSignal.timeout(10_000),
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body)
      })
    )
  }

  private async read<A>(response: Response): Promise<A> {
    try {
      return await response.json()
    } catch (error) {
      throw new ApiError(0, `the answer could not be read: ${messageOf(error)}`)
    }
  }

  private async fetch(path: string, init: RequestInit, token = this.token): Promise<Response> {
    const headers = new Headers(init.headers)
    if (token !== undefined) headers.set("authorization", `Bearer ${token}`)
    const sentAt = Date.now()
    let response: Response
    try {
      response = await fetch(this.base + path, { ...init, headers, cache: "no-store", credentials: "same-origin" })
    } catch (error) {
      throw new ApiError(0, `the server cannot be reached: ${messageOf(error)}`)
    }
    this.compareClocks(response, sentAt)
    if (response.ok) return response
    const body: unknown = await response.json().catch(() => undefined)
    const message = typeof body === "object" && body !== null && "message" in body ? String(body.message) : undefined
    throw new ApiError(response.status, message ?? `the server answered ${response.status}`)
  }
}

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)

const sleep = (millis: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, millis)
    signal.addEventListener("abort", () => {
      clearTimeout(timer)
      resolve()
    }, { once: true })
  })
