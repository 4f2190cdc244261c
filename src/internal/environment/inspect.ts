/**
 * Reads the variables, decodes what is right, and finds all that is wrong.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { CircuitPolicy } from "../../CircuitPolicy.ts"
import type { Environment, Inspection, Options, Setting } from "../../Environment.ts"
import { checkName, checkOptions, isObject, optionNames, refuse } from "../check.ts"
import { from } from "../circuit/policy.ts"
import { builtIn, type CircuitFields, circuitFields, type Fields, otherFields } from "./fields.ts"
import { fit, fitRetry, type Fitted } from "./fit.ts"
import { decide, decodeCircuitLevel, decodeLevel, givenOr, type Level, type Settings } from "./levels.ts"
import {
  circuitKeys,
  circuitOf,
  declare,
  GLOBAL,
  globalNames,
  isOurs,
  prefixOf,
  problemOf,
  variableName
} from "./names.ts"
import { messagesOf, type Problem, type Report, shorten } from "./problems.ts"
import { readAll, type Texts } from "./source.ts"

// -----------------------------------------------------------------------------
// what code has
// -----------------------------------------------------------------------------

/** What the code has, checked. */
export interface Code {
  readonly defaults: CircuitPolicy | undefined
  readonly circuits: ReadonlyMap<string, CircuitPolicy | undefined>
  /** Whether `circuits` has all circuits that the code names. */
  readonly isComplete: boolean
}

const OPTIONS = /* @__PURE__ */ optionNames<Options>({ defaults: true, circuits: true })

export const codeOf = (owner: string, options: Options, isComplete: boolean): Code => {
  const { circuits = {}, defaults } = checkOptions(owner, options, OPTIONS)
  if (!isObject(circuits)) refuse(`${owner}: circuits`, "an object of policies by name", circuits)
  return {
    defaults: from(`${owner}: defaults`, defaults),
    circuits: new Map(
      Object.entries(circuits).map(([name, policy]) => [
        checkName(`${owner}: circuits: the name of a circuit`, name),
        from(`${owner}: circuits.${name}`, policy)
      ])
    ),
    isComplete
  }
}

// -----------------------------------------------------------------------------
// inspect
// -----------------------------------------------------------------------------

export interface Inspected {
  /** Without the variables that are wrong, and with the defaults if none can be read. */
  readonly environment: Environment
  readonly problems: ReadonlyArray<Problem>
  readonly unreadable: ConfigProvider.SourceError | undefined
}

export const inspect = (code: Code): Effect.Effect<Inspected> =>
  Effect.match(read(code), {
    onFailure: (unreadable): Inspected => ({ ...decode(new Map(), code), unreadable }),
    onSuccess: (texts): Inspected => {
      const { environment, problems } = decode(texts, code)
      return {
        environment: problems.length === 0 ? environment : decodeRight(texts, problems, code),
        problems,
        unreadable: undefined
      }
    }
  })

/** With a line for each problem. */
export const toInspection = ({ environment, problems, unreadable }: Inspected): Inspection => ({
  environment,
  problems: unreadable === undefined ? messagesOf(problems) : [unreadable.message]
})

const read = ({ circuits }: Code): Effect.Effect<Texts, ConfigProvider.SourceError> =>
  Effect.flatMap(ConfigProvider.ConfigProvider, (provider) => {
    const names = Array.from(circuits.keys(), variableName).filter((name) => name !== "")
    const known = globalNames.concat(names.flatMap((name) => circuitKeys.map((key) => prefixOf(name) + key)))
    return readAll(provider, known, isOurs, (word) => word === "CB")
  })

/** Without the variables that are wrong, and without those that only the others have hidden. */
const decodeRight = (texts: Texts, problems: ReadonlyArray<Problem>, code: Code): Environment => {
  const wrong = new Set(problems.flatMap(({ variables }) => variables))
  const right = new Map(Array.from(texts).filter(([variable]) => !wrong.has(variable)))
  const decoded = decode(right, code)
  return decoded.problems.length === 0 ? decoded.environment : decodeRight(right, decoded.problems, code)
}

// -----------------------------------------------------------------------------
// decode
// -----------------------------------------------------------------------------

interface Decoded {
  readonly environment: Environment
  readonly problems: ReadonlyArray<Problem>
}

