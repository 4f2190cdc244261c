import { assert, describe, it } from "@effect/vitest"
import { circuitFields, otherFields } from "../../../src/internal/environment/fields.ts"
import {
  circuitKeys,
  circuitOf,
  declare,
  globalNames,
  isOurs,
  prefixOf,
  problemOf,
  spellings,
  variableOf,
  variables
} from "../../../src/internal/environment/names.ts"

const none = declare([], true)

const problem = (variable: string, circuits: ReadonlyArray<string> = [], isComplete = true) =>
  problemOf(variable, declare(circuits, isComplete))

const misspelt = (meant: string) => `is unknown; did you mean ${meant}?`

const ofNoCircuit = (meant: string) => `matches no circuit in the code; did you mean ${meant}?`

const known = Object.keys(circuitFields).join(", ")

describe("a key", () => {
  it("of a time in seconds can be written with its unit or without, the primary spelling first", () => {
    assert.deepStrictEqual(spellings("RECOVERY_TIMEOUT", circuitFields.RECOVERY_TIMEOUT), [
      "RECOVERY_TIMEOUT",
      "RECOVERY_TIMEOUT_SECONDS"
    ])
    assert.deepStrictEqual(spellings("FAILURE_WINDOW_SECONDS", circuitFields.FAILURE_WINDOW_SECONDS), [
      "FAILURE_WINDOW_SECONDS",
      "FAILURE_WINDOW"
    ])
  })

  it("of anything else has one spelling", () => {
    for (const key of ["SLOW_CALL_THRESHOLD_MS", "WINDOW_SIZE", "FAILURE_RATE_THRESHOLD", "ENABLED"] as const) {
      assert.deepStrictEqual(spellings(key, circuitFields[key]), [key])
    }
  })
})

describe("the variables", () => {
  it("have all spellings, and a name for one circuit if they are of circuits", () => {
    const find = (key: string) => variables.find((variable) => variable.key === key)
    assert.deepStrictEqual(find("RECOVERY_TIMEOUT"), {
      key: "RECOVERY_TIMEOUT",
      name: "CIRCUIT_BREAKER_RECOVERY_TIMEOUT",
      aliases: ["CIRCUIT_BREAKER_RECOVERY_TIMEOUT_SECONDS"],
      circuitName: "CB_<NAME>_RECOVERY_TIMEOUT",
      default: "60",
      accepts: circuitFields.RECOVERY_TIMEOUT.kind.accepts,
      unit: "seconds",
      description: circuitFields.RECOVERY_TIMEOUT.description
    })
    assert.deepStrictEqual(find("MAX_RETRY_ATTEMPTS"), {
      key: "MAX_RETRY_ATTEMPTS",
      name: "MAX_RETRY_ATTEMPTS",
      aliases: [],
      circuitName: undefined,
      default: "3",
      accepts: otherFields.MAX_RETRY_ATTEMPTS.kind.accepts,
      unit: undefined,
      description: otherFields.MAX_RETRY_ATTEMPTS.description
    })
  })

  it("are those of circuits, then the others, each once", () => {
    assert.deepStrictEqual(variables.map(({ key }) => key), [
      ...Object.keys(circuitFields),
      ...Object.keys(otherFields)
    ])
  })

  it("are known in every spelling, for all circuits and for one", () => {
    for (const name of ["CIRCUIT_BREAKER_HALF_OPEN_TIMEOUT_SECONDS", "RETRY_MAX_DELAY_SECONDS", "RETRY_MAX_DELAY"]) {
      assert.include(globalNames, name)
    }
    assert.includeMembers([...circuitKeys], ["HALF_OPEN_TIMEOUT", "HALF_OPEN_TIMEOUT_SECONDS", "ENABLED"])
    for (const variable of globalNames) assert.isUndefined(problem(variable), variable)
    for (const key of circuitKeys) assert.isUndefined(problem(`CB_ANY_${key}`), key)
  })

  it("of one circuit have its name in capitals, those of all circuits a prefix of their own", () => {
    assert.strictEqual(variableOf("ENABLED", "payment-api"), "CB_PAYMENT_API_ENABLED")
    assert.strictEqual(prefixOf("A"), "CB_A_")
    assert.strictEqual(prefixOf(""), "CIRCUIT_BREAKER_")
  })
})

