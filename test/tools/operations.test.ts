import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Metric, Schema } from "effect"
import {
  Bulkhead,
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitMetrics,
  CircuitPolicy,
  Hedge,
  RateLimit,
  Resilience,
  Retry,
  RetryBudget,
  Telemetry,
  Tiers,
  Timeout
} from "effect-resilience"
import { parse as parseYaml } from "effect/encoding/Yaml"
import { FetchHttpClient, HttpRouter, HttpServer } from "effect/http"
import { Otlp, OtlpExporter, PrometheusMetrics } from "effect/observability"
import { TestClock } from "effect/testing"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as http from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import { ask, type Family, type FamilyType, parse, type Sample } from "../support/prometheus.ts"

const OUTCOMES = ["success", "failure", "ignored", "rejected", "late"]
const STATES = ["closed", "open", "half_open", "forced_open", "disabled", "metrics_only"]

/** What is exported: the type, the labels, and the values of those labels that have a fixed set. */
const DESIGN: Record<string, readonly [FamilyType, ReadonlyArray<string>, Record<string, ReadonlyArray<string>>?]> = {
  circuit_breaker_calls_total: ["counter", ["circuit", "outcome"], { outcome: OUTCOMES }],
  circuit_breaker_state: ["gauge", ["circuit", "state"], { state: STATES }],
  circuit_breaker_transitions_total: ["counter", ["circuit", "from", "to"], { from: STATES, to: STATES }],
  circuit_breaker_call_duration_seconds: ["histogram", ["circuit"]],
  circuit_breaker_failure_rate: ["gauge", ["circuit"]],
  circuit_breaker_slow_call_rate: ["gauge", ["circuit"]],
  retry_calls_total: ["counter", ["operation", "kind"], {
    kind: ["successful_without_retry", "successful_with_retry", "failed_without_retry", "failed_with_retry"]
  }],
  retry_attempts_total: ["counter", ["operation"]],
  retry_budget_exhausted_total: ["counter", ["operation"]],
  call_timeouts_total: ["counter", ["operation", "kind"]],
  bulkhead_in_flight: ["gauge", ["bulkhead"]],
  bulkhead_limit: ["gauge", ["bulkhead"]],
  bulkhead_queued: ["gauge", ["bulkhead"]],
  bulkhead_rejected_total: ["counter", ["bulkhead"]],
  rate_limit_limit: ["gauge", ["rate_limit"]],
  rate_limit_available: ["gauge", ["rate_limit"]],
  rate_limit_waiting: ["gauge", ["rate_limit"]],
  retry_budget_balance: ["gauge", ["budget"]],
  retry_budget_calls: ["gauge", ["budget"]],
  retry_budget_retries: ["gauge", ["budget"]],
  tier_calls_total: ["counter", ["operation", "tier", "outcome"], { outcome: ["success", "failure", "skipped"] }],
  hedge_attempts_total: ["counter", ["operation"]]
}

/** Of a circuit, a bulkhead, an operation and a tier. */
const ODD = "say \"hi\"\\n,\n{état=\"1\"} \\"

const fail = Effect.fail("down")

const metered = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<R, CircuitBreakerRegistry.CircuitBreakerRegistry>> =>
  self.pipe(
    Effect.provide(
      Telemetry.layer().pipe(Layer.provideMerge(CircuitBreakerRegistry.layer({
        defaults: CircuitPolicy.make({ consecutiveFailures: 2, openDuration: "10 seconds", successThreshold: 1 }),
        circuits: { slow: CircuitPolicy.make({ slowCallDuration: "200 millis", slowCallRate: 0.8 }) }
      })))
    ),
    Effect.provideService(Metric.MetricRegistry, new Map())
  )

