import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit } from "effect"
import { Answer, answering } from "../../src/internal/answer.ts"

const isMistake = (defect: unknown) => defect === "mistake"

describe("a defect", () => {
  it.effect("stays what it is if no defect is a mistake, or this one is none", () =>
    Effect.gen(function*() {
      const dies = Effect.die("bug")
      assert.deepStrictEqual(yield* Effect.exit(answering(dies, undefined)), Exit.die("bug"))
      assert.deepStrictEqual(yield* Effect.exit(answering(dies, () => true, isMistake)), Exit.die("bug"))
    }))

  it.effect("that is a mistake ends the call, whatever failed beside it", () =>
    Effect.gen(function*() {
      for (const others of [[], [Cause.fail("down")], [Cause.die("bug")]]) {
        const cause = others.reduce<Cause.Cause<string>>(Cause.combine, Cause.die("mistake"))
        const answer = yield* answering(Effect.failCause(cause), undefined, isMistake)
        assert.instanceOf(answer, Answer)
        assert.strictEqual(answer.cause, cause)
        assert.strictEqual(answer.outcome._tag, "Ignored")
      }
    }))
})
