/**
 * Names that other libraries and habits have for settings of this one. They are
 * refused with what to write, since a setting that is passed over in silence is
 * missed when it is needed.
 */
export interface Synonym {
  /** The keys that are meant. Some names have two meanings in the field. */
  readonly means: ReadonlyArray<string>
  readonly note: string | undefined
}

interface Table {
  readonly rows: ReadonlyArray<readonly [means: string, names: string, note?: string]>
  /** Keys of times in seconds, which others have in milliseconds. */
  readonly times: ReadonlyArray<string>
}

/** What a name means, if it is in the table. */
export const synonymOf = (name: string, { rows, times }: Table): Synonym | undefined => {
  const find = (name: string) => rows.find(([, names]) => names.trim().split(/\s+/).includes(name))
  const row = find(name)
  if (row !== undefined) return { means: row[0].split(" "), note: row[2] }
  const stem = name.replace(/_(?:MS|MILLIS|MILLISECONDS)$/, "")
  if (stem === name) return undefined
  const means = find(stem)?.[0].split(" ") ?? times.filter((time) => time === stem || time === `${stem}_SECONDS`)
  return means.some((key) => times.includes(key)) ? { means, note: MILLIS } : undefined
}

const MILLIS = "It takes seconds, or a duration such as \"500ms\""
const ALL_ATTEMPTS = "It counts the first call as well"
const SHARE = "It takes a share from 0 to 1"
const OPPOSITE = "It says the opposite"

/** After `CIRCUIT_BREAKER_` and `CB_<NAME>_`. */
export const ofCircuits: Table = {
  rows: [
    [
      "FAILURE_THRESHOLD",
      `
        THRESHOLD MAX_FAILURES FAIL_MAX FAILURE_COUNT FAILURE_COUNT_THRESHOLD CONSECUTIVE_FAILURES
        CONSECUTIVE_FAILURE_THRESHOLD CONSECUTIVE_FAILURES_THRESHOLD ERROR_THRESHOLD ERROR_COUNT
        ERROR_COUNT_THRESHOLD
      `
    ],
    ["FAILURE_RATE_THRESHOLD", "FAILURE_RATE FAILURE_RATIO FAILURE_RATIO_THRESHOLD ERROR_RATE ERROR_RATE_THRESHOLD"],
    [
      "FAILURE_RATE_THRESHOLD",
      `
        ERROR_THRESHOLD_PERCENTAGE FAILURE_THRESHOLD_PERCENTAGE ERROR_PERCENTAGE FAILURE_PERCENTAGE
        ERROR_PERCENTAGE_THRESHOLD FAILURE_PERCENTAGE_THRESHOLD FAILURE_RATE_PERCENTAGE
      `,
      SHARE
    ],
    [
      "MINIMUM_REQUEST_THRESHOLD",
      `
        VOLUME_THRESHOLD REQUEST_VOLUME_THRESHOLD MINIMUM_NUMBER_OF_CALLS MINIMUM_CALLS MINIMUM_REQUESTS
        MINIMUM_THROUGHPUT MIN_CALLS MIN_REQUESTS MIN_THROUGHPUT
      `
    ],
    [
      "FAILURE_WINDOW_SECONDS",
      `
        WINDOW WINDOW_SECONDS WINDOW_DURATION ROLLING_WINDOW SLIDING_WINDOW ROLLING_COUNT_TIMEOUT
        SAMPLING_DURATION
      `
    ],
    ["WINDOW_SIZE", "SLIDING_WINDOW_SIZE ROLLING_WINDOW_SIZE FAILURE_WINDOW_SIZE WINDOW_CALLS"],
    ["RECOVERY_TIMEOUT REQUEST_TIMEOUT_SECONDS", "TIMEOUT TIMEOUT_SECONDS"],
    [
      "RECOVERY_TIMEOUT",
      `
        RESET_TIMEOUT RESET_TIMEOUT_SECONDS RETRY_TIMEOUT OPEN_TIMEOUT OPEN_DURATION BREAK_DURATION
        DURATION_OF_BREAK SLEEP_WINDOW WAIT_DURATION WAIT_DURATION_IN_OPEN_STATE HALF_OPEN_AFTER RECOVERY_TIME
        COOLDOWN COOLDOWN_PERIOD COOLDOWN_SECONDS
      `
    ],
    ["EXPONENTIAL_BACKOFF", "BACKOFF BACKOFF_ENABLED EXPONENTIAL_BACKOFF_ENABLED USE_EXPONENTIAL_BACKOFF"],
    ["BACKOFF_MULTIPLIER", "MULTIPLIER BACKOFF_FACTOR BACKOFF_BASE EXPONENTIAL_BASE"],
    ["MAX_BACKOFF_SECONDS", "BACKOFF_MAX MAX_OPEN_DURATION MAX_RECOVERY_TIMEOUT MAX_RESET_TIMEOUT"],
    [
      "HALF_OPEN_CALLS",
      `
        MAX_REQUESTS HALF_OPEN_REQUESTS HALF_OPEN_MAX_CALLS HALF_OPEN_MAX_REQUESTS HALF_OPEN_LIMIT
        MAX_HALF_OPEN_CALLS PERMITTED_NUMBER_OF_CALLS_IN_HALF_OPEN_STATE
      `
    ],
    ["HALF_OPEN_TIMEOUT", "HALF_OPEN_DURATION MAX_WAIT_DURATION_IN_HALF_OPEN_STATE"],
    ["SUCCESS_THRESHOLD", "HALF_OPEN_SUCCESS_THRESHOLD HALF_OPEN_SUCCESSES SUCCESS_COUNT REQUIRED_SUCCESSES"],
    [
      "SLOW_CALL_THRESHOLD_MS",
      `
        SLOW_CALL_THRESHOLD SLOW_CALL_DURATION SLOW_CALL_DURATION_MS SLOW_CALL_DURATION_THRESHOLD
        SLOW_CALL_DURATION_THRESHOLD_MS SLOW_CALL_THRESHOLD_SECONDS
      `,
      "It takes milliseconds, or a duration such as \"2s\""
    ],
    ["SLOW_CALL_RATE_THRESHOLD", "SLOW_CALL_RATE"],
    ["REQUEST_TIMEOUT_SECONDS", "CALL_TIMEOUT ATTEMPT_TIMEOUT EXECUTION_TIMEOUT OPERATION_TIMEOUT"],
    ["ENABLED", "ENABLE IS_ENABLED"],
    ["ENABLED", "DISABLED DISABLE IS_DISABLED", OPPOSITE]
  ],
  times: [
    "FAILURE_WINDOW_SECONDS",
    "RECOVERY_TIMEOUT",
    "MAX_BACKOFF_SECONDS",
    "HALF_OPEN_TIMEOUT",
    "REQUEST_TIMEOUT_SECONDS"
  ]
}

