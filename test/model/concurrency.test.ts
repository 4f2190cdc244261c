/**
 * Fibers that race, in virtual time: every fiber may pause before any of its
 * operations, and chance decides which one goes on. A seed names a schedule.
 */
import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, CircuitBreakerRegistry, type CircuitEvent, Outcome } from "effect-resilience"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { afterEach, beforeEach } from "vitest"
import { Breaker } from "../../src/internal/circuit/breaker.ts"
import type { Call } from "../../src/internal/circuit/call.ts"
import { Handle, handleOf } from "../../src/internal/circuit/handle.ts"
import type { Circuit } from "../../src/internal/circuit/machine.ts"
import { Machine, seeded } from "../support/machine.ts"
import { compareReading, describeAnswer, sameAnswer, shrink, tell, toPolicy, type World } from "./explore.ts"
import * as Specification from "./specification.ts"
import type { Action, Answer, Policy } from "./specification.ts"
import { findCircuit, namedCircuit } from "../support/registry.ts"

const policy = (options: Partial<Policy>): Policy => ({
  minimumCalls: 3,
  window: { calls: 10 },
  openDuration: { initial: 5, multiplier: 2, maximum: 20, jitter: 0 },
  maxOpenDuration: 40,
  halfOpenMaxCalls: 2,
  successThreshold: 2,
  halfOpenTimeout: 25,
  ...options
})

const policies: ReadonlyArray<Policy> = [
  policy({ consecutiveFailures: 3, failureRate: 0.6 }),
  policy({ failureRate: 0.5, window: { duration: 20, buckets: 4 }, halfOpenSample: { calls: 4, failureRate: 0.5 } }),
  policy({ slowCallRate: 0.5, slowCallDuration: 10, halfOpenMaxCalls: 3, recovery: { duration: 12, initial: 0.5 } })
]
const realPolicies = policies.map(toPolicy)

// -----------------------------------------------------------------------------
// witnesses
// -----------------------------------------------------------------------------

/** Sees each decision of one circuit as it is made, and asks the specification what it has to be. */
class Witness {
  readonly actions: Array<Action> = []
  readonly calls: Array<Call> = []
  /** Whether somebody has taken it out of its registry. */
  removed = false
  problem: string | undefined
  circuit: Specification.Circuit
  readonly breaker: Breaker
  private readonly machine: Machine
  /** The transitions since the last decision. */
  heard: Array<string> = []

  constructor(breaker: Breaker, machine: Machine) {
    this.breaker = breaker
    this.machine = machine
    const policy = realPolicies.indexOf(breaker.policy)
    this.circuit = { ...Specification.make(policies, 0), policy }
    if (policy !== 0) this.actions.push({ _tag: "Reconfigure", policy })
    this.pass()
  }

  decided(action: Action, answer?: Answer): void {
    this.pass()
    this.actions.push(action)
    const step = Specification.step(this.circuit, action)
    this.circuit = step.circuit
    const changes = step.events.flatMap((event) => event._tag === "StateChanged" ? [`${event.from} → ${event.to}`] : [])
    const state = Specification.present(step.circuit).state
    const tag = this.breaker.circuit._tag
    if (!sameAnswer(answer, step.answer)) {
      this.problem ??= `the caller hears: ${describeAnswer(answer)}, expected: ${describeAnswer(step.answer)}`
    }
    if (changes.join() !== this.heard.join()) this.problem ??= `changes: ${this.heard}, expected: ${changes}`
    if (state !== tag) this.problem ??= `state: ${tag}, expected: ${state}`
    this.heard = []
  }

  /** What was done alone, again and as short as possible. */
  get trace(): string {
    unwatch()
    const world: World = { name: "the decisions of one circuit", policies, calls: Infinity, steps: [1] }
    return `${this.problem}\n${tell(world, shrink(world, this.actions))}`
  }

  private pass(): void {
    const millis = this.machine.now - this.circuit.now
    if (millis === 0) return
    this.actions.push({ _tag: "Pass", millis })
    this.circuit = Specification.step(this.circuit, { _tag: "Pass", millis }).circuit
  }
}

