import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Option, Redacted } from "effect"
import { CircuitBreakerRegistry } from "effect-resilience"
import { Admin } from "effect-resilience/admin"
import { HttpRouter } from "effect/http"
import { bearer, logged, TOKEN, who } from "./support.ts"

type Registry = CircuitBreakerRegistry.CircuitBreakerRegistry

/** The API without a server, as an edge network or a test runs it. */
const web = (options: Partial<Admin.Options> = {}, change: (registry: Registry) => Partial<Registry> = () => ({})) =>
  Effect.gen(function*() {
    const registry = yield* CircuitBreakerRegistry.make()
    yield* registry.getOrCreate("payment-api")
    const services = yield* Effect.context<never>()
    const routes = Admin.layer({ token: Redacted.make(TOKEN), ...options }).pipe(
      Layer.provide(Layer.succeed(CircuitBreakerRegistry.CircuitBreakerRegistry, { ...registry, ...change(registry) })),
      Layer.provide(Layer.succeedContext(services))
    )
    const { handler } = yield* Effect.acquireRelease(
      Effect.sync(() => HttpRouter.toWebHandler(routes, { disableLogger: true })),
      ({ dispose }) => Effect.promise(() => dispose())
    )
    return (path: string, init?: RequestInit) =>
      Effect.promise(async () => {
        const response = await handler(new Request(`http://localhost${path}`, init))
        const text = await response.text()
        return { status: response.status, json: text.startsWith("{") ? JSON.parse(text) : undefined }
      })
  })

const change = (body: BodyInit): RequestInit => ({
  method: "POST",
  headers: { ...bearer(), "content-type": "application/json" },
  body,
  duplex: "half"
} as RequestInit)

describe("without a socket", () => {
  it.live("nobody is on the same machine, and changes are logged as of somebody unknown", () =>
    logged((lines) =>
      Effect.gen(function*() {
        const ask = yield* web()
        assert.strictEqual((yield* ask("/circuits")).status, 401)
        assert.strictEqual((yield* ask("/circuits", { headers: bearer() })).status, 200)

        const wrong = { ...change(JSON.stringify(who)), headers: { "content-type": "application/json" } }
        assert.strictEqual((yield* ask("/circuits/payment-api/disable", wrong)).status, 401)
        assert.strictEqual((yield* ask("/circuits/payment-api/disable", change(JSON.stringify(who)))).status, 200)

        assert.deepStrictEqual(
          lines.map(({ message, remote_address }) => [message, remote_address]),
          [["admin_change_refused", "unknown"], ["circuit_disabled", "unknown"]]
        )
      })
    ))

  it.live("a body that breaks off is a bad request", () =>
    Effect.gen(function*() {
      const ask = yield* web()
      const broken = new ReadableStream({
        pull(controller) {
          controller.enqueue(new TextEncoder().encode("{\"by\":"))
          controller.error(new Error("connection reset"))
        }
      })
      const { json, status } = yield* ask("/circuits/payment-api/disable", change(broken))
      assert.deepStrictEqual([status, json.message], [400, "body: could not be read"])
    }))
})

describe("without a token", () => {
  it.live("reading is open to whom it is opened, and the configuration says so", () =>
    Effect.gen(function*() {
      const ask = yield* web({ token: undefined, changes: false, readAccess: "anyone" })
      assert.strictEqual((yield* ask("/config")).json.admin.token, "not set")
      // A token that nobody asked for is wrong all the same.
      assert.strictEqual((yield* ask("/circuits", { headers: bearer() })).status, 401)
      assert.strictEqual((yield* ask("/circuits/payment-api/disable", change(JSON.stringify(who)))).status, 403)
    }))
})

describe("a registry of somebody else", () => {
  it.live("that dies, or says what is no number, is an error of the server", () =>
    logged(() =>
      Effect.gen(function*() {
        const dying = yield* web({ readAccess: "anyone" }, () => ({ names: Effect.die("gone") }))
        assert.strictEqual((yield* dying("/circuits")).status, 500)
        const lying = yield* web({ readAccess: "anyone" }, (registry) => ({
          get: (name) =>
            Effect.map(
              registry.get(name),
              Option.map((breaker) => ({
                ...breaker,
                name: breaker.name,
                policy: breaker.policy,
                metrics: Effect.map(breaker.metrics, (metrics) => ({ ...metrics, failureRate: NaN }))
              }))
            )
        }))
        assert.strictEqual((yield* lying("/circuits/payment-api")).status, 500)
        assert.strictEqual((yield* lying("/health/live")).status, 200)
      })
    ))

  it.live("that names what it has forgotten shows the rest", () =>
    Effect.gen(function*() {
      const ask = yield* web({ readAccess: "anyone" }, () => ({ names: Effect.succeed(["gone", "payment-api"]) }))
      const { json } = yield* ask("/circuits")
      assert.deepStrictEqual(json.circuits.map(({ name }: { readonly name: string }) => name), ["payment-api"])
    }))
})

describe("a health source", () => {
  it.live("needs no details", () =>
    Effect.gen(function*() {
      const ask = yield* web({ readAccess: "anyone", health: Effect.succeed({ status: "degraded" }) })
      const { json } = yield* ask("/status")
      assert.deepStrictEqual([json.status, json.checks], ["degraded", null])
    }))

  it.live("that is interrupted is no answer", () =>
    Effect.gen(function*() {
      const ask = yield* web({ readAccess: "anyone", health: Effect.interrupt })
      assert.isAtLeast((yield* ask("/health")).status, 499)
    }))
})

describe("settings that cannot be read", () => {
  it.effect("are a ConfigError", () =>
    Effect.gen(function*() {
      const unreadable = ConfigProvider.make(() =>
        Effect.fail(new ConfigProvider.SourceError({ message: "the vault is sealed" }))
      )
      const error = yield* Layer.build(Admin.layerConfig()).pipe(
        Effect.provide([CircuitBreakerRegistry.layer(), HttpRouter.layer]),
        Effect.provideService(ConfigProvider.ConfigProvider, unreadable),
        Effect.flip,
        Effect.scoped
      )
      assert.include(error.cause.message, "the vault is sealed")
    }))
})
