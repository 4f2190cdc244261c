/**
 * Makes `src/admin/internal/dashboardPage.ts`, the dashboard as one text, from what
 * is in `dashboard`. With `--check` it only looks whether that is as it should
 * be.
 */
import { build, transform } from "esbuild"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")
const source = (file: string) => path.join(root, "dashboard", file)
const target = path.join(root, "src/admin/internal/dashboardPage.ts")

const bundle = await build({
  entryPoints: [source("main.tsx")],
  bundle: true,
  write: false,
  minify: true,
  format: "esm",
  target: "es2023",
  charset: "utf8",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none"
})
const script = bundle.outputFiles[0]!.text.trim()
const style =
  (await transform(fs.readFileSync(source("style.css"), "utf8"), { loader: "css", minify: true, charset: "utf8" }))
    .code.trim()

if (/<\/(?:script|style)/i.test(script + style)) throw new Error("The page would end in its own text")

const html = fs.readFileSync(source("index.html"), "utf8")
  .replaceAll("\n", "")
  .replace("/* style */", () => style)
  .replace("/* script */", () => script)

const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

const text = `/**
 * The dashboard, made by \`npm run dashboard\` from what is in \`dashboard\`.
 * It contains Preact, by Jason Miller and others, under the MIT licence.
 */

/** The page. */
export const html: string = ${JSON.stringify(html)}

/** What it may do: run its own script and style, and ask the server it is from. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src ${hash(script)}",
  "style-src ${hash(style)}",
  "connect-src 'self'",
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'"
].join("; ")
`

if (process.argv.includes("--check")) {
  if (fs.readFileSync(target, "utf8") !== text) {
    console.error("src/admin/internal/dashboardPage.ts is not what dashboard says: npm run dashboard")
    process.exitCode = 1
  }
} else {
  fs.writeFileSync(target, text)
  console.log(`${path.relative(root, target)}: ${(text.length / 1024).toFixed(1)} KiB`)
}
