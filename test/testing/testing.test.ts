import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Cause, Context, Data, Duration, Effect, Exit, Fiber, Layer, Random, Result, type Scope, Stream } from "effect"
import {
  Bulkhead,
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  Resilience,
  Retry,
  Tiers,
  Timeout
} from "effect-resilience"
import { Attempts, Chaos, TestCircuit } from "effect-resilience/testing"
import { TestClock } from "effect/testing"
import { sweep } from "../support/interruption.ts"

class Names extends Context.Service<Names, { readonly get: Effect.Effect<string, "down"> }>()("test/Names") {}

class Down extends Data.TaggedError("Down")<{ readonly call: number }> {}

const down = (call: Chaos.Call) => new Down({ call: call.number })

/** What becomes of a call: its own result, or what it failed with. */
const settled = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A | E, never, R> =>
  Effect.catch(self, (error) => Effect.succeed(error))

const times = <A, E, R>(self: Effect.Effect<A, E, R>, n: number) => Effect.replicateEffect(self, n)

/** The message of the error that an effect dies with. */
const deathOf = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<string, never, R> =>
  Effect.map(Effect.exit(self), (exit) => {
    if (Exit.isSuccess(exit)) return "(succeeded)"
    const found = Cause.findDefect(exit.cause)
    return Result.isSuccess(found) && found.success instanceof Error ? found.success.message : "(no defect)"
  })

/** Which of the first calls of a point are hit. */
const hits = Effect.fnUntraced(function*(point: Chaos.Point<never, unknown, never>, calls: number) {
  const hit: Array<number> = []
  for (let n = 1; n <= calls; n++) {
    if (Exit.isFailure(yield* Effect.exit(point.execute(Effect.void)))) hit.push(n)
  }
  return hit
})

describe("Chaos that is not provided", () => {
  it.effect("passes success, failure, defect and interruption through as they are", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        Effect.succeed({ some: "value" }),
        Effect.fail(new Down({ call: 1 })),
        Effect.die("bug"),
        Effect.interrupt,
        Effect.failCause(Cause.combine(Cause.fail("a"), Cause.die("b")))
      ]
      for (const call of cases) {
        const expected = yield* Effect.exit(call)
        const actual = yield* Effect.exit(Chaos.withChaos(call, "point", { error: down }))
        assert.deepStrictEqual(actual, expected)
      }
    }))

  it.effect("gives the call itself, and so adds no step that could be interrupted or leak", () =>
    Effect.gen(function*() {
      const call = Effect.succeed(1)
      const marked = Chaos.withChaos(call, "point")
      const fiber = yield* Effect.withFiber((fiber) => Effect.succeed(fiber))
      const evaluate = Object.entries(Object.getPrototypeOf(marked) as Record<string, unknown>)
        .find(([key]) => key.includes("evaluate"))
      const step = evaluate?.[1] as ((fiber: unknown) => unknown) | undefined
      assert.strictEqual(step?.call(marked, fiber), call)
    }))

  it.effect("leaves a call as interruptible as it is", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.never.pipe(Chaos.withChaos("point"), Effect.forkChild({ startImmediately: true }))
      const exit = yield* Effect.andThen(Fiber.interrupt(fiber), Fiber.await(fiber))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    }))

  it.effect("is as good as one that has nothing to do at a point, or is stopped", () =>
    Effect.gen(function*() {
      const call = Chaos.withChaos(Effect.succeed("up"), "point", { error: down })
      assert.strictEqual(yield* call.pipe(Effect.provide(Chaos.layer())), "up")
      const elsewhere = Chaos.layer({ points: { other: [Chaos.fault()] } })
      assert.strictEqual(yield* call.pipe(Effect.provide(elsewhere)), "up")
      const stopped = Chaos.layer({ points: { point: [Chaos.fault()] }, active: false })
      assert.strictEqual(yield* call.pipe(Effect.provide(stopped)), "up")
    }))
})

