import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as fs from "node:fs"
import { inspect } from "node:util"
import * as Cause from "effect/Cause"
import type * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import * as Synonyms from "../src/internal/environment/synonyms.ts"
import {
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  Environment,
  Outcome,
  Resilience,
  Retry
} from "effect-resilience"

type Env = Record<string, string>

const withProvider = (provider: ConfigProvider.ConfigProvider) =>
  Effect.provideService(ConfigProvider.ConfigProvider, provider)

const withEnv = (env: Env) => withProvider(ConfigProvider.fromEnv({ env }))

const load = (env: Env, options?: Environment.Options) => withEnv(env)(Environment.load(options))

/** The lines of the error. */
const problems = (env: Env, options?: Environment.Options) =>
  load(env, options).pipe(Effect.flip, Effect.map((error) => error.cause.message.split("\n")))

const setting = (environment: Environment.Environment, key: string, circuit?: string) => {
  const found = environment.settings.find((setting) => setting.key === key && setting.circuit === circuit)
  assert.isDefined(found)
  return found
}

const seconds = (value: number) => Duration.seconds(value)

const isEqual = (self: Environment.Value, that: Environment.Value) =>
  Duration.isDuration(self) && Duration.isDuration(that) ? Duration.equals(self, that) : self === that

describe("an error that nobody handles", () => {
  const mistakes = { CIRCUIT_BREAKER_FAILURE_THRESHOLD: "-1", CB_A_FAILURE_RATE_THRESHOLD: "50" }
  const unreadable = ConfigProvider.make(() =>
    Effect.fail(new ConfigProvider.SourceError({ message: "the vault is sealed", cause: { secret: "hunter2" } }))
  )

  it.effect("prints as its message, a line for each problem, without what is inside", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(load(mistakes))
      const lines = yield* problems(mistakes)

      assert.strictEqual(lines.length, 2)
      assert.strictEqual(inspect(error), `ConfigError: ${lines.join("\n")}`)
      // So does Node print what is thrown and not caught, if it is no Error.
      const uncaught = inspect(error, { customInspect: false })
      assert.isAtMost(uncaught.split("\n").length, 8)
      assert.notMatch(uncaught, /Schema|issue/)
      assert.strictEqual(error.message, lines.join("\n"))
    }))

  it.effect("names a source that cannot be read, without the details of its cause", () =>
    Effect.gen(function*() {
      const error = yield* Environment.load().pipe(withProvider(unreadable), Effect.flip)

      for (const text of [inspect(error), inspect(error, { customInspect: false })]) {
        assert.include(text, "the vault is sealed")
        assert.notInclude(text, "hunter2")
      }
    }))
})

// What any variable has to reject, besides its own.
const NEVER = [
  "abc",
  "NaN",
  "Infinity",
  "-Infinity",
  "-1",
  "-0.5",
  "1e30",
  "99999999999999999999",
  "0x10",
  "1_000",
  "1,5",
  "null",
  "{}",
  "5 parsecs",
  " ",
  "\t"
]

interface Expected {
  readonly accepts: Readonly<Record<string, Environment.Value>>
  readonly rejects: ReadonlyArray<string>
}

const counts = (maximum: number): Expected => ({
  accepts: { "1": 1, "7": 7, " 8 ": 8, "9.0": 9, [String(maximum)]: maximum },
  rejects: ["0", "2.5", String(maximum + 1), "5 seconds", "true"]
})

const numbers = (minimum: number, maximum: number): Expected => ({
  accepts: {
    [String(minimum)]: minimum,
    [String(maximum)]: maximum,
    ".75": 0.75,
    "0.25": 0.25,
    "1.0": 1,
    "1.5": 1.5,
    "1e0": 1
  },
  rejects: [String(minimum - 0.01), String(maximum + 0.01), "50%", "5 seconds", "true"]
})

const within = (minimum: number, maximum: number): Expected => {
  const { accepts, rejects } = numbers(minimum, maximum)
  return {
    accepts: Object.fromEntries(
      Object.entries(accepts).filter(([text]) => Number(text) >= minimum && Number(text) <= maximum)
    ),
    rejects
  }
}

const times = (minimum: number, plain: number, longest: string): Expected => ({
  accepts: {
    [String(minimum)]: seconds(minimum),
    [String(plain)]: seconds(plain),
    [longest]: longest === "1d" ? Duration.days(1) : Duration.hours(1),
    "1.5": seconds(1.5),
    "30s": seconds(30),
    "1m 30s": seconds(90),
    "30 seconds": seconds(30),
    "500 millis": Duration.millis(500),
    "500ms": Duration.millis(500),
    "PT30S": seconds(30),
    " 2 Minutes ": Duration.minutes(2)
  },
  rejects: [
    ...(minimum === 0 ? [] : ["0", "0 seconds", "0.0009", "999 micros"]),
    `${longest} 1ms`,
    "-1 seconds",
    "9 weeks",
    "30x",
    "true"
  ]
})

const flags: Expected = {
  accepts: {
    true: true,
    yes: true,
    on: true,
    "1": true,
    TRUE: true,
    false: false,
    no: false,
    off: false,
    "0": false,
    False: false
  },
  rejects: ["2", "maybe", "1 second", "truee"]
}

const off = ({ accepts, rejects }: Expected): Expected => ({ accepts: { ...accepts, off: "off", OFF: "off" }, rejects })

const EXPECTED: Record<string, Expected> = {
  FAILURE_THRESHOLD: off(counts(1_000_000)),
  FAILURE_RATE_THRESHOLD: off(within(0, 1)),
  MINIMUM_REQUEST_THRESHOLD: counts(1_000_000),
  // A window that is off needs another one, see below.
  FAILURE_WINDOW_SECONDS: times(0.001, 3600, "1d"),
  WINDOW_SIZE: counts(1_000_000),
  RECOVERY_TIMEOUT: times(0.001, 3600, "1d"),
  EXPONENTIAL_BACKOFF: flags,
  BACKOFF_MULTIPLIER: within(1, 100),
  MAX_BACKOFF_SECONDS: times(0.001, 3600, "1d"),
  HALF_OPEN_CALLS: counts(10_000),
  HALF_OPEN_TIMEOUT: off(times(0.001, 3600, "1d")),
  SUCCESS_THRESHOLD: counts(10_000),
  SLOW_CALL_THRESHOLD_MS: {
    accepts: {
      "1": Duration.millis(1),
      "250": Duration.millis(250),
      "2 seconds": seconds(2),
      "3600000": seconds(3600),
      off: "off"
    },
    rejects: ["0", "0.5", "3600001", "2 hours", "true"]
  },
  SLOW_CALL_RATE_THRESHOLD: off(within(0, 1)),
  REQUEST_TIMEOUT_SECONDS: off(times(0.001, 600, "1h")),
  ENABLED: flags,
  MAX_RETRY_ATTEMPTS: counts(1000),
  RETRY_BASE_DELAY: times(0, 90, "1h"),
  RETRY_MAX_DELAY: times(0, 3600, "1d"),
  RETRY_EXPONENTIAL_BASE: within(1, 100),
  RETRY_JITTER_ENABLED: flags,
  HEALTH_CHECK_INTERVAL: times(0.001, 3600, "1d")
}

/** What has to be set beside a variable so that nothing contradicts its value. */
const BESIDE: Record<string, Readonly<Record<string, string>>> = {
  SLOW_CALL_THRESHOLD_MS: { SLOW_CALL_RATE_THRESHOLD: "0.5" },
  SLOW_CALL_RATE_THRESHOLD: { SLOW_CALL_THRESHOLD_MS: "500" }
}

const prefixed = (prefix: string, env: Env | undefined): Env =>
  Object.fromEntries(Object.entries(env ?? {}).map(([key, value]) => [prefix + key, value]))

describe("variables", () => {
  it("are those of the documented table", () => {
    assert.deepStrictEqual(
      Environment.variables.map((variable) => variable.key).toSorted(),
      Object.keys(EXPECTED).toSorted()
    )
  })

  for (const variable of Environment.variables) {
    const expected = EXPECTED[variable.key]!
    const prefix = variable.name.slice(0, -variable.key.length)
    const spellings = [variable.name, ...variable.aliases].flatMap((name) => [
      { name, prefix, circuit: undefined },
      ...variable.circuitName === undefined
        ? []
        : [{ name: `CB_PAYMENT_API_${name.slice(prefix.length)}`, prefix: "CB_PAYMENT_API_", circuit: "PAYMENT_API" }]
    ])

    for (const { circuit, name, prefix } of spellings) {
      describe(name, () => {
        for (const [text, value] of Object.entries(expected.accepts)) {
          it.effect(`accepts ${JSON.stringify(text)}`, () =>
            Effect.gen(function*() {
              const environment = yield* load({ [name]: text, ...prefixed(prefix, BESIDE[variable.key]) })
              const found = setting(environment, variable.key, circuit)
              assert.isTrue(isEqual(found.value, value), `${String(found.value)} is not ${String(value)}`)
              assert.strictEqual(found.source, "Variable")
              assert.strictEqual(found.variable, name)
            }))
        }

        it.effect("rejects what is of another type, out of range, blank, negative or absurd", () =>
          Effect.gen(function*() {
            for (const text of [...NEVER, ...expected.rejects]) {
              const env = { [name]: text, ...prefixed(prefix, BESIDE[variable.key]) }
              assert.deepStrictEqual(yield* problems(env), [
                `${name}=${JSON.stringify(text)} must be ${variable.accepts}`
              ])
            }
          }))

        it.effect("is absent if it is empty", () =>
          Effect.gen(function*() {
            const environment = yield* load({ [name]: "" })
            assert.strictEqual(setting(environment, variable.key).source, "Default")
          }))

        it.effect("rejects what is empty if the provider preserves that", () =>
          Effect.gen(function*() {
            const provider = ConfigProvider.fromEnv({ env: { [name]: "" }, preserveEmptyStrings: true })
            const error = yield* Environment.load().pipe(withProvider(provider), Effect.flip)
            assert.include(error.cause.message, `${name}="" must be `)
          }))
      })
    }

    it.effect(`${variable.name} has its default if it is absent`, () =>
      Effect.gen(function*() {
        const { source, value, variable: name } = setting(yield* load({}), variable.key)
        assert.strictEqual(source, "Default")
        assert.strictEqual(name, variable.name)
        const { default: text, unit } = variable
        const written = Duration.isDuration(value)
          ? Duration.toMillis(value) / (unit === "milliseconds" ? 1 : 1000)
          : value
        assert.strictEqual(String(written), text)
      }))
  }

  it("have keys of which none ends like another, so that CB_… names one circuit only", () => {
    const keys = Environment.variables
      .filter((variable) => variable.circuitName !== undefined)
      .flatMap((variable) => [variable.name, ...variable.aliases])
      .map((name) => name.slice("CIRCUIT_BREAKER_".length))
    for (const key of keys) {
      assert.deepStrictEqual(keys.filter((other) => other.endsWith(`_${key}`)), [])
    }
  })

  it("are all in docs/operations/environment.md", () => {
    const cell = (text: string) => text.replaceAll("|", "\\|")
    const row = (cells: ReadonlyArray<string>) => `| ${cells.map(cell).join(" | ")} |`
    const table = [
      row(["variable", "default", "accepts", "meaning"]),
      "| --- | --- | --- | --- |",
      ...Environment.variables.map(({ accepts, aliases, default: byDefault, description, name }) =>
        row([[name, ...aliases].map((name) => `\`${name}\``).join("<br>"), `\`${byDefault}\``, accepts, description])
      )
    ].join("\n")
    const page = fs.readFileSync(new URL("../docs/operations/environment.md", import.meta.url), "utf8")
    assert.isTrue(page.includes(table), `docs/operations/environment.md must have this table:\n\n${table}`)
  })
})

