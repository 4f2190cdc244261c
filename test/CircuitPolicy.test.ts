import { assert, describe, it } from "@effect/vitest"
import { CircuitBreakerRegistry, CircuitPolicy, Outcome } from "effect-resilience"
import { Duration, Effect, Equal, Hash, Schedule } from "effect"
import { from } from "../src/internal/circuit/policy.ts"

const millis = (of: CircuitPolicy.CircuitPolicy) => {
  const { [CircuitPolicy.TypeId]: _, ...policy } = of
  return {
    ...policy,
    slowCallDuration: policy.slowCallDuration && Duration.toMillis(policy.slowCallDuration),
    window: "calls" in policy.window
      ? policy.window
      : { ...policy.window, duration: Duration.toMillis(policy.window.duration) },
    openDuration: openMillis(policy.openDuration),
    maxOpenDuration: Duration.toMillis(policy.maxOpenDuration),
    halfOpenTimeout: Duration.toMillis(policy.halfOpenTimeout),
    recovery: policy.recovery && { ...policy.recovery, duration: Duration.toMillis(policy.recovery.duration) },
    interruptedAfter: policy.interruptedAfter && Duration.toMillis(policy.interruptedAfter)
  }
}

const openMillis = (openDuration: CircuitPolicy.CircuitPolicy["openDuration"]) =>
  Duration.isDuration(openDuration)
    ? Duration.toMillis(openDuration)
    : Schedule.isSchedule(openDuration)
    ? openDuration
    : {
      ...openDuration,
      initial: Duration.toMillis(openDuration.initial),
      maximum: Duration.toMillis(openDuration.maximum)
    }

