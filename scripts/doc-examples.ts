/**
 * Writes the code blocks of the docstrings, README.md and docs/ as modules into .doc-examples/, where tsc checks them
 * and test/tools/docs.test.ts runs the ones marked `import.meta.vitest`.
 *
 * A line of a module has the number it has in its source, so that errors and stacks point there.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { parseAst } from "vitest/node"

const root = path.resolve(import.meta.dirname, "..")
const output = path.join(root, ".doc-examples")

export interface Example {
  /** Where its code begins, as `README.md:40`. */
  readonly location: string
  /** Marked `import.meta.vitest`. */
  readonly runs: boolean
  /** Whether it is a test itself, which asserts in its own way. */
  readonly isTest: boolean
  /** The absolute path of the module. */
  readonly module: string
  /** Where its `// =>` comments are. */
  readonly assertions: ReadonlyArray<string>
  readonly problems: ReadonlyArray<string>
}

interface Block {
  readonly file: string
  readonly line: number
  readonly mark: string
  readonly code: ReadonlyArray<string>
}

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
}

export const generate = (): ReadonlyArray<Example> => {
  const written = new Set<string>()
  const examples = sources()
    .flatMap(blocks)
    .filter((block) => block.mark !== "no-check")
    .map((block) => {
      const module = path.join(output, block.file, `L${block.line}.ts`)
      const { code, ...example } = compile(block, module)
      write(module, code)
      written.add(module)
      return example
    })
  removeOthers(written)
  return examples
}

export const hasSources = (): boolean => find("src", ".ts").length > 0

const find = (directory: string, extension: string): ReadonlyArray<string> =>
  fs.existsSync(path.join(root, directory))
    ? fs.readdirSync(path.join(root, directory), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(extension))
      .map((name) => path.posix.join(directory, name.replaceAll("\\", "/")))
      .toSorted()
    : []

const sources = (): ReadonlyArray<string> => [
  ...find("src", ".ts"),
  ...(fs.existsSync(path.join(root, "README.md")) ? ["README.md"] : []),
  ...find("docs", ".md")
]

const blocks = (file: string): ReadonlyArray<Block> =>
  fences(file, fs.readFileSync(path.join(root, file), "utf8"))
    .filter(({ closed, language }) => closed && language === "ts")
    .map((fence) => ({ file, ...fence }))

/** A fenced block of a page or a docstring. */
export interface Fence {
  readonly language: string
  readonly mark: string
  readonly line: number
  readonly code: ReadonlyArray<string>
  readonly closed: boolean
}

export const fences = (file: string, text: string): ReadonlyArray<Fence> => {
  // A fence in a source file is one only behind the star of a docstring.
  const fence = file.endsWith(".md") ? /^(\s*)```(\S*)\s*(.*)$/ : /^(\s*\* ?\s*)```(\S*)\s*(.*)$/
  const found: Array<Fence> = []
  let open: { prefix: number; language: string; mark: string; line: number; code: Array<string> } | undefined
  const close = (closed: boolean) => {
    if (open !== undefined) {
      const { code, language, line, mark } = open
      found.push({ code, language, line, mark, closed })
    }
    open = undefined
  }
  text.split(/\r?\n/).forEach((text, index) => {
    const match = fence.exec(text)
    if (open === undefined) {
      if (match === null) return
      open = { prefix: match[1]!.length, language: match[2]!, mark: match[3]!.trim(), line: index + 1, code: [] }
    } else if (match === null) {
      open.code.push(text.slice(open.prefix))
    } else {
      close(true)
    }
  })
  close(false)
  return found
}