describe("load", () => {
  // migration: HEALTH_CHECK_INTERVAL
  it.effect("gives the library's defaults if nothing is set", () =>
    Effect.gen(function*() {
      const environment = yield* load({ PATH: "/bin", HOME: "/root" })
      assert.deepStrictEqual(CircuitPolicy.difference(environment.defaults, CircuitPolicy.make()), [])
      assert.strictEqual(environment.circuitPolicy("payment-api"), environment.defaults)
      assert.deepStrictEqual(environment.requestTimeout("payment-api"), seconds(10))
      assert.deepStrictEqual(environment.retry, {
        maxAttempts: 3,
        baseDelay: seconds(1),
        maxDelay: Duration.minutes(1),
        factor: 2,
        jitter: "proportional"
      })
      assert.deepStrictEqual(environment.healthCheckInterval, seconds(30))
    }))

  it.effect("gives the very policies of the code if nothing is set", () =>
    Effect.gen(function*() {
      const { circuitPolicy, defaults } = yield* load({}, {
        defaults: CircuitPolicy.resilient,
        circuits: { kafka: CircuitPolicy.kafka }
      })
      assert.strictEqual(defaults, CircuitPolicy.resilient)
      assert.strictEqual(circuitPolicy("kafka"), CircuitPolicy.kafka)
      assert.strictEqual(circuitPolicy("other"), CircuitPolicy.resilient)
      assert.strictEqual(circuitPolicy("other", CircuitPolicy.database), CircuitPolicy.database)
    }))

  it.effect("takes options of a policy wherever it takes a policy, and refuses bad ones where they are written", () =>
    Effect.gen(function*() {
      const { circuitPolicy, defaults } = yield* load({ CB_A_SUCCESS_THRESHOLD: "4" }, {
        defaults: { consecutiveFailures: 7 },
        circuits: { a: { consecutiveFailures: 3 } }
      })
      assert.deepStrictEqual(defaults, { ...CircuitPolicy.make({ consecutiveFailures: 7 }) })
      assert.deepStrictEqual([circuitPolicy("a").consecutiveFailures, circuitPolicy("a").successThreshold], [3, 4])
      const policy = yield* withEnv({})(Environment.circuitPolicy("a", { consecutiveFailures: 3 }))
      assert.strictEqual(policy.consecutiveFailures, 3)
      assert.throws(
        () => Environment.load({ circuits: { a: { consecutiveFailures: 0 } } }),
        RangeError,
        "Environment.load: circuits.a.consecutiveFailures must be an integer >= 1, got 0"
      )
      for (const circuits of [3, null, [CircuitPolicy.make()]] as ReadonlyArray<unknown> as ReadonlyArray<never>) {
        assert.throws(
          () => Environment.load({ circuits }),
          RangeError,
          "Environment.load: circuits must be an object of policies by name, got "
        )
      }
    }))

  // migration: CIRCUIT_BREAKER_FAILURE_THRESHOLD
  it.effect("makes a policy of every variable", () =>
    Effect.gen(function*() {
      const { defaults } = yield* load({
        CIRCUIT_BREAKER_FAILURE_THRESHOLD: "7",
        CIRCUIT_BREAKER_FAILURE_RATE_THRESHOLD: "0.4",
        CIRCUIT_BREAKER_MINIMUM_REQUEST_THRESHOLD: "20",
        CIRCUIT_BREAKER_WINDOW_SIZE: "200",
        CIRCUIT_BREAKER_RECOVERY_TIMEOUT: "15",
        CIRCUIT_BREAKER_EXPONENTIAL_BACKOFF: "true",
        CIRCUIT_BREAKER_BACKOFF_MULTIPLIER: "3",
        CIRCUIT_BREAKER_MAX_BACKOFF_SECONDS: "120",
        CIRCUIT_BREAKER_HALF_OPEN_CALLS: "4",
        CIRCUIT_BREAKER_HALF_OPEN_TIMEOUT: "20",
        CIRCUIT_BREAKER_SUCCESS_THRESHOLD: "5",
        CIRCUIT_BREAKER_SLOW_CALL_THRESHOLD_MS: "750",
        CIRCUIT_BREAKER_SLOW_CALL_RATE_THRESHOLD: "0.9"
      })
      const expected = CircuitPolicy.make({
        consecutiveFailures: 7,
        failureRate: 0.4,
        minimumCalls: 20,
        window: { calls: 200 },
        openDuration: CircuitPolicy.exponential({ initial: "15 seconds", multiplier: 3, maximum: "2 minutes" }),
        halfOpenMaxCalls: 4,
        halfOpenTimeout: "20 seconds",
        successThreshold: 5,
        slowCallDuration: "750 millis",
        slowCallRate: 0.9
      })
      assert.deepStrictEqual(CircuitPolicy.difference(defaults, expected), [])
    }))

  it.effect("gives options that Retry.make takes", () =>
    Effect.gen(function*() {
      const { retry } = yield* load({
        MAX_RETRY_ATTEMPTS: "5",
        RETRY_BASE_DELAY: "0.25",
        RETRY_MAX_DELAY: "10.0",
        RETRY_EXPONENTIAL_BASE: "3.0",
        RETRY_JITTER_ENABLED: "false"
      })
      assert.strictEqual(Retry.make(retry).description, "up to 5 attempts, 250ms × 3ⁿ up to 10s")
    }))

  it.effect("opens for a fixed time without exponential backoff", () =>
    Effect.gen(function*() {
      const { defaults } = yield* load({
        CIRCUIT_BREAKER_EXPONENTIAL_BACKOFF: "false",
        CIRCUIT_BREAKER_RECOVERY_TIMEOUT: "10",
        CIRCUIT_BREAKER_MAX_BACKOFF_SECONDS: "5"
      })
      assert.deepStrictEqual(defaults.openDuration, seconds(10))
    }))

  it.effect("turns a rule off", () =>
    Effect.gen(function*() {
      const rate = yield* load({ CIRCUIT_BREAKER_FAILURE_THRESHOLD: "off" })
      assert.strictEqual(rate.defaults.consecutiveFailures, undefined)
      assert.strictEqual(rate.defaults.failureRate, 0.5)

      const count = yield* load({ CIRCUIT_BREAKER_FAILURE_RATE_THRESHOLD: "off" })
      assert.strictEqual(count.defaults.consecutiveFailures, 5)
      assert.strictEqual(count.defaults.failureRate, undefined)

      const slow = CircuitPolicy.make({ consecutiveFailures: 2, slowCallRate: 0.5, slowCallDuration: "1 second" })
      for (const key of ["SLOW_CALL_RATE_THRESHOLD", "SLOW_CALL_THRESHOLD_MS"]) {
        const { defaults } = yield* load({ [`CIRCUIT_BREAKER_${key}`]: "off" }, { defaults: slow })
        assert.deepStrictEqual(CircuitPolicy.difference(defaults, slow), ["slowCallRate", "slowCallDuration"])
      }

      const patient = yield* load({ CIRCUIT_BREAKER_HALF_OPEN_TIMEOUT: "off", CIRCUIT_BREAKER_REQUEST_TIMEOUT: "off" })
      assert.isFalse(Duration.isFinite(patient.defaults.halfOpenTimeout))
      assert.isFalse(Duration.isFinite(patient.requestTimeout()))
    }))

  it.effect("adds a rule to a preset that has it not", () =>
    Effect.gen(function*() {
      const { defaults } = yield* load(
        { CIRCUIT_BREAKER_FAILURE_RATE_THRESHOLD: "0.25" },
        { defaults: CircuitPolicy.fastFail }
      )
      assert.deepStrictEqual(CircuitPolicy.difference(defaults, CircuitPolicy.fastFail), ["failureRate"])
    }))

  // migration: CB_EMAIL_SERVICE_FAILURE_THRESHOLD | one file of variables per environment
  // migration: CIRCUIT_BREAKER_FAILURE_THRESHOLD | MAX_RETRY_ATTEMPTS
  it.effect("reads the examples of the older systems", () =>
    Effect.gen(function*() {
      const email = (yield* load({
        CB_EMAIL_SERVICE_FAILURE_THRESHOLD: "3",
        CB_EMAIL_SERVICE_FAILURE_RATE_THRESHOLD: "0.4",
        CB_EMAIL_SERVICE_RECOVERY_TIMEOUT_SECONDS: "30"
      })).circuitPolicy("email-service")
      assert.strictEqual(email.consecutiveFailures, 3)
      assert.strictEqual(email.failureRate, 0.4)
      assert.deepStrictEqual(email.openDuration, CircuitPolicy.exponential({ initial: "30 seconds" }))

      const development = (yield* load({
        CB_PAYMENT_API_FAILURE_THRESHOLD: "10",
        CB_PAYMENT_API_RECOVERY_TIMEOUT_SECONDS: "10",
        CB_PAYMENT_API_EXPONENTIAL_BACKOFF: "false"
      })).circuitPolicy("payment-api")
      assert.strictEqual(development.consecutiveFailures, 10)
      assert.deepStrictEqual(development.openDuration, seconds(10))

      const file = yield* Environment.load().pipe(withProvider(ConfigProvider.fromDotEnvContents(`
        # Circuit Breaker Settings
        CIRCUIT_BREAKER_FAILURE_THRESHOLD=5
        CIRCUIT_BREAKER_RECOVERY_TIMEOUT=60
        CIRCUIT_BREAKER_HALF_OPEN_CALLS=3
        CIRCUIT_BREAKER_SUCCESS_THRESHOLD=2
        MAX_RETRY_ATTEMPTS=3
        RETRY_BASE_DELAY=1.0
        RETRY_MAX_DELAY=60.0
        RETRY_EXPONENTIAL_BASE=2.0
        RETRY_JITTER_ENABLED=true
        HEALTH_CHECK_INTERVAL=30
      `)))
      assert.deepStrictEqual(CircuitPolicy.difference(file.defaults, CircuitPolicy.make()), [])
      const set = file.settings.filter((setting) => setting.source === "Variable")
      assert.strictEqual(set.length, 10)
    }))

  it.effect("keeps what a policy has besides", () =>
    Effect.gen(function*() {
      const classify: Outcome.Classifier = () => Outcome.ignored
      const policy = CircuitPolicy.make({
        consecutiveFailures: 3,
        window: { duration: "30 seconds", buckets: 5 },
        openDuration: CircuitPolicy.exponential({ initial: "10 seconds", jitter: 0.2 }),
        maxOpenDuration: "2 hours",
        halfOpenSample: { calls: 10, failureRate: 0.2 },
        measureDuration: false,
        classify
      })
      const { circuitPolicy } = yield* load(
        {
          CB_A_FAILURE_WINDOW_SECONDS: "20",
          CB_A_RECOVERY_TIMEOUT: "5",
          CB_A_FAILURE_THRESHOLD: "2"
        },
        { circuits: { a: policy } }
      )
      assert.deepStrictEqual(circuitPolicy("a"), {
        ...policy,
        consecutiveFailures: 2,
        window: { duration: seconds(20), buckets: 5 },
        openDuration: CircuitPolicy.exponential({ initial: "5 seconds", jitter: 0.2, maximum: "5 minutes" })
      })
    }))

  it.effect("times calls if the new policy needs that", () =>
    Effect.gen(function*() {
      const counted = CircuitPolicy.make({ consecutiveFailures: 3, window: { calls: 100 } })
      assert.isFalse(counted.measureDuration)
      const timed = yield* load({ CIRCUIT_BREAKER_FAILURE_WINDOW: "60" }, { defaults: counted })
      assert.isTrue(timed.defaults.measureDuration)
      const untimed = yield* load({ CIRCUIT_BREAKER_WINDOW_SIZE: "100" })
      assert.isFalse(untimed.defaults.measureDuration)
    }))

  it.effect("waits for probes without end, as the code says", () =>
    Effect.gen(function*() {
      const defaults = CircuitPolicy.make({ consecutiveFailures: 3, halfOpenTimeout: Duration.infinity })
      const environment = yield* load({ CIRCUIT_BREAKER_FAILURE_THRESHOLD: "4" }, { defaults })
      assert.strictEqual(setting(environment, "HALF_OPEN_TIMEOUT").value, "off")
      assert.isFalse(Duration.isFinite(environment.defaults.halfOpenTimeout))
    }))

  it.effect("replaces a schedule as a whole", () =>
    Effect.gen(function*() {
      const defaults = CircuitPolicy.make({ consecutiveFailures: 3, openDuration: Schedule.fibonacci("1 second") })
      const kept = yield* load({ CIRCUIT_BREAKER_FAILURE_THRESHOLD: "4" }, { defaults })
      assert.strictEqual(kept.defaults.openDuration, defaults.openDuration)
      assert.strictEqual(setting(kept, "RECOVERY_TIMEOUT").value, "schedule")

      const replaced = yield* load({ CIRCUIT_BREAKER_BACKOFF_MULTIPLIER: "3" }, { defaults })
      assert.deepStrictEqual(
        replaced.defaults.openDuration,
        CircuitPolicy.exponential({ initial: "60 seconds", multiplier: 3 })
      )
    }))

  it.effect("has the defaults of a policy for the parts of its open time", () =>
    Effect.gen(function*() {
      const { defaults } = yield* load({ CIRCUIT_BREAKER_EXPONENTIAL_BACKOFF: "yes" }, {
        defaults: CircuitPolicy.production
      })
      assert.deepStrictEqual(defaults.openDuration, CircuitPolicy.make().openDuration)
    }))
})

