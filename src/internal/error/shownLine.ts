/**
 * What is shown to people of texts that others wrote, such as the message of an
 * error: the beginning, in one line, without the credentials that may be in it.
 */
import { escapeUnsafe } from "../plainText.ts"

const LONGEST = 200

/** Credentials are looked for in so many characters: what is left after that may still fill the line. */
const READ = 1000

const HIDDEN = "***"

const NAMES = "token|secret|passw(?:or)?d|pwd|passphrase|api[-_]?key|access[-_]?key|private[-_]?key|signature|\\bsig|" +
  "credentials?|authorization"
const VALUE = "\"[^\"]*\"?|'[^']*'?|[^\\s&,;)}\\]\"']+"

const IN_URL = /(:\/\/)(?:[^\s/?#@]*|[^\s/?#@:]+:(?!\d+[/?#])[^\s@]+)@/gu
const HEADER =
  /\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key)(["']?\s*:\s*["']?)[^\s,;"']+(?:\s+[^\s,;"']+)?/giu
const NAMED = new RegExp(`(${NAMES})(["']?\\s*=\\s*|["']\\s*:\\s*)(?:${VALUE})`, "giu")
const SAID = /(passw(?:or)?d|pwd|passphrase|secret|api[-_ ]?key)(\s*:\s*)[^\s,;]+/giu
// "token: expired" tells what is wrong.
const TOKEN = /(token)(\s*:\s*)(?=[^\s,;]*\d)[^\s,;]{8,}/giu
const SCHEME = /\b(bearer|basic)(\s+)([\w.~+/=-]{6,})/giu
const JWT = /\beyJ[\w-]+\.[\w-]+\.?[\w-]*/gu

const MAY_HOLD = /[=:@]|bearer|basic|eyJ/iu

const redact = (text: string): string =>
  MAY_HOLD.test(text)
    ? text
      .replace(IN_URL, `$1${HIDDEN}@`)
      .replace(HEADER, `$1$2${HIDDEN}`)
      .replace(NAMED, `$1$2${HIDDEN}`)
      .replace(SAID, `$1$2${HIDDEN}`)
      .replace(TOKEN, `$1$2${HIDDEN}`)
      .replace(
        SCHEME,
        // "Basic authentication" is none.
        (all, scheme: string, gap: string, value: string) =>
          /[^a-z]/u.test(value.slice(1)) ? `${scheme}${gap}${HIDDEN}` : all
      )
      .replace(JWT, HIDDEN)
    : text

/** A message may be a whole page. Half a word at the cut could be half a password, which looks like something else. */
const beginning = (text: string): string => {
  if (text.length <= READ) return text
  const start = text.slice(0, READ)
  const whole = start.replace(/\S+$/u, "")
  return whole.length > LONGEST ? whole : start
}

export const shownLine = (text: string): string => {
  const line = escapeUnsafe(redact(beginning(text)).slice(0, LONGEST + 1))
  return line.length <= LONGEST
    ? line
    // Without half a character at the cut.
    : `${line.slice(0, LONGEST - 1).replace(/[\ud800-\udbff]$/, "")}…`
}
