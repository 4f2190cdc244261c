/**
 * Every row of docs/guide/migrating-from-python.md has a test that is tagged with it, wherever that test is and whatever
 * its title: a comment `// migration: tag | tag` right above it, where a tag is the first code of the row's first cell
 * (or else its words up to a comma, without a heading such as `guideline:`). The capabilities that are combinations,
 * which no other test has, are tested here.
 */
import { assert, describe, it } from "@effect/vitest"
import {
  Clock,
  Context,
  Data,
  DateTime,
  Deferred,
  Duration,
  Effect,
  Fiber,
  Layer,
  Option,
  Random,
  Schedule,
  type Scope,
  Semaphore,
  Stream
} from "effect"
import { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import * as Library from "effect-resilience"
import {
  Bulkhead,
  CircuitBreaker,
  CircuitBreakerRegistry,
  type CircuitEvent,
  CircuitMetrics,
  CircuitPolicy,
  Environment,
  Fallback,
  Outcome,
  ResilienceError,
  Retry,
  Tiers,
  Timeout
} from "effect-resilience"
import { TestClock, TestConsole } from "effect/testing"
import * as fs from "node:fs"
import * as path from "node:path"
import { type Breaker, call, changes, fail, hold, repeat, settle, succeed, watch } from "../support/circuits.ts"
import { interruptEverywhere } from "../support/interruptEverywhere.ts"
import { namedCircuit } from "../support/registry.ts"

const root = path.resolve(import.meta.dirname, "../..")
const read = (file: string): string => fs.readFileSync(path.join(root, file), "utf8")

// -----------------------------------------------------------------------------
// docs/guide/migrating-from-python.md
// -----------------------------------------------------------------------------

const page = "docs/guide/migrating-from-python.md"

interface Row {
  readonly line: number
  readonly tag: string
  readonly here: string
}

/** The rows of all tables that have the columns of the page. */
const parseRows = (markdown: string): ReadonlyArray<Row> => {
  let inTable = false
  return markdown.split(/\r?\n/).flatMap((text, index): ReadonlyArray<Row> => {
    if (!text.startsWith("|")) {
      inTable = false
      return []
    }
    const cells = text.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim())
    if (cells.every((cell) => /^-+$/.test(cell))) return []
    if (cells.join() === "in Python,here") {
      inTable = true
      return []
    }
    const [capability = "", here = ""] = cells
    return inTable ? [{ line: index + 1, tag: tagOf(capability), here }] : []
  })
}

const tagOf = (capability: string): string =>
  /`([^`]+)`/.exec(capability)?.[1] ?? capability.replace(/^[\w ]+: /, "").split(",")[0]!

/** The lines `// migration: …` of a file with the line of code below each block of them. */
const parseTags = (file: string) => {
  const found: Array<{ readonly tag: string; readonly above: string; readonly where: string }> = []
  let tags: Array<string> = []
  read(file).split(/\r?\n/).forEach((text, index) => {
    const match = /^\s*\/\/ migration: (.+)$/.exec(text)
    if (match !== null) return tags.push(...match[1]!.split(" | "))
    for (const tag of tags) found.push({ tag, above: text.trim(), where: `${file}:${index + 1}` })
    tags = []
  })
  return found
}

const rows = parseRows(read(page))

const tagged = fs.readdirSync(path.join(root, "test"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".test.ts"))
  .flatMap((file) => parseTags(path.posix.join("test", file.replaceAll("\\", "/"))))

describe(page, () => {
  it("has rows for five systems", () => {
    assert.strictEqual(read(page).match(/^\| in Python \| here \|$/gm)?.length, 5)
    assert.isAbove(rows.length, 100)
  })

  for (const { here, line, tag } of rows) {
    it(`line ${line}: ${tag} is shown by a test, or is not there yet`, () => {
      if (tagged.some((test) => test.tag === tag)) return
      assert.match(here, /\bnot yet\b.*\w/, `no test has the tag "// migration: ${tag}"`)
    })
  }

  it("has a row for each tag of a test", () => {
    assert.deepStrictEqual(tagged.filter(({ tag }) => !rows.some((row) => row.tag === tag)), [])
  })

  it("is shown by tests that run", () => {
    // A file may have a function `rule` that registers a test for each kind of circuit.
    const isTest = /^(?:it|test|rule)(?:\.(?:effect|live|each\(.*\)))*\(/
    assert.deepStrictEqual(tagged.filter(({ above }) => !isTest.test(above)), [])
  })

  it("names only modules and functions that exist", () => {
    const named = matches(/`([A-Z]\w+)\.([a-z]\w*)[^`]*`/g)
    const unknown = named.filter(({ member, owner }) => {
      const module: object | undefined = Reflect.get(Library, owner)
      return module !== undefined && !Reflect.has(module, member)
    })
    assert.isAbove(named.length, 50)
    assert.deepStrictEqual(unknown, [])
  })

  it.effect("names only members of circuits and registries that exist", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "any" })
      const registry = yield* CircuitBreakerRegistry.make()
      const named = matches(/`(breaker|registry)\.(\w+)[^`]*`/g)
      const unknown = named.filter(({ member, owner }) =>
        !Reflect.has(owner === "breaker" ? breaker : registry, member)
      )
      assert.isAbove(named.length, 20)
      assert.deepStrictEqual(unknown, [])
    }))
})

/** What the rows name as here, `owner.member`. */
const matches = (pattern: RegExp) =>
  rows.flatMap(({ here, line }) =>
    Array.from(here.matchAll(pattern), (match) => ({ line, owner: match[1]!, member: match[2]! }))
  )

// -----------------------------------------------------------------------------
// helpers
// -----------------------------------------------------------------------------

class ServiceError extends Data.TaggedError("ServiceError")<{ readonly status: number }> {}

/** How many failures in a row open a circuit, and for how many seconds. */
const tripOf = (policy: CircuitPolicy.CircuitPolicy) =>
  Effect.gen(function*() {
    const breaker = yield* CircuitBreaker.make({ name: "dependency", policy })
    let failures = 0
    while ((yield* breaker.state) === "Closed") {
      yield* fail(breaker)
      failures++
    }
    return { failures, seconds: yield* openSeconds(breaker) }
  })

const openSeconds = (breaker: Breaker) =>
  Effect.map(breaker.metrics, ({ timeUntilRetry }) => Duration.toSeconds(timeUntilRetry ?? Duration.zero))

/** How many calls a half-open circuit lets through at once. */
const probesOf = (policy: CircuitPolicy.CircuitPolicy) =>
  Effect.gen(function*() {
    const breaker = yield* CircuitBreaker.make({ name: "dependency", policy })
    while ((yield* breaker.state) === "Closed") yield* fail(breaker)
    yield* TestClock.adjust(`${yield* openSeconds(breaker)} seconds`)
    const held = yield* Effect.forEach(Array.from({ length: 10 }), () => hold(breaker))
    const { probesInFlight } = yield* breaker.metrics
    yield* Effect.forEach(held, ({ interrupt }) => interrupt)
    return probesInFlight
  })

/** A dependency that counts its calls and is up or down. */
const makeDependency = () => {
  const dependency = {
    up: true,
    calls: 0,
    call: Effect.suspend((): Effect.Effect<string, ServiceError> => {
      dependency.calls++
      return dependency.up ? Effect.succeed("served") : Effect.fail(new ServiceError({ status: 503 }))
    })
  }
  return dependency
}

const withRegistry = (options?: CircuitBreakerRegistry.Options) => Effect.provide(CircuitBreakerRegistry.layer(options))

// -----------------------------------------------------------------------------
// recipes: the same code as in docs/guide/integrations.md
// -----------------------------------------------------------------------------

// #region recipe
type ApiError = HttpClientError.HttpClientError | ResilienceError.CallTimeoutError | ResilienceError.CircuitOpenError

class ExampleApi extends Context.Service<ExampleApi, {
  readonly get: (path: string) => Effect.Effect<unknown, ApiError>
  readonly post: (path: string, body: unknown) => Effect.Effect<unknown, ApiError>
}>()("app/ExampleApi") {
  static readonly layer = (baseUrl: string) =>
    Layer.effect(
      ExampleApi,
      Effect.gen(function*() {
        const client = yield* HttpClient.HttpClient
        const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
        const breaker = yield* registry.register(
          "example-api",
          CircuitPolicy.make({
            consecutiveFailures: 3,
            openDuration: "30 seconds",
            classify: Outcome.failureUnless(isAnswer)
          })
        )

        const send = (request: HttpClientRequest.HttpClientRequest) =>
          client.execute(HttpClientRequest.prependUrl(request, baseUrl)).pipe(
            Effect.flatMap(HttpClientResponse.filterStatusOk),
            // Inside the circuit: a body that breaks off is a failure too.
            Effect.flatMap((response) => response.json),
            Timeout.withTimeout({ duration: "10 seconds", operation: "example-api" }),
            breaker.execute
          )

        return ExampleApi.of({
          get: (path) => send(HttpClientRequest.get(path)),
          post: (path, body) => send(HttpClientRequest.post(path).pipe(HttpClientRequest.bodyJsonUnsafe(body)))
        })
      })
    )
}

const isAnswer = (error: unknown): boolean =>
  HttpClientError.isHttpClientError(error) && error.reason._tag === "StatusCodeError" &&
  error.reason.response.status < 500
// #endregion

// #region recipe
class ConnectionError extends Data.TaggedError("ConnectionError") {}
class QueryError extends Data.TaggedError("QueryError")<{ readonly sql: string }> {}

type Rows = ReadonlyArray<Readonly<Record<string, unknown>>>

// Whatever driver you use: a pool that gives connections for a scope.
class Pool extends Context.Service<Pool, {
  readonly connection: Effect.Effect<
    {
      readonly run: (sql: string, params: ReadonlyArray<unknown>) => Effect.Effect<Rows, ConnectionError | QueryError>
    },
    ConnectionError,
    Scope.Scope
  >
}>()("app/Pool") {}

type Unavailable = ConnectionError | ResilienceError.CallTimeoutError | ResilienceError.CircuitOpenError

