/**
 * Counts the wrong tokens of each address. Nobody knows who else is behind an
 * address, so the right token passes whatever is counted.
 */

export interface BrakeOptions {
  /** Wrong tokens that an address may send per window. */
  readonly allowed: number
  /** In milliseconds. */
  readonly window: number
  /** Addresses that are remembered. The one whose window is oldest is forgotten first. */
  readonly addresses: number
}

interface Window {
  readonly endsAt: number
  count: number
}

export class Brake {
  /** By age, as all windows are of one length. */
  private readonly windows = new Map<string, Window>()
  private readonly options: BrakeOptions

  constructor(options: BrakeOptions) {
    this.options = options
  }

  get size(): number {
    return this.windows.size
  }

  /** Counts a wrong token. The milliseconds to wait before another one, if there have been too many. */
  wrong(address: string, now: number): number | undefined {
    const { addresses, allowed, window } = this.options
    const current = this.windows.get(address)
    if (current !== undefined && now < current.endsAt) {
      current.count++
      return current.count > allowed ? current.endsAt - now : undefined
    }
    this.windows.delete(address)
    this.windows.set(address, { endsAt: now + window, count: 1 })
    if (this.windows.size > addresses) this.windows.delete(this.windows.keys().next().value!)
    return undefined
  }
}