describe("Chaos and its seed", () => {
  const faults = (seed: number | string, name = "payments") =>
    Chaos.makePoint(name, { seed, policies: [Chaos.fault({ rate: 0.2 })] })

  it.effect("the same seed hits the same calls, another seed and another point others", () =>
    Effect.gen(function*() {
      const first = yield* hits(yield* faults(1), 200)
      assert.deepStrictEqual(yield* hits(yield* faults(1), 200), first)
      assert.deepStrictEqual(yield* hits(yield* faults("1"), 200), first)
      assert.notDeepEqual(yield* hits(yield* faults(2), 200), first)
      assert.notDeepEqual(yield* hits(yield* faults(1, "accounts"), 200), first)
    }))

  it.effect("neither takes from the randomness of the program nor depends on it", () =>
    Effect.gen(function*() {
      const numbers = Effect.gen(function*() {
        const point = yield* faults(1)
        const drawn = [yield* Random.next]
        const hit = yield* hits(point, 50)
        return { hit, drawn: [...drawn, yield* Random.next] }
      })
      const a = yield* numbers.pipe(Random.withSeed("a"))
      const b = yield* numbers.pipe(Random.withSeed("b"))
      const plain = yield* Effect.all([Random.next, Random.next]).pipe(Random.withSeed("a"))
      assert.deepStrictEqual(a.hit, b.hit)
      assert.deepStrictEqual(a.drawn, plain)
    }))

  it.effect("the n-th call fares alike whatever came between", () =>
    Effect.gen(function*() {
      const expected = yield* hits(yield* faults(3), 100)
      const chaos = yield* Chaos.make({ seed: 3, others: [Chaos.fault({ rate: 0.2 })] })
      const payments = yield* chaos.point("payments")
      const other = yield* chaos.point("other")
      const hit: Array<number> = []
      for (let n = 1; n <= 100; n++) {
        if (n % 3 === 0) yield* Effect.exit(other.execute(Effect.void))
        if (Exit.isFailure(yield* Effect.exit(payments.execute(Effect.void)))) hit.push(n)
      }
      assert.deepStrictEqual(hit, expected)
    }))

  it.effect("calls that pass while it is stopped are counted, and shift nothing", () =>
    Effect.gen(function*() {
      const expected = (yield* hits(yield* faults(3), 100)).filter((n) => n <= 20 || n > 40)
      const point = yield* faults(3)
      const before = yield* hits(point, 20)
      yield* point.stop
      assert.deepStrictEqual(yield* hits(point, 20), [])
      yield* point.start
      const after = (yield* hits(point, 60)).map((n) => n + 40)
      assert.deepStrictEqual([...before, ...after], expected)
    }))

  it.effect("without a seed draws one from the program's randomness, and tells it", () =>
    Effect.gen(function*() {
      const chaos = yield* Chaos.make().pipe(Random.withSeed("x"))
      const again = yield* Chaos.make().pipe(Random.withSeed("x"))
      assert.strictEqual(chaos.seed, again.seed)
      assert.notStrictEqual((yield* Chaos.make()).seed, (yield* Chaos.make()).seed)
    }))

  it.effect("hits as many calls as the rate says, all of them at 1, none at 0", () =>
    Effect.gen(function*() {
      for (const rate of [0, 0.01, 0.3, 0.5, 0.9, 1]) {
        for (const seed of ["a", "b", 1, 2]) {
          const point = yield* Chaos.makePoint("p", { seed, policies: [Chaos.fault({ rate })] })
          const share = (yield* hits(point, 10_000)).length / 10_000
          assert.isAtMost(
            Math.abs(share - rate),
            4 * Math.sqrt((rate * (1 - rate)) / 10_000),
            `rate ${rate}, seed ${seed}`
          )
        }
      }
    }))

  it.effect("policies of one point hit independently of each other", () =>
    Effect.gen(function*() {
      const point = yield* Chaos.makePoint("p", {
        seed: 5,
        policies: [Chaos.behaviour({ rate: 0.5, run: () => Effect.void }), Chaos.fault({ rate: 0.5 })]
      })
      yield* hits(point, 10_000)
      const { calls, injected, untouched } = yield* point.counts
      const both = injected.behaviour + injected.fault + untouched - calls
      assert.isAtMost(Math.abs(both / calls - 0.25), 0.02)
    }))
})

