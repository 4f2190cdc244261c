import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Layer, Schedule } from "effect"
import { CircuitBreakerRegistry, CircuitPolicy, Outcome } from "effect-resilience"
import type { AdminApi } from "effect-resilience/admin"
import { watch } from "../support/circuits.ts"
import { ask, client, start } from "./support.ts"

/** The settings that circuits have under an environment, as `value source variable`. */
const settings = (options: {
  readonly env?: Record<string, string>
  readonly circuits?: Record<string, CircuitPolicy.CircuitPolicy>
  readonly defaults?: CircuitPolicy.CircuitPolicy
  readonly ignoreEnv?: boolean
}) =>
  Effect.gen(function*() {
    const { circuits = {}, defaults } = options
    const registry = options.ignoreEnv === true
      ? CircuitBreakerRegistry.layer({ circuits, defaults })
      : Layer.orDie(CircuitBreakerRegistry.layerConfig({ circuits, defaults }))
    const server = yield* start({}, registry)
    for (const name of ["plain", ...Object.keys(circuits)]) yield* server.registry.getOrCreate(name)
    const config = yield* (yield* client(server)).config.get({ query: {} })
    const show = (settings: ReadonlyArray<AdminApi.Setting>) =>
      Object.fromEntries(settings.map(({ key, source, value, variable }) => [key, `${value} ${source} ${variable}`]))
    return {
      server,
      config,
      all: show(config.settings),
      of: (name: string) => show(config.circuits.find(({ circuit }) => circuit === name)!.settings),
      preset: (name: string) => config.circuits.find(({ circuit }) => circuit === name)!.preset
    }
  }).pipe(Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env: options.env ?? {} })))

