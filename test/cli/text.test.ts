import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import type { CircuitEvent } from "effect-resilience"
import { CliOutput } from "effect/cli"
import { reportLines } from "../../src/cli/internal/config.ts"
import type { Circuit } from "../../src/admin/AdminApi.ts"
import * as Text from "../../src/cli/internal/text.ts"
import { render } from "../../src/cli/internal/screen.ts"

const circuit = (name: string, state: Circuit["state"] = "closed"): Circuit => ({
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
  failure_rate: 0.5,
  success_rate: 0.5,
  slow_call_rate: 0,
  average_response_time_ms: null,
  latency_p50_ms: null,
  latency_p95_ms: null,
  latency_p99_ms: null,
  last_failure_time: null,
  last_failure: null,
  time_until_retry: null,
  current_backoff: null,
  consecutive_openings: 0,
  state_changes: 0,
  policy: "",
  thresholds: {
    failure_count: 5,
    error_rate: 0.5,
    slow_call_rate: null,
    slow_call_duration_ms: null,
    minimum_requests: 10
  }
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
    assert.strictEqual(
      Text.clean("a\u001b[31m\r\n\t\u0085\u2028\u202e\u2066b"),
      "a\\u001b[31m\\r\\n\\t\\u0085\\u2028\\u202e\\u2066b"
    )
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
    const heads = [130, 82, 70, 60, 40, 26].map((columns) =>
      Text.table(Text.circuitColumns, rows, { columns, paint: Text.plain })[0]!.split(/ {2,}/).join()
    )

    assert.deepStrictEqual(heads, [
      "CIRCUIT,STATE,FAILURES,SLOW,CALLS,IN FLIGHT,IGNORED,REJECTED,RETRY IN",
      "CIRCUIT,STATE,FAILURES,SLOW,CALLS,IN FLIGHT,REJECTED,RETRY IN",
      "CIRCUIT,STATE,FAILURES,SLOW,CALLS,REJECTED,RETRY IN",
      "CIRCUIT,STATE,FAILURES,SLOW,CALLS,RETRY IN",
      "CIRCUIT,STATE,FAILURES",
      "CIRCUIT,STATE"
    ])
  })

  const failing: Circuit = {
    ...circuit("payment-api", "open"),
    last_failure: { error: "ConnectionError", message: `refused by\n\u001b[2J${"a host ".repeat(40)}` }
  }

  it("say what failed last beside the circuit, in the columns that are left, and lose it before the failure rate", () => {
    const at = (columns: number) =>
      Text.table(Text.circuitColumns, [failing, circuit("b")], { columns, paint: Text.plain })

    assert.match(at(Infinity)[1]!, /ConnectionError: refused by\\n\\u001b\[2J(a host )+/)
    for (const columns of [200, 120, 80]) {
      const [head, row] = at(columns)
      assert.match(head!, / {2}LAST FAILURE$/)
      assert.match(row!, / {2}ConnectionError: refused.*…$/)
      assert.strictEqual(CliOutput.displayWidth(row!), columns)
    }
    assert.match(at(40)[0]!, /^CIRCUIT +STATE +FAILURES$/)
    for (let columns = 1; columns <= 200; columns++) {
      for (const line of at(columns)) assert.isAtMost(CliOutput.displayWidth(line), columns)
    }
  })

  it("have no column for what failed last while nothing has", () => {
    const [head] = Text.table(Text.circuitColumns, rows, { columns: Infinity, paint: Text.plain })
    assert.notInclude(head!, "LAST FAILURE")
  })

  it("are one line of state elsewhere, with what failed last while the circuit is in trouble", () => {
    const last_failure = { error: "ConnectionError", message: "refused\n" }
    const line = (state: Circuit["state"]) => Text.stateLine({ ...failing, state, last_failure }, Text.plain)

    assert.strictEqual(line("open"), "payment-api: open until it is released (ConnectionError: refused\\n)")
    assert.strictEqual(line("half_open"), "payment-api: half-open (ConnectionError: refused\\n)")
    assert.strictEqual(line("closed"), "payment-api: closed")
  })

  it("line up where names are of different widths", () => {
    const lines = Text.table(Text.circuitColumns, rows, { columns: Infinity, paint: Text.plain })

    const at = lines.map((line) => CliOutput.displayWidth(line.slice(0, line.search(/STATE|open|closed/))))
    assert.strictEqual(new Set(at).size, 1)
  })
})

