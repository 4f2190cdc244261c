import { assert, describe, it } from "@effect/vitest"
import * as Window from "../../../src/internal/circuit/window.ts"
import { seeded } from "../../support/machine.ts"

interface Recorded {
  readonly at: number
  readonly failed: boolean
  readonly slow: boolean
}

const totals = (calls: ReadonlyArray<Recorded>) => ({
  calls: calls.length,
  failures: calls.filter(({ failed }) => failed).length,
  slowCalls: calls.filter(({ slow }) => slow).length
})

const read = (window: Window.Window) => ({
  calls: window.calls,
  failures: window.failures,
  slowCalls: window.slowCalls
})

const pick = <A>(random: () => number, values: ReadonlyArray<A>): A => values[Math.floor(random() * values.length)]!

describe("a window of calls", () => {
  it("counts what a list of the last n calls counts", () => {
    for (let seed = 0; seed < 300; seed++) {
      const random = seeded(seed)
      const size = pick(random, [1, 2, 3, 10, 64, 100])
      const failing = random()
      const slowing = random() * random()
      const window = Window.make({ calls: size })
      const all: Array<Recorded> = []
      for (let i = 0; i < 3 * size + 5; i++) {
        const call = { at: i, failed: random() < failing, slow: random() < slowing }
        all.push(call)
        Window.record(window, call.failed, call.slow, call.at)
        assert.deepStrictEqual(read(window), totals(all.slice(-size)), `seed ${seed}, call ${i}`)
      }
    }
  })

  it("forgets the oldest call with each one beyond its size", () => {
    const window = Window.make({ calls: 3 })
    Window.record(window, true, true, 0)
    Window.record(window, false, false, 0)
    Window.record(window, false, false, 0)
    assert.deepStrictEqual(read(window), { calls: 3, failures: 1, slowCalls: 1 })

    Window.record(window, false, false, 0)
    assert.deepStrictEqual(read(window), { calls: 3, failures: 0, slowCalls: 0 })
  })

  it("keeps its calls however much time passes", () => {
    const window = Window.make({ calls: 3 })
    Window.record(window, true, false, 0)
    Window.expire(window, Number.MAX_SAFE_INTEGER)

    assert.deepStrictEqual(read(window), { calls: 1, failures: 1, slowCalls: 0 })
  })

  it("has no slots while nothing fails and nothing is slow", () => {
    const window = Window.make({ calls: 100_000 })
    for (let i = 0; i < 250_000; i++) Window.record(window, false, false, 0)

    assert.deepStrictEqual(read(window), { calls: 100_000, failures: 0, slowCalls: 0 })
    assert.isUndefined(window.slots)
  })

  it("keeps its place when the first failure comes after many successes", () => {
    const window = Window.make({ calls: 4 })
    for (let i = 0; i < 6; i++) Window.record(window, false, false, 0)
    Window.record(window, true, false, 0)
    for (let i = 0; i < 3; i++) Window.record(window, false, false, 0)
    assert.strictEqual(window.failures, 1)

    Window.record(window, false, false, 0)
    assert.strictEqual(window.failures, 0)
  })
})

