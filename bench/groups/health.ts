/** What looking at 100,000 circuits costs, and for how long it keeps a program from anything else. */
import { CircuitBreaker, CircuitBreakerRegistry, CircuitPolicy, HealthMonitor } from "effect-resilience"
import { Admin } from "effect-resilience/admin"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { setImmediate as turn } from "node:timers/promises"
import { summarise } from "../measure.ts"
import { figures, type Group, OURS } from "../model.ts"

const CIRCUITS = 100_000
const policy = CircuitPolicy.make({ consecutiveFailures: 1, openDuration: "1 hour" })

const Circuits = CircuitBreakerRegistry.layer({ defaults: policy })
const Monitored = HealthMonitor.layer().pipe(Layer.provideMerge(Circuits))

const makeAll = (open: number) =>
  Effect.gen(function*() {
    for (let i = 0; i < CIRCUITS; i++) {
      yield* (i < open ? Effect.fail("down") : Effect.void).pipe(
        CircuitBreaker.withCircuitBreaker(`circuit-${i}`),
        Effect.ignore
      )
    }
  })

/** Microseconds that reading a status takes. */
const timeToRead = async (open: number) => {
  const runtime = ManagedRuntime.make(Monitored)
  await runtime.runPromise(makeAll(open))
  const read = Effect.gen(function*() {
    const registry = yield* CircuitBreakerRegistry.CircuitBreakerRegistry
    const monitor = yield* HealthMonitor.HealthMonitor
    const start = performance.now()
    for (let i = 0; i < 10; i++) {
      yield* registry.systemStatus
      yield* monitor.status
    }
    return (performance.now() - start) * 1_000 / 20
  })
  const times: Array<number> = []
  for (let i = 0; i < 100; i++) {
    times.push(await runtime.runPromise(read))
    await turn()
  }
  await runtime.dispose()
  return summarise(times).median
}

const PATHS = [
  "/health",
  "/health/detailed",
  "/status",
  "/circuits",
  "/circuits?sort=attention",
  "/circuits?state=open",
  "/circuits?search=99",
  "/config"
]

/** For how many milliseconds each request stops the event loop at most. Other programs only add to it, so the best of some. */
const longestStops = async (open: number, times: number): Promise<Readonly<Record<string, number>>> => {
  const runtime = ManagedRuntime.make(Monitored)
  await runtime.runPromise(makeAll(open))
  const context = await runtime.context()
  const { dispose, handler } = HttpRouter.toWebHandler(
    Admin.layer({ readAccess: "anyone", changes: false }).pipe(Layer.provide(Layer.succeedContext(context))),
    { disableLogger: true }
  )
  const stops: Record<string, number> = {}
  for (const path of PATHS) {
    let best = Infinity
    for (let i = 0; i < times; i++) {
      let longest = 0
      let last = performance.now()
      const request = { isAnswered: false }
      const answered = handler(new Request(`http://127.0.0.1:3000${path}`)).then(async (response) => {
        const body = await response.text()
        if (response.status !== 200 && response.status !== 503) throw new Error(`${path}: ${response.status} ${body}`)
        request.isAnswered = true
      })
      while (!request.isAnswered) {
        await turn()
        const now = performance.now()
        longest = Math.max(longest, now - last)
        last = now
      }
      await answered
      best = Math.min(best, longest)
    }
    stops[path] = best
  }
  await dispose()
  await runtime.dispose()
  return { [OURS]: Math.max(...Object.values(stops)), ...stops }
}

export const health: Group = {
  name: "health",
  cases: [
    figures("status of 100,000 circuits", "µs", async () => ({ [OURS]: await timeToRead(0) })),
    figures("status of 100,000 circuits that are open", "µs", async () => ({ [OURS]: await timeToRead(CIRCUITS) })),
    figures("longest stop of the event loop at 100,000 circuits", "ms", ({ short }) => longestStops(0, short ? 4 : 10)),
    figures(
      "longest stop of the event loop at 100,000 open circuits",
      "ms",
      ({ short }) => longestStops(CIRCUITS, short ? 4 : 10)
    )
  ]
}
