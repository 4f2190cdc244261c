/**
 * Every constructor with options of any value: it works, or it throws an error
 * that names the option and shows the value.
 */
import { assert, describe, it } from "@effect/vitest"
import {
  Bulkhead,
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  HealthMonitor,
  Hedge,
  Outcome,
  RateLimit,
  Resilience,
  Retry,
  RetryBudget,
  Tiers,
  Timeout
} from "effect-resilience"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Exported } from "../support/constructors.ts"
import { fuzz, type Random } from "./fuzz.ts"

/** What a value has to be, as the documentation says. */
type Kind =
  | { readonly _tag: "Number"; readonly accepts: (n: number) => boolean }
  | { readonly _tag: "Time"; readonly accepts: (millis: number) => boolean }
  | { readonly _tag: "Function" }
  | { readonly _tag: "Object" }
  | { readonly _tag: "Text" }

const count = (maximum = Number.MAX_SAFE_INTEGER): Kind => ({
  _tag: "Number",
  accepts: (n) => Number.isInteger(n) && n >= 1 && n <= maximum
})
const places: Kind = { _tag: "Number", accepts: (n) => n === Infinity || (Number.isSafeInteger(n) && n >= 0) }
const rate: Kind = { _tag: "Number", accepts: (n) => n >= 0 && n <= 1 }
const atLeast = (minimum: number): Kind => ({ _tag: "Number", accepts: (n) => n >= minimum && n < Infinity })
const time: Kind = { _tag: "Time", accepts: (millis) => millis >= 0 }
const someTime: Kind = { _tag: "Time", accepts: (millis) => millis > 0 }
const finiteTime: Kind = { _tag: "Time", accepts: (millis) => millis >= 0 && millis < Infinity }
const someFiniteTime: Kind = { _tag: "Time", accepts: (millis) => millis > 0 && millis < Infinity }
const aFunction: Kind = { _tag: "Function" }
const anObject: Kind = { _tag: "Object" }
const aText: Kind = { _tag: "Text" }

interface Constructor {
  /** Makes a value from options of which types would refuse many, and uses it. */
  readonly make: (options: never) => unknown
  readonly base: Readonly<Record<string, unknown>>
  readonly options: Readonly<Record<string, Kind>>
  /** What the message calls an option, where that is not its name. */
  readonly calls?: Readonly<Record<string, string>>
}

/** Opens it, lets it probe and close, whatever its policy is. */
const exercise = (policy: CircuitPolicy.CircuitPolicy) =>
  Effect.runSync(Effect.gen(function*() {
    const breaker = yield* CircuitBreaker.make({ name: "fuzzed", policy })
    for (let i = 0; i < 12; i++) yield* Effect.exit(breaker.execute(Effect.fail("down")))
    yield* breaker.forceOpen({ duration: 0 })
    yield* Effect.exit(breaker.execute(Effect.void))
    void policy.description
    yield* breaker.metrics
    return breaker
  }))

const monitor = (options: HealthMonitor.Options<Readonly<Record<string, HealthMonitor.Check>>>) =>
  Effect.runSync(
    Effect.scoped(HealthMonitor.make(options)).pipe(Effect.provide(CircuitBreakerRegistry.layer()))
  )

/** Every option of `O`, but those in `Left`, which are neither number nor time and looked at elsewhere. */
type Kinds<O, Left extends keyof O = never> = Readonly<Record<Exclude<keyof O, Left>, Kind>>

const policyOptions: Kinds<
  CircuitPolicy.Options,
  "countUnreported" | "describeFailure" | "measureDuration" | "slowCallDuration" | "slowCallRate"
> = {
  consecutiveFailures: count(),
  failureRate: rate,
  minimumCalls: count(),
  maxOpenDuration: time,
  openDuration: time,
  halfOpenMaxCalls: count(),
  successThreshold: count(),
  halfOpenTimeout: someTime,
  window: anObject,
  halfOpenSample: anObject,
  recovery: anObject,
  interruptedAfter: time,
  classify: aFunction
}