/** Lets everything that protects calls do everything it does. */
const exercise = Effect.gen(function*() {
  const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
  const after = Effect.fnUntraced(function*<A, E, R>(duration: number, call: Effect.Effect<A, E, R>) {
    const fiber = yield* Effect.forkChild(Effect.exit(call), { startImmediately: true })
    yield* TestClock.adjust(duration)
    return yield* Fiber.join(fiber)
  })
  const through = (name: string, ...calls: ReadonlyArray<Effect.Effect<unknown, string>>) =>
    Effect.forEach(calls, (call) => Effect.exit(CircuitBreaker.withCircuitBreaker(call, name)))

  // Every outcome, and every edge that calls and time make.
  const late = yield* Effect.forkChild(through("api", Effect.sleep("3 seconds")), { startImmediately: true })
  yield* through("api", Effect.void, Effect.interrupt, fail, fail, Effect.void)
  yield* after(3_000, Fiber.join(late))
  yield* TestClock.adjust("10 seconds")
  yield* through("api", fail)
  yield* TestClock.adjust("10 seconds")
  yield* through("api", Effect.void)
  yield* after(250, through("slow", Effect.sleep("250 millis")))
  yield* through("slow", Effect.void, Effect.void)
  yield* through(ODD, Effect.void)

  // Every state.
  yield* through("half_open", fail, fail)
  yield* TestClock.adjust("10 seconds")
  yield* through("open", fail, fail)
  yield* (yield* registry.getOrCreate("forced_open")).forceOpen()
  yield* (yield* registry.getOrCreate("disabled")).disable
  yield* (yield* registry.getOrCreate("metrics_only")).metricsOnly
  yield* (yield* registry.getOrCreate(ODD)).metricsOnly
  yield* registry.getOrCreate("closed")

  // Everything else.
  const retry = { maxAttempts: 3, baseDelay: 0 }
  for (const operation of ["charge", ODD]) {
    const budget = yield* RetryBudget.make({ ratio: 0, minPerSecond: 1, window: "1 second" })
    yield* Effect.exit(Retry.withRetry(fail, { ...retry, operation, budget }))
    const limited = Timeout.withTimeout(Effect.never, { duration: "1 second", operation })
    yield* after(1_100, Hedge.withHedge(limited, { delay: "100 millis", operation }))
  }
  for (const name of ["db", ODD]) {
    const bulkhead = yield* Bulkhead.make({ name, limit: 1 })
    yield* Telemetry.watch(bulkhead)
    yield* Effect.forkScoped(bulkhead.execute(Effect.never), { startImmediately: true })
    yield* Effect.exit(bulkhead.execute(Effect.void))

    const rateLimit = yield* RateLimit.makeMemory({ name, limit: 5, window: "1 minute" })
    yield* Telemetry.watch(rateLimit)
    yield* rateLimit.execute(Effect.void)
    const budget = yield* RetryBudget.make({ ratio: 0.5, minPerSecond: 0 })
    yield* Telemetry.watch(budget, { name })
    yield* Effect.exit(Retry.withRetry(fail, { ...retry, operation: name, budget }))
  }
  const get = Tiers.make("get_account", [Tiers.tier("mcp", fail), Tiers.tier(ODD, Effect.succeed(1))], { spans: true })
  for (let i = 0; i < 3; i++) yield* get

  let attempts = 0
  const flaky = Effect.suspend(() => ++attempts === 1 ? fail : Effect.void)
  yield* Resilience.make({ name: "quote", retry: { maxAttempts: 2, baseDelay: 0 }, spans: true }).execute(flaky)
})

/** What a Prometheus server gets. */
const scrape = Effect.gen(function*() {
  const context = yield* HttpRouter.serve(PrometheusMetrics.layerHttp({ path: "/metrics" }), {
    disableLogger: true,
    disableListenLog: true
  }).pipe(
    Layer.provideMerge(NodeHttpServer.layer(() => http.createServer(), {
      host: "127.0.0.1",
      port: 0,
      disablePreemptiveShutdown: true
    })),
    Layer.build
  )
  const { address } = yield* Effect.provideContext(HttpServer.HttpServer, context)
  assert.ok("port" in address)
  const response = yield* Effect.promise(() => fetch(`http://127.0.0.1:${address.port}/metrics`))
  const text = yield* Effect.promise(() => response.text())
  return { status: response.status, type: response.headers.get("content-type"), text }
})

const exposed = metered(Effect.andThen(exercise, scrape))

const operations = path.resolve(import.meta.dirname, "../../docs/operations")
const read = (name: string) => fs.readFileSync(path.join(operations, name), "utf8")

/** A series, to compare with. */
const series = ({ labels, name, value }: Sample) =>
  `${name} ${JSON.stringify(Object.entries(labels).toSorted())} ${value}`

const names = (family: string, type: FamilyType) =>
  type === "histogram" ? ["_bucket", "_sum", "_count"].map((suffix) => family + suffix) : [family]

