import { assert, describe, it } from "@effect/vitest"
import { type Algorithm, make, mostInAnyWindow, type Rules } from "../../../src/internal/rateLimit/window.ts"
import { seeded } from "../../support/machine.ts"

const ALGORITHMS: ReadonlyArray<Algorithm> = ["fixed-window", "token-bucket", "sliding-window"]

interface Taken {
  readonly at: number
  readonly tokens: number
}

/** The most tokens in any time of the length of the window, its end not included. */
const most = (trace: ReadonlyArray<Taken>, windowMillis: number): number =>
  Math.max(
    0,
    ...trace.map(({ at }) =>
      trace.reduce((sum, other) => other.at >= at && other.at < at + windowMillis ? sum + other.tokens : sum, 0)
    )
  )

/** Asks for tokens after each pause, and takes them if they are left. */
const play = (rules: Rules, calls: ReadonlyArray<{ readonly pause: number; readonly tokens: number }>) => {
  const tokens = make(rules)
  const trace: Array<Taken> = []
  const rejected: Array<Taken & { readonly wait: number }> = []
  let now = 0
  for (const call of calls) {
    now += call.pause
    const wait = tokens.wait(call.tokens, now)
    if (wait === 0) {
      tokens.take(call.tokens, now)
      trace.push({ at: now, tokens: call.tokens })
    } else {
      rejected.push({ at: now, tokens: call.tokens, wait })
    }
  }
  return { tokens, trace, rejected, now }
}

/** Every sequence of `length` of these. */
const sequences = function*<A>(of: ReadonlyArray<A>, length: number): Generator<Array<A>> {
  if (length === 0) return yield []
  for (const rest of sequences(of, length - 1)) for (const next of of) yield [...rest, next]
}

