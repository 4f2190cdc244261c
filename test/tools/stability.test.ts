import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"

const src = path.resolve(import.meta.dirname, "../../src")

const modules = fs.readdirSync(src, { recursive: true, encoding: "utf8" })
  .map((file) => file.split(path.sep).join("/"))
  .filter((file) => /(?:^|\/)[A-Z]\w*\.ts$/.test(file) && !file.includes("internal/"))

/** The doc comments of a module: its own, and those right above what it exports. */
const documented = (text: string): ReadonlyArray<readonly [comment: string, subject: string]> =>
  Array.from(
    text.matchAll(/^(\/\*\*(?:(?!\*\/)[^])*\*\/)\n(import|export [^\n]*)/gm),
    ([, comment, subject]) => [comment!, subject!] as const
  )

describe("every public module", () => {
  it("is found", () => {
    assert.isAbove(modules.length, 25)
  })

  for (const module of modules) {
    it(`${module} says of each export since when it is there and how stable it is`, () => {
      const text = fs.readFileSync(path.join(src, module), "utf8")
      const exported = new Set(
        Array.from(
          text.matchAll(/^export (?:abstract )?(?:const|class|interface|type|function) (\w+)/gm),
          ([, name]) => name
        )
      )
      const comments = documented(text).filter(([, subject]) => subject.startsWith("export"))
      assert.isAtLeast(comments.length, exported.size)
      for (const [comment, subject] of documented(text)) {
        if (comment.includes("@internal")) continue
        assert.match(comment, /@stability (?:stable|unstable|experimental)\n/, subject)
        assert.match(comment, /@since \d+\.\d+\.\d+\n/, subject)
      }
    })
  }
})