describe("a word", () => {
  it("may start a variable of ours if it is one of ours, or two slips from a long one", () => {
    for (
      const word of [
        "CB",
        "MAX",
        "RETRY",
        "HEALTH",
        "CIRCUIT",
        "CIRCT",
        "CIRCUITBREAKER",
        "CIRCUITBREAK",
        "CIRCUITBRAEKERS"
      ]
    ) {
      assert.isTrue(isOurs(word), word)
    }
    for (const word of ["", "CBS", "MIN", "MAXI", "RETR", "HEALT", "CIRC", "CIRCUITBREA", "PATH"]) {
      assert.isFalse(isOurs(word), word)
    }
  })
})

describe("the circuit of a variable", () => {
  it("stands between CB_ and a key", () => {
    assert.strictEqual(circuitOf("CB_A_ENABLED"), "A")
    assert.strictEqual(circuitOf("CB_PAYMENT_API_RECOVERY_TIMEOUT_SECONDS"), "PAYMENT_API")
    assert.strictEqual(circuitOf("CB_SLIDING_WINDOW_SIZE"), "SLIDING")
  })

  it("is none without CB_, without a name or without a key", () => {
    for (
      const variable of ["MY_A_ENABLED", "XCB_A_ENABLED", "CB_ENABLED", "CB__ENABLED", "CB_A_COLOUR", "CB_AENABLED"]
    ) {
      assert.isUndefined(circuitOf(variable), variable)
    }
  })
})

describe("a name that is of nobody's circuit", () => {
  it("is known, nearly known with two slips, or none of ours", () => {
    assert.strictEqual(problem("RETRY_MAX_DEALYS"), misspelt("RETRY_MAX_DELAY"))
    assert.strictEqual(problem("CIRCUT_BREAKER_ENABLE"), misspelt("CIRCUIT_BREAKER_ENABLED"))
    assert.isUndefined(problem("RETRY_MAX_DEALYSES"))
    assert.isUndefined(problem("RETRY_COLOUR"))
  })

  it("has the synonyms of calls without a prefix, and those of circuits after that of all circuits", () => {
    assert.strictEqual(
      problem("MAX_RETRIES"),
      `${misspelt("MAX_RETRY_ATTEMPTS")} It counts the first call as well`
    )
    assert.isUndefined(problem("RESET_TIMEOUT"))
    assert.strictEqual(problem("CIRCUIT_BREAKER_RESET_TIMEOUT"), misspelt("CIRCUIT_BREAKER_RECOVERY_TIMEOUT"))
    assert.strictEqual(
      problem("CIRCUIT_BREAKER_MAX_RETRIES"),
      `is unknown; known names after CIRCUIT_BREAKER_ are ${known}`
    )
  })

  it("is wrong after the prefix of all circuits if nothing follows", () => {
    assert.strictEqual(problem("CIRCUIT_BREAKER_"), `is unknown; known names after CIRCUIT_BREAKER_ are ${known}`)
  })
})

describe("a name after the prefix of a circuit in code", () => {
  it("is wrong if it is no key, and has what is meant if that can be told", () => {
    assert.strictEqual(problem("CB_A_URL", ["a"]), `is unknown; known names after CB_A_ are ${known}`)
    assert.strictEqual(problem("CB_A_", ["a"]), `is unknown; known names after CB_A_ are ${known}`)
    assert.strictEqual(
      problem("CB_A_TIMEOUT", ["a"]),
      misspelt("CB_A_RECOVERY_TIMEOUT or CB_A_REQUEST_TIMEOUT_SECONDS")
    )
    assert.strictEqual(problem("CB_A_ENABLD", ["a"]), misspelt("CB_A_ENABLED"))
    assert.isUndefined(problem("CB_A_ENABLED", ["a"]))
  })

  it("follows the longest such prefix", () => {
    assert.strictEqual(problem("CB_A_B_URL", ["a", "a-b"]), `is unknown; known names after CB_A_B_ are ${known}`)
    assert.strictEqual(problem("CB_A_B_MAX_FAILURES", ["a", "a-b"]), misspelt("CB_A_B_FAILURE_THRESHOLD"))
  })

  it("may be the synonym that ends like a key of another circuit", () => {
    assert.strictEqual(problem("CB_A_SLIDING_WINDOW_SIZE", ["a"]), misspelt("CB_A_WINDOW_SIZE"))
    assert.isUndefined(problem("CB_A_SLIDING_WINDOW_SIZE", ["a", "a-sliding"]))
  })

  it("is found after as many words as a name can have", () => {
    const words = (count: number) => Array.from({ length: count }, () => "X").join("_")
    assert.strictEqual(
      problem(`CB_${words(64)}_URL`, [words(64)]),
      `is unknown; known names after CB_${words(64)}_ are ${known}`
    )
    assert.isUndefined(problem(`CB_${words(65)}_URL`, [words(65)]))
  })
})

