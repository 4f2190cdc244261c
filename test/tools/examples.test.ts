import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")
const examples = fs.readdirSync(path.join(root, "examples"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== "node_modules")
  .map(({ name }) => name)

const read = (file: string): string => fs.readFileSync(path.join(root, file), "utf8")
const manifestOf = (directory: string) => JSON.parse(read(path.join(directory, "package.json")))

/** The modules that the sources in a folder import, each with the file that does. */
const importsOf = (directory: string) =>
  fs.readdirSync(path.join(root, directory), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) =>
      Array.from(
        read(path.join(directory, file)).matchAll(/(?:\bfrom |^import |\bimport\()"([^"]+)"/gm),
        (match) => ({ file: path.join(directory, file), module: match[1]! })
      )
    )

const packageOf = (module: string): string => module.split("/").slice(0, module.startsWith("@") ? 2 : 1).join("/")

describe("the examples", () => {
  it("are there", () => {
    assert.deepStrictEqual(examples, ["demo", "first"])
  })

  for (const name of examples) {
    const directory = path.join("examples", name)

    it(`${name} imports nothing from outside its folder but the packages that it names, all of which it needs`, () => {
      const imports = importsOf(directory)
      const outside = imports.filter(({ file, module }) =>
        module.startsWith(".") && path.relative(directory, path.join(path.dirname(file), module)).startsWith("..")
      )
      const packages = imports.map(({ module }) => module)
        .filter((module) => !module.startsWith(".") && !module.startsWith("node:"))
        .map(packageOf)

      assert.isNotEmpty(imports)
      assert.deepStrictEqual(outside, [])
      assert.deepStrictEqual(
        [...new Set(packages)].toSorted(),
        Object.keys(manifestOf(directory).dependencies).toSorted()
      )
    })

    it(`${name} needs the versions that this repository is tested with`, () => {
      const { dependencies, devDependencies } = manifestOf(directory)
      const { devDependencies: tested, version } = manifestOf(".")

      assert.deepStrictEqual(
        { ...dependencies, ...devDependencies },
        Object.fromEntries(
          Object.keys({ ...dependencies, ...devDependencies })
            .map((name) => [name, name === "effect-resilience" ? `^${version}` : tested[name]])
        )
      )
    })
  }
})

describe("npm run example", () => {
  it("tells how a call fares behind a timeout, a circuit, a retry and a fallback", () => {
    const output = execFileSync(
      process.execPath,
      ["--conditions=@effect-resilience/source", "examples/first/main.ts"],
      { cwd: root, encoding: "utf8" }
    )

    assert.strictEqual(
      output.trim(),
      `
The service works.
  price: 42.10, attempts: 1, circuit: Closed

It fails once: the retry gets the price.
  price: 42.10, attempts: 2, circuit: Closed

It hangs, twice: the timeout ends both attempts, the fallback answers.
  price: 41.00 (yesterday's), attempts: 2, circuit: Closed

It fails again: the third failure in a row opens the circuit, so there is no retry.
  price: 41.00 (yesterday's), attempts: 1, circuit: Open

The circuit is open: the service is left alone, the fallback answers at once.
  price: 41.00 (yesterday's), attempts: 0, circuit: Open

A second later the circuit lets one call through: it succeeds and closes the circuit.
  price: 42.10, attempts: 1, circuit: Closed`.trim()
    )
  })
})
