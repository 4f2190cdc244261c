import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { brandOf } from "./insideError.ts"
import { messageOf } from "./messageOf.ts"

const MAX_DEPTH = 32
const MAX_VALUES = 10_000

/** What JSON can carry of any value: of an `Error` its name, its message and its own fields as well. */
const toJson = (value: unknown): Schema.Json => {
  let left = MAX_VALUES
  const visit = (value: unknown, depth: number): Schema.Json | undefined => {
    if (left-- <= 0 || depth > MAX_DEPTH) return undefined
    if (value === null || typeof value === "boolean") return value
    if (typeof value === "number") return Number.isFinite(value) ? value : String(value)
    if (typeof value !== "object") return String(value)
    // Bytes are a body, and nothing that a person reads.
    if (ArrayBuffer.isView(value)) return `${value.constructor.name}(${value.byteLength})`
    if (Array.isArray(value)) {
      return Array.from(value.slice(0, Math.max(0, left)), (item) => visit(item, depth + 1) ?? null)
    }
    if (!(value instanceof Error) && Predicate.hasProperty(value, "toJSON") && typeof value.toJSON === "function") {
      return visit(value.toJSON(), depth + 1)
    }
    const fields: Array<readonly [string, Schema.Json]> = []
    if (value instanceof Error) {
      fields.push(["name", value.name], ["message", messageOf(value)])
      // Of errors of this package it is a field as well.
      const { cause: inner } = brandOf(value) === undefined ? value : { cause: undefined }
      const cause = inner === undefined ? undefined : visit(inner, depth + 1)
      if (cause !== undefined) fields.push(["cause", cause])
    }
    for (const key of Object.keys(value)) {
      if (left <= 0) break
      if (value instanceof Error && key === "stack") continue
      const field: unknown = Reflect.get(value, key)
      const carried = typeof field === "function" || field === undefined ? undefined : visit(field, depth + 1)
      if (carried !== undefined) fields.push([key, carried])
    }
    return Object.fromEntries(fields)
  }
  try {
    return visit(value, 0) ?? null
  } catch {
    // Getters are somebody else's code.
    return messageOf(value)
  }
}

const fromJson = (json: Schema.Json): unknown => {
  if (json === null || typeof json !== "object" || !("message" in json)) return json
  const { message, name, ...fields } = json
  if (typeof message !== "string") return json
  const error = new Error(message)
  // Where it was decoded says nothing about where it failed.
  Object.defineProperty(error, "stack", { value: `${String(name ?? "Error")}: ${message}`, writable: true })
  if (typeof name === "string") Object.defineProperty(error, "name", { value: name, writable: true })
  // Defined, not assigned: a field may have any name.
  for (const [key, value] of Object.entries(fields)) {
    Object.defineProperty(error, key, { value, writable: true, enumerable: true, configurable: true })
  }
  return error
}

/**
 * The error of a call, whatever it is: any value here, on the wire what JSON
 * can carry of it. What was an `Error` comes back as an `Error` with its name,
 * message and fields, though not of its class.
 */
export const WireError = /* @__PURE__ */ Schema.Json.pipe(
  /* @__PURE__ */ Schema.decodeTo(
    Schema.Unknown,
    /* @__PURE__ */ SchemaTransformation.transform({ decode: fromJson, encode: toJson })
  )
)