/** What every circuit does in a test is seen from its first decision on. */
let witnessOf: (breaker: Breaker) => Witness
let onAdmitted: (witness: Witness) => void = () => {}
/** What the last call in a ramp has drawn. */
let drawn = 0
const { admit, end, follow, move } = Breaker.prototype
const hidden = Breaker.prototype as unknown as {
  commit: (this: Breaker, from: Circuit, to: Circuit, ...rest: Array<never>) => void
}
const { commit } = hidden
const endEvents = Object.getOwnPropertyDescriptor(Breaker.prototype, "endEvents")!

beforeEach(() => {
  Breaker.prototype.admit = function(call, fiber) {
    const witness = witnessOf(this)
    drawn = 0
    const admission = admit.call(this, call, fiber)
    const start = { _tag: "Start", draw: drawn } as const
    if (admission === undefined || admission === "Probe") {
      witness.decided(start, { _tag: "Runs" })
      if (this.circuit._tag === "Disabled") {
        // Nobody hears of the end of such a call.
        witness.decided({ ...ended("Success"), call: witness.calls.length })
      } else {
        witness.calls.push(call)
      }
      onAdmitted(witness)
    } else {
      const { retryAfter, state } = Effect.runSync(Effect.flip(admission))
      witness.decided(start, {
        _tag: "Rejected",
        state,
        retryAfter: Duration.toMillis(retryAfter)
      })
    }
    return admission
  }
  Breaker.prototype.end = function(call, outcome) {
    const witness = witnessOf(this)
    const index = witness.calls.indexOf(call)
    end.call(this, call, outcome)
    // A permit may report twice.
    if (index < 0) return
    witness.calls.splice(index, 1)
    witness.decided({ ...ended(outcome._tag), call: index })
  }
  Breaker.prototype.move = function(command, note) {
    const witness = witnessOf(this)
    move.call(this, command, note)
    witness.decided(command)
  }
  Breaker.prototype.follow = function(policy) {
    const witness = witnessOf(this)
    const followed = follow.call(this, policy)
    witness.decided({ _tag: "Reconfigure", policy: realPolicies.indexOf(policy) })
    return followed
  }
  hidden.commit = function(from, to, ...rest) {
    witnessOf(this).heard.push(`${from._tag} → ${to._tag}`)
    commit.call(this, from, to, ...rest)
  }
  // The registry does this to what it removes.
  Object.defineProperty(Breaker.prototype, "endEvents", {
    ...endEvents,
    get(this: Breaker) {
      witnessOf(this).removed = true
      return endEvents.get!.call(this)
    }
  })
})
const unwatch = () => {
  Object.assign(Breaker.prototype, { admit, commit, end, follow, move })
  Object.defineProperty(Breaker.prototype, "endEvents", endEvents)
  onAdmitted = () => {}
}
afterEach(unwatch)

const ended = (outcome: Outcome.Outcome["_tag"]) => ({ _tag: "End", outcome, retryAfter: 0, draw: 0 }) as const

const witnesses = (machine: Machine): ReadonlyMap<Breaker, Witness> => {
  const known = new Map<Breaker, Witness>()
  witnessOf = (breaker) => {
    const witness = known.get(breaker) ?? new Witness(breaker, machine)
    known.set(breaker, witness)
    return witness
  }
  return known
}

// -----------------------------------------------------------------------------
// what fibers do
// -----------------------------------------------------------------------------

const NAMES = ["orders", "payments", "search"]

const setUp = (seed: number, options: CircuitBreakerRegistry.Options) => {
  const random = seeded(seed)
  const choose = <A>(values: ReadonlyArray<A>): A => values[Math.floor(random() * values.length)]!
  const upTo = (n: number) => Math.floor(random() * (n + 1))
  const machine = new Machine()
  const scope = Scope.makeUnsafe()
  const draw = seeded(-seed)
  const registry = now(
    machine,
    CircuitBreakerRegistry.make(options).pipe(
      Effect.provideService(Scope.Scope, scope),
      Effect.provideService(Random.Random, { nextDoubleUnsafe: () => drawn = draw(), nextIntUnsafe: () => 0 })
    )
  )
  machine.pausesAt = () => random() < 0.15
  machine.pick = (n) => Math.floor(random() * n)
  return { random, choose, upTo, machine, scope, registry }
}

type Setting = ReturnType<typeof setUp>