describe("Chaos policies", () => {
  const pointWith = <const P extends ReadonlyArray<Chaos.Policy<unknown, unknown, unknown>>>(...policies: P) =>
    Chaos.makePoint("payments", { seed: 1, policies })

  it.effect("fault: fails instead of calling, with an error made for that call", () =>
    Effect.gen(function*() {
      const point = yield* pointWith(Chaos.fault({ error: down }))
      const payments = yield* Attempts.record(Effect.succeed("up"))
      const results: ReadonlyArray<string | Down> = yield* times(payments.call.pipe(point.execute, settled), 2)
      assert.deepStrictEqual(results.map((result) => typeof result === "string" ? result : result.call), [1, 2])
      assert.strictEqual(yield* payments.count, 0)
    }))

  it.effect("fault at the response: the call is made and its answer lost", () =>
    Effect.gen(function*() {
      const point = yield* pointWith(Chaos.fault({ at: "response", error: down }))
      const payments = yield* Attempts.script([Effect.succeed("up"), Effect.fail("own"), Effect.never])
      assert.deepStrictEqual(yield* settled(point.execute(payments.call)), new Down({ call: 1 }))
      assert.strictEqual(yield* settled(point.execute(payments.call)), "own")
      const fiber = yield* Effect.forkChild(point.execute(payments.call), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      yield* payments.expectOutcomes(["success", "failure", "interrupted"])
    }))

  it.effect("a fault without an error is a ChaosError, as a defect", () =>
    Effect.gen(function*() {
      for (const policy of [Chaos.fault(), Chaos.outage(), Chaos.defect()]) {
        const point = yield* pointWith(policy)
        assert.strictEqual(
          yield* deathOf(point.execute(Effect.void)),
          `Chaos: ${policy.kind} injected into call 1 of "payments"`
        )
      }
    }))

  it.effect("defect and interruption: the call ends so, and a circuit takes them for a failure and for nothing", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "c" })
      const defect = yield* pointWith(Chaos.defect({ defect: () => "bug" }))
      const interruption = yield* pointWith(Chaos.interruption())
      const died = yield* Effect.exit(breaker.execute(defect.execute(Effect.void)))
      assert.deepStrictEqual(died, Exit.die("bug"))
      yield* Effect.exit(breaker.execute(interruption.execute(Effect.void)))
      const { failedCalls, ignoredCalls } = yield* breaker.metrics
      assert.deepStrictEqual({ failedCalls, ignoredCalls }, { failedCalls: 1, ignoredCalls: 1 })
    }))

  it.effect("hang: never returns, and a timeout ends it", () =>
    Effect.gen(function*() {
      const point = yield* pointWith(Chaos.hang())
      const fiber = yield* point.execute(Effect.void).pipe(
        Timeout.withTimeout("1 second"),
        Effect.flip,
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "CallTimeoutError")
    }))

  it.effect("block: ignores interruption for that long and no longer; a timeout with `disconnect` is on time", () =>
    Effect.gen(function*() {
      const point = yield* pointWith(Chaos.block({ duration: "10 seconds" }))
      const payments = yield* Attempts.record(Effect.never)
      const blocked = point.execute(payments.call)
      const plain = yield* Effect.forkChild(Effect.exit(Timeout.withTimeout(blocked, "1 second")))
      const disconnected = yield* Effect.forkChild(
        Effect.exit(Timeout.withTimeout(blocked, { duration: "1 second", disconnect: true }))
      )
      yield* TestClock.adjust("1 second")
      assert.isDefined(disconnected.pollUnsafe())
      yield* TestClock.adjust("8999 millis")
      assert.isUndefined(plain.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.isDefined(plain.pollUnsafe())
      assert.strictEqual(yield* payments.count, 0)
    }))

  it.effect("latency: delays the call by whole milliseconds between its bounds, and adds up", () =>
    Effect.gen(function*() {
      const point = yield* pointWith(
        Chaos.latency({ delay: "100 millis", maxDelay: "200 millis" }),
        Chaos.latency({ delay: "1 second" })
      )
      const fiber = yield* Effect.forkChild(times(point.execute(Effect.void), 100))
      yield* TestClock.adjust("5 minutes")
      yield* Fiber.join(fiber)
      const delays = (yield* point.injections).map(({ delay }) => Duration.toMillis(delay!))
      const varied = delays.filter((_, i) => i % 2 === 0)
      assert.isTrue(varied.every((delay) => Number.isInteger(delay) && delay >= 100 && delay <= 200))
      assert.isAbove(new Set(varied).size, 30)
      assert.deepStrictEqual(new Set(delays.filter((_, i) => i % 2 === 1)), new Set([1000]))

      const started = (yield* point.injections).map(({ elapsed }) => Duration.toMillis(elapsed))
      assert.strictEqual(started[2], started[0]! + delays[0]! + 1000)
    }))

  it.effect("degradation: from nothing to all of it, in a line, and stays", () =>
    Effect.gen(function*() {
      const point = yield* pointWith(Chaos.degradation({ from: "10 seconds", over: "20 seconds", to: "4 seconds" }))
      for (let i = 0; i <= 6; i++) {
        yield* Effect.forkChild(point.execute(Effect.void), { startImmediately: true })
        yield* TestClock.adjust("8 seconds")
      }
      const slowed = (yield* point.injections).map(({ delay, elapsed }) => [
        Duration.toMillis(elapsed),
        Duration.toMillis(delay!)
      ])
      assert.deepStrictEqual(slowed, [[16_000, 1200], [24_000, 2800], [32_000, 4000], [40_000, 4000], [48_000, 4000]])
    }))

  it.effect("degradation: a call at its very beginning is not slowed, nor counted as broken", () =>
    Effect.gen(function*() {
      const point = yield* pointWith(Chaos.degradation({ over: "20 seconds", to: "4 seconds" }))
      yield* point.execute(Effect.void)
      assert.deepStrictEqual(yield* point.injections, [])
      yield* TestClock.adjust("10 seconds")
      const fiber = yield* Effect.forkChild(point.execute(Effect.void), { startImmediately: true })
      yield* TestClock.adjust("2 seconds")
      assert.isDefined(fiber.pollUnsafe())
      assert.deepStrictEqual((yield* point.injections).map(({ delay }) => delay), [Duration.seconds(2)])
    }))

  it.effect("outage: from its first instant to just before its end", () =>
    Effect.gen(function*() {
      const point = yield* pointWith(Chaos.outage({ from: "10 seconds", for: "5 seconds", error: () => "down" }))
      const call = settled(point.execute(Effect.succeed("up")))
      yield* TestClock.adjust("9999 millis")
      assert.strictEqual(yield* call, "up")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* call, "down")
      yield* TestClock.adjust("4999 millis")
      assert.strictEqual(yield* call, "down")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* call, "up")
    }))

  it.effect("flapping: up, then down, and again", () =>
    Effect.gen(function*() {
      const point = yield* pointWith(Chaos.flapping({ up: "3 seconds", down: "2 seconds", error: () => "down" }))
      const seen: Array<string> = []
      for (let i = 0; i < 12; i++) {
        seen.push(yield* settled(point.execute(Effect.succeed("up"))))
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual(seen.map((state) => state[0]).join(""), "uuudduuudduu")
    }))

  it.effect("outcome and behaviour: another effect instead of the call, and one before it", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const say = (what: string) => Effect.sync(() => log.push(what))
      const point = yield* pointWith(
        Chaos.behaviour({ run: ({ number }) => say(`before ${number}`) }),
        Chaos.outcome({ when: ({ number }) => number > 1, run: () => Effect.succeed("stale") })
      )
      const call = Effect.as(say("call"), "fresh")
      assert.deepStrictEqual(yield* times(point.execute(call), 2), ["fresh", "stale"])
      assert.deepStrictEqual(log, ["before 1", "call", "before 2"])
    }))

  it.effect("the first policy that ends a call ends the list", () =>
    Effect.gen(function*() {
      const point = yield* pointWith(
        Chaos.latency({ delay: "1 second" }),
        Chaos.fault({ error: () => "first" }),
        Chaos.fault({ error: () => "second" }),
        Chaos.latency({ delay: "1 hour" })
      )
      const fiber = yield* Effect.forkChild(Effect.flip(point.execute(Effect.void)))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), "first")
      const { calls, injected, untouched } = yield* point.counts
      assert.deepStrictEqual([calls, untouched, injected.latency, injected.fault], [1, 0, 1, 1])
    }))

  it.effect("what is no list of policies is told with its name and value", () =>
    Effect.gen(function*() {
      const throws = (f: () => unknown, message: string) => assert.throws(f, RangeError, message)
      const none: never = 3 as never
      throws(
        () => Chaos.makePoint("a", { policies: none }),
        "Chaos.makePoint: policies must be a list of policies, got 3"
      )
      throws(
        () => Chaos.makePoint("a", { policies: [Chaos.fault(), none] }),
        "Chaos.makePoint: policies[1] must be a policy, got 3"
      )
      throws(() => Chaos.make({ others: none }), "Chaos.make: others must be a list of policies, got 3")
      throws(() => Chaos.layer({ points: none }), "Chaos.make: points must be an object of lists of policies, got 3")
      throws(
        () => Chaos.layer({ points: { a: Chaos.fault() as never } }),
        "Chaos.make: points.a must be a list of policies, got {"
      )
      const point = yield* Chaos.makePoint("a", { policies: [] })
      throws(() => point.setPolicies(none), "Chaos.setPolicies: policies must be a list of policies, got 3")
      throws(() => Attempts.script(none), "Attempts.script: steps must be a list of effects, got 3")
      throws(() => Attempts.script([Effect.void, none]), "Attempts.script: steps[1] must be an effect, got 3")
    }))

  it("options out of range are told with their name and value", () => {
    const throws = (f: () => unknown, message: string) => assert.throws(f, RangeError, message)
    throws(() => Chaos.fault({ rate: 1.5 }), "Chaos.fault: rate must be a number from 0 to 1, got 1.5")
    throws(() => Chaos.fault({ rate: NaN }), "Chaos.fault: rate must be a number from 0 to 1, got NaN")
    throws(
      () => Chaos.outage({ for: -1 }),
      "Chaos.outage: for must be a duration of at least zero such as \"5 seconds\", got -1"
    )
    throws(
      () => Chaos.outage({ from: "Infinity" }),
      "Chaos.outage: from must be a finite duration of at least zero such as \"5 seconds\""
    )
    throws(
      () => Chaos.latency({ delay: "2 seconds", maxDelay: "1 second" }),
      "Chaos.latency: maxDelay must be at least delay, 2000 ms, got 1000 ms"
    )
    throws(
      () => Chaos.flapping({ up: 0, down: 1 }),
      "Chaos.flapping: up must be a finite duration above zero such as \"5 seconds\", got 0"
    )
    throws(
      () => Chaos.degradation({ over: 0, to: 1 }),
      "Chaos.degradation: over must be a finite duration above zero such as \"5 seconds\""
    )
    throws(
      () => Chaos.block({ duration: "Infinity" }),
      "Chaos.block: duration must be a finite duration above zero such as \"5 seconds\""
    )
    throws(() => Chaos.fault({ error: "down" as never }), "Chaos.fault: error must be a function, got \"down\"")
    throws(() => Chaos.hang({ when: true as never }), "Chaos.hang: when must be a function, got true")
    throws(() => Chaos.outcome({} as never), "Chaos.outcome: run must be a function, got undefined")
    throws(
      () => Chaos.behaviour({ run: Effect.void as never }),
      "Chaos.behaviour: run must be a function, got an Effect"
    )
    // All calls of an outage fail.
    throws(() => Chaos.outage({ rate: 0.5 } as never), "Chaos.outage: \"rate\" is no option")
    throws(() => Chaos.flapping({ rate: 0.5, up: 1, down: 1 } as never), "Chaos.flapping: \"rate\" is no option")
  })
})

