import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"

interface Instance<S, E> {
  /** What `timesOpened` was when it was built. */
  readonly age: number
  readonly scope: Scope.Closeable
  readonly build: Fiber.Fiber<S, E>
  calls: number
  dropped: boolean
}

/**
 * The service of a tier: built from its Layer when first needed, shared by the
 * calls that come while it works, and replaced when a call comes after the
 * tier's circuit has opened. A replaced instance is released when the last
 * call that uses it has ended.
 */
export class TierInstance<I, S, E, R> {
  private current: Instance<S, E> | undefined
  private readonly layer: Layer.Layer<I, E, R>
  private readonly key: Context.Key<I, S>
  private readonly context: Context.Context<R>
  private readonly timesOpened: () => number

  constructor(options: {
    readonly layer: Layer.Layer<I, E, R>
    readonly key: Context.Key<I, S>
    readonly context: Context.Context<R>
    readonly timesOpened: () => number
  }) {
    // Built anew means all of it, not what a memo map still has of it.
    this.layer = Layer.fresh(options.layer)
    this.key = options.key
    this.context = options.context
    this.timesOpened = options.timesOpened
  }

  use<A, E2, R2>(f: (service: S) => Effect.Effect<A, E2, R2>): Effect.Effect<A, E | E2, R2> {
    return Effect.suspend(() => {
      let instance: Instance<S, E> | undefined
      return Effect.onExitPrimitive(
        Effect.suspend(() => {
          instance = this.acquire()
          instance.calls++
          return Effect.flatMap(built(instance), f)
        }),
        () => {
          if (instance === undefined) return
          instance.calls--
          this.releaseIfUnused(instance)
        }
      )
    })
  }

  /** Releases the instance there is, whoever uses it. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    const { current } = this
    this.current = undefined
    return current === undefined ? Effect.void : release(current)
  })

  private acquire(): Instance<S, E> {
    const age = this.timesOpened()
    const { current } = this
    if (current !== undefined) {
      const exit = current.build.pollUnsafe()
      if (current.age === age && (exit === undefined || Exit.isSuccess(exit))) return current
      current.dropped = true
      this.releaseIfUnused(current)
    }
    const scope = Scope.makeUnsafe()
    const build = Effect.runForkWith(this.context)(
      Layer.buildWithScope(this.layer, scope).pipe(
        Effect.map((services) => Context.getUnsafe(services, this.key)),
        Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, exit))
      )
    )
    this.current = { age, scope, build, calls: 0, dropped: false }
    return this.current
  }

  // In the background: a call does not wait for what it used before to go away.
  private releaseIfUnused(instance: Instance<S, E>): void {
    if (instance.dropped && instance.calls === 0) Effect.runForkWith(this.context)(release(instance))
  }
}

const release = <S, E>(instance: Instance<S, E>): Effect.Effect<void> =>
  Effect.andThen(Fiber.interrupt(instance.build), Scope.close(instance.scope, Exit.void))

const built = <S, E>(instance: Instance<S, E>): Effect.Effect<S, E> => {
  const exit = instance.build.pollUnsafe()
  return exit === undefined ? Effect.flatMap(Fiber.await(instance.build), serviceOrWhyNot) : serviceOrWhyNot(exit)
}

// The interruption of a build is not an interruption of the calls that wait for it.
const serviceOrWhyNot = <S, E>(exit: Exit.Exit<S, E>): Effect.Effect<S, E> =>
  Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
    ? Effect.die(new Error("The tier was released while it was being built"))
    : exit
