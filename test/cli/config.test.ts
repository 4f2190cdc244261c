import { assert, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Schema } from "effect"
import { CircuitPolicy, Environment } from "effect-resilience"
import { effectiveConfig } from "../../src/admin/internal/config.ts"
import { valueOf } from "../../src/cli/internal/config.ts"

const between = (minimum: number, maximum: number) => Schema.Finite.check(Schema.isBetween({ minimum, maximum }))

const count = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 1, maximum }))

const optional = <S extends Schema.Top>(schema: S) => Schema.Union([schema, Schema.Undefined])

/** Any policy that variables can say. */
const Policies = Schema.Struct({
  consecutiveFailures: optional(count(1_000_000)),
  failureRate: optional(between(0, 1)),
  slow: optional(Schema.Struct({ rate: between(0, 1), millis: between(1, 3_600_000) })),
  minimumCalls: optional(count(5)),
  calls: optional(Schema.Int.check(Schema.isBetween({ minimum: 5, maximum: 1_000_000 }))),
  window: between(0.001, 86_400),
  open: between(0.002, 86_400),
  growing: Schema.Boolean,
  multiplier: between(1, 100),
  halfOpenMaxCalls: optional(count(10_000)),
  halfOpenTimeout: optional(between(0.001, 86_400)),
  successThreshold: optional(count(10_000))
})

const policyOf = (any: typeof Policies.Type) =>
  CircuitPolicy.make({
    consecutiveFailures: any.consecutiveFailures,
    failureRate: any.failureRate,
    slowCallRate: any.slow?.rate,
    slowCallDuration: any.slow === undefined ? undefined : Duration.millis(any.slow.millis),
    minimumCalls: any.minimumCalls,
    window: any.calls === undefined ? { duration: Duration.seconds(any.window) } : { calls: any.calls },
    openDuration: any.growing
      ? CircuitPolicy.exponential({
        initial: Duration.seconds(any.open / 2),
        multiplier: any.multiplier,
        maximum: Duration.seconds(any.open)
      })
      : Duration.seconds(any.open),
    halfOpenMaxCalls: any.halfOpenMaxCalls,
    halfOpenTimeout: any.halfOpenTimeout === undefined ? Duration.infinity : Duration.seconds(any.halfOpenTimeout),
    successThreshold: any.successThreshold
  })

const load = (env: Record<string, string>) =>
  Environment.load({ circuits: { a: undefined } }).pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
  )

it.effect.prop(
  "the settings that the command line and the admin API show can be set, and make the same policy",
  { any: Policies },
  ({ any }) =>
    Effect.gen(function*() {
      const policy = policyOf(any)
      const { circuits } = yield* effectiveConfig([["a", policy]])
      const { settings } = circuits[0]!
      const asText = yield* load(
        Object.fromEntries(settings.map((setting) => [setting.variable, valueOf(setting)]))
      )
      assert.deepStrictEqual(CircuitPolicy.difference(asText.circuitPolicy("a"), policy), [])
      const asJson = yield* load(
        Object.fromEntries(settings.map(({ unit, value, variable }) => [variable, `${value} ${unit ?? ""}`]))
      )
      assert.deepStrictEqual(CircuitPolicy.difference(asJson.circuitPolicy("a"), policy), [])
    }),
  { arbitrary: { runs: 200 } }
)

it.effect("the settings that are not of a circuit's policy can be set as they are shown, too", () =>
  Effect.gen(function*() {
    const env = {
      MAX_RETRY_ATTEMPTS: "7",
      RETRY_BASE_DELAY: "0.0015",
      RETRY_MAX_DELAY: "1h 30m",
      RETRY_EXPONENTIAL_BASE: "1.5",
      RETRY_JITTER_ENABLED: "no",
      HEALTH_CHECK_INTERVAL: "1d",
      CB_A_REQUEST_TIMEOUT_SECONDS: "off",
      CB_A_ENABLED: "no"
    }
    const before = yield* load(env)
    const shown = yield* effectiveConfig([["a", before.circuitPolicy("a")]]).pipe(
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
    )
    const settings = [...shown.settings, ...shown.circuits[0]!.settings]
    const after = yield* load(Object.fromEntries(settings.map((setting) => [setting.variable, valueOf(setting)])))
    assert.deepStrictEqual(after.retry, before.retry)
    assert.deepStrictEqual(after.healthCheckInterval, before.healthCheckInterval)
    assert.deepStrictEqual(after.requestTimeout("a"), before.requestTimeout("a"))
    assert.isFalse(after.enabled("a"))
  }))