class Database extends Context.Service<Database, {
  readonly execute: (sql: string, ...params: ReadonlyArray<unknown>) => Effect.Effect<Rows, QueryError | Unavailable>
  readonly fetch: (
    sql: string,
    ...params: ReadonlyArray<unknown>
  ) => Effect.Effect<{ readonly rows: Rows; readonly stale: boolean }, QueryError | Unavailable>
}>()("app/Database") {
  static readonly layer = Layer.effect(
    Database,
    Effect.gen(function*() {
      const pool = yield* Pool
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const breaker = yield* registry.register(
        "database",
        CircuitPolicy.make({
          ...CircuitPolicy.database,
          classify: Outcome.failureUnless((error) => error instanceof QueryError)
        })
      )
      const lastRead = new Map<string, Rows>()

      const execute = (sql: string, ...params: ReadonlyArray<unknown>) =>
        Effect.flatMap(pool.connection, (connection) => connection.run(sql, params)).pipe(
          Effect.scoped,
          Timeout.withTimeout({ duration: "5 seconds", operation: "database" }),
          breaker.execute
        )

      const fetch = (sql: string, ...params: ReadonlyArray<unknown>) => {
        const key = JSON.stringify([sql, params])
        return execute(sql, ...params).pipe(
          Effect.tap((rows) => Effect.sync(() => lastRead.set(key, rows))),
          Effect.map((rows) => ({ rows, stale: false })),
          Fallback.withFallback(
            (error) =>
              Option.match(Option.fromUndefinedOr(lastRead.get(key)), {
                onNone: () => Effect.fail(error),
                onSome: (rows) => Effect.succeed({ rows, stale: true })
              }),
            { when: isUnavailable }
          )
        )
      }

      return Database.of({ execute, fetch })
    })
  )
}

const isUnavailable = (error: QueryError | Unavailable): error is Unavailable => error._tag !== "QueryError"
// #endregion

// #region recipe
interface Message {
  readonly id: string
  readonly body: string
}

class BrokerError extends Data.TaggedError("BrokerError") {}

class Broker extends Context.Service<Broker, {
  readonly send: (message: Message) => Effect.Effect<void, BrokerError>
}>()("app/Broker") {}

class MessageQueue extends CircuitBreaker.Service<MessageQueue>()("message-queue", { policy: CircuitPolicy.kafka }) {}

class Publisher extends Context.Service<Publisher, {
  readonly publish: (
    message: Message
  ) => Effect.Effect<"published" | "queued", BrokerError | ResilienceError.CallTimeoutError>
  /** Sends what waits in the outbox, as far as the circuit and the broker let it. */
  readonly flush: Effect.Effect<void>
  readonly waiting: Effect.Effect<number>
}>()("app/Publisher") {
  static readonly layer = Layer.effect(
    Publisher,
    Effect.gen(function*() {
      const broker = yield* Broker
      const breaker = yield* MessageQueue
      const outbox: Array<Message> = []
      const turn = yield* Semaphore.make(1)

      const send = (message: Message) =>
        broker.send(message).pipe(
          Timeout.withTimeout({ duration: "5 seconds", operation: "publish" }),
          breaker.execute
        )

      const publish = (message: Message) =>
        send(message).pipe(
          Effect.as("published" as const),
          Fallback.onRejection(Effect.sync(() => {
            outbox.push(message)
            return "queued" as const
          }))
        )

      const flush = Effect.gen(function*() {
        for (let first = outbox[0]; first !== undefined; first = outbox[0]) {
          yield* send(first).pipe(
            Effect.andThen(Effect.sync(() => outbox.shift())),
            Effect.uninterruptible
          )
        }
      }).pipe(
        // Whatever was wrong, there is a next time.
        Effect.ignoreCause({ log: "Debug" }),
        Semaphore.withPermit(turn)
      )

      yield* CircuitBreaker.onRecovery(breaker, () => flush)
      // If nobody publishes, nobody else probes. And a message may have been rejected just before the circuit closed.
      yield* Effect.forkScoped(Effect.repeat(flush, Schedule.spaced("30 seconds")))

      return Publisher.of({ publish, flush, waiting: Effect.sync(() => outbox.length) })
    })
  )
}
// #endregion

