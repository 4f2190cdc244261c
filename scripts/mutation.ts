/**
 * Changes the code in every small way that a mutation tool knows, and looks
 * whether a test notices:
 *
 *     npm run mutation                        # all of it, some hours
 *     npm run mutation -- machine window      # the files with these names
 *
 * Each file is tried against the tests that are about it. Writes
 * `reports/mutation/<file>.json`, and exits with 1 if less than 95 % of the
 * mutants of a file are noticed.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")
const reports = path.join(root, "reports/mutation")
const THRESHOLD = 95

/** What is mutated, and the tests that are about it: files, or the folders of them, under test/. */
const targets: Readonly<Record<string, ReadonlyArray<string>>> = {
  "internal/circuit/machine": ["internal/circuit/machine", "circuit"],
  "internal/circuit/window": ["internal/circuit/window", "internal/circuit/machine", "circuit"],
  "internal/circuit/openTime": ["internal/circuit/machine", "circuit"],
  "internal/retry/delay": ["Retry"],
  "internal/retry/account": ["RetryBudget", "Retry"],
  "internal/retry/attempts": ["Retry", "Telemetry", "Timeout", "Tiers"],
  "internal/retry/budget": ["RetryBudget"],
  "internal/retry/policy": ["Retry"],
  "internal/hedge/attempts": ["Hedge", "Telemetry"],
  "internal/hedge/policy": ["Hedge"],
  "internal/bulkhead/size": ["Bulkhead"],
  "internal/bulkhead/slots": ["Bulkhead", "Telemetry"],
  "internal/callback": ["Retry", "Hedge"],
  "internal/circuit/breaker": ["circuit", "internal/circuit/breaker", "CircuitBreakerRegistry", "Telemetry"],
  "internal/circuit/rules": ["internal/circuit/rules", "circuit/openTime"],
  "internal/circuit/snapshot": ["internal/circuit/snapshot", "circuit"],
  "internal/circuit/journal": ["internal/circuit/journal"],
  "internal/circuit/handle": ["circuit", "CircuitBreakerRegistry"],
  "internal/circuit/permit": ["circuit"],
  "internal/circuit/execution": ["circuit"],
  "internal/circuit/probe": ["circuit"],
  "internal/registry/naming": ["CircuitBreakerRegistry", "internal/circuit/breaker"],
  "internal/registry/eviction": ["CircuitBreakerRegistry", "internal/circuit/breaker"],
  "internal/registry/reload": ["CircuitBreakerRegistry"],
  "internal/registry/status": ["CircuitBreakerRegistry"],
  "internal/eventHub": ["internal/eventHub", "circuit", "CircuitBreakerRegistry"],
  "internal/time/alarm": ["internal/time/alarm", "Timeout"],
  "internal/time/limitTime": ["Timeout"],
  "internal/oneStep": ["internal/oneStep"],
  "internal/health/changes": ["internal/health/changes", "HealthMonitor"],
  "internal/health/probe": ["internal/health/probe", "HealthMonitor"],
  "internal/health/reasons": ["internal/health/reasons", "HealthMonitor"],
  "internal/health/report": ["internal/health/report", "HealthReport"],
  "internal/health/runner": ["internal/health/runner", "HealthMonitor"],
  "internal/health/wake": ["internal/health/wake", "HealthMonitor"],
  "internal/telemetry/histogram": ["internal/telemetry/histogram"],
  "internal/telemetry/recorder": ["internal/telemetry/recorder"],
  "internal/tiers/call": ["Tiers", "Telemetry", "internal/telemetry/spans"],
  "internal/tiers/instance": ["internal/tiers/instance"],
  "internal/tiers/pipeline": ["Tiers"],
  "internal/tiers/service": ["Tiers", "internal/tiers/instance"],
  "internal/pipeline/beginning": ["Resilience", "Bulkhead"],
  "internal/pipeline/limits": ["internal/pipeline/limits", "Resilience"],
  "internal/pipeline/order": ["Resilience"],
  "internal/pipeline/stages": ["Resilience", "internal/telemetry/spans"],
  "internal/error/rejection": ["ResilienceError", "circuit", "RateLimit", "Retry", "Tiers"],
  "admin/internal/load": ["admin/load"],
  "internal/words": ["internal/words"],
  "internal/plainText": ["internal/plainText"],
  "internal/answer": ["internal/answer", "Resilience", "Tiers"],
  "internal/circuit/callOptions": [
    "internal/circuit/callOptions",
    "combinators/mistakes",
    "combinators/unknownOptions"
  ],
  "internal/check": ["internal/check", "combinators/mistakes", "combinators/unknownOptions", "fuzz/constructors"],
  "internal/differingSettings": ["internal/differingSettings"],
  "internal/time/durationText": ["internal/time/durationText"],
  "internal/error/errorClass": ["ResilienceError"],
  "internal/retry/failedAttempts": ["Timeout", "Retry"],
  "internal/error/insideError": ["internal/error/insideError", "ResilienceError", "Outcome"],
  "internal/error/notMade": ["ResilienceError", "Outcome", "combinators/notMade"],
  "internal/isolated": ["internal/isolated"],
  "internal/error/lastFailure": ["internal/error/lastFailure"],
  "internal/linkedQueue": ["internal/linkedQueue"],
  "internal/rateLimit/queue": ["internal/rateLimit/queue", "RateLimit"],
  "internal/rateLimit/memory": ["RateLimit"],
  "internal/rateLimit/monotonicStore": ["RateLimit"],
  "internal/rateLimit/rules": ["RateLimit"],
  "internal/rateLimit/store": ["RateLimit"],
  "internal/rateLimit/window": ["internal/rateLimit/window"],
  "internal/serviceNames": ["internal/serviceNames"],
  "internal/target": ["internal/target", "combinators/limits"],
  "internal/circuit/policy": ["CircuitPolicy", "internal/circuit/policy"],
  "internal/circuit/policyText": ["CircuitPolicy"],
  "admin/internal/variables": ["admin/variables", "admin/admin"],
  "internal/environment/decode": ["internal/environment/decode"],
  "internal/environment/fit": ["Environment", "cli/config"],
  "internal/environment/inspect": ["Environment"],
  "internal/environment/levels": ["Environment"],
  "internal/environment/names": ["internal/environment/names"],
  "internal/environment/report": ["internal/environment/report", "admin/config", "cli/config"],
  "internal/environment/synonyms": ["internal/environment/synonyms", "Environment"],
  "internal/error/wireError": ["internal/error/wireError", "ResilienceError"],
  "internal/telemetry/writeLog": ["internal/telemetry/writeLog"],
  "testing/internal/inject": ["testing/internal/inject", "testing/testing"],
  "testing/internal/journal": ["testing/internal/inject", "testing/testing"],
  "testing/internal/plan": ["testing/internal/plan", "testing/testing"],
  "CircuitBreaker": ["circuit"],
  "Bulkhead": ["Bulkhead", "Telemetry"],
  "CircuitBreakerRegistry": ["CircuitBreakerRegistry", "Telemetry"],
  "Fallback": ["Fallback"],
  "Hedge": ["Hedge", "Telemetry"],
  "Outcome": ["Outcome"],
  "RateLimit": ["RateLimit"],
  "Resilience": ["Resilience", "internal/telemetry/spans"],
  "Retry": ["Retry", "Telemetry", "Timeout", "Tiers"],
  "RetryBudget": ["RetryBudget"],
  "Timeout": ["Timeout", "Telemetry"],
  "Tiers": ["Tiers", "Telemetry", "internal/telemetry/spans"]
}

