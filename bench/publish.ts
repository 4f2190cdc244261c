/**
 * Puts the figures of the last full run into the documents, between markers:
 *
 *     <!-- bench:start -->                     the targets, and what they were measured on
 *     <!-- bench:start summary -->             the most telling of them
 *     <!-- bench:start closed/sync call -->    one case
 *     <!-- bench:end -->
 *
 * Run it as `npx -c "node bench/publish.ts"`, on Node 24; with `--check` it only says whether they
 * are up to date.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { caseMarkdown, machineLine, type Report, rowMarkdown } from "./report.ts"

const root = path.resolve(import.meta.dirname, "..")
const report: Report = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "results/latest.json"), "utf8"))
const check = process.argv.includes("--check")

/** The rows of the summary, by what and by what they are compared with. */
const summary: ReadonlyArray<readonly [what: string, baseline: string]> = [
  ["closed circuit, count window 100 + consecutive", "Effect's own breaker"],
  ["closed circuit, count window 100 + consecutive", "what cockatiel adds to an await"],
  ["rejection by an open circuit", "cockatiel"],
  ["retry + breaker + attempt timeout around a promise", "cockatiel's same wrap"],
  ["retry on the success path", "Effect.retry"],
  ["three tiers, first one serves", "Effect.withExecutionPlan"],
  ["1,000,000 circuits in one registry, each", "1 KB"]
]

const summaryRows = () =>
  summary.map(([what, baseline]) => {
    const found = report.rows.find((row) => row.what === what && row.baseline === baseline)
    if (found === undefined) throw new Error(`The last run has no row "${what}" compared with "${baseline}"`)
    return found
  })

const render = (name: string | undefined): string => {
  if (name === "summary") return `${rowMarkdown(summaryRows())}\n\nMeasured on ${machineLine(report)}.`
  if (name === undefined) return `${rowMarkdown(report.rows)}\n\nMeasured on ${machineLine(report)}.`
  const found = report.cases.find((result) => result.name === name)
  if (found === undefined) throw new Error(`The last run has no case ${name}`)
  return caseMarkdown(found)
}

for (const file of ["README.md", "docs/project/performance.md"]) {
  const before = fs.readFileSync(path.join(root, file), "utf8")
  const after = before.replaceAll(
    /<!-- bench:start(?: (.+?))? -->\n[\s\S]*?<!-- bench:end -->/g,
    (_, name: string | undefined) =>
      `<!-- bench:start${name === undefined ? "" : ` ${name}`} -->\n\n${render(name)}\n\n<!-- bench:end -->`
  )
  const sections = before.split("<!-- bench:start").length - 1
  console.log(`${file}: ${sections} sections, ${after === before ? "up to date" : check ? "out of date" : "written"}`)
  if (after === before) continue
  if (check) process.exitCode = 1
  else fs.writeFileSync(path.join(root, file), after)
}
