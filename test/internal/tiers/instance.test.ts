/**
 * The life of the instances behind `Tiers.layer`: when they are built, shared,
 * replaced and released, whatever happens to the calls meanwhile.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Data, Deferred, Effect, Exit, Fiber, Layer, Logger, Metric, References, Scope } from "effect"
import type { Duration } from "effect"
import { TestClock } from "effect/testing"
import { CircuitBreakerRegistry, CircuitPolicy, type ResilienceError, Tiers } from "effect-resilience"
import { TierInstance } from "../../../src/internal/tiers/instance.ts"
import { Machine, seeded } from "../../support/machine.ts"

class Unavailable extends Data.TaggedError("Unavailable") {}

class Accounts extends Context.Service<Accounts, {
  /** Which instance it is. */
  readonly number: Effect.Effect<number, Unavailable | ResilienceError.AllTiersFailedError>
  readonly get: (id: string) => Effect.Effect<string, Unavailable | ResilienceError.AllTiersFailedError>
}>()("test/Accounts") {}

/** A tier whose instances are numbered, and which does what a test tells it to. */
class Tier {
  builds = 0
  readonly released: Array<number> = []
  onBuild: (number: number) => Effect.Effect<void, unknown, Scope.Scope> = () => Effect.void
  onCall: (number: number, id: string) => Effect.Effect<void, Unavailable> = () => Effect.void
  onRelease: (number: number) => Effect.Effect<void> = () => Effect.void

  readonly layer: Layer.Layer<Accounts, unknown> = Layer.effect(Accounts, Effect.suspend(() => this.build()))

  private readonly build = Effect.fnUntraced({ self: this }, function*() {
    const number = yield* Effect.acquireRelease(
      Effect.sync(() => ++this.builds),
      (number) => Effect.andThen(this.onRelease(number), Effect.sync(() => void this.released.push(number)))
    )
    yield* this.onBuild(number)
    const call = (id: string) => Effect.suspend(() => this.onCall(number, id))
    return Accounts.of({
      number: Effect.as(call(""), number),
      get: (id) => Effect.as(call(id), `${id} by ${number}`)
    })
  })
}

const policy = CircuitPolicy.make({
  consecutiveFailures: 2,
  openDuration: "10 seconds",
  halfOpenMaxCalls: 3,
  successThreshold: 1
})
const registry = CircuitBreakerRegistry.layer({ defaults: policy })

/** Provides a tiered service and the circuits it runs on. */
const provide = <ROut, E>(
  tiers: Layer.Layer<ROut, E, CircuitBreakerRegistry.CircuitBreakerRegistry>
) => Effect.provide(Layer.provideMerge(tiers, Layer.fresh(registry)))

const circuit = (name: string) =>
  Effect.flatMap(CircuitBreakerRegistry.CircuitBreakerRegistry, (registry) => registry.getOrCreate(name))

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** Runs an effect and lets so much time pass meanwhile. */
const during = <A, E, R>(time: Duration.Input, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* fork(effect)
    yield* TestClock.adjust(time)
    return yield* Fiber.join(fiber)
  })

/** Runs with a service whose only tier is `a`, and closes its scope. */
const withTier = <A, E, R>(
  tier: Tier,
  options: Tiers.LayerTierOptions,
  f: (accounts: typeof Accounts.Service) => Effect.Effect<A, E, R>
) =>
  Effect.flatMap(Accounts, f).pipe(
    provide(Tiers.layer(Accounts, [["a", tier.layer, options]]))
  )

/** The service and the closing of its scope, apart from the scope of the test. */
const openTiers = Effect.fnUntraced(
  function*(layer: Layer.Layer<Accounts, never, CircuitBreakerRegistry.CircuitBreakerRegistry>) {
    const scope = yield* Scope.make()
    const accounts = Context.get(yield* Layer.buildWithScope(layer, scope), Accounts)
    return { accounts, close: Scope.close(scope, Exit.void) }
  }
)

const trip = (name: string) => Effect.flatMap(circuit(name), (circuit) => circuit.forceOpen({ duration: "10 seconds" }))

