/** A service in which each method is a tiered call to the services of its tiers. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Layer from "effect/Layer"
import type { CircuitBreaker, Target } from "../../CircuitBreaker.ts"
import type { CircuitBreakerRegistry } from "../../CircuitBreakerRegistry.ts"
import type { CircuitPolicy } from "../../CircuitPolicy.ts"
import type { AllTiersFailedError } from "../../ResilienceError.ts"
import { isKnown } from "../circuit/handle.ts"
import { serve } from "./call.ts"
import { TierInstance } from "./instance.ts"
import { endingCall, runAttempts, type TierPipeline } from "./pipeline.ts"

type AnyCall = Effect.Effect<unknown, unknown, unknown>

interface ServiceTier<I, R> {
  readonly name: string
  readonly layer: Layer.Layer<I, unknown, R>
  readonly circuit: string | CircuitBreaker
  readonly policy: CircuitPolicy | undefined
  readonly pipeline: (circuit: Target) => TierPipeline
}

interface ServiceOptions<I, S, R> {
  readonly key: Context.Key<I, S>
  readonly registry: CircuitBreakerRegistry
  readonly tiers: ReadonlyArray<ServiceTier<I, R>>
  readonly isAnswer: ((error: unknown) => boolean) | undefined
  readonly deadline: Duration.Duration | undefined
  readonly spans: boolean
  readonly operation: (method: string) => string
  readonly onAllFailed: ((error: AllTiersFailedError, method: string) => unknown) | "die" | undefined
}

/** Makes the service; its tiers are released with the scope. */
export const makeService = /* @__PURE__ */ Effect.fnUntraced(
  function*<I, S extends object, R>(options: ServiceOptions<I, S, R>) {
    const { deadline, isAnswer, key, onAllFailed, operation, registry, spans } = options
    const context = yield* Effect.context<R>()

    const tiers = yield* Effect.forEach(
      options.tiers,
      ({ circuit, layer, name, pipeline, policy }) =>
        Effect.gen(function*() {
          const breaker = typeof circuit === "string"
            ? yield* Effect.orDie(registry.register(circuit, policy))
            : circuit
          const instance = new TierInstance({
            layer,
            key,
            context,
            timesOpened: () => isKnown(breaker) ? breaker.live.timesOpened : 0
          })
          yield* Effect.addFinalizer(() => instance.close)
          return { name, circuit: breaker, instance, pipeline: pipeline(breaker) }
        })
    )

    const call = (method: string, invoke: (service: S) => AnyCall): AnyCall =>
      serve({
        operation: operation(method),
        tiers,
        deadline,
        spans,
        registry: () => registry,
        call: (index, remaining) => {
          const { instance, pipeline } = tiers[index]!
          // Only the service answers: an error of its Layer is none of its own.
          const attempt = pipeline.attempt(instance.use((service) => endingCall(invoke(service), isAnswer)))
          return runAttempts(pipeline, attempt, remaining)
        },
        onFailed: onAllFailed === undefined
          ? undefined
          : (error) => onAllFailed === "die" ? Effect.die(error) : Effect.fail(onAllFailed(error, method))
      })

    return tieredService<S>(call)
  }
)

/**
 * What the service looks like is known only once a tier is built. So every
 * member is both: an effect, and a function that returns one.
 */
const tieredService = <S extends object>(call: (method: string, invoke: (service: S) => AnyCall) => AnyCall): S => {
  const members = new Map<string, unknown>()
  return new Proxy({} as S, {
    get: (target, key) => {
      // What JavaScript asks of any object. With a `then` it would wait for the service as for a promise.
      if (typeof key === "symbol" || key === "then" || key in Object.prototype) return Reflect.get(target, key)
      let member = members.get(key)
      if (member === undefined) {
        member = callableEffect(
          (args) => call(key, (service) => invokeMember(service, key, args)),
          call(key, (service) => readMember(service, key))
        )
        members.set(key, member)
      }
      return member
    }
  })
}

const invokeMember = (
  service: object,
  key: string,
  args: ReadonlyArray<unknown>
): AnyCall => {
  const member: unknown = Reflect.get(service, key)
  return typeof member === "function"
    ? asEffect(key, Reflect.apply(member, service, args))
    : Effect.die(new TypeError(`Tiers.layer: ${key} is not a function of the service`))
}

const readMember = (service: object, key: string): AnyCall => {
  const member: unknown = Reflect.get(service, key)
  return typeof member === "function" && !Effect.isEffect(member)
    ? Effect.die(
      new TypeError(
        `Tiers.layer: ${key} is a function of the service that was run like an effect; ` +
          `Effect.andThen and Effect.tap do so with what they are given, write (value) => service.${key}(value)`
      )
    )
    : asEffect(key, member)
}

const asEffect = (key: string, value: unknown): AnyCall =>
  Effect.isEffect(value) ? value : Effect.die(new TypeError(`Tiers.layer: ${key} of the service is not an effect`))

const callableProto: object = /* @__PURE__ */ Object.create(
  Function.prototype,
  /* @__PURE__ */ Object.getOwnPropertyDescriptors(
    /* @__PURE__ */ Effectable.Prototype<AnyCall & { effect: Effect.Effect<unknown> }>(
      {
        label: "Tiers",
        evaluate() {
          return this.effect
        }
      }
    )
  )
)

const callableEffect = (
  f: (args: ReadonlyArray<unknown>) => AnyCall,
  effect: AnyCall
): unknown =>
  Object.setPrototypeOf(Object.assign((...args: ReadonlyArray<unknown>) => f(args), { effect }), callableProto)