describe("make", () => {
  it("without options opens at five failures in a row or half of a minute's calls, for 60 to 300 seconds", () => {
    assert.deepStrictEqual(millis(CircuitPolicy.make()) as unknown, {
      consecutiveFailures: 5,
      failureRate: 0.5,
      slowCallRate: undefined,
      slowCallDuration: undefined,
      minimumCalls: 10,
      window: { duration: 60_000, buckets: 10 },
      openDuration: { _tag: "Exponential", initial: 60_000, multiplier: 2, maximum: 300_000, jitter: 0 },
      maxOpenDuration: 3_600_000,
      halfOpenMaxCalls: 3,
      successThreshold: 2,
      halfOpenSample: undefined,
      halfOpenTimeout: 60_000,
      recovery: undefined,
      measureDuration: true,
      classify: undefined,
      interruptedAfter: undefined,
      countUnreported: "ignored",
      describeFailure: undefined
    })
  })

  // migration: CircuitBreakerConfig
  it("keeps what it is given", () => {
    const classify = () => Outcome.ignored
    const describeFailure = () => "a failure"
    const openDuration = Schedule.exponential("1 second")
    assert.deepStrictEqual(
      millis(CircuitPolicy.make({
        consecutiveFailures: 1,
        failureRate: 0,
        slowCallRate: 1,
        slowCallDuration: "2 seconds",
        minimumCalls: 20,
        window: { calls: 20 },
        openDuration,
        maxOpenDuration: 0,
        halfOpenMaxCalls: 7,
        successThreshold: 8,
        halfOpenSample: { calls: 9, failureRate: 1 },
        halfOpenTimeout: "Infinity",
        recovery: { duration: "10 seconds", initial: 0.25 },
        measureDuration: false,
        classify,
        interruptedAfter: 0,
        countUnreported: "success",
        describeFailure
      })) as unknown,
      {
        consecutiveFailures: 1,
        failureRate: 0,
        slowCallRate: 1,
        slowCallDuration: 2_000,
        minimumCalls: 20,
        window: { calls: 20 },
        openDuration,
        maxOpenDuration: 0,
        halfOpenMaxCalls: 7,
        successThreshold: 8,
        halfOpenSample: { calls: 9, failureRate: 1 },
        halfOpenTimeout: Infinity,
        recovery: { duration: 10_000, initial: 0.25 },
        measureDuration: false,
        classify,
        interruptedAfter: 0,
        countUnreported: "success",
        describeFailure
      }
    )
  })

  it("applies only the rules that are named", () => {
    const rules = (options: CircuitPolicy.Options) => {
      const { consecutiveFailures, failureRate, slowCallRate } = CircuitPolicy.make(options)
      return [consecutiveFailures, failureRate, slowCallRate]
    }
    assert.deepStrictEqual(rules({ consecutiveFailures: 3 }), [3, undefined, undefined])
    assert.deepStrictEqual(rules({ failureRate: 0.3 }), [undefined, 0.3, undefined])
    assert.deepStrictEqual(rules({ slowCallRate: 0.3, slowCallDuration: 1 }), [undefined, undefined, 0.3])
    assert.deepStrictEqual(rules({ openDuration: 1 }), [5, 0.5, undefined])
  })

  it("takes an option that is undefined for one that is not there", () => {
    const all: CircuitPolicy.Options = Object.fromEntries(
      Object.keys(CircuitPolicy.make()).map((field) => [field, undefined])
    )
    assert.deepStrictEqual(CircuitPolicy.difference(CircuitPolicy.make(all), CircuitPolicy.make()), [])
  })

  it("takes a policy, so that one can be changed into another", () => {
    for (const policy of [CircuitPolicy.make(), CircuitPolicy.production, CircuitPolicy.resilient]) {
      assert.deepStrictEqual(CircuitPolicy.difference(CircuitPolicy.make(policy), policy), [])
      assert.deepStrictEqual(
        CircuitPolicy.difference(CircuitPolicy.make({ ...policy, halfOpenMaxCalls: 9 }), policy),
        ["halfOpenMaxCalls"]
      )
    }
  })

  it("changes only the field that is changed, unless others follow from it", () => {
    const rules = (options: CircuitPolicy.Options) => {
      const { consecutiveFailures, failureRate, slowCallRate } = CircuitPolicy.make(options)
      return [consecutiveFailures, failureRate, slowCallRate]
    }
    const builtIn = CircuitPolicy.make()
    // Rules that nobody named go as soon as one is named, and stay otherwise.
    assert.deepStrictEqual(rules({ ...builtIn, consecutiveFailures: 3 }), [3, undefined, undefined])
    assert.deepStrictEqual(rules({ ...builtIn, slowCallRate: 1, slowCallDuration: 1 }), [undefined, undefined, 1])
    assert.deepStrictEqual(rules({ ...CircuitPolicy.production, failureRate: 0.5 }), [5, 0.5, undefined])
    assert.deepStrictEqual(rules({ ...builtIn, openDuration: 1 }), [5, 0.5, undefined])
    // One that is turned off by hand takes no other with it, and the last one makes room for those by default.
    assert.deepStrictEqual(rules({ ...builtIn, failureRate: undefined }), [5, undefined, undefined])
    assert.deepStrictEqual(rules({ ...CircuitPolicy.production, consecutiveFailures: undefined }), [5, 0.5, undefined])
    // Spread once more, what was named stays named.
    const once = CircuitPolicy.make({ ...builtIn, consecutiveFailures: 3 })
    assert.deepStrictEqual(rules({ ...once, failureRate: 0.5 }), [3, 0.5, undefined])
    assert.deepStrictEqual(rules({ ...CircuitPolicy.make(builtIn), failureRate: 0.4 }), [undefined, 0.4, undefined])
  })

  it("fits the minimum of calls of a spread policy to its window, and refuses one that was named", () => {
    const window = { calls: 5 }
    assert.strictEqual(CircuitPolicy.make({ ...CircuitPolicy.production, window }).minimumCalls, 5)
    assert.strictEqual(
      CircuitPolicy.make({ ...CircuitPolicy.make({ window }), window: { calls: 100 } }).minimumCalls,
      10
    )
    const named = CircuitPolicy.make({ minimumCalls: 10, window: { calls: 10 } })
    assert.throws(() => CircuitPolicy.make({ ...named, window }), "minimumCalls must be an integer from 1 to 5, got 10")
    assert.throws(
      () => CircuitPolicy.make({ ...CircuitPolicy.production, window, minimumCalls: 6 }),
      "minimumCalls must be an integer from 1 to 5, got 6"
    )
  })

  it("times the calls of a spread policy where the new one needs the time, or the old one said so", () => {
    const window = { calls: 5 }
    assert.isFalse(CircuitPolicy.make({ ...CircuitPolicy.production, window }).measureDuration)
    assert.isTrue(CircuitPolicy.make({ ...CircuitPolicy.make({ window }), window: { duration: 1 } }).measureDuration)
    assert.isTrue(CircuitPolicy.make({ ...CircuitPolicy.make({ window, measureDuration: true }) }).measureDuration)
    const untimed = CircuitPolicy.make({ measureDuration: false })
    assert.isFalse(CircuitPolicy.make({ ...untimed, slowCallRate: 1, slowCallDuration: 1 }).measureDuration)
  })

  it("asks of a small window that it be full", () => {
    assert.strictEqual(CircuitPolicy.make({ window: { calls: 4 } }).minimumCalls, 4)
    assert.strictEqual(CircuitPolicy.make({ window: { calls: 400 } }).minimumCalls, 10)
  })

  it("measures durations where the time is needed anyway", () => {
    assert.isTrue(CircuitPolicy.make({ window: { duration: 1_000 } }).measureDuration)
    assert.isFalse(CircuitPolicy.make({ window: { calls: 10 } }).measureDuration)
    assert.isTrue(CircuitPolicy.make({ window: { calls: 10 }, slowCallRate: 1, slowCallDuration: 1 }).measureDuration)
  })

  it("takes every form of duration", () => {
    for (
      const openDuration of [1_500, "1500 millis", "1.5 seconds", 1_500_000_000n, [1, 500_000_000], {
        seconds: 1,
        milliseconds: 500
      }, Duration.millis(1_500)] as const
    ) {
      assert.strictEqual(openMillis(CircuitPolicy.make({ openDuration }).openDuration), 1_500)
    }
  })

  it("ramps up from a tenth of the calls, if it ramps", () => {
    const { recovery } = CircuitPolicy.make({ recovery: { duration: "1 minute" } })
    assert.strictEqual(recovery?.initial, 0.1)
    assert.strictEqual(CircuitPolicy.make({ recovery: { duration: 1, initial: 1 } }).recovery?.initial, 1)
  })

  it("does not change its options", () => {
    const options = Object.freeze({
      window: Object.freeze({ duration: "1 minute" as const }),
      halfOpenSample: Object.freeze({ calls: 3, failureRate: 0.5 }),
      recovery: Object.freeze({ duration: "1 minute" as const })
    })
    CircuitPolicy.make(options)
  })
})

