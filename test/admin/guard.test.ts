import { assert, describe, it } from "@effect/vitest"
import * as Guard from "../../src/admin/internal/guard.ts"

const refused = (headers: Guard.Headers, method = "POST", allowed: ReadonlyArray<string> = [], url = "/") =>
  Guard.refusalOf({ headers, method, url }, allowed) !== undefined

describe("the token", () => {
  const secret = Guard.secretOf("0123456789abcdef")

  it("is accepted only if it is the same to the last byte", () => {
    assert.isTrue(Guard.isSecret(secret, "0123456789abcdef"))
    for (
      const wrong of [
        "",
        "0",
        "0123456789abcde",
        "0123456789abcdeg",
        "1123456789abcdef",
        "0123456789abcdef0",
        "0123456789abcdef0123456789abcdef",
        "0123456789ABCDEF",
        "0123456789abcdef\u0000",
        " 0123456789abcdef"
      ]
    ) {
      assert.isFalse(Guard.isSecret(secret, wrong), JSON.stringify(wrong))
    }
  })

  it("is compared byte by byte to the end, wherever the first difference is", () => {
    const reads: Array<number> = []
    const watched = new Proxy(secret, {
      get: (target, key) => {
        if (typeof key === "string" && /^\d+$/.test(key)) reads.push(Number(key))
        const value: unknown = Reflect.get(target, key)
        return value
      }
    })

    for (const given of ["x123456789abcdef", "0123456789abcdex", "0123456789abcdef"]) {
      reads.length = 0
      Guard.isSecret(watched, given)
      assert.strictEqual(reads.length, 16, given)
    }
    // A short or long text costs as much as it is long, and tells nothing of the secret's length.
    reads.length = 0
    Guard.isSecret(watched, "x".repeat(40))
    assert.strictEqual(reads.length, 40)
  })
})

describe("the Host header", () => {
  it("is accepted for this machine, for addresses and for listed hosts", () => {
    for (
      const host of [
        "localhost",
        "LOCALHOST:9700",
        "app.localhost",
        "localhost.:80",
        "127.0.0.1",
        "127.0.0.1:9700",
        "10.1.2.3:9700",
        "[::1]:9700",
        "[fd00::17]"
      ]
    ) {
      assert.isFalse(refused({ host }), host)
    }
    assert.isFalse(refused({ host: "Admin.Example.com:8443" }, "POST", ["admin.example.com"]))
    assert.isFalse(refused({ host: "admin.example.com:8443" }, "POST", ["admin.example.com:8443"]))
    assert.isFalse(refused({ ":authority": "localhost:9700" }))
  })

  it("is that of the URL if there is none", () => {
    assert.isFalse(refused({}, "GET", [], "http://localhost:9700/health"))
    assert.isTrue(refused({}, "GET", [], "http://evil.example/localhost"))
    assert.isTrue(refused({}, "GET", [], "http://localhost@evil.example/"))
    assert.isTrue(refused({ host: "evil.example" }, "GET", [], "http://localhost/"))
  })

  it("is refused for any other name, as one that was rebound to this machine", () => {
    for (
      const host of [
        undefined,
        "",
        "evil.example",
        "evil.example:9700",
        "localhost.evil.example",
        "evillocalhost",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io",
        "256.0.0.1",
        "127.0.0",
        "0x7f.0.0.1",
        "localhost:port",
        "localhost:999999",
        "user@localhost",
        "localhost/evil",
        "localhost, evil.example",
        "[::1].evil.example",
        "[localhost]"
      ]
    ) {
      assert.isTrue(refused({ host }), host)
    }
    assert.isTrue(refused({ host: "admin.example.com:81" }, "POST", ["admin.example.com:80"]))
  })
})

describe("an address that stands for none", () => {
  const hosts = [
    "0.0.0.0",
    "0.0.0.0:9700",
    "00.0.0.00",
    "0.1.2.3",
    "[::]",
    "[::]:9700",
    "[0:0:0:0:0:0:0:0]",
    "[0::0]",
    "[0000::]",
    "[::0.0.0.0]",
    "[::ffff:0.0.0.0]",
    "[::ffff:0:0]",
    "[::FFFF:0.0.0.7]"
  ]

  it("is refused as Host, in any spelling, also if it is listed", () => {
    for (const host of hosts) assert.isTrue(refused({ host }, "GET", [host]), host)
    for (const host of ["0", "0x0", "0.0", "000.000.000.000", "[:::]", "[0]"]) assert.isTrue(refused({ host }), host)
    assert.isTrue(refused({}, "GET", [], "http://0.0.0.0:9700/config"))
    for (const host of ["10.0.0.0", "[::1]", "[fe80::]", "[::ffff:127.0.0.1]"]) assert.isFalse(refused({ host }), host)
  })

  it("cannot be listed", () => {
    for (const host of hosts) assert.isFalse(Guard.isHost(host), host)
  })
})

