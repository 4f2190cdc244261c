import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { CircuitBreakerRegistry } from "effect-resilience"
import * as EffectCircuitBreaker from "effect-resilience/EffectCircuitBreaker"
import { FetchHttpClient, HttpClient } from "effect/http"
import { CircuitBreaker } from "effect/persistence"
import { TestClock } from "effect/testing"
import * as http from "node:http"
import { freePort } from "../scripts/freePort.ts"

/** A server that answers with the status it is told, and can be stopped and started again on its port. */
const makeServer = Effect.gen(function*() {
  let status = 200
  const port = yield* freePort
  let server: http.Server | undefined
  let requests = 0
  const start = Effect.promise(() =>
    new Promise<void>((resolve) => {
      server = http.createServer((_, response) => {
        requests++
        response.writeHead(status).end()
      }).listen(port, "127.0.0.1", resolve)
    })
  )
  const stop = Effect.promise(() =>
    new Promise<void>((resolve) => {
      server!.close(() => resolve())
      server!.closeAllConnections()
    })
  )
  yield* Effect.acquireRelease(start, () => Effect.ignoreCause(stop))
  return {
    start,
    stop,
    url: `http://127.0.0.1:${port}`,
    requests: () => requests,
    answer: (next: number) => {
      status = next
    }
  }
})

const options = { tripPolicy: CircuitBreaker.consecutive(2), openDuration: "10 seconds" } as const

const layers = {
  "effect/persistence/CircuitBreaker": CircuitBreaker.layer(options).pipe(
    Layer.provide(CircuitBreaker.layerStoreMemory())
  ),
  EffectCircuitBreaker: EffectCircuitBreaker.layer(options).pipe(Layer.provide(CircuitBreakerRegistry.layer()))
}

describe("HttpClient.withCircuitBreaker against a real server", () => {
  for (const [name, layer] of Object.entries(layers)) {
    it.effect(`opens while it is down or answers 503, spares it meanwhile, and closes when it is back, on ${name}`, () =>
      Effect.gen(function*() {
        const server = yield* makeServer
        const breaker = yield* CircuitBreaker.CircuitBreaker
        const client = (yield* HttpClient.HttpClient).pipe(HttpClient.withCircuitBreaker({ breaker }))
        const get = Effect.exit(client.get(`${server.url}/quotes`))
        const state = Effect.map(breaker.state(server.url), ({ _tag }) => _tag)

        server.answer(503)
        yield* get
        yield* get
        assert.strictEqual(yield* state, "Open")
        const rejected = yield* Effect.flip(client.get(server.url))
        assert.strictEqual(rejected._tag, "CircuitBreakerError")
        assert.strictEqual(server.requests(), 2)

        yield* TestClock.adjust("10 seconds")
        server.answer(404)
        yield* get
        assert.strictEqual(yield* state, "Closed")

        yield* server.stop
        yield* get
        yield* get
        assert.strictEqual(yield* state, "Open")

        yield* TestClock.adjust("20 seconds")
        server.answer(200)
        yield* server.start
        assert.strictEqual((yield* client.get(server.url)).status, 200)
        assert.strictEqual(yield* state, "Closed")
      }).pipe(Effect.provide([layer, FetchHttpClient.layer])))
  }
})