describe("a value out of range throws a RangeError that names the field and the value", () => {
  const notCounts = [0, -1, 1.5, NaN, Infinity, -Infinity, 1e300, Number.MAX_SAFE_INTEGER + 1, "5"]
  const notRates = [-0.01, 1.01, NaN, Infinity, -Infinity, 50]
  const noDurations = [
    -1,
    NaN,
    "-1 second",
    "soon",
    "5",
    "",
    "1 fortnight",
    -5n,
    { seconds: -1 },
    { seconds: NaN },
    [
      1,
      NaN
    ],
    [1],
    -Infinity,
    "-Infinity",
    true
  ]
  const notPositive = [...noDurations, 0, "0 seconds"]
  const notFinite = [Infinity, "Infinity", Duration.infinity]

  type Bad = readonly [field: string, values: ReadonlyArray<unknown>, options: (value: never) => CircuitPolicy.Options]

  const bad: ReadonlyArray<Bad> = [
    ["consecutiveFailures", notCounts, (consecutiveFailures) => ({ consecutiveFailures })],
    ["failureRate", notRates, (failureRate) => ({ failureRate })],
    ["slowCallRate", notRates, (slowCallRate) => ({ slowCallRate, slowCallDuration: 1 })],
    ["slowCallDuration", noDurations, (slowCallDuration) => ({ slowCallRate: 0.5, slowCallDuration })],
    ["minimumCalls", [...notCounts], (minimumCalls) => ({ minimumCalls })],
    ["minimumCalls", [...notCounts, 11, 1_000], (minimumCalls) => ({ minimumCalls, window: { calls: 10 } })],
    ["window.calls", [...notCounts, 1_000_001], (calls) => ({ window: { calls } })],
    ["window.duration", [...notPositive, ...notFinite], (duration) => ({ window: { duration } })],
    ["window.buckets", [...notCounts, 1_001], (buckets) => ({ window: { duration: 1_000, buckets } })],
    ["openDuration", noDurations, (openDuration) => ({ openDuration })],
    ["maxOpenDuration", noDurations, (maxOpenDuration) => ({ maxOpenDuration })],
    ["halfOpenMaxCalls", notCounts, (halfOpenMaxCalls) => ({ halfOpenMaxCalls })],
    ["successThreshold", notCounts, (successThreshold) => ({ successThreshold })],
    ["halfOpenSample.calls", notCounts, (calls) => ({ halfOpenSample: { calls, failureRate: 0.5 } })],
    ["halfOpenSample.failureRate", notRates, (failureRate) => ({ halfOpenSample: { calls: 5, failureRate } })],
    ["halfOpenTimeout", notPositive, (halfOpenTimeout) => ({ halfOpenTimeout })],
    ["recovery.duration", [...notPositive, ...notFinite, undefined], (duration) => ({ recovery: { duration } })],
    ["recovery.initial", [...notRates, 0], (initial) => ({ recovery: { duration: 1, initial } })],
    ["interruptedAfter", noDurations, (interruptedAfter) => ({ interruptedAfter })],
    ["countUnreported", ["failure", "", true, 0], (countUnreported) => ({ countUnreported })],
    ["describeFailure", [true, 0, "", "message", {}], (describeFailure) => ({ describeFailure })]
  ]

  const thrown = (f: () => unknown): Error => {
    try {
      f()
    } catch (error) {
      assert.instanceOf(error, RangeError)
      return error as Error
    }
    return assert.fail("did not throw")
  }

  const print = (value: unknown) =>
    typeof value === "bigint" ? `${value}n` : typeof value === "number" ? String(value) : JSON.stringify(value)

  for (const [field, values, options] of bad) {
    for (const value of values) {
      it(`${field}: ${print(value)}`, () => {
        const { message } = thrown(() => CircuitPolicy.make(options(value as never)))
        assert.match(message, new RegExp(`^CircuitPolicy\\.make: ${field} must be .+, got .+$`))
        if (typeof value === "number") assert.include(message, `got ${value}`)
        if (typeof value === "string") assert.include(message, `got "${value}"`)
      })
    }
  }

  const badExponential: ReadonlyArray<readonly [string, ReadonlyArray<unknown>, (value: never) => unknown]> = [
    ["initial", [...notPositive, ...notFinite], (initial) => CircuitPolicy.exponential({ initial })],
    [
      "maximum",
      [...noDurations, ...notFinite, 999],
      (maximum) => CircuitPolicy.exponential({ initial: 1_000, maximum })
    ],
    ["multiplier", [0, 0.99, -1, NaN, Infinity], (multiplier) => CircuitPolicy.exponential({ initial: 1, multiplier })],
    ["jitter", notRates, (jitter) => CircuitPolicy.exponential({ initial: 1, jitter })]
  ]
  for (const [field, values, build] of badExponential) {
    for (const value of values) {
      it(`exponential ${field}: ${print(value)}`, () => {
        const { message } = thrown(() => build(value as never))
        assert.match(message, new RegExp(`^CircuitPolicy\\.exponential: ${field} must be .+, got .+$`))
      })
    }
  }

  for (const value of notPositive) {
    it(`idleTimeToLive of a registry's Layer: ${print(value)}`, () => {
      const { message } = thrown(() => CircuitBreakerRegistry.layer({ idleTimeToLive: value as never }))
      assert.match(
        message,
        /^CircuitBreakerRegistry\.layer: idleTimeToLive must be a duration above zero such as "5 seconds", got .+$/
      )
    })
  }

  it("slowCallRate without slowCallDuration, and the other way round", () => {
    assert.match(
      thrown(() => CircuitPolicy.make({ slowCallRate: 0.5 })).message,
      /^CircuitPolicy\.make: slowCallRate needs slowCallDuration/
    )
    assert.match(
      thrown(() => CircuitPolicy.make({ slowCallDuration: "1 second" })).message,
      /^CircuitPolicy\.make: slowCallDuration needs slowCallRate/
    )
  })

  it("an option that there is not, of the policy or of one of its parts", () => {
    const cases: ReadonlyArray<readonly [() => unknown, string]> = [
      [
        () => CircuitPolicy.make({ failureTreshold: 3 } as never),
        "CircuitPolicy.make: \"failureTreshold\" is no option"
      ],
      [() => CircuitPolicy.make({ ...CircuitPolicy.kafka, retries: 1 } as never), "\"retries\" is no option"],
      [
        () => CircuitPolicy.make({ window: { calls: 1, size: 2 } as never }),
        "CircuitPolicy.make: window: \"size\" is no option"
      ],
      [
        () => CircuitPolicy.make({ halfOpenSample: { calls: 1, failureRate: 1, rate: 1 } as never }),
        "CircuitPolicy.make: halfOpenSample: \"rate\" is no option"
      ],
      [
        () => CircuitPolicy.make({ recovery: { duration: 1, share: 1 } as never }),
        "CircuitPolicy.make: recovery: \"share\" is no option"
      ],
      [
        () => CircuitPolicy.exponential({ initial: 1, max: 2 } as never),
        "CircuitPolicy.exponential: \"max\" is no option"
      ]
    ]
    for (const [build, message] of cases) assert.include(thrown(build).message, message)
  })

  it("null, which is no default", () => {
    const { [CircuitPolicy.TypeId]: _, ...fields } = CircuitPolicy.make()
    for (const field of Object.keys(fields)) {
      const other = field === "slowCallRate"
        ? { slowCallDuration: 1 }
        : field === "slowCallDuration"
        ? { slowCallRate: 1 }
        : {}
      const { message } = thrown(() => CircuitPolicy.make({ [field]: null, ...other }))
      assert.match(message, new RegExp(`^CircuitPolicy\\.make: ${field} must be .+, got null$`))
    }
    for (const field of ["multiplier", "maximum", "jitter"]) {
      const { message } = thrown(() => CircuitPolicy.exponential({ initial: 1, [field]: null }))
      assert.match(message, new RegExp(`^CircuitPolicy\\.exponential: ${field} must be .+, got null$`))
    }
    assert.include(
      thrown(() => CircuitPolicy.make({ window: { duration: 1, buckets: null as never } })).message,
      "buckets"
    )
    assert.include(
      thrown(() => CircuitPolicy.make({ recovery: { duration: 1, initial: null as never } })).message,
      "initial"
    )
  })

  it("a window of neither calls nor a duration, or of both", () => {
    const windows: ReadonlyArray<object> = [
      {},
      { buckets: 5 },
      { calls: 5, duration: "1 minute" },
      { calls: 5, buckets: 2 }
    ]
    for (const window of windows) {
      assert.match(
        thrown(() => CircuitPolicy.make({ window: window as never })).message,
        /^CircuitPolicy\.make: window must be an object with calls, or with a duration and its buckets, got /
      )
    }
    assert.deepStrictEqual(CircuitPolicy.make({ window: { calls: 5, duration: undefined } as never }).window, {
      calls: 5
    })
  })

  it("a measureDuration that is neither true nor false", () => {
    assert.strictEqual(
      thrown(() => CircuitPolicy.make({ measureDuration: "no" as never })).message,
      "CircuitPolicy.make: measureDuration must be true or false, got \"no\""
    )
  })

  it("an open time that was spread and changed by hand", () => {
    const growing = CircuitPolicy.exponential({ initial: 1, maximum: 10 })
    assert.strictEqual(
      thrown(() => CircuitPolicy.make({ openDuration: { ...growing, initial: Duration.seconds(1) } })).message,
      "CircuitPolicy.exponential: maximum must be at least initial (1s), got 10ms"
    )
    const jittered = CircuitPolicy.make({ openDuration: { ...growing, jitter: 0.5 } })
    assert.deepStrictEqual(jittered.openDuration, CircuitPolicy.exponential({ ...growing, jitter: 0.5 }))
  })

  it("what is no object where one must be", () => {
    const values: ReadonlyArray<unknown> = [[], "10", 10, new Date(0), () => {}, null, Promise.resolve({})]
    for (const value of values) {
      const cases = [
        [() => CircuitPolicy.make(value as never), "make: options must be an object, got "],
        [() => CircuitPolicy.make({ window: value as never }), "make: window must be an object with calls, or with a"],
        [() => CircuitPolicy.make({ halfOpenSample: value as never }), "make: halfOpenSample must be an object with"],
        [() => CircuitPolicy.make({ recovery: value as never }), "make: recovery must be an object with duration, got"],
        [() => CircuitPolicy.exponential(value as never), "exponential: options must be an object, got "]
      ] as const
      for (const [build, message] of cases) assert.include(thrown(build).message, `CircuitPolicy.${message}`)
    }
  })

  it("what is neither a policy nor options of one, where a policy must be", () => {
    for (const value of ["production", null, [], 3]) {
      assert.match(
        thrown(() => CircuitBreakerRegistry.layer({ defaults: value as never })).message,
        /^CircuitBreakerRegistry\.layer: defaults must be a policy or its options, got /
      )
    }
    for (const value of [{ window: {} }, { consecutiveFailures: 0 }]) {
      assert.match(
        thrown(() => CircuitBreakerRegistry.layer({ defaults: value as never })).message,
        /^CircuitBreakerRegistry\.layer: defaults\.(window|consecutiveFailures) must /
      )
    }
    CircuitBreakerRegistry.layer({ defaults: { consecutiveFailures: 3 } })
  })

  it("a classifier that is no function", () => {
    assert.strictEqual(
      thrown(() => CircuitPolicy.make({ classify: "failure" as never })).message,
      "CircuitPolicy.make: classify must be a function, got \"failure\""
    )
  })

  it("even a value that cannot be printed", () => {
    const hostile = new Proxy({}, {
      has: () => {
        throw new Error("no")
      }
    })
    assert.strictEqual(
      thrown(() => CircuitPolicy.make({ consecutiveFailures: hostile as never })).message,
      "CircuitPolicy.make: consecutiveFailures must be an integer >= 1, got a value that cannot be printed"
    )
  })

  it("a duration without a unit that there is, or that cannot be read", () => {
    const unreadable = new Proxy({}, {
      ownKeys: () => {
        throw new Error("no")
      }
    })
    const values: ReadonlyArray<unknown> = [{}, { second: 1 }, { seconds: 1, fortnights: 1 }, unreadable]
    for (const value of values) {
      assert.match(
        thrown(() => CircuitPolicy.make({ halfOpenTimeout: value as never })).message,
        /^CircuitPolicy\.make: halfOpenTimeout must be a duration above zero such as "5 seconds", got /
      )
    }
  })

  it("says what is accepted", () => {
    const accepted = [
      [{ consecutiveFailures: 0 }, "must be an integer >= 1, got 0"],
      [{ window: { calls: 0 } }, "must be an integer from 1 to 1000000, got 0"],
      [{ failureRate: 1.5 }, "must be a number from 0 to 1, got 1.5"],
      [{ openDuration: -1 }, "must be a duration of at least zero such as \"5 seconds\", got -1"],
      [{ halfOpenTimeout: 0 }, "must be a duration above zero such as \"5 seconds\", got 0"],
      [
        { window: { duration: "Infinity" } },
        "must be a finite duration above zero such as \"5 seconds\", got \"Infinity\""
      ]
    ] as const
    for (const [options, message] of accepted) {
      assert.include(thrown(() => CircuitPolicy.make(options)).message, message)
    }
  })
})

