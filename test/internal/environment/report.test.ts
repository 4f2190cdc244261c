import { assert, describe, it } from "@effect/vitest"
import { CircuitPolicy, Environment, Outcome } from "effect-resilience"
import { ConfigProvider, Effect } from "effect"
import { report } from "../../../src/internal/environment/report.ts"

const load = (env: Record<string, string>, options?: Environment.Options) =>
  Environment.load(options).pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
  )

/** What is shown of the circuit `a`, as `value source variable`. */
const shown = (environment: Environment.Environment, policy = environment.circuitPolicy("a")) => {
  const { circuits } = report(environment, [["a", policy]])
  const { preset, settings } = circuits[0]!
  return {
    preset,
    of: (key: string) =>
      settings.filter((setting) => setting.key === key)
        .map(({ source, value, variable }) => `${value} ${source} ${variable}`)[0]
  }
}

describe("the source of a setting", () => {
  it.effect("is where the policy has it from, also if another source has the same value", () =>
    Effect.gen(function*() {
      const env = { CB_A_FAILURE_THRESHOLD: "3", CIRCUIT_BREAKER_SUCCESS_THRESHOLD: "2" }
      const environment = yield* load(env, { circuits: { a: CircuitPolicy.fastFail } })
      const { of, preset } = shown(environment)
      assert.strictEqual(of("FAILURE_THRESHOLD"), "3 variable CB_A_FAILURE_THRESHOLD")
      assert.strictEqual(of("SUCCESS_THRESHOLD"), "2 variable CIRCUIT_BREAKER_SUCCESS_THRESHOLD")
      assert.strictEqual(of("RECOVERY_TIMEOUT"), "30 preset CB_A_RECOVERY_TIMEOUT")
      assert.strictEqual(of("HALF_OPEN_CALLS"), "3 default CB_A_HALF_OPEN_CALLS")
      assert.strictEqual(preset, "fastFail")
    }))

  it.effect("is code if the circuit follows another policy than the variables make", () =>
    Effect.gen(function*() {
      const environment = yield* load({ CB_A_FAILURE_THRESHOLD: "3" }, { circuits: { a: undefined } })
      const kafka = shown(environment, CircuitPolicy.kafka)
      assert.deepStrictEqual([kafka.of("FAILURE_THRESHOLD"), kafka.preset], [
        "3 preset CB_A_FAILURE_THRESHOLD",
        "kafka"
      ])
      const own = shown(environment, CircuitPolicy.make({ consecutiveFailures: 3, openDuration: "30 seconds" }))
      assert.deepStrictEqual([own.of("FAILURE_THRESHOLD"), own.preset], ["3 policy CB_A_FAILURE_THRESHOLD", null])
    }))

  it.effect("is the preset whatever code is added to it, until its values change", () =>
    Effect.gen(function*() {
      const classify = () => Outcome.ignored
      const environment = yield* load({ CIRCUIT_BREAKER_SUCCESS_THRESHOLD: "7" }, {
        circuits: { a: { ...CircuitPolicy.kafka, classify } }
      })
      assert.deepStrictEqual([shown(environment).preset, shown(environment).of("SUCCESS_THRESHOLD")], [
        "kafka",
        "1 preset CB_A_SUCCESS_THRESHOLD"
      ])
      const changed = CircuitPolicy.make({ ...CircuitPolicy.kafka, successThreshold: 2 })
      assert.isNull(shown(environment, changed).preset)
    }))

  it.effect("of what no policy has is the environment", () =>
    Effect.gen(function*() {
      const environment = yield* load({ CB_A_ENABLED: "no" }, { circuits: { a: undefined } })
      const { of } = shown(environment, CircuitPolicy.kafka)
      assert.strictEqual(of("ENABLED"), "false variable CB_A_ENABLED")
      assert.strictEqual(of("REQUEST_TIMEOUT_SECONDS"), "10 default CB_A_REQUEST_TIMEOUT_SECONDS")
    }))

  it.effect("of a default policy in code is that policy for what it names", () =>
    Effect.gen(function*() {
      const environment = yield* load({ CB_A_FAILURE_THRESHOLD: "9" }, {
        defaults: { successThreshold: 4 },
        circuits: { a: undefined }
      })
      const { of } = shown(environment)
      assert.strictEqual(of("FAILURE_THRESHOLD"), "9 variable CB_A_FAILURE_THRESHOLD")
      assert.strictEqual(of("SUCCESS_THRESHOLD"), "4 policy CB_A_SUCCESS_THRESHOLD")
      assert.strictEqual(of("HALF_OPEN_CALLS"), "3 default CB_A_HALF_OPEN_CALLS")
      const sources = environment.settings.filter(({ circuit }) => circuit === undefined)
        .map(({ key, source }) => `${key} ${source}`)
      assert.include(sources, "SUCCESS_THRESHOLD Policy")
      assert.include(sources, "HALF_OPEN_CALLS Default")
    }))

  it.effect("of a policy that comes with a call, and that variables leave no rule, is the policy", () =>
    Effect.gen(function*() {
      const environment = yield* load(
        { CIRCUIT_BREAKER_FAILURE_RATE_THRESHOLD: "off", CB_A_FAILURE_THRESHOLD: "off" },
        {
          defaults: { slowCallRate: 0.5, slowCallDuration: "1 second" },
          circuits: { a: { slowCallRate: 0.5, slowCallDuration: "1 second" } }
        }
      )
      const policy = environment.circuitPolicy("a", CircuitPolicy.kafka)
      assert.strictEqual(policy.consecutiveFailures, 3)
      const { of, preset } = shown(environment, policy)
      assert.deepStrictEqual([of("FAILURE_THRESHOLD"), preset], ["3 preset CB_A_FAILURE_THRESHOLD", "kafka"])
    }))
})