const decode = (all: Texts, code: Code): Decoded => {
  const problems: Array<Problem> = []
  const report: Report = (problem) => problems.push(problem)

  const declared = declare(Array.from(code.circuits.keys()), code.isComplete)
  const misnamed = Array.from(all.keys()).flatMap((variable): ReadonlyArray<Problem> => {
    const problem = problemOf(variable, declared)
    return problem === undefined ? [] : [{ message: `${shorten(variable)} ${problem}`, variables: [variable] }]
  })
  const wrongNames = new Set(misnamed.flatMap(({ variables }) => variables))
  const texts: Texts = new Map(Array.from(all).filter(([variable]) => !wrongNames.has(variable)))

  const global = decodeCircuitLevel(texts, GLOBAL, report)
  const others = fitRetry(decide(otherFields, "", { global: decodeLevel(texts, otherFields, "", report) }), report)
  const ofAll = fit(
    decide(circuitFields, GLOBAL, { global, defaults: code.defaults }),
    code.defaults ?? builtIn,
    GLOBAL,
    report
  )

  // Circuits that the code names, and those that only the environment does.
  const circuits = new Map(code.circuits)
  for (const variable of texts.keys()) {
    const name = circuitOf(variable)
    if (name !== undefined && !declared.names.has(name)) circuits.set(name, undefined)
  }
  const levels = new Map<string, Level<CircuitFields>>()
  for (const name of new Set(Array.from(circuits.keys(), variableName))) {
    const level = name === "" ? {} : decodeCircuitLevel(texts, prefixOf(name), report)
    if (Object.keys(level).length > 0) levels.set(name, level)
  }
  const fitCircuit: FitCircuit = (name, policy, report) =>
    fit(
      decide(circuitFields, prefixOf(name), { circuit: levels.get(name), policy, global, defaults: code.defaults }),
      policy ?? code.defaults ?? builtIn,
      prefixOf(name),
      report
    )

  const settings = [...listSettings(ofAll.settings, undefined), ...listSettings(others, undefined)]
  const policies = new Map<string, CircuitPolicy>()
  for (const [circuit, policy] of circuits) {
    const name = variableName(circuit)
    const fitted = fitCircuit(name, policy, report)
    policies.set(circuit, policy === undefined && !levels.has(name) ? ofAll.policy : fitted.policy)
    settings.push(...listSettings(fitted.settings, circuit))
  }
  problems.push(...misnamed)

  return {
    environment: {
      defaults: ofAll.policy,
      circuitPolicy: makeCircuitPolicy({ policies, levels, global, defaults: ofAll.policy, fitCircuit }),
      ...makeSwitches(levels, ofAll.settings),
      retry: {
        maxAttempts: others.MAX_RETRY_ATTEMPTS.value,
        baseDelay: others.RETRY_BASE_DELAY.value,
        maxDelay: others.RETRY_MAX_DELAY.value,
        factor: others.RETRY_EXPONENTIAL_BASE.value,
        jitter: others.RETRY_JITTER_ENABLED.value ? "proportional" : "none"
      },
      healthCheckInterval: others.HEALTH_CHECK_INTERVAL.value,
      settings
    },
    problems
  }
}

const listSettings = (settings: Settings<Fields>, circuit: string | undefined): ReadonlyArray<Setting> =>
  Object.entries(settings).map(([key, { source, value, variable }]) => ({ key, circuit, value, source, variable }))

/** What the variables have of a circuit beside its policy. */
const makeSwitches = (
  levels: ReadonlyMap<string, Level<CircuitFields>>,
  ofAll: Settings<CircuitFields>
): Pick<Environment, "requestTimeout" | "enabled"> => {
  // The name of a circuit may come with every call.
  const levelOf = (circuit: string | undefined): Level<CircuitFields> | undefined =>
    circuit === undefined || levels.size === 0 ? undefined : levels.get(variableName(circuit))
  return {
    requestTimeout: (circuit) => {
      const timeout = givenOr(levelOf(circuit)?.REQUEST_TIMEOUT_SECONDS, ofAll.REQUEST_TIMEOUT_SECONDS.value)
      return timeout === "off" ? Duration.infinity : timeout
    },
    enabled: (circuit) => givenOr(levelOf(circuit)?.ENABLED, ofAll.ENABLED.value)
  }
}

type FitCircuit = (name: string, policy: CircuitPolicy | undefined, report: Report) => Fitted

/** Finds the policy of a circuit that is named or that comes with a policy while the program runs. */
const makeCircuitPolicy = (known: {
  readonly policies: ReadonlyMap<string, CircuitPolicy>
  readonly levels: ReadonlyMap<string, Level<CircuitFields>>
  readonly global: Level<CircuitFields>
  readonly defaults: CircuitPolicy
  readonly fitCircuit: FitCircuit
}): Environment["circuitPolicy"] => {
  // Nobody is there to report to: what does not go together gives way.
  const change = (name: string, policy?: CircuitPolicy) => known.fitCircuit(name, policy, () => {}).policy
  const makeCache = () => new WeakMap<CircuitPolicy, CircuitPolicy>()
  const plain = new Map<string, CircuitPolicy>()
  const changed = new Map(Array.from(known.levels.keys(), (name) => [name, makeCache()]))
  // Circuits without variables of their own differ in nothing but their policy.
  const changedByGlobal = makeCache()
  const isSilent = known.levels.size === 0 && Object.keys(known.global).length === 0

  return (circuit, policy) => {
    if (policy === undefined) {
      const own = known.policies.get(circuit)
      if (own !== undefined) return own
    }
    // The name of a circuit may come with every call.
    if (isSilent) return policy ?? known.defaults
    const name = variableName(circuit)
    if (policy === undefined) {
      if (!known.levels.has(name)) return known.defaults
      const own = plain.get(name) ?? change(name)
      plain.set(name, own)
      return own
    }
    const changes = changed.get(name) ?? changedByGlobal
    const before = changes.get(policy)
    if (before !== undefined) return before
    const after = change(name, policy)
    changes.set(policy, after)
    return after
  }
}