describe("the limits themselves are in range", () => {
  it("of make", () => {
    for (
      const options of [
        { consecutiveFailures: Number.MAX_SAFE_INTEGER },
        { failureRate: 1 },
        { window: { calls: 1_000_000 } },
        { window: { calls: 1 } },
        { window: { duration: 1, buckets: 1_000 } },
        { minimumCalls: 10, window: { calls: 10 } },
        { slowCallRate: 0, slowCallDuration: 0 },
        { openDuration: 0 },
        { openDuration: "Infinity" },
        { maxOpenDuration: "Infinity" },
        { halfOpenTimeout: 1n }
      ] as const
    ) {
      CircuitPolicy.make(options)
    }
  })

  it("of exponential", () => {
    assert.deepStrictEqual(
      openMillis(CircuitPolicy.exponential({ initial: 5, maximum: 5, multiplier: 1, jitter: 1 })),
      {
        _tag: "Exponential",
        initial: 5,
        multiplier: 1,
        maximum: 5,
        jitter: 1
      }
    )
  })
})

describe("exponential", () => {
  // migration: exponential_backoff
  it("doubles up to five minutes by default, or stays at a longer initial time", () => {
    assert.deepInclude(openMillis(CircuitPolicy.exponential({ initial: "1 second" })) as object, {
      multiplier: 2,
      maximum: 300_000,
      jitter: 0
    })
    assert.deepInclude(openMillis(CircuitPolicy.exponential({ initial: "10 minutes" })) as object, { maximum: 600_000 })
  })
})

