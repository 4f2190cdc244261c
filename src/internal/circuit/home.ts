import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Random from "effect/Random"
import type { Parent } from "./journal.ts"
import type { Calls } from "./snapshot.ts"

/** What a circuit takes from where it was made. One object serves all circuits that were made in one place. */
export interface Home {
  readonly clock: Clock.Clock
  readonly random: () => number
  /** Has the services of an open time's schedule, too. */
  readonly context: Context.Context<never>
  /** The registry whose events have the circuit's as a part. */
  readonly parent: Parent | undefined
  /** Where calls are counted: those of the registry, or of no interest. Here, since every call needs it. */
  readonly calls: Calls
}

/** The home of a circuit that joins a registry, or leaves it. */
export const within = (home: Home, parent: Parent | undefined): Home => ({
  ...home,
  parent,
  calls: parent?.census.calls ?? { all: 0, rejected: 0 }
})

const homes = new WeakMap<Context.Context<never>, Home>()

/** The home of circuits that belong to no registry. */
export const homeOf = (context: Context.Context<never>): Home => {
  let home = homes.get(context)
  if (home === undefined) homes.set(context, home = makeHome(context, undefined))
  return home
}

export const makeHome = (context: Context.Context<never>, parent: Parent | undefined): Home => {
  const random = Context.get(context, Random.Random)
  return {
    clock: Context.get(context, Clock.Clock),
    random: () => random.nextDoubleUnsafe(),
    context,
    parent,
    calls: parent?.census.calls ?? { all: 0, rejected: 0 }
  }
}
