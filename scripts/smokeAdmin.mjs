// Starts the admin API of the installed package on a free port, and looks at its page: node smokeAdmin.mjs
import { randomBytes } from "node:crypto"
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { CircuitBreaker, CircuitBreakerRegistry } from "effect-resilience"
import { Admin } from "effect-resilience/admin"
import { HttpServer } from "effect/http"
import assert from "node:assert/strict"
import { createServer } from "node:http"

process.env.RESILIENCE_ADMIN_TOKEN ??= randomBytes(32).toString("hex")

const program = Effect.gen(function*() {
  const { address } = yield* HttpServer.HttpServer
  const url = `http://127.0.0.1:${address.port}`
  yield* CircuitBreaker.withCircuitBreaker(Effect.void, "smoke")

  const page = yield* Effect.promise(() => fetch(`${url}/dashboard`))
  assert.equal(page.status, 200)
  assert.match(yield* Effect.promise(() => page.text()), /^<!doctype html>/)

  const circuits = yield* Effect.promise(() => fetch(`${url}/circuits`).then((response) => response.json()))
  assert.deepEqual(circuits.circuits.map(({ name }) => name), ["smoke"])
  console.log(`smoke: the page answers at ${url}/dashboard`)
})

const server = Layer.provideMerge(
  Admin.serve(),
  NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: "100 millis" })
)
await Effect.runPromise(program.pipe(Effect.provide(Layer.provideMerge(server, CircuitBreakerRegistry.layer()))))
