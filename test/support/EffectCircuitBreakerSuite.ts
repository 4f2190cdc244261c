/**
 * What a service under the tag of `effect/persistence/CircuitBreaker` has to
 * do, whoever implements it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Schedule, Scope, Stream } from "effect"
import { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import { CircuitBreaker } from "effect/persistence"
import { TestClock } from "effect/testing"
import { interruptEverywhere } from "./interruptEverywhere.ts"

export type Breaker = CircuitBreaker.CircuitBreaker

export interface BreakerOptions {
  readonly tripPolicy: CircuitBreaker.TripPolicy
  readonly openDuration: Duration.Input | Schedule.Schedule<unknown, number>
  readonly maxOpenDuration?: Duration.Input | undefined
}

export interface Implementation<Store> {
  readonly layer: (options: BreakerOptions) => Layer.Layer<Breaker, never, Store>
  /** Where the circuits live that breakers share. */
  readonly layerStore: (options?: { readonly idleTimeToLive?: Duration.Input | undefined }) => Layer.Layer<Store>
}

export const suite = <Store>(name: string, { layer, layerStore }: Implementation<Store>): void => {
  const make = (options: Partial<BreakerOptions> = {}) =>
    Effect.map(
      Layer.build(layer({ tripPolicy: CircuitBreaker.consecutive(2), openDuration: "10 seconds", ...options })),
      Context.get(CircuitBreaker.CircuitBreaker)
    )

  const test = <E>(
    rule: string,
    body: () => Effect.Effect<void, E, Store | Scope.Scope>,
    store: Layer.Layer<Store> = layerStore()
  ) => it.effect(rule, () => Effect.provide(body(), store))

  describe(name, () => {
    // -------------------------------------------------------------------------
    describe("closed", () => {
      test("passes success and error through unchanged", () =>
        Effect.gen(function*() {
          const breaker = yield* make()
          assert.strictEqual(yield* Effect.succeed(1).pipe(breaker.execute({ key })), 1)
          const error = new Error("boom")
          assert.strictEqual(yield* Effect.flip(breaker.execute(Effect.fail(error), { key })), error)
          const defect = yield* Effect.exit(breaker.execute(Effect.die("defect"), { key }))
          assert.deepStrictEqual(defect, Exit.die("defect"))
        }))

      test("reads Closed for a key that was never used", () =>
        Effect.gen(function*() {
          const breaker = yield* make()
          assert.deepStrictEqual(yield* breaker.state("unknown"), { _tag: "Closed", key: "unknown" })
        }))

      test("opens on the n-th failure in a row", () =>
        Effect.gen(function*() {
          const breaker = yield* make({ tripPolicy: CircuitBreaker.consecutive(3) })
          yield* failTimes(breaker, 2)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
          yield* failTimes(breaker, 1)
          assert.deepStrictEqual(yield* breaker.state(key), {
            _tag: "Open",
            key,
            retryAfter: Duration.seconds(10),
            consecutiveOpenings: 1
          })
        }))

      test("counts from the start after a Success, and on after an Ignored", () =>
        Effect.gen(function*() {
          const breaker = yield* make()
          yield* failTimes(breaker, 1)
          yield* succeed(breaker)
          yield* failTimes(breaker, 1)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
          yield* ignore(breaker)
          yield* failTimes(breaker, 1)
          assert.strictEqual((yield* breaker.state(key))._tag, "Open")
        }))

      test("counts failures in order of completion", () =>
        Effect.gen(function*() {
          const breaker = yield* make()
          const success = yield* hold(breaker, Effect.void)
          yield* failTimes(breaker, 1)
          yield* success.finish
          yield* failTimes(breaker, 1)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
        }))

      test("keeps the circuits of keys apart", () =>
        Effect.gen(function*() {
          const breaker = yield* make()
          yield* failTimes(breaker, 2, "a")
          assert.strictEqual((yield* breaker.state("a"))._tag, "Open")
          assert.strictEqual((yield* breaker.state("b"))._tag, "Closed")
          yield* succeed(breaker, "b")
        }))

      test("shares the circuit of a key between breakers", () =>
        Effect.gen(function*() {
          const one = yield* make()
          const two = yield* make()
          yield* failTimes(one, 1)
          yield* failTimes(two, 1)
          assert.strictEqual((yield* one.state(key))._tag, "Open")
          assert.strictEqual(yield* rejection(one), "CircuitOpen")
          assert.strictEqual(yield* rejection(two), "CircuitOpen")
        }))
    })

    // -------------------------------------------------------------------------
    describe("open", () => {
      test("rejects without running, with the remaining time", () =>
        Effect.gen(function*() {
          const breaker = yield* make()
          yield* failTimes(breaker, 2)
          yield* TestClock.adjust("4 seconds")
          let ran = false
          const error = yield* Effect.sync(() => {
            ran = true
          }).pipe(breaker.execute({ key }), Effect.flip)
          assert.isFalse(ran)
          assert.instanceOf(error, CircuitBreaker.CircuitBreakerError)
          assert.instanceOf(error.reason, CircuitBreaker.CircuitOpen)
          assert.strictEqual(error.reason._tag, "CircuitOpen")
          if (error.reason._tag !== "CircuitOpen") return
          assert.strictEqual(error.reason.key, key)
          assert.deepStrictEqual(error.reason.retryAfter, Duration.seconds(6))
          assert.strictEqual(error.message, "Circuit open")
          assert.deepStrictEqual(yield* breaker.state(key), {
            _tag: "Open",
            key,
            retryAfter: Duration.seconds(6),
            consecutiveOpenings: 1
          })
        }))

      test("rejects until just before its end, and admits at its end", () =>
        Effect.gen(function*() {
          const breaker = yield* make()
          yield* failTimes(breaker, 2)
          yield* TestClock.adjust("9999 millis")
          assert.strictEqual(yield* rejection(breaker), "CircuitOpen")
          yield* TestClock.adjust("1 millis")
          yield* succeed(breaker)
        }))

      test("reads Open past its end, until the next call", () =>
        Effect.gen(function*() {
          const breaker = yield* make()
          const late = yield* hold(breaker, Effect.fail("boom"))
          yield* failTimes(breaker, 2)
          yield* TestClock.adjust("1 minute")
          const open = { _tag: "Open", key, retryAfter: Duration.zero, consecutiveOpenings: 1 } as const
          assert.deepStrictEqual(yield* breaker.state(key), open)
          // A call that ends is not the next call.
          yield* late.finish
          assert.deepStrictEqual(yield* breaker.state(key), open)
          yield* ignore(breaker)
          assert.strictEqual((yield* breaker.state(key))._tag, "HalfOpen")
        }))

      test("has errors that catchReason narrows", () =>
        Effect.gen(function*() {
          const breaker = yield* make()
          yield* failTimes(breaker, 2)
          const caught = yield* Effect.succeed("ran").pipe(
            breaker.execute({ key }),
            Effect.catchReason("CircuitBreakerError", "CircuitOpen", (reason) => Effect.succeed(reason.retryAfter))
          )
          assert.deepStrictEqual(caught, Duration.seconds(10))
        }))

      test("lets a call admitted before finish, and counts it no more", () =>
        Effect.gen(function*() {
          const breaker = yield* make({ tripPolicy: CircuitBreaker.consecutive(1) })
          const success = yield* hold(breaker, Effect.succeed("done"))
          const failure = yield* hold(breaker, Effect.fail("late"))
          yield* failTimes(breaker, 1)
          yield* TestClock.adjust("10 seconds")
          const probe = yield* hold(breaker, Effect.void)

          assert.deepStrictEqual(yield* success.finish, Exit.succeed("done"))
          assert.strictEqual((yield* breaker.state(key))._tag, "HalfOpen")
          assert.deepStrictEqual(yield* failure.finish, Exit.fail("late"))
          assert.strictEqual((yield* breaker.state(key))._tag, "HalfOpen")

          yield* probe.finish
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
        }))

      test("does not count a call of before once it has closed again", () =>
        Effect.gen(function*() {
          const breaker = yield* make({ tripPolicy: CircuitBreaker.consecutive(1) })
          const late = yield* hold(breaker, Effect.fail("late"))
          yield* failTimes(breaker, 1)
          yield* TestClock.adjust("10 seconds")
          yield* succeed(breaker)
          yield* late.finish
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
        }))
    })

    // -------------------------------------------------------------------------
    describe("half-open", () => {
      /** A circuit whose open time has just ended. */
      const recovering = Effect.gen(function*() {
        const breaker = yield* make()
        yield* failTimes(breaker, 2)
        yield* TestClock.adjust("10 seconds")
        return breaker
      })

      test("admits one probe and rejects the others, and closes when it succeeds", () =>
        Effect.gen(function*() {
          const breaker = yield* recovering
          const probe = yield* hold(breaker, Effect.succeed("up"))
          assert.deepStrictEqual(yield* breaker.state(key), {
            _tag: "HalfOpen",
            key,
            probing: true,
            consecutiveOpenings: 1
          })
          const error = yield* Effect.flip(breaker.execute(Effect.void, { key }))
          assert.instanceOf(error, CircuitBreaker.CircuitBreakerError)
          assert.instanceOf(error.reason, CircuitBreaker.CircuitHalfOpen)
          assert.strictEqual(error.message, "Circuit half-open")

          assert.deepStrictEqual(yield* probe.finish, Exit.succeed("up"))
          assert.deepStrictEqual(yield* breaker.state(key), { _tag: "Closed", key })
          yield* succeed(breaker)
        }))

      test("opens anew when the probe fails", () =>
        Effect.gen(function*() {
          const breaker = yield* recovering
          yield* TestClock.adjust("3 seconds")
          yield* failTimes(breaker, 1)
          assert.deepStrictEqual(yield* breaker.state(key), {
            _tag: "Open",
            key,
            retryAfter: Duration.seconds(10),
            consecutiveOpenings: 2
          })
        }))

      test("starts to count from nothing once it has closed", () =>
        Effect.gen(function*() {
          const breaker = yield* recovering
          yield* succeed(breaker)
          yield* failTimes(breaker, 1)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
        }))

      test("gives the slot of an interrupted probe to the next call", () =>
        Effect.gen(function*() {
          const breaker = yield* recovering
          const probe = yield* hold(breaker, Effect.void)
          yield* Fiber.interrupt(probe.fiber)
          assert.deepStrictEqual(yield* breaker.state(key), {
            _tag: "HalfOpen",
            key,
            probing: false,
            consecutiveOpenings: 1
          })
          yield* succeed(breaker)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
        }))

      test("gives the slot of an ignored probe to the next call", () =>
        Effect.gen(function*() {
          const breaker = yield* recovering
          yield* ignore(breaker)
          assert.deepStrictEqual(yield* breaker.state(key), {
            _tag: "HalfOpen",
            key,
            probing: false,
            consecutiveOpenings: 1
          })
          yield* failTimes(breaker, 1)
          assert.strictEqual((yield* breaker.state(key))._tag, "Open")
        }))

      test("gives the slot of a probe whose classify dies to the next call", () =>
        Effect.gen(function*() {
          const breaker = yield* recovering
          yield* Effect.void.pipe(breaker.execute({ key, classify: () => Effect.die("classify") }), Effect.exit)
          assert.deepStrictEqual(yield* breaker.state(key), {
            _tag: "HalfOpen",
            key,
            probing: false,
            consecutiveOpenings: 1
          })
          yield* succeed(breaker)
        }))

      test("holds the slot of a probe that hangs", () =>
        Effect.gen(function*() {
          const breaker = yield* recovering
          const probe = yield* hold(breaker, Effect.void)
          yield* TestClock.adjust("30 days")
          assert.strictEqual(yield* rejection(breaker), "CircuitHalfOpen")
          assert.strictEqual((yield* breaker.state(key))._tag, "HalfOpen")
          yield* probe.finish
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
        }))

      test("runs one of 100 callers that come at once", () =>
        Effect.gen(function*() {
          const breaker = yield* recovering
          let ran = 0
          const call = Effect.suspend(() => {
            ran++
            return Effect.yieldNow
          }).pipe(breaker.execute({ key }), Effect.exit)
          const exits = yield* Effect.forEach(Array.from({ length: 100 }), () => call, { concurrency: "unbounded" })
          assert.strictEqual(ran, 1)
          assert.strictEqual(exits.filter(Exit.isSuccess).length, 1)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
        }))

      test("rejects a call of its own key from inside classify of the probe", () =>
        Effect.gen(function*() {
          const breaker = yield* recovering
          let inner: string | undefined
          yield* Effect.void.pipe(breaker.execute({
            key,
            classify: () =>
              Effect.map(rejection(breaker), (tag) => {
                inner = tag
                return CircuitBreaker.success
              })
          }))
          assert.strictEqual(inner, "CircuitHalfOpen")
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
        }))
    })

    // -------------------------------------------------------------------------
    describe("outcomes", () => {
      test("are Ignored for what is only interruption, without asking classify", () =>
        Effect.gen(function*() {
          const breaker = yield* make({ tripPolicy: CircuitBreaker.consecutive(1) })
          let asked = 0
          const classify = () => {
            asked++
            return CircuitBreaker.failure()
          }
          yield* Effect.interrupt.pipe(breaker.execute({ key, classify }), Effect.exit)
          const running = yield* Effect.never.pipe(
            breaker.execute({ key, classify }),
            Effect.forkChild({ startImmediately: true })
          )
          yield* Fiber.interrupt(running)
          assert.strictEqual(asked, 0)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
        }))

      test("are Failures for defects", () =>
        Effect.gen(function*() {
          const breaker = yield* make({ tripPolicy: CircuitBreaker.consecutive(1) })
          yield* Effect.die("defect").pipe(breaker.execute({ key }), Effect.exit)
          assert.strictEqual((yield* breaker.state(key))._tag, "Open")
        }))

      test("are Failures for a timeout inside, and Ignored for one outside", () =>
        Effect.gen(function*() {
          const breaker = yield* make({ tripPolicy: CircuitBreaker.consecutive(1) })
          const inside = yield* Effect.never.pipe(
            Effect.timeout("1 second"),
            breaker.execute({ key: "inside" }),
            Effect.exit,
            Effect.forkChild({ startImmediately: true })
          )
          const outside = yield* Effect.never.pipe(
            breaker.execute({ key: "outside" }),
            Effect.timeout("1 second"),
            Effect.exit,
            Effect.forkChild({ startImmediately: true })
          )
          yield* TestClock.adjust("1 second")
          yield* Fiber.join(inside)
          yield* Fiber.join(outside)
          assert.strictEqual((yield* breaker.state("inside"))._tag, "Open")
          assert.strictEqual((yield* breaker.state("outside"))._tag, "Closed")
        }))

      test("are what classify says: a success may be a Failure, a failure may be Ignored", () =>
        Effect.gen(function*() {
          const breaker = yield* make({ tripPolicy: CircuitBreaker.consecutive(1) })
          const status = (code: number) =>
            Effect.succeed(code).pipe(breaker.execute({
              key,
              classify: (exit) =>
                Exit.isSuccess(exit) && exit.value < 500 ? CircuitBreaker.success : CircuitBreaker.failure()
            }))
          yield* Effect.fail("not found").pipe(
            breaker.execute({ key, classify: () => CircuitBreaker.ignored }),
            Effect.exit
          )
          yield* status(200)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
          assert.strictEqual(yield* status(500), 500)
          assert.strictEqual((yield* breaker.state(key))._tag, "Open")
        }))

      test("are what an effectful classify says, with the services it needs", () =>
        Effect.gen(function*() {
          const breaker = yield* make({ tripPolicy: CircuitBreaker.consecutive(1) })
          const call = Effect.fail("boom").pipe(breaker.execute({ key, classify: () => Judge.use((judge) => judge) }))
          yield* call.pipe(Effect.provideService(Judge, Effect.succeed(CircuitBreaker.ignored)), Effect.exit)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
          const slow = yield* call.pipe(
            Effect.provideService(Judge, Effect.delay(Effect.succeed(CircuitBreaker.failure()), "1 second")),
            Effect.exit,
            Effect.forkChild({ startImmediately: true })
          )
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
          yield* TestClock.adjust("1 second")
          assert.deepStrictEqual(yield* Fiber.join(slow), Exit.fail("boom"))
          assert.strictEqual((yield* breaker.state(key))._tag, "Open")
        }))

      const classifiers = {
        "throws": () => {
          throw "classify"
        },
        "dies": () => Effect.die("classify")
      }
      for (const [what, classify] of Object.entries(classifiers)) {
        test(`are Ignored if classify ${what}, and the call dies with both causes`, () =>
          Effect.gen(function*() {
            const breaker = yield* make({ tripPolicy: CircuitBreaker.consecutive(1) })
            const succeeded = yield* Effect.exit(breaker.execute(Effect.succeed(1), { key, classify }))
            assert.deepStrictEqual(reasons(succeeded), ["Die: classify"])
            const failed = yield* Effect.exit(breaker.execute(Effect.fail("boom"), { key, classify }))
            assert.deepStrictEqual(reasons(failed), ["Fail: boom", "Die: classify"])
            const caught = yield* Effect.exit(Effect.ignore(breaker.execute(Effect.fail("boom"), { key, classify })))
            assert.isTrue(Exit.isFailure(caught))
            assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
          }))
      }

      test("are Ignored if the call is interrupted while classify runs", () =>
        Effect.gen(function*() {
          const breaker = yield* make({ tripPolicy: CircuitBreaker.consecutive(1) })
          const running = yield* Effect.fail("boom").pipe(
            breaker.execute({ key, classify: () => Effect.never }),
            Effect.forkChild({ startImmediately: true })
          )
          yield* Fiber.interrupt(running)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
        }))

      test("keep a call uninterruptible that was, its classify included", () =>
        Effect.gen(function*() {
          const breaker = yield* make()
          let finished = 0
          const step = Effect.yieldNow.pipe(Effect.andThen(Effect.sync(() => finished++)))
          const running = yield* step.pipe(
            breaker.execute({ key, classify: () => Effect.as(step, CircuitBreaker.success) }),
            Effect.uninterruptible,
            Effect.forkChild({ startImmediately: true })
          )
          yield* Fiber.interrupt(running)
          assert.strictEqual(finished, 2)
        }))
    })

    // -------------------------------------------------------------------------
    describe("rate", () => {
      const rate = (options: Parameters<typeof CircuitBreaker.rate>[0]) =>
        make({ tripPolicy: CircuitBreaker.rate(options) })

      test("opens at the threshold, not before minimumCalls", () =>
        Effect.gen(function*() {
          const breaker = yield* rate({ threshold: 0.5, size: 10, minimumCalls: 4 })
          yield* failTimes(breaker, 2)
          yield* succeed(breaker)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
          // The fourth call makes it count, though it is a success.
          yield* succeed(breaker)
          assert.strictEqual((yield* breaker.state(key))._tag, "Open")
        }))

      test("does not open below the threshold", () =>
        Effect.gen(function*() {
          const breaker = yield* rate({ threshold: 0.5, size: 10, minimumCalls: 3 })
          yield* succeed(breaker)
          yield* succeed(breaker)
          yield* failTimes(breaker, 1)
          yield* succeed(breaker)
          yield* failTimes(breaker, 1)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
          yield* failTimes(breaker, 1)
          assert.strictEqual((yield* breaker.state(key))._tag, "Open")
        }))

      test("takes size as minimumCalls, and half as threshold", () =>
        Effect.gen(function*() {
          const breaker = yield* rate({ size: 4 })
          yield* failTimes(breaker, 3)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
          yield* failTimes(breaker, 1)
          assert.strictEqual((yield* breaker.state(key))._tag, "Open")
        }))

      test("does not count Ignored", () =>
        Effect.gen(function*() {
          const breaker = yield* rate({ threshold: 0.5, size: 4, minimumCalls: 2 })
          yield* failTimes(breaker, 1)
          yield* ignore(breaker)
          yield* ignore(breaker)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
          yield* succeed(breaker)
          assert.strictEqual((yield* breaker.state(key))._tag, "Open")
        }))

      test("forgets what is older than size calls", () =>
        Effect.gen(function*() {
          const breaker = yield* rate({ threshold: 0.75, size: 4 })
          yield* failTimes(breaker, 2)
          yield* succeed(breaker)
          yield* succeed(breaker)
          // Of the last four calls, two are failures each time.
          yield* failTimes(breaker, 2)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
          yield* failTimes(breaker, 1)
          assert.strictEqual((yield* breaker.state(key))._tag, "Open")
        }))

      test("with a threshold of zero opens with the first failure, not before", () =>
        Effect.gen(function*() {
          const breaker = yield* rate({ threshold: 0, size: 4, minimumCalls: 1 })
          yield* succeed(breaker)
          yield* succeed(breaker)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
          yield* failTimes(breaker, 1)
          assert.strictEqual((yield* breaker.state(key))._tag, "Open")
        }))
    })

    // -------------------------------------------------------------------------
    describe("open time", () => {
      test("is lengthened by retryAfter up to maxOpenDuration, never shortened", () =>
        Effect.gen(function*() {
          const breaker = yield* make({ tripPolicy: CircuitBreaker.consecutive(1), maxOpenDuration: "1 minute" })
          const fail = (key: string, retryAfter: Duration.Input) =>
            Effect.fail("busy").pipe(
              breaker.execute({ key, classify: () => CircuitBreaker.failure({ retryAfter }) }),
              Effect.exit,
              Effect.andThen(breaker.state(key))
            )
          assert.deepInclude(yield* fail("longer", "30 seconds"), { retryAfter: Duration.seconds(30) })
          assert.deepInclude(yield* fail("too long", "1 hour"), { retryAfter: Duration.minutes(1) })
          assert.deepInclude(yield* fail("shorter", "1 second"), { retryAfter: Duration.seconds(10) })
        }))

      test("may be longer than maxOpenDuration by itself", () =>
        Effect.gen(function*() {
          const breaker = yield* make({ openDuration: "2 hours" })
          yield* failTimes(breaker, 2)
          assert.deepInclude(yield* breaker.state(key), { retryAfter: Duration.hours(2) })
        }))

      test("follows only the hint of the failure that opens the circuit", () =>
        Effect.gen(function*() {
          const breaker = yield* make()
          yield* Effect.fail("busy").pipe(
            breaker.execute({ key, classify: () => CircuitBreaker.failure({ retryAfter: "5 minutes" }) }),
            Effect.exit
          )
          yield* failTimes(breaker, 1)
          assert.deepInclude(yield* breaker.state(key), { retryAfter: Duration.seconds(10) })
        }))

      test("takes the n-th delay of a schedule at the n-th opening, and repeats the last", () =>
        Effect.gen(function*() {
          const breaker = yield* make({
            tripPolicy: CircuitBreaker.consecutive(1),
            openDuration: Schedule.exponential("1 second").pipe(Schedule.upTo({ times: 3 }))
          })
          for (const [index, seconds] of [1, 2, 4, 4, 4].entries()) {
            yield* failTimes(breaker, 1)
            assert.deepStrictEqual(yield* breaker.state(key), {
              _tag: "Open",
              key,
              retryAfter: Duration.seconds(seconds),
              consecutiveOpenings: index + 1
            })
            yield* TestClock.adjust(Duration.seconds(seconds))
          }
        }))

      test("measures the elapsed time of a schedule as the time spent open", () =>
        Effect.gen(function*() {
          const breaker = yield* make({
            tripPolicy: CircuitBreaker.consecutive(1),
            openDuration: Schedule.exponential("1 second").pipe(Schedule.upTo({ duration: "5 seconds" }))
          })
          for (const seconds of [1, 2, 4, 4]) {
            yield* failTimes(breaker, 1)
            assert.deepInclude(yield* breaker.state(key), { retryAfter: Duration.seconds(seconds) })
            yield* TestClock.adjust("1 hour")
          }
        }), layerStore({ idleTimeToLive: "1 day" }))

      const backoff = Effect.gen(function*() {
        const breaker = yield* make({
          tripPolicy: CircuitBreaker.consecutive(1),
          openDuration: Schedule.exponential("1 second")
        })
        yield* failTimes(breaker, 1)
        yield* TestClock.adjust("1 second")
        yield* failTimes(breaker, 1)
        yield* TestClock.adjust("2 seconds")
        yield* succeed(breaker)
        return breaker
      })

      test("goes on growing if the circuit has not stayed closed as long as it was last open", () =>
        Effect.gen(function*() {
          const breaker = yield* backoff
          yield* TestClock.adjust("1999 millis")
          yield* failTimes(breaker, 1)
          assert.deepInclude(yield* breaker.state(key), {
            retryAfter: Duration.seconds(4),
            consecutiveOpenings: 3
          })
        }))

      test("starts again once the circuit has stayed closed as long as it was last open", () =>
        Effect.gen(function*() {
          const breaker = yield* backoff
          yield* TestClock.adjust("2 seconds")
          yield* failTimes(breaker, 1)
          assert.deepInclude(yield* breaker.state(key), {
            retryAfter: Duration.seconds(1),
            consecutiveOpenings: 1
          })
        }))

      test("counts a hint as part of how long the circuit was last open", () =>
        Effect.gen(function*() {
          const breaker = yield* make({ tripPolicy: CircuitBreaker.consecutive(1) })
          yield* Effect.fail("busy").pipe(
            breaker.execute({ key, classify: () => CircuitBreaker.failure({ retryAfter: "30 seconds" }) }),
            Effect.exit
          )
          yield* TestClock.adjust("30 seconds")
          yield* succeed(breaker)
          yield* TestClock.adjust("29 seconds")
          yield* failTimes(breaker, 1)
          assert.deepInclude(yield* breaker.state(key), { consecutiveOpenings: 2 })
        }))
    })

    // -------------------------------------------------------------------------
    describe("idle keys", () => {
      const store = layerStore({ idleTimeToLive: "1 minute" })

      test("are kept until idleTimeToLive", () =>
        Effect.gen(function*() {
          const breaker = yield* make()
          yield* failTimes(breaker, 1)
          yield* TestClock.adjust("59999 millis")
          yield* failTimes(breaker, 1)
          assert.strictEqual((yield* breaker.state(key))._tag, "Open")
        }), store)

      test("are dropped at idleTimeToLive", () =>
        Effect.gen(function*() {
          const breaker = yield* make()
          yield* failTimes(breaker, 1)
          yield* TestClock.adjust("1 minute")
          yield* failTimes(breaker, 1)
          assert.strictEqual((yield* breaker.state(key))._tag, "Closed")
        }), store)

      test("are not idle while calls come", () =>
        Effect.gen(function*() {
          const breaker = yield* make({ tripPolicy: CircuitBreaker.consecutive(4) })
          for (let i = 0; i < 4; i++) {
            yield* failTimes(breaker, 1)
            yield* TestClock.adjust("40 seconds")
          }
          assert.strictEqual((yield* breaker.state(key))._tag, "Open")
        }), store)

      test("are kept past their open time, and then start again", () =>
        Effect.gen(function*() {
          const breaker = yield* make({ openDuration: "2 minutes" })
          yield* failTimes(breaker, 2)
          yield* TestClock.adjust("179999 millis")
          assert.strictEqual((yield* breaker.state(key))._tag, "Open")
          yield* TestClock.adjust("1 millis")
          assert.deepStrictEqual(yield* breaker.state(key), { _tag: "Closed", key })
          yield* failTimes(breaker, 2)
          assert.deepInclude(yield* breaker.state(key), { consecutiveOpenings: 1 })
        }), store)

      test("are never dropped while their probe runs", () =>
        Effect.gen(function*() {
          const breaker = yield* make()
          yield* failTimes(breaker, 2)
          yield* TestClock.adjust("10 seconds")
          const probe = yield* hold(breaker, Effect.void)
          yield* TestClock.adjust("1 hour")
          assert.strictEqual((yield* breaker.state(key))._tag, "HalfOpen")
          assert.strictEqual(yield* rejection(breaker), "CircuitHalfOpen")
          yield* Fiber.interrupt(probe.fiber)
          yield* TestClock.adjust("1 minute")
          assert.deepStrictEqual(yield* breaker.state(key), { _tag: "Closed", key })
        }), store)
    })

    // -------------------------------------------------------------------------
    describe("transitions", () => {
      /** Runs `use` with a breaker whose scope then ends, and returns the transitions it made. */
      const transitionsOf = <E, R>(
        use: (breaker: Breaker) => Effect.Effect<void, E, R>,
        options: Partial<BreakerOptions> = {}
      ) =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          const breaker = yield* Scope.provide(make(options), scope)
          const seen = yield* watch(breaker)
          yield* use(breaker)
          yield* Scope.close(scope, Exit.void)
          return yield* Fiber.join(seen)
        })

      test("are the legal edges, in order, and end with the scope", () =>
        Effect.gen(function*() {
          const seen = yield* transitionsOf(Effect.fnUntraced(function*(breaker) {
            yield* failTimes(breaker, 2)
            yield* TestClock.adjust("10 seconds")
            yield* failTimes(breaker, 1)
            yield* TestClock.adjust("10 seconds")
            yield* ignore(breaker)
            yield* succeed(breaker)
          }))
          const opened = { key, to: "Open", retryAfter: Duration.seconds(10) } as const
          assert.deepStrictEqual(seen, [
            { ...opened, from: "Closed", consecutiveOpenings: 1 },
            { key, from: "Open", to: "HalfOpen" },
            { ...opened, from: "HalfOpen", consecutiveOpenings: 2 },
            { key, from: "Open", to: "HalfOpen" },
            { key, from: "HalfOpen", to: "Closed" }
          ])
        }))

      test("name their keys", () =>
        Effect.gen(function*() {
          const seen = yield* transitionsOf(Effect.fnUntraced(function*(breaker) {
            yield* failTimes(breaker, 2, "a")
            yield* failTimes(breaker, 2, "b")
          }))
          assert.deepStrictEqual(seen.map((transition) => transition.key), ["a", "b"])
        }))

      test("carry an opening's hint in retryAfter", () =>
        Effect.gen(function*() {
          const seen = yield* transitionsOf((breaker) =>
            Effect.fail("busy").pipe(
              breaker.execute({ key, classify: () => CircuitBreaker.failure({ retryAfter: "30 seconds" }) }),
              Effect.exit,
              Effect.asVoid
            ), { tripPolicy: CircuitBreaker.consecutive(1) })
          assert.deepInclude(seen[0], { to: "Open", retryAfter: Duration.seconds(30) })
        }))

      test("show one opening for 20 failures at once", () =>
        Effect.gen(function*() {
          const seen = yield* transitionsOf((breaker) =>
            Effect.forEach(
              Array.from({ length: 20 }),
              () => Effect.exit(breaker.execute(Effect.andThen(Effect.yieldNow, Effect.fail("boom")), { key })),
              { concurrency: "unbounded", discard: true }
            )
          )
          assert.deepStrictEqual(seen.map(({ from, to }) => [from, to]), [["Closed", "Open"]])
        }))

      test("are those of this breaker, not of others on the same circuit", () =>
        Effect.gen(function*() {
          const seen = yield* transitionsOf(Effect.fnUntraced(function*(breaker) {
            yield* failTimes(yield* make(), 2)
            yield* TestClock.adjust("10 seconds")
            yield* succeed(breaker)
          }))
          assert.deepStrictEqual(seen.map(({ from, to }) => [from, to]), [["Open", "HalfOpen"], ["HalfOpen", "Closed"]])
        }))

      test("of before are not shown to a late subscriber", () =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          const breaker = yield* Scope.provide(make(), scope)
          yield* failTimes(breaker, 2)
          const seen = yield* watch(breaker)
          yield* Scope.close(scope, Exit.void)
          assert.deepStrictEqual(yield* Fiber.join(seen), [])
        }))
    })

    // -------------------------------------------------------------------------
    describe("interruption", () => {
      const calls: Record<string, (breaker: Breaker) => Effect.Effect<unknown, unknown>> = {
        "a call": (breaker) => Effect.yieldNow.pipe(breaker.execute({ key })),
        "a failing call": (breaker) => Effect.fail("boom").pipe(breaker.execute({ key })),
        "a call with classify": (breaker) =>
          Effect.yieldNow.pipe(breaker.execute({ key, classify: () => CircuitBreaker.success })),
        "a call with an effectful classify": (breaker) =>
          Effect.fail("boom").pipe(
            breaker.execute({ key, classify: () => Effect.as(Effect.yieldNow, CircuitBreaker.failure()) })
          ),
        "a call with a classify that dies": (breaker) =>
          Effect.fail("boom").pipe(
            breaker.execute({ key, classify: () => Effect.andThen(Effect.yieldNow, Effect.die("classify")) })
          ),
        "a call that is awaited in a finalizer": (breaker) =>
          Effect.ensuring(Effect.yieldNow, Effect.ignoreCause(breaker.execute(Effect.yieldNow, { key })))
      }
      for (const [what, call] of Object.entries(calls)) {
        test(`at any operation of ${what} leaves no probe behind`, () =>
          Effect.gen(function*() {
            const breaker = yield* make()
            const recovering = Effect.andThen(failTimes(breaker, 2), TestClock.adjust("10 seconds"))
            const tags = new Set<string>()
            yield* recovering
            const operations = yield* interruptEverywhere(call(breaker), () =>
              Effect.gen(function*() {
                const state = yield* breaker.state(key)
                tags.add(state._tag)
                if (state._tag === "HalfOpen") assert.isFalse(state.probing)
                if (state._tag === "Open") yield* TestClock.adjust("10 seconds")
                yield* succeed(breaker)
                yield* recovering
              }).pipe(Effect.orDie))
            assert.isAbove(operations, 3)
            assert.isAbove(tags.size, 1)
          }))
      }
    })

    // -------------------------------------------------------------------------
    describe("HttpClient.withCircuitBreaker", () => {
      const guarded = Effect.gen(function*() {
        const breaker = yield* make({ maxOpenDuration: "5 minutes" })
        let requests = 0
        let respond: () => Effect.Effect<Response, string> = () => Effect.succeed(new Response("ok"))
        const client = HttpClient.make((request) =>
          Effect.suspend(() => {
            requests++
            return respond()
          }).pipe(
            Effect.map((response) => HttpClientResponse.fromWeb(request, response)),
            Effect.mapError((cause) =>
              new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
            )
          )
        ).pipe(HttpClient.withCircuitBreaker({ breaker }))
        return {
          breaker,
          client,
          requests: () => requests,
          /** What the server does from now on. */
          answer: (status: number, headers: Record<string, string> = {}) => {
            respond = () => Effect.succeed(new Response(null, { status, headers }))
          },
          refuse: () => {
            respond = () => Effect.fail("ECONNREFUSED")
          },
          get: Effect.asVoid(Effect.exit(client.get("https://api.example.com/quotes?symbol=A")))
        }
      })
      const origin = "https://api.example.com"

      test("opens the circuit of the origin on 503 and closes it when the server is back", () =>
        Effect.gen(function*() {
          const { answer, breaker, client, get, requests } = yield* guarded
          answer(503)
          yield* get
          yield* get
          assert.strictEqual((yield* breaker.state(origin))._tag, "Open")
          const error = yield* Effect.flip(client.get("https://api.example.com/other"))
          assert.strictEqual(error._tag, "CircuitBreakerError")
          assert.strictEqual(error.reason._tag, "CircuitOpen")
          assert.strictEqual(requests(), 2)
          yield* client.get("https://other.example.com/")
          yield* TestClock.adjust("10 seconds")
          answer(200)
          const response = yield* client.get("https://api.example.com/other")
          assert.strictEqual(response.status, 200)
          assert.strictEqual((yield* breaker.state(origin))._tag, "Closed")
        }))

      test("counts a transport error as a failure", () =>
        Effect.gen(function*() {
          const { breaker, get, refuse } = yield* guarded
          refuse()
          yield* get
          yield* get
          assert.strictEqual((yield* breaker.state(origin))._tag, "Open")
        }))

      test("counts 404 as a success", () =>
        Effect.gen(function*() {
          const { answer, breaker, get } = yield* guarded
          answer(503)
          yield* get
          answer(404)
          yield* get
          answer(503)
          yield* get
          assert.strictEqual((yield* breaker.state(origin))._tag, "Closed")
        }))

      test("ignores 429", () =>
        Effect.gen(function*() {
          const { answer, breaker, get } = yield* guarded
          answer(503)
          yield* get
          answer(429, { "retry-after": "60" })
          yield* get
          assert.strictEqual((yield* breaker.state(origin))._tag, "Closed")
          answer(503)
          yield* get
          assert.strictEqual((yield* breaker.state(origin))._tag, "Open")
        }))

      test("honours Retry-After in seconds, as a date, and up to maxOpenDuration", () =>
        Effect.gen(function*() {
          const { answer, breaker, get } = yield* guarded
          const openFor = Effect.gen(function*() {
            yield* get
            const state = yield* breaker.state(origin)
            assert.strictEqual(state._tag, "Open")
            return state._tag === "Open" ? Duration.toSeconds(state.retryAfter) : undefined
          })
          answer(503, { "retry-after": "60" })
          yield* get
          assert.strictEqual(yield* openFor, 60)
          yield* TestClock.adjust("60 seconds")
          answer(503, { "retry-after": "3600" })
          assert.strictEqual(yield* openFor, 300)
          yield* TestClock.adjust("300 seconds")
          const now = yield* Clock.currentTimeMillis
          answer(503, { "retry-after": new Date(now + 90_000).toUTCString() })
          assert.strictEqual(yield* openFor, 90)
        }))

      test("takes a key and a classify of its own", () =>
        Effect.gen(function*() {
          const breaker = yield* make()
          const teapot = HttpClient.make((request) =>
            Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 418 })))
          ).pipe(HttpClient.withCircuitBreaker({
            breaker,
            key: (request) => `tenant:${HttpClientRequest.toUrl(request).pipe((url) => url._tag)}`,
            classify: (exit) =>
              Exit.isSuccess(exit) && exit.value.status === 418
                ? CircuitBreaker.failure()
                : HttpClient.circuitBreakerClassifier(exit)
          }))
          yield* teapot.get("https://api.example.com/")
          yield* teapot.get("https://api.example.com/")
          assert.strictEqual((yield* breaker.state("tenant:Some"))._tag, "Open")
        }))
    })
  })
}