describe("docs/guide/integrations.md", () => {
  it("has the recipes that are tested here", () => {
    const guide = read("docs/guide/integrations.md")
    const recipes = [
      ...read("test/tools/migration.test.ts").matchAll(/^\/\/ #region recipe\n([^]*?)\/\/ #endregion$/gm)
    ]
    assert.lengthOf(recipes, 3)
    for (const recipe of recipes) assert.isTrue(guide.includes(recipe[1]!), recipe[1]!.slice(0, 100))
  })
})

// -----------------------------------------------------------------------------
// the capabilities
// -----------------------------------------------------------------------------

describe("External dependency breaker", () => {
  // migration: protect(timeout=…)
  it.effect("protect(): the block reports its result, its timeout counts, and an open circuit keeps it from starting", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        name: "analytics-service",
        policy: CircuitPolicy.make({ consecutiveFailures: 1 })
      })
      let started = 0
      const protect = (block: Effect.Effect<string>) =>
        Effect.scoped(Effect.gen(function*() {
          const permit = yield* breaker.permit
          started++
          const result = yield* Timeout.withTimeout(block, "5 seconds")
          yield* permit.success
          return result
        }))

      assert.strictEqual(yield* protect(Effect.succeed("tracked")), "tracked")
      assert.strictEqual((yield* breaker.metrics).successfulCalls, 1)

      const late = yield* Effect.forkChild(Effect.flip(protect(Effect.never)), { startImmediately: true })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(late))._tag, "CallTimeoutError")
      assert.strictEqual((yield* breaker.metrics).failedCalls, 1)

      assert.strictEqual((yield* Effect.flip(protect(Effect.succeed("tracked"))))._tag, "CircuitOpenError")
      assert.strictEqual(started, 2)
    }))

  // migration: call(func)
  it.effect("call(): a promise goes through the circuit, and is aborted if its caller is interrupted", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "payment-api" })
      const charge = (amount: number) => breaker.execute(Effect.tryPromise(async () => `charged ${amount}`))
      assert.strictEqual(yield* charge(5), "charged 5")

      const refused = breaker.execute(Effect.tryPromise(() => Promise.reject(new Error("503"))))
      assert.strictEqual((yield* Effect.flip(refused))._tag, "UnknownError")

      let aborted = false
      const hanging = breaker.execute(
        Effect.tryPromise((signal) =>
          new Promise(() =>
            signal.addEventListener("abort", () => {
              aborted = true
            })
          )
        )
      )
      const fiber = yield* Effect.forkChild(hanging, { startImmediately: true })
      yield* settle
      yield* Fiber.interrupt(fiber)
      assert.isTrue(aborted)

      const { failedCalls, ignoredCalls, successfulCalls } = yield* breaker.metrics
      assert.deepStrictEqual([successfulCalls, failedCalls, ignoredCalls], [1, 1, 1])
    }))

  // migration: call(func, fallback=…)
  it.effect("call(fallback=): answers while the circuit is open, and other errors stay what they are", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "recommendation-service", policy: CircuitPolicy.fastFail })
      const dependency = makeDependency()
      const recommendations = breaker.execute(dependency.call).pipe(Fallback.onRejection(Effect.succeed("popular")))

      assert.strictEqual(yield* recommendations, "served")
      dependency.up = false
      for (let i = 0; i < 3; i++) assert.strictEqual((yield* Effect.flip(recommendations)).status, 503)
      assert.strictEqual(yield* recommendations, "popular")
      assert.strictEqual(dependency.calls, 4)
    }))

  // migration: create_fast_fail(name)
  it.effect("create_fast_fail() and create_resilient(): 3 failures and 30 seconds, 10 failures and 120 seconds that grow", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* tripOf(CircuitPolicy.fastFail), { failures: 3, seconds: 30 })
      assert.deepStrictEqual(yield* tripOf(CircuitPolicy.resilient), { failures: 10, seconds: 120 })

      const breaker = yield* CircuitBreaker.make({ name: "background-service", policy: CircuitPolicy.resilient })
      yield* fail(breaker, 10)
      yield* TestClock.adjust("120 seconds")
      yield* fail(breaker)
      assert.strictEqual(yield* openSeconds(breaker), 240)
    }))

  // migration: add_event_listener(STATE_CHANGE, …) | high error rate
  it.effect("add_event_listener(): a listener logs state changes, another alerts when too many calls fail", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "user-service", policy: CircuitPolicy.fastFail })
      const heard: Array<string> = []
      yield* breaker.on("StateChanged", ({ circuit, to }) => Effect.sync(() => heard.push(`${circuit} is ${to}`)))
      yield* breaker.on("CallEnded", (event) =>
        Effect.gen(function*() {
          if (event.outcome !== "Failure") return
          const { failureRate } = yield* breaker.metrics
          if (failureRate > 0.5) heard.push(`alert: ${failureRate.toFixed(2)} of the calls fail`)
        }))
      yield* settle

      yield* succeed(breaker)
      yield* fail(breaker)
      yield* settle
      assert.deepStrictEqual(heard, [])

      yield* fail(breaker)
      yield* settle
      yield* fail(breaker)
      yield* settle
      assert.sameMembers(heard, [
        "alert: 0.67 of the calls fail",
        "alert: 0.75 of the calls fail",
        "user-service is Open"
      ])
    }))

  // migration: list_circuit_breakers()
  it.effect("list_circuit_breakers(): the state and failure rate of every circuit, by name", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      yield* fail(yield* registry.register("payment-api", CircuitPolicy.make({ consecutiveFailures: 1 })))
      const users = yield* registry.register("user-service")
      yield* succeed(users, 3)
      yield* fail(users)

      const list = Object.fromEntries(
        (yield* registry.statuses).map((status) => [status.name, CircuitMetrics.toJson(status)])
      )
      assert.deepStrictEqual(
        Object.entries(list).map(([name, { error_rate, state }]) => [name, state, error_rate]),
        [["payment-api", "open", 1], ["user-service", "closed", 0.25]]
      )
    }).pipe(withRegistry()))

  // migration: get_circuit_breaker(name) | service name | name
  it.effect("debug output: name, state, thresholds and counts of a circuit that is looked up by name", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      yield* fail(yield* registry.register("my-service", CircuitPolicy.production), 2)

      const breaker = Option.getOrThrow(yield* registry.get("my-service"))
      const policy = yield* breaker.policy
      const metrics = yield* breaker.metrics
      assert.deepStrictEqual(
        [breaker.name, yield* breaker.state, policy.consecutiveFailures, metrics.totalCalls, metrics.callsInWindow],
        ["my-service", "Closed", 5, 2, 2]
      )
      assert.include(policy.description, "opens after 5 failures in a row, for 1m")
    }).pipe(withRegistry()))

  // migration: slow recovery
  it.effect("slow recovery: a shorter open time without backoff probes sooner, and always as soon", () =>
    Effect.gen(function*() {
      const policy = CircuitPolicy.make({ consecutiveFailures: 1, openDuration: "30 seconds" })
      const breaker = yield* CircuitBreaker.make({ name: "dependency", policy })
      for (let opening = 1; opening <= 3; opening++) {
        yield* fail(breaker)
        assert.strictEqual(yield* openSeconds(breaker), 30)
        yield* TestClock.adjust("30 seconds")
      }
    }))

  // migration: a periodic health check over all circuits
  it.effect("circuit_breaker_health_check(): names what is open and warns of what fails above a tenth, again and again", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const reports: Array<string> = []
      const check = Effect.gen(function*() {
        for (const { failureRate, name, state } of yield* registry.statuses) {
          if (state === "Open") reports.push(`alert: ${name} is open`)
          else if (failureRate > 0.1) reports.push(`warning: ${name} fails at ${failureRate * 100}%`)
        }
      })
      yield* Effect.forkScoped(Effect.repeat(check, Schedule.spaced("30 seconds")), { startImmediately: true })
      assert.deepStrictEqual(reports, [])

      yield* fail(yield* registry.register("payment-api", CircuitPolicy.make({ consecutiveFailures: 1 })))
      const users = yield* registry.register("user-service")
      yield* succeed(users, 3)
      yield* fail(users)
      yield* succeed(yield* registry.register("cache"), 20)
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(reports, ["alert: payment-api is open", "warning: user-service fails at 25%"])

      const { openCircuits, status } = yield* registry.systemStatus
      assert.deepStrictEqual([status, openCircuits], ["unhealthy", ["payment-api"]])
      yield* registry.reset("payment-api")
      assert.strictEqual((yield* registry.systemStatus).status, "degraded")
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual((yield* registry.systemStatus).status, "healthy")
    }).pipe(withRegistry()))

  // migration: CircuitBreakerOpenException
  it.effect("exceptions: an open circuit, a timeout and an error of the service are told apart", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "user-service" })
      const request = (call: Effect.Effect<string, ServiceError>) =>
        call.pipe(
          Timeout.withTimeout({ duration: "1 seconds", operation: "get_user" }),
          breaker.execute,
          Effect.map((data) => ({ status: "success", data })),
          Effect.catchTags({
            CircuitOpenError: () => Effect.succeed({ status: "degraded", data: "cached" }),
            CallTimeoutError: (error) => Effect.succeed({ status: "timeout", message: error.message }),
            ServiceError: (error) => Effect.succeed({ status: "error", message: `answered ${error.status}` })
          })
        )

      assert.deepStrictEqual(yield* request(Effect.succeed("Ada")), { status: "success", data: "Ada" })
      assert.deepStrictEqual(yield* request(Effect.fail(new ServiceError({ status: 500 }))), {
        status: "error",
        message: "answered 500"
      })
      const late = yield* Effect.forkChild(request(Effect.never), { startImmediately: true })
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(yield* Fiber.join(late), {
        status: "timeout",
        message: "get_user did not complete within 1s"
      })
      yield* breaker.forceOpen()
      assert.deepStrictEqual(yield* request(Effect.succeed("Ada")), { status: "degraded", data: "cached" })
    }))

  // migration: meaningful fallbacks
  it.effect("deferred work: a payment that was not charged is answered with another status, also after a timeout", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "payment-api" })
      const pay = (charge: Effect.Effect<{ readonly status: string }>) =>
        charge.pipe(
          Timeout.withTimeout("10 seconds"),
          breaker.execute,
          Fallback.onUnavailable((error) => Effect.succeed({ status: "deferred", because: error._tag }))
        )
      assert.deepStrictEqual(yield* pay(Effect.succeed({ status: "charged" })), { status: "charged" })
      const late = yield* Effect.forkChild(pay(Effect.never), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* Fiber.join(late), { status: "deferred", because: "CallTimeoutError" })
      yield* breaker.forceOpen()
      assert.deepStrictEqual(yield* pay(Effect.succeed({ status: "charged" })), {
        status: "deferred",
        because: "CircuitOpenError"
      })
    }))

  describe("ResilientHTTPClient", () => {
    type Respond = (request: HttpClientRequest.HttpClientRequest, url: URL) => Response | "unreachable" | "hangs"

    const withServer = (respond: Respond) =>
      Effect.provide(
        ExampleApi.layer("https://api.example.com").pipe(
          Layer.provide(Layer.succeed(
            HttpClient.HttpClient,
            HttpClient.make((request, url) => {
              const response = respond(request, url)
              if (response === "hangs") return Effect.never
              return response === "unreachable"
                ? Effect.fail(
                  new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request }) })
                )
                : Effect.succeed(HttpClientResponse.fromWeb(request, response))
            })
          )),
          Layer.provide(CircuitBreakerRegistry.layer())
        )
      )

    // migration: ResilientHTTPClient
    it.effect("get and post send their request and return the body", () => {
      const requests: Array<string> = []
      return Effect.gen(function*() {
        const api = yield* ExampleApi
        assert.deepStrictEqual(yield* api.get("/users/123"), { name: "Ada" })
        assert.deepStrictEqual(yield* api.post("/users", { name: "Grace" }), { name: "Ada" })
        assert.deepStrictEqual(requests, [
          "GET https://api.example.com/users/123 Empty",
          "POST https://api.example.com/users Uint8Array"
        ])
      }).pipe(withServer(({ body, method }, url) => {
        requests.push(`${method} ${url} ${body._tag}`)
        return Response.json({ name: "Ada" })
      }))
    })

    const failures: Record<string, () => ReturnType<Respond>> = {
      "500": () => new Response(null, { status: 500 }),
      "503": () => new Response(null, { status: 503 }),
      "a server that is not reached": () => "unreachable",
      "a body that breaks off": () => new Response(`{"name": "A`)
    }
    for (const [name, respond] of Object.entries(failures)) {
      // migration: ResilientHTTPClient | ResilientHttpClient
      it.effect(`a failure is ${name}: three open the circuit, and the server is left alone for 30 seconds`, () => {
        let requests = 0
        return Effect.gen(function*() {
          const api = yield* ExampleApi
          for (let i = 0; i < 3; i++) {
            assert.strictEqual((yield* Effect.flip(api.get("/"))) instanceof HttpClientError.HttpClientError, true)
          }
          assert.strictEqual((yield* Effect.flip(api.post("/", {})))._tag, "CircuitOpenError")
          assert.strictEqual(requests, 3)
          yield* TestClock.adjust("30 seconds")
          yield* Effect.flip(api.get("/"))
          assert.strictEqual(requests, 4)
        }).pipe(withServer(() => {
          requests++
          return respond()
        }))
      })
    }

    it.effect("a failure is an answer that takes longer than ten seconds", () =>
      Effect.gen(function*() {
        const api = yield* ExampleApi
        for (let i = 0; i < 3; i++) {
          const fiber = yield* Effect.forkChild(Effect.flip(api.get("/")), { startImmediately: true })
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual((yield* Fiber.join(fiber))._tag, "CallTimeoutError")
        }
        assert.strictEqual((yield* Effect.flip(api.get("/")))._tag, "CircuitOpenError")
      }).pipe(withServer(() => "hangs")))

    for (const status of [400, 401, 404, 422, 429]) {
      // migration: ResilientHTTPClient
      it.effect(`an answer is ${status}: it never opens the circuit, and breaks a row of failures`, () => {
        let answer = status
        return Effect.gen(function*() {
          const api = yield* ExampleApi
          for (let i = 0; i < 20; i++) {
            answer = i % 3 === 2 ? status : 500
            const error = yield* Effect.flip(api.get("/"))
            assert.isTrue(error._tag === "HttpClientError" && error.response?.status === answer)
          }
        }).pipe(withServer(() => new Response(null, { status: answer })))
      })
    }
  })

  describe("ResilientDatabase", () => {
    interface Server {
      up: boolean
      connects: boolean
      connections: number
      statements: number
      rows: Rows
    }

    const withDatabase = <A, E>(test: (server: Server) => Effect.Effect<A, E, Database>) => {
      const server: Server = { up: true, connects: true, connections: 0, statements: 0, rows: [] }
      const pool = Layer.succeed(Pool, {
        connection: Effect.acquireRelease(
          Effect.suspend(() => {
            if (!server.connects) return Effect.fail(new ConnectionError())
            server.connections++
            return Effect.succeed({
              run: (sql: string) => {
                server.statements++
                if (!server.up) return Effect.fail(new ConnectionError())
                return sql.includes("SELEKT") ? Effect.fail(new QueryError({ sql })) : Effect.succeed(server.rows)
              }
            })
          }),
          () => Effect.sync(() => server.connections--)
        )
      })
      return Effect.provide(test(server), Database.layer.pipe(Layer.provide([pool, CircuitBreakerRegistry.layer()])))
    }

    // migration: ResilientDatabase.fetch()
    it.effect("fetch() answers with what it last read while the database is down, and says so", () =>
      withDatabase(Effect.fnUntraced(function*(server) {
        const database = yield* Database
        const users = database.fetch("SELECT * FROM users WHERE active = $1", true)
        server.rows = [{ name: "Ada" }]
        assert.deepStrictEqual(yield* users, { rows: [{ name: "Ada" }], stale: false })

        server.up = false
        // Five failures open the circuit, and then nothing is asked. The answer is the same.
        for (let i = 0; i < 10; i++) assert.deepStrictEqual(yield* users, { rows: [{ name: "Ada" }], stale: true })
        assert.strictEqual(server.statements, 6)

        server.up = true
        server.rows = [{ name: "Grace" }]
        yield* TestClock.adjust("60 seconds")
        assert.deepStrictEqual(yield* users, { rows: [{ name: "Grace" }], stale: false })
        assert.strictEqual(server.connections, 0)
      })))

    // migration: ResilientDatabase.fetch()
    it.effect("fetch() of something never read fails with what is wrong", () =>
      withDatabase(Effect.fnUntraced(function*(server) {
        const database = yield* Database
        server.up = false
        for (let i = 0; i < 5; i++) {
          assert.strictEqual((yield* Effect.flip(database.fetch("SELECT 1")))._tag, "ConnectionError")
        }
        assert.strictEqual((yield* Effect.flip(database.fetch("SELECT 1")))._tag, "CircuitOpenError")
      })))

    // migration: ResilientDatabase.execute()
    it.effect("execute() has no fallback: while the circuit is open it fails without asking the database", () =>
      withDatabase(Effect.fnUntraced(function*(server) {
        const database = yield* Database
        const update = database.execute("UPDATE users SET active = $1", true)
        yield* update
        server.up = false
        for (let i = 0; i < 5; i++) assert.strictEqual((yield* Effect.flip(update))._tag, "ConnectionError")
        assert.strictEqual((yield* Effect.flip(update))._tag, "CircuitOpenError")
        assert.strictEqual(server.statements, 6)
      })))

    // migration: ResilientDatabase.execute() | ResilientDatabase
    it.effect("the pool is opened when it is first needed: one that cannot connect opens the circuit, and is asked again", () =>
      withDatabase(Effect.fnUntraced(function*(server) {
        const database = yield* Database
        server.connects = false
        for (let i = 0; i < 5; i++) {
          assert.strictEqual((yield* Effect.flip(database.execute("SELECT 1")))._tag, "ConnectionError")
        }
        assert.strictEqual((yield* Effect.flip(database.execute("SELECT 1")))._tag, "CircuitOpenError")
        server.connects = true
        yield* TestClock.adjust("60 seconds")
        assert.deepStrictEqual(yield* database.execute("SELECT 1"), [])
      })))

    // migration: ResilientDatabase
    it.effect("a query that is wrong says nothing about the database, and has no fallback", () =>
      withDatabase(Effect.fnUntraced(function*() {
        const database = yield* Database
        for (let i = 0; i < 20; i++) {
          assert.strictEqual((yield* Effect.flip(database.fetch("SELEKT 1")))._tag, "QueryError")
        }
        assert.deepStrictEqual(yield* database.fetch("SELECT 1"), { rows: [], stale: false })
      })))
  })

  describe("ResilientMessagePublisher", () => {
    interface BrokerState {
      up: boolean
      latency: Duration.Input
      /** From when the broker has a message until its sender knows. */
      acknowledge: Effect.Effect<void>
      readonly delivered: Array<string>
    }

    const withBroker = <A, E>(
      test: (
        broker: BrokerState
      ) => Effect.Effect<A, E, Publisher | MessageQueue | Scope.Scope>
    ) => {
      const state: BrokerState = { up: true, latency: 0, acknowledge: Effect.void, delivered: [] }
      const broker = Layer.succeed(Broker, {
        send: ({ id }) =>
          Effect.sleep(state.latency).pipe(
            Effect.andThen(Effect.suspend(() =>
              state.up ? Effect.sync(() => state.delivered.push(id)) : Effect.fail(new BrokerError())
            )),
            Effect.andThen(Effect.suspend(() =>
              state.acknowledge
            ))
          )
      })
      return Effect.provide(
        test(state),
        Publisher.layer.pipe(Layer.provide(broker), Layer.provideMerge(MessageQueue.layer))
      )
    }

    const publish = (id: number | string) =>
      Publisher.use((publisher) => publisher.publish({ id: String(id), body: "" })).pipe(
        Effect.catchTags({
          BrokerError: () => Effect.succeed("failed" as const),
          CallTimeoutError: () => Effect.succeed("late" as const)
        })
      )

    const waiting = Publisher.use((publisher) => publisher.waiting)

    // migration: ResilientMessagePublisher.publish()
    it.effect("publish() keeps messages while the circuit is open, and they are sent in order once it has closed", () =>
      withBroker(Effect.fnUntraced(function*(broker) {
        assert.strictEqual(yield* publish(1), "published")
        broker.up = false
        assert.deepStrictEqual(yield* Effect.all([publish(2), publish(3), publish(4)]), ["failed", "failed", "failed"])
        assert.deepStrictEqual(yield* Effect.all([publish(5), publish(6)]), ["queued", "queued"])

        broker.up = true
        yield* TestClock.adjust("29 seconds")
        assert.strictEqual(yield* publish(7), "queued")
        // The circuit half-opens at 30 seconds. The message that waits longest is the probe.
        yield* TestClock.setTime(30_000)
        yield* settle
        assert.deepStrictEqual(broker.delivered, ["1", "5", "6", "7"])
        assert.strictEqual(yield* waiting, 0)
        assert.strictEqual(yield* publish(8), "published")
      })))

    it.effect("a message that was published closes the circuit, and so sends those that wait", () =>
      withBroker(Effect.fnUntraced(function*(broker) {
        const circuit = yield* MessageQueue
        yield* circuit.forceOpen({ duration: "10 seconds" })
        yield* publish(1)
        yield* publish(2)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* publish(3), "published")
        yield* settle
        assert.deepStrictEqual(broker.delivered, ["3", "1", "2"])
      })))

    // migration: flush_local_queue()
    it.effect("flush_local_queue() stops at the first failure and keeps that message and those behind it", () =>
      withBroker(Effect.fnUntraced(function*(broker) {
        const circuit = yield* MessageQueue
        const publisher = yield* Publisher
        yield* circuit.forceOpen()
        for (let id = 1; id <= 4; id++) yield* publish(id)
        broker.latency = "1 seconds"
        yield* circuit.forceClose
        yield* TestClock.adjust("2500 millis")
        broker.up = false
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(broker.delivered, ["1", "2"])
        assert.strictEqual(yield* waiting, 2)

        broker.up = true
        broker.latency = 0
        yield* publisher.flush
        assert.deepStrictEqual(broker.delivered, ["1", "2", "3", "4"])
      })))

    it.effect("flushes at the same time send each message once", () =>
      withBroker(Effect.fnUntraced(function*(broker) {
        const circuit = yield* MessageQueue
        const publisher = yield* Publisher
        yield* circuit.forceOpen()
        for (let id = 1; id <= 20; id++) yield* publish(id)
        broker.latency = "10 millis"
        yield* circuit.forceClose
        const flushes = yield* Effect.forkChild(
          Effect.all(Array.from({ length: 10 }, () => publisher.flush), { concurrency: "unbounded", discard: true })
        )
        yield* TestClock.adjust("1 seconds")
        yield* Fiber.join(flushes)
        assert.deepStrictEqual(broker.delivered, Array.from({ length: 20 }, (_, i) => `${i + 1}`))
      })))

    // migration: flush_local_queue()
    it.effect("a flush that is interrupted loses nothing and repeats nothing, at any operation", () =>
      withBroker(Effect.fnUntraced(function*(broker) {
        const circuit = yield* MessageQueue
        const publisher = yield* Publisher
        broker.acknowledge = repeat(Effect.yieldNow, 3)
        // The publisher looks into its outbox when it starts.
        yield* settle
        const fill = Effect.gen(function*() {
          broker.delivered.length = 0
          yield* circuit.forceOpen()
          for (let id = 1; id <= 3; id++) yield* publish(id)
          // The circuit lets everything through without having closed, so nobody else flushes.
          yield* circuit.disable
        })
        yield* fill
        const operations = yield* interruptEverywhere(publisher.flush, (operation) =>
          Effect.gen(function*() {
            assert.strictEqual(broker.delivered.length + (yield* waiting), 3, `at operation ${operation}`)
            yield* publisher.flush
            assert.deepStrictEqual(broker.delivered, ["1", "2", "3"], `at operation ${operation}`)
            yield* fill
          }).pipe(Effect.orDie))
        assert.isAbove(operations, 30)
      })))

    it.effect("a message whose sending took too long keeps its id, so that the broker can drop the second", () =>
      withBroker(Effect.fnUntraced(function*(broker) {
        const circuit = yield* MessageQueue
        yield* circuit.forceOpen()
        yield* publish("order-1")
        broker.latency = "6 seconds"
        yield* circuit.forceClose
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* waiting, 1)
        broker.latency = 0
        yield* TestClock.adjust("30 seconds")
        assert.deepStrictEqual(broker.delivered, ["order-1"])
      })))

    for (const seed of ["a", "b", "c", "d"]) {
      // migration: flush_local_queue()
      it.effect(`of a thousand messages while the broker comes and goes, each that was taken arrives once (seed ${seed})`, () =>
        withBroker(Effect.fnUntraced(function*(broker) {
          broker.latency = "20 millis"
          const taken: Array<string> = []
          const publishers = yield* Effect.forkChild(
            Effect.forEach(
              Array.from({ length: 1000 }, (_, id) => id),
              (id) =>
                Effect.gen(function*() {
                  yield* Effect.sleep(yield* Random.nextBetween(0, 2000))
                  const status = yield* publish(id)
                  if (status === "published" || status === "queued") taken.push(String(id))
                }),
              { concurrency: 20, discard: true }
            ),
            { startImmediately: true }
          )
          for (let second = 0; second < 120; second++) {
            if ((yield* Random.next) < 0.2) broker.up = !broker.up
            yield* TestClock.adjust("1 seconds")
          }
          broker.up = true
          yield* TestClock.adjust("10 minutes")
          yield* Fiber.join(publishers)
          assert.strictEqual(yield* waiting, 0)
          assert.isAbove(taken.length, 200)
          assert.deepStrictEqual(broker.delivered.toSorted(), taken.toSorted())
        })).pipe(Random.withSeed(seed)))
    }
  })
})

