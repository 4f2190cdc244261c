import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, Outcome } from "effect-resilience"
import { Context, Deferred, Duration, Effect, Exit, Scope } from "effect"
import { TestClock, TestConsole } from "effect/testing"
import {
  call,
  changes,
  fail,
  halfOpen,
  hold,
  make,
  rejection,
  repeat,
  settle,
  slowly,
  state,
  succeed,
  touchy,
  watch
} from "../support/circuits.ts"

describe("listeners", () => {
  it.effect("hear of each call and each change, in order and numbered", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const events = yield* watch(breaker.events)
      yield* succeed(breaker)
      yield* fail(breaker)
      yield* rejection(breaker)
      yield* TestClock.adjust("10 seconds")
      yield* call(breaker, Effect.fail("?"), { classify: () => Outcome.ignored })
      yield* succeed(breaker)

      const seen = yield* events
      assert.deepStrictEqual(
        seen.map((event) => event._tag === "CallEnded" ? event.outcome : event._tag === "StateChanged" ? event.to : ""),
        ["Success", "Failure", "Open", "Rejected", "HalfOpen", "Ignored", "Success", "Closed"]
      )
      assert.deepStrictEqual(seen.map((event) => event.sequence), [1, 2, 3, 4, 5, 6, 7, 8])
      assert.isTrue(seen.every((event) => event.circuit === "dependency"))
    }))

  it.effect("hear of late calls", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const old = yield* hold(breaker)
      const left = yield* hold(breaker)
      yield* fail(breaker)
      const events = yield* watch(breaker.events)
      yield* old.succeed
      yield* left.interrupt
      const [late, ignored] = yield* events
      assert.deepInclude(late, { _tag: "CallEnded", outcome: "Late", state: "Open" })
      assert.deepInclude(ignored, { _tag: "CallEnded", outcome: "Ignored", state: "Open" })
    }))

  // migration: async event handlers get the circuit
  it.effect("are told what the circuit had counted and how long it had been as it was", () =>
    Effect.gen(function*() {
      const breaker = yield* make({
        ...touchy,
        failureRate: 0.5,
        minimumCalls: 4,
        window: { calls: 10 },
        consecutiveFailures: 9
      })
      const events = yield* watch(breaker.events)
      yield* succeed(breaker)
      yield* TestClock.adjust("5 seconds")
      yield* fail(breaker, 3)

      const event = (yield* events).find((event) => event._tag === "StateChanged")
      assert.deepInclude(event, {
        from: "Closed",
        to: "Open",
        reason: "FailureRate",
        consecutiveFailures: 3,
        failureRate: 0.75,
        slowCallRate: 0,
        calls: 4,
        openings: 1,
        note: undefined
      })
      if (event?._tag !== "StateChanged") return
      assert.strictEqual(Duration.toSeconds(event.elapsed), 5)
      assert.strictEqual(Duration.toSeconds(event.retryAfter), 10)
    }))

  it.effect("are not told stale counts when an operator moves a circuit that was idle", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ failureRate: 0.5, window: { duration: "60 seconds" } })
      yield* fail(breaker, 3)
      yield* TestClock.adjust("1 hour")
      const events = yield* watch(breaker.events)
      yield* breaker.forceOpen()
      const [event] = yield* events
      assert.deepInclude(event, { failureRate: 0, calls: 0 })
    }))

  it.effect("learn how long a call took if the policy measures that", () =>
    Effect.gen(function*() {
      const durations = yield* Effect.forEach([true, false], (measureDuration) =>
        Effect.gen(function*() {
          const breaker = yield* make({ consecutiveFailures: 5, window: { calls: 10 }, measureDuration })
          const events = yield* watch(breaker.events)
          yield* slowly(250, Effect.succeed(1))(breaker)
          const [event] = yield* events
          return event?._tag === "CallEnded" ? event.duration : undefined
        }))
      assert.deepStrictEqual(durations.map((duration) => duration && Duration.toMillis(duration)), [250, undefined])
    }))

  it.effect("learn how long a call took if it counts, and that only a call can be slow", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, slowCallRate: 1, slowCallDuration: "1 second", window: { calls: 10 } })
      const events = yield* watch(breaker.events)
      yield* TestClock.adjust("1 minute")
      yield* slowly(500, Effect.succeed(1))(breaker)
      const left = yield* hold(breaker)
      const slow = yield* hold(breaker)
      yield* TestClock.adjust("3 seconds")
      yield* left.interrupt
      yield* slow.fail
      yield* rejection(breaker)

      assert.deepStrictEqual(
        (yield* events).flatMap((event) =>
          event._tag === "CallEnded" ? [[event.outcome, event.slow, event.duration]] : []
        ),
        [
          ["Success", false, Duration.millis(500)],
          ["Ignored", false, undefined],
          ["Failure", true, Duration.seconds(3)],
          ["Rejected", false, undefined]
        ]
      )
    }))

  it.effect("hear what they asked for and nothing else", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const heard: Array<string> = []
      for (const tag of ["CallEnded", "StateChanged", "Reconfigured"] as const) {
        yield* breaker.on(tag, (event) => Effect.sync(() => heard.push(`${tag}: ${event._tag}`)))
      }
      yield* settle
      yield* fail(breaker)
      yield* breaker.reconfigure({ ...(yield* breaker.policy), consecutiveFailures: 3 })
      yield* settle

      assert.deepStrictEqual(heard.toSorted(), [
        "CallEnded: CallEnded",
        "Reconfigured: Reconfigured",
        "StateChanged: StateChanged"
      ])
    }))

  it.effect("that come late have missed what was before, and miss nothing after", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* fail(breaker)
      const events = yield* watch(breaker.events)
      assert.deepStrictEqual(yield* events, [])
      yield* breaker.forceClose
      assert.deepStrictEqual(changes(yield* events), ["Open -> Closed: Manual"])
    }))

  it.effect("that come again hear again", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      for (let i = 0; i < 3; i++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const events = yield* watch(breaker.events)
          yield* succeed(breaker)
          assert.strictEqual((yield* events).length, 1)
        }))
      }
    }))

  it.effect("each hear everything", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const both = [yield* watch(breaker.events), yield* watch(breaker.events)]
      yield* fail(breaker)
      for (const events of both) assert.strictEqual((yield* events).length, 2)
    }))

  it.effect("that fall 1,024 events behind lose the oldest, and see so by the numbers", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const seen: Array<number> = []
      const gate = yield* Deferred.make<void>()
      yield* breaker.on("CallEnded", (event) =>
        Effect.andThen(
          Deferred.await(gate),
          Effect.sync(() => {
            seen.push(event.sequence)
          })
        ))
      yield* settle
      yield* succeed(breaker, 3_000)
      yield* Deferred.succeed(gate, undefined)
      yield* Effect.yieldNow
      yield* repeat(settle, 200)

      assert.strictEqual(seen.at(-1), 3_000)
      assert.isAtLeast(seen.length, 1_024)
      assert.isBelow(seen.length, 1_100)
    }))

  // migration: async event handlers get the circuit
  it.effect("that fail or throw are logged, and hear the next event", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      let heard = 0
      yield* breaker.on("CallEnded", () => {
        heard++
        if (heard === 1) return Effect.fail("listener failed")
        if (heard === 2) return Effect.die("listener died")
        if (heard === 3) throw new Error("listener threw")
        if (heard === 4) return Effect.interrupt
        return Effect.void
      })
      yield* settle
      for (let i = 0; i < 5; i++) {
        assert.strictEqual(yield* breaker.execute(Effect.succeed(i)), i)
        yield* settle
      }

      assert.strictEqual(heard, 5)
      const logs = (yield* TestConsole.logLines).join("\n")
      assert.include(logs, "listener failed")
      assert.include(logs, "listener died")
      assert.include(logs, "listener threw")
      assert.strictEqual(logs.split(`A listener of circuit "dependency" failed`).length, 5)
    }))

  it.effect("that block for ever delay no call and no other listener", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const events = yield* watch(breaker.events)
      yield* breaker.on("CallEnded", () => Effect.never)
      yield* CircuitBreaker.onTrip(breaker, () => Effect.never)
      yield* settle
      yield* succeed(breaker, 100)
      yield* fail(breaker)
      yield* repeat(settle, 10)
      assert.strictEqual((yield* events).length, 102)
    }))

  // migration: async event handlers get the circuit
  it.effect("that are slow do not delay a call", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      let done = false
      yield* breaker.on("CallEnded", () =>
        Effect.andThen(
          Effect.sleep("1 hour"),
          Effect.sync(() => {
            done = true
          })
        ))
      yield* settle
      // Virtual time stands still, so these would never end if they waited.
      yield* succeed(breaker, 3)
      assert.isFalse(done)
    }))

  it.effect("run outside the call: not a line of a listener before the caller has its result", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const log: Array<string> = []
      yield* breaker.on("StateChanged", () => Effect.sync(() => log.push("listener")))
      yield* settle
      yield* fail(breaker)
      log.push("caller")
      yield* settle
      assert.deepStrictEqual(log, ["caller", "listener"])
    }))

  it.effect("may call the circuit, change it and listen to it", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ ...touchy, openDuration: "1 hour" })
      const events = yield* watch(breaker.events)
      const log: Array<unknown> = []
      yield* CircuitBreaker.onTrip(breaker, () =>
        Effect.gen(function*() {
          log.push(yield* call(breaker, Effect.succeed("ok")))
          yield* breaker.forceClose
          log.push(yield* call(breaker, Effect.succeed("ok")))
        }))
      yield* settle
      yield* fail(breaker)
      yield* settle

      assert.deepStrictEqual(log, ["rejected: Open", "ok"])
      yield* state(breaker, "Closed")
      assert.deepStrictEqual(changes(yield* events), [
        "Closed -> Open: ConsecutiveFailures",
        "Open -> Closed: Manual"
      ])
    }))

  it.effect("handle one event after another", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const log: Array<string> = []
      yield* breaker.on("CallEnded", (event) =>
        Effect.gen(function*() {
          log.push(`begin ${event.sequence}`)
          yield* Effect.sleep("1 second")
          log.push(`end ${event.sequence}`)
        }))
      yield* settle
      yield* succeed(breaker, 2)
      yield* TestClock.adjust("2 seconds")
      yield* settle
      assert.deepStrictEqual(log, ["begin 1", "end 1", "begin 2", "end 2"])
    }))

  // migration: register_trip_callback()
  it.effect("onTrip and onRecovery hear the circuit open and close, and nothing else", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      const log: Array<string> = []
      yield* CircuitBreaker.onTrip(breaker, (event) => Effect.sync(() => log.push(`trip: ${event.reason}`)))
      yield* CircuitBreaker.onRecovery(breaker, (event) => Effect.sync(() => log.push(`recovery: ${event.reason}`)))
      yield* settle
      yield* halfOpen(breaker)
      yield* fail(breaker)
      yield* TestClock.adjust("10 seconds")
      yield* succeed(breaker)
      yield* breaker.forceOpen()
      yield* breaker.forceClose
      yield* settle

      assert.deepStrictEqual(log.toSorted(), [
        "recovery: Manual",
        "recovery: ProbesSucceeded",
        "trip: ConsecutiveFailures",
        "trip: ProbeFailed"
      ])
    }))

  it.effect("onFailure hears the calls that count as failed, and what failed, and nothing else", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ consecutiveFailures: 2, classify: Outcome.ignoreIf((error) => error === "mine") })
      const heard: Array<unknown> = []
      yield* CircuitBreaker.onFailure(
        breaker,
        (event) => Effect.sync(() => heard.push([event.outcome, event.lastFailure?.message]))
      )
      yield* succeed(breaker)
      yield* call(breaker, Effect.fail("mine"))
      yield* call(breaker, Effect.fail("down"))
      yield* call(breaker, Effect.die(new Error("bug")))
      yield* call(breaker, Effect.void)
      yield* settle
      assert.deepStrictEqual(heard, [["Failure", "down"], ["Failure", "bug"]])
    }))

  it.effect("stop with their scope, in the middle of their work, without a word in the log", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      let interrupted = false
      const scope = yield* Scope.make()
      yield* breaker.on("CallEnded", () =>
        Effect.onInterrupt(Effect.never, () =>
          Effect.sync(() => {
            interrupted = true
          }))).pipe(Scope.provide(scope))
      yield* succeed(breaker)
      yield* settle
      yield* Scope.close(scope, Exit.void)

      assert.isTrue(interrupted)
      assert.deepStrictEqual(yield* TestConsole.logLines, [])
      yield* succeed(breaker)
    }))

  it.effect("get the services of their own place", () =>
    Effect.gen(function*() {
      class Alarm extends Context.Service<Alarm, { readonly ring: Effect.Effect<void> }>()("test/Alarm") {}
      let rang = 0
      const breaker = yield* make(touchy)
      yield* CircuitBreaker.onTrip(breaker, () => Effect.flatMap(Alarm, (alarm) => alarm.ring)).pipe(
        Effect.provideService(Alarm, { ring: Effect.sync(() => void rang++) })
      )
      yield* fail(breaker)
      yield* settle
      assert.strictEqual(rang, 1)
    }))

  it.effect("of calls are made only if somebody listens to calls", () =>
    Effect.gen(function*() {
      const breaker = yield* make(touchy)
      yield* Effect.asVoid(watch(breaker.changes))
      yield* Effect.scoped(Effect.andThen(breaker.on("StateChanged", () => Effect.void), succeed(breaker)))
      yield* fail(breaker, 2)
      const events = yield* watch(breaker.events)
      yield* breaker.forceClose
      // Events are numbered when they are made: this is the second change.
      assert.strictEqual((yield* events)[0]?.sequence, 2)
    }))
})
