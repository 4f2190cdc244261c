/** An admin API on a free port, with a thousand circuits. Sends its port to its parent. */
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer, ManagedRuntime } from "effect"
import { CircuitBreakerRegistry } from "effect-resilience"
import { Admin } from "effect-resilience/admin"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"

const runtime = ManagedRuntime.make(
  HttpRouter.serve(Admin.layer({ changes: false }), { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
    Layer.provideMerge(CircuitBreakerRegistry.layer())
  )
)

await runtime.runPromise(Effect.gen(function*() {
  const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
  for (let i = 0; i < 1000; i++) yield* registry.getOrCreate(`circuit-${i}`)
  const { address } = yield* HttpServer.HttpServer
  process.send!("port" in address ? address.port : 0)
}))
