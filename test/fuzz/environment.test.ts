/**
 * The environment with names and values of any kind: policies, or a
 * `ConfigError` that names each variable and gives away nothing of others.
 */
import { assert, describe, it } from "@effect/vitest"
import {
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  Environment,
  Resilience,
  Retry
} from "effect-resilience"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { fuzz, nested, own, POLLUTED, Random } from "./fuzz.ts"

type Env = Readonly<Record<string, string>>

const fromEnv = (env: Env) => ConfigProvider.fromEnv({ env: env as Record<string, string> })

const run = <A, E>(effect: Effect.Effect<A, E>, provider: ConfigProvider.ConfigProvider): Promise<Exit.Exit<A, E>> =>
  Effect.runPromiseExit(Effect.provideService(effect, ConfigProvider.ConfigProvider, provider))

const load = (env: Env, options?: Environment.Options) => run(Environment.load(options), fromEnv(env))

const CIRCUITS = ["payment-api", "a", "tier1_mcp", "X9", "constructor", "__proto__", "日本"]

const KEYS = Environment.variables.flatMap(({ aliases, circuitName, name }) =>
  circuitName === undefined ? [] : [name, ...aliases].map((name) => name.slice("CIRCUIT_BREAKER_".length))
)

const GLOBAL_NAMES = Environment.variables.flatMap(({ aliases, name }) => [name, ...aliases])

const KNOWN = new Set([
  ...GLOBAL_NAMES,
  ...CIRCUITS.flatMap((circuit) => KEYS.map((key) => `CB_${Environment.variableName(circuit)}_${key}`))
])

/** A slip or two in a name that is right otherwise. */
const misspell = (random: Random, name: string): string => {
  const at = random.below(name.length)
  const letter = random.pick([..."ABCXYZ_0é"])
  return random.pick([
    () => name.slice(0, at) + name.slice(at + 1),
    () => name.slice(0, at) + letter + name.slice(at),
    () => name.slice(0, at) + letter + name.slice(at + 1),
    () => name.slice(0, at) + (name[at + 1] ?? "") + name[at] + name.slice(at + 2),
    () => name.toLowerCase(),
    () => `${name}_`,
    () => `_${name}`,
    () => name.replaceAll("_", "__"),
    () => name.replaceAll("_", "-"),
    () => `${name}_SECONDS`
  ])()
}

const knownName = (random: Random): string =>
  random.chance(0.5)
    ? random.pick(GLOBAL_NAMES)
    : `CB_${Environment.variableName(random.pick(CIRCUITS))}_${random.pick(KEYS)}`

const OTHERS = [
  "PATH",
  "HOME",
  "CB_",
  "CB",
  "_CB_",
  "CB_TOKEN",
  "CB_PAYMENT_API",
  "CB_PAYMENT_API_SECRET",
  "CB_A_API_KEY",
  "CIRCUIT_BREAKER",
  "CIRCUIT_BREAKER_",
  "CIRCUIT_BREAKER_PASSWORD",
  "CIRCUIT_BREAKER___PROTO__",
  "CIRCUIT_BREAKER_FAILURE_THRESHOLD_FILE",
  "CB___PROTO___FAILURE_THRESHOLD",
  "CB_CONSTRUCTOR_FAILURE_THRESHOLD",
  "RETRY_TOKEN",
  "MAX_PASSWORD",
  "HEALTH_CHECK_URL",
  "DATABASE_URL",
  "__proto__",
  "constructor",
  "toString",
  "prototype.polluted",
  `CB_${"_".repeat(400)}X`,
  `CIRCUIT_BREAKER_${"X".repeat(10_000)}`,
  `CB_${"A_".repeat(500)}FAILURE_THRESHOLD`
]

const name = (random: Random): string =>
  random.pick([
    () => knownName(random),
    () => misspell(random, knownName(random)),
    () => random.pick(OTHERS),
    () => random.pick(["CB_", "CIRCUIT_BREAKER_", "RETRY_", "MAX_", "HEALTH_", ""]) + random.name()
  ])()

