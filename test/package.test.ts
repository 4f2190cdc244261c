import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as esbuild from "esbuild"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")
const temporary = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "effect-resilience-")))
const consumer = path.join(temporary, "consumer")
const installed = path.join(consumer, "node_modules/effect-resilience")

let packed: ReadonlyArray<string> = []

beforeAll(() => {
  // Packed from a copy, so that nobody's dist changes under their hands.
  const copy = path.join(temporary, "source")
  const left = new Set(["node_modules", "dist", "coverage", ".git", ".doc-examples"])
  fs.cpSync(root, copy, { recursive: true, filter: (file) => !left.has(path.relative(root, file)) })
  fs.symlinkSync(path.join(root, "node_modules"), path.join(copy, "node_modules"))
  const [tarball] = JSON.parse(run("npm", ["pack", "--json", "--silent", "--pack-destination", temporary], copy))
  packed = tarball.files.map((file: { readonly path: string }) => file.path)

  fs.mkdirSync(consumer)
  fs.writeFileSync(path.join(consumer, "package.json"), JSON.stringify({ private: true, type: "module" }))
  run("npm", ["install", "--no-audit", "--no-fund", path.join(temporary, tarball.filename)], consumer)
})

afterAll(() => fs.rmSync(temporary, { recursive: true, force: true }))

describe("the packed package", () => {
  it("holds the build, its sources and the notices, and nothing else", () => {
    const notices = ["CHANGELOG.md", "LICENSE", "README.md", "package.json"]
    const others = packed.filter((file) =>
      !/^dist\/.+\.(js|d\.ts)(\.map)?$/.test(file) && !/^src\/.+\.ts$/.test(file) && !notices.includes(file)
    )

    assert.deepStrictEqual(others, [])
    assert.includeMembers([...packed], [...notices, "dist/index.js", "dist/index.d.ts", "src/index.ts"])
  })

  it("brings no dependency but its peer effect, and runs nothing when installed", () => {
    const manifest = JSON.parse(fs.readFileSync(path.join(installed, "package.json"), "utf8"))
    const optional = Object.keys(manifest.peerDependenciesMeta ?? {})

    assert.isUndefined(manifest.dependencies)
    assert.isUndefined(manifest.optionalDependencies)
    assert.deepStrictEqual(
      Object.keys(manifest.peerDependencies).filter((name) => !optional.includes(name)),
      ["effect"]
    )
    for (const script of ["preinstall", "install", "postinstall", "prepare"]) {
      assert.notProperty(manifest.scripts, script)
    }
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

  for (const [version, binary] of nodes()) {
    it(`runs on Node ${version}`, () => {
      fs.copyFileSync(path.join(root, "scripts/smoke.mjs"), path.join(consumer, "smoke.mjs"))

      assert.include(node(binary, "smoke.mjs"), `smoke: ok on node ${version}`)
    })
  }

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

function run(command: string, args: ReadonlyArray<string>, cwd: string): string {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
  } catch (error) {
    const { stderr, stdout } = error as { readonly stdout: string; readonly stderr: string }
    throw new Error(`${command} ${args.join(" ")}\n${stdout}${stderr}`, { cause: error })
  }
}

function node(binary: string, ...args: ReadonlyArray<string>): string {
  return run(binary, args, consumer)
}

/** This Node, and the one of the machine where that is another. */
function nodes(): ReadonlyMap<string, string> {
  const found = new Map([[process.version, process.execPath]])
  for (const directory of (process.env["PATH"] ?? "").split(path.delimiter)) {
    const binary = path.join(directory, "node")
    if (directory.includes("node_modules") || !fs.existsSync(binary)) continue
    const version = run(binary, ["--version"], root).trim()
    if (!found.has(version)) found.set(version, binary)
  }
  return found
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