describe("Database and Kafka breakers", () => {
  // migration: database_breaker
  it.effect("database_breaker: 5 failures, 60 seconds, one probe whose success closes it; sessions and health check share it", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* tripOf(CircuitPolicy.database), { failures: 5, seconds: 60 })
      assert.strictEqual(yield* probesOf(CircuitPolicy.database), 1)

      const database = makeDependency()
      const session = CircuitBreaker.withCircuitBreaker(database.call, "database")
      const healthCheck = CircuitBreaker.withCircuitBreaker(database.call, "database")
      database.up = false
      yield* repeat(Effect.flip(healthCheck), 4)
      yield* Effect.flip(session)
      assert.strictEqual((yield* Effect.flip(session))._tag, "CircuitOpenError")
      assert.strictEqual(database.calls, 5)

      database.up = true
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual(yield* healthCheck, "served")
      assert.strictEqual(yield* session, "served")
    }).pipe(withRegistry({ circuits: { database: CircuitPolicy.database } })))

  // migration: kafka_breaker
  it.effect("kafka_breaker: 3 failures, 30 seconds; meanwhile events are logged and not sent, and the application goes on", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* tripOf(CircuitPolicy.kafka), { failures: 3, seconds: 30 })
      assert.strictEqual(yield* probesOf(CircuitPolicy.kafka), 1)

      const kafka = makeDependency()
      kafka.up = false
      const breaker = yield* CircuitBreaker.make({ name: "kafka", policy: CircuitPolicy.kafka })
      const publishEvent = (event: string) =>
        breaker.execute(kafka.call).pipe(
          Effect.catch((error) => Effect.logWarning(`${event} was not sent: ${error._tag}`))
        )
      for (let event = 1; event <= 5; event++) yield* publishEvent(`event ${event}`)
      assert.strictEqual(kafka.calls, 3)
      const lines = (yield* TestConsole.logLines).map(String).filter((line) => line.includes("was not sent"))
      assert.lengthOf(lines, 5)
      assert.include(lines[4], "event 5 was not sent: CircuitOpenError")

      kafka.up = true
      yield* TestClock.adjust("30 seconds")
      yield* publishEvent("event 6")
      assert.strictEqual(yield* breaker.state, "Closed")
    }))

  // migration: call(func) | @breaker
  it.effect("@breaker: a function is protected, whether it returns, throws or gives a promise", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "my_service", policy: CircuitPolicy.fastFail })
      const parse = CircuitBreaker.wrap(breaker)((text: string) => Effect.try(() => JSON.parse(text) as unknown))
      const fetchData = CircuitBreaker.wrap(breaker)((id: number) => Effect.tryPromise(async () => `data ${id}`))
      assert.deepStrictEqual(yield* parse("[1]"), [1])
      assert.strictEqual(yield* fetchData(7), "data 7")
      yield* repeat(Effect.flip(parse("[")), 3)
      assert.strictEqual((yield* Effect.flip(parse("[1]")))._tag, "CircuitOpenError")
      assert.strictEqual((yield* Effect.flip(fetchData(7)))._tag, "CircuitOpenError")
    }))

  // migration: expected_exception
  it.effect("expected_exception: only failures of that type count, others pass through and open nothing", () =>
    Effect.gen(function*() {
      class TimedOut extends Data.TaggedError("TimedOut") {}
      class Invalid extends Data.TaggedError("Invalid") {}
      const breaker = yield* CircuitBreaker.make({
        name: "my_service",
        policy: CircuitPolicy.make({
          consecutiveFailures: 3,
          classify: Outcome.failureIf((error) => error instanceof TimedOut)
        })
      })
      for (let i = 0; i < 10; i++) {
        assert.strictEqual((yield* Effect.flip(breaker.execute(Effect.fail(new Invalid()))))._tag, "Invalid")
      }
      assert.strictEqual(yield* breaker.state, "Closed")
      yield* repeat(Effect.flip(breaker.execute(Effect.fail(new TimedOut()))), 3)
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  // migration: no cascade
  it.effect("benefits: once the circuit is open nobody waits for a timeout, and nothing piles up at the service", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "database", policy: CircuitPolicy.database })
      const connections = yield* Bulkhead.make({ name: "connections", limit: 10 })
      let started = 0
      const query = Effect.suspend(() => {
        started++
        return Effect.never
      }).pipe(Timeout.withTimeout("5 seconds"), Bulkhead.withBulkhead(connections), breaker.execute)

      const first = yield* Effect.forkChild(
        Effect.all(Array.from({ length: 10 }, () => Effect.flip(query)), { concurrency: "unbounded", discard: true }),
        { startImmediately: true }
      )
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(first)

      const before = yield* Clock.monotonicTimeNanos
      for (let i = 0; i < 1000; i++) yield* Effect.flip(query)
      assert.strictEqual((yield* Clock.monotonicTimeNanos) - before, 0n)
      assert.strictEqual(started, 10)
    }))

  // migration: automatic recovery | monitor metrics
  it.effect("automatic recovery: nobody has to do anything but call", () =>
    Effect.gen(function*() {
      const dependency = makeDependency()
      const breaker = yield* CircuitBreaker.make({ name: "database", policy: CircuitPolicy.database })
      const events = yield* watch(breaker.events)
      dependency.up = false
      yield* repeat(Effect.ignore(breaker.execute(dependency.call)), 5)
      dependency.up = true
      const poll = breaker.execute(dependency.call).pipe(
        Effect.retry({ schedule: Schedule.spaced("7 seconds"), while: (error) => error._tag === "CircuitOpenError" })
      )
      const fiber = yield* Effect.forkChild(poll, { startImmediately: true })
      yield* TestClock.adjust("63 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "served")
      assert.deepStrictEqual(changes(yield* events), [
        "Closed -> Open: ConsecutiveFailures",
        "Open -> HalfOpen: OpenTimeEnded",
        "HalfOpen -> Closed: ProbesSucceeded"
      ])
    }))

  it.effect("state transition logs: the events of an outage have the fields and can be written as log lines", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "database", policy: CircuitPolicy.database })
      const { consecutiveFailures: threshold } = yield* breaker.policy
      const lines: Array<Readonly<Record<string, unknown>>> = []
      yield* breaker.on(
        "StateChanged",
        ({ circuit, consecutiveFailures, elapsed, to }) =>
          Effect.sync(() =>
            lines.push({
              circuit_breaker: circuit,
              state: to,
              failure_count: consecutiveFailures,
              threshold,
              elapsed_seconds: Duration.toSeconds(elapsed)
            })
          )
      )
      yield* settle
      yield* fail(breaker, 5)
      yield* settle
      yield* TestClock.adjust("61200 millis")
      yield* succeed(breaker)
      yield* settle
      assert.deepInclude(lines[0], { circuit_breaker: "database", state: "Open", failure_count: 5, threshold: 5 })
      assert.deepInclude(lines[1], { circuit_breaker: "database", state: "HalfOpen", elapsed_seconds: 61.2 })
      assert.deepInclude(lines[2], { circuit_breaker: "database", state: "Closed" })
      assert.lengthOf(lines, 3)
    }))

  // migration: OPEN
  it.effect("prolonged OPEN: an alert when a circuit has not closed for five minutes, and none if it has", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "database", policy: CircuitPolicy.database })
      const alerts: Array<string> = []
      yield* Stream.runForEach(
        breaker.events.pipe(
          Stream.filter((event) => event._tag === "StateChanged" && (event.from === "Closed" || event.to === "Closed")),
          Stream.switchMap((event) =>
            event._tag === "StateChanged" && event.to === "Open"
              ? Stream.fromEffect(Effect.delay(Effect.succeed(event.circuit), "5 minutes"))
              : Stream.empty
          )
        ),
        (circuit) => Effect.sync(() => alerts.push(circuit))
      ).pipe(Effect.forkScoped({ startImmediately: true }))
      yield* settle

      yield* fail(breaker, 5)
      yield* TestClock.adjust("60 seconds")
      yield* succeed(breaker)
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(alerts, [])

      yield* fail(breaker, 5)
      yield* settle
      for (let probe = 1; probe <= 4; probe++) {
        yield* TestClock.adjust("60 seconds")
        yield* fail(breaker)
      }
      assert.deepStrictEqual(alerts, [])
      yield* TestClock.adjust("60 seconds")
      yield* settle
      assert.deepStrictEqual(alerts, ["database"])
    }))

  // migration: a circuit for each service
  it.effect("one circuit per service: what is down opens its own circuit and no other", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const run = (name: string, call: Effect.Effect<string, string>) =>
        Effect.exit(CircuitBreaker.withCircuitBreaker(call, name))
      for (let i = 0; i < 5; i++) {
        yield* run("database", Effect.fail("down"))
        yield* run("redis", Effect.succeed("ok"))
        yield* run("external_api", Effect.succeed("ok"))
      }
      assert.deepStrictEqual(yield* registry.openCircuits, ["database"])
      assert.deepStrictEqual(yield* registry.names, ["database", "redis", "external_api"])
    }).pipe(withRegistry()))

  it.effect("health endpoint: what it answers with, as JSON", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      yield* fail(yield* registry.register("database", CircuitPolicy.database), 2)
      yield* fail(yield* registry.register("kafka", CircuitPolicy.kafka), 3)
      const { openCircuits, status } = yield* registry.systemStatus
      const circuits = (yield* registry.statuses).map(CircuitMetrics.toJson)
      const body = JSON.parse(JSON.stringify({
        status,
        open: openCircuits,
        ...Object.fromEntries(
          circuits.map(({ failure_count, name, state }) => [name, { circuit_breaker: state, failure_count }])
        )
      })) as unknown
      assert.deepStrictEqual(body, {
        status: "unhealthy",
        open: ["kafka"],
        database: { circuit_breaker: "closed", failure_count: 2 },
        kafka: { circuit_breaker: "open", failure_count: 3 }
      })
    }).pipe(withRegistry()))

  // migration: thresholds that adapt to traffic
  it.effect("adaptive thresholds: the program changes the threshold of a running circuit as its traffic changes", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const breaker = yield* registry.register("external_api", CircuitPolicy.make({ consecutiveFailures: 10 }))
      let counted = 0
      // Every minute: few failures in a row mean more where there is more traffic.
      const adapt = Effect.gen(function*() {
        const { totalCalls } = yield* breaker.metrics
        const perMinute = totalCalls - counted
        counted = totalCalls
        yield* registry.reconfigure(
          "external_api",
          CircuitPolicy.make({ consecutiveFailures: perMinute > 100 ? 3 : 10 })
        )
      })
      yield* Effect.forkScoped(Effect.repeat(adapt, Schedule.spaced("1 minute")), { startImmediately: true })

      yield* fail(breaker, 5)
      assert.strictEqual(yield* breaker.state, "Closed")
      yield* succeed(breaker, 200)
      yield* TestClock.adjust("1 minute")
      yield* fail(breaker, 3)
      assert.strictEqual(yield* breaker.state, "Open")
      assert.strictEqual((yield* breaker.metrics).totalCalls, 208)
    }).pipe(withRegistry()))

  // migration: a breaker for each endpoint
  it.effect("per-endpoint breakers: one route fails, the others of the service go on", () =>
    Effect.gen(function*() {
      const get = (route: string) =>
        (route === "/reports" ? Effect.fail("timeout" as const) : Effect.succeed("ok")).pipe(
          CircuitBreaker.withCircuitBreaker(`crm GET ${route}`)
        )
      yield* repeat(Effect.exit(get("/reports")), 3)
      const rejected = yield* Effect.flip(get("/reports"))
      assert.isTrue(rejected !== "timeout" && rejected.circuit === "crm GET /reports")
      assert.strictEqual(yield* get("/accounts"), "ok")
    }).pipe(withRegistry({ defaults: CircuitPolicy.fastFail })))
})

