/**
 * Names of variables: their spellings, the circuits that they are for, and what
 * a misspelt one is meant to be.
 */
import * as Str from "effect/String"
import type { Value, Variable } from "../../Environment.ts"
import { closest, distance, TYPO } from "../spelling.ts"
import { encode } from "./decode.ts"
import { circuitFields, type Field, type Fields, otherFields } from "./fields.ts"
import { ofCalls, ofCircuits, type Synonym, synonymOf } from "./synonyms.ts"

/** The spellings of a key, primary first. Every time in seconds can be written with its unit or without. */
export const spellings = (key: string, { kind }: Field<Value>): ReadonlyArray<string> =>
  kind.unit !== "seconds"
    ? [key]
    : [key, key.endsWith("_SECONDS") ? key.slice(0, -"_SECONDS".length) : `${key}_SECONDS`]

export const GLOBAL = "CIRCUIT_BREAKER_"
const CIRCUIT = "CB_"

export const prefixOf = (variableName: string): string => variableName === "" ? GLOBAL : `${CIRCUIT}${variableName}_`

const describeFields = (fields: Fields, prefix: string): ReadonlyArray<Variable> =>
  Object.entries(fields).map(([key, field]) => {
    const [primary, ...aliases] = spellings(key, field).map((spelling) => prefix + spelling)
    return {
      key,
      name: primary!,
      aliases,
      circuitName: prefix === GLOBAL ? prefixOf("<NAME>") + key : undefined,
      default: encode(field.default, field.kind.unit),
      accepts: field.kind.accepts,
      unit: field.kind.unit,
      description: field.description
    }
  })

/** All variables that the library reads. */
export const variables: ReadonlyArray<Variable> = [
  ...describeFields(circuitFields, GLOBAL),
  ...describeFields(otherFields, "")
]

export const circuitKeys = Object.entries(circuitFields).flatMap(([key, field]) => spellings(key, field))

export const globalNames = variables.flatMap((variable) => [variable.name, ...variable.aliases])

export const variableName = (circuit: string): string => Str.configCase(circuit)

/** The variable that a setting of one circuit is set with. */
export const variableOf = (key: string, circuit: string): string => prefixOf(variableName(circuit)) + key

/** Whether the name of a variable of ours, right or misspelt, may start with a word. */
export const isOurs = (word: string): boolean =>
  word === "CB" || word === "MAX" || word === "RETRY" || word === "HEALTH" ||
  distance(word, "CIRCUIT") <= TYPO || distance(word, "CIRCUITBREAKER") <= TYPO

/** The circuit that a variable is for. */
export const circuitOf = (variable: string): string | undefined => {
  const key = variable.startsWith(CIRCUIT) ? circuitKeys.find((key) => variable.endsWith(`_${key}`)) : undefined
  const name = key === undefined ? "" : variable.slice(CIRCUIT.length, -key.length - 1)
  return name === "" ? undefined : name
}

/** What is wrong with the name of a variable. */
export const problemOf = (variable: string, declared: Declared): string | undefined =>
  variable.startsWith(CIRCUIT) ? problemOfCircuit(variable, declared) : problemOfName(variable)

// Others have variables with such names as well, so that a name is only wrong if it is nearly one of ours or starts so.

const problemOfName = (variable: string): string | undefined => {
  if (globalNames.includes(variable)) return undefined
  const prefix = variable.startsWith(GLOBAL) ? GLOBAL : ""
  const synonym = synonymOf(variable.slice(prefix.length), prefix === "" ? ofCalls : ofCircuits)
  if (synonym !== undefined) return isUnknown(prefix, synonym)
  const meant = closest(variable, globalNames, TYPO)
  if (meant !== undefined) return isUnknown("", { means: [meant], note: undefined })
  return prefix === "" ? undefined : isNoneOf(prefix)
}