const rateLimitOptions: Kinds<RateLimit.Options> = {
  limit: count(),
  window: someFiniteTime,
  maxWait: time,
  tokens: count(10),
  algorithm: aText,
  onExceeded: aText,
  onStoreError: aText
}

/** Those that take what another constructor makes, or its options, or no number and no time. */
type Elsewhere =
  | "Bulkhead.withBulkhead"
  | "CircuitBreaker.withCircuitBreaker"
  | "CircuitBreaker.withCircuitBreakerStream"
  | "CircuitBreaker.withNote"
  | "CircuitBreakerRegistry.layer"
  | "CircuitBreakerRegistry.layerConfig"
  | "CircuitLog.layer"
  | "Fallback.withFallback"
  | "Fallback.withFallbackValue"
  | "HealthMonitor.layer"
  | "HealthMonitor.layerConfig"
  | "Hedge.withHedge"
  | "RateLimit.make"
  | "RateLimit.withRateLimit"
  | "Resilience.withResilience"
  | "Retry.withRetry"
  | "RetryBudget.layer"
  | "Telemetry.layer"
  | "Tiers.layer"

const CONSTRUCTORS:
  & Readonly<Record<string, Constructor>>
  & Readonly<Record<Exclude<Exported, Elsewhere>, Constructor>> = {
    "CircuitPolicy.make": { make: (o) => exercise(CircuitPolicy.make(o)), base: {}, options: policyOptions },
    "CircuitPolicy.make, slow calls": {
      make: (o) => exercise(CircuitPolicy.make(o)),
      base: { slowCallRate: 0.5, slowCallDuration: "1 second" },
      options: { slowCallRate: rate, slowCallDuration: time } satisfies Kinds<
        Pick<CircuitPolicy.Options, "slowCallRate" | "slowCallDuration">
      >
    },
    "CircuitPolicy.make, a window of calls": {
      make: (window) => exercise(CircuitPolicy.make({ failureRate: 0.5, window })),
      base: { calls: 1 },
      options: { calls: count(1_000_000) } satisfies Kinds<Extract<CircuitPolicy.Window, { readonly calls: number }>>
    },
    "CircuitPolicy.make, a window of time": {
      make: (window) => exercise(CircuitPolicy.make({ failureRate: 0.5, window })),
      base: { duration: "1 second" },
      options: { duration: someFiniteTime, buckets: count(1_000) } satisfies Kinds<
        Exclude<CircuitPolicy.Window, { readonly calls: number }>
      >
    },
    "CircuitPolicy.make, a sample": {
      make: (halfOpenSample) => exercise(CircuitPolicy.make({ halfOpenSample })),
      base: { calls: 3, failureRate: 0.5 },
      options: { calls: count(), failureRate: rate } satisfies Kinds<
        NonNullable<CircuitPolicy.Options["halfOpenSample"]>
      >
    },
    "CircuitPolicy.make, a ramp": {
      make: (recovery) => exercise(CircuitPolicy.make({ recovery })),
      base: { duration: "1 second" },
      options: {
        duration: someFiniteTime,
        initial: { _tag: "Number", accepts: (n) => n > 0 && n <= 1 }
      } satisfies Kinds<CircuitPolicy.Recovery>
    },
    "CircuitPolicy.exponential": {
      make: (o) => exercise(CircuitPolicy.make({ openDuration: CircuitPolicy.exponential(o) })),
      base: { initial: 1 },
      options: { initial: someFiniteTime, multiplier: atLeast(1), maximum: finiteTime, jitter: rate } satisfies Kinds<
        Parameters<typeof CircuitPolicy.exponential>[0]
      >
    },
    "Retry.make": {
      make: (o) => Retry.make(o).description,
      base: {},
      options: {
        maxAttempts: { _tag: "Number", accepts: (n) => n === Infinity || (Number.isSafeInteger(n) && n >= 1) },
        baseDelay: finiteTime,
        maxDelay: finiteTime,
        factor: atLeast(1),
        maxRetryAfter: time,
        maxElapsed: time,
        jitter: aText,
        while: aFunction,
        whileSuccess: aFunction,
        onRetry: aFunction,
        budget: anObject,
        schedule: anObject
      } satisfies Kinds<Retry.Options & Retry.ValueOptions<unknown>, "operation" | "waitForCircuit">
    },
    "Bulkhead.make": {
      make: (o) =>
        Effect.runSync(Effect.flatMap(Bulkhead.make(o), (bulkhead) => {
          void bulkhead.description
          return bulkhead.execute(Effect.void)
        })),
      base: { limit: 2, queue: 1 },
      options: {
        limit: count(),
        queue: places,
        maxWait: time
      } satisfies Kinds<Parameters<typeof Bulkhead.make>[0], "name">
    },
    "Bulkhead.Service": {
      make: (o) => Bulkhead.Service()("fuzzed", o).description,
      base: { limit: 2, queue: 1 },
      options: { limit: count(), queue: places, maxWait: time } satisfies Kinds<Bulkhead.Options>
    },
    "Bulkhead.resize": {
      make: ({ limit }: { readonly limit: number }) =>
        Effect.runSync(Effect.flatMap(Bulkhead.make({ limit: 1 }), (bulkhead) => bulkhead.resize(limit))),
      base: { limit: 2 },
      options: { limit: count() }
    },
    "RateLimit.makeMemory": {
      make: (o) =>
        Effect.runSync(Effect.flatMap(RateLimit.makeMemory(o), (limit) => {
          void limit.description
          return limit.execute(Effect.void)
        })),
      base: { name: "fuzzed", limit: 10, window: "1 second", onExceeded: "delay" },
      options: rateLimitOptions
    },
    "RateLimit.Service": {
      make: (o) => RateLimit.Service()("fuzzed", o).description,
      base: { limit: 10, window: "1 second", onExceeded: "delay" },
      options: rateLimitOptions
    },
    "RateLimit.execute": {
      make: (o) =>
        Effect.runSync(
          Effect.flatMap(
            RateLimit.makeMemory({ name: "fuzzed", limit: 10, window: "1 second" }),
            (limit) => limit.execute(Effect.void, o)
          )
        ),
      base: {},
      options: { tokens: count(10), maxWait: time } satisfies Kinds<RateLimit.CallOptions, "key">
    },
    "RetryBudget.make": {
      make: (o) =>
        Effect.runSync(
          Effect.flatMap(
            RetryBudget.make(o),
            (budget) => Effect.all([budget.deposit, budget.tryWithdraw, budget.metrics])
          )
        ),
      base: {},
      options: { ratio: atLeast(0), minPerSecond: atLeast(0), window: someFiniteTime } satisfies Kinds<
        RetryBudget.Options
      >
    },
    "RetryBudget.Service": {
      make: (o) => RetryBudget.Service()("fuzzed", o).description,
      base: {},
      options: { ratio: atLeast(0), minPerSecond: atLeast(0), window: someFiniteTime } satisfies Kinds<
        RetryBudget.Options
      >
    },
    "Hedge.make": {
      make: (o) => Hedge.make(o).description,
      base: { delay: 1 },
      options: {
        delay: time,
        maxHedges: count(100),
        while: aFunction,
        onHedge: aFunction,
        budget: anObject
      } satisfies Kinds<Hedge.Options, "awaitLosers" | "operation">
    },
    "Timeout.withTimeout": {
      make: (o) => Effect.runSync(Timeout.withTimeout(Effect.void, o)),
      base: { duration: 1 },
      options: { duration: time } satisfies Kinds<Timeout.Options, "disconnect" | "kind" | "operation">
    },
    "Tiers.make": {
      make: (o) => Tiers.make("read", [Tiers.tier("a", Effect.void)], o),
      base: {},
      options: { deadline: someTime, isAnswer: aFunction } satisfies Kinds<Tiers.Options<never>, "spans">
    },
    "Tiers.tier": {
      make: (o) => Tiers.make("read", [Tiers.tier("a", Effect.void, o)]),
      base: {},
      options: { timeout: time, retry: anObject, policy: anObject, circuit: anObject } satisfies Kinds<
        Tiers.TierOptions
      >
    },
    "Resilience.make": {
      make: (o) => Resilience.make(o).description,
      base: { name: "fuzzed" },
      options: {
        timeout: time,
        attemptTimeout: time,
        retry: anObject,
        hedge: anObject,
        circuitBreaker: anObject,
        bulkhead: anObject,
        rateLimit: anObject,
        fallback: anObject,
        order: anObject
      } satisfies Kinds<Resilience.Options, "classify" | "isAnswer" | "name" | "spans">,
      calls: { hedge: "Hedge.make" }
    },
    "CircuitBreaker.make": {
      make: ({ policy }: { readonly policy?: CircuitPolicy.CircuitPolicy }) => exercise(policy ?? CircuitPolicy.make()),
      base: {},
      options: { policy: anObject } satisfies Kinds<Parameters<typeof CircuitBreaker.make>[0], "name">
    },
    "CircuitBreaker.Service": {
      make: (o) =>
        Effect.runSync(
          Effect.scoped(Effect.provide(Effect.void, CircuitBreaker.Service<"fuzzed">()("fuzzed", o).layer))
        ),
      base: {},
      options: { policy: anObject }
    },
    "CircuitBreaker.forceOpen": {
      make: (o) =>
        Effect.runSync(
          Effect.flatMap(CircuitBreaker.make({ name: "fuzzed" }), (breaker) =>
            Effect.andThen(breaker.forceOpen(o), breaker.metrics))
        ),
      base: {},
      options: { duration: time }
    },
    "CircuitBreakerRegistry.make": {
      make: (o) =>
        Effect.runSync(Effect.scoped(
          Effect.flatMap(CircuitBreakerRegistry.make(o), (registry) => registry.getOrCreate("fuzzed"))
        )),
      base: {},
      options: { idleTimeToLive: someTime, defaults: anObject, circuits: anObject } satisfies Kinds<
        CircuitBreakerRegistry.Options
      >,
      calls: { idleTimeToLive: "CircuitBreakerRegistry.layer: idleTimeToLive" }
    },
    "HealthMonitor.make": {
      make: (o) => monitor(o),
      base: {},
      options: {
        interval: someTime,
        jitter: rate,
        concurrency: count(),
        successThreshold: count(),
        failureThreshold: count()
      } satisfies Kinds<HealthMonitor.Options, "checks" | "circuits">
    },
    "HealthMonitor.make, a check": {
      make: (check) => monitor({ checks: { check } }),
      base: { check: Effect.succeed(HealthMonitor.healthy) },
      options: {
        interval: someTime,
        timeout: someFiniteTime,
        successThreshold: count(),
        failureThreshold: count()
      } satisfies Kinds<
        HealthMonitor.CheckOptions,
        "check" | "circuit" | "critical" | "probe"
      >
    }
  }

