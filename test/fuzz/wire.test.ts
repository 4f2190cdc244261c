/**
 * What crosses a wire: errors, events, states and metrics, whole and broken.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Library from "effect-resilience"
import {
  CircuitBreaker,
  CircuitEvent,
  CircuitMetrics,
  CircuitPolicy,
  HealthMonitor,
  HealthReport,
  ResilienceError
} from "effect-resilience"
import * as Arbitrary from "effect/Arbitrary"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import { fail, hold, succeed, watch } from "../support/circuits.ts"
import { fuzz, nested, own, POLLUTED, Random, SEED } from "./fuzz.ts"

type Wire = Schema.Codec<unknown, unknown>

/** Every schema that a module exports. */
const SCHEMAS: ReadonlyMap<string, Wire> = new Map(
  Object.entries(Library).flatMap(([module, exports]) =>
    Object.entries(exports as Readonly<Record<string, unknown>>).flatMap(([name, value]): Array<[string, Wire]> =>
      Schema.isSchema(value) ? [[`${module}.${name}`, value as unknown as Wire]] : []
    )
  )
)

/** A schema is for JavaScript's values; its JSON codec is for the wire. */
const codecs = (schema: Wire): ReadonlyArray<Wire> => [schema, Schema.toCodecJson(schema) as unknown as Wire]

const duration = (random: Random): Duration.Duration =>
  random.pick([
    () => Duration.zero,
    () => Duration.millis(random.below(100_000)),
    () => Duration.millis(random.below(1_000_000) / 1000),
    () => Duration.nanos(BigInt(random.below(2 ** 31))),
    () => Duration.millis(random.below(2 ** 31) * 1000)
  ])()

const orInfinity = (random: Random): Duration.Duration => random.chance(0.2) ? Duration.infinity : duration(random)

const finite = (random: Random): number => {
  const n = random.number()
  // JSON has no negative zero.
  return Number.isFinite(n) ? n + 0 : 0
}

const integer = (random: Random): number => random.below(random.chance(0.2) ? Number.MAX_SAFE_INTEGER : 100)

const maybe = <A>(random: Random, make: (random: Random) => A): A | undefined =>
  random.chance(0.3) ? undefined : make(random)

const STATES = CircuitEvent.CircuitState.literals
const STATUSES = HealthReport.Status.literals

/** What JSON can carry, so that it comes back as the same. */
const plain = (random: Random): unknown => JSON.parse(JSON.stringify(random.json(3)) ?? "null")

/** The schemas that the package exports, by module and name. */
type Exported = {
  [M in keyof typeof Library]: {
    [K in keyof (typeof Library)[M] & string]: (typeof Library)[M][K] extends Schema.Top ? `${M}.${K}` : never
  }[keyof (typeof Library)[M] & string]
}[keyof typeof Library]

/** All fields of a value, those that it may lack included. */
type Complete<T> = { readonly [K in keyof Required<T>]: T[K] }

/** What the constructor of an error takes. */
type Made<E extends new(props: never) => unknown> = Complete<Omit<ConstructorParameters<E>[0], "_tag">>

/** A value with or without each of these fields. */
const without = <T extends object, K extends keyof T>(
  random: Random,
  value: T,
  ...fields: ReadonlyArray<K>
): Omit<T, K> & Partial<Pick<T, K>> => {
  const left = { ...value }
  for (const field of fields) if (random.chance(0.3)) delete left[field]
  return left
}

