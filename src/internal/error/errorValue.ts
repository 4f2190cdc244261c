import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"

/** Own fields, but for the stack that a constructor captures. */
const fieldsOf = (error: object): ReadonlyArray<string> => Object.keys(error).filter((key) => key !== "stack")

/** Of those that are made without a constructor. A stack that is captured hides it. */
export const stackOnDemand: PropertyDescriptor = {
  get(this: Error) {
    return `${this.name}: ${this.message}`
  },
  // Tools that print errors set it.
  set(this: Error, value: unknown) {
    Object.defineProperty(this, "stack", { value, writable: true, configurable: true })
  },
  configurable: true
}

/**
 * Makes the errors of a class values: two with the same fields are equal, to
 * `Equal`, to `assert.deepStrictEqual` and to the matchers of test runners,
 * whether the constructor made them, a decoder, or rejection.ts without a
 * constructor and a stack.
 */
export const asValue = (prototype: Error, typeId: string, tag: string): void => {
  Object.defineProperties(prototype, {
    [typeId]: { value: tag },
    stack: stackOnDemand,
    // By this they count as errors where `instanceof` is not asked.
    [Symbol.toStringTag]: { value: "Error", configurable: true },
    [Hash.symbol]: {
      value(this: Error) {
        return Hash.string(`${tag}: ${this.message}`)
      }
    },
    [Equal.symbol]: {
      value(this: Error, that: Error) {
        const fields = fieldsOf(this)
        return Object.getPrototypeOf(this) === Object.getPrototypeOf(that) &&
          fields.length === fieldsOf(that).length &&
          fields.every((field) => field in that && Equal.equals(Reflect.get(this, field), Reflect.get(that, field)))
      }
    }
  })
}