const problemOfCircuit = (variable: string, declared: Declared): string | undefined => {
  const circuit = circuitOf(variable)
  if (circuit !== undefined && declared.names.has(circuit)) return undefined
  const prefix = declaredPrefix(variable, declared)
  const ofDeclared = prefix === undefined ? undefined : synonymOf(variable.slice(prefix.length), ofCircuits)
  if (ofDeclared !== undefined) return isUnknown(prefix!, ofDeclared)
  const near = declared.isComplete ? (name: string) => nearestCircuit(name, declared) : () => undefined
  const words = variable.slice(CIRCUIT.length).split("_")
  for (let i = Math.max(0, words.length - MAX_KEY_WORDS); i < words.length; i++) {
    const name = words.slice(0, i).join("_")
    const key = words.slice(i).join("_")
    // Of what is the variable of a circuit already, only more can be a synonym, and `CB_SLIDING_WINDOW_SIZE` is one.
    const isTaken = circuit !== undefined && (i === 0 || key.length <= variable.length - prefixOf(circuit).length)
    const synonym = isTaken || !isTelling(key) ? undefined : synonymOf(key, ofCircuits)
    const meant = circuit === undefined ? closest(key, circuitKeys, TYPO) : undefined
    if (synonym === undefined && meant === undefined) continue
    return isUnknown(prefixOf(near(name) ?? name), synonym ?? { means: [meant!], note: undefined })
  }
  if (circuit === undefined) return prefix === undefined ? undefined : isNoneOf(prefix)
  const known = near(circuit)
  return known === undefined
    ? undefined
    : `matches no circuit in the code; did you mean ${prefixOf(known)}${variable.slice(prefixOf(circuit).length)}?`
}

const isUnknown = (prefix: string, { means, note }: Synonym): string =>
  `is unknown; did you mean ${means.map((key) => prefix + key).join(" or ")}?${note === undefined ? "" : ` ${note}`}`

const isNoneOf = (prefix: string): string =>
  `is unknown; known names after ${prefix} are ${Object.keys(circuitFields).join(", ")}`

/** No circuit has more words in its name. */
const MAX_NAME_WORDS = 64

/** The longest prefix of a circuit in code that a variable starts with. */
const declaredPrefix = (variable: string, { names }: Declared): string | undefined => {
  const words = variable.slice(CIRCUIT.length).split("_", MAX_NAME_WORDS)
  for (let i = words.length; i > 0; i--) {
    const name = words.slice(0, i).join("_")
    if (names.has(name)) return prefixOf(name)
  }
  return undefined
}

/** `CB_…_TIMEOUT` may be anything of others, `CB_…_RESET_TIMEOUT` hardly. */
const isTelling = (key: string): boolean => !/^[^_]*(?:_(?:MS|MILLIS|MILLISECONDS|SECONDS))?$/.test(key)

/** No key and no synonym has more words, with one more for a slip. */
const MAX_KEY_WORDS = 10

/** The circuit that is meant by a name that is not quite its own. Names that differ in a number are several circuits. */
const nearestCircuit = (name: string, declared: Declared): string | undefined =>
  closest(name, declared.byDigits.get(digitsOf(name)) ?? [], name.length >= 8 ? TYPO : name.length >= 5 ? 1 : 0)

const digitsOf = (name: string): string => name.replace(/\D/g, "")

/** The circuits that the code names. */
export interface Declared {
  readonly names: ReadonlySet<string>
  readonly byDigits: ReadonlyMap<string, ReadonlyArray<string>>
  /** Whether these are all that the code names. */
  readonly isComplete: boolean
}

export const declare = (circuits: ReadonlyArray<string>, isComplete: boolean): Declared => {
  const names = new Set(circuits.map(variableName).filter((name) => name !== ""))
  const byDigits = new Map<string, Array<string>>()
  for (const name of names) {
    const digits = digitsOf(name)
    const others = byDigits.get(digits)
    if (others === undefined) byDigits.set(digits, [name])
    else others.push(name)
  }
  return { names, byDigits, isComplete }
}