const wanted = process.argv.slice(2)
const chosen = Object.keys(targets).filter((name) =>
  wanted.length === 0 || wanted.some((part) => name.toLowerCase().endsWith(part.toLowerCase()))
)
if (chosen.length === 0) {
  console.error(`No file is called ${wanted.join(" or ")}; there are ${Object.keys(targets).join(", ")}`)
  process.exit(1)
}

const testsAt = (test: string): string => {
  const file = `test/${test}.test.ts`
  return fs.existsSync(path.join(root, file)) ? file : `test/${test}/`
}

interface Mutant {
  readonly status: string
}

fs.mkdirSync(reports, { recursive: true })
let failed = false
for (const name of chosen) {
  const report = path.join(reports, `${name.replace("/", "-")}.json`)
  const config = path.join(reports, "config.json")
  const tests = targets[name]!.map(testsAt).join(" ")
  fs.writeFileSync(
    config,
    JSON.stringify({
      testRunner: "command",
      commandRunner: { command: `vitest run --bail 1 --reporter dot ${tests}` },
      // There is none of this name: the one that there is must not be rewritten.
      tsconfigFile: "none.json",
      timeoutMS: 20_000,
      concurrency: 2,
      ignorePatterns: ["bench", "coverage", "dist", "tools/docs", "reports"],
      tempDirName: ".stryker-tmp",
      reporters: ["json", "progress-append-only"],
      jsonReporter: { fileName: report },
      mutate: [`src/${name}.ts`]
    })
  )
  const { status } = spawnSync("stryker", ["run", config], { cwd: root, stdio: ["ignore", "inherit", "inherit"] })
  if (status !== 0) process.exit(status ?? 1)

  const { files } = JSON.parse(fs.readFileSync(report, "utf8")) as {
    readonly files: Readonly<Record<string, { readonly mutants: ReadonlyArray<Mutant> }>>
  }
  const statuses = Object.values(files).flatMap(({ mutants }) => mutants.map(({ status }) => status))
  const count = (...wanted: ReadonlyArray<string>) => statuses.filter((status) => wanted.includes(status)).length
  const noticed = count("Killed", "Timeout")
  const all = noticed + count("Survived", "NoCoverage")
  const score = 100 * noticed / all
  if (score < THRESHOLD) failed = true
  console.log(`${name}: ${noticed} of ${all} mutants noticed, ${score.toFixed(1)} %`)
}
process.exitCode = failed ? 1 : 0