/** A field that is added and not made, and a schema that is exported and has no generator, do not compile. */
const VALUES: Readonly<Record<Exported, (random: Random) => unknown>> = {
  "ResilienceError.CircuitOpenError": (random) =>
    new ResilienceError.CircuitOpenError(
      {
        circuit: random.name(),
        state: random.pick(ResilienceError.CircuitOpenError.fields.state.literals),
        retryAfter: orInfinity(random),
        lastFailure: maybe(random, lastFailure)
      } satisfies Made<typeof ResilienceError.CircuitOpenError>
    ),
  "ResilienceError.CallTimeoutError": (random) =>
    new ResilienceError.CallTimeoutError(without(
      random,
      {
        operation: random.name(),
        timeout: duration(random),
        kind: random.pick(["attempt", "total"] as const),
        attempts: integer(random),
        lastError: plain(random)
      } satisfies Made<typeof ResilienceError.CallTimeoutError>,
      "kind",
      "attempts",
      "lastError"
    )),
  "ResilienceError.RetryExhaustedError": (random) =>
    new ResilienceError.RetryExhaustedError(without(
      random,
      {
        attempts: integer(random),
        lastError: plain(random),
        elapsed: duration(random),
        reason: random.pick(ResilienceError.RetryExhaustedError.fields.reason.literals),
        rejection: plain(random)
      } satisfies Made<typeof ResilienceError.RetryExhaustedError>,
      "rejection"
    )),
  "ResilienceError.BulkheadFullError": (random) =>
    new ResilienceError.BulkheadFullError({ bulkhead: random.name(), limit: integer(random) }),
  "ResilienceError.RateLimitExceededError": (random) =>
    new ResilienceError.RateLimitExceededError({
      limiter: random.name(),
      limit: finite(random),
      retryAfter: duration(random)
    }),
  "ResilienceError.LastFailure": (random) => lastFailure(random),
  "ResilienceError.TierAttempt": (random) => attempt(random),
  "ResilienceError.AllTiersFailedError": (random) =>
    new ResilienceError.AllTiersFailedError({
      operation: random.name(),
      attempts: random.list(4, () => attempt(random))
    }),
  "ResilienceError.CircuitConflictError": (random) =>
    new ResilienceError.CircuitConflictError({ circuit: random.name(), fields: random.list(4, () => random.name()) }),
  "CircuitEvent.CircuitState": (random) => random.pick(STATES),
  "CircuitEvent.StateChanged": (random) => stateChanged(random),
  "CircuitEvent.CallEnded": (random) => callEnded(random),
  "CircuitEvent.Reconfigured": (random) => reconfigured(random),
  "CircuitEvent.CircuitChange": (random) => random.pick([stateChanged, reconfigured])(random),
  "CircuitEvent.CircuitEvent": (random) => random.pick(Object.values(EVENTS))(random),
  "CircuitMetrics.CircuitMetrics": (random) => metrics(random),
  "HealthMonitor.DuplicateCheckError": (random) => new HealthMonitor.DuplicateCheckError({ check: random.name() }),
  "HealthMonitor.UnknownCheckError": (random) =>
    new HealthMonitor.UnknownCheckError({ check: random.name(), known: random.list(30, () => random.name()) }),
  "HealthMonitor.StatusChanged": (random): Complete<typeof HealthMonitor.StatusChanged.Type> => ({
    subject: random.pick(["check", "system"]),
    name: random.name(),
    from: random.pick(STATUSES),
    to: random.pick(STATUSES),
    reasons: random.list(4, () => random.text()),
    timestamp: finite(random)
  }),
  "HealthReport.Status": (random) => random.pick(STATUSES),
  "HealthReport.Reason": (random) => reason(random),
  "HealthReport.CheckHealth": (random) => checkHealth(random),
  "HealthReport.HealthReport": (random): Complete<HealthReport.HealthReport> => ({
    status: random.pick(STATUSES),
    allHealthy: random.chance(0.5),
    timestamp: moment(random),
    checks: random.list(3, () => checkHealth(random))
  })
}

const moment = (random: Random): DateTime.Utc => DateTime.makeUnsafe(random.below(2 ** 42))

const lastFailure = (random: Random): Complete<ResilienceError.LastFailure> => ({
  error: random.name(),
  message: random.text()
})