describe("a window of a duration", () => {
  /** What a window of buckets has to hold at `now`: every call whose bucket is one of the latest. */
  const inBuckets = (all: ReadonlyArray<Recorded>, now: number, millis: number, buckets: number) => {
    const bucket = (at: number) => Math.floor(at / (millis / buckets))
    return totals(all.filter(({ at }) => bucket(at) > bucket(now) - buckets))
  }

  it("counts what a list of calls filtered by bucket counts", () => {
    for (let seed = 0; seed < 400; seed++) {
      const random = seeded(seed)
      const millis = pick(random, [1, 7, 100, 1_000, 60_000, 0.75])
      const buckets = pick(random, [1, 2, 3, 10, 60])
      const window = Window.make({ millis, buckets })
      const all: Array<Recorded> = []
      let now = pick(random, [0, 0.5, 1e6, 1e9 + 1 / 3, 1e12])
      for (let i = 0; i < 80; i++) {
        now += pick(random, [
          0,
          0,
          1 / 3,
          millis / buckets,
          millis * random(),
          millis,
          3 * millis,
          3_600_000,
          1e9,
          1e12
        ])
        if (random() < 0.8) {
          const call = { at: now, failed: random() < 0.5, slow: random() < 0.3 }
          all.push(call)
          Window.record(window, call.failed, call.slow, now)
        } else {
          Window.expire(window, now)
        }
        assert.deepStrictEqual(
          read(window),
          inBuckets(all, now, millis, buckets),
          `seed ${seed}, step ${i}, now ${now}, ${millis} ms in ${buckets} buckets`
        )
      }
    }
  })

  it("holds every call of its duration less one bucket, and none older than its duration", () => {
    for (let seed = 0; seed < 200; seed++) {
      const random = seeded(seed)
      const millis = pick(random, [10, 1_000, 60_000])
      const buckets = pick(random, [1, 3, 7, 10])
      const window = Window.make({ millis, buckets })
      const all: Array<Recorded> = []
      let now = random() * 1e7
      // A bucket ends where floating point puts it.
      const blur = 1e-6
      for (let i = 0; i < 100; i++) {
        now += random() * millis * 0.4
        all.push({ at: now, failed: true, slow: false })
        Window.record(window, true, false, now)
        const since = (age: number) => all.filter(({ at }) => now - at < age).length
        assert.isAtLeast(window.calls, since(millis - millis / buckets - blur), `seed ${seed}`)
        assert.isAtMost(window.calls, since(millis + blur), `seed ${seed}`)
      }
    }
  })

  it("is empty at exactly its duration after a call at the start of a bucket, and holds it right before", () => {
    const window = Window.make({ millis: 60_000, buckets: 10 })
    Window.record(window, true, true, 120_000)

    Window.expire(window, 179_999.999)
    assert.deepStrictEqual(read(window), { calls: 1, failures: 1, slowCalls: 1 })

    Window.expire(window, 180_000)
    assert.deepStrictEqual(read(window), { calls: 0, failures: 0, slowCalls: 0 })
  })

  it("drops a bucket at a time", () => {
    const window = Window.make({ millis: 1_000, buckets: 4 })
    for (const at of [0, 250, 500, 750]) Window.record(window, true, false, at)

    const left = [999, 1_000, 1_250, 1_500, 1_750].map((now) => {
      Window.expire(window, now)
      return window.failures
    })
    assert.deepStrictEqual(left, [4, 3, 2, 1, 0])
  })

  it("is empty after idle time of any length, and counts afresh", () => {
    for (const gap of [60_000, 60_001, 3_600_000, 86_400_000 * 365, 1e15]) {
      const window = Window.make({ millis: 60_000, buckets: 10 })
      for (let i = 0; i < 50; i++) Window.record(window, true, true, 1_000 + i)
      Window.record(window, false, false, 1_049 + gap)

      assert.deepStrictEqual(read(window), { calls: 1, failures: 0, slowCalls: 0 }, `idle for ${gap} ms`)
    }
  })

  it("works on a clock that started long before its first call", () => {
    const window = Window.make({ millis: 60_000, buckets: 10 })
    Window.record(window, true, false, 9e12)
    Window.record(window, false, false, 9e12 + 59_000)
    assert.deepStrictEqual(read(window), { calls: 2, failures: 1, slowCalls: 0 })
  })

  it("counts before the origin of its clock, and across it, as after it", () => {
    for (const start of [-1_050, -1_000, -950, -500, 0]) {
      const window = Window.make({ millis: 1_000, buckets: 10 })
      Window.record(window, true, false, start)
      Window.record(window, false, true, start + 500)
      Window.record(window, true, false, start + 899)
      assert.deepStrictEqual(read(window), { calls: 3, failures: 2, slowCalls: 1 }, `from ${start}`)
      Window.expire(window, start + 1_000)
      assert.deepStrictEqual(read(window), { calls: 2, failures: 1, slowCalls: 1 }, `from ${start}`)
      Window.expire(window, start + 1_899)
      assert.deepStrictEqual(read(window), { calls: 0, failures: 0, slowCalls: 0 }, `from ${start}`)
    }
  })

  it("is never left turning by a window of nanoseconds on a clock that has run for days", () => {
    const window = Window.make({ millis: 2e-6, buckets: 1_000 })
    const now = 86_400_000 * 5
    Window.record(window, true, false, now)
    Window.record(window, true, false, now + 1e-6)
    Window.record(window, true, false, now + 1)

    assert.strictEqual(window.calls, 1)
  })

  it("does not expire while time stands still", () => {
    const window = Window.make({ millis: 1_000, buckets: 10 })
    for (let i = 0; i < 100; i++) Window.record(window, i % 2 === 0, false, 42)
    Window.expire(window, 42)
    assert.deepStrictEqual(read(window), { calls: 100, failures: 50, slowCalls: 0 })
  })
})