describe("a Chaos that is provided", () => {
  const call = Effect.succeed("up").pipe(Chaos.withChaos("payments", { error: () => "down" }), settled)

  it.effect("starts and ends an outage by hand, for a time or until it is ended", () =>
    Effect.gen(function*() {
      const payments = yield* (yield* Chaos.Chaos).point("payments")
      yield* payments.startOutage()
      assert.strictEqual(yield* call, "down")
      yield* payments.endOutage
      assert.strictEqual(yield* call, "up")
      yield* payments.startOutage({ for: "5 seconds" })
      yield* TestClock.adjust("4999 millis")
      assert.strictEqual(yield* call, "down")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* call, "up")
    }).pipe(Effect.provide(Chaos.layer())))

  it.effect("is stopped and started as a whole, and time counts from the start", () =>
    Effect.gen(function*() {
      const chaos = yield* Chaos.Chaos
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* call, "up")
      yield* chaos.start
      assert.strictEqual(yield* call, "down")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* call, "up")
      yield* chaos.start
      yield* chaos.stop
      assert.strictEqual(yield* call, "up")
    }).pipe(
      Effect.provide(Chaos.layer({ points: { payments: [Chaos.outage({ for: "10 seconds" })] }, active: false }))
    ))

  it.effect("follows other policies from the next call on", () =>
    Effect.gen(function*() {
      const payments = yield* (yield* Chaos.Chaos).point("payments")
      yield* payments.setPolicies([Chaos.fault()])
      assert.strictEqual(yield* call, "down")
      yield* payments.setPolicies([])
      assert.strictEqual(yield* call, "up")
    }).pipe(Effect.provide(Chaos.layer())))

  it.effect("accounts for every call: untouched, or in the counts of its kind", () =>
    Effect.gen(function*() {
      const chaos = yield* Chaos.Chaos
      const results = yield* times(call, 1000)
      yield* Effect.forEach([1, 2], () => Chaos.withChaos(Effect.void, "other"))
      const payments = yield* Effect.flatMap(chaos.point("payments"), ({ counts }) => counts)
      const failed = results.filter((result) => result === "down").length
      assert.deepStrictEqual([payments.calls, payments.injected.fault, payments.untouched], [
        1000,
        failed,
        1000 - failed
      ])
      const all = yield* chaos.counts
      assert.deepStrictEqual([all.calls, all.injected.fault, all.untouched], [1002, failed, 1002 - failed])
    }).pipe(Effect.provide(Chaos.layer({ seed: 1, points: { payments: [Chaos.fault({ rate: 0.3 })] } }))))

  it.effect("keeps the last 1,000 injections", () =>
    Effect.gen(function*() {
      const payments = yield* (yield* Chaos.Chaos).point("payments")
      yield* times(call, 1500)
      const injections = yield* payments.injections
      assert.deepStrictEqual([injections.length, injections[0]?.number, injections[999]?.number], [1000, 501, 1500])
    }).pipe(Effect.provide(Chaos.layer({ points: { payments: [Chaos.fault()] } }))))

  it.effect("names the points that no call has reached", () =>
    Effect.gen(function*() {
      const chaos = yield* Chaos.Chaos
      assert.deepStrictEqual(yield* chaos.unreached, ["payments", "paymnets"])
      yield* call
      assert.deepStrictEqual(yield* chaos.unreached, ["paymnets"])
    }).pipe(Effect.provide(Chaos.layer({ points: { payments: [], paymnets: [Chaos.fault()] } }))))

  it.effect("without points of its own has none to reach", () =>
    Effect.gen(function*() {
      const chaos = yield* Chaos.Chaos
      assert.deepStrictEqual(yield* chaos.unreached, [])
      assert.strictEqual(yield* call, "down")
      assert.deepStrictEqual(yield* chaos.unreached, [])
    }).pipe(Effect.provide(Chaos.layer({ others: [Chaos.fault()] }))))

  it("adds to the error channel what is named, and nothing else", () => {
    const call: Effect.Effect<number, "own", Names> = Effect.die("never run")
    expectTypeOf(call.pipe(Chaos.withChaos("p"))).toEqualTypeOf<typeof call>()
    expectTypeOf(Chaos.withChaos(call, "p")).toEqualTypeOf<typeof call>()
    expectTypeOf(call.pipe(Chaos.withChaos("p", { error: down }))).toEqualTypeOf<
      Effect.Effect<number, "own" | Down, Names>
    >()
    expectTypeOf(Chaos.withChaos(call, "p", { error: down })).toEqualTypeOf<
      Effect.Effect<number, "own" | Down, Names>
    >()

    const makePoint = Effect.map(
      Chaos.makePoint("p", {
        policies: [
          Chaos.fault({ error: down }),
          Chaos.hang(),
          Chaos.outcome({ run: () => Effect.succeed(true) }),
          Chaos.behaviour({ run: () => Names })
        ]
      }),
      (point) => point.execute(Effect.succeed(1))
    )
    expectTypeOf<Effect.Success<typeof makePoint>>().toEqualTypeOf<Effect.Effect<number | boolean, Down, Names>>()

    expectTypeOf(Chaos.layer()).toEqualTypeOf<Layer.Layer<Chaos.Chaos>>()
    // @ts-expect-error a point of a Layer has no error channel of its own
    Chaos.layer({ points: { payments: [Chaos.fault({ error: down })] } })
  })
})