interface Case {
  readonly name: string
  readonly option: string
  readonly kind: Kind
  readonly value: unknown
}

/** What is wrong with how a constructor takes a value, or `undefined`. */
const complaint = ({ kind, name, option, value }: Case, isRight: boolean | undefined): string | undefined => {
  const { base, calls, make } = CONSTRUCTORS[name]!
  let message: string
  try {
    make({ ...base, [option]: value } as never)
    return isRight === false ? "is accepted" : undefined
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError)) return `throws ${describeThrown(error)}`
    message = error.message
  }
  if (isRight === true) return `is refused: ${message}`
  // An object that has what its option has not is refused for that.
  if (/"second" is no option; there are /.test(message)) return undefined
  if (!message.includes(calls?.[option] ?? option) || !/ (must|needs) /.test(message)) {
    return `the message does not name ${option}: ${message}`
  }
  const shown = typeof value === "number" && kind._tag === "Number" ? String(value) : "got "
  return message.includes(shown) ? undefined : `the message does not show the value: ${message}`
}

const describeThrown = (error: unknown): string =>
  error instanceof Error ? `${error.constructor.name}: ${error.message}` : typeof error

const optionsOf = (kinds: ReadonlyArray<Kind["_tag"]>): ReadonlyArray<Omit<Case, "value">> =>
  Object.entries(CONSTRUCTORS).flatMap(([name, { options }]) =>
    Object.entries(options).flatMap(([option, kind]) => kinds.includes(kind._tag) ? [{ name, option, kind }] : [])
  )