describe("precedence", () => {
  // Two values that differ from each other and from those of `mine` and `ours`.
  const VALUES: Record<string, readonly [string, string]> = {
    FAILURE_THRESHOLD: ["21", "22"],
    FAILURE_RATE_THRESHOLD: ["0.21", "0.22"],
    MINIMUM_REQUEST_THRESHOLD: ["21", "22"],
    FAILURE_WINDOW_SECONDS: ["21", "22"],
    WINDOW_SIZE: ["210", "220"],
    RECOVERY_TIMEOUT: ["21", "22"],
    EXPONENTIAL_BACKOFF: ["true", "false"],
    BACKOFF_MULTIPLIER: ["21", "22"],
    MAX_BACKOFF_SECONDS: ["2100", "2200"],
    HALF_OPEN_CALLS: ["21", "22"],
    HALF_OPEN_TIMEOUT: ["21", "22"],
    SUCCESS_THRESHOLD: ["21", "22"],
    SLOW_CALL_THRESHOLD_MS: ["21", "22"],
    SLOW_CALL_RATE_THRESHOLD: ["0.21", "0.22"]
  }
  const policyOf = (n: number) =>
    CircuitPolicy.make({
      consecutiveFailures: n,
      failureRate: n / 100,
      minimumCalls: n,
      window: { duration: Duration.seconds(n) },
      openDuration: CircuitPolicy.exponential({
        initial: Duration.seconds(n),
        multiplier: n,
        maximum: Duration.minutes(n)
      }),
      halfOpenMaxCalls: n,
      halfOpenTimeout: Duration.seconds(n),
      successThreshold: n,
      slowCallDuration: Duration.millis(n),
      slowCallRate: n / 100
    })
  const mine = policyOf(31)
  const ours = policyOf(41)

  for (const [key, [a, b]] of Object.entries(VALUES)) {
    const own = `CB_A_${key}`
    const global = `CIRCUIT_BREAKER_${key}`

    it.effect(`${key}: the circuit's variable, its policy in code, the global variable, the default in code`, () =>
      Effect.gen(function*() {
        const from = (env: Env, circuits: Environment.Options["circuits"]) =>
          Effect.map(load(env, { defaults: ours, circuits }), (environment) => setting(environment, key, "a"))
        const expected = (text: string) => EXPECTED[key]!.accepts[text] ?? Number(text)
        const shown = (value: Environment.Value) =>
          Duration.isDuration(value) ? Duration.toMillis(value) / (key.endsWith("_MS") ? 1 : 1000) : value

        const circuit = yield* from({ [own]: a, [global]: b }, { a: mine })
        assert.deepStrictEqual([shown(circuit.value), circuit.variable], [expected(a), own])

        const policy = yield* from({ [global]: b }, { a: mine })
        assert.strictEqual(policy.source, "Policy")
        assert.strictEqual(policy.variable, own)
        assert.deepStrictEqual((yield* from({}, { a: mine })).value, policy.value)

        const all = yield* from({ [global]: b }, { a: undefined })
        assert.deepStrictEqual([shown(all.value), all.variable], [expected(b), global])

        const defaults = yield* from({}, { a: undefined })
        assert.strictEqual(defaults.source, "Policy")
        if (key !== "EXPONENTIAL_BACKOFF" && key !== "WINDOW_SIZE") assert.notDeepEqual(defaults.value, policy.value)

        // One setting says nothing about another.
        const environment = yield* load({ [own]: a }, { defaults: ours, circuits: { a: mine } })
        const changed = environment.settings.filter((setting) =>
          setting.circuit === "a" && setting.source === "Variable"
        )
        const window = ["FAILURE_WINDOW_SECONDS", "WINDOW_SIZE"]
        assert.deepStrictEqual(changed.map((setting) => setting.key), window.includes(key) ? window : [key])
      }))
  }

  const EVERYWHERE = Object.fromEntries(
    Object.entries(VALUES).filter(([key]) => key !== "WINDOW_SIZE").map(([key, [, b]]) => [`CIRCUIT_BREAKER_${key}`, b])
  )

  /** The settings that a policy in code does not leave to the global variables. */
  const claimed = (policy: CircuitPolicy.CircuitPolicy) =>
    Effect.map(
      load(EVERYWHERE, { circuits: { a: policy } }),
      ({ settings }) =>
        settings.filter(({ circuit, key, source }) => circuit === "a" && key in VALUES && source !== "Variable")
          .map(({ key }) => key)
    )

  const RULES = ["FAILURE_THRESHOLD", "FAILURE_RATE_THRESHOLD", "SLOW_CALL_THRESHOLD_MS", "SLOW_CALL_RATE_THRESHOLD"]
  const OPEN_TIME = ["RECOVERY_TIMEOUT", "EXPONENTIAL_BACKOFF", "BACKOFF_MULTIPLIER", "MAX_BACKOFF_SECONDS"]
  const classify = Outcome.failureUnless((error) => error === 404)

  it.effect("a policy in code claims the settings that it names, and no others", () =>
    Effect.gen(function*() {
      // Only the rules that are named apply, so that one of them claims all.
      assert.deepStrictEqual(yield* claimed(CircuitPolicy.make({ consecutiveFailures: 3 })), RULES)
      assert.deepStrictEqual(yield* claimed(CircuitPolicy.make({ failureRate: 0.4 })), RULES)
      assert.deepStrictEqual(
        yield* claimed(CircuitPolicy.make({ slowCallRate: 0.4, slowCallDuration: "1 second" })),
        RULES
      )
      assert.deepStrictEqual(yield* claimed(CircuitPolicy.make({ minimumCalls: 5 })), ["MINIMUM_REQUEST_THRESHOLD"])
      assert.deepStrictEqual(yield* claimed(CircuitPolicy.make({ window: { calls: 50 } })), [
        "FAILURE_WINDOW_SECONDS",
        "WINDOW_SIZE"
      ])
      assert.deepStrictEqual(yield* claimed(CircuitPolicy.make({ openDuration: "5 seconds" })), OPEN_TIME)
      assert.deepStrictEqual(yield* claimed(CircuitPolicy.make({ halfOpenMaxCalls: 1 })), ["HALF_OPEN_CALLS"])
      assert.deepStrictEqual(yield* claimed(CircuitPolicy.make({ halfOpenTimeout: "5 seconds" })), [
        "HALF_OPEN_TIMEOUT"
      ])
      // The default claims its setting if the code names it, and an option that is undefined is none.
      const options = { successThreshold: 2, minimumCalls: undefined }
      assert.deepStrictEqual(yield* claimed(CircuitPolicy.make(options)), ["SUCCESS_THRESHOLD"])
      assert.deepStrictEqual(yield* claimed(CircuitPolicy.production), [
        "FAILURE_THRESHOLD",
        "FAILURE_RATE_THRESHOLD",
        ...OPEN_TIME,
        "HALF_OPEN_CALLS",
        "SUCCESS_THRESHOLD",
        "SLOW_CALL_THRESHOLD_MS",
        "SLOW_CALL_RATE_THRESHOLD"
      ])
    }))

  it.effect("a policy in code claims nothing by what has no variable", () =>
    Effect.gen(function*() {
      const options: ReadonlyArray<CircuitPolicy.Options> = [
        {},
        { classify },
        { maxOpenDuration: "2 hours" },
        { halfOpenSample: { calls: 10, failureRate: 0.2 } },
        { measureDuration: false },
        { recovery: { duration: "1 minute" } },
        { interruptedAfter: "1 second" },
        { countUnreported: "success" },
        { describeFailure: false }
      ]
      assert.sameMembers(
        [
          ...options.flatMap((option) => Object.keys(option)),
          "consecutiveFailures",
          "failureRate",
          "slowCallRate",
          "slowCallDuration",
          "minimumCalls",
          "window",
          "openDuration",
          "halfOpenMaxCalls",
          "halfOpenTimeout",
          "successThreshold"
        ],
        Object.keys(CircuitPolicy.make()).filter((key) => key !== CircuitPolicy.TypeId)
      )
      for (const option of options) {
        const policy = CircuitPolicy.make(option)
        assert.deepStrictEqual(yield* claimed(policy), [])
        const { circuitPolicy, defaults } = yield* load(EVERYWHERE, { circuits: { a: policy } })
        const differing = CircuitPolicy.difference(circuitPolicy("a"), defaults)
        assert.deepStrictEqual(differing, Object.keys(option) as typeof differing)
      }
    }))

  it.effect("a policy that another was spread into claims what either names", () =>
    Effect.gen(function*() {
      const own = CircuitPolicy.make({ successThreshold: 4 })
      assert.deepStrictEqual(yield* claimed({ ...own, classify }), ["SUCCESS_THRESHOLD"])
      assert.deepStrictEqual(yield* claimed(CircuitPolicy.make({ ...own, minimumCalls: 20 })), [
        "MINIMUM_REQUEST_THRESHOLD",
        "SUCCESS_THRESHOLD"
      ])
      assert.deepStrictEqual(yield* claimed({ ...own, minimumCalls: 20 }), [
        "MINIMUM_REQUEST_THRESHOLD",
        "SUCCESS_THRESHOLD"
      ])
      assert.deepStrictEqual(yield* claimed(CircuitPolicy.make({ ...CircuitPolicy.make({ classify }) })), [])
      const ofPreset = yield* claimed(CircuitPolicy.production)
      assert.include(ofPreset, "HALF_OPEN_CALLS")
      assert.deepStrictEqual(yield* claimed(CircuitPolicy.make({ ...CircuitPolicy.production, classify })), ofPreset)
      assert.deepStrictEqual(yield* claimed({ ...CircuitPolicy.production, classify }), ofPreset)
    }))

  it.effect("a policy that another copy of the package made claims what is not the default", () =>
    Effect.gen(function*() {
      const foreign = { ...CircuitPolicy.kafka, [CircuitPolicy.TypeId]: {} }
      assert.notInclude(yield* claimed(foreign), "HALF_OPEN_TIMEOUT")
      assert.include(yield* claimed(foreign), "SUCCESS_THRESHOLD")
    }))

  it.effect("a policy with nothing but code in it follows the variables like none, here and with a call", () =>
    Effect.gen(function*() {
      const env = { CIRCUIT_BREAKER_FAILURE_THRESHOLD: "2", CIRCUIT_BREAKER_RECOVERY_TIMEOUT: "5" }
      const policy = CircuitPolicy.make({ classify })
      const none = (yield* load(env)).circuitPolicy("quote-api")
      const named = yield* load(env, { circuits: { "quote-api": policy } })
      const byDefault = yield* load(env, { defaults: policy })
      const atCall = (yield* load(env)).circuitPolicy("quote-api", policy)
      for (const found of [named.circuitPolicy("quote-api"), byDefault.circuitPolicy("quote-api"), atCall]) {
        assert.deepStrictEqual(found, { ...none, classify })
        assert.strictEqual(found.consecutiveFailures, 2)
      }
      // The same policy gives the same again, for whatever circuit without variables of its own.
      const { circuitPolicy } = yield* load({ ...env, CB_A_FAILURE_THRESHOLD: "9" })
      assert.strictEqual(circuitPolicy("b", policy), circuitPolicy("c", policy))
      assert.strictEqual(circuitPolicy("a", policy).consecutiveFailures, 9)
      assert.strictEqual(circuitPolicy("a", policy).classify, classify)
    }))

  it.effect("a global variable yields to what a policy in code names", () =>
    Effect.gen(function*() {
      const { circuitPolicy } = yield* load({ CIRCUIT_BREAKER_MINIMUM_REQUEST_THRESHOLD: "20" }, {
        circuits: { a: CircuitPolicy.make({ window: { calls: 5 } }) }
      })
      assert.deepStrictEqual(circuitPolicy("a").window, { calls: 5 })
      assert.strictEqual(circuitPolicy("a").minimumCalls, 5)
    }))

  it.effect("what a policy in code does not name is the library's default, not that of the default policy", () =>
    Effect.gen(function*() {
      const { circuitPolicy, settings } = yield* load({ CIRCUIT_BREAKER_HALF_OPEN_CALLS: "9" }, {
        defaults: CircuitPolicy.kafka,
        circuits: { a: CircuitPolicy.make({ classify }) }
      })
      assert.strictEqual(circuitPolicy("a").successThreshold, 2)
      assert.deepStrictEqual(
        settings.filter(({ circuit, key }) => circuit === "a" && key === "SUCCESS_THRESHOLD").map(({ source }) =>
          source
        ),
        ["Default"]
      )
    }))

  it.effect("of the request timeout: the circuit's variable, then the global one, whatever the policy", () =>
    Effect.gen(function*() {
      const { requestTimeout } = yield* load(
        { CB_A_REQUEST_TIMEOUT: "1", CIRCUIT_BREAKER_REQUEST_TIMEOUT_SECONDS: "2" },
        { circuits: { a: mine, b: mine } }
      )
      assert.deepStrictEqual([requestTimeout("a"), requestTimeout("b"), requestTimeout()], [
        seconds(1),
        seconds(2),
        seconds(2)
      ])
    }))

  it.effect("of the switch: the circuit's variable, then the global one, whatever the policy", () =>
    Effect.gen(function*() {
      const some = yield* load({ CB_PAYMENT_API_ENABLED: "false" }, { circuits: { "payment-api": mine, b: mine } })
      assert.deepStrictEqual(
        [some.enabled("payment-api"), some.enabled("paymentApi"), some.enabled("b"), some.enabled("c"), some.enabled()],
        [false, false, true, true, true]
      )
      const most = yield* load({ CIRCUIT_BREAKER_ENABLED: "no", CB_A_ENABLED: "yes" }, { circuits: { b: mine } })
      assert.deepStrictEqual([most.enabled("a"), most.enabled("b"), most.enabled()], [true, false, false])
      const { source, value, variable } = setting(most, "ENABLED", "b")
      assert.deepStrictEqual([value, source, variable], [false, "Variable", "CIRCUIT_BREAKER_ENABLED"])
      // A circuit that is off keeps its policy for when it is on.
      assert.strictEqual(most.circuitPolicy("b"), mine)
      assert.isTrue((yield* load({})).enabled("a"))
    }))

  it.effect("lets the window of a circuit be of another kind than that of all", () =>
    Effect.gen(function*() {
      const { circuitPolicy, defaults } = yield* load({
        CIRCUIT_BREAKER_WINDOW_SIZE: "50",
        CB_A_FAILURE_WINDOW_SECONDS: "20"
      })
      assert.deepStrictEqual(defaults.window, { calls: 50 })
      assert.deepStrictEqual(circuitPolicy("a").window, { duration: seconds(20), buckets: 10 })
    }))

  it.effect("puts the circuit's variables over a policy that comes with a call", () =>
    Effect.gen(function*() {
      const { circuitPolicy } = yield* load({ CB_A_FAILURE_THRESHOLD: "2", CIRCUIT_BREAKER_SUCCESS_THRESHOLD: "9" })
      const policy = circuitPolicy("a", CircuitPolicy.kafka)
      assert.deepStrictEqual(CircuitPolicy.difference(policy, CircuitPolicy.kafka), ["consecutiveFailures"])
      assert.strictEqual(circuitPolicy("a", CircuitPolicy.kafka), policy)
      assert.strictEqual(circuitPolicy("b", CircuitPolicy.kafka), CircuitPolicy.kafka)
    }))

  it.effect("lets what does not go together give way in a policy that comes with a call", () =>
    Effect.gen(function*() {
      const { circuitPolicy } = yield* load({
        CB_A_MINIMUM_REQUEST_THRESHOLD: "50",
        CB_A_EXPONENTIAL_BACKOFF: "true",
        CB_A_FAILURE_THRESHOLD: "off"
      })
      const policy = circuitPolicy(
        "a",
        CircuitPolicy.make({ consecutiveFailures: 1, window: { calls: 20 }, openDuration: 0 })
      )
      assert.strictEqual(policy.minimumCalls, 20)
      assert.deepStrictEqual(policy.openDuration, Duration.zero)
      // Without a rule the circuit would never open, and nobody would know.
      assert.strictEqual(policy.consecutiveFailures, 1)
      assert.strictEqual(policy.failureRate, undefined)
    }))
})

