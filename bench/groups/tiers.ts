/** Three tiers: which one serves, and what it costs to get there. */
import { CircuitBreakerRegistry, CircuitPolicy, type ResilienceError, Tiers } from "effect-resilience"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as ExecutionPlan from "effect/ExecutionPlan"
import * as Layer from "effect/Layer"
import { NEVER } from "../breakers.ts"
import { build, failing, inFiber } from "../loops.ts"
import { BARE, type Group, OURS, timed } from "../model.ts"

class Accounts extends Context.Service<Accounts, {
  readonly get: (id: string) => Effect.Effect<number, string | ResilienceError.AllTiersFailedError>
}>()("bench/Accounts") {}

const up = Accounts.of({ get: () => Effect.succeed(1) })
const down = Accounts.of({ get: () => Effect.fail("down") })

/** As many tiers as are given, the first of which are down. */
const contestants = async (failures: number, opened: boolean) => {
  const services = ["mcp", "sdk", "rest"].map((name, index) => [name, index < failures ? down : up] as const)
  const policy = opened
    ? CircuitPolicy.make({ consecutiveFailures: 1, openDuration: "1 hour", window: { calls: 100 } })
    : CircuitPolicy.make({ consecutiveFailures: NEVER, window: { calls: 100 } })
  const circuits = CircuitBreakerRegistry.layer({ defaults: policy })
  const registry = await build(circuits)
  const [first, second, third] = services.map(([name, accounts]) => Tiers.tier(name, accounts.get("a")))
  const byValue = Tiers.make("get", [first!, second!, third!])
  const tiered = await build(
    Tiers.layer(
      Accounts,
      services.map(([name, accounts]) => [name, Layer.succeed(Accounts, accounts)] as const) as unknown as readonly [
        readonly [string, Layer.Layer<Accounts>]
      ]
    ).pipe(Layer.provide(circuits))
  )
  const accounts = Context.get(tiered, Accounts)
  const plan = ExecutionPlan.make(
    { provide: Context.make(Accounts, services[0]![1]) },
    { provide: Context.make(Accounts, services[1]![1]) },
    { provide: Context.make(Accounts, services[2]![1]) }
  )
  const planned = Effect.flatMap(Accounts, (accounts) => accounts.get("a"))
  // The circuits open, and the tiers are built.
  await failing(() => byValue, registry)(2)
  await failing(() => accounts.get("a"))(2)
  return { registry, byValue, accounts, planned: () => Effect.withExecutionPlan(planned, plan) }
}

const served = (name: string, failures: number, opened: boolean) =>
  timed(name, async () => {
    const { accounts, byValue, planned, registry } = await contestants(failures, opened)
    return [
      { name: BARE, run: inFiber(() => up.get("a")) },
      { name: OURS, run: inFiber(() => byValue, registry), bare: BARE },
      { name: "by Layer", run: inFiber(() => accounts.get("a")), bare: BARE },
      // It has no circuits: a tier that is down is called each time.
      { name: "Effect.withExecutionPlan", run: inFiber(planned), bare: BARE }
    ]
  })

export const tiers: Group = {
  name: "tiers",
  cases: [
    served("first serves", 0, false),
    served("second serves, first fails", 1, false),
    served("third serves, two fail", 2, false),
    served("second serves, first is open", 1, true),
    served("third serves, two are open", 2, true)
  ]
}