describe("presets", () => {
  const summary = (policy: CircuitPolicy.CircuitPolicy) => {
    const { consecutiveFailures, failureRate, halfOpenMaxCalls, openDuration, successThreshold } = millis(policy)
    assert.isUndefined(failureRate)
    return [consecutiveFailures, openDuration, halfOpenMaxCalls, successThreshold]
  }

  it("are what their names say", () => {
    assert.deepStrictEqual(summary(CircuitPolicy.fastFail), [3, 30_000, 3, 2])
    assert.deepStrictEqual(summary(CircuitPolicy.resilient), [
      10,
      { _tag: "Exponential", initial: 120_000, multiplier: 2, maximum: 300_000, jitter: 0 },
      3,
      2
    ])
    assert.deepStrictEqual(summary(CircuitPolicy.aggressive), [3, 30_000, 2, 2])
    assert.deepStrictEqual(summary(CircuitPolicy.conservative), [10, 120_000, 5, 3])
    assert.deepStrictEqual(summary(CircuitPolicy.production), [5, 60_000, 3, 2])
    assert.deepStrictEqual(summary(CircuitPolicy.database), [5, 60_000, 1, 1])
    assert.deepStrictEqual(summary(CircuitPolicy.kafka), [3, 30_000, 1, 1])
  })
})

