/**
 * Telemetry: what a call costs with it off, on, and with spans, and what a
 * rejection and a retry cost with it.
 *
 * There is none yet. Its cases belong here: the circuits of `closed` and
 * `open`, the pipeline and the tiers, once without the layer, once with it,
 * once with spans, all next to the same bare call; the row "time window,
 * slow-call detection, latency and metrics on" of rows.ts then names the case
 * with the layer instead of `closed/time window, slow calls, latency`.
 */
import type { Group } from "../model.ts"

export const telemetry: Group = { name: "telemetry", cases: [] }
