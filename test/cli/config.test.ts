import { assert, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Schema } from "effect"
import { CircuitPolicy, Environment } from "effect-resilience"
import { effectiveConfig } from "../../src/admin/internal/config.ts"
import { inspect, reportLines, valueOf } from "../../src/cli/internal/config.ts"

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

// -----------------------------------------------------------------------------
// every variable
// -----------------------------------------------------------------------------

const Texts = Schema.Union([
  Schema.Literals(["off", "0", "1", "TRUE", "no", "Yes"]),
  Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 })),
  between(0, 1),
  between(1, 100),
  between(0, 90_000)
])

const Amounts = Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 0n, maximum: 86_400_000_000_000n }))

const Written = Schema.Union([
  Texts,
  Schema.Struct({ nanos: Amounts, unit: Schema.Literals(["ns", "µs", "ms", "s"]) })
])

const DIGITS = { ns: 0, "µs": 3, ms: 6, s: 9 }

/** A time in a unit, with all its digits. */
const write = (written: typeof Written.Type): string => {
  if (typeof written !== "object") return String(written)
  const { nanos, unit } = written
  const digits = String(nanos).padStart(DIGITS[unit] + 1, "0")
  const whole = digits.slice(0, digits.length - DIGITS[unit])
  const fraction = digits.slice(whole.length)
  return `${whole}${fraction === "" ? "" : `.${fraction}`}${unit}`
}

const provide = (env: Record<string, string>) =>
  Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))

/** What a table of the command line would set if it were copied out. */
const copied = (lines: ReadonlyArray<string>): Record<string, string> => {
  const env: Record<string, string> = {}
  let section = ""
  for (const line of lines) {
    if (!line.startsWith(" ")) section = line
    const [, key, value] = /^  ([A-Z][A-Z_]+) {2,}(\S+(?: \S+)*) {2,}\S/.exec(line) ?? []
    const variable = Environment.variables.find((variable) => variable.key === key)
    if (variable === undefined) continue
    env[section.startsWith("Circuit a:") ? `CB_A_${key}` : variable.name] = value!
  }
  return env
}

const names = Environment.variables.flatMap(({ circuitName, name }) =>
  circuitName === undefined ? [name] : [name, circuitName.replace("<NAME>", "A")]
)

it.effect.prop(
  "whatever a variable accepts is printed as it can be set, in the table of the command line as well",
  { name: Schema.Literals(names), written: Written },
  ({ name, written }) =>
    Effect.gen(function*() {
      const env = { [name]: write(written) }
      const options = { circuits: { a: undefined } }
      const { environment, problems } = yield* Environment.inspect(options).pipe(provide(env))
      if (problems.length > 0) return
      const report = yield* inspect([{ name: "a", preset: undefined }]).pipe(provide(env))
      const lines = reportLines(report, [], { columns: 400, paint: (_, text) => text })
      const printed = copied(lines)
      assert.strictEqual(Object.keys(printed).length, environment.settings.length)
      const again = yield* load(printed)
      for (const { circuit, key, value } of environment.settings) {
        const setting = again.settings.find((setting) => setting.circuit === circuit && setting.key === key)
        assert.deepStrictEqual(setting?.value, value, `${key} of ${circuit}: ${JSON.stringify(printed)}`)
      }
    }),
  { arbitrary: { runs: 400 } }
)
