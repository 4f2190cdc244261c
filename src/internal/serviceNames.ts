/**
 * The key of a service class contains its name. Where two classes have one
 * name, the service of either would serve both by chance: a call through the
 * other class dies instead.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { differingSettings } from "./differingSettings.ts"
import { overrideStep } from "./oneStep.ts"

/** How a class was created. */
export interface Definition {
  /** The function that created it, such as `Bulkhead.Service`. */
  readonly maker: string
  readonly name: string
  /** Its options, checked. */
  readonly settings: object
}

const DEFINITION: unique symbol = Symbol("effect-resilience/Definition")

/**
 * The property of a service that holds the definition of its class: on the
 * service itself, since every call by a class looks it up. A service that is not
 * provided by a layer of the class, as in tests, may have any settings.
 */
export const ORIGIN: unique symbol = Symbol("effect-resilience/Origin")

export const remember = <S extends object>(service: S, definition: Definition): S =>
  Object.assign(service, { [ORIGIN]: definition })

/** Makes a class refuse a service that was made for another class of its name. */
export const guard = <I, Key extends string, S extends object>(
  tag: Context.ServiceClass<I, Key, S>,
  definition: Definition
): Context.ServiceClass<I, Key, S> => {
  overrideStep(tag, (fiber) => Exit.succeed(getService(fiber.context, tag)))
  return Object.assign(tag, {
    [DEFINITION]: definition,
    use<A, E, R>(f: (service: S) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R | I> {
      return Effect.flatMap(tag, f)
    },
    useSync<A>(f: (service: S) => A): Effect.Effect<A, never, I> {
      return Effect.map(tag, f)
    }
  })
}

/** The service of a class, or of any other key. Throws if it was made for another class. */
export const getService = <S extends object>(context: Context.Context<never>, key: Context.Key<unknown, S>): S => {
  const service = Context.getUnsafe(context, key as Context.Key<never, S>)
  const wanted = (key as { readonly [DEFINITION]?: Definition })[DEFINITION]
  if (wanted === undefined) return service
  const found = (service as { readonly [ORIGIN]?: Definition })[ORIGIN]
  if (found !== undefined && found !== wanted) assertSame(found, wanted)
  return service
}

// A module that is evaluated again creates the same class again, with other functions.
const assertSame = (found: Definition, wanted: Definition): void => {
  const fields = differingSettings(found.settings, wanted.settings)
  if (fields.length === 0) return
  throw new RangeError(
    `${wanted.maker}: ${JSON.stringify(wanted.name)} is the name of two classes, and the service in reach is that of ` +
      `the other one, with another ${fields.join(", ")}; give one of them another name`
  )
}