/** A duration as it may be written, and its milliseconds. */
const aDuration = (random: Random): readonly [input: unknown, millis: number] => {
  const n = random.number()
  const clean = Math.abs(n) < 1e15 ? Math.round(n * 1000) / 1000 : 1
  return random.pick<() => readonly [unknown, number]>([
    () => [n, n],
    () => [`${clean} seconds`, clean * 1000],
    () => [`${clean} millis`, clean],
    () => ["Infinity", Infinity],
    () => [Duration.infinity, Infinity],
    () => [Duration.millis(clean), clean],
    () => [Duration.nanos(BigInt(Math.round(clean))), Math.round(clean) / 1e6],
    () => [{ seconds: clean }, clean * 1000],
    () => [{ hours: 1, milliseconds: clean }, 3_600_000 + clean],
    () => [BigInt(Math.round(clean)), Math.round(clean) / 1e6]
  ])()
}

describe("numbers and times of any size", () => {
  const numbers = optionsOf(["Number"])
  fuzz("numbers: what is out of range is a RangeError that names the option and the value", 3_000, (random) => {
    const target = { ...random.pick(numbers), value: random.number() }
    const { kind } = target
    // Some ranges depend on other options, which are left alone here.
    const depends = target.option === "minimumCalls" || target.option === "limit"
    const isRight = kind._tag === "Number" && kind.accepts(target.value)
    const wrong = complaint(target, isRight && depends ? undefined : isRight)
    assert.isUndefined(wrong, `${target.name}, ${target.option}: ${target.value} ${wrong}`)
  })

  const times = optionsOf(["Time"])
  fuzz("times: what is out of range is a RangeError that names the option and the value", 3_000, (random) => {
    const [value, millis] = aDuration(random)
    const target = { ...random.pick(times), value }
    const { kind } = target
    const isRight = kind._tag === "Time" && kind.accepts(millis)
    // A maximum has to be above the minimum; times below a nanosecond may be none.
    const depends = target.option === "maximum" || (millis > 0 && millis < 1e-6)
    const wrong = complaint(target, isRight && depends ? undefined : isRight)
    assert.isUndefined(wrong, `${target.name}, ${target.option}: ${String(value)} ${wrong}`)
  })

  fuzz("times in words of any kind are a duration, or a RangeError that shows them", 2_000, (random) => {
    const value = random.chance(0.5) ? random.text() : `${random.text()} ${random.pick(["seconds", "ms", "", "year"])}`
    const target = { ...random.pick(times), value }
    const wrong = complaint(target, undefined)
    assert.isUndefined(wrong, `${target.name}, ${target.option}: ${JSON.stringify(value.slice(0, 80))} ${wrong}`)
  })
})

