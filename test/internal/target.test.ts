import { assert, describe, it } from "@effect/vitest"
import { Context, Effect } from "effect"
import { checkTarget, findTarget, isDataFirst, isTarget, type Kind } from "../../src/internal/target.ts"
import { messageOf } from "../support/refusal.ts"

interface Lamp {
  readonly light: string
}

class Hall extends Context.Service<Hall, Lamp>()("test/Hall") {}

const LAMP: Kind<Lamp> = {
  isValue: (u): u is Lamp => typeof u === "object" && u !== null && "light" in u,
  accepted: "a lamp or the class of one"
}
const lamp: Lamp = { light: "blue" }
const others = [undefined, null, "blue", 5, {}, [], () => lamp, Effect.succeed(lamp)]

describe("a target", () => {
  it("is a value or the key of a service", () => {
    assert.isTrue(isTarget(LAMP, lamp))
    assert.isTrue(isTarget(LAMP, Hall))
    assert.isTrue(isTarget(LAMP, Context.Service<Lamp>("test/Plain")))
    for (const other of others) assert.isFalse(isTarget(LAMP, other))
  })

  it("is returned by its check, which refuses everything else", () => {
    assert.strictEqual(checkTarget(LAMP, "lamp", lamp), lamp)
    assert.strictEqual(checkTarget(LAMP, "lamp", Hall), Hall)
    for (const other of others) {
      assert.match(
        messageOf(() => checkTarget(LAMP, "the lamp", other)),
        /^the lamp must be a lamp or the class of one, got /
      )
    }
  })

  it("is itself, or the service where the call runs", () => {
    const light: Lamp = { light: "green" }
    const context = Context.make(Hall, light) as Context.Context<never>
    assert.strictEqual(findTarget(LAMP, context, lamp), lamp)
    assert.strictEqual(findTarget(LAMP, context, Hall), light)
  })
})

describe("a combinator is called data-first", () => {
  const isLamp = (u: unknown) => isTarget(LAMP, u)

  it("if its second argument is a target", () => {
    assert.isTrue(isDataFirst(isLamp, [Effect.void, lamp]))
    assert.isTrue(isDataFirst(isLamp, [Effect.void, Hall, { key: "a" }]))
    // The class of a service is an effect: the call is to get the service.
    assert.isTrue(isDataFirst(isLamp, [Hall, lamp]))
    assert.isTrue(isDataFirst(isLamp, [Hall, Hall]))
  })

  it("if it begins with an effect that is no target, so that the mistake is in the second argument", () => {
    assert.isTrue(isDataFirst(isLamp, [Effect.void, undefined]))
    assert.isTrue(isDataFirst(isLamp, [Effect.void, { key: "a" }]))
  })

  it("and data-last otherwise", () => {
    for (const target of [lamp, Hall]) {
      assert.isFalse(isDataFirst(isLamp, [target]))
      assert.isFalse(isDataFirst(isLamp, [target, undefined]))
      assert.isFalse(isDataFirst(isLamp, [target, { key: "a" }]))
    }
    assert.isFalse(isDataFirst(isLamp, []))
    assert.isFalse(isDataFirst(isLamp, [Effect.void]))
    assert.isFalse(isDataFirst(isLamp, ["blue", { key: "a" }]))
  })
})