describe("building", () => {
  it.effect("concurrent first calls share one build", () => {
    const tier = new Tier()
    tier.onBuild = () => Effect.sleep("1 second")
    return withTier(tier, {}, (accounts) =>
      Effect.gen(function*() {
        const calls = Effect.forEach(["x", "y", "z"], accounts.get, { concurrency: "unbounded" })
        assert.deepStrictEqual(yield* during("1 second", calls), ["x by 1", "y by 1", "z by 1"])
        assert.strictEqual(tier.builds, 1)
      }))
  })

  it.effect("a call that the build itself wakes waits for that build instead of starting another", () =>
    Effect.gen(function*() {
      const tier = new Tier()
      yield* withTier(tier, {}, (accounts) =>
        Effect.gen(function*() {
          const woken: Array<Fiber.Fiber<string, unknown>> = []
          tier.onBuild = () =>
            Effect.map(Effect.forkDetach(accounts.get("y"), { startImmediately: true }), (fiber) => {
              woken.push(fiber)
            })
          assert.strictEqual(yield* accounts.get("x"), "x by 1")
          assert.strictEqual(yield* Fiber.join(woken[0]!), "y by 1")
        }))
      assert.deepStrictEqual([tier.builds, tier.released], [1, [1]])
    }))

  it.effect("a build that needs its own service times out instead of looping", () => {
    const tier = new Tier()
    return withTier(tier, { timeout: "1 second" }, (accounts) =>
      Effect.gen(function*() {
        tier.onBuild = () => Effect.asVoid(accounts.number)
        const error = yield* during("1 second", Effect.flip(accounts.number))
        assert.strictEqual(error._tag, "AllTiersFailedError")
        assert.strictEqual(tier.builds, 1)
      }))
  })

  it.effect("interrupting the call that started a build does not stop it for the others, nor for later ones", () => {
    const tier = new Tier()
    tier.onBuild = () => Effect.sleep("2 seconds")
    return withTier(tier, {}, (accounts) =>
      Effect.gen(function*() {
        const first = yield* fork(accounts.get("x"))
        const second = yield* fork(accounts.get("y"))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(first)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(second), "y by 1")
      }))
  })

  it.effect("a build that nobody waits for any more goes on, for later calls", () => {
    const tier = new Tier()
    tier.onBuild = () => Effect.sleep("2 seconds")
    return withTier(tier, {}, (accounts) =>
      Effect.gen(function*() {
        yield* Fiber.interrupt(yield* fork(accounts.get("x")))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* accounts.get("y"), "y by 1")
      }))
  })

  it.effect("a build that hangs costs each call the tier's timeout, and the next tier serves", () => {
    const hanging = new Tier()
    hanging.onBuild = (number) => number === 1 ? Effect.never : Effect.void
    const second = new Tier()
    const layer = Tiers.layer(Accounts, [["a", hanging.layer, { timeout: "1 second" }], ["b", second.layer]])
    return Effect.gen(function*() {
      const accounts = yield* Accounts
      const [, reports] = yield* during(
        "1 second",
        Tiers.collect(Effect.exit(Effect.forEach(["x", "y"], accounts.get, { concurrency: "unbounded" })))
      )
      assert.deepStrictEqual(reports.map(({ duration, servedBy }) => `${servedBy} ${duration}`), [
        "b 1000 millis",
        "b 1000 millis"
      ])
      assert.strictEqual(hanging.builds, 1)
      // Open: skipped at once.
      assert.strictEqual(yield* accounts.get("z"), "z by 1")
      // The probe gives the hanging build up and starts another.
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* accounts.get("z"), "z by 2")
      assert.deepStrictEqual([hanging.builds, hanging.released, second.builds], [2, [1], 1])
    }).pipe(provide(layer))
  })

  it.effect("a build that is slower than the timeout serves once it has ended", () => {
    const tier = new Tier()
    tier.onBuild = () => Effect.sleep("90 seconds")
    return withTier(
      tier,
      { timeout: "1 second", policy: CircuitPolicy.make({ consecutiveFailures: 100 }) },
      (accounts) =>
        Effect.gen(function*() {
          yield* during("1 second", Effect.flip(accounts.number))
          yield* TestClock.adjust("89 seconds")
          assert.strictEqual(yield* accounts.number, 1)
        })
    )
  })

  it.effect("so it does if its slowness has opened the circuit: it has served nobody who could have found it broken", () => {
    const tier = new Tier()
    tier.onBuild = () => Effect.sleep("5 seconds")
    return withTier(tier, { timeout: "1 second" }, (accounts) =>
      Effect.gen(function*() {
        yield* during("1 second", Effect.flip(accounts.number))
        yield* during("1 second", Effect.flip(accounts.number))
        assert.strictEqual(yield* (yield* circuit("a")).state, "Open")
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* accounts.number, 1)
        assert.deepStrictEqual([tier.builds, tier.released], [1, []])
      }))
  })

  it.effect("a Layer that fails or dies half way is released before the next tier is tried", () => {
    return Effect.forEach([Effect.fail("no config"), Effect.die(new Error("bug"))], (failure) => {
      const tier = new Tier()
      const releasedBefore: Array<number> = []
      tier.onRelease = () => Effect.sleep("1 second")
      tier.onBuild = () => failure
      const second = new Tier()
      second.onBuild = () => Effect.sync(() => void releasedBefore.push(...tier.released))
      const layer = Tiers.layer(Accounts, [["a", tier.layer], ["b", second.layer]])
      return Effect.gen(function*() {
        const accounts = yield* Accounts
        const [, [report]] = yield* during("1 second", Tiers.collect(Effect.exit(accounts.number)))
        assert.strictEqual(report!.servedBy, "b")
        assert.deepStrictEqual(report!.attempts.map(({ outcome }) => outcome), ["failed"])
        assert.deepStrictEqual(releasedBefore, [1])
        const second = yield* fork(accounts.number)
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(second)
        assert.deepStrictEqual([tier.builds, tier.released], [2, [1, 2]])
      }).pipe(
        Effect.provide(layer),
        Effect.andThen(Effect.sync(() => assert.deepStrictEqual(tier.released, [1, 2]))),
        Effect.provide(registry)
      )
    })
  })

  it.effect("so are the dependencies of a Layer that fails after them", () => {
    const log: Array<string> = []
    class Db extends Context.Service<Db, string>()("test/Db") {}
    const db = Layer.effect(
      Db,
      Effect.acquireRelease(Effect.sync(() => void log.push("db")), () => Effect.sync(() => void log.push("db gone")))
        .pipe(
          Effect.as("db")
        )
    )
    const failing = Layer.effect(Accounts, Effect.andThen(Db, new Unavailable()))
    const second = new Tier()
    second.onBuild = () => Effect.sync(() => void log.push("second"))
    return Effect.gen(function*() {
      yield* (yield* Accounts).number
      assert.deepStrictEqual(log, ["db", "db gone", "second"])
    }).pipe(
      provide(Tiers.layer(Accounts, [["a", Layer.provide(failing, db)], ["b", second.layer]]))
    )
  })

  it.effect("calls that share a failing build fail once each, and the next call builds again", () => {
    const tier = new Tier()
    tier.onBuild = (number) => number === 1 ? Effect.andThen(Effect.sleep("1 second"), new Unavailable()) : Effect.void
    return withTier(
      tier,
      { policy: CircuitPolicy.make({ consecutiveFailures: 100 }) },
      (accounts) =>
        Effect.gen(function*() {
          const calls = Effect.all([Effect.flip(accounts.number), Effect.flip(accounts.number)], { concurrency: 2 })
          yield* during("1 second", calls)
          const { failedCalls } = yield* (yield* circuit("a")).metrics
          assert.deepStrictEqual([tier.builds, failedCalls], [1, 2])
          assert.strictEqual(yield* accounts.number, 2)
        })
    )
  })

  it.effect("a build that interrupts itself is a failed tier, not an interrupted call", () => {
    const tier = new Tier()
    tier.onBuild = () => Effect.interrupt
    return withTier(tier, {}, (accounts) =>
      Effect.gen(function*() {
        assert.strictEqual((yield* Effect.flip(accounts.number))._tag, "AllTiersFailedError")
        assert.deepStrictEqual(tier.released, [1])
      }))
  })

  it.effect("a retry within the tier builds again", () => {
    const tier = new Tier()
    tier.onBuild = (number) => number < 3 ? new Unavailable() : Effect.void
    const options = { retry: { maxAttempts: 3, baseDelay: 0 }, policy: CircuitPolicy.make({ consecutiveFailures: 3 }) }
    return withTier(tier, options, (accounts) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* during(0, accounts.number), 3)
        assert.deepStrictEqual(tier.released, [1, 2])
      }))
  })
})