/** The result of an effect that does not wait. */
const now = <A, E>(machine: Machine, effect: Effect.Effect<A, E>): A => {
  const { pausesAt } = machine
  machine.pausesAt = () => false
  const exit = machine.run(effect).pollUnsafe()
  machine.pausesAt = pausesAt
  if (exit === undefined || exit._tag === "Failure") throw new Error(`it waits or fails: ${exit?.cause}`)
  return exit.value
}

/** A call, as an effect or by a permit, by name or through a handle that somebody kept. */
const call = (
  { choose, random, registry, upTo }: Setting,
  handles: Array<CircuitBreaker.CircuitBreaker>,
  failing: number
) => {
  const body = Effect.andThen(
    Effect.sleep(upTo(20)),
    random() < 0.02 ? Effect.never : random() < failing ? choose([Effect.fail("down"), Effect.die("bug")]) : Effect.void
  )
  const withPermit = (breaker: CircuitBreaker.CircuitBreaker) =>
    Effect.scoped(Effect.gen(function*() {
      const permit = yield* breaker.permit
      const exit = yield* Effect.exit(body)
      if (random() < 0.8) yield* permit.record(Outcome.classify(exit))
      if (random() < 0.1) yield* permit.failure()
    }))
  const guarded = random() < 0.5 && handles.length > 0
    ? choose([(of: CircuitBreaker.CircuitBreaker) => of.execute(body), withPermit])(choose(handles))
    : Effect.provideService(
      CircuitBreaker.withCircuitBreaker(body, choose(NAMES)),
      CircuitBreakerRegistry.CircuitBreakerRegistry,
      registry
    )
  return Effect.asVoid(Effect.exit(guarded))
}

const control = ({ choose, registry, upTo }: Setting, breaker: CircuitBreaker.CircuitBreaker) =>
  choose<Effect.Effect<unknown>>([
    breaker.forceOpen({ duration: upTo(30) }),
    breaker.forceClose,
    breaker.disable,
    breaker.metricsOnly,
    breaker.reset,
    breaker.reconfigure(choose(realPolicies)),
    registry.reconfigure(breaker.name, choose(realPolicies)),
    registry.resetAll,
    registry.statuses,
    breaker.metrics
  ])

/** Starts fibers, as many as a test wants, while others run and time passes. */
const rush = (setting: Setting, fibers: number, next: () => Effect.Effect<unknown>) => {
  const { choose, machine, random, upTo } = setting
  const running: Array<Fiber.Fiber<unknown, unknown>> = []
  for (let i = 0; i < fibers; i++) {
    running.push(machine.run(next()))
    for (let step = upTo(12); step > 0; step--) machine.step()
    if (random() < 0.4) machine.tick()
    if (random() < 0.003) machine.now += upTo(200)
    if (random() < 0.1) choose(running.slice(-50)).interruptUnsafe()
  }
  return {
    finish: () => {
      machine.finish()
      for (const fiber of running) fiber.interruptUnsafe()
      machine.finish()
      return running.filter((fiber) => fiber.pollUnsafe() === undefined).length
    }
  }
}

const agree = (seed: number, known: ReadonlyMap<Breaker, Witness>) => {
  for (const witness of known.values()) {
    assert.isUndefined(witness.problem, `seed ${seed}: ${witness.problem === undefined ? "" : witness.trace}`)
    witness.decided({ _tag: "Read" })
    const misread = compareReading(witness.breaker, witness.circuit)
    assert.isUndefined(misread, `seed ${seed}`)
    assert.strictEqual(witness.breaker.inFlight, 0, `seed ${seed}: in flight`)
    assert.deepStrictEqual(witness.calls, [], `seed ${seed}: calls that did not end`)
  }
}

/** In the end every circuit closes when its dependency is healthy. */
const recover = ({ machine }: Setting, seed: number, known: ReadonlyMap<Breaker, Witness>) => {
  machine.pausesAt = () => false
  for (const { breaker } of known.values()) {
    const circuit = handleOf(breaker)
    if (circuit.live !== breaker) continue
    const healthy = machine.run(Effect.gen(function*() {
      const state = yield* circuit.state
      if (state !== "Open" && state !== "HalfOpen") yield* circuit.forceClose
      // Among old failures even a success may open it once more.
      for (let i = 0; i < 12; i++) {
        yield* Effect.sleep(20)
        yield* Effect.ignore(circuit.execute(Effect.void))
      }
      return yield* circuit.state
    }))
    machine.finish()
    assert.deepStrictEqual(healthy.pollUnsafe(), Exit.succeed("Closed"), `seed ${seed}`)
  }
}

