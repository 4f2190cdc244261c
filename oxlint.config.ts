import { defineConfig, type OxlintOverride } from "oxlint"

/** Imports that no file of src may have. */
const paths = [
  { name: "effect", message: "Import the one module: import * as Effect from \"effect/Effect\"." },
  { name: "effect-resilience", message: "Import the file: \"./Module.ts\"." }
]

const patterns = [
  { regex: "^effect/[a-z-]+$", message: "Import the one module, such as \"effect/http/HttpClient\"." },
  { regex: "^\\.{1,2}/(.*/)?index\\.ts$", message: "Import the file, not a barrel." },
  { regex: "^(node:|@types/)", message: "src/ runs wherever effect runs; Node belongs to the platform packages." }
]

interface Pattern {
  readonly regex: string
  readonly message: string
  readonly allowTypeImports?: boolean
}

/** What the files of a room may not import, besides what no file of src may. */
const room = (files: string, ...more: ReadonlyArray<Pattern>): OxlintOverride => ({
  files: [files],
  rules: { "no-restricted-imports": ["error", { paths, patterns: [...patterns, ...more] }] }
})

const below = (module: string): Pattern => ({
  regex: `^\\.\\./${module}\\.ts$`,
  allowTypeImports: true,
  message: `${module}.ts stands on this folder.`
})

const otherWings = (...wings: ReadonlyArray<string>): Pattern => ({
  regex: `^(\\.\\./)+(${wings.join("|")})/`,
  message: "No wing stands on another, but for cli, which stands on the public modules of admin."
})

const insideAdmin: Pattern = {
  regex: "^(\\.\\./)+admin/internal/",
  message: "The inside of another wing: import its public modules."
}

export default defineConfig({
  plugins: ["typescript", "import", "oxc", "unicorn"],
  categories: { correctness: "error", suspicious: "error" },
  rules: {
    "import/no-cycle": "error",
    "no-shadow": "off",
    "no-underscore-dangle": "off",
    "unicorn/consistent-function-scoping": "off"
  },
  overrides: [
    {
      files: ["src/**/*.ts"],
      rules: {
        "no-console": "error",
        "typescript/no-explicit-any": "error",
        "no-restricted-globals": [
          "error",
          { name: "Date", message: "Use effect/Clock or effect/DateTime, or take the time as an argument." },
          { name: "setTimeout", message: "Use Effect.sleep." },
          { name: "setInterval", message: "Use Effect.repeat with a Schedule." },
          { name: "setImmediate", message: "Use Effect.yieldNow." }
        ],
        "no-restricted-properties": [
          "error",
          { object: "Math", property: "random", message: "Use effect/Random, or take the number as an argument." },
          { object: "performance", property: "now", message: "Use effect/Clock, or take the time as an argument." }
        ]
      }
    },
    // Rooms and what may not be imported there: see the layout in docs/project/decisions.md. The last that matches a file counts.
    room("src/*.ts", { regex: "^\\./(admin|cli|testing)/", message: "The wings stand above the public modules." }),
    room("src/bin.ts"),
    room("src/internal/**/*.ts", otherWings("admin", "cli", "testing"), {
      // Everything in capitals but ResilienceError.ts, as far as a regular expression without look-ahead can say so.
      regex: "^(\\.\\./)+([A-QS-Z]\\w*|R([^e]\\w*|e[^s]\\w*|esilience([^E]\\w*)?))\\.ts$",
      allowTypeImports: true,
      message:
        "The foundation takes types from the public modules, and values only from ResilienceError.ts: move the " +
        "value to src/internal and export it from there."
    }),
    room("src/admin/**/*.ts", otherWings("cli", "testing")),
    room("src/admin/internal/**/*.ts", otherWings("cli", "testing"), below("Admin")),
    room("src/cli/**/*.ts", otherWings("testing"), insideAdmin),
    room("src/cli/internal/**/*.ts", otherWings("testing"), insideAdmin, below("Cli")),
    room("src/testing/**/*.ts", otherWings("admin", "cli"))
  ]
})
