import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"

interface Instance<S, E> {
  /** What `timesOpened` was when its build ended, or began as long as it runs. */
  age: number
  failed: boolean
  dropped: boolean
  calls: number
  readonly scope: Scope.Closeable
  readonly service: Deferred.Deferred<S, E>
  build?: Fiber.Fiber<S, E>
  release?: Fiber.Fiber<void>
}

/**
 * The service of a tier: built from its Layer when first needed, shared by the
 * calls that come while it works, and replaced when a call comes after the
 * tier's circuit has opened. A replaced instance is released when the last
 * call that uses it has ended.
 */
export class TierInstance<I, S, E, R> {
  private current: Instance<S, E> | undefined
  /** The current one, and replaced ones that are in use or on their way out. */
  private readonly living = new Set<Instance<S, E>>()
  private closed = false
  private readonly layer: Layer.Layer<I, E, R>
  private readonly key: Context.Key<I, S>
  private readonly timesOpened: () => number
  private readonly fork: <A, E2>(effect: Effect.Effect<A, E2, R>) => Fiber.Fiber<A, E2>

  constructor(options: {
    readonly layer: Layer.Layer<I, E, R>
    readonly key: Context.Key<I, S>
    readonly context: Context.Context<R>
    readonly timesOpened: () => number
  }) {
    this.layer = options.layer
    this.key = options.key
    this.timesOpened = options.timesOpened
    this.fork = Effect.runForkWith(options.context)
  }

  use<A, E2, R2>(f: (service: S) => Effect.Effect<A, E2, R2>): Effect.Effect<A, E | E2, R2> {
    return Effect.suspend(() => {
      let instance: Instance<S, E> | undefined
      return Effect.onExitPrimitive(
        Effect.suspend(() => {
          if (this.closed) return Effect.die(new Error("The scope of the tiers is closed"))
          instance = this.acquire()
          return Effect.flatMap(instance.service.effect ?? Deferred.await(instance.service), f)
        }),
        () => {
          if (instance === undefined) return
          instance.calls--
          this.releaseIfUnused(instance)
        }
      )
    })
  }

  /** Releases all there is, whoever uses it, and waits until it is gone. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.closed = true
    const releases = Array.from(this.living, (instance) => this.release(instance))
    return Effect.flatMap(Fiber.awaitAll(releases), Exit.asVoidAll)
  })

  private acquire(): Instance<S, E> {
    const age = this.timesOpened()
    const { current } = this
    if (current !== undefined) {
      if (current.age === age && !current.failed) {
        current.calls++
        return current
      }
      current.dropped = true
      this.releaseIfUnused(current)
    }
    const instance: Instance<S, E> = {
      age,
      failed: false,
      dropped: false,
      calls: 1,
      scope: Scope.makeUnsafe(),
      service: Deferred.makeUnsafe()
    }
    // In place before the build begins, for the calls that come from inside it.
    this.current = instance
    this.living.add(instance)
    this.build(instance)
    return instance
  }

  // On its own: the call that needs it first may be interrupted.
  private build(instance: Instance<S, E>): void {
    instance.build = this.fork(
      // Built anew means all of it, not what a memo map still has of it.
      Layer.buildWithMemoMap(this.layer, Layer.makeMemoMapUnsafe(), instance.scope).pipe(
        Effect.map((services) => Context.getUnsafe(services, this.key)),
        Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : Scope.close(instance.scope, exit))
      )
    )
    instance.build.addObserver((exit) => {
      // What opened the circuit before the build ended cannot have been this instance.
      instance.age = this.timesOpened()
      instance.failed = Exit.isFailure(exit)
      Deferred.doneUnsafe(instance.service, serviceOrWhyNot(exit))
    })
  }

  // In the background: a call does not wait for what it used before to go away.
  private releaseIfUnused(instance: Instance<S, E>): void {
    if (!instance.dropped || instance.calls > 0) return
    this.fork(
      Effect.ignoreCause(Fiber.join(this.release(instance)), {
        log: "Unhandled",
        message: "A tier could not be released"
      })
    )
  }

  private release(instance: Instance<S, E>): Fiber.Fiber<void> {
    return instance.release ??= this.fork(
      (instance.build === undefined ? Effect.void : Fiber.interrupt(instance.build)).pipe(
        Effect.andThen(Scope.close(instance.scope, Exit.void)),
        Effect.onExit(() => Effect.sync(() => this.living.delete(instance)))
      )
    )
  }
}

// The interruption of a build is not an interruption of the calls that wait for it.
const serviceOrWhyNot = <S, E>(exit: Exit.Exit<S, E>): Exit.Exit<S, E> =>
  Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
    ? Exit.die(new Error("The tier was released while it was being built"))
    : exit