describe("options together", () => {
  fuzz("of any size work, or one of them is named", 1_500, (random) => {
    const [name, { base, calls, make, options }] = random.pick(Object.entries(CONSTRUCTORS))
    const given = random.some(
      Object.entries(options).filter(([, kind]) => kind._tag === "Number" || kind._tag === "Time")
    )
    const values = given.map((
      [option, kind]
    ) => [option, kind._tag === "Time" ? aDuration(random)[0] : random.number()])
    try {
      make({ ...base, ...Object.fromEntries(values) } as never)
    } catch (error) {
      assert.instanceOf(error, RangeError, name)
      const { message } = error as RangeError
      const named = [...Object.keys(base), ...given.map(([option]) => calls?.[option] ?? option)]
      assert.isTrue(named.some((option) => message.includes(option)), message)
    }
  })

  fuzz("are not changed, and neither is the value by changing them afterwards", 500, (random) => {
    const options = {
      consecutiveFailures: 1 + random.below(5),
      window: { calls: 1 + random.below(5) },
      halfOpenSample: { calls: 2, failureRate: 0.5 }
    }
    const before = structuredClone(options)
    const policy = CircuitPolicy.make(options)
    assert.deepStrictEqual(options, before)
    options.window.calls = NaN
    options.halfOpenSample.calls = NaN
    assert.deepStrictEqual(policy.window, before.window)
    assert.deepStrictEqual(policy.halfOpenSample, before.halfOpenSample)
  })
})