describe("a number too large for seconds", () => {
  it.effect("is refused with what to write instead, whether seconds or milliseconds were meant", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* problems({
          MAX_RETRY_ATTEMPTS: "3",
          RETRY_BASE_DELAY: "1000",
          RETRY_MAX_DELAY: "30000",
          CIRCUIT_BREAKER_FAILURE_THRESHOLD: "5",
          CIRCUIT_BREAKER_RECOVERY_TIMEOUT: "30000",
          CIRCUIT_BREAKER_REQUEST_TIMEOUT: " 2500 ",
          CIRCUIT_BREAKER_HALF_OPEN_TIMEOUT: "300000",
          CB_A_FAILURE_WINDOW_SECONDS: "60000.0"
        }),
        [
          `CIRCUIT_BREAKER_RECOVERY_TIMEOUT="30000" is 8h 20m in seconds; write "30s" if milliseconds were meant, or "30000s"`,
          `CIRCUIT_BREAKER_HALF_OPEN_TIMEOUT="300000" is 3d 11h 20m in seconds, at most 1d is accepted; write "5m" if milliseconds were meant`,
          `CIRCUIT_BREAKER_REQUEST_TIMEOUT=" 2500 " is 41m 40s in seconds; write "2s 500ms" if milliseconds were meant, or "2500s"`,
          `RETRY_BASE_DELAY="1000" is 16m 40s in seconds; write "1s" if milliseconds were meant, or "1000s"`,
          `RETRY_MAX_DELAY="30000" is 8h 20m in seconds; write "30s" if milliseconds were meant, or "30000s"`,
          `CB_A_FAILURE_WINDOW_SECONDS="60000.0" is 16h 40m in seconds; write "1m" if milliseconds were meant, or "60000s"`
        ]
      )
    }))

  it.effect("is accepted as it was told to be written", () =>
    Effect.gen(function*() {
      for (const variable of Environment.variables) {
        if (variable.unit !== "seconds") continue
        for (const number of ["3601", "30000", "86400"]) {
          const [problem] = yield* problems({ [variable.name]: number })
          const suggestions = Array.from(problem!.matchAll(/(?:write|or) "([^"]+)"/g), ([, text]) => text!)
          assert.isNotEmpty(suggestions, problem)
          for (const text of suggestions) {
            const { source, value } = setting(yield* load({ [variable.name]: text }), variable.key)
            assert.strictEqual(source, "Variable")
            const expected = text.endsWith("000s") || text.endsWith("3601s") || text === "86400s"
              ? seconds(Number(number))
              : Duration.millis(Number(number))
            assert.isTrue(isEqual(value, expected), `${variable.name}=${text}`)
          }
        }
      }
    }))

  it.effect("is no concern of milliseconds, nor of numbers that can be nothing else", () =>
    Effect.gen(function*() {
      yield* load({ CIRCUIT_BREAKER_SLOW_CALL_THRESHOLD_MS: "30000", CIRCUIT_BREAKER_SLOW_CALL_RATE_THRESHOLD: "0.5" })
      yield* load({ CIRCUIT_BREAKER_MAX_BACKOFF_SECONDS: "300", RETRY_BASE_DELAY: "60", RETRY_MAX_DELAY: "600" })
      const [problem] = yield* problems({ RETRY_BASE_DELAY: "9".repeat(40) })
      assert.include(problem, "must be a number of seconds from 0 to 90")
    }))
})

describe("values that contradict each other", () => {
  it.effect("are two spellings of one setting with two values", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* problems({ CIRCUIT_BREAKER_RECOVERY_TIMEOUT: "30", CIRCUIT_BREAKER_RECOVERY_TIMEOUT_SECONDS: "60" }),
        [`CIRCUIT_BREAKER_RECOVERY_TIMEOUT="30" and CIRCUIT_BREAKER_RECOVERY_TIMEOUT_SECONDS="60" are the same setting; set one of them`]
      )
      assert.deepStrictEqual(yield* problems({ CB_A_HALF_OPEN_TIMEOUT: "off", CB_A_HALF_OPEN_TIMEOUT_SECONDS: "60" }), [
        `CB_A_HALF_OPEN_TIMEOUT="off" and CB_A_HALF_OPEN_TIMEOUT_SECONDS="60" are the same setting; set one of them`
      ])
      const { defaults } = yield* load({
        CIRCUIT_BREAKER_HALF_OPEN_TIMEOUT: "30",
        CIRCUIT_BREAKER_HALF_OPEN_TIMEOUT_SECONDS: "30 seconds"
      })
      assert.deepStrictEqual(defaults.halfOpenTimeout, seconds(30))
    }))

  it.effect("are two windows at one level", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* problems({ CB_A_WINDOW_SIZE: "10", CB_A_FAILURE_WINDOW: "60" }), [
        `CB_A_FAILURE_WINDOW="60" and CB_A_WINDOW_SIZE="10" exclude each other; set one of them`
      ])
    }))

  it.effect("are windows of which none is left, while one that is off makes way for the other", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* problems({ CB_A_WINDOW_SIZE: "off", CB_A_FAILURE_WINDOW: "off" }), [
        `CB_A_FAILURE_WINDOW="off" and CB_A_WINDOW_SIZE="off" leave no window; set one of them`
      ])
      assert.deepStrictEqual(yield* problems({ CIRCUIT_BREAKER_FAILURE_WINDOW: "off" }), [
        `CIRCUIT_BREAKER_FAILURE_WINDOW="off" needs CIRCUIT_BREAKER_WINDOW_SIZE beside it`
      ])
      assert.deepStrictEqual(yield* problems({ CIRCUIT_BREAKER_WINDOW_SIZE: "50", CB_A_WINDOW_SIZE: "off" }), [
        `CB_A_WINDOW_SIZE="off" needs CB_A_FAILURE_WINDOW_SECONDS beside it`
      ])
      const { circuitPolicy, defaults } = yield* load({
        CIRCUIT_BREAKER_WINDOW_SIZE: "off",
        CB_A_WINDOW_SIZE: "50",
        CB_A_FAILURE_WINDOW: "off",
        CB_B_WINDOW_SIZE: "OFF",
        CB_B_FAILURE_WINDOW: "20s"
      })
      assert.deepStrictEqual(defaults.window, { duration: seconds(60), buckets: 10 })
      assert.deepStrictEqual(circuitPolicy("a").window, { calls: 50 })
      assert.deepStrictEqual(circuitPolicy("b").window, { duration: seconds(20), buckets: 10 })
    }))

  it.effect("are a slow-call time without a rate, or a rate without a time", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* problems({ CIRCUIT_BREAKER_SLOW_CALL_THRESHOLD_MS: "500" }), [
        `CIRCUIT_BREAKER_SLOW_CALL_THRESHOLD_MS="500" needs CIRCUIT_BREAKER_SLOW_CALL_RATE_THRESHOLD beside it`
      ])
      assert.deepStrictEqual(yield* problems({ CB_A_SLOW_CALL_RATE_THRESHOLD: "0.5" }), [
        `CB_A_SLOW_CALL_RATE_THRESHOLD="0.5" needs CB_A_SLOW_CALL_THRESHOLD_MS beside it`
      ])
      // Half of it may be said of all.
      const { circuitPolicy } = yield* load({
        CIRCUIT_BREAKER_SLOW_CALL_THRESHOLD_MS: "500",
        CIRCUIT_BREAKER_SLOW_CALL_RATE_THRESHOLD: "0.5",
        CB_A_SLOW_CALL_RATE_THRESHOLD: "0.9",
        CB_B_SLOW_CALL_RATE_THRESHOLD: "off"
      })
      assert.strictEqual(circuitPolicy("a").slowCallRate, 0.9)
      assert.deepStrictEqual(circuitPolicy("a").slowCallDuration, Duration.millis(500))
      assert.strictEqual(circuitPolicy("b").slowCallDuration, undefined)
    }))

  it.effect("are more minimum calls than the window has", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* problems({ CIRCUIT_BREAKER_MINIMUM_REQUEST_THRESHOLD: "11", CB_A_WINDOW_SIZE: "10" }),
        [`CIRCUIT_BREAKER_MINIMUM_REQUEST_THRESHOLD="11" must be at most CB_A_WINDOW_SIZE="10"`]
      )
      assert.deepStrictEqual(
        yield* problems(
          { CB_A_MINIMUM_REQUEST_THRESHOLD: "11" },
          { circuits: { a: CircuitPolicy.make({ window: { calls: 10 } }) } }
        ),
        [`CB_A_MINIMUM_REQUEST_THRESHOLD="11" must be at most the 10 calls that the code has for the window`]
      )
      const equal = yield* load({ CB_A_MINIMUM_REQUEST_THRESHOLD: "10", CB_A_WINDOW_SIZE: "10" })
      assert.strictEqual(equal.circuitPolicy("a").minimumCalls, 10)
      const yielding = yield* load({ CIRCUIT_BREAKER_WINDOW_SIZE: "4" })
      assert.strictEqual(yielding.defaults.minimumCalls, 4)
    }))

  it.effect("are a maximum of the backoff below its start", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* problems({ CIRCUIT_BREAKER_MAX_BACKOFF_SECONDS: "30", CB_A_RECOVERY_TIMEOUT: "1 minute" }),
        [`CIRCUIT_BREAKER_MAX_BACKOFF_SECONDS="30" must be at least CB_A_RECOVERY_TIMEOUT="1 minute"`]
      )
      const start = yield* load({ CIRCUIT_BREAKER_RECOVERY_TIMEOUT: "600" })
      assert.deepStrictEqual(
        start.defaults.openDuration,
        CircuitPolicy.exponential({ initial: "10 minutes", maximum: "10 minutes" })
      )
      const maximum = yield* load({ CIRCUIT_BREAKER_MAX_BACKOFF_SECONDS: "30" })
      assert.deepStrictEqual(
        maximum.defaults.openDuration,
        CircuitPolicy.exponential({ initial: "30 seconds", maximum: "30 seconds" })
      )
      assert.deepStrictEqual(setting(maximum, "RECOVERY_TIMEOUT").value, seconds(30))
    }))

  it.effect("are a backoff that starts with no time at all", () =>
    Effect.gen(function*() {
      const circuits = { a: CircuitPolicy.make({ consecutiveFailures: 1, openDuration: 0 }) }
      assert.deepStrictEqual(yield* problems({ CB_A_EXPONENTIAL_BACKOFF: "true" }, { circuits }), [
        `CB_A_EXPONENTIAL_BACKOFF="true" needs CB_A_RECOVERY_TIMEOUT beside it: the code opens for 0`
      ])
    }))

  it.effect("are a longest wait before a retry that is shorter than the first", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* problems({ RETRY_BASE_DELAY: "2", RETRY_MAX_DELAY_SECONDS: "1" }), [
        `RETRY_MAX_DELAY_SECONDS="1" must be at least RETRY_BASE_DELAY="2"`
      ])
      assert.deepStrictEqual((yield* load({ RETRY_BASE_DELAY: "90" })).retry.maxDelay, seconds(90))
      assert.deepStrictEqual((yield* load({ RETRY_MAX_DELAY: "0.5" })).retry.baseDelay, seconds(0.5))
    }))

  it.effect("are rules that are all off", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* problems({ CIRCUIT_BREAKER_FAILURE_THRESHOLD: "off", CIRCUIT_BREAKER_FAILURE_RATE_THRESHOLD: "off" }),
        [`CIRCUIT_BREAKER_FAILURE_THRESHOLD="off" and CIRCUIT_BREAKER_FAILURE_RATE_THRESHOLD="off" must leave a rule that opens the circuit`]
      )
      assert.deepStrictEqual(
        yield* problems({ CB_A_FAILURE_THRESHOLD: "off" }, { circuits: { a: CircuitPolicy.fastFail } }),
        [`CB_A_FAILURE_THRESHOLD="off" must leave a rule that opens the circuit`]
      )
    }))

  it.effect("are reported once, however many circuits inherit them", () =>
    Effect.gen(function*() {
      const lines = yield* problems({
        CIRCUIT_BREAKER_SLOW_CALL_THRESHOLD_MS: "500",
        CB_A_HALF_OPEN_CALLS: "1",
        CB_B_HALF_OPEN_CALLS: "1"
      }, { circuits: { c: undefined } })
      assert.strictEqual(lines.length, 1)
    }))

  it.effect("do not follow from a value that is not accepted", () =>
    Effect.gen(function*() {
      for (
        const env of [
          { CIRCUIT_BREAKER_SLOW_CALL_THRESHOLD_MS: "500", CIRCUIT_BREAKER_SLOW_CALL_RATE_THRESHOLD: "x" },
          { CIRCUIT_BREAKER_MINIMUM_REQUEST_THRESHOLD: "30", CIRCUIT_BREAKER_WINDOW_SIZE: "x" },
          { CIRCUIT_BREAKER_FAILURE_WINDOW: "x", CIRCUIT_BREAKER_WINDOW_SIZE: "10" },
          { CIRCUIT_BREAKER_FAILURE_THRESHOLD: "off", CIRCUIT_BREAKER_FAILURE_RATE_THRESHOLD: "x" },
          { CIRCUIT_BREAKER_RECOVERY_TIMEOUT: "x", CIRCUIT_BREAKER_RECOVERY_TIMEOUT_SECONDS: "30" },
          { CB_A_FAILURE_THRESHOLD: "x", CIRCUIT_BREAKER_FAILURE_THRESHOLD: "3" }
        ]
      ) {
        assert.match((yield* problems(env)).join("\n"), /^\S+="x" must be .*$/)
      }
    }))
})