describe("thousands of fibers", () => {
  it("cause, in the order in which they are made, the decisions of the specification", { timeout: 120_000 }, () => {
    let decisions = 0
    const changes = new Set<string>()
    for (let seed = 0; seed < 3; seed++) {
      const setting = setUp(seed, { defaults: realPolicies[seed % 3]!, idleTimeToLive: "Infinity" })
      const { choose, machine, random, registry } = setting
      const known = witnesses(machine)
      const handles = NAMES.map((name) => namedCircuit(registry, name))
      const events: Array<CircuitEvent.CircuitEvent> = []
      const listener = machine.run(Stream.runForEach(registry.events, (event) => Effect.sync(() => events.push(event))))
      machine.settle()

      let failing = 0.5
      const { finish } = rush(setting, 2_000, () => {
        if (random() < 0.02) failing = random()
        return random() < 0.06 ? control(setting, choose(handles)) : call(setting, handles, failing)
      })

      assert.strictEqual(finish(), 0, `seed ${seed}: fibers that did not end`)
      agree(seed, known)
      assert.strictEqual(known.size, NAMES.length)
      inOrder(seed, events)
      recover(setting, seed, known)
      listener.interruptUnsafe()
      for (const { actions } of known.values()) decisions += actions.length
      for (const event of events) if (event._tag === "StateChanged") changes.add(`${event.from} → ${event.to}`)
    }
    assert.isAbove(decisions, 10_000)
    assert.isAbove(changes.size, 20, "the schedules see too little")
  })

  it("find one circuit of a name, however often it is forgotten, restored and removed", { timeout: 120_000 }, () => {
    let circuits = 0
    let restored = 0
    for (let seed = 100; seed < 104; seed++) {
      const setting = setUp(seed, { defaults: realPolicies[0]!, idleTimeToLive: 15 })
      const { choose, machine, random, registry, upTo } = setting
      const known = witnesses(machine)
      const handles: Array<CircuitBreaker.CircuitBreaker> = []
      const twins: Array<string> = []
      onAdmitted = ({ breaker, removed }) => {
        if (removed) return
        const current = findCircuit(registry, breaker.name)
        if (current !== handleOf(breaker)) twins.push(`${breaker.name} at ${machine.now}`)
      }

      const withRemoval = seed % 2 === 0
      const { finish } = rush(setting, 2_000, () => {
        const name = choose(NAMES)
        const kind = random()
        if (kind < 0.1) {
          return Effect.map(registry.getOrCreate(name), (breaker) => {
            if (handles.includes(breaker)) restored++
            else handles.push(breaker)
          })
        }
        if (kind < 0.12) return Effect.andThen(Effect.sleep(upTo(40)), registry.names)
        if (kind < 0.15 && withRemoval) return registry.remove(name)
        if (kind < 0.17 && handles.length > 0) return choose(handles).forceOpen({ duration: upTo(10) })
        // Not too busy, or nothing is ever idle.
        return Effect.andThen(Effect.sleep(upTo(400)), call(setting, handles, 0.4))
      })

      assert.strictEqual(finish(), 0, `seed ${seed}: fibers that did not end`)
      assert.deepStrictEqual(twins, [], `seed ${seed}: calls of one name through two circuits`)
      agree(seed, known)
      recover(setting, seed, known)
      circuits += known.size
    }
    assert.isAbove(circuits, 4 * NAMES.length, "nothing was forgotten")
    assert.isAbove(restored, 0, "nothing was found again")
  })

  it("go on when the registry is closed under them, and everything that listens ends", { timeout: 120_000 }, () => {
    for (let seed = 200; seed < 230; seed++) {
      const setting = setUp(seed, { defaults: realPolicies[0]! })
      const { choose, machine, random, registry, scope, upTo } = setting
      const known = witnesses(machine)
      const handles = NAMES.map((name) => namedCircuit(registry, name))
      const listening = [registry.events, ...handles.map(({ events }) => events)].map((events) =>
        machine.run(Effect.andThen(Effect.sleep(upTo(60)), Stream.runDrain(events)))
      )
      const closedAt = upTo(149)
      let started = 0
      const { finish } = rush(setting, 150, () => {
        if (started++ === closedAt) return Scope.close(scope, Exit.void)
        return random() < 0.1 ? control(setting, choose(handles)) : call(setting, handles, 0.5)
      })

      machine.finish()
      for (const fiber of listening) {
        assert.deepStrictEqual(fiber.pollUnsafe(), Exit.void, `seed ${seed}: a listener that did not end`)
      }
      assert.strictEqual(finish(), 0, `seed ${seed}: fibers that did not end`)
      agree(seed, known)
      recover(setting, seed, known)
    }
  })
})

