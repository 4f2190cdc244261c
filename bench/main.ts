/**
 * Runs the benchmark: each case in a process of its own, then the table, the
 * verdicts and the JSON.
 *
 *     npm run bench
 *     npm run bench -- --only closed --json /tmp/closed.json
 */
import { fork } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { groups } from "./groups/index.ts"
import { fullPlan, shortPlan } from "./measure.ts"
import type { Case } from "./model.ts"
import { caseTable, judge, machineLine, type Report, rowTable, summariseCase } from "./report.ts"
import { rows } from "./rows.ts"
import type { Result } from "./worker.ts"

const { values: options } = parseArgs({
  options: {
    json: { type: "string" },
    only: { type: "string" },
    short: { type: "boolean", default: false },
    list: { type: "boolean", default: false }
  }
})

/** How far above its target a ratio may be before it counts as missed. Short runs, on machines that others use, are noisier. */
const margin = options.short ? 1 : 0.1
const plan = options.short ? shortPlan : fullPlan
const root = path.resolve(import.meta.dirname, "..")

const wanted = new RegExp(options.only ?? "", "i")
const cases = groups.flatMap((group) =>
  group.cases.map((found) => ({ group: group.name, case: found, name: `${group.name}/${found.name}` }))
).filter(({ name }) => wanted.test(name))

const run = (group: string, found: Case): Promise<Result> =>
  new Promise((resolve, reject) => {
    let result: Result | undefined
    fork(path.join(import.meta.dirname, "worker.ts"), [group, found.name, options.short ? "short" : "full"], {
      execArgv: ["--expose-gc", "--conditions=@effect-resilience/source"]
    })
      .on("message", (message: Result) => {
        result = message
      })
      .on("error", reject)
      .on("exit", (code) =>
        result === undefined ? reject(new Error(`${group}/${found.name} ended with ${code}`)) : resolve(result))
  })

const versionOf = (name: string): string =>
  JSON.parse(fs.readFileSync(path.join(root, "node_modules", name, "package.json"), "utf8")).version

const main = async (): Promise<number> => {
  if (options.list) {
    for (const { name } of cases) console.log(name)
    return 0
  }
  if (cases.length === 0) {
    console.error(`No case matches ${options.only}. These are there:`)
    for (const group of groups) for (const { name } of group.cases) console.error(`  ${group.name}/${name}`)
    return 2
  }

  const started = performance.now()
  const loadBefore = os.loadavg()[0]!
  const results = new Map<string, { readonly case: Case; readonly results: Array<Result> }>()
  for (const { case: found, group, name } of cases) {
    const entry = { case: found, results: [] as Array<Result> }
    const processes = found.kind === "figures" && found.exact === true ? 1 : plan.processes
    for (let i = 0; i < processes; i++) entry.results.push(await run(group, found))
    results.set(name, entry)
    console.log(`${caseTable(summariseCase(name, entry))}\n`)
  }

  const report: Report = {
    date: new Date().toISOString(),
    mode: options.short ? "short" : "full",
    machine: {
      cpu: os.cpus()[0]!.model.trim(),
      cores: os.cpus().length,
      gigabytes: Math.round(os.totalmem() / 2 ** 30),
      platform: `${os.platform()} ${os.arch()}`
    },
    load: [loadBefore, os.loadavg()[0]!],
    seconds: Math.round((performance.now() - started) / 1000),
    versions: {
      Node: process.versions.node,
      effect: versionOf("effect"),
      cockatiel: versionOf("cockatiel"),
      opossum: versionOf("opossum")
    },
    margin,
    rows: rows.map((row) => judge(row, results, margin)).filter((row) => row !== undefined),
    cases: Array.from(results, ([name, entry]) => summariseCase(name, entry))
  }

  if (report.rows.length > 0) {
    console.log(`${rowTable(report.rows)}\n`)
    console.log(`Added cost is what a call costs above the bare one. A target counts as missed if its ratio is`)
    console.log(`more than ${margin * 100} % above it. ± is half the distance of the quartiles.`)
  }
  console.log(machineLine(report))
  console.log(
    `${report.seconds} s, load ${
      report.load.map((load) => load.toFixed(2)).join(" to ")
    } on ${report.machine.cores} cores`
  )
  if (options.json !== undefined) {
    fs.mkdirSync(path.dirname(path.resolve(options.json)), { recursive: true })
    fs.writeFileSync(options.json, `${JSON.stringify(report, rounded, 2)}\n`)
  }
  const missed = report.rows.filter(({ verdict }) => verdict === "missed")
  if (missed.length > 0) {
    console.error(`\n${missed.length} of ${report.rows.length} targets missed`)
    return 1
  }
  return 0
}

/** More digits than noise allows would only change with every run. */
const rounded = (_: string, value: unknown) => typeof value === "number" ? Number(value.toPrecision(4)) : value

process.exitCode = await main()
