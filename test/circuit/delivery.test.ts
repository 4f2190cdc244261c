import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, type CircuitEvent, CircuitPolicy, Outcome } from "effect-resilience"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { type Breaker, fail, halfOpen, make, settle, succeed, touchy, watch } from "../support/circuits.ts"

/** Two probes at once, two successes to close. */
const twice: CircuitPolicy.Options = { ...touchy, halfOpenMaxCalls: 2, successThreshold: 2 }

const counts = (breaker: Breaker) =>
  Effect.map(
    breaker.metrics,
    ({ failedCalls, ignoredCalls, lateCalls, rejectedCalls, state, successfulCalls }) => ({
      state,
      success: successfulCalls,
      failure: failedCalls,
      ignored: ignoredCalls,
      late: lateCalls,
      rejected: rejectedCalls
    })
  )

/** A half-open circuit that has counted nothing yet, and the permit of a probe of it with its scope. */
const probing = (options: CircuitPolicy.Options) =>
  Effect.gen(function*() {
    const breaker = yield* make(options)
    yield* breaker.forceOpen({ duration: 0 })
    const scope = yield* Scope.make()
    const permit = yield* Scope.provide(breaker.permit, scope)
    return { breaker, permit, close: (exit: Exit.Exit<unknown, unknown>) => Scope.close(scope, exit) }
  })

