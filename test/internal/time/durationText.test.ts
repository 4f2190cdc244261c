import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option, Schema } from "effect"
import { formatDuration, parseDuration, parsePlain, printDuration } from "../../../src/internal/time/durationText.ts"

const parsed = (text: string, unit?: "seconds" | "milliseconds") => {
  const duration = parseDuration(text, unit)
  assert.isDefined(duration, `${JSON.stringify(text)} is no duration`)
  return duration
}

describe("a duration as text", () => {
  it("is a plain number, amounts with units, or ISO 8601", () => {
    for (
      const [text, millis] of [
        ["30", 30_000],
        ["1.5", 1500],
        [".5", 500],
        ["1.25", 1250],
        ["1.", 1000],
        [".25", 250],
        [".25s", 250],
        ["0", 0],
        ["30s", 30_000],
        ["1m 30s", 90_000],
        ["1m30s", 90_000],
        ["30 seconds", 30_000],
        ["1 minute 30 seconds", 90_000],
        ["500ms", 500],
        ["500 millis", 500],
        ["8h 20m", 30_000_000],
        ["2 days", 172_800_000],
        ["1w", 604_800_000],
        ["1.5 hr", 5_400_000],
        ["PT30S", 30_000],
        ["pt8h20m", 30_000_000],
        ["P1DT0.5S", 86_400_500],
        [" 2 MINUTES ", 120_000],
        ["1.001s", 1001],
        ["250µs", 0.25],
        ["250us", 0.25],
        ["-1s 5ms", -1005],
        ["Infinity", Infinity],
        ["-Infinity", -Infinity]
      ] as const
    ) assert.strictEqual(Duration.toMillis(parsed(text)), millis, text)
    assert.strictEqual(Duration.toMillis(parsed("250", "milliseconds")), 250)
    assert.deepStrictEqual(parsed("1m 30s"), Duration.seconds(90))
    assert.strictEqual(Duration.toMillis(parsed("2s", "milliseconds")), 2000)
  })

  it("is nothing else, whatever it costs to look", () => {
    for (
      const text of [
        "",
        " ",
        "-",
        "--1",
        "s",
        "5x",
        "5m5",
        "5m 5m",
        "30s 1m",
        "1e3",
        "1e3s",
        "0x10",
        "1_000",
        "1,5",
        "1.5.5s",
        "NaN",
        "soon",
        "constructor",
        "5 toString",
        "P",
        "PT",
        "P1M",
        "1m, 30s",
        "9".repeat(1_000_000),
        `${"1d".repeat(1_000_000)}!`
      ]
    ) assert.isUndefined(parseDuration(text), text.slice(0, 80))
  })

  it("is at most 100 characters long, spaces around it not counted", () => {
    const [longest, tooLong] = [`${"0".repeat(99)}5`, `${"0".repeat(100)}5`]
    assert.strictEqual(parsePlain(` ${longest} `), 5)
    assert.isUndefined(parsePlain(tooLong))
    assert.strictEqual(Duration.toMillis(parsed(` ${longest} `)), 5000)
    assert.isUndefined(parseDuration(tooLong))
  })

  it("is a plain number if it has no unit", () => {
    assert.deepStrictEqual(["1.5", " 30 ", "30s", "-1", ""].map(parsePlain), [1.5, 30, undefined, undefined, undefined])
  })

  it("is shown to the millisecond, below one to the microsecond, and without end as that", () => {
    for (
      const [duration, text] of [
        [Duration.nanos(61_001_234_567n), "1m 1s 1ms"],
        [Duration.nanos(1_499_999n), "1ms"],
        [Duration.nanos(999_999n), "1ms"],
        [Duration.nanos(123_456n), "123µs"],
        [Duration.nanos(300n), "300ns"],
        [Duration.zero, "0"],
        [Duration.infinity, "Infinity"],
        [Duration.negativeInfinity, "-Infinity"]
      ] as const
    ) assert.strictEqual(formatDuration(duration), text)
  })

  it("that was set is shown to the nanosecond", () => {
    for (
      const [duration, text] of [
        [Duration.nanos(61_001_234_567n), "1m 1s 1ms 234µs 567ns"],
        [Duration.nanos(1_000n), "1µs"],
        [Duration.nanos(1_000_999n), "1ms 999ns"],
        [Duration.millis(1500), "1s 500ms"],
        [Duration.zero, "0"],
        [Duration.infinity, "Infinity"]
      ] as const
    ) assert.strictEqual(printDuration(duration), text)
  })

  const Nanos = Schema.Union([
    Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: -1_000_000_000_000_000_000_000n, maximum: 10n ** 21n })),
    Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 0n, maximum: 5_000_000n })),
    Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 0n, maximum: 100_000_000_000n }))
  ])

  it.effect.prop(
    "that the package prints can be read back, and is printed the same again",
    { nanos: Nanos },
    ({ nanos }) =>
      Effect.sync(() => {
        const duration = Duration.nanos(nanos)
        assert.isTrue(Duration.equals(parsed(Duration.format(duration)), duration), Duration.format(duration))
        assert.isTrue(Duration.equals(parsed(Option.getOrThrow(Duration.formatIso(duration))), duration))
        assert.isTrue(Duration.equals(parsed(printDuration(duration)), duration), printDuration(duration))
        const shown = formatDuration(duration)
        assert.strictEqual(formatDuration(parsed(shown)), shown)
      }),
    { arbitrary: { runs: 1000 } }
  )
})
