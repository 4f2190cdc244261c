/**
 * How long a circuit is forced open, as requests say it.
 */

/** The circuit stays forced open until another command. */
export const UNTIL_RELEASED = "until released"

export const ACCEPTED = `must be seconds above 0, a text such as "30 seconds", or "${UNTIL_RELEASED}"`