describe("the exposition", () => {
  it.effect("is what Prometheus reads: the metrics of the design and no others", () =>
    Effect.gen(function*() {
      const { status, text, type } = yield* exposed
      assert.strictEqual(status, 200)
      assert.strictEqual(type, "text/plain; version=0.0.4; charset=utf-8")

      const families = parse(text)
      assert.sameMembers(Array.from(families.keys()), Object.keys(DESIGN))
      for (const [name, { help, samples, type }] of families) {
        const [designed, labels, values = {}] = DESIGN[name]!
        assert.strictEqual(type, designed, name)
        assert.match(help, /^[A-Z0-9].{8,}/, name)
        for (const sample of samples) {
          const own = sample.name.endsWith("_bucket") ? [...labels, "le"] : labels
          assert.sameMembers(Object.keys(sample.labels), Array.from(own), series(sample))
          for (const [label, all] of Object.entries(values)) assert.include(all, sample.labels[label], series(sample))
        }
      }
    }))

  it.effect("shows every outcome, every state and every edge that happened", () =>
    Effect.gen(function*() {
      const families = parse((yield* exposed).text)
      const value = (name: string, labels: Record<string, string>) =>
        families.get(name)!.samples.filter((sample) =>
          Object.entries(labels).every(([label, value]) => sample.labels[label] === value)
        ).map(({ value }) => value).join()

      for (const outcome of OUTCOMES) {
        const times = { success: "2", failure: "3" }[outcome] ?? "1"
        assert.strictEqual(value("circuit_breaker_calls_total", { circuit: "api", outcome }), times, outcome)
      }
      for (const circuit of STATES) {
        for (const state of STATES) {
          const is = value("circuit_breaker_state", { circuit, state })
          assert.strictEqual(is, state === circuit ? "1" : "0", `${circuit} is ${state}`)
        }
      }
      const edges = families.get("circuit_breaker_transitions_total")!.samples
        .filter(({ labels }) => labels["circuit"] === "api")
        .map(({ labels, value }) => `${labels["from"]} ${labels["to"]} ${value}`)
      assert.sameMembers(edges, ["closed open 1", "open half_open 2", "half_open open 1", "half_open closed 1"])
      assert.strictEqual(value("circuit_breaker_slow_call_rate", { circuit: "slow" }), String(1 / 3))
      assert.strictEqual(value("circuit_breaker_failure_rate", { circuit: "open" }), "1")
      assert.strictEqual(value("bulkhead_in_flight", { bulkhead: "db" }), "1")
      assert.strictEqual(value("bulkhead_limit", { bulkhead: "db" }), "1")
      assert.strictEqual(value("rate_limit_available", { rate_limit: "db" }), "4")
      assert.strictEqual(value("rate_limit_limit", { rate_limit: "db" }), "5")
      assert.strictEqual(value("retry_budget_calls", { budget: "db" }), "1")
      assert.strictEqual(value("retry_calls_total", { operation: "charge", kind: "failed_with_retry" }), "1")
      assert.strictEqual(value("retry_budget_exhausted_total", { operation: "charge" }), "1")
      assert.strictEqual(value("call_timeouts_total", { operation: "charge" }), "2")
      assert.strictEqual(value("hedge_attempts_total", { operation: "charge" }), "1")
      assert.strictEqual(value("tier_calls_total", { tier: "mcp", outcome: "failure" }), "2")
      assert.strictEqual(value("tier_calls_total", { tier: "mcp", outcome: "skipped" }), "1")
    }))

  it.effect("brings names with quotes, backslashes and line feeds through unchanged", () =>
    Effect.gen(function*() {
      const families = parse((yield* exposed).text)
      for (const [name, [, labels]] of Object.entries(DESIGN)) {
        const odd = families.get(name)!.samples.filter((sample) => labels.some((label) => sample.labels[label] === ODD))
        assert.isNotEmpty(odd, name)
      }
    }))

  it.effect("counts durations in buckets, in seconds", () =>
    Effect.gen(function*() {
      const samples = parse((yield* exposed).text).get("circuit_breaker_call_duration_seconds")!.samples
      const slow = samples.filter(({ labels }) => labels["circuit"] === "slow")
      const upTo = (le: string) => slow.find(({ labels }) => labels["le"] === le)?.value

      assert.strictEqual(upTo("0.1"), 2)
      assert.strictEqual(upTo("0.25"), 3)
      assert.strictEqual(upTo("+Inf"), 3)
      assert.strictEqual(slow.find(({ name }) => name.endsWith("_sum"))?.value, 0.25)
    }))
})

