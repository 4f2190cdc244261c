import { defaultServerConditions } from "vite"
import { defineConfig } from "vitest/config"

// Tests import "effect-resilience" from its sources, so they need no build.
const conditions = ["@effect-resilience/source", ...defaultServerConditions]

/**
 * Files whose tests start servers or processes, fake what is global, or take long: each in a process of its own. The others
 * share one, which loads effect once for all of them.
 */
const alone = [
  "test/{admin,cli,dashboard,fuzz,model,testing,tools}/**/*.test.ts",
  "test/combinators/{fakeTimers,interruption}.test.ts",
  "test/types/printedTypes.test.ts",
  "test/{EffectCircuitBreakerHttp,RateLimit}.test.ts"
]
const packageTests = "test/tools/package.test.ts"

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    projects: [
      { extends: true, test: { name: "alone", include: alone, exclude: [packageTests] } },
      {
        extends: true,
        test: {
          name: "together",
          include: ["test/**/*.test.ts"],
          exclude: alone,
          isolate: false,
          setupFiles: ["test/support/freshModules.ts"]
        }
      }
    ],
    silent: "passed-only",
    reporters: process.env["CI_NOTES"] === undefined ? ["default"] : ["default", "./scripts/skippedTests.ts"],
    // No test is about how fast this machine is.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    coverage: { include: ["src/**"] }
  }
})
