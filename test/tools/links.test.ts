import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { deadLinks, find, pages, readFile } from "../../scripts/doc-pages.ts"

const root = path.resolve(import.meta.dirname, "../..")
const read = (file: string): string => fs.readFileSync(path.join(root, file), "utf8")

describe("links", () => {
  for (const page of pages) {
    it(`of ${page} lead to files and headings that exist`, () => {
      assert.deepStrictEqual(deadLinks(page, read(page), readFile), [])
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
