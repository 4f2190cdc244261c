/**
 * What the variables of one prefix set, and which of the levels decides each
 * setting. A decided setting keeps where its value comes from.
 */
import * as Equal from "effect/Equal"
import type { CircuitPolicy } from "../../CircuitPolicy.ts"
import type { Setting, Value } from "../../Environment.ts"
import { type CircuitFields, circuitFields, claims, type Field, type Fields, type ValueOf } from "./fields.ts"
import { spellings } from "./names.ts"
import { quote, type Report } from "./problems.ts"
import type { Texts } from "./source.ts"

// -----------------------------------------------------------------------------
// one level
// -----------------------------------------------------------------------------

interface Given<out A extends Value> {
  readonly value: A
  readonly variable: string
  readonly text: string
}

/** What the variables of one prefix set. A setting whose variable is not accepted is `invalid`. */
export type Level<F> = { readonly [K in keyof F]?: Given<ValueOf<F[K]>> | "invalid" }

export const decodeLevel = <F extends Fields>(texts: Texts, fields: F, prefix: string, report: Report): Level<F> => {
  const level: Record<string, Given<Value> | "invalid"> = {}
  for (const [key, field] of Object.entries(fields)) {
    for (const spelling of spellings(key, field)) {
      const variable = prefix + spelling
      const text = texts.get(variable)
      if (text === undefined) continue
      const value = field.kind.decode(text.trim().toLowerCase())
      const other = level[key]
      if (value === undefined) {
        const wrong = field.kind.explain?.(text) ?? `must be ${field.kind.accepts}`
        report({ message: `${quote(variable, text)} ${wrong}`, variables: [variable] })
        level[key] = "invalid"
      } else if (other === undefined) {
        level[key] = { value, variable, text }
      } else if (other !== "invalid" && !Equal.equals(other.value, value)) {
        report({
          message: `${quote(other.variable, other.text)} and ${quote(variable, text)} are the same setting; ` +
            "set one of them",
          variables: [other.variable, variable]
        })
        level[key] = "invalid"
      }
    }
  }
  return level as Level<F>
}

/** A window is either a time or a number of calls, so that one of them turns off the other. */
export const decodeCircuitLevel = (texts: Texts, prefix: string, report: Report): Level<CircuitFields> => {
  const level = decodeLevel(texts, circuitFields, prefix, report)
  const { FAILURE_WINDOW_SECONDS: time, WINDOW_SIZE: size } = level
  if (time === "invalid" || size === "invalid") {
    return { ...level, FAILURE_WINDOW_SECONDS: "invalid", WINDOW_SIZE: "invalid" }
  }
  if (time === undefined && isOn(size)) return { ...level, FAILURE_WINDOW_SECONDS: { ...size, value: "off" } }
  if (size === undefined && isOn(time)) return { ...level, WINDOW_SIZE: { ...time, value: "off" } }
  if (!isOn(time) || !isOn(size)) return level
  report({
    message: `${quote(time.variable, time.text)} and ${quote(size.variable, size.text)} exclude each other; ` +
      "set one of them",
    variables: [time.variable, size.variable]
  })
  return { ...level, FAILURE_WINDOW_SECONDS: "invalid", WINDOW_SIZE: "invalid" }
}

const isOn = <A extends Value>(given: Given<A> | undefined): given is Given<A> =>
  given !== undefined && given.value !== "off"

const isGiven = <A extends Value>(given: Given<A> | "invalid" | undefined): given is Given<A> =>
  given !== undefined && given !== "invalid"

export const givenOr = <A extends Value>(given: Given<A> | "invalid" | undefined, otherwise: A): A =>
  isGiven(given) ? given.value : otherwise

// -----------------------------------------------------------------------------
// precedence
// -----------------------------------------------------------------------------

/** A setting with the value that counts. */
export interface Decided<out A extends Value> {
  readonly value: A
  readonly source: Setting["source"]
  /** Where the value was read, or else where to set it. */
  readonly variable: string
  /** The text of the variable, if it is set. */
  readonly text: string
  /** A variable is not accepted, so that nothing follows from this value. */
  readonly invalid: boolean
}

export type Settings<F> = { readonly [K in keyof F]: Decided<ValueOf<F[K]>> }

/** What may have a setting: the first that does counts. */
interface Precedence<F> {
  readonly circuit?: Level<F> | undefined
  readonly policy?: CircuitPolicy | undefined
  readonly global: Level<F>
  readonly defaults?: CircuitPolicy | undefined
}

export const decide = <F extends Fields>(fields: F, prefix: string, levels: Precedence<F>): Settings<F> => {
  const settings: Record<string, Decided<Value>> = {}
  for (const [key, field] of Object.entries(fields)) {
    settings[key] = decideOne(field, prefix + key, {
      circuit: levels.circuit?.[key],
      policy: levels.policy,
      global: levels.global[key],
      defaults: levels.defaults
    })
  }
  return settings as Settings<F>
}

const decideOne = (
  field: Field<Value>,
  variable: string,
  { circuit, defaults, global, policy }: {
    readonly circuit: Given<Value> | "invalid" | undefined
    readonly policy: CircuitPolicy | undefined
    readonly global: Given<Value> | "invalid" | undefined
    readonly defaults: CircuitPolicy | undefined
  }
): Decided<Value> => {
  const unset = { variable, text: "", invalid: circuit === "invalid" }
  if (isGiven(circuit)) return { ...circuit, source: "Variable", invalid: false }
  if (policy !== undefined && field.read !== undefined && claims(policy, field)) {
    return { ...unset, value: field.read(policy), source: "Policy" }
  }
  if (isGiven(global)) return { ...global, source: "Variable", invalid: unset.invalid }
  return { ...unset, ...inCode(field, policy ?? defaults), invalid: unset.invalid || global === "invalid" }
}

/** What a policy in code has for a setting, whether it names it or not. */
export const inCode = (
  field: Field<Value>,
  policy: CircuitPolicy | undefined
): { readonly value: Value; readonly source: "Default" | "Policy" } =>
  policy === undefined || field.read === undefined
    ? { value: field.default, source: "Default" }
    : { value: field.read(policy), source: claims(policy, field) ? "Policy" : "Default" }

export const isSet = (setting: Decided<Value>): boolean => setting.source === "Variable"

export const variablesOf = (settings: ReadonlyArray<Decided<Value>>): ReadonlyArray<string> =>
  settings.filter(isSet).map(({ variable }) => variable)

export const show = ({ text, variable }: Decided<Value>): string => quote(variable, text)
