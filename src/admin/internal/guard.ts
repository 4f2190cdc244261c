/**
 * Who may ask: hosts, origins, addresses and tokens. Pure functions over the
 * head of a request.
 */
import { escapeUnsafe } from "../../internal/plainText.ts"

/** The headers of a request, by names in small letters. */
export type Headers = Readonly<Record<string, string | undefined>>

/** A text as bytes, made once, to compare others with. */
export const secretOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/**
 * Whether a text is the secret, in a time that depends on the text alone: it
 * tells neither where they differ nor how long the secret is.
 */
export const isSecret = (secret: Uint8Array, text: string): boolean => {
  const given = new TextEncoder().encode(text)
  let difference = given.length ^ secret.length
  for (let i = 0; i < given.length; i++) difference |= given[i]! ^ secret[i % secret.length]!
  return difference === 0
}

/** The name and the port in `name:port`, in small letters; the name of IPv6 without brackets. */
const splitHost = (host: string): { readonly name: string; readonly port: string } | undefined => {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::(\d{1,5}))?$/.exec(host.toLowerCase())
  if (match === null) return undefined
  return { name: match[1] ?? match[2]!.replace(/\.$/, ""), port: match[3] ?? "" }
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/

/** The one spelling of an IPv6 address; `undefined` if it is none. */
const toIpv6 = (name: string): string | undefined => {
  const url = `http://[${name}]/`
  return name.includes(":") && URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : undefined
}

const isAddress = (name: string): boolean => IPV4.test(name) || toIpv6(name) !== undefined

/**
 * Whether an address stands for none, as `0.0.0.0` and `::`. Systems take it for
 * the machine itself, but a browser does not: a page of another site may ask it,
 * and the browser does not say so.
 */
const isUnspecified = (name: string): boolean =>
  IPV4.test(name)
    ? Number(name.split(".", 1)[0]) === 0
    : /^(?:::|::ffff:[0-9a-f]{1,2}:[0-9a-f]{1,4})$/.test(toIpv6(name) ?? "")

/** Whether an address, or the name of a host, is the machine itself. */
export const isLoopback = (host: string): boolean => {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, "$1").replace(/^::ffff:(?=\d)/, "")
  return name === "::1" || name === "localhost" || name.endsWith(".localhost") ||
    (IPV4.test(name) && name.startsWith("127."))
}

const isListed = (hosts: ReadonlyArray<string>, { name, port }: { readonly name: string; readonly port: string }) =>
  hosts.some((host) => {
    const listed = splitHost(host)
    return listed !== undefined && listed.name === name && (listed.port === "" || listed.port === port)
  })

/** Whether a text can stand in the list of hosts. */
export const isHost = (text: string): boolean => {
  const host = splitHost(text)
  return host !== undefined && !isUnspecified(host.name)
}

/**
 * Why the site that a request comes from may not ask, or `undefined`.
 *
 * A page of another site can make a browser send requests, but cannot choose
 * what the browser says of them. A name that was rebound to this machine shows
 * in `Host`, unless it is an address, which nobody can rebind.
 *
 * `isOpenToLinks` is for what shows nothing of the program: an old browser does
 * not tell a link from another request.
 */
export const refusalOf = (
  { headers, method, url }: { readonly headers: Headers; readonly method: string; readonly url: string },
  allowedHosts: ReadonlyArray<string>,
  isOpenToLinks = false
): string | undefined => {
  // HTTP/2 and the requests of the web platform may have the host elsewhere.
  const given = headers["host"] ?? headers[":authority"] ?? /^https?:\/\/([^/?#]*)/i.exec(url)?.[1]
  if (given === undefined) return "the request has no Host header"
  const host = splitHost(given)
  if (host !== undefined && isUnspecified(host.name)) {
    return `Host ${quote(given)} is no address of a machine: use localhost or the address of this one`
  }
  if (host === undefined || !(isAddress(host.name) || isLoopback(host.name) || isListed(allowedHosts, host))) {
    return `Host ${quote(given)} is not accepted: use localhost or an address, or list the host in ` +
      "RESILIENCE_ADMIN_ALLOWED_HOSTS"
  }
  const isOwn = (origin: string | undefined): boolean => {
    const from = splitHost(origin ?? "")
    return from !== undefined &&
      ((from.name === host.name && from.port === host.port) || isListed(allowedHosts, from))
  }
  const origin = headers["origin"]
  if (origin !== undefined) {
    return isOwn(/^https?:\/\/(.*)$/i.exec(origin)?.[1])
      ? undefined
      : `requests of other sites are not accepted, such as Origin ${quote(origin)}`
  }
  const site = headers["sec-fetch-site"]
  if (site === undefined) {
    // Browsers tell hosts that they do not trust, such as addresses without TLS, only this.
    const referer = headers["referer"]
    return referer === undefined || isOpenToLinks || isOwn(/^https?:\/\/([^/?#]*)/i.exec(referer)?.[1])
      ? undefined
      : `requests of other sites are not accepted, such as Referer ${quote(referer)}`
  }
  if (site === "same-origin" || site === "none") return undefined
  // Following a link from another site shows that site nothing.
  const isLink = method === "GET" && headers["sec-fetch-mode"] === "navigate" &&
    headers["sec-fetch-dest"] === "document"
  return isLink ? undefined : `requests of other sites are not accepted, such as Sec-Fetch-Site ${quote(site)}`
}

/** Headers by which a proxy says that it asks for somebody else. */
const FORWARDED = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"]

/** Whether a request comes from this machine, as far as anybody can tell. */
export const isFromLoopback = (headers: Headers, addresses: ReadonlyArray<string | undefined>): boolean =>
  addresses.every((address) => address !== undefined && isLoopback(address)) &&
  FORWARDED.every((name) => headers[name] === undefined)

export const isJson = (contentType: string | undefined): boolean =>
  /^application\/json\s*(?:;|$)/i.test(contentType?.trim() ?? "")

/** Texts that strangers send are shown in messages, shortened and in one line. */
export const quote = (text: string): string =>
  escapeUnsafe(JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text))
