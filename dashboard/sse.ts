/** An event as the server sent it. */
export interface Frame {
  readonly event: string
  readonly data: string
}

/** Reads server-sent events, in pieces that may end anywhere. Comments are dropped. */
export class SseParser {
  /** The latest id, also of what is no event: a server says so where it stands. */
  lastEventId: string | undefined
  private rest = ""

  push(piece: string): ReadonlyArray<Frame> {
    this.rest = (this.rest + piece).replaceAll("\r\n", "\n")
    const blocks = this.rest.split("\n\n")
    this.rest = blocks.pop()!
    return blocks.flatMap((block) => {
      let event = "message"
      const data: Array<string> = []
      for (const line of block.split("\n")) {
        const colon = line.indexOf(":")
        const field = line.slice(0, colon)
        const value = line.slice(colon + 1).replace(/^ /, "")
        if (field === "id") this.lastEventId = value
        else if (field === "event") event = value
        else if (field === "data") data.push(value)
      }
      return data.length === 0 ? [] : [{ event, data: data.join("\n") }]
    })
  }
}
