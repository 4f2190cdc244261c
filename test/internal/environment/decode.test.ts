import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import {
  between,
  count,
  encode,
  factor,
  flag,
  milliseconds,
  orOff,
  rate,
  seconds,
  upToDay,
  upToHour
} from "../../../src/internal/environment/decode.ts"

describe("a number", () => {
  it("is decimal, with a sign, a fraction and an exponent or without", () => {
    const { decode } = between(-1e6, 1e6, false)
    const accepted = {
      "1": 1,
      "12": 12,
      "+12": 12,
      "-12": -12,
      "12.": 12,
      "1.25": 1.25,
      ".25": 0.25,
      "-.5": -0.5,
      "1e2": 100,
      "1.5e+2": 150,
      "15e-2": 0.15,
      "1e-12": 1e-12
    }
    for (const [text, number] of Object.entries(accepted)) assert.strictEqual(decode(text), number, text)
    for (const text of ["", ".", "-", "e1", "1e", "0x10", "0b1", "1_0", "1,5", "x1", "1x", "infinity", "nan"]) {
      assert.isUndefined(decode(text), text)
    }
  })

  it("is within its limits, and an integer where one is asked for", () => {
    assert.deepStrictEqual(["0", "1", "1.5", "10", "11"].map(between(1, 10, false).decode), [
      undefined,
      1,
      1.5,
      10,
      undefined
    ])
    assert.deepStrictEqual(["0", "1", "1.5", "10", "11"].map(count(10).decode), [
      undefined,
      1,
      undefined,
      10,
      undefined
    ])
    assert.strictEqual(between(1, 10, false).accepts, "a number from 1 to 10")
    assert.strictEqual(count(10).accepts, "an integer from 1 to 10")
    assert.isUndefined(count(10).unit)
  })

  it("is a share or a factor with a fraction too", () => {
    assert.deepStrictEqual(["0", "0.5", "1.5"].map(rate.decode), [0, 0.5, undefined])
    assert.deepStrictEqual(["0.5", "1.5", "100.5"].map(factor.decode), [undefined, 1.5, undefined])
  })
})

describe("a time in milliseconds", () => {
  it("is a number of them or a duration, within its limits", () => {
    const kind = milliseconds(10, 2000, "2s")
    assert.deepStrictEqual(["9", "10", "2s", "2001", "soon"].map(kind.decode), [
      undefined,
      Duration.millis(10),
      Duration.seconds(2),
      undefined,
      undefined
    ])
    assert.strictEqual(kind.accepts, `a number of milliseconds from 10 to 2000, or a duration such as "2s"`)
    assert.strictEqual(kind.unit, "milliseconds")
  })
})

describe("a time in seconds", () => {
  const kind = seconds(1, upToHour, "30s")

  it("is a number of them or a longer duration, within its limits", () => {
    assert.deepStrictEqual(["0.5", "1", "600", "601", "601s", "1h", "1h 1s", "soon"].map(kind.decode), [
      undefined,
      Duration.seconds(1),
      Duration.seconds(600),
      undefined,
      Duration.seconds(601),
      Duration.hours(1),
      undefined,
      undefined
    ])
    assert.strictEqual(kind.accepts, `a number of seconds from 1 to 600, or a duration up to 1h such as "30s"`)
    assert.strictEqual(kind.unit, "seconds")
  })

  it("may be up to a day where that is said, and up to an hour as a number", () => {
    assert.deepStrictEqual(["3600", "3601", "1d", "1d 1s"].map(seconds(1, upToDay, "30s").decode), [
      Duration.hours(1),
      undefined,
      Duration.days(1),
      undefined
    ])
  })

  it("says of a number that is too large what else it may be", () => {
    assert.strictEqual(
      kind.explain?.("1500"),
      `is 25m in seconds; write "1s 500ms" if milliseconds were meant, or "1500s"`
    )
    assert.strictEqual(
      kind.explain?.("5000"),
      `is 1h 23m 20s in seconds, at most 1h is accepted; write "5s" if milliseconds were meant`
    )
  })

  it("says nothing of what cannot be meant in milliseconds", () => {
    const short = seconds(0.001, upToHour, "30s")
    for (const text of ["600", "5", "soon", "2h"]) assert.isUndefined(short.explain?.(text), text)
    assert.isUndefined(kind.explain?.("700"))
    assert.isDefined(short.explain?.("601"))
  })
})

describe("a flag", () => {
  it("is one of ten words", () => {
    for (const text of ["true", "yes", "on", "1", "y"]) assert.strictEqual(flag.decode(text), true, text)
    for (const text of ["false", "no", "off", "0", "n"]) assert.strictEqual(flag.decode(text), false, text)
    for (const text of ["", "t", "2"]) assert.isUndefined(flag.decode(text), text)
    assert.strictEqual(flag.accepts, "true, yes, on or 1, or else false, no, off or 0")
  })
})

describe("what may be off", () => {
  it("is off, or what it is else", () => {
    const kind = orOff(seconds(1, upToHour, "30s"))
    assert.deepStrictEqual(["off", "30", "on"].map(kind.decode), ["off", Duration.seconds(30), undefined])
    assert.strictEqual(
      kind.accepts,
      `a number of seconds from 1 to 600, or a duration up to 1h such as "30s", or "off"`
    )
    assert.strictEqual(kind.unit, "seconds")
  })
})

describe("a value", () => {
  it("is written in the unit of its variable", () => {
    assert.strictEqual(encode(Duration.millis(1500), "milliseconds"), "1500")
    assert.strictEqual(encode(Duration.millis(1500), "seconds"), "1.5")
    assert.strictEqual(encode("off", "milliseconds"), "off")
    assert.strictEqual(encode(3, undefined), "3")
    assert.strictEqual(encode(true, undefined), "true")
  })
})