describe("the parser of these tests", () => {
  const histogram = (...lines: ReadonlyArray<string>) =>
    ["# HELP h h", "# TYPE h histogram", ...lines].map((line) => `${line}\n`).join("")

  it.each([
    ["a_total 1\n", "a sample without a type"],
    ["# HELP a A\n# TYPE a counter\na 1\n", "a counter without _total"],
    ["# HELP a_total A\n# TYPE a_total counter\na_total 1.5\n", "counts no wholes"],
    ["# HELP a A\n# TYPE a gauge\na 1", "no line feed"],
    ["# TYPE a gauge\na 1\n", "a type without help"],
    ["# HELP a A\n# TYPE a gauge\na{b=\"1\"} 1\na{b=\"1\"} 2\n", "a series comes twice"],
    ["# HELP a A\n# TYPE a gauge\na{b=\"1\",b=\"2\"} 1\n", "not a sample"],
    ["# HELP a A\n# TYPE a gauge\na{b=\"\"\"} 1\n", "not a sample"],
    ["# HELP a A\n# TYPE a gauge\na{b=\"\\t\"} 1\n", "not a sample"],
    ["# HELP a A\n# TYPE a gauge\na{b=\"1\n\"} 1\n", "not a sample"],
    ["# HELP a A\n# TYPE a gauge\nb 1\n", "not of the family"],
    ["# HELP a A\n# TYPE a gauge\n", "a family without samples"],
    [histogram("h_bucket{le=\"1\"} 2", "h_bucket{le=\"+Inf\"} 1", "h_sum 1", "h_count 1"), "not cumulative"],
    [histogram("h_bucket{le=\"1\"} 1", "h_bucket{le=\"+Inf\"} 2", "h_sum 1", "h_count 3"), "+Inf is not the count"],
    [histogram("h_bucket{le=\"1\"} 1", "h_sum 1", "h_count 1"), "the last bucket is not +Inf"],
    [histogram("h_bucket{le=\"+Inf\"} 1", "h_sum 1"), "0 of _count"]
  ])("refuses %j", (text, problem) => {
    assert.throws(() => parse(text), problem)
  })

  it("finds the metrics and labels of queries", () => {
    const { kept, labels, metrics, values } = ask(
      "sum by (job, le) (rate(a_bucket{b=~\"x|y\", c=\"$c\"}[5m] offset 1h)) / on (d) group_left (e) 2 * f > 1e3 unless g"
    )
    assert.deepStrictEqual(metrics, ["a_bucket", "f", "g"])
    assert.deepStrictEqual(labels, ["job", "le", "b", "c", "d", "e"])
    assert.deepStrictEqual(values.map(({ value }) => value), ["x", "y"])
    assert.deepStrictEqual(kept, ["job", "le"])

    const variable = ask("label_values({__name__=~\"a|b\", job=~\"$job\"}, circuit)")
    assert.deepStrictEqual([variable.metrics, variable.labels], [["a", "b"], ["job", "circuit"]])
  })
})

// -----------------------------------------------------------------------------
// dashboard, alerts, runbooks
// -----------------------------------------------------------------------------

const Dashboard = Schema.Struct({
  schemaVersion: Schema.Number,
  templating: Schema.Struct({
    list: Schema.Array(
      Schema.Struct({ name: Schema.String, type: Schema.String, definition: Schema.optional(Schema.String) })
    )
  }),
  panels: Schema.Array(Schema.Struct({
    id: Schema.Number,
    type: Schema.String,
    title: Schema.String,
    description: Schema.optional(Schema.String),
    gridPos: Schema.Struct({ x: Schema.Number, y: Schema.Number, w: Schema.Number, h: Schema.Number }),
    targets: Schema.optional(Schema.Array(Schema.Struct({
      refId: Schema.String,
      expr: Schema.String,
      legendFormat: Schema.String,
      datasource: Schema.Struct({ type: Schema.Literal("prometheus"), uid: Schema.Literal("${datasource}") })
    })))
  }))
})