const number = (random: Random): string => {
  const n = random.number()
  return random.pick([
    () => String(n),
    () => n.toExponential(),
    () => `+${n}`,
    () => `${n} seconds`,
    () => `${n}e${random.below(400)}`,
    () => `0`.repeat(random.below(1_000)) + "5",
    () => "9".repeat(random.below(10_000)),
    () => `\t${n}\n`
  ])()
}

/** A value that no message may show, unless it was meant for us. */
const secret = (random: Random): string => `s3cr3t${random.below(1e9)}`

const value = (random: Random): string =>
  random.pick([
    () => number(random),
    () => random.text(),
    () => random.pick(["1", "2", "0.5", "10", "off", "true", "false", "30 seconds", "500 millis", "YES", " On "]),
    () => secret(random)
  ])()

const environment = (random: Random, most: number): Env => {
  const entries = random.list(most, () => {
    const variable = name(random)
    // What is not ours has a secret for its value.
    return [variable, KNOWN.has(variable) ? value(random) : secret(random)] as const
  })
  return own(entries) as Env
}

const POLICIES = [
  undefined,
  CircuitPolicy.fastFail,
  CircuitPolicy.make({ slowCallRate: 0.5, slowCallDuration: "1 second", window: { calls: 3 }, openDuration: 0 }),
  CircuitPolicy.make({ openDuration: Duration.infinity, halfOpenTimeout: Duration.infinity }),
  CircuitPolicy.make({ openDuration: Schedule.spaced("1 second") })
]

const options = (random: Random): Environment.Options => ({
  defaults: random.pick(POLICIES),
  circuits: random.chance(0.7)
    ? own(random.some(CIRCUITS).map((name) => [name, random.pick(POLICIES)])) as never
    : undefined
})

const linesOf = (error: Config.ConfigError): ReadonlyArray<string> => error.cause.message.split("\n")

/** A variable as Effect's provider tells it: words in capitals. */
const normal = (variable: string): string => variable.toUpperCase().replaceAll(/[^A-Z0-9]/g, "")

const assertFailsWell = <A, E>(exit: Exit.Exit<A, E>, env: Env): void => {
  assert(Exit.isFailure(exit))
  assert.isFalse(Cause.hasDies(exit.cause), Cause.pretty(exit.cause))
  const error = Cause.squash(exit.cause)
  assert.instanceOf(error, Config.ConfigError)
  const lines = linesOf(error as Config.ConfigError)
  assert.strictEqual(new Set(lines).size, lines.length, "no problem is told twice")
  const given = Object.keys(env).map(normal)
  for (const line of lines) {
    assert.isBelow(line.length, 1_000, "a line is short")
    const [variable = ""] = line.split(/[= ]/)
    const start = normal(variable.replace("…", ""))
    assert.isTrue(given.some((name) => name.startsWith(start)), `names a variable that is set: ${line}`)
  }
  const shown = JSON.stringify(exit.cause) + Cause.pretty(exit.cause) + String(error) + (error as Error).message
  for (const [variable, text] of Object.entries(env)) {
    if (!KNOWN.has(variable) && !meantForUs(variable)) {
      assert.isFalse(text !== "" && shown.includes(text), `the value of ${variable.slice(0, 100)} is given away`)
    }
  }
}

/** What the provider takes for the name of one of ours, written otherwise: `cb-payment-api-failure-threshold`. */
const meantForUs = (variable: string): boolean => {
  const letters = normal(variable)
  return GLOBAL_NAMES.some((name) => normal(name) === letters) ||
    (letters.startsWith("CB") && KEYS.some((key) => letters.endsWith(normal(key))))
}

