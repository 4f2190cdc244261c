import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")
const read = (file: string): string => fs.readFileSync(path.join(root, file), "utf8")

const find = (directory: string, extension: RegExp): ReadonlyArray<string> =>
  fs.readdirSync(path.join(root, directory), { recursive: true, encoding: "utf8" })
    .filter((file) => extension.test(file) && !file.includes("node_modules"))
    .map((file) => path.posix.join(directory, file.replaceAll("\\", "/")))

const pages = [
  "README.md",
  "CHANGELOG.md",
  ...["bench", "docs", "examples", "test"].flatMap((directory) => find(directory, /\.md$/))
]

const withoutCode = (markdown: string): string => markdown.replaceAll(/^\s*```[^]*?^\s*```$/gm, "")

/** The headings of a page as the fragments of links to them. */
const headingsOf = (markdown: string): ReadonlyArray<string> =>
  Array.from(
    withoutCode(markdown).matchAll(/^#+ (.+)$/gm),
    (match) => match[1]!.toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-")
  )

describe("links", () => {
  for (const page of pages) {
    it(`of ${page} lead to files and headings that exist`, () => {
      const links = Array.from(withoutCode(read(page)).matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)/g))
      const missing = links.flatMap(([link, file, fragment]) => {
        const target = file === "" ? page : path.posix.join(path.posix.dirname(page), file!)
        const found = fs.existsSync(path.join(root, target)) &&
          (fragment === undefined || headingsOf(read(target)).includes(fragment))
        return found ? [] : [link]
      })
      assert.deepStrictEqual(missing, [])
    })
  }

  it("lead from docs/README.md to every page of docs", () => {
    const index = read("docs/README.md")
    const unlisted = pages.filter((page) =>
      page.startsWith("docs/") && page !== "docs/README.md" && !index.includes(`](${page.slice("docs/".length)})`)
    )
    assert.deepStrictEqual(unlisted, [])
  })

  it("name pages that exist where source code and tests mention them", () => {
    const files = ["bench", "examples", "scripts", "src", "test"].flatMap((directory) =>
      find(directory, /\.(?:ts|mjs)$/)
    )
    const missing = files.flatMap((file) =>
      Array.from(read(file).matchAll(/\bdocs\/[\w/.-]+\.(?:md|yml|json|txt)\b/g), ([page]) => page)
        .filter((page) => !fs.existsSync(path.join(root, page)))
        .map((page) => `${file}: ${page}`)
    )
    assert.deepStrictEqual(missing, [])
  })
})