describe("a policy that is spread into another", () => {
  const presets: ReadonlyArray<readonly [CircuitPolicy.CircuitPolicy, CircuitPolicy.Options]> = [
    [CircuitPolicy.make(), {}],
    [CircuitPolicy.fastFail, { consecutiveFailures: 3, openDuration: "30 seconds" }],
    [CircuitPolicy.resilient, {
      consecutiveFailures: 10,
      openDuration: CircuitPolicy.exponential({ initial: "2 minutes" })
    }],
    [CircuitPolicy.aggressive, {
      consecutiveFailures: 3,
      openDuration: "30 seconds",
      halfOpenMaxCalls: 2,
      successThreshold: 2
    }],
    [CircuitPolicy.conservative, {
      consecutiveFailures: 10,
      openDuration: "2 minutes",
      halfOpenMaxCalls: 5,
      successThreshold: 3
    }],
    [CircuitPolicy.production, {
      consecutiveFailures: 5,
      openDuration: "1 minute",
      halfOpenMaxCalls: 3,
      successThreshold: 2
    }],
    [CircuitPolicy.database, {
      consecutiveFailures: 5,
      openDuration: "1 minute",
      halfOpenMaxCalls: 1,
      successThreshold: 1
    }],
    [CircuitPolicy.kafka, {
      consecutiveFailures: 3,
      openDuration: "30 seconds",
      halfOpenMaxCalls: 1,
      successThreshold: 1
    }]
  ]
  const classify = () => Outcome.ignored
  const describeFailure = () => "failed"
  const openDuration = Schedule.spaced("1 second")
  const changes: ReadonlyArray<CircuitPolicy.Options> = [
    {},
    { consecutiveFailures: 7 },
    { failureRate: 0.25 },
    { slowCallRate: 0.5, slowCallDuration: "1 second" },
    // Refused alone, with the same message.
    { slowCallRate: 0.5 },
    { slowCallDuration: "1 second" },
    { minimumCalls: 4 },
    { minimumCalls: 4_000 },
    { window: { calls: 1 } },
    { window: { calls: 9 } },
    { window: { calls: 10 } },
    { window: { calls: 500 } },
    { window: { duration: "5 seconds" } },
    { window: { duration: "5 seconds", buckets: 5 } },
    { openDuration: "7 seconds" },
    { openDuration: CircuitPolicy.exponential({ initial: "7 seconds" }) },
    { openDuration },
    { maxOpenDuration: "2 hours" },
    { halfOpenMaxCalls: 7 },
    { successThreshold: 7 },
    { halfOpenSample: { calls: 7, failureRate: 0.5 } },
    { halfOpenTimeout: "7 seconds" },
    { recovery: { duration: "7 seconds" } },
    { measureDuration: false },
    { classify },
    { interruptedAfter: "7 seconds" },
    { countUnreported: "success" },
    { describeFailure },
    { consecutiveFailures: 0 }
  ]
  const made = (options: CircuitPolicy.Options) => {
    try {
      return CircuitPolicy.make(options)
    } catch (error) {
      return (error as Error).message
    }
  }
  const assertSame = (
    self: CircuitPolicy.CircuitPolicy | string,
    that: CircuitPolicy.CircuitPolicy | string,
    why: string
  ) => {
    if (typeof self === "string" || typeof that === "string") return assert.strictEqual(self, that, why)
    assert.deepStrictEqual(CircuitPolicy.difference(self, that), [], why)
    assert.isTrue(Equal.equals(self, that), why)
  }

  it("counts as the options it was made from: every preset with every option", () => {
    for (const [preset, options] of presets) {
      assertSame(preset, made(options), preset.description)
      for (const change of changes) {
        assertSame(made({ ...preset, ...change }), made({ ...options, ...change }), JSON.stringify([options, change]))
      }
    }
  })

  /** What is written beside a spread and is there already cannot be told from what the spread brings. */
  const repeats = (policy: CircuitPolicy.CircuitPolicy, { measureDuration }: CircuitPolicy.Options) =>
    measureDuration === policy.measureDuration

  it("counts as the options it was made from, as often as it is spread", () => {
    for (const first of changes) {
      const policy = made(first)
      if (typeof policy === "string") continue
      for (const second of changes) {
        if (repeats(policy, second)) continue
        const both = made({ ...policy, ...second })
        assertSame(both, made({ ...first, ...second }), JSON.stringify([first, second]))
        if (typeof both === "string") continue
        for (const third of changes) {
          if (repeats(both, third)) continue
          assertSame(
            made({ ...both, ...third }),
            made({ ...first, ...second, ...third }),
            JSON.stringify([first, second, third])
          )
        }
      }
    }
  })
})