describe("any environment", () => {
  fuzz(
    "gives policies that can be used, or a ConfigError that names what is wrong and no secret",
    400,
    async (random) => {
      const env = environment(random, random.pick([3, 10, 60]))
      const given = options(random)
      const exit = await load(env, given)
      if (Exit.isFailure(exit)) return assertFailsWell(exit, env)

      const { circuitPolicy, defaults, healthCheckInterval, requestTimeout, retry, settings } = exit.value
      for (const circuit of [...CIRCUITS, random.circuitName()]) {
        const policy = circuitPolicy(circuit)
        assert.deepStrictEqual(CircuitPolicy.difference(CircuitPolicy.make(policy), policy), [])
        // One that comes with a call may be left without a rule, where `make` puts its own.
        const changed = circuitPolicy(circuit, random.pick(POLICIES))
        const different = CircuitPolicy.difference(CircuitPolicy.make(changed), changed)
        assert.isEmpty(different.filter((field) => field !== "consecutiveFailures" && field !== "failureRate"))
        assert.isTrue(Duration.isPositive(requestTimeout(circuit)))
      }
      assert.deepStrictEqual(CircuitPolicy.difference(CircuitPolicy.make(defaults), defaults), [])
      assert.isTrue(Duration.isPositive(healthCheckInterval))
      Retry.make(retry)
      const shown = JSON.stringify(settings)
      for (const [variable, text] of Object.entries(env)) {
        if (text.startsWith("s3cr3t")) assert.notInclude(shown, text, variable)
      }
    }
  )

  fuzz("gives the same however its variables are ordered, and what else there is", 120, async (random) => {
    const env = environment(random, 12)
    const given = options(random)
    const names = new Set<string>()
    // Two spellings of one name are one variable, of which either may count.
    const distinct = Object.entries(env).filter(([name]) => names.size < names.add(normal(name)).size)
    const others = Array.from({ length: 20 }, (_, index) => [`OTHER_SOFTWARE_${index}`, secret(random)] as const)
    const said = async (entries: ReadonlyArray<readonly [string, string]>) => {
      const exit = await load(own(entries) as Env, given)
      if (Exit.isSuccess(exit)) {
        return JSON.stringify(exit.value.settings.map((setting) => JSON.stringify(setting)).toSorted())
      }
      assertFailsWell(exit, own(entries) as Env)
      return linesOf(Cause.squash(exit.cause) as Config.ConfigError).toSorted().join("\n")
    }

    const first = await said(distinct)
    assert.strictEqual(await said(random.shuffle(distinct)), first)
    assert.strictEqual(await said(random.shuffle([...distinct, ...others])), first)
  })

  fuzz("that is wrong builds no Layer, and takes nothing with it", 80, async (random) => {
    const env = {
      ...environment(random, 6),
      CIRCUIT_BREAKER_FAILURE_THRESHOLD: random.pick(["0", "abc", "-1", "1e99"])
    }
    const provider = fromEnv(env)
    class Payment extends CircuitBreaker.Service<Payment>()("payment-api") {}
    let built = 0
    const counted = Layer.effectDiscard(Effect.sync(() => built++))
    const layers = [
      Layer.provide(counted, CircuitBreakerRegistry.layerConfig()),
      Layer.provide(counted, Payment.layerConfig)
    ]
    for (const layer of layers) {
      const exit = await run(Effect.scoped(Layer.build(layer)), provider)
      assertFailsWell(exit, env)
    }
    assertFailsWell(await run(Resilience.standardConfig("payment-api"), provider), env)
    assertFailsWell(await run(Environment.circuitPolicy(random.pick(CIRCUITS)), provider), env)
    assert.strictEqual(built, 0)
  })

  fuzz("of ten thousand variables is read in time", 1, async (random) => {
    const entries = Array.from({ length: 10_000 }, (_, index) => {
      const variable = random.pick([
        () => `CB_CIRCUIT${index}_${random.pick(KEYS)}`,
        () => `CIRCUIT_BREAKER_${index}`,
        () => misspell(random, knownName(random)) + index,
        () => `OTHER_${index}`
      ])()
      return [variable, random.chance(0.5) ? "1" : secret(random)] as const
    })
    const env = own(entries) as Env
    const exit = await load(env)
    if (Exit.isFailure(exit)) {
      assert.isFalse(Cause.hasDies(exit.cause))
      assert.instanceOf(Cause.squash(exit.cause), Config.ConfigError)
    }
  })
})

