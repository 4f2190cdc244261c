import type { Verdict } from "./machine.ts"

export const NOT_ADMITTED = -1
export const NOT_TIMED = -1

/** One call on its way through a circuit: where it was admitted, and how it ended. */
export class Call {
  generation = NOT_ADMITTED
  startedAt = NOT_TIMED
  verdict: Verdict = "Success"
  slow = false
  retryAfter = 0
  now = 0

  get isAdmitted(): boolean {
    return this.generation !== NOT_ADMITTED
  }
}