describe("names", () => {
  it.effect("have a suggestion if they are nearly known", () =>
    Effect.gen(function*() {
      const misspelt = {
        CIRCUIT_BREAKER_FAILURE_TRESHOLD: "CIRCUIT_BREAKER_FAILURE_THRESHOLD",
        CIRCUIT_BREAKER_FAILURE_THERSHOLD: "CIRCUIT_BREAKER_FAILURE_THRESHOLD",
        CIRCUIT_BREAKER_HALFOPEN_CALLS: "CIRCUIT_BREAKER_HALF_OPEN_CALLS",
        CIRCUIT_BRAKER_WINDOW_SIZE: "CIRCUIT_BREAKER_WINDOW_SIZE",
        CIRCUT_BREAKER_WINDOW_SIZE: "CIRCUIT_BREAKER_WINDOW_SIZE",
        CIRCUITBREAKER_WINDOW_SIZE: "CIRCUIT_BREAKER_WINDOW_SIZE",
        CB_PAYMENT_API_FAILURE_THRESHHOLD: "CB_PAYMENT_API_FAILURE_THRESHOLD",
        CB_PAYMENT_API_RECOVERY_TIMEOUT_SECOND: "CB_PAYMENT_API_RECOVERY_TIMEOUT_SECONDS",
        CB_FAILURE_THRESHOLD: "CIRCUIT_BREAKER_FAILURE_THRESHOLD",
        CB_FAILURE_TRESHOLD: "CIRCUIT_BREAKER_FAILURE_THRESHOLD",
        MAX_RETRY_ATEMPTS: "MAX_RETRY_ATTEMPTS",
        MAX_RETY_ATTEMPTS: "MAX_RETRY_ATTEMPTS",
        RETRY_MAX_DEALY: "RETRY_MAX_DELAY",
        RETRY_JITTER_ENABLE: "RETRY_JITTER_ENABLED",
        HEALTH_CHECK_INTERVALS: "HEALTH_CHECK_INTERVAL"
      }
      for (const [name, meant] of Object.entries(misspelt)) {
        assert.deepStrictEqual(yield* problems({ [name]: "5" }), [`${name} is unknown; did you mean ${meant}?`])
      }
    }))

  it.effect("that other libraries and habits have are told by what to write", () =>
    Effect.gen(function*() {
      const expected = {
        RETRY_BASE_DELAY_MS: `did you mean RETRY_BASE_DELAY? It takes seconds, or a duration such as "500ms"`,
        RETRY_INITIAL_DELAY_MS: `did you mean RETRY_BASE_DELAY? It takes seconds, or a duration such as "500ms"`,
        RETRY_MAX_DELAY_MILLIS: `did you mean RETRY_MAX_DELAY? It takes seconds, or a duration such as "500ms"`,
        RETRY_MAX_ATTEMPTS: "did you mean MAX_RETRY_ATTEMPTS?",
        RETRY_ATTEMPTS: "did you mean MAX_RETRY_ATTEMPTS?",
        MAX_RETRIES: "did you mean MAX_RETRY_ATTEMPTS? It counts the first call as well",
        RETRY_MULTIPLIER: "did you mean RETRY_EXPONENTIAL_BASE?",
        RETRY_JITTER: "did you mean RETRY_JITTER_ENABLED?",
        HEALTH_CHECK_INTERVAL_MS: `did you mean HEALTH_CHECK_INTERVAL? It takes seconds, or a duration such as "500ms"`,
        CIRCUIT_BREAKER_TIMEOUT:
          "did you mean CIRCUIT_BREAKER_RECOVERY_TIMEOUT or CIRCUIT_BREAKER_REQUEST_TIMEOUT_SECONDS?",
        CIRCUIT_BREAKER_RESET_TIMEOUT: "did you mean CIRCUIT_BREAKER_RECOVERY_TIMEOUT?",
        CIRCUIT_BREAKER_RECOVERY_TIMEOUT_MS:
          `did you mean CIRCUIT_BREAKER_RECOVERY_TIMEOUT? It takes seconds, or a duration such as "500ms"`,
        CIRCUIT_BREAKER_ERROR_THRESHOLD_PERCENTAGE:
          "did you mean CIRCUIT_BREAKER_FAILURE_RATE_THRESHOLD? It takes a share from 0 to 1",
        CIRCUIT_BREAKER_DISABLED: "did you mean CIRCUIT_BREAKER_ENABLED? It says the opposite",
        CB_PAYMENT_API_RESET_TIMEOUT: "did you mean CB_PAYMENT_API_RECOVERY_TIMEOUT?",
        CB_PAYMENT_API_SLIDING_WINDOW_SIZE: "did you mean CB_PAYMENT_API_WINDOW_SIZE?",
        CB_RESET_TIMEOUT: "did you mean CIRCUIT_BREAKER_RECOVERY_TIMEOUT?"
      }
      for (const [name, problem] of Object.entries(expected)) {
        assert.deepStrictEqual(yield* problems({ [name]: "5" }), [`${name} is unknown; ${problem}`])
      }
    }))

  it.effect("that are synonyms are refused, each of them, for what there is", () =>
    Effect.gen(function*() {
      const names = Environment.variables.flatMap(({ aliases, name }) => [name, ...aliases])
      const all = (table: typeof Synonyms.ofCalls, prefix: string) =>
        table.rows.flatMap(([, names]) => names.trim().split(/\s+/)).flatMap((name) =>
          ["", "_MS", "_MILLIS", "_MILLISECONDS"].flatMap((ending) => {
            const synonym = Synonyms.synonymOf(name + ending, table)
            return synonym === undefined ? [] : [{ name, ending, prefix, means: synonym.means }]
          })
        )
      const synonyms = [
        ...all(Synonyms.ofCircuits, "CIRCUIT_BREAKER_"),
        ...all(Synonyms.ofCircuits, "CB_PAYMENT_API_"),
        ...all(Synonyms.ofCalls, "")
      ]
      assert.isAbove(synonyms.length, 200)
      for (const { ending, means, name, prefix } of synonyms) {
        const options = { circuits: { "payment-api": undefined } }
        const variable = prefix + name + ending
        const [problem, ...others] = yield* problems({ [variable]: "5" }, options)
        assert.deepStrictEqual(others, [])
        const meant = means.map((key) => prefix + key)
        assert.include(problem, `${variable} is unknown; did you mean ${meant.join(" or ")}?`)
        for (const name of meant) {
          assert.include(names, name.replace("CB_PAYMENT_API_", "CIRCUIT_BREAKER_"))
        }
        assert.notInclude(names, variable)
      }
    }))

  it.effect("of circuits that are nearly those in code are told, others are left alone", () =>
    Effect.gen(function*() {
      const circuits = {
        "payment-api": undefined,
        kafka: undefined,
        "tenant-1": undefined,
        "api-v1": undefined,
        a: undefined
      }
      assert.sameMembers(
        [
          ...yield* problems({
            CB_PAYMNT_API_FAILURE_THRESHOLD: "3",
            CB_PAYMENTAPI_RECOVERY_TIMEOUT_SECONDS: "3",
            CB_KAFAK_ENABLED: "false",
            CB_PAYMNT_API_FAILURE_TRESHOLD: "3"
          }, { circuits })
        ],
        [
          "CB_PAYMNT_API_FAILURE_THRESHOLD matches no circuit in the code; did you mean CB_PAYMENT_API_FAILURE_THRESHOLD?",
          "CB_PAYMENTAPI_RECOVERY_TIMEOUT_SECONDS matches no circuit in the code; did you mean CB_PAYMENT_API_RECOVERY_TIMEOUT_SECONDS?",
          "CB_KAFAK_ENABLED matches no circuit in the code; did you mean CB_KAFKA_ENABLED?",
          "CB_PAYMNT_API_FAILURE_TRESHOLD is unknown; did you mean CB_PAYMENT_API_FAILURE_THRESHOLD?"
        ]
      )
      // What is far from all of them, short, or another number, may come while the program runs.
      const others = { EMAIL_API: "2", TENANT_2: "3", TENANT_12: "4", API_V2: "5", B: "6", PAYMENT: "7" }
      const environment = yield* load(
        Object.fromEntries(
          Object.entries(others).map(([name, threshold]) => [`CB_${name}_FAILURE_THRESHOLD`, threshold])
        ),
        { circuits }
      )
      for (const [name, threshold] of Object.entries(others)) {
        assert.strictEqual(environment.circuitPolicy(name).consecutiveFailures, Number(threshold))
      }
      // A name in code is right, however near to another.
      yield* load({ CB_PAYMNT_API_FAILURE_THRESHOLD: "3" }, { circuits: { ...circuits, "paymnt-api": undefined } })
      // Where no circuit is named, any may be meant.
      yield* load({ CB_PAYMNT_API_FAILURE_THRESHOLD: "3" })
    }))

  it.effect("of circuits that are alike do not disturb each other where each is read for itself", () =>
    Effect.gen(function*() {
      const env = withEnv({ CB_USER_API_FAILURE_THRESHOLD: "2", CB_USERS_API_FAILURE_THRESHOLD: "3" })
      assert.strictEqual((yield* env(Environment.circuitPolicy("user-api"))).consecutiveFailures, 2)
      assert.strictEqual((yield* env(Environment.circuitPolicy("users-api"))).consecutiveFailures, 3)
      yield* env(Resilience.standardConfig("user-api"))
      class UserApi extends CircuitBreaker.Service<UserApi>()("user-api") {}
      yield* env(Effect.asVoid(UserApi).pipe(Effect.provide(UserApi.layerConfig)))
    }))

  it.effect("have to be known after CIRCUIT_BREAKER_, and after the prefix of a circuit in code", () =>
    Effect.gen(function*() {
      const known = "FAILURE_THRESHOLD, FAILURE_RATE_THRESHOLD, MINIMUM_REQUEST_THRESHOLD, FAILURE_WINDOW_SECONDS, "
      const [global] = yield* problems({ CIRCUIT_BREAKER_COLOUR: "red" })
      assert.include(global, `CIRCUIT_BREAKER_COLOUR is unknown; known names after CIRCUIT_BREAKER_ are ${known}`)
      const [circuit] = yield* problems({ CB_PAYMENT_API_URL: "https" }, { circuits: { paymentApi: undefined } })
      assert.include(circuit, `CB_PAYMENT_API_URL is unknown; known names after CB_PAYMENT_API_ are ${known}`)
    }))

  it.effect("of others are left alone, and their values never shown", () =>
    Effect.gen(function*() {
      const env = {
        CB_USERNAME: "secret",
        CB_PASSWORD: "secret",
        CB_PAYMENT_API_URL: "secret",
        CB: "secret",
        CB_CONNECT_TIMEOUT: "secret",
        CB_QUERY_TIMEOUT_MS: "secret",
        MAX_OLD_SPACE: "secret",
        RETRY_TOKEN: "secret",
        RETRY: "secret",
        RETRY_POLICY: "secret",
        HEALTH_CHECK_URL: "secret",
        CIRCUIT: "secret",
        CIRCUIT_BOARD: "secret",
        AWS_SECRET: "secret"
      }
      const environment = yield* load(env)
      assert.isTrue(environment.settings.every((setting) => setting.source === "Default"))

      const unknown = {
        CIRCUIT_BREAKER_TOKEN: "secret",
        CB_PAYMENT_API_FAILURE_THRESHOLDS: "secret",
        CB_PAYMENT_API_PASSWORD: "secret",
        RETRY_MAX_DELAYS: "secret"
      }
      const error = yield* Effect.flip(load({ ...env, ...unknown }, { circuits: { "payment-api": undefined } }))
      for (const name of Object.keys(unknown)) assert.include(error.message, name)
      assert.notInclude(error.message, "secret")
      assert.notInclude(Cause.pretty(Cause.fail(error)), "secret")
    }))

  // migration: create_from_environment(name, prefix=…)
  it.effect("of circuits may be written in many ways", () =>
    Effect.gen(function*() {
      const { circuitPolicy } = yield* load({
        CB_PAYMENT_API_FAILURE_THRESHOLD: "2",
        CB_TIER1_MCP_FAILURE_THRESHOLD: "3"
      })
      for (
        const name of [
          "payment-api",
          "payment_api",
          "Payment API",
          "paymentApi",
          "PaymentApi",
          "PAYMENT_API",
          "/payment/api/"
        ]
      ) {
        assert.strictEqual(circuitPolicy(name).consecutiveFailures, 2, name)
      }
      assert.strictEqual(circuitPolicy("tier1_mcp").consecutiveFailures, 3)
      for (const name of ["paymentapi", "payment", "api", "", "支払い", "__proto__", "constructor"]) {
        assert.strictEqual(circuitPolicy(name).consecutiveFailures, 5, name)
      }
    }))

  it.effect("of circuits may be the start of another's", () =>
    Effect.gen(function*() {
      const { circuitPolicy } = yield* load(
        { CB_PAYMENT_FAILURE_THRESHOLD: "2", CB_PAYMENT_API_FAILURE_THRESHOLD: "3" },
        { circuits: { payment: undefined, "payment-api": undefined } }
      )
      assert.strictEqual(circuitPolicy("payment").consecutiveFailures, 2)
      assert.strictEqual(circuitPolicy("payment-api").consecutiveFailures, 3)
    }))

  it.effect("of circuits may be numbers of any size, or have them", () =>
    Effect.gen(function*() {
      const numbers = [
        "0",
        "7",
        "9999",
        "10000",
        "4294967290",
        "4294967294",
        "4294967295",
        "99999999999999999999",
        "007"
      ]
      for (const prefix of ["", "TENANT_"]) {
        const name = (number: string) => `${prefix}${number}`
        const all = yield* load(
          Object.fromEntries(numbers.map((number, i) => [`CB_${name(number)}_FAILURE_THRESHOLD`, `${10 + i}`]))
        )
        for (const [i, number] of numbers.entries()) {
          assert.strictEqual(all.circuitPolicy(name(number)).consecutiveFailures, 10 + i, name(number))
        }
        // Alone they make an array of words, from the first number to that one.
        for (const number of numbers) {
          const alone = yield* load({ [`CB_${name(number)}_FAILURE_THRESHOLD`]: "2" })
          assert.strictEqual(alone.circuitPolicy(name(number)).consecutiveFailures, 2, name(number))
          assert.deepStrictEqual(yield* problems({ [`CB_${name(number)}_FAILURE_THRESHOLD`]: "nonsense" }), [
            `CB_${name(number)}_FAILURE_THRESHOLD="nonsense" must be an integer from 1 to 1000000, or "off"`
          ])
          assert.deepStrictEqual(yield* problems({ [`CB_${name(number)}_FAILURE_TRESHOLD`]: "2" }), [
            `CB_${name(number)}_FAILURE_TRESHOLD is unknown; did you mean CB_${name(number)}_FAILURE_THRESHOLD?`
          ])
        }
        const some = yield* load(
          Object.fromEntries(["7", "10000", "123456"].map((n) => [`CB_${name(n)}_FAILURE_THRESHOLD`, "2"]))
        )
        for (const number of ["7", "10000", "123456"]) {
          assert.strictEqual(some.circuitPolicy(name(number)).consecutiveFailures, 2, name(number))
        }
      }
    }))

  it.effect("of circuits may be numbers that are far apart, in the process environment", () =>
    Effect.gen(function*() {
      const env = Object.fromEntries(
        ["5", "123456", "40000000", "4000000000"].map((n) => [`ACME_CB_TENANT_${n}_FAILURE_THRESHOLD`, "2"])
      )
      yield* Effect.acquireRelease(
        Effect.sync(() => Object.assign(process.env, env)),
        () => Effect.sync(() => Object.keys(env).forEach((name) => delete process.env[name]))
      )
      const provider = ConfigProvider.nested(ConfigProvider.fromEnv(), "ACME")
      const { circuitPolicy } = yield* withProvider(provider)(Environment.load())
      for (const number of ["5", "123456", "40000000", "4000000000"]) {
        assert.strictEqual(circuitPolicy(`tenant-${number}`).consecutiveFailures, 2, number)
      }
    }))

  it.effect("with numbers cost little, however large these are", () =>
    Effect.gen(function*() {
      let asked = 0
      const source = ConfigProvider.fromEnv({
        env: {
          MAX_4294967294: "1",
          RETRY_4294967294: "1",
          CB_10000_FAILURE_THRESHOLD: "2",
          CB_1000000_4294967294_X: "1",
          CB_4294967294_X: "1"
        }
      })
      const counting = source.pipe(ConfigProvider.mapInput((path) => {
        asked++
        return path
      }))
      const { circuitPolicy } = yield* withProvider(counting)(Environment.load())
      assert.strictEqual(circuitPolicy("10000").consecutiveFailures, 2)
      assert.isBelow(asked, 25_000)
    }))

  it.effect("without letters have no variables, not even those of nobody", () =>
    Effect.gen(function*() {
      const { circuitPolicy } = yield* load({ CIRCUIT_BREAKER_FAILURE_THRESHOLD: "2" }, {
        circuits: { "支払い": undefined, "✓": CircuitPolicy.kafka }
      })
      assert.strictEqual(circuitPolicy("支払い").consecutiveFailures, 2)
      assert.strictEqual(circuitPolicy("✓"), CircuitPolicy.kafka)
    }))

  it("are told apart by variableName", () => {
    const names = { "payment-api": "PAYMENT_API", OAuth2: "O_AUTH2", "a..b  c": "A_B_C", "-x-": "X", "é": "", "": "" }
    for (const [name, expected] of Object.entries(names)) {
      assert.strictEqual(Environment.variableName(name), expected)
    }
  })
})

