/**
 * Takes the pictures of the dashboard in `docs/images`: `npm run screenshots`
 * runs the demo for a minute and looks at it with Debian's Chromium.
 */
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { browserPath, DESKTOP, launch, PHONE } from "../test/dashboard/support.ts"

if (browserPath === undefined) throw new Error("There is no Chromium: apt-get install chromium")

const root = path.resolve(import.meta.dirname, "..")
const images = path.join(root, "docs/images")
fs.mkdirSync(images, { recursive: true })

const TOKEN = randomBytes(32).toString("hex")
const demo = spawn(
  process.execPath,
  ["--conditions=@effect-resilience/source", "examples/demo/main.ts", "--serve", "--port", "0", "--no-color"],
  { cwd: root, env: { ...process.env, RESILIENCE_ADMIN_TOKEN: TOKEN }, stdio: ["ignore", "pipe", "inherit"] }
)
const lines = createInterface({ input: demo.stdout })

const line = (pattern: RegExp): Promise<RegExpExecArray> =>
  new Promise((resolve) => {
    const look = (text: string) => {
      const match = pattern.exec(text)
      if (match === null) return
      lines.off("line", look)
      resolve(match)
    }
    lines.on("line", look)
  })

const [, url] = await line(/Dashboard +(\S+)/)
const browser = await launch()
const open = async (options: Parameters<typeof browser.newPage>[0]) => {
  const page = await browser.newPage({ deviceScaleFactor: 2, timezoneId: "Europe/Berlin", locale: "en-GB", ...options })
  await page.goto(url!)
  await page.getByRole("button", { name: "1 min", exact: true }).click()
  await page.evaluate(() => scrollTo(0, 0))
  return page
}
const shoot = (page: Awaited<ReturnType<typeof open>>, name: string) =>
  page.screenshot({ path: path.join(images, `dashboard-${name}.png`) })

const light = await open({ viewport: { ...DESKTOP, height: 1000 }, colorScheme: "light" })
const dark = await open({ viewport: { ...DESKTOP, height: 1000 }, colorScheme: "dark" })
const phone = await open({ viewport: PHONE, colorScheme: "dark" })

// The third time, so that the timeline is full and the graphs are, too.
await line(/answers 503/)
await line(/answers 503/)
await line(/answers 503/)
await light.waitForTimeout(2500)
await Promise.all([shoot(light, "light"), shoot(dark, "dark"), shoot(phone, "phone")])

await light.getByRole("button", { name: "Enter the token" }).click()
await light.getByLabel("Token", { exact: true }).fill(TOKEN)
await light.getByRole("button", { name: "Use the token" }).click()
await light.getByRole("row").getByRole("button", { name: "tier2_sdk" }).click()
await light.getByLabel("For how long").selectOption("15 minutes")
await light.getByLabel("Your name").fill("ada")
await light.getByLabel("Reason").fill("the vendor is moving its database")
await shoot(light, "controls")

await browser.close()
demo.kill("SIGINT")
