// Uses the built package as plain JavaScript. Imports nothing newer than Node 20 has: node scripts/smoke.mjs
import assert from "node:assert/strict"
import * as Resilience from "effect-resilience"

assert.ok(Object.keys(Resilience).length > 0)
console.log(`smoke: ok on node ${process.version}`)
