/** What the package adds to a bundle, and to the start of a program: each subpath on its own. */
import * as esbuild from "esbuild"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import { gzipSync } from "node:zlib"
import { summarise } from "../measure.ts"
import { figures, type Group } from "../model.ts"

const root = path.resolve(import.meta.dirname, "../..")
const sources = path.join(root, "src")

/** Every module that can be imported from the package, as `Retry` or `http/Client`. */
const subpaths = (): ReadonlyArray<string> =>
  fs.readdirSync(sources, { recursive: true, encoding: "utf8" })
    .map((file) => file.replaceAll(path.sep, "/"))
    .filter((file) => file.endsWith(".ts") && !/^internal\/|\/internal\/|(^|\/)(index|bin)\.ts$/.test(file))
    .map((file) => file.slice(0, -3))
    .toSorted()

const gzipped = async (code: string, withEffect: boolean): Promise<number> => {
  const { outputFiles } = await esbuild.build({
    stdin: { contents: code, resolveDir: root, loader: "ts" },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "node",
    conditions: ["@effect-resilience/source"],
    plugins: [{
      name: "peers",
      setup: (build) => {
        // Anything but this package, and effect if that is asked for.
        build.onResolve({ filter: /^[^./]/ }, ({ path }) => {
          const inside = path.startsWith("effect-resilience") || (withEffect && /^effect(\/|$)/.test(path))
          return inside ? undefined : { path, external: true }
        })
      }
    }],
    logLevel: "error"
  })
  return gzipSync(outputFiles[0]!.contents, { level: 9 }).length
}

const all = (subpath: string) => `import * as M from "${subpath}"\nglobalThis.M = M`

const programs = {
  "a program of Effect alone": `import * as Effect from "effect/Effect"
    Effect.runPromise(Effect.gen(function*() { yield* Effect.sleep("1 second") }))`,
  "with one circuit": `import * as Effect from "effect/Effect"
    import { CircuitBreaker } from "effect-resilience"
    Effect.runPromise(Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "a" })
      yield* breaker.execute(Effect.sleep("1 second"))
    }))`,
  "with retry and timeout": `import * as Effect from "effect/Effect"
    import { Retry, Timeout } from "effect-resilience"
    Effect.runPromise(Effect.sleep("1 second").pipe(Timeout.withTimeout("2 seconds"), Retry.withRetry()))`,
  "with Effect's own breaker": `import * as Effect from "effect/Effect"
    import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
    Effect.runPromise(Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(5), openDuration: "1 second" })
      yield* breaker.execute(Effect.sleep("1 second"), { key: "a" })
    }).pipe(Effect.scoped, Effect.provide(CircuitBreaker.layerStoreMemory())))`
}

export const size: Group = {
  name: "size",
  cases: [
    figures("subpath, without effect, minified and gzipped", "bytes", async () => {
      const sizes: Record<string, number> = { "effect-resilience": await gzipped(all("effect-resilience"), false) }
      for (const subpath of subpaths()) sizes[subpath] = await gzipped(all(`effect-resilience/${subpath}`), false)
      return sizes
    }, { exact: true }),
    figures("bundle with all it needs of effect, minified and gzipped", "bytes", async () => {
      const sizes: Record<string, number> = {}
      for (const [name, code] of Object.entries(programs)) sizes[name] = await gzipped(code, true)
      sizes["effect-resilience"] = await gzipped(all("effect-resilience"), true)
      for (const subpath of subpaths()) sizes[subpath] = await gzipped(all(`effect-resilience/${subpath}`), true)
      return sizes
    }, { exact: true }),
    figures("import in a new process, with all it needs of effect", "ms", async (plan) => {
      const build = transpile()
      try {
        const modules: Record<string, string> = {
          "effect/Effect alone": "effect/Effect",
          "effect, all of it": "effect",
          "effect-resilience": pathToFileURL(path.join(build, "index.js")).href
        }
        if (!plan.short) {
          for (const subpath of subpaths()) modules[subpath] = pathToFileURL(path.join(build, `${subpath}.js`)).href
        }
        const times = Object.fromEntries(Object.keys(modules).map((name) => [name, [] as Array<number>]))
        for (let round = 0; round < (plan.short ? 3 : 15); round++) {
          for (const [name, module] of Object.entries(modules)) times[name]!.push(importTime(module))
        }
        return Object.fromEntries(Object.entries(times).map(([name, values]) => [name, summarise(values).median]))
      } finally {
        fs.rmSync(build, { recursive: true, force: true })
      }
    }, { exact: true })
  ]
}

/** The sources as JavaScript, where they still find `effect`. */
const transpile = (): string => {
  const build = path.join(root, "node_modules/.cache", `effect-resilience-bench-${process.pid}`)
  esbuild.buildSync({
    entryPoints: [path.join(sources, "**/*.ts")],
    outdir: build,
    outbase: sources,
    format: "esm",
    target: "es2022"
  })
  for (const file of fs.readdirSync(build, { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".js")) continue
    const code = fs.readFileSync(path.join(build, file), "utf8")
    fs.writeFileSync(path.join(build, file), code.replaceAll(/((?:from|import) *"\.[^"]*)\.ts"/g, "$1.js\""))
  }
  fs.writeFileSync(path.join(build, "package.json"), JSON.stringify({ type: "module", sideEffects: false }))
  return build
}

const importTime = (module: string): number =>
  Number(execFileSync(process.execPath, [
    "--input-type=module",
    "--eval",
    `const start = performance.now(); await import(${JSON.stringify(module)}); console.log(performance.now() - start)`
  ], { cwd: root, encoding: "utf8" }))
