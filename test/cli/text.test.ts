import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import { CliOutput } from "effect/cli"
import * as Text from "../../src/internal/cliText.ts"
import { render } from "../../src/internal/cliWatch.ts"

const circuit = (name: string, state: Text.Row["state"] = "closed"): Text.Row => ({
  name,
  state,
  is_available: true,
  failure_count: 0,
  success_count: 0,
  total_calls: 123_456,
  successful_calls: 1,
  failed_calls: 1,
  ignored_calls: 0,
  late_calls: 0,
  rejected_calls: 0,
  calls_in_flight: 0,
  requests_in_window: 2,
  error_rate: 0.5,
  success_rate: 0.5,
  slow_call_rate: 0,
  average_response_time_ms: null,
  last_failure_time: null,
  time_until_retry: null,
  current_backoff: null,
  consecutive_openings: 0,
  state_changes: 0,
  policy: "",
  failureRate: 0.5,
  slowCallRate: undefined
})

describe("durations", () => {
  it("are taken as people type them", () => {
    for (
      const [text, millis] of [
        ["90", 90_000],
        ["0.5", 500],
        ["500ms", 500],
        ["5m", 300_000],
        ["1h30m", 5_400_000],
        ["1h 30m", 5_400_000],
        ["5 minutes", 300_000],
        ["2 days", 172_800_000],
        [" 1S ", 1000]
      ] as const
    ) assert.strictEqual(Duration.toMillis(Text.parseDuration(text)!), millis, text)
  })

  it("are refused if they are none, or nothing", () => {
    for (
      const text of ["", "0", "0s", "-5m", "5x", "m", "5m5", "soon", "1e3", "Infinity", "constructor", "5 toString"]
    ) {
      assert.isUndefined(Text.parseDuration(text), text)
    }
  })
})

describe("text", () => {
  it("is cut between characters that people see, by the columns these take", () => {
    assert.strictEqual(Text.fit("payment-api", 11), "payment-api")
    assert.strictEqual(Text.fit("payment-api", 8), "payment…")
    assert.strictEqual(Text.fit("支付接口", 8), "支付接口")
    assert.strictEqual(Text.fit("支付接口", 7), "支付接…")
    assert.strictEqual(Text.fit("支付接口", 6), "支付…")
    assert.strictEqual(Text.fit("👩‍👩‍👧 family", 4), "👩‍👩‍👧 …")
    assert.strictEqual(Text.fit("abc", 1), "…")
    assert.strictEqual(Text.fit("abc", 0), "")
  })

  it("of others can neither break lines nor control a terminal nor turn the direction around", () => {
    assert.strictEqual(Text.clean("a\u001b[31m\r\n\t\u0085\u2028\u202e\u2066b"), "a�[31m�������b")
    assert.strictEqual(Text.clean("支付 é 👩‍👩‍👧"), "支付 é 👩‍👩‍👧")
  })
})

describe("tables", () => {
  const rows = [circuit("payment-api", "open"), circuit("支付接口".repeat(10)), circuit("x".repeat(100))]

  it("are never wider than the terminal, whatever they lose", () => {
    for (let columns = 1; columns <= 200; columns++) {
      for (const line of Text.table(Text.circuitColumns, rows, { columns, paint: Text.colored })) {
        assert.isAtMost(CliOutput.displayWidth(line), columns)
      }
    }
  })

  it("lose numbers before names and states, the least urgent first", () => {
    const heads = [130, 70, 60, 40, 26].map((columns) =>
      Text.table(Text.circuitColumns, rows, { columns, paint: Text.plain })[0]!.split(/ {2,}/).join()
    )

    assert.deepStrictEqual(heads, [
      "CIRCUIT,STATE,FAILURES,SLOW,CALLS,IN FLIGHT,REJECTED,RETRY IN",
      "CIRCUIT,STATE,FAILURES,SLOW,CALLS,REJECTED,RETRY IN",
      "CIRCUIT,STATE,FAILURES,SLOW,CALLS,RETRY IN",
      "CIRCUIT,STATE,FAILURES",
      "CIRCUIT,STATE"
    ])
  })

  it("line up where names are of different widths", () => {
    const lines = Text.table(Text.circuitColumns, rows, { columns: Infinity, paint: Text.plain })

    const at = lines.map((line) => CliOutput.displayWidth(line.slice(0, line.search(/STATE|open|closed/))))
    assert.strictEqual(new Set(at).size, 1)
  })
})

describe("the screen", () => {
  const circuits = Array.from({ length: 30 }, (_, i) => circuit(`c${i}`, i === 29 ? "open" : "closed"))
  const changes = Array.from({ length: 8 }, (_, i) => ({
    _tag: "Reconfigured" as const,
    circuit: `c${i}`,
    sequence: i,
    timestamp: 0,
    changed: ["openDuration"]
  }))
  const view = (columns: number, rows: number) =>
    render({
      url: "http://127.0.0.1:9700",
      circuits: { _tag: "Circuits", rows: circuits, status: "healthy", at: 0 },
      error: undefined,
      changes,
      size: { columns, rows }
    }, Text.colored)

  it("fills the terminal exactly, however small that is", () => {
    for (let rows = 1; rows <= 60; rows++) {
      for (const columns of [1, 10, 40, 80, 200]) {
        const lines = view(columns, rows)
        assert.strictEqual(lines.length, rows)
        for (const line of lines) assert.isAtMost(CliOutput.displayWidth(line), columns)
      }
    }
  })

  it("shows open circuits first, says how many it does not show, and the latest changes", () => {
    const text = view(80, 24).join("\n")

    assert.isBelow(text.indexOf("c29"), text.indexOf("c0"))
    assert.match(text, /… and \d+ more/)
    assert.match(text, /LATEST CHANGES.*\n.*c7: reconfigured, openDuration\n.*c6/)
  })
})
