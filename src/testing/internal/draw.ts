/**
 * Numbers from 0 to 1 that depend only on a key, the number of a call and a purpose. What happens to the n-th call is
 * therefore independent of the order of calls at several points, of other draws and of pauses.
 */

/** The key of a text, by FNV-1a. */
export const keyOf = (text: string): number => {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  }
  return scramble(hash)
}

/** The number drawn for a call and a purpose. */
export const draw = (key: number, call: number, purpose: number): number =>
  scramble(scramble(key + Math.imul(call, 0x9e3779b9)) + Math.imul(purpose + 1, 0x85ebca6b)) / 0x1_0000_0000

/** The finalizer of MurmurHash3: changing one bit changes half of the result's bits. */
const scramble = (value: number): number => {
  let hash = value | 0
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