const Alerts = Schema.Struct({
  groups: Schema.Array(Schema.Struct({
    name: Schema.String,
    rules: Schema.Array(Schema.Struct({
      alert: Schema.String,
      expr: Schema.String,
      for: Schema.optional(Schema.String),
      labels: Schema.Struct({ severity: Schema.Literals(["critical", "warning"]) }),
      annotations: Schema.Struct({ summary: Schema.String, description: Schema.String, runbook: Schema.String })
    }))
  }))
})

const readDashboard = () => Schema.decodeUnknownSync(Dashboard)(JSON.parse(read("grafana-dashboard.json")))
const readAlerts = () =>
  Schema.decodeUnknownSync(Alerts)(parseYaml(read("alerts.yml"))).groups.flatMap(({ rules }) => rules)
const targets = () =>
  readDashboard().panels.flatMap(({ targets = [], title }) => targets.map((target) => ({ title, ...target })))
const runbookQueries = () =>
  Array.from(read("runbooks.md").matchAll(/```promql\n([\s\S]*?)```/g), ([, block]) => block!.trim().split(/\n\n+/))
    .flat()

/** Prometheus puts them on every series. */
const TARGET_LABELS = ["job", "instance"]

/** Fails if the query names what is not in the exposition. */
const checkQuery = (families: ReadonlyMap<string, Family>, query: string): ReadonlyArray<string> => {
  const asked = ask(query)
  const labels = new Set(TARGET_LABELS)
  for (const metric of asked.metrics) {
    const [family] = Array.from(families).find(([name, { type }]) => names(name, type).includes(metric)) ?? []
    assert.isDefined(family, `there is no ${metric}: ${query}`)
    const samples = families.get(family!)!.samples.filter(({ name }) => name === metric)
    for (const sample of samples) Object.keys(sample.labels).forEach((label) => labels.add(label))
    // Of other labels the values are the program's.
    const fixed = Object.keys(DESIGN[family!]![2] ?? {})
    for (const { label, value } of asked.values) {
      if (!fixed.includes(label)) continue
      assert.isTrue(samples.some(({ labels }) => labels[label] === value), `there is no ${label} "${value}": ${query}`)
    }
  }
  for (const label of asked.labels) assert.include(Array.from(labels), label, `there is no such label: ${query}`)
  return asked.metrics
}

describe("the dashboard", () => {
  it.effect("shows only series that exist, and every metric of the design", () =>
    Effect.gen(function*() {
      const families = parse((yield* exposed).text)
      const shown = new Set(targets().flatMap(({ expr }) => checkQuery(families, expr)))
      for (const { definition } of readDashboard().templating.list) {
        if (definition !== undefined) checkQuery(families, definition)
      }

      for (const [name, [type]] of Object.entries(DESIGN)) {
        assert.includeMembers(Array.from(shown), names(name, type), `${name} is in no panel`)
      }
    }))

  it("uses only variables it has, names series only by labels that are left, and filters by all that apply", () => {
    const variables = readDashboard().templating.list.map(({ name }) => name)
    assert.includeMembers(variables, ["datasource", "circuit", "operation"])
    for (const { expr, legendFormat, title } of targets()) {
      for (const [, name] of expr.matchAll(/\$(\w+)/g)) {
        if (!name!.startsWith("__")) assert.include(variables, name, title)
      }
      const { kept, metrics } = ask(expr)
      for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) assert.include(kept, label, title)
      const selectors = Array.from(expr.matchAll(/[a-z_]+\{[^}]*\}/g), ([selector]) => selector)
      assert.lengthOf(selectors, metrics.length, `${title}: a metric without a selector`)
      for (const selector of selectors) {
        assert.include(selector, "job=~\"$job\"", title)
        if (selector.startsWith("circuit_")) assert.include(selector, "circuit=~\"$circuit\"", title)
        const [metric] = selector.split("{")
        const [, labels] = Object.entries(DESIGN).find(([name, [type]]) => names(name, type).includes(metric!)) ?? []
        if (labels?.[1].includes("operation")) assert.include(selector, "operation=~\"$operation\"", title)
      }
    }
  })

  it("explains every panel, and places none over another", () => {
    const { panels, schemaVersion } = readDashboard()
    assert.isAtLeast(schemaVersion, 39)
    assert.lengthOf(new Set(panels.map(({ id }) => id)), panels.length)
    const taken = new Map<string, string>()
    for (const { description, gridPos: { h, w, x, y }, targets = [], title, type } of panels) {
      if (type !== "row") assert.isAbove(description?.length ?? 0, 20, title)
      assert.lengthOf(new Set(targets.map(({ refId }) => refId)), targets.length, title)
      for (let i = x; i < x + w; i++) {
        assert.isBelow(i, 24, title)
        for (let j = y; j < y + h; j++) {
          assert.isUndefined(taken.get(`${i} ${j}`), `${title} lies over ${taken.get(`${i} ${j}`)}`)
          taken.set(`${i} ${j}`, title)
        }
      }
    }
  })
})

