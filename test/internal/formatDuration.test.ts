import { assert, it } from "@effect/vitest"
import { Duration } from "effect"
import { formatDuration } from "../../src/internal/formatDuration.ts"

it("a duration is shown to the millisecond, below one to the microsecond, and without end as that", () => {
  for (
    const [duration, text] of [
      [Duration.nanos(61_001_234_567n), "1m 1s 1ms"],
      [Duration.nanos(1_499_999n), "1ms"],
      [Duration.nanos(123_456n), "123µs"],
      [Duration.zero, "0"],
      [Duration.infinity, Duration.format(Duration.infinity)]
    ] as const
  ) assert.strictEqual(formatDuration(duration), text)
})
