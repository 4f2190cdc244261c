/**
 * Tests with random input, the same each time.
 *
 * `FUZZ_SEED` sets the first seed and `FUZZ_RUNS` the number of cases of each
 * test. A failure says which two to set for that case alone.
 */
import { assert, it } from "@effect/vitest"
import { seeded } from "../support/machine.ts"

const setting = (name: string): number | undefined => {
  const text = process.env[name]
  return text === undefined || text === "" ? undefined : Number(text)
}

/** The seed of the first case. */
export const SEED = setting("FUZZ_SEED") ?? 1

/** No case may take longer, in milliseconds. */
const TOO_LONG = 20_000

/** Registers a test that runs `body` with the seeds that follow one another from the first. */
export const fuzz = (name: string, runs: number, body: (random: Random) => void | Promise<void>): void => {
  it(name, { timeout: 60_000 }, async () => {
    const last = SEED + (setting("FUZZ_RUNS") ?? runs)
    const objects = Object.getOwnPropertyNames(Object.prototype).length
    for (let seed = SEED; seed < last; seed++) {
      const startedAt = performance.now()
      try {
        await body(new Random(seed))
        assert.isBelow(performance.now() - startedAt, TOO_LONG, "milliseconds")
        assert.lengthOf(Object.getOwnPropertyNames(Object.prototype), objects, "what all objects inherit is the same")
        assert.notProperty({}, POLLUTED)
      } catch (error) {
        throw new Error(
          `with FUZZ_SEED=${seed} FUZZ_RUNS=1: ${error instanceof Error ? error.message : String(error)}`,
          { cause: error }
        )
      }
    }
  })
}

/** A property that shows up everywhere if a prototype was written to. */
export const POLLUTED = "polluted"

const NAMES = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "", " ", "_tag", "value", "0"]

const TEXTS = [
  "",
  " ",
  "\n",
  "\u0000",
  "\ud800",
  "日本語",
  "👩‍👩‍👧",
  "e\u0301",
  "\u202egnp",
  "null",
  "undefined",
  "NaN",
  "Infinity",
  "-Infinity",
  "-0",
  "1e309",
  "0x10",
  "1_000",
  "١",
  "5 parsecs",
  "${jndi}",
  "%s%n",
  "../../etc",
  "<script>",
  "a\nb=c"
]

const NUMBERS = [
  0,
  -0,
  1,
  -1,
  2,
  0.1,
  0.5,
  1.5,
  1 - Number.EPSILON,
  1 + Number.EPSILON,
  Number.MIN_VALUE,
  Number.MAX_VALUE,
  -Number.MAX_VALUE,
  Number.MAX_SAFE_INTEGER,
  Number.MAX_SAFE_INTEGER + 1,
  2 ** 31,
  2 ** 31 - 1,
  1e21,
  NaN,
  Infinity,
  -Infinity
]

export class Random {
  private readonly next: () => number

  constructor(seed: number) {
    this.next = seeded(seed)
  }

  /** An integer from 0 and below `n`. */
  below(n: number): number {
    return Math.floor(this.next() * n)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<A>(values: ReadonlyArray<A>): A {
    return values[this.below(values.length)]!
  }

  some<A>(values: ReadonlyArray<A>): ReadonlyArray<A> {
    return values.filter(() => this.chance(0.4))
  }

  shuffle<A>(values: ReadonlyArray<A>): ReadonlyArray<A> {
    const shuffled: Array<A> = []
    for (const value of values) shuffled.splice(this.below(shuffled.length + 1), 0, value)
    return shuffled
  }

  list<A>(most: number, make: () => A): Array<A> {
    return Array.from({ length: this.below(most + 1) }, make)
  }

  number(): number {
    return this.pick([
      () => this.pick(NUMBERS),
      () => this.below(20),
      () => this.next(),
      () => (this.next() - 0.5) * 10 ** this.below(310),
      () => -this.below(1000)
    ])()
  }

  /** A text of any characters, sometimes long. */
  text(): string {
    return this.pick([
      () => this.pick(TEXTS),
      () => String(this.number()),
      () => String.fromCharCode(...this.list(12, () => this.below(this.chance(0.5) ? 128 : 65536))),
      () => this.pick(TEXTS).repeat(this.below(2000))
    ])()
  }

  name(): string {
    return this.chance(0.4) ? this.pick(NAMES) : this.text()
  }

  /** A name that a circuit can have. */
  circuitName(): string {
    const name = this.name()
    return name === "" || name === "." || name === ".." || !name.isWellFormed() ? this.circuitName() : name
  }

  /** What `JSON.parse` can return, with names that mean something to JavaScript. */
  json(depth = 4): unknown {
    return this.pick<() => unknown>([
      () => null,
      () => this.chance(0.5),
      () => this.number(),
      () => this.text(),
      () => depth === 0 ? [] : this.list(4, () => this.json(depth - 1)),
      () => depth === 0 ? {} : this.record(4, () => this.json(depth - 1))
    ])()
  }

  record(most: number, make: () => unknown): Record<string, unknown> {
    return own(this.list(most, () => [this.name(), make()] as const))
  }
}

/** An object that has all names as its own, `__proto__` included. */
export const own = (entries: ReadonlyArray<readonly [string, unknown]>): Record<string, unknown> => {
  const object = {}
  for (const [name, value] of entries) {
    Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true })
  }
  return object
}

/** Lists in lists, or records in records. */
export const nested = (depth: number, name?: string): unknown => {
  let value: unknown = 1
  for (let i = 0; i < depth; i++) value = name === undefined ? [value] : own([[name, value]])
  return value
}
