/** The steps of a pipeline as they are put around a call. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { attemptSpan, callSpan } from "../telemetry/spans.ts"

export type AnyCall = Effect.Effect<unknown, unknown, unknown>

/** A step, which is described when that is asked for. */
export interface Stage {
  readonly title: string
  readonly describe: () => string
  readonly protect: (self: AnyCall) => AnyCall
}

export const through = (self: AnyCall, stages: ReadonlyArray<Stage>): AnyCall =>
  stages.reduceRight((inner, stage) => stage.protect(inner), self)

/** Adds spans for the call and, if a stage repeats it, for each attempt. */
export const throughWithSpans = (
  self: AnyCall,
  stages: ReadonlyArray<Stage>,
  name: string,
  /** The index of the innermost stage that runs what is inside of it more than once; -1 if there is none. */
  repeating: number
): AnyCall => {
  const attempt = through(self, stages.slice(repeating + 1))
  const repeated = repeating < 0 ? attempt : attemptSpan(attempt, name)
  return callSpan(through(repeated, stages.slice(0, repeating + 1)), name)
}

/** The name of a pipeline, then a line for each stage, outermost first. */
export const describeStages = (name: string, stages: ReadonlyArray<Stage>): string => {
  const width = Math.max(...stages.map((stage) => stage.title.length), 4)
  const lines = stages.map(({ describe, title }) => `  ${title.padEnd(width)}  ${describe()}`)
  return [name, ...lines, `  ${"call".padEnd(width)}`.trimEnd()].join("\n")
}

/** A target by value knows its name and description; the class of a service knows its key. */
export const describeTarget = (target: { readonly name: string } | Context.Key<unknown, object>): string => {
  const name = Context.isKey(target) ? target.key.slice(target.key.lastIndexOf("/") + 1) : target.name
  return Predicate.hasProperty(target, "description") ? `"${name}": ${target.description}` : `"${name}"`
}
