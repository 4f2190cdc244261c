import type { Reporter, TestCase, TestModule } from "vitest/node"
import { note } from "./note.ts"

/** The outermost group of a test, whose title says what is missing. */
const groupOf = (test: TestCase): string => {
  let name = test.name
  for (let at = test.parent; at.type === "suite"; at = at.parent) name = at.name
  return name
}

/** Names the tests that were skipped, as most are for want of a program. */
export default class SkippedTests implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>): void {
    const counts = new Map<string, number>()
    for (const test of modules.flatMap((module) => Array.from(module.children.allTests("skipped")))) {
      const group = `${test.module.relativeModuleId}: ${groupOf(test)}`
      counts.set(group, (counts.get(group) ?? 0) + 1)
    }
    for (const [group, count] of counts) note(`skipped ${count} ${count === 1 ? "test" : "tests"} of ${group}`)
  }
}
