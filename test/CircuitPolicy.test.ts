import { assert, describe, it } from "@effect/vitest"
import { CircuitBreakerRegistry, CircuitPolicy, Outcome } from "effect-resilience"
import { Duration, Schedule } from "effect"

const millis = (policy: CircuitPolicy.CircuitPolicy) => ({
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
})

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
      assert.match(message, /^CircuitBreakerRegistry\.layer: idleTimeToLive must be a duration above zero, got .+$/)
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

  it("what is no object where one must be", () => {
    const values: ReadonlyArray<unknown> = [[], "10", 10, new Date(0), () => {}]
    for (const value of values) {
      const cases = [
        [() => CircuitPolicy.make({ window: value as never }), "make: window must be an object with calls, or with a"],
        [() => CircuitPolicy.make({ halfOpenSample: value as never }), "make: halfOpenSample must be an object with"],
        [() => CircuitPolicy.make({ recovery: value as never }), "make: recovery must be an object with duration, got"],
        [() => CircuitPolicy.exponential(value as never), "exponential: options must be an object, got "]
      ] as const
      for (const [build, message] of cases) assert.include(thrown(build).message, `CircuitPolicy.${message}`)
    }
  })

  it("options where a policy must be", () => {
    const values: ReadonlyArray<unknown> = [{}, { consecutiveFailures: 3 }, "production", { window: {} }]
    for (const value of values) {
      assert.match(
        thrown(() => CircuitBreakerRegistry.layer({ defaults: value as never })).message,
        /^CircuitBreakerRegistry\.layer: defaults must be a policy made with CircuitPolicy\.make, got /
      )
    }
  })

  it("a classifier that is no function", () => {
    assert.strictEqual(
      thrown(() => CircuitPolicy.make({ classify: "failure" as never })).message,
      "CircuitPolicy.make: classify must be a function, got \"failure\""
    )
  })

  it("even a value that cannot be printed", () => {
    const hostile = Object.assign(() => {}, {
      toString: () => {
        throw new Error("no")
      }
    })
    assert.strictEqual(
      thrown(() => CircuitPolicy.make({ consecutiveFailures: hostile as never })).message,
      "CircuitPolicy.make: consecutiveFailures must be an integer >= 1, got a function that cannot be printed"
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
        /^CircuitPolicy\.make: halfOpenTimeout must be a duration above zero, got /
      )
    }
  })

  it("says what is accepted", () => {
    const accepted = [
      [{ consecutiveFailures: 0 }, "must be an integer >= 1, got 0"],
      [{ window: { calls: 0 } }, "must be an integer from 1 to 1000000, got 0"],
      [{ failureRate: 1.5 }, "must be a number from 0 to 1, got 1.5"],
      [{ openDuration: -1 }, "must be a duration of at least zero, got -1"],
      [{ halfOpenTimeout: 0 }, "must be a duration above zero, got 0"],
      [{ window: { duration: "Infinity" } }, "must be a finite duration above zero, got \"Infinity\""]
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

  it("is symmetric", () => {
    for (const that of [CircuitPolicy.kafka, CircuitPolicy.resilient, CircuitPolicy.conservative]) {
      const self = CircuitPolicy.make()
      assert.deepStrictEqual(CircuitPolicy.difference(self, that), CircuitPolicy.difference(that, self))
    }
  })
})

describe("describe", () => {
  const text = (options: CircuitPolicy.Options) => CircuitPolicy.describe(CircuitPolicy.make(options))

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
})
