import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import axe from "axe-core"
import { Duration, Effect, Fiber, type Scope } from "effect"
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy, Tiers } from "effect-resilience"
import type { Browser, Page } from "playwright-core"
import * as Admin from "../admin/support.ts"
import { restartable } from "../cli/support.ts"
import { callOnce, trip } from "../support/registry.ts"
import { browserPath, launch, PHONE, visit } from "./support.ts"

if (browserPath === undefined) {
  process.stderr.write("dashboard: no Chromium here, the tests in a browser are skipped\n")
}

/** A step in the browser. */
const go = <A>(f: () => Promise<A>): Effect.Effect<A> => Effect.promise(f)

const row = (page: Page, name: string) =>
  page.getByRole("row").filter({ has: page.getByRole("button", { name, exact: true }) })

const dialog = (page: Page) => page.getByRole("dialog")

/** Lets time pass until the page shows something. */
const shows = (page: Page, text: string | RegExp) => go(() => page.getByText(text).first().waitFor())

const unlock = (page: Page) =>
  go(async () => {
    await page.getByRole("button", { name: "Enter the token" }).click()
    await page.getByLabel("Token", { exact: true }).fill(Admin.TOKEN)
    await page.getByRole("button", { name: "Use the token" }).click()
    await page.getByRole("button", { name: "Forget the token" }).waitFor()
  })

const fillIn = (page: Page, reason: string) =>
  go(async () => {
    await page.getByLabel("Your name").fill("ada")
    await page.getByLabel("Reason").fill(reason)
  })

const inBrowser = `the dashboard in a browser${browserPath === undefined ? ", skipped for want of chromium" : ""}`

