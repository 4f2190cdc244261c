import { defaultServerConditions } from "vite"
import { defineConfig } from "vitest/config"

// Tests import "effect-resilience" from its sources, so they need no build.
const conditions = ["@effect-resilience/source", ...defaultServerConditions]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/tools/package.test.ts"],
    silent: "passed-only",
    // No test is about how fast this machine is.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    coverage: { include: ["src/**"] }
  }
})