describe("replacing", () => {
  it.effect("failures below the policy's threshold replace nothing", () => {
    const tier = new Tier()
    let fails = false
    tier.onCall = () => fails ? new Unavailable() : Effect.void
    return withTier(tier, {}, (accounts) =>
      Effect.gen(function*() {
        for (let i = 0; i < 5; i++) {
          fails = true
          yield* Effect.flip(accounts.number)
          fails = false
          assert.strictEqual(yield* accounts.number, 1)
        }
      }))
  })

  it.effect("a broken instance is released after the last call that uses it, not before, and once", () => {
    const tier = new Tier()
    tier.onCall = (number, id) =>
      number === 1 && id === "" ? new Unavailable() : id === "" ? Effect.void : Effect.sleep(id as "1 second")
    return withTier(tier, {}, (accounts) =>
      Effect.gen(function*() {
        const long = yield* fork(accounts.get("20 seconds"))
        const hung = yield* fork(accounts.get("1 hour"))
        yield* Effect.flip(accounts.number)
        yield* Effect.flip(accounts.number)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* accounts.number, 2)
        assert.deepStrictEqual(tier.released, [])
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* Fiber.join(long), "20 seconds by 1")
        assert.deepStrictEqual(tier.released, [])
        yield* Fiber.interrupt(hung)
        assert.deepStrictEqual(tier.released, [1])
        assert.strictEqual(yield* accounts.number, 2)
        assert.deepStrictEqual(tier.released, [1])
      }))
  })

  it.effect("several probes at once share one new instance, and closing the circuit replaces nothing", () => {
    const tier = new Tier()
    tier.onBuild = () => Effect.sleep("1 second")
    return withTier(tier, {}, (accounts) =>
      Effect.gen(function*() {
        yield* during("1 second", accounts.number)
        yield* trip("a")
        yield* TestClock.adjust("10 seconds")
        const probes = Effect.all(Array.from({ length: 3 }, () => accounts.number), { concurrency: "unbounded" })
        assert.deepStrictEqual(yield* during("1 second", probes), [2, 2, 2])
        assert.strictEqual(yield* (yield* circuit("a")).state, "Closed")
        assert.strictEqual(yield* accounts.number, 2)
        assert.deepStrictEqual([tier.builds, tier.released], [2, [1]])
      }))
  })

  it.effect("each failed probe means another instance", () => {
    const tier = new Tier()
    tier.onCall = (number) => number < 4 ? new Unavailable() : Effect.void
    return withTier(tier, {}, (accounts) =>
      Effect.gen(function*() {
        yield* Effect.flip(accounts.number)
        for (let i = 0; i < 3; i++) {
          yield* Effect.flip(accounts.number)
          yield* TestClock.adjust("10 seconds")
        }
        assert.strictEqual(yield* accounts.number, 4)
        assert.deepStrictEqual(tier.released, [1, 2, 3])
      }))
  })

  it.effect("a circuit that an operator forced open, reset or closed again gets a new instance as well", () => {
    const tier = new Tier()
    return withTier(tier, {}, (accounts) =>
      Effect.gen(function*() {
        const breaker = yield* circuit("a")
        assert.strictEqual(yield* accounts.number, 1)
        yield* breaker.reset
        yield* breaker.forceClose
        yield* breaker.disable
        assert.strictEqual(yield* accounts.number, 1)
        yield* breaker.forceOpen()
        yield* Effect.flip(accounts.number)
        yield* breaker.forceClose
        assert.strictEqual(yield* accounts.number, 2)
      }))
  })

  it.effect("a new instance comes with new dependencies, whichever way its Layer provides them", () => {
    let dbs = 0
    class Db extends Context.Service<Db, number>()("test/Db") {}
    const db = Layer.effect(Db, Effect.sync(() => ++dbs))
    const accounts = Effect.map(Db, (db) => Accounts.of({ number: Effect.succeed(db), get: () => Effect.succeed("") }))
    const ways = [
      Layer.provide(Layer.effect(Accounts, accounts), db),
      Layer.effect(Accounts, Effect.provide(accounts, db)),
      Layer.unwrap(
        Effect.map(
          Effect.map(Layer.build(db), (services) => Context.get(services, Db)),
          (number) => Layer.succeed(Accounts, { number: Effect.succeed(number), get: () => Effect.succeed("") })
        )
      )
    ]
    return Effect.forEach(ways, (way) =>
      Effect.gen(function*() {
        dbs = 0
        // The program's own.
        const layer = Layer.provideMerge(Tiers.layer(Accounts, [["a", way]]), db)
        yield* Effect.gen(function*() {
          const accounts = yield* Accounts
          assert.strictEqual(yield* accounts.number, 2)
          yield* trip("a")
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(yield* accounts.number, 3)
        }).pipe(provide(layer))
      }))
  })

  it.effect("what a tier's Layer needs from outside is built once, before any call, and stays", () => {
    let dbs = 0
    class Db extends Context.Service<Db, number>()("test/Db") {}
    const db = Layer.effect(Db, Effect.sync(() => ++dbs))
    const tier = Layer.effect(
      Accounts,
      Effect.map(Db, (db) => ({ number: Effect.succeed(db), get: () => Effect.succeed("") }))
    )
    return Effect.gen(function*() {
      const accounts = yield* Accounts
      assert.strictEqual(dbs, 1)
      yield* accounts.number
      yield* trip("a")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* accounts.number, 1)
    }).pipe(
      provide(Layer.provide(Tiers.layer(Accounts, [["a", tier]]), db))
    )
  })

  it.effect("two services that share a circuit have an instance each, and both are replaced", () => {
    class Other extends Context.Service<Other, { readonly number: Effect.Effect<number> }>()("test/Other") {}
    const tier = new Tier()
    let others = 0
    const other = Layer.effect(Other, Effect.sync(() => ({ number: Effect.succeed(++others) })))
    return Effect.gen(function*() {
      const accounts = yield* Accounts
      const second = yield* Other
      assert.deepStrictEqual([yield* accounts.number, yield* second.number], [1, 1])
      tier.onCall = (number) => number === 1 ? new Unavailable() : Effect.void
      yield* Effect.flip(accounts.number)
      yield* Effect.flip(accounts.number)
      assert.isTrue(Exit.hasDies(yield* Effect.exit(second.number)))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual([yield* accounts.number, yield* second.number], [2, 2])
    }).pipe(
      provide(Layer.merge(
        Tiers.layer(Accounts, [["mcp", tier.layer]]),
        Tiers.layer(Other, [["mcp", other]], { onAllFailed: "die" })
      ))
    )
  })

  it.effect("a circuit given by value is watched alike, also once the registry has forgotten and replaced it", () => {
    const tier = new Tier()
    return Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const breaker = yield* registry.getOrCreate("a")
      yield* Effect.gen(function*() {
        const accounts = yield* Accounts
        assert.strictEqual(yield* accounts.number, 1)
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(yield* registry.names, [])
        const successor = yield* registry.getOrCreate("a")
        assert.notStrictEqual(successor, breaker)
        assert.strictEqual(yield* accounts.number, 1)
        yield* successor.forceOpen({ duration: "1 second" })
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* accounts.number, 2)
      }).pipe(Effect.provide(Tiers.layer(Accounts, [["tier", tier.layer, { circuit: breaker }]])))
    }).pipe(Effect.provide(CircuitBreakerRegistry.layer({ defaults: policy, idleTimeToLive: "1 hour" })))
  })

  it.effect("a call does not wait for the release of what it replaces, and a release that dies is logged", () => {
    const tier = new Tier()
    const logged: Array<string> = []
    tier.onRelease = (number) =>
      number === 1 ? Effect.andThen(Effect.sleep("1 second"), Effect.die(new Error("stuck"))) : Effect.void
    return withTier(tier, {}, (accounts) =>
      Effect.gen(function*() {
        yield* accounts.number
        yield* trip("a")
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* accounts.number, 2)
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(logged, ["A tier could not be released: stuck"])
      })).pipe(
        Effect.provide(Logger.layer([
          Logger.make(({ cause, message }) => {
            logged.push(`${String(message)}: ${(Cause.squash(cause) as Error).message}`)
          })
        ])),
        Effect.provideService(References.UnhandledLogLevel, "Warn")
      )
  })
})

