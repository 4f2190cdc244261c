/**
 * Characters that must not reach a terminal or a log line in text that the
 * program did not write itself.
 */

/** Characters that end a line or control a terminal. */
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/u

/** These, and the characters that turn the direction of the text around them. */
// eslint-disable-next-line no-control-regex
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/gu

/** Whether a text stays on one line and has more than spaces. Text of any direction is accepted. */
export const isOneLine = (text: string): boolean => /\S/u.test(text) && !CONTROLS.test(text)

/** The text with each unsafe character replaced. */
export const replaceUnsafe = (text: string, replace: (character: string) => string): string =>
  text.replace(UNSAFE, replace)
