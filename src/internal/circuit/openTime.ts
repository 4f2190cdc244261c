/**
 * Time of the n-th opening in a row: `initial × multiplier^(n - 1)`, spread by
 * `jitter` to either side, never above `maximum`.
 */
export const exponentialOpenTime = (options: {
  readonly initial: number
  readonly multiplier: number
  readonly maximum: number
  readonly jitter: number
}) =>
(opening: number, random: number): number => {
  const { initial, jitter, maximum, multiplier } = options
  const time = Math.min(initial * multiplier ** (opening - 1), maximum)
  return Math.min(time * (1 + jitter * (2 * random - 1)), maximum)
}
