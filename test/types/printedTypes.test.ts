import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** The types of the exports, as the compiler writes them, without the paths of modules. */
const printed = (): Record<string, string> => {
  const outDir = mkdtempSync(join(tmpdir(), "printed-types-"))
  try {
    execFileSync("node_modules/.bin/tsc", ["-p", "test/types/printedTypes", "--outDir", outDir], { stdio: "pipe" })
    const text = readFileSync(join(outDir, "test/types/printedTypes/calls.d.ts"), "utf8")
    const types = text.matchAll(/export declare const (\w+): ([^]*?);\n(?=export|declare|$)/g)
    return Object.fromEntries(Array.from(types, ([, name, type]) => [
      name,
      type!.replaceAll(/import\("[^"]*"\)\./g, "").replaceAll(/\s+/g, " ")
    ]))
  } finally {
    rmSync(outDir, { recursive: true })
  }
}

describe("types on hover are written out", () => {
  const types = printed()
  const exhausted = (errors: string) => `(RetryExhaustedError & { readonly lastError: ${errors}; })`
  const timed = "HttpError | NotFound | (CallTimeoutError | CircuitOpenError)"
  const full = "HttpError | NotFound | (BulkheadFullError | CircuitOpenError)"
  const expected: Record<string, string> = {
    usual: `Effect.Effect<string, ${timed} | ${exhausted(timed)}, CircuitBreakerRegistry>`,
    standard: `Effect.Effect<string, ${timed} | ${exhausted(timed)}, CircuitBreakerRegistry>`,
    withFallback: "Effect.Effect<string | number, never, CircuitBreakerRegistry>",
    withAnswers: "Effect.Effect<string | number, NotFound, CircuitBreakerRegistry>",
    withInlinePolicies: `Effect.Effect<string, HttpError | NotFound | ${exhausted("HttpError | NotFound")}, never>`,
    withServices: `(id: number) => Effect.Effect<string, ${full} | ${exhausted(full)}, ` +
      "Budget | CircuitBreakerRegistry | Log | Slots>",
    retried: `Effect.Effect<string, HttpError | NotFound | ${exhausted("HttpError | NotFound")}, never>`
  }

  for (const [name, type] of Object.entries(expected)) {
    it(`of a call: ${name}`, () => {
      assert.strictEqual(types[name], type)
    })
  }

  it("and none is left unchecked", () => {
    assert.deepStrictEqual(Object.keys(types), Object.keys(expected))
  })
})