describe("the configuration in force", () => {
  it.effect("says default where nothing is said", () =>
    Effect.gen(function*() {
      const { all, of, preset } = yield* settings({})
      assert.strictEqual(all["FAILURE_THRESHOLD"], "5 default CIRCUIT_BREAKER_FAILURE_THRESHOLD")
      assert.strictEqual(of("plain")["FAILURE_THRESHOLD"], "5 default CB_PLAIN_FAILURE_THRESHOLD")
      assert.strictEqual(of("plain")["RECOVERY_TIMEOUT"], "60 default CB_PLAIN_RECOVERY_TIMEOUT")
      assert.strictEqual(of("plain")["REQUEST_TIMEOUT_SECONDS"], "10 default CB_PLAIN_REQUEST_TIMEOUT_SECONDS")
      assert.strictEqual(all["MAX_RETRY_ATTEMPTS"], "3 default MAX_RETRY_ATTEMPTS")
      assert.isNull(preset("plain"))
    }))

  it.effect("names the variable that a value was read from, of the circuit or of all", () =>
    Effect.gen(function*() {
      const { all, of } = yield* settings({
        env: {
          CIRCUIT_BREAKER_FAILURE_THRESHOLD: "7",
          CB_PAYMENT_API_RECOVERY_TIMEOUT_SECONDS: "90",
          CB_PAYMENT_API_REQUEST_TIMEOUT_SECONDS: "3"
        },
        circuits: { "payment-api": CircuitPolicy.database }
      })
      assert.strictEqual(all["FAILURE_THRESHOLD"], "7 variable CIRCUIT_BREAKER_FAILURE_THRESHOLD")
      assert.strictEqual(of("plain")["FAILURE_THRESHOLD"], "7 variable CIRCUIT_BREAKER_FAILURE_THRESHOLD")
      assert.strictEqual(of("plain")["SUCCESS_THRESHOLD"], "2 default CB_PLAIN_SUCCESS_THRESHOLD")
      const payment = of("payment-api")
      assert.strictEqual(payment["RECOVERY_TIMEOUT"], "90 variable CB_PAYMENT_API_RECOVERY_TIMEOUT_SECONDS")
      assert.strictEqual(payment["REQUEST_TIMEOUT_SECONDS"], "3 variable CB_PAYMENT_API_REQUEST_TIMEOUT_SECONDS")
      assert.strictEqual(payment["FAILURE_THRESHOLD"], "5 preset CB_PAYMENT_API_FAILURE_THRESHOLD")
    }))

  it.effect("names the preset of a policy, apart from what variables say", () =>
    Effect.gen(function*() {
      const circuits = {
        kafka: CircuitPolicy.kafka,
        database: CircuitPolicy.database,
        aggressive: CircuitPolicy.aggressive,
        own: CircuitPolicy.make({ consecutiveFailures: 11, openDuration: "7 seconds" })
      }
      const { of, preset } = yield* settings({ env: { CB_KAFKA_FAILURE_THRESHOLD: "9" }, circuits })
      assert.deepStrictEqual(
        [preset("kafka"), preset("database"), preset("aggressive"), preset("own")],
        ["kafka", "database", "aggressive", null]
      )
      assert.strictEqual(of("kafka")["FAILURE_THRESHOLD"], "9 variable CB_KAFKA_FAILURE_THRESHOLD")
      assert.strictEqual(of("kafka")["HALF_OPEN_CALLS"], "1 preset CB_KAFKA_HALF_OPEN_CALLS")
      assert.strictEqual(of("own")["RECOVERY_TIMEOUT"], "7 policy CB_OWN_RECOVERY_TIMEOUT")
    }))

  it.effect("tells what code has named from what variables of all circuits or defaults fill in", () =>
    Effect.gen(function*() {
      const { of, preset } = yield* settings({
        env: {
          CIRCUIT_BREAKER_RECOVERY_TIMEOUT: "5",
          CIRCUIT_BREAKER_FAILURE_THRESHOLD: "11",
          CIRCUIT_BREAKER_HALF_OPEN_CALLS: "1"
        },
        circuits: {
          own: CircuitPolicy.make({ consecutiveFailures: 11 }),
          coded: CircuitPolicy.make({ classify: () => Outcome.ignored }),
          kafka: CircuitPolicy.kafka
        }
      })
      assert.strictEqual(of("own")["FAILURE_THRESHOLD"], "11 policy CB_OWN_FAILURE_THRESHOLD")
      assert.strictEqual(of("own")["RECOVERY_TIMEOUT"], "5 variable CIRCUIT_BREAKER_RECOVERY_TIMEOUT")
      assert.strictEqual(of("own")["SUCCESS_THRESHOLD"], "2 default CB_OWN_SUCCESS_THRESHOLD")
      assert.strictEqual(of("coded")["FAILURE_THRESHOLD"], "11 variable CIRCUIT_BREAKER_FAILURE_THRESHOLD")
      assert.strictEqual(of("kafka")["RECOVERY_TIMEOUT"], "30 preset CB_KAFKA_RECOVERY_TIMEOUT")
      assert.strictEqual(of("kafka")["HALF_OPEN_CALLS"], "1 preset CB_KAFKA_HALF_OPEN_CALLS")
      assert.deepStrictEqual([preset("own"), preset("coded"), preset("kafka")], [null, null, "kafka"])
    }))

  it.effect("knows a default policy in code, as variables of all circuits change it", () =>
    Effect.gen(function*() {
      const { of } = yield* settings({
        env: { CIRCUIT_BREAKER_FAILURE_THRESHOLD: "11" },
        defaults: CircuitPolicy.make({ consecutiveFailures: 3, successThreshold: 7 })
      })
      assert.strictEqual(of("plain")["FAILURE_THRESHOLD"], "11 variable CIRCUIT_BREAKER_FAILURE_THRESHOLD")
      assert.strictEqual(of("plain")["SUCCESS_THRESHOLD"], "7 policy CB_PLAIN_SUCCESS_THRESHOLD")
      assert.strictEqual(of("plain")["HALF_OPEN_CALLS"], "3 default CB_PLAIN_HALF_OPEN_CALLS")
    }))

  it.effect("knows an open time that a schedule decides, and what is off", () =>
    Effect.gen(function*() {
      const { of } = yield* settings({
        circuits: { scheduled: CircuitPolicy.make({ failureRate: 0.5, openDuration: Schedule.spaced("1 second") }) }
      })
      assert.strictEqual(of("scheduled")["RECOVERY_TIMEOUT"], "schedule policy CB_SCHEDULED_RECOVERY_TIMEOUT")
      assert.strictEqual(of("scheduled")["FAILURE_THRESHOLD"], "off policy CB_SCHEDULED_FAILURE_THRESHOLD")
    }))

  it.effect("has the unit of a time, and says of one without end that it has none", () =>
    Effect.gen(function*() {
      const policy = { slowCallRate: 0.5, slowCallDuration: "2 seconds", openDuration: Duration.infinity } as const
      const { config } = yield* settings({ circuits: { patient: CircuitPolicy.make(policy) } })
      const found = config.circuits.find(({ circuit }) => circuit === "patient")!.settings
      const timeOf = (key: string) =>
        found.filter((setting) => setting.key === key).map(({ unit, value }) => [value, unit])
      assert.deepStrictEqual(timeOf("SLOW_CALL_THRESHOLD_MS"), [[2000, "milliseconds"]])
      assert.deepStrictEqual(timeOf("FAILURE_WINDOW_SECONDS"), [[60, "seconds"]])
      assert.deepStrictEqual(timeOf("RECOVERY_TIMEOUT"), [["infinite", null]])
    }))

  it.effect("does not name variables that the registry does not read", () =>
    Effect.gen(function*() {
      const { of } = yield* settings({
        env: { CIRCUIT_BREAKER_FAILURE_THRESHOLD: "7", CB_PLAIN_SUCCESS_THRESHOLD: "4" },
        ignoreEnv: true
      })
      assert.strictEqual(of("plain")["FAILURE_THRESHOLD"], "5 default CB_PLAIN_FAILURE_THRESHOLD")
      assert.strictEqual(of("plain")["SUCCESS_THRESHOLD"], "2 default CB_PLAIN_SUCCESS_THRESHOLD")
    }))

  it.effect("is that of now, after a circuit was given another policy", () =>
    Effect.gen(function*() {
      const { server } = yield* settings({ env: { CB_PLAIN_FAILURE_THRESHOLD: "4" } })
      yield* server.registry.reconfigure("plain", CircuitPolicy.fastFail)
      const { json } = yield* ask(server, { path: "/config?circuit=plain" })
      assert.strictEqual(json.circuits[0].preset, "fastFail")
      assert.strictEqual(json.circuits[0].settings[0].value, 3)
      assert.strictEqual(json.circuits[0].settings[0].source, "preset")
      assert.strictEqual(json.circuits[0].policy, CircuitPolicy.fastFail.description)
    }))

  it.effect("names a variable that came to say what was in force before", () => {
    const env: Record<string, string> = {}
    const live = ConfigProvider.make((path) => Effect.suspend(() => ConfigProvider.fromEnv({ env }).load(path)))
    return Effect.gen(function*() {
      const server = yield* start({}, Layer.orDie(CircuitBreakerRegistry.layerConfig()))
      const breaker = yield* server.registry.getOrCreate("plain")
      const inForce = Effect.map(
        ask(server, { path: "/config?circuit=plain" }),
        ({ json }) => `${json.circuits[0].settings[0].value} ${json.circuits[0].settings[0].source}`
      )
      assert.strictEqual(yield* inForce, "5 default")
      const events = yield* watch(breaker.events)

      env["CB_PLAIN_FAILURE_THRESHOLD"] = "5"
      assert.deepStrictEqual(yield* server.registry.reload, [])
      assert.strictEqual(yield* inForce, "5 variable")

      // Code that names what is in force changes nothing: the variable stays the source.
      assert.isTrue(yield* server.registry.reconfigure("plain", CircuitPolicy.make()))
      assert.strictEqual(yield* inForce, "5 variable")

      delete env["CB_PLAIN_FAILURE_THRESHOLD"]
      assert.deepStrictEqual(yield* server.registry.reload, [])
      assert.strictEqual(yield* inForce, "5 default")
      assert.deepStrictEqual(yield* events, [])
    }).pipe(Effect.provideService(ConfigProvider.ConfigProvider, live))
  })

  it.effect("says what is wrong with the environment, and shows what is in force", () =>
    Effect.gen(function*() {
      const { config, of } = yield* settings({ env: { CIRCUIT_BREAKER_FAILURE_TRESHOLD: "7" }, ignoreEnv: true })
      assert.deepStrictEqual(config.problems, [
        "CIRCUIT_BREAKER_FAILURE_TRESHOLD is unknown; did you mean CIRCUIT_BREAKER_FAILURE_THRESHOLD?"
      ])
      assert.strictEqual(of("plain")["FAILURE_THRESHOLD"], "5 default CB_PLAIN_FAILURE_THRESHOLD")
    }))

  it.effect("does not take a circuit that may come for one that lives", () =>
    Effect.gen(function*() {
      const { config } = yield* settings({
        env: { CB_USERS_API_FAILURE_THRESHOLD: "7" },
        circuits: { "user-api": CircuitPolicy.kafka },
        ignoreEnv: true
      })
      assert.deepStrictEqual(config.problems, [])
    }))

  it.effect("has circuits of any name, a page at a time", () =>
    Effect.gen(function*() {
      const { server } = yield* settings({})
      for (const name of ["__proto__", "constructor", " ", "payment.api", "payment-api", "PAYMENT_API", "é"]) {
        yield* server.registry.getOrCreate(name)
      }
      const { json } = yield* ask(server, { path: "/config?offset=1&limit=6" })
      assert.deepStrictEqual([json.total, json.circuits.length, json.circuits[0].circuit], [8, 6, "__proto__"])
      assert.strictEqual(json.circuits[0].settings[0].source, "default")
    }))

  it.effect("has no other variables than those of this library", () =>
    Effect.gen(function*() {
      const env = { DATABASE_PASSWORD: "hunter2-hunter2", RETRY_SECRET: "hunter2-hunter2", MAX_SECRET: "hunter2" }
      const { server } = yield* settings({ env })
      assert.notInclude((yield* ask(server, { path: "/config" })).text, "hunter2")
    }))
})