describe.skipIf(browserPath === undefined)(inBrowser, { timeout: 60_000 }, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launch()
  }, 60_000)
  afterAll(() => browser?.close())

  /** A page of a server with whatever circuits there are; it must not complain. */
  const opened = (
    name: string,
    use: (page: Page, server: Admin.Server) => Effect.Effect<void, unknown, Scope.Scope>,
    options: {
      readonly admin?: Parameters<typeof Admin.start>[0]
      readonly browser?: Parameters<typeof visit>[2]
      readonly before?: (server: Admin.Server) => Effect.Effect<unknown, unknown>
      /** Answers that are no success are complained of by the browser. */
      readonly expected?: RegExp
    } = {}
  ) =>
    it.live(name, () =>
      Effect.gen(function*() {
        const server = yield* Admin.start(options.admin)
        yield* options.before?.(server) ?? Effect.void
        const { complaints, page } = yield* visit(
          browser,
          `${server.url}${options.admin?.prefix ?? ""}/dashboard`,
          options.browser
        )
        yield* use(page, server)
        assert.deepStrictEqual(complaints.filter((complaint) => options.expected?.test(complaint) !== true), [])
      }))

  opened("shows states as they change in the program", (page, server) =>
    Effect.gen(function*() {
      yield* shows(page, "No circuit yet")
      yield* callOnce(server, "payment-api")
      yield* go(() => row(page, "payment-api").getByText("closed").waitFor())
      yield* shows(page, "healthy")
      assert.match(yield* go(() => page.title()), /^Circuits · 127/)

      yield* trip(server, "payment-api")
      yield* go(() => row(page, "payment-api").getByText("✕ open").waitFor())
      yield* go(() => row(page, "payment-api").getByText(/retry in (1 min|\d+ s)/).waitFor())
      yield* go(() => row(page, "payment-api").getByText("2 of 2 in a row").waitFor())
      yield* shows(page, "unhealthy: 1 of 1 circuit open")
      yield* go(() => page.waitForFunction(() => document.title.startsWith("(1 open)")))
      yield* go(() => page.getByRole("button", { name: "open 1" }).waitFor())
      // Read out to those who do not see it, and kept in the list.
      yield* go(() => page.getByRole("status").getByText("payment-api is open: 2 failures in a row").waitFor())
      yield* go(() => page.getByRole("listitem").filter({ hasText: "2 failures in a row" }).waitFor())

      yield* (yield* server.registry.getOrCreate("payment-api")).forceClose
      yield* go(() => row(page, "payment-api").getByText("closed").waitFor())
      yield* go(() => page.getByRole("heading", { name: "2 transitions" }).waitFor())
      yield* go(() => page.waitForFunction(() => document.title.startsWith("Circuits")))
    }))

  opened("shows how many calls a circuit gets, and how long they take", (page, server) =>
    Effect.gen(function*() {
      const breaker = yield* server.registry.getOrCreate(
        "search",
        CircuitPolicy.make({ failureRate: 0.5, slowCallRate: 0.9, slowCallDuration: "1 second" })
      )
      const calls = yield* breaker.execute(Effect.sleep(20)).pipe(
        Effect.andThen(Effect.sleep(20)),
        Effect.forever,
        Effect.forkChild
      )
      yield* go(() => row(page, "search").getByText(/^[1-9]\d(\.\d)?\/s$/).waitFor())
      yield* go(() => row(page, "search").getByText(/^[2-9]\d ms$/).waitFor())
      yield* go(() => row(page, "search").getByText("of 50%").waitFor())
      yield* Fiber.interrupt(calls)
      yield* go(() => row(page, "search").getByText("0/s").waitFor({ timeout: 20_000 }))
    }))

  opened("shows where calls go now, as tiers open and recover", (page, server) =>
    Effect.gen(function*() {
      let isUp = true
      const call = Tiers.make("get_account", [
        Tiers.tier("tier1_mcp", Effect.suspend(() => isUp ? Effect.succeed("mcp") : Effect.fail("down"))),
        Tiers.tier("tier2_sdk", Effect.succeed("sdk")),
        Tiers.tier("tier3_rest", Effect.succeed("rest"))
      ]).pipe(Effect.provideService(CircuitBreakerRegistry.CircuitBreakerRegistry, server.registry))
      yield* call.pipe(Effect.andThen(Effect.sleep(20)), Effect.forever, Effect.forkScoped)
      const flow = page.getByRole("article", { name: "get_account" })
      const tier = (name: string) => flow.getByRole("listitem").filter({ hasText: name })

      yield* go(() => tier("tier1_mcp").getByText("serves now").waitFor())
      isUp = false
      yield* go(() => tier("tier2_sdk").getByText("serves now").waitFor())
      yield* go(() => tier("tier1_mcp").getByText("✕ open").waitFor())
      yield* go(() => tier("tier1_mcp").getByText(/[1-9]\d\/s skipped/).waitFor())
      yield* go(() => flow.getByText("most of them served by tier2_sdk").waitFor())
      isUp = true
      yield* (yield* server.registry.getOrCreate("tier1_mcp")).forceClose
      yield* go(() => tier("tier1_mcp").getByText("serves now").waitFor())
      assert.strictEqual(yield* go(() => flow.getByText("serves now").count()), 1)
    }))

  opened("moves circuits by hand, with the token, a name and a reason", (page, server) =>
    Effect.gen(function*() {
      const breaker = yield* server.registry.getOrCreate("payment-api")
      yield* go(() => page.getByRole("button", { name: "payment-api" }).click())
      yield* go(() => dialog(page).getByText("A change needs the token").waitFor())

      yield* go(async () => {
        await dialog(page).getByLabel("Token", { exact: true }).fill("p\u00e4\u00dfword of a kind")
        await dialog(page).getByRole("button", { name: "Use the token" }).click()
        await dialog(page).getByRole("alert").getByText("only ASCII characters and no spaces").waitFor()
        await dialog(page).getByLabel("Token", { exact: true }).fill("not-the-right-token")
        await dialog(page).getByRole("button", { name: "Use the token" }).click()
        await dialog(page).getByRole("alert").getByText("the bearer token is wrong").waitFor()
        await dialog(page).getByLabel("Token", { exact: true }).fill(Admin.TOKEN)
        await dialog(page).getByRole("button", { name: "Use the token" }).click()
        await dialog(page).getByLabel("Reason").waitFor()
      })
      // Neither is optional.
      yield* go(() => dialog(page).getByRole("button", { name: "Force open", exact: true }).click())
      assert.strictEqual((yield* breaker.metrics).state, "Closed")

      yield* fillIn(page, "maintenance")
      yield* go(() => dialog(page).getByLabel("For how long").selectOption("5 minutes"))
      yield* go(() => dialog(page).getByRole("button", { name: "Force open", exact: true }).click())
      yield* go(() => dialog(page).getByRole("status").getByText("payment-api is forced open now").waitFor())
      const forced = yield* breaker.metrics
      assert.strictEqual(forced.state, "ForcedOpen")
      assert.approximately(Duration.toSeconds(forced.timeUntilRetry!), 300, 10)
      yield* go(() => dialog(page).getByText("1 transition").click())
      yield* go(() => dialog(page).getByText("maintenance (by ada), closed for").waitFor())

      for (
        const [action, button, state] of [
          ["Disable", "Disable", "Disabled"],
          ["Metrics only", "Metrics only", "MetricsOnly"],
          ["Close", "Close", "Closed"],
          ["Force open", "Force open", "ForcedOpen"],
          ["Reset", "Reset", "Closed"]
        ] as const
      ) {
        yield* go(() => dialog(page).getByRole("radio", { name: new RegExp(`^${action}`) }).check())
        yield* go(() => dialog(page).locator("form").getByRole("button", { name: button, exact: true }).click())
        yield* breaker.metrics.pipe(
          Effect.delay("20 millis"),
          Effect.repeat({ until: (metrics) => metrics.state === state }),
          Effect.timeout("5 seconds")
        )
      }
    }), { expected: /401/ })

  opened("resets all circuits", (page, server) =>
    Effect.gen(function*() {
      yield* trip(server, "a")
      yield* trip(server, "b")
      yield* unlock(page)
      yield* go(() => page.getByRole("button", { name: "Reset all…" }).click())
      yield* fillIn(page, "the network is back")
      yield* go(() => page.getByRole("button", { name: "Reset all circuits" }).click())
      yield* shows(page, "2 circuits were reset.")
      assert.deepStrictEqual(yield* server.registry.openCircuits, [])
      yield* go(() => page.keyboard.press("Escape"))
      yield* go(() => row(page, "a").getByText("closed").waitFor())
    }))

  opened("forgets the token with the tab, or at once", (page) =>
    Effect.gen(function*() {
      yield* unlock(page)
      yield* go(() => page.reload())
      yield* go(() => page.getByRole("button", { name: "Forget the token" }).click())
      yield* go(() => page.getByRole("button", { name: "Enter the token" }).waitFor())
      assert.deepStrictEqual(yield* go(() => page.evaluate(() => [localStorage.length, document.cookie])), [0, ""])
      const other = yield* go(() => page.context().newPage())
      yield* go(() => other.goto(page.url()))
      yield* go(() => other.getByRole("button", { name: "Enter the token" }).waitFor())
    }))

  opened("asks for the token first, where reading needs it", (page, server) =>
    Effect.gen(function*() {
      yield* shows(page, "Reading needs the token")
      assert.strictEqual(yield* go(() => page.getByRole("heading", { name: "Timeline" }).count()), 0)
      yield* go(() => page.getByLabel("Token", { exact: true }).fill(Admin.TOKEN))
      yield* go(() => page.keyboard.press("Enter"))
      yield* go(() => row(page, "payment-api").waitFor())
      yield* trip(server, "payment-api")
      yield* go(() => row(page, "payment-api").getByText("✕ open").waitFor())
    }), {
    admin: { readAccess: "token" },
    before: (server) => callOnce(server, "payment-api"),
    expected: /401/
  })

  opened("tells why the program is not healthy, where it has checks of its own", (page) =>
    Effect.gen(function*() {
      const health = page.getByRole("region", { name: "Health" })
      yield* go(() => health.getByText("disk: the disk is full").waitFor())
    }), {
    admin: { health: Effect.succeed({ status: "degraded", details: { reasons: ["disk: the disk is full"] } }) }
  })

  opened(
    "says in the row of a circuit since when it is down, how often it opened, by which rule, and what failed",
    (page) =>
      Effect.gen(function*() {
        const circuit = row(page, "payment-api")
        yield* go(() => circuit.getByText(/^since \d\d:\d\d:\d\d, 3 openings$/).waitFor())
        yield* go(() => circuit.getByText("2 of 2 in a row").waitFor())
        yield* go(() => circuit.getByText("down").waitFor())
        // Six transitions on two lines.
        yield* go(() => page.getByRole("listitem").filter({ hasText: "2 probes failed since" }).waitFor())
        assert.strictEqual(yield* go(() => page.getByRole("listitem").filter({ hasText: "payment-api" }).count()), 2)
        yield* go(() => page.getByRole("button", { name: "payment-api" }).first().click())
        yield* go(() => dialog(page).getByText(/3 openings: 2 failures in a row/).waitFor())
      }),
    {
      before: (server) =>
        Effect.gen(function*() {
          yield* callOnce(server, "search")
          const breaker = yield* server.registry.getOrCreate(
            "payment-api",
            CircuitPolicy.make({ consecutiveFailures: 2, openDuration: "50 millis" })
          )
          const fail = Effect.exit(breaker.execute(Effect.fail("down")))
          yield* Effect.andThen(fail, fail)
          for (let i = 0; i < 2; i++) {
            yield* Effect.sleep("60 millis")
            yield* fail
          }
        })
    }
  )

  opened(
    "has an address for each circuit, which the buttons of the browser know",
    (page, server) =>
      Effect.gen(function*() {
        const heading = (name: string) => dialog(page).getByRole("heading", { name, exact: true })
        yield* go(() => row(page, "a/b #1").getByRole("button").click())
        yield* go(() => heading("a/b #1").waitFor())
        const address = page.url()
        assert.match(address, /#\/circuits\/a%2Fb%20%231$/)
        yield* go(() => page.keyboard.press("Escape"))
        yield* go(() => dialog(page).waitFor({ state: "detached" }))
        assert.notInclude(page.url(), "#")
        yield* go(() => page.goBack())
        yield* go(() => heading("a/b #1").waitFor())
        yield* go(() => page.goForward())
        yield* go(() => dialog(page).waitFor({ state: "detached" }))
        const other = yield* visit(browser, address)
        yield* go(() => dialog(other.page).getByRole("heading", { name: "a/b #1", exact: true }).waitFor())
        yield* callOnce(server, "a/b #1")
        yield* go(() => dialog(other.page).getByText(/^2: 2 successful/).waitFor())
      }),
    { before: (server) => callOnce(server, "a/b #1") }
  )

  opened("says so when calls reach no tier", (page, server) =>
    Effect.gen(function*() {
      let calls = 0
      const call = Tiers.make("get_account", [
        Tiers.tier("first", Effect.suspend(() => ++calls % 10 === 0 ? Effect.succeed("a") : Effect.fail("down"))),
        Tiers.tier("second", Effect.fail("down"))
      ]).pipe(Effect.provideService(CircuitBreakerRegistry.CircuitBreakerRegistry, server.registry), Effect.exit)
      yield* call.pipe(Effect.andThen(Effect.sleep(5)), Effect.forever, Effect.forkScoped)
      yield* shows(page, /^(8\d|9\d|100)% of .+ calls reach no tier$/)
      assert.strictEqual(yield* go(() => page.getByText("serves now").count()), 0)
    }))

  opened("offers to close what an operator has moved, and says who and why", (page) =>
    Effect.gen(function*() {
      yield* unlock(page)
      yield* go(() => row(page, "payment-api").getByText("until closed by hand").waitFor())
      yield* go(() => page.getByRole("row").getByRole("button", { name: "payment-api" }).click())
      yield* go(() => dialog(page).getByText("maintenance (by ada)").first().waitFor())
      assert.isTrue(yield* go(() => dialog(page).getByRole("radio", { name: /^Close/ }).isChecked()))
    }), {
    before: (server) =>
      Effect.flatMap(
        server.registry.getOrCreate("payment-api"),
        (breaker) => CircuitBreaker.withNote(breaker.forceOpen(), "maintenance (by ada)")
      )
  })

  opened("has no controls where changes are turned off", (page) =>
    Effect.gen(function*() {
      yield* go(() => page.getByRole("button", { name: "payment-api" }).click())
      yield* go(() => dialog(page).getByText("Changes are turned off here.").waitFor())
      assert.strictEqual(yield* go(() => page.getByRole("button", { name: "Reset all…" }).count()), 0)
    }), { admin: { changes: false }, before: (server) => callOnce(server, "payment-api") })

  opened("tells what is set, and where that comes from", (page) =>
    Effect.gen(function*() {
      yield* go(() => page.getByRole("button", { name: "payment-api" }).click())
      yield* go(() => dialog(page).getByText("Settings, and where they come from").click())
      const setting = dialog(page).getByRole("row").filter({ hasText: "RECOVERY_TIMEOUT" }).first()
      yield* go(() => setting.getByText("60 seconds").waitFor())
    }), { before: (server) => callOnce(server, "payment-api") })

  opened("looks back on what happened", (page, server) =>
    Effect.gen(function*() {
      const breaker = yield* server.registry.getOrCreate("payment-api")
      yield* CircuitBreaker.withNote(breaker.forceOpen(), "first")
      yield* shows(page, "first")
      yield* Effect.sleep("3 seconds")
      yield* breaker.forceClose
      yield* go(() => page.getByRole("heading", { name: "2 transitions" }).waitFor())
      yield* go(() => page.locator(".lane .segment--forced_open").waitFor())

      const slider = page.getByRole("slider", { name: "Where the timeline ends" })
      yield* go(() => slider.focus())
      yield* go(() => page.keyboard.press("Home"))
      yield* go(() => page.getByRole("heading", { name: /^[01] transitions?$/ }).waitFor())
      assert.match((yield* go(() => slider.getAttribute("aria-valuetext")))!, /s ago$/)
      yield* go(() => page.getByRole("button", { name: "Now", exact: true }).click())
      yield* go(() => page.getByRole("heading", { name: "2 transitions" }).waitFor())
      yield* go(() => page.getByRole("button", { name: "1 h", exact: true }).click())
      yield* go(() => page.getByRole("heading", { name: "2 transitions" }).waitFor())
    }))

  opened("shows what happened before it was opened", (page) => shows(page, "2 failures in a row"), {
    before: (server) => Effect.andThen(trip(server, "payment-api"), Effect.sleep(10))
  })

  opened("finds circuits among many, by page, name and state", (page, server) =>
    Effect.gen(function*() {
      yield* shows(page, "1 to 100 of 251")
      assert.strictEqual(yield* go(() => page.getByRole("row").count()), 101)
      // What needs attention comes first.
      yield* go(() => page.getByRole("row").nth(1).getByRole("button", { name: "broken" }).waitFor())
      yield* go(() => page.getByRole("button", { name: "Next" }).click())
      yield* go(() => page.getByRole("button", { name: "Next" }).click())
      yield* shows(page, "201 to 251 of 251")
      yield* go(() => row(page, "c249").waitFor())
      // The page that is looked at goes away.
      for (let i = 0; i < 60; i++) yield* server.registry.remove(`c${i}`)
      yield* shows(page, "101 to 191 of 191")
      for (let i = 0; i < 60; i++) yield* callOnce(server, `c${i}`)
      yield* go(() => page.getByRole("searchbox").fill("C24"))
      yield* go(() => row(page, "c24").waitFor())
      assert.strictEqual(yield* go(() => page.getByRole("row").count()), 1 + 11)
      yield* go(() => page.getByRole("searchbox").fill(""))
      yield* go(() => page.getByRole("button", { name: "open 1" }).click())
      yield* go(() => page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1))
      yield* (yield* server.registry.getOrCreate("broken")).forceClose
      yield* shows(page, "No circuit matches.")
    }), {
    before: (server) =>
      Effect.andThen(
        Effect.forEach(Array.from({ length: 250 }, (_, i) => `c${i}`), (name) => callOnce(server, name)),
        trip(server, "broken")
      )
  })

  opened("takes names for what they are, text", (page) =>
    Effect.gen(function*() {
      const name = `<img src=x onerror="document.title='taken'"> & "b"/../c`
      yield* go(() => page.getByRole("button", { name, exact: true }).first().click())
      yield* go(() => dialog(page).getByRole("heading", { name, exact: true }).waitFor())
      yield* go(() => dialog(page).getByText("2, opens at 2").waitFor())
      assert.strictEqual(yield* go(() => page.locator("img").count()), 0)
    }), { before: (server) => trip(server, `<img src=x onerror="document.title='taken'"> & "b"/../c`) })

  opened("is used by keyboard alone", (page) =>
    Effect.gen(function*() {
      yield* go(() => row(page, "payment-api").waitFor())
      const focused = () => page.evaluate(() => document.activeElement?.textContent ?? "")
      for (let i = 0; i < 30 && (yield* go(focused)) !== "payment-api"; i++) yield* go(() => page.keyboard.press("Tab"))
      yield* go(() => page.keyboard.press("Enter"))
      yield* go(() => dialog(page).waitFor())
      assert.isTrue(
        yield* go(() => page.evaluate(() => document.querySelector("dialog")!.contains(document.activeElement)))
      )
      yield* go(() => page.keyboard.press("Escape"))
      yield* go(() => dialog(page).waitFor({ state: "detached" }))
      assert.strictEqual(yield* go(focused), "payment-api")
    }), { before: (server) => callOnce(server, "payment-api") })

  opened("works under a prefix", (page) => go(() => row(page, "payment-api").waitFor()).pipe(Effect.asVoid), {
    admin: { prefix: "/ops/resilience" },
    before: (server) => callOnce(server, "payment-api")
  })

  opened("tells people without JavaScript where the JSON is, under a prefix too", (page) =>
    go(async () => {
      const link = page.locator("noscript a")
      assert.strictEqual(await link.textContent(), "/ops/resilience/circuits")
      await link.click()
      await page.getByText("total").waitFor()
    }), {
    admin: { prefix: "/ops/resilience" },
    browser: { javaScriptEnabled: false },
    // A browser asks for an icon of the JSON.
    expected: /404/
  })

  for (const colorScheme of ["light", "dark"] as const) {
    for (const [device, viewport] of [["desktop", undefined], ["phone", PHONE]] as const) {
      opened(
        `has no barriers that axe knows of, ${colorScheme}, on a ${device}`,
        (page, server) =>
          Effect.gen(function*() {
            const call = Tiers.make("get_account", [
              Tiers.tier("payment-api", Effect.succeed("a")),
              Tiers.tier("search", Effect.succeed("b"))
            ]).pipe(Effect.provideService(CircuitBreakerRegistry.CircuitBreakerRegistry, server.registry))
            yield* call.pipe(Effect.andThen(Effect.sleep(20)), Effect.forever, Effect.forkScoped)
            yield* shows(page, "serves now")
            const check = () =>
              go(async () => {
                await page.evaluate(axe.source)
                const { violations } = await page.evaluate(() =>
                  (globalThis as unknown as { axe: typeof axe }).axe.run()
                )
                return violations.map(({ help, id, nodes }) =>
                  `${id}: ${help}, ${nodes.map(({ html }) => html).join(" ")}`
                )
              })
            assert.deepStrictEqual(yield* check(), [])
            const width = () =>
              page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
            assert.strictEqual(yield* go(width), 0)

            yield* unlock(page)
            yield* go(() => row(page, "payment-api").getByRole("button").click())
            yield* go(() => dialog(page).getByText("Settings, and where they come from").click())
            assert.deepStrictEqual(yield* check(), [])
            assert.strictEqual(yield* go(width), 0)
          }),
        {
          before: (server) => Effect.andThen(callOnce(server, "payment-api"), trip(server, "search")),
          browser: { colorScheme, ...(viewport === undefined ? {} : { viewport, hasTouch: true }) }
        }
      )
    }
  }

  it.live("comes back by itself when the program does", () =>
    Effect.gen(function*() {
      const first = yield* restartable()
      yield* CircuitBreaker.withNote(
        (yield* first.server.registry.getOrCreate("payment-api")).forceOpen(),
        "first of its kind"
      )
      const { page } = yield* visit(browser, `${first.server.url}/dashboard`)
      yield* go(() => row(page, "payment-api").waitFor())
      yield* shows(page, "live")
      yield* shows(page, "first of its kind")

      yield* first.stop
      yield* shows(page, "reconnecting")
      yield* go(() => page.getByRole("alert").getByText("No news from the program").waitFor())
      // What was last known stays to be seen.
      yield* go(() => row(page, "payment-api").waitFor())

      const second = yield* restartable(first.server.port)
      yield* callOnce(second.server, "search")
      yield* go(() => row(page, "search").waitFor())
      yield* go(() => page.getByText("live", { exact: true }).waitFor())
      assert.strictEqual(yield* go(() => page.getByRole("alert").count()), 0)
      yield* trip({ ...first.server, ...second.server } as Admin.Server, "search")
      yield* shows(page, "2 failures in a row")
      // The circuits of the program that was there before are no more.
      yield* shows(page, "The program has restarted")
      assert.strictEqual(yield* go(() => page.getByText("first of its kind").count()), 0)
      yield* second.stop
    }), 60_000)

  it.live("goes on without a token that is accepted no more, where reading needs none", () =>
    Effect.gen(function*() {
      const first = yield* restartable()
      const { page } = yield* visit(browser, `${first.server.url}/dashboard`)
      yield* unlock(page)
      yield* first.stop
      yield* shows(page, "reconnecting")
      const second = yield* restartable(first.server.port, "another-token-entirely")
      yield* callOnce(second.server, "search")
      yield* go(() => row(page, "search").waitFor())
      yield* go(() => page.getByRole("button", { name: "Enter the token" }).waitFor())
      yield* go(() => page.getByText("live", { exact: true }).waitFor())
      yield* second.stop
    }), 60_000)

  opened("stays usable while hundreds of circuits change at once", (page, server) =>
    Effect.gen(function*() {
      const breakers = yield* Effect.forEach(
        Array.from({ length: 200 }, (_, i) => `c${i}`),
        (name) => server.registry.getOrCreate(name)
      )
      yield* Effect.forEach(breakers, (breaker) => breaker.forceOpen().pipe(Effect.andThen(breaker.forceClose)), {
        discard: true
      }).pipe(
        Effect.andThen(Effect.sleep(500)),
        Effect.forever,
        Effect.forkScoped
      )
      yield* shows(page, "1 to 100 of 200")
      yield* Effect.sleep("2 seconds")
      yield* go(() => page.getByRole("button", { name: "15 min" }).click())
      yield* go(() => page.getByRole("button", { name: "15 min", pressed: true }).waitFor())
    }))

  it.live("asks nothing while nobody looks", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      const { page } = yield* visit(browser, `${server.url}/dashboard`)
      yield* shows(page, "No circuit yet")
      yield* go(() =>
        page.evaluate(() => {
          Object.defineProperty(document, "hidden", { configurable: true, get: () => true })
        })
      )
      yield* Effect.sleep("1500 millis")
      let asked = 0
      page.on("request", () => asked++)
      yield* Effect.sleep("2500 millis")
      assert.strictEqual(asked, 0)
      yield* go(() =>
        page.evaluate(() => {
          Object.defineProperty(document, "hidden", { configurable: true, get: () => false })
          document.dispatchEvent(new Event("visibilitychange"))
        })
      )
      yield* Effect.sleep("1 second")
      assert.isAbove(asked, 0)
    }))
})