describe("permit.delivered", () => {
  it.effect("is the verdict of a probe, and frees its slot, while the call goes on", () =>
    Effect.gen(function*() {
      const { breaker, close, permit } = yield* probing({ ...twice, halfOpenMaxCalls: 1 })
      assert.isFalse(yield* breaker.isAvailable)
      yield* permit.delivered
      assert.deepInclude(yield* breaker.metrics, {
        state: "HalfOpen",
        isAvailable: true,
        probesInFlight: 0,
        probeSuccesses: 1,
        callsInFlight: 1,
        successfulCalls: 0
      })
      yield* permit.delivered
      assert.strictEqual((yield* breaker.metrics).probeSuccesses, 1)
      yield* close(Exit.void)
      assert.deepInclude(yield* breaker.metrics, { state: "HalfOpen", callsInFlight: 0, successfulCalls: 1 })
    }))

  it.effect("closes a circuit that needs no more, and a failure afterwards is late", () =>
    Effect.gen(function*() {
      const { breaker, permit } = yield* probing(touchy)
      yield* permit.delivered
      assert.strictEqual(yield* breaker.state, "Closed")
      yield* permit.failure()
      assert.deepInclude(yield* counts(breaker), { state: "Closed", failure: 0, late: 1 })
    }))

  it.effect("is taken back by a failure while the circuit is still in the period that admitted the call", () =>
    Effect.gen(function*() {
      const { breaker, permit } = yield* probing(twice)
      const events = yield* watch(breaker.events)
      yield* permit.delivered
      yield* permit.failure({ retryAfter: "5 minutes", error: "reset by peer" })
      assert.deepInclude(yield* counts(breaker), { state: "Open", success: 0, failure: 1, late: 0 })
      const { lastFailure, probesInFlight, timeUntilRetry } = yield* breaker.metrics
      assert.strictEqual(Duration.toMinutes(timeUntilRetry!), 5)
      assert.deepStrictEqual(lastFailure, { error: "string", message: "reset by peer" })
      assert.strictEqual(probesInFlight, 0)
      assert.deepStrictEqual(
        (yield* events).map((event) => event._tag === "StateChanged" ? event.reason : event._tag),
        ["CallEnded", "ProbeFailed"]
      )
    }))

  it.effect("takes the place of its success in a sample, so that one call has one verdict", () =>
    Effect.gen(function*() {
      const sample = { ...touchy, halfOpenMaxCalls: 9, halfOpenSample: { calls: 3, failureRate: 0.5 } }
      const { breaker, permit } = yield* probing(sample)
      yield* permit.delivered
      yield* permit.failure()
      assert.strictEqual(yield* breaker.state, "HalfOpen")
      assert.strictEqual((yield* breaker.metrics).probeSuccesses, 0)
      yield* succeed(breaker, 2)
      assert.strictEqual(yield* breaker.state, "Closed")
    }))

  it.effect("leaves nothing below zero if the circuit was reconfigured in between", () =>
    Effect.gen(function*() {
      const sample = { ...touchy, halfOpenMaxCalls: 9, halfOpenSample: { calls: 9, failureRate: 0.5 } }
      const { breaker, permit } = yield* probing(sample)
      yield* permit.delivered
      yield* breaker.reconfigure(CircuitPolicy.make({ ...sample, successThreshold: 7 }))
      yield* permit.failure()
      assert.deepInclude(yield* breaker.metrics, { state: "HalfOpen", probeSuccesses: 0, probesInFlight: 0 })
    }))

  it.effect("of a slow probe is no success where slow calls open the circuit", () =>
    Effect.gen(function*() {
      const { breaker, permit } = yield* probing({ ...touchy, slowCallDuration: "1 second", slowCallRate: 0.5 })
      yield* TestClock.adjust("1001 millis")
      yield* permit.delivered
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  it.effect("of a probe that was too late to count does not count", () =>
    Effect.gen(function*() {
      const { breaker, permit } = yield* probing({ ...touchy, halfOpenTimeout: "20 seconds" })
      yield* TestClock.adjust("20 seconds")
      yield* permit.delivered
      assert.strictEqual(yield* breaker.state, "Open")
      yield* permit.success
      assert.deepInclude(yield* counts(breaker), { success: 0, late: 1 })
    }))

  it.effect("of a probe that has delivered does not time out any more", () =>
    Effect.gen(function*() {
      const { breaker, permit } = yield* probing({ ...twice, halfOpenTimeout: "20 seconds" })
      yield* permit.delivered
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* breaker.state, "HalfOpen")
      yield* permit.failure()
      assert.deepInclude(yield* counts(breaker), { state: "Open", failure: 1 })
    }))

  it.effect("changes nothing in a closed circuit before the end", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* Effect.scoped(Effect.gen(function*() {
        const permit = yield* breaker.permit
        yield* permit.delivered
        assert.deepInclude(yield* breaker.metrics, { callsInWindow: 0, callsInFlight: 1 })
        yield* permit.failure()
      }))
      assert.deepInclude(yield* counts(breaker), { state: "Open", success: 0, failure: 1 })
    }))

  it.effect("makes a success of a scope that ends well without a report", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* Effect.scoped(Effect.flatMap(breaker.permit, (permit) => permit.delivered))
      assert.deepInclude(yield* counts(breaker), { success: 1, ignored: 0 })
    }))

  it.effect("says nothing once the call has ended, and nothing in a disabled circuit", () =>
    Effect.gen(function*() {
      const { breaker, permit } = yield* probing(twice)
      yield* permit.success
      yield* permit.delivered
      assert.strictEqual((yield* breaker.metrics).probeSuccesses, 1)

      yield* breaker.disable
      yield* Effect.scoped(Effect.flatMap(breaker.permit, ({ delivered }) => delivered))
      assert.deepInclude(yield* breaker.metrics, { callsInFlight: 0, totalCalls: 1 })
    }))
})