const metrics = (random: Random): Complete<CircuitMetrics.CircuitMetrics> => ({
  name: random.name(),
  state: random.pick(STATES),
  isAvailable: random.chance(0.5),
  totalCalls: integer(random),
  successfulCalls: integer(random),
  failedCalls: integer(random),
  ignoredCalls: integer(random),
  lateCalls: integer(random),
  rejectedCalls: integer(random),
  callsInFlight: integer(random),
  consecutiveFailures: integer(random),
  callsInWindow: integer(random),
  failureRate: finite(random),
  successRate: finite(random),
  slowCallRate: finite(random),
  averageResponseTime: maybe(random, duration),
  latency: maybe(random, (random) => ({ p50: duration(random), p95: duration(random), p99: duration(random) })),
  probeIdleTime: maybe(random, duration),
  lastFailureTime: maybe(random, moment),
  lastFailure: maybe(random, lastFailure),
  timeUntilRetry: maybe(random, orInfinity),
  currentBackoff: maybe(random, orInfinity),
  consecutiveOpenings: integer(random),
  stateChanges: integer(random),
  probesInFlight: integer(random),
  probeSuccesses: integer(random)
})

const reason = (random: Random): Complete<HealthReport.Reason> => ({
  code: random.pick(HealthReport.Reason.fields.code.literals),
  status: random.pick(HealthReport.Reason.fields.status.literals),
  message: random.text()
})

const checkHealth = (random: Random): Complete<HealthReport.CheckHealth> => ({
  name: random.name(),
  status: random.pick(STATUSES),
  reasons: random.list(3, () => reason(random)),
  critical: random.chance(0.5),
  checkedAt: maybe(random, moment),
  duration: maybe(random, duration),
  circuit: maybe(random, metrics),
  lastProbe: maybe(random, (random) => ({
    endedAt: moment(random),
    duration: duration(random),
    error: maybe(random, (random) => random.text())
  }))
})

const attempt = (random: Random): Complete<ResilienceError.TierAttempt> => ({
  tier: random.name(),
  outcome: random.pick(["skipped", "failed"]),
  error: plain(random),
  duration: duration(random)
})

const stamp = (random: Random) => ({
  circuit: random.name(),
  sequence: integer(random),
  timestamp: finite(random)
})

const stateChanged = (random: Random): Complete<CircuitEvent.StateChanged> => ({
  _tag: "StateChanged",
  ...stamp(random),
  from: random.pick(STATES),
  to: random.pick(STATES),
  reason: random.pick(CircuitEvent.StateChanged.fields.reason.literals),
  note: maybe(random, (random) => random.text()),
  retryAfter: orInfinity(random),
  openings: integer(random),
  elapsed: duration(random),
  consecutiveFailures: integer(random),
  failureRate: finite(random),
  slowCallRate: finite(random),
  calls: integer(random),
  probes: maybe(random, (random) => ({ successes: integer(random), failures: integer(random) })),
  lastFailure: maybe(random, lastFailure)
})

const callEnded = (random: Random): Complete<CircuitEvent.CallEnded> => ({
  _tag: "CallEnded",
  ...stamp(random),
  outcome: random.pick(CircuitEvent.CallEnded.fields.outcome.literals),
  state: random.pick(STATES),
  slow: random.chance(0.5),
  duration: maybe(random, duration),
  consecutiveFailures: integer(random),
  lastFailure: maybe(random, lastFailure)
})

const reconfigured = (random: Random): Complete<CircuitEvent.Reconfigured> => ({
  _tag: "Reconfigured",
  ...stamp(random),
  changed: random.list(5, () => random.name())
})

const EVENTS: { readonly [K in CircuitEvent.CircuitEvent["_tag"]]: (random: Random) => CircuitEvent.CircuitEvent } = {
  StateChanged: stateChanged,
  CallEnded: callEnded,
  Reconfigured: reconfigured
}

const decode = (codec: Wire, input: unknown): Exit.Exit<unknown, unknown> =>
  Effect.runSyncExit(Schema.decodeUnknownEffect(codec)(input))

const encode = (codec: Wire, value: unknown): Exit.Exit<unknown, unknown> =>
  Effect.runSyncExit(Schema.encodeUnknownEffect(codec)(value))

