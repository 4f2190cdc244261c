import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import * as path from "node:path"
import { fences, fewer } from "../../scripts/doc-examples.ts"
import { deadLinks, unknownFences, unknownScripts } from "../../scripts/doc-pages.ts"

describe("npm run check:docs", () => {
  const files: Record<string, string> = { "pages/a.md": "# A b\n## What `it` is: 1\n", "src/x.ts": "" }
  const dead = (markdown: string) => deadLinks("pages/page.md", `# Page\n${markdown}`, (file) => files[file])

  it("finds a link to a file that does not exist", () => {
    assert.deepStrictEqual(dead("[a](a.md), [x](../src/x.ts), [other site](https://example.com/nothing)"), [])
    assert.deepStrictEqual(dead("[gone](gone.md)"), ["pages/page.md: (gone.md) leads to no file"])
    assert.deepStrictEqual(dead("![gone](../images/gone.png)"), [
      "pages/page.md: (../images/gone.png) leads to no file"
    ])
  })

  it("finds a link to a heading that does not exist, on the same page too", () => {
    files["pages/page.md"] = "# Page\n"
    assert.deepStrictEqual(dead("[a](a.md#what-it-is-1), [here](#page)"), [])
    assert.deepStrictEqual(dead("[a](a.md#gone)"), ["pages/page.md: (a.md#gone) leads to no heading"])
    assert.deepStrictEqual(dead("[here](#gone)"), ["pages/page.md: (#gone) leads to no heading"])
  })

  it("takes no code for a link", () => {
    assert.deepStrictEqual(dead("```ts\nconst a = [1](gone.md)\n```"), [])
  })

  it("finds an npm script that does not exist, with options before its name too", () => {
    const unknown = (text: string) => unknownScripts("page.md", text, ["check:docs", "demo"])

    assert.deepStrictEqual(unknown("`npm run check:docs`, `npm run --if-present demo -- --quick`, npm run 3"), [])
    assert.deepStrictEqual(unknown("npm run check:doc"), [`page.md: there is no npm script "check:doc"`])
    assert.deepStrictEqual(unknown("npm run -s demos -- --quick"), [`page.md: there is no npm script "demos"`])
  })

  it("finds a fence of a language that nothing checks, without one, of tildes, or without an end", () => {
    assert.deepStrictEqual(unknownFences("page.md", "```ts import.meta.vitest\n1 // => 1\n```\n"), [])
    for (
      const [text, problem] of [
        ["```tsx\n1\n```", /^page\.md:1: a fence of "tsx"; known are/],
        ["text\n\n```typescript\n1\n```", /^page\.md:3: a fence of "typescript"/],
        ["```\n1\n```", /^page\.md:1: a fence of ""/],
        ["~~~ts\n1\n~~~", /^page\.md:1: a fence of ~~~/],
        ["```ts\n1\n", /^page\.md:1: a fence that is not closed/]
      ] as const
    ) {
      assert.match(unknownFences("page.md", text)[0]!, problem)
    }
    assert.match(unknownFences("src/a.ts", "/**\n * ```js\n * 1\n * ```\n */")[0]!, /^src\/a\.ts:2: a fence of "js"/)
    assert.deepStrictEqual(unknownFences("src/a.ts", "const a = `\n```js\n`"), [])
  })

  it("finds that there are fewer examples than last time, or fewer that run", () => {
    const before = { examples: 3, run: 2 }

    assert.deepStrictEqual(fewer(before, before), [])
    assert.deepStrictEqual(fewer({ examples: 4, run: 3 }, before), [])
    assert.match(fewer({ examples: 2, run: 2 }, before)[0]!, /^2 examples, and last time 3;/)
    assert.match(fewer({ examples: 3, run: 1 }, before)[0]!, /^1 examples that are run, and last time 2;/)
  })

  it("reads an example as it is written, without the star of its docstring", () => {
    const [example] = fences("src/a.ts", "/**\n * ```ts no-check\n *   a\n * ```\n */")
    assert.deepStrictEqual(example, { language: "ts", mark: "no-check", line: 2, code: ["  a"], closed: true })
  })

  it("passes here", () => {
    execFileSync(process.execPath, [path.resolve(import.meta.dirname, "../../scripts/doc-pages.ts")], {
      stdio: ["ignore", "ignore", "inherit"]
    })
  })
})
