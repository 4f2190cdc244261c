/** A program with an admin API in a router of its own, that ends as Node programs do. Run by the tests. */
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, Redacted } from "effect"
import { CircuitBreaker, CircuitBreakerRegistry } from "effect-resilience"
import { Admin } from "effect-resilience/admin"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"

// The server waits for its connections for as long as it does by default.
const App = HttpRouter.serve(Admin.layer({ token: Redacted.make("0123456789abcdef-token") }), {
  disableListenLog: true,
  disableLogger: true
}).pipe(
  Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
  Layer.provideMerge(CircuitBreakerRegistry.layer())
)

/** Far more events than sockets hold. */
const program = Effect.gen(function*() {
  const { address } = yield* HttpServer.HttpServer
  const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
  const circuit = yield* registry.getOrCreate("payment-api")
  process.send!("port" in address ? address.port : 0)
  while (true) {
    yield* CircuitBreaker.withNote(circuit.forceOpen(), "x".repeat(50_000))
    yield* circuit.forceClose
    yield* Effect.sleep("1 millis")
  }
})

NodeRuntime.runMain(Effect.provide(program, App))