/** Garbage is a SchemaError whose message can be read. */
const assertRefused = (exit: Exit.Exit<unknown, unknown>, what: string): void => {
  if (Exit.isSuccess(exit)) return
  const error = Effect.runSync(Effect.flip(exit))
  assert.isTrue(Schema.isSchemaError(error), `${what}: ${String(error)}`)
  assert.isString((error as Schema.SchemaError).message)
  assert.isNotEmpty((error as Schema.SchemaError).message)
}

const overTheWire = (encoded: unknown): unknown => JSON.parse(JSON.stringify(encoded))

it("every schema of the package has a generator here", () => {
  assert.sameMembers([...SCHEMAS.keys()], Object.keys(VALUES))
})

describe("values that Effect makes of a schema cross the wire and come back the same", () => {
  for (const [name, schema] of SCHEMAS) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const codec = Schema.toCodecJson(schema) as unknown as Wire
        const values = yield* Arbitrary.sampleEffect(Arbitrary.schema(schema), { seed: SEED, count: 50 })
        for (const value of values) {
          const encoded = yield* Schema.encodeUnknownEffect(codec)(value)
          const decoded = yield* Schema.decodeUnknownEffect(codec)(overTheWire(encoded))
          const again = yield* Schema.encodeUnknownEffect(codec)(decoded)
          assert.strictEqual(JSON.stringify(again), JSON.stringify(encoded), `FUZZ_SEED=${SEED}`)
        }
      }))
  }
})

describe("values cross the wire and come back the same", () => {
  for (const [name, make] of Object.entries(VALUES)) {
    fuzz(name, 200, (random) => {
      const value = make(random)
      const codec = Schema.toCodecJson(SCHEMAS.get(name)!) as unknown as Wire
      const encoded = encode(codec, value)
      assert.isTrue(Exit.isSuccess(encoded), String(encoded))
      if (Exit.isFailure(encoded)) return
      const decoded = decode(codec, overTheWire(encoded.value))
      assert.isTrue(Exit.isSuccess(decoded), String(decoded))
      if (Exit.isFailure(decoded)) return
      const again = encode(codec, decoded.value)
      assert.deepStrictEqual(again, encoded, "encoding what was decoded gives the same")
      assert.deepStrictEqual(fieldsOf(decoded.value), fieldsOf(value))
      if (value instanceof Error) {
        assert.strictEqual((decoded.value as Error).message, value.message)
        assert.strictEqual(Object.getPrototypeOf(decoded.value), Object.getPrototypeOf(value))
      }
    })
  }
})

/** The fields of a value, those of an error included, without what is undefined. Times are told in nanoseconds. */
function fieldsOf(value: unknown): unknown {
  if (Duration.isDuration(value)) return Duration.isFinite(value) ? Math.round(Duration.toMillis(value) * 1e6) : "∞"
  if (DateTime.isDateTime(value)) return DateTime.toEpochMillis(value)
  if (Array.isArray(value)) return value.map(fieldsOf)
  if (typeof value !== "object" || value === null) return value
  return own(
    Object.entries(value).flatMap(([key, field]): Array<[string, unknown]> =>
      field === undefined || key === "stack" ? [] : [[key, fieldsOf(field)]]
    ).toSorted(([a], [b]) => (a < b ? -1 : 1))
  )
}