describe("Chaos.wrapLayer", () => {
  class Accounts extends Context.Service<Accounts, {
    readonly getName: (id: string) => Effect.Effect<string, Down | "not found">
    readonly count: Effect.Effect<number, Down>
    readonly version: string
    readonly pure: (n: number) => number
    readonly watch: Stream.Stream<number>
  }>()("test/Accounts") {}

  class Rest {
    readonly #prefix = "Ada"
    readonly version = "1"
    readonly watch = Stream.make(1, 2)
    readonly count = Effect.succeed(3)
    getName(id: string) {
      return Effect.succeed(`${this.#prefix} (${id})`)
    }
    pure(n: number) {
      return n + this.#prefix.length
    }
  }

  const AccountsRest = Layer.sync(Accounts, () => new Rest())
  const wrapped = Chaos.wrapLayer(AccountsRest, Accounts, { point: "accounts", error: down })

  it.effect("breaks what returns an effect and leaves the rest as it is", () =>
    Effect.gen(function*() {
      const accounts = yield* Accounts
      assert.instanceOf(yield* settled(accounts.getName("1")), Down)
      assert.instanceOf(yield* settled(accounts.count), Down)
      assert.strictEqual(accounts.version, "1")
      assert.strictEqual(accounts.pure(1), 4)
      assert.deepStrictEqual(yield* Stream.runCollect(accounts.watch), [1, 2])
      assert.instanceOf(yield* settled({ ...accounts }.count), Down)
    }).pipe(Effect.provide([wrapped, Chaos.layer({ points: { accounts: [Chaos.fault()] } })])))

  it.effect("is the service itself without a Chaos", () =>
    Effect.gen(function*() {
      const accounts = yield* Accounts
      assert.strictEqual(yield* accounts.getName("1"), "Ada (1)")
      assert.strictEqual(yield* accounts.count, 3)
      assert.deepStrictEqual(Object.keys(accounts), ["version", "watch", "count"])
    }).pipe(Effect.provide(wrapped)))

  it("takes only errors that every method can fail with", () => {
    // @ts-expect-error `count` does not fail with "not found"
    Chaos.wrapLayer(AccountsRest, Accounts, { point: "accounts", error: () => "not found" as const })
  })

  it.effect("breaks one tier, and the next one serves", () =>
    Effect.gen(function*() {
      const serving = (name: string) => Layer.succeed(Names, { get: Effect.succeed(name) })
      const tiered = Tiers.layer(Names, [
        ["one", serving("one").pipe(Chaos.wrapLayer(Names, { point: "one", error: () => "down" as const }))],
        ["two", serving("two")]
      ], { onAllFailed: "die" })
      const program = Effect.flatMap(Names, ({ get }) => get).pipe(
        Effect.provide(Layer.provide(tiered, CircuitBreakerRegistry.layer()))
      )
      assert.strictEqual(yield* program, "one")
      assert.strictEqual(yield* program.pipe(Effect.provide(Chaos.layer({ points: { one: [Chaos.fault()] } }))), "two")
    }))
})