describe("a verdict without admission, in any order with what else happens", () => {
  type Step =
    | "delivered"
    | "success"
    | "failure"
    | "ignore"
    | "interrupt"
    | "other succeeds"
    | "other fails"
    | "wait"
    | "forceClose"
    | "forceOpen"
    | "reset"
  const steps: ReadonlyArray<Step> = [
    "delivered",
    "success",
    "failure",
    "ignore",
    "interrupt",
    "other succeeds",
    "other fails",
    "wait",
    "forceClose",
    "forceOpen",
    "reset"
  ]
  const zero = { success: 0, failure: 0, ignored: 0, late: 0, rejected: 0 }

  /** What the rules say, on their own. */
  const expected = (sequence: ReadonlyArray<Step>) => {
    let state = "HalfOpen" as CircuitEvent.CircuitState
    let tally = { ...zero }
    let successes = 0
    let admittedHere = true
    let delivered = false
    let ended = false
    const leave = (to: CircuitEvent.CircuitState) => {
      state = to
      successes = 0
      admittedHere = false
    }
    const succeeds = () => {
      if (state === "HalfOpen" && ++successes === 2) leave("Closed")
    }
    const end = (outcome: "success" | "failure" | "ignored") => {
      if (ended) return
      ended = true
      if (delivered && outcome !== "failure") tally.success++
      else if (outcome === "ignored") tally.ignored++
      else if (!admittedHere) tally.late++
      else {
        tally[outcome]++
        if (outcome === "failure") leave("Open")
        else succeeds()
      }
    }
    for (const step of sequence) {
      switch (step) {
        case "delivered":
          if (!ended && admittedHere && !delivered) {
            delivered = true
            succeeds()
          }
          break
        case "success":
        case "failure":
          end(step)
          break
        case "ignore":
        case "interrupt":
          end("ignored")
          break
        case "other succeeds":
        case "other fails":
          if (state === "Open" || state === "ForcedOpen") tally.rejected++
          else if (step === "other fails") {
            tally.failure++
            leave("Open")
          } else {
            tally.success++
            succeeds()
          }
          break
        case "wait":
          if (state === "Open") leave("HalfOpen")
          break
        case "forceClose":
          if (state !== "Closed") leave("Closed")
          break
        case "forceOpen":
          if (state !== "ForcedOpen") leave("ForcedOpen")
          break
        case "reset":
          leave("Closed")
          tally = { ...zero }
      }
    }
    return { state, ...tally, probeSuccesses: successes }
  }

  const sequences = steps.flatMap((one) => steps.flatMap((two) => steps.map((three) => [one, two, three])))

  it.effect(`of ${sequences.length} orders of three steps, each ends as the rules say`, () =>
    Effect.gen(function*() {
      for (const start of sequences) {
        const { breaker, close, permit } = yield* probing(twice)
        const sequence: ReadonlyArray<Step> = [...start, "interrupt"]
        for (const step of sequence) {
          switch (step) {
            case "failure":
              yield* permit.failure()
              break
            case "interrupt":
              yield* close(Exit.interrupt())
              break
            case "other succeeds":
              yield* succeed(breaker)
              break
            case "other fails":
              yield* fail(breaker)
              break
            case "wait":
              // An open time doubles with nothing that is done here.
              yield* TestClock.adjust("10 seconds")
              break
            case "forceOpen":
              yield* breaker.forceOpen()
              break
            case "forceClose":
            case "reset":
              yield* breaker[step]
              break
            default:
              yield* permit[step]
          }
          const { callsInFlight, probesInFlight } = yield* breaker.metrics
          assert.isTrue(probesInFlight >= 0 && probesInFlight <= callsInFlight, sequence.join(", "))
        }
        const { callsInFlight, probeSuccesses, probesInFlight } = yield* breaker.metrics
        assert.deepStrictEqual(
          { ...(yield* counts(breaker)), probeSuccesses, callsInFlight, probesInFlight },
          { ...expected(sequence), callsInFlight: 0, probesInFlight: 0 },
          sequence.join(", ")
        )
      }
    }), 60_000)
})

describe("permit.pull", () => {
  it.effect("counts the time within, and that before the first pull, and no other", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ measureDuration: true })
      const fiber = yield* Effect.forkChild(
        Effect.scoped(Effect.gen(function*() {
          const permit = yield* breaker.permit
          yield* Effect.sleep("1 second")
          yield* permit.pull(Effect.sleep("2 seconds"))
          yield* Effect.sleep("1 minute")
          yield* permit.pull(Effect.sleep("4 seconds"))
          yield* Effect.sleep("1 minute")
          yield* permit.success
        })),
        { startImmediately: true }
      )
      yield* TestClock.adjust("5 minutes")
      yield* Fiber.join(fiber)
      assert.strictEqual(Duration.toSeconds((yield* breaker.metrics).averageResponseTime!), 7)
    }))

  it.effect("delivers if it succeeds, and not if it fails", () =>
    Effect.gen(function*() {
      const { breaker, permit } = yield* probing(touchy)
      assert.strictEqual(yield* Effect.flip(permit.pull(Effect.fail("down"))), "down")
      assert.strictEqual(yield* breaker.state, "HalfOpen")
      assert.strictEqual(yield* permit.pull(Effect.succeed(1)), 1)
      assert.strictEqual(yield* breaker.state, "Closed")
    }))
})