describe("isCircuitPolicy", () => {
  it("knows policies, also spread ones and those of another copy of the package", () => {
    const { [CircuitPolicy.TypeId]: _, ...fields } = CircuitPolicy.make()
    assert.isTrue(CircuitPolicy.isCircuitPolicy(CircuitPolicy.kafka))
    assert.isTrue(CircuitPolicy.isCircuitPolicy({ ...CircuitPolicy.kafka, halfOpenMaxCalls: 5 }))
    assert.isTrue(CircuitPolicy.isCircuitPolicy({ ...fields, "~effect-resilience/CircuitPolicy": {} }))
    const others: ReadonlyArray<unknown> = [
      undefined,
      null,
      {},
      fields,
      { consecutiveFailures: 3 },
      "kafka",
      [],
      () => {}
    ]
    for (const other of others) assert.isFalse(CircuitPolicy.isCircuitPolicy(other))
  })

  it("knows a policy that was spread and changed, and no options", () => {
    const changed = { ...CircuitPolicy.kafka, halfOpenMaxCalls: 5 }
    assert.isTrue(CircuitPolicy.isCircuitPolicy(changed))
    assert.strictEqual(from("policy", changed).halfOpenMaxCalls, 5)
    const { [CircuitPolicy.TypeId]: _, ...fields } = CircuitPolicy.make()
    assert.isFalse(CircuitPolicy.isCircuitPolicy(fields))
    for (const other of [null, "kafka", []]) {
      assert.isFalse(CircuitPolicy.isCircuitPolicy(other))
      assert.throws(
        () => from("X.make: policy", other as never),
        /^X\.make: policy must be a policy or its options, got /
      )
    }
  })
})

describe("a policy or its options", () => {
  it("is the very policy, or one made of the options", () => {
    assert.isUndefined(from("policy", undefined))
    assert.strictEqual(from("policy", CircuitPolicy.kafka), CircuitPolicy.kafka)
    const made = from("policy", { consecutiveFailures: 3 })
    assert.deepStrictEqual(CircuitPolicy.difference(made, CircuitPolicy.make({ consecutiveFailures: 3 })), [])
    assert.strictEqual(from("policy", made), made)
    const changed = from("policy", { ...CircuitPolicy.kafka, openDuration: "7 seconds" })
    assert.deepStrictEqual(CircuitPolicy.difference(changed, CircuitPolicy.kafka), ["openDuration"])
    assert.strictEqual(openMillis(changed.openDuration), 7_000)
    const small = from("policy", { ...CircuitPolicy.kafka, window: { calls: 5 } })
    assert.strictEqual(small.minimumCalls, 5)
  })

  it("is refused in the words of the option it is for", () => {
    const messages: ReadonlyArray<readonly [unknown, string]> = [
      [null, "X.make: policy must be a policy or its options, got null"],
      ["kafka", "X.make: policy must be a policy or its options, got \"kafka\""],
      [[], "X.make: policy must be a policy or its options, got []"],
      [{ failureRate: 2 }, "X.make: policy.failureRate must be a number from 0 to 1, got 2"],
      [{ window: { calls: 0 } }, "X.make: policy.window.calls must be an integer from 1 to 1000000, got 0"],
      [{ halfOpenSample: 1 }, "X.make: policy.halfOpenSample must be an object with calls and failureRate, got 1"],
      [
        { recovery: { duration: 0 } },
        "X.make: policy.recovery.duration must be a finite duration above zero such as \"5 seconds\", got 0"
      ],
      [
        { openDuration: -1 },
        "X.make: policy.openDuration must be a duration of at least zero such as \"5 seconds\", got -1"
      ],
      [{ slowCallRate: 1 }, "X.make: policy.slowCallRate needs slowCallDuration beside it, got none"],
      [{ retries: 1 }, "X.make: policy: \"retries\" is no option; there are consecutiveFailures, "]
    ]
    for (const [policy, message] of messages) {
      assert.throws(() => from("X.make: policy", policy as never), message)
    }
  })
})