describe("errors", () => {
  // migration: CB_EMAIL_SERVICE_FAILURE_THRESHOLD
  it.effect("have all problems, one a line", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(load({
        CIRCUIT_BREAKER_FAILURE_THRESHOLD: "five",
        CIRCUIT_BREAKER_RECOVERY_TIMEOUT: "-1",
        CIRCUIT_BREAKER_SUCCESS_TRESHOLD: "2",
        CB_PAYMENT_API_FAILURE_RATE_THRESHOLD: "50",
        CB_PAYMENT_API_MINIMUM_REQUEST_THRESHOLD: "20",
        CB_PAYMENT_API_WINDOW_SIZE: "10",
        MAX_RETRY_ATTEMPTS: "0",
        RETRY_BASE_DELAY: "5",
        RETRY_MAX_DELAY: "1",
        HEALTH_CHECK_INTERVAL: "1e9"
      }))
      assert.strictEqual(error._tag, "ConfigError")
      assert.strictEqual(error.cause._tag, "SchemaError")
      assert.deepStrictEqual(error.cause.message.split("\n"), [
        `CIRCUIT_BREAKER_FAILURE_THRESHOLD="five" must be an integer from 1 to 1000000, or "off"`,
        `CIRCUIT_BREAKER_RECOVERY_TIMEOUT="-1" must be a number of seconds from 0.001 to 3600, or a duration up to 1d such as "30s"`,
        `MAX_RETRY_ATTEMPTS="0" must be an integer from 1 to 1000`,
        `HEALTH_CHECK_INTERVAL="1e9" must be a number of seconds from 0.001 to 3600, or a duration up to 1d such as "30s"`,
        `RETRY_MAX_DELAY="1" must be at least RETRY_BASE_DELAY="5"`,
        `CB_PAYMENT_API_FAILURE_RATE_THRESHOLD="50" must be a number from 0 to 1, or "off"`,
        `CB_PAYMENT_API_MINIMUM_REQUEST_THRESHOLD="20" must be at most CB_PAYMENT_API_WINDOW_SIZE="10"`,
        "CIRCUIT_BREAKER_SUCCESS_TRESHOLD is unknown; did you mean CIRCUIT_BREAKER_SUCCESS_THRESHOLD?"
      ])
    }))

  it.effect("stay on one line and short, whatever the value", () =>
    Effect.gen(function*() {
      const [line, ...others] = yield* problems({
        CIRCUIT_BREAKER_FAILURE_THRESHOLD: `1\n2\u0000${"9".repeat(10_000)}`
      })
      assert.deepStrictEqual(others, [])
      assert.isBelow(line!.length, 250)
    }))

  it.effect("of the source stay what they are", () =>
    Effect.gen(function*() {
      const cause = new ConfigProvider.SourceError({ message: "connection refused" })
      const error = yield* Environment.load().pipe(
        withProvider(ConfigProvider.make(() => Effect.fail(cause))),
        Effect.flip
      )
      assert.strictEqual(error._tag, "ConfigError")
      assert.strictEqual(error.cause, cause)
    }))

  it.effect("end with interruption if the source does", () =>
    Effect.gen(function*() {
      const exit = yield* Environment.load().pipe(
        withProvider(ConfigProvider.make(() => Effect.interrupt)),
        Effect.exit
      )
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    }))

  it("are all that load adds to the error channel", () => {
    expectTypeOf(Environment.load()).toEqualTypeOf<Effect.Effect<Environment.Environment, Config.ConfigError>>()
    expectTypeOf(Environment.circuitPolicy("a")).toEqualTypeOf<
      Effect.Effect<CircuitPolicy.CircuitPolicy, Config.ConfigError>
    >()
    expectTypeOf(CircuitBreakerRegistry.layerConfig()).toEqualTypeOf<
      Layer.Layer<CircuitBreakerRegistry.CircuitBreakerRegistry, Config.ConfigError>
    >()
    expectTypeOf<Environment.RetryOptions>().toExtend<Retry.Options>()
  })
})

