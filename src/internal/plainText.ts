/**
 * Characters that must not reach a terminal or a log line in text that the
 * program did not write itself.
 */

/** Characters that end a line or control a terminal. */
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/u

/** These, the characters that turn the direction of the text around them, and halves of a character. */
// eslint-disable-next-line no-control-regex
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/gu

/** Whether a text stays on one line and has more than spaces. Text of any direction is accepted. */
export const isOneLine = (text: string): boolean => /\S/u.test(text) && !CONTROLS.test(text)

const ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }

const escape = (character: string): string =>
  ESCAPES[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`

/** The text in one line, with each unsafe character as JSON and JavaScript escape it. */
export const escapeUnsafe = (text: string): string => text.replace(UNSAFE, escape)

/** JSON of the same value, whose texts have no unsafe character. Breaks between its lines stay. */
export const escapeJson = (json: string): string =>
  json.replace(UNSAFE, (character) => character === "\n" ? character : escape(character))