describe("the alert rules", () => {
  it.effect("watch only series that exist", () =>
    Effect.gen(function*() {
      const families = parse((yield* exposed).text)
      const alerts = readAlerts()
      assert.lengthOf(alerts, read("alerts.yml").match(/- alert:/g)!.length)
      for (const { alert, expr } of alerts) assert.isNotEmpty(checkQuery(families, expr), alert)
    }))

  it("say in their texts only what their series carry", () => {
    for (const { alert, annotations, expr } of readAlerts()) {
      const { kept } = ask(expr)
      const texts = `${annotations.summary} ${annotations.description}`
      const labels = Array.from(texts.matchAll(/\$labels\.(\w+)/g), ([, label]) => label)
      assert.isNotEmpty(labels, alert)
      for (const label of labels) assert.include(kept, label, alert)
    }
  })

  it("have a runbook and a test each", () => {
    const headings = Array.from(
      read("runbooks.md").matchAll(/^## (.+)$/gm),
      ([, heading]) => heading!.toLowerCase().replaceAll(" ", "-")
    )
    for (const { alert, annotations } of readAlerts()) {
      const [file, anchor] = annotations.runbook.split("#")
      assert.strictEqual(file, "runbooks.md", alert)
      assert.include(headings, anchor, alert)
      assert.include(read("runbooks.md"), `\`${alert}\``)
      assert.match(
        read("alerts.test.yml"),
        new RegExp(`alertname: ${alert}\\n +eval_time: \\w+\\n +exp_alerts:`),
        alert
      )
    }
  })
})

describe("the runbooks", () => {
  it.effect("name only metrics that exist, and all of them", () =>
    Effect.gen(function*() {
      const families = parse((yield* exposed).text)
      const queries = runbookQueries()
      assert.isNotEmpty(queries)
      for (const query of queries) checkQuery(families, query)

      const named = Array.from(
        read("runbooks.md").matchAll(/\b(?:circuit_breaker|retry|call|bulkhead|rate_limit|tier|hedge)_\w+/g),
        ([name]) => name.replace(/_(bucket|sum|count)$/, "")
      )
      assert.sameMembers(Array.from(new Set(named)), Object.keys(DESIGN))
    }))

  it("and the table of docs/operations/observability.md have the metrics of the design", () => {
    const text = fs.readFileSync(path.join(operations, "observability.md"), "utf8")
    const rows = Array.from(text.matchAll(/^\| `(\w+)` \| (counter|gauge|histogram) \| (.*?) \|/gm))
    const documented = rows.map(([, name, type, attributes]) => [
      name,
      type,
      Array.from(attributes!.replace(/ = .*/, "").matchAll(/`(\w+)`/g), ([, label]) => label)
    ])
    assert.deepStrictEqual(documented, Object.entries(DESIGN).map(([name, [type, labels]]) => [name, type, labels]))
  })
})

it.effect("docs/operations/observability.md lists the fields of a circuit's JSON in their order, and no others", () =>
  Effect.gen(function*() {
    const section = /## Metrics of one circuit([^]*?)\n## /.exec(read("observability.md"))![1]!
    const cells = Array.from(section.matchAll(/^\| (`.*?) \|/gm), ([, cell]) => cell!)
    const documented = cells.flatMap((cell) => Array.from(cell.matchAll(/`(\w+)`/g), ([, field]) => field))
    const breaker = yield* CircuitBreaker.make({ name: "documented" })
    assert.deepStrictEqual(documented, Object.keys(CircuitMetrics.toJson(yield* breaker.metrics)))
  }))

const version = spawnSync("promtool", ["--version"], { encoding: "utf8" })
const hasPromtool = version.status === 0
if (!hasPromtool) {
  fs.writeSync(2, "operations.test.ts: promtool is not installed (Debian: prometheus); its checks are skipped\n")
}

describe.skipIf(!hasPromtool)(
  `promtool${hasPromtool ? "" : ", skipped for want of it: Debian has it in prometheus"}`,
  () => {
    const promtool = (args: ReadonlyArray<string>, input = "") => {
      const { status, stderr, stdout } = spawnSync("promtool", args, { encoding: "utf8", input, cwd: operations })
      assert.strictEqual(status, 0, stdout + stderr)
      return stdout
    }

    it.effect("finds no fault with the exposition", () =>
      Effect.gen(function*() {
        assert.strictEqual(promtool(["check", "metrics"], (yield* exposed).text), "")
      }))

    it("accepts the alert rules, and they fire when they should", () => {
      promtool(["check", "rules", "alerts.yml"])
      promtool(["test", "rules", "alerts.test.yml"])
    })

    it("accepts the queries of the dashboard and of the runbooks", () => {
      const fill = (expr: string) => expr.replaceAll(/\$__\w+/g, "1m").replaceAll(/\$\w+_threshold/g, "0.5")
      const rules = [...targets().map(({ expr }) => expr), ...runbookQueries()]
        .map((expr, i) => ({ record: `query_${i}`, expr: fill(expr) }))
      const directory = fs.mkdtempSync(path.join(os.tmpdir(), "operations-"))
      try {
        const file = path.join(directory, "queries.yml")
        fs.writeFileSync(file, JSON.stringify({ groups: [{ name: "queries", rules }] }))
        assert.include(promtool(["check", "rules", file]), `${rules.length} rules found`)
      } finally {
        fs.rmSync(directory, { recursive: true })
      }
    })
  }
)

// -----------------------------------------------------------------------------
// OTLP
// -----------------------------------------------------------------------------

interface KeyValue {
  readonly key: string
  readonly value: { readonly stringValue?: string; readonly intValue?: number; readonly doubleValue?: number }
}

interface Point {
  readonly attributes: ReadonlyArray<KeyValue>
  readonly asDouble?: number
  readonly asInt?: number
  readonly count: number
  readonly sum: number
  readonly bucketCounts: ReadonlyArray<number>
  readonly explicitBounds: ReadonlyArray<number>
}

interface Sum {
  readonly aggregationTemporality: number
  readonly isMonotonic: boolean
  readonly dataPoints: ReadonlyArray<Point>
}

interface OtlpMetric {
  readonly name: string
  readonly description: string
  readonly sum?: Sum
  readonly gauge?: { readonly dataPoints: ReadonlyArray<Point> }
  readonly histogram?: Omit<Sum, "isMonotonic">
}

interface Span {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly attributes: ReadonlyArray<KeyValue>
  readonly status: { readonly code: number }
}

interface Request {
  readonly path: string
  readonly type: string | undefined
  readonly body: any
}

/** A collector that keeps what it is sent. */
const collector = Effect.acquireRelease(
  Effect.callback<{ readonly url: string; readonly requests: Array<Request>; readonly server: http.Server }>(
    (resume) => {
      const requests: Array<Request> = []
      const server = http.createServer((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("end", () => {
          const body = JSON.parse(Buffer.concat(chunks).toString("utf8"))
          requests.push({ path: request.url!, type: request.headers["content-type"], body })
          response.writeHead(200, { "content-type": "application/json" }).end("{}")
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        assert.ok(typeof address === "object" && address !== null)
        resume(Effect.succeed({ url: `http://127.0.0.1:${address.port}`, requests, server }))
      })
    }
  ),
  ({ server }) =>
    Effect.callback<void>((resume) => {
      server.close(() => resume(Effect.void))
      server.closeAllConnections()
    })
)

/** What the collector has after the program, and the exposition of the same moment. */
const collected = Effect.gen(function*() {
  const { requests, url } = yield* collector
  const text = yield* metered(
    Effect.gen(function*() {
      yield* exercise
      const text = yield* PrometheusMetrics.format()
      yield* (yield* OtlpExporter.Flusher).flush
      return text
    }).pipe(Effect.provide(
      Otlp.layerJson({
        baseUrl: url,
        resource: { serviceName: "shop" },
        // Longer than the program: the flush is the only export.
        metricsExportInterval: "1 day",
        tracerExportInterval: "1 day",
        loggerExportInterval: "1 day"
      }).pipe(Layer.provide(FetchHttpClient.layer))
    ))
  )
  const sent = (path: string) => requests.filter((request) => request.path === path)
  assert.isTrue(requests.every(({ type }) => type === "application/json"))
  const [metrics] = sent("/v1/metrics")
  const resource = metrics!.body.resourceMetrics[0]
  return {
    families: parse(text),
    resource: resource.resource.attributes as ReadonlyArray<KeyValue>,
    metrics: resource.scopeMetrics[0].metrics as ReadonlyArray<OtlpMetric>,
    spans: sent("/v1/traces").flatMap(({ body }) => body.resourceSpans[0].scopeSpans[0].spans as ReadonlyArray<Span>)
  }
})

const attributes = (list: ReadonlyArray<KeyValue>) =>
  Object.fromEntries(list.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value.doubleValue]))