describe("Breaker and registry", () => {
  const policy = CircuitPolicy.make({ consecutiveFailures: 3 })

  // migration: register_circuit_breaker(name, cb) | register(name, config)
  it.effect("register(), get() and get_or_create(): a name has one circuit, with the policy it was made with", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      assert.isTrue(Option.isNone(yield* registry.get("api_service")))

      const api = yield* registry.register("api_service", CircuitPolicy.production)
      const cache = yield* registry.getOrCreate("cache_service", policy)
      assert.strictEqual(Option.getOrThrow(yield* registry.get("api_service")), api)
      assert.strictEqual(yield* registry.getOrCreate("api_service"), api)
      assert.strictEqual(yield* registry.getOrCreate("cache_service", policy), cache)
      assert.deepStrictEqual([yield* api.policy, yield* cache.policy], [CircuitPolicy.production, policy])
      assert.deepStrictEqual(yield* registry.names, ["api_service", "cache_service"])

      const conflict = yield* Effect.flip(registry.register("api_service", policy))
      assert.deepStrictEqual([conflict._tag, conflict.circuit], ["CircuitConflictError", "api_service"])
    }).pipe(withRegistry()))

  // migration: get_global_registry()
  it.effect("get_global_registry(): whoever is given the Layer sees the same circuits", () => {
    class Orders
      extends Context.Service<Orders, Effect.Effect<string, ResilienceError.CircuitOpenError>>()("test/Orders")
    {
      static readonly layer = Layer.effect(
        Orders,
        Effect.map(
          CircuitBreakerRegistry.CircuitBreakerRegistry,
          (registry) => Effect.succeed("order").pipe(namedCircuit(registry, "database").execute)
        )
      )
    }
    const Circuits = CircuitBreakerRegistry.layer()
    return Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const order = yield* Orders.use(Effect.succeed)
      assert.strictEqual(yield* order, "order")
      yield* (yield* registry.getOrCreate("database")).forceOpen()
      assert.strictEqual((yield* Effect.flip(order)).circuit, "database")
    }).pipe(Effect.provide(Layer.mergeAll(Orders.layer.pipe(Layer.provide(Circuits)), Circuits)))
  })

  // migration: get_all_statuses()
  it.effect("get_all_statuses(): name, state, availability and counts of every circuit", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      yield* fail(yield* registry.register("database", policy), 3)
      yield* succeed(yield* registry.register("api_service"), 2)
      const statuses = yield* registry.statuses
      assert.deepStrictEqual(
        statuses.map((status) => [
          status.name,
          status.state,
          status.isAvailable,
          status.totalCalls,
          status.successfulCalls,
          status.failedCalls
        ]),
        [["database", "Open", false, 3, 0, 3], ["api_service", "Closed", true, 2, 2, 0]]
      )
    }).pipe(withRegistry()))

  // migration: total_calls
  it.effect("get_metrics(): total, successful, failed and rejected calls, the last failure and the transitions", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "api_service", policy })
      yield* TestClock.setTime(1_700_000_000_000)
      yield* succeed(breaker, 4)
      yield* fail(breaker, 3)
      yield* TestClock.adjust("1 seconds")
      yield* call(breaker, Effect.succeed("ok"))
      const metrics = yield* breaker.metrics
      assert.deepInclude(metrics, {
        totalCalls: 8,
        successfulCalls: 4,
        failedCalls: 3,
        rejectedCalls: 1,
        stateChanges: 1
      })
      assert.strictEqual(DateTime.toEpochMillis(metrics.lastFailureTime!), 1_700_000_000_000)
    }))

  // migration: is_available()
  it.effect("is_available(): asked before a call it tells whether the call would be let through", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "api_service", policy: { ...policy, halfOpenMaxCalls: 1 } })
      const result = Effect.flatMap(
        breaker.isAvailable,
        (available) => available ? breaker.execute(Effect.succeed("fresh")) : Effect.succeed("cached")
      )
      assert.strictEqual(yield* result, "fresh")
      yield* fail(breaker, 3)
      assert.strictEqual(yield* result, "cached")
      assert.strictEqual((yield* breaker.metrics).rejectedCalls, 0)

      yield* TestClock.adjust("60 seconds")
      assert.isTrue(yield* breaker.isAvailable)
      const probe = yield* hold(breaker)
      assert.isFalse(yield* breaker.isAvailable)
      yield* probe.succeed
      assert.isTrue(yield* breaker.isAvailable)
    }))

  // migration: is_available()
  it.effect("is_available(): a worker waits until the circuit lets calls through, without being rejected once", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "api_service", policy })
      const available: Effect.Effect<void> = Effect.gen(function*() {
        while (!(yield* breaker.isAvailable)) {
          const { timeUntilRetry } = yield* breaker.metrics
          // Half-open with all probes running, or forced open without an end, has no time to wait for.
          const wait = Duration.min(timeUntilRetry ?? Duration.zero, Duration.seconds(10))
          yield* Effect.sleep(Duration.max(wait, Duration.millis(100)))
        }
      })
      yield* fail(breaker, 3)
      const worker = yield* Effect.forkChild(Effect.andThen(available, breaker.execute(Clock.currentTimeMillis)), {
        startImmediately: true
      })
      yield* TestClock.adjust("59999 millis")
      assert.isUndefined(worker.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(worker), 60_000)
      assert.strictEqual((yield* breaker.metrics).rejectedCalls, 0)
    }))

  // migration: reset() | reset_all()
  it.effect("reset(), reset(name) and reset_all(): closed, with no counts and no backoff", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const breakers = yield* Effect.forEach(["a", "b", "c"], (name) => registry.register(name, policy))
      const states = Effect.forEach(breakers, (breaker) => breaker.state)
      yield* Effect.forEach(breakers, (breaker) => fail(breaker, 3))
      assert.deepStrictEqual(yield* states, ["Open", "Open", "Open"])

      yield* breakers[0]!.reset
      assert.isTrue(yield* registry.reset("b"))
      assert.isFalse(yield* registry.reset("nobody"))
      assert.deepStrictEqual(yield* states, ["Closed", "Closed", "Open"])
      yield* registry.resetAll
      assert.deepStrictEqual(yield* states, ["Closed", "Closed", "Closed"])
      assert.deepStrictEqual(
        (yield* registry.statuses).map((status) => [status.totalCalls, status.consecutiveOpenings]),
        [
          [0, 0],
          [0, 0],
          [0, 0]
        ]
      )
    }).pipe(withRegistry()))

  // migration: call_with_fallback()
  it.effect("call_with_fallback(): the fallback answers for an open circuit and for every error of the service", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "api_service", policy })
      const dependency = makeDependency()
      const why: Array<string> = []
      const result = breaker.execute(dependency.call).pipe(
        Fallback.withFallback((error) => Effect.sync(() => (why.push(error._tag), "cached")))
      )
      assert.strictEqual(yield* result, "served")
      dependency.up = false
      for (let i = 0; i < 4; i++) assert.strictEqual(yield* result, "cached")
      assert.deepStrictEqual(why, ["ServiceError", "ServiceError", "ServiceError", "CircuitOpenError"])
    }))

  // migration: retry_with_circuit_breaker()
  it.effect("retry_with_circuit_breaker(): waits 1 and 2 seconds, gives up with the last error, and never retries an open circuit", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "api_service", policy: CircuitPolicy.production })
      const times: Array<number> = []
      const unreliable = Effect.flatMap(Clock.currentTimeMillis, (now) => {
        times.push(now)
        return Effect.fail(new ServiceError({ status: 500 + times.length }))
      })
      const result = breaker.execute(unreliable).pipe(
        Retry.withRetry({ maxAttempts: 3, baseDelay: "1 seconds", factor: 2, jitter: "none" }),
        Effect.catchTag("RetryExhaustedError", (error) => Effect.fail(error.lastError)),
        Effect.flip
      )
      const first = yield* Effect.forkChild(result, { startImmediately: true })
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* Fiber.join(first), new ServiceError({ status: 503 }))
      assert.deepStrictEqual(times, [0, 1000, 3000])

      // Two calls were made before the circuit opened, so what comes out is their error.
      const second = yield* Effect.forkChild(result, { startImmediately: true })
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* Fiber.join(second), new ServiceError({ status: 505 }))
      assert.lengthOf(times, 5)
      assert.strictEqual((yield* result)._tag, "CircuitOpenError")
      assert.lengthOf(times, 5)
    }))

  // migration: @with_circuit_breaker(name, config)
  it.effect("with_circuit_breaker(): a function names its circuit, which is made when it is first called", () =>
    Effect.gen(function*() {
      const callApi = CircuitBreaker.wrap("api_service", { policy: CircuitPolicy.production })(
        (endpoint: string) => endpoint === "users" ? Effect.succeed(["Ada"]) : Effect.fail("404" as const)
      )
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      assert.deepStrictEqual(yield* registry.names, [])
      assert.deepStrictEqual(yield* callApi("users"), ["Ada"])
      assert.deepStrictEqual(yield* registry.names, ["api_service"])
      yield* repeat(Effect.exit(callApi("orders")), 5)
      const error = yield* Effect.flip(callApi("users"))
      assert.isTrue(error !== "404" && error.circuit === "api_service")
    }).pipe(withRegistry()))

  // migration: one circuit for different services
  it.effect("shared circuits: two services that take one name with different policies are told", () =>
    Effect.gen(function*() {
      yield* CircuitBreaker.withCircuitBreaker(Effect.void, "everything", { policy: CircuitPolicy.database })
      const exit = yield* Effect.exit(
        CircuitBreaker.withCircuitBreaker(Effect.void, "everything", { policy: CircuitPolicy.kafka })
      )
      assert.isTrue(exit._tag === "Failure")
      assert.include(String(exit), "CircuitConflictError")
    }).pipe(withRegistry()))
})