// -----------------------------------------------------------------------------
// values of another type, which TypeScript refuses and JavaScript does not
// -----------------------------------------------------------------------------

const unreadable = (): never => {
  throw new Error("unreadable")
}

/** Values that are no number, no time, no function, no text and no object of this package. */
const OTHERS: Readonly<Record<string, () => unknown>> = {
  "a text": () => "abc",
  "a number in a text": () => "0.5",
  "an empty text": () => "",
  "true": () => true,
  "a bigint": () => 2n,
  "a symbol": () => Symbol("s"),
  "a list": () => [1],
  "an empty list": () => [],
  "an object": () => ({ second: 5 }),
  "a date": () => new Date(0),
  "a function": () => () => 1,
  "NaN": () => NaN,
  "an object without a prototype": () => Object.create(null),
  "an object that cannot be printed": () => ({ toString: unreadable, valueOf: unreadable, toJSON: unreadable })
}

/** What of them an option takes. */
const TAKES: Readonly<Record<Kind["_tag"], ReadonlyArray<string>>> = {
  Number: [],
  Time: ["a bigint"],
  Function: ["a function"],
  Object: [],
  Text: []
}

/** Options that are a function or a text as well as an object. */
const TAKES_TOO: Readonly<Record<string, ReadonlyArray<string>>> = {
  "Hedge.make delay": ["a function"],
  "Resilience.make fallback": ["a function"],
  // Text and classes name a circuit.
  "Resilience.make circuitBreaker": ["a text", "a number in a text", "an empty text"],
  "Tiers.tier circuit": ["a text", "a number in a text", "an empty text"],
  "CircuitBreakerRegistry.make circuits": []
}

const complaintsAbout = (
  kinds: ReadonlyArray<Kind["_tag"]>,
  values: ReadonlyArray<string>,
  only: (target: Omit<Case, "value">) => boolean = () => true
): ReadonlyArray<string> =>
  optionsOf(kinds).filter(only).flatMap((target) =>
    values.flatMap((value) => {
      const takes = [...TAKES[target.kind._tag], ...(TAKES_TOO[`${target.name} ${target.option}`] ?? [])]
      const wrong = complaint({ ...target, value: OTHERS[value]!() }, takes.includes(value))
      return wrong === undefined ? [] : [`${target.name}: ${target.option} of ${value} ${wrong}`]
    })
  )

const UNPRINTABLE = [
  "an object without a prototype",
  "an object that cannot be printed"
]
const PRINTABLE = Object.keys(OTHERS).filter((name) => !UNPRINTABLE.includes(name))