describe("inspect", () => {
  const inspect = (env: Env, options?: Environment.Options) => withEnv(env)(Environment.inspect(options))

  it.effect("gives what is right, and the problems that load fails with", () =>
    Effect.gen(function*() {
      const env = {
        CIRCUIT_BREAKER_FAILURE_THRESHOLD: "7",
        CIRCUIT_BREAKER_SUCCESS_TRESHOLD: "3",
        CIRCUIT_BREAKER_RECOVERY_TIMEOUT: "30000",
        CB_PAYMENT_API_FAILURE_RATE_THRESHOLD: "50",
        CB_PAYMENT_API_SUCCESS_THRESHOLD: "4",
        CB_PAYMENT_API_ENABLED: "no",
        RETRY_MAX_DELAY: "5",
        RETRY_BASE_DELAY: "10",
        MAX_RETRIES: "3"
      }
      const { environment, problems: found } = yield* inspect(env)
      assert.deepStrictEqual(found, yield* problems(env))
      const set = environment.settings.filter(({ source }) => source === "Variable").map(({ circuit, variable }) =>
        `${variable} ${circuit ?? ""}`
      )
      assert.deepStrictEqual(set, [
        "CIRCUIT_BREAKER_FAILURE_THRESHOLD ",
        "CIRCUIT_BREAKER_FAILURE_THRESHOLD PAYMENT_API",
        "CB_PAYMENT_API_SUCCESS_THRESHOLD PAYMENT_API",
        "CB_PAYMENT_API_ENABLED PAYMENT_API"
      ])
      assert.strictEqual(environment.circuitPolicy("payment-api").successThreshold, 4)
      assert.isFalse(environment.enabled("payment-api"))
      assert.deepStrictEqual(environment.retry.maxDelay, seconds(60))
    }))

  it.effect("leaves out what only another mistake has hidden", () =>
    Effect.gen(function*() {
      const { environment, problems } = yield* inspect({
        CIRCUIT_BREAKER_SLOW_CALL_THRESHOLD_MS: "soon",
        CIRCUIT_BREAKER_SLOW_CALL_RATE_THRESHOLD: "0.5"
      })
      assert.strictEqual(problems.length, 1)
      assert.deepStrictEqual(environment.settings.filter(({ source }) => source === "Variable"), [])
    }))

  it.effect("is load where nothing is wrong", () =>
    Effect.gen(function*() {
      const env = { CIRCUIT_BREAKER_FAILURE_THRESHOLD: "7", CB_KAFKA_SUCCESS_THRESHOLD: "4" }
      const options = { circuits: { kafka: CircuitPolicy.kafka } }
      const { environment, problems } = yield* inspect(env, options)
      assert.deepStrictEqual(problems, [])
      assert.deepStrictEqual(environment.settings, (yield* load(env, options)).settings)
    }))

  it.effect("has the defaults where nothing can be read", () =>
    Effect.gen(function*() {
      const cause = new ConfigProvider.SourceError({ message: "connection refused" })
      const { environment, problems } = yield* Environment.inspect({ circuits: { kafka: CircuitPolicy.kafka } }).pipe(
        withProvider(ConfigProvider.make(() => Effect.fail(cause)))
      )
      assert.deepStrictEqual(problems, ["connection refused"])
      assert.strictEqual(environment.circuitPolicy("kafka"), CircuitPolicy.kafka)
      expectTypeOf(Environment.inspect()).toEqualTypeOf<Effect.Effect<Environment.Inspection>>()
    }))
})

describe("providers", () => {
  const threshold = (provider: ConfigProvider.ConfigProvider, circuit: string) =>
    Environment.load().pipe(
      withProvider(provider),
      Effect.map(({ circuitPolicy, defaults }) => [
        defaults.consecutiveFailures,
        circuitPolicy(circuit).consecutiveFailures
      ])
    )

  const env = { CIRCUIT_BREAKER_FAILURE_THRESHOLD: "7", CB_PAYMENT_API_FAILURE_THRESHOLD: "3" }
  const mistyped = { ...env, CIRCUIT_BREAKER_FAILURE_TRESHOLD: "7" }

  const prefixed = (prefix: string, env: Env) =>
    Object.fromEntries(Object.entries(env).map(([name, value]) => [prefix + name, value]))

  const providers: Record<string, (env: Env) => ConfigProvider.ConfigProvider> = {
    "the environment": (env) => ConfigProvider.fromEnv({ env }),
    "a record": (env) => ConfigProvider.fromUnknown(env),
    "a nested record": (env) =>
      ConfigProvider.fromUnknown({ acme: { breakers: env } }).pipe(ConfigProvider.nested(["acme", "breakers"])),
    "the environment under a prefix": (env) =>
      ConfigProvider.fromEnv({ env: prefixed("acme_", env) }).pipe(ConfigProvider.nested("acme")),
    "the environment under a prefix of two words": (env) =>
      ConfigProvider.fromEnv({ env: prefixed("ACME_APP_", env) }).pipe(ConfigProvider.nested("ACME_APP")),
    "the environment under a prefix in constant case": (env) =>
      ConfigProvider.fromEnv({ env: prefixed("ACME_APP_", env) }).pipe(
        ConfigProvider.nested("acmeApp"),
        ConfigProvider.constantCase
      ),
    "a .env file": (env) =>
      ConfigProvider.fromDotEnvContents(Object.entries(env).map(([name, value]) => `${name}=${value}`).join("\n")),
    "the second of two": (env) =>
      ConfigProvider.fromEnv({ env: { CB_OTHER_FAILURE_THRESHOLD: "1", CIRCUIT_BREAKER_SUCCESS_THRESHOLD: "1" } }).pipe(
        ConfigProvider.orElse(ConfigProvider.fromEnv({ env }))
      ),
    "the third of three under a prefix": (env) =>
      ConfigProvider.fromEnv({ env: { APP_CB_OTHER_FAILURE_THRESHOLD: "1" } }).pipe(
        ConfigProvider.orElse(ConfigProvider.fromUnknown({ APP: { CIRCUIT_BREAKER_SUCCESS_THRESHOLD: 1 } })),
        ConfigProvider.orElse(ConfigProvider.fromUnknown({ APP: env })),
        ConfigProvider.nested("APP")
      )
  }

  it.effect("a prefix of several words: circuits whose name is a number", () =>
    Effect.gen(function*() {
      const provider = providers["the environment under a prefix of two words"]!
      const environment = yield* withProvider(provider({ CB_0_FAILURE_THRESHOLD: "3" }))(Environment.load())
      assert.strictEqual(setting(environment, "FAILURE_THRESHOLD", "0").value, 3)
    }))

  for (const [name, make] of Object.entries(providers)) {
    it.effect(`${name}: variables of all circuits, of circuits that the code does not name, and misspelt ones`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* threshold(make(env), "payment-api"), [7, 3])
        const error = yield* Environment.load().pipe(withProvider(make(mistyped)), Effect.flip)
        assert.strictEqual(
          error.cause.message,
          "CIRCUIT_BREAKER_FAILURE_TRESHOLD is unknown; did you mean CIRCUIT_BREAKER_FAILURE_THRESHOLD?"
        )
      }))
  }

  it.effect("may be a tree, in any case", () =>
    Effect.gen(function*() {
      const constant = ConfigProvider.fromUnknown({
        CIRCUIT_BREAKER: { FAILURE_THRESHOLD: 7 },
        CB: { PAYMENT_API: { FAILURE_THRESHOLD: 3 } }
      })
      assert.deepStrictEqual(yield* threshold(constant, "payment-api"), [7, 3])
      const camel = ConfigProvider.fromUnknown({
        circuitBreaker: { failureThreshold: 7, exponentialBackoff: false },
        cb: { paymentApi: { failureThreshold: 3 } },
        maxRetryAttempts: 9
      })
      assert.deepStrictEqual(yield* threshold(camel, "payment-api"), [7, 3])
      const { defaults, retry } = yield* withProvider(camel)(Environment.load())
      assert.deepStrictEqual(defaults.openDuration, seconds(60))
      assert.strictEqual(retry.maxAttempts, 9)
    }))

  it.effect("may map names", () =>
    Effect.gen(function*() {
      const provider = ConfigProvider.fromEnv({ env: { "circuit.breaker.failure.threshold": "7" } }).pipe(
        ConfigProvider.mapInput((path) => path.map((segment) => String(segment).toLowerCase().replaceAll("_", ".")))
      )
      assert.strictEqual((yield* withProvider(provider)(Environment.load())).defaults.consecutiveFailures, 7)
    }))

  it.effect("count in their order", () =>
    Effect.gen(function*() {
      const first = ConfigProvider.fromEnv({
        env: { CIRCUIT_BREAKER_FAILURE_THRESHOLD: "1", CB_A_FAILURE_THRESHOLD: "2" }
      })
      const second = ConfigProvider.fromUnknown({
        circuitBreaker: { failureThreshold: 8 },
        CB_A_FAILURE_THRESHOLD: "9"
      })
      assert.deepStrictEqual(yield* threshold(ConfigProvider.orElse(first, second), "a"), [1, 2])
      assert.deepStrictEqual(yield* threshold(ConfigProvider.orElse(second, first), "a"), [8, 9])
    }))

  it.effect("that cannot list have the variables that are known", () =>
    Effect.gen(function*() {
      const provider = ConfigProvider.make((path) => {
        const value = path.length === 1 ? mistyped[path[0] as keyof typeof mistyped] : undefined
        return path.length === 0
          ? Effect.fail(new ConfigProvider.SourceError({ message: "cannot list" }))
          : Effect.succeed(value === undefined ? undefined : ConfigProvider.makeValue(value))
      })
      assert.deepStrictEqual(yield* threshold(provider, "payment-api"), [7, 7])
      const named = yield* Environment.load({ circuits: { "payment-api": undefined } }).pipe(withProvider(provider))
      assert.strictEqual(named.circuitPolicy("payment-api").consecutiveFailures, 3)
    }))

  it.effect("that answer everything alike are wrong, not endless", () =>
    Effect.gen(function*() {
      const answering = (node: ConfigProvider.Node) => ConfigProvider.make(() => Effect.succeed(node))
      const value = answering(ConfigProvider.makeValue("x"))
      const error = yield* Environment.load().pipe(withProvider(value), Effect.flip)
      assert.include(error.message, `MAX_RETRY_ATTEMPTS="x" must be an integer from 1 to 1000`)

      const tree = answering(ConfigProvider.makeRecord(new Set(["CB", "RETRY"])))
      const environment = yield* Environment.load().pipe(withProvider(tree))
      assert.strictEqual(environment.retry.maxAttempts, 3)
    }))

  it.effect("may have a tree where a value belongs, which is a name that is unknown", () =>
    Effect.gen(function*() {
      const provider = ConfigProvider.fromUnknown({ CIRCUIT_BREAKER_FAILURE_THRESHOLD: { A: 1 } })
      const error = yield* Environment.load().pipe(withProvider(provider), Effect.flip)
      assert.include(error.message, "CIRCUIT_BREAKER_FAILURE_THRESHOLD_A is unknown")
    }))
})