describe("a name after CB_ of a circuit that the code does not name", () => {
  it("is wrong if it is nearly a key or a synonym that can be nothing else", () => {
    assert.strictEqual(problem("CB_A_ENABLD"), misspelt("CB_A_ENABLED"))
    assert.strictEqual(problem("CB_A_RESET_TIMEOUT"), misspelt("CB_A_RECOVERY_TIMEOUT"))
    assert.strictEqual(problem("CB_RESET_TIMEOUT"), misspelt("CIRCUIT_BREAKER_RECOVERY_TIMEOUT"))
    assert.isUndefined(problem("CB_A_URL"))
    assert.isUndefined(problem("CB_A_B_URL", ["b"]))
  })

  it("is left alone if it is a synonym of one word, with its unit or without", () => {
    for (const key of ["TIMEOUT", "TIMEOUT_SECONDS", "TIMEOUT_MS", "TIMEOUT_MILLIS", "WINDOW_MILLISECONDS", "WINDOW"]) {
      assert.isUndefined(problem(`CB_A_${key}`), key)
    }
    assert.isDefined(problem("CB_A_RESET_TIMEOUT_MS"))
  })

  it("is left alone if what is a synonym in it begins its circuit or ends its key", () => {
    assert.isUndefined(problem("CB_SLIDING_WINDOW_SIZE"))
    assert.isUndefined(problem("CB_A_FAILURE_WINDOW_SECONDS"))
    assert.strictEqual(problem("CB_A_SLIDING_WINDOW_SIZE"), misspelt("CB_A_WINDOW_SIZE"))
  })

  it("is wrong with a key of as many words as one can have", () => {
    const synonym = "PERMITTED_NUMBER_OF_CALLS_IN_HALF_OPEN_STATE"
    assert.strictEqual(problem(`CB_A_${synonym}`), misspelt("CB_A_HALF_OPEN_CALLS"))
    assert.strictEqual(problem(`CB_A_B_C_D_${synonym}`), misspelt("CB_A_B_C_D_HALF_OPEN_CALLS"))
  })

  it("is told of the nearest one if the code names them all", () => {
    assert.strictEqual(problem("CB_PAYMNT_ENABLED", ["payment"]), ofNoCircuit("CB_PAYMENT_ENABLED"))
    assert.strictEqual(
      problem("CB_PAYMNT_RECOVERY_TIMEOUT_SECONDS", ["payment"]),
      ofNoCircuit("CB_PAYMENT_RECOVERY_TIMEOUT_SECONDS")
    )
    assert.strictEqual(problem("CB_PAYMNT_ENABLD", ["payment"]), misspelt("CB_PAYMENT_ENABLED"))
    assert.isUndefined(problem("CB_PAYMNT_ENABLED", ["payment"], false))
    assert.strictEqual(problem("CB_PAYMNT_ENABLD", ["payment"], false), misspelt("CB_PAYMNT_ENABLED"))
  })

  it("may have two slips from eight letters on, one from five, and none below", () => {
    const isTold = (name: string, circuit: string) => problem(`CB_${name}_ENABLED`, [circuit]) !== undefined
    assert.isTrue(isTold("ABCDEFGH", "abcdefghxy"))
    assert.isFalse(isTold("ABCDEFGH", "abcdefghxyz"))
    assert.isTrue(isTold("ABCDEFG", "abcdefgx"))
    assert.isFalse(isTold("ABCDEFG", "abcdefgxy"))
    assert.isTrue(isTold("ABCDE", "abcdex"))
    assert.isFalse(isTold("ABCDE", "abcdexy"))
    assert.isFalse(isTold("ABCD", "abcdx"))
  })

  it("is another circuit if it differs in a number", () => {
    assert.isUndefined(problem("CB_PAYMENT12_ENABLED", ["payment13"]))
    assert.strictEqual(problem("CB_PAYMNT13_ENABLED", ["payment12", "payment13"]), ofNoCircuit("CB_PAYMENT13_ENABLED"))
  })
})

describe("the circuits that the code names", () => {
  it("are those with a letter or a digit in their name", () => {
    assert.deepStrictEqual([...declare(["a-b", "?", ""], true).names], ["A_B"])
    assert.deepStrictEqual(none.names.size, 0)
  })

  it("are told apart by their digits", () => {
    assert.deepStrictEqual(
      [...declare(["a1", "b", "b1", "1c2"], true).byDigits].map(([digits, names]) => [
        digits,
        names
      ]),
      [["1", ["A1", "B1"]], ["", ["B"]], ["12", ["1C2"]]]
    )
  })
})
