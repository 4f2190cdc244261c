import { assert, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterEach } from "vitest"

const root = path.resolve(import.meta.dirname, "../..")

let project: string | undefined
afterEach(() => {
  if (project !== undefined) fs.rmSync(project, { recursive: true })
})

/** Runs the script in a package of one module. */
const run = (module: string, ...args: ReadonlyArray<string>) => {
  project = fs.mkdtempSync(path.join(os.tmpdir(), "surface-test-"))
  const write = (file: string, text: string) => {
    fs.mkdirSync(path.dirname(path.join(project!, file)), { recursive: true })
    fs.writeFileSync(path.join(project!, file), text)
  }
  write("package.json", JSON.stringify({ type: "module", exports: { "./*": { default: "./dist/*.js" } } }))
  write(
    "tsconfig.build.json",
    JSON.stringify({
      compilerOptions: { strict: true, declaration: true, rootDir: "src", types: [], noEmitOnError: true },
      include: ["src"]
    })
  )
  write("src/Module.ts", module)
  write("scripts/public-surface.ts", fs.readFileSync(path.join(root, "scripts/public-surface.ts"), "utf8"))
  fs.symlinkSync(path.join(root, "node_modules"), path.join(project, "node_modules"))
  const { status, stderr, stdout } = spawnSync(process.execPath, ["scripts/public-surface.ts", ...args], {
    cwd: project,
    encoding: "utf8"
  })
  const recorded = path.join(project, "docs/project/public-surface.txt")
  return { status, output: stdout + stderr, recorded: fs.existsSync(recorded) ? fs.readFileSync(recorded, "utf8") : "" }
}

it("the public surface has the declarations of the modules", { timeout: 60_000 }, () => {
  const { output, recorded, status } = run("export const answer: number = 42")
  assert.strictEqual(output, "")
  assert.strictEqual(status, 0)
  assert.include(recorded, "==== effect-resilience/Module\n\nexport declare const answer: number;")
})

for (const args of [[], ["--check"]]) {
  it(`sources that do not compile are told of by the compiler alone (${["surface", ...args].join(" ")})`, {
    timeout: 60_000
  }, () => {
    const { output, recorded, status } = run("export const answer: number = \"x\"", ...args)
    assert.deepStrictEqual(output.trimEnd().split("\n"), [
      "src/Module.ts(1,14): error TS2322: Type 'string' is not assignable to type 'number'.",
      "The sources do not compile, so that what they export is not known."
    ])
    assert.strictEqual(status, 1)
    assert.strictEqual(recorded, "")
  })
}
