/**
 * How many answers of the admin API are under way, and how much of them waits
 * for clients to read it.
 */

export interface Limits {
  readonly requests: number
  readonly bytes: number
}

interface Load {
  requests: number
  bytes: number
  /** An answer was made and had no room. None is made in vain again until there is more. */
  isFull: boolean
}

/** Of what a server takes, one address may take half, and one connection an eighth. */
const SHARES = { connection: 1 / 8, address: 1 / 2 } as const

/** The part of a number of places that one address or connection may take. */
export const shareOf = (whose: keyof typeof SHARES, places: number): number => partOf(places, SHARES[whose])

const partOf = (places: number, share: number): number => Math.max(1, Math.floor(places * share))

/** The time in which a client must take something of what waits for it, before its connection is closed. */
export const READ_MILLIS = 30_000

export interface Client {
  /** The connection itself, where the platform has one. */
  readonly connection: object | undefined
  readonly address: string | undefined
}

/** Room for one request and its answer, until the client has read it. */
export interface Place {
  /** Whether an answer for this client found no room, and none has been freed since. */
  readonly isCrowded: () => boolean
  /** Takes room for so many bytes of an answer, if there is. */
  readonly carry: (bytes: number) => boolean
  readonly leave: () => void
}

export class Admission {
  private readonly loads = new Map<unknown, Load>()
  private readonly limits: Limits

  constructor(limits: Limits) {
    this.limits = limits
  }

  /** How much is under way on the whole. */
  get total(): Limits {
    const { bytes, requests } = this.loadOf(this)
    return { requests, bytes }
  }

  /** `undefined` if there is no room. */
  enter({ address, connection }: Client): Place | undefined {
    const shares = [
      [this, 1],
      [address ?? "unknown", SHARES.address],
      ...(connection === undefined ? [] : [[connection, SHARES.connection] as const])
    ] as const
    const hasRoom = shares.every(([key, share]) => {
      const { isFull, requests } = this.loadOf(key)
      return !isFull && requests < partOf(this.limits.requests, share)
    })
    if (!hasRoom) return undefined

    const mine = { requests: 0, bytes: 0 }
    const add = (requests: number, bytes: number) => {
      mine.requests += requests
      mine.bytes += bytes
      for (const [key] of shares) {
        const load = this.loadOf(key)
        load.requests += requests
        load.bytes += bytes
        if (bytes < 0) load.isFull = false
        if (load.requests === 0) this.loads.delete(key)
        else this.loads.set(key, load)
      }
    }
    add(1, 0)
    return {
      isCrowded: () => shares.some(([key]) => this.loadOf(key).isFull),
      carry: (bytes) => {
        // One answer always has room, however large it is.
        const full = shares.filter(([key, share]) => {
          const waiting = this.loadOf(key).bytes
          return waiting > 0 && waiting + bytes > this.limits.bytes * share
        })
        for (const [key] of full) this.loadOf(key).isFull = true
        if (full.length === 0) add(0, bytes)
        return full.length === 0
      },
      leave: () => add(-mine.requests, -mine.bytes)
    }
  }

  private loadOf(key: unknown): Load {
    return this.loads.get(key) ?? { requests: 0, bytes: 0, isFull: false }
  }
}