class Judge extends Context.Service<Judge, Effect.Effect<CircuitBreaker.Outcome>>()("test/Judge") {}

// -----------------------------------------------------------------------------
// calls
// -----------------------------------------------------------------------------

export const key = "payments"

export const failTimes = (breaker: Breaker, times: number, name = key) =>
  Effect.fail("boom").pipe(breaker.execute({ key: name }), Effect.exit, Effect.repeat({ times: times - 1 }))

export const succeed = (breaker: Breaker, name = key) => breaker.execute(Effect.void, { key: name })

export const ignore = (breaker: Breaker, name = key) =>
  breaker.execute(Effect.void, { key: name, classify: () => CircuitBreaker.ignored })

/** The reason for which a call is rejected. It has to be. */
export const rejection = (breaker: Breaker, name = key) =>
  succeed(breaker, name).pipe(
    Effect.flip,
    Effect.map((error) => error.reason._tag),
    Effect.mapError(() => new Error("The call was not rejected")),
    Effect.orDie
  )

/** Starts a call that is in flight until `finish`, and then ends as `self` does. */
export const hold = <A, E>(breaker: Breaker, self: Effect.Effect<A, E>, name = key) =>
  Effect.gen(function*() {
    const gate = yield* Deferred.make<void>()
    const fiber = yield* Deferred.await(gate).pipe(
      Effect.andThen(self),
      breaker.execute({ key: name }),
      Effect.forkChild({ startImmediately: true })
    )
    return { fiber, finish: Effect.andThen(Deferred.succeed(gate, undefined), Fiber.await(fiber)) }
  })

/** Listens from now on, until the stream ends. */
export const watch = (breaker: Breaker) =>
  breaker.transitions.pipe(Stream.runCollect, Effect.forkChild({ startImmediately: true }))

export const reasons = (exit: Exit.Exit<unknown, unknown>): ReadonlyArray<string> =>
  Exit.isSuccess(exit) ? [] : exit.cause.reasons.map((reason) =>
    Cause.isFailReason(reason)
      ? `Fail: ${String(reason.error)}`
      : Cause.isDieReason(reason)
      ? `Die: ${String(reason.defect)}`
      : "Interrupt"
  )