describe("a call that chaos has broken, interrupted anywhere", () => {
  const subject = (...policies: ReadonlyArray<Chaos.Policy<unknown, unknown>>) =>
    Effect.gen(function*() {
      const point = yield* Chaos.makePoint("payments", { seed: 1, policies })
      const attempts = yield* Attempts.record(Effect.delay(Effect.succeed("up"), "1 second"))
      const bulkhead = yield* Bulkhead.make({ name: "b", limit: 1 })
      const breaker = yield* CircuitBreaker.make({ name: "c", policy: CircuitPolicy.make({ halfOpenMaxCalls: 1 }) })
      const pipeline = Resilience.make({
        name: "payments",
        timeout: "1 minute",
        retry: { maxAttempts: 2, jitter: "none" },
        circuitBreaker: breaker,
        bulkhead,
        attemptTimeout: "10 seconds"
      })
      return {
        attempts,
        breaker,
        bulkhead,
        point,
        run: pipeline.execute(point.execute(attempts.call)) as Effect.Effect<unknown, unknown>
      }
    })

  const cases: Record<string, ReadonlyArray<Chaos.Policy<unknown, unknown>>> = {
    "nothing": [],
    "a fault": [Chaos.fault({ error: () => "down" })],
    "a lost response": [Chaos.fault({ at: "response", error: () => "down" })],
    "latency": [Chaos.latency({ delay: "3 seconds" })],
    "a hang": [Chaos.hang()],
    "a block": [Chaos.block({ duration: "20 seconds" })],
    "a defect": [Chaos.defect()],
    "an interruption": [Chaos.interruption()]
  }
  for (const [name, policies] of Object.entries(cases)) {
    sweep(`leaks nothing: ${name}`, subject(...policies), ({ attempts, breaker, bulkhead, point }, { machine }) => {
      assert.strictEqual(Effect.runSync(breaker.metrics).callsInFlight, 0)
      assert.strictEqual(Effect.runSync(bulkhead.inFlight), 0)
      assert.strictEqual(Effect.runSync(attempts.running), 0)
      assert.strictEqual(machine.sleeps.length, 0)
      const { calls, injected, untouched } = Effect.runSync(point.counts)
      assert.strictEqual(calls, untouched + Object.values(injected).reduce((sum, n) => sum + n, 0))
    })
  }
})