describe("values of another type", () => {
  const isCount = ({ kind }: Omit<Case, "value">) => kind._tag === "Number" && !kind.accepts(1.5) && !kind.accepts(0)
  const isTarget = ({ option }: Omit<Case, "value">) => ["bulkhead", "rateLimit", "hedge"].includes(option)

  it("are refused for counts, by name and value", () => {
    assert.deepStrictEqual(complaintsAbout(["Number"], PRINTABLE, isCount), [])
  })

  it("are refused for times, by name and value", () => {
    const values = PRINTABLE.filter((value) => !["an object", "a date"].includes(value))
    assert.deepStrictEqual(complaintsAbout(["Time"], values, ({ option }) => option !== "maximum"), [])
  })

  it("are refused for words, by name and value", () => {
    const values = PRINTABLE.filter((value) => value !== "a symbol")
    assert.deepStrictEqual(complaintsAbout(["Text"], values), [])
  })

  it("are refused for the bulkhead, the rate limit and the hedge of a pipeline", () => {
    assert.deepStrictEqual(complaintsAbout(["Object"], PRINTABLE, isTarget), [])
  })

  it("are refused for rates and factors, by name and value", () => {
    assert.deepStrictEqual(complaintsAbout(["Number"], PRINTABLE), [])
  })

  it("are refused for times, objects without a unit included", () => {
    assert.deepStrictEqual(complaintsAbout(["Time"], ["an object", "a date"]), [])
  })

  it("are refused for functions", () => {
    assert.deepStrictEqual(complaintsAbout(["Function"], PRINTABLE), [])
  })

  it("are refused for windows and samples", () => {
    const only = ({ option }: Omit<Case, "value">) => ["window", "halfOpenSample", "recovery"].includes(option)
    assert.deepStrictEqual(complaintsAbout(["Object"], PRINTABLE, only), [])
  })

  it("are refused for policies", () => {
    const only = ({ option }: Omit<Case, "value">) => ["policy", "defaults", "circuits"].includes(option)
    assert.deepStrictEqual(complaintsAbout(["Object"], PRINTABLE, only), [])
  })

  it("are refused for the other parts of a pipeline", () => {
    const only = ({ option }: Omit<Case, "value">) =>
      ["order", "retry", "budget", "schedule", "circuit", "circuitBreaker", "fallback"].includes(option)
    assert.deepStrictEqual(complaintsAbout(["Object"], PRINTABLE, only), [])
  })

  it("that cannot be printed are refused by name", () => {
    const kinds = ["Number", "Time", "Text"] as const
    assert.deepStrictEqual([...complaintsAbout(kinds, UNPRINTABLE), ...complaintsAbout(["Text"], ["a symbol"])], [])
  })

  it("and times below zero count as none for the retryAfter of a failure, which comes from the network", () => {
    for (const retryAfter of [-1, "soon", Symbol("s"), -Infinity, ...Object.values(OTHERS).map((make) => make())]) {
      const outcome = Outcome.failure({ retryAfter: retryAfter as never })
      assert.isTrue(outcome._tag === "Failure" && Duration.toMillis(outcome.retryAfter ?? Duration.zero) < 1)
    }
  })

  it("are refused for the timeout of a tier by the name it has there", () => {
    assert.throws(() => Tiers.make("read", [Tiers.tier("a", Effect.void, { timeout: -1 })]), /tier.*timeout must/i)
  })

  for (const missing of [undefined, null]) {
    const makers: Readonly<Record<string, (options: never) => unknown>> = {
      "Bulkhead.make": Bulkhead.make,
      "RateLimit.makeMemory": RateLimit.makeMemory,
      "Hedge.make": Hedge.make,
      "Resilience.make": Resilience.make,
      "CircuitPolicy.exponential": CircuitPolicy.exponential
    }
    it(`${missing} for the options is a RangeError that names the constructor`, () => {
      for (const [name, make] of Object.entries(makers)) {
        assert.throws(() => make(missing as never), RangeError, name)
      }
    })
  }
})