/** Of the variables that stand for themselves. */
export const ofCalls: Table = {
  rows: [
    ["MAX_RETRY_ATTEMPTS", "RETRY_ATTEMPTS RETRY_MAX_ATTEMPTS RETRY_MAX_TRIES MAX_RETRY_TRIES"],
    [
      "MAX_RETRY_ATTEMPTS",
      `
        MAX_RETRIES MAX_RETRY MAX_RETRY_COUNT RETRY_MAX RETRY_MAX_RETRIES RETRY_RETRIES RETRY_COUNT
        RETRY_LIMIT
      `,
      ALL_ATTEMPTS
    ],
    [
      "RETRY_BASE_DELAY",
      `
        RETRY_DELAY RETRY_DELAY_SECONDS RETRY_INITIAL_DELAY RETRY_INITIAL_INTERVAL RETRY_INITIAL_BACKOFF
        RETRY_MIN_DELAY RETRY_MIN_TIMEOUT RETRY_BACKOFF RETRY_INTERVAL RETRY_WAIT RETRY_WAIT_DURATION
      `
    ],
    [
      "RETRY_MAX_DELAY",
      `
        RETRY_MAX_BACKOFF RETRY_MAX_INTERVAL RETRY_MAX_TIMEOUT RETRY_MAX_WAIT RETRY_MAX_WAIT_DURATION
        MAX_RETRY_DELAY
      `
    ],
    [
      "RETRY_EXPONENTIAL_BASE",
      `
        RETRY_BASE RETRY_FACTOR RETRY_MULTIPLIER RETRY_EXPONENT RETRY_BACKOFF_FACTOR RETRY_BACKOFF_MULTIPLIER
        RETRY_BACKOFF_RATE RETRY_BACKOFF_BASE RETRY_EXPONENTIAL_BACKOFF_MULTIPLIER
      `
    ],
    ["RETRY_JITTER_ENABLED", "RETRY_JITTER RETRY_ENABLE_JITTER RETRY_USE_JITTER RETRY_RANDOMIZE"]
  ],
  times: ["RETRY_BASE_DELAY", "RETRY_MAX_DELAY", "HEALTH_CHECK_INTERVAL"]
}