describe("the dashboard's page", () => {
  it.effect("may run its own script and ask its own server, and nothing else", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start({ readAccess: "token" })
      const { headers, status, text } = yield* Admin.ask(server, { path: "/dashboard" })
      assert.strictEqual(status, 200)
      assert.strictEqual(headers["content-type"], "text/html; charset=utf-8")
      const policy = String(headers["content-security-policy"])
      assert.match(
        policy,
        /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; connect-src 'self'/
      )
      assert.include(policy, "frame-ancestors 'none'")
      assert.strictEqual(headers["cache-control"], "no-store")
      assert.notMatch(text.replace("http://www.w3.org", ""), /src="|href="http|@import|url\(/)
      assert.notInclude(text, Admin.TOKEN)
    }))

  it.effect("is refused to other hosts, and is not there if it is turned off", () =>
    Effect.gen(function*() {
      const server = yield* Admin.start()
      const answer = yield* Admin.ask(server, { path: "/dashboard", headers: { host: "evil.example" } })
      assert.deepStrictEqual([answer.status, answer.json._tag], [403, "ForbiddenError"])
      const without = yield* Admin.start({ dashboard: false })
      assert.strictEqual((yield* Admin.ask(without, { path: "/dashboard" })).status, 404)
      assert.strictEqual((yield* Admin.ask(without, { path: "/circuits" })).status, 200)
    }))
})
