/**
 * Proves an installation: packs the package, installs it in an empty folder beside effect, and uses it there as plain
 * JavaScript, with the Node that runs this.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")
const temporary = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "effect-resilience-smoke-")))
const project = path.join(temporary, "project")

const run = (command: string, args: ReadonlyArray<string>, cwd: string): string =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim()

const step = (title: string, work: () => string): void => {
  const start = performance.now()
  const result = work()
  console.log(`${title} (${((performance.now() - start) / 1000).toFixed(1)} s): ${result}`)
}

const script = (name: string) => () => {
  fs.copyFileSync(path.join(root, "scripts", name), path.join(project, name))
  return run(process.execPath, [name], project)
}

try {
  let tarball = ""
  fs.mkdirSync(project)
  fs.writeFileSync(path.join(project, "package.json"), JSON.stringify({ private: true, type: "module" }))
  step("packed", () => {
    const [{ filename, size }] = JSON.parse(
      run("npm", ["pack", "--json", "--silent", "--pack-destination", temporary], root)
    )
    tarball = path.join(temporary, filename)
    return `${filename}, ${Math.round(size / 1024)} KiB`
  })
  step("installed", () => {
    const { devDependencies } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"))
    const peers = ["effect", "@effect/platform-node"].map((name) => `${name}@${devDependencies[name]}`)
    run(
      "npm",
      ["install", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error", tarball, ...peers],
      project
    )
    return ["effect-resilience", ...peers].join(", ")
  })
  step("a circuit", script("smoke.mjs"))
  step(
    "the command line",
    () =>
      run(process.execPath, [path.join(project, "node_modules/effect-resilience/dist/bin.js"), "--version"], project)
  )
  step("the admin page", script("smokeAdmin.mjs"))
  console.log("smoke: ok")
} finally {
  fs.rmSync(temporary, { recursive: true, force: true })
}
