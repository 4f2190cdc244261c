/**
 * `npm run soak -- --minutes 10 --seed 42`: drives the whole library against
 * real servers that are being broken, and accounts for every call. Exits with
 * 1 if anything does not add up.
 */
import { Effect, Exit } from "effect"
import * as fs from "node:fs"
import { parseArgs } from "node:util"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { audit, describe, type Report } from "./soak/audit.ts"
import { soak } from "./soak/run.ts"

const USAGE = `Usage: soak [--minutes N] [--seed S] [--json FILE]
  --minutes N  how long, from 0.5; 2 if not given
  --seed S     decides what is broken when; the time of day if not given
  --json FILE  writes the report to a file`

/** What a process has that has nothing open: its own standard streams, which open when they are first written to. */
process.stdout.write("")
process.stderr.write("")
const resourcesAtStart = process.getActiveResourcesInfo()

const main = async (): Promise<number> => {
  const { json, minutes: given, seed = String(Date.now() % 1_000_000) } = parse()
  const minutes = Number(given ?? 2)
  if (!(minutes >= 0.5)) {
    console.error(`--minutes must be a number from 0.5, got "${given}"\n\n${USAGE}`)
    return 2
  }
  console.log(`Soak of ${minutes} minutes, seed ${seed}`)

  setFlagsFromString("--expose-gc")
  const collectGarbage = runInNewContext("gc") as () => void
  const stop = new AbortController()
  const onSignal = () => stop.abort()
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal)
  const exit = await Effect.runPromiseExit(soak({ minutes, seed, collectGarbage }), { signal: stop.signal })
  process.off("SIGINT", onSignal).off("SIGTERM", onSignal)
  if (Exit.isFailure(exit)) {
    console.error(stop.signal.aborted ? "Stopped" : `The soak itself failed:\n${String(exit.cause)}`)
    return 1
  }

  const report: Report = { ...exit.value, leftResources: await leftResources() }
  const checks = audit(report)
  for (const line of describe(report, checks)) console.log(line)
  if (json !== undefined) fs.writeFileSync(json, JSON.stringify(report, undefined, 2))
  const failed = checks.filter(({ violations }) => violations.length > 0)
  console.log(
    failed.length === 0
      ? `\nEverything adds up`
      : `\n${failed.length} of ${checks.length} checks failed. Again: npm run soak -- --minutes ${minutes} --seed ${seed}`
  )
  return failed.length === 0 ? 0 : 1
}

const parse = () => {
  try {
    const options = { minutes: { type: "string" }, seed: { type: "string" }, json: { type: "string" } } as const
    return parseArgs({ options }).values
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`)
    process.exit(2)
  }
}

/** What is open that was not at the start, once it has had the time to close. */
const leftResources = async (): Promise<ReadonlyArray<string>> => {
  let left: Array<string> = []
  for (let i = 0; i < 30; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    left = process.getActiveResourcesInfo()
    for (const kind of resourcesAtStart) {
      const index = left.indexOf(kind)
      if (index >= 0) left.splice(index, 1)
    }
    if (left.length === 0) break
  }
  return left
}

process.exitCode = await main()

// Does not keep the process alive itself, and so is only there for one that does not end.
setTimeout(() => {
  console.error(`The process did not end by itself: ${process.getActiveResourcesInfo().join(", ")}`)
  process.exit(1)
}, 5000).unref()
