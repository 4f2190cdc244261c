import { assert, describe, it } from "@effect/vitest"
import { Exit } from "effect"
import { describeFailure } from "../../../src/internal/error/lastFailure.ts"
import { shownLine } from "../../../src/internal/error/shownLine.ts"
import { ofExit } from "../../../src/internal/health/reasons.ts"

describe("a line of a text that others wrote", () => {
  it("has no credentials", () => {
    for (
      const [text, shown] of [
        ["connect to postgres://app:hunter2@db:5432/main failed", "connect to postgres://***@db:5432/main failed"],
        ["amqp://app:p/a?s#s@mq/ is down", "amqp://***@mq/ is down"],
        ["redis://:hunter2@cache", "redis://***@cache"],
        ["GET https://api/x?token=abc&page=2 failed", "GET https://api/x?token=***&page=2 failed"],
        ["GET https://api/x?access_token=abc&api_key=def", "GET https://api/x?access_token=***&api_key=***"],
        ["https://blob/x?sv=1&sig=a%2Fb", "https://blob/x?sv=1&sig=***"],
        ["X-Amz-Signature=abc", "X-Amz-Signature=***"],
        ["Authorization: Bearer abc.def", "Authorization: ***"],
        ["{\"authorization\":\"Basic dXNlcjpwYXNz\"}", "{\"authorization\":***}"],
        ["Cookie: session=abcdef; a=b", "Cookie: ***; a=b"],
        ["sent Bearer abcDEF123", "sent Bearer ***"],
        ["{\"password\": \"a b\", \"user\": \"ada\"}", "{\"password\": ***, \"user\": \"ada\"}"],
        ["password = 'hun ter2' is wrong", "password = *** is wrong"],
        ["login with password: hunter2", "login with password: ***"],
        ["token: 0123456789abcdef", "token: ***"],
        ["jwt eyJhbGciOi.eyJzdWIi.SflKxw is old", "jwt *** is old"]
      ] as const
    ) {
      assert.strictEqual(shownLine(text), shown)
    }
  })

  it("keeps what has none", () => {
    for (
      const text of [
        "connect ECONNREFUSED 127.0.0.1:5432",
        "http://api:8080/users/@me answered 503",
        "invalid token: expired",
        "Basic authentication is needed",
        "Unexpected token '<', \"<!doctype \"... is not valid JSON",
        "ada@example.com is unknown",
        "tokens are out: 5 of 7"
      ]
    ) {
      assert.strictEqual(shownLine(text), text)
    }
  })

  it("has at most 200 characters, whole ones, and is one line", () => {
    assert.strictEqual(shownLine("a\r\nb\u202e"), "a\\r\\nb\\u202e")
    assert.strictEqual(shownLine("x".repeat(200)), "x".repeat(200))
    assert.strictEqual(shownLine("x".repeat(1_000_000)), `${"x".repeat(199)}…`)
    assert.strictEqual(shownLine(`${"x".repeat(198)}😀y`), `${"x".repeat(198)}…`)
  })

  it("has no part of a credential that is cut, however much was left out before", () => {
    const text = `${"token=0123456789 ".repeat(58)}postgres://app:hunter2hunter2@db`
    assert.notInclude(shownLine(text), "hunter2")
    assert.notInclude(shownLine(text), "0123456789")
  })

  it("takes no long time, whatever the text", () => {
    const texts = ["a:", "://", "://a:", "token=", "password\" :", "eyJ-.", "bearer ", "'", "-"]
    for (const text of texts) shownLine(text.repeat(100_000))
  })
})

describe("the message of a failure", () => {
  const error = new Error(`GET https://ada:hunter2@api/?token=abc failed ${"x".repeat(1_000)}`)
  const shown = "GET https://***@api/?token=*** failed xxx"

  it("is such a line as last failure of a circuit", () => {
    const message = describeFailure(Exit.fail(error), undefined)!.message
    assert.isTrue(message.startsWith(shown))
    assert.lengthOf(message, 200)
  })

  it("is such a line as reason of a health check, whatever it ends with", () => {
    for (
      const exit of [
        Exit.fail(error),
        Exit.fail(error.message),
        Exit.die(error),
        Exit.succeed({ status: "degraded", reason: error.message }),
        Exit.succeed({ answer: error.message })
      ]
    ) {
      const { message } = ofExit(exit)[0]!
      assert.include(message, "https://***@api/?token=***")
      assert.isBelow(message.length, 400)
    }
  })
})