describe("garbage", () => {
  fuzz("of any JSON is a SchemaError, and never a crash", 300, (random) => {
    const input = random.json(5)
    for (const [name, schema] of SCHEMAS) {
      for (const codec of codecs(schema)) {
        const exit = decode(codec, input)
        assertRefused(exit, name)
        // None of them looks like any JSON, but that of a state may.
        if (Exit.isSuccess(exit)) assert.isString(exit.value, name)
        assertRefused(encode(codec, input), name)
      }
    }
  })

  for (const [name, make] of Object.entries(VALUES)) {
    fuzz(`in one field of ${name} is a SchemaError or a value that encodes again`, 150, (random) => {
      const codec = Schema.toCodecJson(SCHEMAS.get(name)!) as unknown as Wire
      const encoded = Effect.runSync(Schema.encodeUnknownEffect(codec)(make(random)))
      const broken = typeof encoded === "object" && encoded !== null
        ? breakOne(random, encoded as Record<string, unknown>)
        : random.json()
      const exit = decode(codec, broken)
      assertRefused(exit, name)
      if (Exit.isFailure(exit)) return
      const again = encode(codec, exit.value)
      assert.isTrue(Exit.isSuccess(again), `decoded from ${JSON.stringify(broken)}: ${String(again)}`)
      if (exit.value instanceof Error) assert.isString(exit.value.message)
    })
  }

  it("that is nested deeply is no stack overflow, in any schema", () => {
    for (const depth of [100, 1_000, 10_000, 100_000]) {
      const inputs = [nested(depth), nested(depth, "cause"), nested(depth, "error"), nested(depth, "__proto__")]
      for (const [name, schema] of SCHEMAS) {
        for (const codec of codecs(schema)) {
          for (const input of inputs) assertRefused(decode(codec, input), `${name}, ${depth} deep`)
        }
      }
    }
  })

  it("that is long is told of briefly enough to be logged", () => {
    const long = "x".repeat(5_000_000)
    for (const [name, schema] of SCHEMAS) {
      const exit = decode(schema, own([["_tag", long], ["state", long], [long, 1]]))
      assert.isTrue(Exit.isFailure(exit), name)
      assert.isBelow(String(Effect.runSync(Effect.flip(exit))).length, 1_000, name)
    }
  })

  it("with names of prototypes pollutes none", () => {
    const evil = [
      `{"__proto__":{"${POLLUTED}":1}}`,
      `{"constructor":{"prototype":{"${POLLUTED}":1}}}`,
      `{"_tag":"CircuitConflictError","circuit":"a","fields":[],"__proto__":{"${POLLUTED}":1}}`,
      `{"_tag":"RetryExhaustedError","attempts":1,"lastError":{"__proto__":{"${POLLUTED}":1}},"elapsed":1,"reason":"budget"}`,
      `{"_tag":"RetryExhaustedError","attempts":1,"lastError":{"message":"m","__proto__":{"${POLLUTED}":1},"cause":{"__proto__":{"${POLLUTED}":1}}},"elapsed":1,"reason":"budget"}`,
      `{"_tag":"Reconfigured","circuit":"__proto__","sequence":1,"timestamp":1,"changed":["__proto__","${POLLUTED}"]}`
    ]
    for (const text of evil) {
      for (const [name, schema] of SCHEMAS) {
        for (const codec of codecs(schema)) {
          const exit = decode(codec, JSON.parse(text))
          assertRefused(exit, name)
          if (Exit.isSuccess(exit)) assert.notProperty(exit.value, POLLUTED, name)
          assert.notProperty({}, POLLUTED, name)
        }
      }
    }
  })
})

const breakOne = (random: Random, object: Record<string, unknown>): Record<string, unknown> => {
  const key = random.pick(Object.keys(object))
  const entries = Object.entries(object)
  return random.pick([
    () => own(entries.filter(([name]) => name !== key)),
    () => own(entries.map(([name, value]) => [name, name === key ? random.json() : value])),
    () => own([...entries, [random.name(), random.json()]]),
    () => own(entries.map(([name, value]) => [name === key ? random.name() : name, value]))
  ])()
}

