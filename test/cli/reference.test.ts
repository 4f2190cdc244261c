/** The reference in docs/operations/command-line.md, and what the command line itself says that it takes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { run } from "./support.ts"

const root = path.resolve(import.meta.dirname, "../..")
const page = fs.readFileSync(path.join(root, "docs/operations/command-line.md"), "utf8")
const module = fs.readFileSync(path.join(root, "src/cli/Cli.ts"), "utf8")

const unique = (words: ReadonlyArray<string>) => Array.from(new Set(words)).toSorted()
const flagsIn = (text: string) => unique(Array.from(text.matchAll(/--[a-z-]+/g), ([flag]) => flag))

// -----------------------------------------------------------------------------
// what is said there
// -----------------------------------------------------------------------------

/** The rows of the table whose first column has that title, without the title. */
const rows = (text: string, title: string) =>
  text.slice(text.indexOf(`| ${title} |`)).split("\n\n")[0]!.split("\n").slice(2)

interface Usage {
  readonly command: string
  readonly arguments: ReadonlyArray<string>
  readonly flags: ReadonlyArray<string>
}

/** A row such as "`status [name]` | all circuits; `--state open` shows some". */
const usageOf = (row: string): Usage => {
  const forms = Array.from(row.split(" | ")[0]!.matchAll(/`(.+?)`/g), ([, form]) => form!.split(" "))
  const words = forms.flatMap((form) => form.slice(1)).filter((word) => !word.startsWith("--"))
  return {
    command: unique(forms.map(([command]) => command!)).join(),
    arguments: unique(words.map((word) => word.replace(/^\[(.*)\]$/, "$1"))),
    flags: flagsIn(row)
  }
}

const reference = page.slice(page.indexOf("## Reference"))
const documented = rows(reference, "command").map(usageOf)
/** Flags of several commands or of all, which the second table has. */
const shared = flagsIn(rows(reference, "option").map((row) => row.split(" | ")[0]).join("\n"))

// -----------------------------------------------------------------------------
// what there is
// -----------------------------------------------------------------------------

const help = Effect.fnUntraced(function*(...command: ReadonlyArray<string>) {
  const { stdout } = yield* run([...command, "--help"])
  /** The first words of the lines of a section. */
  return (title: string) => {
    const section = new RegExp(`^${title}\n((?:  .*\n)*)`, "m").exec(stdout)?.[1] ?? ""
    return Array.from(section.matchAll(/^  (\S+?),? /gm), ([, word]) => word!)
  }
})

const commands = Effect.map(help(), (root) => root("SUBCOMMANDS"))

const usage = Effect.fnUntraced(function*(command: string) {
  const section = yield* help(command)
  return { command, arguments: unique(section("ARGUMENTS")), flags: unique(section("FLAGS")) }
})

describe("the reference of the command line", () => {
  it.live("has every command with its arguments and flags, in their order, and no others", () =>
    Effect.gen(function*() {
      const usages = yield* Effect.forEach(yield* commands, usage)
      assert.isNotEmpty(usages)
      const own = usages.map((each) => ({ ...each, flags: each.flags.filter((flag) => !shared.includes(flag)) }))
      assert.deepStrictEqual(documented, own)
    }))

  it.live("has every option that several commands take, and no others", () =>
    Effect.gen(function*() {
      const usages = yield* Effect.forEach(yield* commands, usage)
      const flags = usages.flatMap((each) => each.flags)
      const several = flags.filter((flag, index) => flags.indexOf(flag) < index)
      const ofAll = (yield* help())("GLOBAL FLAGS")
      assert.deepStrictEqual(shared, unique([...ofAll, ...several]))
    }))

  it.live("of the module has every command, in their order, and no others", () =>
    Effect.gen(function*() {
      const listed = rows(module.replaceAll(/^ \* ?/gm, ""), "command").map((row) => usageOf(row).command)
      assert.deepStrictEqual(listed, yield* commands)
    }))
})
