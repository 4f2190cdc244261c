import { Effect, type Scope } from "effect"
import { accessSync } from "node:fs"
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core"

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]

/** Where a browser is, if there is one. */
export const browserPath = CHROMIUM.find((path) => {
  try {
    accessSync(path)
    return true
  } catch {
    return false
  }
})

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run"
]

export const launch = (): Promise<Browser> => chromium.launch({ executablePath: browserPath!, args: FLAGS })

export interface Visit {
  readonly page: Page
  /** What the page complained of, or asked of others. */
  readonly complaints: ReadonlyArray<string>
}

export const DESKTOP = { width: 1280, height: 900 }
export const PHONE = { width: 390, height: 844 }

/** Opens a page for as long as the scope. */
export const visit = (
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {}
): Effect.Effect<Visit, never, Scope.Scope> =>
  Effect.gen(function*() {
    const context = yield* Effect.acquireRelease(
      Effect.promise(() => browser.newContext({ viewport: DESKTOP, reducedMotion: "reduce", ...options })),
      (context) => Effect.promise(() => context.close())
    )
    const page = yield* Effect.promise(() => context.newPage())
    page.setDefaultTimeout(10_000)
    const complaints: Array<string> = []
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") complaints.push(message.text())
    })
    page.on("pageerror", (error) => complaints.push(String(error)))
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== new URL(url).origin && !request.url().startsWith("data:")) {
        complaints.push(`asked ${request.url()}`)
      }
    })
    yield* Effect.promise(() => page.goto(url))
    return { page, complaints }
  })