describe("a collector of OTLP", () => {
  it.effect("gets every metric, with the attributes and values that Prometheus reads", () =>
    Effect.gen(function*() {
      const { families, metrics, resource } = yield* collected
      assert.strictEqual(attributes(resource)["service.name"], "shop")
      assert.sameMembers(metrics.map(({ name }) => name), Object.keys(DESIGN))

      for (const { description, gauge, histogram, name, sum } of metrics) {
        const { help, samples, type } = families.get(name)!
        assert.strictEqual(description, help, name)
        const kind = { counter: sum, gauge, histogram }[type]
        assert.isDefined(kind, `${name} is no ${type}`)
        if (sum !== undefined) assert.isTrue(sum.isMonotonic, name)
        if (gauge === undefined) assert.strictEqual((sum ?? histogram)!.aggregationTemporality, 2, name)

        const points = kind!.dataPoints.flatMap((point): ReadonlyArray<Sample> => {
          const labels = attributes(point.attributes) as Record<string, string>
          if (type !== "histogram") return [{ name, labels, value: (point.asDouble ?? point.asInt)! }]
          assert.lengthOf(point.bucketCounts, point.explicitBounds.length + 1)
          let cumulated = 0
          return [
            ...point.bucketCounts.map((count, i) => ({
              name: `${name}_bucket`,
              labels: { ...labels, le: String(point.explicitBounds[i] ?? "+Inf") },
              value: cumulated += count
            })),
            { name: `${name}_sum`, labels, value: point.sum },
            { name: `${name}_count`, labels, value: point.count }
          ]
        })
        assert.sameMembers(points.map(series), samples.map(series), name)
      }
    }).pipe(Effect.scoped))

  it.effect("gets the spans of a pipeline and of a tiered call", () =>
    Effect.gen(function*() {
      const { spans } = yield* collected
      const shown = spans.map((span) => {
        const parent = spans.find(({ spanId }) => spanId === span.parentSpanId)
        if (parent !== undefined) assert.strictEqual(span.traceId, parent.traceId)
        return [parent?.name, span.name, attributes(span.attributes), { 1: "ok", 2: "error" }[span.status.code]]
      })
      const tiered = (outcome: string) => [
        [
          "get_account",
          "get_account mcp",
          { "resilience.operation": "get_account", "resilience.tier": "mcp", "resilience.outcome": outcome },
          "error"
        ],
        [
          "get_account",
          `get_account ${ODD}`,
          { "resilience.operation": "get_account", "resilience.tier": ODD, "resilience.outcome": "success" },
          "ok"
        ],
        [undefined, "get_account", { "resilience.operation": "get_account", "resilience.outcome": "success" }, "ok"]
      ]
      const attempt = (number: number, outcome: string, status: string) => [
        "quote",
        "quote attempt",
        { "resilience.pipeline": "quote", "resilience.attempt": number, "resilience.outcome": outcome },
        status
      ]

      assert.deepStrictEqual(shown, [
        ...tiered("failure"),
        ...tiered("failure"),
        ...tiered("skipped"),
        attempt(1, "failure", "error"),
        attempt(2, "success", "ok"),
        [undefined, "quote", { "resilience.pipeline": "quote", "resilience.outcome": "success" }, "ok"]
      ])
    }).pipe(Effect.scoped))
})
