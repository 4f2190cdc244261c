/**
 * Interrupts an effect everywhere it can be interrupted.
 */
import { assert, it } from "@effect/vitest"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { Machine } from "./machine.ts"

/** What one run of a sweep came to. */
export interface Run<A, E> {
  readonly exit: Exit.Exit<A, E>
  /** The operation before which all fibers of the run paused and its own was interrupted, from 1. */
  readonly place: number
  /** Whether the interruption came before the effect had ended. */
  readonly interrupted: boolean
  readonly machine: Machine
}

/**
 * Registers a test that runs an effect over and over: the n-th time a fiber is
 * made to yield before the n-th operation of the effect, its children
 * included, and the effect is interrupted there; until it ends, or waits for
 * ever, without getting that far. A run that waits for ever is interrupted
 * while it waits.
 *
 * `make` makes what is to be looked at afterwards, with the effect in `run`.
 * `check` is called after each run, when no fiber of it is left running, and
 * throws if something leaked. Time is virtual and passes by itself.
 *
 * Code that is not interruptible goes on after the interruption, so an
 * uninterruptible effect must end by itself.
 */
export const sweep = <S extends { readonly run: Effect.Effect<A, E> }, A, E>(
  name: string,
  make: Effect.Effect<S & { readonly run: Effect.Effect<A, E> }>,
  check: (subject: S, run: Run<A, E>) => void
): void => {
  it(name, () => {
    const places = interruptEverywhere(make, check)
    assert.isAbove(places, 1, "the effect is too small to be interrupted anywhere")
  })
}

/** The body of `sweep`; returns how many places there were. */
export const interruptEverywhere = <S extends { readonly run: Effect.Effect<A, E> }, A, E>(
  make: Effect.Effect<S & { readonly run: Effect.Effect<A, E> }>,
  check: (subject: S, run: Run<A, E>) => void
): number => {
  for (let place = 1;; place++) {
    const machine = new Machine()
    const subject = success(finished(machine, machine.run(make)))

    let operations = 0
    machine.pausesAt = () => ++operations === place
    const fiber = machine.run(subject.run)
    const goesOn = () => operations < place && fiber.pollUnsafe() === undefined
    while (goesOn() && (machine.step() || machine.tick()));

    const interrupted = fiber.pollUnsafe() === undefined
    if (interrupted) fiber.interruptUnsafe()
    machine.pausesAt = () => false
    const exit = finished(machine, fiber)
    try {
      check(subject, { exit, place, interrupted, machine })
    } catch (error) {
      throw new Error(`interrupted at operation ${place}: ${error instanceof Error ? error.message : error}`, {
        cause: error
      })
    }
    if (operations < place) return place - 1
  }
}

const finished = <A, E>(machine: Machine, fiber: Fiber.Fiber<A, E>): Exit.Exit<A, E> => {
  machine.finish()
  const exit = fiber.pollUnsafe()
  if (exit === undefined) throw new Error("a fiber did not end")
  return exit
}

const success = <A, E>(exit: Exit.Exit<A, E>): A => {
  if (exit._tag === "Failure") throw new Error(`making the subject failed: ${exit.cause}`)
  return exit.value
}