const compile = (block: Block, module: string): Example & { readonly code: string } => {
  const at = (index: number) => `${block.file}:${block.line + 1 + index}`
  const runs = block.mark === "import.meta.vitest"
  const location = at(0)
  const problems: Array<string> = []
  const assertions: Array<string> = []
  let code = block.code.join("\n")
  const isTest = runs && code.includes("from \"@effect/vitest\"")

  if (!runs && block.mark !== "") {
    problems.push(`${location}: unknown mark "${block.mark}"; known are import.meta.vitest and no-check`)
  }
  if (runs) {
    const statements = parse(code)
    if (statements === undefined) problems.push(`${location}: does not parse`)
    const insertions: Array<Insertion> = []
    for (const { end, expected, index, start } of statements === undefined ? [] : markers(block.code)) {
      const statement = statements?.find((statement) => statement.end === end)
      if (/^\s*[([]/.test(block.code[index]!) && (statement === undefined || statement.start < start)) {
        problems.push(`${at(index)}: a line that begins with ( or [ continues the one above; name the value first`)
      } else if (statement === undefined) {
        problems.push(`${at(index)}: "// =>" must follow an expression statement or \`const name = …\``)
      } else if (parse(`(${expected})`) === undefined) {
        problems.push(`${at(index)}: "${expected}" is not an expression`)
      } else {
        assertions.push(at(index))
        insertions.push(...assertion(statement, at(index), expected))
      }
    }
    if (problems.length === 0 && assertions.length === 0 && !isTest) {
      problems.push(`${location}: has no "// =>" assertion; add one, or mark the block as plain ts`)
    }
    code = insertions
      .toSorted((a, b) => b.offset - a.offset)
      .reduce((code, { offset, text }) => code.slice(0, offset) + text + code.slice(offset), code)
  }

  // Line 1 is always free: a fence stands above the code.
  const library = path.relative(path.dirname(module), path.join(root, "scripts/doc-assert.ts")).replaceAll("\\", "/")
  const header = runs && !isTest ? `import { assertExample as $assert } from "${library}"` : ""
  return { location, runs, isTest, module, assertions, problems, code: `${header}${"\n".repeat(block.line)}${code}\n` }
}

/** The `// => expected` comments, with where their lines begin and the code before them ends. */
const markers = (lines: ReadonlyArray<string>) => {
  let start = 0
  return lines.flatMap((text, index) => {
    const match = /^(.*?)\s*\/\/ =>(.*)$/.exec(text)
    const from = start
    start += text.length + 1
    return match === null ? [] : [{ index, start: from, end: from + match[1]!.length, expected: match[2]!.trim() }]
  })
}

interface Insertion {
  readonly offset: number
  readonly text: string
}

const assertion = (
  { end, subject }: Statement,
  location: string,
  expected: string
): ReadonlyArray<Insertion> =>
  typeof subject === "string"
    ? [{ offset: end, text: `; $assert("${location}", ${subject}, (${expected}))` }]
    : [
      { offset: subject.start, text: `$assert("${location}", (` },
      { offset: subject.end, text: `), (${expected}))` }
    ]

interface Statement {
  readonly start: number
  readonly end: number
  /** What is asserted: a variable, or the expression itself. */
  readonly subject: string | Node
}

/** The statements that can carry an assertion, at any depth. */
const parse = (code: string): ReadonlyArray<Statement> | undefined => {
  const found: Array<Statement> = []
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) return value.forEach(visit)
    if (typeof value !== "object" || value === null) return
    const node = value as Node & Record<string, unknown>
    if (node.type === "ExpressionStatement") {
      found.push({ start: node.start, end: node.end, subject: node["expression"] as Node })
    }
    if (node.type === "VariableDeclaration") {
      const [only, ...others] = node["declarations"] as ReadonlyArray<{ id: { type: string; name: string } }>
      if (only?.id.type === "Identifier" && others.length === 0) {
        found.push({ start: node.start, end: node.end, subject: only.id.name })
      }
    }
    Object.values(node).forEach(visit)
  }
  try {
    visit(parseAst(code, { lang: "ts" }))
    return found
  } catch {
    return undefined
  }
}

// Written only when it changed and removed one by one, so that a check and a test run at the same time do no harm.
const write = (module: string, code: string): void => {
  if (fs.existsSync(module) && fs.readFileSync(module, "utf8") === code) return
  fs.mkdirSync(path.dirname(module), { recursive: true })
  fs.writeFileSync(module, code)
}

const removeOthers = (written: ReadonlySet<string>): void => {
  if (!fs.existsSync(output)) return
  for (const name of fs.readdirSync(output, { recursive: true, encoding: "utf8" })) {
    const module = path.join(output, name)
    if (name.endsWith(".ts") && fs.statSync(module).isFile() && !written.has(module)) fs.rmSync(module)
  }
}

/** How many examples there were last time. */
export interface Counts {
  readonly examples: number
  readonly run: number
}

/** What is wrong if examples have gone, that may only have lost their mark or their fence. */
export const fewer = (now: Counts, before: Counts): ReadonlyArray<string> =>
  (["examples", "run"] as const)
    .filter((kind) => now[kind] < before[kind])
    .map((kind) =>
      `${now[kind]} examples${kind === "run" ? " that are run" : ""}, and last time ${before[kind]}; ` +
      "if they were meant to go, lower the number in scripts/doc-examples.json"
    )

if (import.meta.main) {
  const examples = generate()
  const now: Counts = { examples: examples.length, run: examples.filter((example) => example.runs).length }
  const record = path.join(root, "scripts/doc-examples.json")
  const before: Counts = JSON.parse(fs.readFileSync(record, "utf8"))
  const problems = [...examples.flatMap((example) => example.problems), ...fewer(now, before)]
  for (const problem of problems) console.error(problem)
  console.log(`${now.examples} examples, ${now.run} of them run by the tests`)
  if (problems.length > 0) process.exitCode = 1
  // The number only grows, by itself.
  else if (now.examples > before.examples || now.run > before.run) {
    fs.writeFileSync(record, JSON.stringify(now, null, 2) + "\n")
  }
}