/** Numbers of events only grow, and without a gap each change starts where the last one ended. */
const inOrder = (seed: number, events: ReadonlyArray<CircuitEvent.CircuitEvent>) => {
  for (const name of NAMES) {
    let sequence = 0
    let gap = false
    let state: string | undefined
    for (const event of events.filter(({ circuit }) => circuit === name)) {
      assert.isAbove(event.sequence, sequence, `seed ${seed}, ${name}`)
      gap ||= event.sequence > sequence + 1
      sequence = event.sequence
      if (event._tag !== "StateChanged") continue
      if (!gap && state !== undefined) assert.strictEqual(event.from, state, `seed ${seed}, ${name}, event ${sequence}`)
      gap = false
      state = event.to
    }
  }
}

// -----------------------------------------------------------------------------
// linearisability
// -----------------------------------------------------------------------------

type Operation =
  | { readonly _tag: "get"; readonly name: string }
  | { readonly _tag: "remove"; readonly name: string }
  | { readonly _tag: "getOrCreate"; readonly name: string; readonly policy: number | undefined }
  | { readonly _tag: "register"; readonly name: string; readonly policy: number | undefined }
  | { readonly _tag: "reconfigure"; readonly name: string; readonly policy: number }
  | { readonly _tag: "names" }
  | { readonly _tag: "policies" }

/** An operation that has run: when it began and ended, and what it returned. */
interface Done {
  readonly fiber: number
  readonly operation: Operation
  readonly from: number
  readonly to: number
  readonly result: unknown
}

/** A registry as one that uses it alone sees it: circuits by name, oldest first. */
type Alone = ReadonlyArray<{
  readonly name: string
  readonly circuit: unknown
  /** What code has said, and what the circuit follows. */
  readonly named: number | undefined
  readonly policy: number
  readonly reconfigured: boolean
}>

const CONFLICT = "conflict"

/** The registry after an operation that returned `result`; `undefined` if it cannot have. */
const after = (alone: Alone, used: ReadonlySet<unknown>, operation: Operation, result: unknown): Alone | undefined => {
  if (operation._tag === "names") return alone.map(({ name }) => name).join() === result ? alone : undefined
  if (operation._tag === "policies") {
    return alone.map(({ name, policy }) => `${name} ${policy}`).join() === result ? alone : undefined
  }
  const found = alone.find(({ name }) => name === operation.name)
  switch (operation._tag) {
    case "get":
      return result === found?.circuit ? alone : undefined
    case "remove":
      return result === (found !== undefined) ? alone.filter((one) => one !== found) : undefined
    case "reconfigure": {
      if (result !== (found !== undefined)) return undefined
      const { policy } = operation
      return alone.map((one) =>
        one === found ? { ...one, policy, reconfigured: one.reconfigured || one.policy !== policy } : one
      )
    }
    case "getOrCreate":
    case "register": {
      const { name, policy } = operation
      if (found === undefined) {
        if (result === CONFLICT || used.has(result)) return undefined
        return [...alone, { name, circuit: result, named: policy, policy: policy ?? 0, reconfigured: false }]
      }
      const conflict = policy !== undefined && found.named !== undefined && policy !== found.named &&
        policy !== found.policy
      if (result !== (conflict ? CONFLICT : found.circuit)) return undefined
      if (policy === undefined || found.named !== undefined) return alone
      return alone.map((one) =>
        one === found ? { ...one, named: policy, policy: one.reconfigured ? one.policy : policy } : one
      )
    }
  }
}

