/** What the soak and its servers tell each other. */

/** How a server is. A server that is killed or paused is so by signal. */
export type Condition = "up" | "slow" | "unavailable" | "resetting" | "flaky"

export type Command =
  | { readonly _tag: "Become"; readonly condition: Condition }
  | { readonly _tag: "Settle"; readonly id: number }

export type Message =
  | { readonly _tag: "Listening" }
  | { readonly _tag: "Settled"; readonly id: number }
  /** One attempt, by its number: it has come in, or is about to be answered. */
  | { readonly _tag: "Received"; readonly attempt: number }
  | { readonly _tag: "Answered"; readonly attempt: number }
