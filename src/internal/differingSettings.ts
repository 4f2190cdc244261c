import * as Equal from "effect/Equal"
import * as Schedule from "effect/Schedule"

/**
 * The fields in which two sets of settings differ by value. Functions and
 * schedules cannot be compared: any two count as equal.
 */
export const differingSettings = <S extends object>(self: S, that: S): ReadonlyArray<Extract<keyof S, string>> => {
  const fields = Object.keys({ ...self, ...that }) as Array<Extract<keyof S, string>>
  return fields.filter((field) => {
    // The mark of a type, not a setting.
    if (field.startsWith("~")) return false
    const [a, b] = [self[field], that[field]]
    return !Equal.equals(a, b) && !(isCode(a) && isCode(b))
  })
}

const isCode = (value: unknown): boolean => typeof value === "function" || Schedule.isSchedule(value)