describe("the site of a request", () => {
  const host = "localhost:9700"

  it("may be none, as of a program, or this one", () => {
    assert.isFalse(refused({ host }))
    assert.isFalse(refused({ host, origin: "http://localhost:9700" }))
    assert.isFalse(refused({ host, origin: "http://localhost:9700", "sec-fetch-site": "same-origin" }))
    assert.isFalse(refused({ host, "sec-fetch-site": "none" }))
    assert.isFalse(
      refused({ host, origin: "https://admin.example.com" }, "POST", ["admin.example.com"]),
      "behind a proxy that changes the host"
    )
  })

  it("is refused if it is another one, for any method", () => {
    for (const method of ["GET", "POST", "OPTIONS", "HEAD"]) {
      for (
        const headers of [
          { origin: "https://evil.example" },
          { origin: "null" },
          { origin: "" },
          { origin: "http://localhost:3000" },
          { origin: "http://localhost" },
          { origin: "http://localhost:9700.evil.example" },
          { origin: "file://localhost:9700" },
          { origin: "http://evil.example@localhost:9700" },
          { "sec-fetch-site": "cross-site" },
          { "sec-fetch-site": "same-site" },
          { "sec-fetch-site": "whatever" }
        ]
      ) {
        assert.isTrue(refused({ host, ...headers }, method), `${method} ${JSON.stringify(headers)}`)
      }
    }
  })

  it("is told by Referer where the browser says no better", () => {
    const other = { host: "10.1.2.3:9700", referer: "http://evil.example/" }
    for (const referer of ["http://evil.example/", "http://10.1.2.3/", "http://10.1.2.3:9700@evil.example/", "", "x"]) {
      for (const method of ["GET", "POST"]) assert.isTrue(refused({ ...other, referer }, method), referer)
    }
    for (const referer of ["http://10.1.2.3:9700/dashboard", "http://10.1.2.3:9700?q", "http://10.1.2.3:9700"]) {
      assert.isFalse(refused({ ...other, referer }), referer)
    }
    assert.isFalse(refused({ ...other, referer: "https://admin.example.com/x" }, "POST", ["admin.example.com"]))
    assert.isFalse(refused({ ...other, "sec-fetch-site": "same-origin" }))
    assert.isFalse(refused({ ...other, origin: "http://10.1.2.3:9700" }))
  })

  it("does not matter to the page, which shows nothing of the program", () => {
    const request = { headers: { host: "10.1.2.3", referer: "http://wiki.example/" }, method: "GET", url: "/" }
    assert.isDefined(Guard.refusalOf(request, []))
    assert.isUndefined(Guard.refusalOf(request, [], true))
    const host = { ...request, headers: { ...request.headers, host: "evil.example" } }
    assert.isDefined(Guard.refusalOf(host, [], true))
  })

  it("does not matter where a link is followed, which shows that site nothing", () => {
    const link = { host, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" }

    assert.isFalse(refused(link, "GET"))
    assert.isTrue(refused(link, "POST"))
    assert.isTrue(refused({ ...link, "sec-fetch-dest": "iframe" }, "GET"))
  })
})

describe("what strangers send", () => {
  it("is quoted in one line, shortened, without characters that turn it around", () => {
    assert.strictEqual(Guard.quote("a\nb\u202ec\u0085\u2028\ud800"), "\"a\\nb\\u202ec\\u0085\\u2028\\ud800\"")
    assert.strictEqual(Guard.quote("x".repeat(81)), `"${"x".repeat(80)}…"`)
  })
})

describe("the address of a client", () => {
  it("is this machine only if nobody forwarded the request", () => {
    const local = (headers: Guard.Headers, ...addresses: ReadonlyArray<string | undefined>) =>
      Guard.isFromLoopback(headers, addresses)

    assert.isTrue(local({}, "127.0.0.1", "127.0.0.1"))
    assert.isTrue(local({}, "::1", "::ffff:127.0.0.1"))
    assert.isFalse(local({}, "10.0.0.7", "127.0.0.1"))
    assert.isFalse(local({}, undefined))
    assert.isFalse(local({ "x-forwarded-for": "127.0.0.1" }, "127.0.0.1"))
    assert.isFalse(local({ forwarded: "for=10.0.0.7" }, "127.0.0.1"))
    assert.isFalse(local({}, "127.0.0.1.evil.example"))
  })
})