describe("an error inside another", () => {
  const codec = Schema.toCodecJson(ResilienceError.RetryExhaustedError) as unknown as Wire
  const exhausted = (lastError: unknown, attempts = 1) =>
    new ResilienceError.RetryExhaustedError({ attempts, lastError, elapsed: Duration.zero, reason: "budget" })

  const chain = (depth: number): unknown => {
    let error: unknown = "down"
    for (let i = 0; i < depth; i++) error = exhausted(error, i + 1)
    return error
  }

  it("and so on has a message and crosses the wire", () => {
    const error = chain(10)
    assert.match((error as Error).message, /^Gave up after 10 attempts.*: Gave up after 9 .*: down$/)
    assert.isTrue(Exit.isSuccess(encode(codec, error)))
  })

  // The message of each is read twice by the one around it, so that the time doubles with each: 30 take minutes.
  // `const { message } = error` in messageOf.
  it("and so on takes no longer for each", () => {
    let reads = 0
    const innermost = Object.defineProperty(new Error("x"), "message", { get: () => `read ${++reads} times` })
    let error: unknown = innermost
    for (let i = 0; i < 12; i++) error = exhausted(error)
    assert.include((error as Error).message, "times")
    assert.isAtMost(reads, 12)
  })

  // Its getters are somebody else's code, as Outcome.retryAfter knows; messageOf should, too.
  it("whose message cannot be read does not keep the outer one from being printed", () => {
    for (const property of ["message", "_tag"]) {
      for (const object of [new Error("x"), {}]) {
        const unprintable = Object.defineProperty(object, property, { get: unreadable })
        assert.isString(exhausted(unprintable).message)
      }
    }
  })

  fuzz("of any kind has a message, crosses the wire, and does not throw", 600, (random) => {
    const cyclic: Record<string, unknown> = { self: undefined }
    cyclic["self"] = cyclic
    const lastError = random.pick<() => unknown>([
      () => random.json(),
      () => cyclic,
      () => Symbol(random.text()),
      () => BigInt(random.below(1000)),
      () => () => 1,
      () => new Map([[random.json(), cyclic]]),
      () => new Error(random.text(), { cause: cyclic }),
      () => Object.assign(new Error(random.text()), random.record(3, () => random.json())),
      () => Object.create(null),
      () => new Date(NaN),
      () => ({ toJSON: unreadable }),
      () => new Uint8Array(random.below(10))
    ])()
    const error = exhausted(lastError)
    const encoded = encode(codec, error)
    assertRefused(encoded, "lastError")
    if (Exit.isSuccess(encoded)) assert.isTrue(Exit.isSuccess(decode(codec, overTheWire(encoded.value))))
  })
})

const unreadable = (): never => {
  throw new Error("unreadable")
}

describe("what a circuit publishes", () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    it.effect(`comes back the same, whatever happened to it (${seed})`, () =>
      Effect.scoped(Effect.gen(function*() {
        const random = new Random(seed)
        const policy = CircuitPolicy.make({
          consecutiveFailures: 2,
          openDuration: random.pick([0, "1 second", Duration.infinity]),
          measureDuration: true
        })
        const breaker = yield* CircuitBreaker.make({ name: random.circuitName(), policy })
        const events = yield* watch(breaker.events)
        const steps = [
          () => fail(breaker, 3),
          () => succeed(breaker),
          () => Effect.asVoid(hold(breaker)),
          () => CircuitBreaker.withNote(breaker.forceOpen(), random.text()),
          () => CircuitBreaker.withNote(breaker.forceOpen({ duration: random.below(5_000) }), random.text()),
          () => breaker.forceClose,
          () => breaker.disable,
          () => breaker.metricsOnly,
          () => breaker.reset,
          () => TestClock.adjust(random.below(5_000))
        ]
        for (let i = 0; i < 200; i++) {
          yield* random.pick(steps)()
          const metrics = yield* breaker.metrics
          const codec = Schema.toCodecJson(CircuitMetrics.CircuitMetrics)
          const encoded = yield* Schema.encodeEffect(codec)(metrics)
          const decoded = yield* Schema.decodeUnknownEffect(codec)(overTheWire(encoded))
          assert.deepStrictEqual(fieldsOf(decoded), fieldsOf(metrics))
          assert.isString(JSON.stringify(CircuitMetrics.toJson(metrics)))
        }
        const codec = Schema.toCodecJson(CircuitEvent.CircuitEvent)
        for (const event of yield* events) {
          const encoded = yield* Schema.encodeEffect(codec)(event)
          assert.deepStrictEqual(
            fieldsOf(yield* Schema.decodeUnknownEffect(codec)(overTheWire(encoded))),
            fieldsOf(event)
          )
        }
      })))
  }
})
