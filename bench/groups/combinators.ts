/** Each combinator alone, on the way of success, next to what Effect has for it; and the pipeline of them all. */
import {
  Bulkhead,
  CircuitBreaker,
  CircuitBreakerRegistry,
  CircuitPolicy,
  Fallback,
  Hedge,
  RateLimit,
  Resilience,
  Retry,
  RetryBudget,
  Timeout
} from "effect-resilience"
import * as Effect from "effect/Effect"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import { cockatiel, cockatiels, countWindow, effects, ours } from "../breakers.ts"
import { acquire, asyncCall, build, failed, failing, inAsync, inFiber, promise, sync } from "../loops.ts"
import { AWAIT, BARE, type Group, OURS, timed } from "../model.ts"

const retryPolicy = Retry.make({ maxAttempts: 3, baseDelay: "100 millis" })
const schedule = Schedule.exponential("100 millis").pipe(Schedule.upTo({ times: 2 }))
const limited = Timeout.withTimeout("10 seconds")
const unlimited = { name: "bench", limit: 1_000_000_000, window: "1 second" } as const

export const combinators: Group = {
  name: "combinators",
  cases: [
    timed("retry, success", async () => {
      const budget = await acquire(RetryBudget.make())
      const budgeted = Retry.make({ maxAttempts: 3, budget })
      const theirs = cockatiel.retry(cockatiel.handleAll, { maxAttempts: 2 })
      return [
        { name: BARE, run: inFiber(() => sync) },
        { name: OURS, run: inFiber(() => Retry.withRetry(sync, retryPolicy)), bare: BARE },
        { name: "with a budget", run: inFiber(() => Retry.withRetry(sync, budgeted)), bare: BARE },
        { name: "Effect.retry", run: inFiber(() => Effect.retry(sync, { times: 2 })), bare: BARE },
        { name: "Effect.retry (schedule)", run: inFiber(() => Effect.retry(sync, schedule)), bare: BARE },
        { name: AWAIT, run: inAsync(asyncCall) },
        { name: "cockatiel", run: inAsync(() => theirs.execute(asyncCall)), bare: AWAIT }
      ]
    }),
    timed("retry, three attempts without a wait", async () => {
      const eager = Retry.make({ maxAttempts: 3, baseDelay: 0, jitter: "none" })
      return [
        { name: BARE, run: failing(() => failed) },
        { name: OURS, run: failing(() => Retry.withRetry(failed, eager)), bare: BARE },
        { name: "Effect.retry", run: failing(() => Effect.retry(failed, { times: 2 })), bare: BARE }
      ]
    }),
    timed("timeout, sync call", async () => [
      { name: BARE, run: inFiber(() => sync) },
      { name: OURS, run: inFiber(() => limited(sync)), bare: BARE },
      { name: "Effect.timeout", run: inFiber(() => Effect.timeout(sync, "10 seconds")), bare: BARE }
    ]),
    timed("timeout, call of a promise", async () => {
      const theirs = cockatiel.timeout(10_000, cockatiel.TimeoutStrategy.Aggressive)
      return [
        { name: BARE, run: inFiber(() => promise) },
        { name: OURS, run: inFiber(() => limited(promise)), bare: BARE },
        { name: "Effect.timeout", run: inFiber(() => Effect.timeout(promise, "10 seconds")), bare: BARE },
        { name: AWAIT, run: inAsync(asyncCall) },
        { name: "cockatiel", run: inAsync(() => theirs.execute(asyncCall)), bare: AWAIT }
      ]
    }),
    timed("bulkhead", async () => {
      const bulkhead = await acquire(Bulkhead.make({ limit: 10, queue: 10 }))
      const semaphore = await acquire(Semaphore.make(10))
      const theirs = cockatiel.bulkhead(10, 10)
      return [
        { name: BARE, run: inFiber(() => sync) },
        { name: OURS, run: inFiber(() => bulkhead.execute(sync)), bare: BARE },
        { name: "Semaphore", run: inFiber(() => Semaphore.withPermits(semaphore, 1)(sync)), bare: BARE },
        { name: AWAIT, run: inAsync(asyncCall) },
        { name: "cockatiel", run: inAsync(() => theirs.execute(asyncCall)), bare: AWAIT }
      ]
    }),
    timed("bulkhead, rejection", async () => {
      const bulkhead = await acquire(Bulkhead.make({ limit: 1 }))
      await acquire(Effect.forkScoped(bulkhead.execute(Effect.never), { startImmediately: true }))
      const semaphore = await acquire(Semaphore.make(1))
      await acquire(Effect.forkScoped(Semaphore.withPermits(semaphore, 1)(Effect.never), { startImmediately: true }))
      return [
        { name: BARE, run: failing(() => failed) },
        { name: OURS, run: failing(() => bulkhead.execute(sync)) },
        { name: "Semaphore", run: failing(() => Semaphore.withPermitsIfAvailable(semaphore, 1)(sync)) }
      ]
    }),
    timed("rate limit", async () => {
      const rateLimit = await acquire(RateLimit.makeMemory(unlimited))
      const services = await build(RateLimiter.layerStoreMemory)
      const limiter = await acquire(Effect.provideContext(RateLimiter.make, services))
      return [
        { name: BARE, run: inFiber(() => sync) },
        { name: OURS, run: inFiber(() => rateLimit.execute(sync)), bare: BARE },
        {
          name: "Effect RateLimiter",
          run: inFiber(() =>
            Effect.andThen(
              limiter.consume({ key: "bench", limit: unlimited.limit, window: unlimited.window, onExceeded: "fail" }),
              sync
            )
          ),
          bare: BARE
        }
      ]
    }),
    timed("hedge, first attempt in time", async () => {
      const policy = Hedge.make({ delay: "1 second" })
      return [
        { name: BARE, run: inFiber(() => promise) },
        { name: OURS, run: inFiber(() => Hedge.withHedge(promise, policy)), bare: BARE },
        { name: "Effect.timeout", run: inFiber(() => Effect.timeout(promise, "1 second")), bare: BARE }
      ]
    }),
    timed("fallback, not needed", async () => [
      { name: BARE, run: inFiber(() => sync) },
      { name: OURS, run: inFiber(() => Fallback.onRejection(sync, () => Effect.succeed(0))), bare: BARE },
      { name: "Effect.catch", run: inFiber(() => Effect.catch(sync, () => Effect.succeed(0))), bare: BARE }
    ])
  ]
}

