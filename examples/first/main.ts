/** A call that can fail, with a timeout, a circuit breaker, a retry and a fallback around it. */
import { Console, Effect } from "effect"
import { CircuitBreaker, CircuitPolicy, Fallback, Retry, Timeout } from "effect-resilience"

// Stands for a remote service: answers as it is told to, and counts how often it is asked.
const up: Effect.Effect<string, string> = Effect.succeed("42.10")
const down: Effect.Effect<string, string> = Effect.fail("connection refused")
let answers: Array<Effect.Effect<string, string>> = []
let asked = 0

const fetchPrice = Effect.suspend(() => {
  asked++
  return answers.shift() ?? up
})

const program = Effect.gen(function*() {
  const breaker = yield* CircuitBreaker.make({
    name: "prices",
    policy: CircuitPolicy.make({ consecutiveFailures: 3, openDuration: "1 second", successThreshold: 1 })
  })

  const getPrice = fetchPrice.pipe(
    Timeout.withTimeout("100 millis"), // A call that takes longer fails.
    breaker.execute, // Counts the failures; while the circuit is open, the service isn't asked.
    Retry.withRetry({ maxAttempts: 2, baseDelay: "20 millis" }), // Asks once more after a failure.
    Fallback.withFallbackValue("41.00 (yesterday's)") // Answers if all of that failed.
  )

  const show = Effect.fnUntraced(function*(what: string, ...next: typeof answers) {
    answers = next
    asked = 0
    const price = yield* getPrice
    const state = yield* breaker.state
    yield* Console.log(`${what}\n  price: ${price}, attempts: ${asked}, circuit: ${state}\n`)
  })

  yield* show("The service works.")
  yield* show("It fails once: the retry gets the price.", down)
  yield* show("It hangs, twice: the timeout ends both attempts, the fallback answers.", Effect.never, Effect.never)
  yield* show("It fails again: the third failure in a row opens the circuit, so there is no retry.", down)
  yield* show("The circuit is open: the service is left alone, the fallback answers at once.")
  yield* Effect.sleep("1 second")
  yield* show("A second later the circuit lets one call through: it succeeds and closes the circuit.")
})

await Effect.runPromise(program)
