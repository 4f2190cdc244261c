import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { type Package, unverified } from "../../scripts/lockfile.ts"

const root = path.resolve(import.meta.dirname, "../..")

describe("npm run check:lockfile", () => {
  const one = (entry: Package) => unverified({ "": {}, "node_modules/a": entry })

  it("passes packages with integrity, the project itself and links into it", () => {
    const packages = {
      "": {},
      "tools/node": {},
      "node_modules/own": { link: true, resolved: "tools/node" },
      "node_modules/a": { integrity: "sha512-AAAA", resolved: "https://registry.npmjs.org/a/-/a-1.0.0.tgz" }
    }
    assert.deepStrictEqual(unverified(packages), { wrong: [], elsewhere: [] })
  })

  it("fails on a package without integrity, at any depth", () => {
    assert.deepStrictEqual(one({}).wrong, ["node_modules/a"])
    assert.deepStrictEqual(unverified({ "node_modules/a/node_modules/b": {} }).wrong, ["node_modules/a/node_modules/b"])
    assert.deepStrictEqual(one({ optional: true }).wrong, ["node_modules/a"])
    assert.deepStrictEqual(one({ optional: true, os: ["linux"], cpu: ["x64"] }).wrong, ["node_modules/a"])
    assert.deepStrictEqual(one({ optional: true, os: ["darwin"], cpu: ["x64"], resolved: "https://a" }).wrong, [
      "node_modules/a"
    ])
  })

  it("only says which packages of other platforms the registry did not serve", () => {
    assert.deepStrictEqual(one({ optional: true, os: ["darwin"], cpu: ["arm64"] }), {
      wrong: [],
      elsewhere: ["node_modules/a"]
    })
  })

  it("passes here", () => {
    assert.match(
      execFileSync(process.execPath, [path.join(root, "scripts/lockfile.ts")], { encoding: "utf8" }),
      /^lockfile: \d{3} packages/
    )
  })
})

/** Whether a version is in a range of `engines`, of the forms that packages write there. */
const accepts = (range: string, version: string): boolean => {
  const numbers = (text: string) => text.split(".").map(Number)
  const [major, minor = 0, patch = 0] = numbers(version)
  const compare = ([a = 0, b = 0, c = 0]: ReadonlyArray<number>) => major! - a || minor - b || patch - c
  return range.replaceAll(/\.[x*]/g, "").split("||").map((part) => part.trim()).some((part) => {
    if (part === "*") return true
    const match = /^(>=|\^|~|>)? ?v?(\d[\d.]*)(?: .*)?$/.exec(part)
    if (match === null) throw new Error(`cannot read the range "${range}"`)
    const least = numbers(match[2]!)
    return match[1] === ">=" || match[1] === ">"
      ? compare(least) >= 0
      : match[1] === "~"
      ? least[0] === major && least[1] === minor && compare(least) >= 0
      : least[0] === major && compare(least) >= 0
  })
}

describe("npm ci on the versions of Node that the README names for development", () => {
  const { packages } = JSON.parse(fs.readFileSync(path.join(root, "package-lock.json"), "utf8"))
  const engines = (Object.entries(packages) as ReadonlyArray<readonly [string, { engines?: { node?: string } }]>)
    .flatMap(([name, { engines }]) => engines?.node === undefined ? [] : [[name, engines.node] as const])
  const refused = (version: string) => engines.filter(([, range]) => !accepts(range, version)).map(([name]) => name)

  it("has no package that asks for another", () => {
    const named = /With Node (\d+\.\d+) or later of that line, or Node (\d+)/.exec(
      fs.readFileSync(path.join(root, "README.md"), "utf8").replaceAll(/\s+/g, " ")
    )
    assert.isNotNull(named, "the README does not name them")
    for (const version of named!.slice(1)) assert.deepStrictEqual(refused(version!), [], version)
  })

  it("is not so for Node 20, as the README says", () => {
    assert.includeMembers([...refused("20.20.2")], ["node_modules/vitest", "node_modules/opossum"])
    assert.include(fs.readFileSync(path.join(root, "README.md"), "utf8"), "EBADENGINE")
  })
})