describe("TestCircuit", () => {
  const make = (policy?: CircuitPolicy.Options) =>
    CircuitBreaker.make({ name: "payment-api", policy: CircuitPolicy.make(policy) })

  const opening: Record<string, CircuitPolicy.Options> = {
    "the default policy": {},
    "failures in a row": { consecutiveFailures: 3 },
    "a failure rate over calls": { failureRate: 0.9, window: { calls: 20 }, minimumCalls: 20 },
    "a failure rate over a time": { failureRate: 0.9, minimumCalls: 7, window: { duration: "10 seconds" } },
    "its own classifier": { consecutiveFailures: 2, classify: () => ({ _tag: "Success" }) }
  }
  for (const [name, policy] of Object.entries(opening)) {
    it.effect(`goes through all states with ${name}`, () =>
      Effect.gen(function*() {
        const breaker = yield* make(policy)
        yield* times(breaker.execute(Effect.void), 30)
        const transitions = yield* TestCircuit.recordTransitions(breaker)
        yield* TestCircuit.open(breaker)
        assert.strictEqual(yield* breaker.state, "Open")
        yield* TestCircuit.advanceToHalfOpen(breaker)
        assert.strictEqual(yield* breaker.state, "HalfOpen")
        yield* TestCircuit.open(breaker)
        yield* TestCircuit.close(breaker)
        assert.strictEqual(yield* breaker.state, "Closed")
        yield* transitions.expect([
          "Closed -> Open",
          "Open -> HalfOpen: OpenTimeEnded",
          "HalfOpen -> Open: ProbeFailed",
          "Open -> HalfOpen",
          "HalfOpen -> Closed: ProbesSucceeded"
        ])
      }))
  }

  it.effect("closes a circuit that ramps up, by letting the ramp pass", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ consecutiveFailures: 1, recovery: { duration: "1 minute" } })
      yield* TestCircuit.open(breaker)
      yield* TestCircuit.close(breaker)
      assert.strictEqual(yield* breaker.state, "Closed")

      const sampled = yield* make({
        consecutiveFailures: 1,
        halfOpenSample: { calls: 3, failureRate: 1 },
        recovery: { duration: "1 minute" }
      })
      yield* TestCircuit.open(sampled)
      yield* TestCircuit.close(sampled)
      assert.strictEqual(yield* sampled.state, "Closed")
    }))

  it.effect("advances exactly as far as the open time, backoff and fractions of a millisecond included", () =>
    Effect.gen(function*() {
      const breaker = yield* make({
        consecutiveFailures: 1,
        openDuration: CircuitPolicy.exponential({ initial: "1500 millis", multiplier: 1.5 })
      })
      for (const open of [1500, 2250, 3375, 5063]) {
        yield* TestCircuit.open(breaker)
        const before = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        yield* TestCircuit.advanceToHalfOpen(breaker)
        assert.strictEqual((yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - before, open)
      }
    }))

  it.effect("works by name and by class, and with a circuit that is forced open for a time", () =>
    Effect.gen(function*() {
      class Payments extends CircuitBreaker.Service<Payments>()("payments") {}
      yield* Effect.gen(function*() {
        yield* TestCircuit.halfOpen(Payments)
        assert.strictEqual(yield* (yield* Payments).state, "HalfOpen")
        yield* TestCircuit.halfOpen("kafka")
        yield* TestCircuit.halfOpen("kafka")
        const kafka = yield* (yield* CircuitBreakerRegistry.CircuitBreakerRegistry).getOrCreate("kafka")
        assert.strictEqual(yield* kafka.state, "HalfOpen")
        yield* kafka.forceOpen({ duration: "1 hour" })
        yield* TestCircuit.advanceToHalfOpen("kafka")
        assert.strictEqual(yield* kafka.state, "HalfOpen")
        yield* TestCircuit.close("kafka")
        yield* TestCircuit.close("kafka")
        assert.strictEqual(yield* kafka.state, "Closed")
      }).pipe(Effect.provide([Payments.layer, CircuitBreakerRegistry.layer()]))
    }))

  it.effect("says what to do when it cannot", () =>
    Effect.gen(function*() {
      const says = Effect.fnUntraced(function*(
        helper: (breaker: CircuitBreaker.CircuitBreaker) => Effect.Effect<void>,
        expected: string,
        options: {
          policy?: CircuitPolicy.Options
          before?: (breaker: CircuitBreaker.CircuitBreaker) => Effect.Effect<unknown>
        } = {}
      ) {
        const breaker = yield* make(options.policy)
        yield* options.before?.(breaker) ?? Effect.void
        assert.include(yield* deathOf(helper(breaker)), expected)
      })
      yield* says(TestCircuit.open, `TestCircuit.open: circuit "payment-api" is Disabled`, {
        before: (breaker) => breaker.disable
      })
      yield* says(TestCircuit.open, "is MetricsOnly", { before: (breaker) => breaker.metricsOnly })
      yield* says(TestCircuit.open, "is ForcedOpen", { before: (breaker) => breaker.forceOpen() })
      yield* says(TestCircuit.open, "opens on slow calls only; use `forceOpen`", {
        policy: { slowCallRate: 0.5, slowCallDuration: "1 second" }
      })
      yield* says(TestCircuit.open, "successes in its window have to expire first", {
        policy: { failureRate: 1 },
        before: (breaker) => Effect.orDie(breaker.execute(Effect.void))
      })
      const hold = (breaker: CircuitBreaker.CircuitBreaker) =>
        Effect.andThen(
          TestCircuit.halfOpen(breaker),
          Effect.forkChild(breaker.execute(Effect.never), { startImmediately: true })
        )
      const oneProbe = { policy: { halfOpenMaxCalls: 1 }, before: hold }
      yield* says(TestCircuit.open, "has all of its probes running", oneProbe)
      yield* says(TestCircuit.close, "has all of its probes running", oneProbe)
      yield* says(TestCircuit.advanceToHalfOpen, "is Closed, and only an open one becomes half-open by time")
      yield* says(TestCircuit.advanceToHalfOpen, "stays forced open until it is released", {
        before: (breaker) => breaker.forceOpen()
      })
    }))

  it.effect("says so if the circuit does not run on the TestClock, or there is none", () =>
    Effect.gen(function*() {
      const live = yield* TestClock.withLive(make())
      yield* TestCircuit.open(live)
      assert.include(
        yield* deathOf(TestCircuit.advanceToHalfOpen(live)),
        "was it made where the TestClock was not provided"
      )
      const breaker = yield* make()
      yield* TestCircuit.open(breaker)
      assert.include(yield* deathOf(TestClock.withLive(TestCircuit.advanceToHalfOpen(breaker))), "needs a TestClock")
    }))

  it.effect("says so if a ramp cannot pass, without a TestClock or with another one", () =>
    Effect.gen(function*() {
      const rules = { consecutiveFailures: 1, recovery: { duration: "1 hour" } } as const
      const breaker = yield* make(rules)
      yield* TestCircuit.open(breaker)
      yield* TestCircuit.halfOpen(breaker)
      assert.include(
        yield* deathOf(TestClock.withLive(TestCircuit.close(breaker))),
        "ramps up and needs a TestClock"
      )
      const live = yield* TestClock.withLive(make({ ...rules, openDuration: 0 }))
      yield* Effect.exit(live.execute(Effect.fail("down")))
      assert.include(yield* deathOf(TestCircuit.close(live)), "is not closed after its ramp")
    }))

  it.effect("records all circuits of the registry, or one, and forgets on demand", () =>
    Effect.gen(function*() {
      const all = yield* TestCircuit.recordTransitions()
      const kafka = yield* TestCircuit.recordTransitions("kafka")
      yield* TestCircuit.open("payments")
      yield* TestCircuit.open("kafka")
      yield* kafka.expect(["Closed -> Open: ConsecutiveFailures"])
      yield* all.of("payments").expect(["Closed -> Open"])
      assert.deepStrictEqual(yield* all.lines, [
        "Closed -> Open: ConsecutiveFailures",
        "Closed -> Open: ConsecutiveFailures"
      ])
      assert.deepStrictEqual((yield* all.all).map(({ circuit }) => circuit), ["payments", "kafka"])
      yield* all.clear
      yield* all.expect([])
      yield* TestCircuit.close("kafka")
      yield* all.of("kafka").expect(["Open -> HalfOpen", "HalfOpen -> Closed"])
      yield* all.of("payments").expect([])
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer())))

  it("needs what its target needs", () => {
    type Registry = CircuitBreakerRegistry.CircuitBreakerRegistry
    expectTypeOf(TestCircuit.open("c")).toEqualTypeOf<Effect.Effect<void, never, Registry>>()
    expectTypeOf<ReturnType<typeof TestCircuit.close<CircuitBreaker.CircuitBreaker>>>()
      .toEqualTypeOf<Effect.Effect<void>>()
    expectTypeOf(TestCircuit.recordTransitions())
      .toEqualTypeOf<Effect.Effect<TestCircuit.Transitions, never, Registry | Scope.Scope>>()
    expectTypeOf<Parameters<TestCircuit.Transitions["expect"]>[0][number]>().extract<"Closed -> Open: Manual">()
      .toEqualTypeOf<"Closed -> Open: Manual">()
  })

  it.effect("misses none of many transitions in a row", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const transitions = yield* TestCircuit.recordTransitions(breaker)
      yield* times(Effect.andThen(breaker.forceOpen(), breaker.forceClose), 300)
      assert.strictEqual((yield* transitions.all).length, 600)
    }))

  it.effect("dies if it has missed something", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const transitions = yield* TestCircuit.recordTransitions(breaker)
      yield* breaker.execute(Effect.void)
      yield* transitions.expect([])
      assert.include(
        yield* deathOf(transitions.expect(["Closed -> Open"])),
        ["  - Closed -> Open", "  + (nothing)"].join("\n")
      )
      yield* TestCircuit.open(breaker)
      yield* times(Effect.ignore(breaker.execute(Effect.void)), 3000)
      assert.match(yield* deathOf(transitions.all), /lost \d+ events; read the transitions before 1,000 more calls/)
    }))

  it.effect("dies with a difference that can be read", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const transitions = yield* TestCircuit.recordTransitions(breaker)
      yield* TestCircuit.open(breaker)
      yield* breaker.forceClose
      const message = yield* deathOf(
        transitions.expect(["Closed -> Open", "Open -> HalfOpen", "HalfOpen -> Closed: ProbesSucceeded"])
      )
      assert.strictEqual(
        message,
        [
          "The transitions are not those that were expected",
          "  - expected",
          "  + actual",
          "",
          "    Closed -> Open",
          "  - Open -> HalfOpen",
          "  + Open -> Closed",
          "  - HalfOpen -> Closed: ProbesSucceeded"
        ].join("\n")
      )
      const none = yield* deathOf(transitions.expect([]))
      assert.include(none, "- (nothing)")
      // @ts-expect-error there is no such state
      assert.include(yield* deathOf(transitions.expect(["Closed -> Opn"])), "Closed -> Opn")
    }))
})