describe("closing the scope", () => {
  it.effect("releases what is in use, what was replaced and is still in use, and no call builds anything afterwards", () =>
    Effect.gen(function*() {
      const tier = new Tier()
      tier.onCall = (_, id) => id === "hang" ? Effect.never : Effect.void
      const { accounts, close } = yield* openTiers(Tiers.layer(Accounts, [["a", tier.layer]]))
      const first = yield* fork(accounts.get("hang"))
      yield* trip("a")
      yield* TestClock.adjust("10 seconds")
      const second = yield* fork(accounts.get("hang"))
      assert.deepStrictEqual([tier.builds, tier.released], [2, []])

      yield* close
      assert.deepStrictEqual(tier.released.toSorted(), [1, 2])
      const error = yield* Effect.flip(accounts.number)
      assert.include(error.message, "The scope of the tiers is closed")
      yield* Fiber.interruptAll([first, second])
      assert.deepStrictEqual([tier.builds, tier.released.length], [2, 2])
    }).pipe(Effect.provide(registry)))

  it.effect("interrupts a build that runs, waits for its finalizers, and its callers fail", () =>
    Effect.gen(function*() {
      const tier = new Tier()
      const gate = yield* Deferred.make<void>()
      tier.onBuild = () => Effect.never
      tier.onRelease = () => Deferred.await(gate)
      const { accounts, close } = yield* openTiers(Tiers.layer(Accounts, [["a", tier.layer]]))
      const call = yield* fork(Effect.flip(accounts.number))
      const closing = yield* fork(close)
      assert.isUndefined(closing.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(tier.released, [1])
      assert.include((yield* Fiber.join(call)).message, "The tier was released while it was being built")
    }).pipe(Effect.provide(registry)))

  it.effect("is all that a call afterwards dies of", () =>
    Effect.gen(function*() {
      const instance = new TierInstance({
        layer: new Tier().layer,
        key: Accounts,
        context: Context.empty(),
        timesOpened: () => 0
      })
      yield* instance.close
      const exit = yield* Effect.exit(instance.use((accounts) => accounts.number))
      assert.deepStrictEqual(
        Exit.isFailure(exit) && exit.cause.reasons.map((reason) => Cause.isDieReason(reason) && String(reason.defect)),
        ["Error: The scope of the tiers is closed"]
      )
    }))

  it.effect("may come from inside a build, which then ends where it is released", () =>
    Effect.gen(function*() {
      const tier = new Tier()
      const instance: TierInstance<Accounts, typeof Accounts.Service, unknown, never> = new TierInstance({
        layer: tier.layer,
        key: Accounts,
        context: Context.empty(),
        timesOpened: () => 0
      })
      const closed: Array<Exit.Exit<void>> = []
      tier.onBuild = () => Effect.map(Effect.exit(instance.close), (exit) => void closed.push(exit))
      yield* Effect.exit(instance.use((accounts) => accounts.number))

      assert.deepStrictEqual(closed, [Exit.void])
      assert.deepStrictEqual(tier.released, [1])
    }))

  it.effect("waits for a release that has begun in the background", () =>
    Effect.gen(function*() {
      const tier = new Tier()
      tier.onRelease = (number) => number === 1 ? Effect.sleep("5 seconds") : Effect.void
      const { accounts, close } = yield* openTiers(Tiers.layer(Accounts, [["a", tier.layer]]))
      yield* accounts.number
      yield* trip("a")
      yield* TestClock.adjust("10 seconds")
      yield* accounts.number
      yield* TestClock.adjust("1 second")
      const closing = yield* fork(close)
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual([closing.pollUnsafe(), tier.released], [undefined, [2]])
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(tier.released, [2, 1])
    }).pipe(Effect.provide(registry)))

  it.effect("releases every instance and every tier, and tells if one of them died", () =>
    Effect.gen(function*() {
      const tiers = [new Tier(), new Tier()]
      for (const tier of tiers) tier.onRelease = () => Effect.die(new Error("stuck"))
      const third = new Tier()
      const { accounts, close } = yield* openTiers(Tiers.layer(Accounts, [
        ["a", tiers[0]!.layer],
        ["b", tiers[1]!.layer],
        ["c", third.layer]
      ]))
      for (const tier of tiers) tier.onCall = () => new Unavailable()
      yield* accounts.number
      const exit = yield* Effect.exit(close)
      assert.isTrue(Exit.hasDies(exit))
      assert.deepStrictEqual(third.released, [1])
    }).pipe(Effect.provide(registry)))

  it.effect("leaves no fiber behind", () => {
    let running = 0
    const counter: Metric.FiberRuntimeMetricsService = {
      recordFiberStart: () => void running++,
      recordFiberEnd: () => void running--
    }
    return Effect.gen(function*() {
      const before = running
      const tier = new Tier()
      const hanging = new Tier()
      hanging.onBuild = () => Effect.never
      const { accounts, close } = yield* openTiers(Tiers.layer(Accounts, [
        ["a", hanging.layer, { timeout: "1 second" }],
        ["b", tier.layer, { timeout: "1 second", retry: { maxAttempts: 2 } }]
      ], { deadline: "1 minute" }))
      tier.onCall = () => Effect.sleep("10 millis")
      const calls = Effect.forEach(Array.from({ length: 20 }, (_, i) => String(i)), accounts.get, {
        concurrency: "unbounded"
      })
      yield* during("2 seconds", calls)
      yield* trip("b")
      yield* TestClock.adjust("10 seconds")
      const last = yield* fork(accounts.number)
      yield* TestClock.adjust("5 millis")
      assert.isAbove(running, before)
      yield* Fiber.interrupt(last)
      yield* close
      assert.strictEqual(running, before)
    }).pipe(Effect.provideService(Metric.FiberRuntimeMetrics, counter), Effect.provide(registry))
  })
})

// -----------------------------------------------------------------------------
// every interleaving
// -----------------------------------------------------------------------------

/** What a fiber that must have ended well ended with. */
const valueOf = <A, E>(fiber: Fiber.Fiber<A, E>): A => {
  const exit = fiber.pollUnsafe()
  if (exit === undefined) throw new Error("The fiber has not ended")
  if (Exit.isFailure(exit)) throw Cause.squash(exit.cause)
  return exit.value
}

/** A machine with a registry and three tiers: `a` needs 10 ms to be built and 10 ms for a call, `b` nothing. */
const makeWorld = () => {
  const machine = new Machine()
  const run = <A, E>(effect: Effect.Effect<A, E, CircuitBreakerRegistry.CircuitBreakerRegistry>): Fiber.Fiber<A, E> =>
    machine.run(Effect.provideService(effect, CircuitBreakerRegistry.CircuitBreakerRegistry, registry))
  const scope = Scope.makeUnsafe()
  const registry: CircuitBreakerRegistry.CircuitBreakerRegistry = valueOf(
    machine.run(Scope.provide(CircuitBreakerRegistry.make({ defaults: policy }), scope))
  )
  const finish = <A, E>(effect: Effect.Effect<A, E, CircuitBreakerRegistry.CircuitBreakerRegistry>): A => {
    const fiber = run(effect)
    machine.finish()
    return valueOf(fiber)
  }
  const a = new Tier()
  a.onBuild = () => Effect.sleep(10)
  a.onRelease = () => Effect.sleep(10)
  a.onCall = () => Effect.sleep(10)
  const b = new Tier()
  const tiers = finish(openTiers(Tiers.layer(Accounts, [
    ["a", a.layer, { timeout: 50, retry: { maxAttempts: 2, baseDelay: 5, jitter: "none" } }],
    ["b", b.layer]
  ], { deadline: 500 })))
  const inFlight = () => finish(Effect.map(registry.statuses, (all) => all.map(({ callsInFlight }) => callsInFlight)))
  return { machine, run, finish, a, b, tiers, registry, inFlight }
}

type World = ReturnType<typeof makeWorld>

/**
 * Starts a fiber in a new world, pauses whichever fiber is at the n-th
 * operation from there on, interferes at that moment, lets all end and checks;
 * for every n.
 */
const everywhere = (
  prepare: (world: World) => void,
  start: (world: World) => Fiber.Fiber<unknown, unknown>,
  interfere: (world: World, fiber: Fiber.Fiber<unknown, unknown>) => void,
  check: (world: World, fiber: Fiber.Fiber<unknown, unknown>, place: number) => void
): number => {
  for (let place = 1;; place++) {
    const world = makeWorld()
    const { machine } = world
    prepare(world)
    let operations = 0
    let paused = false
    machine.pausesAt = () => {
      paused ||= ++operations === place
      return operations === place
    }
    const fiber = start(world)
    const reached = () => paused || fiber.pollUnsafe() !== undefined
    while (!reached() && (machine.step() || machine.tick()));
    machine.pausesAt = () => false
    if (paused) interfere(world, fiber)
    machine.finish()
    check(world, fiber, place)
    if (!paused) return place - 1
  }
}

/** That no call is left anywhere: circuits have none in flight, and a broken instance goes. */
const assertNothingLeft = (world: World, place: number): void => {
  const { a, b, finish, inFlight, machine, registry, tiers } = world
  const at = `paused at ${place}`
  assert.deepStrictEqual(inFlight(), [0, 0], at)
  assert.deepStrictEqual([machine.tasks.length, machine.sleeps.length], [0, 0], at)

  for (const name of ["a", "b"]) {
    finish(Effect.flatMap(registry.getOrCreate(name), (circuit) => circuit.forceOpen({ duration: 1 })))
  }
  machine.now += 1
  assert.strictEqual(finish(tiers.accounts.number), a.builds, at)
  assert.deepStrictEqual(a.released.length, a.builds - 1, at)
  assert.strictEqual(new Set(a.released).size, a.released.length, at)

  finish(tiers.close)
  assert.deepStrictEqual([a.released.length, b.released.length], [a.builds, b.builds], at)
  assert.strictEqual(new Set(a.released).size, a.released.length, at)
}

describe("wherever a fiber pauses", () => {
  const idle = () => {}
  const getX = ({ run, tiers }: World) => run(tiers.accounts.get("x"))
  const interrupt = (_: World, fiber: Fiber.Fiber<unknown, unknown>) => fiber.interruptUnsafe()

  it("a call that is interrupted leaves nothing behind, and the build it started goes on", () => {
    const places = everywhere(idle, getX, interrupt, (world, _, place) => {
      assert.isAtMost(world.a.builds, 1)
      assert.strictEqual(world.a.released.length, 0)
      assertNothingLeft(world, place)
    })
    assert.isAbove(places, 50)
  })

  it("a call that fails over and is interrupted leaves nothing behind", () => {
    const places = everywhere(
      ({ a }) => {
        a.onCall = (number) => Effect.andThen(Effect.sleep(1), number === 1 ? new Unavailable() : Effect.void)
      },
      getX,
      interrupt,
      (world, _, place) => assertNothingLeft(world, place)
    )
    assert.isAbove(places, 100)
  })

  it("a probe that replaces a broken instance and is interrupted leaves nothing behind", () => {
    const places = everywhere(
      ({ finish, machine, registry, tiers }) => {
        finish(tiers.accounts.number)
        finish(Effect.flatMap(registry.getOrCreate("a"), (circuit) => circuit.forceOpen({ duration: 1 })))
        machine.now += 1
      },
      getX,
      interrupt,
      (world, _, place) => {
        assert.isAtMost(world.a.builds, 2)
        assertNothingLeft(world, place)
      }
    )
    assert.isAbove(places, 50)
  })

  it("two calls and an interruption of the first: the second is served by the one instance", () => {
    everywhere(
      idle,
      getX,
      (world, fiber) => {
        const second = world.run(world.tiers.accounts.get("y"))
        fiber.interruptUnsafe()
        world.machine.finish()
        assert.strictEqual(valueOf(second), "y by 1")
        assert.isAtMost(world.a.builds, 1)
      },
      (world, _, place) => assertNothingLeft(world, place)
    )
  })

  it("a call that times out leaves nothing behind", () => {
    everywhere(
      ({ a }) => {
        a.onBuild = (number) => number === 1 ? Effect.never : Effect.void
      },
      getX,
      idle,
      (world, fiber, place) => {
        assert.strictEqual(valueOf(fiber), "x by 1")
        assert.strictEqual(world.b.builds, 1)
        assertNothingLeft(world, place)
      }
    )
  })

  it("closing the scope releases whatever has been built or is being built, once, and nothing is built later", () => {
    for (const broken of [false, true]) {
      everywhere(
        ({ a, finish, machine, registry, tiers }) => {
          if (!broken) return
          finish(tiers.accounts.number)
          a.onCall = (number) => number === 1 ? new Unavailable() : Effect.sleep(10)
          finish(Effect.flatMap(registry.getOrCreate("a"), (circuit) => circuit.forceOpen({ duration: 1 })))
          machine.now += 1
        },
        getX,
        (world) => void world.run(world.tiers.close),
        ({ a, b, finish, inFlight, machine, tiers }, fiber, place) => {
          const at = `paused at ${place}`
          assert.isDefined(fiber.pollUnsafe(), at)
          finish(tiers.close)
          assert.deepStrictEqual(a.released.toSorted(), Array.from({ length: a.builds }, (_, i) => i + 1), at)
          assert.deepStrictEqual([b.released.length, inFlight()], [b.builds, [0, 0]], at)
          assert.deepStrictEqual([machine.tasks.length, machine.sleeps.length], [0, 0], at)
        }
      )
    }
  })
})

describe("under load", () => {
  for (const seed of [1, 2]) {
    // migration: load testing
    it(`thousands of calls while tiers flap: each is served once, by a tier that is up, and all recovers (${seed})`, () => {
      const random = seeded(seed)
      const machine = new Machine()
      machine.pick = (n) => Math.floor(random() * n)
      machine.pausesAt = () => random() < 0.02
      const CALLS = 2000
      let pace = 1

      /** An instance that was alive while its tier was down stays broken. */
      const makeFlapping = () => {
        const tier = new Tier()
        const state = { tier, up: true, broken: new Set<number>(), served: 0 }
        tier.onBuild = () =>
          Effect.andThen(
            Effect.sleep(pace * random() * 20),
            Effect.suspend(() => state.up ? Effect.void : new Unavailable())
          )
        tier.onRelease = () => Effect.sleep(random() * 20)
        tier.onCall = (number) =>
          Effect.suspend(() => {
            if (tier.released.includes(number)) throw new Error("served by what was released")
            return Effect.andThen(
              Effect.sleep(pace * random() * 30),
              Effect.suspend(() => {
                if (!state.up || state.broken.has(number)) return new Unavailable()
                state.served++
                return Effect.void
              })
            )
          })
        return state
      }
      const states = [makeFlapping(), makeFlapping(), makeFlapping()]
      const set = (state: (typeof states)[number], up: boolean) => {
        state.up = up
        if (!up) { for (let n = 1; n <= state.tier.builds; n++) state.broken.add(n) }
      }

      const program = Effect.gen(function*() {
        const { accounts, close } = yield* openTiers(Tiers.layer(Accounts, [
          ["a", states[0]!.tier.layer, { timeout: 25 }],
          ["b", states[1]!.tier.layer, { retry: { maxAttempts: 2, baseDelay: 5, jitter: "none" } }],
          ["c", states[2]!.tier.layer]
        ], { deadline: 200 }))

        const flapping = yield* Effect.gen(function*() {
          for (;;) {
            yield* Effect.sleep(random() * 400)
            const state = states[Math.floor(random() * 3)]!
            yield* Effect.sync(() => set(state, !state.up))
          }
        }).pipe(Effect.forkChild)

        const calls = yield* Effect.forEach(Array.from({ length: CALLS }), (_, i) =>
          Effect.gen(function*() {
            yield* Effect.sleep(random() * 20_000)
            const call = Tiers.collect(Effect.exit(accounts.get(String(i))))
            const fiber = yield* Effect.forkChild(call)
            if (random() < 0.05) {
              yield* Effect.sleep(random() * 20)
              yield* Fiber.interrupt(fiber)
              return undefined
            }
            return yield* Fiber.join(fiber)
          }), { concurrency: "unbounded" })
        yield* Fiber.interrupt(flapping)

        // All are up again, and quick.
        for (const state of states) set(state, true)
        pace = 0
        yield* Effect.sleep(1000)
        // An instance that broke while its circuit was closed is only replaced after three failures.
        for (let i = 0; i < 5; i++) {
          yield* Effect.exit(accounts.get("recover"))
          yield* Effect.sleep(200)
        }
        const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
        for (const name of ["a", "b", "c"]) {
          yield* (yield* registry.getOrCreate(name)).execute(Effect.void)
        }
        const last = yield* Tiers.collect(Effect.exit(accounts.get("last")))
        yield* Effect.sleep(1000)
        const statuses = yield* registry.statuses
        const living = states.map(({ tier }) => tier.builds - tier.released.length)
        yield* close
        return { calls, statuses, last, living }
      }).pipe(Effect.provide(CircuitBreakerRegistry.layer({
        defaults: CircuitPolicy.make({
          consecutiveFailures: 3,
          openDuration: 100,
          halfOpenMaxCalls: 2,
          successThreshold: 1
        })
      })))

      const fiber = machine.run(Effect.scoped(program))
      machine.finish()
      const { calls, last, living, statuses } = valueOf(fiber)

      let served = 0
      let failed = 0
      let interrupted = 0
      for (const call of calls) {
        if (call === undefined) {
          interrupted++
          continue
        }
        const [exit, reports] = call
        assert.strictEqual(reports.length, 1)
        const [report] = reports
        if (Exit.isSuccess(exit)) {
          served++
          assert.include(["a", "b", "c"], report!.servedBy)
          assert.isBelow(report!.attempts.length, 3)
        } else {
          failed++
          assert.isUndefined(report!.servedBy)
          assert.strictEqual(report!.attempts.length, 3)
        }
      }
      assert.strictEqual(served + failed + interrupted, CALLS)
      assert.isAbove(served, CALLS / 2)
      assert.isAbove(failed, 0)
      for (const { tier, served } of states) {
        assert.isAbove(served, 0)
        assert.isAbove(tier.builds, 2)
        assert.deepStrictEqual(
          tier.released.toSorted((x, y) => x - y),
          Array.from({ length: tier.builds }, (_, i) => i + 1)
        )
      }
      assert.deepStrictEqual(statuses.map(({ callsInFlight, state }) => `${state} ${callsInFlight}`), [
        "Closed 0",
        "Closed 0",
        "Closed 0"
      ])
      assert.strictEqual(last[1][0]!.servedBy, "a")
      for (const alive of living) assert.isAtMost(alive, 1)
      assert.deepStrictEqual([machine.tasks.length, machine.sleeps.length], [0, 0])
    })
  }
})
