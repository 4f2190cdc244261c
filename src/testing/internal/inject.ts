import * as Effect from "effect/Effect"
import type { Call, Kind } from "../Chaos.ts"
import type { Planned } from "./plan.ts"

/**
 * The call with its steps around it. `error` is what a fault without an error of its own fails with; without that it dies
 * with what `unnamed` makes.
 */
export const inject = <A, E, R, A1, E1, R1, E2>(
  self: Effect.Effect<A1, E1, R1>,
  call: Call,
  steps: ReadonlyArray<Planned<A, E, R>>,
  error: ((call: Call) => E2) | undefined,
  unnamed: (kind: Kind, call: Call) => unknown
): Effect.Effect<A | A1, E | E1 | E2, R | R1> =>
  steps.reduceRight<Effect.Effect<A | A1, E | E1 | E2, R | R1>>((inner, { kind, step }) => {
    switch (step._tag) {
      case "Before":
        return Effect.andThen(step.run, inner)
      case "Instead":
        return step.run
      case "Fail": {
        const make: ((call: Call) => E | E2) | undefined = step.error ?? error
        const failure = make === undefined
          ? Effect.suspend(() => Effect.die(unnamed(kind, call)))
          : Effect.suspend(() => Effect.fail(make(call)))
        return step.at === "request" ? failure : Effect.andThen(self, failure)
      }
    }
  }, self)
