import type * as Cause from "effect/Cause"
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"
import * as Schema from "effect/Schema"
import { brandOf, ERROR_TYPE_ID, type ErrorKind, KIND_ID } from "./insideError.ts"

/**
 * Makes the base of an error class of this package: a tagged Schema error that
 * is branded with its tag and its kind, and a value.
 */
export const errorClass = <Self>(kind: ErrorKind) =>
<Tag extends string, const Fields extends Schema.Struct.Fields>(
  tag: Tag,
  fields: Fields
): Schema.Class<Self, Schema.TaggedStruct<Tag, Fields>, Cause.YieldableError> => {
  const base = Schema.TaggedError<Error>()(tag, fields)
  brand(base.prototype, tag, kind)
  return base as unknown as Schema.Class<Self, Schema.TaggedStruct<Tag, Fields>, Cause.YieldableError>
}

/** The guard of an error class, which knows the errors of another copy of this package as well. */
export const guardOf =
  <E>({ identifier }: { readonly identifier: string; readonly prototype: E }) => (u: unknown): u is E =>
    brandOf(u) === identifier

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
 * Brands the errors of a class, and makes them values: two with the same fields are equal, to
 * `Equal`, to `assert.deepStrictEqual` and to the matchers of test runners,
 * whether the constructor made them, a decoder, or rejection.ts without a
 * constructor and a stack.
 */
const brand = (prototype: Error, tag: string, kind: ErrorKind): void => {
  Object.defineProperties(prototype, {
    [ERROR_TYPE_ID]: { value: tag },
    [KIND_ID]: { value: kind },
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

/** Own fields, but for the stack that a constructor captures. */
const fieldsOf = (error: object): ReadonlyArray<string> => Object.keys(error).filter((key) => key !== "stack")