describe("permit.conclude", () => {
  it.effect("judges an exit as a call's, by its own classifier or the policy's", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ classify: Outcome.ignoreIf((error) => error === "mine") })
      const conclude = (
        exit: Exit.Exit<string, string>,
        options?: CircuitBreaker.CallOptions<string, string>
      ) => Effect.scoped(Effect.flatMap(breaker.permit, (permit) => permit.conclude(exit, options)))
      yield* conclude(Exit.succeed("ok"))
      yield* conclude(Exit.fail("mine"))
      yield* conclude(Exit.fail("down"))
      yield* conclude(Exit.fail("mine"), { classify: () => Outcome.failure() })
      yield* conclude(Exit.interrupt())
      assert.deepInclude(yield* counts(breaker), { success: 1, failure: 2, ignored: 2 })
    }))
})

describe("a permit whose scope ends well without a report", () => {
  // migration: protect(timeout=…)
  it.effect("counts as the policy says", () =>
    Effect.gen(function*() {
      for (const [countUnreported, expected] of [["success", 1], ["ignored", 0]] as const) {
        const breaker = yield* make({ countUnreported })
        yield* Effect.scoped(breaker.permit)
        yield* Effect.exit(Effect.scoped(Effect.andThen(breaker.permit, Effect.interrupt)))
        assert.deepInclude(yield* counts(breaker), { success: expected, ignored: 2 - expected })
      }
    }))
})

