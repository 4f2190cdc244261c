import type * as Library from "effect-resilience"

type ConstructorName = "exponential" | "tier" | `${"layer" | "make" | "Service" | "with"}${string}`

/** The functions of the package that are named as what makes or wraps something is, as `Bulkhead.make`. */
export type Exported = {
  [M in keyof typeof Library]: {
    [K in keyof (typeof Library)[M] & ConstructorName]: (typeof Library)[M][K] extends (...args: never) => unknown
      ? `${M}.${K}`
      : never
  }[keyof (typeof Library)[M] & ConstructorName]
}[keyof typeof Library]
