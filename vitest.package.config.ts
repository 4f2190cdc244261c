import { defineConfig } from "vitest/config"

// Apart from `npm test` because it installs from the registry.
export default defineConfig({
  test: {
    include: ["test/tools/package.test.ts"],
    hookTimeout: 300_000,
    testTimeout: 180_000
  }
})
