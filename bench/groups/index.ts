import type { Group } from "../model.ts"
import { closed, halfOpen, open } from "./circuit.ts"
import { combinators, pipeline } from "./combinators.ts"
import { config } from "./config.ts"
import { features } from "./features.ts"
import { growth } from "./growth.ts"
import { health } from "./health.ts"
import { memory } from "./memory.ts"
import { size } from "./size.ts"
import { telemetry } from "./telemetry.ts"
import { tiers } from "./tiers.ts"

export const groups: ReadonlyArray<Group> = [
  closed,
  open,
  halfOpen,
  features,
  combinators,
  pipeline,
  tiers,
  telemetry,
  growth,
  health,
  memory,
  config,
  size
]