describe("a circuit in detail", () => {
  const detail = (row: Circuit, label: string) => Text.details(row).find(([name]) => name === label)?.[1]

  it("has what is known of it, and no line for what is not", () => {
    const known = {
      ...circuit("payment-api", "open"),
      average_response_time_ms: 12.4,
      latency_p50_ms: 10,
      latency_p95_ms: 20,
      latency_p99_ms: 1_500,
      last_failure_time: "2026-01-01T00:00:00.000Z",
      last_failure: { error: "ConnectionError", message: "refused" },
      time_until_retry: 3.21,
      current_backoff: 60
    }

    assert.strictEqual(detail(known, "average response")?.text, "12ms")
    assert.strictEqual(
      detail(known, "latency")?.text,
      "half within 10ms, 95% within 20ms, 99% within 1s 500ms"
    )
    assert.strictEqual(detail(known, "last failure")?.text, "2026-01-01T00:00:00.000Z")
    assert.strictEqual(detail(known, "what failed last")?.text, "ConnectionError: refused")
    assert.strictEqual(detail(known, "retry in")?.text, "3s 300ms")
    assert.strictEqual(detail(known, "latest open time")?.text, "1m")
    for (
      const label of ["average response", "latency", "last failure", "what failed last", "retry in", "latest open time"]
    ) {
      assert.isUndefined(detail(circuit("payment-api"), label))
    }
  })

  it("has its rate in red from the threshold on, and in yellow below", () => {
    const colorAt = (error_rate: number) => detail({ ...circuit("a"), error_rate }, "failure rate")

    assert.deepStrictEqual(colorAt(0.5), { text: "50% of 50%", color: "red" })
    assert.deepStrictEqual(colorAt(0.49), { text: "49% of 50%", color: "yellow" })
    assert.deepStrictEqual(colorAt(0), { text: "0% of 50%", color: undefined })
  })
})

describe("a change in one line", () => {
  const facts: CircuitEvent.StateChanged = {
    _tag: "StateChanged",
    circuit: "payment-api",
    sequence: 1,
    timestamp: 0,
    from: "Closed",
    to: "Open",
    reason: "Manual",
    retryAfter: Duration.zero,
    openings: 1,
    elapsed: Duration.zero,
    consecutiveFailures: 1,
    failureRate: 0.5,
    slowCallRate: 0.25,
    calls: 20
  }

  for (
    const [reason, text] of [
      ["ConsecutiveFailures", "1 failure in a row"],
      ["FailureRate", "50% of 20 calls failed"],
      ["SlowCallRate", "25% of 20 calls were slow"],
      ["ProbeFailed", "a probe failed"],
      ["ProbesSucceeded", "the probes succeeded"],
      ["ProbeTimedOut", "the probes timed out"],
      ["OpenTimeEnded", "the open time ended"],
      ["Manual", "by hand"]
    ] as const
  ) {
    it(`${reason} is ${text}`, () => {
      assert.strictEqual(Text.change({ ...facts, reason }, Text.plain), `payment-api: closed → open, ${text}`)
    })
  }

  it("to open says what failed last, if that is known, and controls no terminal", () => {
    const lastFailure = { error: "ConnectionError", message: "refused\u001b[2J" }
    assert.strictEqual(
      Text.change({ ...facts, reason: "ProbeFailed", lastFailure }, Text.plain),
      "payment-api: closed → open, a probe failed (ConnectionError: refused\\u001b[2J)"
    )
    const closing = { ...facts, from: "HalfOpen", to: "Closed", reason: "ProbesSucceeded", lastFailure } as const
    assert.strictEqual(Text.change(closing, Text.plain), "payment-api: half-open → closed, the probes succeeded")
  })

  it("by hand says why, if that is known, and controls no terminal", () => {
    assert.strictEqual(
      Text.change({ ...facts, note: "maintenance\u001b[2J" }, Text.plain),
      "payment-api: closed → open, by hand: maintenance\\u001b[2J"
    )
  })
})

describe("the report on a configuration", () => {
  it("says preset where it has no name, and infinite where a time has no end", () => {
    const settings = [
      { key: "FAILURE_THRESHOLD", value: 5, unit: null, source: "preset", variable: "CB_A_FAILURE_THRESHOLD" },
      { key: "RECOVERY_TIMEOUT", value: "infinite", unit: null, source: "policy", variable: "CB_A_RECOVERY_TIMEOUT" },
      {
        key: "HALF_OPEN_TIMEOUT",
        value: 0.0005,
        unit: "seconds",
        source: "default",
        variable: "CB_A_HALF_OPEN_TIMEOUT"
      }
    ] as const
    const lines = reportLines(
      { settings: [], circuits: [{ circuit: "a", policy: "", preset: null, settings }], problems: [] },
      [],
      { columns: Infinity, paint: Text.plain }
    )

    const cells = lines.map((line) => line.trim().split(/ {2,}/))
    assert.deepInclude(cells, ["FAILURE_THRESHOLD", "5", "preset"])
    assert.deepInclude(cells, ["RECOVERY_TIMEOUT", "infinite", "policy in code"])
    assert.deepInclude(cells, ["HALF_OPEN_TIMEOUT", "500µs", "default"])
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
  const view = (columns: number, rows: number, status: "healthy" | "degraded" | "unhealthy" = "healthy") =>
    render({
      url: "http://127.0.0.1:9700",
      circuits: { _tag: "Circuits", rows: circuits, status, at: 0 },
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

  it("has its first line in the color of the whole", () => {
    for (const [status, color] of [["healthy", 32], ["degraded", 33], ["unhealthy", 31]] as const) {
      assert.include(view(80, 24, status)[0], `\u001b[${color}m${status}, 30 circuits, 1 open`)
    }
  })

  it("shows open circuits first, says how many it does not show, and the latest changes", () => {
    const text = view(80, 24).join("\n")

    assert.isBelow(text.indexOf("c29"), text.indexOf("c0"))
    assert.match(text, /… and \d+ more/)
    assert.match(text, /LATEST CHANGES.*\n.*c7: reconfigured, openDuration\n.*c6/)
  })
})
