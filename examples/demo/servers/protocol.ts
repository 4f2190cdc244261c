/**
 * What the demo and its server processes say to each other over the IPC
 * channel of a forked process. HTTP carries the calls, this carries the faults
 * and the receipts.
 */

/** How a server behaves. A process that is killed has no behaviour, so `killed` is the parent's doing. */
export type Condition = "up" | "slow" | "unavailable" | "resetting"

/** Parent → server. */
export type Command =
  | { readonly _tag: "Become"; readonly condition: Condition }
  /** Asks for a `Settled`, which arrives after every receipt sent before it. */
  | { readonly _tag: "Settle" }
  /** Asks for a `Pong`, whose time says how long the process was kept from running. */
  | { readonly _tag: "Ping" }

/** Server → parent. */
export type Message =
  | { readonly _tag: "Listening" }
  | { readonly _tag: "Became"; readonly condition: Condition }
  | { readonly _tag: "Answered"; readonly receipt: string; readonly accountId: string; readonly found: boolean }
  | { readonly _tag: "Settled" }
  | { readonly _tag: "Pong" }