describe("Attempts", () => {
  it("a script can do what its steps can", () => {
    const script = Attempts.script([Effect.succeed(1), Effect.fail("two" as const)], { rest: Names })
    expectTypeOf<Effect.Success<typeof script>["call"]>().toEqualTypeOf<
      Effect.Effect<number | Names["Service"], "two", Names>
    >()
  })

  it.effect("a script runs its steps in order, then what comes after them", () =>
    Effect.gen(function*() {
      const script = yield* Attempts.script([Effect.succeed(1), Effect.fail("two")], { rest: Effect.succeed(true) })
      const results: Array<number | string | boolean> = [yield* settled(script.call)]
      yield* script.clear
      results.push(...(yield* times(settled(script.call), 3)))
      assert.deepStrictEqual(results, [1, "two", true, true])
      yield* script.expectOutcomes(["failure", "success", "success"])
    }))

  it.effect("a call beyond the script dies and says so", () =>
    Effect.gen(function*() {
      const script = yield* Attempts.script([Effect.succeed(1)])
      yield* script.call
      assert.include(yield* deathOf(script.call), "Attempts.script: the script has 1 step and was called once more")
      yield* script.expectOutcomes(["success", "defect"])
      const longer = yield* Attempts.script([Effect.succeed(1), Effect.succeed(2)])
      yield* times(longer.call, 2)
      assert.include(yield* deathOf(longer.call), "Attempts.script: the script has 2 steps and was called once more")
    }))

  it.effect("knows when each attempt began and ended, and how", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const script = yield* Attempts.script([
        Effect.delay(Effect.fail("down"), "2 seconds"),
        Effect.die("bug"),
        Effect.interrupt,
        Effect.never
      ])
      const fiber = yield* Effect.forEach([1, 2, 3, 4], () => Effect.exit(script.call)).pipe(Effect.forkChild)
      yield* TestClock.adjust("3 seconds")
      yield* script.expectOutcomes(["failure", "defect", "interrupted", "running"])
      yield* script.expectAt([0, "2 seconds", "2 seconds", "2 seconds"])
      assert.strictEqual(yield* script.running, 1)
      const [first, , , last] = yield* script.all
      assert.deepStrictEqual(first?.endedAt, Duration.seconds(2))
      assert.isUndefined(last?.endedAt)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* script.running, 0)
      yield* script.clear
      assert.strictEqual(yield* script.count, 0)
    }))

  it.effect("shows the delays of a retry to the millisecond", () =>
    Effect.gen(function*() {
      const down = yield* Attempts.record(Effect.fail("down"))
      const policy = Retry.make({ maxAttempts: 5, baseDelay: "100 millis", maxDelay: "500 millis", jitter: "none" })
      const fiber = yield* Effect.forkChild(Effect.ignore(Retry.withRetry(down.call, policy)))
      yield* TestClock.adjust("1 hour")
      yield* Fiber.join(fiber)
      yield* down.expectAt([0, 100, 300, 700, 1200])
      const message = yield* deathOf(down.expectAt([0, 100, 300, 600]))
      assert.include(message, "  - 600ms\n  + 700ms\n  + 1s 200ms")
    }))

  sweep(
    "an attempt that is interrupted anywhere has ended",
    Effect.gen(function*() {
      const attempts = yield* Attempts.record(Effect.delay(Effect.succeed(1), "1 second"))
      return { attempts, run: attempts.call }
    }),
    ({ attempts }) => assert.strictEqual(Effect.runSync(attempts.running), 0)
  )
})
