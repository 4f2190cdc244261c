import { assert, describe, it } from "@effect/vitest"
import { LinkedQueue } from "../../src/internal/linkedQueue.ts"

class Item {
  previous: Item | undefined = undefined
  next: Item | undefined = undefined
}

const inOrder = (queue: LinkedQueue<Item>): ReadonlyArray<Item> => {
  const items: Array<Item> = []
  for (let item = queue.first; item !== undefined; item = item.next) items.push(item)
  return items
}

// Every way to append three items and take out any that is there, as long as six steps, beside an array.
describe("LinkedQueue", () => {
  it("holds those who came and have not left, in order of arrival, and lets go of those who left", () => {
    const steps = 6
    for (let way = 0; way < 3 ** steps; way++) {
      const items = [new Item(), new Item(), new Item()]
      const queue = new LinkedQueue<Item>()
      let expected: ReadonlyArray<Item> = []
      for (let step = 0, rest = way; step < steps; step++, rest = Math.floor(rest / items.length)) {
        const item = items[rest % items.length]!
        if (expected.includes(item)) {
          queue.remove(item)
          expected = expected.filter((other) => other !== item)
          assert.isUndefined(item.previous)
          assert.isUndefined(item.next)
        } else {
          queue.append(item)
          expected = [...expected, item]
        }
        assert.isTrue(inOrder(queue).every((found, place) => found === expected[place]))
        assert.strictEqual(inOrder(queue).length, expected.length)
      }
    }
  })
})