const stock = async () => {
  const breaker = await effects()
  const semaphore = await acquire(Semaphore.make(10))
  return <A, E>(call: Effect.Effect<A, E>) =>
    call.pipe(
      Effect.timeout("10 seconds"),
      Semaphore.withPermits(semaphore, 1),
      (self) => breaker(self),
      Effect.retry({ times: 2 })
    )
}

const wrapped = () =>
  cockatiel.wrap(
    cockatiel.retry(cockatiel.handleAll, { maxAttempts: 2 }),
    cockatiels(),
    cockatiel.timeout(10_000, cockatiel.TimeoutStrategy.Aggressive)
  )

export const pipeline: Group = {
  name: "pipeline",
  cases: [
    timed("retry, circuit, attempt timeout, call of a promise", async () => {
      const breaker = await ours(countWindow)
      const theirs = wrapped()
      return [
        { name: BARE, run: inFiber(() => promise) },
        {
          name: OURS,
          run: inFiber(() => Retry.withRetry(breaker.execute(limited(promise)), retryPolicy)),
          bare: BARE
        },
        { name: "Effect.timeout alone", run: inFiber(() => Effect.timeout(promise, "10 seconds")), bare: BARE },
        { name: AWAIT, run: inAsync(asyncCall) },
        { name: "cockatiel", run: inAsync(() => theirs.execute(asyncCall)), bare: AWAIT }
      ]
    }),
    timed("all steps, sync call", async () => {
      const services = await build(CircuitBreakerRegistry.layer({ defaults: CircuitPolicy.make(countWindow) }))
      const bulkhead = await acquire(Bulkhead.make({ limit: 10, queue: 10 }))
      const standard = Resilience.make({
        name: "standard",
        retry: retryPolicy,
        bulkhead,
        attemptTimeout: "10 seconds"
      })
      const full = Resilience.make({
        name: "full",
        fallback: Effect.succeed(0),
        timeout: "30 seconds",
        retry: retryPolicy,
        rateLimit: await acquire(RateLimit.makeMemory(unlimited)),
        bulkhead,
        attemptTimeout: "10 seconds"
      })
      const theirs = await stock()
      return [
        { name: BARE, run: inFiber(() => sync) },
        { name: OURS, run: inFiber(() => standard.execute(sync), services), bare: BARE },
        {
          name: "with total timeout, rate limit, fallback",
          run: inFiber(() => full.execute(sync), services),
          bare: BARE
        },
        { name: "Effect's timeout, semaphore, breaker, retry", run: inFiber(() => theirs(sync)), bare: BARE }
      ]
    }),
    timed("all steps, call of a promise", async () => {
      const services = await build(CircuitBreakerRegistry.layer({ defaults: CircuitPolicy.make(countWindow) }))
      const bulkhead = await acquire(Bulkhead.make({ limit: 10, queue: 10 }))
      const standard = Resilience.make({ name: "standard", retry: retryPolicy, bulkhead, attemptTimeout: "10 seconds" })
      const theirs = await stock()
      return [
        { name: BARE, run: inFiber(() => promise) },
        { name: OURS, run: inFiber(() => standard.execute(promise), services), bare: BARE },
        { name: "Effect's timeout, semaphore, breaker, retry", run: inFiber(() => theirs(promise)), bare: BARE }
      ]
    }),
    timed("retry around an open circuit", async () => {
      const breaker = await ours({ consecutiveFailures: 1, openDuration: "1 hour" })
      await failing(() => breaker.execute(failed))(1)
      const target = CircuitBreaker.withCircuitBreaker(breaker)
      return [
        { name: BARE, run: failing(() => failed) },
        { name: OURS, run: failing(() => Retry.withRetry(target(limited(sync)), retryPolicy)) }
      ]
    })
  ]
}