describe("any tree", () => {
  fuzz("of JSON gives policies, or a ConfigError", 250, async (random) => {
    const tree = own([
      ...random.list(4, () => [name(random), random.json()] as const),
      ["circuit", own([["breaker", random.json()]])],
      ["cb", own([[random.name(), random.record(3, () => random.json())]])]
    ])
    const exit = await run(Environment.load(options(random)), ConfigProvider.fromUnknown(tree))
    if (Exit.isFailure(exit)) {
      assert.isFalse(Cause.hasDies(exit.cause), Cause.pretty(exit.cause))
      assert.instanceOf(Cause.squash(exit.cause), Config.ConfigError)
    }
  })

  it("that is nested deeply is no stack overflow and takes no time", async () => {
    for (const depth of [100, 10_000]) {
      for (const key of ["a", "0", "failure", "__proto__"]) {
        const tree = own([["circuit", own([["breaker", nested(depth, key)]])], ["cb", nested(depth)]])
        const exit = await run(Environment.load(), ConfigProvider.fromUnknown(tree))
        assert.isFalse(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      }
    }
  })
})

describe("names that mean something to JavaScript", () => {
  it("are names of circuits like others", async () => {
    for (const circuit of ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty"]) {
      const exit = await load(
        { [`CB_${Environment.variableName(circuit)}_FAILURE_THRESHOLD`]: "7" },
        { circuits: own([[circuit, undefined]]) as never }
      )
      assert(Exit.isSuccess(exit))
      assert.strictEqual(exit.value.circuitPolicy(circuit).consecutiveFailures, 7, circuit)
      assert.strictEqual(exit.value.circuitPolicy("another").consecutiveFailures, 5, circuit)
    }
  })

  it("as variables change nothing", async () => {
    const env = JSON.parse(
      `{"__proto__":"1","constructor":"2","prototype_${POLLUTED}":"3","__proto___${POLLUTED}":"4"}`
    )
    const exit = await load(env)
    assert.isTrue(Exit.isSuccess(exit))
    assert.notProperty({}, POLLUTED)
  })
})

describe("secrets", () => {
  const SECRET = "AKIAIOSFODNN7EXAMPLE"

  it("of variables that are not ours are in no message, however close their names", async () => {
    const random = new Random(1)
    const said = new Set<string>()
    for (const right of [...KNOWN].slice(0, 60)) {
      for (let i = 0; i < 10; i++) {
        const variable = misspell(random, right)
        if (meantForUs(variable) || variable === right) continue
        const exit = await load({ [variable]: SECRET })
        if (Exit.isSuccess(exit)) continue
        const error = Cause.squash(exit.cause) as Config.ConfigError
        said.add(linesOf(error)[0]!)
        assert.notInclude(Cause.pretty(exit.cause) + JSON.stringify(exit) + String(error), SECRET, variable)
      }
    }
    assert.isAbove(said.size, 100, "many were found")
  })

  it("in a variable of ours are shown, since they are what is wrong, but no more than the start of them", async () => {
    const exit = await load({ CB_PAYMENT_API_FAILURE_THRESHOLD: `${SECRET}${"x".repeat(1_000)}` })
    assert(Exit.isFailure(exit))
    const [line = ""] = linesOf(Cause.squash(exit.cause) as Config.ConfigError)
    assert.include(line, SECRET)
    assert.isBelow(line.length, 200)
  })
})