describe("any environment", () => {
  const names = Environment.variables.flatMap((variable) => [
    variable.name,
    ...variable.aliases,
    ...(variable.circuitName === undefined ? [] : [variable.circuitName.replace("<NAME>", "PAYMENT_API")])
  ])
  // Twice, so that many are known.
  const Name = Schema.Union([
    Schema.Literals(names),
    Schema.Literals(names),
    Schema.Literals(["CB_", "CIRCUIT_BREAKER_", "CB_9_9_9_X", "CB_A_WINDOW_SIZ", "_", `CB_${"_".repeat(500)}X`]),
    Schema.String
  ])
  const Text = Schema.Union([
    Schema.Literals(["1", "2", "10", "30", "0.5", "off", "true", "false", "30 seconds", "500 millis"]),
    Schema.Literals(["", " ", "-1", "0", "abc", "1e30", "NaN", "Infinity", "99999999999", "1e-30", "0.0001"]),
    Schema.String
  ])
  const Pairs = Schema.Array(Schema.Tuple([Name, Text]))
  const presets = [
    undefined,
    CircuitPolicy.fastFail,
    CircuitPolicy.make({ slowCallRate: 0.5, slowCallDuration: "1 second", window: { calls: 3 }, openDuration: 0 }),
    CircuitPolicy.make({ openDuration: Schedule.spaced("1 second") })
  ]

  it.effect.prop(
    "gives policies, or a ConfigError that names each variable which is wrong on its own",
    { pairs: Pairs, preset: Schema.Literals([0, 1, 2, 3]), named: Schema.Boolean },
    ({ named, pairs, preset }) =>
      Effect.gen(function*() {
        const env = Object.fromEntries(pairs)
        const policy = presets[preset]
        const options = { defaults: policy, circuits: named ? { "payment-api": policy } : undefined }
        const exit = yield* Effect.exit(load(env, options))
        if (Exit.isSuccess(exit)) {
          const { circuitPolicy, defaults, retry } = exit.value
          for (const policy of [defaults, circuitPolicy("payment-api"), circuitPolicy("a", CircuitPolicy.kafka)]) {
            assert.deepStrictEqual(CircuitPolicy.difference(CircuitPolicy.make(policy), policy), [])
          }
          Retry.make(retry)
          return
        }
        assert.isTrue(Cause.hasFails(exit.cause) && !Cause.hasDies(exit.cause), Cause.pretty(exit.cause))
        const lines = (yield* Effect.flip(exit)).cause.message.split("\n")
        for (const [name, text] of Object.entries(env)) {
          if (!names.includes(name)) continue
          // What is not accepted on its own is not accepted in company.
          for (
            const line of (yield* Effect.exit(problems({ [name]: text }, options))).pipe(
              Exit.getSuccess,
              Option.getOrElse(() => [])
            )
          ) {
            if (/ must be (an? |true)/.test(line)) assert.include(lines, line)
          }
        }
      }),
    { arbitrary: { runs: 400 } }
  )

  const accepted = Environment.variables.flatMap((variable) =>
    Object.keys(EXPECTED[variable.key]!.accepts).flatMap((text) =>
      [
        variable.name,
        ...(variable.circuitName === undefined ? [] : [variable.circuitName.replace("<NAME>", "PAYMENT_API")])
      ]
        .map((name) => `${name}=${text}`)
    )
  )

  it.effect.prop(
    "of accepted values gives a policy, or says which of them contradict each other",
    { settings: Schema.Array(Schema.Literals(accepted)), preset: Schema.Literals([0, 1, 2, 3]), named: Schema.Boolean },
    ({ named, preset, settings }) =>
      Effect.gen(function*() {
        const env = Object.fromEntries(settings.map((setting) => setting.split("=") as [string, string]))
        const policy = presets[preset]
        const options = { defaults: policy, circuits: named ? { "payment-api": policy } : undefined }
        const exit = yield* Effect.exit(load(env, options))
        if (Exit.isSuccess(exit)) {
          const { circuitPolicy, settings } = exit.value
          const policy = circuitPolicy("payment-api")
          assert.deepStrictEqual(CircuitPolicy.difference(CircuitPolicy.make(policy), policy), [])
          // What is set is what counts.
          for (const setting of settings) {
            if (setting.variable in env) assert.strictEqual(setting.source, "Variable")
          }
          return
        }
        assert.isFalse(Cause.hasDies(exit.cause), Cause.pretty(exit.cause))
        for (const line of (yield* Effect.flip(exit)).cause.message.split("\n")) {
          assert.match(line, /exclude each other|must be at (least|most)|needs .* beside it|must leave a rule/)
        }
      }),
    { arbitrary: { runs: 400 } }
  )
})

describe("layerConfig of the registry", () => {
  const down = Effect.fail("down" as const)

  const provided = (env: Env, options?: CircuitBreakerRegistry.Options) =>
    CircuitBreakerRegistry.layerConfig(options).pipe(
      Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
    )

  // migration: CB_EMAIL_SERVICE_FAILURE_THRESHOLD
  it.effect("opens a circuit after the failures and for the time that its variables say", () =>
    Effect.gen(function*() {
      const call = CircuitBreaker.withCircuitBreaker(down, "payment-api")
      yield* Effect.flip(call)
      yield* Effect.flip(call)
      assert.strictEqual(yield* Effect.flip(call), "down")
      const rejection = yield* Effect.flip(call)
      assert.isTrue(rejection !== "down" && rejection.state === "Open")

      yield* TestClock.adjust("29999 millis")
      assert.notStrictEqual(yield* Effect.flip(call), "down")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Effect.flip(call), "down")

      // The second opening is three times as long.
      yield* TestClock.adjust("89999 millis")
      assert.notStrictEqual(yield* Effect.flip(call), "down")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Effect.flip(call), "down")

      // Others follow the variables of all.
      const other = CircuitBreaker.withCircuitBreaker(down, "other")
      yield* Effect.flip(other)
      assert.notStrictEqual(yield* Effect.flip(other), "down")
    }).pipe(Effect.provide(provided({
      CIRCUIT_BREAKER_FAILURE_THRESHOLD: "1",
      CB_PAYMENT_API_FAILURE_THRESHOLD: "3",
      CB_PAYMENT_API_RECOVERY_TIMEOUT_SECONDS: "30",
      CB_PAYMENT_API_BACKOFF_MULTIPLIER: "3"
    }))))

  it.effect("changes the policies of the code, wherever they are given", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const failures = (name: string, policy?: CircuitPolicy.CircuitPolicy) =>
        Effect.flatMap(
          policy === undefined ? registry.getOrCreate(name) : Effect.orDie(registry.getOrCreate(name, policy)),
          (breaker) => Effect.map(breaker.policy, (policy) => policy.consecutiveFailures)
        )
      assert.strictEqual(yield* failures("in-options"), 11)
      assert.strictEqual(yield* failures("at-call", CircuitPolicy.kafka), 12)
      // It is the same policy when the call comes again.
      assert.strictEqual(yield* failures("at-call", CircuitPolicy.kafka), 12)
      assert.strictEqual(yield* failures("untouched"), CircuitPolicy.database.consecutiveFailures)
      assert.strictEqual(
        yield* failures("untouched-at-call", CircuitPolicy.kafka),
        CircuitPolicy.kafka.consecutiveFailures
      )
      assert.strictEqual(yield* failures("other"), 13)
      const registered = yield* registry.register("registered", CircuitPolicy.kafka)
      assert.strictEqual((yield* registered.policy).consecutiveFailures, 14)
      const conflict = yield* Effect.flip(registry.getOrCreate("at-call", CircuitPolicy.database))
      assert.strictEqual(conflict._tag, "CircuitConflictError")
    }).pipe(Effect.provide(provided(
      {
        CB_IN_OPTIONS_FAILURE_THRESHOLD: "11",
        CB_AT_CALL_FAILURE_THRESHOLD: "12",
        CB_REGISTERED_FAILURE_THRESHOLD: "14",
        CIRCUIT_BREAKER_FAILURE_THRESHOLD: "13"
      },
      {
        defaults: CircuitPolicy.production,
        circuits: { "in-options": CircuitPolicy.database, untouched: CircuitPolicy.database }
      }
    ))))

  it.effect("lets variables of all circuits set one whose policy in code is a classifier, wherever that is given", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const policy = CircuitPolicy.make({ classify: Outcome.failureUnless((error) => error === 404) })
      for (
        const breaker of [yield* registry.getOrCreate("in-options"), yield* registry.getOrCreate("at-call", policy)]
      ) {
        const refuse = (error: unknown) => Effect.flip(breaker.execute(Effect.fail(error)))
        for (let i = 0; i < 5; i++) yield* refuse(404)
        assert.strictEqual(yield* breaker.state, "Closed")
        for (let i = 0; i < 2; i++) yield* refuse(500)
        assert.strictEqual(yield* breaker.state, "Open")
      }
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* registry.openCircuits, [])
    }).pipe(Effect.provide(provided(
      { CIRCUIT_BREAKER_FAILURE_THRESHOLD: "2", CIRCUIT_BREAKER_RECOVERY_TIMEOUT: "5" },
      { circuits: { "in-options": { classify: Outcome.failureUnless((error) => error === 404) } } }
    ))))

  it.effect("switches circuits off", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const state = (name: string) => Effect.flatMap(registry.getOrCreate(name), (breaker) => breaker.state)
      assert.strictEqual(yield* state("payment-api"), "Closed")
      assert.strictEqual(yield* state("other"), "Disabled")
    }).pipe(Effect.provide(provided({ CIRCUIT_BREAKER_ENABLED: "false", CB_PAYMENT_API_ENABLED: "true" }))))

  it.effect("fails to build with every problem", () =>
    Effect.gen(function*() {
      const error = yield* Effect.void.pipe(
        Effect.provide(provided({ CIRCUIT_BREAKER_FAILURE_THRESHOLD: "0", CB_A_RECOVERY_TIMEOUT: "x" })),
        Effect.flip
      )
      assert.strictEqual(error.cause.message.split("\n").length, 2)
    }))

  it("throws for a bad option where it is written", () => {
    assert.throws(
      () => CircuitBreakerRegistry.layerConfig({ idleTimeToLive: 0 }),
      RangeError,
      "CircuitBreakerRegistry.layer: idleTimeToLive must be a duration above zero such as \"5 seconds\", got 0"
    )
  })

  // migration: one file of variables per environment
  it.effect("is one of the Layers that the same program runs with", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        const call = CircuitBreaker.withCircuitBreaker(down, "payment-api")
        const outcomes: Array<string> = []
        for (let i = 0; i < 4; i++) {
          outcomes.push(
            yield* call.pipe(
              Effect.catchTag("CircuitOpenError", (error) => Effect.succeed(error.state)),
              Effect.catch(Effect.succeed)
            )
          )
        }
        return outcomes
      })
      const production = CircuitBreakerRegistry.layer({ defaults: CircuitPolicy.fastFail })
      const configured = provided({ CB_PAYMENT_API_FAILURE_THRESHOLD: "1" }, { defaults: CircuitPolicy.fastFail })
      assert.deepStrictEqual(yield* Effect.provide(program, production), ["down", "down", "down", "Open"])
      assert.deepStrictEqual(yield* Effect.provide(program, configured), ["down", "Open", "Open", "Open"])
      assert.deepStrictEqual(yield* Effect.provide(program, CircuitBreakerRegistry.layerDisabled), [
        "down",
        "down",
        "down",
        "down"
      ])
      assert.deepStrictEqual(
        yield* Effect.provide(program, CircuitBreakerRegistry.layerForcedOpen),
        Array(4).fill("ForcedOpen")
      )
    }))
})

describe("layerConfig of a service", () => {
  class PaymentApi extends CircuitBreaker.Service<PaymentApi>()("payment-api", { policy: CircuitPolicy.production }) {}
  class EmailApi extends CircuitBreaker.Service<EmailApi>()("email-api") {}

  it("needs nothing and fails with ConfigError only", () => {
    expectTypeOf(PaymentApi.layerConfig).toEqualTypeOf<Layer.Layer<PaymentApi, Config.ConfigError>>()
  })

  it.effect("puts the variables of its name over its policy", () =>
    Effect.gen(function*() {
      const policy = yield* Effect.flatMap(PaymentApi, (breaker) => breaker.policy)
      assert.deepStrictEqual(CircuitPolicy.difference(policy, CircuitPolicy.production), ["consecutiveFailures"])
      assert.strictEqual(policy.consecutiveFailures, 9)
    }).pipe(
      Effect.provide(PaymentApi.layerConfig),
      withEnv({ CB_PAYMENT_API_FAILURE_THRESHOLD: "9", CIRCUIT_BREAKER_SUCCESS_THRESHOLD: "9" })
    ))

  it.effect("follows the variables of all circuits if it has no policy", () =>
    Effect.gen(function*() {
      const policy = yield* Effect.flatMap(EmailApi, (breaker) => breaker.policy)
      assert.strictEqual(policy.successThreshold, 9)
    }).pipe(Effect.provide(EmailApi.layerConfig), withEnv({ CIRCUIT_BREAKER_SUCCESS_THRESHOLD: "9" })))

  it.effect("is off if its variable says so, or that of all circuits", () =>
    Effect.gen(function*() {
      const state = Effect.flatMap(PaymentApi, (breaker) => breaker.state).pipe(Effect.provide(PaymentApi.layerConfig))
      assert.strictEqual(yield* withEnv({ CB_PAYMENT_API_ENABLED: "false" })(state), "Disabled")
      assert.strictEqual(yield* withEnv({ CIRCUIT_BREAKER_ENABLED: "off" })(state), "Disabled")
      assert.strictEqual(
        yield* withEnv({ CIRCUIT_BREAKER_ENABLED: "off", CB_PAYMENT_API_ENABLED: "on" })(state),
        "Closed"
      )
    }))

  it.effect("fails to build for an unknown variable of its name", () =>
    Effect.gen(function*() {
      const error = yield* Effect.void.pipe(
        Effect.provide(PaymentApi.layerConfig),
        withEnv({ CB_PAYMENT_API_THRESHOLD: "9" }),
        Effect.flip
      )
      assert.include(error.message, "CB_PAYMENT_API_THRESHOLD is unknown")
    }))
})

describe("circuitPolicy", () => {
  // migration: create_from_environment(name, prefix=…)
  it.effect("is the policy of one circuit", () =>
    Effect.gen(function*() {
      const env = withEnv({ CB_A_FAILURE_THRESHOLD: "9", CIRCUIT_BREAKER_SUCCESS_THRESHOLD: "8" })
      assert.strictEqual((yield* env(Environment.circuitPolicy("a", CircuitPolicy.kafka))).consecutiveFailures, 9)
      assert.strictEqual((yield* env(Environment.circuitPolicy("a", CircuitPolicy.kafka))).successThreshold, 1)
      assert.strictEqual((yield* env(Environment.circuitPolicy("a"))).successThreshold, 8)
    }))
})
