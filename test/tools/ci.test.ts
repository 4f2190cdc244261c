import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")

/** Runs steps as `.ci/run` does, and returns its exit code and the lines of its summary. */
const steps = (script: string) => {
  const { status, stdout } = spawnSync("bash", ["-c", `set -euo pipefail\n. .ci/steps.sh\n${script}`], {
    cwd: root,
    encoding: "utf8"
  })
  return { status, summary: stdout.slice(stdout.indexOf("== summary\n")).trim().split("\n").slice(1) }
}

describe("the summary of .ci/run", () => {
  it("has a line for each step, and ends with the counts", () => {
    assert.deepStrictEqual(steps("step one true\nstep \"the other\" echo hello"), {
      status: 0,
      summary: [
        "ok           one (0 s)",
        "ok           the other (0 s)",
        "steps: 2 passed, 0 not checked, 0 failed"
      ]
    })
  })

  it("ends with the step that failed, and with its code", () => {
    assert.deepStrictEqual(steps("step one true\nstep two bash -c 'exit 7'\nstep three true"), {
      status: 7,
      summary: ["ok           one (0 s)", "FAILED       two", "steps: 1 passed, 0 not checked, 1 failed"]
    })
  })

  it("does not call a step ok that has checked nothing, and says why", () => {
    const { status, summary } = steps(
      "step audit bash -c 'echo \"NOT CHECKED: no endpoint\" >> \"$CI_NOTES\"'\nstep one true"
    )

    assert.strictEqual(status, 0)
    assert.deepStrictEqual(summary, [
      "NOT CHECKED  audit (0 s): no endpoint",
      "ok           one (0 s)",
      "steps: 1 passed, 1 not checked, 0 failed"
    ])
  })

  it("names what a step has skipped, also one that failed", () => {
    const skip = "bash -c 'echo \"skipped 2 tests\" >> \"$CI_NOTES\"; exit $0'"

    assert.deepStrictEqual(steps(`step one ${skip} 0\nstep two ${skip} 1`).summary, [
      "ok           one (0 s)",
      "             one: skipped 2 tests",
      "FAILED       two",
      "             two: skipped 2 tests",
      "steps: 1 passed, 0 not checked, 1 failed"
    ])
  })
})

describe("the tests in CI", () => {
  it("are named where they are skipped, with what is missing", () => {
    const project = fs.mkdtempSync(path.join(os.tmpdir(), "skipped-"))
    const notes = path.join(project, "notes")
    fs.writeFileSync(
      path.join(project, "a.test.js"),
      `describe.skip("on Redis, skipped for want of redis-server", () => {
         it("one", () => {})
         describe("deeper", () => it("two", () => {}))
       })
       describe("without", () => it("three", () => {}))`
    )
    const { status, stderr } = spawnSync(
      process.execPath,
      [
        path.join(root, "node_modules/vitest/vitest.mjs"),
        "run",
        "--globals",
        `--root=${project}`,
        `--reporter=${path.join(root, "scripts/skippedTests.ts")}`
      ],
      { cwd: project, encoding: "utf8", env: { ...process.env, CI_NOTES: notes } }
    )
    assert.strictEqual(status, 0, stderr)
    assert.strictEqual(
      fs.readFileSync(notes, "utf8"),
      "skipped 2 tests of a.test.js: on Redis, skipped for want of redis-server\n"
    )
    fs.rmSync(project, { recursive: true })
  }, 60_000)

  it("use the reporter that names them", () => {
    assert.include(fs.readFileSync(path.join(root, "vitest.config.ts"), "utf8"), "./scripts/skippedTests.ts")
  })
})
