/** `npm run demo`: the command line, the servers, and the Layers the program runs on. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Duration, Effect, FileSystem, Layer, Option, Record, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { CircuitBreakerRegistry, CircuitPolicy } from "effect-resilience"
import { check } from "./checks.ts"
import { Journal, TIERS } from "./journal.ts"
import { observed, observedRetry, run } from "./program.ts"
import { LENGTH, SCRIPT } from "./script.ts"
import { start } from "./servers/processes.ts"
import * as Settings from "./settings.ts"
import { AccountsTiered } from "./tiered.ts"
import { AccountsMcp } from "./tiers/mcp.ts"
import { AccountsRest } from "./tiers/rest.ts"
import { AccountsSdk } from "./tiers/sdk.ts"
import * as Timeline from "./timeline.ts"
import { World } from "./world.ts"

const flags = {
  rate: Flag.Int("rate").pipe(
    Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 10, maximum: 200 }))),
    Flag.withDefault(40),
    Flag.withDescription("Calls per second, 10 to 200; 40 if not given")
  ),
  quick: Flag.Boolean("quick").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Plays the script twice as fast, with circuits that open half as long: 12 seconds")
  ),
  seed: Flag.String("seed").pipe(
    Flag.withDefault("demo"),
    Flag.withDescription("Decides which accounts are asked for, and when")
  ),
  json: Flag.Path("json").pipe(
    Flag.optional,
    Flag.withMetavar("FILE"),
    Flag.withDescription("Writes the journal of the run to a file")
  ),
  color: Flag.Boolean("color").pipe(
    Flag.optional,
    Flag.withDescription("Colours, or none with --no-color; by default if a terminal reads and NO_COLOR is not set")
  )
}

/** For one call, all tiers and retries together. */
const DEADLINE = Duration.seconds(1)

const print = (lines: ReadonlyArray<string>) => Effect.forEach(lines, (line) => Console.log(line), { discard: true })

/** Starts the servers, runs the program on them, draws its timeline, and returns its journal. */
const record = Effect.fnUntraced(
  function*({ rate, seed, speed }: { rate: number; seed: string; speed: number }, timeline: Timeline.Timeline) {
    const journal = yield* Journal
    const settings = yield* Settings.load(speed)
    const circuits = Record.fromEntries(TIERS.map((tier) => [tier, settings.circuitPolicy(tier)] as const))
    const retry = observedRetry(journal, settings.retry)
    const { servers, world } = yield* start(speed)

    yield* print(Timeline.drawIntro(timeline, {
      servers: [
        { tier: "tier1_mcp", what: "MCP, official SDK over Streamable HTTP", ...servers.tier1_mcp },
        { tier: "tier2_sdk", what: "the vendor's SDK, promises", ...servers.tier2_sdk },
        { tier: "tier3_rest", what: "plain REST, effect/http", ...servers.tier3_rest }
      ],
      rules: [
        ["each call", `${Duration.format(DEADLINE)} for all tiers together`],
        ["each tier", retry.description],
        ...TIERS.map((tier) => [tier, `${Duration.format(settings.requestTimeout(tier))} an attempt`] as const),
        ...TIERS.map((tier) => [tier, CircuitPolicy.describe(circuits[tier])] as const)
      ]
    }))

    const accounts = AccountsTiered({
      tier1_mcp: observed("tier1_mcp", AccountsMcp(`${servers.tier1_mcp.url}/mcp`)),
      tier2_sdk: AccountsSdk(servers.tier2_sdk.url),
      tier3_rest: AccountsRest(servers.tier3_rest.url)
    }, { deadline: DEADLINE, timeout: settings.requestTimeout, retry })

    yield* run({
      script: SCRIPT,
      length: LENGTH,
      speed,
      rate,
      seed,
      deadline: Duration.toMillis(DEADLINE),
      tolerance: 50
    }).pipe(
      Effect.provide(accounts.pipe(Layer.provideMerge(CircuitBreakerRegistry.layer({ circuits })))),
      Effect.provideService(World, world)
    )
    return journal.entries
  },
  Effect.scoped,
  (effect, _, timeline) => Effect.provide(effect, Journal.layer((entry) => print(Timeline.draw(timeline, entry))))
)

const demo = Command.make(
  "demo",
  flags,
  Effect.fn(
    function*({ color, json, quick, rate, seed }) {
      const speed = quick ? 2 : 1
      const timeline = Timeline.make({
        color: Option.getOrElse(color, () => process.stdout.isTTY && !process.env.NO_COLOR),
        rate,
        rowMillis: 1000 / speed
      })
      const entries = yield* record({ rate, seed, speed }, timeline)
      const checks = check(entries)
      yield* print(Timeline.drawSummary(timeline, entries, checks))
      if (Option.isSome(json)) {
        const files = yield* FileSystem.FileSystem
        yield* files.writeFileString(json.value, JSON.stringify(entries, undefined, 2))
      }
      if (checks.some(({ violations }) => violations.length > 0)) process.exitCode = 1
    },
    Effect.catchTag("ConfigError", (error) => {
      process.exitCode = 1
      return Console.error(error.cause.message)
    })
  )
).pipe(
  Command.withDescription(
    "Asks for CRM accounts through three tiers while a script breaks and heals them, and shows who serves"
  )
)

// Whoever reads the output may stop, as `head` does. The servers end with this process.
process.stdout.on("error", () => process.exit(1))

demo.pipe(
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
