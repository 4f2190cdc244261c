/**
 * Writes `docs/project/public-surface.txt`: the names and types of every module that the package exports, as the compiler
 * declares them, so that a change of them shows in a diff. With `--check` it only says what differs.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")
const target = path.join(root, "docs/project/public-surface.txt")

const exported: Record<string, unknown> = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8")).exports

/** What an import of the package may name, for a file of `src`; undefined if `exports` closes it. */
const specifier = (module: string): string | undefined => {
  const matches = (pattern: string) => new RegExp(`^${pattern.slice("./".length).replaceAll("*", ".+")}$`).test(module)
  const entry = Object.entries(exported).find(([key, value]) =>
    key !== "./*" && (value as { readonly default?: string } | null)?.default === `./dist/${module}.js`
  )
  if (entry !== undefined) return entry[0].replace(".", "effect-resilience")
  return Object.entries(exported).some(([key, value]) => value === null && matches(key))
    ? undefined
    : `effect-resilience/${module}`
}

/** The type that starts there, up to the bracket that ends its arguments. */
const typeAt = (text: string, start: number): string => {
  let depth = 0
  for (let i = text.indexOf("<", start); i < text.length; i++) {
    if (text[i] === "<") depth++
    if (text[i] === ">" && text[i - 1] !== "=" && --depth === 0) return text.slice(start, i + 1)
  }
  throw new Error(`No end of the type at ${text.slice(start, start + 80)}`)
}

const UNIONS = ["HttpApiEndpoint.HttpApiEndpoint<", "HttpApiGroup.HttpApiGroup<"]

/** The compiler declares an API's endpoints in another order each time it runs: sorts each union of such types. */
const sortUnions = (text: string, type: string): string => {
  let sorted = ""
  let at = 0
  for (let start = text.indexOf(type); start !== -1; start = text.indexOf(type, at)) {
    sorted += text.slice(at, start)
    const members = [typeAt(text, start)]
    at = start + members[0]!.length
    while (text.startsWith(` | ${type}`, at)) {
      members.push(typeAt(text, at + 3))
      at += 3 + members.at(-1)!.length
    }
    sorted += members.toSorted().join(" | ")
  }
  return sorted + text.slice(at)
}

/** The declarations of all modules; undefined if the sources do not compile, of which the compiler has told. */
const declared = (): string | undefined => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "public-surface-"))
  try {
    const compiler = path.join(root, "node_modules/.bin/tsc")
    const options = [
      "--emitDeclarationOnly",
      "--removeComments",
      "--declarationMap",
      "false",
      "--sourceMap",
      "false",
      "--singleThreaded"
    ]
    const { error, status } = spawnSync(
      compiler,
      ["-p", path.join(root, "tsconfig.build.json"), ...options, "--outDir", directory],
      { cwd: root, stdio: ["ignore", "inherit", "inherit"] }
    )
    if (error !== undefined) throw error
    if (status !== 0) return undefined
    return fs.readdirSync(directory, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".d.ts"))
      .map((file) => file.slice(0, -".d.ts".length).split(path.sep).join("/"))
      .toSorted()
      .flatMap((module) => {
        const name = specifier(module)
        if (name === undefined) return []
        const text = fs.readFileSync(path.join(directory, `${module}.d.ts`), "utf8").trim()
        return `==== ${name}\n\n${UNIONS.reduce(sortUnions, text)}\n`
      })
      .join("\n")
  } finally {
    fs.rmSync(directory, { recursive: true })
  }
}

const declarations = declared()
if (declarations === undefined) {
  console.error("The sources do not compile, so that what they export is not known.")
  process.exit(1)
}

const text = `What this package exports, made by \`npm run surface\`. A change of this file is a change for its users:
the changelog says so.

${declarations}`

if (!process.argv.includes("--check")) {
  fs.mkdirSync(path.dirname(target), { recursive: true })
  fs.writeFileSync(target, text)
} else {
  const recorded = fs.existsSync(target) ? fs.readFileSync(target, "utf8") : ""
  if (recorded !== text) {
    const [was, is] = [recorded.split("\n"), text.split("\n")]
    const lines = (sign: string, some: ReadonlyArray<string>, others: ReadonlyArray<string>) => {
      const known = new Set(others)
      return some.filter((line) => !known.has(line)).map((line) => `${sign} ${line}`)
    }
    console.error("The package exports something else than docs/project/public-surface.txt says:")
    const differing = [...lines("-", was, is), ...lines("+", is, was)]
    console.error(differing.length === 0 ? "the same lines, moved" : differing.slice(0, 40).join("\n"))
    console.error("If that is meant, run npm run surface, and say it in the changelog.")
    process.exitCode = 1
  }
}