describe("a stream through a circuit", () => {
  const run = <A, E>(breaker: Breaker, stream: Stream.Stream<A, E>, options?: CircuitBreaker.StreamOptions<E>) =>
    Effect.forkChild(
      Stream.runDrain(CircuitBreaker.withCircuitBreakerStream(stream, breaker, options)),
      { startImmediately: true }
    )

  const elementThen = (end: Effect.Effect<void, string>) => Stream.concat(Stream.make(1), Stream.fromEffect(end))

  it.effect("that is a probe closes it with its first element, however long it runs", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* halfOpen(breaker)
      yield* run(breaker, Stream.tick("1 second"))
      yield* settle
      assert.strictEqual(yield* breaker.state, "Closed")
      yield* TestClock.adjust("1 hour")
      assert.deepInclude(yield* breaker.metrics, { state: "Closed", callsInFlight: 1, lateCalls: 0 })
    }))

  it.effect("that is a probe holds its slot until its first element", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, successThreshold: 2 })
      yield* halfOpen(breaker)
      yield* run(breaker, Stream.concat(Stream.fromEffect(Effect.sleep("1 second")), Stream.never))
      yield* settle
      assert.strictEqual((yield* breaker.metrics).probesInFlight, 1)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* breaker.metrics, { probesInFlight: 0, probeSuccesses: 1, isAvailable: true })
    }))

  it.effect("that is a probe and fails after an element opens a circuit that is still half-open", () =>
    Effect.gen(function*() {
      const breaker = yield* make(twice)
      yield* halfOpen(breaker)
      const fiber = yield* run(breaker, elementThen(Effect.andThen(Effect.sleep("1 second"), Effect.fail("reset"))))
      yield* settle
      assert.strictEqual((yield* breaker.metrics).probeSuccesses, 1)
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)))
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  it.effect("that is a probe and fails after its circuit has closed is late", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* halfOpen(breaker)
      yield* run(breaker, elementThen(Effect.andThen(Effect.sleep("1 second"), Effect.fail("reset"))))
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* counts(breaker), { state: "Closed", failure: 1, late: 1 })
    }))

  it.effect("admitted while it was closed has one verdict, at its end", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* run(breaker, elementThen(Effect.andThen(Effect.sleep("1 second"), Effect.fail("reset"))))
      yield* settle
      assert.strictEqual((yield* breaker.metrics).callsInWindow, 0)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* counts(breaker), { state: "Open", success: 0, failure: 1 })
    }))

  it.effect("is as slow as the dependency, not as its reader", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ slowCallDuration: "2 seconds", slowCallRate: 0.5, minimumCalls: 1 })
      const read = Stream.fromEffectRepeat(Effect.sleep("100 millis")).pipe(
        Stream.take(10),
        CircuitBreaker.withCircuitBreakerStream(breaker),
        Stream.runForEach(() => Effect.sleep("1 second"))
      )
      yield* Effect.forkChild(read, { startImmediately: true })
      yield* TestClock.adjust("20 seconds")
      const { averageResponseTime, slowCallRate, successfulCalls } = yield* breaker.metrics
      assert.deepStrictEqual([successfulCalls, slowCallRate, Duration.toSeconds(averageResponseTime!)], [1, 0, 1])
    }))

  it.effect("that is slow itself counts as slow", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ slowCallDuration: "2 seconds", slowCallRate: 0.5, minimumCalls: 1 })
      yield* run(breaker, Stream.take(Stream.fromEffectRepeat(Effect.sleep("1 second")), 3))
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  it.effect("that its consumer leaves while it works has taken the time until then", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ measureDuration: true })
      const read = Stream.concat(Stream.fromEffect(Effect.sleep("1 second")), Stream.never).pipe(
        CircuitBreaker.withCircuitBreakerStream(breaker),
        Stream.runForEach(() => Effect.andThen(Effect.sleep("1 minute"), Effect.fail("consumer")))
      )
      yield* Effect.forkChild(read, { startImmediately: true })
      yield* TestClock.adjust("2 minutes")
      const { averageResponseTime, successfulCalls } = yield* breaker.metrics
      assert.deepStrictEqual([successfulCalls, Duration.toSeconds(averageResponseTime!)], [1, 1])
    }))

  it.effect("that fails is judged by the classifier of the call", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const fiber = yield* run(breaker, Stream.fail("not found"), {
        classify: (exit) => Exit.isFailure(exit) ? Outcome.success : undefined
      })
      assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)))
      assert.deepInclude(yield* counts(breaker), { state: "Closed", success: 1 })
    }))

  it.effect("whose classifier throws dies and gives its slot back", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* halfOpen(breaker)
      const fiber = yield* run(breaker, Stream.fail("down"), {
        classify: () => {
          throw new Error("classifier")
        }
      })
      assert.isTrue(Exit.hasDies(yield* Fiber.await(fiber)))
      assert.deepInclude(yield* breaker.metrics, { state: "HalfOpen", isAvailable: true, callsInFlight: 0 })
    }))

  it.effect("whose reader is interrupted counts as failed if it has waited long enough for the next element", () =>
    Effect.gen(function*() {
      const interrupted = (stream: Stream.Stream<void>, work: Duration.Input) =>
        Effect.gen(function*() {
          const breaker = yield* make({ interruptedAfter: "2 seconds" })
          const fiber = yield* stream.pipe(
            CircuitBreaker.withCircuitBreakerStream(breaker),
            Stream.runForEach(() => Effect.sleep(work)),
            Effect.forkChild({ startImmediately: true })
          )
          yield* TestClock.adjust("10 seconds")
          yield* Fiber.interrupt(fiber)
          const { failure, ignored } = yield* counts(breaker)
          return failure === 1 ? "failure" : ignored === 1 ? "ignored" : "nothing"
        })
      const after = (duration: Duration.Input) => Stream.fromEffectRepeat(Effect.sleep(duration))
      assert.strictEqual(yield* interrupted(Stream.never, 0), "failure")
      assert.strictEqual(yield* interrupted(Stream.concat(Stream.make(undefined), Stream.never), 0), "failure")
      // Eight seconds of work, and the interruption comes as long after the last element.
      assert.strictEqual(
        yield* interrupted(Stream.concat(Stream.make(undefined), Stream.never), "8500 millis"),
        "ignored"
      )
      assert.strictEqual(yield* interrupted(Stream.make(undefined), "1 minute"), "ignored")
      assert.strictEqual(yield* interrupted(after("1900 millis"), 0), "ignored")
    }))

  it.effect("that goes through the same circuit again is one probe", () =>
    Effect.gen(function*() {
      const breaker = yield* make(twice)
      yield* halfOpen(breaker)
      const rows = Stream.fromEffect(breaker.execute(Effect.succeed(1)))
      const fiber = yield* run(breaker, rows)
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber)))
      assert.deepInclude(yield* breaker.metrics, { probeSuccesses: 1, successfulCalls: 1, rejectedCalls: 0 })
    }))
})
