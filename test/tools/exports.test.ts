import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as path from "node:path"

const { resolve } = createRequire(import.meta.url)

const src = path.resolve(import.meta.dirname, "../../src")

const modules = fs.readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.slice(0, -".ts".length).replaceAll(path.sep, "/"))

/** Whether Node resolves it by the `exports` of the package, built or not. */
const isExported = (specifier: string): boolean => {
  try {
    resolve(specifier)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ERR_PACKAGE_PATH_NOT_EXPORTED"
  }
}

describe("the exports of the package", () => {
  it("close every internal module, those of the subpaths too", () => {
    const internal = modules.filter((name) => name.split("/").includes("internal"))
    for (const folder of ["internal", "admin/internal", "cli/internal", "testing/internal"]) {
      assert.isTrue(internal.some((name) => name.startsWith(`${folder}/`)), folder)
    }
    assert.deepStrictEqual(internal.filter((name) => isExported(`effect-resilience/${name}`)), [])
  })

  it("offer every other module by its path, a folder by its name, and not what is run", () => {
    const closed = ["bin"]
    const isPublic = (name: string) => !name.split("/").includes("internal") && !closed.includes(name)
    const specifier = (name: string) => path.posix.join("effect-resilience", name.replace(/(^|\/)index$/, ""))
    assert.deepStrictEqual(modules.filter(isPublic).filter((name) => !isExported(specifier(name))), [])
    for (const name of [...closed, ...modules.filter((name) => /(^|\/)index$/.test(name))]) {
      assert.isFalse(isExported(`effect-resilience/${name}`), name)
    }
  })
})
