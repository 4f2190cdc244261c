import * as Effect from "effect/Effect"

/**
 * The same service, with each effect it has or returns sent through a function. Read when used, so what the service
 * changes about itself later is seen.
 */
export const wrapService = <S extends object>(
  service: S,
  through: (effect: Effect.Effect<unknown, unknown, unknown>) => Effect.Effect<unknown, unknown, unknown>
): S => {
  const ifEffect = (value: unknown): unknown => Effect.isEffect(value) ? through(value) : value
  const read = (key: PropertyKey): unknown => {
    const member: unknown = Reflect.get(service, key)
    return typeof member === "function"
      ? (...args: ReadonlyArray<unknown>) => ifEffect(Reflect.apply(member, service, args))
      : ifEffect(member)
  }
  return new Proxy<S>(Object.create(service), {
    get: (_, key) => read(key),
    // A copy such as `{ ...accounts }` is wrapped alike.
    ownKeys: () => Reflect.ownKeys(service),
    getOwnPropertyDescriptor: (_, key) => {
      const descriptor = Reflect.getOwnPropertyDescriptor(service, key)
      return descriptor && { value: read(key), enumerable: descriptor.enumerable === true, configurable: true }
    }
  })
}