describe("Tiered fallback", () => {
  // migration: aggressive
  it.effect("aggressive, conservative and production: failures, open time, probes at once and successes", () =>
    Effect.gen(function*() {
      const facts = (policy: CircuitPolicy.CircuitPolicy) =>
        Effect.gen(function*() {
          const { failures, seconds } = yield* tripOf(policy)
          return [failures, seconds, yield* probesOf(policy), policy.successThreshold]
        })
      assert.deepStrictEqual(yield* facts(CircuitPolicy.aggressive), [3, 30, 2, 2])
      assert.deepStrictEqual(yield* facts(CircuitPolicy.conservative), [10, 120, 5, 3])
      assert.deepStrictEqual(yield* facts(CircuitPolicy.production), [5, 60, 3, 2])
    }))

  // migration: thresholds by how critical a service is | numbers for failure threshold | configure by SLA
  it.effect("configure by SLA: calls that fail in an outage, and how long after it all are served again", () =>
    Effect.gen(function*() {
      // A call each second; the service is down for three minutes.
      const outage = (policy: CircuitPolicy.CircuitPolicy) =>
        Effect.gen(function*() {
          const breaker = yield* CircuitBreaker.make({ name: "dependency", policy })
          const dependency = makeDependency()
          dependency.up = false
          for (let second = 0; second < 180; second++) {
            yield* Effect.exit(breaker.execute(dependency.call))
            yield* TestClock.adjust("1 seconds")
          }
          const reached = dependency.calls
          dependency.up = true
          let seconds = 0
          while ((yield* breaker.state) !== "Closed") {
            yield* Effect.exit(breaker.execute(dependency.call))
            yield* TestClock.adjust("1 seconds")
            seconds++
          }
          return { reached, seconds }
        })
      const fast = yield* outage(CircuitPolicy.aggressive)
      const usual = yield* outage(CircuitPolicy.production)
      const slow = yield* outage(CircuitPolicy.conservative)
      // Three nines allow 43 minutes a month: half a minute to a minute of them after each outage.
      assert.isAtMost(fast.seconds, 30 + 2)
      assert.isAtMost(usual.seconds, 60 + 2)
      assert.isAtMost(slow.seconds, 120 + 3)
      for (const { reached } of [fast, usual, slow]) assert.isBelow(reached, 15)
    }))

  // migration: CircuitBreakerManager | get_all_metrics()
  it.effect("register_breaker(), get_breaker(), get_all_states() and get_all_metrics(): a circuit per tier, by name", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      for (const name of ["tier1_mcp", "tier2_sdk", "tier3_rest"]) {
        yield* registry.register(name, CircuitPolicy.production)
      }
      yield* fail(Option.getOrThrow(yield* registry.get("tier1_mcp")), 5)
      yield* succeed(Option.getOrThrow(yield* registry.get("tier2_sdk")))

      const statuses = yield* registry.statuses
      assert.deepStrictEqual(Object.fromEntries(statuses.map(({ name, state }) => [name, state])), {
        tier1_mcp: "Open",
        tier2_sdk: "Closed",
        tier3_rest: "Closed"
      })
      const metrics = Object.fromEntries(statuses.map((status) => [status.name, CircuitMetrics.toJson(status)]))
      assert.deepInclude(metrics["tier1_mcp"], {
        state: "open",
        failure_count: 5,
        success_count: 0,
        total_calls: 5,
        requests_in_window: 5,
        error_rate: 1,
        time_until_retry: 60
      })
      assert.isTrue(yield* registry.anyOpen)
    }).pipe(withRegistry()))

  // migration: retry around the breaker
  it.effect("retry around breaker: what passes by itself is retried, the circuit counts each attempt, and once open ends the retry", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "crm_mcp", policy: CircuitPolicy.production })
      let failures = 2
      const flaky = Effect.suspend(() => failures-- > 0 ? Effect.fail("reset" as const) : Effect.succeed("served"))
      const resilient = breaker.execute(flaky).pipe(Retry.withRetry({ maxAttempts: 3, jitter: "none" }))

      const first = yield* Effect.forkChild(resilient, { startImmediately: true })
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* Fiber.join(first), "served")
      const { failedCalls, successfulCalls } = yield* breaker.metrics
      assert.deepStrictEqual([failedCalls, successfulCalls], [2, 1])

      failures = Infinity
      const outcomes: Array<string> = []
      for (let i = 0; i < 3; i++) {
        const fiber = yield* Effect.forkChild(Effect.flip(resilient), { startImmediately: true })
        yield* TestClock.adjust("3 seconds")
        const error = yield* Fiber.join(fiber)
        outcomes.push(error === "reset" ? error : error._tag)
      }
      // Three failures, then two and a rejection, then a rejection at once.
      assert.deepStrictEqual(outcomes, ["RetryExhaustedError", "RetryExhaustedError", "CircuitOpenError"])
      assert.strictEqual((yield* breaker.metrics).failedCalls, 2 + 3 + 2)
    }))

  // migration: CircuitBreakerOpenError
  it.effect("exceptions: circuit and retry_after, the attempted tiers, attempts and the last error", () =>
    Effect.gen(function*() {
      const down = Effect.fail(new ServiceError({ status: 503 }))
      const error = yield* Effect.flip(Tiers.make("get_account", [
        Tiers.tier("tier1_mcp", down),
        Tiers.tier("tier2_sdk", down),
        Tiers.tier("tier3_rest", down)
      ]))
      assert.deepStrictEqual(error.attempts.map(({ tier }) => tier), ["tier1_mcp", "tier2_sdk", "tier3_rest"])
      assert.deepStrictEqual(error.attempts[2]?.error, new ServiceError({ status: 503 }))

      const open = yield* Effect.flip(CircuitBreaker.withCircuitBreaker(down, "tier1_mcp"))
      assert.isTrue(open._tag === "CircuitOpenError" && open.circuit === "tier1_mcp")
      assert.strictEqual(open._tag === "CircuitOpenError" && Duration.toSeconds(open.retryAfter), 60)

      const exhausted = yield* Effect.flip(Retry.withRetry(down, { maxAttempts: 2, baseDelay: 0 }))
      assert.isTrue(exhausted._tag === "RetryExhaustedError" && exhausted.attempts === 2)
      assert.deepStrictEqual(
        exhausted._tag === "RetryExhaustedError" && exhausted.lastError,
        new ServiceError({ status: 503 })
      )
    }).pipe(withRegistry({ defaults: CircuitPolicy.make({ consecutiveFailures: 1 }) })))

  // migration: stuck open
  it.effect("stuck open: time_until_retry says how long it will last, and reset ends it", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "crm_mcp", policy: CircuitPolicy.production })
      const timeUntilRetry = Effect.map(breaker.metrics, (metrics) => CircuitMetrics.toJson(metrics).time_until_retry)
      assert.isNull(yield* timeUntilRetry)
      yield* fail(breaker, 5)
      yield* TestClock.adjust("14800 millis")
      assert.strictEqual(yield* timeUntilRetry, 45.2)
      yield* breaker.reset
      assert.isNull(yield* timeUntilRetry)
      assert.strictEqual(yield* breaker.execute(Effect.succeed("served")), "served")
    }))

  // migration: flapping
  it.effect("flapping circuit: more successes to close and a longer memory of openings keep it from opening and closing all the time", () =>
    Effect.gen(function*() {
      // Up for two calls, then down for one, over and over.
      const openings = (policy: CircuitPolicy.CircuitPolicy) =>
        Effect.gen(function*() {
          const breaker = yield* CircuitBreaker.make({ name: "dependency", policy })
          for (let second = 0; second < 600; second++) {
            yield* call(breaker, second % 3 === 2 ? Effect.fail("down") : Effect.succeed("ok"))
            yield* TestClock.adjust("1 seconds")
          }
          return (yield* breaker.metrics).stateChanges
        })
      const nervous = yield* openings(
        CircuitPolicy.make({ consecutiveFailures: 1, openDuration: "1 seconds", successThreshold: 1 })
      )
      const stable = yield* openings(CircuitPolicy.make({
        consecutiveFailures: 10,
        successThreshold: 5,
        halfOpenMaxCalls: 1
      }))
      const damped = yield* openings(CircuitPolicy.make({
        consecutiveFailures: 1,
        openDuration: CircuitPolicy.exponential({ initial: "1 seconds", maximum: "5 minutes" }),
        successThreshold: 5,
        halfOpenMaxCalls: 1
      }))
      assert.isAbove(nervous, 300)
      assert.strictEqual(stable, 0)
      assert.isBelow(damped, 40)
    }))

  // migration: alert if any tier is open
  it.effect("alerting: a stream of all circuits' events tells when any tier opens", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const events = yield* watch(registry.events)
      yield* repeat(Effect.exit(CircuitBreaker.withCircuitBreaker(Effect.fail("down"), "tier2_sdk")), 5)
      yield* Effect.exit(CircuitBreaker.withCircuitBreaker(Effect.succeed("ok"), "tier1_mcp"))
      const opened = (yield* events).filter((event: CircuitEvent.CircuitEvent) =>
        event._tag === "StateChanged" && event.to === "Open"
      )
      assert.deepStrictEqual(opened.map(({ circuit }) => circuit), ["tier2_sdk"])
    }).pipe(withRegistry()))

  // migration: look at the health before a critical operation
  it.effect("before a critical operation: the program looks at the circuits of its tiers and degrades", () =>
    Effect.gen(function*() {
      const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const mode = Effect.map(registry.systemStatus, ({ status }) => status === "healthy" ? "normal" : "degraded")
      yield* registry.register("tier1_mcp", CircuitPolicy.production)
      assert.strictEqual(yield* mode, "normal")
      yield* fail(yield* registry.getOrCreate("tier1_mcp"), 5)
      assert.strictEqual(yield* mode, "degraded")
    }).pipe(withRegistry()))

  // migration: safe for concurrent calls | async-first
  it.effect("concurrent calls: ten thousand at once are all counted, and no lock makes one wait for another", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "crm_mcp", policy: CircuitPolicy.make({ failureRate: 1 }) })
      const gate = yield* Deferred.make<void>()
      let running = 0
      const all = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 10_000 }, (_, i) => i),
          (i) =>
            Effect.exit(breaker.execute(Effect.gen(function*() {
              running++
              yield* Deferred.await(gate)
              if (i % 2 === 0) return yield* Effect.fail("down")
            }))),
          { concurrency: "unbounded", discard: true }
        )
      )
      yield* repeat(Effect.yieldNow, 100)
      assert.strictEqual(running, 10_000)
      assert.strictEqual((yield* breaker.metrics).callsInFlight, 10_000)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(all)
      const { callsInFlight, failedCalls, successfulCalls, totalCalls } = yield* breaker.metrics
      assert.deepStrictEqual([totalCalls, successfulCalls, failedCalls, callsInFlight], [10_000, 5000, 5000, 0])
    }))
})

