/** As many slips make a typo. */
export const TYPO = 2

const MAX_LENGTH = 100

/**
 * Insertions, deletions, replacements and swaps of neighbours that make one
 * word of another: the optimal string alignment distance. Infinite for words
 * that are too long to be worth the time.
 */
export const distance = (self: string, that: string): number => {
  if (self === that) return 0
  if (Math.max(self.length, that.length) > MAX_LENGTH) return Infinity
  let beforeLast: Array<number> = []
  let last = Array.from({ length: that.length + 1 }, (_, index) => index)
  for (let i = 1; i <= self.length; i++) {
    const row = [i]
    for (let j = 1; j <= that.length; j++) {
      const replaced = last[j - 1]! + (self[i - 1] === that[j - 1] ? 0 : 1)
      row[j] = Math.min(replaced, last[j]! + 1, row[j - 1]! + 1)
      if (i > 1 && j > 1 && self[i - 1] === that[j - 2] && self[i - 2] === that[j - 1]) {
        row[j] = Math.min(row[j]!, beforeLast[j - 2]! + 1)
      }
    }
    beforeLast = last
    last = row
  }
  return last[that.length]!
}

/** The closest of `words`, if one is at most `limit` away. */
export const closest = (self: string, words: ReadonlyArray<string>, limit: number): string | undefined => {
  let found: string | undefined
  let least = Infinity
  for (const word of words) {
    // Words of such different lengths are farther apart.
    if (Math.abs(self.length - word.length) > limit) continue
    const d = distance(self, word)
    if (d <= limit && d < least) {
      least = d
      found = word
    }
  }
  return found
}
