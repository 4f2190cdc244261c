import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Redacted } from "effect"
import { Admin } from "effect-resilience/admin"

const inspect = (env: Record<string, string>) =>
  Effect.provideService(Admin.inspect, ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))

const TOKEN = "0123456789abcdef"

describe("inspect", () => {
  it.effect("has every setting, and nothing to say of what is right", () =>
    Effect.gen(function*() {
      const { problems, settings, variables } = yield* inspect({
        RESILIENCE_ADMIN_TOKEN: TOKEN,
        RESILIENCE_ADMIN_CHANGES: "no",
        RESILIENCE_ADMIN_READ_ACCESS: "token",
        RESILIENCE_ADMIN_ALLOWED_HOSTS: "a.example.com, b.example.com:8080",
        RESILIENCE_ADMIN_HOST: "0.0.0.0",
        RESILIENCE_ADMIN_PORT: "0"
      })
      assert.deepStrictEqual(problems, [])
      assert.strictEqual(Redacted.value(settings.token!), TOKEN)
      assert.deepStrictEqual({ ...settings, token: undefined }, {
        token: undefined,
        changes: false,
        readAccess: "token",
        allowedHosts: ["a.example.com", "b.example.com:8080"],
        host: "0.0.0.0",
        port: 0
      })
      assert.deepStrictEqual(variables, [
        "RESILIENCE_ADMIN_TOKEN",
        "RESILIENCE_ADMIN_CHANGES",
        "RESILIENCE_ADMIN_READ_ACCESS",
        "RESILIENCE_ADMIN_ALLOWED_HOSTS",
        "RESILIENCE_ADMIN_HOST",
        "RESILIENCE_ADMIN_PORT"
      ])
    }))

  it.effect("has all problems at once, and the defaults in place of what is wrong", () =>
    Effect.gen(function*() {
      const { problems, settings, variables } = yield* inspect({
        RESILIENCE_ADMIN_CHANGES: "perhaps",
        RESILIENCE_ADMIN_READ_ACESS: "token",
        RESILIENCE_ADMIN_HOST: "0.0.0.0",
        RESILIENCE_ADMIN_PORT: "many"
      })
      assert.deepStrictEqual(problems, [
        "RESILIENCE_ADMIN_READ_ACESS is unknown; did you mean RESILIENCE_ADMIN_READ_ACCESS?",
        "RESILIENCE_ADMIN_CHANGES=\"perhaps\" must be true or false",
        "RESILIENCE_ADMIN_TOKEN must be set to 16 or more ASCII characters without spaces, " +
        "unless RESILIENCE_ADMIN_CHANGES is false",
        "RESILIENCE_ADMIN_PORT=\"many\" must be a port from 0 to 65535, 0 for any that is free",
        "RESILIENCE_ADMIN_HOST=\"0.0.0.0\" is not a loopback address such as 127.0.0.1, " +
        "so RESILIENCE_ADMIN_TOKEN must be set"
      ])
      assert.isTrue(settings.changes)
      assert.strictEqual(settings.port, 9700)
      assert.deepStrictEqual(variables, ["RESILIENCE_ADMIN_CHANGES", "RESILIENCE_ADMIN_HOST", "RESILIENCE_ADMIN_PORT"])
    }))

  it.effect("has the defaults where nothing can be read, and says so once", () =>
    Effect.gen(function*() {
      const provider = ConfigProvider.make((path) =>
        path.length === 0
          ? Effect.undefined
          : Effect.fail(new ConfigProvider.SourceError({ message: "the disk is gone" }))
      )
      const { problems, settings } = yield* Effect.provideService(
        Admin.inspect,
        ConfigProvider.ConfigProvider,
        provider
      )
      assert.deepStrictEqual(problems, ["the disk is gone"])
      assert.strictEqual(settings.host, "127.0.0.1")
      assert.isUndefined(settings.token)
    }))
})