describe("a rate window", () => {
  for (const algorithm of ALGORITHMS) {
    it(`lets through at most what it says in any time of its length (${algorithm})`, () => {
      let highest = 0
      for (let limit = 1; limit <= 3; limit++) {
        const steps = [0, 1, 2, 3].flatMap((pause) =>
          Array.from({ length: limit }, (_, more) => ({ pause, tokens: 1 + more }))
        )
        const rules = { algorithm, limit, windowMillis: 3 }
        const allowed = mostInAnyWindow(rules)
        for (const calls of sequences(steps, limit === 1 ? 6 : limit === 2 ? 5 : 4)) {
          const inAnyWindow = most(play(rules, calls).trace, 3)
          if (limit === 2) highest = Math.max(highest, inAnyWindow)
          if (inAnyWindow > allowed) assert.fail(JSON.stringify({ limit, calls, inAnyWindow }))
        }
      }
      // What it says is no more than what can happen.
      assert.strictEqual(highest, mostInAnyWindow({ algorithm, limit: 2 }))
    })

    it(`keeps to it in thousands of calls, at any times (${algorithm})`, () => {
      for (let seed = 1; seed <= 20; seed++) {
        const random = seeded(seed)
        const limit = 1 + Math.floor(random() * 20)
        const windowMillis = 1 + Math.floor(random() * 1_000)
        const whole = random() < 0.5
        const rules = { algorithm, limit, windowMillis }
        const calls = Array.from({ length: 1_000 }, () => {
          const pause = random() < 0.3 ? 0 : random() * 2 * windowMillis / limit
          return { pause: whole ? Math.floor(pause) : pause, tokens: 1 + Math.floor(random() * random() * limit) }
        })
        const { trace } = play(rules, calls)
        assert.isAbove(trace.length, 100)
        assert.isAtMost(most(trace, windowMillis - 0.002), mostInAnyWindow(rules), `seed ${seed}`)
        if (whole) assert.isAtMost(most(trace, windowMillis), mostInAnyWindow(rules), `seed ${seed}`)
      }
    })

    it(`has the tokens when it says, and not a millisecond earlier (${algorithm})`, () => {
      for (let seed = 1; seed <= 300; seed++) {
        const random = seeded(seed)
        const limit = 1 + Math.floor(random() * 5)
        const rules = { algorithm, limit, windowMillis: 1 + Math.floor(random() * 100) }
        const calls = Array.from({ length: 30 }, () => ({
          pause: Math.floor(random() * 2 * rules.windowMillis / limit),
          tokens: 1 + Math.floor(random() * limit)
        }))
        const { now, tokens } = play(rules, calls)
        for (let count = 1; count <= limit; count++) {
          const wait = tokens.wait(count, now)
          for (const early of [wait, wait / 2, 1, 0.01]) {
            if (early > 0 && early <= wait) assert.isAbove(tokens.wait(count, now + wait - early), 0, `seed ${seed}`)
          }
          // A copy, since a window forgets what is over when it is asked at a later time.
          assert.strictEqual(play(rules, calls).tokens.wait(count, now + wait), 0, `seed ${seed}`)
        }
      }
    })

    it(`foresees the turn of a call behind others (${algorithm})`, () => {
      for (let seed = 1; seed <= 300; seed++) {
        const random = seeded(seed)
        const limit = 1 + Math.floor(random() * 5)
        const rules = { algorithm, limit, windowMillis: 60 }
        const calls = Array.from({ length: 1 + Math.floor(random() * 20) }, () => ({
          pause: Math.floor(random() * 40),
          tokens: 1
        }))
        const { now, tokens } = play(rules, calls)
        const ahead = Math.floor(random() * 20)
        const last = 1 + Math.floor(random() * limit)
        const foreseen = tokens.wait(ahead + last, now)
        let at = now
        for (let n = 0; n < ahead; n++) {
          at += tokens.wait(1, at)
          tokens.take(1, at)
        }
        assert.closeTo(at + tokens.wait(last, at) - now, foreseen, 0.001, `seed ${seed}`)
      }
    })

    it(`allows for a thousandth of a millisecond of rounding (${algorithm})`, () => {
      const tokens = make({ algorithm, limit: 1, windowMillis: 0.002 })
      tokens.take(1, 0)
      assert.isAbove(tokens.wait(1, 0.0009), 0)
      assert.strictEqual(tokens.wait(1, 0.001), 0)
    })

    it(`knows when it is as good as new (${algorithm})`, () => {
      const tokens = make({ algorithm, limit: 2, windowMillis: 10 })
      assert.isTrue(tokens.isFull(0))
      tokens.take(2, 0)
      assert.isFalse(tokens.isFull(9))
      assert.isTrue(tokens.isFull(10))
      assert.strictEqual(tokens.wait(2, 10), 0)
    })
  }

  it("gives its tokens back at its end, or one by one, or each a window after it was taken", () => {
    const waits = ALGORITHMS.map((algorithm) => {
      const { rejected, trace } = play({ algorithm, limit: 2, windowMillis: 100 }, [
        { pause: 0, tokens: 1 },
        { pause: 30, tokens: 1 },
        { pause: 0, tokens: 1 },
        { pause: 0, tokens: 2 }
      ])
      assert.strictEqual(trace.length, 2)
      return rejected.map(({ wait }) => wait)
    })
    assert.deepStrictEqual(waits, [[70, 70], [20, 70], [70, 100]])
  })

  it("rejects no call that would fit into every window (sliding-window)", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = seeded(seed)
      const rules: Rules = { algorithm: "sliding-window", limit: 3, windowMillis: 20 }
      const calls = Array.from({ length: 100 }, () => ({ pause: Math.floor(random() * 8), tokens: 1 }))
      const { rejected, trace } = play(rules, calls)
      for (const { at } of rejected) {
        const before = trace.filter((taken) => taken.at <= at && taken.at > at - 20)
        assert.strictEqual(before.length, 3)
      }
    }
  })

  it("remembers no more than two windows of tokens, and copies one for each on average (sliding-window)", () => {
    const tokens = make({ algorithm: "sliding-window", limit: 100, windowMillis: 1_000 })
    const kept = () => (tokens as unknown as { readonly times: Array<number> }).times
    let [taken, copied, before] = [0, 0, kept()]
    for (let now = 0; now < 100_000; now += 7) {
      const isLeft = tokens.wait(1, now) === 0
      if (kept() !== before) copied += kept().length
      before = kept()
      if (!isLeft) continue
      tokens.take(1, now)
      taken++
    }
    assert.isAtMost(kept().length, 200)
    assert.isAtMost(copied, taken)
  })
})