describe("Generic breaker component", () => {
  // migration: exponential_backoff
  it.effect("backoff_multiplier and max_backoff_seconds: 60, 120, 240 and then 300 seconds", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        name: "external_service",
        policy: CircuitPolicy.make({
          consecutiveFailures: 5,
          openDuration: CircuitPolicy.exponential({ initial: "60 seconds", multiplier: 2, maximum: "300 seconds" })
        })
      })
      yield* fail(breaker, 5)
      const openFor: Array<number> = []
      for (let opening = 1; opening <= 5; opening++) {
        const seconds = yield* openSeconds(breaker)
        openFor.push(seconds)
        yield* TestClock.adjust(`${seconds} seconds`)
        yield* fail(breaker)
      }
      assert.deepStrictEqual(openFor, [60, 120, 240, 300, 300])
    }))

  // migration: CircuitBreakerConfig
  it("CircuitBreakerConfig: the same defaults, but for successes to close", () => {
    const policy = CircuitPolicy.make()
    assert.strictEqual(policy.consecutiveFailures, 5)
    assert.strictEqual(policy.failureRate, 0.5)
    assert.strictEqual(policy.minimumCalls, 10)
    assert.deepInclude(policy.window, { duration: Duration.seconds(60) })
    assert.deepStrictEqual(
      policy.openDuration,
      CircuitPolicy.exponential({ initial: "60 seconds", multiplier: 2, maximum: "300 seconds" })
    )
    assert.strictEqual(policy.halfOpenMaxCalls, 3)
    assert.strictEqual(policy.successThreshold, 2)
  })

  // migration: is_closed
  it.effect("is_closed, is_open and is_half_open: the state says which", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "api_client", policy: CircuitPolicy.fastFail })
      const states = [yield* breaker.state]
      yield* fail(breaker, 3)
      states.push(yield* breaker.state)
      yield* TestClock.adjust("30 seconds")
      states.push(yield* breaker.state)
      assert.deepStrictEqual(states, ["Closed", "Open", "HalfOpen"])
    }))

  // migration: get_status()
  it.effect("get_status() and to_dict(): failures, threshold, backoff, requests and average time, as JSON too", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "api_client", policy: CircuitPolicy.fastFail })
      for (const millis of [10, 30]) {
        const fiber = yield* Effect.forkChild(breaker.execute(Effect.sleep(millis)), { startImmediately: true })
        yield* TestClock.adjust(millis)
        yield* Fiber.join(fiber)
      }
      yield* fail(breaker, 2)
      const { consecutiveFailures: threshold } = yield* breaker.policy
      const metrics = yield* breaker.metrics
      assert.strictEqual(`${metrics.consecutiveFailures}/${threshold}`, "2/3")
      assert.strictEqual(metrics.totalCalls, 4)
      assert.strictEqual(Duration.toMillis(metrics.averageResponseTime!), 10)
      assert.isUndefined(metrics.currentBackoff)

      yield* fail(breaker)
      const json = JSON.parse(JSON.stringify(CircuitMetrics.toJson(yield* breaker.metrics))) as Record<string, unknown>
      assert.deepInclude(json, {
        name: "api_client",
        state: "open",
        failure_count: 3,
        current_backoff: 30,
        total_calls: 5,
        average_response_time_ms: 8
      })
    }))

  // migration: create()
  it.effect("CircuitBreakerManager: create, get, get_or_create and remove", () =>
    Effect.gen(function*() {
      const manager = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      const api = yield* manager.register("api_gateway")
      yield* manager.register("database", CircuitPolicy.make({ consecutiveFailures: 3, openDuration: "15 seconds" }))
      assert.strictEqual(Option.getOrThrow(yield* manager.get("api_gateway")), api)
      assert.isTrue(Option.isNone(yield* manager.get("cache_service")))
      yield* manager.getOrCreate("cache_service")
      assert.deepStrictEqual(yield* manager.names, ["api_gateway", "database", "cache_service"])

      assert.isTrue(yield* manager.remove("api_gateway"))
      assert.isFalse(yield* manager.remove("api_gateway"))
      assert.isTrue(Option.isNone(yield* manager.get("api_gateway")))
    }).pipe(withRegistry()))

  // migration: get_system_status()
  it.effect("CircuitBreakerManager: get_system_status(), get_open_breakers() and any_open()", () =>
    Effect.gen(function*() {
      const manager = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
      yield* succeed(yield* manager.register("api_gateway"), 2)
      const database = yield* manager.register("database", CircuitPolicy.fastFail)
      assert.isFalse(yield* manager.anyOpen)
      assert.strictEqual((yield* manager.systemStatus).status, "healthy")

      yield* fail(database, 4)
      yield* (yield* manager.register("payments")).forceOpen()
      assert.isTrue(yield* manager.anyOpen)
      assert.deepStrictEqual(yield* manager.openCircuits, ["database", "payments"])
      assert.deepStrictEqual(yield* manager.systemStatus, {
        status: "unhealthy",
        totalCircuits: 3,
        circuitsByState: { Closed: 1, Open: 1, HalfOpen: 0, ForcedOpen: 1, Disabled: 0, MetricsOnly: 0 },
        openCircuits: ["database", "payments"],
        totalCalls: 6,
        rejectedCalls: 1
      })

      yield* manager.resetAll
      assert.isFalse(yield* manager.anyOpen)
    }).pipe(withRegistry()))

  // migration: shutdown_all()
  it.effect("CircuitBreakerManager: shutdown_all() is the end of the Layer, which ends every stream of events", () =>
    Effect.gen(function*() {
      const collected = yield* Effect.scoped(Effect.gen(function*() {
        const registry = yield* CircuitBreakerRegistry.make()
        const breaker = yield* registry.getOrCreate("api_gateway")
        const streams = yield* Effect.forEach(
          [registry.events, breaker.events],
          (events) => Effect.forkDetach(Stream.runCollect(events), { startImmediately: true })
        )
        yield* settle
        yield* breaker.forceOpen()
        return streams
      }))
      const events = yield* Effect.forEach(collected, Fiber.join)
      assert.deepStrictEqual(events.map(changes), [["Closed -> ForcedOpen: Manual"], ["Closed -> ForcedOpen: Manual"]])
    }))

  it.effect("health monitor check: a circuit is healthy unless it is open", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ name: "api_service", policy: CircuitPolicy.fastFail })
      const check = Effect.map(breaker.state, (state) => state !== "Open")
      assert.isTrue(yield* check)
      yield* fail(breaker, 3)
      assert.isFalse(yield* check)
      yield* TestClock.adjust("30 seconds")
      assert.isTrue(yield* check)
    }))

  // migration: failure_window_seconds
  it.effect("failure_window_seconds: what is older than the window does not count", () =>
    Effect.gen(function*() {
      const policy = CircuitPolicy.make({ failureRate: 0.5, minimumCalls: 4, window: { duration: "60 seconds" } })
      const breaker = yield* CircuitBreaker.make({ name: "api_client", policy })
      yield* fail(breaker, 3)
      yield* TestClock.adjust("60 seconds")
      yield* fail(breaker, 3)
      assert.strictEqual(yield* breaker.state, "Closed")
      yield* fail(breaker)
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  it.effect("environment defaults: an empty environment gives the policy of the code", () =>
    Effect.gen(function*() {
      const { circuitPolicy } = yield* Environment.load({ defaults: CircuitPolicy.production })
      assert.deepStrictEqual(CircuitPolicy.difference(circuitPolicy("any"), CircuitPolicy.production), [])
    }))
})