describe("difference", () => {
  it("names the fields that differ, by value", () => {
    const one = CircuitPolicy.make({ consecutiveFailures: 3, window: { calls: 10 }, openDuration: "1 minute" })
    const same = CircuitPolicy.make({ consecutiveFailures: 3, window: { calls: 10 }, openDuration: "60 seconds" })
    const other = CircuitPolicy.make({ consecutiveFailures: 4, window: { calls: 11 }, openDuration: 1 })

    assert.deepStrictEqual(CircuitPolicy.difference(one, same), [])
    assert.deepStrictEqual(CircuitPolicy.difference(one, other), ["consecutiveFailures", "window", "openDuration"])
  })

  it("compares what counts and what is kept", () => {
    const policy = CircuitPolicy.make()
    const options: ReadonlyArray<CircuitPolicy.Options> = [
      { interruptedAfter: 1 },
      { recovery: { duration: 1 } },
      { countUnreported: "success" },
      { describeFailure: false }
    ]
    for (const changed of options) {
      assert.deepStrictEqual(
        CircuitPolicy.difference(policy, CircuitPolicy.make(changed)) as ReadonlyArray<string>,
        Object.keys(changed)
      )
    }
  })

  it("compares open times by value, and classifiers and schedules by identity", () => {
    const exponential = (initial: Duration.Input) =>
      CircuitPolicy.make({ openDuration: CircuitPolicy.exponential({ initial }) })
    assert.deepStrictEqual(CircuitPolicy.difference(exponential(1_000), exponential("1 second")), [])
    assert.deepStrictEqual(CircuitPolicy.difference(exponential(1_000), exponential(1_001)), ["openDuration"])

    const schedule = Schedule.spaced(1)
    const scheduled = (openDuration: Schedule.Schedule<unknown, number>) => CircuitPolicy.make({ openDuration })
    assert.deepStrictEqual(CircuitPolicy.difference(scheduled(schedule), scheduled(schedule)), [])
    assert.deepStrictEqual(CircuitPolicy.difference(scheduled(schedule), scheduled(Schedule.spaced(1))), [
      "openDuration"
    ])

    const classified = () => CircuitPolicy.make({ classify: () => Outcome.ignored })
    const policy = classified()
    assert.deepStrictEqual(CircuitPolicy.difference(policy, policy), [])
    assert.deepStrictEqual(CircuitPolicy.difference(policy, classified()), ["classify"])
  })

  it("compares ramps by value", () => {
    const ramp = (duration: Duration.Input, initial?: number) => CircuitPolicy.make({ recovery: { duration, initial } })
    assert.deepStrictEqual(CircuitPolicy.difference(ramp("1 second"), ramp(1_000, 0.1)), [])
    assert.deepStrictEqual(CircuitPolicy.difference(ramp(1_000), ramp(1_001)), ["recovery"])
    assert.deepStrictEqual(CircuitPolicy.difference(ramp(1_000), ramp(1_000, 0.2)), ["recovery"])
  })

  it("sees no difference between what was named and what follows", () => {
    const named = CircuitPolicy.make({
      consecutiveFailures: 5,
      failureRate: 0.5,
      minimumCalls: 10,
      measureDuration: true
    })
    assert.deepStrictEqual(CircuitPolicy.difference(named, CircuitPolicy.make()), [])
    assert.isTrue(Equal.equals(named, CircuitPolicy.make()))
    assert.isFalse(Equal.equals(named, CircuitPolicy.make({ minimumCalls: 11 })))
  })

  it("is symmetric", () => {
    for (const that of [CircuitPolicy.kafka, CircuitPolicy.resilient, CircuitPolicy.conservative]) {
      const self = CircuitPolicy.make()
      assert.deepStrictEqual(CircuitPolicy.difference(self, that), CircuitPolicy.difference(that, self))
    }
  })
})

describe("description", () => {
  const text = (options: CircuitPolicy.Options) => CircuitPolicy.make(options).description

  // migration: document the configuration
  it("says in words what a policy does", () => {
    assert.strictEqual(
      text({}),
      "opens after 5 failures in a row or 50% failures in 1m (at least 10), " +
        "for 1m × 2 each time up to 5m; up to 3 probes at once, 2 successes close it"
    )
    assert.strictEqual(
      text({
        consecutiveFailures: 1,
        slowCallRate: 0.125,
        slowCallDuration: "2 seconds",
        window: { calls: 5 },
        openDuration: 0,
        halfOpenMaxCalls: 1,
        successThreshold: 1
      }),
      "opens after a failure or 12.5% calls over 2s in the last 5 calls (at least 5), for 0; " +
        "one probe at a time, a success closes it"
    )
    assert.strictEqual(
      text({
        failureRate: 1 / 3,
        window: { calls: 9 },
        openDuration: Schedule.spaced(1),
        halfOpenSample: { calls: 10, failureRate: 0.2 }
      }),
      "opens after 33.33% failures in the last 9 calls (at least 9), for the delays of its schedule; " +
        "up to 3 probes at once, closes unless 20% of 10 probes fail"
    )
  })

  it("says how a circuit ramps up", () => {
    assert.match(
      text({ recovery: { duration: "90 seconds", initial: 0.05 } }),
      /2 successes close it, after a ramp of 1m 30s from 5% of the calls$/
    )
  })

  it("says from when on an interrupted call counts", () => {
    assert.match(
      text({ interruptedAfter: "5 seconds" }),
      /2 successes close it; a call interrupted after 5s counts as failed$/
    )
  })

  it("mentions growth only if there is any", () => {
    assert.include(text({ openDuration: CircuitPolicy.exponential({ initial: 1_000, multiplier: 1 }) }), "for 1s;")
    assert.include(text({ openDuration: CircuitPolicy.exponential({ initial: "10 minutes" }) }), "for 10m;")
  })

  it("is never that of a policy that was spread", () => {
    const policy = CircuitPolicy.make({ ...CircuitPolicy.fastFail, consecutiveFailures: 7 })
    assert.include(policy.description, "opens after 7 failures in a row")
    assert.notProperty({ ...CircuitPolicy.fastFail, consecutiveFailures: 7 }, "description")
    assert.notInclude(Object.keys(CircuitPolicy.fastFail), "description")
    assert.strictEqual(CircuitPolicy.make(CircuitPolicy.kafka).description, CircuitPolicy.kafka.description)
  })

  it("is not computed where policies are compared", () => {
    const policy = CircuitPolicy.make({ describeFailure: false })
    assert.strictEqual(policy.constructor, Object)
    assert.strictEqual(Hash.hash(policy), Hash.hash(CircuitPolicy.make({ describeFailure: false })))
  })

  it.effect("is there of a policy that was spread and changed by hand, in a registry", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const breaker = yield* registry.getOrCreate("a", { ...CircuitPolicy.kafka, consecutiveFailures: 7 })
      assert.include((yield* breaker.policy).description, "opens after 7 failures in a row")
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))
})
