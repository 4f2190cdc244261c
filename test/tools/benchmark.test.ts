/** The figures in the documents are those of the last full run of the benchmark, and what is claimed of them holds there. */
import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")

interface Report {
  readonly mode: string
  readonly rows: ReadonlyArray<{ readonly what: string; readonly ours: number; readonly unit?: string }>
}

const report: Report = JSON.parse(fs.readFileSync(path.join(root, "bench/results/latest.json"), "utf8"))

describe("the last run of the benchmark", () => {
  it("is a full one, and its figures are those of the documents", () => {
    assert.strictEqual(report.mode, "full")
    execFileSync(process.execPath, [path.join(root, "bench/publish.ts"), "--check"], { stdio: "pipe" })
  })

  // migration: less than 1 ms per call
  it("shows that a call costs less than 1 ms and an idle circuit less than 10 KB", () => {
    const ours = (what: RegExp) => report.rows.filter((row) => what.test(row.what)).map((row) => row.ours)
    const nanos = ours(/^closed circuit|^the same with|^rejection|^retry|^three tiers/)
    const bytes = ours(/^one idle circuit|in one registry, each$/)
    assert.lengthOf(nanos, 9)
    assert.lengthOf(bytes, 2)
    assert.isTrue(nanos.every((cost) => cost > 0 && cost < 1_000_000), nanos.join())
    assert.isTrue(bytes.every((size) => size > 0 && size < 10_000), bytes.join())
  })
})
