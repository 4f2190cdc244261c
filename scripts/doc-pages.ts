/**
 * Fails on what is wrong in the pages: links and headings that lead nowhere, npm scripts that do not exist, and code
 * fences that nothing recognises. Those of docstrings are checked as well.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { fences } from "./doc-examples.ts"

const root = path.resolve(import.meta.dirname, "..")

export const find = (directory: string, extension: RegExp): ReadonlyArray<string> =>
  fs.readdirSync(path.join(root, directory), { recursive: true, encoding: "utf8" })
    .filter((file) => extension.test(file) && !file.includes("node_modules"))
    .map((file) => path.posix.join(directory, file.replaceAll("\\", "/")))
    .toSorted()

export const pages: ReadonlyArray<string> = [
  "README.md",
  "CHANGELOG.md",
  ...["bench", "docs", "examples", "test"].flatMap((directory) => find(directory, /\.md$/))
]

// -----------------------------------------------------------------------------
// links
// -----------------------------------------------------------------------------

const withoutCode = (markdown: string): string => markdown.replaceAll(/^\s*```[^]*?^\s*```$/gm, "")

/** The headings of a page as the fragments of links to them. */
const headingsOf = (markdown: string): ReadonlyArray<string> =>
  Array.from(
    withoutCode(markdown).matchAll(/^#+ (.+)$/gm),
    (match) => match[1]!.toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-")
  )

export interface Link {
  /** As it is written. */
  readonly text: string
  /** From the root of the repository. */
  readonly file: string
  readonly fragment: string | undefined
}

/** The links of a page to files and headings, those to other sites left out. */
export const linksOf = (page: string, markdown: string): ReadonlyArray<Link> =>
  Array.from(
    withoutCode(markdown).matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)/g),
    ([text, file, fragment]) => ({
      text,
      file: file === "" ? page : path.posix.join(path.posix.dirname(page), file!),
      fragment
    })
  )

/** `read` gives the text of a file or folder, or nothing if there is none. */
export const deadLinks = (
  page: string,
  markdown: string,
  read: (file: string) => string | undefined
): ReadonlyArray<string> =>
  linksOf(page, markdown).flatMap(({ file, fragment, text }) => {
    const target = read(file)
    if (target === undefined) return [`${page}: ${text.slice(1)} leads to no file`]
    return fragment === undefined || headingsOf(target).includes(fragment)
      ? []
      : [`${page}: ${text.slice(1)} leads to no heading`]
  })

/** Reads the files of a folder: the empty text of folders in it, `undefined` of what is not there. */
export const readerOf = (folder: string) => (file: string): string | undefined => {
  const absolute = path.join(folder, file)
  return !fs.existsSync(absolute)
    ? undefined
    : fs.statSync(absolute).isDirectory()
    ? ""
    : fs.readFileSync(absolute, "utf8")
}

export const readFile = readerOf(root)

// -----------------------------------------------------------------------------
// npm scripts
// -----------------------------------------------------------------------------

/** The names of npm scripts in a text that are none of these. */
export const unknownScripts = (file: string, text: string, scripts: ReadonlyArray<string>): ReadonlyArray<string> =>
  Array.from(text.matchAll(/\bnpm run(?:-script)?((?: --?[\w-]+)*) ([a-z][\w:-]*)/g), (match) => match[2]!)
    .filter((name) => !scripts.includes(name))
    .map((name) => `${file}: there is no npm script "${name}"`)

const scriptsOf = (file: string): ReadonlyArray<string> => Object.keys(JSON.parse(readFile(file)!).scripts ?? {})

// -----------------------------------------------------------------------------
// fences
// -----------------------------------------------------------------------------

const languages = ["json", "promql", "sh", "text", "ts", "yaml"]

/** A fence of another language would pass by the checks of examples. */
export const unknownFences = (file: string, text: string): ReadonlyArray<string> => [
  ...fences(file, text).flatMap(({ closed, language, line }) => [
    ...languages.includes(language)
      ? []
      : [`${file}:${line}: a fence of "${language}"; known are ${languages.join(", ")}`],
    ...closed ? [] : [`${file}:${line}: a fence that is not closed`]
  ]),
  ...text.split("\n").flatMap((line, index) =>
    /^\s*(?:\* ?)?~~~/.test(line) ? [`${file}:${index + 1}: a fence of ~~~; write \`\`\``] : []
  )
]

if (import.meta.main) {
  const own = scriptsOf("package.json")
  const examples = find("examples", /^package\.json$|\/package\.json$/).flatMap(scriptsOf)
  const problems = [
    ...pages.flatMap((page) => {
      const text = readFile(page)!
      return [
        ...deadLinks(page, text, readFile),
        ...unknownScripts(page, text, [...own, ...examples]),
        ...unknownFences(page, text)
      ]
    }),
    ...find("src", /\.ts$/).flatMap((file) => unknownFences(file, readFile(file)!)),
    ...[".ci/run", "package.json"].flatMap((file) => unknownScripts(file, readFile(file)!, own))
  ]
  for (const problem of problems) console.error(problem)
  console.log(
    `${pages.length} pages: ${problems.length === 0 ? "links, npm scripts and fences are right" : "see above"}`
  )
  if (problems.length > 0) process.exitCode = 1
}
