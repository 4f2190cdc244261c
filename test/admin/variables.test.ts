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

describe("a variable that is unknown", () => {
  const known = "known are RESILIENCE_ADMIN_TOKEN, RESILIENCE_ADMIN_CHANGES, RESILIENCE_ADMIN_READ_ACCESS, " +
    "RESILIENCE_ADMIN_ALLOWED_HOSTS, RESILIENCE_ADMIN_HOST, RESILIENCE_ADMIN_PORT"

  it.effect("is a mistake, however far from a known one", () =>
    Effect.gen(function*() {
      for (
        const name of [
          "RESILIENCE_ADMIN_READ",
          "RESILIENCE_ADMIN_ACCESS",
          "RESILIENCE_ADMIN_READ_ONLY",
          "RESILIENCE_ADMIN_ALLOW_CHANGES",
          "RESILIENCE_ADMIN_NOTHING"
        ]
      ) {
        assert.deepStrictEqual((yield* inspect({ RESILIENCE_ADMIN_TOKEN: TOKEN, [name]: "token" })).problems, [
          `${name} is unknown; ${known}`
        ])
      }
      assert.deepStrictEqual((yield* inspect({ RESILIENCE_ADMIN_TOKEN: TOKEN, RESILIENSE_ADMIN_PORT: "1" })).problems, [
        "RESILIENSE_ADMIN_PORT is unknown; did you mean RESILIENCE_ADMIN_PORT?"
      ])
    }))

  it.effect("is neither one of the command line nor one of another program", () =>
    Effect.gen(function*() {
      const { problems } = yield* inspect({
        RESILIENCE_ADMIN_TOKEN: TOKEN,
        RESILIENCE_ADMIN_URL: "http://127.0.0.1:9700",
        RESILIENCE_ADMIN_BY: "ada",
        RESILIENCE_HOME: "/",
        RESILIENCE_ADMINISTRATOR: "ada"
      })
      assert.deepStrictEqual(problems, [])
    }))
})

describe("a token that is guessed easily", () => {
  const problemsOf = (token: string) =>
    Effect.map(inspect({ RESILIENCE_ADMIN_TOKEN: token }), ({ problems }) => problems)

  it.effect("is refused with one message, which does not show it", () =>
    Effect.gen(function*() {
      for (
        const token of [
          "a".repeat(16),
          "0".repeat(64),
          "abababababababab",
          "aabbccddaabbccdd",
          "8d0f1c538d0f1c53",
          "changemechangeme",
          "change-me-change-me",
          "Password12345678",
          "my-secret-token!",
          "THIS_IS_THE_ADMIN_TOKEN",
          "12345678901234567890",
          "your-token-here-1",
          "effect-resilience-admin"
        ]
      ) {
        const problems = yield* problemsOf(token)
        assert.deepStrictEqual(problems, [
          "RESILIENCE_ADMIN_TOKEN must not be made of well-known words or of a few characters again and again, " +
          "take one of `openssl rand -hex 32`; what is set is not shown"
        ], token)
        assert.throws(
          () => Admin.layer({ token: Redacted.make(token) }),
          RangeError,
          "Admin.layer: token must not be made of well-known words"
        )
      }
    }))

  it.effect("is not one that was drawn at random, with a word before it or without", () =>
    Effect.gen(function*() {
      for (
        const token of [
          TOKEN,
          "8d0f1c53a8e94e2b",
          "admin-8d0f1c53a8e94e2b",
          "5f2b8e0c7a914d3686b1f0e2d4c59a7788e6f1b2c3d4a5968790f1e2d3c4b5a6",
          "k3y!Vq_9zTm#Lw7Rp",
          "c2VjcmV0LXRva2VuLWZvci10ZXN0cw=="
        ]
      ) {
        assert.deepStrictEqual(yield* problemsOf(token), [], token)
      }
    }))
})
