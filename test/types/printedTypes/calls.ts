/** Calls whose types the test beside this one prints, as an editor shows them. */
import { Context, Data, Effect } from "effect"
import { Bulkhead, Hedge, Resilience, Retry, RetryBudget } from "effect-resilience"

export class NotFound extends Data.TaggedError("NotFound") {}
export class HttpError extends Data.TaggedError("HttpError")<{ readonly status: number }> {}
export class Slots extends Bulkhead.Service<Slots>()("slots", { limit: 1 }) {}
export class Budget extends RetryBudget.Service<Budget>()("budget") {}
export class Log extends Context.Service<Log, Array<string>>()("test/Log") {}

declare const call: Effect.Effect<string, HttpError | NotFound>

export const usual = Resilience.make({
  name: "payment-api",
  timeout: "10 seconds",
  retry: { maxAttempts: 3 },
  attemptTimeout: "2 seconds"
}).execute(call)

export const standard = Resilience.standard("payment-api").execute(call)

export const withFallback = Resilience.make({ name: "a", fallback: Effect.succeed(1) }).execute(call)

export const withAnswers = Resilience.make({
  name: "a",
  fallback: Effect.succeed(1),
  isAnswer: (error): error is NotFound => error instanceof NotFound
}).execute(call)

export const withInlinePolicies = Resilience.make({
  name: "a",
  circuitBreaker: false,
  retry: Retry.make({ maxAttempts: 3, while: (error) => error !== "no" }),
  hedge: Hedge.make({ delay: "1 second", while: (error) => error !== "no" })
}).execute(call)

export const withServices = Resilience.make({
  name: "a",
  bulkhead: Slots,
  retry: Retry.make({ budget: Budget }),
  hedge: { delay: "1 second", onHedge: () => Log }
}).wrap((id: number) => Effect.andThen(Effect.succeed(id), call))

export const retried = call.pipe(
  Retry.withRetry({ while: (error) => error._tag === "HttpError", whileSuccess: (text) => text.length === 0 })
)
