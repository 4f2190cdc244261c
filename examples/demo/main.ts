/** `npm run demo`: the command line, the servers, and the Layers the program runs on. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Duration, Effect, FileSystem, Layer, Option, Record, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { CircuitBreakerRegistry, Telemetry } from "effect-resilience"
import { check } from "./checks.ts"
import { Journal, TIERS } from "./journal.ts"
import { observed, observedRetry, run, warmUp } from "./program.ts"
import * as Dashboard from "./dashboard.ts"
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
  ),
  serve: Flag.Boolean("serve").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Plays the script over and over, and serves the dashboard, until Ctrl-C")
  ),
  port: Flag.Int("port").pipe(
    Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))),
    Flag.withDefault(9700),
    Flag.withDescription("Where --serve listens; 9700 if not given, 0 for any port that is free")
  )
}

/** For one call, all tiers and retries together. */
const DEADLINE = Duration.seconds(1)

const print = (lines: ReadonlyArray<string>) => Effect.forEach(lines, (line) => Console.log(line), { discard: true })

interface Options {
  readonly rate: number
  readonly seed: string
  readonly speed: number
  /** Where to serve the dashboard; the script is then played for ever. */
  readonly port: number | undefined
}

/** Starts the servers, runs the program on them, draws its timeline, and returns its journal. */
const record = Effect.fnUntraced(
  function*({ port, rate, seed, speed }: Options, drawn: { timeline: Timeline.Timeline }, renew: Effect.Effect<void>) {
    const journal = yield* Journal
    const settings = yield* Settings.load(speed)
    const circuits = Record.fromEntries(TIERS.map((tier) => [tier, settings.circuitPolicy(tier)] as const))
    const retry = observedRetry(journal, settings.retry)
    const { servers, world } = yield* start(speed)

    yield* print(Timeline.drawIntro(drawn.timeline, {
      servers: [
        { tier: "tier1_mcp", what: "MCP, official SDK over Streamable HTTP", ...servers.tier1_mcp },
        { tier: "tier2_sdk", what: "the vendor's SDK, promises", ...servers.tier2_sdk },
        { tier: "tier3_rest", what: "plain REST, effect/http", ...servers.tier3_rest }
      ],
      rules: [
        ["each call", `${Duration.format(DEADLINE)} for all tiers together`],
        ["each tier", retry.description],
        ...TIERS.map((tier) => [tier, `${Duration.format(settings.requestTimeout(tier))} an attempt`] as const),
        ...TIERS.map((tier) => [tier, circuits[tier].description] as const)
      ]
    }))

    const accounts = AccountsTiered({
      tier1_mcp: observed("tier1_mcp", AccountsMcp(`${servers.tier1_mcp.url}/mcp`)),
      tier2_sdk: AccountsSdk(servers.tier2_sdk.url),
      tier3_rest: AccountsRest(servers.tier3_rest.url)
    }, { deadline: DEADLINE, timeout: settings.requestTimeout, retry })

    const registry = CircuitBreakerRegistry.layer({ circuits })
    const round = run({
      script: SCRIPT,
      length: LENGTH,
      speed,
      rate,
      seed,
      deadline: Duration.toMillis(DEADLINE),
      tolerance: 50,
      attempt: Math.min(...TIERS.map((tier) => Duration.toMillis(settings.requestTimeout(tier))))
    })
    // A server that a busy machine did not let answer in time ends its round, not the demo.
    const heal = (defect: unknown) =>
      Console.error(`This round is over: ${defect instanceof Error ? defect.message : String(defect)}`).pipe(
        Effect.andThen(
          Effect.forEach(TIERS, (tier) => Effect.ignoreCause(world.become(tier, "up")), { discard: true })
        ),
        Effect.andThen(Effect.sleep("1 second"))
      )
    const program = port === undefined ? round : Dashboard.opened.pipe(
      Effect.andThen(Effect.forever(Effect.andThen(Effect.catchDefect(round, heal), renew))),
      Effect.provide([Dashboard.layer(port), Telemetry.layer()])
    )
    yield* warmUp.pipe(
      Effect.andThen(program),
      Effect.provide(accounts.pipe(Layer.provideMerge(registry))),
      Effect.provideService(World, world)
    )
    return journal.entries
  },
  Effect.scoped,
  (effect, { port }, drawn) =>
    Effect.provide(
      effect,
      Journal.layer((entry) => print(Timeline.draw(drawn.timeline, entry)), { keep: port === undefined })
    )
)

const giveUp = (message: string) =>
  Effect.andThen(
    Console.error(message),
    Effect.sync(() => {
      process.exitCode = 1
    })
  )

const demo = Command.make(
  "demo",
  flags,
  Effect.fn(
    function*({ color, json, port, quick, rate, seed, serve }) {
      const speed = quick ? 2 : 1
      // Whoever reads the output may stop, as `head` does. What is served goes on, and otherwise the servers end as well.
      yield* Effect.sync(() => process.stdout.on("error", () => serve || process.exit(1)))
      const timeline = () =>
        Timeline.make({
          color: Option.getOrElse(color, () => process.stdout.isTTY && !process.env.NO_COLOR),
          rate,
          rowMillis: 1000 / speed
        })
      const drawn = { timeline: timeline() }
      const renew = Effect.sync(() => {
        drawn.timeline = timeline()
      })
      const entries = yield* record({ rate, seed, speed, port: serve ? port : undefined }, drawn, renew)
      const checks = check(entries)
      yield* print(Timeline.drawSummary(drawn.timeline, entries, checks))
      if (Option.isSome(json)) {
        const files = yield* FileSystem.FileSystem
        yield* files.writeFileString(json.value, JSON.stringify(entries, undefined, 2))
      }
      if (checks.some(({ violations }) => violations.length > 0)) process.exitCode = 1
    },
    (effect, { port }) =>
      Effect.catchTags(effect, {
        ConfigError: (error) => giveUp(error.cause.message),
        ServeError: () => giveUp(`Port ${port} is taken; choose another with --port, or 0 for any that is free`)
      })
  )
).pipe(
  Command.withDescription(
    "Asks for CRM accounts through three tiers while a script breaks and heals them, and shows who serves"
  )
)

demo.pipe(
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