/** Whether the operations could have run one after the other, none before one that had ended when it began. */
const isLinearisable = (left: ReadonlyArray<Done>, alone: Alone, used: ReadonlySet<unknown>): boolean =>
  left.length === 0 || left.some((done) => {
    if (left.some((other) => other.to < done.from)) return false
    const next = after(alone, used, done.operation, done.result)
    if (next === undefined) return false
    const circuits = new Set([...used, ...next.map(({ circuit }) => circuit)])
    return isLinearisable(left.filter((other) => other !== done), next, circuits)
  })

const run = (registry: CircuitBreakerRegistry.CircuitBreakerRegistry, operation: Operation): Effect.Effect<unknown> => {
  switch (operation._tag) {
    case "getOrCreate":
    case "register": {
      const { name, policy } = operation
      const named = policy === undefined ? undefined : realPolicies[policy]!
      const made = operation._tag === "register" || named === undefined
        ? operation._tag === "register" ? registry.register(name, named) : registry.getOrCreate(name)
        : registry.getOrCreate(name, named)
      return Effect.catchTag(made, "CircuitConflictError", () => Effect.succeed(CONFLICT))
    }
    case "get":
      return Effect.map(
        registry.get(operation.name),
        (found) => Option.getOrUndefined(found)
      )
    case "remove":
      return registry.remove(operation.name)
    case "reconfigure":
      return registry.reconfigure(operation.name, realPolicies[operation.policy]!)
    case "names":
      return Effect.map(registry.names, (names) => names.join())
    case "policies":
      return Effect.gen(function*() {
        const lines: Array<string> = []
        for (const name of yield* registry.names) {
          const breaker = findCircuit(registry, name)!
          lines.push(`${name} ${realPolicies.indexOf(yield* breaker.policy)}`)
        }
        return lines.join()
      })
  }
}

const describeDone = ({ fiber, from, operation: { _tag, ...rest }, result, to }: Done) =>
  `fiber ${fiber}, steps ${from} to ${to}: ${_tag} ${Object.values(rest).join(" ")} ⇒ ${
    result instanceof Handle ? "a circuit" : result
  }`

describe("the registry", () => {
  it("is linearisable: what racing fibers see could have happened one after the other", { timeout: 120_000 }, () => {
    let raced = 0
    for (let seed = 0; seed < 1_500; seed++) {
      const { choose, machine, registry, upTo } = setUp(seed, {
        defaults: realPolicies[0]!,
        idleTimeToLive: "Infinity"
      })
      witnesses(machine)
      machine.pausesAt = () => upTo(2) === 0
      const operation = (): Operation => {
        const name = choose(NAMES.slice(0, 2))
        const policy = choose([1, 2])
        return choose<Operation>([
          { _tag: "getOrCreate", name, policy: undefined },
          { _tag: "getOrCreate", name, policy },
          { _tag: "register", name, policy: choose([undefined, policy]) },
          { _tag: "get", name },
          { _tag: "remove", name },
          { _tag: "reconfigure", name, policy: choose([0, 1, 2]) },
          { _tag: "names" }
        ])
      }
      const history: Array<Done> = []
      let clock = 0
      const observed = (fiber: number, operation: Operation) =>
        Effect.suspend(() => {
          const from = clock++
          return Effect.map(run(registry, operation), (result) => {
            history.push({ fiber, operation, from, to: clock++, result })
          })
        })
      for (let fiber = 1; fiber <= 4; fiber++) {
        const operations = Array.from({ length: 3 }, operation)
        machine.run(Effect.forEach(operations, (one) => observed(fiber, one), { discard: true }))
      }
      machine.finish()
      machine.run(observed(0, { _tag: "policies" }))
      machine.finish()

      assert.strictEqual(history.length, 13)
      if (history.some((a) => history.some((b) => a.fiber < b.fiber && a.from < b.to && b.from < a.to))) raced++
      assert.isTrue(
        isLinearisable(history, [], new Set()),
        `seed ${seed}:\n${history.map(describeDone).join("\n")}`
      )
    }
    assert.isAbove(raced, 750, "the operations do not overlap")
  })
})
